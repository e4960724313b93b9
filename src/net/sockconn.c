/* SPDX-License-Identifier: MIT */
/*
 * Conns over descriptors, or over the simulator's sockets: tcp, unix, pipes, stdio,
 * files. Each direction is a side: polled by the netpoll backend, or served through the
 * blocking-work pool, or closed. Both sides of a socket are one handle.
 */
#define _GNU_SOURCE
#include "net/sockconn.h"

#include "base/err.h"
#include "base/mem.h"
#include "net/side.h"
#include "rt/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct stream_side {
	/* At most one is there; none: the side is closed. Changed under lock while the
	 * conn is open, so that an interrupt finds no dead one. */
	struct io_handle *handle;
	struct file_side *file;
	bool is_socket;
	/* 0 or 1: becomes /dev/null when the side ends, so that whoever is at the other
	 * end learns of it though the number stays in use. -1: nothing to do. */
	int stand_in;
};

struct sock_conn {
	weft_conn base;
	struct rt_lock lock;
	struct stream_side in, out;
};

static struct sock_conn *self(weft_conn *conn)
{
	return (struct sock_conn *)conn;
}

static weft_err read_slow(struct sock_conn *c, const struct iovec *iov, unsigned iov_count,
	size_t *got, weft_deadline until)
{
	if (c->in.file)
		return file_side_read(c->in.file, iov, iov_count, got, until);
	return err_set(WEFT_ECLOSED);
}

static weft_err sock_readv(weft_conn *conn, const struct iovec *iov, unsigned iov_count,
	size_t *got, weft_deadline until)
{
	struct sock_conn *c = self(conn);
	struct io_op op;
	weft_err err;

	if (weft_unlikely(!c->in.handle))
		return read_slow(c, iov, iov_count, got, until);
	op.handle = c->in.handle;
	op.kind = IO_READ;
	op.iov_count = iov_count;
	op.iov = iov;
	op.addr = NULL;
	err = rt_io_run(&op, until, "read");
	if (weft_unlikely(err))
		return err;
	if (weft_likely(op.result > 0)) {
		*got = (size_t)op.result;
		return WEFT_OK;
	}
	if (op.result == 0)
		return err_set(WEFT_ECLOSED);
	return conn_errno((int)-op.result, "read", conn->peer_name);
}

static weft_err sock_await(weft_conn *conn, weft_deadline until)
{
	struct sock_conn *c = self(conn);
	struct io_op op = { .handle = c->in.handle, .kind = IO_POLL };
	weft_err err;

	if (!op.handle)
		return err_set(WEFT_ECLOSED);
	err = rt_io_run(&op, until, "read");
	return err || op.result >= 0 ? err : conn_errno((int)-op.result, "read", conn->peer_name);
}

static weft_err write_slow(struct sock_conn *c, const struct iovec *iov, unsigned iov_count,
	size_t *written, weft_deadline until)
{
	if (c->out.file)
		return file_side_write(c->out.file, iov, iov_count, written, until);
	return err_set(WEFT_ECLOSED);
}

static weft_err sock_writev(weft_conn *conn, const struct iovec *iov, unsigned iov_count,
	size_t *written, weft_deadline until)
{
	struct sock_conn *c = self(conn);
	struct io_op op;
	weft_err err;

	if (weft_unlikely(!c->out.handle))
		return write_slow(c, iov, iov_count, written, until);
	op.handle = c->out.handle;
	op.kind = IO_WRITE;
	op.iov_count = iov_count;
	op.iov = iov;
	op.addr = NULL;
	err = rt_io_run(&op, until, "write");
	if (weft_unlikely(err))
		return err;
	if (weft_likely(op.result >= 0)) {
		*written = (size_t)op.result;
		return WEFT_OK;
	}
	return conn_errno((int)-op.result, "write", conn->peer_name);
}

/* The number in the descriptor table stays taken, the pipe or file behind it is let go. */
static void replace_by_null(int fd)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null_fd < 0) {
		(void)close(fd);
		return;
	}
	(void)dup2(null_fd, fd);
	(void)close(null_fd);
}

/* Out of reach of interrupts. */
static struct stream_side take_side(struct sock_conn *c, struct stream_side *side)
{
	struct stream_side taken;

	rt_lock_acquire(&c->lock);
	taken = *side;
	side->handle = NULL;
	side->file = NULL;
	side->stand_in = -1;
	rt_lock_release(&c->lock);
	return taken;
}

static void end_side(struct stream_side *side, bool reset)
{
	if (side->handle)
		side->handle->ops->close(side->handle, reset);
	file_side_free(side->file);
	if (side->stand_in >= 0)
		replace_by_null(side->stand_in);
}

static weft_err sock_shutdown(weft_conn *conn)
{
	struct sock_conn *c = self(conn);
	struct stream_side taken;
	int rc;

	if (!c->out.is_socket) {
		taken = take_side(c, &c->out);
		end_side(&taken, false);
		return WEFT_OK;
	}
	rc = c->out.handle->ops->shutdown(c->out.handle, SHUT_WR);
	if (rc < 0)
		return conn_errno(-rc, "shutdown", conn->peer_name);
	return WEFT_OK;
}

static void sock_interrupt(weft_conn *conn, bool reset)
{
	struct sock_conn *c = self(conn);

	(void)reset;
	rt_lock_acquire(&c->lock);
	if (c->in.handle)
		c->in.handle->ops->interrupt(c->in.handle);
	if (c->out.handle && c->out.handle != c->in.handle)
		c->out.handle->ops->interrupt(c->out.handle);
	if (c->in.file)
		file_side_interrupt(c->in.file);
	if (c->out.file)
		file_side_interrupt(c->out.file);
	rt_lock_release(&c->lock);
}

static void sock_dispose(weft_conn *conn, bool reset)
{
	struct sock_conn *c = self(conn);
	struct stream_side in, out;

	if (c->out.handle == c->in.handle)
		c->out.handle = NULL;
	in = take_side(c, &c->in);
	out = take_side(c, &c->out);
	end_side(&in, reset);
	end_side(&out, reset);
}

static int side_fd(const struct stream_side *side)
{
	if (side->handle)
		return side->handle->ops->fd(side->handle);
	return side->file ? file_side_fd(side->file) : -1;
}

static int sock_fd(weft_conn *conn)
{
	struct sock_conn *c = self(conn);
	int fd;

	rt_lock_acquire(&c->lock);
	fd = side_fd(&c->in);
	if (fd < 0)
		fd = side_fd(&c->out);
	rt_lock_release(&c->lock);
	return fd;
}

static const struct conn_type sock_type = {
	.readv = sock_readv,
	.await = sock_await,
	.writev = sock_writev,
	.shutdown = sock_shutdown,
	.interrupt = sock_interrupt,
	.dispose = sock_dispose,
	.fd = sock_fd,
};

static struct sock_conn *sock_conn_alloc(const char *local_name, const char *peer_name)
{
	weft_conn *conn = conn_alloc(&sock_type, sizeof(struct sock_conn), local_name, peer_name);

	if (!conn)
		return NULL;
	self(conn)->in.stand_in = -1;
	self(conn)->out.stand_in = -1;
	return self(conn);
}

weft_err conn_from_handle(weft_conn **out, struct io_handle *handle, const char *local_name,
	const char *peer_name, struct conn_quota *quota)
{
	struct sock_conn *c = sock_conn_alloc(local_name, peer_name);

	if (!c) {
		handle->ops->close(handle, true);
		return err_setf(WEFT_ENOMEM, "connection with %s: out of memory", peer_name);
	}
	c->in.handle = c->out.handle = handle;
	c->in.is_socket = c->out.is_socket = true;
	c->base.quota = quota;
	*out = &c->base;
	return WEFT_OK;
}

weft_err conn_from_handle_named(weft_conn **out, struct io_handle *handle,
	const struct io_addr *local, const struct io_addr *peer, struct conn_quota *quota)
{
	char local_name[NET_NAME_SIZE], peer_name[NET_NAME_SIZE];
	struct io_addr asked;

	if (!local) {
		if (handle->ops->names(handle, &asked, NULL) < 0)
			asked.len = 0;
		local = &asked;
	}
	net_addr_format(local, local_name);
	net_addr_format(peer, peer_name);
	return conn_from_handle(out, handle, local_name, peer_name, quota);
}

/* ---- adopting ---- */

/* A descriptor on its way to becoming a side. */
struct adoptee {
	int fd; /* -1: none, or handed on */
	bool is_socket, is_pipe, is_nonblocking;
};

static void adoptee_close(struct adoptee *a)
{
	if (a->fd >= 0)
		(void)close(a->fd);
	a->fd = -1;
}

/* access: O_RDONLY or O_WRONLY, what the side needs. */
static weft_err adoptee_init(struct adoptee *a, int fd, int access, const char *name)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fstat(fd, &st) != 0)
		return err_setf(
			WEFT_EINVAL, "adopt %s: descriptor %d: %s", name, fd, net_reason(errno));
	if ((flags & O_PATH) || ((flags & O_ACCMODE) != O_RDWR && (flags & O_ACCMODE) != access))
		return err_setf(WEFT_EINVAL, "adopt %s: descriptor %d is not open for %s", name, fd,
			access == O_RDONLY ? "reading" : "writing");
	a->is_socket = S_ISSOCK(st.st_mode);
	a->is_pipe = S_ISFIFO(st.st_mode);
	a->is_nonblocking = flags & O_NONBLOCK;
	return WEFT_OK;
}

/*
 * A pipe opened once more has flags of its own, so that it can be polled while those
 * of the inherited one stay. False: not allowed, or nobody is at the other end.
 */
static bool reopen_pipe(struct adoptee *a, int access)
{
	char path[sizeof("/proc/self/fd/") + 11];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", a->fd);
	fd = open(path, access | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	(void)close(a->fd);
	a->fd = fd;
	a->is_nonblocking = true;
	return true;
}

/* Whether it may be polled as it now is. */
static bool make_pollable(struct adoptee *a, int access, bool keep_flags)
{
	int flags;

	if (!a->is_socket && !a->is_pipe)
		return false;
	/* The backend asks for MSG_DONTWAIT on sockets: their flags don't matter. */
	if (a->is_nonblocking || a->is_socket)
		return true;
	if (keep_flags)
		return reopen_pipe(a, access);
	flags = fcntl(a->fd, F_GETFL);
	return flags >= 0 && fcntl(a->fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

/* The side takes the descriptor, also on error. */
static weft_err side_open(
	struct stream_side *side, struct adoptee *a, int access, bool keep_flags, const char *name)
{
	struct io *io = rt_io();
	int rc, fd;

	if (!make_pollable(a, access, keep_flags)) {
		fd = a->fd;
		a->fd = -1;
		return file_side_create(&side->file, fd, name);
	}
	rc = io->ops->adopt(io, &side->handle, a->fd);
	if (rc < 0)
		return err_sys(-rc, "adopt %s", name);
	a->fd = -1;
	side->is_socket = a->is_socket;
	return WEFT_OK;
}

static weft_err adopt_sides(struct sock_conn *c, struct adoptee *in, struct adoptee *out,
	bool keep_flags, const char *name)
{
	bool same = in->fd >= 0 && in->fd == out->fd;
	weft_err err;

	if (same) {
		/* Two directions of one descriptor: a second number, unless one handle
		 * serves both. */
		out->fd = -1;
		c->base.no_halves = !in->is_socket;
		if (!in->is_socket && !in->is_pipe) {
			out->fd = fcntl(in->fd, F_DUPFD_CLOEXEC, 3);
			if (out->fd < 0)
				return err_sys(errno, "adopt %s", name);
		}
	}
	if (in->fd >= 0) {
		err = side_open(&c->in, in, same ? O_RDWR : O_RDONLY, keep_flags, name);
		if (err)
			return err;
	}
	if (out->fd >= 0)
		return side_open(&c->out, out, O_WRONLY, keep_flags, name);
	if (!same)
		return WEFT_OK;
	if (c->in.handle) {
		c->out.handle = c->in.handle;
		c->out.is_socket = c->in.is_socket;
		return WEFT_OK;
	}
	return err_setf(WEFT_EINVAL, "adopt %s: one descriptor for both directions", name);
}

static weft_err adopt_check(struct adoptee *in, struct adoptee *out, const char *name)
{
	weft_err err;

	if (!rt_io())
		return err_setf(WEFT_EINVAL, "adopt %s: no runtime is running", name);
	if (rt_is_sim())
		return err_setf(WEFT_ENOSYS, "adopt %s: simulated nodes have no descriptors", name);
	if (in->fd < 0 && out->fd < 0)
		return err_setf(WEFT_EINVAL, "adopt %s: no descriptor is given", name);
	if (in->fd >= 0) {
		err = adoptee_init(in, in->fd, O_RDONLY, name);
		if (err)
			return err;
	}
	return out->fd >= 0 ? adoptee_init(out, out->fd, O_WRONLY, name) : WEFT_OK;
}

static weft_err adopt(struct sock_conn **result, struct adoptee *in, struct adoptee *out,
	bool keep_flags, const char *name)
{
	struct sock_conn *c = NULL;
	weft_err err;

	err = adopt_check(in, out, name);
	if (err)
		goto out;
	c = sock_conn_alloc(name, name);
	if (!c) {
		err = err_sys(ENOMEM, "adopt %s", name);
		goto out;
	}
	err = adopt_sides(c, in, out, keep_flags, name);
	if (err)
		goto out;
	c->base.no_await = c->in.file;
	*result = c;
	c = NULL;
out:
	if (in->fd == out->fd)
		out->fd = -1;
	adoptee_close(in);
	adoptee_close(out);
	if (c) {
		sock_dispose(&c->base, false);
		conn_discard(&c->base);
	}
	return err;
}

static void set_close_on_exec(int fd)
{
	int flags = fd >= 0 ? fcntl(fd, F_GETFD) : -1;

	if (flags >= 0)
		(void)fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
}

weft_err weft_conn_adopt_own(
	weft_conn **out, int read_fd, int write_fd, bool keep_flags, const char *name)
{
	struct adoptee in = { .fd = read_fd }, to = { .fd = write_fd };
	char number[sizeof("fd:") + 11];
	struct sock_conn *c = NULL;
	weft_err err;

	set_close_on_exec(read_fd);
	set_close_on_exec(write_fd);
	if (!name) {
		(void)snprintf(number, sizeof(number), "fd:%d", read_fd >= 0 ? read_fd : write_fd);
		name = number;
	}
	err = adopt(&c, &in, &to, keep_flags, name);
	if (!err)
		*out = &c->base;
	return err;
}

/* ---- stdio ---- */

static struct rt_lock stdio_lock;
static bool stdio_taken; /* under stdio_lock; never given back */

static bool stdio_take(bool taken)
{
	bool was;

	rt_lock_acquire(&stdio_lock);
	was = stdio_taken;
	stdio_taken = taken;
	rt_lock_release(&stdio_lock);
	return !was;
}

/* *fd stays -1 when the number is not open at all: that side is closed. */
static weft_err stdio_dup(int number, int *fd)
{
	*fd = fcntl(number, F_DUPFD_CLOEXEC, 3);
	if (*fd < 0 && errno != EBADF)
		return err_sys(errno, "open stdio");
	return WEFT_OK;
}

weft_err weft_conn_stdio(weft_conn **out)
{
	struct adoptee in = { .fd = -1 }, to = { .fd = -1 };
	struct sock_conn *c = NULL;
	weft_err err;

	if (!stdio_take(true))
		return err_setf(WEFT_EDUPLICATE, "open stdio: stdin and stdout are in use already");
	err = stdio_dup(STDIN_FILENO, &in.fd);
	if (!err)
		err = stdio_dup(STDOUT_FILENO, &to.fd);
	if (err)
		adoptee_close(&in);
	else
		err = adopt(&c, &in, &to, true, "stdio:");
	if (err || !c) {
		(void)stdio_take(false);
		return err;
	}
	c->in.stand_in = c->in.handle || c->in.file ? STDIN_FILENO : -1;
	c->out.stand_in = c->out.handle || c->out.file ? STDOUT_FILENO : -1;
	*out = &c->base;
	return WEFT_OK;
}
