/* SPDX-License-Identifier: MIT */
/* Sessions that come and sessions that are had, over the net; and this process's own. */
#include "support/both.h"

#ifdef WEFT_TLS
#include "support/certs.h"
#endif

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PING "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"

static void send_ping(weft_transport *transport)
{
	weft_message m;

	want_ok(weft_message_copy(&m, NULL, PING, strlen(PING), NULL));
	want_ok(weft_transport_send_own(transport, &m, WEFT_FOREVER));
}

static void expect_ping(weft_transport *transport)
{
	weft_message m;

	want_ok(weft_transport_receive(transport, &m, WEFT_FOREVER));
	want(m.rpc.kind == WEFT_JSONRPC_REQUEST && m.text.len == strlen(PING));
	weft_message_fini(&m);
}

/* Echoes each session, until no more come. */
static weft_err echo_session(void *arg)
{
	weft_transport *t = arg;
	weft_message m;
	weft_err err;

	while (!(err = weft_transport_receive(t, &m, WEFT_FOREVER)))
		want_ok(weft_transport_send_own(t, &m, WEFT_FOREVER));
	want(err == WEFT_ECLOSED || err == WEFT_ERESET);
	weft_transport_free(t);
	return WEFT_OK;
}

static weft_err serve(void *arg)
{
	weft_incoming *incoming = arg;
	weft_transport *t;
	weft_err err;

	while (!(err = weft_incoming_accept(incoming, &t, WEFT_FOREVER)))
		want_ok(weft_spawn(NULL, "echo", echo_session, t));
	want(err == WEFT_ECLOSED);
	return WEFT_OK;
}

BOTH_TEST(sessions_come_and_are_had_over_the_net)
{
	weft_incoming *incoming;
	weft_outgoing *outgoing;
	weft_listener *listener;
	weft_transport *sessions[5];
	weft_fiber *server;
	weft_message m;

	want_ok(weft_listen(&listener, "tcp://127.0.0.1:0", NULL, WEFT_FOREVER));
	want_ok(weft_outgoing_dial(
		&outgoing, weft_listener_name(listener), NULL, NULL, NULL, NULL));
	want_ok(weft_incoming_listener_own(&incoming, listener, NULL, NULL));
	want(!strcmp(weft_incoming_name(incoming), weft_outgoing_name(outgoing)));
	want_ok(weft_spawn(&server, "server", serve, incoming));
	for (int i = 0; i < 5; i++) {
		want_ok(weft_outgoing_connect(outgoing, &sessions[i], WEFT_FOREVER));
		want(!strcmp(weft_transport_kind(sessions[i]), "tcp"));
		send_ping(sessions[i]);
	}
	weft_incoming_close(incoming);
	weft_incoming_close(incoming);
	want_ok(weft_fiber_join(server, NULL, WEFT_FOREVER));
	want_err(WEFT_EREFUSED, weft_outgoing_connect(outgoing, &sessions[0], WEFT_FOREVER));
	for (int i = 0; i < 5; i++) {
		expect_ping(sessions[i]);
		weft_transport_close(sessions[i]);
		want_err(WEFT_ECLOSED, weft_transport_receive(sessions[i], &m, WEFT_FOREVER));
		weft_transport_free(sessions[i]);
	}
	weft_incoming_free(incoming);
	weft_outgoing_free(outgoing);
	return WEFT_OK;
}

#ifdef WEFT_TLS
/* One client says nothing at all: the others are served. */
static weft_err handshake_main(void *arg)
{
	weft_tls_client_options client = WEFT_TLS_CLIENT_OPTIONS_DEFAULT;
	weft_tls_server_options server = WEFT_TLS_SERVER_OPTIONS_DEFAULT;
	struct cert root = { 0 }, leaf = { 0 };
	weft_tls *client_tls, *server_tls;
	weft_incoming *incoming;
	weft_outgoing *outgoing;
	weft_listener *listener;
	weft_transport *session;
	weft_fiber *fiber;
	weft_tls_cert cert;
	weft_conn *silent;

	(void)arg;
	cert_root(&root, "Test Root");
	cert_leaf(&leaf, "localhost", &root);
	client.ca_pem = root.cert_pem;
	cert = (weft_tls_cert){ NULL, NULL, leaf.cert_pem, leaf.key_pem };
	server.certs = &cert;
	server.cert_count = 1;
	want_ok(weft_tls_client_create(&client_tls, &client));
	want_ok(weft_tls_server_create(&server_tls, &server));
	want_ok(weft_listen(&listener, "tcp://127.0.0.1:0", NULL, WEFT_FOREVER));
	want_ok(weft_dial(&silent, weft_listener_name(listener), NULL, WEFT_FOREVER));
	want_ok(weft_outgoing_dial(
		&outgoing, weft_listener_name(listener), NULL, client_tls, "localhost", NULL));
	want_ok(weft_incoming_listener_own(&incoming, listener, server_tls, NULL));
	want_ok(weft_spawn(&fiber, "server", serve, incoming));
	for (int i = 0; i < 3; i++) {
		want_ok(weft_outgoing_connect(outgoing, &session, WEFT_FOREVER));
		want(!strcmp(weft_transport_kind(session), "tls"));
		send_ping(session);
		expect_ping(session);
		weft_transport_free(session);
	}
	weft_incoming_close(incoming);
	want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
	weft_incoming_free(incoming);
	weft_outgoing_free(outgoing);
	weft_conn_free(silent);
	weft_tls_unref(client_tls);
	weft_tls_unref(server_tls);
	cert_free(&leaf);
	cert_free(&root);
	return WEFT_OK;
}

START_TEST(a_handshake_that_waits_holds_nobody_up)
{
	both_run_epoll(handshake_main);
}
END_TEST
#endif

/* ---- stdin and stdout ---- */

static weft_err stdio_main(void *arg)
{
	weft_incoming *incoming;
	weft_transport *t, *other;
	weft_message m;
	weft_err err;

	err = weft_incoming_stdio(&incoming, NULL);
	if (!err)
		err = weft_incoming_accept(incoming, &t, WEFT_FOREVER);
	if (err)
		return err;
	if (weft_incoming_accept(incoming, &other, WEFT_FOREVER) != WEFT_ECLOSED ||
		strcmp(weft_transport_kind(t), "stdio") != 0)
		return WEFT_EPROTO;
	while (!(err = weft_transport_receive(t, &m, *(weft_deadline *)arg))) {
		err = weft_transport_send_own(t, &m, WEFT_FOREVER);
		if (err)
			return err;
		if (*(weft_deadline *)arg != WEFT_FOREVER)
			*(weft_deadline *)arg = WEFT_NOW;
	}
	weft_transport_free(t);
	weft_incoming_free(incoming);
	return err == WEFT_ECLOSED || err == WEFT_ETIMEDOUT ? WEFT_OK : err;
}

/* Until its end, or, if the process ends it, until the first message was echoed. */
static void stdio_session(bool ends_itself)
{
	weft_deadline until = ends_itself ? WEFT_FOREVER - 1 : WEFT_FOREVER;
	int in[2], out[2], status;
	char back[200] = "";
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	ck_assert_int_eq(pipe(in), 0);
	ck_assert_int_eq(pipe(out), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		for (int fd = 3; fd < 64; fd++)
			close(fd);
		_exit(weft_run(stdio_main, &until, NULL) == WEFT_OK ? 0 : 1);
	}
	close(out[1]);
	if (ends_itself) {
		ck_assert_int_eq(write(in[1], PING "\n", strlen(PING) + 1), strlen(PING) + 1);
	} else {
		ck_assert_int_eq(
			write(in[1], PING "\n" PING, 2 * strlen(PING) + 1), 2 * strlen(PING) + 1);
		close(in[1]);
	}
	while ((n = read(out[0], back + len, sizeof(back) - 1 - len)) > 0)
		len += (size_t)n;
	ck_assert_str_eq(back, ends_itself ? PING "\n" : PING "\n" PING "\n");
	/* who waited for the end of what the peer says would read it */
	if (ends_itself)
		ck_assert_int_eq(write(in[1], "x", 1), 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	if (ends_itself) {
		close(in[1]);
		ck_assert_int_eq(read(in[0], back, 1), 1);
	}
	close(in[0]);
	close(out[0]);
}

START_TEST(this_process_is_a_session)
{
	stdio_session(false);
}
END_TEST

START_TEST(this_process_ends_its_session_at_once)
{
	stdio_session(true);
}
END_TEST

static void incoming_tests(TCase *tc)
{
	both_add(tc, sessions_come_and_are_had_over_the_net);
#ifdef WEFT_TLS
	t_add(tc, a_handshake_that_waits_holds_nobody_up);
#endif
	t_add(tc, this_process_is_a_session);
	t_add(tc, this_process_ends_its_session_at_once);
}

T_SUITE("incoming", incoming_tests)
