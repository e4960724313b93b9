/* SPDX-License-Identifier: MIT */
/*
 * Runs the models of a program: PROGRAM [-v] [-q] [-r RUNS] [-s SECONDS] [-c SEEDS] [NAME...]
 *
 *	-c  compares the outcomes with those of a search without reduction
 *	-l  lists names	 -q  quick ones only  -v  prints the whole failed schedule
 *
 * A line each: name, verdict (holds, fails, unfinished), runs, events of the longest,
 * seconds. Status: 0 all hold, 1 one fails, 3 one is unfinished.
 */
#include "checker/checker.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define COMPARE_RUNS 20000 /* of a program without reduction; larger ones are left out */

struct checker *mc;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int run_model(const struct model *model, bool verbose, uint64_t runs, double seconds)
{
	double start = now();
	bool finished;

	mc->runs = mc->runs_slept = mc->runs_spun = mc->events_n = 0;
	mc->depth_max = 0;
	mc->failed = false;
	finished = explore(model, runs, seconds);
	printf("%-28s %-10s %10lu runs %4d deep %7.2f s  %s\n", model->name,
		mc->failed	   ? "fails"
			: finished ? "holds"
				   : "unfinished",
		(unsigned long)mc->runs, mc->depth_max, now() - start, model->what);
	if (verbose)
		printf("  of these %lu cut by sleep sets, %lu by spins; %lu events\n",
			(unsigned long)mc->runs_slept, (unsigned long)mc->runs_spun,
			(unsigned long)mc->events_n);
	if (mc->failed)
		report_failure(stdout, verbose);
	fflush(stdout);
	return mc->failed ? 1 : finished ? 0 : 3;
}

uint64_t model_seed(void)
{
	return mc->seed;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The outcomes of the program with this seed; 0: too many runs, or it failed. */
static size_t outcomes_of(const struct model *model, bool full, uint64_t *outcomes)
{
	bool finished;

	mc->full = full;
	mc->collect = true;
	mc->failed = false;
	mc->runs = mc->outcomes_n = 0;
	finished = explore(model, COMPARE_RUNS, 1e9) && !mc->failed;
	if (mc->failed)
		report_failure(stdout, false);
	qsort(mc->outcomes, mc->outcomes_n, sizeof(mc->outcomes[0]), by_value);
	memcpy(outcomes, mc->outcomes, mc->outcomes_n * sizeof(mc->outcomes[0]));
	return finished ? mc->outcomes_n : 0;
}

/* Programs by seed, each with and without reduction: the outcomes must be the same. */
static int compare(const struct model *model, uint64_t seeds)
{
	uint64_t *with = mc->compared[0], *without = mc->compared[1];
	uint64_t compared = 0, runs = 0, runs_full = 0;
	double start = now();

	for (mc->seed = 1; mc->seed <= seeds; mc->seed++) {
		size_t full = outcomes_of(model, true, without), n;

		if (full == 0)
			continue;
		runs_full += mc->runs;
		n = outcomes_of(model, false, with);
		runs += mc->runs;
		compared++;
		if (n != full || memcmp(with, without, n * sizeof(with[0])) != 0) {
			printf("%-28s fails: seed %lu: %zu outcomes, not %zu\n", model->name,
				(unsigned long)mc->seed, n, full);
			return 1;
		}
	}
	printf("%-28s %-10s %10lu runs            %7.2f s  %lu programs: same outcomes as by "
	       "%lu runs of all schedules\n",
		model->name, "holds", (unsigned long)runs, now() - start, (unsigned long)compared,
		(unsigned long)runs_full);
	return compared ? 0 : 1;
}

static bool is_named(const char *name, char **names, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return count == 0;
}

int main(int argc, char **argv)
{
	bool verbose = false, quick = false, list = false;
	double seconds = 1e9;
	uint64_t runs = 0, seeds = 0;
	int option, status = 0, found = 0;

	mc = mmap(NULL, sizeof(*mc), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mc == MAP_FAILED)
		abort();
	while ((option = getopt(argc, argv, "lqvr:s:c:")) != -1) {
		if (option == 'v')
			verbose = true;
		else if (option == 'q')
			quick = true;
		else if (option == 'r')
			runs = strtoull(optarg, NULL, 10);
		else if (option == 'c')
			seeds = strtoull(optarg, NULL, 10);
		else if (option == 's')
			seconds = strtod(optarg, NULL);
		else if (option == 'l')
			list = true;
		else
			return 2;
	}
	for (size_t i = 0; list && i < models_count; i++)
		if (!quick || models[i].quick)
			printf("%s\n", models[i].name);
	if (list)
		return 0;
	world_make();
	for (size_t i = 0; i < models_count; i++) {
		int result;

		if (!is_named(models[i].name, argv + optind, argc - optind) ||
			(quick && !models[i].quick))
			continue;
		found++;
		result = seeds ? compare(&models[i], seeds)
			       : run_model(&models[i], verbose, runs, seconds);
		if (result && status != 1)
			status = result;
	}
	return found ? status : 2;
}
