/* SPDX-License-Identifier: MIT */
#ifndef PLAIN_H
#define PLAIN_H

/* A test in a plain thread: the runtime has one of its own, and the test no fiber. */
#include "support/ends.h"

#include <pthread.h>
#include <semaphore.h>

struct plain {
	pthread_t thread;
	sem_t is_up, is_over;
	int fds;
};

static weft_err plain_wait_offloaded(void *arg)
{
	struct plain *p = arg;

	while (sem_wait(&p->is_over) != 0)
		;
	return WEFT_OK;
}

static weft_err plain_main(void *arg)
{
	struct plain *p = arg;

	ck_assert_int_eq(sem_post(&p->is_up), 0);
	OK(weft_offload(plain_wait_offloaded, p, NULL, WEFT_FOREVER));
	while (weft_fiber_count() > 1)
		OK(weft_sleep_ms(1));
	return WEFT_OK;
}

static void *plain_thread(void *arg)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;

	options.workers = 2;
	OK(weft_run(plain_main, arg, &options));
	return NULL;
}

static inline void plain_start(struct plain *p)
{
	p->fds = t_fds_open();
	ck_assert_int_eq(sem_init(&p->is_up, 0, 0), 0);
	ck_assert_int_eq(sem_init(&p->is_over, 0, 0), 0);
	ck_assert_int_eq(pthread_create(&p->thread, NULL, plain_thread, p), 0);
	while (sem_wait(&p->is_up) != 0)
		;
}

/* Waits for every fiber; descriptors must be back. */
static inline void plain_end(struct plain *p)
{
	ck_assert_int_eq(sem_post(&p->is_over), 0);
	ck_assert_int_eq(pthread_join(p->thread, NULL), 0);
	ck_assert_int_eq(sem_destroy(&p->is_up), 0);
	ck_assert_int_eq(sem_destroy(&p->is_over), 0);
	ck_assert_int_eq(t_fds_open(), p->fds);
	ck_assert_int_eq(t_children(), 0);
}

#endif
