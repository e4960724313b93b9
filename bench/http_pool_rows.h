/* SPDX-License-Identifier: MIT */
#ifndef HTTP_POOL_ROWS_H
#define HTTP_POOL_ROWS_H

/*
 * What http_pool.c and peers/lock_http_pool.c measure, in one place, so that both do the same. The
 * program defines, before it includes this:
 *
 *	hosts_open(names, n, idle)	n places with so many idle connections each
 *	checkout(name)  checkin(conn)	one that was used lately; by any thread. The clock is
 *					looked at once for both
 *
 * Row http-pool-THREADSt, THREADS 1, 4 and 16: ns for taking an idle connection and giving it back,
 * 10 hosts by turns, each thread beginning at another; the threads are there before the time
 * begins, and begin together.
 */
#include "threads.h"

enum { HOSTS = 10, IDLE = 20, OPS_MAX = 1 << 28 };

static char host_names[HOSTS][32];

static void share(void *arg, unsigned nth, uint64_t n)
{
	(void)arg;
	for (uint64_t i = 0; i < n; i++) {
		void *conn = checkout(host_names[(nth + i) % HOSTS]);
		bench_look_at((uint64_t)(uintptr_t)conn);
		checkin(conn);
	}
}

static double http_pool_pass(void *arg, uint64_t n)
{
	return bench_threads(*(const unsigned *)arg, share, NULL, n);
}

static void http_pool_row(const char *row)
{
	unsigned threads = (unsigned)strtoul(row + strlen("http-pool-"), NULL, 10);
	const char *names[HOSTS];
	for (int i = 0; i < HOSTS; i++) {
		snprintf(host_names[i], sizeof host_names[i], "http://host-%d:8080", i);
		names[i] = host_names[i];
	}
	hosts_open(names, HOSTS, IDLE);
	bench_report(row, bench_calibrated(http_pool_pass, &threads, OPS_MAX), "ns");
}

static int http_pool_main(int argc, char **argv)
{
	static const struct bench_row rows[] = {
		{ "http-pool-1t", http_pool_row },
		{ "http-pool-4t", http_pool_row },
		{ "http-pool-16t", http_pool_row },
		{ NULL, NULL },
	};
	return bench_main(argc, argv, rows);
}
#endif
