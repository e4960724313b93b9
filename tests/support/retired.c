/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "support/retired.h"

#include "base/list.h"
#include "support/sandbox.h"
#include "support/t.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#define GIVE_UP_NS INT64_C(20000000000)

_Atomic int things_live, things_freed;

struct thing *thing_new(void)
{
	struct thing *t = malloc(sizeof(*t));

	T_OUGHT(t != NULL);
	t->alive = THING_ALIVE;
	atomic_fetch_add(&things_live, 1);
	return t;
}

void thing_free(struct reclaim_node *node)
{
	struct thing *t = container_of(node, struct thing, node);

	T_OUGHT(t->alive == THING_ALIVE);
	t->alive = 0;
	free(t);
	atomic_fetch_sub(&things_live, 1);
	atomic_fetch_add(&things_freed, 1);
}

void things_retire(int count)
{
	for (int i = 0; i < count; i++) {
		reclaim_retire(&thing_new()->node, thing_free);
		reclaim_help();
	}
}

struct reclaim_stats stats_now(void)
{
	struct reclaim_stats s;

	reclaim_stats_get(&s);
	return s;
}

void take_part(enum barrier way)
{
	if (way == NO_MEMBARRIER)
		(void)membarrier_forbid();
	reclaim_limits_set(0, way == NO_RECORD);
}

void wait_until(bool (*holds)(void *arg), void *arg)
{
	int64_t end = t_now_ns() + GIVE_UP_NS;

	while (!holds(arg)) {
		if (t_now_ns() > end)
			ck_abort_msg("waited in vain");
		if (weft_in_fiber())
			(void)weft_yield();
		else
			(void)usleep(200);
	}
}

bool none_is_live(void *arg)
{
	(void)arg;
	return things_live == 0;
}

static bool is_done(void *arg)
{
	struct other *o = arg;

	return o->done == o->order;
}

void other_tell(struct other *o, enum order order)
{
	o->order = (int)order;
	if (o->parker)
		weft_unpark(o->parker);
	wait_until(is_done, o);
}

static void obey(struct other *o)
{
	int guarded = 0;

	for (;;) {
		int order = o->order;

		if (order == END)
			break;
		/* the first guard of a thread is made in another way than later ones */
		if (order == GUARD && !guarded++) {
			reclaim_enter();
			reclaim_leave();
			reclaim_enter();
		}
		if (order == LEAVE && guarded) {
			reclaim_leave();
			guarded = 0;
		}
		o->done = order;
		while (o->order == order) {
			if (order == PARK)
				IGNORE(weft_park(WEFT_FOREVER));
			else if (order == YIELD)
				(void)weft_yield();
			else
				sched_yield();
		}
	}
	if (guarded)
		reclaim_leave();
	o->done = END;
}

static void *other_thread(void *arg)
{
	obey(arg);
	return NULL;
}

static weft_err other_fiber(void *arg)
{
	struct other *o = arg;

	o->parker = weft_parker_self();
	obey(o);
	return WEFT_OK;
}

void other_start(struct other *o, bool is_fiber)
{
	*o = (struct other){ .order = WAIT };
	if (is_fiber)
		ck_assert_int_eq(weft_spawn_on(1, NULL, "other", other_fiber, o), WEFT_OK);
	else
		ck_assert_int_eq(pthread_create(&o->thread, NULL, other_thread, o), 0);
}

void other_end(struct other *o, bool is_fiber)
{
	other_tell(o, END);
	if (!is_fiber)
		ck_assert_int_eq(pthread_join(o->thread, NULL), 0);
}
