/* SPDX-License-Identifier: MIT */
/*
 * HTTP+SSE (2024-11-05): the stream of a GET is the session, and ends with it. Its first event says
 * where to POST; all that the server sends comes as events. Nothing is kept for who comes back: there
 * is no way to.
 */
#include "base/err.h"
#include "bridge/mcp_server.h"
#include "http/server.h"

#include <stdio.h>
#include <string.h>

static const weft_json no_id = { NULL, 0 };

#define ENDPOINT_SIZE ((size_t)1280) /* of a path, which has 1 KiB at most, and an id */

static weft_err serve(struct mcps_ask *ask)
{
	struct mcps_writer writer = { .is_replaced = false };
	char endpoint[ENDPOINT_SIZE];
	struct mcps_serving serving = { .session = ask->session,
		.writer = &writer,
		.endpoint = endpoint,
		.until = WEFT_FOREVER };
	weft_err err = mcps_listen(ask->session, &writer, &serving.stream);

	if (err) {
		(void)mcps_refuse(ask, 503, WEFT_JSONRPC_INTERNAL_ERROR, no_id, "out of memory");
		return WEFT_OK;
	}
	snprintf(endpoint, sizeof(endpoint), "%s?sessionId=%s", ask->server->messages_path,
		ask->session->id);
	err = mcps_serve(ask->x, &serving);
	mcps_stream_unref(weft_map_word(serving.stream));
	return err;
}

weft_err mcps_sse_get(weft_http_exchange *x, void *arg)
{
	struct mcps_ask ask;
	weft_err err = WEFT_OK;

	if (!mcps_ask_begin(&ask, arg, x, NULL))
		return mcps_ask_end(&ask, err);
	if (strcmp(weft_http_exchange_method(x), "HEAD") == 0) {
		(void)mcps_refuse_method(&ask, "GET");
	} else if (mcps_ask_accepts(&ask, false)) {
		err = mcps_session_make(&ask.session, ask.server, ask.principal, MCPS_SSE,
			weft_http_exchange_peer(x));
		if (err) {
			(void)mcps_refuse_session(&ask, err);
		} else {
			err = serve(&ask);
			mcps_session_end(ask.session, MCPS_END_GONE);
		}
	}
	return mcps_ask_end(&ask, err);
}

/* A request waits for its answer, so that there is a limit, and a time, for it. */
static bool add_request(struct mcps_ask *ask)
{
	const weft_jsonrpc *rpc = &ask->message.rpc;
	struct mcps_stream *stream;
	weft_err err = WEFT_ENOMEM;

	if (!mcps_check_id(ask, rpc->id))
		return false;
	stream = mcps_stream_make(rpc, NULL);
	if (stream) {
		err = mcps_request_add(ask->session, stream);
		mcps_stream_unref(weft_map_word(stream));
	}
	return !err || mcps_refuse_request(ask, err);
}

static weft_err post(struct mcps_ask *ask)
{
	const weft_jsonrpc *rpc = &ask->message.rpc;

	if (rpc->kind == WEFT_JSONRPC_REQUEST && !add_request(ask))
		return WEFT_OK;
	if (rpc->kind == WEFT_JSONRPC_NOTIFICATION && rpc->request_id.text &&
		weft_json_string_is(rpc->method, "notifications/cancelled"))
		mcps_request_forget(ask->session, rpc->request_id);
	if (mcps_session_deliver(ask->session, &ask->message))
		return mcps_reply_accepted(ask->x);
	(void)mcps_refuse_ended(ask);
	return WEFT_OK;
}

weft_err mcps_sse_post(weft_http_exchange *x, void *arg)
{
	const char *session_id = weft_http_exchange_query_param(x, "sessionId");
	struct mcps_ask ask;
	weft_err err = WEFT_OK;

	http_exchange_hide_query(x); /* the access log is to have no session's id */
	if (!mcps_ask_begin(&ask, arg, x, session_id) || !mcps_ask_is_json(&ask) ||
		!mcps_ask_read(&ask))
		return mcps_ask_end(&ask, err);
	if (!session_id)
		(void)mcps_refuse(&ask, 400, WEFT_JSONRPC_INVALID_REQUEST, no_id,
			"Bad request: sessionId is missing");
	else if (!ask.session || ask.session->kind != MCPS_SSE)
		(void)mcps_refuse_ended(&ask);
	else if (ask.message.rpc.kind == WEFT_JSONRPC_BATCH)
		(void)mcps_refuse(&ask, 400, WEFT_JSONRPC_INVALID_REQUEST, no_id,
			"Invalid request: batches are of 2025-03-26 alone");
	else
		err = post(&ask);
	return mcps_ask_end(&ask, err);
}
