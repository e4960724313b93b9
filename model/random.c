/* SPDX-License-Identifier: MIT */
/*
 * The checker against itself: small random programs, whose outcomes must be the same by the
 * reduced search and by one that tries every schedule and every message that a load may read.
 */
#include "model.h"

#include <string.h>

#define OPS 5
#define VARS 3

enum what { LOAD, STORE, ADD, SWAP, CAS, LOCK, PARK, UNPARK, CHOOSE, PARK_MAYBE, WHATS };

/* The checker's own entries: the orders are not known when this is compiled. */
uint32_t __tsan_atomic32_load(const volatile uint32_t *addr, int order);
void __tsan_atomic32_store(volatile uint32_t *addr, uint32_t value, int order);
uint32_t __tsan_atomic32_fetch_add(volatile uint32_t *addr, uint32_t operand, int order);
uint32_t __tsan_atomic32_exchange(volatile uint32_t *addr, uint32_t operand, int order);
int __tsan_atomic32_compare_exchange_strong(
	volatile uint32_t *addr, uint32_t *expected, uint32_t operand, int order, int fail_order);

static uint32_t vars[VARS], locks[2], parkers[MODEL_THREADS_MAX + 1][2];
static uint64_t seen[MODEL_THREADS_MAX + 1];

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x >> 11;
}

static void remember(uint64_t value)
{
	uint64_t *mine = &seen[model_self()];

	*mine = (*mine + value + 1) * 0x9e3779b97f4a7c15;
}

static int order_of(enum what what, uint64_t x)
{
	static const int of_load[] = { 0, 2, 5, 5 }, of_store[] = { 0, 3, 5, 5 };
	static const int of_rmw[] = { 0, 2, 3, 4, 5, 5 };

	return what == LOAD ? of_load[x % 4] : what == STORE ? of_store[x % 4] : of_rmw[x % 6];
}

static void one(uint64_t *x, unsigned threads)
{
	enum what what = next(x) % 3 ? next(x) % LOCK : next(x) % WHATS;
	uint32_t *var = &vars[next(x) % VARS], value = (uint32_t)(next(x) % 3), expected;
	int order = order_of(what, next(x));
	unsigned other = 1 + (unsigned)(next(x) % threads);

	switch (what) {
	case LOAD:
		remember(__tsan_atomic32_load(var, order));
		break;
	case STORE:
		__tsan_atomic32_store(var, value, order);
		break;
	case ADD:
		remember(__tsan_atomic32_fetch_add(var, value + 1, order));
		break;
	case SWAP:
		remember(__tsan_atomic32_exchange(var, value, order));
		break;
	case CAS:
		expected = value;
		remember((uint64_t)__tsan_atomic32_compare_exchange_strong(var, &expected,
			value + 1, order,
			value		    ? 0
				: order > 2 ? 2
					    : order));
		remember(expected);
		break;
	case LOCK:
		model_lock(&locks[value % 2], NULL);
		__tsan_atomic32_store(var, value, 0);
		if (value && value % 2 == 0)
			model_lock(&locks[1], NULL);
		remember(__tsan_atomic32_load(&vars[0], 0));
		if (value && value % 2 == 0)
			model_unlock(&locks[1], NULL);
		model_unlock(&locks[value % 2], NULL);
		break;
	case PARK:
		(void)model_park(parkers[model_self()], false, NULL);
		break;
	case PARK_MAYBE:
		remember((uint64_t)model_park(parkers[model_self()], true, NULL));
		break;
	case UNPARK:
		model_unpark(parkers[other], NULL);
		break;
	case CHOOSE:
		remember(model_choose(2));
		break;
	case WHATS:
		break;
	}
}

static void program(unsigned threads, unsigned ops)
{
	uint64_t x = model_seed() * 0x9e3779b97f4a7c15 + model_self() * 0xbf58476d1ce4e5b9;

	for (int i = 0; i < 8; i++)
		(void)next(&x);
	for (unsigned i = 0; i < ops; i++)
		one(&x, threads);
}

static void of_two(void)
{
	program(2, OPS);
}

static void of_three(void)
{
	program(3, 3);
}

static void of_four(void)
{
	program(4, 2);
}

static void outcome(void)
{
	uint64_t x = 0;

	for (unsigned i = 0; i <= MODEL_THREADS_MAX; i++)
		x = (x ^ seen[i]) * 0xff51afd7ed558ccd + i;
	for (unsigned i = 0; i < VARS; i++)
		x = x * 31 + vars[i];
	model_outcome(x | 2);
}

const struct model models[] = {
	{ "two", "two threads", NULL, { of_two, of_two }, outcome, .quick = true },
	{ "three", "three threads", NULL, { of_three, of_three, of_three }, outcome },
	{ "four", "four threads", NULL, { of_four, of_four, of_four, of_four }, outcome },
};
const size_t models_count = sizeof(models) / sizeof(models[0]);
