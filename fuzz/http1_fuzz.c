/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1 from a peer that may send anything, message after message. Besides memory errors: bytes
 * that come in any pieces, and lie elsewhere each time, say the same as all at once, by both builds
 * of the lines; spans lie within the head and in order; content is handed out where it lies, and
 * every byte of a message belongs to something; http1_body_want and _direct never reach past it;
 * what was understood is, written and parsed again, the same.
 *
 * Input: what is read (bit 0: responses; bits 1, 2: what they answer; the rest: how to cut), then
 * the bytes.
 */
#include "proto/http1/http1.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIELDS_MAX 20
#define TRAILERS_MAX 4

struct input {
	const char *text;
	size_t len;
	uint32_t cut; /* 0: all at once */
	enum http1_kind kind;
	enum http1_method answers;
	bool base;
};

/* What was understood of all messages. */
struct digest {
	uint64_t hash;
	uint64_t messages;
	enum http1_fault fault;
	bool whole; /* nothing is cut */
};

static void mix(struct digest *d, uint64_t value)
{
	d->hash = (d->hash ^ value) * 0x9e3779b97f4a7c15u;
	d->hash ^= d->hash >> 29;
}

static void mix_bytes(struct digest *d, const char *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		mix(d, (uint8_t)at[i]);
}

/* A block of its own, so that one byte over is seen, and so is a pointer that was kept. */
static char *block(const char *text, size_t len)
{
	char *copy = malloc(len ? len : 1);

	CHECK(copy);
	memcpy(copy, text, len);
	return copy;
}

static size_t more(struct input *in, size_t have)
{
	size_t n;

	if (!in->cut)
		return in->len;
	in->cut = in->cut * 1103515245 + 12345;
	n = 1 + (in->cut >> 16) % (in->cut & 0x800 ? 3 : 50);
	return n < in->len - have ? have + n : in->len;
}

static void mix_fields(struct digest *d, const char *data, size_t size,
	const struct http1_field *fields, size_t count)
{
	size_t behind = 0;

	for (size_t i = 0; i < count; i++) {
		const struct http1_field *f = &fields[i];

		CHECK(f->name_at >= behind && f->name_len > 0);
		CHECK(f->value_at > f->name_at + f->name_len);
		behind = (size_t)f->value_at + f->value_len + 2;
		CHECK(behind <= size);
		CHECK(data[f->name_at + f->name_len] == ':');
		CHECK(http1_is_token(data + f->name_at, f->name_len));
		CHECK(http1_is_value(data + f->value_at, f->value_len));
		CHECK(f->name == (uint16_t)http1_name_of(data + f->name_at, f->name_len));
		mix(d, (uint64_t)f->name_len << 32 | f->value_len);
		mix_bytes(d, data + f->name_at, f->name_len);
		mix_bytes(d, data + f->value_at, f->value_len);
	}
}

static void mix_span(
	struct digest *d, const struct http1_head *head, const char *data, struct http1_span span)
{
	CHECK((size_t)span.at + span.len < head->size);
	mix(d, span.len);
	mix_bytes(d, data + span.at, span.len);
}

static void mix_head(struct digest *d, const struct http1_parser *p, const char *data, size_t len)
{
	const struct http1_head *head = &p->head;
	const struct http1_framing *f = &head->framing;

	CHECK(head->size <= len && !memcmp(data + head->size - 4, "\r\n\r\n", 4));
	mix(d, head->size);
	if (p->kind == HTTP1_REQUEST) {
		mix(d, head->method * 4 + head->form);
		mix_span(d, head, data, head->method_text);
		mix_span(d, head, data, head->target);
		mix_span(d, head, data, head->path);
		mix_span(d, head, data, head->authority);
	} else {
		mix(d, head->status);
		mix_span(d, head, data, head->reason);
	}
	mix(d,
		f->kind | (uint64_t)f->keep_alive << 8 | (uint64_t)f->expect_continue << 9 |
			(uint64_t)f->expect_other << 10 | (uint64_t)f->upgrade << 11 |
			(uint64_t)head->minor << 12);
	mix(d, (uint64_t)f->content_length);
	mix_fields(d, data, head->size, head->fields, head->field_count);
}

static bool is_framing(const struct http1_field *f)
{
	return f->name == HTTP1_NAME_CONTENT_LENGTH || f->name == HTTP1_NAME_CONNECTION ||
		f->name == HTTP1_NAME_TRANSFER_ENCODING || f->name == HTTP1_NAME_EXPECT;
}

static uint64_t other_fields(const struct http1_head *head, const char *data)
{
	struct digest d = { 0 };

	for (size_t i = 0; i < head->field_count; i++) {
		const struct http1_field *f = &head->fields[i];

		if (is_framing(f))
			continue;
		mix(&d, (uint64_t)f->name_len << 32 | f->value_len);
		mix_bytes(&d, data + f->name_at, f->name_len);
		mix_bytes(&d, data + f->value_at, f->value_len);
	}
	return d.hash;
}

/* Framing that the writer says by itself is left out of the fields. */
static void put_again(struct http1_out *out, const struct http1_parser *p, const char *data)
{
	const struct http1_head *h = &p->head;

	if (p->kind == HTTP1_REQUEST)
		http1_put_request(out, data + h->method_text.at, h->method_text.len,
			data + h->target.at, h->target.len, &h->framing);
	else
		http1_put_response(
			out, h->minor, h->status, data + h->reason.at, h->reason.len, &h->framing);
	for (size_t i = 0; i < h->field_count; i++) {
		const struct http1_field *f = &h->fields[i];

		if (is_framing(f))
			continue;
		http1_put_field(
			out, data + f->name_at, f->name_len, data + f->value_at, f->value_len);
	}
}

/* Written by the writer and parsed again: the same method, target, fields, framing. */
static void write_again(const struct http1_parser *p, const char *data)
{
	const struct http1_head *h = &p->head;
	struct http1_field fields[FIELDS_MAX + 4];
	struct http1_parser again;
	struct http1_out out;
	size_t size = h->size + 100;
	char *text = malloc(size);

	CHECK(text);
	http1_out_init(&out, text, size);
	put_again(&out, p, data);
	if (http1_put_end(&out) && h->minor == 1) {
		http1_parser_init(&again, p->kind, fields, FIELDS_MAX + 4, NULL);
		http1_parser_reset(&again, p->answers);
		CHECK(http1_parse(&again, text, out.len) == HTTP1_DONE);
		CHECK(again.head.size == out.len);
		CHECK(again.head.method == h->method && again.head.status == h->status);
		CHECK(again.head.framing.kind == h->framing.kind);
		CHECK(again.head.framing.keep_alive == h->framing.keep_alive ||
			h->framing.kind == HTTP1_TUNNEL || h->status / 100 == 1);
		CHECK(again.head.framing.upgrade == h->framing.upgrade);
		CHECK(again.head.framing.expect_continue == h->framing.expect_continue);
		CHECK(other_fields(h, data) == other_fields(&again.head, text));
	} else {
		CHECK(out.fault != HTTP1_WRITE_OK || h->minor == 0);
		CHECK(out.fault != HTTP1_WRITE_SPACE);
	}
	free(text);
}

/* The body of a message at text; returns its bytes, or SIZE_MAX: there is no end. */
static size_t run_body(struct input *in, const struct http1_framing *framing, struct digest *d)
{
	struct http1_field trailers[TRAILERS_MAX];
	struct http1_body body;
	size_t have = 0, used = 0;
	uint64_t content = 0, past = 0;

	http1_body_init(&body, framing);
	http1_body_want_trailers(&body, trailers, TRAILERS_MAX);
	for (;;) {
		char *copy = block(in->text + used, have - used);
		const char *data = copy;
		size_t len = have - used;
		struct http1_piece piece;
		enum http1_body_event event;

		while ((event = http1_body_next(&body, &data, &len, &piece)) == HTTP1_BODY_DATA) {
			CHECK(piece.len > 0 && piece.data + piece.len == data);
			mix_bytes(d, piece.data, piece.len);
			content += piece.len;
		}
		CHECK(data >= copy && data + len == copy + (have - used));
		used = have - len;
		CHECK(body.total == content);
		if (event == HTTP1_BODY_END) {
			CHECK(used >= past); /* what was wanted is the message's */
			CHECK(http1_body_want(&body) == 0 && http1_body_direct(&body) == 0);
			mix_fields(d, piece.data, piece.len, trailers, body.trailer_count);
			free(copy);
			mix(d, content);
			return used;
		}
		free(copy);
		if (event == HTTP1_BODY_FAULT) {
			d->fault = body.fault;
			return SIZE_MAX;
		}
		CHECK(http1_body_want(&body) > 0);
		CHECK(len == 0 || http1_body_direct(&body) == 0);
		if (framing->kind == HTTP1_LENGTH || framing->kind == HTTP1_CHUNKED)
			past = have + http1_body_want(&body);
		if (have == in->len) {
			d->whole = http1_body_eof(&body);
			mix(d, content);
			return SIZE_MAX;
		}
		have = more(in, have);
	}
}

/* One message; false: there is no next one. */
static bool run_message(struct input *in, struct http1_parser *p, struct digest *d)
{
	enum http1_step step = HTTP1_MORE;
	size_t have = 0;

	http1_parser_reset(p, in->answers);
	while (step == HTTP1_MORE) {
		char *copy;

		if (have == in->len) {
			d->whole = have == 0;
			return false;
		}
		have = more(in, have);
		copy = block(in->text, have);
		step = http1_parse(p, copy, have);
		CHECK(step == http1_parse(p, copy, have));
		if (step == HTTP1_DONE) {
			mix_head(d, p, copy, have);
			write_again(p, copy);
		}
		free(copy);
	}
	if (step == HTTP1_BAD) {
		d->fault = p->fault;
		return false;
	}
	d->messages++;
	in->text += p->head.size;
	in->len -= p->head.size;
	have = run_body(in, &p->head.framing, d);
	if (have == SIZE_MAX)
		return false;
	in->text += have;
	in->len -= have;
	return p->head.framing.keep_alive;
}

static void run(struct input in, struct digest *d)
{
	static const struct http1_limits limits = { 1000, 4000 };
	struct http1_field fields[FIELDS_MAX];
	struct http1_parser parser;

	memset(d, 0, sizeof(*d));
	http1_parser_init(&parser, in.kind, fields, FIELDS_MAX, &limits);
	if (in.base)
		parser.wide = false;
	while (run_message(&in, &parser, d))
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum http1_method answers[] = { HTTP1_METHOD_GET, HTTP1_METHOD_HEAD,
		HTTP1_METHOD_CONNECT, HTTP1_METHOD_POST };
	struct digest first, second;
	struct input in;
	char *text;

	if (size == 0)
		return 0;
	/* an LF more: what is cut is looked at to its end, however it came */
	text = malloc(size);
	CHECK(text);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\n';
	in = (struct input){ .text = text,
		.len = size,
		.kind = data[0] & 1 ? HTTP1_RESPONSE : HTTP1_REQUEST,
		.answers = answers[data[0] >> 1 & 3] };
	run(in, &first);
	in.base = true;
	for (unsigned i = 0; i < 3; i++) {
		in.cut = i ? 1 + data[0] * i : 0;
		run(in, &second);
		CHECK(first.fault == second.fault && first.messages == second.messages);
		CHECK(first.whole == second.whole);
		CHECK(first.hash == second.hash);
		in.base = !in.base;
	}
	free(text);
	return 0;
}
