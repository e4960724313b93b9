/* SPDX-License-Identifier: MIT */
/*
 * Runs each argument as a program of its own, all at once, and prints what each wrote as it
 * comes: children [PROGRAM...]. Those that take longer than two seconds are stopped.
 */
#include <weft/weft.h>

#include <stdio.h>
#include <string.h>

static weft_err print_output(weft_process *process, const char *program, weft_deadline until)
{
	char line[1024];
	size_t got;
	weft_err err;

	while (!(err = weft_conn_read_line(
			 weft_process_conn(process), line, sizeof(line), &got, until)))
		printf("%s: %.*s\n", program, (int)strcspn(line, "\n"), line);
	return err == WEFT_ECLOSED ? WEFT_OK : err; /* closed: it has said everything */
}

static weft_err run_one(void *arg)
{
	const char *program = arg;
	const char *argv[] = { program, NULL };
	weft_process_options options = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_process *process = NULL;
	weft_process_status status = { 0 };
	weft_err err;

	options.argv = argv;
	options.stdin_mode = WEFT_PROCESS_NULL;
	options.stop_grace_ns = 100000000;
	err = weft_process_spawn(&process, &options);
	if (err) {
		printf("%s: %s\n", program, weft_error_detail());
		return WEFT_OK; /* the others go on */
	}
	err = print_output(process, program, weft_after_ms(2000));
	weft_process_stop(process, &status);
	if (status.exited)
		printf("%s: exited with %d\n", program, status.code);
	else
		printf("%s: ended by signal %d\n", program, status.signal_number);
	weft_process_free(process);
	return err == WEFT_ETIMEDOUT ? WEFT_OK : err;
}

static weft_err run_all(void *arg)
{
	char **programs = arg;
	weft_scope *scope;
	weft_err err = weft_scope_create(&scope);

	if (err)
		return err;
	for (; *programs && !err; programs++)
		err = weft_scope_spawn(scope, *programs, run_one, *programs);
	if (!err)
		err = weft_scope_wait(scope, WEFT_FOREVER);
	weft_scope_free(scope);
	return err;
}

int main(int argc, char **argv)
{
	weft_err err = weft_run(run_all, argv + (argc > 0), NULL);

	if (err)
		fprintf(stderr, "children: %s\n", weft_error_detail());
	return err ? 1 : 0;
}
