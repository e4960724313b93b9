/* SPDX-License-Identifier: MIT */
/*
 * What the handlers of all eras do with a request: who asks, by which session, and what.
 *
 * Where there are tokens, one is compared with that of the session's principal first: so the common
 * case costs one comparison. A session of another principal is as one that is not there.
 */
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "bridge/mcp_server.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BODY_FIRST ((size_t)16 << 10) /* what an announcement alone is trusted with */
#define BODY_UNKNOWN ((size_t)4 << 10)
#define BODY_TRUSTED ((size_t)1 << 20) /* once so much has come, the announcement is believed */
#define BODY_BEFORE ((size_t)64)       /* room before it: for ids that become longer */
#define BODY_SKIMMED 2 /* times the limit: what is read of a body that is too large */
#define VERSION_SHOWN_MAX ((size_t)32) /* bytes of a version that nobody knows */

/* ---- answers of our own ---- */

static weft_err reply_error(const struct mcps_ask *ask, unsigned status,
	const weft_http_fields *fields, const weft_jsonrpc_draft *draft)
{
	weft_buf text;
	weft_err err =
		weft_jsonrpc_write_buf(&text, mcps_transport_options(ask->server)->pool, draft);

	if (err)
		return weft_http_exchange_reply(ask->x, status, NULL, "", 0, WEFT_FOREVER);
	err = weft_http_exchange_reply(ask->x, status, fields, text.data, text.len, WEFT_FOREVER);
	weft_buf_unref(&text);
	return err;
}

bool mcps_refuse(
	struct mcps_ask *ask, unsigned status, int code, weft_json id, const char *format, ...)
{
	char text[512];
	weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_ERROR, .id = id, .code = code, .message = text
	};
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (id.len > MCPS_REQUEST_ID_MAX)
		draft.id = (weft_json){ NULL, 0 };
	ask->is_answered = true;
	ask->err = reply_error(ask, status, ask->server->json, &draft);
	return false;
}

bool mcps_refuse_version(struct mcps_ask *ask, weft_json id, const char *requested)
{
	const weft_mcp_server_options *o = &ask->server->options;
	char data[512], quoted[6 * VERSION_SHOWN_MAX + 2];
	size_t len = strlen(requested);
	weft_jsonrpc_draft draft = { .kind = WEFT_JSONRPC_ERROR,
		.id = id,
		.code = MCPS_VERSION_UNSUPPORTED,
		.message = "Unsupported protocol version" };

	len = len < VERSION_SHOWN_MAX ? len : VERSION_SHOWN_MAX;
	if (weft_json_string_encode(requested, len, quoted, sizeof(quoted), &len))
		CHECK(false); /* there is room */
	draft.data.len =
		(size_t)snprintf(data, sizeof(data), "{\"supported\":%s,\"requested\":%.*s}",
			mcps_versions_json(!o->sessions_off, !o->stateless_off), (int)len, quoted);
	draft.data.text = data;
	ask->is_answered = true;
	ask->err = reply_error(ask, 400, ask->server->json, &draft);
	return false;
}

weft_err mcps_reply_accepted(weft_http_exchange *x)
{
	return weft_http_exchange_reply(x, 202, NULL, NULL, 0, WEFT_FOREVER);
}

/* ---- who ---- */

/* RFC 6750, section 3: an error is named where a token was given. */
static bool refuse_token(struct mcps_ask *ask, bool had_token)
{
	const char *challenge = had_token ? "Bearer realm=\"mcp\", error=\"invalid_token\""
					  : "Bearer realm=\"mcp\"";
	weft_jsonrpc_draft draft = { .kind = WEFT_JSONRPC_ERROR,
		.code = WEFT_JSONRPC_INVALID_REQUEST,
		.message = had_token ? "the token is not valid" : "a bearer token is needed" };
	weft_http_fields *fields = NULL;
	weft_err err = weft_http_fields_copy(&fields, ask->server->json);

	(void)counter_add(&ask->server->stats.refused_auth, 1);
	if (!err)
		err = weft_http_fields_add(fields, "WWW-Authenticate", challenge);
	ask->is_answered = true;
	ask->err = err ? err : reply_error(ask, 401, fields, &draft);
	weft_http_fields_free(fields);
	return false;
}

static bool has_token(const struct mcps_principal *principal, const char *token)
{
	return mcps_token_is(principal, token, strlen(token)) && !word_get(&principal->gone);
}

/* Whose token the request has: see the top. */
static bool find_principal(struct mcps_ask *ask)
{
	const char *token = mcps_bearer(weft_http_exchange_field(ask->x, "Authorization"));
	const struct mcps_tokens *tokens;

	if (!token)
		return refuse_token(ask, false);
	if (ask->session && has_token(ask->session->principal, token)) {
		ask->principal = ask->session->principal;
		return true;
	}
	tokens = weft_cell_enter(ask->server->tokens);
	ask->owned = mcps_tokens_find(tokens, token, strlen(token));
	if (ask->owned)
		(void)mcps_principal_ref(ask->owned);
	weft_cell_leave(ask->server->tokens);
	if (!ask->owned)
		return refuse_token(ask, true);
	ask->principal = ask->owned;
	/* another's session is as none */
	mcps_session_unref(ask->session);
	ask->session = NULL;
	return true;
}

bool mcps_ask_begin(struct mcps_ask *ask, weft_mcp_server *server, weft_http_exchange *x,
	const char *session_id)
{
	const char *version = weft_http_exchange_field(x, MCPS_VERSION_FIELD);

	*ask = (struct mcps_ask){ .server = server, .x = x, .version_text = version };
	ask->version = mcps_version_of(version, version ? strlen(version) : 0);
	if (session_id)
		ask->session = mcps_session_find(server, session_id);
	if (server->tokens)
		return find_principal(ask);
	ask->principal = server->anybody;
	return true;
}

weft_err mcps_ask_end(struct mcps_ask *ask, weft_err err)
{
	weft_message_fini(&ask->message);
	if (ask->session)
		mcps_session_touch(ask->session);
	mcps_session_unref(ask->session);
	mcps_principal_unref(ask->owned);
	return ask->is_answered ? ask->err : err;
}

bool mcps_refuse_ended(struct mcps_ask *ask)
{
	return mcps_refuse(ask, 404, WEFT_JSONRPC_INVALID_REQUEST, (weft_json){ NULL, 0 },
		"Not found: no such session");
}

bool mcps_find_session(struct mcps_ask *ask)
{
	if (ask->session && ask->session->kind == MCPS_SESSIONS)
		return true;
	if (weft_http_exchange_field(ask->x, MCPS_SESSION_FIELD))
		return mcps_refuse_ended(ask);
	return mcps_refuse(ask, 400, WEFT_JSONRPC_INVALID_REQUEST, ask->message.rpc.id,
		"Bad request: " MCPS_SESSION_FIELD " is missing");
}

/* ---- what ---- */

/* Mostly there is one field of that name. */
static bool accepts(struct mcps_ask *ask, const char *type)
{
	const weft_http_fields *fields;
	const char *accept;

	if (mcps_accepts(weft_http_exchange_field(ask->x, "Accept"), type))
		return true;
	fields = weft_http_exchange_fields(ask->x);
	for (size_t i = 1; (accept = weft_http_fields_get_nth(fields, "Accept", i)) != NULL; i++)
		if (mcps_accepts(accept, type))
			return true;
	return false;
}

bool mcps_ask_accepts(struct mcps_ask *ask, bool json)
{
	const weft_json none = { NULL, 0 };

	if (accepts(ask, "text/event-stream") && (!json || accepts(ask, "application/json")))
		return true;
	return mcps_refuse(ask, 406, WEFT_JSONRPC_INVALID_REQUEST, none,
		"Not acceptable: Accept must list %stext/event-stream",
		json ? "application/json and " : "");
}

bool mcps_ask_is_json(struct mcps_ask *ask)
{
	const weft_json none = { NULL, 0 };

	if (mcps_is_json(weft_http_exchange_field(ask->x, "Content-Type")))
		return true;
	return mcps_refuse(ask, 415, WEFT_JSONRPC_INVALID_REQUEST, none,
		"Unsupported media type: Content-Type must be application/json");
}

static weft_err alloc_body(const struct mcps_ask *ask, weft_buf *buf, size_t size)
{
	weft_err err =
		weft_buf_alloc(buf, mcps_transport_options(ask->server)->pool, BODY_BEFORE + size);

	if (!err)
		weft_buf_advance(buf, BODY_BEFORE);
	return err;
}

/* Room for more, up to max; what is there is moved. */
static weft_err grow(const struct mcps_ask *ask, weft_buf *buf, size_t len, size_t max)
{
	int64_t announced = weft_http_exchange_body_length(ask->x);
	weft_buf larger;
	size_t size = 2 * len < max ? 2 * len : max;
	weft_err err;

	if (len >= BODY_TRUSTED && announced > (int64_t)len)
		size = (size_t)announced + 1;
	err = alloc_body(ask, &larger, size);
	if (err)
		return err;
	memcpy(larger.data, buf->data, len);
	weft_buf_unref(buf);
	*buf = larger;
	return WEFT_OK;
}

/* Into buf, whose length is what has come, also if WEFT_EMSGSIZE: more than max. */
static weft_err read_body(const struct mcps_ask *ask, weft_buf *buf, size_t max)
{
	int64_t announced = weft_http_exchange_body_length(ask->x);
	size_t size = announced < 0 ? BODY_UNKNOWN : (size_t)announced + 1, len = 0;
	weft_err err;

	if (announced > 0 && (uint64_t)announced > max)
		return err_set(WEFT_EMSGSIZE);
	size = size < BODY_FIRST ? size : BODY_FIRST;
	err = alloc_body(ask, buf, size);
	while (!err) {
		size_t got = 0;

		/* one byte more than there may be: so an end is seen without growing */
		if (len == buf->len)
			err = len > max ? err_set(WEFT_EMSGSIZE) : grow(ask, buf, len, max + 1);
		if (!err)
			err = weft_http_exchange_read(
				ask->x, buf->data + len, buf->len - len, &got, WEFT_FOREVER);
		len += got;
	}
	if (err == WEFT_ECLOSED || err == WEFT_EMSGSIZE)
		buf->len = len;
	if (err != WEFT_ECLOSED)
		return err;
	return len > max ? err_set(WEFT_EMSGSIZE) : WEFT_OK;
}

/* A body over the limit, of which this is the beginning. It is read to its end, if that is not too far
 * off, and not kept: so its id is known, and the connection goes on. */
static bool refuse_large(struct mcps_ask *ask, weft_buf *begun, size_t max)
{
	size_t total = begun->len, got = 0;
	weft_json id = { NULL, 0 };
	weft_jsonrpc_skim skim;
	weft_buf piece = WEFT_BUF_EMPTY;
	weft_err err =
		weft_buf_alloc(&piece, mcps_transport_options(ask->server)->pool, BODY_FIRST);

	weft_jsonrpc_skim_init(&skim);
	if (total)
		weft_jsonrpc_skim_bytes(&skim, (char *)begun->data, total);
	weft_buf_unref(begun);
	while (!err && total / BODY_SKIMMED <= max) {
		err = weft_http_exchange_read(ask->x, piece.data, piece.len, &got, WEFT_FOREVER);
		if (!err)
			weft_jsonrpc_skim_bytes(&skim, (char *)piece.data, got);
		total += err ? 0 : got;
	}
	weft_buf_unref(&piece);
	if (err == WEFT_ECLOSED)
		(void)weft_jsonrpc_skim_end(&skim, &id);
	if (!err || err == WEFT_ECLOSED || err == WEFT_EMSGSIZE)
		return mcps_refuse(ask, 413, WEFT_JSONRPC_INVALID_REQUEST, id,
			"Invalid request: larger than %zu bytes", max);
	ask->is_answered = true;
	ask->err = err;
	return false;
}

/* Not JSON, or no message. */
static bool refuse_message(struct mcps_ask *ask)
{
	const weft_jsonrpc *rpc = &ask->message.rpc;

	return mcps_refuse(ask, 400, rpc->fault_code ? rpc->fault_code : WEFT_JSONRPC_PARSE_ERROR,
		rpc->id, "%s: %s at byte %zu",
		rpc->fault_code == WEFT_JSONRPC_INVALID_REQUEST ? "Invalid request" : "Parse error",
		rpc->fault ? rpc->fault : "no message", rpc->fault_offset);
}

bool mcps_ask_read(struct mcps_ask *ask)
{
	const weft_transport_options *o = mcps_transport_options(ask->server);
	weft_json_limits limits = { o->message_size_max, o->depth_max };
	weft_json none = { NULL, 0 };
	weft_buf body = WEFT_BUF_EMPTY;
	weft_err err;

	err = read_body(ask, &body, o->message_size_max);
	if (err == WEFT_EMSGSIZE)
		return refuse_large(ask, &body, o->message_size_max);
	if (!err && !body.len) {
		weft_buf_unref(&body);
		return mcps_refuse(
			ask, 400, WEFT_JSONRPC_PARSE_ERROR, none, "Parse error: no body");
	}
	if (err)
		weft_buf_unref(&body);
	else
		err = weft_message_own(&ask->message, &body, &limits);
	if (err) {
		/* the HTTP server knows what to say of its body */
		ask->is_answered = true;
		ask->err = err;
		return false;
	}
	if (ask->message.rpc.kind == WEFT_JSONRPC_INVALID)
		return refuse_message(ask);
	return true;
}
