/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/* What is behind the domain's lock: records in use, the bag of those who have none of their
 * own or can't wait, and what fork changes. */
#include "rt/fiber.h"
#include "rt/reclaim_internal.h"

#include <pthread.h>

#define RECORDS_STATIC 16 /* more come from the system, as many at a time */

static struct {
	struct rt_lock lock;
	bool running;	      /* somebody runs callbacks of the bag; lock */
	struct bag bag;	      /* lock */
	_Atomic uint64_t in;  /* written under the lock */
	_Atomic uint64_t out; /* its callbacks have returned; written under the lock */
	uint64_t lost;	      /* in a forked child: other workers'; lock */
} shared;

static struct reclaim_record records_static[RECORDS_STATIC];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fork_prepare(void);
static void fork_parent(void);
static void fork_child(void);

/* --- records -------------------------------------------------------------------------- */

static void domain_make(void)
{
	CHECK(pthread_atfork(fork_prepare, fork_parent, fork_child) == 0);
	reclaim_barrier_register();
	for (size_t i = 0; i < RECORDS_STATIC; i++)
		reclaim_add_record(&records_static[i]);
}

void reclaim_make(void)
{
	(void)pthread_once(&once, domain_make);
}

static struct reclaim_record *find_locked(void)
{
	struct reclaim_record *r = reclaim_first_record();

	while (r && r->in_use)
		r = r->next;
	return r;
}

static void grow_locked(void)
{
	size_t bytes = RECORDS_STATIC * sizeof(struct reclaim_record);
	struct reclaim_record *more = rt_pages_alloc(bytes);

	if (!more)
		return;
#ifdef RT_ASAN
	__lsan_register_root_region(more, bytes);
#endif
	for (size_t i = 0; i < RECORDS_STATIC; i++)
		reclaim_add_record(&more[i]);
}

struct reclaim_record *reclaim_record_get(void)
{
	struct reclaim_record *r;

	reclaim_make();
	rt_lock_acquire(&shared.lock);
	r = find_locked();
	if (!r) {
		grow_locked();
		r = find_locked();
	}
	if (r)
		r->in_use = true;
	rt_lock_release(&shared.lock);
	return r;
}

void reclaim_record_put(struct reclaim_record *r)
{
	if (!r)
		return;
	rt_lock_acquire(&shared.lock);
	r->in_use = false;
	rt_lock_release(&shared.lock);
}

/* --- the bag -------------------------------------------------------------------------- */

static void pending_set_locked(void)
{
	/* seq_cst: before the looks at the records, in one order with those who go offline and
	 * then look at it (head of reclaim_internal.h) */
	atomic_store_explicit(
		&reclaim_clock.pending, bag_len(&shared.bag) != 0, memory_order_seq_cst);
}

static void add_locked(struct fifo *list)
{
	reclaim_count(&shared.in, list->len);
	fifo_append(&shared.bag.open, list);
}

void shared_add(struct fifo *list)
{
	rt_lock_acquire(&shared.lock);
	add_locked(list);
	pending_set_locked();
	rt_lock_release(&shared.lock);
}

static void take_stack_locked(struct reclaim_record *r)
{
	struct fifo list = { NULL, NULL, 0 };
	struct reclaim_node *node;

	/* relaxed: what was pushed before the caller's turn is seen anyway */
	if (!atomic_load_explicit(&r->stack, memory_order_relaxed))
		return;
	/* acquire; pairs with the push in retire_in_thread */
	node = atomic_exchange_explicit(&r->stack, NULL, memory_order_acquire);
	list.last = node;
	while (node) {
		struct reclaim_node *next = node->next;

		node->next = list.first;
		list.first = node;
		list.len++;
		node = next;
	}
	reclaim_count(&r->left, list.len);
	add_locked(&list);
}

static void take_stacks_locked(void)
{
	for (struct reclaim_record *r = reclaim_first_record(); r; r = r->next)
		take_stack_locked(r);
}

void shared_take_stack(struct reclaim_record *r)
{
	rt_lock_acquire(&shared.lock);
	if (r)
		take_stack_locked(r);
	else
		take_stacks_locked();
	pending_set_locked();
	rt_lock_release(&shared.lock);
}

static void advance_locked(void)
{
	if (!shared.bag.waiting.first)
		take_stacks_locked();
	bag_advance(&shared.bag, true);
}

bool shared_drive(uint64_t max)
{
	struct fifo list = { NULL, NULL, 0 };
	bool more;

	rt_lock_acquire(&shared.lock);
	advance_locked();
	if (!shared.running && shared.bag.ready.first) {
		list = fifo_take(&shared.bag.ready, max);
		shared.running = true;
		rt_lock_release(&shared.lock);
		reclaim_run(&list);
		rt_lock_acquire(&shared.lock);
		shared.running = false;
		reclaim_count(&shared.out, list.len);
		advance_locked();
	}
	more = !shared.running && shared.bag.ready.first;
	pending_set_locked();
	rt_lock_release(&shared.lock);
	return more;
}

bool shared_may_sleep(int64_t *until)
{
	const struct reclaim_record *blocker;
	bool ready, retry;

	rt_lock_acquire(&shared.lock);
	advance_locked();
	pending_set_locked();
	ready = !shared.running && shared.bag.ready.first;
	blocker = shared.bag.cursor;
	/* relaxed: a hint; somebody looks again, sooner or later */
	retry = shared.bag.waiting.first &&
		(!blocker || !atomic_load_explicit(&blocker->is_worker, memory_order_relaxed));
	rt_lock_release(&shared.lock);
	if (retry && weft_after_ns(RECLAIM_RETRY_NS) < *until)
		*until = weft_after_ns(RECLAIM_RETRY_NS);
	return !ready;
}

uint64_t shared_backlog(void)
{
	uint64_t out = reclaim_counted(&shared.out), in = reclaim_counted(&shared.in);

	/* out may be more in a child that was forked inside a callback */
	return in > out ? in - out : 0;
}

void shared_drain(bool may_switch)
{
	unsigned spins = 0;
	uint64_t in;

	shared_take_stack(NULL);
	in = reclaim_counted(&shared.in);
	while (reclaim_counted(&shared.out) < in)
		if (!shared_drive(UINT64_MAX) && reclaim_counted(&shared.out) < in)
			rt_relax(&spins, may_switch);
}

void reclaim_shared_stats(struct reclaim_stats *out)
{
	reclaim_bag_stats(out);
	rt_lock_acquire(&shared.lock);
	out->freed += shared.lost;
	out->handed_over = reclaim_counted(&shared.in);
	for (struct reclaim_record *r = reclaim_first_record(); r; r = r->next)
		out->records += r->in_use;
	rt_lock_release(&shared.lock);
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
	take_stack_locked(r);
	retired = reclaim_counted(&r->retired);
	/* one that was counted and not pushed yet, or not counted and taken: never mind */
	shared.lost += retired - reclaim_counted(&r->left);
	/* relaxed all: the child has one thread */
	atomic_store_explicit(&r->left, retired, memory_order_relaxed);
	atomic_store_explicit(&r->seen.epoch, 0, memory_order_relaxed);
	atomic_store_explicit(&r->is_worker, false, memory_order_relaxed);
	r->bag = (struct bag){ .target = 0 };
	r->in_use = false;
}

static void fork_child(void)
{
	uint64_t out;

	for (struct reclaim_record *r = reclaim_first_record(); r; r = r->next)
		bury_locked(r);
	/* what another thread was about to free is lost */
	shared.running = false;
	out = reclaim_counted(&shared.in) - bag_len(&shared.bag);
	shared.lost += out - reclaim_counted(&shared.out);
	/* relaxed: the child has one thread */
	atomic_store_explicit(&shared.out, out, memory_order_relaxed);
	reclaim_only_thread();
	pending_set_locked();
	rt_lock_release(&shared.lock);
	reclaim_barrier_register();
}
