/* SPDX-License-Identifier: MIT */
/* See mcp_client.h. */
#include "bridge/mcp_client.h"

#include "base/err.h"
#include "base/mem.h"
#include "bridge/message.h"
#include "bridge/transport.h"
#include "rt/rt.h"

#include <stdio.h>
#include <string.h>

#define ATTEMPTS_DEFAULT 5
#define REQUESTS_DEFAULT 1000
#define REDIRECTS 10
#define GOODBYE_NS INT64_C(2000000000) /* for the DELETE of a session */

/* ---- messages ---- */

bool mcp_is_initialize(const weft_message *message)
{
	return message->rpc.kind == WEFT_JSONRPC_REQUEST &&
		weft_json_string_is(message->rpc.method, "initialize");
}

bool mcp_is_stateless(const struct mcp_client *c, const weft_message *message)
{
	switch (c->remote->options.era) {
	case WEFT_MCP_STATELESS:
		return true;
	case WEFT_MCP_AUTO:
		return message_is_stateless(&message->rpc);
	case WEFT_MCP_SESSIONS:
	case WEFT_MCP_SSE:
		break;
	}
	return false;
}

weft_deadline mcp_connect_until(const struct mcp_client *c)
{
	return weft_after_ns(c->remote->options.transport.connect_timeout_ns);
}

weft_json_limits mcp_limits(const struct mcp_client *c)
{
	const weft_transport_options *o = &c->remote->options.transport;

	return (weft_json_limits){ o->message_size_max, o->depth_max };
}

/* ---- what the server said ---- */

bool mcp_has_session(struct mcp_client *c)
{
	bool has_session;

	rt_lock_acquire(&c->lock);
	has_session = c->session != NULL;
	rt_lock_release(&c->lock);
	return has_session;
}

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

weft_err mcp_begin_session(
	struct mcp_client *c, const weft_http_response *response, bool *has_begun)
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
		*has_begun = true;
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

weft_err mcp_await_greeting(struct mcp_client *c, weft_deadline until)
{
	return word_get(&c->is_greeting) ? weft_cancel_wait(c->greeted, until) : WEFT_OK;
}

/* ---- sending ---- */

static weft_err over(struct mcp_client *c)
{
	char text[MCP_REASON_MAX];
	weft_err err;

	rt_lock_acquire(&c->lock);
	err = c->end_err ? c->end_err : WEFT_ECLOSED;
	(void)snprintf(text, sizeof(text), "%s", *c->end_text ? c->end_text : "closed");
	rt_lock_release(&c->lock);
	return err_setf(err, "%s: %s", c->remote->url_text, text);
}

static weft_deadline until_of(const struct mcp_client *c, const weft_message *message)
{
	int64_t timeout_ns = c->remote->options.response_timeout_ns;

	/* its answer comes when it has ended */
	if (!timeout_ns || weft_json_string_is(message->rpc.method, "subscriptions/listen"))
		return WEFT_FOREVER;
	return weft_after_ns(timeout_ns);
}

/* message is taken on success. */
static weft_err post_make(struct mcp_post **out, struct mcp_client *c, weft_message *message)
{
	struct mcp_post *p = mem_calloc(1, sizeof(*p));
	weft_err err;

	if (!p)
		return err_set(WEFT_ENOMEM);
	err = weft_cancel_create(&p->token, NULL);
	if (err) {
		mem_free(p);
		return err;
	}
	p->client = c;
	p->retry_ns = -1;
	p->until = until_of(c, message);
	p->is_stateless = mcp_is_stateless(c, message);
	weft_message_move(&p->message, message);
	rt_lock_acquire(&c->lock);
	list_push_back(&c->in_post, &p->node);
	rt_lock_release(&c->lock);
	*out = p;
	return WEFT_OK;
}

static weft_err send_request(struct mcp_client *c, weft_message *message)
{
	struct mcp_post *p = NULL;
	weft_err err;

	if (!counter_try_add(&c->in_flight, 1, c->remote->options.requests_max))
		return err_setf(WEFT_ECAPACITY, "%s: %zu requests are unanswered: no more",
			c->remote->url_text, c->remote->options.requests_max);
	if (mcp_is_initialize(message))
		word_put(&c->is_greeting, 1);
	err = post_make(&p, c, message);
	if (err) {
		(void)counter_sub(&c->in_flight, 1);
		return err;
	}
	err = weft_scope_spawn(c->posts, "mcp request", mcp_post_fiber, p);
	if (!err)
		return WEFT_OK;
	(void)mcp_claim(c, p);
	mcp_post_free(p);
	return err == WEFT_ECANCELED ? over(c) : err;
}

/*
 * Nobody waits for the answer any more: the request's response is closed, which a server without
 * sessions takes for the cancellation. One with sessions is told before.
 */
static weft_err send_cancel(struct mcp_client *c, const weft_message *message, weft_deadline until)
{
	weft_cancel *token = NULL;
	bool is_stateless;
	weft_err err = WEFT_OK;

	if (!mcp_claim_id(c, message->rpc.request_id, &token, &is_stateless))
		return WEFT_OK; /* it was answered */
	if (!is_stateless)
		err = mcp_post_note(c, message, until);
	weft_cancel_trigger(token, WEFT_ECANCELED);
	weft_cancel_unref(token);
	return err;
}

static weft_err send_other(struct mcp_client *c, const weft_message *message, weft_deadline until)
{
	bool is_initialized = weft_json_string_is(message->rpc.method, "notifications/initialized");
	weft_err err;

	if (message->rpc.kind == WEFT_JSONRPC_BATCH)
		return err_setf(WEFT_EINVAL, "%s: a batch: its messages are to be sent one by one",
			c->remote->url_text);
	if (message->rpc.kind != WEFT_JSONRPC_NOTIFICATION &&
		c->remote->options.era == WEFT_MCP_STATELESS)
		return err_setf(WEFT_ENOTFOUND, "%s: a server without sessions asks nothing",
			c->remote->url_text);
	if (weft_json_string_is(message->rpc.method, "notifications/cancelled") &&
		message->rpc.request_id.text)
		return send_cancel(c, message, until);
	err = mcp_post_note(c, message, until);
	if (!err && is_initialized)
		mcp_listen(c);
	return err;
}

static weft_err client_send(void *user, weft_message *message, weft_deadline until)
{
	struct mcp_client *c = user;
	weft_err err;

	if (word_get(&c->ended_word))
		err = over(c);
	else if (message->rpc.kind == WEFT_JSONRPC_REQUEST)
		err = send_request(c, message);
	else
		err = send_other(c, message, until);
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
	weft_cancel_trigger(c->ending, WEFT_ECLOSED);
}

/* Another initialize would be refused: the session has had one. */
void mcp_session_unheard(struct mcp_client *c)
{
	rt_lock_acquire(&c->lock);
	c->is_unheard = true;
	rt_lock_release(&c->lock);
	mcp_end(c, WEFT_ERESET,
		"the server began a session, and its answer to initialize was no result, or was lost");
}

void mcp_session_lost(struct mcp_client *c)
{
	mcp_end(c, WEFT_ERESET, "the server does not know the session any more (404)");
}

/* The server need not wait for the session's time-out. Nobody else is there any more. */
static void say_goodbye(struct mcp_client *c)
{
	weft_http_request request = c->remote->request;
	weft_http_response *response = NULL;
	weft_http_fields *fields = NULL;

	if (c->said_goodbye || !c->session || (c->end_err == WEFT_ERESET && !c->is_unheard))
		return;
	c->said_goodbye = true;
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
	mcp_end(c, WEFT_ECLOSED, ""); /* the runtime's end, if nobody else's */
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

	if (c->life)
		(void)!weft_scope_wait(c->life, WEFT_FOREVER);
	weft_scope_free(c->life);
	weft_scope_free(c->posts);
	say_goodbye(c); /* if it was never started */
	weft_mutex_free(c->opening);
	weft_cancel_unref(c->opened);
	weft_cancel_unref(c->ending);
	weft_cancel_unref(c->greeted);
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
		err = weft_cancel_create(&c->greeted, NULL);
	if (!err)
		err = weft_mutex_create(&c->opening);
	if (!err)
		err = rt_scope_create_root(&c->life);
	if (!err)
		err = rt_scope_create_root(&c->posts);
	if (!err)
		err = weft_transport_create(&c->transport, &client_ops, c, remote->url_text,
			&remote->options.transport);
	return err;
}

static weft_err remote_connect(void *user, weft_transport **out, weft_deadline until)
{
	const struct mcp_remote *remote = user;
	struct mcp_client *c = mem_calloc(1, sizeof(*c));
	weft_err err;

	if (!c)
		return err_set(WEFT_ENOMEM);
	err = client_make(c, remote);
	if (err) {
		client_free(c);
		return err;
	}
	/* otherwise the first message connects */
	if (remote->options.era == WEFT_MCP_SSE) {
		transport_set_kind(c->transport, "sse");
		err = mcp_sse_open(c, until);
	}
	if (err) {
		struct err_slot kept = { .err = WEFT_OK };

		err_slot_copy(&kept, err_slot_self());
		weft_transport_free(c->transport);
		err_slot_copy(err_slot_self(), &kept);
		err_slot_fini(&kept);
		return err;
	}
	*out = c->transport;
	return WEFT_OK;
}

/* ---- the outgoing ---- */

static void remote_free(void *user)
{
	struct mcp_remote *remote = user;

	weft_http_client_unref(remote->http);
	weft_http_url_fini(&remote->url);
	mcp_tools_free(remote->tools);
	mem_free(remote->url_text);
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
	if (!remote->request.redirects_max)
		remote->request.redirects_max = REDIRECTS;
	err = transport_options_fill(&transport, &o->transport);
	if (err)
		return err_wrap(err, "transport");
	o->transport = transport;
	if (o->era < WEFT_MCP_AUTO || o->era > WEFT_MCP_SSE)
		return err_setf(WEFT_EINVAL, "era: %d is none", (int)o->era);
	if (o->response_timeout_ns < 0)
		return err_setf(WEFT_EINVAL, "response_timeout_ns: negative");
	if (o->idle_timeout_ns < 0)
		return err_setf(WEFT_EINVAL, "idle_timeout_ns: negative");
	if (o->attempts_max == 0)
		o->attempts_max = ATTEMPTS_DEFAULT;
	if (o->requests_max == 0)
		o->requests_max = REQUESTS_DEFAULT;
	return WEFT_OK;
}

static weft_err url_take(struct mcp_remote *remote, const char *url)
{
	static const char sse[] = "sse+";
	char none[1];
	size_t size;
	weft_err err;

	if (strncmp(url, sse, strlen(sse)) == 0) {
		url += strlen(sse);
		remote->options.era = WEFT_MCP_SSE;
	}
	err = weft_http_url_parse(&remote->url, url);
	if (err)
		return err;
	if (remote->url.userinfo)
		return err_setf(WEFT_EINVAL, "%s: userinfo in the URL is not for setting",
			remote->url.authority);
	size = weft_http_url_format(&remote->url, none, sizeof(none)) + 1;
	remote->url_text = mem_alloc(size);
	if (!remote->url_text)
		return err_set(WEFT_ENOMEM);
	(void)weft_http_url_format(&remote->url, remote->url_text, size);
	return WEFT_OK;
}

weft_err weft_outgoing_mcp(weft_outgoing **out, weft_http_client *http, const char *url,
	const weft_mcp_client_options *options)
{
	static const weft_outgoing_ops ops = { remote_connect, remote_free };
	struct mcp_remote *remote = mem_calloc(1, sizeof(*remote));
	weft_err err;

	if (!remote)
		return err_set(WEFT_ENOMEM);
	err = options_fill(remote, options);
	if (!err)
		err = url_take(remote, url);
	if (!err)
		err = mcp_tools_create(&remote->tools);
	if (!err) {
		remote->http = weft_http_client_ref(http);
		err = weft_outgoing_create(out, &ops, remote, remote->url_text);
	}
	if (err)
		remote_free(remote);
	return err;
}
