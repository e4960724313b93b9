/* SPDX-License-Identifier: MIT */
/* A stream's life, and its reading half. */
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "mux/session.h"
#include "net/conn.h"

#include <string.h>

#define NS_PER_MS INT64_C(1000000)

/* ---- life ---- */

struct weft_stream *stream_create(weft_mux *mux, uint32_t id)
{
	struct weft_stream *s = mem_calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	refcount_init(&s->refs, 1);
	refcount_hold(&mux->refs);
	s->mux = mux;
	s->id = id;
	s->limit = WEFT_MUX_INITIAL_WINDOW;
	word_put(&s->window, WEFT_MUX_INITIAL_WINDOW);
	word_put(&s->state, WEFT_STREAM_WEIGHT_DEFAULT << STREAM_WEIGHT_SHIFT);
	word_put(&s->idle_ms, (uint32_t)(mux->options.idle_timeout_ns / NS_PER_MS));
	if (mux->options.idle_timeout_ns > 0)
		s->idle_since = clock_idle_ms(weft_now());
	word64_set(&s->credit, WEFT_MUX_INITIAL_WINDOW);
	return s;
}

void stream_unref(struct weft_stream *s)
{
	weft_mux *mux = s->mux;

	if (!refcount_drop(&s->refs))
		return;
	stream_drain(s);
	mem_free(s->framing);
	mem_free(slot_take(&s->out));
	poll_free(stream_poll(s));
	mem_free(s);
	mux_unref(mux);
}

static void drop_nodes(struct weft_stream *s, struct push_node *node)
{
	while (node) {
		struct rx_node *n = container_of(node, struct rx_node, node);

		node = node->next;
		account_drop(s->mux->account, n);
	}
}

void stream_drain_feed(struct weft_stream *s)
{
	drop_nodes(s, feed_drain(&s->feed));
}

void stream_drain(struct weft_stream *s)
{
	struct push_node *unread = s->unread;

	s->unread = NULL;
	drop_nodes(s, unread);
	stream_drain_feed(s);
}

void stream_kick(struct weft_stream *s)
{
	void *waiter = feed_kick(&s->feed);

	if (waiter)
		poll_wake(waiter);
	stream_ring(s);
}

void stream_tell_worker(struct weft_stream *s)
{
	weft_mux *m = s->mux;

	if (mux_is_here(m)) {
		mux_settle(m, s);
		return;
	}
	if (word_set_bits(&s->state, STREAM_INBOXED) & STREAM_INBOXED)
		return;
	stream_ref(s);
	if (pushlist_push(&m->inbox, &s->inbox) == PUSH_REFUSED) {
		/* dead; whoever said so to its streams did not know of this one */
		(void)word_set_bits(&s->state, STREAM_DEAD);
		stream_kick(s);
		stream_unref(s);
	}
}

weft_err stream_failure(const struct weft_stream *s, uint32_t state)
{
	if (state & STREAM_BAD)
		return err_setf(WEFT_EPROTO, "stream %u of %s: the peer broke its flow control",
			s->id, s->mux->peer_name);
	if (state & STREAM_NOMEM)
		return err_setf(WEFT_ENOMEM, "stream %u of %s: no memory for what came", s->id,
			s->mux->peer_name);
	if ((state & STREAM_IDLE) && !(state & STREAM_DEAD))
		return err_setf(WEFT_ERESET, "stream %u of %s: idle for %u ms", s->id,
			s->mux->peer_name, word_peek(&s->idle_ms));
	return mux_death(s->mux);
}

/* ---- ends ---- */

/* No write is under way, and none follows. */
static void send_fin(struct weft_stream *s)
{
	if (word_set_bits(&s->state, STREAM_TX_FIN) & STREAM_TX_FIN)
		return;
	tx_want(s, WANT_FIN);
	if (word_get(&s->state) & STREAM_RX_FIN)
		stream_tell_worker(s);
}

/* The last one out of a closed stream. */
static void teardown(struct weft_stream *s)
{
	weft_mux *m = s->mux;

	(void)word_set_bits(&s->state, STREAM_CLOSED);
	send_fin(s);
	stream_drain(s);
	window_forget(s);
	mux_leave(m);
	stream_tell_worker(s);
	gate_finish(&s->gate);
}

void stream_leave(struct weft_stream *s, uint32_t what)
{
	enum gate_leave left = gate_leave(&s->gate, what);

	if (weft_unlikely(left == GATE_DO_SHUTDOWN)) {
		send_fin(s);
		left = gate_leave(&s->gate, what);
	}
	if (weft_unlikely(left == GATE_LAST))
		teardown(s);
}

weft_err weft_stream_shutdown(weft_stream *s)
{
	uint32_t state = word_get(&s->state);

	if ((state & STREAM_DEAD) && !(state & STREAM_TX_FIN) &&
		!(gate_word(&s->gate) & GATE_CLOSED) && s->mux->death != WEFT_ECLOSED)
		return stream_failure(s, state);
	if (gate_shutdown(&s->gate) == GATE_SHUTDOWN_MINE) {
		send_fin(s);
		stream_leave(s, GATE_WRITE);
	}
	return WEFT_OK;
}

void weft_stream_close(weft_stream *s)
{
	if (!gate_close(&s->gate, false))
		return;
	stream_kick(s);
	stream_leave(s, GATE_VISIT);
}

void weft_stream_free(weft_stream *s)
{
	if (!s)
		return;
	if (stream_poll(s))
		poll_remove(stream_poll(s));
	weft_stream_close(s);
	gate_wait_gone(&s->gate);
	stream_unref(s);
}

uint32_t weft_stream_id(const weft_stream *s)
{
	return s->id;
}

weft_err weft_stream_idle_timeout(weft_stream *s, int64_t ns)
{
	if (!mux_is_idle_timeout(ns))
		return err_setf(WEFT_EINVAL, "stream %u: an idle time-out of %lld ns", s->id,
			(long long)ns);
	word_put(&s->idle_ms, (uint32_t)(ns / NS_PER_MS));
	if (ns > 0)
		word_put(&s->mux->idle_used, 1);
	return WEFT_OK;
}

weft_err weft_stream_weight(weft_stream *s, unsigned weight)
{
	uint32_t state;

	if (weight < 1 || weight > WEFT_STREAM_WEIGHT_MAX)
		return err_setf(WEFT_EINVAL, "stream %u: weight %u: allowed is 1 to %d", s->id,
			weight, WEFT_STREAM_WEIGHT_MAX);
	do
		state = word_get(&s->state);
	while (!word_change(
		&s->state, state, (state & STREAM_BITS) | (uint32_t)weight << STREAM_WEIGHT_SHIFT));
	return WEFT_OK;
}

/* ---- reading ---- */

/* A poller's reader: what comes from now on is an event. */
static weft_err arm(struct weft_stream *s)
{
	struct poll_entry *e = stream_poll(s);

	if (weft_unlikely(e) && !feed_wait(&s->feed, poll_waiter(e)))
		return WEFT_OK;
	return err_set(WEFT_ETIMEDOUT);
}

/* r: memory to offer; NULL: none. */
static weft_err wait_fed(
	struct weft_stream *s, uint32_t state, struct rx_request *r, weft_deadline until)
{
	weft_parker *parker;
	weft_err err = WEFT_OK;

	if (until == WEFT_NOW)
		return arm(s);
	parker = rt_parker_self();
	if (!parker)
		return err_set(WEFT_ENOMEM);
	if (!feed_wait(&s->feed, parker))
		return WEFT_OK;
	/* who changes them kicks after; seen here, or the kick finds us */
	if (word_get(&s->state) == state && !(gate_word(&s->gate) & GATE_CLOSED)) {
		if (r) {
			r->parker = parker;
			direct_offer(s->mux, r);
		}
		err = rt_park(until, "stream read");
		/* before a look at the feed: what came there comes after */
		if (r)
			direct_withdraw(s->mux, r);
	}
	feed_unwait(&s->feed, parker);
	return err;
}

static bool is_worth_offering(const struct weft_stream *s, const struct rx_request *r)
{
	return r->room >= RX_DIRECT_MIN && !word_peek(&s->mux->takes_turns) &&
		conn_can_await(s->mux->conn);
}

/* Until something is unread; or, where r is not NULL, was received into its memory. */
static weft_err await_unread(struct weft_stream *s, struct rx_request *r, weft_deadline until)
{
	weft_err waited = WEFT_OK;

	while (!s->unread) {
		/* the state first: what came before its end is in the feed by then */
		uint32_t state = word_get(&s->state);

		if (weft_unlikely(gate_word(&s->gate) & GATE_CLOSED))
			return err_set(WEFT_ECLOSED);
		/* a poller's reader is in the feed by now: not to be taken out of it */
		if (!waited || !feed_is_empty(&s->feed))
			s->unread = feed_take(&s->feed);
		if (s->unread)
			break;
		if (state & STREAM_RX_FIN)
			return err_set(WEFT_ECLOSED);
		if (state & STREAM_FAILED)
			return stream_failure(s, state);
		if (waited && (waited != WEFT_ETIMEDOUT || until == WEFT_NOW))
			return waited;
		if (waited)
			until = WEFT_NOW;
		waited = wait_fed(s, state, r, until);
		if (r && r->got > 0)
			break;
	}
	return WEFT_OK;
}

weft_err stream_enter(struct weft_stream *s, uint32_t side)
{
	switch (gate_enter(&s->gate, side)) {
	case GATE_ENTERED:
		return WEFT_OK;
	case GATE_REFUSED_BUSY:
		return err_setf(WEFT_EINVAL, "stream %u: another call %s", s->id,
			side == GATE_READ ? "reads it" : "writes to it");
	case GATE_REFUSED_SHUT:
		break;
	}
	return err_set(WEFT_ECLOSED);
}

/* From what is unread, and came meanwhile, into one piece of memory. */
static size_t copy_out(struct weft_stream *s, uint8_t *data, size_t size)
{
	size_t done = 0;

	while (done < size) {
		struct rx_node *n;
		size_t len;

		if (!s->unread)
			s->unread = feed_take(&s->feed);
		if (!s->unread)
			break;
		n = container_of(s->unread, struct rx_node, node);
		len = n->buf.len < size - done ? n->buf.len : size - done;
		memcpy(data + done, n->buf.data, len);
		done += len;
		weft_buf_advance(&n->buf, len);
		if (n->buf.len > 0)
			break;
		s->unread = s->unread->next;
		account_drop(s->mux->account, n);
	}
	return done;
}

/* The same into several; had bytes are in the first one already. Returns all. */
static size_t copy_out_all(
	struct weft_stream *s, const struct iovec *iov, unsigned iov_count, size_t had)
{
	size_t done = had;

	for (unsigned i = 0; i < iov_count; i++) {
		size_t room = iov[i].iov_len - had;
		size_t n = copy_out(s, (uint8_t *)iov[i].iov_base + had, room);

		done += n;
		had = 0;
		if (n < room)
			break;
	}
	return done;
}

weft_err weft_stream_readv(weft_stream *s, const struct iovec *iov, unsigned iov_count, size_t *got,
	weft_deadline until)
{
	struct rx_request r = { .stream = s };
	size_t done, wanted = 0;
	weft_err err = stream_enter(s, GATE_READ);

	if (err)
		return err;
	for (unsigned i = 0; i < iov_count; i++)
		wanted += iov[i].iov_len;
	if (wanted > 0) {
		r.data = iov->iov_base;
		r.room = iov->iov_len;
		err = await_unread(s, is_worth_offering(s, &r) ? &r : NULL, until);
	}
	if (!err) {
		done = copy_out_all(s, iov, iov_count, r.got);
		*got = done;
		if (done > 0)
			window_took(s, done);
	}
	stream_leave(s, GATE_READ);
	if (!err && until > WEFT_NOW)
		rt_take_turns(RT_COST_COPY);
	return err;
}

weft_err weft_stream_read(weft_stream *s, void *data, size_t size, size_t *got, weft_deadline until)
{
	struct iovec iov = { data, size };

	return weft_stream_readv(s, &iov, 1, got, until);
}

weft_err weft_stream_read_buf(weft_stream *s, weft_buf *out, size_t size, weft_deadline until)
{
	weft_err err = stream_enter(s, GATE_READ);

	if (err)
		return err;
	err = await_unread(s, NULL, until);
	if (!err) {
		struct rx_node *n = container_of(s->unread, struct rx_node, node);

		if (size > 0 && size < n->buf.len) {
			*out = weft_buf_slice(&n->buf, 0, size);
			weft_buf_advance(&n->buf, size);
		} else {
			s->unread = s->unread->next;
			*out = account_hand_out(s->mux->account, n);
		}
		(void)counter_add(&s->mux->counters.uncopied_in, out->len);
		window_took(s, out->len);
	}
	stream_leave(s, GATE_READ);
	if (!err && until > WEFT_NOW)
		rt_take_turns(RT_COST_COPY);
	return err;
}
