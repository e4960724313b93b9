/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=120 */
/* Who is let in, who is refused, and what is said of it. */
#define _GNU_SOURCE
#include "support/tlsends.h"

static const char *const localhost[] = { "localhost", NULL };

/* A server with this certificate; what the client says of it. */
static void refused(struct tls_pair_ends *e, const struct cert *cert, const char *part)
{
	e->cert = (weft_tls_cert){ NULL, NULL, cert->cert_pem, cert->key_pem };
	tls_try(e);
	ck_assert_int_eq(e->connect_err, WEFT_ETLS);
	HAS(e->connect_text, part);
	ck_assert_ptr_null(e->client);
	/* in TLS 1.3 and in 1.2 the server waits for the client's part, and is told */
	ck_assert_int_eq(e->accept_err, WEFT_ETLS);
	HAS(e->accept_text, "client does not accept our certificate");
	tls_fini(e);
}

TLS_TEST(tls_an_expired_certificate_is_refused)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;
		struct cert cert;

		tls_init(&e, v);
		cert_make(&cert, "Old", localhost, -20, -1, false, &root);
		refused(&e, &cert, "has expired: 20");
		cert_free(&cert);
	}
	return WEFT_OK;
}

TLS_TEST(tls_a_certificate_that_is_not_yet_valid_is_refused)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;
		struct cert cert;

		tls_init(&e, v);
		cert_make(&cert, "Soon", localhost, 2, 20, false, &root);
		refused(&e, &cert, "is not yet valid: it begins 20");
		cert_free(&cert);
	}
	return WEFT_OK;
}

TLS_TEST(tls_a_self_signed_certificate_is_refused)
{
	struct tls_pair_ends e;
	struct cert cert;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	cert_make(&cert, "Myself", localhost, -1, 20, false, NULL);
	refused(&e, &cert, "is self-signed (CN=Myself)");
	cert_free(&cert);
	return WEFT_OK;
}

TLS_TEST(tls_an_unknown_issuer_is_refused)
{
	struct cert other, cert;
	struct tls_pair_ends e;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	cert_root(&other, "Other Root");
	cert_leaf(&cert, "Stranger", &other);
	refused(&e, &cert, "of an unknown issuer: CN=Other Root, of CN=Stranger");
	cert_free(&cert);
	cert_free(&other);
	return WEFT_OK;
}

TLS_TEST(tls_an_unknown_root_is_refused)
{
	struct cert other, cert;
	struct tls_pair_ends e;
	char chain[8192];

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	cert_root(&other, "Other Root");
	cert_leaf(&cert, "Stranger", &other);
	snprintf(chain, sizeof(chain), "%s%s", cert.cert_pem, other.cert_pem);
	e.cert = (weft_tls_cert){ NULL, NULL, chain, cert.key_pem };
	tls_try(&e);
	ck_assert_int_eq(e.connect_err, WEFT_ETLS);
	HAS(e.connect_text, "of an unknown root: CN=Other Root");
	tls_fini(&e);
	cert_free(&cert);
	cert_free(&other);
	return WEFT_OK;
}

TLS_TEST(tls_the_systems_roots_do_not_know_the_tests_root)
{
	struct tls_pair_ends e;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	e.client_options.ca_pem = NULL;
	refused(&e, &leaf, "of an unknown issuer: CN=Test Root");
	return WEFT_OK;
}

TLS_TEST(tls_the_environment_may_name_the_roots)
{
	struct tls_pair_ends e;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	e.client_options.ca_pem = NULL;
	setenv("SSL_CERT_FILE", cert_file("roots.pem", root.cert_pem), 1);
	tls_open(&e);
	tls_fini(&e);
	return WEFT_OK;
}

TLS_TEST(tls_another_hosts_certificate_is_refused)
{
	static const char *const names[] = { "a.example", "*.b.example", "10.1.2.3", "::2", NULL };
	struct tls_pair_ends e;
	struct cert cert;

	certs_begin();
	cert_make(&cert, "a.example", names, -1, 20, false, &root);
	BOTH_VERSIONS(v)
	{
		tls_init(&e, v);
		refused(&e, &cert,
			"is for another host: for a.example, *.b.example, 10.1.2.3, ::2, not for "
			"localhost");
	}
	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	e.host = "127.0.0.1";
	refused(&e, &cert, "not for 127.0.0.1");
	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	e.host = "x.y.b.example";
	refused(&e, &cert, "not for x.y.b.example");
	cert_free(&cert);
	return WEFT_OK;
}

TLS_TEST(tls_a_name_in_the_subject_alone_is_no_name)
{
	struct tls_pair_ends e;
	struct cert cert;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	cert_make(&cert, "localhost", NULL, -1, 20, false, &root);
	refused(&e, &cert, "for no host at all, not for localhost");
	cert_free(&cert);
	return WEFT_OK;
}

static void opens_for(const struct cert *cert, const char *host, const char *sni)
{
	struct tls_pair_ends e;
	weft_tls_info info;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	e.cert = (weft_tls_cert){ NULL, NULL, cert->cert_pem, cert->key_pem };
	e.host = host;
	tls_open(&e);
	OK(weft_tls_info_get(e.server, &info));
	ck_assert_str_eq(info.server_name, sni);
	OK(weft_tls_info_get(e.client, &info));
	ck_assert(info.verified);
	tls_fini(&e);
}

TLS_TEST(tls_names_and_addresses_of_a_certificate_are_good)
{
	static const char *const names[] = { "a.example", "*.b.example", "10.1.2.3", "::2", NULL };
	struct cert cert;

	certs_begin();
	cert_make(&cert, "a.example", names, -1, 20, false, &root);
	opens_for(&cert, "a.example", "a.example");
	opens_for(&cert, "A.EXAMPLE", "A.EXAMPLE");
	opens_for(&cert, "a.example.", "a.example");
	opens_for(&cert, "x.b.example", "x.b.example");
	opens_for(&cert, "10.1.2.3", "");
	opens_for(&cert, "::2", "");
	opens_for(&cert, "[::2]", "");
	opens_for(&cert, "[::2%eth0]", "");
	opens_for(&cert, "::2%1", "");
	cert_free(&cert);
	return WEFT_OK;
}

TLS_TEST(tls_the_configured_server_name_goes_before_the_host)
{
	struct tls_pair_ends e;
	weft_tls_info info;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	e.client_options.server_name = "localhost";
	e.host = "203.0.113.9";
	tls_open(&e);
	OK(weft_tls_info_get(e.server, &info));
	ck_assert_str_eq(info.server_name, "localhost");
	tls_fini(&e);
	return WEFT_OK;
}

TLS_TEST(tls_a_chain_with_an_intermediate_is_good)
{
	struct cert middle, cert;
	struct tls_pair_ends e;
	char chain[8192];

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	cert_make(&middle, "Middle", NULL, -1, 20, true, &root);
	cert_leaf(&cert, "Below", &middle);
	refused(&e, &cert, "of an unknown issuer: CN=Middle, of CN=Below");
	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	snprintf(chain, sizeof(chain), "%s%s%s", cert.cert_pem, middle.cert_pem, cert.key_pem);
	e.cert = (weft_tls_cert){ cert_file("chain.pem", chain), NULL, NULL, NULL };
	tls_open(&e);
	tls_fini(&e);
	/* one that is no root, but was named, will do, too */
	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	e.cert = (weft_tls_cert){ NULL, NULL, cert.cert_pem, cert.key_pem };
	e.client_options.ca_pem = middle.cert_pem;
	tls_open(&e);
	tls_fini(&e);
	cert_free(&cert);
	cert_free(&middle);
	return WEFT_OK;
}

TLS_TEST(tls_a_revoked_certificate_is_refused)
{
	struct cert revoked;
	struct tls_pair_ends e;
	char *crl;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	cert_leaf(&revoked, "Revoked", &root);
	crl = cert_crl(&root, &revoked);
	e.client_options.crl_file = cert_file("crl.pem", crl);
	free(crl);
	refused(&e, &revoked, "the certificate is revoked (CN=Revoked)");
	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	e.client_options.crl_file = cert_file("crl.pem", crl = cert_crl(&root, &revoked));
	free(crl);
	tls_open(&e);
	tls_fini(&e);
	cert_free(&revoked);
	return WEFT_OK;
}

TLS_TEST(tls_a_fingerprint_is_all_that_counts)
{
	struct tls_pair_ends e;
	weft_tls_info info;
	weft_tls_pem pem;

	OK(weft_tls_self_signed(&pem, "host.example"));
	BOTH_VERSIONS(v)
	{
		tls_init(&e, v);
		e.client_options.ca_pem = NULL;
		e.client_options.fingerprint = pem.fingerprint;
		e.cert = (weft_tls_cert){ NULL, NULL, pem.cert_pem, pem.key_pem };
		e.host = "any.example";
		tls_open(&e);
		OK(weft_tls_info_get(e.client, &info));
		ck_assert_str_eq(info.peer_fingerprint, pem.fingerprint);
		ck_assert(info.verified);
		tls_fini(&e);
		tls_init(&e, v);
		e.client_options.fingerprint = pem.fingerprint;
		tls_try(&e);
		ck_assert_int_eq(e.connect_err, WEFT_ETLS);
		HAS(e.connect_text, "is another one than expected: it is sha256:");
		tls_fini(&e);
	}
	weft_tls_pem_fini(&pem);
	return WEFT_OK;
}

TLS_TEST(tls_an_insecure_client_takes_any_certificate)
{
	struct tls_pair_ends e;
	weft_tls_info info;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	e.client_options.ca_pem = NULL;
	e.client_options.insecure = true;
	e.host = "elsewhere.example";
	tls_open(&e);
	OK(weft_tls_info_get(e.client, &info));
	ck_assert(!info.verified);
	ck_assert_str_eq(info.peer_subject, "CN=Test Server");
	tls_fini(&e);
	return WEFT_OK;
}

/* ---- clients' certificates ---- */

static void with_client_ca(struct tls_pair_ends *e, weft_tls_client_auth auth)
{
	e->server_options.client_auth = auth;
	e->server_options.client_ca_pem = root.cert_pem;
}

TLS_TEST(tls_a_server_may_require_a_certificate)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;
		uint8_t byte;
		size_t got;

		tls_init(&e, v);
		with_client_ca(&e, WEFT_TLS_CLIENT_REQUIRED);
		tls_try(&e);
		ck_assert_int_eq(e.accept_err, WEFT_EAUTH);
		HAS(e.accept_text, "the client gave no certificate");
		if (e.connect_err) { /* TLS 1.2 */
			ck_assert_int_eq(e.connect_err, WEFT_EAUTH);
			HAS(e.connect_text, "client certificate");
		} else {
			FAILS(WEFT_EAUTH, weft_conn_read(e.client, &byte, 1, &got, SOON));
			HAS(weft_error_detail(), "the server wants a client certificate");
			/* and again */
			FAILS(WEFT_EAUTH, weft_conn_read(e.client, &byte, 1, &got, SOON));
			FAILS(WEFT_EAUTH, weft_conn_write(e.client, "x", 1, NULL, SOON));
		}
		tls_fini(&e);
	}
	return WEFT_OK;
}

TLS_TEST(tls_a_good_client_certificate_is_told)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;
		weft_tls_info info;
		struct cert cert;

		tls_init(&e, v);
		cert_leaf(&cert, "Test Client", &root);
		e.client_options.cert = (weft_tls_cert){ NULL, NULL, cert.cert_pem, cert.key_pem };
		with_client_ca(&e, WEFT_TLS_CLIENT_REQUIRED);
		for (int i = 0; i < 2; i++) { /* the second resumes */
			tls_open(&e);
			say(e.server, e.client, "tickets come before");
			OK(weft_tls_info_get(e.server, &info));
			ck_assert(info.verified);
			ck_assert_int_eq(info.resumed, i);
			ck_assert_str_eq(info.peer_subject, "CN=Test Client");
			ck_assert_uint_eq(strlen(info.peer_fingerprint), WEFT_TLS_FINGERPRINT_LEN);
			tls_close(&e);
		}
		tls_fini(&e);
		cert_free(&cert);
	}
	return WEFT_OK;
}

static void client_refused(struct tls_pair_ends *e, struct cert *cert, const char *part)
{
	uint8_t byte;
	size_t got;

	e->client_options.cert = (weft_tls_cert){ NULL, NULL, cert->cert_pem, cert->key_pem };
	tls_try(e);
	ck_assert_int_eq(e->accept_err, WEFT_EAUTH);
	HAS(e->accept_text, part);
	if (e->connect_err) {
		ck_assert_int_eq(e->connect_err, WEFT_EAUTH);
		HAS(e->connect_text, "the server does not accept our certificate");
	} else {
		FAILS(WEFT_EAUTH, weft_conn_read(e->client, &byte, 1, &got, SOON));
		HAS(weft_error_detail(), "the server does not accept our certificate");
	}
	tls_fini(e);
}

TLS_TEST(tls_a_bad_client_certificate_is_refused)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;
		struct cert cert, other;

		tls_init(&e, v);
		with_client_ca(&e, WEFT_TLS_CLIENT_OPTIONAL);
		cert_make(&cert, "Old Client", NULL, -20, -1, false, &root);
		client_refused(&e, &cert, "has expired");
		cert_free(&cert);
		tls_init(&e, v);
		with_client_ca(&e, WEFT_TLS_CLIENT_REQUIRED);
		cert_root(&other, "Other Root");
		cert_make(&cert, "Strange Client", NULL, -1, 20, false, &other);
		client_refused(&e, &cert, "of an unknown issuer: CN=Other Root");
		cert_free(&cert);
		cert_free(&other);
	}
	return WEFT_OK;
}

TLS_TEST(tls_an_optional_certificate_may_be_left_out)
{
	struct tls_pair_ends e;
	weft_tls_info info;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	with_client_ca(&e, WEFT_TLS_CLIENT_OPTIONAL);
	tls_open(&e);
	OK(weft_tls_info_get(e.server, &info));
	ck_assert(!info.verified);
	ck_assert_str_eq(info.peer_subject, "");
	ck_assert_str_eq(info.peer_fingerprint, "");
	tls_fini(&e);
	return WEFT_OK;
}

/* ---- what both must have ---- */

TLS_TEST(tls_without_a_common_version_both_say_so)
{
	struct tls_pair_ends e;

	tls_init(&e, WEFT_TLS_1_2);
	e.server_options.version_min = WEFT_TLS_1_3;
	tls_try(&e);
	ck_assert_int_eq(e.connect_err, WEFT_ETLS);
	HAS(e.connect_text, "no common version of TLS");
	ck_assert_int_eq(e.accept_err, WEFT_ETLS);
	HAS(e.accept_text, "no common version of TLS");
	tls_fini(&e);
	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	e.client_options.version_min = WEFT_TLS_1_3;
	e.server_options.version_max = WEFT_TLS_1_2;
	tls_try(&e);
	HAS(e.connect_text, "no common version of TLS");
	HAS(e.accept_text, "no common version of TLS");
	tls_fini(&e);
	return WEFT_OK;
}

TLS_TEST(tls_the_servers_choice_of_protocols_counts)
{
	static const char *const ours[] = { "h2", "http/1.1", NULL };
	static const char *const theirs[] = { "spdy/1", "http/1.1", "h2", NULL };
	static const char *const others[] = { "spdy/1", "spdy/2", NULL };

	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;
		weft_tls_info info;

		tls_init(&e, v);
		e.server_options.alpn = ours;
		e.client_options.alpn = theirs;
		tls_open(&e);
		OK(weft_tls_info_get(e.client, &info));
		ck_assert_str_eq(info.alpn, "h2");
		OK(weft_tls_info_get(e.server, &info));
		ck_assert_str_eq(info.alpn, "h2");
		tls_fini(&e);

		tls_init(&e, v); /* a client that does not ask */
		e.server_options.alpn = ours;
		tls_open(&e);
		OK(weft_tls_info_get(e.server, &info));
		ck_assert_str_eq(info.alpn, "");
		tls_fini(&e);

		tls_init(&e, v);
		e.server_options.alpn = ours;
		e.client_options.alpn = others;
		tls_try(&e);
		ck_assert_int_eq(e.connect_err, WEFT_ETLS);
		HAS(e.connect_text, "no common application protocol");
		ck_assert_int_eq(e.accept_err, WEFT_ETLS);
		HAS(e.accept_text, "the client offers spdy/1, spdy/2; there is h2, http/1.1");
		tls_fini(&e);
	}
	return WEFT_OK;
}

/* ---- peers that speak something else ---- */

struct speaker {
	weft_conn *conn;
	const char *text;
};

static weft_err speak(void *arg)
{
	struct speaker *s = arg;

	OK(weft_conn_write(s->conn, s->text, strlen(s->text), NULL, SOON));
	(void)!weft_conn_shutdown(s->conn);
	return WEFT_OK;
}

static void not_tls(const char *text, const char *part, bool is_server, weft_err expected)
{
	struct tls_pair_ends e;
	weft_conn *ends[2], *out = NULL;
	struct speaker s = { NULL, text };
	weft_fiber *fiber;
	weft_err err;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	tls_configure(&e);
	OK(make_memory(ends));
	s.conn = ends[1];
	fiber = spawn(speak, &s);
	err = is_server ? weft_tls_accept_own(&out, e.server_tls, ends[0], SOON)
			: weft_tls_connect_own(&out, e.client_tls, ends[0], "localhost", SOON);
	HAS(weft_error_detail(), part);
	ck_assert_int_eq(err, expected);
	HAS(weft_error_detail(), "TLS handshake with tls+pair:");
	ck_assert_ptr_null(out);
	join(fiber);
	weft_conn_free(ends[1]);
	tls_fini(&e);
}

TLS_TEST(tls_peers_that_do_not_speak_it_are_told_apart)
{
	char record[5 + 257 + 1];

	not_tls("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "its first bytes look like an HTTP request",
		true, WEFT_ETLS);
	not_tls("HTTP/1.1 400 Bad Request\r\n\r\n", "its first bytes look like an HTTP reply",
		false, WEFT_ETLS);
	not_tls("SSH-2.0-OpenSSH_9.2\r\n", "its first bytes look like SSH", false, WEFT_ETLS);
	not_tls("220 mail.example ESMTP\r\n", "look like SMTP or FTP", false, WEFT_ETLS);
	not_tls("xyz 12345", "its first bytes are 78 79 7a 20 31 32 33 34", false, WEFT_ETLS);
	not_tls("", "the peer closed the connection without a word of TLS", false, WEFT_ERESET);
	not_tls("", "the peer closed the connection without a word of TLS", true, WEFT_ERESET);
	not_tls("\x16\x03\x01\x02", "closed the connection within the handshake", true,
		WEFT_ERESET);
	/* a record of 257 bytes by its head, and no message of the handshake in it */
	memset(record, 'x', sizeof(record));
	memcpy(record, "\x16\x03\x01\x01\x01", 5);
	record[5 + 257] = '\0';
	not_tls(record, "TLS handshake", true, WEFT_ETLS);
	return WEFT_OK;
}

static void verify_tests(TCase *tc)
{
	t_add(tc, tls_an_expired_certificate_is_refused);
	t_add(tc, tls_a_certificate_that_is_not_yet_valid_is_refused);
	t_add(tc, tls_a_self_signed_certificate_is_refused);
	t_add(tc, tls_an_unknown_issuer_is_refused);
	t_add(tc, tls_an_unknown_root_is_refused);
	t_add(tc, tls_the_systems_roots_do_not_know_the_tests_root);
	t_add(tc, tls_the_environment_may_name_the_roots);
	t_add(tc, tls_another_hosts_certificate_is_refused);
	t_add(tc, tls_a_name_in_the_subject_alone_is_no_name);
	t_add(tc, tls_names_and_addresses_of_a_certificate_are_good);
	t_add(tc, tls_the_configured_server_name_goes_before_the_host);
	t_add(tc, tls_a_chain_with_an_intermediate_is_good);
	t_add(tc, tls_a_revoked_certificate_is_refused);
	t_add(tc, tls_a_fingerprint_is_all_that_counts);
	t_add(tc, tls_an_insecure_client_takes_any_certificate);
	t_add(tc, tls_a_server_may_require_a_certificate);
	t_add(tc, tls_a_good_client_certificate_is_told);
	t_add(tc, tls_a_bad_client_certificate_is_refused);
	t_add(tc, tls_an_optional_certificate_may_be_left_out);
	t_add(tc, tls_without_a_common_version_both_say_so);
	t_add(tc, tls_the_servers_choice_of_protocols_counts);
	t_add(tc, tls_peers_that_do_not_speak_it_are_told_apart);
}

T_SUITE("tls_verify", verify_tests)
