/* SPDX-License-Identifier: MIT */
#include "support/both.h"

#include "rt/reclaim.h"

#include "rt/rt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SEEDS_OF_A_CAMPAIGN (200 / BOTH_SEEDS_LESS)

static uint64_t running_seed;

_Noreturn void both_failed(const char *file, int line, const char *what)
{
	if (weft_in_sim())
		fprintf(stderr,
			"%s:%d: seed %" PRIu64 ", step %" PRIu64 ", %" PRId64 " ns, fiber %s: %s\n"
			"(alone: WEFT_SIM_SEED=%" PRIu64 ")\n",
			file, line, running_seed, rt_sim_step(), (int64_t)weft_now(),
			weft_fiber_name(), what, running_seed);
	else
		fprintf(stderr, "%s:%d: fiber %s: %s\n", file, line, weft_fiber_name(), what);
	ck_abort_msg("%s:%d: seed %" PRIu64 ": %s", file, line, running_seed, what);
	abort(); /* not reached: fork mode has left */
}

void both_want(const char *file, int line, const char *call, weft_err expected, weft_err got)
{
	char text[512];

	if (got == expected)
		return;
	snprintf(text, sizeof(text), "%s: %s (%s), not %s", call, weft_err_name(got),
		weft_error_detail(), weft_err_name(expected));
	both_failed(file, line, text);
}

uint64_t both_random(uint64_t bound)
{
	static _Thread_local uint64_t state;

	if (weft_in_sim())
		return weft_sim_random_below(bound);
	if (state == 0)
		state = t_seed();
	return bound ? t_random(&state) % bound : 0;
}

int64_t both_ample_ns(int64_t duration_ns)
{
	return weft_in_sim() ? duration_ns : 5 * duration_ns;
}

void both_sleep_ns(int64_t duration_ns)
{
	weft_err err = weft_sleep_ns(duration_ns);

	(void)err; /* cancelled: the caller's next blocking call says so */
}

void both_pause(void)
{
	if (both_random(3) == 0)
		both_sleep_ns((int64_t)both_random(5) * (weft_in_sim() ? BOTH_TICK_NS : 5000));
	else
		(void)weft_yield();
}

void both_run_epoll(weft_fiber_fn body)
{
	static const unsigned workers[] = { 1, 3 };

	for (size_t i = 0; i < sizeof(workers) / sizeof(workers[0]); i++) {
		weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;
		int fds = t_fds_open();

		options.workers = workers[i];
		want_ok(weft_run(body, NULL, &options));
		ck_assert_int_eq(t_fds_open(), fds);
	}
}

static weft_err run(
	weft_fiber_fn body, void *arg, const weft_sim_options *options, weft_sim_result *result)
{
	weft_err err;

	running_seed = options->seed;
	err = weft_sim_run(body, arg, options, result);
	ck_assert_msg(result->fibers_left == 0 && result->sockets_left == 0,
		"seed %" PRIu64 ", step %" PRIu64 ": left: %" PRIu64 " fibers, %" PRIu64
		" sockets: %s %s",
		options->seed, result->steps, result->fibers_left, result->sockets_left,
		weft_err_name(err), weft_error_detail());
	reclaim_drain(); /* what waits there for more is not left */
	return err;
}

static void check_live(const weft_sim_options *options, int64_t live)
{
	ck_assert_msg(t_malloc_live() == live, "seed %" PRIu64 ": %" PRId64 " blocks left",
		options->seed, t_malloc_live() - live);
}

weft_err both_run_seed(
	weft_fiber_fn body, void *arg, const weft_sim_options *options, weft_sim_result *result)
{
	weft_err err = run(body, arg, options, result);
	int64_t live = t_malloc_live();
	weft_sim_result again;

	ck_assert_int_eq(run(body, arg, options, &again), err);
	ck_assert_msg(again.hash == result->hash && again.steps == result->steps,
		"seed %" PRIu64 " does not repeat: %" PRIu64 " and %" PRIu64 " steps",
		options->seed, result->steps, again.steps);
	check_live(options, live);
	return err;
}

weft_err both_run_once(
	weft_fiber_fn body, void *arg, const weft_sim_options *options, weft_sim_result *result)
{
	static int64_t live = -1; /* after the first */
	weft_err err = run(body, arg, options, result);

	if (live < 0)
		live = t_malloc_live();
	check_live(options, live);
	return err;
}

void both_run_simulated(weft_fiber_fn body)
{
	for (uint64_t seed = 0; seed < BOTH_SEEDS_OF_A_BODY; seed++) {
		weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
		weft_sim_result result;

		options.seed = seed;
		options.partial_permille = (unsigned)(seed % 4) * 200;
		options.window = seed % 3 ? 0 : 1000;
		options.trace = getenv("WEFT_SIM_TRACE") != NULL;
		want_ok(both_run_seed(body, NULL, &options, &result));
	}
}

static int number_from(const char *name, int otherwise)
{
	const char *text = getenv(name);

	return text && *text ? atoi(text) : otherwise;
}

int both_seed_first(void)
{
	return number_from("WEFT_SIM_SEED", 0);
}

int both_seed_end(void)
{
	if (getenv("WEFT_SIM_SEED"))
		return both_seed_first() + 1;
	return number_from("WEFT_SIM_SEEDS", SEEDS_OF_A_CAMPAIGN);
}
