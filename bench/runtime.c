/* SPDX-License-Identifier: MIT */
/*
 * The runtime on one worker: switches through the scheduler, spawning and ending,
 * memory of a parked fiber. All fibers share one worker, so plain variables do.
 */
#include "must.h"

enum { PARKED_COUNT = 100000, BATCH = 1000 };

struct plan {
	const char *row;
	size_t fibers;
	uint64_t yields; /* a fiber */
};

static weft_err yielder(void *arg)
{
	const struct plan *plan = arg;
	for (uint64_t i = 0; i < plan->yields; i++)
		weft_yield();
	return WEFT_OK;
}

static double switch_pass_ns(struct plan *plan)
{
	weft_scope *scope = NULL;
	must(weft_scope_create(&scope), "weft_scope_create");
	int64_t begin = bench_now_ns();
	for (size_t i = 0; i < plan->fibers; i++)
		must(weft_scope_spawn(scope, NULL, yielder, plan), "weft_scope_spawn");
	must(weft_scope_wait(scope, WEFT_FOREVER), "weft_scope_wait");
	int64_t end = bench_now_ns();
	weft_scope_free(scope);
	return (double)(end - begin) / ((double)plan->yields * (double)plan->fibers);
}

static weft_err switch_main(void *arg)
{
	struct plan *plan = arg;
	uint64_t yields = plan->yields;
	plan->yields = yields / 10;
	switch_pass_ns(plan);
	plan->yields = yields;
	bench_report(plan->row, switch_pass_ns(plan), "ns");
	return WEFT_OK;
}

static void run_switch(const char *row)
{
	struct plan plan = { .row = row };
	plan.fibers = strtoul(row + strlen("switch-"), NULL, 10);
	plan.yields = bench_count(40000000) / plan.fibers;
	must_run(switch_main, &plan, 1);
}

static weft_err nothing(void *arg)
{
	uint64_t *ended = arg;
	++*ended;
	return WEFT_OK;
}

static void join_pass(uint64_t count)
{
	uint64_t ended = 0;
	for (uint64_t i = 0; i < count; i++) {
		weft_fiber *fiber = NULL;
		must(weft_spawn(&fiber, NULL, nothing, &ended), "weft_spawn");
		must(weft_fiber_join(fiber, NULL, WEFT_FOREVER), "weft_fiber_join");
	}
	if (ended != count)
		bench_die("spawn-join: fibers lost");
}

static weft_err join_main(void *arg)
{
	uint64_t count = bench_count(2000000);
	join_pass(count / 10);
	int64_t begin = bench_now_ns();
	join_pass(count);
	bench_report(arg, (double)(bench_now_ns() - begin) / (double)count, "ns");
	return WEFT_OK;
}

static void run_spawn_join(const char *row)
{
	must_run(join_main, (void *)(uintptr_t)row, 1);
}

static void batch_pass(uint64_t batches)
{
	uint64_t ended = 0;
	weft_scope *scope = NULL;
	must(weft_scope_create(&scope), "weft_scope_create");
	for (uint64_t b = 0; b < batches; b++) {
		for (int i = 0; i < BATCH; i++)
			must(weft_scope_spawn(scope, NULL, nothing, &ended), "weft_scope_spawn");
		must(weft_scope_wait(scope, WEFT_FOREVER), "weft_scope_wait");
	}
	weft_scope_free(scope);
	if (ended != batches * BATCH)
		bench_die("spawn-batch: fibers lost");
}

static weft_err batch_main(void *arg)
{
	uint64_t batches = bench_count(2000);
	batch_pass(batches / 10);
	int64_t begin = bench_now_ns();
	batch_pass(batches);
	bench_report(arg, (double)(bench_now_ns() - begin) / (double)(batches * BATCH), "ns");
	return WEFT_OK;
}

static void run_spawn_batch(const char *row)
{
	must_run(batch_main, (void *)(uintptr_t)row, 1);
}

static weft_err parked(void *arg)
{
	size_t *count = arg;
	++*count;
	while (weft_park(WEFT_FOREVER) == WEFT_OK)
		;
	return WEFT_OK;
}

static weft_err memory_main(void *arg)
{
	size_t count = 0;
	weft_scope *scope = NULL;
	must(weft_scope_create(&scope), "weft_scope_create");
	double before = bench_memory_bytes();
	for (int i = 0; i < PARKED_COUNT; i++)
		must(weft_scope_spawn(scope, NULL, parked, &count), "weft_scope_spawn");
	while (count < PARKED_COUNT)
		weft_yield();
	bench_report(arg, (bench_memory_bytes() - before) / PARKED_COUNT, "bytes");
	weft_scope_free(scope);
	return WEFT_OK;
}

static void run_memory(const char *row)
{
	must_run(memory_main, (void *)(uintptr_t)row, 1);
}

int main(int argc, char **argv)
{
	static const struct bench_row rows[] = {
		{ "switch-2", run_switch },
		{ "switch-1000", run_switch },
		{ "spawn-join", run_spawn_join },
		{ "spawn-batch", run_spawn_batch },
		{ "memory-parked", run_memory },
		{ NULL, NULL },
	};
	return bench_main(argc, argv, rows);
}
