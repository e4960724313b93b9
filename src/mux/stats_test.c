/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=120 */
/* What sessions and streams say of themselves. */
#include "support/crew.h"
#include "support/muxpeer.h"

#define WINDOW WEFT_MUX_INITIAL_WINDOW

static weft_stream_stats of(const weft_stream *stream)
{
	weft_stream_stats stats;

	weft_stream_stats_get(stream, &stats);
	return stats;
}

PEER_TEST(mux_counts_bytes_frames_and_writes)
{
	uint64_t sum = 0, large = 0;
	struct stream_call call;
	weft_mux_stats stats;
	weft_stream *a, *b;

	p->options.max_frame_size = 1000;
	peer_start(p);
	a = peer_accept(p, 3);
	b = peer_accept(p, 5);
	for (unsigned i = 0; i < 10; i++)
		peer_pattern(p, 3, i * 100, 100);
	peer_pattern(p, 5, 0, 50000);
	peer_flush(p);
	stream_want(a, 0, 700);
	stream_want(b, 0, 50000);
	stream_write_start(&call, a, 0, 10000);
	peer_want_data(p, 3, 0, 10000);
	OK(stream_call_end(&call));
	ck_assert_uint_eq(of(a).bytes_in, 1000);
	ck_assert_uint_eq(of(a).frames_in, 10);
	ck_assert_uint_eq(of(a).unread, 300);
	ck_assert_uint_eq(of(a).bytes_out, 10000);
	ck_assert_uint_eq(of(a).frames_out, 10);
	ck_assert_uint_eq(of(b).bytes_in, 50000);
	ck_assert_uint_eq(of(b).frames_in, 1);
	ck_assert_uint_eq(of(b).unread, 0);
	ck_assert_uint_eq(of(b).frames_out, 0);
	stats = peer_stats(p);
	ck_assert_uint_eq(stats.bytes_in, 51000);
	ck_assert_uint_eq(stats.frames_in, 2 + 11);
	ck_assert_uint_eq(stats.wire_in, 51000 + 13 * SMUX_HEADER_SIZE);
	ck_assert_uint_eq(stats.bytes_out, 10000);
	ck_assert_uint_ge(stats.wire_out, 10000 + 10 * SMUX_HEADER_SIZE);
	/* at most one frame of it was cut, and what it lacked kept for later */
	ck_assert_uint_le(stats.uncopied_out, 10000);
	if (!p->buffers_little)
		ck_assert_uint_eq(stats.uncopied_out, 10000);
	for (unsigned i = 0; i < WEFT_MUX_WRITE_SIZES; i++)
		sum += stats.write_sizes[i];
	for (unsigned i = 4; i < WEFT_MUX_WRITE_SIZES; i++)
		large += stats.write_sizes[i];
	ck_assert_uint_eq(sum, stats.writes);
	ck_assert_uint_le(large, 2); /* of at least 4096 bytes */
	weft_stream_free(a);
	weft_stream_free(b);
}

PEER_TEST(mux_counts_what_it_does_not_copy)
{
	weft_stream *stream;
	weft_buf got;

	peer_start(p);
	stream = peer_accept(p, 3);
	peer_pattern(p, 3, 0, 1000);
	peer_flush(p);
	stream_want(stream, 0, 300);
	ck_assert_uint_eq(peer_stats(p).uncopied_in, 0);
	for (size_t left = 700; left > 0;) {
		OK(weft_stream_read_buf(stream, &got, 0, SOON));
		left -= got.len;
		weft_buf_unref(&got);
	}
	ck_assert_uint_eq(peer_stats(p).uncopied_in, 700);
	stream_write(stream, 0, 500);
	peer_want_data(p, 3, 0, 500);
	PEER_UNTIL(p, stats, stats.bytes_out == 500);
	ck_assert_uint_eq(peer_stats(p).uncopied_out, 0);
	weft_stream_free(stream);
}

PEER_TEST(mux_counts_a_writer_that_waits_for_the_window)
{
	struct stream_call call;
	weft_stream *stream;

	peer_start(p);
	stream = peer_accept(p, 3);
	ck_assert_uint_eq(of(stream).window_out, WINDOW);
	stream_write_start(&call, stream, 0, WINDOW + 10);
	peer_want_data(p, 3, 0, WINDOW);
	ck_assert_uint_eq(of(stream).window_out, 0);
	crew_settle(); /* all run on one worker: the writer waits now */
	OK(weft_sleep_ms(30));
	peer_upd(p, 3, WINDOW, WINDOW);
	peer_flush(p);
	OK(stream_call_end(&call));
	ck_assert_uint_eq(of(stream).stalls_window, 1);
	ck_assert_uint_ge(of(stream).stalled_window_ns, 10000000);
	ck_assert_uint_eq(peer_stats(p).stalls_window, 1);
	ck_assert_uint_ge(peer_stats(p).stalled_window_ns, 10000000);
	peer_want_data(p, 3, WINDOW, 10);
	ck_assert_uint_eq(of(stream).window_out, WINDOW - 10);
	weft_stream_free(stream);
}

PEER_TEST(mux_counts_a_connection_that_is_full)
{
	size_t len = p->buffers_little ? 100000 : 16 << 20;
	struct stream_call call;
	weft_stream *stream;

	peer_start(p);
	stream = peer_accept(p, 3);
	if (p->version == 2)
		peer_upd(p, 3, 0, 0x7fffffff);
	peer_flush(p);
	peer_fence(p);
	stream_write_start(&call, stream, 0, len);
	OK(weft_sleep_ms(30));
	peer_want_data(p, 3, 0, len);
	OK(stream_call_end(&call));
	ck_assert_uint_ge(of(stream).stalls_conn, 1);
	PEER_UNTIL(p, stats, stats.stalls_conn >= 1);
	ck_assert_uint_gt(peer_stats(p).stalled_conn_ns, 0);
	ck_assert_uint_eq(of(stream).stalls_window, 0);
	weft_stream_free(stream);
}

PEER_TEST(mux_counts_a_reader_that_is_slow)
{
	weft_stream *slow, *fast;

	peer_start(p);
	slow = peer_accept(p, 3);
	fast = peer_accept(p, 5);
	for (unsigned i = 0; i < 8; i++) {
		peer_pattern(p, 3, i * (WINDOW / 8), WINDOW / 8);
		if (i % 2) {
			peer_pattern(p, 5, i / 2 * 100, 100);
			peer_flush(p);
			stream_want(fast, i / 2 * 100, 100);
		}
	}
	peer_fence(p);
	ck_assert_uint_eq(of(slow).stalls_reader, 1);
	ck_assert_uint_eq(of(fast).stalls_reader, 0);
	ck_assert_uint_eq(peer_stats(p).stalls_reader, 1);
	stream_want(slow, 0, WINDOW);
	ck_assert_uint_eq(of(slow).window_in, p->options.max_stream_buffer);
	ck_assert_uint_eq(peer_stats(p).windows, 2 * p->options.max_stream_buffer);
	weft_stream_free(slow);
	weft_stream_free(fast);
	PEER_UNTIL(p, stats, stats.windows == 0);
}

PEER_TEST(mux_counts_the_time_that_it_does_not_read)
{
	weft_stream *stream;
	weft_fiber *flusher;

	p->options.max_receive_buffer = p->options.max_stream_buffer = 5000;
	peer_start(p);
	stream = peer_accept(p, 3);
	peer_pattern(p, 3, 0, 60000);
	peer_pattern(p, 3, 60000, 60000);
	flusher = spawn(peer_flush_fiber, p);
	PEER_UNTIL(p, stats, stats.stalls_buffer == 1);
	ck_assert_uint_eq(peer_stats(p).stalled_buffer_ns, 0);
	OK(weft_sleep_ms(20));
	stream_want(stream, 0, 120000);
	join(flusher);
	ck_assert_uint_ge(peer_stats(p).stalled_buffer_ns, 10000000);
	ck_assert_uint_eq(peer_stats(p).stalled_memory_ns, 0);
	weft_stream_free(stream);
}

/* ---- the round trip ---- */

PEER_TEST(mux_knows_the_round_trip_of_tcp)
{
	weft_stream *stream;

	peer_start(p);
	stream = peer_accept(p, 3);
	for (uint64_t i = 0; i < 3; i++) {
		stream_write(stream, i, 1);
		peer_want_data(p, 3, i, 1);
		OK(weft_sleep_ms(110));
		peer_pattern(p, 3, i, 1);
		peer_flush(p);
		stream_want(stream, i, 1);
	}
	ck_assert_int_eq(peer_stats(p).rtt_source, WEFT_MUX_RTT_TCP);
	ck_assert_int_gt(peer_stats(p).rtt_ns, 0);
	ck_assert_int_lt(peer_stats(p).rtt_ns, 1000000000);
	weft_stream_free(stream);
}

/* The peer here sends what it is allowed after 50 ms, and each time at once after 20 ms. */
static void measure(struct peer *p, weft_stream *stream)
{
	uint64_t at = 0;

	for (unsigned i = 0; i < 8; i++, at += WINDOW / 8)
		peer_pattern(p, 3, at, WINDOW / 8);
	peer_flush(p);
	for (unsigned i = 0; i < 4; i++) {
		stream_want(stream, at - WINDOW, WINDOW);
		while (peer_next(p).consumed < at - WINDOW / 2)
			;
		OK(weft_sleep_ms(i ? 20 : 50));
		for (unsigned k = 0; k < 8; k++, at += WINDOW / 8)
			peer_pattern(p, 3, at, WINDOW / 8);
		peer_flush(p);
		PEER_UNTIL(p, stats, stats.unread == WINDOW);
	}
	ck_assert_int_eq(peer_stats(p).rtt_source, WEFT_MUX_RTT_WINDOW);
	ck_assert_int_ge(peer_stats(p).rtt_ns, 19000000);
	ck_assert_int_lt(peer_stats(p).rtt_ns, 45000000);
}

PEER_TEST(mux_measures_the_round_trip_by_windows)
{
	weft_stream *stream;

	p->upds = true;
	p->options.max_stream_buffer = WINDOW;
	peer_start(p);
	stream = peer_accept(p, 3);
	ck_assert_int_eq(peer_stats(p).rtt_source, WEFT_MUX_RTT_NONE);
	measure(p, stream);
	weft_stream_free(stream);
}

/* One measure at a time: those that get no answer do not stand in the way for good. */
PEER_TEST(mux_measures_the_round_trip_beside_streams_that_say_no_more)
{
	weft_stream *stream, *silent;

	p->upds = true;
	p->options.max_stream_buffer = WINDOW;
	peer_start(p);
	stream = peer_accept(p, 3);
	silent = peer_accept(p, 5);
	peer_pattern(p, 5, 0, 1);
	peer_flush(p);
	stream_want(silent, 0, 1);
	peer_want_upd(p, 5, 1, WINDOW);
	OK(weft_sleep_ms(2100));
	measure(p, stream);
	weft_stream_free(stream);
	weft_stream_free(silent);
}

/* ---- memory ---- */

PEER_TEST(mux_says_what_memory_it_holds)
{
	weft_mux_stats before, after;
	weft_stream *streams[10];
	struct stream_call call;

	peer_start(p);
	before = peer_stats(p);
	ck_assert_uint_gt(before.memory_own, 1000);
	ck_assert_uint_lt(before.memory_own, p->options.max_frame_size);
	for (uint32_t i = 0; i < 10; i++)
		streams[i] = peer_accept(p, 3 + 2 * i);
	peer_pattern(p, 3, 0, 20000);
	peer_flush(p);
	peer_fence(p);
	PEER_UNTIL(p, stats, stats.streams == 10);
	after = peer_stats(p);
	/* what is referred to lies in the block that is being read into, or is counted */
	ck_assert_uint_ge(after.memory + after.memory_read, 20000);
	ck_assert_uint_ge(after.memory_own, before.memory_own + 10 * 200);
	ck_assert_uint_le(after.memory_own, before.memory_own + 10 * 256 + 1024);
	stream_write_start(&call, streams[0], 0, 5000);
	peer_want_data(p, 3, 0, 5000);
	OK(stream_call_end(&call));
	ck_assert_uint_ge(peer_stats(p).memory_own, after.memory_own + p->options.max_frame_size);
	for (uint32_t i = 0; i < 10; i++)
		weft_stream_free(streams[i]);
}

static void stats_tests(TCase *tc)
{
	peer_add(tc, mux_counts_bytes_frames_and_writes);
	peer_add(tc, mux_counts_what_it_does_not_copy);
	peer_add_v2(tc, mux_counts_a_writer_that_waits_for_the_window);
	peer_add(tc, mux_counts_a_connection_that_is_full);
	peer_add_v2(tc, mux_counts_a_reader_that_is_slow);
	peer_add_v1(tc, mux_counts_the_time_that_it_does_not_read);
	t_add_loop(tc, mux_knows_the_round_trip_of_tcp, 2, 3);
	t_add_loop(tc, mux_knows_the_round_trip_of_tcp, PEER_KINDS + 2, PEER_KINDS + 3);
	peer_add_sim_v2(tc, mux_measures_the_round_trip_by_windows);
	peer_add_sim_v2(tc, mux_measures_the_round_trip_beside_streams_that_say_no_more);
	peer_add(tc, mux_says_what_memory_it_holds);
}
T_SUITE("mux_stats", stats_tests)
