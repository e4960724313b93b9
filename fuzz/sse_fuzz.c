/* SPDX-License-Identifier: MIT */
/*
 * Event streams from a peer that may send anything. The parser at random cuts must say what a
 * second one says that is given the whole text at once, is written after the standard's wording,
 * and cares for nothing but that; and what the parser says, written and read again, is the same.
 *
 * Input: how to cut (a byte) and which limits (a byte), then the stream.
 */
#include "base/check.h"

#include <weft/sse.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- what was said, as bytes ---- */

struct said {
	uint8_t *bytes;
	size_t len, size;
};

static void say(struct said *s, const void *bytes, size_t len)
{
	if (s->len + len > s->size) {
		s->size = (s->len + len) * 2;
		s->bytes = realloc(s->bytes, s->size);
		CHECK(s->bytes);
	}
	if (len > 0)
		memcpy(s->bytes + s->len, bytes, len);
	s->len += len;
}

static void say_part(struct said *s, const void *bytes, size_t len)
{
	say(s, &len, sizeof(len));
	say(s, bytes, len);
}

enum { TOO_LARGE = 100 };

static void say_kind(struct said *s, uint8_t kind)
{
	say(s, &kind, 1);
}

static void say_message(struct said *s, const char *type, size_t type_len, const struct said *id,
	const struct said *data)
{
	say_kind(s, WEFT_SSE_MESSAGE);
	say_part(s, type, type_len);
	say_part(s, id->bytes, id->len);
	say_part(s, data->bytes, data->len);
}

/* ---- the model: the whole text, as the standard has it ---- */

struct model {
	weft_sse_options limits;
	struct said data, type, id_next, id;
	bool has_data, dropped;
	uint64_t retry_ms; /* only said, where it is set */
	struct said out;
};

/* One character or one U+FFFD at a time. */
static size_t decode_one(struct said *to, const uint8_t *p, size_t len)
{
	static const struct {
		uint8_t first, last, low, high;
		uint8_t more;
	} ranges[] = { { 0x00, 0x7f, 0, 0, 0 }, { 0xc2, 0xdf, 0x80, 0xbf, 1 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 2 }, { 0xe1, 0xec, 0x80, 0xbf, 2 },
		{ 0xed, 0xed, 0x80, 0x9f, 2 }, { 0xee, 0xef, 0x80, 0xbf, 2 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 3 }, { 0xf1, 0xf3, 0x80, 0xbf, 3 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 3 } };

	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
		size_t n = 1;

		if (p[0] < ranges[i].first || p[0] > ranges[i].last)
			continue;
		if (ranges[i].more > 0 && len > 1 && p[1] >= ranges[i].low &&
			p[1] <= ranges[i].high)
			n++;
		while (n > 1 && n <= ranges[i].more && n < len && p[n] >= 0x80 && p[n] <= 0xbf)
			n++;
		if (n == ranges[i].more + 1u)
			say(to, p, n);
		else
			say(to, "\xef\xbf\xbd", 3);
		return n;
	}
	say(to, "\xef\xbf\xbd", 3);
	return 1;
}

static void decode(struct said *to, const uint8_t *p, size_t len)
{
	to->len = 0;
	while (len > 0) {
		size_t n = decode_one(to, p, len);

		p += n;
		len -= n;
	}
}

static void model_drop(struct model *m)
{
	if (!m->dropped)
		say_kind(&m->out, TOO_LARGE);
	m->dropped = true;
}

static void model_dispatch(struct model *m)
{
	struct said data = { NULL, 0, 0 };

	m->id.len = 0;
	say(&m->id, m->id_next.bytes, m->id_next.len);
	if (m->has_data && !m->dropped) {
		decode(&data, m->data.bytes, m->data.len);
		if (data.len > m->limits.event_max)
			model_drop(m);
		else if (m->type.len > 0)
			say_message(
				&m->out, (const char *)m->type.bytes, m->type.len, &m->id, &data);
		else
			say_message(&m->out, "message", 7, &m->id, &data);
	}
	free(data.bytes);
	m->has_data = m->dropped = false;
	m->data.len = m->type.len = 0;
}

static void model_retry(struct model *m, const uint8_t *value, size_t len)
{
	uint64_t n = 0;

	if (len == 0)
		return;
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return;
		n = n > INT64_MAX / 10 ? UINT64_MAX / 2 : n * 10 + (value[i] - '0');
		n = n > INT64_MAX ? INT64_MAX : n;
	}
	say_kind(&m->out, WEFT_SSE_RETRY);
	say(&m->out, &n, sizeof(n));
}

static void model_small(struct model *m, struct said *to, const uint8_t *value, size_t len)
{
	struct said text = { NULL, 0, 0 };

	decode(&text, value, len);
	if (text.len > m->limits.field_max) {
		model_drop(m);
	} else {
		to->len = 0;
		say(to, text.bytes, text.len);
	}
	free(text.bytes);
}

/* With a NUL it is ignored, but for its size. */
static void model_id(struct model *m, const uint8_t *value, size_t len)
{
	struct said none = { NULL, 0, 0 };

	model_small(m, len > 0 && memchr(value, 0, len) ? &none : &m->id_next, value, len);
	free(none.bytes);
}

static void model_data(struct model *m, const uint8_t *value, size_t len)
{
	if (m->dropped)
		return;
	if (m->has_data)
		say(&m->data, "\n", 1);
	say(&m->data, value, len);
	m->has_data = true;
	if (m->data.len > m->limits.event_max)
		model_drop(m);
}

static void model_comment(struct model *m, const uint8_t *value, size_t len)
{
	struct said text = { NULL, 0, 0 };

	decode(&text, value, len < m->limits.field_max ? len : m->limits.field_max);
	say_kind(&m->out, WEFT_SSE_COMMENT);
	say_part(&m->out, text.bytes, text.len);
	free(text.bytes);
}

static bool named(const char *name, const uint8_t *line, size_t len)
{
	return strlen(name) == len && !memcmp(name, line, len);
}

static void model_line(struct model *m, const uint8_t *line, size_t len)
{
	const uint8_t *colon = len ? memchr(line, ':', len) : NULL;
	size_t name_len = colon ? (size_t)(colon - line) : len;
	const uint8_t *value = colon ? colon + 1 : line + len;
	size_t value_len = (size_t)(line + len - value);

	if (len == 0) {
		model_dispatch(m);
		return;
	}
	if (len > m->limits.line_max) {
		model_drop(m);
		return;
	}
	if (value_len > 0 && value[0] == ' ') {
		value++;
		value_len--;
	}
	if (name_len == 0)
		model_comment(m, value, value_len);
	else if (named("event", line, name_len))
		model_small(m, &m->type, value, value_len);
	else if (named("data", line, name_len))
		model_data(m, value, value_len);
	else if (named("id", line, name_len))
		model_id(m, value, value_len);
	else if (named("retry", line, name_len))
		model_retry(m, value, value_len);
}

static void model_read(struct model *m, const uint8_t *data, size_t len)
{
	const uint8_t *line = data, *end = data + len;

	if (len >= 3 && !memcmp(data, "\xef\xbb\xbf", 3))
		line += 3;
	for (const uint8_t *p = line; p < end; p++) {
		if (*p != '\n' && *p != '\r')
			continue;
		model_line(m, line, (size_t)(p - line));
		if (*p == '\r' && p + 1 < end && p[1] == '\n')
			p++;
		line = p + 1;
	}
}

/* ---- the parser ---- */

static void say_event(struct said *out, const weft_sse_event *e)
{
	struct said id = { (uint8_t *)(uintptr_t)e->id, e->id_len, 0 };
	struct said data = { (uint8_t *)(uintptr_t)e->data, e->data_len, 0 };

	CHECK(e->id[e->id_len] == '\0' && e->type[e->type_len] == '\0');
	if (e->kind == WEFT_SSE_MESSAGE) {
		say_message(out, e->type, e->type_len, &id, &data);
		return;
	}
	say_kind(out, (uint8_t)e->kind);
	if (e->kind == WEFT_SSE_RETRY)
		say(out, &e->retry_ms, sizeof(e->retry_ms));
	else
		say_part(out, e->data, e->data_len);
}

/* Written again and read by another. */
static void check_round(const weft_sse_event *e)
{
	weft_sse_parser *p = NULL;
	weft_sse_event again;
	const uint8_t *data;
	size_t size = 0, len = 0;
	uint8_t *to;

	if (weft_sse_size(e, &size))
		return; /* a NUL in a type */
	to = malloc(size);
	CHECK(to && !weft_sse_write(e, to, size, &len) && len == size);
	CHECK(!weft_sse_parser_create(&p, NULL));
	data = to;
	CHECK(!weft_sse_parser_next(p, &data, &len, &again) && again.kind == WEFT_SSE_MESSAGE);
	CHECK(len == 0 && again.type_len == e->type_len && again.id_len == e->id_len);
	CHECK(again.data_len == e->data_len && !memcmp(again.data, e->data, e->data_len));
	CHECK(!strcmp(again.type, e->type) && !strcmp(again.id, e->id));
	weft_sse_parser_free(p);
	free(to);
}

/* From a block of its own, so that one byte over is seen. */
static void feed(weft_sse_parser *p, struct said *out, const uint8_t *data, size_t len, bool round)
{
	uint8_t *piece = malloc(len ? len : 1);
	const uint8_t *next = piece;
	weft_sse_event event;

	CHECK(piece);
	memcpy(piece, data, len);
	for (;;) {
		weft_err err = weft_sse_parser_next(p, &next, &len, &event);

		CHECK(!err || err == WEFT_EMSGSIZE);
		if (!err && event.kind == WEFT_SSE_NONE)
			break;
		if (err)
			say_kind(out, TOO_LARGE);
		else
			say_event(out, &event);
		if (!err && event.kind == WEFT_SSE_MESSAGE && round)
			check_round(&event);
	}
	CHECK(len == 0);
	free(piece);
}

static void compare(const struct said *a, const struct said *b)
{
	CHECK(a->len == b->len && (a->len == 0 || !memcmp(a->bytes, b->bytes, a->len)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const weft_sse_options limits[] = {
		{ 1 << 20, 1 << 20, 1 << 20, true, true },
		{ 20, 1 << 20, 1 << 20, true, true },
		{ 1 << 20, 9, 1 << 20, true, true },
		{ 1 << 20, 1 << 20, 4, true, true },
		{ 18, 7, 5, true, true },
	};
	struct model model = { .has_data = false };
	struct said out = { NULL, 0, 0 };
	weft_sse_parser *p = NULL;
	uint32_t cut;
	size_t at = 0;

	if (size < 2)
		return 0;
	cut = data[0];
	model.limits = limits[data[1] % (sizeof(limits) / sizeof(*limits))];
	data += 2;
	size -= 2;
	model_read(&model, data, size);
	CHECK(!weft_sse_parser_create(&p, &model.limits));
	while (at < size) {
		size_t n;

		cut = cut * 1103515245 + 12345;
		n = (cut >> 16) % ((cut & 0x800) ? 4 : 60);
		n = n < size - at ? n : size - at;
		feed(p, &out, data + at, n, data[-2] & 1);
		at += n;
	}
	/* what is cut off may be too large, too: the model says nothing of it */
	if (out.len == model.out.len + 1 && out.bytes[out.len - 1] == TOO_LARGE)
		out.len--;
	compare(&out, &model.out);
	CHECK(weft_sse_parser_memory(p) <=
		2 * (model.limits.event_max + 4 * model.limits.field_max) + 8 * 1024);
	weft_sse_parser_free(p);
	free(out.bytes);
	free(model.out.bytes);
	free(model.data.bytes);
	free(model.type.bytes);
	free(model.id_next.bytes);
	free(model.id.bytes);
	return 0;
}
