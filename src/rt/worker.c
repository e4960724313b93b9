/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * A worker: one thread, its fibers, its netpoll backend.
 *
 *	loop: drain the inbox -> expire timers -> run at most RT_BUDGET fibers -> poll,
 *	      which waits only when no fiber is runnable
 *
 * While the budget lasts, a fiber that leaves switches straight to the next runnable one;
 * the loop's own stack is entered when there is none, or the budget is spent.
 *
 * Sleep and wake (failure 10 of the primitives: a wake lost between the last look at the
 * inbox and the sleep):
 *
 *	owner:  sleeping = 1 ; inbox empty? wait        (both sequentially consistent)
 *	waker:  push to inbox ; sleeping == 1? wake     (both sequentially consistent)
 *
 * In the one total order either the waker's push comes before the owner's look, which
 * then finds it, or the owner's store comes before the waker's load, which then wakes.
 */
#include "base/check.h"
#include "io/sim.h"
#include "rt/cpu.h"
#include "rt/fiber.h"
#include "rt/reclaim.h"
#include "rt/switch.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>

#define SPIN_NS 50000	   /* longer than a sleeping worker takes to wake */
#define SPIN_LOOKS 32	   /* at the inbox, between two looks at the clock and the net */
#define NET_LOOKS 12	   /* the same, when it is the net that is looked at */
#define NET_YIELD 8	   /* looks at the net, between two times the core is given away */
#define SIM_BUSY_MAX 10000 /* steps of a simulated run in one moment */
#define SIM_PICK_MAX 16	   /* the simulator picks among that many of the queue's first */

_Thread_local struct rt_worker *rt_tls __attribute__((tls_model("initial-exec")));

static struct rt_fiber *take_first(struct rt_worker *worker)
{
	struct rt_fiber *f = worker->run_head;

	if (!f)
		return NULL;
	worker->run_head = f->next;
	if (!worker->run_head)
		worker->run_tail = NULL;
	worker->run_len--;
	return f;
}

/* Simulated: any of the first few, as the seed has it. */
static struct rt_fiber *take_random(struct rt_worker *worker)
{
	size_t among = worker->run_len < SIM_PICK_MAX ? worker->run_len : SIM_PICK_MAX;
	struct rt_fiber *before = NULL, *f = worker->run_head;
	uint64_t skip;

	if (among == 0)
		return NULL;
	skip = io_sim_random_schedule(worker->io, among);
	if (skip == 0)
		return take_first(worker);
	for (; skip > 0; skip--) {
		before = f;
		f = f->next;
	}
	before->next = f->next;
	if (worker->run_tail == f)
		worker->run_tail = before;
	worker->run_len--;
	return f;
}

/* --- switching ------------------------------------------------------------------------ */

#ifdef RT_TSAN
/*
 * The thread sanitizer holds a signal back until the next call it intercepts in the same
 * fiber, which one that parks may never make. So signals come only while the worker's own loop
 * runs: blocked from loop to fiber, as they were from fiber to loop.
 */
static _Thread_local sigset_t loop_mask;

static void san_block_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGABRT);
	(void)pthread_sigmask(SIG_BLOCK, &all, &loop_mask);
}
#endif

/* Inlined for certain: the thread sanitizer counts calls and returns per fiber, and a call
 * of this one would return in another. */
__attribute__((always_inline)) static inline void san_leave_for(
	struct rt_worker *w, struct rt_fiber *self, struct rt_fiber *next, bool exits)
{
#ifdef RT_ASAN
	void **save = exits ? NULL : self ? &self->fake_stack : &w->loop_fake_stack;

	if (next)
		__sanitizer_start_switch_fiber(save, next->base, next->size);
	else
		__sanitizer_start_switch_fiber(save, w->loop_stack_bottom, w->loop_stack_size);
#endif
#ifdef RT_TSAN
	if (!self && next)
		san_block_signals();
	__tsan_switch_to_fiber(next ? next->tsan : w->loop_tsan, 0);
#endif
	(void)w;
	(void)self;
	(void)next;
	(void)exits;
}

__attribute__((always_inline)) static inline void san_arrived(
	struct rt_worker *w, struct rt_fiber *self)
{
#ifdef RT_TSAN
	if (!self)
		(void)pthread_sigmask(SIG_SETMASK, &loop_mask, NULL);
#endif
#ifdef RT_ASAN
	if (self)
		__sanitizer_finish_switch_fiber(self->fake_stack, NULL, NULL);
	else
		__sanitizer_finish_switch_fiber(w->loop_fake_stack, NULL, NULL);
#endif
	(void)w;
	(void)self;
}

static inline void enter(struct rt_worker *w, struct rt_fiber *next)
{
	next->state = RT_FIBER_RUNNING;
	w->current = next;
	rt_count(&w->counters.switches);
}

/* The next fiber to switch to directly; NULL: back to the loop. */
static inline struct rt_fiber *next_direct(struct rt_worker *w)
{
	if (w->budget == 0)
		return NULL;
	w->budget--;
	return take_first(w);
}

/* self is queued or parked; returns when it runs again. */
void rt_switch_away(struct rt_worker *w, struct rt_fiber *self)
{
	struct rt_fiber *next = next_direct(w);
	int saved_errno = *w->errno_at;

	/* both NULL never meet: self is a fiber */
	if (next && next == self) {
		self->state = RT_FIBER_RUNNING;
		return;
	}
	if (weft_unlikely(self->canary))
		rt_stack_check(self);
	if (next)
		enter(w, next);
	else
		w->current = NULL;
	san_leave_for(w, self, next, false);
	rt_switch(&self->sp, next ? next->sp : w->loop_sp);
	san_arrived(w, self);
	*w->errno_at = saved_errno;
}

void rt_switch_exit(struct rt_worker *w, struct rt_fiber *self)
{
	struct rt_fiber *next;

	self->state = RT_FIBER_FREE;
	rt_stack_check(self);
	rt_fiber_put(w, self);
	next = next_direct(w);
	if (next)
		enter(w, next);
	else
		w->current = NULL;
	san_leave_for(w, self, next, true);
	rt_switch(&self->sp, next ? next->sp : w->loop_sp);
	check_failed(__FILE__, __LINE__, "an ended fiber ran again");
}

/* From the loop into a fiber; back when it, or one it switched to, returns here. */
static void run_from_loop(struct rt_worker *w, struct rt_fiber *next)
{
	enter(w, next);
	san_leave_for(w, NULL, next, false);
	rt_switch(&w->loop_sp, next->sp);
	san_arrived(w, NULL);
}

/* --- inbox ---------------------------------------------------------------------------- */

void rt_worker_nudge(struct rt_worker *worker)
{
	/* seq_cst: in one order with the owner's store and look (head of the file) */
	if (atomic_load_explicit(&worker->sleeping, memory_order_seq_cst) == 0)
		return;
	/* seq_cst: of several wakers one pays for the system call */
	if (atomic_exchange_explicit(&worker->sleeping, 0, memory_order_seq_cst) == 0)
		return;
	/* relaxed: a statistic, read on its own */
	atomic_fetch_add_explicit(&worker->wakes_syscall, 1, memory_order_relaxed);
	worker->io->ops->wake(worker->io);
}

static void inbox_push(struct rt_worker *worker, struct rt_inject *inject)
{
	/* relaxed: only compared by the exchange below */
	struct rt_inject *head = atomic_load_explicit(&worker->inbox, memory_order_relaxed);

	do {
		inject->next = head;
		/* seq_cst: publishes the message (release), and in one order with sleeping;
		 * relaxed on failure: tried again */
	} while (!atomic_compare_exchange_weak_explicit(
		&worker->inbox, &head, inject, memory_order_seq_cst, memory_order_relaxed));
	rt_worker_nudge(worker);
}

/* What is pushed may be the last that keeps the runtime up: a plain thread, or one in
 * another runtime, holds it until it has let go of the worker (rt_runtime_free waits);
 * its own workers are joined anyway. */
void rt_inject(struct rt_worker *worker, struct rt_inject *inject)
{
	struct rt_runtime *rt = worker->runtime;

	if (rt_tls && rt_tls->runtime == rt) {
		inbox_push(worker, inject);
		return;
	}
	/* relaxed: the push, which comes after, publishes it */
	atomic_fetch_add_explicit(&rt->injecting, 1, memory_order_relaxed);
	inbox_push(worker, inject);
	/* release; pairs with the acquire in rt_runtime_free: this thread is done with it */
	atomic_fetch_sub_explicit(&rt->injecting, 1, memory_order_release);
}

static bool inbox_is_empty(struct rt_worker *w)
{
	/* seq_cst: the owner's look after sleeping = 1 (head of the file) */
	return atomic_load_explicit(&w->inbox, memory_order_seq_cst) == NULL;
}

static void inbox_drain(struct rt_worker *w)
{
	struct rt_inject *list, *fifo = NULL;

	/* relaxed: a hint that spares the exchange; the look before a sleep is exact */
	if (!atomic_load_explicit(&w->inbox, memory_order_relaxed))
		return;
	/* acquire; pairs with the push: what the sender wrote before */
	list = atomic_exchange_explicit(&w->inbox, NULL, memory_order_acquire);
	while (list) {
		struct rt_inject *next = list->next;

		list->next = fifo;
		fifo = list;
		list = next;
	}
	while (fifo) {
		struct rt_inject *next = fifo->next;

		fifo->run(w, fifo);
		fifo = next;
	}
}

/* --- loop ----------------------------------------------------------------------------- */

static bool is_stopping(struct rt_worker *w)
{
	/* acquire; pairs with the release in rt_fiber_gone: the last fiber's work */
	return atomic_load_explicit(&w->runtime->stopping, memory_order_acquire) != 0;
}

static void deliver(struct rt_worker *w, int64_t until)
{
	int n = w->io->ops->wait(w->io, until);

	rt_count(&w->counters.polls);
	if (n > 0)
		/* relaxed both: the owner's statistic */
		atomic_store_explicit(&w->counters.io_events,
			atomic_load_explicit(&w->counters.io_events, memory_order_relaxed) +
				(uint64_t)n,
			memory_order_relaxed);
	if (n == -EDEADLK && !w->run_head)
		w->runtime->sim_end = WEFT_EDEADLOCK;
}

/*
 * A wake that must end another core's sleep costs 20 to 35 us. So a worker that ran dry looks
 * at its inbox a while longer than that before it sleeps, if wakes came that soon lately: a
 * shorter look would never meet a partner who is just being woken, and both would go on
 * sleeping in turn. The first look in vain ends it, until a sleep turns out to have been short
 * again; so that rare wakes cost no spinning. For the net the same is idle.h's to decide.
 */
static int64_t look_for(struct rt_worker *w)
{
	int64_t now = w->io->ops->now(w->io), look = 0;

	if (w->looks_at_net && w->io->ops->has_work(w->io))
		look = idle_begin(&w->idle, now);
	else
		w->idle.since = now;
	if (w->may_spin && look < SPIN_NS && w->runtime->workers_len > 1 && rt_cores() > 1)
		look = SPIN_NS;
	return look;
}

static bool look_at_inbox(struct rt_worker *w, int looks)
{
	for (int i = 0; i < looks; i++) {
		/* relaxed: a hint; inbox_drain acquires */
		if (atomic_load_explicit(&w->inbox, memory_order_relaxed))
			return true;
		cpu_pause();
	}
	return false;
}

/* True: there is something to do. What looks at the net lets others have the core. */
static bool look_for_work(struct rt_worker *w, int64_t until)
{
	int64_t look = look_for(w), end = w->idle.since + look, now = w->idle.since;
	bool net = w->idle.mode != IDLE_SLEEP;
	int64_t first = net ? idle_first_look(&w->idle) : now;

	if (look == 0)
		return false;
	if (until < end)
		end = until;
	for (unsigned looks = 1; now < end; looks++) {
		if (look_at_inbox(w, net ? NET_LOOKS : SPIN_LOOKS))
			return true;
		now = w->io->ops->now(w->io);
		if (now >= first && w->io->ops->has_work(w->io))
			deliver(w, 0);
		if (w->run_head || is_stopping(w))
			return true;
		if (net && looks % NET_YIELD == 0)
			sched_yield();
	}
	w->may_spin = false;
	return false;
}

/* After a wait that came to an end, by a message, the net or a timer. */
static void judge_wait(struct rt_worker *w, bool slept)
{
	int64_t now = w->io->ops->now(w->io);

	/* relaxed: a hint for the next wait */
	if (slept && atomic_load_explicit(&w->inbox, memory_order_relaxed))
		w->may_spin = now - w->idle.since < 2 * SPIN_NS;
	if (w->looks_at_net)
		idle_end(&w->idle, now);
}

/* Simulated: time passes when nobody can run, and for those who only yield until
 * something happens, at last too. */
static void sim_poll(struct rt_worker *w, int64_t until)
{
	struct rt_runtime *rt = w->runtime;

	if (w->run_head && rt->sim_steps - rt->sim_waited_at < SIM_BUSY_MAX)
		return;
	rt->sim_waited_at = rt->sim_steps;
	deliver(w, until);
}

/* The worker ran dry, and would sleep until then. */
static void rest(struct rt_worker *w, int64_t *until)
{
	int64_t now = w->idle.since;

	if (!w->rest_at)
		w->rest_at = now + RT_REST_NS;
	if (now >= w->rest_at) {
		int64_t after = rt_stacks_rest(w);

		w->is_worn = after > 0;
		w->rest_at = after ? now + after : 0;
	}
	if (w->is_worn && *until > w->rest_at)
		*until = w->rest_at;
}

static void poll_or_sleep(struct rt_worker *w)
{
	int64_t until = rt_timers_next(w);

	if (w->is_sim) {
		sim_poll(w, until);
		return;
	}
	if (w->run_head) {
		if (w->io->ops->has_work(w->io))
			deliver(w, 0);
		return;
	}
	if (look_for_work(w, until)) {
		judge_wait(w, false);
		return;
	}
	if (weft_unlikely(w->is_worn))
		rest(w, &until);
	/* seq_cst: before the look at the inbox in one order (head of the file) */
	atomic_exchange_explicit(&w->sleeping, 1, memory_order_seq_cst);
	/* relaxed: whoever asks for a dump nudges afterwards, and stopping nudges too */
	if (inbox_is_empty(w) && !is_stopping(w) &&
		atomic_load_explicit(&w->dump_fd, memory_order_relaxed) < 0 &&
		reclaim_offline(&until)) {
		rt_count(&w->counters.sleeps);
		deliver(w, until);
		reclaim_online();
		judge_wait(w, true);
	}
	/* relaxed: nobody reads 0 to rely on what came before */
	atomic_store_explicit(&w->sleeping, 0, memory_order_relaxed);
}

static void answer_dump(struct rt_worker *w)
{
	/* relaxed: a number, nothing hangs on it */
	int fd = atomic_load_explicit(&w->dump_fd, memory_order_relaxed);

	if (weft_likely(fd < 0))
		return;
	/* relaxed: a number, nothing hangs on it */
	atomic_store_explicit(&w->dump_fd, -1, memory_order_relaxed);
	rt_dump_worker(w, fd);
}

static bool sim_is_over(struct rt_worker *w)
{
	struct rt_runtime *rt = w->runtime;

	if (rt->sim_end)
		return true;
	if (rt->sim_steps < rt->sim_steps_max)
		return false;
	rt->sim_end = WEFT_ECAPACITY;
	return true;
}

static void run_some(struct rt_worker *w)
{
	struct rt_fiber *f;

	if (w->is_sim) {
		f = take_random(w);
		if (!f)
			return;
		w->runtime->sim_steps++;
		io_sim_step(w->io, f->node, f->id);
		w->budget = 0;
		run_from_loop(w, f);
		return;
	}
	w->budget = RT_BUDGET;
	f = next_direct(w);
	if (f)
		run_from_loop(w, f);
}

void rt_worker_loop(struct rt_worker *w)
{
	rt_tls = w;
	w->errno_at = &errno;
#ifdef RT_TSAN
	w->loop_tsan = __tsan_get_current_fiber();
#endif
#ifdef RT_ASAN
	{
		pthread_attr_t attr;
		void *bottom = NULL;

		if (pthread_getattr_np(pthread_self(), &attr) == 0) {
			pthread_attr_getstack(&attr, &bottom, &w->loop_stack_size);
			pthread_attr_destroy(&attr);
		}
		w->loop_stack_bottom = bottom;
	}
#endif
	w->now = w->io->ops->now(w->io);
	idle_init(&w->idle, w->now);
	w->looks_at_net = !w->is_sim && rt_machine_cores() > 1;
	reclaim_worker_begin(w->reclaim);
	while (!is_stopping(w)) {
		inbox_drain(w);
		if (heap_peek(&w->timers)) {
			w->now = w->io->ops->now(w->io);
			rt_timers_expire(w, w->now);
		}
		answer_dump(w);
		run_some(w);
		rt_fiber_cache_flush(w, 64);
		reclaim_tick();
		if (is_stopping(w) || (w->is_sim && sim_is_over(w)))
			break;
		poll_or_sleep(w);
	}
	reclaim_worker_end();
	rt_tls = NULL;
}

int rt_worker_init(struct rt_worker *w, struct rt_runtime *rt, unsigned index)
{
	w->runtime = rt;
	w->index = index;
	w->is_sim = rt->is_sim;
	w->cpu = -1;
	list_init(&w->fibers);
	heap_init(&w->timers);
	/* relaxed: nobody else knows the worker yet */
	atomic_store_explicit(&w->dump_fd, -1, memory_order_relaxed);
	w->reclaim = reclaim_record_get();
	if (!w->reclaim)
		return -ENOMEM;
	return w->is_sim ? 0 : io_epoll_create(&w->io);
}

/* Tokens with deadlines may outlive the runtime: theirs never comes then. */
void rt_worker_settle(struct rt_worker *w)
{
	struct heap_node *node;

	inbox_drain(w);
	while ((node = heap_peek(&w->timers)))
		heap_remove(&w->timers, node);
}

void rt_worker_fini(struct rt_worker *w)
{
	rt_worker_settle(w);
	heap_fini(&w->timers);
	rt_fiber_cache_flush(w, 0);
	if (w->io)
		w->io->ops->destroy(w->io);
	w->io = NULL;
	reclaim_record_put(w->reclaim);
	w->reclaim = NULL;
}
