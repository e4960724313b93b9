/* SPDX-License-Identifier: MIT */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

/*
 * A 4-ary min-heap of intrusive nodes, ordered by (key, seq): seq makes equal keys come
 * out in the order they went in. The array holds the keys beside the pointers, so that
 * sifting touches no node but to note its place. Owner thread only.
 */
#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAP_NONE SIZE_MAX
#define HEAP_NODES_MAX ((size_t)1 << 28)

struct heap_node {
	int64_t key;
	uint64_t seq;
	size_t index; /* in the array; HEAP_NONE: in no heap */
};

struct heap_slot {
	int64_t key;
	uint64_t seq;
	struct heap_node *node;
};

struct heap {
	struct heap_slot *slots;
	size_t len, room;
};

static inline void heap_node_init(struct heap_node *node)
{
	node->key = 0;
	node->seq = 0;
	node->index = HEAP_NONE;
}

static inline bool heap_contains(const struct heap_node *node)
{
	return node->index != HEAP_NONE;
}

static inline void heap_init(struct heap *heap)
{
	heap->slots = NULL;
	heap->len = 0;
	heap->room = 0;
}

/* Nodes that are still in it are forgotten, not told. */
static inline void heap_fini(struct heap *heap)
{
	mem_free(heap->slots);
	heap_init(heap);
}

static inline struct heap_node *heap_peek(const struct heap *heap)
{
	return heap->len ? heap->slots[0].node : NULL;
}

/* Room for that many nodes; false: out of memory, nothing changed. */
bool heap_reserve(struct heap *heap, size_t count);
/* False: out of memory. node must be in no heap, key and seq set. */
bool heap_push(struct heap *heap, struct heap_node *node);
/* NULL when empty. */
struct heap_node *heap_pop(struct heap *heap);
/* node must be in this heap. */
void heap_remove(struct heap *heap, struct heap_node *node);
void heap_rekey(struct heap *heap, struct heap_node *node, int64_t key, uint64_t seq);

#endif
