/* SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include "support/t.h"

#include <string.h>

START_TEST(mem_counts_blocks_made_and_freed)
{
	int64_t before = t_malloc_live();
	void *a = mem_alloc(10), *b = mem_calloc(3, 4), *c = mem_aligned(128, 1);

	ck_assert_int_eq(t_malloc_live(), before + 3);
	a = mem_realloc(a, 1000);
	ck_assert_int_eq(t_malloc_live(), before + 3);
	mem_free(a);
	mem_free(b);
	mem_free(c);
	mem_free(NULL);
	ck_assert_int_eq(t_malloc_live(), before);
}
END_TEST

START_TEST(mem_realloc_of_nothing_makes_a_block_and_to_nothing_keeps_it)
{
	int64_t before = t_malloc_live();
	void *a = mem_realloc(NULL, 8);

	ck_assert_ptr_nonnull(a);
	a = mem_realloc(a, 0);
	ck_assert_ptr_nonnull(a);
	ck_assert_int_eq(t_malloc_live(), before + 1);
	mem_free(a);
	ck_assert_int_eq(t_malloc_live(), before);
}
END_TEST

START_TEST(mem_sizes_that_overflow_fail)
{
	size_t huge = MEM_SIZE_MAX | (size_t)t_now_ns(); /* unknown to the compiler */
	int64_t before = t_malloc_live();

	ck_assert_ptr_null(mem_calloc(huge, 4));
	ck_assert_ptr_null(mem_realloc_array(NULL, huge, 4));
	ck_assert_ptr_null(mem_alloc(huge + 1));
	ck_assert_ptr_null(mem_aligned(64, SIZE_MAX - 3));
	ck_assert_int_eq(t_malloc_live(), before);
}
END_TEST

START_TEST(mem_aligned_is_aligned)
{
	for (size_t alignment = sizeof(void *); alignment <= 4096; alignment *= 2) {
		void *p = mem_aligned(alignment, 24);

		ck_assert_uint_eq((uintptr_t)p % alignment, 0);
		memset(p, 1, 24);
		mem_free(p);
	}
}
END_TEST

START_TEST(mem_strings_are_copied_up_to_their_length)
{
	char *whole = mem_strdup("warp"), *part = mem_strndup("weft", 2);

	ck_assert_str_eq(whole, "warp");
	ck_assert_str_eq(part, "we");
	mem_free(whole);
	mem_free(part);
}
END_TEST

START_TEST(mem_fails_the_nth_and_only_the_nth)
{
	void *a, *b, *c;

	t_malloc_fail_at(2);
	a = mem_alloc(1);
	b = mem_alloc(1);
	c = mem_alloc(1);
	t_malloc_fail_off();
	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_null(b);
	ck_assert_ptr_nonnull(c);
	ck_assert(t_malloc_failed());
	ck_assert_uint_eq(t_malloc_calls(), 3);
	mem_free(a);
	mem_free(c);
}
END_TEST

START_TEST(mem_failed_realloc_keeps_the_block)
{
	char *a = mem_strdup("kept");
	void *moved;

	t_malloc_fail_at(1);
	moved = mem_realloc(a, 1000);
	t_malloc_fail_off();
	ck_assert_ptr_null(moved);
	ck_assert_str_eq(a, "kept");
	mem_free(a);
}
END_TEST

START_TEST(mem_each_failing_malloc_stops_after_the_last_allocation)
{
	unsigned rounds = 0, complete = 0;

	T_EACH_FAILING_MALLOC(n) {
		void *a = mem_alloc(1), *b = a ? mem_calloc(1, 1) : NULL,
		     *c = b ? mem_aligned(64, 64) : NULL;

		ck_assert(c || t_malloc_failed());
		rounds++;
		complete += c != NULL;
		mem_free(a);
		mem_free(b);
		mem_free(c);
	}
	ck_assert_uint_eq(rounds, 4);
	ck_assert_uint_eq(complete, 1);
}
END_TEST

static void mem_tests(TCase *tc)
{
	t_add(tc, mem_counts_blocks_made_and_freed);
	t_add(tc, mem_realloc_of_nothing_makes_a_block_and_to_nothing_keeps_it);
	t_add(tc, mem_sizes_that_overflow_fail);
	t_add(tc, mem_aligned_is_aligned);
	t_add(tc, mem_strings_are_copied_up_to_their_length);
	t_add(tc, mem_fails_the_nth_and_only_the_nth);
	t_add(tc, mem_failed_realloc_keeps_the_block);
	t_add(tc, mem_each_failing_malloc_stops_after_the_last_allocation);
}
T_SUITE("mem", mem_tests)
