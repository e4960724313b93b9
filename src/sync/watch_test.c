/* SPDX-License-Identifier: MIT */
/* What one watch does, step by step. Races: watch_race_test.c. */
#include "support/counted.h"
#include "support/crew.h"
#include "support/t.h"
#include "sync/watch.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const weft_watch_options boxed_options = { true, NULL, NULL, NULL };

static weft_watch *watch_of(uint64_t value, bool boxed)
{
	weft_watch *w = NULL;

	ck_assert_int_eq(
		weft_watch_create(&w, sizeof(value), &value, boxed ? &boxed_options : NULL),
		WEFT_OK);
	return w;
}

static weft_watch_sub *sub_of(weft_watch *w)
{
	weft_watch_sub *sub = NULL;

	ck_assert_int_eq(weft_watch_sub_create(&sub, w), WEFT_OK);
	return sub;
}

static void send_ok(weft_watch *w, uint64_t value)
{
	ck_assert_int_eq(weft_watch_send(w, &value), WEFT_OK);
}

static uint64_t get(weft_watch *w)
{
	uint64_t value = 0;

	weft_watch_get(w, &value);
	return value;
}

/* --- one caller ------------------------------------------------------------------------ */

static void refer(void *value, void *user)
{
	(void)value;
	(void)user;
}

START_TEST(watch_create_refuses_what_is_out_of_range)
{
	static const char zero[WEFT_WATCH_SIZE_MAX + 1];
	weft_watch_options options = WEFT_WATCH_OPTIONS_DEFAULT;
	weft_watch *w = NULL;

	ck_assert_int_eq(
		weft_watch_create(&w, WEFT_WATCH_SIZE_MAX + 1, zero, &options), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "size 4097"));
	options.ref = options.unref = refer;
	ck_assert_int_eq(weft_watch_create(&w, 8, zero, &options), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "only when boxed"));
	options.boxed = true;
	options.unref = NULL;
	ck_assert_int_eq(weft_watch_create(&w, 8, zero, &options), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "both or neither"));
	options.ref = NULL;
	ck_assert_int_eq(
		weft_watch_create(&w, WEFT_WATCH_BOXED_SIZE_MAX + 1, zero, &options), WEFT_EINVAL);
	ck_assert_ptr_null(w);
	ck_assert_int_eq(weft_watch_create(&w, WEFT_WATCH_SIZE_MAX + 1, zero, &options), WEFT_OK);
	weft_watch_unref(w);
	weft_watch_unref(NULL);
	weft_watch_sender_unref(NULL);
	weft_watch_sub_free(NULL);
}
END_TEST

static void add(void *value, void *arg)
{
	*(uint64_t *)value += *(uint64_t *)arg;
}

static bool add_unless_zero(void *value, void *arg)
{
	add(value, arg);
	return *(uint64_t *)arg != 0;
}

START_TEST(watch_survives_every_failing_allocation)
{
	T_EACH_FAILING_MALLOC(n) {
		uint64_t first = 1, second = 2, one = 1, value = 0;
		weft_watch_sub *sub = NULL, *copy = NULL;
		weft_watch *w = NULL;
		weft_err err = weft_watch_create(&w, 8, &first, _i ? &boxed_options : NULL);

		if (err == WEFT_OK)
			err = weft_watch_sub_create(&sub, w);
		if (err == WEFT_OK)
			err = weft_watch_sub_copy(&copy, sub);
		if (err == WEFT_OK)
			err = weft_watch_send(w, &second);
		if (err == WEFT_OK)
			err = weft_watch_modify(w, add, &one);
		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		if (w)
			weft_watch_get(w, &value);
		ck_assert(err != WEFT_OK || value == 3);
		weft_watch_sub_free(copy);
		weft_watch_sub_free(sub);
		weft_watch_unref(w);
		reclaim_synchronize();
	}
}
END_TEST

START_TEST(watch_gives_the_latest_and_remembers_what_was_seen)
{
	weft_watch *w = watch_of(1, _i);
	weft_watch_sub *sub = sub_of(w), *other = NULL;
	uint64_t value = 0;

	ck_assert_ptr_eq(weft_watch_sub_source(sub), w);
	ck_assert_uint_eq(weft_watch_sub_count(w), 1);
	ck_assert(!weft_watch_sub_has_changed(sub));
	ck_assert_int_eq(weft_watch_sub_changed(sub, WEFT_NOW), WEFT_ETIMEDOUT);
	send_ok(w, 2);
	send_ok(w, 3);
	ck_assert(weft_watch_sub_has_changed(sub));
	weft_watch_sub_borrow(sub, &value);
	ck_assert_uint_eq(value, 3);
	ck_assert(weft_watch_sub_has_changed(sub));
	ck_assert_int_eq(weft_watch_sub_copy(&other, sub), WEFT_OK);
	ck_assert_uint_eq(weft_watch_sub_count(w), 2);
	weft_watch_sub_borrow_and_update(sub, &value);
	ck_assert_uint_eq(value, 3);
	ck_assert(!weft_watch_sub_has_changed(sub));
	/* the copy has seen what the original had, and once */
	ck_assert_int_eq(weft_watch_sub_changed(other, WEFT_NOW), WEFT_OK);
	ck_assert(!weft_watch_sub_has_changed(other));
	ck_assert_int_eq(weft_watch_sub_changed(other, WEFT_NOW), WEFT_ETIMEDOUT);
	weft_watch_sub_mark_changed(other);
	ck_assert(weft_watch_sub_has_changed(other));
	ck_assert_int_eq(weft_watch_sub_changed(other, WEFT_NOW), WEFT_OK);
	weft_watch_sub_free(other);
	other = sub_of(w);
	ck_assert(!weft_watch_sub_has_changed(other));
	weft_watch_sub_free(other);
	weft_watch_sub_free(sub);
	ck_assert_uint_eq(weft_watch_sub_count(w), 0);
	weft_watch_unref(w);
}
END_TEST

START_TEST(watch_changes_in_every_way)
{
	weft_watch *w = watch_of(1, _i);
	weft_watch_sub *sub = sub_of(w);
	uint64_t value = 5, by = 3;
	bool modified = false;

	ck_assert_int_eq(weft_watch_replace(w, &value, &value), WEFT_OK);
	ck_assert_uint_eq(value, 1);
	ck_assert_uint_eq(get(w), 5);
	ck_assert_int_eq(weft_watch_sub_changed(sub, WEFT_NOW), WEFT_OK);
	ck_assert_int_eq(weft_watch_modify(w, add, &by), WEFT_OK);
	ck_assert_uint_eq(get(w), 8);
	ck_assert_int_eq(weft_watch_sub_changed(sub, WEFT_NOW), WEFT_OK);
	ck_assert_int_eq(weft_watch_send_if_modified(w, add_unless_zero, &by, &modified), WEFT_OK);
	ck_assert(modified);
	ck_assert_uint_eq(get(w), 11);
	ck_assert_int_eq(weft_watch_sub_changed(sub, WEFT_NOW), WEFT_OK);
	by = 0;
	ck_assert_int_eq(weft_watch_send_if_modified(w, add_unless_zero, &by, &modified), WEFT_OK);
	ck_assert(!modified);
	ck_assert(!weft_watch_sub_has_changed(sub));
	ck_assert_int_eq(weft_watch_send_if_modified(w, add_unless_zero, &by, NULL), WEFT_OK);
	weft_watch_close(w);
	modified = true;
	ck_assert_int_eq(weft_watch_send(w, &value), WEFT_ECLOSED);
	ck_assert_int_eq(weft_watch_replace(w, &value, &value), WEFT_ECLOSED);
	ck_assert_int_eq(weft_watch_modify(w, add, &by), WEFT_ECLOSED);
	ck_assert_int_eq(
		weft_watch_send_if_modified(w, add_unless_zero, &by, &modified), WEFT_ECLOSED);
	ck_assert(modified);
	ck_assert_uint_eq(value, 1);
	ck_assert_uint_eq(get(w), 11);
	weft_watch_sub_free(sub);
	weft_watch_unref(w);
}
END_TEST

static bool scribble(void *value, void *arg)
{
	(void)arg;
	memset(value, 0xee, 100);
	return false;
}

START_TEST(watch_not_modified_is_as_it_was)
{
	_Alignas(uint64_t) unsigned char value[100], got[100];
	uint64_t by = 1;
	weft_watch *w = NULL;

	memset(value, 0x5a, sizeof(value));
	ck_assert_int_eq(
		weft_watch_create(&w, sizeof(value), value, _i ? &boxed_options : NULL), WEFT_OK);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(weft_watch_send_if_modified(w, scribble, NULL, NULL), WEFT_OK);
		weft_watch_get(w, got);
		ck_assert_mem_eq(got, value, sizeof(value));
		/* what the next one modifies, too */
		ck_assert_int_eq(weft_watch_modify(w, add, &by), WEFT_OK);
		*(uint64_t *)(void *)value += by;
		weft_watch_get(w, got);
		ck_assert_mem_eq(got, value, sizeof(value));
	}
	weft_watch_unref(w);
}
END_TEST

START_TEST(watch_holds_values_of_every_size)
{
	static const size_t sizes[] = { 0, 1, 3, 7, 8, 9, 15, 16, 17, 100, 4095, 4096 };
	unsigned char in[4096], out[4097];

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		weft_watch *w = NULL;

		memset(in, 0, sizeof(in));
		ck_assert_int_eq(weft_watch_create(&w, sizes[s], sizes[s] ? in : NULL,
					 _i ? &boxed_options : NULL),
			WEFT_OK);
		for (int i = 0; i < 5; i++) {
			memset(out, 0xee, sizeof(out));
			weft_watch_get(w, sizes[s] ? out : NULL);
			ck_assert_mem_eq(out, in, sizes[s]);
			ck_assert_uint_eq(out[sizes[s]], 0xee);
			memset(in, i + 1, sizeof(in));
			ck_assert_int_eq(weft_watch_send(w, sizes[s] ? in : NULL), WEFT_OK);
		}
		weft_watch_unref(w);
	}
}
END_TEST

START_TEST(watch_versions_may_overflow)
{
	for (uint64_t before = 0; before < 6; before++) {
		for (int boxed = 0; boxed < 2; boxed++) {
			uint64_t value = 0;
			weft_watch_sub *sub;
			weft_watch *w = NULL;

			ck_assert_int_eq(
				watch_create_at(&w, 8, &value, boxed ? &boxed_options : NULL,
					(_i ? INT64_MAX - 1 : 0) - 2 * before),
				WEFT_OK);
			sub = sub_of(w);
			for (uint64_t i = 1; i < 10; i++) {
				ck_assert(!weft_watch_sub_has_changed(sub));
				send_ok(w, i);
				ck_assert_int_eq(weft_watch_sub_changed(sub, WEFT_NOW), WEFT_OK);
				weft_watch_sub_borrow(sub, &value);
				ck_assert_uint_eq(value, i);
			}
			weft_watch_close(w);
			ck_assert_int_eq(weft_watch_sub_changed(sub, WEFT_NOW), WEFT_ECLOSED);
			weft_watch_sub_free(sub);
			weft_watch_unref(w);
		}
	}
}
END_TEST

START_TEST(watch_closed_tells_of_the_last_change_first)
{
	weft_watch *w = watch_of(1, _i);
	weft_watch_sub *sub = sub_of(w), *late;
	uint64_t value = 0;

	send_ok(w, 2);
	weft_watch_close(w);
	weft_watch_close(w);
	ck_assert(weft_watch_is_closed(w));
	ck_assert(weft_watch_sub_has_changed(sub));
	ck_assert_int_eq(weft_watch_sub_changed(sub, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(weft_watch_sub_changed(sub, WEFT_FOREVER), WEFT_ECLOSED);
	late = sub_of(w);
	weft_watch_unref(w); /* the receivers have their own */
	ck_assert_int_eq(weft_watch_sub_changed(late, WEFT_FOREVER), WEFT_ECLOSED);
	weft_watch_sub_borrow_and_update(late, &value);
	ck_assert_uint_eq(value, 2);
	weft_watch_sub_free(late);
	weft_watch_sub_free(sub);
}
END_TEST

START_TEST(watch_closes_when_the_last_counted_sender_goes)
{
	weft_watch *w = watch_of(1, false);

	ck_assert_ptr_null(weft_watch_sender_try_ref(w));
	ck_assert_ptr_eq(weft_watch_sender_ref(w), w);
	ck_assert_ptr_eq(weft_watch_sender_try_ref(w), w);
	ck_assert_uint_eq(weft_watch_sender_count(w), 2);
	weft_watch_sender_unref(w);
	ck_assert(!weft_watch_is_closed(w));
	weft_watch_sender_unref(w);
	ck_assert(weft_watch_is_closed(w));
	ck_assert_ptr_null(weft_watch_sender_try_ref(w));
	weft_watch_unref(weft_watch_ref(w));
	weft_watch_unref(w);
}
END_TEST

static void see(const void *value, void *arg)
{
	memcpy(arg, value, sizeof(uint64_t));
}

START_TEST(watch_views_boxed_values_in_place)
{
	weft_watch *plain = watch_of(1, false), *w = watch_of(1, true);
	weft_watch_sub *sub = sub_of(w), *other = sub_of(plain);
	uint64_t value = 7;

	ck_assert_int_eq(weft_watch_view(plain, see, &value), WEFT_EINVAL);
	ck_assert_int_eq(weft_watch_sub_view_and_update(other, see, &value), WEFT_EINVAL);
	ck_assert_uint_eq(value, 7);
	send_ok(w, 2);
	ck_assert_int_eq(weft_watch_sub_view(sub, see, &value), WEFT_OK);
	ck_assert_uint_eq(value, 2);
	ck_assert(weft_watch_sub_has_changed(sub));
	ck_assert_int_eq(weft_watch_sub_view_and_update(sub, see, &value), WEFT_OK);
	ck_assert(!weft_watch_sub_has_changed(sub));
	ck_assert_int_eq(weft_watch_view(w, see, &value), WEFT_OK);
	weft_watch_sub_free(other);
	weft_watch_sub_free(sub);
	weft_watch_unref(plain);
	weft_watch_unref(w);
}
END_TEST

/* --- waiting ---------------------------------------------------------------------------- */

struct waiter {
	weft_watch_sub *sub;
	uint64_t wanted, value;
	weft_err err;
	bool returned;
};

static weft_err await_change(void *arg)
{
	struct waiter *w = arg;

	w->err = weft_watch_sub_changed(w->sub, WEFT_FOREVER);
	w->returned = true;
	return WEFT_OK;
}

static bool is_wanted(const void *value, void *arg)
{
	struct waiter *w = arg;

	return *(const uint64_t *)value >= w->wanted;
}

static weft_err await_value(void *arg)
{
	struct waiter *w = arg;

	w->err = weft_watch_sub_wait_for(w->sub, is_wanted, w, &w->value, WEFT_FOREVER);
	w->returned = true;
	return WEFT_OK;
}

static void start(weft_scope *scope, weft_fiber_fn fn, struct waiter *waiter, weft_watch *w)
{
	waiter->sub = sub_of(w);
	waiter->returned = false;
	ck_assert_int_eq(weft_scope_spawn(scope, "waiter", fn, waiter), WEFT_OK);
	crew_settle();
}

static weft_err waiting(void *arg)
{
	struct waiter changed[3] = { 0 }, wanting = { .wanted = 10 }, vain = { .wanted = 99 };
	weft_watch *w = watch_of(1, *(int *)arg);
	weft_scope *scope;

	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	for (size_t i = 0; i < 3; i++)
		start(scope, await_change, &changed[i], w);
	start(scope, await_value, &wanting, w);
	start(scope, await_value, &vain, w);
	ck_assert(!changed[0].returned && !wanting.returned);
	send_ok(w, 5);
	crew_settle();
	for (size_t i = 0; i < 3; i++)
		ck_assert(changed[i].returned && changed[i].err == WEFT_OK);
	ck_assert(!wanting.returned);
	send_ok(w, 10);
	crew_settle();
	ck_assert(wanting.returned && wanting.err == WEFT_OK && wanting.value == 10);
	/* the latest counts, seen or not */
	ck_assert_int_eq(
		weft_watch_sub_wait_for(wanting.sub, is_wanted, &wanting, &wanting.value, WEFT_NOW),
		WEFT_OK);
	ck_assert_int_eq(weft_watch_sub_wait_for(
				 wanting.sub, is_wanted, &vain, &wanting.value, weft_after_ms(1)),
		WEFT_ETIMEDOUT);
	ck_assert(!vain.returned);
	weft_watch_close(w);
	crew_settle();
	ck_assert(vain.returned && vain.err == WEFT_ECLOSED);
	weft_scope_free(scope);
	for (size_t i = 0; i < 3; i++)
		weft_watch_sub_free(changed[i].sub);
	weft_watch_sub_free(wanting.sub);
	weft_watch_sub_free(vain.sub);
	weft_watch_unref(w);
	return WEFT_OK;
}

START_TEST(watch_wakes_all_who_wait_for_a_change_or_a_value)
{
	ck_assert_int_eq(crew_main(1, waiting, &_i), WEFT_OK);
}
END_TEST

static weft_err cancelled(void *arg)
{
	struct waiter first = { 0 }, second = { 0 }, staying = { 0 };
	weft_watch *w = watch_of(1, false);
	weft_scope *scope, *doom;

	(void)arg;
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_create(&doom), WEFT_OK);
	start(doom, await_change, &first, w);
	start(scope, await_change, &staying, w);
	weft_scope_cancel(doom);
	crew_settle();
	ck_assert(first.returned && first.err == WEFT_ECANCELED);
	ck_assert_uint_eq(atomic_load(&w->waiters.count), 1);
	weft_scope_free(doom);
	/* now woken and cancelled in one moment */
	ck_assert_int_eq(weft_scope_create(&doom), WEFT_OK);
	start(doom, await_change, &second, w);
	send_ok(w, 2);
	weft_scope_cancel(doom);
	crew_settle();
	ck_assert(second.returned && second.err == WEFT_OK);
	ck_assert(staying.returned && staying.err == WEFT_OK);
	weft_scope_free(doom);
	weft_scope_free(scope);
	weft_watch_sub_free(first.sub);
	weft_watch_sub_free(second.sub);
	weft_watch_sub_free(staying.sub);
	weft_watch_unref(w);
	return WEFT_OK;
}

/* spec: failure 1 */
START_TEST(watch_cancelled_receiver_takes_no_wake_with_it)
{
	ck_assert_int_eq(crew_main(1, cancelled, NULL), WEFT_OK);
}
END_TEST

static weft_err free_soon(void *arg)
{
	(void)weft_yield();
	weft_watch_sub_free(arg);
	return WEFT_OK;
}

static weft_err unwatched(void *arg)
{
	weft_watch *w = watch_of(1, false);
	weft_scope *scope;

	(void)arg;
	ck_assert_int_eq(weft_watch_wait_unwatched(w, WEFT_NOW), WEFT_OK);
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(weft_scope_spawn(scope, "free", free_soon, sub_of(w)), WEFT_OK);
	ck_assert_int_eq(weft_watch_wait_unwatched(w, WEFT_NOW), WEFT_ETIMEDOUT);
	ck_assert_int_eq(weft_watch_wait_unwatched(w, WEFT_FOREVER), WEFT_OK);
	ck_assert_uint_eq(weft_watch_sub_count(w), 0);
	weft_scope_free(scope);
	weft_watch_unref(w);
	return WEFT_OK;
}

START_TEST(watch_tells_when_nobody_watches)
{
	ck_assert_int_eq(crew_main(1, unwatched, NULL), WEFT_OK);
}
END_TEST

static void yields(void *value, void *arg)
{
	(void)value;
	(void)arg;
	(void)weft_yield();
}

static weft_err modify_yields(void *arg)
{
	return weft_watch_modify(arg, yields, NULL);
}

START_TEST(watch_modify_that_yields_is_a_bug_that_is_found)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		(void)!freopen("/dev/null", "w", stderr);
		(void)!crew_main(1, modify_yields, watch_of(1, false));
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
}
END_TEST

/* --- counted values ------------------------------------------------------------------------- */

static const weft_watch_options thing_options = { true, thing_ref, thing_unref, &things };

static void thing_next(void *value, void *arg)
{
	struct thing *next = thing_new((*(struct thing **)value)->value + 1);

	(void)arg;
	thing_unref(value, &things);
	*(struct thing **)value = next;
}

static bool thing_is(const void *value, void *arg)
{
	return (*(struct thing *const *)value)->value == *(uint64_t *)arg;
}

static bool unmodified(void *value, void *arg)
{
	(void)arg;
	thing_next(value, NULL);
	return false;
}

START_TEST(watch_counted_values_are_given_up_once)
{
	struct thing *t = thing_new(1), *got = NULL;
	uint64_t wanted = 4;
	weft_watch_sub *sub;
	weft_watch *w = NULL;

	ck_assert_int_eq(weft_watch_create(&w, sizeof(t), &t, &thing_options), WEFT_OK);
	sub = sub_of(w);
	weft_watch_get(w, &got);
	ck_assert(got == t && atomic_load(&t->refs) == 2);
	t = thing_new(2);
	ck_assert_int_eq(weft_watch_send(w, &t), WEFT_OK);
	reclaim_synchronize();
	ck_assert_int_eq(atomic_load(&got->refs), 1); /* ours alone */
	thing_unref(&got, &things);
	ck_assert_int_eq(atomic_load(&things), 1);
	t = thing_new(3);
	ck_assert_int_eq(weft_watch_replace(w, &t, &got), WEFT_OK);
	reclaim_synchronize();
	ck_assert(got->value == 2 && atomic_load(&got->refs) == 1);
	thing_unref(&got, &things);
	ck_assert_int_eq(weft_watch_modify(w, thing_next, NULL), WEFT_OK);
	ck_assert_int_eq(weft_watch_send_if_modified(w, unmodified, NULL, NULL), WEFT_OK);
	reclaim_synchronize();
	ck_assert_int_eq(atomic_load(&things), 1);
	ck_assert_int_eq(weft_watch_sub_wait_for(sub, thing_is, &wanted, &got, WEFT_NOW), WEFT_OK);
	ck_assert_int_eq(atomic_load(&got->refs), 2);
	wanted = 99;
	ck_assert_int_eq(
		weft_watch_sub_wait_for(sub, thing_is, &wanted, &t, WEFT_NOW), WEFT_ETIMEDOUT);
	ck_assert_int_eq(atomic_load(&got->refs), 2);
	weft_watch_close(w);
	t = thing_new(5);
	ck_assert_int_eq(weft_watch_send(w, &t), WEFT_ECLOSED);
	ck_assert_int_eq(weft_watch_modify(w, thing_next, NULL), WEFT_ECLOSED);
	thing_unref(&t, &things); /* still the sender's */
	weft_watch_sub_free(sub);
	weft_watch_unref(w);
	ck_assert_int_eq(atomic_load(&things), 1);
	thing_unref(&got, &things);
	ck_assert_int_eq(atomic_load(&things), 0);
}
END_TEST

struct looking {
	weft_watch *w;
	struct thing *kept;
};

static void change_while_looking(const void *value, void *arg)
{
	struct looking *it = arg;
	struct thing *seen = *(struct thing *const *)value, *next;

	for (uint64_t i = 2; i < 300; i++) {
		next = thing_new(i);
		ck_assert_int_eq(weft_watch_send(it->w, &next), WEFT_OK);
	}
	ck_assert(seen->value == 1 && seen->check == ~(uint64_t)1);
	ck_assert_ptr_eq(*(struct thing *const *)value, seen);
	it->kept = seen;
	thing_ref(&it->kept, &things);
}

START_TEST(watch_value_stays_while_it_is_looked_at)
{
	struct looking it = { NULL, NULL };
	struct thing *t = thing_new(1);

	ck_assert_int_eq(weft_watch_create(&it.w, sizeof(t), &t, &thing_options), WEFT_OK);
	ck_assert_int_eq(weft_watch_view(it.w, change_while_looking, &it), WEFT_OK);
	weft_watch_unref(it.w);
	reclaim_synchronize();
	ck_assert_int_eq(atomic_load(&things), 1);
	thing_unref(&it.kept, &things);
	ck_assert_int_eq(atomic_load(&things), 0);
}
END_TEST

static void watch_tests(TCase *tc)
{
	t_add(tc, watch_create_refuses_what_is_out_of_range);
	t_add_loop(tc, watch_survives_every_failing_allocation, 0, 2);
	t_add_loop(tc, watch_gives_the_latest_and_remembers_what_was_seen, 0, 2);
	t_add_loop(tc, watch_changes_in_every_way, 0, 2);
	t_add_loop(tc, watch_not_modified_is_as_it_was, 0, 2);
	t_add_loop(tc, watch_holds_values_of_every_size, 0, 2);
	t_add_loop(tc, watch_versions_may_overflow, 0, 2);
	t_add_loop(tc, watch_closed_tells_of_the_last_change_first, 0, 2);
	t_add(tc, watch_closes_when_the_last_counted_sender_goes);
	t_add(tc, watch_views_boxed_values_in_place);
	t_add_loop(tc, watch_wakes_all_who_wait_for_a_change_or_a_value, 0, 2);
	t_add(tc, watch_cancelled_receiver_takes_no_wake_with_it);
	t_add(tc, watch_tells_when_nobody_watches);
	t_add(tc, watch_modify_that_yields_is_a_bug_that_is_found);
	t_add(tc, watch_counted_values_are_given_up_once);
	t_add(tc, watch_value_stays_while_it_is_looked_at);
}
T_SUITE("watch", watch_tests)
