/* SPDX-License-Identifier: MIT */
/* Counted ends, the wait for the close, draining. */
#include "support/crew.h"
#include "support/t.h"

#include <stdatomic.h>
#include <string.h>

static const size_t kinds[] = { 0, 1, 4, WEFT_CHAN_UNBOUNDED };
enum { KINDS = 4 };

static void count_destroyed(void *message, void *user)
{
	uint64_t value;

	memcpy(&value, message, sizeof(value));
	T_OUGHT(value < 1000000);
	atomic_fetch_add((_Atomic uint32_t *)user, 1);
}

static weft_chan *chan_of(size_t capacity, _Atomic uint32_t *destroyed)
{
	weft_chan_options options = { count_destroyed, destroyed };
	weft_chan *chan = NULL;

	ck_assert_int_eq(
		weft_chan_create(&chan, 8, capacity, destroyed ? &options : NULL), WEFT_OK);
	return chan;
}

static void send_ok(weft_chan *chan, uint64_t value)
{
	ck_assert_int_eq(weft_chan_try_send(chan, &value), WEFT_OK);
}

static weft_err recv_one(weft_chan *chan, uint64_t *value)
{
	return weft_chan_recv(chan, value, WEFT_FOREVER);
}

START_TEST(ends_last_counted_sender_closes_and_receivers_drain)
{
	size_t capacity = kinds[_i];
	weft_chan *chan = chan_of(capacity, NULL), *a, *b;
	uint64_t value = 7;

	ck_assert_uint_eq(weft_chan_sender_count(chan), 0);
	a = weft_chan_sender_ref(chan);
	b = weft_chan_sender_ref(a);
	ck_assert(a == chan && b == chan);
	ck_assert_uint_eq(weft_chan_sender_count(chan), 2);
	ck_assert_uint_eq(weft_chan_receiver_count(chan), 0);
	if (capacity > 0)
		send_ok(a, 1);
	weft_chan_sender_unref(a);
	ck_assert(!weft_chan_is_closed(chan));
	weft_chan_sender_unref(b);
	ck_assert(weft_chan_is_closed(chan));
	ck_assert_uint_eq(weft_chan_sender_count(chan), 0);
	ck_assert_int_eq(weft_chan_try_send(chan, &value), WEFT_ECLOSED);
	if (capacity > 0)
		ck_assert(recv_one(chan, &value) == WEFT_OK && value == 1);
	ck_assert_int_eq(recv_one(chan, &value), WEFT_ECLOSED);
	weft_chan_sender_unref(NULL);
	weft_chan_receiver_unref(NULL);
	weft_chan_unref(chan);
}
END_TEST

START_TEST(ends_last_counted_receiver_closes_and_destroys)
{
	_Atomic uint32_t destroyed = 0;
	size_t capacity = kinds[_i];
	weft_chan *chan = chan_of(capacity, &destroyed);
	uint64_t value = 7, queued = capacity < 4 ? capacity : 4;

	weft_chan_receiver_ref(chan);
	weft_chan_receiver_ref(chan);
	for (uint64_t i = 0; i < queued; i++)
		send_ok(chan, i);
	weft_chan_receiver_unref(chan);
	ck_assert(!weft_chan_is_closed(chan));
	ck_assert_uint_eq(weft_chan_len(chan), queued);
	weft_chan_receiver_unref(chan);
	ck_assert_int_eq(weft_chan_send(chan, &value, WEFT_FOREVER), WEFT_ECLOSED);
	ck_assert_int_eq(recv_one(chan, &value), WEFT_ECLOSED);
	ck_assert_uint_eq(destroyed, queued);
	weft_chan_unref(chan);
	ck_assert_uint_eq(destroyed, queued);
}
END_TEST

START_TEST(ends_plain_reference_is_a_weak_sender)
{
	weft_chan *chan = chan_of(4, NULL), *strong;

	/* no counted end has ever been there */
	ck_assert_ptr_null(weft_chan_sender_try_ref(chan));
	ck_assert_ptr_null(weft_chan_receiver_try_ref(chan));
	weft_chan_sender_ref(chan);
	strong = weft_chan_sender_try_ref(chan);
	ck_assert_ptr_eq(strong, chan);
	ck_assert_uint_eq(weft_chan_sender_count(chan), 2);
	weft_chan_sender_unref(chan);
	ck_assert(!weft_chan_is_closed(chan));
	weft_chan_sender_unref(strong);
	ck_assert(weft_chan_is_closed(chan));
	ck_assert_ptr_null(weft_chan_sender_try_ref(chan));
	/* what is closed stays closed, and is counted nevertheless */
	weft_chan_sender_ref(chan);
	ck_assert_uint_eq(weft_chan_sender_count(chan), 1);
	ck_assert_ptr_null(weft_chan_sender_try_ref(chan));
	weft_chan_sender_unref(chan);
	weft_chan_unref(chan);

	chan = chan_of(4, NULL);
	weft_chan_receiver_ref(chan);
	strong = weft_chan_receiver_try_ref(chan);
	ck_assert_ptr_eq(strong, chan);
	weft_chan_close(chan);
	ck_assert_ptr_null(weft_chan_receiver_try_ref(chan));
	weft_chan_receiver_unref(chan);
	weft_chan_receiver_unref(chan);
	weft_chan_unref(chan);
}
END_TEST

START_TEST(ends_that_were_never_counted_do_not_close)
{
	weft_chan *chan = chan_of(4, NULL);

	weft_chan_ref(chan);
	weft_chan_unref(chan);
	weft_chan_receiver_ref(chan);
	ck_assert(!weft_chan_is_closed(chan));
	weft_chan_close(chan);
	ck_assert_uint_eq(weft_chan_receiver_count(chan), 1);
	/* the last reference of all may be a counted one */
	weft_chan_unref(chan);
	weft_chan_receiver_unref(chan);
}
END_TEST

/* --- waiting for the close ------------------------------------------------------------------ */

struct closer {
	weft_chan *chan;
	weft_err err;
	bool returned;
};

static weft_err wait_closed(void *arg)
{
	struct closer *c = arg;

	c->err = weft_chan_wait_closed(c->chan, WEFT_FOREVER);
	c->returned = true;
	return WEFT_OK;
}

static weft_err closers_wait(void *arg)
{
	weft_chan *chan = arg;
	struct closer first = { chan, WEFT_EPROTO, false }, second = first, doomed = first;
	weft_scope *scope, *cancelled;

	weft_chan_receiver_ref(chan);
	ck_assert_int_eq(weft_chan_wait_closed(chan, WEFT_NOW), WEFT_ETIMEDOUT);
	ck_assert_int_eq(weft_chan_wait_closed(chan, weft_after_ms(2)), WEFT_ETIMEDOUT);
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_create(&cancelled), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(scope, "first", wait_closed, &first), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(scope, "second", wait_closed, &second), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(cancelled, "doomed", wait_closed, &doomed), WEFT_OK);
	crew_settle();
	weft_scope_cancel(cancelled);
	crew_settle();
	ck_assert(doomed.returned && doomed.err == WEFT_ECANCELED);
	ck_assert(!first.returned && !second.returned);
	weft_chan_receiver_unref(chan);
	crew_settle();
	ck_assert(first.returned && first.err == WEFT_OK);
	ck_assert(second.returned && second.err == WEFT_OK);
	ck_assert_int_eq(weft_chan_wait_closed(chan, WEFT_NOW), WEFT_OK);
	weft_scope_free(scope);
	weft_scope_free(cancelled);
	return WEFT_OK;
}

START_TEST(ends_wait_closed_is_woken_by_the_last_receiver)
{
	weft_chan *chan = chan_of(kinds[_i], NULL);

	ck_assert_int_eq(crew_main(1, closers_wait, chan), WEFT_OK);
	weft_chan_unref(chan);
}
END_TEST

/* --- draining --------------------------------------------------------------------------------- */

START_TEST(drain_destroys_what_is_there_and_leaves_the_channel_open)
{
	_Atomic uint32_t destroyed = 0;
	size_t capacity = _i ? WEFT_CHAN_UNBOUNDED : 100;
	weft_chan *chan = chan_of(capacity, &destroyed);
	uint64_t value;

	ck_assert_uint_eq(weft_chan_drain(chan), 0);
	for (uint64_t i = 0; i < 100; i++)
		send_ok(chan, i);
	ck_assert(recv_one(chan, &value) == WEFT_OK && value == 0);
	ck_assert_uint_eq(weft_chan_drain(chan), 99);
	ck_assert_uint_eq(destroyed, 99);
	ck_assert(weft_chan_is_empty(chan));
	send_ok(chan, 5);
	ck_assert(recv_one(chan, &value) == WEFT_OK && value == 5);
	weft_chan_unref(chan);
	ck_assert_uint_eq(destroyed, 99);
	chan = chan_of(0, &destroyed);
	ck_assert_uint_eq(weft_chan_drain(chan), 0);
	weft_chan_unref(chan);
}
END_TEST

static weft_err send_five(void *arg)
{
	for (uint64_t i = 100; i < 105; i++)
		ck_assert_int_eq(weft_chan_send(arg, &i, WEFT_FOREVER), WEFT_OK);
	return WEFT_OK;
}

static weft_err drain_wakes(void *arg)
{
	_Atomic uint32_t destroyed = 0;
	weft_chan *chan = chan_of(2, &destroyed);
	weft_scope *scope;
	uint64_t value;

	(void)arg;
	send_ok(chan, 1);
	send_ok(chan, 2);
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(scope, "sender", send_five, chan), WEFT_OK);
	crew_settle();
	/* two, whatever the sender puts in their place meanwhile */
	ck_assert_uint_eq(weft_chan_drain(chan), 2);
	crew_settle();
	for (uint64_t i = 100; i < 105; i++)
		ck_assert(recv_one(chan, &value) == WEFT_OK && value == i);
	ck_assert_uint_eq(destroyed, 2);
	weft_scope_free(scope);
	weft_chan_unref(chan);
	return WEFT_OK;
}

START_TEST(drain_makes_room_for_senders_who_wait)
{
	ck_assert_int_eq(crew_main(1, drain_wakes, NULL), WEFT_OK);
}
END_TEST

/* --- races -------------------------------------------------------------------------------------- */

enum { SENDERS = 3, WEAK = 2, ROUNDS = 25, SIM_ROUNDS = 10, EACH = 50 };

struct hall {
	weft_chan *chan;
	uint64_t seed;
	_Atomic uint32_t sent, received, destroyed, upgraded;
};

struct guest {
	struct hall *hall;
	uint32_t id;
};

/* Holds a counted end from before the start; gives it up in the end. */
static weft_err strong_sender(void *arg)
{
	struct guest *g = arg;
	uint64_t state = g->hall->seed + g->id;

	for (uint64_t i = 0; i < EACH; i++) {
		weft_err err = weft_chan_send(g->hall->chan, &i, WEFT_FOREVER);

		T_OUGHT(err == WEFT_OK || err == WEFT_ECLOSED);
		atomic_fetch_add(&g->hall->sent, err == WEFT_OK);
		if (t_random(&state) % 8 == 0)
			(void)weft_yield();
	}
	weft_chan_sender_unref(g->hall->chan);
	return WEFT_OK;
}

/* Has a plain reference; sends whenever it can have more, until nobody is left. */
static weft_err weak_sender(void *arg)
{
	struct guest *g = arg;
	weft_chan *strong;

	while ((strong = weft_chan_sender_try_ref(g->hall->chan))) {
		uint64_t value = 9;
		weft_err err = weft_chan_try_send(strong, &value);

		/* a counted sender is here: it is not the end of senders */
		T_OUGHT(err == WEFT_OK || err == WEFT_EAGAIN ||
			weft_chan_receiver_count(strong) == 0);
		atomic_fetch_add(&g->hall->sent, err == WEFT_OK);
		atomic_fetch_add(&g->hall->upgraded, 1);
		weft_chan_sender_unref(strong);
		(void)weft_yield();
	}
	/* whoever left last is about to close, or has */
	T_OUGHT(weft_chan_wait_closed(g->hall->chan, WEFT_FOREVER) == WEFT_OK);
	weft_chan_unref(g->hall->chan);
	return WEFT_OK;
}

/* id 0 leaves early: the last of two receivers, if the other one has left. */
static weft_err counted_receiver(void *arg)
{
	struct guest *g = arg;
	uint64_t value, state = g->hall->seed + 50 + g->id;
	uint32_t patience = g->hall->seed % 2 ? (uint32_t)(t_random(&state) % 100) : UINT32_MAX;

	for (uint32_t i = 0; i < patience; i++) {
		weft_err err = weft_chan_recv(g->hall->chan, &value, WEFT_FOREVER);

		T_OUGHT(err == WEFT_OK || err == WEFT_ECLOSED);
		if (err == WEFT_ECLOSED)
			break;
		atomic_fetch_add(&g->hall->received, 1);
	}
	weft_chan_receiver_unref(g->hall->chan);
	return WEFT_OK;
}

static void hall_run(enum crew_mode mode, size_t capacity, uint64_t seed)
{
	struct crew_member members[SENDERS + WEAK + 2];
	struct guest guests[SENDERS + WEAK + 2];
	struct hall hall = { .seed = seed };

	hall.chan = chan_of(capacity, &hall.destroyed);
	for (uint32_t i = 0; i < SENDERS + WEAK + 2; i++) {
		guests[i] = (struct guest){ &hall, i };
		members[i] = (struct crew_member){ i < SENDERS ? strong_sender
				: i < SENDERS + WEAK	       ? weak_sender
							       : counted_receiver,
			&guests[i] };
		if (i < SENDERS)
			weft_chan_sender_ref(hall.chan);
		else if (i < SENDERS + WEAK)
			weft_chan_ref(hall.chan);
		else
			weft_chan_receiver_ref(hall.chan);
	}
	crew_run(mode, seed, members, SENDERS + WEAK + 2);
	ck_assert(weft_chan_is_closed(hall.chan));
	ck_assert_uint_eq(weft_chan_sender_count(hall.chan), 0);
	ck_assert_uint_eq(weft_chan_receiver_count(hall.chan), 0);
	/* destroyed by who left last, not by the last reference */
	ck_assert_uint_eq(hall.received + hall.destroyed, hall.sent);
	weft_chan_unref(hall.chan);
	ck_assert_uint_eq(hall.received + hall.destroyed, hall.sent);
}

START_TEST(ends_that_come_and_go_lose_nothing_and_close_once)
{
	enum crew_mode mode = (enum crew_mode)(_i / KINDS);
	int64_t live = t_malloc_live();
	uint64_t seed = t_seed();

	for (uint64_t i = 0; i < (mode == CREW_SIM ? SIM_ROUNDS : ROUNDS); i++)
		hall_run(mode, kinds[_i % KINDS], seed + i);
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

static void chan_ends_tests(TCase *tc)
{
	t_add_loop(tc, ends_last_counted_sender_closes_and_receivers_drain, 0, KINDS);
	t_add_loop(tc, ends_last_counted_receiver_closes_and_destroys, 0, KINDS);
	t_add(tc, ends_plain_reference_is_a_weak_sender);
	t_add(tc, ends_that_were_never_counted_do_not_close);
	t_add_loop(tc, ends_wait_closed_is_woken_by_the_last_receiver, 0, KINDS);
	t_add_loop(tc, drain_destroys_what_is_there_and_leaves_the_channel_open, 0, 2);
	t_add(tc, drain_makes_room_for_senders_who_wait);
	t_add_loop(tc, ends_that_come_and_go_lose_nothing_and_close_once, 0, KINDS * CREW_MODES);
}
T_SUITE("chan_ends", chan_ends_tests)
