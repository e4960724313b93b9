/* SPDX-License-Identifier: MIT */
/* A stand-in for reclamation, which has models of its own: each thread is a worker, and what
 * was retired is freed when the program says so. */
#include "rt/reclaim.h"
#include "model.h"
#include "retired.h"

_Thread_local struct reclaim_self reclaim_self;
struct reclaim_clock reclaim_clock;

static struct reclaim_node *retired[MODEL_THREADS_MAX + 1];

void reclaim_retire(struct reclaim_node *node, void (*fn)(struct reclaim_node *node))
{
	node->fn = fn;
	node->next = retired[model_self()];
	retired[model_self()] = node;
}

void reclaim_pin_slow(void) {}

void reclaim_unpin_slow(void) {}

void reclaim_help_slow(void) {}

void retired_setup(void)
{
	reclaim_self.mode = RECLAIM_WORKER;
	model_per_thread(&reclaim_self, sizeof(reclaim_self));
}

void retired_free(void)
{
	for (unsigned t = 0; t <= MODEL_THREADS_MAX; t++)
		while (retired[t]) {
			struct reclaim_node *node = retired[t];

			retired[t] = node->next;
			node->fn(node);
		}
}
