/* SPDX-License-Identifier: MIT */
/* The taker's side of struct owned; see refcount.h. */
#define _DEFAULT_SOURCE
#include "base/refcount.h"

#include "base/membarrier.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#define AWAIT_LOOKS 100	 /* before the processor is given up in between */
#define AWAIT_YIELDS 100 /* before it sleeps in between */
#define AWAIT_SLEEP_NS 50000

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool has_membarrier; /* fixed after once */

static void find_membarrier(void)
{
	has_membarrier = membarrier_register();
}

/* What `wanted` is when nobody wants the thing. */
static uint32_t not_wanted(void)
{
	return has_membarrier ? 0 : OWNED_NO_BARRIER;
}

void owned_init(struct owned *owned)
{
	pthread_once(&once, find_membarrier);
	/* relaxed both: nobody else knows it yet */
	atomic_store_explicit(&owned->inside, 0, memory_order_relaxed);
	atomic_store_explicit(&owned->wanted, not_wanted(), memory_order_relaxed);
}

bool owned_enter(struct owned *owned)
{
	uint32_t wanted;

	if (owned_enter_fast(owned))
		return true;
	/* seq_cst; pairs with owned_want: either side sees the other's store */
	atomic_exchange_explicit(&owned->inside, 1, memory_order_seq_cst);
	/* seq_cst; pairs with owned_want, and with owned_give_back: what the taker did */
	wanted = atomic_load_explicit(&owned->wanted, memory_order_seq_cst);
	if (!(wanted & OWNED_WANTED))
		return true;
	owned_leave(owned);
	return false;
}

void owned_want(struct owned *owned)
{
	/* seq_cst; pairs with owned_enter where there is no membarrier */
	atomic_store_explicit(&owned->wanted, not_wanted() | OWNED_WANTED, memory_order_seq_cst);
}

void owned_barrier(void)
{
	/* It worked at the start: a sandbox that forbids it since leaves no way to be safe. */
	if (has_membarrier)
		CHECK(membarrier_all());
}

static bool is_inside(struct owned *owned)
{
	/* seq_cst; pairs with the exchange in owned_enter, and with the release in
	 * owned_leave: what was done inside */
	return atomic_load_explicit(&owned->inside, memory_order_seq_cst) != 0;
}

void owned_await(struct owned *owned)
{
	for (unsigned look = 0; is_inside(owned); look++) {
		struct timespec nap = { 0, AWAIT_SLEEP_NS };

		if (look < AWAIT_LOOKS)
			continue;
		if (look < AWAIT_LOOKS + AWAIT_YIELDS)
			sched_yield();
		else
			nanosleep(&nap, NULL);
	}
}

void owned_give_back(struct owned *owned)
{
	/* release; pairs with the load in owned_enter: what the taker did */
	atomic_store_explicit(&owned->wanted, not_wanted(), memory_order_release);
}
