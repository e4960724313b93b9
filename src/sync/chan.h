/* SPDX-License-Identifier: MIT */
#ifndef SYNC_CHAN_H
#define SYNC_CHAN_H

/*
 * Inside of a channel, for chan.c, its three kinds (ring.h and ring.c, blocks.c,
 * rendezvous.c), what is beside the single send and receive (chan_batch.c, chan_ends.c,
 * chan_fd.c, chan_permit.c), and select.c.
 *
 * What one operation costs when nobody waits:
 *	ring	send: 1 CAS on tail, 1 release store (the slot), 1 load of the receivers' count
 *		recv: 1 CAS on head, 1 release store (the slot), 1 load of the senders' count
 *	blocks	send: as the ring's; and one allocation every BLOCK_SLOTS messages
 *		recv: 1 CAS on head, 1 add on the slot
 * No lock, no fence, no system call; each of the two ends writes lines of its own, and
 * the slot's. What else there is costs these paths nothing: permits and the close are seen
 * in the word tail, which is loaded anyway, a descriptor counts as a receiver who waits, and
 * counted ends are counted elsewhere.
 */
#include "base/align.h"
#include "base/refcount.h"
#include "sync/wait.h"

#include <weft/chan.h>

#include <stdalign.h>
#include <string.h>

enum chan_kind { CHAN_RING, CHAN_BLOCKS, CHAN_RENDEZVOUS };

struct chan_block;
struct chan_fd;

struct weft_chan {
	/* constant from create to the last unref */
	enum chan_kind kind;
	size_t message_size; /* bytes */
	size_t capacity;
	size_t stride;	     /* bytes from slot to slot */
	size_t stamp_offset; /* bytes from a slot's message to its stamp */
	uint64_t lap;	     /* ring: what a position grows by in a full turn; a power of two */
	uint64_t closed_bit; /* of tail */
	uint64_t tail_flags; /* of tail: closed_bit; ring: and the number of permits, above it */
	char *slots;	     /* ring; owned */
	weft_chan_options options;
	_Atomic(struct chan_fd *) fd; /* set once; NULL: nobody asked for it */

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
	struct refcount sender_count, receiver_count; /* counted ends */
	_Atomic uint32_t abandoned;		      /* 1: the last counted receiver has gone */
	_Atomic uint32_t permits;		      /* blocks: permits out */
	struct wait_queue closers;		      /* who waits for the close */
};

/* A send (target is NULL) or a receive (source is NULL and target may be, too, when
 * messages have no bytes). */
struct chan_op {
	bool send;
	const void *source;
	void *target;
	bool wake_only; /* more than a message: nobody can do it in the waiter's place */
	/* NULL: one message. Else the attempt at something that contains this op; it wakes
	 * whom it should. */
	weft_err (*attempt)(weft_chan *chan, const struct chan_op *op);
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
/* The same after count changes; asks whether anybody waits. */
void chan_serve_many(weft_chan *chan, bool send, size_t count);
/* What a call does that got this from its attempt: waits, or sets the error. */
weft_err chan_wait(weft_chan *chan, const struct chan_op *op, weft_err err, weft_deadline until);
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

/* Of messages one behind the other, which may be NULL when they have no bytes. */
static inline const void *chan_nth(const weft_chan *chan, const void *messages, size_t i)
{
	return chan->message_size > 0 ? (const char *)messages + i * chan->message_size : messages;
}

static inline void *chan_nth_to(const weft_chan *chan, void *messages, size_t i)
{
	return chan->message_size > 0 ? (char *)messages + i * chan->message_size : messages;
}

/* What is to be done with messages that are taken. */
struct chan_sink {
	void *target; /* they are copied there, one behind the other */
	bool destroy; /* ... or destroyed where they are */
};

static inline void chan_sink_put(
	const weft_chan *chan, const struct chan_sink *sink, size_t i, void *slot)
{
	if (!sink->destroy)
		chan_copy(chan_nth_to(chan, sink->target, i), slot, chan->message_size);
	else if (chan->options.destroy)
		chan->options.destroy(slot, chan->options.user);
}

/*
 * blocks.c. _many: as many as there are, count at most; WEFT_OK: at least one. They wake
 * nobody; nor do reserve and unreserve.
 */
weft_err blocks_init(weft_chan *chan);
void blocks_fini(weft_chan *chan);
weft_err blocks_put(weft_chan *chan, const void *message);
weft_err blocks_take(weft_chan *chan, void *message);
weft_err blocks_put_many(weft_chan *chan, const void *messages, size_t count, size_t *done);
weft_err blocks_take_many(
	weft_chan *chan, const struct chan_sink *sink, size_t count, size_t *done);
bool blocks_is_ready(const weft_chan *chan);
size_t blocks_len(const weft_chan *chan);
/* *room: what the other two need. They return whether it was the last one of a closed
 * channel. */
weft_err blocks_reserve(weft_chan *chan, void **room);
bool blocks_unreserve(weft_chan *chan, void *room);
bool blocks_put_reserved(weft_chan *chan, void *room, const void *message);

/* ring.c; as those of blocks.c */
weft_err ring_put_flagged(weft_chan *chan, const void *message);
weft_err ring_put_many(weft_chan *chan, const void *messages, size_t count, size_t *done);
weft_err ring_take_many(weft_chan *chan, const struct chan_sink *sink, size_t count, size_t *done);
bool ring_is_full(const weft_chan *chan);
bool ring_has_room_flagged(const weft_chan *chan, uint64_t tail);
weft_err ring_reserve(weft_chan *chan);
bool ring_unreserve(weft_chan *chan);
bool ring_put_reserved(weft_chan *chan, const void *message);

/* chan_batch.c: takes messages and destroys them, count at most; how many. */
size_t chan_discard(weft_chan *chan, size_t count);

/* chan_permit.c: after the last permit of a closed channel has ended. */
void chan_wake_receivers(weft_chan *chan);

/* chan_ends.c: the last counted receiver has gone; to be asked after a message was sent. */
bool chan_is_abandoned(const weft_chan *chan);

/* chan_fd.c; all look for a descriptor themselves */
void chan_fd_fire(weft_chan *chan);  /* there is something, or nothing will come */
void chan_fd_clear(weft_chan *chan); /* the channel was found empty */
void chan_fd_fini(weft_chan *chan);

/* rendezvous.c; see there */
weft_err rendezvous_try(weft_chan *chan, const struct chan_op *op);
weft_err rendezvous_match_locked(weft_chan *chan, const struct chan_op *op, weft_parker **partner);
weft_err rendezvous_wait(weft_chan *chan, const struct chan_op *op, weft_deadline until);
void rendezvous_close(weft_chan *chan);

#endif
