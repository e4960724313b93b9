/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/*
 * TLS over the simulated net, with the faults that a seed brings. OpenSSL draws from its own
 * random source, so that lengths of signatures, and with them runs, differ: behaviour is what
 * is looked at. Whatever happens:
 *
 *   - what a client reads back is a prefix of what it wrote, in order, and all of it when the
 *     stream ended in order: no fault makes a cut stream look complete;
 *   - without faults every session succeeds, and resumes after the first;
 *   - nobody waits for ever, and nothing is left.
 */
#include "support/campaign.h"
#include "support/certs.h"

#include <stdlib.h>
#include <string.h>

#define CLIENTS 6
#define SESSIONS 3
#define BYTES_MAX 100000
#define SESSION_SECONDS 60
#define SECOND INT64_C(1000000000)
#define SEEDS 60

struct world;

struct user {
	struct world *world;
	weft_conn *conn;
	size_t bytes;
	weft_deadline until;
	unsigned succeeded, resumed;
};

struct world {
	weft_tls *client_tls, *server_tls;
	bool faults;
	unsigned nodes[2]; /* of the server, of the clients */
	struct user users[CLIENTS];
	bool over;
};

static uint8_t pattern(size_t i)
{
	return (uint8_t)((i * 2654435761u) >> 13);
}

/* ---- the server ---- */

static weft_err serve_echo(weft_conn *lower, void *arg)
{
	struct world *w = arg;
	weft_conn *conn = NULL;
	weft_err err;

	err = weft_tls_accept_own(
		&conn, w->server_tls, lower, weft_after_ns(SESSION_SECONDS * SECOND));
	if (err)
		return err;
	err = weft_conn_copy(conn, conn, NULL, NULL, NULL, weft_after_ns(SESSION_SECONDS * SECOND));
	if (!err)
		err = weft_conn_shutdown(conn);
	if (err)
		weft_conn_abort(conn);
	weft_conn_free(conn);
	return err;
}

static weft_err serve(void *arg)
{
	struct world *w = arg;
	weft_listener *listener = NULL;
	weft_scope *scope = NULL;
	weft_err err;

	CAMPAIGN_INSIST(weft_scope_create(&scope));
	do
		err = weft_listen(&listener, "tcp://server:443", NULL, weft_after_ns(SECOND));
	while (err == WEFT_ENOMEM);
	if (!err)
		(void)!weft_listener_serve(listener, scope, "echo", serve_echo, w);
	weft_scope_free(scope);
	weft_listener_free(listener);
	return WEFT_OK;
}

/* ---- clients ---- */

static weft_err write_all(void *arg)
{
	struct user *u = arg;
	uint8_t data[5000];
	weft_err err = WEFT_OK;
	size_t at = 0;

	while (!err && at < u->bytes) {
		size_t n = 1 + (size_t)weft_sim_random_below(sizeof(data)), written;

		n = n < u->bytes - at ? n : u->bytes - at;
		for (size_t i = 0; i < n; i++)
			data[i] = pattern(at + i);
		/* some are cut, and go on where they were told that they are */
		err = weft_conn_write(
			u->conn, data, n, &written, weft_sim_random_below(3) ? u->until : WEFT_NOW);
		at += written;
		if (err == WEFT_ETIMEDOUT && weft_now() < u->until)
			err = weft_sleep_ms(1);
	}
	return err ? err : weft_conn_shutdown(u->conn);
}

/* Each byte is right; in order, if the peer said so. */
static weft_err read_back(struct user *u)
{
	uint8_t data[3000];
	size_t at = 0, got = 0;
	weft_err err;

	while (!(err = weft_conn_read(u->conn, data, sizeof(data), &got, u->until))) {
		want(got > 0 && at + got <= u->bytes);
		for (size_t i = 0; i < got; i++)
			want(data[i] == pattern(at + i));
		at += got;
	}
	if (err == WEFT_ECLOSED)
		want(at == u->bytes);
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

static weft_err session(struct user *u)
{
	struct world *w = u->world;
	weft_fiber *writer = NULL;
	weft_conn *lower = NULL;
	weft_tls_info info;
	weft_err err;

	u->bytes = (size_t)weft_sim_random_below(BYTES_MAX);
	u->until = weft_after_ns(SESSION_SECONDS * SECOND);
	err = weft_dial(&lower, "tcp://server:443", NULL, u->until);
	if (!err)
		err = weft_tls_connect_own(&u->conn, w->client_tls, lower, "localhost", u->until);
	if (err)
		return err;
	want_ok(weft_tls_info_get(u->conn, &info));
	u->resumed += info.resumed;
	err = weft_spawn(&writer, "writer", write_all, u);
	if (!err) {
		err = read_back(u);
		if (err)
			weft_conn_abort(u->conn);
		weft_shield_begin(); /* the node may have crashed */
		campaign_join(writer);
		weft_shield_end();
	}
	weft_conn_free(u->conn);
	return err;
}

static weft_err use(void *arg)
{
	struct user *u = arg;

	for (int i = 0; i < SESSIONS; i++) {
		weft_err err = session(u);

		if (!u->world->faults)
			want_ok(err);
		u->succeeded += !err;
	}
	return WEFT_OK;
}

static weft_err faults(void *arg)
{
	struct world *w = arg;

	for (int i = 0; i < 10 && !w->over; i++)
		campaign_fault(w->nodes, 2, NULL);
	return WEFT_OK;
}

static weft_err body(void *arg)
{
	struct world *w = arg;
	weft_fiber *fibers[CLIENTS], *faulty = NULL, *server;
	unsigned succeeded = 0, resumed = 0;

	campaign_node(&w->nodes[0], "server");
	campaign_node(&w->nodes[1], "clients");
	campaign_spawn(w->nodes[0], &server, "server", serve, w);
	both_sleep_ns(SECOND / 10);
	for (int i = 0; i < CLIENTS; i++) {
		w->users[i].world = w;
		campaign_spawn(w->nodes[1], &fibers[i], "user", use, &w->users[i]);
	}
	if (w->faults)
		campaign_spawn(0, &faulty, "faults", faults, w);
	for (int i = 0; i < CLIENTS; i++) {
		campaign_join(fibers[i]);
		succeeded += w->users[i].succeeded;
		resumed += w->users[i].resumed;
	}
	w->over = true;
	if (faulty)
		campaign_join(faulty);
	weft_fiber_detach(server); /* cancelled with the root scope */
	if (!w->faults) {
		want(succeeded == CLIENTS * SESSIONS);
		want(resumed >= CLIENTS);
	}
	return WEFT_OK;
}

/* ---- runs ---- */

START_TEST(tls_under_the_faults_of_a_seed)
{
	weft_sim_options options = campaign_options((uint64_t)_i, 300);
	weft_tls_client_options client = WEFT_TLS_CLIENT_OPTIONS_DEFAULT;
	weft_tls_server_options server = WEFT_TLS_SERVER_OPTIONS_DEFAULT;
	struct world w = { .faults = campaign_has_faults((uint64_t)_i) };
	struct cert root, leaf;
	weft_sim_result result;
	weft_tls_cert cert;
	weft_err err;

	cert_root(&root, "Test Root");
	cert_leaf(&leaf, "Test Server", &root);
	cert = (weft_tls_cert){ NULL, NULL, leaf.cert_pem, leaf.key_pem };
	client.ca_pem = root.cert_pem;
	client.version_max = _i % 2 ? WEFT_TLS_1_2 : WEFT_TLS_1_3;
	server.certs = &cert;
	server.cert_count = 1;
	want_ok(weft_tls_client_create(&w.client_tls, &client));
	want_ok(weft_tls_server_create(&w.server_tls, &server));
	err = weft_sim_run(body, &w, &options, &result);
	ck_assert_msg(
		err == WEFT_OK, "seed %d: %s: %s", _i, weft_err_name(err), weft_error_detail());
	ck_assert_uint_eq(result.fibers_left, 0);
	ck_assert_uint_eq(result.sockets_left, 0);
	weft_tls_unref(w.client_tls);
	weft_tls_unref(w.server_tls);
	cert_free(&root);
	cert_free(&leaf);
}
END_TEST

static void sim_tls_tests(TCase *tc)
{
	campaign_add(tc, tls_under_the_faults_of_a_seed, SEEDS);
}

T_SUITE("sim_tls", sim_tls_tests)
