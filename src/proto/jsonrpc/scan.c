/* SPDX-License-Identifier: MIT */
/*
 * What walks over the tokens; see scan.h, and load.c where they come from. A stack of one bit a
 * level says what is around a value: an array or an object.
 *
 * Costs: each byte is looked at once, the bytes of numbers and words twice, and all once more by the
 * UTF-8 check where the text is not ASCII. No memory but the stack of 128 bytes.
 */
#include "proto/jsonrpc/scan.h"

#include "base/utf8.h"

#include <string.h>

const char json_too_deep[] = "nested too deep";
const char json_too_large[] = "too large";
const char json_no_token[1] = { '\0' };

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

__attribute__((noinline, cold)) const char *json_fault(
	struct json_scan *s, const char *at, const char *what)
{
	s->fault = what;
	s->fault_at = at;
	if (at == json_no_token) {
		s->fault_at = s->end;
		s->fault = s->in_string ? "the text ends within a string"
					: "the text ends where more must come";
	}
	if (s->string_fault && s->string_fault_at <= s->fault_at) {
		s->fault = s->string_fault;
		s->fault_at = s->string_fault_at;
	}
	return NULL;
}

/* ---- numbers, words ---- */

static inline bool is_digit(char c)
{
	return (unsigned char)(c - '0') < 10;
}

/* At least one digit. */
static inline const char *digits(struct json_scan *s, const char *p)
{
	const char *first = p;

#if defined(HAVE_VECTOR16)
	/* no branch on how many there are, up to 16 */
	if (weft_likely(s->end - p >= 16))
		p += vector16_first(vector16_from(vector16_load(p) - vector16_of('0'), 10));
	if (weft_unlikely(p - first == 16 || s->end - p < 16))
#endif
		while (p < s->end && is_digit(*p))
			p++;
	if (weft_unlikely(p == first))
		return json_fault(s, p, "a digit of a number is missing");
	return p;
}

/* A sign and a leading 0 are as likely as not: no branch on them. */
static inline const char *number(struct json_scan *s, const char *p)
{
	const char *first;

	p += *p == '-';
	first = p;
	p = digits(s, p);
	if (weft_unlikely(p && *first == '0' && p > first + 1))
		return json_fault(s, first + 1, "a number begins with 0");
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

static const char *word(struct json_scan *s, const char *p, const char *text, size_t len)
{
	if ((size_t)(s->end - p) >= len && !memcmp(p, text, len))
		return p + len;
	return json_fault(s, p, "no value: neither true, false nor null");
}

/* A run that is no string must end where a token or space begins. */
static inline bool ends_run(char c)
{
	switch (c) {
	case ' ':
	case '\n':
	case '\r':
	case '\t':
	case ',':
	case ']':
	case '}':
	case ':':
	case '"':
	case '[':
	case '{':
		return true;
	default:
		return false;
	}
}

const char *json_scalar(struct json_scan *s, const char *p)
{
	switch (*p) {
	case 't':
		p = word(s, p, "true", 4);
		break;
	case 'f':
		p = word(s, p, "false", 5);
		break;
	case 'n':
		p = word(s, p, "null", 4);
		break;
	default:
		if (weft_unlikely(!is_digit(*p) && *p != '-'))
			return json_fault(s, p, "no value begins so");
		p = number(s, p);
		break;
	}
	if (weft_unlikely(p && p < s->end && !ends_run(*p)))
		return json_fault(s, p, "a value does not go on so");
	return p;
}

/* ---- arrays and objects ---- */

static inline const char *next(struct json_cursor *c)
{
	return json_cursor_next(c, true);
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
	uint64_t bit = UINT64_C(1) << n->depth % 64, *bits = &n->objects[n->depth / 64];
	uint64_t below = n->depth % 64 > 0 ? *bits & (bit - 1) : 0;

	*bits = n->in_object ? below | bit : below;
	n->in_object = object;
	n->depth++;
}

static inline void pop(struct nest *n)
{
	n->depth--;
	n->in_object = n->objects[n->depth / 64] >> n->depth % 64 & 1;
}

/* From its first token to the one of its value: the next member, or the next element. */
static inline const char *item(struct json_cursor *c, const struct nest *n, const char *p)
{
	if (!n->in_object)
		return p;
	if (weft_unlikely(*p != '"'))
		return json_fault(c->scan, p, "the name of a member must be here");
	p = next(c);
	if (weft_unlikely(*p != ':'))
		return json_fault(c->scan, p, "':' is missing behind the name of a member");
	return next(c);
}

/* Behind a value: to the next one, or to behind the outermost. */
static inline const char *leave(struct json_cursor *c, struct nest *n, unsigned outermost)
{
	const char *p;

	do {
		p = next(c);
		if (*p == ',')
			return item(c, n, next(c));
		if (weft_unlikely(*p != (n->in_object ? '}' : ']')))
			return json_fault(c->scan, p,
				n->in_object ? "',' or '}' must be here"
					     : "',' or ']' must be here");
		pop(n);
	} while (n->depth > outermost);
	return p + 1;
}

const char *json_container(struct json_scan *s, const char *p)
{
	struct json_cursor c = json_cursor_of(s);
	unsigned outermost = s->depth;
	struct nest n;

	c.tokens &= ~c.block->closings;
	n.depth = outermost;
	n.in_object = false;
	n.objects[outermost / 64] = 0;
	do {
		if (*p == '"') {
			/* its closing quote was left out */
		} else if (*p == '{' || *p == '[') {
			char closing = *p == '{' ? '}' : ']';

			if (weft_unlikely(n.depth >= s->depth_max))
				return json_fault(s, p, json_too_deep);
			push(&n, *p == '{');
			p = next(&c);
			if (*p != closing) {
				p = item(&c, &n, p);
				continue;
			}
			pop(&n);
			if (n.depth == outermost) {
				p++;
				break;
			}
		} else if (!json_scalar(s, p)) {
			return NULL;
		}
		p = leave(&c, &n, outermost);
	} while (p && n.depth > outermost);
	/* what is left of the block, closing quotes as well */
	if (p) {
		s->block = c.block;
		s->tokens = c.block->tokens & ~((UINT64_C(2) << (p - 1 - c.at)) - 1);
	}
	return p;
}

const char *json_value(struct json_scan *s, const char *p)
{
	if (*p == '{' || *p == '[')
		return json_container(s, p);
	if (*p != '"')
		return json_scalar(s, p);
	p = json_next(s);
	return weft_likely(p != json_no_token) ? p + 1 : json_fault(s, p, "");
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
	if (good < len) {
		s->fault = "not UTF-8";
		s->fault_at = s->begin + good;
	}
	return !s->fault;
}
