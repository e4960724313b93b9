/* SPDX-License-Identifier: MIT */
/* What the other tests believe in. */
#define _GNU_SOURCE
#include "base/err.h"
#include "base/mem.h"
#include "support/t.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(open_descriptors_are_counted)
{
	int before = t_fds_open(), fd = open("/dev/null", O_RDONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(t_fds_open(), before + 1);
	close(fd);
	ck_assert_int_eq(t_fds_open(), before);
}
END_TEST

static void *fork_one(void *arg)
{
	pid_t *child = arg;

	*child = fork();
	if (*child == 0)
		_exit(0);
	return NULL;
}

START_TEST(children_of_every_thread_are_counted_until_they_are_reaped)
{
	pid_t mine, other;
	pthread_t thread;

	ck_assert_int_eq(t_children(), 0);
	fork_one(&mine);
	ck_assert_int_eq(pthread_create(&thread, NULL, fork_one, &other), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(t_children(), 2);
	ck_assert_int_eq(waitpid(mine, NULL, 0), mine);
	ck_assert_int_eq(waitpid(other, NULL, 0), other);
	ck_assert_int_eq(t_children(), 0);
}
END_TEST

static void *wait_named(void *arg)
{
	pthread_barrier_t *both = arg;

	ck_assert_int_eq(pthread_setname_np(pthread_self(), "named"), 0);
	pthread_barrier_wait(both);
	pthread_barrier_wait(both);
	return NULL;
}

START_TEST(threads_are_counted_by_their_name)
{
	unsigned before = t_threads(NULL);
	pthread_barrier_t both;
	pthread_t thread;

	ck_assert_uint_ge(before, 1);
	ck_assert_uint_eq(t_threads("named"), 0);
	ck_assert_int_eq(pthread_barrier_init(&both, NULL, 2), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, wait_named, &both), 0);
	pthread_barrier_wait(&both);
	ck_assert_uint_eq(t_threads("named"), 1);
	ck_assert_uint_gt(t_threads(NULL), before);
	pthread_barrier_wait(&both);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	pthread_barrier_destroy(&both);
}
END_TEST

START_TEST(seeds_come_from_the_environment_and_numbers_repeat)
{
	uint64_t a, b;

	setenv("WEFT_TEST_SEED", "42", 1);
	ck_assert_uint_eq(t_seed(), 42);
	ck_assert_uint_eq(t_seed(), 42);
	a = b = t_seed();
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(t_random(&a), t_random(&b));
	ck_assert_uint_ne(t_random(&a), t_random(&a));
}
END_TEST

START_TEST(first_error_text_is_no_leak)
{
	T_EACH_FAILING_MALLOC(n) {
		void *p = mem_alloc(1);

		if (!p)
			(void)err_setf(WEFT_ENOMEM, "round %d", (int)n);
		mem_free(p);
	}
}
END_TEST

static void support_tests(TCase *tc)
{
	t_add(tc, open_descriptors_are_counted);
	t_add(tc, children_of_every_thread_are_counted_until_they_are_reaped);
	t_add(tc, threads_are_counted_by_their_name);
	t_add(tc, seeds_come_from_the_environment_and_numbers_repeat);
	t_add(tc, first_error_text_is_no_leak);
}
T_SUITE("support", support_tests)
