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
 * A cache has a bin for each class: two magazines, lists of at most a magazine's limit of
 * blocks. Blocks are taken from and put onto `top`; `spare` is a whole magazine or none. So a
 * thread goes to the depot once in so many operations, and moves a magazine in O(1).
 */
#include "base/align.h"
#include "base/buf_block.h"
#include "base/counter.h"
#include "base/list.h"

/* Classes: 64 B apart up to 512 B, then eight a doubling up to 1 MiB. */
#define BUF_CLASS_STEP_SHIFT 6
#define BUF_CLASS_PART_SHIFT 3
#define BUF_CLASS_PARTS (1u << BUF_CLASS_PART_SHIFT)
#define BUF_CLASS_FEW_SHIFT (BUF_CLASS_STEP_SHIFT + BUF_CLASS_PART_SHIFT)
#define BUF_CLASS_MAX_SHIFT 20
#define BUF_CLASSES (BUF_CLASS_PARTS * (1 + BUF_CLASS_MAX_SHIFT - BUF_CLASS_FEW_SHIFT))
#define BUF_CLASS_MAX ((size_t)1 << BUF_CLASS_MAX_SHIFT)
#define BUF_CLASS_NONE BUF_CLASSES /* its bin is never used */
#define BUF_SLOTS 8		   /* more pools than these in use by one thread at once: slower */

/* What was done without a bin: blocks that came from a depot or from malloc, or went there.
 * Of a cache: written by its owner. Of a pool: what was done without a cache, and by threads
 * that are gone. */
struct buf_totals {
	struct counter taken_blocks, taken_bytes, given_blocks, given_bytes;
	struct counter misses, oversized;
};

/* Written by the owner, inside; the counters are read by anybody. One cache line. */
struct buf_bin {
	_Alignas(CACHE_LINE) struct weft_buf_block *top;
	struct counter taken, given; /* from and to top */
	struct counter base;	     /* top has base + given - taken blocks */
	uint32_t top_max;	     /* blocks for which top has room; see bin_changed */
	uint32_t reserved;	     /* blocks of this class paid for; >= those in the bin */
	struct weft_buf_block *spare;
	struct counter spare_count; /* a magazine's limit, or 0 */
};

struct buf_cache {
	struct owned owned;
	struct counter reserved; /* bytes, of the pool's held_max; of all bins */
	unsigned evict_next;	 /* class whose turn it is */
	uint64_t thread;	 /* number of the owner; fixed */
	struct list in_pool;	 /* under the registry's lock */
	struct buf_totals totals;
	struct buf_bin bins[BUF_CLASSES + 1];
};

/* Of one class, for all threads: magazines, whole ones mostly. */
struct buf_depot {
	_Alignas(CACHE_LINE) struct claim claim;
	struct weft_buf_block *magazines; /* under claim */
	struct counter blocks;		  /* changed under claim */
};

struct weft_buf_pool {
	uint64_t id;	      /* never used again; fixed */
	uint32_t slot;	      /* in a thread's array; fixed */
	struct refcount refs; /* the owner's, and one of each block, out or kept */
	size_t held_max, live_max, cache_max;
	struct list caches;			  /* buf_cache.in_pool; under the registry's lock */
	struct list in_pools;			  /* under the registry's lock */
	_Alignas(CACHE_LINE) struct counter held; /* bytes reserved by caches or in depots */
	struct counter shed_next;		  /* class whose turn it is */
	struct counter made;			  /* bytes of all blocks, out or kept */
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
static inline unsigned buf_class_of(size_t size)
{
	size_t last = size - 1;
	unsigned shift;

	if (last < (size_t)1 << BUF_CLASS_FEW_SHIFT)
		return (unsigned)(last >> BUF_CLASS_STEP_SHIFT);
	if (last >= BUF_CLASS_MAX)
		return BUF_CLASS_NONE;
	shift = 63 - (unsigned)__builtin_clzll(last);
	return (shift - BUF_CLASS_FEW_SHIFT + 1) * BUF_CLASS_PARTS +
		((unsigned)(last >> (shift - BUF_CLASS_PART_SHIFT)) & (BUF_CLASS_PARTS - 1));
}

/* The calling thread's place for its cache of a pool. */
static inline struct buf_slot *buf_slot_self(const weft_buf_pool *pool)
{
	return &buf_slots[pool->slot];
}

/* False: the cache was not made yet, or another pool has taken its slot. */
static inline bool buf_slot_is_of(const struct buf_slot *slot, const weft_buf_pool *pool)
{
	return weft_likely(slot->pool_id == pool->id);
}

static inline uint64_t buf_bin_count(const struct buf_bin *bin)
{
	return counter_get(&bin->base) + counter_get(&bin->given) - counter_get(&bin->taken);
}

/* Inside. top is not NULL. */
static inline struct weft_buf_block *buf_bin_pop(struct buf_bin *bin)
{
	struct weft_buf_block *b = bin->top;

	bin->top = b->next;
	counter_own_add(&bin->taken, 1);
	return b;
}

/* NULL: none at hand. */
static inline struct weft_buf_block *buf_cache_take(struct buf_cache *cache, size_t class)
{
	struct buf_bin *bin = &cache->bins[class];
	struct weft_buf_block *b = NULL;

	if (weft_unlikely(!owned_enter_fast(&cache->owned)))
		return NULL;
	if (weft_likely(bin->top != NULL))
		b = buf_bin_pop(bin);
	owned_leave(&cache->owned);
	return b;
}

/* Inside. False: top is full. */
static inline bool buf_bin_push(struct buf_bin *bin, struct weft_buf_block *b)
{
	uint64_t given = counter_get(&bin->given);

	if (counter_get(&bin->base) + given - counter_get(&bin->taken) >= bin->top_max)
		return false;
	counter_set(&bin->given, given + 1);
	b->next = bin->top;
	bin->top = b;
	return true;
}

/* False: no room, the block is still the caller's. Afterwards the pool may be gone. */
static inline bool buf_cache_give(struct buf_cache *cache, struct weft_buf_block *b)
{
	bool fits;

	if (weft_unlikely(!owned_enter_fast(&cache->owned)))
		return false;
	fits = buf_bin_push(&cache->bins[b->class], b);
	owned_leave(&cache->owned);
	return fits;
}

#endif
