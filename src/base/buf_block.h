/* SPDX-License-Identifier: MIT */
#ifndef BASE_BUF_BLOCK_H
#define BASE_BUF_BLOCK_H

/* What lies under weft_buf: memory with a count of its slices. For modules that put it into
 * allocations of their own. */
#include "base/refcount.h"

#include <weft/buf.h>

struct weft_buf_block {
	struct refcount refs;
	uint32_t class;		     /* CLASS_NONE: not one that is kept */
	bool embedded;		     /* in another's allocation: release frees it */
	size_t room;		     /* bytes from data on; fixed */
	uint8_t *data;		     /* fixed */
	weft_buf_pool *pool;	     /* held while the block is out; NULL: plain memory */
	struct weft_buf_block *next; /* in a shard's list */
	void (*release)(void *data, void *user); /* of a wrapped one; may be NULL */
	void *user;
};

/* A slice of all of data. release(data, user) comes with the last slice, and frees block. */
weft_buf buf_block_init(struct weft_buf_block *block, uint8_t *data, size_t room,
	void (*release)(void *data, void *user), void *user);

#endif
