/* SPDX-License-Identifier: MIT */
#include "support/httpd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void httpd_open(struct httpd *h, const weft_http_server_options *options, bool listens)
{
	memset(h, 0, sizeof(*h));
	h->fibers = weft_fiber_count();
	want_ok(weft_http_server_create(&h->server, options));
	want_ok(weft_scope_create(&h->scope));
	if (!listens)
		return;
	want_ok(weft_listen(&h->listener, "tcp://127.0.0.1:0", NULL, WEFT_FOREVER));
	want_ok(weft_http_server_start(h->server, h->listener));
}

void httpd_route(struct httpd *h, const char *method, const char *pattern,
	weft_http_handler handler, void *arg)
{
	want_ok(weft_http_server_route(h->server, method, pattern, handler, arg));
}

static weft_err serve_listener(void *arg)
{
	struct httpd *h = arg;

	return weft_http_server_serve(h->server, h->listener);
}

void httpd_serve(struct httpd *h)
{
	want_ok(weft_scope_spawn(h->scope, "serves", serve_listener, h));
}

struct served {
	weft_http_server *server;
	weft_conn *conn;
};

static weft_err serve_one(void *arg)
{
	struct served served = *(struct served *)arg;
	weft_err err;

	free(arg);
	err = weft_http_serve_conn_own(served.server, served.conn);
	want(err != WEFT_EINVAL);
	return WEFT_OK;
}

weft_conn *httpd_connect(struct httpd *h)
{
	struct served *served = malloc(sizeof(*served));
	weft_conn *ends[2];

	if (h->listener) {
		free(served);
		want_ok(weft_dial(&ends[0], weft_listener_name(h->listener), NULL, WEFT_FOREVER));
		return ends[0];
	}
	want(served != NULL);
	want_ok(weft_conn_pair(ends, h->pair_size));
	*served = (struct served){ h->server, ends[1] };
	want_ok(weft_scope_spawn(h->scope, "served", serve_one, served));
	return ends[0];
}

void httpd_close(struct httpd *h)
{
	weft_http_server_stats stats;

	weft_http_server_stop(h->server);
	want_ok(weft_http_server_wait(h->server, WEFT_FOREVER));
	want(weft_http_server_state_get(h->server) == WEFT_HTTP_SERVER_STOPPED);
	weft_http_server_stats_get(h->server, &stats);
	want(stats.connections_now == 0);
	want_ok(weft_scope_wait(h->scope, WEFT_FOREVER));
	weft_scope_free(h->scope);
	weft_http_server_free(h->server);
	weft_listener_free(h->listener);
	/* those of other workers are counted until a moment after they have been joined */
	while (weft_fiber_count() != h->fibers)
		(void)weft_yield();
}

void say(weft_conn *conn, const char *text)
{
	want_ok(weft_conn_write(conn, text, strlen(text), NULL, WEFT_FOREVER));
}

void hear(weft_conn *conn, const char *text)
{
	char got[4096];
	size_t n = 0;

	for (; *text; text++) {
		size_t len = *text == '\x01' ? 29 : 1;

		want(n + len < sizeof(got));
		want_ok(weft_conn_read_full(conn, got + n, len, NULL, WEFT_FOREVER));
		n += len;
		got[n] = '\0';
		if (len == 1 && got[n - 1] != *text) {
			fprintf(stderr, "heard: %s\nnot: %s\n", got, text);
			both_failed(__FILE__, __LINE__, "the response is another");
		}
	}
}

weft_err hear_all(weft_conn *conn, char *out, size_t size)
{
	size_t got, n = 0;
	weft_err err;

	while ((err = weft_conn_read(conn, out + n, size - 1 - n, &got, WEFT_FOREVER)) == WEFT_OK) {
		n += got;
		want(n < size - 1);
	}
	out[n] = '\0';
	return err;
}

void hear_end(weft_conn *conn)
{
	char c[1];
	size_t got;

	want_err(WEFT_ECLOSED, weft_conn_read(conn, c, 1, &got, WEFT_FOREVER));
}

static void hear_head_from(weft_conn *conn, struct answer *answer, size_t n)
{
	while (n < 4 || memcmp(answer->head + n - 4, "\r\n\r\n", 4) != 0) {
		want(n + 1 < sizeof(answer->head));
		want_ok(weft_conn_read_full(conn, answer->head + n, 1, NULL, WEFT_FOREVER));
		n++;
	}
	if (strncmp(answer->head, "HTTP/1.1 ", 9) != 0)
		fprintf(stderr, "answered by: %s\n", answer->head);
	want(strncmp(answer->head, "HTTP/1.1 ", 9) == 0);
	answer->status = (unsigned)atoi(answer->head + 9);
}

static void hear_body(weft_conn *conn, struct answer *answer)
{
	const char *length = strstr(answer->head, "\r\nContent-Length: ");
	size_t len = length ? (size_t)atoi(length + 18) : 0;

	want(len < sizeof(answer->body));
	want_ok(weft_conn_read_full(conn, answer->body, len, NULL, WEFT_FOREVER));
}

void hear_head(weft_conn *conn, struct answer *answer)
{
	memset(answer, 0, sizeof(*answer));
	hear_head_from(conn, answer, 0);
}

void hear_answer(weft_conn *conn, struct answer *answer)
{
	hear_head(conn, answer);
	hear_body(conn, answer);
}

void hear_rest(weft_conn *conn, char first, struct answer *answer)
{
	memset(answer, 0, sizeof(*answer));
	answer->head[0] = first;
	hear_head_from(conn, answer, 1);
	hear_body(conn, answer);
}

bool has_line(const struct answer *answer, const char *line)
{
	const char *at = strstr(answer->head, line);

	return at && at[-1] == '\n' && at[strlen(line)] == '\r';
}

void hear_answer_is(weft_conn *conn, unsigned status, const char *body)
{
	struct answer answer;

	hear_answer(conn, &answer);
	if (answer.status != status || (body && strcmp(answer.body, body) != 0))
		fprintf(stderr, "answered by: %s%s\n", answer.head, answer.body);
	want(answer.status == status);
	want(!body || strcmp(answer.body, body) == 0);
}

void ask(weft_conn *conn, const char *request, unsigned status, const char *body)
{
	say(conn, request);
	hear_answer_is(conn, status, body);
}

weft_err reply_hello(weft_http_exchange *x, void *arg)
{
	(void)arg;
	return weft_http_exchange_reply_text(x, 200, "hello\n", WEFT_FOREVER);
}

weft_err reply_echo(weft_http_exchange *x, void *arg)
{
	const char *data;
	size_t len;
	weft_err err = weft_http_exchange_read_all(x, &data, &len, WEFT_FOREVER);

	(void)arg;
	return err ? err : weft_http_exchange_reply(x, 200, NULL, data, len, WEFT_FOREVER);
}

weft_err reply_param(weft_http_exchange *x, void *arg)
{
	return weft_http_exchange_reply_text(
		x, 200, weft_http_exchange_param(x, arg), WEFT_FOREVER);
}

weft_err reply_field(weft_http_exchange *x, void *arg)
{
	const char *value = weft_http_exchange_field(x, arg);
	char text[32];

	snprintf(text, sizeof(text), "%zu", value ? strlen(value) : 0);
	return weft_http_exchange_reply_text(x, 200, text, WEFT_FOREVER);
}

weft_err reply_parts(weft_http_exchange *x, void *arg)
{
	weft_err err = weft_http_exchange_begin(x, 200, NULL, WEFT_FOREVER);

	(void)arg;
	if (!err)
		err = weft_http_exchange_write(x, "one, ", 5, WEFT_FOREVER);
	if (!err)
		err = weft_http_exchange_write(x, "two, ", 5, WEFT_FOREVER);
	if (!err)
		err = weft_http_exchange_write(x, "three\n", 6, WEFT_FOREVER);
	return err;
}
