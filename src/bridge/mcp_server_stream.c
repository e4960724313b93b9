/* SPDX-License-Identifier: MIT */
/*
 * Streams and their events; see mcp_server.h.
 *
 * An event is not sent, then sent. A stream's events that were not sent are its last ones; `next` is
 * the first of them. What was sent is kept as long as there is room, in case the client comes back.
 * Room is made from the oldest on, and never of what a writer that is there has still to send.
 */
#include "base/err.h"
#include "base/mem.h"
#include "bridge/mcp_server.h"
#include "rt/rt.h"

#include <string.h>

#define ROOM_SPARE \
	((size_t)256) /* a text whose block has more than this, and its length, to spare is
				  * copied, so that what is kept costs what is counted */

/* Who waits for room, on the waiter's stack. */
struct mcps_room {
	struct list link; /* in session->room */
	struct bell bell;
};

/* ---- streams ---- */

/* A progress token that is longer is none that is known here. */
static size_t bounded(weft_json value)
{
	return value.len <= MCPS_REQUEST_ID_MAX ? value.len : 0;
}

struct mcps_stream *mcps_stream_make(const weft_jsonrpc *request, struct mcps_writer *writer)
{
	weft_json id = request ? request->id : (weft_json){ NULL, 0 };
	weft_json token = request ? request->meta_progress_token : (weft_json){ NULL, 0 };
	struct mcps_stream *stream;
	size_t id_len = bounded(id), token_len = bounded(token);

	stream = mem_calloc(1, sizeof(*stream) + id_len + token_len + 1);
	if (!stream)
		return NULL;
	refcount_init(&stream->refs, 1);
	stream->writer = writer;
	stream->parker = weft_parker_self();
	stream->born_at = weft_now();
	stream->unanswered = request ? 1 : 0;
	list_init(&stream->link);
	list_init(&stream->events);
	stream->id_len = (uint32_t)id_len;
	if (id_len)
		memcpy(stream->id, id.text, id_len);
	if (token_len) {
		stream->token = memcpy(stream->id + id_len, token.text, token_len);
		stream->token_len = (uint32_t)token_len;
	}
	return stream;
}

static struct mcps_stream *stream_of(uint64_t word)
{
	return weft_map_pointer(word);
}

void mcps_stream_ref(uint64_t stream)
{
	refcount_hold(&stream_of(stream)->refs);
}

static void stream_unref(struct mcps_stream *stream)
{
	while (stream && refcount_drop(&stream->refs)) {
		struct mcps_stream *batch = stream->batch;

		weft_message_fini(&stream->answer);
		mem_free(stream);
		stream = batch;
	}
}

void mcps_stream_unref(uint64_t stream)
{
	stream_unref(stream_of(stream));
}

static void open_locked(struct mcps_session *session, struct mcps_stream *stream)
{
	stream->number = ++session->streams_len;
	refcount_hold(&stream->refs);
	list_push_back(&session->streams, &stream->link);
	if (stream->writer)
		(void)counter_add(&session->writers, 1);
}

bool mcps_stream_open(struct mcps_session *session, struct mcps_stream *stream)
{
	if (word_get(&stream->phase) != MCPS_WAITING)
		return word_get(&stream->phase) == MCPS_STREAMING;
	mcps_lock(session);
	if (word_change(&stream->phase, MCPS_WAITING, MCPS_STREAMING)) {
		open_locked(session, stream);
		weft_unpark(stream->parker);
	}
	mcps_unlock(session);
	return word_get(&stream->phase) == MCPS_STREAMING;
}

/* Nothing of it is kept, nobody sends it, nothing will come: nobody can ask for it any more. */
static void forget_if_over(struct mcps_stream *stream)
{
	if (list_is_empty(&stream->link) || stream->writer || stream->unanswered ||
		!list_is_empty(&stream->events))
		return;
	list_remove(&stream->link);
	stream_unref(stream);
}

/* ---- events ---- */

/* The stream's next; NULL: it is the last. */
static struct mcps_event *behind(const struct mcps_event *event)
{
	return event->mine.next == &event->stream->events
		? NULL
		: container_of(event->mine.next, struct mcps_event, mine);
}

/* Out of the lists. The reference to its stream is the caller's from now on. */
static void event_drop(struct mcps_session *s, struct mcps_event *event)
{
	struct mcps_stream *stream = event->stream;

	if (stream->next == event)
		stream->next = behind(event);
	if (event->seq > stream->dropped_seq)
		stream->dropped_seq = event->seq;
	list_remove(&event->all);
	list_remove(&event->mine);
	s->events_len--;
	s->bytes -= event->text.len;
	(void)counter_sub(&s->server->stats.replay_bytes, event->text.len);
	weft_buf_unref(&event->text);
	mem_free(event);
}

/* With so much more. */
static bool is_over_limits(const struct mcps_session *s, size_t events, size_t bytes)
{
	return s->events_len + events > s->server->options.replay_events_max ||
		s->bytes + bytes > s->server->options.replay_bytes_max;
}

/* The oldest are dropped that may be, until there is room for so much more. */
static void make_room(struct mcps_session *s, size_t events, size_t bytes)
{
	list_for_each_safe(it, tmp, &s->events) {
		struct mcps_event *event = container_of(it, struct mcps_event, all);
		struct mcps_stream *stream = event->stream;

		if (!is_over_limits(s, events, bytes))
			break;
		if (!event->is_sent && stream->writer)
			continue;
		event_drop(s, event);
		forget_if_over(stream);
		stream_unref(stream);
	}
}

static void tell_room(struct mcps_session *s)
{
	list_for_each(it, &s->room)
		bell_ring(&container_of(it, struct mcps_room, link)->bell);
}

/* Something was sent, or may be dropped. */
static void trim(struct mcps_session *s)
{
	make_room(s, 0, 0);
	tell_room(s);
}

void mcps_events_drop(struct mcps_session *session)
{
	list_for_each_safe(it, tmp, &session->events) {
		struct mcps_event *event = container_of(it, struct mcps_event, all);
		struct mcps_stream *stream = event->stream;

		event_drop(session, event);
		stream_unref(stream);
	}
	list_for_each_safe(it, tmp, &session->streams) {
		struct mcps_stream *stream = container_of(it, struct mcps_stream, link);

		list_remove(&stream->link);
		stream_unref(stream);
	}
	stream_unref(session->held);
	session->held = NULL;
}

void mcps_streams_wake(struct mcps_session *session)
{
	mcps_lock(session);
	list_for_each(it, &session->streams) {
		struct mcps_stream *stream = container_of(it, struct mcps_stream, link);

		if (stream->writer)
			bell_ring(&stream->writer->bell);
	}
	tell_room(session);
	mcps_unlock(session);
}

/* ---- putting ---- */

/* The text of a message, in memory of about its length. */
static weft_err take_text(struct mcps_session *s, weft_message *message, weft_buf *out)
{
	weft_buf *text = &message->text;
	weft_err err = WEFT_OK;

	if (weft_buf_room(text) > 2 * text->len + ROOM_SPARE) {
		err = weft_buf_copy(
			out, mcps_transport_options(s->server)->pool, text->data, text->len);
	} else {
		*out = weft_buf_ref(text);
	}
	weft_message_fini(message);
	return err;
}

static void event_link(struct mcps_session *s, struct mcps_stream *stream, struct mcps_event *event)
{
	event->stream = stream;
	event->seq = ++stream->seq;
	refcount_hold(&stream->refs);
	list_push_back(&s->events, &event->all);
	list_push_back(&stream->events, &event->mine);
	if (!stream->next)
		stream->next = event;
	s->events_len++;
	s->bytes += event->text.len;
	(void)counter_add(&s->server->stats.replay_bytes, event->text.len);
	if (event->is_answer) {
		stream->answer_seq = event->seq;
		stream->unanswered -= stream->unanswered > 0;
	}
	if (stream->writer)
		bell_ring(&stream->writer->bell);
}

/* There is no room, and the stream's writer has to send first. */
static bool must_wait(struct mcps_session *s, const struct mcps_stream *stream, size_t len)
{
	make_room(s, 1, len);
	return stream->writer && stream->next && !mcps_session_has_ended(s) &&
		is_over_limits(s, 1, len);
}

/* Under the lock, which is given up meanwhile. */
static weft_err wait_for_room(
	struct mcps_session *s, const struct mcps_stream *stream, size_t len, weft_deadline until)
{
	int64_t patience_ns = mcps_transport_options(s->server)->send_timeout_ns;
	weft_deadline limit = weft_after_ns(patience_ns);
	struct mcps_room room;
	weft_err err = WEFT_OK;

	until = until < limit ? until : limit;
	bell_clear(&room.bell);
	list_init(&room.link);
	list_push_back(&s->room, &room.link);
	while (!err) {
		bell_set(&room.bell, weft_parker_self());
		if (!must_wait(s, stream, len))
			break;
		mcps_unlock(s);
		err = rt_park(until, "mcp: a client that reads slowly");
		mcps_lock(s);
	}
	list_remove(&room.link);
	return err;
}

/* Nobody else will answer it: its writer says so. */
static void lose_locked(struct mcps_stream *stream)
{
	stream->is_lost = true;
	stream->unanswered -= stream->unanswered > 0;
	if (stream->writer)
		bell_ring(&stream->writer->bell);
}

void mcps_stream_finish(struct mcps_session *session, struct mcps_stream *stream)
{
	mcps_lock(session);
	stream->unanswered = 0;
	if (stream->writer)
		bell_ring(&stream->writer->bell);
	mcps_unlock(session);
}

void mcps_stream_lose(struct mcps_session *session, struct mcps_stream *stream)
{
	mcps_lock(session);
	lose_locked(stream);
	mcps_unlock(session);
}

void mcps_stream_give_up(
	struct mcps_session *session, struct mcps_stream *stream, const struct mcps_writer *writer)
{
	mcps_lock(session);
	stream->unanswered = 0;
	mcps_unlock(session);
	mcps_stream_leave(session, stream, writer);
}

/* Without links; NULL: no memory. */
static struct mcps_event *event_make(struct mcps_session *s, weft_message *message, bool is_answer)
{
	struct mcps_event *event = mem_calloc(1, sizeof(*event));

	if (event && take_text(s, message, &event->text)) {
		mem_free(event);
		event = NULL;
	}
	if (event)
		event->is_answer = is_answer;
	weft_message_fini(message);
	return event;
}

weft_err mcps_stream_put(struct mcps_session *session, struct mcps_stream *stream,
	weft_message *message, bool is_answer, weft_deadline until)
{
	struct mcps_event *event = event_make(session, message, is_answer);
	weft_err err = event ? WEFT_OK : err_setf(WEFT_ENOMEM, "event: out of memory");

	mcps_lock(session);
	if (event && must_wait(session, stream, event->text.len))
		err = wait_for_room(session, stream, event->text.len, until);
	if (event && !err) {
		event_link(session, stream, event);
		event = NULL;
		make_room(session, 0, 0); /* for one that is larger than all there may be */
	} else if (is_answer) {
		lose_locked(stream);
	}
	mcps_unlock(session);
	if (event) {
		weft_buf_unref(&event->text);
		mem_free(event);
	}
	return err;
}

/* ---- sending ---- */

void mcps_event_sent(
	struct mcps_session *session, struct mcps_stream *stream, const struct mcps_writer *writer)
{
	struct mcps_event *event;

	mcps_lock(session);
	event = stream->next;
	/* another has it now, who sends it once more */
	if (stream->writer == writer && event) {
		event->is_sent = true;
		stream->next = behind(event);
		if (session->kind != MCPS_SESSIONS) {
			/* nobody can come back for it */
			event_drop(session, event);
			stream_unref(stream);
		}
		trim(session);
	}
	mcps_unlock(session);
}

/* Nobody can come back for them. */
static void drop_all(struct mcps_session *s, struct mcps_stream *stream)
{
	while (!list_is_empty(&stream->events)) {
		event_drop(s, container_of(stream->events.next, struct mcps_event, mine));
		stream_unref(stream);
	}
}

void mcps_stream_leave(
	struct mcps_session *session, struct mcps_stream *stream, const struct mcps_writer *writer)
{
	mcps_lock(session);
	if (stream->writer == writer) {
		stream->writer = NULL;
		(void)counter_sub(&session->writers, 1);
		if (stream->is_listener)
			session->listeners--;
		if (session->kind != MCPS_SESSIONS)
			drop_all(session, stream);
		forget_if_over(stream);
		trim(session);
	}
	mcps_unlock(session);
	mcps_session_touch(session);
}

/* ---- a batch's answers ---- */

/* Bytes of an array of them. Errors: WEFT_EAGAIN (some are missing), WEFT_EINVAL (there is something
 * else, or one is lost). */
static weft_err array_size(const struct mcps_stream *stream, size_t *size)
{
	*size = 1;
	if (stream->is_lost || stream->dropped_seq)
		return err_set(WEFT_EINVAL);
	list_for_each(it, &stream->events) {
		const struct mcps_event *event = container_of(it, struct mcps_event, mine);

		if (!event->is_answer)
			return err_set(WEFT_EINVAL);
		*size += event->text.len + 1;
	}
	return stream->unanswered ? err_set(WEFT_EAGAIN) : WEFT_OK;
}

weft_err mcps_stream_gather(struct mcps_session *session, struct mcps_stream *stream, weft_buf *out)
{
	size_t size, at = 0;
	weft_err err;

	mcps_lock(session);
	err = array_size(stream, &size);
	if (!err)
		err = weft_buf_alloc(out, mcps_transport_options(session->server)->pool, size);
	if (!err) {
		list_for_each(it, &stream->events) {
			struct mcps_event *event = container_of(it, struct mcps_event, mine);

			out->data[at] = at ? ',' : '[';
			memcpy(out->data + at + 1, event->text.data, event->text.len);
			at += 1 + event->text.len;
		}
		out->data[at] = ']';
		drop_all(session, stream);
	}
	mcps_unlock(session);
	return err;
}

/* ---- coming back ---- */

/* What was not sent on a stream that nobody sends goes to this one: it was on none yet. */
static void move_events(struct mcps_stream *from, struct mcps_stream *to)
{
	while (from->next) {
		struct mcps_event *event = from->next;

		from->next = behind(event);
		list_remove(&event->mine);
		event->stream = to;
		event->seq = ++to->seq;
		refcount_hold(&to->refs);
		list_push_back(&to->events, &event->mine);
		if (!to->next)
			to->next = event;
		stream_unref(from);
	}
}

/* is_new: also of other listeners that are gone. */
static void gather_locked(struct mcps_session *session, struct mcps_stream *listener, bool is_new)
{
	if (session->held)
		move_events(session->held, listener);
	list_for_each_safe(it, tmp, &session->streams) {
		struct mcps_stream *stream = container_of(it, struct mcps_stream, link);

		if (!is_new || !stream->is_listener || stream->writer || stream == listener)
			continue;
		move_events(stream, listener);
		forget_if_over(stream);
	}
}

static struct mcps_stream *find_locked(struct mcps_session *s, uint64_t number)
{
	list_for_each(it, &s->streams) {
		struct mcps_stream *stream = container_of(it, struct mcps_stream, link);

		if (stream->number == number)
			return stream;
	}
	return NULL;
}

/* Everything behind that event is to be sent. Returns how many. */
static uint64_t rewind_to(struct mcps_stream *stream, uint64_t seq)
{
	uint64_t n = 0;

	stream->next = NULL;
	list_for_each(it, &stream->events) {
		struct mcps_event *event = container_of(it, struct mcps_event, mine);

		if (event->seq <= seq)
			continue;
		if (!stream->next)
			stream->next = event;
		n += event->is_sent;
		event->is_sent = false;
	}
	return n;
}

static void take_over(
	struct mcps_session *s, struct mcps_stream *stream, struct mcps_writer *writer)
{
	if (stream->writer) {
		stream->writer->is_replaced = true;
		bell_ring(&stream->writer->bell);
	} else {
		(void)counter_add(&s->writers, 1);
		if (stream->is_listener)
			s->listeners++;
	}
	stream->writer = writer;
}

void mcps_stream_resume(struct mcps_session *session, struct mcps_cursor cursor,
	struct mcps_writer *writer, struct mcps_resume *out)
{
	struct mcps_stream *stream;

	*out = (struct mcps_resume){ 0 };
	mcps_lock(session);
	stream = find_locked(session, cursor.stream);
	out->was_there = cursor.stream <= session->streams_len && cursor.stream > 0 &&
		(!stream || cursor.seq <= stream->seq);
	if (stream && out->was_there) {
		refcount_hold(&stream->refs);
		out->stream = stream;
		take_over(session, stream, writer);
		if (stream->answer_seq > cursor.seq && stream->answer_seq <= stream->dropped_seq)
			stream->is_lost = true;
		if (stream->is_listener)
			gather_locked(session, stream, false);
		(void)counter_add(&session->server->stats.resumed, 1);
		(void)counter_add(&session->server->stats.replayed, rewind_to(stream, cursor.seq));
	}
	mcps_unlock(session);
}

/* ---- listening ---- */

/* What nobody is there for waits. Returns a reference; NULL: no memory. */
struct mcps_stream *mcps_held_locked(struct mcps_session *session)
{
	if (!session->held) {
		session->held = mcps_stream_make(NULL, NULL);
		if (!session->held)
			return NULL;
		(void)word_swap(&session->held->phase, MCPS_STREAMING);
	}
	refcount_hold(&session->held->refs);
	return session->held;
}

weft_err mcps_listen(
	struct mcps_session *session, struct mcps_writer *writer, struct mcps_stream **out)
{
	struct mcps_stream *stream = mcps_stream_make(NULL, writer);
	weft_err err = WEFT_OK;

	if (!stream)
		return err_setf(WEFT_ENOMEM, "stream: out of memory");
	stream->is_listener = true;
	(void)word_swap(&stream->phase, MCPS_STREAMING);
	mcps_lock(session);
	if (session->listeners == MCPS_LISTENERS_MAX) {
		err = err_setf(WEFT_ECAPACITY, "the session has %d streams open already",
			MCPS_LISTENERS_MAX);
	} else {
		session->listeners++;
		open_locked(session, stream);
		gather_locked(session, stream, true);
		*out = stream;
	}
	mcps_unlock(session);
	if (err)
		stream_unref(stream);
	return err;
}
