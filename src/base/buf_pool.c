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
#include "base/buf_keep.h"

#include "base/err.h"
#include "base/mem.h"

#include <pthread.h>
#include <string.h>

#define HELD_MAX_DEFAULT ((size_t)64 << 20)
#define CACHE_BYTES_MAX ((size_t)1 << 20) /* of one thread, in one pool */
#define CACHE_SHARE 16			  /* but no more than this part of held_max */

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
void buf_forget(struct weft_buf_block *b)
{
	weft_buf_pool *pool = b->pool;

	counter_sub(&pool->made, b->room);
	mem_free(b);
	pool_drop(pool);
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
		buf_cache_empty(pool, cache, out);
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
		counter_add(&to->taken_bytes, taken * buf_class_bytes(class));
		counter_add(&to->given_blocks, given);
		counter_add(&to->given_bytes, given * buf_class_bytes(class));
	}
}

/* Registry locked, which keeps the pool. False: the thread has no cache of it. */
static bool cache_dissolve(weft_buf_pool *pool, struct weft_buf_block **out)
{
	struct buf_cache *cache = cache_find(pool);

	if (!cache)
		return false;
	buf_cache_empty(pool, cache, out);
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
		buf_depots_push(pool, out);
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
	buf_depots_empty(pool, &out);
	buf_forget_all(pool, out);
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

	return (count <= buf_class_limit(class) ? count : 0) + counter_get(&bin->spare_count);
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
			s.cached_bytes +=
				bin_kept(&cache->bins[class], class) * buf_class_bytes(class);
	}
	pthread_mutex_unlock(&registry.lock);
	s.misses = counter_get(&sum.misses);
	s.oversized = counter_get(&sum.oversized);
	s.hits = difference(counter_get(&sum.taken_blocks), s.misses + s.oversized);
	s.live_blocks = difference(counter_get(&sum.taken_blocks), counter_get(&sum.given_blocks));
	s.live_bytes = difference(counter_get(&sum.taken_bytes), counter_get(&sum.given_bytes));
	s.held_bytes = s.cached_bytes;
	for (unsigned class = 0; class < BUF_CLASSES; class ++)
		s.held_bytes += counter_get(&pool->depots[class].blocks) * buf_class_bytes(class);
	*out = s;
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
	size_t room = class == BUF_CLASS_NONE ? size : buf_class_bytes(class);
	struct weft_buf_block *b;

	buf_shed(pool, room);
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
		b = buf_take_kept(pool, cache, class, &from_bin);
	}
	missed = !b;
	if (missed)
		b = make_new(pool, class, size, err);
	if (b && !from_bin)
		count_taken(pool, cache, b, missed);
	return b;
}

void buf_pool_give(struct weft_buf_block *b)
{
	weft_buf_pool *pool = b->pool;
	struct buf_cache *cache = NULL;
	struct weft_buf_block *out = NULL;

	if (b->class != BUF_CLASS_NONE && !counter_get(&pool->owner_gone))
		cache = cache_get(pool);
	if (cache) {
		bool is_kept = buf_give_to_bin(pool, cache, b, &out);

		/* when nothing is left in hand, the pool may be gone */
		buf_depots_push(pool, out);
		if (is_kept)
			return;
	}
	count_given(pool, cache, b);
	if (b->class == BUF_CLASS_NONE || !buf_depot_keep(pool, b))
		buf_forget(b);
}
