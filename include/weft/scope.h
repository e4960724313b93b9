/* SPDX-License-Identifier: MIT */
#ifndef WEFT_SCOPE_H
#define WEFT_SCOPE_H

#include <weft/runtime.h>

WEFT_BEGIN_DECLS
/*
 * weft_scope: owns fibers, so that none outlives the code that started it.
 *
 * The scope's token is a child of the creating fiber's token (of the root scope's,
 * from a plain thread): cancelling an outer scope cancels the inner ones. The
 * fiber that created the scope is not itself cancelled by it.
 * Lifetime: weft_scope_create .. weft_scope_free, one owner.
 * Threads:  spawn, cancel and token from any fiber or thread while it lives; wait
 *           and free by the owner only.
 * Blocking: wait and free.
 */
typedef struct weft_scope weft_scope;

/* Errors: WEFT_ENOMEM, WEFT_EINVAL (no runtime). */
WEFT_API WEFT_MUST_CHECK weft_err weft_scope_create(weft_scope **out);

/*
 * Spawns a fiber that belongs to the scope, on the caller's worker. When it returns
 * an error, the first such error is kept and the scope is cancelled (WEFT_ECANCELED
 * returned after the scope was cancelled is not an error).
 * Errors: as weft_spawn; WEFT_ECANCELED when the scope is already cancelled.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_scope_spawn(
	weft_scope *scope, const char *name, weft_fiber_fn fn, void *arg);
WEFT_API WEFT_MUST_CHECK weft_err weft_scope_spawn_on(
	weft_scope *scope, unsigned worker, const char *name, weft_fiber_fn fn, void *arg);

/*
 * Waits until no fiber of the scope is left; returns the first error a fiber
 * returned, else WEFT_OK, and the fiber's error detail becomes the caller's.
 * WEFT_ETIMEDOUT and WEFT_ECANCELED: some still run. May be called again.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_scope_wait(weft_scope *scope, weft_deadline until);

/* Cancels the scope's token: its fibers' blocking calls return WEFT_ECANCELED.
 * Idempotent; does not wait. */
WEFT_API void weft_scope_cancel(weft_scope *scope);

/* Fibers of the scope alive now. */
WEFT_API size_t weft_scope_count(const weft_scope *scope);

/* The scope's token, borrowed: valid until weft_scope_free. */
WEFT_API weft_cancel *weft_scope_token(weft_scope *scope);

/* Cancels, waits (shielded, without limit) for every fiber, frees. NULL is allowed. */
WEFT_API void weft_scope_free(weft_scope *scope);

WEFT_END_DECLS
#endif
