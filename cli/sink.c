/* SPDX-License-Identifier: MIT */
/* See sink.h. */
#define _DEFAULT_SOURCE /* TIOCGWINSZ */
#include "sink.h"

#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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
static void draw(struct sink *sink, bool is_over)
{
	char line[PROGRESS_WIDTH_MAX + 1], all[PROGRESS_WIDTH_MAX + 16];
	int64_t now = weft_now();
	ssize_t n;
	int len;

	/* the last column stays free: some terminals begin a new line behind it */
	progress_line(&sink->progress, line, terminal_width() - 1, sink->written, now, is_over);
	len = snprintf(all, sizeof(all), "\r%s" ERASE "%s", line, is_over ? "\n" : "");
	n = write(STDERR_FILENO, all, (size_t)len);
	(void)n; /* nobody to tell that to */
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

	if (!sink->path || !isatty(STDERR_FILENO))
		return WEFT_OK;
	progress_init(&sink->progress, total, weft_now());
	err = weft_scope_create(&sink->scope);
	if (!err)
		err = weft_scope_spawn(sink->scope, "progress", bar_fiber, sink);
	if (!err)
		draw(sink, false);
	return err;
}

/* ---- the output ---- */

static const char *sink_name(const struct sink *sink)
{
	return sink->path ? sink->path : "standard output";
}

static weft_err descriptor_get(const struct sink *sink, int *fd)
{
	int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY;

	*fd = sink->path ? open(sink->path, flags, FILE_MODE)
			 : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
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
	err = weft_conn_adopt_own(&sink->conn, -1, fd, true, sink_name(sink));
	if (!err)
		err = bar_start(sink, total);
	if (err)
		say("write %s: %s", sink_name(sink), weft_error_detail());
	return err;
}

weft_err sink_write(struct sink *sink, const void *data, size_t len)
{
	size_t written = 0;
	weft_err err;

	if (sink->refuses_binary && memchr(data, '\0', len)) {
		say("the body is not text, which would garble the terminal; "
		    "-o FILE saves it, -o - shows it nevertheless");
		return WEFT_EINVAL;
	}
	err = weft_conn_write(sink->conn, data, len, &written, sink->until);
	sink->written += written;
	if (err == WEFT_ERESET && !sink->path)
		return WEFT_ECLOSED;
	if (err == WEFT_ETIMEDOUT)
		say("write %s: %s", sink_name(sink), weft_error_detail());
	else if (err && err != WEFT_ECANCELED)
		say("%s", weft_error_detail()); /* it names the file */
	return err;
}

void sink_close(struct sink *sink, bool is_whole)
{
	if (sink->scope) {
		weft_scope_free(sink->scope);
		sink->scope = NULL;
		if (is_whole)
			sink->progress.total = (int64_t)sink->written;
		draw(sink, true);
	}
	weft_conn_free(sink->conn);
	sink->conn = NULL;
}
