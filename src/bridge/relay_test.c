/* SPDX-License-Identifier: MIT */
/* Relays whose sessions have a server each, and what holds with shared ones too. */
#include "support/campaign.h"
#include "support/relaytalk.h"

#include <stdio.h>
#include <string.h>

#define MS INT64_C(1000000)

static struct {
	struct fake fake;
	struct relay_options options;
	struct relay *relay;
} s;

static void begin(void)
{
	s.relay = fake_relay_open(&s.fake, &s.options);
}

static void setup(void)
{
	memset(&s, 0, sizeof(s));
}

static struct relay_stats end(void)
{
	return fake_relay_close(&s.fake, &s.options, s.relay);
}

BOTH_TEST(an_answer_comes_back_under_its_own_id)
{
	struct talker t;

	setup();
	begin();
	talker_open(&t, s.relay);
	talker_initialize(&t);
	talker_say(&t, "{\"jsonrpc\":\"2.0\",\"id\":\"abc\",\"method\":\"echo\",\"params\":[1,2]}");
	talker_hears_result(&t, "\"abc\"", "[1,2]");
	talker_say(&t, "{\"jsonrpc\":\"2.0\",\"id\":123456789,\"method\":\"echo\",\"params\":{}}");
	talker_hears_result(&t, "123456789", "{}");
	talker_say(&t, "{\"jsonrpc\":\"2.0\",\"id\":-1.5e0,\"method\":\"echo\",\"params\":{}}");
	talker_hears_result(&t, "-1.5e0", "{}");
	talker_say(&t, CALL("null", "nothing"));
	talker_hears_error(&t, "null", WEFT_JSONRPC_METHOD_NOT_FOUND, "no");
	want_ok(talker_close(&t));
	want(counter_get(&s.fake.initialized) == 1);
	want(end().answers == 5);
	return WEFT_OK;
}

BOTH_TEST(each_session_has_a_server_of_its_own)
{
	struct talker t[3];

	setup();
	begin();
	for (unsigned i = 0; i < 3; i++) {
		talker_open(&t[i], s.relay);
		talker_initialize(&t[i]);
	}
	want(counter_get(&s.fake.now) == 3);
	for (unsigned i = 0; i < 3; i++)
		talker_say(&t[i], CALL("7", "who"));
	for (unsigned i = 0; i < 3; i++) {
		weft_message m;

		talker_hear(&t[i], &m);
		want(m.rpc.kind == WEFT_JSONRPC_RESPONSE);
		weft_message_fini(&m);
		want_ok(talker_close(&t[i]));
	}
	want(end().servers_started == 3);
	return WEFT_OK;
}

BOTH_TEST(progress_bears_the_clients_token)
{
	struct talker t;

	setup();
	begin();
	talker_open(&t, s.relay);
	talker_say(&t,
		"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"progress\",\"params\":"
		"{\"_meta\":{\"progressToken\":\"mine\"}}}");
	talker_hears_call(
		&t, "notifications/progress", "{\"progressToken\":\"mine\",\"progress\":1}");
	talker_hears_call(
		&t, "notifications/progress", "{\"progressToken\":\"mine\",\"progress\":2}");
	talker_hears_result(&t, "5", "{}");
	want_ok(talker_close(&t));
	end();
	return WEFT_OK;
}

BOTH_TEST(a_cancelled_request_is_cancelled_at_the_server_and_not_answered)
{
	struct talker t;

	setup();
	begin();
	talker_open(&t, s.relay);
	talker_say(&t, CALL("\"a\\/b\"", "hold"));
	talker_say(&t, CALL("2", "hold"));
	talker_say(&t, CALL("3", "echo"));
	talker_hears_result(&t, "3", "{}");
	talker_say(&t,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":"
		"{\"requestId\":\"a/b\"}}");
	talker_say(&t,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":"
		"{\"requestId\":99}}");
	talker_say(&t, CALL("4", "release"));
	talker_hears_result(&t, "2", "{}");
	talker_hears_result(&t, "4", "{}");
	want_ok(talker_close(&t));
	want(counter_get(&s.fake.cancels) == 1);
	want(end().cancelled == 1);
	return WEFT_OK;
}

BOTH_TEST(an_id_that_comes_back_as_a_text_is_the_same_id)
{
	struct talker t;

	setup();
	begin();
	talker_open(&t, s.relay);
	talker_say(&t, CALL("7", "quote"));
	talker_hears_result(&t, "7", "{}");
	talker_say(&t, CALL("\"a\"", "quote"));
	talker_hears_result(&t, "\"a\"", "{}");
	want_ok(talker_close(&t));
	end();
	return WEFT_OK;
}

BOTH_TEST(what_servers_that_ignore_case_would_read_otherwise_is_refused)
{
	struct relay_stats stats;
	struct talker t;

	setup();
	begin();
	talker_open(&t, s.relay);
	talker_initialize(&t);
	talker_say(&t, CALL("\"a\"", "hold"));
	talker_say(&t,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":"
		"{\"requestId\":\"b\",\"RequestId\":1}}");
	talker_say(&t,
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"echo\",\"params\":"
		"{\"_meta\":{\"ProgressToken\":1}}}");
	talker_hears_error(&t, "2", -32600, "\"ProgressToken\" differs");
	/* what is not rewritten may be called what it likes */
	talker_say(
		&t, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"echo\",\"params\":{\"Name\":1}}");
	talker_hears_result(&t, "3", "{\"Name\":1}");
	relay_stats_get(s.relay, &stats);
	want(stats.invalid == 2 && counter_get(&s.fake.cancels) == 0);
	talker_say(&t, CALL("4", "release"));
	talker_hears_result(&t, "\"a\"", "{}");
	talker_hears_result(&t, "4", "{}");
	want_ok(talker_close(&t));
	end();
	return WEFT_OK;
}

BOTH_TEST(answers_to_what_nobody_asked_are_dropped)
{
	struct talker t;

	setup();
	begin();
	talker_open(&t, s.relay);
	talker_say(&t, CALL("1", "twice"));
	talker_hears_result(&t, "1", "{}");
	talker_say(&t, CALL("2", "echo"));
	talker_hears_result(&t, "2", "{}");
	want_ok(talker_close(&t));
	want(end().late == 3);
	return WEFT_OK;
}

BOTH_TEST(a_server_may_ask_its_client)
{
	struct talker t;
	weft_message m;

	setup();
	begin();
	talker_open(&t, s.relay);
	talker_say(&t, CALL("1", "ask"));
	talker_hear(&t, &m);
	want(weft_json_string_is(m.rpc.method, "roots/list"));
	weft_message_fini(&m);
	/* to what was not asked; then the right one, spelt otherwise, twice */
	talker_say(&t, "{\"jsonrpc\":\"2.0\",\"id\":\"other\",\"result\":{}}");
	talker_say(&t, "{\"jsonrpc\":\"2.0\",\"id\":\"q/1\",\"result\":{\"roots\":[]}}");
	talker_say(&t, "{\"jsonrpc\":\"2.0\",\"id\":\"q/1\",\"result\":{\"roots\":[1]}}");
	talker_hears_result(&t, "1", "{\"roots\":[]}");
	talker_say(&t, CALL("2", "echo"));
	talker_hears_result(&t, "2", "{}");
	want_ok(talker_close(&t));
	want(end().late == 2);
	return WEFT_OK;
}

BOTH_TEST(a_lost_server_is_replaced_and_initialized_again)
{
	struct talker t;

	setup();
	begin();
	talker_open(&t, s.relay);
	talker_initialize(&t);
	talker_say(&t, CALL("1", "who"));
	talker_hears_result(&t, "1", "{\"n\":1}");
	talker_say(&t, CALL("2", "hold"));
	talker_say(&t, CALL("3", "die"));
	for (unsigned i = 0; i < 2; i++) {
		weft_message m;

		talker_hear(&t, &m); /* of the two, in any order */
		want(m.rpc.kind == WEFT_JSONRPC_ERROR);
		weft_message_fini(&m);
	}
	talker_say(&t, CALL("4", "who"));
	talker_hears_result(&t, "4", "{\"n\":2}");
	want_ok(talker_close(&t));
	want(counter_get(&s.fake.initializes) == 2 && counter_get(&s.fake.initialized) == 2);
	want(strcmp(s.fake.client, "\"talker\"") == 0);
	want(end().servers_lost == 1);
	return WEFT_OK;
}

BOTH_TEST(a_server_that_does_not_start_is_an_error_that_says_so)
{
	struct talker t;

	setup();
	s.fake.refuses = 1000;
	s.fake.refusal = WEFT_ESPAWN;
	begin();
	talker_open(&t, s.relay);
	talker_say(&t, CALL("1", "echo"));
	talker_hears_error(&t, "1", -32000, "server \"fake\": cannot start process");
	talker_hears_end(&t);
	want_err(WEFT_ESPAWN, talker_close(&t));
	want(end().sessions_failed == 1);
	return WEFT_OK;
}

BOTH_TEST(a_server_is_started_several_times_before_that)
{
	struct talker t;

	setup();
	s.fake.refuses = 2;
	s.fake.refusal = WEFT_EREFUSED;
	s.fake.dies_early = 2;
	begin();
	talker_open(&t, s.relay);
	/* what is in flight when one dies early has an error; so it asks until it is there */
	for (;;) {
		weft_message m;
		bool is_there;

		talker_say(&t, CALL("1", "who"));
		talker_hear(&t, &m);
		is_there = m.rpc.kind == WEFT_JSONRPC_RESPONSE;
		weft_message_fini(&m);
		if (is_there)
			break;
	}
	want_ok(talker_close(&t));
	want(counter_get(&s.fake.connects) == 5);
	end();
	return WEFT_OK;
}

BOTH_TEST(a_server_that_dies_again_and_again_ends_the_session)
{
	struct talker t;
	weft_message m;

	setup();
	s.fake.dies_early = 1000;
	s.options.starts_max = 3;
	begin();
	talker_open(&t, s.relay);
	while (!weft_message_copy(&m, NULL, CALL("1", "who"), sizeof(CALL("1", "who")) - 1, NULL) &&
		!weft_transport_send_own(t.end, &m, WEFT_FOREVER) &&
		!weft_transport_receive(t.end, &m, weft_after_ms(60000))) {
		want(m.rpc.kind == WEFT_JSONRPC_ERROR);
		weft_message_fini(&m);
	}
	want_err(WEFT_ERESET, talker_close(&t));
	want(strcmp(t.detail, "closed") == 0);
	want(end().servers_started == 3);
	return WEFT_OK;
}

/* Others start it again, and that takes them longer than so many tries. */
BOTH_TEST(a_server_that_was_there_is_waited_for_while_requests_wait)
{
	struct talker t;

	setup();
	s.options.starts_max = 2;
	begin();
	talker_open(&t, s.relay);
	talker_initialize(&t);
	s.fake.refuses = 5; /* the first connection was not */
	s.fake.refusal = WEFT_EREFUSED;
	talker_say(&t, CALL("1", "die"));
	talker_hears_error(&t, "1", -32000, "lost");
	talker_say(&t, CALL("2", "who"));
	talker_hears_result(&t, "2", "{\"n\":2}");
	want_ok(talker_close(&t));
	want(counter_get(&s.fake.connects) == 6);
	end();
	return WEFT_OK;
}

static void count_message(void *user, const struct relay_message *message)
{
	unsigned *counts = user;

	want(message->session == 1 && strcmp(message->transport, "memory") == 0);
	counts[message->direction]++;
}

BOTH_TEST(each_message_at_the_clients_side_is_recorded)
{
	unsigned counts[2] = { 0, 0 };
	struct talker t;

	setup();
	s.options.on_message = count_message;
	s.options.user = counts;
	begin();
	talker_open(&t, s.relay);
	talker_initialize(&t);
	talker_say(&t, CALL("1", "shout"));
	talker_hears_call(&t, "notifications/message", "{}");
	talker_hears_result(&t, "1", "{}");
	want_ok(talker_close(&t));
	want(counts[RELAY_TO_SERVER] == 3 && counts[RELAY_TO_CLIENT] == 3);
	end();
	return WEFT_OK;
}

BOTH_TEST(what_is_in_flight_is_bounded)
{
	struct talker t;

	setup();
	s.options.requests_max = 2;
	begin();
	talker_open(&t, s.relay);
	talker_say(&t, CALL("1", "hold"));
	talker_say(&t, CALL("2", "hold"));
	talker_say(&t, CALL("3", "echo"));
	talker_hears_error(&t, "3", -32000, "2 requests of this session");
	talker_say(&t,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":"
		"{\"requestId\":1}}");
	talker_say(&t, CALL("4", "echo"));
	talker_hears_result(&t, "4", "{}");
	want_ok(talker_close(&t));
	end();
	return WEFT_OK;
}

BOTH_TEST(sessions_and_servers_are_bounded)
{
	struct talker t[3];

	setup();
	s.options.sessions_max = 2;
	s.options.children_max = 1;
	begin();
	talker_open(&t[0], s.relay);
	talker_say(&t[0], CALL("1", "echo"));
	talker_hears_result(&t[0], "1", "{}");
	talker_open(&t[1], s.relay);
	talker_say(&t[1], CALL("1", "echo"));
	talker_hears_error(&t[1], "1", -32000, "1 servers run already");
	talker_hears_end(&t[1]);
	want_err(WEFT_ECAPACITY, talker_close(&t[1]));
	talker_open(&t[1], s.relay);
	while (weft_fiber_count() && counter_get(&s.fake.started) < 1)
		both_pause();
	talker_open(&t[2], s.relay);
	talker_say(&t[2], CALL("9", "echo"));
	talker_hears_error(&t[2], "9", -32000, "");
	(void)talker_close(&t[2]);
	(void)talker_close(&t[1]);
	want_ok(talker_close(&t[0]));
	want(end().servers_started == 1);
	return WEFT_OK;
}

BOTH_TEST(a_session_waits_a_moment_for_the_server_of_one_that_ends)
{
	struct talker t[2];
	struct relay_stats stats;

	setup();
	s.options.children_max = 1;
	begin();
	talker_open(&t[0], s.relay);
	talker_say(&t[0], CALL("1", "echo"));
	talker_hears_result(&t[0], "1", "{}");
	talker_open(&t[1], s.relay);
	talker_say(&t[1], CALL("1", "echo"));
	do {
		both_pause();
		relay_stats_get(s.relay, &stats);
	} while (stats.sessions_now < 2);
	both_pause();
	want_ok(talker_close(&t[0]));
	talker_hears_result(&t[1], "1", "{}");
	want_ok(talker_close(&t[1]));
	want(end().servers_started == 2);
	return WEFT_OK;
}

BOTH_TEST(silence_while_an_answer_is_owed_is_an_error)
{
	const char *silent = weft_in_sim() ? "silent for 100 ms" : "silent for 500 ms";
	struct talker t;

	setup();
	s.options.read_timeout_ns = both_ample_ns(100 * MS);
	begin();
	talker_open(&t, s.relay);
	talker_say(&t, CALL("1", "hold"));
	talker_hears_error(&t, "1", -32000, silent);
	talker_say(&t, CALL("2", "hold"));
	talker_hears_error(&t, "2", -32000, silent);
	talker_say(&t, CALL("3", "echo"));
	talker_hears_result(&t, "3", "{}");
	want_ok(talker_close(&t));
	want(counter_get(&s.fake.cancels) == 2);
	end();
	return WEFT_OK;
}

BOTH_TEST(an_idle_session_ends_and_one_that_waits_does_not)
{
	struct talker t;

	setup();
	s.options.idle_timeout_ns = both_ample_ns(50 * MS);
	begin();
	talker_open(&t, s.relay);
	talker_say(&t, CALL("1", "hold"));
	both_sleep_ns(400 * MS);
	talker_say(&t, CALL("2", "release"));
	talker_hears_result(&t, "1", "{}");
	talker_hears_result(&t, "2", "{}");
	talker_hears_end(&t);
	want_ok(talker_close(&t));
	end();
	return WEFT_OK;
}

BOTH_TEST(a_client_that_ended_is_waited_for_while_it_is_owed)
{
	struct talker t;

	setup();
	s.options.drain_timeout_ns = 50 * MS;
	begin();
	talker_open(&t, s.relay);
	talker_say(&t, CALL("1", "hold"));
	wait_count(&s.fake.started, 1);
	want_ok(talker_close(&t));
	end();
	return WEFT_OK;
}

BOTH_TEST(a_relay_that_is_stopped_ends_its_sessions)
{
	struct talker t[2];

	setup();
	begin();
	for (unsigned i = 0; i < 2; i++)
		talker_open(&t[i], s.relay);
	talker_initialize(&t[0]);
	relay_stop(s.relay);
	talker_hears_end(&t[0]);
	for (unsigned i = 0; i < 2; i++)
		want_ok(talker_close(&t[i]));
	end();
	return WEFT_OK;
}

/* ---- servers that break the rules, over a stream of bytes ---- */

#define LIMIT 1000

static struct {
	weft_conn *conn; /* the server's end */
	weft_fiber *fiber;
	bool is_over;
} raw;

static weft_err write_text(const char *text)
{
	return weft_conn_write(raw.conn, text, strlen(text), NULL, WEFT_FOREVER);
}

/* Says what each line that it gets asks for, ids as they are to be for the first requests. */
static weft_err raw_server(void *arg)
{
	static char large[2 * LIMIT];
	size_t got;
	char c;

	(void)arg;
	memset(large, 'x', sizeof(large) - 1);
	for (unsigned line = 0; !weft_conn_read(raw.conn, &c, 1, &got, WEFT_FOREVER);) {
		if (c != '\n')
			continue;
		if (line == 0) {
			want_ok(write_text("no JSON\r\n\r\n[1,[]]\n{\"id\":0}\n"));
		} else if (line == 1) {
			want_ok(write_text("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\""));
			want_ok(write_text(large));
			want_ok(write_text("\"}\n"));
		} else if (line == 2) { /* a request, with a number that is in flight, too */
			want_ok(write_text(
				"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"x\",\"params\":[\""));
			want_ok(write_text(large));
			want_ok(write_text("\"]}\n"));
		} else { /* it was answered */
			want_ok(write_text("{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n"));
		}
		line++;
	}
	return WEFT_OK;
}

static weft_err raw_connect(void *user, weft_transport **out, weft_deadline until)
{
	weft_transport_options options = WEFT_TRANSPORT_OPTIONS_DEFAULT;
	weft_conn *ends[2];

	(void)user;
	(void)until;
	options.message_size_max = LIMIT;
	want_ok(weft_conn_pair(ends, 0));
	raw.conn = ends[1];
	want_ok(weft_spawn(&raw.fiber, "raw", raw_server, NULL));
	return weft_transport_lines_own(out, ends[0], &options);
}

static void raw_free(void *user)
{
	(void)user;
}

static const weft_outgoing_ops raw_ops = { raw_connect, raw_free };

BOTH_TEST(what_is_no_message_is_an_error_for_whom_it_was_meant_for)
{
	struct relay_stats stats;
	struct talker t;

	setup();
	s.options.name = "raw";
	want_ok(weft_outgoing_create(&s.options.outgoing, &raw_ops, NULL, "raw"));
	want_ok(relay_create(&s.relay, &s.options));
	talker_open(&t, s.relay);
	talker_say(&t, CALL("\"a\"", "x"));
	talker_hears_error(&t, "\"a\"", -32000, "no message of JSON-RPC");
	talker_say(&t, CALL("\"b\"", "x"));
	talker_hears_error(&t, "\"b\"", -32000, "at most 1000 bytes");
	talker_say(&t, CALL("\"c\"", "x"));
	talker_hears_result(&t, "\"c\"", "{}");
	want_ok(talker_close(&t));
	want_ok(weft_fiber_join(raw.fiber, NULL, WEFT_FOREVER));
	weft_conn_free(raw.conn);
	relay_stats_get(s.relay, &stats);
	want(stats.invalid == 6); /* of the batch: both elements */
	relay_free(s.relay);
	weft_outgoing_free(s.options.outgoing);
	return WEFT_OK;
}

/* Requests of which something can be said; nobody waits for an answer to the others. */
BOTH_TEST(a_client_that_says_no_message_is_told_so)
{
	weft_transport_options options = WEFT_TRANSPORT_OPTIONS_DEFAULT;
	unsigned answers = 0;
	weft_conn *ends[2];
	weft_transport *client;
	char text[4096];
	size_t got = 0, n;
	int len;

	setup();
	begin();
	options.message_size_max = 300;
	len = snprintf(text, sizeof(text),
		"{\"id\":7}\nx\n"
		"{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"%0400d\"}\n"
		"{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":\"%0400d\"}\n"
		"{\"jsonrpc\":\"2.0\",\"method\":\"%0400d\"}\n",
		0, 0, 0);
	want_ok(weft_conn_pair(ends, 0));
	want_ok(weft_conn_write(ends[0], text, (size_t)len, NULL, WEFT_FOREVER));
	want_ok(weft_conn_shutdown(ends[0]));
	want_ok(weft_transport_lines_own(&client, ends[1], &options));
	want_ok(relay_serve(s.relay, client));
	while (!weft_conn_read(ends[0], text + got, sizeof(text) - 1 - got, &n, WEFT_FOREVER))
		got += n;
	weft_conn_free(ends[0]);
	text[got] = '\0';
	for (size_t i = 0; i < got; i++)
		answers += text[i] == '\n';
	want(answers == 3 && strstr(text, "\"id\":7") && strstr(text, "\"id\":null") &&
		strstr(text, "\"id\":8") && strstr(text, "-32700"));
	want(end().invalid == 5);
	return WEFT_OK;
}

/* ---- without memory ---- */

BOTH_TEST(wrong_options_are_named)
{
	setup();
	fake_open(&s.fake, &s.options);
	s.options.idle_timeout_ns = -1;
	want_err(WEFT_EINVAL, relay_create(&s.relay, &s.options));
	want(strstr(weft_error_detail(), "idle_timeout_ns") != NULL);
	fake_close(&s.fake, &s.options);
	return WEFT_OK;
}

/* False: the session has ended. Else there is an answer, or memory was short for the request. */
static bool ask_whatever_comes(struct talker *t, const char *text)
{
	weft_message m;
	weft_err err;

	CAMPAIGN_INSIST(weft_message_copy(&m, NULL, text, strlen(text), NULL));
	err = weft_transport_send_own(t->end, &m, WEFT_FOREVER);
	if (err)
		return err == WEFT_ENOMEM;
	if (weft_transport_receive(t->end, &m, weft_after_ms(60000)))
		return false;
	want(m.rpc.kind == WEFT_JSONRPC_RESPONSE || m.rpc.kind == WEFT_JSONRPC_ERROR);
	weft_message_fini(&m);
	return true;
}

static weft_err scarce_body(void *arg)
{
	static const char *const texts[] = { CALL("0", "initialize"), CALL("1", "echo"),
		CALL("2", "die"), CALL("3", "progress"), CALL("4", "server/discover") };
	struct talker t;
	bool goes_on = true;
	weft_err err;

	setup();
	s.options.is_shared = arg != NULL;
	s.options.read_timeout_ns = 1000 * MS;
	fake_open(&s.fake, &s.options);
	err = relay_create(&s.relay, &s.options);
	if (!err) {
		talker_open(&t, s.relay);
		for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && goes_on; i++)
			goes_on = ask_whatever_comes(&t, texts[i]);
		(void)talker_close(&t);
		end();
	} else {
		fake_close(&s.fake, &s.options);
	}
	return err;
}

START_TEST(without_memory_nothing_is_left)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	bool is_shared = true;
	uint64_t rounds = 0;

	T_EACH_FAILING_MALLOC(n) {
		weft_err err = weft_sim_run(scarce_body, _i ? &is_shared : NULL, &options, NULL);

		ck_assert_msg(!err || (err == WEFT_ENOMEM && t_malloc_failed()), "%s",
			weft_error_detail());
		rounds = n;
	}
	ck_assert_uint_gt(rounds, 100);
}
END_TEST

static void relay_tests(TCase *tc)
{
	both_add(tc, what_is_no_message_is_an_error_for_whom_it_was_meant_for);
	both_add(tc, a_client_that_says_no_message_is_told_so);
	both_add(tc, wrong_options_are_named);
	t_add_loop(tc, without_memory_nothing_is_left, 0, 2);
	both_add(tc, an_answer_comes_back_under_its_own_id);
	both_add(tc, each_session_has_a_server_of_its_own);
	both_add(tc, progress_bears_the_clients_token);
	both_add(tc, a_cancelled_request_is_cancelled_at_the_server_and_not_answered);
	both_add(tc, an_id_that_comes_back_as_a_text_is_the_same_id);
	both_add(tc, what_servers_that_ignore_case_would_read_otherwise_is_refused);
	both_add(tc, answers_to_what_nobody_asked_are_dropped);
	both_add(tc, a_server_may_ask_its_client);
	both_add(tc, a_lost_server_is_replaced_and_initialized_again);
	both_add(tc, a_server_that_does_not_start_is_an_error_that_says_so);
	both_add(tc, a_server_is_started_several_times_before_that);
	both_add(tc, a_server_that_dies_again_and_again_ends_the_session);
	both_add(tc, a_server_that_was_there_is_waited_for_while_requests_wait);
	both_add(tc, each_message_at_the_clients_side_is_recorded);
	both_add(tc, what_is_in_flight_is_bounded);
	both_add(tc, sessions_and_servers_are_bounded);
	both_add(tc, a_session_waits_a_moment_for_the_server_of_one_that_ends);
	both_add(tc, silence_while_an_answer_is_owed_is_an_error);
	both_add(tc, an_idle_session_ends_and_one_that_waits_does_not);
	both_add(tc, a_client_that_ended_is_waited_for_while_it_is_owed);
	both_add(tc, a_relay_that_is_stopped_ends_its_sessions);
}

T_SUITE("relay", relay_tests)
