/* SPDX-License-Identifier: MIT */
/* Byte streams, over epoll on the loopback and under the simulator: what a program sees is
 * the same. */
#include "support/both.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BIG ((size_t)300000)

struct server {
	weft_listener *listener;
	weft_scope *scope;
	weft_err (*handler)(weft_conn *conn, void *arg);
	void *arg;
};

static weft_err serve(void *arg)
{
	struct server *s = arg;

	return weft_listener_serve(s->listener, s->scope, "handler", s->handler, s->arg);
}

static void server_open(struct server *s, const char *address,
	weft_err (*handler)(weft_conn *conn, void *arg), const weft_net_options *options)
{
	memset(s, 0, sizeof(*s));
	s->handler = handler;
	want_ok(weft_listen(&s->listener, address, options, WEFT_FOREVER));
	want_ok(weft_scope_create(&s->scope));
	want_ok(weft_scope_spawn(s->scope, "accepts", serve, s));
}

/* Handlers of connections that ended are done by themselves. */
static void server_close(struct server *s)
{
	weft_listener_close(s->listener);
	want_ok(weft_scope_wait(s->scope, WEFT_FOREVER));
	weft_scope_free(s->scope);
	weft_listener_free(s->listener);
}

static weft_conn *dial(const struct server *s)
{
	weft_conn *conn = NULL;

	want_ok(weft_dial(&conn, weft_listener_name(s->listener), NULL, WEFT_FOREVER));
	return conn;
}

static void send_text(weft_conn *conn, const char *text)
{
	want_ok(weft_conn_write(conn, text, strlen(text), NULL, WEFT_FOREVER));
}

static void expect_text(weft_conn *conn, const char *text)
{
	char buf[256];
	size_t len = strlen(text);

	want(len < sizeof(buf));
	want_ok(weft_conn_read_full(conn, buf, len, NULL, WEFT_FOREVER));
	want(memcmp(buf, text, len) == 0);
}

static void expect_end(weft_conn *conn)
{
	char c;
	size_t got;

	want_err(WEFT_ECLOSED, weft_conn_read(conn, &c, 1, &got, WEFT_FOREVER));
}

static weft_err echo(weft_conn *conn, void *arg)
{
	weft_err err = weft_conn_copy(conn, conn, NULL, NULL, NULL, WEFT_FOREVER);

	(void)arg;
	if (!err)
		err = weft_conn_shutdown(conn);
	weft_conn_free(conn);
	return err;
}

static void echo_over(const char *address)
{
	struct server s;
	weft_conn *conn;

	server_open(&s, address, echo, NULL);
	conn = dial(&s);
	send_text(conn, "hello");
	expect_text(conn, "hello");
	send_text(conn, " again");
	want_ok(weft_conn_shutdown(conn));
	want_ok(weft_conn_shutdown(conn));
	expect_text(conn, " again");
	expect_end(conn);
	expect_end(conn);
	weft_conn_free(conn);
	server_close(&s);
}

BOTH_TEST(bytes_come_back_over_tcp)
{
	echo_over("tcp://127.0.0.1:0");
	return WEFT_OK;
}

BOTH_TEST(bytes_come_back_over_unix)
{
	char address[64];

	snprintf(address, sizeof(address), "unix:@weft-same-net-%d", (int)getpid());
	echo_over(address);
	return WEFT_OK;
}

BOTH_TEST(a_name_is_resolved)
{
	struct server s;
	char address[64];
	const char *port;
	weft_conn *conn;

	server_open(&s, "tcp://:0", echo, NULL);
	port = strrchr(weft_listener_name(s.listener), ':');
	want(port && strcmp(port, ":0") != 0);
	snprintf(address, sizeof(address), "tcp://localhost%s", port);
	want_ok(weft_dial(&conn, address, NULL, WEFT_FOREVER));
	want(strncmp(weft_conn_peer_name(conn), "tcp://127.0.0.1:", 16) == 0);
	weft_conn_free(conn);
	server_close(&s);
	return WEFT_OK;
}

BOTH_TEST(nobody_listening_refuses)
{
	struct server s;
	char address[64];
	weft_conn *conn = NULL;

	server_open(&s, "tcp://127.0.0.1:0", echo, NULL);
	snprintf(address, sizeof(address), "%s", weft_listener_name(s.listener));
	server_close(&s);
	want_err(WEFT_EREFUSED, weft_dial(&conn, address, NULL, WEFT_FOREVER));
	want(!conn);
	want_err(WEFT_EINVAL, weft_dial(&conn, "tcp://127.0.0.1:70000", NULL, WEFT_FOREVER));
	return WEFT_OK;
}

BOTH_TEST(an_address_in_use_is_said)
{
	struct server s;
	weft_listener *second = NULL;

	server_open(&s, "tcp://127.0.0.1:0", echo, NULL);
	want_err(WEFT_EINUSE,
		weft_listen(&second, weft_listener_name(s.listener), NULL, WEFT_FOREVER));
	want(!second);
	server_close(&s);
	return WEFT_OK;
}

/* Tells what it got: bytes after the first line are counted until the end. */
static weft_err count_after_line(weft_conn *conn, void *arg)
{
	char line[64], text[64];
	uint64_t count = 0;
	size_t got;
	weft_err err;

	(void)arg;
	want_ok(weft_conn_read_line(conn, line, sizeof(line), &got, WEFT_FOREVER));
	want(strcmp(line, "count\n") == 0);
	while ((err = weft_conn_read(conn, text, sizeof(text), &got, WEFT_FOREVER)) == WEFT_OK)
		count += got;
	want(err == WEFT_ECLOSED);
	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)count);
	send_text(conn, text);
	weft_conn_free(conn);
	return WEFT_OK;
}

BOTH_TEST(the_other_half_stays_open_after_a_shutdown)
{
	struct server s;
	char answer[64];
	size_t got;
	weft_conn *conn;

	server_open(&s, "tcp://127.0.0.1:0", count_after_line, NULL);
	conn = dial(&s);
	send_text(conn, "count\n12345");
	both_pause();
	send_text(conn, "6789");
	want_ok(weft_conn_shutdown(conn));
	want_err(WEFT_ECLOSED, weft_conn_write(conn, "x", 1, NULL, WEFT_FOREVER));
	want_ok(weft_conn_read_line(conn, answer, sizeof(answer), &got, WEFT_FOREVER));
	want(strcmp(answer, "9\n") == 0);
	expect_end(conn);
	weft_conn_free(conn);
	server_close(&s);
	return WEFT_OK;
}

BOTH_TEST(lines_are_read_one_by_one)
{
	struct server s;
	char line[16];
	size_t got;
	weft_conn *conn;

	server_open(&s, "tcp://127.0.0.1:0", echo, NULL);
	conn = dial(&s);
	send_text(conn, "one\n\ntwo");
	send_text(conn, "\nthis line is too long for it\nlast");
	want_ok(weft_conn_shutdown(conn));
	want_ok(weft_conn_read_line(conn, line, sizeof(line), &got, WEFT_FOREVER));
	want(got == 4 && strcmp(line, "one\n") == 0);
	want_ok(weft_conn_read_line(conn, line, sizeof(line), &got, WEFT_FOREVER));
	want(got == 1 && strcmp(line, "\n") == 0);
	want_ok(weft_conn_read_line(conn, line, sizeof(line), &got, WEFT_FOREVER));
	want(got == 4 && strcmp(line, "two\n") == 0);
	want_err(WEFT_EMSGSIZE, weft_conn_read_line(conn, line, sizeof(line), &got, WEFT_FOREVER));
	want_ok(weft_conn_read_line(conn, line, sizeof(line), &got, WEFT_FOREVER));
	want(got == 14 && strcmp(line, "o long for it\n") == 0);
	want_ok(weft_conn_read_line(conn, line, sizeof(line), &got, WEFT_FOREVER));
	want(got == 4 && strcmp(line, "last") == 0);
	want_err(WEFT_ECLOSED, weft_conn_read_line(conn, line, sizeof(line), &got, WEFT_FOREVER));
	weft_conn_free(conn);
	server_close(&s);
	return WEFT_OK;
}

BOTH_TEST(read_full_says_when_the_end_comes_too_early)
{
	struct server s;
	char buf[8];
	size_t got = 99;
	weft_conn *conn;

	server_open(&s, "tcp://127.0.0.1:0", echo, NULL);
	conn = dial(&s);
	send_text(conn, "abc");
	want_ok(weft_conn_shutdown(conn));
	want_err(WEFT_ERESET, weft_conn_read_full(conn, buf, 8, &got, WEFT_FOREVER));
	want(got == 3 && memcmp(buf, "abc", 3) == 0);
	want_err(WEFT_ECLOSED, weft_conn_read_full(conn, buf, 8, &got, WEFT_FOREVER));
	want(got == 0);
	weft_conn_free(conn);
	server_close(&s);
	return WEFT_OK;
}

static unsigned char pattern(size_t at)
{
	return (unsigned char)(at * 31 + at / 251);
}

static weft_err write_pattern(void *arg)
{
	weft_conn *conn = arg;
	unsigned char buf[1000];

	for (size_t at = 0; at < BIG; at += sizeof(buf)) {
		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = pattern(at + i);
		want_ok(weft_conn_write(conn, buf, sizeof(buf), NULL, WEFT_FOREVER));
	}
	want_ok(weft_conn_shutdown(conn));
	return WEFT_OK;
}

static void read_pattern(weft_conn *conn)
{
	unsigned char buf[3000];
	size_t at = 0, got;
	weft_err err;

	while ((err = weft_conn_read(conn, buf, sizeof(buf), &got, WEFT_FOREVER)) == WEFT_OK)
		for (size_t i = 0; i < got; i++)
			want(buf[i] == pattern(at++));
	want(err == WEFT_ECLOSED);
	want(at == BIG);
}

BOTH_TEST(more_than_the_window_goes_both_ways_at_once)
{
	struct server s;
	weft_fiber *writer;
	weft_conn *conn;

	server_open(&s, "tcp://127.0.0.1:0", echo, NULL);
	conn = dial(&s);
	want_ok(weft_spawn(&writer, "writes", write_pattern, conn));
	read_pattern(conn);
	want_ok(weft_fiber_join(writer, NULL, WEFT_FOREVER));
	weft_conn_free(conn);
	server_close(&s);
	return WEFT_OK;
}

struct way {
	weft_conn *from, *to;
};

static weft_err copy_way(void *arg)
{
	struct way *w = arg;

	want_ok(weft_conn_copy(w->to, w->from, NULL, NULL, NULL, WEFT_FOREVER));
	want_ok(weft_conn_shutdown(w->to));
	return WEFT_OK;
}

static weft_err proxy(weft_conn *conn, void *arg)
{
	const struct server *to = arg;
	weft_conn *next = dial(to);
	struct way there = { conn, next }, back = { next, conn };
	weft_scope *scope;

	want_ok(weft_scope_create(&scope));
	want_ok(weft_scope_spawn(scope, "there", copy_way, &there));
	want_ok(weft_scope_spawn(scope, "back", copy_way, &back));
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	weft_conn_free(conn);
	weft_conn_free(next);
	return WEFT_OK;
}

BOTH_TEST(a_proxy_carries_half_closes)
{
	struct server s, p;
	weft_fiber *writer;
	weft_conn *conn;

	server_open(&s, "tcp://127.0.0.1:0", echo, NULL);
	server_open(&p, "tcp://127.0.0.1:0", proxy, NULL);
	p.arg = &s;
	conn = dial(&p);
	want_ok(weft_spawn(&writer, "writes", write_pattern, conn));
	read_pattern(conn);
	want_ok(weft_fiber_join(writer, NULL, WEFT_FOREVER));
	weft_conn_free(conn);
	server_close(&p);
	server_close(&s);
	return WEFT_OK;
}

static weft_err abort_at_once(weft_conn *conn, void *arg)
{
	(void)arg;
	expect_text(conn, "now");
	weft_conn_abort(conn);
	weft_conn_free(conn);
	return WEFT_OK;
}

BOTH_TEST(an_abort_is_a_reset_at_the_other_end)
{
	struct server s;
	size_t got;
	weft_conn *conn;
	char c;

	server_open(&s, "tcp://127.0.0.1:0", abort_at_once, NULL);
	conn = dial(&s);
	send_text(conn, "now");
	want_err(WEFT_ERESET, weft_conn_read(conn, &c, 1, &got, WEFT_FOREVER));
	want_err(WEFT_ERESET, weft_conn_write(conn, &c, 1, NULL, WEFT_FOREVER));
	weft_conn_free(conn);
	server_close(&s);
	return WEFT_OK;
}

BOTH_TEST(a_copy_says_which_side_failed)
{
	weft_conn *from[2], *to[2];
	bool failed_dst = false;
	uint64_t copied = 0;

	want_ok(weft_conn_pair(from, 0));
	want_ok(weft_conn_pair(to, 0));
	send_text(from[0], "lost");
	weft_conn_abort(to[1]);
	want_err(WEFT_ERESET,
		weft_conn_copy(to[0], from[1], &copied, &failed_dst, NULL, WEFT_FOREVER));
	want(failed_dst && copied == 0);
	weft_conn_abort(from[0]);
	want_err(WEFT_ERESET,
		weft_conn_copy(to[0], from[1], &copied, &failed_dst, NULL, WEFT_FOREVER));
	want(!failed_dst && copied == 0);
	for (int i = 0; i < 2; i++) {
		weft_conn_free(from[i]);
		weft_conn_free(to[i]);
	}
	return WEFT_OK;
}

BOTH_TEST(a_read_times_out_and_can_be_tried_again)
{
	struct server s;
	size_t got;
	weft_conn *conn;
	char c;

	server_open(&s, "tcp://127.0.0.1:0", echo, NULL);
	conn = dial(&s);
	want_err(WEFT_ETIMEDOUT, weft_conn_read(conn, &c, 1, &got, WEFT_NOW));
	want_err(WEFT_ETIMEDOUT, weft_conn_read(conn, &c, 1, &got, weft_after_ms(3)));
	send_text(conn, "x");
	expect_text(conn, "x");
	weft_conn_free(conn);
	server_close(&s);
	return WEFT_OK;
}

static weft_err read_until_closed(void *arg)
{
	size_t got;
	char c;

	return weft_conn_read(arg, &c, 1, &got, WEFT_FOREVER);
}

BOTH_TEST(closing_a_conn_ends_a_read_that_waits)
{
	struct server s;
	weft_err result = WEFT_OK;
	weft_fiber *reader;
	weft_conn *conn;

	server_open(&s, "tcp://127.0.0.1:0", echo, NULL);
	conn = dial(&s);
	want_ok(weft_spawn(&reader, "reads", read_until_closed, conn));
	want_ok(weft_sleep_ms(1));
	weft_conn_close(conn);
	want_ok(weft_fiber_join(reader, &result, WEFT_FOREVER));
	want(result == WEFT_ECLOSED);
	weft_conn_free(conn);
	server_close(&s);
	return WEFT_OK;
}

static weft_err accept_one(void *arg)
{
	weft_conn *conn = NULL;
	weft_err err = weft_listener_accept(arg, &conn, WEFT_FOREVER);

	weft_conn_free(conn);
	return err;
}

BOTH_TEST(accepts_end_by_close_by_time_and_by_cancellation)
{
	weft_listener *listener;
	weft_fiber *waiting[3];
	weft_conn *conn = NULL;
	weft_scope *scope;
	weft_err result;

	want_ok(weft_listen(&listener, "tcp://127.0.0.1:0", NULL, WEFT_FOREVER));
	want_err(WEFT_ETIMEDOUT, weft_listener_accept(listener, &conn, weft_after_ms(1)));
	want_ok(weft_scope_create(&scope));
	want_ok(weft_scope_spawn(scope, "cancelled", accept_one, listener));
	want_ok(weft_sleep_ms(1));
	weft_scope_free(scope);
	for (int i = 0; i < 3; i++)
		want_ok(weft_spawn(&waiting[i], "accepts", accept_one, listener));
	want_ok(weft_sleep_ms(1));
	weft_listener_close(listener);
	for (int i = 0; i < 3; i++) {
		want_ok(weft_fiber_join(waiting[i], &result, WEFT_FOREVER));
		want(result == WEFT_ECLOSED);
	}
	want_err(WEFT_ECLOSED, weft_listener_accept(listener, &conn, WEFT_FOREVER));
	weft_listener_free(listener);
	return WEFT_OK;
}

BOTH_TEST(one_connection_over_the_limit_is_reset)
{
	weft_net_options options = WEFT_NET_OPTIONS_DEFAULT;
	weft_listener_stats stats;
	struct server s;
	weft_conn *first, *second, *over;
	weft_err err;
	size_t got;
	char c;

	options.connections_max = 2;
	server_open(&s, "tcp://127.0.0.1:0", echo, &options);
	first = dial(&s);
	second = dial(&s);
	send_text(first, "1");
	send_text(second, "2");
	expect_text(first, "1");
	expect_text(second, "2");
	/* the reset may come while it still dials */
	err = weft_dial(&over, weft_listener_name(s.listener), NULL, WEFT_FOREVER);
	if (!err) {
		err = weft_conn_read(over, &c, 1, &got, WEFT_FOREVER);
		weft_conn_free(over);
	}
	want_err(WEFT_ERESET, err);
	weft_listener_stats_get(s.listener, &stats);
	want(stats.accepted == 2 && stats.refused == 1 && stats.connections == 2);
	want_ok(weft_conn_shutdown(second));
	expect_end(second);
	do { /* its place is free once the handler has ended */
		both_pause();
		want_ok(weft_sleep_ms(1));
		weft_listener_stats_get(s.listener, &stats);
	} while (stats.connections == 2);
	over = dial(&s);
	send_text(over, "3");
	expect_text(over, "3");
	weft_conn_free(over);
	weft_conn_free(second);
	weft_conn_free(first);
	server_close(&s);
	return WEFT_OK;
}

static weft_err many_round_trips(void *arg)
{
	weft_conn *conn = dial(arg);
	char text[32];

	for (int i = 0; i < 5; i++) {
		snprintf(text, sizeof(text), "message %d of many", i);
		send_text(conn, text);
		expect_text(conn, text);
		both_pause();
	}
	weft_conn_free(conn);
	return WEFT_OK;
}

BOTH_TEST(many_connections_live_at_once)
{
	struct server s;
	weft_scope *scope;

	server_open(&s, "tcp://127.0.0.1:0", echo, NULL);
	want_ok(weft_scope_create(&scope));
	for (int i = 0; i < 30; i++)
		want_ok(weft_scope_spawn(scope, "client", many_round_trips, &s));
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	server_close(&s);
	return WEFT_OK;
}

BOTH_TEST(a_pair_in_memory_is_a_conn_too)
{
	weft_conn *ends[2];
	weft_fiber *writer;

	want_ok(weft_conn_pair(ends, 100));
	want_ok(weft_spawn(&writer, "writes", write_pattern, ends[0]));
	read_pattern(ends[1]);
	want_ok(weft_fiber_join(writer, NULL, WEFT_FOREVER));
	send_text(ends[1], "back");
	expect_text(ends[0], "back");
	weft_conn_free(ends[1]);
	expect_end(ends[0]);
	weft_conn_free(ends[0]);
	return WEFT_OK;
}

static void same_net_tests(TCase *tc)
{
	both_add(tc, bytes_come_back_over_tcp);
	both_add(tc, bytes_come_back_over_unix);
	both_add(tc, a_name_is_resolved);
	both_add(tc, nobody_listening_refuses);
	both_add(tc, an_address_in_use_is_said);
	both_add(tc, the_other_half_stays_open_after_a_shutdown);
	both_add(tc, lines_are_read_one_by_one);
	both_add(tc, read_full_says_when_the_end_comes_too_early);
	both_add(tc, more_than_the_window_goes_both_ways_at_once);
	both_add(tc, a_proxy_carries_half_closes);
	both_add(tc, an_abort_is_a_reset_at_the_other_end);
	both_add(tc, a_copy_says_which_side_failed);
	both_add(tc, a_read_times_out_and_can_be_tried_again);
	both_add(tc, closing_a_conn_ends_a_read_that_waits);
	both_add(tc, accepts_end_by_close_by_time_and_by_cancellation);
	both_add(tc, one_connection_over_the_limit_is_reset);
	both_add(tc, many_connections_live_at_once);
	both_add(tc, a_pair_in_memory_is_a_conn_too);
}
T_SUITE("same/net", same_net_tests)
