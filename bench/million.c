/* SPDX-License-Identifier: MIT */
/*
 * A million fibers parked at once on one worker: what each costs to spawn and park,
 * what it occupies while parked, what it costs to wake and end. Needs some 8 GiB of
 * free memory. Takes a number of fibers in place of the row's name, too.
 */
#include "must.h"

struct crowd {
	size_t wanted;
	size_t parked;
	size_t ended;
	weft_parker **parkers;
	bool over; /* one worker: plain variables do */
};

static weft_err member(void *arg)
{
	struct crowd *crowd = arg;
	crowd->parkers[crowd->parked++] = weft_parker_self();
	while (!crowd->over)
		must(weft_park(WEFT_FOREVER), "weft_park");
	crowd->ended++;
	return WEFT_OK;
}

static weft_err million_main(void *arg)
{
	struct crowd *crowd = arg;
	weft_scope *scope = NULL;
	must(weft_scope_create(&scope), "weft_scope_create");
	double n = (double)crowd->wanted;
	double before = bench_memory_bytes();
	int64_t t0 = bench_now_ns();
	for (size_t i = 0; i < crowd->wanted; i++)
		must(weft_scope_spawn(scope, NULL, member, crowd), "weft_scope_spawn");
	while (crowd->parked < crowd->wanted)
		weft_yield();
	int64_t t1 = bench_now_ns();
	double after = bench_memory_bytes();
	crowd->over = true;
	int64_t t2 = bench_now_ns();
	for (size_t i = 0; i < crowd->wanted; i++)
		weft_unpark(crowd->parkers[i]);
	must(weft_scope_wait(scope, WEFT_FOREVER), "weft_scope_wait");
	int64_t t3 = bench_now_ns();
	if (crowd->ended != crowd->wanted)
		bench_die("million: fibers lost");
	bench_report("million-spawn-park", (double)(t1 - t0) / n, "ns");
	bench_report("million-memory", (after - before) / n, "bytes");
	bench_report("million-wake-end", (double)(t3 - t2) / n, "ns");
	weft_scope_free(scope);
	return WEFT_OK;
}

int main(int argc, char **argv)
{
	struct crowd crowd = { .wanted = 1000000 };
	if (argc > 1 && strtoul(argv[1], NULL, 10))
		crowd.wanted = strtoul(argv[1], NULL, 10);
	crowd.parkers = calloc(crowd.wanted, sizeof(weft_parker *));
	if (!crowd.parkers)
		bench_die("calloc");
	/* Touched now, so that the list is not counted as the fibers'. */
	memset(crowd.parkers, 1, crowd.wanted * sizeof(weft_parker *));
	must_run(million_main, &crowd, 1);
	free(crowd.parkers);
	return 0;
}
