/* SPDX-License-Identifier: MIT */
#ifndef BOTH_H
#define BOTH_H

/*
 * A test body that is written once and runs over epoll (one worker, and three) and under
 * the simulator (a number of seeds, some twice for the same hash):
 *
 *	BOTH_TEST(a_scope_waits_for_its_fibers)
 *	{
 *		want_ok(weft_scope_create(&scope));
 *		...
 *		return WEFT_OK;
 *	}
 *
 *	both_add(tc, a_scope_waits_for_its_fibers);
 *
 * It is the first fiber's function, with an argument that is NULL. After each run no
 * fiber, socket or descriptor may be left.
 */
#include "rt/san.h"
#include "support/t.h"

#include <weft/weft.h>

#define BOTH_TEST(name)                          \
	static weft_err name##_body(void *arg);  \
	START_TEST(name##_over_epoll)            \
	{                                        \
		both_run_epoll(name##_body);     \
	}                                        \
	END_TEST                                 \
	START_TEST(name##_simulated)             \
	{                                        \
		both_run_simulated(name##_body); \
	}                                        \
	END_TEST                                 \
	static weft_err name##_body(__attribute__((unused)) void *arg)

#define both_add(tc, name)                    \
	do {                                  \
		t_add(tc, name##_over_epoll); \
		t_add(tc, name##_simulated);  \
	} while (0)

void both_run_epoll(weft_fiber_fn body);
void both_run_simulated(weft_fiber_fn body);

/* A simulated run is one thread, in which the thread sanitizer has nothing to find but what every
 * seed shows: there it runs fewer. */
#ifdef RT_TSAN
#define BOTH_SEEDS_LESS 5
#else
#define BOTH_SEEDS_LESS 1
#endif
#define BOTH_SEEDS_OF_A_BODY (20 / BOTH_SEEDS_LESS)
/* Seeds a campaign runs: WEFT_SIM_SEED alone, or WEFT_SIM_SEEDS of them (200). */
int both_seed_first(void);
int both_seed_end(void);
/*
 * A simulated run, twice with the same options: the results must be the same. Returns
 * what the run returned; fails the test when something is left behind.
 */
weft_err both_run_seed(
	weft_fiber_fn body, void *arg, const weft_sim_options *options, weft_sim_result *result);
/* The same, once: nothing of it may be left that an earlier run in this process did not leave. */
weft_err both_run_once(
	weft_fiber_fn body, void *arg, const weft_sim_options *options, weft_sim_result *result);

/* Assertions for fibers: a failure prints the seed, the step and the virtual time. */
#define want(cond)                                              \
	do {                                                    \
		if (!(cond))                                    \
			both_failed(__FILE__, __LINE__, #cond); \
	} while (0)
#define want_err(expected, call) both_want(__FILE__, __LINE__, #call, (expected), (call))
#define want_ok(call) want_err(WEFT_OK, call)

_Noreturn void both_failed(const char *file, int line, const char *what);
void both_want(const char *file, int line, const char *call, weft_err expected, weft_err got);

/* A random number below bound: the simulator's, or one that differs from run to run. */
uint64_t both_random(uint64_t bound);
/* Simulated times that are whole ticks coincide often: then the schedule decides. */
#define BOTH_TICK_NS 100000

/* As weft_sleep_ns, for those who do not care whether it was cut short. */
void both_sleep_ns(int64_t duration_ns);
/*
 * A time-out before which something has to be done, as a busy machine needs it: duration_ns where
 * time is simulated, and passes only when all wait; five times that over epoll.
 */
int64_t both_ample_ns(int64_t duration_ns);
/* Lets others run, in one of several ways: yields, or sleeps for a moment. */
void both_pause(void);

#endif
