/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* Memory that a session has to read into: it grows with what comes, and goes again. */
#include "mux/account.h"
#include "support/muxpeer.h"

#define BURST ((size_t)240000) /* less than the first window of version 2 */
#define FRAMES 5

/* Nobody reads until all of it has come. */
static void burst(struct peer *p, weft_stream *stream, uint64_t from)
{
	weft_fiber *flusher;
	size_t held;

	for (unsigned i = 0; i < FRAMES; i++)
		peer_pattern(p, 3, from + i * (BURST / FRAMES), BURST / FRAMES);
	flusher = spawn(peer_flush_fiber, p);
	PEER_UNTIL(p, stats, stats.unread == BURST);
	join(flusher);
	held = peer_stats(p).memory + peer_stats(p).memory_read;
	ck_assert_uint_ge(held, BURST);
	ck_assert_uint_le(held, 2 * BURST + (RX_SPARES_MAX + 1) * RX_BLOCK_MAX);
	stream_want(stream, from, BURST);
}

PEER_TEST(mux_reads_into_what_grows_with_what_comes_and_goes_again)
{
	weft_stream *stream;
	uint64_t reads;

	peer_start(p);
	stream = peer_accept(p, 3);
	ck_assert_uint_le(peer_stats(p).memory_read, RX_BLOCK_MIN);
	reads = peer_stats(p).reads;
	burst(p, stream, 0);
	/* by the smallest blocks it would be at least BURST / RX_BLOCK_MIN; the simulator's reads
	 * are small by chance */
	if (!p->sim)
		ck_assert_uint_lt(peer_stats(p).reads - reads, BURST / RX_BLOCK_MIN / 2);
	PEER_UNTIL(p, stats, stats.memory == 0 && stats.memory_read <= RX_BLOCK_MIN);
	if (p->version == 1)
		burst(p, stream, BURST);
	weft_stream_free(stream);
}

PEER_TEST(mux_reads_into_no_more_than_may_come)
{
	weft_stream *stream;

	p->options.max_receive_buffer = p->options.max_stream_buffer = 5000;
	peer_start(p);
	stream = peer_accept(p, 3);
	for (uint64_t i = 0; i < 20; i++) {
		peer_pattern(p, 3, i * 5000, 5000);
		peer_flush(p);
		stream_want(stream, i * 5000, 5000);
		ck_assert_uint_le(peer_stats(p).memory_read, (RX_SPARES_MAX + 1) * 5000);
	}
	weft_stream_free(stream);
}

/* ---- streams that nobody reads ---- */

#define ASLEEP 4
#define ASLEEP_PIECE 8192 /* at a time; large enough to stay where it was received */
#define AWAKE_PIECE 56000
#define ROUNDS 100 /* in which a stream that sleeps gets less than its first window */
#define RECEIVED_MAX (ROUNDS * ASLEEP_PIECE + 2 * AWAKE_PIECE)

/* A little of what nobody reads lies among much that was read: it does not keep all that. */
PEER_TEST(mux_streams_that_sleep_hold_no_more_memory_than_they_got)
{
	weft_stream *asleep[ASLEEP], *awake;

	p->options.max_receive_buffer = RECEIVED_MAX;
	peer_start(p);
	for (unsigned i = 0; i < ASLEEP; i++)
		asleep[i] = peer_accept(p, 3 + 2 * i);
	awake = peer_accept(p, 3 + 2 * ASLEEP);
	for (unsigned i = 0; i < ROUNDS; i++) {
		peer_pattern(p, 3 + 2 * (i % ASLEEP), i / ASLEEP * ASLEEP_PIECE, ASLEEP_PIECE);
		peer_pattern(p, 3 + 2 * ASLEEP, (uint64_t)i * AWAKE_PIECE, AWAKE_PIECE);
		peer_flush(p);
		stream_want(awake, (uint64_t)i * AWAKE_PIECE, AWAKE_PIECE);
	}
	ck_assert_uint_eq(peer_stats(p).stalls_memory, 0);
	/* from half of what may be held on, what comes is copied out of its block */
	ck_assert_uint_le(peer_stats(p).memory,
		2 * RECEIVED_MAX + RX_BLOCK_MAX + ROUNDS * ASLEEP_PIECE * 5 / 4);
	for (unsigned i = 0; i < ASLEEP; i++) {
		stream_want(asleep[i], 0, ROUNDS / ASLEEP * ASLEEP_PIECE);
		weft_stream_free(asleep[i]);
	}
	ck_assert_uint_eq(peer_stats(p).unread, 0);
	weft_stream_free(awake);
}

/* ---- many streams in one turn, while memory runs out ---- */

enum { MANY = 40, PIECE = 20 };

struct many {
	weft_mux *mux;
	weft_conn *peer;
	weft_stream *streams[MANY];
};

static void many_start(struct many *w)
{
	weft_mux_options options = WEFT_MUX_OPTIONS_DEFAULT;
	uint8_t syns[MANY * SMUX_HEADER_SIZE];
	weft_conn *ends[2];

	options.keepalive_disabled = true;
	options.linger_ns = 0;
	OK(weft_conn_pair(ends, 0));
	OK(weft_mux_create_own(&w->mux, ends[0], WEFT_MUX_SERVER, &options));
	w->peer = ends[1];
	for (uint32_t i = 0; i < MANY; i++)
		smux_put_header(syns + i * SMUX_HEADER_SIZE, 1, SMUX_SYN, 0, 3 + 2 * i);
	OK(weft_conn_write(w->peer, syns, sizeof(syns), NULL, SOON));
	for (unsigned i = 0; i < MANY; i++)
		OK(weft_mux_accept(w->mux, &w->streams[i], SOON));
}

static void many_end(struct many *w, uint64_t fibers)
{
	for (unsigned i = 0; i < MANY; i++)
		weft_stream_free(w->streams[i]);
	weft_mux_free(w->mux);
	weft_conn_free(w->peer);
	while (weft_fiber_count() != fibers)
		(void)weft_yield();
}

static uint64_t frames_in(const struct many *w)
{
	weft_mux_stats stats;

	weft_mux_stats_get(w->mux, &stats);
	return stats.frames_in;
}

/* Two frames for each, by turns, in one write. */
static void many_send(struct many *w)
{
	uint8_t frames[2 * MANY * (SMUX_HEADER_SIZE + PIECE)], *at = frames;
	uint64_t until = frames_in(w) + (uint64_t)2 * MANY;

	for (uint32_t i = 0; i < 2 * MANY; i++) {
		smux_put_header(at, 1, SMUX_PSH, PIECE, 3 + 2 * (i % MANY));
		fill(at + SMUX_HEADER_SIZE, PIECE, (uint64_t)i / MANY * PIECE);
		at += SMUX_HEADER_SIZE + PIECE;
	}
	OK(weft_conn_write(w->peer, frames, sizeof(frames), NULL, SOON));
	while (frames_in(w) < until)
		(void)weft_yield();
}

/* Whole, or lost with an error that says so. */
static bool many_get(weft_stream *stream)
{
	uint8_t data[2 * PIECE];
	size_t len = 0, got;

	while (len < sizeof(data)) {
		weft_err err = weft_stream_read(stream, data + len, sizeof(data) - len, &got, SOON);

		if (err == WEFT_ENOMEM)
			return false;
		OK(err);
		len += got;
	}
	ck_assert(matches(data, len, 0));
	return true;
}

static weft_err many_fiber(void *arg)
{
	uint64_t fibers = weft_fiber_count();
	unsigned lost_any = 0;
	bool has_failed = true;

	(void)arg;
	for (uint64_t n = 1; has_failed; n++) {
		struct many w;
		unsigned lost = 0;

		many_start(&w);
		t_malloc_fail_at(n);
		many_send(&w);
		has_failed = t_malloc_failed();
		t_malloc_fail_off();
		for (unsigned i = 0; i < MANY; i++)
			lost += !many_get(w.streams[i]);
		/* who had no place in the turn's list, or a smaller block, lost nothing */
		ck_assert_uint_le(lost, has_failed);
		lost_any += lost;
		many_end(&w, fibers);
	}
	ck_assert_uint_eq(lost_any, MANY);
	return WEFT_OK;
}

START_TEST(mux_many_streams_get_what_came_at_once_while_malloc_fails)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;

	options.workers = 1;
	OK(weft_run(many_fiber, NULL, &options));
}
END_TEST

static void memory_tests(TCase *tc)
{
	/* over real conns it takes two seconds of idleness */
	t_add_loop(tc, mux_reads_into_what_grows_with_what_comes_and_goes_again, PEER_TCP,
		PEER_SIM + 1);
	peer_add_sim_v2(tc, mux_reads_into_what_grows_with_what_comes_and_goes_again);
	peer_add(tc, mux_reads_into_no_more_than_may_come);
	peer_add(tc, mux_streams_that_sleep_hold_no_more_memory_than_they_got);
	t_add(tc, mux_many_streams_get_what_came_at_once_while_malloc_fails);
}
T_SUITE("mux_memory", memory_tests)
