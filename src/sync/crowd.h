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
	struct refcount refs, senders;
};

static inline void ends_init(struct ends *ends)
{
	refcount_init(&ends->refs, 1);
	refcount_init(&ends->senders, 0);
}

static inline void ends_sender_add(struct ends *ends)
{
	refcount_hold(&ends->refs);
	refcount_add(&ends->senders);
}

/* False: no sender is left. */
static inline bool ends_sender_try_add(struct ends *ends)
{
	if (!refcount_try_hold(&ends->senders))
		return false;
	refcount_hold(&ends->refs);
	return true;
}

#endif
