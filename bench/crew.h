/* SPDX-License-Identifier: MIT */
#ifndef CREW_H
#define CREW_H

/* bench_threads with a fiber on a worker of its own in place of each thread. To be called
 * in a fiber of a runtime with as many workers. */
#include "must.h"
#include "threads.h"

static inline weft_err crew_fiber(void *arg)
{
	struct bench_member *self = arg;
	struct bench_crew *crew = self->crew;
	bench_crew_begin(crew);
	crew->share(crew->arg, self->nth, crew->each);
	self->end_ns = bench_now_ns();
	return WEFT_OK;
}

static inline double crew_fibers(unsigned fibers, bench_share *share, void *arg, uint64_t n)
{
	struct bench_crew crew = { .share = share, .arg = arg, .threads = fibers };
	struct bench_member members[BENCH_THREADS_MAX];
	weft_scope *scope = NULL;
	crew.each = n > fibers ? n / fibers : 1;
	must(weft_scope_create(&scope), "weft_scope_create");
	for (unsigned i = 0; i < fibers; i++) {
		members[i] = (struct bench_member){ .crew = &crew, .nth = i };
		must(weft_scope_spawn_on(scope, i, NULL, crew_fiber, &members[i]),
			"weft_scope_spawn_on");
	}
	must(weft_scope_wait(scope, WEFT_FOREVER), "weft_scope_wait");
	weft_scope_free(scope);
	return bench_crew_ns(&crew, members, n);
}
#endif
