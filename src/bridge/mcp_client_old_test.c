/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* MCP servers of before Streamable HTTP: HTTP+SSE, asked for or found out. */
#include "support/mcpweb.h"

#include <stdio.h>
#include <string.h>

#define MS INT64_C(1000000)

/* What is to go out over the stream; "": its end. */
struct line {
	char text[512];
};

static struct {
	weft_chan *lines;
	const char *endpoint;
	unsigned status; /* of a POST to where a server of today has its endpoint */
	const char *body;
	unsigned stream_status; /* 0: a stream */
} old;

/* '%' in it stands for the id. */
static void push(const char *text, const char *id)
{
	const char *at = strchr(text, '%');
	int before = at ? (int)(at - text) : (int)strlen(text);
	struct line line;

	snprintf(line.text, sizeof(line.text), "%.*s%s%s", before, text, at ? id : "",
		at ? at + 1 : "");
	want_ok(weft_chan_send(old.lines, &line, WEFT_FOREVER));
}

static weft_err pump(struct web_call *call)
{
	struct line line;
	weft_err err;

	do {
		err = weft_chan_recv(old.lines, &line, WEFT_FOREVER);
		if (!err && !*line.text)
			return WEFT_OK;
		if (!err)
			err = web_event(call, NULL, line.text);
	} while (!err);
	return err;
}

static weft_err old_stream(struct web *web, struct web_call *call)
{
	weft_sse_event event = { .type = "endpoint", .data = old.endpoint };
	weft_err err;

	want(!web_field(call, "Mcp-Session-Id"));
	want(web_text_is(web_field(call, "Accept"), "text/event-stream"));
	if (old.stream_status)
		return web_reply(call, old.stream_status, NULL, "");
	(void)web;
	event.data_len = strlen(event.data);
	err = weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER);
	if (!err)
		err = weft_http_exchange_sse_send(call->x, &event, WEFT_FOREVER);
	return err ? err : pump(call); /* it may have gone */
}

static weft_err old_post(struct web *web, struct web_call *call)
{
	if (web_is(call, "hold") || web_is(call, "notifications/cancelled"))
		(void)counter_add(&web->seen, 1);
	else if (web_is(call, "bad"))
		return web_reply(call, 400, "text/plain", "not like this");
	else if (web_is(call, "die"))
		push("", "");
	else if (web_is(call, "large"))
		push("{\"jsonrpc\":\"2.0\",\"method\":\"very large, as it looks, for such a limit\","
		     "\"params\":{\"a\":%}}",
			call->id);
	else if (web_is(call, "invalid"))
		push("{\"jsonrpc\":\"2.0\",\"id\":%,\"result\":1,\"error\":2}", call->id);
	else if (call->rpc.kind == WEFT_JSONRPC_REQUEST) {
		push("{\"jsonrpc\":\"2.0\",\"method\":\"m\"}", "");
		push("{\"jsonrpc\":\"2.0\",\"id\":77777,\"result\":{}}", "");
		push("{\"jsonrpc\":\"2.0\",\"id\":%,\"result\":{\"old\":true}}", call->id);
		push("{\"jsonrpc\":\"2.0\",\"id\":%,\"result\":{\"twice\":true}}", call->id);
	}
	return web_reply(call, 202, "text/plain", "Accepted");
}

static weft_err old_answer(struct web *web, struct web_call *call)
{
	if (web_is_http(call, "GET"))
		return old_stream(web, call);
	if (strncmp(weft_http_exchange_path(call->x), "/messages", 9) != 0)
		return web_reply(call, old.status, "application/json", old.body ? old.body : "");
	want(web_text_is(weft_http_exchange_query(call->x), "sessionId=1"));
	return old_post(web, call);
}

static void old_begin(struct web *web)
{
	memset(&old, 0, sizeof(old));
	old.endpoint = "/messages?sessionId=1";
	old.status = 405;
	want_ok(weft_chan_create(&old.lines, sizeof(struct line), 1000, NULL));
	web->also = "/messages";
	web_begin(web, old_answer);
}

static void old_end(struct web *web)
{
	web_end(web);
	weft_chan_unref(old.lines);
}

static void hears_old(struct web *web, int id)
{
	web_hears_call(web, "m");
	web_hears_result(web, id, "{\"old\":true}");
}

BOTH_TEST(messages_are_posted_and_answers_come_over_the_stream)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT, .scheme = "sse+http" };

	old_begin(&w);
	web_connect(&w);
	want(strcmp(weft_transport_kind(w.t), "sse") == 0);
	for (int i = 0; i < 3; i++) {
		web_ask(&w, i, i ? "echo" : "initialize", NULL);
		hears_old(&w, i);
		if (i == 0)
			web_say(&w,
				"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
	}
	web_ask(&w, 10, "bad", NULL);
	web_hears_error(&w, 10, -32000, "400 (Bad Request): not like this");
	web_ask(&w, 11, "invalid", NULL);
	web_hears_error(&w, 11, -32000, "no message");
	web_hears_nothing(&w);
	want(counter_get(&w.gets) == 1);
	web_drop(&w);
	want(counter_get(&w.deletes) == 0);
	old_end(&w);
	return WEFT_OK;
}

BOTH_TEST(a_stream_that_is_lost_ends_the_session_of_http_sse)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT, .scheme = "sse+http" };

	old_begin(&w);
	web_connect(&w);
	web_ask(&w, 1, "hold", NULL);
	web_wait(&w.seen, 1);
	web_ask(&w, 2, "die", NULL);
	web_hears_end(&w, WEFT_ERESET, "the server ended it");
	old_end(&w);
	return WEFT_OK;
}

BOTH_TEST(a_message_that_is_too_large_ends_the_session_if_it_may_be_an_answer)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT, .scheme = "sse+http" };

	w.options.transport.message_size_max = 64;
	old_begin(&w);
	web_connect(&w);
	web_ask(&w, 1, "large", NULL);
	web_hears_end(&w, WEFT_ERESET, "larger than 64 bytes");
	old_end(&w);
	return WEFT_OK;
}

BOTH_TEST(requests_over_http_sse_are_bounded_and_cancelled)
{
	static const char one_more[] = "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"echo\"}";
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT, .scheme = "sse+http" };
	weft_message m;

	w.options.requests_max = 2;
	old_begin(&w);
	web_connect(&w);
	web_ask(&w, 1, "hold", NULL);
	web_ask(&w, 2, "hold", NULL);
	web_wait(&w.seen, 2);
	want_ok(weft_message_copy(&m, NULL, one_more, sizeof(one_more) - 1, NULL));
	want_err(WEFT_ECAPACITY, weft_transport_send_own(w.t, &m, WEFT_FOREVER));
	web_say(&w,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":"
		"{\"requestId\":1}}");
	want(counter_get(&w.seen) == 3);
	web_ask(&w, 3, "echo", NULL);
	hears_old(&w, 3);
	old_end(&w);
	return WEFT_OK;
}

BOTH_TEST(requests_over_http_sse_may_be_late)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT, .scheme = "sse+http" };

	w.options.requests_max = 1;
	w.options.response_timeout_ns = weft_in_sim() ? 1000 * MS : 100 * MS;
	old_begin(&w);
	web_connect(&w);
	for (int i = 1; i <= 2; i++) { /* the first is not among those any more */
		web_ask(&w, i, "hold", NULL);
		web_hears_error(&w, i, -32000, "no answer within");
	}
	old_end(&w);
	return WEFT_OK;
}

/* What opening says, if it says no. */
static void refuses(struct web *w, weft_err err, const char *text)
{
	want_err(err, weft_outgoing_connect(w->outgoing, &w->t, weft_after_ms(60000)));
	if (!strstr(weft_error_detail(), text))
		both_failed(__FILE__, __LINE__, weft_error_detail());
	want(w->t == NULL);
}

BOTH_TEST(a_stream_that_can_not_be_opened_is_an_error_of_connect)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT, .scheme = "sse+http" };

	old_begin(&w);
	old.endpoint = "http://elsewhere.example:1/messages";
	refuses(&w, WEFT_EPROTO, "of another origin: refused");
	old.endpoint = "//elsewhere.example/messages";
	refuses(&w, WEFT_EPROTO, "of another origin: refused");
	old.endpoint = "ftp://x/";
	refuses(&w, WEFT_EINVAL, "the endpoint event");
	old.stream_status = 401;
	refuses(&w, WEFT_EAUTH, "401");
	old.stream_status = 405;
	refuses(&w, WEFT_ENOSYS, "405");
	weft_http_server_stop(w.h.server);
	want_ok(weft_http_server_wait(w.h.server, WEFT_FOREVER));
	refuses(&w, WEFT_EREFUSED, "connect");
	old_end(&w);
	return WEFT_OK;
}

BOTH_TEST(a_server_that_knows_no_post_is_asked_for_the_old_transport)
{
	static const unsigned statuses[] = { 400, 404, 405 };

	for (size_t i = 0; i < 3; i++) {
		struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };

		old_begin(&w);
		old.status = statuses[i];
		web_connect(&w);
		web_ask(&w, 0, "initialize", NULL);
		hears_old(&w, 0);
		web_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
		web_ask(&w, 1, "echo", NULL);
		hears_old(&w, 1);
		want(counter_get(&w.posts) == 4 && counter_get(&w.gets) == 1);
		old_end(&w);
	}
	return WEFT_OK;
}

BOTH_TEST(a_server_that_knows_neither_is_an_error_with_both_reasons)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };

	old_begin(&w);
	old.status = 404;
	old.body = "{\"not\":\"found\"}";
	old.stream_status = 418;
	web_connect(&w);
	web_ask(&w, 0, "initialize", NULL);
	web_hears_error(&w, 0, -32000, "404 (Not Found): {\"not\":\"found\"}; as HTTP+SSE: ");
	old.body = "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-5,\"message\":\"huh\"}}";
	web_ask(&w, 1, "initialize", NULL);
	web_hears_error(&w, 1, -5, "huh; as HTTP+SSE: event stream http");
	want(counter_get(&w.gets) == 2);
	/* a server of today says why */
	old.body = "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32022,\"message\":\"old\"}}";
	web_ask(&w, 2, "initialize", NULL);
	web_hears_error(&w, 2, -32022, "old");
	want(counter_get(&w.gets) == 2);
	old.stream_status = 0; /* what failed may succeed later */
	old.body = NULL;
	web_ask(&w, 3, "initialize", NULL);
	hears_old(&w, 3);
	old_end(&w);
	return WEFT_OK;
}

BOTH_TEST(a_session_of_http_sse_may_be_closed_at_any_moment)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };

	old_begin(&w);
	for (int round = 0; round < 10; round++) {
		uint64_t pauses = both_random(30);

		web_connect(&w);
		for (int i = 0; i < 3; i++)
			web_ask(&w, i, "initialize", NULL);
		while (pauses-- > 0)
			both_pause();
		if (both_random(2))
			weft_transport_close(w.t);
		web_drop(&w);
	}
	old_end(&w);
	return WEFT_OK;
}

static void mcp_client_old_tests(TCase *tc)
{
	both_add(tc, messages_are_posted_and_answers_come_over_the_stream);
	both_add(tc, a_stream_that_is_lost_ends_the_session_of_http_sse);
	both_add(tc, a_message_that_is_too_large_ends_the_session_if_it_may_be_an_answer);
	both_add(tc, requests_over_http_sse_are_bounded_and_cancelled);
	both_add(tc, requests_over_http_sse_may_be_late);
	both_add(tc, a_stream_that_can_not_be_opened_is_an_error_of_connect);
	both_add(tc, a_server_that_knows_no_post_is_asked_for_the_old_transport);
	both_add(tc, a_server_that_knows_neither_is_an_error_with_both_reasons);
	both_add(tc, a_session_of_http_sse_may_be_closed_at_any_moment);
}

T_SUITE("mcp_client_old", mcp_client_old_tests)
