/* SPDX-License-Identifier: MIT */
/* The HTTP server as its clients see it: over memory, over the loopback and simulated. */
#include "support/httpd.h"

#include <string.h>

#define OK_HEAD "HTTP/1.1 200 OK\r\n"

BOTH_TEST(a_get_is_answered)
{
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, false);
	httpd_route(&h, "GET", "/hello", reply_hello, NULL);
	conn = httpd_connect(&h);
	say(conn, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(conn,
		OK_HEAD "Content-Length: 6\r\nDate: \x01\r\n"
			"Content-Type: text/plain; charset=utf-8\r\n\r\nhello\n");
	ask(conn, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200, "hello\n");
	ask(conn, "GET /other HTTP/1.1\r\nHost: x\r\n\r\n", 404, "404 Not Found\n");
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

BOTH_TEST(a_post_is_echoed)
{
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "POST", "/echo", reply_echo, NULL);
	conn = httpd_connect(&h);
	ask(conn, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345", 200, "12345");
	ask(conn,
		"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
		200, "abcdefg");
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

static void http_server_tests(TCase *tc)
{
	both_add(tc, a_get_is_answered);
	both_add(tc, a_post_is_echoed);
}
T_SUITE("same_http_server", http_server_tests)
