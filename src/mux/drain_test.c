/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=120 */
/* Ends that take their time: idle streams, and sessions that drain. */
#include "support/muxpeer.h"

#define S INT64_C(1000000000)

/* ---- idle streams, by the simulator's clock ---- */

PEER_TEST(mux_an_idle_stream_ends_after_its_time_and_not_before)
{
	weft_stream *idle, *busy;
	struct stream_call reader;
	weft_deadline start;
	size_t got = 0;
	uint8_t byte;

	p->options.idle_timeout_ns = 20 * S;
	peer_start(p);
	idle = peer_accept(p, 3);
	busy = peer_accept(p, 5);
	peer_pattern(p, 3, 0, 1);
	peer_flush(p);
	stream_want(idle, 0, 1);
	start = weft_now();
	stream_read_start(&reader, idle);
	reader.until = WEFT_FOREVER;
	for (uint64_t i = 0; i < 19; i++) {
		OK(weft_sleep_ns(S));
		stream_write(busy, i, 1);
		peer_want_data(p, 5, i, 1);
	}
	ck_assert_uint_eq(peer_stats(p).idled, 0);
	FAILS(WEFT_ERESET, stream_call_end(&reader));
	ck_assert_msg(strstr(reader.text, "idle for 20000 ms"), "\"%s\"", reader.text);
	ck_assert_int_ge(weft_now() - start, 20 * S);
	ck_assert_int_le(weft_now() - start, 25 * S + S / 10);
	FAILS(WEFT_ERESET, weft_stream_write(idle, "x", 1, NULL, SOON));
	FAILS(WEFT_ERESET, weft_stream_read(idle, &byte, 1, &got, SOON));
	peer_want(p, SMUX_FIN, 3);
	ck_assert_uint_eq(peer_stats(p).idled, 1);
	ck_assert(weft_mux_is_alive(p->mux));
	peer_pattern(p, 5, 0, 1);
	peer_flush(p);
	stream_want(busy, 0, 1);
	weft_stream_free(idle);
	weft_stream_free(busy);
}

PEER_TEST(mux_a_stream_may_have_an_idle_time_of_its_own)
{
	weft_stream *never, *soon;
	weft_deadline start;

	peer_start(p);
	never = peer_accept(p, 3);
	soon = peer_accept(p, 5);
	FAILS(WEFT_EINVAL, weft_stream_idle_timeout(soon, -1));
	FAILS(WEFT_EINVAL, weft_stream_idle_timeout(soon, 1));
	FAILS(WEFT_EINVAL, weft_stream_idle_timeout(soon, INT64_MAX));
	OK(weft_stream_idle_timeout(soon, 30 * S));
	OK(weft_stream_idle_timeout(never, 1 * S));
	OK(weft_stream_idle_timeout(never, 0));
	start = weft_now();
	while (peer_stats(p).idled == 0)
		OK(weft_sleep_ns(S));
	ck_assert_int_ge(weft_now() - start, 30 * S);
	ck_assert_int_le(weft_now() - start, 52 * S);
	peer_want(p, SMUX_FIN, 5);
	OK(weft_sleep_ns(1000 * S));
	stream_write(never, 0, 1);
	peer_want_data(p, 3, 0, 1);
	weft_stream_free(never);
	weft_stream_free(soon);
}

/* In the very millisecond in which the session looks for idle streams. */
PEER_TEST(mux_a_new_stream_is_not_idle)
{
	weft_stream *streams[4] = { NULL };
	const int64_t ms = 1000000;
	weft_deadline look;

	p->options.idle_timeout_ns = 64 * S; /* looks every second */
	OK(weft_sleep_ns(2 * ms - weft_now() % (2 * ms) + ms / 2));
	look = weft_now() + S;
	peer_start(p);
	for (int i = 0; i < 4; i++) { /* in even and odd ones */
		OK(weft_sleep_until(look - ms / 4));
		OK(weft_mux_open(p->mux, &streams[i], SOON));
		peer_want(p, SMUX_SYN, 2 + 2 * (uint32_t)i);
		OK(weft_sleep_until(look + ms / 4));
		look += S + (i % 2 ? ms : 0);
	}
	OK(weft_sleep_ns(2 * S));
	ck_assert_uint_eq(peer_stats(p).idled, 0);
	for (int i = 0; i < 4; i++)
		weft_stream_free(streams[i]);
}

/* Its frames leave one by one, and its writer hears of the last one only. */
PEER_TEST(mux_a_large_write_that_goes_slowly_is_not_idle)
{
	struct stream_call writer;
	weft_stream *stream;
	size_t len = (size_t)20 * 32768;

	p->options.idle_timeout_ns = S;
	peer_start(p);
	stream = peer_accept(p, 3);
	stream_write_start(&writer, stream, 0, len);
	writer.until = WEFT_FOREVER;
	for (uint64_t at = 0; at < len; at += 32768) {
		OK(weft_sleep_ns(S / 2));
		peer_want_data(p, 3, at, 32768);
	}
	OK(stream_call_end(&writer));
	ck_assert_uint_eq(peer_stats(p).idled, 0);
	weft_stream_free(stream);
}

/* Of what came it may still have all. */
PEER_TEST(mux_what_came_before_a_stream_was_idle_may_be_read)
{
	weft_stream *stream;

	p->options.idle_timeout_ns = S;
	peer_start(p);
	stream = peer_accept(p, 3);
	peer_pattern(p, 3, 0, 1000);
	peer_flush(p);
	PEER_UNTIL(p, stats, stats.idled == 1);
	stream_want(stream, 0, 1000);
	stream_want_end(stream, WEFT_ERESET);
	weft_stream_free(stream);
}

/* A write that a peer holds up for so long has an end, too. */
PEER_TEST(mux_a_write_that_does_not_move_is_idle)
{
	struct stream_call writer;
	weft_stream *stream;

	p->options.idle_timeout_ns = S;
	peer_start(p);
	stream = peer_accept(p, 3);
	stream_write_start(&writer, stream, 0, 1 << 20);
	writer.until = WEFT_FOREVER;
	FAILS(WEFT_ERESET, stream_call_end(&writer));
	ck_assert_uint_lt(writer.done, 1 << 20);
	ck_assert_uint_eq(peer_stats(p).idled, 1);
	peer_want_data(p, 3, 0, writer.done);
	peer_want(p, SMUX_FIN, 3);
	weft_stream_free(stream);
}

/* By the real clock, too. */
PEER_TEST(mux_many_idle_streams_end)
{
	enum { MANY = 600 };
	static weft_stream *streams[MANY];

	p->options.idle_timeout_ns = S / 10;
	peer_start(p);
	for (uint32_t i = 0; i < MANY; i++)
		streams[i] = peer_accept(p, 3 + 2 * i);
	PEER_UNTIL(p, stats, stats.idled == MANY);
	for (uint32_t i = 0; i < MANY; i++)
		weft_stream_free(streams[i]);
}

/* ---- draining ---- */

struct drain {
	struct peer *p;
	weft_err err;
};

static weft_err drain_fiber(void *arg)
{
	struct drain *d = arg;

	d->err = weft_mux_drain(d->p->mux, SOON);
	return WEFT_OK;
}

PEER_TEST(mux_a_drain_lets_old_streams_end_and_no_new_ones_begin)
{
	struct drain d = { .p = p, .err = WEFT_EIO };
	struct stream_call call;
	weft_stream *old, *waits = NULL, *none = NULL;
	weft_fiber *fiber;

	peer_start(p);
	old = peer_accept(p, 3);
	peer_syn(p, 5);
	peer_pattern(p, 5, 0, 10);
	peer_flush(p);
	PEER_UNTIL(p, stats, stats.unread == 10);
	FAILS(WEFT_ETIMEDOUT, weft_mux_drain(p->mux, WEFT_NOW));
	fiber = spawn(drain_fiber, &d);
	ck_assert(!weft_mux_is_alive(p->mux));
	FAILS(WEFT_ECLOSED, weft_mux_open(p->mux, &none, SOON));
	peer_syn(p, 7);
	peer_pattern(p, 7, 0, 10);
	peer_flush(p);
	peer_want(p, SMUX_FIN, 7);
	ck_assert_uint_eq(peer_stats(p).refused, 1);
	/* what waited to be accepted, and what was there, goes on */
	OK(weft_mux_accept(p->mux, &waits, SOON));
	FAILS(WEFT_ECLOSED, weft_mux_accept(p->mux, &none, SOON));
	stream_want(waits, 0, 10);
	weft_stream_free(waits);
	peer_want(p, SMUX_FIN, 5);
	stream_write_start(&call, old, 0, 100000);
	peer_want_data(p, 3, 0, 100000);
	OK(stream_call_end(&call));
	weft_stream_free(old);
	peer_want(p, SMUX_FIN, 3);
	join(fiber);
	OK(d.err);
	OK(weft_mux_drain(p->mux, WEFT_NOW));
}

PEER_TEST(mux_a_drain_without_streams_ends_at_once)
{
	weft_stream *stream = NULL;

	peer_start(p);
	OK(weft_mux_drain(p->mux, WEFT_NOW));
	FAILS(WEFT_ECLOSED, weft_mux_open(p->mux, &stream, SOON));
	FAILS(WEFT_ECLOSED, weft_mux_accept(p->mux, &stream, SOON));
	/* and the session is still there */
	peer_syn(p, 3);
	peer_flush(p);
	peer_want(p, SMUX_FIN, 3);
	weft_mux_close(p->mux);
	peer_want_gone(p);
	FAILS(WEFT_ECLOSED, weft_mux_wait(p->mux, SOON));
}

PEER_TEST(mux_a_drain_gives_up_at_its_deadline)
{
	weft_stream *stream;

	peer_start(p);
	stream = peer_accept(p, 3);
	FAILS(WEFT_ETIMEDOUT, weft_mux_drain(p->mux, MS(30)));
	weft_mux_close(p->mux);
	peer_want_gone(p);
	FAILS(WEFT_ETIMEDOUT, weft_mux_drain(p->mux, WEFT_NOW));
	weft_stream_free(stream);
	OK(weft_mux_drain(p->mux, SOON));
}

static void drain_tests(TCase *tc)
{
	peer_add_sim(tc, mux_an_idle_stream_ends_after_its_time_and_not_before);
	peer_add_sim(tc, mux_a_stream_may_have_an_idle_time_of_its_own);
	peer_add_sim(tc, mux_what_came_before_a_stream_was_idle_may_be_read);
	peer_add_sim(tc, mux_a_new_stream_is_not_idle);
	peer_add_sim_v1(tc, mux_a_large_write_that_goes_slowly_is_not_idle);
	peer_add_sim_v2(tc, mux_a_write_that_does_not_move_is_idle);
	peer_add(tc, mux_many_idle_streams_end);
	peer_add(tc, mux_a_drain_lets_old_streams_end_and_no_new_ones_begin);
	peer_add(tc, mux_a_drain_without_streams_ends_at_once);
	peer_add(tc, mux_a_drain_gives_up_at_its_deadline);
}
T_SUITE("mux_drain", drain_tests)
