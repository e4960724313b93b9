/* SPDX-License-Identifier: MIT */
#ifndef HTTP_ROUTER_H
#define HTTP_ROUTER_H

/* Inside of weft_http_router: what the server asks it. */
#include "base/counter.h"
#include "base/refcount.h"

#include <weft/http_server.h>

struct http_node;

/* Of one pattern and method; never changes, and is shared by tables. */
struct http_route {
	struct refcount refs;
	weft_http_handler handler;
	void *arg;
	const char *method, *pattern; /* in this block, with a NUL */
	uint32_t method_len, pattern_len;
	uint32_t params_len;
	struct {
		uint16_t at, len; /* of the name, in pattern */
	} params[WEFT_HTTP_PARAMS_MAX];
};

struct weft_http_router {
	struct refcount refs;
	struct counter is_fixed; /* 1: a server has it */
	size_t count;
	struct http_node *root;
};

/* Where parameters lie in the path: as they were sent. */
struct http_param {
	const char *at;
	uint32_t len;
};

struct http_match {
	const struct http_route *route; /* NULL: none */
	struct http_param params[WEFT_HTTP_PARAMS_MAX];
};

/* The best route for method and path, which begins with '/'. Only those of match's params that
 * the route has are set. Of the methods of other routes of that path, see http_router_allow. */
bool http_router_find(const weft_http_router *router, const char *method, size_t method_len,
	const char *path, size_t path_len, struct http_match *match);
/* The value of Allow for a path, with HEAD and OPTIONS where they go without saying: its length,
 * 0: no route has that path. What is too long for size is left out. */
size_t http_router_allow(
	const weft_http_router *router, const char *path, size_t path_len, char *out, size_t size);
/* No route is added any more. */
void http_router_fix(weft_http_router *router);
/* A new table, with one route more. Errors: as weft_http_router_add. */
weft_err http_router_with(weft_http_router **out, const weft_http_router *old, const char *method,
	const char *pattern, weft_http_handler handler, void *arg);

/* Whether the path can be handed to routers and handlers: escapes are whole and none is NUL, no
 * segment is "." or "..", however it is written. */
bool http_path_is_sound(const char *path, size_t len);
/* Decodes len bytes at text to out, which has room for as many; plus: '+' is a space. How many
 * bytes it became; SIZE_MAX: an escape is not whole. */
size_t http_percent_decode(char *out, const char *text, size_t len, bool plus);

#endif
