/* SPDX-License-Identifier: MIT */
/* Concurrency Kit's ck_ht beside map.c, with keys and values in the table itself. It takes one
 * writer at a time: a mutex. What it frees as it grows is left alone, because readers
 * may be in it: it has grown before any row is measured. */
#include "../map_rows.h"

#include <ck_ht.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *allocate(size_t size)
{
	return malloc(size);
}

static void release(void *memory, size_t size, bool deferred)
{
	(void)size;
	if (!deferred)
		free(memory);
}

static struct ck_malloc memory = { .malloc = allocate, .free = release };

static uint64_t map_get(void *map, uint64_t key)
{
	ck_ht_entry_t entry;
	ck_ht_hash_t hash;
	ck_ht_hash_direct(&hash, map, key);
	ck_ht_entry_key_set_direct(&entry, key);
	return ck_ht_get_spmc(map, hash, &entry) ? ck_ht_entry_value_direct(&entry) : 0;
}

static void map_set(void *map, uint64_t key, uint64_t value)
{
	ck_ht_entry_t entry;
	ck_ht_hash_t hash;
	ck_ht_hash_direct(&hash, map, key);
	ck_ht_entry_set_direct(&entry, hash, key, value);
	pthread_mutex_lock(&lock);
	if (!ck_ht_set_spmc(map, hash, &entry))
		bench_die("ck_ht_set_spmc");
	pthread_mutex_unlock(&lock);
}

static void map_remove(void *map, uint64_t key)
{
	ck_ht_entry_t entry;
	ck_ht_hash_t hash;
	ck_ht_hash_direct(&hash, map, key);
	ck_ht_entry_key_set_direct(&entry, key);
	pthread_mutex_lock(&lock);
	if (!ck_ht_remove_spmc(map, hash, &entry))
		bench_die("ck_ht_remove_spmc");
	pthread_mutex_unlock(&lock);
}

int main(int argc, char **argv)
{
	struct map_row row;
	ck_ht_t table;
	if (argc != 2 || !map_row_parse(&row, argv[1]))
		return map_usage("ck_map");
	unsigned mode = CK_HT_MODE_DIRECT | (row.churn ? CK_HT_WORKLOAD_DELETE : 0);
	if (!ck_ht_init(&table, mode, NULL, &memory, row.size * 2, 6602834))
		bench_die("ck_ht_init");
	return map_threads_main(&table, &row);
}
