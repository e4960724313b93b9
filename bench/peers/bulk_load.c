/* SPDX-License-Identifier: MIT */
/*
 * bulk_load: prints "sink PORT" and reads "PORT PID" from stdin: the proxy in between
 * (its PID 0: none, PORT is the sink's own). Sends 2 GiB to PORT and takes them from the
 * connection that arrives at the sink; prints throughput, and the proxy's processor time
 * a GiB between the first byte and the last.
 * Both ends are cheap on purpose, so that the proxy is what is measured: the source is
 * sendfile from memory, the sink lets the kernel drop what arrived (MSG_TRUNC). Before
 * that, a checked 64 MiB goes the same way, read and compared.
 */
#include "../bench.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

enum { FILE_SIZE = 1 << 20, CHECKED_BYTES = 64 << 20 };

static unsigned char pattern[FILE_SIZE];
static uint64_t total;
static int memory;

static void *source(void *arg)
{
	int fd = *(int *)arg;
	for (uint64_t sent = 0; sent < total;) {
		off_t at = (off_t)(sent % FILE_SIZE);
		ssize_t put = sendfile(fd, memory, &at, FILE_SIZE - (size_t)at);
		if (put <= 0)
			bench_die("sendfile");
		sent += (uint64_t)put;
	}
	shutdown(fd, SHUT_WR);
	return NULL;
}

static uint64_t take_checked(int fd, uint64_t want)
{
	static unsigned char data[65536];
	uint64_t got = 0;
	while (got < want) {
		size_t at = got % FILE_SIZE;
		size_t room = FILE_SIZE - at < sizeof data ? FILE_SIZE - at : sizeof data;
		ssize_t n = read(fd, data, room);
		if (n <= 0)
			bench_die("read");
		if (memcmp(data, pattern + at, (size_t)n))
			bench_die("bytes came through changed");
		got += (uint64_t)n;
	}
	return got;
}

static int64_t cpu_ns(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;
	if (!pid)
		return 0;
	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts))
		bench_die("the proxy's processor time");
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int sink_open(uint16_t *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof at;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 16) ||
		getsockname(fd, (struct sockaddr *)&at, &size))
		bench_die("listen");
	*port = ntohs(at.sin_port);
	return fd;
}

static int dial(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof to))
		bench_die("connect");
	return fd;
}

static void measure(int in, pid_t pid, uint64_t done)
{
	int64_t begin = bench_now_ns(), cpu_begin = cpu_ns(pid);
	uint64_t counted = total - done;
	while (done < total) {
		ssize_t n = recv(in, NULL, 1 << 20, MSG_TRUNC);
		if (n <= 0)
			bench_die("recv");
		done += (uint64_t)n;
	}
	/* The proxy has not seen the end of the other half yet: it is still there. */
	int64_t used = cpu_ns(pid) - cpu_begin, took = bench_now_ns() - begin;
	double gib = (double)counted / (1 << 30);
	bench_report("bulk-throughput", gib * 1e9 / (double)took, "GiB/s");
	if (pid)
		bench_report("bulk-cpu", (double)used / 1e9 / gib, "s/GiB");
}

int main(void)
{
	uint16_t sink_port;
	unsigned port;
	int pid;
	pthread_t thread;
	total = bench_count((uint64_t)2 << 30) + CHECKED_BYTES;
	memory = memfd_create("source", MFD_CLOEXEC);
	for (size_t i = 0; i < FILE_SIZE; i++)
		pattern[i] = (unsigned char)(i * 2654435761u >> 13);
	if (write(memory, pattern, FILE_SIZE) != FILE_SIZE)
		bench_die("write");
	int sink = sink_open(&sink_port);
	printf("sink %d\n", sink_port);
	fflush(stdout);
	if (scanf("%u %d", &port, &pid) != 2)
		bench_die("stdin: PORT PID");
	int out = dial((uint16_t)(port ? port : sink_port));
	int in = accept(sink, NULL, NULL);
	if (pthread_create(&thread, NULL, source, &out))
		bench_die("pthread_create");
	measure(in, pid, take_checked(in, CHECKED_BYTES));
	pthread_join(thread, NULL);
	return 0;
}
