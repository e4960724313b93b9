/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "net/process_limit.h"
#include "rt/lock.h"

#include <weft/process.h>

#include <stdbool.h>
#include <sys/resource.h>

static struct rt_lock lock;
static struct rlimit original; /* valid when raised; set once, before any child of ours */
static bool raised;

size_t weft_descriptor_limit_raise(void)
{
	struct rlimit now;

	rt_lock_acquire(&lock);
	if (getrlimit(RLIMIT_NOFILE, &now) < 0)
		now.rlim_cur = now.rlim_max = 0;
	if (now.rlim_cur < now.rlim_max) {
		struct rlimit more = { now.rlim_max, now.rlim_max };

		if (setrlimit(RLIMIT_NOFILE, &more) == 0) {
			if (!raised)
				original = now;
			raised = true;
			now = more;
		}
	}
	rt_lock_release(&lock);
	return (size_t)now.rlim_cur;
}

/* Programs that use select(2) fail beyond 1024: a child starts with what we were given. */
void process_limit_restore(void)
{
	if (raised)
		(void)setrlimit(RLIMIT_NOFILE, &original);
}
