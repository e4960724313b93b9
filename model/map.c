/* SPDX-License-Identifier: MIT */
/*
 * A map of numbers: map.c, map_table.c, map.h, one shard. A value is where a number was written
 * just before, so that who gets it must see that number.
 *
 * Held: who looks for a key finds its own value, one that it had meanwhile, no older one than
 * before, and finds it always while it is there, also while the table grows; of two that put in
 * or remove a key one does.
 */
#include "model.h"
#include "retired.h"

#include "sync/map.h"

#include <weft/map.h>

#define KEYS 16
#define RETRIES 3

static weft_map *map;
static uint64_t numbers[MODEL_THREADS_MAX + 1][KEYS];
static _Atomic unsigned done;

void hash_seed_process(struct hash_seed *seed)
{
	*seed = (struct hash_seed){ { 0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 7 } };
}

unsigned rt_cores(void)
{
	return 1;
}

bool rt_is_sim(void)
{
	return false;
}

/* Not at first: a search is repeated also because of what has changed already. */
bool rt_relax(unsigned *spins, bool may_switch)
{
	(void)may_switch;
	if ((*spins)++ >= RETRIES)
		model_spin(__builtin_return_address(0));
	return false;
}

/* --- what the threads do ---------------------------------------------------------------- */

/* By this thread, where no other writes. */
static uint64_t made(unsigned key, uint64_t number)
{
	uint64_t *at = &numbers[model_self()][key];

	*at = number;
	return weft_map_word(at);
}

static weft_err insert(unsigned key, uint64_t number)
{
	return weft_map_insert(map, weft_map_int(key), made(key, number));
}

static uint64_t number_of(uint64_t value)
{
	return *(uint64_t *)weft_map_pointer(value);
}

/* 0: not there. */
static uint64_t get(unsigned key)
{
	uint64_t value;

	return weft_map_get(map, weft_map_int(key), &value) ? number_of(value) : 0;
}

static void remove_and_reuse(void)
{
	MODEL_CHECK(weft_map_remove(map, weft_map_int(1), NULL));
	MODEL_CHECK(insert(2, 2) == WEFT_OK);
}

static void remove_1(void)
{
	MODEL_CHECK(weft_map_remove(map, weft_map_int(1), NULL));
}

/* So that the two don't meet. */
static void insert_after(void)
{
	if (get(1) == 0)
		MODEL_CHECK(insert(2, 2) == WEFT_OK);
}

static void get_gone(void)
{
	uint64_t first = get(1);
	uint64_t again = get(1);

	MODEL_CHECK(first <= 1 && again <= first);
}

static void get_once(void)
{
	MODEL_CHECK(get(1) <= 1);
}

static void get_new(void)
{
	uint64_t number = get(2);

	MODEL_CHECK(number == 0 || number == 2);
}

static void set_2(void)
{
	MODEL_CHECK(weft_map_set(map, weft_map_int(1), made(1, 2)) == WEFT_OK);
}

static void get_set(void)
{
	uint64_t first = get(1);
	uint64_t again = get(1);

	MODEL_CHECK(first >= 1 && again >= first && again <= 2);
}

static void churn(void)
{
	MODEL_CHECK(insert(2, 2) == WEFT_OK);
	MODEL_CHECK(weft_map_remove(map, weft_map_int(2), NULL));
	MODEL_CHECK(insert(3, 3) == WEFT_OK);
}

static void get_stays(void)
{
	MODEL_CHECK(get(1) == 1);
	MODEL_CHECK(get(1) == 1);
}

static void count_done(bool is_done)
{
	/* relaxed: looked at in check */
	if (is_done)
		atomic_fetch_add_explicit(&done, 1, memory_order_relaxed);
}

static void insert_race(void)
{
	count_done(insert(2, model_self()) == WEFT_OK);
}

static void remove_race(void)
{
	count_done(weft_map_remove(map, weft_map_int(1), NULL));
}

static unsigned done_n(void)
{
	return atomic_load_explicit(&done, memory_order_relaxed);
}

static void insert_8(void)
{
	MODEL_CHECK(insert(8, 8) == WEFT_OK);
}

/* --- before and after ------------------------------------------------------------------- */

static void setup(void)
{
	weft_map_options options = WEFT_MAP_OPTIONS_DEFAULT;

	retired_setup();
	model_per_thread(&map_stripe_self, sizeof(map_stripe_self));
	options.shards = 1;
	MODEL_CHECK(weft_map_create(&map, &options) == WEFT_OK);
	MODEL_CHECK(insert(1, 1) == WEFT_OK);
}

static void setup_full(void)
{
	setup();
	for (unsigned key = 2; key <= 7; key++)
		MODEL_CHECK(insert(key, key) == WEFT_OK);
}

static void finish(void)
{
	retired_free();
	weft_map_free(map);
}

static void finish_inserted(void)
{
	MODEL_CHECK(done_n() == 1 && get(2) != 0 && weft_map_len(map) == 2);
	finish();
}

static void finish_removed(void)
{
	MODEL_CHECK(done_n() == 1 && get(1) == 0 && weft_map_len(map) == 0);
	finish();
}

static void finish_grown(void)
{
	MODEL_CHECK(get(1) == 1 && get(8) == 8 && weft_map_len(map) == 8);
	finish();
}

static void finish_grown_set(void)
{
	MODEL_CHECK(get(1) == 2 && get(8) == 8 && weft_map_len(map) == 8);
	finish();
}

const struct model models[] = {
	Q("map-reuse", "a slot gets another key, two looks at the first", setup,
		{ remove_and_reuse, get_gone }, finish),
	M("map-reuse-2", "the same by two threads, a look", setup,
		{ remove_1, insert_after, get_once }, finish),
	Q("map-new", "a slot gets another key, a look at that", setup,
		{ remove_and_reuse, get_new }, finish),
	Q("map-set", "another value, two looks", setup, { set_2, get_set }, finish),
	Q("map-stay", "others come and go, two looks at one that stays", setup,
		{ churn, get_stays }, finish),
	Q("map-insert", "two put in the same key", setup, { insert_race, insert_race },
		finish_inserted),
	Q("map-remove", "two remove the same key", setup, { remove_race, remove_race },
		finish_removed),
	M("map-grow", "the table grows, a look", setup_full, { insert_8, get_stays }, finish_grown),
	M("map-grow-set", "the table grows, another value", setup_full, { insert_8, set_2 },
		finish_grown_set),
};
const size_t models_count = sizeof(models) / sizeof(models[0]);
