/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/err.h"
#include "base/mem.h"
#include "rt/fiber.h"
#include "support/t.h"

#include <weft/weft.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static weft_err run(weft_fiber_fn fn, void *arg, unsigned workers)
{
	weft_run_options o = WEFT_RUN_OPTIONS_DEFAULT;

	o.workers = workers;
	return weft_run(fn, arg, &o);
}

/* --- fibers --------------------------------------------------------------------------- */

static weft_err return_arg(void *arg)
{
	return (weft_err)(intptr_t)arg;
}

START_TEST(run_returns_what_main_returns)
{
	ck_assert_int_eq(run(return_arg, NULL, 1), WEFT_OK);
	ck_assert_int_eq(run(return_arg, (void *)(intptr_t)WEFT_EPROTO, 2), WEFT_EPROTO);
}
END_TEST

static weft_err run_inside(void *arg)
{
	(void)arg;
	return weft_run(return_arg, NULL, NULL);
}

START_TEST(run_inside_a_fiber_is_refused)
{
	ck_assert_int_eq(run(run_inside, NULL, 1), WEFT_EINVAL);
}
END_TEST

START_TEST(run_names_the_option_that_is_out_of_range)
{
	weft_run_options o = WEFT_RUN_OPTIONS_DEFAULT;

	o.stack_size = 5;
	ck_assert_int_eq(weft_run(return_arg, NULL, &o), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "stack_size"));
	o.stack_size = 0;
	o.workers = 100000;
	ck_assert_int_eq(weft_run(return_arg, NULL, &o), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "workers"));
}
END_TEST

static weft_err append(void *arg)
{
	char *text = arg;

	for (int i = 0; i < 3; i++) {
		strcat(text, weft_fiber_name());
		(void)weft_yield();
	}
	return WEFT_OK;
}

static weft_err yield_main(void *arg)
{
	weft_fiber *a, *b;

	ck_assert_int_eq(weft_spawn(&a, "a", append, arg), WEFT_OK);
	ck_assert_int_eq(weft_spawn(&b, "b", append, arg), WEFT_OK);
	ck_assert_int_eq(weft_fiber_join(a, NULL, WEFT_FOREVER), WEFT_OK);
	return weft_fiber_join(b, NULL, WEFT_FOREVER);
}

START_TEST(yield_takes_turns)
{
	char text[32] = "";

	ck_assert_int_eq(run(yield_main, text, 1), WEFT_OK);
	ck_assert_str_eq(text, "ababab");
}
END_TEST

static weft_err fail_with_detail(void *arg)
{
	(void)arg;
	return err_setf(WEFT_EPROTO, "the innermost reason");
}

static weft_err join_main(void *arg)
{
	weft_fiber *f;
	weft_err result = WEFT_OK;

	(void)arg;
	ck_assert_int_eq(weft_spawn(&f, "f", fail_with_detail, NULL), WEFT_OK);
	ck_assert_int_eq(weft_fiber_join(f, &result, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(result, WEFT_EPROTO);
	ck_assert_str_eq(weft_error_detail(), "the innermost reason");
	return WEFT_OK;
}

START_TEST(join_gives_result_and_detail)
{
	ck_assert_int_eq(run(join_main, NULL, 1), WEFT_OK);
	ck_assert_int_eq(run(join_main, NULL, 2), WEFT_OK);
}
END_TEST

static weft_err sleep_forever(void *arg)
{
	(void)arg;
	return weft_sleep_until(WEFT_FOREVER);
}

static weft_err join_timeout_main(void *arg)
{
	weft_fiber *f;

	(void)arg;
	ck_assert_int_eq(weft_spawn(&f, "f", sleep_forever, NULL), WEFT_OK);
	ck_assert_int_eq(weft_fiber_join(f, NULL, WEFT_NOW), WEFT_ETIMEDOUT);
	ck_assert_int_eq(weft_fiber_join(f, NULL, weft_after_ms(5)), WEFT_ETIMEDOUT);
	weft_fiber_detach(f);
	return WEFT_OK;
}

START_TEST(join_times_out_and_the_handle_stays)
{
	ck_assert_int_eq(run(join_timeout_main, NULL, 1), WEFT_OK);
	ck_assert_int_eq(run(join_timeout_main, NULL, 2), WEFT_OK);
}
END_TEST

static weft_err errno_fiber(void *arg)
{
	int mine = (int)(intptr_t)arg;

	for (int i = 0; i < 10; i++) {
		errno = mine;
		(void)weft_yield();
		ck_assert_int_eq(errno, mine);
	}
	return WEFT_OK;
}

static weft_err errno_main(void *arg)
{
	(void)arg;
	ck_assert_int_eq(weft_spawn(NULL, "one", errno_fiber, (void *)1), WEFT_OK);
	ck_assert_int_eq(weft_spawn(NULL, "two", errno_fiber, (void *)2), WEFT_OK);
	return errno_fiber((void *)3);
}

START_TEST(errno_belongs_to_the_fiber)
{
	ck_assert_int_eq(run(errno_main, NULL, 1), WEFT_OK);
}
END_TEST

static weft_err where_fiber(void *arg)
{
	*(unsigned *)arg = weft_worker_self();
	return WEFT_OK;
}

static weft_err spawn_on_main(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < weft_worker_count(); i++) {
		weft_fiber *f;
		unsigned where = 99;

		ck_assert_int_eq(weft_spawn_on(i, &f, "where", where_fiber, &where), WEFT_OK);
		ck_assert_int_eq(weft_fiber_join(f, NULL, WEFT_FOREVER), WEFT_OK);
		ck_assert_uint_eq(where, i);
	}
	return weft_spawn_on(weft_worker_count(), NULL, NULL, where_fiber, NULL);
}

START_TEST(spawn_on_runs_there_and_nowhere_else)
{
	ck_assert_int_eq(run(spawn_on_main, NULL, 3), WEFT_EINVAL);
}
END_TEST

/* From one moment: each might begin late. */
struct sleepers {
	weft_deadline from;
	char text[32];
};

static weft_err sleep_order(void *arg)
{
	struct sleepers *s = arg;
	int ms = weft_fiber_name()[0] - '0';

	ck_assert_int_eq(weft_sleep_until(s->from + ms * INT64_C(5000000)), WEFT_OK);
	strcat(s->text, weft_fiber_name());
	return WEFT_OK;
}

static weft_err sleep_main(void *arg)
{
	struct sleepers *s = arg;

	s->from = weft_now();
	ck_assert_int_eq(weft_spawn(NULL, "3", sleep_order, s), WEFT_OK);
	ck_assert_int_eq(weft_spawn(NULL, "1", sleep_order, s), WEFT_OK);
	ck_assert_int_eq(weft_spawn(NULL, "2", sleep_order, s), WEFT_OK);
	ck_assert_int_eq(weft_sleep_until(s->from + INT64_C(40000000)), WEFT_OK);
	ck_assert_int_ge(weft_now() - s->from, 40000000);
	return WEFT_OK;
}

START_TEST(sleepers_wake_in_order_of_their_deadlines)
{
	struct sleepers s = { .text = "" };

	ck_assert_int_eq(run(sleep_main, &s, 1), WEFT_OK);
	ck_assert_str_eq(s.text, "123");
}
END_TEST

static weft_err limit_main(void *arg)
{
	weft_err err = WEFT_OK;

	(void)arg;
	for (int i = 0; i < 9; i++)
		ck_assert_int_eq(weft_spawn(NULL, NULL, sleep_forever, NULL), WEFT_OK);
	err = weft_spawn(NULL, NULL, sleep_forever, NULL);
	ck_assert_int_eq(err, WEFT_ECAPACITY);
	ck_assert_uint_eq(weft_fiber_count(), 10);
	return WEFT_OK;
}

START_TEST(fibers_max_refuses_more)
{
	weft_run_options o = WEFT_RUN_OPTIONS_DEFAULT;

	o.fibers_max = 10;
	ck_assert_int_eq(weft_run(limit_main, NULL, &o), WEFT_OK);
}
END_TEST

#define MANY 100000

static weft_err park_once(void *arg)
{
	size_t *woken = arg;

	ck_assert_int_eq(weft_cancel_wait(weft_fiber_token(), WEFT_FOREVER), WEFT_OK);
	++*woken;
	return WEFT_OK;
}

static weft_err many_main(void *arg)
{
	weft_scope *scope;

	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(weft_scope_spawn(scope, "parked", park_once, arg), WEFT_OK);
	while (weft_scope_count(scope) != MANY)
		(void)weft_yield();
	ck_assert_int_eq(weft_sleep_ms(1), WEFT_OK);
	weft_scope_free(scope);
	return WEFT_OK;
}

START_TEST(a_hundred_thousand_fibers_park_and_end)
{
	size_t woken = 0;

#ifdef RT_TSAN
	return; /* the thread sanitizer has room for some 33,000 */
#endif
	ck_assert_int_eq(run(many_main, &woken, 1), WEFT_OK);
	ck_assert_uint_eq(woken, MANY);
}
END_TEST

/* --- scopes --------------------------------------------------------------------------- */

static weft_err scope_error_main(void *arg)
{
	weft_scope *scope;

	(void)arg;
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(scope, "sleeper", sleep_forever, NULL), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn_on(scope, 1, "other", sleep_forever, NULL), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(scope, "failer", fail_with_detail, NULL), WEFT_OK);
	ck_assert_int_eq(weft_scope_wait(scope, WEFT_FOREVER), WEFT_EPROTO);
	ck_assert_str_eq(weft_error_detail(), "the innermost reason");
	ck_assert_int_eq(weft_scope_spawn(scope, "late", sleep_forever, NULL), WEFT_ECANCELED);
	weft_scope_free(scope);
	return WEFT_OK;
}

START_TEST(scope_first_error_cancels_the_others)
{
	ck_assert_int_eq(run(scope_error_main, NULL, 2), WEFT_OK);
}
END_TEST

static weft_err nested_inner(void *arg)
{
	weft_scope *scope;
	weft_err err;

	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(scope, "inner", park_once, arg), WEFT_OK);
	err = weft_scope_wait(scope, WEFT_FOREVER);
	weft_scope_free(scope);
	return err;
}

static weft_err nested_main(void *arg)
{
	weft_scope *scope;

	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(scope, "outer", nested_inner, arg), WEFT_OK);
	ck_assert_int_eq(weft_scope_wait(scope, weft_after_ms(5)), WEFT_ETIMEDOUT);
	weft_scope_cancel(scope);
	ck_assert_int_eq(weft_scope_wait(scope, WEFT_FOREVER), WEFT_OK);
	weft_scope_free(scope);
	return WEFT_OK;
}

START_TEST(cancel_reaches_inner_scopes)
{
	size_t woken = 0;

	ck_assert_int_eq(run(nested_main, &woken, 2), WEFT_OK);
	ck_assert_uint_eq(woken, 1);
}
END_TEST

static weft_err shielded(void *arg)
{
	bool *cleaned = arg;

	ck_assert_int_eq(weft_sleep_until(WEFT_FOREVER), WEFT_ECANCELED);
	weft_shield_begin();
	ck_assert_int_eq(weft_sleep_ms(2), WEFT_OK);
	weft_shield_end();
	ck_assert_int_eq(weft_sleep_ms(2), WEFT_ECANCELED);
	*cleaned = true;
	return WEFT_ECANCELED;
}

static weft_err shield_main(void *arg)
{
	weft_scope *scope;

	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(scope, "s", shielded, arg), WEFT_OK);
	(void)weft_yield();
	weft_scope_cancel(scope);
	ck_assert_int_eq(weft_scope_wait(scope, WEFT_FOREVER), WEFT_OK);
	weft_scope_free(scope);
	return WEFT_OK;
}

START_TEST(shield_lets_cleanup_finish)
{
	bool cleaned = false;

	ck_assert_int_eq(run(shield_main, &cleaned, 1), WEFT_OK);
	ck_assert(cleaned);
}
END_TEST

static weft_err root_error_main(void *arg)
{
	(void)arg;
	ck_assert_int_eq(weft_spawn(NULL, "failer", fail_with_detail, NULL), WEFT_OK);
	ck_assert_int_eq(weft_sleep_until(WEFT_FOREVER), WEFT_ECANCELED);
	return WEFT_OK;
}

START_TEST(root_scope_error_is_the_result_of_run)
{
	ck_assert_int_eq(run(root_error_main, NULL, 1), WEFT_EPROTO);
	ck_assert_str_eq(weft_error_detail(), "the innermost reason");
}
END_TEST

/* --- park, threads -------------------------------------------------------------------- */

/* Two that take turns; each wakes the other by its parker alone. */
struct turns {
	_Atomic(weft_parker *) parker[2];
	_Atomic int turn;
	int rounds;
};

static weft_parker *other_parker(struct turns *t, int me)
{
	weft_parker *p;

	/* seq_cst: plain test code */
	while (!(p = atomic_load_explicit(&t->parker[1 - me], memory_order_seq_cst)))
		if (weft_in_fiber())
			(void)weft_yield();
		else
			sched_yield();
	return p;
}

static void take_turns(struct turns *t, int me)
{
	weft_parker *other;

	/* seq_cst: plain test code */
	atomic_store_explicit(&t->parker[me], weft_parker_self(), memory_order_seq_cst);
	other = other_parker(t, me);
	for (int i = 0; i < t->rounds; i++) {
		/* seq_cst: plain test code */
		while (atomic_load_explicit(&t->turn, memory_order_seq_cst) != me)
			ck_assert_int_eq(weft_park(WEFT_FOREVER), WEFT_OK);
		/* seq_cst: plain test code */
		atomic_store_explicit(&t->turn, 1 - me, memory_order_seq_cst);
		weft_unpark(other);
	}
}

static void *turns_thread(void *arg)
{
	take_turns(arg, 1);
	return NULL;
}

static weft_err turns_with_thread(void *arg)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, turns_thread, arg), 0);
	take_turns(arg, 0);
	pthread_join(thread, NULL);
	return WEFT_OK;
}

START_TEST(fiber_and_thread_wake_each_other)
{
	struct turns t = { .rounds = 2000 };

	ck_assert_int_eq(run(turns_with_thread, &t, 1), WEFT_OK);
}
END_TEST

static weft_err turns_fiber(void *arg)
{
	take_turns(arg, weft_fiber_name()[0] - '0');
	return WEFT_OK;
}

static weft_err turns_main(void *arg)
{
	weft_fiber *a, *b;
	weft_err err;

	ck_assert_int_eq(weft_spawn_on(0, &a, "0", turns_fiber, arg), WEFT_OK);
	ck_assert_int_eq(
		weft_spawn_on(weft_worker_count() - 1, &b, "1", turns_fiber, arg), WEFT_OK);
	err = weft_fiber_join(a, NULL, WEFT_FOREVER);
	return err ? err : weft_fiber_join(b, NULL, WEFT_FOREVER);
}

START_TEST(no_wake_is_lost_between_two_workers)
{
	struct turns t = { .rounds = 20000 };

	ck_assert_int_eq(run(turns_main, &t, 1), WEFT_OK);
	ck_assert_int_eq(run(turns_main, &t, 2), WEFT_OK);
}
END_TEST

static weft_err note_parker(void *arg)
{
	weft_parker **slot = arg;

	*slot = weft_parker_self();
	return weft_sleep_until(WEFT_FOREVER);
}

static weft_err stale_main(void *arg)
{
	weft_parker *old = NULL;
	weft_fiber *f;
	weft_scope *scope;

	(void)arg;
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(scope, "old", note_parker, &old), WEFT_OK);
	(void)weft_yield();
	weft_scope_free(scope);
	/* the memory is somebody else's now: at worst that one wakes for nothing */
	ck_assert_int_eq(weft_spawn(&f, "new", sleep_forever, NULL), WEFT_OK);
	(void)weft_yield();
	weft_unpark(old);
	(void)weft_yield();
	ck_assert_int_eq(weft_fiber_join(f, NULL, weft_after_ms(5)), WEFT_ETIMEDOUT);
	weft_fiber_detach(f);
	return WEFT_OK;
}

START_TEST(a_late_unpark_wakes_nobody_for_good)
{
	ck_assert_int_eq(run(stale_main, NULL, 1), WEFT_OK);
}
END_TEST

static void rt_tests(TCase *tc)
{
	t_add(tc, run_returns_what_main_returns);
	t_add(tc, run_inside_a_fiber_is_refused);
	t_add(tc, run_names_the_option_that_is_out_of_range);
	t_add(tc, yield_takes_turns);
	t_add(tc, join_gives_result_and_detail);
	t_add(tc, join_times_out_and_the_handle_stays);
	t_add(tc, errno_belongs_to_the_fiber);
	t_add(tc, spawn_on_runs_there_and_nowhere_else);
	t_add(tc, sleepers_wake_in_order_of_their_deadlines);
	t_add(tc, fibers_max_refuses_more);
	t_add(tc, a_hundred_thousand_fibers_park_and_end);
	t_add(tc, scope_first_error_cancels_the_others);
	t_add(tc, cancel_reaches_inner_scopes);
	t_add(tc, shield_lets_cleanup_finish);
	t_add(tc, root_scope_error_is_the_result_of_run);
	t_add(tc, fiber_and_thread_wake_each_other);
	t_add(tc, no_wake_is_lost_between_two_workers);
	t_add(tc, a_late_unpark_wakes_nobody_for_good);
}
T_SUITE("rt", rt_tests)
