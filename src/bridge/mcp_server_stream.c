/* SPDX-License-Identifier: MIT */
/*
 * Streams and their events; see mcp_server.h.
 *
 * An event is not sent, then sent. A stream's events that were not sent are its last ones; `next` is
 * the first of them. What was sent is kept as long as there is room, in case the client comes back.
 */
#include "base/err.h"
#include "base/mem.h"
#include "bridge/mcp_server.h"
#include "rt/rt.h"

#include <weft/log.h>

#include <string.h>

#define ROOM_SPARE \
	((size_t)256) /* a text whose block has more than this, and its length, to spare is
				  * copied, so that what is kept costs what is counted */

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
void mcps_stream_forget_if_over(struct mcps_stream *stream)
{
	if (list_is_empty(&stream->link) || stream->writer || stream->unanswered ||
		!list_is_empty(&stream->events))
		return;
	list_remove(&stream->link);
	stream_unref(stream);
}

/* ---- all of them ---- */

void mcps_events_drop(struct mcps_session *session)
{
	for (size_t rank = 0; rank < MCPS_RANKS; rank++) {
		list_for_each_safe(it, tmp, &session->events[rank]) {
			struct mcps_event *event = container_of(it, struct mcps_event, all);
			struct mcps_stream *stream = event->stream;

			mcps_event_drop(session, event);
			stream_unref(stream);
		}
	}
	list_for_each_safe(it, tmp, &session->refused)
		mcps_event_free(container_of(it, struct mcps_event, all));
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
	mcps_room_tell(session);
	mcps_unlock(session);
}

/* ---- listeners ---- */

struct mcps_stream *mcps_listener_locked(const struct mcps_session *s)
{
	for (struct list *it = s->streams.prev; it != &s->streams; it = it->prev) {
		struct mcps_stream *stream = container_of(it, struct mcps_stream, link);

		if (stream->is_listener && stream->writer)
			return stream;
	}
	return NULL;
}

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

struct mcps_stream *mcps_listening_locked(struct mcps_session *session)
{
	struct mcps_stream *stream = mcps_listener_locked(session);

	if (!stream)
		return mcps_held_locked(session);
	refcount_hold(&stream->refs);
	return stream;
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
	list_push_back(&s->events[mcps_rank_of(event)], &event->all);
	list_push_back(&stream->events, &event->mine);
	if (!stream->next)
		stream->next = event;
	stream->len++;
	stream->bytes += event->text.len;
	s->len[mcps_rank_of(event)]++;
	s->bytes[mcps_rank_of(event)] += event->text.len;
	(void)counter_add(&s->server->stats.replay_bytes, event->text.len);
	if (event->is_answer)
		stream->unanswered -= stream->unanswered > 0;
	if (stream->writer)
		bell_ring(&stream->writer->bell);
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

void mcps_stream_overflow(struct mcps_session *session, struct mcps_stream *stream)
{
	bool is_first;

	mcps_lock(session);
	is_first = !stream->is_full;
	stream->is_full = true;
	if (stream->is_endless)
		lose_locked(stream);
	mcps_unlock(session);
	if (is_first)
		weft_log(WEFT_LOG_WARN, "mcp", "%s: a client reads slowly: %s",
			weft_transport_name(session->transport),
			stream->is_endless ? "its subscription ends"
					   : "notifications of its request are dropped");
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

	if (event && message->rpc.kind == WEFT_JSONRPC_REQUEST) {
		event->is_request = true;
		event->id_at = (uint32_t)(message->rpc.id.text - (char *)message->text.data);
		event->id_len = (uint32_t)message->rpc.id.len;
	}
	if (event && take_text(s, message, &event->text)) {
		mem_free(event);
		event = NULL;
	}
	if (event)
		event->is_answer = is_answer;
	weft_message_fini(message);
	return event;
}

/* The answer is the last of its stream. */
static bool is_past(const struct mcps_stream *stream, const struct mcps_event *event)
{
	return !event->is_answer && stream->number && !stream->is_listener && !stream->unanswered;
}

/* The event goes to a GET's stream in the place of one that has been answered. */
static weft_err link_elsewhere(
	struct mcps_session *s, struct mcps_event *event, weft_deadline until)
{
	struct mcps_stream *stream;
	weft_err err;

	if (s->kind == MCPS_STATELESS)
		return err_setf(WEFT_ENOTFOUND, "the request was answered");
	stream = mcps_listening_locked(s);
	if (!stream)
		return err_setf(WEFT_ENOMEM, "event: out of memory");
	err = mcps_room_for(s, stream, event, until);
	if (!err)
		event_link(s, stream, event);
	stream_unref(stream);
	return err;
}

/* Under the lock. On an error the event is still the caller's. */
static weft_err put_locked(struct mcps_session *s, struct mcps_stream *stream,
	struct mcps_event *event, weft_deadline until)
{
	weft_err err = WEFT_OK;

	if (!is_past(stream, event))
		err = mcps_room_for(s, stream, event, until);
	if (err)
		return err;
	if (is_past(stream, event)) /* or it was answered meanwhile */
		return link_elsewhere(s, event, until);
	event_link(s, stream, event);
	return WEFT_OK;
}

weft_err mcps_stream_put(struct mcps_session *session, struct mcps_stream *stream,
	weft_message *message, bool is_answer, weft_deadline until)
{
	struct mcps_event *event = event_make(session, message, is_answer);
	weft_err err = event ? WEFT_OK : err_setf(WEFT_ENOMEM, "event: out of memory");

	mcps_lock(session);
	if (event)
		err = put_locked(session, stream, event, until);
	if (err && is_answer)
		lose_locked(stream);
	else if (!err && session->kind != MCPS_STATELESS)
		mcps_room_make(session); /* one may be larger than all there is */
	mcps_unlock(session);
	if (err && event)
		mcps_event_free(event);
	mcps_questions_refuse(session);
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
		stream->next = mcps_event_behind(event);
		if (session->kind != MCPS_SESSIONS) {
			/* nobody can come back for it */
			mcps_event_drop(session, event);
			stream_unref(stream);
		}
		mcps_room_trim(session);
	}
	mcps_unlock(session);
	mcps_questions_refuse(session);
}

/* Nobody can come back for them. */
static void drop_all(struct mcps_session *s, struct mcps_stream *stream)
{
	while (!list_is_empty(&stream->events)) {
		mcps_event_drop(s, container_of(stream->events.next, struct mcps_event, mine));
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
		mcps_stream_forget_if_over(stream);
		mcps_room_trim(session);
	}
	mcps_unlock(session);
	mcps_questions_refuse(session);
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

		from->next = mcps_event_behind(event);
		list_remove(&event->mine);
		from->len--;
		from->bytes -= event->text.len;
		to->len++;
		to->bytes += event->text.len;
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
		mcps_stream_forget_if_over(stream);
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
		if (stream->lost_seq > cursor.seq)
			stream->is_lost = true;
		if (stream->is_listener)
			gather_locked(session, stream, false);
		(void)counter_add(&session->server->stats.resumed, 1);
		(void)counter_add(&session->server->stats.replayed, rewind_to(stream, cursor.seq));
	}
	mcps_unlock(session);
}

/* ---- listening ---- */

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
