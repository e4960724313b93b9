/* SPDX-License-Identifier: MIT */
/*
 * Fibers feed a loop that is not weft's: two producers, on a runtime in a thread of its own,
 * send to a channel; main polls its descriptor, as it would with others, and receives what is
 * there. Nobody closes the channel: it ends when the last counted sender has gone.
 */
#include <weft/weft.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#define EACH 500
#define BATCH 16

/* Takes room before it makes an item, so that a made one always has a place. */
static weft_err careful(void *arg)
{
	weft_chan *feed = arg;
	weft_err err = WEFT_OK;

	for (long i = 1; i <= EACH && !err; i++) {
		weft_chan_permit permit;

		err = weft_chan_reserve(feed, &permit, WEFT_FOREVER);
		if (!err)
			weft_chan_permit_send(&permit, &i);
	}
	weft_chan_sender_unref(feed);
	return err;
}

/* Has many items at a time. */
static weft_err bulky(void *arg)
{
	weft_chan *feed = arg;
	weft_err err = WEFT_OK;
	long items[EACH];
	size_t sent = 0;

	for (long i = 0; i < EACH; i++)
		items[i] = i + 1;
	while (sent < EACH && !err) {
		size_t more = 0;

		err = weft_chan_send_many(feed, items + sent, EACH - sent, &more, WEFT_FOREVER);
		sent += more;
	}
	weft_chan_sender_unref(feed);
	return err;
}

static weft_err produce(void *arg)
{
	static const weft_fiber_fn bodies[] = { careful, bulky };
	weft_scope *scope = NULL;
	weft_err err = weft_scope_create(&scope);

	for (int i = 0; i < 2 && !err; i++) {
		weft_chan_sender_ref(arg);
		err = weft_scope_spawn(scope, "producer", bodies[i], arg);
		if (err)
			weft_chan_sender_unref(arg);
	}
	weft_chan_sender_unref(arg); /* main's, for this fiber */
	if (!err)
		err = weft_scope_wait(scope, WEFT_FOREVER);
	weft_scope_free(scope);
	return err;
}

static void *runtime(void *arg)
{
	if (weft_run(produce, arg, NULL))
		fprintf(stderr, "feed: %s\n", weft_error_detail());
	return NULL;
}

static weft_err loop(weft_chan *feed, long *sum)
{
	struct pollfd polled = { .events = POLLIN };
	weft_err err = weft_chan_fd(feed, &polled.fd);
	long items[BATCH];
	size_t count;

	while (!err || err == WEFT_ETIMEDOUT) {
		if (poll(&polled, 1, -1) < 0)
			return WEFT_EIO;
		err = weft_chan_recv_many(feed, items, BATCH, &count, WEFT_NOW);
		for (size_t i = 0; !err && i < count; i++)
			*sum += items[i];
	}
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

int main(void)
{
	weft_chan *feed = NULL;
	pthread_t thread;
	long sum = 0;
	weft_err err = weft_chan_create(&feed, sizeof(long), 64, NULL);

	if (err || pthread_create(&thread, NULL, runtime, weft_chan_sender_ref(feed)) != 0) {
		fprintf(stderr, "feed: %s\n", weft_error_detail());
		return 1;
	}
	err = loop(feed, &sum);
	pthread_join(thread, NULL);
	weft_chan_unref(feed);
	if (err)
		fprintf(stderr, "feed: %s: %s\n", weft_strerror(err), weft_error_detail());
	else
		printf("sum %ld\n", sum);
	return err ? 1 : 0;
}
