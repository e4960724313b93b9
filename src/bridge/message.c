/* SPDX-License-Identifier: MIT */
/*
 * Messages: a text and what the scanner found in it. Making one of a text that is there costs the
 * scan; a copy costs one allocation more; another owner costs a reference.
 */
#include "bridge/message.h"

#include "base/buf_block.h"
#include "base/err.h"

#include <string.h>

#define MOVED_MAX 512  /* bytes that an edit moves within the block */
#define ROOM_BEFORE 16 /* of new texts: for an id that becomes longer */
#define ROOM_BEHIND 1  /* for a line end */

#define ID_DECODED_MAX 1024

/* The spans of an envelope lie one behind the other. */
#define SPANS \
	((offsetof(weft_jsonrpc, batch_count) - offsetof(weft_jsonrpc, text)) / sizeof(weft_json))

static weft_json *spans_of(weft_jsonrpc *rpc)
{
	return &rpc->text;
}

static const weft_json_limits no_limits = { WEFT_BUF_SIZE_MAX, WEFT_JSON_DEPTH_MAX };

static size_t size_max_of(const weft_json_limits *limits)
{
	return limits && limits->size_max ? limits->size_max : WEFT_JSON_SIZE_DEFAULT;
}

weft_err message_too_large(weft_message *out, weft_buf_pool *pool, const char *beginning,
	size_t len, const weft_jsonrpc_skim *skim)
{
	weft_message m = { .err = WEFT_EMSGSIZE };
	weft_json id;
	weft_err err;

	m.would_be = weft_jsonrpc_skim_end(skim, &id);
	if (len > MESSAGE_BEGINNING_MAX)
		len = MESSAGE_BEGINNING_MAX;
	err = weft_buf_alloc(&m.text, pool, len + id.len + 1);
	if (err)
		return err;
	memcpy(m.text.data, beginning, len);
	(void)weft_json_to_one_line((char *)m.text.data, len);
	if (id.text) { /* behind the text, where nobody writes */
		memcpy(m.text.data + len, id.text, id.len);
		m.rpc.id = (weft_json){ (char *)m.text.data + len, id.len };
	}
	m.text.len = len;
	m.rpc.kind = WEFT_JSONRPC_INVALID;
	m.rpc.fault_code = WEFT_JSONRPC_INVALID_REQUEST;
	m.rpc.fault_offset = len;
	m.rpc.fault = "too large";
	*out = m;
	return WEFT_OK;
}

/* Over a limit, in memory. */
static weft_err cut(weft_message *out, weft_buf_pool *pool, const char *text, size_t len)
{
	weft_jsonrpc_skim skim;

	weft_jsonrpc_skim_init(&skim);
	weft_jsonrpc_skim_bytes(&skim, text, len);
	return message_too_large(out, pool, text, len, &skim);
}

/* What the scan has found wrong. */
static void adopt_invalid(weft_message *m)
{
	weft_message beginning;

	m->err = weft_jsonrpc_check(&m->rpc);
	if (m->err != WEFT_EMSGSIZE)
		return;
	m->would_be = WEFT_JSONRPC_INVALID;
	/* without memory it stays whole, with the id only if that came early */
	if (cut(&beginning, NULL, (const char *)m->text.data, m->text.len))
		return;
	weft_buf_unref(&m->text);
	beginning.rpc.fault = m->rpc.fault;
	beginning.rpc.fault_code = m->rpc.fault_code;
	beginning.rpc.fault_offset = m->rpc.fault_offset;
	*m = beginning; /* no span of the old text is left */
}

void message_adopt(weft_message *out, weft_buf text, const weft_json_limits *limits)
{
	*out = (weft_message){ .text = text };
	if (weft_jsonrpc_scan(&out->rpc, (const char *)text.data, text.len, limits) ==
		WEFT_JSONRPC_INVALID)
		adopt_invalid(out);
	if (out->rpc.text.text) {
		weft_buf_advance(&out->text, (size_t)(out->rpc.text.text - (char *)text.data));
		out->text.len = out->rpc.text.len;
	}
	if (out->text.len > 0)
		(void)weft_json_to_one_line((char *)out->text.data, out->text.len);
}

bool message_batch_next(const weft_message *batch, size_t *at, weft_message *element,
	const weft_json_limits *limits)
{
	weft_message m = { 0 };
	size_t begin = *at + 1;

	if (weft_jsonrpc_batch_next(&batch->rpc, at, &m.rpc, limits) == WEFT_JSONRPC_NONE)
		return false;
	if (m.rpc.text.text)
		begin = (size_t)(m.rpc.text.text - batch->rpc.text.text);
	m.text = weft_buf_slice(&batch->text, begin, m.rpc.text.text ? m.rpc.text.len : 0);
	if (m.rpc.kind == WEFT_JSONRPC_INVALID)
		m.err = weft_jsonrpc_check(&m.rpc);
	*element = m;
	return true;
}

/* ---- ids ---- */

bool message_same_id(weft_json a, weft_json b)
{
	weft_json_type type = weft_json_type_of(a);
	char text[ID_DECODED_MAX];
	int64_t x, y;
	size_t len;

	if (!a.text || !b.text || type != weft_json_type_of(b))
		return false;
	if (a.len == b.len && memcmp(a.text, b.text, a.len) == 0)
		return true;
	if (type == WEFT_JSON_NUMBER)
		return !weft_json_integer(a, &x) && !weft_json_integer(b, &y) && x == y;
	return type == WEFT_JSON_STRING && !weft_json_string_decode(a, text, sizeof(text), &len) &&
		weft_json_string_is_bytes(b, text, len);
}

bool message_answers_id(weft_json answer, weft_json asked)
{
	weft_json inside;

	if (message_same_id(answer, asked))
		return true;
	if (!answer.text || answer.len < 3 || !asked.text ||
		weft_json_type_of(answer) != WEFT_JSON_STRING ||
		weft_json_type_of(asked) != WEFT_JSON_NUMBER)
		return false;
	inside = (weft_json){ answer.text + 1, answer.len - 2 };
	return inside.len == asked.len && memcmp(inside.text, asked.text, asked.len) == 0;
}

/* ---- making ---- */

static weft_err alloc_text(weft_buf *out, weft_buf_pool *pool, size_t len)
{
	weft_err err;

	if (len > WEFT_BUF_SIZE_MAX) {
		(void)err_setf(
			WEFT_EINVAL, "a message of %zu bytes, at most %zu", len, WEFT_BUF_SIZE_MAX);
		return WEFT_EINVAL;
	}
	err = weft_buf_alloc(out, pool, ROOM_BEFORE + len + ROOM_BEHIND);
	if (err)
		return err;
	weft_buf_advance(out, ROOM_BEFORE);
	out->len = len;
	return WEFT_OK;
}

weft_err weft_message_copy(weft_message *out, weft_buf_pool *pool, const char *text, size_t len,
	const weft_json_limits *limits)
{
	weft_buf copy = WEFT_BUF_EMPTY;
	weft_err err;

	if (len > size_max_of(limits))
		return cut(out, pool, text, len);
	if (len > 0) {
		err = alloc_text(&copy, pool, len);
		if (err)
			return err;
		memcpy(copy.data, text, len);
	}
	message_adopt(out, copy, limits);
	return WEFT_OK;
}

weft_err weft_message_own(weft_message *out, weft_buf *text, const weft_json_limits *limits)
{
	weft_buf own = *text;

	*text = (weft_buf)WEFT_BUF_EMPTY;
	if (own.len > 0 && !weft_buf_is_unique(&own)) {
		weft_buf_unref(&own);
		return err_setf(WEFT_EINVAL, "weft_message_own: the text is shared");
	}
	message_adopt(out, own, limits);
	return WEFT_OK;
}

weft_err weft_message_write(weft_message *out, weft_buf_pool *pool, const weft_jsonrpc_draft *draft)
{
	weft_buf text = WEFT_BUF_EMPTY;
	weft_message m;
	size_t len;
	weft_err err = weft_jsonrpc_size(draft, &len);

	if (!err)
		err = alloc_text(&text, pool, len);
	if (!err)
		err = weft_jsonrpc_write(draft, (char *)text.data, len, &len);
	if (err) {
		weft_buf_unref(&text);
		return err;
	}
	message_adopt(&m, text, &no_limits);
	if (m.rpc.kind == WEFT_JSONRPC_INVALID) {
		weft_message_fini(&m);
		return err_wrap(WEFT_EINVAL, "a part of the draft");
	}
	*out = m;
	return WEFT_OK;
}

void weft_message_ref(weft_message *out, const weft_message *message)
{
	*out = *message;
	out->text = weft_buf_ref(&message->text);
}

void weft_message_move(weft_message *to, weft_message *message)
{
	*to = *message;
	*message = (weft_message){ 0 };
}

void weft_message_fini(weft_message *message)
{
	weft_buf_unref(&message->text);
	*message = (weft_message){ 0 };
}

/* ---- changes ---- */

static bool is_container(weft_json value)
{
	weft_json_type type = weft_json_type_of(value);

	return type == WEFT_JSON_OBJECT || type == WEFT_JSON_ARRAY;
}

/* What lies within a value that goes, or comes, is known by another scan only. */
static bool has_containers(const weft_json_edit *edits, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (edits[i].old.text &&
			(is_container(edits[i].old) || is_container(edits[i].value)))
			return true;
	}
	return false;
}

/* A span of the old text in the new one: what was before it and within it has changed its size. */
static weft_json moved_span(weft_json span, const char *from, const char *to,
	const weft_json_edit *edits, unsigned count)
{
	size_t at = (size_t)(span.text - from), end = at + span.len, shift = 0, grown = 0;

	for (unsigned i = 0; i < count; i++) {
		size_t old, delta = edits[i].value.len - edits[i].old.len; /* modulo */

		if (!edits[i].old.text)
			continue;
		old = (size_t)(edits[i].old.text - from);
		if (old < at)
			shift += delta;
		else if (old < end)
			grown += delta;
	}
	return (weft_json){ to + at + shift, span.len + grown };
}

static void follow(
	weft_message *message, const char *from, const weft_json_edit *edits, unsigned count)
{
	weft_json *spans = spans_of(&message->rpc);

	for (size_t i = 0; i < SPANS; i++) {
		if (spans[i].text)
			spans[i] = moved_span(
				spans[i], from, (const char *)message->text.data, edits, count);
	}
}

/* Where it lies: only the spans that were edited change, by getting shorter. */
static void follow_in_place(weft_message *message, const weft_json_edit *edits, unsigned count)
{
	weft_json *spans = spans_of(&message->rpc);

	for (size_t i = 0; i < SPANS; i++) {
		for (unsigned k = 0; k < count; k++) {
			if (spans[i].text && spans[i].text == edits[k].old.text &&
				spans[i].len == edits[k].old.len)
				spans[i].len = edits[k].value.len;
		}
	}
}

/* Where the edits begin and end, in bytes of the text, and by how many it grows. */
struct extent {
	size_t begin, end;
	ptrdiff_t growth;
};

static struct extent extent_of(const weft_message *m, const weft_json_edit *edits, unsigned count)
{
	struct extent e = { m->text.len, 0, 0 };

	for (unsigned i = 0; i < count; i++) {
		size_t at;

		if (!edits[i].old.text)
			continue;
		at = (size_t)(edits[i].old.text - (const char *)m->text.data);
		e.begin = at < e.begin ? at : e.begin;
		e.end = at + edits[i].old.len > e.end ? at + edits[i].old.len : e.end;
		e.growth += (ptrdiff_t)edits[i].value.len - (ptrdiff_t)edits[i].old.len;
	}
	return e;
}

/*
 * What is before the last edit, or behind the first, moves into the block's room there, if that is
 * little: an id near either end of a large text costs no copy of the rest. False: it can't, or the
 * edits are wrong.
 */
static bool edit_in_room(weft_message *m, const weft_json_edit *edits, unsigned count)
{
	char moved[MOVED_MAX], *text = (char *)m->text.data;
	struct extent e = extent_of(m, edits, count);
	size_t before = (size_t)(m->text.data - m->text.block->data), len;
	size_t behind = weft_buf_room(&m->text) - m->text.len;
	char *to;

	if (e.begin > e.end || e.end > m->text.len)
		return false;
	if (e.growth <= (ptrdiff_t)before &&
		!weft_json_edit_write(
			(weft_json){ text, e.end }, edits, count, moved, sizeof(moved), &len)) {
		to = text - e.growth;
		m->text.data = (uint8_t *)to;
	} else if (e.growth <= (ptrdiff_t)behind &&
		!weft_json_edit_write((weft_json){ text + e.begin, m->text.len - e.begin }, edits,
			count, moved, sizeof(moved), &len)) {
		to = text + e.begin;
	} else {
		return false;
	}
	memcpy(to, moved, len);
	m->text.len = (size_t)((ptrdiff_t)m->text.len + e.growth);
	follow(m, text, edits, count);
	return true;
}

static weft_err edit_anew(
	weft_message *message, weft_buf_pool *pool, const weft_json_edit *edits, unsigned count)
{
	const weft_json whole = { (const char *)message->text.data, message->text.len };
	bool scan = has_containers(edits, count);
	weft_message m;
	weft_buf text;
	weft_err err = weft_json_edit_buf(&text, pool, whole, edits, count);

	if (err)
		return err;
	if (scan) {
		message_adopt(&m, text, &no_limits);
		if (m.rpc.kind == WEFT_JSONRPC_INVALID) {
			weft_message_fini(&m);
			return err_wrap(WEFT_EINVAL, "edit a message");
		}
	} else {
		m = *message;
		m.text = text;
		follow(&m, whole.text, edits, count);
	}
	weft_buf_unref(&message->text);
	*message = m;
	return WEFT_OK;
}

bool message_is_stateless(const weft_jsonrpc *rpc)
{
	static const char first[] = "2026-07-28";
	const char *version;
	size_t len;

	if (weft_json_string_is(rpc->method, "server/discover"))
		return true;
	if (weft_likely(!rpc->meta_protocol_version.text))
		return false;
	return weft_json_string_view(rpc->meta_protocol_version, &version, &len) ||
		len != sizeof(first) - 1 || memcmp(version, first, len) >= 0;
}

weft_err weft_message_edit(
	weft_message *message, weft_buf_pool *pool, const weft_json_edit *edits, unsigned count)
{
	weft_err err;

	if (weft_buf_is_unique(&message->text) && !has_containers(edits, count)) {
		err = weft_json_edit_in_place(
			(char *)message->text.data, message->text.len, edits, count);
		if (!err)
			follow_in_place(message, edits, count);
		if (err != WEFT_EMSGSIZE || edit_in_room(message, edits, count))
			return err == WEFT_EMSGSIZE ? WEFT_OK : err;
	}
	return edit_anew(message, pool, edits, count);
}
