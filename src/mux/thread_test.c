/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=120 */
/* Every call of mux.h from plain threads, over sockets: the test has no fiber of its own. Calls that
 * wait keep their deadlines, and are woken by others. */
#include "support/plain.h"

#define BIG ((size_t)8 << 20) /* more than sockets and windows hold */
#define SHORT 20	      /* ms */

struct ground {
	struct plain plain;
	weft_mux *client, *server;
	weft_stream *stream, *peer;
};

static void ground_open(struct ground *g, int i)
{
	weft_mux_options o = WEFT_MUX_OPTIONS_DEFAULT;
	weft_conn *conns[2];

	plain_start(&g->plain);
	ck_assert(!weft_in_fiber());
	OK(i % 2 ? make_unix(conns) : make_tcp(conns));
	o.version = 1 + (unsigned)i / 2;
	o.max_receive_buffer = 65536;
	OK(weft_mux_options_check(&o));
	OK(weft_mux_create_own(&g->client, conns[0], WEFT_MUX_CLIENT, &o));
	OK(weft_mux_create_own(&g->server, conns[1], WEFT_MUX_SERVER, &o));
	OK(weft_mux_open(g->client, &g->stream, SOON));
	OK(weft_mux_accept(g->server, &g->peer, SOON));
}

static void ground_close(struct ground *g)
{
	weft_stream_free(g->stream);
	weft_stream_free(g->peer);
	weft_mux_abort(g->client);
	weft_mux_abort(g->server);
	weft_mux_free(g->client);
	weft_mux_free(g->server);
	plain_end(&g->plain);
}

/* The call takes at least so long, and fails so. */
#define TAKES_AND_FAILS(code, call)                                      \
	do {                                                             \
		weft_deadline since = weft_now();                        \
		FAILS((code), (call));                                   \
		ck_assert_int_ge(weft_now() - since, SHORT * 1000000LL); \
	} while (0)

START_TEST(threads_wait_no_longer_than_they_say)
{
	struct iovec iov = { NULL, BIG };
	weft_stream *none = NULL;
	size_t got = 7, written;
	weft_buf buf = { 0 };
	struct ground g;
	uint8_t *data;

	ground_open(&g, _i);
	data = iov.iov_base = calloc(1, BIG);
	TAKES_AND_FAILS(WEFT_ETIMEDOUT, weft_mux_accept(g.server, &none, MS(SHORT)));
	TAKES_AND_FAILS(WEFT_ETIMEDOUT, weft_mux_wait(g.server, MS(SHORT)));
	TAKES_AND_FAILS(WEFT_ETIMEDOUT, weft_stream_read(g.stream, data, 1, &got, MS(SHORT)));
	TAKES_AND_FAILS(WEFT_ETIMEDOUT, weft_stream_readv(g.stream, &iov, 1, &got, MS(SHORT)));
	TAKES_AND_FAILS(WEFT_ETIMEDOUT, weft_stream_read_buf(g.stream, &buf, 0, MS(SHORT)));
	ck_assert_uint_eq(got, 7);
	TAKES_AND_FAILS(
		WEFT_ETIMEDOUT, weft_stream_write(g.stream, data, BIG, &written, MS(SHORT)));
	ck_assert_uint_lt(written, BIG);
	TAKES_AND_FAILS(WEFT_ETIMEDOUT, weft_stream_writev(g.stream, &iov, 1, &written, MS(SHORT)));
	TAKES_AND_FAILS(WEFT_ETIMEDOUT, weft_mux_drain(g.server, MS(SHORT)));
	/* and not at all when told so */
	FAILS(WEFT_ETIMEDOUT, weft_mux_wait(g.server, WEFT_NOW));
	FAILS(WEFT_ETIMEDOUT, weft_mux_drain(g.server, WEFT_NOW));
	FAILS(WEFT_ETIMEDOUT, weft_stream_read_buf(g.stream, &buf, 0, WEFT_NOW));
	FAILS(WEFT_ETIMEDOUT, weft_stream_write(g.stream, data, BIG, &written, WEFT_NOW));
	FAILS(WEFT_ETIMEDOUT, weft_mux_accept(g.client, &none, WEFT_NOW));
	free(data);
	ground_close(&g);
}
END_TEST

/* ---- those who are woken by others ---- */

struct waiter {
	pthread_t thread;
	struct ground *g;
	weft_err (*call)(struct ground *g);
	weft_err err;
};

static void *waiter_thread(void *arg)
{
	struct waiter *w = arg;

	w->err = w->call(w->g);
	return NULL;
}

static weft_err call_accept(struct ground *g)
{
	weft_stream *stream = NULL;
	weft_err err = weft_mux_accept(g->server, &stream, SOON);

	weft_stream_free(stream);
	return err;
}

static weft_err call_wait(struct ground *g)
{
	return weft_mux_wait(g->server, SOON);
}

static weft_err call_drain(struct ground *g)
{
	return weft_mux_drain(g->server, SOON);
}

static weft_err call_read(struct ground *g)
{
	uint8_t data[8];
	size_t got;

	return weft_stream_read(g->stream, data, sizeof(data), &got, SOON);
}

static weft_err call_write(struct ground *g)
{
	uint8_t *data = calloc(1, BIG);
	size_t written;
	weft_err err = weft_stream_write(g->stream, data, BIG, &written, SOON);

	free(data);
	return err;
}

static void wait_start(struct waiter *w, struct ground *g, weft_err (*call)(struct ground *g))
{
	*w = (struct waiter){ .g = g, .call = call };
	ck_assert_int_eq(pthread_create(&w->thread, NULL, waiter_thread, w), 0);
}

static void wait_end(struct waiter *w, weft_err expected)
{
	ck_assert_int_eq(pthread_join(w->thread, NULL), 0);
	ck_assert_msg(w->err == expected, "%s", weft_err_name(w->err));
}

START_TEST(threads_are_woken_by_what_they_wait_for)
{
	struct waiter reader, writer, accepter, drainer, waiter;
	weft_stream *other;
	static uint8_t data[65536];
	size_t got, sum = 0;
	struct ground g;

	ground_open(&g, _i);
	wait_start(&reader, &g, call_read);
	wait_start(&writer, &g, call_write);
	wait_start(&accepter, &g, call_accept);
	OK(weft_sleep_ms(5));
	OK(weft_stream_write(g.peer, "hello", 5, NULL, SOON));
	wait_end(&reader, WEFT_OK);
	for (; sum < BIG; sum += got)
		OK(weft_stream_read(g.peer, data, sizeof(data), &got, SOON));
	wait_end(&writer, WEFT_OK);
	OK(weft_mux_open(g.client, &other, SOON));
	wait_end(&accepter, WEFT_OK);
	weft_stream_free(other);
	wait_start(&drainer, &g, call_drain);
	wait_start(&waiter, &g, call_wait);
	OK(weft_sleep_ms(5));
	weft_stream_free(g.peer);
	g.peer = NULL;
	wait_end(&drainer, WEFT_OK);
	weft_mux_close(g.server);
	wait_end(&waiter, WEFT_ECLOSED);
	ground_close(&g);
}
END_TEST

static void close_stream(struct ground *g)
{
	weft_stream_close(g->stream);
}

static void close_session(struct ground *g)
{
	weft_mux_close(g->client);
}

static void abort_peer(struct ground *g)
{
	weft_mux_abort(g->server);
}

START_TEST(threads_are_woken_by_every_end)
{
	static const struct {
		void (*end)(struct ground *g);
		weft_err err;
	} ends[] = { { close_stream, WEFT_ECLOSED }, { close_session, WEFT_ECLOSED },
		{ abort_peer, WEFT_ERESET } };

	for (unsigned i = 0; i < 3; i++) {
		struct waiter reader, writer;
		struct ground g;

		ground_open(&g, _i);
		wait_start(&reader, &g, call_read);
		wait_start(&writer, &g, call_write);
		OK(weft_sleep_ms(5));
		ends[i].end(&g);
		wait_end(&reader, ends[i].err);
		wait_end(&writer, ends[i].err);
		ground_close(&g);
	}
}
END_TEST

START_TEST(threads_have_all_calls_that_do_not_wait)
{
	weft_stream_stats stream_stats;
	weft_mux_stats stats;
	weft_stream *other;
	struct ground g;
	weft_conn *conn;
	uint8_t data[8];
	weft_buf buf;
	size_t got;

	ground_open(&g, _i);
	ck_assert(weft_mux_is_alive(g.client));
	ck_assert_ptr_nonnull(weft_mux_local_name(g.client));
	ck_assert_ptr_nonnull(weft_mux_peer_name(g.client));
	ck_assert_uint_eq(weft_stream_id(g.stream), weft_stream_id(g.peer));
	OK(weft_stream_weight(g.stream, 3));
	OK(weft_stream_idle_timeout(g.stream, 0));
	OK(weft_stream_write(g.stream, "ab", 2, NULL, WEFT_NOW));
	OK(weft_stream_read_buf(g.peer, &buf, 1, SOON));
	weft_buf_unref(&buf);
	OK(weft_stream_read(g.peer, data, 8, &got, SOON));
	OK(weft_stream_shutdown(g.stream));
	FAILS(WEFT_ECLOSED, weft_stream_read(g.peer, data, 8, &got, SOON));
	weft_stream_stats_get(g.peer, &stream_stats);
	ck_assert_uint_eq(stream_stats.bytes_in, 2);
	weft_mux_stats_get(g.client, &stats);
	ck_assert_uint_eq(stats.opened, 1);
	OK(weft_mux_open(g.server, &other, SOON));
	OK(weft_stream_conn_own(&conn, other));
	OK(weft_conn_write(conn, "x", 1, NULL, SOON));
	FAILS(WEFT_ETIMEDOUT, weft_conn_read(conn, data, 1, &got, MS(SHORT)));
	weft_conn_free(conn);
	ground_close(&g);
}
END_TEST

static void thread_tests(TCase *tc)
{
	t_add_loop(tc, threads_wait_no_longer_than_they_say, 0, 4);
	t_add_loop(tc, threads_are_woken_by_what_they_wait_for, 0, 4);
	t_add_loop(tc, threads_are_woken_by_every_end, 0, 4);
	t_add_loop(tc, threads_have_all_calls_that_do_not_wait, 0, 4);
}

T_SUITE("mux_thread", thread_tests)
