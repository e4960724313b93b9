/* SPDX-License-Identifier: MIT */
/* Tables of a map: slots, growth, counters. See map.h for what holds. */
#include "base/mem.h"
#include "rt/cpu.h"
#include "sync/map.h"

#define LOCK_TRIES 40 /* of a second group's lock, while a home's is held */

const struct map_nothing map_nothing = { .table = { .len = 1, .shift = 63 } };

/* --- counters --------------------------------------------------------------------------------- */

_Thread_local unsigned map_stripe_self;

unsigned map_stripe_make(void)
{
	static struct counter threads;

	map_stripe_self = (unsigned)counter_add(&threads, 1) * 2 + 1;
	return map_stripe_self;
}

int64_t map_shard_len(const struct weft_map *map, size_t shard)
{
	int64_t sum = 0;

	for (size_t i = 0; i <= map->stripes_mask; i++)
		/* seq_cst; pairs with the add in map_count */
		sum += atomic_load_explicit(
			&map->lens[i * map->stripe_len + shard], memory_order_seq_cst);
	return sum;
}

static size_t limit_of(size_t groups)
{
	return groups * MAP_SLOTS * 7 / 8;
}

/* --- slots ------------------------------------------------------------------------------------ */

uint64_t map_hash_of_word(const struct weft_map *map, uint64_t key_word)
{
	if (map->boxed)
		return ((const struct map_box *)(uintptr_t)key_word)->hash;
	return hash_number(&map->seed, key_word);
}

/* Of a second group; only tries, so that nobody waits in a circle. *word: before. */
static bool lock_second(struct map_group *group, uint32_t *word)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		*word = map_word(group);
		/* acquire; pairs with map_unlock. relaxed on failure: tried again */
		if (!(*word & MAP_LOCKED) &&
			atomic_compare_exchange_strong_explicit(&group->word, word,
				*word | MAP_LOCKED, memory_order_acquire, memory_order_relaxed))
			return true;
		cpu_pause();
	}
	return false;
}

static void over_add(uintptr_t head, size_t home, size_t steps, uint32_t n)
{
	for (size_t i = 0; i < steps; i++)
		/* relaxed: an entry that comes is published after it, by its tag; for one that
		 * went it comes late, which costs a search a step more */
		(void)atomic_fetch_add_explicit(
			&map_follow(head, home, i)->over, n, memory_order_relaxed);
}

/* In the first group on the way, after the home, that has a free slot. Home's lock is held. */
static enum map_put put_far(const struct map_look *look, uint64_t key_word, uint64_t value)
{
	size_t home = map_index(look->head, look->rest), len = map_table(look->head)->len;

	for (size_t step = 1; step < len; step++) {
		struct map_group *group = map_follow(look->head, home, step);
		uint32_t word;
		uint64_t bits;

		if (!map_free_slots(group))
			continue;
		if (!lock_second(group, &word))
			return MAP_PUT_BUSY;
		bits = map_free_slots(group);
		if (!bits) {
			map_unlock(group, word);
			continue;
		}
		over_add(look->head, home, step, 1);
		map_slot_write(group, word, map_first(bits), map_tag(look->hash), key_word, value);
		map_unlock(group, word + MAP_VERSION);
		return MAP_PUT_DONE;
	}
	return MAP_PUT_FULL;
}

enum map_put map_put_locked(const struct map_look *look, uint64_t key_word, uint64_t value)
{
	uint64_t bits = map_free_slots(look->home);
	enum map_put put = MAP_PUT_DONE;

	if (weft_likely(bits != 0))
		map_slot_write(look->home, look->word, map_first(bits), map_tag(look->hash),
			key_word, value);
	else
		put = put_far(look, key_word, value);
	map_unlock(look->home, put == MAP_PUT_DONE ? look->word + MAP_VERSION : look->word);
	return put;
}

bool map_take_locked(const struct map_look *look)
{
	size_t home = map_index(look->head, look->rest);
	size_t len = map_table(look->head)->len;
	uint32_t word;

	if (weft_likely(look->at == look->home)) {
		map_slot_clear(look->at, look->slot);
		map_unlock(look->home, look->word + MAP_VERSION);
		return true;
	}
	if (!lock_second(look->at, &word)) {
		map_unlock(look->home, look->word);
		return false;
	}
	map_slot_clear(look->at, look->slot);
	map_unlock(look->at, word);
	over_add(look->head, home, ((size_t)(look->at - map_groups(look->head)) - home) & (len - 1),
		(uint32_t)-1);
	map_unlock(look->home, look->word + MAP_VERSION);
	return true;
}

/* --- tables ----------------------------------------------------------------------------------- */

static struct map_table *table_make(unsigned bits)
{
	size_t len = (size_t)1 << bits;
	size_t size = sizeof(struct map_table) + len * sizeof(struct map_group);
	void *memory = mem_calloc(1, size + CACHE_APART);
	struct map_table *table;

	if (!memory)
		return NULL;
	table = (struct map_table *)(((uintptr_t)memory + CACHE_APART - 1) &
		~(uintptr_t)(CACHE_APART - 1));
	table->memory = memory;
	table->len = len;
	table->shift = 63 - bits;
	return table;
}

static void table_retired(struct reclaim_node *node)
{
	mem_free(container_of(node, struct map_table, node)->memory);
}

unsigned map_bits_for(size_t entries)
{
	unsigned bits = 0;

	while (bits < MAP_GROUP_BITS_MAX && limit_of((size_t)1 << bits) < entries)
		bits++;
	return bits;
}

/* --- moving ----------------------------------------------------------------------------------- */

/* In a table that is not emptied, without a search: the entry is in none. */
static void move_entry(
	uintptr_t head, uint64_t hash, uint64_t rest, uint64_t key_word, uint64_t value)
{
	struct map_look look = { .hash = hash, .rest = rest, .head = head };
	unsigned spins = 0;

	look.home = &map_groups(head)[map_index(head, rest)];
	for (;;) {
		look.word = map_word(look.home);
		CHECK(!(look.word & MAP_MOVED));
		if (map_lock(&look)) {
			/* full for a moment only: there is room, see the head of map.h */
			if (map_put_locked(&look, key_word, value) == MAP_PUT_DONE)
				return;
		}
		(void)rt_relax(&spins, false);
	}
}

/* The entries of one home, which is locked, to the next table. */
static void move_home(const struct weft_map *map, const struct map_table *table, size_t index)
{
	uintptr_t from = map_head_of(table), to = map_head_of(map_next(table));

	for (size_t step = 0; step < table->len; step++) {
		struct map_group *group = map_follow(from, index, step);

		for (uint64_t bits = map_tags(group) & MAP_FREE_BITS; bits; bits &= bits - 1) {
			const struct map_slot *slot = &group->slots[map_first(bits)];
			uint64_t key_word = map_slot_key(slot);
			uint64_t hash = map_hash_of_word(map, key_word);
			uint64_t rest = map_rest(map, hash);

			/* in a group that is not ours others may come and go, but none of this
			 * home */
			if (map_index(from, rest) == index)
				move_entry(to, hash, rest, key_word, map_slot_value(slot));
		}
		if (map_over(group) == 0)
			return;
	}
}

/* The last home has gone: the next table takes the old one's place. */
static void replace(struct weft_map *map, size_t shard, struct map_table *table)
{
	/* release; pairs with map_head: the next table, and that it has no older one */
	atomic_store_explicit(
		&map->heads[shard], map_head_of(map_next(table)), memory_order_release);
	reclaim_retire(&table->node, table_retired);
}

static void move_one(struct weft_map *map, size_t shard, struct map_table *table, size_t index)
{
	struct map_group *home = &map_groups(map_head_of(table))[index];
	struct map_look look = { .home = home };
	unsigned spins = 0;

	for (;;) {
		look.word = map_word(home);
		if (look.word & MAP_MOVED)
			return;
		if (map_lock(&look))
			break;
		(void)rt_relax(&spins, false);
	}
	move_home(map, table, index);
	map_unlock(home, look.word | MAP_MOVED);
	/* acq_rel; pairs with itself: the last one saw every home leave */
	if (atomic_fetch_add_explicit(&table->moved, 1, memory_order_acq_rel) == table->len - 1)
		replace(map, shard, table);
}

bool map_settle(struct weft_map *map, struct map_look *look)
{
	struct map_table *table = map_table(look->head);
	size_t at;

	if (weft_likely(!map_next(table)))
		return false;
	move_one(map, look->shard, table, map_index(look->head, look->rest));
	/* relaxed: numbers to be shared out; a home's lock orders the rest */
	if (atomic_load_explicit(&table->cursor, memory_order_relaxed) < table->len) {
		/* relaxed: as above */
		at = atomic_fetch_add_explicit(&table->cursor, MAP_MOVE_STEP, memory_order_relaxed);
		for (size_t i = at; i < at + MAP_MOVE_STEP && i < table->len; i++)
			move_one(map, look->shard, table, i);
	}
	look->head = map_head_of(map_next(table));
	return true;
}

void map_finish(struct weft_map *map, size_t shard)
{
	uintptr_t head;

	while (map_next(map_table(head = map_head(map, shard)))) {
		struct map_table *table = map_table(head);
		unsigned spins = 0;

		for (size_t i = 0; i < table->len; i++)
			move_one(map, shard, table, i);
		/* somebody else moved the last one, and is just replacing the table */
		while (map_head(map, shard) == head)
			(void)rt_relax(&spins, false);
	}
}

/* --- growing ---------------------------------------------------------------------------------- */

/*
 * Gives the shard's only table a next one, if at most len_max entries are in it then. From the
 * moment that it is closed nobody puts anything in (map.c asks map_is_closed), and who did has
 * counted it: so the sum is no less than what there is to be moved. WEFT_EAGAIN: somebody else
 * is at it, or there are more.
 */
static weft_err grow(
	struct weft_map *map, size_t shard, struct map_table *table, unsigned bits, size_t len_max)
{
	struct map_table *next;
	int64_t len;

	if (!claim_try(&table->growing))
		return WEFT_EAGAIN;
	next = table_make(bits);
	if (!next) {
		claim_release(&table->growing);
		return WEFT_ENOMEM;
	}
	/* seq_cst; pairs with the load in map_is_closed: before the sum, see above */
	atomic_store_explicit(&table->closed, 1, memory_order_seq_cst);
	len = map_shard_len(map, shard);
	if (len > 0 && (size_t)len > len_max) {
		/* release: nothing was changed, whoever sees it goes on */
		atomic_store_explicit(&table->closed, 0, memory_order_release);
		claim_release(&table->growing);
		mem_free(next->memory);
		return WEFT_EAGAIN;
	}
	/* release; pairs with map_next: the next table is complete */
	atomic_store_explicit(&table->next, next, memory_order_release);
	return WEFT_OK;
}

static weft_err grow_first(struct weft_map *map, size_t shard)
{
	uintptr_t nothing = map_head_of(&map_nothing.table);
	struct map_table *table = table_make(map->first_bits);

	if (!table)
		return WEFT_ENOMEM;
	/* release; pairs with map_head: the table is complete. relaxed on failure: the other
	 * one's is there */
	if (!atomic_compare_exchange_strong_explicit(&map->heads[shard], &nothing,
		    map_head_of(table), memory_order_release, memory_order_relaxed))
		mem_free(table->memory);
	return WEFT_EAGAIN;
}

weft_err map_room(struct weft_map *map, const struct map_look *look)
{
	struct map_table *table = map_table(look->head);
	unsigned bits = 63 - table->shift;
	int64_t len;
	weft_err err;

	if (weft_unlikely(table == &map_nothing.table))
		return grow_first(map, look->shard);
	len = map_shard_len(map, look->shard);
	if (weft_likely(len <= 0 || (size_t)len <= limit_of(table->len)))
		return WEFT_OK;
	if (map_head(map, look->shard) != look->head) {
		/* what is still in the older table must find room */
		map_finish(map, look->shard);
		return WEFT_EAGAIN;
	}
	if (bits >= MAP_GROUP_BITS_MAX)
		return WEFT_ENOMEM;
	err = grow(map, look->shard, table, bits < 2 ? 2 : bits + 1, SIZE_MAX);
	if (err == WEFT_OK)
		return WEFT_EAGAIN;
	/* another makes the next one just now: here may be room meanwhile */
	return err == WEFT_EAGAIN && !map_next(table) ? WEFT_OK : err;
}

void map_maybe_shrink(struct weft_map *map, size_t shard)
{
	struct map_table *table = map_table(map_head(map, shard));
	unsigned bits = 63 - table->shift, fit;
	int64_t len;

	if (bits <= map->first_bits || map_next(table))
		return;
	len = map_shard_len(map, shard);
	if (len < 0 || (uint64_t)len >= table->len * MAP_SLOTS / 8)
		return;
	fit = map_bits_for((size_t)len * 2);
	if (fit < map->first_bits)
		fit = map->first_bits;
	if (fit < bits)
		(void)grow(map, shard, table, fit, limit_of((size_t)1 << fit));
}

void map_tables_free(struct weft_map *map)
{
	for (size_t i = 0; i < map->shards_len; i++) {
		struct map_table *table = map_table(map_head(map, i));

		if (table != &map_nothing.table)
			mem_free(table->memory);
	}
}
