/* SPDX-License-Identifier: MIT */
#ifndef CREW_H
#define CREW_H

/* The same bodies as plain threads, as fibers, as both, and under the simulator. */
#include <weft/weft.h>

#include <stddef.h>
#include <stdint.h>

enum crew_mode {
	CREW_THREADS,
	CREW_FIBERS_1, /* fibers on one worker */
	CREW_FIBERS_2, /* on two, by turns */
	CREW_MIXED,    /* every other one a plain thread, fibers on two workers */
	CREW_SIM,      /* fibers of a simulated run */
	CREW_MODES,
};

struct crew_member {
	weft_err (*body)(void *arg);
	void *arg;
};

/* Runs them all to their ends; each must return WEFT_OK. seed: for CREW_SIM. */
void crew_run(enum crew_mode mode, uint64_t seed, const struct crew_member *members, size_t count);
/* fn(arg) as the first fiber on that many workers; its error. */
weft_err crew_main(unsigned workers, weft_err (*fn)(void *arg), void *arg);
/* Lets the other fibers of this worker run until they can't go on. */
void crew_settle(void);

#endif
