/* SPDX-License-Identifier: MIT */
/* TLS over one worker, a fiber a lane; see tls_rows.h. */
#include "tls_rows.h"

#include "must.h"

#include <weft/tls.h>

struct lane {
	uint64_t counted, total;
};

static struct tls_run run;
static weft_tls *tls;

/* --- server --- */

static void send_all(weft_conn *conn)
{
	static const char block[TLS_BLOCK];
	while (weft_conn_write(conn, block, sizeof block, NULL, WEFT_FOREVER) == WEFT_OK)
		continue;
}

static weft_err serve(weft_conn *raw, void *arg)
{
	weft_conn *conn = NULL;
	(void)arg;
	/* A client leaves when its time is over. */
	if (weft_tls_accept_own(&conn, tls, raw, WEFT_FOREVER))
		return WEFT_OK;
	if (run.kind == TLS_BULK)
		send_all(conn);
	else if (weft_conn_write(conn, "x", 1, NULL, WEFT_FOREVER))
		weft_conn_abort(conn);
	weft_conn_free(conn);
	return WEFT_OK;
}

/* One connection, by a socket with the congestion control of all bulk rows. */
static weft_err serve_bulk(void)
{
	int listener = tls_run_listen();
	weft_conn *conn = NULL;
	int fd = tcp_accept(listener);
	close(listener);
	must(weft_conn_adopt_own(&conn, fd, fd, false, "client"), "weft_conn_adopt_own");
	return serve(conn, NULL);
}

static weft_err server(void *arg)
{
	weft_tls_server_options options = WEFT_TLS_SERVER_OPTIONS_DEFAULT;
	weft_tls_cert cert = { .cert_file = run.cert, .key_file = run.key };
	weft_listener *listener = NULL;
	weft_scope *scope = NULL;
	(void)arg;
	options.certs = &cert;
	options.cert_count = 1;
	options.version_min = WEFT_TLS_1_3;
	must(weft_tls_server_create(&tls, &options), "weft_tls_server_create");
	if (run.kind == TLS_BULK)
		return serve_bulk();
	must(weft_listen(&listener, "tcp://127.0.0.1:0", NULL, WEFT_FOREVER), "weft_listen");
	must(weft_scope_create(&scope), "weft_scope_create");
	printf("port %s\n", strrchr(weft_listener_name(listener), ':') + 1);
	fflush(stdout);
	/* Until it is killed. */
	return weft_listener_serve(listener, scope, "tls", serve, NULL);
}

/* --- client --- */

static weft_conn *dial(void)
{
	weft_conn *raw = NULL, *conn = NULL;
	char url[64];
	snprintf(url, sizeof url, "tcp://127.0.0.1:%d", run.port);
	must(weft_dial(&raw, url, NULL, WEFT_FOREVER), "weft_dial");
	must(weft_tls_connect_own(&conn, tls, raw, TLS_HOST, WEFT_FOREVER), "weft_tls_connect_own");
	return conn;
}

static void handshake(bool checks)
{
	weft_conn *conn = dial();
	weft_tls_info info;
	size_t got = 0;
	char data[16];
	must(weft_tls_info_get(conn, &info), "weft_tls_info_get");
	if (checks && info.resumed != (run.kind == TLS_RESUMED))
		bench_die("resumed or not, as it was not to be");
	must(weft_conn_read(conn, data, sizeof data, &got, WEFT_FOREVER), "weft_conn_read");
	if (got != 1 || weft_conn_read(conn, data, sizeof data, &got, WEFT_FOREVER) != WEFT_ECLOSED)
		bench_die("weft_conn_read");
	weft_conn_free(conn);
}

static void receive(struct lane *lane)
{
	static char block[TLS_BLOCK];
	weft_conn *conn = dial();
	for (int64_t now = 0; now < run.end_ns; now = bench_now_ns()) {
		size_t got = 0;
		must(weft_conn_read(conn, block, sizeof block, &got, WEFT_FOREVER),
			"weft_conn_read");
		lane->total += got;
		if (now >= run.begin_ns)
			lane->counted += got;
	}
	weft_conn_free(conn);
}

static weft_err client_lane(void *arg)
{
	struct lane *lane = arg;
	if (run.kind == TLS_BULK) {
		receive(lane);
		return WEFT_OK;
	}
	for (int64_t now = bench_now_ns(); now < run.end_ns; now = bench_now_ns()) {
		/* The first leaves a ticket for the next. */
		handshake(lane->total > 0);
		lane->total++;
		if (now >= run.begin_ns)
			lane->counted++;
	}
	return WEFT_OK;
}

static weft_err client(void *arg)
{
	weft_tls_client_options options = WEFT_TLS_CLIENT_OPTIONS_DEFAULT;
	struct lane lanes[TLS_LANES] = { { 0, 0 } };
	uint64_t counted = 0, total = 0;
	weft_scope *scope = NULL;
	(void)arg;
	options.ca_file = run.cert;
	options.version_min = WEFT_TLS_1_3;
	options.sessions_off = run.kind != TLS_RESUMED;
	must(weft_tls_client_create(&tls, &options), "weft_tls_client_create");
	must(weft_scope_create(&scope), "weft_scope_create");
	tls_run_begin(&run);
	for (size_t i = 0; i < run.lanes; i++)
		must(weft_scope_spawn(scope, "lane", client_lane, &lanes[i]), "weft_scope_spawn");
	must(weft_scope_wait(scope, WEFT_FOREVER), "weft_scope_wait");
	for (size_t i = 0; i < run.lanes; i++) {
		counted += lanes[i].counted;
		total += lanes[i].total;
	}
	tls_run_report(&run, counted, total);
	weft_scope_free(scope);
	weft_tls_unref(tls);
	return WEFT_OK;
}

int main(int argc, char **argv)
{
	if (!tls_run_parse(&run, argc, argv))
		return 2;
	must_run(run.is_client ? client : server, NULL, 1);
	return 0;
}
