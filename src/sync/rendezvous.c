/* SPDX-License-Identifier: MIT */
/*
 * The channel without room: a send and a receive meet, and the message goes from one
 * stack to the other.
 *
 * Whoever comes second finds the first in the other end's list, claims it, and copies,
 * all under one lock (that of the receivers). The first returns only after it has taken
 * that lock, so the copy is over when either returns: a send has returned when, and only
 * when, its message was taken.
 */
#include "base/check.h"
#include "base/err.h"
#include "sync/chan.h"

static struct rt_lock *lock_of(weft_chan *chan)
{
	return &chan->receivers.lock;
}

static bool is_closed(const weft_chan *chan)
{
	/* acquire; pairs with the release in rendezvous_close: what its caller did before */
	return atomic_load_explicit(&chan->tail, memory_order_acquire) & chan->closed_bit;
}

/* WEFT_OK: done with *partner, who is to be unparked after the lock. WEFT_EAGAIN: nobody
 * is there. */
weft_err rendezvous_match_locked(weft_chan *chan, const struct chan_op *op, weft_parker **partner)
{
	struct wait_queue *others = chan_queue(chan, !op->send);
	struct wait_node *node;

	if (is_closed(chan))
		return WEFT_ECLOSED;
	while ((node = wait_first_locked(others))) {
		weft_parker *parker = node->ctx->parker;

		if (!wait_claim(node))
			continue;
		/* The node stays: its owner needs the lock to leave. */
		if (op->send)
			chan_copy(node->target, op->source, chan->message_size);
		else
			chan_copy(op->target, node->source, chan->message_size);
		*partner = parker;
		return WEFT_OK;
	}
	return WEFT_EAGAIN;
}

weft_err rendezvous_try(weft_chan *chan, const struct chan_op *op)
{
	weft_parker *partner = NULL;
	weft_err err;

	if (!wait_any(chan_queue(chan, !op->send)))
		return is_closed(chan) ? WEFT_ECLOSED : WEFT_EAGAIN;
	rt_lock_acquire(lock_of(chan));
	err = rendezvous_match_locked(chan, op, &partner);
	rt_lock_release(lock_of(chan));
	if (partner)
		weft_unpark(partner);
	return err;
}

weft_err rendezvous_wait(weft_chan *chan, const struct chan_op *op, weft_deadline until)
{
	struct wait_queue *queue = chan_queue(chan, op->send);
	weft_parker *partner = NULL;
	struct wait_node node;
	struct wait_ctx ctx;
	weft_err err, park;

	if (wait_ctx_init(&ctx) != WEFT_OK)
		return WEFT_ENOMEM;
	wait_node_init(&node, &ctx, WAIT_FIRST);
	node.source = op->source;
	node.target = op->target;
	rt_lock_acquire(lock_of(chan));
	err = rendezvous_match_locked(chan, op, &partner);
	if (err == WEFT_EAGAIN)
		wait_push_locked(queue, &node, false);
	rt_lock_release(lock_of(chan));
	if (partner)
		weft_unpark(partner);
	if (err != WEFT_EAGAIN)
		return err == WEFT_OK ? WEFT_OK : err_set(err);

	park = wait_park(&ctx, until, op->send ? "chan send" : "chan recv");
	rt_lock_acquire(lock_of(chan));
	wait_remove_locked(queue, &node);
	/* claimed under this lock only, so that it is decided now */
	err = wait_state(&ctx) == WAIT_OPEN ? park : node.result;
	rt_lock_release(lock_of(chan));
	return err == WEFT_OK ? WEFT_OK : err_set(err);
}

void rendezvous_close(weft_chan *chan)
{
	rt_lock_acquire(lock_of(chan));
	/* release; pairs with the acquire in is_closed. Under the lock: no send that
	 * succeeds comes after it. */
	atomic_fetch_or_explicit(&chan->tail, chan->closed_bit, memory_order_release);
	rt_lock_release(lock_of(chan));
	wait_wake_all(&chan->receivers, lock_of(chan), WEFT_ECLOSED);
	wait_wake_all(&chan->senders, lock_of(chan), WEFT_ECLOSED);
}
