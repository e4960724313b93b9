/* SPDX-License-Identifier: MIT */
/*
 * Places and their lanes.
 *
 * Why nobody is missed: whoever changes something that others look for beside the lanes (a waiter
 * that enters its list, a place that starves, a pool that closes) does it first, and looks behind
 * each lane's claim afterwards; whoever pushes a connection asks for those afterwards. A claim is
 * held by one at a time: if the look came first, its release of the claim made the change visible
 * to the push; if the push came first, the look finds the connection.
 */
#include "base/hash.h"
#include "base/mem.h"
#include "http/pool_internal.h"

#include <string.h>

#define LANES_PER_CORE 4 /* so that plain threads rarely meet */

weft_map_key place_key(const struct pool_key *key)
{
	return weft_map_bytes(key->data, key->size);
}

/* --- life ----------------------------------------------------------------------------------- */

/* A power of two. */
static unsigned lanes_wanted(void)
{
	unsigned workers = weft_worker_count(), wanted = rt_cores() * LANES_PER_CORE, lanes = 1;

	wanted = wanted > workers ? wanted : workers;
	while (lanes < wanted && lanes < POOL_LANES_MAX)
		lanes *= 2;
	return lanes;
}

static struct pool_place *place_make(struct pool *pool, const struct pool_request *request)
{
	unsigned lanes = lanes_wanted();
	size_t size = sizeof(struct pool_place) + lanes * sizeof(struct pool_lane);
	struct pool_place *place = mem_aligned(CACHE_APART, size);
	const struct pool_ops *ops = pool->options.ops;

	if (!place)
		return NULL;
	memset(place, 0, size);
	refcount_init(&place->refs, 1);
	place->pool = pool;
	place->ops = ops;
	wait_queue_init(&place->waiters);
	list_init(&place->dials);
	list_init(&place->starving_link);
	place->lane_count = lanes;
	for (unsigned i = 0; i < lanes; i++)
		list_init(&place->lanes[i].idle);
	place->key_size = request->key.size;
	place->key = mem_alloc(request->key.size);
	place->context = ops->context_make(pool->options.user, request->context);
	if (!place->key || !place->context) {
		place_unref(place);
		return NULL;
	}
	memcpy(place->key, request->key.data, request->key.size);
	return place;
}

void place_ref(struct pool_place *place)
{
	refcount_hold(&place->refs);
}

void place_unref(struct pool_place *place)
{
	if (!refcount_drop(&place->refs))
		return;
	if (place->context)
		place->ops->context_free(place->context);
	mem_free(place->key);
	mem_free(place);
}

weft_err place_get(struct pool_place **out, struct pool *pool, const struct pool_request *request)
{
	struct pool_place *place;
	uint64_t value;
	weft_err err;

	if (weft_map_get(pool->places, place_key(&request->key), &value)) {
		*out = weft_map_pointer(value);
		return WEFT_OK;
	}
	place = place_make(pool, request);
	if (!place)
		return err_setf(WEFT_ENOMEM, "out of memory");
	do {
		err = weft_map_insert(pool->places, place_key(&request->key), weft_map_word(place));
		if (err == WEFT_EDUPLICATE &&
			weft_map_get(pool->places, place_key(&request->key), &value)) {
			place_unref(place);
			place = weft_map_pointer(value);
			err = WEFT_OK;
		}
	} while (err == WEFT_EDUPLICATE);
	if (err)
		place_unref(place);
	else
		*out = place;
	return err;
}

static bool is_that(void *arg, uint64_t value)
{
	return weft_map_pointer(value) == arg;
}

void place_tidy(struct pool_place *place)
{
	struct pool *pool = place->pool;
	struct pool_key key = { place->key, place->key_size };
	uint64_t reuses = 0;
	bool ends;

	rt_lock_acquire(&place->waiters.lock);
	ends = !place->dead && place->conns == 0 && place->waiting == 0;
	place->dead |= ends;
	rt_lock_release(&place->waiters.lock);
	if (!ends)
		return;
	for (unsigned i = 0; i < place->lane_count; i++)
		reuses += counter_get(&place->lanes[i].reuses);
	reuses += counter_get(&place->reuses);
	rt_lock_acquire(&pool->lock);
	pool->reuses_past += reuses;
	place_sate_locked(place);
	rt_lock_release(&pool->lock);
	(void)weft_map_remove_if(pool->places, place_key(&key), is_that, place);
}

/* --- lanes ---------------------------------------------------------------------------------- */

static void lane_claim(struct pool_lane *lane)
{
	unsigned spins = 0;

	while (!claim_try(&lane->claim))
		(void)rt_relax(&spins, false);
}

static void lane_remove(struct pool_lane *lane, struct pool_conn *conn)
{
	list_remove(&conn->link);
	counter_own_sub(&lane->len, 1);
}

static struct pool_conn *lane_pop(struct pool_lane *lane, bool for_use)
{
	struct pool_conn *conn = NULL;

	if (!list_is_empty(&lane->idle)) {
		conn = container_of(lane->idle.next, struct pool_conn, link);
		lane_remove(lane, conn);
		if (for_use && conn->used)
			counter_own_add(&lane->reuses, 1);
	}
	claim_release(&lane->claim);
	return conn;
}

/* A fiber's own worker's; a plain thread's by what it is. */
static unsigned lane_of(const struct pool_place *place, unsigned worker)
{
	if (weft_unlikely(worker == UINT32_MAX))
		worker = (unsigned)((uint64_t)rt_self_id() * UINT64_C(0x9e3779b97f4a7c15) >> 48);
	return worker & (place->lane_count - 1);
}

static void counts_idle(struct pool_place *place, struct pool_conn *conn)
{
	if (conn && place->pool->options.idle_per_place_max != SIZE_MAX)
		counter_sub(&place->idle, 1);
}

struct pool_conn *place_pop(struct pool_place *place, enum place_pop how)
{
	unsigned first = lane_of(place, weft_worker_self()), spins = 0;
	struct pool_conn *conn = NULL;
	bool busy;

	do {
		busy = false;
		for (unsigned i = 0; i < place->lane_count && !conn; i++) {
			struct pool_lane *lane =
				&place->lanes[(first + i) & (place->lane_count - 1)];

			if (how == PLACE_TAKE && counter_get(&lane->len) == 0)
				continue;
			if (claim_try(&lane->claim))
				conn = lane_pop(lane, how != PLACE_REMOVE);
			else
				busy = true;
		}
		/* who holds a claim may be about to put one there */
		if (busy && !conn)
			(void)rt_relax(&spins, false);
	} while (busy && !conn);
	counts_idle(place, conn);
	return conn;
}

void place_push(struct pool_place *place, struct pool_conn *conn)
{
	unsigned self = weft_worker_self();
	/* to a thread all are the same: where it looks first, and few others do */
	unsigned index = lane_of(place, self == UINT32_MAX ? self : conn->lane);
	struct pool_lane *lane = &place->lanes[index];

	lane_claim(lane);
	list_push_front(&lane->idle, &conn->link);
	counter_own_add(&lane->len, 1);
	claim_release(&lane->claim);
}

struct pool_conn *place_pop_old(struct pool_place *place, int64_t before, int64_t *next)
{
	struct pool_conn *conn = NULL;

	for (unsigned i = 0; i < place->lane_count && !conn; i++) {
		struct pool_lane *lane = &place->lanes[i];

		lane_claim(lane);
		if (!list_is_empty(&lane->idle)) {
			conn = container_of(lane->idle.prev, struct pool_conn, link);
			if (conn->idle_since <= before) {
				lane_remove(lane, conn);
			} else {
				*next = conn->idle_since < *next ? conn->idle_since : *next;
				conn = NULL;
			}
		}
		claim_release(&lane->claim);
	}
	counts_idle(place, conn);
	return conn;
}
