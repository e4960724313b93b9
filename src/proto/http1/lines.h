/* SPDX-License-Identifier: MIT */
#ifndef PROTO_HTTP1_LINES_H
#define PROTO_HTTP1_LINES_H

/*
 * The lines of a head. Compiled once for each instruction set: who includes this defines before
 *
 *	LINES_FN(name)	a name of this build
 *	LINES_TARGET	an attribute of all functions
 *
 * and three functions, which look at the bytes p .. p + rem, 64 at most, and say one bit for each;
 * p - before .. p may be read as well, nothing else:
 *
 *	scan_line(p, rem, before)	struct line_bits
 *	scan_ctl(p, rem, before)	its ctl alone
 *	scan_target(p, rem, before)	not allowed in a target
 *
 * and scan_name(p, rem, before, field): a name that a colon ends, of 31 bytes at most; its length,
 * and which it is, go to field; false: there is something else.
 *
 * Each fault depends on nothing but the bytes up to the one that is wrong, never on how many came
 * at once. A line that is cut is MORE, if what is there is right.
 */
#include "base/align.h"
#include "proto/http1/chars.h"
#include "proto/http1/head.h"
#include "proto/http1/names.h"

#include <string.h>

#define LINES_WINDOW 64

static inline enum http1_step LINES_FN(bad)(struct http1_parser *p, enum http1_fault fault)
{
	p->fault = fault;
	return HTTP1_BAD;
}

/* The first control byte but HTAB from `from` on, or end. */
LINES_TARGET static inline size_t LINES_FN(find_ctl)(const char *data, size_t from, size_t end)
{
	while (from < end) {
		uint64_t ctl = scan_ctl(data + from, end - from, from);

		if (ctl)
			return from + (size_t)__builtin_ctzll(ctl);
		if (end - from <= LINES_WINDOW)
			return end;
		from += LINES_WINDOW;
	}
	return end;
}

/* The line's text ends at `at`, by whatever is there: DONE is CRLF. */
static inline enum http1_step LINES_FN(line_end)(
	struct http1_parser *p, const char *data, size_t at, size_t end, enum http1_fault other)
{
	if (at >= end)
		return HTTP1_MORE;
	if (weft_unlikely(data[at] != '\r'))
		return LINES_FN(bad)(p, data[at] == '\n' ? HTTP1_FAULT_LINE_END : other);
	if (at + 1 >= end)
		return HTTP1_MORE;
	if (weft_unlikely(data[at + 1] != '\n'))
		return LINES_FN(bad)(p, HTTP1_FAULT_LINE_END);
	return HTTP1_DONE;
}

/* ---- field lines ---- */

/* A name that has no end within the first 32 bytes, or in all that is there. Its length, or 0 and
 * what to return. */
static size_t LINES_FN(long_name)(
	struct http1_parser *p, const char *data, size_t at, size_t end, enum http1_step *step)
{
	size_t n = 0;

	while (at + n < end && n <= HTTP1_NAME_MAX && http1_is(data[at + n], HTTP1_TOKEN))
		n++;
	*step = HTTP1_MORE;
	if (n > HTTP1_NAME_MAX)
		*step = LINES_FN(bad)(p, HTTP1_FAULT_NAME_LONG);
	return *step == HTTP1_MORE && at + n < end ? n : 0;
}

/* What stands at c, behind n bytes of a name, is no colon, or no name is there. */
static enum http1_step LINES_FN(bad_name)(struct http1_parser *p, char c, size_t n)
{
	if (c == '\n')
		return LINES_FN(bad)(p, HTTP1_FAULT_LINE_END);
	if (http1_is_blank(c))
		return LINES_FN(bad)(p, n ? HTTP1_FAULT_NAME_SPACE : HTTP1_FAULT_FOLD);
	return LINES_FN(bad)(p, HTTP1_FAULT_NAME);
}

/* What the fields so far say, for the time of a call: not in memory. */
struct line_state {
	uint64_t seen, repeated;
	unsigned count;
};

LINES_TARGET static inline struct line_state LINES_FN(state)(const struct http1_parser *p)
{
	return (struct line_state){ p->head.seen, p->head.repeated, p->head.field_count };
}

LINES_TARGET static inline void LINES_FN(keep)(
	struct http1_parser *p, const struct line_state *state, size_t at)
{
	p->head.seen = state->seen;
	p->head.repeated = state->repeated;
	p->head.field_count = (uint16_t)state->count;
	p->at = (uint32_t)at;
}

/* The value without the blanks around it; CR is behind it. */
LINES_TARGET static inline void LINES_FN(take_field)(struct http1_parser *p, const char *data,
	struct line_state *state, struct http1_field field, size_t stop)
{
	size_t value = (size_t)field.name_at + field.name_len + 1;
	uint64_t bit = UINT64_C(1) << field.name, seen = state->seen;
	uint16_t *first = &p->head.first[field.name];

	while (http1_is_blank(data[value]))
		value++;
	while (stop > value && http1_is_blank(data[stop - 1]))
		stop--;
	field.value_at = (uint32_t)value;
	field.value_len = (uint32_t)(stop - value);
	p->fields[state->count] = field;
	*first = seen & bit ? *first : (uint16_t)state->count;
	state->repeated |= seen & bit;
	state->seen = seen | bit;
	state->count++;
}

LINES_TARGET static inline enum http1_step LINES_FN(field)(
	struct http1_parser *p, const char *data, size_t end)
{
	size_t at = p->at, rem = end - at, n, stop;
	struct line_state state;
	struct line_bits bits = scan_line(data + at, rem, at);
	enum http1_step step;

	n = (size_t)__builtin_ctzll(bits.other | UINT64_C(1) << 63);
	if (weft_unlikely(!bits.other)) {
		n = LINES_FN(long_name)(p, data, at, end, &step);
		if (n == 0)
			return step;
	}
	if (weft_unlikely(data[at + n] != ':' || n == 0))
		return LINES_FN(bad_name)(p, data[at + n], n);
	if (weft_likely(bits.ctl))
		stop = at + (size_t)__builtin_ctzll(bits.ctl);
	else
		stop = rem <= LINES_WINDOW ? end : LINES_FN(find_ctl)(data, at + LINES_WINDOW, end);
	step = LINES_FN(line_end)(p, data, stop, end, HTTP1_FAULT_VALUE);
	if (weft_unlikely(step != HTTP1_DONE))
		return step;
	if (weft_unlikely(p->head.field_count >= p->fields_max))
		return LINES_FN(bad)(p, HTTP1_FAULT_FIELDS);
	state = LINES_FN(state)(p);
	LINES_FN(take_field)
	(p, data, &state,
		(struct http1_field){ .name_at = (uint32_t)at,
			.name_len = (uint16_t)n,
			.name = (uint16_t)http1_name_find(data + at, n) },
		stop);
	LINES_FN(keep)(p, &state, stop + 2);
	return HTTP1_DONE;
}

/* Line by line, each for itself: for what whole_fields leaves. */
LINES_TARGET static enum http1_step LINES_FN(careful_fields)(
	struct http1_parser *p, const char *data, size_t end)
{
	while (p->at < end) {
		enum http1_step step;

		if (data[p->at] == '\r') {
			step = LINES_FN(line_end)(p, data, p->at, end, HTTP1_FAULT_NAME);
			if (step == HTTP1_DONE)
				p->at += 2;
			return step;
		}
		step = LINES_FN(field)(p, data, end);
		if (step != HTTP1_DONE)
			return step;
	}
	return HTTP1_MORE;
}

/*
 * Lines that are whole and right, as nearly all are. Their ends are looked for by blocks of 64
 * bytes, not from where each line begins: so that the next line does not wait for what this one
 * turns out to be. Where something else is met, that is left to careful_fields.
 */
LINES_TARGET enum http1_step LINES_FN(http1_fields)(
	struct http1_parser *p, const char *data, size_t end)
{
	struct line_state state = LINES_FN(state)(p);
	size_t at = p->at, block;
	uint64_t before = 0; /* bit 0: the byte before the block is a control */

	if (at < end && data[at] == '\r')
		return LINES_FN(careful_fields)(p, data, end);
	for (block = at; block < end; block += LINES_WINDOW) {
		uint64_t ctl = scan_ctl(data + block, end - block, block);
		/* the first of each run: CR, where a line ends as it should */
		uint64_t stops = ctl & ~(ctl << 1 | before);

		before = ctl >> 63;
		for (; stops; stops &= stops - 1) {
			size_t stop = block + (size_t)__builtin_ctzll(stops);
			struct http1_field field = { .name_at = (uint32_t)at };

			if (weft_unlikely(stop + 2 >= end || data[stop] != '\r' ||
				    data[stop + 1] != '\n' || state.count >= p->fields_max ||
				    !scan_name(data + at, end - at, at, &field)))
				goto rest;
			LINES_FN(take_field)(p, data, &state, field, stop);
			at = stop + 2;
			if (data[at] == '\r')
				goto rest;
		}
	}
rest:
	LINES_FN(keep)(p, &state, at);
	return LINES_FN(careful_fields)(p, data, end);
}

/* ---- start lines ---- */

static inline uint64_t LINES_FN(load8)(const char *p)
{
	uint64_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

/* "HTTP/1.1" at `at`, of which the line may be cut. DONE: minor is known. */
static enum http1_step LINES_FN(version)(
	struct http1_parser *p, const char *data, size_t at, size_t end)
{
	static const char text[] = "HTTP/0.0"; /* 0: any digit */
	size_t n = end - at < 8 ? end - at : 8;

	if (n == 8 && LINES_FN(load8)(data + at) == LINES_FN(load8)("HTTP/1.1")) {
		p->head.minor = 1;
		return HTTP1_DONE;
	}
	for (size_t i = 0; i < n; i++) {
		char c = data[at + i];

		if (c == '\n')
			return LINES_FN(bad)(p, HTTP1_FAULT_LINE_END);
		if (text[i] == '0' ? !http1_is(c, HTTP1_DIGIT) : c != text[i])
			return LINES_FN(bad)(p, HTTP1_FAULT_VERSION_TEXT);
	}
	if (n < 8)
		return HTTP1_MORE;
	if (data[at + 5] != '1' || (data[at + 7] != '0' && data[at + 7] != '1'))
		return LINES_FN(bad)(p, HTTP1_FAULT_VERSION);
	p->head.minor = (uint8_t)(data[at + 7] - '0');
	return HTTP1_DONE;
}

/* DONE: n is its length, a blank follows. */
static enum http1_step LINES_FN(method)(
	struct http1_parser *p, const char *data, size_t end, size_t *out)
{
	size_t n = 0, rem = end - p->at;
	const char *text = data + p->at;

	if (rem >= 4 && !memcmp(text, "GET ", 4)) {
		p->head.method = HTTP1_METHOD_GET;
		*out = 3;
		return HTTP1_DONE;
	}
	while (n < rem && n <= HTTP1_METHOD_MAX && http1_is(text[n], HTTP1_TOKEN))
		n++;
	if (n > HTTP1_METHOD_MAX)
		return LINES_FN(bad)(p, HTTP1_FAULT_METHOD_LONG);
	if (n == rem)
		return HTTP1_MORE;
	if (text[n] == '\n')
		return LINES_FN(bad)(p, HTTP1_FAULT_LINE_END);
	if (text[n] != ' ' || n == 0)
		return LINES_FN(bad)(p, HTTP1_FAULT_METHOD);
	p->head.method = http1_method_of(text, n);
	*out = n;
	return HTTP1_DONE;
}

/* From `at` on. DONE: `stop` is behind it, where a blank is. */
LINES_TARGET static inline enum http1_step LINES_FN(target)(
	struct http1_parser *p, const char *data, size_t at, size_t end, size_t *stop)
{
	size_t from = at;
	uint64_t other = 0;

	while (from < end) {
		other = scan_target(data + from, end - from, from);
		if (other || end - from <= LINES_WINDOW)
			break;
		from += LINES_WINDOW;
	}
	if (!other)
		return HTTP1_MORE;
	from += (size_t)__builtin_ctzll(other);
	if (weft_unlikely(data[from] != ' ' || from == at)) {
		if (data[from] == '\n')
			return LINES_FN(bad)(p, HTTP1_FAULT_LINE_END);
		/* a line without a version, as HTTP/0.9 had it */
		return LINES_FN(bad)(p,
			data[from] == '\r' && from > at ? HTTP1_FAULT_VERSION_TEXT
							: HTTP1_FAULT_TARGET);
	}
	*stop = from;
	return HTTP1_DONE;
}

LINES_TARGET static inline enum http1_step LINES_FN(request_line)(
	struct http1_parser *p, const char *data, size_t end)
{
	size_t at = p->at, method_len = 0, stop = 0;
	enum http1_step step = LINES_FN(method)(p, data, end, &method_len);

	if (step != HTTP1_DONE)
		return step;
	p->head.method_text = (struct http1_span){ (uint32_t)at, (uint32_t)method_len };
	at += method_len + 1;
	step = LINES_FN(target)(p, data, at, end, &stop);
	if (step != HTTP1_DONE)
		return step;
	p->head.target = (struct http1_span){ (uint32_t)at, (uint32_t)(stop - at) };
	step = LINES_FN(version)(p, data, stop + 1, end);
	if (step != HTTP1_DONE)
		return step;
	step = LINES_FN(line_end)(p, data, stop + 9, end, HTTP1_FAULT_VERSION_TEXT);
	if (step != HTTP1_DONE)
		return step;
	p->at = (uint32_t)(stop + 11);
	return http1_judge_target(p, data) ? HTTP1_DONE : HTTP1_BAD;
}

/* " 200" at `at`. */
static enum http1_step LINES_FN(status)(
	struct http1_parser *p, const char *data, size_t at, size_t end)
{
	unsigned status = 0;

	for (size_t i = 0; i < 4 && at + i < end; i++) {
		char c = data[at + i];

		if (c == '\n')
			return LINES_FN(bad)(p, HTTP1_FAULT_LINE_END);
		if (i == 0 ? c != ' ' : !http1_is(c, HTTP1_DIGIT) || (i == 1 && c == '0'))
			return LINES_FN(bad)(p, HTTP1_FAULT_STATUS);
		status = i == 0 ? 0 : status * 10 + (unsigned)(c - '0');
	}
	p->head.status = (uint16_t)status;
	return end - at < 4 ? HTTP1_MORE : HTTP1_DONE;
}

LINES_TARGET static inline enum http1_step LINES_FN(status_line)(
	struct http1_parser *p, const char *data, size_t end)
{
	size_t at = p->at, stop;
	enum http1_step step = LINES_FN(version)(p, data, at, end);

	if (step != HTTP1_DONE)
		return step;
	step = LINES_FN(status)(p, data, at + 8, end);
	if (step != HTTP1_DONE)
		return step;
	at += 12;
	if (at >= end)
		return HTTP1_MORE;
	if (data[at] == ' ')
		at++;
	else if (data[at] != '\r' && data[at] != '\n')
		return LINES_FN(bad)(p, HTTP1_FAULT_STATUS);
	stop = LINES_FN(find_ctl)(data, at, end);
	step = LINES_FN(line_end)(p, data, stop, end, HTTP1_FAULT_STATUS);
	if (step != HTTP1_DONE)
		return step;
	p->head.reason = (struct http1_span){ (uint32_t)at, (uint32_t)(stop - at) };
	p->at = (uint32_t)(stop + 2);
	return HTTP1_DONE;
}

LINES_TARGET enum http1_step LINES_FN(http1_start)(
	struct http1_parser *p, const char *data, size_t end)
{
	if (p->at >= end)
		return HTTP1_MORE;
	return p->kind == HTTP1_REQUEST ? LINES_FN(request_line)(p, data, end)
					: LINES_FN(status_line)(p, data, end);
}

#endif
