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
 * Blocking: weft_cancel_wait, and weft_cancel_unwatch as said there.
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

/* One load. NULL is never cancelled. */
WEFT_API bool weft_cancel_is_cancelled(const weft_cancel *token);
/* WEFT_OK while not cancelled, else the reason. */
WEFT_API weft_err weft_cancel_reason(const weft_cancel *token);

/* Waits until the token is cancelled: WEFT_OK; or WEFT_ETIMEDOUT, WEFT_ECANCELED
 * (the calling fiber is cancelled itself, by another token). */
WEFT_API WEFT_MUST_CHECK weft_err weft_cancel_wait(weft_cancel *token, weft_deadline until);

/*
 * Callback on cancellation. fn runs exactly once, in the cancelling fiber or thread,
 * unless unwatched before; must not block. When the token is already cancelled, fn
 * runs inside weft_cancel_watch. unwatch waits for a callback that is running
 * (except when called from inside it), frees the watch, and says whether it had run.
 */
typedef struct weft_cancel_watch weft_cancel_watch;
WEFT_API WEFT_MUST_CHECK weft_err weft_cancel_watch_create(
	weft_cancel_watch **out, weft_cancel *token, void (*fn)(void *arg), void *arg);
WEFT_API bool weft_cancel_watch_free(weft_cancel_watch *watch);

WEFT_END_DECLS
#endif
