/* SPDX-License-Identifier: MIT */
#ifndef WEFT_BUF_H
#define WEFT_BUF_H

#include <weft/base.h>

#include <stdbool.h>

WEFT_BEGIN_DECLS
/*
 * weft_buf: a slice of reference-counted memory. Slices of one block share it; the
 * block goes back to its pool, or is freed, with the last of them.
 *
 * Lifetime: each slice has one owner, who unrefs it. Pools are reference counted by
 *           their blocks: a pool may be freed while blocks are out.
 * Threads:  reference counts are atomic: slices of one block may be owned by different
 *           fibers and threads. Writing to shared bytes is the caller's affair.
 *           A pool may be used from any fiber or thread.
 * Blocking: never.
 */
typedef struct weft_buf_pool weft_buf_pool;
struct weft_buf_block;

/* A small value; copy it only by weft_buf_ref or weft_buf_slice. */
typedef struct weft_buf {
	uint8_t *data;		      /* first byte; NULL in an empty value */
	size_t len;		      /* bytes that belong to the slice */
	struct weft_buf_block *block; /* owner of the memory; NULL: nothing to give back */
} weft_buf;

#define WEFT_BUF_EMPTY        \
	{                     \
		NULL, 0, NULL \
	}
#define WEFT_BUF_SIZE_MAX ((size_t)1 << 30)

typedef struct weft_buf_pool_options {
	size_t held_max; /* bytes kept for reuse; more are freed. 0: 64 MiB */
	size_t live_max; /* bytes out and kept at most: WEFT_ECAPACITY above. 0: no limit */
} weft_buf_pool_options;

#define WEFT_BUF_POOL_OPTIONS_DEFAULT \
	{                             \
		0, 0                  \
	}

/* Size classes: powers of two from 256 B to 1 MiB; larger blocks are made and freed
 * each time. options may be NULL. Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_buf_pool_create(
	weft_buf_pool **out, const weft_buf_pool_options *options);
/* Gives the owner's reference up; NULL is allowed. */
WEFT_API void weft_buf_pool_free(weft_buf_pool *pool);
/* Frees what is kept for reuse. */
WEFT_API void weft_buf_pool_trim(weft_buf_pool *pool);

typedef struct weft_buf_pool_stats {
	uint64_t hits, misses, oversized; /* allocations, since the pool was made */
	uint64_t live_bytes;		  /* in blocks that are out */
	uint64_t live_blocks;
	uint64_t held_bytes; /* kept for reuse */
} weft_buf_pool_stats;
WEFT_API void weft_buf_pool_stats_get(const weft_buf_pool *pool, weft_buf_pool_stats *out);

/* size bytes, not cleared; pool NULL: plain memory. *out owns them.
 * Errors: WEFT_EINVAL (0 or above WEFT_BUF_SIZE_MAX), WEFT_ENOMEM, WEFT_ECAPACITY. */
WEFT_API WEFT_MUST_CHECK weft_err weft_buf_alloc(weft_buf *out, weft_buf_pool *pool, size_t size);
/* The same, filled with a copy of data. */
WEFT_API WEFT_MUST_CHECK weft_err weft_buf_copy(
	weft_buf *out, weft_buf_pool *pool, const void *data, size_t size);
/* Memory of the caller's as a buffer: release(data, user) is called with the last
 * slice. Errors: WEFT_ENOMEM (then release is not called). */
WEFT_API WEFT_MUST_CHECK weft_err weft_buf_wrap(weft_buf *out, void *data, size_t size,
	void (*release)(void *data, void *user), void *user);
/* Another owner of the same bytes. */
WEFT_API weft_buf weft_buf_ref(const weft_buf *buf);
/* Another owner of a part; offset + len beyond the slice is a bug and asserts. */
WEFT_API weft_buf weft_buf_slice(const weft_buf *buf, size_t offset, size_t len);
/* Drops the first bytes of the slice; at most len. */
WEFT_API void weft_buf_advance(weft_buf *buf, size_t bytes);
/* True when no other slice shares the block, so that it may be written. */
WEFT_API bool weft_buf_is_unique(const weft_buf *buf);
/* Bytes from data to the end of the block: room to grow len into when unique. */
WEFT_API size_t weft_buf_room(const weft_buf *buf);
/* Gives the slice up and empties it; an empty one is allowed. */
WEFT_API void weft_buf_unref(weft_buf *buf);

WEFT_END_DECLS
#endif
