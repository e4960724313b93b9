/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "net/sockfile.h"

#include "base/err.h"
#include "rt/rt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK_RETRY_NS INT64_C(2000000)
/* Held for microseconds by those who do as we do. Whoever holds it longer is somebody
 * else, whose lock has another meaning. */
#define LOCK_PATIENCE_NS INT64_C(500000000)

static int open_directory(const char *path)
{
	char directory[sizeof(((struct socket_file *)0)->path)];
	char *slash;

	(void)snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	if (!slash)
		(void)snprintf(directory, sizeof(directory), ".");
	else
		slash[slash == directory ? 1 : 0] = '\0';
	return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* *fd: to be closed, which unlocks; -1: the directory can't be locked. */
static weft_err lock_directory(int *fd, const char *path, weft_deadline until)
{
	weft_deadline patience = weft_after_ns(LOCK_PATIENCE_NS);
	weft_err err;

	*fd = open_directory(path);
	while (*fd >= 0 && flock(*fd, LOCK_EX | LOCK_NB) != 0 && weft_now() < patience) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			break;
		if (weft_now() >= until)
			return err_set(WEFT_ETIMEDOUT);
		err = weft_sleep_ns(LOCK_RETRY_NS);
		if (err)
			return err;
	}
	return WEFT_OK;
}

/* *answer: of connect, 0 or -errno. */
static weft_err probe(const struct io_addr *addr, int64_t *answer, weft_deadline until)
{
	struct io *io = rt_io();
	struct io_addr to = *addr;
	struct io_handle *handle = NULL;
	struct io_op op;
	weft_err err;
	int rc;

	rc = io->ops->socket(io, &handle, AF_UNIX);
	if (rc < 0)
		return err_sys(-rc, "socket");
	op.handle = handle;
	op.kind = IO_CONNECT;
	op.iov_count = 0;
	op.iov = NULL;
	op.addr = &to;
	err = rt_io_run(&op, until, "connect");
	*answer = op.result;
	handle->ops->close(handle, false);
	return err;
}

/* The address is taken: WEFT_OK when it is free now. */
static weft_err clear_stale(const struct io_addr *addr, const char *name, weft_deadline until)
{
	const char *path = net_addr_path(addr);
	int64_t answer = 0;
	struct stat st;
	weft_err err;

	if (lstat(path, &st) != 0)
		return errno == ENOENT ? WEFT_OK : err_sys(errno, "listen on %s", name);
	if (!S_ISSOCK(st.st_mode))
		return err_setf(
			WEFT_EINUSE, "listen on %s: the file exists and is not a socket", name);
	err = probe(addr, &answer, until);
	if (err)
		return err_wrap(err, "listen on %s", name);
	if (answer == -EACCES || answer == -EPERM)
		return err_sys((int)-answer, "listen on %s", name);
	if (answer == -ENOENT)
		return WEFT_OK;
	if (answer != -ECONNREFUSED)
		return err_setf(WEFT_EINUSE, "listen on %s: somebody listens there already", name);
	if (unlink(path) != 0 && errno != ENOENT)
		return err_sys(errno, "listen on %s: remove the stale socket", name);
	return WEFT_OK;
}

static weft_err listen_locked(struct io_handle **out, const struct io_addr *addr, const char *name,
	const struct io_listen_options *options, weft_deadline until)
{
	struct io *io = rt_io();
	int rc = io->ops->listen(io, out, addr, options);
	weft_err err;

	if (rc == -EADDRINUSE && net_addr_path(addr) && !rt_is_sim()) {
		err = clear_stale(addr, name, until);
		if (err)
			return err;
		rc = io->ops->listen(io, out, addr, options);
	}
	if (rc == -EADDRINUSE)
		return err_setf(WEFT_EINUSE, "listen on %s: somebody listens there already", name);
	return rc < 0 ? err_sys(-rc, "listen on %s", name) : WEFT_OK;
}

/* Notes which file it is, so that no other is ever removed. */
static weft_err own_file(
	struct socket_file *file, const char *path, unsigned mode, const char *name)
{
	struct stat st;

	if ((mode && chmod(path, mode) != 0) || lstat(path, &st) != 0)
		return err_sys(errno, "listen on %s", name);
	(void)snprintf(file->path, sizeof(file->path), "%s", path);
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	return WEFT_OK;
}

weft_err socket_file_listen(struct io_handle **out, struct socket_file *file,
	const struct io_addr *addr, const char *name, const struct io_listen_options *options,
	unsigned mode, weft_deadline until)
{
	const char *path = rt_is_sim() ? NULL : net_addr_path(addr);
	struct io_handle *handle = NULL;
	int lock_fd = -1;
	weft_err err = WEFT_OK;

	file->path[0] = '\0';
	if (path)
		err = lock_directory(&lock_fd, path, until);
	if (err) {
		err = err_wrap(err, "listen on %s", name);
		goto out;
	}
	err = listen_locked(&handle, addr, name, options, until);
	if (err)
		goto out;
	if (path)
		err = own_file(file, path, mode, name);
	if (err) {
		(void)unlink(path);
		handle->ops->close(handle, false);
		goto out;
	}
	*out = handle;
out:
	if (lock_fd >= 0)
		(void)close(lock_fd);
	return err;
}

void socket_file_remove(struct socket_file *file)
{
	struct stat st;

	if (file->path[0] && lstat(file->path, &st) == 0 && st.st_dev == file->dev &&
		st.st_ino == file->ino)
		(void)unlink(file->path);
	file->path[0] = '\0';
}
