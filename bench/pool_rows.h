/* SPDX-License-Identifier: MIT */
#ifndef POOL_ROWS_H
#define POOL_ROWS_H

/*
 * What pool.c and peers/malloc_pool.c measure, in one place, so that both do the same. The
 * program defines, before it includes this, struct piece, whose `data` is the memory, and
 *
 *	take(piece, size)  give(piece)  trim()
 *
 * Rows, SIZE one of 64 256 1024 4096 16384 65536:
 *	pool-SIZE-1t        taking a piece and giving one back (ns), 16 of them out
 *	pool-SIZE-2t        the same in two threads at once, each with its own pieces
 *	pool-SIZE-handover  one thread takes, another gives back (ns a piece)
 *	pool-memory         resident memory (MiB) of a load like a server's, above what the
 *	                    program had before it: -peak, -idle after bursts, -trimmed, and
 *	                    -returned when malloc_trim was called as well; -asked is the most
 *	                    that was out at once, for comparison
 * The first byte of each piece is written, in pool-memory all of them.
 */
#include "bench.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>

enum {
	OUT = 16,
	RING = 256,
	LANES = 2,
	CONNECTIONS = 3000, /* of each lane, at the height of a burst */
	SURVIVORS = 60,	    /* that stay between bursts */
	BURSTS = 4,
	EXCHANGES = 20000, /* pieces replaced, of each lane and burst */
	HANDED = 8,	   /* one of so many is given back by the other lane */
};

/* --- speed ------------------------------------------------------------------------------- */

struct lane {
	pthread_t thread;
	int number;
	size_t size;
	uint64_t count;
	int64_t ns;
};

static pthread_barrier_t together;

static void *pass(void *arg)
{
	struct lane *lane = arg;
	struct piece pieces[OUT];
	bench_pin(lane->number);
	for (int i = 0; i < OUT; i++)
		take(&pieces[i], lane->size);
	for (uint64_t i = 0; i < lane->count / 10; i++) {
		give(&pieces[i % OUT]);
		take(&pieces[i % OUT], lane->size);
	}
	pthread_barrier_wait(&together);
	int64_t begin = bench_now_ns();
	for (uint64_t i = 0; i < lane->count; i++) {
		struct piece *p = &pieces[i % OUT];
		give(p);
		take(p, lane->size);
		*(unsigned char *)p->data = (unsigned char)i;
	}
	lane->ns = bench_now_ns() - begin;
	for (int i = 0; i < OUT; i++)
		give(&pieces[i]);
	return NULL;
}

static double alone_ns(size_t size, int threads)
{
	struct lane lanes[LANES];
	double ns = 0;
	pthread_barrier_init(&together, NULL, (unsigned)threads);
	for (int i = 0; i < threads; i++) {
		lanes[i] = (struct lane){ .number = i, .size = size };
		lanes[i].count = bench_count(20000000);
		if (pthread_create(&lanes[i].thread, NULL, pass, &lanes[i]))
			bench_die("pthread_create");
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(lanes[i].thread, NULL);
		ns += (double)lanes[i].ns / (double)lanes[i].count / threads;
	}
	pthread_barrier_destroy(&together);
	return ns;
}

static struct {
	_Alignas(128) _Atomic uint64_t put;
	_Alignas(128) _Atomic uint64_t got;
	_Alignas(128) struct piece pieces[RING];
} ring;

static void *take_and_put(void *arg)
{
	struct lane *lane = arg;
	uint64_t seen = 0;
	bench_pin(0);
	for (uint64_t i = 0; i < lane->count; i++) {
		while (i - seen == RING) {
			seen = atomic_load_explicit(&ring.got, memory_order_acquire);
			if (i - seen == RING)
				sched_yield();
		}
		take(&ring.pieces[i % RING], lane->size);
		*(unsigned char *)ring.pieces[i % RING].data = (unsigned char)i;
		if (i % 16 == 15 || i + 1 == lane->count)
			atomic_store_explicit(&ring.put, i + 1, memory_order_release);
	}
	return NULL;
}

static void *get_and_give(void *arg)
{
	struct lane *lane = arg;
	uint64_t seen = 0;
	bench_pin(1);
	for (uint64_t i = 0; i < lane->count; i++) {
		while (i == seen) {
			seen = atomic_load_explicit(&ring.put, memory_order_acquire);
			if (i == seen)
				sched_yield();
		}
		give(&ring.pieces[i % RING]);
		if (i % 16 == 15)
			atomic_store_explicit(&ring.got, i + 1, memory_order_release);
	}
	return NULL;
}

static double handover_ns(size_t size)
{
	struct lane lane = { .size = size, .count = bench_count(5000000) };
	pthread_t ends[2];
	int64_t begin = bench_now_ns();
	if (pthread_create(&ends[0], NULL, take_and_put, &lane) ||
		pthread_create(&ends[1], NULL, get_and_give, &lane))
		bench_die("pthread_create");
	pthread_join(ends[0], NULL);
	pthread_join(ends[1], NULL);
	return (double)(bench_now_ns() - begin) / (double)lane.count;
}

/* --- memory ------------------------------------------------------------------------------ */

struct server_lane {
	pthread_t thread;
	int number;
	uint64_t seed;
	struct piece pieces[CONNECTIONS];
	size_t sizes[CONNECTIONS]; /* 0: closed */
	struct piece handed[EXCHANGES / HANDED + CONNECTIONS];
	size_t handed_count;
};

static struct server_lane server_lanes[LANES];
static _Atomic uint64_t out_bytes, out_bytes_max;

static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* 64 B to 64 KiB, every doubling as likely; in odd bursts the lower, in even ones the upper
 * half of the doublings twice as likely. */
static size_t draw(struct server_lane *lane, int burst)
{
	uint64_t r = next(&lane->seed);
	size_t low =
		(size_t)64 << (r % 3 == 0 ? (r >> 8) % 10 : (r >> 8) % 5 + (burst & 1 ? 0 : 5));
	return low + (size_t)(r >> 32) % low;
}

static void open_one(struct server_lane *lane, size_t i, int burst)
{
	size_t size = draw(lane, burst);
	take(&lane->pieces[i], size);
	memset(lane->pieces[i].data, (int)i, size);
	lane->sizes[i] = size;
	uint64_t out = atomic_fetch_add(&out_bytes, size) + size;
	uint64_t max = atomic_load(&out_bytes_max);
	while (out > max && !atomic_compare_exchange_weak(&out_bytes_max, &max, out))
		;
}

static void close_one(struct server_lane *lane, size_t i, bool hand_over)
{
	atomic_fetch_sub(&out_bytes, lane->sizes[i]);
	lane->sizes[i] = 0;
	if (hand_over)
		lane->handed[lane->handed_count++] = lane->pieces[i];
	else
		give(&lane->pieces[i]);
}

static void *serve(void *arg)
{
	struct server_lane *lane = arg, *other = &server_lanes[1 - lane->number];
	bench_pin(lane->number);
	for (int burst = 0; burst < BURSTS; burst++) {
		for (size_t i = 0; i < CONNECTIONS; i++)
			if (!lane->sizes[i])
				open_one(lane, i, burst);
		for (int step = 0; step < EXCHANGES; step++) {
			/* on to the other lane, which frees them: in between, not at once */
			if (step % (EXCHANGES / 8) == 0) {
				pthread_barrier_wait(&together);
				while (other->handed_count)
					give(&other->handed[--other->handed_count]);
				pthread_barrier_wait(&together);
			}
			size_t i = next(&lane->seed) % CONNECTIONS;
			close_one(lane, i, step % HANDED == 0);
			open_one(lane, i, burst);
		}
		for (size_t i = 0; i < CONNECTIONS; i++)
			if (i % (CONNECTIONS / SURVIVORS))
				close_one(lane, i, false);
		pthread_barrier_wait(&together);
		while (other->handed_count)
			give(&other->handed[--other->handed_count]);
		pthread_barrier_wait(&together);
	}
	/* both stay, as workers that have nothing to do */
	pthread_barrier_wait(&together);
	pthread_barrier_wait(&together);
	return NULL;
}

static double peak_bytes(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kib = 0;
	if (!f)
		bench_die("open /proc/self/status");
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, "VmHWM:", 6))
			kib = strtol(line + 6, NULL, 10);
	fclose(f);
	return (double)kib * 1024;
}

static void report_mib(const char *row, const char *what, double bytes)
{
	char name[128];
	snprintf(name, sizeof name, "%s-%s", row, what);
	bench_report(name, bytes / (1 << 20), "MiB");
}

static void memory_row(const char *row)
{
	memset(server_lanes, 0, sizeof server_lanes);
	double before = bench_memory_bytes();
	int64_t begin = bench_now_ns();
	char speed[64];
	pthread_barrier_init(&together, NULL, LANES + 1);
	pthread_barrier_t *all = &together;
	for (int i = 0; i < LANES; i++) {
		server_lanes[i].number = i;
		server_lanes[i].seed = (uint64_t)i + 1;
		if (pthread_create(&server_lanes[i].thread, NULL, serve, &server_lanes[i]))
			bench_die("pthread_create");
	}
	/* takes part in every barrier of the lanes: 8 pairs and one pair a burst */
	for (int i = 0; i < BURSTS * 9 * 2; i++)
		pthread_barrier_wait(all);
	pthread_barrier_wait(all);
	snprintf(speed, sizeof speed, "%s-ns", row);
	bench_report(speed, (double)(bench_now_ns() - begin) / (LANES * BURSTS * (double)EXCHANGES),
		"ns");
	report_mib(row, "asked", (double)atomic_load(&out_bytes_max));
	report_mib(row, "peak", peak_bytes() - before);
	report_mib(row, "idle", bench_memory_bytes() - before);
	trim();
	report_mib(row, "trimmed", bench_memory_bytes() - before);
	malloc_trim(0);
	report_mib(row, "returned", bench_memory_bytes() - before);
	pthread_barrier_wait(all);
	for (int i = 0; i < LANES; i++)
		pthread_join(server_lanes[i].thread, NULL);
	for (int i = 0; i < LANES; i++)
		for (size_t k = 0; k < CONNECTIONS; k++)
			if (server_lanes[i].sizes[k])
				give(&server_lanes[i].pieces[k]);
}

static int pool_main(int argc, char **argv)
{
	static const size_t sizes[] = { 64, 256, 1024, 4096, 16384, 65536 };
	const char *row = argc == 2 ? argv[1] : "";
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		char name[64];
		int len = snprintf(name, sizeof name, "pool-%zu-", sizes[i]);
		if (strncmp(row, name, (size_t)len))
			continue;
		if (!strcmp(row + len, "1t"))
			bench_report(row, alone_ns(sizes[i], 1), "ns");
		else if (!strcmp(row + len, "2t"))
			bench_report(row, alone_ns(sizes[i], 2), "ns");
		else if (!strcmp(row + len, "handover"))
			bench_report(row, handover_ns(sizes[i]), "ns");
		else
			break;
		return 0;
	}
	if (!strcmp(row, "pool-memory")) {
		memory_row(row);
		return 0;
	}
	fprintf(stderr, "usage: %s pool-SIZE-1t|2t|handover, pool-memory\n", argv[0]);
	return 2;
}
#endif
