/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* Adopted descriptors: pipes, sockets, files, terminals, stdio; flags that must stay. */
#define _GNU_SOURCE
#include "net/side.h"
#include "support/ends.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>

static int flags_of(int fd)
{
	return fcntl(fd, F_GETFL);
}

/* ---- files ---- */

static weft_err file_fiber(void *arg)
{
	char template[] = "/tmp/weft-test-XXXXXX";
	static uint8_t data[200000], back[200000];
	weft_conn *conn = NULL;
	size_t got = 0, written = 0;
	int fd = mkostemp(template, O_CLOEXEC);

	(void)arg;
	ck_assert_int_ge(fd, 0);
	fill(data, sizeof(data), 0);
	OK(weft_conn_adopt_own(&conn, -1, fd, false, "file"));
	FAILS(WEFT_ECLOSED, weft_conn_read(conn, back, 1, &got, SOON));
	OK(weft_conn_write(conn, data, 70000, &written, SOON));
	OK(weft_conn_write(conn, data + 70000, 130000, &written, WEFT_NOW));
	ck_assert_uint_eq(written, 130000);
	OK(weft_conn_shutdown(conn));
	FAILS(WEFT_ECLOSED, weft_conn_write(conn, data, 1, &written, SOON));
	weft_conn_free(conn);
	fd = open(template, O_RDONLY | O_CLOEXEC);
	OK(weft_conn_adopt_own(&conn, fd, -1, false, NULL));
	OK(weft_conn_read_full(conn, back, 100000, &got, WEFT_NOW));
	OK(weft_conn_read_full(conn, back + 100000, 100000, &got, SOON));
	ck_assert(matches(back, sizeof(back), 0));
	FAILS(WEFT_ECLOSED, weft_conn_read(conn, back, 1, &got, SOON));
	weft_conn_free(conn);
	unlink(template);
	return WEFT_OK;
}

START_TEST(adopted_files_are_read_and_written_to_the_end)
{
	run_fiber(file_fiber, NULL, false);
}
END_TEST

static weft_err null_fiber(void *arg)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	weft_conn *conn = NULL;
	static uint8_t data[100000];
	size_t got;

	(void)arg;
	OK(weft_conn_adopt_own(&conn, fd, fd, false, "null"));
	OK(weft_conn_write(conn, data, sizeof(data), NULL, SOON));
	FAILS(WEFT_ECLOSED, weft_conn_read(conn, data, 1, &got, SOON));
	FAILS(WEFT_ENOSYS, weft_conn_shutdown(conn));
	OK(weft_conn_write(conn, data, 1, NULL, SOON));
	weft_conn_free(conn);
	fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	OK(weft_conn_adopt_own(&conn, -1, fd, false, "full"));
	FAILS(WEFT_EIO, weft_conn_write(conn, data, 1, NULL, SOON));
	ck_assert_str_eq(weft_error_detail(), "write full: No space left on device");
	weft_conn_free(conn);
	fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	OK(weft_conn_adopt_own(&conn, fd, -1, false, "directory"));
	FAILS(WEFT_EIO, weft_conn_read(conn, data, 1, &got, SOON));
	weft_conn_free(conn);
	return WEFT_OK;
}

START_TEST(adopted_devices_end_fill_up_and_fail)
{
	run_fiber(null_fiber, NULL, false);
}
END_TEST

/* ---- what can't be adopted ---- */

static weft_err refused_fiber(void *arg)
{
	weft_conn *conn = NULL;
	int fds[2];

	(void)arg;
	FAILS(WEFT_EINVAL, weft_conn_adopt_own(&conn, -1, -1, false, NULL));
	FAILS(WEFT_EINVAL, weft_conn_adopt_own(&conn, 9999, -1, false, NULL));
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "9999"));
	/* the wrong ends: taken all the same */
	ck_assert_int_eq(pipe(fds), 0);
	FAILS(WEFT_EINVAL, weft_conn_adopt_own(&conn, fds[1], fds[0], false, NULL));
	ck_assert_int_eq(flags_of(fds[0]), -1);
	ck_assert_int_eq(flags_of(fds[1]), -1);
	return WEFT_OK;
}

START_TEST(adopt_refuses_what_is_no_descriptor_or_the_wrong_end)
{
	run_fiber(refused_fiber, NULL, false);
}
END_TEST

static weft_err memory_fiber(void *arg)
{
	weft_conn *conn = NULL;

	FAILS(WEFT_EINVAL, weft_conn_adopt_own(&conn, -1, -1, false, NULL));
	wait_begun();
	T_EACH_FAILING_MALLOC(n) {
		int fds[2], null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		int before = t_fds_open() - 1;
		weft_err err;

		ck_assert_int_eq(pipe(fds), 0);
		err = weft_conn_adopt_own(&conn, fds[0], null_fd, arg != NULL, NULL);
		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		ck_assert(err == WEFT_OK || t_malloc_failed());
		if (!err)
			weft_conn_free(conn);
		close(fds[1]);
		ck_assert_int_eq(t_fds_open(), before);
	}
	return WEFT_OK;
}

START_TEST(adopt_survives_every_failing_malloc)
{
	run_fiber(memory_fiber, _i ? &(bool){ true } : NULL, false);
}
END_TEST

/* ---- flags ---- */

static weft_err flags_fiber(void *arg)
{
	int fds[2], pair[2], other[4];
	weft_conn *conns[2];
	char text[3];
	size_t got;

	(void)arg;
	/* other numbers of the same pipe and socket, as a shell has them */
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	other[0] = fcntl(fds[0], F_DUPFD_CLOEXEC, 3);
	other[1] = fcntl(fds[1], F_DUPFD_CLOEXEC, 3);
	other[2] = fcntl(pair[0], F_DUPFD_CLOEXEC, 3);
	other[3] = fcntl(pair[1], F_DUPFD_CLOEXEC, 3);
	OK(weft_conn_adopt_own(&conns[0], fds[0], pair[0], true, NULL));
	OK(weft_conn_adopt_own(&conns[1], pair[1], fds[1], true, NULL));
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(flags_of(other[i]) & O_NONBLOCK, 0);
	for (int i = 0; i < 2; i++) {
		FAILS(WEFT_ETIMEDOUT, weft_conn_read(conns[i], text, 3, &got, MS(2)));
		OK(weft_conn_write(conns[!i], "abc", 3, NULL, SOON));
		OK(weft_conn_read_full(conns[i], text, 3, NULL, SOON));
	}
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(flags_of(other[i]) & O_NONBLOCK, 0);
		close(other[i]);
	}
	weft_conn_free(conns[0]);
	weft_conn_free(conns[1]);
	return WEFT_OK;
}

START_TEST(adopt_with_keep_flags_leaves_inherited_descriptors_blocking)
{
	run_fiber(flags_fiber, NULL, false);
}
END_TEST

/* ---- a side in the pool, over a pipe that blocks ---- */

static weft_err side_read_some(
	struct file_side *side, char *data, size_t size, size_t *got, weft_deadline until)
{
	struct iovec iov = { data, size };

	*got = 0;
	return file_side_read(side, &iov, 1, got, until);
}

static weft_err side_fiber(void *arg)
{
	struct file_side *side = NULL;
	char data[100];
	int fds[2];
	size_t got;

	(void)arg;
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	OK(file_side_create(&side, fds[0], "pipe"));
	FAILS(WEFT_ETIMEDOUT, side_read_some(side, data, 100, &got, WEFT_NOW));
	/* the read that gave up is still in the pool when the bytes come */
	FAILS(WEFT_ETIMEDOUT, side_read_some(side, data, 100, &got, MS(2)));
	ck_assert_int_eq(write(fds[1], "kept bytes", 10), 10);
	OK(side_read_some(side, data, 4, &got, SOON));
	ck_assert_uint_eq(got, 4);
	ck_assert_int_eq(memcmp(data, "kept", 4), 0);
	OK(side_read_some(side, data, 100, &got, WEFT_NOW));
	ck_assert_uint_eq(got, 6);
	ck_assert_int_eq(write(fds[1], "more", 4), 4);
	OK(side_read_some(side, data, 100, &got, SOON));
	ck_assert_uint_eq(got, 4);
	ck_assert_int_eq(write(fds[1], "now", 3), 3);
	OK(side_read_some(side, data, 100, &got, WEFT_NOW));
	ck_assert_uint_eq(got, 3);
	close(fds[1]);
	FAILS(WEFT_ECLOSED, side_read_some(side, data, 100, &got, SOON));
	FAILS(WEFT_ECLOSED, side_read_some(side, data, 100, &got, SOON));
	file_side_free(side);
	return WEFT_OK;
}

START_TEST(a_pooled_read_that_gave_up_loses_nothing)
{
	run_fiber(side_fiber, NULL, false);
}
END_TEST

static weft_err side_write_fiber(void *arg)
{
	static uint8_t data[300000], back[300000];
	struct file_side *side = NULL;
	size_t written, total = 0, done = 0;
	weft_err err = WEFT_OK;
	int fds[2];

	(void)arg;
	fill(data, sizeof(data), 0);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	OK(file_side_create(&side, fds[1], "pipe"));
	/* until the pipe is full; on a busy machine the pool may not even begin in time */
	while (!err || total == 0) {
		struct iovec iov = { data + total, sizeof(data) - total };

		written = 0;
		err = file_side_write(side, &iov, 1, &written, MS(30));
		total += written;
	}
	FAILS(WEFT_ETIMEDOUT, err);
	ck_assert_uint_gt(total, 0);
	ck_assert_uint_lt(total, sizeof(data));
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	/* exactly what was said to be written is there */
	for (int quiet = 0; quiet < 20;) {
		ssize_t n = read(fds[0], back + done, sizeof(back) - done);

		if (n > 0)
			done += (size_t)n;
		else
			quiet++;
		OK(weft_sleep_ms(1));
	}
	ck_assert_uint_eq(done, total);
	ck_assert(matches(back, done, 0));
	close(fds[0]);
	FAILS(WEFT_ERESET, file_side_write(side, &(struct iovec){ data, 1 }, 1, &written, SOON));
	file_side_free(side);
	return WEFT_OK;
}

START_TEST(a_pooled_write_that_gave_up_says_exactly_what_was_written)
{
	run_fiber(side_write_fiber, NULL, false);
}
END_TEST

struct interrupted {
	struct file_side *side;
	bool writes;
	weft_err err;
};

static weft_err interrupted_fiber(void *arg)
{
	struct interrupted *i = arg;
	static uint8_t data[300000];
	size_t n = 0;

	do {
		struct iovec iov = { data, sizeof(data) };

		i->err = i->writes ? file_side_write(i->side, &iov, 1, &n, SOON)
				   : file_side_read(i->side, &iov, 1, &n, SOON);
	} while (!i->err);
	return WEFT_OK;
}

static weft_err side_interrupt_fiber(void *arg)
{
	struct interrupted i = { NULL, arg != NULL, WEFT_OK };
	weft_fiber *fiber = NULL;
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	OK(file_side_create(&i.side, fds[i.writes], "pipe"));
	OK(weft_spawn(&fiber, "side", interrupted_fiber, &i));
	OK(weft_sleep_ms(10));
	file_side_interrupt(i.side);
	join(fiber);
	FAILS(WEFT_ECLOSED, i.err);
	file_side_free(i.side);
	close(fds[!i.writes]);
	return WEFT_OK;
}

START_TEST(a_pooled_call_ends_when_its_conn_is_closed)
{
	run_fiber(side_interrupt_fiber, _i ? &(bool){ true } : NULL, false);
}
END_TEST

static weft_err side_cancel_fiber(void *arg)
{
	struct interrupted i = { NULL, false, WEFT_OK };
	weft_scope *scope = NULL;
	char data[10];
	size_t got;
	int fds[2];

	(void)arg;
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	OK(file_side_create(&i.side, fds[0], "pipe"));
	for (int round = 0; round < 20; round++) {
		OK(weft_scope_create(&scope));
		OK(weft_scope_spawn(scope, "side", interrupted_fiber, &i));
		OK(weft_sleep_ns(100000 * (round % 4)));
		weft_scope_cancel(scope);
		OK(weft_scope_wait(scope, SOON));
		weft_scope_free(scope);
		FAILS(WEFT_ECANCELED, i.err);
	}
	ck_assert_int_eq(write(fds[1], "still", 5), 5);
	OK(side_read_some(i.side, data, 10, &got, SOON));
	ck_assert_uint_eq(got, 5);
	file_side_free(i.side);
	close(fds[1]);
	return WEFT_OK;
}

START_TEST(a_pooled_call_that_was_cancelled_leaves_the_side_usable)
{
	run_fiber(side_cancel_fiber, NULL, false);
}
END_TEST

/* ---- terminals ---- */

static weft_err close_terminal(void *arg)
{
	OK(weft_sleep_ms(10));
	weft_conn_close(arg);
	return WEFT_OK;
}

static weft_err terminal_fiber(void *arg)
{
	int master = *(int *)arg, slave;
	struct termios raw;
	weft_conn *conn = NULL;
	weft_fiber *closer = NULL;
	char data[100];
	size_t got;

	ck_assert_int_eq(grantpt(master) | unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(slave, 0);
	ck_assert_int_eq(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	ck_assert_int_eq(tcsetattr(slave, TCSANOW, &raw), 0);
	OK(weft_conn_adopt_own(&conn, slave, slave, true, "terminal"));
	FAILS(WEFT_ETIMEDOUT, weft_conn_read(conn, data, 100, &got, MS(5)));
	ck_assert_int_eq(write(master, "typed", 5), 5);
	OK(weft_conn_read_full(conn, data, 5, &got, SOON));
	ck_assert_int_eq(memcmp(data, "typed", 5), 0);
	OK(weft_conn_write(conn, "shown", 5, NULL, SOON));
	ck_assert_int_eq(read(master, data, 5), 5);
	/* nobody types: a close must not hang, nor the runtime's end */
	OK(weft_spawn(&closer, "close", close_terminal, conn));
	FAILS(WEFT_ECLOSED, weft_conn_read(conn, data, 100, &got, SOON));
	join(closer);
	weft_conn_free(conn);
	return WEFT_OK;
}

START_TEST(a_terminal_is_read_written_and_closed_while_nobody_types)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	int64_t until = t_now_ns() + INT64_C(20000000000);

	ck_assert_int_ge(master, 0);
	run_fiber(terminal_fiber, &master, false);
	/* no thread reads there still: it would for ever, and the runtime's end had not waited for it */
	while (t_threads("weft-offload") > 0 && t_now_ns() < until)
		usleep(1000);
	ck_assert_uint_eq(t_threads("weft-offload"), 0);
	close(master);
}
END_TEST

/* ---- stdio ---- */

static bool is_null(int fd)
{
	struct stat st, null_st;

	return fstat(fd, &st) == 0 && stat("/dev/null", &null_st) == 0 &&
		st.st_rdev == null_st.st_rdev;
}

/* In a child of its own: echoes stdin to stdout, then says on stderr that all is well. */
static weft_err stdio_fiber(void *arg)
{
	weft_conn *conn = NULL, *again = NULL;
	int in_flags = flags_of(0), out_flags = flags_of(1);
	weft_err err;

	(void)arg;
	err = weft_conn_stdio(&conn);
	if (err)
		return err;
	if (weft_conn_stdio(&again) != WEFT_EDUPLICATE)
		return WEFT_EPROTO;
	err = weft_conn_copy(conn, conn, NULL, NULL, NULL, SOON);
	if (err)
		return err;
	if (flags_of(0) != in_flags || flags_of(1) != out_flags)
		return WEFT_EACCESS;
	err = weft_conn_shutdown(conn);
	if (err)
		return err;
	weft_conn_free(conn);
	return is_null(0) && is_null(1) ? WEFT_OK : WEFT_EIO;
}

static pid_t stdio_child(int in, int out)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid)
		return pid;
	dup2(in, 0);
	dup2(out, 1);
	for (int fd = 3; fd < 64; fd++)
		close(fd);
	_exit(weft_run(stdio_fiber, NULL, NULL) == WEFT_OK ? 0 : 1);
}

static void expect_exit(pid_t pid, int code)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == code, "status %x", status);
}

static void echo_through(int to, int from, bool shut)
{
	char data[6] = "";

	ck_assert_int_eq(write(to, "hello\n", 6), 6);
	for (size_t got = 0; got < 6;) {
		ssize_t n = read(from, data + got, 6 - got);

		ck_assert_int_gt(n, 0);
		got += (size_t)n;
	}
	ck_assert_int_eq(memcmp(data, "hello\n", 6), 0);
	if (shut)
		shutdown(to, SHUT_WR);
	else
		close(to);
	/* the end comes back though the child still has a descriptor 1 */
	ck_assert_int_eq(read(from, data, 1), 0);
}

START_TEST(stdio_echoes_over_pipes_and_keeps_their_flags)
{
	int in[2], out[2];
	pid_t pid;

	ck_assert_int_eq(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
	pid = stdio_child(in[0], out[1]);
	close(in[0]);
	close(out[1]);
	echo_through(in[1], out[0], false);
	expect_exit(pid, 0);
	close(out[0]);
}
END_TEST

START_TEST(stdio_echoes_over_one_socket)
{
	int fds[2];
	pid_t pid;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	pid = stdio_child(fds[1], fds[1]);
	close(fds[1]);
	echo_through(fds[0], fds[0], true);
	expect_exit(pid, 0);
	close(fds[0]);
}
END_TEST

START_TEST(stdio_copies_a_file_to_a_file)
{
	char from[] = "/tmp/weft-test-XXXXXX", to[] = "/tmp/weft-test-XXXXXX";
	static uint8_t data[500000], back[500001];
	int in = mkostemp(from, O_CLOEXEC), out = mkostemp(to, O_CLOEXEC);

	fill(data, sizeof(data), 0);
	ck_assert_int_eq(write(in, data, sizeof(data)), sizeof(data));
	ck_assert_int_eq(lseek(in, 0, SEEK_SET), 0);
	expect_exit(stdio_child(in, out), 0);
	ck_assert_int_eq(pread(out, back, sizeof(back), 0), sizeof(data));
	ck_assert_int_eq(memcmp(data, back, sizeof(data)), 0);
	close(in);
	close(out);
	unlink(from);
	unlink(to);
}
END_TEST

START_TEST(stdio_of_null_ends_at_once)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	expect_exit(stdio_child(fd, fd), 0);
	close(fd);
}
END_TEST

static void adopt_tests(TCase *tc)
{
	t_add(tc, adopted_files_are_read_and_written_to_the_end);
	t_add(tc, adopted_devices_end_fill_up_and_fail);
	t_add(tc, adopt_refuses_what_is_no_descriptor_or_the_wrong_end);
	t_add_loop(tc, adopt_survives_every_failing_malloc, 0, 2);
	t_add(tc, adopt_with_keep_flags_leaves_inherited_descriptors_blocking);
	t_add(tc, a_pooled_read_that_gave_up_loses_nothing);
	t_add(tc, a_pooled_write_that_gave_up_says_exactly_what_was_written);
	t_add_loop(tc, a_pooled_call_ends_when_its_conn_is_closed, 0, 2);
	t_add(tc, a_pooled_call_that_was_cancelled_leaves_the_side_usable);
	t_add(tc, a_terminal_is_read_written_and_closed_while_nobody_types);
	t_add(tc, stdio_echoes_over_pipes_and_keeps_their_flags);
	t_add(tc, stdio_echoes_over_one_socket);
	t_add(tc, stdio_copies_a_file_to_a_file);
	t_add(tc, stdio_of_null_ends_at_once);
}

T_SUITE("adopt", adopt_tests)
