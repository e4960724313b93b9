/* SPDX-License-Identifier: MIT */
/* One direction by itself: bytes, and the buffers that carry them. */
#include "bridge/flow.h"
#include "support/both.h"

#include <string.h>

#define MS INT64_C(1000000)
#define BIG ((size_t)100000)

static void send_text(weft_conn *conn, const char *text)
{
	want_ok(weft_conn_write(conn, text, strlen(text), NULL, WEFT_FOREVER));
}

static void expect_text(weft_conn *conn, const char *text)
{
	char buf[64];

	want_ok(weft_conn_read_full(conn, buf, strlen(text), NULL, WEFT_FOREVER));
	want(memcmp(buf, text, strlen(text)) == 0);
}

static void expect_end(weft_conn *conn)
{
	char c;
	size_t got;

	want_err(WEFT_ECLOSED, weft_conn_read(conn, &c, 1, &got, WEFT_FOREVER));
}

struct pipe {
	weft_conn *in[2], *out[2]; /* written to in[0], read from out[1] */
	weft_buf_pool *pool;
	struct pace pace;
	struct flow flow;
	weft_fiber *fiber;
};

static void moved(void *user, size_t bytes)
{
	*(size_t *)user += bytes;
}

static weft_err pipe_fiber(void *arg)
{
	struct pipe *p = arg;

	flow_run(&p->flow);
	return weft_conn_shutdown(p->out[0]);
}

static void pipe_open(struct pipe *p, size_t live_max, size_t *count)
{
	weft_buf_pool_options options = { .live_max = live_max };

	memset(p, 0, sizeof(*p));
	want_ok(weft_buf_pool_create(&p->pool, &options));
	want_ok(weft_conn_pair(p->in, 0));
	want_ok(weft_conn_pair(p->out, 0));
	p->flow = (struct flow){ .src = p->in[1],
		.dst = p->out[0],
		.pool = p->pool,
		.pace = &p->pace,
		.moved = moved,
		.user = count };
	want_ok(weft_spawn(&p->fiber, "flow", pipe_fiber, p));
}

static void pipe_close(struct pipe *p)
{
	weft_err result;

	want_ok(weft_fiber_join(p->fiber, &result, WEFT_FOREVER));
	want_err(WEFT_OK, result);
	want(p->flow.end == FLOW_EOF);
	weft_buf_pool_free(p->pool);
	for (int i = 0; i < 2; i++) {
		weft_conn_free(p->in[i]);
		weft_conn_free(p->out[i]);
	}
}

static weft_err send_big(void *arg)
{
	weft_conn *conn = arg;
	uint8_t buf[999];

	for (size_t at = 0; at < BIG; at += sizeof(buf)) {
		size_t n = sizeof(buf) < BIG - at ? sizeof(buf) : BIG - at;

		for (size_t i = 0; i < n; i++)
			buf[i] = (uint8_t)((at + i) / 7);
		want_ok(weft_conn_write(conn, buf, n, NULL, WEFT_FOREVER));
	}
	return weft_conn_shutdown(conn);
}

static void receive_big(weft_conn *conn)
{
	uint8_t buf[1000];
	size_t got;

	for (size_t at = 0; at < BIG; at += got) {
		want_ok(weft_conn_read(conn, buf, sizeof(buf), &got, WEFT_FOREVER));
		for (size_t i = 0; i < got; i++)
			want(buf[i] == (uint8_t)((at + i) / 7));
	}
	expect_end(conn);
}

/* With a pool of live_max bytes. */
static weft_buf_pool_stats carry_big(size_t live_max)
{
	weft_buf_pool_stats stats;
	weft_fiber *sending;
	weft_err result;
	size_t count = 0;
	struct pipe p;

	pipe_open(&p, live_max, &count);
	want_ok(weft_spawn(&sending, "sends", send_big, p.in[0]));
	receive_big(p.out[1]);
	want_ok(weft_fiber_join(sending, &result, WEFT_FOREVER));
	want_err(WEFT_OK, result);
	weft_buf_pool_stats_get(p.pool, &stats);
	want(count == BIG && p.flow.bytes == BIG);
	pipe_close(&p);
	return stats;
}

BOTH_TEST(a_flow_carries_everything_and_the_end)
{
	weft_buf_pool_stats stats = carry_big(0);

	want(stats.hits + stats.misses > 0 && stats.live_blocks == 0);
	return WEFT_OK;
}

BOTH_TEST(a_flow_without_a_buffer_still_carries)
{
	weft_buf_pool_stats stats = carry_big(1);

	want(stats.hits == 0 && stats.live_blocks == 0);
	return WEFT_OK;
}

BOTH_TEST(a_flow_that_waits_holds_no_buffer)
{
	weft_buf_pool_stats stats;
	size_t count = 0;
	struct pipe p;

	pipe_open(&p, 0, &count);
	want_ok(weft_sleep_ns(MS));
	weft_buf_pool_stats_get(p.pool, &stats);
	want(stats.hits + stats.misses == 0);
	send_text(p.in[0], "x");
	expect_text(p.out[1], "x");
	do {
		want_ok(weft_sleep_ns(MS));
		weft_buf_pool_stats_get(p.pool, &stats);
	} while (stats.misses == 0);
	want(stats.live_blocks == 1);
	want_ok(weft_sleep_ns(2 * FLOW_HOT_NS));
	weft_buf_pool_stats_get(p.pool, &stats);
	want(stats.live_blocks == 0 && p.flow.end == FLOW_RUNNING);
	send_text(p.in[0], "yz");
	expect_text(p.out[1], "yz");
	want_ok(weft_conn_shutdown(p.in[0]));
	expect_end(p.out[1]);
	want(count == 3);
	pipe_close(&p);
	return WEFT_OK;
}

/* As at the end of a child's output that somebody else holds open. */
BOTH_TEST(a_tail_ends_with_what_is_there)
{
	size_t count = 0;
	struct pipe p;

	pipe_open(&p, 0, &count);
	send_text(p.in[0], "tail");
	p.flow.tail_max = 1000;
	expect_text(p.out[1], "tail");
	expect_end(p.out[1]);
	pipe_close(&p);
	want(count == 4);
	return WEFT_OK;
}

static void flow_tests(TCase *tc)
{
	both_add(tc, a_flow_carries_everything_and_the_end);
	both_add(tc, a_flow_without_a_buffer_still_carries);
	both_add(tc, a_flow_that_waits_holds_no_buffer);
	both_add(tc, a_tail_ends_with_what_is_there);
}
T_SUITE("flow", flow_tests)
