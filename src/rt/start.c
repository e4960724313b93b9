/* SPDX-License-Identifier: MIT */
/* weft_run in a thread of its own, for programs of plain threads. */
#include "base/err.h"
#include "rt/fiber.h"

#include <pthread.h>
#include <semaphore.h>

struct started {
	pthread_t thread;
	weft_run_options options;
	const weft_run_options *given; /* &options or NULL */
	sem_t is_up;		       /* or has failed; fixed from then on: */
	weft_parker *first;	       /* the first fiber's; NULL: failed */
	_Atomic uint32_t is_over;
	weft_err err;		/* of weft_run; fixed once joined */
	struct err_slot detail; /* its text */
};

/* Starting and stopping, one at a time. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct started self; /* under mutex; is_started: the thread's as well */
static bool is_started;

/*
 * While it runs, so do the workers. Shielded: a fiber of the root scope that fails cancels the
 * others, and weft_stop says so; it does not end the runtime under the threads that use it.
 */
static weft_err stay_up(void *arg)
{
	struct started *s = arg;

	s->first = weft_parker_self();
	(void)sem_post(&s->is_up);
	weft_shield_begin();
	/* acquire; pairs with weft_stop: what was done before it */
	while (!atomic_load_explicit(&s->is_over, memory_order_acquire))
		(void)rt_park(WEFT_FOREVER, "until weft_stop");
	weft_shield_end();
	return WEFT_OK;
}

static void *run_thread(void *arg)
{
	struct started *s = arg;

	s->err = weft_run(stay_up, s, s->given);
	if (s->err)
		err_slot_copy(&s->detail, err_slot_self());
	if (!s->first)
		(void)sem_post(&s->is_up);
	return NULL;
}

/* What weft_run returned becomes the caller's. */
static weft_err join(struct started *s)
{
	weft_err err;

	(void)pthread_join(s->thread, NULL);
	(void)sem_destroy(&s->is_up);
	err = s->err;
	if (err)
		err_slot_copy(err_slot_self(), &s->detail);
	err_slot_fini(&s->detail);
	return err;
}

static weft_err start(const weft_run_options *options)
{
	struct started *s = &self;
	int rc;

	if (is_started)
		return err_setf(WEFT_EDUPLICATE, "weft_start: it was called before");
	*s = (struct started){ .given = options ? &s->options : NULL };
	if (options)
		s->options = *options;
	if (sem_init(&s->is_up, 0, 0) != 0)
		return err_set(WEFT_ECAPACITY);
	rc = pthread_create(&s->thread, NULL, run_thread, s);
	if (rc != 0) {
		(void)sem_destroy(&s->is_up);
		return err_sys(rc, "weft_start: start a thread");
	}
	while (sem_wait(&s->is_up) != 0) /* a signal */
		;
	if (!s->first)
		return join(s);
	is_started = true;
	return WEFT_OK;
}

static weft_err stop(void)
{
	struct started *s = &self;

	if (!is_started)
		return err_setf(WEFT_EINVAL, "weft_stop: nothing was started");
	is_started = false;
	/* release; pairs with stay_up */
	atomic_store_explicit(&s->is_over, 1, memory_order_release);
	weft_unpark(s->first);
	return join(s);
}

weft_err weft_start(const weft_run_options *options)
{
	weft_err err;

	if (weft_in_fiber())
		return err_setf(WEFT_EINVAL, "weft_start: called from a fiber");
	(void)pthread_mutex_lock(&mutex);
	err = start(options);
	(void)pthread_mutex_unlock(&mutex);
	return err;
}

weft_err weft_stop(void)
{
	weft_err err;

	if (weft_in_fiber())
		return err_setf(WEFT_EINVAL, "weft_stop: called from a fiber");
	(void)pthread_mutex_lock(&mutex);
	err = stop();
	(void)pthread_mutex_unlock(&mutex);
	return err;
}
