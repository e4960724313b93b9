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

/* 64 bytes of the text, at least one of which is a token. */
struct json_block {
	const char *at;
	uint64_t tokens;
	uint64_t closings; /* of these: the closing quotes */
};

/* So many blocks are looked at in one go: what finds their tokens is then in registers, and need
 * not wait for who walks over them. */
#define JSON_AHEAD 8

struct json_scan {
	const char *begin; /* of the text: offsets are from here */
	const char *end;
	unsigned depth;	    /* of what is around the next value */
	unsigned depth_max; /* up to WEFT_JSON_DEPTH_MAX */
	bool high;	    /* a byte above 0x7f was seen */
	bool backslashes;   /* some was seen */
	const char *fault;  /* what is wrong; NULL: nothing */
	const char *fault_at;
	/* the rest is json_next's own */
	uint64_t tokens;		/* of block, not taken yet */
	const struct json_block *block; /* one of ahead */
	const struct json_block *last;	/* of these */
	unsigned load_max;		/* blocks that json_load may look at: up to JSON_AHEAD */
	const char *next;		/* what it begins with; end: there is no more */
	uint64_t in_string;		/* all bits: that is in a string; or none */
	uint64_t escaped;		/* 1: its first byte is escaped; or 0 */
	uint64_t in_run;		/* 1: it begins within a run of something else; or 0 */
	const char *string_fault;	/* the first within a string that was found */
	const char *string_fault_at;
	struct json_block ahead[JSON_AHEAD];
};

/* Faults of limits rather than of the text. */
extern const char json_too_deep[];
extern const char json_too_large[];
/* What json_next returns when there is no more: no token is a NUL. */
extern const char json_no_token[1];

/* depth_max and size_max as they hold. */
weft_json_limits json_limits(const weft_json_limits *limits);
/* From from on, which is within the text of len bytes and not within a string. all: most of the text
 * will be walked over; else json_load looks at no more at first than it must. */
static inline void json_scan_init(struct json_scan *s, const char *text, size_t len,
	const char *from, bool all, unsigned depth_max)
{
	s->begin = text;
	s->end = text + len;
	s->depth = 0;
	s->depth_max = depth_max;
	s->high = s->backslashes = false;
	s->fault = s->fault_at = NULL;
	s->tokens = 0;
	s->block = s->last = s->ahead;
	s->load_max = all ? JSON_AHEAD : 1;
	s->next = from;
	s->in_string = s->escaped = s->in_run = 0;
	s->string_fault = s->string_fault_at = NULL;
}
/* Returns NULL. at may be json_no_token: the end. A fault in a string before that is told instead. */
const char *json_fault(struct json_scan *s, const char *at, const char *what);

/* Finds the next blocks that have tokens, from ahead[0] to last; false: there are none. */
bool json_load(struct json_scan *s);
/* The ways in which it may do that (see bits.h), from the slowest; for tests, too. */
enum json_way { JSON_PLAIN, JSON_VECTOR16, JSON_AVX2, JSON_AVX512 };
/* This machine can. */
bool json_way_is_there(enum json_way way);
bool json_load_by(struct json_scan *s, enum json_way way);
/* The block behind that one; NULL: there is none. */
static inline const struct json_block *json_block_behind(
	struct json_scan *s, const struct json_block *block)
{
	if (block != s->last)
		return block + 1;
	return s->next < s->end && json_load(s) ? s->ahead : NULL;
}

static inline const char *json_next(struct json_scan *s)
{
	const char *token;

	if (weft_unlikely(!s->tokens)) {
		const struct json_block *block = json_block_behind(s, s->block);

		if (!block)
			return json_no_token;
		s->block = block;
		s->tokens = block->tokens;
	}
	token = s->block->at + (unsigned)__builtin_ctzll(s->tokens);
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
	const struct json_block *block;
	const char *at; /* block's */
};

static inline struct json_cursor json_cursor_of(struct json_scan *s)
{
	return (struct json_cursor){ s, s->tokens, s->block, s->tokens ? s->block->at : NULL };
}

static inline void json_cursor_pause(const struct json_cursor *c)
{
	c->scan->tokens = c->tokens;
	c->scan->block = c->block;
}

static inline void json_cursor_resume(struct json_cursor *c)
{
	c->tokens = c->scan->tokens;
	c->block = c->scan->block;
	c->at = c->block->at;
}

/* lean: but for closing quotes, which follow the opening ones anyway. */
static inline const char *json_cursor_next(struct json_cursor *c, bool lean)
{
	const char *token;

	while (weft_unlikely(!c->tokens)) {
		const struct json_block *block = json_block_behind(c->scan, c->block);

		if (weft_unlikely(!block))
			return json_no_token;
		c->block = block;
		c->tokens = lean ? block->tokens & ~block->closings : block->tokens;
		c->at = block->at;
	}
	token = c->at + (unsigned)__builtin_ctzll(c->tokens);
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
