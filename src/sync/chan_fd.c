/* SPDX-License-Identifier: MIT */
/*
 * A channel's descriptor for foreign event loops: an eventfd that is readable while there
 * may be something to receive.
 *
 * It is armed when the channel was found empty: then it counts among the receivers who wait,
 * so that a sender looks for it only where it would look for them. Whoever disarms it writes.
 * Whoever finds the channel empty clears it (a read), arms it, and looks at the channel
 * again; when that is ready after all, fires it by itself. So:
 *
 *	while the channel is ready the descriptor is readable, or somebody is on the way: from
 *	a disarming to its write, or from a read to its look.
 *
 * For each read is followed by a look, and each message comes before that look, which finds
 * it, or after the arming, which its sender finds (the rule of wait.h). A write that comes
 * late, after another's read, makes it readable with nothing to receive: harmless.
 */
#include "base/err.h"
#include "base/mem.h"
#include "sync/chan.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct chan_fd {
	int fd;	    /* constant; owned */
	bool armed; /* under the receivers' lock */
};

static struct chan_fd *fd_of(const weft_chan *chan)
{
	/* acquire; pairs with the publication in weft_chan_fd */
	return atomic_load_explicit(&chan->fd, memory_order_acquire);
}

void chan_fd_fire(weft_chan *chan)
{
	struct chan_fd *f = fd_of(chan);
	uint64_t one = 1;
	bool armed;

	if (weft_likely(!f))
		return;
	rt_lock_acquire(&chan->receivers.lock);
	armed = f->armed;
	f->armed = false;
	if (armed)
		wait_unobserve_locked(&chan->receivers);
	rt_lock_release(&chan->receivers.lock);
	/* can't fail: there are no 2^64 writes without a read */
	if (armed)
		(void)!write(f->fd, &one, sizeof(one));
}

void chan_fd_clear(weft_chan *chan)
{
	struct chan_fd *f = fd_of(chan);
	uint64_t count;

	if (weft_likely(!f))
		return;
	/* fails when it was not readable */
	(void)!read(f->fd, &count, sizeof(count));
	rt_lock_acquire(&chan->receivers.lock);
	if (!f->armed)
		wait_observe_locked(&chan->receivers);
	f->armed = true;
	rt_lock_release(&chan->receivers.lock);
	if (chan_is_ready(chan, false))
		chan_fd_fire(chan);
}

void chan_fd_fini(weft_chan *chan)
{
	struct chan_fd *f = fd_of(chan);

	if (f)
		close(f->fd);
	mem_free(f);
}

/* NULL: *err was set. */
static struct chan_fd *fd_create(weft_err *err)
{
	struct chan_fd *f = mem_calloc(1, sizeof(*f));
	bool full;

	if (!f) {
		*err = err_set(WEFT_ENOMEM);
		return NULL;
	}
	f->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->fd >= 0)
		return f;
	full = errno == EMFILE || errno == ENFILE;
	mem_free(f);
	*err = err_setf(full ? WEFT_ECAPACITY : WEFT_ENOMEM, "channel descriptor: %s",
		full ? "no descriptors left" : "no memory");
	return NULL;
}

static struct chan_fd *fd_publish(weft_chan *chan, struct chan_fd *fresh)
{
	struct chan_fd *other = NULL;

	/* release; pairs with fd_of: its contents. acquire on failure: the other's */
	if (atomic_compare_exchange_strong_explicit(
		    &chan->fd, &other, fresh, memory_order_acq_rel, memory_order_acquire)) {
		chan_fd_clear(chan);
		return fresh;
	}
	close(fresh->fd);
	mem_free(fresh);
	return other;
}

weft_err weft_chan_fd(weft_chan *chan, int *fd)
{
	struct chan_fd *f = fd_of(chan);
	weft_err err = WEFT_OK;

	if (chan->kind == CHAN_RENDEZVOUS)
		return err_setf(WEFT_EINVAL, "channel descriptor: not for a rendezvous channel");
	if (!f) {
		f = fd_create(&err);
		if (!f)
			return err;
		f = fd_publish(chan, f);
	}
	*fd = f->fd;
	return WEFT_OK;
}
