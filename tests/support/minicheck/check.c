/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <check.h>

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define TESTS_MAX 1000
#define CASES_MAX 20

struct entry {
	const TTest *test;
	int signal, status; /* how it must end; 0, 0: in order */
	int start, end;
};

struct TCase {
	const char *name;
	double timeout_s;
	void (*setup)(void);
	void (*teardown)(void);
	struct entry entries[TESTS_MAX];
	int count;
};

struct Suite {
	const char *name;
	TCase *cases[CASES_MAX];
	int count;
};

struct SRunner {
	Suite *suite;
	int run, failed;
};

static void *allocate(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		abort();
	return p;
}

Suite *suite_create(const char *name)
{
	Suite *suite = allocate(sizeof(*suite));

	suite->name = name;
	return suite;
}

TCase *tcase_create(const char *name)
{
	const char *timeout = getenv("CK_DEFAULT_TIMEOUT");
	TCase *tc = allocate(sizeof(*tc));

	tc->name = name;
	tc->timeout_s = timeout ? atof(timeout) : 60;
	return tc;
}

void suite_add_tcase(Suite *suite, TCase *tc)
{
	if (suite->count == CASES_MAX)
		abort();
	suite->cases[suite->count++] = tc;
}

void tcase_set_timeout(TCase *tc, double seconds)
{
	tc->timeout_s = seconds;
}

void tcase_add_checked_fixture(TCase *tc, void (*setup)(void), void (*teardown)(void))
{
	tc->setup = setup;
	tc->teardown = teardown;
}

void minicheck_add(TCase *tc, const TTest *test, int signal, int status, int start, int end)
{
	if (tc->count == TESTS_MAX)
		abort();
	tc->entries[tc->count++] = (struct entry){ test, signal, status, start, end };
}

SRunner *srunner_create(Suite *suite)
{
	SRunner *runner = allocate(sizeof(*runner));

	runner->suite = suite;
	return runner;
}

void minicheck_failed(const char *file, int line, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static void body(const TCase *tc, const struct entry *entry, int i)
{
	if (tc->setup)
		tc->setup();
	entry->test->fn(i);
	if (tc->teardown)
		tc->teardown();
}

/* True when it ended as it must. */
static bool run_one(const TCase *tc, const struct entry *entry, int i)
{
	const char *fork_mode = getenv("CK_FORK");
	int status = 0;
	pid_t pid;

	if (fork_mode && strcmp(fork_mode, "no") == 0) {
		body(tc, entry, i);
		return true;
	}
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0) {
		setpgid(0, 0);
		alarm((unsigned)tc->timeout_s + 1); /* ends the process unless it is handled */
		body(tc, entry, i);
		exit(0);
	}
	while (waitpid(pid, &status, 0) < 0)
		;
	kill(-pid, SIGKILL);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == entry->signal;
	return entry->signal == 0 && WEXITSTATUS(status) == entry->status;
}

void srunner_run_all(SRunner *runner, enum print_output mode)
{
	(void)mode;
	for (int c = 0; c < runner->suite->count; c++) {
		const TCase *tc = runner->suite->cases[c];

		for (int t = 0; t < tc->count; t++) {
			const struct entry *entry = &tc->entries[t];

			for (int i = entry->start; i < entry->end; i++) {
				runner->run++;
				if (run_one(tc, entry, i))
					continue;
				runner->failed++;
				printf("%s:%d:F:%s:%d\n", entry->test->file, entry->test->line,
					entry->test->name, i);
			}
		}
	}
	printf("%s: %d tests, %d failed\n", runner->suite->name, runner->run, runner->failed);
}

int srunner_ntests_failed(SRunner *runner)
{
	return runner->failed;
}

int srunner_ntests_run(SRunner *runner)
{
	return runner->run;
}

void srunner_free(SRunner *runner)
{
	for (int c = 0; c < runner->suite->count; c++)
		free(runner->suite->cases[c]);
	free(runner->suite);
	free(runner);
}
