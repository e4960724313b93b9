/* SPDX-License-Identifier: MIT */
/* What channels do beside the single send and receive, over epoll and under the simulator. */
#include "support/both.h"

#include <string.h>

#define EACH 60
#define SENDERS 3
#define BATCH 4

struct flow {
	weft_chan *chan;
	weft_mutex *lock; /* over the rest */
	unsigned sent, received, destroyed, sum_sent, sum_received;
};

static unsigned worker_of(unsigned i)
{
	return i % weft_worker_count();
}

static void note(struct flow *f, bool sent, const unsigned *values, size_t count)
{
	weft_shield_begin();
	want_ok(weft_mutex_lock(f->lock, WEFT_FOREVER));
	for (size_t i = 0; i < count; i++) {
		*(sent ? &f->sent : &f->received) += 1;
		*(sent ? &f->sum_sent : &f->sum_received) += values[i];
	}
	weft_mutex_unlock(f->lock);
	weft_shield_end();
}

static void on_destroy(void *message, void *user)
{
	struct flow *f = user;

	(void)message;
	f->destroyed++;
}

/* By batches, permits and single sends; leaves as a counted end. */
static weft_err feed(void *arg)
{
	struct flow *f = arg;

	for (unsigned n = 0; n < EACH;) {
		unsigned values[BATCH] = { n, n + 1, n + 2, n + 3 };
		size_t done = 1;
		weft_chan_permit permit;

		switch (both_random(3)) {
		case 0:
			want_ok(weft_chan_send(f->chan, values, WEFT_FOREVER));
			break;
		case 1:
			want_ok(weft_chan_send_many(f->chan, values,
				EACH - n < BATCH ? EACH - n : BATCH, &done, WEFT_FOREVER));
			break;
		default:
			want_ok(weft_chan_reserve(f->chan, &permit, WEFT_FOREVER));
			if (both_random(2))
				both_pause();
			if (both_random(4) == 0) {
				weft_chan_permit_release(&permit);
				continue;
			}
			weft_chan_permit_send(&permit, values);
		}
		note(f, true, values, done);
		n += (unsigned)done;
		if (both_random(4) == 0)
			both_pause();
	}
	weft_chan_sender_unref(f->chan);
	return WEFT_OK;
}

/* To the end in order, or until it is cancelled. */
static weft_err eat(void *arg)
{
	struct flow *f = arg;
	unsigned values[BATCH];
	weft_err err;

	for (;;) {
		size_t done = 1;

		if (both_random(2))
			err = weft_chan_recv_many(f->chan, values, BATCH, &done, WEFT_FOREVER);
		else
			err = weft_chan_recv(f->chan, values, WEFT_FOREVER);
		if (err)
			return err == WEFT_ECLOSED ? WEFT_OK : err;
		note(f, false, values, done);
		if (both_random(4) == 0)
			both_pause();
	}
}

static void flow_open(struct flow *f, size_t capacity, weft_scope **sending)
{
	weft_chan_options options = { on_destroy, f };

	memset(f, 0, sizeof(*f));
	want_ok(weft_chan_create(&f->chan, sizeof(unsigned), capacity, &options));
	want_ok(weft_mutex_create(&f->lock));
	want_ok(weft_scope_create(sending));
	for (unsigned i = 0; i < SENDERS; i++) {
		want(weft_chan_sender_ref(f->chan) == f->chan);
		want_ok(weft_scope_spawn_on(*sending, worker_of(i), "feeds", feed, f));
	}
}

static void flow_close(struct flow *f)
{
	weft_chan_unref(f->chan);
	weft_mutex_free(f->lock);
}

static void flow_run(size_t capacity)
{
	weft_scope *sending, *receiving;
	struct flow f;

	flow_open(&f, capacity, &sending);
	want_ok(weft_scope_create(&receiving));
	for (unsigned i = 0; i < 2; i++)
		want_ok(weft_scope_spawn_on(receiving, worker_of(i + 1), "eats", eat, &f));
	/* nobody closes: the last sender does, by leaving */
	want_ok(weft_chan_wait_closed(f.chan, WEFT_FOREVER));
	want_ok(weft_scope_wait(receiving, WEFT_FOREVER));
	want_ok(weft_scope_wait(sending, WEFT_FOREVER));
	want(f.sent == SENDERS * EACH && f.received == f.sent && f.sum_received == f.sum_sent);
	want(f.destroyed == 0);
	weft_scope_free(receiving);
	weft_scope_free(sending);
	flow_close(&f);
}

BOTH_TEST(batches_and_permits_lose_nothing)
{
	flow_run(1);
	flow_run(5);
	flow_run(WEFT_CHAN_UNBOUNDED);
	return WEFT_OK;
}

/* Failure 1 of the field's list, of a batch. */
BOTH_TEST(a_cancelled_batch_takes_nothing_with_it)
{
	weft_scope *sending, *staying, *leaving;
	struct flow f;

	flow_open(&f, 3, &sending);
	want_ok(weft_scope_create(&staying));
	want_ok(weft_scope_spawn_on(staying, worker_of(1), "stays", eat, &f));
	while (!weft_chan_is_closed(f.chan)) {
		want_ok(weft_scope_create(&leaving));
		for (unsigned i = 0; i < 2; i++)
			want_ok(weft_scope_spawn_on(leaving, worker_of(i), "leaves", eat, &f));
		both_pause();
		weft_scope_free(leaving);
	}
	want_ok(weft_scope_wait(staying, WEFT_FOREVER));
	want_ok(weft_scope_wait(sending, WEFT_FOREVER));
	want(f.sent == SENDERS * EACH && f.received == f.sent && f.sum_received == f.sum_sent);
	weft_scope_free(staying);
	weft_scope_free(sending);
	flow_close(&f);
	return WEFT_OK;
}

static weft_err reserve_until_closed(void *arg)
{
	struct flow *f = arg;
	unsigned value = 1;

	for (;;) {
		weft_chan_permit permit;
		weft_err err = weft_chan_reserve(f->chan, &permit, WEFT_FOREVER);

		if (err)
			return err == WEFT_ECLOSED ? WEFT_OK : err;
		both_pause();
		weft_chan_permit_send(&permit, &value);
		note(f, true, &value, 1);
	}
}

BOTH_TEST(permits_out_at_the_close_still_send)
{
	for (unsigned round = 0; round < 6; round++) {
		weft_chan_options options = { NULL, NULL };
		weft_scope *sending, *receiving;
		struct flow f = { 0 };

		want_ok(weft_chan_create(
			&f.chan, sizeof(unsigned), round % 2 ? WEFT_CHAN_UNBOUNDED : 3, &options));
		want_ok(weft_mutex_create(&f.lock));
		want_ok(weft_scope_create(&sending));
		want_ok(weft_scope_create(&receiving));
		for (unsigned i = 0; i < SENDERS; i++)
			want_ok(weft_scope_spawn_on(
				sending, worker_of(i), "reserves", reserve_until_closed, &f));
		for (unsigned i = 0; i < 2; i++)
			want_ok(weft_scope_spawn_on(receiving, worker_of(i), "eats", eat, &f));
		both_pause();
		both_pause();
		weft_chan_close(f.chan);
		want_ok(weft_scope_wait(sending, WEFT_FOREVER));
		want_ok(weft_scope_wait(receiving, WEFT_FOREVER));
		want(f.received == f.sent);
		weft_scope_free(receiving);
		weft_scope_free(sending);
		flow_close(&f);
	}
	return WEFT_OK;
}

BOTH_TEST(a_select_has_timers_and_closes)
{
	weft_select_case cases[3];
	weft_deadline at = weft_after_ms(2);
	unsigned value;
	weft_chan *chan;
	size_t chosen;

	memset(cases, 0, sizeof(cases));
	want_ok(weft_chan_create(&chan, sizeof(unsigned), 1, NULL));
	cases[0] = (weft_select_case){ .kind = WEFT_SELECT_RECV, .chan = chan, .message = &value };
	cases[1] = (weft_select_case){ .kind = WEFT_SELECT_TIMER, .at = at };
	cases[2] = (weft_select_case){ .kind = WEFT_SELECT_CLOSED, .chan = chan };
	want_ok(weft_select(cases, 3, WEFT_SELECT_FAIR, &chosen, WEFT_FOREVER));
	want(chosen == 1 && weft_now() >= at);
	cases[1].at = weft_after_ms(1000000);
	weft_chan_close(chan);
	want_ok(weft_select(cases, 3, WEFT_SELECT_BIASED, &chosen, WEFT_FOREVER));
	want(chosen == 0 && cases[0].result == WEFT_ECLOSED);
	cases[0].kind = WEFT_SELECT_NONE;
	want_ok(weft_select(cases, 3, WEFT_SELECT_BIASED, &chosen, WEFT_FOREVER));
	want(chosen == 2 && cases[2].result == WEFT_OK);
	weft_chan_unref(chan);
	return WEFT_OK;
}

static void same_chan_tests(TCase *tc)
{
	both_add(tc, batches_and_permits_lose_nothing);
	both_add(tc, a_cancelled_batch_takes_nothing_with_it);
	both_add(tc, permits_out_at_the_close_still_send);
	both_add(tc, a_select_has_timers_and_closes);
}
T_SUITE("same/chan", same_chan_tests)
