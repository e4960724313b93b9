/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* Flow control: windows of streams (version 2), and the bucket of all of them. */
#include "support/muxpeer.h"

#define WINDOW WEFT_MUX_INITIAL_WINDOW

/* ---- what the session may send ---- */

/* A stream with a write of len under way, of which the first window has been read. */
struct sending {
	weft_stream *stream;
	struct stream_call call;
	uint64_t sent;
};

static void sending_start(struct peer *p, struct sending *s, size_t len)
{
	peer_start(p);
	s->stream = peer_accept(p, 3);
	stream_write_start(&s->call, s->stream, 0, len);
	peer_want_data(p, 3, 0, WINDOW);
	s->sent = WINDOW;
	peer_want_quiet(p);
}

/* After that UPD exactly so much more comes. */
static void sending_upd(
	struct peer *p, struct sending *s, uint32_t consumed, uint32_t window, size_t more)
{
	peer_upd(p, 3, consumed, window);
	peer_flush(p);
	peer_want_data(p, 3, s->sent, more);
	s->sent += more;
	peer_want_quiet(p);
}

static void sending_end(struct peer *p, struct sending *s)
{
	weft_stream_close(s->stream);
	FAILS(WEFT_ECLOSED, stream_call_end(&s->call));
	ck_assert_uint_eq(s->call.done, s->sent);
	peer_want(p, SMUX_FIN, 3);
	weft_stream_free(s->stream);
}

PEER_TEST(mux_sends_the_initial_window_and_not_a_byte_more)
{
	struct sending s;

	sending_start(p, &s, WINDOW + 1);
	sending_end(p, &s);
}

PEER_TEST(mux_a_write_of_exactly_the_window_ends)
{
	struct sending s;

	sending_start(p, &s, WINDOW);
	OK(stream_call_end(&s.call));
	FAILS(WEFT_ETIMEDOUT, weft_stream_write(s.stream, "x", 1, NULL, WEFT_NOW));
	peer_want_quiet(p);
	peer_upd(p, 3, 1, WINDOW);
	peer_flush(p);
	stream_write(s.stream, WINDOW, 1);
	peer_want_data(p, 3, WINDOW, 1);
	weft_stream_free(s.stream);
}

PEER_TEST(mux_sends_as_much_more_as_was_consumed)
{
	struct sending s;

	sending_start(p, &s, 10 * WINDOW);
	sending_upd(p, &s, 100000, WINDOW, 100000);
	sending_upd(p, &s, 100001, WINDOW, 1);
	sending_upd(p, &s, 100001, WINDOW, 0);
	sending_upd(p, &s, 100001 + WINDOW, WINDOW, WINDOW);
	sending_end(p, &s);
}

PEER_TEST(mux_a_window_may_grow)
{
	struct sending s;

	sending_start(p, &s, 10 * WINDOW);
	sending_upd(p, &s, 0, WINDOW + 5, 5);
	sending_upd(p, &s, 0, 3 * WINDOW, 2 * WINDOW - 5);
	sending_end(p, &s);
}

PEER_TEST(mux_a_window_of_nothing_blocks_until_it_opens)
{
	struct sending s;

	sending_start(p, &s, 10 * WINDOW);
	sending_upd(p, &s, WINDOW, 0, 0);
	sending_upd(p, &s, WINDOW, 1, 1);
	sending_upd(p, &s, WINDOW + 1, 0, 0);
	sending_upd(p, &s, WINDOW + 1, 1000, 1000);
	sending_end(p, &s);
}

PEER_TEST(mux_a_window_may_shrink_below_what_is_in_flight)
{
	struct sending s;

	sending_start(p, &s, 10 * WINDOW);
	sending_upd(p, &s, 0, 10, 0);
	sending_upd(p, &s, WINDOW - 10, 10, 0);
	sending_upd(p, &s, WINDOW - 9, 10, 1);
	sending_upd(p, &s, WINDOW + 1, 7, 7);
	sending_upd(p, &s, WINDOW + 1, 5, 0);
	sending_upd(p, &s, WINDOW + 4, 5, 1);
	sending_end(p, &s);
}

/* It is a signed 32-bit number. */
PEER_TEST(mux_a_window_with_the_sign_bit_blocks)
{
	struct sending s;

	sending_start(p, &s, 2 * WINDOW);
	sending_upd(p, &s, 0, 0xffffffff, 0);
	sending_upd(p, &s, WINDOW, 0x80000000, 0);
	sending_upd(p, &s, WINDOW, 0x7fffffff, WINDOW);
	OK(stream_call_end(&s.call));
	weft_stream_free(s.stream);
	peer_want(p, SMUX_FIN, 3);
}

PEER_TEST(mux_an_upd_before_any_data_sets_the_window)
{
	struct stream_call call;
	weft_stream *stream;

	peer_start(p);
	stream = peer_accept(p, 3);
	peer_upd(p, 3, 0, 10);
	peer_flush(p);
	peer_fence(p);
	stream_write_start(&call, stream, 0, 20);
	peer_want_data(p, 3, 0, 10);
	peer_want_quiet(p);
	peer_upd(p, 3, 10, 10);
	peer_flush(p);
	peer_want_data(p, 3, 10, 10);
	OK(stream_call_end(&call));
	weft_stream_free(stream);
}

PEER_TEST(mux_a_fin_waits_for_the_window_of_the_data_before_it)
{
	struct sending s;

	sending_start(p, &s, WINDOW + 100);
	OK(weft_stream_shutdown(s.stream));
	peer_want_quiet(p);
	peer_upd(p, 3, WINDOW, WINDOW);
	peer_flush(p);
	peer_want_data(p, 3, WINDOW, 100);
	peer_want(p, SMUX_FIN, 3);
	OK(stream_call_end(&s.call));
	weft_stream_free(s.stream);
}

PEER_TEST(mux_one_full_window_does_not_hold_up_other_streams)
{
	weft_stream *other;
	struct sending s;

	sending_start(p, &s, 10 * WINDOW);
	other = peer_accept(p, 5);
	for (unsigned i = 0; i < 20; i++) {
		stream_write(other, i * 50, 50);
		peer_want_data(p, 5, i * 50, 50);
	}
	weft_stream_free(other);
	peer_want(p, SMUX_FIN, 5);
	sending_end(p, &s);
}

/* More consumed than was sent: that stream fails, and only that. */
static void overconsumed(struct peer *p, uint32_t consumed)
{
	weft_stream *other;
	struct sending s;
	uint8_t byte;
	size_t got;

	sending_start(p, &s, 2 * WINDOW);
	other = peer_accept(p, 5);
	peer_upd(p, 3, consumed, WINDOW);
	peer_flush(p);
	FAILS(WEFT_EPROTO, stream_call_end(&s.call));
	ck_assert_msg(strstr(s.call.text, "flow control"), "\"%s\"", s.call.text);
	FAILS(WEFT_EPROTO, weft_stream_write(s.stream, "x", 1, NULL, SOON));
	FAILS(WEFT_EPROTO, weft_stream_read(s.stream, &byte, 1, &got, SOON));
	ck_assert(weft_mux_is_alive(p->mux));
	peer_pattern(p, 5, 0, 100);
	peer_flush(p);
	stream_want(other, 0, 100);
	stream_write(other, 0, 100);
	for (uint64_t come = 0; come < 100;) {
		struct peer_frame frame = peer_next(p);

		if (frame.id == 3)
			continue; /* its FIN may come now or with its close */
		ck_assert_int_eq(frame.cmd, SMUX_PSH);
		ck_assert(matches(frame.payload, frame.len, come));
		come += frame.len;
	}
	weft_stream_free(s.stream);
	weft_stream_free(other);
}

PEER_TEST(mux_a_byte_consumed_that_was_not_sent_fails_the_stream)
{
	overconsumed(p, WINDOW + 1);
}

PEER_TEST(mux_half_of_all_numbers_consumed_that_were_not_sent_fail_the_stream)
{
	overconsumed(p, WINDOW + 0x80000000u);
}

/* ---- what it takes ---- */

PEER_TEST(mux_upd_comes_with_the_first_read_and_each_half_window)
{
	uint32_t window = (uint32_t)(p->options.max_stream_buffer = 10000);
	weft_stream *stream;

	p->upds = true;
	peer_start(p);
	stream = peer_accept(p, 3);
	peer_pattern(p, 3, 0, 30000);
	peer_flush(p);
	peer_want_quiet(p); /* none without a read */
	stream_want(stream, 0, 1);
	peer_want_upd(p, 3, 1, window);
	stream_want(stream, 1, 4999);
	peer_want_quiet(p);
	stream_want(stream, 5000, 1);
	peer_want_upd(p, 3, 5001, window);
	for (unsigned i = 0; i < 4; i++) {
		stream_want(stream, 5001 + i * 1000, 1000);
		peer_want_quiet(p);
	}
	stream_want(stream, 9001, 1500);
	peer_want_upd(p, 3, 10501, window);
	weft_stream_free(stream);
	peer_want(p, SMUX_FIN, 3);
}

/* Who reads all that is there is given what the peer may send at first anyway. */
PEER_TEST(mux_windows_grow_with_readers_that_keep_up)
{
	weft_stream *fast, *slow;

	p->upds = true;
	p->options.autotune_disabled = false;
	p->options.max_stream_buffer = 10000;
	p->options.max_receive_buffer = WINDOW + 50000;
	peer_start(p);
	fast = peer_accept(p, 3);
	slow = peer_accept(p, 5);
	peer_pattern(p, 3, 0, 1000);
	peer_pattern(p, 5, 0, 1000);
	peer_flush(p);
	PEER_UNTIL(p, stats, stats.unread == 2000);
	stream_want(fast, 0, 1000);
	peer_want_upd(p, 3, 1000, WINDOW);
	stream_want(slow, 0, 1);
	peer_want_upd(p, 5, 1, 10000);
	/* beside the other's it still fits */
	for (uint64_t at = 0; at < WINDOW / 2; at += 32768)
		peer_pattern(p, 3, 1000 + at, 32768);
	peer_flush(p);
	PEER_UNTIL(p, stats, stats.bytes_in == 2000 + WINDOW / 2);
	for (uint64_t at = 0; at < WINDOW / 2; at += 32768)
		stream_want(fast, 1000 + at, 32768);
	peer_want_upd(p, 3, 1000 + WINDOW / 2, WINDOW);
	weft_stream_free(fast);
	weft_stream_free(slow);
}

/* Sends all that it may, waits until nothing more comes, 100 ms, and says what it may then. */
static uint64_t round_of(
	struct peer *p, weft_stream *stream, uint64_t *sent, uint64_t limit, int64_t read_slowly_ns)
{
	struct peer_frame f;
	uint64_t from = *sent;
	weft_fiber *flusher;

	for (; *sent < limit; *sent += 32768)
		peer_pattern(p, 3, *sent, limit - *sent < 32768 ? limit - *sent : 32768);
	*sent = limit;
	flusher = spawn(peer_flush_fiber, p);
	for (int part = 4; part > 1 && read_slowly_ns; part--) {
		uint64_t len = (limit - from) / (uint64_t)part;

		OK(weft_sleep_ns(read_slowly_ns));
		stream_want(stream, from, len);
		from += len;
	}
	OK(weft_sleep_ns(read_slowly_ns));
	stream_want(stream, from, limit - from);
	join(flusher);
	while (!peer_read(p, &f, MS(100))) {
		ck_assert_int_eq(f.cmd, SMUX_UPD);
		limit = f.consumed + f.window;
	}
	return limit;
}

static unsigned grown;

static void grow(struct peer *p)
{
	uint64_t sent = 0, limit = WINDOW;
	weft_stream *stream;

	p->options.autotune_disabled = false;
	peer_start(p);
	stream = peer_accept(p, 3);
	for (int i = 0; i < 8; i++)
		limit = round_of(p, stream, &sent, limit, 0);
	grown += limit - sent >= 2 << 20;
	ck_assert_uint_le(limit - sent, p->options.max_receive_buffer);
	ck_assert_uint_eq(peer_stats(p).stalls_memory, 0);
	weft_stream_free(stream);
}

/* How fast a simulated net is, and who has the first turn, is the seed's: three of four carry a
 * window in two round trips, and have readers that keep up. */
START_TEST(mux_windows_grow_to_bandwidth_times_round_trip)
{
	for (unsigned i = 0; i < 16; i++)
		peer_run(PEER_RUNS - 1, grow);
	ck_assert_uint_ge(grown, 3);
}
END_TEST

PEER_TEST(mux_windows_do_not_grow_for_who_reads_slowly)
{
	uint64_t sent = 0, limit = WINDOW;
	weft_stream *stream;

	p->options.autotune_disabled = false;
	peer_start(p);
	stream = peer_accept(p, 3);
	for (int i = 0; i < 8; i++) {
		limit = round_of(p, stream, &sent, limit, 3000000000);
		ck_assert_uint_le(limit - sent, WINDOW);
	}
	weft_stream_free(stream);
}

/* All windows that were told stay within the bucket. */
PEER_TEST(mux_windows_of_many_streams_stay_within_the_bucket)
{
	enum { MANY = 40 };
	weft_stream *streams[MANY];

	p->options.autotune_disabled = false;
	p->options.max_receive_buffer = 1 << 20;
	peer_start(p);
	for (uint32_t i = 0; i < MANY; i++)
		streams[i] = peer_accept(p, 3 + 2 * i);
	for (uint64_t at = 0; at < 300000; at += 30000) {
		for (uint32_t i = 0; i < MANY; i++) {
			peer_pattern(p, 3 + 2 * i, at, 30000);
			peer_flush(p);
			stream_want(streams[i], at, 30000);
		}
		/* those who came first gave back what they had too much */
		if (at >= 270000)
			ck_assert_uint_le(peer_stats(p).windows, 1 << 20);
	}
	for (uint32_t i = 0; i < MANY; i++)
		weft_stream_free(streams[i]);
	PEER_UNTIL(p, stats, stats.windows == 0);
}

/* The reader goes on while the connection takes nothing: the latest is what counts. */
PEER_TEST(mux_upds_are_joined_while_the_connection_is_full)
{
	uint32_t last = 0, upds = 0;
	size_t len = p->buffers_little ? 64 << 10 : 16 << 20;
	struct stream_call writer;
	weft_stream *stream, *other;

	p->upds = true;
	p->options.max_stream_buffer = 1000;
	peer_start(p);
	stream = peer_accept(p, 3);
	other = peer_accept(p, 5);
	peer_upd(p, 5, 0, 0x7fffffff);
	peer_pattern(p, 3, 0, 60000);
	peer_pattern(p, 3, 60000, 60000);
	peer_flush(p);
	peer_fence(p);
	stream_write_start(&writer, other, 0, len);
	wait_parked();
	stream_want(stream, 0, 120000); /* does not wait for the connection */
	for (uint64_t come = 0; come < len;) {
		struct peer_frame frame = peer_next(p);

		if (frame.cmd == SMUX_UPD) {
			ck_assert_uint_eq(frame.id, 3);
			ck_assert_uint_gt(frame.consumed, last);
			last = frame.consumed;
			upds++;
		} else {
			come += frame.len;
		}
	}
	OK(stream_call_end(&writer));
	weft_stream_free(stream);
	weft_stream_free(other);
	ck_assert_uint_gt(last, 120000 - 1000);
	ck_assert_uint_le(upds, 10);
}

PEER_TEST(mux_no_upd_of_version_one)
{
	weft_stream *stream;

	p->upds = true;
	peer_start(p);
	stream = peer_accept(p, 3);
	peer_pattern(p, 3, 0, 60000);
	peer_pattern(p, 3, 60000, 60000);
	peer_flush(p);
	stream_want(stream, 0, 120000);
	peer_want_quiet(p);
	weft_stream_free(stream);
}

/* Nine bytes on the wire for each byte of payload: the memory is bounded too. */
PEER_TEST(mux_holds_the_initial_window_in_frames_of_a_byte)
{
	weft_stream *stream, *other;
	int64_t blocks = t_malloc_live();
	/* over few bytes of memory one read of the connection each: too many for a test */
	uint64_t bytes = p->buffers_little || p->version == 1 ? WINDOW / 8 : WINDOW;

	peer_start(p);
	stream = peer_accept(p, 3);
	other = peer_accept(p, 5);
	for (uint64_t i = 0; i < bytes; i++)
		peer_psh(p, 3, &(uint8_t){ pattern(i) }, 1);
	peer_flush(p);
	peer_fence(p);
	ck_assert_uint_eq(peer_stats(p).unread, bytes);
	ck_assert_uint_eq(peer_stats(p).stalls_memory, 0);
	ck_assert_uint_eq(peer_stats(p).stalls_buffer, 0);
	ck_assert_uint_lt(peer_stats(p).memory, 2 * bytes + 65536);
	ck_assert_int_lt(t_malloc_live() - blocks, 2000);
	stream_write(other, 0, 10);
	peer_want_data(p, 5, 0, 10);
	stream_want(stream, 0, bytes);
	peer_fin(p, 3);
	peer_flush(p);
	stream_want_end(stream, WEFT_ECLOSED);
	weft_stream_free(stream);
	weft_stream_free(other);
}

PEER_TEST(mux_holds_the_initial_window_however_small_its_own)
{
	weft_stream *stream;

	p->options.max_stream_buffer = 1;
	peer_start(p);
	stream = peer_accept(p, 3);
	for (unsigned i = 0; i < 8; i++)
		peer_pattern(p, 3, i * (WINDOW / 8), WINDOW / 8);
	peer_flush(p);
	peer_fence(p);
	stream_want(stream, 0, WINDOW);
	weft_stream_free(stream);
}

/* A byte too many ends the stream; others do not notice. */
PEER_TEST(mux_a_peer_that_exceeds_the_window_loses_the_stream)
{
	weft_stream *stream, *other;
	weft_err err;
	uint8_t data[5000];
	size_t got;

	peer_start(p);
	stream = peer_accept(p, 3);
	other = peer_accept(p, 5);
	for (unsigned i = 0; i < 8; i++)
		peer_pattern(p, 3, i * (WINDOW / 8), WINDOW / 8);
	peer_flush(p);
	peer_fence(p);
	ck_assert_uint_eq(peer_stats(p).unread, WINDOW);
	peer_pattern(p, 3, WINDOW, 1);
	peer_flush(p);
	peer_fence(p);
	do {
		err = weft_stream_read(stream, data, sizeof(data), &got, SOON);
	} while (!err);
	FAILS(WEFT_EPROTO, err);
	ck_assert_msg(strstr(weft_error_detail(), "flow control"), "\"%s\"", weft_error_detail());
	FAILS(WEFT_EPROTO, weft_stream_write(stream, "x", 1, NULL, SOON));
	ck_assert(weft_mux_is_alive(p->mux));
	peer_pattern(p, 5, 0, 100);
	peer_flush(p);
	stream_want(other, 0, 100);
	weft_stream_free(stream);
	weft_stream_free(other);
}

/* ---- the bucket ---- */

/* Version 1: a stream that nobody reads stalls all, at max_receive_buffer. */
PEER_TEST(mux_stops_reading_at_a_full_bucket_and_goes_on)
{
	weft_stream *slow, *fast;
	weft_fiber *flusher;

	p->options.max_receive_buffer = 100000;
	p->options.max_stream_buffer = 100000;
	peer_start(p);
	slow = peer_accept(p, 3);
	fast = peer_accept(p, 5);
	for (unsigned i = 0; i < 10; i++)
		peer_pattern(p, 3, i * 20000, 20000);
	peer_pattern(p, 5, 0, 10);
	flusher = spawn(peer_flush_fiber, p);
	PEER_UNTIL(p, stats, stats.stalls_buffer == 1);
	/* over it by one read of the connection at most */
	ck_assert_uint_ge(peer_stats(p).unread, 100000);
	ck_assert_uint_le(peer_stats(p).unread, 100000 + 65536);
	FAILS(WEFT_ETIMEDOUT, weft_stream_read(fast, &(uint8_t){ 0 }, 1, &(size_t){ 0 }, WEFT_NOW));
	stream_want(slow, 0, 200000);
	stream_want(fast, 0, 10);
	join(flusher);
	weft_stream_free(slow);
	weft_stream_free(fast);
}

PEER_TEST(mux_closing_a_stream_gives_its_bucket_back)
{
	weft_stream *slow, *fast;
	weft_fiber *flusher;

	p->options.max_receive_buffer = 5000;
	p->options.max_stream_buffer = 5000;
	peer_start(p);
	slow = peer_accept(p, 3);
	fast = peer_accept(p, 5);
	peer_pattern(p, 3, 0, 60000);
	peer_pattern(p, 3, 0, 60000);
	peer_pattern(p, 5, 0, 1000);
	flusher = spawn(peer_flush_fiber, p);
	PEER_UNTIL(p, stats, stats.stalls_buffer > 0);
	ck_assert_uint_ge(peer_stats(p).unread, 5000);
	weft_stream_close(slow);
	stream_want(fast, 0, 1000);
	join(flusher);
	ck_assert_uint_eq(peer_stats(p).unread, 0);
	weft_stream_free(slow);
	weft_stream_free(fast);
}

static void window_tests(TCase *tc)
{
	peer_add_v2(tc, mux_sends_the_initial_window_and_not_a_byte_more);
	peer_add_v2(tc, mux_a_write_of_exactly_the_window_ends);
	peer_add_v2(tc, mux_sends_as_much_more_as_was_consumed);
	peer_add_v2(tc, mux_a_window_may_grow);
	peer_add_v2(tc, mux_a_window_of_nothing_blocks_until_it_opens);
	peer_add_v2(tc, mux_a_window_may_shrink_below_what_is_in_flight);
	peer_add_v2(tc, mux_a_window_with_the_sign_bit_blocks);
	peer_add_v2(tc, mux_an_upd_before_any_data_sets_the_window);
	peer_add_v2(tc, mux_a_fin_waits_for_the_window_of_the_data_before_it);
	peer_add_v2(tc, mux_one_full_window_does_not_hold_up_other_streams);
	peer_add_v2(tc, mux_a_byte_consumed_that_was_not_sent_fails_the_stream);
	peer_add_v2(tc, mux_half_of_all_numbers_consumed_that_were_not_sent_fail_the_stream);
	peer_add_v2(tc, mux_upd_comes_with_the_first_read_and_each_half_window);
	peer_add_v2(tc, mux_windows_grow_with_readers_that_keep_up);
	t_add(tc, mux_windows_grow_to_bandwidth_times_round_trip);
	peer_add_sim_v2(tc, mux_windows_do_not_grow_for_who_reads_slowly);
	peer_add_sim_v2(tc, mux_windows_of_many_streams_stay_within_the_bucket);
	peer_add_v2(tc, mux_upds_are_joined_while_the_connection_is_full);
	peer_add_v1(tc, mux_no_upd_of_version_one);
	peer_add(tc, mux_holds_the_initial_window_in_frames_of_a_byte);
	peer_add_v2(tc, mux_holds_the_initial_window_however_small_its_own);
	peer_add_v2(tc, mux_a_peer_that_exceeds_the_window_loses_the_stream);
	peer_add_v1(tc, mux_stops_reading_at_a_full_bucket_and_goes_on);
	peer_add(tc, mux_closing_a_stream_gives_its_bucket_back);
}
T_SUITE("mux_window", window_tests)
