/* SPDX-License-Identifier: MIT */
#include "http/pool.h"

#include "base/check.h"
#include "base/mem.h"
#include "http/pool_internal.h"
#include "rt/reclaim.h"
#include "rt/rt.h"

/* --- life ----------------------------------------------------------------------------------- */

static void value_ref(uint64_t value)
{
	place_ref(weft_map_pointer(value));
}

static void value_unref(uint64_t value)
{
	place_unref(weft_map_pointer(value));
}

weft_err pool_create(struct pool **out, const struct pool_options *options)
{
	weft_map_options map = WEFT_MAP_OPTIONS_DEFAULT;
	struct pool *pool = mem_calloc(1, sizeof(*pool));
	weft_err err;

	if (!pool)
		return err_set(WEFT_ENOMEM);
	pool->options = *options;
	list_init(&pool->starving);
	map.keys = WEFT_MAP_BYTES;
	map.value_ref = value_ref;
	map.value_unref = value_unref;
	map.shards = options->shards;
	err = weft_map_create(&pool->places, &map);
	if (err)
		mem_free(pool);
	else
		*out = pool;
	return err;
}

static bool fail_waiters(void *arg, weft_map_key key, uint64_t value)
{
	struct pool_place *place = weft_map_pointer(value);

	(void)arg;
	(void)key;
	for (;;) {
		weft_parker *parker;

		rt_lock_acquire(&place->waiters.lock);
		(void)err_setf(WEFT_ECLOSED, "the client is closed");
		parker = place_fail_locked(place, WEFT_ECLOSED);
		rt_lock_release(&place->waiters.lock);
		if (!parker)
			return true;
		weft_unpark(parker);
	}
}

void pool_close(struct pool *pool)
{
	weft_scope *scope;

	if (!gate_close(&pool->gate, false))
		return;
	pool_leave(pool);
	/* who was about to wait or to dial does so now, and nobody later */
	gate_wait_gone(&pool->gate);
	while (weft_map_iterate(pool->places, fail_waiters, NULL) == WEFT_ENOMEM)
		(void)weft_yield();
	rt_lock_acquire(&pool->lock);
	scope = pool->scope;
	pool->scope = NULL;
	rt_lock_release(&pool->lock);
	weft_scope_free(scope);
	pool_sweep(pool);
}

static void pool_gone(struct reclaim_node *node)
{
	mem_free(container_of(node, struct pool, retired));
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	CHECK(pool_is_closed(pool) && pool->conns == 0);
	weft_map_free(pool->places);
	reclaim_retire(&pool->retired, pool_gone);
	reclaim_help();
}

/* --- getting -------------------------------------------------------------------------------- */

static void take_idle(void *arg, uint64_t value)
{
	struct pool_conn **conn = arg;
	struct pool_place *place = weft_map_pointer(value);

	/* those who wait come first */
	if (!wait_any(&place->waiters))
		*conn = place_pop(place, PLACE_TAKE);
}

/* Taken now: the clock is looked at once for both. */
static bool is_expired(const struct pool *pool, struct pool_conn *conn)
{
	int64_t since = conn->idle_since;

	conn->idle_since = 0;
	conn->taken_at = weft_now();
	return conn->taken_at - since >= pool->options.idle_timeout_ns;
}

static struct pool_conn *get_idle(struct pool *pool, const struct pool_request *request)
{
	struct pool_conn *conn;

	if (request->fresh)
		return NULL;
	do {
		conn = NULL;
		(void)weft_map_view(pool->places, place_key(&request->key), take_idle, &conn);
		if (!conn || !is_expired(pool, conn))
			return conn;
		counter_add(&pool->expired, 1);
		pool_not_reused(pool, conn);
		pool_drop(pool, conn);
	} while (true);
}

/* Into the list, in a place that is alive. */
static weft_err enter(struct pool_place **out, struct pool *pool,
	const struct pool_request *request, struct pool_waiter *waiter)
{
	struct pool_place *place;
	bool entered = false, full = false;
	unsigned spins = 0;
	weft_err err;

	do {
		err = place_get(&place, pool, request);
		if (err)
			return err;
		rt_lock_acquire(&place->waiters.lock);
		full = place->waiting >= pool->options.waiters_max;
		if (!place->dead && !full) {
			wait_push_locked(&place->waiters, &waiter->node, false);
			place->waiting++;
			counter_add(&pool->waiting, 1);
			entered = true;
		}
		rt_lock_release(&place->waiters.lock);
		if (entered)
			break;
		place_unref(place);
		if (full)
			return err_setf(WEFT_ECAPACITY,
				"%zu requests wait for a connection already",
				pool->options.waiters_max);
		(void)rt_relax(&spins, false); /* whoever found it dead takes it out */
	} while (true);
	counter_add(&pool->waits, 1);
	*out = place;
	return WEFT_OK;
}

/* Without a connection: why, and what was being waited for. */
static weft_err give_up(struct pool_place *place, struct pool_waiter *waiter, weft_err err)
{
	const struct pool_ops *ops = place->pool->options.ops;
	const char *phase = "waiting for a connection";

	rt_lock_acquire(&place->waiters.lock);
	if (wait_state(&waiter->ctx) == WAIT_OPEN) {
		/* the first dial stands for the first waiter's, and so on */
		struct list *dial = place->dials.next;

		list_for_each(link, &place->waiters.nodes) {
			if (link == &waiter->node.link || dial == &place->dials)
				break;
			dial = dial->next;
		}
		if (dial != &place->dials)
			phase = ops->phase_text((unsigned)counter_get(
				&container_of(dial, struct pool_dial, link)->phase.value));
		place_leave_locked(place, waiter);
		err = err_setf(err, "%s: %s", phase, weft_strerror(err));
	} else {
		err = WEFT_OK;
	}
	rt_lock_release(&place->waiters.lock);
	return err;
}

static weft_err outcome(struct pool_waiter *waiter)
{
	if (!waiter->failed)
		return WEFT_OK;
	err_slot_copy(err_slot_self(), &waiter->failure);
	err_slot_fini(&waiter->failure);
	return waiter->failed;
}

static weft_err get_waiting(struct pool *pool, const struct pool_request *request,
	struct pool_conn **out, weft_deadline until)
{
	struct pool_waiter waiter = { .fresh = request->fresh };
	struct pool_place *place = NULL;
	weft_err err;

	err = wait_ctx_init(&waiter.ctx);
	if (err)
		return err;
	wait_node_init(&waiter.node, &waiter.ctx, WAIT_FIRST);
	if (!gate_visit(&pool->gate))
		return err_setf(WEFT_ECLOSED, "the client is closed");
	err = enter(&place, pool, request, &waiter);
	if (!err)
		place_feed(place);
	pool_leave(pool);
	if (err || !place)
		return err;
	err = wait_park(&waiter.ctx, until, "http connection");
	if (err)
		err = give_up(place, &waiter, err);
	if (!err)
		err = outcome(&waiter);
	if (err)
		place_tidy(place);
	else
		*out = waiter.conn;
	place_unref(place);
	return err;
}

weft_err pool_get(struct pool *pool, const struct pool_request *request, struct pool_conn **out,
	weft_deadline until)
{
	struct pool_conn *conn;
	weft_err err;

	conn = get_idle(pool, request);
	if (weft_likely(conn != NULL)) {
		*out = conn;
		return WEFT_OK;
	}
	err = rt_check_cancelled();
	if (!err)
		err = get_waiting(pool, request, out, until);
	if (!err) {
		(*out)->idle_since = 0;
		(*out)->taken_at = weft_now();
	}
	return err;
}

void pool_not_reused(struct pool *pool, const struct pool_conn *conn)
{
	if (conn->used)
		counter_add(&pool->not_reused, 1);
}

/* --- giving back ---------------------------------------------------------------------------- */

/* With the place's lock held. Another place has waited for the limit of all while this one's
 * connections went from hand to hand; this one comes last then. */
static bool owes_turn_locked(struct pool_place *place)
{
	struct pool *pool = place->pool;
	bool owes;

	if (place->handovers < POOL_HANDOVERS_MAX)
		return false;
	place->handovers = 0;
	rt_lock_acquire(&pool->lock);
	owes = word_peek(&pool->starved) > (place->starving ? 1 : 0);
	if (owes && place->starving) {
		list_remove(&place->starving_link);
		list_push_back(&pool->starving, &place->starving_link);
	}
	rt_lock_release(&pool->lock);
	return owes;
}

/* To who waits here, unless another place has starved for too long: then it is closed for that. */
static bool hand_over(struct pool *pool, struct pool_conn *conn)
{
	struct pool_place *place = conn->place;
	bool starved = word_get(&pool->starved) != 0, ends;
	weft_parker *parker = NULL;

	place_ref(place); /* who gets it may close it before the lock is free */
	rt_lock_acquire(&place->waiters.lock);
	ends = starved && place->waiting && owes_turn_locked(place);
	if (!ends)
		parker = place_hand_locked(place, conn);
	place->handovers = starved && parker ? place->handovers + 1 : 0;
	rt_lock_release(&place->waiters.lock);
	if (parker)
		weft_unpark(parker);
	if (ends)
		pool_drop(pool, conn);
	place_unref(place);
	return parker || ends;
}

/* A place among the idle ones, if that is not too many. */
static bool admit_idle(struct pool *pool, struct pool_place *place)
{
	size_t max = pool->options.idle_per_place_max;

	return max == SIZE_MAX || counter_try_add(&place->idle, 1, max);
}

/* What the one that became idle may be wanted for, on a visit. */
static void look_after(struct pool *pool, struct pool_place *place)
{
	place_feed(place);
	pool_evict(pool, place);
	pool_reap_start(pool);
	pool_leave(pool);
}

/* The pool is closed: a connection in hand keeps it, and nothing else does. */
static void close_idle(struct pool_place *place)
{
	struct pool_conn *conn;

	while ((conn = place_pop(place, PLACE_REMOVE)))
		pool_drop(place->pool, conn);
}

void pool_put(struct pool *pool, struct pool_conn *conn)
{
	struct pool_place *place = conn->place;
	bool wanted, visits = false;

	if (weft_unlikely(pool_is_closed(pool))) {
		pool_drop(pool, conn);
		return;
	}
	if (weft_unlikely(wait_any(&place->waiters)) && hand_over(pool, conn))
		return;
	if (weft_unlikely(!admit_idle(pool, place))) {
		pool_drop(pool, conn);
		return;
	}
	conn->kept = true;
	if (!conn->idle_since)
		conn->idle_since = weft_now();
	/* Once pushed it may be somebody else's, or gone. Its place was in the map, and the pool was
	 * there: a guard keeps the memory of both. */
	reclaim_enter();
	place_push(place, conn);
	wanted = wait_any(&place->waiters) || word_get(&pool->starved) != 0 ||
		word_get(&pool->reaps) == 0 || pool_is_closed(pool);
	if (weft_unlikely(wanted)) {
		place_ref(place);
		visits = gate_visit(&pool->gate);
	}
	reclaim_leave();
	if (weft_likely(!wanted))
		return;
	if (visits)
		look_after(pool, place);
	else
		close_idle(place);
	place_unref(place);
}

/* Closed, and out of the numbers; the caller has its memory still, and its place's. */
static void close_conn(struct pool *pool, struct pool_conn *conn)
{
	struct pool_place *place = conn->place;

	pool->options.ops->close(conn);
	rt_lock_acquire(&place->waiters.lock);
	place->conns--;
	rt_lock_release(&place->waiters.lock);
	pool_release(pool);
}

void pool_close_conn(struct pool *pool, struct pool_conn *conn)
{
	struct pool_place *place = conn->place;

	close_conn(pool, conn);
	place_tidy(place);
	place_unref(place);
	pool->options.ops->destroy(conn);
}

void pool_drop(struct pool *pool, struct pool_conn *conn)
{
	struct pool_place *place = conn->place;

	close_conn(pool, conn);
	place_feed(place);
	place_tidy(place);
	place_unref(place);
	pool->options.ops->destroy(conn);
}

/* --- numbers -------------------------------------------------------------------------------- */

static bool count_place(void *arg, weft_map_key key, uint64_t value)
{
	const struct pool_place *place = weft_map_pointer(value);
	struct pool_stats *stats = arg;

	(void)key;
	for (unsigned i = 0; i < place->lane_count; i++) {
		stats->idle += counter_get(&place->lanes[i].len);
		stats->reuses += counter_get(&place->lanes[i].reuses);
	}
	stats->reuses += counter_get(&place->reuses);
	stats->places++;
	return true;
}

void pool_stats_get(struct pool *pool, struct pool_stats *out)
{
	struct pool_stats stats = { 0 };
	/* before those that it is a part of */
	uint64_t not_reused = counter_get(&pool->not_reused);

	/* without memory for the walk the sums are of a part */
	if (weft_map_iterate(pool->places, count_place, &stats) != WEFT_OK)
		stats.places = weft_map_len(pool->places);
	stats.dials = counter_get(&pool->dials);
	stats.dials_failed = counter_get(&pool->dials_failed);
	stats.waits = counter_get(&pool->waits);
	stats.expired = counter_get(&pool->expired);
	stats.evicted = counter_get(&pool->evicted);
	stats.dialling = counter_get(&pool->dialling);
	stats.waiting = counter_get(&pool->waiting);
	rt_lock_acquire(&pool->lock);
	stats.reuses += pool->reuses_past;
	stats.reuses -= stats.reuses < not_reused ? stats.reuses : not_reused;
	stats.conns = pool->conns;
	rt_lock_release(&pool->lock);
	*out = stats;
}
