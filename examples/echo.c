/* SPDX-License-Identifier: MIT */
/*
 * An echo server, and clients for it, in one program.
 *
 *	echo                 serves on a port of its own choice, lets three clients talk to
 *	                     itself, and ends
 *	echo tcp://:7777     serves there until Ctrl-C (also unix:/path)
 */
#include <weft/weft.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CLIENTS 3

/* One session: runs in a fiber of its own, owns conn. */
static weft_err echo(weft_conn *conn, void *arg)
{
	uint64_t copied = 0;
	weft_err err;

	(void)arg;
	err = weft_conn_copy(conn, conn, &copied, NULL, NULL, WEFT_FOREVER);
	if (!err)
		err = weft_conn_shutdown(conn); /* the client reads the end, after its echo */
	weft_conn_free(conn);
	return err;
}

struct server {
	weft_listener *listener;
	weft_scope *sessions;
};

static weft_err serve(void *arg)
{
	struct server *server = arg;

	return weft_listener_serve(server->listener, server->sessions, "echo", echo, NULL);
}

static weft_err client(void *arg)
{
	const char *address = arg;
	weft_conn *conn = NULL;
	char line[64];
	size_t got;
	weft_err err;

	err = weft_dial(&conn, address, NULL, weft_after_ms(5000));
	if (err)
		return err;
	err = weft_conn_write(conn, "hello, weft\n", 12, NULL, weft_after_ms(5000));
	if (!err)
		err = weft_conn_shutdown(conn);
	if (!err)
		err = weft_conn_read_line(conn, line, sizeof(line), &got, weft_after_ms(5000));
	if (!err)
		printf("%s heard: %s", weft_conn_local_name(conn), line);
	weft_conn_free(conn);
	return err;
}

static weft_err talk(const struct server *server)
{
	weft_scope *clients = NULL;
	weft_err err;
	/* the name is the listener's own, and only read */
	void *address = (void *)(uintptr_t)weft_listener_name(server->listener);

	err = weft_scope_create(&clients);
	for (int i = 0; i < CLIENTS && !err; i++)
		err = weft_scope_spawn(clients, "client", client, address);
	if (!err)
		err = weft_scope_wait(clients, WEFT_FOREVER);
	weft_scope_free(clients);
	return err;
}

static weft_err wait_for_interrupt(void)
{
	static const int numbers[] = { SIGINT, SIGTERM };
	weft_signals *signals = NULL;
	weft_err err;
	int number;

	err = weft_signals_create(&signals, numbers, 2);
	if (!err)
		err = weft_signals_wait(signals, &number, WEFT_FOREVER);
	weft_signals_free(signals);
	return err;
}

static weft_err start(void *arg)
{
	const char *address = arg;
	struct server server = { NULL, NULL };
	weft_err err;

	err = weft_listen(&server.listener, address ? address : "tcp://127.0.0.1:0", NULL,
		weft_after_ms(5000));
	if (!err)
		err = weft_scope_create(&server.sessions);
	if (!err)
		err = weft_scope_spawn(server.sessions, "serve", serve, &server);
	if (!err) {
		printf("serving on %s\n", weft_listener_name(server.listener));
		fflush(stdout);
		err = address ? wait_for_interrupt() : talk(&server);
	}
	if (!err) {
		weft_listener_close(server.listener); /* then serve returns */
		if (address)
			weft_scope_cancel(server.sessions);
		err = weft_scope_wait(server.sessions, WEFT_FOREVER);
	}
	weft_scope_free(server.sessions);
	weft_listener_free(server.listener);
	return err;
}

int main(int argc, char **argv)
{
	weft_err err = weft_run(start, argc > 1 ? argv[1] : NULL, NULL);

	if (err)
		fprintf(stderr, "echo: %s\n", weft_error_detail());
	return err ? 1 : 0;
}
