/* SPDX-License-Identifier: MIT */
/* See mcp_client.h. */
#include "bridge/mcp_client.h"

#include "base/err.h"
#include "base/mem.h"
#include "bridge/transport.h"
#include "rt/rt.h"

#include <stdio.h>
#include <string.h>

#define IDLE_DEFAULT_NS INT64_C(60000000000)
#define ATTEMPTS_DEFAULT 5
#define REQUESTS_DEFAULT 1000
#define GOODBYE_NS INT64_C(2000000000) /* for the DELETE of a session */

/* ---- messages ---- */

bool mcp_is_initialize(const weft_message *message)
{
	return message->rpc.kind == WEFT_JSONRPC_REQUEST &&
		weft_json_string_is(message->rpc.method, "initialize");
}

static bool same_id(weft_json a, weft_json b)
{
	int64_t left, right;

	if (a.len == b.len && memcmp(a.text, b.text, a.len) == 0)
		return true;
	return weft_json_integer(a, &left) == WEFT_OK && weft_json_integer(b, &right) == WEFT_OK &&
		left == right;
}

bool mcp_is_answer(const weft_message *message, const weft_message *request)
{
	return (message->rpc.kind == WEFT_JSONRPC_RESPONSE ||
		       message->rpc.kind == WEFT_JSONRPC_ERROR) &&
		message->rpc.id.text && same_id(message->rpc.id, request->rpc.id);
}

void mcp_deliver(struct mcp_client *c, weft_message *message)
{
	weft_transport_deliver_own(c->transport, message);
}

void mcp_take(struct mcp_post *post, weft_message *message)
{
	if (!post->is_answered && mcp_is_answer(message, &post->message)) {
		post->is_answered = true;
		if (mcp_is_initialize(&post->message))
			mcp_learn_version(post->client, message);
	}
	mcp_deliver(post->client, message);
}

void mcp_answer(struct mcp_client *c, weft_json id, int code, weft_json data, const char *text)
{
	weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_ERROR, .id = id, .code = code, .message = text, .data = data
	};
	weft_message message;

	if (weft_message_write(&message, c->remote->pool, &draft))
		mcp_end(c, WEFT_ENOMEM, "no memory for an answer");
	else
		mcp_deliver(c, &message);
}

/* ---- what the server said ---- */

static bool is_visible(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > MCP_SESSION_ID_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '!' || text[i] > '~')
			return false;
	}
	return true;
}

weft_err mcp_begin_session(struct mcp_client *c, const weft_http_response *response)
{
	const char *id =
		weft_http_fields_get(weft_http_response_fields(response), "Mcp-Session-Id");
	char *copy;

	if (!id)
		return WEFT_OK; /* a server that needs none */
	if (!is_visible(id))
		return err_setf(WEFT_EPROTO, "the server's Mcp-Session-Id can't be one");
	copy = mem_strdup(id);
	if (!copy)
		return err_set(WEFT_ENOMEM);
	rt_lock_acquire(&c->lock);
	if (!c->session) {
		c->session = copy;
		copy = NULL;
	}
	rt_lock_release(&c->lock);
	mem_free(copy);
	return WEFT_OK;
}

void mcp_learn_version(struct mcp_client *c, const weft_message *answer)
{
	weft_json value;
	const char *text;
	size_t len;
	char *copy;

	if (answer->rpc.kind != WEFT_JSONRPC_RESPONSE ||
		weft_json_get(&value, answer->rpc.result, "protocolVersion") ||
		weft_json_string_view(value, &text, &len) || len > 32)
		return;
	copy = mem_strndup(text, len);
	if (copy && !is_visible(copy)) {
		mem_free(copy);
		copy = NULL;
	}
	if (!copy)
		return;
	rt_lock_acquire(&c->lock);
	if (!c->version) {
		c->version = copy;
		copy = NULL;
	}
	rt_lock_release(&c->lock);
	mem_free(copy);
}

/* ---- sending ---- */

static weft_err over(const struct mcp_client *c)
{
	return err_setf(c->end_err ? c->end_err : WEFT_ECLOSED, "%s",
		*c->end_text ? c->end_text : "closed");
}

/* What kind of server this is to be, by the first message that is sent to it. */
static enum mcp_mode mode_for(struct mcp_client *c, const weft_message *message)
{
	enum mcp_mode mode = (enum mcp_mode)word_get(&c->mode);

	if (mode != MCP_MODE_UNKNOWN)
		return mode;
	switch (c->remote->options.era) {
	case WEFT_MCP_SSE:
		return MCP_MODE_UNKNOWN; /* until the stream is open */
	case WEFT_MCP_STATELESS:
		mode = MCP_MODE_STATELESS;
		break;
	case WEFT_MCP_SESSIONS:
		mode = MCP_MODE_SESSIONS;
		break;
	case WEFT_MCP_AUTO:
		mode = message->rpc.meta_protocol_version.text ||
				weft_json_string_is(message->rpc.method, "server/discover")
			? MCP_MODE_STATELESS
			: MCP_MODE_SESSIONS;
		break;
	}
	/* initialize may still show that it is HTTP+SSE */
	if (mode == MCP_MODE_STATELESS)
		(void)word_change(&c->mode, MCP_MODE_UNKNOWN, (uint32_t)mode);
	return mode;
}

/* Stateless: closing the stream of a request is its cancellation. */
static weft_err cancel_post(struct mcp_client *c, const weft_message *message)
{
	weft_cancel *token = NULL;

	if (!message->rpc.request_id.text)
		return WEFT_OK;
	rt_lock_acquire(&c->lock);
	list_for_each(node, &c->in_post) {
		struct mcp_post *p = container_of(node, struct mcp_post, node);

		if (same_id(p->message.rpc.id, message->rpc.request_id))
			token = weft_cancel_ref(p->token);
	}
	rt_lock_release(&c->lock);
	if (token)
		weft_cancel_trigger(token, WEFT_ECANCELED);
	weft_cancel_unref(token);
	return WEFT_OK;
}

static weft_err send_request(struct mcp_client *c, weft_message *message, enum mcp_mode mode)
{
	struct mcp_post *p;
	weft_err err = WEFT_OK;

	if (!counter_try_add(&c->in_flight, 1, c->remote->options.requests_max))
		return err_setf(WEFT_ECAPACITY, "%zu requests are unanswered: no more",
			c->remote->options.requests_max);
	p = mem_calloc(1, sizeof(*p));
	if (!p)
		err = err_set(WEFT_ENOMEM);
	if (!err) {
		p->client = c;
		p->retry_ns = -1;
		list_init(&p->node);
		weft_message_move(&p->message, message);
		if (mode == MCP_MODE_STATELESS)
			err = weft_cancel_create(&p->token, NULL);
	}
	if (!err)
		err = weft_scope_spawn(c->posts, "mcp request", mcp_post_fiber, p);
	if (!err)
		return WEFT_OK;
	(void)counter_sub(&c->in_flight, 1);
	if (p) {
		weft_cancel_unref(p->token);
		weft_message_fini(&p->message);
		mem_free(p);
	}
	return err == WEFT_ECANCELED ? over(c) : err;
}

static weft_err client_send(void *user, weft_message *message, weft_deadline until)
{
	struct mcp_client *c = user;
	enum mcp_mode mode;
	weft_err err;

	if (word_get(&c->ended_word)) {
		weft_message_fini(message);
		return over(c);
	}
	mode = mode_for(c, message);
	if (message->rpc.kind == WEFT_JSONRPC_REQUEST)
		err = send_request(c, message, mode);
	else if (mode == MCP_MODE_STATELESS)
		err = weft_json_string_is(message->rpc.method, "notifications/cancelled")
			? cancel_post(c, message)
			: WEFT_OK; /* there is nobody to hear it */
	else
		err = mcp_post_note(c, message, until);
	if (!err && weft_json_string_is(message->rpc.method, "notifications/initialized"))
		mcp_listen(c);
	weft_message_fini(message);
	return err;
}

/* ---- life ---- */

void mcp_end(struct mcp_client *c, weft_err err, const char *text)
{
	rt_lock_acquire(&c->lock);
	if (!c->end_err) {
		c->end_err = err;
		(void)snprintf(c->end_text, sizeof(c->end_text), "%s", text);
		word_put(&c->ended_word, 1);
	}
	rt_lock_release(&c->lock);
	weft_cancel_trigger(c->ending, WEFT_OK);
}

/* The server need not wait for the session's time-out. */
static void say_goodbye(struct mcp_client *c)
{
	weft_http_request request = c->remote->request;
	weft_http_response *response = NULL;
	weft_http_fields *fields = NULL;

	if (!c->session || c->end_err == WEFT_ERESET || word_get(&c->mode) == MCP_MODE_SSE)
		return;
	if (!mcp_fields(&fields, c, NULL)) {
		request.method = "DELETE";
		request.url_parsed = &c->remote->url;
		request.fields = fields;
		(void)!weft_http_client_send(
			c->remote->http, &request, &response, weft_after_ns(GOODBYE_NS));
	}
	weft_http_response_free(response);
	weft_http_fields_free(fields);
}

static weft_err life_fiber(void *arg)
{
	struct mcp_client *c = arg;

	(void)!weft_cancel_wait(c->ending, WEFT_FOREVER);
	weft_shield_begin();
	if (!word_get(&c->ended_word))
		mcp_end(c, WEFT_ECLOSED, "");
	weft_scope_cancel(c->posts);
	(void)!weft_scope_wait(c->posts, WEFT_FOREVER);
	weft_transport_deliver_end(c->transport, c->end_err, c->end_text);
	say_goodbye(c);
	weft_shield_end();
	return WEFT_OK;
}

static weft_err client_start(void *user, weft_transport *transport)
{
	struct mcp_client *c = user;

	(void)transport;
	return weft_scope_spawn(c->life, "mcp session", life_fiber, c);
}

static void client_close(void *user)
{
	mcp_end(user, WEFT_ECLOSED, "");
}

static void client_free(void *user)
{
	struct mcp_client *c = user;

	(void)!weft_scope_wait(c->life, WEFT_FOREVER);
	weft_scope_free(c->life);
	weft_scope_free(c->posts);
	weft_cancel_unref(c->opened);
	weft_cancel_unref(c->ending);
	weft_http_url_fini(&c->endpoint);
	mem_free(c->session);
	mem_free(c->version);
	mem_free(c);
}

static const weft_transport_ops client_ops = {
	.kind = "http",
	.start = client_start,
	.send_own = client_send,
	.close = client_close,
	.free = client_free,
};

static weft_err client_make(struct mcp_client *c, const struct mcp_remote *remote)
{
	weft_err err = weft_cancel_create(&c->ending, NULL);

	c->remote = remote;
	list_init(&c->in_post);
	if (!err)
		err = weft_cancel_create(&c->opened, NULL);
	if (!err)
		err = rt_scope_create_root(&c->life);
	return err ? err : rt_scope_create_root(&c->posts);
}

static weft_err remote_connect(void *user, weft_transport **out, weft_deadline until)
{
	const struct mcp_remote *remote = user;
	struct mcp_client *c = mem_calloc(1, sizeof(*c));
	char name[MCP_REASON_MAX];
	weft_err err;

	(void)until; /* the first message connects */
	if (!c)
		return err_set(WEFT_ENOMEM);
	err = client_make(c, remote);
	(void)weft_http_url_format(&remote->url, name, sizeof(name));
	if (!err)
		err = weft_transport_create(
			&c->transport, &client_ops, c, name, &remote->options.transport);
	if (err) {
		weft_scope_free(c->life);
		weft_scope_free(c->posts);
		weft_cancel_unref(c->opened);
		weft_cancel_unref(c->ending);
		mem_free(c);
		return err;
	}
	if (remote->options.era == WEFT_MCP_SSE)
		transport_set_kind(c->transport, "sse");
	*out = c->transport;
	return WEFT_OK;
}

/* ---- the outgoing ---- */

static void remote_free(void *user)
{
	struct mcp_remote *remote = user;

	weft_http_client_unref(remote->http);
	weft_http_url_fini(&remote->url);
	mem_free(remote);
}

static weft_err options_fill(struct mcp_remote *remote, const weft_mcp_client_options *options)
{
	static const weft_mcp_client_options defaults = WEFT_MCP_CLIENT_OPTIONS_DEFAULT;
	weft_mcp_client_options *o = &remote->options;
	weft_transport_options transport;
	weft_err err;

	*o = options ? *options : defaults;
	remote->request = o->request ? *o->request : (weft_http_request)WEFT_HTTP_REQUEST_DEFAULT;
	if (remote->request.url || remote->request.url_parsed || remote->request.method ||
		remote->request.body || remote->request.body_read)
		return err_setf(WEFT_EINVAL, "request: url, method and body are not for setting");
	err = transport_options_fill(&transport, &o->transport);
	if (err)
		return err_wrap(err, "transport");
	o->transport = transport;
	remote->pool = transport.pool;
	if (o->response_timeout_ns < 0)
		return err_setf(WEFT_EINVAL, "response_timeout_ns: negative");
	if (o->idle_timeout_ns == 0)
		o->idle_timeout_ns = IDLE_DEFAULT_NS;
	if (o->attempts_max == 0)
		o->attempts_max = ATTEMPTS_DEFAULT;
	if (o->requests_max == 0)
		o->requests_max = REQUESTS_DEFAULT;
	return WEFT_OK;
}

weft_err weft_outgoing_mcp(weft_outgoing **out, weft_http_client *http, const char *url,
	const weft_mcp_client_options *options)
{
	static const weft_outgoing_ops ops = { remote_connect, remote_free };
	static const char sse[] = "sse+";
	struct mcp_remote *remote = mem_calloc(1, sizeof(*remote));
	weft_err err;

	if (!remote)
		return err_set(WEFT_ENOMEM);
	err = options_fill(remote, options);
	if (!err && strncmp(url, sse, strlen(sse)) == 0) {
		url += strlen(sse);
		remote->options.era = WEFT_MCP_SSE;
	}
	if (!err)
		err = weft_http_url_parse(&remote->url, url);
	if (!err) {
		char name[MCP_REASON_MAX];

		remote->http = weft_http_client_ref(http);
		(void)weft_http_url_format(&remote->url, name, sizeof(name));
		err = weft_outgoing_create(out, &ops, remote, name);
	}
	if (err)
		remote_free(remote);
	return err;
}
