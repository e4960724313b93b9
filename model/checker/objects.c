/* SPDX-License-Identifier: MIT */
/*
 * Locks, parkers and futexes as single steps, for the models of what is built on them. The
 * first message of an object's location keeps what unlocking, unparking makes known.
 */
#include "checker/checker.h"

#include <errno.h>
#include <string.h>

static struct message *object(int loc)
{
	return &mc->messages[mc->locs[loc].ids[0]];
}

static int object_loc(uintptr_t addr)
{
	int loc = loc_of(addr, sizeof(uint32_t));

	mc->locs[loc].is_object = true;
	return loc;
}

static bool may_be_spurious(const struct thread *t)
{
	return mc->model->spurious && !t->was_spurious;
}

bool op_is_enabled(const struct thread *t)
{
	const struct op *op = &t->next;

	if (t->done)
		return false;
	switch (op->kind) {
	case OP_LOCK:
		return mc->locs[object_loc(op->addr)].owner == 0;
	case OP_PARK:
		return mc->locs[object_loc(op->addr)].token || op->operand || may_be_spurious(t);
	case OP_FUTEX_RESUME:
		return t->woken || op->operand;
	case OP_SPIN:
	case OP_DONE:
		return false;
	default:
		return true;
	}
}

/* What was known to who gave, to who takes. */
static void take_view(struct thread *t, int loc)
{
	view_join(&t->view, &object(loc)->view);
}

static void give_view(struct thread *t, int loc)
{
	view_join(&object(loc)->view, &t->view);
	t->view.clock[t - mc->threads]++;
}

static void do_park(struct thread *t, struct op *op, struct event *e)
{
	struct loc *l = &mc->locs[e->loc];
	bool spurious = may_be_spurious(t);
	enum { TAKE, FAIL, FAIL_AND_TAKE, SPURIOUS };
	int ways[4];
	size_t n = 0;
	int way;

	if (l->token)
		ways[n++] = TAKE;
	if (op->operand)
		ways[n++] = FAIL;
	if (op->operand && l->token)
		ways[n++] = FAIL_AND_TAKE;
	if (spurious && !l->token)
		ways[n++] = SPURIOUS;
	way = ways[options_take(n)];
	e->effect = EFFECT_WRITE;
	op->result = way == TAKE  ? MODEL_PARK_WOKEN
		: way == SPURIOUS ? MODEL_PARK_SPURIOUS
				  : MODEL_PARK_FAILED;
	if (way == SPURIOUS)
		t->was_spurious = true;
	if (way == TAKE || way == FAIL_AND_TAKE) {
		l->token = false;
		take_view(t, e->loc);
	}
}

static void do_futex_wait(struct thread *t, struct op *op, struct event *e)
{
	struct loc *l = &mc->locs[e->loc];

	/* the kernel reads the word with its queue locked: it can't be an old one */
	t->view.floor[e->loc] = (uint16_t)(l->count - 1);
	if (memory_latest(e->loc) != op->expected) {
		e->effect = EFFECT_READ;
		op->result = EAGAIN;
		return;
	}
	e->effect = EFFECT_WRITE;
	op->result = 0;
	t->woken = false;
	l->sleepers |= 1u << (t - mc->threads);
}

static void wake_one(struct loc *l, unsigned thread)
{
	l->sleepers &= ~(1u << thread);
	mc->threads[thread].woken = true;
	mc->threads[thread].woken_by = mc->depth;
}

static void do_futex_wake(struct op *op, struct event *e)
{
	struct loc *l = &mc->locs[e->loc];

	e->effect = EFFECT_READ; /* wakes commute */
	if (op->operand == 1 && l->sleepers) {
		unsigned sleepers = l->sleepers;

		for (size_t pick = options_take((size_t)__builtin_popcount(sleepers)); pick; pick--)
			sleepers &= sleepers - 1;
		wake_one(l, (unsigned)__builtin_ctz(sleepers));
		return;
	}
	while (l->sleepers)
		wake_one(l, (unsigned)__builtin_ctz(l->sleepers));
}

static void do_futex_resume(struct thread *t, struct op *op, struct event *e)
{
	e->effect = EFFECT_NONE;
	op->result = 0;
	if (t->woken)
		return;
	e->effect = EFFECT_WRITE;
	op->result = ETIMEDOUT;
	mc->locs[e->loc].sleepers &= ~(1u << (t - mc->threads));
}

static void do_barrier(struct event *e)
{
	struct view *all = &mc->threads[0].view;

	e->effect = EFFECT_ALL;
	for (unsigned i = 1; i <= mc->threads_n; i++)
		view_join(all, &mc->threads[i].view);
	for (unsigned i = 1; i <= mc->threads_n; i++) {
		view_join(&mc->threads[i].view, all);
		mc->threads[i].view.clock[i]++;
	}
}

void object_op(struct thread *t, struct op *op, struct event *e)
{
	unsigned self = (unsigned)(t - mc->threads);

	e->loc = -1;
	e->effect = EFFECT_WRITE;
	if (op->addr) {
		bool is_word = op->kind == OP_FUTEX_WAIT || op->kind == OP_FUTEX_RESUME ||
			op->kind == OP_FUTEX_WAKE;

		e->loc = (int16_t)(is_word ? loc_of(op->addr, 4) : object_loc(op->addr));
		if (op->kind != OP_FUTEX_WAKE && op->kind != OP_FUTEX_RESUME)
			shadow_access(self, op->addr, 4, ATOMIC_WRITES, op->pc);
	}
	switch (op->kind) {
	case OP_LOCK:
		mc->locs[e->loc].owner = (uint8_t)(self ? self : THREADS);
		take_view(t, e->loc);
		t->spin_read[e->loc] = ++mc->locs[e->loc].turns;
		break;
	case OP_UNLOCK:
		if (mc->locs[e->loc].owner != (self ? self : THREADS))
			fail_at(op->pc, NULL, "unlock of a lock that thread %u does not hold",
				self);
		mc->locs[e->loc].owner = 0;
		give_view(t, e->loc);
		break;
	case OP_PARK:
		do_park(t, op, e);
		break;
	case OP_UNPARK:
		e->effect = EFFECT_READ; /* unparks commute */
		mc->locs[e->loc].token = true;
		give_view(t, e->loc);
		break;
	case OP_FUTEX_WAIT:
		do_futex_wait(t, op, e);
		break;
	case OP_FUTEX_WAKE:
		do_futex_wake(op, e);
		break;
	case OP_FUTEX_RESUME:
		do_futex_resume(t, op, e);
		break;
	case OP_BARRIER:
		do_barrier(e);
		break;
	default: /* OP_CHOOSE */
		e->effect = EFFECT_NONE;
		op->result = options_take(op->operand);
		break;
	}
}

/* --- what models and stand-ins call ----------------------------------------------------- */

void model_lock(void *word, void *caller)
{
	op_run(&(struct op){ .kind = OP_LOCK,
		.addr = (uintptr_t)word,
		.pc = caller ? caller : __builtin_return_address(0) });
}

void model_unlock(void *word, void *caller)
{
	op_run(&(struct op){ .kind = OP_UNLOCK,
		.addr = (uintptr_t)word,
		.pc = caller ? caller : __builtin_return_address(0) });
}

enum model_park model_park(void *word, bool may_fail, void *caller)
{
	return (enum model_park)op_run(&(struct op){
		.kind = OP_PARK, .addr = (uintptr_t)word, .operand = may_fail, .pc = caller });
}

void model_unpark(void *word, void *caller)
{
	op_run(&(struct op){ .kind = OP_UNPARK, .addr = (uintptr_t)word, .pc = caller });
}

int model_futex_wait(void *word, uint32_t expected, bool may_fail, void *caller)
{
	struct op op = { .kind = OP_FUTEX_WAIT,
		.addr = (uintptr_t)word,
		.expected = expected,
		.operand = may_fail,
		.pc = caller };

	if (op_run(&op) != 0)
		return EAGAIN;
	op.kind = OP_FUTEX_RESUME;
	return (int)op_run(&op);
}

void model_futex_wake(void *word, int count, void *caller)
{
	op_run(&(struct op){ .kind = OP_FUTEX_WAKE,
		.addr = (uintptr_t)word,
		.operand = (uint64_t)count,
		.pc = caller });
}

void model_spin(void *caller)
{
	op_run(&(struct op){ .kind = OP_SPIN, .pc = caller });
}

void model_barrier(void *caller)
{
	op_run(&(struct op){ .kind = OP_BARRIER, .pc = caller });
}

unsigned model_choose(unsigned n)
{
	return (unsigned)op_run(
		&(struct op){ .kind = OP_CHOOSE, .operand = n, .pc = __builtin_return_address(0) });
}
