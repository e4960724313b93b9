/* SPDX-License-Identifier: MIT */
#ifndef WEFT_SIM_H
#define WEFT_SIM_H

#include <weft/runtime.h>

WEFT_BEGIN_DECLS
/*
 * The simulator: a whole network of virtual nodes in one thread, with a virtual clock
 * and a seeded scheduler, so that a run repeats exactly. The same program that runs
 * under weft_run runs here: tcp and unix addresses reach simulated sockets, sleeps
 * cost no time. Processes and signals are WEFT_ENOSYS; weft_offload runs its work at
 * a random virtual moment.
 *
 * No runnable fiber and nothing due is WEFT_EDEADLOCK, with a dump of who waits.
 * Threads: weft_sim_run from a plain thread; all else from its fibers only.
 */
typedef struct weft_sim_options {
	uint64_t seed;
	int64_t latency_min_ns, latency_max_ns; /* a one-way delivery; 0, 0: 50 us..5 ms */
	unsigned partial_permille;		/* reads and writes cut short */
	unsigned reset_permille;		/* of connections: reset at a random moment */
	unsigned refuse_permille;		/* of connects: refused */
	unsigned accept_fail_permille;		/* of accepts: descriptors exhausted */
	/* Of the fibers' allocations: fail. One such run at a time, while no other thread
	 * uses weft. */
	unsigned memory_fail_permille;
	size_t window;	    /* bytes in flight a direction; 0: 64 KiB */
	uint64_t steps_max; /* fiber switches, then WEFT_ECAPACITY; 0: 100 M */
	bool trace;	    /* each event to stderr */
} weft_sim_options;

#define WEFT_SIM_OPTIONS_DEFAULT                    \
	{                                           \
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, false \
	}

typedef struct weft_sim_result {
	uint64_t hash;	/* of all events: equal for equal seeds */
	uint64_t steps; /* fiber switches */
	int64_t virtual_ns;
	uint64_t fibers_left, sockets_left; /* not given back when main_fn's scope ended */
} weft_sim_result;

/* Runs main_fn(arg) on node 0. result may be NULL. Errors: main_fn's;
 * WEFT_EDEADLOCK; WEFT_EINVAL; WEFT_ENOMEM; WEFT_ECAPACITY. */
WEFT_API WEFT_MUST_CHECK weft_err weft_sim_run(
	weft_fiber_fn main_fn, void *arg, const weft_sim_options *options, weft_sim_result *result);

/* A new node, at 10.0.0.N (N from 1; node 0 has 1 and is named "node0") and, N in
 * hexadecimal, fd00::N; reached by its name too.
 * Errors: WEFT_ECAPACITY (250 nodes), WEFT_EDUPLICATE, WEFT_EINVAL (not in a sim). */
WEFT_API WEFT_MUST_CHECK weft_err weft_sim_node(unsigned *node, const char *name);
/* A fiber on that node, in the calling fiber's scope; what it spawns is there too. */
WEFT_API WEFT_MUST_CHECK weft_err weft_sim_spawn(
	unsigned node, weft_fiber **out, const char *name, weft_fiber_fn fn, void *arg);
WEFT_API unsigned weft_sim_node_self(void);

/* Faults. Between two nodes, or all when b is WEFT_SIM_ALL. */
#define WEFT_SIM_ALL 0xffffffffu
WEFT_API void weft_sim_partition(unsigned a, unsigned b); /* nothing gets through */
WEFT_API void weft_sim_heal(unsigned a, unsigned b);
/* The node's sockets vanish without a word (its peers learn by reset when they write,
 * or never: half-open), and its fibers are cancelled. */
WEFT_API void weft_sim_crash(unsigned node);
/* Every connection of the node is reset. */
WEFT_API void weft_sim_reset_all(unsigned node);
/* Virtual time leaps: all deadlines in between are late at once. */
WEFT_API void weft_sim_clock_jump(int64_t forward_ns);
/* The node may hold at most that many sockets: then accept and connect fail. */
WEFT_API void weft_sim_descriptor_limit(unsigned node, size_t limit);

/* A random number of the application's own stream: does not disturb the others.
 * weft_sim_random_below(0) is 0. */
WEFT_API uint64_t weft_sim_random(void);
WEFT_API uint64_t weft_sim_random_below(uint64_t bound);
/* True inside a simulated run. Any thread. */
WEFT_API bool weft_in_sim(void);
/* Adds to the run's hash. */
WEFT_API void weft_sim_note(uint64_t value);

WEFT_END_DECLS
#endif
