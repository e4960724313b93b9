/* SPDX-License-Identifier: MIT */
/*
 * Fibers that wait for different things, to be looked at: sleepers [SECONDS]
 *
 * kill -QUIT writes a line for each; in gdb, "weft fibers -bt" shows their stacks.
 */
#include <weft/weft.h>

#include <stdio.h>
#include <stdlib.h>

static weft_err deepest(weft_chan *chan)
{
	int never;

	return weft_chan_recv(chan, &never, WEFT_FOREVER);
}

static weft_err wait_for_message(void *arg)
{
	weft_err err = deepest(arg);

	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

static weft_err sleep_long(void *arg)
{
	weft_err err = weft_sleep_ms(*(long *)arg);

	/* no plain return of the call's result: that would be a jump, without a frame to see */
	return err == WEFT_ECANCELED ? WEFT_OK : err;
}

static weft_err start(void *arg)
{
	weft_chan *chan = NULL;
	weft_scope *scope = NULL;
	weft_err err = weft_chan_create(&chan, sizeof(int), 1, NULL);

	if (!err)
		err = weft_scope_create(&scope);
	if (!err)
		err = weft_scope_spawn(scope, "receiver", wait_for_message, chan);
	if (!err)
		err = weft_scope_spawn(scope, "sleeper", sleep_long, arg);
	if (!err)
		err = weft_yield();
	if (!err) {
		puts("asleep");
		fflush(stdout);
		err = weft_sleep_ms(*(long *)arg);
	}
	weft_scope_free(scope);
	weft_chan_unref(chan);
	return err;
}

int main(int argc, char **argv)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;
	long ms = argc > 1 ? strtol(argv[1], NULL, 10) * 1000 : 10;
	weft_err err;

	options.dump_on_sigquit = true;
	err = weft_run(start, &ms, &options);
	if (err)
		fprintf(stderr, "sleepers: %s\n", weft_error_detail());
	return err ? 1 : 0;
}
