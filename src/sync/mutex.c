/* SPDX-License-Identifier: MIT */
/*
 * The mutex: one word, its owner's identity or 0. Uncontended, locking is one CAS and
 * unlocking one exchange and two loads of the waiters' count.
 *
 * An unlock frees the mutex and wakes the first waiter, who competes with newcomers: the
 * lock stays in use while the woken one is on its way. A waiter that was woken twice in
 * vain is handed the lock instead: the word goes from owner to owner and is never free.
 */
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "sync/wait.h"

#include <weft/mutex.h>

#define VAIN_MAX 2 /* wakes in vain, after which the lock is handed over */

struct weft_mutex {
	_Atomic uintptr_t owner;
	struct wait_queue waiters; /* node->count: wakes in vain */
};

weft_err weft_mutex_create(weft_mutex **out)
{
	weft_mutex *mutex = mem_calloc(1, sizeof(*mutex));

	if (!mutex)
		return err_set(WEFT_ENOMEM);
	wait_queue_init(&mutex->waiters);
	*out = mutex;
	return WEFT_OK;
}

static bool owner_take(weft_mutex *mutex, uintptr_t self)
{
	uintptr_t expected = 0;

	/* seq_cst on success: as an acquire it pairs with owner_release and owner_hand: what
	 * the last owner did. seq_cst on failure: the look after entering the list, before
	 * which the owner can't have looked for waiters and gone (see wait.h). */
	return atomic_compare_exchange_strong_explicit(
		&mutex->owner, &expected, self, memory_order_seq_cst, memory_order_seq_cst);
}

static bool is_owner(const weft_mutex *mutex, uintptr_t self)
{
	/* acquire; pairs with owner_hand: what the last owner did. Who is not the owner may
	 * read anything but itself. */
	return atomic_load_explicit(&mutex->owner, memory_order_acquire) == self;
}

static void owner_hand(weft_mutex *mutex, uintptr_t to)
{
	/* release; pairs with the acquire in is_owner: what this owner did */
	atomic_store_explicit(&mutex->owner, to, memory_order_release);
}

static void owner_release(weft_mutex *mutex)
{
	/* seq_cst; pairs with owner_take, whose success it is a release for; an exchange,
	 * so that it comes before the wait_any that follows */
	atomic_exchange_explicit(&mutex->owner, 0, memory_order_seq_cst);
}

bool weft_mutex_try_lock(weft_mutex *mutex)
{
	uintptr_t self = rt_self_id();

	return self != 0 && owner_take(mutex, self);
}

/* One turn in the list. WEFT_EAGAIN: woken in vain. */
static weft_err wait_turn(
	weft_mutex *mutex, struct wait_node *node, uintptr_t self, weft_deadline until)
{
	weft_err park;
	uint32_t state;

	if (owner_take(mutex, self)) {
		/* a wake that came meanwhile need not be passed on: this owner's unlock will
		 * look for waiters */
		if (wait_claim_self(node->ctx, &state))
			wait_remove(&mutex->waiters, node);
		return WEFT_OK;
	}
	park = wait_park(node->ctx, until, "mutex");
	if (park != WEFT_OK && wait_claim_self(node->ctx, &state)) {
		wait_remove(&mutex->waiters, node);
		return park;
	}
	if (is_owner(mutex, self) || owner_take(mutex, self))
		return WEFT_OK;
	/* the wake need not be passed on: see above, of whoever has the lock */
	return park == WEFT_OK ? WEFT_EAGAIN : park;
}

weft_err weft_mutex_lock(weft_mutex *mutex, weft_deadline until)
{
	uintptr_t self = rt_self_id();
	struct wait_node node;
	struct wait_ctx ctx;
	bool front = false;
	weft_err err;

	if (self == 0)
		return err_set(WEFT_ENOMEM);
	if (weft_likely(owner_take(mutex, self)))
		return WEFT_OK;
	if (is_owner(mutex, self))
		return err_setf(WEFT_EDEADLOCK, "lock mutex: the caller holds it");
	if (until <= WEFT_NOW)
		return err_set(WEFT_ETIMEDOUT);
	if (wait_ctx_init(&ctx) != WEFT_OK)
		return WEFT_ENOMEM;
	wait_node_init(&node, &ctx, WAIT_FIRST);
	for (;;) {
		/* relaxed: nobody knows the node between its turns */
		atomic_store_explicit(&ctx.state, WAIT_OPEN, memory_order_relaxed);
		wait_push(&mutex->waiters, &node, front);
		err = wait_turn(mutex, &node, self, until);
		if (err != WEFT_EAGAIN)
			return err;
		front = true;
		node.count++;
	}
}

/* With the list's lock held: gives the mutex to the first waiter if it has waited in
 * vain too often; its parker, else NULL. */
static weft_parker *hand_over_locked(weft_mutex *mutex, uintptr_t self)
{
	struct wait_queue *q = &mutex->waiters;
	struct wait_node *node;
	weft_parker *parker;

	if (list_is_empty(&q->nodes))
		return NULL;
	node = container_of(q->nodes.next, struct wait_node, link);
	if (node->count < VAIN_MAX)
		return NULL;
	wait_remove_locked(q, node);
	parker = node->ctx->parker;
	/* Before the claim, so that the claimed one finds it. One that gives up instead
	 * can't leave, or look, before the lock is free. */
	owner_hand(mutex, (uintptr_t)parker);
	if (wait_claim(node))
		return parker;
	owner_hand(mutex, self);
	return NULL;
}

void weft_mutex_unlock(weft_mutex *mutex)
{
	uintptr_t self = rt_self_id();

	CHECK(self != 0 && is_owner(mutex, self));
	if (wait_any(&mutex->waiters)) {
		weft_parker *next;

		rt_lock_acquire(&mutex->waiters.lock);
		next = hand_over_locked(mutex, self);
		rt_lock_release(&mutex->waiters.lock);
		if (next) {
			weft_unpark(next);
			return;
		}
	}
	owner_release(mutex);
	if (wait_any(&mutex->waiters))
		wait_wake_one(&mutex->waiters);
}

void weft_mutex_free(weft_mutex *mutex)
{
	/* relaxed: only against bugs */
	CHECK(!mutex || atomic_load_explicit(&mutex->owner, memory_order_relaxed) == 0);
	mem_free(mutex);
}
