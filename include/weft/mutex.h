/* SPDX-License-Identifier: MIT */
#ifndef WEFT_MUTEX_H
#define WEFT_MUTEX_H

#include <weft/base.h>

#include <stdbool.h>

WEFT_BEGIN_DECLS
/*
 * Locks for programs that want them: they park the fiber, not its worker. FIFO among
 * those who wait; a newcomer may overtake a waiter that has not run yet, but a waiter
 * that was woken twice in vain gets the lock handed over.
 *
 * Lifetime: one owner each; freed when no call on it is under way. A wait group may be
 *           freed as soon as the last weft_waitgroup_wait has returned.
 * Threads:  any fiber or plain thread, in any mix. The mutex is held by a fiber or
 *           thread and released by the same; it may be held across a park.
 * Blocking: lock, acquire and wait; cancellation points.
 */
typedef struct weft_mutex weft_mutex;
/* Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_mutex_create(weft_mutex **out);
/* Errors: WEFT_ETIMEDOUT, WEFT_ECANCELED; WEFT_EDEADLOCK (the caller holds it). */
WEFT_API WEFT_MUST_CHECK weft_err weft_mutex_lock(weft_mutex *mutex, weft_deadline until);
WEFT_API bool weft_mutex_try_lock(weft_mutex *mutex);
/* Unlocking what the caller does not hold is a bug and asserts. */
WEFT_API void weft_mutex_unlock(weft_mutex *mutex);
WEFT_API void weft_mutex_free(weft_mutex *mutex);

typedef struct weft_semaphore weft_semaphore;
#define WEFT_SEMAPHORE_MAX ((size_t)1 << 30)
/* permits 0..WEFT_SEMAPHORE_MAX. Errors: WEFT_EINVAL, WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_semaphore_create(weft_semaphore **out, size_t permits);
/* Takes count permits at once, in FIFO order: a large request is not starved.
 * Errors: WEFT_EINVAL (count above WEFT_SEMAPHORE_MAX), WEFT_ECLOSED, WEFT_ETIMEDOUT,
 * WEFT_ECANCELED. */
WEFT_API WEFT_MUST_CHECK weft_err weft_semaphore_acquire(
	weft_semaphore *semaphore, size_t count, weft_deadline until);
WEFT_API bool weft_semaphore_try_acquire(weft_semaphore *semaphore, size_t count);
/* More than WEFT_SEMAPHORE_MAX together is a bug and asserts. */
WEFT_API void weft_semaphore_release(weft_semaphore *semaphore, size_t count);
WEFT_API size_t weft_semaphore_available(const weft_semaphore *semaphore);
/* Waiters and later acquires get WEFT_ECLOSED. */
WEFT_API void weft_semaphore_close(weft_semaphore *semaphore);
WEFT_API void weft_semaphore_free(weft_semaphore *semaphore);

/* A count of things under way; wait returns when it is zero. */
typedef struct weft_waitgroup weft_waitgroup;
WEFT_API WEFT_MUST_CHECK weft_err weft_waitgroup_create(weft_waitgroup **out);
WEFT_API void weft_waitgroup_add(weft_waitgroup *group, size_t count);
/* Below zero is a bug and asserts. */
WEFT_API void weft_waitgroup_done(weft_waitgroup *group);
WEFT_API WEFT_MUST_CHECK weft_err weft_waitgroup_wait(weft_waitgroup *group, weft_deadline until);
WEFT_API void weft_waitgroup_free(weft_waitgroup *group);

WEFT_END_DECLS
#endif
