/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* Calls of sessions and streams that wait: deadlines, cancellation, who may call. */
#include "support/muxpeer.h"

/* ---- deadlines ---- */

PEER_TEST(mux_reads_and_accepts_end_at_their_deadlines)
{
	weft_stream *stream, *none = NULL;
	weft_buf buf = WEFT_BUF_EMPTY;
	weft_deadline before;
	uint8_t byte;
	size_t got = 9;

	peer_start(p);
	FAILS(WEFT_ETIMEDOUT, weft_mux_accept(p->mux, &none, WEFT_NOW));
	FAILS(WEFT_ETIMEDOUT, weft_mux_accept(p->mux, &none, MS(2)));
	ck_assert_ptr_null(none);
	stream = peer_accept(p, 3);
	FAILS(WEFT_ETIMEDOUT, weft_stream_read(stream, &byte, 1, &got, WEFT_NOW));
	FAILS(WEFT_ETIMEDOUT, weft_stream_read_buf(stream, &buf, 1, WEFT_NOW));
	before = weft_now();
	FAILS(WEFT_ETIMEDOUT, weft_stream_read(stream, &byte, 1, &got, MS(20)));
	ck_assert_int_ge(weft_now() - before, 20000000);
	FAILS(WEFT_ETIMEDOUT, weft_stream_read_buf(stream, &buf, 1, MS(2)));
	ck_assert_uint_eq(got, 9);
	ck_assert_ptr_null(buf.block);
	/* what can be done at once is, whatever the deadline */
	peer_pattern(p, 3, 0, 4);
	peer_fin(p, 3);
	peer_flush(p);
	peer_fence(p);
	OK(weft_stream_read(stream, &byte, 1, &got, WEFT_NOW));
	OK(weft_stream_read_buf(stream, &buf, 3, WEFT_NOW));
	ck_assert_uint_le(buf.len, 3);
	ck_assert(matches(buf.data, buf.len, 1));
	stream_want(stream, 1 + buf.len, 3 - buf.len);
	weft_buf_unref(&buf);
	FAILS(WEFT_ECLOSED, weft_stream_read(stream, &byte, 1, &got, WEFT_NOW));
	weft_stream_free(stream);
}

/* It says how much was taken, and that much comes, no more and no less. */
PEER_TEST(mux_a_write_that_times_out_says_how_much_was_taken)
{
	weft_stream *stream;
	struct stream_call call;
	uint64_t come = 0;

	peer_start(p);
	stream = peer_accept(p, 3);
	memset(&call, 0, sizeof(call));
	stream_write_start(&call, stream, 0, 16 << 20);
	call.until = MS(20);
	FAILS(WEFT_ETIMEDOUT, stream_call_end(&call));
	ck_assert_uint_lt(call.done, 16 << 20);
	OK(weft_stream_shutdown(stream));
	for (;;) {
		struct peer_frame frame = peer_next(p);

		ck_assert_uint_eq(frame.id, 3);
		if (frame.cmd == SMUX_FIN)
			break;
		ck_assert(matches(frame.payload, frame.len, come));
		come += frame.len;
	}
	ck_assert_uint_eq(come, call.done);
	weft_stream_free(stream);
}

/* The stream goes on where it was. */
PEER_TEST(mux_a_stream_lives_after_a_write_that_timed_out)
{
	weft_stream *stream;
	struct stream_call call, second;

	peer_start(p);
	stream = peer_accept(p, 3);
	stream_write_start(&call, stream, 0, 16 << 20);
	call.until = MS(20);
	FAILS(WEFT_ETIMEDOUT, stream_call_end(&call));
	if (p->version == 2)
		peer_upd(p, 3, 0, 0x7fffffff);
	peer_flush(p);
	stream_write_start(&second, stream, call.done, 1000);
	peer_want_data(p, 3, 0, call.done + 1000);
	OK(stream_call_end(&second));
	weft_stream_free(stream);
}

/* Opening waits when too much is queued for a connection that takes nothing. */
PEER_TEST(mux_opens_end_at_their_deadlines)
{
	enum { STREAMS = 3000 };
	static weft_stream *streams[STREAMS];
	struct stream_call writer;
	weft_err err = WEFT_OK;
	int count = 0;

	p->options.max_streams = STREAMS;
	p->options.linger_ns = 0;
	peer_start(p);
	OK(weft_mux_open(p->mux, &streams[count++], SOON));
	stream_block_start(&writer, streams[0]);
	wait_parked();
	while (!err && count < STREAMS) {
		err = weft_mux_open(p->mux, &streams[count], MS(1));
		if (!err)
			count++;
	}
	ck_assert(err == WEFT_OK || err == WEFT_ETIMEDOUT);
	weft_mux_close(p->mux);
	FAILS(WEFT_ECLOSED, stream_call_end(&writer));
	for (int i = 0; i < count; i++)
		weft_stream_free(streams[i]);
}

/* ---- cancellation ---- */

struct cancelled {
	struct peer *p;
	weft_stream *stream;
	weft_err read, read_buf, write, accept, wait;
	int left;
};

static weft_err cancelled_read(void *arg)
{
	struct cancelled *c = arg;
	uint8_t byte;
	size_t got;

	c->read = weft_stream_read(c->stream, &byte, 1, &got, WEFT_FOREVER);
	c->left--;
	return WEFT_OK;
}

static weft_err cancelled_write(void *arg)
{
	struct cancelled *c = arg;
	uint8_t *data = calloc(1, 16 << 20);

	ck_assert_ptr_nonnull(data);
	c->write = weft_stream_write(c->stream, data, 16 << 20, NULL, WEFT_FOREVER);
	free(data);
	c->left--;
	return WEFT_OK;
}

static weft_err cancelled_accept(void *arg)
{
	struct cancelled *c = arg;
	weft_stream *stream = NULL;

	c->accept = weft_mux_accept(c->p->mux, &stream, WEFT_FOREVER);
	c->left--;
	return WEFT_OK;
}

static weft_err cancelled_wait(void *arg)
{
	struct cancelled *c = arg;

	c->wait = weft_mux_wait(c->p->mux, WEFT_FOREVER);
	c->left--;
	return WEFT_OK;
}

PEER_TEST(mux_calls_that_wait_can_be_cancelled)
{
	struct cancelled c = { .p = p, .left = 4 };
	weft_scope *scope = NULL;

	p->options.linger_ns = 0;
	peer_start(p);
	c.stream = peer_accept(p, 3);
	OK(weft_scope_create(&scope));
	OK(weft_scope_spawn(scope, "read", cancelled_read, &c));
	OK(weft_scope_spawn(scope, "write", cancelled_write, &c));
	OK(weft_scope_spawn(scope, "accept", cancelled_accept, &c));
	OK(weft_scope_spawn(scope, "wait", cancelled_wait, &c));
	wait_parked();
	ck_assert_int_eq(c.left, 4);
	weft_scope_free(scope);
	ck_assert_int_eq(c.left, 0);
	FAILS(WEFT_ECANCELED, c.read);
	FAILS(WEFT_ECANCELED, c.write);
	FAILS(WEFT_ECANCELED, c.accept);
	FAILS(WEFT_ECANCELED, c.wait);
	/* and nothing was lost by it */
	peer_pattern(p, 3, 0, 10);
	peer_flush(p);
	stream_want(c.stream, 0, 10);
	peer_fence(p);
	weft_stream_free(c.stream);
}

/* ---- who may call ---- */

PEER_TEST(mux_a_stream_has_one_reader_and_one_writer)
{
	struct stream_call reader, writer;
	weft_buf buf = WEFT_BUF_EMPTY;
	weft_stream *stream;
	uint8_t byte = 0;
	size_t got;

	p->options.linger_ns = 0;
	peer_start(p);
	stream = peer_accept(p, 3);
	stream_read_start(&reader, stream);
	stream_block_start(&writer, stream);
	wait_parked();
	FAILS(WEFT_EINVAL, weft_stream_read(stream, &byte, 1, &got, SOON));
	FAILS(WEFT_EINVAL, weft_stream_read_buf(stream, &buf, 1, SOON));
	FAILS(WEFT_EINVAL, weft_stream_write(stream, &byte, 1, &got, SOON));
	weft_stream_close(stream);
	FAILS(WEFT_ECLOSED, stream_call_end(&reader));
	FAILS(WEFT_ECLOSED, stream_call_end(&writer));
	weft_stream_free(stream);
}

#define CONSUMERS 4
#define STREAMS 200

struct consumer {
	weft_mux *mux;
	uint8_t *seen; /* by all: a byte a stream */
	unsigned count;
};

/* Until the session is closed. */
static weft_err consume(void *arg)
{
	struct consumer *c = arg;
	weft_stream *stream = NULL;
	weft_err err;

	while (!(err = weft_mux_accept(c->mux, &stream, SOON))) {
		uint32_t id = weft_stream_id(stream);

		ck_assert_uint_lt(id, STREAMS);
		ck_assert_int_eq(c->seen[id]++, 0);
		stream_want(stream, id, 50);
		stream_want_end(stream, WEFT_ECLOSED);
		weft_stream_free(stream);
		c->count++;
	}
	FAILS(WEFT_ECLOSED, err);
	return WEFT_OK;
}

static void *consume_thread(void *arg)
{
	(void)consume(arg);
	return NULL;
}

PEER_TEST(mux_many_fibers_and_threads_accept_at_once)
{
	struct consumer consumers[CONSUMERS];
	weft_fiber *fibers[CONSUMERS];
	pthread_t threads[CONSUMERS];
	uint8_t seen[STREAMS] = { 0 };
	unsigned total = 0;

	p->options.linger_ns = 0;
	peer_start(p);
	for (unsigned i = 0; i < CONSUMERS; i++) {
		consumers[i] = (struct consumer){ p->mux, seen, 0 };
		if (i % 2 && !p->sim)
			ck_assert_int_eq(
				pthread_create(&threads[i], NULL, consume_thread, &consumers[i]),
				0);
		else
			OK(weft_spawn_on(p->sim ? 0 : i / 2, &fibers[i], "consumer", consume,
				&consumers[i]));
	}
	for (uint32_t i = 0; i < STREAMS; i++) {
		peer_syn(p, i);
		peer_pattern(p, i, i, 50);
		peer_fin(p, i);
		if (i % 7 == 0)
			peer_flush(p);
	}
	peer_flush(p);
	for (uint32_t i = 0; i < STREAMS;)
		i += peer_next(p).cmd == SMUX_FIN;
	weft_mux_close(p->mux);
	for (unsigned i = 0; i < CONSUMERS; i++) {
		if (i % 2 && !p->sim)
			thread_join(threads[i]);
		else
			join(fibers[i]);
		total += consumers[i].count;
	}
	ck_assert_uint_eq(total, STREAMS);
}

/* A stream's calls from plain threads: neither knows of the other. */
struct threads {
	weft_stream *stream;
	size_t len;
};

static void *read_thread(void *arg)
{
	struct threads *t = arg;

	stream_want(t->stream, 0, t->len);
	stream_want_end(t->stream, WEFT_ECLOSED);
	return NULL;
}

static void *write_thread(void *arg)
{
	struct threads *t = arg;

	stream_write(t->stream, 0, t->len);
	OK(weft_stream_shutdown(t->stream));
	return NULL;
}

struct feeding {
	struct peer *p;
	size_t len;
};

static weft_err feed_fiber(void *arg)
{
	struct feeding *f = arg;

	for (uint64_t at = 0; at < f->len; at += 1000) {
		peer_pattern(f->p, 3, at, 1000);
		peer_flush(f->p);
	}
	peer_fin(f->p, 3);
	peer_flush(f->p);
	return WEFT_OK;
}

PEER_TEST(mux_plain_threads_read_and_write_at_once)
{
	struct threads t;
	struct feeding f = { p, p->buffers_little ? 50000 : 200000 };
	pthread_t reader, writer;
	weft_fiber *feeder;
	uint64_t come = 0;

	if (p->sim)
		return;
	peer_start(p);
	t.stream = peer_accept(p, 3);
	t.len = f.len;
	ck_assert_int_eq(pthread_create(&reader, NULL, read_thread, &t), 0);
	ck_assert_int_eq(pthread_create(&writer, NULL, write_thread, &t), 0);
	feeder = spawn(feed_fiber, &f);
	for (;;) {
		struct peer_frame frame = peer_next(p);

		if (frame.cmd == SMUX_FIN)
			break;
		ck_assert(matches(frame.payload, frame.len, come));
		come += frame.len;
	}
	ck_assert_uint_eq(come, t.len);
	join(feeder);
	thread_join(reader);
	thread_join(writer);
	weft_stream_free(t.stream);
}

/* ---- what it tells of itself ---- */

PEER_TEST(mux_counts_what_goes_through_it)
{
	weft_stream *stream, *own = NULL;
	weft_mux_stats stats;

	p->upds = true;
	peer_start(p);
	stream = peer_accept(p, 3);
	OK(weft_mux_open(p->mux, &own, SOON));
	peer_pattern(p, 3, 0, 1000);
	peer_pattern(p, 2, 0, 500);
	peer_nop(p);
	peer_flush(p);
	PEER_UNTIL(p, before, before.frames_in == 4);
	stream_want(own, 0, 500);
	peer_fin(p, 2);
	peer_flush(p);
	stream_want_end(own, WEFT_ECLOSED);
	stream_write(own, 0, 70);
	peer_want(p, SMUX_SYN, 2);
	if (p->version == 2)
		peer_want_upd(p, 2, 500, (uint32_t)p->options.max_stream_buffer);
	peer_want_data(p, 2, 0, 70);
	stats = peer_stats(p);
	ck_assert_uint_eq(stats.opened, 1);
	ck_assert_uint_eq(stats.accepted, 1);
	ck_assert_uint_eq(stats.refused, 0);
	ck_assert_uint_eq(stats.streams, 2);
	ck_assert_uint_eq(stats.bytes_in, 1500);
	ck_assert_uint_eq(stats.frames_in, 5);
	ck_assert_uint_eq(stats.bytes_out, 70);
	ck_assert_uint_eq(stats.frames_out, p->version == 2 ? 3 : 2);
	ck_assert_uint_eq(stats.unread, 1000);
	ck_assert_uint_ge(stats.memory, 1000);
	ck_assert_uint_ge(stats.reads, 1);
	ck_assert_uint_ge(stats.writes, 1);
	ck_assert_uint_eq(stats.stalls_buffer + stats.stalls_memory, 0);
	weft_stream_free(own);
	weft_stream_free(stream);
}

PEER_TEST(mux_has_its_connections_names)
{
	weft_conn *end = p->end;
	char local[100], peer[100];

	snprintf(local, sizeof(local), "%s", weft_conn_local_name(end));
	snprintf(peer, sizeof(peer), "%s", weft_conn_peer_name(end));
	peer_start(p);
	ck_assert_str_eq(weft_mux_local_name(p->mux), local);
	ck_assert_str_eq(weft_mux_peer_name(p->mux), peer);
	weft_mux_close(p->mux);
	peer_want_gone(p);
	FAILS(WEFT_ECLOSED, weft_mux_wait(p->mux, SOON));
	ck_assert_str_eq(weft_mux_local_name(p->mux), local);
}

/* ---- as a conn ---- */

PEER_TEST(mux_a_stream_is_a_conn)
{
	weft_conn *conn = NULL;
	uint8_t data[200];
	char line[20];
	size_t got = 0;

	peer_start(p);
	OK(weft_stream_conn_own(&conn, peer_accept(p, 3)));
	ck_assert_int_eq(weft_conn_fd(conn), -1);
	peer_psh(p, 3, "a line\nrest", 11);
	peer_pattern(p, 3, 0, 100);
	peer_fin(p, 3);
	peer_flush(p);
	OK(weft_conn_read_line(conn, line, sizeof(line), &got, SOON));
	ck_assert_str_eq(line, "a line\n");
	OK(weft_conn_read_full(conn, data, 104, &got, SOON));
	ck_assert_mem_eq(data, "rest", 4);
	ck_assert(matches(data + 4, 100, 0));
	FAILS(WEFT_ECLOSED, weft_conn_read(conn, data, 1, &got, SOON));
	fill(data, 50, 0);
	OK(weft_conn_write(conn, data, 50, &got, SOON));
	OK(weft_conn_shutdown(conn));
	FAILS(WEFT_ECLOSED, weft_conn_write(conn, data, 50, &got, SOON));
	peer_want_data(p, 3, 0, 50);
	peer_want(p, SMUX_FIN, 3);
	weft_conn_free(conn);
	peer_want_quiet(p);
}

PEER_TEST(mux_aborting_a_streams_conn_closes_the_stream_only)
{
	weft_conn *conn = NULL;
	uint8_t byte;
	size_t got;

	peer_start(p);
	OK(weft_stream_conn_own(&conn, peer_accept(p, 3)));
	weft_conn_abort(conn);
	peer_want(p, SMUX_FIN, 3);
	FAILS(WEFT_ECLOSED, weft_conn_read(conn, &byte, 1, &got, SOON));
	weft_conn_free(conn);
	peer_fence(p);
	ck_assert(weft_mux_is_alive(p->mux));
}

static void call_tests(TCase *tc)
{
	peer_add(tc, mux_reads_and_accepts_end_at_their_deadlines);
	peer_add(tc, mux_a_write_that_times_out_says_how_much_was_taken);
	peer_add(tc, mux_a_stream_lives_after_a_write_that_timed_out);
	peer_add(tc, mux_opens_end_at_their_deadlines);
	peer_add(tc, mux_calls_that_wait_can_be_cancelled);
	peer_add(tc, mux_a_stream_has_one_reader_and_one_writer);
	peer_add(tc, mux_many_fibers_and_threads_accept_at_once);
	peer_add(tc, mux_plain_threads_read_and_write_at_once);
	peer_add(tc, mux_counts_what_goes_through_it);
	peer_add(tc, mux_has_its_connections_names);
	peer_add(tc, mux_a_stream_is_a_conn);
	peer_add(tc, mux_aborting_a_streams_conn_closes_the_stream_only);
}
T_SUITE("mux_call", call_tests)
