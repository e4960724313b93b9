/* SPDX-License-Identifier: MIT */
#ifndef SYNC_MAP_H
#define SYNC_MAP_H

/*
 * Inside of a map, for map.c (calls), map_table.c (tables), map_walk.c (iterate, retain, clear)
 * and map_init.c (get_or_insert_with).
 *
 * A hash has 64 bits: the upper ones choose the shard, the next ones the home group in the
 * shard's table, the lowest seven are the tag. A group is two cache lines:
 *
 *	tags  7 bytes: 0 free, else 0x80 | tag          | in one line with
 *	word  version, MAP_MOVED, MAP_LOCKED            | the first three
 *	over  entries whose way led past this group     | slots
 *	slots 7 of key and value
 *
 * An entry is in its home or, when that was full, in the next group that had a free slot; each
 * group it went past counts it in over. A search looks at the home's seven tags at once and
 * goes on only while over is not 0: there are no tombstones, and removing leaves no trace.
 *
 * What always holds:
 *  - Tags of a group change only under the group's lock (MAP_LOCKED); an entry is put in,
 *    removed, or gets another value only under its home's lock. Who has a home's lock and
 *    needs the lock of another group tries for it, and starts again when it does not get it.
 *  - A home's version grows whenever an entry of that home is put in or removed (not for
 *    another value); a group's version grows before a slot of it is written for another key.
 *  - Readers. They read the version, the tags, key and value, and the version again. Each
 *    of these loads is an acquire and pairs with the writer's releases: who saw anything of a
 *    slot's next life sees the version grown as well, and starts again. A value that was
 *    read beside an unchanged version was the entry's at the time of some step in between,
 *    also when a remove or another value came meanwhile: this read was then before them.
 *    Nothing makes a reader wait: not a lock (it does not look at it), not growth.
 *  - A search that found nothing: while an entry stays where it is, each of the groups on its
 *    way counts it. Who met neither the entry nor a count was there at a moment without it.
 *  - Writers search like readers and then take the home's lock by a compare-and-exchange
 *    from the very word that the search began with: if that succeeds no entry of this home
 *    came or went since, so that the search still holds and keys need not be compared
 *    under the lock. So no function of the user's runs under it.
 *
 * Growth. A table that is full (7/8) gets a next one, of another size. Homes move one by one:
 * under the old home's lock its entries are copied to the next table, then MAP_MOVED says that
 * this home lives there. Its slots in the old table stay as they are, so that a reader who
 * came before finds them as they were. Whoever meets MAP_MOVED goes on to the next table. Who
 * writes moves its own home first, and MAP_MOVE_STEP more. The last move puts the next table
 * in the old one's place and retires the old one. A table without room while an older one
 * has not been emptied is rare: then the older one is moved to its end at once.
 *
 * Room: whoever puts an entry in counts it before (lens) and, while homes are moving, only up
 * to 7/8 of the next table; into the old one nothing is put from before its next one is
 * there (closed). So what is still in the old one always fits.
 *
 * Cost, numbers as keys and no reference counts, table in cache:
 *	get	 no store, no read-modify-write, 2 lines (3 if the slot is far): the shard's
 *		 head, the group
 *	set	 1 compare-and-exchange (the home's lock) and 2 stores in the group's line
 *	insert	 the same and one add on a counter's line that is this thread's mostly
 *	remove	 as insert
 */
#include "base/align.h"
#include "base/counter.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/refcount.h"
#include "rt/lock.h"
#include "rt/reclaim.h"
#include "rt/rt.h"

#include <weft/map.h>

#include <stdalign.h>
#include <string.h>

#define MAP_SLOTS 7
#define MAP_FREE_BITS UINT64_C(0x0080808080808080) /* the upper bit of each tag */
#define MAP_EACH_TAG UINT64_C(0x0001010101010101)
#define MAP_GROUP_BITS_MAX 40
#define MAP_MOVE_STEP 16 /* homes a writer moves besides its own: about a microsecond */
#define MAP_SHIFT_MASK ((uintptr_t)63)

enum map_word {
	MAP_LOCKED = 1u << 0,
	MAP_MOVED = 1u << 1,
	MAP_VERSION = 1u << 2, /* counts from here up */
};

struct map_slot {
	_Atomic uint64_t key; /* the number, or a struct map_box */
	_Atomic uint64_t value;
};

struct map_group {
	alignas(CACHE_APART) _Atomic uint64_t tags;
	_Atomic uint32_t word;
	_Atomic uint32_t over;
	struct map_slot slots[MAP_SLOTS];
};
_Static_assert(sizeof(struct map_group) == 128, "two lines");

/* In memory just before its groups. */
struct map_table {
	alignas(CACHE_APART) struct reclaim_node node;
	void *memory; /* what to free; fixed */
	size_t len;   /* groups; a power of two; fixed */
	unsigned shift;
	struct claim growing;		  /* held by who makes the next; then for ever */
	_Atomic uint32_t closed;	  /* nothing more is put in: next is about to come */
	_Atomic(struct map_table *) next; /* set once, when moving begins */
	/* written while homes move */
	alignas(CACHE_LINE) _Atomic size_t cursor; /* homes below were taken by some helper */
	_Atomic size_t moved;			   /* homes that are MAP_MOVED */
};
_Static_assert(sizeof(struct map_table) == 128, "groups stay aligned behind it");

/*
 * What a slot's key points to unless it is a number without a value_unref: made for each
 * entry before it is put in, and the node by which it is retired, together with the value: so
 * remove needs no memory.
 */
struct map_box {
	struct reclaim_node node;
	uint64_t hash;
	weft_map_key key;		     /* bytes: they follow the box */
	uint64_t value;			     /* from the removal on: dropped with the box */
	void (*value_unref)(uint64_t value); /* NULL: nothing to drop */
	void (*key_unref)(void *key);
};

struct weft_map {
	/* constant */
	weft_map_keys keys;
	bool boxed;
	unsigned shard_bits;
	unsigned first_bits; /* of a shard's first table's groups */
	struct hash_seed seed;
	weft_map_options options;
	size_t shards_len;
	size_t stripes_mask;
	size_t stripe_len;     /* counters from stripe to stripe */
	_Atomic int64_t *lens; /* [stripe][shard]: entries; only sums mean something */
	void *memory;	       /* of lens */
	/* entries, kept exactly, if there is a limit; on a line of its own */
	alignas(CACHE_APART) struct counter bounded;
	/* initialisers under way: see map_init.c */
	alignas(CACHE_APART) struct rt_lock inits_lock;
	struct list inits; /* of struct map_pending; under inits_lock */
	/* Of each shard: its table's groups and, in the lower bits, the shift that makes an
	 * index of a hash. Written only when a table is replaced. */
	alignas(CACHE_APART) _Atomic uintptr_t heads[];
};

/* --- hashes and places ---------------------------------------------------------------------- */

/* A key on its way through a call. */
struct map_look {
	weft_map_key key;
	uint64_t hash;
	uint64_t rest; /* the hash without the shard's bits */
	size_t shard;
	uintptr_t head; /* the table in which it was looked for last */
	/* what map_find found: the word of the home when it began; valid if found: at, slot,
	 * key_word and value */
	struct map_group *home;
	uint32_t word;
	unsigned slot;
	struct map_group *at;
	uint64_t key_word;
	uint64_t value;
};

static inline struct map_group *map_groups(uintptr_t head)
{
	return (struct map_group *)(head & ~MAP_SHIFT_MASK);
}

static inline struct map_table *map_table(uintptr_t head)
{
	return (struct map_table *)(head & ~MAP_SHIFT_MASK) - 1;
}

static inline uintptr_t map_head_of(const struct map_table *table)
{
	return (uintptr_t)(table + 1) | table->shift;
}

static inline size_t map_index(uintptr_t head, uint64_t rest)
{
	return (size_t)((rest >> 1) >> (head & MAP_SHIFT_MASK));
}

static inline uint64_t map_tag(uint64_t hash)
{
	return (hash & 0x7f) | 0x80;
}

static inline uint64_t map_hash(const struct weft_map *map, weft_map_key key)
{
	switch (map->keys) {
	case WEFT_MAP_INT:
		return hash_number(&map->seed, key.number);
	case WEFT_MAP_BYTES:
		CHECK(key.number <= WEFT_MAP_KEY_SIZE_MAX);
		return hash_bytes(&map->seed, key.data, (size_t)key.number);
	case WEFT_MAP_CUSTOM:
	default:
		return hash_number(&map->seed, map->options.key_hash(key.data));
	}
}

static inline uint64_t map_rest(const struct weft_map *map, uint64_t hash)
{
	return hash << map->shard_bits;
}

static inline void map_look_init(
	struct map_look *look, const struct weft_map *map, weft_map_key key, uint64_t hash)
{
	look->key = key;
	look->hash = hash;
	look->rest = map_rest(map, hash);
	look->shard = (size_t)((hash >> 1) >> (63 - map->shard_bits));
}

/* --- loads ---------------------------------------------------------------------------------- */

static inline uintptr_t map_head(const struct weft_map *map, size_t shard)
{
	/* acquire; pairs with the release that put the table there: its groups */
	return atomic_load_explicit(&map->heads[shard], memory_order_acquire);
}

static inline struct map_table *map_next(const struct map_table *table)
{
	/* acquire; pairs with the release in map_grow: the next table is complete */
	return atomic_load_explicit(&table->next, memory_order_acquire);
}

static inline uint32_t map_word(const struct map_group *group)
{
	/* acquire; pairs with the unlocks and the bump: what the last writer left, and the
	 * loads that follow are not before it */
	return atomic_load_explicit(&group->word, memory_order_acquire);
}

static inline uint64_t map_tags(const struct map_group *group)
{
	/* acquire; pairs with the release of tags: key and value of a slot that is in use */
	return atomic_load_explicit(&group->tags, memory_order_acquire);
}

static inline uint32_t map_over(const struct map_group *group)
{
	/* acquire: not before the tags' load is it looked at, nor after the next group's loads */
	return atomic_load_explicit(&group->over, memory_order_acquire);
}

static inline uint64_t map_slot_key(const struct map_slot *slot)
{
	/* acquire; pairs with the release in map_slot_write: the version that grew before it */
	return atomic_load_explicit(&slot->key, memory_order_acquire);
}

static inline uint64_t map_slot_value(const struct map_slot *slot)
{
	/* acquire; pairs with the releases of values: the version, and what a value points to */
	return atomic_load_explicit(&slot->value, memory_order_acquire);
}

/* Nothing in the group was written for another key since word was read. */
static inline bool map_same(const struct map_group *group, uint32_t word)
{
	/* relaxed: the acquire loads before it keep it behind them */
	uint32_t now = atomic_load_explicit(&group->word, memory_order_relaxed);

	return ((now ^ word) & ~(uint32_t)MAP_LOCKED) == 0;
}

/* Slots whose tag may be this one, a bit each; a slot in use with another tag, too, seldom. */
static inline uint64_t map_match(uint64_t tags, uint64_t tag)
{
	uint64_t x = tags ^ (tag * MAP_EACH_TAG);

	return (x - MAP_EACH_TAG) & ~x & MAP_FREE_BITS;
}

static inline unsigned map_first(uint64_t bits)
{
	return (unsigned)__builtin_ctzll(bits) / 8;
}

static inline struct map_group *map_follow(uintptr_t head, size_t home, size_t step)
{
	return &map_groups(head)[(home + step) & (map_table(head)->len - 1)];
}

bool map_box_equal(
	const struct weft_map *map, const struct map_box *box, const struct map_look *look);

/*
 * Looks for the key in look->head and in the tables that its home has moved to, head is then
 * the one it lives in. In a guard. boxed: a constant, so that numbers have code of their own.
 */
static inline __attribute__((always_inline)) bool map_find(
	const struct weft_map *map, struct map_look *look, const bool boxed)
{
	uint64_t tag = map_tag(look->hash);
	struct map_group *group;
	uint64_t bits;
	uint32_t word;
	size_t step;

again:
	group = look->home = &map_groups(look->head)[map_index(look->head, look->rest)];
	__builtin_prefetch((const char *)group + CACHE_LINE);
	word = look->word = map_word(group);
	if (weft_unlikely(word & MAP_MOVED)) {
		look->head = map_head_of(map_next(map_table(look->head)));
		goto again;
	}
	for (step = 1;; step++) {
		for (bits = map_match(map_tags(group), tag); bits; bits &= bits - 1) {
			const struct map_slot *slot = &group->slots[map_first(bits)];

			look->key_word = map_slot_key(slot);
			if (boxed ? !map_box_equal(map,
					    (const struct map_box *)(uintptr_t)look->key_word, look)
				  : look->key_word != look->key.number)
				continue;
			look->value = map_slot_value(slot);
			if (weft_unlikely(!map_same(group, word)))
				goto again;
			look->at = group;
			look->slot = map_first(bits);
			return true;
		}
		if (weft_likely(map_over(group) == 0) || step == map_table(look->head)->len)
			return false;
		group = map_follow(look->head, map_index(look->head, look->rest), step);
		word = map_word(group);
	}
}

static inline bool map_find_any(const struct weft_map *map, struct map_look *look)
{
	return map->boxed ? map_find(map, look, true) : map_find(map, look, false);
}

/* --- map_table.c: all in a guard ------------------------------------------------------------- */

/* The table of every shard that never held anything. */
extern const struct map_nothing {
	struct map_table table;
	struct map_group group;
} map_nothing;

/* Of an entry that look has found to be missing, with the lock of look->home taken from
 * look->word. MAP_PUT_DONE: it is in and the lock released; else nothing happened, and the
 * lock is released. */
enum map_put { MAP_PUT_DONE, MAP_PUT_BUSY, MAP_PUT_FULL };
enum map_put map_put_locked(const struct map_look *look, uint64_t key_word, uint64_t value);
/* Takes the entry that look has found out, with its home locked. False: busy, nothing happened.
 * The lock is released either way. */
bool map_take_locked(const struct map_look *look);

/* Locks look's home if nothing of it came or went since the search. */
static inline bool map_lock(const struct map_look *look)
{
	uint32_t word = look->word;

	if (word & MAP_LOCKED)
		return false;
	/* acquire; pairs with the unlocks' release. relaxed on failure: the search is repeated */
	return atomic_compare_exchange_strong_explicit(&look->home->word, &word, word | MAP_LOCKED,
		memory_order_acquire, memory_order_relaxed);
}

/* word: with the version that is to be seen from now on. */
static inline void map_unlock(struct map_group *group, uint32_t word)
{
	/* release; pairs with map_lock and map_word: publishes what was done under the lock */
	atomic_store_explicit(&group->word, word, memory_order_release);
}

/* With the lock of a home in this table, before an entry is put in. */
static inline bool map_is_closed(const struct map_table *table)
{
	/* seq_cst; pairs with the store in grow: after the entry was counted */
	return atomic_load_explicit(&table->closed, memory_order_seq_cst) != 0;
}

static inline uint64_t map_free_slots(const struct map_group *group)
{
	return ~map_tags(group) & MAP_FREE_BITS;
}

static inline void map_tags_set(struct map_group *group, uint64_t tags)
{
	/* release; pairs with map_tags: key and value of the slot; or, when one goes, nothing */
	atomic_store_explicit(&group->tags, tags, memory_order_release);
}

/* With the group's lock: an entry in a free slot. word, unlocked, is the group's before. */
static inline void map_slot_write(struct map_group *group, uint32_t word, unsigned slot,
	uint64_t tag, uint64_t key_word, uint64_t value)
{
	struct map_slot *s = &group->slots[slot];

	/* release; pairs with map_word: who begins from it sees the tag of the slot's last key
	 * gone. The releases of key and value carry it to whoever sees one of them */
	atomic_store_explicit(
		&group->word, (word + MAP_VERSION) | MAP_LOCKED, memory_order_release);
	/* release, both; pairs with map_slot_key and map_slot_value: the version */
	atomic_store_explicit(&s->key, key_word, memory_order_release);
	atomic_store_explicit(&s->value, value, memory_order_release);
	map_tags_set(group, map_tags(group) | tag << (8 * slot));
}

static inline void map_slot_clear(struct map_group *group, unsigned slot)
{
	map_tags_set(group, map_tags(group) & ~(UINT64_C(0xff) << (8 * slot)));
}

/* The table to write to: moves look's home, and some more, if the shard's table is being
 * emptied. True: it is. */
bool map_settle(struct weft_map *map, struct map_look *look);
/*
 * Before an entry is put into look->head, which was counted already: makes the table grow if
 * it is full. WEFT_OK; WEFT_EAGAIN: search again; WEFT_ENOMEM: it could not grow, but may
 * have room.
 */
weft_err map_room(struct weft_map *map, const struct map_look *look);
/* After a removal that left its home empty: shrinks the shard if it is nearly empty. */
void map_maybe_shrink(struct weft_map *map, size_t shard);
/* Moves what is to be moved, to the end; afterwards the shard has one table. */
void map_finish(struct weft_map *map, size_t shard);
/* Bits of the number of groups in which so many entries fit. */
unsigned map_bits_for(size_t entries);
/* Without users, and with one table a shard. */
void map_tables_free(struct weft_map *map);

/* The shard's entries; what is being put in is counted already, what was removed is not. */
int64_t map_shard_len(const struct weft_map *map, size_t shard);
/* A number a thread, odd; several may share a stripe. */
extern _Thread_local unsigned map_stripe_self __attribute__((tls_model("initial-exec")));
unsigned map_stripe_make(void);

static inline void map_count(struct weft_map *map, size_t shard, int64_t n)
{
	unsigned self = weft_likely(map_stripe_self != 0) ? map_stripe_self : map_stripe_make();
	size_t stripe = (self >> 1) & map->stripes_mask;

	/* seq_cst: of two who count and then look at the sum, one sees the other; see map_room */
	(void)atomic_fetch_add_explicit(
		&map->lens[stripe * map->stripe_len + shard], n, memory_order_seq_cst);
}

uint64_t map_hash_of_word(const struct weft_map *map, uint64_t key_word);

/* --- map.c ------------------------------------------------------------------------------------ */

/* NULL: out of memory. */
struct map_box *map_box_make(const struct weft_map *map, weft_map_key key, uint64_t hash);
/* One that nobody else has seen. drop_value: box->value is dropped too. */
void map_box_free(struct map_box *box);
weft_map_key map_key_of(const struct weft_map *map, uint64_t key_word);

/* Puts in what is missing; box: for a boxed map, NULL else; value's reference: the map's from
 * now on, on WEFT_OK only; so is the box. WEFT_EDUPLICATE, WEFT_ECAPACITY, WEFT_ENOMEM. */
weft_err map_insert_own(
	struct weft_map *map, weft_map_key key, uint64_t hash, struct map_box *box, uint64_t value);
/* As weft_map_get, for a hash that is known. */
bool map_get_hashed(const struct weft_map *map, weft_map_key key, uint64_t hash, uint64_t *value);
/* Removes the entry if fn (NULL: always) says so. */
bool map_remove_hashed(struct weft_map *map, weft_map_key key, uint64_t hash,
	bool (*fn)(void *arg, uint64_t value), void *arg);

static inline void map_value_ref(const struct weft_map *map, uint64_t value)
{
	if (map->options.value_ref)
		map->options.value_ref(value);
}

static inline void map_value_unref(const struct weft_map *map, uint64_t value)
{
	if (map->options.value_unref)
		map->options.value_unref(value);
}

#endif
