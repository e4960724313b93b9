/* SPDX-License-Identifier: MIT */
/*
 * A session by a child: its stdin and stdout, a message a line.
 *
 * The transport's reader ends the child when stdout ends, or the owner closes; weft_process_stop
 * closes its stdin first. stderr has a fiber of its own, which reads what comes and gives it on by
 * lines; a child that writes faster than that waits, as for any reader.
 */
#include "base/err.h"
#include "base/mem.h"
#include "bridge/plain.h"
#include "bridge/transport.h"
#include "bridge/words.h"
#include "rt/rt.h"

#include <weft/log.h>

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 200		/* of the command line, in names */
#define READ_SIZE ((size_t)1024)	/* of stderr at once */
#define BURST_BYTES ((size_t)64 * 1024) /* of stderr at most in: */
#define BURST_NS INT64_C(20000000)
#define LAST_WORDS_NS INT64_C(200000000) /* for stderr's end, after the child's */

struct outgoing {
	char *name;
	char *command; /* for names: argv with blanks between */
	weft_process_options process;
	struct words argv, env, pass_env; /* what process points to */
	char *directory;
	weft_transport_options options;
	void (*log)(void *user, const char *name, const char *line);
	void *user;
};

/* A session's. */
struct child {
	const struct outgoing *outgoing;
	weft_process *process;
	weft_scope *scope; /* of the fiber that reads stderr */
	struct plain plain;
};

/* ---- stderr ---- */

static void log_line(void *user, const char *line)
{
	const struct outgoing *o = user;

	if (o->log)
		o->log(o->user, o->name, line);
	else
		weft_log(WEFT_LOG_INFO, o->name, "%s", line);
}

/* After so many bytes at once the child waits: what nobody can read need not be logged faster. */
static weft_err read_stderr(void *arg)
{
	struct child *c = arg;
	weft_conn *conn = weft_process_stderr(c->process);
	void *user = (void *)(uintptr_t)c->outgoing; /* only read */
	weft_deadline burst_end = 0;
	char bytes[READ_SIZE];
	size_t got, burst = 0;
	weft_err err;

	while (!weft_conn_read(conn, bytes, sizeof(bytes), &got, WEFT_FOREVER)) {
		if (weft_now() > burst_end) {
			burst_end = weft_after_ns(BURST_NS);
			burst = 0;
		}
		plain_feed(&c->plain, bytes, got, log_line, user);
		burst += got;
		err = burst < BURST_BYTES ? weft_yield() : weft_sleep_until(burst_end);
		if (err)
			break;
	}
	plain_end(&c->plain, log_line, user);
	return WEFT_OK;
}

/* ---- the end ---- */

static void say_status(const weft_process_status *status, char *detail, size_t size)
{
	if (status->exited)
		(void)snprintf(detail, size, "exited with status %d", status->code);
	else
		(void)snprintf(detail, size, "killed by signal %d", status->signal_number);
}

static void child_ended(void *arg, bool closed_here, weft_err *err, char *detail, size_t size)
{
	struct child *c = arg;
	weft_process_status status;
	bool was_up;

	was_up = weft_process_wait(c->process, NULL, weft_after_ns(LAST_WORDS_NS)) != WEFT_OK;
	weft_process_stop(c->process, &status);
	(void)!weft_scope_wait(c->scope, weft_after_ns(LAST_WORDS_NS));
	if (closed_here)
		return;
	if (status.exited && status.code == 0) {
		*err = WEFT_ECLOSED;
		*detail = '\0';
	} else if (was_up && !status.exited) {
		*err = WEFT_ECHILD;
		(void)snprintf(detail, size, "closed its stdout and did not exit; it was stopped");
	} else {
		*err = WEFT_ECHILD;
		say_status(&status, detail, size);
	}
}

static void child_free(void *arg)
{
	struct child *c = arg;

	if (!c)
		return;
	if (c->process) {
		weft_process_stop(c->process, NULL);
		weft_conn_close(weft_process_stderr(c->process));
	}
	weft_scope_free(c->scope);
	weft_process_free(c->process);
	mem_free(c);
}

static const struct lines_owner child_owner = { child_ended, child_free };

static weft_err process_connect(void *user, weft_transport **out, weft_deadline until)
{
	struct outgoing *o = user;
	struct child *c = mem_calloc(1, sizeof(*c));
	weft_transport *transport = NULL;
	weft_err err;

	(void)until;
	if (!c)
		return err_set(WEFT_ENOMEM);
	c->outgoing = o;
	plain_init(&c->plain);
	err = rt_scope_create_root(&c->scope);
	if (!err)
		err = weft_process_spawn(&c->process, &o->process);
	if (!err)
		err = lines_create(&transport, weft_process_conn(c->process), o->command, "stdio",
			&child_owner, c, &o->options);
	if (err) {
		child_free(c);
		return err;
	}
	err = weft_scope_spawn_on(c->scope,
		weft_in_fiber() ? weft_worker_self() : weft_worker_least_loaded(), "child: stderr",
		read_stderr, c);
	if (err)
		weft_transport_free(transport);
	else
		*out = transport;
	return err;
}

/* ---- the options ---- */

/* What is NULL, or empty, stays that. */
static weft_err copy_list(struct words *words, const char *const *list, const char *const **copied)
{
	static const char *const none[] = { NULL };
	weft_err err = WEFT_OK;

	if (list && list[0])
		err = words_copy(words, list);
	*copied = !list ? NULL : list[0] ? (const char *const *)words->argv : none;
	return err;
}

static char *join(const char *const *argv)
{
	char text[NAME_MAX_BYTES];
	size_t len = 0;

	for (size_t i = 0; argv[i] && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, i ? " %s" : "%s", argv[i]);
	return mem_strdup(text);
}

static void process_free(void *user)
{
	struct outgoing *o = user;

	words_fini(&o->argv);
	words_fini(&o->env);
	words_fini(&o->pass_env);
	mem_free(o->directory);
	mem_free(o->command);
	mem_free(o->name);
	mem_free(o);
}

static const weft_outgoing_ops process_ops = { process_connect, process_free };

static weft_err copy_options(struct outgoing *o, const weft_process_options *process)
{
	weft_err err;

	o->process = *process;
	o->process.stdin_mode = o->process.stdout_mode = o->process.stderr_mode = WEFT_PROCESS_PIPE;
	err = copy_list(&o->argv, process->argv, &o->process.argv);
	if (!err)
		err = copy_list(&o->env, process->env, &o->process.env);
	if (!err)
		err = copy_list(&o->pass_env, process->pass_env, &o->process.pass_env);
	if (err)
		return err;
	o->command = join(process->argv);
	o->directory = process->directory ? mem_strdup(process->directory) : NULL;
	o->process.directory = o->directory;
	if (!o->command || (process->directory && !o->directory))
		return err_set(WEFT_ENOMEM);
	return WEFT_OK;
}

weft_err weft_outgoing_process(weft_outgoing **out, const char *name,
	const weft_process_options *process, const weft_transport_options *options,
	void (*log)(void *user, const char *name, const char *line), void *user)
{
	struct outgoing *o;
	weft_err err;

	if (!process || !process->argv || !process->argv[0])
		return err_setf(WEFT_EINVAL, "weft_outgoing_process: argv is empty");
	o = mem_calloc(1, sizeof(*o));
	if (!o)
		return err_set(WEFT_ENOMEM);
	o->log = log;
	o->user = user;
	err = transport_options_fill(&o->options, options);
	if (!err)
		err = copy_options(o, process);
	if (!err) {
		o->name = mem_strdup(name ? name : o->command);
		if (!o->name)
			err = err_set(WEFT_ENOMEM);
	}
	if (!err)
		err = weft_outgoing_create(out, &process_ops, o, o->name);
	if (err)
		process_free(o);
	return err;
}
