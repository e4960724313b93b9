/* SPDX-License-Identifier: MIT */
#ifndef PROTO_JSONRPC_SCAN_H
#define PROTO_JSONRPC_SCAN_H

/*
 * The scanner of JSON: RFC 8259's grammar over bytes in memory, once from left to right.
 *
 * Each function takes where to begin and returns where what it took ends, or NULL: then fault and
 * fault_at are set. None reads at end or behind it.
 *
 * UTF-8: strings are passed whatever bytes above 0x7f they hold, which is only noted; outside of
 * strings such a byte is a fault as any other. json_scan_utf8 looks at all of it afterwards, where
 * there was any.
 */
#include "base/align.h"

#include <weft/json.h>

#include <stdbool.h>
#include <stddef.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

struct json_scan {
	const char *begin; /* of the text: offsets are from here */
	const char *end;
	unsigned depth;	    /* of what is around the next value */
	unsigned depth_max; /* up to WEFT_JSON_DEPTH_MAX */
	unsigned high;	    /* not 0: a byte above 0x7f was seen */
	const char *fault;  /* what is wrong; NULL: nothing */
	const char *fault_at;
};

/* Faults of limits rather than of the text. */
extern const char json_too_deep[];
extern const char json_too_large[];

/* depth_max and size_max as they hold. */
weft_json_limits json_limits(const weft_json_limits *limits);
struct json_scan json_scan_of(const char *text, size_t len, unsigned depth_max);
const char *json_fault(struct json_scan *s, const char *at, const char *what);

#if defined(__SSE2__)
/* A bit for each byte that ends a run of plain text in a string: '"', '\', below U+0020. */
static inline unsigned json_specials16(__m128i b)
{
	__m128i hit = _mm_or_si128(
		_mm_cmpeq_epi8(b, _mm_set1_epi8('"')), _mm_cmpeq_epi8(b, _mm_set1_epi8('\\')));

	/* what 0x1f, as unsigned, is not less than */
	hit = _mm_or_si128(hit, _mm_cmpeq_epi8(_mm_min_epu8(b, _mm_set1_epi8(0x1f)), b));
	return (unsigned)_mm_movemask_epi8(hit);
}
#endif

/* To what is no white space, or end. */
const char *json_space_run(const char *p, const char *end);
/* The same where there usually is none, or one blank. */
static inline const char *json_space(const char *p, const char *end)
{
	if (weft_likely(p < end && (unsigned char)*p > ' '))
		return p;
	if (end - p >= 2 && *p == ' ' && (unsigned char)p[1] > ' ')
		return p + 1;
	return json_space_run(p, end);
}
/* A string, from its opening quote on; json_string looks at its first bytes. *escaped is set when it
 * has escapes, and otherwise left. */
const char *json_string_rest(struct json_scan *s, const char *p, bool *escaped);
static inline const char *json_string(struct json_scan *s, const char *p, bool *escaped)
{
	p++;
#if defined(__SSE2__)
	if (weft_likely(s->end - p >= 16)) {
		__m128i b = _mm_loadu_si128((const __m128i *)(const void *)p);
		unsigned special = json_specials16(b);
		const char *first = p + __builtin_ctz(special | 0x10000);

		if (weft_likely(special && *first == '"')) {
			s->high |= (unsigned)_mm_movemask_epi8(b);
			return first + 1;
		}
	}
#endif
	return json_string_rest(s, p, escaped);
}
/* A value that begins at p. */
const char *json_value(struct json_scan *s, const char *p);
/* From p, where the name of a member must begin, to the value behind its colon. name is the string
 * with its quotes; *escaped is set when it has escapes. */
const char *json_name(struct json_scan *s, const char *p, weft_json *name, bool *escaped);
/* Makes what was scanned from begin to p a fault when it isn't UTF-8, unless a fault before that is
 * known. False: there is a fault. */
bool json_scan_utf8(struct json_scan *s, const char *p);

/* A text as names are compared, of len bytes; string is one that was scanned, with quotes. */
bool json_string_equals(weft_json string, const char *text, size_t len);
/*
 * The next bytes of a string's text: at *p of one that was scanned, before its closing quote;
 * 1 to 4 bytes into out, *p behind what they stand for. 0: a wrong escape.
 */
unsigned json_string_step(const char **p, const char *end, char out[4]);

#endif
