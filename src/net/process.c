/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * Child processes. Each has a fiber of its own, the reaper, which waits on the pidfd and
 * is the only one to reap:
 *
 *	pidfd readable -> kill the group -> reap -> status is final, `ended` is triggered
 *
 * The group is killed while the dead leader still holds its number, and signals are sent
 * under the lock that the reaping takes, so that none ever reaches a stranger's number.
 * Everybody else waits for the token `ended`, fibers and threads alike.
 */
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/process_env.h"
#include "net/process_spawn.h"
#include "rt/lock.h"
#include "rt/rt.h"

#include <weft/cancel.h>
#include <weft/process.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRACE_DEFAULT_NS INT64_C(2000000000)
#define GRACE_MAX_NS (INT64_C(24) * 3600 * 1000000000)
#define MARGIN_NS INT64_C(100000000) /* for a stop under way to have sent its SIGKILL */

struct weft_process {
	pid_t pid;
	int64_t grace_ns;
	struct io_handle *pidfd; /* the reaper's */
	weft_conn *conn;	 /* stdin and stdout; NULL: neither is a pipe */
	weft_conn *err;		 /* stderr; NULL: no pipe */
	weft_cancel *ended;	 /* triggered once status is final; held */
	struct rt_lock lock;
	bool reaped;		    /* under lock */
	weft_process_status status; /* final once ended */
};

/* --- descriptors ---------------------------------------------------------------------- */

struct pipes {
	int ours[3];
	int childs[3];
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_all(int fds[3])
{
	for (int i = 0; i < 3; i++)
		close_fd(&fds[i]);
}

/* Away from 0, 1 and 2, which the child is about to replace. */
static int above_stdio(int *fd)
{
	int moved;

	if (*fd < 0 || *fd > 2)
		return *fd < 0 ? -1 : 0;
	moved = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
	if (moved < 0)
		return -1;
	close(*fd);
	*fd = moved;
	return 0;
}

static int open_one(struct pipes *p, int i, weft_process_stdio mode)
{
	int fds[2];

	if (mode == WEFT_PROCESS_INHERIT)
		return 0;
	if (mode == WEFT_PROCESS_NULL) {
		p->childs[i] = open("/dev/null", (i == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
		return above_stdio(&p->childs[i]);
	}
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	p->ours[i] = fds[i == 0 ? 1 : 0];
	p->childs[i] = fds[i == 0 ? 0 : 1];
	/* on our end only: the flag belongs to the open file, and the child expects none */
	if (above_stdio(&p->ours[i]) < 0 || fcntl(p->ours[i], F_SETFL, O_NONBLOCK) < 0)
		return -1;
	return above_stdio(&p->childs[i]);
}

static weft_err open_pipes(struct pipes *p, const weft_process_options *o)
{
	const weft_process_stdio modes[3] = { o->stdin_mode, o->stdout_mode, o->stderr_mode };

	*p = (struct pipes){ { -1, -1, -1 }, { -1, -1, -1 } };
	for (int i = 0; i < 3; i++)
		if (open_one(p, i, modes[i]) < 0)
			return err_sys(errno, "start process: make pipe");
	return WEFT_OK;
}

/* Conns take the descriptors, also when they fail. */
static weft_err open_conns(weft_process *process, struct pipes *p, const char *program)
{
	char name[96];
	int in = p->ours[0], out = p->ours[1], err_fd = p->ours[2];
	weft_err err = WEFT_OK;

	p->ours[0] = p->ours[1] = p->ours[2] = -1;
	snprintf(name, sizeof(name), "exec:%.80s", program);
	if (in >= 0 || out >= 0)
		err = weft_conn_adopt_own(&process->conn, out, in, false, name);
	if (err) {
		close_fd(&err_fd);
		return err;
	}
	if (err_fd >= 0)
		err = weft_conn_adopt_own(&process->err, err_fd, -1, false, name);
	return err;
}

/* --- signals --------------------------------------------------------------------------- */

weft_err weft_process_kill(weft_process *process, int signal_number)
{
	weft_err err = WEFT_OK;

	rt_lock_acquire(&process->lock);
	if (process->reaped)
		err = err_setf(WEFT_ECLOSED, "signal process %d: it has ended", (int)process->pid);
	else if (kill(-process->pid, signal_number) < 0)
		err = err_sys(errno, "signal process %d", (int)process->pid);
	rt_lock_release(&process->lock);
	return err;
}

/* Errors of kill: the child was quicker; the wait that follows sees it. */
static void signal_group(weft_process *process, int number)
{
	weft_err err = weft_process_kill(process, number);

	(void)err;
}

/* --- the reaper ----------------------------------------------------------------------- */

static void read_status(weft_process_status *status, const siginfo_t *info)
{
	if (info->si_code == CLD_EXITED)
		*status = (weft_process_status){ true, info->si_status, 0 };
	else
		*status = (weft_process_status){ false, 0, info->si_status };
}

/* The child has ended: takes its group along, and its number back. */
static void reap(weft_process *process)
{
	siginfo_t info;

	rt_lock_acquire(&process->lock);
	(void)kill(-process->pid, SIGKILL);
	memset(&info, 0, sizeof(info));
	while (waitid(P_PID, (id_t)process->pid, &info, WEXITED) < 0 && errno == EINTR)
		;
	/* ECHILD: somebody in this program reaps children that are not his */
	if (info.si_pid == process->pid)
		read_status(&process->status, &info);
	process->reaped = true;
	rt_lock_release(&process->lock);
}

/* Until the child is dead. The reaper is a fiber of the root scope: cancelled, it is the
 * program that ends. Whoever is about to stop the child has his time for it; a child that
 * was forgotten must not hold the program up. */
static void await_death(weft_process *process)
{
	struct io_op op = { .handle = process->pidfd, .kind = IO_POLL };
	weft_deadline until = WEFT_FOREVER;
	bool shielded = false;
	weft_err err;

	while ((err = rt_io_run(&op, until, "child")) != WEFT_OK) {
		if (err == WEFT_ECANCELED && !shielded) {
			weft_shield_begin();
			shielded = true;
			until = weft_after_ns(2 * process->grace_ns + MARGIN_NS);
		} else if (err == WEFT_ETIMEDOUT) {
			signal_group(process, SIGKILL);
			until = WEFT_FOREVER;
		} else {
			(void)weft_yield();
		}
	}
	if (!shielded)
		weft_shield_begin();
	process->pidfd->ops->close(process->pidfd, false);
	reap(process);
	weft_shield_end();
}

static weft_err reaper(void *arg)
{
	weft_process *process = arg;
	weft_cancel *ended = weft_cancel_ref(process->ended);

	await_death(process);
	/* the owner frees process from here on */
	weft_cancel_trigger(ended, WEFT_OK);
	weft_cancel_unref(ended);
	return WEFT_OK;
}

static weft_err watch(weft_process *process)
{
	struct io *io = rt_io();
	struct rt_spawn s = { NULL, UINT_MAX, UINT_MAX, "reaper", reaper, process, NULL };
	int fd = (int)syscall(SYS_pidfd_open, process->pid, 0);
	int rc;
	weft_err err;

	if (fd < 0)
		return err_sys(errno, "start process: pidfd");
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	rc = io->ops->adopt(io, &process->pidfd, fd);
	if (rc < 0) {
		close(fd);
		return err_sys(-rc, "start process: pidfd");
	}
	err = rt_spawn_root(&s);
	if (err)
		process->pidfd->ops->close(process->pidfd, false);
	return err;
}

/* --- spawn ---------------------------------------------------------------------------- */

/* The kernel reaps them, and their numbers may be anybody's. A program started by one that
 * ignores SIGCHLD ignores it too. */
static bool children_vanish(void)
{
	struct sigaction sa;

	return sigaction(SIGCHLD, NULL, &sa) == 0 &&
		(sa.sa_handler == SIG_IGN || (sa.sa_flags & SA_NOCLDWAIT));
}

static weft_err check_options(const weft_process_options *o)
{
	if (!o || !o->argv || !o->argv[0] || !*o->argv[0])
		return err_setf(WEFT_EINVAL, "start process: argv is empty");
	if (o->stop_grace_ns < 0 || o->stop_grace_ns > GRACE_MAX_NS)
		return err_setf(WEFT_EINVAL, "start process: stop_grace_ns is out of range");
	if ((unsigned)o->stdin_mode > WEFT_PROCESS_NULL ||
		(unsigned)o->stdout_mode > WEFT_PROCESS_NULL ||
		(unsigned)o->stderr_mode > WEFT_PROCESS_NULL)
		return err_setf(WEFT_EINVAL, "start process: unknown stdio mode");
	if (rt_is_sim())
		return err_setf(WEFT_ENOSYS, "start process: not in a simulated run");
	if (children_vanish())
		return err_setf(WEFT_EINVAL,
			"start process: SIGCHLD is ignored, so that no child can be waited for");
	if (!rt_io())
		return err_setf(WEFT_EINVAL, "start process: no runtime is running");
	return WEFT_OK;
}

struct call {
	const struct spawn_plan *plan;
	struct spawn_result result;
};

static void spawn_there(void *arg)
{
	struct call *call = arg;

	process_spawn_child(call->plan, &call->result);
}

static weft_err explain(const struct spawn_plan *plan, const struct spawn_result *r)
{
	const char *program = plan->argv[0];
	weft_err err = WEFT_ESPAWN;

	switch (r->step) {
	case SPAWN_OK:
		return WEFT_OK;
	case SPAWN_FORK:
		err_sys(r->errnum, "start \"%s\": fork", program);
		err = r->errnum == ENOMEM ? WEFT_ENOMEM : WEFT_ECAPACITY;
		break;
	case SPAWN_DIRECTORY:
		err_sys(r->errnum, "start \"%s\": change to directory \"%s\"", program,
			plan->directory);
		break;
	case SPAWN_EXEC:
		/* the file itself was there a moment ago */
		if (r->errnum == ENOENT)
			err_setf(err, "start \"%s\": its interpreter is missing", program);
		else
			err_sys(r->errnum, "start \"%s\"", program);
		break;
	case SPAWN_PARENT_GONE:
	case SPAWN_GROUP:
	case SPAWN_STDIO:
	default:
		err_sys(r->errnum, "start \"%s\": prepare child", program);
		break;
	}
	return err_set_code(err);
}

/* A relative path is ours, not one of the child's directory. */
static weft_err make_absolute(char *path)
{
	size_t len = strlen(path), here_len;
	char *here;
	weft_err err = WEFT_OK;

	if (path[0] == '/')
		return WEFT_OK;
	here = mem_alloc(PATH_MAX);
	if (!here)
		return err_set(WEFT_ENOMEM);
	if (!getcwd(here, PATH_MAX)) {
		err = err_sys(errno, "start process: working directory");
		goto out;
	}
	here_len = strlen(here);
	if (here_len + 1 + len >= PATH_MAX) {
		err = err_setf(WEFT_ESPAWN, "start \"%.60s...\": name too long", path);
		goto out;
	}
	memmove(path + here_len + 1, path, len + 1);
	memcpy(path, here, here_len);
	path[here_len] = '/';
out:
	mem_free(here);
	return err;
}

/* path: PATH_MAX bytes, off the stack, which may be a fiber's. */
static weft_err start(
	weft_process *process, const weft_process_options *o, char *path, struct pipes *pipes)
{
	struct spawn_plan plan = {
		.path = path, .argv = (char **)(uintptr_t)o->argv, .directory = o->directory
	};
	struct call call = { .plan = &plan };
	weft_err err = process_find_program(path, o->argv[0]);

	if (!err && o->directory)
		err = make_absolute(path);
	if (!err)
		err = open_pipes(pipes, o);
	if (!err)
		err = open_conns(process, pipes, o->argv[0]);
	if (!err)
		err = process_environment(&plan.envp, o->env, o->pass_env);
	if (!err) {
		memcpy(plan.stdio, pipes->childs, sizeof(plan.stdio));
		err = rt_call_main_thread(spawn_there, &call);
	}
	if (!err)
		err = explain(&plan, &call.result);
	mem_free(plan.envp);
	if (err)
		return err;
	process->pid = call.result.pid;
	err = watch(process);
	if (err)
		reap(process);
	return err;
}

static void dismantle(weft_process *process)
{
	weft_conn_free(process->conn);
	weft_conn_free(process->err);
	weft_cancel_unref(process->ended);
	mem_free(process);
}

weft_err weft_process_spawn(weft_process **out, const weft_process_options *options)
{
	struct pipes pipes = { { -1, -1, -1 }, { -1, -1, -1 } };
	weft_process *process = NULL;
	char *path = NULL;
	weft_err err = check_options(options);

	if (err)
		return err;
	path = mem_alloc(PATH_MAX);
	process = mem_calloc(1, sizeof(*process));
	if (!path || !process) {
		err = err_set(WEFT_ENOMEM);
		goto out;
	}
	process->grace_ns = options->stop_grace_ns ? options->stop_grace_ns : GRACE_DEFAULT_NS;
	err = weft_cancel_create(&process->ended, NULL);
	if (!err)
		err = start(process, options, path, &pipes);
out:
	close_all(pipes.ours);
	close_all(pipes.childs);
	mem_free(path);
	if (err) {
		if (process)
			dismantle(process);
		return err;
	}
	*out = process;
	return WEFT_OK;
}

/* --- the rest ------------------------------------------------------------------------- */

int weft_process_pid(const weft_process *process)
{
	return (int)process->pid;
}

weft_conn *weft_process_conn(weft_process *process)
{
	return process->conn;
}

weft_conn *weft_process_stderr(weft_process *process)
{
	return process->err;
}

weft_err weft_process_wait(weft_process *process, weft_process_status *status, weft_deadline until)
{
	weft_err err = weft_cancel_wait(process->ended, until);

	if (!err && status)
		*status = process->status;
	return err;
}

static bool ends_within(weft_process *process, int64_t duration_ns)
{
	return weft_process_wait(process, NULL, weft_after_ns(duration_ns)) == WEFT_OK;
}

static void wait_end(weft_process *process)
{
	while (weft_process_wait(process, NULL, WEFT_FOREVER) != WEFT_OK)
		(void)weft_yield();
}

void weft_process_stop(weft_process *process, weft_process_status *status)
{
	weft_err err = WEFT_OK;

	weft_shield_begin();
	if (!weft_cancel_is_cancelled(process->ended)) {
		if (process->conn)
			err = weft_conn_shutdown(process->conn);
		(void)err; /* closed already: as good */
		if (!ends_within(process, process->grace_ns)) {
			signal_group(process, SIGTERM);
			if (!ends_within(process, process->grace_ns))
				signal_group(process, SIGKILL);
		}
		wait_end(process);
	}
	weft_shield_end();
	if (status)
		*status = process->status;
}

void weft_process_free(weft_process *process)
{
	if (!process)
		return;
	weft_shield_begin();
	if (!weft_cancel_is_cancelled(process->ended)) {
		signal_group(process, SIGKILL);
		wait_end(process);
	}
	weft_shield_end();
	dismantle(process);
}
