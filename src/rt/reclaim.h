/* SPDX-License-Identifier: MIT */
#ifndef RT_RECLAIM_H
#define RT_RECLAIM_H

/*
 * When memory that was taken out of a shared structure may be freed: once nobody who could
 * have found it there still looks at it. One domain for the whole process.
 *
 *	reader:  reclaim_enter ; load the pointer, read through it ; reclaim_leave
 *	writer:  take it out of the structure ; reclaim_retire ; no guard, no lock: reclaim_help
 *
 * The clock (an epoch, which only grows) and one record a participant:
 *
 *	seen == 0       it holds no guard, and will look at the clock before it holds one
 *	seen == s       what was taken out before the clock came to s, it can't find any more
 *
 * A batch of retired objects gets a target: the clock is advanced to it by a read-modify-
 * write after all of them were taken out. The batch is freed when each record was seen once
 * with 0 or with at least the target. Why that is right, case by case:
 *
 * - seen >= target. The record's owner loaded the clock (acquire) at the target or later and
 *   then stored it (release). The clock is only changed by read-modify-writes, so that its
 *   load synchronises with the one that made the target: what it does afterwards sees the
 *   objects gone. What it did before is over for who finds its store (acquire).
 * - seen == 0, and the owner was done before: as above, by the release of the 0.
 * - seen == 0, and the owner is about to enter: the classic store, then load, on both sides.
 *	owner:      seen = s ; look at the clock, load pointers
 *	reclaimer:  advance the clock ; look at seen
 *   A worker that comes back from its wait, and where there is no better way a thread, uses a
 *   sequentially consistent exchange, and then loads the clock in the same one order: either
 *   the reclaimer finds s, or the load finds the target, and then the pointers' loads see the
 *   objects gone. A plain thread's pin is a plain store, and a barrier to the compiler only:
 *   the reclaimer, between its two steps, has the kernel put a full barrier into every thread
 *   of the process (membarrier). Before that point in a thread's own order: its store is
 *   visible to the reclaimer's look; after it: its loads see the objects gone. A store of seen
 *   that comes after it may hold an older clock: that only makes the reclaimer wait.
 *   membarrier may be missing (kernel, seccomp), and the thread sanitizer can't see it: then
 *   threads exchange. If it is taken away later, nothing is freed until every thread that
 *   pinned by plain stores has ended, or has retired and helped, and so knows.
 * - The owner has no record yet: it registers (sequentially consistent), then loads the clock.
 *
 * Workers are quiescent whenever they hold no guard, for a fiber holds none across a switch
 * (asserted). So they store nothing at an enter: once a loop, if the clock has changed, they
 * store it; around a wait they are offline, 0. Completions of io run in that wait: no guards
 * there (asserted at the leave).
 *
 * Who frees: a worker its own, in its loop, by batches; what it can't free before it goes to
 * sleep goes to the shared bag, which a busy worker looks after, or the last to go to sleep.
 * A plain thread's go to the shared bag by batches, and when it ends; so does what a worker
 * leaves at its end. weft_run returns when the shared bag is empty. A plain thread that retires
 * and then does nothing keeps RECLAIM_BATCH at most, until somebody's next batch of the shared
 * bag takes them along.
 *
 * Limits: a fiber that never yields, or a thread that stays in a guard, keeps everybody's
 * objects from being freed, and nothing else: over RECLAIM_BACKLOG_MAX in one bag, who helps
 * waits, RECLAIM_WAIT_NS at most each time, so that the backlog grows slowly at worst.
 *
 * Cost: enter and leave in a fiber: an increment and a decrement of thread-local memory. In a
 * plain thread also a load of the clock and two plain stores to a line of its own. retire in a
 * fiber: plain stores to the worker's own lines; in a plain thread a compare-and-exchange on a
 * line of its own. A batch: one read-modify-write of the clock, a load a record, and one
 * membarrier while plain threads take part.
 *
 * fork: in the child only the caller's record is left; what other workers had retired is
 * never freed there.
 */
#include "base/align.h"
#include "base/check.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define RECLAIM_BATCH 128
#define RECLAIM_BACKLOG_MAX ((uint64_t)1 << 16)
#define RECLAIM_WAIT_NS 1000000
#define RECLAIM_GUARDS_MAX (1u << 20) /* nested; more is a leave that was forgotten */
#define RECLAIM_OFFLINE (1u << 30)    /* more entered, while the worker waits */

/* In what is to be freed; the domain's from retire until fn is called. */
struct reclaim_node {
	struct reclaim_node *next;
	void (*fn)(struct reclaim_node *node);
};

enum reclaim_mode {
	RECLAIM_NEW = 0,  /* no record yet */
	RECLAIM_WORKER,	  /* the thread of a worker, in its loop and its fibers */
	RECLAIM_PLAIN,	  /* a thread whose pins are plain stores */
	RECLAIM_EXCHANGE, /* a thread whose pins are exchanges */
	RECLAIM_NAMELESS, /* a thread without a record: no memory for one */
};

struct reclaim_record;

/* The calling thread's, of all fibers of its worker. Owner only. Two counts, so that a leave
 * does not wait for what the enter just wrote. Always named, never through a pointer: the
 * linker's relaxation of a thread-local address breaks the sanitizer's check of it for NULL. */
struct reclaim_self {
	unsigned entered, left; /* guards held: the difference */
	enum reclaim_mode mode;
	bool due;		       /* reclaim_help has something to do */
	struct reclaim_record *record; /* NULL: NEW, NAMELESS */
};

extern _Thread_local struct reclaim_self reclaim_self __attribute__((tls_model("initial-exec")));

struct reclaim_clock {
	_Alignas(CACHE_APART) _Atomic uint64_t epoch; /* from 1 */
	_Atomic uint64_t flush;			      /* grows: workers close their batches now */
	_Atomic uint32_t pending;		      /* something is in the shared bag */
};

extern struct reclaim_clock reclaim_clock;

/* The head of a record, which never goes away: its memory is used again. */
struct reclaim_seen {
	_Alignas(CACHE_APART) _Atomic uint64_t epoch; /* 0: holds no guard */
};

void reclaim_pin_slow(void);
void reclaim_unpin_slow(void);
void reclaim_help_slow(void);

/* These two name reclaim_self each time: of a pointer to it UBSan asks whether it is NULL, by
 * flags that the linker's shorter access to what is thread-local does not set. */

/* The enter of most; false: reclaim_pin_slow must follow. */
static inline bool reclaim_enter_fast(void)
{
	struct reclaim_seen *seen;
	bool is_first;

	if (weft_likely(reclaim_self.mode == RECLAIM_WORKER)) {
		reclaim_self.entered++;
		return true;
	}
	is_first = reclaim_self.entered++ == reclaim_self.left;
	if (!is_first)
		return true;
	if (weft_unlikely(reclaim_self.mode != RECLAIM_PLAIN))
		return false;
	seen = (struct reclaim_seen *)(void *)reclaim_self.record;
	/* acquire; pairs with a batch's advance: what was taken out is seen gone. release: the
	 * reads of guards before are over. After it, the reclaimer's barrier (head of the file) */
	atomic_store_explicit(&seen->epoch,
		atomic_load_explicit(&reclaim_clock.epoch, memory_order_acquire),
		memory_order_release);
	/* the compiler moves no load of what is guarded to before the store */
	__asm__ volatile("" ::: "memory");
	return true;
}

/* From here to the leave nothing that is retired meanwhile is freed. Nests. No park and no
 * yield in between (asserted). Any fiber or plain thread; never fails. */
static inline void reclaim_enter(void)
{
	if (weft_unlikely(!reclaim_enter_fast()))
		reclaim_pin_slow();
}

static inline void reclaim_leave(void)
{
	unsigned left = ++reclaim_self.left;
	struct reclaim_seen *seen;

	/* none was entered; or a worker's, that is offline */
	CHECK(reclaim_self.entered - left < RECLAIM_GUARDS_MAX);
	if (weft_likely(reclaim_self.mode == RECLAIM_WORKER) || reclaim_self.entered != left)
		return;
	if (weft_unlikely(reclaim_self.mode == RECLAIM_NAMELESS)) {
		reclaim_unpin_slow();
		return;
	}
	seen = (struct reclaim_seen *)(void *)reclaim_self.record;
	/* release; pairs with the reclaimer's look: the reads are over */
	atomic_store_explicit(&seen->epoch, 0, memory_order_release);
}

/*
 * fn(node) is called once, when no guard that was held at the call is held any more: in a
 * worker's loop, or in any fiber or thread that helps; inside a guard, so that it must not
 * park; it may retire. The object is out of reach for new readers already. Never fails, never
 * waits, calls no fn: so it may be called under a lock and inside a guard.
 */
void reclaim_retire(struct reclaim_node *node, void (*fn)(struct reclaim_node *node));

/*
 * To be called by who has retired, once it holds neither guard nor lock: a plain thread frees
 * what it can, a fiber too if its worker's loop did not come to it for long; over the limit
 * it waits a moment. One load when there is nothing to do.
 */
static inline void reclaim_help(void)
{
	if (weft_unlikely(reclaim_self.due))
		reclaim_help_slow();
}

/* Waits until all that was retired before the call is freed. A fiber lets others run
 * meanwhile. Not in a guard. For tests, and for ends. */
void reclaim_synchronize(void);

/* Sums over all participants, read while they go on. */
struct reclaim_stats {
	uint64_t retired, freed; /* since the process began */
	uint64_t backlog;	 /* retired and not freed yet */
	uint64_t backlog_peak;	 /* as seen whenever a batch was freed */
	uint64_t batches;	 /* how often the clock was advanced */
	uint64_t barriers;	 /* membarrier calls */
	uint64_t handed_over;	 /* objects that went through the shared bag */
	uint64_t waits;		 /* for a backlog over its limit */
	unsigned records;	 /* participants now */
};

void reclaim_stats_get(struct reclaim_stats *out);
/* For tests: another limit in place of RECLAIM_BACKLOG_MAX (0: that again); and whether plain
 * threads find no memory for a record. */
void reclaim_limits_set(uint64_t max, bool no_records);

/* --- for the worker ------------------------------------------------------------------- */

/* Nobody parks or yields inside a guard. */
static inline void reclaim_check_no_guard(void)
{
	CHECK(reclaim_self.entered == reclaim_self.left);
}

/* Frees all that is in the shared bag; waits for it. A plain thread. */
void reclaim_drain(void);
/* NULL: no memory. */
struct reclaim_record *reclaim_record_get(void);
void reclaim_record_put(struct reclaim_record *record);
/* The calling thread's loop begins, with a record that nobody else uses; and ends. */
void reclaim_worker_begin(struct reclaim_record *record);
void reclaim_worker_end(void);
/* Once a loop, between fibers. */
void reclaim_tick(void);
/* Before a wait: false when there is something to do first (the loop comes round again).
 * *until may become earlier. */
bool reclaim_offline(int64_t *until);
/* After the wait, if offline said true. */
void reclaim_online(void);

#endif
