/* SPDX-License-Identifier: MIT */
#ifndef BASE_BUF_KEEP_H
#define BASE_BUF_KEEP_H

/*
 * Between buf_pool.c and buf_keep.c. A list is magazines by next_magazine, each with its part
 * of the pool's `held`. Who gives away the last block in hand must not touch the pool again,
 * unless it is held otherwise.
 */
#include "base/buf_pool.h"

size_t buf_class_bytes(unsigned class);
/* Blocks in a magazine; 0: blocks of this class are only in depots. */
uint32_t buf_class_limit(unsigned class);

/* Frees one block, which is in no account but `made`. The pool may go with it. */
void buf_forget(struct weft_buf_block *b);
void buf_forget_all(weft_buf_pool *pool, struct weft_buf_block *magazines);

/* Puts a list into depots; frees those for which there is no place. */
void buf_depots_push(weft_buf_pool *pool, struct weft_buf_block *magazines);
/* One block, which had no part of held; false: no place, it is still the caller's. */
bool buf_depot_keep(weft_buf_pool *pool, struct weft_buf_block *b);
/* Takes all there is, and waits for claims; puts it in front of *out. */
void buf_depots_empty(weft_buf_pool *pool, struct weft_buf_block **out);

/* The same for a cache whose owner is kept out, or is the caller. Registry locked. */
void buf_cache_empty(weft_buf_pool *pool, struct buf_cache *cache, struct weft_buf_block **out);
/* cache may be NULL. *from_bin: the bin has counted it. NULL: nothing is kept that fits. */
struct weft_buf_block *buf_take_kept(
	weft_buf_pool *pool, struct buf_cache *cache, unsigned class, bool *from_bin);
/* Puts b into its bin. Magazines that have to make room go in front of *out. False: b has no
 * place there. */
bool buf_give_to_bin(weft_buf_pool *pool, struct buf_cache *cache, struct weft_buf_block *b,
	struct weft_buf_block **out);
/*
 * Before a block is made: frees about as much of other classes, when a good part of all
 * there is lies in depots. So a pool stays about as large as the most that was out at once,
 * however the sizes change.
 */
void buf_shed(weft_buf_pool *pool, size_t room);

#endif
