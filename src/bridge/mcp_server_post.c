/* SPDX-License-Identifier: MIT */
/*
 * POST, in the era of sessions: a message, or a batch (2025-03-26 alone).
 *
 * Of the common case, a request that is answered in JSON: see mcp_server.h for what it costs. What
 * else waits here does so as a stream: a client that goes is no cancellation, and may come back for
 * it.
 */
#include "base/err.h"
#include "bridge/mcp_server.h"

#include <string.h>

static const weft_json no_id = { NULL, 0 };

/* ---- one request ---- */

static weft_json id_of(const struct mcps_stream *stream)
{
	return (weft_json){ stream->id, stream->id_len };
}

/* Of an answer that is an error. */
static unsigned error_status(const struct mcps_asking *a)
{
	int64_t code;

	if (a->session->kind == MCPS_STATELESS)
		return weft_json_integer(a->stream->answer.rpc.error_code, &code)
			? 200
			: mcps_error_status(code);
	return mcps_session_has_ended(a->session) ? 404 : 200;
}

/* As JSON. The answer to initialize is where the client learns of its session, if it has one. */
static weft_err reply_answer(struct mcps_asking *a)
{
	const weft_message *answer = &a->stream->answer;
	const weft_http_fields *fields = a->fields;
	unsigned status = 200;
	weft_err err;

	if (answer->rpc.kind == WEFT_JSONRPC_NONE) {
		(void)mcps_refuse(a->ask, 503, WEFT_JSONRPC_INTERNAL_ERROR, id_of(a->stream),
			"out of memory");
		return a->ask->err;
	}
	if (answer->rpc.kind == WEFT_JSONRPC_ERROR) {
		if (a->is_initialize)
			fields = a->ask->server->json;
		status = error_status(a);
	}
	err = weft_http_exchange_reply(
		a->ask->x, status, fields, answer->text.data, answer->text.len, WEFT_FOREVER);
	if (a->is_initialize && (err || answer->rpc.kind == WEFT_JSONRPC_ERROR))
		mcps_session_end(a->session, MCPS_END_REFUSED);
	return err;
}

static weft_err serve_events(struct mcps_asking *a)
{
	struct mcps_serving serving = {
		.session = a->session,
		.stream = a->stream,
		.writer = a->writer,
		.fields = a->is_initialize ? a->fields : NULL,
		.primes = a->version >= MCPS_2025_11_25,
		.until = a->until,
	};

	return mcps_serve(a->ask->x, &serving);
}

/* Until it is answered, or has to be sent as events. */
static weft_err await_answer(struct mcps_asking *a)
{
	weft_deadline json = weft_after_ns(a->ask->server->options.json_wait_ns);
	struct mcps_stream *stream = a->stream;
	weft_err err = WEFT_OK;

	while (!err && word_get(&stream->phase) == MCPS_WAITING)
		err = weft_park(json < a->until ? json : a->until);
	if (err == WEFT_ETIMEDOUT && a->until <= json &&
		mcps_request_fail(a->session, stream, "no answer came in time"))
		return WEFT_OK;
	if (!err || !mcps_stream_open(a->session, stream))
		return WEFT_OK;
	if (err == WEFT_ETIMEDOUT)
		return WEFT_OK;
	/* cut by the server: whoever comes back finds the answer */
	mcps_stream_leave(a->session, stream, a->writer);
	return err;
}

/* The request is with the server now, or was answered with an error. */
static weft_err wait_and_reply(struct mcps_asking *a)
{
	weft_err err = await_answer(a);

	if (err)
		return err;
	if (word_get(&a->stream->phase) == MCPS_ANSWERED)
		return reply_answer(a);
	err = serve_events(a);
	if (a->is_initialize && word_get(&a->stream->is_refused))
		mcps_session_end(a->session, MCPS_END_REFUSED);
	return err;
}

bool mcps_refuse_request(struct mcps_ask *ask, weft_err err)
{
	weft_json id = ask->message.rpc.id;

	if (err == WEFT_ECAPACITY)
		return mcps_refuse(ask, 429, WEFT_JSONRPC_INVALID_REQUEST, id,
			"Too many requests: %zu of the session are unanswered",
			ask->server->options.requests_max);
	if (err == WEFT_EDUPLICATE)
		return mcps_refuse(ask, 400, WEFT_JSONRPC_INVALID_REQUEST, id,
			"Invalid request: one with this id is unanswered");
	return mcps_refuse(ask, 503, WEFT_JSONRPC_INTERNAL_ERROR, id, "out of memory");
}

bool mcps_check_id(struct mcps_ask *ask, weft_json id)
{
	if (weft_json_type_of(id) == WEFT_JSON_NULL)
		return mcps_refuse(ask, 400, WEFT_JSONRPC_INVALID_REQUEST, id,
			"Invalid request: its id is null");
	if (id.len > MCPS_REQUEST_ID_MAX)
		return mcps_refuse(ask, 400, WEFT_JSONRPC_INVALID_REQUEST, no_id,
			"Invalid request: its id has more than %zu bytes", MCPS_REQUEST_ID_MAX);
	return true;
}

/* Among those that wait; on an error nothing has changed. */
static weft_err begin_request(struct mcps_asking *a)
{
	weft_message *request = &a->ask->message;
	int64_t timeout_ns = a->ask->server->options.response_timeout_ns;
	weft_err err = WEFT_OK;

	a->stream = mcps_stream_make(&request->rpc, a->writer);
	if (!a->stream)
		return err_set(WEFT_ENOMEM);
	if (a->session->kind == MCPS_STATELESS)
		err = mcps_stateless_adopt(a->session, a->stream, request);
	if (!err)
		err = mcps_request_add(a->session, a->stream);
	a->until = timeout_ns && !a->stream->is_endless ? weft_after_ns(timeout_ns) : WEFT_FOREVER;
	return err;
}

weft_err mcps_post_request(struct mcps_asking *asking)
{
	struct mcps_writer writer = { .is_replaced = false };
	struct mcps_session *session = asking->ask->session;
	weft_err err;

	asking->session = session;
	asking->writer = &writer;
	err = begin_request(asking);
	if (err) {
		(void)mcps_refuse_request(asking->ask, err);
	} else {
		if (mcps_prefers_events(weft_http_exchange_field(asking->ask->x, "Accept")))
			(void)mcps_stream_open(session, asking->stream);
		if (!mcps_session_deliver(session, &asking->ask->message))
			(void)mcps_request_fail(session, asking->stream, mcps_end_text(session));
		err = wait_and_reply(asking);
		if (session->kind == MCPS_STATELESS)
			mcps_stateless_leave(session, asking->stream);
	}
	mcps_stream_unref(weft_map_word(asking->stream));
	asking->writer = NULL;
	return err;
}

/* ---- initialize ---- */

bool mcps_refuse_session(struct mcps_ask *ask, weft_err err)
{
	weft_json id = ask->message.rpc.id;

	if (err == WEFT_EAGAIN)
		return mcps_refuse(ask, 429, WEFT_JSONRPC_INVALID_REQUEST, id,
			"Too many sessions: %s", weft_error_detail());
	if (err == WEFT_ENOTFOUND)
		return mcps_refuse(ask, 404, WEFT_JSONRPC_INVALID_REQUEST, id, "Not found: %s",
			weft_error_detail());
	return mcps_refuse(
		ask, 503, WEFT_JSONRPC_INTERNAL_ERROR, id, "no session: %s", weft_error_detail());
}

static enum mcps_version asked_version(const struct mcps_ask *ask)
{
	weft_json version;

	if (weft_json_get(&version, ask->message.rpc.params, "protocolVersion") != WEFT_OK)
		return MCPS_VERSION_UNKNOWN;
	return mcps_version_of_json(version);
}

static weft_err post_initialize(struct mcps_ask *ask)
{
	struct mcps_asking a = { .ask = ask, .version = asked_version(ask), .is_initialize = true };
	weft_http_fields *fields = NULL;
	weft_err err;

	if (!mcps_check_id(ask, ask->message.rpc.id))
		return WEFT_OK;
	err = mcps_session_make(&ask->session, ask->server, ask->principal, MCPS_SESSIONS,
		weft_http_exchange_peer(ask->x));
	if (err) {
		(void)mcps_refuse_session(ask, err);
		return WEFT_OK;
	}
	err = weft_http_fields_copy(&fields, ask->server->json);
	if (!err)
		err = weft_http_fields_add(fields, MCPS_SESSION_FIELD, ask->session->id);
	if (err) {
		mcps_session_end(ask->session, MCPS_END_REFUSED);
		(void)mcps_refuse(ask, 503, WEFT_JSONRPC_INTERNAL_ERROR, ask->message.rpc.id,
			"out of memory");
	} else {
		a.fields = fields;
		err = mcps_post_request(&a);
	}
	weft_http_fields_free(fields);
	return err;
}

/* ---- messages that have no answer ---- */

/* The request that a notification cancels, with a reference; NULL: none. */
static struct mcps_stream *cancelled_by(const struct mcps_ask *ask)
{
	const weft_jsonrpc *rpc = &ask->message.rpc;

	if (rpc->kind != WEFT_JSONRPC_NOTIFICATION || !rpc->request_id.text ||
		!weft_json_string_is(rpc->method, "notifications/cancelled"))
		return NULL;
	return mcps_request_find(ask->session, rpc->request_id);
}

static weft_err post_message(struct mcps_ask *ask)
{
	struct mcps_stream *cancelled = cancelled_by(ask);
	bool is_there = mcps_session_deliver(ask->session, &ask->message);

	if (cancelled) {
		/* the server need not answer it any more: so its stream ends here */
		(void)mcps_request_fail(
			ask->session, cancelled, "the client has cancelled the request");
		mcps_stream_unref(weft_map_word(cancelled));
	}
	if (is_there)
		return mcps_reply_accepted(ask->x);
	(void)mcps_refuse_ended(ask);
	return WEFT_OK;
}

/* ---- batches ---- */

/* Looks at all elements; *requests counts those that want an answer. */
static bool check_batch(struct mcps_ask *ask, size_t *requests)
{
	const weft_transport_options *o = mcps_transport_options(ask->server);
	weft_json_limits limits = { o->message_size_max, o->depth_max };
	weft_jsonrpc element;
	size_t at = 0;

	*requests = 0;
	if (ask->version > MCPS_2025_03_26)
		return mcps_refuse(ask, 400, WEFT_JSONRPC_INVALID_REQUEST, no_id,
			"Invalid request: batches are of 2025-03-26 alone");
	while (weft_jsonrpc_batch_next(&ask->message.rpc, &at, &element, &limits)) {
		if (element.kind == WEFT_JSONRPC_INVALID)
			return mcps_refuse(ask, 400, WEFT_JSONRPC_INVALID_REQUEST, element.id,
				"Invalid request: %s, in a batch", element.fault);
		if (element.kind != WEFT_JSONRPC_REQUEST)
			continue;
		if (!mcps_check_id(ask, element.id))
			return false;
		if (weft_json_string_is(element.method, "initialize"))
			return mcps_refuse(ask, 400, WEFT_JSONRPC_INVALID_REQUEST, element.id,
				"Invalid request: initialize can't be in a batch");
		++*requests;
	}
	return true;
}

/* Its request waits for an answer, which goes to the batch's stream. */
static weft_err add_element(
	struct mcps_session *session, struct mcps_stream *batch, const weft_jsonrpc *element)
{
	struct mcps_stream *one = mcps_stream_make(element, NULL);
	weft_err err;

	if (!one)
		return err_set(WEFT_ENOMEM);
	(void)word_swap(&one->phase, MCPS_STREAMING);
	mcps_stream_ref(weft_map_word(batch));
	one->batch = batch;
	err = mcps_request_add(session, one);
	mcps_stream_unref(weft_map_word(one));
	return err;
}

/* All of them, or none. */
static weft_err add_elements(struct mcps_ask *ask, struct mcps_stream *batch)
{
	const weft_transport_options *o = mcps_transport_options(ask->server);
	weft_json_limits limits = { o->message_size_max, o->depth_max };
	weft_jsonrpc element;
	size_t at = 0, added = 0;
	weft_err err = WEFT_OK;

	while (!err && weft_jsonrpc_batch_next(&ask->message.rpc, &at, &element, &limits))
		if (element.kind == WEFT_JSONRPC_REQUEST) {
			err = add_element(ask->session, batch, &element);
			added += !err;
		}
	if (!err)
		return WEFT_OK;
	for (at = 0;
		added > 0 && weft_jsonrpc_batch_next(&ask->message.rpc, &at, &element, &limits);)
		if (element.kind == WEFT_JSONRPC_REQUEST) {
			mcps_request_forget(ask->session, element.id);
			added--;
		}
	return err;
}

/* As an array, if all answers come soon, and nothing else does; or else as events. */
static weft_err answer_batch(struct mcps_asking *a)
{
	weft_deadline json = weft_after_ns(a->ask->server->options.json_wait_ns);
	weft_buf text;
	weft_err err, gathered;

	do {
		bell_set(&a->writer->bell, weft_parker_self());
		gathered = mcps_stream_gather(a->session, a->stream, &text);
		err = gathered == WEFT_EAGAIN ? weft_park(json) : WEFT_OK;
	} while (!err && gathered == WEFT_EAGAIN);
	if (gathered) {
		if (!err || err == WEFT_ETIMEDOUT)
			return serve_events(a);
		mcps_stream_leave(a->session, a->stream, a->writer);
		return err;
	}
	mcps_stream_leave(a->session, a->stream, a->writer);
	err = weft_http_exchange_reply(
		a->ask->x, 200, a->fields, text.data, text.len, WEFT_FOREVER);
	weft_buf_unref(&text);
	return err;
}

static weft_err post_batch(struct mcps_ask *ask)
{
	struct mcps_writer writer = { .is_replaced = false };
	struct mcps_asking a = { .ask = ask,
		.session = ask->session,
		.writer = &writer,
		.fields = ask->server->json,
		.version = ask->version,
		.until = WEFT_FOREVER };
	size_t requests;
	weft_err err;

	if (!check_batch(ask, &requests))
		return WEFT_OK;
	if (!requests)
		return post_message(ask);
	a.stream = mcps_stream_make(NULL, &writer);
	if (!a.stream) {
		(void)mcps_refuse_request(ask, WEFT_ENOMEM);
		return WEFT_OK;
	}
	a.stream->unanswered = (unsigned)requests;
	(void)mcps_stream_open(ask->session, a.stream);
	err = add_elements(ask, a.stream);
	if (err) {
		mcps_stream_give_up(ask->session, a.stream, &writer);
		(void)mcps_refuse_request(ask, err);
	} else {
		if (!mcps_session_deliver(ask->session, &ask->message))
			mcps_requests_fail(ask->session, mcps_end_text(ask->session));
		err = answer_batch(&a);
	}
	mcps_stream_unref(weft_map_word(a.stream));
	return err;
}

/* ---- the handler ---- */

static weft_err post_in_session(struct mcps_ask *ask)
{
	const weft_jsonrpc *rpc = &ask->message.rpc;
	struct mcps_asking a = { .ask = ask, .fields = ask->server->json, .version = ask->version };

	if (rpc->kind == WEFT_JSONRPC_BATCH)
		return post_batch(ask);
	if (rpc->kind != WEFT_JSONRPC_REQUEST)
		return post_message(ask);
	if (!mcps_check_id(ask, rpc->id))
		return WEFT_OK;
	if (weft_json_string_is(rpc->method, "initialize")) {
		(void)mcps_refuse(ask, 400, WEFT_JSONRPC_INVALID_REQUEST, rpc->id,
			"Invalid request: the session is initialized already");
		return WEFT_OK;
	}
	return mcps_post_request(&a);
}

static bool is_initialize(const weft_jsonrpc *rpc)
{
	return rpc->kind == WEFT_JSONRPC_REQUEST && weft_json_string_is(rpc->method, "initialize");
}

static weft_err post(struct mcps_ask *ask)
{
	const weft_jsonrpc *rpc = &ask->message.rpc;

	if (mcps_is_stateless(ask))
		return mcps_post_stateless(ask);
	if (ask->version == MCPS_VERSION_UNKNOWN) {
		(void)mcps_refuse_version(ask, rpc->id, ask->version_text);
		return WEFT_OK;
	}
	if (ask->server->options.sessions_off) {
		(void)mcps_refuse_version(ask, rpc->id, ask->version_text ? ask->version_text : "");
		return WEFT_OK;
	}
	if (!ask->session && is_initialize(rpc) &&
		!weft_http_exchange_field(ask->x, MCPS_SESSION_FIELD))
		return post_initialize(ask);
	return mcps_find_session(ask) ? post_in_session(ask) : WEFT_OK;
}

weft_err mcps_post(weft_http_exchange *x, void *arg)
{
	struct mcps_ask ask;
	weft_err err = WEFT_OK;

	if (mcps_ask_begin(&ask, arg, x, weft_http_exchange_field(x, MCPS_SESSION_FIELD)) &&
		mcps_ask_accepts(&ask, true) && mcps_ask_is_json(&ask) && mcps_ask_read(&ask))
		err = post(&ask);
	return mcps_ask_end(&ask, err);
}
