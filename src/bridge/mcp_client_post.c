/* SPDX-License-Identifier: MIT */
/* A request's way to an MCP server and back; see mcp_client.h. */
#include "base/err.h"
#include "base/mem.h"
#include "bridge/mcp_client.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SHOWN_MAX ((size_t)200) /* bytes of a server's that an error repeats */
#define ERROR_BODY_MAX ((size_t)65536)
#define LIST_PAGES_MAX 100 /* of tools/list that the client itself asks for */

/* ---- one POST ---- */

/* A POST that became a GET would ask for something else. */
static weft_err keep_post(void *user, weft_http_response *response, const char *url)
{
	unsigned status = weft_http_response_status(response);

	(void)user;
	if (status == 307 || status == 308)
		return WEFT_OK;
	return err_setf(WEFT_EPROTO, "status %u (%s) to %s: a POST would become a GET", status,
		weft_http_status_text(status), url);
}

/* The response's head is there. Errors: as weft_http_client_send. */
static weft_err post(struct mcp_client *c, const weft_message *message, weft_http_response **out,
	weft_deadline until)
{
	const struct mcp_remote *remote = c->remote;
	weft_http_request request = remote->request;
	bool is_old = word_get(&c->mode) == MCP_MODE_SSE && !mcp_is_stateless(c, message);
	weft_http_fields *fields = NULL;
	weft_err err = mcp_fields(&fields, c, message);

	if (err)
		return err;
	request.method = "POST";
	request.url_parsed = is_old ? &c->endpoint : &remote->url;
	request.fields = fields;
	request.body = message->text.data;
	request.body_size = message->text.len;
	if (!request.on_redirect)
		request.on_redirect = keep_post;
	request.endless = true; /* if it is a stream, which may be silent for long */
	err = weft_http_client_send(remote->http, &request, out, until);
	weft_http_fields_free(fields);
	return err;
}

/* RFC 9110, section 8.3.1: without regard to case, parameters behind it. */
static bool has_type(const weft_http_response *response, const char *type)
{
	const char *given =
		weft_http_fields_get(weft_http_response_fields(response), "Content-Type");
	size_t len = strlen(type);

	return given && strncasecmp(given, type, len) == 0 &&
		(given[len] == '\0' || given[len] == ';' || given[len] == ' ' ||
			given[len] == '\t');
}

/* ---- what is no success ---- */

/* What a status that is no success comes with; empty if it does not come. */
static weft_buf error_body(const struct mcp_client *c, weft_http_response *response)
{
	weft_buf body = WEFT_BUF_EMPTY;

	weft_http_response_endless_set(response, false);
	(void)!weft_http_response_read_all(response, &body, ERROR_BODY_MAX, mcp_connect_until(c));
	return body;
}

/* The status and the beginning of the body, on one line. */
static weft_err status_error(
	const struct mcp_client *c, const weft_http_response *response, const weft_buf *body)
{
	unsigned status = weft_http_response_status(response);
	char shown[SHOWN_MAX];
	size_t len = body->len < sizeof(shown) - 1 ? body->len : sizeof(shown) - 1;

	for (size_t i = 0; i < len; i++)
		shown[i] = body->data[i] < ' ' || body->data[i] > '~' ? ' ' : (char)body->data[i];
	shown[len] = '\0';
	return err_setf(status == 401 || status == 403 ? WEFT_EAUTH
			: status == 404		       ? WEFT_ENOTFOUND
						       : WEFT_EPROTO,
		"%s: status %u (%s)%s%s%s", c->remote->url_text, status,
		weft_http_status_text(status),
		status == 401 ? ", the server wants a token or another one" : "", len ? ": " : "",
		shown);
}

static bool is_session_lost(
	struct mcp_client *c, const weft_message *message, const weft_http_response *response)
{
	return weft_http_response_status(response) == 404 && mcp_has_session(c) &&
		!mcp_is_stateless(c, message);
}

/* Such as only servers of today give: there is no use in asking for the old transport. */
static bool is_todays(const weft_jsonrpc *error)
{
	int64_t code;

	return weft_json_integer(error->error_code, &code) == WEFT_OK &&
		(code == MCP_HEADER_MISMATCH || code == MCP_CAPABILITY_MISSING ||
			code == MCP_VERSION_UNSUPPORTED || code == WEFT_JSONRPC_METHOD_NOT_FOUND);
}

/* A server of before Streamable HTTP does not know POST there. */
static bool may_be_old(const struct mcp_post *p, unsigned status)
{
	return p->client->remote->options.era == WEFT_MCP_AUTO && mcp_is_initialize(&p->message) &&
		word_get(&p->client->mode) == MCP_MODE_UNKNOWN &&
		(status == 400 || status == 404 || status == 405);
}

static weft_err run_by_sse(struct mcp_post *p);

/* error NULL: the body was none; text: what is to be said then. */
static weft_err try_old(struct mcp_post *p, const weft_jsonrpc *error, const char *text)
{
	char also[MCP_REASON_MAX];
	weft_err err = mcp_sse_open(p->client, mcp_connect_until(p->client));

	if (!err)
		return run_by_sse(p);
	if (err == WEFT_ECANCELED)
		return err;
	if (!error)
		return err_setf(err, "%s; as HTTP+SSE: %s", text, weft_error_detail());
	(void)snprintf(also, sizeof(also), "; as HTTP+SSE: %s", weft_error_detail());
	mcp_take_error(p, error, also);
	return WEFT_OK;
}

/* ---- fields that the server misses ---- */

static weft_err take_answer(struct mcp_post *p, weft_http_response *response);

/* What tools/list is asked with: in the name of who calls the tool. */
static weft_err list_message(weft_message *out, const struct mcp_post *call, const char *cursor)
{
	static const char id[] = "\"weft-tools\"";
	weft_json meta = call->message.rpc.meta;
	size_t size = meta.len + (cursor ? strlen(cursor) : 0) + 64;
	weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_REQUEST, .id = { id, sizeof(id) - 1 }, .method = "tools/list"
	};
	char *params = mem_alloc(size);
	weft_err err;

	if (!params)
		return err_set(WEFT_ENOMEM);
	draft.params.text = params;
	draft.params.len = (size_t)snprintf(params, size, "{\"_meta\":%.*s%s%s}",
		meta.text ? (int)meta.len : 2, meta.text ? meta.text : "{}",
		cursor ? ",\"cursor\":" : "", cursor ? cursor : "");
	err = weft_message_write(out, NULL, &draft);
	mem_free(params);
	return err;
}

/* One page. *own is made anew. */
static weft_err list_page(struct mcp_post *own)
{
	weft_http_response *response = NULL;
	weft_err err = post(own->client, &own->message, &response, own->until);

	if (!err && weft_http_response_status(response) >= 300)
		err = err_setf(
			WEFT_EPROTO, "tools/list: status %u", weft_http_response_status(response));
	if (!err)
		err = take_answer(own, response);
	weft_http_response_free(response);
	return err;
}

/* All that there are now: the call's tool is not as it was listed, or never was. */
static weft_err list_tools(struct mcp_post *call)
{
	char *cursor = NULL;
	weft_err err = WEFT_OK;

	for (unsigned page = 0; !err && page < LIST_PAGES_MAX && (page == 0 || cursor); page++) {
		struct mcp_post own = { .client = call->client,
			.is_stateless = true,
			.is_own = true,
			.until = call->until,
			.retry_ns = -1 };

		list_init(&own.node);
		err = list_message(&own.message, call, cursor);
		if (!err)
			err = list_page(&own);
		weft_message_fini(&own.message);
		mem_free(cursor);
		cursor = own.cursor;
	}
	mem_free(cursor);
	return err;
}

/* True: the same again may do, with other fields. */
static bool mend(struct mcp_post *p, const weft_jsonrpc *error)
{
	int64_t code;

	if (p->was_mended || !p->is_stateless || weft_json_integer(error->error_code, &code) ||
		code != MCP_HEADER_MISMATCH ||
		!weft_json_string_is(p->message.rpc.method, "tools/call"))
		return false;
	p->was_mended = true;
	return list_tools(p) == WEFT_OK;
}

/* ---- a request that is refused ---- */

/* Whether it is the door that is shut, whatever stands on it: then it is no answer of the server. */
static weft_err refusal(const struct mcp_post *p, unsigned status)
{
	if (status == 401 || status == 403)
		return WEFT_EAUTH;
	return status == 404 && mcp_is_initialize(&p->message) ? WEFT_ENOTFOUND : WEFT_OK;
}

/* What it says itself, and behind that what a person needs to do something about it. */
static void take_refusal(
	struct mcp_post *p, const weft_jsonrpc *error, const weft_http_response *response)
{
	static const weft_buf nothing = WEFT_BUF_EMPTY;
	char also[MCP_REASON_MAX];

	(void)status_error(p->client, response, &nothing);
	(void)snprintf(also, sizeof(also), " (%s)", weft_error_detail());
	mcp_take_error(p, error, p->why ? also : NULL);
}

/* The server has not looked at it: another session may. */
static void give_back(struct mcp_post *p)
{
	weft_message message;

	if (!p->client->remote->options.gives_back)
		return;
	weft_message_move(&message, &p->message);
	message.err = WEFT_EAGAIN;
	weft_transport_deliver_own(p->client->transport, &message);
}

/* A JSON-RPC error in the body is the answer, whatever the status. WEFT_EAGAIN: to be sent again. */
static weft_err refused(struct mcp_post *p, weft_http_response *response)
{
	struct mcp_client *c = p->client;
	char text[MCP_REASON_MAX];
	weft_buf body;
	weft_jsonrpc rpc;
	bool is_error, is_old = may_be_old(p, weft_http_response_status(response));
	weft_err err = WEFT_OK;

	if (is_session_lost(c, &p->message, response)) {
		bool is_wanted = mcp_claim(c, p);

		mcp_session_lost(c);
		if (is_wanted)
			give_back(p);
		return WEFT_OK;
	}
	body = error_body(c, response);
	is_error = weft_jsonrpc_scan(&rpc, (const char *)body.data, body.len, NULL) ==
		WEFT_JSONRPC_ERROR;
	p->why = refusal(p, weft_http_response_status(response));
	if (is_error && mend(p, &rpc)) {
		err = WEFT_EAGAIN;
	} else if (is_error && (!is_old || is_todays(&rpc))) {
		take_refusal(p, &rpc, response);
	} else {
		err = status_error(c, response, &body);
		(void)snprintf(text, sizeof(text), "%s", weft_error_detail());
		if (is_old)
			err = try_old(p, is_error ? &rpc : NULL, text);
	}
	weft_buf_unref(&body);
	return err;
}

/* ---- answers ---- */

static weft_err take_json(struct mcp_post *p, weft_http_response *response)
{
	struct mcp_client *c = p->client;
	weft_json_limits limits = mcp_limits(c);
	weft_buf body = WEFT_BUF_EMPTY;
	weft_message message;
	weft_err err;

	weft_http_response_endless_set(response, false);
	err = weft_http_response_read_all(response, &body, limits.size_max, p->until);
	if (err)
		return err_wrap(err, "the answer of %s", c->remote->url_text);
	err = weft_message_own(&message, &body, &limits);
	if (err)
		return err;
	if (message.rpc.kind == WEFT_JSONRPC_INVALID) {
		err = weft_jsonrpc_check(&message.rpc);
		weft_message_fini(&message);
		return err_wrap(err, "the answer of %s", c->remote->url_text);
	}
	mcp_take(c, p, &message);
	if (!p->is_answered)
		return err_setf(
			WEFT_EPROTO, "%s gave something else than the answer", c->remote->url_text);
	return WEFT_OK;
}

static weft_err take_answer(struct mcp_post *p, weft_http_response *response)
{
	struct mcp_client *c = p->client;
	const char *type =
		weft_http_fields_get(weft_http_response_fields(response), "Content-Type");
	weft_err err = WEFT_OK;

	if (mcp_is_initialize(&p->message)) {
		err = mcp_begin_session(c, response, &p->has_begun);
		if (err)
			return err;
		(void)word_change(&c->mode, MCP_MODE_UNKNOWN, MCP_MODE_SESSIONS);
	}
	if (has_type(response, "text/event-stream"))
		return mcp_stream_read(p, response);
	if (has_type(response, "application/json"))
		return take_json(p, response);
	return err_setf(WEFT_EPROTO,
		"%s: status %u (%s) with content type %.100s: that is no answer",
		c->remote->url_text, weft_http_response_status(response),
		weft_http_status_text(weft_http_response_status(response)), type ? type : "none");
}

/* HTTP+SSE: the answer comes over the stream that is open. */
static weft_err run_by_sse(struct mcp_post *p)
{
	struct mcp_client *c = p->client;
	weft_http_response *response = NULL;
	weft_err err = post(c, &p->message, &response, p->until);

	if (!err && weft_http_response_status(response) >= 300)
		err = refused(p, response);
	weft_http_response_free(response);
	if (err || p->is_answered)
		return err;
	/* whoever claims it says so */
	err = weft_cancel_wait(p->token, p->until);
	if (!err)
		p->is_answered = true;
	return err == WEFT_ETIMEDOUT
		? err_setf(err, "%s: no answer over the stream", c->remote->url_text)
		: err;
}

static weft_err run(void *arg)
{
	struct mcp_post *p = arg;
	struct mcp_client *c = p->client;
	weft_http_response *response;
	weft_err err = WEFT_OK;

	if (!p->is_stateless && !mcp_is_initialize(&p->message))
		err = mcp_await_greeting(c, p->until);
	if (err)
		return err;
	if (word_get(&c->mode) == MCP_MODE_SSE && !p->is_stateless)
		return run_by_sse(p);
	do {
		response = NULL;
		err = post(c, &p->message, &response, p->until);
		if (!err && weft_http_response_status(response) >= 300)
			err = refused(p, response);
		else if (!err)
			err = take_answer(p, response);
		weft_http_response_free(response);
	} while (err == WEFT_EAGAIN); /* once */
	return err;
}

void mcp_post_free(struct mcp_post *post)
{
	weft_cancel_unref(post->token);
	weft_message_fini(&post->message);
	mem_free(post->last_id);
	mem_free(post);
}

static void give_up(struct mcp_post *p, weft_err err)
{
	char text[MCP_REASON_MAX];

	if (err == WEFT_ETIMEDOUT && p->until != WEFT_FOREVER && weft_now() >= p->until)
		(void)snprintf(text, sizeof(text), "no answer within %lld ms: %s",
			(long long)(p->client->remote->options.response_timeout_ns / 1000000),
			weft_error_detail());
	else
		(void)snprintf(text, sizeof(text), "%s",
			err ? weft_error_detail() : "the server sent no answer");
	mcp_refuse(p, text);
}

weft_err mcp_post_fiber(void *arg)
{
	struct mcp_post *p = arg;
	weft_err err = weft_cancel_run(p->token, run, p, WEFT_FOREVER);

	if (weft_cancel_is_cancelled(p->token) || weft_cancel_is_cancelled(weft_fiber_token()))
		(void)mcp_claim(p->client, p); /* nobody waits */
	else if (err || !p->is_answered)
		give_up(p, err);
	if (p->has_begun && !p->is_welcomed)
		mcp_session_unheard(p->client);
	if (mcp_is_initialize(&p->message))
		weft_cancel_trigger(p->client->greeted, WEFT_OK);
	mcp_post_free(p);
	return WEFT_OK;
}

/* ---- what gets no answer ---- */

struct note {
	struct mcp_client *c;
	const weft_message *message;
	weft_deadline until;
};

static weft_err note_run(void *arg)
{
	struct note *note = arg;
	struct mcp_client *c = note->c;
	weft_http_response *response = NULL;
	weft_err err = WEFT_OK;

	/* the server's own questions may be part of the greeting */
	if (note->message->rpc.kind == WEFT_JSONRPC_NOTIFICATION)
		err = mcp_await_greeting(c, note->until);
	if (!err)
		err = post(c, note->message, &response, note->until);
	if (err)
		return err;
	if (weft_http_response_status(response) >= 300) {
		weft_buf body = error_body(c, response);
		bool is_lost = is_session_lost(c, note->message, response);

		err = status_error(c, response, &body);
		weft_buf_unref(&body);
		if (is_lost) {
			mcp_session_lost(c);
			err = err_set_code(WEFT_ERESET);
		}
	}
	weft_http_response_free(response);
	return err;
}

weft_err mcp_post_note(struct mcp_client *c, const weft_message *message, weft_deadline until)
{
	weft_deadline at_last = weft_after_ns(c->remote->options.transport.send_timeout_ns);
	struct note note = { c, message, until < at_last ? until : at_last };

	/* whoever ends the session need not wait for the server */
	return weft_cancel_run(c->ending, note_run, &note, WEFT_FOREVER);
}
