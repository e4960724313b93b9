/* SPDX-License-Identifier: MIT */
#include "sync/crowd.h"

/* Takes up to most of the first, and claims them; how many were taken, and claimed. */
static uint32_t take_some(
	struct wait_queue *q, uint32_t most, weft_parker **parkers, size_t *claimed)
{
	uint32_t taken = 0;

	*claimed = 0;
	while (taken < most && *claimed < CROWD_BATCH && !list_is_empty(&q->nodes)) {
		struct wait_node *node = container_of(q->nodes.next, struct wait_node, link);
		weft_parker *parker = node->ctx->parker;

		list_remove(&node->link);
		node->queued = false;
		taken++;
		if (wait_claim(node))
			parkers[(*claimed)++] = parker;
	}
	/* relaxed, both: written under the lock only; who reads too high a number takes the
	 * lock and finds nobody */
	atomic_store_explicit(&q->count,
		atomic_load_explicit(&q->count, memory_order_relaxed) - taken,
		memory_order_relaxed);
	return taken;
}

void crowd_wake(struct wait_queue *q)
{
	weft_parker *parkers[CROWD_BATCH];
	uint32_t taken, left;
	size_t claimed;

	parkers[0] = NULL; /* for the analyzer, which loses count */
	rt_lock_acquire(&q->lock);
	/* relaxed: written under the lock */
	left = atomic_load_explicit(&q->count, memory_order_relaxed);
	for (;;) {
		taken = take_some(q, left, parkers, &claimed);
		rt_lock_release(&q->lock);
		for (size_t i = 0; i < claimed; i++)
			weft_unpark(parkers[i]);
		left -= taken;
		if (left == 0 || taken == 0)
			return;
		rt_lock_acquire(&q->lock);
	}
}
