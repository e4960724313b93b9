/* SPDX-License-Identifier: MIT */
#ifndef SYNC_WATCH_H
#define SYNC_WATCH_H

/*
 * Inside of a watch, for watch.c, select.c and tests.
 *
 * A version grows by 2 with each change, wraps where 64 bits end, and is only ever compared
 * by difference; its lowest bit says closed. Who changes the value holds the lock, so that
 * changes and close have one order.
 *
 * Plain: two buffers of words. Version v is in the one that v / 2 is odd or even for; the
 * writer puts the next into the other and then publishes the version. A reader copies what is
 * in the version's buffer and looks at the version again: if that is still the same, nobody
 * had begun to write there (words.h). So readers write nothing; only when the value changes
 * several times faster than it can be copied, they take the lock. The writer's own copy is
 * what fn of modify changes: plain memory, under the lock.
 *
 * Boxed: a pointer to the latest box, which does not change any more; readers hold a guard of
 * rt/reclaim.h while they look, and a box that was replaced is retired. A box knows its
 * version, because pointer and version can't be loaded as one.
 *
 * No change is lost to a receiver that looks and then waits: the writer exchanges the version
 * (seq_cst), then asks wait_any; the waiter enters the list, then looks at the version
 * (seq_cst). See wait.h: one of the two sees the other.
 *
 * What one operation costs when nobody sleeps, in atomic read-modify-writes:
 *	look	0; boxed 0 and two counts in thread-local memory; with ref what that does
 *	change	3 (lock, version, unlock); boxed 1 allocation, and 1 free some time later
 *	has_changed	0: one load
 */
#include "base/align.h"
#include "rt/reclaim.h"
#include "sync/crowd.h"
#include "sync/word.h"

#include <weft/watch.h>

#include <stdalign.h>

/* One value of a boxed watch. */
struct watch_box {
	struct reclaim_node node;
	/* constant once it is published */
	uint64_t version;
	void (*unref)(void *value, void *user); /* NULL: none */
	void *user;
	alignas(16) char value[];
};

struct weft_watch {
	/* constant from create to the last unref */
	weft_watch_options options;
	size_t size;  /* bytes */
	size_t words; /* in each of the buffers */
	char *latest; /* plain: the value; under the lock */

	alignas(CACHE_APART) struct rt_lock lock;
	struct wait_queue waiters;   /* receivers */
	struct wait_queue unwatched; /* who waits for their end */
	struct word64 subs;
	struct ends ends;

	/* what readers load, and writers write only when something changes */
	alignas(CACHE_APART) _Atomic uint64_t version; /* under the lock, loads apart */
	_Atomic(struct watch_box *) box;	       /* boxed; as version */
	_Atomic uint64_t buffers[];		       /* plain: two; then latest */
};

#define WATCH_CLOSED ((uint64_t)1)

struct weft_watch_sub {
	weft_watch *source; /* constant; a reference */
	uint64_t seen;	    /* version; its own fiber or thread only */
};

/* first: the version of the initial value, even; for tests, else 0. */
weft_err watch_create_at(weft_watch **out, size_t size, const void *initial,
	const weft_watch_options *options, uint64_t first);

/* One attempt that never parks: WEFT_OK, WEFT_ECLOSED, WEFT_EAGAIN. err_set is left to the
 * caller. */
weft_err watch_try_changed(weft_watch_sub *sub);
/* The attempt would not end in WEFT_EAGAIN. Sequentially consistent: the look at the object
 * after entering its wait list. */
bool watch_is_ready(const weft_watch_sub *sub);

#endif
