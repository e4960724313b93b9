/* SPDX-License-Identifier: MIT */
/* A server that speaks TLS: its answers, and handshakes that are slow, or that a stop meets. */
#include "support/httpd.h"

#include <string.h>

#define GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

/* A server's and a client's configuration; false: the build has no TLS. */
static bool tls_make(weft_tls **server_tls, weft_tls **client_tls)
{
	weft_tls_server_options server = WEFT_TLS_SERVER_OPTIONS_DEFAULT;
	weft_tls_client_options client = WEFT_TLS_CLIENT_OPTIONS_DEFAULT;
	weft_tls_pem pem = { NULL, NULL, "" };
	weft_tls_cert cert = { NULL, NULL, NULL, NULL };

	if (weft_tls_self_signed(&pem, NULL) == WEFT_ENOSYS)
		return false;
	cert.cert_pem = pem.cert_pem;
	cert.key_pem = pem.key_pem;
	server.certs = &cert;
	server.cert_count = 1;
	client.ca_pem = pem.cert_pem;
	want_ok(weft_tls_server_create(server_tls, &server));
	want_ok(weft_tls_client_create(client_tls, &client));
	weft_tls_pem_fini(&pem);
	return true;
}

static weft_err tls_main(void *arg)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	weft_tls *client_tls = NULL;
	struct answer answer;
	struct httpd h;
	weft_conn *conn;

	(void)arg;
	if (!tls_make(&options.tls, &client_tls))
		return WEFT_OK;
	httpd_open(&h, &options, true);
	weft_tls_unref(options.tls);
	httpd_route(&h, "GET", "/", reply_hello, NULL);
	httpd_route(&h, "POST", "/", reply_echo, NULL);
	httpd_route(&h, "GET", "/parts", reply_parts, NULL);
	conn = httpd_connect(&h);
	want_ok(weft_tls_connect_own(&conn, client_tls, conn, "localhost", WEFT_FOREVER));
	for (int i = 0; i < 3; i++)
		ask(conn, GET, 200, "hello\n");
	ask(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 200, "abc");
	say(conn, GET GET "GET /parts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	hear_answer_is(conn, 200, "hello\n");
	hear_answer_is(conn, 200, "hello\n");
	hear_head(conn, &answer);
	hear(conn, "5\r\none, \r\n5\r\ntwo, \r\n6\r\nthree\n\r\n0\r\n\r\n");
	hear_end(conn);
	weft_conn_free(conn);
	/* who speaks something else, and who goes in the middle */
	conn = httpd_connect(&h);
	say(conn, GET GET GET GET GET GET GET GET);
	want(hear_all(conn, answer.body, sizeof(answer.body)) != WEFT_OK);
	weft_conn_free(conn);
	conn = httpd_connect(&h);
	weft_conn_free(conn);
	httpd_close(&h);
	weft_tls_unref(client_tls);
	return WEFT_OK;
}

START_TEST(tls_is_spoken_where_it_is_asked_for)
{
	both_run_epoll(tls_main);
}
END_TEST

/* Deadlines far away: who waited for one of them would not end here. */
static weft_err tls_stop_main(void *arg)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	weft_tls *client_tls = NULL;
	weft_http_server_stats stats;
	struct httpd h;
	weft_conn *conns[3];
	char all[64];

	options.header_timeout_ns = options.stop_timeout_ns = INT64_C(3600) * 1000000000;
	if (!tls_make(&options.tls, &client_tls))
		return WEFT_OK;
	httpd_open(&h, &options, *(const bool *)arg);
	weft_tls_unref(options.tls);
	for (int i = 0; i < 3; i++)
		conns[i] = httpd_connect(&h);
	/* one says nothing, one a part of its hello, one is done */
	want_ok(weft_conn_write(conns[1], "\x16\x03\x01\x02", 4, NULL, WEFT_FOREVER));
	want_ok(weft_tls_connect_own(&conns[2], client_tls, conns[2], "localhost", WEFT_FOREVER));
	do {
		both_pause();
		weft_http_server_stats_get(h.server, &stats);
	} while (stats.connections_now < 3);
	weft_http_server_stop(h.server);
	want_ok(weft_http_server_wait(h.server, WEFT_FOREVER));
	for (int i = 0; i < 3; i++) {
		want(hear_all(conns[i], all, sizeof(all)) != WEFT_OK);
		weft_conn_free(conns[i]);
	}
	weft_http_server_stats_get(h.server, &stats);
	want(stats.connections_cut == 0);
	httpd_close(&h);
	weft_tls_unref(client_tls);
	return WEFT_OK;
}

static weft_err tls_stop_listener_main(void *arg)
{
	bool listens = true;

	(void)arg;
	return tls_stop_main(&listens);
}

static weft_err tls_stop_handed_in_main(void *arg)
{
	bool listens = false;

	(void)arg;
	return tls_stop_main(&listens);
}

START_TEST(a_stop_does_not_wait_for_handshakes)
{
	both_run_epoll(tls_stop_listener_main);
	both_run_epoll(tls_stop_handed_in_main);
}
END_TEST

static weft_err tls_slow_main(void *arg)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	weft_deadline began = weft_now();
	weft_tls *client_tls = NULL;
	struct httpd h;
	weft_conn *conn;
	char all[64];

	(void)arg;
	if (!tls_make(&options.tls, &client_tls))
		return WEFT_OK;
	httpd_open(&h, &options, true);
	weft_tls_unref(options.tls);
	conn = httpd_connect(&h);
	both_sleep_ns(INT64_C(6000000000));
	want_ok(weft_tls_connect_own(&conn, client_tls, conn, "localhost", WEFT_FOREVER));
	want(hear_all(conn, all, sizeof(all)) != WEFT_OK);
	want(weft_now() - began > INT64_C(9900000000));
	want(weft_now() - began < INT64_C(10500000000));
	weft_conn_free(conn);
	httpd_close(&h);
	weft_tls_unref(client_tls);
	return WEFT_OK;
}

/* Once: keys differ from run to run. */
START_TEST(a_handshake_takes_its_time_from_the_first_request)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;

	want_ok(weft_sim_run(tls_slow_main, NULL, &options, NULL));
}
END_TEST

static void http_tls_tests(TCase *tc)
{
	t_add(tc, tls_is_spoken_where_it_is_asked_for);
	t_add(tc, a_stop_does_not_wait_for_handshakes);
	t_add(tc, a_handshake_takes_its_time_from_the_first_request);
}
T_SUITE("same_http_server_tls", http_tls_tests)
