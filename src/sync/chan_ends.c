/* SPDX-License-Identifier: MIT */
/*
 * Counted ends, and waiting for the close.
 *
 * A count goes from 1 to 0 by the one whose decrement says so, who then closes; from 0 to 1
 * by weft_chan_sender_ref only, which nobody may call who has just found 0: sender_try_ref
 * adds to a count that is not 0, in one step, so that it never revives what has ended.
 *
 * The last counted receiver says that the channel is abandoned, closes, and destroys what is
 * there. What comes after that can only be from permits, which look for the word after their
 * message is in the queue: one of the two finds the message.
 */
#include "base/refcount.h"
#include "sync/chan.h"

static weft_chan *end_ref(weft_chan *chan, struct refcount *count)
{
	refcount_add(count);
	return weft_chan_ref(chan);
}

static weft_chan *end_try_ref(weft_chan *chan, struct refcount *count)
{
	return !chan_is_closed(chan) && refcount_try_hold(count) ? weft_chan_ref(chan) : NULL;
}

weft_chan *weft_chan_sender_ref(weft_chan *chan)
{
	return end_ref(chan, &chan->sender_count);
}

weft_chan *weft_chan_receiver_ref(weft_chan *chan)
{
	return end_ref(chan, &chan->receiver_count);
}

weft_chan *weft_chan_sender_try_ref(weft_chan *chan)
{
	return end_try_ref(chan, &chan->sender_count);
}

weft_chan *weft_chan_receiver_try_ref(weft_chan *chan)
{
	return end_try_ref(chan, &chan->receiver_count);
}

void weft_chan_sender_unref(weft_chan *chan)
{
	if (!chan)
		return;
	if (refcount_drop(&chan->sender_count))
		weft_chan_close(chan);
	weft_chan_unref(chan);
}

void weft_chan_receiver_unref(weft_chan *chan)
{
	if (!chan)
		return;
	if (refcount_drop(&chan->receiver_count)) {
		/* seq_cst; pairs with chan_is_abandoned: before the queue is looked into */
		atomic_store_explicit(&chan->abandoned, 1, memory_order_seq_cst);
		weft_chan_close(chan);
		(void)chan_discard(chan, SIZE_MAX);
	}
	weft_chan_unref(chan);
}

bool chan_is_abandoned(const weft_chan *chan)
{
	/* seq_cst; pairs with the store above: after the message's CAS on tail */
	return atomic_load_explicit(&chan->abandoned, memory_order_seq_cst) != 0;
}

size_t weft_chan_sender_count(const weft_chan *chan)
{
	return refcount_get(&chan->sender_count);
}

size_t weft_chan_receiver_count(const weft_chan *chan)
{
	return refcount_get(&chan->receiver_count);
}

static bool is_closed(const void *object)
{
	return chan_is_closed(object);
}

weft_err weft_chan_wait_closed(weft_chan *chan, weft_deadline until)
{
	return wait_until(&chan->closers, is_closed, chan, until, "chan close");
}
