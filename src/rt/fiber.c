/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * The life of a fiber: FREE -> (spawn) RUNNABLE -> RUNNING <-> PARKED/RUNNABLE -> FREE.
 *
 * Spawning takes no lock but its scope's, and allocates nothing when the worker has a
 * free fiber and no handle is asked for. A fiber for another worker travels there
 * through the inbox, and joins that worker's list when it arrives.
 */
#include "rt/fiber.h"
#include "base/check.h"
#include "base/mem.h"
#include "rt/reclaim.h"
#include "rt/switch.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

/* Where the joiner and the fiber meet: state is RUNNING, a joiner's parker, DONE or
 * DETACHED. */
struct weft_fiber {
	_Atomic uintptr_t state;
	weft_err result;     /* valid once DONE */
	struct err_slot err; /* the same */
};
#define STACK_COLOURS 36
#define HANDLE_RUNNING ((uintptr_t)0)
#define HANDLE_DONE ((uintptr_t)1)
#define HANDLE_DETACHED ((uintptr_t)2)

/* Memory that is never given back, outside the counted heap. */
void *rt_pages_alloc(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void handle_free(struct weft_fiber *handle)
{
	err_slot_fini(&handle->err);
	mem_free(handle);
}

static void handle_finish(struct rt_fiber *f, weft_err result)
{
	struct weft_fiber *handle = f->handle;
	uintptr_t old;

	handle->result = result;
	err_slot_copy(&handle->err, &f->err);
	/* acq_rel; pairs with join and detach: publishes the result, sees the parker */
	old = atomic_exchange_explicit(&handle->state, HANDLE_DONE, memory_order_acq_rel);
	if (old == HANDLE_DETACHED)
		handle_free(handle);
	else if (old != HANDLE_RUNNING)
		weft_unpark((struct weft_parker *)old);
}

_Noreturn static void fiber_main(void *arg)
{
	struct rt_fiber *f = arg;
	struct rt_worker *w = f->worker;
	weft_err result;

#ifdef RT_ASAN
	__sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
	errno = 0;
	result = f->fn(f->arg);
	CHECK(f->shield == 0);
	reclaim_check_no_guard();
	rt_timer_remove(w, &f->timer);
	list_remove(&f->worker_link);
	if (f->handle)
		handle_finish(f, result);
	rt_scope_leave(f, f->handle ? WEFT_OK : result);
	err_slot_fini(&f->err);
	/* relaxed: a hint where to put the next fiber */
	atomic_fetch_sub_explicit(&w->load, 1, memory_order_relaxed);
	rt_fiber_gone(w->runtime);
	rt_switch_exit(w, f);
}

/*
 * Stacks lie at multiples of their size, so that the tops of all would share a few cache
 * sets. Each begins a different number of lines down, within its first page.
 */
static size_t colour_of(const struct rt_fiber *f)
{
	return (size_t)(f->slot % STACK_COLOURS) * CACHE_LINE;
}

static void fiber_init(struct rt_fiber *f, struct rt_worker *w, const struct rt_spawn *s)
{
	struct rt_fiber *self = rt_current();

	/* relaxed: a late unpark of the one who had it before may come; it is spurious */
	atomic_store_explicit(&f->parker.word, RT_EMPTY, memory_order_relaxed);
	f->state = RT_FIBER_RUNNABLE;
	f->timed_out = false;
	f->crashed = false;
	f->shield = 0;
	f->streak = 0;
	f->node = s->node != UINT_MAX ? s->node : self ? self->node : 0;
	f->worker = w;
	f->fn = s->fn;
	f->arg = s->arg;
	f->why = NULL;
	f->parked_at = 0;
	heap_node_init(&f->timer.node);
	f->timer.deadline = INT64_MAX;
	f->timer.fire = rt_fiber_fire;
	list_init(&f->scope_link);
	list_init(&f->worker_link);
	f->handle = NULL;
	memset(&f->err, 0, sizeof(f->err));
	f->id = w->is_sim ? ++w->runtime->sim_ids : f->slot;
	f->name[0] = '\0';
	if (s->name)
		strncat(f->name, s->name, sizeof(f->name) - 1);
#ifdef RT_ASAN
	ASAN_UNPOISON_MEMORY_REGION(f->base, f->size);
	f->fake_stack = NULL;
#endif
#ifdef RT_TSAN
	/* a new one a life: an ended fiber leaves calls that never returned */
	if (f->tsan)
		__tsan_destroy_fiber(f->tsan);
	f->tsan = __tsan_create_fiber(0);
#endif
	f->sp = rt_switch_prepare(f->base + f->size - colour_of(f), fiber_main, f);
}

static void arrive(struct rt_worker *worker, struct rt_inject *inject)
{
	struct rt_fiber *f = container_of(inject, struct rt_fiber, inject);

	list_push_back(&worker->fibers, &f->worker_link);
	rt_count(&worker->counters.fibers_spawned);
	rt_runnable(worker, f);
}

static weft_err admit(struct rt_runtime *rt)
{
	/* relaxed: a count; what must be seen is published by the inbox and the scope */
	uint64_t n = atomic_fetch_add_explicit(&rt->fibers, 1, memory_order_relaxed);

	if (n < rt->fibers_max)
		return WEFT_OK;
	rt_fiber_gone(rt);
	return err_setf(
		WEFT_ECAPACITY, "spawn fiber: %zu fibers are alive (fibers_max)", rt->fibers_max);
}

static struct rt_worker *choose_worker(struct rt_runtime *rt, unsigned worker)
{
	if (worker != UINT_MAX)
		return worker < rt->workers_len ? &rt->workers[worker] : NULL;
	if (rt_tls)
		return rt_tls;
	/* relaxed: any worker will do */
	return &rt->workers[atomic_fetch_add_explicit(&rt->next_worker, 1, memory_order_relaxed) %
		rt->workers_len];
}

static weft_err handle_make(struct weft_fiber **out, bool wanted)
{
	if (!wanted)
		return WEFT_OK;
	*out = mem_calloc(1, sizeof(**out));
	return *out ? WEFT_OK : err_set(WEFT_ENOMEM);
}

/* always: into the root scope, also when that is cancelled. */
static weft_err spawn_in(struct rt_runtime *rt, const struct rt_spawn *s, bool always)
{
	struct rt_fiber *self = rt_current(), *f;
	struct weft_fiber *handle = NULL;
	struct rt_worker *w;
	weft_err err;

	w = choose_worker(rt, s->worker);
	if (!w || !s->fn)
		return err_setf(WEFT_EINVAL,
			w ? "spawn fiber: no function" : "spawn fiber: no worker %u", s->worker);
	err = admit(rt);
	if (err)
		return err;
	f = rt_fiber_get(rt_tls, rt->stack_size);
	if (!f) {
		rt_fiber_gone(rt);
		return err_setf(WEFT_ENOMEM, "spawn fiber: no memory for a stack");
	}
	err = handle_make(&handle, s->out != NULL);
	if (!err) {
		fiber_init(f, w, s);
		f->handle = handle;
		err = rt_scope_enter(s->scope	  ? s->scope
				: self && !always ? self->scope
						  : rt->root,
			f, always);
	}
	if (err) {
		mem_free(handle);
		rt_fiber_unspawn(f);
		rt_fiber_gone(rt);
		return err;
	}
	if (s->out)
		*s->out = handle;
	/* relaxed: a hint where to put the next fiber */
	atomic_fetch_add_explicit(&w->load, 1, memory_order_relaxed);
	if (w == rt_tls) {
		arrive(w, &f->inject);
	} else {
		f->inject.run = arrive;
		rt_inject(w, &f->inject);
	}
	return WEFT_OK;
}

static weft_err spawn(const struct rt_spawn *s, bool always)
{
	struct rt_runtime *rt = rt_runtime_enter();
	weft_err err = rt ? spawn_in(rt, s, always)
			  : err_setf(WEFT_EINVAL, "spawn fiber: no runtime is running");

	rt_runtime_leave(rt);
	return err;
}

weft_err rt_spawn(const struct rt_spawn *s)
{
	return spawn(s, false);
}

weft_err rt_spawn_root(struct rt_spawn *s)
{
	s->scope = NULL;
	return spawn(s, true);
}

weft_err weft_spawn(weft_fiber **out, const char *name, weft_fiber_fn fn, void *arg)
{
	struct rt_spawn s = { NULL, UINT_MAX, UINT_MAX, name, fn, arg, out };

	return rt_spawn(&s);
}

weft_err weft_spawn_on(
	unsigned worker, weft_fiber **out, const char *name, weft_fiber_fn fn, void *arg)
{
	struct rt_spawn s = { NULL, worker, UINT_MAX, name, fn, arg, out };

	if (worker == UINT_MAX)
		return err_setf(WEFT_EINVAL, "spawn fiber: no worker %u", worker);
	return rt_spawn(&s);
}

/* Takes the parker back out of the handle; false: the fiber is done after all. */
static bool join_withdraw(struct weft_fiber *handle, struct weft_parker *self)
{
	uintptr_t expected = (uintptr_t)self;

	/* acq_rel: takes the parker out; acquire on failure: DONE publishes the result */
	return atomic_compare_exchange_strong_explicit(&handle->state, &expected, HANDLE_RUNNING,
		memory_order_acq_rel, memory_order_acquire);
}

static weft_err join_wait(struct weft_fiber *handle, weft_deadline until)
{
	struct weft_parker *self = rt_parker_self();
	uintptr_t expected = HANDLE_RUNNING;
	weft_err err;

	if (!self)
		return err_set(WEFT_ENOMEM);
	/* acq_rel: publishes the parker; acquire on failure: DONE publishes the result */
	if (!atomic_compare_exchange_strong_explicit(&handle->state, &expected, (uintptr_t)self,
		    memory_order_acq_rel, memory_order_acquire)) {
		if (expected == HANDLE_DONE)
			return WEFT_OK;
		return err_setf(WEFT_EINVAL, "join fiber: somebody else joins it");
	}
	/* acquire; pairs with handle_finish: the result */
	while (atomic_load_explicit(&handle->state, memory_order_acquire) != HANDLE_DONE) {
		err = rt_park(until, "join");
		if (err && join_withdraw(handle, self))
			return err;
	}
	return WEFT_OK;
}

weft_err weft_fiber_join(weft_fiber *fiber, weft_err *result, weft_deadline until)
{
	weft_err err;

	if (!fiber)
		return err_setf(WEFT_EINVAL, "join fiber: no handle");
	err = join_wait(fiber, until);
	if (err)
		return err;
	if (result)
		*result = fiber->result;
	if (fiber->result)
		err_slot_copy(err_slot_self(), &fiber->err);
	handle_free(fiber);
	return WEFT_OK;
}

void weft_fiber_detach(weft_fiber *fiber)
{
	if (!fiber)
		return;
	/* acq_rel; pairs with handle_finish: whoever comes second frees */
	if (atomic_exchange_explicit(&fiber->state, HANDLE_DETACHED, memory_order_acq_rel) ==
		HANDLE_DONE)
		handle_free(fiber);
}

/* A fiber that was made but not let in. */
void rt_fiber_unspawn(struct rt_fiber *f)
{
	if (rt_tls)
		rt_fiber_put(rt_tls, f);
	else
		rt_fiber_return(f);
}

weft_err weft_yield(void)
{
	struct rt_fiber *f = rt_current();

	reclaim_check_no_guard();
	if (!f) {
		sched_yield();
		return WEFT_OK;
	}
	rt_runnable(f->worker, f);
	rt_switch_away(f->worker, f);
	if (rt_is_cancelled(f))
		return err_set(WEFT_ECANCELED);
	return WEFT_OK;
}

weft_err weft_sleep_until(weft_deadline until)
{
	weft_err err;

	do {
		err = rt_park(until, "sleep");
		/* an early notification is somebody's late wake: sleep on */
	} while (err == WEFT_OK);
	return err == WEFT_ETIMEDOUT ? WEFT_OK : err;
}

weft_err weft_sleep_ns(int64_t duration_ns)
{
	return weft_sleep_until(weft_after_ns(duration_ns));
}

weft_err weft_sleep_ms(int64_t duration_ms)
{
	return weft_sleep_until(weft_after_ms(duration_ms));
}

bool weft_in_fiber(void)
{
	return rt_current() != NULL;
}

const char *weft_fiber_name(void)
{
	struct rt_fiber *f = rt_current();

	return f ? f->name : "";
}

void weft_fiber_set_name(const char *name)
{
	struct rt_fiber *f = rt_current();

	if (!f)
		return;
	f->name[0] = '\0';
	if (name)
		strncat(f->name, name, sizeof(f->name) - 1);
}

weft_cancel *weft_fiber_token(void)
{
	struct rt_fiber *f = rt_current();

	return f ? f->token : NULL;
}

void weft_shield_begin(void)
{
	struct rt_fiber *f = rt_current();

	if (f)
		f->shield++;
}

void weft_shield_end(void)
{
	struct rt_fiber *f = rt_current();

	if (!f)
		return;
	CHECK(f->shield > 0);
	f->shield--;
}
