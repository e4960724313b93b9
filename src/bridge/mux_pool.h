/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_MUX_POOL_H
#define BRIDGE_MUX_POOL_H

/*
 * The mux sessions that all of a bridge's sessions share as TO. Whoever keeps a mux
 * session up adds it, and removes it once it is dead; whoever wants a stream gets one on
 * the session with the fewest, and waits while there is none. Any fiber or thread.
 */
#include "base/list.h"
#include "base/refcount.h"
#include "rt/lock.h"

#include <weft/mux.h>
#include <weft/watch.h>

#include <stdbool.h>

/* A mux session, shared by the pool's owner and by those who open a stream right now. */
struct mux_link {
	struct list node; /* in the pool's list, or in none; its lock */
	struct refcount refs;
	weft_mux *mux;	 /* owned */
	unsigned worker; /* of mux's fibers */
};

struct mux_pool {
	struct rt_lock lock;
	struct list links;   /* those that can open streams; lock */
	weft_watch *changed; /* of err: sent when links or err have changed */
	weft_err err;	     /* why there will never be a link; lock */
	char *detail;	     /* of the last failure to get one; owned, may be NULL; lock */
	const char *name;    /* what is at the other end, for errors; borrowed */
};

/* name must outlive the pool. Errors: WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err mux_pool_init(struct mux_pool *pool, const char *name);
/* No link is left, and nobody waits. A zeroed struct is allowed. */
void mux_pool_fini(struct mux_pool *pool);

/* The link owns mux from now on, also on an error; *out is one reference. On mux's worker.
 * Errors: WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err mux_pool_add_own(
	struct mux_pool *pool, weft_mux *mux, struct mux_link **out);
/* No more streams on it. Idempotent. */
void mux_pool_remove(struct mux_pool *pool, struct mux_link *link);
/* The last one frees the mux session. */
void mux_link_unref(struct mux_link *link);
/* The calling fiber's last error is why there is no link just now; those who wait in vain
 * will say so. is_final: there will never be one, and they get this error. */
void mux_pool_failed(struct mux_pool *pool, weft_err err, bool is_final);

/* The worker of the link that the next stream may get; UINT_MAX: there is none. */
unsigned mux_pool_worker(struct mux_pool *pool);
/* A stream on one of the links, as a conn. Errors: WEFT_ETIMEDOUT (no link came),
 * WEFT_ECANCELED, WEFT_ECAPACITY (streams), WEFT_ENOMEM; mux_pool_failed's. */
WEFT_MUST_CHECK weft_err mux_pool_open(struct mux_pool *pool, weft_conn **out, weft_deadline until);

#endif
