/* SPDX-License-Identifier: MIT */
#ifndef RT_FIBER_H
#define RT_FIBER_H

/*
 * The runtime's own structures. Only src/rt includes this, and the gdb helper reads it.
 *
 * Who may touch what: "owner" is the thread of the worker that a fiber is pinned to.
 * Other threads reach a fiber only by its parker's word, and through the inbox.
 */
#include "base/err.h"
#include "base/heap.h"
#include "base/list.h"
#include "rt/idle.h"
#include "rt/lock.h"
#include "rt/rt.h"
#include "rt/san.h"
#include "rt/token.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct reclaim_record;
struct rt_worker;
struct rt_runtime;
struct rt_slab;

#define RT_NAME_MAX 32
#define RT_BUDGET 64		      /* fibers run between two polls */
#define RT_REST_NS INT64_C(500000000) /* between two times that free stacks give pages back */
#define RT_STACK_DEFAULT ((size_t)64 << 10)
#define RT_STACK_SANITIZED ((size_t)256 << 10)
#define RT_WORKERS_MAX 256

enum rt_park_word {
	RT_EMPTY = 0,	 /* running, nothing pending */
	RT_PARKED = 1,	 /* waits for an unpark */
	RT_NOTIFIED = 2, /* an unpark came; the next park returns at once */
};

/* A fiber's is the head of its struct rt_fiber; a thread's comes from a pool. Neither
 * memory is ever given back. */
struct weft_parker {
	_Atomic uint32_t word; /* enum rt_park_word */
	bool is_fiber;	       /* fixed */
};

/* A message to a worker: in its inbox from rt_inject until run() is called by the owner. */
struct rt_inject {
	struct rt_inject *next;
	void (*run)(struct rt_worker *worker, struct rt_inject *inject);
};

enum rt_fiber_state {
	RT_FIBER_FREE = 0,
	RT_FIBER_RUNNABLE,
	RT_FIBER_RUNNING,
	RT_FIBER_PARKED,
};

/* A timer in its worker's heap. Lazy: the heap's key may be earlier than the deadline, or
 * the timer disarmed; both are put right when the key comes up. Owner only. */
struct rt_timer {
	struct heap_node node;
	int64_t deadline; /* INT64_MAX: disarmed */
	void (*fire)(struct rt_worker *worker, struct rt_timer *timer);
};

/* See token.c. Here so that the check of every park and yield is one load, inlined. */
struct weft_cancel {
	_Atomic int32_t state; /* 0, or the reason (negative); first: struct weft_cancel_head */
	_Atomic uint32_t refs;
	struct rt_lock lock;
	struct list nodes;    /* of rt_token_node; under lock */
	struct list children; /* of weft_cancel.link; under lock */
	struct list link;     /* in parent->children, under parent->lock; or the canceller's */
	struct list linked;   /* in the list of the canceller who came over a link */
	weft_cancel *parent;  /* held; NULL: a root; fixed */
	struct rt_token_node *running; /* the node whose fn runs now; under lock */
	uintptr_t runner;	       /* rt_self_id of who runs it; under lock */
	struct rt_worker *worker;      /* keeps the deadline; NULL: none */
	uint64_t generation;	       /* of the runtime that worker belongs to */
	weft_deadline at;	       /* WEFT_FOREVER: none; fixed */
	struct rt_timer timer;	       /* worker's owner */
	struct rt_inject inject;       /* once, at the end of life */
};

_Static_assert(offsetof(weft_cancel, state) == offsetof(struct weft_cancel_head, state) &&
		sizeof(_Atomic int32_t) == sizeof(int32_t),
	"cancel.h reads it");

static inline bool rt_token_is_cancelled(const weft_cancel *token)
{
	/* acquire; pairs with the winner's exchange in cancel_one */
	return atomic_load_explicit(&token->state, memory_order_acquire) != 0;
}

/*
 *      base                                                      top
 *       | guard page | ... free ... | saved registers | frames   |
 *                                    ^ sp, while not running
 */
struct rt_fiber {
	struct weft_parker parker; /* first: a parker of a fiber is its fiber */
	uint8_t state;		   /* enum rt_fiber_state; owner */
	bool timed_out;		   /* the park's timer fired; owner */
	bool crashed;		   /* simulated: its node is gone; owner */
	bool canary;		   /* no guard page: a canary word at base; fixed per stack */
	bool is_worn;		   /* free, its stack may have pages; the depot's lock */
	unsigned shield;	   /* > 0: cancellation is not seen; the fiber itself */
	unsigned streak;	   /* see rt_take_turns; the fiber itself */
	unsigned node;		   /* simulated node; fixed from spawn */
	void *sp;		   /* saved stack pointer; valid while not running; owner */
	struct rt_fiber *next;	   /* in a run queue or a free list */
	struct rt_worker *worker;  /* fixed from spawn to exit */
	weft_cancel *token;	   /* its scope's; borrowed: the scope outlives the fiber */
	weft_fiber_fn fn;
	void *arg;
	const char *why;	 /* what it waits for; valid while parked; owner */
	int64_t parked_at;	 /* worker's clock; valid while parked; owner */
	struct rt_timer timer;	 /* deadline of the park under way; owner */
	struct rt_inject inject; /* wake from another worker; one at a time: PARKED -> */
	weft_scope *scope;
	struct list scope_link;	   /* under scope->lock */
	struct list worker_link;   /* in worker->fibers; owner */
	struct weft_fiber *handle; /* who joins; NULL: the scope gets the result */
	struct err_slot err;	   /* the fiber itself */
	uint64_t slot;		   /* number of the structure; fixed */
	uint64_t id;		   /* slot; simulated: counts from 1 in each run */
	char *base;		   /* lowest address of the stack, guard included */
	size_t size;		   /* guard included */
	struct rt_slab *slab;	   /* fixed */
#ifdef RT_ASAN
	void *fake_stack;
#endif
#ifdef RT_TSAN
	void *tsan;
#endif
	char name[RT_NAME_MAX];
};

/* Written by the owner with relaxed stores, read by anybody. */
struct rt_counters {
	_Atomic uint64_t fibers_spawned, switches, parks, wakes_local, wakes_remote;
	_Atomic uint64_t polls, sleeps, io_events, timers_fired;
};

struct rt_worker {
	/* owner only */
	struct rt_fiber *current; /* NULL: the loop itself runs */
	struct rt_fiber *run_head, *run_tail;
	size_t run_len;
	unsigned budget; /* fibers that may still run before the next poll */
	unsigned index;
	bool is_sim;
	int *errno_at; /* errno's address: the thread's, so the same for all its fibers */
	void *loop_sp; /* saved stack pointer of the loop, while a fiber runs */
	struct io *io;
	struct rt_runtime *runtime;
	struct reclaim_record *reclaim; /* reclaim.c's, while the loop runs */
	int64_t now;			/* clock as of the last poll */
	struct heap timers;
	uint64_t timer_seq;
	struct rt_fiber *cache;	     /* free fibers with their stacks, warm ones first */
	size_t cache_len, cache_low; /* low: the fewest since it last rested */
	int64_t rest_at;	     /* when it rests next; 0: as long after it runs dry */
	bool is_worn;		     /* fibers have ended since there was nothing to give back */
	struct list fibers;	     /* all that live here */
	struct rt_counters counters;
	bool may_spin;	     /* wakes came soon lately; see look_for_work */
	bool looks_at_net;   /* others of this machine may run beside; fixed */
	struct rt_idle idle; /* when it last ran dry, and how that went */
#ifdef RT_ASAN
	void *loop_fake_stack;
	const void *loop_stack_bottom;
	size_t loop_stack_size;
#endif
#ifdef RT_TSAN
	void *loop_tsan;
#endif
	pthread_t thread;
	bool thread_started;
	int cpu; /* pinned to; -1: not */

	/* any thread */
	_Alignas(CACHE_APART) _Atomic(struct rt_inject *) inbox; /* Treiber stack */
	_Atomic uint32_t sleeping; /* 1: only the backend's wake ends its wait */
	_Atomic uint64_t wakes_syscall;
	_Alignas(CACHE_APART) _Atomic uint64_t load; /* fibers alive, also ones on their way */
	_Atomic int dump_fd;			     /* >= 0: a dump was asked for; see dump.c */
};

struct rt_runtime {
	uint64_t generation; /* unique in the process; fixed */
	unsigned workers_len;
	struct rt_worker *workers;
	size_t stack_size;
	size_t fibers_max;
	weft_run_options options;
	bool is_sim;
	weft_scope *root;
	weft_err main_result;
	struct err_slot main_err;
	struct rt_offload *offload; /* NULL in a simulated run */
	struct rt_helper *helper;   /* the thread of rt_call_main_thread */
	weft_err sim_end;	    /* simulated: deadlock, or steps_max reached */
	uint64_t sim_steps, sim_steps_max;
	uint64_t sim_waited_at;			       /* the step of the last wait */
	uint64_t sim_ids;			       /* fibers of the run, so that runs repeat */
	_Alignas(CACHE_APART) _Atomic uint64_t fibers; /* alive in all */
	_Atomic uint32_t stopping;    /* 1: no fiber is left, workers leave their loops */
	_Atomic uint32_t next_worker; /* round robin for plain threads */
	_Atomic uint32_t injecting;   /* plain threads inside rt_inject */
};

/* The calling thread's worker; NULL in a plain thread. Fibers are pinned, so that the
 * address stays right across a switch. */
extern _Thread_local struct rt_worker *rt_tls __attribute__((tls_model("initial-exec")));

static inline struct rt_fiber *rt_current(void)
{
	return rt_tls ? rt_tls->current : NULL;
}

static inline struct rt_fiber *rt_parker_fiber(struct weft_parker *p)
{
	return container_of(p, struct rt_fiber, parker);
}

static inline void rt_count(_Atomic uint64_t *counter)
{
	/* relaxed both: only the owner writes; readers want no order, just no tearing */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
		memory_order_relaxed);
}

static inline bool rt_is_cancelled(const struct rt_fiber *f)
{
	return weft_unlikely(rt_token_is_cancelled(f->token) || f->crashed) && !f->shield;
}

/* Queues a fiber. Owner only. */
static inline void rt_runnable(struct rt_worker *worker, struct rt_fiber *fiber)
{
	fiber->state = RT_FIBER_RUNNABLE;
	fiber->next = NULL;
	if (worker->run_tail)
		worker->run_tail->next = fiber;
	else
		worker->run_head = fiber;
	worker->run_tail = fiber;
	worker->run_len++;
}

/* The process's runtime, or that of the calling fiber; NULL: none. */
struct rt_runtime *rt_runtime_self(void);
/* The same, held from enter to leave: it is not freed in between, so that a plain thread
 * may use it while it ends. Not to be held across a wait. leave: NULL is allowed. */
struct rt_runtime *rt_runtime_enter(void);
void rt_runtime_leave(struct rt_runtime *rt);
/* The process's, whoever calls; async-signal-safe. Leave it by rt_visit_end, if not NULL. */
struct rt_runtime *rt_visit(void);
void rt_visit_end(void);

/* worker.c: owner only, unless said */
void rt_switch_away(struct rt_worker *worker, struct rt_fiber *self);
_Noreturn void rt_switch_exit(struct rt_worker *worker, struct rt_fiber *self);
void rt_worker_loop(struct rt_worker *worker);
int rt_worker_init(struct rt_worker *worker, struct rt_runtime *rt, unsigned index);
void rt_worker_settle(struct rt_worker *worker);
void rt_worker_fini(struct rt_worker *worker);
void rt_inject(struct rt_worker *worker, struct rt_inject *inject); /* any thread */
void rt_worker_nudge(struct rt_worker *worker); /* any thread, signal handlers too */

/* stack.c */
struct rt_fiber *rt_fiber_get(struct rt_worker *cache, size_t stack_size);
void rt_fiber_put(struct rt_worker *cache, struct rt_fiber *fiber);
void rt_fiber_return(struct rt_fiber *fiber); /* without a worker's cache */
void rt_fiber_cache_flush(struct rt_worker *cache, size_t keep);
/* Gives back what free stacks have cost; see the top of stack.c. Returns after how many ns there may be
 * more; 0: there is no more. */
int64_t rt_stacks_rest(struct rt_worker *cache);
void rt_stacks_trim(void); /* unmaps every slab without a live fiber */
void rt_stack_check(struct rt_fiber *fiber);

/* timer.c: owner only */
weft_err rt_timer_arm(struct rt_worker *worker, struct rt_timer *timer, int64_t deadline);
void rt_timer_disarm(struct rt_timer *timer);
void rt_timer_remove(struct rt_worker *worker, struct rt_timer *timer);
void rt_timers_expire(struct rt_worker *worker, int64_t now);
int64_t rt_timers_next(struct rt_worker *worker); /* IO_FOREVER: none */

/* fiber.c, park.c */
void rt_fiber_fire(struct rt_worker *worker, struct rt_timer *timer);
void rt_fiber_unspawn(struct rt_fiber *fiber);
void *rt_pages_alloc(size_t bytes);

/* scope.c */
weft_err rt_scope_create(weft_scope **out, struct rt_runtime *rt, weft_cancel *parent);
weft_err rt_scope_enter(weft_scope *scope, struct rt_fiber *fiber, bool always);
void rt_scope_leave(struct rt_fiber *fiber, weft_err result);
weft_err rt_scope_error(weft_scope *scope);
bool rt_scope_is_empty(weft_scope *scope);
void rt_scope_destroy(weft_scope *scope);
weft_err rt_scope_wait_empty(weft_scope *scope, weft_deadline until);
void rt_scope_end(weft_scope *scope);

/* offload.c */
weft_err rt_offload_create(struct rt_offload **out, unsigned threads, unsigned queue_max);
void rt_offload_stop(struct rt_offload *p);
void rt_helper_stop(struct rt_runtime *rt);

/* dump.c */
void rt_dump_worker(struct rt_worker *worker, int fd);
int rt_dump_install(void);
void rt_dump_uninstall(void);

/* fault.c */
void rt_fault_install(void);
void rt_fault_uninstall(void);
weft_err rt_fault_thread_begin(void **altstack);
void rt_fault_thread_end(void *altstack);

/* runtime.c */
void rt_fiber_gone(struct rt_runtime *rt);
/* workers, root scope and main fiber; *out is there to be run and then freed */
weft_err rt_runtime_make(struct rt_runtime **out, const weft_run_options *options, bool is_sim);
weft_err rt_runtime_main(struct rt_runtime *rt, weft_fiber_fn main_fn, void *arg);
void rt_runtime_free(struct rt_runtime *rt);

#endif
