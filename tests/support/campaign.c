/* SPDX-License-Identifier: MIT */
#include "support/campaign.h"

#include <stdlib.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)

static uint64_t below(uint64_t bound)
{
	return weft_sim_random_below(bound);
}

bool campaign_has_faults(uint64_t seed)
{
	return seed % 4 != 0;
}

weft_sim_options campaign_options(uint64_t seed, unsigned reset_permille_max)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	uint64_t state = seed + 1;

	options.seed = seed;
	options.trace = getenv("WEFT_SIM_TRACE") != NULL;
	options.partial_permille = (unsigned)(t_random(&state) % 500);
	options.window = t_random(&state) % 2 ? 0 : 500 + t_random(&state) % 8000;
	if (t_random(&state) % 3 == 0) {
		options.latency_min_ns = 1000;
		options.latency_max_ns = 1000 + (int64_t)(t_random(&state) % 100000000);
	}
	if (t_random(&state) % 3 == 0) { /* much arrives in one moment */
		options.latency_min_ns = BOTH_TICK_NS;
		options.latency_max_ns = BOTH_TICK_NS;
	}
	if (!campaign_has_faults(seed))
		return options;
	options.reset_permille = (unsigned)(t_random(&state) % reset_permille_max);
	options.refuse_permille = (unsigned)(t_random(&state) % 50);
	options.accept_fail_permille = (unsigned)(t_random(&state) % 300);
	if (t_random(&state) % 3 == 0)
		options.memory_fail_permille = 1 + (unsigned)(t_random(&state) % 10);
	return options;
}

static void check_run(weft_err err, const weft_sim_options *options, const weft_sim_result *result)
{
	unsigned long long seed = options->seed;

	ck_assert_msg(err == WEFT_OK, "seed %llu, step %llu: %s: %s (alone: WEFT_SIM_SEED=%llu)",
		seed, (unsigned long long)result->steps, weft_err_name(err), weft_error_detail(),
		seed);
}

void campaign_run(weft_fiber_fn body, const weft_sim_options *options)
{
	weft_sim_result result;
	weft_err err = both_run_seed(body, NULL, options, &result);

	check_run(err, options, &result);
}

void campaign_run_short(weft_fiber_fn body, const weft_sim_options *options)
{
	bool is_alone = getenv("WEFT_SIM_SEED");
	weft_sim_result result;

	/* with and without faults, by fours */
	if (is_alone || options->seed / 4 % 4 == 0)
		campaign_run(body, options);
	else
		check_run(both_run_once(body, NULL, options, &result), options, &result);
}

/* Those to run, of so many. */
static struct range {
	int first, end;
} seeds_of(int seeds)
{
	int first = both_seed_first();

	seeds /= BOTH_SEEDS_LESS;
	if (getenv("WEFT_SIM_SEEDS") || getenv("WEFT_SIM_SEED"))
		seeds = both_seed_end() - first;
	if (getenv("WEFT_TEST_SEED") && !getenv("WEFT_SIM_SEED")) {
		first = (int)(t_seed() % 1000000000);
		seeds = getenv("WEFT_SIM_SEEDS") ? seeds : 1;
	}
	return (struct range){ first, first + seeds };
}

void campaign_add(TCase *tc, const TTest *test, int seeds)
{
	struct range range = seeds_of(seeds);

	t_add_loop(tc, test, range.first, range.end);
}

static struct range batches;

void campaign_add_batches(TCase *tc, const TTest *test, int seeds)
{
	batches = seeds_of(seeds);
	t_add_loop(
		tc, test, 0, (batches.end - batches.first + CAMPAIGN_BATCH - 1) / CAMPAIGN_BATCH);
}

void campaign_batch(int i, void (*run)(uint64_t seed))
{
	int first = batches.first + i * CAMPAIGN_BATCH;

	for (int seed = first; seed < first + CAMPAIGN_BATCH && seed < batches.end; seed++)
		run((uint64_t)seed);
}

void campaign_node(unsigned *node, const char *name)
{
	CAMPAIGN_INSIST(weft_sim_node(node, name));
}

void campaign_spawn(unsigned node, weft_fiber **out, const char *name, weft_fiber_fn fn, void *arg)
{
	CAMPAIGN_INSIST(weft_sim_spawn(node, out, name, fn, arg));
}

void campaign_join(weft_fiber *fiber)
{
	CAMPAIGN_INSIST(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
}

void campaign_fault(const unsigned *nodes, unsigned nodes_len, void (*stall)(int64_t pause_ns))
{
	unsigned node = nodes[below(nodes_len)];
	int64_t pause_ns = (int64_t)below(200 * MS);

	switch (below(8)) {
	case 0:
		weft_sim_partition(node, nodes[below(nodes_len)]);
		both_sleep_ns(pause_ns * (below(4) ? 1 : 100));
		weft_sim_heal(node, WEFT_SIM_ALL);
		break;
	case 1:
		weft_sim_reset_all(node);
		break;
	case 2:
		weft_sim_crash(node);
		break;
	case 3:
		weft_sim_descriptor_limit(node, (size_t)below(3));
		both_sleep_ns(pause_ns);
		weft_sim_descriptor_limit(node, SIZE_MAX);
		break;
	case 4:
		weft_sim_clock_jump((int64_t)below(20 * SECOND));
		break;
	case 5:
	case 6:
		if (stall)
			stall(pause_ns * 5);
		break;
	default: /* calm */
		both_sleep_ns(pause_ns * 5);
	}
}
