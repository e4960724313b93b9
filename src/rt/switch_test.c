/* SPDX-License-Identifier: MIT */
/* The switch alone, without a runtime, so that it also runs under an emulator. */
#include "rt/switch.h"
#include "support/t.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define STACK_SIZE ((size_t)64 << 10)

static void *main_sp, *other_sp;
static int steps;
static const void *seen_arg;

static void other(void *arg)
{
	seen_arg = arg;
	for (;;) {
		steps++;
		rt_switch(&other_sp, main_sp);
	}
}

static char *stack_make(void)
{
	char *stack = aligned_alloc(16, STACK_SIZE);

	ck_assert_ptr_nonnull(stack);
	return stack;
}

START_TEST(switch_enters_with_its_argument_and_comes_back)
{
	char *stack = stack_make();

	steps = 0;
	other_sp = rt_switch_prepare(stack + STACK_SIZE, other, &steps);
	for (int i = 1; i <= 1000; i++) {
		rt_switch(&main_sp, other_sp);
		ck_assert_int_eq(steps, i);
	}
	ck_assert_ptr_eq(seen_arg, &steps);
	free(stack);
}
END_TEST

/* More live values than there are callee-saved registers, integer and floating. */
static uint64_t stir(uint64_t seed, bool leave)
{
	uint64_t a = seed + 1, b = seed + 2, c = seed + 3, d = seed + 4, e = seed + 5;
	uint64_t f = seed + 6, g = seed + 7, h = seed + 8, i = seed + 9, j = seed + 10;
	double x = (double)seed + 0.25, y = (double)seed + 0.5, z = (double)seed + 0.75;

	for (int round = 0; round < 50; round++) {
		a = a * 31 + b;
		b = b * 37 + c;
		c = c * 41 + d;
		d = d * 43 + e;
		e = e * 47 + f;
		f = f * 53 + g;
		g = g * 59 + h;
		h = h * 61 + i;
		i = i * 67 + j;
		j = j * 71 + a;
		x = x * 0.5 + y;
		y = y * 0.25 + z;
		z = z * 0.125 + (double)round;
		if (leave)
			rt_switch(&main_sp, other_sp);
	}
	return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ i ^ j ^ (uint64_t)(x * 1000) ^ (uint64_t)(y * 1000) ^
		(uint64_t)(z * 1000);
}

static void clobber(void *arg)
{
	for (uint64_t n = 0;; n++) {
		*(uint64_t *)arg += stir(n, false);
		rt_switch(&other_sp, main_sp);
	}
}

START_TEST(switch_keeps_callee_saved_registers)
{
	char *stack = stack_make();
	uint64_t sum = 0;

	other_sp = rt_switch_prepare(stack + STACK_SIZE, clobber, &sum);
	for (uint64_t seed = 0; seed < 100; seed++)
		ck_assert_uint_eq(stir(seed, true), stir(seed, false));
	ck_assert_uint_ne(sum, 0);
	free(stack);
}
END_TEST

static uintptr_t seen_frame;

static void note_alignment(void *arg)
{
	/* a value that the compiler must align to 16 */
	_Alignas(16) char local[16];

	(void)arg;
	memset(local, 0, sizeof(local));
	seen_frame = (uintptr_t)local;
	rt_switch(&other_sp, main_sp);
	abort();
}

START_TEST(switch_starts_on_an_aligned_stack)
{
	char *stack = stack_make();

	other_sp = rt_switch_prepare(stack + STACK_SIZE, note_alignment, NULL);
	rt_switch(&main_sp, other_sp);
	ck_assert_uint_eq(seen_frame % 16, 0);
	ck_assert(seen_frame > (uintptr_t)stack && seen_frame < (uintptr_t)stack + STACK_SIZE);
	free(stack);
}
END_TEST

static void switch_tests(TCase *tc)
{
	t_add(tc, switch_enters_with_its_argument_and_comes_back);
	t_add(tc, switch_keeps_callee_saved_registers);
	t_add(tc, switch_starts_on_an_aligned_stack);
}
T_SUITE("switch", switch_tests)
