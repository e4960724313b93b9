/* SPDX-License-Identifier: MIT */
#ifndef THREADS_H
#define THREADS_H

/* Plain threads beside fibers. */
#include "support/t.h"

#include <weft/weft.h>

#include <pthread.h>

struct thread_join {
	pthread_t thread;
	void *result;
};

static inline weft_err thread_join_offloaded(void *arg)
{
	struct thread_join *join = arg;

	return pthread_join(join->thread, &join->result) == 0 ? WEFT_OK : WEFT_EINVAL;
}

/*
 * From a fiber: until the thread has ended; returns what it returned. A plain pthread_join
 * would hold up the fiber's worker, which may be the one that carries out what the thread
 * waits for.
 */
static inline void *thread_join(pthread_t thread)
{
	struct thread_join join = { thread, NULL };

	ck_assert_int_eq(weft_offload(thread_join_offloaded, &join, NULL, WEFT_FOREVER), WEFT_OK);
	return join.result;
}

#endif
