/* SPDX-License-Identifier: MIT */
/* Operations of the netpoll backend, for fibers and threads that wait for them. */
#include "rt/fiber.h"

#include <errno.h>

struct io_wait {
	weft_parker *parker;
	_Atomic uint32_t done;
};

static void io_complete(struct io_op *op)
{
	struct io_wait *wait = op->user;
	weft_parker *parker = wait->parker; /* wait is gone once done is seen */

	/* release; pairs with is_done: the operation's result */
	atomic_store_explicit(&wait->done, 1, memory_order_release);
	weft_unpark(parker);
}

static bool is_done(struct io_wait *wait)
{
	/* acquire; pairs with io_complete */
	return atomic_load_explicit(&wait->done, memory_order_acquire) != 0;
}

/* The backend is about to complete it: the wait is short, and must not be left. */
static void wait_done(struct io_wait *wait, const char *why)
{
	weft_shield_begin();
	while (!is_done(wait))
		(void)rt_park(WEFT_FOREVER, why);
	weft_shield_end();
}

struct io *rt_io(void)
{
	struct rt_runtime *rt = rt_runtime_self();

	if (rt_tls)
		return rt_tls->io;
	/* relaxed: any worker will do */
	return rt
		? rt->workers[atomic_fetch_add_explicit(&rt->next_worker, 1, memory_order_relaxed) %
			    rt->workers_len]
			  .io
		: NULL;
}

/* The worker polls then, too: it would else only after RT_BUDGET such streaks, thousands of
 * operations, where this fiber is alone in having something to do. */
void rt_take_turns(unsigned cost)
{
	struct rt_fiber *f = rt_current();

	if (!f)
		return;
	f->streak += cost;
	if (weft_likely(f->streak < RT_STREAK_MAX))
		return;
	f->streak = 0;
	rt_poll_soon();
	/* Cancelled or not, the operation is over and its result counts. */
	if (weft_yield())
		return;
}

static void waits(void)
{
	struct rt_fiber *f = rt_current();

	if (f)
		f->streak = 0;
}

weft_err rt_io_run(struct io_op *op, weft_deadline until, const char *why)
{
	struct io *io = rt_io();
	struct io_wait wait = { .parker = rt_parker_self() };
	int64_t result;
	weft_err err;

	if (!io)
		return err_setf(WEFT_EINVAL, "%s: no runtime is running", why);
	if (!wait.parker)
		return err_set(WEFT_ENOMEM);
	op->complete = io_complete;
	op->user = &wait;
	/* relaxed: submit publishes the operation */
	atomic_store_explicit(&op->flags, 0, memory_order_relaxed);
	result = io->ops->submit(io, op);
	if (result != IO_PENDING) {
		op->result = result;
		rt_take_turns(RT_COST_IO);
		return WEFT_OK;
	}
	waits();
	while (!is_done(&wait)) {
		err = rt_park(until, why);
		if (!err)
			continue;
		if (op->handle->ops->cancel(op))
			return err;
		wait_done(&wait, why);
		return op->result == -ECANCELED ? err : WEFT_OK;
	}
	return WEFT_OK;
}
