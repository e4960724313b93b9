/* SPDX-License-Identifier: MIT */
/* See sink.h. */
#define _DEFAULT_SOURCE /* TIOCGWINSZ */
#include "sink.h"

#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DRAW_NS INT64_C(200000000)
#define WIDTH_DEFAULT 80
#define FILE_MODE 0666 /* less the umask */
#define ERASE "\x1b[K" /* to the end of the line */

/* ---- the bar ---- */

static size_t terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		return WIDTH_DEFAULT;
	return size.ws_col;
}

/* By one write, so that what others say is not torn. */
static void show(const char *text, size_t len)
{
	ssize_t n = write(STDERR_FILENO, text, len);

	(void)n; /* nobody to tell that to */
}

static void draw(struct sink *sink, bool is_over)
{
	char line[PROGRESS_WIDTH_MAX + 1], all[PROGRESS_WIDTH_MAX + 16];
	int64_t now = weft_now();
	int len;

	/* the last column stays free: some terminals begin a new line behind it */
	progress_line(&sink->progress, line, terminal_width() - 1, sink->written, now, is_over);
	len = snprintf(all, sizeof(all), "\r%s" ERASE "%s", line, is_over ? "\n" : "");
	show(all, (size_t)len);
}

/* Some terminals, such as editors' shells, can't go back in a line. */
static bool can_draw(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0);
}

static weft_err bar_fiber(void *arg)
{
	struct sink *sink = arg;

	for (;;) {
		weft_err err = weft_sleep_ns(DRAW_NS);

		if (err)
			return err;
		progress_tick(&sink->progress, sink->written, weft_now());
		draw(sink, false);
	}
}

static weft_err bar_start(struct sink *sink, int64_t total)
{
	weft_err err;

	if (!sink->path || !can_draw())
		return WEFT_OK;
	progress_init(&sink->progress, total, weft_now());
	err = weft_scope_create(&sink->scope);
	if (!err)
		err = weft_scope_spawn(sink->scope, "progress", bar_fiber, sink);
	if (!err)
		draw(sink, false);
	return err;
}

void sink_bar_hide(const struct sink *sink)
{
	static const char text[] = "\r" ERASE;

	if (sink->scope)
		show(text, sizeof(text) - 1);
}

void sink_bar_end(struct sink *sink, bool is_whole)
{
	if (!sink->scope)
		return;
	weft_scope_free(sink->scope);
	sink->scope = NULL;
	if (is_whole)
		sink->progress.total = (int64_t)sink->written;
	draw(sink, true);
}

/* ---- the output ---- */

static const char *sink_name(const struct sink *sink)
{
	return sink->path ? sink->path : "standard output";
}

struct opening {
	const char *path;
	int fd, errnum;
};

static weft_err file_open(void *arg)
{
	struct opening *o = arg;

	o->fd = open(o->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, FILE_MODE);
	o->errnum = errno;
	return WEFT_OK;
}

static void opening_drop(void *arg)
{
	struct opening *o = arg;

	if (o->fd >= 0)
		(void)close(o->fd);
	free(o);
}

/* By a thread, because a FIFO is open only when somebody reads it: a signal must not wait for
 * that. */
static weft_err file_get(const struct sink *sink, int *fd)
{
	struct opening *o = malloc(sizeof(*o));
	weft_err err;

	if (!o) {
		say("out of memory");
		return WEFT_ENOMEM;
	}
	*o = (struct opening){ .path = sink->path, .fd = -1 };
	err = weft_offload(file_open, o, opening_drop, sink->until);
	if (err == WEFT_ETIMEDOUT || err == WEFT_ECANCELED) { /* o is the thread's now */
		if (err == WEFT_ETIMEDOUT)
			say("write %s: %s", sink_name(sink), weft_error_detail());
		return err;
	}
	if (err)
		say("write %s: %s", sink_name(sink), weft_error_detail());
	else if (o->fd < 0)
		say("write %s: %s", sink_name(sink), strerror(o->errnum));
	*fd = o->fd;
	free(o);
	return *fd >= 0 ? WEFT_OK : err ? err : WEFT_EIO;
}

static weft_err descriptor_get(const struct sink *sink, int *fd)
{
	if (sink->path)
		return file_get(sink, fd);
	*fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (*fd >= 0)
		return WEFT_OK;
	say("write %s: %s", sink_name(sink), strerror(errno));
	return WEFT_EIO;
}

weft_err sink_open(struct sink *sink, const char *path, int64_t total, weft_deadline until)
{
	bool is_stdout = !path || strcmp(path, "-") == 0;
	weft_err err;
	int fd;

	*sink = (struct sink){ .path = is_stdout ? NULL : path, .until = until };
	sink->refuses_binary = !path && isatty(STDOUT_FILENO);
	err = descriptor_get(sink, &fd);
	if (err)
		return err;
	sink->was_opened = true;
	err = weft_conn_adopt_own(&sink->conn, -1, fd, true, sink_name(sink));
	if (!err)
		err = bar_start(sink, total);
	if (err)
		say("write %s: %s", sink_name(sink), weft_error_detail());
	return err;
}

static weft_err put(struct sink *sink, const void *data, size_t len, size_t *written)
{
	weft_err err;

	if (sink->refuses_binary && memchr(data, '\0', len)) {
		say("the body is not text, which would garble the terminal; "
		    "-o FILE saves it, -o - shows it nevertheless");
		return WEFT_EINVAL;
	}
	err = weft_conn_write(sink->conn, data, len, written, sink->until);
	if (err == WEFT_ERESET && !sink->path)
		return WEFT_ECLOSED;
	if (err && err != WEFT_ECANCELED)
		sink_bar_end(sink, false);
	if (err == WEFT_ETIMEDOUT)
		say("write %s: %s", sink_name(sink), weft_error_detail());
	else if (err && err != WEFT_ECANCELED)
		say("%s", weft_error_detail()); /* it names the file */
	return err;
}

weft_err sink_write(struct sink *sink, const void *data, size_t len)
{
	size_t written = 0;
	weft_err err = put(sink, data, len, &written);

	sink->written += written;
	return err;
}

weft_err sink_write_head(struct sink *sink, const void *data, size_t len)
{
	size_t written = 0;

	return put(sink, data, len, &written);
}

void sink_close(struct sink *sink, bool is_whole)
{
	sink_bar_end(sink, is_whole);
	weft_conn_free(sink->conn);
	sink->conn = NULL;
}
