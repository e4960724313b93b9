/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 not=tsan */
/* Many streams on a session, and many sessions in a process: what they cost, as figures. */
#include "support/ends.h"

#include <malloc.h>

#ifdef __SANITIZE_ADDRESS__
#define WITH_ASAN 1
#else
#define WITH_ASAN 0
#endif
#define STREAMS 100000u
#define BATCH 500u
#define STREAM_BYTES_MAX 240u	      /* malloc's share and the table's included */
#define SESSION_BYTES_MAX (20u << 10) /* of heap, that it is read into and its conn's included */
#define TABLE_LEFT 8192u	      /* bytes, of table and backlog after that */
#define PAIRS (WITH_ASAN ? 500u : 2500u)

static weft_mux_options options(void)
{
	weft_mux_options o = WEFT_MUX_OPTIONS_DEFAULT;

	o.version = 2;
	o.max_streams = 2 * STREAMS;
	return o;
}

static size_t heap_bytes(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static weft_mux_stats stats_of(const weft_mux *mux)
{
	weft_mux_stats stats;

	weft_mux_stats_get(mux, &stats);
	return stats;
}

static void close_both(weft_mux *client, weft_mux *server)
{
	weft_mux_close(client);
	FAILS(WEFT_ECLOSED, weft_mux_wait(client, SOON));
	weft_mux_free(client);
	weft_mux_close(server);
	(void)!weft_mux_wait(server, SOON);
	weft_mux_free(server);
}

/* Each carries a byte, and then lies idle. */
static void open_batch(weft_mux *client, weft_mux *server, weft_stream **a, weft_stream **b)
{
	size_t got;
	char c;

	for (unsigned i = 0; i < BATCH; i++) {
		OK(weft_mux_open(client, &a[i], SOON));
		OK(weft_stream_write(a[i], "x", 1, NULL, SOON));
	}
	for (unsigned i = 0; i < BATCH; i++) {
		OK(weft_mux_accept(server, &b[i], SOON));
		OK(weft_stream_read(b[i], &c, 1, &got, SOON));
	}
}

static weft_err idle_streams(void *arg)
{
	weft_stream **a = calloc(STREAMS, sizeof(weft_stream *));
	weft_stream **b = calloc(STREAMS, sizeof(weft_stream *));
	weft_mux_options o = options();
	weft_mux *client = NULL, *server = NULL;
	size_t before, used, tables, own_before;
	weft_deadline until = SOON;
	weft_conn *ends[2];

	(void)arg;
	ck_assert(a && b);
	OK(weft_conn_pair(ends, 0));
	OK(weft_mux_create_own(&client, ends[0], WEFT_MUX_CLIENT, &o));
	OK(weft_mux_create_own(&server, ends[1], WEFT_MUX_SERVER, &o));
	own_before = stats_of(client).memory_own;
	open_batch(client, server, a, b);
	before = heap_bytes();
	for (unsigned at = BATCH; at < STREAMS; at += BATCH)
		open_batch(client, server, a + at, b + at);
	used = heap_bytes() - before;
	ck_assert_uint_eq(stats_of(server).streams, STREAMS);
	/* of the session: blocks that are kept to read into, streams of a turn */
	tables = stats_of(client).memory_read + stats_of(server).memory_read + (1 << 16);
	printf("a stream: %.1f bytes of heap, with tables; both ends' own: %zu, %zu\n",
		(double)used / (2.0 * (STREAMS - BATCH)), stats_of(client).memory_own,
		stats_of(server).memory_own);
	/* a sanitizer's malloc says nothing of it */
	if (!WITH_ASAN)
		ck_assert_uint_le(used, (size_t)2 * STREAMS * STREAM_BYTES_MAX + tables);
	ck_assert_uint_le(stats_of(server).memory_own, (size_t)STREAMS * STREAM_BYTES_MAX + tables);
	for (unsigned i = 0; i < STREAMS; i++) {
		weft_stream_free(a[i]);
		weft_stream_free(b[i]);
	}
	ck_assert_uint_eq(stats_of(client).streams, 0);
	/* once their FINs have met, the tables are as small as before */
	while (stats_of(client).memory_own > own_before + TABLE_LEFT ||
		stats_of(server).memory_own > own_before + TABLE_LEFT) {
		ck_assert_int_lt(weft_now(), until);
		OK(weft_sleep_ms(1));
	}
	close_both(client, server);
	free(a);
	free(b);
	return WEFT_OK;
}

START_TEST(a_hundred_thousand_idle_streams_cost_256_bytes_each)
{
	run_fiber(idle_streams, NULL, false);
}
END_TEST

struct session_pair {
	weft_mux *client, *server;
};

static weft_err many_sessions(void *arg)
{
	struct session_pair *pairs = calloc(PAIRS, sizeof(*pairs));
	uint64_t fibers = weft_fiber_count();
	weft_deadline until = SOON;
	size_t before = heap_bytes(), used;
	weft_stream *a, *b;
	size_t got;
	char c;

	(void)arg;
	ck_assert_ptr_nonnull(pairs);
	for (unsigned i = 0; i < PAIRS; i++) {
		weft_mux_options o = options();
		weft_conn *ends[2];

		OK(weft_conn_pair(ends, 4096));
		OK(weft_mux_create_own(&pairs[i].client, ends[0], WEFT_MUX_CLIENT, &o));
		OK(weft_mux_create_own(&pairs[i].server, ends[1], WEFT_MUX_SERVER, &o));
		OK(weft_mux_open(pairs[i].client, &a, SOON));
		OK(weft_stream_write(a, "x", 1, NULL, SOON));
		OK(weft_mux_accept(pairs[i].server, &b, SOON));
		OK(weft_stream_read(b, &c, 1, &got, SOON));
		weft_stream_free(a);
		weft_stream_free(b);
	}
	used = (heap_bytes() - before) / 2 / PAIRS;
	printf("%u sessions: %.1f KiB each of heap, of which %.1f to read into\n", 2 * PAIRS,
		(double)used / 1024, (double)stats_of(pairs[0].server).memory_read / 1024);
	ck_assert_uint_le(used, SESSION_BYTES_MAX);
	for (unsigned i = 0; i < PAIRS; i++)
		close_both(pairs[i].client, pairs[i].server);
	while (weft_fiber_count() > fibers && weft_now() < until)
		OK(weft_sleep_ms(1));
	ck_assert_uint_eq(weft_fiber_count(), fibers);
	free(pairs);
	return WEFT_OK;
}

START_TEST(five_thousand_sessions_live_in_a_process)
{
	run_fiber(many_sessions, NULL, false);
}
END_TEST

static void scale_tests(TCase *tc)
{
	t_add(tc, a_hundred_thousand_idle_streams_cost_256_bytes_each);
	t_add(tc, five_thousand_sessions_live_in_a_process);
}
T_SUITE("mux_scale", scale_tests)
