/* SPDX-License-Identifier: MIT */
/*
 * Pools of buffers.
 *
 *	thread's cache:  a bin a class, two magazines of blocks    one thread, no lock
 *	depot a class:   magazines                                 claimed for a few instructions
 *	malloc
 *
 * What always holds: each block, out or kept, holds a reference on its pool, so that what is
 * done to a block that comes back may end with the pool's end: nothing of the pool is touched
 * after the step that gave the block away. `held` is what caches have reserved and what is in
 * depots, never more than held_max; a magazine that moves takes its part of it along. A cache
 * holds no more than it reserved.
 *
 * Blocks that one thread allocates and another frees go round by the depots, a magazine at a
 * time. A depot that is claimed by somebody just now is as good as an empty or a full one:
 * nobody waits for it but who frees all there is.
 *
 * A cache is emptied by others through struct owned (refcount.h): by who trims, by who frees
 * the pool (then its owner never gets in again), and when live_max is reached.
 *
 * Cost of taking and giving back a block that is at hand: no read-modify-write, no call of
 * the system, four cache lines (bin, head of the cache, head of the block, thread's slot).
 * Every `limit` of them, at most: a claim, and one addition to `held`. One that has to be
 * made: malloc and one or two additions.
 *
 * The registry knows the pools that there are, so that a thread that ends finds its caches.
 * Its lock is taken when a pool is made or goes, when a thread uses a pool for the first time
 * or ends, for a trim and for statistics.
 */
#include "base/buf_pool.h"

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#define HELD_MAX_DEFAULT ((size_t)64 << 20)
#define CACHE_BYTES_MAX ((size_t)1 << 20)   /* of one thread, in one pool */
#define CACHE_SHARE 16			    /* but no more than this part of held_max */
#define CACHE_BLOCK_MAX ((size_t)256 << 10) /* larger ones are only in depots */
#define MAGAZINE_BYTES ((size_t)128 << 10)  /* at most, but one block */
#define MAGAZINE_BLOCKS 64		    /* at most */
#define KEPT_SHARE 16 /* keeping more than this part of all is too much when one is made */
#define RESERVE_STEP ((size_t)64 << 10)
#define CLAIM_TRIES 16
#define CLASSES_UP (BUF_CLASS_PARTS / 2) /* a block half as large again will do */

_Thread_local struct buf_slot buf_slots[BUF_SLOTS] __attribute__((tls_model("initial-exec")));
static _Thread_local uint64_t thread_number; /* 0: has made no cache yet */

static struct {
	pthread_mutex_t lock;
	struct list pools; /* weft_buf_pool.in_pools */
	uint64_t pool_ids, thread_numbers;
	unsigned slot_pools[BUF_SLOTS]; /* how many pools share a slot */
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER, .pools = { &registry.pools, &registry.pools } };

static pthread_once_t thread_key_once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key; /* not NULL in a thread that has caches */
static bool has_thread_key;

static size_t class_bytes(unsigned class)
{
	size_t base;

	if (class < BUF_CLASS_PARTS)
		return (size_t)(class + 1) << BUF_CLASS_STEP_SHIFT;
	base = (size_t)1 << (BUF_CLASS_FEW_SHIFT - 1 + class / BUF_CLASS_PARTS);
	return base + base / BUF_CLASS_PARTS * (class % BUF_CLASS_PARTS + 1);
}

static uint32_t class_limit(unsigned class)
{
	size_t blocks = MAGAZINE_BYTES / class_bytes(class);

	if (class_bytes(class) > CACHE_BLOCK_MAX)
		return 0;
	if (blocks > MAGAZINE_BLOCKS)
		return MAGAZINE_BLOCKS;
	return blocks ? (uint32_t)blocks : 1;
}

static void pool_drop(weft_buf_pool *pool)
{
	if (!refcount_drop(&pool->refs))
		return;
	pthread_mutex_lock(&registry.lock);
	list_remove(&pool->in_pools);
	registry.slot_pools[pool->slot]--;
	pthread_mutex_unlock(&registry.lock);
	list_for_each_safe(it, next, &pool->caches)
		mem_free(container_of(it, struct buf_cache, in_pool));
	mem_free(pool);
}

/* Frees one block of a pool; the pool may go with it. */
static void forget(struct weft_buf_block *b)
{
	weft_buf_pool *pool = b->pool;

	counter_sub(&pool->made, b->room);
	mem_free(b);
	pool_drop(pool);
}

/* Frees all of a pool that are in a list, with their part of held. */
static void forget_magazines(weft_buf_pool *pool, struct weft_buf_block *magazines)
{
	while (magazines) {
		struct weft_buf_block *b = magazines;

		magazines = b->next_magazine;
		counter_sub(&pool->held, b->count * b->room);
		while (b) {
			struct weft_buf_block *next = b->next;

			forget(b);
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

/* The same for all in a list; frees those for which there is no place. */
static void depot_push_all(weft_buf_pool *pool, struct weft_buf_block *magazines)
{
	while (magazines) {
		struct weft_buf_block *m = magazines;

		magazines = m->next_magazine;
		if (depot_push(pool, m))
			continue;
		m->next_magazine = NULL;
		forget_magazines(pool, m);
	}
}

/* One block by itself. Returns as depot_push. */
static bool depot_keep(weft_buf_pool *pool, struct weft_buf_block *b)
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

/* Takes all there is, and waits for claims; puts it in front of *out, with its part of held. */
static void depots_empty(weft_buf_pool *pool, struct weft_buf_block **out)
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
	uint32_t limit = class_limit(class);

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

	counter_own_add(&cache->reserved, (blocks - bin->reserved) * class_bytes(class));
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
	counter_sub(&pool->held, bin->reserved * class_bytes(class));
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
	uint64_t bytes = blocks * class_bytes(class);

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
	uint64_t left = 2 * class_limit(class) - cache->bins[class].reserved;
	uint64_t step = RESERVE_STEP / class_bytes(class);

	if (step > left)
		step = left;
	if (step > 1 && bin_reserve(pool, cache, class, step))
		return true;
	if (bin_reserve(pool, cache, class, 1))
		return true;
	if (counter_get(&cache->reserved) + class_bytes(class) <= pool->cache_max)
		return false; /* it is held_max */
	evict(pool, cache, out);
	return bin_reserve(pool, cache, class, 1);
}

static void cache_empty(weft_buf_pool *pool, struct buf_cache *cache, struct weft_buf_block **out)
{
	for (unsigned class = 0; class < BUF_CLASSES; class ++)
		if (cache->bins[class].reserved)
			bin_empty(pool, cache, class, out);
}

/* Registry locked. Takes what all caches hold; for_good: their owners find them closed from
 * now on. */
static void caches_empty(weft_buf_pool *pool, struct weft_buf_block **out, bool for_good)
{
	bool others = false;

	list_for_each(it, &pool->caches) {
		struct buf_cache *cache = container_of(it, struct buf_cache, in_pool);

		owned_want(&cache->owned);
		others |= cache->thread != thread_number;
	}
	if (others)
		owned_barrier();
	list_for_each(it, &pool->caches) {
		struct buf_cache *cache = container_of(it, struct buf_cache, in_pool);

		owned_await(&cache->owned);
		cache_empty(pool, cache, out);
		if (!for_good)
			owned_give_back(&cache->owned);
	}
}

/* Registry locked. */
static struct buf_cache *cache_find(const weft_buf_pool *pool)
{
	list_for_each(it, &pool->caches) {
		struct buf_cache *cache = container_of(it, struct buf_cache, in_pool);

		if (cache->thread == thread_number)
			return cache;
	}
	return NULL;
}

static void totals_add(struct buf_totals *to, const struct buf_totals *from)
{
	counter_add(&to->taken_blocks, counter_get(&from->taken_blocks));
	counter_add(&to->taken_bytes, counter_get(&from->taken_bytes));
	counter_add(&to->given_blocks, counter_get(&from->given_blocks));
	counter_add(&to->given_bytes, counter_get(&from->given_bytes));
	counter_add(&to->misses, counter_get(&from->misses));
	counter_add(&to->oversized, counter_get(&from->oversized));
}

/* Adds what a cache and its bins have counted. */
static void totals_add_cache(struct buf_totals *to, const struct buf_cache *cache)
{
	totals_add(to, &cache->totals);
	for (unsigned class = 0; class < BUF_CLASSES; class ++) {
		uint64_t taken = counter_get(&cache->bins[class].taken);
		uint64_t given = counter_get(&cache->bins[class].given);

		counter_add(&to->taken_blocks, taken);
		counter_add(&to->taken_bytes, taken * class_bytes(class));
		counter_add(&to->given_blocks, given);
		counter_add(&to->given_bytes, given * class_bytes(class));
	}
}

/* Registry locked, which keeps the pool. False: the thread has no cache of it. */
static bool cache_dissolve(weft_buf_pool *pool, struct weft_buf_block **out)
{
	struct buf_cache *cache = cache_find(pool);

	if (!cache)
		return false;
	cache_empty(pool, cache, out);
	totals_add_cache(&pool->totals, cache);
	list_remove(&cache->in_pool);
	mem_free(cache);
	return true;
}

/* One pool at a time: the blocks in hand keep it when the lock is gone. */
static bool thread_leaves_pool(void)
{
	struct weft_buf_block *out = NULL;
	weft_buf_pool *pool = NULL;
	bool found = false;

	pthread_mutex_lock(&registry.lock);
	list_for_each(it, &registry.pools) {
		pool = container_of(it, weft_buf_pool, in_pools);
		found = cache_dissolve(pool, &out);
		if (found)
			break;
	}
	pthread_mutex_unlock(&registry.lock);
	if (out)
		depot_push_all(pool, out);
	return found;
}

static void thread_gone(void *unused)
{
	(void)unused;
	while (thread_leaves_pool())
		;
	memset(buf_slots, 0, sizeof(buf_slots));
}

static void make_thread_key(void)
{
	has_thread_key = pthread_key_create(&thread_key, thread_gone) == 0;
}

static struct buf_cache *cache_make(void)
{
	struct buf_cache *cache;

	pthread_once(&thread_key_once, make_thread_key);
	/* without it nobody would empty the cache when the thread ends */
	if (!has_thread_key || pthread_setspecific(thread_key, &registry))
		return NULL;
	cache = mem_aligned(CACHE_LINE, sizeof(*cache));
	if (!cache)
		return NULL;
	memset(cache, 0, sizeof(*cache));
	owned_init(&cache->owned);
	return cache;
}

/* The calling thread's; NULL: the pool's owner has gone, or there is no memory for one. */
static struct buf_cache *cache_get(weft_buf_pool *pool)
{
	struct buf_slot *slot = buf_slot_self(pool);
	struct buf_cache *cache, *made = NULL;

	if (buf_slot_is_of(slot, pool))
		return slot->cache;
	pthread_mutex_lock(&registry.lock);
	if (thread_number == 0)
		thread_number = ++registry.thread_numbers;
	cache = cache_find(pool);
	pthread_mutex_unlock(&registry.lock);
	if (!cache && !(made = cache_make()))
		return NULL;
	pthread_mutex_lock(&registry.lock);
	if (made && !counter_get(&pool->owner_gone)) {
		cache = made;
		made = NULL;
		cache->thread = thread_number;
		list_push_front(&pool->caches, &cache->in_pool);
	}
	pthread_mutex_unlock(&registry.lock);
	mem_free(made);
	if (cache)
		*slot = (struct buf_slot){ pool->id, cache };
	return cache;
}

/* --- pools ---------------------------------------------------------------------------- */

weft_err weft_buf_pool_create(weft_buf_pool **out, const weft_buf_pool_options *options)
{
	weft_buf_pool *pool = mem_aligned(CACHE_LINE, sizeof(*pool));
	uint32_t slot = 0;

	if (!pool)
		return err_set(WEFT_ENOMEM);
	memset(pool, 0, sizeof(*pool));
	refcount_init(&pool->refs, 1);
	list_init(&pool->caches);
	pool->held_max = options && options->held_max ? options->held_max : HELD_MAX_DEFAULT;
	pool->live_max = options ? options->live_max : 0;
	pool->cache_max = pool->held_max / CACHE_SHARE;
	if (pool->cache_max > CACHE_BYTES_MAX)
		pool->cache_max = CACHE_BYTES_MAX;
	pthread_mutex_lock(&registry.lock);
	for (uint32_t i = 1; i < BUF_SLOTS; i++)
		if (registry.slot_pools[i] < registry.slot_pools[slot])
			slot = i;
	registry.slot_pools[slot]++;
	pool->slot = slot;
	pool->id = ++registry.pool_ids;
	list_push_back(&registry.pools, &pool->in_pools);
	pthread_mutex_unlock(&registry.lock);
	*out = pool;
	return WEFT_OK;
}

static void pool_empty(weft_buf_pool *pool, bool for_good)
{
	struct weft_buf_block *out = NULL;

	pthread_mutex_lock(&registry.lock);
	caches_empty(pool, &out, for_good);
	pthread_mutex_unlock(&registry.lock);
	depots_empty(pool, &out);
	forget_magazines(pool, out);
}

void weft_buf_pool_trim(weft_buf_pool *pool)
{
	pool_empty(pool, false);
	mem_give_back();
}

void weft_buf_pool_free(weft_buf_pool *pool)
{
	if (!pool)
		return;
	counter_set(&pool->owner_gone, 1);
	pool_empty(pool, true);
	pool_drop(pool);
}

/* Read while others use the pool a difference may be anything. */
static uint64_t difference(uint64_t out, uint64_t back)
{
	return out > back ? out - back : 0;
}

static uint64_t bin_kept(const struct buf_bin *bin, unsigned class)
{
	uint64_t count = buf_bin_count(bin);

	return (count <= class_limit(class) ? count : 0) + counter_get(&bin->spare_count);
}

void weft_buf_pool_stats_get(const weft_buf_pool *pool, weft_buf_pool_stats *out)
{
	struct buf_totals sum = { 0 };
	weft_buf_pool_stats s = { 0 };

	pthread_mutex_lock(&registry.lock);
	totals_add(&sum, &pool->totals);
	list_for_each(it, &pool->caches) {
		const struct buf_cache *cache = container_of(it, struct buf_cache, in_pool);

		totals_add_cache(&sum, cache);
		for (unsigned class = 0; class < BUF_CLASSES; class ++)
			s.cached_bytes += bin_kept(&cache->bins[class], class) * class_bytes(class);
	}
	pthread_mutex_unlock(&registry.lock);
	s.misses = counter_get(&sum.misses);
	s.oversized = counter_get(&sum.oversized);
	s.hits = difference(counter_get(&sum.taken_blocks), s.misses + s.oversized);
	s.live_blocks = difference(counter_get(&sum.taken_blocks), counter_get(&sum.given_blocks));
	s.live_bytes = difference(counter_get(&sum.taken_bytes), counter_get(&sum.given_bytes));
	s.held_bytes = s.cached_bytes;
	for (unsigned class = 0; class < BUF_CLASSES; class ++)
		s.held_bytes += counter_get(&pool->depots[class].blocks) * class_bytes(class);
	*out = s;
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
	uint64_t max = 2 * class_limit(m->class), reserved, others;
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
		depot_push_all(pool, rest);
	return b;
}

/* *from_bin: it is counted there. */
static struct weft_buf_block *take_kept(
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

/*
 * Before a block is made: frees about as much of other classes, when a good part of all
 * there is lies in depots. So a pool stays about as large as the most that was out at once,
 * however the sizes change.
 */
static void shed(weft_buf_pool *pool, size_t room)
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
	forget_magazines(pool, out);
}

static bool made_add(weft_buf_pool *pool, size_t room)
{
	if (!pool->live_max) {
		counter_add(&pool->made, room);
		return true;
	}
	if (counter_try_add(&pool->made, room, pool->live_max))
		return true;
	if (counter_get(&pool->held) == 0)
		return false;
	pool_empty(pool, false);
	return counter_try_add(&pool->made, room, pool->live_max);
}

static struct weft_buf_block *make_new(
	weft_buf_pool *pool, unsigned class, size_t size, weft_err *err)
{
	size_t room = class == BUF_CLASS_NONE ? size : class_bytes(class);
	struct weft_buf_block *b;

	shed(pool, room);
	if (!made_add(pool, room)) {
		*err = err_setf(WEFT_ECAPACITY, "buffer pool: %zu bytes more than live_max %zu",
			room, pool->live_max);
		return NULL;
	}
	b = buf_block_make(room);
	if (!b) {
		counter_sub(&pool->made, room);
		*err = err_set(WEFT_ENOMEM);
		return NULL;
	}
	b->class = (uint8_t) class;
	b->pool = pool;
	refcount_hold(&pool->refs);
	return b;
}

/* A block from elsewhere than a bin. */
static void count_taken(
	weft_buf_pool *pool, struct buf_cache *cache, const struct weft_buf_block *b, bool missed)
{
	struct buf_totals *totals = &pool->totals;

	if (cache) {
		totals = &cache->totals;
		counter_own_add(&totals->taken_blocks, 1);
		counter_own_add(&totals->taken_bytes, b->room);
		counter_own_add(&totals->misses, missed);
		return;
	}
	counter_add(&totals->taken_blocks, 1);
	counter_add(&totals->taken_bytes, b->room);
	if (missed)
		counter_add(b->class == BUF_CLASS_NONE ? &totals->oversized : &totals->misses, 1);
}

static void count_given(
	weft_buf_pool *pool, struct buf_cache *cache, const struct weft_buf_block *b)
{
	struct buf_totals *totals = &pool->totals;

	if (cache) {
		totals = &cache->totals;
		counter_own_add(&totals->given_blocks, 1);
		counter_own_add(&totals->given_bytes, b->room);
		return;
	}
	counter_add(&totals->given_blocks, 1);
	counter_add(&totals->given_bytes, b->room);
}

struct weft_buf_block *buf_pool_take(weft_buf_pool *pool, size_t size, weft_err *err)
{
	unsigned class = buf_class_of(size);
	struct buf_cache *cache = NULL;
	struct weft_buf_block *b = NULL;
	bool from_bin = false, missed;

	if (class != BUF_CLASS_NONE) {
		cache = cache_get(pool);
		b = take_kept(pool, cache, class, &from_bin);
	}
	missed = !b;
	if (missed)
		b = make_new(pool, class, size, err);
	if (b && !from_bin)
		count_taken(pool, cache, b, missed);
	return b;
}

/* --- giving back ---------------------------------------------------------------------- */

/*
 * Puts b into its bin, which may be full, or may have reserved too little: whole magazines
 * that have to make room go in front of *out. False: b has no place here.
 */
static bool cache_give(weft_buf_pool *pool, struct buf_cache *cache, struct weft_buf_block *b,
	struct weft_buf_block **out)
{
	struct buf_bin *bin = &cache->bins[b->class];
	uint32_t limit = class_limit(b->class);
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

void buf_pool_give(struct weft_buf_block *b)
{
	weft_buf_pool *pool = b->pool;
	struct buf_cache *cache = NULL;
	struct weft_buf_block *out = NULL;

	if (b->class != BUF_CLASS_NONE && !counter_get(&pool->owner_gone))
		cache = cache_get(pool);
	if (cache) {
		bool is_kept = cache_give(pool, cache, b, &out);

		/* when nothing is left in hand, the pool may be gone */
		depot_push_all(pool, out);
		if (is_kept)
			return;
	}
	count_given(pool, cache, b);
	if (b->class == BUF_CLASS_NONE || !depot_keep(pool, b))
		forget(b);
}
