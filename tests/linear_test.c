/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=240 */
/*
 * Histories of maps and channels, recorded while several parties use them at once, are
 * checked for linearizability (support/linear.h). And the checker for that it finds flaws.
 */
#include "support/crew.h"
#include "support/linear.h"
#include "support/t.h"

#include <weft/weft.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { PARTIES = 4 };

/* --- a map's entry is a register --------------------------------------------------------------- */

enum { GET, INSERT, SET, SWAP, REMOVE, REMOVE_ODD, ADD, MAKE, MAP_KINDS };

struct entry {
	uint64_t there, value;
};

static bool entry_step(void *state, const struct linear_op *op, const void *user)
{
	struct entry e;
	bool right;

	(void)user;
	memcpy(&e, state, sizeof(e));
	switch (op->kind) {
	case GET:
		return op->said == (e.there != 0) && (!e.there || op->answered == e.value);
	case INSERT:
		right = op->said == !e.there;
		e = op->said ? (struct entry){ 1, op->argument } : e;
		break;
	case SET:
		right = true;
		e = (struct entry){ 1, op->argument };
		break;
	case SWAP:
		right = op->said == (e.there != 0) && (!e.there || op->answered == e.value);
		e = (struct entry){ 1, op->argument };
		break;
	case REMOVE:
		right = op->said == (e.there != 0) && (!e.there || op->answered == e.value);
		e = (struct entry){ 0, 0 };
		break;
	case REMOVE_ODD:
		right = op->said == (e.there && e.value % 2);
		e = op->said ? (struct entry){ 0, 0 } : e;
		break;
	case ADD:
		right = op->said == (e.there != 0) && (!e.there || op->answered == e.value);
		e = (struct entry){ 1, e.there ? e.value + op->argument : op->argument };
		break;
	case MAKE:
	default:
		e = e.there ? e : (struct entry){ 1, op->argument };
		right = op->answered == e.value;
		break;
	}
	memcpy(state, &e, sizeof(e));
	return right;
}

static const struct linear_model entry_model = { sizeof(struct entry), entry_step };

enum { PHASES = 60, EACH = 14 };

struct map_world {
	weft_map *map;
	_Atomic unsigned arrived;
	struct linear_log logs[PHASES][PARTIES];
};

struct map_party {
	struct map_world *world;
	unsigned index;
	uint64_t state;
};

/* All parties are at the same key at once. */
static void phase_begin(struct map_world *w, unsigned phase)
{
	atomic_fetch_add(&w->arrived, 1);
	while (atomic_load(&w->arrived) < (phase + 1) * PARTIES) {
		if (weft_in_fiber())
			(void)weft_yield();
		else
			sched_yield();
	}
}

static bool is_odd(void *arg, uint64_t value)
{
	(void)arg;
	return value % 2;
}

struct addition {
	uint64_t n, before;
	bool found;
};

static weft_map_verdict add(void *arg, bool found, uint64_t *value)
{
	struct addition *a = arg;

	a->found = found;
	a->before = *value;
	*value += a->n;
	return WEFT_MAP_STORE;
}

static weft_err make(void *arg, uint64_t *value)
{
	*value = *(uint64_t *)arg;
	return WEFT_OK;
}

static void map_step(
	weft_map *map, struct linear_log *log, weft_map_key key, unsigned kind, uint64_t n)
{
	struct linear_op *op = linear_begin(log, kind, n);
	struct addition a = { n, 0, false };
	uint64_t value = 0;
	bool said = true;

	switch (kind) {
	case GET:
		said = weft_map_get(map, key, &value);
		break;
	case INSERT:
		said = weft_map_insert(map, key, n) == WEFT_OK;
		break;
	case SET:
		T_OUGHT(weft_map_set(map, key, n) == WEFT_OK);
		break;
	case SWAP:
		T_OUGHT(weft_map_swap(map, key, n, &said, &value) == WEFT_OK);
		break;
	case REMOVE:
		said = weft_map_remove(map, key, &value);
		break;
	case REMOVE_ODD:
		said = weft_map_remove_if(map, key, is_odd, NULL);
		break;
	case ADD:
		T_OUGHT(weft_map_compute(map, key, add, &a) == WEFT_OK);
		said = a.found;
		value = a.before;
		break;
	case MAKE:
	default:
		T_OUGHT(weft_map_get_or_insert_with(map, key, &value, make, &n, WEFT_FOREVER) ==
			WEFT_OK);
		break;
	}
	linear_end(op, said, value);
}

static weft_err use_map(void *arg)
{
	struct map_party *p = arg;
	struct map_world *w = p->world;

	for (unsigned phase = 0; phase < PHASES; phase++) {
		phase_begin(w, phase);
		for (unsigned i = 0; i < EACH; i++) {
			uint64_t r = t_random(&p->state);

			map_step(w->map, &w->logs[phase][p->index], weft_map_int(phase),
				(unsigned)(r % MAP_KINDS), 1 + (r >> 32) % 100000);
			/* others' entries come, so that the tables grow, and go */
			T_OUGHT(weft_map_set(w->map, weft_map_int(1000 + (r >> 40) % 600), r) ==
				WEFT_OK);
			if (phase % 8 > 4)
				(void)weft_map_remove(
					w->map, weft_map_int(1000 + (r >> 30) % 600), NULL);
			if (weft_in_fiber() && r >> 20 & 1)
				(void)weft_yield();
		}
	}
	return WEFT_OK;
}

START_TEST(a_map_is_linearizable)
{
	static struct map_world world;
	weft_map_options options = { .shards = 1 };
	struct crew_member members[PARTIES];
	struct map_party parties[PARTIES];
	uint64_t seed = t_seed();

	memset(&world, 0, sizeof(world));
	ck_assert_int_eq(weft_map_create(&world.map, &options), WEFT_OK);
	for (unsigned i = 0; i < PARTIES; i++) {
		parties[i] = (struct map_party){ &world, i, seed + i };
		members[i] = (struct crew_member){ use_map, &parties[i] };
	}
	crew_run((enum crew_mode)_i, seed, members, PARTIES);
	for (unsigned phase = 0; phase < PHASES; phase++) {
		struct linear_log history = { .len = 0 };

		for (unsigned i = 0; i < PARTIES; i++)
			linear_gather(&history, &world.logs[phase][i]);
		if (!linear_check(&entry_model, &history, NULL)) {
			linear_print(&history);
			ck_abort_msg("key %u is not linearizable", phase);
		}
	}
	weft_map_free(world.map);
}
END_TEST

/* --- a channel is a queue ----------------------------------------------------------------------- */

enum { SEND, RECV, CLOSE };

struct queue {
	unsigned char len, closed;
	unsigned char items[LINEAR_STATE_MAX - 2];
};

/* user: the capacity. said: WEFT_OK, else WEFT_ECLOSED. */
static bool queue_step(void *state, const struct linear_op *op, const void *user)
{
	size_t capacity = *(const size_t *)user;
	struct queue q;

	memcpy(&q, state, sizeof(q));
	if (op->kind == CLOSE) {
		q.closed = 1;
	} else if (op->kind == SEND) {
		if (!op->said)
			return q.closed;
		if (q.closed || q.len >= capacity || q.len >= sizeof(q.items))
			return false;
		q.items[q.len++] = (unsigned char)op->argument;
	} else {
		if (!op->said)
			return q.closed && q.len == 0;
		if (q.len == 0 || q.items[0] != op->answered)
			return false;
		memmove(q.items, q.items + 1, sizeof(q.items) - 1);
		q.items[--q.len] = 0;
	}
	memcpy(state, &q, sizeof(q));
	return true;
}

static const struct linear_model queue_model = { sizeof(struct queue), queue_step };

enum { ROUNDS = 40, SENDS = 9, RECVS = 8 };

struct chan_world {
	weft_chan *chans[ROUNDS];
	_Atomic unsigned arrived[ROUNDS];
	struct linear_log logs[ROUNDS][PARTIES];
};

struct chan_party {
	struct chan_world *world;
	unsigned index;
	uint64_t state;
};

static void round_begin(struct chan_world *w, unsigned round)
{
	atomic_fetch_add(&w->arrived[round], 1);
	while (atomic_load(&w->arrived[round]) < PARTIES) {
		if (weft_in_fiber())
			(void)weft_yield();
		else
			sched_yield();
	}
}

/* Waits not at all, a moment, or for ever. */
static weft_deadline until(struct chan_party *p)
{
	switch (t_random(&p->state) % 4) {
	case 0:
		return WEFT_NOW;
	case 1:
		return weft_after_ns((int64_t)(t_random(&p->state) % 20000));
	default:
		return WEFT_FOREVER;
	}
}

static void record(struct linear_log *log, struct linear_op *op, weft_err err, uint64_t answered)
{
	if (err == WEFT_OK || err == WEFT_ECLOSED) {
		linear_end(op, err == WEFT_OK, answered);
		return;
	}
	T_OUGHT(err == WEFT_ETIMEDOUT || err == WEFT_EAGAIN);
	linear_forget(log);
}

static void send_some(struct chan_party *p, weft_chan *chan, struct linear_log *log)
{
	for (unsigned i = 0; i < SENDS; i++) {
		unsigned char message = (unsigned char)(1 + p->index * SENDS + i);
		struct linear_op *op = linear_begin(log, SEND, message);

		record(log, op,
			t_random(&p->state) % 4 ? weft_chan_send(chan, &message, until(p))
						: weft_chan_try_send(chan, &message),
			0);
	}
}

static weft_err receive(
	struct chan_party *p, weft_chan *chan, struct linear_log *log, weft_deadline deadline)
{
	struct linear_op *op = linear_begin(log, RECV, 0);
	unsigned char message = 0;
	weft_err err = t_random(&p->state) % 4 || deadline == WEFT_FOREVER
		? weft_chan_recv(chan, &message, deadline)
		: weft_chan_try_recv(chan, &message);

	record(log, op, err, message);
	return err;
}

/* Two send, two receive; the last sender closes when its messages are sent, or before the
 * other's are. Receivers go on to the end. */
static weft_err use_chan(void *arg)
{
	struct chan_party *p = arg;
	struct chan_world *w = p->world;

	for (unsigned round = 0; round < ROUNDS; round++) {
		struct linear_log *log = &w->logs[round][p->index];
		weft_chan *chan = w->chans[round];
		weft_err err;

		round_begin(w, round);
		if (p->index < 2) {
			send_some(p, chan, log);
			if (p->index == 1) {
				struct linear_op *op = linear_begin(log, CLOSE, 0);

				weft_chan_close(chan);
				linear_end(op, true, 0);
			}
			continue;
		}
		for (unsigned i = 0; i < RECVS; i++)
			(void)receive(p, chan, log, until(p));
		do {
			err = receive(p, chan, log, WEFT_FOREVER);
		} while (err == WEFT_OK);
	}
	return WEFT_OK;
}

/* A message without buffer changes hands while both are there. */
static void check_met(const struct linear_log *history)
{
	for (size_t i = 0; i < history->len; i++) {
		const struct linear_op *s = &history->ops[i];

		for (size_t j = 0; s->kind == SEND && s->said && j < history->len; j++) {
			const struct linear_op *r = &history->ops[j];

			if (r->kind == RECV && r->said && r->answered == s->argument)
				ck_assert(s->begin < r->end && r->begin < s->end);
		}
	}
}

/* Rounds that are not rendezvous are of the capacity; messages are one byte. */
static void check_chan(int mode, size_t capacity)
{
	static struct chan_world world;
	size_t room = capacity ? capacity : 1;
	struct crew_member members[PARTIES];
	struct chan_party parties[PARTIES];
	uint64_t seed = t_seed();

	memset(&world, 0, sizeof(world));
	for (unsigned i = 0; i < ROUNDS; i++)
		ck_assert_int_eq(weft_chan_create(&world.chans[i], 1, capacity, NULL), WEFT_OK);
	for (unsigned i = 0; i < PARTIES; i++) {
		parties[i] = (struct chan_party){ &world, i, seed + i };
		members[i] = (struct crew_member){ use_chan, &parties[i] };
	}
	crew_run((enum crew_mode)mode, seed, members, PARTIES);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct linear_log history = { .len = 0 };

		for (unsigned i = 0; i < PARTIES; i++)
			linear_gather(&history, &world.logs[round][i]);
		if (!linear_check(&queue_model, &history, &room)) {
			linear_print(&history);
			ck_abort_msg("capacity %zu, round %u is not linearizable", capacity, round);
		}
		if (capacity == 0)
			check_met(&history);
		weft_chan_unref(world.chans[round]);
	}
}

START_TEST(a_rendezvous_channel_is_linearizable)
{
	check_chan(_i, 0);
}
END_TEST

START_TEST(a_bounded_channel_is_linearizable)
{
	for (size_t capacity = 1; capacity <= 3; capacity++)
		check_chan(_i, capacity);
}
END_TEST

START_TEST(an_unbounded_channel_is_linearizable)
{
	check_chan(_i, WEFT_CHAN_UNBOUNDED);
}
END_TEST

/* --- the checker ---------------------------------------------------------------------------------- */

static void say(struct linear_log *log, uint64_t begin, uint64_t end, unsigned kind,
	uint64_t argument, bool said, uint64_t answered)
{
	log->ops[log->len++] = (struct linear_op){ begin, end, kind, argument, said, answered };
}

START_TEST(the_checker_tells_right_histories_from_wrong_ones)
{
	struct linear_log old = { .len = 0 }, overlap = old, lost = old, order = old, late = old;
	size_t two = 2;

	/* a get that gives what was before a set that had ended */
	say(&old, 0, 1, SET, 5, true, 0);
	say(&old, 2, 3, SET, 6, true, 0);
	say(&old, 4, 5, GET, 0, true, 5);
	ck_assert(!linear_check(&entry_model, &old, NULL));
	/* the same while the set is under way */
	say(&overlap, 0, 1, SET, 5, true, 0);
	say(&overlap, 2, 6, SET, 6, true, 0);
	say(&overlap, 4, 5, GET, 0, true, 5);
	ck_assert(linear_check(&entry_model, &overlap, NULL));
	say(&overlap, 7, 8, GET, 0, true, 5);
	ck_assert(!linear_check(&entry_model, &overlap, NULL));
	/* an addition that was lost */
	say(&lost, 0, 1, SET, 1, true, 0);
	say(&lost, 2, 5, ADD, 1, true, 1);
	say(&lost, 3, 4, ADD, 1, true, 1);
	ck_assert(!linear_check(&entry_model, &lost, NULL));
	/* messages in another order than they were sent in */
	say(&order, 0, 1, SEND, 1, true, 0);
	say(&order, 2, 3, SEND, 2, true, 0);
	say(&order, 4, 7, RECV, 0, true, 2);
	say(&order, 5, 6, RECV, 0, true, 1);
	ck_assert(linear_check(&queue_model, &order, &two));
	order.ops[2].end = 4;
	order.ops[3].begin = 5;
	ck_assert(!linear_check(&queue_model, &order, &two));
	/* "closed" while a message is there: spec, failure 3 */
	say(&late, 0, 1, SEND, 1, true, 0);
	say(&late, 2, 3, CLOSE, 0, true, 0);
	say(&late, 4, 5, RECV, 0, false, 0);
	say(&late, 6, 7, RECV, 0, true, 1);
	ck_assert(!linear_check(&queue_model, &late, &two));
}
END_TEST

static void linear_tests(TCase *tc)
{
	t_add(tc, the_checker_tells_right_histories_from_wrong_ones);
	t_add_loop(tc, a_map_is_linearizable, 0, CREW_MODES);
	t_add_loop(tc, a_rendezvous_channel_is_linearizable, 0, CREW_MODES);
	t_add_loop(tc, a_bounded_channel_is_linearizable, 0, CREW_MODES);
	t_add_loop(tc, an_unbounded_channel_is_linearizable, 0, CREW_MODES);
}
T_SUITE("linear", linear_tests)
