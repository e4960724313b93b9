/* SPDX-License-Identifier: MIT */
/* What a relay says itself: answers, cancellations, and lines for the log. */
#include "base/err.h"
#include "bridge/link.h"
#include "bridge/transport.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SAY_MAX (2 * LINK_TEXT_MAX) /* bytes of what is said */

weft_err say_error(const struct relay *relay, weft_message *out, weft_json id, int code,
	weft_json data, const char *text)
{
	weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_ERROR,
		.id = id,
		.code = code,
		.message = text,
		.data = data,
	};

	return weft_message_write(out, relay->options.pool, &draft);
}

weft_err say_result(const struct relay *relay, weft_message *out, weft_json id, weft_json result)
{
	weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_RESPONSE,
		.id = id,
		.result = result,
	};

	return weft_message_write(out, relay->options.pool, &draft);
}

weft_err say_cancelled(
	const struct relay *relay, weft_message *out, weft_json id, const char *reason)
{
	char params[LINK_ID_MAX + 256];
	int len = snprintf(params, sizeof(params), "{\"requestId\":%.*s,\"reason\":\"%s\"}",
		(int)id.len, id.text, reason);
	weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_NOTIFICATION,
		.method = "notifications/cancelled",
		.params = { params, (size_t)len },
	};

	return weft_message_write(out, relay->options.pool, &draft);
}

void say_invalid(char *to, size_t size, const weft_transport *from, const weft_message *message)
{
	const weft_transport_options *limits = transport_options(from);
	const char *fault = message->rpc.fault ? message->rpc.fault : "a batch within a batch";

	if (message->err == WEFT_EMSGSIZE)
		(void)snprintf(to, size,
			"%s: a message has at most %zu bytes, and %u arrays and objects within one "
			"another",
			fault, limits->message_size_max, limits->depth_max);
	else
		(void)snprintf(to, size, "no message of JSON-RPC: %s", fault);
}

static void refuse(
	struct relay_session *session, weft_json id, int code, weft_json data, const char *text)
{
	weft_message message;
	weft_err err = say_error(session->relay, &message, id, code, data, text);

	if (err) {
		session_fail(session, err, "no memory for an answer");
		return;
	}
	counts_error(session->relay->counts, COUNTS_BY_BRIDGE, code);
	err = session_send_own(session, &message);
	/* others have ended it */
	if (err == WEFT_EMSGSIZE)
		session_fail(session, err, weft_error_detail());
}

void session_refuse(struct relay_session *session, weft_json id, int code, weft_json data,
	const char *format, ...)
{
	char text[SAY_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	refuse(session, id, code, data, text);
}

void flight_refuse(struct flight *flight, int code, weft_json data, const char *text)
{
	flight_settle(flight, true);
	refuse(flight->session, flight->id, code, data, text);
}

void relay_tell(const struct relay *relay, const struct relay_session *session,
	weft_log_level level, weft_err err, const char *format, ...)
{
	char text[SAY_MAX];
	weft_bridge_event event = {
		.level = level,
		.session = session ? session->number : 0,
		.peer = session ? weft_transport_name(session->client) : "",
		.err = err,
		.text = text,
	};
	weft_transport_stats stats;
	va_list args;

	if (!relay->options.on_event && !weft_log_enabled(level))
		return;
	if (session) {
		weft_transport_stats_get(session->client, &stats);
		event.bytes_in = stats.bytes_received;
		event.bytes_out = stats.bytes_sent;
	}
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (relay->options.on_event)
		relay->options.on_event(relay->options.user, &event);
	else
		weft_log(level, "relay", "%s%s%s", event.peer, session ? ": " : "", text);
}
