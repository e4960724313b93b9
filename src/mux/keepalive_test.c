/* SPDX-License-Identifier: MIT */
/* Keepalive, by the simulator's clock; and once by the real one. */
#include "support/muxpeer.h"

#define S INT64_C(1000000000)

static void keepalive(struct peer *p, int64_t interval_ns, int64_t timeout_ns)
{
	p->options.keepalive_disabled = false;
	p->options.keepalive_interval_ns = interval_ns;
	p->options.keepalive_timeout_ns = timeout_ns;
}

static weft_err nops_fiber(void *arg)
{
	struct peer *p = arg;

	for (;;) {
		if (weft_sleep_ns(S))
			return WEFT_OK;
		peer_nop(p);
		if (peer_flush_until(p, SOON))
			return WEFT_OK;
	}
}

/* A NOP a second by the peer, until the fiber is cancelled. */
static weft_scope *keep_sending(struct peer *p)
{
	weft_scope *scope = NULL;

	OK(weft_scope_create(&scope));
	OK(weft_scope_spawn(scope, "nops", nops_fiber, p));
	return scope;
}

/* ---- NOPs ---- */

static void nops_come(struct peer *p, weft_deadline start, int count)
{
	for (int i = 1; i <= count; i++) {
		struct peer_frame frame;
		weft_deadline now;

		OK(peer_read(p, &frame, weft_after_ns(20 * S)));
		now = weft_now();
		ck_assert_int_eq(frame.cmd, SMUX_NOP);
		/* the net's latency, and a sleep that began late */
		ck_assert_int_ge(now - start, 10 * S * i);
		ck_assert_int_lt(now - start, 10 * S * i + S / 5);
	}
}

PEER_TEST(mux_sends_a_nop_every_interval)
{
	weft_scope *sending;

	keepalive(p, 10 * S, 30 * S);
	peer_start(p);
	sending = keep_sending(p);
	nops_come(p, weft_now(), 20);
	weft_scope_free(sending);
}

PEER_TEST(mux_sends_no_nop_when_keepalive_is_off)
{
	peer_start(p);
	OK(weft_sleep_ns(1000 * S));
	ck_assert(weft_mux_is_alive(p->mux));
	ck_assert_uint_eq(peer_stats(p).frames_out, 0);
	peer_want_quiet(p);
}

static weft_err talk_fiber(void *arg)
{
	weft_stream *stream = arg;

	for (uint64_t i = 0; i < 100; i++) {
		stream_write(stream, i, 1);
		OK(weft_sleep_ns(S));
	}
	return WEFT_OK;
}

/* Traffic is no reason to leave them out. */
PEER_TEST(mux_sends_nops_under_traffic_too)
{
	int nops = 0, bytes = 0;
	weft_scope *sending;
	weft_stream *stream;
	weft_fiber *talker;

	keepalive(p, 10 * S, 30 * S);
	peer_start(p);
	stream = peer_accept(p, 3);
	sending = keep_sending(p);
	talker = spawn(talk_fiber, stream);
	while (bytes < 100) {
		struct peer_frame frame;

		OK(peer_read(p, &frame, weft_after_ns(20 * S)));
		nops += frame.cmd == SMUX_NOP;
		bytes += (int)frame.len;
	}
	ck_assert_int_ge(nops, 9);
	ck_assert_int_le(nops, 10);
	weft_scope_free(sending);
	join(talker);
	weft_stream_free(stream);
}

/* ---- peers that are dead, or not ---- */

PEER_TEST(mux_a_silent_peer_is_dead)
{
	weft_deadline start;
	struct stream_call reader;
	weft_stream *stream;
	weft_err err;

	keepalive(p, 10 * S, 30 * S);
	peer_start(p);
	stream = peer_accept(p, 3);
	start = weft_now();
	stream_read_start(&reader, stream);
	reader.until = WEFT_FOREVER;
	err = weft_mux_wait(p->mux, weft_after_ns(100 * S));
	FAILS(WEFT_ERESET, err);
	ck_assert_msg(strstr(weft_error_detail(), "30"), "\"%s\"", weft_error_detail());
	/* it is looked at every time-out, and once more an eighth of it later */
	ck_assert_int_ge(weft_now() - start, 30 * S - S / 10);
	ck_assert_int_le(weft_now() - start, 64 * S + S / 10);
	FAILS(WEFT_ERESET, stream_call_end(&reader));
	ck_assert_msg(strstr(reader.text, "30"), "\"%s\"", reader.text);
	peer_want_gone(p);
	weft_stream_free(stream);
}

/* It need not be NOPs that it sends, nor whole frames' payload: a header will do. */
PEER_TEST(mux_a_peer_that_sends_anything_is_alive)
{
	weft_stream *stream;

	keepalive(p, 10 * S, 30 * S);
	peer_start(p);
	stream = peer_accept(p, 3);
	for (uint64_t i = 0; i < 20; i++) {
		OK(weft_sleep_ns(29 * S));
		if (i % 3 == 0)
			peer_nop(p);
		else if (i % 3 == 1)
			peer_fin(p, 999);
		else
			peer_pattern(p, 3, i / 3, 1);
		peer_flush(p);
	}
	ck_assert(weft_mux_is_alive(p->mux));
	stream_want(stream, 0, 6);
	weft_stream_free(stream);
}

/* The silence is ours. Go's smux kills the session just after the stall ends. */
PEER_TEST(mux_a_session_stalled_by_its_own_bucket_is_not_dead)
{
	weft_stream *stream;

	keepalive(p, 10 * S, 30 * S);
	p->options.max_receive_buffer = p->options.max_stream_buffer = 1000;
	peer_start(p);
	for (int64_t late = 0; late < 30; late += 3) {
		uint32_t id = 3 + 2 * (uint32_t)late;

		stream = peer_accept(p, id);
		peer_pattern(p, id, 0, 5000);
		peer_flush(p);
		OK(weft_sleep_ns((100 + late) * S)); /* wherever in the period the stall ends */
		ck_assert(weft_mux_is_alive(p->mux));
		stream_want(stream, 0, 5000);
		OK(weft_sleep_ns(28 * S));
		ck_assert(weft_mux_is_alive(p->mux));
		peer_nop(p);
		peer_flush(p);
		peer_fence(p);
		weft_stream_free(stream);
	}
	/* and one that is silent after the stall is */
	FAILS(WEFT_ERESET, weft_mux_wait(p->mux, weft_after_ns(65 * S)));
}

PEER_TEST(mux_a_session_stalled_by_its_memory_is_not_dead)
{
	enum { SLICES_MAX = 200, BYTES = 400000 };
	weft_buf slices[SLICES_MAX];
	weft_stream *stream;
	weft_fiber *flusher;
	size_t held = 0, come = 0;

	keepalive(p, 10 * S, 30 * S);
	p->options.max_memory = 100000;
	p->options.max_stream_buffer = 1 << 20;
	peer_start(p);
	stream = peer_accept(p, 3);
	for (unsigned i = 0; i < 20; i++)
		peer_pattern(p, 3, i * (BYTES / 20), BYTES / 20);
	flusher = spawn(peer_flush_fiber, p);
	while (peer_stats(p).stalls_memory == 0) {
		ck_assert_uint_lt(held, SLICES_MAX);
		if (!weft_stream_read_buf(stream, &slices[held], 0, MS(10)))
			come += slices[held++].len;
	}
	OK(weft_sleep_ns(200 * S));
	ck_assert(weft_mux_is_alive(p->mux));
	for (size_t i = 0; i < held; i++)
		weft_buf_unref(&slices[i]);
	stream_want(stream, come, BYTES - come);
	join(flusher);
	OK(weft_sleep_ns(28 * S));
	ck_assert(weft_mux_is_alive(p->mux));
	peer_nop(p);
	peer_flush(p);
	peer_fence(p);
	weft_stream_free(stream);
	FAILS(WEFT_ERESET, weft_mux_wait(p->mux, weft_after_ns(65 * S)));
}

/* NOPs for a peer that reads nothing do not pile up, and its silence still counts. */
PEER_TEST(mux_a_peer_that_reads_nothing_and_is_silent_is_dead)
{
	struct stream_call writer;
	weft_stream *stream;

	keepalive(p, S / 100, 30 * S);
	peer_start(p);
	stream = peer_accept(p, 3);
	stream_write_start(&writer, stream, 0, 1 << 20);
	writer.until = WEFT_FOREVER;
	FAILS(WEFT_ERESET, weft_mux_wait(p->mux, weft_after_ns(65 * S)));
	FAILS(WEFT_ERESET, stream_call_end(&writer));
	weft_stream_free(stream);
}

PEER_TEST(mux_nops_do_not_pile_up_for_a_peer_that_reads_nothing)
{
	struct stream_call writer;
	weft_stream *stream;
	weft_scope *sending;
	uint64_t come = 0, nops = 0;

	keepalive(p, S / 100, 30 * S);
	peer_start(p);
	stream = peer_accept(p, 3);
	sending = keep_sending(p);
	stream_write_start(&writer, stream, 0, 1 << 18);
	writer.until = WEFT_FOREVER;
	OK(weft_sleep_ns(1000 * S)); /* 100,000 NOPs */
	while (come < 1 << 18) {
		struct peer_frame frame;

		OK(peer_read(p, &frame, SOON));
		if (frame.cmd == SMUX_PSH)
			come += frame.len;
		else
			nops++;
	}
	ck_assert_uint_lt(nops, 50000);
	OK(stream_call_end(&writer));
	weft_scope_free(sending);
	weft_stream_free(stream);
}

/* By a clock that is real. */
PEER_TEST(mux_keepalive_works_in_real_time)
{
	struct peer_frame frame;
	weft_deadline start;

	keepalive(p, 20000000, 100 * S);
	start = weft_now();
	peer_start(p);
	OK(peer_read(p, &frame, SOON));
	ck_assert_int_eq(frame.cmd, SMUX_NOP);
	ck_assert_int_ge(weft_now() - start, 20000000);
}

PEER_TEST(mux_a_silent_peer_is_dead_in_real_time)
{
	weft_deadline start = weft_now();

	keepalive(p, 20000000, 60000000);
	peer_start(p);
	FAILS(WEFT_ERESET, weft_mux_wait(p->mux, SOON));
	ck_assert_int_ge(weft_now() - start, 60000000);
	peer_want_gone(p);
}

static void keepalive_tests(TCase *tc)
{
	peer_add_sim(tc, mux_sends_a_nop_every_interval);
	peer_add_sim(tc, mux_sends_no_nop_when_keepalive_is_off);
	peer_add_sim(tc, mux_sends_nops_under_traffic_too);
	peer_add_sim(tc, mux_a_silent_peer_is_dead);
	peer_add_sim(tc, mux_a_peer_that_sends_anything_is_alive);
	peer_add_sim(tc, mux_a_session_stalled_by_its_own_bucket_is_not_dead);
	peer_add_sim(tc, mux_a_session_stalled_by_its_memory_is_not_dead);
	peer_add_sim(tc, mux_a_peer_that_reads_nothing_and_is_silent_is_dead);
	peer_add_sim(tc, mux_nops_do_not_pile_up_for_a_peer_that_reads_nothing);
	peer_add(tc, mux_keepalive_works_in_real_time);
	peer_add(tc, mux_a_silent_peer_is_dead_in_real_time);
}
T_SUITE("mux_keepalive", keepalive_tests)
