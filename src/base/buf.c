/* SPDX-License-Identifier: MIT */
/*
 * Reference-counted buffers and their pools.
 *
 *	block:  | struct weft_buf_block | ... room bytes ... |
 *
 * A pool keeps free blocks by size class, spread over shards. A thread uses the shard of
 * its number; when another thread holds that shard just now, the block is made or freed
 * as if the pool were empty or full: nobody waits, and no list is popped by two.
 *
 * References on a pool: its owner's, and one for each block that is out.
 *
 * Cost of taking and giving back a kept block: about eight atomic operations, no system
 * call, no lock.
 */
#include "base/align.h"
#include "base/buf_block.h"
#include "base/check.h"
#include "base/counter.h"
#include "base/err.h"
#include "base/mem.h"

#include <string.h>

#define CLASS_MIN_SHIFT 8  /* 256 B */
#define CLASS_MAX_SHIFT 20 /* 1 MiB */
#define CLASSES (CLASS_MAX_SHIFT - CLASS_MIN_SHIFT + 1)
#define CLASS_NONE UINT32_MAX
#define SHARDS 8
#define HELD_MAX_DEFAULT ((size_t)64 << 20)

struct shard {
	_Alignas(CACHE_LINE) struct claim claim;
	struct weft_buf_block *free[CLASSES]; /* under claim */
	struct counter hits, misses, oversized;
	struct counter out_bytes, back_bytes, out_blocks, back_blocks;
};

struct weft_buf_pool {
	struct refcount refs;
	size_t held_max, live_max;
	struct counter held;	   /* bytes kept */
	struct counter live;	   /* bytes out and kept; only with live_max */
	struct counter owner_gone; /* 1: blocks that come back are freed */
	struct shard shards[SHARDS];
};

static struct counter thread_numbers;
static _Thread_local unsigned thread_number; /* 0: not given yet */

static struct shard *shard_self(weft_buf_pool *pool)
{
	if (thread_number == 0)
		thread_number = (unsigned)(counter_add(&thread_numbers, 1) % SHARDS) + 1;
	return &pool->shards[thread_number - 1];
}

static uint32_t class_of(size_t size)
{
	uint32_t class = 0;

	while (class < CLASSES && ((size_t)1 << (CLASS_MIN_SHIFT + class)) < size)
		class ++;
	return class < CLASSES ? class : CLASS_NONE;
}

static size_t class_bytes(uint32_t class)
{
	return (size_t)1 << (CLASS_MIN_SHIFT + class);
}

static struct weft_buf_block *block_make(size_t room)
{
	size_t head = (sizeof(struct weft_buf_block) + 15) & ~(size_t)15;
	struct weft_buf_block *b = mem_alloc(head + room);

	if (!b)
		return NULL;
	memset(b, 0, sizeof(*b));
	b->room = room;
	b->data = (uint8_t *)b + head;
	return b;
}

/* --- pools ---------------------------------------------------------------------------- */

weft_err weft_buf_pool_create(weft_buf_pool **out, const weft_buf_pool_options *options)
{
	weft_buf_pool *pool = mem_aligned(CACHE_LINE, sizeof(*pool));

	if (!pool)
		return err_set(WEFT_ENOMEM);
	memset(pool, 0, sizeof(*pool));
	refcount_init(&pool->refs, 1);
	pool->held_max = options && options->held_max ? options->held_max : HELD_MAX_DEFAULT;
	pool->live_max = options ? options->live_max : 0;
	*out = pool;
	return WEFT_OK;
}

static void forget(weft_buf_pool *pool, struct weft_buf_block *b)
{
	if (pool->live_max)
		counter_sub(&pool->live, b->room);
	mem_free(b);
}

/* Frees what one shard keeps. Claim held, or nobody else left. */
static void shard_empty(weft_buf_pool *pool, struct shard *shard)
{
	for (uint32_t class = 0; class < CLASSES; class ++) {
		struct weft_buf_block *b = shard->free[class];

		shard->free[class] = NULL;
		while (b) {
			struct weft_buf_block *next = b->next;

			counter_sub(&pool->held, b->room);
			forget(pool, b);
			b = next;
		}
	}
}

static void pool_drop(weft_buf_pool *pool)
{
	if (!refcount_drop(&pool->refs))
		return;
	for (size_t i = 0; i < SHARDS; i++)
		shard_empty(pool, &pool->shards[i]);
	mem_free(pool);
}

void weft_buf_pool_trim(weft_buf_pool *pool)
{
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *shard = &pool->shards[i];

		/* taken: its user goes on filling it anyway */
		if (!claim_try(&shard->claim))
			continue;
		shard_empty(pool, shard);
		claim_release(&shard->claim);
	}
}

void weft_buf_pool_free(weft_buf_pool *pool)
{
	if (!pool)
		return;
	counter_set(&pool->owner_gone, 1);
	weft_buf_pool_trim(pool);
	pool_drop(pool);
}

void weft_buf_pool_stats_get(const weft_buf_pool *pool, weft_buf_pool_stats *out)
{
	weft_buf_pool_stats s = { 0 };
	uint64_t bytes_back = 0, blocks_back = 0;

	/* what came back before what went out: a difference is never negative */
	for (size_t i = 0; i < SHARDS; i++) {
		bytes_back += counter_get(&pool->shards[i].back_bytes);
		blocks_back += counter_get(&pool->shards[i].back_blocks);
	}
	for (size_t i = 0; i < SHARDS; i++) {
		const struct shard *shard = &pool->shards[i];

		s.hits += counter_get(&shard->hits);
		s.misses += counter_get(&shard->misses);
		s.oversized += counter_get(&shard->oversized);
		s.live_bytes += counter_get(&shard->out_bytes);
		s.live_blocks += counter_get(&shard->out_blocks);
	}
	s.live_bytes -= bytes_back;
	s.live_blocks -= blocks_back;
	s.held_bytes = counter_get(&pool->held);
	*out = s;
}

static struct weft_buf_block *take_kept(weft_buf_pool *pool, struct shard *shard, uint32_t class)
{
	struct weft_buf_block *b;

	if (class == CLASS_NONE || !claim_try(&shard->claim))
		return NULL;
	b = shard->free[class];
	if (b)
		shard->free[class] = b->next;
	claim_release(&shard->claim);
	if (b)
		counter_sub(&pool->held, b->room);
	return b;
}

static struct weft_buf_block *make_new(
	weft_buf_pool *pool, uint32_t class, size_t size, weft_err *err)
{
	size_t room = class == CLASS_NONE ? size : class_bytes(class);
	struct weft_buf_block *b;

	if (pool->live_max && !counter_try_add(&pool->live, room, pool->live_max)) {
		*err = err_setf(WEFT_ECAPACITY, "buffer pool: %zu bytes more than live_max %zu",
			room, pool->live_max);
		return NULL;
	}
	b = block_make(room);
	if (!b) {
		if (pool->live_max)
			counter_sub(&pool->live, room);
		*err = err_set(WEFT_ENOMEM);
		return NULL;
	}
	b->class = class;
	return b;
}

static struct weft_buf_block *pool_take(weft_buf_pool *pool, size_t size, weft_err *err)
{
	uint32_t class = class_of(size);
	struct shard *shard = shard_self(pool);
	struct weft_buf_block *b = take_kept(pool, shard, class);

	if (b) {
		counter_add(&shard->hits, 1);
	} else {
		b = make_new(pool, class, size, err);
		if (!b)
			return NULL;
		counter_add(class == CLASS_NONE ? &shard->oversized : &shard->misses, 1);
	}
	refcount_hold(&pool->refs);
	b->pool = pool;
	counter_add(&shard->out_bytes, b->room);
	counter_add(&shard->out_blocks, 1);
	return b;
}

static bool keep(weft_buf_pool *pool, struct shard *shard, struct weft_buf_block *b)
{
	if (b->class == CLASS_NONE || counter_get(&pool->owner_gone) ||
		!counter_try_add(&pool->held, b->room, pool->held_max))
		return false;
	if (!claim_try(&shard->claim)) {
		counter_sub(&pool->held, b->room);
		return false;
	}
	b->next = shard->free[b->class];
	shard->free[b->class] = b;
	claim_release(&shard->claim);
	return true;
}

static void pool_return(struct weft_buf_block *b)
{
	weft_buf_pool *pool = b->pool;
	struct shard *shard = shard_self(pool);

	counter_add(&shard->back_bytes, b->room);
	counter_add(&shard->back_blocks, 1);
	if (!keep(pool, shard, b))
		forget(pool, b);
	pool_drop(pool);
}

/* --- buffers -------------------------------------------------------------------------- */

weft_err weft_buf_alloc(weft_buf *out, weft_buf_pool *pool, size_t size)
{
	struct weft_buf_block *b;
	weft_err err = WEFT_ENOMEM;

	if (size == 0 || size > WEFT_BUF_SIZE_MAX)
		return err_setf(WEFT_EINVAL, "buffer: size %zu, allowed is 1..%zu", size,
			WEFT_BUF_SIZE_MAX);
	if (pool) {
		b = pool_take(pool, size, &err);
	} else {
		b = block_make(size);
		if (b)
			b->class = CLASS_NONE;
	}
	if (!b)
		return pool ? err : err_set(err);
	refcount_init(&b->refs, 1);
	*out = (weft_buf){ b->data, size, b };
	return WEFT_OK;
}

weft_err weft_buf_copy(weft_buf *out, weft_buf_pool *pool, const void *data, size_t size)
{
	weft_err err = weft_buf_alloc(out, pool, size);

	if (!err)
		memcpy(out->data, data, size);
	return err;
}

weft_err weft_buf_wrap(
	weft_buf *out, void *data, size_t size, void (*release)(void *data, void *user), void *user)
{
	struct weft_buf_block *b = block_make(0);

	if (!b)
		return err_set(WEFT_ENOMEM);
	refcount_init(&b->refs, 1);
	b->class = CLASS_NONE;
	b->data = data;
	b->room = size;
	b->release = release;
	b->user = user;
	*out = (weft_buf){ data, size, b };
	return WEFT_OK;
}

weft_buf buf_block_init(struct weft_buf_block *b, uint8_t *data, size_t room,
	void (*release)(void *data, void *user), void *user)
{
	memset(b, 0, sizeof(*b));
	refcount_init(&b->refs, 1);
	b->class = CLASS_NONE;
	b->embedded = true;
	b->data = data;
	b->room = room;
	b->release = release;
	b->user = user;
	return (weft_buf){ data, room, b };
}

weft_buf weft_buf_ref(const weft_buf *buf)
{
	if (buf->block)
		refcount_hold(&buf->block->refs);
	return *buf;
}

weft_buf weft_buf_slice(const weft_buf *buf, size_t offset, size_t len)
{
	weft_buf slice;

	CHECK(offset <= buf->len && len <= buf->len - offset);
	slice = weft_buf_ref(buf);
	if (slice.data)
		slice.data += offset;
	slice.len = len;
	return slice;
}

void weft_buf_advance(weft_buf *buf, size_t bytes)
{
	CHECK(bytes <= buf->len);
	if (buf->data)
		buf->data += bytes;
	buf->len -= bytes;
}

bool weft_buf_is_unique(const weft_buf *buf)
{
	return buf->block && refcount_is_one(&buf->block->refs);
}

size_t weft_buf_room(const weft_buf *buf)
{
	return buf->block ? (size_t)(buf->block->data + buf->block->room - buf->data) : 0;
}

static void block_free(struct weft_buf_block *b)
{
	bool embedded = b->embedded; /* release may free it */

	if (b->pool) {
		pool_return(b);
		return;
	}
	if (b->release)
		b->release(b->data, b->user);
	if (!embedded)
		mem_free(b);
}

void weft_buf_unref(weft_buf *buf)
{
	struct weft_buf_block *b = buf->block;

	*buf = (weft_buf)WEFT_BUF_EMPTY;
	if (b && refcount_drop(&b->refs))
		block_free(b);
}
