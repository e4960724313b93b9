/* SPDX-License-Identifier: MIT */
/* A stream's life, and its reading half. */
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "mux/session.h"

#include <string.h>

#define WINDOW_MIN 4096 /* a smaller one is not worth its UPDs */

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
	weft_parker *parker = feed_kick(&s->feed);

	if (parker)
		weft_unpark(parker);
	bell_ring(&s->writer);
}

void stream_tell_worker(struct weft_stream *s)
{
	weft_mux *m = s->mux;

	if (mux_is_here(m)) {
		mux_settle(m, s);
		return;
	}
	if (word_swap(&s->inboxed, 1))
		return;
	stream_ref(s);
	if (pushlist_push(&m->inbox, &s->inbox) == PUSH_REFUSED)
		stream_unref(s);
}

weft_err stream_failure(const struct weft_stream *s, uint32_t state)
{
	if (state & STREAM_BAD)
		return err_setf(WEFT_EPROTO, "stream %u of %s: the peer broke its flow control",
			s->id, s->mux->peer_name);
	if (state & STREAM_NOMEM)
		return err_setf(WEFT_ENOMEM, "stream %u of %s: no memory for what came", s->id,
			s->mux->peer_name);
	return mux_death(s->mux);
}

/* ---- ends ---- */

/* No write is under way, and none follows. */
static void send_fin(struct weft_stream *s)
{
	if (word_set_bits(&s->state, STREAM_TX_FIN) & STREAM_TX_FIN)
		return;
	tx_queue(s->mux, &s->tx, WANT_FIN);
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
	if (s->is_told)
		(void)counter_sub(&m->windows, 1);
	(void)counter_sub(&m->alive, 1);
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
	weft_stream_close(s);
	gate_wait_gone(&s->gate);
	stream_unref(s);
}

uint32_t weft_stream_id(const weft_stream *s)
{
	return s->id;
}

/* ---- reading ---- */

static weft_err wait_fed(struct weft_stream *s, uint32_t state, weft_deadline until)
{
	weft_parker *parker;
	weft_err err = WEFT_OK;

	if (until == WEFT_NOW)
		return err_set(WEFT_ETIMEDOUT);
	parker = rt_parker_self();
	if (!parker)
		return err_set(WEFT_ENOMEM);
	if (!feed_wait(&s->feed, parker))
		return WEFT_OK;
	/* who changes them kicks after; seen here, or the kick finds us */
	if (word_get(&s->state) == state && !(gate_word(&s->gate) & GATE_CLOSED))
		err = rt_park(until, "stream read");
	feed_unwait(&s->feed, parker);
	return err;
}

/* Until something is unread. */
static weft_err await_unread(struct weft_stream *s, weft_deadline until)
{
	weft_err waited = WEFT_OK;

	while (!s->unread) {
		/* the state first: what came before its end is in the feed by then */
		uint32_t state = word_get(&s->state);

		if (weft_unlikely(gate_word(&s->gate) & GATE_CLOSED))
			return err_set(WEFT_ECLOSED);
		s->unread = feed_take(&s->feed);
		if (s->unread)
			break;
		if (state & STREAM_RX_FIN)
			return err_set(WEFT_ECLOSED);
		if (state & STREAM_FAILED)
			return stream_failure(s, state);
		if (waited)
			return waited;
		waited = wait_fed(s, state, until);
	}
	return WEFT_OK;
}

/* What a window may be so that all windows together stay within the bucket. */
static uint32_t fair_window(const struct weft_stream *s)
{
	const weft_mux_options *o = &s->mux->options;
	uint64_t streams = counter_get(&s->mux->windows);
	size_t window = o->max_stream_buffer;
	size_t share = o->max_receive_buffer / (streams ? streams : 1);
	size_t tuned = share < WEFT_MUX_INITIAL_WINDOW ? share : WEFT_MUX_INITIAL_WINDOW;
	bool is_read_fast = !s->unread && feed_is_empty(&s->feed);

	if (is_read_fast && !o->autotune_disabled && window < tuned)
		window = tuned;
	if (share < WINDOW_MIN)
		share = WINDOW_MIN;
	return (uint32_t)(share < window ? share : window);
}

/* The reader took so many bytes. Tells the peer at first, then by half windows. */
static void took(struct weft_stream *s, size_t bytes)
{
	weft_mux *m = s->mux;
	bool is_first = !s->is_told;

	if (m->options.version < 2)
		return;
	s->consumed += (uint32_t)bytes;
	word_put(&s->consumed_now, s->consumed);
	if (word_peek(&s->state) & STREAM_RX_FIN)
		return;
	if (!is_first && s->consumed - s->told < word_peek(&s->window) / 2)
		return;
	if (is_first)
		(void)counter_add(&m->windows, 1);
	s->is_told = true;
	s->told = s->consumed;
	word_put(&s->window, fair_window(s));
	tx_queue(m, &s->tx, WANT_UPD);
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

weft_err weft_stream_readv(weft_stream *s, const struct iovec *iov, unsigned iov_count, size_t *got,
	weft_deadline until)
{
	size_t done = 0, wanted = 0;
	weft_err err = stream_enter(s, GATE_READ);

	if (err)
		return err;
	for (unsigned i = 0; i < iov_count; i++)
		wanted += iov[i].iov_len;
	if (wanted > 0)
		err = await_unread(s, until);
	if (!err) {
		for (unsigned i = 0; i < iov_count; i++) {
			size_t n = copy_out(s, iov[i].iov_base, iov[i].iov_len);

			done += n;
			if (n < iov[i].iov_len)
				break;
		}
		*got = done;
		if (done > 0)
			took(s, done);
	}
	stream_leave(s, GATE_READ);
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
	err = await_unread(s, until);
	if (!err) {
		struct rx_node *n = container_of(s->unread, struct rx_node, node);

		if (size > 0 && size < n->buf.len) {
			*out = weft_buf_slice(&n->buf, 0, size);
			weft_buf_advance(&n->buf, size);
		} else {
			s->unread = s->unread->next;
			*out = account_hand_out(s->mux->account, n);
		}
		took(s, out->len);
	}
	stream_leave(s, GATE_READ);
	return err;
}
