/* SPDX-License-Identifier: MIT */
#ifndef WEBFAKE_H
#define WEBFAKE_H

/*
 * A web server that says what a test tells it to, byte by byte: for what no well-behaved server
 * says. Each connection has a fiber; requests are read whole and kept as text. It lives with
 * failing allocations: a connection just ends then.
 */
#include <weft/weft.h>

#include <stdbool.h>

#define WEBFAKE_REQUEST_MAX 2048

struct webfake_request {
	unsigned number; /* from 1, over all connections */
	char method[32], target[512];
	char head[WEBFAKE_REQUEST_MAX]; /* all of it, NUL added */
	char body[WEBFAKE_REQUEST_MAX]; /* chunks put together, NUL added */
};

struct webfake;
/* Answers. An error ends the connection. */
typedef weft_err (*webfake_fn)(
	struct webfake *fake, weft_conn *conn, const struct webfake_request *request);

struct webfake {
	webfake_fn answer;
	void *user;
	char url[64];		     /* "http://127.0.0.1:34567" */
	struct webfake_request last; /* the last request, once it was read */
	unsigned requests, connections;
	weft_listener *listener;
	weft_scope *scope;
};

/* Errors: those of listening. */
weft_err webfake_open(struct webfake *fake, webfake_fn answer, void *user);
/* Cancels and joins; a zeroed one is allowed. */
void webfake_close(struct webfake *fake);
/* Formatted, all of it. */
weft_err webfake_say(weft_conn *conn, const char *format, ...) WEFT_PRINTF(2, 3);
/* "HTTP/1.1 STATUS x", the lines of fields (each with CRLF; may be ""), Content-Length, body. */
weft_err webfake_reply(weft_conn *conn, unsigned status, const char *fields, const char *body);
/* The value of a field of a request's head; NULL: none. Static memory. */
const char *webfake_field(const struct webfake_request *request, const char *name);

#endif
