/* SPDX-License-Identifier: MIT */
#ifndef SYNC_PUSHLIST_H
#define SYNC_PUSHLIST_H

/*
 * struct pushlist: anybody puts nodes in, one takes all of them at once. A Treiber stack
 * that is never popped singly, so that no node is looked at while it may be gone.
 *
 * Who puts in the first node sees to it that somebody comes to take. Zeroed memory is an
 * empty list. Cost: a compare-and-swap a push, an exchange a take, however many there are.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct push_node {
	struct push_node *next; /* the pusher's until pushed, the taker's once taken */
};

struct pushlist {
	_Atomic(struct push_node *) head; /* newest first */
};

enum push_result {
	PUSH_FIRST,   /* the list was empty */
	PUSH_MORE,    /* it was not: whoever pushed its first sees to all */
	PUSH_REFUSED, /* closed; the node is still the caller's */
};

/* What a closed list's head points to: itself, which is no node, and the same for all files
 * that include this. Never followed. */
static inline struct push_node *pushlist_end(const struct pushlist *list)
{
	return (struct push_node *)(uintptr_t)list;
}

static inline enum push_result pushlist_push(struct pushlist *list, struct push_node *node)
{
	/* relaxed: the exchange below says whether it still holds */
	struct push_node *head = atomic_load_explicit(&list->head, memory_order_relaxed);

	do {
		if (head == pushlist_end(list))
			return PUSH_REFUSED;
		node->next = head;
		/* seq_cst: in one order with what pusher and taker look at beside the list (a
		 * taker that goes to sleep, a state that changes); publishes the node to take.
		 * relaxed on failure: tried again. */
	} while (!atomic_compare_exchange_weak_explicit(
		&list->head, &head, node, memory_order_seq_cst, memory_order_relaxed));
	return head ? PUSH_MORE : PUSH_FIRST;
}

static inline struct push_node *pushlist_reverse(struct push_node *node)
{
	struct push_node *oldest = NULL;

	while (node) {
		struct push_node *next = node->next;

		node->next = oldest;
		oldest = node;
		node = next;
	}
	return oldest;
}

static inline bool pushlist_is_empty(const struct pushlist *list)
{
	/* seq_cst: in one order with push, for takers that are about to sleep */
	struct push_node *head = atomic_load_explicit(&list->head, memory_order_seq_cst);

	return !head || head == pushlist_end(list);
}

/* Everything, oldest first; NULL when empty or closed. One taker at a time. */
static inline struct push_node *pushlist_take(struct pushlist *list)
{
	if (pushlist_is_empty(list))
		return NULL;
	/* seq_cst; pairs with push: the nodes' contents. Nobody else takes or closes. */
	return pushlist_reverse(atomic_exchange_explicit(&list->head, NULL, memory_order_seq_cst));
}

/* The same, and whoever pushes from now on is refused. By the taker; idempotent. */
static inline struct push_node *pushlist_close(struct pushlist *list)
{
	/* seq_cst; pairs with push, as above */
	struct push_node *head =
		atomic_exchange_explicit(&list->head, pushlist_end(list), memory_order_seq_cst);

	return head == pushlist_end(list) ? NULL : pushlist_reverse(head);
}

#endif
