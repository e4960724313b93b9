/* SPDX-License-Identifier: MIT */
#ifndef SYNC_WAIT_H
#define SYNC_WAIT_H

/*
 * Wait lists: who sleeps until an object changes, and who wakes whom, exactly once.
 *
 * A waiter stands in one list (or, in a select, in several) with nodes on its own stack.
 * All its nodes share one context, whose state word is claimed once a wait:
 *
 *	WAIT_OPEN -> number of a node	by a waker, under the lock of that node's list
 *	WAIT_OPEN -> number | WAIT_BUSY	by a waker, under that lock, who is about to do what
 *	  -> number of the node		the waiter waits for, in its place: see below
 *	WAIT_OPEN -> WAIT_SELF		by the waiter, who gives up or found work by itself
 *
 * What holds:
 *  - A waker touches a node only under its list's lock, and takes it out of the list in
 *    the same critical section in which it claims the context. What it tells the waiter
 *    (a message, a result) it writes there too, so that a waiter that takes the lock
 *    after it was claimed sees all of it, and nobody writes to its stack afterwards.
 *  - The parker is read before the claim: after it the context may be gone.
 *  - A claim that only says "try again" (wait_wake_one) stands for one change: a waiter
 *    that was claimed and does not use the change passes it on. So a cancelled waiter
 *    tries once more; if it then succeeds the operation happened, if it finds nothing
 *    the change has been used by somebody else, who had no need of a wake.
 *  - A waker that claims with WAIT_BUSY has the node, and what source and target point to,
 *    to itself until it settles the claim, also after it let go of the lock: the waiter
 *    does not leave before, whatever wakes it. That is short: an attempt that never parks.
 *
 * Whoever changes the object looks at wait_any without the lock, whoever waits enters
 * the list and then looks at the object again. One of the two must see the other, so
 * both sides are sequentially consistent: the change is a seq_cst read-modify-write
 * before wait_any's seq_cst load; the entry is a seq_cst read-modify-write of the count
 * before the waiter's seq_cst load of the object.
 */
#include "base/list.h"
#include "rt/lock.h"
#include "rt/rt.h"

#include <stdatomic.h>

enum {
	WAIT_OPEN = 0,
	WAIT_FIRST = 1, /* number of a single node; select numbers its own from here */
};
#define WAIT_SELF UINT32_MAX
#define WAIT_BUSY ((uint32_t)1 << 30) /* above every number */

struct wait_ctx {
	_Atomic uint32_t state; /* see above */
	weft_parker *parker;	/* the waiter's; constant */
};

struct wait_node {
	struct list link;     /* under the list's lock */
	struct wait_ctx *ctx; /* constant while queued */
	const void *source;   /* sender: the waker copies from here */
	void *target;	      /* receiver: the waker copies to here */
	size_t count;	      /* semaphore: permits wanted; mutex: wakes in vain */
	uint32_t number;      /* what the context becomes when claimed through this node */
	weft_err result;      /* written by the waker before the claim, or before it settles */
	bool queued;	      /* under the list's lock */
	bool wake_only;	      /* channel: nobody can do it in the waiter's place; constant */
};

struct wait_queue {
	struct rt_lock lock;
	_Atomic uint32_t count; /* nodes queued; written under the lock */
	struct list nodes;	/* in order of arrival; under the lock */
};

void wait_queue_init(struct wait_queue *q);

/* Errors: WEFT_ENOMEM (a plain thread without a parker). */
weft_err wait_ctx_init(struct wait_ctx *ctx);
void wait_node_init(struct wait_node *node, struct wait_ctx *ctx, uint32_t number);

/* Somebody may be waiting: to be asked after a seq_cst change of the object. */
static inline bool wait_any(const struct wait_queue *q)
{
	/* seq_cst; pairs with the seq_cst add in wait_push_locked: see the head */
	return weft_unlikely(atomic_load_explicit(&q->count, memory_order_seq_cst) != 0);
}

/* With the lock held: one who waits without a node, and is told by the object itself. It
 * counts for wait_any. */
void wait_observe_locked(struct wait_queue *q);
void wait_unobserve_locked(struct wait_queue *q);

/* With the lock held. A node that has waited in vain goes to the front. */
void wait_push_locked(struct wait_queue *q, struct wait_node *node, bool front);
/* With the lock held; harmless when it is not queued. */
void wait_remove_locked(struct wait_queue *q, struct wait_node *node);
/* With the lock held: takes the first node whose context is still open out of the list,
 * without claiming it; it must be claimed by wait_claim before the lock is released. */
struct wait_node *wait_first_locked(struct wait_queue *q);
/* Claims the node's context for the waker, with what was written to the node. False:
 * somebody else has; the node is out of the list either way. */
bool wait_claim(struct wait_node *node);
/* Claims the first that can be claimed; its parker, or NULL when there is none. */
weft_parker *wait_claim_one_locked(struct wait_queue *q);
/* Takes the lock. Claims the first that can be claimed as busy: it is to be settled, soon.
 * NULL: nobody waits. */
struct wait_node *wait_claim_busy(struct wait_queue *q);
/* Tells the waiter of a busy claim what was done for it, and wakes it: the node is gone. */
void wait_settle(struct wait_node *node, weft_err result);

/* These two take the lock. */
void wait_push(struct wait_queue *q, struct wait_node *node, bool front);
void wait_remove(struct wait_queue *q, struct wait_node *node);
/* Wakes the first, to try again. */
void wait_wake_one(struct wait_queue *q);
/* Wakes everybody who waits now, each with this result; lock is the one that guards q,
 * usually its own. New ones must be kept out by the object's state. */
void wait_wake_all(struct wait_queue *q, struct rt_lock *lock, weft_err result);

/* The waiter's own claim. False: a waker was first, *state says through which node, and
 * the claim is settled. */
bool wait_claim_self(struct wait_ctx *ctx, uint32_t *state);

static inline uint32_t wait_state(const struct wait_ctx *ctx)
{
	/* acquire; pairs with the release of the waker's claim: the node is out of the
	 * list, and its fields are the waiter's again */
	return atomic_load_explicit(&ctx->state, memory_order_acquire);
}

/* Waits until claimed, and settled (WEFT_OK), or as rt_park fails. A plain thread looks for a
 * while before it pays for a sleep. */
weft_err wait_park(struct wait_ctx *ctx, weft_deadline until, const char *why);
/* The same for who has looked already. */
weft_err wait_sleep(struct wait_ctx *ctx, weft_deadline until, const char *why);
/*
 * Waits for a condition that, once true, stays true until the caller acts: WEFT_OK when
 * it holds, else as rt_park fails. Whoever makes it true wakes everybody, after asking
 * wait_any (then the change and ready's look are seq_cst) or under the lock in any case.
 */
weft_err wait_until(struct wait_queue *q, bool (*ready)(const void *object), const void *object,
	weft_deadline until, const char *why);

#endif
