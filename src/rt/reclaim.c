/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * The reclamation domain. Why it is right is in the header; here is who holds what.
 *
 *	retire ->  worker: record's bag (owner only)  --before sleep, at the end-->  shared bag
 *		   thread: record's stack (any thread takes it whole)  ------------> (a lock)
 *
 *	bag:  open  --the clock is advanced-->  waiting  --all records seen-->  ready  --> fn
 *
 * A bag has one batch waiting at a time, so that the clock advances the more rarely the longer
 * that takes. All lists are in the order of retirement; the shared bag's callbacks are run by
 * one at a time (running), without the lock: so counts say what is over (reclaim_synchronize).
 *
 * Who looks after the shared bag once everybody sleeps? A worker that hands over (pending = 1)
 * then goes offline and looks at the records. One that it still finds online goes offline
 * later, looks at pending after that, and finds it: all four are sequentially consistent. A
 * plain thread that is found in a guard looks at nothing afterwards: then the worker that
 * found it sleeps RETRY_NS at most.
 */
#include "rt/reclaim.h"
#include "rt/fiber.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RUN_MAX 256	/* callbacks in one turn of a worker's loop */
#define TICKS_MAX 64	/* turns that a batch that is not full waits for more */
#define SHARED_TICKS 16 /* turns between two looks of a busy worker at the shared bag */
#define WORKER_DUE (4 * RECLAIM_BATCH) /* a fiber helps when the loop left that much */
#define RETRY_NS 10000000
#define RECORDS_STATIC 16

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
	unsigned ticks;		     /* since the last batch; a thread: retired since; owner */
	bool visit_shared;	     /* at the next turn; owner */
	struct bag bag;		     /* a worker's; owner */
	_Atomic bool is_worker;	     /* while in use */
	bool in_use;		     /* shared.lock */
	struct reclaim_record *next; /* fixed */
};

_Thread_local struct reclaim_self reclaim_self __attribute__((tls_model("initial-exec")));
struct reclaim_clock reclaim_clock = { .epoch = 1 };

static struct {
	struct rt_lock lock;
	bool running;	      /* somebody runs callbacks of the bag; lock */
	struct bag bag;	      /* lock */
	_Atomic uint64_t in;  /* written under the lock */
	_Atomic uint64_t out; /* its callbacks have returned; written under the lock */
	uint64_t lost;	      /* in a forked child: other workers'; lock */
} shared;

static struct reclaim_record records_static[RECORDS_STATIC];
static _Atomic(struct reclaim_record *) records; /* grows only */
static _Atomic uint32_t plain_threads;		 /* records in mode PLAIN */
static _Atomic uint32_t nameless_guards;
static _Atomic uint64_t nameless_retired, nameless_freed;
static _Atomic uint64_t backlog_max = RECLAIM_BACKLOG_MAX;
static _Atomic uint64_t backlog_peak, barriers, waits;
static bool have_barrier; /* set once, before the first thread's record */
static pthread_key_t thread_key;
static pthread_once_t domain_once = PTHREAD_ONCE_INIT;

/* --- small parts ---------------------------------------------------------------------- */

static void fifo_append(struct fifo *to, struct fifo *from)
{
	if (!from->first)
		return;
	if (to->first)
		to->last->next = from->first;
	else
		to->first = from->first;
	to->last = from->last;
	to->len += from->len;
	*from = (struct fifo){ NULL, NULL, 0 };
}

static void fifo_push(struct fifo *to, struct reclaim_node *node)
{
	struct fifo one = { node, node, 1 };

	node->next = NULL;
	fifo_append(to, &one);
}

/* The first max of them. */
static struct fifo fifo_take(struct fifo *from, uint64_t max)
{
	struct fifo taken = *from;

	if (from->len <= max) {
		*from = (struct fifo){ NULL, NULL, 0 };
		return taken;
	}
	taken.len = max;
	for (uint64_t i = 1; i < max; i++)
		from->first = from->first->next;
	taken.last = from->first;
	from->first = from->first->next;
	from->len -= max;
	taken.last->next = NULL;
	return taken;
}

static uint64_t bag_len(const struct bag *bag)
{
	return bag->open.len + bag->waiting.len + bag->ready.len;
}

static uint64_t count_get(const _Atomic uint64_t *count)
{
	/* acquire; pairs with count_add: what was counted is over */
	return atomic_load_explicit(count, memory_order_acquire);
}

/* One writer at a time. */
static void count_add(_Atomic uint64_t *count, uint64_t n)
{
	/* relaxed: the writer's own, or under its lock */
	uint64_t value = atomic_load_explicit(count, memory_order_relaxed);

	/* release; pairs with count_get: what was counted is over */
	atomic_store_explicit(count, value + n, memory_order_release);
}

static struct reclaim_record *first_record(void)
{
	/* seq_cst: after the clock's advance, in one order with a new record's push and look
	 * at the clock; acquires the record */
	return atomic_load_explicit(&records, memory_order_seq_cst);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static uint64_t backlog(void)
{
	/* relaxed all: numbers, read while they change */
	uint64_t n = atomic_load_explicit(&nameless_retired, memory_order_relaxed) -
		atomic_load_explicit(&nameless_freed, memory_order_relaxed) - shared.lost;

	for (struct reclaim_record *r = first_record(); r; r = r->next)
		n += count_get(&r->retired) - count_get(&r->freed);
	return (int64_t)n > 0 ? n : 0;
}

static void note_peak(void)
{
	uint64_t now = backlog();
	/* relaxed all: a statistic */
	uint64_t peak = atomic_load_explicit(&backlog_peak, memory_order_relaxed);

	while (now > peak &&
		/* relaxed both: a statistic */
		!atomic_compare_exchange_weak_explicit(
			&backlog_peak, &peak, now, memory_order_relaxed, memory_order_relaxed))
		;
}

/* --- participants --------------------------------------------------------------------- */

static void thread_exit(void *arg);
static void fork_prepare(void);
static void fork_parent(void);
static void fork_child(void);

static long membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0);
}

static void domain_make(void)
{
	CHECK(pthread_key_create(&thread_key, thread_exit) == 0);
	CHECK(pthread_atfork(fork_prepare, fork_parent, fork_child) == 0);
#ifndef RT_TSAN
	have_barrier = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
#endif
}

static void records_add(struct reclaim_record *array, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		/* relaxed: written under the lock only */
		array[i].next = atomic_load_explicit(&records, memory_order_relaxed);
		/* seq_cst: see first_record; releases the record */
		atomic_store_explicit(&records, &array[i], memory_order_seq_cst);
	}
}

static struct reclaim_record *record_find(void)
{
	struct reclaim_record *r = first_record();

	while (r && r->in_use)
		r = r->next;
	return r;
}

struct reclaim_record *reclaim_record_get(void)
{
	struct reclaim_record *r;

	pthread_once(&domain_once, domain_make);
	rt_lock_acquire(&shared.lock);
	if (!first_record())
		records_add(records_static, RECORDS_STATIC);
	r = record_find();
	if (!r) {
		size_t bytes = RECORDS_STATIC * sizeof(*r);

		r = rt_pages_alloc(bytes);
		if (r)
			records_add(r, RECORDS_STATIC);
	}
	if (r)
		r->in_use = true;
	rt_lock_release(&shared.lock);
	return r;
}

static void is_worker_set(struct reclaim_record *r, bool is_worker)
{
	/* relaxed: a hint how long to wait for it */
	atomic_store_explicit(&r->is_worker, is_worker, memory_order_relaxed);
}

void reclaim_record_put(struct reclaim_record *r)
{
	if (!r)
		return;
	rt_lock_acquire(&shared.lock);
	is_worker_set(r, false);
	r->in_use = false;
	rt_lock_release(&shared.lock);
}

/* seen = the clock, by a worker that holds no guard, or on the way online. */
static void announce(struct reclaim_record *r)
{
	/* acquire; pairs with the advance in bag_close: what it took out is seen gone */
	uint64_t epoch = atomic_load_explicit(&reclaim_clock.epoch, memory_order_acquire);

	/* relaxed: the owner's own */
	if (epoch != atomic_load_explicit(&r->seen.epoch, memory_order_relaxed))
		/* release; pairs with bag_passed: reads before are over */
		atomic_store_explicit(&r->seen.epoch, epoch, memory_order_release);
}

static void come_online(struct reclaim_record *r)
{
	/* relaxed: an older one only makes reclaimers wait */
	uint64_t epoch = atomic_load_explicit(&reclaim_clock.epoch, memory_order_relaxed);

	/* seq_cst: before the look at the clock in one order with a reclaimer's advance and
	 * look at seen (head of the header) */
	atomic_exchange_explicit(&r->seen.epoch, epoch, memory_order_seq_cst);
	/* seq_cst: that look; acquires what was taken out */
	(void)atomic_load_explicit(&reclaim_clock.epoch, memory_order_seq_cst);
}

/* --- bags ----------------------------------------------------------------------------- */

static bool barrier(void)
{
	/* seq_cst: after the advance, in one order with a thread's registration */
	if (atomic_load_explicit(&plain_threads, memory_order_seq_cst) == 0)
		return true;
	/* relaxed: a statistic, which orders nothing */
	atomic_fetch_add_explicit(&barriers, 1, memory_order_relaxed);
	return membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
}

/* Open becomes waiting. */
static void bag_close(struct bag *bag)
{
	struct reclaim_self *self = &reclaim_self;

	bag->waiting = bag->open;
	bag->open = (struct fifo){ NULL, NULL, 0 };
	/* seq_cst: after all that took the objects out; before the looks at the records, in one
	 * order with those who come online */
	bag->target = atomic_fetch_add_explicit(&reclaim_clock.epoch, 1, memory_order_seq_cst) + 1;
	bag->blind = !barrier();
	bag->cursor = first_record();
	/* relaxed: the caller's own */
	if (self->mode == RECLAIM_WORKER && self->guards == 0 &&
		atomic_load_explicit(&self->record->seen.epoch, memory_order_relaxed) != 0)
		announce(self->record);
}

/* Whether everybody was seen outside of guards, or to know of the target. */
static bool bag_passed(struct bag *bag)
{
	for (; bag->cursor; bag->cursor = bag->cursor->next) {
		/* seq_cst: after the advance, in one order with those who come online; acquires
		 * the end of the owner's reads */
		uint64_t seen =
			atomic_load_explicit(&bag->cursor->seen.epoch, memory_order_seq_cst);

		if (seen != 0 && seen < bag->target)
			return false;
	}
	/* seq_cst both: as for seen */
	if (bag->blind && atomic_load_explicit(&plain_threads, memory_order_seq_cst) != 0)
		return false;
	return atomic_load_explicit(&nameless_guards, memory_order_seq_cst) == 0;
}

static void bag_advance(struct bag *bag, bool may_close)
{
	for (;;) {
		if (bag->waiting.first) {
			if (bag->ready.first || !bag_passed(bag))
				return;
			fifo_append(&bag->ready, &bag->waiting);
		}
		if (!may_close || !bag->open.first)
			return;
		bag_close(bag);
	}
}

/* Inside a guard, so that a callback that parks is caught. */
static void run(struct fifo *list)
{
	struct reclaim_node *node = list->first;
	uint64_t len = list->len;

	if (!node)
		return;
	note_peak();
	reclaim_enter();
	while (node) {
		struct reclaim_node *next = node->next;

		node->fn(node);
		node = next;
	}
	reclaim_leave();
	if (reclaim_self.record)
		count_add(&reclaim_self.record->freed, len);
	else
		/* relaxed: a statistic, which orders nothing */
		atomic_fetch_add_explicit(&nameless_freed, len, memory_order_relaxed);
}

/* --- the shared bag ------------------------------------------------------------------- */

static void pending_set_locked(void)
{
	/* seq_cst: before the looks at the records, in one order with those who go offline and
	 * then look at it (head of the file) */
	atomic_store_explicit(
		&reclaim_clock.pending, bag_len(&shared.bag) != 0, memory_order_seq_cst);
}

static void shared_add_locked(struct fifo *list)
{
	count_add(&shared.in, list->len);
	fifo_append(&shared.bag.open, list);
}

/* What a thread has retired. */
static void steal_locked(struct reclaim_record *r)
{
	struct fifo list = { NULL, NULL, 0 };
	struct reclaim_node *node;

	/* relaxed: a hint; what was pushed before the caller's turn is seen */
	if (!atomic_load_explicit(&r->stack, memory_order_relaxed))
		return;
	/* acquire; pairs with the push in retire_thread */
	node = atomic_exchange_explicit(&r->stack, NULL, memory_order_acquire);
	list.last = node;
	while (node) {
		struct reclaim_node *next = node->next;

		node->next = list.first;
		list.first = node;
		list.len++;
		node = next;
	}
	count_add(&r->left, list.len);
	shared_add_locked(&list);
}

static void shared_advance_locked(void)
{
	if (!shared.bag.waiting.first)
		for (struct reclaim_record *r = first_record(); r; r = r->next)
			steal_locked(r);
	bag_advance(&shared.bag, true);
}

/* Frees at most max of the shared bag, if nobody else is about it. True: there is more that
 * could be freed at once. */
static bool shared_drive(uint64_t max)
{
	struct fifo list;
	uint64_t len;
	bool more;

	rt_lock_acquire(&shared.lock);
	shared_advance_locked();
	if (shared.running || !shared.bag.ready.first) {
		pending_set_locked();
		rt_lock_release(&shared.lock);
		return false;
	}
	list = fifo_take(&shared.bag.ready, max);
	len = list.len;
	shared.running = true;
	rt_lock_release(&shared.lock);
	run(&list);
	rt_lock_acquire(&shared.lock);
	shared.running = false;
	count_add(&shared.out, len);
	shared_advance_locked();
	more = shared.bag.ready.first != NULL;
	pending_set_locked();
	rt_lock_release(&shared.lock);
	return more;
}

static void hand_over(struct reclaim_record *r)
{
	uint64_t len = bag_len(&r->bag);

	if (len == 0)
		return;
	rt_lock_acquire(&shared.lock);
	shared_add_locked(&r->bag.ready);
	shared_add_locked(&r->bag.waiting);
	shared_add_locked(&r->bag.open);
	pending_set_locked();
	rt_lock_release(&shared.lock);
	count_add(&r->left, len);
}

/* --- workers -------------------------------------------------------------------------- */

static bool has_retired(const struct reclaim_record *r)
{
	/* relaxed both: the owner's own */
	return atomic_load_explicit(&r->retired, memory_order_relaxed) !=
		atomic_load_explicit(&r->left, memory_order_relaxed);
}

static void thread_forget(struct reclaim_self *self);

void reclaim_worker_begin(struct reclaim_record *r)
{
	struct reclaim_self *self = &reclaim_self;

	CHECK(self->guards == 0);
	thread_forget(self);
	is_worker_set(r, true);
	*self = (struct reclaim_self){ 0, RECLAIM_WORKER, r, false };
	come_online(r);
}

void reclaim_worker_end(void)
{
	struct reclaim_self *self = &reclaim_self;
	struct reclaim_record *r = self->record;

	CHECK(self->guards == 0);
	hand_over(r);
	/* release; pairs with bag_passed: this worker's reads are over */
	atomic_store_explicit(&r->seen.epoch, 0, memory_order_release);
	*self = (struct reclaim_self){ 0, RECLAIM_NEW, NULL, false };
}

/* A turn with something retired, by this worker or in the shared bag. */
static void work(struct reclaim_record *r)
{
	/* relaxed: who asks waits for the next turn, or the one after */
	uint64_t flush = atomic_load_explicit(&reclaim_clock.flush, memory_order_relaxed);
	bool close = flush != r->flush_seen || r->bag.open.len >= RECLAIM_BATCH ||
		++r->ticks % TICKS_MAX == 0;
	struct fifo list;

	bag_advance(&r->bag, close);
	if (!r->bag.open.first)
		r->flush_seen = flush;
	list = fifo_take(&r->bag.ready, RUN_MAX);
	run(&list);
	count_add(&r->left, list.len);
	/* relaxed: a hint; who goes to sleep looks again */
	if (atomic_load_explicit(&reclaim_clock.pending, memory_order_relaxed) &&
		(r->visit_shared || r->ticks % SHARED_TICKS == 0))
		r->visit_shared = shared_drive(RUN_MAX);
}

void reclaim_tick(void)
{
	struct reclaim_record *r = reclaim_self.record;

	announce(r);
	/* relaxed: a hint; who goes to sleep looks again */
	if (weft_unlikely(has_retired(r) ||
		    atomic_load_explicit(&reclaim_clock.pending, memory_order_relaxed)))
		work(r);
}

/* Offline, with something in the shared bag. False: it can be freed now. */
static bool may_sleep(int64_t *until)
{
	const struct reclaim_record *blocker;
	bool ready, retry;

	rt_lock_acquire(&shared.lock);
	shared_advance_locked();
	pending_set_locked();
	ready = shared.bag.ready.first && !shared.running;
	blocker = shared.bag.cursor;
	/* relaxed: a hint; whichever it is, somebody looks again */
	retry = shared.bag.waiting.first &&
		(!blocker || !atomic_load_explicit(&blocker->is_worker, memory_order_relaxed));
	rt_lock_release(&shared.lock);
	if (retry && weft_after_ns(RETRY_NS) < *until)
		*until = weft_after_ns(RETRY_NS);
	return !ready;
}

bool reclaim_offline(int64_t *until)
{
	struct reclaim_self *self = &reclaim_self;
	struct reclaim_record *r = self->record;

	if (has_retired(r)) {
		announce(r);
		bag_advance(&r->bag, true);
		if (r->bag.ready.first)
			return false;
		hand_over(r);
	}
	/* seq_cst: before the look at pending (head of the file); releases this worker's reads */
	atomic_exchange_explicit(&r->seen.epoch, 0, memory_order_seq_cst);
	/* seq_cst: that look */
	if (weft_unlikely(atomic_load_explicit(&reclaim_clock.pending, memory_order_seq_cst)) &&
		!may_sleep(until)) {
		r->visit_shared = true;
		come_online(r);
		return false;
	}
	self->guards = RECLAIM_OFFLINE;
	return true;
}

void reclaim_online(void)
{
	CHECK(reclaim_self.guards == RECLAIM_OFFLINE);
	reclaim_self.guards = 0;
	come_online(reclaim_self.record);
}

/* --- plain threads -------------------------------------------------------------------- */

static void thread_forget(struct reclaim_self *self)
{
	struct reclaim_record *r = self->record;

	if (self->mode != RECLAIM_PLAIN && self->mode != RECLAIM_EXCHANGE)
		return;
	CHECK(self->guards == 0);
	rt_lock_acquire(&shared.lock);
	steal_locked(r);
	pending_set_locked();
	rt_lock_release(&shared.lock);
	if (self->mode == RECLAIM_PLAIN)
		/* seq_cst: in one order with the looks of reclaimers; this thread's guards are
		 * over */
		atomic_fetch_sub_explicit(&plain_threads, 1, memory_order_seq_cst);
	*self = (struct reclaim_self){ 0, RECLAIM_NEW, NULL, false };
	pthread_setspecific(thread_key, NULL);
	reclaim_record_put(r);
}

/* A thread ends, maybe the last that could free what it leaves. */
static void thread_exit(void *arg)
{
	(void)arg;
	if (reclaim_self.mode == RECLAIM_WORKER)
		return;
	while (reclaim_self.guards == 0 && shared_drive(UINT64_MAX))
		;
	thread_forget(&reclaim_self);
}

static void thread_register(struct reclaim_self *self)
{
	struct reclaim_record *r = reclaim_record_get();

	if (r && pthread_setspecific(thread_key, r) != 0) {
		reclaim_record_put(r);
		r = NULL;
	}
	self->record = r;
	self->mode = !r ? RECLAIM_NAMELESS : have_barrier ? RECLAIM_PLAIN : RECLAIM_EXCHANGE;
	if (r)
		r->ticks = 0;
	if (self->mode != RECLAIM_PLAIN)
		return;
	/* seq_cst: before the look at the clock, in one order with a reclaimer's advance and
	 * look here: it sees this thread, or this thread sees what it took out */
	atomic_fetch_add_explicit(&plain_threads, 1, memory_order_seq_cst);
	/* seq_cst: that look */
	(void)atomic_load_explicit(&reclaim_clock.epoch, memory_order_seq_cst);
}

void reclaim_pin_slow(struct reclaim_self *self)
{
	if (self->mode == RECLAIM_NEW)
		thread_register(self);
	if (self->mode == RECLAIM_NAMELESS) {
		/* seq_cst both: as in come_online */
		atomic_fetch_add_explicit(&nameless_guards, 1, memory_order_seq_cst);
		(void)atomic_load_explicit(&reclaim_clock.epoch, memory_order_seq_cst);
		return;
	}
	/* right in each mode */
	come_online(self->record);
}

void reclaim_unpin_slow(struct reclaim_self *self)
{
	(void)self;
	/* release; pairs with bag_passed: the reads are over */
	atomic_fetch_sub_explicit(&nameless_guards, 1, memory_order_release);
}

/* --- retire, help --------------------------------------------------------------------- */

static void retire_nameless(struct reclaim_node *node)
{
	struct fifo one = { node, node, 1 };

	node->next = NULL;
	/* relaxed: a statistic, which orders nothing */
	atomic_fetch_add_explicit(&nameless_retired, 1, memory_order_relaxed);
	rt_lock_acquire(&shared.lock);
	shared_add_locked(&one);
	pending_set_locked();
	rt_lock_release(&shared.lock);
	reclaim_self.due = true;
}

static void retire_thread(struct reclaim_self *self, struct reclaim_node *node)
{
	struct reclaim_record *r = self->record;
	/* relaxed: only compared by the exchange below */
	struct reclaim_node *first = atomic_load_explicit(&r->stack, memory_order_relaxed);

	/* before the push: who takes it counts it out */
	count_add(&r->retired, 1);
	do {
		node->next = first;
		/* release; pairs with steal_locked; relaxed on failure: tried again */
	} while (!atomic_compare_exchange_weak_explicit(
		&r->stack, &first, node, memory_order_release, memory_order_relaxed));
	if (++r->ticks >= RECLAIM_BATCH)
		self->due = true;
}

void reclaim_retire(struct reclaim_node *node, void (*fn)(struct reclaim_node *node))
{
	struct reclaim_self *self = &reclaim_self;
	struct reclaim_record *r = self->record;

	node->fn = fn;
	if (weft_likely(self->mode == RECLAIM_WORKER)) {
		fifo_push(&r->bag.open, node);
		count_add(&r->retired, 1);
		if (weft_unlikely(bag_len(&r->bag) >= WORKER_DUE))
			self->due = true;
		return;
	}
	if (self->mode == RECLAIM_NEW)
		thread_register(self);
	if (self->mode == RECLAIM_NAMELESS)
		retire_nameless(node);
	else
		retire_thread(self, node);
}

static uint64_t limit(void)
{
	/* relaxed: a number, which orders nothing */
	return atomic_load_explicit(&backlog_max, memory_order_relaxed);
}

/* One round for what the caller has retired; how much of that is left. */
static uint64_t help_once(struct reclaim_self *self)
{
	struct reclaim_record *r = self->record;
	struct fifo list;

	if (self->mode == RECLAIM_WORKER) {
		announce(r);
		bag_advance(&r->bag, true);
		list = fifo_take(&r->bag.ready, UINT64_MAX);
		run(&list);
		count_add(&r->left, list.len);
		return bag_len(&r->bag);
	}
	while (shared_drive(UINT64_MAX))
		;
	return count_get(&shared.in) - count_get(&shared.out);
}

void reclaim_help_slow(struct reclaim_self *self)
{
	uint64_t left, max = limit();
	unsigned spins = 0;
	int64_t end;

	if (self->guards != 0)
		return;
	if (self->record && self->mode != RECLAIM_WORKER)
		self->record->ticks = 0;
	left = help_once(self);
	if (left > max) {
		/* relaxed: a statistic, which orders nothing */
		atomic_fetch_add_explicit(&waits, 1, memory_order_relaxed);
		end = now_ns() + RECLAIM_WAIT_NS;
		do {
			rt_relax(&spins, false);
			left = help_once(self);
		} while (left > max && now_ns() < end);
	}
	self->due = left > max || (self->mode == RECLAIM_WORKER && left >= WORKER_DUE);
}

/* --- ends ----------------------------------------------------------------------------- */

/* All that is in the shared bag now, or in a thread's stack. */
static void shared_drain(bool may_switch)
{
	unsigned spins = 0;
	uint64_t in;

	rt_lock_acquire(&shared.lock);
	for (struct reclaim_record *r = first_record(); r; r = r->next)
		steal_locked(r);
	in = count_get(&shared.in);
	pending_set_locked();
	rt_lock_release(&shared.lock);
	while (count_get(&shared.out) < in) {
		if (!shared_drive(UINT64_MAX) && count_get(&shared.out) < in)
			rt_relax(&spins, may_switch);
	}
}

void reclaim_drain(void)
{
	shared_drain(false);
}

void reclaim_synchronize(void)
{
	struct reclaim_self *self = &reclaim_self;
	unsigned spins = 0;

	CHECK(self->guards == 0);
	/* relaxed: workers look at it at each turn */
	atomic_fetch_add_explicit(&reclaim_clock.flush, 1, memory_order_relaxed);
	rt_lock_acquire(&shared.lock);
	for (struct reclaim_record *r = first_record(); r; r = r->next)
		steal_locked(r);
	rt_lock_release(&shared.lock);
	for (struct reclaim_record *r = first_record(); r; r = r->next) {
		uint64_t retired = count_get(&r->retired);

		while (count_get(&r->left) < retired) {
			if (r == self->record)
				help_once(self);
			if (count_get(&r->left) < retired)
				rt_relax(&spins, true);
		}
	}
	shared_drain(true);
}

void reclaim_stats_get(struct reclaim_stats *out)
{
	struct reclaim_stats s = { .records = 0 };

	note_peak();
	rt_lock_acquire(&shared.lock);
	/* relaxed all: statistics, read while they change */
	s.freed = atomic_load_explicit(&nameless_freed, memory_order_relaxed) + shared.lost;
	s.retired = atomic_load_explicit(&nameless_retired, memory_order_relaxed);
	for (struct reclaim_record *r = first_record(); r; r = r->next) {
		s.freed += count_get(&r->freed);
		s.retired += count_get(&r->retired);
		s.records += r->in_use;
	}
	s.handed_over = count_get(&shared.in);
	/* relaxed all: statistics, read while they change */
	s.backlog_peak = atomic_load_explicit(&backlog_peak, memory_order_relaxed);
	s.batches = atomic_load_explicit(&reclaim_clock.epoch, memory_order_relaxed) - 1;
	s.barriers = atomic_load_explicit(&barriers, memory_order_relaxed);
	s.waits = atomic_load_explicit(&waits, memory_order_relaxed);
	rt_lock_release(&shared.lock);
	s.backlog = s.retired > s.freed ? s.retired - s.freed : 0;
	*out = s;
}

void reclaim_backlog_max_set(uint64_t max)
{
	/* relaxed: a number, which orders nothing */
	atomic_store_explicit(&backlog_max, max ? max : RECLAIM_BACKLOG_MAX, memory_order_relaxed);
}

/* --- fork ----------------------------------------------------------------------------- */

static void fork_prepare(void)
{
	rt_lock_acquire(&shared.lock);
}

static void fork_parent(void)
{
	rt_lock_release(&shared.lock);
}

/* A worker's bag may be in the middle of a change: lost. A stack never is. */
static void bury_locked(struct reclaim_record *r)
{
	uint64_t retired;

	if (!r->in_use || r == reclaim_self.record)
		return;
	steal_locked(r);
	retired = count_get(&r->retired);
	shared.lost += retired - count_get(&r->left);
	/* relaxed all: the child has one thread */
	atomic_store_explicit(&r->left, retired, memory_order_relaxed);
	atomic_store_explicit(&r->seen.epoch, 0, memory_order_relaxed);
	r->bag = (struct bag){ .target = 0 };
	is_worker_set(r, false);
	r->in_use = false;
}

static void fork_child(void)
{
	struct reclaim_self *self = &reclaim_self;
	bool had_barrier = have_barrier;

	for (struct reclaim_record *r = first_record(); r; r = r->next)
		bury_locked(r);
	shared.running = false;
	/* relaxed all: the child has one thread */
	atomic_store_explicit(
		&shared.out, count_get(&shared.in) - bag_len(&shared.bag), memory_order_relaxed);
	atomic_store_explicit(&nameless_guards, self->mode == RECLAIM_NAMELESS && self->guards,
		memory_order_relaxed);
	atomic_store_explicit(&plain_threads, self->mode == RECLAIM_PLAIN, memory_order_relaxed);
	pending_set_locked();
	rt_lock_release(&shared.lock);
	if (had_barrier)
		have_barrier = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}
