/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/err.h"
#include "base/mem.h"
#include "rt/fiber.h"
#include "support/t.h"

#include <weft/weft.h>

#include <errno.h>
#include <pthread.h>
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

static weft_err return_arg(void *arg)
{
	return (weft_err)(intptr_t)arg;
}

static weft_err fail_with_detail(void *arg)
{
	(void)arg;
	return err_setf(WEFT_EPROTO, "the innermost reason");
}

static weft_err sleep_forever(void *arg)
{
	(void)arg;
	return weft_sleep_until(WEFT_FOREVER);
}

/* --- tokens --------------------------------------------------------------------------- */

static void count_call(void *arg)
{
	++*(int *)arg;
}

START_TEST(token_callbacks_run_once_and_children_follow)
{
	weft_cancel *root, *child, *grandchild;
	weft_cancel_watch *w1, *w2, *w3;
	int calls = 0, gone = 0;

	ck_assert_int_eq(weft_cancel_create(&root, NULL), WEFT_OK);
	ck_assert_int_eq(weft_cancel_create(&child, root), WEFT_OK);
	ck_assert_int_eq(weft_cancel_create(&grandchild, child), WEFT_OK);
	ck_assert_int_eq(weft_cancel_watch_create(&w1, root, count_call, &calls), WEFT_OK);
	ck_assert_int_eq(weft_cancel_watch_create(&w2, grandchild, count_call, &calls), WEFT_OK);
	ck_assert_int_eq(weft_cancel_watch_create(&w3, child, count_call, &gone), WEFT_OK);
	ck_assert(!weft_cancel_watch_free(w3));
	weft_cancel_unref(child);
	weft_cancel_trigger(root, WEFT_EPROTO);
	weft_cancel_trigger(root, WEFT_EIO);
	ck_assert_int_eq(calls, 2);
	ck_assert_int_eq(gone, 0);
	ck_assert_int_eq(weft_cancel_reason(grandchild), WEFT_EPROTO);
	ck_assert(weft_cancel_watch_free(w1));
	ck_assert(weft_cancel_watch_free(w2));
	ck_assert_int_eq(weft_cancel_create(&child, root), WEFT_OK);
	ck_assert(weft_cancel_is_cancelled(child));
	weft_cancel_unref(child);
	weft_cancel_unref(grandchild);
	weft_cancel_unref(root);
}
END_TEST

START_TEST(token_tree_keeps_no_dead_children)
{
	weft_cancel *root, *child;
	int64_t live;

	ck_assert_int_eq(weft_cancel_create(&root, NULL), WEFT_OK);
	live = t_malloc_live();
	for (int i = 0; i < 1000; i++) {
		ck_assert_int_eq(weft_cancel_create(&child, root), WEFT_OK);
		weft_cancel_unref(child);
	}
	ck_assert_int_eq(t_malloc_live(), live);
	/* deep: no recursion */
	child = weft_cancel_ref(root);
	for (int i = 0; i < 100000; i++) {
		weft_cancel *next;

		ck_assert_int_eq(weft_cancel_create(&next, child), WEFT_OK);
		weft_cancel_unref(child);
		child = next;
	}
	weft_cancel_trigger(root, WEFT_OK);
	ck_assert(weft_cancel_is_cancelled(child));
	weft_cancel_unref(child);
	weft_cancel_unref(root);
}
END_TEST

static weft_err token_deadline_main(void *arg)
{
	weft_cancel *token, *far;

	(void)arg;
	ck_assert_int_eq(weft_cancel_create_deadline(&far, NULL, weft_after_ms(1000000)), WEFT_OK);
	ck_assert_int_eq(weft_cancel_create_deadline(&token, far, weft_after_ms(5)), WEFT_OK);
	ck_assert_int_eq(weft_cancel_wait(token, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(weft_cancel_reason(token), WEFT_ETIMEDOUT);
	ck_assert(!weft_cancel_is_cancelled(far));
	weft_cancel_unref(token);
	weft_cancel_unref(far);
	return WEFT_OK;
}

START_TEST(token_deadline_cancels_itself)
{
	ck_assert_int_eq(run(token_deadline_main, NULL, 1), WEFT_OK);
}
END_TEST

struct race {
	weft_cancel *token;
	_Atomic int go;
	int ran;
};

static void *race_trigger(void *arg)
{
	struct race *r = arg;

	/* seq_cst: plain test code */
	while (!atomic_load_explicit(&r->go, memory_order_seq_cst))
		;
	weft_cancel_trigger(r->token, WEFT_OK);
	return NULL;
}

START_TEST(unwatch_waits_for_a_running_callback)
{
	for (int i = 0; i < 300; i++) {
		struct race r = { 0 };
		weft_cancel_watch *watch;
		pthread_t thread;
		bool ran;

		ck_assert_int_eq(weft_cancel_create(&r.token, NULL), WEFT_OK);
		ck_assert_int_eq(
			weft_cancel_watch_create(&watch, r.token, count_call, &r.ran), WEFT_OK);
		ck_assert_int_eq(pthread_create(&thread, NULL, race_trigger, &r), 0);
		/* seq_cst: plain test code */
		atomic_store_explicit(&r.go, 1, memory_order_seq_cst);
		if (i % 2)
			sched_yield();
		ran = weft_cancel_watch_free(watch);
		ck_assert_int_eq(r.ran, ran ? 1 : 0);
		pthread_join(thread, NULL);
		weft_cancel_unref(r.token);
	}
}
END_TEST

/* --- offload, signals, dump, faults --------------------------------------------------- */

static weft_err slow_work(void *arg)
{
	struct timespec ts = { 0, 3000000 };

	nanosleep(&ts, NULL);
	++*(int *)arg;
	return WEFT_OK;
}

static weft_err offload_one(void *arg)
{
	int value = 0;

	(void)arg;
	ck_assert_int_eq(weft_offload(slow_work, &value, NULL, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(value, 1);
	ck_assert_int_eq(weft_offload(fail_with_detail, NULL, NULL, WEFT_FOREVER), WEFT_EPROTO);
	ck_assert_str_eq(weft_error_detail(), "the innermost reason");
	return WEFT_OK;
}

static weft_err offload_main(void *arg)
{
	weft_scope *scope;
	weft_err err;

	(void)arg;
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(weft_scope_spawn(scope, "o", offload_one, NULL), WEFT_OK);
	err = weft_scope_wait(scope, WEFT_FOREVER);
	weft_scope_free(scope);
	return err;
}

START_TEST(offload_runs_blocking_work_beside_fibers)
{
	ck_assert_int_eq(run(offload_main, NULL, 1), WEFT_OK);
}
END_TEST

static void abandoned(void *arg)
{
	mem_free(arg);
}

static weft_err abandon_main(void *arg)
{
	int *value = mem_calloc(1, sizeof(*value));

	(void)arg;
	ck_assert_ptr_nonnull(value);
	ck_assert_int_eq(weft_offload(slow_work, value, abandoned, WEFT_NOW), WEFT_ETIMEDOUT);
	return WEFT_OK;
}

static weft_err no_work(void *arg)
{
	(void)arg;
	return WEFT_OK;
}

static weft_err offload_without_memory(void *arg)
{
	weft_err *result = arg;
	int *value = mem_calloc(1, sizeof(*value));

	if (!value) {
		*result = WEFT_ENOMEM;
		return WEFT_OK;
	}
	*result = weft_offload(no_work, value, abandoned, WEFT_FOREVER);
	/* not abandoned: still ours */
	mem_free(value);
	return WEFT_OK;
}

START_TEST(offload_that_did_not_begin_leaves_its_argument_to_the_caller)
{
	T_EACH_FAILING_MALLOC(n) {
		int64_t live = t_malloc_live();
		weft_err result = WEFT_OK, err = run(offload_without_memory, &result, 1);

		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		ck_assert(result == WEFT_OK || (result == WEFT_ENOMEM && t_malloc_failed()));
		ck_assert_int_eq(t_malloc_live(), live);
	}
}
END_TEST

START_TEST(abandoned_offload_frees_its_own_memory)
{
	int64_t live = t_malloc_live();

	ck_assert_int_eq(run(abandon_main, NULL, 1), WEFT_OK);
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

static weft_err signal_main(void *arg)
{
	const int numbers[] = { SIGUSR1, SIGUSR2 };
	weft_signals *signals, *second = NULL;
	int number = 0;

	(void)arg;
	ck_assert_int_eq(weft_signals_create(&signals, numbers, 2), WEFT_OK);
	ck_assert_int_eq(weft_signals_create(&second, numbers, 1), WEFT_EDUPLICATE);
	ck_assert_int_eq(weft_signals_wait(signals, &number, weft_after_ms(1)), WEFT_ETIMEDOUT);
	kill(getpid(), SIGUSR2);
	ck_assert_int_eq(weft_signals_wait(signals, &number, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(number, SIGUSR2);
	kill(getpid(), SIGUSR1);
	ck_assert_int_eq(weft_signals_wait(signals, &number, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(number, SIGUSR1);
	weft_signals_free(signals);
	return WEFT_OK;
}

START_TEST(signals_are_events)
{
	int fds = t_fds_open();

	ck_assert_int_eq(run(signal_main, NULL, 2), WEFT_OK);
	ck_assert_int_eq(t_fds_open(), fds);
}
END_TEST

static weft_err refused_main(void *arg)
{
	const int libc_own = 32;
	weft_signals *signals = NULL;

	(void)arg;
	ck_assert_int_eq(weft_signals_create(&signals, &libc_own, 1), WEFT_EINVAL);
	return WEFT_OK;
}

START_TEST(a_signal_that_cannot_arrive_is_refused)
{
	ck_assert_int_eq(run(refused_main, NULL, 1), WEFT_OK);
}
END_TEST

static weft_err kill_main(void *arg)
{
	(void)arg;
	kill(getpid(), SIGSEGV);
	return WEFT_OK;
}

START_TEST(a_sent_segv_kills_as_ever)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		/* not a sanitizer's */
		signal(SIGSEGV, SIG_DFL);
		_exit(run(kill_main, NULL, 1) == WEFT_OK ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGSEGV);
}
END_TEST

static weft_err nothing(void *arg)
{
	(void)arg;
	return WEFT_OK;
}

static _Atomic bool visits_over;

/* What a plain thread may call at any time, also while a runtime begins and ends. */
static void *visit_often(void *arg)
{
	weft_worker_stats stats;
	weft_cancel *token;
	weft_err err;

	(void)arg;
	/* relaxed: only ends the loop */
	while (!atomic_load_explicit(&visits_over, memory_order_relaxed)) {
		err = weft_spawn(NULL, "visitor", nothing, NULL);
		ck_assert(err == WEFT_OK || err == WEFT_EINVAL || err == WEFT_ECANCELED);
		err = weft_worker_stats_get(weft_worker_least_loaded(), &stats);
		ck_assert(err == WEFT_OK || err == WEFT_EINVAL);
		(void)weft_fiber_count();
		weft_dump(-1);
		err = weft_cancel_create_deadline(&token, NULL, weft_after_ms(10000));
		ck_assert(err == WEFT_OK || err == WEFT_EINVAL);
		if (!err)
			weft_cancel_unref(token);
	}
	return NULL;
}

START_TEST(plain_threads_call_while_runtimes_come_and_go)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, visit_often, NULL), 0);
	for (unsigned i = 0; i < 300; i++)
		ck_assert_int_eq(run(nothing, NULL, 1 + i % 3), WEFT_OK);
	/* relaxed: only ends the loop */
	atomic_store_explicit(&visits_over, true, memory_order_relaxed);
	pthread_join(thread, NULL);
}
END_TEST

static weft_err dump_main(void *arg)
{
	int *fds = arg;

	ck_assert_int_eq(weft_spawn(NULL, "a sleeper", sleep_forever, NULL), WEFT_OK);
	(void)weft_yield();
	weft_dump(fds[1]);
	return weft_sleep_ms(5);
}

START_TEST(dump_names_every_fiber)
{
	int fds[2];
	char text[2000] = "";

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(run(dump_main, fds, 1), WEFT_OK);
	ck_assert_int_gt(read(fds[0], text, sizeof(text) - 1), 0);
	ck_assert_ptr_nonnull(strstr(text, "a sleeper"));
	ck_assert_ptr_nonnull(strstr(text, "parked"));
	ck_assert_ptr_nonnull(strstr(text, "main"));
}
END_TEST

/* Deeper than any stack; ends, as the compiler may want to see. */
static int dive(int depth)
{
	char frame[1024];
	int below;

	memset(frame, depth & 0x7f, sizeof(frame));
	if (depth == 1000000)
		return frame[3];
	below = dive(depth + 1);
	/* The frame is needed after the call: else the optimiser makes this a loop. */
	__asm__ volatile("" : : "r"(frame) : "memory");
	return below + frame[depth % 1000];
}

static weft_err recurse(void *arg)
{
	return dive((int)(intptr_t)arg) == 12345 ? WEFT_EIO : WEFT_OK;
}

static weft_err overflow_main(void *arg)
{
	weft_fiber *f;

	(void)arg;
	ck_assert_int_eq(weft_spawn(&f, "deep diver", recurse, (void *)1), WEFT_OK);
	return weft_fiber_join(f, NULL, WEFT_FOREVER);
}

START_TEST(an_overflowed_stack_is_reported_by_name)
{
	int fds[2], status;
	char text[8000] = "";
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		dup2(fds[1], 2);
		close(fds[1]);
		_exit(run(overflow_main, NULL, 1) == WEFT_OK ? 0 : 1);
	}
	close(fds[1]);
	while ((n = read(fds[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
	ck_assert_msg(strstr(text, "\"deep diver\"") != NULL, "%s", text);
}
END_TEST

START_TEST(runtime_gives_everything_back_and_survives_failing_malloc)
{
	int fds = t_fds_open();
	/* the thread's own buffer for details, made once */
	weft_err err = err_setf(WEFT_OK, "nothing");

	T_EACH_FAILING_MALLOC(n) {
		err = run(return_arg, NULL, 2);
		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		ck_assert(err == WEFT_OK || t_malloc_failed());
	}
	ck_assert_int_eq(t_fds_open(), fds);
}
END_TEST

/* --- stress --------------------------------------------------------------------------- */

#define STRESS_ROUNDS 40

static weft_err stress_leaf(void *arg)
{
	_Atomic unsigned *ended = arg;

	while (weft_yield() == WEFT_OK && weft_sleep_ns(1000) == WEFT_OK)
		;
	/* relaxed: only counted; the scope's end orders it */
	atomic_fetch_add_explicit(ended, 1, memory_order_relaxed);
	return WEFT_ECANCELED;
}

static weft_err stress_branch(void *arg)
{
	weft_scope *scope;
	unsigned workers = weft_worker_count();
	weft_err err;

	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	for (unsigned i = 0; i < 20; i++)
		if (weft_scope_spawn_on(scope, i % workers, "leaf", stress_leaf, arg) != WEFT_OK)
			break;
	/* WEFT_OK: the outer scope's end was quicker */
	err = weft_scope_wait(scope, weft_after_ns(200000));
	ck_assert(err == WEFT_ETIMEDOUT || err == WEFT_ECANCELED || err == WEFT_OK);
	weft_scope_free(scope);
	return WEFT_OK;
}

static weft_err stress_main(void *arg)
{
	weft_scope *scope;

	for (unsigned round = 0; round < STRESS_ROUNDS; round++) {
		ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
		for (unsigned i = 0; i < 8; i++)
			ck_assert_int_eq(weft_scope_spawn_on(scope, i % weft_worker_count(),
						 "branch", stress_branch, arg),
				WEFT_OK);
		if (round % 3 == 0)
			(void)weft_yield();
		else
			ck_assert_int_ne(
				weft_scope_wait(scope, weft_after_ns(round * 10000)), WEFT_EPROTO);
		weft_scope_free(scope);
	}
	/* A fiber is counted until its worker has left its stack, shortly after the join. */
	while (weft_fiber_count() > 1)
		(void)weft_yield();
	return WEFT_OK;
}

START_TEST(scopes_on_all_workers_cancel_and_join_without_loss)
{
	_Atomic unsigned ended;
	int64_t live = t_malloc_live();

	/* relaxed: before any fiber */
	atomic_store_explicit(&ended, 0, memory_order_relaxed);
	ck_assert_int_eq(run(stress_main, &ended, 3), WEFT_OK);
	/* relaxed: after every fiber */
	ck_assert_uint_gt(atomic_load_explicit(&ended, memory_order_relaxed), 0);
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

static weft_err quick_work(void *arg)
{
	++*(int *)arg;
	return WEFT_OK;
}

static weft_err abandon_often(void *arg)
{
	(void)arg;
	for (int i = 0; i < 100; i++) {
		int *value = mem_calloc(1, sizeof(*value));
		weft_err err;

		ck_assert_ptr_nonnull(value);
		err = weft_offload(quick_work, value, abandoned, weft_after_ns(i * 1000));
		ck_assert(err == WEFT_OK || err == WEFT_ETIMEDOUT);
		if (err == WEFT_OK)
			mem_free(value);
	}
	return WEFT_OK;
}

static weft_err abandon_stress_main(void *arg)
{
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(
			weft_spawn_on(i % weft_worker_count(), NULL, "a", abandon_often, arg),
			WEFT_OK);
	while (weft_fiber_count() > 1)
		ck_assert_int_eq(weft_sleep_ns(100000), WEFT_OK);
	return WEFT_OK;
}

START_TEST(offload_and_time_out_race_without_loss)
{
	int64_t live = t_malloc_live();

	ck_assert_int_eq(run(abandon_stress_main, NULL, 2), WEFT_OK);
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

static void service_tests(TCase *tc)
{
	t_add(tc, token_callbacks_run_once_and_children_follow);
	t_add(tc, token_tree_keeps_no_dead_children);
	t_add(tc, token_deadline_cancels_itself);
	t_add(tc, unwatch_waits_for_a_running_callback);
	t_add(tc, offload_runs_blocking_work_beside_fibers);
	t_add(tc, abandoned_offload_frees_its_own_memory);
	t_add(tc, offload_that_did_not_begin_leaves_its_argument_to_the_caller);
	t_add(tc, signals_are_events);
	t_add(tc, a_signal_that_cannot_arrive_is_refused);
	t_add(tc, a_sent_segv_kills_as_ever);
	t_add(tc, plain_threads_call_while_runtimes_come_and_go);
	t_add(tc, dump_names_every_fiber);
	t_add(tc, an_overflowed_stack_is_reported_by_name);
	t_add(tc, runtime_gives_everything_back_and_survives_failing_malloc);
	t_add(tc, scopes_on_all_workers_cancel_and_join_without_loss);
	t_add(tc, offload_and_time_out_race_without_loss);
}
T_SUITE("service", service_tests)
