/* SPDX-License-Identifier: MIT */
#ifndef BASE_COUNTER_H
#define BASE_COUNTER_H

/* A number that any thread may change: statistics, and limits that hold exactly. It orders
 * nothing but itself. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct counter {
	_Atomic uint64_t value;
};

static inline uint64_t counter_get(const struct counter *counter)
{
	/* relaxed: a number, nothing is read through it */
	return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

static inline void counter_set(struct counter *counter, uint64_t value)
{
	/* relaxed: a count, which orders nothing */
	atomic_store_explicit(&counter->value, value, memory_order_relaxed);
}

/* Returns the value before. */
static inline uint64_t counter_add(struct counter *counter, uint64_t n)
{
	/* relaxed: a count, which orders nothing */
	return atomic_fetch_add_explicit(&counter->value, n, memory_order_relaxed);
}

/* Returns the value before. */
static inline uint64_t counter_sub(struct counter *counter, uint64_t n)
{
	/* relaxed: a count, which orders nothing */
	return atomic_fetch_sub_explicit(&counter->value, n, memory_order_relaxed);
}

/* For counters that one thread writes and any reads: no read-modify-write. */
static inline void counter_own_add(struct counter *counter, uint64_t n)
{
	/* relaxed both: nobody else writes it, and it orders nothing */
	uint64_t value = atomic_load_explicit(&counter->value, memory_order_relaxed);

	atomic_store_explicit(&counter->value, value + n, memory_order_relaxed);
}

static inline void counter_own_sub(struct counter *counter, uint64_t n)
{
	counter_own_add(counter, ~n + 1);
}

/* Adds n unless that would exceed max; false: it would, nothing was added. */
static inline bool counter_try_add(struct counter *counter, uint64_t n, uint64_t max)
{
	/* relaxed, all three: as above */
	uint64_t value = atomic_load_explicit(&counter->value, memory_order_relaxed);

	do {
		if (n > max || value > max - n)
			return false;
		/* relaxed both: a count, which orders nothing */
	} while (!atomic_compare_exchange_weak_explicit(
		&counter->value, &value, value + n, memory_order_relaxed, memory_order_relaxed));
	return true;
}

/* A place among those inside; false: there are max. Sees what was done before every counter_leave
 * that came before. */
static inline bool counter_try_enter(struct counter *counter, uint64_t max)
{
	/* relaxed: the exchange says whether it still holds */
	uint64_t value = atomic_load_explicit(&counter->value, memory_order_relaxed);

	do {
		if (value >= max)
			return false;
		/* acquire; pairs with counter_leave, see above. relaxed on failure: tried again */
	} while (!atomic_compare_exchange_weak_explicit(
		&counter->value, &value, value + 1, memory_order_acquire, memory_order_relaxed));
	return true;
}

/* Returns how many are left. Whoever leaves sees what was done before every leaving before. */
static inline uint64_t counter_leave(struct counter *counter)
{
	/* acq_rel; pairs with itself and with counter_try_enter */
	return atomic_fetch_sub_explicit(&counter->value, 1, memory_order_acq_rel) - 1;
}

#endif
