/* SPDX-License-Identifier: MIT */
/*
 * Waking across workers, one way: two fibers on two workers, or a fiber and a plain
 * thread, hand a turn to and fro with weft_unpark and weft_park. "hot": as fast as
 * they can. "asleep": the waker waits 300 us first, so that the other worker sleeps in
 * the kernel, and the row is the median time from before the unpark to running.
 */
#include "must.h"

#include <stdatomic.h>

enum { ASLEEP_PAUSE_NS = 300000, WAKER = 0, WOKEN = 1 };

struct table {
	const char *row;
	uint64_t rounds;
	bool asleep;
	_Atomic(weft_parker *) parkers[2];
	_Atomic uint64_t turn; /* even: the waker's; odd: the woken's */
	int64_t sent_ns;       /* owner: whose turn it is */
	int64_t *samples;      /* asleep only */
	int64_t begin_ns, end_ns;
};

static void wait_for_turn(struct table *t, uint64_t turn)
{
	/* acquire; pairs with the release in give_turn: publishes sent_ns */
	while (atomic_load_explicit(&t->turn, memory_order_acquire) != turn)
		must(weft_park(WEFT_FOREVER), "weft_park");
}

static void give_turn(struct table *t, int to, uint64_t turn)
{
	/* release; pairs with the acquire in wait_for_turn */
	atomic_store_explicit(&t->turn, turn, memory_order_release);
	/* acquire; pairs with the release in sit_down */
	weft_unpark(atomic_load_explicit(&t->parkers[to], memory_order_acquire));
}

static void sit_down(struct table *t, int self)
{
	/* release; pairs with the acquires that read it: publishes the parker */
	atomic_store_explicit(&t->parkers[self], weft_parker_self(), memory_order_release);
	while (!atomic_load_explicit(&t->parkers[!self], memory_order_acquire)) {
		if (weft_in_fiber())
			weft_yield();
	}
}

static weft_err waker(void *arg)
{
	struct table *t = arg;
	sit_down(t, WAKER);
	uint64_t warm = t->rounds / 10;
	for (uint64_t i = 0; i < warm + t->rounds; i++) {
		if (i == warm)
			t->begin_ns = bench_now_ns();
		if (t->asleep) {
			int64_t until = bench_now_ns() + ASLEEP_PAUSE_NS;
			while (bench_now_ns() < until)
				;
			t->sent_ns = bench_now_ns();
		}
		give_turn(t, WOKEN, 2 * i + 1);
		wait_for_turn(t, 2 * i + 2);
	}
	t->end_ns = bench_now_ns();
	return WEFT_OK;
}

static weft_err woken(void *arg)
{
	struct table *t = arg;
	sit_down(t, WOKEN);
	uint64_t warm = t->rounds / 10;
	for (uint64_t i = 0; i < warm + t->rounds; i++) {
		wait_for_turn(t, 2 * i + 1);
		if (t->asleep && i >= warm)
			t->samples[i - warm] = bench_now_ns() - t->sent_ns;
		give_turn(t, WAKER, 2 * i + 2);
	}
	return WEFT_OK;
}

static void *woken_thread(void *arg)
{
	bench_pin(1);
	must(woken(arg), "woken");
	return NULL;
}

static void report(struct table *t)
{
	double ns = t->asleep ? bench_median(t->samples, t->rounds)
			      : (double)(t->end_ns - t->begin_ns) / (double)(2 * t->rounds);
	bench_report(t->row, ns, "ns");
	free(t->samples);
}

static void lay(struct table *t, const char *row)
{
	t->row = row;
	t->asleep = strstr(row, "asleep") != NULL;
	t->rounds = bench_count(t->asleep ? 3000 : 200000);
	t->samples = calloc(t->rounds, sizeof *t->samples);
	if (!t->samples)
		bench_die("calloc");
}

static weft_err fibers_main(void *arg)
{
	weft_fiber *fiber = NULL;
	must(weft_spawn_on(1, &fiber, "woken", woken, arg), "weft_spawn_on");
	must(waker(arg), "waker");
	must(weft_fiber_join(fiber, NULL, WEFT_FOREVER), "weft_fiber_join");
	return WEFT_OK;
}

static void run_fibers(const char *row)
{
	struct table t = { 0 };
	lay(&t, row);
	must_run(fibers_main, &t, 2);
	report(&t);
}

static void run_thread(const char *row)
{
	struct table t = { 0 };
	pthread_t thread;
	lay(&t, row);
	if (pthread_create(&thread, NULL, woken_thread, &t))
		bench_die("pthread_create");
	must_run(waker, &t, 1);
	pthread_join(thread, NULL);
	report(&t);
}

struct ends {
	weft_chan *there, *back;
	uint64_t rounds;
};

static weft_err echo_chan(void *arg)
{
	struct ends *e = arg;
	uint64_t v;
	while (weft_chan_recv(e->there, &v, WEFT_FOREVER) == WEFT_OK)
		must(weft_chan_send(e->back, &v, WEFT_FOREVER), "weft_chan_send");
	return WEFT_OK;
}

static void chan_pass(struct ends *e, uint64_t rounds)
{
	for (uint64_t i = 0, v; i < rounds; i++) {
		must(weft_chan_send(e->there, &i, WEFT_FOREVER), "weft_chan_send");
		must(weft_chan_recv(e->back, &v, WEFT_FOREVER), "weft_chan_recv");
		if (v != i)
			bench_die("chan-hot: a message was lost");
	}
}

static weft_err chan_main(void *arg)
{
	struct ends e = { .rounds = bench_count(200000) };
	weft_fiber *fiber = NULL;
	must(weft_chan_create(&e.there, sizeof(uint64_t), 1, NULL), "weft_chan_create");
	must(weft_chan_create(&e.back, sizeof(uint64_t), 1, NULL), "weft_chan_create");
	must(weft_spawn_on(1, &fiber, "echo", echo_chan, &e), "weft_spawn_on");
	chan_pass(&e, e.rounds / 10);
	int64_t begin = bench_now_ns();
	chan_pass(&e, e.rounds);
	bench_report(arg, (double)(bench_now_ns() - begin) / (double)(2 * e.rounds), "ns");
	weft_chan_close(e.there);
	must(weft_fiber_join(fiber, NULL, WEFT_FOREVER), "weft_fiber_join");
	weft_chan_unref(e.there);
	weft_chan_unref(e.back);
	return WEFT_OK;
}

static void run_chan(const char *row)
{
	must_run(chan_main, (void *)(uintptr_t)row, 2);
}

int main(int argc, char **argv)
{
	static const struct bench_row rows[] = {
		{ "fibers-hot", run_fibers },
		{ "fibers-asleep", run_fibers },
		{ "thread-hot", run_thread },
		{ "thread-asleep", run_thread },
		{ "chan-hot", run_chan },
		{ NULL, NULL },
	};
	return bench_main(argc, argv, rows);
}
