/* SPDX-License-Identifier: MIT */
#ifndef BASE_BUF_BLOCK_H
#define BASE_BUF_BLOCK_H

/* What lies under weft_buf: memory with a count of its slices. For modules that put it into
 * allocations of their own. */
#include "base/refcount.h"

#include <weft/buf.h>

/* 48 bytes: a pool's block is malloc's size and these. */
struct weft_buf_block {
	struct refcount refs;
	uint8_t class;	     /* BUF_CLASS_NONE: not one that is kept; fixed */
	bool embedded;	     /* in another's allocation: release frees it */
	uint16_t count;	     /* blocks of the magazine that it heads, in a depot */
	size_t room;	     /* bytes from data on; fixed */
	uint8_t *data;	     /* fixed */
	weft_buf_pool *pool; /* fixed, the block holds it; NULL: plain memory */
	union {
		struct weft_buf_block *next;		 /* while kept: the same magazine's */
		void (*release)(void *data, void *user); /* of a wrapped one; may be NULL */
	};
	union {
		struct weft_buf_block *next_magazine; /* while heading one in a depot */
		void *user;			      /* of a wrapped one */
	};
};

/* A slice of all of data. release(data, user) comes with the last slice, and frees block. */
weft_buf buf_block_init(struct weft_buf_block *block, uint8_t *data, size_t room,
	void (*release)(void *data, void *user), void *user);
/* A block that is one allocation; NULL: out of memory. */
struct weft_buf_block *buf_block_make(size_t room);

#endif
