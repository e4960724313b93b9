/* SPDX-License-Identifier: MIT */
#ifndef WEFT_CELL_H
#define WEFT_CELL_H

#include <weft/base.h>

WEFT_BEGIN_DECLS
/*
 * weft_cell: a pointer to a reference-counted value, which is read all the time and
 * replaced now and then: a configuration, a routing table. Readers never wait, and write
 * to nothing that others write; writers replace the whole value and never wait for readers.
 *
 * The value is the caller's, any pointer; NULL is a value too. What it points to should not
 * change while it may be in a cell: make a new one.
 *
 * Lifetime: one owner; freed when no call on it is under way and no reader of it is left.
 *           Values that were loaded before, guarded ones too, outlive it.
 * Threads:  everything may be called from any fiber or thread at once; a weft_cell_reader
 *           by one at a time.
 * Blocking: nothing waits. Between weft_cell_enter and weft_cell_leave the caller must not
 *           either: no blocking call of weft (asserted), no weft_yield.
 * Order:    who loads a value sees what was written before it was stored.
 */
typedef struct weft_cell weft_cell;

/*
 * ref adds a reference to a value, unref drops one; both NULL for values that live longer
 * than their cells. They are not called with NULL. A cell holds one reference to its value;
 * when that is replaced the reference is dropped later, once no guarded reader can look at
 * it: unref is then called in a worker's loop, or in any fiber or thread that uses weft. It
 * must not block; it may store into this cell and others. When weft_run returns all of the
 * run's have been dropped.
 */
typedef struct weft_cell_ops {
	void (*ref)(void *value);
	void (*unref)(void *value);
} weft_cell_ops;

/* value: the first; the cell takes a reference of its own. ops is copied, and may be NULL.
 * Errors: WEFT_EINVAL (one of ref and unref without the other), WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_cell_create(
	weft_cell **out, void *value, const weft_cell_ops *ops);
/* Drops the value, later, as a store does. NULL is allowed. */
WEFT_API void weft_cell_free(weft_cell *cell);

/*
 * Guarded load, the cheapest: the value, without a reference. It is valid until the leave
 * that belongs to it. Pairs nest, of several cells too; each enter needs its leave, in the
 * same fiber or thread. While somebody is inside, no value of any cell is dropped: stay
 * short.
 */
WEFT_API void *weft_cell_enter(const weft_cell *cell);
WEFT_API void weft_cell_leave(const weft_cell *cell);

/* Full load: the value with a reference, which is the caller's. */
WEFT_API WEFT_MUST_CHECK void *weft_cell_load(const weft_cell *cell);

/*
 * Replaces the value by another; the cell takes a reference of its own to it. On an error
 * nothing has changed.
 * Errors: WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_cell_store(weft_cell *cell, void *value);
/* The same with the caller's reference to value, which is taken even on error. */
WEFT_API WEFT_MUST_CHECK weft_err weft_cell_store_own(weft_cell *cell, void *value);
/* As weft_cell_store; the value before comes out, with a reference that is the caller's. */
WEFT_API WEFT_MUST_CHECK weft_err weft_cell_swap(weft_cell *cell, void *value, void **old);
/*
 * As weft_cell_store, if the cell's value is expected (the same pointer), to which the
 * caller holds a reference, or is guarded: so that its address can't be that of another
 * value meanwhile. (Where it was replaced and put back in between, it is the same value.)
 * Errors: WEFT_EAGAIN (it is another: load and try again), WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_cell_compare_and_swap(
	weft_cell *cell, void *expected, void *value);

/*
 * Makes a new value from the old one, over again until nobody stored in between: no other
 * store is lost, and fn may run several times. fn gets the value, borrowed for the call, and
 * sets *next to the new one, with a reference that the cell takes (and drops, if fn must run
 * again). When fn fails, the cell stays as it is, and the error is returned. fn may block.
 * Errors: WEFT_ENOMEM, fn's own.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_cell_update(
	weft_cell *cell, weft_err (*fn)(void *arg, void *old, void **next), void *arg);

/*
 * A reader keeps a reference to the value it saw last: while that is unchanged, a get is
 * two loads, and what it gives may be held across blocking calls.
 *
 * Lifetime: one owner, freed before its cell.
 * Threads:  one fiber or thread at a time; make one each.
 */
typedef struct weft_cell_reader weft_cell_reader;
/* Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_cell_reader_create(
	weft_cell_reader **out, const weft_cell *cell);
/* The cell's value. Valid until the next get or the free of this reader. */
WEFT_API void *weft_cell_reader_get(weft_cell_reader *reader);
/* NULL is allowed. */
WEFT_API void weft_cell_reader_free(weft_cell_reader *reader);

WEFT_END_DECLS
#endif
