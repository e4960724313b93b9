/* SPDX-License-Identifier: MIT */
#ifndef TLSENDS_H
#define TLSENDS_H

/* A TLS connection between two fibers, over any kind of conn. */
#include "support/certs.h"
#include "support/ends.h"

/* A root, and a server's certificate of it; made once a test. */
UNUSED static struct cert root, leaf;

struct tls_pair_ends {
	weft_tls_client_options client_options;
	weft_tls_server_options server_options;
	weft_tls_cert cert;
	weft_tls *client_tls, *server_tls; /* made by configure */
	const char *host;		   /* NULL: localhost */
	const char *session_key;
	weft_err (*make)(weft_conn *ends[2]); /* NULL: memory */
	weft_conn *lower[2];		      /* given, or made */
	weft_conn *client, *server;	      /* NULL: failed */
	weft_err connect_err, accept_err;
	char connect_text[1024], accept_text[1024];
	weft_deadline until;
	uint64_t fibers; /* before */
};

UNUSED static void certs_begin(void)
{
	if (!root.x509) {
		cert_root(&root, "Test Root");
		cert_leaf(&leaf, "Test Server", &root);
	}
}

UNUSED static void certs_end(void)
{
	cert_free(&root);
	cert_free(&leaf);
}

/* With a good server and a client that trusts it; options may be changed before the
 * configuration is made. */
UNUSED static void tls_init(struct tls_pair_ends *e, weft_tls_version version)
{
	static const weft_tls_client_options client = WEFT_TLS_CLIENT_OPTIONS_DEFAULT;
	static const weft_tls_server_options server = WEFT_TLS_SERVER_OPTIONS_DEFAULT;

	certs_begin();
	memset(e, 0, sizeof(*e));
	e->client_options = client;
	e->server_options = server;
	e->client_options.ca_pem = root.cert_pem;
	e->client_options.version_max = version;
	e->cert = (weft_tls_cert){ NULL, NULL, leaf.cert_pem, leaf.key_pem };
	e->server_options.certs = &e->cert;
	e->server_options.cert_count = 1;
	e->until = WEFT_FOREVER;
}

UNUSED static void tls_configure(struct tls_pair_ends *e)
{
	if (!e->client_tls)
		OK(weft_tls_client_create(&e->client_tls, &e->client_options));
	if (!e->server_tls)
		OK(weft_tls_server_create(&e->server_tls, &e->server_options));
}

UNUSED static weft_err tls_accept_fiber(void *arg)
{
	struct tls_pair_ends *e = arg;
	weft_conn *lower = e->lower[1];

	e->lower[1] = NULL;
	e->accept_err = weft_tls_accept_own(&e->server, e->server_tls, lower, SOON);
	if (e->accept_err)
		snprintf(e->accept_text, sizeof(e->accept_text), "%s", weft_error_detail());
	return WEFT_OK;
}

/* A handshake; both errors are kept. */
UNUSED static void tls_try(struct tls_pair_ends *e)
{
	weft_tls_connect_options options = { e->host ? e->host : "localhost", e->session_key };
	weft_conn *lower;
	weft_fiber *fiber;

	tls_configure(e);
	if (!e->lower[0])
		OK((e->make ? e->make : make_memory)(e->lower));
	e->client = e->server = NULL;
	e->connect_text[0] = e->accept_text[0] = '\0';
	fiber = spawn(tls_accept_fiber, e);
	lower = e->lower[0];
	e->lower[0] = NULL;
	e->connect_err = weft_tls_connect_with_own(&e->client, e->client_tls, lower, &options,
		e->until == WEFT_FOREVER ? SOON : e->until);
	if (e->connect_err)
		snprintf(e->connect_text, sizeof(e->connect_text), "%s", weft_error_detail());
	join(fiber);
}

UNUSED static void tls_open(struct tls_pair_ends *e)
{
	tls_try(e);
	ck_assert_msg(!e->connect_err, "%s", e->connect_text);
	ck_assert_msg(!e->accept_err, "%s", e->accept_text);
}

/* The conns; the configurations stay for another connection. */
UNUSED static void tls_close(struct tls_pair_ends *e)
{
	weft_conn_free(e->client);
	weft_conn_free(e->server);
	e->client = e->server = NULL;
}

UNUSED static void tls_fini(struct tls_pair_ends *e)
{
	tls_close(e);
	weft_tls_unref(e->client_tls);
	weft_tls_unref(e->server_tls);
	e->client_tls = e->server_tls = NULL;
}

/* The test's body in a fiber; blocks, descriptors, fibers are back after it. */
UNUSED static void run_tls(weft_fiber_fn body)
{
	int64_t live = t_malloc_live();

	certs_begin();
	run_fiber(body, NULL, false);
	certs_end();
	ck_assert_int_eq(t_malloc_live(), live);
}

#define TLS_TEST(name)                          \
	static weft_err name##_body(void *arg); \
	START_TEST(name)                        \
	{                                       \
		run_tls(name##_body);           \
	}                                       \
	END_TEST                                \
	static weft_err name##_body(UNUSED void *arg)

#define HAS(text, part) \
	ck_assert_msg(strstr((text), (part)) != NULL, "\"%s\" does not say \"%s\"", (text), (part))

UNUSED static void say(weft_conn *from, weft_conn *to, const char *text)
{
	char data[256];
	size_t len = strlen(text);

	OK(weft_conn_write(from, text, len, NULL, SOON));
	OK(weft_conn_read_full(to, data, len, NULL, SOON));
	ck_assert_mem_eq(data, text, len);
}

#define BOTH_VERSIONS(v) \
	for (weft_tls_version v = WEFT_TLS_1_2; v <= WEFT_TLS_1_3; v = (weft_tls_version)(v + 1))

#endif
