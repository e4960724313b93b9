/* SPDX-License-Identifier: MIT */
/*
 * Which frames go into the next write of the connection.
 *
 * Control frames (SYN, UPD, FIN, NOP) first, in the order they were asked for; a FIN waits for its
 * stream's data. Then data, a frame of a stream at a time. In a round each stream may send its
 * part: its weight's number of frames, in bytes. Streams wait in three lists:
 *
 *	ready --sent less than a frame of its part--> fresh --a frame--> turn --a frame--> turn ...
 *	      --sent more--------------------------> turn
 *	      --had its part in this round---------> later <---- its part is used up ------'
 *
 * fresh goes before turn, so that a stream that sends now and then waits for no busy one: at most
 * for the rest of a frame that the connection did not take whole. Every FRESH_RUN_MAX frames turn
 * goes before fresh, so that many new streams don't stop the old. When there is no turn the
 * round is over, and later is the next one's. All of it is O(1) a frame.
 *
 * What was gathered beyond what the connection takes goes back to its streams, and they have
 * their turns again, before all others: else a slow connection would know no weights. For that
 * a gather goes no further than the end of a round, unless there is one stream only.
 */
#include "base/list.h"
#include "base/mem.h"
#include "mux/session.h"

#define FRESH_RUN_MAX 16
#define ROUNDS_OWED 64 /* a part of earlier rounds is added up for so many: weights are lower */

/* ---- lists ---- */

static void list_init_fifo(struct tx_list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static void list_add(struct tx_list *l, struct push_node *node)
{
	node->next = NULL;
	*l->end = node;
	l->end = &node->next;
}

static struct push_node *list_pop(struct tx_list *l)
{
	struct push_node *node = l->first;

	if (node) {
		l->first = node->next;
		if (!l->first)
			l->end = &l->first;
	}
	return node;
}

void tx_init(struct tx *tx)
{
	list_init_fifo(&tx->control);
	list_init_fifo(&tx->fresh);
	list_init_fifo(&tx->turn);
	list_init_fifo(&tx->later);
	tx->round = 1;
}

/* ---- rounds ---- */

static int32_t part_of(const weft_mux *m, const struct weft_stream *s)
{
	return (int32_t)(m->options.max_frame_size * (word_peek(&s->state) >> STREAM_WEIGHT_SHIFT));
}

/* A new round's part, and no more than one, but what was sent too much stays so. */
static void renew(weft_mux *m, struct weft_stream *s)
{
	/* who comes back after just so many that it looks like none waits for one more */
	uint32_t rounds = (uint16_t)(m->tx.round - s->round);
	int64_t part = part_of(m, s), deficit;

	if (rounds == 0)
		return;
	s->round = (uint16_t)m->tx.round;
	deficit = s->deficit + part * (rounds < ROUNDS_OWED ? rounds : ROUNDS_OWED);
	s->deficit = (int32_t)(deficit < part ? deficit : part);
}

/* For one that was ready. */
static struct tx_list *list_of(weft_mux *m, struct weft_stream *s)
{
	renew(m, s);
	if (s->deficit <= 0)
		return &m->tx.later;
	return part_of(m, s) - s->deficit < (int32_t)m->options.max_frame_size ? &m->tx.fresh
									       : &m->tx.turn;
}

static void next_round(struct tx *tx)
{
	tx->turn.first = tx->later.first;
	tx->turn.end = tx->later.end;
	list_init_fifo(&tx->later);
	tx->round++;
}

/* One stream has sent all, and is the only one with more. */
static bool is_sole(const struct tx *tx)
{
	return tx->sole && tx->later.first == &tx->sole->ready && !tx->later.first->next;
}

/* NULL: nobody has data, or none in this round. */
static struct weft_stream *next_stream(weft_mux *m)
{
	struct tx *tx = &m->tx;
	struct weft_stream *s;

	for (;;) {
		if (tx->fresh.first &&
			(tx->fresh_run < FRESH_RUN_MAX || (!tx->turn.first && !tx->later.first))) {
			tx->fresh_run++;
			tx->fresh_overtook++;
			return container_of(list_pop(&tx->fresh), struct weft_stream, ready);
		}
		if (!tx->turn.first) {
			/* turns of a round that has begun can be given back, see the head */
			if (!tx->later.first || (tx->payload > 0 && !is_sole(tx)))
				return NULL;
			next_round(tx);
		}
		tx->fresh_run = 0;
		s = container_of(list_pop(&tx->turn), struct weft_stream, ready);
		renew(m, s);
		if (s->deficit > 0) {
			if (tx->turn_iov == TX_NO_IOV)
				tx->turn_iov = tx->iov_len;
			return s;
		}
		list_add(&tx->later, &s->ready);
	}
}

/* ---- frames ---- */

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
	uint32_t window = word_peek(&s->window), consumed = word_peek(&s->consumed);

	tx->frames++;
	tx->heads_len += SMUX_UPD_SIZE / SMUX_HEADER_SIZE;
	window_told(s, consumed + window);
	smux_put_upd(head, s->id, consumed, window);
	add_iov(tx, head, SMUX_UPD_SIZE);
}

static void count_data(weft_mux *m, struct weft_stream *s, size_t len)
{
	counter_own_add(&s->frames_out, 1);
	s->deficit -= (int32_t)len;
	if (m->tx.payload == 0)
		m->tx.sole = s;
	else if (m->tx.sole != s)
		m->tx.sole = NULL;
	m->tx.payload += len;
}

/* True: it has more. */
static bool add_chunk_frame(weft_mux *m, struct weft_stream *s)
{
	struct tx *tx = &m->tx;
	struct tx_chunk *c = s->framing;
	size_t len = c->len - c->off;

	if (len > m->options.max_frame_size)
		len = m->options.max_frame_size;
	if (len == c->len) {
		smux_put_header(c->head, m->options.version, SMUX_PSH, (uint16_t)len, s->id);
		tx->frames++;
		add_iov(tx, c->head, SMUX_HEADER_SIZE + len);
	} else {
		add_head(m, SMUX_PSH, len, s->id);
		add_iov(tx, c->data + c->off, len);
	}
	c->off += (uint32_t)len;
	count_data(m, s, len);
	if (c->off < c->len)
		return true;
	c->next = tx->chunks;
	tx->chunks = c;
	s->framing = NULL;
	return false;
}

/* Of its large write, which is held until the conn was tried. True: it has more. */
static bool add_request_frame(weft_mux *m, struct weft_stream *s)
{
	struct tx *tx = &m->tx;
	struct tx_request *r = s->held;
	size_t len = r->left;

	if (len > m->options.max_frame_size)
		len = m->options.max_frame_size;
	tx->requests[tx->requests_len++] = (struct tx_frame){
		.stream = s, .request = r, .iov = tx->iov_len, .len = (uint32_t)len
	};
	add_head(m, SMUX_PSH, len, s->id);
	add_iov(tx, (void *)(uintptr_t)r->data, len); /* the conn only reads it */
	r->data += len;
	r->left -= len;
	tx->uncopied += len;
	count_data(m, s, len);
	return r->left > 0;
}

/* Its small writes, if there are any. */
static bool take_chunk(struct weft_stream *s)
{
	s->framing = slot_take(&s->out);
	if (s->framing && weft_unlikely(s->framing->is_awaited))
		stream_ring(s);
	return s->framing;
}

/* Takes what it has to send next. False: nothing. */
static bool take_data(struct weft_stream *s)
{
	struct tx_request *r;

	if (s->is_held || s->framing)
		return s->is_held ? s->held->left > 0 : true;
	if (take_chunk(s))
		return true;
	r = slot_take(&s->big);
	if (!r)
		return false;
	/* small writes that came between the look at them and this one go first */
	if (take_chunk(s)) {
		(void)slot_swap(&s->big, r);
		return true;
	}
	s->is_held = true;
	s->held = r;
	stream_ref(s);
	return true;
}

static bool has_data(const struct weft_stream *s)
{
	if (s->fin == FIN_SENT)
		return false;
	if (s->is_held ? s->held->left > 0 : s->framing != NULL)
		return true;
	return slot_is_full(&s->out) || slot_is_full(&s->big);
}

static void add_fin(weft_mux *m, struct weft_stream *s)
{
	s->fin = FIN_SENT;
	add_head(m, SMUX_FIN, 0, s->id);
}

/* A frame of a stream that was taken from one of the lists, and what becomes of it then. */
static void visit(weft_mux *m, struct weft_stream *s)
{
	struct tx *tx = &m->tx;
	bool more = false;

	/* its writer did not know yet that it had failed, and will find out */
	if (weft_unlikely(s->fin == FIN_SENT))
		mem_free(slot_take(&s->out));
	else if (take_data(s))
		more = s->is_held ? add_request_frame(m, s) : add_chunk_frame(m, s);
	if (!more) {
		/* before the last look: what comes later puts it into the ready list again */
		(void)word_swap(&s->queued, 0);
		more = has_data(s) && !word_swap(&s->queued, 1);
	}
	if (more) {
		list_add(s->deficit > 0 ? &tx->turn : &tx->later, &s->ready);
		return;
	}
	if (s->fin == FIN_DUE && !has_data(s))
		add_fin(m, s);
	stream_unref(s);
}

/* ---- control frames ---- */

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
	if (word_swap(&m->self_want, 0) & WANT_NOP)
		add_head(m, SMUX_NOP, 0, 0);
	if (!add_refusals(m))
		tx_want_self(m, WANT_REFUSALS);
}

static void add_control(weft_mux *m, struct weft_stream *s)
{
	uint32_t want = word_swap(&s->want, 0);

	if (want & WANT_SYN)
		add_head(m, SMUX_SYN, 0, s->id);
	if (want & WANT_UPD)
		add_upd(m, s);
	/* whatever was written before it asked for the FIN is found, and comes first */
	if ((want & WANT_FIN) && has_data(s))
		s->fin = FIN_DUE;
	else if (want & WANT_FIN)
		add_fin(m, s);
	stream_unref(s);
}

/* ---- all ---- */

/* Both are linked from old to new. */
static void sort_in(weft_mux *m, struct push_node *ready, struct push_node *control)
{
	struct tx *tx = &m->tx;

	while (ready) {
		struct weft_stream *s = container_of(ready, struct weft_stream, ready);

		ready = ready->next;
		list_add(list_of(m, s), &s->ready);
	}
	while (control) {
		struct push_node *next = control->next;

		list_add(&tx->control, control);
		control = next;
	}
}

void tx_gather(weft_mux *m)
{
	struct tx *tx = &m->tx;
	/* data first: the SYN of its stream was asked for before, and is found after */
	struct push_node *ready = pushlist_take(&m->ready);
	struct weft_stream *s;

	sort_in(m, ready, pushlist_take(&m->control));
	tx->iov_len = tx->heads_len = tx->requests_len = 0;
	tx->frames = 0;
	tx->turn_iov = TX_NO_IOV;
	tx->bytes = tx->payload = tx->uncopied = 0;
	/* SYN, UPD (two heads), FIN */
	while (tx->control.first && has_room(tx, 4)) {
		struct push_node *node = list_pop(&tx->control);

		if (node == &m->self)
			add_self(m);
		else
			add_control(m, container_of(node, struct weft_stream, control));
	}
	/* a stream's SYN goes before its data */
	if (tx->control.first)
		return;
	/* a frame, and a FIN */
	while (has_room(tx, 2) && (s = next_stream(m)))
		visit(m, s);
}

/* Takes out those that are wanted. */
static void take_out(struct tx_list *l)
{
	struct push_node *node = l->first;

	list_init_fifo(l);
	while (node) {
		struct weft_stream *s = container_of(node, struct weft_stream, ready);

		node = node->next;
		if (s->again == AGAIN_WANTED)
			s->again = AGAIN_FOUND;
		else
			list_add(l, &s->ready);
	}
}

void tx_give_turn_back(weft_mux *m, struct weft_stream *s, size_t len)
{
	int32_t part = part_of(m, s), deficit = s->deficit + (int32_t)len;

	/* one that was alone had turns of many rounds */
	s->deficit = deficit < part ? deficit : part;
}

void tx_turn_back(weft_mux *m, unsigned first, unsigned cut)
{
	struct tx *tx = &m->tx;
	struct tx_list again;

	/* small writes that were gathered are kept: where the connection takes little, they could
	 * go before all large ones for ever */
	if (tx->turn_iov <= cut)
		tx->fresh_overtook = 0;
	tx->fresh_run = tx->fresh_overtook;
	if (first == tx->requests_len)
		return;
	for (unsigned i = first; i < tx->requests_len; i++)
		tx->requests[i].stream->again = AGAIN_WANTED;
	take_out(&tx->fresh);
	take_out(&tx->turn);
	take_out(&tx->later);
	list_init_fifo(&again);
	for (unsigned i = first; i < tx->requests_len; i++) {
		struct weft_stream *s = tx->requests[i].stream;

		if (s->again == AGAIN_FOUND)
			list_add(&again, &s->ready);
		s->again = AGAIN_NOT;
	}
	if (!again.first)
		return;
	*again.end = tx->turn.first;
	if (tx->turn.first)
		again.end = tx->turn.end;
	tx->turn.first = again.first;
	tx->turn.end = again.end;
}

static void drop_data(struct tx_list *l)
{
	struct push_node *node;

	while ((node = list_pop(l)))
		stream_unref(container_of(node, struct weft_stream, ready));
}

void tx_close_lists(weft_mux *m)
{
	struct tx *tx = &m->tx;
	struct push_node *node;

	sort_in(m, pushlist_close(&m->ready), pushlist_close(&m->control));
	while ((node = list_pop(&tx->control))) {
		if (node != &m->self)
			stream_unref(container_of(node, struct weft_stream, control));
	}
	drop_data(&tx->fresh);
	drop_data(&tx->turn);
	drop_data(&tx->later);
}
