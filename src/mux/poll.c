/* SPDX-License-Identifier: MIT */
/*
 * weft_mux_poller: events of sessions and streams behind one descriptor, an eventfd.
 *
 * An entry with events stands in the poller's ready list, once. The descriptor is written to by
 * whoever puts one there while the poller is armed, which it is from a take that found nothing
 * on; that take has read what there was to read. So:
 *
 *	while the list is not empty the descriptor is readable, or its write is on the way.
 *
 * A write that comes late, after the read that was meant for it, makes it readable with nothing to
 * take: signals says how much is still to be read, so that the next such take gets it.
 *
 * What is to be an event: the entry is armed (the feed has it, or its word says so) by a call that
 * would have to wait, which then looks at the state again; who changes the state looks for the entry
 * after. One of the two sees the other, as with a parker.
 *
 * Who fires holds a reference to the stream, or the session, and these have the entry for good: it
 * outlives them all. The poller is held by the entries in it.
 */
#include "base/err.h"
#include "base/mem.h"
#include "mux/session.h"
#include "sync/chan.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct weft_mux_poller {
	struct refcount refs; /* the handle, entries, a write on the way */
	struct gate gate;     /* of fd: visits of those who write to it */
	int fd;
	struct rt_lock lock; /* of all that follows */
	struct list ready;   /* poll_entry, oldest first */
	uint64_t signals;    /* written, or about to be, and not read */
	bool is_armed;	     /* the next event writes */
	bool is_closed;
};

static void unref(weft_mux_poller *p)
{
	if (refcount_drop(&p->refs))
		mem_free(p);
}

weft_err weft_mux_poller_create(weft_mux_poller **out)
{
	weft_mux_poller *p = mem_calloc(1, sizeof(*p));
	bool is_full;

	if (!p)
		return err_setf(WEFT_ENOMEM, "mux poller: no memory");
	p->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->fd < 0) {
		is_full = errno == EMFILE || errno == ENFILE;
		mem_free(p);
		return err_setf(is_full ? WEFT_ECAPACITY : WEFT_ENOMEM, "mux poller: %s",
			is_full ? "no descriptors left" : "no memory");
	}
	refcount_init(&p->refs, 1);
	list_init(&p->ready);
	p->is_armed = true;
	*out = p;
	return WEFT_OK;
}

/* Out of the gate, which the last one closes the descriptor behind. */
static void leave(weft_mux_poller *p)
{
	if (gate_leave(&p->gate, GATE_VISIT) != GATE_LAST)
		return;
	close(p->fd);
	gate_finish(&p->gate);
}

void weft_mux_poller_free(weft_mux_poller *p)
{
	struct list *link;

	if (!p)
		return;
	(void)gate_close(&p->gate, false);
	rt_lock_acquire(&p->lock);
	p->is_closed = true;
	while ((link = list_pop_front(&p->ready)))
		container_of(link, struct poll_entry, link)->events = 0;
	rt_lock_release(&p->lock);
	leave(p);
	gate_wait_gone(&p->gate);
	unref(p);
}

int weft_mux_poller_fd(const weft_mux_poller *p)
{
	return p->fd;
}

/* With the lock: what was written, as far as it has come. */
static void clear(weft_mux_poller *p)
{
	uint64_t count;

	if (p->signals > 0 && read(p->fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
		p->signals -= count;
}

size_t weft_mux_poller_take(weft_mux_poller *p, weft_mux_event *events, size_t max)
{
	size_t len = 0;

	if (max == 0)
		return 0;
	rt_lock_acquire(&p->lock);
	while (len < max && !list_is_empty(&p->ready)) {
		struct poll_entry *e =
			container_of(list_pop_front(&p->ready), struct poll_entry, link);

		events[len++] = (weft_mux_event){ e->user, e->events };
		e->events = 0;
	}
	if (len == 0) {
		clear(p);
		p->is_armed = true;
	}
	rt_lock_release(&p->lock);
	return len;
}

/* ---- events ---- */

/* True: the descriptor is to be written to. */
static bool put(weft_mux_poller *p, struct poll_entry *e, unsigned events)
{
	bool is_first = false;

	rt_lock_acquire(&p->lock);
	if (!p->is_closed) {
		if (e->events == 0)
			list_push_back(&p->ready, &e->link);
		e->events |= events;
		is_first = p->is_armed;
		p->is_armed = false;
		p->signals += is_first;
	}
	rt_lock_release(&p->lock);
	return is_first;
}

/* Without a lock: it may be that it wakes somebody. */
static void signal_fd(weft_mux_poller *p)
{
	uint64_t one = 1;

	if (!gate_visit(&p->gate))
		return;
	/* can't fail: there are no 2^64 writes without a read */
	(void)!write(p->fd, &one, sizeof(one));
	leave(p);
}

void poll_fire(struct poll_entry *e, unsigned events)
{
	weft_mux_poller *p;
	bool is_first;

	rt_lock_acquire(&e->lock);
	p = e->poller;
	if (e->once & WEFT_MUX_ENDED)
		events = 0;
	events &= ~e->once;
	is_first = p && events && put(p, e, events);
	if (p)
		e->once |= events & (WEFT_MUX_DRAINED | WEFT_MUX_ENDED);
	if (is_first)
		refcount_hold(&p->refs);
	rt_lock_release(&e->lock);
	if (!is_first)
		return;
	signal_fd(p);
	unref(p);
}

void poll_look_stream(struct weft_stream *s, struct poll_entry *e)
{
	bell_ring(&e->writer);
	if ((word_get(&s->state) & STREAM_FAILED) || (gate_word(&s->gate) & GATE_CLOSED))
		poll_fire(e, WEFT_MUX_ENDED | WEFT_MUX_READABLE | WEFT_MUX_WRITABLE);
	else if (word_get(&e->armed) && stream_is_writable(s) && word_swap(&e->armed, 0))
		poll_fire(e, WEFT_MUX_WRITABLE);
}

bool poll_arm(weft_mux *m)
{
	struct poll_entry *e = mux_poll(m);

	if (!e)
		return true;
	(void)word_swap(&e->armed, 1);
	if (!chan_is_ready(m->backlog, false))
		return true;
	(void)word_swap(&e->armed, 0);
	return false;
}

void poll_look(weft_mux *m)
{
	struct poll_entry *e = mux_poll(m);

	if (weft_likely(!e))
		return;
	if (word_get(&e->armed) && chan_is_ready(m->backlog, false) && word_swap(&e->armed, 0))
		poll_fire(e, WEFT_MUX_ACCEPTABLE);
	if (weft_chan_is_closed(m->drained))
		poll_fire(e, WEFT_MUX_DRAINED);
	if (weft_chan_is_closed(m->over))
		poll_fire(e, WEFT_MUX_ENDED);
}

/* ---- what is in it ---- */

static struct poll_entry *entry_create(void)
{
	struct poll_entry *e = mem_calloc(1, sizeof(*e));

	if (e)
		list_init(&e->link);
	return e;
}

/* With the entry's lock: out of its poller. */
static void detach(struct poll_entry *e)
{
	weft_mux_poller *p = e->poller;

	if (!p)
		return;
	rt_lock_acquire(&p->lock);
	list_remove(&e->link);
	e->events = 0;
	rt_lock_release(&p->lock);
	e->poller = NULL;
	unref(p);
}

static bool is_closed(weft_mux_poller *p)
{
	bool is_it;

	rt_lock_acquire(&p->lock);
	is_it = p->is_closed;
	rt_lock_release(&p->lock);
	return is_it;
}

/* False: it is in one already. */
static bool attach(struct poll_entry *e, weft_mux_poller *p, void *user)
{
	bool is_free;

	rt_lock_acquire(&e->lock);
	is_free = !e->poller || is_closed(e->poller);
	if (is_free) {
		detach(e);
		refcount_hold(&p->refs);
		e->poller = p;
		e->user = user;
		e->once = 0;
		(void)word_swap(&e->armed, 0);
	}
	rt_lock_release(&e->lock);
	return is_free;
}

void poll_remove(struct poll_entry *e)
{
	rt_lock_acquire(&e->lock);
	detach(e);
	rt_lock_release(&e->lock);
}

void poll_free(struct poll_entry *e)
{
	if (e)
		poll_remove(e);
	mem_free(e);
}

static void remove_from(weft_mux_poller *p, struct poll_entry *e)
{
	if (!e)
		return;
	rt_lock_acquire(&e->lock);
	if (e->poller == p)
		detach(e);
	rt_lock_release(&e->lock);
}

void weft_mux_poller_remove(weft_mux_poller *p, weft_mux *m)
{
	remove_from(p, mux_poll(m));
}

void weft_mux_poller_remove_stream(weft_mux_poller *p, weft_stream *s)
{
	remove_from(p, stream_poll(s));
}

weft_err weft_mux_poller_add(weft_mux_poller *p, weft_mux *m, void *user)
{
	struct poll_entry *e = mux_poll(m);

	if (!e) {
		e = entry_create();
		if (!e)
			return err_setf(WEFT_ENOMEM, "mux poller: no memory");
		/* another thread's, meanwhile */
		if (!slot_offer(&m->poll, e)) {
			mem_free(e);
			e = mux_poll(m);
		}
	}
	if (!attach(e, p, user))
		return err_setf(
			WEFT_EDUPLICATE, "mux poller: the session with %s is in one", m->peer_name);
	(void)word_swap(&e->armed, 1);
	poll_look(m);
	return WEFT_OK;
}

/*
 * By the stream's reader: no other adds it meanwhile. Nobody may write, who would look for his
 * bell elsewhere.
 */
static weft_err install(struct weft_stream *s, struct poll_entry *e)
{
	weft_err err = stream_enter(s, GATE_WRITE);
	uint32_t gate = gate_word(&s->gate);

	if (!err) {
		bell_set(&s->writer, poll_waiter(e));
		stream_leave(s, GATE_WRITE);
		return WEFT_OK;
	}
	if (err != WEFT_ECLOSED || (gate & GATE_CLOSED))
		return err;
	/* shut down; the last writer may still be inside, and there is no other */
	if (gate & GATE_WRITE)
		return err_setf(WEFT_EINVAL, "stream %u: another call writes to it", s->id);
	bell_set(&s->writer, poll_waiter(e));
	return WEFT_OK;
}

/* Its reader's first wait. */
static void look_first(struct weft_stream *s, struct poll_entry *e)
{
	/* the state after: who changes it looks for the entry after that */
	if (s->unread || !feed_wait(&s->feed, poll_waiter(e)) ||
		(word_get(&s->state) & STREAM_RX_FIN))
		poll_fire(e, WEFT_MUX_READABLE);
	poll_look_stream(s, e);
}

weft_err weft_mux_poller_add_stream(weft_mux_poller *p, weft_stream *s, void *user)
{
	weft_err err = stream_enter(s, GATE_READ);
	struct poll_entry *e = stream_poll(s);

	if (err)
		return err;
	if (!e) {
		e = entry_create();
		err = e ? install(s, e) : err_setf(WEFT_ENOMEM, "mux poller: no memory");
		if (err)
			mem_free(e);
	}
	if (!err && !attach(e, p, user))
		err = err_setf(WEFT_EDUPLICATE, "mux poller: stream %u is in one", s->id);
	if (!err)
		look_first(s, e);
	stream_leave(s, GATE_READ);
	return err;
}
