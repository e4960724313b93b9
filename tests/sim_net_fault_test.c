/* SPDX-License-Identifier: MIT */
/* Byte streams in bad weather, one fault at a time: what a program is told, and when. */
#include "support/both.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define MS INT64_C(1000000)

struct ends {
	weft_listener *listener;
	weft_conn *near, *far; /* on node 0 and on node 1 */
	unsigned node;
	weft_err result;
};

static weft_err open_far(void *arg)
{
	struct ends *e = arg;

	want_ok(weft_listen(&e->listener, "tcp://0.0.0.0:80", NULL, WEFT_FOREVER));
	return WEFT_OK;
}

static weft_err accept_far(void *arg)
{
	struct ends *e = arg;

	e->result = weft_listener_accept(e->listener, &e->far, WEFT_FOREVER);
	return WEFT_OK;
}

static void on_far(struct ends *e, weft_fiber_fn fn, weft_fiber **fiber)
{
	want_ok(weft_sim_spawn(e->node, fiber, "far", fn, e));
}

static void join(weft_fiber *fiber)
{
	want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
}

/* A listener on a node of its own. */
static void ends_listen(struct ends *e)
{
	weft_fiber *fiber;

	memset(e, 0, sizeof(*e));
	want_ok(weft_sim_node(&e->node, "far"));
	on_far(e, open_far, &fiber);
	join(fiber);
}

static void ends_open(struct ends *e)
{
	weft_fiber *fiber;

	ends_listen(e);
	on_far(e, accept_far, &fiber);
	want_ok(weft_dial(&e->near, "tcp://far:80", NULL, WEFT_FOREVER));
	join(fiber);
	want_ok(e->result);
}

static void ends_close(struct ends *e)
{
	weft_conn_free(e->near);
	weft_conn_free(e->far);
	weft_listener_free(e->listener);
}

static weft_err read_one(weft_conn *conn, weft_deadline until)
{
	size_t got;
	char c;

	return weft_conn_read(conn, &c, 1, &got, until);
}

static weft_err write_one(weft_conn *conn)
{
	return weft_conn_write(conn, "x", 1, NULL, WEFT_FOREVER);
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

SIM_TEST(an_accept_without_descriptors_backs_off_and_goes_on)
{
	struct ends e;
	weft_listener_stats stats;
	weft_fiber *fiber;

	ends_listen(&e);
	weft_sim_descriptor_limit(e.node, 1);
	on_far(&e, accept_far, &fiber);
	want_ok(weft_dial(&e.near, "tcp://far:80", NULL, WEFT_FOREVER));
	want_ok(weft_sleep_ms(20000));
	want(!e.far);
	weft_listener_stats_get(e.listener, &stats);
	want(stats.backoffs >= 10 && stats.backoffs < 200);
	weft_sim_descriptor_limit(e.node, 2);
	join(fiber);
	want_ok(e.result);
	want_ok(write_one(e.near));
	want_ok(read_one(e.far, WEFT_FOREVER));
	ends_close(&e);
	return WEFT_OK;
}

SIM_TEST(a_dial_without_descriptors_says_so)
{
	struct ends e;

	ends_listen(&e);
	weft_sim_descriptor_limit(0, 0);
	want_err(WEFT_ECAPACITY, weft_dial(&e.near, "tcp://far:80", NULL, WEFT_FOREVER));
	want(strstr(weft_error_detail(), "tcp://far:80"));
	weft_sim_descriptor_limit(0, 1);
	want_ok(weft_dial(&e.near, "tcp://10.0.0.2:80", NULL, WEFT_FOREVER));
	ends_close(&e);
	return WEFT_OK;
}

SIM_TEST(a_dial_through_a_partition_times_out_on_time)
{
	struct ends e;
	weft_deadline until;

	ends_listen(&e);
	weft_sim_partition(0, e.node);
	until = weft_after_ms(700);
	want_err(WEFT_ETIMEDOUT, weft_dial(&e.near, "tcp://far:80", NULL, until));
	want(weft_now() == until);
	weft_sim_heal(0, WEFT_SIM_ALL);
	want_ok(weft_dial(&e.near, "tcp://far:80", NULL, WEFT_FOREVER));
	ends_close(&e);
	return WEFT_OK;
}

SIM_TEST(an_address_that_refuses_does_not_hold_up_the_other)
{
	struct ends e;
	int64_t began;

	ends_listen(&e); /* on IPv4 only: IPv6, tried first, is refused */
	began = weft_now();
	want_ok(weft_dial(&e.near, "tcp://far:80", NULL, WEFT_FOREVER));
	want(weft_now() - began < 50 * MS);
	ends_close(&e);
	return WEFT_OK;
}

SIM_TEST(where_nobody_is_nothing_is_reached)
{
	weft_conn *conn = NULL;

	want_err(WEFT_ERESOLVE, weft_dial(&conn, "tcp://nobody:80", NULL, WEFT_FOREVER));
	want(strstr(weft_error_detail(), "nobody"));
	want_err(WEFT_EUNREACH, weft_dial(&conn, "tcp://10.0.0.99:80", NULL, WEFT_FOREVER));
	want_err(WEFT_EUNREACH, weft_dial(&conn, "tcp://192.0.2.1:80", NULL, WEFT_FOREVER));
	want_err(WEFT_EREFUSED, weft_dial(&conn, "tcp://localhost:80", NULL, WEFT_FOREVER));
	want_err(WEFT_ENOTFOUND, weft_dial(&conn, "unix:/nowhere", NULL, WEFT_FOREVER));
	want(!conn);
	return WEFT_OK;
}

SIM_TEST(a_reset_is_told_to_both_halves_for_good)
{
	struct ends e;

	ends_open(&e);
	weft_sim_reset_all(e.node);
	want_err(WEFT_ERESET, read_one(e.near, WEFT_FOREVER));
	want_err(WEFT_ERESET, write_one(e.near));
	want_err(WEFT_ERESET, write_one(e.near));
	want_err(WEFT_ERESET, read_one(e.near, WEFT_FOREVER));
	want_err(WEFT_ERESET, write_one(e.far));
	want_err(WEFT_ERESET, read_one(e.far, WEFT_FOREVER));
	ends_close(&e);
	return WEFT_OK;
}

SIM_TEST(a_crashed_peer_is_silent_until_written_to)
{
	struct ends e;

	ends_open(&e);
	weft_sim_crash(e.node);
	want_err(WEFT_ETIMEDOUT, read_one(e.near, weft_after_ms(60000)));
	want_ok(write_one(e.near));
	want_err(WEFT_ERESET, read_one(e.near, WEFT_FOREVER));
	ends_close(&e);
	return WEFT_OK;
}

SIM_TEST(a_partition_delays_and_loses_nothing)
{
	struct ends e;
	int64_t healed;

	ends_open(&e);
	weft_sim_partition(0, e.node);
	want_ok(write_one(e.near));
	want_ok(weft_conn_shutdown(e.near));
	want_err(WEFT_ETIMEDOUT, read_one(e.far, weft_after_ms(60000)));
	weft_sim_heal(0, e.node);
	healed = weft_now();
	want_ok(read_one(e.far, WEFT_FOREVER));
	want_err(WEFT_ECLOSED, read_one(e.far, WEFT_FOREVER));
	want(weft_now() - healed < 50 * MS);
	ends_close(&e);
	return WEFT_OK;
}

static weft_err read_later(void *arg)
{
	struct ends *e = arg;
	char buf[4096];
	size_t got, all = 0;

	want_ok(weft_sleep_ms(30000));
	while ((e->result = weft_conn_read(e->far, buf, sizeof(buf), &got, WEFT_FOREVER)) == 0)
		all += got;
	want(all == 200000);
	return WEFT_OK;
}

SIM_TEST(a_stalled_reader_holds_the_writer_up)
{
	static const char data[200000];
	struct ends e;
	weft_fiber *fiber;
	size_t written;
	int64_t began;

	ends_open(&e);
	want_err(WEFT_ETIMEDOUT,
		weft_conn_write(e.near, data, sizeof(data), &written, weft_after_ms(1000)));
	want(written > 0 && written < sizeof(data));
	on_far(&e, read_later, &fiber);
	began = weft_now();
	want_ok(weft_conn_write(e.near, data, sizeof(data) - written, NULL, WEFT_FOREVER));
	want(weft_now() - began >= 30000 * MS);
	want_ok(weft_conn_shutdown(e.near));
	join(fiber);
	want(e.result == WEFT_ECLOSED);
	ends_close(&e);
	return WEFT_OK;
}

static weft_err read_for_a_second(void *arg)
{
	struct ends *e = arg;

	e->result = read_one(e->far, weft_after_ms(1000));
	return WEFT_OK;
}

SIM_TEST(a_clock_jump_ends_reads_that_had_a_deadline)
{
	struct ends e;
	weft_fiber *fiber;
	int64_t began;

	ends_open(&e);
	on_far(&e, read_for_a_second, &fiber);
	want_ok(weft_sleep_ms(1));
	began = weft_now();
	weft_sim_clock_jump(1000 * 1000 * MS);
	join(fiber);
	want(e.result == WEFT_ETIMEDOUT);
	want(weft_now() - began == 1000 * 1000 * MS);
	ends_close(&e);
	return WEFT_OK;
}

SIM_TEST(what_a_simulated_node_does_not_have_is_said)
{
	const char *const argv[] = { "true", NULL };
	weft_process_options options = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_process *process = NULL;
	weft_signals *signals = NULL;
	weft_conn *conn = NULL;
	int number = SIGTERM;

	options.argv = argv;
	want_err(WEFT_ENOSYS, weft_process_spawn(&process, &options));
	want_err(WEFT_ENOSYS, weft_signals_create(&signals, &number, 1));
	want_err(WEFT_ENOSYS, weft_conn_adopt_own(&conn, dup(0), -1, false, "stdin"));
	want(!process && !signals && !conn);
	return WEFT_OK;
}

static void sim_net_fault_tests(TCase *tc)
{
	t_add(tc, an_accept_without_descriptors_backs_off_and_goes_on);
	t_add(tc, a_dial_without_descriptors_says_so);
	t_add(tc, a_dial_through_a_partition_times_out_on_time);
	t_add(tc, an_address_that_refuses_does_not_hold_up_the_other);
	t_add(tc, where_nobody_is_nothing_is_reached);
	t_add(tc, a_reset_is_told_to_both_halves_for_good);
	t_add(tc, a_crashed_peer_is_silent_until_written_to);
	t_add(tc, a_partition_delays_and_loses_nothing);
	t_add(tc, a_stalled_reader_holds_the_writer_up);
	t_add(tc, what_a_simulated_node_does_not_have_is_said);
	t_add(tc, a_clock_jump_ends_reads_that_had_a_deadline);
}
T_SUITE("sim/net_fault", sim_net_fault_tests)
