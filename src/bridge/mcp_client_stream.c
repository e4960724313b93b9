/* SPDX-License-Identifier: MIT */
/* Event streams of an MCP server; see mcp_client.h. */
#include "base/err.h"
#include "base/mem.h"
#include "bridge/mcp_client.h"

#include <weft/log.h>

#include <stdio.h>
#include <string.h>

#define READ_SIZE ((size_t)16384)
#define END_NS INT64_C(1000000000)   /* that a stream has to end after its answer */
#define RETRY_NS INT64_C(1000000000) /* until the server says another */

static weft_sse_options parser_options(const struct mcp_client *c)
{
	weft_sse_options options = WEFT_SSE_OPTIONS_DEFAULT;

	options.event_max = c->remote->options.transport.message_size_max;
	options.line_max = options.event_max + 1024;
	return options;
}

/* One without data only tells its id. */
static bool is_message(const weft_sse_event *event)
{
	return event->kind == WEFT_SSE_MESSAGE && event->data_len > 0 &&
		strcmp(event->type, "message") == 0;
}

static weft_deadline idle_until(const struct mcp_client *c)
{
	int64_t idle_ns = c->remote->options.idle_timeout_ns;

	return idle_ns ? weft_after_ns(idle_ns) : WEFT_FOREVER;
}

/* ---- streams that are opened by GET ---- */

/* One that is opened again while that may help. */
struct get {
	struct mcp_client *c;
	struct mcp_post *post; /* whose answer is still to come; NULL: the session's own stream */
	weft_deadline until;
	bool was_open;
	weft_http_request request;
	weft_http_fields *fields;
	weft_sse_client_options options; /* last_event_id is owned */
};

static void get_fini(struct get *g)
{
	char *last_id = (char *)(uintptr_t)g->options.last_event_id;

	mem_free(last_id);
	weft_http_fields_free(g->fields);
}

static weft_err get_init(struct get *g, struct mcp_client *c, struct mcp_post *post)
{
	const weft_mcp_client_options *o = &c->remote->options;

	memset(g, 0, sizeof(*g));
	g->c = c;
	g->post = post;
	g->until = post ? post->until : WEFT_FOREVER;
	g->request = c->remote->request;
	g->options = (weft_sse_client_options)WEFT_SSE_CLIENT_OPTIONS_DEFAULT;
	g->options.request = &g->request;
	g->options.retry_ns = RETRY_NS;
	g->options.parser = parser_options(c);
	g->options.connect_timeout_ns = o->transport.connect_timeout_ns;
	g->options.idle_timeout_ns = o->idle_timeout_ns;
	g->options.attempts_max = o->attempts_max;
	if (mcp_fields(&g->fields, c, NULL))
		return WEFT_ENOMEM;
	g->request.fields = g->fields;
	return WEFT_OK;
}

static weft_err get_open(weft_sse_client **out, struct get *g, weft_deadline until)
{
	weft_deadline at_last = mcp_connect_until(g->c);

	return weft_sse_client_open(out, g->c->remote->http, g->c->remote->url_text, &g->options,
		until < at_last ? until : at_last);
}

/* Until the answer is there, or it is over: its error. reconnects: a loss need not be the end. */
static weft_err events_take(struct get *g, weft_sse_client *stream, bool reconnects)
{
	weft_sse_event event;

	while (!g->post || !g->post->is_answered) {
		weft_err err = weft_sse_client_next(stream, &event, g->until);

		if (err == WEFT_EMSGSIZE)
			mcp_take_oversize(g->c, g->post);
		else if (err && (err != WEFT_ERESET || !reconnects))
			return err;
		if (!err && is_message(&event))
			err = mcp_take_text(g->c, g->post, event.data, event.data_len);
		if (err == WEFT_ENOMEM)
			return err;
	}
	return WEFT_OK;
}

/* Where the next one is to go on. */
static void keep_place(struct get *g, const weft_sse_client *stream)
{
	char *old = (char *)(uintptr_t)g->options.last_event_id;
	char *id = mem_strdup(weft_sse_client_last_id(stream));

	if (!id)
		return;
	mem_free(old);
	g->options.last_event_id = id;
}

/* What another attempt may change: the server can't be reached, or does not want to just now. */
static bool is_passing(weft_err err)
{
	return err == WEFT_ERESET || err == WEFT_ETIMEDOUT || err == WEFT_EREFUSED ||
		err == WEFT_EUNREACH || err == WEFT_ERESOLVE;
}

/* is_again: it begins with a wait, as the server said. Errors: why it is over. */
static weft_err follow(struct get *g, bool is_again)
{
	unsigned failures = 0;
	weft_err err = WEFT_OK;

	for (;;) {
		weft_sse_client *stream = NULL;
		weft_deadline next = weft_after_ns(g->options.retry_ns);

		if (is_again)
			err = weft_sleep_until(next < g->until ? next : g->until);
		is_again = true;
		if (!err)
			err = get_open(&stream, g, g->until);
		if (!err) {
			g->was_open = true;
			failures = 0;
			err = events_take(g, stream, true);
			keep_place(g, stream);
		}
		weft_sse_client_free(stream);
		if (!is_passing(err) || weft_now() >= g->until ||
			++failures >= g->options.attempts_max)
			return err;
	}
}

/* ---- the stream of a request ---- */

/* What the bytes hold. */
static weft_err bytes_take(
	struct mcp_post *p, weft_sse_parser *parser, const uint8_t *data, size_t len)
{
	weft_sse_event event;
	weft_err err;

	for (;;) {
		err = weft_sse_parser_next(parser, &data, &len, &event);
		if (err == WEFT_EMSGSIZE) {
			mcp_take_oversize(p->client, p);
			continue;
		}
		if (err || event.kind == WEFT_SSE_NONE)
			return err;
		if (is_message(&event))
			err = mcp_take_text(p->client, p, event.data, event.data_len);
		if (err)
			return err;
	}
}

/* To its end, so that the connection can be used again. */
static weft_err stream_read(
	struct mcp_post *p, weft_sse_parser *parser, weft_http_response *response, uint8_t *data)
{
	weft_deadline end = p->until;
	bool is_answered = false;
	weft_err err;
	size_t got;

	for (;;) {
		weft_deadline idle = idle_until(p->client);

		if (p->is_answered && !is_answered) {
			is_answered = true;
			end = weft_after_ns(END_NS);
		}
		err = weft_http_response_read(
			response, data, READ_SIZE, &got, idle < end ? idle : end);
		if (err == WEFT_ETIMEDOUT && idle < end)
			err = err_setf(err, "no byte for %lld ms",
				(long long)(p->client->remote->options.idle_timeout_ns / 1000000));
		if (!err)
			err = bytes_take(p, parser, data, got);
		if (err)
			return err;
	}
}

static void keep_end(struct mcp_post *p, const weft_sse_parser *parser)
{
	const char *id = weft_sse_parser_last_id(parser);
	int64_t retry_ms = weft_sse_parser_retry_ms(parser);

	if (*id)
		p->last_id = mem_strdup(id);
	if (retry_ms > WEFT_SSE_RETRY_MAX_NS / 1000000)
		retry_ms = WEFT_SSE_RETRY_MAX_NS / 1000000;
	if (retry_ms >= 0)
		p->retry_ns = retry_ms * 1000000;
}

/* Goes on with a stream that broke; why: as it did. */
static weft_err resume(struct mcp_post *p, const char *why)
{
	struct mcp_client *c = p->client;
	struct get g;
	weft_err err = get_init(&g, c, p);

	g.options.last_event_id = p->last_id;
	p->last_id = NULL;
	if (p->retry_ns >= 0)
		g.options.retry_ns = p->retry_ns > 0 ? p->retry_ns : 1;
	if (!err)
		err = follow(&g, true);
	get_fini(&g);
	if (err == WEFT_ENOTFOUND && mcp_has_session(c)) {
		(void)mcp_claim(c, p);
		mcp_session_lost(c);
		return WEFT_OK;
	}
	if (!err || err == WEFT_ECANCELED)
		return err;
	return err_setf(err,
		"the stream broke before the answer (%s), and was not to be resumed: %s", why,
		weft_error_detail());
}

weft_err mcp_stream_read(struct mcp_post *post, weft_http_response *response)
{
	weft_sse_options options = parser_options(post->client);
	weft_sse_parser *parser = NULL;
	char why[MCP_REASON_MAX];
	uint8_t *data = mem_alloc(READ_SIZE);
	weft_err err = data ? weft_sse_parser_create(&parser, &options) : err_set(WEFT_ENOMEM);

	if (!err)
		err = stream_read(post, parser, response, data);
	if (!post->is_answered && parser && !post->is_stateless)
		keep_end(post, parser);
	weft_sse_parser_free(parser);
	mem_free(data);
	if (!post->is_answered && err == WEFT_ECLOSED && post->is_stateless &&
		weft_json_string_is(post->message.rpc.method, "subscriptions/listen"))
		mcp_unsubscribed(post);
	if (post->is_answered)
		return WEFT_OK;
	if (err == WEFT_ECANCELED || err == WEFT_ENOMEM || weft_now() >= post->until)
		return err;
	(void)snprintf(why, sizeof(why), "%s",
		err == WEFT_ECLOSED ? "the server ended it" : weft_error_detail());
	if (post->last_id)
		return resume(post, why);
	return err_setf(err == WEFT_ECLOSED ? WEFT_ERESET : err,
		"%s: the stream broke before the answer: %s", post->client->remote->url_text, why);
}

/* ---- the server's own messages ---- */

/* A server need not have such a stream. One that was there must not be lost in silence. */
static weft_err listen_fiber(void *arg)
{
	struct mcp_client *c = arg;
	char text[MCP_REASON_MAX];
	struct get g;
	weft_err err = get_init(&g, c, NULL);

	if (!err)
		err = follow(&g, false);
	if (err == WEFT_ENOTFOUND && g.was_open && mcp_has_session(c)) {
		mcp_session_lost(c);
	} else if (err == WEFT_ENOMEM ||
		(g.was_open && err != WEFT_ECANCELED && err != WEFT_ECLOSED)) {
		(void)snprintf(text, sizeof(text),
			"the stream of the server's messages is lost: %s", weft_error_detail());
		mcp_end(c, WEFT_ERESET, text);
	} else if (err != WEFT_ECANCELED) {
		weft_log(WEFT_LOG_DEBUG, "mcp", "no stream of the server's messages: %s",
			weft_error_detail());
	}
	get_fini(&g);
	return WEFT_OK;
}

void mcp_listen(struct mcp_client *c)
{
	if (word_get(&c->mode) != MCP_MODE_SESSIONS || word_swap(&c->is_listening, 1))
		return;
	if (weft_scope_spawn(c->posts, "mcp stream", listen_fiber, c) == WEFT_ENOMEM)
		mcp_end(c, WEFT_ENOMEM, "no memory for the stream of the server's messages");
}

/* ---- HTTP+SSE ---- */

/* The first event says where to post to; only the same server may be named (the server could make us
 * send our credentials elsewhere). */
static weft_err endpoint_take(struct mcp_client *c, weft_sse_client *stream)
{
	weft_http_url url = { .is_https = false };
	weft_sse_event event;
	char *reference;
	weft_err err = weft_sse_client_next(stream, &event, c->open_until);

	if (err)
		return err == WEFT_ETIMEDOUT ? err_wrap(err, "waiting for the endpoint event")
					     : err;
	if (event.kind != WEFT_SSE_MESSAGE || strcmp(event.type, "endpoint") != 0)
		return err_setf(WEFT_EPROTO, "the stream does not begin with an endpoint event");
	reference = mem_strndup(event.data, event.data_len);
	if (!reference)
		return err_set(WEFT_ENOMEM);
	err = weft_http_url_resolve(&url, &c->remote->url, reference);
	mem_free(reference);
	if (err)
		return err_wrap(err, "the endpoint event");
	if (weft_http_url_same_origin(&url, &c->remote->url) && !url.userinfo) {
		c->endpoint = url;
		return WEFT_OK;
	}
	weft_http_url_fini(&url);
	return err_setf(WEFT_EPROTO, "the endpoint is of another origin: refused");
}

/* err: with its detail, if it is one. */
static void opened(struct mcp_client *c, weft_err err)
{
	c->open_err = err;
	if (err)
		(void)snprintf(c->open_text, sizeof(c->open_text), "%s", weft_error_detail());
	else
		(void)word_swap(&c->mode, MCP_MODE_SSE);
	weft_cancel_trigger(c->opened, WEFT_ECLOSED);
}

static weft_err sse_fiber(void *arg)
{
	struct mcp_client *c = arg;
	weft_sse_client *stream = NULL;
	struct get g;
	weft_err err = get_init(&g, c, NULL);

	if (!err)
		err = get_open(&stream, &g, c->open_until);
	if (!err)
		err = endpoint_take(c, stream);
	opened(c, err);
	if (!err) {
		err = events_take(&g, stream, false);
		if (err != WEFT_ECANCELED)
			mcp_end(c, err == WEFT_ENOMEM ? err : WEFT_ERESET, weft_error_detail());
	}
	weft_sse_client_free(stream);
	get_fini(&g);
	return WEFT_OK;
}

/* Once by the time: an attempt that failed may be made again. */
static weft_err open_locked(struct mcp_client *c, weft_deadline until)
{
	weft_deadline at_last = mcp_connect_until(c);
	weft_err err;

	if (word_get(&c->mode) == MCP_MODE_SSE)
		return WEFT_OK;
	c->open_until = until < at_last ? until : at_last;
	weft_cancel_unref(c->opened);
	c->opened = NULL;
	err = weft_cancel_create(&c->opened, NULL);
	if (!err)
		err = weft_scope_spawn(c->posts, "mcp stream", sse_fiber, c);
	if (err)
		return err;
	err = weft_cancel_wait(c->opened, WEFT_FOREVER);
	if (err) /* its fiber still has what the next attempt would use */
		mcp_end(c, WEFT_ERESET, "cancelled while the stream was opened");
	else if (c->open_err)
		err = err_setf(c->open_err, "%s", c->open_text);
	return err;
}

weft_err mcp_sse_open(struct mcp_client *c, weft_deadline until)
{
	weft_err err = weft_mutex_lock(c->opening, until);

	if (err)
		return err;
	err = open_locked(c, until);
	weft_mutex_unlock(c->opening);
	return err;
}
