/* SPDX-License-Identifier: MIT */
#ifndef BASE_REFCOUNT_H
#define BASE_REFCOUNT_H

/* How many hold a thing. Whoever drops the last reference frees it. Any thread. */
#include "base/check.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define REFCOUNT_MAX (UINT32_MAX / 2) /* above: overflow, or a freed thing */

struct refcount {
	_Atomic uint32_t count;
};

static inline void refcount_init(struct refcount *ref, uint32_t count)
{
	/* relaxed: nobody else knows it yet; publishing is the owner's affair */
	atomic_store_explicit(&ref->count, count, memory_order_relaxed);
}

/* The caller holds a reference, or knows somebody who does. */
static inline void refcount_hold(struct refcount *ref)
{
	/* relaxed: the reference it comes from keeps the thing alive; publishes nothing */
	uint32_t old = atomic_fetch_add_explicit(&ref->count, 1, memory_order_relaxed);

	CHECK(old - 1 < REFCOUNT_MAX);
}

/* True for the last one, who sees everything that the others did. */
static inline bool refcount_drop(struct refcount *ref)
{
	/* acq_rel; pairs with itself: the last drop sees what came before every other */
	uint32_t old = atomic_fetch_sub_explicit(&ref->count, 1, memory_order_acq_rel);

	CHECK(old - 1 < REFCOUNT_MAX);
	return old == 1;
}

/* True when the caller's reference is the only one. */
static inline bool refcount_is_one(const struct refcount *ref)
{
	/* acquire; pairs with refcount_drop: what the others did before they left */
	return atomic_load_explicit(&ref->count, memory_order_acquire) == 1;
}

#endif
