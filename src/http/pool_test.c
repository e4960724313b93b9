/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* The pool with connections that are none: who gets which, when, and how many there are. */
#include "rt/rt.h"
#include "support/poolworld.h"

#include <pthread.h>

/* --- idle ones ------------------------------------------------------------------------------ */

BOTH_TEST(pool_gives_the_one_that_was_used_last)
{
	struct world world;
	struct fake *a, *b, *c;

	world_init(&world);
	world_open(&world);
	a = get(&world, "k");
	b = get(&world, "k");
	c = get(&world, "k");
	want(a != b && b != c && a != c);
	put(b);
	put(a);
	put(c);
	want(stats_of(&world).idle == 3);
	want(get(&world, "k") == c);
	want(get(&world, "k") == a);
	put(c);
	want(get(&world, "k") == c);
	want(get(&world, "k") == b);
	want(stats_of(&world).dials == 3 && stats_of(&world).reuses == 4);
	put(a);
	put(b);
	drop(c);
	world_end(&world);
	return WEFT_OK;
}

BOTH_TEST(pool_never_dials_when_one_is_idle)
{
	struct world world;

	world_init(&world);
	world_open(&world);
	put(get(&world, "k"));
	for (int i = 0; i < 100; i++)
		put(get(&world, "k"));
	want(stats_of(&world).dials == 1 && stats_of(&world).waits == 1);
	put(get(&world, "other"));
	want(stats_of(&world).dials == 2 && stats_of(&world).places == 2);
	world_end(&world);
	return WEFT_OK;
}

BOTH_TEST(pool_keeps_no_more_idle_ones_than_it_may)
{
	struct world world;
	struct fake *fakes[5];

	world_init(&world);
	world.options.idle_per_place_max = 2;
	world_open(&world);
	for (int turn = 0; turn < 3; turn++) {
		for (int i = 0; i < 5; i++)
			fakes[i] = get(&world, "k");
		for (int i = 0; i < 5; i++)
			put(fakes[i]);
		want(stats_of(&world).idle == 2 && stats_of(&world).conns == 2);
	}
	want(counter_get(&world.closed) == 9);
	world_end(&world);
	return WEFT_OK;
}

BOTH_TEST(pool_closes_what_is_idle_too_long)
{
	struct world world;
	struct fake *a, *b;

	world_init(&world);
	world.options.idle_timeout_ns = 60 * MS;
	world_open(&world);
	a = get(&world, "k");
	b = get(&world, "k");
	put(a);
	want_ok(weft_sleep_ns(40 * MS));
	put(b);
	while (stats_of(&world).idle == 2)
		want_ok(weft_sleep_ns(MS));
	/* the older one has gone */
	want(stats_of(&world).expired == 1 || stats_of(&world).expired == 2);
	while (stats_of(&world).idle)
		want_ok(weft_sleep_ns(MS));
	want(stats_of(&world).expired == 2 && stats_of(&world).conns == 0);
	want(stats_of(&world).places == 0);
	/* and the one that looked after them is not there for nothing */
	while (weft_fiber_count() > 1) /* this one */
		want_ok(weft_sleep_ns(MS));
	put(get(&world, "k"));
	want(stats_of(&world).dials == 3);
	world_end(&world);
	return WEFT_OK;
}

BOTH_TEST(pool_gives_nothing_that_was_idle_too_long)
{
	struct world world;
	struct fake *fake;

	world_init(&world);
	world_open(&world);
	fake = get(&world, "k");
	/* whoever is to close it has not come to it */
	fake->pool.idle_since = weft_now() - world.options.idle_timeout_ns;
	put(fake);
	want(stats_of(&world).idle == 1);
	fake = get(&world, "k");
	want(fake->number == 1 && stats_of(&world).expired == 1 && stats_of(&world).conns == 1);
	want(stats_of(&world).reuses == 0);
	put(fake);
	world_end(&world);
	return WEFT_OK;
}

/* --- waiting -------------------------------------------------------------------------------- */

BOTH_TEST(pool_serves_those_who_wait_in_order)
{
	enum { COUNT = 6 };
	struct waiter waiters[COUNT] = { 0 };
	struct world world;
	struct fake *fake;

	world_init(&world);
	world.options.conns_per_place_max = 1;
	world_open(&world);
	fake = get(&world, "k");
	counter_set(&order, 0);
	for (int i = 0; i < COUNT; i++)
		wait_begin(&waiters[i], &world, "k");
	want(stats_of(&world).waiting == COUNT && stats_of(&world).dials == 1);
	for (int i = 0; i < COUNT; i++) {
		put(fake);
		wait_end(&waiters[i]);
		want_ok(waiters[i].err);
		want(waiters[i].got == fake && waiters[i].order == (uint64_t)i);
	}
	put(fake);
	want(stats_of(&world).reuses == COUNT && stats_of(&world).waiting == 0);
	world_end(&world);
	return WEFT_OK;
}

BOTH_TEST(pool_passes_those_by_who_have_left)
{
	struct waiter waiters[4] = { 0 };
	struct world world;
	struct fake *fake;
	weft_scope *scope;

	world_init(&world);
	world.options.conns_per_place_max = 1;
	world_open(&world);
	fake = get(&world, "k");
	counter_set(&order, 0);
	waiters[0].until = weft_after_ns(30 * MS);
	wait_begin(&waiters[0], &world, "k");
	want_ok(weft_scope_create(&scope));
	waiters[1].world = &world;
	waiters[1].key = "k";
	waiters[1].until = WEFT_FOREVER;
	want_ok(weft_scope_spawn(scope, "is cancelled", waiter_fiber, &waiters[1]));
	while (stats_of(&world).waits < 3)
		want_ok(weft_sleep_ns(MS));
	wait_begin(&waiters[2], &world, "k");
	wait_begin(&waiters[3], &world, "k");
	wait_end(&waiters[0]);
	want_err(WEFT_ETIMEDOUT, waiters[0].err);
	want(strcmp(waiters[0].detail, "waiting for a connection: timed out") == 0);
	weft_scope_free(scope);
	want_err(WEFT_ECANCELED, waiters[1].err);
	want(stats_of(&world).waiting == 2);
	drop(fake); /* room for one that is dialled */
	wait_end(&waiters[2]);
	want_ok(waiters[2].err);
	want(waiters[2].got->number == 1);
	put(waiters[2].got);
	wait_end(&waiters[3]);
	want(waiters[3].got == waiters[2].got);
	put(waiters[3].got);
	world_end(&world);
	return WEFT_OK;
}

BOTH_TEST(pool_refuses_more_who_would_wait_than_it_may)
{
	struct waiter waiter = { 0 };
	struct world world;
	struct fake *fake, *other = NULL;

	world_init(&world);
	world.options.conns_per_place_max = 1;
	world.options.waiters_max = 1;
	world_open(&world);
	fake = get(&world, "k");
	wait_begin(&waiter, &world, "k");
	want_err(WEFT_ECAPACITY, try_get(&world, "k", false, &other, WEFT_FOREVER));
	want(strcmp(weft_error_detail(), "1 requests wait for a connection already") == 0);
	put(fake);
	wait_end(&waiter);
	put(waiter.got);
	world_end(&world);
	return WEFT_OK;
}

BOTH_TEST(pool_that_wins_against_a_dial_keeps_what_that_makes)
{
	struct waiter waiter = { 0 };
	struct world world;
	struct fake *fake;

	world_init(&world);
	want_ok(weft_chan_create(&world.gate, sizeof(int), 1, NULL));
	world_open(&world);
	let_dial(&world);
	fake = get(&world, "k");
	wait_begin(&waiter, &world, "k");
	want(stats_of(&world).dialling == 1);
	put(fake);
	wait_end(&waiter);
	want(waiter.got == fake);
	want(stats_of(&world).dialling == 1 && stats_of(&world).idle == 0);
	let_dial(&world);
	while (stats_of(&world).dialling)
		want_ok(weft_sleep_ns(MS));
	want(stats_of(&world).idle == 1 && stats_of(&world).dials == 2);
	/* it has not been used, which is no reuse; but it was idle, and may have died */
	put(fake);
	(void)get(&world, "k");
	waiter.got = get(&world, "k");
	want(waiter.got->number == 1 && waiter.got->pool.kept);
	want(stats_of(&world).reuses == 2 && stats_of(&world).dials == 2);
	put(fake);
	put(waiter.got);
	world_end(&world);
	return WEFT_OK;
}

BOTH_TEST(pool_tells_what_a_dial_was_at)
{
	struct waiter waiter = { 0 };
	struct world world;

	world_init(&world);
	want_ok(weft_chan_create(&world.gate, sizeof(int), 1, NULL));
	world_open(&world);
	waiter.until = weft_after_ns(30 * MS);
	wait_begin(&waiter, &world, "k");
	wait_end(&waiter);
	want_err(WEFT_ETIMEDOUT, waiter.err);
	want(strcmp(waiter.detail, "connect: timed out") == 0);
	/* the dial goes on, for whoever comes */
	want(stats_of(&world).dialling == 1 && stats_of(&world).places == 1);
	let_dial(&world);
	while (stats_of(&world).dialling)
		want_ok(weft_sleep_ns(MS));
	put(get(&world, "k"));
	want(stats_of(&world).dials == 1);
	world_end(&world);
	return WEFT_OK;
}

BOTH_TEST(pool_tells_each_who_waits_of_a_dial_that_failed)
{
	enum { COUNT = 5 };
	struct waiter waiters[COUNT] = { 0 };
	struct world world;

	world_init(&world);
	world.options.conns_per_place_max = 2; /* three begin their dials later */
	want_ok(weft_chan_create(&world.gate, sizeof(int), 1, NULL));
	world_open(&world);
	counter_set(&world.fails, 1);
	counter_set(&order, 0);
	for (int i = 0; i < COUNT; i++)
		wait_begin(&waiters[i], &world, "k");
	want(stats_of(&world).dialling == 2);
	for (int i = 0; i < COUNT; i++) {
		let_dial(&world);
		wait_end(&waiters[i]);
		want_err(WEFT_EREFUSED, waiters[i].err);
		want(strcmp(waiters[i].detail, "connect nowhere: refused") == 0);
	}
	want(stats_of(&world).dials_failed == COUNT && stats_of(&world).places == 0);
	world_end(&world);
	return WEFT_OK;
}

BOTH_TEST(pool_gives_new_ones_to_who_wants_new_ones)
{
	struct waiter waiter = { .fresh = true }, other = { 0 };
	struct world world;
	struct fake *a, *b, *fresh = NULL;

	world_init(&world);
	world.options.conns_per_place_max = 2;
	world_open(&world);
	a = get(&world, "k");
	b = get(&world, "k");
	put(a);
	/* one that is idle makes room */
	want_ok(try_get(&world, "k", true, &fresh, WEFT_FOREVER));
	want(fresh->number == 2 && counter_get(&world.closed) == 1);
	/* and one that comes back, when nobody else waits for it */
	wait_begin(&waiter, &world, "k");
	wait_begin(&other, &world, "k");
	put(b);
	wait_end(&other);
	want(other.got == b);
	put(b);
	wait_end(&waiter);
	want_ok(waiter.err);
	want(waiter.got->number == 3 && counter_get(&world.closed) == 2);
	put(waiter.got);
	put(fresh);
	world_end(&world);
	return WEFT_OK;
}

BOTH_TEST(pool_leaves_idle_ones_alone_that_are_not_in_the_way_of_new_ones)
{
	struct world world;
	struct fake *a, *b, *fresh = NULL;

	world_init(&world);
	world_open(&world);
	a = get(&world, "k");
	b = get(&world, "k");
	put(a);
	put(b);
	want_ok(try_get(&world, "k", true, &fresh, WEFT_FOREVER));
	want(fresh->number == 2 && counter_get(&world.closed) == 0);
	want(stats_of(&world).idle == 2);
	drop(fresh);
	want(stats_of(&world).idle == 2 && stats_of(&world).conns == 2);
	world_end(&world);
	return WEFT_OK;
}

/* --- limits --------------------------------------------------------------------------------- */

BOTH_TEST(pool_closes_an_idle_one_of_another_place_for_its_limit)
{
	struct world world;
	struct fake *a;

	world_init(&world);
	world.options.conns_max = 2;
	world_open(&world);
	a = get(&world, "a");
	put(get(&world, "a2"));
	want(stats_of(&world).conns == 2 && stats_of(&world).places == 2);
	put(get(&world, "b"));
	want(stats_of(&world).conns == 2 && stats_of(&world).evicted == 1);
	put(a);
	put(get(&world, "a"));
	want(stats_of(&world).dials == 3);
	world_end(&world);
	return WEFT_OK;
}

/* Who starved is served by another's connection, or has left. */
BOTH_TEST(pool_closes_no_idle_one_for_who_wants_none_any_more)
{
	for (int leaves = 0; leaves < 2; leaves++) {
		struct waiter waiter = { .until = leaves ? weft_after_ns(30 * MS) : 0 };
		struct world world;
		struct fake *a, *b;

		world_init(&world);
		world.options.conns_max = 2;
		world_open(&world);
		a = get(&world, "a");
		b = get(&world, "b");
		wait_begin(&waiter, &world, "a");
		if (!leaves)
			put(a);
		wait_end(&waiter);
		want_err(leaves ? WEFT_ETIMEDOUT : WEFT_OK, waiter.err);
		put(b);
		want(stats_of(&world).evicted == 0 && stats_of(&world).idle == 1);
		want(get(&world, "b") == b);
		put(b);
		put(a);
		want(stats_of(&world).idle == 2 && stats_of(&world).conns == 2);
		world_end(&world);
	}
	return WEFT_OK;
}

/* One each, in the order in which their places began to starve, and then the rest. */
BOTH_TEST(pool_lets_places_that_starve_take_turns)
{
	static const char *const keys[] = { "x", "x", "y", "z" };
	static const int turns[] = { 0, 2, 3, 1 };
	struct waiter waiters[4] = { 0 };
	struct fake *held[4];
	struct world world;
	char key[2] = "a";

	world_init(&world);
	world.options.conns_max = 4;
	world_open(&world);
	for (int i = 0; i < 4; i++, key[0]++)
		held[i] = get(&world, key);
	for (int i = 0; i < 4; i++)
		wait_begin(&waiters[i], &world, keys[i]);
	want(stats_of(&world).waiting == 4 && stats_of(&world).evicted == 0);
	for (int i = 0; i < 4; i++) {
		put(held[i]);
		wait_end(&waiters[turns[i]]);
		want_ok(waiters[turns[i]].err);
		want(stats_of(&world).waiting == (uint64_t)(3 - i));
		want(stats_of(&world).evicted == (uint64_t)(i + 1));
	}
	for (int i = 0; i < 4; i++)
		put(waiters[i].got);
	want(stats_of(&world).idle == 4 && stats_of(&world).conns == 4);
	world_end(&world);
	return WEFT_OK;
}

BOTH_TEST(pool_lets_no_place_starve)
{
	enum { COUNT = 3 * POOL_HANDOVERS_MAX };
	struct waiter waiters[COUNT] = { 0 }, starving = { .gives_back = true };
	struct world world;
	struct fake *fake;

	world_init(&world);
	world.options.conns_max = 1;
	world_open(&world);
	fake = get(&world, "a");
	counter_set(&order, 0);
	for (int i = 0; i < COUNT; i++) {
		waiters[i].gives_back = true;
		wait_begin(&waiters[i], &world, "a");
	}
	wait_begin(&starving, &world, "b");
	put(fake);
	for (int i = 0; i < COUNT; i++) {
		wait_end(&waiters[i]);
		want_ok(waiters[i].err);
	}
	wait_end(&starving);
	want_ok(starving.err);
	want(starving.order <= POOL_HANDOVERS_MAX);
	world_end(&world);
	return WEFT_OK;
}

/* --- the end -------------------------------------------------------------------------------- */

BOTH_TEST(pool_that_closes_fails_those_who_wait_and_dial)
{
	struct waiter waiters[3] = { 0 };
	struct world world;
	struct fake *fake;

	world_init(&world);
	world.options.conns_per_place_max = 2;
	want_ok(weft_chan_create(&world.gate, sizeof(int), 1, NULL));
	world_open(&world);
	let_dial(&world);
	fake = get(&world, "k");
	for (int i = 0; i < 3; i++)
		wait_begin(&waiters[i], &world, i < 2 ? "k" : "other");
	pool_close(world.pool);
	for (int i = 0; i < 3; i++) {
		wait_end(&waiters[i]);
		want_err(WEFT_ECLOSED, waiters[i].err);
	}
	want_err(WEFT_ECLOSED, try_get(&world, "k", false, &fake, WEFT_FOREVER));
	want(stats_of(&world).conns == 1);
	put(fake);
	want(stats_of(&world).conns == 0 && counter_get(&world.closed) == 1);
	world_end(&world);
	return WEFT_OK;
}

/* --- many at once --------------------------------------------------------------------------- */

struct crowd {
	struct world world;
	struct counter running;
	int turns;
};

static weft_err crowd_turn(struct crowd *crowd)
{
	static const char *const keys[] = { "a", "b", "c", "d", "e" };
	const char *key = keys[both_random(5)];
	struct fake *fake = NULL;
	uint64_t what = both_random(100);
	weft_err err;

	err = try_get(&crowd->world, key, what < 5, &fake,
		what % 7 == 0 ? weft_after_ns((int64_t)both_random(2000000)) : WEFT_FOREVER);
	if (err == WEFT_ETIMEDOUT || err == WEFT_EREFUSED)
		return WEFT_OK;
	if (err)
		return err;
	if (what % 3 == 0)
		both_pause();
	if (what >= 90)
		drop(fake);
	else
		put(fake);
	return WEFT_OK;
}

static weft_err crowd_member(void *arg)
{
	struct crowd *crowd = arg;

	for (int i = 0; i < crowd->turns; i++) {
		want_ok(crowd_turn(crowd));
		counter_set(&crowd->world.fails, both_random(50) == 0);
	}
	counter_sub(&crowd->running, 1);
	return WEFT_OK;
}

static void *crowd_thread(void *arg)
{
	want_ok(crowd_member(arg));
	return NULL;
}

static void crowd_run(struct crowd *crowd, unsigned fibers, unsigned threads, int turns)
{
	unsigned workers = weft_worker_count();
	pthread_t ids[8];
	weft_scope *scope;

	(void)t_seed(); /* made before the threads ask for random numbers */
	crowd->turns = turns;
	counter_set(&crowd->running, fibers + threads);
	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < threads; i++)
		want(pthread_create(&ids[i], NULL, crowd_thread, crowd) == 0);
	for (unsigned i = 0; i < fibers; i++)
		want_ok(weft_scope_spawn_on(scope, workers > 1 ? i % workers : UINT32_MAX, "crowd",
			crowd_member, crowd));
	while (counter_get(&crowd->running))
		want_ok(weft_sleep_ns(MS));
	for (unsigned i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
}

BOTH_TEST(pool_counts_exactly_with_many_at_once)
{
	bool alone = weft_in_sim();

	for (int i = 0; i < 3; i++) {
		struct crowd crowd = { 0 };

		world_init(&crowd.world);
		crowd.world.options.conns_max = i == 0 ? 3 : 7;
		crowd.world.options.conns_per_place_max = i == 1 ? 2 : 50;
		crowd.world.options.idle_per_place_max = i == 2 ? 1 : SIZE_MAX;
		crowd.world.options.idle_timeout_ns = i == 2 ? 2 * MS : INT64_MAX;
		crowd.world.dial_ns = i ? 50000 : 0;
		world_open(&crowd.world);
		crowd_run(&crowd, 12, alone ? 0 : 4, alone ? 30 : 300);
		want(counter_get(&crowd.world.too_many) == 0);
		while (stats_of(&crowd.world).dialling)
			want_ok(weft_sleep_ns(MS));
		/* what is idle too long may be closed right now, on another worker */
		while (i == 2 && counter_get(&crowd.world.open))
			want_ok(weft_sleep_ns(MS));
		while (i == 2 && stats_of(&crowd.world).conns)
			want_ok(weft_sleep_ns(MS));
		want(stats_of(&crowd.world).conns == counter_get(&crowd.world.open));
		want(stats_of(&crowd.world).waiting == 0);
		world_end(&crowd.world);
	}
	return WEFT_OK;
}

/* --- lanes ---------------------------------------------------------------------------------- */

static weft_err gets_and_puts(void *arg)
{
	put(get(arg, "k"));
	return WEFT_OK;
}

static weft_err gets_its_own(void *arg)
{
	for (int i = 0; i < 10; i++) {
		struct fake *fake = get(arg, "k");

		want(fake->pool.lane == weft_worker_self());
		put(fake);
	}
	return WEFT_OK;
}

static void run_on(struct world *world, unsigned worker, weft_fiber_fn fn)
{
	weft_scope *scope;

	want_ok(weft_scope_create(&scope));
	want_ok(weft_scope_spawn_on(scope, worker, "on a worker", fn, world));
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
}

static weft_err lanes_main(void *arg)
{
	struct world world;
	struct fake *held;

	(void)arg;
	world_init(&world);
	world_open(&world);
	held = get(&world, "k");
	want(held->pool.lane == weft_worker_self());
	run_on(&world, !weft_worker_self(), gets_and_puts);
	put(held);
	want(stats_of(&world).dials == 2 && stats_of(&world).idle == 2);
	for (unsigned turn = 0; turn < 4; turn++)
		run_on(&world, turn % 2, gets_its_own);
	/* rather another's than a dial */
	held = get(&world, "k");
	put(get(&world, "k"));
	put(held);
	want(stats_of(&world).dials == 2);
	world_end(&world);
	return WEFT_OK;
}

START_TEST(pool_gives_first_what_the_callers_worker_serves)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;

	options.workers = 2;
	want_ok(weft_run(lanes_main, NULL, &options));
}
END_TEST

/* --- memory --------------------------------------------------------------------------------- */

static weft_err memory_turn(struct world *world)
{
	struct fake *a = NULL, *b = NULL;
	weft_err err;

	err = pool_create(&world->pool, &world->options);
	if (err)
		return err;
	err = try_get(world, "a", false, &a, WEFT_FOREVER);
	if (!err)
		err = try_get(world, "b", false, &b, WEFT_FOREVER); /* after an eviction */
	if (a)
		put(a);
	if (b)
		put(b);
	pool_close(world->pool);
	want(counter_get(&world->open) == 0);
	pool_free(world->pool);
	return err;
}

static weft_err memory_main(void *arg)
{
	struct world world;

	(void)arg;
	world_init(&world);
	world.options.conns_max = 2;
	want_ok(memory_turn(&world));
	(void)err_setf(WEFT_ENOMEM, "the fiber has its room for details");
	want_ok(weft_sleep_ns(5 * MS));
	T_EACH_FAILING_MALLOC(n) {
		weft_err err = memory_turn(&world);

		want(err == WEFT_OK || err == WEFT_ENOMEM);
		want(err == WEFT_OK || t_malloc_failed());
		want_ok(weft_sleep_ns(2 * MS));
	}
	return WEFT_OK;
}

START_TEST(pool_survives_every_failing_malloc)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;

	options.workers = 1;
	want_ok(weft_run(memory_main, NULL, &options));
}
END_TEST

static void pool_tests(TCase *tc)
{
	both_add(tc, pool_gives_the_one_that_was_used_last);
	both_add(tc, pool_never_dials_when_one_is_idle);
	both_add(tc, pool_keeps_no_more_idle_ones_than_it_may);
	both_add(tc, pool_closes_what_is_idle_too_long);
	both_add(tc, pool_gives_nothing_that_was_idle_too_long);
	both_add(tc, pool_serves_those_who_wait_in_order);
	both_add(tc, pool_passes_those_by_who_have_left);
	both_add(tc, pool_refuses_more_who_would_wait_than_it_may);
	both_add(tc, pool_that_wins_against_a_dial_keeps_what_that_makes);
	both_add(tc, pool_tells_what_a_dial_was_at);
	both_add(tc, pool_tells_each_who_waits_of_a_dial_that_failed);
	both_add(tc, pool_gives_new_ones_to_who_wants_new_ones);
	both_add(tc, pool_leaves_idle_ones_alone_that_are_not_in_the_way_of_new_ones);
	both_add(tc, pool_closes_an_idle_one_of_another_place_for_its_limit);
	both_add(tc, pool_closes_no_idle_one_for_who_wants_none_any_more);
	both_add(tc, pool_lets_places_that_starve_take_turns);
	both_add(tc, pool_lets_no_place_starve);
	both_add(tc, pool_that_closes_fails_those_who_wait_and_dial);
	both_add(tc, pool_counts_exactly_with_many_at_once);
	t_add(tc, pool_gives_first_what_the_callers_worker_serves);
	t_add(tc, pool_survives_every_failing_malloc);
}

T_SUITE("http pool", pool_tests)
