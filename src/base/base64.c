/* SPDX-License-Identifier: MIT */
/* See base64.h. */
#include "base/base64.h"

#include <stdint.h>

void base64_encode(char *out, const void *data, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *in = data;

	for (; len > 0; out += 4) {
		size_t n = len < 3 ? len : 3;
		uint32_t bits = (uint32_t)in[0] << 16;

		if (n > 1)
			bits |= (uint32_t)in[1] << 8;
		if (n > 2)
			bits |= in[2];
		out[0] = digits[bits >> 18];
		out[1] = digits[bits >> 12 & 63];
		out[2] = n > 1 ? digits[bits >> 6 & 63] : '=';
		out[3] = n > 2 ? digits[bits & 63] : '=';
		in += n;
		len -= n;
	}
	*out = '\0';
}

/* -1: none. */
static int32_t value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(void *out, size_t *out_len, const char *text, size_t len)
{
	uint8_t *to = out;
	size_t at = 0;

	if (len % 4 != 0)
		return false;
	for (; len > 0; text += 4, len -= 4) {
		/* only the last group may be padded */
		unsigned n = len > 4 || text[3] != '=' ? 3 : text[2] != '=' ? 2 : 1;
		uint32_t bits = 0;

		for (unsigned i = 0; i < 4; i++) {
			int32_t value = i <= n ? value_of(text[i]) : 0;

			if (value < 0)
				return false;
			bits = bits << 6 | (uint32_t)value;
		}
		if (bits & ((UINT32_C(1) << 8 * (3 - n)) - 1))
			return false;
		for (unsigned i = 0; i < n; i++)
			to[at++] = (uint8_t)(bits >> (16 - 8 * i));
	}
	*out_len = at;
	return true;
}
