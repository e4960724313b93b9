/* SPDX-License-Identifier: MIT */
#include "rt/reclaim.h"
#include "support/crew.h"
#include "support/t.h"

#include <weft/weft.h>

#include <stdatomic.h>
#include <stdlib.h>

/* A counted value that says when it is used after its end. */
struct value {
	_Atomic int refs;
	_Atomic unsigned alive;
	unsigned number;
};

#define ALIVE 0x5afec0deu

static _Atomic int values; /* not freed yet */

static struct value *value_new(unsigned number)
{
	struct value *v = malloc(sizeof(*v));

	T_OUGHT(v != NULL);
	v->refs = 1;
	v->alive = ALIVE;
	v->number = number;
	atomic_fetch_add(&values, 1);
	return v;
}

static void value_ref(void *value)
{
	struct value *v = value;

	T_OUGHT(v->alive == ALIVE);
	T_OUGHT(atomic_fetch_add(&v->refs, 1) > 0);
}

static void value_unref(void *value)
{
	struct value *v = value;
	int before = atomic_fetch_sub(&v->refs, 1);

	T_OUGHT(v->alive == ALIVE && before > 0);
	if (before > 1)
		return;
	v->alive = 0;
	atomic_fetch_sub(&values, 1);
	free(v);
}

static const weft_cell_ops ops = { value_ref, value_unref };

static weft_cell *cell_new(unsigned number)
{
	weft_cell *cell = NULL;
	struct value *v = value_new(number);

	ck_assert_int_eq(weft_cell_create(&cell, v, &ops), WEFT_OK);
	value_unref(v);
	return cell;
}

static void cell_end(weft_cell *cell)
{
	weft_cell_free(cell);
	reclaim_synchronize();
	ck_assert_int_eq(values, 0);
}

START_TEST(cell_stores_loads_and_swaps_in_every_way)
{
	weft_cell *cell = cell_new(1);
	struct value *one = weft_cell_load(cell), *two = value_new(2), *got;

	ck_assert_int_eq(one->number, 1);
	ck_assert_ptr_eq(weft_cell_enter(cell), one);
	weft_cell_leave(cell);
	ck_assert_int_eq(weft_cell_store(cell, two), WEFT_OK);
	got = weft_cell_load(cell);
	ck_assert_ptr_eq(got, two);
	value_unref(got);
	ck_assert_int_eq(weft_cell_compare_and_swap(cell, one, one), WEFT_EAGAIN);
	ck_assert_int_eq(weft_cell_compare_and_swap(cell, two, one), WEFT_OK);
	ck_assert_int_eq(weft_cell_swap(cell, two, (void **)&got), WEFT_OK);
	ck_assert_ptr_eq(got, one);
	value_unref(got);
	value_unref(one);
	ck_assert_int_eq(weft_cell_store_own(cell, value_new(3)), WEFT_OK);
	value_unref(two);
	reclaim_synchronize();
	ck_assert_int_eq(values, 1);
	cell_end(cell);
}
END_TEST

static void cell_tests(TCase *tc)
{
	t_add(tc, cell_stores_loads_and_swaps_in_every_way);
}
T_SUITE("cell", cell_tests)
