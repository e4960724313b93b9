/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * From vfork to exec. The child shares the parent's memory until it has called exec, so it
 * calls nothing but system calls; what goes wrong comes back through a pipe that exec
 * closes.
 */
#include "net/process_spawn.h"
#include "net/process_limit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct failure {
	int step, errnum;
};

_Noreturn static void child_fails(int report_fd, enum spawn_step step)
{
	struct failure failure = { (int)step, errno };
	ssize_t rc = write(report_fd, &failure, sizeof(failure));

	(void)rc;
	_exit(127);
}

/* Handlers and SIG_IGN (SIGPIPE above all) are the parent's affair. By the system call:
 * libc's function leaves out the two signals that it uses itself, which whoever started us
 * may have ignored. */
static void default_signals(void)
{
	unsigned long action[8] = { 0 }; /* the kernel's struct: SIG_DFL, no flags, no mask */
	sigset_t none;

	for (int n = 1; n < NSIG; n++)
		(void)syscall(SYS_rt_sigaction, n, action, NULL, sizeof(uint64_t));
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn static void child_becomes(const struct spawn_plan *plan, pid_t parent, int report_fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* it may have died before that call */
	if (getppid() != parent)
		child_fails(report_fd, SPAWN_PARENT_GONE);
	if (setpgid(0, 0) < 0)
		child_fails(report_fd, SPAWN_GROUP);
	if (plan->directory && chdir(plan->directory) < 0)
		child_fails(report_fd, SPAWN_DIRECTORY);
	for (int i = 0; i < 3; i++) {
		if (plan->stdio[i] < 0)
			(void)fcntl(i, F_SETFD, 0); /* fails where we have none to pass on */
		else if (dup2(plan->stdio[i], i) < 0)
			child_fails(report_fd, SPAWN_STDIO);
	}
	/* also what this process itself inherited and never marked */
	if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		child_fails(report_fd, SPAWN_STDIO);
	process_limit_restore();
	default_signals();
	execve(plan->path, plan->argv, plan->envp);
	child_fails(report_fd, SPAWN_EXEC);
}

__attribute__((noinline)) static pid_t fork_child(const struct spawn_plan *plan, int report_fd)
{
	pid_t parent = getpid();
	/* posix_spawn can't set the parent-death signal, and fork copies page tables */
	pid_t pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork) */

	/* the child's calls are all async-signal-safe */
	if (pid == 0)
		child_becomes(plan, parent, report_fd); /* NOLINT(clang-analyzer-unix.Vfork) */
	return pid;
}

static void reap_failed(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

/* The child's end above 0, 1 and 2, which the child replaces. */
static int report_pipe(int report[2])
{
	int moved = 0;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -1;
	if (report[1] < 3) {
		moved = fcntl(report[1], F_DUPFD_CLOEXEC, 3);
		close(report[1]);
		report[1] = moved;
	}
	if (moved < 0)
		close(report[0]);
	return moved < 0 ? -1 : 0;
}

void process_spawn_child(const struct spawn_plan *plan, struct spawn_result *result)
{
	struct failure failure;
	int report[2];
	ssize_t n;

	*result = (struct spawn_result){ .step = SPAWN_FORK };
	if (report_pipe(report) < 0) {
		result->errnum = errno;
		return;
	}
	result->pid = fork_child(plan, report[1]);
	result->errnum = errno;
	close(report[1]);
	if (result->pid > 0) {
		do {
			n = read(report[0], &failure, sizeof(failure));
		} while (n < 0 && errno == EINTR);
		result->step = SPAWN_OK;
		if (n == (ssize_t)sizeof(failure)) {
			reap_failed(result->pid);
			result->step = (enum spawn_step)failure.step;
			result->errnum = failure.errnum;
		}
	}
	close(report[0]);
}
