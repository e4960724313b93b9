/* SPDX-License-Identifier: MIT */
/*
 * Watching for a client that goes, and streams of events.
 *
 * A handler that waits for something else does not read its connection, and would not learn
 * that nobody is there any more. So a second fiber reads, on the same worker; what it finds
 * besides the end belongs to the next request, and stays in the window. On streams of events it
 * sends comments, too, when nothing else was sent.
 *
 * Events may be sent by any fiber or thread: who holds the stream's lock writes.
 */
#include "base/err.h"
#include "base/mem.h"
#include "http/server.h"

#include <string.h>

#define HEAD_SIZE ((size_t)512) /* of an event, before data that is not copied */

/* ---- sending events ---- */

/* A piece of the body; under the lock. size: bytes of iov[1 ..], which begin the array's second;
 * room for the chunk's head is in the first, and for its end in the last. */
static weft_err send_chunk(
	weft_http_exchange *x, struct iovec *iov, unsigned count, size_t size, weft_deadline until)
{
	struct http_sse *sse = x->sse;
	char head[HTTP1_CHUNK_HEAD_MAX], *at;
	union {
		const void *in;
		void *out;
	} end = { HTTP1_CHUNK_END };
	struct http_sent sent;
	weft_err err;

	if (x->response.is_chunked) {
		at = http1_chunk_head_before(head + sizeof(head), size);
		iov[0] = (struct iovec){ at, (size_t)(head + sizeof(head) - at) };
		iov[count - 1] = (struct iovec){ end.out, 2 };
	} else {
		iov++;
		count -= 2;
	}
	err = http_send(x->server, x->conn, &sse->pace, iov, count, until, &sent);
	sse->sent.writes += sent.writes;
	sse->sent.bytes += sent.bytes;
	sse->sent.timed_out |= sent.timed_out;
	/* once a byte of it has gone, all must */
	if (err &&
		(sent.bytes || (err != WEFT_ETIMEDOUT && err != WEFT_ECANCELED) || sent.timed_out))
		sse->broken = err;
	if (err)
		return err;
	sse->body_len += size;
	sse->sent_at = weft_now();
	return WEFT_OK;
}

/* Why nothing can be sent any more. */
static weft_err is_over(const weft_http_exchange *x)
{
	if (x->sse->broken)
		return err_set(x->sse->broken);
	if (x->response.has_no_body)
		return err_set(WEFT_ECLOSED);
	return http_client_is_gone(x) ? err_set(weft_cancel_reason(x->gone)) : WEFT_OK;
}

static weft_err send_locked(
	weft_http_exchange *x, struct iovec *iov, unsigned count, size_t size, weft_deadline until)
{
	weft_err err = weft_mutex_lock(x->sse->lock, until);

	if (err)
		return err;
	err = is_over(x);
	if (!err)
		err = send_chunk(x, iov, count, size, until);
	weft_mutex_unlock(x->sse->lock);
	return err;
}

/* Copied into one piece. */
static weft_err send_copy(weft_http_exchange *x, const weft_sse_event *event, weft_deadline until)
{
	struct iovec iov[3];
	weft_buf text;
	weft_err err = weft_sse_write_buf(&text, x->server->pool, event);

	if (err)
		return err;
	iov[1] = (struct iovec){ text.data, text.len };
	err = send_locked(x, iov, 3, text.len, until);
	weft_buf_unref(&text);
	return err;
}

weft_err weft_http_exchange_sse_send(
	weft_http_exchange *x, const weft_sse_event *event, weft_deadline until)
{
	char head[HEAD_SIZE];
	const char *tail;
	size_t len = 0;
	union {
		const void *in;
		void *out;
	} data, end;
	struct iovec iov[5];
	weft_err err;

	if (!x->sse)
		return err_setf(WEFT_EINVAL, "sse_send: no event stream was begun");
	err = weft_sse_write_around(event, head, sizeof(head), &len, &tail);
	if (err == WEFT_ENOTFOUND || err == WEFT_EMSGSIZE)
		return send_copy(x, event, until);
	if (err)
		return err;
	data.in = event->data;
	end.in = tail;
	iov[1] = (struct iovec){ head, len };
	iov[2] = (struct iovec){ data.out, event->data_len };
	iov[3] = (struct iovec){ end.out, 2 };
	return send_locked(x, iov, 5, len + event->data_len + 2, until);
}

/* ---- watching ---- */

/* When the next comment is due. */
static weft_deadline comment_at(weft_http_exchange *x)
{
	int64_t after_ns = x->server->options.sse_comment_ns;
	weft_deadline at = WEFT_FOREVER;

	if (!x->sse || after_ns < 0)
		return at;
	if (weft_mutex_lock(x->sse->lock, WEFT_FOREVER) == WEFT_OK) {
		at = x->sse->sent_at + after_ns;
		weft_mutex_unlock(x->sse->lock);
	}
	return at;
}

/* Not to be left in the middle. */
static weft_err send_comment(weft_http_exchange *x)
{
	const weft_sse_event comment = { .kind = WEFT_SSE_COMMENT };
	weft_err err;

	weft_shield_begin();
	err = send_copy(x, &comment, WEFT_FOREVER);
	weft_shield_end();
	return err;
}

/* Reads what comes, behind what is there; when that is much, only the time passes. */
static weft_err watch_read(weft_http_exchange *x, weft_deadline until)
{
	if (x->in.len >= HTTP_IN_BLOCK)
		return weft_sleep_until(until);
	return http_in_more(x, 1, until);
}

static weft_err watcher(void *arg)
{
	weft_http_exchange *x = arg;
	weft_err err = WEFT_OK;

	while (!err) {
		weft_deadline until = comment_at(x);

		err = watch_read(x, until);
		if ((!err || err == WEFT_ETIMEDOUT) && comment_at(x) <= weft_now())
			err = send_comment(x);
		else if (err == WEFT_ETIMEDOUT)
			err = WEFT_OK;
	}
	if (err != WEFT_ECANCELED)
		weft_cancel_trigger(x->gone, err == WEFT_ECLOSED ? err : WEFT_ERESET);
	return WEFT_OK;
}

static weft_err watch_start(weft_http_exchange *x)
{
	weft_err err = weft_cancel_create(&x->gone, NULL);

	if (!err)
		err = weft_scope_create(&x->watch);
	if (!err)
		err = weft_scope_spawn(x->watch, "http watch", watcher, x);
	if (!err) {
		/* the keeper's walk may have been before */
		if (http_state(x->server) != WEFT_HTTP_SERVER_RUNNING)
			weft_cancel_trigger(x->gone, WEFT_ECANCELED);
		return WEFT_OK;
	}
	weft_scope_free(x->watch);
	weft_cancel_unref(x->gone);
	x->watch = NULL;
	x->gone = NULL;
	return err;
}

weft_err weft_http_exchange_watch(weft_http_exchange *x, weft_cancel **token)
{
	weft_err err = http_exchange_check(x, "watch");

	if (!err && !x->body_ended && !x->must_continue)
		err = err_setf(WEFT_EINVAL, "watch: the request's body was not read to its end");
	if (!err && !x->gone)
		err = watch_start(x);
	if (!err)
		*token = x->gone;
	return err;
}

void http_watch_end(weft_http_exchange *x)
{
	struct http_sse *sse = x->sse;

	weft_scope_free(x->watch);
	x->watch = NULL;
	if (!sse)
		return;
	counter_own_add(&x->shard->counts.writes, sse->sent.writes);
	counter_own_add(&x->shard->counts.bytes_out, sse->sent.bytes);
	x->timed_out |= sse->sent.timed_out;
	x->response.body_len += sse->body_len;
	if (!x->broken)
		x->broken = sse->broken;
}

/* ---- the stream ---- */

static weft_err stream_fields(weft_http_fields **out, const weft_http_fields *given)
{
	weft_http_fields *fields = NULL;
	weft_err err =
		given ? weft_http_fields_copy(&fields, given) : weft_http_fields_create(&fields);

	if (!err)
		err = weft_http_fields_set(fields, "Content-Type", "text/event-stream");
	if (!err)
		err = weft_http_fields_set(fields, "Cache-Control", "no-store");
	if (!err)
		err = weft_http_fields_set(fields, "X-Accel-Buffering", "no");
	if (err)
		weft_http_fields_free(fields);
	else
		*out = fields;
	return err;
}

void http_sse_free(struct http_sse *sse)
{
	if (!sse)
		return;
	weft_mutex_free(sse->lock);
	mem_free(sse);
}

static weft_err sse_make(struct http_sse **out)
{
	struct http_sse *sse = mem_calloc(1, sizeof(*sse));
	weft_err err;

	if (!sse)
		return err_setf(WEFT_ENOMEM, "event stream: out of memory");
	err = weft_mutex_create(&sse->lock);
	if (err) {
		http_sse_free(sse);
		return err;
	}
	sse->sent_at = weft_now();
	*out = sse;
	return WEFT_OK;
}

weft_err weft_http_exchange_sse_begin(
	weft_http_exchange *x, const weft_http_fields *fields, weft_deadline until)
{
	weft_http_fields *all = NULL;
	struct http_sse *sse = NULL;
	weft_err err = http_exchange_check(x, "sse_begin");

	if (!err && !x->body_ended && !x->must_continue)
		err = http_body_drop(x);
	if (!err)
		err = sse_make(&sse);
	if (!err)
		err = stream_fields(&all, fields);
	if (!err)
		err = http_response_open(x, "sse_begin", 200, all, until);
	if (!err)
		err = http_out_flush(x, until);
	if (!err) {
		x->sse = sse;
		sse = NULL;
		err = x->gone ? WEFT_OK : watch_start(x);
	}
	http_sse_free(sse);
	weft_http_fields_free(all);
	return err;
}

weft_err http_sse_finish(weft_http_exchange *x)
{
	if (http_client_is_gone(x) && !x->broken)
		x->broken = weft_cancel_reason(x->gone);
	if (x->broken)
		return err_set(x->broken);
	return http_response_shut(x, NULL, WEFT_FOREVER);
}
