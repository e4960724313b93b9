/* SPDX-License-Identifier: MIT */
/* Several messages by one call. Races: chan_paths_test.c. */
#include "support/chans.h"
#include "support/crew.h"
#include "support/t.h"

#include <string.h>

static void fill(uint64_t *values, size_t count, uint64_t from)
{
	for (size_t i = 0; i < count; i++)
		values[i] = from + i;
}

START_TEST(batch_sends_as_many_as_fit_and_receives_what_is_there)
{
	static const size_t capacities[] = { 1, 3, 7, 8, 100 };

	for (size_t c = 0; c < 5; c++) {
		size_t capacity = capacities[c], done = 99;
		weft_chan *chan = chan_of(8, capacity);
		uint64_t in[200], out[200], next = 0, got = 0;

		/* a different phase of the ring each turn */
		for (size_t turn = 0; turn < 50; turn++) {
			size_t room = capacity - weft_chan_len(chan), take = turn % capacity + 1;

			fill(in, 200, next);
			ck_assert_int_eq(
				weft_chan_send_many(chan, in, 200, &done, WEFT_FOREVER), WEFT_OK);
			ck_assert_uint_eq(done, room);
			next += done;
			ck_assert(weft_chan_is_full(chan));
			done = 99;
			ck_assert_int_eq(
				weft_chan_send_many(chan, in, 2, &done, WEFT_NOW), WEFT_ETIMEDOUT);
			ck_assert_uint_eq(done, 99);
			ck_assert_int_eq(
				weft_chan_recv_many(chan, out, take, &done, WEFT_NOW), WEFT_OK);
			ck_assert_uint_eq(done, take);
			for (size_t i = 0; i < done; i++)
				ck_assert_uint_eq(out[i], got++);
		}
		if (next > got) {
			ck_assert_int_eq(
				weft_chan_recv_many(chan, out, 200, &done, WEFT_NOW), WEFT_OK);
			ck_assert_uint_eq(done, next - got);
		}
		done = 99;
		ck_assert_int_eq(
			weft_chan_recv_many(chan, out, 200, &done, WEFT_NOW), WEFT_ETIMEDOUT);
		ck_assert_int_eq(weft_chan_send_many(chan, NULL, 0, &done, WEFT_NOW), WEFT_OK);
		ck_assert_uint_eq(done, 0);
		weft_chan_unref(chan);
	}
}
END_TEST

START_TEST(batch_goes_over_blocks_and_gives_them_back)
{
	weft_chan *chan = chan_of(8, WEFT_CHAN_UNBOUNDED);
	uint64_t in[300], out[300], next = 0, got = 0, state = t_seed();
	int64_t empty = t_malloc_live();
	size_t done;

	for (int i = 0; i < 2000; i++) {
		fill(in, 300, next);
		ck_assert_int_eq(
			weft_chan_send_many(chan, in, t_random(&state) % 100, &done, WEFT_FOREVER),
			WEFT_OK);
		next += done;
		ck_assert_uint_eq(weft_chan_len(chan), next - got);
		if (next == got)
			continue;
		ck_assert_int_eq(weft_chan_recv_many(chan, out, 1 + t_random(&state) % 100, &done,
					 WEFT_FOREVER),
			WEFT_OK);
		for (size_t k = 0; k < done; k++)
			T_OUGHT(out[k] == got++);
	}
	fill(in, 300, next);
	ck_assert_int_eq(weft_chan_send_many(chan, in, 300, &done, WEFT_FOREVER), WEFT_OK);
	ck_assert_uint_eq(done, WEFT_CHAN_BATCH_MAX);
	next += done;
	while (got < next) {
		ck_assert_int_eq(weft_chan_recv_many(chan, out, 300, &done, WEFT_NOW), WEFT_OK);
		for (size_t k = 0; k < done; k++)
			T_OUGHT(out[k] == got++);
	}
	ck_assert_int_le(t_malloc_live() - empty, 2);
	weft_chan_unref(chan);
}
END_TEST

START_TEST(batch_carries_messages_of_every_size)
{
	static const size_t sizes[] = { 0, 1, 7, 8, 16, 100 };
	static char in[100 * 40], out[100 * 40];

	for (size_t s = 0; s < 6; s++) {
		for (int kind = 0; kind < 2; kind++) {
			weft_chan *chan = chan_of(sizes[s], kind ? 40 : WEFT_CHAN_UNBOUNDED);
			size_t done = 0;

			for (size_t i = 0; i < sizeof(in); i++)
				in[i] = (char)(i * 7 + 1);
			memset(out, 0, sizeof(out));
			ck_assert_int_eq(weft_chan_send_many(
						 chan, sizes[s] ? in : NULL, 40, &done, WEFT_NOW),
				WEFT_OK);
			ck_assert_uint_eq(done, 40);
			ck_assert_int_eq(weft_chan_recv_many(
						 chan, sizes[s] ? out : NULL, 40, &done, WEFT_NOW),
				WEFT_OK);
			ck_assert_uint_eq(done, 40);
			ck_assert_mem_eq(out, in, 40 * sizes[s]);
			weft_chan_unref(chan);
		}
	}
}
END_TEST

START_TEST(batch_after_the_close_has_what_was_sent)
{
	weft_chan *chan = chan_of(8, _i ? WEFT_CHAN_UNBOUNDED : 8);
	uint64_t in[5], out[9];
	size_t done = 99;

	fill(in, 5, 0);
	ck_assert_int_eq(weft_chan_send_many(chan, in, 5, &done, WEFT_NOW), WEFT_OK);
	weft_chan_close(chan);
	done = 99;
	ck_assert_int_eq(weft_chan_send_many(chan, in, 5, &done, WEFT_FOREVER), WEFT_ECLOSED);
	ck_assert_uint_eq(done, 99);
	ck_assert_int_eq(weft_chan_recv_many(chan, out, 9, &done, WEFT_FOREVER), WEFT_OK);
	ck_assert_uint_eq(done, 5);
	ck_assert_mem_eq(out, in, sizeof(in));
	ck_assert_int_eq(weft_chan_recv_many(chan, out, 9, &done, WEFT_FOREVER), WEFT_ECLOSED);
	weft_chan_unref(chan);
}
END_TEST

START_TEST(batch_that_finds_no_memory_says_how_much_it_sent)
{
	T_EACH_FAILING_MALLOC(n) {
		uint64_t in[WEFT_CHAN_BATCH_MAX], out, got = 0, sent = 0;
		weft_chan *chan = NULL;

		if (weft_chan_create(&chan, 8, WEFT_CHAN_UNBOUNDED, NULL) == WEFT_OK) {
			for (int i = 0; i < 3; i++) {
				size_t done = 0;
				weft_err err;

				fill(in, 100, sent);
				err = weft_chan_send_many(chan, in, 100, &done, WEFT_FOREVER);
				ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && done == 0));
				sent += done;
			}
			ck_assert_uint_eq(weft_chan_len(chan), sent);
			while (weft_chan_try_recv(chan, &out) == WEFT_OK)
				ck_assert_uint_eq(out, got++);
			ck_assert_uint_eq(got, sent);
		}
		weft_chan_unref(chan);
	}
}
END_TEST

/* --- who waits ------------------------------------------------------------------------------- */

struct batch {
	weft_chan *chan;
	bool send;
	uint64_t values[8];
	size_t count, done;
	weft_err err;
	bool returned;
};

static weft_err batch_body(void *arg)
{
	struct batch *b = arg;

	b->err = b->send
		? weft_chan_send_many(b->chan, b->values, b->count, &b->done, WEFT_FOREVER)
		: weft_chan_recv_many(b->chan, b->values, b->count, &b->done, WEFT_FOREVER);
	b->returned = true;
	return WEFT_OK;
}

static struct batch batch_of(weft_chan *chan, bool send, size_t count)
{
	struct batch b = { .chan = chan, .send = send, .count = count, .err = WEFT_EPROTO };

	fill(b.values, 8, 100);
	return b;
}

static weft_err one_batch_wakes_many(void *arg)
{
	weft_chan *chan = arg;
	struct batch w[4];
	weft_scope *scope;
	uint64_t in[8];
	size_t done = 0;

	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	for (size_t i = 0; i < 4; i++) {
		w[i] = batch_of(chan, false, 1);
		ck_assert_int_eq(weft_scope_spawn(scope, "recv", batch_body, &w[i]), WEFT_OK);
	}
	crew_settle();
	fill(in, 8, 0);
	while (done < 3) {
		size_t more = 0;

		ck_assert_int_eq(
			weft_chan_send_many(chan, in + done, 3 - done, &more, WEFT_FOREVER),
			WEFT_OK);
		done += more;
	}
	crew_settle();
	for (size_t i = 0; i < 3; i++) {
		ck_assert(w[i].returned && w[i].err == WEFT_OK && w[i].done == 1);
		ck_assert_uint_eq(w[i].values[0], i);
	}
	ck_assert(!w[3].returned);
	weft_chan_close(chan);
	crew_settle();
	ck_assert(w[3].returned && w[3].err == WEFT_ECLOSED && w[3].values[0] == 100);
	weft_scope_free(scope);
	return WEFT_OK;
}

START_TEST(batch_wakes_one_waiter_for_each_message)
{
	static const size_t capacities[] = { 0, 1, 8, WEFT_CHAN_UNBOUNDED };
	weft_chan *chan = chan_of(8, capacities[_i]);

	ck_assert_int_eq(crew_main(1, one_batch_wakes_many, chan), WEFT_OK);
	weft_chan_unref(chan);
}
END_TEST

static weft_err waits_for_room(void *arg)
{
	weft_chan *chan = arg;
	struct batch a = batch_of(chan, true, 8), b = batch_of(chan, true, 2);
	weft_scope *scope, *doomed;
	uint64_t in[2] = { 1, 2 }, out[8];
	size_t done;

	ck_assert_int_eq(weft_chan_send_many(chan, in, 2, &done, WEFT_NOW), WEFT_OK);
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_create(&doomed), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(doomed, "doomed", batch_body, &b), WEFT_OK);
	crew_settle();
	weft_scope_cancel(doomed);
	crew_settle();
	ck_assert(b.returned && b.err == WEFT_ECANCELED && b.done == 0);
	ck_assert_int_eq(weft_scope_spawn(scope, "sender", batch_body, &a), WEFT_OK);
	crew_settle();
	ck_assert(!a.returned);
	/* both slots come free at once: the batch has one sent for it, then takes the other */
	ck_assert_int_eq(weft_chan_recv_many(chan, out, 8, &done, WEFT_NOW), WEFT_OK);
	ck_assert_uint_eq(done, 2);
	crew_settle();
	ck_assert(a.returned && a.err == WEFT_OK && a.done == 2);
	ck_assert_int_eq(weft_chan_recv_many(chan, out, 8, &done, WEFT_NOW), WEFT_OK);
	ck_assert(done == 2 && out[0] == 100 && out[1] == 101);
	weft_scope_free(scope);
	weft_scope_free(doomed);
	return WEFT_OK;
}

START_TEST(batch_waits_only_while_nothing_fits)
{
	weft_chan *chan = chan_of(8, 2);

	ck_assert_int_eq(crew_main(1, waits_for_room, chan), WEFT_OK);
	weft_chan_unref(chan);
}
END_TEST

static weft_err meets_many(void *arg)
{
	weft_chan *chan = chan_of(8, 0);
	struct batch senders[3];
	weft_scope *scope;
	uint64_t out[8];
	size_t done = 99;

	(void)arg;
	ck_assert_int_eq(weft_chan_recv_many(chan, out, 8, &done, WEFT_NOW), WEFT_ETIMEDOUT);
	ck_assert_uint_eq(done, 99);
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	for (size_t i = 0; i < 3; i++) {
		senders[i] = batch_of(chan, true, 1);
		senders[i].values[0] = i;
		ck_assert_int_eq(weft_scope_spawn(scope, "send", batch_body, &senders[i]), WEFT_OK);
	}
	crew_settle();
	ck_assert_int_eq(weft_chan_recv_many(chan, out, 8, &done, WEFT_FOREVER), WEFT_OK);
	ck_assert_uint_eq(done, 3);
	crew_settle();
	for (size_t i = 0; i < 3; i++)
		ck_assert(out[i] == i && senders[i].returned && senders[i].done == 1);
	weft_scope_free(scope);
	weft_chan_unref(chan);
	return WEFT_OK;
}

START_TEST(batch_of_a_rendezvous_meets_all_who_wait)
{
	ck_assert_int_eq(crew_main(1, meets_many, NULL), WEFT_OK);
}
END_TEST

static void chan_batch_tests(TCase *tc)
{
	t_add(tc, batch_sends_as_many_as_fit_and_receives_what_is_there);
	t_add(tc, batch_goes_over_blocks_and_gives_them_back);
	t_add(tc, batch_carries_messages_of_every_size);
	t_add_loop(tc, batch_after_the_close_has_what_was_sent, 0, 2);
	t_add(tc, batch_that_finds_no_memory_says_how_much_it_sent);
	t_add_loop(tc, batch_wakes_one_waiter_for_each_message, 0, 4);
	t_add(tc, batch_waits_only_while_nothing_fits);
	t_add(tc, batch_of_a_rendezvous_meets_all_who_wait);
}
T_SUITE("chan_batch", chan_batch_tests)
