/* SPDX-License-Identifier: MIT */
#ifndef THREADS_H
#define THREADS_H

/* The same work in several pinned threads at once: ns from when all may begin until the last
 * has ended. */
#include "bench.h"

#include <stdatomic.h>

enum { BENCH_THREADS_MAX = 64 };

/* nth: 0 .. threads - 1. */
typedef void bench_share(void *arg, unsigned nth, uint64_t n);

struct bench_crew {
	bench_share *share;
	void *arg;
	uint64_t each;
	unsigned threads;
	_Atomic unsigned ready;
	_Atomic int64_t begin_ns; /* 0: not yet */
};

struct bench_member {
	struct bench_crew *crew;
	unsigned nth;
	pthread_t thread;
	int64_t end_ns;
};

static inline void bench_crew_begin(struct bench_crew *crew)
{
	/* acq_rel; the last of these sees that all are there */
	if (atomic_fetch_add_explicit(&crew->ready, 1, memory_order_acq_rel) + 1 == crew->threads)
		/* release; pairs with the acquire below: lets all begin */
		atomic_store_explicit(&crew->begin_ns, bench_now_ns(), memory_order_release);
	/* acquire; pairs with the release above */
	while (!atomic_load_explicit(&crew->begin_ns, memory_order_acquire))
		sched_yield();
}

/* When all have ended: ns as if exactly n operations had been done. */
static inline double bench_crew_ns(
	const struct bench_crew *crew, const struct bench_member *members, uint64_t n)
{
	/* relaxed; all have ended */
	int64_t begin = atomic_load_explicit(&crew->begin_ns, memory_order_relaxed), end = begin;
	for (unsigned i = 0; i < crew->threads; i++)
		end = members[i].end_ns > end ? members[i].end_ns : end;
	return (double)(end - begin) * (double)n / (double)(crew->each * crew->threads);
}

static inline void *bench_member_main(void *arg)
{
	struct bench_member *self = arg;
	bench_pin((int)self->nth);
	bench_crew_begin(self->crew);
	self->crew->share(self->crew->arg, self->nth, self->crew->each);
	self->end_ns = bench_now_ns();
	return NULL;
}

static inline double bench_threads(unsigned threads, bench_share *share, void *arg, uint64_t n)
{
	struct bench_crew crew = { .share = share, .arg = arg, .threads = threads };
	struct bench_member members[BENCH_THREADS_MAX];
	crew.each = n > threads ? n / threads : 1;
	bench_usable();
	for (unsigned i = 0; i < threads; i++) {
		members[i] = (struct bench_member){ .crew = &crew, .nth = i };
		if (pthread_create(&members[i].thread, NULL, bench_member_main, &members[i]))
			bench_die("pthread_create");
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(members[i].thread, NULL);
	return bench_crew_ns(&crew, members, n);
}
#endif
