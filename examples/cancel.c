/* SPDX-License-Identifier: MIT */
/*
 * Stopping: a request runs until it is done, until its client leaves, or until its time is
 * up; whichever comes first, nothing of it is left running.
 */
#include <weft/weft.h>

#include <stdio.h>

struct request {
	int64_t takes_ms;
	weft_cancel *client; /* cancelled when the client leaves */
};

/* Looks at its own token between steps; blocking calls do that by themselves. */
static weft_err handle(void *arg)
{
	struct request *r = arg;

	for (int64_t step = 0; step < r->takes_ms; step++) {
		weft_err err;

		if (weft_cancel_is_cancelled(weft_fiber_token()))
			return WEFT_ECANCELED;
		err = weft_sleep_ms(1);
		if (err)
			return err;
	}
	return WEFT_OK;
}

static void say(const char *what, weft_err err)
{
	printf("%s: %s\n", what, weft_strerror(err));
}

static void client_left(void *arg)
{
	printf("%s leaves\n", (const char *)arg);
}

/* The client's token is cancelled on every way out of this. */
static weft_err leave(void *arg)
{
	WEFT_CANCEL_GUARD(guard, (weft_cancel *)arg);

	return weft_sleep_ms(5);
}

static weft_err requests(weft_cancel *server)
{
	static char name[] = "client";
	struct request quick = { 1, NULL }, slow = { 1000000, NULL };
	weft_cancel_watch *watch = NULL;
	weft_err err = weft_cancel_create(&slow.client, server);

	if (err)
		return err;
	say("quick", weft_cancel_run(slow.client, handle, &quick, weft_after_ms(60000)));
	say("too slow", weft_cancel_run(slow.client, handle, &slow, weft_after_ms(5)));
	err = weft_cancel_watch_create(&watch, slow.client, client_left, name);
	if (!err)
		err = weft_spawn(NULL, "leaves", leave, slow.client);
	if (!err)
		say("without a client", weft_cancel_run(slow.client, handle, &slow, WEFT_FOREVER));
	weft_cancel_watch_free(watch);
	weft_cancel_unref(slow.client);
	return err;
}

static weft_err start(void *arg)
{
	struct request late = { 1, NULL };
	weft_cancel *server;
	weft_err err = weft_cancel_create(&server, NULL);

	(void)arg;
	if (err)
		return err;
	err = requests(server);
	/* its own reason, for all below it */
	weft_cancel_trigger(server, WEFT_ECLOSED);
	say("after the end", weft_cancel_run(server, handle, &late, WEFT_FOREVER));
	weft_cancel_unref(server);
	return err;
}

int main(void)
{
	weft_err err = weft_run(start, NULL, NULL);

	if (err)
		fprintf(stderr, "cancel: %s: %s\n", weft_strerror(err), weft_error_detail());
	return err ? 1 : 0;
}
