/* SPDX-License-Identifier: MIT */
/*
 * Two conns in memory. Each direction is a ring with one reader and one writer, who copy
 * outside the lock: the reader owns the bytes that are there, the writer the room that
 * is not taken, and only how many there are is shared.
 */
#define _GNU_SOURCE
#include "base/err.h"
#include "base/mem.h"
#include "base/refcount.h"
#include "net/conn.h"
#include "rt/lock.h"

#include <errno.h>
#include <string.h>

#define PAIR_SIZE_DEFAULT ((size_t)64 << 10)
#define PAIR_SIZE_MAX ((size_t)1 << 30)

struct ring {
	struct rt_lock lock; /* over all but head, tail and the bytes */
	size_t len;	     /* bytes there */
	bool write_ended;    /* no byte follows */
	bool read_ended;     /* nobody will take a byte */
	bool reset;
	weft_parker *reader, *writer; /* parked, or about to be */
	size_t head;		      /* reader only */
	size_t tail;		      /* writer only */
	uint8_t *bytes;
};

struct pair {
	struct refcount refs; /* one an end */
	size_t size;	      /* of a ring */
	struct ring rings[2]; /* rings[i] is written by end i */
	uint8_t bytes[];
};

struct pair_conn {
	weft_conn base;
	struct pair *pair;
	unsigned end; /* 0 or 1 */
};

static struct pair_conn *self(weft_conn *conn)
{
	return (struct pair_conn *)conn;
}

/* Copies between the ring at *at and the iovecs; returns the bytes, at most max. */
static size_t ring_copy(const struct pair *pair, struct ring *ring, size_t *at,
	const struct iovec *iov, unsigned iov_count, size_t max, bool out)
{
	size_t done = 0;

	for (unsigned i = 0; i < iov_count && done < max; i++) {
		size_t used = 0;

		while (used < iov[i].iov_len && done < max) {
			size_t n = iov[i].iov_len - used;
			uint8_t *there = (uint8_t *)iov[i].iov_base + used;

			n = n < max - done ? n : max - done;
			n = n < pair->size - *at ? n : pair->size - *at;
			memcpy(out ? there : ring->bytes + *at, out ? ring->bytes + *at : there, n);
			*at = *at + n == pair->size ? 0 : *at + n;
			used += n;
			done += n;
		}
	}
	return done;
}

/* Lock held; released here. who: &ring->reader or &ring->writer. */
static void unlock_and_wake(struct ring *ring, weft_parker **who)
{
	weft_parker *parker = *who;

	*who = NULL;
	rt_lock_release(&ring->lock);
	if (parker)
		weft_unpark(parker);
}

/* Lock held, released while parked. */
static weft_err wait_locked(
	struct ring *ring, weft_parker **who, weft_deadline until, const char *why)
{
	weft_err err;

	*who = weft_parker_self();
	rt_lock_release(&ring->lock);
	err = rt_park(until, why);
	rt_lock_acquire(&ring->lock);
	*who = NULL;
	return err;
}

static weft_err pair_readv(weft_conn *conn, const struct iovec *iov, unsigned iov_count,
	size_t *got, weft_deadline until)
{
	struct pair *pair = self(conn)->pair;
	struct ring *ring = &pair->rings[!self(conn)->end];
	weft_err err = WEFT_OK;
	size_t len, n;

	rt_lock_acquire(&ring->lock);
	while (!err && !ring->len && !ring->write_ended && !ring->read_ended && !ring->reset)
		err = wait_locked(ring, &ring->reader, until, "read");
	len = ring->len;
	if (ring->read_ended)
		err = err_set(WEFT_ECLOSED);
	else if (ring->reset)
		err = conn_errno(ECONNRESET, "read", conn->peer_name);
	else if (len)
		err = WEFT_OK;
	else if (ring->write_ended)
		err = err_set(WEFT_ECLOSED);
	rt_lock_release(&ring->lock);
	if (err)
		return err;
	n = ring_copy(pair, ring, &ring->head, iov, iov_count, len, true);
	rt_lock_acquire(&ring->lock);
	ring->len -= n;
	unlock_and_wake(ring, &ring->writer);
	if (until > WEFT_NOW)
		rt_take_turns(RT_COST_COPY);
	*got = n;
	return WEFT_OK;
}

static weft_err pair_await(weft_conn *conn, weft_deadline until)
{
	struct ring *ring = &self(conn)->pair->rings[!self(conn)->end];
	weft_err err = WEFT_OK;

	rt_lock_acquire(&ring->lock);
	while (!err && !ring->len && !ring->write_ended && !ring->read_ended && !ring->reset)
		err = wait_locked(ring, &ring->reader, until, "read");
	rt_lock_release(&ring->lock);
	return err;
}

static weft_err pair_writev(weft_conn *conn, const struct iovec *iov, unsigned iov_count,
	size_t *written, weft_deadline until)
{
	struct pair *pair = self(conn)->pair;
	struct ring *ring = &pair->rings[self(conn)->end];
	weft_err err = WEFT_OK;
	size_t room, n;

	rt_lock_acquire(&ring->lock);
	while (!err && ring->len == pair->size && !ring->write_ended && !ring->read_ended &&
		!ring->reset)
		err = wait_locked(ring, &ring->writer, until, "write");
	room = pair->size - ring->len;
	if (ring->write_ended)
		err = err_set(WEFT_ECLOSED);
	else if (ring->read_ended || ring->reset)
		err = conn_errno(ring->reset ? ECONNRESET : EPIPE, "write", conn->peer_name);
	else if (room)
		err = WEFT_OK;
	rt_lock_release(&ring->lock);
	if (err)
		return err;
	n = ring_copy(pair, ring, &ring->tail, iov, iov_count, room, false);
	rt_lock_acquire(&ring->lock);
	ring->len += n;
	unlock_and_wake(ring, &ring->reader);
	if (until > WEFT_NOW)
		rt_take_turns(RT_COST_COPY);
	*written = n;
	return WEFT_OK;
}

/* Wakes both sides to look at what changed. */
static void ring_end(struct ring *ring, bool read, bool reset)
{
	weft_parker *reader, *writer;

	rt_lock_acquire(&ring->lock);
	if (read)
		ring->read_ended = true;
	else
		ring->write_ended = true;
	ring->reset |= reset;
	reader = ring->reader;
	writer = ring->writer;
	ring->reader = ring->writer = NULL;
	rt_lock_release(&ring->lock);
	if (reader)
		weft_unpark(reader);
	if (writer)
		weft_unpark(writer);
}

static weft_err pair_shutdown(weft_conn *conn)
{
	struct ring *ring = &self(conn)->pair->rings[self(conn)->end];

	ring_end(ring, false, false);
	return WEFT_OK;
}

static void pair_interrupt(weft_conn *conn, bool reset)
{
	struct pair *pair = self(conn)->pair;
	unsigned end = self(conn)->end;

	ring_end(&pair->rings[end], false, reset);
	ring_end(&pair->rings[!end], true, reset);
}

static void pair_unref(struct pair *pair)
{
	if (refcount_drop(&pair->refs))
		mem_free(pair);
}

static void pair_dispose(weft_conn *conn, bool reset)
{
	/* reset may have been added after the interrupt. */
	if (reset)
		pair_interrupt(conn, true);
}

static void pair_destroy(weft_conn *conn)
{
	pair_unref(self(conn)->pair);
}

static const struct conn_type pair_type = {
	.readv = pair_readv,
	.await = pair_await,
	.writev = pair_writev,
	.shutdown = pair_shutdown,
	.interrupt = pair_interrupt,
	.dispose = pair_dispose,
	.destroy = pair_destroy,
};

static struct pair *pair_make(size_t size)
{
	struct pair *pair = mem_alloc(sizeof(*pair) + 2 * size);

	if (!pair)
		return NULL;
	memset(pair, 0, sizeof(*pair));
	refcount_init(&pair->refs, 2);
	pair->size = size;
	pair->rings[0].bytes = pair->bytes;
	pair->rings[1].bytes = pair->bytes + size;
	return pair;
}

weft_err weft_conn_pair(weft_conn *ends[2], size_t buffer_size)
{
	static const char *const names[] = { "pair:0", "pair:1" };
	size_t size = buffer_size ? buffer_size : PAIR_SIZE_DEFAULT;
	weft_conn *conns[2] = { NULL, NULL };
	struct pair *pair;

	if (size > PAIR_SIZE_MAX)
		return err_setf(
			WEFT_EINVAL, "pair: buffer_size %zu is above %zu", size, PAIR_SIZE_MAX);
	pair = pair_make(size);
	for (unsigned i = 0; pair && i < 2; i++) {
		conns[i] = conn_alloc(&pair_type, sizeof(struct pair_conn), names[i], names[!i]);
		if (!conns[i])
			break;
		self(conns[i])->pair = pair;
		self(conns[i])->end = i;
	}
	if (!conns[1]) {
		conn_discard(conns[0]);
		mem_free(pair);
		return err_sys(ENOMEM, "pair");
	}
	ends[0] = conns[0];
	ends[1] = conns[1];
	return WEFT_OK;
}
