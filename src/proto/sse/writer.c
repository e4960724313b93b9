/* SPDX-License-Identifier: MIT */
/*
 * The writer of event streams. An event is walked twice by the same code, once to count and once
 * to copy: the size is exact, and no byte is written that was not counted. Costs for data of one
 * line: two searches for its end and one copy.
 */
#include "base/err.h"
#include "proto/sse/line.h"

#include <weft/sse.h>

#include <string.h>

#define DIGITS_MAX 20

/* Where it goes: bytes NULL only counts. */
struct sink {
	char *bytes;
	size_t len;
};

static void put(struct sink *sink, const char *bytes, size_t len)
{
	if (sink->bytes && len > 0)
		memcpy(sink->bytes + sink->len, bytes, len);
	sink->len += len;
}

static void put_text(struct sink *sink, const char *text)
{
	put(sink, text, strlen(text));
}

static void put_field(struct sink *sink, const char *name, const char *value, size_t len)
{
	put_text(sink, name);
	put(sink, value, len);
	put(sink, "\n", 1);
}

static void put_retry(struct sink *sink, uint64_t ms)
{
	char digits[DIGITS_MAX];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + ms % 10);
		ms /= 10;
	} while (ms > 0);
	put_field(sink, "retry: ", digits + at, sizeof(digits) - at);
}

/* Bytes up to the first CR or LF: len when there is none. */
static size_t line_len(const char *text, size_t len)
{
	return (size_t)(sse_line_end(text, text + len) - text);
}

/* Each line behind a name; what ends in a line end has an empty one behind that. */
static void put_lines(struct sink *sink, const char *name, const char *text, size_t len)
{
	for (;;) {
		size_t n = len > 0 ? line_len(text, len) : 0;

		put_field(sink, name, text, n);
		if (n == len)
			return;
		if (text[n] == '\r' && n + 1 < len && text[n + 1] == '\n')
			n++;
		n++;
		text += n;
		len -= n;
	}
}

static size_t type_len(const weft_sse_event *e)
{
	return !e->type ? 0 : e->type_len ? e->type_len : strlen(e->type);
}

static size_t id_len(const weft_sse_event *e)
{
	return !e->id ? 0 : e->id_len ? e->id_len : strlen(e->id);
}

static void put_before_data(struct sink *sink, const weft_sse_event *e)
{
	size_t len = type_len(e);

	if (len > 0)
		put_field(sink, "event: ", e->type, len);
	if (e->id)
		put_field(sink, id_len(e) ? "id: " : "id", e->id, id_len(e));
	if (e->retry_set)
		put_retry(sink, e->retry_ms);
}

static void put_event(struct sink *sink, const weft_sse_event *e)
{
	switch (e->kind) {
	case WEFT_SSE_COMMENT:
		put_lines(sink, e->data_len > 0 ? ": " : ":", e->data, e->data_len);
		break;
	case WEFT_SSE_RETRY:
		put_retry(sink, e->retry_ms);
		break;
	case WEFT_SSE_NONE:
	case WEFT_SSE_MESSAGE:
		put_before_data(sink, e);
		if (e->data)
			put_lines(sink, e->data_len > 0 ? "data: " : "data:", e->data, e->data_len);
		break;
	}
	put(sink, "\n", 1);
}

static weft_err check_field(const char *name, const char *value, size_t len)
{
	const char *found = NULL;

	for (size_t i = 0; i < 3 && len > 0 && !found; i++)
		found = memchr(value, "\r\n"[i], len);
	if (!found)
		return WEFT_OK;
	return err_setf(WEFT_EINVAL, "event's %s: %s at byte %zu", name,
		*found == '\r'		 ? "CR"
			: *found == '\n' ? "LF"
					 : "NUL",
		(size_t)(found - value));
}

static weft_err check(const weft_sse_event *e)
{
	weft_err err;

	if ((unsigned)e->kind > WEFT_SSE_RETRY)
		return err_setf(WEFT_EINVAL, "event's kind is %d", (int)e->kind);
	if (!e->data && e->data_len > 0)
		return err_setf(WEFT_EINVAL, "event's data is NULL, its length %zu", e->data_len);
	err = check_field("type", e->type, type_len(e));
	if (!err)
		err = check_field("id", e->id, id_len(e));
	return err;
}

weft_err weft_sse_size(const weft_sse_event *event, size_t *size)
{
	struct sink sink = { NULL, 0 };
	weft_err err = check(event);

	if (err)
		return err;
	put_event(&sink, event);
	*size = sink.len;
	return WEFT_OK;
}

weft_err weft_sse_write(const weft_sse_event *event, void *to, size_t size, size_t *written)
{
	struct sink sink = { to, 0 };
	size_t need = 0;
	weft_err err = weft_sse_size(event, &need);

	if (err)
		return err;
	if (need > size)
		return err_setf(WEFT_EMSGSIZE, "event: %zu bytes do not fit into %zu", need, size);
	put_event(&sink, event);
	*written = sink.len;
	return WEFT_OK;
}

weft_err weft_sse_write_buf(weft_buf *out, weft_buf_pool *pool, const weft_sse_event *event)
{
	struct sink sink = { NULL, 0 };
	weft_buf buf;
	size_t need = 0;
	weft_err err = weft_sse_size(event, &need);

	if (!err && need > WEFT_BUF_SIZE_MAX)
		err = err_setf(
			WEFT_EMSGSIZE, "event: %zu bytes, at most %zu", need, WEFT_BUF_SIZE_MAX);
	if (!err)
		err = weft_buf_alloc(&buf, pool, need);
	if (err)
		return err;
	sink.bytes = (char *)buf.data;
	put_event(&sink, event);
	*out = buf;
	return WEFT_OK;
}

weft_err weft_sse_write_around(
	const weft_sse_event *event, void *to, size_t size, size_t *written, const char **tail)
{
	struct sink counted = { NULL, 0 }, sink = { to, 0 };
	weft_err err = check(event);

	if (err)
		return err;
	if (event->kind > WEFT_SSE_MESSAGE || event->data_len == 0 ||
		line_len(event->data, event->data_len) < event->data_len)
		return err_setf(WEFT_ENOTFOUND, "event: its data is not one line");
	put_before_data(&counted, event);
	put_text(&counted, "data: ");
	if (counted.len > size)
		return err_setf(WEFT_EMSGSIZE,
			"event: %zu bytes before its data do not fit into %zu", counted.len, size);
	put_before_data(&sink, event);
	put_text(&sink, "data: ");
	*written = sink.len;
	*tail = "\n\n";
	return WEFT_OK;
}
