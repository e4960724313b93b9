/* SPDX-License-Identifier: MIT */
#ifndef RETIRED_H
#define RETIRED_H

/* For tests of reclamation: things that know whether they are freed, and somebody else who
 * holds a guard. */
#include "rt/reclaim.h"

#include <weft/weft.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define THING_ALIVE 0x5afec0deu

struct thing {
	struct reclaim_node node;
	_Atomic unsigned alive; /* THING_ALIVE */
};

extern _Atomic int things_live, things_freed;

struct thing *thing_new(void);
/* Fails the test when it is freed already. */
void thing_free(struct reclaim_node *node);
/* As many new ones, with a help after each. */
void things_retire(int count);

struct reclaim_stats stats_now(void);

/* Ways in which plain threads take part. */
enum barrier { MEMBARRIER, NO_MEMBARRIER, NO_RECORD, BARRIERS };

/* Before the first guard. Where filters are not to be had, it goes on with the barrier. */
void take_part(enum barrier way);

/* Waits; the test fails when that takes too long. */
void wait_until(bool (*holds)(void *arg), void *arg);
bool none_is_live(void *arg);

/* Somebody else: a plain thread, or a fiber on worker 1. */
enum order {
	WAIT,
	GUARD, /* inside one; neither parks nor yields */
	BUSY,  /* the same without a guard */
	LEAVE, /* left it; still busy */
	YIELD, /* busy, but its worker's loop comes round */
	PARK,
	END,
};

struct other {
	_Atomic int order, done; /* enum order */
	_Atomic(weft_parker *) parker;
	pthread_t thread;
};

void other_start(struct other *o, bool is_fiber);
/* Returns when it does so. */
void other_tell(struct other *o, enum order order);
void other_end(struct other *o, bool is_fiber);

/* For results that do not matter. */
#define IGNORE(call)                       \
	do {                               \
		weft_err ignored = (call); \
		(void)ignored;             \
	} while (0)

#endif
