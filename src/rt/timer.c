/* SPDX-License-Identifier: MIT */
/*
 * A worker's timers: a heap with lazy keys. A deadline that moves later, or away, only
 * changes timer->deadline; the heap learns of it when the old key comes up. So a loop of
 * reads with a time-out touches the heap once a time-out, not once a read.
 */
#include "rt/fiber.h"

#define FAR_NS INT64_C(1000000000) /* waking once in that time costs nothing */

weft_err rt_timer_arm(struct rt_worker *worker, struct rt_timer *timer, int64_t deadline)
{
	timer->deadline = deadline;
	if (deadline == INT64_MAX)
		return WEFT_OK;
	if (!heap_contains(&timer->node)) {
		timer->node.key = deadline;
		timer->node.seq = worker->timer_seq++;
		if (!heap_push(&worker->timers, &timer->node)) {
			timer->deadline = INT64_MAX;
			return err_set(WEFT_ENOMEM);
		}
		return WEFT_OK;
	}
	if (deadline < timer->node.key)
		heap_rekey(&worker->timers, &timer->node, deadline, worker->timer_seq++);
	return WEFT_OK;
}

void rt_timer_disarm(struct rt_timer *timer)
{
	timer->deadline = INT64_MAX;
}

void rt_timer_remove(struct rt_worker *worker, struct rt_timer *timer)
{
	timer->deadline = INT64_MAX;
	if (heap_contains(&timer->node))
		heap_remove(&worker->timers, &timer->node);
}

/* What the heap did not know of a timer that has moved later, or away. */
static void learn(struct rt_worker *worker, struct rt_timer *timer)
{
	if (timer->deadline == INT64_MAX)
		heap_remove(&worker->timers, &timer->node);
	else
		heap_rekey(&worker->timers, &timer->node, timer->deadline, worker->timer_seq++);
}

/* Keys are at most too early: those behind now need not be right. The others are put right
 * before they fire, so that timers fire in the order of their deadlines. */
void rt_timers_expire(struct rt_worker *worker, int64_t now)
{
	struct heap_node *node;

	while ((node = heap_peek(&worker->timers)) && node->key <= now) {
		struct rt_timer *timer = container_of(node, struct rt_timer, node);

		if (timer->deadline != node->key) {
			learn(worker, timer);
			continue;
		}
		heap_remove(&worker->timers, node);
		timer->deadline = INT64_MAX;
		rt_count(&worker->counters.timers_fired);
		timer->fire(worker, timer);
	}
}

int64_t rt_timers_next(struct rt_worker *worker)
{
	struct heap_node *node;

	while ((node = heap_peek(&worker->timers))) {
		struct rt_timer *timer = container_of(node, struct rt_timer, node);

		if (timer->deadline == node->key)
			return node->key;
		/* A key that is far off may be wrong: the worker wakes once for it. */
		if (!worker->is_sim && node->key - worker->now > FAR_NS)
			return node->key;
		learn(worker, timer);
	}
	return IO_FOREVER;
}
