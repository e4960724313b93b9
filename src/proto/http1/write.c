/* SPDX-License-Identifier: MIT */
/*
 * The writer. Each part is checked as it is copied; whatever could end a line early is refused, so
 * that a head has just the fields that were put. Nothing is allocated; a byte is written once.
 */
#include "proto/http1/chars.h"
#include "proto/http1/head.h"

#include "base/check.h"

#include <string.h>

#define LITERAL(text) (text), sizeof(text) - 1

void http1_out_init(struct http1_out *out, char *data, size_t size)
{
	*out = (struct http1_out){ .data = data, .size = size };
}

static void bad(struct http1_out *out, enum http1_write_fault fault)
{
	/* a wrong field is told also where there was no room */
	if (out->fault == HTTP1_WRITE_OK || out->fault == HTTP1_WRITE_SPACE)
		out->fault = fault;
}

/* Room for len bytes, or NULL; they are counted in any case. */
static char *room(struct http1_out *out, size_t len)
{
	size_t at = out->len;

	out->len += len;
	if (out->fault)
		return NULL;
	if (out->size < at || out->size - at < len) {
		out->fault = HTTP1_WRITE_SPACE;
		return NULL;
	}
	return out->data + at;
}

static void put(struct http1_out *out, const char *text, size_t len)
{
	char *to = room(out, len);

	if (to && len > 0)
		memcpy(to, text, len);
}

static void put_number(struct http1_out *out, uint64_t value)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + value % 10);
	while (value /= 10);
	put(out, digits + n, sizeof(digits) - n);
}

/* ---- what the framing says ---- */

static void put_length(struct http1_out *out, int64_t length)
{
	if (length < 0) {
		bad(out, HTTP1_WRITE_FRAMING);
		return;
	}
	put(out, LITERAL("Content-Length: "));
	put_number(out, (uint64_t)length);
	put(out, LITERAL("\r\n"));
}

static void put_connection(struct http1_out *out, bool close, bool keep_alive, bool upgrade)
{
	if (close && upgrade)
		put(out, LITERAL("Connection: close, upgrade\r\n"));
	else if (close)
		put(out, LITERAL("Connection: close\r\n"));
	else if (upgrade)
		put(out, LITERAL("Connection: upgrade\r\n"));
	else if (keep_alive)
		put(out, LITERAL("Connection: keep-alive\r\n"));
}

void http1_put_request(struct http1_out *out, const char *method, size_t method_len,
	const char *target, size_t target_len, const struct http1_framing *framing)
{
	if (!http1_is_token(method, method_len) || method_len > HTTP1_METHOD_MAX)
		bad(out, HTTP1_WRITE_METHOD);
	if (!http1_is_target(target, target_len))
		bad(out, HTTP1_WRITE_TARGET);
	put(out, method, method_len);
	put(out, LITERAL(" "));
	put(out, target, target_len);
	put(out, LITERAL(" HTTP/1.1\r\n"));
	switch (framing->kind) {
	case HTTP1_NO_BODY:
		if (framing->content_length >= 0)
			put_length(out, 0);
		break;
	case HTTP1_LENGTH:
		put_length(out, framing->content_length);
		break;
	case HTTP1_CHUNKED:
		put(out, LITERAL("Transfer-Encoding: chunked\r\n"));
		break;
	case HTTP1_TUNNEL:
		break;
	case HTTP1_UNTIL_CLOSE:
		bad(out, HTTP1_WRITE_FRAMING);
		break;
	}
	put_connection(out, !framing->keep_alive && framing->kind != HTTP1_TUNNEL, false,
		framing->upgrade);
	if (framing->expect_continue)
		put(out, LITERAL("Expect: 100-continue\r\n"));
}

/* No body may follow, nor a length be said. */
static bool is_bare(unsigned status)
{
	return status < 200 || status == 204;
}

static void put_response_kind(
	struct http1_out *out, unsigned minor, unsigned status, const struct http1_framing *framing)
{
	bool may = !is_bare(status) && status != 304;

	switch (framing->kind) {
	case HTTP1_NO_BODY:
		if (framing->content_length >= 0 && !is_bare(status))
			put_length(out, framing->content_length);
		return;
	case HTTP1_LENGTH:
		put_length(out, framing->content_length);
		break;
	case HTTP1_CHUNKED:
		put(out, LITERAL("Transfer-Encoding: chunked\r\n"));
		may = may && minor > 0;
		break;
	case HTTP1_UNTIL_CLOSE:
		may = may && !framing->keep_alive;
		break;
	case HTTP1_TUNNEL:
		may = framing->upgrade ? status == 101 : status >= 200 && status < 300;
		break;
	}
	if (!may)
		bad(out, HTTP1_WRITE_FRAMING);
}

void http1_put_response(struct http1_out *out, unsigned minor, unsigned status, const char *reason,
	size_t reason_len, const struct http1_framing *framing)
{
	char line[] = "HTTP/1.1 000 ";
	bool tunnel = framing->kind == HTTP1_TUNNEL;

	if (status < 100 || status > 999)
		bad(out, HTTP1_WRITE_STATUS);
	if (http1_has_ctl(reason, reason_len))
		bad(out, HTTP1_WRITE_REASON);
	line[9] = (char)('0' + status / 100 % 10);
	line[10] = (char)('0' + status / 10 % 10);
	line[11] = (char)('0' + status % 10);
	put(out, line, sizeof(line) - 1);
	put(out, reason, reason_len);
	put(out, LITERAL("\r\n"));
	put_response_kind(out, minor, status, framing);
	/* an interim response says nothing of the connection */
	put_connection(out, !framing->keep_alive && !tunnel && status >= 200,
		minor == 0 && status >= 200 && !tunnel, framing->upgrade);
}

/* ---- fields ---- */

static bool is_reserved(const struct http1_out *out, const char *name, size_t len)
{
	enum http1_name known;

	if (out->trailers)
		return http1_trailer_is_forbidden(http1_name_of(name, len));
	/* most names have none of their lengths */
	if (len != strlen("connection") && len != strlen("content-length") &&
		len != strlen("transfer-encoding"))
		return false;
	known = http1_name_of(name, len);
	return known == HTTP1_NAME_CONTENT_LENGTH || known == HTTP1_NAME_TRANSFER_ENCODING ||
		known == HTTP1_NAME_CONNECTION;
}

void http1_put_known(struct http1_out *out, const char *name, size_t name_len, const char *value,
	size_t value_len)
{
	char *to = room(out, name_len + 2 + value_len + 2);

	if (!to)
		return;
	memcpy(to, name, name_len);
	to += name_len;
	*to++ = ':';
	*to++ = ' ';
	if (value_len > 0)
		memcpy(to, value, value_len);
	to += value_len;
	*to++ = '\r';
	*to = '\n';
}

void http1_put_field(struct http1_out *out, const char *name, size_t name_len, const char *value,
	size_t value_len)
{
	if (!http1_is_token(name, name_len) || name_len > HTTP1_NAME_MAX)
		bad(out, HTTP1_WRITE_NAME);
	else if (is_reserved(out, name, name_len))
		bad(out, HTTP1_WRITE_RESERVED);
	if (!http1_is_value(value, value_len))
		bad(out, HTTP1_WRITE_VALUE);
	http1_put_known(out, name, name_len, value, value_len);
}

bool http1_put_end(struct http1_out *out)
{
	put(out, LITERAL("\r\n"));
	return out->fault == HTTP1_WRITE_OK;
}

/* ---- chunks ---- */

void http1_put_last_chunk(struct http1_out *out)
{
	put(out, LITERAL("0\r\n"));
	out->trailers = true;
}

char *http1_chunk_head_before(char *end, uint64_t size)
{
	CHECK(size > 0); /* that would be the last one */
	*--end = '\n';
	*--end = '\r';
	do
		*--end = "0123456789abcdef"[size & 15];
	while (size >>= 4);
	return end;
}
