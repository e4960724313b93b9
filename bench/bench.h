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
#include <sys/resource.h>
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

/* Processor time, user and system, of all threads of this process. */
static inline int64_t bench_cpu_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* How often a thread of the process slept, and was woken. */
static inline int64_t bench_wakes(void)
{
	struct rusage used;
	getrusage(RUSAGE_SELF, &used);
	return used.ru_nvcsw;
}

static inline uint64_t bench_count(uint64_t full)
{
	return getenv("BENCH_QUICK") ? (full + 9) / 10 : full;
}

/* Does n operations and returns the ns that they took. */
typedef double bench_pass(void *arg, uint64_t n);

static inline double bench_measured_ns(void)
{
	return getenv("BENCH_QUICK") ? 20e6 : 200e6;
}

/* ns an operation: searches the count whose pass takes a fifth of a second, up to most,
 * and returns what that pass says. */
static inline double bench_calibrated(bench_pass *pass, void *arg, uint64_t most)
{
	const double measured = bench_measured_ns();
	uint64_t count = most < 1000 ? most : 1000;
	for (;;) {
		double took = pass(arg, count), more;
		took = took < 1 ? 1 : took;
		if (took >= measured / 16 || count >= most)
			break;
		more = measured / 12 / took;
		more = (double)count * (more < 2 ? 2 : more > 16 ? 16 : more);
		count = more < (double)most ? (uint64_t)more : most;
	}
	double took = pass(arg, count);
	double full = (double)count * measured / (took < 1 ? 1 : took);
	count = full < 1 ? 1 : full < (double)most ? (uint64_t)full : most;
	return pass(arg, count) / (double)count;
}

/* For what has no end of its own, as a queue without a bound: passes of count until the
 * time is over. */
static inline double bench_repeated(bench_pass *pass, void *arg, uint64_t count)
{
	const double measured = bench_measured_ns();
	double took = 0;
	uint64_t passes = 0;
	pass(arg, count);
	for (; took < measured; passes++)
		took += pass(arg, count);
	return took / (double)(passes * count);
}

/* The compiler must believe that value is looked at, and that all memory may have changed. */
static inline void bench_look_at(uint64_t value)
{
	__asm__ __volatile__("" : : "r"(value) : "memory");
}

/* xorshift64*: the keys of map rows; the same in every program. */
static inline uint64_t bench_key(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1d;
}

static inline uint64_t bench_keys_from(uint64_t seed)
{
	return (seed * 0x9e3779b97f4a7c15) | 1;
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

/* Where the process may run: asked by the first call, which comes before any thread is
 * pinned, because a thread inherits its maker's one core. */
static inline const cpu_set_t *bench_usable(void)
{
	static cpu_set_t usable;
	if (CPU_COUNT(&usable) == 0 && sched_getaffinity(0, sizeof usable, &usable))
		bench_die("sched_getaffinity");
	return &usable;
}

/* Pins the calling thread to the nth processor that the process may use, if there is one. */
static inline void bench_pin(int nth)
{
	cpu_set_t one;
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, bench_usable()) || nth-- > 0)
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
