/* SPDX-License-Identifier: MIT */
#ifndef WEFT_CHAN_H
#define WEFT_CHAN_H

#include <weft/base.h>
#include <weft/cancel.h>

#include <stdbool.h>

WEFT_BEGIN_DECLS
/*
 * weft_chan: a queue of fixed-size messages between any number of senders and
 * receivers, fibers and plain threads in any mix.
 *
 * Order:    FIFO. A message is received exactly once.
 * Lifetime: reference counted; weft_chan_create gives one reference. Messages still
 *           queued at the last unref go to the destructor.
 * Threads:  every call from any fiber or thread that holds a reference.
 * Blocking: send, recv, send_many, recv_many, reserve, wait_closed; they are cancellation
 *           points. A call that was cancelled or timed out has not sent or received
 *           anything. One that can complete without waiting does, cancelled or not.
 * Close:    senders get WEFT_ECLOSED at once; receivers get what was sent before, then
 *           WEFT_ECLOSED. By weft_chan_close, or when the last counted end of a side goes.
 * Identity: two pointers are the same channel exactly when they are equal.
 */
typedef struct weft_chan weft_chan;

#define WEFT_CHAN_UNBOUNDED SIZE_MAX
#define WEFT_CHAN_MESSAGE_SIZE_MAX 4096
#define WEFT_CHAN_CAPACITY_MAX ((size_t)1 << 30)

typedef struct weft_chan_options {
	/*
	 * Called for each message that nobody received, with its address; may be NULL. In
	 * whichever fiber or thread lets go of it (the last unref, the last counted receiver,
	 * weft_chan_drain, a late permit); must not block, nor send to this channel.
	 */
	void (*destroy)(void *message, void *user);
	void *user;
} weft_chan_options;

#define WEFT_CHAN_OPTIONS_DEFAULT \
	{                         \
		NULL, NULL        \
	}

/*
 * capacity 0: rendezvous, a send returns when a receiver has taken the message;
 * 1..WEFT_CHAN_CAPACITY_MAX: that many (exactly); WEFT_CHAN_UNBOUNDED: memory is the
 * limit, and given back as it empties. message_size 0..WEFT_CHAN_MESSAGE_SIZE_MAX
 * bytes. options may be NULL. Errors: WEFT_EINVAL, WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_chan_create(
	weft_chan **out, size_t message_size, size_t capacity, const weft_chan_options *options);
WEFT_API weft_chan *weft_chan_ref(weft_chan *chan);
/* The last one frees; NULL is allowed. */
WEFT_API void weft_chan_unref(weft_chan *chan);

/*
 * Counted ends: references that count as a sender or a receiver as well. Any reference may
 * send and receive; what counts is whether somebody is left.
 *
 * When the last counted sender goes the channel closes: receivers get what was sent, then
 * WEFT_ECLOSED. When the last counted receiver goes it closes, too, and what was not
 * received is destroyed. A side that never had a counted end ends by weft_chan_close only.
 * Plain references count as neither: they are the weak senders (and receivers).
 *
 * ref: the caller holds a reference of any kind. Of a closed channel: harmless, it stays
 * closed. unref: gives up what one ref gave, the reference included; NULL is allowed.
 */
WEFT_API weft_chan *weft_chan_sender_ref(weft_chan *chan);
WEFT_API void weft_chan_sender_unref(weft_chan *chan);
WEFT_API weft_chan *weft_chan_receiver_ref(weft_chan *chan);
WEFT_API void weft_chan_receiver_unref(weft_chan *chan);
/* From a plain reference, which the caller keeps. NULL: closed, or no counted end of that
 * side is left (or was ever there). */
WEFT_API WEFT_MUST_CHECK weft_chan *weft_chan_sender_try_ref(weft_chan *chan);
WEFT_API WEFT_MUST_CHECK weft_chan *weft_chan_receiver_try_ref(weft_chan *chan);
/* Counted ends; moments, as weft_chan_len. */
WEFT_API size_t weft_chan_sender_count(const weft_chan *chan);
WEFT_API size_t weft_chan_receiver_count(const weft_chan *chan);

/* Copies the message in. On any error it is still the caller's. Errors: WEFT_ECLOSED,
 * WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_ENOMEM (unbounded; or to park a plain thread for
 * the first time, as in every call that waits). */
WEFT_API WEFT_MUST_CHECK weft_err weft_chan_send(
	weft_chan *chan, const void *message, weft_deadline until);
/* Never parks: WEFT_EAGAIN when full (rendezvous: when no receiver waits). */
WEFT_API WEFT_MUST_CHECK weft_err weft_chan_try_send(weft_chan *chan, const void *message);
/* Copies the oldest message out. Errors: WEFT_ECLOSED (closed and empty),
 * WEFT_ETIMEDOUT, WEFT_ECANCELED. */
WEFT_API WEFT_MUST_CHECK weft_err weft_chan_recv(
	weft_chan *chan, void *message, weft_deadline until);
/* Never parks: WEFT_EAGAIN when empty (rendezvous: when no sender waits). */
WEFT_API WEFT_MUST_CHECK weft_err weft_chan_try_recv(weft_chan *chan, void *message);

/*
 * All messages, until the channel is closed and empty, and all that are there now:
 *
 *	while ((err = weft_chan_recv(chan, &message, WEFT_FOREVER)) == WEFT_OK)
 *	while ((err = weft_chan_try_recv(chan, &message)) == WEFT_OK)
 *
 * after which WEFT_ECLOSED is the end in order.
 */

/*
 * Batches: count messages that lie one behind the other, message_size bytes each. As many
 * as fit (are there) now are sent (received) with one claim and one round of wakes; the call
 * waits only while that is none. On WEFT_OK *sent (*received) is 1 to count, and no more
 * than WEFT_CHAN_BATCH_MAX; a count of 0 is done at once. On an error nothing was sent
 * (received), and it is untouched.
 * The messages stay in their order; unbounded channels may have others' in between. A
 * rendezvous channel takes as many as partners wait, and waits for one. Errors: as send and
 * recv; until WEFT_NOW tries.
 */
#define WEFT_CHAN_BATCH_MAX 256
WEFT_API WEFT_MUST_CHECK weft_err weft_chan_send_many(
	weft_chan *chan, const void *messages, size_t count, size_t *sent, weft_deadline until);
WEFT_API WEFT_MUST_CHECK weft_err weft_chan_recv_many(
	weft_chan *chan, void *messages, size_t count, size_t *received, weft_deadline until);

/*
 * Permits: room for one message, taken now and used later without waiting or failing.
 *
 * A permit takes from the capacity, not a place in the order: the message comes behind
 * what others sent meanwhile, and nobody waits for it. Every permit is ended by one send or
 * one release; a zeroed one, or one that was ended, is none and may be released again.
 * Whoever has it keeps a reference to the channel as long.
 * After a close permits still send; receivers get WEFT_ECLOSED when all were ended. If the
 * last counted receiver has gone, what a permit sends is destroyed.
 */
typedef struct weft_chan_permit {
	weft_chan *chan; /* NULL: none */
	void *room;	 /* the library's */
} weft_chan_permit;

/* At once; more have to wait, as when the channel is full. */
#define WEFT_CHAN_PERMITS_MAX 65535
/* Waits as a send does, in one line with the senders. Errors: as weft_chan_send;
 * WEFT_EINVAL: a rendezvous channel has no room to reserve. */
WEFT_API WEFT_MUST_CHECK weft_err weft_chan_reserve(
	weft_chan *chan, weft_chan_permit *permit, weft_deadline until);
/* Never parks: WEFT_EAGAIN when full. */
WEFT_API WEFT_MUST_CHECK weft_err weft_chan_try_reserve(weft_chan *chan, weft_chan_permit *permit);
/* Copies the message in; never waits, never fails. Ends the permit. */
WEFT_API void weft_chan_permit_send(weft_chan_permit *permit, const void *message);
/* Gives the room back, to the next sender who waits. Ends the permit. */
WEFT_API void weft_chan_permit_release(weft_chan_permit *permit);

/* Idempotent; wakes everyone who waits. */
WEFT_API void weft_chan_close(weft_chan *chan);
/* Waits until the channel is closed, by whoever; messages may be left. Errors:
 * WEFT_ETIMEDOUT, WEFT_ECANCELED. */
WEFT_API WEFT_MUST_CHECK weft_err weft_chan_wait_closed(weft_chan *chan, weft_deadline until);
/* Destroys the messages that are there now (not those that come meanwhile); how many. To
 * have them instead: weft_chan_recv_many or weft_chan_try_recv in a loop. */
WEFT_API size_t weft_chan_drain(weft_chan *chan);

/*
 * A descriptor for foreign event loops (poll, epoll, GLib, ...): readable while there may
 * be something to receive, and from the close on. *fd is the channel's: to be polled, not
 * read, not closed; it goes with the last unref, and every call gives the same.
 *
 * Level-triggered: it stays readable until a weft_chan_try_recv, or a weft_chan_recv or
 * weft_chan_recv_many until WEFT_NOW, of whoever finds the channel empty, which clears it.
 * So a loop receives one message or all of them each time poll says so, and misses none;
 * it may find nothing, when somebody else was faster. With EPOLLET receive until
 * WEFT_EAGAIN. Parked receivers are woken as if it were not there.
 * Costs a write of 8 bytes when a message comes to a channel that was found empty, and a
 * read at each such finding; channels without one pay nothing.
 * Errors: WEFT_EINVAL (rendezvous), WEFT_ECAPACITY (no descriptors left), WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_chan_fd(weft_chan *chan, int *fd);

/* Moments in a concurrent life: true when read, perhaps not after. Full: a send would
 * have to wait, permits included; len does not count them. */
WEFT_API bool weft_chan_is_closed(const weft_chan *chan);
WEFT_API size_t weft_chan_len(const weft_chan *chan);
WEFT_API bool weft_chan_is_empty(const weft_chan *chan);
WEFT_API bool weft_chan_is_full(const weft_chan *chan);
WEFT_API size_t weft_chan_capacity(const weft_chan *chan);

WEFT_END_DECLS
#endif
