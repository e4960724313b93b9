/* SPDX-License-Identifier: MIT */
/* Simulated runs: schedule, clock, nodes, and how a run ends. The net is io/sim's. */
#include <weft/sim.h>

#include "support/t.h"

#include <weft/park.h>
#include <weft/scope.h>

#include <pthread.h>
#include <string.h>

#define DAY_MS 86400000
#define FIBERS 12

static weft_err sim_run(weft_fiber_fn fn, void *arg, uint64_t seed, weft_sim_result *result)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;

	options.seed = seed;
	return weft_sim_run(fn, arg, &options, result);
}

static weft_err return_it(void *arg)
{
	ck_assert(weft_in_sim() && weft_in_fiber());
	return *(weft_err *)arg;
}

START_TEST(a_simulated_run_returns_what_main_returns)
{
	weft_err wanted = WEFT_EAUTH;
	weft_sim_result result;

	ck_assert(!weft_in_sim());
	ck_assert_int_eq(sim_run(return_it, &wanted, 1, &result), WEFT_EAUTH);
	ck_assert_uint_eq(result.fibers_left, 0);
	ck_assert_uint_eq(result.sockets_left, 0);
	wanted = WEFT_OK;
	ck_assert_int_eq(weft_sim_run(return_it, &wanted, NULL, NULL), WEFT_OK);
	ck_assert(!weft_in_sim());
}
END_TEST

static weft_err park_for_ever(void *arg)
{
	weft_err err;

	(void)arg;
	do
		err = weft_park(WEFT_FOREVER);
	while (err == WEFT_OK);
	return err;
}

static weft_err spawn_and_park(void *arg)
{
	ck_assert_int_eq(weft_spawn(NULL, "waits", park_for_ever, NULL), WEFT_OK);
	return park_for_ever(arg);
}

START_TEST(nobody_runnable_and_nothing_due_is_a_deadlock)
{
	weft_sim_result result;

	ck_assert_int_eq(sim_run(spawn_and_park, NULL, 77, &result), WEFT_EDEADLOCK);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "seed 77"));
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "step "));
	ck_assert_uint_eq(result.fibers_left, 2);
	/* and the next run is a fresh one */
	ck_assert_int_eq(sim_run(return_it, &(weft_err){ WEFT_OK }, 1, &result), WEFT_OK);
	ck_assert_uint_eq(result.fibers_left, 0);
}
END_TEST

static weft_err yield_for_ever(void *arg)
{
	(void)arg;
	while (weft_yield() == WEFT_OK)
		;
	return WEFT_OK;
}

START_TEST(a_run_that_never_ends_is_stopped)
{
	weft_sim_options options = { .steps_max = 1000 };
	weft_sim_result result;

	ck_assert_int_eq(weft_sim_run(yield_for_ever, NULL, &options, &result), WEFT_ECAPACITY);
	ck_assert_uint_eq(result.steps, 1000);
}
END_TEST

static weft_err sleep_a_day(void *arg)
{
	(void)arg;
	return weft_sleep_ms(DAY_MS);
}

START_TEST(sleeping_costs_no_time)
{
	int64_t began = t_now_ns();
	weft_sim_result result;

	ck_assert_int_eq(sim_run(sleep_a_day, NULL, 1, &result), WEFT_OK);
	ck_assert_int_eq(result.virtual_ns, (int64_t)DAY_MS * 1000000);
	ck_assert_int_lt(t_now_ns() - began, INT64_C(10000000000));
}
END_TEST

static weft_err set_later(void *arg)
{
	weft_err err = weft_sleep_ms(DAY_MS);

	*(bool *)arg = true;
	return err;
}

static weft_err yield_until_set(void *arg)
{
	bool set = false;

	(void)arg;
	ck_assert_int_eq(weft_spawn(NULL, "sets", set_later, &set), WEFT_OK);
	while (!set)
		ck_assert_int_eq(weft_yield(), WEFT_OK);
	return WEFT_OK;
}

START_TEST(time_passes_for_those_who_only_yield)
{
	weft_sim_result result;

	ck_assert_int_eq(sim_run(yield_until_set, NULL, 1, &result), WEFT_OK);
	ck_assert_uint_lt(result.steps, 100000);
}
END_TEST

struct order {
	unsigned len;
	unsigned who[FIBERS * 4];
	bool draw; /* numbers of the application in between */
};

struct runner {
	struct order *order;
	unsigned number;
};

static weft_err run_and_yield(void *arg)
{
	struct runner *r = arg;

	for (int i = 0; i < 4; i++) {
		r->order->who[r->order->len++] = r->number;
		if (r->order->draw)
			(void)weft_sim_random();
		ck_assert_int_eq(weft_yield(), WEFT_OK);
	}
	return WEFT_OK;
}

static weft_err run_many(void *arg)
{
	struct runner runners[FIBERS];
	weft_scope *scope;
	weft_err err;

	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	for (unsigned i = 0; i < FIBERS; i++) {
		runners[i] = (struct runner){ arg, i };
		ck_assert_int_eq(
			weft_scope_spawn(scope, "runs", run_and_yield, &runners[i]), WEFT_OK);
	}
	err = weft_scope_wait(scope, WEFT_FOREVER);
	weft_scope_free(scope);
	return err;
}

START_TEST(the_seed_decides_who_runs)
{
	int different = 0;

	for (uint64_t seed = 0; seed < 10; seed++) {
		struct order a = { 0 }, b = { 0 }, drawn = { .draw = true }, other = { 0 };

		ck_assert_int_eq(sim_run(run_many, &a, seed, NULL), WEFT_OK);
		ck_assert_int_eq(sim_run(run_many, &b, seed, NULL), WEFT_OK);
		ck_assert_int_eq(sim_run(run_many, &drawn, seed, NULL), WEFT_OK);
		ck_assert_int_eq(sim_run(run_many, &other, seed + 1, NULL), WEFT_OK);
		ck_assert_uint_eq(a.len, FIBERS * 4);
		ck_assert(memcmp(a.who, b.who, sizeof(a.who)) == 0);
		ck_assert(memcmp(a.who, drawn.who, sizeof(a.who)) == 0);
		different += memcmp(a.who, other.who, sizeof(a.who)) != 0;
	}
	ck_assert_int_eq(different, 10);
}
END_TEST

static weft_err note_it(void *arg)
{
	weft_sim_note(*(uint64_t *)arg);
	return WEFT_OK;
}

START_TEST(a_note_is_in_the_hash)
{
	weft_sim_result a, b, c;
	uint64_t value = 1;

	ck_assert_int_eq(sim_run(note_it, &value, 1, &a), WEFT_OK);
	ck_assert_int_eq(sim_run(note_it, &value, 1, &b), WEFT_OK);
	value = 2;
	ck_assert_int_eq(sim_run(note_it, &value, 1, &c), WEFT_OK);
	ck_assert_uint_eq(a.hash, b.hash);
	ck_assert_uint_ne(a.hash, c.hash);
}
END_TEST

static weft_err tell_node(void *arg)
{
	*(unsigned *)arg = weft_sim_node_self();
	return WEFT_OK;
}

/* What it spawns is there too. */
static weft_err spawn_teller(void *arg)
{
	weft_fiber *fiber;

	ck_assert_int_eq(weft_spawn(&fiber, "tells", tell_node, arg), WEFT_OK);
	return weft_fiber_join(fiber, NULL, WEFT_FOREVER);
}

static weft_err use_nodes(void *arg)
{
	unsigned a = 0, b = 0, told = 99;
	weft_fiber *fiber;

	(void)arg;
	ck_assert_uint_eq(weft_sim_node_self(), 0);
	ck_assert_int_eq(weft_sim_node(&a, "alice"), WEFT_OK);
	ck_assert_int_eq(weft_sim_node(&b, "bob"), WEFT_OK);
	ck_assert(a == 1 && b == 2);
	ck_assert_int_eq(weft_sim_node(&b, "alice"), WEFT_EDUPLICATE);
	ck_assert_int_eq(weft_sim_node(&b, ""), WEFT_EINVAL);
	ck_assert_int_eq(weft_sim_spawn(b, &fiber, "on bob", spawn_teller, &told), WEFT_OK);
	ck_assert_int_eq(weft_fiber_join(fiber, NULL, WEFT_FOREVER), WEFT_OK);
	ck_assert_uint_eq(told, b);
	ck_assert_int_eq(weft_sim_spawn(3, &fiber, "nowhere", spawn_teller, &told), WEFT_EINVAL);
	for (unsigned i = 3; i < 250; i++) {
		char name[4] = { 'x', (char)('a' + i % 20), (char)('a' + i / 20), '\0' };

		ck_assert_int_eq(weft_sim_node(&a, name), WEFT_OK);
	}
	ck_assert_int_eq(weft_sim_node(&a, "more"), WEFT_ECAPACITY);
	return WEFT_OK;
}

START_TEST(fibers_live_on_nodes)
{
	unsigned node;

	ck_assert_int_eq(sim_run(use_nodes, NULL, 1, NULL), WEFT_OK);
	ck_assert_int_eq(weft_sim_node(&node, "outside"), WEFT_EINVAL);
	ck_assert_int_eq(weft_sim_spawn(0, NULL, "outside", tell_node, &node), WEFT_EINVAL);
}
END_TEST

struct crashed {
	weft_err result;
	bool cleaned;
};

static weft_err wait_for_crash(void *arg)
{
	struct crashed *c = arg;

	c->result = weft_sleep_ms(DAY_MS);
	weft_shield_begin();
	ck_assert_int_eq(weft_sleep_ms(1), WEFT_OK);
	c->cleaned = true;
	weft_shield_end();
	return c->result;
}

static weft_err crash_one(void *arg)
{
	struct crashed *c = arg;
	unsigned node;

	ck_assert_int_eq(weft_sim_node(&node, "frail"), WEFT_OK);
	ck_assert_int_eq(weft_sim_spawn(node, NULL, "dies", wait_for_crash, &c[0]), WEFT_OK);
	ck_assert_int_eq(weft_sim_spawn(0, NULL, "lives", wait_for_crash, &c[1]), WEFT_OK);
	ck_assert_int_eq(weft_sleep_ms(10), WEFT_OK);
	weft_sim_crash(node);
	weft_sim_crash(77);
	ck_assert_int_eq(weft_sleep_ms(10), WEFT_OK);
	ck_assert(c[0].cleaned && c[0].result == WEFT_ECANCELED);
	ck_assert(!c[1].cleaned);
	/* the node can be used again */
	ck_assert_int_eq(weft_sim_spawn(node, NULL, "again", wait_for_crash, &c[2]), WEFT_OK);
	return weft_sleep_ms(DAY_MS * 2);
}

START_TEST(a_crash_cancels_the_fibers_of_its_node_only)
{
	struct crashed c[3] = { { WEFT_EIO, false }, { WEFT_EIO, false }, { WEFT_EIO, false } };

	ck_assert_int_eq(sim_run(crash_one, c, 1, NULL), WEFT_OK);
	ck_assert_int_eq(c[1].result, WEFT_OK);
	ck_assert_int_eq(c[2].result, WEFT_OK);
}
END_TEST

static weft_err jump(void *arg)
{
	weft_deadline began = weft_now();
	weft_fiber *fiber;

	(void)arg;
	ck_assert_int_eq(weft_spawn(&fiber, "sleeps", sleep_a_day, NULL), WEFT_OK);
	ck_assert_int_eq(weft_sleep_ms(1), WEFT_OK);
	weft_sim_clock_jump((int64_t)DAY_MS * 1000000);
	ck_assert_int_eq(weft_fiber_join(fiber, NULL, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(weft_now() - began, (int64_t)(DAY_MS + 1) * 1000000);
	return WEFT_OK;
}

START_TEST(a_clock_jump_makes_deadlines_late_at_once)
{
	ck_assert_int_eq(sim_run(jump, NULL, 1, NULL), WEFT_OK);
}
END_TEST

static weft_err count_failures(void *arg)
{
	unsigned *failed = arg;

	for (int i = 0; i < 500; i++) {
		weft_scope *scope = NULL;
		weft_err err = weft_scope_create(&scope);

		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		*failed += err == WEFT_ENOMEM;
		weft_scope_free(scope);
	}
	return WEFT_OK;
}

START_TEST(memory_fails_as_the_seed_has_it)
{
	weft_sim_options options = { .memory_fail_permille = 200 };
	unsigned failed = 0, again = 0, none = 0;
	weft_sim_result a, b;

	ck_assert_int_eq(weft_sim_run(count_failures, &failed, &options, &a), WEFT_OK);
	ck_assert_int_eq(weft_sim_run(count_failures, &again, &options, &b), WEFT_OK);
	ck_assert_uint_gt(failed, 50);
	ck_assert_uint_eq(failed, again);
	ck_assert_uint_eq(a.hash, b.hash);
	ck_assert_int_eq(sim_run(count_failures, &none, 0, NULL), WEFT_OK);
	ck_assert_uint_eq(none, 0);
}
END_TEST

static weft_err run_inside(void *arg)
{
	return sim_run(arg ? run_inside : run_many, arg, 1, NULL);
}

START_TEST(what_cannot_be_run_is_refused)
{
	weft_sim_options bad = { .partial_permille = 1001 };
	weft_err ok = WEFT_OK;

	ck_assert_int_eq(sim_run(run_inside, &ok, 1, NULL), WEFT_EINVAL);
	ck_assert_int_eq(weft_sim_run(NULL, NULL, NULL, NULL), WEFT_EINVAL);
	ck_assert_int_eq(weft_sim_run(return_it, &ok, &bad, NULL), WEFT_EINVAL);
}
END_TEST

static weft_err random_numbers(void *arg)
{
	(void)arg;
	ck_assert_uint_eq(weft_sim_random_below(0), 0);
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_lt(weft_sim_random_below(7), 7);
	ck_assert(weft_sim_random() != weft_sim_random());
	return WEFT_OK;
}

START_TEST(random_numbers_are_below_their_bound)
{
	ck_assert_int_eq(sim_run(random_numbers, NULL, 1, NULL), WEFT_OK);
	ck_assert_uint_eq(weft_sim_random_below(7), 0);
}
END_TEST

static void *run_in_thread(void *arg)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		weft_sim_result *results = arg;
		struct order order = { 0 };

		ck_assert_int_eq(sim_run(run_many, &order, seed, &results[seed]), WEFT_OK);
	}
	return NULL;
}

START_TEST(runs_in_two_threads_leave_each_other_alone)
{
	static weft_sim_result results[2][20];
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run_in_thread, results[i]), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	for (int i = 0; i < 20; i++)
		ck_assert_uint_eq(results[0][i].hash, results[1][i].hash);
}
END_TEST

START_TEST(every_allocation_of_a_run_may_fail)
{
	struct order order = { 0 };

	/* what stays for the process and the thread: parkers, the error's text */
	ck_assert_int_eq(sim_run(run_many, &order, 1, NULL), WEFT_OK);
	ck_assert_int_eq(sim_run(NULL, NULL, 1, NULL), WEFT_EINVAL);
	T_EACH_FAILING_MALLOC(n) {
		weft_err wanted = WEFT_EAUTH, err = sim_run(return_it, &wanted, 1, NULL);

		ck_assert(err == WEFT_EAUTH || (err == WEFT_ENOMEM && t_malloc_failed()));
	}
}
END_TEST

static void sim_run_tests(TCase *tc)
{
	t_add(tc, a_simulated_run_returns_what_main_returns);
	t_add(tc, nobody_runnable_and_nothing_due_is_a_deadlock);
	t_add(tc, a_run_that_never_ends_is_stopped);
	t_add(tc, sleeping_costs_no_time);
	t_add(tc, time_passes_for_those_who_only_yield);
	t_add(tc, the_seed_decides_who_runs);
	t_add(tc, a_note_is_in_the_hash);
	t_add(tc, fibers_live_on_nodes);
	t_add(tc, a_crash_cancels_the_fibers_of_its_node_only);
	t_add(tc, a_clock_jump_makes_deadlines_late_at_once);
	t_add(tc, memory_fails_as_the_seed_has_it);
	t_add(tc, what_cannot_be_run_is_refused);
	t_add(tc, random_numbers_are_below_their_bound);
	t_add(tc, runs_in_two_threads_leave_each_other_alone);
	t_add(tc, every_allocation_of_a_run_may_fail);
}
T_SUITE("rt/sim_run", sim_run_tests)
