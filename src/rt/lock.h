/* SPDX-License-Identifier: MIT */
#ifndef RT_LOCK_H
#define RT_LOCK_H

/*
 * struct rt_lock: a short lock for fibers and threads alike: spins, then sleeps on a
 * futex. Never held across a park or a call-out (debug builds count and assert), never
 * on a path that finds nobody waiting. 0 is unlocked, so that zeroed memory is a lock.
 */
#include "base/align.h"

#include <stdatomic.h>
#include <stdint.h>

struct rt_lock {
	_Atomic uint32_t word; /* 0 free, 1 held, 2 held and somebody sleeps */
};

void rt_lock_slow(struct rt_lock *lock);
void rt_lock_wake(struct rt_lock *lock);

static inline void rt_lock_acquire(struct rt_lock *lock)
{
	uint32_t expected = 0;

	/* acquire; pairs with the release in rt_lock_release: what the last holder wrote.
	 * relaxed on failure: the slow path tries again. */
	if (weft_unlikely(!atomic_compare_exchange_strong_explicit(
		    &lock->word, &expected, 1, memory_order_acquire, memory_order_relaxed)))
		rt_lock_slow(lock);
}

static inline void rt_lock_release(struct rt_lock *lock)
{
	/* release; pairs with the acquire above: publishes what was done under the lock. */
	if (weft_unlikely(atomic_exchange_explicit(&lock->word, 0, memory_order_release) == 2))
		rt_lock_wake(lock);
}

#endif
