/* SPDX-License-Identifier: MIT */
#include "base/mem.h"
#include "support/t.h"

#include <weft/buf.h>

#include <pthread.h>
#include <string.h>

static weft_buf_pool *pool_make(size_t held_max, size_t live_max)
{
	weft_buf_pool_options o = { held_max, live_max };
	weft_buf_pool *pool;

	ck_assert_int_eq(weft_buf_pool_create(&pool, &o), WEFT_OK);
	return pool;
}

static weft_buf_pool_stats stats_of(const weft_buf_pool *pool)
{
	weft_buf_pool_stats s;

	weft_buf_pool_stats_get(pool, &s);
	return s;
}

START_TEST(a_block_lives_as_long_as_its_last_slice)
{
	int64_t live = t_malloc_live();
	weft_buf a, b, c;

	ck_assert_int_eq(weft_buf_copy(&a, NULL, "hello world", 11), WEFT_OK);
	b = weft_buf_slice(&a, 6, 5);
	c = weft_buf_ref(&b);
	ck_assert(!weft_buf_is_unique(&a));
	weft_buf_unref(&a);
	weft_buf_unref(&a);
	ck_assert_ptr_null(a.data);
	ck_assert_int_eq(memcmp(b.data, "world", 5), 0);
	weft_buf_unref(&b);
	weft_buf_advance(&c, 2);
	ck_assert_uint_eq(c.len, 3);
	ck_assert_int_eq(memcmp(c.data, "rld", 3), 0);
	ck_assert(weft_buf_is_unique(&c));
	weft_buf_unref(&c);
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

START_TEST(a_pool_gives_back_what_came_back)
{
	int64_t live = t_malloc_live();
	weft_buf_pool *pool = pool_make(0, 0);
	weft_buf a;
	const uint8_t *where;

	ck_assert_int_eq(weft_buf_alloc(&a, pool, 1000), WEFT_OK);
	ck_assert_uint_eq(weft_buf_room(&a), 1024);
	where = a.data;
	ck_assert_uint_eq(stats_of(pool).live_bytes, 1024);
	weft_buf_unref(&a);
	ck_assert_uint_eq(stats_of(pool).held_bytes, 1024);
	ck_assert_int_eq(weft_buf_alloc(&a, pool, 900), WEFT_OK);
	ck_assert_ptr_eq(a.data, where);
	ck_assert_uint_eq(stats_of(pool).hits, 1);
	ck_assert_uint_eq(stats_of(pool).misses, 1);
	weft_buf_unref(&a);
	weft_buf_pool_trim(pool);
	ck_assert_uint_eq(stats_of(pool).held_bytes, 0);
	weft_buf_pool_free(pool);
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

START_TEST(a_pool_may_go_before_its_blocks)
{
	int64_t live = t_malloc_live();
	weft_buf_pool *pool = pool_make(0, 0);
	weft_buf a, b;

	ck_assert_int_eq(weft_buf_alloc(&a, pool, 1), WEFT_OK);
	ck_assert_int_eq(weft_buf_alloc(&b, pool, 5000), WEFT_OK);
	weft_buf_unref(&b);
	weft_buf_pool_free(pool);
	memset(a.data, 1, a.len);
	weft_buf_unref(&a);
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

START_TEST(a_pool_keeps_no_more_than_held_max_and_nothing_oversized)
{
	weft_buf_pool *pool = pool_make(2048, 0);
	weft_buf b[4];

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(weft_buf_alloc(&b[i], pool, 1024), WEFT_OK);
	ck_assert_int_eq(weft_buf_alloc(&b[3], pool, ((size_t)1 << 20) + 1), WEFT_OK);
	for (int i = 0; i < 4; i++)
		weft_buf_unref(&b[i]);
	ck_assert_uint_eq(stats_of(pool).held_bytes, 2048);
	ck_assert_uint_eq(stats_of(pool).oversized, 1);
	ck_assert_uint_eq(stats_of(pool).live_blocks, 0);
	weft_buf_pool_free(pool);
}
END_TEST

START_TEST(live_max_refuses_more)
{
	weft_buf_pool *pool = pool_make(0, 4096);
	weft_buf a, b;

	ck_assert_int_eq(weft_buf_alloc(&a, pool, 4096), WEFT_OK);
	ck_assert_int_eq(weft_buf_alloc(&b, pool, 1), WEFT_ECAPACITY);
	weft_buf_unref(&a);
	ck_assert_int_eq(weft_buf_alloc(&a, pool, 4000), WEFT_OK);
	weft_buf_unref(&a);
	weft_buf_pool_free(pool);
}
END_TEST

static void count_release(void *data, void *user)
{
	ck_assert_ptr_nonnull(data);
	++*(int *)user;
}

START_TEST(wrapped_memory_is_released_once)
{
	char text[] = "abc";
	int released = 0;
	weft_buf a, b;

	ck_assert_int_eq(weft_buf_wrap(&a, text, 3, count_release, &released), WEFT_OK);
	b = weft_buf_slice(&a, 1, 1);
	weft_buf_unref(&a);
	ck_assert_int_eq(released, 0);
	weft_buf_unref(&b);
	ck_assert_int_eq(released, 1);
}
END_TEST

START_TEST(sizes_out_of_range_are_refused)
{
	weft_buf a;

	ck_assert_int_eq(weft_buf_alloc(&a, NULL, 0), WEFT_EINVAL);
	ck_assert_int_eq(weft_buf_alloc(&a, NULL, WEFT_BUF_SIZE_MAX + 1), WEFT_EINVAL);
}
END_TEST

START_TEST(buffers_survive_failing_malloc)
{
	T_EACH_FAILING_MALLOC(n) {
		weft_buf_pool *pool = NULL;
		weft_buf a = WEFT_BUF_EMPTY, b = WEFT_BUF_EMPTY, c = WEFT_BUF_EMPTY;
		char text[] = "abc";
		int released = 0;
		weft_err err = weft_buf_pool_create(&pool, NULL);

		if (!err)
			err = weft_buf_copy(&a, pool, "abc", 3);
		if (!err)
			err = weft_buf_alloc(&b, NULL, 10);
		if (!err)
			err = weft_buf_wrap(&c, text, 3, count_release, &released);
		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		weft_buf_unref(&a);
		weft_buf_unref(&b);
		weft_buf_unref(&c);
		weft_buf_pool_free(pool);
	}
}
END_TEST

#define ROUNDS 20000
#define SLOTS 32

static void *churn(void *arg)
{
	weft_buf_pool *pool = arg;
	weft_buf slots[SLOTS] = { WEFT_BUF_EMPTY };
	uint64_t seed = (uint64_t)(uintptr_t)slots;

	for (int i = 0; i < ROUNDS; i++) {
		size_t n = t_random(&seed) % SLOTS, size = 1 + t_random(&seed) % 5000;

		weft_buf_unref(&slots[n]);
		if (weft_buf_alloc(&slots[n], pool, size) != WEFT_OK)
			return pool;
		memset(slots[n].data, (int)n, size);
		n = t_random(&seed) % SLOTS;
		for (size_t j = 0; j < slots[n].len; j += 97)
			if (slots[n].data[j] != n)
				return arg;
	}
	for (size_t n = 0; n < SLOTS; n++)
		weft_buf_unref(&slots[n]);
	return NULL;
}

START_TEST(threads_share_a_pool)
{
	int64_t live = t_malloc_live();
	weft_buf_pool *pool = pool_make((size_t)1 << 18, 0);
	pthread_t threads[10];
	void *wrong;

	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, pool), 0);
	for (int i = 0; i < 10; i++) {
		pthread_join(threads[i], &wrong);
		ck_assert_ptr_null(wrong);
	}
	ck_assert_uint_eq(stats_of(pool).live_blocks, 0);
	ck_assert_uint_eq(stats_of(pool).live_bytes, 0);
	ck_assert_uint_eq(stats_of(pool).hits + stats_of(pool).misses, 10 * ROUNDS);
	ck_assert_uint_le(stats_of(pool).held_bytes, (size_t)1 << 18);
	weft_buf_pool_free(pool);
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

static void buf_tests(TCase *tc)
{
	t_add(tc, a_block_lives_as_long_as_its_last_slice);
	t_add(tc, a_pool_gives_back_what_came_back);
	t_add(tc, a_pool_may_go_before_its_blocks);
	t_add(tc, a_pool_keeps_no_more_than_held_max_and_nothing_oversized);
	t_add(tc, live_max_refuses_more);
	t_add(tc, wrapped_memory_is_released_once);
	t_add(tc, sizes_out_of_range_are_refused);
	t_add(tc, buffers_survive_failing_malloc);
	t_add(tc, threads_share_a_pool);
}
T_SUITE("buf", buf_tests)
