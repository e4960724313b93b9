/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "support/t.h"

#include "base/err.h"
#include "base/mem.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MALLOC_ROUNDS_MAX 100000

static struct {
	char **names; /* of the tests to run; none: all */
	int count;
	bool list_only;
	unsigned added;
} wanted;

static bool is_wanted(const char *name)
{
	if (wanted.list_only) {
		puts(name);
		return false;
	}
	for (int i = 0; i < wanted.count; i++) {
		if (strstr(name, wanted.names[i]))
			return true;
	}
	return wanted.count == 0;
}

void t_add(TCase *tc, const TTest *test)
{
	if (!is_wanted(test->name))
		return;
	wanted.added++;
	tcase_add_test(tc, test);
}

void t_add_loop(TCase *tc, const TTest *test, int start, int end)
{
	if (!is_wanted(test->name))
		return;
	wanted.added++;
	tcase_add_loop_test(tc, test, start, end);
}

int t_fds_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 3; /* ".", ".." and the directory itself */
}

static int children_of_task(const char *tid)
{
	char path[300];
	FILE *file;
	int count = 0, pid;

	snprintf(path, sizeof(path), "/proc/self/task/%s/children", tid);
	file = fopen(path, "re");
	if (!file) /* the thread has ended since */
		return 0;
	while (fscanf(file, "%d", &pid) == 1)
		count++;
	fclose(file);
	return count;
}

int t_children(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	int count = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			count += children_of_task(entry->d_name);
	}
	closedir(dir);
	return count;
}

static bool has_name(const char *tid, const char *name)
{
	char path[300], line[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%s/comm", tid);
	file = fopen(path, "re");
	if (!file) /* it has ended since */
		return false;
	if (fgets(line, sizeof(line), file))
		line[strcspn(line, "\n")] = '\0';
	fclose(file);
	return strcmp(line, name) == 0;
}

unsigned t_threads(const char *name)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned count = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.' && (!name || has_name(entry->d_name, name));
	closedir(dir);
	return count;
}

int64_t t_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint64_t seed;
static pid_t seed_pid; /* who prints it: the process that asked */

static void print_seed(void)
{
	if (seed_pid == getpid())
		fprintf(stderr, "WEFT_TEST_SEED=%llu\n", (unsigned long long)seed);
}

/* A failed assertion leaves by exit, so that the seed is printed then; a test that
 * passes prints it too, which ctest shows only when another one of the binary failed. */
uint64_t t_seed(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	const char *given = getenv("WEFT_TEST_SEED");
	uint64_t found;

	pthread_mutex_lock(&lock);
	if (seed_pid != getpid()) {
		seed_pid = getpid();
		seed = given ? strtoull(given, NULL, 0) : (uint64_t)t_now_ns() * 0x9e3779b97f4a7c15;
		atexit(print_seed);
	}
	found = seed;
	pthread_mutex_unlock(&lock);
	return found;
}

uint64_t t_random(uint64_t *state)
{
	/* splitmix64 */
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* All sequentially consistent: this is not on any path that is measured. */
static struct {
	_Atomic uint64_t calls;
	_Atomic uint64_t fail_at; /* 0: none */
	_Atomic bool failed;
	_Atomic int64_t live;
} memory;

static bool memory_allow(void *user, size_t size)
{
	uint64_t call = atomic_fetch_add(&memory.calls, 1) + 1;

	(void)user;
	(void)size;
	if (call != atomic_load(&memory.fail_at))
		return true;
	atomic_store(&memory.failed, true);
	return false;
}

static void memory_made(void *user)
{
	(void)user;
	atomic_fetch_add(&memory.live, 1);
}

static void memory_gone(void *user)
{
	(void)user;
	atomic_fetch_sub(&memory.live, 1);
}

static const struct mem_hooks memory_hooks = { memory_allow, memory_made, memory_gone, NULL };

void t_malloc_fail_at(uint64_t n)
{
	atomic_store(&memory.fail_at, 0);
	atomic_store(&memory.calls, 0);
	atomic_store(&memory.failed, false);
	atomic_store(&memory.fail_at, n);
}

void t_malloc_fail_off(void)
{
	atomic_store(&memory.fail_at, 0);
}

uint64_t t_malloc_calls(void)
{
	return atomic_load(&memory.calls);
}

bool t_malloc_failed(void)
{
	return atomic_load(&memory.failed);
}

int64_t t_malloc_live(void)
{
	return atomic_load(&memory.live);
}

/* The caller's place for error texts is made once and kept: not a leak. */
static void make_error_text(void)
{
	(void)err_setf(WEFT_ENOMEM, "made before anything is counted");
}

uint64_t t_malloc_round(uint64_t last)
{
	static int64_t live_before;

	t_malloc_fail_off();
	if (last == 0) {
		make_error_text();
	} else {
		ck_assert_msg(t_malloc_live() == live_before,
			"allocation %llu failing: %lld blocks live before, %lld after",
			(unsigned long long)last, (long long)live_before,
			(long long)t_malloc_live());
		if (!t_malloc_failed())
			return 0;
		ck_assert_msg(last < MALLOC_ROUNDS_MAX, "no end of allocations to fail");
	}
	live_before = t_malloc_live();
	t_malloc_fail_at(last + 1);
	return last + 1;
}

int t_main(const char *name, void (*add_tests)(TCase *tc), int argc, char **argv)
{
	Suite *suite = suite_create(name);
	TCase *tc = tcase_create(name);
	SRunner *runner;
	int failed;

	wanted.names = argv + 1;
	wanted.count = argc - 1;
	if (argc > 1 && strcmp(argv[1], "-l") == 0)
		wanted.list_only = true;
	suite_add_tcase(suite, tc);
	add_tests(tc);
	runner = srunner_create(suite);
	if (wanted.list_only) {
		srunner_free(runner);
		return 0;
	}
	if (wanted.added == 0 && wanted.count > 0)
		fprintf(stderr, "%s: no test is named like that\n", name);
	make_error_text();
	mem_hooks_set(&memory_hooks);
	srunner_run_all(runner, CK_ENV);
	mem_hooks_set(NULL);
	failed = srunner_ntests_failed(runner);
	if (srunner_ntests_run(runner) == 0)
		failed = 1; /* a suite that runs nothing proves nothing */
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
