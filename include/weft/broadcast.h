/* SPDX-License-Identifier: MIT */
#ifndef WEFT_BROADCAST_H
#define WEFT_BROADCAST_H

#include <weft/base.h>

#include <stdbool.h>

WEFT_BEGIN_DECLS
/*
 * weft_broadcast: fixed-size messages from any number of senders, each to every subscriber.
 *
 * The last messages are kept in a ring. A send never waits: it overwrites the oldest. Each
 * subscriber gets everything that was sent after it subscribed, in one order that is the same
 * for all; one that is too slow is told how many it missed, and goes on with the oldest kept.
 *
 * Lifetime: reference counted; weft_broadcast_create gives one reference, and each subscriber
 *           has one of its own.
 * Threads:  every call from any fiber or thread that holds a reference. A subscriber is used
 *           by one fiber or thread at a time; its _copy, _len and _missed by any.
 * Blocking: weft_broadcast_sub_recv only; it is a cancellation point. One that can complete
 *           without waiting does, cancelled or not.
 * Close:    senders get WEFT_ECLOSED at once; subscribers get what was sent before (and is
 *           kept), then WEFT_ECLOSED. By weft_broadcast_close, or when the last counted
 *           sender goes.
 */
typedef struct weft_broadcast weft_broadcast;
typedef struct weft_broadcast_sub weft_broadcast_sub;

#define WEFT_BROADCAST_MESSAGE_SIZE_MAX 4096
#define WEFT_BROADCAST_COUNTED_SIZE_MAX 64 /* with ref and unref */
#define WEFT_BROADCAST_CAPACITY_MAX ((size_t)1 << 24)

/*
 * For messages that are, or contain, references to something counted: both or neither. Each
 * gets the address of a message. Neither may block, nor use this broadcast.
 *
 * ref:   one more of what the message refers to; called in each receive, for the copy that is
 *        the receiver's from then on. It must be as short as counting is: a send that is
 *        about to overwrite this very message waits for it.
 * unref: gives up what the sender handed over; called once for each message that was sent, in
 *        the send that overwrites it, or at the last unref of the broadcast.
 */
typedef struct weft_broadcast_options {
	void (*ref)(void *message, void *user);
	void (*unref)(void *message, void *user);
	void *user;
} weft_broadcast_options;

#define WEFT_BROADCAST_OPTIONS_DEFAULT \
	{                              \
		NULL, NULL, NULL       \
	}

/*
 * message_size: 0..WEFT_BROADCAST_MESSAGE_SIZE_MAX bytes (.._COUNTED_SIZE_MAX with ref and
 * unref). capacity: 1..WEFT_BROADCAST_CAPACITY_MAX messages are kept, rounded up to a power of
 * two. options may be NULL. Errors: WEFT_EINVAL, WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_broadcast_create(weft_broadcast **out, size_t message_size,
	size_t capacity, const weft_broadcast_options *options);
WEFT_API weft_broadcast *weft_broadcast_ref(weft_broadcast *b);
/* The last one frees; NULL is allowed. */
WEFT_API void weft_broadcast_unref(weft_broadcast *b);

/*
 * Counted senders: references that count as a sender as well. Any reference may send; when
 * the last counted one goes the broadcast closes. One that never had any ends by
 * weft_broadcast_close only.
 *
 * ref: the caller holds a reference of any kind. unref: gives up what one ref gave, the
 * reference included; NULL is allowed. try_ref: from a plain reference, which the caller
 * keeps; NULL: closed, or no counted sender is left (or was ever there).
 */
WEFT_API weft_broadcast *weft_broadcast_sender_ref(weft_broadcast *b);
WEFT_API void weft_broadcast_sender_unref(weft_broadcast *b);
WEFT_API WEFT_MUST_CHECK weft_broadcast *weft_broadcast_sender_try_ref(weft_broadcast *b);

/* Copies the message in, for everybody who is subscribed now; nobody is no error. Never
 * parks. Errors: WEFT_ECLOSED; the message is still the caller's then. */
WEFT_API WEFT_MUST_CHECK weft_err weft_broadcast_send(weft_broadcast *b, const void *message);
/* count messages that lie one behind the other: all of them, with no other's in between.
 * Those who sleep are woken once. Errors: WEFT_ECLOSED; then none was sent. */
WEFT_API WEFT_MUST_CHECK weft_err weft_broadcast_send_many(
	weft_broadcast *b, const void *messages, size_t count);

/* Idempotent; wakes everyone who waits. */
WEFT_API void weft_broadcast_close(weft_broadcast *b);

/* Moments in a concurrent life: true when read, perhaps not after. */
WEFT_API bool weft_broadcast_is_closed(const weft_broadcast *b);
WEFT_API size_t weft_broadcast_capacity(const weft_broadcast *b); /* as rounded up */
WEFT_API size_t weft_broadcast_sub_count(const weft_broadcast *b);
WEFT_API size_t weft_broadcast_sender_count(const weft_broadcast *b); /* counted ones */

/* Subscribes: the first message it gets is the next that is sent. Of a closed one: it gets
 * WEFT_ECLOSED. Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_broadcast_sub_create(
	weft_broadcast_sub **out, weft_broadcast *b);
/* Another subscriber, that has what sub has before it. Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_broadcast_sub_copy(
	weft_broadcast_sub **out, const weft_broadcast_sub *sub);
/* Ends the subscription; NULL is allowed. */
WEFT_API void weft_broadcast_sub_free(weft_broadcast_sub *sub);
/* What it is subscribed to; valid while sub is. */
WEFT_API weft_broadcast *weft_broadcast_sub_source(const weft_broadcast_sub *sub);

/*
 * Copies its next message out. Errors: WEFT_ELAGGED: some were overwritten before it got
 * there, weft_broadcast_sub_missed says how many; it is now at the oldest kept, and what
 * message points to has no meaning. WEFT_ECLOSED (and it has got everything),
 * WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_ENOMEM (to park a plain thread for the first time).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_broadcast_sub_recv(
	weft_broadcast_sub *sub, void *message, weft_deadline until);
/* Never parks: WEFT_EAGAIN when there is none. */
WEFT_API WEFT_MUST_CHECK weft_err weft_broadcast_sub_try_recv(
	weft_broadcast_sub *sub, void *message);
/* What the last WEFT_ELAGGED stood for; 0: there was none. */
WEFT_API uint64_t weft_broadcast_sub_missed(const weft_broadcast_sub *sub);
/* Messages that it has not received; above the capacity: the next receive tells of a lag. */
WEFT_API uint64_t weft_broadcast_sub_len(const weft_broadcast_sub *sub);
/* As if it had subscribed now; how many messages it leaves out, WEFT_ELAGGED aside. */
WEFT_API uint64_t weft_broadcast_sub_resubscribe(weft_broadcast_sub *sub);

WEFT_END_DECLS
#endif
