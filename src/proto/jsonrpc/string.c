/* SPDX-License-Identifier: MIT */
/* Strings of JSON: their text, and texts as strings. */
#include "base/err.h"
#include "base/hex.h"
#include "base/utf8.h"
#include "proto/jsonrpc/scan.h"

#include <stdint.h>
#include <string.h>

#define UTF8_MAX 4
#define REPLACEMENT 0xfffdu
#define ESCAPE_MAX 6 /* \u001f */

static bool is_string(weft_json value)
{
	return weft_json_type_of(value) == WEFT_JSON_STRING && value.len >= 2 &&
		value.text[value.len - 1] == '"';
}

/* ---- decoding ---- */

/* The four digits behind \u at p; -1: they are none. */
static int32_t code_unit(const char *p, const char *end)
{
	int32_t unit = 0;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		int digit = hex_digit(p[i]);

		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

static unsigned put_point(uint32_t point, char out[UTF8_MAX])
{
	if (point < 0x80) {
		out[0] = (char)point;
		return 1;
	}
	if (point < 0x800) {
		out[0] = (char)(0xc0 | point >> 6);
		out[1] = (char)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		out[0] = (char)(0xe0 | point >> 12);
		out[1] = (char)(0x80 | (point >> 6 & 0x3f));
		out[2] = (char)(0x80 | (point & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | point >> 18);
	out[1] = (char)(0x80 | (point >> 12 & 0x3f));
	out[2] = (char)(0x80 | (point >> 6 & 0x3f));
	out[3] = (char)(0x80 | (point & 0x3f));
	return 4;
}

/* A \u escape, or two that are one character. */
static unsigned unicode_step(const char **p, const char *end, char out[UTF8_MAX])
{
	int32_t unit = code_unit(*p, end), low;
	uint32_t point = (uint32_t)unit;

	if (unit < 0)
		return 0;
	*p += 6;
	if (unit >= 0xd800 && unit <= 0xdfff) {
		point = REPLACEMENT;
		low = unit < 0xdc00 ? code_unit(*p, end) : -1;
		if (low >= 0xdc00 && low <= 0xdfff) {
			*p += 6;
			point = 0x10000 +
				(((uint32_t)unit - 0xd800) << 10 | ((uint32_t)low - 0xdc00));
		}
	}
	return put_point(point, out);
}

unsigned json_string_step(const char **p, const char *end, char out[UTF8_MAX])
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *name;

	if (**p != '\\') {
		out[0] = *(*p)++;
		return 1;
	}
	if (end - *p < 2)
		return 0;
	if ((*p)[1] == 'u')
		return unicode_step(p, end, out);
	name = (*p)[1] ? strchr(names, (*p)[1]) : NULL;
	if (!name)
		return 0;
	*p += 2;
	out[0] = values[name - names];
	return 1;
}

weft_err weft_json_string_view(weft_json string, const char **text, size_t *len)
{
	if (!is_string(string))
		return err_setf(WEFT_EINVAL, "JSON: no string");
	if (string.len > 2 && memchr(string.text + 1, '\\', string.len - 2))
		return err_set(WEFT_ENOTFOUND);
	*text = string.text + 1;
	*len = string.len - 2;
	return WEFT_OK;
}

weft_err weft_json_string_decode(weft_json string, char *to, size_t size, size_t *len)
{
	const char *p, *end;
	size_t at = 0;

	if (!is_string(string))
		return err_setf(WEFT_EINVAL, "JSON: no string");
	p = string.text + 1;
	end = string.text + string.len - 1;
	while (p < end) {
		const char *escape = memchr(p, '\\', (size_t)(end - p));
		size_t n = (size_t)((escape ? escape : end) - p);
		char point[UTF8_MAX];

		if (n > size - at)
			goto too_large;
		if (n > 0)
			memcpy(to + at, p, n);
		at += n;
		p += n;
		if (p == end)
			break;
		n = json_string_step(&p, end, point);
		if (n == 0)
			return err_setf(WEFT_EPROTO, "JSON: byte %zu of a string: a wrong escape",
				(size_t)(p - string.text));
		if (n > size - at)
			goto too_large;
		memcpy(to + at, point, n);
		at += n;
	}
	*len = at;
	return WEFT_OK;
too_large:
	return err_setf(WEFT_EMSGSIZE, "JSON: a string's text does not fit into %zu bytes", size);
}

bool json_string_equals(weft_json string, const char *text, size_t len)
{
	const char *p = string.text + 1, *end = string.text + string.len - 1;
	size_t at = 0;

	if (string.len - 2 == len)
		return !memcmp(p, text, len) && !memchr(p, '\\', len);
	/* escapes only ever make it shorter */
	if (string.len - 2 < len)
		return false;
	while (p < end) {
		char point[UTF8_MAX];
		unsigned n = json_string_step(&p, end, point);

		if (n == 0 || n > len - at || memcmp(text + at, point, n) != 0)
			return false;
		at += n;
	}
	return at == len;
}

bool weft_json_string_is_bytes(weft_json value, const char *text, size_t len)
{
	return is_string(value) && json_string_equals(value, text, len);
}

bool weft_json_string_is(weft_json value, const char *text)
{
	return weft_json_string_is_bytes(value, text, strlen(text));
}

/* ---- encoding ---- */

/* Bytes at p that are written as they are: plain and UTF-8. */
static size_t plain_len(const char *p, size_t len)
{
	size_t n = 0;

	while (n < len && (unsigned char)p[n] >= 0x20 && p[n] != '"' && p[n] != '\\')
		n++;
	return n;
}

/* How a byte that is not plain is written; the length. */
static unsigned put_escape(unsigned char c, char out[ESCAPE_MAX])
{
	static const char names[] = "btn\0fr", hex[] = "0123456789abcdef";
	char name = 0;

	if (c == '"' || c == '\\')
		name = (char)c;
	else if (c >= '\b' && c <= '\r')
		name = names[c - '\b'];
	out[0] = '\\';
	if (name) {
		out[1] = name;
		return 2;
	}
	out[1] = 'u';
	out[2] = '0';
	out[3] = '0';
	out[4] = hex[c >> 4];
	out[5] = hex[c & 15];
	return ESCAPE_MAX;
}

/* to NULL: only counts. */
static size_t encode(const char *text, size_t len, char *to)
{
	size_t out = 0;

	while (len > 0) {
		size_t n = plain_len(text, len);
		char escape[ESCAPE_MAX];

		if (n > 0)
			out += to ? utf8_repair(to + out, text, n) : utf8_repaired_len(text, n);
		text += n;
		len -= n;
		if (len == 0)
			break;
		n = put_escape((unsigned char)*text, escape);
		if (to)
			memcpy(to + out, escape, n);
		out += n;
		text++;
		len--;
	}
	return out;
}

size_t weft_json_string_size(const char *text, size_t len)
{
	return encode(text, len, NULL) + 2;
}

weft_err weft_json_string_encode(
	const char *text, size_t len, char *to, size_t size, size_t *written)
{
	size_t need = weft_json_string_size(text, len);

	if (need > size)
		return err_setf(WEFT_EMSGSIZE, "JSON: a string of %zu bytes does not fit into %zu",
			need, size);
	to[0] = '"';
	encode(text, len, to + 1);
	to[need - 1] = '"';
	*written = need;
	return WEFT_OK;
}
