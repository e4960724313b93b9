/* SPDX-License-Identifier: MIT */
#include "mux/account.h"

#include "base/list.h"
#include "base/mem.h"

#include <string.h>

#define CHUNK_MIN ((size_t)256) /* bytes of an allocation */
#define CHUNK_MAX ((size_t)32768)
#define BLOCK_MIN ((size_t)4096)

struct account *account_create(size_t bucket, size_t memory_max)
{
	struct account *a = mem_calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	refcount_init(&a->refs, 1);
	a->memory_max = (int64_t)memory_max;
	a->block_room = bucket < BLOCK_MIN ? BLOCK_MIN
		: bucket < RX_BLOCK_ROOM   ? bucket
					   : RX_BLOCK_ROOM;
	word64_set(&a->bucket, bucket);
	return a;
}

void account_unref(struct account *account)
{
	if (!account || !refcount_drop(&account->refs))
		return;
	account_end(account);
	mem_free(account);
}

static void free_block(struct account *account, struct rx_block *b)
{
	(void)counter_sub(&account->blocks_len, 1);
	mem_free(b);
}

static void drop_spares(struct account *account, struct push_node *node)
{
	while (node) {
		struct rx_block *b = container_of(node, struct rx_block, node);

		node = node->next;
		(void)counter_sub(&account->spares_len, 1);
		free_block(account, b);
	}
}

void account_trim(struct account *account)
{
	drop_spares(account, account->mine);
	account->mine = NULL;
	drop_spares(account, pushlist_take(&account->spares));
}

void account_end(struct account *account)
{
	account_trim(account);
	drop_spares(account, pushlist_close(&account->spares));
}

static void memory_take(struct account *account, size_t bytes)
{
	refcount_hold(&account->refs);
	(void)word64_add(&account->memory, (int64_t)bytes);
}

static void memory_give(struct account *account, size_t bytes)
{
	(void)word64_add(&account->memory, -(int64_t)bytes);
	bell_ring(&account->stalled);
	account_unref(account);
}

/* ---- blocks ---- */

static size_t block_size(const struct account *account)
{
	return sizeof(struct rx_block) + account->block_room;
}

static void release_block(void *data, void *user)
{
	struct rx_block *b = user;
	struct account *a = b->account;
	bool charged = b->charged;
	size_t size = block_size(a);

	(void)data;
	if (!counter_try_add(&a->spares_len, 1, RX_SPARES_MAX) ||
		pushlist_push(&a->spares, &b->node) == PUSH_REFUSED)
		free_block(a, b);
	if (charged) {
		(void)counter_sub(&a->charged_len, 1);
		memory_give(a, size);
	}
}

void account_block_put(struct account *account, weft_buf *block)
{
	struct rx_block *b;

	if (!block->block)
		return;
	b = block->block->user;
	if (!weft_buf_is_unique(block)) {
		b->charged = true;
		(void)counter_add(&account->charged_len, 1);
		memory_take(account, block_size(account));
	}
	weft_buf_unref(block);
}

bool account_block(struct account *account, weft_buf *out)
{
	struct rx_block *b;

	if (!account->mine)
		account->mine = pushlist_take(&account->spares);
	if (account->mine) {
		b = container_of(account->mine, struct rx_block, node);
		account->mine = account->mine->next;
		(void)counter_sub(&account->spares_len, 1);
	} else {
		b = mem_alloc(block_size(account));
		if (!b)
			return false;
		(void)counter_add(&account->blocks_len, 1);
	}
	b->account = account;
	b->charged = false;
	*out = buf_block_init(&b->block, b->data, account->block_room, release_block, b);
	return true;
}

size_t account_own_memory(const struct account *account)
{
	uint64_t all = counter_get(&account->blocks_len);
	uint64_t charged = counter_get(&account->charged_len);

	return all > charged ? (size_t)(all - charged) * block_size(account) : 0;
}

/* ---- nodes ---- */

static void release_chunk(void *data, void *user)
{
	struct rx_chunk *c = user;
	struct account *a = c->account;
	size_t size = sizeof(*c) + c->room;

	(void)data;
	mem_free(c);
	memory_give(a, size);
}

struct rx_chunk *account_chunk(struct account *account, size_t bytes)
{
	size_t size = CHUNK_MIN;
	struct rx_chunk *c;

	while (size < CHUNK_MAX && size < sizeof(*c) + bytes)
		size *= 2;
	c = mem_alloc(size);
	if (!c)
		return NULL;
	c->account = account;
	c->room = (uint32_t)(size - sizeof(*c));
	memory_take(account, size);
	c->node.buf = buf_block_init(&c->block, c->data, c->room, release_chunk, c);
	c->node.buf.len = 0;
	c->node.charged = 0;
	return c;
}

struct rx_node *account_slice(const weft_buf *block, const uint8_t *data, size_t len)
{
	struct rx_node *n = mem_alloc(sizeof(*n));

	if (!n)
		return NULL;
	n->buf = weft_buf_slice(block, (size_t)(data - block->data), len);
	n->charged = 0;
	return n;
}

struct rx_chunk *account_chunk_of(struct rx_node *node)
{
	const struct weft_buf_block *b = node->buf.block;

	/* it lies in the memory that its slices hold */
	return b && b->user == (const void *)node ? container_of(node, struct rx_chunk, node)
						  : NULL;
}

void account_give(struct account *account, uint32_t bytes)
{
	(void)word64_add(&account->bucket, bytes);
	bell_ring(&account->stalled);
}

void account_drop(struct account *account, struct rx_node *node)
{
	weft_buf buf = account_hand_out(account, node);

	weft_buf_unref(&buf);
}

weft_buf account_hand_out(struct account *account, struct rx_node *node)
{
	weft_buf buf = node->buf;

	account_give(account, node->charged);
	if (!account_chunk_of(node))
		mem_free(node);
	return buf;
}
