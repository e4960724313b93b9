/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_BACKOFF_H
#define BRIDGE_BACKOFF_H

/*
 * How long to wait before trying again: a random time below a bound that doubles with
 * each try ("full jitter"), so that those who lost a server together do not come back
 * together. One owner.
 */
#include "base/random.h"

#include <stdint.h>

#define BACKOFF_MIN_NS INT64_C(100000000)   /* the first bound */
#define BACKOFF_MAX_NS INT64_C(10000000000) /* the last */

struct backoff {
	int64_t bound_ns; /* of the next wait */
	struct random random;
};

/* After something that lasted: the next wait is a short one again. */
static inline void backoff_reset(struct backoff *backoff)
{
	backoff->bound_ns = BACKOFF_MIN_NS;
}

static inline void backoff_init(struct backoff *backoff, uint64_t seed)
{
	random_seed(&backoff->random, seed);
	backoff_reset(backoff);
}

static inline int64_t backoff_next(struct backoff *backoff)
{
	int64_t wait = (int64_t)random_below(&backoff->random, (uint64_t)backoff->bound_ns + 1);

	backoff->bound_ns =
		backoff->bound_ns < BACKOFF_MAX_NS / 2 ? backoff->bound_ns * 2 : BACKOFF_MAX_NS;
	return wait;
}

#endif
