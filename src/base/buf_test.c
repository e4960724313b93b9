/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/buf_pool.h"
#include "base/mem.h"
#include "support/sandbox.h"
#include "support/t.h"

#include <weft/buf.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

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
			err = weft_buf_alloc(&b, pool, WEFT_BUF_SIZE_MAX / 512);
		weft_buf_unref(&b);
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

/* --- what threads have at hand ----------------------------------------------------------- */

#define BLOCKS 200

static void alloc_all(weft_buf_pool *pool, weft_buf *bufs, size_t count, size_t size)
{
	for (size_t i = 0; i < count; i++)
		T_OUGHT(weft_buf_alloc(&bufs[i], pool, size) == WEFT_OK);
}

static void unref_all(weft_buf *bufs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		weft_buf_unref(&bufs[i]);
}

START_TEST(a_block_fits_its_size_closely)
{
	weft_buf_pool *pool = pool_make(0, 0);
	uint64_t seed = t_seed();

	for (size_t size = 1; size <= BUF_CLASS_MAX;
		size += 1 + t_random(&seed) % (1 + size / 16)) {
		weft_buf a;

		T_OUGHT(weft_buf_alloc(&a, pool, size) == WEFT_OK);
		T_OUGHT(a.len == size && weft_buf_room(&a) >= size);
		T_OUGHT(weft_buf_room(&a) < size + 64 + size / 8);
		T_OUGHT((uintptr_t)a.data % 16 == 0);
		memset(a.data, 1, weft_buf_room(&a));
		weft_buf_unref(&a);
		weft_buf_pool_trim(pool); /* else a larger block may serve */
	}
	ck_assert_uint_eq(stats_of(pool).oversized, 0);
	weft_buf_pool_free(pool);
}
END_TEST

START_TEST(blocks_at_hand_cost_no_allocation)
{
	weft_buf_pool *pool = pool_make(0, 0);
	weft_buf bufs[16];
	uint64_t calls;

	alloc_all(pool, bufs, 16, 3000);
	unref_all(bufs, 16);
	calls = t_malloc_calls();
	for (int i = 0; i < 100; i++) {
		alloc_all(pool, bufs, 16, 3000);
		unref_all(bufs, 16);
	}
	ck_assert_uint_eq(t_malloc_calls(), calls);
	ck_assert_uint_eq(stats_of(pool).hits, 1600);
	ck_assert_uint_eq(stats_of(pool).misses, 16);
	ck_assert_uint_eq(stats_of(pool).cached_bytes, stats_of(pool).held_bytes);
	weft_buf_pool_free(pool);
}
END_TEST

/* Another thread that does one thing after the other, and lives meanwhile. */
struct other {
	pthread_t thread;
	pthread_barrier_t begin, done;
	weft_buf_pool *pool;
	weft_buf bufs[BLOCKS];
	void (*action)(struct other *other); /* NULL: ends */
};

static void *other_main(void *arg)
{
	struct other *o = arg;

	for (;;) {
		pthread_barrier_wait(&o->begin);
		if (!o->action)
			return NULL;
		o->action(o);
		pthread_barrier_wait(&o->done);
	}
}

static void other_start(struct other *o, weft_buf_pool *pool)
{
	memset(o, 0, sizeof(*o));
	o->pool = pool;
	pthread_barrier_init(&o->begin, NULL, 2);
	pthread_barrier_init(&o->done, NULL, 2);
	ck_assert_int_eq(pthread_create(&o->thread, NULL, other_main, o), 0);
}

static void other_does(struct other *o, void (*action)(struct other *other))
{
	o->action = action;
	pthread_barrier_wait(&o->begin);
	pthread_barrier_wait(&o->done);
}

static void other_ends(struct other *o)
{
	o->action = NULL;
	pthread_barrier_wait(&o->begin);
	pthread_join(o->thread, NULL);
	pthread_barrier_destroy(&o->begin);
	pthread_barrier_destroy(&o->done);
}

static void other_allocs(struct other *o)
{
	alloc_all(o->pool, o->bufs, BLOCKS, 1000);
}

static void other_unrefs(struct other *o)
{
	unref_all(o->bufs, BLOCKS);
}

START_TEST(blocks_freed_by_another_thread_come_back)
{
	int64_t live = t_malloc_live(), most;
	weft_buf_pool *pool = pool_make(0, 0);
	struct other o;

	other_start(&o, pool);
	for (int round = 0; round < 50; round++) {
		alloc_all(pool, o.bufs, BLOCKS, 1000);
		other_does(&o, other_unrefs);
	}
	/* at most what is out, what each of two threads has at hand, and a magazine */
	ck_assert_uint_le(stats_of(pool).misses, BLOCKS + 5 * 64);
	ck_assert_uint_eq(stats_of(pool).hits + stats_of(pool).misses, 50 * BLOCKS);
	ck_assert_uint_eq(stats_of(pool).live_blocks, 0);
	most = t_malloc_live();
	for (int round = 0; round < 50; round++) {
		other_does(&o, other_allocs);
		unref_all(o.bufs, BLOCKS);
	}
	ck_assert_int_le(t_malloc_live(), most + BLOCKS);
	ck_assert_uint_le(stats_of(pool).misses, 2 * BLOCKS + 5 * 64);
	other_ends(&o);
	weft_buf_pool_free(pool);
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

START_TEST(a_thread_that_ends_gives_back_what_it_had)
{
	weft_buf_pool *pool = pool_make(0, 0);
	weft_buf bufs[BLOCKS];
	struct other o;

	other_start(&o, pool);
	other_does(&o, other_allocs);
	other_does(&o, other_unrefs);
	ck_assert_uint_gt(stats_of(pool).cached_bytes, 0);
	other_ends(&o);
	ck_assert_uint_eq(stats_of(pool).cached_bytes, 0);
	ck_assert_uint_eq(stats_of(pool).held_bytes, BLOCKS * 1024);
	ck_assert_uint_eq(stats_of(pool).misses, BLOCKS);
	alloc_all(pool, bufs, BLOCKS, 1000);
	ck_assert_uint_eq(stats_of(pool).misses, BLOCKS);
	ck_assert_uint_eq(stats_of(pool).hits, BLOCKS);
	unref_all(bufs, BLOCKS);
	weft_buf_pool_free(pool);
}
END_TEST

START_TEST(a_trim_reaches_what_an_idle_thread_has)
{
	weft_buf_pool *pool = pool_make(0, 0);
	int64_t live;
	struct other o;

	other_start(&o, pool);
	other_does(&o, other_allocs);
	other_does(&o, other_unrefs);
	live = t_malloc_live();
	weft_buf_pool_trim(pool);
	ck_assert_int_eq(t_malloc_live(), live - BLOCKS);
	ck_assert_uint_eq(stats_of(pool).held_bytes, 0);
	other_does(&o, other_allocs);
	other_does(&o, other_unrefs);
	ck_assert_uint_eq(stats_of(pool).held_bytes, BLOCKS * 1024);
	other_ends(&o);
	weft_buf_pool_free(pool);
}
END_TEST

START_TEST(a_pool_may_go_before_the_threads_that_use_it)
{
	int64_t live = t_malloc_live();
	weft_buf_pool *pool = pool_make(0, 0);
	struct other o;

	other_start(&o, pool);
	other_does(&o, other_allocs);
	other_does(&o, other_unrefs);
	weft_buf_pool_free(pool);
	ck_assert_int_eq(t_malloc_live(), live);
	/* perhaps where the other was */
	o.pool = pool_make(0, 0);
	other_does(&o, other_allocs);
	ck_assert_uint_eq(stats_of(o.pool).misses, BLOCKS);
	weft_buf_pool_free(o.pool);
	other_does(&o, other_unrefs);
	ck_assert_int_eq(t_malloc_live(), live);
	other_ends(&o);
}
END_TEST

START_TEST(live_max_takes_what_an_idle_thread_has)
{
	weft_buf_pool *pool = pool_make(0, BLOCKS * 1024);
	weft_buf bufs[BLOCKS], one_more;
	struct other o;

	other_start(&o, pool);
	other_does(&o, other_allocs);
	ck_assert_int_eq(weft_buf_alloc(&one_more, pool, 1), WEFT_ECAPACITY);
	other_does(&o, other_unrefs);
	alloc_all(pool, bufs, BLOCKS / 2, 2000);
	ck_assert_int_eq(weft_buf_alloc(&one_more, pool, 1), WEFT_ECAPACITY);
	unref_all(bufs, BLOCKS / 2);
	other_ends(&o);
	weft_buf_pool_free(pool);
}
END_TEST

static _Atomic uint64_t out_now;
static uint64_t limited_seed;

static void *churn_limited(void *arg)
{
	weft_buf_pool *pool = arg;
	uint64_t seed = limited_seed ^ (uint64_t)pthread_self();
	void *wrong = NULL;

	for (int i = 0; i < ROUNDS / 4; i++) {
		size_t size = 1 + t_random(&seed) % 3000;
		weft_buf a;
		weft_err err = weft_buf_alloc(&a, pool, size);

		if (err && err != WEFT_ECAPACITY)
			wrong = pool;
		if (err)
			continue;
		size = weft_buf_room(&a);
		if (atomic_fetch_add(&out_now, size) + size > 8192)
			wrong = pool;
		if (i % 16 == 0)
			sched_yield();
		atomic_fetch_sub(&out_now, size);
		weft_buf_unref(&a);
	}
	return wrong;
}

START_TEST(live_max_holds_among_threads)
{
	weft_buf_pool *pool = pool_make(0, 8192);
	pthread_t threads[4];
	void *wrong;

	limited_seed = t_seed();
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, churn_limited, pool), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &wrong);
		ck_assert_ptr_null(wrong);
	}
	ck_assert_uint_le(stats_of(pool).held_bytes, 8192);
	weft_buf_pool_free(pool);
}
END_TEST

START_TEST(threads_keep_no_more_than_held_max_together)
{
	const size_t held_max = 96 * 1024;
	weft_buf_pool *pool = pool_make(held_max, 0);
	static struct other others[6];

	for (int i = 0; i < 6; i++) {
		other_start(&others[i], pool);
		other_does(&others[i], other_allocs);
	}
	for (int i = 0; i < 6; i++) {
		other_does(&others[i], other_unrefs);
		ck_assert_uint_le(stats_of(pool).held_bytes, held_max);
		ck_assert_uint_le(stats_of(pool).cached_bytes, (size_t)(i + 1) * held_max / 16);
	}
	/* a thread's reservation that it does not use is all that may be missing */
	ck_assert_uint_ge(stats_of(pool).held_bytes, held_max - held_max / 16 * 6);
	ck_assert_uint_eq(stats_of(pool).live_blocks, 0);
	for (int i = 0; i < 6; i++)
		other_ends(&others[i]);
	ck_assert_uint_le(stats_of(pool).held_bytes, held_max);
	weft_buf_pool_free(pool);
}
END_TEST

START_TEST(a_thread_may_use_many_pools)
{
	int64_t live = t_malloc_live();
	weft_buf_pool *pools[BUF_SLOTS * 3];
	weft_buf bufs[BUF_SLOTS * 3];

	for (int i = 0; i < BUF_SLOTS * 3; i++)
		pools[i] = pool_make(0, 0);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < BUF_SLOTS * 3; i++)
			T_OUGHT(weft_buf_alloc(&bufs[i], pools[i], 500) == WEFT_OK);
		unref_all(bufs, BUF_SLOTS * 3);
	}
	for (int i = 0; i < BUF_SLOTS * 3; i++) {
		T_OUGHT(stats_of(pools[i]).misses == 1);
		T_OUGHT(stats_of(pools[i]).hits == 9);
		weft_buf_pool_free(pools[i]);
	}
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

START_TEST(a_pool_does_not_grow_when_sizes_change)
{
	static weft_buf bufs[1000];
	weft_buf_pool *pool = pool_make(0, 0);

	for (size_t size = 1024; size <= 16 * 1024; size *= 2) {
		alloc_all(pool, bufs, 1000, size);
		/* what the smaller ones left is less than a part of what is out */
		ck_assert_uint_le(stats_of(pool).held_bytes, stats_of(pool).live_bytes / 8);
		unref_all(bufs, 1000);
	}
	weft_buf_pool_free(pool);
}
END_TEST

static void *drop_slice(void *arg)
{
	weft_buf *buf = arg;

	buf->data[0] = 1;
	weft_buf_unref(buf);
	return NULL;
}

static void count_block(void *data, void *user)
{
	(void)data;
	atomic_fetch_add((_Atomic int *)user, 1);
}

START_TEST(the_last_slice_frees_whoever_drops_it)
{
	_Atomic int released = 0;
	char text[2];

	for (int i = 0; i < 200; i++) {
		weft_buf a, b;
		pthread_t thread;

		T_OUGHT(weft_buf_wrap(&a, text, 2, count_block, &released) == WEFT_OK);
		b = weft_buf_slice(&a, 1, 1);
		T_OUGHT(pthread_create(&thread, NULL, drop_slice, &b) == 0);
		drop_slice(&a);
		pthread_join(thread, NULL);
		T_OUGHT(atomic_load(&released) == i + 1);
	}
}
END_TEST

/* --- trims, threads and pools at once ------------------------------------------------------ */

static _Atomic bool churn_over;

static void *trim_on(void *arg)
{
	weft_buf_pool_stats s;

	while (!atomic_load(&churn_over)) {
		weft_buf_pool_trim(arg);
		weft_buf_pool_stats_get(arg, &s);
		sched_yield();
	}
	return NULL;
}

static void churn_while_trimmed(void)
{
	int64_t live = t_malloc_live();
	weft_buf_pool *pool = pool_make(0, 0);
	pthread_t threads[4], trimmer;
	void *wrong;

	ck_assert_int_eq(pthread_create(&trimmer, NULL, trim_on, pool), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, pool), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &wrong);
		ck_assert_ptr_null(wrong);
	}
	atomic_store(&churn_over, true);
	pthread_join(trimmer, NULL);
	ck_assert_uint_eq(stats_of(pool).live_blocks, 0);
	ck_assert_uint_eq(stats_of(pool).hits + stats_of(pool).misses, 4 * ROUNDS);
	weft_buf_pool_trim(pool);
	ck_assert_uint_eq(stats_of(pool).held_bytes, 0);
	ck_assert_uint_eq(counter_get(&pool->held), 0);
	ck_assert_uint_eq(counter_get(&pool->made), 0);
	weft_buf_pool_free(pool);
	ck_assert_int_eq(t_malloc_live(), live);
}

START_TEST(trims_and_threads_do_not_meet)
{
	churn_while_trimmed();
}
END_TEST

START_TEST(pools_do_without_membarrier)
{
	if (!membarrier_forbid())
		return; /* not where programs run under another system */
	ck_assert_int_eq(syscall(SYS_membarrier, 0, 0, 0), -1);
	churn_while_trimmed();
}
END_TEST

static void *use_and_drop(void *arg)
{
	weft_buf *bufs = arg, own[8];

	for (int i = 0; i < 8; i++)
		own[i] = weft_buf_ref(&bufs[i]);
	for (int i = 0; i < 100; i++) {
		weft_buf extra;

		if (weft_buf_alloc(&extra, bufs[0].block->pool, 700))
			return arg;
		weft_buf_unref(&extra);
	}
	unref_all(own, 8);
	unref_all(bufs, 8);
	return NULL;
}

START_TEST(the_last_block_ends_a_freed_pool_in_any_thread)
{
	int64_t live = t_malloc_live();

	for (int round = 0; round < 200; round++) {
		weft_buf_pool *pool = pool_make(0, 0);
		weft_buf bufs[3][8];
		pthread_t threads[3];
		void *wrong;

		for (int i = 0; i < 3; i++) {
			alloc_all(pool, bufs[i], 8, 700);
			T_OUGHT(pthread_create(&threads[i], NULL, use_and_drop, bufs[i]) == 0);
		}
		weft_buf_pool_free(pool);
		for (int i = 0; i < 3; i++) {
			pthread_join(threads[i], &wrong);
			T_OUGHT(!wrong);
		}
		T_OUGHT(t_malloc_live() == live);
	}
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
	t_add(tc, a_block_fits_its_size_closely);
	t_add(tc, blocks_at_hand_cost_no_allocation);
	t_add(tc, blocks_freed_by_another_thread_come_back);
	t_add(tc, a_thread_that_ends_gives_back_what_it_had);
	t_add(tc, a_trim_reaches_what_an_idle_thread_has);
	t_add(tc, a_pool_may_go_before_the_threads_that_use_it);
	t_add(tc, live_max_takes_what_an_idle_thread_has);
	t_add(tc, live_max_holds_among_threads);
	t_add(tc, threads_keep_no_more_than_held_max_together);
	t_add(tc, a_thread_may_use_many_pools);
	t_add(tc, a_pool_does_not_grow_when_sizes_change);
	t_add(tc, the_last_slice_frees_whoever_drops_it);
	t_add(tc, trims_and_threads_do_not_meet);
	t_add(tc, pools_do_without_membarrier);
	t_add(tc, the_last_block_ends_a_freed_pool_in_any_thread);
}
T_SUITE("buf", buf_tests)
