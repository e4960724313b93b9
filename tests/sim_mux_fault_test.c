/* SPDX-License-Identifier: MIT */
/* Mux sessions in bad weather, one fault at a time: what a program is told, and when. */
#include "mux/session.h"
#include "support/both.h"

#include <string.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define PIECE ((size_t)700)

/* A session between node 0 and another, with a stream that node 0 opened. */
struct ends {
	weft_mux_options options, far_options;
	unsigned node;
	weft_listener *listener;
	weft_mux *near, *far;
	weft_stream *stream, *peer;
	size_t bytes; /* that go through it */
	bool held;    /* read by slices, which are held a while */
	int64_t late_ns;
	weft_err result;
	bool finished;
};

static struct ends e;

static uint8_t pattern(size_t at)
{
	return (uint8_t)(at * 31 + at / 251);
}

static weft_err listen_far(void *arg)
{
	(void)arg;
	want_ok(weft_listen(&e.listener, "tcp://0.0.0.0:80", NULL, WEFT_FOREVER));
	return WEFT_OK;
}

static weft_err accept_far(void *arg)
{
	weft_conn *conn = NULL;

	(void)arg;
	want_ok(weft_listener_accept(e.listener, &conn, WEFT_FOREVER));
	want_ok(weft_mux_create_own(&e.far, conn, WEFT_MUX_SERVER, &e.far_options));
	return WEFT_OK;
}

static weft_fiber *on_far(weft_fiber_fn fn)
{
	weft_fiber *fiber = NULL;

	want_ok(weft_sim_spawn(e.node, &fiber, "far", fn, NULL));
	return fiber;
}

static void join(weft_fiber *fiber)
{
	want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
}

static void options_init(unsigned version)
{
	memset(&e, 0, sizeof(e));
	e.options = (weft_mux_options)WEFT_MUX_OPTIONS_DEFAULT;
	e.options.version = version;
	e.options.keepalive_interval_ns = SECOND;
	e.options.keepalive_timeout_ns = 3 * SECOND;
	e.far_options = e.options;
}

static void sessions_open(void)
{
	weft_conn *conn = NULL;
	weft_fiber *fiber;

	want_ok(weft_sim_node(&e.node, "far"));
	join(on_far(listen_far));
	fiber = on_far(accept_far);
	want_ok(weft_dial(&conn, "tcp://far:80", NULL, WEFT_FOREVER));
	want_ok(weft_mux_create_own(&e.near, conn, WEFT_MUX_CLIENT, &e.options));
	join(fiber);
}

static weft_err accept_stream(void *arg)
{
	(void)arg;
	want_ok(weft_mux_accept(e.far, &e.peer, WEFT_FOREVER));
	return WEFT_OK;
}

static void ends_open(void)
{
	sessions_open();
	want_ok(weft_mux_open(e.near, &e.stream, WEFT_FOREVER));
	join(on_far(accept_stream));
}

static void ends_close(void)
{
	weft_stream_free(e.stream);
	weft_stream_free(e.peer);
	weft_mux_free(e.near);
	weft_mux_free(e.far);
	weft_listener_free(e.listener);
}

static weft_err read_one(weft_stream *stream, weft_deadline until)
{
	size_t got;
	char c;

	return weft_stream_read(stream, &c, 1, &got, until);
}

static weft_err write_one(weft_stream *stream)
{
	return weft_stream_write(stream, "x", 1, NULL, WEFT_FOREVER);
}

static weft_err write_all(void *arg)
{
	uint8_t data[PIECE];
	size_t n;

	(void)arg;
	for (size_t at = 0; at < e.bytes; at += n) {
		n = e.bytes - at < PIECE ? e.bytes - at : PIECE;
		for (size_t i = 0; i < n; i++)
			data[i] = pattern(at + i);
		e.result = weft_stream_write(e.stream, data, n, NULL, WEFT_FOREVER);
		if (e.result)
			return WEFT_OK;
	}
	e.finished = true; /* before the end can be seen */
	e.result = weft_stream_shutdown(e.stream);
	return WEFT_OK;
}

static weft_err read_piece(size_t at, size_t *got)
{
	weft_buf buf = WEFT_BUF_EMPTY;
	uint8_t data[PIECE];
	weft_err err;

	if (!e.held) {
		err = weft_stream_read(e.peer, data, sizeof(data), got, WEFT_FOREVER);
	} else {
		err = weft_stream_read_buf(e.peer, &buf, sizeof(data), WEFT_FOREVER);
		if (err)
			return err;
		both_pause();
		*got = buf.len;
		memcpy(data, buf.data, buf.len);
		weft_buf_unref(&buf);
	}
	for (size_t i = 0; !err && i < *got; i++)
		want(data[i] == pattern(at + i));
	return err;
}

/* At the far node; how it ended is in e.result. */
static weft_err read_all(void *arg)
{
	size_t at = 0, got = 0;
	weft_err err;

	(void)arg;
	both_sleep_ns(e.late_ns);
	while (!(err = read_piece(at, &got)))
		at += got;
	want(err != WEFT_ECLOSED || (e.finished && at == e.bytes));
	e.result = err;
	return WEFT_OK;
}

/* Everything goes through, and no wake is lost: another would come, but much later. */
static void transfer(size_t bytes, int64_t most_ns)
{
	weft_fiber *writer = NULL, *reader;
	weft_deadline until = weft_after_ns(most_ns);

	e.bytes = bytes;
	reader = on_far(read_all);
	want_ok(weft_spawn(&writer, "writes", write_all, NULL));
	want_ok(weft_fiber_join(writer, NULL, until));
	want_ok(weft_fiber_join(reader, NULL, until));
	want(e.result == WEFT_ECLOSED);
}

/* A body of a simulated run with good defaults, under 20 seeds. */
#define SIM_TEST(name)                           \
	static weft_err name##_body(void *arg);  \
	START_TEST(name)                         \
	{                                        \
		both_run_simulated(name##_body); \
	}                                        \
	END_TEST                                 \
	static weft_err name##_body(__attribute__((unused)) void *arg)

SIM_TEST(a_small_window_is_opened_again_at_once)
{
	options_init(2);
	e.options.keepalive_disabled = e.far_options.keepalive_disabled = true;
	e.far_options.max_stream_buffer = 2000;
	e.far_options.autotune_disabled = true;
	ends_open();
	transfer(WEFT_MUX_INITIAL_WINDOW + 30000, 20 * SECOND);
	ends_close();
	return WEFT_OK;
}

SIM_TEST(a_full_session_goes_on_once_it_is_read)
{
	weft_mux_stats stats;

	options_init(1);
	e.options.keepalive_disabled = e.far_options.keepalive_disabled = true;
	e.far_options.max_receive_buffer = e.far_options.max_stream_buffer = 2000;
	ends_open();
	e.late_ns = SECOND;
	transfer(50000, 20 * SECOND);
	weft_mux_stats_get(e.far, &stats);
	want(stats.stalls_buffer > 0);
	ends_close();
	return WEFT_OK;
}

SIM_TEST(a_session_at_its_memory_cap_goes_on_once_that_is_free)
{
	weft_mux_stats stats;

	options_init(2);
	e.options.keepalive_disabled = e.far_options.keepalive_disabled = true;
	e.far_options.max_memory = 1;
	ends_open();
	e.held = true;
	e.late_ns = SECOND;
	transfer(50000, 20 * SECOND);
	weft_mux_stats_get(e.far, &stats);
	want(stats.stalls_memory > 0 && stats.memory == 0);
	ends_close();
	return WEFT_OK;
}

SIM_TEST(a_silent_peer_is_dead_after_its_time)
{
	weft_stream *none = NULL;
	int64_t cut;

	options_init(2);
	ends_open();
	want_ok(weft_sleep_ms(10000));
	want(weft_mux_is_alive(e.near));
	weft_sim_partition(0, e.node);
	cut = weft_now();
	want_err(WEFT_ERESET, read_one(e.stream, WEFT_FOREVER));
	want(weft_now() - cut >= 2 * SECOND && weft_now() - cut <= 7 * SECOND);
	want(strstr(weft_error_detail(), "nothing was heard"));
	want_err(WEFT_ERESET, write_one(e.stream));
	want_err(WEFT_ERESET, weft_mux_accept(e.near, &none, WEFT_FOREVER));
	want_err(WEFT_ERESET, weft_mux_open(e.near, &none, WEFT_FOREVER));
	want_err(WEFT_ERESET, weft_mux_wait(e.near, WEFT_FOREVER));
	want(!weft_mux_is_alive(e.near) && !none);
	weft_sim_heal(0, e.node);
	ends_close();
	return WEFT_OK;
}

static weft_err cut_for_a_while(void *arg)
{
	(void)arg;
	weft_sim_partition(0, e.node);
	want_ok(weft_sleep_ms(1500));
	weft_sim_heal(0, e.node);
	return WEFT_OK;
}

SIM_TEST(a_short_partition_loses_nothing)
{
	weft_fiber *fault = NULL;

	options_init(1);
	ends_open();
	want_ok(weft_spawn(&fault, "cuts", cut_for_a_while, NULL));
	transfer(20000, 20 * SECOND);
	join(fault);
	ends_close();
	return WEFT_OK;
}

SIM_TEST(a_session_that_nobody_reads_is_not_dead)
{
	options_init(1);
	e.far_options.max_receive_buffer = e.far_options.max_stream_buffer = 1000;
	ends_open();
	e.late_ns = 100 * SECOND;
	transfer(30000, 200 * SECOND);
	want(weft_mux_is_alive(e.near) && weft_mux_is_alive(e.far));
	ends_close();
	return WEFT_OK;
}

static weft_err end_of_peer(void *arg)
{
	e.result = read_one(e.peer, WEFT_FOREVER);
	(void)arg;
	return WEFT_OK;
}

SIM_TEST(a_crash_ends_the_session_at_both_ends)
{
	weft_fiber *reader;

	options_init(2);
	ends_open();
	reader = on_far(end_of_peer);
	want_ok(weft_sleep_ms(100));
	weft_sim_crash(e.node);
	join(reader);
	want(e.result == WEFT_ECANCELED);
	want_err(WEFT_ERESET, read_one(e.stream, WEFT_FOREVER));
	ends_close();
	want_ok(weft_sleep_ms(10000));
	want(weft_fiber_count() == 1);
	return WEFT_OK;
}

SIM_TEST(an_abort_here_ends_calls_here_at_once)
{
	weft_stream *none = NULL;

	options_init(2);
	ends_open();
	weft_mux_abort(e.near);
	want_err(WEFT_ECLOSED, write_one(e.stream));
	want_err(WEFT_ECLOSED, read_one(e.stream, WEFT_FOREVER));
	want_err(WEFT_ECLOSED, weft_mux_open(e.near, &none, WEFT_FOREVER));
	want_err(WEFT_ECLOSED, weft_mux_accept(e.near, &none, WEFT_FOREVER));
	want_err(WEFT_ECLOSED, weft_mux_wait(e.near, WEFT_FOREVER));
	want_err(WEFT_ERESET, read_one(e.peer, WEFT_FOREVER));
	ends_close();
	return WEFT_OK;
}

/* Whichever of the session's fibers finds out first. */
SIM_TEST(what_was_lost_while_a_session_closed_is_told)
{
	weft_conn *ends[2];
	char data[100] = { 0 };

	options_init(2);
	want_ok(weft_conn_pair(ends, 0));
	want_ok(weft_mux_create_own(&e.near, ends[0], WEFT_MUX_CLIENT, &e.options));
	want_ok(weft_mux_open(e.near, &e.stream, WEFT_FOREVER));
	both_pause();
	want_ok(weft_stream_write(e.stream, data, sizeof(data), NULL, WEFT_FOREVER));
	weft_mux_close(e.near);
	weft_conn_abort(ends[1]);
	want_err(WEFT_ERESET, weft_mux_wait(e.near, WEFT_FOREVER));
	want(strstr(weft_error_detail(), "closed before all was sent"));
	weft_stream_free(e.stream);
	weft_mux_free(e.near);
	weft_conn_free(ends[1]);
	return WEFT_OK;
}

static weft_err read_raw(void *arg)
{
	char data[1000];
	size_t got;

	while (!weft_conn_read(arg, data, sizeof(data), &got, WEFT_FOREVER))
		;
	return WEFT_OK;
}

/* Not that of what the connection said to frames of other streams, which go with it. */
SIM_TEST(a_write_that_fails_says_why_beside_many_streams)
{
	uint8_t data[300] = { 0 }, upd[SMUX_UPD_SIZE];
	weft_stream *streams[TX_EARLY_STREAMS];
	weft_fiber *reader = NULL;
	weft_conn *ends[2];

	options_init(2);
	want_ok(weft_conn_pair(ends, 1000));
	want_ok(weft_mux_create_own(&e.near, ends[0], WEFT_MUX_CLIENT, &e.options));
	want_ok(weft_spawn(&reader, "reads", read_raw, ends[1]));
	want_ok(weft_mux_open(e.near, &e.stream, WEFT_FOREVER));
	for (unsigned i = 0; i < TX_EARLY_STREAMS; i++)
		want_ok(weft_mux_open(e.near, &streams[i], WEFT_FOREVER));
	smux_put_upd(upd, weft_stream_id(e.stream), 1000, 1000); /* more than was sent */
	want_ok(weft_conn_write(ends[1], upd, sizeof(upd), NULL, WEFT_FOREVER));
	want_ok(weft_sleep_ms(1));
	for (unsigned i = 1; i < TX_EARLY_STREAMS; i++)
		want_ok(weft_stream_write(streams[i], data, sizeof(data), NULL, WEFT_FOREVER));
	want_ok(weft_stream_shutdown(streams[0]));
	want_err(WEFT_EPROTO, write_one(e.stream));
	want(strstr(weft_error_detail(), "broke its flow control"));
	for (unsigned i = 0; i < TX_EARLY_STREAMS; i++)
		weft_stream_free(streams[i]);
	weft_stream_free(e.stream);
	weft_mux_free(e.near);
	join(reader);
	weft_conn_free(ends[1]);
	return WEFT_OK;
}

/* What is on its way when main returns is not waited for by anybody. */
SIM_TEST(a_program_may_end_while_its_sessions_close)
{
	char data[3000] = { 0 };

	options_init(1);
	ends_open();
	want_ok(weft_stream_write(e.stream, data, sizeof(data), NULL, WEFT_FOREVER));
	ends_close();
	return WEFT_OK;
}

SIM_TEST(another_version_is_named)
{
	options_init(1);
	e.far_options.version = 2;
	sessions_open();
	want_ok(weft_mux_open(e.near, &e.stream, WEFT_FOREVER));
	want_err(WEFT_EPROTO, weft_mux_wait(e.far, WEFT_FOREVER));
	want(strstr(weft_error_detail(), "version 1, not 2"));
	want(read_one(e.stream, WEFT_FOREVER) == WEFT_ERESET);
	ends_close();
	return WEFT_OK;
}

static void sim_mux_fault_tests(TCase *tc)
{
	t_add(tc, a_small_window_is_opened_again_at_once);
	t_add(tc, a_full_session_goes_on_once_it_is_read);
	t_add(tc, a_session_at_its_memory_cap_goes_on_once_that_is_free);
	t_add(tc, a_silent_peer_is_dead_after_its_time);
	t_add(tc, a_short_partition_loses_nothing);
	t_add(tc, a_session_that_nobody_reads_is_not_dead);
	t_add(tc, a_crash_ends_the_session_at_both_ends);
	t_add(tc, an_abort_here_ends_calls_here_at_once);
	t_add(tc, what_was_lost_while_a_session_closed_is_told);
	t_add(tc, a_write_that_fails_says_why_beside_many_streams);
	t_add(tc, a_program_may_end_while_its_sessions_close);
	t_add(tc, another_version_is_named);
}
T_SUITE("sim/mux_fault", sim_mux_fault_tests)
