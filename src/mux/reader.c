/* SPDX-License-Identifier: MIT */
/*
 * A session's receiving side.
 *
 * One read of the conn is a turn: all its frames are decoded, what belongs to a stream is
 * gathered, and at the end each stream that got something is handed it, in one atomic step
 * and at most one wake, however many frames it came in.
 */
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "mux/session.h"

#include <weft/runtime.h>

#include <stdio.h>
#include <string.h>

#define SLICE_MIN ((size_t)4096)  /* smaller pieces are copied: they would hold a block */
#define READ_MIN ((size_t)16384)  /* less room left in a block: the next one */
#define READ_FULL ((size_t)32768) /* after so much at once, the streams have a turn */
#define NOMEM_WAIT_NS INT64_C(10000000)

/* ---- the table ---- */

void mux_settle(weft_mux *m, struct weft_stream *s)
{
	uint32_t state = word_get(&s->state);
	bool is_over = (state & STREAM_CLOSED) ||
		(state & (STREAM_RX_FIN | STREAM_TX_FIN)) == (STREAM_RX_FIN | STREAM_TX_FIN);

	if (s->in_table) {
		if (!is_over)
			return;
		if (m->last == s)
			m->last = NULL;
		window_probe_drop(m, s);
		table_remove(&m->table, s);
		/* else the next round begins so */
		if (m->swept == 0)
			table_fit(&m->table);
		return;
	}
	if (s->is_known || is_over)
		return;
	s->is_known = true;
	if (word_get(&m->state) & MUX_DEAD)
		(void)word_set_bits(&s->state, STREAM_DEAD);
	else if (!table_insert(&m->table, s))
		(void)word_set_bits(&s->state, STREAM_NOMEM);
	else
		return;
	/* it may be in use already, elsewhere */
	stream_kick(s);
}

void mux_inbox_drain(weft_mux *m)
{
	struct push_node *node = pushlist_take(&m->inbox);

	while (node) {
		struct weft_stream *s = container_of(node, struct weft_stream, inbox);

		node = node->next;
		/* before the look at its state: a later change comes again */
		(void)word_clear_bits(&s->state, STREAM_INBOXED);
		mux_settle(m, s);
		stream_unref(s);
	}
}

/* ---- handing over ---- */

/*
 * What a stream got in this turn is linked from new to old, and the oldest points to the newest: so
 * stream.turn, the oldest, is both ends. With what was taken back it is a chain that ends, whose newest
 * is stream.turn.
 */
static struct push_node *newest(const struct weft_stream *s)
{
	return s->turn && !s->is_taken_back ? s->turn->next : s->turn;
}

static void append(struct weft_stream *s, struct rx_node *n)
{
	struct push_node *before = newest(s);

	n->node.next = before ? before : &n->node;
	if (before && !s->is_taken_back)
		s->turn->next = &n->node;
	else
		s->turn = &n->node;
}

static void hand_over(struct weft_stream *s)
{
	void *waiter;

	if (!s->turn)
		return;
	waiter = s->is_taken_back ? feed_put_back(&s->feed, s->turn)
				  : feed_push(&s->feed, newest(s), s->turn);
	s->turn = NULL;
	s->is_taken_back = false;
	if (waiter)
		poll_wake(waiter);
	/* closed by then: whoever closed it may not have found this */
	if (weft_unlikely(word_get(&s->state) & STREAM_CLOSED))
		stream_drain_feed(s);
}

/*
 * What came in turns before and was not taken, so that this turn's goes into the same chunk:
 * a peer that sends a byte at a time, to a stream that nobody reads, would else get a chunk
 * for each.
 */
static void take_back(struct weft_stream *s)
{
	s->turn = feed_retract(&s->feed);
	s->is_taken_back = s->turn != NULL;
}

/* At the end of a turn. True: somebody got something. */
static bool hand_over_all(weft_mux *m)
{
	unsigned len = m->touched_len;

	m->touched_len = 0;
	for (unsigned i = 0; i < len; i++) {
		struct weft_stream *s = m->touched[i];

		s->is_touched = false;
		hand_over(s);
		stream_unref(s);
	}
	return len > 0;
}

static void forget_touched(weft_mux *m)
{
	if (m->touched != m->touched_few)
		mem_free(m->touched);
	m->touched = m->touched_few;
	counter_set(&m->touched_cap, TOUCHED_MIN);
}

static bool grow_touched(weft_mux *m)
{
	size_t cap = counter_get(&m->touched_cap);
	struct weft_stream **larger = mem_alloc(2 * cap * sizeof(struct weft_stream *));

	if (!larger)
		return false;
	memcpy(larger, m->touched, cap * sizeof(struct weft_stream *));
	forget_touched(m);
	m->touched = larger;
	counter_set(&m->touched_cap, 2 * cap);
	clock_trim_later(m);
	return true;
}

static void touch(weft_mux *m, struct weft_stream *s)
{
	if (s->is_touched)
		return;
	/* without memory they get it in more than one step */
	if (m->touched_len == counter_get(&m->touched_cap) && !grow_touched(m))
		(void)hand_over_all(m);
	s->is_touched = true;
	m->touched[m->touched_len++] = s;
	stream_ref(s);
}

/* ---- frames ---- */

/*
 * A peer that broke the rules, or let the stream lie, gets a FIN; one that did not would take it
 * for the end of what we write: that is for close.
 */
void mux_fail_stream(weft_mux *m, struct weft_stream *s, uint32_t how)
{
	hand_over(s);
	(void)word_set_bits(&s->state, how);
	if (how != STREAM_NOMEM && !(word_set_bits(&s->state, STREAM_TX_FIN) & STREAM_TX_FIN))
		tx_want(s, WANT_FIN);
	stream_kick(s);
	if (m->last == s)
		m->last = NULL;
	window_probe_drop(m, s);
	if (s->in_table)
		table_remove(&m->table, s);
}

static bool keep_slice(weft_mux *m, struct weft_stream *s, const uint8_t *data, size_t len)
{
	struct rx_node *n = account_slice(&m->block, data, len);

	if (!n)
		return false;
	n->charged = (uint32_t)len;
	append(s, n);
	return true;
}

/* Of what is not handed over yet, the last one, if it may have room. */
static struct rx_chunk *last_chunk(struct weft_stream *s)
{
	return s->turn ? account_chunk_of(container_of(newest(s), struct rx_node, node)) : NULL;
}

/* Returns how many bytes there was no memory for. */
static size_t keep_copy(weft_mux *m, struct weft_stream *s, const uint8_t *data, size_t len)
{
	if (!s->turn)
		take_back(s);
	while (len > 0) {
		struct rx_chunk *c = last_chunk(s);
		size_t n;

		if (!c || c->node.buf.len == c->room) {
			/* the next ones larger: much comes in small pieces */
			c = account_chunk(m->account, c ? c->room * (size_t)2 : len);
			if (!c)
				break;
			append(s, &c->node);
		}
		n = c->room - c->node.buf.len;
		if (n > len)
			n = len;
		memcpy(c->data + c->node.buf.len, data, n);
		c->node.buf.len += n;
		c->node.charged += (uint32_t)n;
		data += n;
		len -= n;
	}
	return len;
}

struct weft_stream *mux_find(weft_mux *m, uint32_t id)
{
	if (!m->last || m->last->id != id)
		m->last = table_find(&m->table, id);
	return m->last;
}

/* What the largest window of the session allows: a peer may go by an earlier one. */
static uint32_t window_max(const weft_mux *m)
{
	size_t window = m->options.max_stream_buffer, most = word_peek(&m->window_most);

	if (window < WEFT_MUX_INITIAL_WINDOW)
		window = WEFT_MUX_INITIAL_WINDOW;
	return (uint32_t)(most > window ? most : window);
}

/* Version 2. False: more than it may. */
static bool check_window(weft_mux *m, struct weft_stream *s, uint32_t len)
{
	uint32_t unread = (uint32_t)counter_get(&s->received) - word_peek(&s->consumed);
	uint32_t window = word_peek(&s->window);

	if (unread > window_max(m))
		return false;
	if (weft_unlikely(unread >= window && unread - len < window)) {
		word_put(&s->stalls_reader, word_peek(&s->stalls_reader) + 1);
		counter_own_add(&m->counters.stalls_reader, 1);
	}
	window_came(s);
	return true;
}

bool mux_came(weft_mux *m, struct weft_stream *s, size_t len)
{
	counter_own_add(&s->received, len);
	if (m->options.version >= 2 && !check_window(m, s, (uint32_t)len)) {
		mux_fail_stream(m, s, STREAM_BAD);
		return false;
	}
	if (m->decoder.left == 0) { /* its last piece */
		counter_own_add(&s->frames_in, 1);
		direct_note_frame(m);
	}
	return true;
}

static void on_data(weft_mux *m, const struct smux_frame *f)
{
	struct weft_stream *s = mux_find(m, f->id);
	size_t lost;

	if (!s || (word_peek(&s->state) & (STREAM_CLOSED | STREAM_RX_FIN)))
		return;
	if (!mux_came(m, s, f->len))
		return;
	account_take(m->account, (uint32_t)f->len);
	touch(m, s);
	if (f->len >= SLICE_MIN && !account_is_spread(m->account) &&
		keep_slice(m, s, f->data, f->len))
		return;
	lost = keep_copy(m, s, f->data, f->len);
	if (lost > 0) {
		account_give(m->account, (uint32_t)lost);
		mux_fail_stream(m, s, STREAM_NOMEM);
	}
}

static void on_fin(weft_mux *m, uint32_t id)
{
	struct weft_stream *s = mux_find(m, id);

	if (!s)
		return;
	hand_over(s);
	if (word_set_bits(&s->state, STREAM_RX_FIN) & STREAM_RX_FIN)
		return;
	stream_kick(s);
	mux_settle(m, s);
}

static void on_upd(weft_mux *m, const struct smux_frame *f)
{
	struct weft_stream *s = mux_find(m, f->id);

	if (!s)
		return;
	word64_set(&s->credit, (uint64_t)f->consumed << 32 | f->window);
	stream_ring(s);
}

/* False: the session is dead. */
static bool refuse(weft_mux *m, uint32_t id)
{
	weft_err err = tx_refuse(m, id);

	(void)counter_add(&m->counters.refused, 1);
	if (err == WEFT_ECAPACITY)
		mux_die(m, WEFT_EPROTO, "the peer opens streams faster than it takes refusals");
	else if (err)
		mux_die(m, WEFT_ERESET, "no memory to refuse a stream");
	return !err;
}

/*
 * The worker alone adds to the backlog. When it is full, who accepts may only not have had a
 * turn since: many SYNs come with one read. A yield lasts as long as the others' turns, whoever
 * accepts or not, so this is no waiting.
 */
static bool has_place(weft_mux *m)
{
	if (weft_chan_len(m->backlog) < m->options.accept_backlog)
		return true;
	(void)hand_over_all(m);
	(void)weft_yield(); /* cancelled: the next read will know */
	return weft_chan_len(m->backlog) < m->options.accept_backlog;
}

/* False: the session is dead. */
static bool on_syn(weft_mux *m, uint32_t id)
{
	struct weft_stream *s;
	bool is_placed;

	if (mux_find(m, id))
		return true;
	is_placed = has_place(m);
	if (word_get(&m->state) & MUX_CLOSING)
		return true;
	if (!mux_enter(m))
		return refuse(m, id);
	/* before a stream is made of it, since a peer that reads no refusals would get as much
	 * memory as it likes */
	if (!is_placed) {
		mux_leave(m);
		return refuse(m, id);
	}
	s = stream_create(m, id);
	if (!s || !table_insert(&m->table, s)) {
		mux_leave(m);
		if (s)
			stream_unref(s);
		return refuse(m, id);
	}
	s->is_known = true;
	if (weft_chan_try_send(m->backlog, &s)) {
		/* closed meanwhile, or no memory */
		(void)counter_add(&m->counters.refused, 1);
		weft_stream_free(s);
	} else {
		(void)counter_add(&m->counters.accepted, 1);
		poll_look(m);
	}
	return true;
}

static void fault_text(const struct smux_decoder *d, char *text, size_t size)
{
	static const char *const names[] = { "SYN", "FIN", "PSH", "NOP", "UPD" };
	unsigned version = d->head[0], cmd = d->head[1];
	unsigned length = d->head[2] | (unsigned)d->head[3] << 8;

	switch (d->fault) {
	case SMUX_FAULT_VERSION:
		if (version == 1 || version == 2)
			snprintf(text, size, "the peer speaks smux version %u, not %u", version,
				d->version);
		else
			snprintf(text, size,
				"the peer does not speak smux: a frame begins with 0x%02x, not "
				"with version %u",
				version, d->version);
		break;
	case SMUX_FAULT_CMD:
		snprintf(text, size, "the peer sent command %u%s", cmd,
			cmd == SMUX_UPD ? " (UPD), which is not of version 1"
					: ", which smux does not have");
		break;
	case SMUX_FAULT_NONE:
	case SMUX_FAULT_LENGTH:
		snprintf(text, size, "the peer sent a %s of %u bytes instead of %u", names[cmd],
			length, cmd == SMUX_UPD ? 8U : 0U);
		break;
	}
}

/* Everything that was read. False: the session is dead. */
static bool decode(weft_mux *m, const uint8_t *data, size_t len)
{
	uint64_t headers = m->decoder.headers, bytes = 0;
	char text[DEATH_TEXT_MAX];
	struct smux_frame f;
	bool good = true;

	while (good) {
		enum smux_event event = smux_decoder_next(&m->decoder, &data, &len, &f);

		if (event == SMUX_EVENT_NONE)
			break;
		switch (event) {
		case SMUX_EVENT_SYN:
			good = on_syn(m, f.id);
			break;
		case SMUX_EVENT_FIN:
			on_fin(m, f.id);
			break;
		case SMUX_EVENT_DATA:
			bytes += f.len;
			on_data(m, &f);
			break;
		case SMUX_EVENT_UPD:
			on_upd(m, &f);
			break;
		case SMUX_EVENT_NONE:
		case SMUX_EVENT_FAULT:
			good = false;
			(void)hand_over_all(m);
			fault_text(&m->decoder, text, sizeof(text));
			mux_die(m, WEFT_EPROTO, text);
			break;
		}
	}
	counter_own_add(&m->counters.frames_in, m->decoder.headers - headers);
	counter_own_add(&m->counters.bytes_in, bytes);
	return good;
}

/* ---- reading ---- */

bool mux_trim(weft_mux *m)
{
	account_shrink(m->account, m->got_most);
	m->got_most = 0;
	forget_touched(m);
	return account_is_grown(m->account);
}

static void conn_failed(weft_mux *m, weft_err err)
{
	char text[DEATH_TEXT_MAX];

	/* closed here, wherever: whether all was sent is for those who wait for the end */
	if (word_get(&m->state) & MUX_CLOSING)
		mux_die(m, WEFT_ECLOSED, "the session was closed");
	else if (m->send_err)
		mux_die(m, m->send_err, m->send_text);
	else if (err == WEFT_ECLOSED)
		mux_die(m, WEFT_ERESET, "the peer closed the connection");
	else {
		snprintf(text, sizeof(text), "%s", weft_error_detail());
		mux_die(m, err == WEFT_ECANCELED ? err : WEFT_ERESET, text);
	}
}

/* One wait for room, keeping time. False: the session is over. */
static bool wait_once(weft_mux *m)
{
	struct account *a = m->account;
	weft_err err = WEFT_OK;

	clock_excuse(m);
	bell_set(&a->stalled, rt_parker_self());
	if ((account_is_full(a) || account_is_heavy(a)) && !mux_is_ending(m))
		err = rt_park(clock_next(m), "mux: unread data");
	bell_clear(&a->stalled);
	if (err == WEFT_ECANCELED) {
		conn_failed(m, err);
		return false;
	}
	return clock_tick(m);
}

static bool is_stalled(const weft_mux *m)
{
	/* closing: what comes is dropped */
	return (account_is_full(m->account) || account_is_heavy(m->account)) && !mux_is_ending(m);
}

/* Waits for room. False: the session is over. */
static bool await_room(weft_mux *m)
{
	struct mux_counters *c = &m->counters;
	bool is_full = account_is_full(m->account), is_alive = true;
	weft_deadline since;

	if (weft_likely(!is_stalled(m)))
		return true;
	since = weft_now();
	counter_own_add(is_full ? &c->stalls_buffer : &c->stalls_memory, 1);
	while (is_alive && is_stalled(m))
		is_alive = wait_once(m);
	counter_own_add(is_full ? &c->stalled_buffer_ns : &c->stalled_memory_ns,
		(uint64_t)(weft_now() - since));
	return is_alive;
}

/* A block with room. False: no memory now. */
static bool prepare_block(weft_mux *m)
{
	weft_buf block;

	if (m->block.data && weft_buf_is_unique(&m->block))
		m->block_used = 0;
	if (m->block.data && account_block_fits(m->account, &m->block) &&
		(m->block_used == 0 || m->block.len - m->block_used >= READ_MIN))
		return true;
	if (!account_block(m->account, &block))
		return m->block.data && m->block_used == 0; /* of another size than wanted */
	account_block_put(m->account, &m->block);
	m->block = block;
	m->block_used = 0;
	return true;
}

/* A read gave so much: how large the next blocks are. */
static void took(weft_mux *m, size_t got, bool is_full)
{
	if (got > m->got_most)
		m->got_most = got;
	if (weft_likely(!is_full))
		return;
	account_grow(m->account);
	clock_trim_later(m);
}

/* One read. False: the session is over. */
static bool turn(weft_mux *m)
{
	struct rx_came came = { .direct = 0 };
	weft_err err;

	if (!prepare_block(m)) {
		err = weft_sleep_ns(NOMEM_WAIT_NS);
		if (err)
			conn_failed(m, err);
		return !err && clock_tick(m);
	}
	came.block = (struct iovec){ m->block.data + m->block_used, m->block.len - m->block_used };
	err = direct_receive(m, &came);
	counter_own_add(&m->counters.reads, 1);
	if (err == WEFT_ETIMEDOUT)
		return clock_tick(m);
	if (err == WEFT_ECANCELED && (word_get(&m->state) & MUX_CLOSING)) {
		/* the runtime ends; what was written is sent first, for linger_ns at most */
		weft_shield_begin();
		m->is_shielded = true;
		return true;
	}
	if (err) {
		conn_failed(m, err);
		return false;
	}
	took(m, came.bytes, came.is_full);
	if (came.block.iov_len > 0) {
		size_t at = (size_t)((uint8_t *)came.block.iov_base - m->block.data);

		m->block_used = at + came.block.iov_len;
	}
	counter_own_add(&m->counters.wire_in, came.bytes);
	mux_inbox_drain(m);
	if (!decode(m, came.block.iov_base, came.block.iov_len))
		return false;
	if ((hand_over_all(m) || came.direct > 0) && came.bytes >= READ_FULL) {
		err = weft_yield();
		if (err && !(word_get(&m->state) & MUX_CLOSING)) {
			conn_failed(m, err);
			return false;
		}
	}
	return clock_tick(m);
}

weft_err mux_reader(void *arg)
{
	weft_mux *m = arg;

	clock_start(m);
	while (await_room(m) && turn(m))
		;
	(void)hand_over_all(m);
	forget_touched(m);
	weft_conn_close(m->conn);
	account_block_put(m->account, &m->block);
	account_end(m->account);
	(void)word_set_bits(&m->state, MUX_READER_GONE);
	bell_ring(&m->sender);
	if (m->is_shielded)
		weft_shield_end();
	mux_unref(m);
	return WEFT_OK;
}
