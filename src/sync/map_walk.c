/* SPDX-License-Identifier: MIT */
/*
 * All entries of a map. A walk goes by hash: its position is the hash (in the shard) below which
 * everything was seen. A home is a range of hashes, in whatever table it lives now; its
 * entries are read as one, beside a version that did not change. Since an entry's hash never
 * changes, what stays is seen exactly once however tables come and go.
 */
#include "base/err.h"
#include "base/mem.h"
#include "sync/map.h"

#define BATCH 32 /* entries of one home that need no memory: it has 7 slots */

struct entry {
	uint64_t key_word, value;
};

struct walk {
	const struct weft_map *map;
	size_t shard;
	uint64_t from;	  /* in the shard */
	uint64_t last;	  /* of the range that was read */
	bool partial;	  /* the range has more entries than there was room for */
	size_t len, room; /* of entries */
	struct entry *entries;
	struct entry few[BATCH];
};

static void walk_init(struct walk *w, const struct weft_map *map)
{
	w->map = map;
	w->entries = w->few;
	w->room = BATCH;
}

static void walk_fini(struct walk *w)
{
	if (w->entries != w->few)
		mem_free(w->entries);
}

/* The home that the position is in, where it lives now; narrows the range to it. */
static struct map_group *walk_home(struct walk *w, uintptr_t *head, uint32_t *word)
{
	struct map_group *home;

	w->last = UINT64_MAX;
	for (;;) {
		unsigned bits = 63 - (unsigned)(*head & MAP_SHIFT_MASK);
		uint64_t last = bits ? w->from | UINT64_MAX >> bits : UINT64_MAX;

		/* a home of a smaller table holds several of a larger one's, which may not
		 * all have moved */
		if (last < w->last)
			w->last = last;
		home = &map_groups(*head)[map_index(*head, w->from)];
		*word = map_word(home);
		if (!(*word & MAP_MOVED))
			return home;
		*head = map_head_of(map_next(map_table(*head)));
	}
}

static void walk_group(struct walk *w, const struct map_group *group, uintptr_t head, size_t index)
{
	for (uint64_t bits = map_tags(group) & MAP_FREE_BITS; bits; bits &= bits - 1) {
		const struct map_slot *slot = &group->slots[map_first(bits)];
		uint64_t key_word = map_slot_key(slot);
		uint64_t rest = map_rest(w->map, map_hash_of_word(w->map, key_word));

		if (map_index(head, rest) != index || rest < w->from || rest > w->last)
			continue;
		if (w->len < w->room)
			w->entries[w->len] = (struct entry){ key_word, map_slot_value(slot) };
		w->len++;
	}
}

/* Reads the range that begins at from. In a guard. */
static void walk_read(struct walk *w)
{
	struct map_group *home, *group;
	uintptr_t head;
	uint32_t word;
	size_t index;

	do {
		w->len = 0;
		head = map_head(w->map, w->shard);
		home = group = walk_home(w, &head, &word);
		index = map_index(head, w->from);
		for (size_t step = 1;; step++) {
			walk_group(w, group, head, index);
			if (map_over(group) == 0 || step == map_table(head)->len)
				break;
			group = map_follow(head, index, step);
		}
	} while (!map_same(home, word));
	w->partial = w->len > w->room;
	if (w->partial)
		w->len = w->room;
}

/* Twice the room, for one range with so many. False: no memory. */
static bool walk_grow(struct walk *w)
{
	struct entry *more = mem_alloc(w->room * 2 * sizeof(*more));

	if (!more)
		return false;
	walk_fini(w);
	w->entries = more;
	w->room *= 2;
	return true;
}

/* False: that was the last range. */
static bool walk_next(struct walk *w)
{
	w->from = w->last + 1;
	if (w->from != 0)
		return true;
	return ++w->shard < w->map->shards_len;
}

/* Calls each(w, arg) for every range, in a guard. It says whether to go on. */
static weft_err walk_all(struct walk *w, bool (*each)(struct walk *w, void *arg), void *arg)
{
	weft_err err = WEFT_OK;
	bool more = true;

	do {
		reclaim_enter();
		walk_read(w);
		if (w->partial) {
			reclaim_leave();
			if (!walk_grow(w))
				err = err_set(WEFT_ENOMEM);
			continue;
		}
		more = each(w, arg);
		reclaim_leave();
		more = more && walk_next(w);
	} while (more && err == WEFT_OK);
	walk_fini(w);
	return err;
}

struct calls {
	weft_map_entry_fn fn;
	void *arg;
	/* retain */
	struct weft_map *map;
	weft_map_key key; /* the entry that is being asked about */
	size_t removed;
};

static bool iterate_range(struct walk *w, void *arg)
{
	const struct calls *calls = arg;

	for (size_t i = 0; i < w->len; i++) {
		const struct entry *e = &w->entries[i];

		if (!calls->fn(calls->arg, map_key_of(w->map, e->key_word), e->value))
			return false;
	}
	return true;
}

weft_err weft_map_iterate(const weft_map *map, weft_map_entry_fn fn, void *arg)
{
	struct calls calls = { .fn = fn, .arg = arg };
	struct walk w = { 0 };

	walk_init(&w, map);
	return walk_all(&w, iterate_range, &calls);
}

static bool not_kept(void *arg, uint64_t value)
{
	const struct calls *calls = arg;

	return !calls->fn(calls->arg, calls->key, value);
}

static bool retain_range(struct walk *w, void *arg)
{
	struct calls *calls = arg;

	for (size_t i = 0; i < w->len; i++) {
		uint64_t key_word = w->entries[i].key_word;

		calls->key = map_key_of(w->map, key_word);
		if (map_remove_hashed(calls->map, calls->key, map_hash_of_word(w->map, key_word),
			    not_kept, calls))
			calls->removed++;
	}
	return true;
}

/* After many were removed: nobody else may come to make the tables smaller. */
static void give_back(struct weft_map *map)
{
	for (size_t i = 0; i < map->shards_len; i++) {
		reclaim_enter();
		map_finish(map, i);
		map_maybe_shrink(map, i);
		map_finish(map, i);
		reclaim_leave();
	}
	reclaim_help();
}

weft_err weft_map_retain(weft_map *map, weft_map_entry_fn keep, void *arg, size_t *removed)
{
	struct calls calls = { .fn = keep, .arg = arg, .map = map };
	struct walk w = { 0 };
	weft_err err;

	walk_init(&w, map);
	err = walk_all(&w, retain_range, &calls);
	give_back(map);
	if (removed)
		*removed = calls.removed;
	return err;
}

void weft_map_clear(weft_map *map)
{
	struct walk w = { 0 };
	bool more = true;

	walk_init(&w, map);
	while (more) {
		reclaim_enter();
		walk_read(&w);
		for (size_t i = 0; i < w.len; i++) {
			uint64_t key_word = w.entries[i].key_word;

			(void)map_remove_hashed(map, map_key_of(map, key_word),
				map_hash_of_word(map, key_word), NULL, NULL);
		}
		reclaim_leave();
		reclaim_help();
		more = w.partial || walk_next(&w);
	}
	give_back(map);
}
