/* SPDX-License-Identifier: MIT */
#ifndef PROTO_JSONRPC_SCAN_H
#define PROTO_JSONRPC_SCAN_H

/*
 * The scanner of JSON: RFC 8259's grammar over bytes in memory, once from left to right.
 *
 * A text is taken as tokens: brackets, colons, commas, both quotes of each string, and the first
 * byte of each run of anything else outside of strings. Where they are is computed for 64 bytes at
 * a time as one mask, in a number of steps that doesn't depend on what the bytes are; what is
 * wrong within strings is found on the way. json_next then goes from one to the next, and
 * what walks over them never looks into a string.
 *
 * What walks takes a token and returns where the value ends, or NULL: then fault and fault_at
 * are set. Behind a value, the next token is the one behind it.
 *
 * UTF-8: strings may hold whatever bytes above 0x7f, which is only noted; outside of strings such
 * a byte is a fault as any other. json_scan_utf8 looks at all of it afterwards, where there was any.
 */
#include "base/align.h"
#include "proto/jsonrpc/bits.h"

#include <weft/json.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_scan {
	const char *begin; /* of the text: offsets are from here */
	const char *end;
	unsigned depth;	    /* of what is around the next value */
	unsigned depth_max; /* up to WEFT_JSON_DEPTH_MAX */
	bool high;	    /* a byte above 0x7f was seen */
	const char *fault;  /* what is wrong; NULL: nothing */
	const char *fault_at;
	/* the rest is json_next's own */
	uint64_t tokens;	  /* of the block at block, not taken yet */
	uint64_t all;		  /* of the block, taken or not */
	uint64_t closings;	  /* of all: the closing quotes */
	const char *block;	  /* in the text */
	const char *next;	  /* block; end: there is none */
	uint64_t in_string;	  /* all bits: the next block begins in a string; or none */
	uint64_t escaped;	  /* 1: its first byte is escaped; or 0 */
	uint64_t in_run;	  /* 1: it begins within a run of something else; or 0 */
	const char *string_fault; /* the first within a string that was found */
	const char *string_fault_at;
};

/* Faults of limits rather than of the text. */
extern const char json_too_deep[];
extern const char json_too_large[];
/* What json_next returns when there is no more: no token is a NUL. */
extern const char json_no_token[1];

/* depth_max and size_max as they hold. */
weft_json_limits json_limits(const weft_json_limits *limits);
/* From from on, which is within the text of len bytes and not within a string. */
static inline void json_scan_init(
	struct json_scan *s, const char *text, size_t len, const char *from, unsigned depth_max)
{
	s->begin = text;
	s->end = text + len;
	s->depth = 0;
	s->depth_max = depth_max;
	s->high = false;
	s->fault = s->fault_at = NULL;
	s->tokens = s->all = s->closings = 0;
	s->block = s->next = from;
	s->in_string = s->escaped = s->in_run = 0;
	s->string_fault = s->string_fault_at = NULL;
}
/* Returns NULL. at may be json_no_token: the end. A fault in a string before that is told instead. */
const char *json_fault(struct json_scan *s, const char *at, const char *what);

/* The tokens of the next block that has any; false: there is none. */
bool json_load(struct json_scan *s);
static inline const char *json_next(struct json_scan *s)
{
	const char *token;

	if (weft_unlikely(!s->tokens) && !json_load(s))
		return json_no_token;
	token = s->block + (unsigned)__builtin_ctzll(s->tokens);
	s->tokens &= s->tokens - 1;
	return token;
}

/*
 * The tokens of a scan apart from it, so that they stay in registers: in what takes many. Nobody else
 * takes from the scan between json_cursor_of, or _resume, and _pause.
 */
struct json_cursor {
	struct json_scan *scan;
	uint64_t tokens;
	const char *block;
};

static inline struct json_cursor json_cursor_of(struct json_scan *s)
{
	return (struct json_cursor){ s, s->tokens, s->block };
}

static inline void json_cursor_pause(const struct json_cursor *c)
{
	c->scan->tokens = c->tokens;
}

static inline void json_cursor_resume(struct json_cursor *c)
{
	c->tokens = c->scan->tokens;
	c->block = c->scan->block;
}

/* lean: but for closing quotes, which follow the opening ones anyway. */
static inline const char *json_cursor_next(struct json_cursor *c, bool lean)
{
	const char *token;

	while (weft_unlikely(!c->tokens)) {
		c->scan->tokens = 0;
		if (!json_load(c->scan))
			return json_no_token;
		c->tokens = lean ? c->scan->all & ~c->scan->closings : c->scan->all;
		c->block = c->scan->block;
	}
	token = c->block + (unsigned)__builtin_ctzll(c->tokens);
	c->tokens &= c->tokens - 1;
	return token;
}

/* The token p must be the first of a member's name. Returns that of its value, perhaps
 * json_no_token. name is the string with its quotes. */
static inline const char *json_name(struct json_cursor *c, const char *p, weft_json *name)
{
	const char *closing, *colon;

	if (weft_unlikely(*p != '"'))
		return json_fault(c->scan, p, "the name of a member must be here");
	closing = json_cursor_next(c, false);
	colon = json_cursor_next(c, false);
	if (weft_unlikely(*colon != ':'))
		return json_fault(c->scan, colon, "':' is missing behind the name of a member");
	*name = (weft_json){ p, (size_t)(closing + 1 - p) };
	return json_cursor_next(c, false);
}

/* A value whose first token is p. */
const char *json_value(struct json_scan *s, const char *p);
/* An array or object whose first token is p. */
const char *json_container(struct json_scan *s, const char *p);
/* A value whose first token is p and which is neither of these nor a string. Takes no token. */
const char *json_scalar(struct json_scan *s, const char *p);

/* What a value is by its first byte, which there must be. */
static inline weft_json_type json_type_by(char first)
{
	switch (first) {
	case '{':
		return WEFT_JSON_OBJECT;
	case '[':
		return WEFT_JSON_ARRAY;
	case '"':
		return WEFT_JSON_STRING;
	case 't':
	case 'f':
		return WEFT_JSON_BOOLEAN;
	case 'n':
		return WEFT_JSON_NULL;
	case '-':
		return WEFT_JSON_NUMBER;
	default:
		return first >= '0' && first <= '9' ? WEFT_JSON_NUMBER : WEFT_JSON_NONE;
	}
}

/* Makes what was scanned, up to p, a fault when it isn't UTF-8, unless a fault before that is known.
 * False: there is a fault. */
bool json_scan_utf8(struct json_scan *s, const char *p);

/* A text as names are compared, of len bytes; string is one that was scanned, with quotes. */
bool json_string_equals(weft_json string, const char *text, size_t len);
/*
 * The next bytes of a string's text: at *p of one that was scanned, before its closing quote;
 * 1 to 4 bytes into out, *p behind what they stand for. 0: a wrong escape.
 */
unsigned json_string_step(const char **p, const char *end, char out[4]);

#endif
