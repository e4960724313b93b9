/* SPDX-License-Identifier: MIT */
/*
 * Buffers from a pool: a reader fills blocks and sends slices of them through a channel; who
 * gets one gives it back. The block is used again once its last slice has gone.
 */
#include <weft/weft.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BLOCKS 1000
#define BLOCK_SIZE 4096
#define HEADER_SIZE 16

struct line {
	weft_chan *slices;
	weft_buf_pool *pool;
};

/* A slice in a channel that nobody receives any more. */
static void drop(void *message, void *user)
{
	(void)user;
	weft_buf_unref(message);
}

static weft_err reader(void *arg)
{
	struct line *line = arg;
	weft_err err = WEFT_OK;

	for (int i = 0; i < BLOCKS && !err; i++) {
		weft_buf block, header;

		err = weft_buf_alloc(&block, line->pool, BLOCK_SIZE);
		if (err)
			break;
		memset(block.data, i % 256, block.len);
		header = weft_buf_slice(&block, 0, HEADER_SIZE); /* no copy */
		weft_buf_unref(&block);				 /* the header keeps it */
		err = weft_chan_send(line->slices, &header, WEFT_FOREVER);
		if (err)
			weft_buf_unref(&header); /* not sent: still ours */
	}
	weft_chan_close(line->slices);
	return err;
}

static weft_err start(void *arg)
{
	struct line *line = arg;
	weft_buf header;
	unsigned long sum = 0;
	weft_err err = weft_spawn(NULL, "reader", reader, line);

	while (!err && !(err = weft_chan_recv(line->slices, &header, WEFT_FOREVER))) {
		sum += header.data[0];
		weft_buf_unref(&header);
	}
	printf("sum %lu\n", sum);
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

static void report(const weft_buf_pool *pool)
{
	weft_buf_pool_stats stats;

	weft_buf_pool_stats_get(pool, &stats);
	printf("%" PRIu64 " blocks, %" PRIu64 " of them made, %" PRIu64 " still out\n",
		stats.hits + stats.misses, stats.misses, stats.live_blocks);
}

int main(void)
{
	weft_run_options run = WEFT_RUN_OPTIONS_DEFAULT;
	weft_chan_options chan = { .destroy = drop };
	weft_buf_pool_options options = { .held_max = (size_t)1 << 20 };
	struct line line = { NULL, NULL };
	weft_err err = weft_buf_pool_create(&line.pool, &options);

	run.workers = 1; /* for the figures to repeat */
	if (!err)
		err = weft_chan_create(&line.slices, sizeof(weft_buf), 8, &chan);
	if (!err)
		err = weft_run(start, &line, &run);
	if (!err)
		report(line.pool);
	weft_chan_unref(line.slices);
	weft_buf_pool_free(line.pool);
	if (err)
		fprintf(stderr, "buf: %s\n", weft_error_detail());
	return err ? 1 : 0;
}
