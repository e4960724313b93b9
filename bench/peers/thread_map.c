/* SPDX-License-Identifier: MIT */
/* The table that C programs write by hand, beside map.c: open addressing, linear probing, one
 * pthread_rwlock over all. It has room for what the rows put in; it does not grow. */
#include "../map_rows.h"

struct entry {
	uint64_t key, value; /* key 0: free */
};

static struct {
	pthread_rwlock_t lock;
	struct entry *entries;
	uint64_t mask;
} table = { .lock = PTHREAD_RWLOCK_INITIALIZER };

static uint64_t home(uint64_t key)
{
	key ^= key >> 32;
	key *= 0xd6e8feb86659fd93;
	return (key ^ key >> 32) & table.mask;
}

/* Where the key is, or the free entry where it would be. */
static struct entry *find(uint64_t key)
{
	uint64_t i = home(key);
	while (table.entries[i].key && table.entries[i].key != key)
		i = (i + 1) & table.mask;
	return &table.entries[i];
}

static uint64_t map_get(void *map, uint64_t key)
{
	(void)map;
	pthread_rwlock_rdlock(&table.lock);
	uint64_t value = find(key)->value;
	pthread_rwlock_unlock(&table.lock);
	return value;
}

static void map_set(void *map, uint64_t key, uint64_t value)
{
	(void)map;
	pthread_rwlock_wrlock(&table.lock);
	*find(key) = (struct entry){ key, value };
	pthread_rwlock_unlock(&table.lock);
}

static void map_remove(void *map, uint64_t key)
{
	(void)map;
	pthread_rwlock_wrlock(&table.lock);
	uint64_t hole = (uint64_t)(find(key) - table.entries), i = hole;
	for (;;) {
		i = (i + 1) & table.mask;
		if (!table.entries[i].key)
			break;
		/* moves back what the hole lies on the way to */
		uint64_t from = home(table.entries[i].key);
		if (((i - from) & table.mask) >= ((i - hole) & table.mask)) {
			table.entries[hole] = table.entries[i];
			hole = i;
		}
	}
	table.entries[hole] = (struct entry){ 0, 0 };
	pthread_rwlock_unlock(&table.lock);
}

int main(int argc, char **argv)
{
	struct map_row row;
	if (argc != 2 || !map_row_parse(&row, argv[1]))
		return map_usage("thread_map");
	table.mask = row.size * 2 - 1;
	table.entries = calloc(row.size * 2, sizeof *table.entries);
	if (!table.entries)
		bench_die("calloc");
	return map_threads_main(NULL, &row);
}
