/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* Who sends how much, and when: streams that share a connection which takes less than they have. */
#include "support/muxpeer.h"

#define MUCH ((size_t)8 << 20)

/* So that windows hold nobody up. */
static weft_stream *wide_stream(struct peer *p, uint32_t id)
{
	weft_stream *stream = peer_accept(p, id);

	if (p->version == 2)
		peer_upd(p, id, 0, 0x7fffffff);
	peer_flush(p);
	peer_fence(p);
	return stream;
}

/* Nothing moves any more: the connection is full. */
static uint64_t settled_bytes(struct peer *p)
{
	uint64_t before = UINT64_MAX, now = peer_stats(p).wire_out;

	while (before != now) {
		before = now;
		OK(weft_sleep_ms(20));
		now = peer_stats(p).wire_out;
	}
	return now;
}

/* Bytes on the wire until data of that stream comes, its frame not counted. */
static uint64_t bytes_before(struct peer *p, uint32_t id, uint64_t have)
{
	struct peer_frame frame;

	for (;;) {
		OK(peer_read(p, &frame, SOON));
		if (frame.cmd == SMUX_PSH && frame.id == id)
			return have;
		have += SMUX_HEADER_SIZE + frame.len;
	}
}

/* What the connection has taken already is not the session's any more. */
static void ping_beside(struct peer *p, weft_stream *pinger, uint64_t *come, size_t most)
{
	uint64_t taken = settled_bytes(p), before;

	stream_write(pinger, 0, 1);
	before = bytes_before(p, weft_stream_id(pinger), *come);
	ck_assert_msg(before <= taken + most, "%d bytes came before it", (int)(before - taken));
	*come = before + SMUX_HEADER_SIZE + 1;
}

static void drop_rest(struct peer *p, struct stream_call *call, weft_stream *busy)
{
	weft_stream_close(busy);
	(void)!stream_call_end(call);
	peer_hang_up(p);
	weft_stream_free(busy);
}

static void ping_beside_bulk(struct peer *p, size_t frame_size)
{
	struct stream_call call;
	weft_stream *busy, *pinger;
	uint64_t come = 0;

	p->options.max_frame_size = frame_size;
	peer_start(p);
	busy = wide_stream(p, 3);
	pinger = wide_stream(p, 5);
	/* what the fences answered */
	while (come < settled_bytes(p)) {
		struct peer_frame frame;

		OK(peer_read(p, &frame, SOON));
		come += SMUX_HEADER_SIZE + frame.len;
	}
	stream_block_start(&call, busy);
	for (int i = 0; i < 5; i++)
		ping_beside(p, pinger, &come, SMUX_HEADER_SIZE + frame_size);
	weft_stream_free(pinger);
	drop_rest(p, &call, busy);
}

PEER_TEST(mux_a_ping_waits_for_one_frame_of_a_busy_stream_at_most)
{
	ping_beside_bulk(p, 32768);
}

PEER_TEST(mux_a_ping_waits_for_one_small_frame_at_most)
{
	ping_beside_bulk(p, 1000);
}

/* ---- shares ---- */

struct busy {
	weft_stream *stream;
	size_t piece;
	uint64_t come;
	weft_fiber *fiber;
};

static weft_err write_for_ever(void *arg)
{
	struct busy *b = arg;
	char *data = calloc(1, b->piece);

	ck_assert_ptr_nonnull(data);
	while (!weft_stream_write(b->stream, data, b->piece, NULL, SOON))
		;
	free(data);
	return WEFT_OK;
}

/* The peer takes so many bytes, of streams 3, 5, ... */
static void share(struct peer *p, struct busy *busy, uint32_t count, uint64_t bytes)
{
	struct peer_frame frame;

	for (uint32_t i = 0; i < count; i++)
		busy[i].fiber = spawn(write_for_ever, &busy[i]);
	/* at first the connection takes what the first one has, some 8 MB with TCP */
	for (uint64_t come = 0; come < bytes; come += frame.len) {
		OK(peer_read(p, &frame, SOON));
		if (come > bytes / 2 && frame.cmd == SMUX_PSH && (frame.id - 3) / 2 < count)
			busy[(frame.id - 3) / 2].come += frame.len;
	}
	for (uint32_t i = 0; i < count; i++)
		weft_stream_close(busy[i].stream);
	peer_hang_up(p);
	for (uint32_t i = 0; i < count; i++) {
		join(busy[i].fiber);
		weft_stream_free(busy[i].stream);
	}
}

static uint64_t bytes_to_share(const struct peer *p)
{
	return p->buffers_little ? 300000 : p->kind == PEER_TCP ? MUCH * 3 : MUCH / 2;
}

static void expect_ratio(uint64_t a, uint64_t b, double ratio, double slack)
{
	ck_assert_msg((double)a > (double)b * ratio * (1 - slack) &&
			(double)a < (double)b * ratio * (1 + slack),
		"%d to %d bytes", (int)a, (int)b);
}

PEER_TEST(mux_busy_streams_share_alike)
{
	struct busy busy[3] = { { .piece = 1 << 20 }, { .piece = 1 << 20 }, { .piece = 200000 } };

	p->options.max_frame_size = p->buffers_little ? 500 : 16384;
	peer_start(p);
	for (uint32_t i = 0; i < 3; i++)
		busy[i].stream = wide_stream(p, 3 + 2 * i);
	share(p, busy, 3, bytes_to_share(p));
	/* who writes less at once is not always there when its turn comes */
	expect_ratio(busy[0].come, busy[1].come, 1, 0.1);
	expect_ratio(busy[1].come, busy[2].come, 1, 0.4);
}

PEER_TEST(mux_busy_streams_share_by_weight)
{
	struct busy busy[3] = { { .piece = 1 << 20 }, { .piece = 1 << 20 }, { .piece = 1 << 20 } };
	static const unsigned weights[] = { 4, 12, 24 };

	p->options.max_frame_size = p->buffers_little ? 100 : 4096;
	peer_start(p);
	for (uint32_t i = 0; i < 3; i++) {
		busy[i].stream = wide_stream(p, 3 + 2 * i);
		OK(weft_stream_weight(busy[i].stream, weights[i]));
	}
	FAILS(WEFT_EINVAL, weft_stream_weight(busy[0].stream, 0));
	FAILS(WEFT_EINVAL, weft_stream_weight(busy[0].stream, WEFT_STREAM_WEIGHT_MAX + 1));
	share(p, busy, 3, bytes_to_share(p));
	/* who writes by pieces is not always there when its turn comes */
	expect_ratio(busy[1].come, busy[0].come, 3, 0.3);
	expect_ratio(busy[2].come, busy[1].come, 2, 0.2);
}

/* Those who come and go are served first, but not only they. */
PEER_TEST(mux_many_small_writers_do_not_stop_a_large_one)
{
	enum { MANY = 40 };
	static struct busy busy[MANY];
	uint32_t many = p->buffers_little ? 8 : MANY; /* slow */
	uint64_t others = 0;

	memset(busy, 0, sizeof(busy));
	p->options.max_frame_size = p->buffers_little ? 1000 : 8192;
	peer_start(p);
	for (uint32_t i = 0; i < many; i++) {
		busy[i].piece = i ? 100 : 1 << 20;
		busy[i].stream = wide_stream(p, 3 + 2 * i);
	}
	share(p, busy, many, bytes_to_share(p));
	for (uint32_t i = 1; i < many; i++)
		others += busy[i].come;
	ck_assert_uint_gt(others, 0);
	ck_assert_msg(
		busy[0].come > others / many / 4, "%d to %d bytes", (int)busy[0].come, (int)others);
}

/* ---- who never waits ---- */

struct turns {
	unsigned count;
	bool over;
};

static weft_err count_turns(void *arg)
{
	struct turns *t = arg;

	for (; !t->over; t->count++)
		(void)weft_yield();
	return WEFT_OK;
}

/* It has a byte at a time of what is there. */
PEER_TEST(mux_a_reader_who_never_waits_leaves_others_their_turn)
{
	struct turns t = { .count = 0 };
	weft_stream *stream;
	weft_fiber *fiber;
	uint8_t byte;
	size_t got;

	peer_start(p);
	stream = peer_accept(p, 3);
	peer_pattern(p, 3, 0, 10000);
	peer_flush(p);
	PEER_UNTIL(p, stats, stats.unread == 10000);
	fiber = spawn(count_turns, &t);
	for (unsigned i = 0; i < 10000; i++)
		T_OUGHT(weft_stream_read(stream, &byte, 1, &got, SOON) == WEFT_OK);
	ck_assert_uint_ge(t.count, 10);
	t.over = true;
	join(fiber);
	weft_stream_free(stream);
}

static void fair_tests(TCase *tc)
{
	peer_add(tc, mux_a_ping_waits_for_one_frame_of_a_busy_stream_at_most);
	peer_add(tc, mux_a_ping_waits_for_one_small_frame_at_most);
	peer_add(tc, mux_busy_streams_share_alike);
	peer_add(tc, mux_busy_streams_share_by_weight);
	peer_add(tc, mux_many_small_writers_do_not_stop_a_large_one);
	peer_add(tc, mux_a_reader_who_never_waits_leaves_others_their_turn);
}
T_SUITE("mux_fair", fair_tests)
