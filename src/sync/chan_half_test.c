/* SPDX-License-Identifier: MIT */
/* A channel whose other side is held half way through a step, by hand. */
#include "support/chans.h"
#include "support/t.h"
#include "sync/ring.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

/* --- a thread that stops half way ----------------------------------------------------------- */

static void *recv_thread(void *arg)
{
	static uint64_t value;

	ck_assert_int_eq(weft_chan_recv(arg, &value, WEFT_FOREVER), WEFT_OK);
	return &value;
}

/* spec: failure 5 */
START_TEST(chan_producer_between_claim_and_publish_does_not_stall_others)
{
	weft_chan *chan = chan_of(8, 4);
	uint64_t value = 1;
	pthread_t thread;
	void *got;

	/* what a preempted sender leaves behind: tail is ahead, the slot is not written */
	atomic_store(&chan->tail, 1);
	send_ok(chan, 2);
	send_ok(chan, 3);
	send_ok(chan, 4);
	ck_assert_int_eq(weft_chan_try_send(chan, &value), WEFT_EAGAIN);
	ck_assert_uint_eq(weft_chan_len(chan), 4);
	/* only who wants that very slot waits for it */
	ck_assert_int_eq(pthread_create(&thread, NULL, recv_thread, chan), 0);
	sched_yield();
	memcpy(chan->slots, &value, sizeof(value));
	atomic_store_explicit(chan_stamp(chan, chan->slots), 1, memory_order_release);
	ck_assert_int_eq(pthread_join(thread, &got), 0);
	ck_assert_uint_eq(*(uint64_t *)got, 1);
	for (uint64_t i = 2; i <= 4; i++)
		ck_assert_uint_eq(recv_ok(chan), i);
	weft_chan_unref(chan);
}
END_TEST

/* Waiters without a fiber: what is done in their place can be seen step by step. */
struct stand_in {
	struct wait_ctx ctx;
	struct wait_node node;
	uint64_t message;
};

static void stand_in_enter(struct stand_in *w, weft_chan *chan, bool send, uint64_t message)
{
	ck_assert_int_eq(wait_ctx_init(&w->ctx), WEFT_OK);
	wait_node_init(&w->node, &w->ctx, WAIT_FIRST);
	w->message = message;
	w->node.source = send ? &w->message : NULL;
	w->node.target = send ? NULL : &w->message;
	w->node.result = WEFT_EAGAIN;
	wait_push(chan_queue(chan, send), &w->node, false);
}

static bool stand_in_is_done(const struct stand_in *w)
{
	uint32_t state = wait_state(&w->ctx);

	ck_assert(state == WAIT_OPEN || (state == WAIT_FIRST && w->node.result == WEFT_OK));
	return state == WAIT_FIRST;
}

START_TEST(chan_send_does_the_receive_of_the_first_that_waits)
{
	weft_chan *chan = chan_of(8, 4);
	struct stand_in first, second;

	stand_in_enter(&first, chan, false, 0);
	stand_in_enter(&second, chan, false, 0);
	send_ok(chan, 1);
	ck_assert(stand_in_is_done(&first) && !stand_in_is_done(&second));
	ck_assert_uint_eq(first.message, 1);
	ck_assert(weft_chan_is_empty(chan));
	send_ok(chan, 2);
	ck_assert(stand_in_is_done(&second));
	ck_assert_uint_eq(second.message, 2);
	send_ok(chan, 3);
	ck_assert_uint_eq(recv_ok(chan), 3);
	weft_chan_unref(chan);
}
END_TEST

START_TEST(chan_recv_does_the_send_of_the_first_that_waits)
{
	weft_chan *chan = chan_of(8, 1);
	struct stand_in first, second;

	send_ok(chan, 1);
	stand_in_enter(&first, chan, true, 2);
	stand_in_enter(&second, chan, true, 3);
	ck_assert_uint_eq(recv_ok(chan), 1);
	ck_assert(stand_in_is_done(&first) && !stand_in_is_done(&second));
	ck_assert(weft_chan_is_full(chan));
	ck_assert_uint_eq(recv_ok(chan), 2);
	ck_assert(stand_in_is_done(&second));
	ck_assert_uint_eq(recv_ok(chan), 3);
	ck_assert(weft_chan_is_empty(chan));
	weft_chan_unref(chan);
}
END_TEST

/* What is oldest in the channel goes to whoever waited longest, not what was just sent. */
START_TEST(chan_receive_done_for_a_waiter_takes_the_oldest)
{
	weft_chan *chan = chan_of(8, 4);
	struct stand_in waiter;

	send_ok(chan, 1); /* between the waiter's look and its entering */
	stand_in_enter(&waiter, chan, false, 0);
	send_ok(chan, 2);
	ck_assert(stand_in_is_done(&waiter));
	ck_assert_uint_eq(waiter.message, 1);
	ck_assert_uint_eq(recv_ok(chan), 2);
	weft_chan_unref(chan);
}
END_TEST

/* spec: failure 3 */
START_TEST(chan_send_under_way_at_the_close_is_received_not_reported_closed)
{
	weft_chan *chan = chan_of(8, 4);
	uint64_t value = 1;
	pthread_t thread;
	void *got;

	/* as above: claimed before the close, so that it succeeds */
	atomic_store(&chan->tail, 1);
	weft_chan_close(chan);
	ck_assert_int_eq(pthread_create(&thread, NULL, recv_thread, chan), 0);
	ck_assert_int_eq(weft_sleep_ms(5), WEFT_OK);
	memcpy(chan->slots, &value, sizeof(value));
	atomic_store_explicit(chan_stamp(chan, chan->slots), 1, memory_order_release);
	ck_assert_int_eq(pthread_join(thread, &got), 0);
	ck_assert_uint_eq(*(uint64_t *)got, 1);
	ck_assert_int_eq(weft_chan_try_recv(chan, &value), WEFT_ECLOSED);
	weft_chan_unref(chan);
}
END_TEST

static void chan_half_tests(TCase *tc)
{
	t_add(tc, chan_producer_between_claim_and_publish_does_not_stall_others);
	t_add(tc, chan_send_does_the_receive_of_the_first_that_waits);
	t_add(tc, chan_recv_does_the_send_of_the_first_that_waits);
	t_add(tc, chan_receive_done_for_a_waiter_takes_the_oldest);
	t_add(tc, chan_send_under_way_at_the_close_is_received_not_reported_closed);
}
T_SUITE("chan/half", chan_half_tests)
