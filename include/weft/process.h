/* SPDX-License-Identifier: MIT */
#ifndef WEFT_PROCESS_H
#define WEFT_PROCESS_H

#include <weft/conn.h>

WEFT_BEGIN_DECLS
/*
 * weft_process: a child process and its supervisor.
 *
 * No shell runs. The child leads a process group of its own, gets SIGKILL when this
 * process dies, default signal actions and mask, the original descriptor limit, and
 * none of this process's descriptors but its stdin, stdout and stderr.
 * Lifetime: one owner. weft_process_free kills the group if the child still runs,
 *           and reaps it: no zombie is left. weft_run does not return before each
 *           child has ended; one that nobody has stopped by twice the grace after the
 *           root scope was cancelled is killed.
 * Threads:  stop, kill and pid from any fiber or thread; wait from any number.
 * Blocking: spawn (briefly), wait, stop, free.
 */
typedef struct weft_process weft_process;

typedef enum weft_process_stdio {
	WEFT_PROCESS_PIPE = 0,	  /* a conn at this end */
	WEFT_PROCESS_INHERIT = 1, /* this process's own */
	WEFT_PROCESS_NULL = 2,	  /* /dev/null */
} weft_process_stdio;

typedef struct weft_process_options {
	const char *const *argv;     /* argv[0] is looked up in PATH; NULL-terminated */
	const char *directory;	     /* working directory; NULL: this process's */
	const char *const *env;	     /* "NAME=value" set for the child; may be NULL */
	const char *const *pass_env; /* names let through from this process; NULL: the
				      * default list (PATH HOME USER LOGNAME SHELL LANG
				      * LC_* TERM TMPDIR TZ XDG_RUNTIME_DIR); "*": all */
	weft_process_stdio stdin_mode, stdout_mode, stderr_mode;
	int64_t stop_grace_ns; /* weft_process_stop: wait after closing stdin, and again
				* after SIGTERM; 0: 2 s */
} weft_process_options;

#define WEFT_PROCESS_OPTIONS_DEFAULT                                          \
	{                                                                     \
		NULL, NULL, NULL, NULL, WEFT_PROCESS_PIPE, WEFT_PROCESS_PIPE, \
			WEFT_PROCESS_INHERIT, 0                               \
	}

typedef struct weft_process_status {
	bool exited;	   /* true: code is valid; false: killed by signal_number */
	int code;	   /* exit status 0..255 */
	int signal_number; /* 0: unknown, since this program itself waited for the child */
} weft_process_status;

/* Raises this process's soft limit of descriptors to the hard one, and returns what it is
 * then; children still start with the limit from before. Before weft_run, from one thread. */
WEFT_API size_t weft_descriptor_limit_raise(void);

/* Errors: WEFT_EINVAL (options; SIGCHLD is ignored, so that children vanish unseen; no
 * runtime), WEFT_ESPAWN (no such program, not executable, no such directory: the detail
 * says which), WEFT_ENOMEM, WEFT_ECAPACITY, WEFT_ENOSYS (simulated run). */
WEFT_API WEFT_MUST_CHECK weft_err weft_process_spawn(
	weft_process **out, const weft_process_options *options);
WEFT_API int weft_process_pid(const weft_process *process);
/* stdin (writing half only) and stdout (reading half only) as one conn: shutdown closes
 * the child's stdin. NULL unless one of them is a pipe. The process's own: valid until
 * weft_process_free. */
WEFT_API weft_conn *weft_process_conn(weft_process *process);
/* stderr, to read; NULL unless it is a pipe. */
WEFT_API weft_conn *weft_process_stderr(weft_process *process);
/* Until the child has ended; status may be NULL. May be called again. */
WEFT_API WEFT_MUST_CHECK weft_err weft_process_wait(
	weft_process *process, weft_process_status *status, weft_deadline until);
/* Sends a signal to the child's group. Errors: WEFT_ECLOSED (it has ended), WEFT_EINVAL. */
WEFT_API WEFT_MUST_CHECK weft_err weft_process_kill(weft_process *process, int signal_number);
/*
 * Closes stdin, waits stop_grace_ns, SIGTERM to the group, waits again, SIGKILL to the
 * group; returns when the child is reaped. Shielded: it finishes though the calling
 * fiber is cancelled. status may be NULL. Idempotent.
 */
WEFT_API void weft_process_stop(weft_process *process, weft_process_status *status);
/* NULL is allowed. */
WEFT_API void weft_process_free(weft_process *process);

WEFT_END_DECLS
#endif
