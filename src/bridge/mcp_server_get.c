/* SPDX-License-Identifier: MIT */
/*
 * GET: a stream for what belongs to no request, or, with Last-Event-ID, what a client has missed of
 * any stream. DELETE: the session's end.
 */
#include "base/err.h"
#include "bridge/mcp_server.h"

#include <string.h>

static const weft_json no_id = { NULL, 0 };

bool mcps_refuse_method(struct mcps_ask *ask, const char *allow)
{
	weft_http_fields *fields = NULL;
	weft_err err = weft_http_fields_create(&fields);

	if (!err)
		err = weft_http_fields_add(fields, "Allow", allow);
	ask->is_answered = true;
	ask->err = err ? err : weft_http_exchange_reply(ask->x, 405, fields, NULL, 0, WEFT_FOREVER);
	weft_http_fields_free(fields);
	return false;
}

/* HEAD comes to GET's route; a stream that nobody hears is none. */
static bool refuse_head(struct mcps_ask *ask)
{
	return strcmp(weft_http_exchange_method(ask->x), "HEAD") != 0 ||
		mcps_refuse_method(ask, "GET, POST, DELETE");
}

/* A session's request without a body. */
static bool begin(struct mcps_ask *ask, weft_http_exchange *x, weft_mcp_server *server)
{
	const char *session_id = weft_http_exchange_field(x, MCPS_SESSION_FIELD);

	if (!mcps_ask_begin(ask, server, x, session_id))
		return false;
	if (ask->version == MCPS_2026_07_28 || server->options.sessions_off)
		return mcps_refuse_method(ask, "POST");
	if (ask->version == MCPS_VERSION_UNKNOWN)
		return mcps_refuse_version(ask, no_id, ask->version_text);
	return refuse_head(ask);
}

static weft_err serve(
	struct mcps_ask *ask, struct mcps_stream *stream, struct mcps_writer *writer, bool primes)
{
	struct mcps_serving serving = {
		.session = ask->session,
		.stream = stream,
		.writer = writer,
		.primes = primes && ask->version >= MCPS_2025_11_25,
		.until = WEFT_FOREVER,
	};

	return mcps_serve(ask->x, &serving);
}

static weft_err get_listener(struct mcps_ask *ask)
{
	struct mcps_writer writer = { .is_replaced = false };
	struct mcps_stream *stream = NULL;
	weft_err err = mcps_listen(ask->session, &writer, &stream);

	if (err) {
		(void)mcps_refuse(ask, err == WEFT_ECAPACITY ? 429 : 503,
			WEFT_JSONRPC_INTERNAL_ERROR, no_id, "no stream: %s", weft_error_detail());
		return WEFT_OK;
	}
	err = serve(ask, stream, &writer, true);
	mcps_stream_unref(weft_map_word(stream));
	return err;
}

/* A request's stream of which nothing is kept. */
static weft_err get_lost(struct mcps_ask *ask, weft_json request_id)
{
	if (request_id.text)
		return mcps_serve_lost(ask, request_id);
	(void)mcps_refuse(ask, 400, WEFT_JSONRPC_INVALID_REQUEST, no_id,
		"Bad request: nothing of the stream of this Last-Event-ID is kept any more");
	return WEFT_OK;
}

static weft_err get_resumed(struct mcps_ask *ask, const char *event_id)
{
	struct mcps_writer writer = { .is_replaced = false };
	struct mcps_resume resume = { 0 };
	char id[MCPS_CURSOR_ID_MAX];
	struct mcps_cursor cursor;
	weft_err err;

	if (mcps_cursor_read(&cursor, id, event_id))
		mcps_stream_resume(ask->session, cursor, &writer, &resume);
	if (!resume.was_there) {
		(void)mcps_refuse(ask, 400, WEFT_JSONRPC_INVALID_REQUEST, no_id,
			"Bad request: Last-Event-ID is none of this session");
		return WEFT_OK;
	}
	if (!resume.stream)
		return cursor.is_listener ? get_listener(ask) : get_lost(ask, cursor.request_id);
	err = serve(ask, resume.stream, &writer, false);
	mcps_stream_unref(weft_map_word(resume.stream));
	return err;
}

weft_err mcps_get(weft_http_exchange *x, void *arg)
{
	const char *event_id = weft_http_exchange_field(x, "Last-Event-ID");
	struct mcps_ask ask;
	weft_err err = WEFT_OK;

	if (begin(&ask, x, arg) && mcps_ask_accepts(&ask, false) && mcps_find_session(&ask))
		err = event_id && *event_id ? get_resumed(&ask, event_id) : get_listener(&ask);
	return mcps_ask_end(&ask, err);
}

weft_err mcps_delete(weft_http_exchange *x, void *arg)
{
	struct mcps_ask ask;
	weft_err err = WEFT_OK;

	if (begin(&ask, x, arg) && mcps_find_session(&ask)) {
		mcps_session_end(ask.session, MCPS_END_DELETED);
		err = weft_http_exchange_reply(x, 204, NULL, NULL, 0, WEFT_FOREVER);
	}
	return mcps_ask_end(&ask, err);
}
