/* SPDX-License-Identifier: MIT */
/* What a bridge keeps of memory when sessions have ended. Simulated, so that nobody waits. */
#include "bridge/messages.h"
#include "support/both.h"

#include <weft/bridge.h>
#include <weft/sim.h>

#include <string.h>

#define SECOND INT64_C(1000000000)

static const char get[] =
	"GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n";

static weft_err bridge_fiber(void *arg)
{
	return weft_bridge_run(arg);
}

static void ignore(void *user, const weft_bridge_event *event)
{
	(void)user;
	(void)event;
}

/* HTTP+SSE: it lasts as long as its stream. */
static weft_conn *session_begin(const weft_bridge *b)
{
	char address[64] = "tcp://", answer[1024] = "";
	const char *authority = strstr(weft_bridge_name(b), "://") + 3;
	size_t got = 0, len = 0;
	weft_conn *conn;

	want(strcspn(authority, "/") < sizeof(address) - 7);
	strncat(address, authority, strcspn(authority, "/"));
	want_ok(weft_dial(&conn, address, NULL, WEFT_FOREVER));
	want_ok(weft_conn_write(conn, get, sizeof(get) - 1, NULL, WEFT_FOREVER));
	while (!strstr(answer, "sessionId=")) {
		want_ok(weft_conn_read(
			conn, answer + len, sizeof(answer) - 1 - len, &got, WEFT_FOREVER));
		len += got;
		answer[len] = '\0';
	}
	return conn;
}

static uint64_t held(const weft_bridge *b)
{
	weft_buf_pool_stats stats;

	weft_buf_pool_stats_get(b->pool, &stats);
	return stats.held_bytes;
}

static void use_pool(const weft_bridge *b)
{
	weft_buf buf;

	want_ok(weft_buf_alloc(&buf, b->pool, 4096));
	weft_buf_unref(&buf);
}

static weft_err sessions_fiber(void *arg)
{
	weft_bridge_options o = WEFT_BRIDGE_OPTIONS_DEFAULT;
	weft_bridge *b = NULL;
	weft_fiber *fiber = NULL;
	weft_conn *first, *second;

	(void)arg;
	o.from = "listen:http://127.0.0.1:0/mcp";
	o.to = "http://127.0.0.1:1/mcp";
	o.on_event = ignore;
	want_ok(weft_bridge_open(&b, &o));
	want_ok(weft_spawn(&fiber, "bridge", bridge_fiber, b));
	for (int i = 0; i < 2; i++) { /* and again, when it has rested */
		first = session_begin(b);
		second = session_begin(b);
		use_pool(b);
		want_ok(weft_sleep_ns(5 * SECOND));
		want(held(b) > 0);
		weft_conn_free(first);
		want_ok(weft_sleep_ns(5 * SECOND));
		want(held(b) == 0);
		use_pool(b);
		weft_conn_free(second);
		want_ok(weft_sleep_ns(5 * SECOND));
		want(held(b) == 0);
	}
	use_pool(b);
	want_ok(weft_sleep_ns(5 * SECOND));
	want(held(b) > 0); /* nobody looks */
	weft_bridge_stop(b);
	want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
	weft_bridge_free(b);
	return WEFT_OK;
}

START_TEST(memory_of_sessions_is_given_back_when_half_have_ended)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;

	ck_assert_int_eq(weft_sim_run(sessions_fiber, NULL, &options, NULL), WEFT_OK);
}
END_TEST

static void rest_tests(TCase *tc)
{
	t_add(tc, memory_of_sessions_is_given_back_when_half_have_ended);
}

T_SUITE("message_rest", rest_tests)
