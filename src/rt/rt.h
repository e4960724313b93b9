/* SPDX-License-Identifier: MIT */
#ifndef RT_RT_H
#define RT_RT_H

/*
 * What src/sync, src/net and above may use of the runtime beyond its public headers.
 */
#include "base/align.h"
#include "io/io.h"
#include "rt/cpu.h"

#include <weft/park.h>
#include <weft/runtime.h>
#include <weft/scope.h>

#include <stdatomic.h>

/*
 * Park with a reason for dumps (static text, "chan recv"). Semantics of weft_park: OK
 * may be spurious; a pending notification returns at once. On WEFT_ECANCELED and
 * WEFT_ETIMEDOUT err_set was called. The rule for waiters:
 *
 *   enqueue node (under the object's lock) -> loop: state says done? leave : rt_park
 *   on ETIMEDOUT/ECANCELED: lock, if the node was claimed meanwhile the operation has
 *   happened: report success (or pass the wake on); else unlink and report the error.
 */
weft_err rt_park(weft_deadline until, const char *why);
/* The calling fiber's cancellation, if not shielded: WEFT_ECANCELED; else WEFT_OK. */
weft_err rt_check_cancelled(void);
/*
 * The calling fiber's or thread's parker, NULL when a plain thread is out of memory.
 * Type-stable: weft_unpark on it is safe whenever it comes.
 */
static inline struct weft_parker *rt_parker_self(void)
{
	return weft_parker_self();
}

enum {
	RT_BACKOFF_RACE = 6,   /* turns, each of twice as many pauses */
	RT_BACKOFF_PAUSES = 7, /* the same, of who waits for another */
	RT_BACKOFF_YIELDS = 4, /* turns after them, each of which gives the core away */
};

/* Identity of the caller for lock owners: unique among live fibers and threads. */
static inline uintptr_t rt_self_id(void)
{
	return (uintptr_t)weft_parker_self();
}

/*
 * Waiting for somebody who is between two steps of a lock-free protocol: pauses, then
 * gives the core away (sched_yield; a fiber yields to its worker's others too when
 * may_switch). Call with a counter that starts at 0. True while spinning is still cheap.
 */
bool rt_relax(unsigned *spins, bool may_switch);
/*
 * A plain thread that can't go on: whether it is to try again, or to sleep. Before that it waits
 * a little, longer from turn to turn, gives the core away, and then, if that has been worth it
 * lately (idle.h), looks on for longer than a sleeping partner takes to wake. Begins as {0}.
 * False at once in a fiber, and where there is but one core.
 */
struct rt_backoff {
	unsigned turns;
	int64_t until; /* the end of the long look; 0: not begun */
};
bool rt_backoff(struct rt_backoff *backoff, weft_deadline until);
/* The wait is over: after a sleep, or by a turn that found something. */
void rt_backoff_end(struct rt_backoff *backoff);
/* The part of it for who lost a race: waits a little, longer from turn to turn. */
static inline void rt_backoff_race(unsigned *turns)
{
	cpu_pauses(1u << *turns);
	if (*turns < RT_BACKOFF_RACE)
		++*turns;
}
/* Cores this process may use (1: spinning for another thread is pointless). */
unsigned rt_cores(void);
/* Cores this machine has, for whatever other processes. */
unsigned rt_machine_cores(void);

/*
 * Runs an operation to its end: submits through the caller's worker (through one of the
 * runtime's, for a plain thread), parks, and on time-out or cancellation withdraws it.
 * WEFT_OK: over, op->result says how (-errno included). WEFT_ETIMEDOUT, WEFT_ECANCELED:
 * withdrawn, nothing happened (if it completed meanwhile the result wins).
 * until WEFT_NOW: a single try. op->complete and op->user are set here.
 */
weft_err rt_io_run(struct io_op *op, weft_deadline until, const char *why);
/*
 * After an operation that might have waited and was done at once. A fiber whose descriptors, bytes
 * or messages are always there would never wait, and so keep its worker's other fibers, timers
 * and descriptors from their turns: when such operations have cost RT_STREAK_MAX it lets them.
 * A switch, so not under a guard or a lock. Nothing in a plain thread.
 */
enum {
	RT_COST_MESSAGE = 1,
	RT_COST_COPY = 8,
	RT_COST_IO = 32,
	RT_STREAK_MAX = 64 * RT_COST_IO, /* some 50 us, and a poll costs one */
};
void rt_take_turns(unsigned cost);
/* The io to make handles with; NULL without a runtime. */
struct io *rt_io(void);
/* The calling fiber's worker, as an identity: fibers of one worker never run at the same time.
 * NULL in a plain thread. */
const void *rt_worker_here(void);
/* The calling fiber's worker looks at its connections before it runs another fiber: else it does
 * so when no fiber is left to run, or many have run. Nothing in a plain thread. */
void rt_poll_soon(void);
/* The same of a worker by its number; NULL: no such worker. */
const void *rt_worker_at(unsigned index);
/* True in a fiber of a simulated run. */
bool rt_is_sim(void);
/* Fiber switches so far in the simulated run. */
uint64_t rt_sim_step(void);

/*
 * Spawn with everything: scope NULL: the caller's. worker UINT_MAX: the caller's own.
 */
struct rt_spawn {
	weft_scope *scope;
	unsigned worker;
	unsigned node; /* simulated; UINT_MAX: the caller's */
	const char *name;
	weft_fiber_fn fn;
	void *arg;
	weft_fiber **out;
};
weft_err rt_spawn(const struct rt_spawn *spawn);
/* In the runtime's root scope, also when that is cancelled: for fibers of the library that
 * end by themselves, and must be there until something outside has ended. */
weft_err rt_spawn_root(struct rt_spawn *spawn);

/* A scope beneath the root scope, whoever calls: for objects that are shared by fibers of several
 * scopes and have fibers of their own. Its owner frees it. Errors: as weft_scope_create. */
weft_err rt_scope_create_root(weft_scope **out);

/*
 * A function to be called once in the runtime's housekeeping thread, which lives as
 * long as the runtime does: process spawning happens there. Waits for it (shielded).
 * Errors: WEFT_EINVAL (no runtime), WEFT_ENOMEM.
 */
weft_err rt_call_main_thread(void (*fn)(void *arg), void *arg);

/* Called in a forked child of a fiber's process, or at runtime end: see signal.c. */

#endif
