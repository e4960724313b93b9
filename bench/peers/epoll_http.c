/* SPDX-License-Identifier: MIT */
/* The bound of an HTTP server: epoll, one read and one write a request, a reply that is
 * always the same, and of the request only its end looked for. */
#include "../http_rows.h"

#include <sys/epoll.h>

enum { EVENTS_MAX = 256, REQUEST_MAX = 4096 };

#define REPLY                                                             \
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " \
	"128\r\n\r\n" HTTP_BODY

struct client {
	int fd;
	size_t filled;
	char data[REQUEST_MAX];
};

static int poller;

static void watch(int fd, struct client *c)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event))
		bench_die("epoll_ctl");
}

static void accept_all(int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		struct client *c = malloc(sizeof *c);
		if (!c)
			bench_die("malloc");
		c->fd = fd;
		c->filled = 0;
		watch(fd, c);
	}
}

static void serve(struct client *c)
{
	ssize_t got = read(c->fd, c->data + c->filled, sizeof c->data - c->filled);
	char *at = c->data, *end;
	if (got < 0 && errno == EAGAIN)
		return;
	if (got > 0)
		c->filled += (size_t)got;
	while (got > 0 && (end = memmem(at, c->filled, "\r\n\r\n", 4))) {
		c->filled -= (size_t)(end + 4 - at);
		at = end + 4;
		/* To clients that await it: it always fits. */
		if (write(c->fd, REPLY, sizeof REPLY - 1) != sizeof REPLY - 1)
			got = 0;
	}
	if (got <= 0 || c->filled == sizeof c->data) {
		close(c->fd);
		free(c);
		return;
	}
	memmove(c->data, at, c->filled);
}

int main(void)
{
	int listener = http_listen();
	poller = epoll_create1(EPOLL_CLOEXEC);
	watch(listener, NULL);
	for (;;) {
		struct epoll_event events[EVENTS_MAX];
		int n = epoll_wait(poller, events, EVENTS_MAX, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				serve(events[i].data.ptr);
			else
				accept_all(listener);
		}
	}
}
