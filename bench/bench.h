/* SPDX-License-Identifier: MIT */
#ifndef BENCH_H
#define BENCH_H

/*
 * What every benchmark program here shares: `program ROW` measures one row and
 * prints `row value unit` lines, which is all that bench/run reads.
 *
 * BENCH_QUICK in the environment divides the counts by ten.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct bench_row {
	const char *name;
	void (*run)(const char *row);
};

static inline void bench_die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, errno ? strerror(errno) : "failed");
	exit(1);
}

static inline int64_t bench_now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static inline uint64_t bench_count(uint64_t full)
{
	return getenv("BENCH_QUICK") ? (full + 9) / 10 : full;
}

static inline void bench_report(const char *row, double value, const char *unit)
{
	printf("%s %.6g %s\n", row, value, unit);
	fflush(stdout);
}

/* Memory this process occupies: resident pages and the page tables over them. */
static inline double bench_memory_bytes(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long total_kib = 0;
	if (!f)
		bench_die("open /proc/self/status");
	while (fgets(line, sizeof line, f)) {
		if (!strncmp(line, "VmRSS:", 6) || !strncmp(line, "VmPTE:", 6))
			total_kib += strtol(line + 6, NULL, 10);
	}
	fclose(f);
	return (double)total_kib * 1024;
}

/* Pins the calling thread to the nth processor that the process may use, if there is one. */
static inline void bench_pin(int nth)
{
	/* as it was before any thread was pinned: a thread inherits its maker's one core */
	static cpu_set_t usable;
	cpu_set_t one;
	if (CPU_COUNT(&usable) == 0 && sched_getaffinity(0, sizeof usable, &usable))
		bench_die("sched_getaffinity");
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &usable) || nth-- > 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		pthread_setaffinity_np(pthread_self(), sizeof one, &one);
		return;
	}
}

static inline int bench_compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* Sorts samples. */
static inline double bench_median(int64_t *samples, size_t count)
{
	qsort(samples, count, sizeof *samples, bench_compare);
	return (double)samples[count / 2];
}

static inline int bench_main(int argc, char **argv, const struct bench_row *rows)
{
	if (argc == 2) {
		for (const struct bench_row *r = rows; r->name; r++) {
			if (!strcmp(r->name, argv[1])) {
				r->run(argv[1]);
				return 0;
			}
		}
	}
	fprintf(stderr, "usage: %s ROW, one of:", argv[0]);
	for (const struct bench_row *r = rows; r->name; r++)
		fprintf(stderr, " %s", r->name);
	fputc('\n', stderr);
	return 2;
}
#endif
