/* SPDX-License-Identifier: MIT */
#ifndef BASE_MEMBARRIER_H
#define BASE_MEMBARRIER_H

/*
 * A full barrier in every thread of the process, by one call of one of them: membarrier(2),
 * PRIVATE_EXPEDITED. Missing in old kernels, and where a sandbox forbids it, perhaps later
 * than at the start. Included after _DEFAULT_SOURCE or _GNU_SOURCE.
 */
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline bool membarrier_call(int command)
{
#ifdef SYS_membarrier
	return syscall(SYS_membarrier, command, 0, 0) == 0;
#else
	(void)command;
	return false;
#endif
}

/* Before the first barrier, and again in a fork's child. False: there is none. */
static inline bool membarrier_register(void)
{
	return membarrier_call(1 << 4); /* MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED */
}

/* False: there was none. */
static inline bool membarrier_all(void)
{
	return membarrier_call(1 << 3); /* MEMBARRIER_CMD_PRIVATE_EXPEDITED */
}

#endif
