/* SPDX-License-Identifier: MIT */
/* Maps of integers: the rows of map_rows.h by plain threads or, as "map fibers ROW", by a
 * fiber on each of as many workers. */
#include "crew.h"
#include "map_rows.h"

static uint64_t map_get(void *map, uint64_t key)
{
	uint64_t value = 0;
	weft_map_get(map, weft_map_int(key), &value);
	return value;
}

static void map_set(void *map, uint64_t key, uint64_t value)
{
	must(weft_map_set(map, weft_map_int(key), value), "weft_map_set");
}

static void map_remove(void *map, uint64_t key)
{
	if (!weft_map_remove(map, weft_map_int(key), NULL))
		bench_die("weft_map_remove");
}

static double fibers_pass(void *arg, uint64_t ops)
{
	const struct map_load *load = arg;
	return crew_fibers(load->row->threads, map_share, arg, ops);
}

static weft_err fibers_main(void *arg)
{
	struct map_load *load = arg;
	map_fill(load->map, load->row);
	bench_report(load->row->name, bench_calibrated(fibers_pass, load, MAP_OPS_MAX), "ns");
	return WEFT_OK;
}

int main(int argc, char **argv)
{
	struct map_row row;
	weft_map *map = NULL;
	bool fibers = argc == 3 && !strcmp(argv[1], "fibers");
	if ((argc != 2 && !fibers) || !map_row_parse(&row, argv[argc - 1]))
		return map_usage("map [fibers]");
	must(weft_map_create(&map, NULL), "weft_map_create");
	if (fibers) {
		struct map_load load = { .row = &row, .map = map };
		must_run(fibers_main, &load, row.threads);
	} else {
		map_threads_main(map, &row);
	}
	weft_map_free(map);
	return 0;
}
