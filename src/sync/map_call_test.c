/* SPDX-License-Identifier: MIT */
/* What a map calls: callbacks that call the map again, initialisers that race, fail, are
 * cancelled; and keys that are hashed. */
#include "base/hash.h"
#include "rt/reclaim.h"
#include "support/crew.h"
#include "support/t.h"

#include <weft/map.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* --- callbacks that call the map: spec, failure 7 ---------------------------------------------- */

static void use_all(weft_map *map, uint64_t key)
{
	weft_map_key k = weft_map_int(key);
	uint64_t value = 0;

	(void)weft_map_remove(map, k, NULL);
	T_OUGHT(weft_map_insert(map, k, key) == WEFT_OK);
	T_OUGHT(weft_map_get(map, k, &value) && value == key);
	T_OUGHT(weft_map_set(map, k, key + 1) == WEFT_OK);
	T_OUGHT(weft_map_len(map) > 0);
}

/* The same key, one beside it, and so many that the shard grows. */
static void view_and_use(void *arg, uint64_t value)
{
	use_all(arg, value);
	for (uint64_t i = 0; i < 100; i++)
		use_all(arg, 1000 + i);
}

/* DashMap 74: a reference to an entry is held, and the same thread inserts. */
START_TEST(map_view_may_change_what_it_looks_at)
{
	weft_map_options options = { .shards = 1 };
	weft_map *map = map_new(&options);

	ck_assert_int_eq(weft_map_set(map, weft_map_int(5), 5), WEFT_OK);
	ck_assert(weft_map_view(map, weft_map_int(5), view_and_use, map));
	ck_assert_uint_eq(weft_map_len(map), 101);
	map_end(map);
}
END_TEST

static bool iterate_and_use(void *arg, weft_map_key key, uint64_t value)
{
	(void)value;
	use_all(arg, key.number);
	if (key.number < 64)
		use_all(arg, key.number + 64);
	return true;
}

static bool retain_and_use(void *arg, weft_map_key key, uint64_t value)
{
	(void)value;
	use_all(arg, key.number + 1000);
	return key.number < 64;
}

/* DashMap 233: a get, or a removal, while iterating. */
START_TEST(map_iterate_and_retain_may_change_the_map)
{
	weft_map_options options = { .shards = 1 };
	weft_map *map = map_new(&options);
	size_t removed = 0;

	for (uint64_t i = 0; i < 64; i++)
		ck_assert_int_eq(weft_map_set(map, weft_map_int(i), i), WEFT_OK);
	ck_assert_int_eq(weft_map_iterate(map, iterate_and_use, map), WEFT_OK);
	ck_assert_uint_eq(weft_map_len(map), 128);
	ck_assert_int_eq(weft_map_retain(map, retain_and_use, map, &removed), WEFT_OK);
	ck_assert_uint_ge(removed, 64);
	for (uint64_t i = 0; i < 128; i++)
		ck_assert(weft_map_contains(map, weft_map_int(i)) == (i < 64));
	map_end(map);
}
END_TEST

enum { SHRINK_FROM = 20000, SHRINK_AT = 3700, SHRINK_CALLS = 500 };

struct shrinking {
	weft_map *map;
	unsigned calls, start; /* the call from which on entries are removed */
	uint64_t next;	       /* to be removed */
	unsigned char seen[SHRINK_FROM];
};

static bool see_and_remove(void *arg, weft_map_key key, uint64_t value)
{
	struct shrinking *s = arg;

	T_OUGHT(key.number == value && value < SHRINK_FROM);
	s->seen[value]++;
	if (s->calls++ >= s->start && s->calls < s->start + SHRINK_CALLS)
		T_OUGHT(weft_map_remove(s->map, weft_map_int(s->next++), NULL));
	return true;
}

/* The table begins to shrink in the middle of the walk, so that some homes have moved to larger
 * ones and others beside them have not. */
START_TEST(map_iterate_sees_each_once_while_the_table_shrinks)
{
	static struct shrinking s;

	for (unsigned start = 500; start < 3000; start += 500) {
		weft_map_options options = { .shards = 1 };

		memset(&s, 0, sizeof(s));
		s.map = map_new(&options);
		s.start = start;
		for (uint64_t i = 0; i < SHRINK_FROM; i++)
			T_OUGHT(weft_map_set(s.map, weft_map_int(i), i) == WEFT_OK);
		for (; s.next < SHRINK_FROM - SHRINK_AT; s.next++)
			T_OUGHT(weft_map_remove(s.map, weft_map_int(s.next), NULL));
		ck_assert_int_eq(weft_map_iterate(s.map, see_and_remove, &s), WEFT_OK);
		for (uint64_t i = 0; i < SHRINK_FROM; i++)
			T_OUGHT(i < s.next ? s.seen[i] <= 1 : s.seen[i] == 1);
		map_end(s.map);
	}
}
END_TEST

struct nested {
	weft_map *map;
	int calls;
};

static weft_map_verdict compute_and_use(void *arg, bool found, uint64_t *value)
{
	struct nested *n = arg;
	uint64_t seen = 0;

	n->calls++;
	T_OUGHT(weft_map_get(n->map, weft_map_int(1), &seen) == found);
	T_OUGHT(!found || seen == *value);
	/* the first time the very entry is changed below this call, which must come again */
	if (n->calls == 1)
		T_OUGHT(weft_map_set(n->map, weft_map_int(1), 100) == WEFT_OK);
	use_all(n->map, 2);
	++*value;
	return WEFT_MAP_STORE;
}

static bool ask_and_use(void *arg, uint64_t value)
{
	use_all(arg, 1);
	return value == 101;
}

/* DashMap 369: an entry is held, and the same thread reads another of its shard. */
START_TEST(map_compute_and_remove_if_may_use_the_map)
{
	weft_map_options options = { .shards = 1 };
	weft_map *map = map_new(&options);
	struct nested nested = { map, 0 };
	uint64_t value = 0;

	ck_assert_int_eq(weft_map_compute(map, weft_map_int(1), compute_and_use, &nested), WEFT_OK);
	ck_assert_int_eq(nested.calls, 2);
	ck_assert(weft_map_get(map, weft_map_int(1), &value) && value == 101);
	/* the entry is another one after the question, with another value */
	ck_assert(!weft_map_remove_if(map, weft_map_int(1), ask_and_use, map));
	ck_assert(weft_map_get(map, weft_map_int(1), &value) && value == 2);
	map_end(map);
}
END_TEST

/* --- a reader that is overtaken ------------------------------------------------------------------ */

static weft_map *swapped; /* its first entry becomes another one while a reader compares keys */

static uint64_t same_hash(const void *key)
{
	(void)key;
	return 1;
}

static bool equal_and_swap(const void *a, const void *b)
{
	static const int other = 2;
	weft_map *map = swapped;

	if (map) {
		swapped = NULL;
		T_OUGHT(weft_map_remove(map, weft_map_custom(b), NULL));
		T_OUGHT(weft_map_insert(map, weft_map_custom(&other), 20) == WEFT_OK);
		return true;
	}
	return *(const int *)a == *(const int *)b;
}

/* Between a reader's look at the key and its look at the value another key gets the slot. (That
 * equal calls the map is this test's alone.) */
START_TEST(map_reader_whose_slot_gets_another_key_looks_again)
{
	weft_map_options options = {
		.keys = WEFT_MAP_CUSTOM, .key_hash = same_hash, .key_equal = equal_and_swap
	};
	static const int one = 1, other = 2;
	weft_map *map = map_new(&options);
	uint64_t value = 0;

	ck_assert_int_eq(weft_map_insert(map, weft_map_custom(&one), 10), WEFT_OK);
	swapped = map;
	ck_assert(!weft_map_get(map, weft_map_custom(&one), &value));
	ck_assert_ptr_null(swapped);
	ck_assert(weft_map_get(map, weft_map_custom(&other), &value) && value == 20);
	map_end(map);
}
END_TEST

static void must_abort(void (*fn)(void *arg), void *arg)
{
	pid_t child = fork();
	int status = 0;

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		close(STDERR_FILENO);
		fn(arg);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void yield_in_view(void *arg, uint64_t value)
{
	(void)arg;
	(void)value;
	(void)weft_yield();
}

static weft_err view_yields(void *arg)
{
	(void)weft_map_view(arg, weft_map_int(1), yield_in_view, NULL);
	return WEFT_OK;
}

static void run_view_yields(void *arg)
{
	(void)crew_main(1, view_yields, arg);
}

/* spec: failure 9 */
START_TEST(map_callback_that_parks_aborts)
{
	weft_map *map = map_new(NULL);

	ck_assert_int_eq(weft_map_set(map, weft_map_int(1), 1), WEFT_OK);
	must_abort(run_view_yields, map);
	map_end(map);
}
END_TEST

/* --- initialisers ---------------------------------------------------------------------------------- */

static weft_err init_seven(void *arg, uint64_t *value)
{
	if (arg)
		++*(int *)arg;
	*value = 7;
	return WEFT_OK;
}

static weft_err init_fails(void *arg, uint64_t *value)
{
	(void)arg;
	*value = 8;
	return WEFT_EPROTO;
}

START_TEST(map_initialiser_runs_only_for_what_is_missing)
{
	weft_map *map = map_new(NULL);
	uint64_t value = 1;
	int calls = 0;

	ck_assert_int_eq(weft_map_get_or_insert_with(
				 map, weft_map_int(1), &value, init_fails, NULL, WEFT_NOW),
		WEFT_EPROTO);
	ck_assert(value == 1 && weft_map_len(map) == 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(weft_map_get_or_insert_with(map, weft_map_int(1), &value,
					 init_seven, &calls, WEFT_NOW),
			WEFT_OK);
	ck_assert(value == 7 && calls == 1 && weft_map_len(map) == 1);
	ck_assert(weft_map_remove(map, weft_map_int(1), NULL));
	ck_assert_int_eq(weft_map_get_or_insert_with(
				 map, weft_map_int(1), &value, init_seven, &calls, WEFT_NOW),
		WEFT_OK);
	ck_assert_int_eq(calls, 2);
	map_end(map);
}
END_TEST

static weft_err init_asks(void *arg, uint64_t *value)
{
	ck_assert_int_eq(weft_map_get_or_insert_with(
				 arg, weft_map_text("a"), value, init_seven, NULL, WEFT_FOREVER),
		WEFT_EDEADLOCK);
	ck_assert_int_eq(weft_map_get_or_insert_with(
				 arg, weft_map_text("b"), value, init_seven, NULL, WEFT_FOREVER),
		WEFT_OK);
	*value = 9;
	return WEFT_OK;
}

START_TEST(map_initialiser_may_ask_for_others_but_not_for_its_own)
{
	weft_map_options options = { .keys = WEFT_MAP_BYTES };
	weft_map *map = map_new(&options);
	uint64_t value = 0;

	ck_assert_int_eq(weft_map_get_or_insert_with(
				 map, weft_map_text("a"), &value, init_asks, map, WEFT_FOREVER),
		WEFT_OK);
	ck_assert(value == 9 && weft_map_len(map) == 2);
	map_end(map);
}
END_TEST

static int thing_refs[3];

static void index_ref(uint64_t value)
{
	thing_refs[value]++;
}

static void index_unref(uint64_t value)
{
	thing_refs[value]--;
}

static weft_err init_overtaken(void *arg, uint64_t *value)
{
	/* another call puts a 1 in, while this one makes a 2 */
	ck_assert_int_eq(weft_map_insert(arg, weft_map_int(0), 1), WEFT_OK);
	thing_refs[2]++;
	*value = 2;
	return WEFT_OK;
}

START_TEST(map_value_put_in_beside_the_initialiser_is_everybodys)
{
	weft_map_options options = { .value_ref = index_ref, .value_unref = index_unref };
	weft_map *map = map_new(&options);
	uint64_t value = 0;

	memset(thing_refs, 0, sizeof(thing_refs));
	ck_assert_int_eq(weft_map_get_or_insert_with(
				 map, weft_map_int(0), &value, init_overtaken, map, WEFT_FOREVER),
		WEFT_OK);
	ck_assert_uint_eq(value, 1);
	ck_assert(thing_refs[1] == 2 && thing_refs[2] == 0);
	map_end(map);
	ck_assert(thing_refs[1] == 1 && thing_refs[2] == 0);
}
END_TEST

enum { ASKERS = 5 };

struct asker {
	weft_map *map;
	weft_chan *go; /* init waits here for a word: whether to succeed */
	int *inits;
	uint64_t value;
	weft_err err;
	bool returned;
};

static weft_err init_when_told(void *arg, uint64_t *value)
{
	struct asker *a = arg;
	bool succeed;
	weft_err err;

	++*a->inits;
	err = weft_chan_recv(a->go, &succeed, WEFT_FOREVER);
	if (err != WEFT_OK)
		return err;
	*value = 7;
	return succeed ? WEFT_OK : WEFT_EPROTO;
}

static weft_err ask(void *arg)
{
	struct asker *a = arg;

	a->err = weft_map_get_or_insert_with(
		a->map, weft_map_text("key"), &a->value, init_when_told, a, WEFT_FOREVER);
	a->returned = true;
	return WEFT_OK;
}

static void tell(weft_chan *go, bool succeed)
{
	ck_assert_int_eq(weft_chan_try_send(go, &succeed), WEFT_OK);
	crew_settle();
}

static weft_err hand_over(void *arg)
{
	weft_map_options options = { .keys = WEFT_MAP_BYTES };
	struct asker askers[ASKERS];
	weft_scope *scopes[ASKERS];
	weft_map *map = map_new(&options);
	weft_chan *go = NULL;
	int inits = 0;

	(void)arg;
	ck_assert_int_eq(weft_chan_create(&go, sizeof(bool), 0, NULL), WEFT_OK);
	for (size_t i = 0; i < ASKERS; i++) {
		askers[i] = (struct asker){ map, go, &inits, 0, WEFT_OK, false };
		ck_assert_int_eq(weft_scope_create(&scopes[i]), WEFT_OK);
		ck_assert_int_eq(weft_scope_spawn(scopes[i], "asker", ask, &askers[i]), WEFT_OK);
		crew_settle();
	}
	ck_assert_int_eq(inits, 1);
	/* others are served meanwhile: nobody holds anything of the map */
	ck_assert_int_eq(weft_map_insert(map, weft_map_text("other"), 1), WEFT_OK);
	tell(go, false);
	ck_assert(askers[0].returned && askers[0].err == WEFT_EPROTO && inits == 2);
	weft_scope_cancel(scopes[1]); /* inside its init */
	weft_scope_cancel(scopes[3]); /* while it waits */
	crew_settle();
	ck_assert(askers[1].returned && askers[1].err == WEFT_ECANCELED);
	ck_assert(askers[3].returned && askers[3].err == WEFT_ECANCELED);
	ck_assert(!askers[2].returned && inits == 3 && weft_map_len(map) == 1);
	tell(go, true);
	ck_assert(askers[2].returned && askers[2].err == WEFT_OK && askers[2].value == 7);
	ck_assert(askers[4].returned && askers[4].err == WEFT_OK && askers[4].value == 7);
	ck_assert(inits == 3 && weft_map_len(map) == 2);
	for (size_t i = 0; i < ASKERS; i++)
		weft_scope_free(scopes[i]);
	weft_chan_unref(go);
	weft_map_free(map);
	return WEFT_OK;
}

/* spec: failure 8 */
START_TEST(map_failed_or_cancelled_initialiser_hands_over_to_the_next)
{
	ck_assert_int_eq(crew_main(1, hand_over, NULL), WEFT_OK);
	reclaim_synchronize();
}
END_TEST

/* --- many initialisers ------------------------------------------------------------------------------ */

enum { PARTIES = 6, KEYS = 300 };

struct race {
	weft_map *map;
	_Atomic int running[KEYS], made[KEYS];
};

struct party {
	struct race *race;
	uint64_t state;
	uint64_t key;
};

static weft_err init_racing(void *arg, uint64_t *value)
{
	struct party *p = arg;
	struct race *r = p->race;
	bool fails = t_random(&p->state) % 3 == 0;

	T_OUGHT(atomic_fetch_add(&r->running[p->key], 1) == 0);
	T_OUGHT(r->made[p->key] == 0);
	if (t_random(&p->state) % 2)
		(void)weft_yield();
	if (!fails)
		atomic_store(&r->made[p->key], 1);
	atomic_fetch_sub(&r->running[p->key], 1);
	*value = p->key + 1000;
	return fails ? WEFT_EIO : WEFT_OK;
}

static weft_err race_body(void *arg)
{
	struct party *p = arg;

	for (p->key = 0; p->key < KEYS; p->key++) {
		char name[32];
		uint64_t value = 0;
		weft_err err;

		memset(name, 'k', sizeof(name));
		memcpy(name, &p->key, sizeof(p->key));
		do {
			weft_deadline until = t_random(&p->state) % 2
				? WEFT_FOREVER
				: weft_after_ns((int64_t)(t_random(&p->state) % 5000));

			err = weft_map_get_or_insert_with(p->race->map,
				weft_map_bytes(name, sizeof(name)), &value, init_racing, p, until);
			T_OUGHT(err == WEFT_OK || err == WEFT_EIO || err == WEFT_ETIMEDOUT);
		} while (err != WEFT_OK);
		T_OUGHT(value == p->key + 1000);
	}
	return WEFT_OK;
}

START_TEST(map_value_is_made_by_one_of_many)
{
	static struct race race;
	weft_map_options options = { .keys = WEFT_MAP_BYTES };
	struct crew_member members[PARTIES];
	struct party parties[PARTIES];
	uint64_t seed = t_seed();

	race.map = map_new(&options);
	for (size_t i = 0; i < PARTIES; i++) {
		parties[i] = (struct party){ &race, seed + i, 0 };
		members[i] = (struct crew_member){ race_body, &parties[i] };
	}
	crew_run((enum crew_mode)_i, seed, members, PARTIES);
	for (size_t i = 0; i < KEYS; i++)
		ck_assert_int_eq(race.made[i], 1);
	ck_assert_uint_eq(weft_map_len(race.map), KEYS);
	map_end(race.map);
}
END_TEST

/* --- hashes ------------------------------------------------------------------------------------------ */

enum { BUCKETS = 256, BALLS = 256 * 64 };

/* The upper bits choose shard and home, the lowest are the tag: both must be even for keys as
 * programs have them. 64 balls a bucket, or 128: the chance of 300 in one is nil. */
static void check_even(uint64_t (*key)(uint64_t i), const char *name)
{
	static unsigned counts[4][BUCKETS];
	struct hash_seed seed;

	hash_seed_process(&seed);
	memset(counts, 0, sizeof(counts));
	for (uint64_t i = 0; i < BALLS; i++) {
		uint64_t k = key(i), n = hash_number(&seed, k);
		uint64_t b = hash_bytes(&seed, &k, sizeof(k));

		counts[0][n >> 56]++;
		counts[1][n & 127]++;
		counts[2][b >> 56]++;
		counts[3][b & 127]++;
	}
	for (size_t i = 0; i < 4 * BUCKETS; i++)
		ck_assert_msg(counts[i / BUCKETS][i % BUCKETS] < 300, "%s: %u in %zu", name,
			counts[i / BUCKETS][i % BUCKETS], i);
}

static uint64_t in_order(uint64_t i)
{
	return i;
}

static uint64_t by_pages(uint64_t i)
{
	return i << 12;
}

static uint64_t upper_bits(uint64_t i)
{
	return i << 48;
}

static uint64_t middle_bits(uint64_t i)
{
	return i << 32;
}

static uint64_t multiples(uint64_t i)
{
	return i * 0x0101010101010101;
}

START_TEST(hash_spreads_keys_as_programs_have_them)
{
	check_even(in_order, "in order");
	check_even(by_pages, "by pages");
	check_even(upper_bits, "in the upper bits");
	check_even(middle_bits, "in the middle bits");
	check_even(multiples, "multiples");
}
END_TEST

START_TEST(hash_of_bytes_depends_on_each_bit_and_on_the_length)
{
	unsigned char data[70] = { 0 };
	struct hash_seed seed;

	hash_seed_process(&seed);
	for (size_t size = 0; size < sizeof(data); size++) {
		uint64_t h = hash_bytes(&seed, data, size);

		ck_assert(h != hash_bytes(&seed, data, size + (size < 69)) || size == 69);
		for (size_t bit = 0; bit < size * 8; bit++) {
			data[bit / 8] ^= (unsigned char)(1u << bit % 8);
			T_OUGHT(hash_bytes(&seed, data, size) != h);
			data[bit / 8] ^= (unsigned char)(1u << bit % 8);
		}
	}
}
END_TEST

static void write_hash(int fd)
{
	struct hash_seed seed;
	uint64_t h;

	hash_seed_process(&seed);
	h = hash_number(&seed, 1);
	ck_assert_int_eq(write(fd, &h, sizeof(h)), sizeof(h));
}

/* A process that has not hashed yet when it forks gets a seed of its own in each child. */
START_TEST(hash_differs_from_process_to_process)
{
	uint64_t hashes[2] = { 0 };
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	for (int i = 0; i < 2; i++) {
		pid_t child = fork();

		if (child == 0) {
			write_hash(fds[1]);
			_exit(0);
		}
		ck_assert_int_eq(waitpid(child, NULL, 0), child);
		ck_assert_int_eq(read(fds[0], &hashes[i], sizeof(hashes[i])), sizeof(hashes[i]));
	}
	ck_assert(hashes[0] != hashes[1]);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

static void map_call_tests(TCase *tc)
{
	t_add(tc, map_view_may_change_what_it_looks_at);
	t_add(tc, map_iterate_and_retain_may_change_the_map);
	t_add(tc, map_iterate_sees_each_once_while_the_table_shrinks);
	t_add(tc, map_compute_and_remove_if_may_use_the_map);
	t_add(tc, map_reader_whose_slot_gets_another_key_looks_again);
	t_add(tc, map_callback_that_parks_aborts);
	t_add(tc, map_initialiser_runs_only_for_what_is_missing);
	t_add(tc, map_initialiser_may_ask_for_others_but_not_for_its_own);
	t_add(tc, map_value_put_in_beside_the_initialiser_is_everybodys);
	t_add(tc, map_failed_or_cancelled_initialiser_hands_over_to_the_next);
	t_add_loop(tc, map_value_is_made_by_one_of_many, 0, CREW_MODES);
	t_add(tc, hash_spreads_keys_as_programs_have_them);
	t_add(tc, hash_of_bytes_depends_on_each_bit_and_on_the_length);
	t_add(tc, hash_differs_from_process_to_process);
}
T_SUITE("map_call", map_call_tests)
