/* SPDX-License-Identifier: MIT */
/*
 * Permits: what one is lies in ring.c and blocks.c; here is the waiting, and who is woken.
 * Who reserves waits in the senders' list, for the same thing as they do: room. But nobody
 * can take a permit in its place, so that it is only woken.
 */
#include "base/check.h"
#include "base/err.h"
#include "sync/chan.h"

struct reserve {
	struct chan_op op; /* first */
	weft_chan_permit *permit;
};

static weft_err reserve_attempt(weft_chan *chan, const struct chan_op *op)
{
	weft_chan_permit *permit = ((const struct reserve *)(const void *)op)->permit;
	void *room = NULL;
	weft_err err = chan->kind == CHAN_RING ? ring_reserve(chan) : blocks_reserve(chan, &room);

	if (err == WEFT_OK)
		*permit = (weft_chan_permit){ chan, room };
	return err;
}

static weft_err reserve_try(weft_chan *chan, struct reserve *r)
{
	if (chan->kind == CHAN_RENDEZVOUS)
		return err_setf(WEFT_EINVAL, "reserve: a rendezvous channel has no room");
	return reserve_attempt(chan, &r->op);
}

static weft_err too_many(void)
{
	return err_setf(WEFT_ECAPACITY, "reserve: %d permits are out", WEFT_CHAN_PERMITS_MAX);
}

weft_err weft_chan_reserve(weft_chan *chan, weft_chan_permit *permit, weft_deadline until)
{
	struct reserve r = { { .send = true, .wake_only = true, .attempt = reserve_attempt },
		permit };
	weft_err err = reserve_try(chan, &r);

	if (err == WEFT_EAGAIN) {
		err = chan_wait(chan, &r.op, err, until);
		/* there was room, as whoever woke it knows, and it is left for another */
		if (err == WEFT_ECAPACITY)
			chan_pass_on(chan, true);
	}
	if (err == WEFT_OK || err == WEFT_EINVAL)
		return err;
	return err == WEFT_ECAPACITY ? too_many() : err_set(err);
}

weft_err weft_chan_try_reserve(weft_chan *chan, weft_chan_permit *permit)
{
	struct reserve r = { { .send = true }, permit };
	weft_err err = reserve_try(chan, &r);

	if (err == WEFT_OK || err == WEFT_EINVAL)
		return err;
	return err == WEFT_ECAPACITY ? too_many() : err_set(err);
}

void chan_wake_receivers(weft_chan *chan)
{
	wait_wake_all(&chan->receivers, &chan->receivers.lock, WEFT_ECLOSED);
	chan_fd_fire(chan);
}

void weft_chan_permit_send(weft_chan_permit *permit, const void *message)
{
	weft_chan *chan = permit->chan;
	bool last;

	CHECK(chan);
	if (chan->kind == CHAN_RING)
		last = ring_put_reserved(chan, message);
	else
		last = blocks_put_reserved(chan, permit->room, message);
	*permit = (weft_chan_permit){ NULL, NULL };
	if (chan_is_abandoned(chan))
		(void)chan_discard(chan, SIZE_MAX);
	if (last)
		chan_wake_receivers(chan);
	else
		chan_serve_many(chan, false, 1);
}

void weft_chan_permit_release(weft_chan_permit *permit)
{
	weft_chan *chan = permit->chan;
	bool last;

	if (!chan)
		return;
	if (chan->kind == CHAN_RING)
		last = ring_unreserve(chan);
	else
		last = blocks_unreserve(chan, permit->room);
	*permit = (weft_chan_permit){ NULL, NULL };
	if (last)
		chan_wake_receivers(chan);
	else
		chan_serve_many(chan, true, 1);
}
