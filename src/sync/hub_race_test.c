/* SPDX-License-Identifier: MIT */
/* Hubs that many fibers and threads use at once. */
#include "sync/hub.h"

#include "base/mem.h"
#include "support/crew.h"
#include "support/t.h"

#include <stdio.h>
#include <string.h>

#define ALIVE 0x0b1ec7u

/* What is registered: finds it when it is used or destroyed after its end. */
struct thing {
	unsigned alive;
	unsigned key;
};

static _Atomic int things; /* alive */

static struct thing *thing_new(unsigned key)
{
	struct thing *t = mem_alloc(sizeof(*t));

	T_OUGHT(t);
	t->alive = ALIVE;
	t->key = key;
	atomic_fetch_add(&things, 1);
	return t;
}

static void thing_destroy(void *object)
{
	struct thing *t = object;

	T_OUGHT(t->alive == ALIVE);
	t->alive = 0;
	atomic_fetch_sub(&things, 1);
	mem_free(t);
}

static const weft_hub_type thing_type = { "thing", thing_destroy };

enum { PARTIES = 6, ROUNDS = 200, NAMES = 7 };

struct race {
	weft_hub *hub;
	weft_hub_handle shared[ROUNDS];
	char names[ROUNDS][8];
	_Atomic int registered[ROUNDS], running[ROUNDS];
	uint64_t seed;
};

struct party {
	struct race *race;
	uint64_t state;
	size_t at;
};

static void race_run(struct race *r, weft_err (*body)(void *arg), enum crew_mode mode)
{
	struct crew_member members[PARTIES];
	struct party parties[PARTIES];

	memset(r, 0, sizeof(*r));
	ck_assert_int_eq(weft_hub_create(&r->hub), WEFT_OK);
	r->seed = t_seed();
	for (size_t i = 0; i < ROUNDS; i++) {
		snprintf(r->names[i], sizeof(r->names[i]), "%zu", i);
		r->shared[i] =
			(weft_hub_handle)WEFT_HUB_HANDLE(r->hub, NULL, r->names[i], &thing_type);
	}
	for (size_t i = 0; i < PARTIES; i++) {
		parties[i] = (struct party){ r, r->seed + i, 0 };
		members[i] = (struct crew_member){ body, &parties[i] };
	}
	crew_run(mode, r->seed, members, PARTIES);
	for (size_t i = 0; i < ROUNDS; i++)
		weft_hub_handle_fini(&r->shared[i]);
	ck_assert_uint_eq(r->hub->entries, r->hub->len);
	weft_hub_free(r->hub);
	ck_assert_int_eq(things, 0);
}

static weft_err set_body(void *arg)
{
	struct party *p = arg;
	struct race *r = p->race;

	for (size_t i = 0; i < ROUNDS; i++) {
		weft_hub_key key = { NULL, r->names[i], &thing_type };
		struct thing *t = thing_new((unsigned)i);
		weft_err err = weft_hub_set(r->hub, &key, t);

		T_OUGHT(err == WEFT_OK || err == WEFT_EDUPLICATE);
		if (err)
			thing_destroy(t);
		else
			atomic_fetch_add(&r->registered[i], 1);
		if (t_random(&p->state) % 8 == 0)
			(void)weft_yield();
	}
	return WEFT_OK;
}

START_TEST(hub_duplicates_are_detected_under_races)
{
	static struct race race;

	race_run(&race, set_body, (enum crew_mode)_i);
	for (size_t i = 0; i < ROUNDS; i++)
		ck_assert_int_eq(race.registered[i], 1);
}
END_TEST

static weft_err init_racing(void *arg, void **object)
{
	struct party *p = arg;
	struct race *r = p->race;
	bool fails = t_random(&p->state) % 3 == 0;

	T_OUGHT(atomic_fetch_add(&r->running[p->at], 1) == 0);
	T_OUGHT(r->registered[p->at] == 0);
	if (t_random(&p->state) % 2)
		(void)weft_yield();
	if (!fails) {
		atomic_fetch_add(&r->registered[p->at], 1);
		*object = thing_new((unsigned)p->at);
	}
	atomic_fetch_sub(&r->running[p->at], 1);
	return fails ? WEFT_EIO : WEFT_OK;
}

/* Over a handle that all share, or one of its own. */
static weft_err init_body(void *arg)
{
	struct party *p = arg;
	struct race *r = p->race;

	for (p->at = 0; p->at < ROUNDS; p->at++) {
		weft_hub_handle own = WEFT_HUB_HANDLE(r->hub, NULL, r->names[p->at], &thing_type);
		weft_hub_handle *h = &own;
		struct thing *t;
		void *object;
		weft_err err;

		if (t_random(&p->state) % 2)
			h = &r->shared[p->at];
		do {
			weft_deadline until = t_random(&p->state) % 2
				? WEFT_FOREVER
				: weft_after_ns((int64_t)(t_random(&p->state) % 5000));

			if (p->state % 4 == 0 && r->registered[p->at])
				err = weft_hub_wait(h, &object, until);
			else
				err = weft_hub_get_or_init(h, &object, init_racing, p, until);
			T_OUGHT(err == WEFT_OK || err == WEFT_EIO || err == WEFT_ETIMEDOUT);
		} while (err != WEFT_OK);
		t = object;
		T_OUGHT(t->alive == ALIVE && t->key == p->at);
		T_OUGHT(weft_hub_object(h) == t && weft_hub_is_current(h));
		weft_hub_handle_fini(&own);
	}
	return WEFT_OK;
}

START_TEST(hub_object_is_made_by_one_of_many)
{
	static struct race race;

	race_run(&race, init_body, (enum crew_mode)_i);
	for (size_t i = 0; i < ROUNDS; i++)
		ck_assert_int_eq(race.registered[i], 1);
}
END_TEST

static bool see_alive(void *arg, const weft_hub_key *key, void *object)
{
	const struct thing *t = object;

	(void)arg;
	T_OUGHT(t->alive == ALIVE && (char)('a' + t->key) == key->name[0]);
	return true;
}

static weft_err init_maybe(void *arg, void **object)
{
	struct party *p = arg;

	if (t_random(&p->state) % 4 == 0)
		return WEFT_EIO;
	if (t_random(&p->state) % 4 == 0)
		(void)weft_yield();
	*object = thing_new((unsigned)p->at);
	return WEFT_OK;
}

static void churn_set(struct party *p, const weft_hub_key *key)
{
	struct thing *t = thing_new((unsigned)p->at);
	weft_err err = weft_hub_set(p->race->hub, key, t);

	T_OUGHT(err == WEFT_OK || err == WEFT_EDUPLICATE);
	if (err)
		thing_destroy(t);
}

static void churn_look(struct party *p, const weft_hub_key *key)
{
	weft_hub_handle h = WEFT_HUB_HANDLE(p->race->hub, key->scope, key->name, key->type);
	weft_deadline until = weft_after_ns((int64_t)(t_random(&p->state) % 3000));
	unsigned way = (unsigned)(t_random(&p->state) % 8);
	void *object = NULL;
	weft_err err = way == 0 ? weft_hub_wait(&h, &object, until)
		: way < 3	? weft_hub_get_or_init(&h, &object, init_maybe, p, until)
				: weft_hub_get(&h, &object);
	const struct thing *t = object;

	T_OUGHT(err == WEFT_OK || err == WEFT_ENOTFOUND || err == WEFT_ETIMEDOUT ||
		err == WEFT_EIO);
	T_OUGHT(err != WEFT_OK || (t->alive == ALIVE && t->key == p->at));
	if (t_random(&p->state) % 8 == 0)
		(void)weft_yield();
	T_OUGHT(err != WEFT_OK || t->alive == ALIVE);
	weft_hub_handle_fini(&h);
}

static void churn_remove(struct party *p, const weft_hub_key *key)
{
	weft_err err = weft_hub_remove(p->race->hub, key);

	T_OUGHT(err == WEFT_OK || err == WEFT_ENOTFOUND);
}

static weft_err churn_body(void *arg)
{
	static const char *const scopes[] = { NULL, "s", "t" };
	struct party *p = arg;

	for (size_t i = 0; i < 10 * ROUNDS; i++) {
		char name[2] = { 0 };
		weft_hub_key key = { scopes[t_random(&p->state) % 3], name, &thing_type };
		unsigned what = (unsigned)(t_random(&p->state) % 64);

		p->at = t_random(&p->state) % NAMES;
		name[0] = (char)('a' + p->at);
		if (what == 0)
			(void)weft_hub_remove_scope(p->race->hub, key.scope);
		else if (what == 1)
			T_OUGHT(weft_hub_each(p->race->hub, see_alive, NULL) == WEFT_OK);
		else if (what < 12)
			churn_set(p, &key);
		else if (what < 20)
			churn_remove(p, &key);
		else
			churn_look(p, &key);
	}
	return WEFT_OK;
}

START_TEST(hub_object_that_is_found_lives_whoever_removes_it)
{
	static struct race race;

	race_run(&race, churn_body, (enum crew_mode)_i);
}
END_TEST

/* One key, tight loops: who finds an entry against who removes it. */
static weft_err flip_body(void *arg)
{
	struct party *p = arg;
	struct race *r = p->race;
	bool looks = (p->state - r->seed) % 2;
	weft_hub_key key = { NULL, "a", &thing_type };

	for (size_t i = 0; i < 20 * ROUNDS; i++) {
		weft_hub_handle h = WEFT_HUB_HANDLE(r->hub, NULL, "a", &thing_type);
		void *object;

		p->at = 0;
		if (!looks) {
			churn_set(p, &key);
			churn_remove(p, &key);
		} else if (weft_hub_get(&h, &object) == WEFT_OK) {
			T_OUGHT(((struct thing *)object)->alive == ALIVE);
			weft_hub_handle_fini(&h);
		}
	}
	return WEFT_OK;
}

START_TEST(hub_look_up_is_safe_against_removal)
{
	static struct race race;

	race_run(&race, flip_body, (enum crew_mode)_i);
}
END_TEST

static void hub_race_tests(TCase *tc)
{
	t_add_loop(tc, hub_duplicates_are_detected_under_races, 0, CREW_MODES);
	t_add_loop(tc, hub_object_is_made_by_one_of_many, 0, CREW_MODES);
	t_add_loop(tc, hub_object_that_is_found_lives_whoever_removes_it, 0, CREW_MODES);
	t_add_loop(tc, hub_look_up_is_safe_against_removal, 0, CREW_MODES);
}
T_SUITE("hub/race", hub_race_tests)
