/* SPDX-License-Identifier: MIT */
/* Two fibers, a channel between them, and a deadline. */
#include <weft/weft.h>

#include <stdio.h>

static weft_err producer(void *arg)
{
	weft_chan *chan = arg;
	weft_err err = WEFT_OK;

	for (int i = 1; i <= 3 && !err; i++)
		err = weft_chan_send(chan, &i, WEFT_FOREVER);
	weft_chan_close(chan);
	return err;
}

static weft_err start(void *arg)
{
	weft_chan *chan = arg;
	weft_err err = weft_spawn(NULL, "producer", producer, chan);
	int number;

	while (!err && !(err = weft_chan_recv(chan, &number, weft_after_ms(1000))))
		printf("got %d\n", number);
	return err == WEFT_ECLOSED ? WEFT_OK : err; /* closed: the producer is done */
}

int main(void)
{
	weft_chan *chan;
	weft_err err = weft_chan_create(&chan, sizeof(int), 1, NULL);

	if (!err) {
		err = weft_run(start, chan, NULL);
		weft_chan_unref(chan);
	}
	if (err)
		fprintf(stderr, "hello: %s\n", weft_error_detail());
	return err ? 1 : 0;
}
