/* SPDX-License-Identifier: MIT */
#ifndef CLIENTCHECK_H
#define CLIENTCHECK_H

/* Words for tests of the HTTP client, over support/rawhttp.h. */
#include "support/rawhttp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNUSED __attribute__((unused))
#define MS INT64_C(1000000)
#define SECOND (1000 * MS)

UNUSED static weft_http_client *client_make(const weft_http_client_options *options)
{
	weft_http_client *client = NULL;

	want_ok(weft_http_client_create(&client, options));
	return client;
}

UNUSED static weft_http_client_stats stats_of(const weft_http_client *client)
{
	weft_http_client_stats stats;

	weft_http_client_stats_get(client, &stats);
	return stats;
}

/* Nobody uses it, and nothing is left of it. */
UNUSED static void client_end(weft_http_client *client)
{
	weft_http_client_stats stats;

	weft_http_client_close(client);
	stats = stats_of(client);
	want(stats.connections_now == 0 && stats.idle_now == 0 && stats.dialling_now == 0);
	want(stats.waiting_now == 0 && stats.keys_now == 0);
	weft_http_client_unref(client);
}

UNUSED static weft_err try_send(weft_http_client *client, const struct raw_server *server,
	weft_http_request *request, const char *path, weft_http_response **out, weft_deadline until)
{
	char url[256];
	weft_err err;

	snprintf(url, sizeof(url), "%s%s", server->url, path);
	request->url = url;
	err = weft_http_client_send(client, request, out, until);
	request->url = NULL;
	return err;
}

UNUSED static weft_http_response *send_to(weft_http_client *client, const struct raw_server *server,
	weft_http_request *request, const char *path)
{
	weft_http_response *r = NULL;

	want_ok(try_send(client, server, request, path, &r, WEFT_FOREVER));
	return r;
}

#define want_text(got, expected) both_text(__FILE__, __LINE__, (got), (expected))
UNUSED static void both_text(const char *file, int line, const char *got, const char *expected)
{
	char text[600];

	if (got && strcmp(got, expected) == 0)
		return;
	snprintf(text, sizeof(text), "'%.250s' is not '%.250s'", got ? got : "(null)", expected);
	both_failed(file, line, text);
}

#define want_in(text, part) both_in(__FILE__, __LINE__, (text), (part))
UNUSED static void both_in(const char *file, int line, const char *text, const char *part)
{
	char what[600];

	if (strstr(text, part))
		return;
	snprintf(what, sizeof(what), "'%.250s' is not in '%.250s'", part, text);
	both_failed(file, line, what);
}

#define want_body(r, expected) both_body(__FILE__, __LINE__, (r), (expected))
UNUSED static void both_body(
	const char *file, int line, weft_http_response *r, const char *expected)
{
	weft_buf buf = WEFT_BUF_EMPTY;
	char text[2048], byte;
	size_t got = 0;

	want_ok(weft_http_response_read_all(r, &buf, sizeof(text) - 1, WEFT_FOREVER));
	memcpy(text, buf.data, buf.len);
	text[buf.len] = '\0';
	weft_buf_unref(&buf);
	both_text(file, line, text, expected);
	want_err(WEFT_ECLOSED, weft_http_response_read(r, &byte, 1, &got, WEFT_FOREVER));
}

#define want_send_err(client, server, method, err, part) \
	both_send_err(__FILE__, __LINE__, (client), (server), (method), (err), (part))
UNUSED static void both_send_err(const char *file, int line, weft_http_client *client,
	const struct raw_server *server, const char *method, weft_err expected, const char *part)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_response *r = NULL;
	weft_err err;

	request.method = method;
	err = try_send(client, server, &request, "/path", &r, WEFT_FOREVER);
	both_want(file, line, "send", expected, err);
	both_in(file, line, weft_error_detail(), part);
	both_in(file, line, weft_error_detail(), server->url);
	want(r == NULL);
}

/* --- servers that say their text ------------------------------------------------------------ */

UNUSED static void says(struct raw_conn *c)
{
	const char *text = c->server->text;

	while (raw_request(c))
		raw_say(c, text);
}

UNUSED static void says_and_closes(struct raw_conn *c)
{
	if (raw_request(c))
		raw_say(c, c->server->text);
}

/* --- bodies of functions -------------------------------------------------------------------- */

/* A text as a body, by pieces. */
struct text_body {
	const char *text;
	size_t at, piece;
	unsigned rewinds, reads;
	weft_err fails; /* at the end, instead of WEFT_ECLOSED */
};

UNUSED static weft_err text_read(
	void *user, void *data, size_t size, size_t *got, weft_deadline until)
{
	struct text_body *body = user;
	size_t left = strlen(body->text) - body->at;

	(void)until;
	body->reads++;
	if (!left)
		return body->fails ? body->fails : WEFT_ECLOSED;
	*got = left < body->piece ? left : body->piece;
	*got = *got < size ? *got : size;
	memcpy(data, body->text + body->at, *got);
	body->at += *got;
	return WEFT_OK;
}

UNUSED static weft_err text_rewind(void *user)
{
	struct text_body *body = user;

	body->at = 0;
	body->rewinds++;
	return WEFT_OK;
}

#endif
