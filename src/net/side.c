/* SPDX-License-Identifier: MIT */
/* Descriptors that can't be polled; see side.h. */
#define _GNU_SOURCE
#include "net/side.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/refcount.h"
#include "net/conn.h"
#include "rt/lock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIDE_BUFFER_SIZE ((size_t)64 << 10)
/* poll promises that much room in a pipe, so that a write of it does not block. */
#define SIDE_CHUNK_PIPE ((size_t)4096)
#define SIDE_NAME_SIZE 64

struct file_side {
	struct refcount refs;
	int fd;
	int wake_fd;  /* -1: the descriptor never blocks for long */
	size_t chunk; /* bytes a write(2) */
	char name[SIDE_NAME_SIZE];

	struct rt_lock lock; /* over all below but the bytes of buf */
	bool busy;	     /* a request is in the pool: buf is its own */
	bool closed;
	bool ended;	     /* reading: the end was reached */
	int errnum;	     /* a failure that was not reported yet */
	weft_parker *waiter; /* waits for data, or for busy to end */
	/* Bytes in buf: reading: those that nobody took yet. Writing: those to be written;
	 * head of them are, and under_way more are in a system call. */
	size_t head, len, under_way;
	uint8_t buf[];
};

weft_err file_side_create(struct file_side **out, int fd, const char *name)
{
	struct file_side *side = mem_alloc(sizeof(*side) + SIDE_BUFFER_SIZE);
	struct stat st;
	weft_err err;

	if (!side) {
		err = err_sys(ENOMEM, "open %s", name);
		goto fail;
	}
	memset(side, 0, sizeof(*side));
	refcount_init(&side->refs, 1);
	side->fd = fd;
	side->wake_fd = -1;
	side->chunk = SIDE_BUFFER_SIZE;
	(void)snprintf(side->name, sizeof(side->name), "%s", name);
	if (fstat(fd, &st) != 0) {
		err = err_sys(errno, "open %s", name);
		goto fail;
	}
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode) && !S_ISDIR(st.st_mode)) {
		side->chunk = SIDE_CHUNK_PIPE;
		side->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (side->wake_fd < 0) {
			err = err_sys(errno, "open %s", name);
			goto fail;
		}
	}
	*out = side;
	return WEFT_OK;
fail:
	mem_free(side);
	(void)close(fd);
	return err;
}

static void side_unref(struct file_side *side)
{
	if (!refcount_drop(&side->refs))
		return;
	if (side->wake_fd >= 0)
		(void)close(side->wake_fd);
	(void)close(side->fd);
	mem_free(side);
}

void file_side_free(struct file_side *side)
{
	if (!side)
		return;
	file_side_interrupt(side);
	side_unref(side);
}

int file_side_fd(const struct file_side *side)
{
	return side->fd;
}

static void wake_poll(struct file_side *side)
{
	uint64_t one = 1;

	/* It fails only when it is readable anyway. */
	if (side->wake_fd >= 0 && write(side->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static void drain_wake(struct file_side *side)
{
	uint64_t count;

	if (read(side->wake_fd, &count, sizeof(count)) < 0)
		return; /* nothing there: a wake that was seen before */
}

/* Lock held; released here. */
static void unlock_and_wake(struct file_side *side)
{
	weft_parker *waiter = side->waiter;

	side->waiter = NULL;
	rt_lock_release(&side->lock);
	if (waiter)
		weft_unpark(waiter);
}

void file_side_interrupt(struct file_side *side)
{
	rt_lock_acquire(&side->lock);
	side->closed = true;
	unlock_and_wake(side);
	wake_poll(side);
}

/* Until fd is ready or somebody woke; in the pool. */
static void poll_ready(struct file_side *side, short events)
{
	struct pollfd fds[2] = { { side->fd, events, 0 }, { side->wake_fd, POLLIN, 0 } };

	if (side->wake_fd < 0)
		return;
	if (poll(fds, 2, -1) > 0 && fds[1].revents)
		drain_wake(side);
}

/* WEFT_NOW is one try: what is ready, or never blocks, is waited for. */
static bool is_ready_now(const struct file_side *side, short events)
{
	struct pollfd fd = { side->fd, events, 0 };

	return side->wake_fd < 0 || poll(&fd, 1, 0) > 0;
}

static bool is_closed(struct file_side *side)
{
	bool closed;

	rt_lock_acquire(&side->lock);
	closed = side->closed;
	rt_lock_release(&side->lock);
	return closed;
}

/* The pool gave a request up, or is done with one that its caller gave up. */
static void abandoned(void *arg)
{
	struct file_side *side = arg;

	rt_lock_acquire(&side->lock);
	side->busy = false;
	unlock_and_wake(side);
	side_unref(side);
}

/* Lock held, side busy; released while parked. On an error the waiter is gone. */
static weft_err wait_locked(struct file_side *side, weft_deadline until, const char *why)
{
	weft_err err;

	side->waiter = weft_parker_self();
	rt_lock_release(&side->lock);
	err = rt_park(until, why);
	rt_lock_acquire(&side->lock);
	side->waiter = NULL;
	return err;
}

/* Lock held; released during the request. The request clears busy itself when it was
 * abandoned; else it is cleared here. */
static weft_err request_locked(
	struct file_side *side, weft_err (*fn)(void *arg), short events, weft_deadline until)
{
	weft_err err;

	if (until == WEFT_NOW) {
		if (!is_ready_now(side, events))
			return err_set(WEFT_ETIMEDOUT);
		until = WEFT_FOREVER;
	}
	side->busy = true;
	rt_lock_release(&side->lock);
	refcount_hold(&side->refs);
	err = weft_offload(fn, side, abandoned, until);
	if (err != WEFT_ETIMEDOUT && err != WEFT_ECANCELED)
		side_unref(side);
	rt_lock_acquire(&side->lock);
	if (err != WEFT_ETIMEDOUT && err != WEFT_ECANCELED)
		side->busy = false;
	return err;
}

/* ---- reading ---- */

static weft_err read_job(void *arg)
{
	struct file_side *side = arg;
	ssize_t n = -1;

	errno = EAGAIN;
	while (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		poll_ready(side, POLLIN);
		if (is_closed(side))
			return WEFT_OK;
		n = read(side->fd, side->buf, SIDE_BUFFER_SIZE);
	}
	rt_lock_acquire(&side->lock);
	if (n < 0)
		side->errnum = errno;
	side->ended = n == 0;
	side->head = 0;
	side->len = n > 0 ? (size_t)n : 0;
	unlock_and_wake(side);
	return WEFT_OK;
}

static size_t take_bytes(struct file_side *side, const struct iovec *iov, unsigned iov_count)
{
	size_t done = 0;

	for (unsigned i = 0; i < iov_count && side->len; i++) {
		size_t n = iov[i].iov_len < side->len ? iov[i].iov_len : side->len;

		memcpy(iov[i].iov_base, side->buf + side->head, n);
		side->head += n;
		side->len -= n;
		done += n;
	}
	return done;
}

/* Lock held. True when there is something to return, in *err and *got. */
static bool read_outcome(struct file_side *side, const struct iovec *iov, unsigned iov_count,
	size_t *got, weft_err *err)
{
	int errnum = side->errnum;

	if (side->closed || (!side->len && side->ended)) {
		*err = err_set(WEFT_ECLOSED);
	} else if (side->len) {
		*got = take_bytes(side, iov, iov_count);
		*err = WEFT_OK;
	} else if (errnum) {
		side->errnum = 0;
		*err = conn_errno(errnum, "read", side->name);
	} else {
		return false;
	}
	return true;
}

weft_err file_side_read(struct file_side *side, const struct iovec *iov, unsigned iov_count,
	size_t *got, weft_deadline until)
{
	weft_err err = WEFT_OK, outcome;

	rt_lock_acquire(&side->lock);
	for (;;) {
		/* What came wins over a wait that failed meanwhile. */
		if (read_outcome(side, iov, iov_count, got, &outcome)) {
			err = outcome;
			break;
		}
		if (err)
			break;
		if (side->busy)
			err = wait_locked(side, until, "read");
		else
			err = request_locked(side, read_job, POLLIN, until);
	}
	rt_lock_release(&side->lock);
	return err;
}

/* ---- writing ---- */

static weft_err write_job(void *arg)
{
	struct file_side *side = arg;
	size_t at, n_max;
	ssize_t n;

	rt_lock_acquire(&side->lock);
	while (side->head < side->len && !side->closed && !side->errnum) {
		rt_lock_release(&side->lock);
		poll_ready(side, POLLOUT);
		rt_lock_acquire(&side->lock);
		/* The caller may have cut len to what was under way. */
		at = side->head;
		n_max = side->len - at < side->chunk ? side->len - at : side->chunk;
		if (!n_max || side->closed)
			break;
		side->under_way = n_max;
		rt_lock_release(&side->lock);
		n = write(side->fd, side->buf + at, n_max);
		rt_lock_acquire(&side->lock);
		side->under_way = 0;
		if (n >= 0)
			side->head += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			side->errnum = errno;
	}
	rt_lock_release(&side->lock);
	return WEFT_OK;
}

static void put_bytes(struct file_side *side, const struct iovec *iov, unsigned iov_count)
{
	side->head = 0;
	side->len = 0;
	for (unsigned i = 0; i < iov_count && side->len < SIDE_BUFFER_SIZE; i++) {
		size_t room = SIDE_BUFFER_SIZE - side->len;
		size_t n = iov[i].iov_len < room ? iov[i].iov_len : room;

		memcpy(side->buf + side->len, iov[i].iov_base, n);
		side->len += n;
	}
}

/* Lock held, not busy unless err says that the request was abandoned. */
static weft_err write_outcome(struct file_side *side, weft_err err, size_t *written)
{
	int errnum = side->errnum;

	*written = side->head + side->under_way;
	if (err) {
		/* The rest is not to be written any more. */
		side->len = *written;
		wake_poll(side);
		return err;
	}
	if (side->closed && side->head < side->len)
		return err_set(WEFT_ECLOSED);
	if (!errnum)
		return WEFT_OK;
	side->errnum = 0;
	return conn_errno(errnum, "write", side->name);
}

weft_err file_side_write(struct file_side *side, const struct iovec *iov, unsigned iov_count,
	size_t *written, weft_deadline until)
{
	weft_err err = WEFT_OK;

	rt_lock_acquire(&side->lock);
	while (side->busy && !side->closed && !err)
		err = wait_locked(side, until, "write");
	if (side->closed) {
		err = err_set(WEFT_ECLOSED);
	} else if (!side->busy && side->errnum) {
		/* of an abandoned write, whose bytes counted as taken */
		err = conn_errno(side->errnum, "write", side->name);
		side->errnum = 0;
	} else if (!side->busy) {
		put_bytes(side, iov, iov_count);
		err = request_locked(side, write_job, POLLOUT, until);
		err = write_outcome(side, err, written);
	}
	rt_lock_release(&side->lock);
	return err;
}
