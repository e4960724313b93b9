/* SPDX-License-Identifier: MIT */
/* The front for clients of the Model Context Protocol, over the loopback and simulated: requests
 * and answers in sessions. */
#include "support/mcpd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGGED RPC_NOTE("notifications/message", "{\"level\":\"info\",\"data\":\"hello\"}")

BOTH_TEST(a_session_begins_answers_and_ends)
{
	char session[MCP_SESSION_SIZE];
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-11-25", session);
	mcp_ask_is(conn, session, RPC("1", "echo", "{\"a\":[1,2]}"), 200,
		RPC_RESULT("1", "{\"a\":[1,2]}"));
	mcp_ask_is(conn, session, RPC("\"x\"", "echo", "[]"), 200, RPC_RESULT("\"x\"", "[]"));
	mcp_ask_is(conn, session, RPC("2", "fail", "{}"), 200,
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":7,\"message\":\"failed\"}}");
	mcp_say(conn, &(struct mcp_say){ .method = "DELETE", .session = session });
	hear_answer_is(conn, 204, "");
	mcp_ask_is(conn, session, RPC("3", "echo", "[]"), 404, NULL);
	weft_conn_free(conn);
	mcpd_close(&d);
	want(counter_get(&d.sessions) == 1);
	return WEFT_OK;
}

BOTH_TEST(a_sink_answers_in_the_handlers_own_fiber)
{
	struct mcpd_options options = { .by_sink = true };
	char session[MCP_SESSION_SIZE];
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-11-25", session);
	for (int i = 0; i < 5; i++)
		mcp_ask_is(conn, session, RPC("1", "echo", "[7]"), 200, RPC_RESULT("1", "[7]"));
	mcp_ask_is(conn, session, RPC("2", "slow", "{\"ms\":1}"), 200, RPC_RESULT("2", "null"));
	weft_conn_free(conn);
	mcpd_close(&d);
	want(counter_get(&d.notes) == 1); /* a sink had it before the 202 */
	return WEFT_OK;
}

/* ---- statuses ---- */

BOTH_TEST(a_post_that_is_not_as_it_should_be_is_told_why)
{
	static const char null_id[] = RPC("null", "echo", "[]");
	struct mcp_say s = { .body = CALL };
	char session[MCP_SESSION_SIZE];
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-11-25", session);
	mcp_status_is(conn, &s, 400, "Mcp-Session-Id is missing");
	s.session = "0123456789abcdef0123456789abcdef0123456789abcdef";
	mcp_status_is(conn, &s, 404, "no such session");
	s.session = "x";
	mcp_status_is(conn, &s, 404, "no such session");
	s.session = session;
	s.accept = "application/json";
	mcp_status_is(conn, &s, 406, "text/event-stream");
	s.accept = "text/event-stream";
	mcp_status_is(conn, &s, 406, "application/json");
	s.accept = "";
	mcp_status_is(conn, &s, 406, "Accept must list");
	s.accept = "text/event-stream;q=0.5, application/json";
	mcp_status_is(conn, &s, 200, "[]");
	s.accept = "application/json\r\nAccept: text/event-stream";
	mcp_status_is(conn, &s, 200, "[]");
	s.accept = NULL;
	s.type = "text/plain";
	mcp_status_is(conn, &s, 415, "application/json");
	s.type = "";
	mcp_status_is(conn, &s, 415, "application/json");
	s.type = "application/json; charset=utf-8";
	mcp_status_is(conn, &s, 200, "[]");
	s.type = NULL;
	s.version = "2099-01-01";
	mcp_status_is(conn, &s, 400, "\"code\":-32022");
	mcp_status_is(conn, &s, 400, "\"requested\":\"2099-01-01\"");
	mcp_status_is(conn, &s, 400, "\"2025-11-25\"");
	s.version = "2024-11-05";
	mcp_status_is(conn, &s, 200, "[]");
	s.version = NULL;
	s.body = "{";
	mcp_status_is(conn, &s, 400, "-32700");
	s.body = "";
	mcp_status_is(conn, &s, 400, "-32700");
	s.body = "{\"id\":5}";
	mcp_status_is(conn, &s, 400, "\"id\":5");
	mcp_status_is(conn, &s, 400, "-32600");
	s.body = null_id;
	mcp_status_is(conn, &s, 400, "its id is null");
	s.body = RPC("1", "initialize", "{\"protocolVersion\":\"2025-11-25\"}");
	mcp_status_is(conn, &s, 400, "initialized already");
	mcp_ask_is(conn, session, CALL, 200, RPC_RESULT("1", "[]"));
	weft_conn_free(conn);
	mcpd_close(&d);
	want(counter_get(&d.sessions) == 1);
	return WEFT_OK;
}

BOTH_TEST(get_and_delete_want_a_session_too)
{
	struct mcp_say get = { .method = "GET", .accept = "text/event-stream" };
	struct mcp_say del = { .method = "DELETE" };
	char session[MCP_SESSION_SIZE];
	struct answer answer;
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-11-25", session);
	mcp_status_is(conn, &get, 400, "is missing");
	mcp_status_is(conn, &del, 400, "is missing");
	get.session = del.session = "nobody";
	mcp_status_is(conn, &get, 404, "no such session");
	mcp_status_is(conn, &del, 404, "no such session");
	get.session = del.session = session;
	get.version = del.version = "1";
	mcp_status_is(conn, &get, 400, "-32022");
	mcp_status_is(conn, &del, 400, "-32022");
	get.version = del.version = "2026-07-28";
	mcp_status_is(conn, &get, 405, "");
	mcp_status_is(conn, &del, 405, "");
	get.version = NULL;
	get.accept = "application/json";
	mcp_status_is(conn, &get, 406, "text/event-stream");
	get.accept = "text/event-stream";
	get.fields = "Last-Event-ID: nonsense\r\n";
	mcp_status_is(conn, &get, 400, "Last-Event-ID is none");
	get.fields = "Last-Event-ID: 99-1\r\n";
	mcp_status_is(conn, &get, 400, "Last-Event-ID is none");
	mcp_status_is(conn, &(struct mcp_say){ .method = "PUT", .session = session }, 405, "");
	mcp_say(conn, &(struct mcp_say){ .method = "HEAD", .session = session });
	hear_head(conn, &answer);
	want(answer.status == 405 && has_line(&answer, "Allow: GET, POST, DELETE"));
	mcp_say(conn, &(struct mcp_say){ .method = "HEAD", .path = "/sse" });
	hear_head(conn, &answer);
	want(answer.status == 405);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(an_initialize_that_is_refused_leaves_no_session)
{
	struct mcp_say s = { .body = RPC("1", "initialize", "{\"refuse\":1}") };
	weft_mcp_server_stats stats;
	char event[1024];
	struct answer answer;
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	mcp_ask(conn, &s, &answer);
	want(answer.status == 200 && strstr(answer.body, "refused"));
	want(!strstr(answer.head, "Session"));
	weft_mcp_server_stats_get(d.mcp, &stats);
	want(stats.sessions == 1 && stats.sessions_now == 0);
	/* also where it was named before its server said so */
	s.accept = "text/event-stream, application/json";
	mcp_say(conn, &s);
	hear_stream(conn);
	hear_event(conn, event, sizeof(event));
	want(strstr(event, "refused"));
	hear_stream_end(conn);
	do {
		both_pause();
		weft_mcp_server_stats_get(d.mcp, &stats);
	} while (stats.sessions_now != 0);
	want(stats.sessions == 2);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(a_body_over_the_limit_is_told_so_and_the_session_goes_on)
{
	struct mcpd_options options = { .mcp.transport.message_size_max = 1000 };
	char session[MCP_SESSION_SIZE], body[1200];
	struct mcp_say s = { .body = body };
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-11-25", session);
	s.session = session;
	snprintf(body, sizeof(body), RPC("1", "echo", "[\"%0*d\"]"), 1000 - (int)strlen(CALL) - 2,
		1);
	want(strlen(body) == 1000);
	mcp_status_is(conn, &s, 200, "0001");
	snprintf(body, sizeof(body), RPC("1", "echo", "[\"%0*d\"]"), 1001 - (int)strlen(CALL) - 2,
		1);
	mcp_status_is(conn, &s, 413, "larger than 1000 bytes");
	mcp_status_is(conn, &s, 413, "\"id\":1,");
	mcp_ask_is(conn, session, CALL, 200, RPC_RESULT("1", "[]"));
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

/* ---- event streams ---- */

/* That event of that stream of the session's. */
static void want_id(const char *id, unsigned stream, unsigned event)
{
	char wanted[MCP_ID_SIZE];

	snprintf(wanted, sizeof(wanted), "%u-%u-MQ==", stream, event);
	want(strcmp(id, wanted) == 0);
}

BOTH_TEST(an_answer_that_takes_long_comes_as_an_event)
{
	struct mcpd_options options = { .mcp.json_wait_ns = 1000000 };
	struct mcp_say s = { .version = "2025-11-25", .body = RPC("1", "held", "{\"n\":1}") };
	char session[MCP_SESSION_SIZE], id[MCP_ID_SIZE];
	unsigned stream = 1;
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-11-25", session);
	s.session = session;
	mcp_say(conn, &s);
	hear_stream(conn);
	hear_data_is(conn, "", id, sizeof(id)); /* it primes */
	/* on a machine that is busy the answer to initialize was such a stream, too */
	if (!weft_in_sim() && strncmp(id, "2-", 2) == 0)
		stream = 2;
	want_id(id, stream, 0);
	(void)counter_add(&d.let_go, 1);
	hear_data_is(conn, RPC_RESULT("1", "null"), id, sizeof(id));
	want_id(id, stream, 1);
	hear_stream_end(conn);
	/* older clients can't read an event without data */
	s.version = "2025-06-18";
	s.body = RPC("1", "held", "{\"n\":2}");
	mcp_say(conn, &s);
	hear_stream(conn);
	(void)counter_add(&d.let_go, 1);
	hear_data_is(conn, RPC_RESULT("1", "null"), id, sizeof(id));
	want_id(id, stream + 1, 1);
	hear_stream_end(conn);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(what_belongs_to_a_request_comes_on_its_stream_before_the_answer)
{
	struct mcp_say s = { .body = RPC("9", "progress",
				     "{\"count\":3,\"_meta\":{\"progressToken\":\"tok\"}}") };
	char session[MCP_SESSION_SIZE], text[256];
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-11-25", session);
	s.session = session;
	mcp_say(conn, &s);
	hear_stream(conn);
	for (int i = 0; i < 3; i++) {
		snprintf(text, sizeof(text),
			RPC_NOTE("notifications/progress",
				"{\"progressToken\":\"tok\",\"progress\":%d}"),
			i);
		hear_data_is(conn, text, NULL, 0);
	}
	hear_data_is(conn, RPC_RESULT("9", "null"), NULL, 0);
	hear_stream_end(conn);
	s.body = RPC("10", "log", "{}");
	mcp_say(conn, &s);
	hear_stream(conn);
	hear_data_is(conn, LOGGED, NULL, 0);
	hear_data_is(conn, RPC_RESULT("10", "null"), NULL, 0);
	hear_stream_end(conn);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(a_request_of_the_servers_is_answered_by_another_post)
{
	struct mcp_say s = { .body = RPC("1", "ask", "{}") };
	char session[MCP_SESSION_SIZE];
	struct mcpd d;
	weft_conn *conn, *other;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	other = mcpd_connect(&d);
	mcp_initialize(conn, "2025-11-25", session);
	s.session = session;
	mcp_say(conn, &s);
	hear_stream(conn);
	hear_data_is(conn, ROOTS, NULL, 0);
	mcp_ask_is(other, session, RPC_RESULT("\"s-1\"", "{\"roots\":[]}"), 202, "");
	hear_data_is(conn, RPC_RESULT("1", "null"), NULL, 0);
	hear_stream_end(conn);
	weft_conn_free(conn);
	weft_conn_free(other);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(what_belongs_to_no_request_comes_on_the_stream_of_a_get)
{
	char session[MCP_SESSION_SIZE], id[MCP_ID_SIZE];
	struct mcpd d;
	weft_conn *conn, *listener;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	listener = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	/* before somebody listens: it waits */
	mcp_ask_is(conn, session, RPC("1", "changed", "{}"), 200, RPC_RESULT("1", "null"));
	mcp_listen(listener, NULL, session, NULL);
	hear_data_is(listener, CHANGED, id, sizeof(id));
	want(strcmp(id, "1-1") == 0);
	mcp_ask_is(conn, session, RPC("2", "changed", "{}"), 200, RPC_RESULT("2", "null"));
	hear_data_is(listener, CHANGED, id, sizeof(id));
	want(strcmp(id, "1-2") == 0);
	/* the session's end is the stream's */
	mcp_say(conn, &(struct mcp_say){ .method = "DELETE", .session = session });
	hear_answer_is(conn, 204, "");
	hear_stream_end(listener);
	weft_conn_free(conn);
	weft_conn_free(listener);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(each_message_goes_on_one_stream_alone)
{
	char session[MCP_SESSION_SIZE];
	struct mcpd d;
	weft_conn *conn, *a, *b;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	a = mcpd_connect(&d);
	b = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	mcp_listen(a, NULL, session, NULL);
	mcp_ask_is(conn, session, RPC("1", "changed", "{}"), 200, NULL);
	hear_data_is(a, CHANGED, NULL, 0);
	mcp_listen(b, NULL, session, NULL);
	mcp_ask_is(conn, session, RPC("2", "changed", "{}"), 200, NULL);
	hear_data_is(b, CHANGED, NULL, 0);
	mcp_say(conn, &(struct mcp_say){ .method = "DELETE", .session = session });
	hear_answer_is(conn, 204, "");
	hear_stream_end(a);
	hear_stream_end(b);
	weft_conn_free(conn);
	weft_conn_free(a);
	weft_conn_free(b);
	mcpd_close(&d);
	return WEFT_OK;
}

/* ---- coming back ---- */

static void wait_for_streams(struct mcpd *d, size_t n)
{
	weft_mcp_server_stats stats;

	do {
		both_pause();
		weft_mcp_server_stats_get(d->mcp, &stats);
	} while (stats.streams_now != n);
}

BOTH_TEST(a_client_that_goes_cancels_nothing_and_may_come_back_for_its_answer)
{
	struct mcp_say s = { .version = "2025-11-25", .body = RPC("\"q\"", "ask", "{}") };
	char session[MCP_SESSION_SIZE], id[MCP_ID_SIZE];
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-11-25", session);
	s.session = session;
	mcp_say(conn, &s);
	hear_stream(conn);
	hear_data_is(conn, "", NULL, 0);
	hear_data_is(conn, ROOTS, id, sizeof(id));
	weft_conn_free(conn);
	wait_for_streams(&d, 0);
	conn = mcpd_connect(&d);
	mcp_ask_is(conn, session, RPC_RESULT("\"s-1\"", "{}"), 202, "");
	mcp_listen(conn, NULL, session, id);
	hear_data_is(conn, RPC_RESULT("\"q\"", "null"), NULL, 0);
	hear_stream_end(conn);
	/* once more: it is kept */
	mcp_listen(conn, NULL, session, id);
	hear_data_is(conn, RPC_RESULT("\"q\"", "null"), id, sizeof(id));
	hear_stream_end(conn);
	/* from behind it there is nothing more */
	mcp_listen(conn, NULL, session, id);
	hear_stream_end(conn);
	weft_conn_free(conn);
	mcpd_close(&d);
	want(counter_get(&d.cancelled) == 0);
	return WEFT_OK;
}

BOTH_TEST(who_is_back_before_the_answer_gets_it_when_it_comes)
{
	struct mcp_say s = { .version = "2025-11-25", .body = RPC("7", "ask", "{}") };
	char session[MCP_SESSION_SIZE], id[MCP_ID_SIZE];
	struct mcpd d;
	weft_conn *conn, *other;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	other = mcpd_connect(&d);
	mcp_initialize(conn, "2025-11-25", session);
	s.session = session;
	mcp_say(conn, &s);
	hear_stream(conn);
	hear_data_is(conn, "", id, sizeof(id));
	hear_data_is(conn, ROOTS, NULL, 0);
	weft_conn_free(conn);
	conn = mcpd_connect(&d);
	mcp_listen(conn, NULL, session, id);
	hear_data_is(conn, ROOTS, NULL, 0);
	mcp_ask_is(other, session, RPC_RESULT("\"s-1\"", "{}"), 202, "");
	hear_data_is(conn, RPC_RESULT("7", "null"), NULL, 0);
	hear_stream_end(conn);
	weft_conn_free(conn);
	weft_conn_free(other);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(a_stream_is_taken_over_by_who_comes_back_for_it)
{
	char session[MCP_SESSION_SIZE], id[MCP_ID_SIZE];
	struct mcpd d;
	weft_conn *conn, *first, *second;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	first = mcpd_connect(&d);
	second = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	mcp_listen(first, NULL, session, NULL);
	for (int i = 0; i < 3; i++) {
		mcp_ask_is(conn, session, RPC("1", "changed", "{}"), 200, NULL);
		hear_data_is(first, CHANGED, i ? NULL : id, sizeof(id));
	}
	mcp_listen(second, NULL, session, id); /* the first is still there */
	hear_stream_end(first);
	hear_data_is(second, CHANGED, id, sizeof(id));
	want(strcmp(id, "1-2") == 0);
	hear_data_is(second, CHANGED, id, sizeof(id));
	want(strcmp(id, "1-3") == 0);
	mcp_ask_is(conn, session, RPC("1", "changed", "{}"), 200, NULL);
	hear_data_is(second, CHANGED, id, sizeof(id));
	want(strcmp(id, "1-4") == 0);
	weft_conn_free(conn);
	weft_conn_free(first);
	weft_conn_free(second);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(what_is_kept_is_bounded_and_a_lost_answer_is_an_error)
{
	struct mcpd_options options = { .mcp.replay_events_max = 4 };
	struct mcp_say s = { .version = "2025-11-25", .body = RPC("\"q\"", "log", "{}") };
	static const char lost[] = "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"error\":{\"code\":-32000,"
				   "\"message\":\"the answer is not there any more\"}}";
	char session[MCP_SESSION_SIZE], id[MCP_ID_SIZE], other[MCP_ID_SIZE];
	weft_mcp_server_stats stats;
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-11-25", session);
	s.session = session;
	for (int i = 0; i < 10; i++) {
		mcp_say(conn, &s);
		hear_stream(conn);
		hear_data_is(conn, "", NULL, 0);
		hear_data_is(conn, LOGGED, i ? other : id, sizeof(id));
		hear_data_is(conn, RPC_RESULT("\"q\"", "null"), NULL, 0);
		hear_stream_end(conn);
	}
	weft_mcp_server_stats_get(d.mcp, &stats);
	want(stats.replay_bytes == 2 * strlen(LOGGED RPC_RESULT("\"q\"", "null")));
	mcp_listen(conn, NULL, session, other);
	hear_data_is(conn, RPC_RESULT("\"q\"", "null"), NULL, 0);
	hear_stream_end(conn);
	mcp_listen(conn, NULL, session, id);
	hear_data_is(conn, lost, NULL, 0);
	hear_stream_end(conn);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(a_request_that_its_client_cancels_waits_no_more)
{
	static const char cancelled[] = "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"error\":{\"code\":"
					"-32000,\"message\":\"the client has cancelled the "
					"request\"}}";
	struct mcp_say s = { .body = RPC("\"a\"", "ask", "{}") };
	char session[MCP_SESSION_SIZE];
	weft_mcp_server_stats stats;
	weft_conn *conn, *other;
	struct mcpd d;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	other = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	s.session = session;
	mcp_say(other, &s);
	hear_stream(other);
	hear_data_is(other, ROOTS, NULL, 0);
	mcp_ask_is(conn, session, RPC_NOTE("notifications/cancelled", "{\"requestId\":\"b\"}"), 202,
		"");
	mcp_ask_is(conn, session, RPC_NOTE("notifications/cancelled", "{\"requestId\":\"a\"}"), 202,
		"");
	hear_data_is(other, cancelled, NULL, 0);
	hear_stream_end(other);
	/* nor is there one to be found any more */
	for (int i = 0; i < 3; i++)
		mcp_ask_is(conn, session,
			RPC_NOTE("notifications/cancelled", "{\"requestId\":\"a\"}"), 202, "");
	/* its answer comes late, to nobody */
	mcp_ask_is(conn, session, RPC_RESULT("\"s-1\"", "{}"), 202, "");
	mcp_ask_is(conn, session, CALL, 200, RPC_RESULT("1", "[]"));
	weft_mcp_server_stats_get(d.mcp, &stats);
	want(stats.requests_now == 0);
	weft_conn_free(conn);
	weft_conn_free(other);
	mcpd_close(&d);
	return WEFT_OK;
}

/* ---- batches ---- */

BOTH_TEST(a_batch_is_answered_as_a_whole)
{
	struct mcp_say s = { .body = "[" RPC("1", "echo", "[1]") "," RPC_NOTE("n", "{}") "," RPC(
				     "2", "echo", "[2]") "]" };
	char session[MCP_SESSION_SIZE];
	struct answer answer;
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-03-26", session);
	s.session = session;
	mcp_ask(conn, &s, &answer);
	want(answer.status == 200);
	want(strcmp(answer.body, "[" RPC_RESULT("1", "[1]") "," RPC_RESULT("2", "[2]") "]") == 0);
	while (counter_get(&d.notes) != 2)
		both_pause();
	s.version = "2025-03-26";
	s.body = "[" RPC("1", "echo", "[1]") "," RPC("2", "log", "{}") "]";
	mcp_say(conn, &s);
	hear_stream(conn);
	hear_data_is(conn, RPC_RESULT("1", "[1]"), NULL, 0);
	hear_data_is(conn, LOGGED, NULL, 0);
	hear_data_is(conn, RPC_RESULT("2", "null"), NULL, 0);
	hear_stream_end(conn);
	s.body = "[" RPC_NOTE("n", "{}") "]";
	mcp_status_is(conn, &s, 202, "");
	s.body = "[" RPC("1", "echo", "[1]") "," RPC("1", "echo", "[2]") "]";
	mcp_status_is(conn, &s, 400, "one with this id");
	s.body = "[" RPC("1", "echo", "[1]") ",5]";
	mcp_status_is(conn, &s, 400, "-32600");
	s.body = "[" RPC("1", "initialize", "{}") "]";
	mcp_status_is(conn, &s, 400, "can't be in a batch");
	s.version = "2025-06-18";
	s.body = "[" RPC("1", "echo", "[1]") "]";
	mcp_status_is(conn, &s, 400, "2025-03-26 alone");
	while (counter_get(&d.notes) != 3)
		both_pause();
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

static void mcp_tests(TCase *tc)
{
	both_add(tc, a_session_begins_answers_and_ends);
	both_add(tc, a_sink_answers_in_the_handlers_own_fiber);
	both_add(tc, a_post_that_is_not_as_it_should_be_is_told_why);
	both_add(tc, get_and_delete_want_a_session_too);
	both_add(tc, an_initialize_that_is_refused_leaves_no_session);
	both_add(tc, a_body_over_the_limit_is_told_so_and_the_session_goes_on);
	both_add(tc, an_answer_that_takes_long_comes_as_an_event);
	both_add(tc, what_belongs_to_a_request_comes_on_its_stream_before_the_answer);
	both_add(tc, a_request_of_the_servers_is_answered_by_another_post);
	both_add(tc, what_belongs_to_no_request_comes_on_the_stream_of_a_get);
	both_add(tc, each_message_goes_on_one_stream_alone);
	both_add(tc, a_client_that_goes_cancels_nothing_and_may_come_back_for_its_answer);
	both_add(tc, who_is_back_before_the_answer_gets_it_when_it_comes);
	both_add(tc, a_stream_is_taken_over_by_who_comes_back_for_it);
	both_add(tc, what_is_kept_is_bounded_and_a_lost_answer_is_an_error);
	both_add(tc, a_request_that_its_client_cancels_waits_no_more);
	both_add(tc, a_batch_is_answered_as_a_whole);
}
T_SUITE("mcp server", mcp_tests)
