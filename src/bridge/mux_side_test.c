/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* Tunnels: what they carry, and what becomes of sessions when they meet a limit, a stranger,
 * the end of the bridge, or bad weather. */
#include "support/tunnel.h"

#define BIG ((size_t)80000)

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
	uint8_t buf[5000];
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

static weft_err big_session(void *arg)
{
	struct tunnel *t = arg;
	struct sender s = { dial(&t->near), (unsigned)both_random(200) };
	weft_fiber *sending;
	uint8_t buf[1000];
	size_t at = 0, got;
	weft_err result;

	want_ok(weft_spawn(&sending, "sends", send_big, &s));
	while (at < BIG) {
		want_ok(weft_conn_read(s.conn, buf, sizeof(buf), &got, WEFT_FOREVER));
		want(got <= BIG - at);
		for (size_t i = 0; i < got; i++)
			want(buf[i] == pattern(at + i, s.salt));
		at += got;
	}
	want_err(WEFT_ECLOSED, weft_conn_read(s.conn, buf, 1, &got, WEFT_FOREVER));
	want_ok(weft_fiber_join(sending, &result, WEFT_FOREVER));
	weft_conn_free(s.conn);
	return result;
}

static void carry_big_sessions(const char *options, unsigned count, size_t muxes)
{
	weft_bridge_stats near, far;
	weft_scope *clients;
	struct tunnel t;

	tunnel_start(&t, echo, (struct asked){ .options = options });
	await_muxes(&t.near, muxes);
	want_ok(weft_scope_create(&clients));
	for (unsigned i = 0; i < count; i++)
		want_ok(weft_scope_spawn_on(
			clients, i % weft_worker_count(), "client", big_session, &t));
	want_ok(weft_scope_wait(clients, WEFT_FOREVER));
	weft_scope_free(clients);
	await_muxes(&t.far, muxes);
	near = stop(&t.near);
	far = stop(&t.far);
	want(near.sessions == count && far.sessions == count);
	want(near.sessions_failed == 0 && far.sessions_failed == 0);
	want(near.bytes_in == count * BIG && near.bytes_out == count * BIG);
	want(far.bytes_in == count * BIG && far.bytes_out == count * BIG);
	want(near.mux_sessions == muxes && far.mux_sessions == muxes);
	serve_end(&t);
}

BOTH_TEST(a_tunnel_carries_every_byte_and_the_ends)
{
	carry_big_sessions("", 3, 1);
	return WEFT_OK;
}

BOTH_TEST(a_tunnel_of_version_1_does_too)
{
	carry_big_sessions("?v=1", 3, 1);
	return WEFT_OK;
}

BOTH_TEST(sessions_are_shared_out_over_several_connections)
{
	carry_big_sessions("?sessions=3", 6, 3);
	return WEFT_OK;
}

BOTH_TEST(the_other_way_round)
{
	struct running front, behind;
	struct tunnel t;
	weft_conn *conn;

	serve(&t, echo);
	set(&front, "listen:" ANYWHERE, "listen:mux+" ANYWHERE);
	start(&front);
	set(&behind, weft_bridge_to_name(front.bridge), weft_listener_name(t.server));
	start(&behind);
	want(strcmp(weft_bridge_name(behind.bridge), behind.from) == 0);
	conn = dial(&front);
	say(conn, "around");
	hear(conn, "around");
	want_ok(weft_conn_shutdown(conn));
	want_err(WEFT_ECLOSED, ending(conn));
	weft_conn_free(conn);
	await_sessions(&behind, 0);
	want(stop(&behind).sessions == 1);
	want(stop(&front).sessions == 1);
	serve_end(&t);
	return WEFT_OK;
}

/* ---- strangers ---- */

BOTH_TEST(garbage_ends_one_session_with_one_line)
{
	static const char garbage[] = "GET / HTTP/1.1\r\n\r\n";
	weft_bridge_stats stats;
	weft_conn *held, *conn;
	struct tunnel t;

	tunnel_start(&t, echo, (struct asked){ 0 });
	held = dial(&t.near);
	say(held, "a");
	hear(held, "a");
	conn = dial(&t.far);
	say(conn, garbage);
	want(ending(conn) != WEFT_OK);
	weft_conn_free(conn);
	await_hint(&t.far.told);
	say(held, "b");
	hear(held, "b");
	want_ok(weft_conn_shutdown(held));
	want_err(WEFT_ECLOSED, ending(held));
	weft_conn_free(held);
	stats = stop(&t.near);
	want(stats.sessions_failed == 0 && t.near.told.warnings == 0);
	stats = stop(&t.far);
	want(stats.sessions == 1 && stats.mux_sessions == 2);
	want(t.far.told.warnings == 1 && t.far.told.errors == 0 && t.far.told.hints == 1);
	serve_end(&t);
	return WEFT_OK;
}

BOTH_TEST(another_version_is_told_at_both_ends)
{
	weft_conn *conn;
	struct tunnel t;

	serve(&t, echo);
	set(&t.far, "listen:mux+" ANYWHERE "?v=1", weft_listener_name(t.server));
	start(&t.far);
	near_to(&t, "?v=2");
	start(&t.near);
	conn = dial(&t.near);
	want_err(WEFT_ERESET, ending(conn));
	weft_conn_free(conn);
	await_hint(&t.far.told);
	await_hint(&t.near.told);
	want(strstr(t.far.told.hint, "version 2, not 1") && strstr(t.far.told.hint, "?v=2"));
	want(strstr(t.near.told.hint, "?v=1"));
	(void)stop(&t.near);
	want(stop(&t.far).sessions == 0);
	serve_end(&t);
	return WEFT_OK;
}

/* ---- limits ---- */

BOTH_TEST(the_limit_counts_streams_of_all_connections)
{
	weft_bridge_stats stats;
	weft_conn *held[2], *conn;
	struct tunnel t;

	tunnel_start(&t, echo, (struct asked){ .options = "?sessions=3", .connections_max = 2 });
	await_muxes(&t.far, 3);
	for (int i = 0; i < 2; i++) {
		held[i] = dial(&t.near);
		say(held[i], "x");
		hear(held[i], "x");
	}
	for (int i = 0; i < 4; i++) {
		conn = dial(&t.near);
		want_err(WEFT_ECLOSED, ending(conn));
		weft_conn_free(conn);
	}
	weft_conn_free(held[0]);
	await_sessions(&t.far, 1);
	conn = dial(&t.near);
	say(conn, "y");
	hear(conn, "y");
	weft_conn_free(conn);
	weft_conn_free(held[1]);
	await_sessions(&t.far, 0);
	(void)stop(&t.near);
	want(t.far.told.warnings == 1 && strstr(t.far.told.last, "all of the 2 sessions"));
	stats = stop(&t.far);
	want(stats.sessions == 3 && stats.sessions_refused >= 4);
	serve_end(&t);
	return WEFT_OK;
}

/* ---- the drain ---- */

BOTH_TEST(an_end_that_drains_lets_sessions_finish_and_takes_no_more)
{
	weft_bridge_stats stats;
	weft_conn *conn, *late;
	struct tunnel t;

	tunnel_start(&t, echo, (struct asked){ 0 });
	conn = dial(&t.near);
	say(conn, "x");
	hear(conn, "x");
	weft_bridge_stop(t.far.bridge);
	late = dial(&t.near);
	want_err(WEFT_ECLOSED, ending(late));
	weft_conn_free(late);
	say(conn, "still");
	hear(conn, "still");
	want_ok(weft_conn_shutdown(conn));
	want_err(WEFT_ECLOSED, ending(conn));
	weft_conn_free(conn);
	stats = stop(&t.far);
	want(stats.sessions == 1 && stats.sessions_cut == 0 && stats.sessions_failed == 0);
	want(stop(&t.near).sessions_failed == 0);
	serve_end(&t);
	return WEFT_OK;
}

static void cut(bool is_near)
{
	weft_bridge_stats stats;
	weft_conn *conns[3];
	struct tunnel t;

	tunnel_start(&t, echo, (struct asked){ .cuts = true });
	for (int i = 0; i < 3; i++) {
		conns[i] = dial(&t.near);
		say(conns[i], "x");
		hear(conns[i], "x");
	}
	stats = stop(is_near ? &t.near : &t.far);
	want(stats.sessions_cut == 3);
	for (int i = 0; i < 3; i++) {
		want_err(WEFT_ERESET, ending(conns[i]));
		weft_conn_free(conns[i]);
	}
	await_sessions(is_near ? &t.far : &t.near, 0);
	stats = stop(is_near ? &t.far : &t.near);
	want(stats.sessions_failed == 3);
	serve_end(&t);
}

BOTH_TEST(what_an_end_cuts_is_reset_at_the_other)
{
	cut(false);
	cut(true);
	return WEFT_OK;
}

BOTH_TEST(a_first_dial_that_fails_fails_a_reverse_tunnel)
{
	weft_listener *listener;
	struct running behind;

	want_ok(weft_listen(&listener, ANYWHERE, NULL, WEFT_FOREVER));
	set(&behind, "", ANYWHERE);
	snprintf(behind.from, sizeof(behind.from), "mux+%s", weft_listener_name(listener));
	snprintf(behind.to, sizeof(behind.to), "tcp://127.0.0.1:1");
	weft_listener_free(listener);
	want_err(WEFT_EREFUSED, weft_bridge_open(&behind.bridge, &behind.options));
	want(strstr(weft_error_detail(), "open mux session: connect tcp://127.0.0.1:"));
	want(pthread_mutex_destroy(&behind.told.lock) == 0);
	return WEFT_OK;
}

/* ---- bad weather, simulated ---- */

static weft_err weather_client(void *arg)
{
	struct tunnel *t = arg;
	char buf[3000];
	weft_conn *conn;
	size_t got;

	memset(buf, 'x', sizeof(buf));
	if (weft_dial(&conn, weft_bridge_name(t->near.bridge), NULL, weft_after_ns(SECOND)))
		return WEFT_OK;
	for (uint64_t i = both_random(20); i > 0; i--) {
		if (weft_conn_write(conn, buf, sizeof(buf), NULL, weft_after_ns(SECOND)) ||
			weft_conn_read(conn, buf, sizeof(buf), &got, weft_after_ns(SECOND)))
			break;
		both_pause();
	}
	if (both_random(3) == 0)
		weft_conn_abort(conn);
	weft_conn_free(conn);
	return WEFT_OK;
}

static weft_err weather_start(struct tunnel *t)
{
	weft_err err = weft_listen(&t->server, ANYWHERE, NULL, WEFT_FOREVER);

	if (!err)
		err = weft_scope_create(&t->scope);
	if (!err)
		err = weft_scope_spawn(t->scope, "server", serve_fiber, t);
	if (err)
		return err;
	set(&t->far, "listen:mux+" ANYWHERE, weft_listener_name(t->server));
	t->far.options.drain_timeout_ns = both_random(2) ? SECOND : 0;
	err = weft_bridge_open(&t->far.bridge, &t->far.options);
	if (err)
		return err;
	near_to(t, both_random(2) ? "?sessions=3" : "");
	t->near.options.drain_timeout_ns = both_random(2) ? SECOND : 0;
	t->near.options.idle_timeout_ns = 5 * SECOND;
	t->far.options.idle_timeout_ns = 5 * SECOND;
	err = weft_bridge_open(&t->near.bridge, &t->near.options);
	if (!err)
		err = weft_spawn(&t->far.fiber, "far", run_fiber, t->far.bridge);
	if (!err)
		err = weft_spawn(&t->near.fiber, "near", run_fiber, t->near.bridge);
	return err;
}

static weft_err weather_stop(struct running *r)
{
	weft_err err = WEFT_OK;

	if (r->fiber) {
		weft_bridge_stop(r->bridge);
		(void)!weft_fiber_join(r->fiber, &err, WEFT_FOREVER);
	}
	if (r->bridge && r->fiber && !err) {
		weft_bridge_stats stats = stats_of(r);

		want(stats.sessions_now == 0 && stats.mux_sessions_now == 0);
		weft_sim_note(stats.sessions_failed);
		weft_sim_note(stats.bytes_in);
	}
	weft_bridge_free(r->bridge);
	return err;
}

static weft_err weather_fiber(void *arg)
{
	struct tunnel t = { .handler = echo };
	weft_scope *clients = NULL;
	struct running *first;
	const unsigned *count = arg;
	weft_err err, ended;

	err = weather_start(&t);
	if (!err)
		err = weft_scope_create(&clients);
	for (unsigned i = 0; !err && i < *count; i++)
		err = weft_scope_spawn(clients, "client", weather_client, &t);
	if (clients)
		(void)!weft_scope_wait(clients, WEFT_FOREVER);
	weft_scope_free(clients);
	first = both_random(2) ? &t.near : &t.far;
	ended = weather_stop(first);
	err = err ? err : ended;
	ended = weather_stop(first == &t.near ? &t.far : &t.near);
	err = err ? err : ended;
	if (t.server)
		weft_listener_close(t.server);
	weft_scope_free(t.scope);
	weft_listener_free(t.server);
	return err;
}

START_TEST(in_bad_weather_every_tunnel_comes_to_an_end)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	unsigned clients = 8;
	weft_sim_result result;
	weft_err err;

	options.seed = (uint64_t)_i;
	options.partial_permille = 300;
	options.reset_permille = (unsigned)(_i % 3) * 300;
	options.refuse_permille = (unsigned)(_i % 5) * 100;
	options.accept_fail_permille = (unsigned)(_i % 2) * 100;
	options.memory_fail_permille = _i % 4 == 3 ? 5 : 0;
	err = both_run_seed(weather_fiber, &clients, &options, &result);
	ck_assert_msg(err == WEFT_OK || (err == WEFT_ENOMEM && options.memory_fail_permille),
		"seed %d: %s", _i, weft_error_detail());
}
END_TEST

START_TEST(tunnels_survive_failing_malloc)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	unsigned failures = 0, clients = 3;

	T_EACH_FAILING_MALLOC(n) {
		weft_err err = weft_sim_run(weather_fiber, &clients, &options, NULL);

		ck_assert_msg(err == WEFT_OK || err == WEFT_ENOMEM, "n %llu: %s",
			(unsigned long long)n, weft_error_detail());
		failures += err == WEFT_ENOMEM;
	}
	ck_assert_uint_gt(failures, 10);
}
END_TEST

static void side_tests(TCase *tc)
{
	both_add(tc, a_tunnel_carries_every_byte_and_the_ends);
	both_add(tc, a_tunnel_of_version_1_does_too);
	both_add(tc, sessions_are_shared_out_over_several_connections);
	both_add(tc, the_other_way_round);
	both_add(tc, garbage_ends_one_session_with_one_line);
	both_add(tc, another_version_is_told_at_both_ends);
	both_add(tc, the_limit_counts_streams_of_all_connections);
	both_add(tc, an_end_that_drains_lets_sessions_finish_and_takes_no_more);
	both_add(tc, what_an_end_cuts_is_reset_at_the_other);
	both_add(tc, a_first_dial_that_fails_fails_a_reverse_tunnel);
	/* half of a campaign: each has two bridges */
	t_add_loop(tc, in_bad_weather_every_tunnel_comes_to_an_end, both_seed_first(),
		(both_seed_first() + both_seed_end() + 1) / 2);
	t_add(tc, tunnels_survive_failing_malloc);
}
T_SUITE("mux_side", side_tests)
