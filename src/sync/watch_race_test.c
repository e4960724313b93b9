/* SPDX-License-Identifier: MIT */
/* Watches under races, as threads, as fibers, as both, and simulated.
 * weft-test: timeout=300 */
#include "support/counted.h"
#include "support/crew.h"
#include "support/t.h"
#include "sync/watch.h"

#include <stdatomic.h>
#include <string.h>

static const weft_watch_options boxed_options = { true, NULL, NULL, NULL };

static weft_watch *watch_of(uint64_t value, bool boxed)
{
	weft_watch *w = NULL;

	ck_assert_int_eq(
		weft_watch_create(&w, sizeof(value), &value, boxed ? &boxed_options : NULL),
		WEFT_OK);
	return w;
}

static weft_watch_sub *sub_of(weft_watch *w)
{
	weft_watch_sub *sub = NULL;

	ck_assert_int_eq(weft_watch_sub_create(&sub, w), WEFT_OK);
	return sub;
}

/* --- counted values ------------------------------------------------------------------------ */

static const weft_watch_options thing_options = { true, thing_ref, thing_unref, &things };

static void thing_next(void *value, void *arg)
{
	struct thing *next = thing_new((*(struct thing **)value)->value + 1);

	(void)arg;
	thing_unref(value, &things);
	*(struct thing **)value = next;
}

/* --- races ---------------------------------------------------------------------------------- */

enum { SENDERS = 2, READERS = 4, WORDS = 6, SIM_SEEDS = 10 };
enum kind { PLAIN, BOXED, COUNTED, KINDS };

struct traffic {
	weft_watch *w;
	enum kind kind;
	uint64_t seed;
	uint32_t each; /* changes a sender */
};

struct party {
	struct traffic *traffic;
	uint32_t id;
	weft_watch_sub *sub;
};

static void words_fill(uint64_t *words, uint64_t value)
{
	for (size_t i = 0; i < WORDS; i++)
		words[i] = value ^ i * 0x9e3779b97f4a7c15;
}

/* Every change is one more, so that the last value tells whether one was lost. */
static void one_more(void *value, void *arg)
{
	struct traffic *t = arg;

	if (t->kind == COUNTED)
		thing_next(value, NULL);
	else
		words_fill(value, *(uint64_t *)value + 1);
}

static bool one_more_perhaps(void *value, void *arg)
{
	struct party *p = arg;

	one_more(value, p->traffic);
	return p->sub != NULL;
}

static uint64_t value_of(const struct traffic *t, const void *value)
{
	uint64_t words[WORDS], first;
	struct thing *thing;

	if (t->kind == COUNTED) {
		memcpy(&thing, value, sizeof(thing));
		T_OUGHT(thing->check == ~thing->value);
		return thing->value;
	}
	memcpy(&first, value, sizeof(first));
	words_fill(words, first);
	T_OUGHT(memcmp(value, words, sizeof(words)) == 0);
	return first;
}

static weft_err send_all(void *arg)
{
	struct party *p = arg;
	uint64_t state = p->traffic->seed + p->id;

	for (uint32_t i = 0; i < p->traffic->each; i++) {
		T_OUGHT(weft_watch_modify(p->traffic->w, one_more, p->traffic) == WEFT_OK);
		if (t_random(&state) % 8 == 0)
			T_OUGHT(weft_watch_send_if_modified(
					p->traffic->w, one_more_perhaps, p, NULL) == WEFT_OK);
		if (t_random(&state) % 8 == 0)
			(void)weft_yield();
	}
	weft_watch_sender_unref(p->traffic->w);
	return WEFT_OK;
}

struct sight {
	const struct traffic *traffic;
	uint64_t value;
};

static void see_whole(const void *value, void *arg)
{
	struct sight *sight = arg;

	sight->value = value_of(sight->traffic, value);
}

static uint64_t look(struct party *p, uint64_t *state)
{
	struct sight sight = { p->traffic, 0 };
	uint64_t words[WORDS], value;

	if (p->traffic->kind != PLAIN && t_random(state) % 2) {
		T_OUGHT(weft_watch_sub_view_and_update(p->sub, see_whole, &sight) == WEFT_OK);
		return sight.value;
	}
	weft_watch_sub_borrow_and_update(p->sub, words);
	value = value_of(p->traffic, words);
	if (p->traffic->kind == COUNTED)
		thing_unref(words, &things);
	return value;
}

/* What is seen only grows, after a change it has grown, and the last one is seen. */
static weft_err watch_all(void *arg)
{
	struct party *p = arg;
	uint64_t state = p->traffic->seed + 100 + p->id, last = 0;
	weft_err err;

	for (;;) {
		weft_deadline until = t_random(&state) % 4
			? WEFT_FOREVER
			: weft_after_ns((int64_t)(t_random(&state) % 20000));
		uint64_t value;

		err = weft_watch_sub_changed(p->sub, until);
		if (err == WEFT_ECLOSED)
			break;
		T_OUGHT(err == WEFT_OK || err == WEFT_ETIMEDOUT);
		value = look(p, &state);
		T_OUGHT(value >= last + (err == WEFT_OK));
		last = value;
	}
	T_OUGHT(last == (uint64_t)SENDERS * p->traffic->each);
	return WEFT_OK;
}

static void traffic_run(struct traffic *t, enum crew_mode mode)
{
	struct crew_member members[SENDERS + READERS];
	struct party parties[SENDERS + READERS];
	uint64_t words[WORDS];
	struct thing *thing;
	bool counted = t->kind == COUNTED;

	words_fill(words, 0);
	thing = counted ? thing_new(0) : NULL;
	ck_assert_int_eq(weft_watch_create(&t->w, counted ? sizeof(thing) : sizeof(words),
				 counted ? (void *)&thing : (void *)words,
				 counted		    ? &thing_options
					 : t->kind == BOXED ? &boxed_options
							    : NULL),
		WEFT_OK);
	for (uint32_t i = 0; i < SENDERS + READERS; i++) {
		parties[i] = (struct party){ t, i, NULL };
		members[i] =
			(struct crew_member){ i < SENDERS ? send_all : watch_all, &parties[i] };
		if (i < SENDERS)
			weft_watch_sender_ref(t->w);
		else
			parties[i].sub = sub_of(t->w);
	}
	crew_run(mode, t->seed, members, SENDERS + READERS);
	for (uint32_t i = SENDERS; i < SENDERS + READERS; i++)
		weft_watch_sub_free(parties[i].sub);
	weft_watch_unref(t->w);
	reclaim_synchronize();
	ck_assert_int_eq(atomic_load(&things), 0);
}

START_TEST(watch_values_are_whole_and_no_change_is_lost)
{
	enum crew_mode mode = (enum crew_mode)(_i / KINDS);

	for (uint64_t seed = 0; seed < (mode == CREW_SIM ? SIM_SEEDS : 1); seed++) {
		struct traffic t = { NULL, (enum kind)(_i % KINDS), t_seed() + seed,
			mode == CREW_SIM ? 100 : 3000 };

		traffic_run(&t, mode);
	}
}
END_TEST

/* --- large values, so that a copy takes as long as several changes ------------------------- */

enum { LARGE_WORDS = 128, LARGE_CHANGES = 20000 };

static weft_err send_large(void *arg)
{
	weft_watch *w = arg;
	uint64_t value[LARGE_WORDS];

	for (uint64_t n = 1; n <= LARGE_CHANGES; n++) {
		for (size_t i = 0; i < LARGE_WORDS; i++)
			value[i] = n;
		T_OUGHT(weft_watch_send(w, value) == WEFT_OK);
	}
	weft_watch_close(w);
	return WEFT_OK;
}

static weft_err see_large(void *arg)
{
	weft_watch *w = arg;
	uint64_t value[LARGE_WORDS], last = 0;

	while (!weft_watch_is_closed(w)) {
		size_t different = 0;

		weft_watch_get(w, value);
		for (size_t i = 1; i < LARGE_WORDS; i++)
			different += value[i] != value[0];
		T_OUGHT(different == 0 && value[0] >= last);
		last = value[0];
	}
	return WEFT_OK;
}

START_TEST(watch_large_values_are_whole)
{
	static const uint64_t zero[LARGE_WORDS];
	struct crew_member members[3];
	weft_watch *w = NULL;

	ck_assert_int_eq(weft_watch_create(&w, sizeof(zero), zero, NULL), WEFT_OK);
	for (size_t i = 0; i < 3; i++)
		members[i] = (struct crew_member){ i == 1 ? send_large : see_large, w };
	crew_run(_i ? CREW_MIXED : CREW_THREADS, 0, members, 3);
	weft_watch_unref(w);
}
END_TEST

/* --- without deadlines, so that a lost wake is a dead stop ----------------------------------- */

struct pair {
	weft_watch *there, *back;
	weft_watch_sub *sub;
	uint64_t rounds;
};

static weft_err serve(void *arg)
{
	struct pair *pair = arg;
	uint64_t value;

	for (uint64_t i = 1; i <= pair->rounds; i++) {
		T_OUGHT(weft_watch_send(pair->there, &i) == WEFT_OK);
		T_OUGHT(weft_watch_sub_changed(pair->sub, WEFT_FOREVER) == WEFT_OK);
		weft_watch_sub_borrow(pair->sub, &value);
		T_OUGHT(value == i);
	}
	weft_watch_close(pair->there);
	return WEFT_OK;
}

static weft_err answer(void *arg)
{
	struct pair *pair = arg;
	uint64_t value, next = 1;

	while (weft_watch_sub_changed(pair->sub, WEFT_FOREVER) == WEFT_OK) {
		weft_watch_sub_borrow(pair->sub, &value);
		T_OUGHT(value == next++);
		T_OUGHT(weft_watch_send(pair->back, &value) == WEFT_OK);
	}
	return WEFT_OK;
}

static void pair_run(enum crew_mode mode, uint64_t seed, uint64_t rounds)
{
	weft_watch *there = watch_of(0, false), *back = watch_of(0, false);
	struct pair left = { there, back, sub_of(back), rounds };
	struct pair right = { there, back, sub_of(there), rounds };
	struct crew_member members[2] = { { serve, &left }, { answer, &right } };

	crew_run(mode, seed, members, 2);
	weft_watch_sub_free(left.sub);
	weft_watch_sub_free(right.sub);
	weft_watch_unref(there);
	weft_watch_unref(back);
}

/* spec: failure 10 */
START_TEST(watch_loses_no_wake_when_nothing_follows)
{
	enum crew_mode mode = (enum crew_mode)_i;

	if (mode != CREW_SIM) {
		pair_run(mode, 0, 3000);
		return;
	}
	for (uint64_t i = 0; i < SIM_SEEDS; i++)
		pair_run(mode, t_seed() + i, 50);
}
END_TEST

static void watch_race_tests(TCase *tc)
{
	t_add_loop(tc, watch_values_are_whole_and_no_change_is_lost, 0, KINDS * CREW_MODES);
	t_add_loop(tc, watch_large_values_are_whole, 0, 2);
	t_add_loop(tc, watch_loses_no_wake_when_nothing_follows, 0, CREW_MODES);
}
T_SUITE("watch_race", watch_race_tests)
