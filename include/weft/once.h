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
 * Threads:  get, get_or_init, set and wait from any fiber or thread.
 * Blocking: get_or_init and wait, while there is no value; cancellation points. Once there
 *           is one, each of them is one load, compiled into the caller.
 */
typedef struct weft_once weft_once;

/* The beginning of every weft_once: for the functions below, not to be written. */
struct weft_once_head {
	void *value; /* NULL while there is none; never changes after that */
};

/* Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_once_create(weft_once **out, void (*destroy)(void *value));

/*
 * Makes the value when there is none yet: init(arg, &value) runs in the calling fiber or
 * thread, while others wait. If init fails, for whatever reason (its fiber was cancelled,
 * too), its error goes to that caller and the next waiter runs its own init. So a caller
 * that waits either gets the value or has its turn. A NULL value is WEFT_EINVAL. init must
 * not call this on the same once from the same fiber: WEFT_EDEADLOCK.
 * Errors: init's own, WEFT_ETIMEDOUT, WEFT_ECANCELED (while waiting for another's).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_once_make(weft_once *once, void **value,
	weft_err (*init)(void *arg, void **value), void *arg, weft_deadline until);

#ifdef WEFT_INLINE
/* The value, or NULL while there is none. */
WEFT_API WEFT_INLINE void *weft_once_get(const weft_once *once)
{
	const void *any = once;
	const struct weft_once_head *head = WEFT_CAST(const struct weft_once_head *, any);

	/* acquire; pairs with the release of who made the value: what it points to */
	return WEFT_LOAD_ACQUIRE(&head->value);
}

/* The value, or weft_once_make. */
WEFT_API WEFT_MUST_CHECK WEFT_INLINE weft_err weft_once_get_or_init(weft_once *once, void **value,
	weft_err (*init)(void *arg, void **value), void *arg, weft_deadline until)
{
	void *there = weft_once_get(once);

	if (!there)
		return weft_once_make(once, value, init, arg, until);
	*value = there;
	return WEFT_OK;
}
#else
WEFT_API void *weft_once_get(const weft_once *once);
WEFT_API WEFT_MUST_CHECK weft_err weft_once_get_or_init(weft_once *once, void **value,
	weft_err (*init)(void *arg, void **value), void *arg, weft_deadline until);
#endif

/* On WEFT_OK the value is the once's. Errors: WEFT_EDUPLICATE (has a value, or is being
 * initialised), WEFT_EINVAL (NULL). */
WEFT_API WEFT_MUST_CHECK weft_err weft_once_set(weft_once *once, void *value);
/* Waits for somebody else to make the value. Errors: WEFT_ETIMEDOUT, WEFT_ECANCELED. */
WEFT_API WEFT_MUST_CHECK weft_err weft_once_wait(
	weft_once *once, void **value, weft_deadline until);
/* NULL is allowed. */
WEFT_API void weft_once_free(weft_once *once);

WEFT_END_DECLS
#endif
