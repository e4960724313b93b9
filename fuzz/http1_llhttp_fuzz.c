/* SPDX-License-Identifier: MIT */
/*
 * The HTTP/1 codec beside llhttp (strict), on the same connection. Whatever the codec takes, llhttp
 * must take, too, and understand in the same way: method, target, version, status, fields, the
 * bytes of the body, the byte at which the message ends, whether another may follow. What the codec
 * refuses llhttp may take: that is counted (WEFT_FUZZ_COUNT in the environment prints it).
 *
 * Where llhttp leaves a decision to who uses it, that is told by the codec's: responses to HEAD
 * and CONNECT, 1xx, 204 and 304 (RFC 9112 6.3).
 *
 * Input: what is read (a byte: bit 0 responses; bits 1 and 2 what they answer), then the bytes.
 */
#include "proto/http1/http1.h"

#include "base/check.h"

#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define FIELDS_MAX 100
#define TEXT_MAX (1 << 16)

/* What llhttp has said of a message. */
struct second {
	llhttp_t parser;
	char target[TEXT_MAX], body[TEXT_MAX], names[TEXT_MAX], values[TEXT_MAX], reason[TEXT_MAX];
	size_t target_len, body_len, names_len, values_len, reason_len;
	size_t name_ends[2 * FIELDS_MAX], value_ends[2 * FIELDS_MAX];
	size_t names_count, values_count;
	int skip;  /* what on_headers_complete returns */
	bool keep; /* the last message that was whole */
	unsigned heads, wholes;
};

static struct second second;

static struct {
	uint64_t heads, heads_stricter, bodies, bodies_stricter, inputs;
	uint64_t stricter_by[64];
} counts;

static void count_print(void)
{
	static const char *const names[] = {
#define NAME(name, status, text) #name,
		HTTP1_FAULT_LIST(NAME)
#undef NAME
	};

	fprintf(stderr,
		"%llu inputs: %llu heads and %llu bodies taken by both; "
		"%llu heads, %llu bodies refused that llhttp takes\n",
		(unsigned long long)counts.inputs, (unsigned long long)counts.heads,
		(unsigned long long)counts.bodies, (unsigned long long)counts.heads_stricter,
		(unsigned long long)counts.bodies_stricter);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (counts.stricter_by[i])
			fprintf(stderr, "  %s %llu\n", names[i],
				(unsigned long long)counts.stricter_by[i]);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	if (getenv("WEFT_FUZZ_COUNT"))
		atexit(count_print);
	return 0;
}

static void add(char *to, size_t *len, const char *at, size_t more)
{
	CHECK(*len + more <= TEXT_MAX);
	memcpy(to + *len, at, more);
	*len += more;
}

#define ON_DATA(what)                                                      \
	static int on_##what(llhttp_t *parser, const char *at, size_t len) \
	{                                                                  \
		(void)parser;                                              \
		add(second.what, &second.what##_len, at, len);             \
		return 0;                                                  \
	}
ON_DATA(target)
ON_DATA(body)
ON_DATA(names)
ON_DATA(values)
ON_DATA(reason)

static int on_name_end(llhttp_t *parser)
{
	(void)parser;
	if (second.names_count == 2 * FIELDS_MAX)
		return -1; /* of what the codec has refused */
	second.name_ends[second.names_count++] = second.names_len;
	return 0;
}

static int on_value_end(llhttp_t *parser)
{
	(void)parser;
	if (second.values_count == 2 * FIELDS_MAX)
		return -1; /* of what the codec has refused */
	second.value_ends[second.values_count++] = second.values_len;
	return 0;
}

static int on_head(llhttp_t *parser)
{
	(void)parser;
	second.heads++;
	return second.skip;
}

static int on_whole(llhttp_t *parser)
{
	second.wholes++;
	second.keep = llhttp_should_keep_alive(parser);
	return 0;
}

static void second_forget(void)
{
	second.target_len = second.body_len = second.names_len = second.values_len = 0;
	second.reason_len = second.names_count = second.values_count = 0;
	second.heads = second.wholes = 0;
	second.skip = 0;
}

/* Returns whether llhttp takes them; a pause for another protocol is one. */
static bool second_feed(const char *data, size_t len)
{
	llhttp_errno_t err = llhttp_execute(&second.parser, data, len);

	if (err == HPE_PAUSED_UPGRADE)
		llhttp_resume_after_upgrade(&second.parser);
	return err == HPE_OK || err == HPE_PAUSED_UPGRADE;
}

static bool second_knows(const struct http1_head *head, const char *data)
{
	static const char *const others[] = { "ACL", "BIND", "CHECKOUT", "COPY", "LINK", "LOCK",
		"M-SEARCH", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE", "NOTIFY",
		"PROPFIND", "PROPPATCH", "PURGE", "REBIND", "REPORT", "SEARCH", "SOURCE",
		"SUBSCRIBE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE" };
	const char *text = data + head->method_text.at;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strlen(others[i]) == head->method_text.len &&
			!memcmp(others[i], text, head->method_text.len))
			/* a method for another protocol alone */
			return strcmp(others[i], "SOURCE") != 0;
	}
	return head->method != HTTP1_METHOD_OTHER;
}

/* llhttp's values keep the blanks behind them, as do its names none. */
static void same_fields(
	const char *data, const struct http1_field *fields, size_t count, size_t begin)
{
	CHECK(second.names_count == begin + count && second.values_count == begin + count);
	for (size_t i = 0; i < count; i++) {
		const struct http1_field *f = &fields[i];
		size_t n = begin + i, name = n ? second.name_ends[n - 1] : 0;
		size_t value = n ? second.value_ends[n - 1] : 0, value_end = second.value_ends[n];

		while (value_end > value &&
			(second.values[value_end - 1] == ' ' ||
				second.values[value_end - 1] == '\t'))
			value_end--;
		CHECK(second.name_ends[n] - name == f->name_len);
		CHECK(!memcmp(second.names + name, data + f->name_at, f->name_len));
		CHECK(value_end - value == f->value_len);
		CHECK(!memcmp(second.values + value, data + f->value_at, f->value_len));
	}
}

static void same_head(const struct http1_parser *p, const char *data)
{
	const struct http1_head *head = &p->head;

	CHECK(second.heads == 1);
	CHECK(second.parser.http_major == 1 && second.parser.http_minor == head->minor);
	same_fields(data, head->fields, head->field_count, 0);
	if (p->kind == HTTP1_RESPONSE) {
		CHECK(second.parser.status_code == head->status);
		CHECK(second.reason_len == head->reason.len);
		CHECK(!memcmp(second.reason, data + head->reason.at, head->reason.len));
		return;
	}
	CHECK(second.target_len == head->target.len);
	CHECK(!memcmp(second.target, data + head->target.at, head->target.len));
	CHECK(strlen(llhttp_method_name(second.parser.method)) == head->method_text.len);
	CHECK(!memcmp(llhttp_method_name(second.parser.method), data + head->method_text.at,
		head->method_text.len));
	/* for llhttp HTAB is a part of "upgrade" */
	CHECK(!head->framing.upgrade || second.parser.upgrade || memchr(data, '\t', head->size));
}

/* What llhttp's user decides, as the codec has decided it. */
static int second_skips(const struct http1_parser *p)
{
	const struct http1_framing *framing = &p->head.framing;

	if (p->kind == HTTP1_REQUEST)
		return 0;
	if (framing->kind == HTTP1_TUNNEL)
		return 2;
	return framing->kind == HTTP1_NO_BODY && framing->content_length != 0;
}

/* The body behind a head. Returns whether the message is whole; *data is moved behind it. */
static bool same_body(const struct http1_framing *framing, const char **data, size_t *len)
{
	struct http1_field trailers[FIELDS_MAX];
	struct http1_body body;
	struct http1_piece piece;
	enum http1_body_event event;
	const char *from = *data;
	static char ours[TEXT_MAX];
	size_t ours_len = 0, fields = second.names_count;

	http1_body_init(&body, framing);
	http1_body_want_trailers(&body, trailers, FIELDS_MAX);
	while ((event = http1_body_next(&body, data, len, &piece)) == HTTP1_BODY_DATA)
		add(ours, &ours_len, piece.data, piece.len);
	if (*data > from) {
		/* all but the last byte, then that one, which must be the end */
		CHECK(second.wholes == 0);
		CHECK(second_feed(from, (size_t)(*data - from) - 1));
		CHECK(second.wholes == 0);
		CHECK(second_feed(*data - 1, 1));
	}
	CHECK(second.wholes == (event == HTTP1_BODY_END));
	CHECK(second.body_len == ours_len && !memcmp(second.body, ours, ours_len));
	if (event == HTTP1_BODY_END) {
		same_fields(piece.data, trailers, body.trailer_count, fields);
		counts.bodies++;
		return true;
	}
	if (event == HTTP1_BODY_MORE && http1_body_eof(&body)) {
		CHECK(framing->kind == HTTP1_UNTIL_CLOSE);
		CHECK(llhttp_message_needs_eof(&second.parser));
		CHECK(llhttp_finish(&second.parser) == HPE_OK && second.wholes == 1);
		counts.bodies++;
	}
	if (event == HTTP1_BODY_FAULT && second_feed(*data, *len)) {
		counts.bodies_stricter++;
		counts.stricter_by[body.fault]++;
	}
	return false;
}

/* One message; false: there is no next one. */
static bool same_message(struct http1_parser *p, const char **data, size_t *len)
{
	const struct http1_framing *framing = &p->head.framing;
	enum http1_step step = http1_parse(p, *data, *len);
	const char *at = *data;

	if (step == HTTP1_BAD && second_feed(*data, *len)) {
		counts.heads_stricter++;
		counts.stricter_by[p->fault]++;
	}
	if (step != HTTP1_DONE)
		return false;
	if (p->kind == HTTP1_REQUEST && !second_knows(&p->head, *data))
		return false;
	second_forget();
	second.skip = second_skips(p);
	CHECK(second_feed(*data, p->head.size - 1));
	CHECK(second.heads == 0 && second.wholes == 0);
	CHECK(second_feed(*data + p->head.size - 1, 1));
	same_head(p, *data);
	counts.heads++;
	*data += p->head.size;
	*len -= p->head.size;
	if (framing->kind == HTTP1_TUNNEL) {
		CHECK(second.wholes == 1 && second.parser.upgrade);
		return false;
	}
	if (!same_body(framing, data, len))
		return false;
	/* ... and of "keep-alive" */
	CHECK(second.keep || !framing->keep_alive ||
		(p->head.minor == 0 && memchr(at, '\t', p->head.size)));
	return framing->keep_alive && second.keep;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum http1_method answers[] = { HTTP1_METHOD_GET, HTTP1_METHOD_HEAD,
		HTTP1_METHOD_CONNECT, HTTP1_METHOD_POST };
	struct http1_field fields[FIELDS_MAX];
	struct http1_parser parser;
	llhttp_settings_t settings;
	const char *text = (const char *)data + 1;
	size_t len = size - 1;
	bool response;

	if (size == 0 || size > TEXT_MAX / 2)
		return 0;
	response = data[0] & 1;
	counts.inputs++;
	llhttp_settings_init(&settings);
	settings.on_url = on_target;
	settings.on_status = on_reason;
	settings.on_header_field = on_names;
	settings.on_header_field_complete = on_name_end;
	settings.on_header_value = on_values;
	settings.on_header_value_complete = on_value_end;
	settings.on_headers_complete = on_head;
	settings.on_body = on_body;
	settings.on_message_complete = on_whole;
	llhttp_init(&second.parser, response ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
	http1_parser_init(
		&parser, response ? HTTP1_RESPONSE : HTTP1_REQUEST, fields, FIELDS_MAX, NULL);
	do
		http1_parser_reset(&parser, answers[data[0] >> 1 & 3]);
	while (same_message(&parser, &text, &len));
	return 0;
}
