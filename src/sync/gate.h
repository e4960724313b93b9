/* SPDX-License-Identifier: MIT */
#ifndef SYNC_GATE_H
#define SYNC_GATE_H

/*
 * struct gate: who is inside an object that anybody may close at any moment, in one
 * word: at most one reader, one writer, and a count of short visits.
 *
 *   open --close--> closed --last one out--> over --gate_finish--> gone
 *
 * close turns newcomers away. Whoever leaves a closed gate last, the closer included,
 * is told so (GATE_LAST), tears the object down alone, and says gate_finish; the owner
 * may free the memory once gate_wait_gone returns. So a descriptor is closed exactly
 * once, never while a call uses it, and not later than the last such call.
 *
 * shutdown ends the writing half: a writer that is inside finishes first, and is told
 * at its leave to do the shutdown (GATE_DO_SHUTDOWN) before it leaves again.
 *
 * Nothing here parks but gate_wait_gone. One atomic read-modify-write to enter, one to
 * leave. Memory that is zero is an open gate.
 */
#include "rt/rt.h"

#include <stdbool.h>
#include <stdint.h>

struct gate {
	_Atomic uint32_t word;
};

enum {
	GATE_READ = 1u << 0,	  /* a reader is inside */
	GATE_WRITE = 1u << 1,	  /* a writer is inside */
	GATE_SHUT = 1u << 2,	  /* no further writer; shutdown is due */
	GATE_SHUT_DONE = 1u << 3, /* ... and done, or being done by the writer's side */
	GATE_CLOSED = 1u << 4,
	GATE_RESET = 1u << 5, /* closed in anger: the teardown is to reset */
	GATE_OVER = 1u << 6,  /* the last one out is tearing down */
	GATE_GONE = 1u << 7,  /* torn down; nobody touches the object again */
	GATE_VISIT = 1u << 8, /* visits are counted from here up */
};

enum gate_enter {
	GATE_ENTERED,
	GATE_REFUSED_BUSY, /* there is a reader (writer) already */
	GATE_REFUSED_SHUT, /* closed, or its writing half is */
};

enum gate_leave {
	GATE_LEFT,
	GATE_LAST,	  /* tear down, then gate_finish */
	GATE_DO_SHUTDOWN, /* still inside as the writer: shut down, then leave again */
};

static inline uint32_t gate_word(const struct gate *gate)
{
	/* acquire; pairs with the releases below: what was done before the bits were set. */
	return atomic_load_explicit(&gate->word, memory_order_acquire);
}

/* One step of the word. On failure *seen is the word now. */
static inline bool gate_step(struct gate *gate, uint32_t *seen, uint32_t next)
{
	/* acq_rel; pairs with itself: whoever enters after a leave sees what was done inside,
	 * and the last one out sees what all others did. relaxed on failure: tried again. */
	return atomic_compare_exchange_weak_explicit(
		&gate->word, seen, next, memory_order_acq_rel, memory_order_relaxed);
}

/* side: GATE_READ or GATE_WRITE. */
static inline enum gate_enter gate_enter(struct gate *gate, uint32_t side)
{
	uint32_t shut = side == GATE_WRITE ? GATE_CLOSED | GATE_SHUT : GATE_CLOSED;
	uint32_t word = gate_word(gate);

	do {
		if (weft_unlikely(word & shut))
			return GATE_REFUSED_SHUT;
		if (weft_unlikely(word & side))
			return GATE_REFUSED_BUSY;
	} while (weft_unlikely(!gate_step(gate, &word, word | side)));
	return GATE_ENTERED;
}

/* what: GATE_READ, GATE_WRITE or GATE_VISIT, as entered. */
static inline enum gate_leave gate_leave(struct gate *gate, uint32_t what)
{
	uint32_t word = gate_word(gate), next;

	do {
		if (weft_unlikely(what == GATE_WRITE &&
			    (word & (GATE_SHUT | GATE_SHUT_DONE | GATE_CLOSED)) == GATE_SHUT))
			next = word | GATE_SHUT_DONE;
		else
			next = word - what;
		if (weft_unlikely(next & GATE_CLOSED) && !(next & (GATE_READ | GATE_WRITE)) &&
			next < GATE_VISIT)
			next |= GATE_OVER;
	} while (weft_unlikely(!gate_step(gate, &word, next)));
	if (weft_unlikely(next & GATE_OVER))
		return GATE_LAST;
	return weft_unlikely((next & GATE_WRITE) && what == GATE_WRITE) ? GATE_DO_SHUTDOWN
									: GATE_LEFT;
}

/* A short visit beside reader and writer. False: closed. */
static inline bool gate_visit(struct gate *gate)
{
	uint32_t word = gate_word(gate);

	do {
		if (word & GATE_CLOSED)
			return false;
	} while (!gate_step(gate, &word, word + GATE_VISIT));
	return true;
}

/*
 * True for the one caller that closed it: it is then inside as a visitor, interrupts
 * whoever else is, and leaves. reset may still be added while calls are inside.
 */
static inline bool gate_close(struct gate *gate, bool reset)
{
	uint32_t word = gate_word(gate), add = reset ? GATE_RESET : 0;

	for (;;) {
		if (!(word & GATE_CLOSED)) {
			if (gate_step(gate, &word, (word | GATE_CLOSED | add) + GATE_VISIT))
				return true;
		} else if ((word & GATE_OVER) || (word & add) == add ||
			gate_step(gate, &word, word | add)) {
			return false;
		}
	}
}

enum gate_shutdown {
	GATE_SHUTDOWN_MINE,  /* inside as the writer: shut down, then leave as GATE_WRITE */
	GATE_SHUTDOWN_DONE,  /* done before, or closed */
	GATE_SHUTDOWN_LATER, /* the writer that is inside does it when it leaves */
};

static inline enum gate_shutdown gate_shutdown(struct gate *gate)
{
	uint32_t word = gate_word(gate), next;

	do {
		if (word & (GATE_CLOSED | GATE_SHUT))
			return GATE_SHUTDOWN_DONE;
		next = word | GATE_SHUT;
		if (!(word & GATE_WRITE))
			next |= GATE_WRITE | GATE_SHUT_DONE;
	} while (!gate_step(gate, &word, next));
	return word & GATE_WRITE ? GATE_SHUTDOWN_LATER : GATE_SHUTDOWN_MINE;
}

/* The teardown is over: nobody but the owner, who frees, touches the object again. */
static inline void gate_finish(struct gate *gate)
{
	/* release; pairs with the acquire in gate_word, for gate_wait_gone: the teardown. */
	(void)atomic_fetch_or_explicit(&gate->word, GATE_GONE, memory_order_release);
}

/* Closed before. Short: those inside were interrupted. */
static inline void gate_wait_gone(struct gate *gate)
{
	unsigned spins = 0;

	while (!(gate_word(gate) & GATE_GONE))
		(void)rt_relax(&spins, true);
}

#endif
