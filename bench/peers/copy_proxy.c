/* SPDX-License-Identifier: MIT */
/*
 * copy_proxy PORT: listens, prints "port N", takes one connection, dials 127.0.0.1:PORT
 * and copies both ways until both have ended: poll, read and write of 64 KiB, no splice.
 * What a bridge costs when nothing is asked of it but the copying.
 */
#include "../bench.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>

enum { BUFFER_SIZE = 65536 };

struct half {
	int from, to;
	size_t begin, end;
	bool over;
	char data[BUFFER_SIZE];
};

/* Moves what can be moved now; false once the half has ended. */
static bool half_step(struct half *h)
{
	if (h->begin == h->end) {
		ssize_t got = read(h->from, h->data, sizeof h->data);
		if (got < 0)
			return errno == EAGAIN;
		if (got == 0) {
			shutdown(h->to, SHUT_WR);
			return false;
		}
		h->begin = 0;
		h->end = (size_t)got;
	}
	ssize_t put = write(h->to, h->data + h->begin, h->end - h->begin);
	if (put < 0)
		return errno == EAGAIN;
	h->begin += (size_t)put;
	return true;
}

static void copy_both(int client, int server)
{
	static struct half halves[2];
	halves[0].from = halves[1].to = client;
	halves[1].from = halves[0].to = server;
	while (!halves[0].over || !halves[1].over) {
		struct pollfd polled[4];
		for (int i = 0; i < 2; i++) {
			struct half *h = &halves[i];
			bool full = h->begin != h->end;
			polled[2 * i] =
				(struct pollfd){ h->over || full ? -1 : h->from, POLLIN, 0 };
			polled[2 * i + 1] =
				(struct pollfd){ !h->over && full ? h->to : -1, POLLOUT, 0 };
		}
		if (poll(polled, 4, -1) < 0)
			bench_die("poll");
		for (int i = 0; i < 2; i++) {
			if (polled[2 * i].revents || polled[2 * i + 1].revents)
				halves[i].over = !half_step(&halves[i]);
		}
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof at;
	int one = 1;
	if (argc != 2)
		return 2;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 16) ||
		getsockname(listener, (struct sockaddr *)&at, &size))
		bench_die("listen");
	printf("port %d\n", ntohs(at.sin_port));
	fflush(stdout);
	int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	int server = socket(AF_INET, SOCK_STREAM, 0);
	at.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
	if (client < 0 || connect(server, (struct sockaddr *)&at, sizeof at))
		bench_die("connect");
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);

	if (fcntl(server, F_SETFL, O_NONBLOCK))
		bench_die("fcntl");
	copy_both(client, server);
	return 0;
}
