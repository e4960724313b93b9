/* SPDX-License-Identifier: MIT */
/*
 * What a pool keeps: depots and the bins of caches; see buf_pool.c.
 *
 * What always holds: `held` of the pool is what bins have reserved and what is in depots. A
 * magazine that goes from one to another takes its part of it along, and has it in hand.
 */
#include "base/buf_keep.h"

#include <sched.h>

#define CACHE_BLOCK_MAX ((size_t)256 << 10) /* larger ones are only in depots */
#define MAGAZINE_BYTES ((size_t)128 << 10)  /* at most, but one block */
#define MAGAZINE_BLOCKS 64		    /* at most */
#define KEPT_SHARE 16 /* keeping more than this part of all is too much when one is made */
#define RESERVE_STEP ((size_t)64 << 10)
#define CLAIM_TRIES 16
#define CLASSES_UP (BUF_CLASS_PARTS / 2) /* a block half as large again will do */

size_t buf_class_bytes(unsigned class)
{
	size_t base;

	if (class < BUF_CLASS_PARTS)
		return (size_t)(class + 1) << BUF_CLASS_STEP_SHIFT;
	base = (size_t)1 << (BUF_CLASS_FEW_SHIFT - 1 + class / BUF_CLASS_PARTS);
	return base + base / BUF_CLASS_PARTS * (class % BUF_CLASS_PARTS + 1);
}

uint32_t buf_class_limit(unsigned class)
{
	size_t blocks = MAGAZINE_BYTES / buf_class_bytes(class);

	if (buf_class_bytes(class) > CACHE_BLOCK_MAX)
		return 0;
	if (blocks > MAGAZINE_BLOCKS)
		return MAGAZINE_BLOCKS;
	return blocks ? (uint32_t)blocks : 1;
}

void buf_forget_all(weft_buf_pool *pool, struct weft_buf_block *magazines)
{
	while (magazines) {
		struct weft_buf_block *b = magazines;

		magazines = b->next_magazine;
		counter_sub(&pool->held, b->count * b->room);
		while (b) {
			struct weft_buf_block *next = b->next;

			buf_forget(b);
			b = next;
		}
	}
}

/* --- depots --------------------------------------------------------------------------- */

static bool depot_claim(struct buf_depot *depot)
{
	for (unsigned i = 0; i < CLAIM_TRIES; i++)
		if (claim_try(&depot->claim))
			return true;
	return false;
}

/* A magazine and its part of held; NULL: none, or no time to look. */
static struct weft_buf_block *depot_pop(struct buf_depot *depot)
{
	struct weft_buf_block *m;

	if (counter_get(&depot->blocks) == 0 || !depot_claim(depot))
		return NULL;
	m = depot->magazines;
	if (m) {
		depot->magazines = m->next_magazine;
		counter_own_sub(&depot->blocks, m->count);
	}
	claim_release(&depot->claim);
	return m;
}

/* With its part of held. False: it is still the caller's. Else the pool may be gone. */
static bool depot_push(weft_buf_pool *pool, struct weft_buf_block *m)
{
	struct buf_depot *depot = &pool->depots[m->class];

	if (!depot_claim(depot))
		return false;
	if (counter_get(&pool->owner_gone)) {
		claim_release(&depot->claim);
		return false;
	}
	m->next_magazine = depot->magazines;
	depot->magazines = m;
	counter_own_add(&depot->blocks, m->count);
	claim_release(&depot->claim);
	return true;
}

void buf_depots_push(weft_buf_pool *pool, struct weft_buf_block *magazines)
{
	while (magazines) {
		struct weft_buf_block *m = magazines;

		magazines = m->next_magazine;
		if (depot_push(pool, m))
			continue;
		m->next_magazine = NULL;
		buf_forget_all(pool, m);
	}
}

bool buf_depot_keep(weft_buf_pool *pool, struct weft_buf_block *b)
{
	size_t room = b->room;

	if (!counter_try_add(&pool->held, room, pool->held_max))
		return false;
	b->next = NULL;
	b->count = 1;
	if (depot_push(pool, b))
		return true;
	counter_sub(&pool->held, room);
	return false;
}

void buf_depots_empty(weft_buf_pool *pool, struct weft_buf_block **out)
{
	for (unsigned class = 0; class < BUF_CLASSES; class ++) {
		struct buf_depot *depot = &pool->depots[class];
		struct weft_buf_block *m;

		while (!depot_claim(depot))
			sched_yield();
		while ((m = depot->magazines)) {
			depot->magazines = m->next_magazine;
			m->next_magazine = *out;
			*out = m;
		}
		counter_set(&depot->blocks, 0);
		claim_release(&depot->claim);
	}
}

/* --- caches --------------------------------------------------------------------------- */

/* Inside, as all of a bin's and of a cache's below, or the owner is kept out. */
static void bin_changed(struct buf_bin *bin, unsigned class)
{
	uint64_t room = bin->reserved - counter_get(&bin->spare_count);
	uint32_t limit = buf_class_limit(class);

	bin->top_max = room < limit ? (uint32_t)room : limit;
}

static void bin_set_top(struct buf_bin *bin, struct weft_buf_block *top, uint64_t count)
{
	bin->top = top;
	counter_set(&bin->base, count + counter_get(&bin->taken) - counter_get(&bin->given));
}

static void bin_set_spare(struct buf_bin *bin, struct weft_buf_block *spare, uint64_t count)
{
	bin->spare = spare;
	counter_set(&bin->spare_count, count);
}

/* Reserves so many blocks for a bin, in place of as many as now. */
static void bin_set_reserved(struct buf_cache *cache, unsigned class, uint64_t blocks)
{
	struct buf_bin *bin = &cache->bins[class];

	counter_own_add(&cache->reserved, (blocks - bin->reserved) * buf_class_bytes(class));
	bin->reserved = (uint32_t)blocks;
}

/* Puts count blocks that left a bin in front of *out, with their part of held. */
static void detach(struct buf_cache *cache, struct weft_buf_block *m, uint64_t count,
	struct weft_buf_block **out)
{
	bin_set_reserved(cache, m->class, cache->bins[m->class].reserved - count);
	m->count = (uint16_t)count;
	m->next_magazine = *out;
	*out = m;
}

static void detach_spare(struct buf_cache *cache, struct buf_bin *bin, struct weft_buf_block **out)
{
	if (bin->spare)
		detach(cache, bin->spare, counter_get(&bin->spare_count), out);
	bin_set_spare(bin, NULL, 0);
}

/* All that a bin has; what it has reserved beside that is given back. */
static void bin_empty(
	weft_buf_pool *pool, struct buf_cache *cache, unsigned class, struct weft_buf_block **out)
{
	struct buf_bin *bin = &cache->bins[class];

	detach_spare(cache, bin, out);
	if (bin->top)
		detach(cache, bin->top, buf_bin_count(bin), out);
	bin_set_top(bin, NULL, 0);
	counter_sub(&pool->held, bin->reserved * buf_class_bytes(class));
	bin_set_reserved(cache, class, 0);
	bin_changed(bin, class);
}

/* Makes room by halves, a class after the other in turn, so that classes which are no longer
 * used do not fill the cache. */
static void evict(weft_buf_pool *pool, struct buf_cache *cache, struct weft_buf_block **out)
{
	uint64_t reserved_max = pool->cache_max / 2;

	for (unsigned i = 0; i < BUF_CLASSES && counter_get(&cache->reserved) > reserved_max; i++) {
		if (cache->bins[cache->evict_next].reserved)
			bin_empty(pool, cache, cache->evict_next, out);
		cache->evict_next = (cache->evict_next + 1) % BUF_CLASSES;
	}
}

/* So many blocks more, if held_max and the cache's share of it allow that. */
static bool bin_reserve(
	weft_buf_pool *pool, struct buf_cache *cache, unsigned class, uint64_t blocks)
{
	struct buf_bin *bin = &cache->bins[class];
	uint64_t bytes = blocks * buf_class_bytes(class);

	if (counter_get(&cache->reserved) + bytes > pool->cache_max ||
		!counter_try_add(&pool->held, bytes, pool->held_max))
		return false;
	bin_set_reserved(cache, class, bin->reserved + blocks);
	bin_changed(bin, class);
	return true;
}

/* At least one block more, for a bin that has not all that it may have. */
static bool bin_grow(
	weft_buf_pool *pool, struct buf_cache *cache, unsigned class, struct weft_buf_block **out)
{
	uint64_t left = 2 * buf_class_limit(class) - cache->bins[class].reserved;
	uint64_t step = RESERVE_STEP / buf_class_bytes(class);

	if (step > left)
		step = left;
	if (step > 1 && bin_reserve(pool, cache, class, step))
		return true;
	if (bin_reserve(pool, cache, class, 1))
		return true;
	if (counter_get(&cache->reserved) + buf_class_bytes(class) <= pool->cache_max)
		return false; /* it is held_max */
	evict(pool, cache, out);
	return bin_reserve(pool, cache, class, 1);
}

void buf_cache_empty(weft_buf_pool *pool, struct buf_cache *cache, struct weft_buf_block **out)
{
	for (unsigned class = 0; class < BUF_CLASSES; class ++)
		if (cache->bins[class].reserved)
			bin_empty(pool, cache, class, out);
}

/* --- taking --------------------------------------------------------------------------- */

/* What the fast path does, and the spare magazine. */
static struct weft_buf_block *cache_take(struct buf_cache *cache, unsigned class)
{
	struct buf_bin *bin = &cache->bins[class];
	struct weft_buf_block *b = NULL;

	if (!owned_enter(&cache->owned))
		return NULL;
	if (!bin->top && bin->spare) {
		bin_set_top(bin, bin->spare, counter_get(&bin->spare_count));
		bin_set_spare(bin, NULL, 0);
		bin_changed(bin, class);
	}
	if (bin->top)
		b = buf_bin_pop(bin);
	owned_leave(&cache->owned);
	return b;
}

/* Puts a magazine, with its part of held, into an empty bin; false: not now. */
static bool cache_fill(weft_buf_pool *pool, struct buf_cache *cache, struct weft_buf_block *m)
{
	struct buf_bin *bin = &cache->bins[m->class];
	uint64_t max = 2 * buf_class_limit(m->class), reserved, others;
	bool fits;

	if (!owned_enter(&cache->owned))
		return false;
	others = counter_get(&cache->reserved) - bin->reserved * m->room;
	reserved = bin->reserved + m->count;
	if (reserved > max)
		reserved = max;
	if (others + reserved * m->room > pool->cache_max)
		reserved = m->count;
	fits = !bin->top && !bin->spare && others + reserved * m->room <= pool->cache_max;
	if (fits) {
		if (bin->reserved + m->count > reserved)
			counter_sub(&pool->held, (bin->reserved + m->count - reserved) * m->room);
		bin_set_reserved(cache, m->class, reserved);
		bin_set_top(bin, m, m->count);
		bin_changed(bin, m->class);
	}
	owned_leave(&cache->owned);
	return fits;
}

/* cache may be NULL. */
static struct weft_buf_block *depot_take(
	weft_buf_pool *pool, struct buf_cache *cache, unsigned class)
{
	struct weft_buf_block *b = depot_pop(&pool->depots[class]), *rest;

	if (!b)
		return NULL;
	counter_sub(&pool->held, b->room);
	rest = b->next;
	if (!rest)
		return b;
	rest->count = (uint16_t)(b->count - 1);
	rest->next_magazine = NULL;
	if (!cache || !cache_fill(pool, cache, rest))
		buf_depots_push(pool, rest);
	return b;
}

struct weft_buf_block *buf_take_kept(
	weft_buf_pool *pool, struct buf_cache *cache, unsigned class, bool *from_bin)
{
	struct weft_buf_block *b = NULL;

	for (unsigned up = 0; !b && up < CLASSES_UP && class + up < BUF_CLASSES; up++) {
		b = cache ? cache_take(cache, class + up) : NULL;
		*from_bin = b;
		if (!b)
			b = depot_take(pool, cache, class + up);
	}
	return b;
}

void buf_shed(weft_buf_pool *pool, size_t room)
{
	struct weft_buf_block *out = NULL, *m;
	size_t bytes = 0;

	if (counter_get(&pool->held) <= counter_get(&pool->made) / KEPT_SHARE)
		return;
	for (unsigned i = 0; i < BUF_CLASSES && bytes < room; i++) {
		m = depot_pop(&pool->depots[counter_add(&pool->shed_next, 1) % BUF_CLASSES]);
		if (!m)
			continue;
		bytes += m->count * m->room;
		m->next_magazine = out;
		out = m;
	}
	buf_forget_all(pool, out);
}

/* --- giving back ---------------------------------------------------------------------- */

bool buf_give_to_bin(weft_buf_pool *pool, struct buf_cache *cache, struct weft_buf_block *b,
	struct weft_buf_block **out)
{
	struct buf_bin *bin = &cache->bins[b->class];
	uint32_t limit = buf_class_limit(b->class);
	bool fits;

	if (limit == 0 || b->room > pool->cache_max || !owned_enter(&cache->owned))
		return false;
	if (buf_bin_count(bin) == limit) {
		detach_spare(cache, bin, out);
		bin_set_spare(bin, bin->top, limit);
		bin_set_top(bin, NULL, 0);
		bin_changed(bin, b->class);
	}
	fits = buf_bin_push(bin, b) ||
		(bin_grow(pool, cache, b->class, out) && buf_bin_push(bin, b));
	owned_leave(&cache->owned);
	return fits;
}
