/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* Streams of MCP servers on the web: that break, that are moved, that bring the server's own
 * messages. */
#include "support/mcpweb.h"

#include <string.h>

#define MS INT64_C(1000000)

/* ---- streams that break ---- */

static weft_err breaks(struct web *web, struct web_call *call)
{
	weft_sse_event first = { .data = "", .id = "a/1", .retry_set = true, .retry_ms = 30 };

	if (web_is(call, "break")) {
		want_ok(weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER));
		want_ok(weft_http_exchange_sse_send(call->x, &first, WEFT_FOREVER));
		return WEFT_OK;
	}
	if (!web_is_http(call, "GET") || !web_field(call, "Last-Event-ID"))
		return WEFT_ENOTFOUND;
	want(web_text_is(web_field(call, "Mcp-Session-Id"), WEB_SESSION));
	want_ok(weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER));
	if (web_text_is(web_field(call, "Last-Event-ID"), "a/1"))
		return web_event(call, "a/2", "{\"jsonrpc\":\"2.0\",\"method\":\"m\"}");
	want(web_text_is(web_field(call, "Last-Event-ID"), "a/2"));
	call->id = counter_get(&web->seen) % 2 ? "2" : "1";
	return web_event_result(call, "a/3", "{\"late\":true}");
}

BOTH_TEST(a_stream_that_breaks_is_resumed_after_the_time_the_server_said)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };
	weft_deadline begun;

	web_begin(&w, breaks);
	web_connect(&w);
	web_initialize(&w);
	web_wait(&w.gets, 1);
	for (int i = 1; i <= 2; i++) {
		begun = weft_now();
		web_ask(&w, i, "break", NULL);
		web_hears_call(&w, "m");
		web_hears_result(&w, i, "{\"late\":true}");
		want(weft_now() - begun >= 60 * MS); /* twice 30 */
		(void)counter_add(&w.seen, 1);
	}
	want(counter_get(&w.gets) == 5);
	web_end(&w);
	return WEFT_OK;
}

static weft_err breaks_for_good(struct web *web, struct web_call *call)
{
	weft_sse_event first = { .data = "", .id = "1", .retry_set = true, .retry_ms = 1 };

	if (web_is(call, "break")) {
		want_ok(weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER));
		want_ok(weft_http_exchange_sse_send(call->x, &first, WEFT_FOREVER));
		return WEFT_OK;
	}
	if (!web_is_http(call, "GET") || !web_field(call, "Last-Event-ID"))
		return WEFT_ENOTFOUND;
	return web_reply(call, (unsigned)counter_get(&web->seen), NULL, "");
}

BOTH_TEST(attempts_to_resume_are_bounded)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };
	uint64_t gets;

	w.options.attempts_max = 3;
	web_begin(&w, breaks_for_good);
	web_connect(&w);
	web_initialize(&w);
	web_wait(&w.gets, 1);
	gets = counter_get(&w.gets);
	counter_set(&w.seen, 503);
	web_ask(&w, 1, "break", NULL);
	web_hears_error(&w, 1, -32000, "503");
	want(counter_get(&w.gets) == gets + 3);
	counter_set(&w.seen, 405); /* there is no use in asking again */
	web_ask(&w, 2, "break", NULL);
	web_hears_error(&w, 2, -32000, "the server ended it");
	want(counter_get(&w.gets) == gets + 4);
	counter_set(&w.seen, 404);
	web_ask(&w, 3, "break", NULL);
	web_hears_end(&w, WEFT_ERESET, "404");
	web_end(&w);
	return WEFT_OK;
}

/* ---- redirects ---- */

static weft_err redirects(struct web *web, struct web_call *call)
{
	bool is_moved = web_is(call, "moved");
	weft_http_fields *fields;
	weft_err err;

	if (strcmp(weft_http_exchange_path(call->x), "/old") != 0)
		return WEFT_ENOTFOUND;
	(void)counter_add(&web->seen, 1);
	want_ok(weft_http_fields_create(&fields));
	want_ok(weft_http_fields_set(fields, "Location", "/mcp"));
	err = weft_http_exchange_reply(call->x, is_moved ? 302 : 307, fields, "", 0, WEFT_FOREVER);
	weft_http_fields_free(fields);
	return err;
}

BOTH_TEST(redirects_are_followed_if_a_post_stays_one)
{
	struct web w = {
		.options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT, .path = "/old", .also = "/old"
	};

	web_begin(&w, redirects);
	web_connect(&w);
	web_initialize(&w);
	web_ask(&w, 1, "echo", "[1]");
	web_hears_result(&w, 1, "[1]");
	web_ask(&w, 2, "moved", NULL);
	web_hears_error(&w, 2, -32000, "a POST would become a GET");
	web_drop(&w);
	want(counter_get(&w.seen) >= 5); /* the DELETE, too */
	want(counter_get(&w.deletes) == 2);
	web_end(&w);
	return WEFT_OK;
}

/* ---- the server's own messages ---- */

static weft_err calls(struct web *web, struct web_call *call)
{
	const char *last = web_field(call, "Last-Event-ID");

	if (web_is_http(call, "GET")) {
		weft_sse_event first = { .data = "", .id = "1", .retry_set = true, .retry_ms = 1 };

		if (counter_get(&web->seen) == 99)
			return web_reply(call, 503, NULL, "");
		want_ok(weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER));
		if (!last) {
			want_ok(weft_http_exchange_sse_send(call->x, &first, WEFT_FOREVER));
			return web_event(call, "2",
				"{\"jsonrpc\":\"2.0\",\"id\":\"q1\",\"method\":\"ask\"}");
		}
		want(web_text_is(last, "2"));
		want_ok(web_event(call, NULL, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"));
		want_ok(web_event(call, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"again\"}"));
		return web_hold(call);
	}
	if (call->rpc.kind == WEFT_JSONRPC_RESPONSE)
		want(strcmp(call->id, "\"q1\"") == 0 && counter_add(&web->seen, 1) == 0);
	return WEFT_ENOTFOUND;
}

BOTH_TEST(the_servers_own_messages_come_over_a_stream_that_is_opened_again)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };

	web_begin(&w, calls);
	web_connect(&w);
	web_initialize(&w);
	web_hears_call(&w, "ask");
	web_say(&w, "{\"jsonrpc\":\"2.0\",\"id\":\"q1\",\"result\":{}}");
	web_wait(&w.seen, 1);
	web_hears_call(&w, "again");
	web_ask(&w, 7, "echo", NULL);
	web_hears_result(&w, 7, "{}");
	web_end(&w);
	return WEFT_OK;
}

static weft_err calls_once(struct web *web, struct web_call *call)
{
	weft_sse_event first = { .data = "", .id = "1", .retry_set = true, .retry_ms = 1 };

	if (!web_is_http(call, "GET"))
		return WEFT_ENOTFOUND;
	if (counter_add(&web->seen, 1) > 0)
		return web_reply(call, 503, NULL, "");
	want_ok(weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER));
	return weft_http_exchange_sse_send(call->x, &first, WEFT_FOREVER);
}

BOTH_TEST(a_stream_of_the_servers_messages_that_is_lost_for_good_ends_the_session)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };

	w.options.attempts_max = 2;
	web_begin(&w, calls_once);
	web_connect(&w);
	web_initialize(&w);
	web_hears_end(&w, WEFT_ERESET, "503");
	want(counter_get(&w.seen) == 3); /* the one that was lost, and two */
	web_end(&w);
	return WEFT_OK;
}

static void mcp_client_stream_tests(TCase *tc)
{
	both_add(tc, a_stream_that_breaks_is_resumed_after_the_time_the_server_said);
	both_add(tc, attempts_to_resume_are_bounded);
	both_add(tc, redirects_are_followed_if_a_post_stays_one);
	both_add(tc, the_servers_own_messages_come_over_a_stream_that_is_opened_again);
	both_add(tc, a_stream_of_the_servers_messages_that_is_lost_for_good_ends_the_session);
}

T_SUITE("mcp_client_stream", mcp_client_stream_tests)
