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
 * Blocking: send and recv; they are cancellation points. A call that was cancelled
 *           or timed out has not sent or received anything. One that can complete
 *           without waiting does, cancelled or not.
 * Close:    senders get WEFT_ECLOSED at once; receivers get what was sent before, then
 *           WEFT_ECLOSED.
 */
typedef struct weft_chan weft_chan;

#define WEFT_CHAN_UNBOUNDED SIZE_MAX
#define WEFT_CHAN_MESSAGE_SIZE_MAX 4096
#define WEFT_CHAN_CAPACITY_MAX ((size_t)1 << 30)

typedef struct weft_chan_options {
	/* Called for each message that nobody received, with its address; may be NULL. */
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

/* Idempotent; wakes everyone who waits. */
WEFT_API void weft_chan_close(weft_chan *chan);

/* Moments in a concurrent life: true when read, perhaps not after. */
WEFT_API bool weft_chan_is_closed(const weft_chan *chan);
WEFT_API size_t weft_chan_len(const weft_chan *chan);
WEFT_API bool weft_chan_is_empty(const weft_chan *chan);
WEFT_API bool weft_chan_is_full(const weft_chan *chan);
WEFT_API size_t weft_chan_capacity(const weft_chan *chan);

WEFT_END_DECLS
#endif
