/* SPDX-License-Identifier: MIT */
/* The front for clients of the Model Context Protocol, over the loopback and simulated: the eras
 * before sessions (HTTP+SSE) and after them (stateless). */
#include "support/mcpd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)

/* ---- HTTP+SSE ---- */

/* The stream; path gets where to POST. */
static void open_sse(weft_conn *conn, char *path, size_t size)
{
	char event[256];
	size_t len;

	mcp_say(conn,
		&(struct mcp_say){
			.method = "GET", .path = "/sse", .accept = "text/event-stream" });
	hear_stream(conn);
	hear_event(conn, event, sizeof(event));
	want(strncmp(event, "event: endpoint\ndata: /messages?sessionId=", 42) == 0);
	len = strcspn(event + 22, "\n");
	want(len < size);
	memcpy(path, event + 22, len);
	path[len] = '\0';
}

BOTH_TEST(an_old_client_posts_where_it_is_told_and_hears_all_on_one_stream)
{
	char path[256], event[512];
	struct mcp_say s = { .path = path,
		.accept = "",
		.body = RPC("0", "initialize", "{\"protocolVersion\":\"2024-11-05\"}") };
	weft_conn *conn, *stream;
	struct mcpd d;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	stream = mcpd_connect(&d);
	open_sse(stream, path, sizeof(path));
	mcp_status_is(conn, &s, 202, "");
	hear_event(stream, event, sizeof(event));
	want(strncmp(event,
		     "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":0,\"result\":", 54) == 0);
	s.body = CALL;
	mcp_status_is(conn, &s, 202, "");
	hear_data_is(stream, RPC_RESULT("1", "[]"), NULL, 0);
	s.body = RPC("2", "ask", "{}");
	mcp_status_is(conn, &s, 202, "");
	hear_data_is(stream, ROOTS, NULL, 0);
	s.body = RPC_RESULT("\"s-1\"", "{}");
	mcp_status_is(conn, &s, 202, "");
	hear_data_is(stream, RPC_RESULT("2", "null"), NULL, 0);
	want(mcpd_stats(&d).sessions == 1 && mcpd_stats(&d).sessions_now == 1);
	want(mcpd_stats(&d).requests_now == 0 && mcpd_stats(&d).replay_bytes == 0);
	weft_conn_free(stream);
	while (mcpd_stats(&d).sessions_now)
		both_pause();
	s.body = CALL;
	mcp_status_is(conn, &s, 404, "no such session");
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(an_old_clients_faults_are_told)
{
	struct mcpd_options options = { .mcp.requests_max = 2 };
	char path[256], session[MCP_SESSION_SIZE], other[256];
	struct mcp_say s = { .path = "/messages", .body = CALL };
	weft_conn *conn, *stream;
	struct mcpd d;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	stream = mcpd_connect(&d);
	open_sse(stream, path, sizeof(path));
	mcp_initialize(conn, "2025-06-18", session);
	mcp_status_is(conn, &s, 400, "sessionId is missing");
	s.path = "/messages?sessionId=1";
	mcp_status_is(conn, &s, 404, "no such session");
	/* sessions of one era are none in another */
	snprintf(other, sizeof(other), "/messages?sessionId=%s", session);
	s.path = other;
	mcp_status_is(conn, &s, 404, "no such session");
	mcp_ask_is(conn, strchr(path, '=') + 1, CALL, 404, NULL);
	s.path = path;
	s.type = "text/plain";
	mcp_status_is(conn, &s, 415, "application/json");
	s.type = NULL;
	s.body = "{";
	mcp_status_is(conn, &s, 400, "-32700");
	s.body = "[" CALL "]";
	mcp_status_is(conn, &s, 400, "batches");
	s.body = RPC("null", "echo", "[]");
	mcp_status_is(conn, &s, 400, "null");
	s.body = RPC("1", "silent", "[]");
	mcp_status_is(conn, &s, 202, "");
	mcp_status_is(conn, &s, 400, "one with this id");
	s.body = RPC("2", "silent", "[]");
	mcp_status_is(conn, &s, 202, "");
	s.body = RPC("3", "echo", "[]");
	mcp_status_is(conn, &s, 429, "unanswered");
	s.body = RPC_NOTE("notifications/cancelled", "{\"requestId\":2}");
	mcp_status_is(conn, &s, 202, "");
	s.body = RPC("3", "echo", "[]");
	mcp_status_is(conn, &s, 202, "");
	hear_data_is(stream, RPC_RESULT("3", "[]"), NULL, 0);
	weft_conn_free(stream);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

static void note_target(void *user, const weft_http_access *access)
{
	char *last = user;

	if (strcmp(access->method, "POST") == 0)
		snprintf(last, 256, "%s", access->target);
}

BOTH_TEST(ids_of_sessions_are_not_in_the_access_log)
{
	struct mcpd_options options = { .has_http = true,
		.http = WEFT_HTTP_SERVER_OPTIONS_DEFAULT };
	char path[256], last[256] = "";
	struct mcp_say s = { .path = path, .body = CALL };
	weft_conn *conn, *stream;
	struct mcpd d;

	options.http.access = note_target;
	options.http.user = last;
	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	stream = mcpd_connect(&d);
	open_sse(stream, path, sizeof(path));
	mcp_status_is(conn, &s, 202, "");
	hear_data_is(stream, RPC_RESULT("1", "[]"), NULL, 0);
	weft_conn_free(stream);
	weft_conn_free(conn);
	mcpd_close(&d);
	want(strncmp(last, "/messages?***", 13) == 0 && !strchr(last, '='));
	return WEFT_OK;
}

BOTH_TEST(an_old_session_that_its_server_closes_ends_its_stream)
{
	char path[256];
	struct mcp_say s = { .path = path, .body = RPC("1", "bye", "{}") };
	weft_conn *conn, *stream;
	struct mcpd d;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	stream = mcpd_connect(&d);
	open_sse(stream, path, sizeof(path));
	mcp_status_is(conn, &s, 202, "");
	hear_data_is(stream,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":\"the server "
		"has ended the session\"}}",
		NULL, 0);
	hear_stream_end(stream);
	weft_conn_free(stream);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(eras_can_be_left_out)
{
	struct mcpd_options options = { .mcp = { .sse_off = true, .sessions_off = true } };
	struct mcp_say s = { .method = "GET", .path = "/sse", .accept = "text/event-stream" };
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_status_is(conn, &s, 404, "");
	s = (struct mcp_say){ .body = RPC("0", "initialize", "{\"protocolVersion\":\"x\"}") };
	mcp_status_is(conn, &s, 400, "\"supported\":[\"2026-07-28\"]");
	s = (struct mcp_say){ .method = "GET", .session = "x" };
	mcp_status_is(conn, &s, 405, "");
	weft_conn_free(conn);
	mcpd_close(&d);
	options.mcp = (weft_mcp_server_options){ .stateless_off = true };
	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	s = (struct mcp_say){ .body = RPC("0", "server/discover", "{}") };
	mcp_status_is(conn, &s, 400, "\"code\":-32022");
	s.version = "2026-07-28";
	s.body = CALL;
	mcp_status_is(conn, &s, 400, "\"supported\":[\"2025-11-25\",");
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

/* ---- stateless ---- */

#define META                                                                     \
	"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
	"\"io.modelcontextprotocol/clientCapabilities\":{}}"
#define META_TOKEN(token)                                                        \
	"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
	"\"io.modelcontextprotocol/clientCapabilities\":{},\"progressToken\":" token "}"
#define METHOD(name) "Mcp-Method: " name "\r\n"

static struct mcp_say modern(const char *fields, const char *body)
{
	return (struct mcp_say){ .version = "2026-07-28", .fields = fields, .body = body };
}

BOTH_TEST(a_request_without_a_session_is_answered)
{
	struct mcp_say s = modern(METHOD("echo"), RPC("\"mine\"", "echo", "{\"a\":1," META "}"));
	struct answer answer;
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	for (int i = 0; i < 3; i++) {
		mcp_ask(conn, &s, &answer);
		want(answer.status == 200 && !strstr(answer.head, "Session"));
		want(strcmp(answer.body, RPC_RESULT("\"mine\"", "{\"a\":1," META "}")) == 0);
	}
	/* a session's id is not looked at */
	s.session = "whatever";
	mcp_status_is(conn, &s, 200, "\"mine\"");
	s = modern(METHOD("nothing"), RPC("2", "nothing", "{" META "}"));
	mcp_status_is(conn, &s, 404, "\"code\":-32601");
	mcp_status_is(conn, &s, 404, "\"id\":2,");
	s = modern(METHOD("fail"), RPC("2", "fail", "{" META "}"));
	mcp_status_is(conn, &s, 200, "\"code\":7");
	s = modern(METHOD("tools/call") "Mcp-Name: =?base64?w6Q=?=\r\n",
		RPC("3", "tools/call", "{\"name\":\"\xc3\xa4\"," META "}"));
	mcp_status_is(conn, &s, 200, "\"id\":3,\"result\":null");
	s = modern(METHOD("server/discover"), RPC("4", "server/discover", "{" META "}"));
	mcp_status_is(conn, &s, 200, "\"id\":4,");
	s = modern(NULL, RPC_NOTE("notifications/x", "{}"));
	mcp_status_is(conn, &s, 202, "");
	while (counter_get(&d.notes) != 1)
		both_pause();
	weft_conn_free(conn);
	mcpd_close(&d);
	want(counter_get(&d.sessions) == 1);
	return WEFT_OK;
}

BOTH_TEST(fields_that_do_not_say_what_the_body_says_are_refused)
{
	struct mcp_say s = modern(NULL, RPC("1", "echo", "{" META "}"));
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	mcp_status_is(conn, &s, 400, "\"code\":-32020");
	mcp_status_is(conn, &s, 400, "\"id\":1,");
	s.fields = METHOD("Echo");
	mcp_status_is(conn, &s, 400, "\"code\":-32020");
	s.fields = METHOD("echo") METHOD("echo");
	mcp_status_is(conn, &s, 400, "\"code\":-32020");
	s.fields = METHOD("echo");
	s.version = NULL;
	mcp_status_is(conn, &s, 400, "MCP-Protocol-Version is missing");
	s.version = "2025-11-25";
	mcp_status_is(conn, &s, 400, "\"code\":-32020");
	s = modern(METHOD("echo"), RPC("1", "echo", "{}"));
	mcp_status_is(conn, &s, 400, "\"code\":-32602");
	s = modern(METHOD("tools/call"), RPC("3", "tools/call", "{\"name\":\"a\"," META "}"));
	mcp_status_is(conn, &s, 400, "Mcp-Name is missing");
	s.fields = METHOD("tools/call") "Mcp-Name: b\r\n";
	mcp_status_is(conn, &s, 400, "\"code\":-32020");
	s = modern(METHOD("echo"), "[" RPC("1", "echo", "{" META "}") "]");
	mcp_status_is(conn, &s, 400, "-32600");
	s = modern(METHOD("echo"), RPC_RESULT("1", "{}"));
	mcp_status_is(conn, &s, 400, "-32600");
	s.version = "2027-01-01";
	s.body = RPC("1", "echo",
		"{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":"
		"\"2027-01-01\"}}");
	mcp_status_is(conn, &s, 400, "\"code\":-32022");
	want(counter_get(&d.sessions) == 0);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

#define META_OF(revision)                                                          \
	"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"" revision "\"," \
	"\"io.modelcontextprotocol/clientCapabilities\":{}}"

BOTH_TEST(a_revision_that_is_not_known_may_be_for_who_serves_the_session)
{
	struct mcpd_options options = { .mcp = { .any_revision = true } };
	struct mcp_say s = modern(METHOD("echo"), RPC("1", "echo", "{" META_OF("2027-01-01") "}"));
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_status_is(conn, &s, 400, "\"code\":-32020");
	s.version = "2027-01-01";
	mcp_status_is(conn, &s, 200, "\"id\":1,\"result\":{");
	s.version = "2025-11-25";
	s.fields = METHOD("server/discover");
	s.body = RPC("2", "server/discover", "{" META_OF("2025-11-25") "}");
	mcp_status_is(conn, &s, 200, "\"id\":2,\"result\":");
	/* without saying so in both places it is of no era */
	s.version = "2027-01-01";
	s.body = RPC("3", "echo", "{}");
	mcp_status_is(conn, &s, 400, "\"code\":-32022");
	weft_conn_free(conn);
	mcpd_close(&d);
	want(counter_get(&d.sessions) == 1);
	return WEFT_OK;
}

#define SQL METHOD("tools/call") "Mcp-Name: sql\r\n"
#define SQL_CALL(arguments) \
	RPC("3", "tools/call", "{\"name\":\"sql\",\"arguments\":{" arguments "}," META "}")

BOTH_TEST(arguments_that_go_into_fields_are_compared)
{
	struct mcp_say list = modern(METHOD("tools/list"), RPC("1", "tools/list", "{" META "}"));
	struct mcp_say s = modern(SQL, SQL_CALL("\"region\":\"eu\",\"n\":42"));
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	mcp_status_is(conn, &s, 200, "null"); /* nothing is known of it yet */
	mcp_status_is(conn, &list, 200, "x-mcp-header");
	mcp_status_is(conn, &s, 400, "Mcp-Param-Region is missing");
	s.fields = SQL "Mcp-Param-Region: eu\r\n";
	mcp_status_is(conn, &s, 400, "Mcp-Param-N is missing");
	s.fields = SQL "Mcp-Param-Region: us\r\nMcp-Param-N: 42\r\n";
	mcp_status_is(conn, &s, 400, "\"code\":-32020");
	s.fields = SQL "mcp-param-region: =?base64?ZXU=?=\r\nMcp-Param-N: 42.0\r\n";
	mcp_status_is(conn, &s, 200, "null");
	s.fields = SQL "Mcp-Param-Region: eu\r\nMcp-Param-Region: eu\r\nMcp-Param-N: 42\r\n";
	mcp_status_is(conn, &s, 400, "\"code\":-32020");
	s = modern(SQL, SQL_CALL("\"region\":null"));
	mcp_status_is(conn, &s, 200, "null");
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

struct asks_alike {
	struct mcpd *d;
	int n;
};

/* All with the same id and token. */
static weft_err ask_alike(void *arg)
{
	struct asks_alike *a = arg;
	weft_conn *conn = mcpd_connect(a->d);
	char body[512], text[256];
	struct mcp_say s = modern(METHOD("progress"), body);

	snprintf(body, sizeof(body), RPC("1", "progress", "{\"count\":%d," META_TOKEN("\"t\"") "}"),
		a->n);
	mcp_say(conn, &s);
	hear_stream(conn);
	for (int i = 0; i < a->n; i++) {
		snprintf(text, sizeof(text),
			RPC_NOTE("notifications/progress",
				"{\"progressToken\":\"t\",\"progress\":%d}"),
			i);
		hear_data_is(conn, text, NULL, 0);
	}
	hear_data_is(conn, RPC_RESULT("1", "null"), NULL, 0);
	hear_stream_end(conn);
	weft_conn_free(conn);
	return WEFT_OK;
}

BOTH_TEST(clients_that_use_the_same_ids_get_their_own_answers)
{
	struct asks_alike asks[10];
	weft_scope *scope;
	struct mcpd d;

	mcpd_open(&d, NULL);
	want_ok(weft_scope_create(&scope));
	for (int i = 0; i < 10; i++) {
		asks[i] = (struct asks_alike){ &d, i + 1 };
		want_ok(weft_scope_spawn(scope, "asks", ask_alike, &asks[i]));
	}
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	want(counter_get(&d.sessions) == 1);
	want(mcpd_stats(&d).replay_bytes == 0);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(a_client_that_closes_its_stream_cancels)
{
	struct mcpd_options options = { .mcp.json_wait_ns = 1 };
	struct mcp_say s = modern(METHOD("silent"), RPC("1", "silent", "{" META "}"));
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_say(conn, &s);
	hear_stream(conn);
	weft_conn_free(conn);
	while (counter_get(&d.cancelled) == 0)
		both_pause();
	want(mcpd_stats(&d).requests_now == 0);
	mcpd_close(&d);
	want(strstr(d.last, "{\"requestId\":1,\"reason\":") != NULL);
	return WEFT_OK;
}

#define SUBSCRIBED(method, id) \
	RPC_NOTE(method, "{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":" id "}}")

BOTH_TEST(a_subscription_is_a_stream_that_stays)
{
	struct mcpd_options options = { .mcp.response_timeout_ns = both_ample_ns(50 * MS) };
	struct mcp_say s = modern(METHOD("subscriptions/listen"),
		RPC("\"sub\"", "subscriptions/listen", "{" META "}"));
	struct mcp_say poke = modern(METHOD("poke"), RPC("2", "poke", "{" META "}"));
	struct mcp_say bye = modern(METHOD("hang_up"), RPC("3", "hang_up", "{" META "}"));
	weft_conn *conn, *stream;
	struct mcpd d;

	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	stream = mcpd_connect(&d);
	mcp_say(stream, &s);
	hear_stream(stream);
	hear_data_is(
		stream, SUBSCRIBED("notifications/subscriptions/acknowledged", "\"sub\""), NULL, 0);
	both_sleep_ns(400 * MS); /* no answer is due */
	for (int i = 0; i < 3; i++) {
		mcp_status_is(conn, &poke, 200, "null");
		hear_data_is(
			stream, SUBSCRIBED("notifications/tools/list_changed", "\"sub\""), NULL, 0);
	}
	mcp_status_is(conn, &bye, 200, "null");
	hear_stream_end(stream);
	/* the client ends the next one */
	mcp_say(stream, &s);
	hear_stream(stream);
	hear_data_is(
		stream, SUBSCRIBED("notifications/subscriptions/acknowledged", "\"sub\""), NULL, 0);
	weft_conn_free(stream);
	while (counter_get(&d.cancelled) == 0)
		both_pause();
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(an_idle_subscription_is_kept_alive)
{
	struct mcpd_options options = { .has_http = true,
		.http = WEFT_HTTP_SERVER_OPTIONS_DEFAULT };
	struct mcp_say s = modern(
		METHOD("subscriptions/listen"), RPC("1", "subscriptions/listen", "{" META "}"));
	char event[256];
	weft_conn *stream;
	struct mcpd d;

	options.http.sse_comment_ns = 20 * MS;
	mcpd_open(&d, &options);
	stream = mcpd_connect(&d);
	mcp_say(stream, &s);
	hear_stream(stream);
	for (unsigned comments = 0; comments < 3;) {
		hear_event(stream, event, sizeof(event));
		comments += *event == ':';
	}
	weft_conn_free(stream);
	while (counter_get(&d.cancelled) == 0)
		both_pause();
	mcpd_close(&d);
	return WEFT_OK;
}

BOTH_TEST(a_server_that_is_lost_is_another_for_the_next_request)
{
	struct mcp_say s = modern(METHOD("bye"), RPC("1", "bye", "{" META "}"));
	struct mcpd d;
	weft_conn *conn;

	mcpd_open(&d, NULL);
	conn = mcpd_connect(&d);
	for (int i = 0; i < 3; i++)
		mcp_status_is(conn, &s, 200, "the server has ended the session");
	s = modern(METHOD("echo"), RPC("1", "echo", "{" META "}"));
	mcp_status_is(conn, &s, 200, "\"result\"");
	want(counter_get(&d.sessions) == 4);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

static void eras_tests(TCase *tc)
{
	both_add(tc, an_old_client_posts_where_it_is_told_and_hears_all_on_one_stream);
	both_add(tc, an_old_clients_faults_are_told);
	both_add(tc, ids_of_sessions_are_not_in_the_access_log);
	both_add(tc, an_old_session_that_its_server_closes_ends_its_stream);
	both_add(tc, eras_can_be_left_out);
	both_add(tc, a_request_without_a_session_is_answered);
	both_add(tc, fields_that_do_not_say_what_the_body_says_are_refused);
	both_add(tc, a_revision_that_is_not_known_may_be_for_who_serves_the_session);
	both_add(tc, arguments_that_go_into_fields_are_compared);
	both_add(tc, clients_that_use_the_same_ids_get_their_own_answers);
	both_add(tc, a_client_that_closes_its_stream_cancels);
	both_add(tc, a_subscription_is_a_stream_that_stays);
	both_add(tc, an_idle_subscription_is_kept_alive);
	both_add(tc, a_server_that_is_lost_is_another_for_the_next_request);
}
T_SUITE("mcp server: eras", eras_tests)
