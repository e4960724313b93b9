/* SPDX-License-Identifier: MIT */
/* http and https URLs: RFC 3986 with the schemes' own rules of RFC 9110, section 4.2. */
#include <weft/http.h>

#include "base/err.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define HOST_MAX 253 /* RFC 1035 */
#define PORT_SIZE sizeof(":65535")
#define PORT_HTTP 80
#define PORT_HTTPS 443

static const char http_prefix[] = "http://", https_prefix[] = "https://";

/* A part of the text. */
struct span {
	const char *p;
	size_t len;
};

struct parts {
	const char *text;
	bool is_https;
	uint16_t port;
	struct span userinfo, host, path, query, fragment; /* p NULL: not there */
	bool is_ipv6;
};

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool in_set(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* May stand in userinfo, path, query and fragment; RFC 3986, sections 3.2 to 3.5. */
static bool is_plain(char c)
{
	return is_alpha(c) || is_digit(c) || in_set(c, "-._~!$&'()*+,;=:@%/?");
}

static bool has_prefix(const char *text, const char *prefix)
{
	size_t i;

	for (i = 0; prefix[i]; i++)
		if (lower(text[i]) != prefix[i])
			return false;
	return true;
}

/* What stands before the last '@' may be a password, and is not shown. */
static weft_err bad(const struct parts *u, const char *at, const char *what)
{
	size_t scheme = has_prefix(u->text, http_prefix) ? sizeof(http_prefix) - 1
		: has_prefix(u->text, https_prefix)	 ? sizeof(https_prefix) - 1
							 : 0;
	const char *user = strrchr(u->text + scheme, '@');

	return err_setf(WEFT_EINVAL, "URL '%.*s%s%.200s': %s at byte %zu", (int)scheme, u->text,
		user ? "..." : "", user ? user : u->text + scheme, what, (size_t)(at - u->text));
}

/* --- parsing -------------------------------------------------------------------------------- */

static struct span span_to(const char *begin, const char *end)
{
	return (struct span){ begin, (size_t)(end - begin) };
}

static weft_err parse_port(struct parts *u, const char *p, const char *end)
{
	unsigned port = 0;

	u->port = u->is_https ? PORT_HTTPS : PORT_HTTP;
	if (p == end)
		return WEFT_OK;
	for (const char *at = p; at < end; at++) {
		if (!is_digit(*at))
			return bad(u, at, "port is not a number");
		port = port * 10 + (unsigned)(*at - '0');
		if (port > UINT16_MAX)
			return bad(u, p, "port above 65535");
	}
	if (port == 0)
		return bad(u, p, "port 0");
	u->port = (uint16_t)port;
	return WEFT_OK;
}

static weft_err check_ipv6(const struct parts *u)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (u->host.len >= sizeof(text))
		return bad(u, u->host.p, "not an IPv6 address");
	memcpy(text, u->host.p, u->host.len);
	text[u->host.len] = '\0';
	return inet_pton(AF_INET6, text, &addr) == 1 ? WEFT_OK
						     : bad(u, u->host.p, "not an IPv6 address");
}

static weft_err check_name(const struct parts *u)
{
	if (u->host.len == 0)
		return bad(u, u->host.p, "no host");
	if (u->host.len > HOST_MAX)
		return bad(u, u->host.p, "host name of more than 253 bytes");
	for (size_t i = 0; i < u->host.len; i++) {
		const char *at = &u->host.p[i];

		if ((unsigned char)*at >= 0x80)
			return bad(u, at, "host name outside ASCII (write its xn-- form)");
		if (!is_alpha(*at) && !is_digit(*at) && !in_set(*at, "-._~"))
			return bad(u, at, "character that no host name has");
	}
	return WEFT_OK;
}

/* [userinfo@]host[:port] */
static weft_err parse_authority(struct parts *u, const char *p, const char *end)
{
	const char *at = memchr(p, '@', (size_t)(end - p)), *close;
	weft_err err;

	if (at) {
		u->userinfo = span_to(p, at);
		for (; p < at; p++)
			if (!is_plain(*p))
				return bad(u, p, "character that no user name or password has");
		p = at + 1;
		at = memchr(p, '@', (size_t)(end - p));
		if (at)
			return bad(u, at, "a second '@'");
	}
	u->is_ipv6 = p < end && *p == '[';
	if (u->is_ipv6) {
		close = memchr(p, ']', (size_t)(end - p));
		if (!close)
			return bad(u, p, "'[' without ']'");
		u->host = span_to(p + 1, close);
		err = check_ipv6(u);
		p = close + 1;
		if (!err && p < end && *p != ':')
			return bad(u, p, "something between ']' and the port");
	} else {
		close = memchr(p, ':', (size_t)(end - p));
		u->host = span_to(p, close ? close : end);
		err = check_name(u);
		p = close ? close : end;
	}
	if (err)
		return err;
	return parse_port(u, p < end ? p + 1 : end, end);
}

static weft_err split(struct parts *u, const char *text)
{
	size_t len = strlen(text);
	const char *p, *end = text + len, *rest;

	u->text = text;
	if (len > WEFT_HTTP_URL_MAX)
		return err_setf(WEFT_EMSGSIZE, "URL of more than %zu bytes", WEFT_HTTP_URL_MAX);
	for (p = text; p < end; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return bad(u, p, "control character");
	u->is_https = has_prefix(text, https_prefix);
	if (!u->is_https && !has_prefix(text, http_prefix))
		return bad(u, text, "neither http:// nor https://");
	p = text + (u->is_https ? sizeof(https_prefix) : sizeof(http_prefix)) - 1;
	rest = p + strcspn(p, "/?#");
	weft_err err = parse_authority(u, p, rest);
	if (err)
		return err;
	p = rest + strcspn(rest, "?#");
	u->path = span_to(rest, p);
	if (*p == '?') {
		rest = p + 1;
		p = rest + strcspn(rest, "#");
		u->query = span_to(rest, p);
	}
	if (*p == '#')
		u->fragment = span_to(p + 1, end);
	return WEFT_OK;
}

/* --- writing -------------------------------------------------------------------------------- */

/* Writes what may stand in a URL as it is, the rest percent-encoded. */
static char *put_encoded(char *out, struct span from)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < from.len; i++) {
		unsigned char c = (unsigned char)from.p[i];

		if (is_plain((char)c)) {
			*out++ = (char)c;
		} else {
			*out++ = '%';
			*out++ = digits[c >> 4];
			*out++ = digits[c & 15];
		}
	}
	return out;
}

static bool starts(const char *p, const char *end, const char *what)
{
	size_t len = strlen(what);

	return (size_t)(end - p) >= len && memcmp(p, what, len) == 0;
}

static bool is_exactly(const char *p, const char *end, const char *what)
{
	return (size_t)(end - p) == strlen(what) && starts(p, end, what);
}

/* RFC 3986, section 5.2.4, in place; the path begins with '/'. The new end. */
static char *remove_dots(char *path, char *end)
{
	char *in = path, *out = path;

	while (in < end) {
		if (starts(in, end, "/./")) {
			in += 2;
		} else if (is_exactly(in, end, "/.")) {
			*out++ = '/';
			break;
		} else if (starts(in, end, "/../") || is_exactly(in, end, "/..")) {
			bool last = is_exactly(in, end, "/..");

			while (out > path && *--out != '/')
				;
			if (last) {
				*out++ = '/';
				break;
			}
			in += 3;
		} else {
			do
				*out++ = *in++;
			while (in < end && *in != '/');
		}
	}
	return out;
}

static char *put(char *out, const char *text, size_t len)
{
	memcpy(out, text, len);
	return out + len;
}

static char *put_text(char *out, const char *text)
{
	return text ? put(out, text, strlen(text)) : out;
}

static bool is_default_port(const struct parts *u)
{
	return u->port == (u->is_https ? PORT_HTTPS : PORT_HTTP);
}

static char *put_host(char *out, struct span host)
{
	for (size_t i = 0; i < host.len; i++)
		*out++ = lower(host.p[i]);
	*out++ = '\0';
	return out;
}

static char *put_target(char *out, const struct parts *u)
{
	char *path = out;

	if (u->path.len == 0)
		*out++ = '/';
	out = put_encoded(out, u->path);
	out = remove_dots(path, out);
	if (u->query.p) {
		*out++ = '?';
		out = put_encoded(out, u->query);
	}
	*out++ = '\0';
	return out;
}

static weft_err build(weft_http_url *out, const struct parts *u)
{
	/* host twice, with brackets and port; each byte of the rest three times at most */
	size_t size = 2 * u->host.len + u->userinfo.len +
		3 * (u->path.len + u->query.len + u->fragment.len) + 32;
	char *p = mem_alloc(size);
	weft_http_url url = { .is_https = u->is_https, .port = u->port, .memory = p };

	if (!p)
		return err_set(WEFT_ENOMEM);
	url.host = p;
	p = put_host(p, u->host);
	url.authority = p;
	if (u->is_ipv6)
		*p++ = '[';
	p = put_text(p, url.host);
	if (u->is_ipv6)
		*p++ = ']';
	if (!is_default_port(u))
		p += snprintf(p, PORT_SIZE, ":%u", (unsigned)u->port);
	*p++ = '\0';
	url.target = p;
	p = put_target(p, u);
	if (u->userinfo.p) {
		url.userinfo = p;
		p = put(p, u->userinfo.p, u->userinfo.len);
		*p++ = '\0';
	}
	if (u->fragment.p) {
		url.fragment = p;
		p = put_encoded(p, u->fragment);
		*p = '\0';
	}
	*out = url;
	return WEFT_OK;
}

weft_err weft_http_url_parse(weft_http_url *out, const char *text)
{
	struct parts u = { .text = NULL };
	weft_err err = split(&u, text);

	return err ? err : build(out, &u);
}

void weft_http_url_fini(weft_http_url *url)
{
	mem_free(url->memory);
	*url = (weft_http_url){ .memory = NULL };
}

/* --- references ----------------------------------------------------------------------------- */

/* Whether it begins with a scheme and its colon; RFC 3986, section 3.1. */
static bool has_scheme(const char *text)
{
	size_t i = 0;

	if (!is_alpha(text[0]))
		return false;
	while (is_alpha(text[i]) || is_digit(text[i]) || in_set(text[i], "+-."))
		i++;
	return text[i] == ':';
}

/* How much of the base's target stays in front of the reference. */
static size_t kept_of_target(const char *target, const char *reference)
{
	size_t path = strcspn(target, "?");

	if (reference[0] == '\0' || reference[0] == '#')
		return strlen(target);
	if (reference[0] == '?')
		return path;
	if (reference[0] == '/')
		return 0;
	while (path > 0 && target[path - 1] != '/')
		path--;
	return path;
}

static char *join(const weft_http_url *base, const char *reference)
{
	bool has_authority = reference[0] == '/' && reference[1] == '/';
	size_t kept = kept_of_target(base->target, reference);
	bool inherits = base->fragment && !strchr(reference, '#');
	size_t size = strlen(base->authority) + strlen(base->target) + strlen(reference) +
		(base->userinfo ? strlen(base->userinfo) : 0) +
		(inherits ? strlen(base->fragment) : 0) + 32;
	char *text = mem_alloc(size), *p = text;

	if (!text)
		return NULL;
	p = put_text(p, base->is_https ? "https:" : "http:");
	if (!has_authority) {
		p = put_text(p, "//");
		p = put_text(p, base->userinfo);
		p = put_text(p, base->userinfo ? "@" : NULL);
		p = put_text(p, base->authority);
		p = put(p, base->target, kept);
	}
	p = put_text(p, reference);
	if (inherits) {
		*p++ = '#';
		p = put_text(p, base->fragment);
	}
	*p = '\0';
	return text;
}

static weft_err inherit_fragment(
	weft_http_url *out, const weft_http_url *base, const char *reference)
{
	char *text, *p;
	weft_err err;

	if (!base->fragment || strchr(reference, '#'))
		return weft_http_url_parse(out, reference);
	text = mem_alloc(strlen(reference) + strlen(base->fragment) + 2);
	if (!text)
		return err_set(WEFT_ENOMEM);
	p = put_text(text, reference);
	*p++ = '#';
	p = put_text(p, base->fragment);
	*p = '\0';
	err = weft_http_url_parse(out, text);
	mem_free(text);
	return err;
}

weft_err weft_http_url_resolve(weft_http_url *out, const weft_http_url *base, const char *reference)
{
	char *text;
	weft_err err;

	if (strlen(reference) > WEFT_HTTP_URL_MAX)
		return err_setf(WEFT_EMSGSIZE, "URL of more than %zu bytes", WEFT_HTTP_URL_MAX);
	if (has_scheme(reference))
		return inherit_fragment(out, base, reference);
	text = join(base, reference);
	if (!text)
		return err_set(WEFT_ENOMEM);
	err = weft_http_url_parse(out, text);
	mem_free(text);
	return err;
}

bool weft_http_url_same_origin(const weft_http_url *a, const weft_http_url *b)
{
	return a->is_https == b->is_https && a->port == b->port && strcmp(a->host, b->host) == 0;
}

size_t weft_http_url_format(const weft_http_url *url, char *out, size_t size)
{
	int len = snprintf(out, size, "%s%s%s", url->is_https ? https_prefix : http_prefix,
		url->authority, url->target);

	return len < 0 ? 0 : (size_t)len;
}
