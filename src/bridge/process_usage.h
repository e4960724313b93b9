/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_PROCESS_USAGE_H
#define BRIDGE_PROCESS_USAGE_H

/* What this process uses, as /proc tells (proc(5)). What can't be told is 0. Blocks as long as the
 * kernel needs, which waits for nothing there. */
#include <stdbool.h>
#include <stdint.h>

struct process_usage {
	uint64_t resident_bytes, virtual_bytes;
	uint64_t fds, fds_max;
	int64_t cpu_ns;	    /* user and system */
	int64_t started_ns; /* since 1970 */
};

void process_usage_get(struct process_usage *out);

#endif
