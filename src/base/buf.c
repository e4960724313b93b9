/* SPDX-License-Identifier: MIT */
/*
 * Reference-counted buffers.
 *
 *	block:  | struct weft_buf_block | ... room bytes ... |
 *
 * Taking a block that the thread has at hand and giving it back costs no read-modify-write;
 * the rest is in buf_pool.c.
 */
#include "base/buf_pool.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

#include <stddef.h>
#include <string.h>

/* Where the memory of a block that is one allocation begins. */
static uint8_t *buf_block_room(struct weft_buf_block *b)
{
	_Static_assert(sizeof(*b) % _Alignof(max_align_t) == 0, "the memory would not be aligned");
	return (uint8_t *)(b + 1);
}

struct weft_buf_block *buf_block_make(size_t room)
{
	struct weft_buf_block *b = mem_alloc(sizeof(*b) + room);

	if (!b)
		return NULL;
	memset(b, 0, sizeof(*b));
	b->class = BUF_CLASS_NONE;
	b->room = room;
	b->data = buf_block_room(b);
	return b;
}

/* What is not at hand for the thread. */
static __attribute__((noinline)) weft_err alloc_slow(
	weft_buf *out, weft_buf_pool *pool, size_t size)
{
	struct weft_buf_block *b;
	weft_err err = WEFT_ENOMEM;

	if (size == 0 || size > WEFT_BUF_SIZE_MAX)
		return err_setf(WEFT_EINVAL, "buffer: size %zu, allowed is 1..%zu", size,
			WEFT_BUF_SIZE_MAX);
	b = pool ? buf_pool_take(pool, size, &err) : buf_block_make(size);
	if (!b)
		return pool ? err : err_set(err);
	refcount_init(&b->refs, 1);
	*out = (weft_buf){ b->data, size, b };
	return WEFT_OK;
}

weft_err weft_buf_alloc(weft_buf *out, weft_buf_pool *pool, size_t size)
{
	struct buf_slot *slot;
	struct weft_buf_block *b;

	if (weft_unlikely(!pool || size - 1 >= BUF_CLASS_MAX))
		return alloc_slow(out, pool, size);
	slot = buf_slot_self(pool);
	if (weft_unlikely(!buf_slot_is_of(slot, pool)))
		return alloc_slow(out, pool, size);
	b = buf_cache_take(slot->cache, buf_class_of(size));
	if (weft_unlikely(!b))
		return alloc_slow(out, pool, size);
	refcount_init(&b->refs, 1);
	*out = (weft_buf){ buf_block_room(b), size, b };
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
	struct weft_buf_block *b = buf_block_make(0);

	if (!b)
		return err_set(WEFT_ENOMEM);
	refcount_init(&b->refs, 1);
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
	b->class = BUF_CLASS_NONE;
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

/* Of no pool. */
static __attribute__((noinline)) void block_free(struct weft_buf_block *b)
{
	bool embedded = b->embedded; /* release may free it */

	if (b->release)
		b->release(b->data, b->user);
	if (!embedded)
		mem_free(b);
}

void weft_buf_unref(weft_buf *buf)
{
	struct weft_buf_block *b = buf->block;
	struct buf_slot *slot;

	*buf = (weft_buf)WEFT_BUF_EMPTY;
	if (!b || !refcount_drop_sole(&b->refs))
		return;
	if (!b->pool) {
		block_free(b);
		return;
	}
	slot = buf_slot_self(b->pool);
	if (weft_unlikely(!buf_slot_is_of(slot, b->pool) || !buf_cache_give(slot->cache, b)))
		buf_pool_give(b);
}
