/* SPDX-License-Identifier: MIT */
/* The server's limits in time, over virtual time: each way of being slow is bounded. */
#include "support/httpd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S INT64_C(1000000000)
#define POST "POST / HTTP/1.1\r\nHost: x\r\n"
#define GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

#define SIM_TEST(name)                           \
	static weft_err name##_body(void *arg);  \
	START_TEST(name)                         \
	{                                        \
		both_run_simulated(name##_body); \
	}                                        \
	END_TEST                                 \
	static weft_err name##_body(__attribute__((unused)) void *arg)

static int64_t began;

static void clock_begin(void)
{
	began = weft_now();
}

/* Nearly: what is on its way takes a while, too. */
static void want_after(int64_t seconds)
{
	int64_t took = weft_now() - began;

	if (took < seconds * S - S / 2 || took > (seconds + 1) * S)
		fprintf(stderr, "after %lld ms\n", (long long)(took / 1000000));
	want(took >= seconds * S - S / 2 && took <= (seconds + 1) * S);
}

static uint64_t timeouts(const struct httpd *h)
{
	weft_http_server_stats stats;

	weft_http_server_stats_get(h->server, &stats);
	return stats.timeouts;
}

static size_t connections(const struct httpd *h)
{
	weft_http_server_stats stats;

	weft_http_server_stats_get(h->server, &stats);
	return stats.connections_now;
}

static void open_hello(struct httpd *h)
{
	httpd_open(h, NULL, true);
	httpd_route(h, "GET", "/", reply_hello, NULL);
	httpd_route(h, "POST", "/", reply_echo, NULL);
}

/* ---- heads ---- */

SIM_TEST(who_says_nothing_is_closed_after_the_header_timeout)
{
	struct httpd h;
	weft_conn *conn;

	open_hello(&h);
	conn = httpd_connect(&h);
	clock_begin();
	hear_end(conn);
	want_after(10);
	want(timeouts(&h) == 1);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

struct drip {
	weft_conn *conn;
	const char *bytes;
	int64_t pause_ns;
};

/* For ever, or until nobody takes them. */
static weft_err drips(void *arg)
{
	struct drip *d = arg;
	weft_err err = WEFT_OK;

	for (const char *at = d->bytes; !err; at = at[1] ? at + 1 : d->bytes) {
		err = weft_conn_write(d->conn, at, 1, NULL, WEFT_FOREVER);
		if (!err)
			err = weft_sleep_ns(d->pause_ns);
	}
	return WEFT_OK;
}

SIM_TEST(a_head_that_drips_is_408_after_the_header_timeout)
{
	struct drip drip = { NULL, "a: b\r\n", S };
	struct httpd h;

	open_hello(&h);
	drip.conn = httpd_connect(&h);
	clock_begin();
	say(drip.conn, "GET / HTTP/1.1\r\n");
	want_ok(weft_scope_spawn(h.scope, "drips", drips, &drip));
	hear_answer_is(drip.conn, 408, NULL);
	want_after(10);
	hear_end(drip.conn);
	want(timeouts(&h) == 1);
	weft_conn_close(drip.conn);
	httpd_close(&h);
	weft_conn_free(drip.conn);
	return WEFT_OK;
}

SIM_TEST(a_later_head_has_its_time_from_its_first_byte)
{
	struct drip drip = { NULL, "a: b\r\n", S };
	struct httpd h;

	open_hello(&h);
	drip.conn = httpd_connect(&h);
	ask(drip.conn, GET, 200, NULL);
	both_sleep_ns(50 * S);
	say(drip.conn, "GET ");
	both_sleep_ns(9 * S);
	ask(drip.conn, "/ HTTP/1.1\r\nHost: x\r\n\r\n", 200, NULL);
	both_sleep_ns(30 * S);
	say(drip.conn, "GET / HTTP/1.1\r\n");
	clock_begin();
	want_ok(weft_scope_spawn(h.scope, "drips", drips, &drip));
	hear_answer_is(drip.conn, 408, NULL);
	want_after(10);
	weft_conn_close(drip.conn);
	httpd_close(&h);
	weft_conn_free(drip.conn);
	return WEFT_OK;
}

SIM_TEST(an_idle_connection_is_closed_after_the_idle_timeout)
{
	static char request[3000];
	struct httpd h;
	weft_conn *conn;

	open_hello(&h);
	conn = httpd_connect(&h);
	ask(conn, GET, 200, NULL);
	/* a larger one, so that a buffer is there to be given back */
	snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: x\r\nA: %02500d\r\n\r\n", 0);
	ask(conn, request, 200, NULL);
	both_sleep_ns(30 * S);
	ask(conn, request, 200, NULL);
	clock_begin();
	hear_end(conn);
	want_after(60);
	want(timeouts(&h) == 1);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- bodies ---- */

SIM_TEST(a_body_that_does_not_come_is_408)
{
	struct httpd h;
	weft_conn *conn;

	open_hello(&h);
	conn = httpd_connect(&h);
	say(conn, POST "Content-Length: 10\r\n\r\nabc");
	clock_begin();
	hear_answer_is(conn, 408, NULL);
	want_after(10);
	hear_end(conn);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

SIM_TEST(a_body_that_drips_is_408_and_one_at_the_rate_is_not)
{
	struct drip drip = { NULL, "x", S / 100 };
	struct httpd h;

	open_hello(&h);
	drip.conn = httpd_connect(&h);
	say(drip.conn, POST "Content-Length: 1000000\r\n\r\n");
	clock_begin();
	want_ok(weft_scope_spawn(h.scope, "drips", drips, &drip));
	hear_answer_is(drip.conn, 408, NULL);
	/* 100 of 500 bytes a second: 10 s and a fifth of that, and a fifth of that ... */
	want_after(12);
	weft_conn_close(drip.conn);
	httpd_close(&h);
	weft_conn_free(drip.conn);
	return WEFT_OK;
}

SIM_TEST(a_slow_body_at_the_rate_is_read)
{
	static char block[600];
	struct httpd h;
	weft_conn *conn;

	open_hello(&h);
	conn = httpd_connect(&h);
	say(conn, POST "Transfer-Encoding: chunked\r\n\r\n");
	memset(block, 'b', sizeof(block) - 1);
	for (int i = 0; i < 40; i++) {
		say(conn, "256\r\n");
		want_ok(weft_conn_write(conn, block, 598, NULL, WEFT_FOREVER));
		say(conn, "\r\n");
		both_sleep_ns(S);
	}
	say(conn, "0\r\n\r\n");
	{
		struct answer answer;

		hear_head(conn, &answer);
		want(answer.status == 200 && has_line(&answer, "Content-Length: 23920"));
	}
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- clients that do not read ---- */

static weft_err reply_much(weft_http_exchange *x, void *arg)
{
	static const char block[60000];
	weft_err err = weft_http_exchange_begin(x, 200, NULL, WEFT_FOREVER);

	while (!err)
		err = weft_http_exchange_write(x, block, sizeof(block), WEFT_FOREVER);
	*(weft_err *)arg = err;
	return err;
}

SIM_TEST(who_does_not_read_is_reset_after_the_write_timeout)
{
	weft_err result = WEFT_OK;
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", reply_much, &result);
	conn = httpd_connect(&h);
	say(conn, GET);
	clock_begin();
	while (!result)
		both_sleep_ns(S / 10);
	want_after(30);
	want(result == WEFT_ETIMEDOUT && timeouts(&h) == 1);
	want(connections(&h) == 0);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

SIM_TEST(who_reads_in_drops_is_reset_though_it_moves)
{
	weft_err result = WEFT_OK;
	struct httpd h;
	weft_conn *conn;
	char block[100];
	size_t got;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", reply_much, &result);
	conn = httpd_connect(&h);
	say(conn, GET);
	clock_begin();
	while (!result) {
		weft_err err = weft_conn_read(conn, block, sizeof(block), &got, WEFT_FOREVER);

		want(!err || err == WEFT_ERESET);
		both_sleep_ns(S);
		want(weft_now() - began < 1000 * S);
	}
	want(result == WEFT_ETIMEDOUT);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

static weft_err reply_200k(weft_http_exchange *x, void *arg)
{
	static const char block[200000];

	(void)arg;
	return weft_http_exchange_reply(x, 200, NULL, block, sizeof(block), WEFT_FOREVER);
}

SIM_TEST(who_reads_slowly_but_at_the_rate_gets_all)
{
	struct answer answer;
	struct httpd h;
	weft_conn *conn;
	char block[2000];

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", reply_200k, NULL);
	conn = httpd_connect(&h);
	say(conn, GET);
	hear_head(conn, &answer);
	for (int i = 0; i < 100; i++) {
		want_ok(weft_conn_read_full(conn, block, sizeof(block), NULL, WEFT_FOREVER));
		both_sleep_ns(S);
	}
	want(timeouts(&h) == 0);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

SIM_TEST(who_neither_closes_nor_reads_after_a_refusal_is_left)
{
	struct drip drip = { NULL, "x", S / 10 };
	struct httpd h;

	open_hello(&h);
	drip.conn = httpd_connect(&h);
	say(drip.conn, "nonsense\r\n\r\n");
	want_ok(weft_scope_spawn(h.scope, "drips", drips, &drip));
	hear_answer_is(drip.conn, 400, NULL);
	clock_begin();
	while (connections(&h))
		both_sleep_ns(S / 10);
	want(weft_now() - began < 3 * S);
	weft_conn_close(drip.conn);
	httpd_close(&h);
	weft_conn_free(drip.conn);
	return WEFT_OK;
}

/* ---- the handler's own deadlines ---- */

struct impatient {
	weft_err read, write;
	int64_t read_ns, write_ns;
};

static weft_err is_impatient(weft_http_exchange *x, void *arg)
{
	static const char block[200000];
	struct impatient *s = arg;
	int64_t then = weft_now();
	char data[16];
	size_t got = 0;

	s->read = weft_http_exchange_read(x, data, sizeof(data), &got, weft_after_ms(2000));
	s->read_ns = weft_now() - then;
	/* it comes later, and is read as if nothing had been */
	want_ok(weft_http_exchange_read(x, data, sizeof(data), &got, WEFT_FOREVER));
	want(got >= 1 && data[0] == 'a');
	then = weft_now();
	s->write =
		weft_http_exchange_reply(x, 200, NULL, block, sizeof(block), weft_after_ms(3000));
	s->write_ns = weft_now() - then;
	return s->write;
}

SIM_TEST(a_handlers_deadlines_hold_beside_the_servers)
{
	struct impatient s = { WEFT_OK, WEFT_OK, 0, 0 };
	struct httpd h;
	weft_conn *conn;
	char *all = malloc(300000);

	want(all != NULL);
	httpd_open(&h, NULL, true);
	httpd_route(&h, "POST", "/", is_impatient, &s);
	conn = httpd_connect(&h);
	say(conn, POST "Content-Length: 3\r\n\r\n");
	both_sleep_ns(4 * S);
	say(conn, "abc");
	both_sleep_ns(6 * S);
	want(s.read == WEFT_ETIMEDOUT && s.read_ns >= 2 * S && s.read_ns < 3 * S);
	want(s.write == WEFT_ETIMEDOUT && s.write_ns >= 3 * S && s.write_ns < 4 * S);
	want_err(WEFT_ERESET, hear_all(conn, all, 300000));
	want(timeouts(&h) == 0);
	free(all);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- refusals ---- */

SIM_TEST(so_many_are_told_that_the_server_is_full_and_the_rest_are_reset)
{
	enum { REFUSED = 80 };
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	weft_http_server_stats stats;
	weft_conn *conn, *others[REFUSED];
	int told = 0;
	struct httpd h;

	options.connections_max = 1;
	httpd_open(&h, &options, true);
	httpd_route(&h, "GET", "/", reply_hello, NULL);
	conn = httpd_connect(&h);
	ask(conn, GET, 200, NULL);
	for (int i = 0; i < REFUSED; i++)
		others[i] = httpd_connect(&h);
	both_sleep_ns(S / 2);
	for (int i = 0; i < REFUSED; i++) {
		char all[256];
		weft_err err = hear_all(others[i], all, sizeof(all));

		told += err == WEFT_ECLOSED && strncmp(all, "HTTP/1.1 503 ", 13) == 0;
		want(err == WEFT_ECLOSED || err == WEFT_ERESET);
		weft_conn_free(others[i]);
	}
	want(told == 64);
	weft_http_server_stats_get(h.server, &stats);
	want(stats.connections_refused == REFUSED && stats.connections == 1);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- stopping ---- */

static weft_err sleeps_until_cancelled(weft_http_exchange *x, void *arg)
{
	weft_err err = weft_sleep_until(WEFT_FOREVER);

	(void)x;
	*(weft_err *)arg = err;
	return err;
}

SIM_TEST(what_is_left_after_the_stop_timeout_is_reset)
{
	weft_err result = WEFT_OK;
	weft_http_server_stats stats;
	struct httpd h;
	weft_conn *conn, *idle;
	char all[64];

	open_hello(&h);
	httpd_route(&h, "GET", "/sleep", sleeps_until_cancelled, &result);
	conn = httpd_connect(&h);
	idle = httpd_connect(&h);
	ask(idle, GET, 200, NULL);
	say(conn, "GET /sleep HTTP/1.1\r\nHost: x\r\n\r\n");
	both_sleep_ns(S);
	clock_begin();
	weft_http_server_stop(h.server);
	weft_http_server_stop(h.server);
	want(weft_http_server_state_get(h.server) == WEFT_HTTP_SERVER_DRAINING);
	hear_end(idle);
	want_after(0);
	want_err(WEFT_ETIMEDOUT, weft_http_server_wait(h.server, weft_after_ms(1000)));
	want_ok(weft_http_server_wait(h.server, WEFT_FOREVER));
	want_after(5);
	want(result == WEFT_ECANCELED);
	want_err(WEFT_ERESET, hear_all(conn, all, sizeof(all)));
	weft_http_server_stats_get(h.server, &stats);
	want(stats.connections_cut == 1);
	weft_conn_free(idle);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

static weft_err reply_late(weft_http_exchange *x, void *arg)
{
	weft_err err = weft_sleep_ns(2 * S);

	return err ? err : reply_hello(x, arg);
}

SIM_TEST(requests_under_way_are_answered_when_the_server_stops)
{
	enum { CLIENTS = 20 };
	struct httpd h;
	weft_conn *conns[CLIENTS], *late = NULL;
	struct answer answer;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", reply_late, NULL);
	for (int i = 0; i < CLIENTS; i++) {
		conns[i] = httpd_connect(&h);
		/* a second one is there already; it will not be answered */
		say(conns[i], i % 2 ? GET : GET GET);
	}
	both_sleep_ns(S);
	weft_http_server_stop(h.server);
	want_err(WEFT_EREFUSED,
		weft_dial(&late, weft_listener_name(h.listener), NULL, WEFT_FOREVER));
	for (int i = 0; i < CLIENTS; i++) {
		hear_answer(conns[i], &answer);
		want(answer.status == 200 && has_line(&answer, "Connection: close"));
		hear_end(conns[i]);
		weft_conn_free(conns[i]);
	}
	httpd_close(&h);
	return WEFT_OK;
}

SIM_TEST(no_time_to_drain_is_a_cut_at_once)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	weft_err result = WEFT_OK;
	struct httpd h;
	weft_conn *conn;
	char all[64];

	options.stop_timeout_ns = 0;
	want_ok(weft_cancel_create(&options.stop, NULL));
	httpd_open(&h, &options, true);
	httpd_route(&h, "GET", "/", sleeps_until_cancelled, &result);
	conn = httpd_connect(&h);
	say(conn, GET);
	both_sleep_ns(S);
	clock_begin();
	weft_cancel_trigger(options.stop, WEFT_OK);
	want_ok(weft_http_server_wait(h.server, WEFT_FOREVER));
	want_after(0);
	want_err(WEFT_ERESET, hear_all(conn, all, sizeof(all)));
	weft_cancel_unref(options.stop);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* Its fiber is none of the server's own. */
SIM_TEST(a_connection_that_was_handed_in_is_cut_like_others)
{
	weft_err result = WEFT_OK;
	struct httpd h;
	weft_conn *conn;
	char all[64];

	httpd_open(&h, NULL, false);
	httpd_route(&h, "GET", "/", sleeps_until_cancelled, &result);
	conn = httpd_connect(&h);
	say(conn, GET);
	both_sleep_ns(S);
	clock_begin();
	weft_http_server_stop(h.server);
	want_ok(weft_http_server_wait(h.server, WEFT_FOREVER));
	want_after(5);
	want(result == WEFT_ECANCELED);
	want(hear_all(conn, all, sizeof(all)) != WEFT_OK);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

static weft_err counts_calls(weft_http_exchange *x, void *arg)
{
	++*(int *)arg;
	return reply_hello(x, NULL);
}

/* Idle, as far as the server knew: it may be closed, but then no handler runs. */
SIM_TEST(a_request_that_meets_the_stop_is_either_answered_or_not_begun)
{
	enum { CLIENTS = 8 };
	struct httpd h;
	weft_conn *conns[CLIENTS];
	int calls = 0, answers = 0;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", counts_calls, &calls);
	for (int i = 0; i < CLIENTS; i++) {
		conns[i] = httpd_connect(&h);
		ask(conns[i], GET, 200, NULL);
	}
	calls = 0;
	for (int i = 0; i < CLIENTS; i++)
		say(conns[i], GET);
	both_sleep_ns((int64_t)both_random(20) * BOTH_TICK_NS);
	weft_http_server_stop(h.server);
	for (int i = 0; i < CLIENTS; i++) {
		char all[512];
		weft_err err = hear_all(conns[i], all, sizeof(all));

		want(err == WEFT_ECLOSED || err == WEFT_ERESET);
		answers += strncmp(all, "HTTP/1.1 200 ", 13) == 0;
		weft_conn_free(conns[i]);
	}
	want(calls == answers);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- event streams ---- */

static weft_err listens_idly(weft_http_exchange *x, void *arg)
{
	weft_cancel *gone;
	weft_err err = weft_http_exchange_sse_begin(x, NULL, WEFT_FOREVER);

	want_ok(err);
	want_ok(weft_http_exchange_watch(x, &gone));
	want_ok(weft_cancel_wait(gone, WEFT_FOREVER));
	*(weft_err *)arg = weft_cancel_reason(gone);
	return WEFT_OK;
}

SIM_TEST(an_idle_event_stream_gets_comments_and_is_not_timed_out)
{
	weft_err reason = WEFT_OK;
	struct answer answer;
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", listens_idly, &reason);
	conn = httpd_connect(&h);
	say(conn, GET);
	hear_head(conn, &answer);
	for (int i = 0; i < 20; i++) {
		clock_begin();
		hear(conn, "3\r\n:\n\n\r\n");
		want(weft_now() - began > 14 * S && weft_now() - began < 16 * S);
	}
	weft_conn_free(conn);
	clock_begin();
	while (!reason)
		both_sleep_ns(S / 100);
	want_after(0);
	want(reason == WEFT_ECLOSED || reason == WEFT_ERESET);
	httpd_close(&h);
	return WEFT_OK;
}

static weft_err does_not_hear(weft_http_exchange *x, void *arg)
{
	weft_shield_begin();
	both_sleep_ns(20 * S);
	weft_shield_end();
	return reply_hello(x, arg);
}

SIM_TEST(a_handler_that_does_not_give_way_is_waited_for_but_its_client_is_not)
{
	struct httpd h;
	weft_conn *conn;
	char all[64];

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", does_not_hear, NULL);
	conn = httpd_connect(&h);
	say(conn, GET);
	both_sleep_ns(S);
	clock_begin();
	weft_http_server_stop(h.server);
	want_err(WEFT_ERESET, hear_all(conn, all, sizeof(all)));
	want_after(5);
	want_ok(weft_http_server_wait(h.server, WEFT_FOREVER));
	want_after(19);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

SIM_TEST(event_streams_are_told_of_the_stop_and_end_in_order)
{
	weft_err reason = WEFT_OK;
	struct answer answer;
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", listens_idly, &reason);
	conn = httpd_connect(&h);
	say(conn, GET);
	hear_head(conn, &answer);
	clock_begin();
	weft_http_server_stop(h.server);
	hear(conn, "0\r\n\r\n");
	hear_end(conn);
	want_after(0);
	want(reason == WEFT_ECANCELED);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

static void sim_http_server_tests(TCase *tc)
{
	t_add(tc, who_says_nothing_is_closed_after_the_header_timeout);
	t_add(tc, a_head_that_drips_is_408_after_the_header_timeout);
	t_add(tc, a_later_head_has_its_time_from_its_first_byte);
	t_add(tc, an_idle_connection_is_closed_after_the_idle_timeout);
	t_add(tc, a_body_that_does_not_come_is_408);
	t_add(tc, a_body_that_drips_is_408_and_one_at_the_rate_is_not);
	t_add(tc, a_slow_body_at_the_rate_is_read);
	t_add(tc, who_does_not_read_is_reset_after_the_write_timeout);
	t_add(tc, who_reads_in_drops_is_reset_though_it_moves);
	t_add(tc, who_reads_slowly_but_at_the_rate_gets_all);
	t_add(tc, who_neither_closes_nor_reads_after_a_refusal_is_left);
	t_add(tc, a_handlers_deadlines_hold_beside_the_servers);
	t_add(tc, so_many_are_told_that_the_server_is_full_and_the_rest_are_reset);
	t_add(tc, what_is_left_after_the_stop_timeout_is_reset);
	t_add(tc, requests_under_way_are_answered_when_the_server_stops);
	t_add(tc, no_time_to_drain_is_a_cut_at_once);
	t_add(tc, a_connection_that_was_handed_in_is_cut_like_others);
	t_add(tc, a_request_that_meets_the_stop_is_either_answered_or_not_begun);
	t_add(tc, an_idle_event_stream_gets_comments_and_is_not_timed_out);
	t_add(tc, a_handler_that_does_not_give_way_is_waited_for_but_its_client_is_not);
	t_add(tc, event_streams_are_told_of_the_stop_and_end_in_order);
}
T_SUITE("sim_http_server", sim_http_server_tests)
