/* SPDX-License-Identifier: MIT */
/* Bodies in both directions, handlers that fail, clients that vanish, upgrades, the access log. */
#include "rt/lock.h"
#include "support/httpd.h"
#include "sync/word.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POST "POST / HTTP/1.1\r\nHost: x\r\n"
#define GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define BIG ((size_t)200000)

static weft_err count_body(weft_http_exchange *x, void *arg)
{
	size_t size = *(size_t *)arg, got, sum = 0;
	char *data = malloc(size), text[64];
	const weft_http_fields *trailers;
	weft_err err;

	want(data != NULL);
	want(!weft_http_exchange_trailers(x));
	while ((err = weft_http_exchange_read(x, data, size, &got, WEFT_FOREVER)) == WEFT_OK) {
		for (size_t i = 0; i < got; i++)
			want(data[i] == (char)('a' + (sum + i) % 26));
		sum += got;
	}
	free(data);
	if (err != WEFT_ECLOSED)
		return err;
	want_err(WEFT_ECLOSED, weft_http_exchange_read(x, text, 1, &got, WEFT_FOREVER));
	trailers = weft_http_exchange_trailers(x);
	snprintf(text, sizeof(text), "%zu %s", sum,
		trailers ? weft_http_fields_get(trailers, "X-After") : "-");
	return weft_http_exchange_reply_text(x, 200, text, WEFT_FOREVER);
}

static void say_alphabet(weft_conn *conn, size_t from, size_t len)
{
	char *data = malloc(len);

	want(data != NULL);
	for (size_t i = 0; i < len; i++)
		data[i] = (char)('a' + (from + i) % 26);
	want_ok(weft_conn_write(conn, data, len, NULL, WEFT_FOREVER));
	free(data);
}

static void send_both_ways(size_t read_size)
{
	struct httpd h;
	weft_conn *conn;
	size_t sent = 0;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "POST", "/", count_body, &read_size);
	conn = httpd_connect(&h);
	say(conn, POST "Content-Length: 200000\r\n\r\n");
	say_alphabet(conn, 0, BIG);
	ask(conn, "", 200, "200000 -");
	say(conn, CHUNKED);
	for (size_t size = 1; sent < 100000; size = size * 3 + 1) {
		char head[32];

		snprintf(head, sizeof(head), "%zX\r\n", size);
		say(conn, head);
		say_alphabet(conn, sent, size);
		say(conn, "\r\n");
		sent += size;
	}
	say(conn, "0\r\nX-After: yes\r\nX-More: no\r\n\r\n");
	hear_answer_is(conn, 200, "132854 yes");
	weft_conn_free(conn);
	httpd_close(&h);
}

BOTH_TEST(bodies_are_read_in_small_pieces)
{
	send_both_ways(100);
	return WEFT_OK;
}

BOTH_TEST(bodies_are_read_in_large_pieces)
{
	send_both_ways(70000);
	return WEFT_OK;
}

BOTH_TEST(a_body_is_read_whole)
{
	static const char *const requests[] = { POST "Content-Length: 0\r\n\r\n",
		POST "Content-Length: 3\r\n\r\nabc", POST "\r\n", CHUNKED "0\r\n\r\n",
		CHUNKED "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n" };
	static const char *const bodies[] = { "", "abc", "", "", "abc" };
	struct answer answer;
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "POST", "/", reply_echo, NULL);
	conn = httpd_connect(&h);
	for (size_t i = 0; i < 5; i++)
		ask(conn, requests[i], 200, bodies[i]);
	say(conn, POST "Content-Length: 200000\r\n\r\n");
	say_alphabet(conn, 0, BIG);
	hear_head(conn, &answer);
	want(has_line(&answer, "Content-Length: 200000"));
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- limits ---- */

static weft_err raise_limit(weft_http_exchange *x, void *arg)
{
	weft_http_exchange_body_size_max_set(x, 20);
	return reply_echo(x, arg);
}

BOTH_TEST(a_body_over_the_limit_is_refused)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	struct httpd h;
	weft_conn *conn;

	options.body_size_max = 10;
	httpd_open(&h, &options, true);
	httpd_route(&h, "POST", "/", reply_echo, NULL);
	httpd_route(&h, "POST", "/more", raise_limit, NULL);
	conn = httpd_connect(&h);
	ask(conn, POST "Content-Length: 10\r\n\r\n0123456789", 200, "0123456789");
	ask(conn, "POST /more HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n0123456789a", 200,
		"0123456789a");
	ask(conn, POST "Content-Length: 11\r\n\r\n0123456789a", 413, NULL);
	hear_end(conn);
	weft_conn_free(conn);
	conn = httpd_connect(&h);
	ask(conn, CHUNKED "6\r\n012345\r\n4\r\n6789\r\n0\r\n\r\n", 200, "0123456789");
	ask(conn, CHUNKED "6\r\n012345\r\n5\r\n6789a\r\n0\r\n\r\n", 413, NULL);
	hear_end(conn);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

BOTH_TEST(broken_chunks_are_refused)
{
	static const char *const broken[] = { CHUNKED "x\r\n", CHUNKED "1\r\nab\r\n",
		CHUNKED "-1\r\n", CHUNKED "1\nab", CHUNKED "0\r\nContent-Length: 3\r\n\r\n" };
	struct answer answer;
	struct httpd h;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "POST", "/", reply_echo, NULL);
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		weft_conn *conn = httpd_connect(&h);

		say(conn, broken[i]);
		hear_answer(conn, &answer);
		want(answer.status == 400);
		want(has_line(&answer, "Connection: close"));
		hear_end(conn);
		weft_conn_free(conn);
	}
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- what is left unread ---- */

BOTH_TEST(a_body_left_unread_is_dropped_or_ends_the_connection)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	struct answer answer;
	struct httpd h;
	weft_conn *conn;

	options.body_drop_max = 1000;
	httpd_open(&h, &options, true);
	httpd_route(&h, "*", "/", reply_hello, NULL);
	conn = httpd_connect(&h);
	ask(conn, POST "Content-Length: 5\r\n\r\nabcde", 200, "hello\n");
	ask(conn, CHUNKED "3\r\nabc\r\n0\r\n\r\n", 200, "hello\n");
	say(conn, POST "Content-Length: 1000\r\n\r\n");
	say_alphabet(conn, 0, 1000);
	hear_answer_is(conn, 200, "hello\n");
	/* more than that: the response says that it is the last */
	say(conn, POST "Content-Length: 1001\r\n\r\n");
	say_alphabet(conn, 0, 1001);
	hear_answer(conn, &answer);
	want(answer.status == 200 && has_line(&answer, "Connection: close"));
	hear_end(conn);
	weft_conn_free(conn);
	/* with chunks it is found out too late to say so */
	conn = httpd_connect(&h);
	say(conn, CHUNKED "7d0\r\n");
	say_alphabet(conn, 0, 2000);
	say(conn, "\r\n0\r\n\r\n");
	hear_answer_is(conn, 200, "hello\n");
	hear_end(conn);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- responses in parts ---- */

static weft_err reply_trailers(weft_http_exchange *x, void *arg)
{
	weft_http_fields *fields = NULL;
	weft_err err;

	(void)arg;
	want_ok(weft_http_fields_create(&fields));
	want_ok(weft_http_fields_add(fields, "X-Early", "1"));
	want_ok(weft_http_exchange_inform(x, 103, fields, WEFT_FOREVER));
	want_err(WEFT_EINVAL, weft_http_exchange_inform(x, 101, NULL, WEFT_FOREVER));
	err = weft_http_exchange_begin(x, 200, NULL, WEFT_FOREVER);
	want_err(WEFT_EINVAL, weft_http_exchange_inform(x, 103, NULL, WEFT_FOREVER));
	if (!err)
		err = weft_http_exchange_write(x, "one", 3, WEFT_FOREVER);
	if (!err)
		err = weft_http_exchange_write(x, "", 0, WEFT_FOREVER);
	weft_http_fields_clear(fields);
	want_ok(weft_http_fields_add(fields, "Content-Length", "3"));
	if (!err)
		want_err(WEFT_EINVAL, weft_http_exchange_finish(x, fields, WEFT_FOREVER));
	weft_http_fields_clear(fields);
	want_ok(weft_http_fields_add(fields, "X-Sum", "3"));
	if (!err)
		err = weft_http_exchange_finish(x, fields, WEFT_FOREVER);
	weft_http_fields_free(fields);
	return err;
}

BOTH_TEST(a_response_in_parts_has_chunks_and_trailers)
{
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", reply_trailers, NULL);
	httpd_route(&h, "GET", "/parts", reply_parts, NULL);
	conn = httpd_connect(&h);
	for (int i = 0; i < 2; i++) {
		say(conn, GET);
		hear(conn,
			"HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\nHTTP/1.1 200 OK\r\n"
			"Transfer-Encoding: chunked\r\nDate: \x01\r\n\r\n3\r\none\r\n0\r\n"
			"X-Sum: 3\r\n\r\n");
	}
	say(conn, "GET /parts HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(conn,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: \x01\r\n\r\n"
		"5\r\none, \r\n5\r\ntwo, \r\n6\r\nthree\n\r\n0\r\n\r\n");
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

static weft_err reply_counted(weft_http_exchange *x, void *arg)
{
	const char *writes = arg;
	weft_http_fields *fields = NULL;
	weft_err err;

	want_ok(weft_http_fields_create(&fields));
	want_ok(weft_http_fields_add(fields, "Content-Length", "4x"));
	want_err(WEFT_EINVAL, weft_http_exchange_begin(x, 200, fields, WEFT_FOREVER));
	want_ok(weft_http_fields_set(fields, "Content-Length", "4"));
	err = weft_http_exchange_begin(x, 200, fields, WEFT_FOREVER);
	weft_http_fields_free(fields);
	for (; *writes && !err; writes++)
		err = weft_http_exchange_write(x, "ab", (size_t)(*writes - '0'), WEFT_FOREVER);
	return err;
}

BOTH_TEST(a_length_that_was_promised_is_kept_or_the_connection_is_cut)
{
	static char exact[] = "22", less[] = "2", more[] = "222";
	struct httpd h;
	weft_conn *conn;
	char all[256];

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", reply_counted, exact);
	httpd_route(&h, "GET", "/less", reply_counted, less);
	httpd_route(&h, "GET", "/more", reply_counted, more);
	conn = httpd_connect(&h);
	ask(conn, GET, 200, "abab");
	say(conn, "GET /less HTTP/1.1\r\nHost: x\r\n\r\n");
	want_err(WEFT_ERESET, hear_all(conn, all, sizeof(all)));
	weft_conn_free(conn);
	conn = httpd_connect(&h);
	say(conn, "GET /more HTTP/1.1\r\nHost: x\r\n\r\n");
	want_err(WEFT_ERESET, hear_all(conn, all, sizeof(all)));
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- handlers that fail ---- */

static weft_err fail_at_once(weft_http_exchange *x, void *arg)
{
	(void)x;
	(void)arg;
	return WEFT_ENOTFOUND;
}

static weft_err fail_after_begin(weft_http_exchange *x, void *arg)
{
	(void)arg;
	want_ok(weft_http_exchange_begin(x, 200, NULL, WEFT_FOREVER));
	return WEFT_EIO;
}

static weft_err fail_after_write(weft_http_exchange *x, void *arg)
{
	(void)arg;
	want_ok(weft_http_exchange_begin(x, 200, NULL, WEFT_FOREVER));
	want_ok(weft_http_exchange_write(x, "half", 4, WEFT_FOREVER));
	return WEFT_EIO;
}

static weft_err fail_after_reply(weft_http_exchange *x, void *arg)
{
	(void)reply_hello(x, arg);
	return WEFT_EIO;
}

static weft_err forget_to_reply(weft_http_exchange *x, void *arg)
{
	(void)x;
	(void)arg;
	return WEFT_OK;
}

BOTH_TEST(a_handler_that_fails_is_500_or_a_cut)
{
	struct httpd h;
	weft_conn *conn;
	char all[512];

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/once", fail_at_once, NULL);
	httpd_route(&h, "GET", "/begun", fail_after_begin, NULL);
	httpd_route(&h, "GET", "/half", fail_after_write, NULL);
	httpd_route(&h, "GET", "/late", fail_after_reply, NULL);
	httpd_route(&h, "GET", "/forgets", forget_to_reply, NULL);
	conn = httpd_connect(&h);
	ask(conn, "GET /once HTTP/1.1\r\nHost: x\r\n\r\n", 500, "500 Internal Server Error\n");
	/* nothing of it has left: it is taken back */
	ask(conn, "GET /begun HTTP/1.1\r\nHost: x\r\n\r\n", 500, "500 Internal Server Error\n");
	ask(conn, "GET /forgets HTTP/1.1\r\nHost: x\r\n\r\n", 500, "500 Internal Server Error\n");
	ask(conn, "GET /late HTTP/1.1\r\nHost: x\r\n\r\n", 200, "hello\n");
	/* taken back behind replies that wait to be sent */
	say(conn, "GET /late HTTP/1.1\r\nHost: x\r\n\r\nGET /begun HTTP/1.1\r\nHost: x\r\n\r\n");
	hear_answer_is(conn, 200, "hello\n");
	hear_answer_is(conn, 500, NULL);
	say(conn, "GET /half HTTP/1.1\r\nHost: x\r\n\r\n");
	want_err(WEFT_ERESET, hear_all(conn, all, sizeof(all)));
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- fibers of a request ---- */

static weft_err sleeps(void *arg)
{
	weft_err err = weft_sleep_until(WEFT_FOREVER);

	*(bool *)arg = true;
	return err;
}

static weft_err fails(void *arg)
{
	(void)arg;
	return WEFT_EIO;
}

static weft_err spawns(weft_http_exchange *x, void *arg)
{
	weft_scope *scope = NULL, *again = NULL;

	want_ok(weft_http_exchange_scope(x, &scope));
	want_ok(weft_http_exchange_scope(x, &again));
	want(scope == again);
	want_ok(weft_scope_spawn(scope, "sleeps", sleeps, arg));
	want_ok(weft_scope_spawn(scope, "fails", fails, NULL));
	(void)weft_yield();
	return reply_hello(x, NULL);
}

BOTH_TEST(fibers_of_a_request_end_with_it_and_fail_alone)
{
	bool ended = false;
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", spawns, &ended);
	conn = httpd_connect(&h);
	for (int i = 0; i < 3; i++) {
		ended = false;
		ask(conn, GET, 200, "hello\n");
		want(ended);
	}
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- replies that must not wait for the next handler ---- */

struct stop_and_go {
	weft_chan *go;
};

static weft_err waits(weft_http_exchange *x, void *arg)
{
	struct stop_and_go *s = arg;
	int message;

	want_ok(weft_chan_recv(s->go, &message, WEFT_FOREVER));
	return reply_hello(x, NULL);
}

BOTH_TEST(a_reply_does_not_wait_for_the_next_handler)
{
	struct stop_and_go s;
	struct httpd h;
	weft_conn *conn;
	int message = 1;

	want_ok(weft_chan_create(&s.go, sizeof(int), 1, NULL));
	httpd_open(&h, NULL, false);
	/* holds the requests, but not the replies: they are sent in turns */
	h.pair_size = 128;
	httpd_route(&h, "GET", "/", reply_hello, NULL);
	httpd_route(&h, "GET", "/waits", waits, &s);
	conn = httpd_connect(&h);
	say(conn, GET GET "GET /waits HTTP/1.1\r\nHost: x\r\n\r\n" GET);
	hear_answer_is(conn, 200, "hello\n");
	hear_answer_is(conn, 200, "hello\n");
	want_ok(weft_chan_send(s.go, &message, WEFT_FOREVER));
	hear_answer_is(conn, 200, "hello\n");
	hear_answer_is(conn, 200, "hello\n");
	weft_conn_free(conn);
	httpd_close(&h);
	weft_chan_unref(s.go);
	return WEFT_OK;
}

/* ---- clients that vanish ---- */

static weft_err stream_much(weft_http_exchange *x, void *arg)
{
	static const char block[5000];
	weft_err err = weft_http_exchange_begin(x, 200, NULL, WEFT_FOREVER);

	(void)arg;
	for (int i = 0; i < 200 && !err; i++)
		err = weft_http_exchange_write(x, block, sizeof(block), WEFT_FOREVER);
	want(err == WEFT_OK || err == WEFT_ERESET || err == WEFT_ECLOSED);
	return err;
}

static const char *const beginnings[] = { "", "G", "GET / HTTP/1.1\r\n",
	"GET / HTTP/1.1\r\nHost: x\r\n", GET, POST "Content-Length: 10\r\n\r\n",
	POST "Content-Length: 10\r\n\r\nabc", CHUNKED, CHUNKED "5\r\nab",
	CHUNKED "2\r\nab\r\n0\r\n", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na",
	POST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\nGET" };

BOTH_TEST(clients_that_vanish_leave_nothing_behind)
{
	struct httpd h;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", stream_much, NULL);
	httpd_route(&h, "POST", "/", reply_echo, NULL);
	httpd_route(&h, "PUT", "/", reply_hello, NULL);
	for (size_t i = 0; i < 3 * sizeof(beginnings) / sizeof(beginnings[0]); i++) {
		weft_conn *conn = httpd_connect(&h);
		char c[100];
		size_t got;

		say(conn, beginnings[i / 3]);
		both_pause();
		if (i % 3 == 2 && i / 3 == 4)
			want_ok(weft_conn_read(conn, c, sizeof(c), &got, WEFT_FOREVER));
		if (i % 3 == 1)
			weft_conn_abort(conn);
		weft_conn_free(conn);
	}
	httpd_close(&h);
	return WEFT_OK;
}

BOTH_TEST(who_ends_its_half_still_gets_the_answer)
{
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", reply_hello, NULL);
	conn = httpd_connect(&h);
	say(conn, GET);
	want_ok(weft_conn_shutdown(conn));
	hear_answer_is(conn, 200, "hello\n");
	hear_end(conn);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- upgrade ---- */

static weft_err upgrades(weft_http_exchange *x, void *arg)
{
	weft_http_fields *fields = NULL;
	weft_conn *conn = NULL;
	weft_err err;

	(void)arg;
	want_ok(weft_http_fields_create(&fields));
	want_err(WEFT_EINVAL, weft_http_exchange_upgrade(x, fields, &conn, WEFT_FOREVER));
	want_ok(weft_http_fields_add(fields, "Upgrade", "shout"));
	err = weft_http_exchange_upgrade(x, fields, &conn, WEFT_FOREVER);
	weft_http_fields_free(fields);
	if (err)
		return reply_hello(x, NULL);
	want_err(WEFT_EINVAL, weft_http_exchange_reply(x, 200, NULL, NULL, 0, WEFT_FOREVER));
	err = weft_conn_copy(conn, conn, NULL, NULL, NULL, WEFT_FOREVER);
	weft_conn_free(conn);
	return err;
}

BOTH_TEST(an_upgrade_hands_the_connection_over_with_what_was_read)
{
	weft_http_server_stats stats;
	struct httpd h;
	weft_conn *conn;
	char rest[64];

	httpd_open(&h, NULL, true);
	httpd_route(&h, "*", "/", upgrades, NULL);
	conn = httpd_connect(&h);
	ask(conn, POST "Content-Length: 3\r\n\r\nabc", 200, "hello\n");
	/* who has not asked for it takes what comes for the next response */
	ask(conn, GET, 200, "hello\n");
	ask(conn, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: shout\r\n\r\n", 200, "hello\n");
	say(conn,
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: shout\r\nConnection: upgrade\r\n\r\n"
		"early, ");
	hear(conn,
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: shout\r\n"
		"\r\nearly, ");
	weft_http_server_stats_get(h.server, &stats);
	want(stats.connections_now == 1 && stats.replies[1] == 1);
	say(conn, "late");
	want_ok(weft_conn_shutdown(conn));
	want_err(WEFT_ECLOSED, hear_all(conn, rest, sizeof(rest)));
	want(strcmp(rest, "late") == 0);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- the access log ---- */

struct lines {
	struct rt_lock lock; /* over text */
	struct word count;
	char text[4000];
};

static void note_access(void *user, const weft_http_access *access)
{
	struct lines *lines = user;
	char *text = lines->text;

	rt_lock_acquire(&lines->lock);
	snprintf(text + strlen(text), 4000 - strlen(text), "%s %s %s %s %s %u %u %llu %llu %s%s|",
		access->method, access->target, access->host, access->referer, access->agent,
		access->version, access->status, (unsigned long long)access->bytes_in,
		(unsigned long long)access->bytes_out, weft_err_name(access->err),
		strstr(access->peer, "://") ? "" : " no peer");
	rt_lock_release(&lines->lock);
	(void)word_swap(&lines->count, word_get(&lines->count) + 1);
	want(access->duration_ns >= 0 && access->time_s > 0);
}

BOTH_TEST(each_exchange_has_its_line_in_the_access_log)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	static const char expected[] =
		"GET /?q h r a b 11 200 0 6 WEFT_OK|POST / x   11 200 3 3 WEFT_OK|"
		"GET /none x   11 404 0 14 WEFT_OK|     0 400 0 16 WEFT_EPROTO|"
		"GET /half x   11 200 0 4 WEFT_EIO|";
	struct lines *lines = calloc(1, sizeof(*lines));
	struct httpd h;
	weft_conn *conn;

	want(lines != NULL);
	options.access = note_access;
	options.user = lines;
	httpd_open(&h, &options, true);
	httpd_route(&h, "GET", "/", reply_hello, NULL);
	httpd_route(&h, "POST", "/", reply_echo, NULL);
	httpd_route(&h, "GET", "/half", fail_after_write, NULL);
	conn = httpd_connect(&h);
	ask(conn, "GET /?q HTTP/1.1\r\nHost: h\r\nReferer: r\r\nUser-Agent: a b\r\n\r\n", 200,
		NULL);
	ask(conn, POST "Content-Length: 3\r\n\r\nabc", 200, "abc");
	ask(conn, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n", 404, NULL);
	say(conn, "nonsense\r\n\r\n");
	hear_answer_is(conn, 400, NULL);
	hear_end(conn);
	weft_conn_free(conn);
	conn = httpd_connect(&h);
	say(conn, "GET /half HTTP/1.1\r\nHost: x\r\n\r\n");
	while (word_get(&lines->count) < 5)
		(void)weft_yield();
	weft_conn_free(conn);
	httpd_close(&h);
	rt_lock_acquire(&lines->lock);
	if (strcmp(lines->text, expected) != 0)
		fprintf(stderr, "%s\n", lines->text);
	want(strcmp(lines->text, expected) == 0);
	rt_lock_release(&lines->lock);
	free(lines);
	return WEFT_OK;
}

static void http_body_tests(TCase *tc)
{
	both_add(tc, bodies_are_read_in_small_pieces);
	both_add(tc, bodies_are_read_in_large_pieces);
	both_add(tc, a_body_is_read_whole);
	both_add(tc, a_body_over_the_limit_is_refused);
	both_add(tc, broken_chunks_are_refused);
	both_add(tc, a_body_left_unread_is_dropped_or_ends_the_connection);
	both_add(tc, a_response_in_parts_has_chunks_and_trailers);
	both_add(tc, a_length_that_was_promised_is_kept_or_the_connection_is_cut);
	both_add(tc, a_handler_that_fails_is_500_or_a_cut);
	both_add(tc, fibers_of_a_request_end_with_it_and_fail_alone);
	both_add(tc, a_reply_does_not_wait_for_the_next_handler);
	both_add(tc, clients_that_vanish_leave_nothing_behind);
	both_add(tc, who_ends_its_half_still_gets_the_answer);
	both_add(tc, an_upgrade_hands_the_connection_over_with_what_was_read);
	both_add(tc, each_exchange_has_its_line_in_the_access_log);
}
T_SUITE("same_http_server_body", http_body_tests)
