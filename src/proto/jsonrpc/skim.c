/* SPDX-License-Identifier: MIT */
/*
 * What of a message is told without keeping it. Bytes come in any pieces:
 *
 *	state		on				to
 *	BEGIN		'{'				NAME
 *			'['				BATCH
 *	NAME		'"'				IN_NAME
 *			'}'				DONE
 *	IN_NAME		its closing quote		COLON
 *	COLON		':'				VALUE
 *	VALUE		'"'				IN_STRING
 *			'{', '['			NESTED
 *			anything else			SCALAR
 *	IN_STRING	its closing quote		BEHIND
 *	SCALAR		space, ',', '}'			BEHIND, which takes it
 *	NESTED		'"'				NESTED_STRING
 *			the last closing bracket	BEHIND
 *	NESTED_STRING	its closing quote		NESTED
 *	BEHIND		','				NAME
 *			'}'				DONE
 *
 * Space is passed over between them, and anything not listed leads to BROKEN. Strings go by 16 bytes,
 * all else byte by byte.
 */
#include "base/vector16.h"
#include "proto/jsonrpc/scan.h"

#include <weft/jsonrpc.h>

#include <string.h>

enum state {
	BEGIN,
	NAME,
	IN_NAME,
	COLON,
	VALUE,
	IN_STRING,
	SCALAR,
	NESTED,
	NESTED_STRING,
	BEHIND,
	DONE,
	BATCH,
	BROKEN,
};

enum member { OTHER = 0, ID = 1, METHOD = 2, RESULT = 4, ERROR = 8 };

void weft_jsonrpc_skim_init(weft_jsonrpc_skim *skim)
{
	memset(skim, 0, sizeof(*skim));
	skim->state = BEGIN;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* What is too long for its place is none of those that are looked for: its length alone goes on. */
static void keep(char *to, size_t size, size_t *at, const char *bytes, size_t len)
{
	if (*at < size && len <= size - *at)
		memcpy(to + *at, bytes, len);
	*at = len <= size - (*at < size ? *at : size) ? *at + len : size + 1;
}

static void keep_name(weft_jsonrpc_skim *s, const char *bytes, size_t len)
{
	keep(s->name, sizeof(s->name), &s->name_len, bytes, len);
}

static void keep_id(weft_jsonrpc_skim *s, const char *bytes, size_t len)
{
	if (s->member == ID && !(s->repeated & ID))
		keep(s->id, sizeof(s->id), &s->id_len, bytes, len);
}

/* Which member this is whose name has come. */
static enum member member_of(const weft_jsonrpc_skim *s)
{
	static const struct {
		const char *name;
		enum member member;
	} known[] = { { "id", ID }, { "method", METHOD }, { "result", RESULT },
		{ "error", ERROR } };
	weft_json name = { s->name, s->name_len };

	if (s->name_len > sizeof(s->name))
		return OTHER;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (weft_json_string_is(name, known[i].name))
			return known[i].member;
	}
	return OTHER;
}

/* From within a string to behind its closing quote: *closed; or to end. */
static const char *pass_string(weft_jsonrpc_skim *s, const char *p, const char *end, bool *closed)
{
	for (; p < end && !*closed; p++) {
		if (s->escaped) {
			s->escaped = false;
			continue;
		}
#if defined(HAVE_VECTOR16)
		while (end - p >= 16) {
			vector16 b = vector16_load(p);
			unsigned n = vector16_first(vector16_is(b, '"') | vector16_is(b, '\\'));

			p += n;
			if (n < 16)
				break;
		}
		if (p == end)
			break;
#endif
		s->escaped = *p == '\\';
		*closed = *p == '"';
	}
	return p;
}

static const char *in_string(
	weft_jsonrpc_skim *s, const char *p, const char *end, enum state behind)
{
	bool closed = false;
	const char *to = pass_string(s, p, end, &closed);

	if (s->state == IN_NAME)
		keep_name(s, p, (size_t)(to - p));
	else if (s->state == IN_STRING)
		keep_id(s, p, (size_t)(to - p));
	if (closed)
		s->state = (int)behind;
	return to;
}

static const char *in_nested(weft_jsonrpc_skim *s, const char *p, const char *end)
{
	for (; p < end && s->state == NESTED; p++) {
		if (*p == '"')
			s->state = NESTED_STRING;
		else if (*p == '{' || *p == '[')
			s->depth++;
		else if ((*p == '}' || *p == ']') && --s->depth == 0)
			s->state = BEHIND;
	}
	return p;
}

static const char *in_scalar(weft_jsonrpc_skim *s, const char *p, const char *end)
{
	const char *first = p;

	while (p < end && !is_space(*p) && *p != ',' && *p != '}')
		p++;
	keep_id(s, first, (size_t)(p - first));
	if (p < end)
		s->state = BEHIND;
	return p;
}

static const char *begin_value(weft_jsonrpc_skim *s, const char *p)
{
	s->repeated |= (unsigned char)(s->seen & s->member);
	s->seen |= (unsigned char)s->member;
	s->depth = 1;
	if (*p == '{' || *p == '[')
		s->state = NESTED;
	else
		s->state = *p == '"' ? IN_STRING : SCALAR;
	if (s->state == SCALAR)
		return p;
	keep_id(s, p, 1);
	return p + 1;
}

/* The one byte that ends a state between strings and values. */
static enum state next_state(const weft_jsonrpc_skim *s, char c)
{
	switch ((enum state)s->state) {
	case BEGIN:
		return c == '{' ? NAME : c == '[' ? BATCH : BROKEN;
	case NAME:
		return c == '"' ? IN_NAME : c == '}' ? DONE : BROKEN;
	case COLON:
		return c == ':' ? VALUE : BROKEN;
	case BEHIND:
		return c == ',' ? NAME : c == '}' ? DONE : BROKEN;
	case IN_NAME:
	case VALUE:
	case IN_STRING:
	case SCALAR:
	case NESTED:
	case NESTED_STRING:
	case DONE:
	case BATCH:
	case BROKEN:
		break;
	}
	return BROKEN;
}

static const char *between(weft_jsonrpc_skim *s, const char *p)
{
	if (is_space(*p))
		return p + 1;
	if (s->state == VALUE)
		return begin_value(s, p);
	s->state = (int)next_state(s, *p);
	if (s->state == IN_NAME) {
		s->name_len = 0;
		keep_name(s, p, 1);
	}
	if (s->state == VALUE)
		s->member = (int)member_of(s);
	return p + 1;
}

void weft_jsonrpc_skim_bytes(weft_jsonrpc_skim *s, const char *bytes, size_t len)
{
	const char *p = bytes, *end = p + len;

	while (p < end && s->state != BATCH && s->state != BROKEN) {
		switch ((enum state)s->state) {
		case IN_NAME:
			p = in_string(s, p, end, COLON);
			break;
		case IN_STRING:
			p = in_string(s, p, end, BEHIND);
			break;
		case NESTED_STRING:
			p = in_string(s, p, end, NESTED);
			break;
		case NESTED:
			p = in_nested(s, p, end);
			break;
		case SCALAR:
			p = in_scalar(s, p, end);
			break;
		case BEGIN:
		case NAME:
		case COLON:
		case VALUE:
		case BEHIND:
		case DONE:
		case BATCH:
		case BROKEN:
			p = between(s, p);
			break;
		}
	}
}

/* The id, if it is one that an answer may have. */
static weft_json id_of(const weft_jsonrpc_skim *s)
{
	weft_json id = { NULL, 0 };

	/* one that is cut may go on */
	if (!(s->seen & ID) || s->repeated & ID || s->id_len > sizeof(s->id) ||
		(s->member == ID && s->state == SCALAR) ||
		weft_json_check(&id, s->id, s->id_len, NULL))
		return (weft_json){ NULL, 0 };
	switch (weft_json_type_of(id)) {
	case WEFT_JSON_NUMBER:
	case WEFT_JSON_STRING:
	case WEFT_JSON_NULL:
		return id;
	case WEFT_JSON_NONE:
	case WEFT_JSON_BOOLEAN:
	case WEFT_JSON_ARRAY:
	case WEFT_JSON_OBJECT:
		break;
	}
	return (weft_json){ NULL, 0 };
}

weft_jsonrpc_kind weft_jsonrpc_skim_end(const weft_jsonrpc_skim *s, weft_json *id)
{
	*id = id_of(s);
	if (s->state == BATCH)
		return WEFT_JSONRPC_BATCH;
	if (s->state != DONE || s->repeated)
		return WEFT_JSONRPC_INVALID;
	switch (s->seen) {
	case METHOD | ID:
		return WEFT_JSONRPC_REQUEST;
	case METHOD:
		return WEFT_JSONRPC_NOTIFICATION;
	case RESULT | ID:
		return WEFT_JSONRPC_RESPONSE;
	case ERROR | ID:
	case ERROR:
		return WEFT_JSONRPC_ERROR;
	default:
		return WEFT_JSONRPC_INVALID;
	}
}
