/* SPDX-License-Identifier: MIT */
#ifndef IO_SIM_H
#define IO_SIM_H

/*
 * The simulator backend: virtual clock, network and faults; its scheduling randomness is
 * the runtime's to use. One thread. Time moves only inside wait(), to the next event
 * or to `until`, whichever is first; with neither: -EDEADLK.
 *
 * Streams of random numbers from one seed (scheduling, network, application, memory), so
 * that drawing from one leaves the others as they were. Every event is folded into a
 * hash: equal seeds, equal hashes.
 */
#include "io/io.h"

#include <weft/sim.h>

struct io_sim_options {
	const weft_sim_options *public_options;
	/* The node of the fiber that runs now: handles are made on it. */
	unsigned (*node_self)(void *user);
	/* The node has crashed: its fibers are to be cancelled. May be NULL. */
	void (*node_crashed)(void *user, unsigned node);
	void *user;
};

uint64_t io_sim_random_schedule(struct io *io, uint64_t bound); /* 0..bound-1; bound > 0 */
uint64_t io_sim_random_application(struct io *io);
/* Is the next allocation to fail? A stream of its own, too. */
bool io_sim_memory_fails(struct io *io);
/* A fiber of the node runs: one step. Folds into the hash, too. */
void io_sim_step(struct io *io, unsigned node, uint64_t fiber);
void io_sim_note(struct io *io, uint64_t value); /* folds into the hash */
uint64_t io_sim_hash(struct io *io);
uint64_t io_sim_sockets(struct io *io); /* handles not closed */
int64_t io_sim_elapsed(struct io *io);

/* Node 0 is there from the start, named "node0". */
int io_sim_node_add(struct io *io, unsigned *node, const char *name); /* 0 or -errno */
unsigned io_sim_node_count(struct io *io);
void io_sim_partition(struct io *io, unsigned a, unsigned b, bool on);
void io_sim_crash(struct io *io, unsigned node);
void io_sim_reset_all(struct io *io, unsigned node);
void io_sim_clock_jump(struct io *io, int64_t forward_ns);
void io_sim_descriptor_limit(struct io *io, unsigned node, size_t limit);

#endif
