/* SPDX-License-Identifier: MIT */
#ifndef HTTP_POOL_INTERNAL_H
#define HTTP_POOL_INTERNAL_H

/* The pool's own structures; see pool.h. Locks: a place's, then the pool's; claims innermost. */
#include "base/align.h"
#include "http/pool.h"
#include "rt/reclaim.h"
#include "sync/gate.h"

/* Idle connections that one worker serves. On a line of its own. */
struct pool_lane {
	_Alignas(CACHE_APART) struct claim claim;
	struct list idle;      /* of pool_conn.link, the last one used in front; under claim */
	struct counter len;    /* of it; written under claim */
	struct counter reuses; /* connections taken from here; written under claim */
};

/* A connection on its way. */
struct pool_dial {
	struct list link; /* place->dials; under its lock */
	struct pool_place *place;
	struct pool_dial_phase phase;
};

struct pool_place {
	struct refcount refs; /* the map's, each connection's and dial's, each call's */
	struct pool *pool;
	const struct pool_ops *ops; /* fixed */
	void *context;		    /* the owner's, fixed */
	struct wait_queue waiters;  /* of pool_waiter.node; its lock is the place's */
	/* under the lock */
	size_t waiting;	   /* nodes in waiters */
	size_t conns;	   /* open or being dialled */
	size_t dialling;   /* of these */
	struct list dials; /* of pool_dial.link */
	bool dead;	   /* out of the map, or about to be: ask the map again */
	unsigned handovers;
	struct counter reuses; /* connections given from hand to hand; written under the lock */
	/* under the pool's lock */
	bool starving;
	struct list starving_link;
	/* fixed */
	struct counter idle; /* counted only where idle_per_place_max is set */
	unsigned lane_count;
	size_t key_size;
	uint8_t *key;
	struct pool_lane lanes[];
};

/* Who waits; on its stack. */
struct pool_waiter {
	struct wait_ctx ctx;
	struct wait_node node;
	bool fresh;		 /* wants a connection that nobody has used */
	struct pool_conn *conn;	 /* granted; or */
	weft_err failed;	 /* granted: why there is none, */
	struct err_slot failure; /* with its detail */
};

struct pool {
	struct reclaim_node retired; /* once it is freed */
	struct pool_options options;
	weft_map *places;
	struct gate gate;    /* visits: whoever may wait or dial; closed with the pool */
	struct word starved; /* places in starving */
	struct word reaps;   /* 1: the fiber that closes what is idle too long is there */
	struct rt_lock lock;
	/* under the lock */
	size_t conns;	      /* open or being dialled */
	struct list starving; /* places that would dial, but for conns_max; in order */
	weft_scope *scope;    /* of all its fibers; NULL until the first */
	uint64_t reuses_past; /* of places that are gone */
	/* counted where it happens, none of them in an idle hit; not_reused: of the lanes' and the
	 * places' reuses */
	struct counter dials, dials_failed, waits, expired, evicted, dialling, waiting, not_reused;
};

static inline bool pool_is_closed(const struct pool *pool)
{
	return gate_word(&pool->gate) & GATE_CLOSED;
}

static inline void pool_leave(struct pool *pool)
{
	if (gate_leave(&pool->gate, GATE_VISIT) == GATE_LAST)
		gate_finish(&pool->gate);
}

/* pool.c */
/* As pool_drop, but nobody of its own place is given what becomes free by that. */
void pool_close_conn(struct pool *pool, struct pool_conn *conn);

/* pool_place.c */
/* A reference; makes it if there is none. */
WEFT_MUST_CHECK weft_err place_get(
	struct pool_place **out, struct pool *pool, const struct pool_request *request);
void place_ref(struct pool_place *place);
void place_unref(struct pool_place *place);
/* Takes it out of the map if nothing holds it there. */
void place_tidy(struct pool_place *place);
enum place_pop {
	PLACE_TAKE,   /* to use it; NULL may mean that one came just now */
	PLACE_REMOVE, /* looks behind every claim, see the head of pool_place.c; not counted */
};
/* The one used last, first of the caller's own lane. NULL: none. */
struct pool_conn *place_pop(struct pool_place *place, enum place_pop how);
void place_push(struct pool_place *place, struct pool_conn *conn);
/* Those idle since before that, oldest first; NULL: none. *next: when the oldest that stays began
 * to be idle, if that is earlier. */
struct pool_conn *place_pop_old(struct pool_place *place, int64_t before, int64_t *next);
weft_map_key place_key(const struct pool_key *key);

/* pool_dial.c */
/* Gives idle connections to who waits, and dials for the rest as far as the limits allow. */
void place_feed(struct pool_place *place);
/* A place in the pool's limit is free: to who starves, or back. */
void pool_release(struct pool *pool);
/* Closes idle connections for those who starve, of one place, or of any (NULL). The walk over all
 * is for the first who starves: as long as anybody does, whoever pushes one sees to it. */
void pool_evict(struct pool *pool, struct pool_place *only);
/* With the place's lock held: out of the list; a place that wants no more starves no more, or an
 * idle connection would be closed for nobody. */
void place_leave_locked(struct pool_place *place, struct pool_waiter *waiter);
/* With the pool's lock held: it does not starve. */
void place_sate_locked(struct pool_place *place);
/* With the place's lock held: the first who can use it gets it; its parker, NULL: nobody can. */
weft_parker *place_hand_locked(struct pool_place *place, struct pool_conn *conn);
/* With the place's lock held: the first is told err, with the caller's detail; its parker, NULL:
 * nobody waits. */
weft_parker *place_fail_locked(struct pool_place *place, weft_err err);
/* A fiber of the pool's on the caller's worker. Errors: as weft_scope_spawn; WEFT_ECLOSED. */
WEFT_MUST_CHECK weft_err pool_spawn(
	struct pool *pool, const char *name, weft_fiber_fn fn, void *arg);

/* pool_reap.c */
/* Something is idle: sees to it that it does not stay for ever. */
void pool_reap_start(struct pool *pool);
/* Closes everything idle. */
void pool_sweep(struct pool *pool);

#endif
