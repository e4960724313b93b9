/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "support/t.h"
#include "support/threads.h"

#include <weft/weft.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHELL(script) ((const char *const[]){ "/bin/sh", "-c", (script), NULL })

static weft_err run(weft_fiber_fn fn, void *arg)
{
	weft_run_options o = WEFT_RUN_OPTIONS_DEFAULT;

	o.workers = 2;
	return weft_run(fn, arg, &o);
}

/* Runs it, and sees that no descriptor, child or block is left. */
static void run_clean(weft_fiber_fn fn)
{
	int fds = t_fds_open();
	int64_t live = t_malloc_live();

	ck_assert_int_eq(run(fn, NULL), WEFT_OK);
	ck_assert_int_eq(t_children(), 0);
	ck_assert_int_eq(t_fds_open(), fds);
	ck_assert_int_eq(t_malloc_live(), live);
}

#define MS INT64_C(1000000)

static weft_process *start_graced(const char *const *argv, int64_t grace_ns)
{
	weft_process_options o = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_process *p = NULL;

	o.argv = argv;
	o.stop_grace_ns = grace_ns;
	ck_assert_msg(weft_process_spawn(&p, &o) == WEFT_OK, "%s", weft_error_detail());
	return p;
}

static weft_process *start(const char *const *argv)
{
	return start_graced(argv, 100 * MS);
}

static weft_process_status end_of(weft_process *p)
{
	weft_process_status status = { 0 };

	ck_assert_int_eq(weft_process_wait(p, &status, WEFT_FOREVER), WEFT_OK);
	return status;
}

/* All that the child writes. */
static void read_all(weft_process *p, char *text, size_t size)
{
	size_t len = 0, got = 0;
	weft_err err;

	while ((err = weft_conn_read(weft_process_conn(p), text + len, size - 1 - len, &got,
			WEFT_FOREVER)) == WEFT_OK)
		len += got;
	ck_assert_int_eq(err, WEFT_ECLOSED);
	text[len] = '\0';
}

static void output_of(const char *script, char *text, size_t size)
{
	weft_process *p = start(SHELL(script));

	read_all(p, text, size);
	weft_process_free(p);
}

/* --- what a child is ------------------------------------------------------------------ */

static weft_err status_main(void *arg)
{
	weft_process *p = start(SHELL("exit 7"));
	weft_process_status s = end_of(p);

	(void)arg;
	ck_assert(s.exited && s.code == 7);
	ck_assert_int_eq(weft_process_kill(p, SIGTERM), WEFT_ECLOSED);
	s = end_of(p);
	ck_assert(s.exited && s.code == 7);
	weft_process_free(p);
	p = start(SHELL("kill -USR1 $$"));
	s = end_of(p);
	ck_assert(!s.exited && s.signal_number == SIGUSR1);
	weft_process_free(p);
	return WEFT_OK;
}

START_TEST(exit_codes_and_signals_are_told_apart)
{
	run_clean(status_main);
}
END_TEST

static weft_err echo_main(void *arg)
{
	weft_process *p = start((const char *const[]){ "cat", NULL });
	weft_conn *c = weft_process_conn(p);
	char text[100];
	size_t got;

	(void)arg;
	ck_assert_int_eq(weft_conn_write(c, "hello\n", 6, NULL, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(weft_conn_read_full(c, text, 6, &got, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(memcmp(text, "hello\n", 6), 0);
	ck_assert_int_eq(weft_process_wait(p, NULL, weft_after_ms(5)), WEFT_ETIMEDOUT);
	ck_assert_int_eq(weft_conn_shutdown(c), WEFT_OK);
	ck_assert_int_eq(weft_conn_read(c, text, 1, &got, WEFT_FOREVER), WEFT_ECLOSED);
	ck_assert(end_of(p).code == 0);
	weft_process_free(p);
	return WEFT_OK;
}

START_TEST(stdin_and_stdout_are_a_conn_with_halves)
{
	run_clean(echo_main);
}
END_TEST

static void refused(const char *const *argv, const char *directory, const char *why)
{
	weft_process_options o = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_process *p = NULL;

	o.argv = argv;
	o.directory = directory;
	ck_assert_int_eq(weft_process_spawn(&p, &o), WEFT_ESPAWN);
	ck_assert_msg(strstr(weft_error_detail(), why) != NULL, "%s", weft_error_detail());
	ck_assert_ptr_null(p);
}

static weft_err refused_main(void *arg)
{
	weft_process_options o = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_process *p = NULL;

	(void)arg;
	refused((const char *const[]){ "no-such-program-here", NULL }, NULL, "no such program");
	refused((const char *const[]){ "/no/such/file", NULL }, NULL, "no such file");
	refused((const char *const[]){ "/etc/passwd", NULL }, NULL, "permission denied");
	refused((const char *const[]){ "/etc", NULL }, NULL, "directory");
	refused((const char *const[]){ "cat", NULL }, "/no/such/place", "/no/such/place");
	ck_assert_int_eq(weft_process_spawn(&p, &o), WEFT_EINVAL);
	o.argv = (const char *const[]){ "cat", NULL };
	o.env = (const char *const[]){ "NOEQUALS", NULL };
	ck_assert_int_eq(weft_process_spawn(&p, &o), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "NOEQUALS"));
	return WEFT_OK;
}

START_TEST(what_can_not_start_says_why)
{
	/* the thread's buffer for details is made once */
	weft_run_options bad = WEFT_RUN_OPTIONS_DEFAULT;

	bad.workers = 100000;
	ck_assert_int_eq(weft_run(refused_main, NULL, &bad), WEFT_EINVAL);
	run_clean(refused_main);
}
END_TEST

static weft_err env_main(void *arg)
{
	weft_process_options o = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_process *p = NULL;
	char text[4000];

	(void)arg;
	setenv("WEFT_SECRET", "x", 1);
	setenv("LC_TEST", "passes", 1);
	output_of("env", text, sizeof(text));
	ck_assert_ptr_null(strstr(text, "WEFT_SECRET"));
	ck_assert_ptr_nonnull(strstr(text, "LC_TEST=passes"));
	ck_assert_ptr_nonnull(strstr(text, "PATH="));
	o.argv = SHELL("env");
	o.env = (const char *const[]){ "LC_TEST=other", "MORE=1", NULL };
	o.pass_env = (const char *const[]){ "WEFT_*", "LC_TEST", NULL };
	ck_assert_int_eq(weft_process_spawn(&p, &o), WEFT_OK);
	read_all(p, text, sizeof(text));
	weft_process_free(p);
	ck_assert_ptr_nonnull(strstr(text, "WEFT_SECRET=x"));
	ck_assert_ptr_nonnull(strstr(text, "LC_TEST=other"));
	ck_assert_ptr_nonnull(strstr(text, "MORE=1"));
	ck_assert_ptr_null(strstr(text, "LC_TEST=passes"));
	return WEFT_OK;
}

START_TEST(the_environment_is_an_allow_list)
{
	run_clean(env_main);
}
END_TEST

static weft_err inherit_main(void *arg)
{
	char text[4000];
	int leak = dup(0); /* without close-on-exec, as a careless program has them */

	(void)arg;
	output_of("ls /proc/self/fd | tr '\\n' ' '", text, sizeof(text));
	/* 3: ls's own, of the directory */
	ck_assert_str_eq(text, "0 1 2 3 ");
	close(leak);
	output_of("grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status", text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "SigBlk:\t0000000000000000"));
	ck_assert_ptr_nonnull(strstr(text, "SigIgn:\t0000000000000000"));
	output_of("ulimit -Sn", text, sizeof(text));
	ck_assert_int_eq(atoi(text), 300);
	output_of("ps -o pgid= -p $$; echo $$", text, sizeof(text));
	ck_assert_int_eq(atoi(text), atoi(strchr(text, '\n')));
	return WEFT_OK;
}

START_TEST(a_child_starts_clean)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 300;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_gt(weft_descriptor_limit_raise(), 300);
	run_clean(inherit_main);
}
END_TEST

/* --- where its stdio goes, and where it runs ------------------------------------------ */

static weft_process *start_with(const weft_process_options *o)
{
	weft_process *p = NULL;

	ck_assert_msg(weft_process_spawn(&p, o) == WEFT_OK, "%s", weft_error_detail());
	return p;
}

static weft_err stdio_main(void *arg)
{
	weft_process_options o = WEFT_PROCESS_OPTIONS_DEFAULT;
	char text[100];
	weft_process *p;
	size_t got;

	(void)arg;
	o.argv = SHELL("cat; pwd; echo complaint >&2");
	o.directory = "/proc/self/../1/..";
	o.stdin_mode = WEFT_PROCESS_NULL;
	o.stderr_mode = WEFT_PROCESS_PIPE;
	p = start_with(&o);
	read_all(p, text, sizeof(text));
	ck_assert_str_eq(text, "/proc\n");
	ck_assert_int_eq(
		weft_conn_read_line(weft_process_stderr(p), text, sizeof(text), &got, WEFT_FOREVER),
		WEFT_OK);
	ck_assert_str_eq(text, "complaint\n");
	ck_assert_int_eq(
		weft_conn_read(weft_process_stderr(p), text, 1, &got, WEFT_FOREVER), WEFT_ECLOSED);
	weft_process_free(p);
	/* nothing to talk through */
	o.argv = SHELL("echo gone; cat");
	o.stdout_mode = o.stderr_mode = WEFT_PROCESS_NULL;
	p = start_with(&o);
	ck_assert_ptr_null(weft_process_conn(p));
	ck_assert_ptr_null(weft_process_stderr(p));
	ck_assert_int_eq(end_of(p).code, 0);
	weft_process_free(p);
	/* ours, though marked to be closed by exec */
	o.argv = SHELL("test -e /proc/self/fd/2");
	o.stderr_mode = WEFT_PROCESS_INHERIT;
	ck_assert_int_eq(fcntl(2, F_SETFD, FD_CLOEXEC), 0);
	p = start_with(&o);
	ck_assert_int_eq(end_of(p).code, 0);
	weft_process_free(p);
	return WEFT_OK;
}

START_TEST(stdio_goes_where_the_options_say)
{
	run_clean(stdio_main);
}
END_TEST

/* Found out by exec, when the child has its stdio. */
static void refused_by_exec(void)
{
	char name[] = "/tmp/weft-test-XXXXXX";
	int fd = mkstemp(name);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "#!/no/such\n", 11), 11);
	ck_assert_int_eq(fchmod(fd, 0700), 0);
	close(fd);
	refused((const char *const[]){ name, NULL }, NULL, "interpreter");
	unlink(name);
}

static weft_err closed_stdio_main(void *arg)
{
	char text[100];

	(void)arg;
	close(0);
	close(1);
	refused_by_exec();
	output_of("test -e /proc/$$/fd/0 && echo got", text, sizeof(text));
	ck_assert_str_eq(text, "got\n");
	ck_assert_int_eq(open("/dev/null", O_RDWR), 0);
	ck_assert_int_eq(dup(0), 1);
	return WEFT_OK;
}

/* Then the pipes get the very numbers that the child is to have. */
START_TEST(a_program_without_stdio_has_children_with_it)
{
	run_clean(closed_stdio_main);
}
END_TEST

static weft_err spawn_only(void *arg)
{
	weft_process_options o = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_process *p = NULL;

	o.argv = arg;
	return weft_process_spawn(&p, &o);
}

START_TEST(children_that_would_vanish_are_not_made)
{
	const char *argv[] = { "true", NULL };

	signal(SIGCHLD, SIG_IGN);
	ck_assert_int_eq(run(spawn_only, argv), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "SIGCHLD"));
}
END_TEST

START_TEST(simulated_runs_have_no_children)
{
	const char *argv[] = { "true", NULL };

	ck_assert_int_eq(weft_sim_run(spawn_only, argv, NULL, NULL), WEFT_ENOSYS);
}
END_TEST

START_TEST(a_missing_interpreter_is_told_from_a_missing_program)
{
	char path[] = "/tmp/weft-process-XXXXXX";
	const char *argv[] = { path, NULL };
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "#!/no/such/shell\n", 17), 17);
	ck_assert_int_eq(fchmod(fd, 0700), 0);
	close(fd);
	ck_assert_int_eq(run(spawn_only, argv), WEFT_ESPAWN);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "interpreter"));
	unlink(path);
}
END_TEST

/* --- how a child ends ----------------------------------------------------------------- */

static weft_err stop_main(void *arg)
{
	weft_process_status s;
	char line[8];
	size_t got;
	/* a machine that is busy needs time for what a child does then */
	weft_process *p = start_graced((const char *const[]){ "cat", NULL }, 20000 * MS);

	(void)arg;
	weft_process_stop(p, &s);
	ck_assert(s.exited && s.code == 0);
	weft_process_stop(p, &s);
	weft_process_free(p);
	p = start_graced(SHELL("echo ready; exec sleep 1000"), 500 * MS);
	ck_assert_int_eq(
		weft_conn_read_line(weft_process_conn(p), line, 8, &got, WEFT_FOREVER), WEFT_OK);
	weft_process_stop(p, &s);
	ck_assert(!s.exited && s.signal_number == SIGTERM);
	weft_process_free(p);
	p = start(SHELL("trap '' TERM; echo ready; while :; do sleep 0.1; done"));
	ck_assert_int_eq(
		weft_conn_read_line(weft_process_conn(p), line, 8, &got, WEFT_FOREVER), WEFT_OK);
	weft_process_stop(p, &s);
	ck_assert(!s.exited && s.signal_number == SIGKILL);
	weft_process_free(p);
	return WEFT_OK;
}

START_TEST(stop_asks_then_tells_then_kills)
{
	run_clean(stop_main);
}
END_TEST

static weft_err stop_fiber(void *arg)
{
	weft_process_status s = { 0 };

	weft_process_stop(arg, &s);
	return s.exited && s.code == 3 ? WEFT_OK : WEFT_ECHILD;
}

/* All were cancelled, the child had its time to say goodbye, and all know how it ended. */
static weft_err stops_main(void *arg)
{
	weft_process_options o = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_scope *scope;
	weft_process *p;
	char line[8];
	size_t got;

	(void)arg;
	o.argv = SHELL("trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done");
	o.stop_grace_ns = 700 * MS;
	p = start_with(&o);
	ck_assert_int_eq(
		weft_conn_read_line(weft_process_conn(p), line, 8, &got, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(weft_scope_spawn_on(scope, i % 2, "stop", stop_fiber, p), WEFT_OK);
	(void)weft_yield();
	weft_scope_cancel(scope);
	ck_assert_int_eq(weft_scope_wait(scope, WEFT_FOREVER), WEFT_OK);
	weft_scope_free(scope);
	weft_process_free(p);
	return WEFT_OK;
}

START_TEST(stops_join_one_another_and_outlast_cancellation)
{
	run_clean(stops_main);
}
END_TEST

static bool is_alive(int pid)
{
	char path[64], text[200] = "";
	FILE *f;
	bool alive;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (!f)
		return false;
	alive = fgets(text, sizeof(text), f) && !strstr(text, ") Z");
	fclose(f);
	return alive;
}

static void wait_gone(int pid)
{
	for (int i = 0; is_alive(pid) && i < 20000; i++)
		ck_assert_int_eq(weft_sleep_ms(1), WEFT_OK);
	ck_assert(!is_alive(pid));
}

static weft_err group_main(void *arg)
{
	weft_process *p;
	char line[32];
	size_t got;
	int grandchild;

	/* the leader ends by itself; its group goes with it */
	p = start(SHELL("sleep 1000 & echo $!; exit 0"));
	(void)arg;
	ck_assert_int_eq(
		weft_conn_read_line(weft_process_conn(p), line, 32, &got, WEFT_FOREVER), WEFT_OK);
	grandchild = atoi(line);
	ck_assert_int_gt(grandchild, 1);
	ck_assert(end_of(p).code == 0);
	wait_gone(grandchild);
	weft_process_free(p);
	/* freed while it runs */
	p = start(SHELL("sleep 1000 & echo $!; wait"));
	ck_assert_int_eq(
		weft_conn_read_line(weft_process_conn(p), line, 32, &got, WEFT_FOREVER), WEFT_OK);
	grandchild = atoi(line);
	weft_process_free(p);
	wait_gone(grandchild);
	return WEFT_OK;
}

START_TEST(the_group_ends_with_its_leader)
{
	run_clean(group_main);
}
END_TEST

static weft_err doomed_main(void *arg)
{
	weft_process_options o = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_process *p = NULL;
	int *fds = arg, pid;

	o.argv = (const char *const[]){ "sleep", "1000", NULL };
	if (weft_process_spawn(&p, &o) != WEFT_OK)
		_exit(1);
	pid = weft_process_pid(p);
	if (write(fds[1], &pid, sizeof(pid)) != (ssize_t)sizeof(pid))
		_exit(1);
	return weft_sleep_until(WEFT_FOREVER);
}

START_TEST(a_child_dies_with_its_parent)
{
	int fds[2], status, child = 0;
	pid_t parent;

	ck_assert_int_eq(pipe(fds), 0);
	parent = fork();
	if (parent == 0) {
		if (run(doomed_main, fds) != WEFT_OK)
			_exit(1);
		_exit(0);
	}
	ck_assert_int_eq(read(fds[0], &child, sizeof(child)), (ssize_t)sizeof(child));
	ck_assert(is_alive(child));
	ck_assert_int_eq(kill(parent, SIGKILL), 0);
	ck_assert_int_eq(waitpid(parent, &status, 0), parent);
	for (int i = 0; is_alive(child) && i < 2000000; i++)
		sched_yield();
	ck_assert(!is_alive(child));
}
END_TEST

static weft_err forgetful_main(void *arg)
{
	weft_process_options o = WEFT_PROCESS_OPTIONS_DEFAULT;

	o.argv = (const char *const[]){ "sleep", "1000", NULL };
	o.stdin_mode = o.stdout_mode = WEFT_PROCESS_NULL;
	o.stop_grace_ns = 10000000;
	return weft_process_spawn(arg, &o);
}

START_TEST(a_child_that_was_forgotten_does_not_outlive_the_runtime)
{
	weft_process_status s = { 0 };
	weft_process *p = NULL;

	ck_assert_int_eq(run(forgetful_main, &p), WEFT_OK);
	ck_assert_int_eq(t_children(), 0);
	weft_process_stop(p, &s);
	ck_assert(!s.exited && s.signal_number == SIGKILL);
	weft_process_free(p);
}
END_TEST

static weft_parker *late_main;
static bool late_is_ready; /* both fibers are on one worker */

static weft_err late_stop_fiber(void *arg)
{
	weft_process_options o = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_process_status *s = arg;
	weft_process *p;
	char line[8];
	size_t got;

	o.argv = SHELL("trap 'sleep 0.1; exit 5' TERM; echo ready; while :; do sleep 0.01; done");
	o.stop_grace_ns = 700 * MS;
	p = start_with(&o);
	ck_assert_int_eq(
		weft_conn_read_line(weft_process_conn(p), line, 8, &got, WEFT_FOREVER), WEFT_OK);
	late_is_ready = true;
	weft_unpark(late_main);
	ck_assert_int_eq(weft_sleep_until(WEFT_FOREVER), WEFT_ECANCELED);
	weft_process_stop(p, s);
	weft_process_free(p);
	return WEFT_OK;
}

static weft_err leaving_main(void *arg)
{
	weft_err err;

	late_main = weft_parker_self();
	err = weft_spawn(NULL, "late", late_stop_fiber, arg);
	while (!err && !late_is_ready)
		err = weft_park(WEFT_FOREVER);
	return err;
}

START_TEST(a_stop_has_its_time_after_the_program_was_cancelled)
{
	weft_process_status s = { 0 };

	ck_assert_int_eq(run(leaving_main, &s), WEFT_OK);
	ck_assert(s.exited && s.code == 5);
	ck_assert_int_eq(t_children(), 0);
}
END_TEST

static weft_err wait_fiber(void *arg)
{
	return weft_process_wait(arg, NULL, WEFT_FOREVER);
}

static void *wait_thread(void *arg)
{
	return (void *)(intptr_t)weft_process_wait(arg, NULL, WEFT_FOREVER);
}

static weft_err waiters_main(void *arg)
{
	weft_process *p = start((const char *const[]){ "cat", NULL });
	weft_fiber *fibers[10];
	weft_scope *scope;
	pthread_t thread;
	weft_err err;

	(void)arg;
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(scope, "cancelled", wait_fiber, p), WEFT_OK);
	ck_assert_int_eq(pthread_create(&thread, NULL, wait_thread, p), 0);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(weft_spawn(&fibers[i], "w", wait_fiber, p), WEFT_OK);
	(void)weft_yield();
	weft_scope_free(scope);
	ck_assert_int_eq(weft_process_kill(p, SIGKILL), WEFT_OK);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(weft_fiber_join(fibers[i], &err, WEFT_FOREVER), WEFT_OK);
		ck_assert_int_eq(err, WEFT_OK);
	}
	ck_assert_ptr_null(thread_join(thread));
	weft_process_free(p);
	return WEFT_OK;
}

START_TEST(any_number_may_wait)
{
	run_clean(waiters_main);
}
END_TEST

static weft_err short_lived(void *arg)
{
	weft_process *p = start((const char *const[]){ "true", NULL });

	(void)arg;
	ck_assert_int_eq(end_of(p).code, 0);
	weft_process_free(p);
	return WEFT_OK;
}

static weft_err many_main(void *arg)
{
	weft_scope *scope;
	weft_err err;

	(void)arg;
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	for (unsigned i = 0; i < 200; i++)
		ck_assert_int_eq(
			weft_scope_spawn_on(scope, i % 2, "one", short_lived, NULL), WEFT_OK);
	err = weft_scope_wait(scope, WEFT_FOREVER);
	weft_scope_free(scope);
	return err;
}

START_TEST(two_hundred_at_once)
{
	run_clean(many_main);
}
END_TEST

static weft_err malloc_main(void *arg)
{
	weft_process_options o = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_process *p = NULL;
	weft_err err;

	(void)arg;
	o.argv = (const char *const[]){ "true", NULL };
	err = weft_process_spawn(&p, &o);
	if (!err)
		err = weft_process_wait(p, NULL, WEFT_FOREVER);
	weft_process_free(p);
	return err;
}

/* A whole run each time: workers give some memory back only at their next turn. */
START_TEST(spawning_survives_failing_malloc)
{
	int failures = 0, fds;

	ck_assert_int_eq(run(malloc_main, NULL), WEFT_OK);
	fds = t_fds_open();
	T_EACH_FAILING_MALLOC(n) {
		weft_err err = run(malloc_main, NULL);

		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		failures += err != WEFT_OK;
	}
	ck_assert_int_gt(failures, 10);
	ck_assert_int_eq(t_children(), 0);
	ck_assert_int_eq(t_fds_open(), fds);
}
END_TEST

static void process_tests(TCase *tc)
{
	t_add(tc, exit_codes_and_signals_are_told_apart);
	t_add(tc, stdin_and_stdout_are_a_conn_with_halves);
	t_add(tc, what_can_not_start_says_why);
	t_add(tc, the_environment_is_an_allow_list);
	t_add(tc, a_child_starts_clean);
	t_add(tc, stdio_goes_where_the_options_say);
	t_add(tc, a_program_without_stdio_has_children_with_it);
	t_add(tc, children_that_would_vanish_are_not_made);
	t_add(tc, simulated_runs_have_no_children);
	t_add(tc, a_missing_interpreter_is_told_from_a_missing_program);
	t_add(tc, stop_asks_then_tells_then_kills);
	t_add(tc, stops_join_one_another_and_outlast_cancellation);
	t_add(tc, the_group_ends_with_its_leader);
	t_add(tc, a_child_dies_with_its_parent);
	t_add(tc, a_child_that_was_forgotten_does_not_outlive_the_runtime);
	t_add(tc, a_stop_has_its_time_after_the_program_was_cancelled);
	t_add(tc, any_number_may_wait);
	t_add(tc, two_hundred_at_once);
	t_add(tc, spawning_survives_failing_malloc);
}
T_SUITE("process", process_tests)
