/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* Sessions and what their peer sends, frame by frame. */
#include "support/muxpeer.h"

/* ---- how bytes arrive ---- */

PEER_TEST(mux_frames_may_come_byte_by_byte)
{
	weft_stream *stream = NULL;
	uint8_t *bytes;
	size_t len;

	peer_start(p);
	peer_syn(p, 3);
	peer_pattern(p, 3, 0, 5);
	peer_nop(p);
	if (p->version == 2)
		peer_upd(p, 3, 0, 1000);
	peer_pattern(p, 3, 5, 300);
	peer_fin(p, 3);
	bytes = p->out;
	len = p->out_len;
	for (size_t i = 0; i < len; i++) {
		OK(weft_conn_write(p->conn, bytes + i, 1, NULL, SOON));
		OK(weft_yield());
	}
	p->out_len = 0;
	OK(weft_mux_accept(p->mux, &stream, SOON));
	ck_assert_uint_eq(weft_stream_id(stream), 3);
	stream_want(stream, 0, 305);
	stream_want_end(stream, WEFT_ECLOSED);
	weft_stream_free(stream);
}

PEER_TEST(mux_many_frames_may_come_at_once)
{
	enum { STREAMS = 100 };
	weft_stream *streams[STREAMS];

	peer_start(p);
	for (uint32_t i = 0; i < STREAMS; i++)
		peer_syn(p, 2 * i + 1);
	for (uint32_t i = 0; i < STREAMS; i++)
		peer_pattern(p, 2 * i + 1, i, 100 + i);
	for (uint32_t i = 0; i < STREAMS; i++)
		peer_pattern(p, 2 * i + 1, 100 + 2 * i, 1);
	for (uint32_t i = 0; i < STREAMS; i++)
		peer_fin(p, 2 * i + 1);
	peer_flush(p);
	for (uint32_t i = 0; i < STREAMS; i++) {
		OK(weft_mux_accept(p->mux, &streams[i], SOON));
		ck_assert_uint_eq(weft_stream_id(streams[i]), 2 * i + 1);
	}
	for (uint32_t i = STREAMS; i-- > 0;) {
		stream_want(streams[i], i, 101 + i);
		stream_want_end(streams[i], WEFT_ECLOSED);
		weft_stream_free(streams[i]);
	}
}

PEER_TEST(mux_takes_the_largest_frame_whatever_it_sends_itself)
{
	weft_stream *stream;

	p->options.max_frame_size = 100;
	peer_start(p);
	stream = peer_accept(p, 3);
	peer_pattern(p, 3, 0, SMUX_PAYLOAD_MAX);
	peer_pattern(p, 3, SMUX_PAYLOAD_MAX, SMUX_PAYLOAD_MAX);
	peer_flush(p);
	stream_want(stream, 0, 2 * SMUX_PAYLOAD_MAX);
	weft_stream_free(stream);
}

/* ---- streams that are there, or not ---- */

PEER_TEST(mux_frames_of_unknown_streams_are_ignored)
{
	weft_stream *stream;

	peer_start(p);
	peer_fin(p, 9);
	peer_pattern(p, 9, 0, SMUX_PAYLOAD_MAX);
	peer_pattern(p, 0, 0, 1);
	if (p->version == 2)
		peer_upd(p, 9, 77, 99);
	peer_psh(p, 9, "", 0);
	peer_flush(p);
	peer_fence(p);
	ck_assert_uint_eq(peer_stats(p).unread, 0);
	ck_assert_uint_eq(peer_stats(p).streams, 0);
	stream = peer_accept(p, 9); /* nothing of that is its own */
	peer_pattern(p, 9, 0, 10);
	peer_fin(p, 9);
	peer_flush(p);
	stream_want(stream, 0, 10);
	stream_want_end(stream, WEFT_ECLOSED);
	weft_stream_free(stream);
	peer_want(p, SMUX_FIN, 9);
}

PEER_TEST(mux_a_peer_may_take_any_id)
{
	static const uint32_t ids[] = { 0, 4, 3, 1, 2, 0xffffffff, 0x80000000 };
	weft_stream *streams[7];

	peer_start(p);
	for (int i = 0; i < 7; i++) {
		streams[i] = peer_accept(p, ids[i]);
		peer_pattern(p, ids[i], ids[i], 9);
		peer_flush(p);
	}
	for (int i = 0; i < 7; i++) {
		stream_want(streams[i], ids[i], 9);
		stream_write(streams[i], ids[i], 5);
		peer_want_data(p, ids[i], ids[i], 5);
		weft_stream_free(streams[i]);
		peer_want(p, SMUX_FIN, ids[i]);
	}
}

PEER_TEST(mux_a_duplicate_syn_is_ignored)
{
	weft_stream *stream, *own = NULL;

	peer_start(p);
	stream = peer_accept(p, 3);
	OK(weft_mux_open(p->mux, &own, SOON));
	peer_want(p, SMUX_SYN, 2);
	peer_pattern(p, 3, 0, 4);
	peer_syn(p, 3);
	peer_pattern(p, 3, 4, 4);
	peer_syn(p, 2);
	peer_pattern(p, 2, 0, 4);
	peer_flush(p);
	peer_fence(p); /* which is the next to be accepted */
	stream_want(stream, 0, 8);
	stream_want(own, 0, 4);
	ck_assert_uint_eq(peer_stats(p).streams, 2);
	weft_stream_free(stream);
	weft_stream_free(own);
}

PEER_TEST(mux_a_second_fin_is_harmless)
{
	weft_stream *stream;

	peer_start(p);
	stream = peer_accept(p, 3);
	peer_pattern(p, 3, 0, 1);
	peer_fin(p, 3);
	peer_fin(p, 3);
	peer_flush(p);
	peer_fence(p);
	stream_write(stream, 0, 10);
	peer_want_data(p, 3, 0, 10);
	stream_want(stream, 0, 1);
	stream_want_end(stream, WEFT_ECLOSED);
	weft_stream_free(stream);
	peer_fin(p, 3);
	peer_flush(p);
	peer_fence(p);
}

PEER_TEST(mux_an_id_may_be_used_again_once_both_have_closed)
{
	peer_start(p);
	for (unsigned round = 0; round < 5; round++) {
		weft_stream *stream = peer_accept(p, 3);

		peer_pattern(p, 3, round, 100);
		peer_fin(p, 3);
		peer_flush(p);
		stream_want(stream, round, 100);
		stream_want_end(stream, WEFT_ECLOSED);
		stream_write(stream, round, 10);
		weft_stream_free(stream);
		peer_want_data(p, 3, round, 10);
		peer_want(p, SMUX_FIN, 3);
	}
	PEER_UNTIL(p, stats, stats.streams == 0);
	ck_assert_uint_eq(peer_stats(p).accepted, 5);
}

/* The session's handle may outlive what the peer knows of the stream. */
PEER_TEST(mux_an_id_may_be_used_again_while_the_old_handle_is_held)
{
	weft_stream *old, *new;

	peer_start(p);
	old = peer_accept(p, 3);
	peer_pattern(p, 3, 0, 10);
	peer_fin(p, 3);
	peer_flush(p);
	OK(weft_stream_shutdown(old));
	weft_stream_close(old);
	peer_want(p, SMUX_FIN, 3);
	new = peer_accept(p, 3);
	peer_pattern(p, 3, 50, 10);
	peer_flush(p);
	stream_want(new, 50, 10);
	stream_want_end(old, WEFT_ECLOSED);
	weft_stream_free(old);
	peer_pattern(p, 3, 60, 10);
	peer_flush(p);
	stream_want(new, 60, 10);
	weft_stream_free(new);
}

PEER_TEST(mux_data_for_a_closed_stream_is_dropped)
{
	weft_stream *stream;

	peer_start(p);
	stream = peer_accept(p, 3);
	weft_stream_close(stream);
	peer_want(p, SMUX_FIN, 3);
	peer_pattern(p, 3, 0, 50000);
	if (p->version == 2)
		peer_upd(p, 3, 0xffff0000, 5);
	peer_flush(p);
	peer_fence(p);
	ck_assert_uint_eq(peer_stats(p).unread, 0);
	stream_want_end(stream, WEFT_ECLOSED);
	weft_stream_free(stream);
	peer_want_quiet(p);
}

PEER_TEST(mux_a_nop_is_never_answered)
{
	peer_start(p);
	for (int i = 0; i < 100; i++)
		peer_nop(p);
	peer_flush(p);
	peer_fence(p);
	peer_want_quiet(p);
}

/* ---- what the session sends ---- */

static void ids_from(struct peer *p, weft_mux_role role, uint32_t first)
{
	weft_stream *streams[5] = { NULL };

	p->role = role;
	peer_start(p);
	for (uint32_t i = 0; i < 5; i++) {
		OK(weft_mux_open(p->mux, &streams[i], SOON));
		ck_assert_uint_eq(weft_stream_id(streams[i]), first + 2 * i);
		peer_want(p, SMUX_SYN, first + 2 * i);
	}
	for (uint32_t i = 0; i < 5; i++) {
		weft_stream_free(streams[i]);
		peer_want(p, SMUX_FIN, first + 2 * i);
	}
	OK(weft_mux_open(p->mux, &streams[0], SOON)); /* none is used again */
	ck_assert_uint_eq(weft_stream_id(streams[0]), first + 10);
	weft_stream_free(streams[0]);
}

PEER_TEST(mux_ids_of_a_client_begin_at_three)
{
	ids_from(p, WEFT_MUX_CLIENT, 3);
}

PEER_TEST(mux_ids_of_a_server_begin_at_two)
{
	ids_from(p, WEFT_MUX_SERVER, 2);
}

PEER_TEST(mux_syn_comes_before_data_and_fin_after_it)
{
	weft_stream *a = NULL, *b = NULL;

	p->role = WEFT_MUX_CLIENT;
	p->options.max_frame_size = 10;
	peer_start(p);
	OK(weft_mux_open(p->mux, &a, SOON));
	stream_write(a, 0, 100);
	weft_stream_free(a);
	OK(weft_mux_open(p->mux, &b, SOON));
	OK(weft_stream_shutdown(b));
	/* and what is no data before all data, but for a FIN */
	peer_want(p, SMUX_SYN, 3);
	peer_want(p, SMUX_SYN, 5);
	peer_want(p, SMUX_FIN, 5);
	peer_want_data(p, 3, 0, 100);
	peer_want(p, SMUX_FIN, 3);
	weft_stream_free(b);
	peer_want_quiet(p);
}

/* peer_read holds every frame against max_frame_size. */
static void frames_of(struct peer *p, size_t frame_size, size_t len, size_t frames)
{
	weft_stream *stream = NULL;
	struct stream_call call;

	p->options.max_frame_size = frame_size;
	peer_start(p);
	OK(weft_mux_open(p->mux, &stream, SOON));
	stream_write_start(&call, stream, 7, len);
	peer_want(p, SMUX_SYN, 2);
	peer_want_data(p, 2, 7, len);
	OK(stream_call_end(&call));
	ck_assert_uint_eq(call.done, len);
	ck_assert_uint_ge(peer_stats(p).frames_out, frames + 1);
	ck_assert_uint_eq(peer_stats(p).bytes_out, len);
	weft_stream_free(stream);
	peer_want(p, SMUX_FIN, 2);
}

PEER_TEST(mux_frames_of_a_byte)
{
	frames_of(p, 1, 3000, 3000);
}

PEER_TEST(mux_frames_of_a_thousand_bytes)
{
	frames_of(p, 1000, 200000, 200);
}

PEER_TEST(mux_frames_of_the_largest_size)
{
	frames_of(p, 65535, 262144, 5);
}

PEER_TEST(mux_a_write_of_nothing_sends_nothing)
{
	weft_stream *stream;
	size_t written = 7;

	peer_start(p);
	stream = peer_accept(p, 3);
	OK(weft_stream_write(stream, NULL, 0, &written, SOON));
	ck_assert_uint_eq(written, 0);
	peer_want_quiet(p);
	weft_stream_free(stream);
}

PEER_TEST(mux_vectors_are_written_and_read_in_order)
{
	uint8_t a[100], b[3], c[200], in[303];
	struct iovec out[4] = { { a, 100 }, { NULL, 0 }, { b, 3 }, { c, 200 } };
	struct iovec parts[3] = { { in, 10 }, { in + 10, 0 }, { in + 10, 293 } };
	weft_stream *stream;
	size_t done = 0;

	fill(a, 100, 0);
	fill(b, 3, 100);
	fill(c, 200, 103);
	peer_start(p);
	stream = peer_accept(p, 3);
	OK(weft_stream_writev(stream, out, 4, &done, SOON));
	ck_assert_uint_eq(done, 303);
	peer_want_data(p, 3, 0, 303);
	peer_pattern(p, 3, 0, 303);
	peer_flush(p);
	peer_fence(p);
	OK(weft_stream_readv(stream, parts, 3, &done, SOON));
	ck_assert_uint_ge(done, 1);
	ck_assert(matches(in, done, 0));
	stream_want(stream, done, 303 - done);
	weft_stream_free(stream);
}

/* ---- half-close ---- */

PEER_TEST(mux_a_peer_that_ends_first_still_gets_answers)
{
	weft_stream *stream;

	peer_start(p);
	stream = peer_accept(p, 3);
	peer_pattern(p, 3, 0, 1000);
	peer_fin(p, 3);
	peer_flush(p);
	peer_fence(p);
	stream_want(stream, 0, 1000);
	stream_want_end(stream, WEFT_ECLOSED);
	for (unsigned i = 0; i < 10; i++) {
		stream_write(stream, i * 100, 100);
		peer_want_data(p, 3, i * 100, 100);
	}
	OK(weft_stream_shutdown(stream));
	peer_want(p, SMUX_FIN, 3);
	weft_stream_free(stream);
	peer_want_quiet(p); /* a FIN is enough */
}

/* What Go's smux loses: unread data when the peer's FIN comes after our own. */
PEER_TEST(mux_after_our_end_all_data_before_the_peers_is_read)
{
	weft_stream *stream;
	uint8_t byte = 0;

	peer_start(p);
	stream = peer_accept(p, 3);
	stream_write(stream, 0, 10);
	OK(weft_stream_shutdown(stream));
	OK(weft_stream_shutdown(stream));
	FAILS(WEFT_ECLOSED, weft_stream_write(stream, &byte, 1, NULL, SOON));
	peer_want_data(p, 3, 0, 10);
	peer_want(p, SMUX_FIN, 3);
	for (unsigned i = 0; i < 10; i++)
		peer_pattern(p, 3, i * 10000, 10000);
	peer_fin(p, 3);
	peer_flush(p);
	peer_fence(p); /* all has come */
	stream_want(stream, 0, 100000);
	stream_want_end(stream, WEFT_ECLOSED);
	weft_stream_free(stream);
}

/* The same with the reader always there. */
PEER_TEST(mux_after_our_end_data_is_read_as_it_comes)
{
	weft_stream *stream;

	peer_start(p);
	stream = peer_accept(p, 3);
	OK(weft_stream_shutdown(stream));
	peer_want(p, SMUX_FIN, 3);
	for (unsigned i = 0; i < 100; i++) {
		peer_pattern(p, 3, i * 100, 100);
		peer_flush(p);
		stream_want(stream, i * 100, 100);
	}
	peer_fin(p, 3);
	peer_flush(p);
	stream_want_end(stream, WEFT_ECLOSED);
	weft_stream_free(stream);
}

PEER_TEST(mux_a_shutdown_wakes_no_reader_and_ends_no_write_under_way)
{
	struct stream_call writer, reader;
	weft_stream *stream;

	peer_start(p);
	stream = peer_accept(p, 3);
	stream_read_start(&reader, stream);
	stream_write_start(&writer, stream, 0, 200000);
	wait_parked();
	OK(weft_stream_shutdown(stream));
	peer_want_data(p, 3, 0, 200000);
	peer_want(p, SMUX_FIN, 3);
	OK(stream_call_end(&writer));
	peer_pattern(p, 3, 0, 5);
	peer_flush(p);
	OK(stream_call_end(&reader));
	weft_stream_free(stream);
}

PEER_TEST(mux_a_close_is_one_fin)
{
	weft_stream *stream;

	peer_start(p);
	stream = peer_accept(p, 3);
	weft_stream_close(stream);
	weft_stream_close(stream);
	OK(weft_stream_shutdown(stream));
	peer_want(p, SMUX_FIN, 3);
	weft_stream_free(stream);
	stream = peer_accept(p, 5);
	OK(weft_stream_shutdown(stream));
	weft_stream_free(stream);
	peer_want(p, SMUX_FIN, 5);
	peer_want_quiet(p);
}

static void frames_tests(TCase *tc)
{
	peer_add(tc, mux_frames_may_come_byte_by_byte);
	peer_add(tc, mux_many_frames_may_come_at_once);
	peer_add(tc, mux_takes_the_largest_frame_whatever_it_sends_itself);
	peer_add(tc, mux_frames_of_unknown_streams_are_ignored);
	peer_add(tc, mux_a_peer_may_take_any_id);
	peer_add(tc, mux_a_duplicate_syn_is_ignored);
	peer_add(tc, mux_a_second_fin_is_harmless);
	peer_add(tc, mux_an_id_may_be_used_again_once_both_have_closed);
	peer_add(tc, mux_an_id_may_be_used_again_while_the_old_handle_is_held);
	peer_add(tc, mux_data_for_a_closed_stream_is_dropped);
	peer_add(tc, mux_a_nop_is_never_answered);
	peer_add(tc, mux_ids_of_a_client_begin_at_three);
	peer_add(tc, mux_ids_of_a_server_begin_at_two);
	peer_add(tc, mux_syn_comes_before_data_and_fin_after_it);
	peer_add(tc, mux_frames_of_a_byte);
	peer_add(tc, mux_frames_of_a_thousand_bytes);
	peer_add(tc, mux_frames_of_the_largest_size);
	peer_add(tc, mux_a_write_of_nothing_sends_nothing);
	peer_add(tc, mux_vectors_are_written_and_read_in_order);
	peer_add(tc, mux_a_peer_that_ends_first_still_gets_answers);
	peer_add(tc, mux_after_our_end_all_data_before_the_peers_is_read);
	peer_add(tc, mux_after_our_end_data_is_read_as_it_comes);
	peer_add(tc, mux_a_shutdown_wakes_no_reader_and_ends_no_write_under_way);
	peer_add(tc, mux_a_close_is_one_fin);
}
T_SUITE("mux_frames", frames_tests)
