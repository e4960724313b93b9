/* SPDX-License-Identifier: MIT */
/* The echo server that peers/echo_load.c measures: a fiber a connection, one worker. */
#include "must.h"

static weft_err echo(weft_conn *conn, void *arg)
{
	(void)arg;
	char data[4096];
	size_t got;
	while (weft_conn_read(conn, data, sizeof data, &got, WEFT_FOREVER) == WEFT_OK) {
		if (weft_conn_write(conn, data, got, NULL, WEFT_FOREVER))
			break;
	}
	weft_conn_free(conn);
	return WEFT_OK;
}

static weft_err server(void *arg)
{
	(void)arg;
	weft_listener *listener = NULL;
	weft_scope *scope = NULL;
	must(weft_listen(&listener, "tcp://127.0.0.1:0", NULL, WEFT_FOREVER), "weft_listen");
	must(weft_scope_create(&scope), "weft_scope_create");
	printf("port %s\n", strrchr(weft_listener_name(listener), ':') + 1);
	fflush(stdout);
	/* Until it is killed. */
	return weft_listener_serve(listener, scope, "echo", echo, NULL);
}

int main(void)
{
	must_run(server, NULL, 1);
	return 0;
}
