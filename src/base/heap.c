/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#define ARITY 4
#define ROOM_MIN 64

static bool before(const struct heap_slot *a, const struct heap_slot *b)
{
	return a->key != b->key ? a->key < b->key : a->seq < b->seq;
}

static void put(struct heap *heap, size_t index, struct heap_slot slot)
{
	heap->slots[index] = slot;
	slot.node->index = index;
}

/* The slot is free at index; returns where it belongs at or above. */
static void sift_up(struct heap *heap, size_t index, struct heap_slot slot)
{
	while (index > 0) {
		size_t parent = (index - 1) / ARITY;

		if (!before(&slot, &heap->slots[parent]))
			break;
		put(heap, index, heap->slots[parent]);
		index = parent;
	}
	put(heap, index, slot);
}

static size_t least_child(const struct heap *heap, size_t index)
{
	size_t first = index * ARITY + 1, best = first;
	size_t end = first + ARITY < heap->len ? first + ARITY : heap->len;

	for (size_t i = first + 1; i < end; i++)
		if (before(&heap->slots[i], &heap->slots[best]))
			best = i;
	return best;
}

static void sift_down(struct heap *heap, size_t index, struct heap_slot slot)
{
	while (index * ARITY + 1 < heap->len) {
		size_t child = least_child(heap, index);

		if (!before(&heap->slots[child], &slot))
			break;
		put(heap, index, heap->slots[child]);
		index = child;
	}
	put(heap, index, slot);
}

static void place(struct heap *heap, size_t index, struct heap_slot slot)
{
	if (index > 0 && before(&slot, &heap->slots[(index - 1) / ARITY]))
		sift_up(heap, index, slot);
	else
		sift_down(heap, index, slot);
}

bool heap_reserve(struct heap *heap, size_t count)
{
	size_t room = heap->room ? heap->room : ROOM_MIN;
	struct heap_slot *slots;

	if (count <= heap->room)
		return true;
	if (count > HEAP_NODES_MAX)
		return false;
	while (room < count)
		room *= 2;
	slots = mem_realloc_array(heap->slots, room, sizeof(*slots));
	if (!slots)
		return false;
	heap->slots = slots;
	heap->room = room;
	return true;
}

bool heap_push(struct heap *heap, struct heap_node *node)
{
	struct heap_slot slot = { node->key, node->seq, node };

	if (heap->len == heap->room && !heap_reserve(heap, heap->len + 1))
		return false;
	sift_up(heap, heap->len++, slot);
	return true;
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
	size_t index = node->index;
	struct heap_slot last = heap->slots[--heap->len];

	node->index = HEAP_NONE;
	if (last.node != node)
		place(heap, index, last);
}

struct heap_node *heap_pop(struct heap *heap)
{
	struct heap_node *node = heap_peek(heap);

	if (node)
		heap_remove(heap, node);
	return node;
}

void heap_rekey(struct heap *heap, struct heap_node *node, int64_t key, uint64_t seq)
{
	struct heap_slot slot = { key, seq, node };

	node->key = key;
	node->seq = seq;
	place(heap, node->index, slot);
}
