/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/* Guards, workers, limits, callbacks. How things end is in reclaim_end_test.c. */
#include "support/crew.h"
#include "support/retired.h"
#include "support/t.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define TURNS 10000 /* yields: enough for a worker's loop to close a batch */

/* --- guards --------------------------------------------------------------------------- */

static void turns(void)
{
	for (int i = 0; i < TURNS; i++)
		(void)weft_yield();
}

/* The caller retires while another holds a guard, then while it does not. */
static void guard_keeps(bool is_fiber, int count)
{
	struct other o;
	uint64_t batches = stats_now().batches;

	things_freed = 0;
	other_start(&o, is_fiber);
	other_tell(&o, GUARD);
	things_retire(count);
	turns();
	ck_assert_int_eq(things_freed, 0);
	ck_assert_uint_gt(stats_now().batches, batches);
	other_tell(&o, LEAVE);
	/* a fiber that spins is no quiet one */
	if (is_fiber)
		other_end(&o, true);
	reclaim_synchronize();
	ck_assert_int_eq(things_freed, count);
	if (!is_fiber)
		other_end(&o, false);
}

static weft_err guard_keeps_main(void *arg)
{
	(void)arg;
	guard_keeps(true, 3);
	guard_keeps(false, 3);
	return WEFT_OK;
}

START_TEST(reclaim_guard_keeps_what_is_retired_while_it_is_held)
{
	take_part((enum barrier)_i);
	guard_keeps(false, 2 * RECLAIM_BATCH);
	ck_assert_int_eq(crew_main(2, guard_keeps_main, NULL), WEFT_OK);
	ck_assert_int_eq(things_live, 0);
}
END_TEST

static void nests(void)
{
	things_freed = 0;
	reclaim_enter();
	reclaim_enter();
	things_retire(1);
	reclaim_leave();
	things_retire(2 * RECLAIM_BATCH);
	ck_assert_int_eq(things_freed, 0);
	reclaim_leave();
	ck_assert_int_eq(things_freed, 0);
	reclaim_synchronize();
	ck_assert_int_eq(things_freed, 1 + 2 * RECLAIM_BATCH);
}

static weft_err nests_main(void *arg)
{
	(void)arg;
	nests();
	return WEFT_OK;
}

START_TEST(reclaim_guards_nest)
{
	take_part((enum barrier)_i);
	nests();
	ck_assert_int_eq(crew_main(1, nests_main, NULL), WEFT_OK);
	nests();
}
END_TEST

static weft_err yields_in_guard(void *arg)
{
	(void)arg;
	reclaim_enter();
	(void)weft_yield();
	reclaim_leave();
	return WEFT_OK;
}

static weft_err parks_in_guard(void *arg)
{
	(void)arg;
	reclaim_enter();
	/* it would return at once */
	weft_unpark(weft_parker_self());
	IGNORE(weft_park(WEFT_FOREVER));
	reclaim_leave();
	return WEFT_OK;
}

static weft_err ends_in_guard(void *arg)
{
	(void)arg;
	reclaim_enter();
	return WEFT_OK;
}

static weft_err leaves_without_guard(void *arg)
{
	(void)arg;
	reclaim_leave();
	return WEFT_OK;
}

static void parks(struct reclaim_node *node)
{
	thing_free(node);
	IGNORE(weft_sleep_ms(1));
}

static weft_err parks_in_callback(void *arg)
{
	(void)arg;
	reclaim_retire(&thing_new()->node, parks);
	reclaim_synchronize();
	return WEFT_OK;
}

static weft_err synchronizes_in_guard(void *arg)
{
	(void)arg;
	reclaim_enter();
	reclaim_synchronize();
	reclaim_leave();
	return WEFT_OK;
}

/* What runs in a worker's wait. */
static weft_err guard_while_offline(void *arg)
{
	int64_t end = INT64_MAX;

	(void)arg;
	if (!reclaim_offline(&end))
		return WEFT_OK;
	reclaim_enter();
	reclaim_leave();
	return WEFT_OK;
}

static const struct abuse {
	weft_err (*fn)(void *arg);
	bool in_thread; /* as well */
} abuses[] = {
	{ yields_in_guard, true },
	{ parks_in_guard, true },
	{ ends_in_guard, false },
	{ leaves_without_guard, true },
	{ parks_in_callback, true },
	{ synchronizes_in_guard, true },
	{ guard_while_offline, false },
};

static void must_abort(const struct abuse *abuse, bool in_fiber)
{
	pid_t child = fork();
	int status = 0;

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		close(STDERR_FILENO);
		if (in_fiber)
			(void)crew_main(1, abuse->fn, NULL);
		else
			(void)abuse->fn(NULL);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

START_TEST(reclaim_guard_across_a_park_is_an_assertion)
{
	must_abort(&abuses[_i], true);
	if (abuses[_i].in_thread)
		must_abort(&abuses[_i], false);
}
END_TEST

/* --- workers that are not quiet ------------------------------------------------------- */

static weft_err busy_main(void *arg)
{
	struct other o;

	(void)arg;
	other_start(&o, true);
	other_tell(&o, BUSY);
	things_retire(5);
	turns();
	ck_assert_int_eq(things_freed, 0);
	/* never asleep, and nothing of its own to free */
	other_tell(&o, YIELD);
	wait_until(none_is_live, NULL);
	other_end(&o, true);
	return WEFT_OK;
}

START_TEST(reclaim_busy_worker_stalls_only_until_it_goes_quiet)
{
	ck_assert_int_eq(crew_main(2, busy_main, NULL), WEFT_OK);
	ck_assert_int_eq(things_freed, 5);
}
END_TEST

static uint64_t sleeps_of(unsigned worker)
{
	weft_worker_stats s;

	ck_assert_int_eq(weft_worker_stats_get(worker, &s), WEFT_OK);
	return s.sleeps;
}

struct nap {
	unsigned worker;
	uint64_t before;
};

static bool has_slept(void *arg)
{
	struct nap *nap = arg;

	return sleeps_of(nap->worker) > nap->before;
}

static weft_err sleeping_main(void *arg)
{
	struct nap nap = { 1, 0 };

	(void)arg;
	/* nothing was ever spawned there, so that only its own end wakes it */
	wait_until(has_slept, &nap);
	for (int i = 1; i <= 10; i++) {
		things_retire(3);
		reclaim_synchronize();
		ck_assert_int_eq(things_freed, 3 * i);
	}
	ck_assert_uint_eq(sleeps_of(1), 1);
	return WEFT_OK;
}

START_TEST(reclaim_sleeping_worker_stalls_nobody)
{
	ck_assert_int_eq(crew_main(2, sleeping_main, NULL), WEFT_OK);
}
END_TEST

/* --- idle programs -------------------------------------------------------------------- */

struct idle {
	struct other other; /* a fiber that is busy, or a thread in a guard */
	bool is_fiber;
	struct nap nap; /* worker 0's */
	_Atomic bool parked;
	weft_parker *main;
	pthread_t watcher;
};

static bool is_parked(void *arg)
{
	return ((struct idle *)arg)->parked;
}

/* A thread that takes no part: lets the other go once worker 0 is asleep. */
static void *idle_watch(void *arg)
{
	struct idle *idle = arg;

	wait_until(is_parked, idle);
	wait_until(has_slept, &idle->nap);
	ck_assert_int_eq(things_freed, 0);
	other_tell(&idle->other, idle->is_fiber ? PARK : LEAVE);
	wait_until(none_is_live, NULL);
	idle->parked = false;
	weft_unpark(idle->main);
	return NULL;
}

static weft_err idle_main(void *arg)
{
	struct idle *idle = arg;

	idle->main = weft_parker_self();
	other_start(&idle->other, idle->is_fiber);
	other_tell(&idle->other, idle->is_fiber ? BUSY : GUARD);
	ck_assert_int_eq(pthread_create(&idle->watcher, NULL, idle_watch, idle), 0);
	things_retire(5);
	idle->nap = (struct nap){ 0, sleeps_of(0) };
	idle->parked = true;
	while (idle->parked)
		IGNORE(weft_park(WEFT_FOREVER));
	ck_assert_int_eq(pthread_join(idle->watcher, NULL), 0);
	other_end(&idle->other, idle->is_fiber);
	return WEFT_OK;
}

START_TEST(reclaim_idle_program_keeps_nothing)
{
	static struct idle idle;

	take_part(MEMBARRIER);
	idle.is_fiber = _i == 0;
	ck_assert_int_eq(crew_main(2, idle_main, &idle), WEFT_OK);
	ck_assert_int_eq(things_freed, 5);
}
END_TEST

/* --- limits --------------------------------------------------------------------------- */

#define LIMIT 1000
#define OVER 8

/* Each one over the limit waits; none for ever. */
static void over_the_limit(bool is_fiber)
{
	struct other o;
	uint64_t waits = stats_now().waits;
	int64_t begin;

	reclaim_limits_set(LIMIT, false);
	things_freed = 0;
	other_start(&o, is_fiber);
	other_tell(&o, is_fiber ? BUSY : GUARD);
	things_retire(LIMIT - RECLAIM_BATCH);
	ck_assert_uint_eq(stats_now().waits, waits);
	things_retire(2 * RECLAIM_BATCH);
	begin = t_now_ns();
	things_retire(OVER);
	ck_assert_int_ge(t_now_ns() - begin, OVER * RECLAIM_WAIT_NS);
	ck_assert_uint_ge(stats_now().waits, waits + OVER);
	ck_assert_int_eq(things_freed, 0);
	other_end(&o, is_fiber);
	ck_assert_uint_ge(stats_now().backlog_peak, LIMIT);
	reclaim_synchronize();
	ck_assert_int_eq(things_live, 0);
	/* no more waiting */
	waits = stats_now().waits;
	things_retire(LIMIT);
	ck_assert_uint_eq(stats_now().waits, waits);
	reclaim_synchronize();
}

static weft_err over_the_limit_main(void *arg)
{
	(void)arg;
	over_the_limit(true);
	return WEFT_OK;
}

START_TEST(reclaim_who_retires_over_the_limit_waits_a_moment_each_time)
{
	over_the_limit(false);
	ck_assert_int_eq(crew_main(2, over_the_limit_main, NULL), WEFT_OK);
}
END_TEST

static weft_err never_yields(void *arg)
{
	(void)arg;
	things_retire(100000);
	ck_assert_uint_le(stats_now().backlog_peak, 4 * 4 * RECLAIM_BATCH);
	return WEFT_OK;
}

START_TEST(reclaim_fiber_that_never_yields_frees_what_it_retires)
{
	ck_assert_int_eq(crew_main(1, never_yields, NULL), WEFT_OK);
	ck_assert_int_eq(things_freed, 100000);
}
END_TEST

/* --- callbacks ------------------------------------------------------------------------ */

static void frees_and_retires(struct reclaim_node *node)
{
	thing_free(node);
	reclaim_enter();
	if (things_freed < 50)
		reclaim_retire(&thing_new()->node, frees_and_retires);
	reclaim_help();
	reclaim_leave();
}

static weft_err chain_main(void *arg)
{
	(void)arg;
	things_freed = 0;
	reclaim_retire(&thing_new()->node, frees_and_retires);
	while (things_freed < 50)
		reclaim_synchronize();
	return WEFT_OK;
}

START_TEST(reclaim_callbacks_may_retire)
{
	(void)chain_main(NULL);
	ck_assert_int_eq(crew_main(2, chain_main, NULL), WEFT_OK);
	ck_assert_int_eq(things_live, 0);
}
END_TEST

/* --- simulator ------------------------------------------------------------------------ */

static void noted_free(struct reclaim_node *node)
{
	thing_free(node);
	weft_sim_note((uint64_t)things_freed);
}

static weft_err sim_fiber(void *arg)
{
	(void)arg;
	for (int i = 0; i < 200; i++) {
		reclaim_enter();
		reclaim_leave();
		reclaim_retire(&thing_new()->node, noted_free);
		if (weft_sim_random_below(3) == 0)
			(void)weft_yield();
		else if (weft_sim_random_below(3) == 0)
			IGNORE(weft_sleep_ns((int64_t)weft_sim_random_below(1000)));
	}
	return WEFT_OK;
}

static weft_err sim_main(void *arg)
{
	(void)arg;
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(weft_spawn(NULL, "retires", sim_fiber, NULL), WEFT_OK);
	for (int i = 0; i < 1000; i++)
		(void)weft_yield();
	reclaim_synchronize();
	return WEFT_OK;
}

START_TEST(reclaim_in_a_simulated_run_repeats_with_its_seed)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;

	for (uint64_t seed = 1; seed <= 10; seed++) {
		weft_sim_result results[2];

		options.seed = seed;
		for (int i = 0; i < 2; i++) {
			things_freed = 0;
			ck_assert_int_eq(
				weft_sim_run(sim_main, NULL, &options, &results[i]), WEFT_OK);
			ck_assert_int_eq(things_live, 0);
			/* a run ends with fibers that were cancelled in their sleep */
			ck_assert_int_gt(things_freed, 100);
		}
		ck_assert_uint_eq(results[0].hash, results[1].hash);
	}
}
END_TEST

static void reclaim_tests(TCase *tc)
{
	t_add_loop(tc, reclaim_guard_keeps_what_is_retired_while_it_is_held, 0, BARRIERS);
	t_add_loop(tc, reclaim_guards_nest, 0, BARRIERS);
	t_add_loop(tc, reclaim_guard_across_a_park_is_an_assertion, 0,
		sizeof(abuses) / sizeof(abuses[0]));
	t_add(tc, reclaim_busy_worker_stalls_only_until_it_goes_quiet);
	t_add(tc, reclaim_sleeping_worker_stalls_nobody);
	t_add_loop(tc, reclaim_idle_program_keeps_nothing, 0, 2);
	t_add(tc, reclaim_who_retires_over_the_limit_waits_a_moment_each_time);
	t_add(tc, reclaim_fiber_that_never_yields_frees_what_it_retires);
	t_add(tc, reclaim_callbacks_may_retire);
	t_add(tc, reclaim_in_a_simulated_run_repeats_with_its_seed);
}
T_SUITE("reclaim", reclaim_tests)
