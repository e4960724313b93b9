/* SPDX-License-Identifier: MIT */
#include "support/crew.h"

#include "support/t.h"

#include <pthread.h>

#define MEMBERS_MAX 64
#define SETTLE_YIELDS 20

struct crew {
	enum crew_mode mode;
	const struct crew_member *members;
	size_t count;
	size_t step; /* 2: every other one is a fiber */
};

static void *thread_main(void *arg)
{
	const struct crew_member *member = arg;
	weft_err err = member->body(member->arg);

	ck_assert_msg(err == WEFT_OK, "a thread: %s", weft_err_name(err));
	return NULL;
}

static weft_err fibers_main(void *arg)
{
	const struct crew *crew = arg;
	unsigned workers = crew->mode == CREW_SIM ? 1 : weft_worker_count();
	unsigned worker = 0;
	weft_scope *scope;
	weft_err err = weft_scope_create(&scope);

	if (err != WEFT_OK)
		return err;
	for (size_t i = 0; i < crew->count && err == WEFT_OK; i += crew->step) {
		const struct crew_member *m = &crew->members[i];

		err = workers > 1
			? weft_scope_spawn_on(scope, worker++ % workers, "crew", m->body, m->arg)
			: weft_scope_spawn(scope, "crew", m->body, m->arg);
	}
	if (err == WEFT_OK)
		err = weft_scope_wait(scope, WEFT_FOREVER);
	weft_scope_free(scope);
	return err;
}

weft_err crew_main(unsigned workers, weft_err (*fn)(void *arg), void *arg)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;

	options.workers = workers;
	return weft_run(fn, arg, &options);
}

static void threads_start(pthread_t *threads, const struct crew *crew, size_t from, size_t step)
{
	for (size_t i = from; i < crew->count; i += step) {
		struct crew_member *member = (struct crew_member *)(uintptr_t)&crew->members[i];

		ck_assert_int_eq(pthread_create(&threads[i], NULL, thread_main, member), 0);
	}
}

void crew_run(enum crew_mode mode, uint64_t seed, const struct crew_member *members, size_t count)
{
	struct crew crew = { mode, members, count, mode == CREW_MIXED ? 2 : 1 };
	weft_sim_options sim = WEFT_SIM_OPTIONS_DEFAULT;
	pthread_t threads[MEMBERS_MAX];
	size_t from = mode == CREW_THREADS ? 0 : mode == CREW_MIXED ? 1 : count;
	weft_err err = WEFT_OK;

	ck_assert_uint_le(count, MEMBERS_MAX);
	threads_start(threads, &crew, from, crew.step);
	sim.seed = seed;
	if (mode == CREW_SIM)
		err = weft_sim_run(fibers_main, &crew, &sim, NULL);
	else if (mode != CREW_THREADS)
		err = crew_main(mode == CREW_FIBERS_1 ? 1 : 2, fibers_main, &crew);
	ck_assert_msg(err == WEFT_OK, "mode %d: %s", (int)mode, weft_error_detail());
	for (size_t i = from; i < count; i += crew.step)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

void crew_settle(void)
{
	for (int i = 0; i < SETTLE_YIELDS; i++)
		(void)weft_yield();
}
