/* SPDX-License-Identifier: MIT */
/* Workers for a program of plain threads. */
#include "support/t.h"

#include <weft/weft.h>

#include <pthread.h>
#include <string.h>

#define AGAIN 20

/* Those there are anyway: a sanitizer has one of its own, from the first thread on. */
static unsigned threads_before(void)
{
	ck_assert_int_eq(weft_start(NULL), WEFT_OK);
	ck_assert_int_eq(weft_stop(), WEFT_OK);
	return t_threads(NULL);
}

/* A thread that was joined may be in the list for a moment. */
static void threads_await(unsigned n)
{
	weft_deadline soon = weft_after_ms(10000);

	while (t_threads(NULL) > n && weft_now() < soon)
		ck_assert_int_eq(weft_sleep_ms(1), WEFT_OK);
	ck_assert_uint_le(t_threads(NULL), n);
}

static weft_err add_one(void *arg)
{
	weft_chan *chan = arg;
	int n;
	weft_err err = weft_chan_recv(chan, &n, WEFT_FOREVER);

	n++;
	return err ? err : weft_chan_send(chan, &n, WEFT_FOREVER);
}

/* Through a fiber and back. */
static void use(void)
{
	weft_fiber *fiber;
	weft_chan *chan;
	int n = 41;

	ck_assert_int_eq(weft_chan_create(&chan, sizeof(n), 1, NULL), WEFT_OK);
	ck_assert_int_eq(weft_chan_send(chan, &n, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(weft_spawn(&fiber, "adds", add_one, chan), WEFT_OK);
	ck_assert_int_eq(weft_fiber_join(fiber, NULL, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(weft_chan_recv(chan, &n, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(n, 42);
	weft_chan_unref(chan);
}

START_TEST(a_thread_starts_the_workers_and_stops_them_any_number_of_times)
{
	unsigned threads = threads_before();
	weft_run_options o = WEFT_RUN_OPTIONS_DEFAULT;
	int64_t live;

	o.workers = 3;
	for (int i = 0; i < AGAIN; i++) {
		live = t_malloc_live();
		ck_assert_int_eq(weft_start(&o), WEFT_OK);
		ck_assert_uint_eq(weft_worker_count(), 3);
		use();
		ck_assert_int_eq(weft_stop(), WEFT_OK);
		ck_assert_uint_eq(weft_worker_count(), 0);
		if (i)
			ck_assert_int_eq(t_malloc_live(), live);
	}
	threads_await(threads);
	ck_assert_int_eq(weft_start(NULL), WEFT_OK);
	use();
	ck_assert_int_eq(weft_stop(), WEFT_OK);
	threads_await(threads);
}
END_TEST

static weft_err call_both(void *arg)
{
	(void)arg;
	ck_assert_int_eq(weft_start(NULL), WEFT_EINVAL);
	ck_assert_int_eq(weft_stop(), WEFT_EINVAL);
	return WEFT_OK;
}

START_TEST(what_can_t_be_started_or_stopped_is_said)
{
	unsigned threads = threads_before();
	weft_run_options o = WEFT_RUN_OPTIONS_DEFAULT;
	weft_fiber *fiber;

	ck_assert_int_eq(weft_stop(), WEFT_EINVAL);
	o.offload_threads = 1000;
	ck_assert_int_eq(weft_start(&o), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "offload_threads"));
	threads_await(threads);
	ck_assert_int_eq(weft_stop(), WEFT_EINVAL);

	ck_assert_int_eq(weft_start(NULL), WEFT_OK);
	ck_assert_int_eq(weft_start(NULL), WEFT_EDUPLICATE);
	ck_assert_int_eq(weft_run(call_both, NULL, NULL), WEFT_EDUPLICATE);
	ck_assert_int_eq(weft_spawn(&fiber, "calls", call_both, NULL), WEFT_OK);
	ck_assert_int_eq(weft_fiber_join(fiber, NULL, WEFT_FOREVER), WEFT_OK);
	use();
	ck_assert_int_eq(weft_stop(), WEFT_OK);
	ck_assert_int_eq(weft_stop(), WEFT_EINVAL);
	ck_assert_int_eq(weft_run(call_both, NULL, NULL), WEFT_OK);
}
END_TEST

static weft_err stay(void *arg)
{
	(void)arg;
	return weft_sleep_until(WEFT_FOREVER);
}

static weft_err break_off(void *arg)
{
	(void)arg;
	return WEFT_EPROTO;
}

START_TEST(fibers_that_stay_are_cancelled_and_one_that_fails_is_told)
{
	weft_deadline soon = weft_after_ms(20000);

	ck_assert_int_eq(weft_start(NULL), WEFT_OK);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(weft_spawn(NULL, "stays", stay, NULL), WEFT_OK);
	ck_assert_int_eq(weft_stop(), WEFT_OK);
	ck_assert_int_eq((int)weft_fiber_count(), 0);

	ck_assert_int_eq(weft_start(NULL), WEFT_OK);
	ck_assert_int_eq(weft_spawn(NULL, "stays", stay, NULL), WEFT_OK);
	ck_assert_int_eq(weft_spawn(NULL, "fails", break_off, NULL), WEFT_OK);
	/* both end; what stays up are the workers and the fiber that holds them */
	while (weft_fiber_count() > 1 && weft_now() < soon)
		ck_assert_int_eq(weft_sleep_ms(1), WEFT_OK);
	ck_assert_int_eq((int)weft_fiber_count(), 1);
	ck_assert_uint_gt(weft_worker_count(), 0);
	ck_assert_int_eq(weft_stop(), WEFT_EPROTO);
	ck_assert_uint_eq(weft_worker_count(), 0);
}
END_TEST

struct racer {
	pthread_t thread;
	unsigned started;
};

static void *race(void *arg)
{
	struct racer *r = arg;

	for (int i = 0; i < AGAIN; i++) {
		weft_err err = weft_start(NULL);

		if (err) {
			T_OUGHT(err == WEFT_EDUPLICATE);
			continue;
		}
		r->started++;
		T_OUGHT(weft_worker_count() > 0);
		T_OUGHT(!weft_stop());
	}
	return NULL;
}

/* Whoever could start it stops it. */
START_TEST(of_threads_that_start_at_once_one_does)
{
	struct racer racers[4] = { { .started = 0 } };
	unsigned all = 0;

	for (size_t i = 0; i < sizeof(racers) / sizeof(*racers); i++)
		ck_assert_int_eq(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	for (size_t i = 0; i < sizeof(racers) / sizeof(*racers); i++) {
		pthread_join(racers[i].thread, NULL);
		all += racers[i].started;
	}
	ck_assert_uint_ge(all, 1);
	ck_assert_int_eq(weft_stop(), WEFT_EINVAL);
}
END_TEST

static void start_tests(TCase *tc)
{
	t_add(tc, a_thread_starts_the_workers_and_stops_them_any_number_of_times);
	t_add(tc, what_can_t_be_started_or_stopped_is_said);
	t_add(tc, fibers_that_stay_are_cancelled_and_one_that_fails_is_told);
	t_add(tc, of_threads_that_start_at_once_one_does);
}
T_SUITE("start", start_tests)
