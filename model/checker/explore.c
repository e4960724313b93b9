/* SPDX-License-Identifier: MIT */
/*
 * Which schedules are run: all that differ, by depth first search with replay.
 *
 * A schedule is a sequence of events; two that differ only in the order of neighbours that
 * do not depend on each other are the same. Of each such class one is run: source sets with
 * sleep sets (Abdulla, Aronis, Jonsson, Sagonas: Optimal dynamic partial order reduction).
 * After each event e, for each earlier e' of another thread that it depends on directly and
 * could have come before, a thread that can lead to that order is put on the list of the
 * state before e' (todo), unless one is there. A thread whose next operation was tried from
 * a state sleeps until something happens that this operation depends on.
 *
 * An operation may have several outcomes (which message a load reads, whether a park times
 * out): they are tried one after the other, as branches of the same step.
 */
#include "checker/checker.h"

#include "rt/switch.h"

#include <string.h>
#include <time.h>

static uint32_t bit(unsigned thread)
{
	return (uint32_t)1 << thread;
}

bool in_past(const uint16_t *past, int event)
{
	const struct event *e = &mc->events[event];

	return past[e->thread] >= e->seq;
}

/* --- outcomes ------------------------------------------------------------------------- */

size_t options_take(size_t n)
{
	struct node *node = &mc->nodes[mc->depth];

	if (mc->alone)
		return 0;
	node->options = (uint16_t)n;
	if (node->option >= n)
		fail_at(NULL, NULL, "the checker: a replay went another way");
	return node->option;
}

/* --- dependence ----------------------------------------------------------------------- */

static enum effect effect_of(const struct op *op)
{
	switch (op->kind) {
	case OP_LOAD:
	case OP_UNPARK:
	case OP_FUTEX_WAKE:
		return EFFECT_READ;
	case OP_CHOOSE:
	case OP_SPIN:
	case OP_DONE:
		return EFFECT_NONE;
	case OP_BARRIER:
		return EFFECT_ALL;
	default:
		return EFFECT_WRITE;
	}
}

static bool depends(const struct event *e, const struct op *next)
{
	enum effect effect = effect_of(next);

	if (e->effect == EFFECT_NONE || effect == EFFECT_NONE)
		return false;
	if (e->effect == EFFECT_ALL || effect == EFFECT_ALL)
		return true;
	if (e->op.addr != next->addr)
		return false;
	if (e->effect == EFFECT_READ && effect == EFFECT_READ)
		return e->loose && next->order == SEQ_CST;
	return true;
}

static void past_join(uint16_t *to, const uint16_t *from)
{
	for (size_t i = 0; i < THREADS; i++)
		if (to[i] < from[i])
			to[i] = from[i];
}

/* Puts a thread on the list of the state before event `first` that leads to `last`, which is
 * the present one, coming before it. */
static void todo_add(int first, int last)
{
	struct node *node = &mc->nodes[first];
	uint32_t initials = 0, seen = 0;

	for (int k = first + 1; k <= last; k++) {
		const struct event *e = &mc->events[k];
		bool is_initial = true;

		if (k < last && in_past(e->past, first))
			continue;
		if (seen & bit(e->thread))
			continue;
		seen |= bit(e->thread);
		for (int i = first + 1; i < k && is_initial; i++)
			is_initial = (in_past(mc->events[i].past, first)) || !in_past(e->past, i);
		if (is_initial)
			initials |= bit(e->thread);
	}
	if (initials & (node->todo | node->sleep))
		return;
	if (initials & bit(mc->events[last].thread))
		node->todo |= bit(mc->events[last].thread);
	else
		node->todo |= initials & -initials;
}

/* A park that does not give up needs an unpark: could it have taken another one? */
static bool park_without(const struct loc *l, int unpark)
{
	const struct event *u = &mc->events[unpark];

	if (l->reads_n[u->thread] > 1)
		return true;
	for (unsigned i = 1; i < THREADS; i++)
		if (i != u->thread && l->reads[i] >= 0 &&
			!in_past(mc->events[l->reads[i]].past, unpark))
			return true;
	return false;
}

/* e depends on candidate: joins its past; notes the race if there is one. */
static void meet(struct event *e, int candidate, bool reversible)
{
	if (candidate < 0)
		return;
	if (!in_past(e->past, candidate)) {
		/* what is before the last given node was seen by the run that came there */
		if (reversible && mc->depth >= mc->prefix - 1)
			todo_add(candidate, mc->depth);
		past_join(e->past, mc->events[candidate].past);
	}
}

static void meet_reads(struct event *e, struct loc *l)
{
	int found[THREADS], n = 0;

	for (int i = 0; i < THREADS; i++) {
		int at = n, read = l->reads[i];

		if (read < 0 || read == mc->depth)
			continue;
		for (; at > 0 && found[at - 1] < read; at--)
			found[at] = found[at - 1];
		found[at] = read;
		n++;
	}
	for (int i = 0; i < n; i++) {
		bool reversible = e->op.kind != OP_PARK ||
			(e->op.operand || e->op.result == MODEL_PARK_SPURIOUS ||
				park_without(l, found[i]));

		meet(e, found[i], reversible);
	}
}

static void meet_all(struct event *e)
{
	for (int k = mc->depth - 1; k >= 0; k--)
		meet(e, k, true);
	mc->last_barrier = mc->depth;
}

static void write_note(struct loc *l)
{
	l->last_write = mc->depth;
	for (size_t i = 0; i < THREADS; i++) {
		l->reads[i] = -1;
		l->reads_n[i] = 0;
	}
}

/* The event's past, and the races it makes. The newest candidates first: what comes before
 * one of them is no race of its own. */
static void event_place(struct thread *t, struct event *e)
{
	struct loc *l = e->loc >= 0 ? &mc->locs[e->loc] : NULL;

	e->thread = (uint8_t)(t - mc->threads);
	e->seq = ++t->seq;
	memcpy(e->past, t->past, sizeof(e->past));
	e->past[e->thread] = e->seq;
	if (e->effect == EFFECT_ALL) {
		meet_all(e);
	} else if (e->op.kind == OP_LOCK) {
		/* an unlock is never before the lock that waits for it: the locks race */
		if (l->last_lock >= 0 && !in_past(e->past, l->last_lock))
			meet(e, l->last_lock, true);
		meet(e, l->last_write, false);
		l->last_lock = mc->depth;
		write_note(l);
	} else if (e->op.kind == OP_UNLOCK) {
		write_note(l);
	} else if (e->effect == EFFECT_WRITE) {
		meet_reads(e, l);
		meet(e, l->last_write, true);
		write_note(l);
	} else if (e->effect == EFFECT_READ) {
		bool sc = e->op.kind == OP_LOAD ? e->op.order == SEQ_CST
						: e->op.fail_order == SEQ_CST;

		for (int i = THREADS; sc && i-- > 0;)
			if (l->reads[i] >= 0 && mc->events[l->reads[i]].loose)
				meet(e, l->reads[i], true);
		meet(e, l->last_write, true);
		l->reads[e->thread] = mc->depth;
		l->reads_n[e->thread]++;
	}
	if (e->op.kind == OP_FUTEX_RESUME && t->woken)
		meet(e, t->woken_by, false);
	meet(e, mc->last_barrier, true);
	memcpy(t->past, e->past, sizeof(t->past));
}

/* --- running -------------------------------------------------------------------------- */

static void per_thread_swap(unsigned from, unsigned to)
{
	for (size_t i = 0; i < mc->per_thread_n; i++) {
		size_t size = mc->per_thread[i].size;

		memcpy(mc->threads[from].saved[i], mc->per_thread[i].ptr, size);
		memcpy(mc->per_thread[i].ptr, mc->threads[to].saved[i], size);
	}
}

void run_over(void)
{
	mc->over = true;
	rt_switch(&mc->threads[mc->self].sp, mc->main_sp);
	__builtin_unreachable();
}

/* Does thread p's next operation. */
static void step(unsigned p)
{
	struct thread *t = &mc->threads[p];
	struct node *node = &mc->nodes[mc->depth];
	struct event *e = &mc->events[mc->depth];
	uint32_t sleep = 0;

	if (t->next.kind <= OP_CAS)
		memory_op(t, &t->next, e);
	else
		object_op(t, &t->next, e);
	e->op = t->next;
	if (e->effect != EFFECT_READ)
		e->loose = false;
	event_place(t, e);
	for (unsigned q = 1; q <= mc->threads_n; q++)
		if ((node->sleep & bit(q)) && q != p && !depends(e, &mc->threads[q].next))
			sleep |= bit(q);
	mc->sleep = mc->full ? 0 : sleep;
	mc->depth++;
	mc->events_n++;
}

static bool all_done(void)
{
	for (unsigned i = 1; i <= mc->threads_n; i++)
		if (!mc->threads[i].done)
			return false;
	return true;
}

/* Somebody waits by spinning, and there is something new for it. */
static bool spins_on(const struct thread *t)
{
	if (t->done || t->next.kind != OP_SPIN)
		return false;
	for (size_t i = 0; i < mc->locs_n; i++)
		if (t->spin_read[i] &&
			t->spin_read[i] <
				(mc->locs[i].turns ? mc->locs[i].turns : mc->locs[i].count))
			return true;
	return false;
}

static unsigned clear_spin(struct thread *t)
{
	memset(t->spin_read, 0, sizeof(t->spin_read));
	return (unsigned)(t - mc->threads);
}

/*
 * Nobody can run. A thread that spins goes on by itself, without a choice: if one leaves its
 * loop, this schedule is one of those that are not followed (see model_spin); if none does,
 * none ever will.
 */
static unsigned stuck(void)
{
	char text[256];
	size_t used = 0;

	for (unsigned i = 1; i <= mc->threads_n; i++)
		if (spins_on(&mc->threads[i])) {
			mc->alone = true;
			return clear_spin(&mc->threads[i]);
		}
	if (mc->collect) {
		outcome_add(1);
		run_over();
	}
	for (unsigned i = 1; i <= mc->threads_n && used < sizeof(text) - 32; i++)
		if (!mc->threads[i].done)
			used += (size_t)snprintf(text + used, sizeof(text) - used, " %u", i);
	fail_at(NULL, NULL, "nobody can run: threads%s wait for ever", text);
}

/* The thread that goes next; the run ends here if there is none. */
static unsigned pick(void)
{
	struct node *node = &mc->nodes[mc->depth];
	uint32_t enabled = 0, can;

	if (mc->depth < mc->prefix)
		return node->thread;
	if (mc->depth == EVENTS)
		fail_at(NULL, NULL, "the run is too long");
	for (unsigned i = 1; i <= mc->threads_n; i++)
		if (op_is_enabled(&mc->threads[i]))
			enabled |= bit(i);
	if (!enabled) {
		if (!all_done())
			return stuck();
		run_over();
	}
	can = enabled & ~mc->sleep;
	if (!can) {
		mc->runs_slept++;
		run_over();
	}
	node->enabled = enabled;
	node->sleep = mc->sleep;
	node->option = 0;
	node->options = 1;
	node->thread = (uint8_t)(mc->self && (can & bit(mc->self)) ? mc->self
								   : (unsigned)__builtin_ctz(can));
	node->todo = mc->full ? enabled : bit(node->thread);
	mc->prefix = mc->depth + 1;
	return node->thread;
}

static void switch_to(unsigned to)
{
	unsigned from = mc->self;

	if (from == to)
		return;
	per_thread_swap(from, to);
	mc->self = to;
	rt_switch(&mc->threads[from].sp, mc->threads[to].sp);
}

static void dispatch(void)
{
	unsigned p = pick();

	if (!mc->alone)
		step(p);
	switch_to(p);
}

static void run_alone(struct thread *t, struct op *op)
{
	struct event *e = &mc->events[EVENTS - 1];

	if (mc->self && op->kind == OP_SPIN) {
		/* its own round again, or the others', until none has anything new to read */
		switch_to(spins_on(t) ? clear_spin(t) : stuck());
		return;
	}
	if (mc->self && op->kind != OP_LOAD && op->kind != OP_LOCK && op->kind != OP_UNLOCK) {
		mc->runs_spun++;
		run_over();
	}
	if (!op_is_enabled(t))
		fail_at(op->pc, NULL, "setup or check would wait");
	if (op->kind <= OP_CAS)
		memory_op(t, op, e);
	else
		object_op(t, op, e);
}

uint64_t op_run(const struct op *op)
{
	struct thread *t = &mc->threads[mc->self];

	t->next = *op;
	if (mc->alone) {
		run_alone(t, &t->next);
	} else if (mc->starting) {
		mc->starting = 0;
		rt_switch(&t->sp, mc->main_sp);
	} else {
		dispatch();
	}
	return t->next.result;
}

bool op_ok(void)
{
	return mc->threads[mc->self].next.ok;
}

static void thread_main(void *arg)
{
	struct thread *t = arg;

	t->fn();
	if (mc->self)
		stack_leave(mc->self);
	t->done = true;
	t->next.kind = OP_DONE;
	if (mc->self && mc->alone) {
		mc->runs_spun++;
		run_over();
	}
	if (mc->self == 0 || mc->starting) {
		mc->starting = 0;
		rt_switch(&t->sp, mc->main_sp);
	}
	dispatch();
	__builtin_unreachable();
}

static void thread_make(unsigned i, void (*fn)(void))
{
	struct thread *t = &mc->threads[i];

	t->fn = fn;
	t->done = false;
	t->woken = t->was_spurious = false;
	t->seq = 0;
	memset(t->past, 0, sizeof(t->past));
	memset(t->spin_read, 0, sizeof(t->spin_read));
	t->sp = rt_switch_prepare(t->stack + STACK_SIZE, thread_main, t);
}

/* setup and check: alone, before and after all. */
static void run_zero(void (*fn)(void))
{
	if (!fn || mc->over)
		return;
	thread_make(0, fn);
	mc->self = 0;
	mc->alone = fn != dispatch;
	rt_switch(&mc->main_sp, mc->threads[0].sp);
}

static void run_reset(void)
{
	const struct model *model = mc->model;

	mc->run++;
	mc->over = false;
	mc->depth = 0;
	mc->locs_n = mc->messages_n = mc->notes_n = 0;
	mc->per_thread_n = 0;
	mc->last_barrier = -1;
	mc->sleep = 0;
	mc->starting = 0;
	for (mc->threads_n = 0; mc->threads_n < MODEL_THREADS_MAX && model->thread[mc->threads_n];)
		mc->threads_n++;
	memset(&mc->threads[0].view, 0, sizeof(struct view));
	mc->threads[0].view.clock[0] = 1;
	world_reset();
}

static void threads_start(void)
{
	const struct model *model = mc->model;

	mc->threads[0].view.clock[0]++;
	for (unsigned i = 1; i <= mc->threads_n && !mc->over; i++) {
		thread_make(i, model->thread[i - 1]);
		mc->threads[i].view = mc->threads[0].view;
		mc->threads[i].view.clock[0]--;
		mc->threads[i].view.clock[i] = 1;
	}
	for (unsigned i = 1; i <= mc->threads_n && !mc->over; i++) {
		mc->alone = false;
		mc->starting = mc->self = i;
		per_thread_swap(0, i);
		rt_switch(&mc->main_sp, mc->threads[i].sp);
		per_thread_swap(i, 0);
	}
	mc->self = 0;
}

static void run_one(void)
{
	bool whole;

	run_reset();
	run_zero(mc->model->setup);
	if (mc->over)
		return;
	threads_start();
	/* leaves thread 0 for good: the last one to run comes back here */
	run_zero(dispatch);
	whole = !mc->failed && all_done();
	if (!whole)
		return;
	mc->over = false;
	for (unsigned i = 1; i <= mc->threads_n; i++)
		view_join(&mc->threads[0].view, &mc->threads[i].view);
	run_zero(mc->model->check);
	if (!mc->failed && !mc->model->leaks)
		run_zero(leaks_check);
}

/* Outcomes of all runs, each once. */
void outcome_add(uint64_t outcome)
{
	for (size_t i = 0; i < mc->outcomes_n; i++)
		if (mc->outcomes[i] == outcome)
			return;
	if (mc->outcomes_n < OUTCOMES)
		mc->outcomes[mc->outcomes_n++] = outcome;
}

void model_outcome(uint64_t outcome)
{
	outcome_add(outcome);
}

/* The next run's prefix; false: all was tried. */
static bool backtrack(void)
{
	int n = mc->prefix;

	for (; n > 0; n--) {
		struct node *node = &mc->nodes[n - 1];
		uint32_t left;

		if (node->option + 1 < node->options) {
			node->option++;
			break;
		}
		node->sleep |= bit(node->thread);
		left = node->todo & ~node->sleep;
		if (left) {
			node->thread = (uint8_t)__builtin_ctz(left);
			node->option = 0;
			node->options = 1;
			break;
		}
	}
	mc->prefix = n;
	return n > 0;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* False: a bound was reached before the end. */
bool explore(const struct model *model, uint64_t runs_max, double seconds_max)
{
	double end = now() + seconds_max;

	mc->model = model;
	mc->prefix = 0;
	do {
		run_one();
		mc->runs++;
		if (mc->depth > mc->depth_max)
			mc->depth_max = mc->depth;
		if (mc->failed)
			return true;
		if (mc->runs == runs_max || (mc->runs % 4096 == 0 && now() > end))
			return false;
	} while (backtrack());
	return true;
}
