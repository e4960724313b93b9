/* SPDX-License-Identifier: MIT */
#ifndef HTTPD_H
#define HTTPD_H

/* A server under test, and clients of it that write and read bytes: over memory pairs, or over
 * whatever net there is. All in fibers; failures are those of want(). */
#include "support/both.h"

#include <weft/http_server.h>
#include <weft/weft.h>

struct httpd {
	weft_http_server *server;
	weft_scope *scope; /* of connections that are served one by one */
	weft_listener *listener;
	size_t pair_size; /* of httpd_pair; 0: the default */
	uint64_t fibers;  /* before */
};

/* options may be NULL. listens: on a port of its own, started; otherwise by httpd_pair. */
void httpd_open(struct httpd *h, const weft_http_server_options *options, bool listens);
void httpd_route(struct httpd *h, const char *method, const char *pattern,
	weft_http_handler handler, void *arg);
/* Serves h->listener, which the test has made, in a fiber. */
void httpd_serve(struct httpd *h);
/* A client's end of a connection to it: a memory pair, or dialled where it listens. */
weft_conn *httpd_connect(struct httpd *h);
/* Frees it; fibers are as many as before. */
void httpd_close(struct httpd *h);

void say(weft_conn *conn, const char *text);
/* Exactly this comes; '\x01' in text stands for the value of a Date field. */
void hear(weft_conn *conn, const char *text);
/* What comes until the end, at most size - 1 bytes, NUL added; how it ended. */
weft_err hear_all(weft_conn *conn, char *out, size_t size);
/* The end of the stream comes, in order, and nothing before it. */
void hear_end(weft_conn *conn);
/* A response by its Content-Length, the head and the body: each with a NUL. */
struct answer {
	unsigned status;
	char head[4096];
	char body[4096];
};
void hear_answer(weft_conn *conn, struct answer *answer);
/* The same, whose first byte was read already. */
void hear_rest(weft_conn *conn, char first, struct answer *answer);
/* The same without a body (HEAD). */
void hear_head(weft_conn *conn, struct answer *answer);
void hear_answer_is(weft_conn *conn, unsigned status, const char *body);
/* One whole exchange. */
void ask(weft_conn *conn, const char *request, unsigned status, const char *body);
bool has_line(const struct answer *answer, const char *line);

/* Handlers. */
weft_err reply_hello(weft_http_exchange *x, void *arg); /* "hello\n" */
weft_err reply_echo(weft_http_exchange *x, void *arg);	/* the body */
weft_err reply_param(weft_http_exchange *x, void *arg); /* that parameter's value */
weft_err reply_field(weft_http_exchange *x, void *arg); /* the length of that field's value */
weft_err reply_parts(weft_http_exchange *x, void *arg); /* "one, two, three\n", in three writes */

#endif
