/* SPDX-License-Identifier: MIT */
#ifndef BASE_BUF_POOL_H
#define BASE_BUF_POOL_H

/*
 * The part of a pool that buf.c's fast path sees: what a thread has at hand.
 *
 * A thread finds its cache of a pool by the pool's slot in an array of its own, whose entry
 * has the pool's id: ids are never used again, so that an entry of a pool that is gone is
 * just another pool's. The cache belongs to the pool, which frees it.
 *
 * A cache has a bin for each class: two magazines, lists of at most `limit` blocks. Blocks
 * are taken from and put onto `top`; `spare` is a whole one or none. So a thread goes to the
 * depot once for `limit` operations at most, and moves a magazine there or back in O(1).
 */
#include "base/align.h"
#include "base/buf_block.h"
#include "base/counter.h"
#include "base/list.h"

#define BUF_CLASS_STEP_SHIFT 6 /* 64 B apart up to 256 B */
#define BUF_CLASS_FEW_SHIFT 8  /* then four a doubling */
#define BUF_CLASS_MAX_SHIFT 20 /* up to 1 MiB */
#define BUF_CLASSES (4 + 4 * (BUF_CLASS_MAX_SHIFT - BUF_CLASS_FEW_SHIFT))
#define BUF_CLASS_NONE 255
#define BUF_SLOTS 8 /* more pools than these in use by one thread at once: slower */

/* Below: the owner, inside `owned`; the counters are read by anybody. */
struct buf_bin {
	_Alignas(CACHE_LINE) struct weft_buf_block *top;
	struct weft_buf_block *spare;
	uint32_t top_count, spare_count;
	uint32_t limit; /* of each; 0: blocks of this class are not cached; fixed */
	struct counter taken, given;
};

struct buf_cache {
	struct owned owned;
	struct counter bytes;	 /* in the bins; never above reserved */
	struct counter reserved; /* of the pool's held_max */
	struct counter misses;	 /* of those that were taken, those that had to be made */
	uint32_t evict_next;	 /* class whose turn it is */
	uint64_t thread;	 /* number of the owner; fixed */
	struct list in_pool;	 /* under the registry's lock */
	struct buf_bin bins[BUF_CLASSES];
};

/* Of one class, for all threads: magazines, whole ones mostly. */
struct buf_depot {
	_Alignas(CACHE_LINE) struct claim claim;
	struct weft_buf_block *magazines; /* under claim */
	struct counter blocks;		  /* changed under claim */
};

/* What was done without a cache, or by threads that are gone. */
struct buf_totals {
	struct counter taken_blocks, taken_bytes, given_blocks, given_bytes;
	struct counter misses, oversized;
};

struct weft_buf_pool {
	uint64_t id;	      /* never used again; fixed */
	uint32_t slot;	      /* in a thread's array; fixed */
	struct refcount refs; /* the owner's, and one of each block, out or kept */
	size_t held_max, live_max, cache_max;
	struct list caches;			  /* buf_cache.in_pool; under the registry's lock */
	struct list in_pools;			  /* under the registry's lock */
	_Alignas(CACHE_LINE) struct counter held; /* bytes reserved by caches or in depots */
	struct counter live;			  /* bytes of all blocks; only with live_max */
	struct counter owner_gone;		  /* 1: blocks that come back are freed */
	struct buf_totals totals;
	struct buf_depot depots[BUF_CLASSES];
};

struct buf_slot {
	uint64_t pool_id; /* 0: none */
	struct buf_cache *cache;
};

/* initial-exec: found without a call, also in the shared library */
extern _Thread_local struct buf_slot buf_slots[BUF_SLOTS]
	__attribute__((tls_model("initial-exec")));

/* For what the fast path could not do. Both may make the thread's cache.
 * Errors: WEFT_ENOMEM, WEFT_ECAPACITY. */
struct weft_buf_block *buf_pool_take(weft_buf_pool *pool, size_t size, weft_err *err);
void buf_pool_give(struct weft_buf_block *block);

/* size is 1 or more; BUF_CLASS_NONE above the last class. */
static inline uint8_t buf_class_of(size_t size)
{
	size_t last = size - 1;
	unsigned shift;

	if (last < (size_t)1 << BUF_CLASS_FEW_SHIFT)
		return (uint8_t)(last >> BUF_CLASS_STEP_SHIFT);
	if (last >= (size_t)1 << BUF_CLASS_MAX_SHIFT)
		return BUF_CLASS_NONE;
	shift = 63 - (unsigned)__builtin_clzll(last);
	return (uint8_t)(4 + (shift - BUF_CLASS_FEW_SHIFT) * 4 + ((last >> (shift - 2)) & 3));
}

/* The calling thread's; NULL: not made yet, or not in its slot. */
static inline struct buf_cache *buf_cache_self(const weft_buf_pool *pool)
{
	const struct buf_slot *slot = &buf_slots[pool->slot];

	return weft_likely(slot->pool_id == pool->id) ? slot->cache : NULL;
}

/* Inside. top is not NULL. */
static inline struct weft_buf_block *buf_bin_pop(struct buf_cache *cache, struct buf_bin *bin)
{
	struct weft_buf_block *b = bin->top;

	bin->top = b->next;
	bin->top_count--;
	counter_own_sub(&cache->bytes, b->room);
	return b;
}

/* Inside. top has room, and so has what is reserved. */
static inline void buf_bin_push(
	struct buf_cache *cache, struct buf_bin *bin, struct weft_buf_block *b)
{
	b->next = bin->top;
	bin->top = b;
	bin->top_count++;
	counter_own_add(&cache->bytes, b->room);
}

/* NULL: none at hand. */
static inline struct weft_buf_block *buf_cache_take(struct buf_cache *cache, uint8_t class)
{
	struct buf_bin *bin = &cache->bins[class];
	struct weft_buf_block *b = NULL;

	if (weft_unlikely(!owned_enter(&cache->owned)))
		return NULL;
	if (weft_likely(bin->top != NULL)) {
		b = buf_bin_pop(cache, bin);
		counter_own_add(&bin->taken, 1);
	}
	owned_leave(&cache->owned);
	return b;
}

/* False: no room, the block is still the caller's. Afterwards the pool may be gone. */
static inline bool buf_cache_give(struct buf_cache *cache, struct weft_buf_block *b)
{
	struct buf_bin *bin = &cache->bins[b->class];
	bool fits;

	if (weft_unlikely(!owned_enter(&cache->owned)))
		return false;
	fits = bin->top_count < bin->limit &&
		counter_get(&cache->bytes) + b->room <= counter_get(&cache->reserved);
	if (weft_likely(fits)) {
		counter_own_add(&bin->given, 1);
		buf_bin_push(cache, bin, b);
	}
	owned_leave(&cache->owned);
	return fits;
}

#endif
