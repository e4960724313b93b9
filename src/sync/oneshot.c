/* SPDX-License-Identifier: MIT */
/*
 * One value, one way. The two ends share a word of flags, each set by one end only and
 * never cleared; the value is written before SENT and read after it. Either end's close
 * touches the oneshot to the end, as each has a reference of its own.
 */
#include "sync/oneshot.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/refcount.h"

#include <stdalign.h>
#include <string.h>

enum {
	SENT = 1,	   /* by the sender, unless RECEIVER_CLOSED was first */
	SENDER_CLOSED = 2, /* by the sender */
	RECEIVER_SHUT = 4, /* by the receiver, at its close at the latest */
};

struct weft_oneshot {
	struct refcount refs; /* two: the ends */
	_Atomic uint32_t flags;
	bool taken; /* receiver only */
	size_t size;
	struct wait_queue receivers; /* the receiver, waiting for a value */
	struct wait_queue senders;   /* the sender, waiting for the receiver to close */
	alignas(16) char value[];
};

weft_err weft_oneshot_create(weft_oneshot **out, size_t size)
{
	weft_oneshot *o;

	if (size > WEFT_ONESHOT_SIZE_MAX)
		return err_setf(WEFT_EINVAL, "create oneshot: size %zu: at most %d", size,
			WEFT_ONESHOT_SIZE_MAX);
	o = mem_calloc(1, sizeof(*o) + size);
	if (!o)
		return err_set(WEFT_ENOMEM);
	refcount_init(&o->refs, 2);
	o->size = size;
	wait_queue_init(&o->receivers);
	wait_queue_init(&o->senders);
	*out = o;
	return WEFT_OK;
}

static uint32_t flags_of(const weft_oneshot *o)
{
	/* seq_cst; pairs with the changes of the other end: its value, and the look after
	 * entering a list (see wait.h) */
	return atomic_load_explicit(&o->flags, memory_order_seq_cst);
}

weft_err weft_oneshot_send(weft_oneshot *o, const void *value)
{
	uint32_t flags = flags_of(o);

	if (flags & SENT)
		return err_setf(WEFT_EINVAL, "send to oneshot: already sent");
	if (!(flags & RECEIVER_SHUT) && o->size != 0)
		memcpy(o->value, value, o->size);
	do {
		if (flags & RECEIVER_SHUT)
			return err_set(WEFT_ECLOSED);
		/* seq_cst; pairs with flags_of: publishes the value, before wait_any */
	} while (!atomic_compare_exchange_weak_explicit(
		&o->flags, &flags, flags | SENT, memory_order_seq_cst, memory_order_seq_cst));
	if (wait_any(&o->receivers))
		wait_wake_all(&o->receivers, &o->receivers.lock, WEFT_OK);
	return WEFT_OK;
}

weft_err oneshot_try_recv(weft_oneshot *o, void *value)
{
	uint32_t flags = flags_of(o);

	if ((flags & SENT) && !o->taken) {
		if (o->size != 0)
			memcpy(value, o->value, o->size);
		o->taken = true;
		return WEFT_OK;
	}
	return flags != 0 ? WEFT_ECLOSED : WEFT_EAGAIN;
}

bool oneshot_is_ready(const weft_oneshot *o)
{
	return flags_of(o) != 0;
}

struct wait_queue *oneshot_receivers(weft_oneshot *o)
{
	return &o->receivers;
}

static bool value_is_ready(const void *object)
{
	return oneshot_is_ready(object);
}

bool oneshot_is_shut(const weft_oneshot *o)
{
	return flags_of(o) & RECEIVER_SHUT;
}

struct wait_queue *oneshot_senders(weft_oneshot *o)
{
	return &o->senders;
}

static bool receiver_is_gone(const void *object)
{
	return oneshot_is_shut(object);
}

weft_err weft_oneshot_recv(weft_oneshot *o, void *value, weft_deadline until)
{
	weft_err err = wait_until(&o->receivers, value_is_ready, o, until, "oneshot recv");

	if (err != WEFT_OK)
		return err;
	err = oneshot_try_recv(o, value);
	return err == WEFT_OK ? WEFT_OK : err_set(err);
}

weft_err weft_oneshot_try_recv(weft_oneshot *o, void *value)
{
	weft_err err = oneshot_try_recv(o, value);

	return err == WEFT_OK ? WEFT_OK : err_set(err);
}

bool weft_oneshot_is_closed(const weft_oneshot *o)
{
	return oneshot_is_shut(o);
}

weft_err weft_oneshot_wait_closed(weft_oneshot *o, weft_deadline until)
{
	return wait_until(&o->senders, receiver_is_gone, o, until, "oneshot close");
}

static void end_shut(weft_oneshot *o, uint32_t flag, struct wait_queue *others)
{
	/* seq_cst; pairs with flags_of: before wait_any */
	atomic_fetch_or_explicit(&o->flags, flag, memory_order_seq_cst);
	if (wait_any(others))
		wait_wake_all(others, &others->lock, WEFT_OK);
}

void weft_oneshot_shut(weft_oneshot *o)
{
	end_shut(o, RECEIVER_SHUT, &o->senders);
}

static void end_close(weft_oneshot *o, uint32_t flag, struct wait_queue *others)
{
	end_shut(o, flag, others);
	if (refcount_drop(&o->refs))
		mem_free(o);
}

void weft_oneshot_close_sender(weft_oneshot *o)
{
	if (o)
		end_close(o, SENDER_CLOSED, &o->receivers);
}

void weft_oneshot_close_receiver(weft_oneshot *o)
{
	if (o)
		end_close(o, RECEIVER_SHUT, &o->senders);
}
