/* SPDX-License-Identifier: MIT */
/* OpenSSL over blocking sockets, with nothing around it: a thread a lane. */
#include "../tls_rows.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

struct lane {
	pthread_t thread;
	SSL_SESSION *session; /* the newest of this lane */
	uint64_t counted, total;
};

static struct tls_run run;
static SSL_CTX *context;
static struct lane lanes[TLS_LANES];

static void ssl_die(const char *what)
{
	ERR_print_errors_fp(stderr);
	bench_die(what);
}

static SSL *wrap(int fd)
{
	SSL *ssl = SSL_new(context);
	if (!ssl || SSL_set_fd(ssl, fd) != 1)
		ssl_die("SSL_new");
	return ssl;
}

static void unwrap(SSL *ssl, int fd)
{
	SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd);
}

/* --- server --- */

static void send_all(SSL *ssl)
{
	static const char block[TLS_BLOCK];
	while (SSL_write(ssl, block, sizeof block) > 0)
		continue;
}

static void *serve_lane(void *arg)
{
	const int *listener = arg;
	for (;;) {
		int fd = tcp_accept(*listener);
		SSL *ssl = wrap(fd);
		if (SSL_accept(ssl) != 1)
			ERR_clear_error(); /* a client that left when its time was over */
		else if (run.kind == TLS_BULK)
			send_all(ssl);
		else
			SSL_write(ssl, "x", 1);
		unwrap(ssl, fd);
	}
	return NULL;
}

static void serve(void)
{
	int listener = tls_run_listen();
	if (SSL_CTX_use_certificate_chain_file(context, run.cert) != 1 ||
		SSL_CTX_use_PrivateKey_file(context, run.key, SSL_FILETYPE_PEM) != 1)
		ssl_die("certificate");
	for (size_t i = 0; i < run.lanes; i++)
		pthread_create(&lanes[i].thread, NULL, serve_lane, &listener);
	pthread_join(lanes[0].thread, NULL);
}

/* --- client --- */

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct lane *lane = SSL_get_app_data(ssl);
	SSL_SESSION_free(lane->session);
	lane->session = session;
	return 1; /* taken */
}

static SSL *dial(struct lane *lane, int *fd)
{
	*fd = tcp_dial(run.port);
	SSL *ssl = wrap(*fd);
	SSL_set_app_data(ssl, lane);
	if (lane->session && run.kind == TLS_RESUMED && SSL_set_session(ssl, lane->session) != 1)
		ssl_die("SSL_set_session");
	if (SSL_set1_host(ssl, TLS_HOST) != 1 || SSL_set_tlsext_host_name(ssl, TLS_HOST) != 1 ||
		SSL_connect(ssl) != 1)
		ssl_die("SSL_connect");
	return ssl;
}

static void handshake(struct lane *lane)
{
	bool resumes = run.kind == TLS_RESUMED && lane->session;
	char data[16];
	int fd;
	SSL *ssl = dial(lane, &fd);
	if (!SSL_session_reused(ssl) == resumes)
		bench_die("resumed or not, as it was not to be");
	if (SSL_read(ssl, data, sizeof data) != 1 || SSL_read(ssl, data, sizeof data) > 0)
		ssl_die("SSL_read");
	unwrap(ssl, fd);
}

static void receive(struct lane *lane)
{
	static char block[TLS_BLOCK];
	int fd;
	SSL *ssl = dial(lane, &fd);
	for (int64_t now = 0; now < run.end_ns; now = bench_now_ns()) {
		int got = SSL_read(ssl, block, sizeof block);
		if (got <= 0)
			ssl_die("SSL_read");
		lane->total += (uint64_t)got;
		if (now >= run.begin_ns)
			lane->counted += (uint64_t)got;
	}
	unwrap(ssl, fd);
}

static void *client_lane(void *arg)
{
	struct lane *lane = arg;
	if (run.kind == TLS_BULK) {
		receive(lane);
		return NULL;
	}
	for (int64_t now = bench_now_ns(); now < run.end_ns; now = bench_now_ns()) {
		handshake(lane);
		lane->total++;
		if (now >= run.begin_ns)
			lane->counted++;
	}
	return NULL;
}

static void load(void)
{
	uint64_t counted = 0, total = 0;
	if (SSL_CTX_load_verify_locations(context, run.cert, NULL) != 1)
		ssl_die("root");
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(
		context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(context, on_session);
	tls_run_begin(&run);
	for (size_t i = 0; i < run.lanes; i++)
		pthread_create(&lanes[i].thread, NULL, client_lane, &lanes[i]);
	for (size_t i = 0; i < run.lanes; i++) {
		pthread_join(lanes[i].thread, NULL);
		counted += lanes[i].counted;
		total += lanes[i].total;
	}
	tls_run_report(&run, counted, total);
}

int main(int argc, char **argv)
{
	if (!tls_run_parse(&run, argc, argv))
		return 2;
	signal(SIGPIPE, SIG_IGN);
	context = SSL_CTX_new(TLS_method());
	if (!context || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1)
		ssl_die("SSL_CTX_new");
	if (run.is_client)
		load();
	else
		serve();
	return 0;
}
