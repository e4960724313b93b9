/* SPDX-License-Identifier: MIT */
#ifndef RT_FUTEX_H
#define RT_FUTEX_H

/* Private futexes; only for files that define _GNU_SOURCE. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* until: absolute, CLOCK_MONOTONIC; NULL: no limit. Returns 0 or an errno (EAGAIN: the
 * word was different; EINTR; ETIMEDOUT). */
static inline int futex_wait(
	_Atomic uint32_t *word, uint32_t expected, const struct timespec *until)
{
	long rc = syscall(SYS_futex, (uintptr_t)word, FUTEX_WAIT_BITSET_PRIVATE, expected, until,
		NULL, FUTEX_BITSET_MATCH_ANY);

	return rc == 0 ? 0 : errno;
}

static inline void futex_wake(_Atomic uint32_t *word, int count)
{
	(void)syscall(SYS_futex, (uintptr_t)word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

#endif
