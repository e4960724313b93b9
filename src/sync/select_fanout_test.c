/* SPDX-License-Identifier: MIT */
/* Broadcasts and watches as cases of a select, step by step and under races.
 * weft-test: timeout=300 */
#include "support/crew.h"
#include "support/t.h"
#include "sync/broadcast.h"
#include "sync/watch.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct scene {
	weft_broadcast *b;
	weft_broadcast_sub *sub;
	weft_watch *w;
	weft_watch_sub *watch;
	weft_chan *chan;
};

static void scene_open(struct scene *s, size_t capacity)
{
	uint64_t zero = 0;

	ck_assert_int_eq(weft_broadcast_create(&s->b, 8, capacity, NULL), WEFT_OK);
	ck_assert_int_eq(weft_broadcast_sub_create(&s->sub, s->b), WEFT_OK);
	ck_assert_int_eq(weft_watch_create(&s->w, 8, &zero, NULL), WEFT_OK);
	ck_assert_int_eq(weft_watch_sub_create(&s->watch, s->w), WEFT_OK);
	ck_assert_int_eq(weft_chan_create(&s->chan, 8, 1, NULL), WEFT_OK);
}

static void scene_close(struct scene *s)
{
	ck_assert_uint_eq(atomic_load(&s->b->waiters.count), 0);
	ck_assert_uint_eq(atomic_load(&s->w->waiters.count), 0);
	weft_broadcast_sub_free(s->sub);
	weft_broadcast_unref(s->b);
	weft_watch_sub_free(s->watch);
	weft_watch_unref(s->w);
	weft_chan_unref(s->chan);
}

enum { BROADCAST, WATCH, CHAN, CASES };

static void cases_fill(weft_select_case *cases, const struct scene *s, uint64_t *values)
{
	memset(cases, 0, CASES * sizeof(*cases));
	cases[BROADCAST].kind = WEFT_SELECT_BROADCAST;
	cases[BROADCAST].sub = s->sub;
	cases[WATCH].kind = WEFT_SELECT_WATCH;
	cases[WATCH].watch = s->watch;
	cases[CHAN].kind = WEFT_SELECT_RECV;
	cases[CHAN].chan = s->chan;
	for (size_t i = 0; i < CASES; i++)
		cases[i].message = &values[i];
}

START_TEST(select_takes_a_broadcasts_messages_its_lag_and_its_end)
{
	weft_select_case cases[CASES];
	uint64_t values[CASES] = { 0 };
	struct scene s;
	size_t chosen;

	scene_open(&s, 2);
	cases_fill(cases, &s, values);
	ck_assert_int_eq(weft_select(cases, CASES, 0, &chosen, WEFT_NOW), WEFT_ETIMEDOUT);
	ck_assert_int_eq(weft_select(cases, CASES, 0, &chosen, weft_after_ms(1)), WEFT_ETIMEDOUT);
	for (uint64_t i = 0; i < 5; i++)
		ck_assert_int_eq(weft_broadcast_send(s.b, &i), WEFT_OK);
	weft_broadcast_close(s.b);
	ck_assert_int_eq(weft_select(cases, CASES, 0, &chosen, WEFT_FOREVER), WEFT_OK);
	ck_assert(chosen == BROADCAST && cases[chosen].result == WEFT_ELAGGED);
	ck_assert_uint_eq(weft_broadcast_sub_missed(s.sub), 3);
	for (uint64_t i = 3; i < 5; i++) {
		ck_assert_int_eq(weft_select(cases, CASES, 0, &chosen, WEFT_FOREVER), WEFT_OK);
		ck_assert(chosen == BROADCAST && cases[chosen].result == WEFT_OK);
		ck_assert_uint_eq(values[BROADCAST], i);
	}
	ck_assert_int_eq(weft_select(cases, CASES, 0, &chosen, WEFT_FOREVER), WEFT_OK);
	ck_assert(chosen == BROADCAST && cases[chosen].result == WEFT_ECLOSED);
	scene_close(&s);
}
END_TEST

START_TEST(select_takes_a_watchs_changes_and_its_end)
{
	weft_select_case cases[CASES];
	uint64_t values[CASES] = { 0 }, value = 7;
	struct scene s;
	size_t chosen;

	scene_open(&s, 2);
	cases_fill(cases, &s, values);
	ck_assert_int_eq(weft_watch_send(s.w, &value), WEFT_OK);
	ck_assert_int_eq(weft_select(cases, CASES, 0, &chosen, WEFT_FOREVER), WEFT_OK);
	ck_assert(chosen == WATCH && cases[chosen].result == WEFT_OK && values[WATCH] == 7);
	ck_assert_int_eq(weft_select(cases, CASES, 0, &chosen, WEFT_NOW), WEFT_ETIMEDOUT);
	cases[WATCH].message = NULL;
	ck_assert_int_eq(weft_watch_send(s.w, &value), WEFT_OK);
	weft_watch_close(s.w);
	ck_assert_int_eq(weft_select(cases, CASES, 0, &chosen, WEFT_FOREVER), WEFT_OK);
	ck_assert(chosen == WATCH && cases[chosen].result == WEFT_OK);
	ck_assert_int_eq(weft_select(cases, CASES, 0, &chosen, WEFT_FOREVER), WEFT_OK);
	ck_assert(chosen == WATCH && cases[chosen].result == WEFT_ECLOSED);
	scene_close(&s);
}
END_TEST

START_TEST(select_refuses_a_broadcast_or_watch_that_is_not_there)
{
	weft_select_case c = { .kind = WEFT_SELECT_BROADCAST };
	size_t chosen = 9;

	ck_assert_int_eq(weft_select(&c, 1, 0, &chosen, WEFT_NOW), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "no subscriber"));
	c.kind = WEFT_SELECT_WATCH;
	ck_assert_int_eq(weft_select(&c, 1, 0, &chosen, WEFT_NOW), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "no receiver"));
	ck_assert_uint_eq(chosen, 9);
}
END_TEST

/* --- woken --------------------------------------------------------------------------------- */

struct selecting {
	struct scene *scene;
	size_t chosen;
	weft_err err, result;
	uint64_t value;
	bool returned;
};

static weft_err select_once(void *arg)
{
	struct selecting *it = arg;
	weft_select_case cases[CASES];
	uint64_t values[CASES] = { 0 };

	cases_fill(cases, it->scene, values);
	it->err = weft_select(cases, CASES, WEFT_SELECT_FAIR, &it->chosen, WEFT_FOREVER);
	it->result = it->err == WEFT_OK ? cases[it->chosen].result : it->err;
	it->value = it->err == WEFT_OK ? values[it->chosen] : 0;
	it->returned = true;
	return WEFT_OK;
}

static void wake(struct scene *s, int by)
{
	uint64_t value = 40 + (uint64_t)by;

	switch (by) {
	case BROADCAST:
		ck_assert_int_eq(weft_broadcast_send(s->b, &value), WEFT_OK);
		break;
	case WATCH:
		ck_assert_int_eq(weft_watch_send(s->w, &value), WEFT_OK);
		break;
	default:
		ck_assert_int_eq(weft_chan_try_send(s->chan, &value), WEFT_OK);
		break;
	}
}

static weft_err parked_is_woken(void *arg)
{
	int by = *(int *)arg;
	struct selecting it;
	weft_scope *scope;
	struct scene s;

	scene_open(&s, 4);
	it = (struct selecting){ .scene = &s };
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(scope, "select", select_once, &it), WEFT_OK);
	crew_settle();
	ck_assert(!it.returned);
	wake(&s, by);
	crew_settle();
	ck_assert(it.returned && it.chosen == (size_t)by && it.result == WEFT_OK);
	ck_assert_uint_eq(it.value, 40 + (uint64_t)by);
	/* cancelled */
	it.returned = false;
	ck_assert_int_eq(weft_scope_spawn(scope, "select", select_once, &it), WEFT_OK);
	crew_settle();
	ck_assert(!it.returned);
	weft_scope_cancel(scope);
	crew_settle();
	ck_assert(it.returned && it.err == WEFT_ECANCELED);
	weft_scope_free(scope);
	scene_close(&s);
	return WEFT_OK;
}

START_TEST(select_parked_is_woken_by_any_of_its_cases)
{
	ck_assert_int_eq(crew_main(1, parked_is_woken, &_i), WEFT_OK);
}
END_TEST

/* --- races ---------------------------------------------------------------------------------- */

enum { SELECTORS = 3, EACH = 1500, SIM_SEEDS = 10 };

struct traffic {
	struct scene scenes[SELECTORS]; /* b and w are those of the first, in all */
	uint64_t seed, each;
	_Atomic uint64_t from_chan;
};

struct party {
	struct traffic *traffic;
	struct scene *scene;
	uint64_t id;
};

static weft_err send_all(void *arg)
{
	struct party *p = arg;
	struct scene *s = p->scene;
	uint64_t state = p->traffic->seed;

	for (uint64_t i = 1; i <= p->traffic->each; i++) {
		T_OUGHT(weft_broadcast_send(s->b, &i) == WEFT_OK);
		if (t_random(&state) % 4 == 0)
			(void)weft_yield();
		T_OUGHT(weft_watch_send(s->w, &i) == WEFT_OK);
		if (t_random(&state) % 4 == 0)
			(void)weft_yield();
		T_OUGHT(weft_chan_send(s->chan, &i, WEFT_FOREVER) == WEFT_OK);
	}
	weft_chan_close(s->chan);
	weft_watch_close(s->w);
	weft_broadcast_close(s->b);
	return WEFT_OK;
}

struct tally {
	uint64_t received, missed, last_message, last_value;
};

static void note(struct party *p, struct tally *t, size_t chosen, weft_err result, uint64_t value)
{
	if (chosen == CHAN) {
		atomic_fetch_add(&p->traffic->from_chan, 1);
	} else if (chosen == WATCH) {
		T_OUGHT(value > t->last_value);
		t->last_value = value;
	} else if (result == WEFT_ELAGGED) {
		t->missed += weft_broadcast_sub_missed(p->scene->sub);
	} else {
		T_OUGHT(value > t->last_message);
		t->last_message = value;
		t->received++;
	}
}

/* All of a broadcast but what was missed, the last of a watch, and together all of a channel. */
static weft_err select_all(void *arg)
{
	struct party *p = arg;
	uint64_t state = p->traffic->seed + 100 + p->id, values[CASES];
	weft_select_case cases[CASES];
	struct tally tally = { 0 };
	size_t open = CASES, chosen;

	cases_fill(cases, p->scene, values);
	while (open > 0) {
		weft_deadline until = t_random(&state) % 4
			? WEFT_FOREVER
			: weft_after_ns((int64_t)(t_random(&state) % 20000));
		weft_err err = weft_select(cases, CASES,
			t_random(&state) % 2 ? WEFT_SELECT_FAIR : WEFT_SELECT_BIASED, &chosen,
			until);

		if (err == WEFT_ETIMEDOUT)
			continue;
		T_OUGHT(err == WEFT_OK);
		if (cases[chosen].result != WEFT_ECLOSED) {
			note(p, &tally, chosen, cases[chosen].result, values[chosen]);
			continue;
		}
		cases[chosen].kind = WEFT_SELECT_NONE;
		open--;
	}
	T_OUGHT(tally.received + tally.missed == p->traffic->each);
	T_OUGHT(tally.last_value == p->traffic->each);
	return WEFT_OK;
}

static void traffic_run(enum crew_mode mode, uint64_t seed, uint64_t each)
{
	struct traffic t = { .seed = seed, .each = each };
	struct crew_member members[1 + SELECTORS];
	struct party parties[1 + SELECTORS];

	scene_open(&t.scenes[0], 8);
	for (size_t i = 0; i <= SELECTORS; i++) {
		struct scene *s = &t.scenes[i ? i - 1 : 0];

		if (i > 1) {
			*s = t.scenes[0];
			ck_assert_int_eq(weft_broadcast_sub_create(&s->sub, s->b), WEFT_OK);
			ck_assert_int_eq(weft_watch_sub_create(&s->watch, s->w), WEFT_OK);
		}
		parties[i] = (struct party){ &t, s, i };
		members[i] = (struct crew_member){ i ? select_all : send_all, &parties[i] };
	}
	crew_run(mode, seed, members, 1 + SELECTORS);
	ck_assert_uint_eq(t.from_chan, each);
	for (size_t i = 1; i < SELECTORS; i++) {
		weft_broadcast_sub_free(t.scenes[i].sub);
		weft_watch_sub_free(t.scenes[i].watch);
	}
	scene_close(&t.scenes[0]);
}

/* spec: failures 1, 2, 10 */
START_TEST(select_over_all_kinds_loses_nothing)
{
	enum crew_mode mode = (enum crew_mode)_i;

	if (mode != CREW_SIM) {
		traffic_run(mode, t_seed(), EACH);
		return;
	}
	for (uint64_t i = 0; i < SIM_SEEDS; i++)
		traffic_run(mode, t_seed() + i, 60);
}
END_TEST

static void select_fanout_tests(TCase *tc)
{
	t_add(tc, select_takes_a_broadcasts_messages_its_lag_and_its_end);
	t_add(tc, select_takes_a_watchs_changes_and_its_end);
	t_add(tc, select_refuses_a_broadcast_or_watch_that_is_not_there);
	t_add_loop(tc, select_parked_is_woken_by_any_of_its_cases, 0, CASES);
	t_add_loop(tc, select_over_all_kinds_loses_nothing, 0, CREW_MODES);
}
T_SUITE("select_fanout", select_fanout_tests)
