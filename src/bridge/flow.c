/* SPDX-License-Identifier: MIT */
/* See flow.h. */
#include "bridge/flow.h"

#include "base/err.h"

#include <weft/runtime.h>

#define STACK_BUFFER ((size_t)1024)
#define TURN_BYTES ((size_t)512 * 1024) /* moved without a pause, before others get a turn */

static weft_deadline after(weft_deadline start, int64_t duration_ns)
{
	return start > WEFT_FOREVER - duration_ns ? WEFT_FOREVER : start + duration_ns;
}

static weft_deadline earlier(weft_deadline a, weft_deadline b)
{
	return a < b ? a : b;
}

static bool is_timed(const struct pace *pace)
{
	return pace->idle_ns || pace->reply_ns;
}

static void note_moved(struct flow *f, size_t bytes)
{
	struct pace *pace = f->pace;

	f->bytes += bytes;
	f->moved(f->user, bytes);
	if (!is_timed(pace))
		return;
	pace->last = weft_now();
	pace->is_owed = !f->is_reply;
}

/*
 * When waiting has to be looked at again. The other direction may move bytes, or come to
 * owe a reply, meanwhile: time_is_up says whether it was really time. A reply that
 * becomes owed after this call is due later than what this returns.
 */
static weft_deadline due(const struct flow *f, bool is_read)
{
	const struct pace *pace = f->pace;
	weft_deadline at = WEFT_FOREVER;

	if (pace->idle_ns)
		at = after(pace->last, pace->idle_ns);
	if (pace->reply_ns && f->is_reply && is_read)
		at = earlier(at, after(pace->is_owed ? pace->last : weft_now(), pace->reply_ns));
	return at;
}

static bool time_is_up(struct flow *f, bool is_read)
{
	const struct pace *pace = f->pace;
	weft_deadline now;

	if (!is_timed(pace))
		return false;
	now = weft_now();
	if (pace->reply_ns && f->is_reply && is_read && pace->is_owed &&
		now >= after(pace->last, pace->reply_ns)) {
		f->err = err_setf(WEFT_ETIMEDOUT, "no reply from %s for %lld ms",
			weft_conn_peer_name(f->src), (long long)(pace->reply_ns / 1000000));
		return true;
	}
	if (!pace->idle_ns || now < after(pace->last, pace->idle_ns))
		return false;
	f->is_idle = true;
	f->err = err_setf(WEFT_ETIMEDOUT, "idle for %lld ms", (long long)(pace->idle_ns / 1000000));
	return true;
}

static void cool(struct flow *f)
{
	weft_buf_unref(&f->buf);
	f->buffer_size = FLOW_BUFFER_MIN;
}

/* Bytes came and filled what there was, or a cold flow woke: a buffer of buffer_size.
 * Without memory the flow stays as it is. */
static void warm(struct flow *f)
{
	weft_buf larger;

	if (weft_buf_alloc(&larger, f->pool, f->buffer_size))
		return;
	weft_buf_unref(&f->buf);
	f->buf = larger;
}

/* Something to read, or an end: then false. */
static bool fill(struct flow *f, void *data, size_t size, size_t *got)
{
	bool is_hot = f->buf.data;

	for (;;) {
		weft_deadline until = due(f, true);
		weft_err err;

		if (is_hot)
			until = earlier(until, weft_after_ns(FLOW_HOT_NS));
		if (f->tail_max)
			until = WEFT_NOW;
		f->is_reading = true;
		err = weft_conn_read(f->src, data, size, got, until);
		f->is_reading = false;
		if (!err)
			return true;
		if (err == WEFT_ECLOSED || (err == WEFT_ETIMEDOUT && f->tail_max)) {
			f->end = FLOW_EOF;
			return false;
		}
		if (err != WEFT_ETIMEDOUT)
			f->err = err;
		if (err != WEFT_ETIMEDOUT || time_is_up(f, true)) {
			f->end = FLOW_READ_FAILED;
			return false;
		}
		if (is_hot) {
			cool(f);
			*got = 0;
			return true;
		}
	}
}

static bool empty(struct flow *f, const uint8_t *data, size_t size)
{
	while (size > 0 && !f->is_throwaway) {
		size_t written = 0;
		weft_err err = weft_conn_write(f->dst, data, size, &written, due(f, false));

		if (written)
			note_moved(f, written);
		data += written;
		size -= written;
		if (!err || (err == WEFT_ETIMEDOUT && !time_is_up(f, false)))
			continue;
		if (err != WEFT_ETIMEDOUT && err != WEFT_ECANCELED && f->may_throw_away) {
			f->is_throwaway = true;
			f->err = err;
			break;
		}
		if (err != WEFT_ETIMEDOUT)
			f->err = err;
		f->end = FLOW_WRITE_FAILED;
		return false;
	}
	return true;
}

/* One read and its write; *got: how much. False: the flow has ended. */
static bool move(struct flow *f, size_t *got)
{
	uint8_t little[STACK_BUFFER];
	bool is_hot = f->buf.data;
	uint8_t *data = is_hot ? f->buf.data : little;
	size_t size = is_hot ? f->buf.len : sizeof(little);

	if (!fill(f, data, size, got) || !empty(f, data, *got))
		return false;
	if (!is_hot && *got > 0) {
		warm(f);
	} else if (is_hot && *got == size && f->buffer_size < FLOW_BUFFER_MAX) {
		f->buffer_size *= 4;
		warm(f);
	}
	return true;
}

/* After the end that tail_max sets there is only so much left to read. */
static bool is_tail_over(struct flow *f, size_t got)
{
	if (f->tail_max == 0)
		return false;
	f->tail_max = got < f->tail_max ? f->tail_max - got : 0;
	if (f->tail_max == 0)
		f->end = FLOW_EOF;
	return f->end != FLOW_RUNNING;
}

void flow_run(struct flow *f)
{
	size_t turn = 0, got = 0;
	weft_err err;

	f->buffer_size = FLOW_BUFFER_MIN;
	while (move(f, &got) && !is_tail_over(f, got)) {
		turn += got;
		if (turn < TURN_BYTES)
			continue;
		turn = 0;
		err = weft_yield();
		if (err) {
			f->err = err;
			f->end = FLOW_READ_FAILED;
			break;
		}
	}
	cool(f);
}
