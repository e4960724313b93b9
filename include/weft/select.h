/* SPDX-License-Identifier: MIT */
#ifndef WEFT_SELECT_H
#define WEFT_SELECT_H

#include <weft/broadcast.h>
#include <weft/cancel.h>
#include <weft/chan.h>
#include <weft/oneshot.h>
#include <weft/watch.h>

WEFT_BEGIN_DECLS
/*
 * weft_select: waits for the first of several sends, receives and tokens, and does
 * exactly that one.
 *
 * A case on a closed channel is ready, with the result WEFT_ECLOSED. The same channel
 * may stand in several cases; a select never meets itself. Timers: the deadline, for all;
 * WEFT_SELECT_TIMER, where which of several times has come is to be told.
 * Threads: any fiber or plain thread.  Blocking: yes; a cancellation point.
 */
typedef enum weft_select_kind {
	WEFT_SELECT_NONE = 0,  /* never ready: a place that is switched off */
	WEFT_SELECT_SEND,      /* chan, message: sends what message points to */
	WEFT_SELECT_RECV,      /* chan, message: receives into message */
	WEFT_SELECT_CANCELLED, /* token */
	WEFT_SELECT_ONESHOT,   /* oneshot, message: receives into message */
	WEFT_SELECT_TIMER,     /* at: ready from then on */
	WEFT_SELECT_CLOSED,    /* chan, or else oneshot (its sender's): ready once closed */
	WEFT_SELECT_BROADCAST, /* sub, message: receives into message; or WEFT_ELAGGED */
	WEFT_SELECT_WATCH,     /* watch, message: a version that was not seen, which is seen
				* then; NULL, or gets it as borrow_and_update */
} weft_select_kind;

typedef struct weft_select_case {
	weft_select_kind kind;
	weft_chan *chan;
	weft_oneshot *oneshot;
	weft_cancel *token;
	weft_deadline at;
	weft_broadcast_sub *sub;
	weft_watch_sub *watch;
	void *message;	 /* borrowed for the call; not written for SEND */
	weft_err result; /* out, for the chosen case: WEFT_OK, WEFT_ECLOSED, WEFT_ELAGGED */
} weft_select_case;

#define WEFT_SELECT_CASES_MAX 64

typedef enum weft_select_mode {
	WEFT_SELECT_FAIR = 0,	/* ready cases have equal chances */
	WEFT_SELECT_BIASED = 1, /* the first ready in order */
} weft_select_mode;

/*
 * On WEFT_OK *chosen is the index of the case that was done. until WEFT_NOW tries
 * without parking. Errors: WEFT_EINVAL (count above WEFT_SELECT_CASES_MAX, a case
 * without its object), WEFT_ETIMEDOUT, WEFT_ECANCELED (the fiber's own scope),
 * WEFT_ENOMEM; then no case was done.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_select(weft_select_case *cases, size_t count,
	weft_select_mode mode, size_t *chosen, weft_deadline until);

WEFT_END_DECLS
#endif
