/* SPDX-License-Identifier: MIT */
/* Unix listeners in the file system: stale, live and foreign files. */
#define _GNU_SOURCE
#include "support/ends.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static char directory[32];
static char path[64], name[80];

static void directory_make(void)
{
	snprintf(directory, sizeof(directory), "/tmp/weft-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/socket", directory);
	snprintf(name, sizeof(name), "unix:%s", path);
}

/* Nothing may be left in it. */
static void directory_remove(void)
{
	ck_assert_int_eq(rmdir(directory), 0);
}

static bool exists(void)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* A socket file that nobody answers on, as a killed process leaves it. */
static void leave_stale(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
	ck_assert(exists());
}

static weft_err stale_fiber(void *arg)
{
	weft_listener *listener = NULL, *second = NULL;
	weft_conn *conn = NULL;

	(void)arg;
	leave_stale();
	OK(weft_listen(&listener, name, NULL, SOON));
	ck_assert_str_eq(weft_listener_name(listener), name);
	OK(weft_dial(&conn, name, NULL, SOON));
	weft_conn_free(conn);
	FAILS(WEFT_EINUSE, weft_listen(&second, name, NULL, SOON));
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), name));
	/* the live one was not harmed by the attempt */
	OK(weft_dial(&conn, name, NULL, SOON));
	weft_conn_free(conn);
	weft_listener_close(listener);
	ck_assert(!exists());
	weft_listener_free(listener);
	return WEFT_OK;
}

START_TEST(a_stale_socket_file_is_replaced_and_a_live_one_is_not)
{
	directory_make();
	run_fiber(stale_fiber, NULL, false);
	directory_remove();
}
END_TEST

static weft_err foreign_fiber(void *arg)
{
	weft_listener *listener = NULL;
	FILE *file = fopen(path, "we");

	(void)arg;
	fputs("precious", file);
	fclose(file);
	FAILS(WEFT_EINUSE, weft_listen(&listener, name, NULL, SOON));
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "not a socket"));
	ck_assert(exists());
	ck_assert_int_eq(unlink(path), 0);
	/* nor is a link to a stale socket followed */
	ck_assert_int_eq(symlink("/nowhere/at/all", path), 0);
	FAILS(WEFT_EINUSE, weft_listen(&listener, name, NULL, SOON));
	ck_assert(exists());
	ck_assert_int_eq(unlink(path), 0);
	return WEFT_OK;
}

START_TEST(a_file_that_is_no_socket_is_never_removed)
{
	directory_make();
	run_fiber(foreign_fiber, NULL, false);
	directory_remove();
}
END_TEST

static weft_err replaced_fiber(void *arg)
{
	weft_listener *listener = NULL;

	(void)arg;
	OK(weft_listen(&listener, name, NULL, SOON));
	ck_assert_int_eq(unlink(path), 0);
	leave_stale();
	weft_listener_free(listener);
	/* it is another's now */
	ck_assert(exists());
	ck_assert_int_eq(unlink(path), 0);
	return WEFT_OK;
}

START_TEST(a_listener_removes_only_its_own_file)
{
	directory_make();
	run_fiber(replaced_fiber, NULL, false);
	directory_remove();
}
END_TEST

static weft_err mode_fiber(void *arg)
{
	weft_net_options options = WEFT_NET_OPTIONS_DEFAULT;
	weft_listener *listener = NULL;
	struct stat st;

	(void)arg;
	umask(027);
	options.unix_mode = 0666;
	OK(weft_listen(&listener, name, &options, SOON));
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0666);
	weft_listener_free(listener);
	umask(0);
	options.unix_mode = 0600;
	OK(weft_listen(&listener, name, &options, SOON));
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	weft_listener_free(listener);
	options.unix_mode = 01000;
	FAILS(WEFT_EINVAL, weft_listen(&listener, name, &options, SOON));
	return WEFT_OK;
}

START_TEST(a_socket_file_has_the_mode_that_was_asked_for)
{
	directory_make();
	run_fiber(mode_fiber, NULL, false);
	directory_remove();
}
END_TEST

static weft_err length_fiber(void *arg)
{
	weft_listener *listener = NULL;
	char longer[200];

	(void)arg;
	snprintf(longer, sizeof(longer), "unix:%s/%.*s", directory,
		(int)(107 - strlen(directory) - 1),
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	ck_assert_uint_eq(strlen(longer), 5 + 107);
	OK(weft_listen(&listener, longer, NULL, SOON));
	ck_assert_str_eq(weft_listener_name(listener), longer);
	weft_listener_free(listener);
	strncat(longer, "x", 2);
	FAILS(WEFT_EINVAL, weft_listen(&listener, longer, NULL, SOON));
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "longer than 107"));
	FAILS(WEFT_ENOTFOUND, weft_listen(&listener, "unix:/no/such/dir/socket", NULL, SOON));
	return WEFT_OK;
}

START_TEST(a_path_may_have_107_bytes)
{
	directory_make();
	run_fiber(length_fiber, NULL, false);
	directory_remove();
}
END_TEST

/* ---- a race of processes ---- */

#define RACERS 8

/* 0: listens until the pipe closes; 1: somebody else does; else a failure. */
static weft_err racer_fiber(void *arg)
{
	int *fds = arg;
	weft_listener *listener = NULL;
	weft_err err;
	char byte = 'r';

	/* all at once: ready, then wait for the start */
	if (write(fds[1], &byte, 1) != 1 || read(fds[3], &byte, 1) < 0)
		return WEFT_EIO;
	err = weft_listen(&listener, name, NULL, SOON);
	byte = err ? 'n' : 'y';
	if (err && err != WEFT_EINUSE)
		byte = '?';
	if (write(fds[1], &byte, 1) != 1)
		return WEFT_EIO;
	close(fds[1]);
	/* the winner stays until every racer has answered */
	if (!err && read(fds[2], &byte, 1) < 0)
		return WEFT_EIO;
	weft_listener_free(listener);
	return WEFT_OK;
}

static void race_once(void)
{
	int answers[2], stay[2], start[2], winners = 0;
	char byte;

	leave_stale();
	ck_assert_int_eq(pipe(answers), 0);
	ck_assert_int_eq(pipe(stay), 0);
	ck_assert_int_eq(pipe(start), 0);
	for (int i = 0; i < RACERS; i++) {
		pid_t pid = fork();

		ck_assert_int_ge(pid, 0);
		if (pid == 0) {
			int fds[4] = { answers[0], answers[1], stay[0], start[0] };
			weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;

			close(stay[1]);
			close(start[1]);
			options.workers = 1;
			_exit(weft_run(racer_fiber, fds, &options) != WEFT_OK);
		}
	}
	close(answers[1]);
	for (int i = 0; i < RACERS; i++)
		ck_assert_int_eq(read(answers[0], &byte, 1), 1);
	close(start[1]);
	for (int i = 0; i < RACERS; i++) {
		ck_assert_int_eq(read(answers[0], &byte, 1), 1);
		ck_assert_msg(byte != '?', "a racer failed");
		winners += byte == 'y';
	}
	close(stay[1]);
	for (int i = 0; i < RACERS; i++) {
		int status;

		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
	close(start[0]);
	close(stay[0]);
	close(answers[0]);
	ck_assert_int_eq(winners, 1);
	ck_assert(!exists());
}

START_TEST(one_of_many_processes_replaces_a_stale_file)
{
	directory_make();
	for (int i = 0; i < 30; i++)
		race_once();
	directory_remove();
}
END_TEST

static weft_err memory_fiber(void *arg)
{
	weft_listener *listener = NULL;

	(void)arg;
	FAILS(WEFT_EINVAL, weft_listen(&listener, "", NULL, SOON));
	wait_begun();
	T_EACH_FAILING_MALLOC(n) {
		weft_err err;

		leave_stale();
		err = weft_listen(&listener, name, NULL, SOON);
		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		ck_assert(err == WEFT_OK || t_malloc_failed());
		if (!err)
			weft_listener_free(listener);
		(void)unlink(path);
		OK(weft_sleep_ms(1));
	}
	return WEFT_OK;
}

START_TEST(listening_on_a_stale_file_survives_every_failing_malloc)
{
	directory_make();
	run_fiber(memory_fiber, NULL, false);
	directory_remove();
}
END_TEST

static void sockfile_tests(TCase *tc)
{
	t_add(tc, a_stale_socket_file_is_replaced_and_a_live_one_is_not);
	t_add(tc, a_file_that_is_no_socket_is_never_removed);
	t_add(tc, a_listener_removes_only_its_own_file);
	t_add(tc, a_socket_file_has_the_mode_that_was_asked_for);
	t_add(tc, a_path_may_have_107_bytes);
	t_add(tc, one_of_many_processes_replaces_a_stale_file);
	t_add(tc, listening_on_a_stale_file_survives_every_failing_malloc);
}

T_SUITE("sockfile", sockfile_tests)
