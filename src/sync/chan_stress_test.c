/* SPDX-License-Identifier: MIT */
/* Channels under races: whatever happens, what was sent is what is received, once. The
 * same bodies run as threads, as fibers, as both, and under the simulator.
 * weft-test: timeout=300 */
#define _GNU_SOURCE
#include "support/crew.h"
#include "support/t.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { PRODUCERS_MAX = 8, PER_PRODUCER = 1500, SIM_SEEDS = 20, SIM_PER_PRODUCER = 60 };

static const size_t capacities[] = { 0, 1, 2, 3, 64, WEFT_CHAN_UNBOUNDED };
enum { CAPACITIES = 6 };

struct message {
	uint32_t producer, number;
};

struct flow {
	weft_chan *chan;
	uint32_t per_producer;
	uint32_t close_at; /* a producer closes when it gets there; 0: the last one does */
	uint64_t seed;
	_Atomic uint32_t producers_left;
	_Atomic uint32_t destroyed;
	_Atomic uint8_t sent[PRODUCERS_MAX][PER_PRODUCER];
	_Atomic uint8_t received[PRODUCERS_MAX][PER_PRODUCER];
};

struct party {
	struct flow *flow;
	uint32_t id;
};

static weft_deadline random_deadline(uint64_t *state)
{
	switch (t_random(state) % 4) {
	case 0:
		return WEFT_NOW;
	case 1:
		return weft_after_ns((int64_t)(t_random(state) % 30000));
	default:
		return WEFT_FOREVER;
	}
}

static void breathe(uint64_t *state)
{
	if (t_random(state) % 16 == 0)
		(void)weft_yield();
}

static weft_err produce(void *arg)
{
	struct party *p = arg;
	struct flow *f = p->flow;
	uint64_t state = f->seed + p->id;

	for (uint32_t n = 0; n < f->per_producer; n++) {
		struct message m = { p->id, n };
		weft_err err = weft_chan_send(f->chan, &m, random_deadline(&state));

		T_OUGHT(err == WEFT_OK || err == WEFT_ETIMEDOUT || err == WEFT_ECLOSED);
		T_OUGHT(err != WEFT_ECLOSED || weft_chan_is_closed(f->chan));
		if (err == WEFT_OK)
			atomic_store(&f->sent[p->id][n], 1);
		if (f->close_at && n == f->close_at + p->id)
			weft_chan_close(f->chan);
		breathe(&state);
	}
	if (atomic_fetch_sub(&f->producers_left, 1) == 1)
		weft_chan_close(f->chan);
	return WEFT_OK;
}

static void message_note(struct flow *f, struct message m, int64_t *last)
{
	T_OUGHT(m.producer < PRODUCERS_MAX);
	T_OUGHT(m.number < f->per_producer);
	T_OUGHT(atomic_exchange(&f->received[m.producer][m.number], 1) == 0);
	/* each producer's come in its order */
	T_OUGHT((int64_t)m.number > last[m.producer]);
	last[m.producer] = m.number;
}

static weft_err consume(void *arg)
{
	struct party *p = arg;
	struct flow *f = p->flow;
	uint64_t state = f->seed + 1000 + p->id;
	int64_t last[PRODUCERS_MAX];

	for (size_t i = 0; i < PRODUCERS_MAX; i++)
		last[i] = -1;
	for (;;) {
		struct message m = { UINT32_MAX, 0 };
		weft_err err = weft_chan_recv(f->chan, &m, random_deadline(&state));

		if (err == WEFT_ECLOSED)
			return WEFT_OK;
		T_OUGHT(err == WEFT_OK || err == WEFT_ETIMEDOUT);
		if (err == WEFT_OK)
			message_note(f, m, last);
		else
			T_OUGHT(m.producer == UINT32_MAX);
		breathe(&state);
	}
}

static struct flow *flow_new(size_t capacity, uint32_t producers, uint32_t per_producer)
{
	struct flow *f = calloc(1, sizeof(*f));

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(
		weft_chan_create(&f->chan, sizeof(struct message), capacity, NULL), WEFT_OK);
	f->per_producer = per_producer;
	f->seed = t_seed();
	atomic_store(&f->producers_left, producers);
	return f;
}

static void flow_check_and_free(struct flow *f)
{
	for (size_t p = 0; p < PRODUCERS_MAX; p++) {
		for (size_t n = 0; n < f->per_producer; n++)
			if (f->sent[p][n] != f->received[p][n])
				ck_abort_msg("message %zu of %zu: sent %d, received %d", n, p,
					(int)f->sent[p][n], (int)f->received[p][n]);
	}
	ck_assert_uint_eq(weft_chan_len(f->chan), 0);
	weft_chan_unref(f->chan);
	free(f);
}

static void flow_run(
	struct flow *f, enum crew_mode mode, uint64_t seed, uint32_t producers, uint32_t consumers)
{
	struct crew_member members[2 * PRODUCERS_MAX];
	struct party parties[2 * PRODUCERS_MAX];

	for (uint32_t i = 0; i < producers + consumers; i++) {
		parties[i] = (struct party){ f, i < producers ? i : i - producers };
		members[i] = (struct crew_member){ i < producers ? produce : consume, &parties[i] };
	}
	crew_run(mode, seed, members, producers + consumers);
}

static void flow_one(size_t capacity, enum crew_mode mode, uint32_t sides, uint32_t close_at)
{
	uint32_t rounds = mode == CREW_SIM ? SIM_SEEDS : 1;

	for (uint32_t r = 0; r < rounds; r++) {
		struct flow *f = flow_new(
			capacity, sides, mode == CREW_SIM ? SIM_PER_PRODUCER : PER_PRODUCER);

		f->close_at = close_at;
		f->seed += r;
		flow_run(f, mode, f->seed, sides, sides);
		flow_check_and_free(f);
	}
}

/* spec: failures 1, 2, 6, 10 */
START_TEST(chan_receives_exactly_what_was_sent_with_time_outs)
{
	flow_one(capacities[_i % CAPACITIES], (enum crew_mode)(_i / CAPACITIES), 3, 0);
}
END_TEST

START_TEST(chan_one_producer_one_consumer_conserve)
{
	flow_one(capacities[_i % CAPACITIES], (enum crew_mode)(_i / CAPACITIES), 1, 0);
}
END_TEST

/* spec: failure 3 */
START_TEST(chan_close_under_way_loses_no_send_that_succeeded)
{
	for (int i = 0; i < 5; i++)
		flow_one(capacities[_i % CAPACITIES], (enum crew_mode)(_i / CAPACITIES), 4, 50);
}
END_TEST

/* --- cancellation ------------------------------------------------------------------------ */

enum { CANCEL_ROUNDS = 300 };

static weft_err consume_cancelled(void *arg)
{
	struct party *p = arg;
	struct flow *f = p->flow;

	for (;;) {
		struct message m;
		weft_err err = weft_chan_recv(f->chan, &m, WEFT_FOREVER);

		if (err != WEFT_OK)
			return err == WEFT_ECANCELED || err == WEFT_ECLOSED ? WEFT_OK : err;
		T_OUGHT(atomic_exchange(&f->received[m.producer][m.number], 1) == 0);
	}
}

/* Starts consumers and cancels them, over and over, then drains. */
static weft_err cancel_consumers(void *arg)
{
	struct party *p = arg;
	uint64_t state = p->flow->seed + 77;

	for (int round = 0; round < CANCEL_ROUNDS; round++) {
		weft_scope *scope;

		ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(
				weft_scope_spawn(scope, "doomed", consume_cancelled, p), WEFT_OK);
		for (uint64_t n = t_random(&state) % 4; n > 0; n--)
			(void)weft_yield();
		weft_scope_free(scope);
	}
	return consume_cancelled(p);
}

START_TEST(chan_loses_nothing_when_receivers_are_cancelled)
{
	size_t capacity = capacities[_i % CAPACITIES];
	enum crew_mode mode = (enum crew_mode)(_i / CAPACITIES);
	struct crew_member members[4];
	struct party parties[4];
	struct flow *f = flow_new(capacity, 2, mode == CREW_SIM ? 200 : PER_PRODUCER);

	/* with CREW_MIXED the even ones are fibers, as the canceller must be */
	for (uint32_t i = 0; i < 4; i++) {
		parties[i] = (struct party){ f, i / 2 };
		members[i] =
			(struct crew_member){ i % 2 ? produce : cancel_consumers, &parties[i] };
	}
	crew_run(mode, f->seed, members, 4);
	flow_check_and_free(f);
}
END_TEST

/* --- ends ---------------------------------------------------------------------------------- */

static void count_destroyed(void *message, void *user)
{
	struct flow *f = user;
	struct message m;

	memcpy(&m, message, sizeof(m));
	T_OUGHT(atomic_exchange(&f->received[m.producer][m.number], 1) == 0);
	atomic_fetch_add(&f->destroyed, 1);
}

/* Each party has a reference; the last to leave destroys what is left. */
static weft_err produce_and_leave(void *arg)
{
	struct party *p = arg;
	struct flow *f = p->flow;

	for (uint32_t n = 0; n < f->per_producer; n++) {
		struct message m = { p->id, n };

		if (weft_chan_try_send(f->chan, &m) == WEFT_OK)
			atomic_store(&f->sent[p->id][n], 1);
	}
	weft_chan_unref(f->chan);
	return WEFT_OK;
}

static weft_err consume_and_leave(void *arg)
{
	struct party *p = arg;
	struct flow *f = p->flow;

	for (uint32_t n = 0; n < f->per_producer / 2; n++) {
		struct message m;

		if (weft_chan_try_recv(f->chan, &m) == WEFT_OK)
			ck_assert_uint_eq(
				atomic_exchange(&f->received[m.producer][m.number], 1), 0);
	}
	weft_chan_unref(f->chan);
	return WEFT_OK;
}

/* spec: failure 3, second half */
START_TEST(chan_last_reference_destroys_the_rest_exactly_once)
{
	enum { PARTIES = 6 };
	int64_t live = t_malloc_live();

	for (uint32_t round = 0; round < 60; round++) {
		struct flow *f = calloc(1, sizeof(*f));
		weft_chan_options options = { count_destroyed, f };
		struct crew_member members[PARTIES];
		struct party parties[PARTIES];

		f->per_producer = 20 + round;
		ck_assert_int_eq(weft_chan_create(&f->chan, sizeof(struct message),
					 _i ? WEFT_CHAN_UNBOUNDED : 64, &options),
			WEFT_OK);
		for (uint32_t i = 0; i < PARTIES; i++) {
			parties[i] = (struct party){ f, i / 2 };
			members[i] =
				(struct crew_member){ i % 2 ? produce_and_leave : consume_and_leave,
					&parties[i] };
			if (i > 0)
				weft_chan_ref(f->chan);
		}
		crew_run(CREW_THREADS, 0, members, PARTIES);
		for (size_t p = 0; p < PRODUCERS_MAX; p++) {
			for (size_t n = 0; n < f->per_producer; n++)
				ck_assert_uint_eq(f->sent[p][n], f->received[p][n]);
		}
		free(f);
	}
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

/* --- threads ------------------------------------------------------------------------------ */

enum { TRIPS = 2000 };

struct pair {
	weft_chan *there, *back;
};

static void *echo_thread(void *arg)
{
	struct pair *pair = arg;
	uint64_t value;

	while (weft_chan_recv(pair->there, &value, WEFT_FOREVER) == WEFT_OK)
		ck_assert_int_eq(weft_chan_send(pair->back, &value, WEFT_FOREVER), WEFT_OK);
	return NULL;
}

static int64_t cpu_ns(void)
{
	struct rusage usage;

	ck_assert_int_eq(getrusage(RUSAGE_SELF, &usage), 0);
	return (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
		(int64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

static void trips(size_t capacity)
{
	struct pair pair;
	pthread_t thread;

	ck_assert_int_eq(weft_chan_create(&pair.there, 8, capacity, NULL), WEFT_OK);
	ck_assert_int_eq(weft_chan_create(&pair.back, 8, capacity, NULL), WEFT_OK);
	ck_assert_int_eq(pthread_create(&thread, NULL, echo_thread, &pair), 0);
	for (uint64_t i = 0; i < TRIPS; i++) {
		uint64_t value = i;

		ck_assert_int_eq(weft_chan_send(pair.there, &value, WEFT_FOREVER), WEFT_OK);
		ck_assert_int_eq(weft_chan_recv(pair.back, &value, WEFT_FOREVER), WEFT_OK);
		ck_assert_uint_eq(value, i);
	}
	weft_chan_close(pair.there);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	weft_chan_unref(pair.there);
	weft_chan_unref(pair.back);
}

/* spec: failure 4. A wait that spins to the end of its time slice costs milliseconds of
 * the processor a trip; sleeping, or giving way, costs microseconds. */
START_TEST(chan_threads_on_one_core_do_not_spin_against_each_other)
{
	int64_t start;
	cpu_set_t set;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	for (size_t cpu = 0, kept = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &set) && kept++ > 0)
			CPU_CLR(cpu, &set);
	}
	ck_assert_int_eq(sched_setaffinity(0, sizeof(set), &set), 0);
	start = cpu_ns();
	trips((size_t)_i);
	ck_assert_int_lt((cpu_ns() - start) / TRIPS, 1000000);
}
END_TEST

START_TEST(chan_threads_ping_and_pong)
{
	trips((size_t)_i);
}
END_TEST

static __attribute__((noinline)) void stack_fill(unsigned char *frame, size_t size)
{
	memset(frame, 0x5a, size);
}

static __attribute__((noinline)) void stack_check(const unsigned char *frame, size_t size)
{
	size_t changed = 0;

	/* asserts once: each assertion is a system call */
	for (size_t i = 0; i < size; i++)
		changed += frame[i] != 0x5a;
	T_OUGHT(changed == 0);
}

/* Fills the stack where the waiter's nodes were and looks whether it stays so. */
static __attribute__((noinline)) void stack_watch(void)
{
	unsigned char frame[1024];

	stack_fill(frame, sizeof(frame));
	sched_yield();
	stack_check(frame, sizeof(frame));
}

static weft_err wait_shortly(void *arg)
{
	struct party *p = arg;
	uint64_t state = p->flow->seed + p->id;
	struct message m = { 0, 0 };

	for (int i = 0; i < 1500; i++) {
		weft_deadline until = weft_after_ns((int64_t)(t_random(&state) % 5000));
		weft_err err = p->id % 2 ? weft_chan_send(p->flow->chan, &m, until)
					 : weft_chan_recv(p->flow->chan, &m, until);

		T_OUGHT(err == WEFT_OK || err == WEFT_ETIMEDOUT);
		stack_watch();
	}
	return WEFT_OK;
}

/* spec: failure 6 */
START_TEST(chan_nobody_writes_to_a_waiter_that_has_left)
{
	struct crew_member members[4];
	struct party parties[4];
	struct flow *f = flow_new((size_t)(_i % 2), 1, 1);

	for (uint32_t i = 0; i < 4; i++) {
		parties[i] = (struct party){ f, i };
		members[i] = (struct crew_member){ wait_shortly, &parties[i] };
	}
	crew_run(_i / 2 ? CREW_FIBERS_2 : CREW_THREADS, 0, members, 4);
	weft_chan_unref(f->chan);
	free(f);
}
END_TEST

/* --- without deadlines, so that a lost wake is a dead stop ----------------------------------- */

enum { ACKED = 4000, SIDE = 3 };

struct acked {
	weft_chan *chan, *acks[SIDE];
};

struct acker {
	struct acked *acked;
	uint32_t id;
	uint32_t rounds;
};

/* One message each at a time: nothing that comes later makes up for a wake that was lost. */
static weft_err send_and_await(void *arg)
{
	struct acker *a = arg;

	for (uint32_t i = 0; i < a->rounds; i++) {
		uint32_t ack = UINT32_MAX;

		T_OUGHT(weft_chan_send(a->acked->chan, &a->id, WEFT_FOREVER) == WEFT_OK);
		T_OUGHT(weft_chan_recv(a->acked->acks[a->id], &ack, WEFT_FOREVER) == WEFT_OK);
		T_OUGHT(ack == a->id);
	}
	return WEFT_OK;
}

static weft_err recv_and_ack(void *arg)
{
	struct acker *a = arg;

	for (uint32_t i = 0; i < a->rounds; i++) {
		uint32_t id = UINT32_MAX;

		T_OUGHT(weft_chan_recv(a->acked->chan, &id, WEFT_FOREVER) == WEFT_OK);
		T_OUGHT(weft_chan_send(a->acked->acks[id], &id, WEFT_FOREVER) == WEFT_OK);
	}
	return WEFT_OK;
}

static void acked_run(size_t capacity, enum crew_mode mode, uint64_t seed, uint32_t rounds)
{
	struct crew_member members[2 * SIDE];
	struct acker ackers[2 * SIDE];
	struct acked acked;

	ck_assert_int_eq(weft_chan_create(&acked.chan, sizeof(uint32_t), capacity, NULL), WEFT_OK);
	for (uint32_t i = 0; i < SIDE; i++)
		ck_assert_int_eq(
			weft_chan_create(&acked.acks[i], sizeof(uint32_t), 1, NULL), WEFT_OK);
	for (uint32_t i = 0; i < 2 * SIDE; i++) {
		ackers[i] = (struct acker){ &acked, i % SIDE, rounds };
		members[i] = (struct crew_member){ i < SIDE ? send_and_await : recv_and_ack,
			&ackers[i] };
	}
	crew_run(mode, seed, members, 2 * SIDE);
	weft_chan_unref(acked.chan);
	for (size_t i = 0; i < SIDE; i++)
		weft_chan_unref(acked.acks[i]);
}

/* spec: failures 1, 10 */
START_TEST(chan_loses_no_wake_when_nothing_follows)
{
	enum crew_mode mode = (enum crew_mode)(_i / CAPACITIES);

	if (mode != CREW_SIM) {
		acked_run(capacities[_i % CAPACITIES], mode, 0, ACKED);
		return;
	}
	for (uint64_t i = 0; i < SIM_SEEDS; i++)
		acked_run(capacities[_i % CAPACITIES], mode, t_seed() + i, 50);
}
END_TEST

static void chan_stress_tests(TCase *tc)
{
	int all = CAPACITIES * CREW_MODES;

	t_add_loop(tc, chan_receives_exactly_what_was_sent_with_time_outs, 0, all);
	t_add_loop(tc, chan_one_producer_one_consumer_conserve, 0, all);
	t_add_loop(tc, chan_close_under_way_loses_no_send_that_succeeded, 0, all);
	t_add_loop(tc, chan_loses_nothing_when_receivers_are_cancelled, CAPACITIES * CREW_FIBERS_1,
		all);
	t_add_loop(tc, chan_last_reference_destroys_the_rest_exactly_once, 0, 2);
	t_add_loop(tc, chan_threads_on_one_core_do_not_spin_against_each_other, 0, 3);
	t_add_loop(tc, chan_threads_ping_and_pong, 0, 3);
	t_add_loop(tc, chan_loses_no_wake_when_nothing_follows, 0, all);
	t_add_loop(tc, chan_nobody_writes_to_a_waiter_that_has_left, 0, 4);
}
T_SUITE("chan_stress", chan_stress_tests)
