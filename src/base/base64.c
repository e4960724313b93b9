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
