/* SPDX-License-Identifier: MIT */
#ifndef PROTO_SSE_LINE_H
#define PROTO_SSE_LINE_H

/* The end of a line of an event stream, for parser and writer: CR and LF are looked for at once, so
 * that a text of many lines of one kind is not searched for the other kind from each of them. */
#include "base/vector16.h"

/* The first CR or LF; end when there is none. */
static inline const char *sse_line_end(const char *at, const char *end)
{
#if defined(HAVE_VECTOR16)
	for (; end - at >= 16; at += 16) {
		vector16 b = vector16_load(at);
		vector16 hits = vector16_is(b, '\n') | vector16_is(b, '\r');

		if (vector16_any_high(hits))
			return at + vector16_first(hits);
	}
#endif
	while (at < end && *at != '\n' && *at != '\r')
		at++;
	return at;
}

#endif
