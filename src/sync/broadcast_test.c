/* SPDX-License-Identifier: MIT */
/* What one broadcast does, step by step. Races: broadcast_race_test.c. */
#include "support/counted.h"
#include "support/crew.h"
#include "support/t.h"
#include "sync/broadcast.h"

#include <stdatomic.h>
#include <string.h>

static weft_broadcast *broadcast_of(size_t size, size_t capacity)
{
	weft_broadcast *b = NULL;

	ck_assert_int_eq(weft_broadcast_create(&b, size, capacity, NULL), WEFT_OK);
	return b;
}

static weft_broadcast_sub *sub_of(weft_broadcast *b)
{
	weft_broadcast_sub *sub = NULL;

	ck_assert_int_eq(weft_broadcast_sub_create(&sub, b), WEFT_OK);
	return sub;
}

static void send_ok(weft_broadcast *b, uint64_t value)
{
	ck_assert_int_eq(weft_broadcast_send(b, &value), WEFT_OK);
}

static uint64_t recv_ok(weft_broadcast_sub *sub)
{
	uint64_t value = 0;

	ck_assert_int_eq(weft_broadcast_sub_try_recv(sub, &value), WEFT_OK);
	return value;
}

static void recv_nothing(weft_broadcast_sub *sub, weft_err expected)
{
	uint64_t value = 7;

	ck_assert_int_eq(weft_broadcast_sub_try_recv(sub, &value), expected);
	ck_assert_uint_eq(value, 7);
}

/* --- one caller ------------------------------------------------------------------------ */

static void refer(void *message, void *user)
{
	(void)message;
	++*(int *)user;
}

START_TEST(broadcast_create_refuses_what_is_out_of_range)
{
	weft_broadcast *b = NULL;
	weft_broadcast_options options = WEFT_BROADCAST_OPTIONS_DEFAULT;

	ck_assert_int_eq(weft_broadcast_create(&b, WEFT_BROADCAST_MESSAGE_SIZE_MAX + 1, 1, NULL),
		WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "message_size 4097"));
	ck_assert_int_eq(weft_broadcast_create(&b, 8, 0, NULL), WEFT_EINVAL);
	ck_assert_int_eq(
		weft_broadcast_create(&b, 8, WEFT_BROADCAST_CAPACITY_MAX + 1, NULL), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "capacity"));
	options.ref = refer;
	ck_assert_int_eq(weft_broadcast_create(&b, 8, 1, &options), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "both or neither"));
	options.unref = refer;
	ck_assert_int_eq(
		weft_broadcast_create(&b, WEFT_BROADCAST_COUNTED_SIZE_MAX + 1, 1, &options),
		WEFT_EINVAL);
	ck_assert_ptr_null(b);
	weft_broadcast_unref(NULL);
	weft_broadcast_sender_unref(NULL);
	weft_broadcast_sub_free(NULL);
}
END_TEST

START_TEST(broadcast_survives_every_failing_allocation)
{
	T_EACH_FAILING_MALLOC(n) {
		weft_broadcast *b = NULL;
		weft_broadcast_sub *sub = NULL, *copy = NULL;
		weft_err err = weft_broadcast_create(&b, 8, 4, NULL);

		if (err == WEFT_OK)
			err = weft_broadcast_sub_create(&sub, b);
		if (err == WEFT_OK)
			err = weft_broadcast_sub_copy(&copy, sub);
		if (err == WEFT_OK) {
			send_ok(b, 1);
			ck_assert_uint_eq(recv_ok(sub) + recv_ok(copy), 2);
		}
		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		weft_broadcast_sub_free(copy);
		weft_broadcast_sub_free(sub);
		weft_broadcast_unref(b);
	}
}
END_TEST

START_TEST(broadcast_every_subscriber_gets_what_was_sent_after_it_subscribed)
{
	weft_broadcast *b = broadcast_of(8, 8);
	weft_broadcast_sub *subs[4];

	for (uint64_t i = 0; i < 4; i++) {
		subs[i] = sub_of(b);
		ck_assert_uint_eq(weft_broadcast_sub_count(b), i + 1);
		ck_assert_ptr_eq(weft_broadcast_sub_source(subs[i]), b);
		send_ok(b, i);
	}
	for (uint64_t i = 0; i < 4; i++) {
		ck_assert_uint_eq(weft_broadcast_sub_len(subs[i]), 4 - i);
		for (uint64_t value = i; value < 4; value++)
			ck_assert_uint_eq(recv_ok(subs[i]), value);
		recv_nothing(subs[i], WEFT_EAGAIN);
		ck_assert_uint_eq(weft_broadcast_sub_len(subs[i]), 0);
	}
	for (uint64_t i = 0; i < 4; i++)
		weft_broadcast_sub_free(subs[i]);
	ck_assert_uint_eq(weft_broadcast_sub_count(b), 0);
	send_ok(b, 9); /* to nobody */
	weft_broadcast_unref(b);
}
END_TEST

START_TEST(broadcast_rounds_its_capacity_up_to_a_power_of_two)
{
	static const size_t asked[] = { 1, 2, 3, 4, 5, 8, 9, 1000 };
	static const size_t given[] = { 1, 2, 4, 4, 8, 8, 16, 1024 };

	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		weft_broadcast *b = broadcast_of(0, asked[i]);

		ck_assert_uint_eq(weft_broadcast_capacity(b), given[i]);
		weft_broadcast_unref(b);
	}
}
END_TEST

START_TEST(broadcast_carries_messages_of_every_size)
{
	static const size_t sizes[] = { 0, 1, 3, 7, 8, 9, 15, 16, 17, 24, 100, 4095, 4096 };
	unsigned char in[4096], out[4097];

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		weft_broadcast *b = broadcast_of(sizes[s], 4);
		weft_broadcast_sub *sub = sub_of(b);

		for (int i = 0; i < 10; i++) {
			memset(in, i + 1, sizeof(in));
			memset(out, 0xee, sizeof(out));
			ck_assert_int_eq(weft_broadcast_send(b, sizes[s] ? in : NULL), WEFT_OK);
			ck_assert_int_eq(
				weft_broadcast_sub_try_recv(sub, sizes[s] ? out : NULL), WEFT_OK);
			ck_assert_mem_eq(out, in, sizes[s]);
			ck_assert_uint_eq(out[sizes[s]], 0xee);
		}
		weft_broadcast_sub_free(sub);
		weft_broadcast_unref(b);
	}
}
END_TEST

/* Sends, receives and lags through several turns of the ring from a first position on. */
static void lag_arithmetic(size_t capacity, uint64_t start)
{
	weft_broadcast *b = NULL;
	weft_broadcast_sub *sub, *late;
	uint64_t sent = 0, next = 0, value;

	ck_assert_int_eq(broadcast_create_at(&b, 8, capacity, NULL, start), WEFT_OK);
	sub = sub_of(b);
	ck_assert_uint_eq(weft_broadcast_sub_missed(sub), 0);
	for (uint64_t burst = 1; burst < 4 * capacity + 3; burst++) {
		for (uint64_t i = 0; i < burst; i++)
			send_ok(b, sent++);
		ck_assert_uint_eq(weft_broadcast_sub_len(sub), sent - next);
		if (sent - next > capacity) {
			ck_assert_int_eq(weft_broadcast_sub_try_recv(sub, &value), WEFT_ELAGGED);
			ck_assert_uint_eq(weft_broadcast_sub_missed(sub), sent - next - capacity);
			next = sent - capacity;
			ck_assert_uint_eq(weft_broadcast_sub_len(sub), capacity);
		}
		/* all but one, so that the phase differs */
		while (next + 1 < sent)
			ck_assert_uint_eq(recv_ok(sub), next++);
	}
	late = sub_of(b);
	recv_nothing(late, WEFT_EAGAIN);
	ck_assert_uint_eq(recv_ok(sub), next);
	recv_nothing(sub, WEFT_EAGAIN);
	weft_broadcast_close(b);
	recv_nothing(sub, WEFT_ECLOSED);
	weft_broadcast_sub_free(late);
	weft_broadcast_sub_free(sub);
	weft_broadcast_unref(b);
}

START_TEST(broadcast_slow_reader_is_told_how_many_it_missed_and_resumes_at_the_oldest)
{
	for (size_t capacity = 1; capacity <= 16; capacity *= 2)
		lag_arithmetic(capacity, 0);
}
END_TEST

START_TEST(broadcast_lags_alike_where_positions_overflow)
{
	for (size_t capacity = 1; capacity <= 16; capacity *= 2) {
		for (uint64_t before = 0; before < 3 * capacity; before++) {
			lag_arithmetic(capacity, 0 - 2 * before);
			lag_arithmetic(capacity, INT64_MAX - 1 - 2 * before);
		}
	}
}
END_TEST

START_TEST(broadcast_exactly_its_capacity_is_no_lag)
{
	weft_broadcast *b = broadcast_of(8, 4);
	weft_broadcast_sub *sub = sub_of(b);

	for (uint64_t i = 0; i < 4; i++)
		send_ok(b, i);
	for (uint64_t i = 0; i < 4; i++)
		ck_assert_uint_eq(recv_ok(sub), i);
	weft_broadcast_sub_free(sub);
	weft_broadcast_unref(b);
}
END_TEST

START_TEST(broadcast_copies_and_resubscribes)
{
	weft_broadcast *b = broadcast_of(8, 8);
	weft_broadcast_sub *sub = sub_of(b), *copy = NULL;

	for (uint64_t i = 0; i < 5; i++)
		send_ok(b, i);
	ck_assert_uint_eq(recv_ok(sub), 0);
	ck_assert_int_eq(weft_broadcast_sub_copy(&copy, sub), WEFT_OK);
	ck_assert_uint_eq(weft_broadcast_sub_count(b), 2);
	ck_assert_uint_eq(weft_broadcast_sub_resubscribe(sub), 4);
	recv_nothing(sub, WEFT_EAGAIN);
	send_ok(b, 5);
	ck_assert_uint_eq(recv_ok(sub), 5);
	for (uint64_t i = 1; i < 6; i++)
		ck_assert_uint_eq(recv_ok(copy), i);
	/* also out of a lag, which it then is not told of */
	for (uint64_t i = 0; i < 20; i++)
		send_ok(b, i);
	ck_assert_uint_eq(weft_broadcast_sub_resubscribe(copy), 20);
	recv_nothing(copy, WEFT_EAGAIN);
	ck_assert_uint_eq(weft_broadcast_sub_missed(copy), 0);
	weft_broadcast_sub_free(copy);
	weft_broadcast_sub_free(sub);
	weft_broadcast_unref(b);
}
END_TEST

START_TEST(broadcast_sends_many_at_once)
{
	weft_broadcast *b = broadcast_of(8, 4);
	weft_broadcast_sub *sub = sub_of(b);
	uint64_t values[11], value;

	for (uint64_t i = 0; i < 11; i++)
		values[i] = i;
	ck_assert_int_eq(weft_broadcast_send_many(b, NULL, 0), WEFT_OK);
	recv_nothing(sub, WEFT_EAGAIN);
	ck_assert_int_eq(weft_broadcast_send_many(b, values, 3), WEFT_OK);
	for (uint64_t i = 0; i < 3; i++)
		ck_assert_uint_eq(recv_ok(sub), i);
	/* more than are kept */
	ck_assert_int_eq(weft_broadcast_send_many(b, values, 11), WEFT_OK);
	ck_assert_int_eq(weft_broadcast_sub_try_recv(sub, &value), WEFT_ELAGGED);
	ck_assert_uint_eq(weft_broadcast_sub_missed(sub), 7);
	for (uint64_t i = 7; i < 11; i++)
		ck_assert_uint_eq(recv_ok(sub), i);
	weft_broadcast_close(b);
	ck_assert_int_eq(weft_broadcast_send_many(b, values, 2), WEFT_ECLOSED);
	recv_nothing(sub, WEFT_ECLOSED);
	weft_broadcast_sub_free(sub);
	weft_broadcast_unref(b);
}
END_TEST

START_TEST(broadcast_closed_is_drained_and_refuses)
{
	weft_broadcast *b = broadcast_of(8, 4);
	weft_broadcast_sub *sub = sub_of(b), *late;
	uint64_t value = 7;

	send_ok(b, 1);
	send_ok(b, 2);
	ck_assert(!weft_broadcast_is_closed(b));
	weft_broadcast_close(b);
	weft_broadcast_close(b);
	ck_assert(weft_broadcast_is_closed(b));
	ck_assert_int_eq(weft_broadcast_send(b, &value), WEFT_ECLOSED);
	ck_assert_uint_eq(weft_broadcast_sub_len(sub), 2);
	ck_assert_uint_eq(recv_ok(sub), 1);
	ck_assert_uint_eq(recv_ok(sub), 2);
	recv_nothing(sub, WEFT_ECLOSED);
	ck_assert_int_eq(weft_broadcast_sub_recv(sub, &value, WEFT_FOREVER), WEFT_ECLOSED);
	late = sub_of(b);
	recv_nothing(late, WEFT_ECLOSED);
	weft_broadcast_unref(b); /* the subscribers have their own */
	ck_assert_uint_eq(weft_broadcast_sub_len(sub), 0);
	weft_broadcast_sub_free(late);
	weft_broadcast_sub_free(sub);
}
END_TEST

START_TEST(broadcast_closes_when_the_last_counted_sender_goes)
{
	weft_broadcast *b = broadcast_of(8, 4);

	ck_assert_ptr_null(weft_broadcast_sender_try_ref(b));
	ck_assert_ptr_eq(weft_broadcast_sender_ref(b), b);
	ck_assert_ptr_eq(weft_broadcast_sender_try_ref(b), b);
	ck_assert_uint_eq(weft_broadcast_sender_count(b), 2);
	weft_broadcast_sender_unref(b);
	ck_assert(!weft_broadcast_is_closed(b));
	send_ok(b, 1);
	weft_broadcast_sender_unref(b);
	ck_assert(weft_broadcast_is_closed(b));
	ck_assert_ptr_null(weft_broadcast_sender_try_ref(b));
	ck_assert_uint_eq(weft_broadcast_sender_count(b), 0);
	/* a late one changes nothing */
	weft_broadcast_sender_unref(weft_broadcast_sender_ref(b));
	ck_assert(weft_broadcast_is_closed(b));
	weft_broadcast_unref(weft_broadcast_ref(b));
	weft_broadcast_unref(b);
}
END_TEST

/* --- waiting ---------------------------------------------------------------------------- */

struct waiter {
	weft_broadcast_sub *sub;
	uint64_t value;
	weft_err err;
	bool returned;
};

static weft_err recv_one(void *arg)
{
	struct waiter *w = arg;

	w->err = weft_broadcast_sub_recv(w->sub, &w->value, WEFT_FOREVER);
	w->returned = true;
	return WEFT_OK;
}

static void waiters_start(
	weft_scope *scope, struct waiter *waiters, size_t count, weft_broadcast *b)
{
	for (size_t i = 0; i < count; i++) {
		waiters[i] = (struct waiter){ sub_of(b), 0, WEFT_OK, false };
		ck_assert_int_eq(weft_scope_spawn(scope, "waiter", recv_one, &waiters[i]), WEFT_OK);
	}
	crew_settle();
	for (size_t i = 0; i < count; i++)
		ck_assert(!waiters[i].returned);
}

static void waiters_end(struct waiter *waiters, size_t count)
{
	for (size_t i = 0; i < count; i++)
		weft_broadcast_sub_free(waiters[i].sub);
}

static weft_err all_are_woken(void *arg)
{
	enum { WAITERS = 150 };
	static struct waiter waiters[WAITERS];
	weft_broadcast *b = broadcast_of(8, 4);
	weft_worker_stats before, after;
	weft_scope *scope;
	uint64_t values[] = { 42, 43 };

	(void)arg;
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	waiters_start(scope, waiters, WAITERS, b);
	ck_assert_int_eq(weft_worker_stats_get(0, &before), WEFT_OK);
	ck_assert_int_eq(weft_broadcast_send_many(b, values, 2), WEFT_OK);
	ck_assert_uint_eq(atomic_load(&b->waiters.count), 0);
	ck_assert_int_eq(weft_worker_stats_get(0, &after), WEFT_OK);
	/* each once, and without a system call */
	ck_assert_uint_eq(after.wakes_local - before.wakes_local, WAITERS);
	ck_assert_uint_eq(after.wakes_syscall - before.wakes_syscall, 0);
	ck_assert_int_eq(weft_scope_wait(scope, WEFT_FOREVER), WEFT_OK);
	for (size_t i = 0; i < WAITERS; i++)
		ck_assert(waiters[i].err == WEFT_OK && waiters[i].value == 42);
	weft_scope_free(scope);
	waiters_end(waiters, WAITERS);
	weft_broadcast_unref(b);
	return WEFT_OK;
}

START_TEST(broadcast_send_wakes_everyone_once)
{
	ck_assert_int_eq(crew_main(1, all_are_woken, NULL), WEFT_OK);
}
END_TEST

static weft_err close_wakes(void *arg)
{
	struct waiter waiters[3];
	weft_broadcast *b = broadcast_of(8, 4);
	weft_scope *scope;

	(void)arg;
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	waiters_start(scope, waiters, 3, b);
	weft_broadcast_sender_unref(weft_broadcast_sender_ref(b));
	crew_settle();
	for (size_t i = 0; i < 3; i++)
		ck_assert(waiters[i].returned && waiters[i].err == WEFT_ECLOSED);
	weft_scope_free(scope);
	waiters_end(waiters, 3);
	weft_broadcast_unref(b);
	return WEFT_OK;
}

START_TEST(broadcast_close_wakes_everyone)
{
	ck_assert_int_eq(crew_main(1, close_wakes, NULL), WEFT_OK);
}
END_TEST

/* A cancelled one leaves the others their wakes; one that was woken has its message. */
static weft_err cancelled(void *arg)
{
	struct waiter waiters[3], doomed[2];
	weft_broadcast *b = broadcast_of(8, 4);
	weft_scope *scope, *doom;

	(void)arg;
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_create(&doom), WEFT_OK);
	waiters_start(doom, &doomed[0], 1, b);
	waiters_start(scope, waiters, 3, b);
	weft_scope_cancel(doom);
	crew_settle();
	ck_assert(doomed[0].returned && doomed[0].err == WEFT_ECANCELED);
	ck_assert_uint_eq(atomic_load(&b->waiters.count), 3);
	weft_scope_free(doom);
	/* now woken and cancelled in one moment */
	ck_assert_int_eq(weft_scope_create(&doom), WEFT_OK);
	waiters_start(doom, &doomed[1], 1, b);
	send_ok(b, 42);
	weft_scope_cancel(doom);
	crew_settle();
	ck_assert(doomed[1].returned && doomed[1].err == WEFT_OK && doomed[1].value == 42);
	for (size_t i = 0; i < 3; i++)
		ck_assert(waiters[i].returned && waiters[i].err == WEFT_OK);
	weft_scope_free(doom);
	weft_scope_free(scope);
	waiters_end(waiters, 3);
	waiters_end(doomed, 2);
	weft_broadcast_unref(b);
	return WEFT_OK;
}

/* spec: failure 1 */
START_TEST(broadcast_cancelled_receiver_takes_no_wake_with_it)
{
	ck_assert_int_eq(crew_main(1, cancelled, NULL), WEFT_OK);
}
END_TEST

START_TEST(broadcast_recv_times_out)
{
	weft_broadcast *b = broadcast_of(8, 4);
	weft_broadcast_sub *sub = sub_of(b);
	uint64_t value = 7;

	ck_assert_int_eq(weft_broadcast_sub_recv(sub, &value, WEFT_NOW), WEFT_ETIMEDOUT);
	ck_assert_int_eq(weft_broadcast_sub_recv(sub, &value, weft_after_ms(2)), WEFT_ETIMEDOUT);
	ck_assert_uint_eq(value, 7);
	ck_assert_uint_eq(atomic_load(&b->waiters.count), 0);
	send_ok(b, 1);
	ck_assert_int_eq(weft_broadcast_sub_recv(sub, &value, WEFT_NOW), WEFT_OK);
	weft_broadcast_sub_free(sub);
	weft_broadcast_unref(b);
}
END_TEST

/* --- counted messages --------------------------------------------------------------------- */

static const weft_broadcast_options thing_options = { thing_ref, thing_unref, &things };

START_TEST(broadcast_refers_to_what_is_received_and_gives_up_what_is_overwritten)
{
	weft_broadcast *b = NULL;
	weft_broadcast_sub *sub;
	struct thing *t, *refused;

	for (uint64_t start = 0; start < 3; start++) {
		ck_assert_int_eq(broadcast_create_at(
					 &b, sizeof(t), 4, &thing_options, (uint64_t)0 - 4 * start),
			WEFT_OK);
		sub = sub_of(b);
		for (uint64_t i = 0; i < 10; i++) {
			t = thing_new(i);
			ck_assert_int_eq(weft_broadcast_send(b, &t), WEFT_OK);
			ck_assert_int_eq(atomic_load(&things), i < 4 ? (int)i + 1 : 4);
		}
		ck_assert_int_eq(weft_broadcast_sub_try_recv(sub, &t), WEFT_ELAGGED);
		for (uint64_t i = 6; i < 10; i++) {
			ck_assert_int_eq(weft_broadcast_sub_try_recv(sub, &t), WEFT_OK);
			ck_assert_uint_eq(t->value, i);
			ck_assert_int_eq(atomic_load(&t->refs), 2);
			if (i != 9)
				thing_unref(&t, &things);
		}
		/* refused: still the sender's */
		weft_broadcast_close(b);
		refused = thing_new(99);
		ck_assert_int_eq(weft_broadcast_send(b, &refused), WEFT_ECLOSED);
		ck_assert_int_eq(atomic_load(&refused->refs), 1);
		thing_unref(&refused, &things);
		weft_broadcast_unref(b);
		ck_assert_int_eq(weft_broadcast_sub_try_recv(sub, &refused), WEFT_ECLOSED);
		weft_broadcast_sub_free(sub);
		ck_assert_int_eq(atomic_load(&things), 1);
		/* the one that was kept; its thing outlives the broadcast */
		ck_assert_uint_eq(t->value, 9);
		thing_unref(&t, &things);
		ck_assert_int_eq(atomic_load(&things), 0);
	}
}
END_TEST

START_TEST(broadcast_gives_up_what_a_ring_that_is_not_full_holds)
{
	weft_broadcast *b = NULL;
	struct thing *t;

	ck_assert_int_eq(weft_broadcast_create(&b, sizeof(t), 8, &thing_options), WEFT_OK);
	for (uint64_t i = 0; i < 3; i++) {
		t = thing_new(i);
		ck_assert_int_eq(weft_broadcast_send(b, &t), WEFT_OK);
	}
	weft_broadcast_unref(b);
	ck_assert_int_eq(atomic_load(&things), 0);
}
END_TEST

static void broadcast_tests(TCase *tc)
{
	t_add(tc, broadcast_create_refuses_what_is_out_of_range);
	t_add(tc, broadcast_survives_every_failing_allocation);
	t_add(tc, broadcast_every_subscriber_gets_what_was_sent_after_it_subscribed);
	t_add(tc, broadcast_rounds_its_capacity_up_to_a_power_of_two);
	t_add(tc, broadcast_carries_messages_of_every_size);
	t_add(tc, broadcast_slow_reader_is_told_how_many_it_missed_and_resumes_at_the_oldest);
	t_add(tc, broadcast_lags_alike_where_positions_overflow);
	t_add(tc, broadcast_exactly_its_capacity_is_no_lag);
	t_add(tc, broadcast_copies_and_resubscribes);
	t_add(tc, broadcast_sends_many_at_once);
	t_add(tc, broadcast_closed_is_drained_and_refuses);
	t_add(tc, broadcast_closes_when_the_last_counted_sender_goes);
	t_add(tc, broadcast_send_wakes_everyone_once);
	t_add(tc, broadcast_close_wakes_everyone);
	t_add(tc, broadcast_cancelled_receiver_takes_no_wake_with_it);
	t_add(tc, broadcast_recv_times_out);
	t_add(tc, broadcast_refers_to_what_is_received_and_gives_up_what_is_overwritten);
	t_add(tc, broadcast_gives_up_what_a_ring_that_is_not_full_holds);
}
T_SUITE("broadcast", broadcast_tests)
