/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=240 */
/* Options, files, several certificates, reload, key logs, want of memory. */
#define _GNU_SOURCE
#include "net/tls.h"
#include "net/tls_cache.h"
#include "rt/reclaim.h"
#include "support/tlsends.h"

#include <openssl/pem.h>

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

/* ---- options ---- */

static const weft_tls_client_options client_fine = WEFT_TLS_CLIENT_OPTIONS_DEFAULT;
static const weft_tls_server_options server_fine = WEFT_TLS_SERVER_OPTIONS_DEFAULT;

static void client_bad(const weft_tls_client_options *o, weft_err code, const char *part)
{
	weft_tls *tls = NULL;

	FAILS(code, weft_tls_client_create(&tls, o));
	HAS(weft_error_detail(), "weft_tls_client_options.");
	HAS(weft_error_detail(), part);
	ck_assert_ptr_null(tls);
}

static void server_bad(const weft_tls_server_options *o, weft_err code, const char *part)
{
	weft_tls *tls = NULL;

	FAILS(code, weft_tls_server_create(&tls, o));
	HAS(weft_error_detail(), "weft_tls_server_options.");
	HAS(weft_error_detail(), part);
	ck_assert_ptr_null(tls);
}

static void client_field(size_t offset, const char *text, weft_err code, const char *part)
{
	weft_tls_client_options o = client_fine;

	*(const char **)(void *)((char *)&o + offset) = text;
	client_bad(&o, code, part);
}

#define CLIENT(field, text, code, part) \
	client_field(offsetof(weft_tls_client_options, field), (text), (code), (part))

/* Also outside a runtime: nothing is opened but files. */
START_TEST(tls_options_of_clients_are_checked)
{
	static const char *const empty[] = { "a", "", NULL };
	static char name[300];
	const char *longer[] = { name, NULL }, *many[40];
	weft_tls_client_options o = client_fine;
	weft_tls *tls = NULL;

	certs_begin();
	memset(name, 'x', 299);
	for (int i = 0; i < 39; i++)
		many[i] = "p";
	many[39] = NULL;
	CLIENT(ca_file, "", WEFT_EINVAL, "ca_file: is empty");
	CLIENT(ca_file, "/nowhere/at/all", WEFT_ENOTFOUND,
		"ca_file: /nowhere/at/all: no such file");
	CLIENT(ca_file, "/", WEFT_EINVAL, "ca_file: /: is a directory");
	CLIENT(ca_file, "/dev/null", WEFT_EINVAL, "ca_file: /dev/null: no certificate (PEM) in it");
	CLIENT(ca_file, cert_file("text", "no PEM"), WEFT_EINVAL, "no certificate (PEM) in it");
	CLIENT(ca_pem, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		WEFT_EINVAL, "ca_pem: ");
	CLIENT(ca_dir, "/nowhere", WEFT_ENOTFOUND, "ca_dir: /nowhere: no such file");
	CLIENT(ca_dir, "/dev/null", WEFT_EINVAL, "ca_dir: /dev/null: is no directory");
	CLIENT(crl_file, "/nowhere", WEFT_ENOTFOUND, "crl_file: /nowhere");
	CLIENT(crl_file, cert_file("no-crl", root.cert_pem), WEFT_EINVAL, "no list of revoked");
	CLIENT(fingerprint, "md5:00", WEFT_EINVAL, "fingerprint: is not sha256:");
	CLIENT(fingerprint, "sha256:00", WEFT_EINVAL, "fingerprint: is not sha256:");
	CLIENT(server_name, "", WEFT_EINVAL, "server_name: is no host name");
	CLIENT(server_name, "a b", WEFT_EINVAL, "server_name: is no host name");
	CLIENT(server_name, name, WEFT_EINVAL, "server_name: is no host name");
	CLIENT(key_log_file, "/nowhere/x", WEFT_ENOTFOUND, "key_log_file: /nowhere/x");
	CLIENT(cert.key_file, "x", WEFT_EINVAL, "a key without a certificate");
	o.alpn = empty;
	client_bad(&o, WEFT_EINVAL, "alpn: a protocol's name has 1 to 255 bytes");
	o.alpn = longer;
	client_bad(&o, WEFT_EINVAL, "alpn: a protocol's name has 1 to 255 bytes");
	o.alpn = many;
	client_bad(&o, WEFT_EINVAL, "alpn: more than 32 protocols");
	o = client_fine;
	o.version_min = (weft_tls_version)9;
	client_bad(&o, WEFT_EINVAL, "version_min: is none of the versions");
	o.version_min = WEFT_TLS_1_3;
	o.version_max = WEFT_TLS_1_2;
	client_bad(&o, WEFT_EINVAL, "version_max: is below version_min");
	o = client_fine;
	o.sessions_max = 1000001;
	client_bad(&o, WEFT_EINVAL, "sessions_max: is above 1000000");
	OK(weft_tls_client_create(&tls, NULL));
	weft_tls_unref(weft_tls_ref(tls));
	weft_tls_unref(tls);
	weft_tls_unref(NULL);
	certs_end();
}
END_TEST

static void pair_bad(weft_tls_cert cert, weft_err code, const char *part)
{
	weft_tls_server_options o = server_fine;

	o.certs = &cert;
	o.cert_count = 1;
	server_bad(&o, code, part);
}

START_TEST(tls_options_of_servers_are_checked)
{
	weft_tls_server_options o = server_fine;
	const char *key, *cert;
	weft_tls_cert good;
	struct cert other;
	weft_tls *tls = NULL;

	certs_begin();
	cert_leaf(&other, "Other", &root);
	good = (weft_tls_cert){ NULL, NULL, leaf.cert_pem, leaf.key_pem };
	cert = cert_file("cert.pem", leaf.cert_pem);
	key = cert_file("key.pem", other.key_pem);
	server_bad(&o, WEFT_EINVAL, "certs: a server has 1 to 64 certificates");
	o.certs = &good;
	o.cert_count = 65;
	server_bad(&o, WEFT_EINVAL, "certs: a server has 1 to 64 certificates");
	o.cert_count = 1;
	o.client_auth = WEFT_TLS_CLIENT_OPTIONAL;
	server_bad(&o, WEFT_EINVAL, "client_ca_file: needed with client_auth");
	o.client_auth = WEFT_TLS_CLIENT_NONE;
	o.client_ca_pem = root.cert_pem;
	server_bad(&o, WEFT_EINVAL, "client_auth: clients are not asked");
	o.client_auth = (weft_tls_client_auth)7;
	server_bad(&o, WEFT_EINVAL, "client_auth: is none of its values");
	o.client_auth = WEFT_TLS_CLIENT_REQUIRED;
	o.client_ca_pem = "none";
	server_bad(&o, WEFT_EINVAL, "client_ca_pem: no certificate (PEM) in it");
	pair_bad(
		(weft_tls_cert){ NULL, NULL, NULL, NULL }, WEFT_EINVAL, "cert_file: a key without");
	pair_bad((weft_tls_cert){ cert, NULL, leaf.cert_pem, NULL }, WEFT_EINVAL,
		"cert_pem: given beside cert_file");
	pair_bad((weft_tls_cert){ cert, key, NULL, leaf.key_pem }, WEFT_EINVAL,
		"key_pem: given beside key_file");
	pair_bad((weft_tls_cert){ cert, "/nowhere", NULL, NULL }, WEFT_ENOTFOUND,
		"key_file: /nowhere: no such file");
	pair_bad((weft_tls_cert){ cert, key, NULL, NULL }, WEFT_EINVAL, "is not the certificate's");
	pair_bad((weft_tls_cert){ cert, cert, NULL, NULL }, WEFT_EINVAL, "no private key (PEM)");
	pair_bad((weft_tls_cert){ cert, NULL, NULL, NULL }, WEFT_EINVAL, "no private key (PEM)");
	pair_bad((weft_tls_cert){ NULL, NULL, leaf.key_pem, NULL }, WEFT_EINVAL,
		"cert_pem: no certificate");
	o = server_fine;
	o.certs = &good;
	o.cert_count = 1;
	OK(weft_tls_server_create(&tls, &o));
	weft_tls_unref(tls);
	cert_free(&other);
	certs_end();
}
END_TEST

START_TEST(tls_a_key_with_a_passphrase_is_refused_without_asking)
{
	char *pem = NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	weft_tls_cert cert;
	char *data;
	long len;

	certs_begin();
	ck_assert(PEM_write_bio_PrivateKey(
		bio, leaf.key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL, NULL));
	/* a NUL behind it: strndup looks for one under the sanitizer */
	ck_assert_int_eq(BIO_write(bio, "", 1), 1);
	len = BIO_get_mem_data(bio, &data);
	pem = strndup(data, (size_t)len);
	cert = (weft_tls_cert){ NULL, NULL, leaf.cert_pem, pem };
	pair_bad(cert, WEFT_EINVAL, "key_pem: the private key has a passphrase");
	BIO_free(bio);
	free(pem);
	certs_end();
}
END_TEST

START_TEST(tls_a_file_that_may_not_be_read_is_told)
{
	const char *path;

	if (geteuid() == 0) {
		/* root may read all: a folder in the place of a folder's file will do */
		CLIENT(ca_file, "/dev/null/x", WEFT_EIO, "ca_file: /dev/null/x");
		return;
	}
	certs_begin();
	path = cert_file("hidden", root.cert_pem);
	ck_assert_int_eq(chmod(path, 0), 0);
	CLIENT(ca_file, path, WEFT_EACCESS, "permission denied");
	certs_end();
}
END_TEST

TLS_TEST(tls_roles_are_not_mixed_up)
{
	struct tls_pair_ends e;
	weft_conn *ends[2], *out = NULL;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	tls_configure(&e);
	OK(make_memory(ends));
	FAILS(WEFT_EINVAL, weft_tls_connect_own(&out, e.server_tls, ends[0], "localhost", SOON));
	FAILS(WEFT_EINVAL, weft_tls_accept_own(&out, e.client_tls, ends[1], SOON));
	OK(make_memory(ends));
	FAILS(WEFT_EINVAL, weft_tls_connect_own(&out, e.client_tls, ends[0], NULL, SOON));
	HAS(weft_error_detail(), "no host");
	FAILS(WEFT_EINVAL, weft_tls_connect_own(&out, e.client_tls, ends[1], "a b", SOON));
	ck_assert_ptr_null(out);
	tls_fini(&e);
	return WEFT_OK;
}

/* ---- several certificates ---- */

static void gets(struct tls_pair_ends *e, const char *host, const char *subject)
{
	weft_tls_info info;

	e->host = host;
	e->session_key = host;
	tls_open(e);
	OK(weft_tls_info_get(e->client, &info));
	ck_assert_str_eq(info.peer_subject, subject);
	tls_close(e);
}

TLS_TEST(tls_a_server_chooses_by_name)
{
	static const char *const a_names[] = { "a.example", "10.0.0.1", NULL };
	static const char *const b_names[] = { "b.example", "*.b.example", NULL };

	BOTH_VERSIONS(v)
	{
		struct cert a, b;
		weft_tls_cert certs[3];
		struct tls_pair_ends e;

		tls_init(&e, v);
		cert_make(&a, "A", a_names, -1, 10, false, &root);
		cert_make(&b, "B", b_names, -1, 10, false, &root);
		certs[0] = (weft_tls_cert){ NULL, NULL, a.cert_pem, a.key_pem };
		certs[1] = (weft_tls_cert){ NULL, NULL, b.cert_pem, b.key_pem };
		certs[2] = e.cert;
		e.server_options.certs = certs;
		e.server_options.cert_count = 3;
		gets(&e, "b.example", "CN=B");
		gets(&e, "x.b.example", "CN=B");
		gets(&e, "localhost", "CN=Test Server");
		gets(&e, "a.example", "CN=A");
		gets(&e, "10.0.0.1", "CN=A"); /* no name: the first */
		e.host = "c.example";	      /* the first, too */
		tls_try(&e);
		ck_assert_int_eq(e.connect_err, WEFT_ETLS);
		HAS(e.connect_text, "for a.example, 10.0.0.1, not for c.example");
		tls_fini(&e);
		cert_free(&a);
		cert_free(&b);
	}
	return WEFT_OK;
}

/* ---- reload ---- */

TLS_TEST(tls_certificates_are_reloaded_while_serving)
{
	struct tls_pair_ends e;
	weft_tls_stats stats;
	struct cert next;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	cert_leaf(&next, "Next Server", &root);
	e.cert = (weft_tls_cert){ cert_file("c.pem", leaf.cert_pem),
		cert_file("k.pem", leaf.key_pem), NULL, NULL };
	tls_open(&e);
	(void)cert_file("c.pem", next.cert_pem);
	FAILS(WEFT_EINVAL, weft_tls_reload(e.server_tls));
	HAS(weft_error_detail(), "is not the certificate's");
	say(e.client, e.server, "goes on");
	tls_close(&e);
	gets(&e, "localhost", "CN=Test Server");
	(void)cert_file("k.pem", next.key_pem);
	tls_open(&e);
	OK(weft_tls_reload(e.server_tls));
	say(e.client, e.server, "goes on");
	tls_close(&e);
	gets(&e, "localhost", "CN=Next Server");
	weft_tls_stats_get(e.server_tls, &stats);
	ck_assert_uint_eq(stats.reloads, 1);
	ck_assert_uint_eq(stats.handshakes, 4);
	ck_assert_uint_eq(stats.failed, 0);
	tls_fini(&e);
	cert_free(&next);
	return WEFT_OK;
}

static weft_err reload_once(void *arg)
{
	OK(weft_tls_reload(arg));
	return WEFT_OK;
}

static const char *pair_file(const struct cert *cert)
{
	size_t size = strlen(cert->cert_pem) + strlen(cert->key_pem) + 1;
	char *both = malloc(size);
	const char *path;

	snprintf(both, size, "%s%s", cert->cert_pem, cert->key_pem);
	path = cert_file("both.pem", both);
	free(both);
	return path;
}

/* A reload that began earlier, and was slow to read, does not put old files in place of new. */
TLS_TEST(tls_of_two_reloads_the_later_one_counts)
{
	struct tls_pair_ends e;
	weft_fiber *slow;
	struct cert next;
	const char *path;
	int fifo = -1;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	cert_leaf(&next, "Next Server", &root);
	path = pair_file(&leaf);
	e.cert = (weft_tls_cert){ path, NULL, NULL, NULL };
	gets(&e, "localhost", "CN=Test Server");
	ck_assert(unlink(path) == 0 && mkfifo(path, 0600) == 0);
	slow = spawn(reload_once, e.server_tls);
	while (fifo < 0) { /* until it has opened that */
		fifo = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		if (fifo < 0)
			OK(weft_sleep_ms(1));
	}
	ck_assert_int_eq(unlink(path), 0);
	(void)pair_file(&next);
	OK(weft_tls_reload(e.server_tls));
	gets(&e, "localhost", "CN=Next Server");
	ck_assert_int_gt(write(fifo, leaf.cert_pem, strlen(leaf.cert_pem)), 0);
	ck_assert_int_gt(write(fifo, leaf.key_pem, strlen(leaf.key_pem)), 0);
	(void)close(fifo);
	join(slow);
	gets(&e, "localhost", "CN=Next Server");
	tls_fini(&e);
	cert_free(&next);
	return WEFT_OK;
}

TLS_TEST(tls_a_client_reloads_its_roots_and_forgets_its_sessions)
{
	struct tls_pair_ends e;
	weft_tls_stats stats;
	struct cert other;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	cert_root(&other, "Other Root");
	e.client_options.ca_pem = NULL;
	e.client_options.ca_file = cert_file("ca.pem", root.cert_pem);
	tls_open(&e);
	say(e.server, e.client, "tickets come before");
	(void)cert_file("ca.pem", other.cert_pem);
	weft_tls_stats_get(e.client_tls, &stats);
	ck_assert_uint_gt(stats.sessions, 0);
	OK(weft_tls_reload(e.client_tls));
	weft_tls_stats_get(e.client_tls, &stats);
	ck_assert_uint_eq(stats.sessions, 0);
	tls_close(&e);
	tls_try(&e);
	ck_assert_int_eq(e.connect_err, WEFT_ETLS);
	HAS(e.connect_text, "unknown issuer");
	tls_fini(&e);
	cert_free(&other);
	return WEFT_OK;
}

struct load {
	struct tls_pair_ends *e;
	const struct cert *certs[2];
	bool is_over; /* of the same worker */
	unsigned handshakes, seen[2];
};

static weft_err reload_fiber(void *arg)
{
	struct load *l = arg;

	for (unsigned i = 0; i < 20; i++) {
		(void)cert_file("c.pem", l->certs[i % 2]->cert_pem);
		(void)cert_file("k.pem", l->certs[i % 2]->key_pem);
		OK(weft_tls_reload(l->e->server_tls));
		OK(weft_sleep_ms(2));
	}
	l->is_over = true;
	return WEFT_OK;
}

static weft_err serve_one(void *arg)
{
	struct tls_pair_ends *e = arg;
	weft_conn *conn = NULL;
	char data[4];

	OK(weft_tls_accept_own(&conn, e->server_tls, e->lower[1], SOON));
	OK(weft_conn_read_full(conn, data, 4, NULL, SOON));
	OK(weft_conn_write(conn, data, 4, NULL, SOON));
	OK(weft_conn_shutdown(conn));
	weft_conn_free(conn);
	return WEFT_OK;
}

static weft_err client_fiber(void *arg)
{
	struct load *l = arg;

	while (!l->is_over) {
		struct tls_pair_ends e = *l->e;
		weft_fiber *server;
		weft_tls_info info;
		char data[4];

		OK(make_memory(e.lower));
		OK(weft_spawn_on(1, &server, "server", serve_one, &e));
		OK(weft_tls_connect_own(&e.client, e.client_tls, e.lower[0], "localhost", SOON));
		OK(weft_tls_info_get(e.client, &info));
		l->seen[strcmp(info.peer_subject, "CN=Next Server") == 0]++;
		OK(weft_conn_write(e.client, "ping", 4, NULL, SOON));
		OK(weft_conn_read_full(e.client, data, 4, NULL, SOON));
		read_all(e.client, 0, 1);
		join(server);
		weft_conn_free(e.client);
		l->handshakes++;
	}
	return WEFT_OK;
}

/* The pair in use is always a whole one. */
TLS_TEST(tls_reload_under_load)
{
	struct tls_pair_ends e;
	struct cert next;
	struct load l = { .e = &e };
	weft_fiber *clients[3], *reloader;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	cert_leaf(&next, "Next Server", &root);
	e.client_options.sessions_off = true;
	e.cert = (weft_tls_cert){ cert_file("c.pem", leaf.cert_pem),
		cert_file("k.pem", leaf.key_pem), NULL, NULL };
	tls_configure(&e);
	l.certs[0] = &next;
	l.certs[1] = &leaf;
	for (int i = 0; i < 3; i++)
		clients[i] = spawn(client_fiber, &l);
	reloader = spawn(reload_fiber, &l);
	join(reloader);
	for (int i = 0; i < 3; i++)
		join(clients[i]);
	ck_assert(l.seen[0] > 0 && l.seen[1] > 0);
	tls_fini(&e);
	cert_free(&next);
	return WEFT_OK;
}

/* ---- key logs ---- */

static unsigned lines_of(const char *path, const char *begin)
{
	char line[512];
	FILE *file = fopen(path, "r");
	unsigned count = 0;

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		count += strncmp(line, begin, strlen(begin)) == 0;
	fclose(file);
	return count;
}

TLS_TEST(tls_secrets_are_logged_only_where_that_is_asked_for)
{
	const char *log = cert_file("log", ""), *env = cert_file("env", "");
	struct tls_pair_ends e;
	struct stat st;

	setenv("SSLKEYLOGFILE", env, 1);
	tls_init(&e, WEFT_TLS_1_3);
	e.server_options.key_log_file = log;
	tls_open(&e);
	tls_close(&e);
	ck_assert_uint_eq(lines_of(log, "SERVER_TRAFFIC_SECRET_0 "), 1);
	tls_open(&e);
	tls_fini(&e);
	ck_assert_uint_eq(lines_of(log, "CLIENT_TRAFFIC_SECRET_0 "), 2);
	ck_assert_int_eq(stat(env, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	tls_init(&e, WEFT_TLS_1_2);
	e.client_options.key_log_env = true;
	tls_open(&e);
	tls_fini(&e);
	ck_assert_uint_eq(lines_of(env, "CLIENT_RANDOM "), 1);
	return WEFT_OK;
}

/* ---- want of memory ---- */

TLS_TEST(tls_configurations_under_failing_malloc)
{
	static const char *const protocols[] = { "h2", "http/1.1", NULL };
	weft_tls_client_options client = client_fine;
	weft_tls_server_options server = server_fine;
	weft_tls_cert cert;

	cert = (weft_tls_cert){ cert_file("c.pem", leaf.cert_pem), cert_file("k.pem", leaf.key_pem),
		NULL, NULL };
	client.ca_file = cert_file("ca.pem", root.cert_pem);
	client.ca_pem = root.cert_pem;
	client.server_name = "localhost";
	client.alpn = server.alpn = protocols;
	client.cert = cert;
	server.certs = &cert;
	server.cert_count = 1;
	server.client_auth = WEFT_TLS_CLIENT_OPTIONAL;
	server.client_ca_pem = root.cert_pem;
	client_bad(&(weft_tls_client_options){ .ca_file = "" }, WEFT_EINVAL, "ca_file");
	T_EACH_FAILING_MALLOC(n) {
		weft_tls *tls = NULL;
		weft_err err = weft_tls_client_create(&tls, &client);

		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		weft_tls_unref(tls);
		reclaim_synchronize();
	}
	T_EACH_FAILING_MALLOC(n) {
		weft_tls *tls = NULL;
		weft_err err = weft_tls_server_create(&tls, &server);

		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		if (!err) {
			err = weft_tls_reload(tls);
			ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		}
		weft_tls_unref(tls);
		reclaim_synchronize();
	}
	T_EACH_FAILING_MALLOC(n) {
		weft_tls_pem pem;
		weft_err err = weft_tls_self_signed(&pem, "host.example");

		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		if (!err)
			weft_tls_pem_fini(&pem);
	}
	return WEFT_OK;
}

/* A handshake, and a write of pieces; whichever end lacks memory says so. */
static void under_failing_malloc(struct tls_pair_ends *e)
{
	char ab[] = "ab", cd[] = "cd";
	struct iovec iov[2] = { { ab, 2 }, { cd, 2 } };
	weft_conn *lower;
	weft_fiber *fiber;
	weft_err err;

	e->client = e->server = NULL;
	if (make_memory(e->lower))
		return;
	if (weft_spawn(&fiber, "server", tls_accept_fiber, e)) {
		weft_conn_free(e->lower[0]);
		weft_conn_free(e->lower[1]);
		return;
	}
	lower = e->lower[0];
	e->lower[0] = NULL;
	e->connect_err = weft_tls_connect_own(&e->client, e->client_tls, lower, "localhost", SOON);
	join(fiber);
	if (e->connect_err || e->accept_err) {
		ck_assert(e->connect_err == WEFT_ENOMEM || e->accept_err == WEFT_ENOMEM);
		return;
	}
	err = weft_conn_writev(e->client, iov, 2, NULL, SOON);
	ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
	if (err) /* the conn is as it was */
		OK(weft_conn_writev(e->client, iov, 2, NULL, SOON));
	err = weft_conn_read_full(e->server, ab, 2, NULL, SOON);
	ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
	if (err)
		OK(weft_conn_read_full(e->server, ab, 2, NULL, SOON));
}

/* The same with the nth allocation failing; false: there are not so many. */
static bool once_failing_malloc(struct tls_pair_ends *e, uint64_t n)
{
	bool failed;

	t_malloc_fail_at(n);
	under_failing_malloc(e);
	failed = t_malloc_failed();
	t_malloc_fail_off();
	tls_close(e);
	tls_cache_drop(e->client_tls->cache, NULL);
	return failed;
}

TLS_TEST(tls_connections_under_failing_malloc)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;

		tls_init(&e, v);
		tls_configure(&e);
		/* fibers keep the memory of their errors' texts: once round to have them all */
		for (uint64_t n = 1; once_failing_malloc(&e, n); n++)
			;
		T_EACH_FAILING_MALLOC(n) {
			under_failing_malloc(&e);
			tls_close(&e);
			tls_cache_drop(e.client_tls->cache, NULL);
		}
		tls_fini(&e);
	}
	return WEFT_OK;
}

START_TEST(tls_self_signed_is_good_for_what_it_says)
{
	weft_tls_pem pem;

	FAILS(WEFT_EINVAL, weft_tls_self_signed(&pem, ""));
	FAILS(WEFT_EINVAL, weft_tls_self_signed(&pem, "a b"));
	OK(weft_tls_self_signed(&pem, "2001:db8::1"));
	ck_assert_uint_eq(strlen(pem.fingerprint), WEFT_TLS_FINGERPRINT_LEN);
	ck_assert_int_eq(strncmp(pem.cert_pem, "-----BEGIN CERTIFICATE-----\n", 28), 0);
	ck_assert_int_eq(strncmp(pem.key_pem, "-----BEGIN PRIVATE KEY-----\n", 28), 0);
	weft_tls_pem_fini(&pem);
	ck_assert_ptr_null(pem.cert_pem);
	weft_tls_pem_fini(&pem);
}
END_TEST

static weft_err self_signed_body(UNUSED void *arg)
{
	static const char *const hosts[] = { "my.example", "localhost", "127.0.0.1", "::1" };
	weft_tls_pem pem;

	OK(weft_tls_self_signed(&pem, "my.example"));
	for (int i = 0; i < 4; i++) {
		struct tls_pair_ends e;

		tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
		e.cert = (weft_tls_cert){ NULL, NULL, pem.cert_pem, pem.key_pem };
		e.client_options.ca_pem = pem.cert_pem;
		e.host = hosts[i];
		tls_open(&e);
		tls_fini(&e);
	}
	weft_tls_pem_fini(&pem);
	return WEFT_OK;
}

START_TEST(tls_self_signed_is_trusted_as_a_root)
{
	run_tls(self_signed_body);
}
END_TEST

static void config_tests(TCase *tc)
{
	t_add(tc, tls_options_of_clients_are_checked);
	t_add(tc, tls_options_of_servers_are_checked);
	t_add(tc, tls_a_key_with_a_passphrase_is_refused_without_asking);
	t_add(tc, tls_a_file_that_may_not_be_read_is_told);
	t_add(tc, tls_roles_are_not_mixed_up);
	t_add(tc, tls_a_server_chooses_by_name);
	t_add(tc, tls_certificates_are_reloaded_while_serving);
	t_add(tc, tls_of_two_reloads_the_later_one_counts);
	t_add(tc, tls_a_client_reloads_its_roots_and_forgets_its_sessions);
	t_add(tc, tls_reload_under_load);
	t_add(tc, tls_secrets_are_logged_only_where_that_is_asked_for);
	t_add(tc, tls_configurations_under_failing_malloc);
	t_add(tc, tls_connections_under_failing_malloc);
	t_add(tc, tls_self_signed_is_good_for_what_it_says);
	t_add(tc, tls_self_signed_is_trusted_as_a_root);
}

T_SUITE("tls_config", config_tests)
