/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * Simulated runs: one worker in the calling thread, over the simulator's backend. The same
 * fibers, scopes, timers and tokens as in a real run; only the worker's choice among
 * runnable fibers is the seed's, and time passes only when nobody can run.
 */
#include "base/mem.h"
#include "io/sim.h"
#include "rt/fiber.h"

#include <errno.h>
#include <unistd.h>

#define STEPS_MAX_DEFAULT 100000000
#define NODE_UNSET UINT32_MAX

static unsigned node_of_current(void *user)
{
	struct rt_fiber *f = rt_current();

	(void)user;
	return f ? f->node : 0;
}

/* Fibers of a crashed node end: each park returns WEFT_ECANCELED from now on. */
static void node_crashed(void *user, unsigned node)
{
	struct rt_runtime *rt = user;

	list_for_each(it, &rt->workers[0].fibers) {
		struct rt_fiber *f = container_of(it, struct rt_fiber, worker_link);

		if (f->node != node)
			continue;
		f->crashed = true;
		weft_unpark(&f->parker);
	}
}

static struct io *sim_io(void)
{
	return rt_tls && rt_tls->is_sim ? rt_tls->io : NULL;
}

bool rt_is_sim(void)
{
	return sim_io() != NULL;
}

uint64_t rt_sim_step(void)
{
	return rt_is_sim() ? rt_tls->runtime->sim_steps : 0;
}

bool weft_in_sim(void)
{
	return sim_io() != NULL;
}

static void fill_result(struct rt_runtime *rt, weft_sim_result *result)
{
	struct io *io = rt->workers[0].io;

	result->hash = io_sim_hash(io);
	result->steps = rt->sim_steps;
	result->virtual_ns = io_sim_elapsed(io);
	/* relaxed: a simulated run has one thread */
	result->fibers_left = atomic_load_explicit(&rt->fibers, memory_order_relaxed);
	result->sockets_left = io_sim_sockets(io);
}

/* What a deadlock or the step limit leaves behind: stacks are dropped as they are. */
static void drop_fibers(struct rt_runtime *rt)
{
	struct rt_worker *w = &rt->workers[0];
	struct list *link;

	while ((link = list_pop_front(&w->fibers))) {
		struct rt_fiber *f = container_of(link, struct rt_fiber, worker_link);

		rt_timer_remove(w, &f->timer);
		err_slot_fini(&f->err);
		rt_fiber_put(w, f);
	}
}

/* Allocations of the run's fibers fail as the seed has it; all others go on as before. */
struct sim_memory {
	struct mem_hooks hooks;
	const struct mem_hooks *before;
	struct io *io;
};

static bool memory_allow(void *user, size_t size)
{
	struct sim_memory *m = user;

	if (m->before && !m->before->allow(m->before->user, size))
		return false;
	return !rt_current() || rt_tls->io != m->io || !io_sim_memory_fails(m->io);
}

static void memory_made(void *user)
{
	struct sim_memory *m = user;

	if (m->before && m->before->made)
		m->before->made(m->before->user);
}

static void memory_gone(void *user)
{
	struct sim_memory *m = user;

	if (m->before && m->before->gone)
		m->before->gone(m->before->user);
}

static weft_err run_main(
	struct rt_runtime *rt, weft_fiber_fn main_fn, void *arg, unsigned memory_fail_permille)
{
	struct sim_memory m = { .hooks = { memory_allow, memory_made, memory_gone, &m } };
	weft_err err;

	if (memory_fail_permille == 0)
		return rt_runtime_main(rt, main_fn, arg);
	m.io = rt->workers[0].io;
	m.before = mem_hooks_set(NULL);
	mem_hooks_set(&m.hooks);
	err = rt_runtime_main(rt, main_fn, arg);
	mem_hooks_set(m.before);
	return err;
}

weft_err weft_sim_run(
	weft_fiber_fn main_fn, void *arg, const weft_sim_options *given, weft_sim_result *result)
{
	weft_sim_options sim = WEFT_SIM_OPTIONS_DEFAULT;
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;
	struct io_sim_options io_options = { &sim, node_of_current, node_crashed, NULL };
	struct rt_runtime *rt = NULL;
	weft_err err;
	int rc;

	if (!main_fn || rt_tls)
		return err_setf(WEFT_EINVAL,
			rt_tls ? "weft_sim_run: called from a fiber" : "weft_sim_run: no function");
	if (given)
		sim = *given;
	options.workers = 1;
	options.fibers_max = 1000000;
	err = rt_runtime_make(&rt, &options, true);
	if (err)
		return err;
	rt->sim_steps_max = sim.steps_max ? sim.steps_max : STEPS_MAX_DEFAULT;
	io_options.user = rt;
	rc = io_sim_create(&rt->workers[0].io, &io_options);
	if (rc < 0) {
		err = err_sys(-rc, "weft_sim_run: make the simulated net");
		goto out;
	}
	err = run_main(rt, main_fn, arg, sim.memory_fail_permille);
	if (rt->sim_end)
		err = rt->sim_end == WEFT_EDEADLOCK
			? err_setf(rt->sim_end, "simulated run: seed %llu, step %llu: deadlock",
				  (unsigned long long)sim.seed, (unsigned long long)rt->sim_steps)
			: err_setf(rt->sim_end, "simulated run: seed %llu: %llu steps and no end",
				  (unsigned long long)sim.seed, (unsigned long long)rt->sim_steps);
	if (rt->sim_end)
		rt_dump_worker(&rt->workers[0], STDERR_FILENO);
	if (result)
		fill_result(rt, result);
	drop_fibers(rt);
out:
	rt_runtime_free(rt);
	return err;
}

weft_err weft_sim_node(unsigned *node, const char *name)
{
	struct io *io = sim_io();
	int rc = io ? io_sim_node_add(io, node, name) : -EINVAL;

	if (rc == 0)
		return WEFT_OK;
	if (rc == -ENOSPC)
		return err_setf(WEFT_ECAPACITY, "simulated node: no more addresses");
	if (rc == -EEXIST)
		return err_setf(WEFT_EDUPLICATE, "simulated node: \"%s\" exists", name);
	return io ? err_sys(-rc, "simulated node")
		  : err_setf(WEFT_EINVAL, "simulated node: not in a simulated run");
}

weft_err weft_sim_spawn(
	unsigned node, weft_fiber **out, const char *name, weft_fiber_fn fn, void *arg)
{
	struct rt_spawn s = { NULL, NODE_UNSET, node, name, fn, arg, out };
	struct io *io = sim_io();

	if (!io || node >= io_sim_node_count(io))
		return err_setf(WEFT_EINVAL,
			io ? "simulated spawn: no node %u"
			   : "simulated spawn on node %u: not in a simulated run",
			node);
	return rt_spawn(&s);
}

unsigned weft_sim_node_self(void)
{
	return node_of_current(NULL);
}

void weft_sim_partition(unsigned a, unsigned b)
{
	if (sim_io())
		io_sim_partition(sim_io(), a, b, true);
}

void weft_sim_heal(unsigned a, unsigned b)
{
	if (sim_io())
		io_sim_partition(sim_io(), a, b, false);
}

void weft_sim_crash(unsigned node)
{
	if (sim_io())
		io_sim_crash(sim_io(), node);
}

void weft_sim_reset_all(unsigned node)
{
	if (sim_io())
		io_sim_reset_all(sim_io(), node);
}

void weft_sim_clock_jump(int64_t forward_ns)
{
	if (sim_io())
		io_sim_clock_jump(sim_io(), forward_ns);
}

void weft_sim_descriptor_limit(unsigned node, size_t limit)
{
	if (sim_io())
		io_sim_descriptor_limit(sim_io(), node, limit);
}

uint64_t weft_sim_random(void)
{
	return sim_io() ? io_sim_random_application(sim_io()) : 0;
}

uint64_t weft_sim_random_below(uint64_t bound)
{
	return bound ? weft_sim_random() % bound : 0;
}

void weft_sim_note(uint64_t value)
{
	if (sim_io())
		io_sim_note(sim_io(), value);
}
