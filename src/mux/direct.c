/* SPDX-License-Identifier: MIT */
/*
 * What is received goes into the memory of a reader that waits for it, without a copy: the rest of the
 * frame under way, and frames that are expected since those before had the same header. Their headers
 * go into the block, and what follows as well, all by one call:
 *
 *	reader   [rest of a frame]           [payload]           [payload]
 *	block                      [header] . kept  . [header] . kept  . [what follows]
 *
 * A place is kept in the block for each payload, so that where the peer sent something else, what went
 * to the reader is copied there, and decoded as ever. Nothing of that is counted as the reader's.
 *
 * Who owns the memory. A reader offers it while it waits with nothing unread (mux.offer, one offer a
 * session: large frames come one after the other). The session's reader takes the offer for one call
 * that does not wait, then says that it is done or puts it back. A reader that leaves, for whatever
 * reason, takes its offer back first: it waits only for that call.
 *
 * Only where one stream has the connection to itself for some frames; else nothing is offered, and
 * nothing costs more. There, per read: two atomic exchanges, and a call of poll(2) where it waits, since
 * what comes then must not go into the block by itself. Of a stream of 64 KiB writes over TCP a third
 * or more is not copied.
 */
#include "base/list.h"
#include "mux/session.h"
#include "net/conn.h"

#include <string.h>

#define GUESSES 4     /* frames that are expected at once */
#define GUESS_AFTER 2 /* frames with the same header as the one before: then it is expected again */

struct plan {
	struct rx_request *request;
	struct weft_stream *stream;
	struct iovec iov[2 * GUESSES + 2];
	unsigned iov_len, guesses;
	size_t bytes; /* of iov */
	size_t rest;  /* of the frame under way, to the reader */
	size_t frame; /* payload of each that is expected */
};

/* ---- offers ---- */

void direct_offer(weft_mux *m, struct rx_request *r)
{
	struct rx_request *before;

	r->got = 0;
	word_put(&r->done, 0);
	before = slot_swap(&m->offer, r);
	if (before)
		(void)word_swap(&before->done, 1);
}

void direct_withdraw(weft_mux *m, struct rx_request *r)
{
	unsigned spins = 0;

	/* the session's reader has it for one call that does not wait */
	while (!word_get(&r->done) && !slot_change(&m->offer, r, NULL))
		(void)rt_relax(&spins, true);
}

static void put_back(weft_mux *m, struct rx_request *r)
{
	/* another one came: that is offered then */
	if (!slot_change(&m->offer, NULL, r))
		(void)word_swap(&r->done, 1);
}

static void finish(struct rx_request *r, size_t got)
{
	weft_parker *parker = r->parker;

	r->got = got;
	(void)word_swap(&r->done, 1);
	weft_unpark(parker);
}

/* ---- what is expected ---- */

static size_t frame_length(const weft_mux *m)
{
	return m->decoder.head[2] | (size_t)m->decoder.head[3] << 8;
}

/* The decoder's header is that of the last large frame. */
static bool is_last_head(const weft_mux *m)
{
	return memcmp(m->decoder.head, &m->last_head, SMUX_HEADER_SIZE) == 0;
}

void direct_note_frame(weft_mux *m)
{
	bool takes_turns;

	if (frame_length(m) < RX_DIRECT_MIN)
		return;
	m->same_heads = is_last_head(m) ? m->same_heads + 1 : 0;
	memcpy(&m->last_head, m->decoder.head, SMUX_HEADER_SIZE);
	takes_turns = m->same_heads < GUESS_AFTER;
	if (weft_unlikely(takes_turns != (bool)word_peek(&m->takes_turns)))
		word_put(&m->takes_turns, takes_turns);
}

/* Large frames came that all had the header of the last one. */
static bool is_run(const weft_mux *m)
{
	return m->same_heads >= GUESS_AFTER && is_last_head(m);
}

/* And so will the next one. */
static bool is_expected(const weft_mux *m)
{
	return m->decoder.have == 0 && is_run(m);
}

/* What comes next is large. False: nobody waits for it. */
static bool claim(weft_mux *m, struct plan *p)
{
	struct rx_request *r;
	struct weft_stream *s;

	if (!slot_is_full(&m->offer))
		return false;
	s = mux_find(m, m->decoder.id);
	if (!s || (word_get(&s->state) & (STREAM_CLOSED | STREAM_RX_FIN | STREAM_FAILED)))
		return false;
	r = slot_take(&m->offer);
	if (!r)
		return false;
	/* what it was handed comes first; it takes that only after its offer */
	if (r->stream != s || !feed_is_empty(&s->feed)) {
		put_back(m, r);
		return false;
	}
	p->request = r;
	p->stream = s;
	return true;
}

static void add_iov(struct plan *p, void *data, size_t len)
{
	if (len == 0)
		return;
	p->iov[p->iov_len++] = (struct iovec){ data, len };
	p->bytes += len;
}

static void make_plan(weft_mux *m, struct plan *p, const struct iovec *block)
{
	uint8_t *at = block->iov_base, *to = p->request->data;
	size_t left = block->iov_len, room = p->request->room;

	p->iov_len = p->guesses = 0;
	p->bytes = 0;
	p->rest = m->decoder.left < room ? m->decoder.left : room;
	p->frame = frame_length(m);
	add_iov(p, to, p->rest);
	to += p->rest;
	room -= p->rest;
	if (p->rest == m->decoder.left && is_expected(m)) {
		while (p->guesses < GUESSES && room >= p->frame &&
			left >= SMUX_HEADER_SIZE + p->frame) {
			add_iov(p, at, SMUX_HEADER_SIZE);
			add_iov(p, to, p->frame);
			p->guesses++;
			to += p->frame;
			room -= p->frame;
			at += SMUX_HEADER_SIZE + p->frame;
			left -= SMUX_HEADER_SIZE + p->frame;
		}
	}
	add_iov(p, at, left);
}

/* ---- what came ---- */

/* Of the payload under way. */
static bool deliver(weft_mux *m, struct plan *p, size_t len)
{
	smux_decoder_skip(&m->decoder, (uint32_t)len);
	return len == 0 || mux_came(m, p->stream, len);
}

/* Of len bytes, those that are not as expected: to their places behind their headers. */
static void move_back(const struct plan *p, uint8_t *at, const uint8_t *from, size_t len)
{
	for (unsigned i = 0; i < p->guesses && len > SMUX_HEADER_SIZE; i++) {
		size_t n = len - SMUX_HEADER_SIZE < p->frame ? len - SMUX_HEADER_SIZE : p->frame;

		memcpy(at + SMUX_HEADER_SIZE, from, n);
		from += n;
		at += SMUX_HEADER_SIZE + n;
		len -= SMUX_HEADER_SIZE + n;
	}
}

/* Of len bytes: *block is what is to be decoded then. Returns how many the reader has. */
static size_t settle(weft_mux *m, struct plan *p, size_t len, struct iovec *block)
{
	uint8_t *at = block->iov_base, *to = p->request->data;
	size_t n = len < p->rest ? len : p->rest;
	bool good = deliver(m, p, n);
	struct smux_frame f;

	to += n;
	len -= n;
	for (; p->guesses > 0 && len >= SMUX_HEADER_SIZE; p->guesses--) {
		const uint8_t *head = at;
		size_t head_len = SMUX_HEADER_SIZE;

		if (!good || memcmp(head, m->decoder.head, SMUX_HEADER_SIZE) != 0)
			break;
		(void)smux_decoder_next(&m->decoder, &head, &head_len, &f);
		counter_own_add(&m->counters.frames_in, 1);
		len -= SMUX_HEADER_SIZE;
		n = len < p->frame ? len : p->frame;
		good = deliver(m, p, n);
		to += n;
		at += SMUX_HEADER_SIZE + n;
		len -= n;
	}
	*block = (struct iovec){ at, len };
	move_back(p, at, to, len);
	n = (size_t)(to - p->request->data);
	counter_own_add(&m->counters.bytes_in, n);
	if (!good)
		return 0;
	(void)counter_add(&m->counters.uncopied_in, n);
	return n;
}

/* What comes next may be for a reader, also for one that is only about to wait: the first large frame,
 * and what is one of many. Where streams take turns hardly any would be, and waiting costs a call more
 * so. */
static bool is_due(const weft_mux *m)
{
	bool is_within = m->decoder.left >= RX_DIRECT_MIN && (m->last_head == 0 || is_run(m));

	return (is_within || is_expected(m)) && conn_can_await(m->conn);
}

/* By a call that does not wait. WEFT_ETIMEDOUT: there is nothing to read. */
static weft_err receive_now(weft_mux *m, struct rx_came *came)
{
	struct plan p = { .request = NULL };
	bool is_claimed = claim(m, &p);
	weft_err err;

	if (is_claimed)
		make_plan(m, &p, &came->block);
	else
		add_iov(&p, came->block.iov_base, came->block.iov_len);
	err = weft_conn_readv(m->conn, p.iov, p.iov_len, &came->bytes, WEFT_NOW);
	came->is_full = came->bytes == p.bytes;
	if (err && is_claimed)
		put_back(m, p.request);
	if (!err && !is_claimed)
		came->block.iov_len = came->bytes;
	if (!err && is_claimed) {
		came->direct = settle(m, &p, came->bytes, &came->block);
		finish(p.request, came->direct);
	}
	return err;
}

weft_err direct_receive(weft_mux *m, struct rx_came *came)
{
	weft_deadline until = clock_next(m);
	size_t room = came->block.iov_len;
	weft_err err = WEFT_OK;

	came->direct = came->bytes = 0;
	while (!err && is_due(m)) {
		err = receive_now(m, came);
		if (err != WEFT_ETIMEDOUT)
			return err;
		err = conn_await(m->conn, until);
	}
	if (err)
		return err;
	err = weft_conn_readv(m->conn, &came->block, 1, &came->bytes, until);
	came->block.iov_len = came->bytes;
	came->is_full = came->bytes == room;
	return err;
}
