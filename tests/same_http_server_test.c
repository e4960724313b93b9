/* SPDX-License-Identifier: MIT */
/* The HTTP server as its clients see it, over the loopback, in memory, and simulated: requests
 * and responses. Bodies, streams, ends and times have suites of their own. */
#include "support/httpd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OK_HEAD "HTTP/1.1 200 OK\r\n"
#define TEXT "Content-Type: text/plain; charset=utf-8\r\n"
#define HELLO OK_HEAD "Content-Length: 6\r\nDate: \x01\r\n" TEXT "\r\nhello\n"
#define HELLO_CLOSE \
	OK_HEAD "Content-Length: 6\r\nConnection: close\r\nDate: \x01\r\n" TEXT "\r\nhello\n"
static char param_n[] = "n", field_long[] = "x-long";

#define GET "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"

BOTH_TEST(a_get_is_answered_and_the_connection_stays)
{
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/hello", reply_hello, NULL);
	conn = httpd_connect(&h);
	for (int i = 0; i < 3; i++) {
		say(conn, GET);
		hear(conn, HELLO);
	}
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

BOTH_TEST(any_transport_serves)
{
	char address[64];
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, false);
	httpd_route(&h, "GET", "/hello", reply_hello, NULL);
	conn = httpd_connect(&h);
	ask(conn, GET, 200, "hello\n");
	weft_conn_free(conn);
	h.pair_size = 7;
	conn = httpd_connect(&h);
	ask(conn, GET, 200, "hello\n");
	weft_conn_free(conn);
	snprintf(address, sizeof(address), "unix:@weft-http-%llu",
		(unsigned long long)both_random(UINT32_MAX));
	want_ok(weft_listen(&h.listener, address, NULL, WEFT_FOREVER));
	/* it runs already by the others */
	want_err(WEFT_EDUPLICATE, weft_http_server_start(h.server, h.listener));
	httpd_serve(&h);
	conn = httpd_connect(&h);
	ask(conn, GET, 200, "hello\n");
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

BOTH_TEST(sixteen_requests_in_a_row_are_answered_in_order_by_few_writes)
{
	weft_http_server_stats stats;
	char request[2048] = "";
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, false);
	httpd_route(&h, "GET", "/n/{n}", reply_param, param_n);
	conn = httpd_connect(&h);
	for (int i = 0; i < 16; i++)
		snprintf(request + strlen(request), 64, "GET /n/%d HTTP/1.1\r\nHost: x\r\n\r\n", i);
	say(conn, request);
	for (int i = 0; i < 16; i++) {
		struct answer answer;

		hear_answer(conn, &answer);
		want(answer.status == 200 && atoi(answer.body) == i);
	}
	weft_http_server_stats_get(h.server, &stats);
	want(stats.requests == 16 && stats.replies[2] == 16);
	want(stats.writes <= 2);
	want(stats.reads <= 3);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

BOTH_TEST(requests_may_come_byte_by_byte)
{
	static const char requests[] = GET "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
					   "\r\nabcPOST /echo HTTP/1.1\r\nHost: x\r\n"
					   "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nde\r\n1\r\n"
					   "f\r\n0\r\nA: b\r\n\r\n" GET;
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, false);
	httpd_route(&h, "GET", "/hello", reply_hello, NULL);
	httpd_route(&h, "POST", "/echo", reply_echo, NULL);
	conn = httpd_connect(&h);
	for (size_t i = 0; i < sizeof(requests) - 1; i++) {
		want_ok(weft_conn_write(conn, requests + i, 1, NULL, WEFT_FOREVER));
		(void)weft_yield();
	}
	hear(conn, HELLO);
	hear(conn, OK_HEAD "Content-Length: 3\r\nDate: \x01\r\n\r\nabc");
	hear(conn, OK_HEAD "Content-Length: 3\r\nDate: \x01\r\n\r\ndef");
	hear(conn, HELLO);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

BOTH_TEST(large_heads_and_many_requests_move_through_buffers)
{
	static char request[60000];
	struct answer answer;
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/field", reply_field, field_long);
	conn = httpd_connect(&h);
	for (size_t size = 10; size < sizeof(request); size = size * 3 + 1) {
		size_t n = (size_t)snprintf(
			request, sizeof(request), "GET /field HTTP/1.1\r\nHost: x\r\nX-Long: ");

		memset(request + n, 'v', size - 10);
		memcpy(request + n + size - 10, "END\r\n\r\n", 8);
		say(conn, request);
		hear_answer(conn, &answer);
		want(answer.status == 200);
		want((size_t)atoi(answer.body) == size - 10 + 3);
	}
	/* two large ones at once */
	say(conn, request);
	say(conn, request);
	hear_answer(conn, &answer);
	hear_answer(conn, &answer);
	want(answer.status == 200);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

BOTH_TEST(head_is_answered_without_a_body)
{
	struct answer answer;
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/hello", reply_hello, NULL);
	httpd_route(&h, "GET", "/parts", reply_parts, NULL);
	conn = httpd_connect(&h);
	say(conn, "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	hear_head(conn, &answer);
	want(answer.status == 200 && has_line(&answer, "Content-Length: 6"));
	say(conn, "HEAD /parts HTTP/1.1\r\nHost: x\r\n\r\n");
	hear_head(conn, &answer);
	want(answer.status == 200);
	ask(conn, GET, 200, "hello\n");
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

static weft_err reply_status_only(weft_http_exchange *x, void *arg)
{
	unsigned status = (unsigned)atoi(weft_http_exchange_param(x, "status"));

	(void)arg;
	return weft_http_exchange_reply(x, status, NULL, "body\n", 5, WEFT_FOREVER);
}

BOTH_TEST(statuses_without_a_body_have_none)
{
	struct answer answer;
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/{status}", reply_status_only, NULL);
	conn = httpd_connect(&h);
	say(conn, "GET /204 HTTP/1.1\r\nHost: x\r\n\r\n");
	hear_head(conn, &answer);
	want(answer.status == 204 && !strstr(answer.head, "Content-Length"));
	say(conn, "GET /304 HTTP/1.1\r\nHost: x\r\n\r\n");
	hear_head(conn, &answer);
	want(answer.status == 304 && has_line(&answer, "Content-Length: 5"));
	ask(conn, "GET /205 HTTP/1.1\r\nHost: x\r\n\r\n", 205, "");
	ask(conn, "GET /299 HTTP/1.1\r\nHost: x\r\n\r\n", 299, "body\n");
	/* no status of a response: the handler has not replied */
	ask(conn, "GET /99 HTTP/1.1\r\nHost: x\r\n\r\n", 500, NULL);
	ask(conn, "GET /600 HTTP/1.1\r\nHost: x\r\n\r\n", 500, NULL);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

BOTH_TEST(who_asks_for_close_gets_it)
{
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/hello", reply_hello, NULL);
	conn = httpd_connect(&h);
	say(conn, GET "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" GET);
	hear(conn, HELLO HELLO_CLOSE);
	hear_end(conn);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

BOTH_TEST(http_1_0_closes_unless_asked_to_stay)
{
	struct answer answer;
	struct httpd h;
	weft_conn *conn;
	char rest[64];

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/hello", reply_hello, NULL);
	httpd_route(&h, "GET", "/parts", reply_parts, NULL);
	conn = httpd_connect(&h);
	say(conn, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	hear_answer(conn, &answer);
	want(answer.status == 200 && has_line(&answer, "Connection: keep-alive"));
	/* the length is not known, and there are no chunks: the end ends it */
	say(conn, "GET /parts HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	hear_head(conn, &answer);
	want(has_line(&answer, "Connection: close") && !strstr(answer.head, "chunked"));
	want_err(WEFT_ECLOSED, hear_all(conn, rest, sizeof(rest)));
	want(strcmp(rest, "one, two, three\n") == 0);
	weft_conn_free(conn);
	conn = httpd_connect(&h);
	say(conn, "GET /hello HTTP/1.0\r\n\r\n");
	hear_answer(conn, &answer);
	want(answer.status == 200);
	hear_end(conn);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

BOTH_TEST(unknown_paths_and_methods_are_told_apart)
{
	struct answer answer;
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/hello", reply_hello, NULL);
	httpd_route(&h, "DELETE", "/hello", reply_hello, NULL);
	conn = httpd_connect(&h);
	ask(conn, "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, "404 Not Found\n");
	say(conn, "PUT /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	hear_answer(conn, &answer);
	want(answer.status == 405 && has_line(&answer, "Allow: GET, HEAD, DELETE, OPTIONS"));
	say(conn, "OPTIONS /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	hear_answer(conn, &answer);
	want(answer.status == 204 && has_line(&answer, "Allow: GET, HEAD, DELETE, OPTIONS"));
	ask(conn, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 204, "");
	ask(conn, "OPTIONS /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, NULL);
	ask(conn, GET, 200, "hello\n");
	ask(conn, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501, NULL);
	hear_end(conn);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* Everything that a handler may ask, in one line. */
static weft_err reply_all_about_it(weft_http_exchange *x, void *arg)
{
	const weft_http_fields *fields = weft_http_exchange_fields(x);
	const char *query = weft_http_exchange_query(x),
		   *a = weft_http_exchange_query_param(x, "a"),
		   *b = weft_http_exchange_query_param(x, "b c"),
		   *field = weft_http_exchange_field(x, "X-Own");
	char text[512];

	(void)arg;
	want(fields && weft_http_exchange_fields(x) == fields);
	want(weft_http_exchange_server(x) && weft_http_exchange_conn(x));
	want(strstr(weft_http_exchange_peer(x), "://"));
	want(strstr(weft_http_exchange_local(x), "://"));
	want(!weft_http_exchange_param(x, "nothing"));
	want(!weft_http_exchange_field(x, "X-Nothing"));
	snprintf(text, sizeof(text), "%s %s %s %s p=%s a=%s b=%s %u host=%s own=%s fields=%zu",
		weft_http_exchange_method(x), weft_http_exchange_target(x),
		weft_http_exchange_path(x), query ? query : "-", weft_http_exchange_param(x, "p"),
		a ? a : "-", b ? b : "-", weft_http_exchange_version(x), weft_http_exchange_host(x),
		field ? field : "-", weft_http_fields_count(fields));
	return weft_http_exchange_reply_text(x, 200, text, WEFT_FOREVER);
}

BOTH_TEST(a_handler_learns_all_of_the_request)
{
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/about/{p}/it", reply_all_about_it, NULL);
	conn = httpd_connect(&h);
	ask(conn, "GET /about/x%20%2f/it HTTP/1.1\r\nHost: h:81\r\nX-Own:  v \r\n\r\n", 200,
		"GET /about/x%20%2f/it /about/x%20%2f/it - p=x / a=- b=- 11 host=h:81 own=v "
		"fields=2");
	ask(conn, "GET /about/q/it?z&a=1%2b+2&b%20c=3&a=4 HTTP/1.1\r\nHost: h\r\n\r\n", 200,
		"GET /about/q/it?z&a=1%2b+2&b%20c=3&a=4 /about/q/it z&a=1%2b+2&b%20c=3&a=4 p=q "
		"a=1+ 2 b=3 11 host=h own=- fields=1");
	ask(conn, "GET http://other:8/about/q/it?a HTTP/1.1\r\nHost: h\r\n\r\n", 200,
		"GET http://other:8/about/q/it?a /about/q/it a p=q a= b=- 11 host=other:8 own=- "
		"fields=1");
	ask(conn, "GET /about/q/it HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200,
		"GET /about/q/it /about/q/it - p=q a=- b=- 10 host= own=- fields=1");
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* Each must be refused with that status, and the connection closed. */
static const struct {
	const char *request;
	unsigned status;
} refused[] = {
	{ "GET / HTTP/1.1\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400 },
	{ "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505 },
	{ "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\nHost: x\n\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: x\r\nA: b\r c\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		400 },
	{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400 },
	{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", 400 },
	{ "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400 },
	{ "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	{ "GET /../etc HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
	{ "GET /%2e%2e/etc HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
	{ "GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\n\r\n", 417 },
};

BOTH_TEST(what_is_malformed_or_smuggles_is_refused_and_closed)
{
	weft_http_server_stats stats;
	struct answer answer;
	struct httpd h;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "*", "/{all...}", reply_hello, NULL);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		weft_conn *conn = httpd_connect(&h);

		ask(conn, GET, 200, NULL);
		say(conn, refused[i].request);
		hear_answer(conn, &answer);
		if (answer.status != refused[i].status)
			fprintf(stderr, "%s: %s", refused[i].request, answer.head);
		want(answer.status == refused[i].status);
		want(has_line(&answer, "Connection: close"));
		hear_end(conn);
		weft_conn_free(conn);
	}
	weft_http_server_stats_get(h.server, &stats);
	want(stats.malformed >= 13);
	httpd_close(&h);
	return WEFT_OK;
}

BOTH_TEST(heads_over_a_limit_are_refused)
{
	static const char long_line[] = "GET /%0*d HTTP/1.1\r\nHost: x\r\n\r\n";
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	static char request[20000];
	struct answer answer;
	struct httpd h;
	weft_conn *conn;

	options.header_size_max = 2048;
	options.header_count_max = 3;
	httpd_open(&h, &options, true);
	httpd_route(&h, "GET", "/{all...}", reply_hello, NULL);
	conn = httpd_connect(&h);
	ask(conn, "GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\nB: 2\r\n\r\n", 200, NULL);
	ask(conn, "GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", 431, NULL);
	hear_end(conn);
	weft_conn_free(conn);
	conn = httpd_connect(&h);
	snprintf(request, sizeof(request), long_line, 1900, 0);
	ask(conn, request, 200, NULL);
	snprintf(request, sizeof(request), long_line, 2100, 0);
	ask(conn, request, 414, NULL);
	hear_end(conn);
	weft_conn_free(conn);
	conn = httpd_connect(&h);
	snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: x\r\nA: %010000d\r\n\r\n", 0);
	say(conn, request);
	hear_answer(conn, &answer);
	want(answer.status == 431);
	hear_end(conn);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

BOTH_TEST(a_connection_has_so_many_requests_and_no_more)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	struct httpd h;
	weft_conn *conn;

	options.requests_max = 2;
	options.server_field = "weft";
	httpd_open(&h, &options, true);
	httpd_route(&h, "GET", "/hello", reply_hello, NULL);
	conn = httpd_connect(&h);
	say(conn, GET GET GET);
	hear(conn,
		OK_HEAD "Content-Length: 6\r\nDate: \x01\r\nServer: weft\r\n" TEXT "\r\nhello\n");
	hear(conn,
		OK_HEAD "Content-Length: 6\r\nConnection: close\r\nDate: \x01\r\n"
			"Server: weft\r\n" TEXT "\r\nhello\n");
	hear_end(conn);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- responses ---- */

static weft_err reply_with_fields(weft_http_exchange *x, void *arg)
{
	weft_http_fields *fields = NULL;
	weft_err err;

	(void)arg;
	want_ok(weft_http_fields_create(&fields));
	want_ok(weft_http_fields_add(fields, "X-One", "1"));
	want_ok(weft_http_fields_add(fields, "Connection", "upgrade"));
	want_err(WEFT_EINVAL, weft_http_exchange_reply(x, 200, fields, NULL, 0, WEFT_FOREVER));
	want(weft_http_fields_remove(fields, "connection") == 1);
	want_ok(weft_http_fields_add(fields, "Content-Length", "7"));
	want_err(WEFT_EINVAL, weft_http_exchange_reply(x, 200, fields, NULL, 0, WEFT_FOREVER));
	want(weft_http_fields_remove(fields, "content-length") == 1);
	want_ok(weft_http_fields_add(fields, "Date", "long ago"));
	want_err(WEFT_EINVAL, weft_http_exchange_write(x, "x", 1, WEFT_FOREVER));
	want_err(WEFT_EINVAL, weft_http_exchange_finish(x, NULL, WEFT_FOREVER));
	err = weft_http_exchange_reply(x, 201, fields, "made", 4, WEFT_FOREVER);
	want_err(WEFT_EINVAL, weft_http_exchange_reply(x, 200, NULL, NULL, 0, WEFT_FOREVER));
	want_err(WEFT_EINVAL, weft_http_exchange_begin(x, 200, NULL, WEFT_FOREVER));
	want_ok(weft_http_exchange_flush(x, WEFT_FOREVER));
	weft_http_fields_free(fields);
	return err;
}

BOTH_TEST(fields_are_the_handlers_but_for_the_framing)
{
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", reply_with_fields, NULL);
	conn = httpd_connect(&h);
	say(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(conn,
		"HTTP/1.1 201 Created\r\nContent-Length: 4\r\nX-One: 1\r\nDate: long ago\r\n\r\n"
		"made");
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

static weft_err reply_large_head(weft_http_exchange *x, void *arg)
{
	weft_http_fields *fields = NULL;
	static char value[3000];
	weft_err err;

	(void)arg;
	memset(value, 'v', sizeof(value) - 1);
	want_ok(weft_http_fields_create(&fields));
	for (int i = 0; i < 20; i++)
		want_ok(weft_http_fields_add(fields, "X-Large", value));
	err = weft_http_exchange_reply(x, 200, fields, "after", 5, WEFT_FOREVER);
	weft_http_fields_free(fields);
	return err;
}

BOTH_TEST(a_head_larger_than_the_buffer_goes_out)
{
	static char all[130000];
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", reply_large_head, NULL);
	conn = httpd_connect(&h);
	say(conn,
		"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: "
		"close\r\n\r\n");
	want_err(WEFT_ECLOSED, hear_all(conn, all, sizeof(all)));
	want(strlen(all) > 120000 && strcmp(all + strlen(all) - 5, "after") == 0);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

#define BIG ((size_t)300000)

static weft_err reply_big(weft_http_exchange *x, void *arg)
{
	uint8_t *data = malloc(BIG);
	weft_err err;

	(void)arg;
	want(data != NULL);
	for (size_t i = 0; i < BIG; i++)
		data[i] = (uint8_t)(i * 31 % 251);
	err = weft_http_exchange_reply(x, 200, NULL, data, BIG, WEFT_FOREVER);
	free(data);
	return err;
}

BOTH_TEST(a_large_body_arrives_whole)
{
	struct answer answer;
	uint8_t *data = malloc(BIG);
	struct httpd h;
	weft_conn *conn;

	want(data != NULL);
	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/big", reply_big, NULL);
	conn = httpd_connect(&h);
	say(conn, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	hear_head(conn, &answer);
	want(has_line(&answer, "Content-Length: 300000"));
	want_ok(weft_conn_read_full(conn, data, BIG, NULL, WEFT_FOREVER));
	for (size_t i = 0; i < BIG; i++)
		want(data[i] == (uint8_t)(i * 31 % 251));
	weft_conn_free(conn);
	httpd_close(&h);
	free(data);
	return WEFT_OK;
}

/* ---- Host and Origin ---- */

static void ask_guarded(weft_conn *conn, const char *host, const char *origin, unsigned status)
{
	char request[256];

	snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n", host,
		origin ? "Origin: " : "", origin ? origin : "", origin ? "\r\n" : "");
	ask(conn, request, status, NULL);
}

BOTH_TEST(hosts_and_origins_are_held_to_their_lists)
{
	static const char *const hosts[] = { "example.org", "other.example:8080", NULL };
	static const char *const origins[] = { "https://example.org", NULL };
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	struct httpd h;
	weft_conn *conn;

	options.hosts = hosts;
	options.origins = origins;
	httpd_open(&h, &options, true);
	httpd_route(&h, "GET", "/hello", reply_hello, NULL);
	conn = httpd_connect(&h);
	ask_guarded(conn, "example.org", NULL, 200);
	ask_guarded(conn, "EXAMPLE.org:81", "https://example.org", 200);
	ask_guarded(conn, "other.example:8080", "HTTPS://EXAMPLE.ORG", 200);
	ask_guarded(conn, "other.example", NULL, 403);
	ask_guarded(conn, "example.org.evil.example", NULL, 403);
	ask_guarded(conn, "localhost", NULL, 403);
	ask_guarded(conn, "example.org", "https://example.org.evil.example", 403);
	ask_guarded(conn, "example.org", "null", 403);
	ask_guarded(conn, "example.org", "https://example.org\r\nOrigin: https://x", 403);
	/* the target's authority counts, not Host */
	ask(conn, "GET http://evil.example/hello HTTP/1.1\r\nHost: example.org\r\n\r\n", 403, NULL);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

BOTH_TEST(on_loopback_only_its_names_are_taken_when_asked_for)
{
	static const char *const none[] = { NULL };
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	struct httpd h;
	weft_conn *conn;

	options.host_rule = WEFT_HTTP_HOST_LOOPBACK;
	options.origins = none;
	httpd_open(&h, &options, true);
	httpd_route(&h, "GET", "/hello", reply_hello, NULL);
	conn = httpd_connect(&h);
	ask_guarded(conn, "localhost", NULL, 200);
	ask_guarded(conn, "localhost:9", NULL, 200);
	ask_guarded(conn, "127.0.0.1:80", NULL, 200);
	ask_guarded(conn, "[::1]", NULL, 200);
	ask_guarded(conn, "[::1]:80", NULL, 200);
	ask_guarded(conn, "LocalHost", NULL, 200);
	ask_guarded(conn, "evil.example", NULL, 403);
	ask_guarded(conn, "127.0.0.1.evil.example", NULL, 403);
	ask_guarded(conn, "127.0.0.2", NULL, 403);
	ask_guarded(conn, "localhost", "http://localhost", 403);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

static void http_server_tests(TCase *tc)
{
	both_add(tc, a_get_is_answered_and_the_connection_stays);
	both_add(tc, any_transport_serves);
	both_add(tc, sixteen_requests_in_a_row_are_answered_in_order_by_few_writes);
	both_add(tc, requests_may_come_byte_by_byte);
	both_add(tc, large_heads_and_many_requests_move_through_buffers);
	both_add(tc, head_is_answered_without_a_body);
	both_add(tc, statuses_without_a_body_have_none);
	both_add(tc, who_asks_for_close_gets_it);
	both_add(tc, http_1_0_closes_unless_asked_to_stay);
	both_add(tc, unknown_paths_and_methods_are_told_apart);
	both_add(tc, a_handler_learns_all_of_the_request);
	both_add(tc, what_is_malformed_or_smuggles_is_refused_and_closed);
	both_add(tc, heads_over_a_limit_are_refused);
	both_add(tc, a_connection_has_so_many_requests_and_no_more);
	both_add(tc, fields_are_the_handlers_but_for_the_framing);
	both_add(tc, a_head_larger_than_the_buffer_goes_out);
	both_add(tc, a_large_body_arrives_whole);
	both_add(tc, hosts_and_origins_are_held_to_their_lists);
	both_add(tc, on_loopback_only_its_names_are_taken_when_asked_for);
}
T_SUITE("same_http_server", http_server_tests)
