/* SPDX-License-Identifier: MIT */
/* Permits, step by step. Races: chan_paths_test.c. */
#include "support/crew.h"
#include "support/t.h"
#include "sync/ring.h"

#include <pthread.h>
#include <string.h>

static void count_destroyed(void *message, void *user)
{
	(void)message;
	++*(uint32_t *)user;
}

static weft_chan *chan_of(size_t capacity, uint32_t *destroyed)
{
	weft_chan_options options = { count_destroyed, destroyed };
	weft_chan *chan = NULL;

	ck_assert_int_eq(
		weft_chan_create(&chan, 8, capacity, destroyed ? &options : NULL), WEFT_OK);
	return chan;
}

static weft_chan_permit permit_of(weft_chan *chan)
{
	weft_chan_permit permit = { NULL, NULL };

	ck_assert_int_eq(weft_chan_try_reserve(chan, &permit), WEFT_OK);
	ck_assert_ptr_eq(permit.chan, chan);
	return permit;
}

static void permit_use(weft_chan_permit *permit, uint64_t value)
{
	weft_chan_permit_send(permit, &value);
	ck_assert_ptr_null(permit->chan);
}

static void send_ok(weft_chan *chan, uint64_t value)
{
	ck_assert_int_eq(weft_chan_try_send(chan, &value), WEFT_OK);
}

static uint64_t recv_ok(weft_chan *chan)
{
	uint64_t value = 0;

	ck_assert_int_eq(weft_chan_try_recv(chan, &value), WEFT_OK);
	return value;
}

START_TEST(permit_takes_from_the_capacity_until_it_ends)
{
	static const size_t capacities[] = { 1, 2, 3, 4, 7, 64 };
	uint64_t value = 9;

	for (size_t c = 0; c < 6; c++) {
		size_t capacity = capacities[c];
		weft_chan *chan = chan_of(capacity, NULL);

		/* at each phase of the ring, with each number of permits */
		for (uint64_t turn = 0; turn < 300; turn++) {
			size_t out = turn % capacity + 1, got = 0;
			weft_chan_permit permits[64], none = { NULL, NULL };

			for (size_t i = 0; i < out; i++)
				permits[i] = permit_of(chan);
			for (uint64_t i = out; i < capacity; i++)
				send_ok(chan, i);
			ck_assert_uint_eq(weft_chan_len(chan), capacity - out);
			ck_assert(weft_chan_is_full(chan));
			ck_assert_int_eq(weft_chan_try_send(chan, &value), WEFT_EAGAIN);
			ck_assert_int_eq(weft_chan_send(chan, &value, WEFT_NOW), WEFT_ETIMEDOUT);
			ck_assert_int_eq(weft_chan_try_reserve(chan, &none), WEFT_EAGAIN);
			ck_assert_ptr_null(none.chan);
			for (size_t i = 0; i < out; i++) {
				if ((turn + i) % 3)
					permit_use(&permits[i], 1000 + i);
				else
					weft_chan_permit_release(&permits[i]);
				weft_chan_permit_release(&permits[i]);
			}
			for (uint64_t i = out; i < capacity; i++)
				ck_assert_uint_eq(recv_ok(chan), i);
			while (weft_chan_try_recv(chan, &value) == WEFT_OK)
				got += value >= 1000;
			for (size_t i = 0; i < out; i++)
				got += (turn + i) % 3 == 0;
			ck_assert_uint_eq(got, out);
			ck_assert(!weft_chan_is_full(chan));
		}
		weft_chan_unref(chan);
	}
}
END_TEST

START_TEST(permit_message_comes_behind_what_was_sent_meanwhile)
{
	weft_chan *chan = chan_of(_i ? WEFT_CHAN_UNBOUNDED : 4, NULL);
	weft_chan_permit first = permit_of(chan), second = permit_of(chan);

	send_ok(chan, 1);
	permit_use(&second, 2);
	send_ok(chan, 3);
	permit_use(&first, 4);
	for (uint64_t i = 1; i <= 4; i++)
		ck_assert_uint_eq(recv_ok(chan), i);
	weft_chan_unref(chan);
}
END_TEST

/* spec: failure 5. Room is counted, no slot is held: nobody waits for a permit. */
START_TEST(permit_unused_stalls_nobody)
{
	weft_chan *chan = chan_of(_i ? WEFT_CHAN_UNBOUNDED : 2, NULL);
	weft_chan_permit permit = permit_of(chan);

	for (uint64_t i = 0; i < 1000; i++) {
		send_ok(chan, i);
		ck_assert_uint_eq(recv_ok(chan), i);
	}
	permit_use(&permit, 7);
	ck_assert_uint_eq(recv_ok(chan), 7);
	weft_chan_unref(chan);
}
END_TEST

/* spec: failure 3. */
START_TEST(permit_sends_after_the_close_before_receivers_hear_of_it)
{
	weft_chan *chan = chan_of(_i ? WEFT_CHAN_UNBOUNDED : 2, NULL);
	weft_chan_permit first = permit_of(chan), second = permit_of(chan), none = { NULL, NULL };
	uint64_t value = 5;

	weft_chan_close(chan);
	ck_assert_int_eq(weft_chan_try_reserve(chan, &none), WEFT_ECLOSED);
	ck_assert_int_eq(weft_chan_reserve(chan, &none, WEFT_FOREVER), WEFT_ECLOSED);
	ck_assert_int_eq(weft_chan_try_send(chan, &value), WEFT_ECLOSED);
	ck_assert_int_eq(weft_chan_try_recv(chan, &value), WEFT_EAGAIN);
	permit_use(&first, 1);
	ck_assert_uint_eq(recv_ok(chan), 1);
	ck_assert_int_eq(weft_chan_try_recv(chan, &value), WEFT_EAGAIN);
	ck_assert_int_eq(weft_chan_recv(chan, &value, weft_after_ms(1)), WEFT_ETIMEDOUT);
	weft_chan_permit_release(&second);
	ck_assert_int_eq(weft_chan_try_recv(chan, &value), WEFT_ECLOSED);
	weft_chan_unref(chan);
}
END_TEST

START_TEST(permit_used_when_all_receivers_have_gone_destroys)
{
	uint32_t destroyed = 0;
	weft_chan *chan = chan_of(_i ? WEFT_CHAN_UNBOUNDED : 2, &destroyed);
	weft_chan_permit permit;

	weft_chan_receiver_ref(chan);
	permit = permit_of(chan);
	send_ok(chan, 1);
	weft_chan_receiver_unref(chan);
	ck_assert_uint_eq(destroyed, 1);
	permit_use(&permit, 2);
	ck_assert_uint_eq(destroyed, 2);
	weft_chan_unref(chan);
	ck_assert_uint_eq(destroyed, 2);
}
END_TEST

START_TEST(permit_refuses_a_rendezvous_and_has_a_bound)
{
	weft_chan *chan = chan_of(0, NULL);
	weft_chan_permit none = { NULL, NULL };
	static weft_chan_permit permits[WEFT_CHAN_PERMITS_MAX];

	ck_assert_int_eq(weft_chan_reserve(chan, &none, WEFT_FOREVER), WEFT_EINVAL);
	ck_assert_int_eq(weft_chan_try_reserve(chan, &none), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "rendezvous"));
	weft_chan_unref(chan);

	chan = chan_of(WEFT_CHAN_PERMITS_MAX + 5, NULL);
	for (size_t i = 0; i < WEFT_CHAN_PERMITS_MAX; i++)
		T_OUGHT(weft_chan_try_reserve(chan, &permits[i]) == WEFT_OK);
	ck_assert_int_eq(weft_chan_try_reserve(chan, &none), WEFT_ECAPACITY);
	ck_assert_int_eq(weft_chan_reserve(chan, &none, WEFT_FOREVER), WEFT_ECAPACITY);
	ck_assert_ptr_null(none.chan);
	for (uint64_t i = 0; i < 5; i++)
		send_ok(chan, i);
	ck_assert(weft_chan_is_full(chan));
	for (size_t i = 0; i < WEFT_CHAN_PERMITS_MAX; i++)
		weft_chan_permit_release(&permits[i]);
	ck_assert_uint_eq(weft_chan_len(chan), 5);
	weft_chan_unref(chan);
}
END_TEST

START_TEST(permit_of_an_unbounded_channel_has_its_memory)
{
	int64_t live = t_malloc_live();

	T_EACH_FAILING_MALLOC(n) {
		weft_chan_permit permits[100];
		size_t count = 0, used = 0;
		weft_chan *chan = NULL;
		uint64_t value;

		memset(permits, 0, sizeof(permits));
		if (weft_chan_create(&chan, 8, WEFT_CHAN_UNBOUNDED, NULL) == WEFT_OK) {
			for (size_t i = 0; i < 100; i++) {
				weft_err err = weft_chan_try_reserve(chan, &permits[i]);

				ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
				count += err == WEFT_OK;
			}
			ck_assert_uint_ge(count, 99);
			for (size_t i = 0; i < 100; i++) {
				if (permits[i].chan && i % 10 != 9) {
					permit_use(&permits[i], used++);
				} else {
					weft_chan_permit_release(&permits[i]);
				}
			}
			for (size_t i = 0; i < used; i++)
				ck_assert_uint_eq(recv_ok(chan), i);
			ck_assert_int_eq(weft_chan_try_recv(chan, &value), WEFT_EAGAIN);
		}
		weft_chan_unref(chan);
	}
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

START_TEST(permit_and_send_of_an_unbounded_channel_make_no_block_each_time)
{
	weft_chan *chan = chan_of(WEFT_CHAN_UNBOUNDED, NULL);
	uint64_t calls = t_malloc_calls();

	for (uint64_t i = 0; i < 3100; i++) {
		weft_chan_permit permit = permit_of(chan);

		permit_use(&permit, i);
		ck_assert_uint_eq(recv_ok(chan), i);
	}
	/* one a block, as without permits */
	ck_assert_uint_le(t_malloc_calls() - calls, 3100 / 31 + 2);
	weft_chan_unref(chan);
}
END_TEST

/* --- who waits --------------------------------------------------------------------------------- */

struct waiter {
	weft_chan *chan;
	weft_chan_permit permit;
	uint64_t value;
	weft_err err;
	bool returned;
};

static weft_err reserve_body(void *arg)
{
	struct waiter *w = arg;

	w->err = weft_chan_reserve(w->chan, &w->permit, WEFT_FOREVER);
	w->returned = true;
	return WEFT_OK;
}

static weft_err send_body(void *arg)
{
	struct waiter *w = arg;

	w->err = weft_chan_send(w->chan, &w->value, WEFT_FOREVER);
	w->returned = true;
	return WEFT_OK;
}

static weft_err recv_body(void *arg)
{
	struct waiter *w = arg;

	w->err = weft_chan_recv(w->chan, &w->value, WEFT_FOREVER);
	w->returned = true;
	return WEFT_OK;
}

static weft_scope *start(weft_err (*body)(void *), struct waiter *w, weft_chan *chan)
{
	weft_scope *scope = NULL;

	*w = (struct waiter){ .chan = chan, .value = 77, .err = WEFT_EPROTO };
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(scope, "waiter", body, w), WEFT_OK);
	crew_settle();
	return scope;
}

static weft_err in_line(void *arg)
{
	weft_chan *chan = chan_of(1, NULL);
	struct waiter first, second, third;
	weft_scope *a, *b, *c;

	(void)arg;
	send_ok(chan, 1);
	a = start(reserve_body, &first, chan);
	b = start(send_body, &second, chan);
	c = start(reserve_body, &third, chan);
	ck_assert(!first.returned && !second.returned && !third.returned);
	ck_assert_uint_eq(recv_ok(chan), 1);
	crew_settle();
	ck_assert(first.returned && first.err == WEFT_OK && !second.returned);
	/* given back: the next in line has it */
	weft_chan_permit_release(&first.permit);
	crew_settle();
	ck_assert(second.returned && second.err == WEFT_OK && !third.returned);
	ck_assert_uint_eq(recv_ok(chan), 77);
	crew_settle();
	ck_assert(third.returned && third.err == WEFT_OK);
	permit_use(&third.permit, 3);
	ck_assert_uint_eq(recv_ok(chan), 3);
	weft_scope_free(a);
	weft_scope_free(b);
	weft_scope_free(c);
	weft_chan_unref(chan);
	return WEFT_OK;
}

START_TEST(permit_is_waited_for_in_one_line_with_the_senders)
{
	ck_assert_int_eq(crew_main(1, in_line, NULL), WEFT_OK);
}
END_TEST

static weft_err cancelled(void *arg)
{
	weft_chan *chan = chan_of(1, NULL);
	struct waiter first, second;
	weft_scope *a, *b;

	(void)arg;
	send_ok(chan, 1);
	a = start(reserve_body, &first, chan);
	b = start(send_body, &second, chan);
	/* the wake goes to the first, who is cancelled before it runs */
	ck_assert_uint_eq(recv_ok(chan), 1);
	weft_scope_cancel(a);
	crew_settle();
	ck_assert(first.returned);
	if (first.err == WEFT_OK)
		weft_chan_permit_release(&first.permit);
	else
		ck_assert_int_eq(first.err, WEFT_ECANCELED);
	crew_settle();
	ck_assert(second.returned && second.err == WEFT_OK);
	ck_assert_uint_eq(recv_ok(chan), 77);
	weft_scope_free(a);
	weft_scope_free(b);
	/* without a wake: nothing is taken */
	send_ok(chan, 2);
	a = start(reserve_body, &first, chan);
	weft_scope_cancel(a);
	crew_settle();
	ck_assert(first.returned && first.err == WEFT_ECANCELED && !first.permit.chan);
	weft_scope_free(a);
	ck_assert_int_eq(weft_chan_reserve(chan, &first.permit, weft_after_ms(1)), WEFT_ETIMEDOUT);
	ck_assert_uint_eq(recv_ok(chan), 2);
	send_ok(chan, 3);
	weft_chan_unref(chan);
	return WEFT_OK;
}

/* spec: failure 1 */
START_TEST(permit_waiter_cancelled_after_its_wake_does_not_lose_it)
{
	ck_assert_int_eq(crew_main(1, cancelled, NULL), WEFT_OK);
}
END_TEST

static weft_err last_permit(void *arg)
{
	size_t capacity = *(size_t *)arg;

	for (int use = 0; use < 2; use++) {
		weft_chan *chan = chan_of(capacity, NULL);
		weft_chan_permit permit = permit_of(chan);
		struct waiter first, second;
		weft_scope *a, *b;

		a = start(recv_body, &first, chan);
		b = start(recv_body, &second, chan);
		weft_chan_close(chan);
		crew_settle();
		ck_assert(!first.returned && !second.returned);
		if (use)
			permit_use(&permit, 8);
		else
			weft_chan_permit_release(&permit);
		crew_settle();
		ck_assert(first.returned && second.returned);
		ck_assert_int_eq((first.err == WEFT_OK) + (second.err == WEFT_OK), use);
		ck_assert_int_eq(
			(first.err == WEFT_ECLOSED) + (second.err == WEFT_ECLOSED), 2 - use);
		weft_scope_free(a);
		weft_scope_free(b);
		weft_chan_unref(chan);
	}
	return WEFT_OK;
}

START_TEST(permit_that_ends_last_wakes_the_receivers_of_a_closed_channel)
{
	size_t capacity = _i ? WEFT_CHAN_UNBOUNDED : 2;

	ck_assert_int_eq(crew_main(1, last_permit, &capacity), WEFT_OK);
}
END_TEST

static weft_err select_waits(void *arg)
{
	weft_chan *chan = chan_of(*(size_t *)arg, NULL);
	weft_chan_permit permit = permit_of(chan);
	uint64_t value = 1;
	weft_select_case cases[] = { { .kind = WEFT_SELECT_RECV, .chan = chan, .message = &value },
		{ .kind = WEFT_SELECT_SEND, .chan = chan, .message = &value } };
	size_t chosen;

	/* neither is possible; a select that thought so would not get to its deadline */
	if (weft_chan_capacity(chan) == 1)
		ck_assert_int_eq(weft_select(cases, 2, WEFT_SELECT_FAIR, &chosen, weft_after_ms(2)),
			WEFT_ETIMEDOUT);
	weft_chan_close(chan);
	ck_assert_int_eq(
		weft_select(cases, 1, WEFT_SELECT_FAIR, &chosen, weft_after_ms(2)), WEFT_ETIMEDOUT);
	permit_use(&permit, 4);
	ck_assert_int_eq(weft_select(cases, 1, WEFT_SELECT_FAIR, &chosen, WEFT_FOREVER), WEFT_OK);
	ck_assert(cases[0].result == WEFT_OK && value == 4);
	ck_assert_int_eq(weft_select(cases, 1, WEFT_SELECT_FAIR, &chosen, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(cases[0].result, WEFT_ECLOSED);
	weft_chan_unref(chan);
	return WEFT_OK;
}

START_TEST(permit_out_keeps_a_select_waiting)
{
	size_t capacity = _i ? WEFT_CHAN_UNBOUNDED : 1;

	ck_assert_int_eq(crew_main(1, select_waits, &capacity), WEFT_OK);
}
END_TEST

static void chan_permit_tests(TCase *tc)
{
	t_add(tc, permit_takes_from_the_capacity_until_it_ends);
	t_add_loop(tc, permit_message_comes_behind_what_was_sent_meanwhile, 0, 2);
	t_add_loop(tc, permit_unused_stalls_nobody, 0, 2);
	t_add_loop(tc, permit_sends_after_the_close_before_receivers_hear_of_it, 0, 2);
	t_add_loop(tc, permit_used_when_all_receivers_have_gone_destroys, 0, 2);
	t_add(tc, permit_refuses_a_rendezvous_and_has_a_bound);
	t_add(tc, permit_of_an_unbounded_channel_has_its_memory);
	t_add(tc, permit_and_send_of_an_unbounded_channel_make_no_block_each_time);
	t_add(tc, permit_is_waited_for_in_one_line_with_the_senders);
	t_add(tc, permit_waiter_cancelled_after_its_wake_does_not_lose_it);
	t_add_loop(tc, permit_that_ends_last_wakes_the_receivers_of_a_closed_channel, 0, 2);
	t_add_loop(tc, permit_out_keeps_a_select_waiting, 0, 2);
}
T_SUITE("chan_permit", chan_permit_tests)
