/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins for the runtime, below the sources of src/sync. A parker is one step to park and
 * one to unpark; park.c itself has a model of its own. A deadline may be over at any moment,
 * but for WEFT_FOREVER; cancellation is the same to who waits.
 */
#include "rt/rt.h"
#include "model.h"

#include <weft/sim.h>

#define CALLER __builtin_return_address(0)

struct weft_parker {
	uint32_t word;
	uint32_t gap;
};

static struct weft_parker parkers[MODEL_THREADS_MAX + 1];

weft_parker *weft_parker_self(void)
{
	return &parkers[model_self()];
}

void weft_unpark(weft_parker *parker)
{
	if ((size_t)(parker - parkers) > MODEL_THREADS_MAX)
		model_fail("unpark of what is no parker");
	model_unpark(&parker->word, CALLER);
}

static weft_err park(weft_deadline until, void *caller)
{
	enum model_park result =
		model_park(&weft_parker_self()->word, until != WEFT_FOREVER, caller);

	return result == MODEL_PARK_FAILED ? WEFT_ETIMEDOUT : WEFT_OK;
}

weft_err rt_park(weft_deadline until, const char *why)
{
	(void)why;
	return park(until, CALLER);
}

weft_err weft_park(weft_deadline until)
{
	return park(until, CALLER);
}

bool rt_relax(unsigned *spins, bool may_switch)
{
	(void)spins;
	(void)may_switch;
	model_spin(CALLER);
	return false;
}

/* Changes nothing that is modelled: others may run at any time. */
void rt_take_turns(unsigned cost)
{
	(void)cost;
}

/* As a fiber: sleeps at once. */
bool rt_backoff(struct rt_backoff *backoff, weft_deadline until)
{
	(void)backoff;
	(void)until;
	return false;
}

void rt_backoff_end(struct rt_backoff *backoff)
{
	(void)backoff;
}

/* One core: nobody spins a bounded number of times before it sleeps, which changes nothing
 * but how often the same is looked at. */
unsigned rt_cores(void)
{
	return 1;
}

bool weft_in_fiber(void)
{
	return true;
}

bool rt_is_sim(void)
{
	return false;
}

weft_err rt_check_cancelled(void)
{
	return WEFT_OK;
}

uint64_t weft_sim_random(void)
{
	return 1;
}
