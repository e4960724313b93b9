/* SPDX-License-Identifier: MIT */
#ifndef RT_RECLAIM_INTERNAL_H
#define RT_RECLAIM_INTERNAL_H

/*
 * The inside of the reclamation domain. Why it is right is in reclaim.h; here is who holds
 * what.
 *
 *	retire ->  worker: record's bag (owner only)  --before sleep, at the end-->  shared bag
 *		   thread: record's stack (taken whole by anybody)  -------------->  (a lock)
 *
 *	bag:  open  --the clock is advanced-->  waiting  --all records seen-->  ready  --> fn
 *
 * A bag has one batch waiting at a time, so that the clock advances the more rarely the longer
 * that takes. All lists are in the order of retirement, and the shared bag's callbacks are run
 * by one at a time (running), without the lock: so counts say what is over.
 *
 * Who looks after the shared bag once everybody sleeps? A worker that hands over (pending = 1)
 * goes offline, then looks at the records. One that it still finds online goes offline later,
 * looks at pending after that, and finds it: all four are sequentially consistent. A plain
 * thread that is found in a guard looks at nothing afterwards: then the worker that found it
 * sleeps RECLAIM_RETRY_NS at most.
 */
#include "rt/lock.h"
#include "rt/reclaim.h"

#define RECLAIM_RETRY_NS 10000000

/* In the order of retirement. last: valid if first is there. */
struct fifo {
	struct reclaim_node *first, *last;
	uint64_t len;
};

struct bag {
	struct fifo open, waiting, ready;
	uint64_t target;	       /* of waiting */
	struct reclaim_record *cursor; /* the next to be seen; NULL: all were */
	bool blind;		       /* the barrier failed: threads can't be judged */
};

struct reclaim_record {
	struct reclaim_seen seen;	      /* first; owner, read by reclaimers */
	_Atomic(struct reclaim_node *) stack; /* a thread's; taken whole by anybody */
	_Atomic uint64_t retired;	      /* owner */
	_Atomic uint64_t left;		      /* left the bag or the stack; owner, or shared.lock */
	_Atomic uint64_t freed;		      /* callbacks run by the owner; owner */
	uint64_t flush_seen;		      /* owner */
	unsigned ticks;		     /* turns with something retired; a thread: retired since
				      * it helped; owner */
	bool visit_shared;	     /* at the next turn; owner */
	struct bag bag;		     /* a worker's; owner */
	_Atomic bool is_worker;	     /* while in use */
	bool in_use;		     /* shared.lock */
	struct reclaim_record *next; /* fixed */
};

/* One writer at a time: the owner, or who holds the lock. */
static inline void reclaim_count(_Atomic uint64_t *count, uint64_t n)
{
	/* relaxed: the writer's own */
	uint64_t value = atomic_load_explicit(count, memory_order_relaxed);

	/* release; pairs with reclaim_counted: what was counted is over */
	atomic_store_explicit(count, value + n, memory_order_release);
}

static inline uint64_t reclaim_counted(const _Atomic uint64_t *count)
{
	/* acquire; pairs with reclaim_count: what was counted is over */
	return atomic_load_explicit(count, memory_order_acquire);
}

/* That the caller holds. */
static inline unsigned reclaim_guards(void)
{
	return reclaim_self.entered - reclaim_self.left;
}

/* reclaim_bag.c: the clock, who takes part, batches */
void fifo_append(struct fifo *to, struct fifo *from);	/* empties from */
struct fifo fifo_take(struct fifo *from, uint64_t max); /* the first max of them */
uint64_t bag_len(const struct bag *bag);
/* Closes open if it may; moves to ready what can be freed. */
void bag_advance(struct bag *bag, bool may_close);
/* Calls each one's fn. */
void reclaim_run(const struct fifo *list);
struct reclaim_record *reclaim_first_record(void);
void reclaim_add_record(struct reclaim_record *r); /* under shared.lock */
/* The clock to seen, by a worker that holds no guard. */
void reclaim_announce(struct reclaim_record *r);
/* The same from offline. */
void reclaim_come_online(struct reclaim_record *r);
/* Whether a thread's pin may be a plain store: asked once a process, and in a forked child. */
void reclaim_barrier_register(void);
bool reclaim_has_barrier(void);
/* A thread that pins so comes, and goes (its guards are over). */
void reclaim_plain_thread(bool comes);
/* A thread without a record. */
void reclaim_nameless_enter(void);
void reclaim_nameless_leave(void);
void reclaim_nameless_retired(void);
/* In a forked child: the caller is. */
void reclaim_only_thread(void);
/* What of the statistics has no lock. */
void reclaim_bag_stats(struct reclaim_stats *out);

/* reclaim_shared.c: the shared bag, which any thread may reach */
void reclaim_make(void); /* before all else; again does no harm */
void shared_add(struct fifo *list);
/* What is in a thread's stack; NULL: in everybody's. */
void shared_take_stack(struct reclaim_record *r);
/* Frees at most max, if nobody else is about it. True: more could be freed at once. */
bool shared_drive(uint64_t max);
/* For who is offline. False: something can be freed at once. *until as in reclaim_offline. */
bool shared_may_sleep(int64_t *until);
/* Frees all that is there now. */
void shared_drain(bool may_switch);
uint64_t shared_backlog(void);
void reclaim_shared_stats(struct reclaim_stats *out);

#endif
