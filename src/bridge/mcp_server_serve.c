/* SPDX-License-Identifier: MIT */
/*
 * Sending a stream's events. The handler's fiber sends, at its client's pace; others only put events
 * in, and ring. While nothing is sent the HTTP server writes comments.
 */
#include "base/err.h"
#include "bridge/mcp_server.h"
#include "rt/rt.h"

#include <string.h>

/* ---- events ---- */

/* Ids are for those who may come back: with sessions. */
static void event_id(char out[MCPS_CURSOR_SIZE], const struct mcps_stream *stream, uint64_t seq)
{
	struct mcps_cursor cursor = { .stream = stream->number,
		.seq = seq,
		.is_listener = stream->is_listener,
		.request_id = { stream->id, stream->id_len } };

	mcps_cursor_write(out, &cursor);
}

static weft_err send_message(weft_http_exchange *x, const struct mcps_serving *serving,
	const weft_buf *text, uint64_t seq)
{
	char id[MCPS_CURSOR_SIZE];
	weft_sse_event event = { .kind = WEFT_SSE_MESSAGE,
		.type = "message",
		.data = (const char *)text->data,
		.data_len = text->len };

	if (serving->session->kind == MCPS_SESSIONS) {
		event_id(id, serving->stream, seq);
		event.id = id;
	}
	return weft_http_exchange_sse_send(x, &event, WEFT_FOREVER);
}

/* In the place of an answer that can't be had any more. */
static weft_err send_lost(weft_http_exchange *x, weft_mcp_server *server, weft_json id)
{
	weft_message message;
	weft_sse_event event = { .kind = WEFT_SSE_MESSAGE, .type = "message" };
	weft_err err = mcps_error_make(
		&message, server, id, MCPS_LOST, "the answer is not there any more");

	if (err)
		return err;
	event.data = (const char *)message.text.data;
	event.data_len = message.text.len;
	err = weft_http_exchange_sse_send(x, &event, WEFT_FOREVER);
	weft_message_fini(&message);
	return err;
}

/* What comes before the events. */
static weft_err send_first(weft_http_exchange *x, const struct mcps_serving *serving)
{
	char id[MCPS_CURSOR_SIZE];
	weft_sse_event event = { .kind = WEFT_SSE_MESSAGE };

	if (serving->endpoint) {
		event.type = "endpoint";
		event.data = serving->endpoint;
		event.data_len = strlen(serving->endpoint);
	} else if (serving->primes) {
		event_id(id, serving->stream, 0);
		event.id = id;
		event.data = "";
		event.retry_set = true;
		event.retry_ms = MCPS_RETRY_MS;
	} else {
		return WEFT_OK;
	}
	return weft_http_exchange_sse_send(x, &event, WEFT_FOREVER);
}

/* ---- a stream ---- */

/* What the writer is to do next. */
struct next {
	weft_buf text; /* empty: no event */
	uint64_t seq;
	bool is_lost; /* an error for the request, then the end */
	bool is_over;
};

static void look(const struct mcps_serving *serving, struct next *next)
{
	struct mcps_session *s = serving->session;
	struct mcps_stream *stream = serving->stream;

	*next = (struct next){ .text = WEFT_BUF_EMPTY };
	mcps_lock(s);
	if (serving->writer->is_replaced) {
		next->is_over = true;
	} else if (stream->next) {
		next->text = weft_buf_ref(&stream->next->text);
		next->seq = stream->next->seq;
	} else if (stream->is_lost) {
		next->is_lost = true;
	} else if (stream->is_listener) {
		next->is_over = mcps_session_has_ended(s);
	} else {
		next->is_over = !stream->unanswered;
	}
	mcps_unlock(s);
}

static weft_json id_of(const struct mcps_stream *stream)
{
	return (weft_json){ stream->id_len ? stream->id : NULL, stream->id_len };
}

/* Nothing is there to be sent. */
static weft_err wait_for_more(const struct mcps_serving *serving, weft_deadline *until)
{
	weft_err err = rt_park(*until, "mcp: an event stream");

	if (err != WEFT_ETIMEDOUT)
		return err;
	*until = WEFT_FOREVER;
	/* or it is being answered just now */
	(void)mcps_request_fail(serving->session, serving->stream, "no answer came in time");
	return WEFT_OK;
}

/* One step. *is_over: the stream has ended. */
static weft_err step(weft_http_exchange *x, const struct mcps_serving *serving, weft_cancel *gone,
	weft_deadline *until, bool *is_over)
{
	struct next next;
	weft_err err = WEFT_OK;

	bell_set(&serving->writer->bell, weft_parker_self());
	look(serving, &next);
	if (next.text.data) {
		err = send_message(x, serving, &next.text, next.seq);
		weft_buf_unref(&next.text);
		if (!err)
			mcps_event_sent(serving->session, serving->stream, serving->writer);
		return err;
	}
	*is_over = next.is_over || next.is_lost;
	if (next.is_lost)
		return send_lost(x, serving->session->server, id_of(serving->stream));
	if (next.is_over)
		return WEFT_OK;
	if (weft_cancel_is_cancelled(gone)) {
		/* the server stops: a stream of a GET ends in order, an answer may come still */
		if (weft_cancel_reason(gone) != WEFT_ECANCELED)
			return err_set(weft_cancel_reason(gone));
		*is_over = serving->stream->is_listener;
		if (*is_over)
			return WEFT_OK;
	}
	return wait_for_more(serving, until);
}

static void ring(void *arg)
{
	struct mcps_writer *writer = arg;

	bell_ring(&writer->bell);
}

static weft_err send_all(weft_http_exchange *x, const struct mcps_serving *serving)
{
	weft_cancel_watch *watch = NULL;
	weft_deadline until = serving->until;
	weft_cancel *gone;
	bool is_over = false;
	weft_err err = weft_http_exchange_watch(x, &gone);

	if (!err)
		err = weft_cancel_watch_create(&watch, gone, ring, serving->writer);
	if (!err)
		err = send_first(x, serving);
	while (!err && !is_over)
		err = step(x, serving, gone, &until, &is_over);
	if (watch)
		(void)weft_cancel_watch_free(watch);
	return err;
}

weft_err mcps_serve(weft_http_exchange *x, const struct mcps_serving *serving)
{
	struct mcps_stats *stats = &serving->session->server->stats;
	weft_err err = weft_http_exchange_sse_begin(x, serving->fields, WEFT_FOREVER);

	(void)counter_add(&stats->streams_now, 1);
	if (!err)
		err = send_all(x, serving);
	(void)counter_sub(&stats->streams_now, 1);
	mcps_stream_leave(serving->session, serving->stream, serving->writer);
	return err;
}

weft_err mcps_serve_lost(struct mcps_ask *ask, weft_json id)
{
	weft_err err = weft_http_exchange_sse_begin(ask->x, NULL, WEFT_FOREVER);

	return err ? err : send_lost(ask->x, ask->server, id);
}
