/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * Parking. The word of a parker:
 *
 *	            park                      unpark
 *	EMPTY       -> PARKED, waits          -> NOTIFIED
 *	PARKED      (can't be)                -> NOTIFIED, makes it run
 *	NOTIFIED    -> EMPTY, returns         stays
 *
 * The notification sticks, so that "condition true, unpark" against "condition false?,
 * park" loses nothing: if the unpark's exchange comes first, park finds NOTIFIED; if
 * park's comes first, unpark finds PARKED. Both exchanges are acquire-release: what the
 * waker wrote before is seen by the woken.
 *
 * Exactly one unpark finds PARKED, so that a fiber is queued once; until it runs, its
 * inbox link is that waker's.
 */
#include "base/check.h"
#include "base/mem.h"
#include "rt/cpu.h"
#include "rt/fiber.h"
#include "rt/futex.h"
#include "rt/reclaim.h"

#include <sched.h>
#include <unistd.h>

/* A plain thread's parker. Pooled and never freed: see park.h. */
struct thread_parker {
	struct weft_parker parker;  /* first */
	struct thread_parker *next; /* in the pool; under pool.lock */
	struct rt_idle idle;	    /* how its waits went; the thread itself */
};

static struct {
	struct rt_lock lock;
	struct thread_parker *free;
} pool;

static _Thread_local struct thread_parker *thread_self __attribute__((tls_model("initial-exec")));
static pthread_key_t thread_key;
static pthread_once_t thread_key_once = PTHREAD_ONCE_INIT;

static void thread_exit(void *arg)
{
	struct thread_parker *tp = arg;

	thread_self = NULL;
	rt_lock_acquire(&pool.lock);
	tp->next = pool.free;
	pool.free = tp;
	rt_lock_release(&pool.lock);
}

static void thread_key_make(void)
{
	CHECK(pthread_key_create(&thread_key, thread_exit) == 0);
}

static struct weft_parker *thread_parker_make(void)
{
	struct thread_parker *tp;

	pthread_once(&thread_key_once, thread_key_make);
	rt_lock_acquire(&pool.lock);
	tp = pool.free;
	if (tp)
		pool.free = tp->next;
	rt_lock_release(&pool.lock);
	/* page-wise from the system, so that it is never mistaken for a leak; a page holds
	 * the parkers of many threads */
	if (!tp) {
		size_t count = 4096 / sizeof(*tp);
		struct thread_parker *page = rt_pages_alloc(4096);

		if (!page)
			return NULL;
		tp = &page[0];
		rt_lock_acquire(&pool.lock);
		for (size_t i = 1; i < count; i++) {
			page[i].next = pool.free;
			pool.free = &page[i];
		}
		rt_lock_release(&pool.lock);
	}
	if (pthread_setspecific(thread_key, tp) != 0) {
		thread_exit(tp);
		return NULL;
	}
	thread_self = tp;
	idle_init(&tp->idle, weft_now());
	return &tp->parker;
}

weft_parker *weft_parker_self(void)
{
	struct rt_fiber *f = rt_current();

	if (f)
		return &f->parker;
	if (weft_likely(thread_self))
		return &thread_self->parker;
	return thread_parker_make();
}

static void run_injected(struct rt_worker *worker, struct rt_inject *inject)
{
	rt_count(&worker->counters.wakes_remote);
	rt_runnable(worker, container_of(inject, struct rt_fiber, inject));
}

void weft_unpark(weft_parker *parker)
{
	struct rt_fiber *f;
	/* acq_rel; pairs with park's: see the head of the file */
	uint32_t old = atomic_exchange_explicit(&parker->word, RT_NOTIFIED, memory_order_acq_rel);

	if (old != RT_PARKED)
		return;
	if (!parker->is_fiber) {
		futex_wake(&parker->word, 1);
		return;
	}
	f = rt_parker_fiber(parker);
	if (f->worker == rt_tls) {
		rt_count(&f->worker->counters.wakes_local);
		rt_runnable(f->worker, f);
		return;
	}
	f->inject.run = run_injected;
	rt_inject(f->worker, &f->inject);
}

/* Takes a pending notification. */
static inline bool consume(struct weft_parker *p)
{
	/* relaxed: only a hint; the exchange acquires */
	if (atomic_load_explicit(&p->word, memory_order_relaxed) != RT_NOTIFIED)
		return false;
	/* acquire; pairs with unpark's: every unpark that came before this one's exchange
	 * is in its release sequence */
	atomic_exchange_explicit(&p->word, RT_EMPTY, memory_order_acquire);
	return true;
}

static inline bool announce(struct weft_parker *p)
{
	uint32_t expected = RT_EMPTY;

	/* release: what the parker's owner wrote before (its timer, why) is seen by the
	 * one who finds PARKED; relaxed on failure: consume acquires */
	return atomic_compare_exchange_strong_explicit(
		&p->word, &expected, RT_PARKED, memory_order_release, memory_order_relaxed);
}

weft_err rt_check_cancelled(void)
{
	struct rt_fiber *f = rt_current();

	if (!f || !rt_is_cancelled(f))
		return WEFT_OK;
	return err_set(WEFT_ECANCELED);
}

void rt_fiber_fire(struct rt_worker *worker, struct rt_timer *timer)
{
	struct rt_fiber *f = container_of(timer, struct rt_fiber, timer);

	(void)worker;
	f->timed_out = true;
	weft_unpark(&f->parker);
}

static weft_err fiber_park(struct rt_fiber *f, weft_deadline until, const char *why)
{
	struct rt_worker *w = f->worker;

	if (consume(&f->parker))
		return WEFT_OK;
	if (rt_is_cancelled(f))
		return err_set(WEFT_ECANCELED);
	if (until <= WEFT_NOW)
		return err_set(WEFT_ETIMEDOUT);
	f->timed_out = false;
	if (until != WEFT_FOREVER && rt_timer_arm(w, &f->timer, until) != WEFT_OK)
		return WEFT_ENOMEM;
	f->why = why;
	f->parked_at = w->now;
	f->state = RT_FIBER_PARKED;
	rt_count(&w->counters.parks);
	if (announce(&f->parker))
		rt_switch_away(w, f);
	else
		f->state = RT_FIBER_RUNNING;
	consume(&f->parker);
	rt_timer_disarm(&f->timer);
	if (f->timed_out)
		return err_set(WEFT_ETIMEDOUT);
	if (rt_is_cancelled(f))
		return err_set(WEFT_ECANCELED);
	return WEFT_OK;
}

static weft_err thread_park(struct weft_parker *p, weft_deadline until)
{
	struct timespec ts, *limit = NULL;
	int rc = 0;

	if (consume(p))
		return WEFT_OK;
	if (until <= WEFT_NOW)
		return err_set(WEFT_ETIMEDOUT);
	if (until != WEFT_FOREVER) {
		ts.tv_sec = (time_t)(until / 1000000000);
		ts.tv_nsec = (long)(until % 1000000000);
		limit = &ts;
	}
	if (!announce(p)) {
		consume(p);
		return WEFT_OK;
	}
	do {
		rc = futex_wait(&p->word, RT_PARKED, limit);
		/* relaxed: consume, or the exchange below, acquires */
	} while (atomic_load_explicit(&p->word, memory_order_relaxed) == RT_PARKED &&
		rc != ETIMEDOUT);
	/* acquire; pairs with unpark's exchange */
	if (atomic_exchange_explicit(&p->word, RT_EMPTY, memory_order_acquire) == RT_NOTIFIED)
		return WEFT_OK;
	return err_set(WEFT_ETIMEDOUT);
}

weft_err rt_park(weft_deadline until, const char *why)
{
	struct rt_fiber *f = rt_current();
	struct weft_parker *p;

	reclaim_check_no_guard();
	if (f)
		return fiber_park(f, until, why);
	CHECK(!rt_tls); /* the loop itself, a callback of a token: must not block */
	p = weft_parker_self();
	return p ? thread_park(p, until) : err_set(WEFT_ENOMEM);
}

weft_err weft_park(weft_deadline until)
{
	return rt_park(until, "park");
}

#define RELAX_PAUSES 64

bool rt_relax(unsigned *spins, bool may_switch)
{
	if (++*spins <= RELAX_PAUSES && rt_cores() > 1) {
		cpu_pause();
		return true;
	}
	if (may_switch && rt_current() && *spins % 2) {
		(void)weft_yield();
		return false;
	}
	sched_yield();
	return false;
}

bool rt_backoff(struct rt_backoff *b, weft_deadline until)
{
	struct thread_parker *tp = thread_self;
	int64_t now, look;

	if (rt_tls || rt_cores() < 2)
		return false;
	if (weft_likely(b->turns < RT_BACKOFF_PAUSES)) {
		cpu_pauses(1u << b->turns);
		b->turns++;
		return true;
	}
	if (b->turns < RT_BACKOFF_PAUSES + RT_BACKOFF_YIELDS) {
		b->turns++;
		sched_yield();
		return true;
	}
	if (!tp)
		return false;
	now = weft_now();
	if (b->until == 0) {
		look = idle_begin(&tp->idle, now);
		b->until = until - now < look ? until : now + look;
	}
	if (now >= b->until)
		return false;
	cpu_pauses(1u << RT_BACKOFF_RACE);
	sched_yield();
	return true;
}

void rt_backoff_end(struct rt_backoff *b)
{
	if (b->until != 0)
		idle_end(&thread_self->idle, weft_now());
}

unsigned rt_cores(void)
{
	static _Atomic unsigned cores;
	/* relaxed both: a number that every thread finds alike */
	unsigned n = atomic_load_explicit(&cores, memory_order_relaxed);
	cpu_set_t set;

	if (n)
		return n;
	n = 1;
	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		n = (unsigned)CPU_COUNT(&set);
	/* relaxed: a number that every thread finds alike */
	atomic_store_explicit(&cores, n, memory_order_relaxed);
	return n;
}

unsigned rt_machine_cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (unsigned)n : 1;
}
