/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=240 */
/* TLS over memory and over sockets, both versions. */
#include "support/ends.h"

struct tls_ends {
	weft_tls *client_tls, *server_tls;
	weft_conn *lower[2];
	weft_conn *client, *server;
	weft_tls_version version;
	weft_err accept_err;
	char accept_text[512];
	const char *host;
};

static weft_tls_pem pem;

static weft_err accept_fiber(void *arg)
{
	struct tls_ends *e = arg;
	weft_conn *lower = e->lower[1];

	e->lower[1] = NULL;
	e->accept_err = weft_tls_accept_own(&e->server, e->server_tls, lower, SOON);
	if (e->accept_err)
		snprintf(e->accept_text, sizeof(e->accept_text), "%s", weft_error_detail());
	return WEFT_OK;
}

static void configure(struct tls_ends *e)
{
	weft_tls_client_options client = WEFT_TLS_CLIENT_OPTIONS_DEFAULT;
	weft_tls_server_options server = WEFT_TLS_SERVER_OPTIONS_DEFAULT;
	weft_tls_cert cert = { NULL, NULL, pem.cert_pem, pem.key_pem };

	client.ca_pem = pem.cert_pem;
	client.version_max = e->version;
	server.certs = &cert;
	server.cert_count = 1;
	OK(weft_tls_client_create(&e->client_tls, &client));
	OK(weft_tls_server_create(&e->server_tls, &server));
}

static void tls_open(struct tls_ends *e)
{
	weft_conn *lower = e->lower[0];
	weft_fiber *fiber = spawn(accept_fiber, e);

	e->lower[0] = NULL;
	OK(weft_tls_connect_own(
		&e->client, e->client_tls, lower, e->host ? e->host : "localhost", SOON));
	join(fiber);
	ck_assert_msg(!e->accept_err, "%s", e->accept_text);
}

static void echo_body(struct ends *ends)
{
	for (int v = WEFT_TLS_1_2; v <= WEFT_TLS_1_3; v++) {
		struct tls_ends e = { .version = (weft_tls_version)v };
		struct stream s = { .bytes = 300000 };
		weft_fiber *echo, *writer;
		weft_tls_info info;

		if (ends->kind->make == make_small_memory)
			s.bytes = 30000;
		if (v == WEFT_TLS_1_2) {
			e.lower[0] = ends->a;
			e.lower[1] = ends->b;
			ends->a = ends->b = NULL;
		} else {
			OK(ends->kind->make(e.lower));
		}
		configure(&e);
		tls_open(&e);
		OK(weft_tls_info_get(e.client, &info));
		ck_assert_str_eq(info.version, v == WEFT_TLS_1_2 ? "TLSv1.2" : "TLSv1.3");
		ck_assert(info.verified);
		echo = spawn(echo_fiber, e.server);
		s.conn = e.client;
		writer = spawn(write_fiber, &s);
		uint8_t *data = malloc(s.bytes);
		OK(weft_conn_read_full(e.client, data, s.bytes, NULL, SOON));
		ck_assert(matches(data, s.bytes, 0));
		free(data);
		join(writer);
		OK(s.err);
		OK(weft_conn_shutdown(e.client));
		read_all(e.client, 0, 100);
		join(echo);
		weft_conn_free(e.client);
		weft_conn_free(e.server);
		weft_tls_unref(e.client_tls);
		weft_tls_unref(e.server_tls);
	}
}

START_TEST(tls_carries_bytes_both_ways_and_half_closes)
{
	OK(weft_tls_self_signed(&pem, NULL));
	run_over(_i, echo_body);
	weft_tls_pem_fini(&pem);
}
END_TEST

static void tls_tests(TCase *tc)
{
	t_add_loop(tc, tls_carries_bytes_both_ways_and_half_closes, 0, KINDS);
}

T_SUITE("tls", tls_tests)
