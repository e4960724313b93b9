/* SPDX-License-Identifier: MIT */
/* Event streams of an MCP server; see mcp_client.h. */
#include "bridge/mcp_client.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define READ_SIZE ((size_t)16384)
#define END_NS INT64_C(1000000000)   /* that a stream has to end after its answer */
#define RETRY_NS INT64_C(1000000000) /* until the server says another */
#define FIELD_MAX ((size_t)(MCP_REASON_MAX - 1))

static weft_sse_options parser_options(const struct mcp_client *c)
{
	weft_sse_options options = WEFT_SSE_OPTIONS_DEFAULT;

	options.event_max = c->remote->options.transport.message_size_max;
	options.line_max = options.event_max + 1024;
	options.field_max = FIELD_MAX;
	return options;
}

static bool is_message(const weft_sse_event *event)
{
	return event->kind == WEFT_SSE_MESSAGE && event->data_len > 0 &&
		strcmp(event->type, "message") == 0;
}

/* False: no memory. */
static bool message_of(const struct mcp_client *c, weft_message *out, const weft_sse_event *event)
{
	const weft_transport_options *o = &c->remote->options.transport;
	weft_json_limits limits = { o->message_size_max, o->depth_max };

	return weft_message_copy(out, o->pool, event->data, event->data_len, &limits) == WEFT_OK;
}

static weft_deadline idle_until(const struct mcp_client *c)
{
	int64_t idle_ns = c->remote->options.idle_timeout_ns;

	return idle_ns > 0 ? weft_after_ns(idle_ns) : WEFT_FOREVER;
}

/* ---- the stream of a request ---- */

static void too_large(struct mcp_post *p)
{
	if (p->is_answered)
		return;
	p->is_answered = true;
	mcp_answer(p->client, p->message.rpc.id, MCP_LOST, (weft_json){ NULL, 0 },
		"a message of the server's is larger than may be");
}

/* What the bytes hold. */
static weft_err bytes_take(
	struct mcp_post *p, weft_sse_parser *parser, const uint8_t *data, size_t len)
{
	weft_sse_event event;
	weft_err err;

	for (;;) {
		err = weft_sse_parser_next(parser, &data, &len, &event);
		if (err == WEFT_EMSGSIZE) {
			too_large(p);
			continue;
		}
		if (err || event.kind == WEFT_SSE_NONE)
			break;
		if (is_message(&event)) {
			weft_message message;

			if (!message_of(p->client, &message, &event))
				return err_set(WEFT_ENOMEM);
			mcp_take(p, &message);
		}
	}
	(void)snprintf(p->last_id, sizeof(p->last_id), "%s", weft_sse_parser_last_id(parser));
	if (weft_sse_parser_retry_ms(parser) >= 0)
		p->retry_ns = weft_sse_parser_retry_ms(parser) * 1000000;
	return err;
}

static weft_err stream_read(
	struct mcp_post *p, weft_sse_parser *parser, weft_http_response *response, uint8_t *data)
{
	weft_deadline end = WEFT_FOREVER;
	weft_err err;
	size_t got;

	for (;;) {
		weft_deadline idle = idle_until(p->client);

		/* to its end, so that the connection can be used again */
		if (p->is_answered && end == WEFT_FOREVER)
			end = weft_after_ns(END_NS);
		err = weft_http_response_read(
			response, data, READ_SIZE, &got, idle < end ? idle : end);
		if (!err)
			err = bytes_take(p, parser, data, got);
		if (err)
			return err;
	}
}

bool mcp_stream_read(struct mcp_post *post, weft_http_response *response)
{
	weft_sse_options options = parser_options(post->client);
	weft_sse_parser *parser = NULL;
	uint8_t *data = mem_alloc(READ_SIZE);
	weft_err err = data ? weft_sse_parser_create(&parser, &options) : err_set(WEFT_ENOMEM);

	if (!err)
		err = stream_read(post, parser, response, data);
	if (err == WEFT_ENOMEM)
		mcp_end(post->client, WEFT_ENOMEM, "no memory for a message that came");
	weft_sse_parser_free(parser);
	mem_free(data);
	return post->is_answered;
}

/* ---- streams that are opened by GET ---- */

/* What such a stream is opened with. */
struct get {
	weft_http_request request;
	weft_http_fields *fields;
	weft_sse_client_options options;
};

static weft_err get_init(struct get *g, struct mcp_client *c)
{
	weft_err err = mcp_fields(&g->fields, c, NULL);

	g->request = c->remote->request;
	g->request.fields = g->fields;
	g->options = (weft_sse_client_options)WEFT_SSE_CLIENT_OPTIONS_DEFAULT;
	g->options.request = &g->request;
	g->options.retry_ns = RETRY_NS;
	g->options.parser = parser_options(c);
	g->options.connect_timeout_ns = c->remote->options.transport.connect_timeout_ns;
	if (c->remote->options.idle_timeout_ns > 0)
		g->options.idle_timeout_ns = c->remote->options.idle_timeout_ns;
	return err;
}

static weft_err get_open(weft_sse_client **out, struct get *g, const struct mcp_client *c)
{
	char url[1024];

	if (weft_http_url_format(&c->remote->url, url, sizeof(url)) >= sizeof(url))
		return err_setf(WEFT_EINVAL, "the URL is too long");
	return weft_sse_client_open(out, c->remote->http, url, &g->options,
		weft_after_ns(g->options.connect_timeout_ns));
}

/* The answer is still to come: from the event after the last one on. */
static void resume(struct mcp_post *p, weft_sse_client *stream)
{
	weft_sse_event event;

	while (!p->is_answered) {
		weft_err err = weft_sse_client_next(stream, &event, WEFT_FOREVER);
		weft_message message;

		if (err == WEFT_EMSGSIZE)
			too_large(p);
		if (err == WEFT_ERESET || err == WEFT_EMSGSIZE)
			continue;
		if (err || (is_message(&event) && !message_of(p->client, &message, &event)))
			return;
		if (is_message(&event))
			mcp_take(p, &message);
	}
}

void mcp_stream_resume(struct mcp_post *post)
{
	struct mcp_client *c = post->client;
	weft_sse_client *stream = NULL;
	weft_err err = WEFT_ERESET;
	struct get g;

	if (!*post->last_id || word_get(&c->mode) == MCP_MODE_STATELESS || get_init(&g, c))
		return;
	g.options.last_event_id = post->last_id;
	g.options.attempts_max = c->remote->options.attempts_max;
	if (post->retry_ns >= 0)
		g.options.retry_ns = post->retry_ns > 0 ? post->retry_ns : 1;
	for (unsigned i = 0; err && i < g.options.attempts_max; i++) {
		if (weft_sleep_ns(g.options.retry_ns))
			break;
		err = get_open(&stream, &g, c);
		if (err == WEFT_EAUTH || err == WEFT_ENOTFOUND || err == WEFT_EREFUSED)
			break;
	}
	if (!err)
		resume(post, stream);
	weft_sse_client_free(stream);
	weft_http_fields_free(g.fields);
}

/* ---- the server's own messages ---- */

/* Until it is over; its error. */
static weft_err events_take(struct mcp_client *c, weft_sse_client *stream, bool reconnects)
{
	weft_sse_event event;

	for (;;) {
		weft_err err = weft_sse_client_next(stream, &event, WEFT_FOREVER);
		weft_message message;

		if (err == WEFT_EMSGSIZE || (err == WEFT_ERESET && reconnects))
			continue;
		if (err)
			return err;
		if (!is_message(&event))
			continue;
		if (!message_of(c, &message, &event)) {
			mcp_end(c, WEFT_ENOMEM, "no memory for a message that came");
			return err_set(WEFT_ENOMEM);
		}
		mcp_deliver(c, &message);
	}
}

/* A server need not have such a stream: then there is none. */
static weft_err listen_fiber(void *arg)
{
	struct mcp_client *c = arg;
	weft_sse_client *stream = NULL;
	struct get g;

	if (get_init(&g, c))
		return WEFT_OK;
	if (!get_open(&stream, &g, c))
		(void)!events_take(c, stream, true);
	weft_sse_client_free(stream);
	weft_http_fields_free(g.fields);
	return WEFT_OK;
}

void mcp_listen(struct mcp_client *c)
{
	if (word_get(&c->mode) != MCP_MODE_SESSIONS || word_swap(&c->is_listening, 1))
		return;
	/* without memory for it the session goes on without */
	(void)!weft_scope_spawn(c->posts, "mcp stream", listen_fiber, c);
}

/* ---- HTTP+SSE ---- */

/* The first event says where to post to; only the same server may be named (the server could make us
 * send our credentials elsewhere). */
static weft_err endpoint_take(struct mcp_client *c, weft_sse_client *stream)
{
	weft_deadline until = weft_after_ns(c->remote->options.transport.connect_timeout_ns);
	weft_sse_event event;
	char *reference;
	weft_err err = weft_sse_client_next(stream, &event, until);

	if (err)
		return err;
	if (event.kind != WEFT_SSE_MESSAGE || strcmp(event.type, "endpoint") != 0)
		return err_setf(WEFT_EPROTO, "the stream does not begin with an endpoint event");
	reference = mem_strndup(event.data, event.data_len);
	if (!reference)
		return err_set(WEFT_ENOMEM);
	err = weft_http_url_resolve(&c->endpoint, &c->remote->url, reference);
	mem_free(reference);
	if (!err && !weft_http_url_same_origin(&c->endpoint, &c->remote->url))
		err = err_setf(WEFT_EPROTO, "the endpoint is of another origin: refused");
	return err;
}

static void opened(struct mcp_client *c, weft_err err)
{
	c->sse_err = err;
	if (err)
		(void)snprintf(c->sse_text, sizeof(c->sse_text), "%s", weft_error_detail());
	else
		(void)word_swap(&c->mode, MCP_MODE_SSE);
	weft_cancel_trigger(c->opened, WEFT_OK);
}

static weft_err sse_fiber(void *arg)
{
	struct mcp_client *c = arg;
	weft_sse_client *stream = NULL;
	struct get g = { .fields = NULL };
	weft_err err = get_init(&g, c);

	if (!err)
		err = get_open(&stream, &g, c);
	if (!err)
		err = endpoint_take(c, stream);
	opened(c, err);
	if (!err) {
		err = events_take(c, stream, false);
		if (err != WEFT_ECANCELED)
			mcp_end(c, WEFT_ERESET, weft_error_detail());
	}
	weft_sse_client_free(stream);
	weft_http_fields_free(g.fields);
	return WEFT_OK;
}

weft_err mcp_sse_open(struct mcp_client *c, weft_deadline until)
{
	weft_err err = WEFT_OK;

	if (!word_swap(&c->is_opening, 1)) {
		err = weft_scope_spawn(c->posts, "mcp stream", sse_fiber, c);
		if (err) {
			opened(c, err);
			return err;
		}
	}
	err = weft_cancel_wait(c->opened, until);
	if (!err && c->sse_err)
		err = err_setf(c->sse_err, "%s", c->sse_text);
	return err;
}
