/* SPDX-License-Identifier: MIT */
#ifndef SINK_H
#define SINK_H

/*
 * Where a body goes: standard output, or a file with a progress bar on stderr when that is a
 * terminal. Bytes are handed on as they come. One fiber at a time; the bar is drawn by a fiber of
 * its own on the same worker.
 */
#include "progress.h"

#include <weft/weft.h>

struct sink {
	const char *path; /* NULL: stdout */
	weft_conn *conn;
	bool was_opened;
	bool refuses_binary; /* stdout is a terminal, and nobody said "-" */
	weft_deadline until; /* of each write */
	uint64_t written;
	struct progress progress;
	weft_scope *scope; /* of the bar's fiber; NULL: no bar */
};

/* path NULL or "-": stdout; "-" lets binary data through to a terminal. The file is made, or
 * emptied. total: bytes that will come; -1: not known. An error has been said, but
 * WEFT_ECANCELED. */
WEFT_MUST_CHECK weft_err sink_open(
	struct sink *sink, const char *path, int64_t total, weft_deadline until);
/* All of it. An error has been said, but WEFT_ECANCELED, and WEFT_ECLOSED: nobody reads our
 * standard output any more, which is nobody's fault. */
WEFT_MUST_CHECK weft_err sink_write(struct sink *sink, const void *data, size_t len);
/* The same for what is no part of the body: it is not counted. */
WEFT_MUST_CHECK weft_err sink_write_head(struct sink *sink, const void *data, size_t len);
/* Before a line is said: it stands alone, and the bar is drawn anew below. */
void sink_bar_hide(const struct sink *sink);
/* Ends the bar; after a transfer that failed it stays as it was last. Idempotent. */
void sink_bar_end(struct sink *sink, bool is_whole);
/* And all else. A zeroed sink is allowed. */
void sink_close(struct sink *sink, bool is_whole);

#endif
