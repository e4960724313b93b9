/* SPDX-License-Identifier: MIT */
#ifndef SYNC_BROADCAST_H
#define SYNC_BROADCAST_H

/*
 * Inside of a broadcast, for broadcast.c, select.c and tests.
 *
 * A ring of slots, a power of two of them, and one tail. A position is twice the number of a
 * message: it grows by 2, wraps where 64 bits end, and is only ever compared by difference.
 * The lowest bit of tail says closed, so that sends and close have one order. The slot of a
 * message is its number modulo the capacity, and the slot's stamp says what is in it:
 *
 *	p - lap		the message before, or none yet: free for the sender who claimed p
 *	p + 1		that sender is writing
 *	p		the message of position p
 *	p + lap ..	it was overwritten
 *
 * A sender claims positions by moving tail (CAS), waits until the slot is what the sender one
 * turn before left there, writes, and stores the stamp. Only a sender that was interrupted in
 * the middle of a write, and then only after a whole turn of the ring, is waited for.
 *
 * A subscriber has a position of its own, and writes nothing else: it finds its stamp, copies,
 * and looks at the stamp again (words.h). A stamp of a turn to come: it lags. An older stamp:
 * its position is not sent yet (tail is there), or is being written, which it waits for
 * politely: tail is what decides about empty. That makes the CAS on tail the change that the
 * rule in wait.h is about.
 *
 * Messages with ref and unref: between copying a message and taking a reference the sender of
 * the next turn must not give it up. So a subscriber pins the slot first, then looks at the
 * stamp; a sender changes the stamp first, then looks at the pins, and waits until they are
 * gone. All four are sequentially consistent: one of the two sees the other.
 *
 * What one operation costs when nobody sleeps, in atomic read-modify-writes:
 *	send	1 (tail); with unref 2 (the stamp); and 1 load of the number who wait
 *	recv	0; with ref 2 (pin, unpin) and what ref does
 * No lock, no system call, no allocation. Subscribers write no line that others use.
 */
#include "base/align.h"
#include "base/counter.h"
#include "sync/crowd.h"

#include <weft/broadcast.h>

#include <stdalign.h>

struct weft_broadcast {
	/* constant from create to the last unref */
	size_t message_size;   /* bytes */
	size_t stride;	       /* bytes from slot to slot */
	size_t message_offset; /* bytes from a slot to its message */
	size_t capacity;       /* a power of two */
	uint64_t lap;	       /* what a position grows by in a turn */
	uint64_t start;	       /* the first position */
	char *slots;	       /* owned */
	weft_broadcast_options options;

	alignas(CACHE_APART) _Atomic uint64_t tail; /* next position, and BROADCAST_CLOSED */

	alignas(CACHE_APART) struct wait_queue waiters; /* subscribers */
	struct ends ends;
	struct counter subs;
};

#define BROADCAST_CLOSED ((uint64_t)1)

struct weft_broadcast_sub {
	alignas(CACHE_LINE) _Atomic uint64_t position; /* its own fiber writes, others look */
	_Atomic uint64_t missed;		       /* as position */
	weft_broadcast *source;			       /* constant; a reference */
};

/* start: the position of the first message, even; for tests, else 0. */
weft_err broadcast_create_at(weft_broadcast **out, size_t message_size, size_t capacity,
	const weft_broadcast_options *options, uint64_t start);

/* One attempt that never parks: WEFT_OK, WEFT_ELAGGED, WEFT_ECLOSED, WEFT_EAGAIN. err_set is
 * left to the caller. */
weft_err broadcast_try_recv(weft_broadcast_sub *sub, void *message);
/* The attempt would not end in WEFT_EAGAIN. Sequentially consistent: the look at the object
 * after entering its wait list. */
bool broadcast_is_ready(const weft_broadcast_sub *sub);

#endif
