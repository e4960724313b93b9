/* SPDX-License-Identifier: MIT */
/*
 * What the server sends: which of the client's streams it goes to. Each message goes to exactly one.
 *
 *	answer				to who waits for it
 *	notifications/progress		to the request with its token
 *	.../list_changed, .../updated	to a GET's stream
 *	the rest			to the one request that is under way; if that is not one, or
 *					its client is gone, to a GET's stream; else to the youngest
 *					request whose client is there
 *
 * Where there is no GET's stream, it waits until there is one.
 */
#include "base/err.h"
#include "bridge/mcp_server.h"

#include <string.h>

/* ---- who waits for an answer ---- */

/* What the transport knows the request by. text: WEFT_JSON_INTEGER_SIZE bytes. */
static weft_map_key key_of(
	const struct mcps_session *s, const struct mcps_stream *stream, char *text)
{
	if (s->kind == MCPS_STATELESS) {
		weft_json id = weft_json_of_integer(stream->own_id, text);

		return weft_map_bytes(id.text, id.len);
	}
	return weft_map_bytes(stream->id, stream->id_len);
}

weft_err mcps_request_add(struct mcps_session *session, struct mcps_stream *stream)
{
	weft_mcp_server *server = session->server;
	char text[WEFT_JSON_INTEGER_SIZE];
	weft_err err;

	if (!counter_try_add(&session->requests, 1, server->options.requests_max))
		return err_set(WEFT_ECAPACITY);
	err = weft_map_insert(
		session->pending, key_of(session, stream, text), weft_map_word(stream));
	if (err) {
		(void)counter_sub(&session->requests, 1);
		return err;
	}
	(void)counter_add(&server->stats.requests, 1);
	(void)counter_add(&server->stats.requests_now, 1);
	return WEFT_OK;
}

/* The caller's alone to answer from now on, with a reference; NULL: another's. */
static struct mcps_stream *take(struct mcps_session *s, weft_map_key key)
{
	uint64_t value;

	if (!weft_map_remove(s->pending, key, &value))
		return NULL;
	mcps_session_touch(s); /* its client need not have heard of it yet */
	(void)counter_sub(&s->requests, 1);
	(void)counter_sub(&s->server->stats.requests_now, 1);
	return weft_map_pointer(value);
}

static bool is_stream(void *arg, uint64_t value)
{
	return weft_map_pointer(value) == arg;
}

/* That very request, which the caller has a reference to: its id may be another's by now. */
static bool take_stream(struct mcps_session *s, struct mcps_stream *stream)
{
	char text[WEFT_JSON_INTEGER_SIZE];

	if (!weft_map_remove_if(s->pending, key_of(s, stream, text), is_stream, stream))
		return false;
	(void)counter_sub(&s->requests, 1);
	(void)counter_sub(&s->server->stats.requests_now, 1);
	return true;
}

bool mcps_request_drop(struct mcps_session *session, struct mcps_stream *stream)
{
	return take_stream(session, stream);
}

struct mcps_stream *mcps_request_find(struct mcps_session *session, weft_json id)
{
	uint64_t value;

	if (!weft_map_get(session->pending, weft_map_bytes(id.text, id.len), &value))
		return NULL;
	return weft_map_pointer(value);
}

void mcps_request_forget(struct mcps_session *session, weft_json id)
{
	struct mcps_stream *stream = take(session, weft_map_bytes(id.text, id.len));

	mcps_stream_unref(weft_map_word(stream));
}

/* ---- where a GET's stream is meant ---- */

/* It, or where what is for it waits, with a reference; NULL: no memory. */
static struct mcps_stream *find_listener(struct mcps_session *s)
{
	struct mcps_stream *stream;

	mcps_lock(s);
	stream = mcps_listening_locked(s);
	mcps_unlock(s);
	if (!stream)
		(void)err_setf(WEFT_ENOMEM, "event: out of memory");
	return stream;
}

/* There, or where it waits for one. Takes the message. */
static weft_err put_on_listener(
	struct mcps_session *s, weft_message *message, bool is_answer, weft_deadline until)
{
	struct mcps_stream *stream;
	weft_err err;

	stream = find_listener(s);
	if (!stream) {
		weft_message_fini(message);
		return WEFT_ENOMEM;
	}
	if (message->rpc.kind != WEFT_JSONRPC_NONE) {
		err = mcps_stream_put(s, stream, message, is_answer, until);
	} else {
		err = err_set(WEFT_ENOMEM); /* of an error that could not be made */
		mcps_stream_lose(s, stream);
	}
	mcps_stream_unref(weft_map_word(stream));
	return err;
}

/* HTTP+SSE: answers of all requests go to one stream. While it is full they are not taken: who sends
 * them may come again. */
static weft_err await_listener(struct mcps_session *s, size_t len, weft_deadline until)
{
	struct mcps_stream *stream = find_listener(s);
	weft_err err;

	if (!stream)
		return WEFT_ENOMEM;
	err = mcps_stream_await_room(s, stream, len, until);
	mcps_stream_unref(weft_map_word(stream));
	return err;
}

/* ---- answers ---- */

/* For who has taken it. message none: there was no memory for one. */
static weft_err answer(struct mcps_session *s, struct mcps_stream *stream, weft_message *message,
	weft_deadline until)
{
	weft_parker *parker = stream->parker;

	if (s->kind == MCPS_SSE)
		return put_on_listener(s, message, true, until);
	if (stream->batch) {
		stream = stream->batch;
	} else if (word_get(&stream->phase) == MCPS_WAITING) {
		weft_message_move(&stream->answer, message);
		if (word_change(&stream->phase, MCPS_WAITING, MCPS_ANSWERED)) {
			weft_unpark(parker);
			return WEFT_OK;
		}
		weft_message_move(message, &stream->answer);
	}
	if (message->rpc.kind != WEFT_JSONRPC_RESPONSE)
		word_put(&stream->is_refused, 1);
	if (message->rpc.kind != WEFT_JSONRPC_NONE)
		return mcps_stream_put(s, stream, message, true, until);
	mcps_stream_lose(s, stream);
	return WEFT_OK;
}

weft_err mcps_error_make(
	weft_message *out, const weft_mcp_server *server, weft_json id, int code, const char *text)
{
	weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_ERROR, .id = id, .code = code, .message = text
	};

	return weft_message_write(out, mcps_transport_options(server)->pool, &draft);
}

static void answer_with_error(struct mcps_session *s, struct mcps_stream *stream, const char *why)
{
	weft_json id = { stream->id, stream->id_len };
	weft_message message = { 0 };

	if (mcps_error_make(&message, s->server, id, MCPS_LOST, why))
		message = (weft_message){ 0 };
	if (answer(s, stream, &message, WEFT_NOW))
		return; /* lost: the stream's writer says so */
}

bool mcps_request_fail(struct mcps_session *session, struct mcps_stream *stream, const char *why)
{
	if (!take_stream(session, stream))
		return false;
	answer_with_error(session, stream, why);
	return true;
}

/* Some of the requests that wait. */
#define SOME_MAX 32
struct some {
	struct mcps_stream *streams[SOME_MAX]; /* references */
	unsigned count;
	weft_deadline before;
};

static bool collect(void *arg, weft_map_key key, uint64_t value)
{
	struct some *some = arg;
	struct mcps_stream *stream = weft_map_pointer(value);

	(void)key;
	if (stream->born_at >= some->before || (stream->is_endless && some->before != WEFT_FOREVER))
		return true;
	mcps_stream_ref(value);
	some->streams[some->count++] = stream;
	return some->count < SOME_MAX;
}

static void fail_before(struct mcps_session *s, weft_deadline before, const char *why)
{
	struct some some;

	do {
		some = (struct some){ .before = before };
		if (weft_map_iterate(s->pending, collect, &some) && !some.count)
			return; /* no memory for the walk: the keeper comes again */
		for (unsigned i = 0; i < some.count; i++) {
			(void)mcps_request_fail(s, some.streams[i], why);
			mcps_stream_unref(weft_map_word(some.streams[i]));
		}
	} while (some.count);
}

void mcps_requests_fail(struct mcps_session *session, const char *why)
{
	fail_before(session, WEFT_FOREVER, why);
}

void mcps_requests_expire(struct mcps_session *session, weft_deadline before)
{
	fail_before(session, before, "no answer came in time");
}

/* ---- the rest ---- */

static bool has_token(const struct mcps_stream *stream, weft_json token)
{
	return stream->token && stream->token_len == token.len &&
		memcmp(stream->token, token.text, token.len) == 0;
}

/* Looks through those that wait. */
struct search {
	weft_json token;	    /* look for this; none: for any that ends */
	struct mcps_stream *stream; /* a reference: the one with it; or the youngest */
	unsigned count;
};

static bool search_step(void *arg, weft_map_key key, uint64_t value)
{
	struct search *search = arg;
	struct mcps_stream *stream = weft_map_pointer(value);

	(void)key;
	if (search->token.text ? !has_token(stream, search->token) : stream->is_endless)
		return true; /* what is told on a subscription says so */
	search->count++;
	if (search->stream && search->stream->born_at >= stream->born_at)
		return true;
	mcps_stream_ref(value);
	mcps_stream_unref(weft_map_word(search->stream));
	search->stream = stream;
	return true;
}

/* Where a message of that request goes, in place of the request's own. */
static struct mcps_stream *stream_of_request(struct mcps_stream *request)
{
	struct mcps_stream *batch = request ? request->batch : NULL;

	if (!batch)
		return request;
	mcps_stream_ref(weft_map_word(batch));
	mcps_stream_unref(weft_map_word(request));
	return batch;
}

/* The request that has this token: mostly it is the same as its id. */
static struct mcps_stream *find_by_token(struct mcps_session *s, weft_json token)
{
	struct search search = { .token = token };
	uint64_t value;

	if (weft_map_get(s->pending, weft_map_bytes(token.text, token.len), &value)) {
		if (has_token(weft_map_pointer(value), token))
			return stream_of_request(weft_map_pointer(value));
		mcps_stream_unref(value);
	}
	if (weft_map_iterate(s->pending, search_step, &search) && !search.stream)
		return NULL;
	return stream_of_request(search.stream);
}

struct mcps_stream *mcps_request_only(struct mcps_session *session)
{
	struct search search = { 0 };

	if (weft_map_iterate(session->pending, search_step, &search))
		search.count = 2;
	if (search.count == 1)
		return search.stream;
	mcps_stream_unref(weft_map_word(search.stream));
	return NULL;
}

static bool ends_with(weft_json method, const char *end)
{
	size_t len = strlen(end);

	/* a string, with its quotes */
	return method.len > len + 2 && memcmp(method.text + method.len - 1 - len, end, len) == 0;
}

bool mcps_is_of_no_request(const weft_jsonrpc *rpc)
{
	return ends_with(rpc->method, "/list_changed") ||
		weft_json_string_is(rpc->method, "notifications/resources/updated");
}

/* Takes the reference in search. */
static struct mcps_stream *choose(struct mcps_session *s, struct search *search)
{
	struct mcps_stream *request = stream_of_request(search->stream), *listener;
	struct mcps_stream *chosen = NULL;
	bool is_there;

	mcps_lock(s);
	listener = mcps_listener_locked(s);
	is_there = request && (request->writer || word_get(&request->phase) == MCPS_WAITING);
	if (request && ((search->count == 1 && (is_there || !listener)) || (is_there && !listener)))
		chosen = request;
	else if (listener)
		chosen = listener;
	if (chosen)
		mcps_stream_ref(weft_map_word(chosen));
	else
		chosen = mcps_held_locked(s);
	mcps_unlock(s);
	mcps_stream_unref(weft_map_word(request));
	return chosen;
}

/* A reference; NULL: no memory. */
static struct mcps_stream *find_stream(struct mcps_session *s, const weft_jsonrpc *rpc)
{
	struct search search = { 0 };

	if (rpc->progress_token.text &&
		weft_json_string_is(rpc->method, "notifications/progress")) {
		struct mcps_stream *stream = find_by_token(s, rpc->progress_token);

		if (stream)
			return stream;
	} else if (!mcps_is_of_no_request(rpc)) {
		/* without memory for the walk it finds fewer, and goes to a GET's stream */
		if (weft_map_iterate(s->pending, search_step, &search))
			search.count = 2;
	}
	return choose(s, &search);
}

static weft_err route(struct mcps_session *s, weft_message *message, weft_deadline until)
{
	struct mcps_stream *stream = find_stream(s, &message->rpc);
	weft_err err;

	if (!stream || !mcps_stream_open(s, stream)) {
		/* it was answered meanwhile */
		mcps_stream_unref(weft_map_word(stream));
		return put_on_listener(s, message, false, until);
	}
	err = mcps_stream_put(s, stream, message, false, until);
	mcps_stream_unref(weft_map_word(stream));
	return err;
}

static weft_err send_answer(struct mcps_session *s, weft_message *message, weft_deadline until)
{
	weft_json id = message->rpc.id;
	weft_err err = s->kind == MCPS_SSE ? await_listener(s, message->text.len, until) : WEFT_OK;
	struct mcps_stream *stream = err ? NULL : take(s, weft_map_bytes(id.text, id.len));

	if (err) {
		weft_message_fini(message);
		return err;
	}
	if (!stream) {
		weft_message_fini(message);
		return err_setf(WEFT_ENOTFOUND, "%s: nobody waits for this answer",
			weft_transport_name(s->transport));
	}
	if (s->kind == MCPS_STATELESS && mcps_stateless_answer(s, stream, message))
		weft_message_fini(message);
	err = answer(s, stream, message, until);
	mcps_stream_unref(weft_map_word(stream));
	return err;
}

weft_err mcps_send_own(void *user, weft_message *message, weft_deadline until)
{
	struct mcps_session *s = user;
	const weft_jsonrpc *rpc = &message->rpc;

	if ((rpc->kind == WEFT_JSONRPC_RESPONSE || rpc->kind == WEFT_JSONRPC_ERROR) &&
		rpc->id.text && weft_json_type_of(rpc->id) != WEFT_JSON_NULL)
		return send_answer(s, message, until);
	if (rpc->kind == WEFT_JSONRPC_BATCH) {
		weft_message_fini(message);
		return err_setf(WEFT_EINVAL, "%s: batches can't be sent",
			weft_transport_name(s->transport));
	}
	if (s->kind == MCPS_STATELESS)
		return mcps_stateless_route(s, message, until);
	return s->kind == MCPS_SSE ? put_on_listener(s, message, false, until)
				   : route(s, message, until);
}
