/* SPDX-License-Identifier: MIT */
/* See wait.h for what holds here and why. */
#include "sync/wait.h"

#include "base/check.h"
#include "base/err.h"

#define WAKE_BATCH 16 /* claimed in one critical section, to be unparked after it */

void wait_queue_init(struct wait_queue *q)
{
	/* relaxed, both: nobody else knows the queue yet */
	atomic_init(&q->lock.word, 0);
	atomic_init(&q->count, 0);
	list_init(&q->nodes);
}

weft_err wait_ctx_init(struct wait_ctx *ctx)
{
	atomic_init(&ctx->state, WAIT_OPEN);
	ctx->parker = rt_parker_self();
	return ctx->parker ? WEFT_OK : err_set(WEFT_ENOMEM);
}

void wait_node_init(struct wait_node *node, struct wait_ctx *ctx, uint32_t number)
{
	list_init(&node->link);
	node->ctx = ctx;
	node->source = NULL;
	node->target = NULL;
	node->count = 0;
	node->number = number;
	node->result = WEFT_OK;
	node->queued = false;
	node->wake_only = false;
}

void wait_observe_locked(struct wait_queue *q)
{
	/* seq_cst; pairs with the load in wait_any: see the head of wait.h */
	atomic_fetch_add_explicit(&q->count, 1, memory_order_seq_cst);
}

void wait_unobserve_locked(struct wait_queue *q)
{
	/* relaxed: as in wait_remove_locked */
	atomic_fetch_sub_explicit(&q->count, 1, memory_order_relaxed);
}

void wait_push_locked(struct wait_queue *q, struct wait_node *node, bool front)
{
	if (front)
		list_push_front(&q->nodes, &node->link);
	else
		list_push_back(&q->nodes, &node->link);
	node->queued = true;
	wait_observe_locked(q);
}

void wait_remove_locked(struct wait_queue *q, struct wait_node *node)
{
	if (!node->queued)
		return;
	list_remove(&node->link);
	node->queued = false;
	/* relaxed, both: written under the lock only; who reads too high a number takes the
	 * lock and finds nobody */
	atomic_store_explicit(&q->count, atomic_load_explicit(&q->count, memory_order_relaxed) - 1,
		memory_order_relaxed);
}

struct wait_node *wait_first_locked(struct wait_queue *q)
{
	while (!list_is_empty(&q->nodes)) {
		struct wait_node *node = container_of(q->nodes.next, struct wait_node, link);

		wait_remove_locked(q, node);
		/* relaxed: only a hint; wait_claim decides */
		if (atomic_load_explicit(&node->ctx->state, memory_order_relaxed) == WAIT_OPEN)
			return node;
	}
	return NULL;
}

bool wait_claim(struct wait_node *node)
{
	uint32_t expected = WAIT_OPEN;

	/* release; pairs with the acquire in wait_state and wait_claim_self: the node is
	 * out of the list. relaxed on failure: the node is not ours to look at */
	return atomic_compare_exchange_strong_explicit(&node->ctx->state, &expected, node->number,
		memory_order_release, memory_order_relaxed);
}

weft_parker *wait_claim_one_locked(struct wait_queue *q)
{
	struct wait_node *node;

	while ((node = wait_first_locked(q))) {
		weft_parker *parker = node->ctx->parker;

		if (wait_claim(node))
			return parker;
	}
	return NULL;
}

struct wait_node *wait_claim_busy(struct wait_queue *q)
{
	struct wait_node *node;
	bool claimed = false;

	rt_lock_acquire(&q->lock);
	while (!claimed && (node = wait_first_locked(q))) {
		uint32_t expected = WAIT_OPEN;

		/* relaxed, both: the lock gave what the waiter wrote, and wait_settle
		 * publishes */
		claimed = atomic_compare_exchange_strong_explicit(&node->ctx->state, &expected,
			node->number | WAIT_BUSY, memory_order_relaxed, memory_order_relaxed);
	}
	rt_lock_release(&q->lock);
	return claimed ? node : NULL;
}

void wait_settle(struct wait_node *node, weft_err result)
{
	weft_parker *parker = node->ctx->parker;

	node->result = result;
	/* release; pairs with the acquire in wait_state and wait_claim_self: what was done in
	 * the waiter's place, and that the node is let go of */
	atomic_store_explicit(&node->ctx->state, node->number, memory_order_release);
	weft_unpark(parker);
}

/* A busy claim is settled by somebody who runs, or was preempted. */
static uint32_t settled(const struct wait_ctx *ctx)
{
	uint32_t state = wait_state(ctx);
	unsigned spins = 0;

	while (weft_unlikely(state != WAIT_SELF && (state & WAIT_BUSY))) {
		(void)rt_relax(&spins, false);
		state = wait_state(ctx);
	}
	return state;
}

void wait_push(struct wait_queue *q, struct wait_node *node, bool front)
{
	rt_lock_acquire(&q->lock);
	wait_push_locked(q, node, front);
	rt_lock_release(&q->lock);
}

void wait_remove(struct wait_queue *q, struct wait_node *node)
{
	rt_lock_acquire(&q->lock);
	wait_remove_locked(q, node);
	rt_lock_release(&q->lock);
}

void wait_wake_one(struct wait_queue *q)
{
	weft_parker *parker;

	rt_lock_acquire(&q->lock);
	parker = wait_claim_one_locked(q);
	rt_lock_release(&q->lock);
	if (parker)
		weft_unpark(parker);
}

void wait_wake_all(struct wait_queue *q, struct rt_lock *lock, weft_err result)
{
	weft_parker *parkers[WAKE_BATCH];
	size_t count;

	do {
		struct wait_node *node;

		count = 0;
		rt_lock_acquire(lock);
		while (count < WAKE_BATCH && (node = wait_first_locked(q))) {
			weft_parker *parker = node->ctx->parker;

			node->result = result;
			if (wait_claim(node))
				parkers[count++] = parker;
		}
		rt_lock_release(lock);
		for (size_t i = 0; i < count; i++)
			weft_unpark(parkers[i]);
	} while (count == WAKE_BATCH);
}

bool wait_claim_self(struct wait_ctx *ctx, uint32_t *state)
{
	*state = WAIT_OPEN;
	/* acquire on failure; pairs with the release of the waker's claim, as wait_state.
	 * relaxed on success: nothing is handed over */
	if (atomic_compare_exchange_strong_explicit(
		    &ctx->state, state, WAIT_SELF, memory_order_acquire, memory_order_acquire))
		return true;
	*state = settled(ctx);
	return false;
}

weft_err wait_sleep(struct wait_ctx *ctx, weft_deadline until, const char *why)
{
	while (wait_state(ctx) == WAIT_OPEN) {
		weft_err err = rt_park(until, why);

		if (err != WEFT_OK)
			return err;
	}
	(void)settled(ctx);
	return WEFT_OK;
}

weft_err wait_park(struct wait_ctx *ctx, weft_deadline until, const char *why)
{
	struct rt_backoff backoff = { 0 };
	bool claimed = false;
	weft_err err = WEFT_OK;

	while (!claimed && rt_backoff(&backoff, until))
		claimed = wait_state(ctx) != WAIT_OPEN;
	if (claimed)
		(void)settled(ctx);
	else
		err = wait_sleep(ctx, until, why);
	rt_backoff_end(&backoff);
	return err;
}

weft_err wait_until(struct wait_queue *q, bool (*ready)(const void *object), const void *object,
	weft_deadline until, const char *why)
{
	struct wait_node node;
	struct wait_ctx ctx;
	weft_err err = WEFT_OK;
	uint32_t state;

	if (ready(object))
		return WEFT_OK;
	if (until <= WEFT_NOW)
		return err_set(WEFT_ETIMEDOUT);
	if (wait_ctx_init(&ctx) != WEFT_OK)
		return WEFT_ENOMEM;
	wait_node_init(&node, &ctx, WAIT_FIRST);
	while (err == WEFT_OK && !ready(object)) {
		/* relaxed: nobody knows the node between its turns */
		atomic_store_explicit(&ctx.state, WAIT_OPEN, memory_order_relaxed);
		wait_push(q, &node, false);
		if (!ready(object))
			err = wait_park(&ctx, until, why);
		if (wait_claim_self(&ctx, &state))
			wait_remove(q, &node);
	}
	return ready(object) ? WEFT_OK : err;
}
