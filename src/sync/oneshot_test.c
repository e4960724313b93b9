/* SPDX-License-Identifier: MIT */
#include "support/crew.h"
#include "support/t.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

static weft_oneshot *oneshot_of(size_t size)
{
	weft_oneshot *o = NULL;

	ck_assert_int_eq(weft_oneshot_create(&o, size), WEFT_OK);
	return o;
}

START_TEST(oneshot_gives_its_value_once)
{
	weft_oneshot *o = oneshot_of(8);
	uint64_t in = 3, out = 9;

	ck_assert_int_eq(weft_oneshot_recv(o, &out, WEFT_NOW), WEFT_ETIMEDOUT);
	ck_assert_int_eq(weft_oneshot_recv(o, &out, weft_after_ms(1)), WEFT_ETIMEDOUT);
	ck_assert_int_eq(weft_oneshot_send(o, &in), WEFT_OK);
	ck_assert_int_eq(weft_oneshot_send(o, &in), WEFT_EINVAL);
	ck_assert_uint_eq(out, 9);
	ck_assert_int_eq(weft_oneshot_recv(o, &out, WEFT_NOW), WEFT_OK);
	ck_assert_uint_eq(out, 3);
	ck_assert_int_eq(weft_oneshot_recv(o, &out, WEFT_FOREVER), WEFT_ECLOSED);
	ck_assert_int_eq(weft_oneshot_wait_closed(o, WEFT_NOW), WEFT_ETIMEDOUT);
	weft_oneshot_close_receiver(o);
	ck_assert_int_eq(weft_oneshot_wait_closed(o, WEFT_FOREVER), WEFT_OK);
	weft_oneshot_close_sender(o);
	weft_oneshot_close_sender(NULL);
	weft_oneshot_close_receiver(NULL);
}
END_TEST

START_TEST(oneshot_value_outlives_its_sender)
{
	weft_oneshot *o = oneshot_of(8);
	uint64_t in = 3, out = 0;

	ck_assert_int_eq(weft_oneshot_send(o, &in), WEFT_OK);
	weft_oneshot_close_sender(o);
	ck_assert_int_eq(weft_oneshot_recv(o, &out, WEFT_FOREVER), WEFT_OK);
	ck_assert_uint_eq(out, 3);
	weft_oneshot_close_receiver(o);
}
END_TEST

START_TEST(oneshot_says_when_the_other_end_has_gone)
{
	weft_oneshot *o = oneshot_of(0);

	weft_oneshot_close_sender(o);
	ck_assert_int_eq(weft_oneshot_recv(o, NULL, WEFT_FOREVER), WEFT_ECLOSED);
	weft_oneshot_close_receiver(o);
	o = oneshot_of(0);
	weft_oneshot_close_receiver(o);
	ck_assert_int_eq(weft_oneshot_send(o, NULL), WEFT_ECLOSED);
	weft_oneshot_close_sender(o);
}
END_TEST

START_TEST(oneshot_shut_refuses_what_was_not_sent_and_keeps_what_was)
{
	weft_oneshot *o = oneshot_of(8);
	uint64_t in = 3, out = 9;

	ck_assert_int_eq(weft_oneshot_try_recv(o, &out), WEFT_EAGAIN);
	ck_assert(!weft_oneshot_is_closed(o));
	ck_assert_int_eq(weft_oneshot_send(o, &in), WEFT_OK);
	weft_oneshot_shut(o);
	weft_oneshot_shut(o);
	ck_assert(weft_oneshot_is_closed(o));
	ck_assert_int_eq(weft_oneshot_wait_closed(o, WEFT_NOW), WEFT_OK);
	ck_assert_int_eq(weft_oneshot_try_recv(o, &out), WEFT_OK);
	ck_assert_uint_eq(out, 3);
	ck_assert_int_eq(weft_oneshot_try_recv(o, &out), WEFT_ECLOSED);
	weft_oneshot_close_receiver(o);
	weft_oneshot_close_sender(o);

	o = oneshot_of(8);
	weft_oneshot_shut(o);
	ck_assert_int_eq(weft_oneshot_send(o, &in), WEFT_ECLOSED);
	ck_assert_int_eq(weft_oneshot_recv(o, &out, WEFT_FOREVER), WEFT_ECLOSED);
	weft_oneshot_close_sender(o);
	weft_oneshot_close_receiver(o);
}
END_TEST

START_TEST(oneshot_create_fails_cleanly)
{
	weft_oneshot *o = NULL;

	ck_assert_int_eq(weft_oneshot_create(&o, WEFT_ONESHOT_SIZE_MAX + 1), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "size 4097"));
	T_EACH_FAILING_MALLOC(n) {
		weft_err err = weft_oneshot_create(&o, 8);

		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		if (err == WEFT_OK) {
			weft_oneshot_close_sender(o);
			weft_oneshot_close_receiver(o);
		}
	}
}
END_TEST

struct wait {
	weft_oneshot *o;
	uint64_t value;
	weft_err err;
	bool returned;
};

static weft_err recv_body(void *arg)
{
	struct wait *w = arg;

	w->err = weft_oneshot_recv(w->o, &w->value, WEFT_FOREVER);
	w->returned = true;
	return WEFT_OK;
}

static weft_err cancelled_receiver(void *arg)
{
	struct wait w = { oneshot_of(8), 4, WEFT_EPROTO, false };
	weft_scope *scope;
	uint64_t value = 7;

	(void)arg;
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(scope, "recv", recv_body, &w), WEFT_OK);
	crew_settle();
	ck_assert(!w.returned);
	weft_scope_cancel(scope);
	crew_settle();
	ck_assert(w.returned && w.err == WEFT_ECANCELED && w.value == 4);
	weft_scope_free(scope);
	/* nothing is lost by it */
	ck_assert_int_eq(weft_oneshot_send(w.o, &value), WEFT_OK);
	ck_assert_int_eq(weft_oneshot_recv(w.o, &w.value, WEFT_FOREVER), WEFT_OK);
	ck_assert_uint_eq(w.value, 7);
	weft_oneshot_close_sender(w.o);
	weft_oneshot_close_receiver(w.o);
	return WEFT_OK;
}

START_TEST(oneshot_recv_is_a_cancellation_point)
{
	ck_assert_int_eq(crew_main(1, cancelled_receiver, NULL), WEFT_OK);
}
END_TEST

/* --- races --------------------------------------------------------------------------------- */

enum { COUNT = 1500 };

struct lane {
	weft_oneshot *shots[COUNT];
	_Atomic uint8_t sent[COUNT], received[COUNT];
	uint64_t seed;
};

static weft_err send_all(void *arg)
{
	struct lane *lane = arg;
	uint64_t state = lane->seed;

	for (uint64_t i = 0; i < COUNT; i++) {
		if (t_random(&state) % 8 == 0)
			(void)weft_yield();
		if (t_random(&state) % 4 != 0) {
			weft_err err = weft_oneshot_send(lane->shots[i], &i);

			T_OUGHT(err == WEFT_OK || err == WEFT_ECLOSED);
			atomic_store(&lane->sent[i], err == WEFT_OK);
		}
		if (t_random(&state) % 4 == 0)
			(void)!weft_oneshot_wait_closed(
				lane->shots[i], weft_after_ns((int64_t)(t_random(&state) % 9000)));
		weft_oneshot_close_sender(lane->shots[i]);
	}
	return WEFT_OK;
}

static weft_err recv_all(void *arg)
{
	struct lane *lane = arg;
	uint64_t state = lane->seed + 1;

	for (uint64_t i = 0; i < COUNT; i++) {
		bool patient = t_random(&state) % 2;
		uint64_t value = UINT64_MAX;
		weft_err err = weft_oneshot_recv(lane->shots[i], &value,
			patient ? WEFT_FOREVER : weft_after_ns((int64_t)(t_random(&state) % 9000)));

		T_OUGHT(err == WEFT_OK || err == WEFT_ECLOSED ||
			(!patient && err == WEFT_ETIMEDOUT));
		T_OUGHT(value == (err == WEFT_OK ? i : UINT64_MAX));
		/* what was sent before it is still to be had: so nothing sent is ever lost */
		if (err == WEFT_ETIMEDOUT && t_random(&state) % 2) {
			weft_oneshot_shut(lane->shots[i]);
			err = weft_oneshot_try_recv(lane->shots[i], &value);
			T_OUGHT(err == WEFT_OK || err == WEFT_ECLOSED);
			T_OUGHT(value == (err == WEFT_OK ? i : UINT64_MAX));
		}
		/* 1: received; 2: not sent; 3: gave up */
		atomic_store(&lane->received[i], err == WEFT_OK ? 1 : err == WEFT_ECLOSED ? 2 : 3);
		weft_oneshot_close_receiver(lane->shots[i]);
	}
	return WEFT_OK;
}

START_TEST(oneshot_ends_race_and_agree)
{
	static struct lane lane;
	struct crew_member members[] = { { send_all, &lane }, { recv_all, &lane } };
	int64_t live = t_malloc_live();

	lane.seed = t_seed();
	for (size_t i = 0; i < COUNT; i++)
		lane.shots[i] = oneshot_of(8);
	crew_run((enum crew_mode)_i, lane.seed, members, 2);
	for (size_t i = 0; i < COUNT; i++) {
		ck_assert(lane.received[i] != 1 || lane.sent[i]);
		ck_assert(lane.received[i] != 2 || !lane.sent[i]);
	}
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

static void oneshot_tests(TCase *tc)
{
	t_add(tc, oneshot_gives_its_value_once);
	t_add(tc, oneshot_value_outlives_its_sender);
	t_add(tc, oneshot_says_when_the_other_end_has_gone);
	t_add(tc, oneshot_shut_refuses_what_was_not_sent_and_keeps_what_was);
	t_add(tc, oneshot_create_fails_cleanly);
	t_add(tc, oneshot_recv_is_a_cancellation_point);
	t_add_loop(tc, oneshot_ends_race_and_agree, 0, CREW_MODES);
}
T_SUITE("oneshot", oneshot_tests)
