/* SPDX-License-Identifier: MIT */
/* See record_file.h. */
#define _DEFAULT_SOURCE /* flock */
#include "bridge/record_file.h"

#include "base/err.h"
#include "bridge/record_line.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *kind_of(const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		return "a directory";
	if (S_ISFIFO(st->st_mode))
		return "a FIFO";
	if (S_ISSOCK(st->st_mode))
		return "a socket";
	return "a device";
}

/* What was there before: a recording, whose last line may be torn. */
static weft_err look_inside(struct record_file *f, const struct stat *st)
{
	char first = '{', last = '\n';

	if (st->st_size == 0)
		return WEFT_OK;
	if (pread(f->fd, &first, 1, 0) != 1 || pread(f->fd, &last, 1, st->st_size - 1) != 1)
		return err_sys(errno, "read");
	if (first != '{')
		return err_setf(WEFT_EINVAL, "the file is no recording, and not empty");
	f->is_torn = last != '\n';
	return WEFT_OK;
}

static weft_err adopt(struct record_file *f)
{
	struct stat st;

	if (fstat(f->fd, &st))
		return err_sys(errno, "fstat");
	if (!S_ISREG(st.st_mode))
		return err_setf(WEFT_EINVAL, "%s, not a file", kind_of(&st));
	/* where there are no locks there is no protection either */
	if (flock(f->fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
		return err_setf(WEFT_EDUPLICATE, "another process records to it");
	f->is_seen = st.st_mode & (S_IRGRP | S_IROTH);
	/* whoever had the lock may have written meanwhile */
	if (fstat(f->fd, &st))
		return err_sys(errno, "fstat");
	return look_inside(f, &st);
}

weft_err record_file_open(struct record_file *out, const char *path, const char *run)
{
	struct record_file f = { .run = run };
	weft_err err;

	/* O_NONBLOCK: a FIFO is to be refused, not waited for */
	f.fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
	if (f.fd < 0 && (errno == EISDIR || errno == ENXIO))
		return err_setf(WEFT_EINVAL, "%s, not a file",
			errno == EISDIR ? "a directory" : "a device or a socket");
	if (f.fd < 0)
		return err_sys(errno, "open");
	err = adopt(&f);
	if (err) {
		(void)close(f.fd);
		return err;
	}
	*out = f;
	return WEFT_OK;
}

bool record_file_is_at(const struct record_file *file, const char *path)
{
	struct stat mine, there;

	return !fstat(file->fd, &mine) && !stat(path, &there) && mine.st_dev == there.st_dev &&
		mine.st_ino == there.st_ino;
}

/* The last len bytes, which this process has just written, are those of a line that is not whole. */
static void cut(struct record_file *f, size_t len)
{
	struct stat st;

	if (len == 0)
		return;
	if (fstat(f->fd, &st) || st.st_size < (off_t)len ||
		ftruncate(f->fd, st.st_size - (off_t)len))
		f->is_torn = true;
}

/* One piece whole, of which some bytes are written. */
static int finish(struct record_file *f, const struct iovec *line, size_t written)
{
	const char *text = line->iov_base;
	ssize_t got;

	while (written < line->iov_len) {
		got = write(f->fd, text + written, line->iov_len - written);
		if (got > 0) {
			written += (size_t)got;
		} else if (got == 0 || errno != EINTR) {
			int errnum = got == 0 ? ENOSPC : errno;

			cut(f, written);
			return errnum;
		}
	}
	return 0;
}

/* Ends what somebody who was killed has left. */
static int mend(struct record_file *f)
{
	char text[1 + RECORD_MARK_MAX] = "\n";
	struct iovec line = { text, 0 };
	struct timespec now = { 0, 0 };
	int errnum;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	line.iov_len = 1 +
		record_torn_write(text + 1, f->run, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
	f->is_torn = false;
	errnum = finish(f, &line, 0);
	if (errnum)
		f->is_torn = true;
	return errnum;
}

int record_file_write(struct record_file *file, const struct iovec *lines, int count, int *done)
{
	int errnum = file->is_torn ? mend(file) : 0;
	size_t rest;
	ssize_t got;

	*done = 0;
	if (errnum)
		return errnum;
	do
		got = writev(file->fd, lines, count);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno;
	rest = (size_t)got;
	while (*done < count && rest >= lines[*done].iov_len)
		rest -= lines[(*done)++].iov_len;
	if (*done == count)
		return 0;
	/* a write is cut short before an error is told: the rest of that line will say which */
	errnum = finish(file, &lines[*done], rest);
	if (!errnum)
		(*done)++;
	return errnum;
}

void record_file_close(struct record_file *file)
{
	if (file->fd < 0)
		return;
	(void)fdatasync(file->fd);
	(void)close(file->fd);
	file->fd = -1;
}
