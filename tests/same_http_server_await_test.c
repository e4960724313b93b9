/* SPDX-License-Identifier: MIT */
/* Bodies that are waited for: clients that wait to be asked, reads with a deadline. */
#include "base/counter.h"
#include "support/httpd.h"

#include <stdlib.h>
#include <string.h>

#define POST "POST / HTTP/1.1\r\nHost: x\r\n"
#define GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

/* ---- 100 Continue ---- */

static weft_err reply_by_query(weft_http_exchange *x, void *arg)
{
	return weft_http_exchange_query(x) ? reply_echo(x, arg) : reply_hello(x, arg);
}

BOTH_TEST(who_waits_for_continue_is_told_when_the_body_is_wanted)
{
	struct answer answer;
	struct httpd h;
	weft_conn *conn;

	/* over memory, where what is written at once is read at once */
	httpd_open(&h, NULL, false);
	httpd_route(&h, "POST", "/", reply_by_query, NULL);
	conn = httpd_connect(&h);
	say(conn,
		"POST /?read HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
		"Content-Length: 3\r\n\r\n");
	hear(conn, "HTTP/1.1 100 Continue\r\n\r\n");
	ask(conn, "abc", 200, "abc");
	/* it did not wait: nothing to say */
	ask(conn,
		"POST /?read HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
		"Content-Length: 3\r\n\r\nabc",
		200, "abc");
	/* not wanted: whether it comes still nobody knows, so this is the end */
	say(conn, POST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	hear_answer(conn, &answer);
	want(answer.status == 200 && has_line(&answer, "Connection: close"));
	hear_end(conn);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* What comes, as it comes; the query says with which status. */
static weft_err streams_echo(weft_http_exchange *x, void *arg)
{
	unsigned status = (unsigned)strtoul(weft_http_exchange_query(x), NULL, 10);
	weft_err err = weft_http_exchange_begin(x, status, NULL, WEFT_FOREVER);
	char data[64];
	size_t got;

	(void)arg;
	if (!err)
		err = weft_http_exchange_write(x, "> ", 2, WEFT_FOREVER);
	while (!err && status < 300) {
		err = weft_http_exchange_read(x, data, sizeof(data), &got, WEFT_FOREVER);
		if (!err)
			err = weft_http_exchange_write(x, data, got, WEFT_FOREVER);
	}
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

BOTH_TEST(a_response_that_begins_before_the_body_is_read_asks_for_it)
{
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, false);
	httpd_route(&h, "POST", "/", streams_echo, NULL);
	conn = httpd_connect(&h);
	for (int i = 0; i < 2; i++) {
		say(conn,
			"POST /?200 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
			"Content-Length: 3\r\n\r\n");
		hear(conn,
			"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
			"Transfer-Encoding: chunked\r\nDate: \x01\r\n\r\n2\r\n> \r\n");
		say(conn, "abc");
		hear(conn, "3\r\nabc\r\n0\r\n\r\n");
	}
	/* it has not waited */
	say(conn,
		"POST /?200 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
		"Content-Length: 3\r\n\r\nabc");
	hear(conn,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: \x01\r\n\r\n"
		"2\r\n> \r\n3\r\nabc\r\n0\r\n\r\n");
	/* a refusal, or a redirect, is an answer to the head: the body is not asked for */
	say(conn,
		"POST /?307 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
		"Content-Length: 3\r\n\r\n");
	hear(conn,
		"HTTP/1.1 307 Temporary Redirect\r\nTransfer-Encoding: chunked\r\n"
		"Connection: close\r\nDate: \x01\r\n\r\n2\r\n> \r\n0\r\n\r\n");
	hear_end(conn);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- reads with a deadline ---- */

static weft_err reads_impatiently(weft_http_exchange *x, void *arg)
{
	char data[8];
	size_t got;
	weft_err err;

	do {
		err = weft_http_exchange_read(
			x, data, sizeof(data), &got, weft_after_ns(BOTH_TICK_NS));
		if (err == WEFT_ETIMEDOUT)
			(void)counter_add(arg, 1);
	} while (err == WEFT_ETIMEDOUT);
	want_ok(err);
	want(got == 3);
	return reply_hello(x, NULL);
}

static weft_err reply_4000(weft_http_exchange *x, void *arg)
{
	static char text[4001];

	(void)arg;
	memset(text, 'x', sizeof(text) - 1);
	return weft_http_exchange_reply_text(x, 200, text, WEFT_FOREVER);
}

/* A reply before it can't leave: that is no reason to break the connection. */
BOTH_TEST(a_read_that_has_no_time_breaks_nothing)
{
	struct answer answer;
	struct httpd h;
	weft_conn *conn;
	struct counter times = { 0 };

	httpd_open(&h, NULL, false);
	h.pair_size = 500;
	httpd_route(&h, "GET", "/", reply_4000, NULL);
	httpd_route(&h, "POST", "/", reads_impatiently, &times);
	conn = httpd_connect(&h);
	say(conn, GET POST "Content-Length: 3\r\n\r\n");
	while (counter_get(&times) < 3)
		both_sleep_ns(BOTH_TICK_NS);
	hear_answer(conn, &answer);
	want(answer.status == 200 && strlen(answer.body) == 4000);
	ask(conn, "abc", 200, "hello\n");
	ask(conn, GET, 200, NULL);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

static weft_err reads_all_impatiently(weft_http_exchange *x, void *arg)
{
	const char *data = NULL;
	char c[4];
	size_t len;

	want_err(WEFT_ETIMEDOUT, weft_http_exchange_read_all(x, &data, &len, WEFT_NOW));
	(void)counter_add(arg, 1);
	want_err(WEFT_ETIMEDOUT, weft_http_exchange_read_all(x, &data, &len, WEFT_FOREVER));
	want_err(WEFT_ETIMEDOUT, weft_http_exchange_read(x, c, sizeof(c), &len, WEFT_FOREVER));
	want(!data);
	return reply_hello(x, NULL);
}

/* What the first call had read is gone: what comes behind it is no body. */
BOTH_TEST(the_rest_of_a_body_is_not_taken_for_all_of_it)
{
	struct counter times = { 0 };
	struct answer answer;
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "POST", "/", reads_all_impatiently, &times);
	conn = httpd_connect(&h);
	say(conn, POST "Content-Length: 6\r\n\r\nabc");
	while (counter_get(&times) < 1)
		both_sleep_ns(BOTH_TICK_NS);
	say(conn, "def");
	hear_answer(conn, &answer);
	want(answer.status == 200 && has_line(&answer, "Connection: close"));
	hear_end(conn);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

static void http_await_tests(TCase *tc)
{
	both_add(tc, who_waits_for_continue_is_told_when_the_body_is_wanted);
	both_add(tc, a_response_that_begins_before_the_body_is_read_asks_for_it);
	both_add(tc, a_read_that_has_no_time_breaks_nothing);
	both_add(tc, the_rest_of_a_body_is_not_taken_for_all_of_it);
}
T_SUITE("same_http_server_await", http_await_tests)
