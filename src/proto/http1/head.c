/* SPDX-License-Identifier: MIT */
/*
 * The parser of heads. A call goes through the lines that are whole (lines.h) and remembers where
 * the first one begins that is not. That one is looked at again when it has its LF, or has become
 * twice as long: so a fault is told before the line's end, and single bytes cost no more than twice
 * what all at once do.
 */
#include "proto/http1/head.h"

#include "base/check.h"

#include <string.h>

void http1_parser_init(struct http1_parser *parser, enum http1_kind kind,
	struct http1_field *fields, uint16_t fields_max, const struct http1_limits *limits)
{
	static const struct http1_limits usual = { HTTP1_START_MAX, HTTP1_HEAD_MAX };

	memset(parser, 0, sizeof(*parser));
	parser->kind = kind;
	parser->limits = limits ? *limits : usual;
	CHECK(parser->limits.head_max <= HTTP1_HEAD_MAX_MAX);
	parser->fields = fields;
	parser->fields_max = fields_max;
	parser->head.fields = fields;
#if defined(__x86_64__)
	parser->wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
#endif
}

void http1_parser_reset(struct http1_parser *parser, enum http1_method answers)
{
	struct http1_head *head = &parser->head;

	parser->stage = HTTP1_AT_START;
	parser->blanks = 0;
	parser->begun = parser->at = parser->searched = parser->tried = 0;
	parser->answers = answers;
	parser->fault = HTTP1_FAULT_NONE;
	head->field_count = 0;
	head->seen = head->repeated = 0;
	head->reason = head->authority = head->path = (struct http1_span){ 0, 0 };
}

enum http1_step http1_start(struct http1_parser *parser, const char *data, size_t end)
{
#if defined(__x86_64__)
	if (parser->wide)
		return http1_start_avx2(parser, data, end);
#endif
	return http1_start_base(parser, data, end);
}

enum http1_step http1_fields(struct http1_parser *parser, const char *data, size_t end)
{
#if defined(__x86_64__)
	if (parser->wide)
		return http1_fields_avx2(parser, data, end);
#endif
	return http1_fields_base(parser, data, end);
}

static enum http1_step bad(struct http1_parser *parser, enum http1_fault fault)
{
	parser->fault = fault;
	return HTTP1_BAD;
}

/* Empty lines before a request (RFC 9112 2.2). DONE: the start line begins. */
static enum http1_step pass_blanks(struct http1_parser *parser, const char *data, size_t end)
{
	while (parser->at < end && (data[parser->at] == '\r' || data[parser->at] == '\n')) {
		size_t at = parser->at;

		if (data[at] == '\n')
			return bad(parser, HTTP1_FAULT_LINE_END);
		if (at + 1 == end)
			return HTTP1_MORE;
		if (data[at + 1] != '\n')
			return bad(parser, HTTP1_FAULT_LINE_END);
		if (parser->blanks++ == HTTP1_BLANK_LINES_MAX)
			return bad(parser, HTTP1_FAULT_BLANK_LINES);
		parser->begun = parser->at += 2;
	}
	return HTTP1_DONE;
}

static enum http1_step parse_start(struct http1_parser *parser, const char *data, size_t len)
{
	size_t most = parser->limits.head_max, end = len;
	enum http1_step step = HTTP1_DONE;

	if (parser->kind == HTTP1_REQUEST)
		step = pass_blanks(parser, data, len);
	if (step == HTTP1_DONE) {
		if (most > parser->begun + (size_t)parser->limits.start_max)
			most = parser->begun + (size_t)parser->limits.start_max;
		end = len < most ? len : most;
		step = http1_start(parser, data, end);
	}
	if (step == HTTP1_MORE && end == most)
		return bad(parser, HTTP1_FAULT_START_LONG);
	if (step == HTTP1_DONE)
		parser->stage = HTTP1_AT_FIELDS;
	return step;
}

static enum http1_step parse_fields(struct http1_parser *parser, const char *data, size_t len)
{
	size_t most = parser->limits.head_max, end = len < most ? len : most;
	enum http1_step step = http1_fields(parser, data, end);

	if (step == HTTP1_MORE && end == most)
		return bad(parser, HTTP1_FAULT_HEAD_LONG);
	if (step != HTTP1_DONE)
		return step;
	parser->head.size = parser->at;
	if (!http1_judge_fields(parser, data))
		return HTTP1_BAD;
	parser->stage = HTTP1_AT_END;
	return HTTP1_DONE;
}

/* Whether the bytes that are new can say more of the line that was cut. */
static bool worth_it(struct http1_parser *parser, const char *data, size_t len)
{
	size_t looked = parser->tried > parser->at ? parser->tried - parser->at : 0;

	if (looked == 0 || len >= parser->limits.head_max ||
		(parser->stage == HTTP1_AT_START &&
			len >= parser->begun + (size_t)parser->limits.start_max) ||
		len - parser->at >= 2 * looked)
		return true;
	if (len == parser->searched ||
		memchr(data + parser->searched, '\n', len - parser->searched))
		return len > parser->searched;
	parser->searched = (uint32_t)len;
	return false;
}

enum http1_step http1_parse(struct http1_parser *parser, const char *data, size_t len)
{
	enum http1_step step = HTTP1_DONE;

	if (parser->fault)
		return HTTP1_BAD;
	if (parser->stage == HTTP1_AT_END)
		return HTTP1_DONE;
	if (len > parser->limits.head_max)
		len = parser->limits.head_max;
	if (!worth_it(parser, data, len))
		return HTTP1_MORE;
	if (parser->stage == HTTP1_AT_START)
		step = parse_start(parser, data, len);
	if (step == HTTP1_DONE)
		step = parse_fields(parser, data, len);
	parser->tried = parser->searched = (uint32_t)len;
	return step;
}

void http1_head_terminate(const struct http1_head *head, char *data)
{
	for (size_t i = 0; i < head->field_count; i++) {
		const struct http1_field *field = &head->fields[i];

		data[field->name_at + field->name_len] = '\0';
		data[field->value_at + field->value_len] = '\0';
	}
	if (head->method_text.len) {
		data[head->method_text.at + head->method_text.len] = '\0';
		data[head->target.at + head->target.len] = '\0';
	}
	if (head->status)
		data[head->reason.at + head->reason.len] = '\0';
}
