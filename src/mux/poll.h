/* SPDX-License-Identifier: MIT */
#ifndef MUX_POLL_H
#define MUX_POLL_H

/*
 * What was added to a weft_mux_poller, and how its events get there: see poll.c.
 *
 * A stream has no field for this. Its entry stands where a fiber that waits would: for its
 * writer always, as the bell's waiter, and for its reader in the feed after a read that found
 * nothing. A bit says which of the two it is. So streams that are not watched pay nothing: who
 * wakes looks at the bit once he has somebody to wake.
 */
#include "base/list.h"
#include "base/refcount.h"
#include "rt/lock.h"
#include "sync/word.h"

#include <weft/mux_poller.h>

struct weft_stream;

/* Lock order: the entry's, then its poller's. */
struct poll_entry {
	struct rt_lock lock;	 /* of poller and once */
	struct word armed;	 /* a write, or an accept, failed: its event is wanted */
	weft_mux_poller *poller; /* referenced; NULL: removed */
	unsigned once;		 /* events that were given, and are not again */
	struct bell writer;	 /* a call that waits all the same */
	/* under the poller's lock */
	struct list link; /* in its ready list, while events is not 0 */
	unsigned events;  /* not taken yet */
	void *user;
};

#define POLL_TAG ((uintptr_t)2) /* in a waiter's address, which is a multiple of 4 */

/* NULL: it is a parker, or nobody. */
static inline struct poll_entry *poll_entry_of(const void *waiter)
{
	uintptr_t address = (uintptr_t)waiter;

	return address & POLL_TAG ? (struct poll_entry *)(address & ~POLL_TAG) : NULL;
}

static inline void *poll_waiter(struct poll_entry *e)
{
	return (void *)((uintptr_t)e | POLL_TAG);
}

/* Events of it, if it is in a poller. Any thread or fiber; never parks. */
void poll_fire(struct poll_entry *e, unsigned events);
/* Its handle goes: no take that begins after this has events of it. */
void poll_remove(struct poll_entry *e);
/* Nobody knows it any more. NULL is allowed. */
void poll_free(struct poll_entry *e);

/* Who the bell or the feed of a stream has. */
static inline void poll_wake(void *waiter)
{
	struct poll_entry *e = poll_entry_of(waiter);

	if (weft_unlikely(e))
		poll_fire(e, WEFT_MUX_READABLE);
	else
		weft_unpark(waiter);
}

/* After a change that its writer may wait for, or that ends it. */
void poll_look_stream(struct weft_stream *s, struct poll_entry *e);
/* An accept failed: the next stream is an event. False: there is something already. */
bool poll_arm(weft_mux *mux);
/* After a change of the session: a stream to accept, or one of its ends. */
void poll_look(weft_mux *mux);

#endif
