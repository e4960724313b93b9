/* SPDX-License-Identifier: MIT */
/*
 * Server-Sent Events, received over as many connections as it takes.
 *
 *	events          a server of its own that ends each stream after two events
 *	events URL      until the server has no more to say, or Ctrl-C
 */
#include <weft/weft.h>

#include <stdio.h>
#include <stdlib.h>

#define EVENTS 6

/* Prints events until the stream is over; a loss is told, and then made good. */
static weft_err listen_to(const char *url)
{
	weft_http_client *http = NULL;
	weft_sse_client *sse = NULL;
	weft_sse_event event;
	weft_err err;

	err = weft_http_client_create(&http, NULL);
	if (!err)
		err = weft_sse_client_open(&sse, http, url, NULL, weft_after_ms(5000));
	while (!err) {
		err = weft_sse_client_next(sse, &event, WEFT_FOREVER);
		if (!err) {
			printf("%s %s: %.*s\n", event.type, event.id, (int)event.data_len,
				event.data);
		} else if (err == WEFT_ERESET) {
			printf("lost behind %s\n", weft_sse_client_last_id(sse));
			err = WEFT_OK; /* the next call connects again */
		}
	}
	weft_sse_client_free(sse);
	weft_http_client_unref(http);
	return err == WEFT_ECLOSED ? WEFT_OK : err; /* 204: there is no more */
}

/* ---- a server to listen to ---- */

/* From the event behind the last one that the client has; 204 at the end. */
static weft_err numbers(weft_http_exchange *x, void *arg)
{
	const char *last = weft_http_fields_get(weft_http_exchange_fields(x), "Last-Event-ID");
	int number = last ? atoi(last) : 0;
	weft_err err;

	(void)arg;
	if (number >= EVENTS)
		return weft_http_exchange_reply(x, 204, NULL, NULL, 0, WEFT_FOREVER);
	err = weft_http_exchange_sse_begin(x, NULL, WEFT_FOREVER);
	for (int i = 0; i < 2 && !err; i++) {
		char text[16];
		weft_sse_event event = {
			.id = text, .data = text, .retry_set = true, .retry_ms = 10
		};

		event.data_len = (size_t)snprintf(text, sizeof(text), "%d", ++number);
		err = weft_http_exchange_sse_send(x, &event, WEFT_FOREVER);
	}
	return err;
}

static weft_err listen_to_ourselves(void)
{
	weft_http_server *server = NULL;
	weft_listener *listener = NULL;
	char url[128];
	weft_err err;

	err = weft_listen(&listener, "tcp://127.0.0.1:0", NULL, weft_after_ms(5000));
	if (!err)
		err = weft_http_server_create(&server, NULL);
	if (!err)
		err = weft_http_server_route(server, "GET", "/numbers", numbers, NULL);
	if (!err)
		err = weft_http_server_start(server, listener);
	if (!err) {
		(void)snprintf(url, sizeof(url), "http://%s/numbers",
			weft_listener_name(listener) + 6); /* behind "tcp://" */
		err = listen_to(url);
	}
	if (server) {
		weft_http_server_stop(server);
		if (weft_http_server_wait(server, WEFT_FOREVER) == WEFT_OK)
			weft_http_server_free(server);
	}
	weft_listener_free(listener);
	return err;
}

static weft_err start(void *arg)
{
	const char *url = arg;
	weft_err err = url ? listen_to(url) : listen_to_ourselves();

	if (err)
		fprintf(stderr, "events: %s\n", weft_error_detail());
	return err;
}

int main(int argc, char **argv)
{
	weft_err err = weft_run(start, argc > 1 ? argv[1] : NULL, NULL);

	return err ? 1 : 0;
}
