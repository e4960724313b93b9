/* SPDX-License-Identifier: MIT */
#ifndef HTTP_ROWS_H
#define HTTP_ROWS_H

/*
 * What http_server.c, http_client.c and their peers in C share, so that all do the same.
 *
 * A server:  PROGRAM             answers GET / with HTTP_BODY; prints "port N"
 * A client:  PROGRAM ROW PORT    ROW is client-N: as many GET / as it can in a fixed time,
 *                                N at once; each reply's body is counted, that of the first
 *                                on each connection compared
 */
#include "bench.h"
#include "tcp.h"

#include <fcntl.h>
#include <stdbool.h>

/* 128 bytes: the head of a reply is as large. bench/web.py says it again. */
#define HTTP_BODY_16 "0123456789abcdef"
#define HTTP_BODY                                                                                  \
	HTTP_BODY_16 HTTP_BODY_16 HTTP_BODY_16 HTTP_BODY_16 HTTP_BODY_16 HTTP_BODY_16 HTTP_BODY_16 \
		HTTP_BODY_16

enum { HTTP_BODY_SIZE = sizeof(HTTP_BODY) - 1, HTTP_AT_ONCE_MAX = 64 };

/* The server's port. What it is given for congestion control it keeps, as its peers do. */
static inline int http_listen(void)
{
	uint16_t port;
	int fd = tcp_listen_by(tcp_socket_as_it_is(), &port);
	if (fcntl(fd, F_SETFL, O_NONBLOCK))
		bench_die("fcntl");
	printf("port %d\n", port);
	fflush(stdout);
	return fd;
}

/* --- a client's row -------------------------------------------------------------------- */

struct http_run {
	const char *row;
	size_t at_once;
	uint16_t port;
	uint64_t done; /* replies read whole while it was measured */
	bool measured; /* else: warming up */
	int64_t began_ns, until_ns, cpu_ns;
};

static inline bool http_run_parse(struct http_run *run, int argc, char **argv)
{
	memset(run, 0, sizeof *run);
	if (argc == 3 && !strncmp(argv[1], "client-", 7)) {
		run->row = argv[1];
		run->at_once = strtoul(argv[1] + 7, NULL, 10);
		run->port = (uint16_t)strtoul(argv[2], NULL, 10);
	}
	if (run->at_once && run->at_once <= HTTP_AT_ONCE_MAX)
		return true;
	fprintf(stderr, "usage: %s client-N PORT, N up to %d\n", argv[0], HTTP_AT_ONCE_MAX);
	return false;
}

/* First for a while that is not measured, then for one that is. */
static inline void http_run_begin(struct http_run *run, bool measured)
{
	run->measured = measured;
	run->done = 0;
	run->cpu_ns = bench_cpu_ns();
	run->began_ns = bench_now_ns();
	run->until_ns = run->began_ns + (measured ? (int64_t)bench_count(1500000000) : 200000000);
}

static inline void http_run_report(struct http_run *run)
{
	char name[64];
	double took_ns = (double)(bench_now_ns() - run->began_ns);
	double cpu_ns = (double)(bench_cpu_ns() - run->cpu_ns);
	if (!run->done)
		bench_die("no reply");
	bench_report(run->row, (double)run->done * 1e9 / took_ns, "requests/s");
	snprintf(name, sizeof name, "%s-cpu", run->row);
	bench_report(name, cpu_ns / (double)run->done, "ns");
}

static inline void http_body_check(const char *body, size_t size)
{
	errno = 0;
	if (size != HTTP_BODY_SIZE || memcmp(body, HTTP_BODY, HTTP_BODY_SIZE))
		bench_die("a body that is not the server's");
}
#endif
