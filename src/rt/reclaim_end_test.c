/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/* weft-test: timeout=180 */
/* Ends of threads, of runtimes, of a process's other threads by fork; and stress. */
#include "rt/san.h"
#include "support/crew.h"
#include "support/retired.h"
#include "support/sandbox.h"
#include "support/t.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- threads that end ----------------------------------------------------------------- */

static void *retires_and_ends(void *arg)
{
	things_retire(*(int *)arg);
	return NULL;
}

static void thread_once(int count)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, retires_and_ends, &count), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

START_TEST(reclaim_thread_that_ends_leaves_what_it_retired_to_others)
{
	struct other o;
	unsigned records;

	take_part((enum barrier)_i);
	records = stats_now().records;
	thread_once(10);
	/* NO_RECORD: nothing is called at its end, the next one frees it */
	if (_i != NO_RECORD)
		ck_assert_int_eq(things_freed, 10);
	other_start(&o, false);
	other_tell(&o, GUARD);
	things_freed = 0;
	thread_once(10);
	ck_assert_int_eq(things_freed, 0);
	other_tell(&o, LEAVE);
	thread_once(1);
	reclaim_synchronize();
	ck_assert_int_eq(things_live, 0);
	other_end(&o, false);
	ck_assert_uint_eq(stats_now().records, records);
	ck_assert_uint_eq(stats_now().backlog, 0);
}
END_TEST

START_TEST(reclaim_records_of_ended_threads_are_used_again)
{
	for (int i = 0; i < 100; i++) {
		thread_once(1);
		ck_assert_uint_le(stats_now().records, 1);
	}
	ck_assert_int_eq(things_freed, 100);
}
END_TEST

#define CROWD 40 /* more than the records that are there from the start */

START_TEST(reclaim_has_a_record_for_each_of_many_threads)
{
	struct other crowd[CROWD];

	for (int i = 0; i < CROWD; i++) {
		other_start(&crowd[i], false);
		other_tell(&crowd[i], GUARD);
	}
	ck_assert_uint_eq(stats_now().records, CROWD);
	for (int i = 0; i < CROWD; i++) {
		things_retire(RECLAIM_BATCH);
		ck_assert_int_eq(things_freed, 0);
		other_end(&crowd[i], false);
	}
	reclaim_synchronize();
	ck_assert_int_eq(things_live, 0);
}
END_TEST

/* --- fork ----------------------------------------------------------------------------- */

/* The caller's, in a child where nobody else is left. */
static void child_goes_on(int before)
{
	pid_t child = fork();
	int status = 0;

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		alarm(20);
		reclaim_synchronize();
		if (things_freed != before)
			_exit(1);
		things_retire(2 * RECLAIM_BATCH);
		reclaim_enter();
		reclaim_leave();
		reclaim_synchronize();
		_exit(things_live == 0 && stats_now().backlog == 0 ? 0 : 2);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}

static weft_err fork_main(void *arg)
{
	struct other o;

	other_start(&o, true);
	other_tell(&o, GUARD);
	things_retire(7);
	child_goes_on(7);
	ck_assert_int_eq(things_freed, 0);
	other_end(&o, true);
	(void)arg;
	return WEFT_OK;
}

START_TEST(reclaim_forked_child_waits_for_nobody)
{
	struct other o;

	take_part((enum barrier)_i);
	other_start(&o, false);
	other_tell(&o, GUARD);
	things_retire(3 * RECLAIM_BATCH);
	child_goes_on(3 * RECLAIM_BATCH);
	ck_assert_int_eq(things_freed, 0);
	other_end(&o, false);
	reclaim_synchronize();
	ck_assert_int_eq(things_live, 0);
	things_freed = 0;
	ck_assert_int_eq(crew_main(2, fork_main, NULL), WEFT_OK);
	ck_assert_int_eq(things_freed, 7);
}
END_TEST

/* --- runtimes ------------------------------------------------------------------------- */

static weft_err retires_some(void *arg)
{
	for (int i = 0; i < 100; i++) {
		things_retire(1);
		if (i % 7 == 0)
			(void)weft_yield();
	}
	(void)arg;
	return WEFT_OK;
}

static weft_err retires_on_all(void *arg)
{
	weft_scope *scope;
	weft_err err = weft_scope_create(&scope);

	(void)arg;
	for (unsigned i = 0; !err && i < weft_worker_count(); i++)
		err = weft_scope_spawn_on(scope, i, "retires", retires_some, NULL);
	if (!err)
		err = weft_scope_wait(scope, WEFT_FOREVER);
	weft_scope_free(scope);
	return err;
}

static void *pins_and_retires(void *arg)
{
	_Atomic bool *stop = arg;

	while (!*stop) {
		reclaim_enter();
		sched_yield();
		reclaim_leave();
		things_retire(1);
	}
	return NULL;
}

START_TEST(reclaim_frees_all_of_a_run_when_it_ends)
{
	_Atomic bool stop = false;
	pthread_t thread;

	for (unsigned i = 0; i < 6; i++) {
		things_freed = 0;
		ck_assert_int_eq(crew_main(i % 3 + 1, retires_on_all, NULL), WEFT_OK);
		ck_assert_int_eq(things_freed, 100 * (int)(i % 3 + 1));
		ck_assert_int_eq(things_live, 0);
	}
	/* and a thread that is there all the time */
	ck_assert_int_eq(pthread_create(&thread, NULL, pins_and_retires, &stop), 0);
	for (unsigned i = 0; i < 6; i++)
		ck_assert_int_eq(crew_main(2, retires_on_all, NULL), WEFT_OK);
	stop = true;
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	reclaim_synchronize();
	ck_assert_int_eq(things_live, 0);
	ck_assert_uint_eq(stats_now().backlog, 0);
	ck_assert_uint_eq(stats_now().retired, stats_now().freed);
}
END_TEST

static weft_err quiet_main(void *arg)
{
	(void)arg;
	return WEFT_OK;
}

START_TEST(reclaim_barrier_that_is_taken_away_frees_nothing_too_early)
{
#ifdef RT_TSAN
	return;
#endif
	struct other o;

	other_start(&o, false);
	other_tell(&o, GUARD);
	other_tell(&o, LEAVE);
	if (!membarrier_forbid()) {
		other_end(&o, false);
		return;
	}
	things_retire(4 * RECLAIM_BATCH);
	ck_assert_int_eq(things_freed, 0);
	other_end(&o, false);
	/* the caller knows by now */
	reclaim_synchronize();
	ck_assert_int_eq(things_live, 0);
	ck_assert_int_eq(crew_main(1, quiet_main, NULL), WEFT_OK);
}
END_TEST

/* --- stress --------------------------------------------------------------------------- */

#define SLOTS 4
#define PARTIES 6

#ifdef RT_SANITIZED
#define ROUNDS 3000
#else
#define ROUNDS 20000
#endif

static _Atomic(struct thing *) slots[SLOTS];

static weft_err reads_and_replaces(void *arg)
{
	uint64_t random = (uint64_t)(uintptr_t)arg;

	for (int i = 0; i < ROUNDS; i++) {
		_Atomic(struct thing *) *slot = &slots[t_random(&random) % SLOTS];
		struct thing *t;

		reclaim_enter();
		t = atomic_load_explicit(slot, memory_order_acquire);
		if (t_random(&random) % 32 == 0)
			sched_yield(); /* others run, on this core too */
		for (unsigned n = (unsigned)t_random(&random) % 8; n > 0; n--)
			T_OUGHT(atomic_load_explicit(&t->alive, memory_order_relaxed) ==
				THING_ALIVE);
		reclaim_leave();
		if (t_random(&random) % 4)
			continue;
		t = atomic_exchange_explicit(slot, thing_new(), memory_order_acq_rel);
		reclaim_retire(&t->node, thing_free);
		reclaim_help();
		if (t_random(&random) % 16 == 0)
			(void)weft_yield();
	}
	return WEFT_OK;
}

static void stress(enum crew_mode mode)
{
	struct crew_member members[PARTIES];
	uint64_t seed = t_seed();

	for (size_t i = 0; i < SLOTS; i++)
		slots[i] = thing_new();
	for (size_t i = 0; i < PARTIES; i++)
		members[i] =
			(struct crew_member){ reads_and_replaces, (void *)(uintptr_t)(seed + i) };
	crew_run(mode, seed, members, PARTIES);
	reclaim_synchronize();
	ck_assert_int_eq(things_live, SLOTS);
	ck_assert_uint_eq(stats_now().backlog, 0);
	for (size_t i = 0; i < SLOTS; i++)
		thing_free(&slots[i]->node);
}

START_TEST(reclaim_readers_never_meet_what_was_freed)
{
	take_part((enum barrier)(_i / CREW_MODES));
	stress((enum crew_mode)(_i % CREW_MODES));
}
END_TEST

static void reclaim_end_tests(TCase *tc)
{
	t_add_loop(tc, reclaim_thread_that_ends_leaves_what_it_retired_to_others, 0, BARRIERS);
	t_add(tc, reclaim_records_of_ended_threads_are_used_again);
	t_add(tc, reclaim_has_a_record_for_each_of_many_threads);
	t_add_loop(tc, reclaim_forked_child_waits_for_nobody, 0, BARRIERS);
	t_add(tc, reclaim_frees_all_of_a_run_when_it_ends);
	t_add(tc, reclaim_barrier_that_is_taken_away_frees_nothing_too_early);
	t_add_loop(tc, reclaim_readers_never_meet_what_was_freed, 0, BARRIERS * CREW_MODES);
}
T_SUITE("reclaim_end", reclaim_end_tests)
