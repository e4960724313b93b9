/* SPDX-License-Identifier: MIT */
/* Calls and their handlers over a pair in memory. */
#include "base/counter.h"
#include "support/both.h"

#include <stdio.h>
#include <string.h>

#define MS INT64_C(1000000)

static weft_json json(const char *text)
{
	return (weft_json){ text, strlen(text) };
}

static weft_err echo(weft_rpc_request *request, void *user)
{
	(void)user;
	return weft_rpc_request_reply(request, weft_rpc_request_message(request)->params);
}

static weft_err nothing(weft_rpc_request *request, void *user)
{
	(void)request;
	(void)user;
	return WEFT_OK;
}

static weft_err fails(weft_rpc_request *request, void *user)
{
	(void)request;
	(void)user;
	return WEFT_EACCESS;
}

static weft_err refuse(weft_rpc_request *request, void *user)
{
	(void)user;
	want_ok(weft_rpc_request_reply_error(request, 7, "not \"so\"", json("[1]")));
	want_err(WEFT_EDUPLICATE, weft_rpc_request_reply(request, json("1")));
	return WEFT_OK;
}

/* Calls the caller back. */
static weft_err back(weft_rpc_request *request, void *user)
{
	weft_message answer;

	(void)user;
	want_ok(weft_rpc_call(weft_rpc_request_rpc(request), "echo",
		weft_rpc_request_message(request)->params, &answer, WEFT_FOREVER));
	want(answer.rpc.kind == WEFT_JSONRPC_RESPONSE);
	want_ok(weft_rpc_request_reply(request, answer.rpc.result));
	weft_message_fini(&answer);
	return WEFT_OK;
}

struct both_ends {
	weft_rpc *client, *server;
	weft_chan *cancelled;
	struct counter begun; /* calls of "wait" */
	unsigned noted;
};

/* Until it is cancelled, which is told to a channel. */
static weft_err wait_here(weft_rpc_request *request, void *user)
{
	struct both_ends *e = user;
	weft_err err;

	(void)request;
	(void)counter_add(&e->begun, 1);
	err = weft_sleep_until(WEFT_FOREVER);
	want_err(WEFT_ECANCELED, err);
	want_ok(weft_chan_send(e->cancelled, NULL, WEFT_NOW));
	return err;
}

/* They come in their order, one at a time. */
static weft_err note(weft_rpc_request *request, void *user)
{
	const weft_jsonrpc *m = weft_rpc_request_message(request);
	struct both_ends *e = user;
	char digits[20];

	snprintf(digits, sizeof(digits), "[%u]", e->noted);
	want(m->params.len == strlen(digits) && !memcmp(m->params.text, digits, m->params.len));
	both_pause();
	e->noted++;
	want_ok(weft_rpc_request_reply(request, json("1"))); /* which goes nowhere */
	want_ok(weft_chan_send(e->cancelled, NULL, WEFT_NOW));
	return WEFT_OK;
}

static void open_with(struct both_ends *e, size_t max)
{
	weft_rpc_method methods[] = { { "echo", echo, NULL }, { "nothing", nothing, NULL },
		{ "fail", fails, NULL }, { "refuse", refuse, NULL }, { "back", back, NULL },
		{ "wait", wait_here, NULL }, { "note", note, NULL } };
	const weft_rpc_options options = { methods, sizeof(methods) / sizeof(*methods), max, max };
	weft_transport *ends[2];

	memset(e, 0, sizeof(*e));
	want_ok(weft_chan_create(&e->cancelled, 0, 100, NULL));
	methods[5].user = methods[6].user = e;
	want_ok(weft_transport_pair(ends, 0, NULL));
	want_ok(weft_rpc_create_own(&e->client, ends[0], &options));
	want_ok(weft_rpc_create_own(&e->server, ends[1], &options));
}

static void close_both(struct both_ends *e)
{
	weft_rpc_free(e->client);
	weft_rpc_free(e->server);
	weft_chan_unref(e->cancelled);
}

static void expect(weft_rpc *rpc, const char *method, const char *params, const char *result)
{
	weft_message answer;

	want_ok(weft_rpc_call(rpc, method, json(params), &answer, WEFT_FOREVER));
	want(answer.rpc.kind == WEFT_JSONRPC_RESPONSE);
	want(answer.rpc.result.len == strlen(result));
	want(!memcmp(answer.rpc.result.text, result, strlen(result)));
	weft_message_fini(&answer);
}

static void expect_error(weft_rpc *rpc, const char *method, int64_t code, const char *text)
{
	weft_message answer;
	int64_t got;

	want_ok(weft_rpc_call(rpc, method, json("{}"), &answer, WEFT_FOREVER));
	want(answer.rpc.kind == WEFT_JSONRPC_ERROR);
	want_ok(weft_json_integer(answer.rpc.error_code, &got));
	want(got == code && weft_json_string_is(answer.rpc.error_message, text));
	weft_message_fini(&answer);
}

BOTH_TEST(calls_are_answered_as_their_handlers_say)
{
	struct both_ends e;

	open_with(&e, 0);
	for (int i = 0; i < 2; i++) {
		weft_rpc *rpc = i ? e.server : e.client;

		expect(rpc, "echo", "{\"a\":[1]}", "{\"a\":[1]}");
		expect(rpc, "nothing", "[]", "null");
		expect(rpc, "back", "[3]", "[3]");
		expect_error(rpc, "fail", -32603, "permission denied");
		expect_error(rpc, "refuse", 7, "not \"so\"");
		expect_error(rpc, "missing", -32601, "no such method");
	}
	close_both(&e);
	return WEFT_OK;
}

static weft_err call_often(void *arg)
{
	char params[50];

	for (int i = 0; i < 50; i++) {
		snprintf(params, sizeof(params), "[%d,%d]", i, (int)both_random(1000));
		expect(arg, both_random(2) ? "echo" : "back", params, params);
	}
	return WEFT_OK;
}

BOTH_TEST(many_calls_at_once_get_their_own_answers)
{
	struct both_ends e;
	weft_scope *scope;

	open_with(&e, 0);
	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < 8; i++)
		want_ok(weft_scope_spawn_on(scope, i % weft_worker_count(), "caller", call_often,
			i & 1 ? e.client : e.server));
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	close_both(&e);
	return WEFT_OK;
}

static weft_err call_until_cancelled(void *arg)
{
	weft_message answer;

	want_err(WEFT_ECANCELED,
		weft_rpc_call(arg, "wait", (weft_json){ 0 }, &answer, WEFT_FOREVER));
	return WEFT_OK;
}

/* While its handler runs. */
static void call_and_cancel(struct both_ends *e)
{
	uint64_t begun = counter_get(&e->begun);
	weft_scope *scope;

	want_ok(weft_scope_create(&scope));
	want_ok(weft_scope_spawn(scope, "caller", call_until_cancelled, e->client));
	while (counter_get(&e->begun) == begun)
		both_sleep_ns(MS);
	weft_scope_free(scope);
}

BOTH_TEST(a_call_that_is_given_up_is_cancelled_there)
{
	struct both_ends e;
	weft_message answer;

	open_with(&e, 0);
	for (int i = 0; i < 10; i++) {
		uint64_t begun = counter_get(&e.begun);

		if (i % 3 == 2)
			call_and_cancel(&e);
		else
			want_err(WEFT_ETIMEDOUT,
				weft_rpc_call(e.client, "wait", (weft_json){ 0 }, &answer,
					weft_after_ns(i % 3 * MS)));
		expect(e.client, "echo", "[1]", "[1]");
		/* or it was cancelled before it began */
		if (counter_get(&e.begun) > begun)
			want_ok(weft_chan_recv(e.cancelled, NULL, WEFT_FOREVER));
	}
	close_both(&e);
	return WEFT_OK;
}

BOTH_TEST(too_many_calls_are_refused)
{
	struct both_ends e;
	weft_message answer;

	open_with(&e, 2);
	for (int i = 0; i < 5; i++) /* two of them are taken */
		want_ok(weft_rpc_notify(e.client, "wait", (weft_json){ 0 }, WEFT_FOREVER));
	expect_error(e.client, "echo", -32000, "too many calls at once");
	want_err(WEFT_ETIMEDOUT,
		weft_rpc_call(e.server, "wait", (weft_json){ 0 }, &answer, weft_after_ns(MS)));
	close_both(&e);
	return WEFT_OK;
}

static weft_err call_lost(void *arg)
{
	weft_message answer;

	want_err(WEFT_ECLOSED, weft_rpc_call(arg, "wait", (weft_json){ 0 }, &answer, WEFT_FOREVER));
	return WEFT_OK;
}

BOTH_TEST(closing_ends_calls_and_handlers)
{
	struct both_ends e;
	weft_fiber *fiber;

	for (int i = 0; i < 2; i++) {
		open_with(&e, 0);
		want_ok(weft_spawn(&fiber, "caller", call_lost, e.client));
		expect(e.client, "echo", "[1]", "[1]");
		weft_rpc_close(i ? e.client : e.server);
		want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
		want_err(WEFT_ECLOSED, weft_rpc_wait(i ? e.client : e.server, WEFT_FOREVER));
		want_err(WEFT_ECLOSED, weft_rpc_notify(e.client, "x", (weft_json){ 0 }, WEFT_NOW));
		close_both(&e);
	}
	return WEFT_OK;
}

BOTH_TEST(notifications_come_in_order_and_are_not_answered)
{
	struct both_ends e;
	char params[20];

	open_with(&e, 0);
	for (int i = 0; i < 20; i++) {
		snprintf(params, sizeof(params), "[%d]", i);
		want_ok(weft_rpc_notify(e.client, "note", json(params), WEFT_FOREVER));
	}
	for (int i = 0; i < 20; i++)
		want_ok(weft_chan_recv(e.cancelled, NULL, WEFT_FOREVER));
	want(e.noted == 20);
	close_both(&e);
	return WEFT_OK;
}

/* What a peer sends that speaks no JSON-RPC, and where it ends without waiting. */
BOTH_TEST(a_server_answers_what_came_before_the_end)
{
	static const char in[] =
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":[1]}\n"
		"garbage\n{\"jsonrpc\":\"2.0\",\"id\":\"x\"}\n";
	static const weft_rpc_method methods[] = { { "echo", echo, NULL } };
	const weft_rpc_options options = { methods, 1, 0, 0 };
	weft_transport *transport;
	weft_conn *ends[2];
	char line[200];
	size_t got;
	unsigned errors = 0, results = 0;
	weft_rpc *rpc;

	want_ok(weft_conn_pair(ends, 0));
	want_ok(weft_transport_lines_own(&transport, ends[0], NULL));
	want_ok(weft_conn_write(ends[1], in, strlen(in), NULL, WEFT_FOREVER));
	want_ok(weft_conn_shutdown(ends[1]));
	want_ok(weft_rpc_create_own(&rpc, transport, &options));
	want_err(WEFT_ECLOSED, weft_rpc_wait(rpc, WEFT_FOREVER));
	weft_rpc_free(rpc);
	while (!weft_conn_read_line(ends[1], line, sizeof(line), &got, WEFT_FOREVER)) {
		errors += strstr(line, "\"error\":") != NULL;
		results += strstr(line, "\"id\":1,\"result\":[1]") != NULL;
	}
	want(errors == 2 && results == 1);
	weft_conn_free(ends[1]);
	return WEFT_OK;
}

static weft_err count_any(weft_rpc_request *request, void *user)
{
	(*(unsigned *)user)++;
	return weft_rpc_request_reply(request, weft_rpc_request_message(request)->method);
}

BOTH_TEST(a_method_without_a_name_is_any_that_none_before_it_has)
{
	unsigned count = 0;
	const weft_rpc_method methods[] = { { "echo", echo, NULL }, { NULL, count_any, &count } };
	const weft_rpc_options options = { methods, 2, 0, 0 };
	weft_rpc *client, *server;
	weft_transport *ends[2];

	want_ok(weft_transport_pair(ends, 0, NULL));
	want_ok(weft_rpc_create_own(&client, ends[0], NULL));
	want_ok(weft_rpc_create_own(&server, ends[1], &options));
	expect(client, "echo", "[1]", "[1]");
	want(count == 0);
	expect(client, "other", "[1]", "\"other\"");
	expect(client, "another", "[]", "\"another\"");
	want(count == 2);
	weft_rpc_free(client);
	weft_rpc_free(server);
	return WEFT_OK;
}

static weft_err scarce_body(void *arg)
{
	static const weft_rpc_method methods[] = { { "echo", echo, NULL } };
	const weft_rpc_options options = { methods, 1, 0, 0 };
	weft_rpc *client = NULL, *server = NULL;
	weft_transport *ends[2];
	weft_message answer;
	weft_err err;

	(void)arg;
	err = weft_transport_pair(ends, 0, NULL);
	if (err)
		return err;
	err = weft_rpc_create_own(&client, ends[0], NULL);
	if (err)
		weft_transport_free(ends[1]);
	else
		err = weft_rpc_create_own(&server, ends[1], &options);
	if (!err)
		err = weft_rpc_call(client, "echo", json("[1]"), &answer, weft_after_ns(1000 * MS));
	if (!err) {
		if (answer.rpc.kind != WEFT_JSONRPC_RESPONSE)
			err = WEFT_ENOMEM;
		weft_message_fini(&answer);
	}
	weft_rpc_free(client);
	weft_rpc_free(server);
	return err;
}

START_TEST(without_memory_nothing_is_left)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	unsigned failures = 0;

	T_EACH_FAILING_MALLOC(n) {
		weft_err err = weft_sim_run(scarce_body, NULL, &options, NULL);

		ck_assert_msg(!err || t_malloc_failed(), "%s", weft_error_detail());
		failures += err != WEFT_OK;
	}
	ck_assert_uint_gt(failures, 10);
}
END_TEST

static void rpc_tests(TCase *tc)
{
	both_add(tc, calls_are_answered_as_their_handlers_say);
	both_add(tc, many_calls_at_once_get_their_own_answers);
	both_add(tc, a_call_that_is_given_up_is_cancelled_there);
	both_add(tc, too_many_calls_are_refused);
	both_add(tc, closing_ends_calls_and_handlers);
	both_add(tc, notifications_come_in_order_and_are_not_answered);
	both_add(tc, a_server_answers_what_came_before_the_end);
	both_add(tc, a_method_without_a_name_is_any_that_none_before_it_has);
	t_add(tc, without_memory_nothing_is_left);
}

T_SUITE("rpc", rpc_tests)
