/* SPDX-License-Identifier: MIT */
/* The echo server as epoll callbacks, with nothing around them: one epoll set, a
 * function pointer a descriptor. "level" reads once an event; "edge" is edge-triggered
 * and goes on only when a read filled its buffer, which is all that stream sockets ask
 * for (epoll(7)). */
#include "../bench.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { EVENTS_MAX = 256 };

struct handler {
	void (*ready)(struct handler *self);
	int fd;
};

static int poller;
static uint32_t interest;

static void watch(int fd, void (*ready)(struct handler *))
{
	struct handler *h = malloc(sizeof *h);
	if (!h)
		bench_die("malloc");
	h->ready = ready;
	h->fd = fd;
	struct epoll_event event = { .events = interest, .data.ptr = h };
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event))
		bench_die("epoll_ctl");
}

static void echo_ready(struct handler *self)
{
	char data[4096];
	for (;;) {
		ssize_t got = read(self->fd, data, sizeof data);
		if (got < 0 && errno == EAGAIN)
			return;
		/* Replies of 64 bytes to clients that await them always fit. */
		if (got <= 0 || write(self->fd, data, (size_t)got) != got) {
			close(self->fd);
			free(self);
			return;
		}
		if ((size_t)got < sizeof data || !(interest & EPOLLET))
			return;
	}
}

static void accept_ready(struct handler *self)
{
	int one = 1;
	for (;;) {
		int fd = accept4(self->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		watch(fd, echo_ready);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof at;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	interest = EPOLLIN | (argc == 2 && !strcmp(argv[1], "edge") ? EPOLLET : 0);
	poller = epoll_create1(EPOLL_CLOEXEC);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 1024) ||
		getsockname(listener, (struct sockaddr *)&at, &size))
		bench_die("listen");
	watch(listener, accept_ready);
	printf("port %d\n", ntohs(at.sin_port));
	fflush(stdout);
	for (;;) {
		struct epoll_event events[EVENTS_MAX];
		int n = epoll_wait(poller, events, EVENTS_MAX, -1);
		for (int i = 0; i < n; i++) {
			struct handler *h = events[i].data.ptr;
			h->ready(h);
		}
	}
}
