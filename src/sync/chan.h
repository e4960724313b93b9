/* SPDX-License-Identifier: MIT */
#ifndef SYNC_CHAN_H
#define SYNC_CHAN_H

/*
 * Inside of a channel, for chan.c, its three kinds (ring.h, blocks.c, rendezvous.c) and
 * select.c.
 *
 * What one operation costs when nobody waits:
 *	ring	send: 1 CAS on tail, 1 release store (the slot), 1 load of the receivers' count
 *		recv: 1 CAS on head, 1 release store (the slot), 1 load of the senders' count
 *	blocks	send: as the ring's; and one allocation every BLOCK_SLOTS messages
 *		recv: 1 CAS on head, 1 add on the slot
 * No lock, no fence, no system call; each of the two ends writes lines of its own, and
 * the slot's.
 */
#include "base/align.h"
#include "base/refcount.h"
#include "sync/wait.h"

#include <weft/chan.h>

#include <stdalign.h>
#include <string.h>

enum chan_kind { CHAN_RING, CHAN_BLOCKS, CHAN_RENDEZVOUS };

struct chan_block;

struct weft_chan {
	/* constant from create to the last unref */
	enum chan_kind kind;
	size_t message_size; /* bytes */
	size_t capacity;
	size_t stride;	     /* bytes from slot to slot */
	size_t stamp_offset; /* bytes from a slot's message to its stamp */
	uint64_t lap;	     /* ring: what a position grows by in a full turn; a power of two */
	uint64_t closed_bit; /* of tail */
	char *slots;	     /* ring; owned */
	weft_chan_options options;

	/* Where the next message is taken. */
	alignas(CACHE_APART) _Atomic uint64_t head;
	_Atomic(struct chan_block *) head_block; /* blocks: the one head is in */
	_Atomic(struct chan_block *) spare;	 /* blocks: one that was given back; or NULL */

	/* Where the next message is put, and whether the channel is closed: in one word, so
	 * that sends and close have one order. */
	alignas(CACHE_APART) _Atomic uint64_t tail;
	_Atomic(struct chan_block *) tail_block; /* blocks: the one tail is in */

	/* rendezvous: the lock of receivers guards senders too, and closing */
	alignas(CACHE_APART) struct wait_queue receivers;
	alignas(CACHE_APART) struct wait_queue senders;

	/* Seldom written: */
	alignas(CACHE_APART) struct refcount refs;
	struct wait_queue closers; /* who waits for the close */
};

/* A send (target is NULL) or a receive (source is NULL and target may be, too, when
 * messages have no bytes). */
struct chan_op {
	bool send;
	const void *source;
	void *target;
};

/*
 * One attempt that never parks. WEFT_OK, WEFT_EAGAIN, WEFT_ECLOSED, WEFT_ENOMEM (blocks);
 * err_set is left to the caller. On success a waiter of the other end was woken.
 */
weft_err chan_try(weft_chan *chan, const struct chan_op *op);
/*
 * After a change that those who wait to send (or to receive) may use: does it for the first
 * of them, in its place, so that it need not come back and look; then for the one of the other
 * end to whom that made a difference, and so on. Not for rendezvous.
 */
void chan_serve(weft_chan *chan, bool send);
/* The attempt might not end in WEFT_EAGAIN. Sequentially consistent: the look at the
 * object after entering its wait list. Not for rendezvous. */
bool chan_is_ready(const weft_chan *chan, bool send);
/* For a waiter that was woken and did not use it. Not for rendezvous. */
void chan_pass_on(weft_chan *chan, bool send);

static inline struct wait_queue *chan_queue(weft_chan *chan, bool send)
{
	return send ? &chan->senders : &chan->receivers;
}

/* Most messages are a pointer; a call of memcpy would cost as much as the rest. */
static inline void chan_copy(void *to, const void *from, size_t size)
{
	if (weft_likely(size == sizeof(uint64_t)))
		memcpy(to, from, sizeof(uint64_t));
	else if (size != 0)
		memcpy(to, from, size);
}

static inline _Atomic uint64_t *chan_stamp(const weft_chan *chan, char *slot)
{
	return (_Atomic uint64_t *)(void *)(slot + chan->stamp_offset);
}

/* Lays out slots: the message first, so that it is aligned, its stamp behind it. */
void chan_layout(weft_chan *chan);

static inline bool chan_is_closed(const weft_chan *chan)
{
	/* seq_cst; pairs with the close: what its caller did before; and the look after
	 * entering the closers' list */
	return atomic_load_explicit(&chan->tail, memory_order_seq_cst) & chan->closed_bit;
}

/* blocks.c */
weft_err blocks_init(weft_chan *chan);
void blocks_fini(weft_chan *chan);
weft_err blocks_put(weft_chan *chan, const void *message); /* without waking */
weft_err blocks_take(weft_chan *chan, void *message);
bool blocks_is_ready(const weft_chan *chan);
size_t blocks_len(const weft_chan *chan);

/* rendezvous.c; see there */
weft_err rendezvous_try(weft_chan *chan, const struct chan_op *op);
weft_err rendezvous_match_locked(weft_chan *chan, const struct chan_op *op, weft_parker **partner);
weft_err rendezvous_wait(weft_chan *chan, const struct chan_op *op, weft_deadline until);
void rendezvous_close(weft_chan *chan);

#endif
