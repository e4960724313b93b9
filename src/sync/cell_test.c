/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "rt/san.h"
#include "support/crew.h"
#include "support/retired.h"
#include "support/t.h"

#include <weft/weft.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A counted value that says when it is used after its end. Its number does not change, and is
 * no atomic: the thread sanitizer sees whether a load acquires it. */
struct value {
	_Atomic int refs;
	_Atomic unsigned alive;
	unsigned number;
};

static _Atomic int values; /* not freed yet */

static struct value *value_new(unsigned number)
{
	struct value *v = malloc(sizeof(*v));

	T_OUGHT(v != NULL);
	v->refs = 1;
	v->alive = THING_ALIVE;
	v->number = number;
	atomic_fetch_add(&values, 1);
	return v;
}

static void value_ref(void *value)
{
	static _Atomic unsigned calls;
	struct value *v = value;

	/* the moment between a load and its reference, long enough for others to run */
	if (atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) % 64 == 0)
		sched_yield();
	/* relaxed: a count must not hide what the cell should order */
	int before = atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);

	T_OUGHT(atomic_load_explicit(&v->alive, memory_order_relaxed) == THING_ALIVE);
	T_OUGHT(before > 0);
}

static void value_unref(void *value)
{
	struct value *v = value;
	unsigned alive = atomic_load_explicit(&v->alive, memory_order_relaxed);
	int before = atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel);

	T_OUGHT(alive == THING_ALIVE && before > 0);
	if (before > 1)
		return;
	v->alive = 0;
	free(v);
	atomic_fetch_sub(&values, 1);
}

static unsigned number_of(struct value *v)
{
	T_OUGHT(atomic_load_explicit(&v->alive, memory_order_relaxed) == THING_ALIVE);
	return v->number;
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

/* The number of the cell's value now. */
static unsigned number_in(const weft_cell *cell)
{
	unsigned number = number_of(weft_cell_enter(cell));

	weft_cell_leave(cell);
	return number;
}

/* --- one at a time -------------------------------------------------------------------- */

static void stores_loads_and_swaps(void)
{
	weft_cell *cell = cell_new(1);
	struct value *one = weft_cell_load(cell), *two = value_new(2);
	void *old = NULL;

	ck_assert_uint_eq(one->number, 1);
	ck_assert_ptr_eq(weft_cell_enter(cell), one);
	weft_cell_leave(cell);
	ck_assert_int_eq(weft_cell_store(cell, two), WEFT_OK);
	ck_assert_uint_eq(number_in(cell), 2);
	ck_assert_int_eq(weft_cell_swap(cell, one, &old), WEFT_OK);
	ck_assert_ptr_eq(old, two);
	value_unref(old);
	/* the caller's own references were never the cell's */
	value_unref(one);
	value_unref(two);
	ck_assert_uint_eq(number_in(cell), 1);
	ck_assert_int_eq(weft_cell_store_own(cell, value_new(3)), WEFT_OK);
	ck_assert_int_eq(weft_cell_swap(cell, NULL, NULL), WEFT_OK);
	ck_assert_ptr_null(weft_cell_load(cell));
	ck_assert_int_eq(weft_cell_store_own(cell, value_new(4)), WEFT_OK);
	reclaim_synchronize();
	ck_assert_int_eq(values, 1);
	cell_end(cell);
}

static weft_err stores_main(void *arg)
{
	(void)arg;
	stores_loads_and_swaps();
	return WEFT_OK;
}

START_TEST(cell_stores_loads_and_swaps)
{
	stores_loads_and_swaps();
	ck_assert_int_eq(crew_main(1, stores_main, NULL), WEFT_OK);
	ck_assert_int_eq(weft_sim_run(stores_main, NULL, NULL, NULL), WEFT_OK);
	weft_cell_free(NULL);
}
END_TEST

START_TEST(cell_compare_and_swap_takes_the_expected_one_only)
{
	weft_cell *cell = cell_new(1);
	struct value *one = weft_cell_load(cell), *two = value_new(2);

	ck_assert_int_eq(weft_cell_compare_and_swap(cell, two, two), WEFT_EAGAIN);
	ck_assert_int_eq(weft_cell_compare_and_swap(cell, NULL, two), WEFT_EAGAIN);
	ck_assert_ptr_eq(weft_cell_enter(cell), one);
	weft_cell_leave(cell);
	/* put back in between: it is the same value */
	ck_assert_int_eq(weft_cell_compare_and_swap(cell, one, two), WEFT_OK);
	ck_assert_int_eq(weft_cell_compare_and_swap(cell, two, one), WEFT_OK);
	ck_assert_int_eq(weft_cell_compare_and_swap(cell, one, NULL), WEFT_OK);
	ck_assert_int_eq(weft_cell_compare_and_swap(cell, NULL, two), WEFT_OK);
	/* with what is guarded, inside the guard */
	ck_assert_ptr_eq(weft_cell_enter(cell), two);
	ck_assert_int_eq(weft_cell_compare_and_swap(cell, two, one), WEFT_OK);
	weft_cell_leave(cell);
	value_unref(one);
	value_unref(two);
	ck_assert_uint_eq(number_in(cell), 1);
	cell_end(cell);
}
END_TEST

/* --- update --------------------------------------------------------------------------- */

static weft_err one_more(void *arg, void *old, void **next)
{
	if (arg)
		++*(unsigned *)arg;
	*next = value_new(number_of(old) + 1);
	return WEFT_OK;
}

static weft_err fails(void *arg, void *old, void **next)
{
	(void)old;
	(void)next;
	++*(unsigned *)arg;
	return WEFT_EAGAIN;
}

struct intruder {
	weft_cell *cell;
	unsigned runs;
};

/* Somebody stores while the first two run. */
static weft_err disturbed(void *arg, void *old, void **next)
{
	struct intruder *intruder = arg;

	if (++intruder->runs <= 2)
		ck_assert_int_eq(
			weft_cell_store_own(intruder->cell, value_new(intruder->runs * 100)),
			WEFT_OK);
	return one_more(NULL, old, next);
}

START_TEST(cell_update_runs_again_when_somebody_stored_in_between)
{
	weft_cell *cell = cell_new(1);
	struct intruder intruder = { cell, 0 };
	unsigned runs = 0;

	ck_assert_int_eq(weft_cell_update(cell, one_more, &runs), WEFT_OK);
	ck_assert_uint_eq(runs, 1);
	ck_assert_uint_eq(number_in(cell), 2);
	/* fn's own errors are its own, whichever */
	ck_assert_int_eq(weft_cell_update(cell, fails, &runs), WEFT_EAGAIN);
	ck_assert_uint_eq(runs, 2);
	ck_assert_uint_eq(number_in(cell), 2);
	ck_assert_int_eq(weft_cell_update(cell, disturbed, &intruder), WEFT_OK);
	ck_assert_uint_eq(intruder.runs, 3);
	ck_assert_uint_eq(number_in(cell), 201);
	cell_end(cell);
}
END_TEST

#define PARTIES 6
#define UPDATES 200

static weft_err yields_and_adds(void *arg, void *old, void **next)
{
	if (number_of(old) % 3 == 0)
		(void)weft_yield();
	return one_more(arg, old, next);
}

static weft_err updates(void *arg)
{
	for (int i = 0; i < UPDATES; i++)
		T_OUGHT(weft_cell_update(arg, yields_and_adds, NULL) == WEFT_OK);
	return WEFT_OK;
}

START_TEST(cell_updates_lose_nothing)
{
	struct crew_member members[PARTIES];
	weft_cell *cell = cell_new(0);

	for (size_t i = 0; i < PARTIES; i++)
		members[i] = (struct crew_member){ updates, cell };
	crew_run((enum crew_mode)_i, t_seed(), members, PARTIES);
	ck_assert_uint_eq(number_in(cell), PARTIES * UPDATES);
	cell_end(cell);
}
END_TEST

/* --- guards --------------------------------------------------------------------------- */

START_TEST(cell_guarded_value_stays_until_its_leave)
{
	weft_cell *cell = cell_new(1), *other = cell_new(10);
	struct other o;
	struct value *one = weft_cell_enter(cell);

	/* by others, too */
	other_start(&o, false);
	ck_assert_int_eq(weft_cell_store_own(cell, value_new(2)), WEFT_OK);
	ck_assert_uint_eq(number_of(weft_cell_enter(other)), 10);
	weft_cell_leave(other);
	weft_cell_free(other);
	things_retire(2 * RECLAIM_BATCH);
	ck_assert_uint_eq(number_of(one), 1);
	ck_assert_int_eq(values, 3);
	weft_cell_leave(cell);
	reclaim_synchronize();
	ck_assert_int_eq(values, 1);
	other_end(&o, false);
	cell_end(cell);
}
END_TEST

static weft_err yields_inside(void *arg)
{
	(void)weft_cell_enter(arg);
	(void)weft_yield();
	weft_cell_leave(arg);
	return WEFT_OK;
}

static weft_err waits_inside(void *arg)
{
	(void)weft_cell_enter(arg);
	IGNORE(weft_sleep_ms(1));
	weft_cell_leave(arg);
	return WEFT_OK;
}

START_TEST(cell_guard_across_a_wait_is_an_assertion)
{
	weft_cell *cell = cell_new(1);
	pid_t child;
	int status = 0;

	for (int i = 0; i < 4; i++) {
		weft_fiber_fn fn = i % 2 ? yields_inside : waits_inside;

		child = fork();
		ck_assert_int_ge(child, 0);
		if (child == 0) {
			close(STDERR_FILENO);
			IGNORE(i / 2 ? crew_main(1, fn, cell) : fn(cell));
			_exit(0);
		}
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
	cell_end(cell);
}
END_TEST

/* --- readers -------------------------------------------------------------------------- */

START_TEST(cell_reader_keeps_its_value_until_it_is_asked_again)
{
	weft_cell *cell = cell_new(1);
	weft_cell_reader *reader = NULL, *second = NULL;
	struct value *one;

	ck_assert_int_eq(weft_cell_reader_create(&reader, cell), WEFT_OK);
	ck_assert_int_eq(weft_cell_reader_create(&second, cell), WEFT_OK);
	one = weft_cell_reader_get(reader);
	/* the cell's and two readers': a get of the same adds none */
	for (int i = 0; i < 3; i++)
		ck_assert_ptr_eq(weft_cell_reader_get(reader), one);
	ck_assert_int_eq(one->refs, 3);
	ck_assert_int_eq(weft_cell_store_own(cell, value_new(2)), WEFT_OK);
	reclaim_synchronize();
	ck_assert_uint_eq(number_of(one), 1);
	ck_assert_uint_eq(number_of(weft_cell_reader_get(reader)), 2);
	ck_assert_int_eq(one->refs, 1);
	ck_assert_int_eq(weft_cell_store(cell, NULL), WEFT_OK);
	ck_assert_ptr_null(weft_cell_reader_get(reader));
	ck_assert_ptr_null(weft_cell_reader_get(second));
	weft_cell_reader_free(reader);
	weft_cell_reader_free(second);
	weft_cell_reader_free(NULL);
	cell_end(cell);
}
END_TEST

/* --- edges ---------------------------------------------------------------------------- */

START_TEST(cell_without_counting_holds_plain_pointers)
{
	int one = 1, two = 2;
	weft_cell *cell = NULL;
	weft_cell_reader *reader = NULL;
	void *old = NULL;

	ck_assert_int_eq(weft_cell_create(&cell, &one, NULL), WEFT_OK);
	ck_assert_int_eq(weft_cell_reader_create(&reader, cell), WEFT_OK);
	ck_assert_ptr_eq(weft_cell_load(cell), &one);
	ck_assert_int_eq(weft_cell_swap(cell, &two, &old), WEFT_OK);
	ck_assert_ptr_eq(old, &one);
	ck_assert_ptr_eq(weft_cell_reader_get(reader), &two);
	weft_cell_reader_free(reader);
	cell_end(cell);
	ck_assert_int_eq(
		weft_cell_create(&cell, &one, &(weft_cell_ops){ value_ref, NULL }), WEFT_EINVAL);
	ck_assert_int_eq(
		weft_cell_create(&cell, &one, &(weft_cell_ops){ NULL, value_unref }), WEFT_EINVAL);
}
END_TEST

/* All but create, while the nth allocation fails: on an error nothing has changed. */
static void try_all(weft_cell *cell)
{
	weft_cell_reader *reader = NULL;
	struct value *one = weft_cell_load(cell), *two = value_new(2);
	void *old = NULL;
	unsigned before;
	weft_err err;

	if (weft_cell_store(cell, two) == WEFT_ENOMEM)
		ck_assert_uint_eq(number_in(cell), 1);
	if (weft_cell_swap(cell, one, &old) == WEFT_ENOMEM)
		ck_assert_ptr_null(old);
	else
		value_unref(old);
	if (weft_cell_compare_and_swap(cell, one, two) == WEFT_OK)
		ck_assert_uint_eq(number_in(cell), 2);
	/* taken in any case */
	if (weft_cell_store_own(cell, value_new(3)) == WEFT_OK)
		ck_assert_uint_eq(number_in(cell), 3);
	before = number_in(cell);
	err = weft_cell_update(cell, one_more, NULL);
	ck_assert_uint_eq(number_in(cell), before + (err == WEFT_OK));
	if (weft_cell_reader_create(&reader, cell) == WEFT_OK)
		ck_assert_uint_eq(number_of(weft_cell_reader_get(reader)), number_in(cell));
	weft_cell_reader_free(reader);
	value_unref(one);
	value_unref(two);
}

START_TEST(cell_fails_cleanly_and_changes_nothing)
{
	T_EACH_FAILING_MALLOC(n) {
		struct value *one = value_new(1);
		weft_cell *cell = NULL;
		weft_err err = weft_cell_create(&cell, one, &ops);

		value_unref(one);
		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		if (err == WEFT_OK)
			try_all(cell);
		weft_cell_free(cell);
		reclaim_synchronize();
		ck_assert_int_eq(values, 0);
	}
}
END_TEST

static weft_cell *echo;

/* A value whose end is told to a cell, by a store of another. */
static void unref_and_store(void *value)
{
	struct value *v = value;
	bool last = v->refs == 1;

	value_unref(v);
	if (last)
		ck_assert_int_eq(weft_cell_store_own(echo, value_new(7)), WEFT_OK);
}

START_TEST(cell_may_be_stored_to_from_unref)
{
	weft_cell_ops telling = { value_ref, unref_and_store };
	weft_cell *cell = NULL;

	echo = cell_new(0);
	ck_assert_int_eq(weft_cell_create(&cell, NULL, &telling), WEFT_OK);
	for (int i = 0; i < 3 * RECLAIM_BATCH; i++)
		ck_assert_int_eq(weft_cell_store_own(cell, value_new(1)), WEFT_OK);
	weft_cell_free(cell);
	reclaim_synchronize();
	reclaim_synchronize();
	ck_assert_uint_eq(number_in(echo), 7);
	cell_end(echo);
}
END_TEST

static weft_err stores_much(void *arg)
{
	for (unsigned i = 0; i < 1000; i++)
		T_OUGHT(weft_cell_store_own(arg, value_new(i)) == WEFT_OK);
	return WEFT_OK;
}

START_TEST(cell_drops_all_of_a_run_before_it_returns)
{
	weft_cell *cell = cell_new(0);

	for (unsigned workers = 1; workers <= 2; workers++) {
		ck_assert_int_eq(crew_main(workers, stores_much, cell), WEFT_OK);
		ck_assert_int_eq(values, 1);
	}
	ck_assert_int_eq(weft_sim_run(stores_much, cell, NULL, NULL), WEFT_OK);
	ck_assert_int_eq(values, 1);
	cell_end(cell);
}
END_TEST

/* --- stress --------------------------------------------------------------------------- */

#define CELLS 2

#ifdef RT_SANITIZED
#define ROUNDS 4000
#else
#define ROUNDS 20000
#endif

struct party {
	weft_cell **cells;
	uint64_t random;
};

static void use(struct value *v)
{
	if (v)
		T_OUGHT(number_of(v) > 0);
}

static void write_once(weft_cell *cell, uint64_t *random)
{
	struct value *v =
		t_random(random) % 8 ? value_new(1 + (unsigned)t_random(random) % 9) : NULL;
	struct value *seen;
	void *old = NULL;

	switch (t_random(random) % 4) {
	case 0:
		T_OUGHT(weft_cell_store(cell, v) == WEFT_OK);
		break;
	case 1:
		T_OUGHT(weft_cell_swap(cell, v, &old) == WEFT_OK);
		use(old);
		if (old)
			value_unref(old);
		break;
	case 2:
		seen = weft_cell_load(cell);
		(void)(weft_cell_compare_and_swap(cell, seen, v) == WEFT_OK);
		use(seen);
		if (seen)
			value_unref(seen);
		break;
	default:
		if (v)
			value_ref(v);
		T_OUGHT(weft_cell_store_own(cell, v) == WEFT_OK);
		break;
	}
	if (v)
		value_unref(v);
}

static weft_err loads_and_stores(void *arg)
{
	struct party *p = arg;
	weft_cell_reader *reader = NULL;

	T_OUGHT(weft_cell_reader_create(&reader, p->cells[0]) == WEFT_OK);
	for (int i = 0; i < ROUNDS; i++) {
		weft_cell *cell = p->cells[t_random(&p->random) % CELLS];
		struct value *v;

		switch (t_random(&p->random) % 6) {
		case 0:
			write_once(cell, &p->random);
			break;
		case 1:
		case 2:
			v = weft_cell_load(cell);
			use(v);
			if (t_random(&p->random) % 16 == 0)
				(void)weft_yield();
			use(v);
			if (v)
				value_unref(v);
			break;
		case 3:
			use(weft_cell_reader_get(reader));
			break;
		default:
			v = weft_cell_enter(cell);
			use(v);
			use(weft_cell_enter(p->cells[0]));
			weft_cell_leave(p->cells[0]);
			if (t_random(&p->random) % 32 == 0)
				sched_yield(); /* others run, on this core too */
			use(v);
			weft_cell_leave(cell);
		}
	}
	weft_cell_reader_free(reader);
	return WEFT_OK;
}

/* arc-swap, issue 210: a loaded value that a writer dropped between the load and the
 * reference to it. */
START_TEST(cell_load_never_meets_a_value_that_writers_swapped_and_dropped)
{
	struct crew_member members[PARTIES];
	struct party parties[PARTIES];
	weft_cell *cells[CELLS];
	uint64_t seed = t_seed();

	take_part((enum barrier)(_i / CREW_MODES));
	for (size_t i = 0; i < CELLS; i++)
		cells[i] = cell_new(1);
	for (size_t i = 0; i < PARTIES; i++) {
		parties[i] = (struct party){ cells, seed + i };
		members[i] = (struct crew_member){ loads_and_stores, &parties[i] };
	}
	crew_run((enum crew_mode)(_i % CREW_MODES), seed, members, PARTIES);
	weft_cell_free(cells[0]);
	cell_end(cells[1]);
	ck_assert_uint_eq(stats_now().backlog, 0);
}
END_TEST

static void cell_tests(TCase *tc)
{
	t_add(tc, cell_stores_loads_and_swaps);
	t_add(tc, cell_compare_and_swap_takes_the_expected_one_only);
	t_add(tc, cell_update_runs_again_when_somebody_stored_in_between);
	t_add_loop(tc, cell_updates_lose_nothing, 0, CREW_MODES);
	t_add(tc, cell_guarded_value_stays_until_its_leave);
	t_add(tc, cell_guard_across_a_wait_is_an_assertion);
	t_add(tc, cell_reader_keeps_its_value_until_it_is_asked_again);
	t_add(tc, cell_without_counting_holds_plain_pointers);
	t_add(tc, cell_fails_cleanly_and_changes_nothing);
	t_add(tc, cell_may_be_stored_to_from_unref);
	t_add(tc, cell_drops_all_of_a_run_before_it_returns);
	t_add_loop(tc, cell_load_never_meets_a_value_that_writers_swapped_and_dropped, 0,
		BARRIERS * CREW_MODES);
}
T_SUITE("cell", cell_tests)
