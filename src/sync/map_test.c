/* SPDX-License-Identifier: MIT */
/* A map, one call after another; what happens at once is in map_stress_test.c. */
#include "rt/reclaim.h"
#include "support/crew.h"
#include "support/t.h"

#include <weft/map.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static weft_map *map_new(const weft_map_options *options)
{
	weft_map *map = NULL;

	ck_assert_int_eq(weft_map_create(&map, options), WEFT_OK);
	return map;
}

static void map_end(weft_map *map)
{
	weft_map_free(map);
	reclaim_synchronize();
}

static void put(weft_map *map, uint64_t key, uint64_t value)
{
	ck_assert_int_eq(weft_map_set(map, weft_map_int(key), value), WEFT_OK);
}

static bool has(weft_map *map, uint64_t key, uint64_t value)
{
	uint64_t got = ~value;

	return weft_map_get(map, weft_map_int(key), &got) && got == value;
}

/* --- single entries --------------------------------------------------------------------------- */

START_TEST(map_keeps_what_is_put_in_until_it_is_removed)
{
	weft_map *map = map_new(NULL);
	uint64_t value = 77;

	ck_assert(!weft_map_get(map, weft_map_int(1), &value));
	ck_assert(!weft_map_contains(map, weft_map_int(1)));
	ck_assert(!weft_map_remove(map, weft_map_int(1), &value));
	ck_assert_uint_eq(value, 77);
	ck_assert_int_eq(weft_map_insert(map, weft_map_int(1), 10), WEFT_OK);
	ck_assert_int_eq(weft_map_insert(map, weft_map_int(0), 0), WEFT_OK);
	ck_assert_int_eq(weft_map_insert(map, weft_map_int(UINT64_MAX), UINT64_MAX), WEFT_OK);
	ck_assert(has(map, 1, 10) && has(map, 0, 0) && has(map, UINT64_MAX, UINT64_MAX));
	ck_assert_uint_eq(weft_map_len(map), 3);
	ck_assert(weft_map_remove(map, weft_map_int(1), &value));
	ck_assert_uint_eq(value, 10);
	ck_assert(!weft_map_contains(map, weft_map_int(1)));
	ck_assert(weft_map_remove(map, weft_map_int(0), NULL));
	ck_assert(!weft_map_remove(map, weft_map_int(0), NULL));
	ck_assert_uint_eq(weft_map_len(map), 1);
	map_end(map);
	weft_map_free(NULL);
}
END_TEST

START_TEST(map_insert_refuses_a_key_that_is_there_and_set_replaces_it)
{
	weft_map *map = map_new(NULL);
	uint64_t old = 5;
	bool replaced = true;

	ck_assert_int_eq(weft_map_insert(map, weft_map_int(1), 10), WEFT_OK);
	ck_assert_int_eq(weft_map_insert(map, weft_map_int(1), 11), WEFT_EDUPLICATE);
	ck_assert(has(map, 1, 10));
	ck_assert_int_eq(weft_map_set(map, weft_map_int(1), 12), WEFT_OK);
	ck_assert(has(map, 1, 12));
	ck_assert_int_eq(weft_map_swap(map, weft_map_int(1), 13, &replaced, &old), WEFT_OK);
	ck_assert(replaced && old == 12 && has(map, 1, 13));
	ck_assert_int_eq(weft_map_swap(map, weft_map_int(2), 20, &replaced, &old), WEFT_OK);
	ck_assert(!replaced && old == 12 && has(map, 2, 20));
	ck_assert_uint_eq(weft_map_len(map), 2);
	map_end(map);
}
END_TEST

static void note(void *arg, uint64_t value)
{
	*(uint64_t *)arg = value;
}

static bool is_even(void *arg, uint64_t value)
{
	*(uint64_t *)arg = value;
	return value % 2 == 0;
}

START_TEST(map_view_and_remove_if_see_the_value)
{
	weft_map *map = map_new(NULL);
	uint64_t seen = 0;

	put(map, 1, 11);
	put(map, 2, 12);
	ck_assert(weft_map_view(map, weft_map_int(1), note, &seen) && seen == 11);
	ck_assert(!weft_map_view(map, weft_map_int(3), note, &seen) && seen == 11);
	ck_assert(!weft_map_remove_if(map, weft_map_int(1), is_even, &seen) && seen == 11);
	ck_assert(weft_map_remove_if(map, weft_map_int(2), is_even, &seen) && seen == 12);
	ck_assert(!weft_map_remove_if(map, weft_map_int(2), is_even, &seen));
	ck_assert(has(map, 1, 11) && weft_map_len(map) == 1);
	map_end(map);
}
END_TEST

struct step {
	bool found;
	uint64_t seen, store;
	weft_map_verdict verdict;
	int calls;
};

static weft_map_verdict take_step(void *arg, bool found, uint64_t *value)
{
	struct step *s = arg;

	s->calls++;
	s->found = found;
	s->seen = *value;
	*value = s->store;
	return s->verdict;
}

START_TEST(map_compute_keeps_stores_and_removes)
{
	static const struct {
		bool there;
		weft_map_verdict verdict;
		bool there_after;
		uint64_t after;
	} cases[] = {
		{ false, WEFT_MAP_KEEP, false, 0 },
		{ false, WEFT_MAP_REMOVE, false, 0 },
		{ false, WEFT_MAP_STORE, true, 9 },
		{ true, WEFT_MAP_KEEP, true, 4 },
		{ true, WEFT_MAP_REMOVE, false, 0 },
		{ true, WEFT_MAP_STORE, true, 9 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		weft_map *map = map_new(NULL);
		struct step s = { .store = 9, .verdict = cases[i].verdict };

		if (cases[i].there)
			put(map, 1, 4);
		ck_assert_int_eq(weft_map_compute(map, weft_map_int(1), take_step, &s), WEFT_OK);
		ck_assert(s.calls == 1 && s.found == cases[i].there);
		ck_assert_uint_eq(s.seen, cases[i].there ? 4 : 0);
		ck_assert(weft_map_contains(map, weft_map_int(1)) == cases[i].there_after);
		ck_assert(!cases[i].there_after || has(map, 1, cases[i].after));
		ck_assert_uint_eq(weft_map_len(map), cases[i].there_after);
		map_end(map);
	}
}
END_TEST

/* --- keys -------------------------------------------------------------------------------------- */

START_TEST(map_copies_its_byte_keys)
{
	weft_map_options options = { .keys = WEFT_MAP_BYTES };
	weft_map *map = map_new(&options);
	char name[300];
	uint64_t value;

	/* every length, keys that differ in one byte, and a prefix of each other */
	for (size_t size = 0; size < sizeof(name); size++) {
		memset(name, 'x', sizeof(name));
		ck_assert_int_eq(weft_map_insert(map, weft_map_bytes(name, size), size), WEFT_OK);
		if (size == 0)
			continue;
		name[size / 2] = 'y';
		ck_assert_int_eq(
			weft_map_insert(map, weft_map_bytes(name, size), 1000 + size), WEFT_OK);
	}
	ck_assert_uint_eq(weft_map_len(map), 599);
	for (size_t size = 0; size < sizeof(name); size++) {
		memset(name, 'x', sizeof(name));
		ck_assert(weft_map_get(map, weft_map_bytes(name, size), &value) && value == size);
		name[size / 2] = size ? 'y' : 'x';
		ck_assert(weft_map_get(map, weft_map_bytes(name, size), &value));
		ck_assert_uint_eq(value, size ? 1000 + size : 0);
	}
	ck_assert(weft_map_contains(map, weft_map_bytes(NULL, 0)));
	ck_assert(!weft_map_contains(map, weft_map_text("xxz")));
	ck_assert(weft_map_remove(map, weft_map_text("xxx"), &value) && value == 3);
	map_end(map);
}
END_TEST

struct point {
	int x, y;
	int refs;
};

static bool all_collide;

static uint64_t point_hash(const void *key)
{
	const struct point *p = key;

	return all_collide ? 42 : (uint64_t)p->x << 32 | (uint32_t)p->y;
}

static bool point_equal(const void *a, const void *b)
{
	const struct point *p = a, *q = b;

	return p->x == q->x && p->y == q->y;
}

static int points_live, points_left; /* copies there are; copies that may still be made */

static void *point_copy(const void *key)
{
	struct point *copy;

	if (points_left-- <= 0)
		return NULL;
	copy = malloc(sizeof(*copy));
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, key, sizeof(*copy));
	points_live++;
	return copy;
}

static void point_free(void *key)
{
	free(key);
	points_live--;
}

static weft_map_options point_options(void)
{
	weft_map_options options = { .keys = WEFT_MAP_CUSTOM,
		.key_hash = point_hash,
		.key_equal = point_equal,
		.key_ref = point_copy,
		.key_unref = point_free };

	points_live = 0;
	points_left = INT32_MAX;
	return options;
}

/* _i: with a good hash, and with one that says the same of all. */
START_TEST(map_takes_any_keys_and_their_copies_are_dropped_once)
{
	weft_map_options options = point_options();
	weft_map *map = map_new(&options);
	int many = _i ? 600 : 20000;
	uint64_t value;

	all_collide = _i;
	for (int i = 0; i < many; i++) {
		struct point p = { i % 100, i / 100, 0 };

		ck_assert_int_eq(weft_map_insert(map, weft_map_custom(&p), (uint64_t)i), WEFT_OK);
	}
	ck_assert_int_eq(points_live, many);
	for (int i = 0; i < many; i++) {
		struct point p = { i % 100, i / 100, 0 };

		T_OUGHT(weft_map_get(map, weft_map_custom(&p), &value) && value == (uint64_t)i);
		T_OUGHT(i % 3 != 0 || weft_map_remove(map, weft_map_custom(&p), NULL));
	}
	for (int i = 0; i < many; i++) {
		struct point p = { i % 100, i / 100, 0 };

		T_OUGHT(weft_map_contains(map, weft_map_custom(&p)) == (i % 3 != 0));
	}
	reclaim_synchronize();
	ck_assert_int_eq(points_live, many - (many + 2) / 3);
	map_end(map);
	ck_assert_int_eq(points_live, 0);
}
END_TEST

START_TEST(map_key_that_can_not_be_copied_is_out_of_memory)
{
	weft_map_options options = point_options();
	weft_map *map = map_new(&options);
	struct point p = { 1, 2, 0 };

	points_left = 0;
	ck_assert_int_eq(weft_map_insert(map, weft_map_custom(&p), 1), WEFT_ENOMEM);
	ck_assert_uint_eq(weft_map_len(map), 0);
	ck_assert(!weft_map_contains(map, weft_map_custom(&p)));
	map_end(map);
}
END_TEST

/* --- values ------------------------------------------------------------------------------------ */

struct thing {
	_Atomic int refs;
};

static void thing_ref(uint64_t value)
{
	struct thing *t = weft_map_pointer(value);

	T_OUGHT(t->refs > 0);
	t->refs++;
}

static void thing_unref(uint64_t value)
{
	struct thing *t = weft_map_pointer(value);

	T_OUGHT(t->refs > 0);
	t->refs--;
}

static const weft_map_options counted = { .value_ref = thing_ref, .value_unref = thing_unref };

START_TEST(map_counts_references_of_its_values)
{
	weft_map *map = map_new(&counted);
	struct thing a = { 1 }, b = { 1 };
	uint64_t value = 0;
	bool replaced = false;

	ck_assert_int_eq(weft_map_insert(map, weft_map_int(1), weft_map_word(&a)), WEFT_OK);
	ck_assert_int_eq(a.refs, 2);
	ck_assert_int_eq(weft_map_insert(map, weft_map_int(1), weft_map_word(&b)), WEFT_EDUPLICATE);
	ck_assert_int_eq(b.refs, 1);
	ck_assert(weft_map_get(map, weft_map_int(1), &value) && value == weft_map_word(&a));
	ck_assert_int_eq(a.refs, 3);
	thing_unref(value);
	ck_assert_int_eq(
		weft_map_swap(map, weft_map_int(1), weft_map_word(&b), &replaced, &value), WEFT_OK);
	ck_assert(replaced && value == weft_map_word(&a));
	reclaim_synchronize();
	ck_assert(a.refs == 2 && b.refs == 2);
	thing_unref(value);
	ck_assert_int_eq(weft_map_set(map, weft_map_int(1), weft_map_word(&a)), WEFT_OK);
	ck_assert(weft_map_remove(map, weft_map_int(1), &value) && value == weft_map_word(&a));
	reclaim_synchronize();
	ck_assert(a.refs == 2 && b.refs == 1);
	thing_unref(value);
	ck_assert_int_eq(weft_map_insert(map, weft_map_int(2), weft_map_word(&b)), WEFT_OK);
	ck_assert_int_eq(b.refs, 2);
	map_end(map);
	ck_assert(a.refs == 1 && b.refs == 1);
}
END_TEST

START_TEST(map_compute_takes_over_what_it_stores)
{
	weft_map *map = map_new(&counted);
	struct thing a = { 2 }, b = { 2 };
	struct step s = { .store = weft_map_word(&a), .verdict = WEFT_MAP_STORE };

	ck_assert_int_eq(weft_map_compute(map, weft_map_int(1), take_step, &s), WEFT_OK);
	/* the same once more takes nothing */
	ck_assert_int_eq(weft_map_compute(map, weft_map_int(1), take_step, &s), WEFT_OK);
	ck_assert(s.calls == 2 && s.found && a.refs == 2);
	s.store = weft_map_word(&b);
	ck_assert_int_eq(weft_map_compute(map, weft_map_int(1), take_step, &s), WEFT_OK);
	reclaim_synchronize();
	ck_assert(a.refs == 1 && b.refs == 2);
	s.verdict = WEFT_MAP_REMOVE;
	ck_assert_int_eq(weft_map_compute(map, weft_map_int(1), take_step, &s), WEFT_OK);
	reclaim_synchronize();
	ck_assert(a.refs == 1 && b.refs == 1);
	map_end(map);
}
END_TEST

static int frees;

static void count_free(uint64_t value)
{
	free(weft_map_pointer(value));
	frees++;
}

START_TEST(map_may_own_its_values)
{
	weft_map_options options = { .keys = WEFT_MAP_BYTES, .value_unref = count_free };
	weft_map *map = map_new(&options);

	frees = 0;
	ck_assert_int_eq(
		weft_map_insert(map, weft_map_text("a"), weft_map_word(malloc(8))), WEFT_OK);
	ck_assert_int_eq(
		weft_map_insert(map, weft_map_text("b"), weft_map_word(malloc(8))), WEFT_OK);
	ck_assert_int_eq(weft_map_set(map, weft_map_text("a"), weft_map_word(malloc(8))), WEFT_OK);
	reclaim_synchronize();
	ck_assert_int_eq(frees, 1);
	ck_assert(weft_map_remove(map, weft_map_text("b"), NULL));
	reclaim_synchronize();
	ck_assert_int_eq(frees, 2);
	map_end(map);
	ck_assert_int_eq(frees, 3);
}
END_TEST

/* --- limits, errors, memory -------------------------------------------------------------------- */

START_TEST(map_create_names_the_field_that_is_wrong)
{
	static const struct {
		weft_map_options options;
		const char *field;
	} cases[] = {
		{ { .keys = (weft_map_keys)7 }, "keys" },
		{ { .keys = WEFT_MAP_CUSTOM, .key_equal = point_equal }, "key_hash" },
		{ { .keys = WEFT_MAP_CUSTOM, .key_hash = point_hash }, "key_equal" },
		{ { .keys = WEFT_MAP_INT, .key_hash = point_hash }, "key_hash" },
		{ { .keys = WEFT_MAP_BYTES, .key_ref = point_copy }, "key_ref" },
		{ { .keys = WEFT_MAP_INT, .key_unref = point_free }, "key_unref" },
		{ { .value_ref = thing_ref }, "value_unref" },
		{ { .len_max = WEFT_MAP_LEN_MAX + 1 }, "len_max" },
		{ { .len_expected = WEFT_MAP_LEN_MAX + 1 }, "len_expected" },
		{ { .shards = 3 }, "shards" },
		{ { .shards = 2 * WEFT_MAP_SHARDS_MAX }, "shards" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		weft_map *map = NULL;

		ck_assert_int_eq(weft_map_create(&map, &cases[i].options), WEFT_EINVAL);
		ck_assert_ptr_null(map);
		ck_assert_msg(strstr(weft_error_detail(), cases[i].field) != NULL, "%s, not %s",
			weft_error_detail(), cases[i].field);
	}
}
END_TEST

START_TEST(map_with_a_limit_holds_exactly_as_many)
{
	weft_map_options options = { .len_max = 100 };
	weft_map *map = map_new(&options);
	struct step s = { .store = 1, .verdict = WEFT_MAP_STORE };

	for (uint64_t i = 0; i < 100; i++)
		put(map, i, i);
	ck_assert_int_eq(weft_map_insert(map, weft_map_int(100), 1), WEFT_ECAPACITY);
	ck_assert_int_eq(weft_map_set(map, weft_map_int(100), 1), WEFT_ECAPACITY);
	ck_assert_int_eq(weft_map_compute(map, weft_map_int(100), take_step, &s), WEFT_ECAPACITY);
	ck_assert_int_eq(weft_map_insert(map, weft_map_int(5), 1), WEFT_EDUPLICATE);
	put(map, 5, 50);
	ck_assert(weft_map_remove(map, weft_map_int(7), NULL));
	ck_assert_int_eq(weft_map_insert(map, weft_map_int(100), 1), WEFT_OK);
	ck_assert_int_eq(weft_map_insert(map, weft_map_int(101), 1), WEFT_ECAPACITY);
	ck_assert_uint_eq(weft_map_len(map), 100);
	weft_map_clear(map);
	for (uint64_t i = 0; i < 100; i++)
		put(map, i, i);
	ck_assert_int_eq(weft_map_insert(map, weft_map_int(100), 1), WEFT_ECAPACITY);
	map_end(map);
}
END_TEST

START_TEST(map_create_fails_cleanly)
{
	T_EACH_FAILING_MALLOC(n) {
		weft_map *map = NULL;
		weft_err err = weft_map_create(&map, NULL);

		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		weft_map_free(map);
	}
}
END_TEST

static weft_err init_nine(void *arg, uint64_t *value)
{
	++*(int *)arg;
	*value = 9;
	return WEFT_OK;
}

/* 60 entries in one shard, so that it grows some times; what failed changed nothing. */
START_TEST(map_out_of_memory_changes_nothing)
{
	T_EACH_FAILING_MALLOC(n) {
		weft_map_options options = { .keys = WEFT_MAP_BYTES, .shards = 1 };
		weft_map *map = NULL;
		size_t there = 0;
		int inits = 0;
		char name[16];

		if (weft_map_create(&map, &options) != WEFT_OK)
			continue;
		for (uint64_t i = 0; i < 60; i++) {
			weft_map_key key = weft_map_bytes(
				name, (size_t)snprintf(name, sizeof(name), "%d", (int)i));
			struct step s = { .store = 9, .verdict = WEFT_MAP_STORE };
			uint64_t got = 9;
			weft_err err = i % 3 == 0 ? weft_map_insert(map, key, 9)
				: i % 3 == 1	  ? weft_map_compute(map, key, take_step, &s)
						  : weft_map_get_or_insert_with(map, key, &got,
							    init_nine, &inits, WEFT_FOREVER);

			T_OUGHT(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
			T_OUGHT(weft_map_contains(map, key) == (err == WEFT_OK));
			there += err == WEFT_OK;
			T_OUGHT(got == 9 && weft_map_len(map) == there);
		}
		T_OUGHT(there >= 59);
		weft_map_clear(map);
		ck_assert_uint_eq(weft_map_len(map), 0);
		map_end(map);
	}
}
END_TEST

START_TEST(map_out_of_memory_drops_no_reference_and_leaves_the_old_value)
{
	T_EACH_FAILING_MALLOC(n) {
		struct thing a = { 1 }, b = { 1 };
		weft_map *map = NULL;
		weft_err err;

		if (weft_map_create(&map, &counted) != WEFT_OK)
			continue;
		err = weft_map_insert(map, weft_map_int(1), weft_map_word(&a));
		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		ck_assert_int_eq(a.refs, err == WEFT_OK ? 2 : 1);
		if (err == WEFT_OK) {
			err = weft_map_set(map, weft_map_int(1), weft_map_word(&b));
			ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
			reclaim_synchronize();
			ck_assert_int_eq(a.refs, err == WEFT_OK ? 1 : 2);
			ck_assert_int_eq(b.refs, err == WEFT_OK ? 2 : 1);
			ck_assert(weft_map_remove(map, weft_map_int(1), NULL));
		}
		map_end(map);
		ck_assert(a.refs == 1 && b.refs == 1);
	}
}
END_TEST

START_TEST(map_that_was_emptied_gives_its_memory_back)
{
	weft_map *map = map_new(NULL);
	int64_t empty = t_malloc_live();

	for (int round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < 50000; i++)
			put(map, i, i);
		if (round == 0)
			weft_map_clear(map);
		for (uint64_t i = 0; round == 1 && i < 50000; i++)
			T_OUGHT(weft_map_remove(map, weft_map_int(i), NULL));
		if (round == 2)
			weft_map_clear(map);
		ck_assert_uint_eq(weft_map_len(map), 0);
		reclaim_synchronize();
		/* at most a table and a next one a shard */
		ck_assert_int_le(t_malloc_live() - empty, 2 * 64);
	}
	map_end(map);
}
END_TEST

/* --- against a simple one ----------------------------------------------------------------------- */

enum { MODEL_KEYS = 600, MODEL_STEPS = 100000 };

struct model {
	bool there[MODEL_KEYS];
	uint64_t value[MODEL_KEYS];
	bool seen[MODEL_KEYS];
	size_t len;
};

static bool see(void *arg, weft_map_key key, uint64_t value)
{
	struct model *m = arg;

	T_OUGHT(key.number < MODEL_KEYS && m->there[key.number]);
	T_OUGHT(!m->seen[key.number] && m->value[key.number] == value);
	m->seen[key.number] = true;
	return true;
}

static bool keep_odd(void *arg, weft_map_key key, uint64_t value)
{
	struct model *m = arg;

	T_OUGHT(m->there[key.number] && m->value[key.number] == value);
	return value % 2 == 1;
}

static void model_all(weft_map *map, struct model *m, unsigned what)
{
	size_t removed = 0, expected = 0;

	memset(m->seen, 0, sizeof(m->seen));
	ck_assert_int_eq(weft_map_iterate(map, see, m), WEFT_OK);
	for (size_t i = 0; i < MODEL_KEYS; i++)
		T_OUGHT(m->seen[i] == m->there[i]);
	if (what == 0) {
		for (size_t i = 0; i < MODEL_KEYS; i++) {
			bool goes = m->there[i] && m->value[i] % 2 == 0;

			expected += goes;
		}
		ck_assert_int_eq(weft_map_retain(map, keep_odd, m, &removed), WEFT_OK);
		ck_assert_uint_eq(removed, expected);
		for (size_t i = 0; i < MODEL_KEYS; i++)
			m->there[i] = m->there[i] && m->value[i] % 2 == 1;
		m->len -= removed;
	} else if (what == 1) {
		weft_map_clear(map);
		memset(m->there, 0, sizeof(m->there));
		m->len = 0;
	}
}

static void model_put(struct model *m, size_t k, uint64_t value)
{
	m->len += !m->there[k];
	m->there[k] = true;
	m->value[k] = value;
}

static void model_remove(struct model *m, size_t k)
{
	m->len -= m->there[k];
	m->there[k] = false;
}

static void model_compute(weft_map *map, struct model *m, size_t k, uint64_t r)
{
	struct step s = { .store = r >> 20, .verdict = (weft_map_verdict)(r / 7 % 3) };

	T_OUGHT(weft_map_compute(map, weft_map_int(k), take_step, &s) == WEFT_OK);
	T_OUGHT(s.found == m->there[k] && (!s.found || s.seen == m->value[k]));
	if (s.verdict == WEFT_MAP_STORE)
		model_put(m, k, s.store);
	else if (s.verdict == WEFT_MAP_REMOVE)
		model_remove(m, k);
}

static void model_step(weft_map *map, struct model *m, size_t k, uint64_t r)
{
	weft_map_key key = weft_map_int(k);
	uint64_t value = 0, fresh = r >> 20;
	bool found;
	weft_err err;

	switch (r % 7) {
	case 0:
		err = weft_map_insert(map, key, fresh);
		T_OUGHT(err == (m->there[k] ? WEFT_EDUPLICATE : WEFT_OK));
		if (err == WEFT_OK)
			model_put(m, k, fresh);
		break;
	case 1:
		T_OUGHT(weft_map_set(map, key, fresh) == WEFT_OK);
		model_put(m, k, fresh);
		break;
	case 2:
		found = weft_map_remove(map, key, &value);
		T_OUGHT(found == m->there[k] && (!found || value == m->value[k]));
		model_remove(m, k);
		break;
	case 3:
		found = weft_map_remove_if(map, key, is_even, &value);
		T_OUGHT(found == (m->there[k] && m->value[k] % 2 == 0));
		if (found)
			model_remove(m, k);
		break;
	case 4:
		model_compute(map, m, k, r);
		break;
	default:
		found = weft_map_get(map, key, &value);
		T_OUGHT(found == m->there[k] && (!found || value == m->value[k]));
		break;
	}
}

/* _i: shards 1, 2, 4. A window of keys that wanders, so that tables grow and shrink. */
START_TEST(map_does_what_a_simple_map_does)
{
	weft_map_options options = { .shards = 1u << _i };
	static struct model model;
	weft_map *map = map_new(&options);
	uint64_t state = t_seed();
	size_t window = 10;

	memset(&model, 0, sizeof(model));
	for (unsigned i = 0; i < MODEL_STEPS; i++) {
		uint64_t r = t_random(&state);

		if (i % 1000 == 0)
			window = 1 + t_random(&state) % MODEL_KEYS;
		model_step(map, &model, (size_t)(t_random(&state) % window), r);
		if (i % 100 == 0)
			ck_assert_uint_eq(weft_map_len(map), model.len);
		if (i % 2000 == 0)
			model_all(map, &model, (unsigned)(r >> 8) % 4);
	}
	map_end(map);
}
END_TEST

static void map_tests(TCase *tc)
{
	t_add(tc, map_keeps_what_is_put_in_until_it_is_removed);
	t_add(tc, map_insert_refuses_a_key_that_is_there_and_set_replaces_it);
	t_add(tc, map_view_and_remove_if_see_the_value);
	t_add(tc, map_compute_keeps_stores_and_removes);
	t_add(tc, map_copies_its_byte_keys);
	t_add_loop(tc, map_takes_any_keys_and_their_copies_are_dropped_once, 0, 2);
	t_add(tc, map_key_that_can_not_be_copied_is_out_of_memory);
	t_add(tc, map_counts_references_of_its_values);
	t_add(tc, map_compute_takes_over_what_it_stores);
	t_add(tc, map_may_own_its_values);
	t_add(tc, map_create_names_the_field_that_is_wrong);
	t_add(tc, map_with_a_limit_holds_exactly_as_many);
	t_add(tc, map_create_fails_cleanly);
	t_add(tc, map_out_of_memory_changes_nothing);
	t_add(tc, map_out_of_memory_drops_no_reference_and_leaves_the_old_value);
	t_add(tc, map_that_was_emptied_gives_its_memory_back);
	t_add_loop(tc, map_does_what_a_simple_map_does, 0, 3);
}
T_SUITE("map", map_tests)
