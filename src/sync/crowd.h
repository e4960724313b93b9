/* SPDX-License-Identifier: MIT */
#ifndef SYNC_CROWD_H
#define SYNC_CROWD_H

/*
 * What the one-to-many primitives share: waking a crowd, and counting senders.
 *
 * A change there is for everybody: each waiter looks at the object by itself, and none uses
 * the change up. So nobody has to pass a wake on, whatever becomes of those who were woken.
 */
#include "base/refcount.h"
#include "sync/wait.h"

/*
 * Wakes everybody who waits now, in order, to look again. Those who come back meanwhile are
 * left alone, so that the pass ends. To be called after wait_any said true, with the change
 * made. Costs a lock for every CROWD_BATCH of them, and two exchanges each.
 */
#define CROWD_BATCH 64
void crowd_wake(struct wait_queue *q);

/* References, some of which count as senders as well. */
struct ends {
	struct refcount refs;
	_Atomic uint32_t senders;
};

static inline void ends_init(struct ends *ends)
{
	refcount_init(&ends->refs, 1);
	/* relaxed: nobody else knows it yet */
	atomic_store_explicit(&ends->senders, 0, memory_order_relaxed);
}

static inline void ends_sender_add(struct ends *ends)
{
	refcount_hold(&ends->refs);
	/* relaxed: the caller's own reference keeps the thing; publishes nothing */
	CHECK(atomic_fetch_add_explicit(&ends->senders, 1, memory_order_relaxed) < REFCOUNT_MAX);
}

/* False: no sender is left. */
static inline bool ends_sender_try_add(struct ends *ends)
{
	/* relaxed: the exchange checks it */
	uint32_t senders = atomic_load_explicit(&ends->senders, memory_order_relaxed);

	do {
		if (senders == 0)
			return false;
		CHECK(senders < REFCOUNT_MAX);
		/* relaxed, both: as ends_sender_add; whoever drops the last closes after it */
	} while (!atomic_compare_exchange_weak_explicit(
		&ends->senders, &senders, senders + 1, memory_order_relaxed, memory_order_relaxed));
	refcount_hold(&ends->refs);
	return true;
}

/* True: it was the last; the reference is still there. */
static inline bool ends_sender_drop(struct ends *ends)
{
	/* acq_rel; pairs with itself: what every sender did comes before the close */
	uint32_t senders = atomic_fetch_sub_explicit(&ends->senders, 1, memory_order_acq_rel);

	CHECK(senders - 1 < REFCOUNT_MAX);
	return senders == 1;
}

static inline uint32_t ends_senders(const struct ends *ends)
{
	/* relaxed: a moment's number */
	return atomic_load_explicit(&ends->senders, memory_order_relaxed);
}

#endif
