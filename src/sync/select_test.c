/* SPDX-License-Identifier: MIT */
/* Select: exactly one case, step by step and under races. weft-test: timeout=300 */
#include "support/crew.h"
#include "support/t.h"
#include "sync/ring.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static weft_chan *chan_of(size_t capacity)
{
	weft_chan *chan = NULL;

	ck_assert_int_eq(weft_chan_create(&chan, 8, capacity, NULL), WEFT_OK);
	return chan;
}

static weft_select_case send_case(weft_chan *chan, uint64_t *value)
{
	return (weft_select_case){ .kind = WEFT_SELECT_SEND, .chan = chan, .message = value };
}

static weft_select_case recv_case(weft_chan *chan, uint64_t *value)
{
	return (weft_select_case){ .kind = WEFT_SELECT_RECV, .chan = chan, .message = value };
}

/* --- one caller ------------------------------------------------------------------------ */

START_TEST(select_refuses_cases_that_lack_their_object)
{
	static const weft_select_kind lacking[] = { WEFT_SELECT_SEND, WEFT_SELECT_RECV,
		WEFT_SELECT_CANCELLED, WEFT_SELECT_ONESHOT, WEFT_SELECT_CLOSED,
		(weft_select_kind)1000 };
	weft_select_case cases[WEFT_SELECT_CASES_MAX + 1];
	size_t chosen = 99;

	memset(cases, 0, sizeof(cases));
	ck_assert_int_eq(
		weft_select(cases, WEFT_SELECT_CASES_MAX + 1, 0, &chosen, WEFT_NOW), WEFT_EINVAL);
	for (size_t i = 0; i < sizeof(lacking) / sizeof(lacking[0]); i++) {
		cases[1].kind = lacking[i];
		ck_assert_int_eq(weft_select(cases, 2, 0, &chosen, WEFT_NOW), WEFT_EINVAL);
		ck_assert_ptr_nonnull(strstr(weft_error_detail(), "case 1"));
	}
	ck_assert_uint_eq(chosen, 99);
}
END_TEST

START_TEST(select_of_nothing_waits_for_its_deadline)
{
	weft_select_case none = { .kind = WEFT_SELECT_NONE };
	weft_deadline until = weft_after_ms(3);
	size_t chosen = 99;

	ck_assert_int_eq(weft_select(&none, 1, 0, &chosen, until), WEFT_ETIMEDOUT);
	ck_assert_int_ge(weft_now(), until);
	ck_assert_int_eq(weft_select(NULL, 0, 0, &chosen, WEFT_NOW), WEFT_ETIMEDOUT);
	ck_assert_uint_eq(chosen, 99);
}
END_TEST

START_TEST(select_does_the_one_case_that_is_ready)
{
	uint64_t in = 5, out = 0, unused = 3;
	weft_chan *empty = chan_of(2), *full = chan_of(1), *meet = chan_of(0);
	weft_select_case cases[] = { recv_case(empty, &out), send_case(full, &unused),
		send_case(meet, &unused), recv_case(meet, &unused) };
	size_t chosen = 99;

	ck_assert_int_eq(weft_chan_try_send(full, &in), WEFT_OK);
	ck_assert_int_eq(weft_select(cases, 4, 0, &chosen, WEFT_NOW), WEFT_ETIMEDOUT);
	ck_assert_int_eq(weft_chan_try_send(empty, &in), WEFT_OK);
	ck_assert_int_eq(weft_select(cases, 4, 0, &chosen, WEFT_NOW), WEFT_OK);
	ck_assert_uint_eq(chosen, 0);
	ck_assert_int_eq(cases[0].result, WEFT_OK);
	ck_assert_uint_eq(out, 5);
	ck_assert_int_eq(weft_chan_try_recv(full, &out), WEFT_OK);
	ck_assert_int_eq(weft_select(cases, 4, 0, &chosen, WEFT_FOREVER), WEFT_OK);
	ck_assert_uint_eq(chosen, 1);
	ck_assert_uint_eq(weft_chan_len(full), 1);
	weft_chan_unref(empty);
	weft_chan_unref(full);
	weft_chan_unref(meet);
}
END_TEST

START_TEST(select_biased_takes_the_first_that_is_ready)
{
	weft_chan *a = chan_of(0), *b = chan_of(4), *c = chan_of(4);
	uint64_t value = 1;
	weft_select_case cases[] = { recv_case(a, &value), recv_case(b, &value),
		recv_case(c, &value) };
	size_t chosen;

	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(weft_chan_try_send(b, &value), WEFT_OK);
		ck_assert_int_eq(weft_chan_try_send(c, &value), WEFT_OK);
	}
	for (size_t i = 0; i < 8; i++) {
		ck_assert_int_eq(
			weft_select(cases, 3, WEFT_SELECT_BIASED, &chosen, WEFT_NOW), WEFT_OK);
		ck_assert_uint_eq(chosen, i < 4 ? 1 : 2);
	}
	weft_chan_unref(a);
	weft_chan_unref(b);
	weft_chan_unref(c);
}
END_TEST

START_TEST(select_fair_gives_ready_cases_equal_chances)
{
	enum { CASES = 7, TURNS = 6000 };
	weft_chan *idle = chan_of(1), *ready = chan_of(1);
	weft_select_case cases[CASES];
	size_t counts[CASES] = { 0 };
	uint64_t value = 1, out;

	/* two next to each other and one alone, among those that are not ready */
	for (size_t i = 0; i < CASES; i++)
		cases[i] =
			i == 1 || i == 2 || i == 5 ? recv_case(ready, &out) : recv_case(idle, &out);
	for (int turn = 0; turn < TURNS; turn++) {
		size_t chosen;

		ck_assert_int_eq(weft_chan_try_send(ready, &value), WEFT_OK);
		ck_assert_int_eq(
			weft_select(cases, CASES, WEFT_SELECT_FAIR, &chosen, WEFT_NOW), WEFT_OK);
		counts[chosen]++;
	}
	ck_assert_uint_eq(counts[1] + counts[2] + counts[5], TURNS);
	for (size_t i = 1; i <= 5; i += i == 2 ? 3 : 1) {
		ck_assert_uint_gt(counts[i], TURNS / 3 - 250);
		ck_assert_uint_lt(counts[i], TURNS / 3 + 250);
	}
	weft_chan_unref(idle);
	weft_chan_unref(ready);
}
END_TEST

START_TEST(select_reports_a_closed_channel_as_the_case_result)
{
	static const size_t capacities[] = { 0, 1, WEFT_CHAN_UNBOUNDED };

	for (size_t c = 0; c < 3; c++) {
		weft_chan *open = chan_of(0), *closed = chan_of(capacities[c]);
		uint64_t value = 8;
		weft_select_case cases[] = { recv_case(open, &value), recv_case(closed, &value) };
		size_t chosen = 99;

		weft_chan_close(closed);
		ck_assert_int_eq(weft_select(cases, 2, 0, &chosen, WEFT_FOREVER), WEFT_OK);
		ck_assert_uint_eq(chosen, 1);
		ck_assert_int_eq(cases[1].result, WEFT_ECLOSED);
		cases[1].kind = WEFT_SELECT_SEND;
		ck_assert_int_eq(weft_select(cases, 2, 0, &chosen, WEFT_FOREVER), WEFT_OK);
		ck_assert_int_eq(cases[1].result, WEFT_ECLOSED);
		ck_assert_uint_eq(value, 8);
		weft_chan_unref(open);
		weft_chan_unref(closed);
	}
}
END_TEST

START_TEST(select_unbounded_send_that_finds_no_memory_fails_whole)
{
	T_EACH_FAILING_MALLOC(n) {
		weft_chan *chan = NULL;

		if (weft_chan_create(&chan, 8, WEFT_CHAN_UNBOUNDED, NULL) == WEFT_OK) {
			for (uint64_t i = 0; i < 100; i++) {
				weft_select_case send = send_case(chan, &i);
				size_t chosen;
				weft_err err = weft_select(&send, 1, 0, &chosen, WEFT_FOREVER);

				ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
			}
		}
		weft_chan_unref(chan);
	}
}
END_TEST

START_TEST(select_takes_a_token_and_a_oneshot)
{
	weft_cancel *token;
	weft_oneshot *oneshot;
	uint64_t value = 6, out = 0;
	weft_select_case cases[2];
	size_t chosen;

	memset(cases, 0, sizeof(cases));
	ck_assert_int_eq(weft_cancel_create(&token, NULL), WEFT_OK);
	ck_assert_int_eq(weft_oneshot_create(&oneshot, 8), WEFT_OK);
	cases[0].kind = WEFT_SELECT_CANCELLED;
	cases[0].token = token;
	cases[1].kind = WEFT_SELECT_ONESHOT;
	cases[1].oneshot = oneshot;
	cases[1].message = &out;
	ck_assert_int_eq(weft_select(cases, 2, 0, &chosen, weft_after_ms(1)), WEFT_ETIMEDOUT);
	ck_assert_int_eq(weft_oneshot_send(oneshot, &value), WEFT_OK);
	ck_assert_int_eq(weft_select(cases, 2, 0, &chosen, WEFT_FOREVER), WEFT_OK);
	ck_assert(chosen == 1 && cases[1].result == WEFT_OK && out == 6);
	weft_cancel_trigger(token, WEFT_OK);
	ck_assert_int_eq(weft_select(cases, 2, WEFT_SELECT_BIASED, &chosen, WEFT_FOREVER), WEFT_OK);
	ck_assert(chosen == 0 && cases[0].result == WEFT_OK);
	weft_oneshot_close_sender(oneshot);
	cases[0].kind = WEFT_SELECT_NONE;
	ck_assert_int_eq(weft_select(cases, 2, 0, &chosen, WEFT_FOREVER), WEFT_OK);
	ck_assert(chosen == 1 && cases[1].result == WEFT_ECLOSED);
	weft_oneshot_close_receiver(oneshot);
	weft_cancel_unref(token);
}
END_TEST

/* --- fibers of one worker ---------------------------------------------------------------- */

struct chooser {
	weft_select_case cases[WEFT_SELECT_CASES_MAX];
	uint64_t values[WEFT_SELECT_CASES_MAX];
	size_t count, chosen;
	weft_select_mode mode;
	weft_err err;
	bool returned;
};

static weft_err choose(void *arg)
{
	struct chooser *c = arg;

	c->err = weft_select(c->cases, c->count, c->mode, &c->chosen, WEFT_FOREVER);
	c->returned = true;
	return WEFT_OK;
}

static void chooser_add(struct chooser *c, weft_select_kind kind, weft_chan *chan, uint64_t value)
{
	c->values[c->count] = value;
	c->cases[c->count] =
		(weft_select_case){ .kind = kind, .chan = chan, .message = &c->values[c->count] };
	c->count++;
}

static weft_scope *chooser_start(struct chooser *c)
{
	weft_scope *scope = NULL;

	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(scope, "chooser", choose, c), WEFT_OK);
	crew_settle();
	return scope;
}

static weft_err never_itself(void *arg)
{
	weft_chan *meet = chan_of(0);
	static struct chooser a, b;
	weft_scope *one, *two;
	struct chooser *sender, *receiver;

	(void)arg;
	chooser_add(&a, WEFT_SELECT_SEND, meet, 1);
	chooser_add(&a, WEFT_SELECT_RECV, meet, 0);
	chooser_add(&b, WEFT_SELECT_RECV, meet, 0);
	chooser_add(&b, WEFT_SELECT_SEND, meet, 2);
	one = chooser_start(&a);
	ck_assert(!a.returned);
	two = chooser_start(&b);
	ck_assert(a.returned && b.returned);
	sender = a.cases[a.chosen].kind == WEFT_SELECT_SEND ? &a : &b;
	receiver = sender == &a ? &b : &a;
	ck_assert_int_eq(receiver->cases[receiver->chosen].kind, WEFT_SELECT_RECV);
	ck_assert_uint_eq(receiver->values[receiver->chosen], sender->values[sender->chosen]);
	weft_scope_free(one);
	weft_scope_free(two);
	weft_chan_unref(meet);
	return WEFT_OK;
}

START_TEST(select_on_both_ends_meets_another_and_never_itself)
{
	ck_assert_int_eq(crew_main(1, never_itself, NULL), WEFT_OK);
}
END_TEST

static weft_err recv_one(void *arg)
{
	struct chooser *c = arg;

	c->err = weft_chan_recv(c->cases[0].chan, &c->values[0], WEFT_FOREVER);
	c->returned = true;
	return WEFT_OK;
}

static weft_err passes_on(void *arg)
{
	weft_chan *first = chan_of(2), *second = chan_of(2);
	static struct chooser chooser, plain;
	weft_scope *scope, *other;
	uint64_t value = 10;

	(void)arg;
	chooser_add(&chooser, WEFT_SELECT_RECV, first, 0);
	chooser_add(&chooser, WEFT_SELECT_RECV, second, 0);
	chooser.mode = WEFT_SELECT_BIASED;
	scope = chooser_start(&chooser);
	plain.cases[0].chan = second;
	ck_assert_int_eq(weft_scope_create(&other), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(other, "plain", recv_one, &plain), WEFT_OK);
	crew_settle();
	/* told to look at the second channel, the select finds the first one ready, too */
	ck_assert_int_eq(ring_put(second, &value), WEFT_OK);
	wait_wake_one(&second->receivers);
	value = 20;
	ck_assert_int_eq(ring_put(first, &value), WEFT_OK);
	crew_settle();
	ck_assert(chooser.returned && chooser.chosen == 0 && chooser.values[0] == 20);
	ck_assert(plain.returned && plain.values[0] == 10);
	weft_scope_free(scope);
	weft_scope_free(other);
	weft_chan_unref(first);
	weft_chan_unref(second);
	return WEFT_OK;
}

static weft_err receives_by_its_partner(void *arg)
{
	weft_chan *first = chan_of(2), *second = chan_of(2);
	static struct chooser chooser;
	weft_scope *scope;
	uint64_t value = 10;

	(void)arg;
	chooser_add(&chooser, WEFT_SELECT_RECV, first, 0);
	chooser_add(&chooser, WEFT_SELECT_RECV, second, 0);
	chooser.mode = WEFT_SELECT_BIASED;
	scope = chooser_start(&chooser);
	ck_assert_int_eq(weft_chan_try_send(second, &value), WEFT_OK);
	/* what was received in its place is received, whatever else gets ready or comes */
	ck_assert(weft_chan_is_empty(second));
	ck_assert_int_eq(weft_chan_try_send(first, &value), WEFT_OK);
	weft_scope_cancel(scope);
	crew_settle();
	ck_assert(chooser.returned && chooser.err == WEFT_OK);
	ck_assert(chooser.chosen == 1 && chooser.values[1] == 10);
	ck_assert_uint_eq(weft_chan_len(first), 1);
	weft_scope_free(scope);
	weft_chan_unref(first);
	weft_chan_unref(second);
	return WEFT_OK;
}

START_TEST(select_whose_case_was_done_in_its_place_does_no_other)
{
	ck_assert_int_eq(crew_main(1, receives_by_its_partner, NULL), WEFT_OK);
}
END_TEST

/* spec: failure 1, of a select */
START_TEST(select_passes_on_the_wake_of_a_case_it_did_not_do)
{
	ck_assert_int_eq(crew_main(1, passes_on, NULL), WEFT_OK);
}
END_TEST

static weft_err cancelled_select(void *arg)
{
	weft_chan *ring = chan_of(1), *meet = chan_of(0);
	static struct chooser c;
	weft_scope *scope;
	uint64_t value = 1;

	(void)arg;
	chooser_add(&c, WEFT_SELECT_RECV, ring, 55);
	chooser_add(&c, WEFT_SELECT_RECV, meet, 56);
	c.chosen = 99;
	scope = chooser_start(&c);
	weft_scope_cancel(scope);
	crew_settle();
	ck_assert(c.returned && c.err == WEFT_ECANCELED && c.chosen == 99);
	ck_assert(c.values[0] == 55 && c.values[1] == 56);
	/* it has left every list */
	ck_assert_int_eq(weft_chan_try_send(meet, &value), WEFT_EAGAIN);
	ck_assert_int_eq(weft_chan_try_send(ring, &value), WEFT_OK);
	weft_scope_free(scope);
	weft_chan_unref(ring);
	weft_chan_unref(meet);
	return WEFT_OK;
}

START_TEST(select_cancelled_has_done_nothing)
{
	ck_assert_int_eq(crew_main(1, cancelled_select, NULL), WEFT_OK);
}
END_TEST

static weft_err woken_by_each(void *arg)
{
	for (size_t i = 0; i < WEFT_SELECT_CASES_MAX; i++) {
		static struct chooser c;
		weft_chan *chans[WEFT_SELECT_CASES_MAX];
		uint64_t value = 1000 + i;
		weft_scope *scope;

		memset(&c, 0, sizeof(c));
		for (size_t k = 0; k < WEFT_SELECT_CASES_MAX; k++) {
			chans[k] = chan_of(k % 3 == 2 ? WEFT_CHAN_UNBOUNDED : k % 3);
			chooser_add(&c, WEFT_SELECT_RECV, chans[k], 0);
		}
		scope = chooser_start(&c);
		ck_assert(!c.returned);
		if (arg)
			weft_chan_close(chans[i]);
		else
			ck_assert_int_eq(weft_chan_try_send(chans[i], &value), WEFT_OK);
		crew_settle();
		ck_assert(c.returned && c.err == WEFT_OK && c.chosen == i);
		ck_assert_int_eq(c.cases[i].result, arg ? WEFT_ECLOSED : WEFT_OK);
		ck_assert_uint_eq(c.values[i], arg ? 0 : value);
		weft_scope_free(scope);
		for (size_t k = 0; k < WEFT_SELECT_CASES_MAX; k++)
			weft_chan_unref(chans[k]);
	}
	return WEFT_OK;
}

START_TEST(select_of_the_most_cases_is_woken_by_each)
{
	int64_t live = t_malloc_live();

	ck_assert_int_eq(crew_main(1, woken_by_each, _i ? &live : NULL), WEFT_OK);
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

static weft_err token_wakes(void *arg)
{
	weft_cancel *token;
	weft_chan *chan = chan_of(0);
	static struct chooser c;
	weft_scope *scope;

	(void)arg;
	ck_assert_int_eq(weft_cancel_create(&token, NULL), WEFT_OK);
	chooser_add(&c, WEFT_SELECT_RECV, chan, 0);
	chooser_add(&c, WEFT_SELECT_CANCELLED, NULL, 0);
	c.cases[1].token = token;
	scope = chooser_start(&c);
	ck_assert(!c.returned);
	weft_cancel_trigger(token, WEFT_OK);
	crew_settle();
	ck_assert(c.returned && c.err == WEFT_OK && c.chosen == 1);
	weft_scope_free(scope);
	weft_cancel_unref(token);
	weft_chan_unref(chan);
	return WEFT_OK;
}

START_TEST(select_is_woken_by_a_token)
{
	ck_assert_int_eq(crew_main(1, token_wakes, NULL), WEFT_OK);
}
END_TEST

START_TEST(select_timer_is_a_case_of_its_own)
{
	weft_chan *chan = chan_of(1);
	weft_deadline first = weft_after_ms(3);
	uint64_t value = 5;
	weft_select_case cases[] = { recv_case(chan, &value),
		{ .kind = WEFT_SELECT_TIMER, .at = weft_after_ms(60000) },
		{ .kind = WEFT_SELECT_TIMER, .at = first } };
	size_t chosen = 99;

	ck_assert_int_eq(weft_select(cases, 3, 0, &chosen, WEFT_FOREVER), WEFT_OK);
	ck_assert(chosen == 2 && cases[2].result == WEFT_OK && weft_now() >= first);
	/* one that has come is ready at once; the deadline comes after it */
	ck_assert_int_eq(weft_select(cases, 3, 0, &chosen, WEFT_NOW), WEFT_OK);
	ck_assert_uint_eq(chosen, 2);
	cases[2].at = weft_after_ms(2);
	ck_assert_int_eq(weft_select(cases, 3, 0, &chosen, cases[2].at), WEFT_OK);
	ck_assert_uint_eq(chosen, 2);
	cases[2].at = WEFT_FOREVER;
	chosen = 99;
	ck_assert_int_eq(weft_select(cases, 3, 0, &chosen, weft_after_ms(2)), WEFT_ETIMEDOUT);
	ck_assert_uint_eq(chosen, 99);
	cases[2].at = WEFT_NOW;
	ck_assert_int_eq(weft_chan_try_send(chan, &value), WEFT_OK);
	ck_assert_int_eq(weft_select(cases, 3, WEFT_SELECT_BIASED, &chosen, WEFT_FOREVER), WEFT_OK);
	ck_assert_uint_eq(chosen, 0);
	weft_chan_unref(chan);
}
END_TEST

static weft_err close_wakes_select(void *arg)
{
	weft_chan *chan = chan_of(*(size_t *)arg);
	weft_oneshot *shot = NULL;
	static struct chooser c, d;
	weft_scope *one, *two;

	ck_assert_int_eq(weft_oneshot_create(&shot, 8), WEFT_OK);
	memset(&c, 0, sizeof(c));
	memset(&d, 0, sizeof(d));
	chooser_add(&c, WEFT_SELECT_CLOSED, chan, 0);
	chooser_add(&d, WEFT_SELECT_CLOSED, NULL, 0);
	d.cases[0].oneshot = shot;
	one = chooser_start(&c);
	two = chooser_start(&d);
	ck_assert(!c.returned && !d.returned);
	weft_chan_close(chan);
	crew_settle();
	ck_assert(c.returned && c.err == WEFT_OK && c.cases[0].result == WEFT_OK);
	ck_assert(!d.returned);
	weft_oneshot_shut(shot);
	crew_settle();
	ck_assert(d.returned && d.err == WEFT_OK && d.cases[0].result == WEFT_OK);
	weft_scope_free(one);
	weft_scope_free(two);
	weft_oneshot_close_sender(shot);
	weft_oneshot_close_receiver(shot);
	weft_chan_unref(chan);
	return WEFT_OK;
}

START_TEST(select_is_woken_by_a_close)
{
	static size_t capacities[] = { 0, 1, WEFT_CHAN_UNBOUNDED };

	ck_assert_int_eq(crew_main(1, close_wakes_select, &capacities[_i]), WEFT_OK);
}
END_TEST

/* --- races ------------------------------------------------------------------------------- */

enum { PARTIES_MAX = 6, CHANS = 4, ROUNDS = 800, SIM_ROUNDS = 40, SIM_SEEDS = 15 };

struct market {
	weft_chan *chans[CHANS];
	uint64_t seed;
	uint32_t rounds;
	_Atomic uint32_t sellers;
	_Atomic uint8_t sent[PARTIES_MAX][ROUNDS];
	_Atomic uint8_t received[PARTIES_MAX][ROUNDS];
};

struct party {
	struct market *market;
	uint32_t id;
};

static weft_deadline random_deadline(uint64_t *state)
{
	uint64_t r = t_random(state);

	return r % 4 == 0    ? WEFT_NOW
		: r % 4 == 1 ? weft_after_ns((int64_t)(r / 4 % 30000))
			     : WEFT_FOREVER;
}

static uint64_t goods(uint32_t id, uint32_t round)
{
	return (uint64_t)id << 32 | round;
}

static void take(struct market *m, uint64_t message, uint32_t self)
{
	T_OUGHT(message >> 32 < PARTIES_MAX);
	T_OUGHT(message >> 32 != self);
	T_OUGHT(atomic_exchange(&m->received[message >> 32][message & UINT32_MAX], 1) == 0);
}

static weft_err sell(void *arg)
{
	struct party *p = arg;
	struct market *m = p->market;
	uint64_t state = m->seed + p->id;

	for (uint32_t n = 0; n < m->rounds; n++) {
		uint64_t message = goods(p->id, n);
		weft_select_case cases[CHANS];
		size_t chosen;
		weft_err err;

		for (size_t i = 0; i < CHANS; i++)
			cases[i] = send_case(m->chans[(i + n) % CHANS], &message);
		err = weft_select(cases, CHANS, n % 2, &chosen, random_deadline(&state));
		T_OUGHT(err == WEFT_OK || err == WEFT_ETIMEDOUT);
		if (err == WEFT_OK) {
			T_OUGHT(cases[chosen].result == WEFT_OK);
			atomic_store(&m->sent[p->id][n], 1);
		}
	}
	if (atomic_fetch_sub(&m->sellers, 1) == 1) {
		for (size_t i = 0; i < CHANS; i++)
			weft_chan_close(m->chans[i]);
	}
	return WEFT_OK;
}

static weft_err buy(void *arg)
{
	struct party *p = arg;
	struct market *m = p->market;
	uint64_t state = m->seed + 100 + p->id, messages[CHANS];
	weft_select_case cases[CHANS];
	size_t open = CHANS;

	for (size_t i = 0; i < CHANS; i++)
		cases[i] = recv_case(m->chans[i], &messages[i]);
	while (open > 0) {
		size_t chosen;
		weft_err err = weft_select(
			cases, CHANS, t_random(&state) % 2, &chosen, random_deadline(&state));

		T_OUGHT(err == WEFT_OK || err == WEFT_ETIMEDOUT);
		if (err != WEFT_OK)
			continue;
		if (cases[chosen].result == WEFT_ECLOSED) {
			cases[chosen].kind = WEFT_SELECT_NONE;
			open--;
			continue;
		}
		take(m, messages[chosen], UINT32_MAX);
	}
	return WEFT_OK;
}

/* Sends and receives at once, on channels without room; ends when its sends are done and
 * the others', too. */
static weft_err trade(void *arg)
{
	struct party *p = arg;
	struct market *m = p->market;
	uint64_t state = m->seed + p->id, in, out;
	uint32_t n = 0;

	while (n < m->rounds || atomic_load(&m->sellers) > 0) {
		weft_select_case cases[] = { send_case(m->chans[t_random(&state) % CHANS], &out),
			recv_case(m->chans[0], &in), recv_case(m->chans[1], &in),
			recv_case(m->chans[2], &in), recv_case(m->chans[3], &in) };
		size_t chosen;
		weft_err err;

		out = goods(p->id, n);
		if (n == m->rounds)
			cases[0].kind = WEFT_SELECT_NONE;
		err = weft_select(cases, 5, n % 2, &chosen,
			weft_after_ns((int64_t)(t_random(&state) % 60000)));
		T_OUGHT(err == WEFT_OK || err == WEFT_ETIMEDOUT);
		if (err == WEFT_OK && chosen > 0)
			take(m, in, p->id);
		if (err == WEFT_OK && chosen == 0) {
			atomic_store(&m->sent[p->id][n], 1);
			if (++n == m->rounds)
				atomic_fetch_sub(&m->sellers, 1);
		}
	}
	return WEFT_OK;
}

static void market_run(enum crew_mode mode, const size_t *capacities, uint32_t sellers,
	weft_err (*const bodies[2])(void *), uint32_t rounds, uint64_t seed)
{
	struct market *m = calloc(1, sizeof(*m));
	struct crew_member members[PARTIES_MAX];
	struct party parties[PARTIES_MAX];

	ck_assert_ptr_nonnull(m);
	m->seed = seed;
	m->rounds = rounds;
	atomic_store(&m->sellers, sellers);
	for (size_t i = 0; i < CHANS; i++)
		m->chans[i] = chan_of(capacities[i]);
	for (uint32_t i = 0; i < PARTIES_MAX; i++) {
		parties[i] = (struct party){ m, i };
		members[i] = (struct crew_member){ bodies[i >= sellers], &parties[i] };
	}
	crew_run(mode, seed, members, PARTIES_MAX);
	for (size_t p = 0; p < PARTIES_MAX; p++) {
		for (size_t n = 0; n < rounds; n++)
			T_OUGHT(m->sent[p][n] == m->received[p][n]);
	}
	for (size_t i = 0; i < CHANS; i++)
		weft_chan_unref(m->chans[i]);
	free(m);
}

static void market_runs(enum crew_mode mode, const size_t *capacities, uint32_t sellers,
	weft_err (*sells)(void *), weft_err (*buys)(void *))
{
	weft_err (*const bodies[2])(void *) = { sells, buys };
	uint64_t seed = t_seed();

	if (mode != CREW_SIM) {
		market_run(mode, capacities, sellers, bodies, ROUNDS, seed);
		return;
	}
	for (uint64_t i = 0; i < SIM_SEEDS; i++)
		market_run(mode, capacities, sellers, bodies, SIM_ROUNDS, seed + i);
}

/* spec: failure 2 */
START_TEST(select_loses_no_message_and_doubles_none)
{
	static const size_t capacities[][CHANS] = {
		{ 0, 1, 3, WEFT_CHAN_UNBOUNDED },
		{ 0, 0, 0, 0 },
		{ 1, 1, 2, 2 },
		{ 0, 1, 0, 1 },
	};

	market_runs((enum crew_mode)(_i / 4), capacities[_i % 4], 3, sell, buy);
}
END_TEST

START_TEST(select_sending_and_receiving_at_once_conserves)
{
	static const size_t meets[CHANS] = { 0 };

	market_runs((enum crew_mode)_i, meets, PARTIES_MAX, trade, trade);
}
END_TEST

enum { TRIPS = 10000 };

/* There on one channel, back on the other, each by a select on both of its ends. */
static weft_err trips(void *arg)
{
	struct party *p = arg;
	weft_chan **chans = p->market->chans;

	for (uint64_t i = 0; i < TRIPS; i++) {
		bool send = (i + p->id) % 2;
		uint64_t value = send ? i : UINT64_MAX, unused;
		weft_select_case cases[] = { send ? send_case(chans[i % 2], &value)
						  : recv_case(chans[i % 2], &value),
			recv_case(chans[2], &unused), recv_case(chans[3], &unused) };
		size_t chosen = 99;

		T_OUGHT(weft_select(cases, 3, i % 2, &chosen, WEFT_FOREVER) == WEFT_OK);
		T_OUGHT(chosen == 0 && cases[0].result == WEFT_OK && value == i);
	}
	return WEFT_OK;
}

START_TEST(select_without_deadline_always_meets)
{
	struct market *m = calloc(1, sizeof(*m));
	struct party parties[2] = { { m, 0 }, { m, 1 } };
	struct crew_member members[2] = { { trips, &parties[0] }, { trips, &parties[1] } };

	ck_assert_ptr_nonnull(m);
	for (size_t i = 0; i < CHANS; i++)
		m->chans[i] = chan_of((size_t)(_i / CREW_MODES));
	crew_run((enum crew_mode)(_i % CREW_MODES), t_seed(), members, 2);
	for (size_t i = 0; i < CHANS; i++)
		weft_chan_unref(m->chans[i]);
	free(m);
}
END_TEST

static void select_tests(TCase *tc)
{
	t_add(tc, select_refuses_cases_that_lack_their_object);
	t_add(tc, select_of_nothing_waits_for_its_deadline);
	t_add(tc, select_does_the_one_case_that_is_ready);
	t_add(tc, select_biased_takes_the_first_that_is_ready);
	t_add(tc, select_fair_gives_ready_cases_equal_chances);
	t_add(tc, select_reports_a_closed_channel_as_the_case_result);
	t_add(tc, select_unbounded_send_that_finds_no_memory_fails_whole);
	t_add(tc, select_takes_a_token_and_a_oneshot);
	t_add(tc, select_on_both_ends_meets_another_and_never_itself);
	t_add(tc, select_passes_on_the_wake_of_a_case_it_did_not_do);
	t_add(tc, select_whose_case_was_done_in_its_place_does_no_other);
	t_add(tc, select_cancelled_has_done_nothing);
	t_add_loop(tc, select_of_the_most_cases_is_woken_by_each, 0, 2);
	t_add(tc, select_is_woken_by_a_token);
	t_add(tc, select_timer_is_a_case_of_its_own);
	t_add_loop(tc, select_is_woken_by_a_close, 0, 3);
	t_add_loop(tc, select_loses_no_message_and_doubles_none, 0, 4 * CREW_MODES);
	t_add_loop(tc, select_without_deadline_always_meets, 0, 2 * CREW_MODES);
	t_add_loop(tc, select_sending_and_receiving_at_once_conserves, 0, CREW_MODES);
}
T_SUITE("select", select_tests)
