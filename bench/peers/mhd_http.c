/* SPDX-License-Identifier: MIT */
/* libmicrohttpd beside http_server.c: one thread of its own with epoll, a reply made once. */
#include "../http_rows.h"

#include <microhttpd.h>

static struct MHD_Response *reply;

static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *body, size_t *body_size, void **state)
{
	(void)arg, (void)version, (void)body, (void)body_size;
	if (strcmp(method, "GET") || strcmp(url, "/"))
		return MHD_NO;
	if (!*state) { /* what is answered at the first call closes its connection */
		*state = reply;
		return MHD_YES;
	}
	return MHD_queue_response(connection, MHD_HTTP_OK, reply);
}

int main(void)
{
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO;
	int listener = http_listen();
	reply = MHD_create_response_from_buffer(
		HTTP_BODY_SIZE, (void *)(uintptr_t)HTTP_BODY, MHD_RESPMEM_PERSISTENT);
	if (!reply || MHD_add_response_header(reply, "Content-Type", "text/plain") != MHD_YES ||
		!MHD_start_daemon(flags, 0, NULL, NULL, answer, NULL, MHD_OPTION_LISTEN_SOCKET,
			listener, MHD_OPTION_END))
		bench_die("MHD_start_daemon");
	for (;;)
		pause();
}
