/* SPDX-License-Identifier: MIT */
/* See process_usage.h. */
#define _POSIX_C_SOURCE 200809L
#include "bridge/process_usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1024) /* of what is read: /proc/self/stat has some 300 bytes */
#define FIELD_START 22		/* of /proc/self/stat, from 1: since boot, in ticks */
#define FIELD_AFTER_NAME 3	/* the first behind the program's name, which may hold anything */
#define SECOND_NS INT64_C(1000000000)

static bool read_small(const char *path, char text[FILE_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return false;
	got = read(fd, text, FILE_MAX - 1);
	(void)close(fd);
	text[got > 0 ? got : 0] = '\0';
	return got > 0;
}

static void memory(struct process_usage *out)
{
	char text[FILE_MAX], *end;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (!read_small("/proc/self/statm", text))
		return;
	out->virtual_bytes = strtoull(text, &end, 10) * page;
	out->resident_bytes = strtoull(end, NULL, 10) * page;
}

/* But the one that looks. */
static void descriptors(struct process_usage *out)
{
	struct rlimit limit;
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;

	if (!getrlimit(RLIMIT_NOFILE, &limit))
		out->fds_max = limit.rlim_cur;
	if (!dir)
		return;
	while ((entry = readdir(dir)) != NULL)
		out->fds += entry->d_name[0] != '.';
	(void)closedir(dir);
	out->fds -= out->fds > 0;
}

static int64_t ns_of(const struct timespec *time)
{
	return (int64_t)time->tv_sec * SECOND_NS + time->tv_nsec;
}

/* Since boot, and that since 1970. */
static void start(struct process_usage *out)
{
	struct timespec now, up;
	char text[FILE_MAX], *at;
	int64_t ticks = sysconf(_SC_CLK_TCK);

	if (!read_small("/proc/self/stat", text) || ticks <= 0 ||
		clock_gettime(CLOCK_REALTIME, &now) || clock_gettime(CLOCK_BOOTTIME, &up))
		return;
	at = strrchr(text, ')');
	for (int field = FIELD_AFTER_NAME - 1; at && field < FIELD_START; field++)
		at = strchr(at + 1, ' ');
	if (at)
		out->started_ns =
			ns_of(&now) - ns_of(&up) + strtoll(at, NULL, 10) * (SECOND_NS / ticks);
}

void process_usage_get(struct process_usage *out)
{
	struct timespec cpu;

	memset(out, 0, sizeof(*out));
	memory(out);
	descriptors(out);
	start(out);
	if (!clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu))
		out->cpu_ns = ns_of(&cpu);
}
