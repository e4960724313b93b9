/* SPDX-License-Identifier: MIT */
#ifndef HTTP_POOL_H
#define HTTP_POOL_H

/*
 * The pool of a client's connections: found by key, used by one at a time, kept while idle.
 *
 *	pool_get   an idle connection of the key, or one that is dialled, or somebody else's when
 *	           that comes back first; waits in order of arrival
 *	pool_put   gives it back: to who waits longest, or to the idle ones
 *	pool_drop  closes it, and lets somebody else dial
 *
 * A place is what a key stands for. Its idle connections are in lanes, one a worker, so that a
 * fiber finds first what its own worker serves; plain threads are spread over the lanes. Each is a
 * list behind a claim, the last one used in front.
 *
 * Why lanes: a connection that another worker serves costs a wake of that worker a request. 16 and
 * 4 fibers on two workers of two cores did 1.4 and 1.6 times as many requests a second with lanes as
 * without (medians of 7 runs by turns, nginx on the same cores).
 *
 * Cost of an idle hit, get and put together: one look-up in the map of places (no write to shared
 * memory), and two exchanges on the lane's line. No lock, no allocation. Everything else - waiting,
 * dialling, closing, the limits - is under a short lock of the place, and of the pool for the
 * limit that all places share.
 *
 * Nothing of this knows HTTP: a connection is what the dialler made.
 */
#include "base/counter.h"
#include "base/err.h"
#include "base/list.h"
#include "base/refcount.h"
#include "sync/wait.h"
#include "sync/word.h"

#include <weft/conn.h>
#include <weft/map.h>
#include <weft/scope.h>

#define POOL_LANES_MAX 16
/* Connections of one place given from hand to hand while another place starves for the limit of
 * all; the next one is closed for it. */
#define POOL_HANDOVERS_MAX 16

struct pool;
struct pool_place;

/* Head of a connection, in the dialler's own struct. */
struct pool_conn {
	struct list link;	  /* in its lane; under the lane's claim */
	struct pool_place *place; /* held */
	unsigned lane;		  /* fixed: the worker that serves it */
	bool used;		  /* has served somebody; written by whoever has it */
	bool kept;		  /* has been idle, and may have died meanwhile */
	int64_t idle_since;	  /* valid while idle; who puts it may say: else 0, for now */
	int64_t taken_at;	  /* when get gave it away */
};

/* How far a dial is, for who waits for it: the dialler's numbers, 0 at first. */
struct pool_dial_phase {
	struct counter value;
};

/* Functions of the owner; called without locks held. */
struct pool_ops {
	/* In a fiber of its own, cancelled when the pool closes: makes a connection for the
	 * key that get was given (context: a copy's owner, see pool_request). */
	weft_err (*dial)(void *user, void *context, struct pool_dial_phase *phase,
		struct pool_conn **out, weft_deadline until);
	/* Of the place's first request: what dial needs to know; NULL: no memory. */
	void *(*context_make)(void *user, const void *from);
	void (*context_free)(void *context);
	/* Gives its descriptor back. */
	void (*close)(struct pool_conn *conn);
	/* After close: frees it. The last that the pool does of it: what it holds of the pool's
	 * owner may go with it. */
	void (*destroy)(struct pool_conn *conn);
	/* What is being waited for in that phase of a dial, as "connect". */
	const char *(*phase_text)(unsigned phase);
};

struct pool_options {
	const struct pool_ops *ops; /* borrowed for the pool's life */
	void *user;
	size_t conns_max, conns_per_place_max;
	size_t idle_per_place_max;		  /* SIZE_MAX: none */
	size_t waiters_max;			  /* a place */
	unsigned shards;			  /* of the map of places */
	int64_t idle_timeout_ns, dial_timeout_ns; /* INT64_MAX: none */
};

struct pool_key {
	const void *data;
	size_t size;
};

struct pool_request {
	struct pool_key key;
	const void *context; /* to make the place's own of */
	bool fresh;	     /* a connection that nobody has used before */
};

struct pool_stats {
	uint64_t dials, dials_failed, reuses, waits, expired, evicted;
	uint64_t conns, dialling, idle, waiting, places;
};

WEFT_MUST_CHECK weft_err pool_create(struct pool **out, const struct pool_options *options);
/* Gets fail with WEFT_ECLOSED, dials are cancelled and joined, idle connections closed, later
 * puts close. Idempotent; waits. */
void pool_close(struct pool *pool);
/* Closed before, and every connection was put or dropped. */
void pool_free(struct pool *pool);

/*
 * *out is the caller's until put or drop. Errors: WEFT_ECLOSED, WEFT_ECAPACITY (waiters),
 * WEFT_ETIMEDOUT and WEFT_ECANCELED (the detail says what was waited for), WEFT_ENOMEM, the
 * dial's.
 */
WEFT_MUST_CHECK weft_err pool_get(struct pool *pool, const struct pool_request *request,
	struct pool_conn **out, weft_deadline until);
/* What get gave serves nobody, and will be put or dropped: it is no reuse. */
void pool_not_reused(struct pool *pool, const struct pool_conn *conn);
void pool_put(struct pool *pool, struct pool_conn *conn);
void pool_drop(struct pool *pool, struct pool_conn *conn);

void pool_stats_get(struct pool *pool, struct pool_stats *out);

#endif
