/* SPDX-License-Identifier: MIT */
/*
 * What a head means for its connection: where the message ends (RFC 9112 6.3), whether another may
 * follow (9.3), whom it is for (3.2, 3.3). Whatever two parsers could take in two ways is a fault.
 */
#include "proto/http1/chars.h"
#include "proto/http1/head.h"
#include "proto/http1/names.h"

#include <string.h>

static bool bad(struct http1_parser *parser, enum http1_fault fault)
{
	parser->fault = fault;
	return false;
}

static bool has(const struct http1_head *head, enum http1_name name)
{
	return head->seen >> name & 1;
}

static struct http1_piece value_of(
	const struct http1_head *head, const char *data, enum http1_name name)
{
	const struct http1_field *field = &head->fields[head->first[name]];

	return (struct http1_piece){ data + field->value_at, field->value_len };
}

/* text: small letters, digits and '-', 24 at most */
static inline bool is(struct http1_piece piece, const char *text)
{
	size_t len = strlen(text);

	return piece.len == len && http1_is_text(piece.data, text, len);
}

/* ---- the target ---- */

/* host ":" port, both there */
static bool is_host_port(const char *text, size_t len)
{
	return http1_is_authority(text, len) && text[0] != ':' && text[len - 1] != ':' &&
		text[len - 1] != ']' && memchr(text, ':', len);
}

/* Only http and https are forms of this protocol. Returns the length of "http://", or 0. */
static size_t scheme_len(const char *text, size_t len)
{
	if (len >= 7 && http1_same_text(text, 7, "http://", 7))
		return 7;
	if (len >= 8 && http1_same_text(text, 8, "https://", 8))
		return 8;
	return 0;
}

static bool judge_absolute(struct http1_parser *parser, const char *data)
{
	struct http1_head *head = &parser->head;
	uint32_t at = head->target.at, end = at + head->target.len;
	uint32_t from = at + (uint32_t)scheme_len(data + at, head->target.len), to = from;

	while (to < end && data[to] != '/' && data[to] != '?')
		to++;
	if (from == at || to == from || data[from] == ':' ||
		!http1_is_authority(data + from, to - from))
		return bad(parser, HTTP1_FAULT_TARGET_FORM);
	head->form = HTTP1_ABSOLUTE_FORM;
	head->authority = (struct http1_span){ from, to - from };
	head->path = (struct http1_span){ to, end - to };
	return true;
}

bool http1_judge_target(struct http1_parser *parser, const char *data)
{
	struct http1_head *head = &parser->head;
	const char *text = data + head->target.at;
	size_t len = head->target.len;

	if (head->method == HTTP1_METHOD_CONNECT) {
		if (!is_host_port(text, len))
			return bad(parser, HTTP1_FAULT_TARGET_FORM);
		head->form = HTTP1_AUTHORITY_FORM;
		head->authority = head->target;
		return true;
	}
	if (text[0] == '/') {
		head->form = HTTP1_ORIGIN_FORM;
		head->path = head->target;
		return true;
	}
	if (len == 1 && text[0] == '*' && head->method == HTTP1_METHOD_OPTIONS) {
		head->form = HTTP1_ASTERISK_FORM;
		head->path = head->target;
		return true;
	}
	return judge_absolute(parser, data);
}

/* ---- the fields ---- */

static bool judge_host(struct http1_parser *parser, const char *data)
{
	struct http1_head *head = &parser->head;
	const struct http1_field *field = http1_head_first(head, HTTP1_NAME_HOST);

	if (!field)
		return head->minor == 0 || bad(parser, HTTP1_FAULT_HOST_NONE);
	if (head->repeated >> HTTP1_NAME_HOST & 1)
		return bad(parser, HTTP1_FAULT_HOST_MANY);
	if (!http1_is_authority(data + field->value_at, field->value_len))
		return bad(parser, HTTP1_FAULT_HOST);
	if (head->authority.len == 0)
		head->authority = (struct http1_span){ field->value_at, field->value_len };
	return true;
}

/* Behind the value there is no HTAB, which others have taken for a part of it. */
static bool is_plain_end(struct http1_piece value)
{
	const char *end = value.data + value.len;

	while (*end == ' ')
		end++;
	return *end == '\r';
}

/* 1*DIGIT */
static bool judge_length(struct http1_parser *parser, const char *data)
{
	struct http1_head *head = &parser->head;
	struct http1_piece value;
	uint64_t length = 0;

	if (!has(head, HTTP1_NAME_CONTENT_LENGTH))
		return true;
	if (head->repeated >> HTTP1_NAME_CONTENT_LENGTH & 1)
		return bad(parser, HTTP1_FAULT_LENGTH_MANY);
	value = value_of(head, data, HTTP1_NAME_CONTENT_LENGTH);
	if (value.len == 0 || !http1_all_in(value.data, value.len, HTTP1_DIGIT) ||
		!is_plain_end(value))
		return bad(parser, HTTP1_FAULT_LENGTH);
	if (value.len > 19)
		return bad(parser, HTTP1_FAULT_LENGTH_LARGE);
	for (size_t i = 0; i < value.len; i++)
		length = length * 10 + (uint64_t)(value.data[i] - '0');
	if (length > INT64_MAX)
		return bad(parser, HTTP1_FAULT_LENGTH_LARGE);
	head->framing.content_length = (int64_t)length;
	return true;
}

/* Exactly "chunked". Other codings before it are understood nowhere here. */
static bool judge_coding(struct http1_parser *parser, const char *data)
{
	struct http1_head *head = &parser->head;
	struct http1_piece rest, element;
	unsigned chunked = 0, others = 0;
	bool last = false;

	if (!has(head, HTTP1_NAME_TRANSFER_ENCODING))
		return true;
	if (head->minor == 0)
		return bad(parser, HTTP1_FAULT_CODING_VERSION);
	if (has(head, HTTP1_NAME_CONTENT_LENGTH))
		return bad(parser, HTTP1_FAULT_LENGTH_CODING);
	if (head->repeated >> HTTP1_NAME_TRANSFER_ENCODING & 1)
		return bad(parser, HTTP1_FAULT_CODING);
	rest = value_of(head, data, HTTP1_NAME_TRANSFER_ENCODING);
	if (is(rest, "chunked"))
		return is_plain_end(rest) || bad(parser, HTTP1_FAULT_CODING);
	while (http1_list_next(&rest, &element)) {
		last = is(element, "chunked");
		if (last)
			chunked++;
		else
			others++;
	}
	return bad(parser,
		last && chunked == 1 && others > 0 ? HTTP1_FAULT_CODING_UNKNOWN
						   : HTTP1_FAULT_CODING);
}

/* Connection, all its lines; then what the version says without it (RFC 9112 9.3). */
static void judge_connection(struct http1_head *head, const char *data)
{
	bool close = false, keep_alive = false, upgrade = false;
	unsigned i = has(head, HTTP1_NAME_CONNECTION) ? head->first[HTTP1_NAME_CONNECTION]
						      : head->field_count;
	struct http1_piece rest, element;

	for (; i < head->field_count; i++) {
		const struct http1_field *field = &head->fields[i];

		if (field->name != HTTP1_NAME_CONNECTION)
			continue;
		rest = (struct http1_piece){ data + field->value_at, field->value_len };
		while (http1_list_next(&rest, &element)) {
			close |= is(element, "close");
			keep_alive |= is(element, "keep-alive");
			upgrade |= is(element, "upgrade");
		}
		if (!(head->repeated >> HTTP1_NAME_CONNECTION & 1))
			break;
	}
	head->framing.keep_alive = !close && (head->minor > 0 || keep_alive);
	head->framing.upgrade = upgrade && head->minor > 0 && has(head, HTTP1_NAME_UPGRADE) &&
		value_of(head, data, HTTP1_NAME_UPGRADE).len > 0;
}

static void judge_expect(struct http1_head *head, const char *data)
{
	struct http1_piece rest, element;

	if (!has(head, HTTP1_NAME_EXPECT) || head->minor == 0)
		return;
	rest = value_of(head, data, HTTP1_NAME_EXPECT);
	while (http1_list_next(&rest, &element)) {
		if (is(element, "100-continue"))
			head->framing.expect_continue = true;
		else
			head->framing.expect_other = true;
	}
	if (head->repeated >> HTTP1_NAME_EXPECT & 1)
		head->framing.expect_other = true;
}

static enum http1_body_kind kind_by_fields(
	const struct http1_head *head, enum http1_body_kind without)
{
	if (has(head, HTTP1_NAME_TRANSFER_ENCODING))
		return HTTP1_CHUNKED;
	if (head->framing.content_length < 0)
		return without;
	return head->framing.content_length > 0 ? HTTP1_LENGTH : HTTP1_NO_BODY;
}

static bool judge_request(struct http1_parser *parser, const char *data)
{
	struct http1_head *head = &parser->head;

	if (!judge_host(parser, data))
		return false;
	judge_expect(head, data);
	head->framing.kind = kind_by_fields(head, HTTP1_NO_BODY);
	if (head->method == HTTP1_METHOD_CONNECT) {
		if (head->framing.kind != HTTP1_NO_BODY)
			return bad(parser, HTTP1_FAULT_CONNECT_BODY);
		head->framing.kind = HTTP1_TUNNEL;
	}
	return true;
}

/* RFC 9112 6.3, in its order. */
static bool judge_response(struct http1_parser *parser)
{
	struct http1_head *head = &parser->head;
	struct http1_framing *framing = &head->framing;
	unsigned status = head->status;

	framing->kind = kind_by_fields(head, HTTP1_UNTIL_CLOSE);
	if (status == 101) {
		if (!framing->upgrade)
			return bad(parser, HTTP1_FAULT_UPGRADE);
		framing->kind = HTTP1_TUNNEL;
	} else if (status < 200 || status == 204) {
		/* none may announce a body; who does may also send one */
		if (framing->kind == HTTP1_LENGTH || framing->kind == HTTP1_CHUNKED)
			framing->keep_alive = false;
		framing->kind = HTTP1_NO_BODY;
	} else if (status == 304 || parser->answers == HTTP1_METHOD_HEAD) {
		framing->kind = HTTP1_NO_BODY;
	} else if (parser->answers == HTTP1_METHOD_CONNECT && status < 300) {
		framing->kind = HTTP1_TUNNEL;
	}
	if (framing->kind == HTTP1_UNTIL_CLOSE)
		framing->keep_alive = false;
	return true;
}

bool http1_judge_fields(struct http1_parser *parser, const char *data)
{
	struct http1_head *head = &parser->head;

	head->framing = (struct http1_framing){ .content_length = -1 };
	if (!judge_length(parser, data) || !judge_coding(parser, data))
		return false;
	judge_connection(head, data);
	return parser->kind == HTTP1_REQUEST ? judge_request(parser, data) : judge_response(parser);
}
