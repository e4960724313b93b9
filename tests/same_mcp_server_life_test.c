/* SPDX-License-Identifier: MIT */
/* The front for clients of the Model Context Protocol, over the loopback and simulated: who may come,
 * how many, how long, and how it ends. */
#include "support/mcpd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INITIALIZE RPC("0", "initialize", "{\"protocolVersion\":\"2025-11-25\"}")
#define MS INT64_C(1000000)

static unsigned status_of(weft_conn *conn, const struct mcp_say *say)
{
	struct answer answer;

	mcp_ask(conn, say, &answer);
	return answer.status;
}

/* ---- tokens ---- */

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	want(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void token_path(char *path, size_t size)
{
	snprintf(path, size, "/tmp/weft-mcp-%d-%llu", (int)getpid(),
		(unsigned long long)both_random(UINT32_MAX));
}

BOTH_TEST(who_has_no_token_is_sent_away)
{
	static const char *const wrong[] = { "", "Authorization: Bearer alph\r\n",
		"Authorization: Bearer alphaa\r\n", "Authorization: Basic alpha\r\n",
		"Authorization: Bearer\r\n", "Authorization: alpha\r\n" };
	struct mcp_say s = { .body = INITIALIZE };
	struct mcpd_options options = { 0 };
	struct answer answer;
	char path[64];
	struct mcpd d;
	weft_conn *conn;

	token_path(path, sizeof(path));
	write_file(path, "alpha A\nbeta B\n");
	options.mcp.token_file = path;
	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		s.fields = wrong[i];
		mcp_ask(conn, &s, &answer);
		want(answer.status == 401);
		want(strstr(answer.head, "WWW-Authenticate: Bearer realm=\"mcp\"") != NULL);
		want(!strstr(answer.head, "invalid_token") == !strstr(wrong[i], "Bearer al"));
	}
	s.fields = "";
	s.method = "GET";
	want(status_of(conn, &s) == 401);
	s.method = "DELETE";
	want(status_of(conn, &s) == 401);
	s.method = NULL;
	want(mcpd_stats(&d).refused_auth == 8 && mcpd_stats(&d).sessions == 0);
	s.fields = "Authorization: bearer beta\r\n";
	want(status_of(conn, &s) == 200);
	weft_conn_free(conn);
	mcpd_close(&d);
	unlink(path);
	return WEFT_OK;
}

static void initialize_as(weft_conn *conn, const char *fields, char *session)
{
	struct mcp_say s = { .body = INITIALIZE, .fields = fields };
	struct answer answer;
	const char *at;

	mcp_ask(conn, &s, &answer);
	want(answer.status == 200);
	at = strstr(answer.head, "Mcp-Session-Id: ");
	want(at != NULL);
	snprintf(session, MCP_SESSION_SIZE, "%.*s", (int)strcspn(at + 16, "\r"), at + 16);
}

#define ALPHA "Authorization: Bearer alpha\r\n"
#define BETA "Authorization: Bearer beta\r\n"

BOTH_TEST(a_session_is_of_its_principal_alone)
{
	struct mcp_say s = { .body = CALL };
	struct mcpd_options options = { 0 };
	char path[64], session[MCP_SESSION_SIZE];
	struct mcpd d;
	weft_conn *conn;

	token_path(path, sizeof(path));
	write_file(path, "alpha A\nbeta B\n");
	options.mcp.token_file = path;
	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	initialize_as(conn, ALPHA, session);
	s.session = session;
	s.fields = ALPHA;
	want(status_of(conn, &s) == 200);
	s.fields = BETA;
	want(status_of(conn, &s) == 404);
	s.method = "DELETE";
	want(status_of(conn, &s) == 404);
	s.method = "GET";
	want(status_of(conn, &s) == 404);
	s.method = NULL;
	s.fields = NULL;
	want(status_of(conn, &s) == 401);
	s.fields = ALPHA;
	want(status_of(conn, &s) == 200);
	weft_conn_free(conn);
	mcpd_close(&d);
	unlink(path);
	return WEFT_OK;
}

BOTH_TEST(a_reload_ends_the_sessions_of_tokens_that_are_gone_and_no_other)
{
	struct mcp_say s = { .body = CALL },
		       get = { .method = "GET", .accept = "text/event-stream", .fields = BETA };
	struct mcpd_options options = { 0 };
	char path[64], a[MCP_SESSION_SIZE], b[MCP_SESSION_SIZE];
	struct mcpd d;
	weft_conn *conn, *listener;

	token_path(path, sizeof(path));
	write_file(path, "alpha A\nbeta B\n");
	options.mcp.token_file = path;
	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	listener = mcpd_connect(&d);
	initialize_as(conn, ALPHA, a);
	initialize_as(conn, BETA, b);
	get.session = b;
	mcp_say(listener, &get);
	hear_stream(listener);
	write_file(path, "# nothing\n");
	want_err(WEFT_EINVAL, weft_mcp_server_reload(d.mcp));
	s.session = b;
	s.fields = BETA;
	want(status_of(conn, &s) == 200);
	write_file(path, "gamma\nalpha A\n");
	want_ok(weft_mcp_server_reload(d.mcp));
	want(status_of(conn, &s) == 401);
	hear_stream_end(listener);
	s.session = a;
	s.fields = ALPHA;
	want(status_of(conn, &s) == 200);
	s.fields = "Authorization: Bearer gamma\r\n";
	want(status_of(conn, &s) == 404);
	weft_conn_free(conn);
	weft_conn_free(listener);
	mcpd_close(&d);
	unlink(path);
	return WEFT_OK;
}

BOTH_TEST(other_sites_are_kept_out_on_every_method)
{
	static const char *const origins[] = { "http://good", NULL };
	static const char *const methods[] = { NULL, "GET", "DELETE" };
	struct mcpd_options options = { .has_http = true,
		.http = WEFT_HTTP_SERVER_OPTIONS_DEFAULT };
	struct mcp_say s = { .body = INITIALIZE };
	weft_http_server_stats stats;
	struct mcpd d;
	weft_conn *conn;

	options.http.origins = origins;
	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	s.fields = "Origin: http://bad\r\n";
	for (size_t i = 0; i < 3; i++) {
		s.method = methods[i];
		want(status_of(conn, &s) == 403);
	}
	s.method = "GET";
	s.path = "/sse";
	want(status_of(conn, &s) == 403);
	weft_http_server_stats_get(d.h.server, &stats);
	want(stats.forbidden == 4 && mcpd_stats(&d).sessions == 0);
	s = (struct mcp_say){ .body = INITIALIZE, .fields = "Origin: http://good\r\n" };
	want(status_of(conn, &s) == 200);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

/* ---- limits ---- */

BOTH_TEST(sessions_are_as_many_as_there_may_be)
{
	struct mcpd_options options = { .mcp.sessions_max = 3 };
	struct mcp_say s = { .body = INITIALIZE };
	char session[MCP_SESSION_SIZE];
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	for (int i = 0; i < 3; i++)
		mcp_initialize(conn, "2025-11-25", session);
	want(status_of(conn, &s) == 503);
	want(mcpd_stats(&d).sessions_refused == 1 && mcpd_stats(&d).sessions_now == 3);
	mcp_say(conn, &(struct mcp_say){ .method = "DELETE", .session = session });
	hear_answer_is(conn, 204, "");
	mcp_initialize(conn, "2025-11-25", session);
	want(status_of(conn, &s) == 503);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(sessions_of_a_client_are_as_many_as_it_may_have)
{
	struct mcpd_options options = { .mcp.sessions_client_max = 2 };
	struct mcp_say s = { .body = INITIALIZE };
	char session[MCP_SESSION_SIZE];
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, &options);
	for (int i = 0; i < 2; i++) {
		conn = mcpd_connect(&d);
		mcp_initialize(conn, "2025-11-25", session);
		weft_conn_free(conn);
	}
	conn = mcpd_connect(&d);
	want(status_of(conn, &s) == 429);
	mcp_say(conn, &(struct mcp_say){ .method = "DELETE", .session = session });
	hear_answer_is(conn, 204, "");
	mcp_initialize(conn, "2025-11-25", session);
	want(status_of(conn, &s) == 429);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

struct racing {
	struct mcpd *d;
	unsigned *begun;
};

static weft_err race_to_begin(void *arg)
{
	struct racing *r = arg;
	struct mcp_say s = { .body = INITIALIZE };
	weft_conn *conn = mcpd_connect(r->d);
	unsigned status = status_of(conn, &s);

	want(status == 200 || status == 503);
	*r->begun += status == 200;
	weft_conn_free(conn);
	return WEFT_OK;
}

BOTH_TEST(limits_hold_in_a_race)
{
	struct mcpd_options options = { .mcp.sessions_max = 5 };
	unsigned begun = 0;
	struct racing r;
	weft_scope *scope;
	struct mcpd d;

	mcpd_open(&d, &options);
	r = (struct racing){ &d, &begun };
	want_ok(weft_scope_create(&scope));
	for (int i = 0; i < 20; i++)
		want_ok(weft_scope_spawn(scope, "races", race_to_begin, &r));
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	want(begun == 5);
	want(mcpd_stats(&d).sessions_now == 5 && mcpd_stats(&d).sessions_refused == 15);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(requests_of_a_session_are_as_many_as_it_may_have)
{
	struct mcpd_options options = { .mcp.requests_max = 2 };
	struct mcp_say s = { .body = RPC("1", "ask", "{}") };
	char session[MCP_SESSION_SIZE];
	weft_conn *conn, *a, *b;
	struct mcpd d;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	a = mcpd_connect(&d);
	b = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	s.session = session;
	mcp_say(a, &s);
	hear_stream(a);
	hear_data_is(a, ROOTS, NULL, 0);
	want(status_of(conn, &s) == 400); /* the same id */
	s.body = RPC("2", "silent", "{}");
	mcp_say(b, &s);
	while (mcpd_stats(&d).requests_now < 2)
		both_pause();
	s.body = CALL;
	mcp_ask_is(conn, session, RPC("3", "echo", "[]"), 429, NULL);
	mcp_ask_is(conn, session, RPC_RESULT("\"s-1\"", "{}"), 202, "");
	hear_data_is(a, RPC_RESULT("1", "null"), NULL, 0);
	hear_stream_end(a);
	mcp_ask_is(conn, session, RPC("3", "echo", "[]"), 200, RPC_RESULT("3", "[]"));
	mcp_say(conn, &(struct mcp_say){ .method = "DELETE", .session = session });
	hear_answer_is(conn, 204, "");
	hear_answer_is(b, 404, NULL);
	weft_conn_free(conn);
	weft_conn_free(a);
	weft_conn_free(b);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(streams_of_a_session_are_bounded)
{
	struct mcp_say s = { .method = "GET", .accept = "text/event-stream" };
	char session[MCP_SESSION_SIZE];
	weft_conn *conn, *streams[16];
	struct mcpd d;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	s.session = session;
	for (int i = 0; i < 16; i++) {
		streams[i] = mcpd_connect(&d);
		mcp_say(streams[i], &s);
		hear_stream(streams[i]);
	}
	want(status_of(conn, &s) == 429);
	weft_conn_free(streams[3]);
	while (mcpd_stats(&d).streams_now > 15)
		both_pause();
	streams[3] = mcpd_connect(&d);
	mcp_say(streams[3], &s);
	hear_stream(streams[3]);
	for (int i = 0; i < 16; i++)
		weft_conn_free(streams[i]);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

/* ---- times ---- */

static void wait_for_no_session(const struct mcpd *d)
{
	while (mcpd_stats(d).sessions_now)
		both_sleep_ns(5 * MS);
}

BOTH_TEST(an_idle_session_ends)
{
	struct mcpd_options options = { .mcp.idle_timeout_ns = both_ample_ns(50 * MS) };
	char session[MCP_SESSION_SIZE];
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	wait_for_no_session(&d);
	want(mcpd_stats(&d).sessions_expired == 1);
	mcp_ask_is(conn, session, CALL, 404, NULL);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(a_session_with_a_stream_or_a_request_is_not_idle)
{
	struct mcpd_options options = { .mcp.idle_timeout_ns = both_ample_ns(50 * MS) };
	struct mcp_say s = { .method = "GET", .accept = "text/event-stream" };
	char session[MCP_SESSION_SIZE];
	weft_conn *conn, *listener;
	struct mcpd d;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	listener = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	s.session = session;
	mcp_say(listener, &s);
	hear_stream(listener);
	both_sleep_ns(400 * MS);
	mcp_ask_is(conn, session, RPC("1", "slow", "{\"ms\":400}"), 200, NULL);
	weft_conn_free(listener);
	mcp_ask_is(conn, session, RPC("1", "slow", "{\"ms\":400}"), 200, NULL);
	wait_for_no_session(&d);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(an_old_session_ends_whatever_it_does)
{
	struct mcpd_options options = { .mcp.session_timeout_ns = both_ample_ns(100 * MS) };
	struct mcp_say s = { .method = "GET", .accept = "text/event-stream" };
	char session[MCP_SESSION_SIZE];
	struct answer answer;
	weft_conn *conn, *listener;
	struct mcpd d;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	listener = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	s.session = session;
	mcp_say(listener, &s);
	hear_stream(listener);
	mcp_ask(conn, &(struct mcp_say){ .session = session, .body = RPC("5", "silent", "{}") },
		&answer);
	want(answer.status == 404);
	want(strcmp(answer.body,
		     "{\"jsonrpc\":\"2.0\",\"id\":5,\"error\":{\"code\":-32000,\"message\":\"the "
		     "session's time is over\"}}") == 0);
	hear_stream_end(listener);
	weft_conn_free(conn);
	weft_conn_free(listener);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(a_request_without_an_answer_gets_an_error_in_time)
{
	struct mcpd_options options = { .mcp.response_timeout_ns = both_ample_ns(50 * MS) };
	static const char late[] = "{\"jsonrpc\":\"2.0\",\"id\":5,\"error\":{\"code\":-32000,"
				   "\"message\":\"no answer came in time\"}}";
	struct mcp_say s = { .version = "2025-11-25", .body = RPC("5", "ask", "{}") };
	char session[MCP_SESSION_SIZE], id[MCP_ID_SIZE];
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	mcp_ask_is(conn, session, RPC("5", "silent", "{}"), 200, late);
	s.session = session;
	mcp_say(conn, &s);
	hear_stream(conn);
	hear_data_is(conn, "", id, sizeof(id));
	hear_data_is(conn, ROOTS, NULL, 0);
	hear_data_is(conn, late, NULL, 0);
	hear_stream_end(conn);
	/* nobody is there: the keeper looks after it */
	s.body = RPC("5", "ask", "{\"again\":1}");
	mcp_say(conn, &s);
	hear_stream(conn);
	hear_data_is(conn, "", id, sizeof(id));
	weft_conn_free(conn);
	while (mcpd_stats(&d).requests_now)
		both_sleep_ns(5 * MS);
	conn = mcpd_connect(&d);
	s = (struct mcp_say){ .method = "GET", .session = session, .accept = "text/event-stream" };
	s.fields = "Last-Event-ID: 2-0-NQ==\r\n";
	mcp_say(conn, &s);
	hear_stream(conn);
	hear_data_is(conn, ROOTS, NULL, 0);
	hear_data_is(conn, late, NULL, 0);
	hear_stream_end(conn);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(a_session_that_nobody_takes_is_refused)
{
	struct mcpd_options options = { .mcp.transport.connect_timeout_ns = 50 * MS,
		.accepts_not = true };
	struct mcp_say s = { .body = INITIALIZE };
	struct mcpd d;
	weft_conn *conn;
	struct answer answer;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_ask(conn, &s, &answer);
	want(answer.status == 404 || answer.status == 503);
	want(strstr(answer.body, "nobody took the session") != NULL);
	want(!strstr(answer.head, "Session"));
	want(mcpd_stats(&d).sessions_now == 0);
	weft_incoming_close(weft_mcp_server_incoming(d.mcp));
	want(status_of(conn, &s) == 503);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

/* ---- ends ---- */

BOTH_TEST(a_session_that_its_server_closes_answers_no_more)
{
	char session[MCP_SESSION_SIZE];
	struct answer answer;
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	mcp_ask(conn, &(struct mcp_say){ .session = session, .body = RPC("1", "bye", "{}") },
		&answer);
	want(answer.status == 404);
	want(strstr(answer.body, "the server has ended the session") != NULL);
	want(strstr(answer.body, "\"id\":1,") != NULL);
	mcp_ask_is(conn, session, CALL, 404, NULL);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(a_session_that_is_deleted_leaves_no_request_unanswered)
{
	char session[MCP_SESSION_SIZE];
	struct mcp_say s = { .body = RPC("1", "silent", "{}") };
	struct answer answer;
	weft_conn *conn, *a, *b;
	struct mcpd d;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	a = mcpd_connect(&d);
	b = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	s.session = session;
	mcp_say(a, &s);
	while (mcpd_stats(&d).requests_now < 1)
		both_pause();
	s.body = RPC("2", "ask", "{}");
	mcp_say(b, &s);
	hear_stream(b);
	while (mcpd_stats(&d).requests_now < 2)
		both_pause();
	mcp_say(conn, &(struct mcp_say){ .method = "DELETE", .session = session });
	hear_answer_is(conn, 204, "");
	hear_answer(a, &answer);
	want(answer.status == 404 && strstr(answer.body, "\"id\":1,"));
	do {
		hear_data(b, answer.body, sizeof(answer.body), NULL, 0);
	} while (!strstr(answer.body, "\"id\":2,"));
	want(strstr(answer.body, "the client has ended the session") != NULL);
	hear_stream_end(b);
	want(mcpd_stats(&d).requests_now == 0);
	weft_conn_free(conn);
	weft_conn_free(a);
	weft_conn_free(b);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(a_server_that_stops_ends_streams_in_order)
{
	char session[MCP_SESSION_SIZE];
	struct mcp_say s = { .method = "GET", .accept = "text/event-stream" };
	weft_conn *conn, *listener;
	struct mcpd d;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	listener = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	s.session = session;
	mcp_say(listener, &s);
	hear_stream(listener);
	weft_http_server_stop(d.h.server);
	hear_stream_end(listener);
	weft_conn_free(conn);
	weft_conn_free(listener);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(an_idle_stream_is_kept_alive)
{
	struct mcpd_options options = { .has_http = true,
		.http = WEFT_HTTP_SERVER_OPTIONS_DEFAULT };
	char session[MCP_SESSION_SIZE], event[256];
	struct mcp_say s = { .method = "GET", .accept = "text/event-stream" };
	weft_conn *conn, *listener;
	struct mcpd d;

	options.http.sse_comment_ns = 20 * MS;
	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	listener = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	s.session = session;
	mcp_say(listener, &s);
	hear_stream(listener);
	for (int i = 0; i < 3; i++) {
		hear_event(listener, event, sizeof(event));
		want(*event == ':');
	}
	mcp_ask_is(conn, session, RPC("1", "changed", "{}"), 200, NULL);
	hear_data_is(listener, CHANGED, NULL, 0);
	weft_conn_free(conn);
	weft_conn_free(listener);
	mcpd_close(&d);
	return WEFT_OK;
}

/* ---- slow readers ---- */

BOTH_TEST(a_slow_reader_of_events_holds_bounded_memory_and_gets_all)
{
	struct mcpd_options options = { .mcp = { .replay_bytes_max = 20000 } };
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
		want(mcpd_stats(&d).replay_bytes <= 20000 + 200);
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

BOTH_TEST(a_client_that_reads_nothing_is_left_behind)
{
	struct mcpd_options options = { .mcp = { .replay_bytes_max = 20000 },
		.has_http = true,
		.http = WEFT_HTTP_SERVER_OPTIONS_DEFAULT };
	char body[256], session[MCP_SESSION_SIZE], data[256], id[MCP_ID_SIZE];
	struct mcp_say s = { .version = "2025-11-25", .body = body };
	weft_conn *conn, *deaf;
	struct mcpd d;
	int n = 0;

	/* more than what the system takes by itself */
	snprintf(body, sizeof(body),
		RPC("1", "progress", "{\"count\":%d,\"_meta\":{\"progressToken\":1}}"),
		weft_in_sim() ? 2000 : 40000);
	options.http.write_timeout_ns = 100 * MS;
	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	deaf = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	s.session = session;
	mcp_say(deaf, &s);
	while (mcpd_stats(&d).requests < 2)
		both_pause();
	while (mcpd_stats(&d).requests_now || mcpd_stats(&d).streams_now) {
		want(mcpd_stats(&d).replay_bytes <= 20000 + 200);
		both_sleep_ns(5 * MS);
	}
	mcp_ask_is(conn, session, CALL, 200, RPC_RESULT("1", "[]"));
	weft_conn_free(deaf);
	/* what there was room for is still to be had, the answer at its end */
	deaf = mcpd_connect(&d);
	s = (struct mcp_say){ .method = "GET",
		.session = session,
		.accept = "text/event-stream",
		.fields = "Last-Event-ID: 1-0-MQ==\r\n" };
	mcp_say(deaf, &s);
	hear_stream(deaf);
	do {
		hear_data(deaf, data, sizeof(data), id, sizeof(id));
		want(n++ < 1000);
	} while (strcmp(data, RPC_RESULT("1", "null")) != 0);
	hear_stream_end(deaf);
	weft_conn_free(conn);
	weft_conn_free(deaf);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(large_answers_come_whole_as_json_and_as_events)
{
	struct mcpd_options options = { .mcp = { .json_wait_ns = 1, .replay_bytes_max = 1000 } };
	enum { SIZE = 300000 };
	char session[MCP_SESSION_SIZE], *data = malloc(SIZE + 100);
	struct mcp_say s = { .body = RPC("1", "big", "{\"size\":300000}") };
	weft_conn *conn;
	struct answer answer;
	struct mcpd d;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	s.session = session;
	for (int i = 0; i < 3; i++) {
		mcp_say(conn, &s);
		hear_head(conn, &answer);
		want(answer.status == 200);
		if (has_line(&answer, "Content-Type: application/json")) {
			size_t len = (size_t)atoi(strstr(answer.head, "Content-Length: ") + 16);

			want(len > SIZE && len < SIZE + 100);
			want_ok(weft_conn_read_full(conn, data, len, NULL, WEFT_FOREVER));
			continue;
		}
		hear_data(conn, data, SIZE + 100, NULL, 0);
		want(strlen(data) > SIZE && data[SIZE] == 'x');
		hear_stream_end(conn);
	}
	want(mcpd_stats(&d).replay_bytes <= 1000);
	free(data);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

/* ---- many ---- */

BOTH_TEST(sessions_come_and_go_and_nothing_is_left)
{
	char session[MCP_SESSION_SIZE];
	struct mcpd_options options = { .mcp = { .sessions_max = 2000,
						.sessions_client_max = SIZE_MAX } };
	int rounds = weft_in_sim() ? 5 : 1000;
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, &options);
	for (int i = 0; i < rounds; i++) {
		conn = mcpd_connect(&d);
		mcp_initialize(conn, "2025-06-18", session);
		mcp_ask_is(conn, session, CALL, 200, RPC_RESULT("1", "[]"));
		if (i % 2) {
			mcp_say(conn, &(struct mcp_say){ .method = "DELETE", .session = session });
			hear_answer_is(conn, 204, "");
		}
		weft_conn_free(conn);
	}
	want(mcpd_stats(&d).sessions_now == (size_t)(rounds + 1) / 2);
	want(mcpd_stats(&d).requests == 2 * (uint64_t)rounds);
	mcpd_close(&d);
	return WEFT_OK;
}

static void life_tests(TCase *tc)
{
	both_add(tc, who_has_no_token_is_sent_away);
	both_add(tc, a_session_is_of_its_principal_alone);
	both_add(tc, a_reload_ends_the_sessions_of_tokens_that_are_gone_and_no_other);
	both_add(tc, other_sites_are_kept_out_on_every_method);
	both_add(tc, sessions_are_as_many_as_there_may_be);
	both_add(tc, sessions_of_a_client_are_as_many_as_it_may_have);
	both_add(tc, limits_hold_in_a_race);
	both_add(tc, requests_of_a_session_are_as_many_as_it_may_have);
	both_add(tc, streams_of_a_session_are_bounded);
	both_add(tc, an_idle_session_ends);
	both_add(tc, a_session_with_a_stream_or_a_request_is_not_idle);
	both_add(tc, an_old_session_ends_whatever_it_does);
	both_add(tc, a_request_without_an_answer_gets_an_error_in_time);
	both_add(tc, a_session_that_nobody_takes_is_refused);
	both_add(tc, a_session_that_its_server_closes_answers_no_more);
	both_add(tc, a_session_that_is_deleted_leaves_no_request_unanswered);
	both_add(tc, a_server_that_stops_ends_streams_in_order);
	both_add(tc, an_idle_stream_is_kept_alive);
	both_add(tc, a_slow_reader_of_events_holds_bounded_memory_and_gets_all);
	both_add(tc, a_client_that_reads_nothing_is_left_behind);
	both_add(tc, large_answers_come_whole_as_json_and_as_events);
	both_add(tc, sessions_come_and_go_and_nothing_is_left);
}
T_SUITE("mcp server: life", life_tests)
