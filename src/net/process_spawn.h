/* SPDX-License-Identifier: MIT */
#ifndef NET_PROCESS_SPAWN_H
#define NET_PROCESS_SPAWN_H

/* The part of process.c that runs in the thread that makes children. */
#include <weft/process.h>

#include <sys/types.h>

/* What the child is to become; all memory is the caller's, ready before. */
struct spawn_plan {
	const char *path; /* found in PATH already */
	char **argv;
	char **envp;
	const char *directory; /* NULL: stays */
	int stdio[3];	       /* descriptor, above 2, to become 0, 1, 2; -1: inherited */
};

enum spawn_step {
	SPAWN_OK = 0,
	SPAWN_FORK,
	SPAWN_PARENT_GONE,
	SPAWN_GROUP,
	SPAWN_DIRECTORY,
	SPAWN_STDIO,
	SPAWN_EXEC,
};

struct spawn_result {
	pid_t pid;	      /* valid when step is SPAWN_OK */
	enum spawn_step step; /* which one failed */
	int errnum;	      /* and why */
};

/* Blocks until the child has called exec, or failed to; a failed child is reaped. The
 * calling thread must live as long as the child may: see PR_SET_PDEATHSIG. */
void process_spawn_child(const struct spawn_plan *plan, struct spawn_result *result);

#endif
