/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * Blocking work: a bounded pool of plain threads, started when needed, gone when idle; and
 * one helper thread that lives as long as the runtime, for work that is tied to its
 * thread (a child's parent-death signal fires when the thread that made it ends).
 *
 * A job: QUEUED -> RUNNING -> DONE, or -> ABANDONED when its caller gives up. Whoever comes
 * second frees it: the caller that sees DONE, the pool that finds ABANDONED. So an
 * abandoned job never touches the caller's stack, and the pool may outlive the runtime
 * until the last such job is over.
 */
#include "base/check.h"
#include "base/mem.h"
#include "rt/fiber.h"

#include <weft/sim.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

#define IDLE_SECONDS 5 /* a thread without work ends after that */

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_ABANDONED };

struct job {
	struct list link; /* under pool lock, while queued */
	weft_err (*fn)(void *arg);
	void *arg;
	void (*abandoned)(void *arg);
	weft_parker *parker;
	_Atomic uint32_t state;
	weft_err result;     /* valid once DONE */
	struct err_slot err; /* the same */
};

struct rt_offload {
	pthread_mutex_t lock;
	pthread_cond_t work; /* a job was queued, or stop */
	pthread_cond_t left; /* a thread ended, or became busy with an abandoned job */
	struct list queue;
	size_t queue_len, queue_max;
	unsigned threads, threads_max, idle;
	unsigned refs; /* the runtime and each thread */
	bool stop;
	/* The thread that ended last, to be joined by the next that ends, or by stop: so that all
	 * are gone, with what destructors of the program's thread-local data do, when stop returns. */
	pthread_t ended;
	bool has_ended;
	bool is_left_alone; /* stop has returned: whoever still ends detaches itself */
};

static void pool_unref(struct rt_offload *p)
{
	/* lock held; released here */
	bool last = --p->refs == 0;

	pthread_mutex_unlock(&p->lock);
	if (!last)
		return;
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->left);
	pthread_mutex_destroy(&p->lock);
	mem_free(p);
}

static void job_free(struct job *job)
{
	err_slot_fini(&job->err);
	mem_free(job);
}

static void job_finish_abandoned(struct job *job)
{
	if (job->abandoned)
		job->abandoned(job->arg);
	job_free(job);
}

static void job_run(struct job *job)
{
	uint32_t expected = JOB_QUEUED;
	weft_parker *parker = job->parker;
	uint32_t old;

	/* acq_rel; pairs with the caller's exchange to ABANDONED */
	if (atomic_compare_exchange_strong_explicit(&job->state, &expected, JOB_RUNNING,
		    memory_order_acq_rel, memory_order_acquire)) {
		job->result = job->fn(job->arg);
		if (job->result)
			err_slot_copy(&job->err, err_slot_self());
		/* acq_rel: publishes the result; sees the caller's giving up */
		old = atomic_exchange_explicit(&job->state, JOB_DONE, memory_order_acq_rel);
		if (old != JOB_ABANDONED) {
			weft_unpark(parker); /* job may be gone already */
			return;
		}
	}
	job_finish_abandoned(job);
}

/* A job, or NULL when the thread is to end. Lock held. */
static struct job *take(struct rt_offload *p)
{
	struct timespec until;
	struct list *link;
	int rc = 0;

	while (!(link = list_pop_front(&p->queue)) && !p->stop && rc != ETIMEDOUT) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += IDLE_SECONDS;
		p->idle++;
		rc = pthread_cond_timedwait(&p->work, &p->lock, &until);
		p->idle--;
	}
	if (!link)
		return NULL;
	p->queue_len--;
	return container_of(link, struct job, link);
}

/* Puts a thread in place of the one that ended before it; whether there was one. Lock held. */
static bool ended_swap(struct rt_offload *p, bool has_ended, pthread_t *thread)
{
	pthread_t before = p->ended;
	bool had = p->has_ended;

	p->ended = *thread;
	p->has_ended = has_ended;
	*thread = before;
	return had;
}

static void *pool_thread(void *arg)
{
	struct rt_offload *p = arg;
	pthread_t thread = pthread_self();
	bool had = false;
	struct job *job;

	prctl(PR_SET_NAME, "weft-offload");
	pthread_mutex_lock(&p->lock);
	while ((job = take(p))) {
		pthread_mutex_unlock(&p->lock);
		job_run(job);
		pthread_mutex_lock(&p->lock);
	}
	p->threads--;
	if (p->is_left_alone)
		pthread_detach(thread);
	else
		had = ended_swap(p, true, &thread);
	pthread_cond_broadcast(&p->left);
	pool_unref(p);
	if (had)
		pthread_join(thread, NULL);
	return NULL;
}

/* Signals are for the program's threads. */
static int thread_start(void *(*fn)(void *), void *arg, pthread_t *thread)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	rc = pthread_create(thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

weft_err rt_offload_create(struct rt_offload **out, unsigned threads, unsigned queue_max)
{
	struct rt_offload *p = mem_calloc(1, sizeof(*p));
	pthread_condattr_t attr;

	if (!p)
		return err_set(WEFT_ENOMEM);
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->work, &attr);
	pthread_cond_init(&p->left, &attr);
	pthread_condattr_destroy(&attr);
	list_init(&p->queue);
	p->threads_max = threads;
	p->queue_max = queue_max;
	p->refs = 1;
	*out = p;
	return WEFT_OK;
}

/* Every caller has left: what is queued or running still is abandoned. Idle threads are
 * waited for; one inside an abandoned job is not, it frees the pool when it ends. */
void rt_offload_stop(struct rt_offload *p)
{
	struct timespec until;
	pthread_t last = pthread_self();
	struct list *link;
	bool had;

	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	while ((link = list_pop_front(&p->queue))) {
		pthread_mutex_unlock(&p->lock);
		job_finish_abandoned(container_of(link, struct job, link));
		pthread_mutex_lock(&p->lock);
	}
	p->queue_len = 0;
	pthread_cond_broadcast(&p->work);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 1;
	while (p->threads > 0)
		if (pthread_cond_timedwait(&p->left, &p->lock, &until) == ETIMEDOUT)
			break;
	p->is_left_alone = true;
	had = ended_swap(p, false, &last);
	pool_unref(p);
	if (had)
		pthread_join(last, NULL);
}

static weft_err enqueue(struct rt_offload *p, struct job *job)
{
	weft_err err = WEFT_OK;
	pthread_t thread;
	int rc = 0;

	pthread_mutex_lock(&p->lock);
	if (p->queue_len >= p->queue_max) {
		err = WEFT_ECAPACITY;
	} else {
		if (p->idle <= p->queue_len && p->threads < p->threads_max) {
			p->threads++;
			p->refs++;
			rc = thread_start(pool_thread, p, &thread);
			if (rc != 0) {
				p->threads--;
				p->refs--;
			}
		}
		/* no new thread: those there are will come to it */
		if (rc != 0 && p->threads == 0) {
			err = WEFT_ECAPACITY;
		} else {
			list_push_back(&p->queue, &job->link);
			p->queue_len++;
			pthread_cond_signal(&p->work);
		}
	}
	pthread_mutex_unlock(&p->lock);
	if (!err)
		return WEFT_OK;
	return rc ? err_sys(rc, "offload: start thread")
		  : err_setf(err, "offload: %zu requests wait already", p->queue_max);
}

static weft_err job_wait(struct job *job, weft_deadline until)
{
	weft_err err;
	uint32_t old;

	/* acquire; pairs with job_run: the result */
	while (atomic_load_explicit(&job->state, memory_order_acquire) != JOB_DONE) {
		err = rt_park(until, "offload");
		if (!err)
			continue;
		/* acq_rel: from here on the job is the pool's, unless it was done */
		old = atomic_exchange_explicit(&job->state, JOB_ABANDONED, memory_order_acq_rel);
		if (old != JOB_DONE)
			return err;
		break;
	}
	err = job->result;
	if (err)
		err_slot_copy(err_slot_self(), &job->err);
	job_free(job);
	return err;
}

static weft_err offload_simulated(
	weft_err (*fn)(void *arg), void *arg, void (*abandoned)(void *arg), weft_deadline until)
{
	int64_t at = weft_after_ns((int64_t)(weft_sim_random_below(2000000) + 1000));
	weft_err err = weft_sleep_until(until < at ? until : at);

	if (!err && until >= at)
		return fn(arg);
	if (abandoned)
		abandoned(arg);
	return err_set(err ? err : WEFT_ETIMEDOUT);
}

weft_err weft_offload(
	weft_err (*fn)(void *arg), void *arg, void (*abandoned)(void *arg), weft_deadline until)
{
	struct rt_runtime *rt = rt_runtime_self();
	struct job *job;
	weft_err err;

	if (!rt || !fn)
		return err_setf(WEFT_EINVAL,
			rt ? "offload: no function" : "offload: no runtime is running");
	if (rt->is_sim)
		return offload_simulated(fn, arg, abandoned, until);
	err = rt_check_cancelled();
	if (err) {
		if (abandoned)
			abandoned(arg);
		return err;
	}
	job = mem_calloc(1, sizeof(*job));
	if (!job)
		return err_set(WEFT_ENOMEM);
	job->fn = fn;
	job->arg = arg;
	job->abandoned = abandoned;
	job->parker = rt_parker_self();
	err = job->parker ? enqueue(rt->offload, job) : err_set(WEFT_ENOMEM);
	if (err) {
		job_free(job);
		return err;
	}
	return job_wait(job, until);
}

/* --- the helper thread ---------------------------------------------------------------- */

struct helper_call {
	struct list link;
	void (*fn)(void *arg);
	void *arg;
	weft_parker *parker;
	_Atomic uint32_t done;
};

struct rt_helper {
	pthread_mutex_t lock;
	pthread_cond_t work;
	pthread_t thread;
	struct list queue;
	bool stop;
};

static struct rt_lock helper_lock; /* over runtime->helper being made */

static void *helper_thread(void *arg)
{
	struct rt_helper *h = arg;
	struct list *link;

	prctl(PR_SET_NAME, "weft-helper");
	pthread_mutex_lock(&h->lock);
	for (;;) {
		struct helper_call *call;
		weft_parker *parker;

		link = list_pop_front(&h->queue);
		if (!link && h->stop)
			break;
		if (!link) {
			pthread_cond_wait(&h->work, &h->lock);
			continue;
		}
		pthread_mutex_unlock(&h->lock);
		call = container_of(link, struct helper_call, link);
		parker = call->parker;
		call->fn(call->arg);
		/* release; pairs with the caller's acquire: call is gone after this */
		atomic_store_explicit(&call->done, 1, memory_order_release);
		weft_unpark(parker);
		pthread_mutex_lock(&h->lock);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

static void helper_free(struct rt_helper *h)
{
	pthread_cond_destroy(&h->work);
	pthread_mutex_destroy(&h->lock);
	mem_free(h);
}

static weft_err helper_get(struct rt_runtime *rt, struct rt_helper **out)
{
	struct rt_helper *h;
	weft_err err = WEFT_OK;
	int rc;

	rt_lock_acquire(&helper_lock);
	h = rt->helper;
	if (!h) {
		h = mem_calloc(1, sizeof(*h));
		if (!h) {
			err = err_set(WEFT_ENOMEM);
			goto out;
		}
		pthread_mutex_init(&h->lock, NULL);
		pthread_cond_init(&h->work, NULL);
		list_init(&h->queue);
		rc = thread_start(helper_thread, h, &h->thread);
		if (rc != 0) {
			err = err_sys(rc, "start helper thread");
			helper_free(h);
			goto out;
		}
		rt->helper = h;
	}
	*out = h;
out:
	rt_lock_release(&helper_lock);
	return err;
}

void rt_helper_stop(struct rt_runtime *rt)
{
	struct rt_helper *h = rt->helper;

	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	pthread_cond_signal(&h->work);
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->thread, NULL);
	helper_free(h);
	rt->helper = NULL;
}

weft_err rt_call_main_thread(void (*fn)(void *arg), void *arg)
{
	struct rt_runtime *rt = rt_runtime_self();
	struct helper_call call = { .fn = fn, .arg = arg, .parker = rt_parker_self() };
	struct rt_helper *h = NULL;
	weft_err err;

	if (!rt || rt->is_sim)
		return err_setf(WEFT_EINVAL, "no runtime with threads is running");
	if (!call.parker)
		return err_set(WEFT_ENOMEM);
	err = helper_get(rt, &h);
	if (err || !h)
		return err;
	pthread_mutex_lock(&h->lock);
	list_push_back(&h->queue, &call.link);
	pthread_cond_signal(&h->work);
	pthread_mutex_unlock(&h->lock);
	weft_shield_begin();
	/* acquire; pairs with helper_thread */
	while (!atomic_load_explicit(&call.done, memory_order_acquire))
		(void)rt_park(WEFT_FOREVER, "helper");
	weft_shield_end();
	return WEFT_OK;
}
