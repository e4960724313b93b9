/* SPDX-License-Identifier: MIT */
/*
 * The wait group: a count and a flag in one word.
 *
 * Who waits will often free the group as soon as wait returns, so the last done must not
 * touch it after its count has been seen. Without waiters the last done is a single CAS.
 * Once anybody has waited (the flag is set and stays), a done that may be the last works
 * under the lock, and every wait takes that lock before it returns.
 *
 * The last done releases all who are queued then, and claims the first; each that was
 * claimed claims the next. New waiters, of a group that is used again, queue behind.
 */
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "sync/wait.h"

#include <weft/mutex.h>

#define COUNT_MAX ((uint64_t)1 << 62)

enum {
	WAITED = 1, /* set for good by the first who queues */
	ONE = 2,    /* one thing under way */
};

struct weft_waitgroup {
	_Atomic uint64_t word;
	struct wait_queue waiters; /* node->count: 1 when released */
};

weft_err weft_waitgroup_create(weft_waitgroup **out)
{
	weft_waitgroup *group = mem_calloc(1, sizeof(*group));

	if (!group)
		return err_set(WEFT_ENOMEM);
	wait_queue_init(&group->waiters);
	*out = group;
	return WEFT_OK;
}

void weft_waitgroup_add(weft_waitgroup *group, size_t count)
{
	/* relaxed: adding publishes nothing; it comes before its done by the caller's means */
	uint64_t old = atomic_fetch_add_explicit(
		&group->word, (uint64_t)count * ONE, memory_order_relaxed);

	CHECK(count < COUNT_MAX && old / ONE + count < COUNT_MAX);
}

/* With the lock held: claims the first if it has been released. */
static weft_parker *next_locked(weft_waitgroup *group)
{
	struct list *first = group->waiters.nodes.next;

	if (first == &group->waiters.nodes || !container_of(first, struct wait_node, link)->count)
		return NULL;
	return wait_claim_one_locked(&group->waiters);
}

static void done_locked(weft_waitgroup *group)
{
	weft_parker *next = NULL;
	uint64_t old;

	rt_lock_acquire(&group->waiters.lock);
	/* acq_rel; pairs with itself and the CAS in done: what came before every done is
	 * seen by the waiters, who take the lock */
	old = atomic_fetch_sub_explicit(&group->word, ONE, memory_order_acq_rel);
	CHECK(old / ONE > 0);
	if (old / ONE == 1) {
		list_for_each(it, &group->waiters.nodes)
			container_of(it, struct wait_node, link)->count = 1;
		next = next_locked(group);
	}
	rt_lock_release(&group->waiters.lock);
	if (next)
		weft_unpark(next);
}

void weft_waitgroup_done(weft_waitgroup *group)
{
	/* relaxed: the CAS decides */
	uint64_t word = atomic_load_explicit(&group->word, memory_order_relaxed);

	for (;;) {
		CHECK(word / ONE > 0);
		if (word == (ONE | WAITED)) {
			done_locked(group);
			return;
		}
		/* release; pairs with the acquires in wait and done_locked: what came before
		 * this done. relaxed on failure: tried again */
		if (atomic_compare_exchange_weak_explicit(&group->word, &word, word - ONE,
			    memory_order_release, memory_order_relaxed))
			return;
	}
}

static weft_err group_wait(weft_waitgroup *group, struct wait_node *node, weft_deadline until)
{
	weft_parker *next = NULL;
	weft_err err = WEFT_OK;
	uint64_t word;

	rt_lock_acquire(&group->waiters.lock);
	/* acquire; pairs with the release in done. The flag keeps the last done off the
	 * fast path. */
	word = atomic_fetch_or_explicit(&group->word, WAITED, memory_order_acquire);
	if (word / ONE != 0 && until > WEFT_NOW)
		wait_push_locked(&group->waiters, node, false);
	rt_lock_release(&group->waiters.lock);
	if (word / ONE == 0)
		return WEFT_OK;
	if (until <= WEFT_NOW)
		return err_set(WEFT_ETIMEDOUT);

	err = wait_park(node->ctx, until, "waitgroup");
	rt_lock_acquire(&group->waiters.lock);
	if (wait_state(node->ctx) != WAIT_OPEN)
		next = next_locked(group);
	wait_remove_locked(&group->waiters, node);
	if (node->count)
		err = WEFT_OK;
	rt_lock_release(&group->waiters.lock);
	if (next)
		weft_unpark(next);
	return err;
}

weft_err weft_waitgroup_wait(weft_waitgroup *group, weft_deadline until)
{
	struct wait_node node;
	struct wait_ctx ctx;

	/* acquire; pairs with the release in done */
	if (atomic_load_explicit(&group->word, memory_order_acquire) == 0)
		return WEFT_OK;
	if (wait_ctx_init(&ctx) != WEFT_OK)
		return WEFT_ENOMEM;
	wait_node_init(&node, &ctx, WAIT_FIRST);
	return group_wait(group, &node, until);
}

void weft_waitgroup_free(weft_waitgroup *group)
{
	mem_free(group);
}
