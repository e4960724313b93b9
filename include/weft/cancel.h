/* SPDX-License-Identifier: MIT */
#ifndef WEFT_CANCEL_H
#define WEFT_CANCEL_H

#include <weft/base.h>

#include <stdbool.h>

WEFT_BEGIN_DECLS
/*
 * weft_cancel: a token that says, once and for good, that work should stop.
 *
 * Tokens form trees: cancelling one cancels its descendants. A token may carry a
 * deadline. Scopes have one each; fibers are cancelled through their scope's.
 * Lifetime: shared by reference counts. A child holds its parent; a parent does not
 *           hold its children (an unreferenced child leaves the tree).
 * Threads:  everything may be called from any fiber or plain thread.
 * Blocking: weft_cancel_wait and weft_cancel_run; weft_cancel_watch_free as said there.
 */
typedef struct weft_cancel weft_cancel;

/* parent may be NULL. A child of a cancelled parent is born cancelled.
 * Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_cancel_create(weft_cancel **out, weft_cancel *parent);
/* Cancels itself, for the reason WEFT_ETIMEDOUT, when the time comes.
 * Errors: WEFT_ENOMEM; WEFT_EINVAL (no runtime to keep the time). */
WEFT_API WEFT_MUST_CHECK weft_err weft_cancel_create_deadline(
	weft_cancel **out, weft_cancel *parent, weft_deadline at);

WEFT_API weft_cancel *weft_cancel_ref(weft_cancel *token);
/* NULL is allowed. */
WEFT_API void weft_cancel_unref(weft_cancel *token);

/* Cancels with a reason (WEFT_ECANCELED when 0 is given); the first reason stays.
 * Idempotent. Runs callbacks in the calling fiber or thread before it returns. */
WEFT_API void weft_cancel_trigger(weft_cancel *token, weft_err reason);

/* The beginning of every token: for the two functions below, not to be written. */
struct weft_cancel_head {
	int32_t state; /* 0, or the reason; never changes after that */
};

#ifdef WEFT_INLINE
/* WEFT_OK while not cancelled, else the reason. One load, compiled into the caller. NULL is
 * never cancelled. */
WEFT_API WEFT_INLINE weft_err weft_cancel_reason(const weft_cancel *token)
{
	const void *any = token;
	const struct weft_cancel_head *head = WEFT_CAST(const struct weft_cancel_head *, any);

	/* acquire; pairs with the canceller's exchange: what it did before */
	return head ? WEFT_CAST(weft_err, WEFT_LOAD_ACQUIRE(&head->state)) : WEFT_OK;
}

WEFT_API WEFT_INLINE bool weft_cancel_is_cancelled(const weft_cancel *token)
{
	return weft_cancel_reason(token) != WEFT_OK;
}
#else
WEFT_API bool weft_cancel_is_cancelled(const weft_cancel *token);
WEFT_API weft_err weft_cancel_reason(const weft_cancel *token);
#endif

/* When the token is going to be cancelled at the latest: the earliest deadline that it or
 * one above it was made with; WEFT_FOREVER: none has one. */
WEFT_API weft_deadline weft_cancel_deadline(const weft_cancel *token);

/* Waits until the token is cancelled: WEFT_OK; or WEFT_ETIMEDOUT, WEFT_ECANCELED
 * (the calling fiber is cancelled itself, by another token). */
WEFT_API WEFT_MUST_CHECK weft_err weft_cancel_wait(weft_cancel *token, weft_deadline until);

/*
 * Callback on cancellation. fn runs exactly once, in the cancelling fiber or thread,
 * unless freed before; must not block. When the token is already cancelled, fn
 * runs inside weft_cancel_watch. unwatch waits for a callback that is running
 * (except when called from inside it), frees the watch, and says whether it had run.
 */
typedef struct weft_cancel_watch weft_cancel_watch;
WEFT_API WEFT_MUST_CHECK weft_err weft_cancel_watch_create(
	weft_cancel_watch **out, weft_cancel *token, void (*fn)(void *arg), void *arg);
WEFT_API bool weft_cancel_watch_free(weft_cancel_watch *watch);

/*
 * Runs fn(arg) until the token is cancelled: in a fiber of a scope of its own, which is
 * cancelled with the token, with the calling fiber, and when until has come. Returns when
 * fn, and whatever it has spawned, has ended; nothing of it is left running.
 *
 * Returns the scope's first error: fn's own, or that of a fiber that it spawned. If there
 * is none because fn gave way (it returned WEFT_ECANCELED once it was cancelled), what it
 * gave way to: the token's reason, WEFT_ECANCELED for the calling fiber's own
 * cancellation, WEFT_ETIMEDOUT. WEFT_OK: fn has ended by itself, perhaps shortly after it
 * was told to stop.
 * A token that is cancelled already: its reason; fn is not called. token may be NULL.
 * Errors besides: WEFT_EINVAL (no runtime), WEFT_ENOMEM, WEFT_ECAPACITY.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_cancel_run(
	weft_cancel *token, weft_err (*fn)(void *arg), void *arg, weft_deadline until);

/*
 * A guard cancels its token when it ends, on every way out of a block:
 *
 *	WEFT_CANCEL_GUARD(guard, token);          ends with the block
 *	...
 *	weft_cancel_guard_disarm(&guard);         all went well: the token stays
 *
 * Without the attribute, by weft_cancel_guard_init and _fini. Lifetime: the caller's
 * memory; it holds the token. Threads: one owner.
 */
typedef struct weft_cancel_guard {
	weft_cancel *token; /* held; NULL: disarmed */
} weft_cancel_guard;

/* token may be NULL. Cannot fail. */
WEFT_API weft_cancel_guard weft_cancel_guard_init(weft_cancel *token);
/* Idempotent. */
WEFT_API void weft_cancel_guard_disarm(weft_cancel_guard *guard);
/* Cancels (WEFT_ECANCELED), unless disarmed. Idempotent. */
WEFT_API void weft_cancel_guard_fini(weft_cancel_guard *guard);

#if defined(__GNUC__)
#define WEFT_CANCEL_GUARD(name, token)                                                    \
	__attribute__((cleanup(weft_cancel_guard_fini), unused)) weft_cancel_guard name = \
		weft_cancel_guard_init(token)
#endif

WEFT_END_DECLS
#endif
