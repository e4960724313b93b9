/* SPDX-License-Identifier: MIT */
/* The grammar of addresses; see addr.h. */
#define _GNU_SOURCE
#include "net/addr.h"

#include "base/err.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUOTED_MAX 128 /* bytes of an address that an error repeats */

/* What is being parsed, for the errors. */
struct text {
	const char *all;
	size_t len;
	const char *at; /* the part that is looked at */
};

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 127;
}

/* Bytes that would garble a terminal or a log line become '?'. */
static void quote(char *out, const char *text, size_t len)
{
	size_t n = len < QUOTED_MAX ? len : QUOTED_MAX;

	for (size_t i = 0; i < n; i++)
		out[i] = is_control(text[i]) ? '?' : text[i];
	out[n] = '\0';
	if (n < len)
		memcpy(out + n - 3, "...", 3);
}

static weft_err bad(const struct text *text, const char *why)
{
	char quoted[QUOTED_MAX + 1];

	quote(quoted, text->all, text->len);
	return err_setf(WEFT_EINVAL, "address \"%s\": %s (at offset %zu)", quoted, why,
		(size_t)(text->at - text->all));
}

static size_t left(const struct text *text)
{
	return text->len - (size_t)(text->at - text->all);
}

static bool skip(struct text *text, const char *prefix)
{
	size_t n = strlen(prefix);

	if (left(text) < n || memcmp(text->at, prefix, n) != 0)
		return false;
	text->at += n;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_host_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
		c == '.' || c == '_';
}

static weft_err parse_port(struct net_addr *out, struct text *text, enum net_use use)
{
	const char *start = text->at, *end = text->all + text->len;
	uint32_t port = 0;

	if (start == end)
		return bad(text, "the port is missing");
	for (; text->at < end; text->at++) {
		if (!is_digit(*text->at))
			return bad(text, "the port is not a number");
		port = port * 10 + (uint32_t)(*text->at - '0');
		if (port > UINT16_MAX) {
			text->at = start;
			return bad(text, "the port is above 65535");
		}
	}
	text->at = start;
	if (port == 0 && use == NET_DIAL)
		return bad(text, "port 0 can't be connected to");
	out->port = (uint16_t)port;
	return WEFT_OK;
}

/* "fe80::1%eth0": the scope by name or number. */
static bool numeric_v6(struct io_addr *out, const char *host, uint16_t port)
{
	char address[INET6_ADDRSTRLEN];
	const char *scope = strchr(host, '%');
	size_t len = scope ? (size_t)(scope - host) : strlen(host);
	unsigned long id = 0;

	if (len >= sizeof(address))
		return false;
	memcpy(address, host, len);
	address[len] = '\0';
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET6, address, &out->in6.sin6_addr) != 1)
		return false;
	if (scope) {
		id = if_nametoindex(scope + 1);
		for (const char *c = scope + 1; !id && *c; c++) {
			if (!is_digit(*c) || c - scope > 9)
				return false;
		}
		if (!id && !scope[1])
			return false;
		if (!id)
			id = strtoul(scope + 1, NULL, 10);
	}
	out->in6.sin6_family = AF_INET6;
	out->in6.sin6_port = htons(port);
	out->in6.sin6_scope_id = (uint32_t)id;
	out->len = sizeof(out->in6);
	return true;
}

bool net_addr_numeric(struct io_addr *out, const char *host, uint16_t port)
{
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &out->in.sin_addr) != 1)
		return numeric_v6(out, host, port);
	out->in.sin_family = AF_INET;
	out->in.sin_port = htons(port);
	out->len = sizeof(out->in);
	return true;
}

static weft_err parse_bracketed(struct net_addr *out, struct text *text, size_t *host_len)
{
	const char *close = memchr(text->at, ']', left(text));
	const char *start = text->at + 1;

	if (!close)
		return bad(text, "']' is missing");
	*host_len = (size_t)(close - start);
	if (*host_len > NET_HOST_MAX || memchr(start, '\0', *host_len))
		return bad(text, "not an IPv6 address");
	memcpy(out->host, start, *host_len);
	out->host[*host_len] = '\0';
	if (!numeric_v6(&out->addr, out->host, 0))
		return bad(text, "not an IPv6 address");
	out->numeric = true;
	text->at = close + 1;
	return WEFT_OK;
}

static weft_err parse_name(struct net_addr *out, struct text *text, size_t *host_len)
{
	size_t len = 0, all = left(text);
	const char *start = text->at;

	while (len < all && is_host_char(start[len]))
		len++;
	if (len < all && start[len] != ':') {
		text->at += len;
		return bad(text, "a character that no host name has");
	}
	if (len < all && memchr(start + len + 1, ':', all - len - 1))
		return bad(text, "an IPv6 address stands in brackets: [::1]");
	if (len > NET_HOST_MAX)
		return bad(text, "the host name is longer than 253 bytes");
	memcpy(out->host, start, len);
	out->host[len] = '\0';
	if (len == 0)
		memcpy(out->host, "127.0.0.1", sizeof("127.0.0.1"));
	*host_len = len;
	text->at += len;
	return WEFT_OK;
}

static weft_err parse_tcp(struct net_addr *out, struct text *text, enum net_use use)
{
	size_t host_len = 0;
	weft_err err;

	out->kind = NET_TCP;
	if (left(text) && *text->at == '[')
		err = parse_bracketed(out, text, &host_len);
	else
		err = parse_name(out, text, &host_len);
	if (err)
		return err;
	if (left(text) == 0)
		return bad(text, "the port is missing");
	if (*text->at != ':')
		return bad(text, "':' and a port are missing after the host");
	text->at++;
	err = parse_port(out, text, use);
	if (err)
		return err;
	if (out->numeric)
		net_addr_set_port(&out->addr, out->port);
	else
		out->numeric = net_addr_numeric(&out->addr, out->host, out->port);
	return WEFT_OK;
}

static weft_err parse_unix(struct net_addr *out, struct text *text)
{
	size_t len;

	if (skip(text, "//") && (!left(text) || *text->at != '/')) {
		text->at -= 2;
		return bad(text, "a unix address has no host: unix:/path");
	}
	/* What unix: and a path give when both have slashes to spare. */
	while (left(text) > 1 && text->at[0] == '/' && text->at[1] == '/')
		text->at++;
	len = left(text);
	if (len == 0 || (len == 1 && *text->at == '@'))
		return bad(text, "the path is missing");
	if (len > NET_PATH_MAX)
		return bad(text, "the path is longer than 107 bytes");
	if (memchr(text->at, '\0', len))
		return bad(text, "the path has a NUL in it");
	out->kind = NET_UNIX;
	out->addr.un.sun_family = AF_UNIX;
	memcpy(out->addr.un.sun_path, text->at, len);
	if (*text->at == '@')
		out->addr.un.sun_path[0] = '\0';
	else
		len++; /* the kernel counts the NUL of a path */
	out->addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return WEFT_OK;
}

weft_err net_addr_parse(struct net_addr *out, const char *text, size_t len, enum net_use use)
{
	struct text t = { text, len, text };
	struct net_addr parsed;
	weft_err err;

	memset(&parsed, 0, sizeof(parsed));
	if (skip(&t, "tcp://"))
		err = parse_tcp(&parsed, &t, use);
	else if (skip(&t, "unix:"))
		err = parse_unix(&parsed, &t);
	else
		err = bad(&t, "neither tcp:// nor unix: begins it");
	if (!err)
		*out = parsed;
	return err;
}

/* A text that grows within NET_NAME_SIZE bytes. */
struct name {
	char *text;
	size_t len;
};

static void put(struct name *name, const char *format, ...) WEFT_PRINTF(2, 3);
static void put(struct name *name, const char *format, ...)
{
	size_t room = NET_NAME_SIZE - name->len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(name->text + name->len, room, format, args);
	va_end(args);
	if (n > 0)
		name->len += (size_t)n < room ? (size_t)n : room - 1;
}

/* Control bytes as \xNN. */
static void put_escaped(struct name *name, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (is_control(text[i]))
			put(name, "\\x%02x", (unsigned)(unsigned char)text[i]);
		else
			put(name, "%c", text[i]);
	}
}

static void format_unix(const struct io_addr *addr, struct name *name)
{
	const char *path = net_addr_path(addr);
	size_t room = offsetof(struct sockaddr_un, sun_path);

	put(name, "unix:");
	if (path) {
		put_escaped(name, path, strnlen(path, NET_PATH_MAX + 1));
	} else if (addr->len > room + 1) {
		put(name, "@");
		put_escaped(name, addr->un.sun_path + 1, addr->len - room - 1);
	}
}

static void format_v6(const struct io_addr *addr, struct name *name)
{
	const struct in6_addr *v6 = &addr->in6.sin6_addr;
	unsigned port = ntohs(addr->in6.sin6_port), scope = addr->in6.sin6_scope_id;
	char host[INET6_ADDRSTRLEN];

	if (IN6_IS_ADDR_V4MAPPED(v6)) {
		(void)inet_ntop(AF_INET, &v6->s6_addr[12], host, sizeof(host));
		put(name, "tcp://%s:%u", host, port);
		return;
	}
	(void)inet_ntop(AF_INET6, v6, host, sizeof(host));
	if (scope)
		put(name, "tcp://[%s%%%u]:%u", host, scope, port);
	else
		put(name, "tcp://[%s]:%u", host, port);
}

void net_addr_format(const struct io_addr *addr, char *out)
{
	struct name name = { out, 0 };
	char host[INET_ADDRSTRLEN];

	out[0] = '\0';
	if (addr->len < sizeof(sa_family_t)) {
		put(&name, "unix:");
	} else if (addr->sa.sa_family == AF_UNIX) {
		format_unix(addr, &name);
	} else if (addr->sa.sa_family == AF_INET) {
		(void)inet_ntop(AF_INET, &addr->in.sin_addr, host, sizeof(host));
		put(&name, "tcp://%s:%u", host, ntohs(addr->in.sin_port));
	} else if (addr->sa.sa_family == AF_INET6) {
		format_v6(addr, &name);
	} else {
		put(&name, "family:%d", addr->sa.sa_family);
	}
}

const char *net_addr_path(const struct io_addr *addr)
{
	if (addr->len <= offsetof(struct sockaddr_un, sun_path) || addr->sa.sa_family != AF_UNIX ||
		addr->un.sun_path[0] == '\0')
		return NULL;
	return addr->un.sun_path;
}

void net_addr_set_port(struct io_addr *addr, uint16_t port)
{
	if (addr->sa.sa_family == AF_INET)
		addr->in.sin_port = htons(port);
	else if (addr->sa.sa_family == AF_INET6)
		addr->in6.sin6_port = htons(port);
}

bool net_addr_equal(const struct io_addr *a, const struct io_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_port == b->in.sin_port &&
			a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	if (a->sa.sa_family == AF_INET6)
		return a->in6.sin6_port == b->in6.sin6_port &&
			a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
			IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
	return a->len == b->len && memcmp(&a->un, &b->un, a->len) == 0;
}

bool net_addr_is_local(const struct io_addr *addr)
{
	const struct in6_addr *v6 = &addr->in6.sin6_addr;

	if (addr->sa.sa_family == AF_INET)
		return ntohl(addr->in.sin_addr.s_addr) >> 24 == 127;
	if (addr->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(v6) ||
			(IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
	return addr->sa.sa_family == AF_UNIX;
}

const char *net_reason(int errnum)
{
	const char *text = strerrordesc_np(errnum);

	return text ? text : "unknown error";
}
