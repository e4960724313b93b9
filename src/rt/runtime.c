/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * weft_run: makes the workers, runs the first fiber, takes everything down again.
 *
 * The end: main_fn returns -> the root scope is cancelled -> fibers end -> the last one
 * sets `stopping` and nudges every worker -> their loops return -> threads are joined.
 */
#include "base/check.h"
#include "base/mem.h"
#include "rt/fiber.h"
#include "rt/reclaim.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define FIBERS_MAX_DEFAULT 4000000
#define OFFLOAD_THREADS_DEFAULT 16
#define OFFLOAD_QUEUE_DEFAULT 4096

/* The process's runtime, for plain threads. */
static _Atomic(struct rt_runtime *) running;
static _Atomic uint64_t generations;
static _Atomic uint32_t visitors; /* inside rt_visit .. rt_visit_end */

struct rt_runtime *rt_runtime_self(void)
{
	if (rt_tls)
		return rt_tls->runtime;
	/* acquire; pairs with weft_run's store: the runtime is complete */
	return atomic_load_explicit(&running, memory_order_acquire);
}

struct rt_runtime *rt_visit(void)
{
	struct rt_runtime *rt;

	/* seq_cst: before the look at running, in one order with retire's store and look:
	 * either the runtime is gone here, or retire finds the visitor */
	atomic_fetch_add_explicit(&visitors, 1, memory_order_seq_cst);
	/* seq_cst: see above */
	rt = atomic_load_explicit(&running, memory_order_seq_cst);
	if (!rt)
		rt_visit_end();
	return rt;
}

void rt_visit_end(void)
{
	/* release; pairs with retire's look: the visitor is done with the runtime */
	atomic_fetch_sub_explicit(&visitors, 1, memory_order_release);
}

struct rt_runtime *rt_runtime_enter(void)
{
	return rt_tls ? rt_tls->runtime : rt_visit();
}

void rt_runtime_leave(struct rt_runtime *rt)
{
	if (rt && !rt_tls)
		rt_visit_end();
}

static struct err_slot *slot_of_fiber(void)
{
	struct rt_fiber *f = rt_current();

	return f ? &f->err : NULL;
}

/* Before main: plain threads may use channels before, and while, a runtime starts. */
__attribute__((constructor)) static void slot_hook_set(void)
{
	err_slot_hook_set(slot_of_fiber);
}

void rt_fiber_gone(struct rt_runtime *rt)
{
	/* acq_rel: the last one sees what all others did, and passes it on below */
	if (atomic_fetch_sub_explicit(&rt->fibers, 1, memory_order_acq_rel) != 1)
		return;
	/* release; pairs with is_stopping in the loops */
	atomic_store_explicit(&rt->stopping, 1, memory_order_release);
	for (unsigned i = 0; i < rt->workers_len; i++)
		if (&rt->workers[i] != rt_tls && !rt->is_sim)
			rt->workers[i].io->ops->wake(rt->workers[i].io);
}

static weft_err check_range(const char *name, uint64_t value, uint64_t min, uint64_t max)
{
	if (value >= min && value <= max)
		return WEFT_OK;
	return err_setf(WEFT_EINVAL, "weft_run: option %s is %llu, allowed is %llu..%llu", name,
		(unsigned long long)value, (unsigned long long)min, (unsigned long long)max);
}

static size_t stack_size_of(const weft_run_options *o)
{
	size_t size = (size_t)16 << 10;
#ifdef RT_SANITIZED
	size_t want = o->stack_size ? o->stack_size * 2 : RT_STACK_SANITIZED;

	if (want < RT_STACK_SANITIZED)
		want = RT_STACK_SANITIZED;
#else
	size_t want = o->stack_size ? o->stack_size : RT_STACK_DEFAULT;
#endif
	while (size < want)
		size *= 2;
	return size;
}

static weft_err settle_options(weft_run_options *o, const weft_run_options *given)
{
	weft_err err;

	*o = given ? *given : (weft_run_options)WEFT_RUN_OPTIONS_DEFAULT;
	/* asked here, before any thread is pinned to one core and would count that one only */
	if (rt_cores() < 1 || o->workers == 0)
		o->workers = rt_cores() < RT_WORKERS_MAX ? rt_cores() : RT_WORKERS_MAX;
	if (o->fibers_max == 0)
		o->fibers_max = FIBERS_MAX_DEFAULT;
	if (o->offload_threads == 0)
		o->offload_threads = OFFLOAD_THREADS_DEFAULT;
	if (o->offload_queue_max == 0)
		o->offload_queue_max = OFFLOAD_QUEUE_DEFAULT;
	err = check_range("workers", o->workers, 1, RT_WORKERS_MAX);
	if (!err && o->stack_size)
		err = check_range("stack_size", o->stack_size, 16 << 10, 8 << 20);
	if (!err)
		err = check_range("offload_threads", o->offload_threads, 1, 256);
	return err;
}

weft_err rt_runtime_make(struct rt_runtime **out, const weft_run_options *options, bool is_sim)
{
	struct rt_runtime *rt = mem_aligned(CACHE_APART, sizeof(*rt));
	weft_err err = WEFT_ENOMEM;

	if (!rt)
		return err_set(WEFT_ENOMEM);
	memset(rt, 0, sizeof(*rt));
	/* relaxed: a number that need only be unique */
	rt->generation = atomic_fetch_add_explicit(&generations, 1, memory_order_relaxed) + 1;
	rt->options = *options;
	rt->is_sim = is_sim;
	rt->stack_size = stack_size_of(options);
	rt->fibers_max = options->fibers_max;
	rt->workers = mem_aligned(CACHE_APART, options->workers * sizeof(*rt->workers));
	if (!rt->workers)
		goto out;
	memset(rt->workers, 0, options->workers * sizeof(*rt->workers));
	for (unsigned i = 0; i < options->workers; i++) {
		int rc = rt_worker_init(&rt->workers[i], rt, i);

		rt->workers_len = i + 1;
		if (rc < 0) {
			err = err_sys(-rc, "weft_run: make netpoll of worker %u", i);
			goto out;
		}
	}
	err = rt_scope_create(&rt->root, rt, NULL);
out:
	if (err) {
		rt_runtime_free(rt);
		return err == WEFT_ENOMEM ? err_set(err) : err;
	}
	*out = rt;
	return WEFT_OK;
}

void rt_runtime_free(struct rt_runtime *rt)
{
	unsigned spins = 0;

	/* acquire; pairs with the release in rt_inject */
	while (atomic_load_explicit(&rt->injecting, memory_order_acquire) != 0)
		rt_relax(&spins, false);
	if (rt->root)
		rt_scope_destroy(rt->root);
	for (unsigned i = 0; i < rt->workers_len; i++)
		rt_worker_fini(&rt->workers[i]);
	err_slot_fini(&rt->main_err);
	mem_free(rt->workers);
	mem_free(rt);
	reclaim_drain();
	rt_stacks_trim();
}

/* --- the first fiber ------------------------------------------------------------------ */

struct main_call {
	weft_fiber_fn fn;
	void *arg;
	struct rt_runtime *runtime;
};

static weft_err main_fiber(void *arg)
{
	struct main_call call = *(struct main_call *)arg;
	weft_err err = call.fn(call.arg);

	call.runtime->main_result = err;
	if (err)
		err_slot_copy(&call.runtime->main_err, err_slot_self());
	weft_scope_cancel(call.runtime->root);
	return WEFT_OK;
}

/* In the calling thread, as worker 0; returns when no fiber is left. */
weft_err rt_runtime_main(struct rt_runtime *rt, weft_fiber_fn main_fn, void *arg)
{
	struct main_call call = { main_fn, arg, rt };
	struct rt_spawn s = { rt->root, 0, 0, "main", main_fiber, &call, NULL };
	void *altstack = NULL;
	weft_err err;

	err = rt_fault_thread_begin(&altstack);
	if (err)
		return err;
	rt_tls = &rt->workers[0];
	err = rt_spawn(&s);
	if (!err)
		rt_worker_loop(rt_tls);
	rt_tls = NULL;
	rt_fault_thread_end(altstack);
	if (err)
		return err;
	if (rt->main_result) {
		err_slot_copy(err_slot_self(), &rt->main_err);
		return rt->main_result;
	}
	return rt_scope_error(rt->root);
}

/* --- workers -------------------------------------------------------------------------- */

static int nth_cpu(unsigned n)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return -1;
	n %= (unsigned)CPU_COUNT(&set);
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set) && n-- == 0)
			return (int)cpu;
	return -1;
}

static void pin(struct rt_worker *w)
{
	cpu_set_t set;

	if (w->cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)w->cpu, &set);
	(void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void *worker_thread(void *arg)
{
	struct rt_worker *w = arg;
	void *altstack = NULL;
	char name[16];

	snprintf(name, sizeof(name), "weft-%u", w->index);
	prctl(PR_SET_NAME, name);
	prctl(PR_SET_TIMERSLACK, 1);
	pin(w);
	/* without an alternate stack an overflow kills without its name: no reason not to run */
	(void)rt_fault_thread_begin(&altstack);
	rt_worker_loop(w);
	rt_fault_thread_end(altstack);
	return NULL;
}

static weft_err start_workers(struct rt_runtime *rt)
{
	for (unsigned i = 0; i < rt->workers_len; i++) {
		struct rt_worker *w = &rt->workers[i];
		int rc;

		if (rt->options.pin_workers)
			w->cpu = nth_cpu(i);
		if (i == 0)
			continue;
		rc = pthread_create(&w->thread, NULL, worker_thread, w);
		if (rc != 0)
			return err_sys(rc, "weft_run: start worker %u", i);
		w->thread_started = true;
	}
	return WEFT_OK;
}

static void join_workers(struct rt_runtime *rt)
{
	for (unsigned i = 1; i < rt->workers_len; i++)
		if (rt->workers[i].thread_started)
			pthread_join(rt->workers[i].thread, NULL);
}

/* No fiber was ever made: tells the workers that started. */
static void stop_workers(struct rt_runtime *rt)
{
	/* release; pairs with is_stopping */
	atomic_store_explicit(&rt->stopping, 1, memory_order_release);
	for (unsigned i = 0; i < rt->workers_len; i++)
		rt->workers[i].io->ops->wake(rt->workers[i].io);
	join_workers(rt);
}

static weft_err run_here(struct rt_runtime *rt, weft_fiber_fn main_fn, void *arg)
{
	cpu_set_t affinity;
	bool restore =
		rt->options.pin_workers && sched_getaffinity(0, sizeof(affinity), &affinity) == 0;
	int slack = prctl(PR_GET_TIMERSLACK);
	weft_err err = start_workers(rt);

	if (err) {
		stop_workers(rt);
		return err;
	}
	prctl(PR_SET_TIMERSLACK, 1);
	pin(&rt->workers[0]);
	err = rt_runtime_main(rt, main_fn, arg);
	stop_workers(rt);
	prctl(PR_SET_TIMERSLACK, slack > 0 ? slack : 0);
	if (restore)
		(void)sched_setaffinity(0, sizeof(affinity), &affinity);
	return err;
}

static weft_err claim(struct rt_runtime *rt)
{
	struct rt_runtime *expected = NULL;

	/* release; pairs with rt_runtime_self: the runtime is complete; relaxed on failure */
	if (atomic_compare_exchange_strong_explicit(
		    &running, &expected, rt, memory_order_release, memory_order_relaxed))
		return WEFT_OK;
	return err_setf(WEFT_EDUPLICATE, "weft_run: a runtime is running in this process");
}

/* From here on no thread finds the runtime, and none is inside it. */
static void retire(struct rt_runtime *rt)
{
	unsigned spins = 0;

	/* Before: who finds no runtime takes its token's timer to be out of the heap. */
	for (unsigned i = 0; i < rt->workers_len; i++)
		rt_worker_settle(&rt->workers[i]);
	/* seq_cst: before the look at visitors, in one order with rt_visit */
	atomic_store_explicit(&running, NULL, memory_order_seq_cst);
	/* seq_cst: see above; acquires what visitors did */
	while (atomic_load_explicit(&visitors, memory_order_seq_cst) != 0)
		rt_relax(&spins, false);
}

weft_err weft_run(weft_fiber_fn main_fn, void *arg, const weft_run_options *given)
{
	weft_run_options options;
	struct rt_runtime *rt = NULL;
	struct sigaction ignore = { .sa_handler = SIG_IGN }, old_sigpipe;
	weft_err err;

	if (!main_fn || rt_tls)
		return err_setf(WEFT_EINVAL,
			rt_tls ? "weft_run: called from a fiber" : "weft_run: no function");
	err = settle_options(&options, given);
	if (err)
		return err;
	err = rt_runtime_make(&rt, &options, false);
	if (err || !rt)
		return err;
	err = rt_offload_create(&rt->offload, options.offload_threads, options.offload_queue_max);
	if (!err)
		err = claim(rt);
	if (err) {
		rt_offload_stop(rt->offload);
		rt_runtime_free(rt);
		return err;
	}
	if (options.ignore_sigpipe)
		sigaction(SIGPIPE, &ignore, &old_sigpipe);
	rt_fault_install();
	if (options.dump_on_sigquit)
		rt_dump_install();
	err = run_here(rt, main_fn, arg);
	if (options.dump_on_sigquit)
		rt_dump_uninstall();
	rt_fault_uninstall();
	if (options.ignore_sigpipe)
		sigaction(SIGPIPE, &old_sigpipe, NULL);
	rt_helper_stop(rt);
	rt_offload_stop(rt->offload);
	retire(rt);
	rt_runtime_free(rt);
	return err;
}

/* --- questions ------------------------------------------------------------------------ */

unsigned weft_worker_count(void)
{
	struct rt_runtime *rt = rt_runtime_enter();
	unsigned count = rt ? rt->workers_len : 0;

	rt_runtime_leave(rt);
	return count;
}

const void *rt_worker_here(void)
{
	return rt_tls;
}

void rt_poll_soon(void)
{
	struct rt_worker *w = rt_tls;

	if (w)
		w->budget = 0;
}

const void *rt_worker_at(unsigned index)
{
	struct rt_runtime *rt = rt_runtime_enter();
	const void *worker = rt && index < rt->workers_len ? &rt->workers[index] : NULL;

	rt_runtime_leave(rt);
	return worker;
}

unsigned weft_worker_self(void)
{
	return rt_tls ? rt_tls->index : UINT_MAX;
}

unsigned weft_worker_least_loaded(void)
{
	struct rt_runtime *rt = rt_runtime_enter();
	uint64_t least = UINT64_MAX;
	unsigned best = 0;

	for (unsigned i = 0; rt && i < rt->workers_len; i++) {
		/* relaxed: a hint, stale by the time it is used */
		uint64_t load = atomic_load_explicit(&rt->workers[i].load, memory_order_relaxed);

		if (load < least) {
			least = load;
			best = i;
		}
	}
	rt_runtime_leave(rt);
	return best;
}

uint64_t weft_fiber_count(void)
{
	struct rt_runtime *rt = rt_runtime_enter();
	/* relaxed: a moment's count */
	uint64_t count = rt ? atomic_load_explicit(&rt->fibers, memory_order_relaxed) : 0;

	rt_runtime_leave(rt);
	return count;
}

static uint64_t counter(const _Atomic uint64_t *c)
{
	/* relaxed: a statistic, read on its own */
	return atomic_load_explicit(c, memory_order_relaxed);
}

weft_err weft_worker_stats_get(unsigned worker, weft_worker_stats *out)
{
	struct rt_runtime *rt = rt_runtime_enter();
	struct rt_worker *w;

	if (!rt || worker >= rt->workers_len) {
		rt_runtime_leave(rt);
		return err_setf(WEFT_EINVAL, "worker statistics: no worker %u", worker);
	}
	w = &rt->workers[worker];
	*out = (weft_worker_stats){
		.fibers = counter(&w->load),
		.fibers_spawned = counter(&w->counters.fibers_spawned),
		.switches = counter(&w->counters.switches),
		.parks = counter(&w->counters.parks),
		.wakes_local = counter(&w->counters.wakes_local),
		.wakes_remote = counter(&w->counters.wakes_remote),
		.wakes_syscall = counter(&w->wakes_syscall),
		.polls = counter(&w->counters.polls),
		.sleeps = counter(&w->counters.sleeps),
		.io_events = counter(&w->counters.io_events),
		.timers_fired = counter(&w->counters.timers_fired),
		.stack_bytes = counter(&w->load) * rt->stack_size,
	};
	rt_runtime_leave(rt);
	return WEFT_OK;
}

/* --- clock ---------------------------------------------------------------------------- */

weft_deadline weft_now(void)
{
	struct timespec ts;

	if (rt_tls)
		return rt_tls->io->ops->now(rt_tls->io);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

weft_deadline weft_after_ns(int64_t duration_ns)
{
	int64_t now;

	if (duration_ns < 0)
		return WEFT_NOW;
	now = weft_now();
	return duration_ns > INT64_MAX - now ? WEFT_FOREVER : now + duration_ns;
}

weft_deadline weft_after_ms(int64_t duration_ms)
{
	if (duration_ms > INT64_MAX / 1000000)
		return WEFT_FOREVER;
	return weft_after_ns(duration_ms < 0 ? -1 : duration_ms * 1000000);
}
