/* SPDX-License-Identifier: MIT */
#ifndef MAP_ROWS_H
#define MAP_ROWS_H

/*
 * The rows of maps, for map.c and its peers in C: map-MIX-SIZE-THREADS, as map-95-1Mi-2t;
 * ns an operation, of all threads together. SIZE: 1Ki or 1Mi entries, which are there before
 * and which each operation picks one of, all equally often. MIX: 100, 95 and 50 of a hundred
 * operations read a value, the others replace one; churn: half of them read, the others
 * take an entry out and put one in, in turn, of as many more keys.
 * Integer keys, spread over all 64 bits; a value is 8 bytes.
 *
 * The includer has map_get, map_set and map_remove.
 */
#include "threads.h"

#include <stdbool.h>

struct map_row {
	const char *name;
	uint64_t size; /* a power of two */
	unsigned read_percent, threads;
	bool churn;
};

static uint64_t map_get(void *map, uint64_t key); /* 0: not there */
static void map_set(void *map, uint64_t key, uint64_t value);
static void map_remove(void *map, uint64_t key);

/* Different for different indices, never 0. */
static inline uint64_t map_key(uint64_t index)
{
	return (index + 1) * 0x9e3779b97f4a7c15;
}

static inline bool map_row_parse(struct map_row *row, const char *name)
{
	char mix[16], size[16];
	if (sscanf(name, "map-%15[^-]-%15[^-]-%ut", mix, size, &row->threads) != 3)
		return false;
	row->name = name;
	row->churn = !strcmp(mix, "churn");
	row->read_percent = row->churn ? 50 : (unsigned)strtoul(mix, NULL, 10);
	row->size = !strcmp(size, "1Mi") ? 1 << 20 : !strcmp(size, "1Ki") ? 1 << 10 : 0;
	return row->read_percent && row->size && row->threads && row->threads <= BENCH_THREADS_MAX;
}

static inline void map_fill(void *map, const struct map_row *row)
{
	for (uint64_t i = 0; i < row->size; i++)
		map_set(map, map_key(i), i + 1);
}

/* ops operations; of a churning row the keys above size are this thread's own. */
static inline void map_work(void *map, const struct map_row *row, unsigned nth, uint64_t ops)
{
	uint64_t keys = bench_keys_from(nth + 1), sum = 0, own = 0;
	uint64_t first = row->size * (nth + 1);
	for (uint64_t i = 0; i < ops; i++) {
		uint64_t random = bench_key(&keys);
		uint64_t index = random & (row->size - 1);
		if (((random >> 32) * 100) >> 32 < row->read_percent)
			sum += map_get(map, map_key(index));
		else if (!row->churn)
			map_set(map, map_key(index), i + 1);
		else if (own++ & 1)
			map_remove(map, map_key(first + (own / 2 - 1) % row->size));
		else
			map_set(map, map_key(first + own / 2 % row->size), i + 1);
	}
	if (own & 1)
		map_remove(map, map_key(first + own / 2 % row->size));
	bench_look_at(sum);
	if (row->read_percent == 100 && ops && !sum)
		bench_die("map: nothing was read");
}

/* ns an operation of the row, by plain threads. */
struct map_load {
	const struct map_row *row;
	void *map;
};

static inline void map_share(void *arg, unsigned nth, uint64_t ops)
{
	const struct map_load *load = arg;
	map_work(load->map, load->row, nth, ops);
}

static inline double map_threads_pass(void *arg, uint64_t ops)
{
	const struct map_load *load = arg;
	return bench_threads(load->row->threads, map_share, arg, ops);
}

enum { MAP_OPS_MAX = 1 << 28 };

static inline int map_threads_main(void *map, const struct map_row *row)
{
	struct map_load load = { .row = row, .map = map };
	map_fill(map, row);
	bench_report(row->name, bench_calibrated(map_threads_pass, &load, MAP_OPS_MAX), "ns");
	return 0;
}

static inline int map_usage(const char *program)
{
	fprintf(stderr, "usage: %s map-100|95|50|churn-1Ki|1Mi-Nt\n", program);
	return 2;
}
#endif
