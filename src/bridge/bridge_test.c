/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* Bridges inside one process, over epoll and under the simulator: what sessions carry, how
 * they end, what is counted, and that nothing is left. */
#include "support/both.h"

#include <pthread.h>
#include <string.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define BIG ((size_t)200000)

/* A server, a bridge before it, and the fiber that runs the bridge. */
struct rig {
	weft_listener *server;
	weft_err (*handler)(weft_conn *conn, void *arg);
	weft_scope *scope;
	weft_bridge *bridge;
	weft_bridge_options options;
	weft_fiber *runner;
	unsigned events[5]; /* by level, those of sessions */
	weft_err last_err;
};

static weft_err serve(void *arg)
{
	struct rig *r = arg;

	return weft_listener_serve(r->server, r->scope, "handler", r->handler, r);
}

static weft_err run_bridge(void *arg)
{
	return weft_bridge_run(arg);
}

static void on_event(void *user, const weft_bridge_event *event)
{
	struct rig *r = user;

	if (!event->session)
		return;
	r->events[event->level]++;
	if (event->err)
		r->last_err = event->err;
}

static void rig_init(struct rig *r, weft_err (*handler)(weft_conn *conn, void *arg))
{
	memset(r, 0, sizeof(*r));
	r->handler = handler;
	r->options = (weft_bridge_options)WEFT_BRIDGE_OPTIONS_DEFAULT;
	want_ok(weft_listen(&r->server, "tcp://127.0.0.1:0", NULL, WEFT_FOREVER));
	r->options.from = "listen:tcp://127.0.0.1:0";
	r->options.to = weft_listener_name(r->server);
}

static void rig_start(struct rig *r)
{
	want_ok(weft_scope_create(&r->scope));
	want_ok(weft_scope_spawn(r->scope, "server", serve, r));
	want_ok(weft_bridge_open(&r->bridge, &r->options));
	want_ok(weft_spawn(&r->runner, "bridge", run_bridge, r->bridge));
}

/* Stops the bridge and waits for its end. */
static weft_bridge_stats rig_stop(struct rig *r)
{
	weft_bridge_stats stats;
	weft_err result;

	weft_bridge_stop(r->bridge);
	weft_bridge_stop(r->bridge);
	want_ok(weft_fiber_join(r->runner, &result, WEFT_FOREVER));
	want_err(WEFT_OK, result);
	weft_bridge_stats_get(r->bridge, &stats);
	want(stats.sessions_now == 0 && stats.children_now == 0);
	return stats;
}

/* The server's handlers come to their ends by themselves. */
static void rig_free(struct rig *r)
{
	weft_bridge_free(r->bridge);
	weft_listener_close(r->server);
	want_ok(weft_scope_wait(r->scope, WEFT_FOREVER));
	weft_scope_free(r->scope);
	weft_listener_free(r->server);
}

static weft_conn *rig_dial(struct rig *r)
{
	weft_conn *conn = NULL;

	want_ok(weft_dial(&conn, weft_bridge_name(r->bridge), NULL, WEFT_FOREVER));
	return conn;
}

static weft_err ending(weft_conn *conn);

/* As a session that is reset at once: the dial may hear of it, or the first read. */
static void expect_reset_session(const char *address)
{
	weft_conn *conn = NULL;
	weft_err err = weft_dial(&conn, address, NULL, WEFT_FOREVER);

	if (!err)
		err = ending(conn);
	want_err(WEFT_ERESET, err);
	weft_conn_free(conn);
}

static void send_text(weft_conn *conn, const char *text)
{
	want_ok(weft_conn_write(conn, text, strlen(text), NULL, WEFT_FOREVER));
}

static void expect_text(weft_conn *conn, const char *text)
{
	char buf[64];

	want_ok(weft_conn_read_full(conn, buf, strlen(text), NULL, WEFT_FOREVER));
	want(memcmp(buf, text, strlen(text)) == 0);
}

/* How the stream ends after whatever else comes. */
static weft_err ending(weft_conn *conn)
{
	char buf[256];
	weft_err err;
	size_t got;

	do {
		err = weft_conn_read(conn, buf, sizeof(buf), &got, WEFT_FOREVER);
	} while (!err);
	return err;
}

/* Until the bridge has that many sessions. */
static void await_sessions(struct rig *r, size_t count)
{
	weft_bridge_stats stats;

	for (;;) {
		weft_bridge_stats_get(r->bridge, &stats);
		if (stats.sessions_now == count)
			return;
		want_ok(weft_sleep_ns(MS));
	}
}

/* ---- handlers ---- */

static weft_err echo(weft_conn *conn, void *arg)
{
	weft_err err = weft_conn_copy(conn, conn, NULL, NULL, NULL, WEFT_FOREVER);

	(void)arg;
	if (!err)
		err = weft_conn_shutdown(conn);
	weft_conn_free(conn);
	return err;
}

static weft_err greet_then_count(weft_conn *conn, void *arg)
{
	uint64_t count = 0;
	char c;
	size_t got;

	(void)arg;
	send_text(conn, "hello");
	want_ok(weft_conn_shutdown(conn));
	while (!weft_conn_read(conn, &c, 1, &got, WEFT_FOREVER))
		count += got;
	want(count == 3);
	weft_conn_free(conn);
	return WEFT_OK;
}

static weft_err reset_after_a_byte(weft_conn *conn, void *arg)
{
	char c;
	size_t got;
	weft_err err = weft_conn_read(conn, &c, 1, &got, WEFT_FOREVER);

	(void)arg;
	weft_conn_abort(conn);
	weft_conn_free(conn);
	return err;
}

static weft_err report_reset(weft_conn *conn, void *arg)
{
	struct rig *r = arg;

	send_text(conn, "ready");
	r->last_err = ending(conn);
	weft_conn_free(conn);
	return WEFT_OK;
}

static weft_err reply_once(weft_conn *conn, void *arg)
{
	(void)arg;
	expect_text(conn, "x");
	send_text(conn, "once");
	(void)ending(conn);
	weft_conn_free(conn);
	return WEFT_OK;
}

/* ---- bytes ---- */

static uint8_t pattern(size_t i, unsigned salt)
{
	return (uint8_t)((i * 2654435761u >> 7) + salt);
}

struct sender {
	weft_conn *conn;
	unsigned salt;
};

static weft_err send_big(void *arg)
{
	struct sender *s = arg;
	uint8_t buf[700];
	size_t at = 0;

	while (at < BIG) {
		size_t n = 1 + (size_t)both_random(sizeof(buf));

		n = n < BIG - at ? n : BIG - at;
		for (size_t i = 0; i < n; i++)
			buf[i] = pattern(at + i, s->salt);
		want_ok(weft_conn_write(s->conn, buf, n, NULL, WEFT_FOREVER));
		at += n;
	}
	return weft_conn_shutdown(s->conn);
}

static void receive_big(weft_conn *conn, unsigned salt)
{
	uint8_t buf[1000];
	size_t at = 0, got;

	while (at < BIG) {
		want_ok(weft_conn_read(conn, buf, sizeof(buf), &got, WEFT_FOREVER));
		want(got <= BIG - at);
		for (size_t i = 0; i < got; i++)
			want(buf[i] == pattern(at + i, salt));
		at += got;
	}
	want_err(WEFT_ECLOSED, weft_conn_read(conn, buf, 1, &got, WEFT_FOREVER));
}

BOTH_TEST(a_session_carries_every_byte_and_the_ends)
{
	weft_bridge_stats stats;
	struct sender s = { .salt = 7 };
	weft_fiber *sending;
	weft_err result;
	struct rig r;

	rig_init(&r, echo);
	rig_start(&r);
	s.conn = rig_dial(&r);
	want_ok(weft_spawn(&sending, "sends", send_big, &s));
	receive_big(s.conn, s.salt);
	want_ok(weft_fiber_join(sending, &result, WEFT_FOREVER));
	want_err(WEFT_OK, result);
	weft_conn_free(s.conn);
	stats = rig_stop(&r);
	want(stats.sessions == 1 && stats.sessions_failed == 0 && stats.sessions_refused == 0);
	want(stats.sessions_cut == 0 && stats.bytes_in == BIG && stats.bytes_out == BIG);
	rig_free(&r);
	return WEFT_OK;
}

BOTH_TEST(to_may_end_its_stream_first)
{
	weft_bridge_stats stats;
	weft_conn *conn;
	struct rig r;

	rig_init(&r, greet_then_count);
	rig_start(&r);
	conn = rig_dial(&r);
	expect_text(conn, "hello");
	want_err(WEFT_ECLOSED, ending(conn));
	send_text(conn, "abc");
	want_ok(weft_conn_shutdown(conn));
	await_sessions(&r, 0);
	weft_conn_free(conn);
	stats = rig_stop(&r);
	want(stats.sessions_failed == 0 && stats.bytes_in == 3 && stats.bytes_out == 5);
	rig_free(&r);
	return WEFT_OK;
}

static weft_err one_session(void *arg)
{
	struct rig *r = arg;
	struct sender s = { .salt = (unsigned)both_random(200) };
	weft_fiber *sending;
	weft_err result;

	s.conn = rig_dial(r);
	want_ok(weft_spawn(&sending, "sends", send_big, &s));
	receive_big(s.conn, s.salt);
	want_ok(weft_fiber_join(sending, &result, WEFT_FOREVER));
	weft_conn_free(s.conn);
	return result;
}

BOTH_TEST(sessions_at_once_keep_apart)
{
	weft_bridge_stats stats;
	weft_scope *clients;
	struct rig r;

	rig_init(&r, echo);
	rig_start(&r);
	want_ok(weft_scope_create(&clients));
	for (unsigned i = 0; i < 10; i++)
		want_ok(weft_scope_spawn_on(
			clients, i % weft_worker_count(), "client", one_session, &r));
	want_ok(weft_scope_wait(clients, WEFT_FOREVER));
	weft_scope_free(clients);
	stats = rig_stop(&r);
	want(stats.sessions == 10 && stats.sessions_failed == 0);
	want(stats.bytes_in == 10 * BIG && stats.bytes_out == 10 * BIG);
	rig_free(&r);
	return WEFT_OK;
}

/* ---- ends that are none in order ---- */

BOTH_TEST(a_to_that_refuses_resets_from)
{
	weft_bridge_stats stats;
	struct rig r;

	rig_init(&r, echo);
	r.options.on_event = on_event;
	r.options.user = &r;
	rig_start(&r);
	weft_listener_close(r.server);
	expect_reset_session(weft_bridge_name(r.bridge));
	stats = rig_stop(&r);
	want(stats.sessions == 1 && stats.sessions_failed == 1);
	want(r.events[WEFT_LOG_ERROR] == 1 && r.last_err == WEFT_EREFUSED);
	rig_free(&r);
	return WEFT_OK;
}

BOTH_TEST(a_reset_of_to_resets_from)
{
	weft_bridge_stats stats;
	weft_conn *conn;
	struct rig r;

	rig_init(&r, reset_after_a_byte);
	r.options.on_event = on_event;
	r.options.user = &r;
	rig_start(&r);
	conn = rig_dial(&r);
	send_text(conn, "x");
	want_err(WEFT_ERESET, ending(conn));
	weft_conn_free(conn);
	stats = rig_stop(&r);
	want(stats.sessions_failed == 1 && r.events[WEFT_LOG_WARN] == 1);
	want(r.last_err == WEFT_ERESET);
	rig_free(&r);
	return WEFT_OK;
}

BOTH_TEST(a_reset_of_from_resets_to)
{
	weft_bridge_stats stats;
	weft_conn *conn;
	struct rig r;

	rig_init(&r, report_reset);
	rig_start(&r);
	conn = rig_dial(&r);
	expect_text(conn, "ready");
	weft_conn_abort(conn);
	weft_conn_free(conn);
	await_sessions(&r, 0);
	stats = rig_stop(&r);
	weft_listener_close(r.server);
	want_ok(weft_scope_wait(r.scope, WEFT_FOREVER));
	want(stats.sessions_failed == 1);
	want_err(WEFT_ERESET, r.last_err);
	rig_free(&r);
	return WEFT_OK;
}

/* Echoed bytes that nobody takes keep an echoing TO from reading on. */
BOTH_TEST(a_from_that_is_reset_while_to_replies_leaves_nothing_behind)
{
	uint8_t buf[65536] = { 0 };
	weft_bridge_stats stats;
	weft_conn *conn;
	struct rig r;

	rig_init(&r, echo);
	rig_start(&r);
	conn = rig_dial(&r);
	send_text(conn, "x");
	expect_text(conn, "x"); /* the session is there */
	/* as much as all buffers on the way there and back take */
	while (!weft_conn_write(conn, buf, sizeof(buf), NULL, weft_after_ms(200)))
		;
	weft_conn_abort(conn);
	await_sessions(&r, 0);
	weft_conn_free(conn);
	stats = rig_stop(&r);
	want(stats.sessions_failed == 1 && stats.sessions_cut == 0);
	rig_free(&r);
	return WEFT_OK;
}

BOTH_TEST(connections_over_the_limit_are_reset_and_counted)
{
	weft_conn *held;
	weft_bridge_stats stats;
	struct rig r;

	rig_init(&r, echo);
	r.options.connections_max = 1;
	rig_start(&r);
	held = rig_dial(&r);
	send_text(held, "x");
	expect_text(held, "x");
	for (int i = 0; i < 2; i++)
		expect_reset_session(weft_bridge_name(r.bridge));
	weft_conn_free(held);
	await_sessions(&r, 0);
	stats = rig_stop(&r);
	want(stats.sessions == 1 && stats.sessions_refused == 2);
	rig_free(&r);
	return WEFT_OK;
}

/* ---- time ---- */

BOTH_TEST(an_owed_reply_is_waited_for_so_long)
{
	/* on a real clock the reply has to come within it */
	int64_t timeout_ns = weft_in_sim() ? 50 * MS : SECOND;
	int64_t silence_ns = weft_in_sim() ? 400 * MS : MS;
	weft_bridge_stats stats;
	weft_deadline began;
	weft_conn *conn;
	struct rig r;

	rig_init(&r, reply_once);
	r.options.read_timeout_ns = timeout_ns;
	r.options.on_event = on_event;
	r.options.user = &r;
	rig_start(&r);
	conn = rig_dial(&r);
	want_ok(weft_sleep_ns(silence_ns)); /* nothing is owed */
	send_text(conn, "x");
	expect_text(conn, "once");
	want_ok(weft_sleep_ns(silence_ns)); /* nor any more */
	began = weft_now();
	send_text(conn, "x");
	want_err(WEFT_ERESET, ending(conn));
	want(weft_now() - began >= timeout_ns);
	weft_conn_free(conn);
	stats = rig_stop(&r);
	want(stats.sessions_failed == 1 && r.last_err == WEFT_ETIMEDOUT);
	rig_free(&r);
	return WEFT_OK;
}

BOTH_TEST(an_idle_session_is_closed_in_order)
{
	weft_bridge_stats stats;
	weft_deadline last;
	weft_conn *conn;
	struct rig r;

	rig_init(&r, echo);
	r.options.idle_timeout_ns = 100 * MS;
	rig_start(&r);
	last = weft_now();
	conn = rig_dial(&r);
	/* on a real clock nothing is surely in time for it to go on */
	for (int i = 0; weft_in_sim() && i < 5; i++) {
		last = weft_now();
		send_text(conn, "x");
		expect_text(conn, "x");
		want_ok(weft_sleep_ns(30 * MS));
	}
	want_err(WEFT_ECLOSED, ending(conn));
	want(weft_now() - last >= 90 * MS);
	weft_conn_free(conn);
	stats = rig_stop(&r);
	want(stats.sessions == 1 && stats.sessions_failed == 0);
	rig_free(&r);
	return WEFT_OK;
}

/* ---- the drain ---- */

BOTH_TEST(sessions_that_end_in_time_are_drained)
{
	weft_bridge_stats stats;
	weft_conn *conn;
	struct rig r;

	rig_init(&r, echo);
	r.options.drain_timeout_ns = 60 * SECOND;
	rig_start(&r);
	conn = rig_dial(&r);
	send_text(conn, "x");
	expect_text(conn, "x");
	weft_bridge_stop(r.bridge);
	send_text(conn, "still");
	expect_text(conn, "still");
	want_ok(weft_conn_shutdown(conn));
	want_err(WEFT_ECLOSED, ending(conn));
	weft_conn_free(conn);
	stats = rig_stop(&r);
	want(stats.sessions == 1 && stats.sessions_cut == 0 && stats.sessions_failed == 0);
	rig_free(&r);
	return WEFT_OK;
}

BOTH_TEST(sessions_that_do_not_are_cut)
{
	weft_bridge_stats stats;
	weft_conn *conns[3];
	weft_deadline began;
	struct rig r;

	rig_init(&r, echo);
	r.options.drain_timeout_ns = 50 * MS;
	rig_start(&r);
	for (int i = 0; i < 3; i++) {
		conns[i] = rig_dial(&r);
		send_text(conns[i], "x");
		expect_text(conns[i], "x");
	}
	began = weft_now();
	stats = rig_stop(&r);
	want(weft_now() - began >= 50 * MS);
	for (int i = 0; i < 3; i++) {
		want_err(WEFT_ERESET, ending(conns[i]));
		weft_conn_free(conns[i]);
	}
	want(stats.sessions == 3 && stats.sessions_cut == 3 && stats.sessions_failed == 0);
	rig_free(&r);
	return WEFT_OK;
}

BOTH_TEST(a_cancelled_bridge_leaves_nothing)
{
	weft_bridge_options o = WEFT_BRIDGE_OPTIONS_DEFAULT;
	weft_bridge *bridge = NULL;
	weft_listener *silent_server;
	weft_scope *scope;
	weft_conn *conn;

	o.from = "listen:tcp://127.0.0.1:0";
	want_ok(weft_listen(&silent_server, "tcp://127.0.0.1:0", NULL, WEFT_FOREVER));
	o.to = weft_listener_name(silent_server);
	want_ok(weft_bridge_open(&bridge, &o));
	want_ok(weft_scope_create(&scope));
	want_ok(weft_scope_spawn(scope, "bridge", run_bridge, bridge));
	want_ok(weft_dial(&conn, weft_bridge_name(bridge), NULL, WEFT_FOREVER));
	weft_scope_free(scope);
	weft_conn_free(conn);
	weft_listener_free(silent_server);
	weft_bridge_free(bridge);
	return WEFT_OK;
}

/* ---- bad weather, simulated ---- */

static weft_err weather_client(void *arg)
{
	struct rig *r = arg;
	char buf[300];
	weft_conn *conn;
	size_t got;

	memset(buf, 'x', sizeof(buf));
	if (weft_dial(&conn, weft_bridge_name(r->bridge), NULL, weft_after_ns(SECOND)))
		return WEFT_OK;
	for (uint64_t i = both_random(20); i > 0; i--) {
		if (weft_conn_write(conn, buf, sizeof(buf), NULL, weft_after_ns(SECOND)) ||
			weft_conn_read(conn, buf, sizeof(buf), &got, weft_after_ns(SECOND)))
			break;
		both_pause();
	}
	switch (both_random(3)) {
	case 0:
		weft_conn_abort(conn);
		break;
	case 1:
		if (!weft_conn_shutdown(conn))
			(void)!weft_conn_read(conn, buf, sizeof(buf), &got, weft_after_ns(SECOND));
		break;
	default:
		break;
	}
	weft_conn_free(conn);
	return WEFT_OK;
}

#define CLIENTS 8

static weft_err weather_fiber(void *arg)
{
	struct rig r = { .handler = echo, .options = WEFT_BRIDGE_OPTIONS_DEFAULT };
	weft_scope *clients = NULL;
	weft_bridge_stats stats;
	weft_err err;

	(void)arg;
	err = weft_listen(&r.server, "tcp://127.0.0.1:0", NULL, WEFT_FOREVER);
	if (err)
		return err;
	r.options.from = "listen:tcp://127.0.0.1:0";
	r.options.to = weft_listener_name(r.server);
	r.options.idle_timeout_ns = 5 * SECOND;
	r.options.drain_timeout_ns = both_random(2) ? SECOND : 0;
	err = weft_scope_create(&r.scope);
	if (!err)
		err = weft_scope_create(&clients);
	if (!err)
		err = weft_scope_spawn(r.scope, "server", serve, &r);
	if (!err)
		err = weft_bridge_open(&r.bridge, &r.options);
	if (!err)
		err = weft_spawn(&r.runner, "bridge", run_bridge, r.bridge);
	for (int i = 0; !err && i < CLIENTS; i++)
		err = weft_scope_spawn(clients, "client", weather_client, &r);
	if (clients && r.runner) {
		(void)!weft_scope_wait(clients, WEFT_FOREVER);
		weft_bridge_stop(r.bridge);
		(void)!weft_fiber_join(r.runner, &err, WEFT_FOREVER);
		weft_bridge_stats_get(r.bridge, &stats);
		want(stats.sessions_now == 0 && stats.sessions <= CLIENTS);
		want(stats.sessions_failed + stats.sessions_cut <= stats.sessions);
		weft_sim_note(stats.sessions_failed);
		weft_sim_note(stats.bytes_in);
	}
	weft_scope_free(clients);
	weft_bridge_free(r.bridge);
	weft_listener_close(r.server);
	weft_scope_free(r.scope);
	weft_listener_free(r.server);
	return err;
}

START_TEST(in_bad_weather_every_session_comes_to_an_end)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	weft_sim_result result;
	weft_err err;

	options.seed = (uint64_t)_i;
	options.partial_permille = 300;
	options.reset_permille = (unsigned)(_i % 3) * 300;
	options.refuse_permille = (unsigned)(_i % 5) * 100;
	options.accept_fail_permille = (unsigned)(_i % 2) * 100;
	options.memory_fail_permille = _i % 4 == 3 ? 5 : 0;
	err = both_run_seed(weather_fiber, NULL, &options, &result);
	ck_assert_msg(err == WEFT_OK || (err == WEFT_ENOMEM && options.memory_fail_permille),
		"seed %d: %s", _i, weft_error_detail());
}
END_TEST

static weft_err memory_fiber(void *arg)
{
	(void)arg;
	return weather_fiber(NULL);
}

START_TEST(bridges_survive_failing_malloc)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	unsigned failures = 0;

	T_EACH_FAILING_MALLOC(n) {
		weft_err err = weft_sim_run(memory_fiber, NULL, &options, NULL);

		ck_assert_msg(err == WEFT_OK || err == WEFT_ENOMEM, "n %llu: %s",
			(unsigned long long)n, weft_error_detail());
		failures += err == WEFT_ENOMEM;
	}
	ck_assert_uint_gt(failures, 10);
}
END_TEST

/* ---- over epoll only ---- */

static void *stop_thread(void *arg)
{
	weft_bridge_stats stats;

	weft_bridge_stats_get(arg, &stats);
	weft_bridge_stop(arg);
	return NULL;
}

static weft_err children_fiber(void *arg)
{
	weft_bridge_options o = WEFT_BRIDGE_OPTIONS_DEFAULT;
	struct rig r = { .handler = NULL };
	weft_bridge_stats stats;
	weft_conn *conn;
	weft_err result;
	pthread_t t;

	(void)arg;
	o.from = "listen:tcp://127.0.0.1:0";
	o.command = (const char *const[]){ "cat", NULL };
	o.children_max = 1;
	want_ok(weft_bridge_open(&r.bridge, &o));
	want_ok(weft_spawn(&r.runner, "bridge", run_bridge, r.bridge));
	conn = rig_dial(&r);
	send_text(conn, "cat");
	expect_text(conn, "cat");
	expect_reset_session(weft_bridge_name(r.bridge));
	weft_bridge_stats_get(r.bridge, &stats);
	want(stats.children_now == 1);
	want_ok(weft_conn_shutdown(conn));
	want_err(WEFT_ECLOSED, ending(conn));
	weft_conn_free(conn);
	await_sessions(&r, 0);
	want(pthread_create(&t, NULL, stop_thread, r.bridge) == 0);
	want_ok(weft_fiber_join(r.runner, &result, WEFT_FOREVER));
	want(pthread_join(t, NULL) == 0);
	weft_bridge_stats_get(r.bridge, &stats);
	want(stats.sessions == 2 && stats.sessions_refused == 1 && stats.sessions_failed == 0);
	want(stats.children_now == 0 && stats.bytes_in == 3 && stats.bytes_out == 3);
	weft_bridge_free(r.bridge);
	return result;
}

START_TEST(children_are_counted_exactly)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;
	int fds = t_fds_open();

	options.workers = 2;
	ck_assert_int_eq(weft_run(children_fiber, NULL, &options), WEFT_OK);
	ck_assert_int_eq(t_fds_open(), fds);
	ck_assert_int_eq(t_children(), 0);
}
END_TEST

static void bridge_tests(TCase *tc)
{
	both_add(tc, a_session_carries_every_byte_and_the_ends);
	both_add(tc, to_may_end_its_stream_first);
	both_add(tc, sessions_at_once_keep_apart);
	both_add(tc, a_to_that_refuses_resets_from);
	both_add(tc, a_reset_of_to_resets_from);
	both_add(tc, a_reset_of_from_resets_to);
	both_add(tc, a_from_that_is_reset_while_to_replies_leaves_nothing_behind);
	both_add(tc, connections_over_the_limit_are_reset_and_counted);
	both_add(tc, an_owed_reply_is_waited_for_so_long);
	both_add(tc, an_idle_session_is_closed_in_order);
	both_add(tc, sessions_that_end_in_time_are_drained);
	both_add(tc, sessions_that_do_not_are_cut);
	both_add(tc, a_cancelled_bridge_leaves_nothing);
	t_add_loop(tc, in_bad_weather_every_session_comes_to_an_end, both_seed_first(),
		both_seed_end());
	t_add(tc, bridges_survive_failing_malloc);
	t_add(tc, children_are_counted_exactly);
}
T_SUITE("bridge", bridge_tests)
