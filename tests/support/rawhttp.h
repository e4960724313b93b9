/* SPDX-License-Identifier: MIT */
#ifndef RAWHTTP_H
#define RAWHTTP_H

/*
 * Servers made by hand, for tests of HTTP clients: they say what a test tells them, byte by byte,
 * right or wrong. They share no code with the library's own HTTP.
 *
 *	static void hello(struct raw_conn *c)
 *	{
 *		while (raw_request(c))
 *			raw_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
 *	}
 *	raw_start(&server, hello, NULL, NULL);
 *	... server.url
 *	raw_stop(&server);
 *
 * Over epoll and under the simulator.
 */
#include "base/counter.h"
#include "support/both.h"

#define RAW_HEAD_MAX 8192
#define RAW_BODY_MAX 8192 /* of a body that are kept */

struct raw_conn;

struct raw_server {
	weft_listener *listener;
	weft_scope *scope;
	void (*serve)(struct raw_conn *c); /* a connection, to its end; in a fiber */
	void *user;
	const char *text;
	char url[64];		   /* "http://127.0.0.1:80", without a path */
	struct counter conns;	   /* accepted so far */
	struct counter conns_open; /* of these, not yet closed by us */
	struct counter requests;   /* heads that were read as a whole */
};

struct raw_conn {
	struct raw_server *server;
	weft_conn *conn;
	uint64_t number; /* of the connection, from 0 */
	uint64_t served; /* requests read from it */
	/* of the last request */
	char head[RAW_HEAD_MAX]; /* with its last line, NUL added */
	char method[32], target[1024];
	bool chunked;
	uint64_t length; /* Content-Length, 0: none */
	uint64_t body_len;
	char body[RAW_BODY_MAX + 1]; /* the beginning, NUL added */
	char trailers[1024];
};

/* user and text are for serve. */
void raw_start(
	struct raw_server *server, void (*serve)(struct raw_conn *c), void *user, const char *text);
/* The same at another address than a free port; url is for tcp only. */
void raw_start_at(struct raw_server *server, const char *address, void (*serve)(struct raw_conn *c),
	void *user, const char *text);
/* Ends all connections, and waits for their fibers. */
void raw_stop(struct raw_server *server);

/* The next request's head; false: the connection has ended. */
bool raw_head(struct raw_conn *c);
/* What follows it; false: it was cut. */
bool raw_body(struct raw_conn *c);
/* Both. */
bool raw_request(struct raw_conn *c);
/* The value of a field of the head, in static storage of the caller's (size bytes); NULL: none. */
const char *raw_field(const struct raw_conn *c, const char *name, char *out, size_t size);
/* Fails silently where the peer has gone. */
void raw_say(struct raw_conn *c, const char *text);
void raw_say_bytes(struct raw_conn *c, const void *data, size_t size);
/* Waits until the peer has closed; what it sends is read away. */
void raw_until_closed(struct raw_conn *c);

#endif
