/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_RECORD_FILE_H
#define BRIDGE_RECORD_FILE_H

/* A recording as a file: whole lines are appended, or nothing. Blocks its thread. One user at a
 * time. Errors are numbers of errno, 0 for none. */
#include <weft/base.h>

#include <stdbool.h>
#include <sys/uio.h>

struct record_file {
	int fd; /* -1: none */
	const char *run;
	bool is_torn; /* its last line has no end */
	bool is_seen; /* others than its owner may read it: to be told */
};

/* Errors: as recorder_open, with a detail that does not name path. *out is set on WEFT_OK. */
WEFT_MUST_CHECK weft_err record_file_open(
	struct record_file *out, const char *path, const char *run);
/* It is the file that has this name now. */
bool record_file_is_at(const struct record_file *file, const char *path);
/* Each iov is one or more whole lines. *done of them were written whole, of others nothing is left:
 * perhaps fewer than count, also when 0 is returned. */
int record_file_write(struct record_file *file, const struct iovec *lines, int count, int *done);
/* Syncs and closes. */
void record_file_close(struct record_file *file);

#endif
