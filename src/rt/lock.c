/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "rt/lock.h"
#include "rt/cpu.h"
#include "rt/futex.h"
#include "rt/rt.h"

#include <sched.h>

#define YIELDS 4
#define SPINS 100 /* about a microsecond: holders are done by then, unless preempted */

static bool try_take(struct rt_lock *lock)
{
	uint32_t expected = 0;

	/* acquire; pairs with the release in rt_lock_release; relaxed on failure: tried again */
	return atomic_compare_exchange_strong_explicit(
		&lock->word, &expected, 1, memory_order_acquire, memory_order_relaxed);
}

void rt_lock_slow(struct rt_lock *lock)
{
	int spins = rt_cores() > 1 ? SPINS : 0;

	for (int i = 0; i < spins; i++) {
		/* relaxed: only a hint whether it may be had */
		if (atomic_load_explicit(&lock->word, memory_order_relaxed) != 0)
			cpu_pause();
		else if (try_take(lock))
			return;
	}
	/* A holder that was preempted needs the core: giving it away is cheaper than a sleep, after
	 * which every release costs a call. */
	for (int i = 0; i < YIELDS; i++) {
		sched_yield();
		if (try_take(lock))
			return;
	}
	/* acquire; pairs with the release in rt_lock_release. 2 from here on: a sleeper
	 * can't tell whether others sleep too. */
	while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire) != 0)
		futex_wait(&lock->word, 2, NULL);
}

void rt_lock_wake(struct rt_lock *lock)
{
	futex_wake(&lock->word, 1);
}
