/* SPDX-License-Identifier: MIT */
/* A request's way to an MCP server and back; see mcp_client.h. */
#include "bridge/mcp_client.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define SHOWN_MAX ((size_t)200) /* bytes of a server's that an error repeats */
#define ERROR_BODY_MAX ((size_t)65536)

/* ---- one POST ---- */

weft_err mcp_post(struct mcp_client *c, const weft_message *message, weft_http_response **out,
	weft_deadline until)
{
	const struct mcp_remote *remote = c->remote;
	weft_http_request request = remote->request;
	weft_http_fields *fields = NULL;
	weft_err err = mcp_fields(&fields, c, message);

	if (err)
		return err;
	request.method = "POST";
	request.url_parsed = word_get(&c->mode) == MCP_MODE_SSE ? &c->endpoint : &remote->url;
	request.fields = fields;
	request.body = message->text.data;
	request.body_size = message->text.len;
	request.endless = true; /* a stream may be silent for long; see mcp_stream_read */
	err = weft_http_client_send(remote->http, &request, out, until);
	weft_http_fields_free(fields);
	return err;
}

static bool has_type(const weft_http_response *response, const char *type)
{
	const char *given =
		weft_http_fields_get(weft_http_response_fields(response), "Content-Type");
	size_t len = strlen(type);

	return given && strncmp(given, type, len) == 0 &&
		(given[len] == '\0' || given[len] == ';' || given[len] == ' ');
}

/* ---- what is no success ---- */

/* Its beginning, on one line. */
static void body_show(char *out, size_t size, const weft_buf *body)
{
	size_t len = body->len < size - 1 ? body->len : size - 1;

	for (size_t i = 0; i < len; i++)
		out[i] = body->data[i] < ' ' || body->data[i] > '~' ? ' ' : (char)body->data[i];
	out[len] = '\0';
}

weft_err mcp_status_error(
	const struct mcp_client *c, weft_http_response *response, char *text, size_t size)
{
	unsigned status = weft_http_response_status(response);
	char url[MCP_REASON_MAX], shown[SHOWN_MAX] = "";
	weft_buf body = WEFT_BUF_EMPTY;

	(void)weft_http_url_format(&c->remote->url, url, sizeof(url));
	if (!weft_http_response_read_all(response, &body, ERROR_BODY_MAX,
		    weft_after_ns(c->remote->options.transport.connect_timeout_ns)))
		body_show(shown, sizeof(shown), &body);
	weft_buf_unref(&body);
	(void)snprintf(text, size, "%s: %u %s%s%s%s", url, status, weft_http_status_text(status),
		status == 401 ? " (it wants a token: #header-file=)" : "", *shown ? ": " : "",
		shown);
	if (status == 401 || status == 403)
		return WEFT_EAUTH;
	return status == 404 ? WEFT_ENOTFOUND : WEFT_EPROTO;
}

static bool is_session_lost(struct mcp_client *c, const weft_http_response *response)
{
	return weft_http_response_status(response) == 404 && c->session &&
		word_get(&c->mode) != MCP_MODE_SSE;
}

static void session_lost(struct mcp_client *c)
{
	mcp_end(c, WEFT_ERESET, "the server does not know the session any more (404)");
}

/* ---- requests ---- */

static void refuse(struct mcp_post *p, const char *text)
{
	p->is_answered = true;
	mcp_answer(p->client, p->message.rpc.id, MCP_LOST, (weft_json){ NULL, 0 }, text);
}

/* The answer goes to the stream that is open, or will be. */
static weft_err post_by_sse(struct mcp_post *p, weft_deadline until)
{
	weft_err err = mcp_sse_open(p->client, until);

	if (!err)
		err = mcp_post_note(p->client, &p->message, until);
	p->is_answered = err == WEFT_OK;
	return err;
}

static weft_deadline connect_until(const struct mcp_client *c)
{
	return weft_after_ns(c->remote->options.transport.connect_timeout_ns);
}

/* A server of before Streamable HTTP does not know POST there. */
static bool may_be_old(const struct mcp_post *p, unsigned status)
{
	return p->client->remote->options.era == WEFT_MCP_AUTO && mcp_is_initialize(&p->message) &&
		word_get(&p->client->mode) == MCP_MODE_UNKNOWN &&
		(status == 400 || status == 404 || status == 405);
}

static void try_old(struct mcp_post *p, const char *why)
{
	char text[2 * MCP_REASON_MAX + 64];

	if (post_by_sse(p, connect_until(p->client)) == WEFT_OK)
		return;
	(void)snprintf(text, sizeof(text), "%s; as HTTP+SSE: %s", why, weft_error_detail());
	refuse(p, text);
}

/* A JSON-RPC error in the body of a response is the answer, whatever its status. */
static bool take_error(struct mcp_post *p, weft_http_response *response)
{
	struct mcp_client *c = p->client;
	weft_buf body = WEFT_BUF_EMPTY;
	weft_jsonrpc rpc;
	int64_t code;
	char *text;
	size_t len = 0;

	if (!has_type(response, "application/json") ||
		weft_http_response_read_all(response, &body, ERROR_BODY_MAX, connect_until(c)))
		return false;
	if (weft_jsonrpc_scan(&rpc, (const char *)body.data, body.len, NULL) !=
			WEFT_JSONRPC_ERROR ||
		weft_json_integer(rpc.error_code, &code) || code < INT32_MIN || code > INT32_MAX) {
		weft_buf_unref(&body);
		return false;
	}
	text = mem_alloc(rpc.error_message.len);
	if (text &&
		!weft_json_string_decode(rpc.error_message, text, rpc.error_message.len - 1, &len))
		text[len] = '\0';
	p->is_answered = true;
	mcp_answer(c, p->message.rpc.id, (int)code, rpc.error_data, text ? text : "error");
	mem_free(text);
	weft_buf_unref(&body);
	return true;
}

static void refused(struct mcp_post *p, weft_http_response *response)
{
	struct mcp_client *c = p->client;
	unsigned status = weft_http_response_status(response);
	char text[MCP_REASON_MAX + SHOWN_MAX];

	if (is_session_lost(c, response)) {
		p->is_answered = true; /* by the end */
		session_lost(c);
		return;
	}
	if (!may_be_old(p, status) && take_error(p, response))
		return;
	(void)mcp_status_error(c, response, text, sizeof(text));
	if (may_be_old(p, status))
		try_old(p, text);
	else
		refuse(p, text);
}

static void take_json(struct mcp_post *p, weft_http_response *response, weft_deadline until)
{
	const struct mcp_remote *remote = p->client->remote;
	weft_json_limits limits = { remote->options.transport.message_size_max,
		remote->options.transport.depth_max };
	weft_buf body = WEFT_BUF_EMPTY;
	weft_message message;
	weft_err err = weft_http_response_read_all(response, &body, limits.size_max, until);

	if (!err)
		err = weft_message_own(&message, &body, &limits);
	if (err) {
		refuse(p, weft_error_detail());
		return;
	}
	if (message.rpc.kind == WEFT_JSONRPC_INVALID) {
		weft_message_fini(&message);
		refuse(p, "the server's answer is no JSON-RPC message");
		return;
	}
	mcp_take(p, &message);
}

static void take_answer(struct mcp_post *p, weft_http_response *response, weft_deadline until)
{
	struct mcp_client *c = p->client;

	if (mcp_is_initialize(&p->message)) {
		if (mcp_begin_session(c, response)) {
			refuse(p, weft_error_detail());
			return;
		}
		(void)word_change(&c->mode, MCP_MODE_UNKNOWN, MCP_MODE_SESSIONS);
	}
	if (has_type(response, "text/event-stream")) {
		if (!mcp_stream_read(p, response))
			mcp_stream_resume(p);
	} else if (has_type(response, "application/json")) {
		take_json(p, response, until);
	}
}

static void run(struct mcp_post *p)
{
	struct mcp_client *c = p->client;
	int64_t timeout_ns = c->remote->options.response_timeout_ns;
	weft_deadline until = timeout_ns ? weft_after_ns(timeout_ns) : WEFT_FOREVER;
	weft_http_response *response = NULL;
	weft_err err;

	if (c->remote->options.era == WEFT_MCP_SSE || word_get(&c->mode) == MCP_MODE_SSE) {
		if (post_by_sse(p, connect_until(c)))
			refuse(p, weft_error_detail());
		return;
	}
	err = mcp_post(c, &p->message, &response, until);
	if (err == WEFT_ECANCELED)
		return;
	if (err)
		refuse(p, weft_error_detail());
	else if (weft_http_response_status(response) >= 300)
		refused(p, response);
	else
		take_answer(p, response, until);
	weft_http_response_free(response);
}

static weft_err run_until_cancelled(void *arg)
{
	run(arg);
	return WEFT_OK;
}

static void enlist(struct mcp_post *p, bool is_in)
{
	rt_lock_acquire(&p->client->lock);
	if (is_in)
		list_push_back(&p->client->in_post, &p->node);
	else
		list_remove(&p->node);
	rt_lock_release(&p->client->lock);
}

weft_err mcp_post_fiber(void *arg)
{
	struct mcp_post *p = arg;
	struct mcp_client *c = p->client;

	if (p->token) {
		enlist(p, true);
		if (weft_cancel_run(p->token, run_until_cancelled, p, WEFT_FOREVER) == WEFT_ENOMEM)
			refuse(p, "no memory");
		enlist(p, false);
		if (weft_cancel_is_cancelled(p->token))
			p->is_answered = true; /* nobody waits */
	} else {
		run(p);
	}
	if (!p->is_answered && !weft_cancel_is_cancelled(weft_fiber_token()))
		refuse(p, "the server sent no answer");
	(void)counter_sub(&c->in_flight, 1);
	weft_cancel_unref(p->token);
	weft_message_fini(&p->message);
	mem_free(p);
	return WEFT_OK;
}

/* ---- what gets no answer ---- */

weft_err mcp_post_note(struct mcp_client *c, const weft_message *message, weft_deadline until)
{
	weft_http_response *response = NULL;
	char text[MCP_REASON_MAX + SHOWN_MAX];
	weft_err err = WEFT_OK;

	if (c->remote->options.era == WEFT_MCP_SSE)
		err = mcp_sse_open(c, until);
	if (!err)
		err = mcp_post(c, message, &response, until);
	if (err)
		return err;
	if (weft_http_response_status(response) >= 300) {
		bool is_lost = is_session_lost(c, response);

		err = mcp_status_error(c, response, text, sizeof(text));
		err = err_setf(err, "%s", text);
		if (is_lost)
			session_lost(c);
	}
	weft_http_response_free(response);
	return err;
}
