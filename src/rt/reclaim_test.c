/* SPDX-License-Identifier: MIT */
#include "rt/reclaim.h"
#include "support/crew.h"
#include "support/t.h"

#include <weft/weft.h>

#include <stdatomic.h>
#include <stdlib.h>

struct thing {
	struct reclaim_node node;
	_Atomic int *freed;
};

static void thing_free(struct reclaim_node *node)
{
	struct thing *t = (struct thing *)(void *)node;

	atomic_fetch_add(t->freed, 1);
	free(t);
}

static void retire_one(_Atomic int *freed)
{
	struct thing *t = malloc(sizeof(*t));

	ck_assert_ptr_nonnull(t);
	t->freed = freed;
	reclaim_retire(&t->node, thing_free);
}

static weft_err retires_in_a_fiber(void *arg)
{
	for (int i = 0; i < 1000; i++) {
		retire_one(arg);
		reclaim_help();
		if (i % 7 == 0)
			weft_yield();
	}
	return WEFT_OK;
}

START_TEST(reclaim_frees_what_fibers_retired_when_the_run_ends)
{
	_Atomic int freed = 0;

	for (unsigned workers = 1; workers <= 2; workers++) {
		freed = 0;
		ck_assert_int_eq(crew_main(workers, retires_in_a_fiber, &freed), WEFT_OK);
		ck_assert_int_eq(freed, 1000);
	}
}
END_TEST

START_TEST(reclaim_frees_for_a_plain_thread_without_a_runtime)
{
	_Atomic int freed = 0;

	retires_in_a_fiber(&freed);
	reclaim_enter();
	reclaim_leave();
	reclaim_synchronize();
	ck_assert_int_eq(freed, 1000);
}
END_TEST

static void reclaim_tests(TCase *tc)
{
	t_add(tc, reclaim_frees_what_fibers_retired_when_the_run_ends);
	t_add(tc, reclaim_frees_for_a_plain_thread_without_a_runtime);
}
T_SUITE("reclaim", reclaim_tests)
