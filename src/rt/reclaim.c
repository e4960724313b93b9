/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/* The reclamation domain as fibers, workers and plain threads see it: see reclaim.h. */
#include "rt/fiber.h"
#include "rt/reclaim_internal.h"

#include <pthread.h>
#include <time.h>

#define RUN_MAX 256		       /* callbacks in one turn of a worker's loop */
#define TICKS_MAX 64		       /* turns that a batch that is not full waits for more */
#define SHARED_TICKS 16		       /* turns between two looks at the shared bag */
#define WORKER_DUE (4 * RECLAIM_BATCH) /* a fiber helps when the loop left that much */

_Thread_local struct reclaim_self reclaim_self __attribute__((tls_model("initial-exec")));

static _Atomic uint64_t backlog_max = RECLAIM_BACKLOG_MAX;
static _Atomic uint64_t waits;
static _Atomic bool without_records;
static pthread_key_t thread_key;
static pthread_once_t thread_key_once = PTHREAD_ONCE_INIT;

static void thread_forget(void);

static uint64_t number(const _Atomic uint64_t *n)
{
	/* relaxed: a number, which orders nothing */
	return atomic_load_explicit(n, memory_order_relaxed);
}

/* Owner only. */
static bool has_retired(const struct reclaim_record *r)
{
	return number(&r->retired) != number(&r->left);
}

static bool is_pending(void)
{
	/* relaxed: a hint; who goes to sleep looks again */
	return atomic_load_explicit(&reclaim_clock.pending, memory_order_relaxed) != 0;
}

static void become(enum reclaim_mode mode, struct reclaim_record *r)
{
	reclaim_self = (struct reclaim_self){ .mode = mode, .record = r };
	if (!r)
		return;
	r->ticks = 0;
	r->visit_shared = false;
	r->flush_seen = number(&reclaim_clock.flush);
	/* relaxed: a hint how long to wait for it */
	atomic_store_explicit(&r->is_worker, mode == RECLAIM_WORKER, memory_order_relaxed);
}

/* --- workers -------------------------------------------------------------------------- */

void reclaim_worker_begin(struct reclaim_record *r)
{
	thread_forget();
	become(RECLAIM_WORKER, r);
	reclaim_come_online(r);
}

static void hand_over(struct reclaim_record *r)
{
	struct fifo list = { NULL, NULL, 0 };
	uint64_t len;

	fifo_append(&list, &r->bag.ready);
	fifo_append(&list, &r->bag.waiting);
	fifo_append(&list, &r->bag.open);
	len = list.len;
	if (len == 0)
		return;
	shared_add(&list);
	/* after that: who waits for it to leave then finds it in the shared bag */
	reclaim_count(&r->left, len);
}

void reclaim_worker_end(void)
{
	struct reclaim_record *r = reclaim_self.record;

	CHECK(reclaim_guards() == 0);
	hand_over(r);
	/* release; pairs with bag_passed: this worker's reads are over */
	atomic_store_explicit(&r->seen.epoch, 0, memory_order_release);
	become(RECLAIM_NEW, NULL);
}

/* Calls the first max of those of the caller's bag that are ready. */
static void run_own(struct reclaim_record *r, uint64_t max)
{
	struct fifo list = fifo_take(&r->bag.ready, max);

	reclaim_run(&list);
	reclaim_count(&r->left, list.len);
}

/* A turn with something retired, by this worker or in the shared bag. */
static void work(struct reclaim_record *r)
{
	uint64_t flush = number(&reclaim_clock.flush);
	bool close = flush != r->flush_seen || r->bag.open.len >= RECLAIM_BATCH ||
		++r->ticks % TICKS_MAX == 0;

	bag_advance(&r->bag, close);
	if (!r->bag.open.first)
		r->flush_seen = flush;
	run_own(r, RUN_MAX);
	/* a simulated run's turns must not hang on what others leave */
	if (is_pending() && !rt_tls->is_sim && (r->visit_shared || r->ticks % SHARED_TICKS == 0))
		r->visit_shared = shared_drive(RUN_MAX);
}

void reclaim_tick(void)
{
	struct reclaim_record *r = reclaim_self.record;

	reclaim_announce(r);
	if (weft_unlikely(has_retired(r) || is_pending()))
		work(r);
}

bool reclaim_offline(int64_t *until)
{
	struct reclaim_record *r = reclaim_self.record;

	if (has_retired(r)) {
		reclaim_announce(r);
		bag_advance(&r->bag, true);
		if (r->bag.ready.first)
			return false;
		hand_over(r);
	}
	/* seq_cst: before the look at pending (head of reclaim_internal.h); releases this
	 * worker's reads */
	atomic_exchange_explicit(&r->seen.epoch, 0, memory_order_seq_cst);
	/* seq_cst: that look */
	if (weft_unlikely(atomic_load_explicit(&reclaim_clock.pending, memory_order_seq_cst)) &&
		!shared_may_sleep(until)) {
		r->visit_shared = true;
		reclaim_come_online(r);
		return false;
	}
	reclaim_self.entered += RECLAIM_OFFLINE;
	return true;
}

void reclaim_online(void)
{
	reclaim_self.entered -= RECLAIM_OFFLINE;
	CHECK(reclaim_guards() == 0);
	reclaim_come_online(reclaim_self.record);
}

/* --- plain threads -------------------------------------------------------------------- */

static void thread_forget(void)
{
	struct reclaim_record *r = reclaim_self.record;

	CHECK(reclaim_guards() == 0);
	if (reclaim_self.mode != RECLAIM_PLAIN && reclaim_self.mode != RECLAIM_EXCHANGE)
		return;
	if (reclaim_self.mode == RECLAIM_PLAIN)
		reclaim_plain_thread(false);
	become(RECLAIM_NEW, NULL);
	(void)pthread_setspecific(thread_key, NULL);
	shared_take_stack(r);
	reclaim_record_put(r);
}

/* A thread ends, maybe the last one that could free what it leaves. */
static void thread_exit(void *record)
{
	if (reclaim_self.record != record)
		return;
	while (shared_drive(UINT64_MAX))
		;
	thread_forget();
}

static void thread_key_make(void)
{
	CHECK(pthread_key_create(&thread_key, thread_exit) == 0);
}

static void thread_register(void)
{
	/* relaxed: for tests, set while there is one thread */
	bool none = atomic_load_explicit(&without_records, memory_order_relaxed);
	struct reclaim_record *r = none ? NULL : reclaim_record_get();
	unsigned entered = reclaim_self.entered;

	reclaim_make();
	pthread_once(&thread_key_once, thread_key_make);
	if (r && pthread_setspecific(thread_key, r) != 0) {
		reclaim_record_put(r);
		r = NULL;
	}
	become(!r ? RECLAIM_NAMELESS : reclaim_has_barrier() ? RECLAIM_PLAIN : RECLAIM_EXCHANGE, r);
	reclaim_self.entered = entered;
	if (reclaim_self.mode == RECLAIM_PLAIN)
		reclaim_plain_thread(true);
}

/* The barrier failed after it had worked once: from now on this thread needs none. */
static void thread_settle(void)
{
	if (weft_likely(reclaim_self.mode != RECLAIM_PLAIN || reclaim_has_barrier()))
		return;
	reclaim_self.mode = RECLAIM_EXCHANGE;
	reclaim_plain_thread(false);
}

void reclaim_pin_slow(void)
{
	if (reclaim_self.mode == RECLAIM_NEW)
		thread_register();
	/* an exchange is right in each mode */
	if (reclaim_self.mode == RECLAIM_NAMELESS)
		reclaim_nameless_enter();
	else
		reclaim_come_online(reclaim_self.record);
}

void reclaim_unpin_slow(void)
{
	reclaim_nameless_leave();
}

/* --- retire, help --------------------------------------------------------------------- */

static void retire_nameless(struct reclaim_node *node)
{
	struct fifo one = { node, node, 1 };

	node->next = NULL;
	reclaim_nameless_retired();
	shared_add(&one);
	reclaim_self.due = true;
}

static void retire_in_thread(struct reclaim_record *r, struct reclaim_node *node)
{
	/* relaxed: only compared by the exchange below */
	struct reclaim_node *first = atomic_load_explicit(&r->stack, memory_order_relaxed);

	/* before the push: who takes it counts it out */
	reclaim_count(&r->retired, 1);
	do {
		node->next = first;
		/* release; pairs with take_stack_locked: the node; relaxed on failure: tried
		 * again */
	} while (!atomic_compare_exchange_weak_explicit(
		&r->stack, &first, node, memory_order_release, memory_order_relaxed));
	if (++r->ticks >= RECLAIM_BATCH)
		reclaim_self.due = true;
}

static void retire_in_worker(struct reclaim_record *r, struct reclaim_node *node)
{
	struct fifo one = { node, node, 1 };

	node->next = NULL;
	fifo_append(&r->bag.open, &one);
	reclaim_count(&r->retired, 1);
	if (weft_unlikely(number(&r->retired) - number(&r->left) >= WORKER_DUE))
		reclaim_self.due = true;
}

void reclaim_retire(struct reclaim_node *node, void (*fn)(struct reclaim_node *node))
{
	node->fn = fn;
	if (reclaim_self.mode == RECLAIM_NEW)
		thread_register();
	if (weft_likely(reclaim_self.mode == RECLAIM_WORKER))
		retire_in_worker(reclaim_self.record, node);
	else if (reclaim_self.mode == RECLAIM_NAMELESS)
		retire_nameless(node);
	else
		retire_in_thread(reclaim_self.record, node);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* One round for what the caller has retired; how much of that is left. */
static uint64_t help_once(void)
{
	struct reclaim_record *r = reclaim_self.record;

	if (reclaim_self.mode == RECLAIM_WORKER) {
		reclaim_announce(r);
		bag_advance(&r->bag, true);
		run_own(r, UINT64_MAX);
		return bag_len(&r->bag);
	}
	if (r)
		shared_take_stack(r);
	while (shared_drive(UINT64_MAX))
		;
	return shared_backlog();
}

void reclaim_help_slow(void)
{
	uint64_t left, max = number(&backlog_max);
	unsigned spins = 0;
	int64_t end;

	if (reclaim_guards() != 0)
		return;
	if (reclaim_self.record && reclaim_self.mode != RECLAIM_WORKER)
		reclaim_self.record->ticks = 0;
	thread_settle();
	left = help_once();
	if (left > max) {
		/* relaxed: a statistic, which orders nothing */
		atomic_fetch_add_explicit(&waits, 1, memory_order_relaxed);
		end = now_ns() + RECLAIM_WAIT_NS;
		do {
			rt_relax(&spins, false);
			left = help_once();
		} while (left > max && now_ns() < end);
	}
	reclaim_self.due =
		left > max || (reclaim_self.mode == RECLAIM_WORKER && left >= WORKER_DUE);
}

void reclaim_drain(void)
{
	shared_drain(false);
}

void reclaim_synchronize(void)
{
	unsigned spins = 0;

	reclaim_check_no_guard();
	/* relaxed: workers look at it in each turn */
	atomic_fetch_add_explicit(&reclaim_clock.flush, 1, memory_order_relaxed);
	shared_take_stack(NULL);
	for (struct reclaim_record *r = reclaim_first_record(); r; r = r->next) {
		uint64_t retired = reclaim_counted(&r->retired);

		while (reclaim_counted(&r->left) < retired) {
			if (r == reclaim_self.record)
				(void)help_once();
			else /* a thread's that was counted and not pushed yet */
				shared_take_stack(r);
			if (reclaim_counted(&r->left) < retired)
				rt_relax(&spins, true);
		}
	}
	shared_drain(true);
}

void reclaim_stats_get(struct reclaim_stats *out)
{
	*out = (struct reclaim_stats){ .waits = number(&waits) };
	reclaim_shared_stats(out);
	out->backlog = out->retired > out->freed ? out->retired - out->freed : 0;
}

void reclaim_limits_set(uint64_t max, bool no_records)
{
	/* relaxed both: numbers, which order nothing */
	atomic_store_explicit(&backlog_max, max ? max : RECLAIM_BACKLOG_MAX, memory_order_relaxed);
	atomic_store_explicit(&without_records, no_records, memory_order_relaxed);
}
