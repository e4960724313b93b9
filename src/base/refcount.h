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

/*
 * A claim: one holder, who did not wait for it. For short sections that have something
 * else to do when the claim is taken. Zeroed memory is a free one.
 */
struct claim {
	_Atomic uint32_t taken;
};

static inline bool claim_try(struct claim *claim)
{
	/* acquire; pairs with claim_release: what the last holder wrote */
	return atomic_exchange_explicit(&claim->taken, 1, memory_order_acquire) == 0;
}

static inline void claim_release(struct claim *claim)
{
	/* release; pairs with claim_try: publishes what was written under the claim */
	atomic_store_explicit(&claim->taken, 0, memory_order_release);
}

/* A pointer to something that no longer changes, which readers load without waiting. What
 * it pointed to before must stay, or be known to have no reader. */
struct published {
	_Atomic(void *) pointer;
};

static inline void *published_get(const struct published *p)
{
	/* acquire; pairs with published_set: what the pointer points to is complete */
	return atomic_load_explicit(&p->pointer, memory_order_acquire);
}

static inline void published_set(struct published *p, void *pointer)
{
	/* release; pairs with published_get: what is pointed to is complete */
	atomic_store_explicit(&p->pointer, pointer, memory_order_release);
}

#endif
