/* SPDX-License-Identifier: MIT */
#ifndef SYNC_RING_H
#define SYNC_RING_H

/*
 * The bounded channel: a ring of slots, each with a stamp that says whose turn it is.
 *
 * A position is a lap and an index: the index counts slots, 0 .. capacity - 1, and the
 * lap (in units of chan->lap, a power of two) counts turns, so that any capacity is exact
 * without a division. In tail, bits between the two are flags, zero as a rule:
 *
 *	lap | number of permits, 16 bits | closed | index
 *
 * A tail with flags goes another way, in ring.c: with permits out, a sender has to count
 * what is queued. Where a position's lap is L, its slot's stamp is
 *
 *	L	free for the sender whose tail is here	 (memory starts as lap 0, all free)
 *	L + 1	holds the message of lap L, for the receiver whose head is here
 *	L + lap	taken: free for the sender of the next lap
 *
 * A sender owns the slot between its CAS on tail and its store of the stamp, a receiver
 * between its CAS on head and its store. Both stores are releases that pair with the
 * acquire load of the stamp by the next owner: the message's bytes go with them. Nobody
 * waits for an earlier slot to be committed, except who is to use that very slot.
 *
 * Empty and full are decided by head and tail, not by stamps: a slot that is claimed but
 * not yet published counts, and whoever needs it waits for it politely. That makes the
 * two CAS (not the stores) the change that wait.h's rule is about.
 *
 * Empty: head is read first, then tail; they are equal only if the ring was empty when
 * tail was read, since tail never falls behind head. Full: tail first, then head.
 *
 * A permit is one in tail's number. It is room: what is queued and what is reserved are
 * never more than the capacity, as a CAS on tail that counts both decides (head may only
 * have moved on meanwhile, which makes room). It is no slot: which one it becomes is decided
 * by the CAS that sends, and nobody waits for a permit to be used.
 */
#include "sync/chan.h"

static inline uint64_t ring_next(const weft_chan *chan, uint64_t position, uint64_t index)
{
	if (index + 1 < chan->capacity)
		return position + 1;
	return position - index + chan->lap;
}

/* Of an empty ring. A permit that is out may still send. */
static inline weft_err ring_empty_err(const weft_chan *chan, uint64_t tail)
{
	return (tail & chan->tail_flags) == chan->closed_bit ? WEFT_ECLOSED : WEFT_EAGAIN;
}

/* Without waking: whoever it makes a difference to is the caller's to look for. */
static inline weft_err ring_put(weft_chan *chan, const void *message)
{
	unsigned spins = 0, races = 0;
	/* seq_cst; pairs with the CAS below and the close: the look after entering a list */
	uint64_t tail = atomic_load_explicit(&chan->tail, memory_order_seq_cst);

	for (;;) {
		uint64_t index = tail & (chan->closed_bit - 1);
		uint64_t lap = tail - index;
		char *slot = chan->slots + index * chan->stride;
		uint64_t stamp;

		if (weft_unlikely(tail & chan->tail_flags))
			return ring_put_flagged(chan, message);
		/* acquire; pairs with the release in ring_take: the old message is out */
		stamp = atomic_load_explicit(chan_stamp(chan, slot), memory_order_acquire);
		if (weft_likely(stamp == lap)) {
			/* seq_cst; pairs with ring_is_ready and the loads of tail by those
			 * who have entered a list: before wait_any. On failure as the load. */
			if (!atomic_compare_exchange_weak_explicit(&chan->tail, &tail,
				    ring_next(chan, tail, index), memory_order_seq_cst,
				    memory_order_seq_cst)) {
				rt_backoff_race(&races);
				continue;
			}
			chan_copy(slot, message, chan->message_size);
			/* release; pairs with the acquire in ring_take: the message */
			atomic_store_explicit(
				chan_stamp(chan, slot), lap + 1, memory_order_release);
			return WEFT_OK;
		}
		/* seq_cst; pairs with the CAS in ring_take: the look after entering */
		if (atomic_load_explicit(&chan->head, memory_order_seq_cst) + chan->lap == tail)
			return WEFT_EAGAIN;
		/* a receiver is about to free the slot, or tail has moved on */
		rt_relax(&spins, false);
		/* seq_cst: as the first */
		tail = atomic_load_explicit(&chan->tail, memory_order_seq_cst);
	}
}

/* The same of a receive. */
static inline weft_err ring_take(weft_chan *chan, void *message)
{
	unsigned spins = 0, races = 0;
	/* relaxed: the CAS checks it, and emptiness follows from any old value of it */
	uint64_t head = atomic_load_explicit(&chan->head, memory_order_relaxed);

	for (;;) {
		uint64_t index = head & (chan->closed_bit - 1);
		uint64_t lap = head - index;
		char *slot = chan->slots + index * chan->stride;
		uint64_t stamp, tail;

		/* acquire; pairs with the release in ring_put: the message */
		stamp = atomic_load_explicit(chan_stamp(chan, slot), memory_order_acquire);
		if (weft_likely(stamp == lap + 1)) {
			/* seq_cst; pairs with the load of head by senders who have entered a
			 * list: before wait_any. relaxed on failure: as the load above */
			if (!atomic_compare_exchange_weak_explicit(&chan->head, &head,
				    ring_next(chan, head, index), memory_order_seq_cst,
				    memory_order_relaxed)) {
				rt_backoff_race(&races);
				continue;
			}
			chan_copy(message, slot, chan->message_size);
			/* release; pairs with the acquire in ring_put: the slot is read */
			atomic_store_explicit(
				chan_stamp(chan, slot), lap + chan->lap, memory_order_release);
			return WEFT_OK;
		}
		/* seq_cst; pairs with the CAS in ring_put and with the close: the look
		 * after entering a list */
		tail = atomic_load_explicit(&chan->tail, memory_order_seq_cst);
		if ((tail & ~chan->tail_flags) == head)
			return ring_empty_err(chan, tail);
		/* a sender is about to publish, or head has moved on */
		rt_relax(&spins, false);
		/* relaxed: as the first */
		head = atomic_load_explicit(&chan->head, memory_order_relaxed);
	}
}

static inline weft_err ring_try_send(weft_chan *chan, const void *message)
{
	weft_err err = ring_put(chan, message);

	if (weft_likely(err == WEFT_OK) && wait_any(&chan->receivers))
		chan_serve(chan, false);
	return err;
}

static inline weft_err ring_try_recv(weft_chan *chan, void *message)
{
	weft_err err = ring_take(chan, message);

	if (weft_likely(err == WEFT_OK) && wait_any(&chan->senders))
		chan_serve(chan, true);
	return err;
}

/* See chan_is_ready. */
static inline bool ring_is_ready(const weft_chan *chan, bool send)
{
	uint64_t head, tail;

	if (send) {
		/* seq_cst, both; pair with the CAS in ring_take and the close */
		tail = atomic_load_explicit(&chan->tail, memory_order_seq_cst);
		if (weft_unlikely(tail & chan->tail_flags))
			return ring_has_room_flagged(chan, tail);
		head = atomic_load_explicit(&chan->head, memory_order_seq_cst);
		return head + chan->lap != tail;
	}
	/* seq_cst, both; pair with the CAS in ring_put and the close */
	head = atomic_load_explicit(&chan->head, memory_order_seq_cst);
	tail = atomic_load_explicit(&chan->tail, memory_order_seq_cst);
	return (tail & ~chan->tail_flags) != head || ring_empty_err(chan, tail) == WEFT_ECLOSED;
}

static inline size_t ring_len(const weft_chan *chan)
{
	for (;;) {
		/* acquire, all: read in this order; equal tails make the pair a moment's */
		uint64_t tail = atomic_load_explicit(&chan->tail, memory_order_acquire);
		uint64_t head = atomic_load_explicit(&chan->head, memory_order_acquire);
		uint64_t mask = chan->closed_bit - 1;
		uint64_t from = head & mask, to = tail & mask;

		/* acquire: as the loads above */
		if (atomic_load_explicit(&chan->tail, memory_order_acquire) != tail)
			continue;
		if ((tail & ~chan->tail_flags) == head)
			return 0;
		return (size_t)(to > from ? to - from : chan->capacity - from + to);
	}
}

#endif
