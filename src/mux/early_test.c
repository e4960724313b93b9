/* SPDX-License-Identifier: MIT */
/* Of many streams with something to send, the first few go before the sender has its turn. */
#include "mux/session.h"
#include "support/muxpeer.h"

#define MANY (3 * TX_EARLY_STREAMS)
#define FIRST_ID 3u

static uint64_t writes_until_now(struct peer *p)
{
	return peer_stats(p).writes;
}

/* The sender had its turn, after which nothing was left: the session has sent a FIN for each fence,
 * and so many frames else. */
static void await_turn(struct peer *p, uint64_t frames)
{
	PEER_UNTIL(p, stats, stats.frames_out == p->fences + frames);
}

static void accept_many(struct peer *p, weft_stream **streams)
{
	for (uint32_t i = 0; i < MANY; i++)
		streams[i] = peer_accept(p, FIRST_ID + 2 * i);
	peer_fence(p);
	await_turn(p, 0);
}

PEER_TEST(mux_of_many_streams_the_first_go_while_the_rest_are_written)
{
	weft_stream *streams[MANY];
	/* where the conn takes little, the sender is in the midst of its turn, and nobody else sends */
	uint64_t before, early = p->buffers_little ? 0 : 1;

	peer_start(p);
	accept_many(p, streams);
	before = writes_until_now(p);
	/* this fiber does not wait in between: the sender has no turn */
	for (unsigned i = 0; i + 1 < TX_EARLY_STREAMS; i++)
		stream_write(streams[i], 0, 1);
	ck_assert_uint_eq(writes_until_now(p), before);
	for (unsigned i = TX_EARLY_STREAMS - 1; i < MANY; i++) {
		stream_write(streams[i], 0, 1);
		ck_assert_uint_eq(writes_until_now(p), before + early);
	}
	for (uint32_t i = 0; i < MANY; i++)
		peer_want_data(p, FIRST_ID + 2 * i, 0, 1);
	await_turn(p, MANY);
	/* and again, after the sender's turn */
	before = writes_until_now(p);
	for (unsigned i = 0; i < TX_EARLY_STREAMS; i++)
		stream_write(streams[i], 1, 1);
	ck_assert_uint_eq(writes_until_now(p), before + 1);
	for (uint32_t i = 0; i < TX_EARLY_STREAMS; i++)
		peer_want_data(p, FIRST_ID + 2 * i, 1, 1);
	for (uint32_t i = 0; i < MANY; i++)
		weft_stream_free(streams[i]);
}

/* What the conn does not take then is sent in the sender's turn, and a peer that has gone is found. */
PEER_TEST(mux_a_peer_that_goes_is_found_though_the_first_were_sent_early)
{
	weft_stream *streams[MANY];
	weft_err err = WEFT_OK;

	peer_start(p);
	accept_many(p, streams);
	peer_hang_up(p);
	for (unsigned i = 0; i < MANY && !err; i++)
		err = weft_stream_write(streams[i], "x", 1, NULL, SOON);
	ck_assert(!err || err == WEFT_ERESET);
	err = weft_mux_wait(p->mux, SOON);
	ck_assert_msg(err == WEFT_ERESET, "%s", weft_err_name(err));
	for (uint32_t i = 0; i < MANY; i++)
		weft_stream_free(streams[i]);
}

static void early_tests(TCase *tc)
{
	peer_add(tc, mux_of_many_streams_the_first_go_while_the_rest_are_written);
	peer_add(tc, mux_a_peer_that_goes_is_found_though_the_first_were_sent_early);
}
T_SUITE("mux_early", early_tests)
