/* SPDX-License-Identifier: MIT */
/* What becomes of the stacks of fibers that have ended: see the top of stack.c. */
#include "rt/fiber.h"
#include "support/t.h"

#include <weft/weft.h>

#include <stdio.h>
#include <unistd.h>

#define SLABS 12
#define A_SLAB 64
#define DEPTH 24       /* frames of a KiB */
#define PATIENCE 10000 /* ms */
#define LARGE ((size_t)DEPTH * 1024 * SLABS * A_SLAB)

static size_t resident(void)
{
	size_t size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%zu %zu", &size, &pages), 2);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* On the stack itself, not where a sanitizer would have it. */
__attribute__((noinline, no_sanitize_address)) static unsigned go_deep(unsigned depth)
{
	char frame[1024];

	for (size_t i = 0; i < sizeof(frame); i++)
		frame[i] = (char)(depth + i);
	__asm__("" : : "r"(frame) : "memory");
	return (depth ? go_deep(depth - 1) : 0) + (unsigned char)frame[depth];
}

static unsigned waded; /* one worker's */

static weft_err wade(void *arg)
{
	(void)arg;
	ck_assert_uint_gt(go_deep(DEPTH) + 1, 0);
	waded++;
	return weft_sleep_until(WEFT_FOREVER);
}

static weft_err stay(void *arg)
{
	(void)arg;
	return weft_sleep_until(WEFT_FOREVER);
}

/* So that no slab is without a fiber, and none can be unmapped as a whole. */
static unsigned fill(weft_scope *wading, weft_scope *staying)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SLABS * A_SLAB; i++) {
		bool wades = i % (A_SLAB / 2) != 0;

		ck_assert_int_eq(wades ? weft_scope_spawn(wading, "wade", wade, NULL)
				       : weft_scope_spawn(staying, "stay", stay, NULL),
			WEFT_OK);
		n += wades;
	}
	return n;
}

static bool has_fallen(size_t from)
{
	return resident() + LARGE * 7 / 8 <= from;
}

static weft_err burst(void *arg)
{
	weft_scope *wading, *staying;
	unsigned n, ms = 0;
	size_t peak;

	(void)arg;
	ck_assert_int_eq(weft_scope_create(&wading), WEFT_OK);
	ck_assert_int_eq(weft_scope_create(&staying), WEFT_OK);
	n = fill(wading, staying);
	while (waded < n)
		ck_assert_int_eq(weft_yield(), WEFT_OK);
	peak = resident();
	weft_scope_cancel(wading);
	ck_assert_int_eq(weft_scope_wait(wading, WEFT_FOREVER), WEFT_OK);
	for (; ms < PATIENCE && !has_fallen(peak); ms += 20)
		ck_assert_int_eq(weft_sleep_ns(INT64_C(20000000)), WEFT_OK);
	ck_assert_uint_lt(ms, PATIENCE);
	weft_scope_free(wading);
	weft_scope_free(staying);
	return WEFT_OK;
}

/* What has to be there again is. */
static weft_err bursts(void *arg)
{
	for (unsigned i = 0; i < 2; i++) {
		waded = 0;
		ck_assert_int_eq(burst(arg), WEFT_OK);
	}
	return WEFT_OK;
}

START_TEST(stacks_of_a_burst_give_their_pages_back_and_are_used_again)
{
	weft_run_options o = WEFT_RUN_OPTIONS_DEFAULT;

	o.workers = 1;
	ck_assert_int_eq(weft_run(bursts, NULL, &o), WEFT_OK);
}
END_TEST

static void rest_tests(TCase *tc)
{
	t_add(tc, stacks_of_a_burst_give_their_pages_back_and_are_used_again);
}
T_SUITE("rest", rest_tests)
