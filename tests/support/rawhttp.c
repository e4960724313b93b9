/* SPDX-License-Identifier: MIT */
#include "support/rawhttp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LINE_MAX_SIZE 4096

static weft_err handle(weft_conn *conn, void *arg)
{
	struct raw_server *server = arg;
	struct raw_conn *c = calloc(1, sizeof(*c));

	want(c != NULL);
	c->server = server;
	c->conn = conn;
	c->number = counter_add(&server->conns, 1);
	counter_add(&server->conns_open, 1);
	server->serve(c);
	weft_conn_free(conn);
	counter_sub(&server->conns_open, 1);
	free(c);
	return WEFT_OK;
}

static weft_err accept_all(void *arg)
{
	struct raw_server *server = arg;
	weft_err err;

	err = weft_listener_serve(server->listener, server->scope, "raw http", handle, server);
	return err == WEFT_ECLOSED || err == WEFT_ECANCELED ? WEFT_OK : err;
}

void raw_start_at(struct raw_server *server, const char *address, void (*serve)(struct raw_conn *c),
	void *user, const char *text)
{
	(void)t_seed(); /* made before others than this fiber ask for random numbers */
	memset(server, 0, sizeof(*server));
	server->serve = serve;
	server->user = user;
	server->text = text;
	want_ok(weft_listen(&server->listener, address, NULL, WEFT_FOREVER));
	snprintf(server->url, sizeof(server->url), "http://%s",
		weft_listener_name(server->listener) + strlen("tcp://"));
	want_ok(weft_scope_create(&server->scope));
	want_ok(weft_scope_spawn(server->scope, "raw accepts", accept_all, server));
}

void raw_start(
	struct raw_server *server, void (*serve)(struct raw_conn *c), void *user, const char *text)
{
	raw_start_at(server, "tcp://127.0.0.1:0", serve, user, text);
}

void raw_stop(struct raw_server *server)
{
	weft_listener_close(server->listener);
	weft_scope_free(server->scope);
	weft_listener_free(server->listener);
}

/* Appends a line with its end to out; its length, 0: none came. */
static size_t take_line(struct raw_conn *c, char *out, size_t size, size_t *used)
{
	char line[LINE_MAX_SIZE];
	size_t got = 0;

	if (weft_conn_read_line(c->conn, line, sizeof(line), &got, WEFT_FOREVER) != WEFT_OK)
		return 0;
	want(*used + got < size);
	memcpy(out + *used, line, got);
	*used += got;
	out[*used] = '\0';
	return got;
}

static bool is_empty_line(const char *text, size_t used, size_t got)
{
	return got == 2 && memcmp(text + used - 2, "\r\n", 2) == 0;
}

const char *raw_field(const struct raw_conn *c, const char *name, char *out, size_t size)
{
	const char *line = strstr(c->head, "\r\n");
	size_t len = strlen(name), value_len;

	for (; line && line[2]; line = strstr(line + 2, "\r\n")) {
		if (strncasecmp(line + 2, name, len) != 0 || line[2 + len] != ':')
			continue;
		line += 2 + len + 1;
		while (*line == ' ')
			line++;
		value_len = strcspn(line, "\r");
		want(value_len < size);
		memcpy(out, line, value_len);
		out[value_len] = '\0';
		return out;
	}
	return NULL;
}

bool raw_head(struct raw_conn *c)
{
	char value[128];
	size_t used = 0, got;

	do {
		got = take_line(c, c->head, sizeof(c->head), &used);
		if (!got)
			return false;
	} while (!is_empty_line(c->head, used, got));
	want(sscanf(c->head, "%31s %1023s HTTP/1.1\r\n", c->method, c->target) == 2);
	c->chunked = raw_field(c, "Transfer-Encoding", value, sizeof(value)) != NULL;
	want(!c->chunked || strcmp(value, "chunked") == 0);
	c->length = raw_field(c, "Content-Length", value, sizeof(value)) ? strtoull(value, NULL, 10)
									 : 0;
	c->body_len = 0;
	c->body[0] = c->trailers[0] = '\0';
	c->served++;
	counter_add(&c->server->requests, 1);
	return true;
}

static bool take_bytes(struct raw_conn *c, uint64_t size)
{
	char piece[1024];

	while (size) {
		size_t n = size < sizeof(piece) ? (size_t)size : sizeof(piece), kept;

		if (weft_conn_read_full(c->conn, piece, n, NULL, WEFT_FOREVER) != WEFT_OK)
			return false;
		kept = c->body_len >= RAW_BODY_MAX	 ? 0
			: RAW_BODY_MAX - c->body_len < n ? RAW_BODY_MAX - (size_t)c->body_len
							 : n;
		memcpy(c->body + (kept ? c->body_len : 0), piece, kept);
		c->body_len += n;
		c->body[c->body_len < RAW_BODY_MAX ? c->body_len : RAW_BODY_MAX] = '\0';
		size -= n;
	}
	return true;
}

static bool take_chunks(struct raw_conn *c)
{
	char text[64], end[2];
	uint64_t size;
	size_t used, got;

	do {
		used = 0;
		if (!take_line(c, text, sizeof(text), &used))
			return false;
		size = strtoull(text, NULL, 16);
		if (!take_bytes(c, size))
			return false;
		if (size) {
			if (weft_conn_read_full(c->conn, end, 2, NULL, WEFT_FOREVER) != WEFT_OK)
				return false;
			want(memcmp(end, "\r\n", 2) == 0);
		}
	} while (size);
	used = 0;
	do {
		got = take_line(c, c->trailers, sizeof(c->trailers), &used);
	} while (got && !is_empty_line(c->trailers, used, got));
	return got != 0;
}

bool raw_body(struct raw_conn *c)
{
	return c->chunked ? take_chunks(c) : take_bytes(c, c->length);
}

bool raw_request(struct raw_conn *c)
{
	return raw_head(c) && raw_body(c);
}

void raw_say_bytes(struct raw_conn *c, const void *data, size_t size)
{
	weft_err err = weft_conn_write(c->conn, data, size, NULL, WEFT_FOREVER);

	(void)err;
}

void raw_say(struct raw_conn *c, const char *text)
{
	raw_say_bytes(c, text, strlen(text));
}

void raw_until_closed(struct raw_conn *c)
{
	char piece[1024];
	size_t got;

	while (weft_conn_read(c->conn, piece, sizeof(piece), &got, WEFT_FOREVER) == WEFT_OK)
		;
}
