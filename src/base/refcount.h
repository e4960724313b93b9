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

/* A reference, unless the last one is gone: for who found the thing where its holders are
 * not known, and knows that its memory is still there. */
static inline bool refcount_try_hold(struct refcount *ref)
{
	/* relaxed: only the count matters; what the thing holds was published with it */
	uint32_t old = atomic_load_explicit(&ref->count, memory_order_relaxed);

	while (old > 0) {
		CHECK(old < REFCOUNT_MAX);
		/* relaxed both: as above */
		if (atomic_compare_exchange_weak_explicit(
			    &ref->count, &old, old + 1, memory_order_relaxed, memory_order_relaxed))
			return true;
	}
	return false;
}

/* One more, also where there is none: for a count of some of those who hold a thing, which is
 * kept by references of its own. */
static inline void refcount_add(struct refcount *ref)
{
	/* relaxed: what keeps the thing is another count; publishes nothing */
	uint32_t old = atomic_fetch_add_explicit(&ref->count, 1, memory_order_relaxed);

	CHECK(old < REFCOUNT_MAX);
}

/* True for the last one, who sees everything that the others did. */
static inline bool refcount_drop(struct refcount *ref)
{
	/* acq_rel; pairs with itself: the last drop sees what came before every other */
	uint32_t old = atomic_fetch_sub_explicit(&ref->count, 1, memory_order_acq_rel);

	CHECK(old - 1 < REFCOUNT_MAX);
	return old == 1;
}

/* The same for things that mostly have one holder: for the last one a load and a store in
 * place of a read-modify-write, for the others a load more. */
static inline bool refcount_drop_sole(struct refcount *ref)
{
	/* acquire; pairs with refcount_drop: what the others did before they left. Who reads 1
	 * holds the only reference, so that nobody can add another. */
	if (weft_likely(atomic_load_explicit(&ref->count, memory_order_acquire) == 1)) {
		/* relaxed: nobody else knows it; one that drops too often is found by it */
		atomic_store_explicit(&ref->count, 0, memory_order_relaxed);
		return true;
	}
	return refcount_drop(ref);
}

/* True when the caller's reference is the only one. */
static inline bool refcount_is_one(const struct refcount *ref)
{
	/* acquire; pairs with refcount_drop: what the others did before they left */
	return atomic_load_explicit(&ref->count, memory_order_acquire) == 1;
}

static inline uint32_t refcount_get(const struct refcount *ref)
{
	/* relaxed: a moment's number, which orders nothing */
	return atomic_load_explicit(&ref->count, memory_order_relaxed);
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

/*
 * Something that one thread, its owner, uses all the time, and others now and then, to take
 * what is in it. The owner pays two stores and a load; who wants in pays for both sides, by
 * a system call (membarrier) at whose return each thread of the process has passed a full
 * barrier:
 *
 *	owner: inside = 1; is it wanted?      taker: wanted = 1; barrier; is somebody inside?
 *
 * An owner that asked before the barrier has stored `inside` before it, too: the taker sees
 * that and waits. An owner that asks later finds `wanted`, and does without the thing. Where
 * the kernel has no membarrier, `wanted` always says so, and the owner's store is then a
 * sequentially consistent exchange.
 *
 * The owner neither waits nor changes threads inside. Takers keep one another out by a lock
 * of their own, under which they want, pass the barrier (one for many), await and give back.
 */
#define OWNED_WANTED 1u
#define OWNED_NO_BARRIER 2u

struct owned {
	_Atomic uint32_t inside; /* stored by the owner only */
	_Atomic uint32_t wanted; /* OWNED_ bits; stored by takers only */
};

void owned_init(struct owned *owned);
void owned_want(struct owned *owned);
/* Between wanting and awaiting. */
void owned_barrier(void);
/* Until the owner is outside: a few instructions of its, unless it was interrupted there. */
void owned_await(struct owned *owned);
void owned_give_back(struct owned *owned);
/* The owner only. False: it is being taken from just now; the owner is not inside. */
bool owned_enter(struct owned *owned);

static inline void owned_leave(struct owned *owned)
{
	/* release; pairs with the acquire in owned_await: what was done inside */
	atomic_store_explicit(&owned->inside, 0, memory_order_release);
}

/* The owner only. False: it is being taken from just now, or only owned_enter will do; the
 * owner is not inside. */
static inline bool owned_enter_fast(struct owned *owned)
{
	/* relaxed: the taker's barrier puts it in order before the load below, from which the
	 * empty statement keeps the compiler */
	atomic_store_explicit(&owned->inside, 1, memory_order_relaxed);
	__asm__ volatile("" ::: "memory");
	/* acquire; pairs with owned_give_back: what the taker did */
	if (weft_likely(atomic_load_explicit(&owned->wanted, memory_order_acquire) == 0))
		return true;
	owned_leave(owned);
	return false;
}

#endif
