/* SPDX-License-Identifier: MIT */
/*
 * Runs the models of a program: PROGRAM [-v] [-q] [-r RUNS] [-s SECONDS] [NAME...]
 *
 *	-l  lists names	 -q  quick ones only  -v  prints the whole failed schedule
 *
 * A line each: name, verdict (holds, fails, unfinished), runs, events of the longest,
 * seconds. Status: 0 all hold, 1 one fails, 3 one is unfinished.
 */
#define _GNU_SOURCE
#include "checker/checker.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

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
	uint64_t runs = 0;
	int option, status = 0, found = 0;

	mc = mmap(NULL, sizeof(*mc), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mc == MAP_FAILED)
		abort();
	while ((option = getopt(argc, argv, "lqvr:s:")) != -1) {
		if (option == 'v')
			verbose = true;
		else if (option == 'q')
			quick = true;
		else if (option == 'r')
			runs = strtoull(optarg, NULL, 10);
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
		result = run_model(&models[i], verbose, runs, seconds);
		if (result && status != 1)
			status = result;
	}
	return found ? status : 2;
}
