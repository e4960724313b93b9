/* SPDX-License-Identifier: MIT */
#include "proto/http1/chars.h"

#include <string.h>

/* By byte; those from 0x80 are in no class. http1_chars_test builds it anew, from the
 * classes' lists in the RFCs. */
const uint8_t http1_class[256] = { 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x00, 0x04,
	0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04,
	0x04, 0x04, 0x04, 0x04, 0x04, 0x04, 0x00, 0x0b, 0x00, 0x01, 0x0b, 0x0b, 0x0b, 0x0b, 0x0a,
	0x0a, 0x0b, 0x0b, 0x0a, 0x0b, 0x0b, 0x02, 0x3b, 0x3b, 0x3b, 0x3b, 0x3b, 0x3b, 0x3b, 0x3b,
	0x3b, 0x3b, 0x02, 0x0a, 0x00, 0x0a, 0x00, 0x02, 0x02, 0x1b, 0x1b, 0x1b, 0x1b, 0x1b, 0x1b,
	0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b,
	0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x02, 0x02, 0x02, 0x03, 0x0b, 0x03, 0x1b, 0x1b, 0x1b, 0x1b,
	0x1b, 0x1b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b,
	0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x02, 0x03, 0x02, 0x0b, 0x04 };

bool http1_all_in(const char *text, size_t len, unsigned classes)
{
	unsigned all = classes;

	for (size_t i = 0; i < len; i++)
		all &= http1_class[(uint8_t)text[i]];
	return all == classes;
}

static bool none_in(const char *text, size_t len, unsigned classes)
{
	unsigned any = 0;

	for (size_t i = 0; i < len; i++)
		any |= http1_class[(uint8_t)text[i]];
	return !(any & classes);
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Some byte of the eight is below 0x20, or 0x7f; HTAB is one. */
static inline bool maybe_ctl(const char *text)
{
	uint64_t x, y;

	memcpy(&x, text, sizeof(x));
	y = x ^ EACH(0x7f);
	return (((x - EACH(0x20)) & ~x) | ((y - EACH(1)) & ~y)) & EACH(0x80);
}

bool http1_has_ctl(const char *text, size_t len)
{
	size_t i = 0;

	for (; i + 8 <= len; i += 8) {
		if (maybe_ctl(text + i) && !none_in(text + i, 8, HTTP1_CTL))
			return true;
	}
	return !none_in(text + i, len - i, HTTP1_CTL);
}

bool http1_is_token(const char *text, size_t len)
{
	return len > 0 && http1_all_in(text, len, HTTP1_TOKEN);
}

bool http1_is_target(const char *text, size_t len)
{
	return len > 0 && http1_all_in(text, len, HTTP1_URI);
}

bool http1_is_value(const char *text, size_t len)
{
	if (len == 0)
		return true;
	return !http1_is_blank(text[0]) && !http1_is_blank(text[len - 1]) &&
		!http1_has_ctl(text, len);
}

/* ":" port, which may be empty (RFC 3986 3.2.3), or nothing. */
static bool is_port(const char *text, size_t len)
{
	unsigned port = 0;

	if (len == 0)
		return true;
	if (text[0] != ':' || len > 6 || !http1_all_in(text + 1, len - 1, HTTP1_DIGIT))
		return false;
	for (size_t i = 1; i < len; i++)
		port = port * 10 + (unsigned)(text[i] - '0');
	return port <= 65535;
}

bool http1_is_authority(const char *text, size_t len)
{
	size_t host = 0;

	if (len > 0 && text[0] == '[') {
		/* an address of IP version 6 or later */
		for (host = 1; host < len && text[host] != ']'; host++) {
			if (text[host] != ':' && !(http1_is(text[host], HTTP1_HOST)))
				return false;
		}
		if (host == 1 || host == len)
			return false;
		host++;
	} else {
		while (host < len && http1_is(text[host], HTTP1_HOST))
			host++;
	}
	return is_port(text + host, len - host);
}

static unsigned lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned)c + 32 : (unsigned)(uint8_t)c;
}

bool http1_same_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
	if (a_len != b_len)
		return false;
	for (size_t i = 0; i < a_len; i++) {
		if (lower(a[i]) != lower(b[i]))
			return false;
	}
	return true;
}

/* Where the quoted string that begins at i ends: behind its last quote, or len. */
static size_t quoted_end(const char *text, size_t len, size_t i)
{
	for (i++; i < len && text[i] != '"'; i++)
		i += text[i] == '\\';
	return i < len ? i + 1 : len;
}

bool http1_list_next(struct http1_piece *rest, struct http1_piece *element)
{
	const char *text = rest->data;
	size_t len = rest->len, from = 0, to, next;

	while (from < len && (text[from] == ',' || http1_is_blank(text[from])))
		from++;
	for (next = from; next < len && text[next] != ',';)
		next = text[next] == '"' ? quoted_end(text, len, next) : next + 1;
	for (to = next; to > from && http1_is_blank(text[to - 1]);)
		to--;
	*rest = (struct http1_piece){ text + next, len - next };
	if (to == from)
		return false;
	*element = (struct http1_piece){ text + from, to - from };
	return true;
}
