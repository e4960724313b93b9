/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* Sessions with MCP servers on the web: as they begin, go on, and end. */
#include "support/mcpweb.h"
#include "support/webfake.h"

#include <stdio.h>
#include <string.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)

/* ---- sessions ---- */

static weft_err check_head(struct web *web, struct web_call *call)
{
	bool is_first = web_is(call, "initialize");

	(void)web;
	if (web_is_http(call, "POST")) {
		want(web_text_is(web_field(call, "Content-Type"), "application/json"));
		want(web_text_is(web_field(call, "Accept"), "application/json, text/event-stream"));
	}
	if (web_is_http(call, "GET"))
		want(web_text_is(web_field(call, "Accept"), "text/event-stream"));
	want(web_text_is(web_field(call, "Authorization"), "Bearer x"));
	if (is_first) {
		want(!web_field(call, "Mcp-Session-Id"));
		want(!web_field(call, "MCP-Protocol-Version"));
	} else {
		want(web_text_is(web_field(call, "Mcp-Session-Id"), WEB_SESSION));
		want(web_text_is(web_field(call, "MCP-Protocol-Version"), "2025-06-18"));
	}
	return WEFT_ENOTFOUND;
}

BOTH_TEST(a_session_begins_is_named_in_each_request_and_is_deleted)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_fields *fields;
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };

	want_ok(weft_http_fields_create(&fields));
	want_ok(weft_http_fields_set(fields, "Authorization", "Bearer x"));
	request.fields = fields;
	w.options.request = &request;
	web_begin(&w, check_head);
	web_connect(&w);
	want(strcmp(weft_transport_kind(w.t), "http") == 0);
	want(strcmp(weft_transport_name(w.t), w.url) == 0);
	web_initialize(&w);
	for (int i = 1; i <= 3; i++) {
		web_ask(&w, i, "echo", "{\"a\":1}");
		web_hears_result(&w, i, "{\"a\":1}");
	}
	web_wait(&w.gets, 1);
	web_drop(&w);
	want(counter_get(&w.posts) == 5);
	want(counter_get(&w.deletes) == 1);
	web_end(&w);
	weft_http_fields_free(fields);
	return WEFT_OK;
}

static weft_err slow_head(struct web *web, struct web_call *call)
{
	if (web_is(call, "initialize"))
		want_ok(weft_sleep_ms(20));
	return check_head(web, call);
}

BOTH_TEST(what_is_sent_behind_initialize_waits_for_its_answer)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_fields *fields;
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };
	weft_message m;

	want_ok(weft_http_fields_create(&fields));
	want_ok(weft_http_fields_set(fields, "Authorization", "Bearer x"));
	request.fields = fields;
	w.options.request = &request;
	web_begin(&w, slow_head);
	web_connect(&w);
	/* from now on answers are taken, though nobody waits for them */
	want_err(WEFT_ETIMEDOUT, weft_transport_receive(w.t, &m, weft_after_ms(1)));
	web_ask(&w, 0, "initialize", "{}");
	web_ask(&w, 1, "echo", "[1]");
	web_say(&w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
	web_hears_result(&w, 0, "{\"protocolVersion\":\"2025-06-18\"}");
	web_hears_result(&w, 1, "[1]");
	web_end(&w);
	weft_http_fields_free(fields);
	return WEFT_OK;
}

static void greet_message(void *user, weft_message *message)
{
	struct web *w = user;

	want(message->rpc.kind == WEFT_JSONRPC_RESPONSE);
	weft_message_fini(message);
	web_say(w, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
	(void)counter_add(&w->seen, 1);
}

static void greet_ended(void *user, weft_err err, const char *detail)
{
	(void)user;
	(void)err;
	(void)detail;
}

BOTH_TEST(who_gets_the_answer_to_initialize_may_send_at_once)
{
	static const weft_transport_sink sink = { greet_message, greet_ended };
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };

	web_begin(&w, NULL);
	web_connect(&w);
	want_ok(weft_transport_start(w.t, &sink, &w));
	web_ask(&w, 0, "initialize", NULL);
	web_wait(&w.seen, 1);
	web_end(&w);
	return WEFT_OK;
}

BOTH_TEST(a_server_that_gives_no_session_is_served_without)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT, .has_no_session = true };

	web_begin(&w, NULL);
	web_connect(&w);
	web_initialize(&w);
	web_ask(&w, 1, "echo", "[7]");
	web_hears_result(&w, 1, "[7]");
	web_drop(&w);
	want(counter_get(&w.deletes) == 0);
	web_end(&w);
	return WEFT_OK;
}

static weft_err bad_session(struct web *web, struct web_call *call)
{
	weft_http_fields *fields = NULL;
	weft_err err;

	(void)web;
	if (!web_is(call, "initialize"))
		return WEFT_ENOTFOUND;
	want_ok(weft_http_fields_create(&fields));
	want_ok(weft_http_fields_set(fields, "Mcp-Session-Id", "with a blank"));
	err = weft_http_exchange_reply(call->x, 200, fields, "{}", 2, WEFT_FOREVER);
	weft_http_fields_free(fields);
	return err;
}

BOTH_TEST(what_can_be_no_sessions_id_is_refused)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };

	web_begin(&w, bad_session);
	web_connect(&w);
	web_ask(&w, 0, "initialize", NULL);
	web_hears_error(&w, 0, -32000, "Mcp-Session-Id");
	web_end(&w);
	return WEFT_OK;
}

/* ---- answers ---- */

static weft_err stream_answer(struct web *web, struct web_call *call)
{
	if (web_is(call, "answered"))
		(void)counter_add(&web->seen, 1);
	if (!web_is(call, "talk"))
		return WEFT_ENOTFOUND;
	want_ok(weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER));
	want_ok(web_event(call, "1", ""));
	want_ok(web_event(
		call, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}"));
	want_ok(web_event(
		call, NULL, "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"roots/list\"}"));
	want_ok(web_event(call, NULL, "{\"jsonrpc\":\"2.0\",\"id\":999,\"result\":{}}"));
	want_ok(web_event(call, NULL, "this is no JSON"));
	want_ok(web_event_result(call, "2", "{\"said\":1}"));
	(void)!web_event_result(call, "3", "{\"said\":2}");
	return WEFT_OK;
}

BOTH_TEST(an_answer_may_come_as_a_stream_with_others_before_it)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };

	web_begin(&w, stream_answer);
	web_connect(&w);
	web_initialize(&w);
	for (int i = 1; i <= 2; i++) {
		web_ask(&w, i, "talk", NULL);
		web_hears_call(&w, "notifications/progress");
		web_hears_call(&w, "roots/list");
		web_hears_garbage(&w);
		web_hears_result(&w, i, "{\"said\":1}"); /* not the answer to another, not two */
	}
	web_say(&w, "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"result\":{}}");
	web_hears_nothing(&w);
	web_end(&w);
	return WEFT_OK;
}

static weft_err batch_answer(struct web *web, struct web_call *call)
{
	char text[256];

	(void)web;
	snprintf(text, sizeof(text),
		"[{\"jsonrpc\":\"2.0\",\"method\":\"m\"},{\"jsonrpc\":\"2.0\",\"id\":%s,"
		"\"result\":{}},{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}]",
		call->id, call->id);
	if (web_is(call, "json"))
		return web_reply(call, 200, "application/json", text);
	if (!web_is(call, "stream"))
		return WEFT_ENOTFOUND;
	want_ok(weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER));
	return web_event(call, NULL, text);
}

BOTH_TEST(a_batch_has_one_answer_too)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };

	web_begin(&w, batch_answer);
	web_connect(&w);
	web_ask(&w, 1, "json", NULL);
	web_hears_call(&w, "m");
	web_hears_result(&w, 1, "{}");
	web_ask(&w, 2, "stream", NULL);
	web_hears_call(&w, "m");
	web_hears_result(&w, 2, "{}");
	web_hears_nothing(&w);
	web_end(&w);
	return WEFT_OK;
}

/* What is no answer, and the error in its place. */
static const struct {
	const char *method;
	unsigned status;
	const char *type, *body;
	int code;
	const char *text;
} odd[] = {
	{ "401", 401, "text/plain", "no", -32000, "401 (Unauthorized), the server wants a token" },
	{ "403", 403, NULL, "", -32000, "403 (Forbidden)" },
	{ "door", 401, "application/json",
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-7,\"message\":\"who?\"}}",
		-7, "who? (http://" },
	{ "locked", 403, "application/json",
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-7,\"message\":\"no\"}}", -7,
		": status 403 (Forbidden))" },
	{ "500", 500, "text/html", "<html>\r\n\x1b[1m oh", -32000,
		"500 (Internal Server Error): <html>   [1m oh" },
	{ "404", 404, NULL, "", -32000, "404" },
	{ "307", 307, NULL, "", -32000, "307" },
	{ "202", 202, NULL, "", -32000, "202 (Accepted) with content type none" },
	{ "html", 200, "text/html", "<html>", -32000, "content type text/html: that is no answer" },
	{ "jsonx", 200, "application/jsonx", "{}", -32000, "application/jsonx" },
	{ "empty", 200, "application/json", "", -32000, "the answer of http://" },
	{ "garbage", 200, "application/json", "{\"a\":", -32000, "the answer of http://" },
	{ "other", 200, "application/json", "{\"jsonrpc\":\"2.0\",\"id\":12345,\"result\":{}}",
		-32000, "something else than the answer" },
	{ "null", 200, "application/json",
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-7,\"message\":\"m\\u0041\","
		"\"data\":[1]}}",
		-7, "mA" },
	{ "none", 400, "application/json",
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,\"message\":\"bad\"}}", -32600,
		"bad" },
	{ "result400", 400, "application/json", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
		-32000, "400 (Bad Request): {" },
};

static weft_err odd_answer(struct web *web, struct web_call *call)
{
	(void)web;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		if (web_is(call, odd[i].method))
			return web_reply(call, odd[i].status, odd[i].type, odd[i].body);
	}
	if (web_is(call, "reset"))
		return WEFT_ERESET;
	if (web_is(call, "nothing"))
		return weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER);
	if (!web_is(call, "invalid"))
		return WEFT_ENOTFOUND;
	want_ok(weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER));
	return web_event(call, NULL, "{\"jsonrpc\":\"2.0\",\"id\":102,\"result\":{},\"error\":1}");
}

BOTH_TEST(what_is_no_answer_becomes_one_error_that_says_why)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT, .has_no_session = true };

	web_begin(&w, odd_answer);
	web_connect(&w);
	web_initialize(&w);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		web_ask(&w, (int)i, odd[i].method, NULL);
		web_hears_error(&w, (int)i, odd[i].code, odd[i].text);
	}
	web_ask(&w, 100, "reset", NULL);
	web_hears_error(&w, 100, -32000, "500");
	web_ask(&w, 101, "nothing", NULL);
	web_hears_error(&w, 101, -32000, "the stream broke before the answer: the server ended it");
	web_ask(&w, 102, "invalid", NULL);
	web_hears_error(&w, 102, -32000, "the server's answer is no message");
	web_ask(&w, 103, "echo", NULL);
	web_hears_result(&w, 103, "{}");
	web_end(&w);
	return WEFT_OK;
}

BOTH_TEST(a_server_that_is_not_there_is_an_error_that_says_so)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };

	web_begin(&w, NULL);
	web_connect(&w);
	weft_http_server_stop(w.h.server);
	want_ok(weft_http_server_wait(w.h.server, WEFT_FOREVER));
	web_ask(&w, 1, "echo", NULL);
	web_hears_error(&w, 1, -32000, "refused");
	web_end(&w);
	return WEFT_OK;
}

static char large[5000];

static weft_err large_answer(struct web *web, struct web_call *call)
{
	char text[6000];

	(void)web;
	snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":\"%s\"}", call->id,
		large);
	if (web_is(call, "json"))
		return web_reply(call, 200, "application/json", text);
	if (!web_is(call, "stream"))
		return WEFT_ENOTFOUND;
	want_ok(weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER));
	return web_event(call, NULL, text);
}

BOTH_TEST(an_answer_that_is_too_large_is_an_error)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };
	weft_message m;

	memset(large, 'x', sizeof(large) - 1);
	w.options.transport.message_size_max = 4096;
	web_begin(&w, large_answer);
	web_connect(&w);
	web_ask(&w, 1, "json", NULL);
	web_hears_error(&w, 1, -32000, "longer than 4096 bytes");
	web_ask(&w, 2, "stream", NULL);
	web_hears_error(&w, 2, -32000, "larger than 4096 bytes");
	web_ask(&w, 3, "echo", NULL);
	web_hears_result(&w, 3, "{}");
	want_ok(weft_message_copy(&m, NULL, "[1,2]", 5, NULL));
	want_err(WEFT_EINVAL, weft_transport_send_own(w.t, &m, WEFT_FOREVER));
	web_end(&w);
	return WEFT_OK;
}

static weft_err never(struct web *web, struct web_call *call)
{
	if (!web_is(call, "hold") && !web_is(call, "stream"))
		return WEFT_ENOTFOUND;
	if (web_is(call, "stream")) {
		weft_err err = weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER);

		if (!err)
			err = web_event(call, "1", "");
		if (err) { /* the client has gone */
			(void)counter_add(&web->seen, 2);
			return err;
		}
	}
	(void)counter_add(&web->seen, 1);
	(void)web_hold(call);
	(void)counter_add(&web->seen, 1);
	return WEFT_OK;
}

static void late_answer(const char *method)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };
	int id = 0;

	w.options.response_timeout_ns = 50 * MS;
	web_begin(&w, never);
	web_connect(&w);
	do { /* a machine that is slow needs all of the time to ask */
		web_ask(&w, ++id, method, NULL);
		web_hears_error(&w, id, -32000, "no answer within 50 ms");
	} while (counter_get(&w.seen) == 0);
	web_wait(&w.seen, 2); /* the server saw the client go */
	web_end(&w);
}

BOTH_TEST(an_answer_that_is_late_is_an_error)
{
	late_answer("hold");
	late_answer("stream");
	return WEFT_OK;
}

BOTH_TEST(requests_that_are_not_answered_are_bounded)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };
	static const char one_more[] = "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"echo\"}";
	weft_message m;

	w.options.requests_max = 2;
	web_begin(&w, never);
	web_connect(&w);
	web_ask(&w, 1, "hold", NULL);
	web_ask(&w, 2, "stream", NULL);
	want_ok(weft_message_copy(&m, NULL, one_more, sizeof(one_more) - 1, NULL));
	want_err(WEFT_ECAPACITY, weft_transport_send_own(w.t, &m, WEFT_FOREVER));
	web_wait(&w.seen, 2);
	web_say(&w,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":"
		"{\"requestId\":2}}");
	web_wait(&w.seen, 3); /* its response was closed */
	web_ask(&w, 3, "echo", NULL);
	web_hears_result(&w, 3, "{}");
	want(counter_get(&w.posts) == 4); /* the server was told */
	web_hears_nothing(&w);
	web_end(&w);
	return WEFT_OK;
}

/* ---- the end of sessions ---- */

static weft_err forgets(struct web *web, struct web_call *call)
{
	if (web_is(call, "forget")) {
		(void)counter_add(&web->seen, 1);
		return web_reply(call, 200, "application/json",
			"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
	}
	if (!counter_get(&web->seen))
		return WEFT_ENOTFOUND;
	return web_reply(call, 404, "application/json",
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32001,\"message\":\"?\"}}");
}

BOTH_TEST(what_finds_that_out_is_given_back_to_who_wants_it)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };
	weft_message m;

	w.options.gives_back = true;
	web_begin(&w, forgets);
	web_connect(&w);
	web_initialize(&w);
	web_ask(&w, 1, "forget", NULL);
	web_hears_result(&w, 1, "{}");
	web_ask(&w, 2, "echo", "{\"a\":1}");
	want_ok(weft_transport_receive(w.t, &m, WEFT_FOREVER));
	want(m.rpc.kind == WEFT_JSONRPC_REQUEST);
	want(m.err == WEFT_EAGAIN);
	want(weft_json_string_is(m.rpc.method, "echo"));
	want(m.rpc.params.len == 7 && memcmp(m.rpc.params.text, "{\"a\":1}", 7) == 0);
	weft_message_fini(&m);
	web_hears_end(&w, WEFT_ERESET, "404");
	web_end(&w);
	return WEFT_OK;
}

BOTH_TEST(a_session_that_the_server_forgot_is_at_its_end)
{
	for (int by_note = 0; by_note < 2; by_note++) {
		static const char note[] = "{\"jsonrpc\":\"2.0\",\"method\":\"n\"}";
		struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };
		weft_message m;

		web_begin(&w, forgets);
		web_connect(&w);
		web_initialize(&w);
		web_ask(&w, 1, "forget", NULL);
		web_hears_result(&w, 1, "{}");
		want_ok(weft_message_copy(&m, NULL, note, sizeof(note) - 1, NULL));
		if (by_note)
			want_err(WEFT_ERESET, weft_transport_send_own(w.t, &m, WEFT_FOREVER));
		else
			web_ask(&w, 2, "echo", NULL);
		web_hears_end(&w, WEFT_ERESET, "404");
		if (!by_note)
			want_err(WEFT_ERESET, weft_transport_send_own(w.t, &m, WEFT_FOREVER));
		web_drop(&w);
		want(counter_get(&w.deletes) == 0);
		web_end(&w);
	}
	return WEFT_OK;
}

static weft_err slow(struct web *web, struct web_call *call)
{
	if (web_is(call, "wait") || (weft_in_sim() && web_is_http(call, "DELETE"))) {
		(void)counter_add(&web->seen, 1);
		(void)web_hold(call);
		return WEFT_OK;
	}
	return WEFT_ENOTFOUND;
}

static weft_err close_soon(void *arg)
{
	struct web *w = arg;

	web_wait(&w->seen, 1);
	weft_transport_close(w->t);
	return WEFT_OK;
}

BOTH_TEST(a_close_ends_a_send_that_waits_for_the_server)
{
	static const char note[] = "{\"jsonrpc\":\"2.0\",\"method\":\"wait\"}";
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };
	weft_fiber *fiber;
	weft_message m;

	web_begin(&w, slow);
	web_connect(&w);
	web_initialize(&w);
	want_ok(weft_spawn(&fiber, "closes", close_soon, &w));
	want_ok(weft_message_copy(&m, NULL, note, sizeof(note) - 1, NULL));
	want_err(WEFT_ECLOSED, weft_transport_send_own(w.t, &m, WEFT_FOREVER));
	want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
	web_hears_end(&w, WEFT_ECLOSED, "");
	web_end(&w); /* the DELETE hangs in simulated time: not for long */
	return WEFT_OK;
}

/* ---- many, and at any moment ---- */

static weft_err mixed(struct web *web, struct web_call *call)
{
	weft_err err; /* the client may have gone */

	if (web_is(call, "hold"))
		return never(web, call);
	if (!web_is(call, "any"))
		return WEFT_ENOTFOUND;
	both_pause();
	switch (both_random(4)) {
	case 0:
		return web_result(call, "1");
	case 1:
		return web_reply(call, 500, NULL, "");
	case 2:
		err = weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER);
		both_pause();
		return err ? err : web_event_result(call, NULL, "1");
	default:
		err = weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER);
		return err ? err : WEFT_ERESET;
	}
}

#define MANY 40

BOTH_TEST(each_of_many_requests_at_once_gets_one_answer)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };
	bool seen[MANY] = { false };

	web_begin(&w, mixed);
	web_connect(&w);
	web_initialize(&w);
	for (int i = 0; i < MANY; i++)
		web_ask(&w, i, "any", NULL);
	for (int i = 0; i < MANY; i++) {
		weft_message m;
		int64_t id = -1;

		want_ok(weft_transport_receive(w.t, &m, weft_after_ms(60000)));
		want_ok(weft_json_integer(m.rpc.id, &id));
		want(id >= 0 && id < MANY && !seen[id]);
		seen[id] = true;
		weft_message_fini(&m);
	}
	web_hears_nothing(&w);
	web_end(&w);
	return WEFT_OK;
}

BOTH_TEST(a_session_may_be_closed_at_any_moment)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };

	web_begin(&w, mixed);
	for (int round = 0; round < 10; round++) {
		uint64_t pauses = both_random(30);
		weft_message m;

		web_connect(&w);
		if (both_random(4))
			web_initialize(&w);
		for (int i = 0; i < 5; i++)
			web_ask(&w, i, both_random(2) ? "any" : "hold", NULL);
		if (both_random(2))
			web_say(&w,
				"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
				"\"params\":{\"requestId\":2}}");
		while (pauses-- > 0)
			both_pause();
		if (both_random(2) &&
			!weft_transport_receive(w.t, &m, weft_after_ms((int64_t)both_random(3))))
			weft_message_fini(&m);
		if (both_random(2))
			weft_transport_close(w.t);
		web_drop(&w);
	}
	web_end(&w);
	return WEFT_OK;
}

/* ---- without memory ---- */

#define ANSWER                                                                                    \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"t\",\"inputSchema\":"   \
	"{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}},{\"name\":\"u\"," \
	"\"inputSchema\":{\"x-mcp-header\":\"A\"}}]}}"

static weft_err scarce_answer(
	struct webfake *fake, weft_conn *conn, const struct webfake_request *request)
{
	(void)fake;
	if (strstr(request->body, "notifications/"))
		return webfake_reply(conn, 202, "", "");
	if (strcmp(request->method, "GET") == 0)
		return webfake_reply(conn, 405, "", "");
	if (strstr(request->body, "stream"))
		return webfake_reply(conn, 200, "Content-Type: text/event-stream\r\n",
			"id: 1\ndata:\n\ndata: " ANSWER "\n\n");
	if (strstr(request->body, "bad"))
		return webfake_reply(conn, 400, "",
			"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32020,\"message\":\"x\"}}");
	return webfake_reply(
		conn, 200, "Content-Type: application/json\r\nMcp-Session-Id: s\r\n", ANSWER);
}

static weft_err scarce_ask(weft_transport *t, const char *method, const char *params)
{
	char text[400];
	weft_message m;
	weft_err err;

	snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",%s\"method\":\"%s\",\"params\":%s}",
		strncmp(method, "notifications/", 14) == 0 ? "" : "\"id\":1,", method, params);
	err = weft_message_copy(&m, NULL, text, strlen(text), NULL);
	if (!err)
		err = weft_transport_send_own(t, &m, weft_after_ms(60000));
	if (err || !strstr(text, "\"id\""))
		return err;
	err = weft_transport_receive(t, &m, weft_after_ms(60000));
	if (!err)
		weft_message_fini(&m);
	return err;
}

#define SCARCE_META "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}"

static weft_err scarce_session(weft_transport *t)
{
	weft_err err = scarce_ask(t, "initialize", "{}");

	if (!err)
		err = scarce_ask(t, "notifications/initialized", "{}");
	if (!err)
		err = scarce_ask(t, "stream", "{}");
	if (!err)
		err = scarce_ask(t, "tools/list", "{" SCARCE_META "}");
	if (!err)
		err = scarce_ask(t, "tools/call",
			"{\"name\":\"t\",\"arguments\":{\"a\":\" b\"}," SCARCE_META "}");
	if (!err)
		err = scarce_ask(t, "tools/call", "{\"name\":\"bad\"," SCARCE_META "}");
	return err;
}

static weft_err scarce_body(void *arg)
{
	weft_http_client *http = NULL;
	weft_outgoing *outgoing = NULL;
	weft_transport *t = NULL;
	struct webfake fake;
	weft_err err;

	(void)arg;
	memset(&fake, 0, sizeof(fake));
	err = webfake_open(&fake, scarce_answer, NULL);
	if (!err)
		err = weft_http_client_create(&http, NULL);
	if (!err)
		err = weft_outgoing_mcp(&outgoing, http, fake.url, NULL);
	if (!err)
		err = weft_outgoing_connect(outgoing, &t, weft_after_ms(60000));
	if (!err)
		err = scarce_session(t);
	weft_transport_free(t);
	weft_outgoing_free(outgoing);
	weft_http_client_unref(http);
	webfake_close(&fake);
	return err;
}

START_TEST(without_memory_nothing_is_left)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	unsigned failures = 0;

	T_EACH_FAILING_MALLOC(n) {
		weft_sim_result result = { 0 };
		weft_err err = weft_sim_run(scarce_body, NULL, &options, &result);

		ck_assert_msg(!err || t_malloc_failed(), "%s", weft_error_detail());
		ck_assert_uint_eq(result.fibers_left, 0);
		ck_assert_uint_eq(result.sockets_left, 0);
		failures += err != WEFT_OK;
	}
	ck_assert_uint_gt(failures, 10);
}
END_TEST

/* A session begins, and what would say so is cut. */
static weft_err begin_badly(struct web *web, struct web_call *call)
{
	weft_http_fields *fields = NULL;
	weft_err err;

	(void)web;
	if (!web_is(call, "initialize"))
		return WEFT_ENOTFOUND;
	err = weft_http_fields_create(&fields);
	if (!err)
		err = weft_http_fields_set(fields, "Content-Type", "application/json");
	if (!err)
		err = weft_http_fields_set(fields, "Mcp-Session-Id", WEB_SESSION);
	if (!err)
		err = weft_http_exchange_reply(call->x, 200, fields, "{", 1, WEFT_FOREVER);
	weft_http_fields_free(fields);
	return err;
}

BOTH_TEST(a_session_whose_beginning_was_not_heard_ends_and_is_deleted)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };

	web_begin(&w, begin_badly);
	web_connect(&w);
	web_ask(&w, 0, "initialize", "{}");
	web_hears_error(&w, 0, -32000, "the answer of");
	web_hears_end(&w, WEFT_ERESET, "initialize");
	web_wait(&w.deletes, 1);
	web_end(&w);
	return WEFT_OK;
}

static void mcp_client_tests(TCase *tc)
{
	both_add(tc, a_session_begins_is_named_in_each_request_and_is_deleted);
	both_add(tc, a_session_whose_beginning_was_not_heard_ends_and_is_deleted);
	both_add(tc, what_is_sent_behind_initialize_waits_for_its_answer);
	both_add(tc, who_gets_the_answer_to_initialize_may_send_at_once);
	both_add(tc, a_server_that_gives_no_session_is_served_without);
	both_add(tc, what_can_be_no_sessions_id_is_refused);
	both_add(tc, an_answer_may_come_as_a_stream_with_others_before_it);
	both_add(tc, a_batch_has_one_answer_too);
	both_add(tc, what_is_no_answer_becomes_one_error_that_says_why);
	both_add(tc, a_server_that_is_not_there_is_an_error_that_says_so);
	both_add(tc, an_answer_that_is_too_large_is_an_error);
	both_add(tc, an_answer_that_is_late_is_an_error);
	both_add(tc, requests_that_are_not_answered_are_bounded);
	both_add(tc, a_session_that_the_server_forgot_is_at_its_end);
	both_add(tc, what_finds_that_out_is_given_back_to_who_wants_it);
	both_add(tc, a_close_ends_a_send_that_waits_for_the_server);
	both_add(tc, each_of_many_requests_at_once_gets_one_answer);
	both_add(tc, a_session_may_be_closed_at_any_moment);
	t_add(tc, without_memory_nothing_is_left);
}

T_SUITE("mcp_client", mcp_client_tests)
