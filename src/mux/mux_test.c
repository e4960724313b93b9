/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=120 */
/* Two sessions, one at each end of every kind of conn: what streams carry. */
#include "support/ends.h"

#define BIG ((size_t)3000000)

struct pair {
	weft_mux *client, *server;
};

static void pair_open(struct pair *p, struct ends *ends, unsigned version)
{
	weft_mux_options o = WEFT_MUX_OPTIONS_DEFAULT;
	weft_conn *a = ends->a, *b = ends->b;

	o.version = version;
	ends->a = ends->b = NULL;
	OK(weft_mux_create_own(&p->client, a, WEFT_MUX_CLIENT, &o));
	OK(weft_mux_create_own(&p->server, b, WEFT_MUX_SERVER, &o));
}

static void expect_empty(weft_mux *mux)
{
	weft_mux_stats stats;

	weft_mux_stats_get(mux, &stats);
	ck_assert_uint_eq(stats.streams, 0);
	ck_assert_uint_eq(stats.unread, 0);
	ck_assert_uint_eq(stats.memory, 0);
}

/* Fibers of sessions end just after they said so. */
static void await_fibers(uint64_t count)
{
	while (weft_fiber_count() > count)
		OK(weft_sleep_ms(1));
}

static void pair_close(struct pair *p)
{
	weft_mux_close(p->client);
	FAILS(WEFT_ECLOSED, weft_mux_wait(p->client, SOON));
	FAILS(WEFT_ERESET, weft_mux_wait(p->server, SOON));
	expect_empty(p->client);
	expect_empty(p->server);
	weft_mux_free(p->client);
	weft_mux_free(p->server);
}

static weft_err echo_stream(void *arg)
{
	weft_stream *stream = arg;
	weft_buf buf;
	weft_err err;

	while (!(err = weft_stream_read_buf(stream, &buf, 0, SOON))) {
		OK(weft_stream_write(stream, buf.data, buf.len, NULL, SOON));
		weft_buf_unref(&buf);
	}
	FAILS(WEFT_ECLOSED, err);
	OK(weft_stream_shutdown(stream));
	weft_stream_free(stream);
	return WEFT_OK;
}

static weft_err serve_echo(void *arg)
{
	weft_scope *scope;
	weft_stream *stream;

	OK(weft_scope_create(&scope));
	while (!weft_mux_accept(arg, &stream, SOON))
		OK(weft_scope_spawn(scope, "echo", echo_stream, stream));
	OK(weft_scope_wait(scope, SOON));
	weft_scope_free(scope);
	return WEFT_OK;
}

struct sending {
	weft_stream *stream;
	size_t bytes, piece;
};

static weft_err send_all(void *arg)
{
	struct sending *s = arg;
	uint8_t *data = malloc(s->piece);

	for (size_t at = 0; at < s->bytes;) {
		size_t n = s->piece < s->bytes - at ? s->piece : s->bytes - at;

		fill(data, n, at);
		OK(weft_stream_write(s->stream, data, n, NULL, SOON));
		at += n;
	}
	free(data);
	return weft_stream_shutdown(s->stream);
}

static void receive_all(weft_stream *stream, size_t bytes, size_t piece)
{
	uint8_t *data = malloc(piece);
	size_t at = 0, got;
	weft_err err;

	while (!(err = weft_stream_read(stream, data, piece, &got, SOON))) {
		ck_assert(matches(data, got, at));
		at += got;
	}
	FAILS(WEFT_ECLOSED, err);
	ck_assert_uint_eq(at, bytes);
	free(data);
}

static weft_err round_trip(void *arg)
{
	struct sending *s = arg;
	weft_fiber *sender = spawn(send_all, s);

	receive_all(s->stream, s->bytes, 5000);
	join(sender);
	weft_stream_free(s->stream);
	return WEFT_OK;
}

static void echo_body(struct ends *ends)
{
	/* seven bytes at a time take long */
	size_t big = ends->kind->make == make_small_memory ? BIG / 100 : BIG;
	uint64_t fibers_before = weft_fiber_count();

	for (unsigned version = 1; version <= 2; version++) {
		static const size_t pieces[] = { 64, 1, 4096, 100000 };
		struct sending s[4];
		weft_fiber *fibers[4], *server;
		struct pair p;

		if (version == 2) {
			weft_conn *conns[2];

			OK(ends->kind->make(conns));
			ends->a = conns[0];
			ends->b = conns[1];
		}
		pair_open(&p, ends, version);
		server = spawn(serve_echo, p.server);
		for (unsigned i = 0; i < 4; i++) {
			s[i] = (struct sending){ NULL, pieces[i] == 1 ? 5000 : big / 4, pieces[i] };
			OK(weft_mux_open(p.client, &s[i].stream, SOON));
			fibers[i] = spawn(round_trip, &s[i]);
		}
		for (unsigned i = 0; i < 4; i++)
			join(fibers[i]);
		weft_mux_close(p.client);
		join(server);
		pair_close(&p);
		await_fibers(fibers_before);
	}
}

START_TEST(mux_echoes_many_streams_and_half_closes)
{
	run_over(_i, echo_body);
}
END_TEST

static void mux_tests(TCase *tc)
{
	t_add_loop(tc, mux_echoes_many_streams_and_half_closes, 0, KINDS);
}

T_SUITE("mux", mux_tests)
