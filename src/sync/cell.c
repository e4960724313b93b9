/* SPDX-License-Identifier: MIT */
/*
 * A pointer that is swapped, and a grace period (rt/reclaim.h) for what it pointed to.
 *
 * The cell's reference to a value that was replaced is dropped only when no guard that was
 * held at the swap is held any more. So inside a guard a loaded value has a count of at least
 * one, and taking another reference is safe: there is no moment between the load of a pointer
 * and the reference to it (arc-swap's debt list, issue 210).
 *
 * What is retired is a small block of its own, made before the swap: the value is the
 * caller's. Costs:
 *
 *	enter, leave	one load of a pointer, and a guard (no atomic read-modify-write)
 *	load		the same and ref
 *	store		ref, one allocation, one exchange
 *	reader's get	two loads of pointers
 *
 * A reader compares pointers: it holds a reference to the value it has, whose address thus
 * can't be that of another.
 */
#include "base/align.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "rt/reclaim.h"

#include <weft/cell.h>

#include <stdbool.h>

struct weft_cell {
	_Alignas(CACHE_LINE) _Atomic(void *) value; /* holds a reference to what it points to */
	weft_cell_ops ops;			    /* fixed; both or none */
	struct reclaim_node node;		    /* once, at the end of life */
};

struct weft_cell_reader {
	const weft_cell *cell; /* fixed */
	void *value;	       /* a reference is held */
};

/* A reference that is dropped after the grace period. */
struct dropped {
	struct reclaim_node node;
	void *value;
	void (*unref)(void *value);
};

static void ref(const weft_cell *cell, void *value)
{
	if (value && cell->ops.ref)
		cell->ops.ref(value);
}

static void unref(const weft_cell *cell, void *value)
{
	if (value && cell->ops.unref)
		cell->ops.unref(value);
}

static void dropped_run(struct reclaim_node *node)
{
	struct dropped *d = container_of(node, struct dropped, node);

	d->unref(d->value);
	mem_free(d);
}

/* Before anything is changed. *out stays NULL if nothing will have to be dropped. */
static weft_err dropped_make(const weft_cell *cell, struct dropped **out)
{
	*out = NULL;
	if (!cell->ops.unref)
		return WEFT_OK;
	*out = mem_alloc(sizeof(**out));
	if (!*out)
		return err_set(WEFT_ENOMEM);
	(*out)->unref = cell->ops.unref;
	return WEFT_OK;
}

static void dropped_retire(struct dropped *d, void *value)
{
	if (d && value) {
		d->value = value;
		reclaim_retire(&d->node, dropped_run);
		reclaim_help();
		return;
	}
	mem_free(d);
}

weft_err weft_cell_create(weft_cell **out, void *value, const weft_cell_ops *ops)
{
	weft_cell_ops given = { NULL, NULL };
	weft_cell *cell;

	if (ops)
		given = *ops;
	if (!given.ref != !given.unref)
		return err_setf(WEFT_EINVAL, "make cell: %s without %s",
			given.ref ? "ref" : "unref", given.ref ? "unref" : "ref");
	cell = mem_aligned(CACHE_LINE, sizeof(*cell));
	if (!cell)
		return err_set(WEFT_ENOMEM);
	cell->ops = given;
	ref(cell, value);
	/* relaxed: nobody else knows the cell yet */
	atomic_store_explicit(&cell->value, value, memory_order_relaxed);
	*out = cell;
	return WEFT_OK;
}

static void cell_end(struct reclaim_node *node)
{
	weft_cell *cell = container_of(node, weft_cell, node);

	/* relaxed: nobody else uses the cell any more */
	unref(cell, atomic_load_explicit(&cell->value, memory_order_relaxed));
	mem_free(cell);
}

void weft_cell_free(weft_cell *cell)
{
	if (!cell)
		return;
	reclaim_retire(&cell->node, cell_end);
	reclaim_help();
}

static void *value_of(const weft_cell *cell)
{
	/* acquire; pairs with the exchange of a store: what the value points to */
	return atomic_load_explicit(&cell->value, memory_order_acquire);
}

/* Apart, so that the usual way needs no frame. */
__attribute__((noinline)) static void *enter_slow(const weft_cell *cell)
{
	reclaim_pin_slow();
	return value_of(cell);
}

void *weft_cell_enter(const weft_cell *cell)
{
	return weft_likely(reclaim_enter_fast()) ? value_of(cell) : enter_slow(cell);
}

void weft_cell_leave(const weft_cell *cell)
{
	(void)cell;
	reclaim_leave();
}

void *weft_cell_load(const weft_cell *cell)
{
	void *value;

	reclaim_enter();
	value = value_of(cell);
	ref(cell, value);
	reclaim_leave();
	return value;
}

static void *exchange(weft_cell *cell, void *value)
{
	/* acq_rel; pairs with value_of: publishes what value points to, sees what the old does */
	return atomic_exchange_explicit(&cell->value, value, memory_order_acq_rel);
}

weft_err weft_cell_swap(weft_cell *cell, void *value, void **old)
{
	struct dropped *d;
	void *before;
	weft_err err = dropped_make(cell, &d);

	if (err)
		return err;
	ref(cell, value);
	before = exchange(cell, value);
	/* the cell's own reference is still there */
	if (old) {
		ref(cell, before);
		*old = before;
	}
	dropped_retire(d, before);
	return WEFT_OK;
}

weft_err weft_cell_store(weft_cell *cell, void *value)
{
	return weft_cell_swap(cell, value, NULL);
}

weft_err weft_cell_store_own(weft_cell *cell, void *value)
{
	struct dropped *d;
	weft_err err = dropped_make(cell, &d);

	if (err)
		unref(cell, value);
	else
		dropped_retire(d, exchange(cell, value));
	return err;
}

/* The cell takes the caller's reference to value, if it returns WEFT_OK. */
static weft_err replace_own(weft_cell *cell, void *expected, void *value)
{
	struct dropped *d;
	weft_err err;

	/* spares the allocation; the caller can't be told a change that it missed */
	if (value_of(cell) != expected)
		return WEFT_EAGAIN;
	err = dropped_make(cell, &d);
	if (err)
		return err;
	/* acq_rel; pairs with value_of: publishes what value points to; relaxed on failure:
	 * nothing was read through it */
	if (atomic_compare_exchange_strong_explicit(
		    &cell->value, &expected, value, memory_order_acq_rel, memory_order_relaxed)) {
		dropped_retire(d, expected);
		return WEFT_OK;
	}
	mem_free(d);
	return WEFT_EAGAIN;
}

weft_err weft_cell_compare_and_swap(weft_cell *cell, void *expected, void *value)
{
	weft_err err;

	ref(cell, value);
	err = replace_own(cell, expected, value);
	if (err)
		unref(cell, value);
	return err == WEFT_EAGAIN ? err_set(err) : err;
}

/* One turn of an update; *again: somebody stored in between. */
static weft_err update_once(weft_cell *cell, void *old,
	weft_err (*fn)(void *arg, void *old, void **next), void *arg, bool *again)
{
	void *next = NULL;
	weft_err err = fn(arg, old, &next);

	if (err)
		return err;
	err = replace_own(cell, old, next);
	if (err)
		unref(cell, next);
	*again = err == WEFT_EAGAIN;
	return err;
}

weft_err weft_cell_update(
	weft_cell *cell, weft_err (*fn)(void *arg, void *old, void **next), void *arg)
{
	weft_err err;
	bool again;

	do {
		void *old = weft_cell_load(cell);

		again = false;
		err = update_once(cell, old, fn, arg, &again);
		unref(cell, old);
	} while (again);
	return err;
}

weft_err weft_cell_reader_create(weft_cell_reader **out, const weft_cell *cell)
{
	weft_cell_reader *reader = mem_alloc(sizeof(*reader));

	if (!reader)
		return err_set(WEFT_ENOMEM);
	reader->cell = cell;
	reader->value = weft_cell_load(cell);
	*out = reader;
	return WEFT_OK;
}

__attribute__((noinline)) static void *reader_renew(weft_cell_reader *reader)
{
	void *before = reader->value;

	reader->value = weft_cell_load(reader->cell);
	unref(reader->cell, before);
	return reader->value;
}

void *weft_cell_reader_get(weft_cell_reader *reader)
{
	/* relaxed: the same pointer is the same value, which was acquired when it came here; for
	 * another the load acquires */
	if (weft_likely(atomic_load_explicit(&reader->cell->value, memory_order_relaxed) ==
		    reader->value))
		return reader->value;
	return reader_renew(reader);
}

void weft_cell_reader_free(weft_cell_reader *reader)
{
	if (!reader)
		return;
	unref(reader->cell, reader->value);
	mem_free(reader);
}
