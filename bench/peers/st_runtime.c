/* SPDX-License-Identifier: MIT */
/* State Threads beside runtime.c. It has no public yield: the switch is the
 * cheapest hand-over it offers, signal the next thread's condition and wait. */
#include "../bench.h"

#include <st.h>

enum { BATCH = 1000 };

static size_t threads;
static uint64_t turns;
static st_cond_t *conds;

static void *relay(void *arg)
{
	size_t self = (size_t)(uintptr_t)arg;
	st_cond_t next = conds[(self + 1) % threads];
	for (uint64_t i = 0; i < turns; i++) {
		st_cond_wait(conds[self]);
		st_cond_signal(next);
	}
	return NULL;
}

static double relay_pass_ns(uint64_t count)
{
	st_thread_t *all = calloc(threads, sizeof *all);
	turns = count;
	for (size_t i = 0; i < threads; i++) {
		all[i] = st_thread_create(relay, (void *)(uintptr_t)i, 1, 0);
		if (!all[i])
			bench_die("st_thread_create");
	}
	st_usleep(0); /* every thread waits now */
	int64_t begin = bench_now_ns();
	st_cond_signal(conds[0]);
	for (size_t i = 0; i < threads; i++)
		st_thread_join(all[i], NULL);
	int64_t end = bench_now_ns();
	free(all);
	return (double)(end - begin) / ((double)count * (double)threads);
}

static void run_switch(const char *row)
{
	threads = strtoul(row + strlen("switch-"), NULL, 10);
	conds = calloc(threads, sizeof *conds);
	for (size_t i = 0; i < threads; i++)
		conds[i] = st_cond_new();
	uint64_t count = bench_count(40000000) / threads;
	relay_pass_ns(count / 10);
	bench_report(row, relay_pass_ns(count), "ns");
}

static void *nothing(void *arg)
{
	uint64_t *ended = arg;
	++*ended;
	return NULL;
}

static void join_pass(uint64_t count, size_t batch)
{
	st_thread_t all[BATCH];
	uint64_t ended = 0;
	for (uint64_t n = 0; n < count; n += batch) {
		for (size_t i = 0; i < batch; i++) {
			all[i] = st_thread_create(nothing, &ended, 1, 0);
			if (!all[i])
				bench_die("st_thread_create");
		}
		for (size_t i = 0; i < batch; i++)
			st_thread_join(all[i], NULL);
	}
	if (ended != count)
		bench_die("threads lost");
}

static void run_spawn(const char *row)
{
	size_t batch = strcmp(row, "spawn-batch") ? 1 : BATCH;
	uint64_t count = bench_count(2000000);
	join_pass(count / 10, batch);
	int64_t begin = bench_now_ns();
	join_pass(count, batch);
	bench_report(row, (double)(bench_now_ns() - begin) / (double)count, "ns");
}

static void *parked(void *arg)
{
	st_cond_wait(arg);
	return NULL;
}

static void run_memory(const char *row)
{
	const size_t count = 100000;
	st_cond_t never = st_cond_new();
	double before = bench_memory_bytes();
	for (size_t i = 0; i < count; i++) {
		if (!st_thread_create(parked, never, 0, 0))
			bench_die("st_thread_create");
	}
	st_usleep(0);
	bench_report(row, (bench_memory_bytes() - before) / (double)count, "bytes");
	exit(0);
}

int main(int argc, char **argv)
{
	static const struct bench_row rows[] = {
		{ "switch-2", run_switch },
		{ "switch-1000", run_switch },
		{ "spawn-join", run_spawn },
		{ "spawn-batch", run_spawn },
		{ "memory-parked", run_memory },
		{ NULL, NULL },
	};
	st_set_eventsys(ST_EVENTSYS_ALT);
	if (st_init())
		bench_die("st_init");
	return bench_main(argc, argv, rows);
}
