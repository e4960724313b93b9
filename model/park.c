/* SPDX-License-Identifier: MIT */
/*
 * Parking: the word of a parker (park.c), a worker's inbox and its sleep (worker.c), with the
 * kernel's futex and eventfd as objects.
 *
 * Held: who parks after it found its condition false is woken by who makes it true and then
 * unparks; what was written before the unpark is seen; a message that was injected is run; a
 * fiber is made runnable once for each park.
 */
#include "model.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

static long model_syscall(long number, ...)
{
	va_list args;
	uint32_t *word, value;
	const void *until;
	int op, rc;

	va_start(args, number);
	word = va_arg(args, uint32_t *);
	op = va_arg(args, int);
	value = va_arg(args, uint32_t);
	until = va_arg(args, const void *);
	va_end(args);
	MODEL_CHECK(number == SYS_futex);
	if (op == FUTEX_WAKE_PRIVATE) {
		model_futex_wake(word, (int)value, __builtin_return_address(0));
		return 0;
	}
	rc = model_futex_wait(word, value, until != NULL, __builtin_return_address(0));
	errno = rc;
	return rc ? -1 : 0;
}

static void fiber_switch(void **save, void *load);

#define syscall model_syscall
#define rt_switch fiber_switch
#include "rt/park.c"
/* its statics of the same names are others */
#define enter worker_enter
#include "rt/worker.c"

#define MAYBE 1

static struct rt_worker worker;
static struct rt_runtime runtime;
static struct rt_fiber fiber;
static weft_cancel token;
static struct weft_parker plain; /* a thread's */
static uint32_t eventfd_word[2];
static _Atomic unsigned flags[2];
static unsigned data;
static unsigned switches;
static int errno_word;

/* --- what the two sources call ----------------------------------------------------------- */

static int64_t io_now(struct io *io)
{
	(void)io;
	return 0;
}

static int io_wait(struct io *io, int64_t until)
{
	(void)io;
	(void)until;
	(void)model_park(eventfd_word, false, __builtin_return_address(0));
	return 0;
}

static void io_wake(struct io *io)
{
	(void)io;
	model_unpark(eventfd_word, __builtin_return_address(0));
}

static bool io_has_work(struct io *io)
{
	(void)io;
	return false;
}

static const struct io_ops ops = {
	.now = io_now, .wait = io_wait, .wake = io_wake, .has_work = io_has_work
};
static struct io io = { &ops };

int64_t rt_timers_next(struct rt_worker *w)
{
	(void)w;
	return INT64_MAX;
}

void rt_timer_disarm(struct rt_timer *timer)
{
	(void)timer;
}

bool reclaim_offline(int64_t *until)
{
	(void)until;
	return true;
}

void reclaim_online(void) {}

_Thread_local struct reclaim_self reclaim_self;

/* The loop, from the fiber's leave until it is its turn again. */
static void fiber_switch(void **save, void *load)
{
	struct rt_fiber *next;

	(void)save;
	(void)load;
	switches++;
	while (!worker.run_head) {
		inbox_drain(&worker);
		if (!worker.run_head)
			poll_or_sleep(&worker);
	}
	next = take_first(&worker);
	MODEL_CHECK(next == &fiber);
	MODEL_CHECK(!worker.run_head); /* queued once */
	worker_enter(&worker, next);
}

/* --- a thread ----------------------------------------------------------------------------- */

static void thread_gets_data(void)
{
	MODEL_CHECK(thread_park(&plain, WEFT_FOREVER) == WEFT_OK);
	MODEL_CHECK(data == 7);
}

static void unpark_data(void)
{
	data = 7;
	weft_unpark(&plain);
}

static void flag_set(unsigned i)
{
	/* relaxed: the park orders it */
	atomic_store_explicit(&flags[i], 1, memory_order_relaxed);
}

static bool flag_is_set(unsigned i)
{
	/* relaxed: the park orders it */
	return atomic_load_explicit(&flags[i], memory_order_relaxed);
}

static void thread_waits_for_two(void)
{
	while (!flag_is_set(0))
		MODEL_CHECK(thread_park(&plain, WEFT_FOREVER) == WEFT_OK);
	while (!flag_is_set(1))
		MODEL_CHECK(thread_park(&plain, WEFT_FOREVER) == WEFT_OK);
}

static void unpark_flag_0(void)
{
	flag_set(0);
	weft_unpark(&plain);
}

static void unpark_flag_1(void)
{
	flag_set(1);
	weft_unpark(&plain);
}

/* A wake that the first park did not take is there for the second. */
static void thread_parks_twice(void)
{
	weft_err err = thread_park(&plain, MAYBE);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_ETIMEDOUT);
	if (err != WEFT_OK)
		MODEL_CHECK(thread_park(&plain, WEFT_FOREVER) == WEFT_OK);
	MODEL_CHECK(data == 7);
}

/* --- a fiber, and its worker -------------------------------------------------------------- */

static void worker_setup(void)
{
	model_per_thread(&rt_tls, sizeof(rt_tls));
	worker.errno_at = &errno_word;
	worker.io = &io;
	worker.runtime = &runtime;
	runtime.workers = &worker;
	runtime.workers_len = 1;
	/* relaxed: before the threads */
	atomic_store_explicit(&worker.dump_fd, -1, memory_order_relaxed);
	fiber.parker.is_fiber = true;
	fiber.worker = &worker;
	fiber.token = &token;
}

static void fiber_begin(void)
{
	rt_tls = &worker;
	worker.current = &fiber;
	worker.budget = 0;
}

static void fiber_waits_for_two(void)
{
	fiber_begin();
	while (!flag_is_set(0))
		MODEL_CHECK(fiber_park(&fiber, WEFT_FOREVER, "model") == WEFT_OK);
	while (!flag_is_set(1))
		MODEL_CHECK(fiber_park(&fiber, WEFT_FOREVER, "model") == WEFT_OK);
}

static void fiber_gets_data(void)
{
	fiber_begin();
	MODEL_CHECK(fiber_park(&fiber, WEFT_FOREVER, "model") == WEFT_OK);
	MODEL_CHECK(data == 7);
}

static void fiber_unpark_data(void)
{
	data = 7;
	weft_unpark(&fiber.parker);
}

static void fiber_unpark_0(void)
{
	flag_set(0);
	weft_unpark(&fiber.parker);
}

static void fiber_unpark_1(void)
{
	flag_set(1);
	weft_unpark(&fiber.parker);
}

static unsigned ran;
static struct rt_inject injects[2];
static unsigned said[2];

static void on_run(struct rt_worker *w, struct rt_inject *inject)
{
	MODEL_CHECK(w == &worker);
	MODEL_CHECK(said[inject - injects] == 5);
	ran++;
}

static void inject(unsigned i)
{
	said[i] = 5;
	injects[i].run = on_run;
	rt_inject(&worker, &injects[i]);
}

static void inject_0(void)
{
	inject(0);
}

static void inject_1(void)
{
	inject(1);
}

static void worker_runs(unsigned messages)
{
	rt_tls = &worker;
	while (ran < messages) {
		inbox_drain(&worker);
		if (ran < messages)
			poll_or_sleep(&worker);
	}
	MODEL_CHECK(ran == messages);
}

static void worker_runs_2(void)
{
	worker_runs(2);
}

const struct model models[] = {
	Q("thread-data", "a thread, one waker", NULL, { thread_gets_data, unpark_data }),
	Q("thread-two", "a thread, two wakers", NULL,
		{ thread_waits_for_two, unpark_flag_0, unpark_flag_1 }),
	Q("thread-timeout", "a thread whose time may be up", NULL,
		{ thread_parks_twice, unpark_data }),
	Q("fiber-data", "a fiber, one waker", worker_setup, { fiber_gets_data, fiber_unpark_data }),
	Q("fiber-two", "a fiber, two wakers", worker_setup,
		{ fiber_waits_for_two, fiber_unpark_0, fiber_unpark_1 }),
	Q("inbox-two", "two messages for a worker that sleeps", worker_setup,
		{ worker_runs_2, inject_0, inject_1 }),
};
const size_t models_count = sizeof(models) / sizeof(models[0]);
