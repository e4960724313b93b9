/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 not=tsan,coverage,aarch64 */
/* What is counted modulo 2^32: more than 4 GiB through one stream, each way. */
#include "support/muxpeer.h"

#define TOTAL ((UINT64_C(1) << 32) + (64 << 20))
#define PEER_WINDOW (UINT32_C(8) << 20)
#define PIECE (256 << 10)
#define PIPE ((size_t)1 << 20)

struct rig {
	weft_mux *mux;
	weft_stream *stream;
	weft_conn *peer;
	uint8_t *data; /* PIECE bytes for each side */
};

static void rig_start(struct rig *r)
{
	weft_mux_options options = WEFT_MUX_OPTIONS_DEFAULT;
	weft_conn *ends[2];
	uint8_t syn[SMUX_HEADER_SIZE];

	options.version = 2;
	options.keepalive_disabled = true; /* a busy machine takes longer than its interval */
	options.max_frame_size = 65535;
	options.max_stream_buffer = 1 << 20;
	OK(weft_conn_pair(ends, PIPE));
	OK(weft_mux_create_own(&r->mux, ends[0], WEFT_MUX_SERVER, &options));
	r->peer = ends[1];
	smux_put_header(syn, 2, SMUX_SYN, 0, 3);
	OK(weft_conn_write(r->peer, syn, sizeof(syn), NULL, SOON));
	OK(weft_mux_accept(r->mux, &r->stream, SOON));
	r->data = calloc(2, PIECE);
	ck_assert_ptr_nonnull(r->data);
}

static void rig_end(struct rig *r)
{
	weft_stream_free(r->stream);
	weft_mux_free(r->mux);
	weft_conn_free(r->peer);
	free(r->data);
}

/* Each piece begins with where it is. */
static weft_err write_pieces(void *arg)
{
	struct rig *r = arg;

	for (uint64_t at = 0; at < TOTAL; at += PIECE) {
		memcpy(r->data, &at, sizeof(at));
		OK(weft_stream_write(r->stream, r->data, PIECE, NULL, SOON));
	}
	return weft_stream_shutdown(r->stream);
}

static weft_err sending_fiber(void *arg)
{
	uint8_t upd[SMUX_UPD_SIZE], *in;
	uint64_t come = 0, told = 0;
	struct smux_decoder decoder;
	struct smux_frame frame;
	struct rig r;
	weft_fiber *writer;
	bool ended = false;

	(void)arg;
	rig_start(&r);
	writer = spawn(write_pieces, &r);
	in = r.data + PIECE;
	smux_decoder_init(&decoder, 2);
	while (!ended) {
		const uint8_t *at = in;
		enum smux_event event;
		size_t got = 0;

		OK(weft_conn_read(r.peer, in, PIECE, &got, SOON));
		while ((event = smux_decoder_next(&decoder, &at, &got, &frame)) !=
			SMUX_EVENT_NONE) {
			T_OUGHT(event == SMUX_EVENT_DATA || event == SMUX_EVENT_FIN);
			ended = event == SMUX_EVENT_FIN;
			if (!ended && come % PIECE == 0 && frame.len >= sizeof(come))
				T_OUGHT(!memcmp(frame.data, &come, sizeof(come)));
			come += ended ? 0 : frame.len;
		}
		/* never more than was allowed, also across the wrap */
		T_OUGHT(come - told <= (told ? PEER_WINDOW : WEFT_MUX_INITIAL_WINDOW));
		if (come - told < WEFT_MUX_INITIAL_WINDOW / 2)
			continue;
		told = come;
		smux_put_upd(upd, 3, (uint32_t)told, PEER_WINDOW);
		OK(weft_conn_write(r.peer, upd, sizeof(upd), NULL, SOON));
	}
	ck_assert_uint_eq(come, TOTAL);
	join(writer);
	rig_end(&r);
	return WEFT_OK;
}

START_TEST(mux_a_stream_sends_more_than_a_counter_holds)
{
	run_fiber(sending_fiber, NULL, false);
}
END_TEST

static weft_err feed_pieces(void *arg)
{
	struct rig *r = arg;
	uint8_t head[SMUX_HEADER_SIZE];
	uint8_t *out = r->data + PIECE;

	smux_put_header(head, 2, SMUX_PSH, 32768, 3);
	for (uint64_t at = 0; at < TOTAL; at += 32768) {
		struct iovec iov[2] = { { head, sizeof(head) }, { out, 32768 } };

		memcpy(out, &at, sizeof(at));
		OK(weft_conn_writev(r->peer, iov, 2, NULL, SOON));
	}
	smux_put_header(head, 2, SMUX_FIN, 0, 3);
	return weft_conn_write(r->peer, head, sizeof(head), NULL, SOON);
}

struct telling {
	weft_conn *peer;
	uint32_t last; /* consumed, as told */
	uint64_t wraps;
};

static weft_err take_upds(void *arg)
{
	struct telling *t = arg;
	uint8_t upd[SMUX_UPD_SIZE];

	while (!weft_conn_read_full(t->peer, upd, sizeof(upd), NULL, WEFT_FOREVER)) {
		uint32_t consumed;

		T_OUGHT(upd[1] == SMUX_UPD);
		memcpy(&consumed, upd + 8, sizeof(consumed));
		T_OUGHT(consumed - t->last <= 4u << 20);
		t->wraps += consumed < t->last;
		t->last = consumed;
	}
	return WEFT_OK;
}

static weft_err receiving_fiber(void *arg)
{
	struct rig r;
	struct telling t = { NULL, 0, 0 };
	weft_fiber *feeder, *teller;
	uint64_t come = 0;
	weft_err err;
	size_t got = 0;

	(void)arg;
	rig_start(&r);
	t.peer = r.peer;
	feeder = spawn(feed_pieces, &r);
	teller = spawn(take_upds, &t);
	while (!(err = weft_stream_read(r.stream, r.data, PIECE, &got, SOON))) {
		if (come % 32768 == 0 && got >= sizeof(come))
			T_OUGHT(!memcmp(r.data, &come, sizeof(come)));
		come += got;
	}
	FAILS(WEFT_ECLOSED, err);
	ck_assert_uint_eq(come, TOTAL);
	join(feeder);
	weft_conn_close(r.peer);
	join(teller);
	ck_assert_uint_eq(t.wraps, 1);
	rig_end(&r);
	return WEFT_OK;
}

START_TEST(mux_a_stream_receives_more_than_a_counter_holds)
{
	run_fiber(receiving_fiber, NULL, false);
}
END_TEST

static void wrap_tests(TCase *tc)
{
	t_add(tc, mux_a_stream_sends_more_than_a_counter_holds);
	t_add(tc, mux_a_stream_receives_more_than_a_counter_holds);
}
T_SUITE("mux_wrap", wrap_tests)
