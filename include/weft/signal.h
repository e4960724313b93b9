/* SPDX-License-Identifier: MIT */
#ifndef WEFT_SIGNAL_H
#define WEFT_SIGNAL_H

#include <weft/base.h>

WEFT_BEGIN_DECLS
/*
 * weft_signals: signals as events. While one is open, the signals it names are
 * delivered to it instead of their default action; afterwards the former action is
 * back. A signal may be named by one weft_signals at a time. SIGKILL, SIGSTOP,
 * SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGCHLD can't be named.
 *
 * Lifetime: one owner.  Threads: wait from one fiber or thread at a time.
 * Blocking: wait only.
 */
typedef struct weft_signals weft_signals;

/* numbers: count signal numbers, 1..16. Errors: WEFT_EINVAL, WEFT_ENOMEM,
 * WEFT_EDUPLICATE (another weft_signals has one of them). */
WEFT_API WEFT_MUST_CHECK weft_err weft_signals_create(
	weft_signals **out, const int *numbers, size_t count);
/* The next signal that arrived; several arrivals of one signal between two waits
 * count once. Errors: WEFT_ETIMEDOUT, WEFT_ECANCELED. */
WEFT_API WEFT_MUST_CHECK weft_err weft_signals_wait(
	weft_signals *signals, int *number, weft_deadline until);
/* NULL is allowed. */
WEFT_API void weft_signals_free(weft_signals *signals);

WEFT_END_DECLS
#endif
