/* SPDX-License-Identifier: MIT */
/* CONNECT: what is asked, and every answer that a proxy may give. */
#include "http/proxy.h"
#include "support/both.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOON weft_after_ms(20000)

/* The proxy's end of the conn. */
struct fake {
	weft_conn *conn;
	const char *reply;
	size_t pieces;	    /* bytes of the reply at once; 0: all */
	bool ends;	    /* after the reply */
	char request[1024]; /* what came */
};

static weft_err fake_fiber(void *arg)
{
	struct fake *f = arg;
	size_t len = 0, got, left = strlen(f->reply);

	do {
		want_ok(weft_conn_read_line(
			f->conn, f->request + len, sizeof(f->request) - len, &got, SOON));
		len += got;
	} while (got != 2);
	for (const char *at = f->reply; left > 0;) {
		size_t n = f->pieces && f->pieces < left ? f->pieces : left;

		if (weft_conn_write(f->conn, at, n, NULL, SOON))
			break;
		at += n;
		left -= n;
		(void)weft_yield();
	}
	if (f->ends)
		weft_conn_close(f->conn);
	return WEFT_OK;
}

static weft_err try_connect(struct fake *f, const char *proxy_text, const char *url_text)
{
	weft_conn *ends[2];
	weft_fiber *fiber;
	struct proxy proxy;
	weft_http_url url;
	weft_err err;

	want_ok(weft_conn_pair(ends, 64));
	want_ok(proxy_parse(&proxy, proxy_text));
	want_ok(weft_http_url_parse(&url, url_text));
	f->conn = ends[1];
	want_ok(weft_spawn(&fiber, "proxy", fake_fiber, f));
	err = proxy_connect(ends[0], &proxy, &url, "weft/1", SOON);
	weft_conn_close(ends[0]);
	want_ok(weft_fiber_join(fiber, NULL, SOON));
	weft_http_url_fini(&url);
	proxy_fini(&proxy);
	weft_conn_free(ends[0]);
	weft_conn_free(ends[1]);
	return err;
}

BOTH_TEST(a_tunnel_is_asked_for_as_rfc_9110_says)
{
	struct fake plain = { .reply = "HTTP/1.1 200 OK\r\n\r\n" };
	struct fake six = { .reply = "HTTP/1.1 200 OK\r\n\r\n" };

	want_ok(try_connect(&plain, "http://u:p@proxy:3128", "https://example.org/x?y"));
	want(strcmp(plain.request,
		     "CONNECT example.org:443 HTTP/1.1\r\n"
		     "Host: example.org:443\r\n"
		     "User-Agent: weft/1\r\n"
		     "Proxy-Authorization: Basic dTpw\r\n\r\n") == 0);
	want_ok(try_connect(&six, "proxy", "https://[::1]:8443/"));
	want(strcmp(six.request,
		     "CONNECT [::1]:8443 HTTP/1.1\r\n"
		     "Host: [::1]:8443\r\n"
		     "User-Agent: weft/1\r\n\r\n") == 0);
	return WEFT_OK;
}

struct answer {
	const char *reply;
	bool ends;
	weft_err err;
	const char *named; /* in the message */
};

static const struct answer answers[] = {
	{ "HTTP/1.1 200 Connection established\r\n\r\n", false, WEFT_OK, NULL },
	{ "HTTP/1.0 200\r\n\r\n", false, WEFT_OK, NULL },
	{ "HTTP/1.1 204 No\r\nX: y\r\n\r\n", false, WEFT_OK, NULL },
	/* of no meaning here (RFC 9110, section 9.3.6) */
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, WEFT_OK, NULL },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, WEFT_OK, NULL },
	{ "HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", false, WEFT_OK, NULL },
	{ "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno", false, WEFT_EAUTH, "407" },
	{ "HTTP/1.1 502 Bad\r\n\r\nx", false, WEFT_EREFUSED, "502 (Bad Gateway)" },
	{ "HTTP/1.1 302 X\r\nLocation: /\r\n\r\n", false, WEFT_EREFUSED, "302" },
	{ "HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false, WEFT_EREFUSED,
		"101" },
	{ "HTTP/1.1 200 OK\r\n\r\nx", false, WEFT_EPROTO, "bytes follow" },
	{ "SSH-2.0-x\r\n", false, WEFT_EPROTO, "proxy:1" },
	{ "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", false, WEFT_EPROTO, "example.org:443" },
	{ "", true, WEFT_ERESET, "ended" },
	{ "HTTP/1.1 200 OK\r\n", true, WEFT_ERESET, "ended" },
};

BOTH_TEST(every_answer_is_understood_whole_and_in_pieces)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		for (size_t pieces = 0; pieces < 3; pieces++) {
			struct fake f = {
				.reply = answers[i].reply, .ends = answers[i].ends, .pieces = pieces
			};

			/* what follows the reply is seen only with it */
			if (pieces && answers[i].named && !strcmp(answers[i].named, "bytes follow"))
				continue;
			want_err(
				answers[i].err, try_connect(&f, "proxy:1", "https://example.org/"));
			if (answers[i].named)
				want(strstr(weft_error_detail(), answers[i].named));
		}
	}
	return WEFT_OK;
}

BOTH_TEST(a_reply_is_bounded)
{
	static const char line[] = "HTTP/1.1 200 OK\r\nX: ", early[] = "HTTP/1.1 103 E\r\n\r\n";
	char *reply = calloc(1, PROXY_REPLY_MAX + 100);
	struct fake f = { .reply = reply };

	want(reply);
	memset(reply, 'x', PROXY_REPLY_MAX + 90);
	memcpy(reply, line, sizeof(line) - 1);
	want_err(WEFT_EMSGSIZE, try_connect(&f, "proxy:1", "https://example.org/"));
	*reply = '\0';
	for (int i = 0; i <= PROXY_INTERIM_MAX; i++)
		strcat(reply, early);
	strcat(reply, "HTTP/1.1 200 OK\r\n\r\n");
	want_err(WEFT_EPROTO, try_connect(&f, "proxy:1", "https://example.org/"));
	want(strstr(weft_error_detail(), "interim"));
	free(reply);
	return WEFT_OK;
}

BOTH_TEST(a_silent_proxy_is_given_up_in_time)
{
	weft_conn *ends[2];
	struct proxy proxy;
	weft_http_url url;

	want_ok(weft_conn_pair(ends, 0));
	want_ok(proxy_parse(&proxy, "proxy"));
	want_ok(weft_http_url_parse(&url, "https://example.org"));
	want_err(WEFT_ETIMEDOUT, proxy_connect(ends[0], &proxy, &url, NULL, weft_after_ms(20)));
	want(strstr(weft_error_detail(), "proxy proxy: CONNECT example.org:443"));
	weft_http_url_fini(&url);
	proxy_fini(&proxy);
	weft_conn_free(ends[0]);
	weft_conn_free(ends[1]);
	return WEFT_OK;
}

static void proxy_connect_tests(TCase *tc)
{
	both_add(tc, a_tunnel_is_asked_for_as_rfc_9110_says);
	both_add(tc, every_answer_is_understood_whole_and_in_pieces);
	both_add(tc, a_reply_is_bounded);
	both_add(tc, a_silent_proxy_is_given_up_in_time);
}
T_SUITE("proxy_connect", proxy_connect_tests)
