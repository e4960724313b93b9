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

#include <string.h>

struct weft_buf_block *buf_block_make(size_t room)
{
	size_t head = (sizeof(struct weft_buf_block) + 15) & ~(size_t)15;
	struct weft_buf_block *b = mem_alloc(head + room);

	if (!b)
		return NULL;
	memset(b, 0, sizeof(*b));
	b->class = BUF_CLASS_NONE;
	b->room = room;
	b->data = (uint8_t *)b + head;
	return b;
}

static weft_err size_refused(size_t size)
{
	return err_setf(
		WEFT_EINVAL, "buffer: size %zu, allowed is 1..%zu", size, WEFT_BUF_SIZE_MAX);
}

/* What is not at hand for the thread. */
static struct weft_buf_block *block_find(weft_buf_pool *pool, size_t size, weft_err *err)
{
	struct weft_buf_block *b;

	if (size == 0 || size > WEFT_BUF_SIZE_MAX) {
		*err = size_refused(size);
		return NULL;
	}
	if (pool)
		return buf_pool_take(pool, size, err);
	b = buf_block_make(size);
	if (!b)
		*err = err_set(WEFT_ENOMEM);
	return b;
}

/* size is 1 or more. */
static struct weft_buf_block *block_at_hand(weft_buf_pool *pool, size_t size)
{
	uint8_t class = buf_class_of(size);
	struct buf_cache *cache = buf_cache_self(pool);

	return cache && class != BUF_CLASS_NONE ? buf_cache_take(cache, class) : NULL;
}

weft_err weft_buf_alloc(weft_buf *out, weft_buf_pool *pool, size_t size)
{
	struct weft_buf_block *b = pool && size ? block_at_hand(pool, size) : NULL;

	if (weft_unlikely(!b)) {
		weft_err err = WEFT_OK;

		b = block_find(pool, size, &err);
		if (!b)
			return err;
	}
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

static void block_free(struct weft_buf_block *b)
{
	bool embedded = b->embedded; /* release may free it */

	if (b->release)
		b->release(b->data, b->user);
	if (!embedded)
		mem_free(b);
}

static void block_give(struct weft_buf_block *b)
{
	struct buf_cache *cache = buf_cache_self(b->pool);

	if (weft_likely(cache && b->class != BUF_CLASS_NONE) && buf_cache_give(cache, b))
		return;
	buf_pool_give(b);
}

void weft_buf_unref(weft_buf *buf)
{
	struct weft_buf_block *b = buf->block;

	*buf = (weft_buf)WEFT_BUF_EMPTY;
	if (!b || !refcount_drop_sole(&b->refs))
		return;
	if (b->pool)
		block_give(b);
	else
		block_free(b);
}
