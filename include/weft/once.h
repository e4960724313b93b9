/* SPDX-License-Identifier: MIT */
#ifndef WEFT_ONCE_H
#define WEFT_ONCE_H

#include <weft/base.h>

WEFT_BEGIN_DECLS
/*
 * weft_once: a value that is made once, by whoever comes first.
 *
 * Lifetime: one owner; freed when nobody uses it any more. The value is the caller's
 *           pointer; destroy, when given, gets it at weft_once_free.
 * Threads:  get, get_or_init and set from any fiber or thread.
 * Blocking: get_or_init and wait; cancellation points. After initialisation a get
 *           costs one load.
 */
typedef struct weft_once weft_once;

/* Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_once_create(weft_once **out, void (*destroy)(void *value));
/* The value, or NULL while there is none. */
WEFT_API void *weft_once_get(const weft_once *once);
/*
 * The value; when there is none yet, init(arg, &value) makes it, in the calling fiber
 * or thread, while others wait. If init fails, its error goes to that caller and
 * the next waiter runs its own init. A NULL value is WEFT_EINVAL. init must not call
 * get_or_init on the same once from the same fiber: WEFT_EDEADLOCK.
 * Errors: init's own, WEFT_ETIMEDOUT, WEFT_ECANCELED (while waiting for another's).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_once_get_or_init(weft_once *once, void **value,
	weft_err (*init)(void *arg, void **value), void *arg, weft_deadline until);
/* Errors: WEFT_EDUPLICATE (has a value, or is being initialised), WEFT_EINVAL (NULL). */
WEFT_API WEFT_MUST_CHECK weft_err weft_once_set(weft_once *once, void *value);
/* Waits for somebody else to make the value. */
WEFT_API WEFT_MUST_CHECK weft_err weft_once_wait(
	weft_once *once, void **value, weft_deadline until);
WEFT_API void weft_once_free(weft_once *once);

WEFT_END_DECLS
#endif
