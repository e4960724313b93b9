/* SPDX-License-Identifier: MIT */
/* Cells: the rows of cell_rows.h. */
#include "cell_rows.h"
#include "crew.h"

struct value {
	_Atomic uint64_t refs;
	uint64_t number;
};

static weft_cell *cell;

static void value_ref(void *arg)
{
	struct value *value = arg;
	/* relaxed; the caller's reference keeps it */
	atomic_fetch_add_explicit(&value->refs, 1, memory_order_relaxed);
}

static void value_unref(void *arg)
{
	struct value *value = arg;
	/* acq_rel; all that others did with it comes before the free */
	if (atomic_fetch_sub_explicit(&value->refs, 1, memory_order_acq_rel) == 1)
		free(value);
}

static struct value *value_create(uint64_t number)
{
	struct value *value = malloc(sizeof *value);
	if (!value)
		bench_die("malloc");
	atomic_init(&value->refs, 1);
	value->number = number;
	return value;
}

static void store(uint64_t number)
{
	must(weft_cell_store_own(cell, value_create(number)), "weft_cell_store_own");
}

static void guarded(void *arg, unsigned nth, uint64_t n)
{
	uint64_t sum = 0;
	(void)arg, (void)nth;
	for (; n; n--) {
		sum += ((const struct value *)weft_cell_enter(cell))->number;
		weft_cell_leave(cell);
		bench_look_at(sum);
	}
}

static void full(void *arg, unsigned nth, uint64_t n)
{
	uint64_t sum = 0;
	(void)arg, (void)nth;
	for (; n; n--) {
		struct value *value = weft_cell_load(cell);
		sum += value->number;
		value_unref(value);
		bench_look_at(sum);
	}
}

static void cached(void *arg, unsigned nth, uint64_t n)
{
	uint64_t sum = 0;
	weft_cell_reader *reader = NULL;
	(void)arg, (void)nth;
	must(weft_cell_reader_create(&reader, cell), "weft_cell_reader_create");
	for (; n; n--) {
		sum += ((const struct value *)weft_cell_reader_get(reader))->number;
		bench_look_at(sum);
	}
	weft_cell_reader_free(reader);
}

static double fibers_pass(void *arg, uint64_t n)
{
	const struct cell_row *row = arg;
	return crew_fibers(row->readers, row->loads, arg, n);
}

static weft_err fibers_main(void *arg)
{
	cell_measure(arg, fibers_pass);
	return WEFT_OK;
}

int main(int argc, char **argv)
{
	struct cell_row row;
	if (argc != 2 || !cell_row_parse(&row, argv[1]))
		return cell_usage("cell");
	struct value *first = value_create(1);
	must(weft_cell_create(&cell, first, &(weft_cell_ops){ value_ref, value_unref }),
		"weft_cell_create");
	value_unref(first);
	row.loads = row.full ? full : row.cached ? cached : guarded;
	row.store = store;
	bench_usable();
	if (row.fibers)
		must_run(fibers_main, &row, row.readers);
	else
		cell_measure(&row, cell_threads_pass);
	weft_cell_free(cell);
	return 0;
}
