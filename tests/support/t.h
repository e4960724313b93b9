/* SPDX-License-Identifier: MIT */
#ifndef T_H
#define T_H

/*
 * What every test here needs beside Check: a main, and counts of what leaks.
 *
 *	#include "support/t.h"
 *
 *	START_TEST(chan_close_wakes_parked_senders)
 *	{
 *		ck_assert_int_eq(...);
 *	}
 *	END_TEST
 *
 *	static void chan_tests(TCase *tc)
 *	{
 *		t_add(tc, chan_close_wakes_parked_senders);
 *	}
 *	T_SUITE("chan", chan_tests)
 *
 * The binary takes names, or parts of names, of the tests to run; -l lists them.
 * CK_FORK=no runs them in the process itself, for gdb.
 */
#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#define T_SUITE(name, add_tests)                                \
	int main(int argc, char **argv)                         \
	{                                                       \
		return t_main((name), (add_tests), argc, argv); \
	}

int t_main(const char *name, void (*add_tests)(TCase *tc), int argc, char **argv);
/* ck_assert costs a system call each time, also when it holds: this one only when it does
 * not. For what is looked at thousands of times. */
#define T_OUGHT(cond)                                              \
	do {                                                       \
		if (!(cond))                                       \
			ck_abort_msg("'%s' does not hold", #cond); \
	} while (0)

/* Every test runs in a process of its own. */
void t_add(TCase *tc, const TTest *test);
/* With _i in the body from start to end - 1. */
void t_add_loop(TCase *tc, const TTest *test, int start, int end);

/* Descriptors that this process has open. */
int t_fds_open(void);
/* Child processes of this process, zombies included. */
int t_children(void);
/* Threads of this process of that name, as the kernel has it (15 bytes); NULL: all. One that was
 * joined may be among them for a moment. */
unsigned t_threads(const char *name);
/* The monotonic clock (ns). */
int64_t t_now_ns(void);
/* WEFT_TEST_SEED from the environment, else a new one; printed when the test fails. */
uint64_t t_seed(void);
/* The next number of a generator that the caller keeps. */
uint64_t t_random(uint64_t *state);

/*
 * Allocations through base/mem.h. Any thread may allocate while one is being failed;
 * switching on and off follows the rule of mem_hooks_set. Allocations before the first
 * call of any of these are not counted: t_main makes that call.
 */
void t_malloc_fail_at(uint64_t n); /* the nth from now fails, once; 1 is the next */
void t_malloc_fail_off(void);
uint64_t t_malloc_calls(void); /* since t_malloc_fail_at or the start */
bool t_malloc_failed(void);    /* the nth has been reached */
int64_t t_malloc_live(void);   /* blocks not yet freed */

/*
 * Runs the body with the 1st, 2nd, ... allocation failing until it ends without
 * having reached the nth; after each round as many blocks must be live as before it.
 *
 *	T_EACH_FAILING_MALLOC(n) {
 *		err = weft_chan_create(&chan, ...);
 *		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
 *		ck_assert(err == WEFT_OK || t_malloc_failed());
 *		if (err == WEFT_OK)
 *			weft_chan_free(chan);
 *	}
 *
 * No break and no return in the body; does not nest.
 */
#define T_EACH_FAILING_MALLOC(n) \
	for (uint64_t n = t_malloc_round(0); (n) != 0; (n) = t_malloc_round(n))
uint64_t t_malloc_round(uint64_t last);

#endif
