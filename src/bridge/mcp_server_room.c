/* SPDX-License-Identifier: MIT */
/*
 * Events of streams, and the room that a session has for them; see mcp_server.h.
 *
 * Room is made from the oldest on, and never of what a writer that is there has still to send: who has
 * more for that one waits.
 */
#include "base/err.h"
#include "base/mem.h"
#include "bridge/mcp_server.h"
#include "rt/rt.h"

/* Who waits for room, on the waiter's stack. */
struct mcps_room {
	struct list link; /* in session->room */
	struct bell bell;
};

/* ---- events ---- */

/* The stream's next; NULL: it is the last. */
struct mcps_event *mcps_event_behind(const struct mcps_event *event)
{
	return event->mine.next == &event->stream->events
		? NULL
		: container_of(event->mine.next, struct mcps_event, mine);
}

enum mcps_rank mcps_rank_of(const struct mcps_event *event)
{
	return event->is_answer || event->is_request ? MCPS_DUE : MCPS_NOTE;
}

/* Out of the lists. The reference to its stream is the caller's from now on. */
static void event_unlink(struct mcps_session *s, struct mcps_event *event)
{
	struct mcps_stream *stream = event->stream;
	enum mcps_rank rank = mcps_rank_of(event);

	if (stream->next == event)
		stream->next = mcps_event_behind(event);
	if (event->seq > stream->dropped_seq)
		stream->dropped_seq = event->seq;
	if (event->is_answer && event->seq > stream->lost_seq)
		stream->lost_seq = event->seq;
	list_remove(&event->all);
	list_remove(&event->mine);
	stream->len--;
	stream->bytes -= event->text.len;
	s->len[rank]--;
	s->bytes[rank] -= event->text.len;
	(void)counter_sub(&s->server->stats.replay_bytes, event->text.len);
}

void mcps_event_free(struct mcps_event *event)
{
	weft_buf_unref(&event->text);
	mem_free(event);
}

void mcps_event_drop(struct mcps_session *s, struct mcps_event *event)
{
	event_unlink(s, event);
	mcps_event_free(event);
}

/* ---- room ---- */

/* More that is to come. */
struct more {
	size_t len[MCPS_RANKS], bytes[MCPS_RANKS];
};

static const struct more nothing_more;

static struct more more_of(const struct mcps_event *event)
{
	struct more more = nothing_more;

	more.len[mcps_rank_of(event)] = 1;
	more.bytes[mcps_rank_of(event)] = event->text.len;
	return more;
}

static bool is_over_limits(const struct mcps_session *s, const struct more *more)
{
	const weft_mcp_server_options *o = &s->server->options;
	size_t len = 0, bytes = 0;

	for (size_t rank = 0; rank < MCPS_RANKS; rank++) {
		len += s->len[rank] + more->len[rank];
		bytes += s->bytes[rank] + more->bytes[rank];
	}
	return len > o->replay_events_max || bytes > o->replay_bytes_max;
}

static bool is_over_half(const struct mcps_session *s, const struct more *more, enum mcps_rank rank)
{
	const weft_mcp_server_options *o = &s->server->options;

	return s->len[rank] + more->len[rank] > o->replay_events_max / 2 ||
		s->bytes[rank] + more->bytes[rank] > o->replay_bytes_max / 2;
}

/* For good. One that nobody saw, and that wants an answer, gets one. */
static void shed_one(struct mcps_session *s, struct mcps_event *event)
{
	struct mcps_stream *stream = event->stream;

	event_unlink(s, event);
	(void)counter_add(&s->server->stats.evicted, 1);
	if (event->is_request && !event->is_sent) {
		list_push_back(&s->refused, &event->all);
		(void)word_swap(&s->has_refused, 1);
	} else {
		mcps_event_free(event);
	}
	mcps_stream_forget_if_over(stream);
	mcps_stream_unref(weft_map_word(stream));
}

/* The oldest of that rank are dropped that may be. */
static void shed(struct mcps_session *s, const struct more *more, enum mcps_rank rank, bool to_half,
	bool sent_only)
{
	list_for_each_safe(it, tmp, &s->events[rank]) {
		struct mcps_event *event = container_of(it, struct mcps_event, all);

		if (!is_over_limits(s, more) || (to_half && !is_over_half(s, more, rank)))
			break;
		if (event->is_sent || (!event->stream->writer && !sent_only))
			shed_one(s, event);
	}
}

/* Until there is room for so much more; see mcp_server.h. */
static void make_room(struct mcps_session *s, const struct more *more)
{
	if (!is_over_limits(s, more))
		return;
	shed(s, more, MCPS_NOTE, true, false);
	shed(s, more, MCPS_DUE, false, true);
	shed(s, more, MCPS_DUE, false, false);
	shed(s, more, MCPS_NOTE, false, false);
}

void mcps_room_make(struct mcps_session *s)
{
	make_room(s, &nothing_more);
}

void mcps_room_tell(struct mcps_session *s)
{
	list_for_each(it, &s->room)
		bell_ring(&container_of(it, struct mcps_room, link)->bell);
}

/* Something was sent, or may be dropped. */
void mcps_room_trim(struct mcps_session *s)
{
	make_room(s, &nothing_more);
	mcps_room_tell(s);
}

/* ---- waiting ---- */

/* There is no room, and the stream's writer has to send first. */
static bool must_wait(
	struct mcps_session *s, const struct mcps_stream *stream, const struct more *more)
{
	make_room(s, more);
	return stream->writer && stream->next && !mcps_session_has_ended(s) &&
		is_over_limits(s, more);
}

/* Under the lock, which is given up meanwhile. room: on the caller's stack, in a list until this
 * returns. */
static __attribute__((noinline)) weft_err wait_in(struct mcps_room *room, struct mcps_session *s,
	const struct mcps_stream *stream, const struct more *more, weft_deadline until)
{
	weft_err err = WEFT_OK;

	bell_clear(&room->bell);
	list_init(&room->link);
	list_push_back(&s->room, &room->link);
	while (!err) {
		bell_set(&room->bell, weft_parker_self());
		if (!must_wait(s, stream, more))
			break;
		mcps_unlock(s);
		err = rt_park(until, "mcp: a client that reads slowly");
		mcps_lock(s);
	}
	list_remove(&room->link);
	return err;
}

static weft_err wait_for_room(struct mcps_session *s, const struct mcps_stream *stream,
	const struct more *more, weft_deadline until)
{
	weft_deadline limit = weft_after_ns(mcps_transport_options(s->server)->send_timeout_ns);
	struct mcps_room room;

	return wait_in(&room, s, stream, more, until < limit ? until : limit);
}

/* STATELESS: whether the stream has that room left, which others have no part in. */
static bool has_room(const struct mcps_session *s, const struct mcps_stream *stream, size_t len)
{
	const weft_mcp_server_options *o = &s->server->options;

	if (stream->is_lost)
		return false;
	return !stream->len ||
		(stream->len < o->replay_events_max && stream->bytes + len <= o->replay_bytes_max);
}

weft_err mcps_room_for(struct mcps_session *s, const struct mcps_stream *stream,
	const struct mcps_event *event, weft_deadline until)
{
	struct more more = more_of(event);

	if (event->is_answer)
		return WEFT_OK;
	if (s->kind == MCPS_STATELESS)
		return has_room(s, stream, event->text.len)
			? WEFT_OK
			: err_setf(WEFT_ECAPACITY, "the client reads slowly");
	return must_wait(s, stream, &more) ? wait_for_room(s, stream, &more, until) : WEFT_OK;
}

weft_err mcps_stream_await_room(struct mcps_session *session, const struct mcps_stream *stream,
	size_t len, weft_deadline until)
{
	struct more more = nothing_more;
	weft_err err = WEFT_OK;

	more.len[MCPS_DUE] = 1;
	more.bytes[MCPS_DUE] = len;
	mcps_lock(session);
	if (must_wait(session, stream, &more))
		err = wait_for_room(session, stream, &more, until);
	mcps_unlock(session);
	mcps_questions_refuse(session);
	return err;
}

/* ---- the server's requests that nobody saw ---- */

/* One of them; NULL: there is none, and *is_refusing ends. */
static struct mcps_event *take_refused(struct mcps_session *s)
{
	struct list *node = NULL;

	mcps_lock(s);
	if (!list_is_empty(&s->refused)) {
		node = s->refused.next;
		list_remove(node);
	} else {
		s->is_refusing = false;
		(void)word_swap(&s->has_refused, 0);
	}
	mcps_unlock(s);
	return node ? container_of(node, struct mcps_event, all) : NULL;
}

/* One at a time: the answer to one may make another send, and come here again. */
static bool begin_refusing(struct mcps_session *s)
{
	bool is_mine;

	mcps_lock(s);
	is_mine = !s->is_refusing;
	s->is_refusing = true;
	mcps_unlock(s);
	return is_mine;
}

void mcps_questions_refuse(struct mcps_session *session)
{
	struct mcps_event *event;

	if (weft_likely(!word_get(&session->has_refused)) || !begin_refusing(session))
		return;
	weft_shield_begin();
	while ((event = take_refused(session))) {
		weft_json id = { (char *)event->text.data + event->id_at, event->id_len };
		weft_message message;

		if (!mcps_error_make(&message, session->server, id, MCPS_LOST,
			    "the client is not there to be asked"))
			(void)mcps_session_deliver(session, &message);
		mcps_event_free(event);
	}
	weft_shield_end();
}
