/* SPDX-License-Identifier: MIT */
/*
 * Every way to send and every way to receive at once, under races: whatever way a message
 * goes, what was sent is received or destroyed, once; nobody waits for ever. Waits are
 * without a deadline as a rule, so that a wake that is lost is a dead stop.
 * weft-test: timeout=300
 */
#include "support/crew.h"
#include "support/t.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 3, EACH = 1200, SIM_EACH = 60, SIM_SEEDS = 15, BATCH = 5, KINDS = 6 };

static const size_t capacities[KINDS] = { 0, 1, 2, 7, 64, WEFT_CHAN_UNBOUNDED };

struct message {
	uint32_t producer, number;
};

struct market {
	weft_chan *chan;
	uint64_t seed;
	uint32_t each;
	uint32_t close_at; /* a producer closes when it gets there; UINT32_MAX: nobody does */
	_Atomic uint8_t sent[SIDE][EACH], gone[SIDE][EACH];
};

struct party {
	struct market *market;
	uint32_t id;
	uint64_t state;
};

static weft_deadline some_deadline(struct party *p)
{
	uint64_t r = t_random(&p->state) % 8;

	return r == 0 ? WEFT_NOW : r == 1 ? weft_after_ns((int64_t)(r % 30000)) : WEFT_FOREVER;
}

static void note_sent(struct market *m, const struct message *message, size_t count)
{
	for (size_t i = 0; i < count; i++)
		atomic_store(&m->sent[message[i].producer][message[i].number], 1);
}

static void note_gone(struct market *m, const struct message *message)
{
	T_OUGHT(message->producer < SIDE && message->number < m->each);
	T_OUGHT(atomic_exchange(&m->gone[message->producer][message->number], 1) == 0);
}

static void on_destroy(void *message, void *user)
{
	struct message copy;

	memcpy(&copy, message, sizeof(copy));
	note_gone(user, &copy);
}

/* By a permit, which may be out over a close, or be given back. */
static weft_err send_reserved(struct party *p, const struct message *m)
{
	weft_chan *chan = p->market->chan;
	weft_chan_permit permit, other;
	weft_err err = weft_chan_reserve(chan, &permit, some_deadline(p));

	if (err != WEFT_OK)
		return err;
	/* with one out, taking another must not wait: for room, it might be for itself */
	if (t_random(&p->state) % 4 == 0 && weft_chan_try_reserve(chan, &other) == WEFT_OK)
		weft_chan_permit_release(&other);
	if (t_random(&p->state) % 4 == 0)
		(void)weft_yield();
	if (t_random(&p->state) % 4 == 0) {
		weft_chan_permit_release(&permit);
		return WEFT_EAGAIN;
	}
	weft_chan_permit_send(&permit, m);
	return WEFT_OK;
}

static weft_err send_selected(struct party *p, struct message *m)
{
	weft_select_case cases[] = {
		{ .kind = WEFT_SELECT_SEND, .chan = p->market->chan, .message = m },
		{ .kind = WEFT_SELECT_CLOSED, .chan = p->market->chan },
		{ .kind = t_random(&p->state) % 2 ? WEFT_SELECT_TIMER : WEFT_SELECT_NONE,
			.at = weft_after_ns((int64_t)(t_random(&p->state) % 30000)) },
	};
	size_t chosen;
	weft_err err = weft_select(cases, 3, WEFT_SELECT_FAIR, &chosen, WEFT_FOREVER);

	T_OUGHT(err == WEFT_OK);
	if (chosen == 0)
		return cases[0].result;
	T_OUGHT(cases[chosen].result == WEFT_OK);
	return chosen == 1 ? WEFT_ECLOSED : WEFT_EAGAIN;
}

/* How many of the messages, in *done. */
static weft_err send_some(struct party *p, struct message *m, size_t count, size_t *done)
{
	weft_chan *chan = p->market->chan;

	*done = 1;
	switch (t_random(&p->state) % 5) {
	case 0:
		return weft_chan_send(chan, m, some_deadline(p));
	case 1:
		return weft_chan_try_send(chan, m);
	case 2:
		return weft_chan_send_many(chan, m, count, done, some_deadline(p));
	case 3:
		return send_selected(p, m);
	default:
		if (weft_chan_capacity(chan) == 0)
			return weft_chan_send(chan, m, WEFT_FOREVER);
		return send_reserved(p, m);
	}
}

static weft_err produce(void *arg)
{
	struct party *p = arg;
	struct market *market = p->market;

	for (uint32_t n = 0; n < market->each;) {
		struct message m[BATCH];
		size_t done, count = market->each - n < BATCH ? market->each - n : BATCH;
		weft_err err;

		for (uint32_t i = 0; i < BATCH; i++)
			m[i] = (struct message){ p->id, n + i };
		err = send_some(p, m, count, &done);
		T_OUGHT(err == WEFT_OK || err == WEFT_ETIMEDOUT || err == WEFT_EAGAIN ||
			err == WEFT_ECLOSED);
		T_OUGHT(done >= 1 && done <= count);
		if (err == WEFT_OK)
			note_sent(market, m, done);
		n += err == WEFT_OK ? (uint32_t)done : 1;
		if (n >= market->close_at + p->id && market->close_at != UINT32_MAX)
			weft_chan_close(market->chan);
		if (err == WEFT_EAGAIN || t_random(&p->state) % 16 == 0)
			(void)weft_yield();
	}
	weft_chan_sender_unref(market->chan);
	return WEFT_OK;
}

static weft_err recv_selected(struct party *p, struct message *m)
{
	weft_select_case cases[] = {
		{ .kind = WEFT_SELECT_RECV, .chan = p->market->chan, .message = m },
		{ .kind = t_random(&p->state) % 2 ? WEFT_SELECT_TIMER : WEFT_SELECT_NONE,
			.at = weft_after_ns((int64_t)(t_random(&p->state) % 30000)) },
	};
	size_t chosen;
	weft_err err = weft_select(cases, 2, WEFT_SELECT_FAIR, &chosen, WEFT_FOREVER);

	T_OUGHT(err == WEFT_OK);
	return chosen == 0 ? cases[0].result : WEFT_EAGAIN;
}

static weft_err recv_some(struct party *p, struct message *m, size_t *done)
{
	weft_chan *chan = p->market->chan;

	*done = 1;
	switch (t_random(&p->state) % 4) {
	case 0:
		return weft_chan_recv(chan, m, some_deadline(p));
	case 1:
		return weft_chan_try_recv(chan, m);
	case 2:
		return weft_chan_recv_many(chan, m, BATCH, done, some_deadline(p));
	default:
		return recv_selected(p, m);
	}
}

static weft_err consume(void *arg)
{
	struct party *p = arg;
	int64_t last[SIDE] = { -1, -1, -1 };

	for (;;) {
		struct message m[BATCH];
		size_t done;
		weft_err err = recv_some(p, m, &done);

		if (err == WEFT_ECLOSED)
			break;
		T_OUGHT(err == WEFT_OK || err == WEFT_ETIMEDOUT || err == WEFT_EAGAIN);
		for (size_t i = 0; err == WEFT_OK && i < done; i++) {
			note_gone(p->market, &m[i]);
			/* each producer's come in its order */
			T_OUGHT((int64_t)m[i].number > last[m[i].producer]);
			last[m[i].producer] = m[i].number;
		}
		if (t_random(&p->state) % 64 == 0)
			weft_chan_drain(p->market->chan);
		if (err != WEFT_OK || t_random(&p->state) % 16 == 0)
			(void)weft_yield();
	}
	weft_chan_receiver_unref(p->market->chan);
	return WEFT_OK;
}

static void market_run(enum crew_mode mode, size_t capacity, uint64_t seed, bool closes)
{
	struct market *m = calloc(1, sizeof(*m));
	weft_chan_options options = { on_destroy, m };
	struct crew_member members[2 * SIDE];
	struct party parties[2 * SIDE];

	ck_assert_ptr_nonnull(m);
	ck_assert_int_eq(
		weft_chan_create(&m->chan, sizeof(struct message), capacity, &options), WEFT_OK);
	m->seed = seed;
	m->each = mode == CREW_SIM ? SIM_EACH : EACH;
	m->close_at = closes ? m->each / 2 : UINT32_MAX;
	for (uint32_t i = 0; i < 2 * SIDE; i++) {
		parties[i] = (struct party){ m, i % SIDE, seed + i * 1000 };
		members[i] = (struct crew_member){ i < SIDE ? produce : consume, &parties[i] };
		if (i < SIDE)
			weft_chan_sender_ref(m->chan);
		else
			weft_chan_receiver_ref(m->chan);
	}
	crew_run(mode, seed, members, 2 * SIDE);
	for (size_t p = 0; p < SIDE; p++) {
		for (size_t n = 0; n < m->each; n++)
			T_OUGHT(m->sent[p][n] == m->gone[p][n]);
	}
	ck_assert(weft_chan_is_closed(m->chan));
	weft_chan_unref(m->chan);
	free(m);
}

static void market_runs(int i, bool closes)
{
	enum crew_mode mode = (enum crew_mode)(i / KINDS);
	int64_t live = t_malloc_live();
	uint64_t seed = t_seed();

	for (uint64_t k = 0; k < (mode == CREW_SIM ? SIM_SEEDS : 1); k++)
		market_run(mode, capacities[i % KINDS], seed + k, closes);
	ck_assert_int_eq(t_malloc_live(), live);
}

/* spec: failures 1, 2, 6 */
START_TEST(chan_loses_nothing_whatever_way_it_goes)
{
	market_runs(_i, false);
}
END_TEST

/* spec: failure 3 */
START_TEST(chan_closed_under_way_loses_nothing_whatever_way_it_goes)
{
	market_runs(_i, true);
}
END_TEST

static void chan_paths_tests(TCase *tc)
{
	t_add_loop(tc, chan_loses_nothing_whatever_way_it_goes, 0, KINDS * CREW_MODES);
	t_add_loop(tc, chan_closed_under_way_loses_nothing_whatever_way_it_goes, 0,
		KINDS * CREW_MODES);
}
T_SUITE("chan_paths", chan_paths_tests)
