/* SPDX-License-Identifier: MIT */
/*
 * TLS in both roles: a server with a certificate made for the occasion, and a client that trusts
 * that one certificate. Prints what both agreed on, and that the second connection resumes.
 */
#include <weft/weft.h>

#include <stdio.h>
#include <string.h>

/* Says what it heard, once; each connection in a fiber of its own. */
static weft_err serve(weft_conn *conn, void *arg)
{
	weft_conn *secured = NULL;
	char line[64];
	size_t got;
	weft_err err;

	err = weft_tls_accept_own(&secured, arg, conn, weft_after_ms(10000));
	if (err)
		return err;
	err = weft_conn_read_line(secured, line, sizeof(line), &got, weft_after_ms(10000));
	if (!err)
		err = weft_conn_write(secured, line, got, NULL, weft_after_ms(10000));
	if (!err)
		err = weft_conn_shutdown(
			secured); /* else the client would see a stream that was cut */
	weft_conn_free(secured);
	return err;
}

static weft_err ask(const char *address, weft_tls *tls)
{
	weft_conn *conn = NULL, *secured = NULL;
	weft_tls_info info;
	char line[64];
	size_t got;
	weft_err err;

	err = weft_dial(&conn, address, NULL, weft_after_ms(10000));
	if (!err)
		err = weft_tls_connect_own(&secured, tls, conn, "localhost", weft_after_ms(10000));
	if (err)
		return err;
	err = weft_tls_info_get(secured, &info);
	if (!err)
		err = weft_conn_write(secured, "hello\n", 6, NULL, weft_after_ms(10000));
	if (!err)
		err = weft_conn_read_line(secured, line, sizeof(line), &got, weft_after_ms(10000));
	if (!err)
		printf("%s, %s, %s: %s", info.version, info.alpn, info.resumed ? "resumed" : "new",
			line);
	weft_conn_free(secured);
	return err;
}

struct server {
	weft_listener *listener;
	weft_scope *scope;
	weft_tls *tls;
};

static weft_err listen_fiber(void *arg)
{
	struct server *s = arg;

	return weft_listener_serve(s->listener, s->scope, "client", serve, s->tls);
}

static weft_err talk(struct server *server, weft_tls *client)
{
	weft_err err;

	err = weft_listen(&server->listener, "tcp://:0", NULL, weft_after_ms(10000));
	if (!err)
		err = weft_scope_create(&server->scope);
	if (!err)
		err = weft_scope_spawn(server->scope, "listener", listen_fiber, server);
	for (int i = 0; !err && i < 2; i++)
		err = ask(weft_listener_name(server->listener), client);
	weft_listener_free(server->listener);
	weft_scope_free(server->scope);
	return err;
}

static weft_err main_fiber(void *arg)
{
	static const char *const protocols[] = { "greeting/1", NULL };
	weft_tls_server_options server_options = WEFT_TLS_SERVER_OPTIONS_DEFAULT;
	weft_tls_client_options client_options = WEFT_TLS_CLIENT_OPTIONS_DEFAULT;
	struct server server = { NULL, NULL, NULL };
	weft_tls_pem pem = { NULL, NULL, "" };
	weft_tls *client = NULL;
	weft_tls_cert cert;
	weft_err err;

	(void)arg;
	err = weft_tls_self_signed(&pem, NULL); /* for trying out; else files */
	cert = (weft_tls_cert){ NULL, NULL, pem.cert_pem, pem.key_pem };
	server_options.certs = &cert;
	server_options.cert_count = 1;
	server_options.alpn = protocols;
	client_options.fingerprint = pem.fingerprint;
	client_options.alpn = protocols;
	if (!err)
		err = weft_tls_server_create(&server.tls, &server_options);
	if (!err)
		err = weft_tls_client_create(&client, &client_options);
	if (!err)
		err = talk(&server, client);
	weft_tls_unref(client);
	weft_tls_unref(server.tls);
	weft_tls_pem_fini(&pem);
	return err;
}

int main(void)
{
	weft_err err = weft_run(main_fiber, NULL, NULL);

	if (err)
		fprintf(stderr, "tls: %s\n", weft_error_detail());
	return err != WEFT_OK;
}
