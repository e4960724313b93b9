/* SPDX-License-Identifier: MIT */
#ifndef SYNC_FEED_H
#define SYNC_FEED_H

/*
 * struct feed: a queue from one producer to one consumer, who may sleep. One word holds
 * either the nodes (newest first) or the parker of the consumer that waits:
 *
 *	empty --push--> nodes --take--> empty --wait--> waiting --push--> nodes
 *
 * so that a push both hands over and learns whom to wake, in one atomic step, and a consumer
 * never misses a push: it can wait only while nothing is there. For changes that are not
 * nodes (an end, a failure): change the state by a seq_cst read-modify-write, then kick; the
 * consumer waits first, then looks at the state.
 *
 * Who waits is a parker as a rule; the feed does not mind what the address is of, as long as it is
 * even, and hands it to one waker, once.
 *
 * Producer and consumer may each change, one after the other. Zeroed memory is empty.
 */
#include "sync/pushlist.h"

#include <stdint.h>

#define FEED_WAITS ((uintptr_t)1) /* the rest of the word is who waits */

struct feed {
	_Atomic uintptr_t word;
};

/* first: the newest of a chain that ends in last, linked from new to old; both the same for
 * one. Returns whom to wake, or NULL. */
static inline void *feed_push(struct feed *feed, struct push_node *newest, struct push_node *oldest)
{
	/* relaxed: the exchange below says whether it still holds */
	uintptr_t word = atomic_load_explicit(&feed->word, memory_order_relaxed);

	do {
		oldest->next = word & FEED_WAITS ? NULL : (struct push_node *)word;
		/* seq_cst: pairs with take: the nodes' contents; and with wait: the parker;
		 * before the producer's look at a state that says nobody takes any more, in
		 * one order with feed_drain. relaxed on failure: tried again. */
	} while (!atomic_compare_exchange_weak_explicit(
		&feed->word, &word, (uintptr_t)newest, memory_order_seq_cst, memory_order_relaxed));
	return word & FEED_WAITS ? (void *)(word & ~FEED_WAITS) : NULL;
}

/* Producer: all that was not taken yet, newest first, to add to it: until feed_put_back the
 * consumer finds nothing. NULL: there is nothing. */
static inline struct push_node *feed_retract(struct feed *feed)
{
	/* relaxed: the exchange below says whether it still holds. Only the producer puts nodes
	 * in: what it finds can't have gone and come again. */
	uintptr_t word = atomic_load_explicit(&feed->word, memory_order_relaxed);

	if (word == 0 || (word & FEED_WAITS))
		return NULL;
	/* acquire; pairs with the push of a producer before: the nodes' contents. relaxed on
	 * failure: the consumer took them. */
	if (!atomic_compare_exchange_strong_explicit(
		    &feed->word, &word, 0, memory_order_acquire, memory_order_relaxed))
		return NULL;
	return (struct push_node *)word;
}

/* Producer, after feed_retract: that chain, perhaps with more before it. As push. */
static inline void *feed_put_back(struct feed *feed, struct push_node *newest)
{
	/* seq_cst; pairs with take, wait and feed_drain: as push */
	uintptr_t word =
		atomic_exchange_explicit(&feed->word, (uintptr_t)newest, memory_order_seq_cst);

	return word & FEED_WAITS ? (void *)(word & ~FEED_WAITS) : NULL;
}

/* Consumer: everything, oldest first. */
static inline struct push_node *feed_take(struct feed *feed)
{
	uintptr_t word;

	/* relaxed: only whether an exchange is worth it */
	if (atomic_load_explicit(&feed->word, memory_order_relaxed) == 0)
		return NULL;
	/* acquire; pairs with push: the nodes' contents */
	word = atomic_exchange_explicit(&feed->word, 0, memory_order_acquire);
	return word & FEED_WAITS ? NULL : pushlist_reverse((struct push_node *)word);
}

/* Anybody, after a change of state that says nobody takes any more: everything, oldest first.
 * Who pushes looks at that state after and drains too, so that nothing stays. */
static inline struct push_node *feed_drain(struct feed *feed)
{
	/* seq_cst; pairs with push: the nodes' contents; after the caller's change of state */
	uintptr_t word = atomic_exchange_explicit(&feed->word, 0, memory_order_seq_cst);

	return word & FEED_WAITS ? NULL : pushlist_reverse((struct push_node *)word);
}

static inline bool feed_is_empty(const struct feed *feed)
{
	/* acquire; pairs with push: for callers that look at what came before it */
	uintptr_t word = atomic_load_explicit(&feed->word, memory_order_acquire);

	return word == 0 || (word & FEED_WAITS);
}

/* Consumer: true: it is known to wait; look at the state, then park. False: nodes are there. */
static inline bool feed_wait(struct feed *feed, void *waiter)
{
	uintptr_t word = 0, waits = (uintptr_t)waiter | FEED_WAITS;

	/* seq_cst: before the consumer's look at the state, in one order with whoever changes
	 * the state and then kicks; publishes the parker. relaxed on failure: take follows. */
	return atomic_compare_exchange_strong_explicit(
		       &feed->word, &word, waits, memory_order_seq_cst, memory_order_relaxed) ||
		word == waits;
}

/* Consumer, once it does not wait any more, whyever. */
static inline void feed_unwait(struct feed *feed, void *waiter)
{
	uintptr_t waits = (uintptr_t)waiter | FEED_WAITS;

	/* relaxed both: nothing is published; when it fails, take follows */
	(void)atomic_compare_exchange_strong_explicit(
		&feed->word, &waits, 0, memory_order_relaxed, memory_order_relaxed);
}

/* Anybody: the waiting consumer, if there is one, who from now on does not wait. */
static inline void *feed_kick(struct feed *feed)
{
	/* seq_cst: after the caller's change of state, in one order with wait */
	uintptr_t word = atomic_load_explicit(&feed->word, memory_order_seq_cst);

	while (word & FEED_WAITS) {
		/* acquire; pairs with wait: the parker. relaxed on failure: tried again. */
		if (atomic_compare_exchange_weak_explicit(
			    &feed->word, &word, 0, memory_order_acquire, memory_order_relaxed))
			return (void *)(word & ~FEED_WAITS);
	}
	return NULL;
}

#endif
