/* SPDX-License-Identifier: MIT */
/*
 * The memory model: what C says of atomics, less what no machine does.
 *
 * A location is the list of all values that were written to it, the messages, in the order
 * in which the writes were executed. A thread has a view: for each location the oldest
 * message it may still read. A load may read any from there on; so a store that is not
 * ordered is seen late, as if it stood in a store buffer, or a load is early. A release
 * puts the writer's view into the message, an acquire takes it over; a read-modify-write
 * reads the newest message, and hands on that one's view with its own. A seq_cst load
 * reads none that is older than what any seq_cst operation on the location has touched:
 * the order of execution is the one total order.
 *
 * Left out: writes that go between older ones (two unordered stores to one location seen in
 * the order opposite to their execution by all), and values out of thin air.
 *
 * A load that reads an old message whose successor's write does not come before the load in
 * any way (it could be swapped with it) is the same as a load that was executed earlier, and
 * there is a schedule that does so. Only the others are branches here.
 */
#include "checker/checker.h"

#include <string.h>

void view_join(struct view *to, const struct view *from)
{
	for (size_t i = 0; i < THREADS; i++)
		if (to->clock[i] < from->clock[i])
			to->clock[i] = from->clock[i];
	for (size_t i = 0; i < mc->locs_n; i++)
		if (to->floor[i] < from->floor[i])
			to->floor[i] = from->floor[i];
}

static void view_copy(struct view *to, const struct view *from)
{
	memcpy(to->clock, from->clock, sizeof(to->clock));
	memcpy(to->floor, from->floor, sizeof(to->floor));
}

static uint64_t memory_read(uintptr_t addr, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, (const void *)addr, size);
	return value;
}

static struct message *message_add(struct loc *loc, uint64_t value, int event)
{
	struct message *m;

	if (mc->messages_n == MESSAGES || loc->count == LOC_MESSAGES)
		fail_at(NULL, NULL, "the run is too long: too many messages");
	m = &mc->messages[mc->messages_n];
	loc->ids[loc->count++] = (uint16_t)mc->messages_n++;
	m->value = value;
	m->event = event;
	memset(&m->view, 0, sizeof(m->view));
	m->view.floor[loc - mc->locs] = (uint16_t)(loc->count - 1);
	return m;
}

int loc_of(uintptr_t addr, size_t size)
{
	struct cell *cell = cell_of(addr);
	struct loc *loc;

	if (!cell)
		fail_at(NULL, NULL, "an atomic that is in no memory of the model: %#lx",
			(unsigned long)addr);
	if (cell->loc[addr % 8]) {
		loc = &mc->locs[cell->loc[addr % 8] - 1];
		if (loc->size != size)
			fail_at(NULL, NULL, "one atomic with two sizes");
		return (int)(loc - mc->locs);
	}
	if (mc->locs_n == LOCS)
		fail_at(NULL, NULL, "more than %d locations", LOCS);
	loc = &mc->locs[mc->locs_n++];
	memset(loc, 0, offsetof(struct loc, ids));
	loc->addr = addr;
	loc->size = (uint8_t)size;
	loc->sc_floor = 0;
	loc->last_write = loc->last_lock = -1;
	for (size_t i = 0; i < THREADS; i++) {
		loc->reads[i] = -1;
		loc->reads_n[i] = 0;
	}
	loc->owner = 0;
	loc->turns = 0;
	loc->is_object = false;
	loc->token = false;
	loc->sleepers = 0;
	cell->loc[addr % 8] = (uint8_t)mc->locs_n;
	message_add(loc, memory_read(addr, size), -1);
	return (int)(loc - mc->locs);
}

/* A plain write over them (mask: bytes): what is atomic there later is another location. */
void loc_forget(struct cell *cell, unsigned mask)
{
	uint64_t any;

	memcpy(&any, cell->loc, sizeof(any));
	if (!any)
		return;
	for (unsigned i = 0; i < 8; i++) {
		unsigned size = cell->loc[i] ? mc->locs[cell->loc[i] - 1].size : 0;

		if (size && (mask & (((1u << size) - 1) << i)))
			cell->loc[i] = 0;
	}
}

uint64_t memory_latest(int loc)
{
	const struct loc *l = &mc->locs[loc];

	return mc->messages[l->ids[l->count - 1]].value;
}

static uint64_t rmw_apply(enum rmw rmw, uint64_t old, uint64_t operand, size_t size)
{
	uint64_t value = operand;

	switch (rmw) {
	case RMW_XCHG:
		break;
	case RMW_ADD:
		value = old + operand;
		break;
	case RMW_SUB:
		value = old - operand;
		break;
	case RMW_OR:
		value = old | operand;
		break;
	case RMW_AND:
		value = old & operand;
		break;
	case RMW_XOR:
		value = old ^ operand;
		break;
	}
	return size == 8 ? value : value & (((uint64_t)1 << (8 * size)) - 1);
}

/* The oldest that may be read. */
static size_t oldest(const struct thread *t, int loc, int order)
{
	const struct loc *l = &mc->locs[loc];
	size_t floor = t->view.floor[loc];

	return order == SEQ_CST && l->sc_floor > floor ? l->sc_floor : floor;
}

static bool newest_is_past(const struct thread *t, const struct loc *l)
{
	int event = mc->messages[l->ids[l->count - 1]].event;

	return event < 0 || mc->full || in_past(t->past, event);
}

static uint64_t read_message(struct thread *t, int loc, size_t index, int order, struct event *e)
{
	struct loc *l = &mc->locs[loc];
	const struct message *m = &mc->messages[l->ids[index]];

	if (t->view.floor[loc] < index)
		t->view.floor[loc] = (uint16_t)index;
	if (acquires(order))
		view_join(&t->view, &m->view);
	if (order == SEQ_CST && l->sc_floor < index)
		l->sc_floor = (uint16_t)index;
	t->spin_read[loc] = (uint16_t)(index + 1);
	e->read = (uint16_t)index;
	e->last = l->count;
	return m->value;
}

static void write_message(struct thread *t, int loc, uint64_t value, int order, bool is_rmw)
{
	struct loc *l = &mc->locs[loc];
	const struct message *before = &mc->messages[l->ids[l->count - 1]];
	struct message *m = message_add(l, value, mc->alone ? -1 : mc->depth);
	size_t index = l->count - 1u;

	t->view.floor[loc] = (uint16_t)index;
	if (releases(order))
		view_copy(&m->view, &t->view);
	if (is_rmw) /* it continues the release sequence of the one it replaced */
		view_join(&m->view, &before->view);
	m->view.floor[loc] = (uint16_t)index;
	if (order == SEQ_CST)
		l->sc_floor = (uint16_t)index;
	if (releases(order))
		t->view.clock[t - mc->threads]++;
	t->spin_read[loc] = (uint16_t)(index + 1);
	memcpy((void *)l->addr, &value, l->size);
}

static void do_load(struct thread *t, struct op *op, struct event *e)
{
	struct loc *l = &mc->locs[e->loc];
	size_t last = l->count - 1u, from = oldest(t, e->loc, op->order), pick;

	pick = options_take(newest_is_past(t, l) ? last - from + 1 : 1);
	e->effect = EFFECT_READ;
	e->loose = op->order == SEQ_CST && l->sc_floor < last;
	op->result = read_message(t, e->loc, last - pick, op->order, e);
}

/* A failing one is a load, of any message but one that has the expected value. */
static void do_cas(struct thread *t, struct op *op, struct event *e)
{
	struct loc *l = &mc->locs[e->loc];
	size_t last = l->count - 1u, from = oldest(t, e->loc, op->fail_order), n = 1, pick;
	size_t others[LOC_MESSAGES];

	if (newest_is_past(t, l))
		for (size_t i = last; i-- > from;)
			if (mc->messages[l->ids[i]].value != op->expected)
				others[n++] = i;
	pick = options_take(n);
	if (pick == 0 && memory_latest(e->loc) == op->expected) {
		op->ok = true;
		e->effect = EFFECT_WRITE;
		op->result = read_message(t, e->loc, last, op->order, e);
		e->before = op->result;
		write_message(t, e->loc, op->operand, op->order, true);
		return;
	}
	op->ok = false;
	e->effect = EFFECT_READ;
	e->loose = op->fail_order == SEQ_CST && l->sc_floor < last;
	op->result = read_message(t, e->loc, pick == 0 ? last : others[pick], op->fail_order, e);
}

void memory_op(struct thread *t, struct op *op, struct event *e)
{
	bool writes = op->kind != OP_LOAD;

	e->loc = (int16_t)loc_of(op->addr, op->size);
	shadow_access((unsigned)(t - mc->threads), op->addr, op->size,
		writes ? ATOMIC_WRITES : ATOMIC_READS, op->pc);
	switch (op->kind) {
	case OP_LOAD:
		do_load(t, op, e);
		break;
	case OP_STORE:
		e->effect = EFFECT_WRITE;
		e->before = memory_latest(e->loc);
		write_message(t, e->loc, op->operand, op->order, false);
		break;
	case OP_RMW:
		e->effect = EFFECT_WRITE;
		op->result = read_message(t, e->loc, mc->locs[e->loc].count - 1u, op->order, e);
		e->before = op->result;
		write_message(t, e->loc, rmw_apply(op->rmw, op->result, op->operand, op->size),
			op->order, true);
		break;
	default:
		do_cas(t, op, e);
		break;
	}
}
