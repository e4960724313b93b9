/* SPDX-License-Identifier: MIT */
#ifndef CELL_ROWS_H
#define CELL_ROWS_H

/*
 * The rows of cells, tokens and onces for cell.c, token.c and their peers in C; ns a load, of
 * all readers together: cell-KIND[-writer|-2r]-WHERE.
 * KIND: guarded, full, cached (cell.h). Each load also reads the number that the value
 * holds. writer: a thread on another core replaces the value every 10 us. 2r: two
 * readers. WHERE, fiber or thread, is for weft only: what reads.
 */
#include "threads.h"

#include <stdbool.h>

enum { CELL_STORE_EVERY_NS = 10000, CELL_LOADS_MAX = 1 << 30 };

struct cell_row {
	const char *name;
	unsigned readers;
	bool writer, fibers, full, cached;
	bench_share *loads; /* nth reader's n loads, which it counts in no shared place */
	void (*store)(uint64_t number);
	_Atomic bool over;
};

static inline bool cell_row_parse(struct cell_row *row, const char *name)
{
	*row = (struct cell_row){ .name = name };
	row->readers = strstr(name, "-2r") ? 2 : 1;
	row->writer = strstr(name, "-writer") != NULL;
	row->fibers = strstr(name, "-fiber") != NULL;
	row->full = !strncmp(name, "cell-full-", 10);
	row->cached = !strncmp(name, "cell-cached-", 12);
	return row->full || row->cached || !strncmp(name, "cell-guarded-", 13);
}

static inline void *cell_writer(void *arg)
{
	struct cell_row *row = arg;
	int64_t next = bench_now_ns();
	bench_pin(1);
	/* relaxed; the thread is joined */
	for (uint64_t i = 1; !atomic_load_explicit(&row->over, memory_order_relaxed); i++) {
		for (next += CELL_STORE_EVERY_NS; bench_now_ns() < next;)
			;
		row->store(i);
	}
	return NULL;
}

static inline double cell_threads_pass(void *arg, uint64_t n)
{
	const struct cell_row *row = arg;
	return bench_threads(row->readers, row->loads, arg, n);
}

/* pass: what has the readers read. */
static inline void cell_measure(struct cell_row *row, bench_pass *pass)
{
	pthread_t writer;
	if (row->writer && pthread_create(&writer, NULL, cell_writer, row))
		bench_die("pthread_create");
	double ns = bench_calibrated(pass, row, CELL_LOADS_MAX);
	/* relaxed; the thread is joined */
	atomic_store_explicit(&row->over, true, memory_order_relaxed);
	if (row->writer)
		pthread_join(writer, NULL);
	bench_report(row->name, ns, "ns");
}

static inline int cell_usage(const char *program)
{
	fprintf(stderr, "usage: %s cell-guarded|full|cached[-writer|-2r]-fiber|thread\n", program);
	return 2;
}
#endif
