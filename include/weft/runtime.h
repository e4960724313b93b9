/* SPDX-License-Identifier: MIT */
#ifndef WEFT_RUNTIME_H
#define WEFT_RUNTIME_H

#include <weft/base.h>
#include <weft/cancel.h>

#include <stdbool.h>

WEFT_BEGIN_DECLS
/*
 * The runtime: workers (one thread each, one a core by default) that run fibers.
 * A fiber is pinned to the worker it was spawned on; none ever migrates.
 *
 * Lifetime: one runtime a process at a time, from weft_run's call to its return.
 *           (Simulated runs, sim.h, are apart from it: one a thread.)
 * Threads:  weft_run is called from a plain thread. All else is callable from
 *           any fiber; where a plain thread may call it, it says so.
 * Blocking: a fiber that blocks its thread (pthread_join, sleep, a long computation)
 *           holds up its worker's other fibers and timers, and the I/O of any plain
 *           thread that this worker carries out: weft_offload is for that.
 */

/* A fiber's body. What it returns goes to its joiner or to its scope. */
typedef weft_err (*weft_fiber_fn)(void *arg);

typedef struct weft_run_options {
	unsigned workers;	    /* threads that run fibers; 0: one a usable core */
	size_t stack_size;	    /* bytes a fiber, guard included; 0: 64 KiB; rounded up to
				 * a power of two; 16 KiB..8 MiB */
	size_t fibers_max;	    /* more are refused with WEFT_ECAPACITY; 0: 4,000,000 */
	unsigned offload_threads;   /* blocking-work threads at most; 0: 16; 1..256 */
	unsigned offload_queue_max; /* requests that may wait for one; 0: 4096 */
	bool pin_workers;	    /* pin worker n to the n-th usable core */
	bool dump_on_sigquit;	    /* SIGQUIT writes weft_dump to stderr */
	bool ignore_sigpipe;	    /* SIGPIPE is ignored in the process while it runs */
} weft_run_options;

#define WEFT_RUN_OPTIONS_DEFAULT                  \
	{                                         \
		0, 0, 0, 0, 0, false, false, true \
	}

/*
 * Starts the workers and runs main_fn(arg) as the first fiber, in the calling
 * thread's worker; returns what main_fn returns, once every fiber has ended (when
 * main_fn returns, the root scope is cancelled and joined) and every thread of the
 * runtime is gone. An error that a fiber of the root scope returned is reported
 * when main_fn itself returned WEFT_OK. options may be NULL.
 * Errors: WEFT_EINVAL (option out of range, named in the detail; called from a
 * fiber), WEFT_EDUPLICATE (a runtime is up), WEFT_ENOMEM, WEFT_ECAPACITY (no
 * threads or descriptors left), or main_fn's own.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_run(
	weft_fiber_fn main_fn, void *arg, const weft_run_options *options);

/*
 * For a program of plain threads, or of an event loop of its own: starts the workers in
 * threads of the library's and returns when they are up. Fibers that plain threads spawn
 * (weft_spawn) run in the root scope; one that returns an error there cancels the others of
 * that scope, and the workers stay up. options are copied, may be NULL.
 * Errors: as weft_run's own; WEFT_EINVAL (called from a fiber).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_start(const weft_run_options *options);
/*
 * Ends what weft_start began: cancels the root scope, waits until every fiber has ended and
 * every thread of the runtime is gone. Returns the first error a fiber of the root scope
 * returned, with its detail, else WEFT_OK. Before it, whatever uses the runtime from plain
 * threads is freed, and no such call is under way. A program may start again.
 * Any plain thread. Errors also: WEFT_EINVAL (nothing was started; called from a fiber).
 */
WEFT_API weft_err weft_stop(void);

/* Handle to a fiber's result. One owner, who joins it or detaches it. */
typedef struct weft_fiber weft_fiber;

/*
 * Spawns a fiber on the calling fiber's worker (on any, from a plain thread), in
 * the calling fiber's scope (the root scope, from a plain thread). It runs when
 * the caller next yields or parks. name is copied (31 bytes kept), may be NULL.
 * out may be NULL: then its result goes to its scope, as weft_scope_spawn says;
 * otherwise *out must be joined or detached, and its result goes there only.
 * Errors: WEFT_ENOMEM, WEFT_ECAPACITY (fibers_max), WEFT_ECANCELED (the scope is
 * cancelled), WEFT_EINVAL (no runtime; no such worker).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_spawn(
	weft_fiber **out, const char *name, weft_fiber_fn fn, void *arg);
/* The same on a chosen worker, 0 .. weft_worker_count() - 1. */
WEFT_API WEFT_MUST_CHECK weft_err weft_spawn_on(
	unsigned worker, weft_fiber **out, const char *name, weft_fiber_fn fn, void *arg);

/*
 * Waits for the fiber to end and frees the handle; the fiber's result goes to
 * *result (which may be NULL). On WEFT_ETIMEDOUT and WEFT_ECANCELED the handle
 * stays valid and must still be joined or detached. Any fiber or plain thread.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_fiber_join(
	weft_fiber *fiber, weft_err *result, weft_deadline until);
/* Gives the handle up; the fiber runs on, its result is dropped. NULL is allowed. */
WEFT_API void weft_fiber_detach(weft_fiber *fiber);

/* Lets other runnable fibers of this worker run. In a plain thread: sched_yield.
 * Returns WEFT_ECANCELED if the fiber is cancelled, after yielding. */
WEFT_API weft_err weft_yield(void);
/* Parks until then. WEFT_OK when the time has come; WEFT_ECANCELED. */
WEFT_API WEFT_MUST_CHECK weft_err weft_sleep_until(weft_deadline until);
WEFT_API WEFT_MUST_CHECK weft_err weft_sleep_ms(int64_t duration_ms);
WEFT_API WEFT_MUST_CHECK weft_err weft_sleep_ns(int64_t duration_ns);

/* True in a fiber, false in a plain thread. */
WEFT_API bool weft_in_fiber(void);
/* The calling fiber's name ("" if it has none, or in a plain thread). */
WEFT_API const char *weft_fiber_name(void);
/* Renames the calling fiber; no effect in a plain thread. */
WEFT_API void weft_fiber_set_name(const char *name);
/* The token of the scope the calling fiber runs in, borrowed, valid while the fiber
 * runs. NULL in a plain thread. */
WEFT_API weft_cancel *weft_fiber_token(void);

/*
 * Shield: between begin and end, cancellation of the calling fiber is not seen by
 * its blocking calls, so that cleanup can finish. Nests. No effect in a thread.
 */
WEFT_API void weft_shield_begin(void);
WEFT_API void weft_shield_end(void);

/* Workers of the running runtime; 0 when there is none. Any thread. */
WEFT_API unsigned weft_worker_count(void);
/* The calling fiber's worker; UINT_MAX in a plain thread. */
WEFT_API unsigned weft_worker_self(void);
/* The worker with the fewest fibers now. Any thread; 0 without a runtime. */
WEFT_API unsigned weft_worker_least_loaded(void);

/* Counters of one worker since it started; read without stopping it, so that the
 * fields may be a moment apart. */
typedef struct weft_worker_stats {
	uint64_t fibers; /* alive now */
	uint64_t fibers_spawned;
	uint64_t switches; /* into a fiber */
	uint64_t parks;
	uint64_t wakes_local;	/* unparks from the same worker */
	uint64_t wakes_remote;	/* unparks that came through the inbox */
	uint64_t wakes_syscall; /* of those, that had to interrupt a sleep */
	uint64_t polls;		/* calls of the netpoll backend's wait */
	uint64_t sleeps;	/* of those, that were allowed to block */
	uint64_t io_events;	/* completions delivered */
	uint64_t timers_fired;
	uint64_t stack_bytes; /* address space of its fibers' stacks */
} weft_worker_stats;

/* Errors: WEFT_EINVAL (no such worker, no runtime). Any thread. */
WEFT_API WEFT_MUST_CHECK weft_err weft_worker_stats_get(unsigned worker, weft_worker_stats *out);

/* Fibers alive in the runtime now (0 without one). Any thread. */
WEFT_API uint64_t weft_fiber_count(void);

/*
 * Writes a line a fiber (worker, id, state, how long parked, what it waits for,
 * name) to the descriptor fd. Each worker writes its own fibers at its next turn,
 * so a fiber that never yields delays its worker's part. Any thread or fiber; does
 * not wait. Under a simulated run: that run's fibers, at once.
 */
WEFT_API void weft_dump(int fd);

/*
 * Runs fn(arg) in the blocking-work pool and waits for it: for calls that block
 * (files, getaddrinfo). On WEFT_ETIMEDOUT or WEFT_ECANCELED the work is abandoned:
 * it may still run, or run later, so arg must outlive it; abandoned(arg), when given,
 * is called in the pool's thread once the abandoned work is over (or, if it had not
 * begun, instead of it, by whoever finds that), and then frees arg. On every other result arg is the
 * caller's again, and abandoned was not called: hence fn must not return these two where there is
 * an abandoned. Without one the caller must not be cancelled: weft_shield_begin. Any fiber or plain
 * thread.
 * Errors: WEFT_ECAPACITY (queue full), WEFT_ENOMEM, WEFT_ETIMEDOUT, WEFT_ECANCELED,
 * WEFT_EINVAL (no runtime), or what fn returned.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_offload(
	weft_err (*fn)(void *arg), void *arg, void (*abandoned)(void *arg), weft_deadline until);

WEFT_END_DECLS
#endif
