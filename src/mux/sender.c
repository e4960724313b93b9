/* SPDX-License-Identifier: MIT */
/*
 * A session's sending side.
 *
 * Streams with something to send stand in the ready list. Whoever put the first one there
 * sees to it that somebody has the role: takes all of them, gathers their frames, and writes
 * them at once. A gather is written without waiting, so that the memory of a large write,
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

#define EOF_WAIT_MS 1000     /* after our end of stream, for the peer's */
#define REFUSALS_MAX 65536   /* that wait to be sent */
#define REQUEST_FRAMES_MAX 8 /* of one large write in a gather, so that others have theirs */

/* ---- the role ---- */

static void wake_sender(weft_mux *m)
{
	/* not word_put: the fiber, before its first look at the role, may not be seen yet */
	(void)word_swap(&m->role, ROLE_FIBER);
	bell_ring(&m->sender);
}

static void flush_here(weft_mux *m);

/* The ready list was empty. */
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

void tx_queue(weft_mux *m, struct tx_node *t, uint32_t want)
{
	enum push_result pushed;

	if (want)
		(void)word_set_bits(&t->want, want);
	if (word_swap(&t->queued, 1))
		return;
	if (t != &m->self)
		stream_ref(container_of(t, struct weft_stream, tx));
	pushed = pushlist_push(&m->ready, &t->node);
	if (pushed == PUSH_REFUSED && t != &m->self)
		stream_unref(container_of(t, struct weft_stream, tx));
	else if (pushed == PUSH_FIRST)
		find_sender(m);
	if (mux_is_here(m))
		m->ready_here++;
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
	tx_queue(m, &m->self, 0);
	return WEFT_OK;
}

/* ---- gathering ---- */

static void queue_add(struct tx *tx, struct push_node *node)
{
	node->next = NULL;
	*tx->queue_end = node;
	tx->queue_end = &node->next;
}

static void take_ready(weft_mux *m)
{
	struct push_node *node = pushlist_take(&m->ready);

	while (node) {
		struct push_node *next = node->next;

		queue_add(&m->tx, node);
		node = next;
	}
}

static void add_iov(struct tx *tx, void *data, size_t len)
{
	tx->iov[tx->iov_len++] = (struct iovec){ data, len };
	tx->bytes += len;
}

/* Room for n headers, each perhaps with a payload after it. */
static bool has_room(const struct tx *tx, unsigned n)
{
	return tx->iov_len + 2 * n <= TX_IOV_MAX && tx->heads_len + n <= TX_HEADS &&
		tx->requests_len + n <= TX_REQUESTS_MAX && tx->bytes < TX_BYTES_MAX;
}

static void add_head(weft_mux *m, enum smux_cmd cmd, size_t length, uint32_t id)
{
	struct tx *tx = &m->tx;
	uint8_t *head = &tx->heads[tx->heads_len++ * SMUX_HEADER_SIZE];

	tx->frames++;
	smux_put_header(head, m->options.version, cmd, (uint16_t)length, id);
	add_iov(tx, head, SMUX_HEADER_SIZE);
}

static void add_upd(weft_mux *m, struct weft_stream *s)
{
	struct tx *tx = &m->tx;
	uint8_t *head = &tx->heads[tx->heads_len * SMUX_HEADER_SIZE];

	tx->frames++;
	tx->heads_len += SMUX_UPD_SIZE / SMUX_HEADER_SIZE;
	smux_put_upd(head, s->id, word_peek(&s->consumed_now), word_peek(&s->window));
	add_iov(tx, head, SMUX_UPD_SIZE);
}

/* Its small writes. False: no room for all. */
static bool add_chunks(weft_mux *m, struct weft_stream *s)
{
	struct tx *tx = &m->tx;

	for (;;) {
		struct tx_chunk *c = s->framing;
		size_t len;

		if (!c)
			c = s->framing = slot_take(&s->out);
		if (!c)
			return true;
		while (c->off < c->len) {
			if (!has_room(tx, 1))
				return false;
			len = c->len - c->off;
			if (len > m->options.max_frame_size)
				len = m->options.max_frame_size;
			if (len == c->len) {
				smux_put_header(c->head, m->options.version, SMUX_PSH,
					(uint16_t)len, s->id);
				tx->frames++;
				add_iov(tx, c->head, SMUX_HEADER_SIZE + len);
			} else {
				add_head(m, SMUX_PSH, len, s->id);
				add_iov(tx, c->data + c->off, len);
			}
			c->off += (uint32_t)len;
			tx->payload += len;
		}
		c->next = tx->chunks;
		tx->chunks = c;
		s->framing = NULL;
	}
}

/* Frames of its large write, which is held until the conn was tried. */
static bool add_request(weft_mux *m, struct weft_stream *s)
{
	struct tx *tx = &m->tx;
	struct tx_request *r;
	unsigned first = tx->requests_len;

	if (!has_room(tx, 1))
		return false;
	r = slot_take(&s->big);
	if (!r)
		return true;
	/* small writes that came between the look at them and this one go first */
	s->framing = slot_take(&s->out);
	if (s->framing) {
		(void)slot_swap(&s->big, r);
		return false;
	}
	while (r->left > 0 && tx->requests_len - first < REQUEST_FRAMES_MAX && has_room(tx, 1)) {
		size_t len = r->left;

		if (len > m->options.max_frame_size)
			len = m->options.max_frame_size;
		tx->requests[tx->requests_len++] = (struct tx_frame){
			.stream = s, .request = r, .iov = tx->iov_len, .len = (uint32_t)len
		};
		add_head(m, SMUX_PSH, len, s->id);
		add_iov(tx, (void *)(uintptr_t)r->data, len); /* the conn only reads it */
		tx->payload += len;
		r->data += len;
		r->left -= len;
	}
	stream_ref(s);
	return true;
}

/* It was taken out of the queue. */
static void add_stream(weft_mux *m, struct weft_stream *s)
{
	uint32_t want;

	/* before what it says is looked at: a later change queues it again */
	(void)word_swap(&s->tx.queued, 0);
	/* before the data: a FIN that is wanted here comes after all of it */
	want = word_swap(&s->tx.want, 0);
	if (want & WANT_SYN)
		add_head(m, SMUX_SYN, 0, s->id);
	if (want & WANT_UPD)
		add_upd(m, s);
	if (!add_chunks(m, s) || !add_request(m, s)) {
		/* the rest in the next gather */
		tx_queue(m, &s->tx, want & WANT_FIN);
	} else if (want & WANT_FIN) {
		add_head(m, SMUX_FIN, 0, s->id);
	}
	stream_unref(s);
}

/* False: no room for all refusals. */
static bool add_refusals(weft_mux *m)
{
	struct push_node *node = pushlist_take(&m->refusals);

	while (node) {
		struct refusal *r = container_of(node, struct refusal, node);

		node = node->next;
		if (!has_room(&m->tx, 4)) {
			(void)pushlist_push(&m->refusals, &r->node);
			continue;
		}
		add_head(m, SMUX_FIN, 0, r->id);
		(void)counter_sub(&m->refusals_len, 1);
		mem_free(r);
	}
	return pushlist_is_empty(&m->refusals);
}

static void add_self(weft_mux *m)
{
	(void)word_swap(&m->self.queued, 0);
	if (word_swap(&m->self.want, 0) & WANT_NOP)
		add_head(m, SMUX_NOP, 0, 0);
	if (!add_refusals(m))
		tx_queue(m, &m->self, 0);
}

/* From the queue and the ready list, as long as there is room. */
static void gather(weft_mux *m)
{
	struct tx *tx = &m->tx;

	tx->iov_len = tx->heads_len = tx->requests_len = 0;
	tx->frames = 0;
	tx->bytes = tx->payload = 0;
	take_ready(m);
	/* a stream's own frames: SYN, UPD (two heads), and FIN, beside its data */
	while (tx->queue && has_room(tx, 5)) {
		struct push_node *node = tx->queue;
		struct tx_node *t = container_of(node, struct tx_node, node);

		tx->queue = node->next;
		if (!tx->queue)
			tx->queue_end = &tx->queue;
		if (t == &m->self)
			add_self(m);
		else
			add_stream(m, container_of(t, struct weft_stream, tx));
	}
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

/* Done, or back to where its writer may take it. f: the first of its frames. */
static void return_request(weft_mux *m, struct tx_frame *f)
{
	struct weft_stream *s = f->stream;
	struct tx_request *r = f->request;

	if (r->left == 0) {
		weft_parker *parker = r->parker;

		(void)word_swap(&r->done, 1);
		weft_unpark(parker);
	} else {
		(void)slot_swap(&s->big, r);
		tx_queue(m, &s->tx, 0);
	}
	stream_unref(s);
}

static void return_requests(weft_mux *m)
{
	struct tx *tx = &m->tx;

	for (unsigned i = 0; i < tx->requests_len; i++) {
		if (i == 0 || tx->requests[i].request != tx->requests[i - 1].request)
			return_request(m, &tx->requests[i]);
	}
	tx->requests_len = 0;
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
		tx->payload -= f->len;
		tx->frames--;
		tx->iov[f->iov].iov_len = payload->iov_len = 0;
	} else if (f->iov + 1 >= at) {
		size_t sent = f->iov + 1 == at ? sent_of_at : 0;

		memcpy(tx->spill + sent, (uint8_t *)payload->iov_base + sent,
			payload->iov_len - sent);
		payload->iov_base = tx->spill;
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
	unsigned at = 0;

	while (left >= tx->iov[at].iov_len)
		left -= tx->iov[at++].iov_len;
	for (unsigned i = 0; i < tx->requests_len; i++)
		keep_rest(m, &tx->requests[i], at, left);
	cut(tx, sent);
}

/* WEFT_ETIMEDOUT: something is pending. */
static weft_err write_gathered(weft_mux *m)
{
	struct tx *tx = &m->tx;
	size_t sent = 0, bytes = tx->bytes;
	weft_err err = weft_conn_writev(m->conn, tx->iov, tx->iov_len, &sent, WEFT_NOW);

	counter_own_add(&m->counters.writes, 1);
	if (err && sent < bytes)
		keep_pending(m, sent);
	counter_own_add(&m->counters.frames_out, tx->frames);
	counter_own_add(&m->counters.bytes_out, tx->payload);
	return_requests(m);
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
	weft_err err = weft_conn_writev(m->conn, tx->iov, tx->iov_len, &sent, WEFT_FOREVER);

	counter_own_add(&m->counters.writes, 1);
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
		gather(m);
		if (m->tx.iov_len == 0)
			return WEFT_OK;
		err = write_gathered(m);
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
		gather(m);
		if (m->tx.iov_len > 0)
			err = write_gathered(m);
		if (err || word_get(&m->state))
			break;
		has_queue = m->tx.queue; /* the role's: not to be looked at without it */
		(void)word_change(&m->role, ROLE_CALLER, ROLE_FREE);
		if ((pushlist_is_empty(&m->ready) && !has_queue) ||
			!word_change(&m->role, ROLE_FREE, ROLE_CALLER))
			return;
	}
	/* pending, failed, closing, or too much for one caller */
	wake_sender(m);
}

void tx_flush_early(weft_mux *m)
{
	m->is_early_over = true;
	if (word_get(&m->state) || !word_change(&m->role, ROLE_FIBER, ROLE_CALLER))
		return;
	if (!m->tx.is_pending) {
		gather(m);
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
	bool has_queue = m->tx.queue; /* the role's: not to be looked at without it */

	(void)word_swap(&m->role, ROLE_FREE);
	if (pushlist_is_empty(&m->ready) && !has_queue)
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

static void drop_queue(weft_mux *m, struct push_node *node)
{
	while (node) {
		struct tx_node *t = container_of(node, struct tx_node, node);

		node = node->next;
		if (t != &m->self)
			stream_unref(container_of(t, struct weft_stream, tx));
	}
}

/* Nobody sends any more. */
static void end_sending(weft_mux *m)
{
	unsigned spins = 0;
	struct push_node *node;

	while (!word_change(&m->role, ROLE_FREE, ROLE_GONE) &&
		!word_change(&m->role, ROLE_FIBER, ROLE_GONE) &&
		!word_change(&m->role, ROLE_SENDING, ROLE_GONE))
		(void)rt_relax(&spins, true);
	drop_queue(m, m->tx.queue);
	m->tx.queue = NULL;
	m->tx.queue_end = &m->tx.queue;
	drop_queue(m, pushlist_close(&m->ready));
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
	end_sending(m);
	weft_chan_close(m->over);
	weft_shield_end();
	mux_unref(m);
	return WEFT_OK;
}
