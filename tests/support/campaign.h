/* SPDX-License-Identifier: MIT */
#ifndef CAMPAIGN_H
#define CAMPAIGN_H

/* What campaigns share: the net that a seed brings, its faults, and fibers on nodes. */
#include "support/both.h"

/* Memory that fails for the test itself is not to fail the test. */
#define CAMPAIGN_INSIST(call)                        \
	do {                                         \
		weft_err campaign_err;               \
		do                                   \
			campaign_err = (call);       \
		while (campaign_err == WEFT_ENOMEM); \
		want_ok(campaign_err);               \
	} while (0)

/* The net of a seed; every fourth has no faults. Of 1,000 connections fewer than
 * reset_permille_max are reset. */
weft_sim_options campaign_options(uint64_t seed, unsigned reset_permille_max);
bool campaign_has_faults(uint64_t seed);

/* body, twice, with the options; fails the test when it fails, or leaves something. */
void campaign_run(weft_fiber_fn body, const weft_sim_options *options);
/* The same, but most seeds run once: one of four is repeated, and one that runs alone. */
void campaign_run_short(weft_fiber_fn body, const weft_sim_options *options);
/* The test for each seed. WEFT_SIM_SEED: that one alone; WEFT_SIM_SEEDS: so many.
 * WEFT_TEST_SEED: the first, and unless WEFT_SIM_SEEDS says more, the only one. */
void campaign_add(TCase *tc, const TTest *test, int seeds);
/* The same for short ones, CAMPAIGN_BATCH seeds in a process: the test calls campaign_batch with
 * its _i, and that calls run for each seed. After one that fails, the rest of the batch is not run. */
#define CAMPAIGN_BATCH 20
void campaign_add_batches(TCase *tc, const TTest *test, int seeds);
void campaign_batch(int i, void (*run)(uint64_t seed));

/* Node 0 is there already. */
void campaign_node(unsigned *node, const char *name);
void campaign_spawn(unsigned node, weft_fiber **out, const char *name, weft_fiber_fn fn, void *arg);
void campaign_join(weft_fiber *fiber);

/* One fault, or a while without one. stall: makes something silent for that long; may be NULL. */
void campaign_fault(const unsigned *nodes, unsigned nodes_len, void (*stall)(int64_t pause_ns));

#endif
