/* SPDX-License-Identifier: MIT */
/*
 * The semaphore: one word, the permits and two flags. While nobody waits, acquire and
 * release are one CAS. With WAITERS set the word changes under the lock only; releases
 * then grant permits to the waiters, strictly in order, and newcomers queue behind them.
 * A waiter is claimed when, and only when, its permits were taken for it.
 */
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "sync/wait.h"

#include <weft/mutex.h>

#define GRANT_BATCH 16 /* granted in one critical section, to be unparked after it */

enum {
	WAITERS = 1, /* the list is not empty; changes under the lock */
	CLOSED = 2,
	PERMIT = 4, /* one */
};

struct weft_semaphore {
	_Atomic uint64_t word;
	struct wait_queue waiters; /* node->count: permits wanted */
};

weft_err weft_semaphore_create(weft_semaphore **out, size_t permits)
{
	weft_semaphore *s;

	if (permits > WEFT_SEMAPHORE_MAX)
		return err_setf(WEFT_EINVAL, "create semaphore: permits %zu: at most %zu", permits,
			WEFT_SEMAPHORE_MAX);
	s = mem_calloc(1, sizeof(*s));
	if (!s)
		return err_set(WEFT_ENOMEM);
	wait_queue_init(&s->waiters);
	atomic_init(&s->word, permits * PERMIT);
	*out = s;
	return WEFT_OK;
}

/* WEFT_OK, WEFT_ECLOSED, WEFT_EAGAIN. wait: sets WAITERS instead of WEFT_EAGAIN's doing
 * nothing; first: the caller is next in turn. Both with the lock held only. */
static weft_err permits_take(weft_semaphore *s, size_t count, bool wait, bool first)
{
	/* relaxed: the CAS decides */
	uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);

	for (;;) {
		bool fits = word / PERMIT >= count && (first || !(word & WAITERS));
		uint64_t next = fits ? word - count * PERMIT : word | WAITERS;

		if (word & CLOSED)
			return WEFT_ECLOSED;
		if (!fits && (!wait || next == word))
			return WEFT_EAGAIN;
		/* acquire; pairs with the release in permits_give: what was done before the
		 * permits were given back. relaxed on failure: tried again */
		if (atomic_compare_exchange_weak_explicit(
			    &s->word, &word, next, memory_order_acquire, memory_order_relaxed))
			return fits ? WEFT_OK : WEFT_EAGAIN;
	}
}

/* Grants what can be granted, in order, and clears WAITERS when nobody is left. */
static size_t grant_locked(weft_semaphore *s, weft_parker **parkers)
{
	struct wait_queue *q = &s->waiters;
	size_t count = 0;

	while (count < GRANT_BATCH && !list_is_empty(&q->nodes)) {
		struct wait_node *node = container_of(q->nodes.next, struct wait_node, link);

		if (permits_take(s, node->count, false, true) != WEFT_OK)
			return count;
		wait_remove_locked(q, node);
		parkers[count++] = node->ctx->parker;
		CHECK(wait_claim(node)); /* waiters give up under the lock only */
	}
	/* release; pairs with the acquire in permits_take: this thread has taken permits for
	 * others, and what it saw with them stays before */
	if (list_is_empty(&q->nodes))
		atomic_fetch_and_explicit(&s->word, ~(uint64_t)WAITERS, memory_order_release);
	return count;
}

static void grant(weft_semaphore *s)
{
	weft_parker *parkers[GRANT_BATCH];
	size_t count;

	do {
		rt_lock_acquire(&s->waiters.lock);
		count = grant_locked(s, parkers);
		rt_lock_release(&s->waiters.lock);
		for (size_t i = 0; i < count; i++)
			weft_unpark(parkers[i]);
	} while (count == GRANT_BATCH);
}

static weft_err acquire_wait(weft_semaphore *s, size_t count, weft_deadline until)
{
	struct wait_node node;
	struct wait_ctx ctx;
	weft_err err, park = WEFT_OK;

	if (wait_ctx_init(&ctx) != WEFT_OK)
		return WEFT_ENOMEM;
	wait_node_init(&node, &ctx, WAIT_FIRST);
	node.count = count;
	rt_lock_acquire(&s->waiters.lock);
	err = permits_take(s, count, true, list_is_empty(&s->waiters.nodes));
	if (err == WEFT_EAGAIN)
		wait_push_locked(&s->waiters, &node, false);
	rt_lock_release(&s->waiters.lock);
	if (err != WEFT_EAGAIN)
		return err;

	park = wait_park(&ctx, until, "semaphore");
	rt_lock_acquire(&s->waiters.lock);
	err = wait_state(&ctx) == WAIT_OPEN ? park : node.result;
	wait_remove_locked(&s->waiters, &node);
	rt_lock_release(&s->waiters.lock);
	/* those behind a large request that has gone may fit now */
	if (err != WEFT_OK)
		grant(s);
	return err;
}

weft_err weft_semaphore_acquire(weft_semaphore *s, size_t count, weft_deadline until)
{
	weft_err err;

	if (count > WEFT_SEMAPHORE_MAX)
		return err_setf(WEFT_EINVAL, "acquire semaphore: count %zu: at most %zu", count,
			WEFT_SEMAPHORE_MAX);
	err = permits_take(s, count, false, count == 0);
	if (err == WEFT_EAGAIN)
		err = until <= WEFT_NOW ? WEFT_ETIMEDOUT : acquire_wait(s, count, until);
	return err == WEFT_OK ? WEFT_OK : err_set(err);
}

bool weft_semaphore_try_acquire(weft_semaphore *s, size_t count)
{
	return count <= WEFT_SEMAPHORE_MAX && permits_take(s, count, false, count == 0) == WEFT_OK;
}

/* Adds permits unless somebody waits. */
static bool permits_give(weft_semaphore *s, size_t count, bool locked)
{
	/* relaxed: the CAS decides */
	uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);

	for (;;) {
		CHECK(word / PERMIT + count <= WEFT_SEMAPHORE_MAX);
		if ((word & WAITERS) && !locked)
			return false;
		/* release; pairs with the acquire in permits_take: what was done while the
		 * permits were held. relaxed on failure: tried again */
		if (atomic_compare_exchange_weak_explicit(&s->word, &word, word + count * PERMIT,
			    memory_order_release, memory_order_relaxed))
			return true;
	}
}

void weft_semaphore_release(weft_semaphore *s, size_t count)
{
	if (weft_likely(permits_give(s, count, false)))
		return;
	rt_lock_acquire(&s->waiters.lock);
	permits_give(s, count, true);
	rt_lock_release(&s->waiters.lock);
	grant(s);
}

size_t weft_semaphore_available(const weft_semaphore *s)
{
	/* relaxed: a number that may be old when it is read */
	return (size_t)(atomic_load_explicit(&s->word, memory_order_relaxed) / PERMIT);
}

void weft_semaphore_close(weft_semaphore *s)
{
	rt_lock_acquire(&s->waiters.lock);
	/* release; pairs with the acquire in permits_take. Under the lock: nobody queues
	 * after it. */
	atomic_fetch_or_explicit(&s->word, CLOSED, memory_order_release);
	rt_lock_release(&s->waiters.lock);
	wait_wake_all(&s->waiters, &s->waiters.lock, WEFT_ECLOSED);
}

void weft_semaphore_free(weft_semaphore *s)
{
	mem_free(s);
}
