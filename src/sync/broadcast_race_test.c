/* SPDX-License-Identifier: MIT */
/* Broadcasts under races, as threads, as fibers, as both, and simulated.
 * weft-test: timeout=300 */
#include "support/counted.h"
#include "support/crew.h"
#include "support/t.h"
#include "sync/broadcast.h"

#include <pthread.h>
#include <sched.h>
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

/* --- counted messages ---------------------------------------------------------------------- */

static const weft_broadcast_options thing_options = { thing_ref, thing_unref, &things };

/* --- races ---------------------------------------------------------------------------------- */

enum { SENDERS_MAX = 4, SUBS_MAX = 60, WORDS = 5 };

struct traffic {
	weft_broadcast *b;
	uint64_t seed;
	uint32_t each; /* messages a sender */
	uint32_t senders;
	bool counted;
	_Atomic uint32_t senders_left;
	_Atomic uint64_t received, missed;
};

struct party {
	struct traffic *traffic;
	uint32_t id;
	weft_broadcast_sub *sub;
};

/* One word or all of them: the same in each. */
static void message_fill(uint64_t *words, uint32_t sender, uint32_t number)
{
	for (size_t i = 0; i < WORDS; i++)
		words[i] = ((uint64_t)sender << 32 | number) ^ i * 0x9e3779b97f4a7c15;
}

static void send_next(struct party *p, uint32_t number, uint64_t *state)
{
	uint64_t words[3 * WORDS];
	struct thing *t;

	if (p->traffic->counted) {
		t = thing_new((uint64_t)p->id << 32 | number);
		T_OUGHT(weft_broadcast_send(p->traffic->b, &t) == WEFT_OK);
		return;
	}
	message_fill(words, p->id, number);
	if (number + 3 <= p->traffic->each && number % 3 == 0 && t_random(state) % 2) {
		/* as the three that follow would be; the receivers take any that is not older */
		message_fill(words + WORDS, p->id, number);
		message_fill(words + 2 * WORDS, p->id, number);
		T_OUGHT(weft_broadcast_send_many(p->traffic->b, words, 3) == WEFT_OK);
		return;
	}
	T_OUGHT(weft_broadcast_send(p->traffic->b, words) == WEFT_OK);
}

static weft_err send_all(void *arg)
{
	struct party *p = arg;
	uint64_t state = p->traffic->seed + p->id;

	for (uint32_t n = 0; n < p->traffic->each; n++) {
		send_next(p, n, &state);
		if (t_random(&state) % 4 == 0)
			(void)weft_yield();
	}
	weft_broadcast_sender_unref(p->traffic->b);
	return WEFT_OK;
}

static uint64_t message_value(const struct traffic *traffic, void *message)
{
	uint64_t words[WORDS], first;
	struct thing *t;

	if (traffic->counted) {
		memcpy(&t, message, sizeof(t));
		first = t->value;
		T_OUGHT(t->check == ~first);
		thing_unref(&t, &things);
		return first;
	}
	memcpy(&first, message, sizeof(first));
	message_fill(words, (uint32_t)(first >> 32), (uint32_t)first);
	T_OUGHT(memcmp(message, words, sizeof(words)) == 0);
	return first;
}

/* Every message is whole, and each sender's come in order. */
static weft_err recv_all(void *arg)
{
	struct party *p = arg;
	uint64_t state = p->traffic->seed + 100 + p->id, message[WORDS];
	int64_t last[SENDERS_MAX] = { -1, -1, -1, -1 };
	uint64_t received = 0, missed = 0;

	for (;;) {
		weft_deadline until = t_random(&state) % 4
			? WEFT_FOREVER
			: weft_after_ns((int64_t)(t_random(&state) % 20000));
		weft_err err = weft_broadcast_sub_recv(p->sub, message, until);
		uint64_t value;

		if (err == WEFT_ECLOSED)
			break;
		if (err == WEFT_ELAGGED)
			missed += weft_broadcast_sub_missed(p->sub);
		T_OUGHT(err == WEFT_OK || err == WEFT_ELAGGED || err == WEFT_ETIMEDOUT);
		if (err != WEFT_OK)
			continue;
		value = message_value(p->traffic, message);
		T_OUGHT(value >> 32 < SENDERS_MAX);
		T_OUGHT((int64_t)(uint32_t)value >= last[value >> 32]);
		last[value >> 32] = (uint32_t)value;
		received++;
		if (t_random(&state) % 64 == 0)
			(void)weft_yield();
	}
	atomic_fetch_add(&p->traffic->received, received);
	atomic_fetch_add(&p->traffic->missed, missed);
	return WEFT_OK;
}

static void traffic_run(struct traffic *t, enum crew_mode mode, size_t capacity, uint32_t subs)
{
	struct crew_member members[SENDERS_MAX + SUBS_MAX];
	struct party parties[SENDERS_MAX + SUBS_MAX];
	uint64_t tail;

	ck_assert_int_eq(weft_broadcast_create(&t->b,
				 t->counted ? sizeof(struct thing *) : WORDS * sizeof(uint64_t),
				 capacity, t->counted ? &thing_options : NULL),
		WEFT_OK);
	for (uint32_t i = 0; i < t->senders + subs; i++) {
		bool sends = i < t->senders;

		parties[i] = (struct party){ t, sends ? i : i - t->senders, NULL };
		members[i] = (struct crew_member){ sends ? send_all : recv_all, &parties[i] };
		if (sends)
			weft_broadcast_sender_ref(t->b);
		else
			parties[i].sub = sub_of(t->b);
	}
	crew_run(mode, t->seed, members, t->senders + subs);
	tail = atomic_load(&t->b->tail) / 2;
	/* each subscriber has got, or was told to have missed, every one */
	ck_assert_uint_ge(tail, t->senders * t->each);
	ck_assert_uint_eq(t->received + t->missed, tail * subs);
	for (uint32_t i = 0; i < subs; i++)
		weft_broadcast_sub_free(parties[t->senders + i].sub);
	weft_broadcast_unref(t->b);
	ck_assert_int_eq(atomic_load(&things), 0);
}

static const size_t capacities[] = { 1, 2, 8, 256 };
enum { CAPACITIES = 4, SIM_SEEDS = 10 };

static void races(int i, uint32_t senders, uint32_t subs, uint32_t each, bool counted)
{
	enum crew_mode mode = (enum crew_mode)(i / CAPACITIES);

	for (uint64_t seed = 0; seed < (mode == CREW_SIM ? SIM_SEEDS : 1); seed++) {
		struct traffic t = { .seed = t_seed() + seed,
			.each = mode == CREW_SIM ? each / 20 : each,
			.senders = senders,
			.counted = counted };

		traffic_run(&t, mode, capacities[i % CAPACITIES], subs);
	}
}

START_TEST(broadcast_messages_are_whole_in_order_and_accounted_for)
{
	races(_i, 3, 4, 3000, false);
}
END_TEST

START_TEST(broadcast_one_sender_to_many)
{
	races(_i, 1, 8, 3000, false);
}
END_TEST

START_TEST(broadcast_counted_messages_live_as_long_as_anybody_has_them)
{
	races(_i, 3, 4, 2000, true);
}
END_TEST

START_TEST(broadcast_sixty_fibers_and_threads_listen)
{
	races(CREW_MIXED * CAPACITIES + 2, 2, SUBS_MAX, 300, _i);
	races(CREW_FIBERS_2 * CAPACITIES + 2, 2, SUBS_MAX, 300, _i);
}
END_TEST

/* --- a sender that was interrupted between its claim and its write -------------------------- */

struct after {
	weft_broadcast *b;
	weft_broadcast_sub *sub; /* NULL: sends */
	_Atomic bool begun, done;
	uint64_t value;
};

static void *go_after(void *arg)
{
	struct after *a = arg;

	atomic_store(&a->begun, true);
	if (a->sub)
		T_OUGHT(weft_broadcast_sub_recv(a->sub, &a->value, WEFT_FOREVER) == WEFT_OK);
	else
		T_OUGHT(weft_broadcast_send(a->b, &a->value) == WEFT_OK);
	atomic_store(&a->done, true);
	return NULL;
}

/* One turn of the ring later a sender waits for it, and so does who is to receive it, so that
 * no message is half of each. */
START_TEST(broadcast_interrupted_sender_is_waited_for_where_it_must_be)
{
	weft_broadcast *b = broadcast_of(8, 2);
	struct after a = { .b = b, .sub = _i ? sub_of(b) : NULL, .value = 5 };
	weft_broadcast_sub *sub = sub_of(b);
	_Atomic uint64_t *slot = (_Atomic uint64_t *)(void *)b->slots;
	uint64_t value = 4;
	pthread_t thread;

	/* position 0 is claimed, and not written; the next is not held up by it */
	atomic_fetch_add(&b->tail, 2);
	ck_assert_int_eq(weft_broadcast_send(b, &value), WEFT_OK);
	ck_assert_int_eq(pthread_create(&thread, NULL, go_after, &a), 0);
	while (!atomic_load(&a.begun))
		sched_yield();
	for (int i = 0; i < 1000; i++) {
		sched_yield();
		T_OUGHT(!atomic_load(&a.done));
	}
	atomic_store(&slot[1], 3);
	atomic_store(&slot[0], 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	if (_i) {
		ck_assert_uint_eq(a.value, 3);
	} else {
		ck_assert_int_eq(weft_broadcast_sub_try_recv(sub, &value), WEFT_ELAGGED);
		ck_assert_uint_eq(weft_broadcast_sub_missed(sub), 1);
		for (uint64_t i = 4; i < 6; i++) {
			ck_assert_int_eq(weft_broadcast_sub_try_recv(sub, &value), WEFT_OK);
			ck_assert_uint_eq(value, i);
		}
	}
	weft_broadcast_sub_free(a.sub);
	weft_broadcast_sub_free(sub);
	weft_broadcast_unref(b);
}
END_TEST

/* --- without deadlines, so that a lost wake is a dead stop ----------------------------------- */

enum { LISTENERS = 4 };

struct acked {
	weft_broadcast *b;
	weft_chan *acks;
	uint32_t rounds;
};

/* One message at a time: nothing that comes later makes up for a wake that was lost. */
static weft_err send_and_await(void *arg)
{
	struct acked *a = ((struct acked **)arg)[0];

	for (uint64_t i = 0; i < a->rounds; i++) {
		T_OUGHT(weft_broadcast_send(a->b, &i) == WEFT_OK);
		for (int k = 0; k < LISTENERS; k++) {
			uint64_t ack = UINT64_MAX;

			T_OUGHT(weft_chan_recv(a->acks, &ack, WEFT_FOREVER) == WEFT_OK);
			T_OUGHT(ack == i);
		}
	}
	weft_broadcast_close(a->b);
	return WEFT_OK;
}

static weft_err recv_and_ack(void *arg)
{
	struct acked *a = ((struct acked **)arg)[0];
	weft_broadcast_sub *sub = ((void **)arg)[1];
	uint64_t next = 0, value = 0;
	weft_err err;

	while ((err = weft_broadcast_sub_recv(sub, &value, WEFT_FOREVER)) == WEFT_OK) {
		T_OUGHT(value == next++);
		T_OUGHT(weft_chan_send(a->acks, &value, WEFT_FOREVER) == WEFT_OK);
	}
	T_OUGHT(err == WEFT_ECLOSED && next == a->rounds);
	return WEFT_OK;
}

static void acked_run(enum crew_mode mode, uint64_t seed, uint32_t rounds)
{
	struct acked a = { broadcast_of(8, 1), NULL, rounds };
	struct crew_member members[1 + LISTENERS];
	void *args[1 + LISTENERS][2];

	ck_assert_int_eq(weft_chan_create(&a.acks, 8, LISTENERS, NULL), WEFT_OK);
	for (size_t i = 0; i <= LISTENERS; i++) {
		args[i][0] = &a;
		args[i][1] = i ? sub_of(a.b) : NULL;
		members[i] = (struct crew_member){ i ? recv_and_ack : send_and_await, args[i] };
	}
	crew_run(mode, seed, members, 1 + LISTENERS);
	for (size_t i = 1; i <= LISTENERS; i++)
		weft_broadcast_sub_free(args[i][1]);
	weft_broadcast_unref(a.b);
	weft_chan_unref(a.acks);
}

/* spec: failure 10 */
START_TEST(broadcast_loses_no_wake_when_nothing_follows)
{
	enum crew_mode mode = (enum crew_mode)_i;

	if (mode != CREW_SIM) {
		acked_run(mode, 0, 2000);
		return;
	}
	for (uint64_t i = 0; i < SIM_SEEDS; i++)
		acked_run(mode, t_seed() + i, 50);
}
END_TEST

static void broadcast_race_tests(TCase *tc)
{
	int all = CAPACITIES * CREW_MODES;

	t_add_loop(tc, broadcast_messages_are_whole_in_order_and_accounted_for, 0, all);
	t_add_loop(tc, broadcast_one_sender_to_many, 0, all);
	t_add_loop(tc, broadcast_counted_messages_live_as_long_as_anybody_has_them, 0, all);
	t_add_loop(tc, broadcast_sixty_fibers_and_threads_listen, 0, 2);
	t_add_loop(tc, broadcast_interrupted_sender_is_waited_for_where_it_must_be, 0, 2);
	t_add_loop(tc, broadcast_loses_no_wake_when_nothing_follows, 0, CREW_MODES);
}
T_SUITE("broadcast_race", broadcast_race_tests)
