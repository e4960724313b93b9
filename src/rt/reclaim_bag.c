/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/* The clock, the records of those who take part, and batches: see reclaim.h for why a batch
 * may be freed, reclaim_internal.h for the parts. */
#include "base/membarrier.h"
#include "rt/fiber.h"
#include "rt/reclaim_internal.h"

struct reclaim_clock reclaim_clock = { .epoch = 1 };

static _Atomic(struct reclaim_record *) records; /* grows only; written under shared.lock */
static _Atomic uint32_t plain_threads;		 /* records in mode PLAIN */
static _Atomic uint32_t nameless_guards;
static _Atomic uint64_t nameless_retired, nameless_freed;
static _Atomic uint64_t backlog_peak, barriers;

/* --- lists ---------------------------------------------------------------------------- */

void fifo_append(struct fifo *to, struct fifo *from)
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

struct fifo fifo_take(struct fifo *from, uint64_t max)
{
	struct fifo taken = *from;

	if (from->len <= max) {
		*from = (struct fifo){ NULL, NULL, 0 };
		return taken;
	}
	for (uint64_t i = 1; i < max; i++)
		from->first = from->first->next;
	taken.len = max;
	taken.last = from->first;
	from->first = from->first->next;
	from->len -= max;
	taken.last->next = NULL;
	return taken;
}

uint64_t bag_len(const struct bag *bag)
{
	return bag->open.len + bag->waiting.len + bag->ready.len;
}

/* --- who takes part ------------------------------------------------------------------- */

struct reclaim_record *reclaim_first_record(void)
{
	/* seq_cst: after the clock's advance, in one order with a new record's push and its
	 * owner's look at the clock; acquires the record */
	return atomic_load_explicit(&records, memory_order_seq_cst);
}

void reclaim_add_record(struct reclaim_record *r)
{
	/* relaxed: written under the lock only */
	r->next = atomic_load_explicit(&records, memory_order_relaxed);
	/* seq_cst: see reclaim_first_record; releases the record */
	atomic_store_explicit(&records, r, memory_order_seq_cst);
}

void reclaim_announce(struct reclaim_record *r)
{
	/* acquire; pairs with the advance in bag_close: what it took out is seen gone */
	uint64_t epoch = atomic_load_explicit(&reclaim_clock.epoch, memory_order_acquire);

	/* relaxed: the owner's own */
	if (epoch != atomic_load_explicit(&r->seen.epoch, memory_order_relaxed))
		/* release; pairs with bag_passed: reads before are over */
		atomic_store_explicit(&r->seen.epoch, epoch, memory_order_release);
}

void reclaim_come_online(struct reclaim_record *r)
{
	/* acquire; pairs with the advance in bag_close. An older one only makes reclaimers wait */
	uint64_t epoch = atomic_load_explicit(&reclaim_clock.epoch, memory_order_acquire);

	/* seq_cst: before the look at the clock, in one order with a reclaimer's advance and
	 * look at seen (head of reclaim.h) */
	atomic_exchange_explicit(&r->seen.epoch, epoch, memory_order_seq_cst);
	/* seq_cst: that look; acquires what was taken out */
	(void)atomic_load_explicit(&reclaim_clock.epoch, memory_order_seq_cst);
}

static _Atomic bool have_barrier;

void reclaim_barrier_register(void)
{
#ifndef RT_TSAN
	bool have = membarrier_register();

	/* relaxed: before any thread has a record */
	atomic_store_explicit(&have_barrier, have, memory_order_relaxed);
#endif
}

bool reclaim_has_barrier(void)
{
	/* relaxed: threads that come too early are counted as plain, and so judged */
	return atomic_load_explicit(&have_barrier, memory_order_relaxed);
}

void reclaim_plain_thread(bool comes)
{
	/* seq_cst: before the look at the clock, in one order with a reclaimer's advance and
	 * look here: it finds this thread, or this thread finds what it took out */
	atomic_fetch_add_explicit(&plain_threads, comes ? 1 : UINT32_MAX, memory_order_seq_cst);
	/* seq_cst: that look */
	(void)atomic_load_explicit(&reclaim_clock.epoch, memory_order_seq_cst);
}

void reclaim_nameless_enter(void)
{
	/* seq_cst both: as in reclaim_come_online */
	atomic_fetch_add_explicit(&nameless_guards, 1, memory_order_seq_cst);
	(void)atomic_load_explicit(&reclaim_clock.epoch, memory_order_seq_cst);
}

void reclaim_nameless_leave(void)
{
	/* release; pairs with bag_passed: the reads are over */
	atomic_fetch_sub_explicit(&nameless_guards, 1, memory_order_release);
}

void reclaim_nameless_retired(void)
{
	/* relaxed: a statistic, which orders nothing */
	atomic_fetch_add_explicit(&nameless_retired, 1, memory_order_relaxed);
}

void reclaim_only_thread(void)
{
	bool is_nameless = reclaim_self.mode == RECLAIM_NAMELESS && reclaim_guards() != 0;

	/* relaxed both: there is one thread */
	atomic_store_explicit(
		&plain_threads, reclaim_self.mode == RECLAIM_PLAIN, memory_order_relaxed);
	atomic_store_explicit(&nameless_guards, is_nameless, memory_order_relaxed);
}

/* --- batches -------------------------------------------------------------------------- */

/* A full barrier in each thread that takes part by plain stores. */
static bool barrier(void)
{
	/* seq_cst: after the advance, in one order with reclaim_plain_thread */
	if (atomic_load_explicit(&plain_threads, memory_order_seq_cst) == 0)
		return true;
	/* relaxed: a statistic, which orders nothing */
	atomic_fetch_add_explicit(&barriers, 1, memory_order_relaxed);
	if (membarrier_all())
		return true;
	/* relaxed: see reclaim_has_barrier */
	atomic_store_explicit(&have_barrier, false, memory_order_relaxed);
	return false;
}

/* Open becomes waiting. */
static void bag_close(struct bag *bag)
{
	fifo_append(&bag->waiting, &bag->open);
	/* seq_cst: after all that took the objects out; before the looks at the records, in one
	 * order with those who come online */
	bag->target = atomic_fetch_add_explicit(&reclaim_clock.epoch, 1, memory_order_seq_cst) + 1;
	bag->blind = !barrier();
	bag->cursor = reclaim_first_record();
	/* relaxed: the caller's own; offline it stays 0 */
	if (reclaim_self.mode == RECLAIM_WORKER && reclaim_guards() == 0 &&
		atomic_load_explicit(&reclaim_self.record->seen.epoch, memory_order_relaxed) != 0)
		reclaim_announce(reclaim_self.record);
}

/* Whether everybody was seen once, outside of guards or knowing of the target. */
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
	/* seq_cst: in one order with reclaim_plain_thread; acquires its last one's end */
	if (bag->blind && atomic_load_explicit(&plain_threads, memory_order_seq_cst) != 0)
		return false;
	/* seq_cst: as for seen */
	return atomic_load_explicit(&nameless_guards, memory_order_seq_cst) == 0;
}

void bag_advance(struct bag *bag, bool may_close)
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

static uint64_t number(const _Atomic uint64_t *n)
{
	/* relaxed: a statistic, which orders nothing */
	return atomic_load_explicit(n, memory_order_relaxed);
}

static void sum(struct reclaim_stats *s)
{
	s->retired = number(&nameless_retired);
	s->freed = number(&nameless_freed);
	for (struct reclaim_record *r = reclaim_first_record(); r; r = r->next) {
		s->freed += reclaim_counted(&r->freed);
		s->retired += reclaim_counted(&r->retired);
	}
}

static void note_peak(void)
{
	struct reclaim_stats s = { .retired = 0 };
	uint64_t peak = number(&backlog_peak);

	sum(&s);
	while (s.retired > s.freed && s.retired - s.freed > peak &&
		/* relaxed both: a statistic, which orders nothing */
		!atomic_compare_exchange_weak_explicit(&backlog_peak, &peak, s.retired - s.freed,
			memory_order_relaxed, memory_order_relaxed))
		;
}

/* Inside a guard, so that a callback that parks is caught. */
void reclaim_run(const struct fifo *list)
{
	struct reclaim_node *node = list->first;

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
		reclaim_count(&reclaim_self.record->freed, list->len);
	else
		/* relaxed: a statistic, which orders nothing */
		atomic_fetch_add_explicit(&nameless_freed, list->len, memory_order_relaxed);
}

void reclaim_bag_stats(struct reclaim_stats *out)
{
	note_peak();
	sum(out);
	out->backlog_peak = number(&backlog_peak);
	out->batches = number(&reclaim_clock.epoch) - 1;
	out->barriers = number(&barriers);
}
