/* SPDX-License-Identifier: MIT */
/* The near end of a tunnel, before a mux server made by hand: when it dials, how often, and
 * what its sessions see when the server dies, is silent, or is not there. */
#include "bridge/backoff.h"
#include "support/tunnel.h"

/* ---- a mux peer made by hand ---- */

/* Accepts a connection as a mux server would, without being one yet. */
static weft_conn *accept_conn(weft_listener *listener)
{
	weft_conn *conn;

	want_ok(weft_listener_accept(listener, &conn, WEFT_FOREVER));
	return conn;
}

static weft_mux *accept_mux(weft_listener *listener)
{
	weft_mux_options options = WEFT_MUX_OPTIONS_DEFAULT;
	weft_mux *mux;

	options.version = 2;
	want_ok(weft_mux_create_own(&mux, accept_conn(listener), WEFT_MUX_SERVER, &options));
	return mux;
}

static void mux_end(weft_mux *mux)
{
	weft_mux_abort(mux);
	(void)!weft_mux_wait(mux, WEFT_FOREVER);
	weft_mux_free(mux);
}

static weft_listener *listen_for(struct running *near, const char *options)
{
	weft_listener *listener;
	char to[128];

	want_ok(weft_listen(&listener, ANYWHERE, NULL, WEFT_FOREVER));
	snprintf(to, sizeof(to), "mux+%s%s", weft_listener_name(listener), options);
	set(near, "listen:" ANYWHERE, to);
	return listener;
}

/* ---- deaths ---- */

BOTH_TEST(a_session_that_dies_resets_its_streams_and_is_dialled_again)
{
	weft_bridge_stats stats;
	weft_listener *listener;
	struct running near;
	weft_conn *conns[3];
	weft_stream *streams[3];
	weft_mux *mux;

	listener = listen_for(&near, "");
	start(&near);
	for (int round = 0; round < 3; round++) {
		mux = accept_mux(listener);
		for (int i = 0; i < 3; i++) {
			conns[i] = dial(&near);
			want_ok(weft_mux_accept(mux, &streams[i], WEFT_FOREVER));
			want_ok(weft_stream_write(streams[i], "hi", 2, NULL, WEFT_FOREVER));
			hear(conns[i], "hi");
		}
		mux_end(mux);
		for (int i = 0; i < 3; i++) {
			want_err(WEFT_ERESET, ending(conns[i]));
			weft_conn_free(conns[i]);
			weft_stream_free(streams[i]);
		}
	}
	/* and it is there again */
	mux = accept_mux(listener);
	conns[0] = dial(&near);
	want_ok(weft_mux_accept(mux, &streams[0], WEFT_FOREVER));
	weft_stream_free(streams[0]);
	want_err(WEFT_ECLOSED, ending(conns[0]));
	weft_conn_free(conns[0]);
	stats = stop(&near);
	mux_end(mux);
	want(stats.sessions == 10 && stats.sessions_failed == 9 && stats.mux_sessions == 4);
	weft_listener_free(listener);
	return WEFT_OK;
}

/* How long it takes from the end of one connection to the next. */
static int64_t gap(weft_listener *listener)
{
	weft_deadline began = weft_now();
	weft_conn *conn = accept_conn(listener);

	weft_conn_abort(conn);
	weft_conn_free(conn);
	return weft_now() - began;
}

#define DELIVERY_NS (50 * MS) /* of the simulated net, there and back, generously */

/* Virtual time: on a real clock nothing could be said. */
static weft_err gaps_fiber(void *arg)
{
	int64_t bound = BACKOFF_MIN_NS, longest = 0;
	weft_listener *listener;
	struct running near;
	weft_mux *mux;

	(void)arg;
	listener = listen_for(&near, "");
	start(&near);
	want(gap(listener) <= DELIVERY_NS);
	for (int i = 0; i < 20; i++) {
		int64_t waited = gap(listener);

		want(waited <= bound + DELIVERY_NS);
		longest = waited > longest ? waited : longest;
		bound = bound * 2 < BACKOFF_MAX_NS ? bound * 2 : BACKOFF_MAX_NS;
	}
	want(longest > SECOND);
	/* after one that lasted it is quick again */
	mux = accept_mux(listener);
	want_ok(weft_sleep_ns(BACKOFF_MAX_NS + SECOND));
	mux_end(mux);
	want(gap(listener) <= BACKOFF_MIN_NS + DELIVERY_NS);
	want(stop(&near).mux_sessions >= 22);
	weft_listener_free(listener);
	return WEFT_OK;
}

START_TEST(tries_come_at_growing_distances_until_one_lasts)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	weft_sim_result result;

	options.seed = (uint64_t)_i;
	want_ok(both_run_seed(gaps_fiber, NULL, &options, &result));
}
END_TEST

static weft_err silence_fiber(void *arg)
{
	weft_listener *listener;
	struct running near;
	weft_conn *silent, *client;
	weft_deadline began;

	(void)arg;
	listener = listen_for(&near, "");
	start(&near);
	client = dial(&near);
	began = weft_now();
	silent = accept_conn(listener);
	want_err(WEFT_ERESET, ending(client));
	want(weft_now() - began >= 29 * SECOND && weft_now() - began <= 61 * SECOND);
	want(near.told.warnings == 1 && strstr(near.told.last, "nothing was heard"));
	weft_conn_free(silent);
	weft_conn_free(client);
	(void)stop(&near);
	weft_listener_free(listener);
	return WEFT_OK;
}

START_TEST(a_peer_that_falls_silent_is_given_up)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	weft_sim_result result;

	want_ok(both_run_seed(silence_fiber, NULL, &options, &result));
}
END_TEST

BOTH_TEST(without_a_session_those_who_come_wait_as_long_as_they_may)
{
	weft_bridge_stats stats;
	weft_listener *listener;
	weft_deadline began;
	struct running near;

	listener = listen_for(&near, "?sessions=2");
	weft_listener_free(listener);
	near.options.connect_timeout_ns = 50 * MS;
	start(&near);
	began = weft_now();
	want_err(WEFT_ERESET, session_ending(&near));
	want(weft_now() - began >= 50 * MS);
	/* of both that are missing one line was told */
	while (near.told.warnings == 0)
		want_ok(weft_sleep_ns(MS));
	stats = stop(&near);
	want(stats.sessions == 1 && stats.sessions_failed == 1 && stats.mux_sessions == 0);
	want(near.told.warnings == 1 && near.told.last_err == WEFT_ETIMEDOUT);
	return WEFT_OK;
}

BOTH_TEST(streams_that_tos_peer_opens_are_refused)
{
	weft_listener *listener;
	struct running near;
	weft_stream *stream;
	weft_mux *mux;
	size_t got;
	char c;

	listener = listen_for(&near, "");
	start(&near);
	mux = accept_mux(listener);
	for (int i = 0; i < 100; i++) {
		want_ok(weft_mux_open(mux, &stream, WEFT_FOREVER));
		want_err(WEFT_ECLOSED, weft_stream_read(stream, &c, 1, &got, WEFT_FOREVER));
		weft_stream_free(stream);
	}
	want(stop(&near).sessions == 0);
	mux_end(mux);
	weft_listener_free(listener);
	return WEFT_OK;
}

BOTH_TEST(an_end_that_stops_while_it_dials_leaves_nothing)
{
	weft_listener *listener;
	struct running near;
	weft_conn *conn;

	listener = listen_for(&near, "?sessions=4");
	weft_listener_free(listener);
	near.options.drain_timeout_ns = 0;
	start(&near);
	conn = dial(&near);
	both_pause();
	want(stop(&near).sessions <= 1);
	want_err(WEFT_ERESET, ending(conn));
	weft_conn_free(conn);
	return WEFT_OK;
}

static void redial_tests(TCase *tc)
{
	both_add(tc, a_session_that_dies_resets_its_streams_and_is_dialled_again);
	t_add_loop(tc, tries_come_at_growing_distances_until_one_lasts, 0, 5);
	t_add(tc, a_peer_that_falls_silent_is_given_up);
	both_add(tc, without_a_session_those_who_come_wait_as_long_as_they_may);
	both_add(tc, streams_that_tos_peer_opens_are_refused);
	both_add(tc, an_end_that_stops_while_it_dials_leaves_nothing);
}
T_SUITE("mux_redial", redial_tests)
