/* SPDX-License-Identifier: MIT */
#ifndef RT_IDLE_H
#define RT_IDLE_H

/*
 * How long a worker that has nothing to do looks for work before it sleeps.
 *
 * A sleep that another core must end takes 20 to 35 us, and costs the core some 3 us. So a
 * look that finds its work within IDLE_SHORT costs no more than a sleep, and saves those 35 us.
 * But what a worker sees when it sleeps is a wait of at least its partner's own sleep: two
 * that wait for one another in turn never find out that both would be quick. Hence:
 *
 *	SLEEP	sleeps at once, and measures. When waits are of the length of a sleep or two for
 *		IDLE_STEADY turns, or get shorter on a sudden (the partner may be trying), a trial:
 *	TRY	for IDLE_TURNS turns looks as long as a partner takes to wake. If waits get short
 *		while it does, it goes on:
 *	LOOK	looks for IDLE_LOOK; back to SLEEP when waits are no longer short.
 *
 * What is looked for in vain is paid from a credit that grows with time, 1/64 of it, so that
 * a partner who always sleeps costs 1.5 % of a core, and less when it is busy otherwise.
 *
 * Costs, a wait: two readings of the clock. One owner: the worker. No time is read here.
 */
#include <stdbool.h>
#include <stdint.h>

enum {
	IDLE_SHORT = 8000,     /* ns: as much as a sleep and its wake cost this core */
	IDLE_LOOK = 20000,     /* ns: looked for while waits are short */
	IDLE_LONG = 120000,    /* ns: longer than a partner's wake and its work */
	IDLE_TURNS = 16,       /* of a trial */
	IDLE_FOUND = 4,	       /* short waits on end that make a trial succeed */
	IDLE_STEADY = 8,       /* waits below IDLE_LONG on end that make one worth it */
	IDLE_SUDDEN = 2,       /* waits on end that are much shorter than before */
	IDLE_SHARE = 64,       /* of the time is credit */
	IDLE_CREDIT = 4000000, /* ns: at most, and at first */
};

enum idle_mode { IDLE_SLEEP, IDLE_TRY, IDLE_IS_LOOKING };

struct rt_idle {
	enum idle_mode mode;
	int64_t since;	     /* when the worker ran dry */
	int64_t average;     /* of waits, each counted as IDLE_LONG at most; ns */
	int64_t credit;	     /* ns that may be looked for in vain */
	int64_t credited_at; /* when it last grew */
	unsigned steady;     /* waits below IDLE_LONG on end */
	unsigned sudden;     /* waits below five eighths of the average on end */
	unsigned turns;	     /* left of the trial */
	unsigned found;	     /* short waits of the trial on end */
};

static inline void idle_init(struct rt_idle *idle, int64_t now)
{
	*idle = (struct rt_idle){ .average = IDLE_LONG, .credit = IDLE_CREDIT, .credited_at = now };
}

static inline bool idle_may_try(const struct rt_idle *idle)
{
	if (idle->steady >= IDLE_STEADY && idle->credit >= (int64_t)IDLE_TURNS * IDLE_LONG)
		return true;
	return idle->sudden >= IDLE_SUDDEN && idle->credit >= IDLE_CREDIT / 4;
}

/* The worker runs dry at now. How long it is to look before it sleeps, ns; 0: not at all. */
static inline int64_t idle_begin(struct rt_idle *idle, int64_t now)
{
	idle->since = now;
	if (idle->mode == IDLE_IS_LOOKING)
		return IDLE_LOOK;
	if (idle->mode == IDLE_SLEEP) {
		if (!idle_may_try(idle))
			return 0;
		idle->mode = IDLE_TRY;
		idle->turns = IDLE_TURNS;
		idle->found = 0;
	}
	return IDLE_LONG;
}

/* When the first look is likely to find something: earlier ones are calls in vain. */
static inline int64_t idle_first_look(const struct rt_idle *idle)
{
	return idle->since + (idle->mode == IDLE_IS_LOOKING ? idle->average * 5 / 8 : 0);
}

static inline void idle_stop(struct rt_idle *idle)
{
	idle->mode = IDLE_SLEEP;
	idle->steady = 0;
	idle->sudden = 0;
}

static inline void idle_pay(struct rt_idle *idle, int64_t wait, int64_t now)
{
	int64_t grown = (now - idle->credited_at) / IDLE_SHARE;

	if (grown > 0) {
		idle->credit += grown;
		idle->credited_at = now;
	}
	if (idle->mode != IDLE_SLEEP && wait > IDLE_SHORT)
		idle->credit -= wait;
	if (idle->credit > IDLE_CREDIT)
		idle->credit = IDLE_CREDIT;
}

/* The wait that began with idle_begin is over, by work that came from outside. */
static inline void idle_end(struct rt_idle *idle, int64_t now)
{
	int64_t wait = now - idle->since;

	if (wait > IDLE_LONG)
		wait = IDLE_LONG;
	/* no more was looked for: one long wait among short ones is not yet a change */
	if (idle->mode == IDLE_IS_LOOKING && wait > IDLE_LOOK)
		wait = IDLE_LOOK;
	idle_pay(idle, wait, now);
	switch (idle->mode) {
	case IDLE_SLEEP:
		idle->steady = wait < IDLE_LONG ? idle->steady + 1 : 0;
		idle->sudden = wait < idle->average * 5 / 8 ? idle->sudden + 1 : 0;
		break;
	case IDLE_TRY:
		idle->found = wait <= IDLE_SHORT ? idle->found + 1 : 0;
		if (idle->found == IDLE_FOUND) {
			idle->mode = IDLE_IS_LOOKING;
			idle->average = IDLE_SHORT;
		} else if (--idle->turns == 0) {
			idle_stop(idle);
		}
		break;
	case IDLE_IS_LOOKING:
		if (idle->average > 2 * IDLE_SHORT)
			idle_stop(idle);
		break;
	}
	idle->average += (wait - idle->average) / 8;
}

#endif
