/* SPDX-License-Identifier: MIT */
/*
 * An HTTP server: a greeting, an echo, a clock as an event stream.
 *
 *	http_server                         serves on a port of its own choice, asks itself,
 *	                                    and ends
 *	http_server tcp://127.0.0.1:8080    serves there until Ctrl-C
 *
 *	curl http://127.0.0.1:8080/hello/you
 *	curl --data-binary @file http://127.0.0.1:8080/echo
 *	curl -N http://127.0.0.1:8080/clock
 */
#include <weft/weft.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

static weft_err hello(weft_http_exchange *x, void *arg)
{
	const char *name = weft_http_exchange_param(x, "name");
	char text[128];

	(void)arg;
	(void)snprintf(text, sizeof(text), "hello, %.100s\n", name ? name : "?");
	return weft_http_exchange_reply_text(x, 200, text, WEFT_FOREVER);
}

/* Sends back what comes, while it comes: never more than a buffer of it is here. */
static weft_err echo(weft_http_exchange *x, void *arg)
{
	char data[4096];
	size_t got;
	weft_err err;

	(void)arg;
	err = weft_http_exchange_begin(x, 200, NULL, WEFT_FOREVER);
	while (!err) {
		err = weft_http_exchange_read(x, data, sizeof(data), &got, WEFT_FOREVER);
		if (!err)
			err = weft_http_exchange_write(x, data, got, WEFT_FOREVER);
	}
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

/* An event a second, until the client goes. */
static weft_err clock_events(weft_http_exchange *x, void *arg)
{
	weft_cancel *gone = NULL;
	weft_err err;

	(void)arg;
	err = weft_http_exchange_sse_begin(x, NULL, WEFT_FOREVER);
	if (!err)
		err = weft_http_exchange_watch(x, &gone);
	for (unsigned seconds = 0; !err; seconds++) {
		weft_sse_event event = { .type = "tick" };
		char text[32];

		event.data_len = (size_t)snprintf(text, sizeof(text), "%u", seconds);
		event.data = text;
		err = weft_http_exchange_sse_send(x, &event, WEFT_FOREVER);
		/* a sleep that ends when the client does */
		if (!err && weft_cancel_wait(gone, weft_after_ms(1000)) == WEFT_OK)
			err = weft_cancel_reason(gone);
	}
	return err == WEFT_ERESET || err == WEFT_ECLOSED ? WEFT_OK : err;
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

/* A request and its response, by hand. */
static weft_err ask(const char *address)
{
	static const char request[] = "GET /hello/weft HTTP/1.1\r\nHost: localhost\r\n"
				      "Connection: close\r\n\r\n";
	weft_conn *conn = NULL;
	char line[256];
	size_t got;
	weft_err err;

	err = weft_dial(&conn, address, NULL, weft_after_ms(5000));
	if (err)
		return err;
	err = weft_conn_write(conn, request, sizeof(request) - 1, NULL, WEFT_FOREVER);
	while (!err) {
		err = weft_conn_read_line(conn, line, sizeof(line), &got, WEFT_FOREVER);
		if (!err && strncmp(line, "Date:", 5) != 0)
			fputs(line, stdout);
	}
	weft_conn_free(conn);
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

static weft_err routes(weft_http_server *server)
{
	weft_err err = weft_http_server_route(server, "GET", "/hello/{name}", hello, NULL);

	if (!err)
		err = weft_http_server_route(server, "POST", "/echo", echo, NULL);
	if (!err)
		err = weft_http_server_route(server, "GET", "/clock", clock_events, NULL);
	return err;
}

static weft_err start(void *arg)
{
	const char *address = arg;
	weft_http_server *server = NULL;
	weft_listener *listener = NULL;
	weft_err err;

	err = weft_listen(
		&listener, address ? address : "tcp://127.0.0.1:0", NULL, weft_after_ms(5000));
	if (!err)
		err = weft_http_server_create(&server, NULL);
	if (!err)
		err = routes(server);
	if (!err)
		err = weft_http_server_start(server, listener);
	if (!err) {
		printf("serving on %s\n", weft_listener_name(listener));
		fflush(stdout);
		err = address ? wait_for_interrupt() : ask(weft_listener_name(listener));
	}
	if (server) {
		weft_http_server_stop(server); /* requests in flight get five seconds */
		if (weft_http_server_wait(server, WEFT_FOREVER) == WEFT_OK)
			puts("stopped");
	}
	weft_http_server_free(server);
	weft_listener_free(listener);
	return err;
}

int main(int argc, char **argv)
{
	weft_err err = weft_run(start, argc > 1 ? argv[1] : NULL, NULL);

	if (err)
		fprintf(stderr, "http_server: %s\n", weft_error_detail());
	return err ? 1 : 0;
}
