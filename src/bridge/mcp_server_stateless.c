/* SPDX-License-Identifier: MIT */
/*
 * The era without sessions (2026-07-28): each request says all there is to know. Those of a principal
 * share one session of the transport, which the client does not see. Since clients may use the same
 * ids, each request gets one of our own there, and so does what refers to it: its progress token, the
 * id of its subscription. A client that closes its stream has cancelled the request.
 */
#include "base/err.h"
#include "bridge/mcp_server.h"

#include <weft/log.h>

#include <stdio.h>
#include <string.h>

static const weft_json no_id = { NULL, 0 };

/* ---- ids ---- */

weft_err mcps_stateless_adopt(
	struct mcps_session *session, struct mcps_stream *stream, weft_message *request)
{
	char text[WEFT_JSON_INTEGER_SIZE];
	weft_json_edit edits[2];
	weft_json own;

	stream->own_id = (int64_t)counter_add(&session->ids, 1) + 1;
	stream->is_endless = weft_json_string_is(request->rpc.method, "subscriptions/listen");
	stream->is_tools_list = weft_json_string_is(request->rpc.method, "tools/list");
	own = weft_json_of_integer(stream->own_id, text);
	edits[0] = (weft_json_edit){ request->rpc.id, own };
	edits[1] = (weft_json_edit){ request->rpc.meta_progress_token, own };
	return weft_message_edit(request, mcps_transport_options(session->server)->pool, edits, 2);
}

/* The client's own in the place of ours. */
static weft_err give_back(
	struct mcps_session *session, const struct mcps_stream *stream, weft_message *message)
{
	const weft_json id = { stream->id, stream->id_len };
	const weft_json token = { stream->token, stream->token_len };
	const weft_jsonrpc *rpc = &message->rpc;
	weft_json_edit edits[3] = { { rpc->id, id }, { rpc->meta_subscription_id, id },
		{ no_id, token } };

	if (rpc->kind == WEFT_JSONRPC_NOTIFICATION && token.text)
		edits[2].old = rpc->progress_token;
	return weft_message_edit(message, mcps_transport_options(session->server)->pool, edits, 3);
}

weft_err mcps_stateless_answer(
	struct mcps_session *session, const struct mcps_stream *stream, weft_message *message)
{
	weft_buf_pool *pool = mcps_transport_options(session->server)->pool;

	if (stream->is_tools_list && message->rpc.kind == WEFT_JSONRPC_RESPONSE &&
		mcp_tools_learn(session->tools, message, pool))
		weft_log(WEFT_LOG_WARN, "mcp", "%s: a list of tools was not looked at: %s",
			weft_transport_name(session->transport), weft_error_detail());
	return give_back(session, stream, message);
}

/* ---- from the server ---- */

/* The request that a notification is about, with a reference; NULL: none. */
static struct mcps_stream *find_request(struct mcps_session *s, const weft_jsonrpc *rpc)
{
	weft_json id = rpc->meta_subscription_id;

	if (!id.text && weft_json_string_is(rpc->method, "notifications/progress"))
		id = rpc->progress_token;
	if (!id.text && weft_json_string_is(rpc->method, "notifications/cancelled"))
		id = rpc->request_id;
	if (id.text)
		return mcps_request_find(s, id);
	return mcps_is_of_no_request(rpc) ? NULL : mcps_request_only(s);
}

/* The server ends a subscription: so its stream does. */
static weft_err end_subscription(
	struct mcps_session *s, struct mcps_stream *stream, weft_message *message)
{
	weft_message_fini(message);
	if (mcps_request_drop(s, stream) && mcps_stream_open(s, stream))
		mcps_stream_finish(s, stream);
	return WEFT_OK;
}

weft_err mcps_stateless_route(
	struct mcps_session *session, weft_message *message, weft_deadline until)
{
	const char *name = weft_transport_name(session->transport);
	struct mcps_stream *stream;
	weft_err err = WEFT_OK;

	if (message->rpc.kind != WEFT_JSONRPC_NOTIFICATION) {
		weft_message_fini(message);
		return err_setf(
			WEFT_ENOTFOUND, "%s: clients without a session take no requests", name);
	}
	stream = find_request(session, &message->rpc);
	if (stream && weft_json_string_is(message->rpc.method, "notifications/cancelled")) {
		err = end_subscription(session, stream, message);
	} else if (stream && mcps_stream_open(session, stream)) {
		err = give_back(session, stream, message);
		if (!err)
			err = mcps_stream_put(session, stream, message, false, until);
		if (err == WEFT_ECAPACITY) {
			mcps_stream_overflow(session, stream);
			err = WEFT_OK;
		}
	} else {
		weft_log(WEFT_LOG_DEBUG, "mcp", "%s: a notification that belongs to no request",
			name);
	}
	weft_message_fini(message);
	mcps_stream_unref(weft_map_word(stream));
	return err;
}

/* ---- from the client ---- */

void mcps_stateless_leave(struct mcps_session *session, struct mcps_stream *stream)
{
	char params[128];
	weft_jsonrpc_draft draft = { .kind = WEFT_JSONRPC_NOTIFICATION,
		.method = "notifications/cancelled",
		.params = { params, 0 } };
	weft_message message;

	if (!mcps_request_drop(session, stream))
		return;
	draft.params.len = (size_t)snprintf(params, sizeof(params),
		"{\"requestId\":%lld,\"reason\":\"the client has closed the stream\"}",
		(long long)stream->own_id);
	weft_shield_begin();
	if (weft_message_write(&message, mcps_transport_options(session->server)->pool, &draft))
		weft_log(WEFT_LOG_WARN, "mcp", "%s: a cancellation is lost: out of memory",
			weft_transport_name(session->transport));
	else
		(void)mcps_session_deliver(session, &message);
	weft_shield_end();
}

bool mcps_is_stateless(const struct mcps_ask *ask)
{
	const weft_jsonrpc *rpc = &ask->message.rpc;

	if (ask->version == MCPS_2026_07_28 ||
		mcps_version_of_json(rpc->meta_protocol_version) == MCPS_2026_07_28 ||
		weft_json_string_is(rpc->method, "server/discover"))
		return true;
	/* of a later era, or of none: who would say so in both places? */
	return ask->server->options.any_revision && ask->version == MCPS_VERSION_UNKNOWN &&
		rpc->meta_protocol_version.text;
}

static bool is_repeated(const weft_http_fields *fields)
{
	static const char *const names[] = { MCPS_VERSION_FIELD, "Mcp-Method", "Mcp-Name" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (weft_http_fields_get_nth(fields, names[i], 1))
			return true;
	return false;
}

static bool check_heads(struct mcps_ask *ask)
{
	const weft_jsonrpc *rpc = &ask->message.rpc;
	struct mcps_heads heads = {
		.version = ask->version_text,
		.method = weft_http_exchange_field(ask->x, "Mcp-Method"),
		.name = weft_http_exchange_field(ask->x, "Mcp-Name"),
		.repeated = is_repeated(weft_http_exchange_fields(ask->x)),
		.any_version = ask->server->options.any_revision,
	};
	struct mcps_fault fault;

	if (ask->server->options.stateless_off)
		return mcps_refuse_version(ask, rpc->id, "2026-07-28");
	if (mcps_heads_check(&heads, rpc, &fault))
		return true;
	if (fault.code == MCPS_VERSION_UNSUPPORTED)
		return mcps_refuse_version(ask, rpc->id, ask->version_text);
	return mcps_refuse(ask, fault.status, fault.code, rpc->id, "%s", fault.text);
}

/* A field that an argument goes into must be there, once, and say the same. */
static weft_err check_param(void *user, const char *name, weft_json value)
{
	struct mcps_ask *ask = user;
	const char *field = weft_http_exchange_field(ask->x, name);
	weft_err err = WEFT_EINVAL;

	if (field && !weft_http_fields_get_nth(weft_http_exchange_fields(ask->x), name, 1))
		err = mcps_param_matches(field, value);
	if (!err || err == WEFT_ENOMEM)
		return err;
	(void)mcps_refuse(ask, 400, MCPS_HEADER_MISMATCH, ask->message.rpc.id,
		"Header mismatch: %s %s", name,
		field ? "does not say what the body says" : "is missing");
	return err;
}

static bool check_params(struct mcps_ask *ask)
{
	weft_err err;

	if (!weft_json_string_is(ask->message.rpc.method, "tools/call"))
		return true;
	err = mcp_tools_fields(ask->session->tools, &ask->message, check_param, ask);
	if (!err)
		return true;
	return !ask->is_answered &&
		mcps_refuse(ask, 503, WEFT_JSONRPC_INTERNAL_ERROR, ask->message.rpc.id,
			"out of memory");
}

static weft_err make_session(void *arg, uint64_t *value)
{
	struct mcps_ask *ask = arg;
	struct mcps_session *session;
	weft_err err = mcps_session_make(
		&session, ask->server, ask->principal, MCPS_STATELESS, "stateless");

	if (!err)
		*value = weft_map_word(session);
	return err;
}

/* The principal's, made if need be. */
static weft_err find_session(struct mcps_ask *ask)
{
	weft_map_key key = mcps_stateless_key(ask->principal);
	weft_map *map = ask->server->stateless;
	uint64_t value;
	weft_err err;

	/* what it named is no business of this era; but it may be who keeps the principal */
	if (!ask->owned)
		ask->owned = mcps_principal_ref(ask->principal);
	mcps_session_unref(ask->session);
	ask->session = NULL;
	for (;;) {
		err = weft_map_get_or_insert_with(
			map, key, &value, make_session, ask, WEFT_FOREVER);
		if (err)
			return err;
		ask->session = weft_map_pointer(value);
		/* it may have ended before it was put there: then nobody else takes it out */
		if (mcps_session_has_ended(ask->session))
			mcps_stateless_forget(ask->session);
		if (!mcps_session_is_past(ask->session))
			return WEFT_OK;
		/* what it is served by is to serve no more: the next is of another epoch */
		mcps_stateless_forget(ask->session);
		mcps_session_unref(ask->session);
		ask->session = NULL;
	}
}

static weft_err post_notification(struct mcps_ask *ask)
{
	/* a client cancels by closing its stream; ids of its own say nothing here */
	if (weft_json_string_is(ask->message.rpc.method, "notifications/cancelled"))
		return mcps_reply_accepted(ask->x);
	if (mcps_session_deliver(ask->session, &ask->message))
		return mcps_reply_accepted(ask->x);
	(void)mcps_refuse(ask, 503, WEFT_JSONRPC_INTERNAL_ERROR, no_id, "the server has ended");
	return WEFT_OK;
}

weft_err mcps_post_stateless(struct mcps_ask *ask)
{
	const weft_jsonrpc *rpc = &ask->message.rpc;
	struct mcps_asking asking = {
		.ask = ask, .fields = ask->server->json, .version = MCPS_VERSION_ABSENT
	};
	bool is_request = rpc->kind == WEFT_JSONRPC_REQUEST;
	weft_err err;

	if (!is_request && rpc->kind != WEFT_JSONRPC_NOTIFICATION) {
		(void)mcps_refuse(ask, 400, WEFT_JSONRPC_INVALID_REQUEST, no_id,
			"Invalid request: clients send requests and notifications alone");
		return WEFT_OK;
	}
	if (is_request && (!mcps_check_id(ask, rpc->id) || !check_heads(ask)))
		return WEFT_OK;
	err = find_session(ask);
	if (err) {
		(void)mcps_refuse_session(ask, err);
		return WEFT_OK;
	}
	if (!is_request)
		return post_notification(ask);
	return check_params(ask) ? mcps_post_request(&asking) : WEFT_OK;
}
