/* SPDX-License-Identifier: MIT */
#ifndef TCP_H
#define TCP_H

/* TCP over loopback, blocking, for the programs that are measured and those that load them. */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { TCP_BACKLOG = 1024 };

/* Without Nagle's delay. */
static inline int tcp_socket_as_it_is(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one))
		bench_die("socket");
	return fd;
}

/*
 * And with reno as its congestion control. A machine may have been set to BBR, which paces what
 * it sends, over loopback too: that would be measured, and no protocol. Chosen before the socket
 * is connected, since the pacing stays on once on.
 */
static inline int tcp_socket(void)
{
	int fd = tcp_socket_as_it_is();
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4))
		bench_die("setsockopt");
	return fd;
}

static inline int tcp_dial_by(int fd, uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&to, sizeof to))
		bench_die("connect");
	return fd;
}

static inline int tcp_dial(uint16_t port)
{
	return tcp_dial_by(tcp_socket(), port);
}

/* What it accepts has the same options. */
static inline int tcp_listen_by(int fd, uint16_t *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof at;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, TCP_BACKLOG) ||
		getsockname(fd, (struct sockaddr *)&at, &size))
		bench_die("listen");
	*port = ntohs(at.sin_port);
	return fd;
}

static inline int tcp_listen(uint16_t *port)
{
	return tcp_listen_by(tcp_socket(), port);
}

static inline int tcp_accept(int listener)
{
	int fd = accept(listener, NULL, NULL);
	if (fd < 0)
		bench_die("accept");
	return fd;
}
#endif
