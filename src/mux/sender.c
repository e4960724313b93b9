/* SPDX-License-Identifier: MIT */
/*
 * A session's sending side.
 *
 * Streams with data to send stand in the ready list, those with a control frame in another.
 * Whoever put the first one into a list sees to it that somebody has the role: takes all of
 * them, gathers their frames (gather.c), and writes them at once. A gather is written without waiting, so that the memory of a large write,
 * which is its writer's own, is held only for that call: a writer whose time is up gets it
 * back. What the conn did not take stays pending, in memory of the session's own, for which
 * the sender's fiber waits.
 *
 * A turn of a ping-pong costs one writev, one small allocation, and no wake but that of the
 * sender's fiber on its own worker.
 */
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "mux/session.h"

#include <weft/runtime.h>

#include <string.h>

#define EOF_WAIT_MS 1000   /* after our end of stream, for the peer's */
#define REFUSALS_MAX 65536 /* that wait to be sent */

/* ---- the role ---- */

static void wake_sender(weft_mux *m)
{
	/* not word_put: the fiber, before its first look at the role, may not be seen yet */
	(void)word_swap(&m->role, ROLE_FIBER);
	bell_ring(&m->sender);
}

static void flush_here(weft_mux *m);

static bool is_idle(const weft_mux *m)
{
	return pushlist_is_empty(&m->ready) && pushlist_is_empty(&m->control);
}

/* One of the lists was empty. */
static void find_sender(weft_mux *m)
{
	bool is_here = mux_is_here(m);

	/* not free: who has it looks at the list again before it lets go */
	if (!word_change(&m->role, ROLE_FREE, is_here ? ROLE_FIBER : ROLE_CALLER))
		return;
	if (is_here)
		bell_ring(&m->sender);
	else
		flush_here(m);
}

void tx_data(struct weft_stream *s)
{
	weft_mux *m = s->mux;
	enum push_result pushed;

	if (word_swap(&s->queued, 1))
		return;
	stream_ref(s);
	pushed = pushlist_push(&m->ready, &s->ready);
	if (pushed == PUSH_REFUSED)
		stream_unref(s);
	else if (pushed == PUSH_FIRST)
		find_sender(m);
	if (mux_is_here(m) && !word_peek(&s->want))
		m->ready_here++;
}

void tx_want(struct weft_stream *s, uint32_t want)
{
	weft_mux *m = s->mux;
	enum push_result pushed;

	if (word_set_bits(&s->want, want))
		return;
	stream_ref(s);
	pushed = pushlist_push(&m->control, &s->control);
	if (pushed == PUSH_REFUSED)
		stream_unref(s);
	else if (pushed == PUSH_FIRST)
		find_sender(m);
	if (mux_is_here(m) && !word_peek(&s->queued))
		m->ready_here++;
}

void tx_want_self(weft_mux *m, uint32_t want)
{
	if (word_set_bits(&m->self_want, want))
		return;
	if (pushlist_push(&m->control, &m->self) == PUSH_FIRST)
		find_sender(m);
}

weft_err tx_refuse(weft_mux *m, uint32_t id)
{
	struct refusal *r = mem_alloc(sizeof(*r));

	if (!r)
		return WEFT_ENOMEM;
	if (!counter_try_add(&m->refusals_len, 1, REFUSALS_MAX)) {
		mem_free(r);
		return WEFT_ECAPACITY;
	}
	r->id = id;
	(void)pushlist_push(&m->refusals, &r->node);
	tx_want_self(m, WANT_REFUSALS);
	return WEFT_OK;
}

/* ---- after a write ---- */

static void free_chunks(struct tx *tx)
{
	while (tx->chunks) {
		struct tx_chunk *c = tx->chunks;

		tx->chunks = c->next;
		mem_free(c);
	}
}

/* Done, or back to where its writer may take it. */
static void return_request(struct weft_stream *s, struct tx_request *r, bool was_cut)
{
	if (r->left == 0) {
		weft_parker *parker = r->parker;

		(void)word_swap(&r->done, 1);
		weft_unpark(parker);
		s->mux->tx.has_woken = true;
	} else {
		if (was_cut)
			word_put(&s->stalls_conn, word_peek(&s->stalls_conn) + 1);
		(void)slot_swap(&s->big, r);
		tx_data(s);
	}
	stream_unref(s);
}

/* A request's first frame stands for it: the others are not looked at once it is done. */
static void return_requests(weft_mux *m, bool was_cut)
{
	struct tx *tx = &m->tx;
	unsigned len = 0;

	for (unsigned i = 0; i < tx->requests_len; i++) {
		struct tx_frame f = tx->requests[i];

		if (!f.stream->is_held)
			continue;
		f.stream->is_held = false;
		f.stream->framing = NULL;
		tx->requests[len++] = f;
	}
	tx->requests_len = 0;
	for (unsigned i = 0; i < len; i++)
		return_request(tx->requests[i].stream, tx->requests[i].request, was_cut);
}

/*
 * A frame of a large write that the conn did not take all of. Behind the cut: it is its
 * writer's again, and not in iov any more. At the cut: the rest becomes the session's own, so
 * that there is something to wait with.
 */
static void keep_rest(weft_mux *m, struct tx_frame *f, unsigned at, size_t sent_of_at)
{
	struct tx *tx = &m->tx;
	struct iovec *payload = &tx->iov[f->iov + 1];

	if (f->iov > at) {
		f->request->data -= f->len;
		f->request->left += f->len;
		tx_give_turn_back(m, f->stream, f->len);
		counter_own_sub(&f->stream->frames_out, 1);
		tx->payload -= f->len;
		tx->uncopied -= f->len;
		tx->frames--;
		tx->iov[f->iov].iov_len = payload->iov_len = 0;
	} else if (f->iov + 1 >= at) {
		size_t sent = f->iov + 1 == at ? sent_of_at : 0;

		uint8_t *spill = slot_look(&m->spill);

		memcpy(spill + sent, (uint8_t *)payload->iov_base + sent, payload->iov_len - sent);
		tx->uncopied -= payload->iov_len - sent;
		payload->iov_base = spill;
	}
}

/* Drops from iov what was sent, and what is empty. */
static void cut(struct tx *tx, size_t sent)
{
	unsigned len = 0;

	tx->bytes = 0;
	for (unsigned i = 0; i < tx->iov_len; i++) {
		struct iovec v = tx->iov[i];
		size_t n = sent < v.iov_len ? sent : v.iov_len;

		sent -= n;
		if (n == v.iov_len)
			continue;
		v.iov_base = (uint8_t *)v.iov_base + n;
		v.iov_len -= n;
		tx->iov[len++] = v;
		tx->bytes += v.iov_len;
	}
	tx->iov_len = len;
	tx->is_pending = len > 0;
}

/* The conn took only so much of the gather. */
static void keep_pending(weft_mux *m, size_t sent)
{
	struct tx *tx = &m->tx;
	size_t left = sent;
	unsigned at = 0, whole = 0;

	while (left >= tx->iov[at].iov_len)
		left -= tx->iov[at++].iov_len;
	for (unsigned i = 0; i < tx->requests_len; i++) {
		keep_rest(m, &tx->requests[i], at, left);
		whole += tx->requests[i].iov <= at;
	}
	tx_turn_back(m, whole, at);
	cut(tx, sent);
}

static void count_write(weft_mux *m, size_t bytes)
{
	unsigned size = 0;

	while (size < WEFT_MUX_WRITE_SIZES - 1 && bytes >= (size_t)64 << 2 * size)
		size++;
	counter_own_add(&m->counters.writes, 1);
	counter_own_add(&m->counters.wire_out, bytes);
	counter_own_add(&m->counters.write_sizes[size], 1);
}

/* WEFT_ETIMEDOUT: something is pending. */
static weft_err write_gathered(weft_mux *m)
{
	struct tx *tx = &m->tx;
	size_t sent = 0, bytes = tx->bytes;
	weft_err err = weft_conn_writev(m->conn, tx->iov, tx->iov_len, &sent, WEFT_NOW);

	count_write(m, sent);
	if (err && sent < bytes)
		keep_pending(m, sent);
	else
		tx->fresh_overtook = 0;
	counter_own_add(&m->counters.frames_out, tx->frames);
	counter_own_add(&m->counters.bytes_out, tx->payload);
	counter_own_add(&m->counters.uncopied_out, tx->uncopied);
	return_requests(m, err != WEFT_OK);
	if (!tx->is_pending)
		free_chunks(tx);
	if (err == WEFT_ETIMEDOUT && !tx->is_pending)
		return WEFT_OK;
	return err;
}

/* ---- the fiber ---- */

static weft_err write_pending(weft_mux *m)
{
	struct tx *tx = &m->tx;
	size_t sent = 0;
	weft_deadline since = weft_now();
	weft_err err = weft_conn_writev(m->conn, tx->iov, tx->iov_len, &sent, WEFT_FOREVER);

	counter_own_add(&m->counters.stalls_conn, 1);
	counter_own_add(&m->counters.stalled_conn_ns, (uint64_t)(weft_now() - since));
	count_write(m, sent);
	cut(tx, sent);
	if (!tx->is_pending)
		free_chunks(tx);
	return err;
}

/* Until nothing is left to send. */
static weft_err flush(weft_mux *m)
{
	weft_err err = WEFT_OK;

	while (!err || err == WEFT_ETIMEDOUT) {
		if (m->tx.is_pending) {
			err = write_pending(m);
			continue;
		}
		tx_gather(m);
		if (m->tx.iov_len == 0)
			return WEFT_OK;
		err = write_gathered(m);
		/* else those who have written all they had would miss their turns */
		if (m->tx.has_woken && tx_has_queue(&m->tx))
			(void)weft_yield(); /* cancelled: the next write will know */
		m->tx.has_woken = false;
	}
	return err;
}

/* The same, by a session that is being closed, though the runtime ends. */
static weft_err flush_last(weft_mux *m)
{
	weft_err err;

	weft_shield_begin();
	err = flush(m);
	weft_shield_end();
	return err;
}

/* In the caller's own fiber or thread, which has the role: once round, then others. */
static void flush_here(weft_mux *m)
{
	weft_err err = WEFT_OK;
	bool has_queue;

	for (unsigned rounds = 0; rounds < 4; rounds++) {
		tx_gather(m);
		if (m->tx.iov_len > 0)
			err = write_gathered(m);
		if (err || mux_is_ending(m))
			break;
		has_queue = tx_has_queue(&m->tx); /* not to be looked at without the role */
		(void)word_change(&m->role, ROLE_CALLER, ROLE_FREE);
		if ((is_idle(m) && !has_queue) || !word_change(&m->role, ROLE_FREE, ROLE_CALLER))
			return;
	}
	/* pending, failed, closing, or too much for one caller */
	wake_sender(m);
}

void tx_flush_early(weft_mux *m)
{
	m->is_early_over = true;
	if (mux_is_ending(m) || !word_change(&m->role, ROLE_FIBER, ROLE_CALLER))
		return;
	if (!m->tx.is_pending) {
		tx_gather(m);
		/* what fails is pending then, and fails again in the sender's turn */
		if (m->tx.iov_len > 0)
			(void)write_gathered(m);
	}
	wake_sender(m);
}

static void send_failed(weft_mux *m, weft_err err)
{
	bool is_ours = err == WEFT_ECLOSED && (word_get(&m->state) & MUX_CLOSING);

	m->send_err = is_ours || err == WEFT_ECANCELED ? err : WEFT_ERESET;
	strncpy(m->send_text, is_ours ? "the session was closed" : weft_error_detail(),
		sizeof(m->send_text) - 1);
	if (!(word_get(&m->state) & MUX_READER_GONE))
		weft_conn_abort(m->conn);
}

/* Closing, and everything is sent: our end of stream, and soon the peer's. */
static void close_conn(weft_mux *m)
{
	weft_deadline until = weft_after_ms(EOF_WAIT_MS);

	if (!weft_conn_shutdown(m->conn)) {
		while (!(word_get(&m->state) & MUX_READER_GONE)) {
			if (rt_park(until, "mux: the peer's end"))
				break;
		}
	}
	weft_conn_close(m->conn);
}

/* Lets go of the role; false: there is more to do. */
static bool release_role(weft_mux *m)
{
	bool has_queue = tx_has_queue(&m->tx); /* not to be looked at without the role */

	(void)word_swap(&m->role, ROLE_FREE);
	if (is_idle(m) && !has_queue)
		return true;
	return !word_change(&m->role, ROLE_FREE, ROLE_FIBER);
}

/* Until the role is the fiber's, or the reader has ended: then false. */
static bool await_role(weft_mux *m)
{
	while (!(word_get(&m->state) & MUX_READER_GONE)) {
		if (word_change(&m->role, ROLE_FIBER, ROLE_SENDING))
			return true;
		/* cancelled: the reader is, too; another park would not wait for it */
		if (rt_park(WEFT_FOREVER, "mux: nothing to send") == WEFT_ECANCELED) {
			weft_conn_abort(m->conn);
			return false;
		}
	}
	return false;
}

/* Whoever has it has it for a moment only. */
static void take_role(weft_mux *m, uint32_t as)
{
	unsigned spins = 0;

	while (!word_change(&m->role, ROLE_FREE, as) && !word_change(&m->role, ROLE_FIBER, as) &&
		!word_change(&m->role, ROLE_SENDING, as))
		(void)rt_relax(&spins, true);
}

/*
 * Closed, and the connection ended before the sender's turn came: another try tells whether
 * something that writes gave is lost by that.
 */
static void find_lost(weft_mux *m)
{
	bool was_pending;
	weft_err err;

	take_role(m, ROLE_SENDING);
	was_pending = m->tx.is_pending;
	err = flush(m);
	if (err && (was_pending || m->tx.payload > 0))
		send_failed(m, err);
}

/* Nobody sends any more. */
static void end_sending(weft_mux *m)
{
	struct push_node *node;

	take_role(m, ROLE_GONE);
	tx_close_lists(m);
	free_chunks(&m->tx);
	for (node = pushlist_close(&m->refusals); node;) {
		struct refusal *r = container_of(node, struct refusal, node);

		node = node->next;
		mem_free(r);
	}
}

weft_err mux_sender(void *arg)
{
	weft_mux *m = arg;
	weft_err err = WEFT_OK;
	bool is_over = false;

	bell_set(&m->sender, rt_parker_self());
	while (!err && await_role(m)) {
		err = flush(m);
		m->ready_here = 0;
		m->is_early_over = false;
		if (err == WEFT_ECANCELED && (word_get(&m->state) & MUX_CLOSING))
			err = WEFT_OK; /* the runtime ends: the rest below */
		if (!err && (word_get(&m->state) & MUX_CLOSING)) {
			mux_die(m, WEFT_ECLOSED, "the session was closed");
			err = flush_last(m);
			if (!err)
				close_conn(m);
			is_over = true;
			break;
		}
		if (!err)
			(void)release_role(m);
	}
	if (err)
		send_failed(m, err);
	weft_shield_begin();
	while (!(word_get(&m->state) & MUX_READER_GONE))
		(void)rt_park(WEFT_FOREVER, "mux: its reader");
	bell_clear(&m->sender);
	if (!err && !is_over && (word_get(&m->state) & MUX_CLOSING))
		find_lost(m);
	end_sending(m);
	weft_chan_close(m->over);
	poll_look(m);
	weft_shield_end();
	mux_unref(m);
	return WEFT_OK;
}
