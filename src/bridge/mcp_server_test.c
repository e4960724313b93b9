/* SPDX-License-Identifier: MIT */
/* What clients can't see: options, memory that runs out, what a request costs. */
#include "support/ends.h"
#include "support/mcpd.h"

static weft_err refuse_options(void *arg)
{
	static const struct {
		weft_mcp_server_options options;
		const char *path, *says;
	} bad[] = {
		{ { .idle_timeout_ns = -1 }, "/mcp", "idle_timeout_ns" },
		{ { .session_timeout_ns = -1 }, "/mcp", "session_timeout_ns" },
		{ { .response_timeout_ns = -1 }, "/mcp", "response_timeout_ns" },
		{ { .json_wait_ns = -1 }, "/mcp", "json_wait_ns" },
		{ { .transport.send_timeout_ns = -1 }, "/mcp", "send_timeout_ns" },
		{ { .sessions_off = true, .stateless_off = true, .sse_off = true }, "/mcp",
			"eras" },
		{ { .sse_path = "sse" }, "/mcp", "sse_path" },
		{ { .messages_path = "" }, "/mcp", "messages_path" },
		{ { .idle_timeout_ns = 0 }, "mcp", "path" },
		{ { .idle_timeout_ns = 0 }, NULL, "path" },
		{ { .idle_timeout_ns = 0 }, "/{x}", "path" },
		{ { .token_file = "/nowhere/tokens" }, "/mcp", "/nowhere/tokens" },
	};
	weft_http_server *http = NULL;
	weft_mcp_server *server = NULL;

	(void)arg;
	OK(weft_http_server_create(&http, NULL));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		weft_err err = weft_mcp_server_create(&server, http, bad[i].path, &bad[i].options);

		ck_assert(err == WEFT_EINVAL || err == WEFT_ENOTFOUND);
		ck_assert_msg(strstr(weft_error_detail(), bad[i].says) != NULL, "%s",
			weft_error_detail());
		ck_assert_ptr_null(server);
	}
	weft_http_server_free(http);
	return WEFT_OK;
}

START_TEST(options_that_are_none_are_named)
{
	run_fiber(refuse_options, NULL, false);
}
END_TEST

static size_t routes_of(weft_http_server *http)
{
	weft_http_router *router = weft_http_server_router(http);
	size_t count = weft_http_router_count(router);

	weft_http_router_unref(router);
	return count;
}

static weft_err refuse_second(void *arg)
{
	weft_mcp_server *server = NULL, *second = NULL, *third = NULL;
	const weft_mcp_server_options alone = { .sse_off = true };
	weft_http_server *http = NULL;

	(void)arg;
	OK(weft_http_server_create(&http, NULL));
	OK(weft_mcp_server_create(&server, http, "/a/mcp", NULL));
	ck_assert_uint_eq(routes_of(http), 5);
	FAILS(WEFT_EDUPLICATE, weft_mcp_server_create(&second, http, "/a/mcp", NULL));
	/* of those that are made, none stays */
	FAILS(WEFT_EDUPLICATE, weft_mcp_server_create(&second, http, "/a/other", NULL));
	ck_assert_uint_eq(routes_of(http), 5);
	OK(weft_mcp_server_create(&second, http, "/b/mcp", NULL));
	OK(weft_mcp_server_create(&third, http, "/a/other", &alone));
	ck_assert_uint_eq(routes_of(http), 13);
	weft_http_server_free(http);
	weft_mcp_server_free(server);
	weft_mcp_server_free(second);
	weft_mcp_server_free(third);
	weft_mcp_server_free(NULL);
	return WEFT_OK;
}

START_TEST(several_have_paths_of_their_own_on_one_http_server)
{
	run_fiber(refuse_second, NULL, false);
}
END_TEST

/* ---- memory ---- */

static weft_err create_once(void *arg)
{
	weft_http_server *http = NULL;
	weft_mcp_server *server = NULL;
	weft_err *result = arg;

	*result = weft_http_server_create(&http, NULL);
	if (!*result)
		*result = weft_mcp_server_create(&server, http, "/mcp", NULL);
	weft_http_server_free(http);
	weft_mcp_server_free(server);
	return WEFT_OK;
}

START_TEST(no_memory_for_a_server_leaves_nothing)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;

	options.workers = 1;
	T_EACH_FAILING_MALLOC(n) {
		weft_err result = WEFT_OK;
		weft_err err = weft_run(create_once, &result, &options);

		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		ck_assert(result == WEFT_OK || result == WEFT_ENOMEM);
		ck_assert((err == WEFT_OK && result == WEFT_OK) || t_malloc_failed());
	}
}
END_TEST

/* A server that does with what memory there is. */
struct frugal {
	weft_mcp_server *mcp;
	weft_transport *transport;
	weft_parker *waiter;
	bool has_ended;
};

static void frugal_message(void *user, weft_message *message)
{
	weft_jsonrpc_draft draft = { .kind = WEFT_JSONRPC_RESPONSE, .id = message->rpc.id };
	struct frugal *f = user;
	weft_message answer;
	weft_err err = weft_message_write(&answer, NULL, &draft);

	if (!err)
		err = weft_transport_send_own(f->transport, &answer, WEFT_FOREVER);
	if (err)
		weft_transport_close(f->transport);
	weft_message_fini(message);
}

static void frugal_ended(void *user, weft_err err, const char *detail)
{
	struct frugal *f = user;

	(void)err;
	(void)detail;
	f->has_ended = true;
	weft_unpark(f->waiter);
}

static weft_err serve_frugally(void *arg)
{
	static const weft_transport_sink sink = { frugal_message, frugal_ended };
	struct frugal *f = arg;

	f->waiter = weft_parker_self();
	while (!weft_incoming_accept(weft_mcp_server_incoming(f->mcp), &f->transport, SOON)) {
		f->has_ended = false;
		if (!weft_transport_start(f->transport, &sink, f))
			while (!f->has_ended)
				OK(weft_park(SOON));
		weft_transport_free(f->transport);
	}
	return WEFT_OK;
}

static const char request_text[] =
	"POST /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: */*\r\nContent-Type: "
	"application/json\r\nContent-Length: 88\r\n\r\n" RPC(
		"0", "initialize", "{\"protocolVersion\":\"2025-06-18\"}");

/* What a client hears; whatever comes is a response, or the connection's end. */
static void hear_something(weft_conn *conn)
{
	char got[8192];
	size_t n, len = 0;

	if (!weft_conn_write(conn, request_text, strlen(request_text), NULL, SOON))
		while (len + 1 < sizeof(got) &&
			!weft_conn_read(conn, got + len, sizeof(got) - 1 - len, &n, SOON))
			len += n;
	got[len] = '\0';
	ck_assert_msg(!len || strncmp(got, "HTTP/1.1 ", 9) == 0, "%s", got);
	ck_assert_msg(t_malloc_failed() || strstr(got, "Mcp-Session-Id"), "%s", got);
}

/* A whole life, of which one allocation fails. */
static weft_err live(void *arg)
{
	struct frugal frugal = { .mcp = NULL };
	weft_fiber *fiber = NULL;
	weft_conn *conn;
	struct httpd h;

	httpd_open(&h, NULL, true);
	OK(weft_mcp_server_create(&frugal.mcp, h.server, "/mcp", NULL));
	fiber = spawn(serve_frugally, &frugal);
	conn = httpd_connect(&h);
	t_malloc_fail_at((uint64_t)(uintptr_t)arg);
	hear_something(conn);
	t_malloc_fail_off();
	weft_conn_free(conn);
	weft_http_server_stop(h.server);
	OK(weft_http_server_wait(h.server, SOON));
	weft_incoming_close(weft_mcp_server_incoming(frugal.mcp));
	while (weft_fiber_join(fiber, NULL, weft_after_ms(10)) == WEFT_ETIMEDOUT)
		if (frugal.transport)
			weft_transport_close(frugal.transport);
	weft_mcp_server_free(frugal.mcp);
	httpd_close(&h);
	return WEFT_OK;
}

START_TEST(no_memory_for_a_session_is_survived)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;

	for (uintptr_t n = 1; n <= 120; n++) {
		int64_t before;

		options.seed = n;
		before = t_malloc_live();
		OK(weft_sim_run(live, (void *)n, &options, NULL));
		ck_assert_int_eq(t_malloc_live(), before);
	}
}
END_TEST

/* ---- costs ---- */

static weft_err count_allocations(void *arg)
{
	struct mcpd_options options = { .by_sink = true };
	char session[MCP_SESSION_SIZE];
	weft_http_server_stats stats;
	uint64_t before, cost, writes;
	struct mcpd d;
	weft_conn *conn;

	(void)arg;
	mcpd_open(&d, &options);
	conn = mcpd_connect(&d);
	mcp_initialize(conn, "2025-06-18", session);
	for (int i = 0; i < 10; i++)
		mcp_ask_is(conn, session, RPC("1", "echo", "[]"), 200, NULL);
	weft_http_server_stats_get(d.h.server, &stats);
	before = t_malloc_calls();
	for (int i = 0; i < 100; i++)
		mcp_ask_is(conn, session, RPC("1", "echo", "[]"), 200, NULL);
	cost = t_malloc_calls() - before;
	writes = stats.writes;
	weft_http_server_stats_get(d.h.server, &stats);
	ck_assert_uint_eq(stats.writes - writes, 100);
	/* the body, the stream, its entry; and the answer, which is the test's own */
	ck_assert_uint_le(cost, 100 * 4 + 10);
	weft_conn_free(conn);
	mcpd_close(&d);
	return WEFT_OK;
}

START_TEST(a_request_that_is_answered_as_json_costs_three_allocations_and_one_write)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;

	options.workers = 1;
	OK(weft_run(count_allocations, NULL, &options));
}
END_TEST

static void server_tests(TCase *tc)
{
	t_add(tc, options_that_are_none_are_named);
	t_add(tc, several_have_paths_of_their_own_on_one_http_server);
	t_add(tc, no_memory_for_a_server_leaves_nothing);
	t_add(tc, no_memory_for_a_session_is_survived);
	t_add(tc, a_request_that_is_answered_as_json_costs_three_allocations_and_one_write);
}
T_SUITE("mcp server", server_tests)
