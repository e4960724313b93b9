/* SPDX-License-Identifier: MIT */
/*
 * Who waits gets a connection: one that is idle, one that comes back, or one that is dialled.
 *
 * A dial belongs to its place, not to who asked for it: what it makes goes to who waits longest.
 * As many dials are under way as there are waiters, if the limits allow. One that fails tells
 * the first waiter, unless there is a dial left for each.
 */
#include "base/check.h"
#include "base/mem.h"
#include "http/pool_internal.h"
#include "rt/rt.h"

static struct pool_waiter *waiter_of(struct list *link)
{
	struct wait_node *node = container_of(link, struct wait_node, link);

	return container_of(node, struct pool_waiter, node);
}

/* With the place's lock held. */
static bool may_dial_locked(const struct pool_place *place)
{
	return place->waiting > place->dialling &&
		place->conns < place->pool->options.conns_per_place_max;
}

void place_leave_locked(struct pool_place *place, struct pool_waiter *waiter)
{
	struct pool *pool = place->pool;

	wait_remove_locked(&place->waiters, &waiter->node);
	place->waiting--;
	counter_sub(&pool->waiting, 1);
	if (weft_likely(word_get(&pool->starved) == 0) || may_dial_locked(place))
		return;
	rt_lock_acquire(&pool->lock);
	place_sate_locked(place);
	rt_lock_release(&pool->lock);
}

/* With the place's lock held: out of the list, and woken by who unparks what is returned. */
static weft_parker *settle_locked(struct pool_place *place, struct pool_waiter *waiter)
{
	weft_parker *parker = waiter->ctx.parker;

	place_leave_locked(place, waiter);
	CHECK(wait_claim(&waiter->node)); /* waiters give up under the lock only */
	return parker;
}

static weft_parker *grant_locked(struct pool_place *place, struct pool_conn *conn)
{
	list_for_each(link, &place->waiters.nodes) {
		struct pool_waiter *waiter = waiter_of(link);

		if (waiter->fresh && (conn->used || conn->kept))
			continue;
		waiter->conn = conn;
		return settle_locked(place, waiter);
	}
	return NULL;
}

weft_parker *place_hand_locked(struct pool_place *place, struct pool_conn *conn)
{
	bool used = conn->used; /* once granted it is somebody else's */
	weft_parker *parker = grant_locked(place, conn);

	if (parker && used)
		counter_own_add(&place->reuses, 1);
	return parker;
}

weft_parker *place_fail_locked(struct pool_place *place, weft_err err)
{
	struct pool_waiter *waiter;

	if (list_is_empty(&place->waiters.nodes))
		return NULL;
	waiter = waiter_of(place->waiters.nodes.next);
	waiter->failed = err;
	err_slot_copy(&waiter->failure, err_slot_self());
	return settle_locked(place, waiter);
}

/* --- fibers --------------------------------------------------------------------------------- */

weft_err pool_spawn(struct pool *pool, const char *name, weft_fiber_fn fn, void *arg)
{
	weft_scope *made = NULL, *scope;
	weft_err err = WEFT_OK;

	if (!gate_visit(&pool->gate))
		return err_setf(WEFT_ECLOSED, "the client is closed");
	rt_lock_acquire(&pool->lock);
	scope = pool->scope;
	rt_lock_release(&pool->lock);
	if (!scope) {
		err = rt_scope_create_root(&made);
		rt_lock_acquire(&pool->lock);
		if (!pool->scope && made) {
			pool->scope = made;
			made = NULL;
		}
		scope = pool->scope;
		rt_lock_release(&pool->lock);
		weft_scope_free(made);
	}
	if (scope)
		err = weft_scope_spawn(scope, name, fn, arg);
	pool_leave(pool);
	return err;
}

/* --- dials ---------------------------------------------------------------------------------- */

/* It is over: out of the place's numbers. *parker: whom to wake. */
static void dial_settle(struct pool_dial *dial, struct pool_conn *conn, weft_err err)
{
	struct pool_place *place = dial->place;
	weft_parker *parker;

	rt_lock_acquire(&place->waiters.lock);
	list_remove(&dial->link);
	place->dialling--;
	if (conn) {
		parker = place_hand_locked(place, conn);
	} else {
		place->conns--;
		parker = place->waiting > place->dialling ? place_fail_locked(place, err) : NULL;
	}
	rt_lock_release(&place->waiters.lock);
	counter_sub(&place->pool->dialling, 1);
	if (conn && !parker)
		pool_put(place->pool, conn);
	if (parker)
		weft_unpark(parker);
}

static void dial_free(struct pool_dial *dial)
{
	place_unref(dial->place);
	mem_free(dial);
}

static void dial_made(struct pool_dial *dial, struct pool_conn *conn)
{
	unsigned worker = weft_worker_self();

	place_ref(dial->place);
	conn->place = dial->place;
	conn->lane = worker == UINT32_MAX ? 0 : worker;
	list_init(&conn->link);
	dial_settle(dial, conn, WEFT_OK);
	dial_free(dial);
}

static void dial_failed(struct pool_dial *dial, weft_err err)
{
	struct pool_place *place = dial->place;

	counter_add(&place->pool->dials_failed, 1);
	dial_settle(dial, NULL, err);
	pool_release(place->pool);
	place_feed(place);
	place_tidy(place);
	dial_free(dial);
}

static weft_err dial_fiber(void *arg)
{
	struct pool_dial *dial = arg;
	const struct pool_options *o = &dial->place->pool->options;
	struct pool_conn *conn = NULL;
	weft_err err;

	err = o->ops->dial(o->user, dial->place->context, &dial->phase, &conn,
		weft_after_ns(o->dial_timeout_ns));
	if (err)
		dial_failed(dial, err);
	else
		dial_made(dial, conn);
	return WEFT_OK; /* an error would cancel the others */
}

/* False: it could not be begun, the first waiter was told, and the caller has the place in the
 * pool's limit still. */
static bool dial_start(struct pool_dial *dial)
{
	struct pool *pool = dial->place->pool;
	weft_err err;

	counter_add(&pool->dials, 1);
	counter_add(&pool->dialling, 1);
	err = pool_spawn(pool, "http dial", dial_fiber, dial);
	if (!err)
		return true;
	counter_add(&pool->dials_failed, 1);
	dial_settle(dial, NULL, err);
	dial_free(dial);
	return false;
}

/* --- the limit of all ----------------------------------------------------------------------- */

void place_sate_locked(struct pool_place *place)
{
	struct pool *pool = place->pool;

	if (!place->starving)
		return;
	place->starving = false;
	list_remove(&place->starving_link);
	word_put(&pool->starved, word_peek(&pool->starved) - 1);
}

/* A place in the pool's limit, or the place starves for one. *is_first: and no other did. */
static bool reserve_or_starve(struct pool_place *place, bool *is_first)
{
	struct pool *pool = place->pool;
	uint32_t starved;
	bool reserved;

	rt_lock_acquire(&pool->lock);
	reserved = pool->conns < pool->options.conns_max;
	if (reserved) {
		pool->conns++;
	} else if (!place->starving) {
		place->starving = true;
		list_push_back(&pool->starving, &place->starving_link);
		starved = word_peek(&pool->starved);
		word_put(&pool->starved, starved + 1);
		*is_first |= starved == 0;
	}
	rt_lock_release(&pool->lock);
	return reserved;
}

/* The one that has starved longest, with a reference; NULL: none, and the reservation is gone. */
static struct pool_place *starving_or_back(struct pool *pool)
{
	struct pool_place *place = NULL;

	rt_lock_acquire(&pool->lock);
	if (list_is_empty(&pool->starving)) {
		pool->conns--;
	} else {
		place = container_of(pool->starving.next, struct pool_place, starving_link);
		place_ref(place);
	}
	rt_lock_release(&pool->lock);
	return place;
}

/* With the place's lock held, and a place in the pool's limit. NULL: no memory. */
static struct pool_dial *dial_make_locked(struct pool_place *place)
{
	struct pool_dial *dial = mem_calloc(1, sizeof(*dial));

	if (!dial)
		return NULL;
	place_ref(place);
	dial->place = place;
	list_push_back(&place->dials, &dial->link);
	place->conns++;
	place->dialling++;
	return dial;
}

/* The place starves no more, or as the last one if it wants more than this one. */
static bool use_reservation(struct pool_place *place)
{
	struct pool *pool = place->pool;
	weft_parker *parker = NULL;
	struct pool_dial *dial = NULL;

	rt_lock_acquire(&place->waiters.lock);
	if (may_dial_locked(place)) {
		dial = dial_make_locked(place);
		if (!dial) /* one waiter less: who calls again comes to an end */
			parker = place_fail_locked(place, err_set(WEFT_ENOMEM));
	}
	rt_lock_acquire(&pool->lock);
	if (!may_dial_locked(place)) {
		place_sate_locked(place);
	} else if (place->starving) {
		list_remove(&place->starving_link);
		list_push_back(&pool->starving, &place->starving_link);
	}
	rt_lock_release(&pool->lock);
	rt_lock_release(&place->waiters.lock);
	if (parker)
		weft_unpark(parker);
	return dial && dial_start(dial);
}

void pool_release(struct pool *pool)
{
	struct pool_place *place;
	bool used = false;

	while (!used && (place = starving_or_back(pool))) {
		used = use_reservation(place);
		place_unref(place);
	}
}

static bool evict_from(void *arg, weft_map_key key, uint64_t value)
{
	struct pool_conn **found = arg;

	(void)key;
	*found = place_pop(weft_map_pointer(value), PLACE_REMOVE);
	return !*found;
}

void pool_evict(struct pool *pool, struct pool_place *only)
{
	while (word_get(&pool->starved)) {
		struct pool_conn *found = NULL;
		weft_err err = WEFT_OK;

		if (only)
			found = place_pop(only, PLACE_REMOVE);
		else
			err = weft_map_iterate(pool->places, evict_from, &found);
		if (!found) {
			(void)err; /* no memory for the walk: as if nothing was idle */
			return;
		}
		counter_add(&pool->evicted, 1);
		pool_drop(pool, found);
	}
}

/* --- feeding -------------------------------------------------------------------------------- */

/* With the place's lock held: who wants new ones only has no use for one that is idle, but for
 * the room that it leaves. */
static bool wants_idle_locked(const struct pool_place *place)
{
	if (place->waiting > place->dialling &&
		place->conns >= place->pool->options.conns_per_place_max)
		return true;
	list_for_each(link, &place->waiters.nodes)
		if (!waiter_of(link)->fresh)
			return true;
	return false;
}

/* Idle ones to who waits. */
static void feed_idle(struct pool_place *place)
{
	struct pool_conn *conn;

	do {
		weft_parker *parker = NULL;

		conn = NULL;
		rt_lock_acquire(&place->waiters.lock);
		if (wants_idle_locked(place))
			conn = place_pop(place, PLACE_REMOVE);
		if (conn)
			parker = place_hand_locked(place, conn);
		rt_lock_release(&place->waiters.lock);
		if (parker)
			weft_unpark(parker);
		else if (conn) /* they want new ones: makes room */
			pool_close_conn(place->pool, conn);
	} while (conn);
}

/* One more dial if one is wanted and allowed. True: look again. *is_first: as reserve_or_starve. */
static bool feed_dial(struct pool_place *place, bool *reserved, bool *is_first)
{
	struct pool_dial *dial = NULL;
	weft_parker *parker = NULL;
	bool may;

	rt_lock_acquire(&place->waiters.lock);
	may = may_dial_locked(place) &&
		(*reserved || (*reserved = reserve_or_starve(place, is_first)));
	if (may) {
		dial = dial_make_locked(place);
		if (!dial)
			parker = place_fail_locked(place, err_set(WEFT_ENOMEM));
	}
	rt_lock_release(&place->waiters.lock);
	if (parker)
		weft_unpark(parker);
	if (dial && dial_start(dial))
		*reserved = false;
	return may;
}

void place_feed(struct pool_place *place)
{
	bool reserved = false, is_first = false;

	if (!wait_any(&place->waiters))
		return;
	feed_idle(place);
	while (feed_dial(place, &reserved, &is_first))
		;
	if (reserved)
		pool_release(place->pool);
	if (is_first)
		pool_evict(place->pool, NULL);
}
