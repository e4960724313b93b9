/* SPDX-License-Identifier: MIT */
#ifndef SYNC_WORD_H
#define SYNC_WORD_H

/*
 * Small shared words for protocols between two parties, all sequentially consistent: who
 * changes one word and then looks at another finds what the other party, who does it the
 * other way round, changed, or is found by it. That is what these are for; numbers that
 * order nothing are counters (base/counter.h). On x86-64 loads cost nothing more by it.
 * Zeroed memory is zero.
 */
#include <weft/park.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct word {
	_Atomic uint32_t value;
};

static inline uint32_t word_get(const struct word *w)
{
	/* seq_cst: in one order with the other party, see the top */
	return atomic_load_explicit(&w->value, memory_order_seq_cst);
}

/* Owner's own look, or where any later moment would do. */
static inline uint32_t word_peek(const struct word *w)
{
	/* acquire; pairs with the writers below: what came before the change */
	return atomic_load_explicit(&w->value, memory_order_acquire);
}

/* A plain publication by the only one who writes. */
static inline void word_put(struct word *w, uint32_t value)
{
	/* release; pairs with word_peek and word_get: what came before */
	atomic_store_explicit(&w->value, value, memory_order_release);
}

/* These return the value before. */
static inline uint32_t word_swap(struct word *w, uint32_t value)
{
	/* seq_cst: in one order with the other party, see the top */
	return atomic_exchange_explicit(&w->value, value, memory_order_seq_cst);
}

static inline uint32_t word_set_bits(struct word *w, uint32_t bits)
{
	/* seq_cst: in one order with the other party, see the top */
	return atomic_fetch_or_explicit(&w->value, bits, memory_order_seq_cst);
}

static inline uint32_t word_clear_bits(struct word *w, uint32_t bits)
{
	/* seq_cst: in one order with the other party, see the top */
	return atomic_fetch_and_explicit(&w->value, ~bits, memory_order_seq_cst);
}

static inline bool word_change(struct word *w, uint32_t from, uint32_t to)
{
	/* seq_cst both: one order with the other party, see the top */
	return atomic_compare_exchange_strong_explicit(
		&w->value, &from, to, memory_order_seq_cst, memory_order_seq_cst);
}

struct word64 {
	_Atomic uint64_t value;
};

static inline uint64_t word64_get(const struct word64 *w)
{
	/* seq_cst: in one order with the other party, see the top */
	return atomic_load_explicit(&w->value, memory_order_seq_cst);
}

/* The same, by who does not go to sleep over what it finds. */
static inline uint64_t word64_peek(const struct word64 *w)
{
	/* acquire; pairs with word64_set */
	return atomic_load_explicit(&w->value, memory_order_acquire);
}

static inline void word64_set(struct word64 *w, uint64_t value)
{
	/* seq_cst: in one order with the other party, see the top */
	atomic_store_explicit(&w->value, value, memory_order_seq_cst);
}

/* The value after. */
static inline int64_t word64_add(struct word64 *w, int64_t n)
{
	/* seq_cst: in one order with the other party, see the top */
	return (int64_t)(atomic_fetch_add_explicit(&w->value, (uint64_t)n, memory_order_seq_cst) +
		(uint64_t)n);
}

/* A thing that one of several may have: whoever takes it has it alone. */
struct slot {
	_Atomic(void *) thing;
};

static inline void *slot_swap(struct slot *slot, void *thing)
{
	/* seq_cst: see above; hands the thing's contents over both ways */
	return atomic_exchange_explicit(&slot->thing, thing, memory_order_seq_cst);
}

static inline void *slot_take(struct slot *slot)
{
	/* relaxed: whether an exchange is worth it; callers look again after a change */
	if (!atomic_load_explicit(&slot->thing, memory_order_relaxed))
		return NULL;
	return slot_swap(slot, NULL);
}

/* False: there is one already. */
static inline bool slot_offer(struct slot *slot, void *thing)
{
	void *none = NULL;

	/* seq_cst both: see above; publishes the thing, or acquires the other */
	return atomic_compare_exchange_strong_explicit(
		&slot->thing, &none, thing, memory_order_seq_cst, memory_order_seq_cst);
}

/* Of a thing that stays, and is shared. */
static inline void *slot_look(const struct slot *slot)
{
	/* seq_cst: in one order with the other party, see the top; acquires its contents */
	return atomic_load_explicit(&slot->thing, memory_order_seq_cst);
}

/* From one to another, either may be NULL. False: it does not hold the first. */
static inline bool slot_change(struct slot *slot, void *from, void *to)
{
	/* seq_cst both: see above; hands the thing's contents over both ways */
	return atomic_compare_exchange_strong_explicit(
		&slot->thing, &from, to, memory_order_seq_cst, memory_order_seq_cst);
}

/* For who changed a word before, and looks whether there is a thing. */
static inline bool slot_is_full(const struct slot *slot)
{
	return slot_look(slot);
}

/*
 * One who waits for a change of state beside it. The waiter: bell_set, look at the state,
 * park, again; bell_clear at last. Others: change the state, then bell_ring. One waiter at a
 * time; a ring may come late, to nobody.
 */
struct bell {
	_Atomic(weft_parker *) waiter;
};

static inline void bell_set(struct bell *bell, weft_parker *parker)
{
	/* seq_cst: before the look at the state, see above; publishes the parker */
	atomic_store_explicit(&bell->waiter, parker, memory_order_seq_cst);
}

static inline void bell_clear(struct bell *bell)
{
	/* relaxed: a ring that still finds the parker is harmless */
	atomic_store_explicit(&bell->waiter, NULL, memory_order_relaxed);
}

/* For who changed the state, and wakes by himself. */
static inline weft_parker *bell_waiter(const struct bell *bell)
{
	/* seq_cst: after the change of state, see above; acquires the parker */
	return atomic_load_explicit(&bell->waiter, memory_order_seq_cst);
}

static inline void bell_ring(struct bell *bell)
{
	weft_parker *parker = bell_waiter(bell);

	if (parker)
		weft_unpark(parker);
}

#endif
