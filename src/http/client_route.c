/* SPDX-License-Identifier: MIT */
/*
 * Where a request goes. A URL in plain form - lower case, no escapes, no dot segments, no port that
 * goes without saying - is used where it stands, and what is before its path is the key of the
 * pool. Any other is parsed by weft_http_url_parse, which gives the same parts.
 */
#include "base/mem.h"
#include "http/client.h"

#include <stdio.h>
#include <string.h>

#define URL_SHOWN_MAX 200 /* bytes of a URL in an error */

static const char http_scheme[] = "http://", https_scheme[] = "https://";

static bool is_plain_host(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

/* What may stand in a path or query as it is, but for '.', which may make a dot segment, and '%'. */
static bool is_plain_target(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '/' || c == '-' || c == '_' || c == '=' || c == '&' || c == '?' || c == ',' ||
		c == '+' || c == ':' || c == '~';
}

/* ":port" at p in its shortest form, and not the scheme's own; its end, NULL: it is not. */
static const char *plain_port(const char *p, bool is_https, uint16_t *port)
{
	unsigned value = 0;
	const char *begin = p;

	if (*p == '0')
		return NULL;
	while (*p >= '0' && *p <= '9' && p - begin < 5)
		value = value * 10 + (unsigned)(*p++ - '0');
	if (p == begin || value > UINT16_MAX || value == (is_https ? 443 : 80))
		return NULL;
	*port = (uint16_t)value;
	return p;
}

/* False: it has to be parsed. */
static bool split_plain(struct client_route *route, const char *url)
{
	const char *p = url;

	route->is_https = strncmp(url, https_scheme, sizeof(https_scheme) - 1) == 0;
	if (!route->is_https && strncmp(url, http_scheme, sizeof(http_scheme) - 1) != 0)
		return false;
	p += route->is_https ? sizeof(https_scheme) - 1 : sizeof(http_scheme) - 1;
	route->port = route->is_https ? 443 : 80;
	route->host = route->authority = p;
	while (is_plain_host(*p))
		p++;
	route->host_len = (size_t)(p - route->host);
	if (route->host_len == 0 || route->host_len > NET_HOST_MAX)
		return false;
	if (*p == ':') {
		p = plain_port(p + 1, route->is_https, &route->port);
		if (!p)
			return false;
	}
	route->authority_len = (size_t)(p - route->authority);
	route->key = (struct pool_key){ url, (size_t)(p - url) };
	route->target = p;
	while (is_plain_target(*p) || (*p == '.' && p > route->target && p[-1] != '/'))
		p++;
	route->target_len = (size_t)(p - route->target);
	if (*p != '\0' || (size_t)(p - url) > WEFT_HTTP_URL_MAX)
		return false;
	if (route->target_len == 0) {
		route->target = "/";
		route->target_len = 1;
	}
	return route->target[0] == '/';
}

static weft_err use_parsed(struct client_route *route, const weft_http_url *url)
{
	if (url->userinfo)
		return err_setf(WEFT_EINVAL, "the URL has user information before '@'");
	route->is_https = url->is_https;
	route->port = url->port;
	route->host = url->host;
	route->host_len = strlen(url->host);
	route->authority = url->authority;
	route->authority_len = strlen(url->authority);
	route->target = url->target;
	route->target_len = strlen(url->target);
	route->key = (struct pool_key){ NULL, 0 };
	return WEFT_OK;
}

static weft_err make_key(struct client_route *route)
{
	const char *scheme = route->is_https ? https_scheme : http_scheme;
	const char *unix_path = route->unix_path ? route->unix_path : "";
	const char *proxy = route->proxy ? route->proxy : "";
	size_t size = sizeof(https_scheme) + route->authority_len + strlen(unix_path) +
		strlen(proxy) + 32;
	int len;

	if (route->key.data && !route->unix_path && !route->proxy && !route->tls)
		return WEFT_OK;
	route->key_memory = mem_alloc(size);
	if (!route->key_memory)
		return err_setf(WEFT_ENOMEM, "out of memory");
	if (!*unix_path && !*proxy && !route->tls)
		len = snprintf(route->key_memory, size, "%s%.*s", scheme, (int)route->authority_len,
			route->authority);
	else
		len = snprintf(route->key_memory, size, "%s%.*s\n%s\n%s\n%p", scheme,
			(int)route->authority_len, route->authority, unix_path, proxy,
			(void *)route->tls);
	route->key = (struct pool_key){ route->key_memory, (size_t)len };
	return WEFT_OK;
}

weft_err client_route_init(struct client_route *route, const weft_http_request *request)
{
	const char *proxy = request->proxy && *request->proxy ? request->proxy : NULL;
	weft_err err = WEFT_OK;

	*route = (struct client_route){
		.unix_path = request->unix_path, .proxy = proxy, .tls = request->tls
	};
	if (!request->url && !request->url_parsed)
		return err_setf(WEFT_EINVAL, "no URL is given");
	if (request->unix_path && !*request->unix_path)
		return err_setf(WEFT_EINVAL, "unix_path is empty");
	if (proxy && request->unix_path)
		return err_setf(WEFT_EINVAL, "both unix_path and proxy are given");
	if (request->url_parsed) {
		err = use_parsed(route, request->url_parsed);
	} else if (!split_plain(route, request->url)) {
		err = weft_http_url_parse(&route->parsed, request->url);
		if (!err)
			err = use_parsed(route, &route->parsed);
	}
	if (!err)
		err = make_key(route);
	if (err)
		client_route_fini(route);
	return err;
}

void client_route_fini(struct client_route *route)
{
	weft_http_url_fini(&route->parsed);
	mem_free(route->key_memory);
	*route = (struct client_route){ .host = NULL };
}

void client_route_format(const struct client_route *route, char *out, size_t size)
{
	int target = (int)(route->target_len < URL_SHOWN_MAX ? route->target_len : URL_SHOWN_MAX);

	(void)snprintf(out, size, "%s%.*s%.*s%s", route->is_https ? https_scheme : http_scheme,
		(int)route->authority_len, route->authority, target, route->target,
		route->target_len > URL_SHOWN_MAX ? "..." : "");
}
