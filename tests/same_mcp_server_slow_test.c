/* SPDX-License-Identifier: MIT */
/* The front for clients of the Model Context Protocol: clients that are slow, deaf, or gone, and what of
 * it others have to bear. Over the loopback and simulated. */
#include "support/mcpd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define META                                                                     \
	"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
	"\"io.modelcontextprotocol/clientCapabilities\":{},\"progressToken\":1}"
#define MS INT64_C(1000000)

/* ---- what is kept ---- */

BOTH_TEST(a_flood_of_notifications_costs_no_answer)
{
	struct mcpd_options options = { .mcp.replay_events_max = 8 };
	struct mcp_say s = { .version = "2025-11-25", .body = RPC("\"q\"", "log", "{}") };
	char session[MCP_SESSION_SIZE], id[MCP_ID_SIZE], data[256];
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-11-25", session);
	s.session = session;
	mcp_say(conn, &s);
	hear_stream(conn);
	hear_data_is(conn, "", NULL, 0);
	hear_data(conn, data, sizeof(data), id, sizeof(id));
	hear_data_is(conn, RPC_RESULT("\"q\"", "null"), NULL, 0);
	hear_stream_end(conn);
	/* nobody listens: they are kept for who does */
	for (int i = 0; i < 50; i++)
		mcp_ask_is(conn, session, RPC("2", "changed", "{}"), 200, NULL);
	mcp_listen(conn, "2025-11-25", session, id);
	hear_data_is(conn, RPC_RESULT("\"q\"", "null"), NULL, 0);
	hear_stream_end(conn);
	/* of those the newest, as many as there is room for */
	mcp_listen(conn, "2025-11-25", session, NULL);
	hear_data_is(conn, "", NULL, 0);
	for (int i = 0; i < 6; i++)
		hear_data_is(conn, CHANGED, NULL, 0);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(answers_that_are_kept_leave_room_for_notifications)
{
	struct mcpd_options options = { .mcp.replay_events_max = 8 };
	struct mcp_say s = { .version = "2025-06-18",
		.accept = "text/event-stream, application/json",
		.body = CALL };
	char session[MCP_SESSION_SIZE];
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	s.session = session;
	for (int i = 0; i < 20; i++) {
		mcp_say(conn, &s);
		hear_stream(conn);
		hear_data_is(conn, RPC_RESULT("1", "[]"), NULL, 0);
		hear_stream_end(conn);
	}
	for (int i = 0; i < 20; i++)
		mcp_ask_is(conn, session, RPC("2", "changed", "{}"), 200, NULL);
	mcp_listen(conn, "2025-11-25", session, NULL);
	hear_data_is(conn, "", NULL, 0);
	for (int i = 0; i < 4; i++)
		hear_data_is(conn, CHANGED, NULL, 0);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

static weft_err ask_too_much(bool by_sink)
{
	struct mcpd_options options = { .mcp.replay_events_max = 4, .by_sink = by_sink };
	char session[MCP_SESSION_SIZE];
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-11-25", session);
	for (int i = 0; i < 10; i++)
		mcp_ask_is(conn, session, RPC_NOTE("ask_me", "{}"), 202, "");
	while (counter_get(&d.refusals) < 6)
		both_pause();
	want(strstr(d.last, "not there to be asked") && strstr(d.last, "\"id\":\"s-1\""));
	mcp_listen(conn, "2025-11-25", session, NULL);
	hear_data_is(conn, "", NULL, 0);
	for (int i = 0; i < 4; i++)
		hear_data_is(conn, ROOTS, NULL, 0);
	want(counter_get(&d.refusals) == 6);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(a_question_that_nobody_saw_is_answered_when_it_is_dropped)
{
	return ask_too_much(false);
}

BOTH_TEST(a_sink_that_asks_too_much_is_answered_in_its_own_fiber)
{
	return ask_too_much(true);
}

BOTH_TEST(a_flood_of_notifications_costs_no_question)
{
	struct mcpd_options options = { .mcp.replay_events_max = 8 };
	char session[MCP_SESSION_SIZE];
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-11-25", session);
	for (int i = 0; i < 4; i++)
		mcp_ask_is(conn, session, RPC_NOTE("ask_me", "{}"), 202, "");
	while (counter_get(&d.notes) < 5) /* initialized, too */
		both_pause();
	for (int i = 0; i < 50; i++)
		mcp_ask_is(conn, session, RPC("2", "changed", "{}"), 200, NULL);
	mcp_listen(conn, "2025-11-25", session, NULL);
	hear_data_is(conn, "", NULL, 0);
	for (int i = 0; i < 4; i++)
		hear_data_is(conn, ROOTS, NULL, 0);
	for (int i = 0; i < 4; i++)
		hear_data_is(conn, CHANGED, NULL, 0);
	want(counter_get(&d.refusals) == 0);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

/* ---- slow readers ---- */

BOTH_TEST(a_slow_reader_gets_its_answer_of_who_does_not_wait_for_it)
{
	struct mcpd_options options = { .mcp = { .replay_bytes_max = 20000 }, .is_hasty = true };
	struct mcp_say s = { .body = RPC("1", "progress",
				     "{\"count\":3000,\"_meta\":{\"progressToken\":1}}") };
	char session[MCP_SESSION_SIZE], data[256];
	weft_conn *conn;
	struct mcpd d;
	int n = 0;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	s.session = session;
	mcp_say(conn, &s);
	hear_stream(conn);
	do {
		if (n % 500 == 0)
			both_pause();
		hear_data(conn, data, sizeof(data), NULL, 0);
	} while (n++ < 3000);
	want(strcmp(data, RPC_RESULT("1", "null")) == 0);
	hear_stream_end(conn);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(an_answer_is_the_last_of_its_stream_whatever_waits_for_room)
{
	struct mcpd_options options = { .mcp = { .replay_bytes_max = 2000 } };
	char body[256];
	struct mcp_say s = { .body = body };
	char session[MCP_SESSION_SIZE], data[256];
	weft_conn *conn, *slow;
	struct mcpd d;

	snprintf(body, sizeof(body),
		RPC("1", "progress", "{\"count\":%d,\"_meta\":{\"progressToken\":1}}"),
		weft_in_sim() ? 1500 : 10000);
	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	slow = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	s.session = session;
	mcp_say(slow, &s);
	hear_stream(slow);
	mcp_ask_is(
		conn, session, RPC_NOTE("notifications/cancelled", "{\"requestId\":1}"), 202, "");
	do {
		hear_data(slow, data, sizeof(data), NULL, 0);
	} while (!strstr(data, "has cancelled"));
	hear_stream_end(slow);
	weft_conn_free(slow);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

#define OLD_ANSWERS 40

BOTH_TEST(a_slow_client_of_http_sse_gets_all_answers_of_who_does_not_wait_for_it)
{
	static char event[20000];
	struct mcpd_options options = { .mcp = { .replay_bytes_max = 30000 }, .is_hasty = true };
	struct mcp_say s = { .method = "GET", .path = "/sse", .accept = "text/event-stream" };
	char path[256], body[128], seen[OLD_ANSWERS] = "";
	weft_conn *conn, *stream;
	struct mcpd d;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	stream = mcpd_connect(&d);
	mcp_say(stream, &s);
	hear_stream(stream);
	hear_data(stream, path, sizeof(path), NULL, 0);
	s = (struct mcp_say){ .path = path, .accept = "", .body = body };
	for (int i = 0; i < OLD_ANSWERS; i++) {
		snprintf(body, sizeof(body), RPC("%d", "big", "{\"size\":10000}"), i);
		mcp_say(conn, &s);
		hear_answer_is(conn, 202, "");
	}
	want(mcpd_stats(&d).replay_bytes <= 30000 + 10100);
	for (int i = 0; i < OLD_ANSWERS; i++) {
		int id;

		hear_data(stream, event, sizeof(event), NULL, 0);
		want(sscanf(event, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":\"xxxx", &id) == 1);
		want(id >= 0 && id < OLD_ANSWERS && !seen[id]);
		seen[id] = 1;
	}
	weft_conn_free(stream);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

/* All share one server: none waits for another's client. */
BOTH_TEST(a_deaf_client_without_a_session_holds_up_nobody)
{
	struct mcpd_options options = { .mcp = { .replay_bytes_max = 20000 } };
	char body[512];
	struct mcp_say s = {
		.version = "2026-07-28", .fields = "Mcp-Method: progress\r\n", .body = body
	};
	weft_deadline until;
	weft_conn *conn, *deaf;
	struct answer answer;
	struct mcpd d;

	/* more than what the system takes by itself */
	snprintf(body, sizeof(body), RPC("1", "progress", "{\"count\":%d," META "}"),
		weft_in_sim() ? 2000 : 40000);
	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	deaf = mcpd_connect(&d);
	mcp_say(deaf, &s);
	until = weft_after_ns(20000 * MS); /* it would have been given up after 30 s */
	while (mcpd_stats(&d).requests < 1 || mcpd_stats(&d).requests_now) {
		want(mcpd_stats(&d).replay_bytes <= 20000 + 200);
		want(weft_now() < until);
		both_pause();
	}
	s.fields = "Mcp-Method: echo\r\n";
	s.body = RPC("1", "echo", "{" META "}");
	mcp_ask(conn, &s, &answer);
	want(answer.status == 200);
	weft_conn_free(deaf);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(a_subscription_whose_client_is_deaf_ends)
{
	struct mcpd_options options = { .mcp = { .replay_events_max = 4 },
		.has_http = true,
		.http = WEFT_HTTP_SERVER_OPTIONS_DEFAULT };
	struct mcp_say s = { .version = "2026-07-28",
		.fields = "Mcp-Method: subscriptions/listen\r\n",
		.body = RPC("\"sub\"", "subscriptions/listen", "{" META "}") };
	weft_conn *conn, *deaf;
	struct answer answer;
	struct mcpd d;

	options.http.write_timeout_ns = 50 * MS;
	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	deaf = mcpd_connect(&d);
	mcp_say(deaf, &s);
	while (!mcpd_stats(&d).streams_now)
		both_pause();
	s.fields = "Mcp-Method: poke\r\n";
	s.body = RPC("1", "poke", "{\"pad\":100000," META "}");
	while (!counter_get(&d.cancelled)) {
		mcp_ask(conn, &s, &answer);
		want(answer.status == 200);
	}
	want(mcpd_stats(&d).streams_now == 0);
	weft_conn_free(deaf);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

/* ---- clients that are gone ---- */

BOTH_TEST(a_session_whose_client_has_gone_is_idle_whatever_it_still_waits_for)
{
	struct mcpd_options options = { .mcp = { .idle_timeout_ns = both_ample_ns(100 * MS),
						.json_wait_ns = MS } };
	struct mcp_say s = { .version = "2025-06-18", .body = RPC("1", "silent", "{}") };
	char session[MCP_SESSION_SIZE];
	weft_conn *conn;
	struct mcpd d;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	s.session = session;
	mcp_say(conn, &s);
	hear_stream(conn);
	both_sleep_ns(800 * MS);
	want(mcpd_stats(&d).sessions_now == 1);
	weft_conn_free(conn);
	while (mcpd_stats(&d).sessions_now)
		both_sleep_ns(5 * MS);
	want(mcpd_stats(&d).sessions_expired == 1 && mcpd_stats(&d).requests_now == 0);
	mcpd_close(&d);
	return WEFT_OK;
}

static void slow_tests(TCase *tc)
{
	both_add(tc, a_flood_of_notifications_costs_no_answer);
	both_add(tc, answers_that_are_kept_leave_room_for_notifications);
	both_add(tc, a_flood_of_notifications_costs_no_question);
	both_add(tc, a_question_that_nobody_saw_is_answered_when_it_is_dropped);
	both_add(tc, a_sink_that_asks_too_much_is_answered_in_its_own_fiber);
	both_add(tc, a_slow_reader_gets_its_answer_of_who_does_not_wait_for_it);
	both_add(tc, an_answer_is_the_last_of_its_stream_whatever_waits_for_room);
	both_add(tc, a_slow_client_of_http_sse_gets_all_answers_of_who_does_not_wait_for_it);
	both_add(tc, a_deaf_client_without_a_session_holds_up_nobody);
	both_add(tc, a_subscription_whose_client_is_deaf_ends);
	both_add(tc, a_session_whose_client_has_gone_is_idle_whatever_it_still_waits_for);
}

T_SUITE("mcp_server_slow", slow_tests)
