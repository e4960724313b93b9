/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=240 */
/* A map that many use at once: plain threads, fibers, both, and fibers of a simulated run. */
#include "rt/reclaim.h"
#include "support/crew.h"
#include "support/t.h"

#include <weft/map.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOW 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SLOW 1
#endif
#endif
#ifdef SLOW
#define SCALE(n) ((n) / 3)
#else
#define SCALE(n) (n)
#endif

enum { PARTIES = 4 };

struct world;

struct party {
	struct world *world;
	unsigned index;
	uint64_t state; /* of its random numbers */
	/* of the test */
	uint64_t count;
};

struct world {
	weft_map *map;
	enum crew_mode mode;
	struct party parties[PARTIES];
	_Atomic uint64_t sum, running;
	_Atomic bool over;
};

static uint64_t any(struct party *p, uint64_t bound)
{
	return t_random(&p->state) % bound;
}

/* Lets others in: fibers of one worker run one after the other else. */
static void breathe(struct party *p)
{
	if (p->world->mode != CREW_THREADS && any(p, 16) == 0)
		(void)weft_yield();
}

static void world_run(
	struct world *w, int mode, const weft_map_options *options, weft_err (*body)(void *arg))
{
	struct crew_member members[PARTIES];
	uint64_t seed = t_seed();

	memset(w, 0, sizeof(*w));
	w->mode = (enum crew_mode)mode;
	ck_assert_int_eq(weft_map_create(&w->map, options), WEFT_OK);
	for (unsigned i = 0; i < PARTIES; i++) {
		w->parties[i] = (struct party){ .world = w, .index = i, .state = seed + i };
		members[i] = (struct crew_member){ body, &w->parties[i] };
	}
	crew_run(w->mode, seed, members, PARTIES);
}

static void world_end(struct world *w)
{
	weft_map_free(w->map);
	reclaim_synchronize();
}

static struct world world;

/* --- what is read ------------------------------------------------------------------------------ */

/* A value says which key it belongs to. */
enum { WINDOW = 3000 };

static uint64_t canary(uint64_t key, uint64_t random)
{
	return key * 0x10001 << 32 | (uint32_t)random;
}

static bool is_canary(uint64_t key, uint64_t value)
{
	return value >> 32 == (uint32_t)(key * 0x10001);
}

static void note_canary(void *arg, uint64_t value)
{
	uint64_t *key = arg;

	T_OUGHT(is_canary(*key, value));
}

static bool canary_is_odd(void *arg, uint64_t value)
{
	note_canary(arg, value);
	return value % 2;
}

/* The window of keys grows and shrinks, so that the tables do. */
static weft_err mix(void *arg)
{
	struct party *p = arg;
	weft_map *map = p->world->map;

	for (unsigned i = 0; i < SCALE(60000); i++) {
		bool growing = i / SCALE(15000) % 2 == 0, found;
		uint64_t key = any(p, WINDOW), value;

		switch (any(p, 3) ? any(p, 6) : (uint64_t)!growing) {
		case 0:
			T_OUGHT(weft_map_set(map, weft_map_int(key),
					canary(key, t_random(&p->state))) == WEFT_OK);
			break;
		case 1:
			if (weft_map_remove(map, weft_map_int(key), &value))
				T_OUGHT(is_canary(key, value));
			break;
		case 2:
			(void)weft_map_remove_if(map, weft_map_int(key), canary_is_odd, &key);
			break;
		case 3:
			(void)weft_map_view(map, weft_map_int(key), note_canary, &key);
			break;
		default:
			found = weft_map_get(map, weft_map_int(key), &value);
			T_OUGHT(!found || is_canary(key, value));
			break;
		}
		breathe(p);
	}
	return WEFT_OK;
}

START_TEST(map_readers_see_no_others_value_while_it_grows_and_shrinks)
{
	weft_map_options options = { .shards = 2 };

	world_run(&world, _i, &options, mix);
	world_end(&world);
}
END_TEST

/* Each party has keys of its own, of which it knows what is there. */
static weft_err own_keys(void *arg)
{
	struct party *p = arg;
	weft_map *map = p->world->map;
	enum { MINE = 512 };
	bool there[MINE] = { false };

	for (unsigned i = 0; i < SCALE(40000); i++) {
		uint64_t at = any(p, MINE), key = at * PARTIES + p->index, value;

		switch (any(p, 4)) {
		case 0:
			T_OUGHT(weft_map_insert(map, weft_map_int(key), canary(key, i)) ==
				(there[at] ? WEFT_EDUPLICATE : WEFT_OK));
			there[at] = true;
			break;
		case 1:
			T_OUGHT(weft_map_remove(map, weft_map_int(key), &value) == there[at]);
			there[at] = false;
			break;
		default:
			T_OUGHT(weft_map_get(map, weft_map_int(key), &value) == there[at]);
			T_OUGHT(!there[at] || is_canary(key, value));
			break;
		}
		breathe(p);
	}
	for (unsigned i = 0; i < MINE; i++)
		p->count += there[i];
	return WEFT_OK;
}

START_TEST(map_keeps_each_ones_entries_apart)
{
	weft_map_options options = { .shards = 1 };
	uint64_t sum = 0;

	world_run(&world, _i, &options, own_keys);
	for (unsigned i = 0; i < PARTIES; i++)
		sum += world.parties[i].count;
	ck_assert_uint_eq(weft_map_len(world.map), sum);
	world_end(&world);
}
END_TEST

/* --- keys that collide --------------------------------------------------------------------------- */

struct number {
	uint64_t key;
};

static uint64_t few(const void *key)
{
	return ((const struct number *)key)->key % 3;
}

static bool number_equal(const void *a, const void *b)
{
	return ((const struct number *)a)->key == ((const struct number *)b)->key;
}

static _Atomic int64_t numbers_live;

static void *number_copy(const void *key)
{
	struct number *copy = malloc(sizeof(*copy));

	T_OUGHT(copy != NULL);
	memcpy(copy, key, sizeof(*copy));
	numbers_live++;
	return copy;
}

static void number_free(void *key)
{
	((struct number *)key)->key = UINT64_MAX;
	free(key);
	numbers_live--;
}

static weft_map_options few_hashes(void)
{
	weft_map_options options = { .keys = WEFT_MAP_CUSTOM,
		.key_hash = few,
		.key_equal = number_equal,
		.key_ref = number_copy,
		.key_unref = number_free,
		.shards = 1 };

	return options;
}

static weft_err colliding(void *arg)
{
	struct party *p = arg;
	weft_map *map = p->world->map;
	enum { MINE = 25 };
	bool there[MINE] = { false };

	for (unsigned i = 0; i < SCALE(20000); i++) {
		uint64_t at = any(p, MINE), value;
		struct number n = { at * PARTIES + p->index };
		weft_map_key key = weft_map_custom(&n);

		switch (any(p, 4)) {
		case 0:
			T_OUGHT(weft_map_insert(map, key, canary(n.key, i)) ==
				(there[at] ? WEFT_EDUPLICATE : WEFT_OK));
			there[at] = true;
			break;
		case 1:
			T_OUGHT(weft_map_remove(map, key, &value) == there[at]);
			there[at] = false;
			break;
		default:
			T_OUGHT(weft_map_get(map, key, &value) == there[at]);
			T_OUGHT(!there[at] || is_canary(n.key, value));
			/* others' */
			n.key = any(p, MINE * PARTIES);
			if (weft_map_get(map, key, &value))
				T_OUGHT(is_canary(n.key, value));
			break;
		}
		breathe(p);
	}
	for (unsigned i = 0; i < MINE; i++)
		p->count += there[i];
	return WEFT_OK;
}

START_TEST(map_is_right_when_nearly_all_keys_collide)
{
	weft_map_options options = few_hashes();
	uint64_t sum = 0;

	numbers_live = 0;
	world_run(&world, _i, &options, colliding);
	for (unsigned i = 0; i < PARTIES; i++)
		sum += world.parties[i].count;
	ck_assert_uint_eq(weft_map_len(world.map), sum);
	reclaim_synchronize();
	ck_assert_int_eq(numbers_live, (int64_t)sum);
	world_end(&world);
	ck_assert_int_eq(numbers_live, 0);
}
END_TEST

/* --- changes -------------------------------------------------------------------------------------- */

enum { COUNTERS = 7 };

static weft_map_verdict add_one(void *arg, bool found, uint64_t *value)
{
	(void)arg;
	(void)found;
	++*value;
	return WEFT_MAP_STORE;
}

static weft_err count_up(void *arg)
{
	struct party *p = arg;

	for (unsigned i = 0; i < SCALE(30000); i++) {
		T_OUGHT(weft_map_compute(p->world->map, weft_map_int(any(p, COUNTERS)), add_one,
				NULL) == WEFT_OK);
		breathe(p);
	}
	return WEFT_OK;
}

static bool add_value(void *arg, weft_map_key key, uint64_t value)
{
	(void)key;
	*(uint64_t *)arg += value;
	return true;
}

START_TEST(map_compute_loses_no_step)
{
	uint64_t sum = 0;

	world_run(&world, _i, NULL, count_up);
	ck_assert_int_eq(weft_map_iterate(world.map, add_value, &sum), WEFT_OK);
	ck_assert_uint_eq(sum, PARTIES * SCALE(30000));
	ck_assert_uint_eq(weft_map_len(world.map), COUNTERS);
	world_end(&world);
}
END_TEST

/* A token is taken out by who removes it and put in again by him: there is one a key. */
static weft_err pass_tokens(void *arg)
{
	struct party *p = arg;
	weft_map *map = p->world->map;

	for (unsigned i = 0; i < SCALE(20000); i++) {
		uint64_t key = any(p, COUNTERS), value;

		if (weft_map_remove(map, weft_map_int(key), &value)) {
			p->count++;
			breathe(p);
			T_OUGHT(weft_map_insert(map, weft_map_int(key), value + 1) == WEFT_OK);
		}
		breathe(p);
	}
	return WEFT_OK;
}

static weft_err put_tokens(weft_map *map)
{
	for (uint64_t i = 0; i < COUNTERS; i++)
		T_OUGHT(weft_map_insert(map, weft_map_int(i), 0) == WEFT_OK);
	return WEFT_OK;
}

static weft_err tokens(void *arg)
{
	struct party *p = arg;

	if (p->index == 0) {
		(void)put_tokens(p->world->map);
		p->world->over = true;
	}
	return pass_tokens(arg);
}

START_TEST(map_remove_has_one_winner)
{
	uint64_t sum = 0, won = 0;

	world_run(&world, _i, NULL, tokens);
	ck_assert_uint_eq(weft_map_len(world.map), COUNTERS);
	ck_assert_int_eq(weft_map_iterate(world.map, add_value, &sum), WEFT_OK);
	for (unsigned i = 0; i < PARTIES; i++)
		won += world.parties[i].count;
	ck_assert_uint_eq(sum, won);
	world_end(&world);
}
END_TEST

static weft_err fill(void *arg)
{
	struct party *p = arg;
	weft_map *map = p->world->map;

	for (unsigned i = 0; i < SCALE(20000); i++) {
		weft_err err = weft_map_insert(map, weft_map_int(any(p, 300)), 1);

		T_OUGHT(err == WEFT_OK || err == WEFT_EDUPLICATE || err == WEFT_ECAPACITY);
		p->world->sum += err == WEFT_ECAPACITY;
		/* len looks at one counter after the other: what goes while it looks counts */
		T_OUGHT(p->world->mode == CREW_THREADS || p->world->mode == CREW_MIXED ||
			p->world->mode == CREW_FIBERS_2 || weft_map_len(map) <= 100);
		if (any(p, 3) == 0)
			(void)weft_map_remove(map, weft_map_int(any(p, 300)), NULL);
		breathe(p);
	}
	return WEFT_OK;
}

START_TEST(map_with_a_limit_is_never_above_it)
{
	weft_map_options options = { .len_max = 100 };

	world_run(&world, _i, &options, fill);
	ck_assert_uint_gt(world.sum, 0);
	ck_assert_uint_le(weft_map_len(world.map), 100);
	weft_map_clear(world.map);
	for (uint64_t i = 0; i < 100; i++)
		ck_assert_int_eq(weft_map_insert(world.map, weft_map_int(i), i), WEFT_OK);
	ck_assert_int_eq(weft_map_insert(world.map, weft_map_int(100), 1), WEFT_ECAPACITY);
	world_end(&world);
}
END_TEST

/* --- references ------------------------------------------------------------------------------------ */

struct thing {
	_Atomic int refs;
	uint64_t key;
};

static _Atomic int64_t things_live;

static uint64_t thing_new(uint64_t key)
{
	struct thing *t = malloc(sizeof(*t));

	T_OUGHT(t != NULL);
	t->refs = 1;
	t->key = key;
	things_live++;
	return weft_map_word(t);
}

static void thing_ref(uint64_t value)
{
	struct thing *t = weft_map_pointer(value);

	T_OUGHT(atomic_fetch_add(&t->refs, 1) > 0);
}

static void thing_unref(uint64_t value)
{
	struct thing *t = weft_map_pointer(value);
	int before = atomic_fetch_sub(&t->refs, 1);

	T_OUGHT(before > 0);
	if (before > 1)
		return;
	t->key = UINT64_MAX;
	free(t);
	things_live--;
}

static void thing_look(void *arg, uint64_t value)
{
	T_OUGHT(((struct thing *)weft_map_pointer(value))->key == *(uint64_t *)arg);
}

static weft_map_verdict thing_change(void *arg, bool found, uint64_t *value)
{
	uint64_t *key = arg;

	if (found)
		thing_look(key, *value);
	if (found && ((uintptr_t)*value >> 5) % 4 == 0)
		return WEFT_MAP_REMOVE;
	*value = thing_new(*key);
	return WEFT_MAP_STORE;
}

static weft_err make_thing(void *arg, uint64_t *value)
{
	*value = thing_new(*(uint64_t *)arg);
	return WEFT_OK;
}

static void thing_step(struct party *p, uint64_t key)
{
	weft_map *map = p->world->map;
	weft_map_key k = weft_map_int(key);
	uint64_t value;
	bool replaced;
	weft_err err;

	switch (any(p, 8)) {
	case 0:
		value = thing_new(key);
		T_OUGHT(weft_map_set(map, k, value) == WEFT_OK);
		thing_unref(value);
		break;
	case 1:
		value = thing_new(key);
		err = weft_map_insert(map, k, value);
		T_OUGHT(err == WEFT_OK || err == WEFT_EDUPLICATE);
		thing_unref(value);
		break;
	case 2: {
		uint64_t fresh = thing_new(key);

		T_OUGHT(weft_map_swap(map, k, fresh, &replaced, &value) == WEFT_OK);
		thing_unref(fresh);
		if (replaced) {
			thing_look(&key, value);
			thing_unref(value);
		}
		break;
	}
	case 3:
		if (weft_map_remove(map, k, &value)) {
			thing_look(&key, value);
			thing_unref(value);
		}
		break;
	case 4:
		T_OUGHT(weft_map_compute(map, k, thing_change, &key) == WEFT_OK);
		break;
	case 5:
		T_OUGHT(weft_map_get_or_insert_with(
				map, k, &value, make_thing, &key, WEFT_FOREVER) == WEFT_OK);
		thing_look(&key, value);
		thing_unref(value);
		break;
	case 6:
		(void)weft_map_view(map, k, thing_look, &key);
		break;
	default:
		if (weft_map_get(map, k, &value)) {
			thing_look(&key, value);
			thing_unref(value);
		}
		break;
	}
}

static weft_err use_things(void *arg)
{
	struct party *p = arg;

	for (unsigned i = 0; i < SCALE(20000); i++) {
		thing_step(p, any(p, 64));
		breathe(p);
	}
	return WEFT_OK;
}

START_TEST(map_references_are_neither_lost_nor_used_after_the_last)
{
	weft_map_options options = { .value_ref = thing_ref, .value_unref = thing_unref };

	things_live = 0;
	world_run(&world, _i, &options, use_things);
	reclaim_synchronize();
	ck_assert_int_eq(things_live, (int64_t)weft_map_len(world.map));
	world_end(&world);
	ck_assert_int_eq(things_live, 0);
}
END_TEST

/* --- iterating -------------------------------------------------------------------------------------- */

enum { STAYING = 500, MOVING = 4000 };

struct seen {
	unsigned char staying[STAYING];
	unsigned char moving[MOVING];
};

static bool see(void *arg, weft_map_key key, uint64_t value)
{
	struct seen *seen = arg;

	T_OUGHT(is_canary(key.number, value));
	if (key.number < STAYING)
		seen->staying[key.number]++;
	else
		seen->moving[key.number - STAYING]++;
	return true;
}

static bool drop_moving(void *arg, weft_map_key key, uint64_t value)
{
	T_OUGHT(is_canary(key.number, value));
	return key.number < STAYING || key.number % 2 == *(uint64_t *)arg;
}

static void look_at_all(struct party *p)
{
	static _Thread_local struct seen seen;
	uint64_t parity = any(p, 2);
	weft_map *map = p->world->map;

	if (any(p, 4) == 0)
		T_OUGHT(weft_map_retain(map, drop_moving, &parity, NULL) == WEFT_OK);
	memset(&seen, 0, sizeof(seen));
	T_OUGHT(weft_map_iterate(map, see, &seen) == WEFT_OK);
	for (unsigned i = 0; i < STAYING; i++)
		T_OUGHT(seen.staying[i] == 1);
	for (unsigned i = 0; i < MOVING; i++)
		T_OUGHT(seen.moving[i] <= 1);
	p->count++;
}

static weft_err grow_or_look(void *arg)
{
	struct party *p = arg;
	weft_map *map = p->world->map;
	unsigned rounds = SCALE(60);

	if (p->index == 0) {
		for (uint64_t i = 0; i < STAYING; i++)
			T_OUGHT(weft_map_insert(map, weft_map_int(i), canary(i, i)) == WEFT_OK);
		p->world->running = 1;
	}
	while (!p->world->running)
		if (weft_in_fiber())
			(void)weft_yield();
	for (unsigned round = 0; round < rounds; round++) {
		if (p->index >= PARTIES / 2) {
			look_at_all(p);
			continue;
		}
		for (uint64_t i = p->index; i < MOVING; i += PARTIES / 2) {
			uint64_t key = STAYING + i;

			if (round % 2 == 0)
				T_OUGHT(weft_map_set(map, weft_map_int(key), canary(key, i)) ==
					WEFT_OK);
			else
				(void)weft_map_remove(map, weft_map_int(key), NULL);
			breathe(p);
		}
	}
	return WEFT_OK;
}

START_TEST(map_iterate_sees_what_stays_once_however_it_grows)
{
	weft_map_options options = { .shards = 4 };

	world_run(&world, _i, &options, grow_or_look);
	world_end(&world);
}
END_TEST

static void map_stress_tests(TCase *tc)
{
	t_add_loop(tc, map_readers_see_no_others_value_while_it_grows_and_shrinks, 0, CREW_MODES);
	t_add_loop(tc, map_keeps_each_ones_entries_apart, 0, CREW_MODES);
	t_add_loop(tc, map_is_right_when_nearly_all_keys_collide, 0, CREW_MODES);
	t_add_loop(tc, map_compute_loses_no_step, 0, CREW_MODES);
	t_add_loop(tc, map_remove_has_one_winner, 0, CREW_MODES);
	t_add_loop(tc, map_with_a_limit_is_never_above_it, 0, CREW_MODES);
	t_add_loop(tc, map_references_are_neither_lost_nor_used_after_the_last, 0, CREW_MODES);
	t_add_loop(tc, map_iterate_sees_what_stays_once_however_it_grows, 0, CREW_MODES);
}
T_SUITE("map_stress", map_stress_tests)
