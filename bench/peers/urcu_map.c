/* SPDX-License-Identifier: MIT */
/* liburcu's rculfhash beside map.c, with its default flavour (memb). An entry is allocated for
 * each write, and freed after a grace period by call_rcu. */
#include "../map_rows.h"

#include <urcu.h>
#include <urcu/rculfhash.h>

struct entry {
	struct cds_lfht_node node;
	struct rcu_head head;
	uint64_t key, value;
};

static __thread bool registered;
static pthread_key_t at_exit;

static void leave(void *arg)
{
	(void)arg;
	rcu_unregister_thread();
}

static void come(void)
{
	if (registered)
		return;
	registered = true;
	rcu_register_thread();
	pthread_setspecific(at_exit, &at_exit);
}

static unsigned long hash_of(uint64_t key)
{
	key ^= key >> 32;
	key *= 0xd6e8feb86659fd93;
	return key ^ key >> 32;
}

static int match(struct cds_lfht_node *node, const void *key)
{
	return caa_container_of(node, struct entry, node)->key == *(const uint64_t *)key;
}

static struct cds_lfht_node *find(void *map, uint64_t key)
{
	struct cds_lfht_iter iter;
	cds_lfht_lookup(map, hash_of(key), match, &key, &iter);
	return cds_lfht_iter_get_node(&iter);
}

static void drop(struct rcu_head *head)
{
	free(caa_container_of(head, struct entry, head));
}

static uint64_t map_get(void *map, uint64_t key)
{
	come();
	rcu_read_lock();
	struct cds_lfht_node *node = find(map, key);
	uint64_t value = node ? caa_container_of(node, struct entry, node)->value : 0;
	rcu_read_unlock();
	return value;
}

static void map_set(void *map, uint64_t key, uint64_t value)
{
	struct entry *entry = malloc(sizeof *entry);
	if (!entry)
		bench_die("malloc");
	come();
	cds_lfht_node_init(&entry->node);
	entry->key = key;
	entry->value = value;
	rcu_read_lock();
	struct cds_lfht_node *old =
		cds_lfht_add_replace(map, hash_of(key), match, &key, &entry->node);
	rcu_read_unlock();
	if (old)
		call_rcu(&caa_container_of(old, struct entry, node)->head, drop);
}

static void map_remove(void *map, uint64_t key)
{
	come();
	rcu_read_lock();
	struct cds_lfht_node *node = find(map, key);
	if (!node || cds_lfht_del(map, node))
		bench_die("cds_lfht_del");
	rcu_read_unlock();
	call_rcu(&caa_container_of(node, struct entry, node)->head, drop);
}

int main(int argc, char **argv)
{
	struct map_row row;
	if (argc != 2 || !map_row_parse(&row, argv[1]))
		return map_usage("urcu_map");
	if (pthread_key_create(&at_exit, leave))
		bench_die("pthread_key_create");
	come();
	/* as large as it will be: it grows in a thread of its own, beside what is measured */
	struct cds_lfht *table =
		cds_lfht_new(row.size, 1024, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, NULL);
	if (!table)
		bench_die("cds_lfht_new");
	return map_threads_main(table, &row);
}
