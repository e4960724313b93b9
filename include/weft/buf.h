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
 *           A pool may be used from any fiber or thread. Each thread that uses one, so each
 *           worker, keeps some of its blocks at hand; what is freed by another thread than
 *           allocated it finds its way back. They are given up when the thread ends.
 *           To reach those of a thread that sleeps the system call membarrier is used where
 *           it is allowed when the first pool is made; a sandbox that forbids it only later
 *           is a bug of the program and asserts.
 * Blocking: never, but weft_buf_pool_create, _free, _trim and _stats_get take a lock.
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
	/* Bytes kept for reuse at most, by the pool and at hand for threads together; more are
	 * freed. Each thread may reserve a sixteenth of it, 1 MiB at most, which it does not
	 * always use. 0: 64 MiB. */
	size_t held_max;
	/* Bytes out and kept at most. What is kept is freed to make room, wherever it is, before
	 * an allocation fails with WEFT_ECAPACITY. 0: no limit. */
	size_t live_max;
} weft_buf_pool_options;

#define WEFT_BUF_POOL_OPTIONS_DEFAULT \
	{                             \
		0, 0                  \
	}

/* Size classes: 64 B apart up to 512 B, then eight for each doubling up to 1 MiB; larger blocks
 * are made and freed each time. options may be NULL. Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_buf_pool_create(
	weft_buf_pool **out, const weft_buf_pool_options *options);
/* Gives the owner's reference up and frees what is kept, wherever it is. Blocks that are out
 * are freed when they come back. NULL is allowed. */
WEFT_API void weft_buf_pool_free(weft_buf_pool *pool);
/* Frees what is kept for reuse, also what other threads have at hand, whether they run or
 * not, and has the C library give what is free back to the system, where it can (glibc's
 * malloc_trim). For when a burst is over: takes milliseconds when the heap is large. */
WEFT_API void weft_buf_pool_trim(weft_buf_pool *pool);

typedef struct weft_buf_pool_stats {
	uint64_t hits, misses, oversized; /* allocations, since the pool was made */
	uint64_t live_bytes;		  /* in blocks that are out */
	uint64_t live_blocks;
	uint64_t held_bytes;   /* kept for reuse */
	uint64_t cached_bytes; /* of these, at hand for threads */
} weft_buf_pool_stats;
/* Exact when no other thread uses the pool meanwhile. */
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
