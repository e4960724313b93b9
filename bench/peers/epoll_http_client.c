/* SPDX-License-Identifier: MIT */
/* The bound of an HTTP client: epoll, one write and one read a request, a request that is
 * always the same, and a reply whose size is known from the first. */
#include "../http_rows.h"

#include <sys/epoll.h>

enum { REPLY_MAX = 4096 };

static struct http_run run;
static char request[64];
static size_t request_size, reply_size;
static size_t waits[HTTP_AT_ONCE_MAX]; /* bytes that are still to come */
static int fds[HTTP_AT_ONCE_MAX];

static void ask(size_t i)
{
	if (write(fds[i], request, request_size) != (ssize_t)request_size)
		bench_die("write");
	waits[i] = reply_size;
}

/* The first reply of a connection: compared, and how large they all are. */
static void first(size_t i)
{
	char data[REPLY_MAX];
	size_t filled = 0;
	const char *end;
	ask(i);
	for (;;) {
		ssize_t got = read(fds[i], data + filled, sizeof data - filled);
		if (got <= 0)
			bench_die("read");
		filled += (size_t)got;
		end = memmem(data, filled, "\r\n\r\n", 4);
		if (end && filled >= (size_t)(end + 4 - data) + HTTP_BODY_SIZE)
			break;
	}
	http_body_check(end + 4, filled - (size_t)(end + 4 - data));
	reply_size = filled;
}

/* 1 once a whole reply is here. */
static uint64_t reply(size_t i)
{
	char data[REPLY_MAX];
	ssize_t got = read(fds[i], data, sizeof data);
	if (got <= 0 || (size_t)got > waits[i])
		bench_die("read");
	waits[i] -= (size_t)got;
	return waits[i] == 0;
}

static void load(int poller, bool measured)
{
	struct epoll_event events[HTTP_AT_ONCE_MAX];
	http_run_begin(&run, measured);
	while (bench_now_ns() < run.until_ns) {
		int n = epoll_wait(poller, events, HTTP_AT_ONCE_MAX, 5000);
		if (n <= 0)
			bench_die("no reply for five seconds");
		for (int e = 0; e < n; e++) {
			size_t i = events[e].data.u64;
			if (reply(i)) {
				run.done++;
				ask(i);
			}
		}
	}
}

int main(int argc, char **argv)
{
	if (!http_run_parse(&run, argc, argv))
		return 2;
	int poller = epoll_create1(0);
	request_size = (size_t)snprintf(
		request, sizeof request, "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", run.port);
	for (size_t i = 0; i < run.at_once; i++) {
		fds[i] = tcp_dial_by(tcp_socket_as_it_is(), run.port);
		first(i);
		ask(i);
		struct epoll_event event = { .events = EPOLLIN, .data.u64 = i };
		if (epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &event))
			bench_die("epoll_ctl");
	}
	load(poller, false);
	load(poller, true);
	http_run_report(&run);
	return 0;
}
