/* SPDX-License-Identifier: MIT */
/*
 * The scanner of JSON: white space, numbers, and what is within what; strings are in string_scan.c.
 * Runs of space and of digits are measured 16 bytes at a time (SSE2), so that no branch depends on
 * their length. A stack of one bit a level says what is around: an array or an object.
 *
 * Costs: each byte is looked at once, and once more by the UTF-8 check where the text is not
 * ASCII. No memory but the stack of 128 bytes.
 */
#include "proto/jsonrpc/scan.h"

#include "base/align.h"
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif
const char json_too_deep[] = "nested too deep";
const char json_too_large[] = "too large";

weft_json_limits json_limits(const weft_json_limits *limits)
{
	weft_json_limits l = { 0, 0 };

	if (limits)
		l = *limits;
	if (l.size_max == 0)
		l.size_max = WEFT_JSON_SIZE_DEFAULT;
	if (l.depth_max == 0)
		l.depth_max = WEFT_JSON_DEPTH_DEFAULT;
	if (l.depth_max > WEFT_JSON_DEPTH_MAX)
		l.depth_max = WEFT_JSON_DEPTH_MAX;
	return l;
}

struct json_scan json_scan_of(const char *text, size_t len, unsigned depth_max)
{
	struct json_scan s = { .begin = text, .end = text + len, .depth_max = depth_max };

	return s;
}

__attribute__((noinline, cold)) const char *json_fault(
	struct json_scan *s, const char *at, const char *what)
{
	s->fault = what;
	s->fault_at = at;
	return NULL;
}

/* ---- white space ---- */

const char *json_space_run(const char *p, const char *end)
{
#if defined(__SSE2__)
	const __m128i blank = _mm_set1_epi8(' '), lf = _mm_set1_epi8('\n');
	const __m128i cr = _mm_set1_epi8('\r'), tab = _mm_set1_epi8('\t');

	for (; end - p >= 16; p += 16) {
		__m128i b = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i hit =
			_mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(b, blank), _mm_cmpeq_epi8(b, lf)),
				_mm_or_si128(_mm_cmpeq_epi8(b, cr), _mm_cmpeq_epi8(b, tab)));
		unsigned other = (unsigned)_mm_movemask_epi8(hit) ^ 0xffffu;

		if (other)
			return p + __builtin_ctz(other);
	}
#endif
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

/* ---- numbers, literals ---- */

static inline bool is_digit(char c)
{
	return (unsigned char)(c - '0') < 10;
}

/* At least one digit. */
static inline const char *digits(struct json_scan *s, const char *p)
{
	const char *first = p;

#if defined(__SSE2__)
	for (; s->end - p >= 16; p += 16) {
		__m128i b = _mm_sub_epi8(
			_mm_loadu_si128((const __m128i *)(const void *)p), _mm_set1_epi8('0'));
		__m128i hit = _mm_cmpeq_epi8(_mm_min_epu8(b, _mm_set1_epi8(9)), b);
		unsigned other = (unsigned)_mm_movemask_epi8(hit) ^ 0xffffu;

		if (weft_likely(other)) {
			p += __builtin_ctz(other);
			goto out;
		}
	}
#endif
	while (p < s->end && is_digit(*p))
		p++;
#if defined(__SSE2__)
out:
#endif
	if (weft_unlikely(p == first))
		return json_fault(s, p, "a digit of a number is missing");
	return p;
}

static const char *number(struct json_scan *s, const char *p)
{
	if (*p == '-')
		p++;
	if (p < s->end && *p == '0')
		p++;
	else
		p = digits(s, p);
	if (p && p < s->end && *p == '.')
		p = digits(s, p + 1);
	if (p && p < s->end && (*p | 0x20) == 'e') {
		p++;
		if (p < s->end && (*p == '+' || *p == '-'))
			p++;
		p = digits(s, p);
	}
	return p;
}

static const char *literal(struct json_scan *s, const char *p, const char *word, size_t len)
{
	if ((size_t)(s->end - p) >= len && !memcmp(p, word, len))
		return p + len;
	return json_fault(s, p, "no value: neither true, false nor null");
}

/* A value that is neither an array nor an object. */
static inline const char *scalar(struct json_scan *s, const char *p)
{
	bool escaped;

	switch (*p) {
	case '"':
		return json_string(s, p, &escaped);
	case 't':
		return literal(s, p, "true", 4);
	case 'f':
		return literal(s, p, "false", 5);
	case 'n':
		return literal(s, p, "null", 4);
	default:
		if (weft_likely(is_digit(*p) || *p == '-'))
			return number(s, p);
		return json_fault(s, p, "no value begins so");
	}
}

/* ---- arrays and objects ---- */

const char *json_name(struct json_scan *s, const char *p, weft_json *name, bool *escaped)
{
	const char *first = p;

	if (p == s->end || *p != '"')
		return json_fault(s, p, "the name of a member must be here");
	p = json_string(s, p, escaped);
	if (!p)
		return NULL;
	*name = (weft_json){ first, (size_t)(p - first) };
	p = json_space(p, s->end);
	if (p == s->end || *p != ':')
		return json_fault(s, p, "':' is missing behind the name of a member");
	return json_space(p + 1, s->end);
}

/* What is around the value that is looked at. */
struct nest {
	unsigned depth;
	bool in_object; /* the innermost is an object */
	/* a bit for each level further out */
	uint64_t objects[WEFT_JSON_DEPTH_MAX / 64];
};

static inline void push(struct nest *n, bool object)
{
	uint64_t bit = UINT64_C(1) << n->depth % 64, *word = &n->objects[n->depth / 64];
	uint64_t below = n->depth % 64 > 0 ? *word & (bit - 1) : 0;

	*word = n->in_object ? below | bit : below;
	n->in_object = object;
	n->depth++;
}

static inline void pop(struct nest *n)
{
	n->depth--;
	n->in_object = n->objects[n->depth / 64] >> n->depth % 64 & 1;
}

/* To the value of the next member, or to the next element. */
static inline const char *item(struct json_scan *s, const struct nest *n, const char *p)
{
	weft_json name;
	bool escaped;

	p = json_space(p, s->end);
	return n->in_object ? json_name(s, p, &name, &escaped) : p;
}

/* Behind a value: to the next one, or behind the outermost. */
static inline const char *leave(
	struct json_scan *s, struct nest *n, unsigned outermost, const char *p)
{
	while (n->depth > outermost) {
		p = json_space(p, s->end);
		if (weft_unlikely(p == s->end))
			return json_fault(s, p, "the text ends within a value");
		if (*p == ',')
			return item(s, n, p + 1);
		if (weft_unlikely(*p != (n->in_object ? '}' : ']')))
			return json_fault(s, p,
				n->in_object ? "',' or '}' must be here"
					     : "',' or ']' must be here");
		p++;
		pop(n);
	}
	return p;
}

/* An opening bracket: to its first value; or to its closing one, *empty set. */
static inline const char *enter(struct json_scan *s, struct nest *n, const char *p, bool *empty)
{
	bool object = *p == '{';

	if (weft_unlikely(n->depth >= s->depth_max))
		return json_fault(s, p, json_too_deep);
	push(n, object);
	p = json_space(p + 1, s->end);
	*empty = p < s->end && *p == (object ? '}' : ']');
	return *empty ? p : item(s, n, p);
}

const char *json_value(struct json_scan *s, const char *p)
{
	unsigned outermost = s->depth;
	struct nest n;

	n.depth = outermost;
	n.in_object = false;
	n.objects[outermost / 64] = 0;
	do {
		if (weft_unlikely(p == s->end))
			return json_fault(s, p, "the text ends where a value must be");
		if (*p == '{' || *p == '[') {
			bool empty = false;

			p = enter(s, &n, p, &empty);
			if (!p)
				return NULL;
			if (!empty)
				continue;
		} else {
			p = scalar(s, p);
			if (!p)
				return NULL;
		}
		p = leave(s, &n, outermost, p);
	} while (p && n.depth > outermost);
	return p;
}

bool json_scan_utf8(struct json_scan *s, const char *p)
{
	size_t len, good;

	if (s->fault)
		p = s->fault_at;
	if (weft_likely(!s->high))
		return !s->fault;
	len = (size_t)(p - s->begin);
	good = utf8_valid_len(s->begin, len);
	if (good < len)
		json_fault(s, s->begin + good, "not UTF-8");
	return !s->fault;
}
