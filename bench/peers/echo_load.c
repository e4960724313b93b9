/* SPDX-License-Identifier: MIT */
/*
 * echo_load PORT PID CONNECTIONS: loads an echo server with 64-byte requests, one under
 * way a connection, and checks each reply. After a warm-up it measures for two seconds:
 * requests a second, and the processor time (user and system, all threads) that
 * process PID used in that window, a request.
 */
#include "../bench.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { REQUEST_SIZE = 64, CONNECTIONS_MAX = 1024 };

static int fds[CONNECTIONS_MAX];
static uint64_t sequence[CONNECTIONS_MAX];
static size_t filled[CONNECTIONS_MAX];
static char replies[CONNECTIONS_MAX][REQUEST_SIZE];

static void request(size_t i)
{
	char data[REQUEST_SIZE];
	memset(data, (int)i, sizeof data);
	sequence[i]++;
	memcpy(data, &sequence[i], sizeof sequence[i]);
	if (write(fds[i], data, sizeof data) != sizeof data)
		bench_die("write");
}

/* 1 once a whole reply is here. */
static uint64_t reply(size_t i)
{
	ssize_t got = read(fds[i], replies[i] + filled[i], REQUEST_SIZE - filled[i]);
	if (got < 0 && errno == EAGAIN)
		return 0;
	if (got <= 0)
		bench_die("read");
	filled[i] += (size_t)got;
	if (filled[i] < REQUEST_SIZE)
		return 0;
	filled[i] = 0;
	if (memcmp(replies[i], &sequence[i], sizeof sequence[i]) ||
		replies[i][REQUEST_SIZE - 1] != (char)i)
		bench_die("a reply that is not its request");
	return 1;
}

static uint64_t load(int poller, int64_t duration_ns, int64_t *took_ns)
{
	struct epoll_event events[256];
	uint64_t done = 0;
	int64_t begin = bench_now_ns(), now = begin;
	while (now - begin < duration_ns) {
		int n = epoll_wait(poller, events, 256, 5000);
		if (n <= 0)
			bench_die("no reply for five seconds");
		for (int e = 0; e < n; e++) {
			size_t i = events[e].data.u64;
			if (reply(i)) {
				done++;
				request(i);
			}
		}
		now = bench_now_ns();
	}
	*took_ns = now - begin;
	return done;
}

static int64_t cpu_ns(clockid_t clock)
{
	struct timespec ts;
	if (clock_gettime(clock, &ts))
		bench_die("clock_gettime of the server");
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void connect_all(int poller, uint16_t port, size_t connections)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int one = 1;
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (size_t i = 0; i < connections; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fds[i], (struct sockaddr *)&to, sizeof to))
			bench_die("connect");
		setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		struct epoll_event event = { .events = EPOLLIN, .data.u64 = i };
		if (epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &event))
			bench_die("epoll_ctl");
		request(i);
	}
}

int main(int argc, char **argv)
{
	clockid_t server;
	int64_t took_ns;
	char row[64];
	if (argc != 4) {
		fprintf(stderr, "usage: echo_load PORT PID CONNECTIONS\n");
		return 2;
	}
	size_t connections = strtoul(argv[3], NULL, 10);
	if (!connections || connections > CONNECTIONS_MAX)
		bench_die("connections");
	if (clock_getcpuclockid((pid_t)strtol(argv[2], NULL, 10), &server))
		bench_die("clock_getcpuclockid");
	int poller = epoll_create1(0);
	connect_all(poller, (uint16_t)strtoul(argv[1], NULL, 10), connections);
	load(poller, 300000000, &took_ns);
	int64_t before = cpu_ns(server);
	uint64_t done = load(poller, (int64_t)bench_count(2000000000), &took_ns);
	int64_t used = cpu_ns(server) - before;
	snprintf(row, sizeof row, "echo-%zu-cpu", connections);
	bench_report(row, (double)used / (double)done, "ns");
	snprintf(row, sizeof row, "echo-%zu-rate", connections);
	bench_report(row, (double)done * 1e9 / (double)took_ns, "requests/s");
	return 0;
}
