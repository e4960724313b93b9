/* SPDX-License-Identifier: MIT */
#ifndef POOLWORLD_H
#define POOLWORLD_H

/* A pool of connections that are none, and those who wait for one. */
#include "base/mem.h"
#include "http/pool.h"
#include "support/both.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)

/* --- a world of connections ----------------------------------------------------------------- */

struct world {
	struct pool *pool;
	struct pool_options options;
	struct counter made, open, closed;
	struct counter too_many; /* times that open was above options.conns_max */
	struct counter fails;	 /* dials that are to fail, from now on */
	int64_t dial_ns;	 /* what a dial takes; 0: nothing */
	weft_chan *gate;	 /* each dial takes a message before it goes on; NULL: does not */
};

struct fake {
	struct pool_conn pool;
	struct world *world;
	uint64_t number; /* from 0, in order of their making */
	struct counter users;
};

static struct fake *fake_of(struct pool_conn *conn)
{
	return (struct fake *)conn;
}

static weft_err fake_dial(void *user, void *context, struct pool_dial_phase *phase,
	struct pool_conn **out, weft_deadline until)
{
	struct world *world = user;
	struct fake *fake;
	weft_err err = WEFT_OK;
	int message;

	want(strcmp(context, "context") == 0);
	counter_set(&phase->value, 1);
	if (world->dial_ns)
		err = weft_sleep_ns((int64_t)both_random((uint64_t)world->dial_ns));
	if (!err && world->gate)
		err = weft_chan_recv(world->gate, &message, until);
	if (!err && counter_get(&world->fails))
		err = err_setf(WEFT_EREFUSED, "connect nowhere: refused");
	if (err)
		return err;
	fake = mem_calloc(1, sizeof(*fake));
	if (!fake)
		return err_set(WEFT_ENOMEM);
	fake->world = world;
	fake->number = counter_add(&world->made, 1);
	if (counter_add(&world->open, 1) >= world->options.conns_max)
		counter_add(&world->too_many, 1);
	*out = &fake->pool;
	return WEFT_OK;
}

static void *fake_context(void *user, const void *from)
{
	(void)user;
	return mem_strdup(from);
}

static void fake_close(struct pool_conn *conn)
{
	counter_sub(&fake_of(conn)->world->open, 1);
	counter_add(&fake_of(conn)->world->closed, 1);
}

static void fake_destroy(struct pool_conn *conn)
{
	mem_free(conn);
}

static const char *fake_phase(unsigned phase)
{
	return phase ? "connect" : "resolve";
}

static const struct pool_ops fake_ops = { fake_dial, fake_context, mem_free, fake_close,
	fake_destroy, fake_phase };

/* Limits may be changed before world_open. */
static void world_init(struct world *world)
{
	memset(world, 0, sizeof(*world));
	world->options = (struct pool_options){ .ops = &fake_ops,
		.user = world,
		.conns_max = 100,
		.conns_per_place_max = 50,
		.idle_per_place_max = SIZE_MAX,
		.waiters_max = 100,
		.shards = 4,
		.idle_timeout_ns = 90000 * MS,
		.dial_timeout_ns = INT64_MAX };
}

static void world_open(struct world *world)
{
	want_ok(pool_create(&world->pool, &world->options));
}

static struct pool_stats stats_of(struct world *world)
{
	struct pool_stats stats;

	pool_stats_get(world->pool, &stats);
	return stats;
}

static void world_end(struct world *world)
{
	struct pool_stats stats;

	pool_close(world->pool);
	pool_close(world->pool);
	stats = stats_of(world);
	want(stats.conns == 0 && stats.idle == 0 && stats.dialling == 0);
	want(stats.waiting == 0 && stats.places == 0);
	want(counter_get(&world->open) == 0 && counter_get(&world->too_many) == 0);
	want(stats.dials == stats.dials_failed + counter_get(&world->made));
	pool_free(world->pool);
	weft_chan_unref(world->gate);
}

static weft_err try_get(
	struct world *world, const char *key, bool fresh, struct fake **out, weft_deadline until)
{
	struct pool_request request = { { key, strlen(key) }, "context", fresh };
	struct pool_conn *conn = NULL;
	weft_err err = pool_get(world->pool, &request, &conn, until);

	if (err)
		return err;
	*out = fake_of(conn);
	/* nobody else has it */
	want(counter_add(&(*out)->users, 1) == 0);
	want(!fresh || !conn->used);
	conn->used = true;
	return WEFT_OK;
}

static struct fake *get(struct world *world, const char *key)
{
	struct fake *fake = NULL;

	want_ok(try_get(world, key, false, &fake, WEFT_FOREVER));
	return fake;
}

static void put(struct fake *fake)
{
	want(counter_sub(&fake->users, 1) == 1);
	pool_put(fake->world->pool, &fake->pool);
}

static void drop(struct fake *fake)
{
	want(counter_sub(&fake->users, 1) == 1);
	pool_drop(fake->world->pool, &fake->pool);
}

/* --- those who wait ------------------------------------------------------------------------- */

struct waiter {
	struct world *world;
	const char *key;
	bool fresh, gives_back;
	weft_deadline until;
	weft_fiber *fiber;
	struct fake *got;
	weft_err err;
	char detail[128];
	uint64_t order; /* of those that have got one */
};

static struct counter order;

static weft_err waiter_fiber(void *arg)
{
	struct waiter *w = arg;

	w->err = try_get(w->world, w->key, w->fresh, &w->got, w->until);
	snprintf(w->detail, sizeof(w->detail), "%s", w->err ? weft_error_detail() : "");
	w->order = counter_add(&order, 1);
	if (!w->err && w->gives_back)
		put(w->got);
	return WEFT_OK;
}

/* It is in the list when this returns. */
static void wait_begin(struct waiter *w, struct world *world, const char *key)
{
	uint64_t before = stats_of(world).waits;

	w->world = world;
	w->key = key;
	w->until = w->until ? w->until : WEFT_FOREVER;
	want_ok(weft_spawn(&w->fiber, "waits", waiter_fiber, w));
	while (stats_of(world).waits == before)
		want_ok(weft_sleep_ns(MS));
}

static void wait_end(struct waiter *w)
{
	want_ok(weft_fiber_join(w->fiber, NULL, WEFT_FOREVER));
}

static void let_dial(struct world *world)
{
	int message = 0;

	want_ok(weft_chan_send(world->gate, &message, WEFT_FOREVER));
}

#endif
