/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* Limits of a session, its options, and memory that runs out. */
#include "support/muxpeer.h"

/* ---- accept backlog, streams ---- */

PEER_TEST(mux_streams_over_the_backlog_are_refused_by_a_fin)
{
	weft_stream *old, *stream = NULL;

	p->options.accept_backlog = 4;
	peer_start(p);
	old = peer_accept(p, 3);
	for (uint32_t i = 0; i < 10; i++)
		peer_syn(p, 5 + 2 * i);
	for (uint32_t i = 0; i < 10; i++)
		peer_pattern(p, 5 + 2 * i, i, 100);
	peer_pattern(p, 3, 0, 100);
	peer_flush(p);
	stream_want(old, 0, 100); /* nothing holds up the others */
	for (uint32_t i = 4; i < 10; i++)
		peer_want(p, SMUX_FIN, 5 + 2 * i);
	ck_assert_uint_eq(peer_stats(p).refused, 6);
	for (uint32_t i = 0; i < 4; i++) {
		OK(weft_mux_accept(p->mux, &stream, SOON));
		ck_assert_uint_eq(weft_stream_id(stream), 5 + 2 * i);
		stream_want(stream, i, 100);
		weft_stream_free(stream);
	}
	FAILS(WEFT_ETIMEDOUT, weft_mux_accept(p->mux, &stream, WEFT_NOW));
	weft_stream_free(peer_accept(p, 23)); /* there is room again */
	weft_stream_free(old);
	ck_assert_uint_eq(peer_stats(p).refused, 6);
}

PEER_TEST(mux_streams_over_the_limit_are_refused_by_a_fin)
{
	weft_stream *a, *b, *own = NULL, *none = NULL;

	p->options.max_streams = 3;
	peer_start(p);
	a = peer_accept(p, 3);
	b = peer_accept(p, 5);
	OK(weft_mux_open(p->mux, &own, SOON));
	peer_want(p, SMUX_SYN, 2);
	FAILS(WEFT_ECAPACITY, weft_mux_open(p->mux, &none, SOON));
	ck_assert_msg(strstr(weft_error_detail(), "3"), "\"%s\"", weft_error_detail());
	peer_syn(p, 7);
	peer_pattern(p, 7, 0, 100); /* dropped */
	peer_flush(p);
	peer_want(p, SMUX_FIN, 7);
	FAILS(WEFT_ETIMEDOUT, weft_mux_accept(p->mux, &none, WEFT_NOW));
	ck_assert_uint_eq(peer_stats(p).refused, 1);
	ck_assert_uint_eq(peer_stats(p).streams, 3);
	ck_assert_uint_eq(peer_stats(p).unread, 0);
	weft_stream_free(a);
	peer_want(p, SMUX_FIN, 3);
	PEER_UNTIL(p, stats, stats.streams == 2);
	a = peer_accept(p, 7);
	FAILS(WEFT_ECAPACITY, weft_mux_open(p->mux, &none, SOON));
	weft_stream_free(b);
	PEER_UNTIL(p, stats, stats.streams == 2);
	OK(weft_mux_open(p->mux, &none, SOON));
	weft_stream_free(none);
	weft_stream_free(a);
	weft_stream_free(own);
}

/* Streams that wait for accept when nobody ever does. */
PEER_TEST(mux_streams_never_accepted_go_with_the_session)
{
	peer_start(p);
	for (uint32_t i = 0; i < 50; i++) {
		peer_syn(p, i);
		peer_pattern(p, i, 0, 500);
		if (i % 2)
			peer_fin(p, i);
	}
	peer_flush(p);
	PEER_UNTIL(p, stats, stats.unread == 25000);
	weft_mux_free(p->mux);
	p->mux = NULL;
	peer_want_gone(p);
}

/*
 * Each SYN is owed an answer: a peer that sends them for ever, and reads nothing, may not
 * make us keep one each.
 */
static void flood(struct peer *p)
{
	int64_t blocks = t_malloc_live();
	uint32_t id = 1;
	weft_err err = WEFT_OK;

	p->options.linger_ns = 0;
	peer_start(p);
	for (int round = 0; round < 200 && !err; round++) {
		for (int i = 0; i < 1000; i++, id += 2)
			peer_syn(p, id);
		err = peer_flush_until(p, MS(p->sim ? 2000 : 50));
	}
	/* it stopped reading, gave the peer up, or forgets */
	ck_assert(err == WEFT_OK || err == WEFT_ETIMEDOUT || err == WEFT_ERESET);
	ck_assert_int_lt(t_malloc_live() - blocks, 100000);
	ck_assert_uint_le(peer_stats(p).streams, 11);
	weft_mux_free(p->mux);
	p->mux = NULL;
}

PEER_TEST(mux_a_flood_over_the_backlog_that_reads_no_answers_is_bounded)
{
	p->options.accept_backlog = 10;
	flood(p);
}

PEER_TEST(mux_a_flood_of_streams_that_reads_no_answers_is_bounded)
{
	p->options.max_streams = 10;
	flood(p);
}

/* Opened by us and refused: the FIN is an end of stream. */
PEER_TEST(mux_a_refusal_shows_at_the_first_read)
{
	weft_stream *stream = NULL;

	peer_start(p);
	OK(weft_mux_open(p->mux, &stream, SOON));
	peer_want(p, SMUX_SYN, 2);
	peer_fin(p, 2);
	peer_flush(p);
	stream_want_end(stream, WEFT_ECLOSED);
	weft_stream_free(stream);
}

/* ---- memory ---- */

/* More than a read of the connection, so that the session has done with its memory. */
PEER_TEST(mux_slices_hold_memory_until_they_are_given_back)
{
	enum { BYTES = 1000000 };
	weft_stream *stream;
	weft_buf buf = WEFT_BUF_EMPTY, rest = WEFT_BUF_EMPTY;
	weft_fiber *flusher;
	size_t have;

	if (p->buffers_little)
		return;

	p->options.max_stream_buffer = p->options.max_receive_buffer = 1 << 20;
	peer_start(p);
	stream = peer_accept(p, 3);
	for (unsigned i = 0; i < 20; i++)
		peer_pattern(p, 3, i * (BYTES / 20), BYTES / 20);
	flusher = spawn(peer_flush_fiber, p);
	PEER_UNTIL(p, stats, stats.unread == BYTES);
	join(flusher);
	OK(weft_stream_read_buf(stream, &buf, 100, SOON));
	ck_assert_uint_ge(buf.len, 1);
	ck_assert_uint_le(buf.len, 100);
	ck_assert(matches(buf.data, buf.len, 0));
	have = buf.len;
	OK(weft_stream_read_buf(stream, &rest, 0, SOON));
	ck_assert_uint_ge(rest.len, 1);
	ck_assert(matches(rest.data, rest.len, have));
	have += rest.len;
	stream_want(stream, have, BYTES - have);
	ck_assert_uint_eq(peer_stats(p).unread, 0);
	ck_assert_uint_gt(peer_stats(p).memory, 0);
	weft_buf_unref(&rest);
	ck_assert_uint_gt(peer_stats(p).memory, 0);
	ck_assert(matches(buf.data, buf.len, 0));
	weft_buf_unref(&buf);
	PEER_UNTIL(p, stats, stats.memory == 0);
	weft_stream_free(stream);
}

PEER_TEST(mux_slices_outlive_their_session)
{
	weft_stream *stream;
	weft_buf buf = WEFT_BUF_EMPTY, part;
	size_t half;

	p->options.linger_ns = 0;
	peer_start(p);
	stream = peer_accept(p, 3);
	peer_pattern(p, 3, 0, 30000);
	peer_flush(p);
	OK(weft_stream_read_buf(stream, &buf, 0, SOON));
	half = buf.len / 2;
	part = weft_buf_slice(&buf, half, buf.len - half);
	weft_stream_free(stream);
	weft_mux_free(p->mux);
	p->mux = NULL;
	peer_want_gone(p);
	OK(weft_sleep_ms(5)); /* its fibers have ended */
	ck_assert(matches(buf.data, buf.len, 0));
	weft_buf_unref(&buf);
	ck_assert(matches(part.data, part.len, half));
	weft_buf_unref(&part);
}

PEER_TEST(mux_the_memory_cap_stops_reading_until_slices_come_back)
{
	enum { SLICES_MAX = 2000 };
	static weft_buf slices[SLICES_MAX];
	weft_stream *stream;
	uint64_t come = 0, sent = 0;
	int held = 0;

	p->options.max_memory = 300000;
	peer_start(p);
	stream = peer_accept(p, 3);
	/* who keeps every slice that he reads */
	while (peer_stats(p).stalls_memory == 0 && held < SLICES_MAX) {
		ck_assert_uint_lt(sent, 4 << 20);
		if (p->out_len == 0) {
			peer_pattern(p, 3, sent, 2000);
			sent += 2000;
		}
		(void)!peer_flush_until(p, MS(1));
		if (!weft_stream_read_buf(stream, &slices[held], 0, MS(1))) {
			ck_assert(matches(slices[held].data, slices[held].len, come));
			come += slices[held].len;
			held++;
		}
	}
	ck_assert_uint_ge(peer_stats(p).memory, 300000);
	ck_assert_uint_lt(peer_stats(p).memory, 300000 + 2 * 65536 + 8192);
	for (int i = 0; i < held; i++)
		weft_buf_unref(&slices[i]);
	peer_pattern(p, 3, sent, 2000);
	sent += 2000;
	peer_flush(p);
	stream_want(stream, come, sent - come);
	weft_stream_free(stream);
}

/* ---- options ---- */

static const struct {
	const char *field;
	weft_mux_options options;
} wrong[] = {
	{ "version", { 0, false, 1, 1, 1, 1, 1, true, 0, 0, 0, 0, 0 } },
	{ "version", { 3, false, 1, 1, 1, 1, 1, true, 0, 0, 0, 0, 0 } },
	{ "keepalive_interval_ns", { 1, false, 0, 1, 1, 1, 1, true, 0, 0, 0, 0, 0 } },
	{ "keepalive_interval_ns", { 1, false, -1, 1, 1, 1, 1, true, 0, 0, 0, 0, 0 } },
	{ "keepalive_timeout_ns", { 1, false, 2, 1, 1, 1, 1, true, 0, 0, 0, 0, 0 } },
	{ "keepalive_timeout_ns", { 2, false, 2, -1, 1, 1, 1, true, 0, 0, 0, 0, 0 } },
	{ "max_frame_size", { 1, false, 1, 1, 0, 1, 1, true, 0, 0, 0, 0, 0 } },
	{ "max_frame_size", { 1, false, 1, 1, 65536, 1, 1, true, 0, 0, 0, 0, 0 } },
	{ "max_receive_buffer", { 1, false, 1, 1, 1, 0, 1, true, 0, 0, 0, 0, 0 } },
	{ "max_receive_buffer", { 1, false, 1, 1, 1, (size_t)1 << 31, 1, true, 0, 0, 0, 0, 0 } },
	{ "max_stream_buffer", { 1, false, 1, 1, 1, 1, 0, true, 0, 0, 0, 0, 0 } },
	{ "max_stream_buffer", { 1, false, 1, 1, 1, 1, 2, true, 0, 0, 0, 0, 0 } },
	{ "max_stream_buffer", { 2, false, 1, 1, 1, 70000, 70001, true, 0, 0, 0, 0, 0 } },
	{ "max_streams", { 2, false, 1, 1, 1, 1, 1, true, SIZE_MAX, 0, 0, 0, 0 } },
	{ "idle_timeout_ns", { 2, false, 1, 1, 1, 1, 1, true, 0, 0, 0, 0, -1 } },
	{ "idle_timeout_ns", { 2, false, 1, 1, 1, 1, 1, true, 0, 0, 0, 0, 999999 } },
	{ "idle_timeout_ns",
		{ 2, false, 1, 1, 1, 1, 1, true, 0, 0, 0, 0, INT64_C(1000000) << 32 } },
	{ "accept_backlog", { 2, false, 1, 1, 1, 1, 1, true, 0, SIZE_MAX, 0, 0, 0 } },
};
#define WRONG ((int)(sizeof(wrong) / sizeof(wrong[0])))

START_TEST(mux_options_that_are_wrong_are_refused_by_name)
{
	weft_conn *ends[2];
	weft_mux *mux = NULL;

	FAILS(WEFT_EINVAL, weft_mux_options_check(&wrong[_i].options));
	ck_assert_msg(strstr(weft_error_detail(), wrong[_i].field), "\"%s\"", weft_error_detail());
	/* and the conn is gone */
	OK(weft_conn_pair(ends, 0));
	FAILS(WEFT_EINVAL, weft_mux_create_own(&mux, ends[0], WEFT_MUX_CLIENT, &wrong[_i].options));
	ck_assert_ptr_null(mux);
	FAILS(WEFT_ECLOSED, weft_conn_read(ends[1], &mux, 1, &(size_t){ 0 }, SOON));
	weft_conn_free(ends[1]);
}
END_TEST

START_TEST(mux_options_at_their_limits_are_taken)
{
	static const weft_mux_options right[] = {
		WEFT_MUX_OPTIONS_DEFAULT,
		{ 1, false, 1, 1, 1, 1, 1, true, 1, 1, 1, 0, 1000000 },
		{ 2, false, 1, INT64_MAX, 65535, INT32_MAX, INT32_MAX, false, 1 << 28, 1 << 20,
			SIZE_MAX, INT64_MAX, 0 },
		{ 2, true, 0, 0, 1, 1, 1, true, 0, 0, 0, -1, 0 },
		{ 2, true, -5, -7, 1, 2, 1, true, 0, 0, 0, INT64_MIN, 0 },
	};

	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
		OK(weft_mux_options_check(&right[i]));
}
END_TEST

/* The smallest of everything works, if slowly. */
PEER_TEST(mux_works_with_the_smallest_of_everything)
{
	static const weft_mux_options least = { 1, true, 1, 1, 1, 1, 1, true, 1, 1, 1, 0, 0 };
	struct stream_call writer;
	weft_stream *stream;

	p->options = least;
	p->options.version = p->version;
	peer_start(p);
	stream = peer_accept(p, 3);
	stream_write_start(&writer, stream, 0, 100);
	peer_want_data(p, 3, 0, 100);
	OK(stream_call_end(&writer));
	for (unsigned i = 0; i < 100; i++) {
		peer_pattern(p, 3, i, 1);
		peer_flush(p);
		stream_want(stream, i, 1);
	}
	weft_stream_free(stream);
}

PEER_TEST(mux_works_with_the_largest_of_memory)
{
	weft_stream *stream;

	p->options.max_memory = SIZE_MAX;
	p->options.max_receive_buffer = INT32_MAX;
	peer_start(p);
	stream = peer_accept(p, 3);
	peer_pattern(p, 3, 0, 10000);
	peer_flush(p);
	stream_want(stream, 0, 10000);
	ck_assert_uint_eq(peer_stats(p).stalls_memory, 0);
	weft_stream_free(stream);
}

START_TEST(mux_without_a_runtime_is_refused)
{
	weft_mux_options options = WEFT_MUX_OPTIONS_DEFAULT;
	weft_conn *ends[2];
	weft_mux *mux = NULL;

	OK(weft_conn_pair(ends, 0));
	FAILS(WEFT_EINVAL, weft_mux_create_own(&mux, ends[0], WEFT_MUX_SERVER, &options));
	ck_assert_ptr_null(mux);
	weft_conn_free(ends[1]);
}
END_TEST

/* ---- memory that runs out ---- */

static weft_err oom_fiber(void *arg)
{
	weft_err (*body)(weft_mux_options * options) = *(weft_err(**)(weft_mux_options *))arg;
	weft_mux_options options = WEFT_MUX_OPTIONS_DEFAULT;
	uint64_t fibers = weft_fiber_count();

	options.keepalive_disabled = true;
	options.linger_ns = 0;
	for (unsigned version = 1; version <= 2; version++) {
		options.version = version;
		/* what the runtime keeps for ever is made first */
		OK(body(&options));
		OK(weft_sleep_ms(1));
		T_EACH_FAILING_MALLOC(n) {
			weft_err err = body(&options);

			/* what fails at the other end shows as a refusal, or an end */
			ck_assert_msg(err == WEFT_OK || err == WEFT_ENOMEM || err == WEFT_ERESET ||
					err == WEFT_ECLOSED,
				"%s: %s", weft_err_name(err), weft_error_detail());
			ck_assert(err == WEFT_OK || t_malloc_failed());
			while (weft_fiber_count() != fibers)
				(void)weft_yield(); /* allocates nothing */
		}
	}
	return WEFT_OK;
}

static void run_oom(weft_err (*body)(weft_mux_options *options))
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;

	options.workers = 1;
	OK(weft_run(oom_fiber, &body, &options));
}

static weft_err create_oom(weft_mux_options *options)
{
	weft_conn *ends[2] = { NULL, NULL };
	weft_mux *mux = NULL;
	weft_err err = weft_conn_pair(ends, 0);

	if (err)
		return err;
	err = weft_mux_create_own(&mux, ends[0], WEFT_MUX_CLIENT, options);
	ck_assert((err != WEFT_OK) == (mux == NULL));
	weft_mux_free(mux);
	weft_conn_free(ends[1]);
	return err;
}

START_TEST(mux_create_with_failing_malloc)
{
	run_oom(create_oom);
}
END_TEST

/* What the other end opened; or what became of it, when it had no memory for that. */
static weft_err accept_or_end(weft_mux *server, weft_stream **out, weft_stream *opened)
{
	weft_deadline until = SOON;
	weft_err err;
	uint8_t byte;
	size_t got;

	do {
		(void)weft_yield();
		err = weft_mux_accept(server, out, WEFT_NOW);
		if (err == WEFT_ETIMEDOUT && weft_now() < until)
			err = weft_stream_read(opened, &byte, 1, &got, WEFT_NOW);
	} while (err == WEFT_ETIMEDOUT && weft_now() < until);
	return err;
}

/* Two sessions, so that what each does for the other fails too. */
static weft_err talk(weft_mux *client, weft_mux *server)
{
	weft_stream *a = NULL, *b = NULL;
	weft_conn *conn = NULL;
	weft_buf buf = WEFT_BUF_EMPTY;
	static const uint8_t large[5000]; /* is not copied */
	uint8_t data[300];
	size_t got = 0;
	weft_err err = weft_mux_open(client, &a, SOON);

	fill(data, sizeof(data), 0);
	if (!err)
		err = accept_or_end(server, &b, a);
	if (!err)
		err = weft_stream_write(a, data, sizeof(data), NULL, SOON);
	if (!err)
		err = weft_stream_read(b, data, 10, &got, SOON);
	if (!err)
		err = weft_stream_read_buf(b, &buf, 0, SOON);
	if (!err)
		err = weft_stream_write(a, large, sizeof(large), NULL, SOON);
	if (!err)
		err = weft_stream_shutdown(a);
	if (!err) {
		err = weft_stream_conn_own(&conn, b);
		b = NULL;
	}
	if (!err)
		err = weft_conn_write(conn, data, sizeof(data), NULL, SOON);
	if (!err)
		err = weft_stream_read(a, data, sizeof(data), &got, SOON);
	weft_buf_unref(&buf);
	weft_conn_free(conn);
	weft_stream_free(a);
	weft_stream_free(b);
	return err;
}

static weft_err talk_oom(weft_mux_options *options)
{
	weft_conn *ends[2] = { NULL, NULL };
	weft_mux *client = NULL, *server = NULL;
	weft_err err = weft_conn_pair(ends, 0);

	if (err)
		return err;
	err = weft_mux_create_own(&client, ends[0], WEFT_MUX_CLIENT, options);
	if (err)
		weft_conn_free(ends[1]);
	else
		err = weft_mux_create_own(&server, ends[1], WEFT_MUX_SERVER, options);
	if (!err)
		err = talk(client, server);
	weft_mux_free(client);
	weft_mux_free(server);
	return err;
}

START_TEST(mux_open_accept_read_and_write_with_failing_malloc)
{
	run_oom(talk_oom);
}
END_TEST

static void limits_tests(TCase *tc)
{
	peer_add(tc, mux_streams_over_the_backlog_are_refused_by_a_fin);
	peer_add(tc, mux_streams_over_the_limit_are_refused_by_a_fin);
	peer_add(tc, mux_streams_never_accepted_go_with_the_session);
	peer_add(tc, mux_a_flood_over_the_backlog_that_reads_no_answers_is_bounded);
	peer_add(tc, mux_a_flood_of_streams_that_reads_no_answers_is_bounded);
	peer_add(tc, mux_a_refusal_shows_at_the_first_read);
	peer_add(tc, mux_slices_hold_memory_until_they_are_given_back);
	peer_add(tc, mux_slices_outlive_their_session);
	peer_add(tc, mux_the_memory_cap_stops_reading_until_slices_come_back);
	t_add_loop(tc, mux_options_that_are_wrong_are_refused_by_name, 0, WRONG);
	t_add(tc, mux_options_at_their_limits_are_taken);
	peer_add(tc, mux_works_with_the_smallest_of_everything);
	peer_add(tc, mux_works_with_the_largest_of_memory);
	t_add(tc, mux_without_a_runtime_is_refused);
	t_add(tc, mux_create_with_failing_malloc);
	t_add(tc, mux_open_accept_read_and_write_with_failing_malloc);
}
T_SUITE("mux_limits", limits_tests)
