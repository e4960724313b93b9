/* SPDX-License-Identifier: MIT */
/*
 * Routers: a tree of path segments. A node's children are its literals, in order, one for any
 * segment, and one for all the rest. Nodes never change: who adds a route copies those on its
 * way from the root, and shares the others with the table before. So a table that is in use
 * stays as it is, and one with a route more costs a few nodes.
 *
 * A search goes down the most special child first and comes back when nothing below it serves;
 * each node has one way to it, so that none is looked at twice.
 */
#include "http/router.h"

#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "proto/http1/http1.h"

#include <string.h>

#define SEGMENTS_MAX 64 /* of a pattern: how deep a search may go */

struct http_node {
	struct refcount refs;
	char *text; /* a literal's segment, decoded; owned; NULL: not a literal's */
	size_t text_len;
	struct http_node **literals; /* by their text; owned, as what they point to */
	size_t literals_len;
	struct http_node *param, *rest;
	struct http_route **routes; /* whose patterns end here; one a method */
	size_t routes_len;
};

/* ---- escapes ---- */

/* The byte at *at, which moves behind it; -1: an escape that is not whole. */
static int next_byte(const char **at, const char *end)
{
	const char *p = *at;
	int high, low;

	*at = p + 1;
	if (*p != '%')
		return (unsigned char)*p;
	if (end - p < 3)
		return -1;
	high = hex_digit(p[1]);
	low = hex_digit(p[2]);
	*at = p + 3;
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

size_t http_percent_decode(char *out, const char *text, size_t len, bool plus)
{
	const char *at = text, *end = text + len;
	size_t n = 0;

	while (at < end) {
		bool is_plus = plus && *at == '+';
		int byte = next_byte(&at, end);

		if (byte < 0)
			return SIZE_MAX;
		out[n++] = is_plus ? ' ' : (char)byte;
	}
	return n;
}

/* "." or "..", decoded. dots: that many were before at. */
static bool is_dots(const char *at, const char *end)
{
	unsigned dots = 0;

	while (at < end && *at != '/') {
		if (next_byte(&at, end) != '.')
			return false;
		dots++;
	}
	return dots == 1 || dots == 2;
}

bool http_path_is_sound(const char *path, size_t len)
{
	const char *at = path, *end = path + len;

	while (at < end) {
		char c = *at;
		int byte = next_byte(&at, end);

		if (byte <= 0)
			return false;
		if (c == '/' && at < end && (*at == '.' || *at == '%') && is_dots(at, end))
			return false;
	}
	return true;
}

/* ---- nodes ---- */

static void route_unref(struct http_route *route)
{
	if (route && refcount_drop(&route->refs))
		mem_free(route);
}

static void node_unref(struct http_node *node)
{
	if (!node || !refcount_drop(&node->refs))
		return;
	for (size_t i = 0; i < node->literals_len; i++)
		node_unref(node->literals[i]);
	node_unref(node->param);
	node_unref(node->rest);
	for (size_t i = 0; i < node->routes_len; i++)
		route_unref(node->routes[i]);
	mem_free(node->literals);
	mem_free(node->routes);
	mem_free(node->text);
	mem_free(node);
}

static struct http_node *node_ref(struct http_node *node)
{
	if (node)
		refcount_hold(&node->refs);
	return node;
}

static struct http_node *node_create(const char *text, size_t text_len)
{
	struct http_node *node = mem_calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	refcount_init(&node->refs, 1);
	if (text) {
		node->text = mem_strndup(text, text_len);
		if (!node->text) {
			mem_free(node);
			return NULL;
		}
		node->text_len = text_len;
	}
	return node;
}

/* A copy that has room for a literal and a route more. */
static struct http_node *node_copy(const struct http_node *from)
{
	struct http_node *node = node_create(from->text, from->text_len);

	if (!node)
		return NULL;
	node->literals =
		mem_realloc_array(NULL, from->literals_len + 1, sizeof(struct http_node *));
	node->routes = mem_realloc_array(NULL, from->routes_len + 1, sizeof(struct http_route *));
	if (!node->literals || !node->routes) {
		node_unref(node);
		return NULL;
	}
	for (; node->literals_len < from->literals_len; node->literals_len++)
		node->literals[node->literals_len] = node_ref(from->literals[node->literals_len]);
	for (; node->routes_len < from->routes_len; node->routes_len++) {
		node->routes[node->routes_len] = from->routes[node->routes_len];
		refcount_hold(&node->routes[node->routes_len]->refs);
	}
	node->param = node_ref(from->param);
	node->rest = node_ref(from->rest);
	return node;
}

/* How a literal stands to a segment as it was sent: as memcmp. */
static int compare(const struct http_node *literal, const char *at, const char *end)
{
	const char *text = literal->text, *text_end = text + literal->text_len;

	while (at < end && text < text_end) {
		int byte = next_byte(&at, end), wanted = (unsigned char)*text++;

		if (byte != wanted)
			return wanted < byte ? -1 : 1;
	}
	return at < end ? -1 : text < text_end;
}

/* Where the literal is; or, *found false, where it would be. */
static size_t literal_find(
	const struct http_node *node, const char *at, const char *end, bool *found)
{
	size_t from = 0, to = node->literals_len;

	*found = false;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order = compare(node->literals[middle], at, end);

		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static struct http_route *node_route(
	const struct http_node *node, const char *method, size_t method_len)
{
	for (size_t i = 0; i < node->routes_len; i++) {
		struct http_route *route = node->routes[i];

		if (route->method_len == method_len &&
			memcmp(route->method, method, method_len) == 0)
			return route;
	}
	return NULL;
}

/* ---- patterns ---- */

enum segment_kind { SEGMENT_LITERAL, SEGMENT_PARAM, SEGMENT_REST };

struct segment {
	enum segment_kind kind;
	const char *at, *end; /* of the literal, or of the parameter's name */
};

static weft_err bad_pattern(const char *pattern, const char *at, const char *why)
{
	return err_setf(WEFT_EINVAL, "route: pattern '%.*s', byte %zu: %s",
		(int)WEFT_HTTP_PATTERN_MAX, pattern, (size_t)(at - pattern), why);
}

static bool is_name(const char *at, const char *end)
{
	const char *start = at;

	for (; at < end; at++)
		if (*at != '_' && !(*at >= '0' && *at <= '9') &&
			!((*at | 0x20) >= 'a' && (*at | 0x20) <= 'z'))
			return false;
	return at > start;
}

/* The segment at *at, which moves to the next one's beginning, or to NULL. */
static weft_err segment_parse(struct segment *out, const char *pattern, const char **at)
{
	const char *start = *at, *end = start + strcspn(start, "/");

	*at = *end ? end + 1 : NULL;
	*out = (struct segment){ SEGMENT_LITERAL, start, end };
	if (!memchr(start, '{', (size_t)(end - start)) &&
		!memchr(start, '}', (size_t)(end - start)))
		return http_path_is_sound(start - 1, (size_t)(end - start) + 1)
			? WEFT_OK
			: bad_pattern(pattern, start, "a dot segment, or a bad escape");
	if (*start != '{' || end[-1] != '}')
		return bad_pattern(
			pattern, start, "a parameter is a whole segment, {name} or {name...}");
	out->kind = SEGMENT_PARAM;
	out->at = start + 1;
	out->end = end - 1;
	if (out->end - out->at > 3 && memcmp(out->end - 3, "...", 3) == 0) {
		out->kind = SEGMENT_REST;
		out->end -= 3;
	}
	if (!is_name(out->at, out->end))
		return bad_pattern(pattern, out->at, "a name has letters, digits and '_'");
	if (out->kind == SEGMENT_REST && *at)
		return bad_pattern(pattern, *at, "{name...} is the last segment");
	return WEFT_OK;
}

static bool is_known_param(const struct http_route *route, const char *at, size_t len)
{
	for (uint32_t i = 0; i < route->params_len; i++)
		if (route->params[i].len == len &&
			memcmp(route->pattern + route->params[i].at, at, len) == 0)
			return true;
	return false;
}

/* Checks the pattern, and finds its parameters. */
static weft_err route_read(struct http_route *route)
{
	const char *pattern = route->pattern, *at = pattern + 1;
	unsigned segments = 0;

	while (at) {
		struct segment segment;
		weft_err err = segment_parse(&segment, pattern, &at);
		size_t len = (size_t)(segment.end - segment.at);

		if (err)
			return err;
		if (++segments > SEGMENTS_MAX)
			return bad_pattern(pattern, segment.at, "more than 64 segments");
		if (segment.kind == SEGMENT_LITERAL)
			continue;
		if (route->params_len == WEFT_HTTP_PARAMS_MAX)
			return bad_pattern(pattern, segment.at, "more than 16 parameters");
		if (is_known_param(route, segment.at, len))
			return bad_pattern(pattern, segment.at, "two parameters of one name");
		route->params[route->params_len].at = (uint16_t)(segment.at - pattern);
		route->params[route->params_len].len = (uint16_t)len;
		route->params_len++;
	}
	return WEFT_OK;
}

static weft_err route_check(const char *method, const char *pattern, weft_http_handler handler)
{
	if (!method || !http1_is_token(method, strlen(method)) || strlen(method) > HTTP1_METHOD_MAX)
		return err_setf(
			WEFT_EINVAL, "route: '%.64s' is not a method", method ? method : "(null)");
	if (!pattern || *pattern != '/')
		return err_setf(WEFT_EINVAL, "route: pattern '%.64s' does not begin with '/'",
			pattern ? pattern : "(null)");
	if (strlen(pattern) > WEFT_HTTP_PATTERN_MAX)
		return err_setf(WEFT_EINVAL, "route: the pattern is longer than %d bytes",
			WEFT_HTTP_PATTERN_MAX);
	if (!handler)
		return err_setf(WEFT_EINVAL, "route: %s %s has no handler", method, pattern);
	return WEFT_OK;
}

static weft_err route_create(struct http_route **out, const char *method, const char *pattern,
	weft_http_handler handler, void *arg)
{
	weft_err err = route_check(method, pattern, handler);
	size_t method_len, pattern_len;
	struct http_route *route;
	char *text;

	if (err)
		return err;
	method_len = strlen(method);
	pattern_len = strlen(pattern);
	route = mem_calloc(1, sizeof(*route) + method_len + pattern_len + 2);
	if (!route)
		return err_setf(WEFT_ENOMEM, "route %s: out of memory", pattern);
	refcount_init(&route->refs, 1);
	route->handler = handler;
	route->arg = arg;
	text = (char *)(route + 1);
	memcpy(text, method, method_len + 1);
	memcpy(text + method_len + 1, pattern, pattern_len + 1);
	route->method = text;
	route->method_len = (uint32_t)method_len;
	route->pattern = text + method_len + 1;
	route->pattern_len = (uint32_t)pattern_len;
	err = route_read(route);
	if (err) {
		route_unref(route);
		return err;
	}
	*out = route;
	return WEFT_OK;
}

/* ---- adding ---- */

static weft_err node_with(struct http_node **out, const struct http_node *old,
	struct http_route *route, const char *at);

/* The child of a copy, replaced by one that has the route, too. */
static weft_err child_with(struct http_node **child, const struct segment *segment,
	struct http_route *route, const char *at)
{
	struct http_node *old = *child, *fresh = NULL;
	weft_err err;
	char *text = NULL;
	size_t len = (size_t)(segment->end - segment->at);

	if (!old && segment->kind == SEGMENT_LITERAL) {
		text = mem_alloc(len);
		if (!text)
			return err_set(WEFT_ENOMEM);
		len = http_percent_decode(text, segment->at, len, false);
	}
	if (!old)
		fresh = node_create(text, len);
	mem_free(text);
	if (!old && !fresh)
		return err_set(WEFT_ENOMEM);
	err = node_with(child, old ? old : fresh, route, at);
	node_unref(fresh);
	if (!err)
		node_unref(old);
	return err;
}

/* The same for a literal, which may be a new one of the copy. */
static weft_err literal_with(struct http_node *node, const struct segment *segment,
	struct http_route *route, const char *at)
{
	bool found;
	size_t place = literal_find(node, segment->at, segment->end, &found);
	struct http_node *child = found ? node->literals[place] : NULL;
	weft_err err = child_with(&child, segment, route, at);

	if (err)
		return err;
	if (!found) {
		memmove(&node->literals[place + 1], &node->literals[place],
			(node->literals_len - place) * sizeof(struct http_node *));
		node->literals_len++;
	}
	node->literals[place] = child;
	return WEFT_OK;
}

static weft_err copy_with(struct http_node *node, struct http_route *route, const char *at)
{
	struct segment segment;
	weft_err err;

	if (!at) {
		if (node_route(node, route->method, route->method_len))
			return err_setf(WEFT_EDUPLICATE, "route: %s %s is there already",
				route->method, route->pattern);
		refcount_hold(&route->refs);
		node->routes[node->routes_len++] = route;
		return WEFT_OK;
	}
	err = segment_parse(&segment, route->pattern, &at);
	if (err)
		return err;
	if (segment.kind == SEGMENT_PARAM)
		return child_with(&node->param, &segment, route, at);
	if (segment.kind == SEGMENT_REST)
		return child_with(&node->rest, &segment, route, at);
	return literal_with(node, &segment, route, at);
}

/* A copy of old with the route, whose pattern goes on at `at`, or ends here: NULL. Calls itself
 * for each segment: SEGMENTS_MAX deep. *out is untouched on error. */
static weft_err node_with(struct http_node **out, const struct http_node *old,
	struct http_route *route, const char *at)
{
	struct http_node *node = node_copy(old);
	weft_err err;

	if (!node)
		return err_set(WEFT_ENOMEM);
	err = copy_with(node, route, at);
	if (err)
		node_unref(node);
	else
		*out = node;
	return err;
}

static weft_err root_with(struct http_node **out, const weft_http_router *router,
	const char *method, const char *pattern, weft_http_handler handler, void *arg)
{
	struct http_route *route = NULL;
	weft_err err;

	if (router->count == WEFT_HTTP_ROUTES_MAX)
		return err_setf(
			WEFT_ECAPACITY, "route: there are %d already", WEFT_HTTP_ROUTES_MAX);
	err = route_create(&route, method, pattern, handler, arg);
	if (err || !route)
		return err;
	err = node_with(out, router->root, route, route->pattern + 1);
	route_unref(route);
	return err;
}

static weft_err router_make(weft_http_router **out, struct http_node *root, size_t count)
{
	weft_http_router *router = mem_calloc(1, sizeof(*router));

	if (!router || !root) {
		mem_free(router);
		node_unref(root);
		return err_setf(WEFT_ENOMEM, "router: out of memory");
	}
	refcount_init(&router->refs, 1);
	router->root = root;
	router->count = count;
	*out = router;
	return WEFT_OK;
}

weft_err weft_http_router_create(weft_http_router **out)
{
	return router_make(out, node_create(NULL, 0), 0);
}

weft_err weft_http_router_add(weft_http_router *router, const char *method, const char *pattern,
	weft_http_handler handler, void *arg)
{
	struct http_node *root = NULL;
	weft_err err;

	if (counter_get(&router->is_fixed))
		return err_setf(WEFT_EINVAL,
			"route: the router is in use by a server: see weft_http_server_route");
	err = root_with(&root, router, method, pattern, handler, arg);
	if (err)
		return err;
	node_unref(router->root);
	router->root = root;
	router->count++;
	return WEFT_OK;
}

weft_err http_router_with(weft_http_router **out, const weft_http_router *old, const char *method,
	const char *pattern, weft_http_handler handler, void *arg)
{
	struct http_node *root = NULL;
	weft_err err = root_with(&root, old, method, pattern, handler, arg);

	return err ? err : router_make(out, root, old->count + 1);
}

void http_router_fix(weft_http_router *router)
{
	counter_set(&router->is_fixed, 1);
}

size_t weft_http_router_count(const weft_http_router *router)
{
	return router->count;
}

weft_http_router *weft_http_router_ref(weft_http_router *router)
{
	refcount_hold(&router->refs);
	return router;
}

void weft_http_router_unref(weft_http_router *router)
{
	if (!router || !refcount_drop(&router->refs))
		return;
	node_unref(router->root);
	mem_free(router);
}

/* ---- finding ---- */

struct search {
	const char *method;
	size_t method_len;
	bool is_head;
	struct http_match *match;
	unsigned params_len;
	const char *end; /* of the path */
};

static const struct http_route *serves(const struct http_node *node, const struct search *s)
{
	const struct http_route *route;

	if (node->routes_len == 0)
		return NULL;
	route = node_route(node, s->method, s->method_len);
	if (!route && s->is_head)
		route = node_route(node, "GET", 3);
	return route ? route : node_route(node, "*", 1);
}

static void put_param(struct search *s, const char *at, const char *end)
{
	s->match->params[s->params_len] = (struct http_param){ at, (uint32_t)(end - at) };
}

/* The path goes on at `at`; NULL: it ends here. As deep as the tree: SEGMENTS_MAX. */
static const struct http_route *find(const struct http_node *node, const char *at, struct search *s)
{
	const struct http_route *route = NULL;
	const char *end, *next;
	size_t place;
	bool found;

	if (!at)
		return serves(node, s);
	end = memchr(at, '/', (size_t)(s->end - at));
	next = end ? end + 1 : NULL;
	end = end ? end : s->end;
	place = literal_find(node, at, end, &found);
	if (found)
		route = find(node->literals[place], next, s);
	if (!route && node->param && end > at) {
		put_param(s, at, end);
		s->params_len++;
		route = find(node->param, next, s);
		s->params_len--;
	}
	if (!route && node->rest) {
		put_param(s, at, s->end);
		route = serves(node->rest, s);
	}
	return route;
}

bool http_router_find(const weft_http_router *router, const char *method, size_t method_len,
	const char *path, size_t path_len, struct http_match *match)
{
	struct search s = { method, method_len, method_len == 4 && memcmp(method, "HEAD", 4) == 0,
		match, 0, path + path_len };

	match->route = path_len > 0 && *path == '/' ? find(router->root, path + 1, &s) : NULL;
	return match->route != NULL;
}

struct allowed {
	char *out;
	size_t size, len;
	const char *end;
};

static bool is_listed(const struct allowed *a, const char *method, size_t len)
{
	struct http1_piece rest = { a->out, a->len }, one;

	while (http1_list_next(&rest, &one))
		if (one.len == len && memcmp(one.data, method, len) == 0)
			return true;
	return false;
}

static void allow(struct allowed *a, const char *method, size_t len)
{
	size_t comma = a->len ? 2 : 0;

	if (is_listed(a, method, len) || a->len + comma + len > a->size)
		return;
	memcpy(a->out + a->len, ", ", comma);
	memcpy(a->out + a->len + comma, method, len);
	a->len += comma + len;
}

static void allow_node(struct allowed *a, const struct http_node *node)
{
	for (size_t i = 0; i < node->routes_len; i++) {
		const struct http_route *route = node->routes[i];

		allow(a, route->method, route->method_len);
		if (strcmp(route->method, "GET") == 0)
			allow(a, "HEAD", 4);
	}
	if (node->routes_len)
		allow(a, "OPTIONS", 7);
}

/* Every node that the path leads to, as find would, if the methods were right. */
static void allow_below(struct allowed *a, const struct http_node *node, const char *at)
{
	const char *end, *next;
	size_t place;
	bool found;

	if (!at) {
		allow_node(a, node);
		return;
	}
	end = memchr(at, '/', (size_t)(a->end - at));
	next = end ? end + 1 : NULL;
	end = end ? end : a->end;
	place = literal_find(node, at, end, &found);
	if (found)
		allow_below(a, node->literals[place], next);
	if (node->param && end > at)
		allow_below(a, node->param, next);
	if (node->rest)
		allow_node(a, node->rest);
}

size_t http_router_allow(
	const weft_http_router *router, const char *path, size_t path_len, char *out, size_t size)
{
	struct allowed a = { out, size, 0, path + path_len };

	if (path_len > 0 && *path == '/')
		allow_below(&a, router->root, path + 1);
	return a.len;
}
