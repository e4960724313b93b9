/* SPDX-License-Identifier: MIT */
/* What one channel does, step by step. Races: chan_stress_test.c. */
#include "base/mem.h"
#include "support/chans.h"
#include "support/crew.h"
#include "support/t.h"
#include "sync/ring.h"

#include <string.h>

/* --- one caller ------------------------------------------------------------------------ */

START_TEST(chan_create_refuses_what_is_out_of_range)
{
	weft_chan *chan = NULL;

	ck_assert_int_eq(
		weft_chan_create(&chan, WEFT_CHAN_MESSAGE_SIZE_MAX + 1, 1, NULL), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "message_size 4097"));
	ck_assert_int_eq(weft_chan_create(&chan, 8, WEFT_CHAN_CAPACITY_MAX + 1, NULL), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "capacity"));
	ck_assert_ptr_null(chan);
	weft_chan_unref(NULL);
}
END_TEST

START_TEST(chan_holds_exactly_its_capacity)
{
	static const size_t capacities[] = { 1, 2, 3, 4, 5, 7, 8, 9, 100, 1000 };

	for (size_t c = 0; c < sizeof(capacities) / sizeof(capacities[0]); c++) {
		size_t capacity = capacities[c];
		weft_chan *chan = chan_of(8, capacity);
		uint64_t in = 0, out = 0, value = 7;

		ck_assert_uint_eq(weft_chan_capacity(chan), capacity);
		for (int turn = 0; turn < 20; turn++) {
			while (in - out < capacity) {
				ck_assert(!weft_chan_is_full(chan));
				send_ok(chan, in++);
				ck_assert_uint_eq(weft_chan_len(chan), in - out);
			}
			ck_assert(weft_chan_is_full(chan));
			ck_assert_int_eq(weft_chan_try_send(chan, &value), WEFT_EAGAIN);
			ck_assert_int_eq(weft_chan_send(chan, &value, WEFT_NOW), WEFT_ETIMEDOUT);
			/* a different phase of the ring each turn */
			for (size_t i = 0; i < capacity / 2 + 1; i++)
				ck_assert_uint_eq(recv_ok(chan), out++);
		}
		while (out < in)
			ck_assert_uint_eq(recv_ok(chan), out++);
		ck_assert(weft_chan_is_empty(chan));
		ck_assert_int_eq(weft_chan_try_recv(chan, &value), WEFT_EAGAIN);
		ck_assert_int_eq(weft_chan_recv(chan, &value, WEFT_NOW), WEFT_ETIMEDOUT);
		ck_assert_uint_eq(value, 7);
		weft_chan_unref(chan);
	}
}
END_TEST

START_TEST(chan_carries_messages_of_every_size)
{
	static const size_t sizes[] = { 0, 1, 3, 7, 8, 9, 15, 16, 17, 24, 100, 4096 };
	unsigned char in[4096], out[4097];

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		for (int bounded = 0; bounded < 2; bounded++) {
			weft_chan *chan = chan_of(sizes[s], bounded ? 70 : WEFT_CHAN_UNBOUNDED);

			for (int i = 0; i < 70; i++) {
				memset(in, i + 1, sizeof(in));
				ck_assert_int_eq(
					weft_chan_try_send(chan, sizes[s] ? in : NULL), WEFT_OK);
			}
			for (int i = 0; i < 70; i++) {
				memset(in, i + 1, sizeof(in));
				memset(out, 0xee, sizeof(out));
				ck_assert_int_eq(
					weft_chan_try_recv(chan, sizes[s] ? out : NULL), WEFT_OK);
				ck_assert_mem_eq(out, in, sizes[s]);
				ck_assert_uint_eq(out[sizes[s]], 0xee);
			}
			weft_chan_unref(chan);
		}
	}
}
END_TEST

START_TEST(chan_unbounded_keeps_order_over_many_blocks)
{
	weft_chan *chan = chan_of(8, WEFT_CHAN_UNBOUNDED);
	uint64_t in = 0, out = 0, state = t_seed();

	ck_assert_uint_eq(weft_chan_capacity(chan), WEFT_CHAN_UNBOUNDED);
	for (int i = 0; i < 2000; i++) {
		for (uint64_t n = t_random(&state) % 100; n > 0; n--)
			send_ok(chan, in++);
		ck_assert_uint_eq(weft_chan_len(chan), in - out);
		ck_assert(!weft_chan_is_full(chan));
		for (uint64_t n = t_random(&state) % 100; n > 0 && out < in; n--)
			ck_assert_uint_eq(recv_ok(chan), out++);
	}
	weft_chan_unref(chan);
}
END_TEST

START_TEST(chan_unbounded_gives_memory_back_as_it_empties)
{
	int64_t before = t_malloc_live(), empty;
	weft_chan *chan = chan_of(8, WEFT_CHAN_UNBOUNDED);

	empty = t_malloc_live();
	for (uint64_t i = 0; i < 10000; i++)
		send_ok(chan, i);
	ck_assert_int_gt(t_malloc_live(), empty + 300);
	for (uint64_t i = 0; i < 10000; i++) {
		ck_assert_uint_eq(recv_ok(chan), i);
		/* what is left, and the blocks that the two ends are in */
		ck_assert_int_le(t_malloc_live() - empty, (int64_t)(10000 - i) / 31 + 2);
	}
	ck_assert_int_le(t_malloc_live(), empty + 1); /* the spare block */
	weft_chan_unref(chan);
	ck_assert_int_eq(t_malloc_live(), before);
}
END_TEST

START_TEST(chan_large_capacity_costs_memory_only_when_used)
{
	weft_chan *chan = chan_of(8, (size_t)1 << 24);

	for (uint64_t i = 0; i < 100; i++)
		send_ok(chan, i);
	for (uint64_t i = 0; i < 100; i++)
		ck_assert_uint_eq(recv_ok(chan), i);
	weft_chan_unref(chan);
}
END_TEST

START_TEST(chan_survives_every_failing_allocation)
{
	static const size_t capacities[] = { 0, 1, 100, WEFT_CHAN_UNBOUNDED };

	for (size_t c = 0; c < 4; c++) {
		T_EACH_FAILING_MALLOC(n) {
			weft_chan *chan = NULL;
			weft_err err = weft_chan_create(&chan, 8, capacities[c], NULL);

			ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
			ck_assert(err == WEFT_OK || chan == NULL);
			weft_chan_unref(chan);
		}
	}
}
END_TEST

START_TEST(chan_unbounded_send_that_finds_no_memory_has_not_sent)
{
	T_EACH_FAILING_MALLOC(n) {
		uint64_t sent = 0, received = 0, value;
		weft_chan *chan = NULL;

		if (weft_chan_create(&chan, 8, WEFT_CHAN_UNBOUNDED, NULL) == WEFT_OK) {
			for (uint64_t i = 0; i < 200; i++) {
				weft_err err = weft_chan_send(chan, &sent, WEFT_FOREVER);

				ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
				sent += err == WEFT_OK;
			}
			ck_assert_uint_ge(sent, 199);
			while (weft_chan_try_recv(chan, &value) == WEFT_OK)
				ck_assert_uint_eq(value, received++);
			ck_assert_uint_eq(received, sent);
		}
		weft_chan_unref(chan);
	}
}
END_TEST

/* --- the end --------------------------------------------------------------------------- */

START_TEST(chan_close_lets_receivers_have_what_was_sent)
{
	static const size_t capacities[] = { 5, WEFT_CHAN_UNBOUNDED };

	for (size_t c = 0; c < 2; c++) {
		weft_chan *chan = chan_of(8, capacities[c]);
		uint64_t value = 9;

		for (uint64_t i = 0; i < 5; i++)
			send_ok(chan, i);
		weft_chan_close(chan);
		weft_chan_close(chan);
		ck_assert(weft_chan_is_closed(chan));
		ck_assert_uint_eq(weft_chan_len(chan), 5);
		ck_assert_int_eq(weft_chan_send(chan, &value, WEFT_FOREVER), WEFT_ECLOSED);
		ck_assert_int_eq(weft_chan_try_send(chan, &value), WEFT_ECLOSED);
		for (uint64_t i = 0; i < 5; i++)
			ck_assert_uint_eq(recv_ok(chan), i);
		ck_assert_int_eq(weft_chan_recv(chan, &value, WEFT_FOREVER), WEFT_ECLOSED);
		ck_assert_int_eq(weft_chan_try_recv(chan, &value), WEFT_ECLOSED);
		ck_assert_uint_eq(value, 9);
		weft_chan_unref(chan);
	}
}
END_TEST

struct destroyed {
	uint64_t next;
	size_t count;
};

static void destroy_in_order(void *message, void *user)
{
	struct destroyed *d = user;
	uint64_t value;

	memcpy(&value, message, sizeof(value));
	ck_assert_uint_eq(value, d->next);
	ck_assert_uint_eq((uintptr_t)message % 8, 0);
	d->next++;
	d->count++;
}

START_TEST(chan_destroys_what_nobody_received_exactly_once)
{
	static const size_t capacities[] = { 1, 3, 64, 100, WEFT_CHAN_UNBOUNDED };

	for (size_t c = 0; c < 5; c++) {
		for (uint64_t sent = 0; sent <= 100; sent++) {
			for (uint64_t taken = 0; taken <= sent; taken += 1 + sent / 5) {
				struct destroyed d = { taken, 0 };
				weft_chan_options options = { destroy_in_order, &d };
				weft_chan *chan;
				uint64_t in = 0, out = 0;

				ck_assert_int_eq(
					weft_chan_create(&chan, 8, capacities[c], &options),
					WEFT_OK);
				while (in < sent || out < taken) {
					if (out < taken && weft_chan_len(chan) > 0)
						ck_assert_uint_eq(recv_ok(chan), out++);
					else if (weft_chan_try_send(chan, &in) == WEFT_OK)
						in++;
					else
						break;
				}
				ck_assert_ptr_eq(weft_chan_ref(chan), chan);
				weft_chan_unref(chan);
				ck_assert_uint_eq(d.count, 0);
				weft_chan_unref(chan);
				ck_assert_uint_eq(d.count, in - out);
			}
		}
	}
}
END_TEST

/* --- fibers of one worker: who waits, and who is woken ------------------------------------ */

enum { WAITERS = 5 };

struct waiter {
	weft_chan *chan;
	bool send;
	uint64_t value;
	weft_deadline until;
	weft_err result;
	bool returned;
};

static weft_err waiter_body(void *arg)
{
	struct waiter *w = arg;

	w->result = w->send ? weft_chan_send(w->chan, &w->value, w->until)
			    : weft_chan_recv(w->chan, &w->value, w->until);
	w->returned = true;
	return WEFT_OK;
}

static void waiters_spawn(
	weft_scope *scope, struct waiter *w, size_t count, weft_chan *chan, bool send)
{
	for (size_t i = 0; i < count; i++) {
		w[i] = (struct waiter){ chan, send, 100 + i, WEFT_FOREVER, WEFT_EPROTO, false };
		ck_assert_int_eq(weft_scope_spawn(scope, "waiter", waiter_body, &w[i]), WEFT_OK);
	}
	crew_settle();
}

static size_t returned_count(const struct waiter *w, size_t count, weft_err result)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		n += w[i].returned && w[i].result == result;
	return n;
}

static const size_t kinds[] = { 0, 1, 3, WEFT_CHAN_UNBOUNDED };

static weft_scope *scope_new(void)
{
	weft_scope *scope = NULL;

	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	return scope;
}

static weft_err close_wakes(void *arg)
{
	weft_chan *chan = arg;
	struct waiter w[WAITERS];
	weft_scope *scope = scope_new();

	waiters_spawn(scope, w, WAITERS, chan, false);
	ck_assert_uint_eq(returned_count(w, WAITERS, WEFT_OK), 0);
	weft_chan_close(chan);
	crew_settle();
	ck_assert_uint_eq(returned_count(w, WAITERS, WEFT_ECLOSED), WAITERS);
	waiters_spawn(scope, w, WAITERS, chan, true);
	ck_assert_uint_eq(returned_count(w, WAITERS, WEFT_ECLOSED), WAITERS);
	weft_scope_free(scope);
	return WEFT_OK;
}

START_TEST(chan_close_wakes_parked_receivers)
{
	weft_chan *chan = chan_of(8, kinds[_i]);

	ck_assert_int_eq(crew_main(1, close_wakes, chan), WEFT_OK);
	weft_chan_unref(chan);
}
END_TEST

static weft_err close_wakes_senders(void *arg)
{
	weft_chan *chan = arg;
	size_t room = weft_chan_capacity(chan);
	struct waiter w[WAITERS];
	weft_scope *scope = scope_new();
	uint64_t value;

	waiters_spawn(scope, w, WAITERS, chan, true);
	ck_assert_uint_eq(returned_count(w, WAITERS, WEFT_OK), room);
	weft_chan_close(chan);
	crew_settle();
	ck_assert_uint_eq(returned_count(w, WAITERS, WEFT_ECLOSED), WAITERS - room);
	for (size_t i = 0; i < room; i++)
		ck_assert_uint_eq(recv_ok(chan), 100 + i);
	ck_assert_int_eq(weft_chan_try_recv(chan, &value), WEFT_ECLOSED);
	weft_scope_free(scope);
	return WEFT_OK;
}

START_TEST(chan_close_wakes_parked_senders)
{
	weft_chan *chan = chan_of(8, kinds[_i]);

	ck_assert_int_eq(crew_main(1, close_wakes_senders, chan), WEFT_OK);
	weft_chan_unref(chan);
}
END_TEST

static weft_err waiters_in_order(void *arg)
{
	weft_chan *chan = arg;
	struct waiter w[WAITERS];
	weft_scope *scope = scope_new();

	waiters_spawn(scope, w, WAITERS, chan, false);
	for (uint64_t i = 0; i < WAITERS; i++) {
		send_ok(chan, i);
		crew_settle();
		for (uint64_t k = 0; k < WAITERS; k++)
			ck_assert(w[k].returned == (k <= i));
		ck_assert_uint_eq(w[i].value, i);
	}
	weft_scope_free(scope);
	return WEFT_OK;
}

START_TEST(chan_serves_receivers_in_the_order_they_came)
{
	weft_chan *chan = chan_of(8, kinds[_i]);

	ck_assert_int_eq(crew_main(1, waiters_in_order, chan), WEFT_OK);
	weft_chan_unref(chan);
}
END_TEST

static weft_err senders_in_order(void *arg)
{
	weft_chan *chan = arg;
	size_t room = weft_chan_capacity(chan);
	struct waiter w[WAITERS];
	weft_scope *scope = scope_new();

	waiters_spawn(scope, w, WAITERS, chan, true);
	for (uint64_t i = 0; i < WAITERS; i++) {
		ck_assert_uint_eq(recv_ok(chan), 100 + i);
		crew_settle();
		for (uint64_t k = 0; k < WAITERS; k++)
			ck_assert(w[k].returned == (k <= i + room));
	}
	weft_scope_free(scope);
	return WEFT_OK;
}

START_TEST(chan_serves_senders_in_the_order_they_came)
{
	weft_chan *chan = chan_of(8, kinds[_i]);

	ck_assert_int_eq(crew_main(1, senders_in_order, chan), WEFT_OK);
	weft_chan_unref(chan);
}
END_TEST

static weft_err cancelled_after_wake(void *arg)
{
	weft_chan *chan = arg;
	weft_scope *doomed = scope_new(), *scope = scope_new();
	struct waiter first, second;

	waiters_spawn(doomed, &first, 1, chan, false);
	waiters_spawn(scope, &second, 1, chan, false);
	/* the wake goes to the first, who is cancelled before it runs */
	send_ok(chan, 42);
	weft_scope_cancel(doomed);
	crew_settle();
	ck_assert(first.returned);
	if (first.result == WEFT_OK) {
		ck_assert_uint_eq(first.value, 42);
		ck_assert(!second.returned);
	} else {
		ck_assert_int_eq(first.result, WEFT_ECANCELED);
		ck_assert(second.returned);
		ck_assert_uint_eq(second.value, 42);
	}
	weft_scope_free(doomed);
	weft_scope_free(scope);
	return WEFT_OK;
}

/* spec: failure 1 */
START_TEST(chan_receiver_cancelled_after_its_wake_does_not_lose_it)
{
	weft_chan *chan = chan_of(8, kinds[_i]);

	ck_assert_int_eq(crew_main(1, cancelled_after_wake, chan), WEFT_OK);
	weft_chan_unref(chan);
}
END_TEST

static weft_err robbed_after_wake(void *arg)
{
	weft_chan *chan = arg;
	weft_scope *doomed = scope_new(), *scope = scope_new();
	struct waiter first, second;

	waiters_spawn(doomed, &first, 1, chan, false);
	waiters_spawn(scope, &second, 1, chan, false);
	/* woken to look, but nothing is there, and it is cancelled: it has received nothing */
	wait_wake_one(&chan->receivers);
	weft_scope_cancel(doomed);
	crew_settle();
	ck_assert(first.returned && first.result == WEFT_ECANCELED);
	ck_assert(!second.returned);
	send_ok(chan, 43);
	crew_settle();
	ck_assert(second.returned && second.value == 43);
	weft_scope_free(doomed);
	weft_scope_free(scope);
	return WEFT_OK;
}

START_TEST(chan_receiver_woken_in_vain_and_cancelled_leaves_the_next_in_place)
{
	static const size_t capacities[] = { 1, 3, WEFT_CHAN_UNBOUNDED };
	weft_chan *chan = chan_of(8, capacities[_i]);

	ck_assert_int_eq(crew_main(1, robbed_after_wake, chan), WEFT_OK);
	weft_chan_unref(chan);
}
END_TEST

static weft_err sender_cancelled_after_wake(void *arg)
{
	weft_chan *chan = arg;
	weft_scope *doomed = scope_new(), *scope = scope_new();
	struct waiter first, second;
	size_t sent;

	for (size_t i = 0; i < weft_chan_capacity(chan); i++)
		send_ok(chan, i);
	waiters_spawn(doomed, &first, 1, chan, true);
	waiters_spawn(scope, &second, 1, chan, true);
	recv_ok(chan);
	weft_scope_cancel(doomed);
	crew_settle();
	ck_assert(first.returned);
	sent = returned_count(&first, 1, WEFT_OK) + returned_count(&second, 1, WEFT_OK);
	ck_assert_uint_eq(sent, 1);
	weft_chan_close(chan);
	weft_scope_free(doomed);
	weft_scope_free(scope);
	return WEFT_OK;
}

START_TEST(chan_sender_cancelled_after_its_wake_does_not_lose_it)
{
	weft_chan *chan = chan_of(8, kinds[_i]);

	ck_assert_int_eq(crew_main(1, sender_cancelled_after_wake, chan), WEFT_OK);
	weft_chan_unref(chan);
}
END_TEST

static weft_err cancelled_without_wake(void *arg)
{
	weft_chan *chan = arg;
	weft_scope *doomed = scope_new();
	struct waiter w[WAITERS];

	waiters_spawn(doomed, w, WAITERS, chan, false);
	weft_scope_cancel(doomed);
	crew_settle();
	ck_assert_uint_eq(returned_count(w, WAITERS, WEFT_ECANCELED), WAITERS);
	for (size_t i = 0; i < WAITERS; i++)
		ck_assert_uint_eq(w[i].value, 100 + i);
	weft_scope_free(doomed);
	return WEFT_OK;
}

START_TEST(chan_recv_is_a_cancellation_point)
{
	weft_chan *chan = chan_of(8, kinds[_i]);

	ck_assert_int_eq(crew_main(1, cancelled_without_wake, chan), WEFT_OK);
	weft_chan_unref(chan);
}
END_TEST

static weft_err completes_though_cancelled(void *arg)
{
	weft_chan *chan = arg;
	uint64_t value = 5;

	weft_cancel_trigger(weft_fiber_token(), WEFT_OK);
	ck_assert_int_eq(weft_chan_send(chan, &value, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(weft_chan_recv(chan, &value, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(weft_chan_recv(chan, &value, WEFT_FOREVER), WEFT_ECANCELED);
	weft_shield_begin();
	ck_assert_int_eq(weft_chan_recv(chan, &value, weft_after_ns(1000)), WEFT_ETIMEDOUT);
	weft_shield_end();
	return WEFT_OK;
}

START_TEST(chan_call_that_need_not_park_is_not_cancelled)
{
	weft_chan *chan = chan_of(8, 1);

	ck_assert_int_eq(crew_main(1, completes_though_cancelled, chan), WEFT_OK);
	weft_chan_unref(chan);
}
END_TEST

static weft_err times_out(void *arg)
{
	weft_chan *chan = arg;
	int64_t start = weft_now();
	uint64_t value = 5;

	ck_assert_int_eq(weft_chan_recv(chan, &value, weft_after_ms(5)), WEFT_ETIMEDOUT);
	ck_assert_int_ge(weft_now() - start, 5000000);
	ck_assert_uint_eq(value, 5);
	while (weft_chan_try_send(chan, &value) == WEFT_OK)
		;
	start = weft_now();
	ck_assert_int_eq(weft_chan_send(chan, &value, weft_after_ms(5)), WEFT_ETIMEDOUT);
	ck_assert_int_ge(weft_now() - start, 5000000);
	ck_assert_uint_eq(weft_chan_len(chan), weft_chan_capacity(chan));
	return WEFT_OK;
}

START_TEST(chan_waits_until_the_deadline_in_fibers_and_threads)
{
	weft_chan *chan = chan_of(8, (size_t)_i);

	ck_assert_int_eq(times_out(chan), WEFT_OK);
	weft_chan_unref(chan);
	chan = chan_of(8, (size_t)_i);
	ck_assert_int_eq(crew_main(1, times_out, chan), WEFT_OK);
	weft_chan_unref(chan);
}
END_TEST

/* --- rendezvous ------------------------------------------------------------------------- */

static weft_err meets(void *arg)
{
	weft_chan *chan = arg;
	weft_scope *scope = scope_new();
	struct waiter sender, receiver;
	uint64_t value = 1;

	ck_assert(weft_chan_is_full(chan) && weft_chan_is_empty(chan));
	ck_assert_int_eq(weft_chan_try_send(chan, &value), WEFT_EAGAIN);
	ck_assert_int_eq(weft_chan_try_recv(chan, &value), WEFT_EAGAIN);
	waiters_spawn(scope, &sender, 1, chan, true);
	ck_assert(!sender.returned);
	ck_assert_uint_eq(recv_ok(chan), 100);
	crew_settle();
	ck_assert(sender.returned && sender.result == WEFT_OK);

	waiters_spawn(scope, &receiver, 1, chan, false);
	send_ok(chan, 77);
	/* it has the message, though it has not run yet */
	ck_assert_uint_eq(receiver.value, 77);
	crew_settle();
	ck_assert(receiver.returned && receiver.result == WEFT_OK);
	weft_scope_free(scope);
	return WEFT_OK;
}

/* spec: failure 2, second half */
START_TEST(chan_rendezvous_send_returns_when_a_receiver_has_taken_the_message)
{
	weft_chan *chan = chan_of(8, 0);

	ck_assert_int_eq(crew_main(1, meets, chan), WEFT_OK);
	weft_chan_unref(chan);
}
END_TEST

/* --- who never waits ------------------------------------------------------------------- */

#define HOG_OPS 20000

struct hog {
	weft_chan *chan;
	bool selects, over;
	unsigned turns; /* that others had meanwhile */
};

static weft_err counts_turns(void *arg)
{
	struct hog *hog = arg;

	for (; !hog->over; hog->turns++)
		(void)weft_yield();
	return WEFT_OK;
}

/* It receives what it has sent itself: there is always room, and always a message. */
static weft_err never_waits(void *arg)
{
	struct hog *hog = arg;
	uint64_t value = 0;
	weft_select_case one = { .kind = WEFT_SELECT_RECV, .chan = hog->chan, .message = &value };
	weft_fiber *other;
	size_t chosen;

	ck_assert_int_eq(weft_spawn(&other, "counts", counts_turns, hog), WEFT_OK);
	for (int i = 0; i < HOG_OPS; i++) {
		T_OUGHT(weft_chan_send(hog->chan, &value, WEFT_FOREVER) == WEFT_OK);
		if (!hog->selects)
			T_OUGHT(weft_chan_recv(hog->chan, &value, WEFT_FOREVER) == WEFT_OK);
		else
			T_OUGHT(weft_select(&one, 1, WEFT_SELECT_FAIR, &chosen, WEFT_FOREVER) ==
				WEFT_OK);
	}
	ck_assert_uint_ge(hog->turns, 10);
	hog->over = true;
	return weft_fiber_join(other, NULL, WEFT_FOREVER);
}

START_TEST(chan_that_is_always_ready_leaves_others_their_turn)
{
	struct hog hog = { .chan = chan_of(8, _i == 1 ? WEFT_CHAN_UNBOUNDED : 1) };

	hog.selects = _i == 2;
	ck_assert_int_eq(crew_main(1, never_waits, &hog), WEFT_OK);
	weft_chan_unref(hog.chan);
}
END_TEST

static void chan_tests(TCase *tc)
{
	t_add(tc, chan_create_refuses_what_is_out_of_range);
	t_add(tc, chan_holds_exactly_its_capacity);
	t_add(tc, chan_carries_messages_of_every_size);
	t_add(tc, chan_unbounded_keeps_order_over_many_blocks);
	t_add(tc, chan_unbounded_gives_memory_back_as_it_empties);
	t_add(tc, chan_large_capacity_costs_memory_only_when_used);
	t_add(tc, chan_survives_every_failing_allocation);
	t_add(tc, chan_unbounded_send_that_finds_no_memory_has_not_sent);
	t_add(tc, chan_close_lets_receivers_have_what_was_sent);
	t_add(tc, chan_destroys_what_nobody_received_exactly_once);
	t_add_loop(tc, chan_close_wakes_parked_receivers, 0, 4);
	t_add_loop(tc, chan_close_wakes_parked_senders, 0, 3);
	t_add_loop(tc, chan_serves_receivers_in_the_order_they_came, 0, 4);
	t_add_loop(tc, chan_serves_senders_in_the_order_they_came, 0, 3);
	t_add_loop(tc, chan_receiver_cancelled_after_its_wake_does_not_lose_it, 0, 4);
	t_add_loop(tc, chan_receiver_woken_in_vain_and_cancelled_leaves_the_next_in_place, 0, 3);
	t_add_loop(tc, chan_sender_cancelled_after_its_wake_does_not_lose_it, 0, 3);
	t_add_loop(tc, chan_recv_is_a_cancellation_point, 0, 4);
	t_add(tc, chan_call_that_need_not_park_is_not_cancelled);
	t_add_loop(tc, chan_waits_until_the_deadline_in_fibers_and_threads, 0, 3);
	t_add(tc, chan_rendezvous_send_returns_when_a_receiver_has_taken_the_message);
	t_add_loop(tc, chan_that_is_always_ready_leaves_others_their_turn, 0, 3);
}
T_SUITE("chan", chan_tests)
