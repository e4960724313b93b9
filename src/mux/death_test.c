/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* How sessions end: by a peer that breaks the protocol, by the connection, by us. */
#include "support/muxpeer.h"

/* ---- with somebody waiting everywhere ---- */

struct parked {
	weft_stream *reading, *writing, *idle;
	struct stream_call reader, writer, accepter;
};

/* The writer's window, or the connection, is full. */
static void park(struct peer *p, struct parked *w)
{
	w->reading = peer_accept(p, 3);
	w->writing = peer_accept(p, 5);
	w->idle = peer_accept(p, 7);
	stream_read_start(&w->reader, w->reading);
	stream_block_start(&w->writer, w->writing);
	mux_accept_start(&w->accepter, p->mux);
	wait_parked();
}

static void want_parked_end(struct parked *w, weft_err err, const char *detail)
{
	struct stream_call *calls[3] = { &w->reader, &w->writer, &w->accepter };

	for (int i = 0; i < 3; i++) {
		FAILS(err, stream_call_end(calls[i]));
		ck_assert_msg(strstr(calls[i]->text, detail), "%d: \"%s\" lacks \"%s\"", i,
			calls[i]->text, detail);
	}
}

/* Nothing works any more, and everything says why. */
static void want_dead(struct peer *p, struct parked *w, weft_err err, const char *detail)
{
	weft_stream *none = NULL;
	uint8_t byte = 0;
	size_t got = 0;

	FAILS(err, weft_mux_wait(p->mux, SOON));
	ck_assert_msg(strstr(weft_error_detail(), detail), "\"%s\"", weft_error_detail());
	ck_assert(!weft_mux_is_alive(p->mux));
	FAILS(err, weft_mux_open(p->mux, &none, SOON));
	ck_assert_msg(strstr(weft_error_detail(), detail), "\"%s\"", weft_error_detail());
	FAILS(err, weft_mux_accept(p->mux, &none, SOON));
	FAILS(err, weft_stream_read(w->idle, &byte, 1, &got, SOON));
	ck_assert_msg(strstr(weft_error_detail(), detail), "\"%s\"", weft_error_detail());
	FAILS(err, weft_stream_read(w->idle, &byte, 1, &got, SOON));
	FAILS(err, weft_stream_write(w->idle, &byte, 1, &got, SOON));
	ck_assert_msg(strstr(weft_error_detail(), detail), "\"%s\"", weft_error_detail());
	FAILS(err, weft_stream_shutdown(w->idle));
	FAILS(err, weft_stream_read(w->reading, &byte, 1, &got, SOON));
	FAILS(err, weft_stream_write(w->writing, &byte, 1, &got, SOON));
	ck_assert_ptr_null(none);
}

static void parked_free(struct parked *w)
{
	weft_stream_free(w->reading);
	weft_stream_free(w->writing);
	weft_stream_free(w->idle);
}

/* ---- fatal frames ---- */

static const struct {
	unsigned versions; /* a bit for each that it breaks */
	uint8_t head[16];
	size_t len;
	const char *detail;
} fatal[] = {
	{ 3, { 'G' }, 1, "version" },
	{ 3, "\x00\x00\x00\x00\x09\x00\x00\x00", 8, "version" },
	{ 1, "\x02\x00\x00\x00\x09\x00\x00\x00", 8, "version" },
	{ 2, "\x01\x00\x00\x00\x09\x00\x00\x00", 8, "version" },
	{ 1, "\x01\x05\x00\x00\x03\x00\x00\x00", 8, "command 5" },
	{ 2, "\x02\x05\x00\x00\x03\x00\x00\x00", 8, "command 5" },
	{ 2, "\x02\xff\x00\x00\x03\x00\x00\x00", 8, "command 255" },
	{ 1, "\x01\x00\x01\x00\x09\x00\x00\x00p", 9, "SYN" },
	{ 2, "\x02\x00\xff\xff\x09\x00\x00\x00", 8, "SYN" },
	{ 1, "\x01\x01\x01\x00\x03\x00\x00\x00p", 9, "FIN" },
	{ 2, "\x02\x01\x01\x00\x03\x00\x00\x00p", 9, "FIN" },
	{ 1, "\x01\x03\x01\x00\x00\x00\x00\x00p", 9, "NOP" },
	{ 2, "\x02\x03\x01\x00\x00\x00\x00\x00p", 9, "NOP" },
	{ 2,
		"\x02\x04\x07\x00\x03\x00\x00\x00"
		"1234567",
		15, "UPD" },
	{ 2,
		"\x02\x04\x09\x00\x03\x00\x00\x00"
		"1234567",
		15, "UPD" },
	{ 2, "\x02\x04\x00\x00\x03\x00\x00\x00", 8, "UPD" },
	{ 1,
		"\x01\x04\x08\x00\x03\x00\x00\x00"
		"12345678",
		16, "UPD" },
};
#define FATAL ((int)(sizeof(fatal) / sizeof(fatal[0])))

static int fatal_case;

static void fatal_body(struct peer *p)
{
	struct parked w;

	peer_start(p);
	park(p, &w);
	peer_raw(p, fatal[fatal_case].head, fatal[fatal_case].len);
	(void)!peer_flush_until(p, SOON); /* the first bytes may do */
	want_parked_end(&w, WEFT_EPROTO, fatal[fatal_case].detail);
	want_dead(p, &w, WEFT_EPROTO, fatal[fatal_case].detail);
	peer_want_gone(p);
	parked_free(&w);
}

START_TEST(mux_every_fatal_frame_ends_the_session_and_is_named)
{
	fatal_case = _i / PEER_RUNS;
	if (fatal[fatal_case].versions >> (_i % PEER_RUNS / PEER_KINDS) & 1)
		peer_run(_i % PEER_RUNS, fatal_body);
}
END_TEST

/* One line that says so and hints at ?v= is made of this. */
PEER_TEST(mux_the_other_version_is_told_by_name)
{
	uint8_t syn[SMUX_HEADER_SIZE];
	char want[20];

	peer_start(p);
	smux_put_header(syn, 3 - p->version, SMUX_SYN, 0, 3);
	peer_raw(p, syn, sizeof(syn));
	(void)!peer_flush_until(p, SOON);
	FAILS(WEFT_EPROTO, weft_mux_wait(p->mux, SOON));
	snprintf(want, sizeof(want), "version %u", 3 - p->version);
	ck_assert_msg(strstr(weft_error_detail(), want), "\"%s\"", weft_error_detail());
}

PEER_TEST(mux_garbage_is_not_taken_for_a_version)
{
	peer_start(p);
	peer_raw(p, "GET / HTTP/1.1\r\n\r\n", 18);
	(void)!peer_flush_until(p, SOON);
	FAILS(WEFT_EPROTO, weft_mux_wait(p->mux, SOON));
	ck_assert_msg(strstr(weft_error_detail(), "version"), "\"%s\"", weft_error_detail());
	peer_want_gone(p);
}

/* ---- the connection ends ---- */

PEER_TEST(mux_an_end_of_the_connection_is_a_reset_of_streams)
{
	struct parked w;

	peer_start(p);
	park(p, &w);
	peer_hang_up(p);
	want_parked_end(&w, WEFT_ERESET, "");
	want_dead(p, &w, WEFT_ERESET, "");
	parked_free(&w);
}

PEER_TEST(mux_an_end_within_a_frame_is_a_reset_of_streams)
{
	struct parked w;

	peer_start(p);
	park(p, &w);
	peer_pattern(p, 7, 0, 10);
	p->out_len -= 7;
	peer_flush(p);
	OK(weft_conn_shutdown(p->conn));
	want_parked_end(&w, WEFT_ERESET, "");
	FAILS(WEFT_ERESET, weft_mux_wait(p->mux, SOON));
	parked_free(&w);
	peer_want_gone(p);
}

PEER_TEST(mux_a_reset_of_the_connection_is_one_of_streams)
{
	struct parked w;

	peer_start(p);
	park(p, &w);
	weft_conn_abort(p->conn);
	want_parked_end(&w, WEFT_ERESET, "");
	want_dead(p, &w, WEFT_ERESET, "");
	parked_free(&w);
}

/* A stream that the peer had ended is whole; one that it had not is not. */
PEER_TEST(mux_what_came_before_the_end_of_the_connection_is_read_first)
{
	weft_stream *ended, *cut;

	peer_start(p);
	ended = peer_accept(p, 3);
	cut = peer_accept(p, 5);
	peer_pattern(p, 3, 0, 3000);
	peer_pattern(p, 5, 0, 3000);
	peer_fin(p, 3);
	peer_flush(p);
	OK(weft_conn_shutdown(p->conn));
	FAILS(WEFT_ERESET, weft_mux_wait(p->mux, SOON));
	stream_want(ended, 0, 3000);
	stream_want_end(ended, WEFT_ECLOSED);
	stream_want(cut, 0, 3000);
	stream_want_end(cut, WEFT_ERESET);
	weft_stream_free(ended);
	weft_stream_free(cut);
}

PEER_TEST(mux_streams_not_accepted_die_with_the_session)
{
	weft_stream *stream = NULL;

	peer_start(p);
	for (uint32_t i = 0; i < 10; i++) {
		peer_syn(p, 3 + i);
		peer_pattern(p, 3 + i, 0, 1000);
	}
	peer_flush(p);
	PEER_UNTIL(p, stats, stats.frames_in == 20);
	peer_hang_up(p);
	FAILS(WEFT_ERESET, weft_mux_wait(p->mux, SOON));
	/* whether they can still be had does not matter; that they go does */
	while (!weft_mux_accept(p->mux, &stream, SOON))
		weft_stream_free(stream);
	weft_mux_free(p->mux);
	p->mux = NULL;
}

/* ---- we end it ---- */

static void *close_thread(void *mux)
{
	weft_mux_close(mux);
	weft_mux_close(mux);
	return NULL;
}

static void close_body(struct peer *p, bool thread)
{
	struct parked w;
	pthread_t t;

	p->options.linger_ns = 0;
	peer_start(p);
	park(p, &w);
	if (thread) {
		ck_assert_int_eq(pthread_create(&t, NULL, close_thread, p->mux), 0);
		thread_join(t);
	} else {
		(void)close_thread(p->mux);
	}
	want_parked_end(&w, WEFT_ECLOSED, "");
	ck_assert(!weft_mux_is_alive(p->mux));
	FAILS(WEFT_ECLOSED, weft_mux_open(p->mux, &w.accepter.stream, SOON));
	FAILS(WEFT_ECLOSED, weft_mux_accept(p->mux, &w.accepter.stream, SOON));
	stream_want_end(w.idle, WEFT_ECLOSED);
	FAILS(WEFT_ECLOSED, weft_stream_write(w.idle, "x", 1, NULL, SOON));
	OK(weft_stream_shutdown(w.idle));
	peer_want_gone(p);
	parked_free(&w);
}

PEER_TEST(mux_close_wakes_all_who_wait)
{
	close_body(p, false);
}

PEER_TEST(mux_close_from_a_plain_thread_wakes_all_who_wait)
{
	if (!p->sim)
		close_body(p, true);
}

PEER_TEST(mux_close_sends_what_was_written)
{
	weft_stream *a, *b;

	peer_start(p);
	a = peer_accept(p, 3);
	b = peer_accept(p, 5);
	stream_write(a, 0, 100);
	weft_stream_close(a);
	stream_write(b, 0, 100);
	weft_mux_close(p->mux);
	peer_want_data(p, 3, 0, 100);
	peer_want(p, SMUX_FIN, 3);
	peer_want_data(p, 5, 0, 100);
	peer_want_gone(p);
	FAILS(WEFT_ECLOSED, weft_mux_wait(p->mux, SOON));
	weft_stream_free(a);
	weft_stream_free(b);
}

/* The end of a peer that reads nothing is not waited for longer than asked for. */
PEER_TEST(mux_close_lingers_so_long_and_no_longer)
{
	struct stream_call writer;
	weft_stream *stream;
	weft_deadline before;

	p->options.linger_ns = 50000000;
	peer_start(p);
	stream = peer_accept(p, 3);
	stream_write_start(&writer, stream, 0, p->version == 2 ? 262144 : 64 << 20);
	wait_parked();
	if (p->version == 2 && p->kind == PEER_TCP)
		PEER_UNTIL(p, stats, stats.bytes_out == 262144);
	before = weft_now();
	weft_mux_close(p->mux);
	(void)stream_call_end(&writer);
	/* what tcp took of a window is sent */
	FAILS(p->version == 2 && p->kind == 2 ? WEFT_ECLOSED : WEFT_ERESET,
		weft_mux_wait(p->mux, SOON));
	ck_assert_int_lt(weft_now() - before, INT64_C(10000000000));
	peer_want_gone(p);
	weft_stream_free(stream);
}

PEER_TEST(mux_abort_resets_the_connection)
{
	struct parked w;
	uint8_t data[4096];
	size_t got;
	weft_err err;

	peer_start(p);
	park(p, &w);
	weft_mux_abort(p->mux);
	weft_mux_abort(p->mux);
	err = weft_mux_wait(p->mux, SOON);
	ck_assert(err == WEFT_ECLOSED || err == WEFT_ERESET);
	want_parked_end(&w, stream_call_end(&w.reader), "");
	do {
		err = weft_conn_read(p->conn, data, sizeof(data), &got, SOON);
	} while (!err);
	FAILS(WEFT_ERESET, err);
	parked_free(&w);
}

PEER_TEST(mux_streams_outlive_their_session)
{
	struct parked w;
	uint8_t data[100];
	size_t got;
	weft_err err;

	p->options.linger_ns = 0;
	peer_start(p);
	park(p, &w);
	peer_pattern(p, 7, 0, 1000);
	peer_flush(p);
	PEER_UNTIL(p, stats, stats.unread == 1000);
	weft_mux_close(p->mux);
	want_parked_end(&w, WEFT_ECLOSED, "");
	weft_mux_free(p->mux);
	p->mux = NULL;
	ck_assert_uint_eq(weft_stream_id(w.idle), 7);
	while (!(err = weft_stream_read(w.idle, data, sizeof(data), &got, SOON)))
		;
	FAILS(WEFT_ECLOSED, err);
	FAILS(WEFT_ECLOSED, weft_stream_write(w.idle, "x", 1, NULL, SOON));
	OK(weft_stream_shutdown(w.idle));
	weft_stream_close(w.idle);
	parked_free(&w);
}

PEER_TEST(mux_is_over_only_when_it_is)
{
	peer_start(p);
	ck_assert(weft_mux_is_alive(p->mux));
	FAILS(WEFT_ETIMEDOUT, weft_mux_wait(p->mux, WEFT_NOW));
	FAILS(WEFT_ETIMEDOUT, weft_mux_wait(p->mux, MS(1)));
	weft_mux_close(p->mux);
	peer_want_gone(p);
	FAILS(WEFT_ECLOSED, weft_mux_wait(p->mux, SOON));
	FAILS(WEFT_ECLOSED, weft_mux_wait(p->mux, WEFT_NOW));
}

static void *abort_thread(void *mux)
{
	weft_mux_abort(mux);
	return NULL;
}

/* At any time before free: also while it dies, and when it is dead. */
PEER_TEST(mux_may_be_closed_and_aborted_after_its_end)
{
	pthread_t t;

	p->options.linger_ns = 0;
	peer_start(p);
	peer_hang_up(p);
	if (!p->sim)
		ck_assert_int_eq(pthread_create(&t, NULL, abort_thread, p->mux), 0);
	(void)!weft_mux_wait(p->mux, SOON);
	weft_mux_abort(p->mux);
	weft_mux_close(p->mux);
	weft_mux_abort(p->mux);
	if (!p->sim)
		thread_join(t);
}

START_TEST(mux_free_of_nothing)
{
	weft_mux_free(NULL);
	weft_stream_free(NULL);
}
END_TEST

/* ---- a stream's own end ---- */

static void *close_stream_thread(void *stream)
{
	weft_stream_close(stream);
	return NULL;
}

static void stream_close_body(struct peer *p, bool thread)
{
	struct stream_call reader, writer;
	weft_stream *stream, *other;
	pthread_t t;

	peer_start(p);
	stream = peer_accept(p, 3);
	other = peer_accept(p, 5);
	stream_read_start(&reader, stream);
	stream_block_start(&writer, stream);
	wait_parked();
	if (thread) {
		ck_assert_int_eq(pthread_create(&t, NULL, close_stream_thread, stream), 0);
		thread_join(t);
	} else {
		weft_stream_close(stream);
	}
	FAILS(WEFT_ECLOSED, stream_call_end(&reader));
	/* what the connection has taken of it still comes, and then the end */
	for (;;) {
		struct peer_frame frame = peer_next(p);

		ck_assert_uint_eq(frame.id, 3);
		if (frame.cmd == SMUX_FIN)
			break;
		ck_assert_int_eq(frame.cmd, SMUX_PSH);
	}
	FAILS(WEFT_ECLOSED, stream_call_end(&writer));
	stream_write(other, 0, 10);
	peer_want_data(p, 5, 0, 10);
	weft_stream_free(stream);
	weft_stream_free(other);
}

PEER_TEST(mux_stream_close_wakes_reader_and_writer)
{
	stream_close_body(p, false);
}

PEER_TEST(mux_stream_close_from_a_plain_thread_wakes_reader_and_writer)
{
	if (!p->sim)
		stream_close_body(p, true);
}

static void death_tests(TCase *tc)
{
	t_add_loop(tc, mux_every_fatal_frame_ends_the_session_and_is_named, 0, FATAL * PEER_RUNS);
	peer_add(tc, mux_the_other_version_is_told_by_name);
	peer_add(tc, mux_garbage_is_not_taken_for_a_version);
	peer_add(tc, mux_an_end_of_the_connection_is_a_reset_of_streams);
	peer_add(tc, mux_an_end_within_a_frame_is_a_reset_of_streams);
	peer_add(tc, mux_a_reset_of_the_connection_is_one_of_streams);
	peer_add(tc, mux_what_came_before_the_end_of_the_connection_is_read_first);
	peer_add(tc, mux_streams_not_accepted_die_with_the_session);
	peer_add(tc, mux_close_wakes_all_who_wait);
	peer_add(tc, mux_close_from_a_plain_thread_wakes_all_who_wait);
	peer_add(tc, mux_close_sends_what_was_written);
	peer_add(tc, mux_close_lingers_so_long_and_no_longer);
	peer_add(tc, mux_abort_resets_the_connection);
	peer_add(tc, mux_streams_outlive_their_session);
	peer_add(tc, mux_is_over_only_when_it_is);
	peer_add(tc, mux_may_be_closed_and_aborted_after_its_end);
	t_add(tc, mux_free_of_nothing);
	peer_add(tc, mux_stream_close_wakes_reader_and_writer);
	peer_add(tc, mux_stream_close_from_a_plain_thread_wakes_reader_and_writer);
}
T_SUITE("mux_death", death_tests)
