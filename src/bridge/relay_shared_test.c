/* SPDX-License-Identifier: MIT */
/* One server for several sessions. */
#include "support/relaytalk.h"

#include <stdio.h>
#include <string.h>

#define MS INT64_C(1000000)
#define SESSIONS 3

static struct {
	struct fake fake;
	struct relay_options options;
	struct relay *relay;
	struct talker t[SESSIONS];
	unsigned open; /* of t */
} s;

static void setup(void)
{
	memset(&s, 0, sizeof(s));
	s.options.is_shared = true;
}

static void begin(unsigned sessions)
{
	s.relay = fake_relay_open(&s.fake, &s.options);
	for (s.open = 0; s.open < sessions; s.open++) {
		talker_open(&s.t[s.open], s.relay);
		talker_initialize(&s.t[s.open]);
	}
}

static struct relay_stats end(void)
{
	for (unsigned i = 0; i < s.open; i++)
		want_ok(talker_close(&s.t[i]));
	return fake_relay_close(&s.fake, &s.options, s.relay);
}

/* What is held by the server now, of whomever. */
static void hold(struct talker *t, const char *id)
{
	talker_say(t, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"hold\"}", id);
	talker_say(t, CALL("\"held\"", "echo"));
	talker_hears_result(t, "\"held\"", "{}");
}

BOTH_TEST(later_sessions_are_welcomed_by_the_first_answer)
{
	setup();
	begin(3);
	for (unsigned i = 0; i < 3; i++) {
		talker_say(&s.t[i], CALL("1", "who"));
		talker_hears_result(&s.t[i], "1", "{\"n\":1}");
	}
	want(counter_get(&s.fake.initializes) == 1 && counter_get(&s.fake.initialized) == 1);
	want(end().servers_started == 1);
	return WEFT_OK;
}

BOTH_TEST(sessions_that_begin_at_once_are_initialized_once)
{
	setup();
	begin(0);
	for (; s.open < 3; s.open++)
		talker_open(&s.t[s.open], s.relay);
	for (unsigned i = 0; i < 3; i++)
		talker_say(&s.t[i], CALL("\"i\"", "initialize"));
	for (unsigned i = 0; i < 3; i++)
		talker_hears_result(&s.t[i], "\"i\"",
			"{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{}}");
	want(counter_get(&s.fake.initializes) == 1);
	end();
	return WEFT_OK;
}

BOTH_TEST(each_session_gets_what_it_asked_for_under_equal_ids)
{
	char text[64];

	setup();
	begin(3);
	for (unsigned i = 0; i < 3; i++)
		talker_say(&s.t[i],
			"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":[%u]}", i);
	for (unsigned i = 0; i < 3; i++) {
		(void)snprintf(text, sizeof(text), "[%u]", i);
		talker_hears_result(&s.t[i], "1", text);
	}
	for (unsigned i = 0; i < 3; i++)
		hold(&s.t[i], "\"same\"");
	talker_say(&s.t[1],
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
		"\"params\":{\"requestId\":\"same\"}}");
	talker_say(&s.t[1], CALL("2", "release"));
	talker_hears_result(&s.t[1], "2", "{}");
	talker_hears_result(&s.t[0], "\"same\"", "{}");
	talker_hears_result(&s.t[2], "\"same\"", "{}");
	want(counter_get(&s.fake.cancels) == 1);
	end();
	return WEFT_OK;
}

BOTH_TEST(what_is_for_nobody_in_particular_is_for_all_that_are_initialized)
{
	setup();
	begin(2);
	talker_open(&s.t[s.open++], s.relay);
	talker_say(&s.t[2], CALL("1", "echo"));
	talker_hears_result(&s.t[2], "1", "{}");
	talker_say(&s.t[0], CALL("1", "shout"));
	for (unsigned i = 0; i < 2; i++)
		talker_hears_call(&s.t[i], "notifications/message", "{}");
	talker_hears_result(&s.t[0], "1", "{}");
	talker_say(&s.t[2], CALL("2", "echo"));
	talker_hears_result(&s.t[2], "2", "{}");
	end();
	return WEFT_OK;
}

BOTH_TEST(a_servers_request_goes_to_the_one_session_that_waits)
{
	setup();
	begin(2);
	talker_say(&s.t[1], CALL("1", "ask"));
	talker_hears_call(&s.t[1], "roots/list", NULL);
	/* another's answer is not taken */
	talker_say(&s.t[0], "{\"jsonrpc\":\"2.0\",\"id\":\"q/1\",\"result\":{\"forged\":1}}");
	talker_say(&s.t[0], CALL("1", "echo"));
	talker_hears_result(&s.t[0], "1", "{}");
	talker_say(&s.t[1], "{\"jsonrpc\":\"2.0\",\"id\":\"q/1\",\"result\":{\"roots\":[]}}");
	talker_hears_result(&s.t[1], "1", "{\"roots\":[]}");
	want(end().late == 1);
	return WEFT_OK;
}

BOTH_TEST(a_servers_request_for_no_known_session_gets_an_error)
{
	weft_message m;
	int64_t code;

	setup();
	begin(2);
	hold(&s.t[0], "5");
	talker_say(&s.t[1], CALL("1", "ask"));
	talker_hear(&s.t[1], &m); /* the error that the server got */
	want(m.rpc.kind == WEFT_JSONRPC_RESPONSE);
	want(!weft_json_get(&m.rpc.error_code, m.rpc.result, "code") &&
		!weft_json_integer(m.rpc.error_code, &code) && code == -32000);
	weft_message_fini(&m);
	end();
	return WEFT_OK;
}

BOTH_TEST(a_session_that_ends_takes_its_requests_and_questions_along)
{
	setup();
	begin(2);
	hold(&s.t[1], "5");
	talker_say(&s.t[1], CALL("6", "ask"));
	talker_hears_call(&s.t[1], "roots/list", NULL);
	s.open = 1;
	want_ok(talker_close(&s.t[1]));
	wait_count(&s.fake.cancels, 1);
	talker_say(&s.t[0], CALL("1", "release"));
	talker_hears_result(&s.t[0], "1", "{}");
	want(end().late == 1); /* the server, told that its question is void, answered "ask" */
	return WEFT_OK;
}

BOTH_TEST(the_loss_of_a_shared_server_is_an_error_for_what_was_in_flight_only)
{
	setup();
	begin(3);
	hold(&s.t[0], "5");
	hold(&s.t[1], "\"x\"");
	talker_say(&s.t[1], CALL("6", "die"));
	talker_hears_error(&s.t[0], "5", -32000, "lost while this was in flight");
	for (unsigned i = 0; i < 2; i++) {
		weft_message m;

		talker_hear(&s.t[1], &m);
		want(m.rpc.kind == WEFT_JSONRPC_ERROR);
		weft_message_fini(&m);
	}
	for (unsigned i = 0; i < 3; i++) {
		talker_say(&s.t[i], CALL("7", "who"));
		talker_hears_result(&s.t[i], "7", "{\"n\":2}");
	}
	want(counter_get(&s.fake.initializes) == 2 && counter_get(&s.fake.initialized) == 2);
	want(end().servers_lost == 1);
	return WEFT_OK;
}

BOTH_TEST(who_was_first_may_go_before_its_answer)
{
	setup();
	s.fake.dies_early = 1;
	begin(0);
	talker_open(&s.t[0], s.relay);
	talker_open(&s.t[1], s.relay);
	for (unsigned i = 0; i < 2; i++)
		talker_say(&s.t[i], CALL("0", "initialize"));
	(void)talker_close(&s.t[0]);
	for (;;) {
		weft_message m;
		bool is_welcome;

		talker_hear(&s.t[1], &m);
		is_welcome = m.rpc.kind == WEFT_JSONRPC_RESPONSE;
		weft_message_fini(&m);
		if (is_welcome)
			break;
		talker_say(&s.t[1], CALL("0", "initialize"));
	}
	want_ok(talker_close(&s.t[1]));
	end();
	return WEFT_OK;
}

/* The first shouts, and the second reads none of it. */
static void shout(unsigned times)
{
	while (times-- > 0) {
		talker_say(&s.t[0], CALL("1", "shout"));
		talker_hears_call(&s.t[0], "notifications/message", "{}");
		talker_hears_result(&s.t[0], "1", "{}");
	}
}

BOTH_TEST(a_client_that_does_not_read_holds_up_nobody)
{
	enum { SOME = TALKER_ROOM + 10, MANY = 2 * TALKER_ROOM + 20 };
	weft_message m;

	setup();
	s.options.queue_max = 20;
	begin(2);
	shout(SOME);
	for (unsigned i = 0; i < SOME; i++)
		talker_hears_call(&s.t[1], "notifications/message", "{}");
	talker_say(&s.t[1], CALL("9", "echo"));
	talker_hears_result(&s.t[1], "9", "{}");
	shout(MANY);
	while (!weft_transport_receive(s.t[1].end, &m, weft_after_ms(60000)))
		weft_message_fini(&m);
	s.open = 1;
	want_err(WEFT_ECAPACITY, talker_close(&s.t[1]));
	want(strstr(s.t[1].detail, "does not read") != NULL);
	end();
	return WEFT_OK;
}

BOTH_TEST(a_shared_server_that_does_not_start_is_tried_again_when_it_is_wanted)
{
	setup();
	s.fake.refuses = 1;
	s.fake.refusal = WEFT_ESPAWN;
	begin(0);
	talker_open(&s.t[s.open++], s.relay);
	for (;;) {
		weft_message m;
		bool is_there;

		talker_say(&s.t[0], CALL("1", "who"));
		talker_hear(&s.t[0], &m);
		is_there = m.rpc.kind == WEFT_JSONRPC_RESPONSE;
		weft_message_fini(&m);
		if (is_there)
			break;
	}
	end();
	return WEFT_OK;
}

/* What waits in the queue of one that does not read yet is owed, too. */
BOTH_TEST(a_client_that_ended_gets_what_waits_for_it)
{
	static const char asks[] = CALL("1", "echo") "\n";
	weft_conn *ends[2];
	weft_transport *client;
	unsigned answers = 0;
	size_t got;
	char c;

	setup();
	s.options.drain_timeout_ns = 10000 * MS;
	begin(0);
	want_ok(weft_conn_pair(ends, 4096));
	want_ok(weft_transport_lines_own(&client, ends[1], NULL));
	s.t[0].relay = s.relay;
	s.t[0].relays = client;
	talker_serve(&s.t[0]);
	for (unsigned i = 0; i < 300; i++)
		want_ok(weft_conn_write(ends[0], asks, sizeof(asks) - 1, NULL, WEFT_FOREVER));
	want_ok(weft_conn_shutdown(ends[0]));
	wait_count(&s.fake.answers, 300);
	while (!weft_conn_read(ends[0], &c, 1, &got, WEFT_FOREVER))
		answers += c == '\n';
	want(answers == 300);
	weft_conn_free(ends[0]);
	want_ok(weft_fiber_join(s.t[0].fiber, NULL, WEFT_FOREVER));
	want_ok(s.t[0].verdict);
	end();
	return WEFT_OK;
}

static void relay_shared_tests(TCase *tc)
{
	both_add(tc, a_client_that_ended_gets_what_waits_for_it);
	both_add(tc, later_sessions_are_welcomed_by_the_first_answer);
	both_add(tc, sessions_that_begin_at_once_are_initialized_once);
	both_add(tc, each_session_gets_what_it_asked_for_under_equal_ids);
	both_add(tc, what_is_for_nobody_in_particular_is_for_all_that_are_initialized);
	both_add(tc, a_servers_request_goes_to_the_one_session_that_waits);
	both_add(tc, a_servers_request_for_no_known_session_gets_an_error);
	both_add(tc, a_session_that_ends_takes_its_requests_and_questions_along);
	both_add(tc, the_loss_of_a_shared_server_is_an_error_for_what_was_in_flight_only);
	both_add(tc, who_was_first_may_go_before_its_answer);
	both_add(tc, a_client_that_does_not_read_holds_up_nobody);
	both_add(tc, a_shared_server_that_does_not_start_is_tried_again_when_it_is_wanted);
}

T_SUITE("relay_shared", relay_shared_tests)
