/* SPDX-License-Identifier: MIT */
#ifndef WEFT_PARK_H
#define WEFT_PARK_H

#include <weft/base.h>

WEFT_BEGIN_DECLS
/*
 * Park and unpark: the primitive under all blocking calls, for programs that build
 * their own. One word a fiber or plain thread: EMPTY, PARKED or NOTIFIED.
 *
 * Lifetime: a parker's memory is never given back while the process lives, so a late
 *           weft_unpark is harmless: at worst it wakes whoever has it next.
 * Threads:  weft_park by its own fiber or thread only; weft_unpark from anywhere,
 *           plain threads and foreign runtimes included.
 */
typedef struct weft_parker weft_parker;

/* The calling fiber's or plain thread's own parker. Errors: NULL when out of
 * memory (plain threads at their first call only). */
WEFT_API weft_parker *weft_parker_self(void);
/*
 * Returns at once if a notification is pending, which it consumes; otherwise parks.
 * WEFT_OK may be spurious: callers check their condition in a loop. Other blocking calls
 * park too, and may consume a notification: it is the condition that counts. Also
 * WEFT_ETIMEDOUT, WEFT_ECANCELED.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_park(weft_deadline until);
/* Wakes the parker, or lets its next weft_park return at once. Never blocks. What
 * the caller did before is seen by the woken. */
WEFT_API void weft_unpark(weft_parker *parker);

WEFT_END_DECLS
#endif
