/* SPDX-License-Identifier: MIT */
#ifndef WEFT_ONESHOT_H
#define WEFT_ONESHOT_H

#include <weft/base.h>

#include <stdbool.h>

WEFT_BEGIN_DECLS
/*
 * weft_oneshot: one value from one sender to one receiver.
 * Lifetime: shared by the two ends; freed when both have closed.
 * Threads:  each end may be used from any fiber or thread, one at a time.
 * Blocking: recv and wait_closed; they are cancellation points.
 */
typedef struct weft_oneshot weft_oneshot;

#define WEFT_ONESHOT_SIZE_MAX 4096

/* Errors: WEFT_EINVAL (size is above WEFT_ONESHOT_SIZE_MAX), WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_oneshot_create(weft_oneshot **out, size_t size);
/* Copies size bytes out of value; never blocks. On WEFT_ECLOSED (the receiver has
 * gone) nothing was sent and what value points to is still the caller's.
 * WEFT_EINVAL: already sent. */
WEFT_API WEFT_MUST_CHECK weft_err weft_oneshot_send(weft_oneshot *o, const void *value);
/* Errors: WEFT_ECLOSED (the sender closed without sending, or the value was already
 * taken), WEFT_ETIMEDOUT, WEFT_ECANCELED. */
WEFT_API WEFT_MUST_CHECK weft_err weft_oneshot_recv(
	weft_oneshot *o, void *value, weft_deadline until);
/* Never parks: WEFT_EAGAIN when there is no value yet. */
WEFT_API WEFT_MUST_CHECK weft_err weft_oneshot_try_recv(weft_oneshot *o, void *value);
/* Receiver: from now on sends get WEFT_ECLOSED. A value that was sent before is still there
 * to be received: so it needs no destructor. Idempotent; to be closed nevertheless. */
WEFT_API void weft_oneshot_shut(weft_oneshot *o);
/* Sender: waits until the receiver has closed, or shut it. */
WEFT_API WEFT_MUST_CHECK weft_err weft_oneshot_wait_closed(weft_oneshot *o, weft_deadline until);
/* Sender: the same, a moment's look. */
WEFT_API bool weft_oneshot_is_closed(const weft_oneshot *o);
/* Each end calls it once; NULL is allowed. Wakes the other end. A value that was sent
 * and not received when the receiver closes is dropped. */
WEFT_API void weft_oneshot_close_sender(weft_oneshot *o);
WEFT_API void weft_oneshot_close_receiver(weft_oneshot *o);
WEFT_END_DECLS
#endif
