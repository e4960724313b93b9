/* SPDX-License-Identifier: MIT */
/*
 * Several messages at a time: batches, draining.
 *
 * A batch costs one claim (ring: one CAS; unbounded: one CAS a block) and one look for
 * waiters of the other end, each of whom is served. While it waits it is a waiter for one
 * message, which may be sent (received) in its place; then it tries for the rest.
 */
#include "sync/chan.h"

struct batch {
	struct chan_op op; /* first; source, target: the first message */
	size_t count;
	size_t *done;
};

/* One by one: each has a partner of its own. */
static weft_err meet_many(weft_chan *chan, const struct batch *b)
{
	struct chan_op op = { .send = b->op.send };
	weft_err err = WEFT_OK;
	size_t n = 0;

	while (n < b->count && err == WEFT_OK) {
		op.source = chan_nth(chan, b->op.source, n);
		op.target = chan_nth_to(chan, b->op.target, n);
		err = rendezvous_try(chan, &op);
		n += err == WEFT_OK;
	}
	if (n == 0)
		return err;
	*b->done = n;
	return WEFT_OK;
}

static weft_err batch_attempt(weft_chan *chan, const struct chan_op *op)
{
	const struct batch *b = (const struct batch *)(const void *)op;
	struct chan_sink sink = { .target = op->target };
	weft_err err;

	if (chan->kind == CHAN_RENDEZVOUS)
		return meet_many(chan, b);
	if (chan->kind == CHAN_RING)
		err = op->send ? ring_put_many(chan, op->source, b->count, b->done)
			       : ring_take_many(chan, &sink, b->count, b->done);
	else
		err = op->send ? blocks_put_many(chan, op->source, b->count, b->done)
			       : blocks_take_many(chan, &sink, b->count, b->done);
	if (err == WEFT_OK)
		chan_serve_many(chan, !op->send, *b->done);
	return err;
}

/* The first message went while the batch waited: what else fits (is there) now. */
static size_t batch_rest(weft_chan *chan, const struct batch *waited)
{
	size_t done = 0;
	struct batch b = *waited;

	b.op.source = chan_nth(chan, b.op.source, 1);
	b.op.target = chan_nth_to(chan, b.op.target, 1);
	b.count--;
	b.done = &done;
	if (b.count > 0 && batch_attempt(chan, &b.op) != WEFT_OK)
		done = 0;
	return done;
}

static weft_err batch_do(
	weft_chan *chan, struct chan_op op, size_t count, size_t *out, weft_deadline until)
{
	size_t done = 0;
	struct batch b = { op, count, &done };
	weft_err err;

	if (count == 0) {
		*out = 0;
		return WEFT_OK;
	}
	if (count > WEFT_CHAN_BATCH_MAX)
		b.count = WEFT_CHAN_BATCH_MAX;
	b.op.attempt = batch_attempt;
	err = batch_attempt(chan, &b.op);
	if (err != WEFT_OK)
		err = chan_wait(chan, &b.op, err, until);
	if (err != WEFT_OK)
		return err;
	*out = done > 0 ? done : 1 + batch_rest(chan, &b);
	return WEFT_OK;
}

weft_err weft_chan_send_many(
	weft_chan *chan, const void *messages, size_t count, size_t *sent, weft_deadline until)
{
	struct chan_op op = { .send = true, .source = messages };

	return batch_do(chan, op, count, sent, until);
}

weft_err weft_chan_recv_many(
	weft_chan *chan, void *messages, size_t count, size_t *received, weft_deadline until)
{
	struct chan_op op = { .send = false, .target = messages };

	return batch_do(chan, op, count, received, until);
}

/* --- draining ------------------------------------------------------------------------------ */

#define DISCARD_CLAIM 16 /* so that senders wait for few destructors before their slot is free */

size_t chan_discard(weft_chan *chan, size_t count)
{
	struct chan_sink sink = { .destroy = true };
	size_t total = 0, done = 0;
	weft_err err = chan->kind == CHAN_RENDEZVOUS ? WEFT_EAGAIN : WEFT_OK;

	while (total < count && err == WEFT_OK) {
		size_t want = count - total < DISCARD_CLAIM ? count - total : DISCARD_CLAIM;

		err = chan->kind == CHAN_RING ? ring_take_many(chan, &sink, want, &done)
					      : blocks_take_many(chan, &sink, want, &done);
		if (err == WEFT_OK) {
			total += done;
			chan_serve_many(chan, true, done);
		}
	}
	return total;
}

size_t weft_chan_drain(weft_chan *chan)
{
	size_t count = chan_discard(chan, weft_chan_len(chan));

	chan_fd_clear(chan);
	return count;
}
