/* SPDX-License-Identifier: MIT */
#ifndef PROGRESS_H
#define PROGRESS_H

/* A line on a terminal that says how far something is. No fiber, no clock of its own. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROGRESS_WIDTH_MAX 160 /* columns that are used */

struct progress {
	int64_t total; /* bytes; -1: not known */
	int64_t begun_ns, last_ns;
	uint64_t last_bytes; /* at last_ns */
	double rate;	     /* bytes a second, smoothed; below 0: not known yet */
};

void progress_init(struct progress *progress, int64_t total, int64_t now_ns);
/* To be called now and then before a line is written. */
void progress_tick(struct progress *progress, uint64_t bytes, int64_t now_ns);
/* Into out, PROGRESS_WIDTH_MAX + 1 bytes, at most width columns, without a line end. is_over: how
 * long it took in place of what is left. */
void progress_line(const struct progress *progress, char *out, size_t width, uint64_t bytes,
	int64_t now_ns, bool is_over);
/* "12.3 MiB"; out: 16 bytes. */
void progress_size(char *out, uint64_t bytes);

#endif
