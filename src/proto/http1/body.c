/* SPDX-License-Identifier: MIT */
/*
 * What follows a head. Chunked (RFC 9112 7.1), by states; each takes a byte, or what the arrow
 * says, and names the next:
 *
 *	SIZE		digits > SIZE; ';' > EXT_NAME; CR > SIZE_LF
 *	EXT_NAME	token > itself; '=' > EXT_VALUE; ';' > itself, anew; CR > SIZE_LF
 *	EXT_VALUE	'"' at its begin > EXT_QUOTED; token > itself; CR > SIZE_LF
 *	EXT_QUOTED	'"' > EXT_AFTER; text but '\' > itself
 *	EXT_AFTER	';' > EXT_NAME; CR > SIZE_LF
 *	SIZE_LF		LF > CONTENT, or TRAILERS when the size was 0
 *	CONTENT		all its bytes > CONTENT_CR
 *	CONTENT_CR	CR > CONTENT_LF;   CONTENT_LF	LF > SIZE
 *	TRAILERS	the section, whole > WHOLE
 *
 * The other kinds are in CONTENT until WHOLE.
 */
#include "proto/http1/chars.h"
#include "proto/http1/head.h"

#include "base/check.h"

#include <string.h>

enum state {
	CONTENT,
	SIZE,
	EXT_NAME,
	EXT_VALUE,
	EXT_QUOTED,
	EXT_AFTER,
	SIZE_LF,
	CONTENT_CR,
	CONTENT_LF,
	TRAILERS,
	WHOLE,
};

/* Field lines that are looked at and thrown away: so many at most. */
#define TRAILERS_UNWANTED_MAX 32

void http1_body_init(struct http1_body *body, const struct http1_framing *framing)
{
	memset(body, 0, sizeof(*body));
	body->kind = framing->kind;
	body->fields_max = TRAILERS_UNWANTED_MAX;
	switch (framing->kind) {
	case HTTP1_NO_BODY:
		body->state = WHOLE;
		break;
	case HTTP1_LENGTH:
		body->left = (uint64_t)framing->content_length;
		body->state = body->left ? CONTENT : WHOLE;
		break;
	case HTTP1_CHUNKED:
		body->state = SIZE;
		break;
	case HTTP1_UNTIL_CLOSE:
	case HTTP1_TUNNEL:
		body->left = UINT64_MAX;
		body->state = CONTENT;
		break;
	}
}

void http1_body_want_trailers(
	struct http1_body *body, struct http1_field *fields, uint16_t fields_max)
{
	body->trailers = fields;
	body->fields_max = fields_max;
}

static enum http1_body_event bad(struct http1_body *body, enum http1_fault fault)
{
	body->fault = fault;
	return HTTP1_BODY_FAULT;
}

/* ---- the size line ---- */

static unsigned hex_value(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 32) - 'a' + 10);
}

static enum http1_fault take_digit(struct http1_body *body, char c)
{
	if (body->digits == 16)
		return HTTP1_FAULT_CHUNK_LARGE;
	body->digits++;
	body->left = body->left << 4 | hex_value(c);
	return HTTP1_FAULT_NONE;
}

/* Behind a size, a name or a value: what may follow each. */
static enum http1_fault take_delimiter(struct http1_body *body, char c)
{
	if (c == ';') {
		body->state = EXT_NAME;
		body->digits = 0; /* of the name: whether it has begun */
	} else if (c == '\r') {
		body->state = SIZE_LF;
	} else if (c == '\n') {
		return HTTP1_FAULT_LINE_END;
	} else {
		return body->state == SIZE ? HTTP1_FAULT_CHUNK_SIZE : HTTP1_FAULT_CHUNK_EXT;
	}
	return HTTP1_FAULT_NONE;
}

static enum http1_fault take_size(struct http1_body *body, char c)
{
	if (http1_is(c, HTTP1_HEX))
		return take_digit(body, c);
	if (body->digits == 0)
		return HTTP1_FAULT_CHUNK_SIZE;
	if (body->left > INT64_MAX - body->total)
		return HTTP1_FAULT_CHUNK_LARGE;
	return take_delimiter(body, c);
}

/* digits: whether the name, or value, has begun */
static enum http1_fault take_ext(struct http1_body *body, char c)
{
	if (http1_is(c, HTTP1_TOKEN)) {
		body->digits = 1;
		return HTTP1_FAULT_NONE;
	}
	if (body->state == EXT_VALUE && c == '"' && !body->digits) {
		body->state = EXT_QUOTED;
		return HTTP1_FAULT_NONE;
	}
	if (!body->digits)
		return c == '\n' ? HTTP1_FAULT_LINE_END : HTTP1_FAULT_CHUNK_EXT;
	if (body->state == EXT_NAME && c == '=') {
		body->state = EXT_VALUE;
		body->digits = 0;
		return HTTP1_FAULT_NONE;
	}
	/* others have taken what follows for the size */
	if (body->state == EXT_VALUE && c == ';')
		return HTTP1_FAULT_CHUNK_EXT;
	return take_delimiter(body, c);
}

static enum http1_fault take_quoted(struct http1_body *body, char c)
{
	if (c == '\n')
		return HTTP1_FAULT_LINE_END;
	/* others have taken an escaped quote for the end */
	if (http1_is(c, HTTP1_CTL) || c == '\\')
		return HTTP1_FAULT_CHUNK_EXT;
	if (c == '"')
		body->state = EXT_AFTER;
	return HTTP1_FAULT_NONE;
}

static enum http1_fault take_lf(struct http1_body *body, char c)
{
	if (c != '\n')
		return HTTP1_FAULT_LINE_END;
	body->state = body->left ? CONTENT : TRAILERS;
	body->ext = 0;
	return HTTP1_FAULT_NONE;
}

static enum http1_fault take_content_end(struct http1_body *body, char c)
{
	if (c != (body->state == CONTENT_CR ? '\r' : '\n'))
		return HTTP1_FAULT_CHUNK_END;
	body->state = body->state == CONTENT_CR ? CONTENT_LF : SIZE;
	body->digits = 0;
	return HTTP1_FAULT_NONE;
}

static enum http1_fault count_ext(struct http1_body *body)
{
	if (++body->ext > HTTP1_CHUNK_EXT_MAX || ++body->ext_sum > HTTP1_CHUNK_EXT_SUM_MAX)
		return HTTP1_FAULT_CHUNK_EXT_LONG;
	return HTTP1_FAULT_NONE;
}

static enum http1_fault take_byte(struct http1_body *body, char c)
{
	enum http1_fault fault;

	switch ((enum state)body->state) {
	case SIZE:
		return take_size(body, c);
	case EXT_NAME:
	case EXT_VALUE:
		fault = count_ext(body);
		return fault ? fault : take_ext(body, c);
	case EXT_QUOTED:
		fault = count_ext(body);
		return fault ? fault : take_quoted(body, c);
	case EXT_AFTER:
		fault = count_ext(body);
		return fault ? fault : take_delimiter(body, c);
	case SIZE_LF:
		return take_lf(body, c);
	case CONTENT_CR:
	case CONTENT_LF:
		return take_content_end(body, c);
	case CONTENT:
	case TRAILERS:
	case WHOLE:
		break;
	}
	CHECK(false); /* these don't take single bytes */
	return HTTP1_FAULT_NONE;
}

/* ---- trailers ---- */

/* What decides about the message, or about who may do what, comes too late there (RFC 9110
 * 6.5.1). */
bool http1_trailer_is_forbidden(enum http1_name name)
{
	const uint64_t forbidden = UINT64_C(1) << HTTP1_NAME_CONTENT_LENGTH |
		UINT64_C(1) << HTTP1_NAME_TRANSFER_ENCODING | UINT64_C(1) << HTTP1_NAME_HOST |
		UINT64_C(1) << HTTP1_NAME_CONNECTION | UINT64_C(1) << HTTP1_NAME_TRAILER |
		UINT64_C(1) << HTTP1_NAME_TE | UINT64_C(1) << HTTP1_NAME_UPGRADE |
		UINT64_C(1) << HTTP1_NAME_EXPECT | UINT64_C(1) << HTTP1_NAME_KEEP_ALIVE |
		UINT64_C(1) << HTTP1_NAME_CONTENT_TYPE |
		UINT64_C(1) << HTTP1_NAME_CONTENT_ENCODING |
		UINT64_C(1) << HTTP1_NAME_CONTENT_RANGE | UINT64_C(1) << HTTP1_NAME_AUTHORIZATION |
		UINT64_C(1) << HTTP1_NAME_PROXY_AUTHORIZATION | UINT64_C(1) << HTTP1_NAME_COOKIE |
		UINT64_C(1) << HTTP1_NAME_SET_COOKIE | UINT64_C(1) << HTTP1_NAME_CACHE_CONTROL |
		UINT64_C(1) << HTTP1_NAME_RANGE | UINT64_C(1) << HTTP1_NAME_LOCATION;

	return forbidden >> name & 1;
}

/* The section is looked at as far as its lines are whole: those are the parser's, with what is
 * known of it put together for the call. */
static enum http1_body_event take_trailers(
	struct http1_body *body, const char **data, size_t *len, struct http1_piece *piece)
{
	size_t end = *len < HTTP1_TRAILERS_MAX ? *len : HTTP1_TRAILERS_MAX;
	struct http1_field unwanted[TRAILERS_UNWANTED_MAX];
	struct http1_parser lines;
	enum http1_step step;

	if (end < HTTP1_TRAILERS_MAX &&
		(end == body->searched ||
			!memchr(*data + body->searched, '\n', end - body->searched))) {
		body->searched = (uint32_t)end;
		return HTTP1_BODY_MORE;
	}
	body->searched = (uint32_t)end;
	http1_parser_init(&lines, HTTP1_REQUEST, body->trailers ? body->trailers : unwanted,
		body->fields_max, NULL);
	lines.at = body->trailers_at;
	lines.head.field_count = body->trailer_count;
	step = http1_fields(&lines, *data, end);
	for (size_t i = body->trailer_count; i < lines.head.field_count; i++) {
		if (http1_trailer_is_forbidden((enum http1_name)lines.fields[i].name))
			return bad(body, HTTP1_FAULT_TRAILER);
	}
	body->trailers_at = lines.at;
	body->trailer_count = lines.head.field_count;
	if (step == HTTP1_BAD)
		return bad(body, lines.fault);
	if (step == HTTP1_MORE)
		return end == HTTP1_TRAILERS_MAX ? bad(body, HTTP1_FAULT_TRAILERS_LONG)
						 : HTTP1_BODY_MORE;
	*piece = (struct http1_piece){ *data, lines.at };
	*data += lines.at;
	*len -= lines.at;
	body->state = WHOLE;
	if (!body->trailers)
		body->trailer_count = 0;
	return HTTP1_BODY_END;
}

/* ---- events ---- */

static void took(struct http1_body *body, uint64_t n)
{
	body->total += n;
	if (body->left == UINT64_MAX)
		return;
	body->left -= n;
	if (body->left == 0)
		body->state = body->kind == HTTP1_CHUNKED ? CONTENT_CR : WHOLE;
}

static enum http1_body_event take_content(
	struct http1_body *body, const char **data, size_t *len, struct http1_piece *piece)
{
	size_t n = body->left < *len ? (size_t)body->left : *len;

	*piece = (struct http1_piece){ *data, n };
	*data += n;
	*len -= n;
	took(body, n);
	return HTTP1_BODY_DATA;
}

/* What lies between the data of two chunks, when it is all there and nothing but a size. */
static void skip_size(struct http1_body *body, const char **data, size_t *len)
{
	const char *at = *data, *end = at + *len;
	uint64_t size = 0;
	unsigned n = 0;

	if (body->state == CONTENT_CR) {
		if (*len < 2 || at[0] != '\r' || at[1] != '\n')
			return;
		at += 2;
	}
	while (n < 15 && end - at > 2 && http1_is(*at, HTTP1_HEX)) {
		size = size << 4 | hex_value(*at++);
		n++;
	}
	if (end - at < 2 || at[0] != '\r' || at[1] != '\n' || size == 0 ||
		size > INT64_MAX - body->total)
		return;
	body->left = size;
	body->state = CONTENT;
	*len -= (size_t)(at + 2 - *data);
	*data = at + 2;
}

enum http1_body_event http1_body_next(
	struct http1_body *body, const char **data, size_t *len, struct http1_piece *piece)
{
	*piece = (struct http1_piece){ *data, 0 };
	if (body->fault)
		return HTTP1_BODY_FAULT;
	if (body->state == CONTENT_CR || (body->state == SIZE && body->digits == 0))
		skip_size(body, data, len);
	while (body->state != WHOLE) {
		if (*len == 0)
			return HTTP1_BODY_MORE;
		if (body->state == CONTENT)
			return take_content(body, data, len, piece);
		if (body->state == TRAILERS)
			return take_trailers(body, data, len, piece);
		body->fault = take_byte(body, **data);
		if (body->fault)
			return HTTP1_BODY_FAULT;
		++*data;
		--*len;
	}
	return HTTP1_BODY_END;
}

bool http1_body_eof(struct http1_body *body)
{
	if (body->fault)
		return false;
	if (body->kind == HTTP1_UNTIL_CLOSE || body->kind == HTTP1_TUNNEL)
		body->state = WHOLE;
	if (body->state != WHOLE)
		body->fault = HTTP1_FAULT_CUT;
	return body->state == WHOLE;
}

uint64_t http1_body_direct(const struct http1_body *body)
{
	return body->state == CONTENT && !body->fault ? body->left : 0;
}

void http1_body_took(struct http1_body *body, uint64_t len)
{
	CHECK(len <= http1_body_direct(body));
	if (len > 0)
		took(body, len);
}

/* A chunk's CRLF, a last chunk and an empty line */
#define AFTER_CONTENT (2 + 5)

uint64_t http1_body_want(const struct http1_body *body)
{
	uint64_t chunk = body->left ? body->left + AFTER_CONTENT : 2;

	if (body->fault)
		return 0;
	switch ((enum state)body->state) {
	case CONTENT:
		if (body->kind == HTTP1_CHUNKED)
			return body->left + AFTER_CONTENT;
		return body->left == UINT64_MAX ? 1 : body->left;
	case SIZE:
		return body->digits ? 2 + chunk : 5;
	case EXT_NAME:
	case EXT_VALUE:
	case EXT_QUOTED:
	case EXT_AFTER:
		return 2 + chunk;
	case SIZE_LF:
		return 1 + chunk;
	case CONTENT_CR:
		return AFTER_CONTENT;
	case CONTENT_LF:
		return AFTER_CONTENT - 1;
	case TRAILERS:
		return body->searched ? 1 : 2;
	case WHOLE:
		return 0;
	}
	return 0;
}
