/* SPDX-License-Identifier: MIT */
#include "mux/account.h"

#include "base/list.h"
#include "base/mem.h"

#include <string.h>

#define CHUNK_MIN ((size_t)256) /* bytes of an allocation */
#define CHUNK_MAX ((size_t)32768)
#define BLOCK_MAX_MIN ((size_t)4096)

_Static_assert(sizeof(struct rx_block) <= RX_BLOCK_HEAD - 16, "malloc adds 16 at most");

struct account *account_create(size_t bucket, size_t memory_max)
{
	struct account *a = mem_calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	refcount_init(&a->refs, 1);
	a->memory_max = (int64_t)memory_max;
	a->block_max = bucket < BLOCK_MAX_MIN ? BLOCK_MAX_MIN : bucket;
	if (a->block_max > RX_BLOCK_MAX)
		a->block_max = RX_BLOCK_MAX;
	counter_set(&a->block_size, RX_BLOCK_MIN);
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
	(void)counter_sub(&account->blocks, b->size);
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

static size_t next_size(const struct account *account, size_t size)
{
	size *= RX_BLOCK_STEP;
	return size < account->block_max ? size : account->block_max;
}

void account_grow(struct account *account)
{
	counter_set(&account->block_size, next_size(account, counter_get(&account->block_size)));
}

void account_shrink(struct account *account, size_t bytes)
{
	size_t size = RX_BLOCK_MIN, before = counter_get(&account->block_size);

	/* not filled by that */
	while (size < before && size - RX_BLOCK_HEAD <= bytes)
		size = next_size(account, size);
	if (size >= before)
		return;
	counter_set(&account->block_size, size);
	account_trim(account);
}

bool account_is_grown(const struct account *account)
{
	return counter_get(&account->block_size) > RX_BLOCK_MIN;
}

bool account_block_fits(const struct account *account, const weft_buf *block)
{
	return block->len + RX_BLOCK_HEAD == counter_get(&account->block_size);
}

static void release_block(void *data, void *user)
{
	struct rx_block *b = user;
	struct account *a = b->account;
	bool charged = b->charged;
	size_t size = b->size;

	(void)data;
	if (size != counter_get(&a->block_size) ||
		!counter_try_add(&a->spares_len, 1, RX_SPARES_MAX)) {
		free_block(a, b);
	} else if (pushlist_push(&a->spares, &b->node) == PUSH_REFUSED) {
		(void)counter_sub(&a->spares_len, 1);
		free_block(a, b);
	}
	if (charged) {
		(void)counter_sub(&a->charged, size);
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
		(void)counter_add(&account->charged, b->size);
		memory_take(account, b->size);
	}
	weft_buf_unref(block);
}

/* NULL: there is none. */
static struct rx_block *take_spare(struct account *account)
{
	struct rx_block *b;

	if (!account->mine)
		account->mine = pushlist_take(&account->spares);
	if (!account->mine)
		return NULL;
	b = container_of(account->mine, struct rx_block, node);
	account->mine = account->mine->next;
	(void)counter_sub(&account->spares_len, 1);
	return b;
}

bool account_block(struct account *account, weft_buf *out)
{
	size_t size = counter_get(&account->block_size);
	struct rx_block *b;

	/* one may have come back while the size changed */
	while ((b = take_spare(account)) && b->size != size)
		free_block(account, b);
	if (!b) {
		b = mem_alloc(size - RX_BLOCK_HEAD + sizeof(*b));
		if (!b)
			return false;
		b->size = size;
		(void)counter_add(&account->blocks, size);
	}
	b->account = account;
	b->charged = false;
	*out = buf_block_init(&b->block, b->data, size - RX_BLOCK_HEAD, release_block, b);
	return true;
}

size_t account_own_memory(const struct account *account)
{
	uint64_t all = counter_get(&account->blocks);
	uint64_t charged = counter_get(&account->charged);

	return all > charged ? (size_t)(all - charged) : 0;
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
