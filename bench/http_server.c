/* SPDX-License-Identifier: MIT */
/* weft's HTTP server on one worker, which wrk loads; see http_rows.h. */
#include "http_rows.h"

#include "must.h"

#include <weft/http_server.h>

static weft_err answer(weft_http_exchange *x, void *arg)
{
	(void)arg;
	return weft_http_exchange_reply_text(x, 200, HTTP_BODY, WEFT_FOREVER);
}

static weft_err server_main(void *arg)
{
	weft_http_server *server = NULL;
	weft_listener *listener = NULL;
	(void)arg;
	must(weft_listen(&listener, "tcp://127.0.0.1:0", NULL, WEFT_FOREVER), "weft_listen");
	must(weft_http_server_create(&server, NULL), "weft_http_server_create");
	must(weft_http_server_route(server, "GET", "/", answer, NULL), "weft_http_server_route");
	printf("port %s\n", strrchr(weft_listener_name(listener), ':') + 1);
	fflush(stdout);
	/* Until it is killed. */
	return weft_http_server_serve(server, listener);
}

int main(void)
{
	must_run(server_main, NULL, 1);
	return 0;
}
