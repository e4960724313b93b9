/* SPDX-License-Identifier: MIT */
#ifndef TLS_ROWS_H
#define TLS_ROWS_H

/*
 * What tls.c and peers/openssl_tls.c measure, so that both do the same.
 *
 *   PROGRAM server KIND CERT KEY       prints "port N"
 *   PROGRAM client KIND CERT PORT      prints figures; CERT is the root it trusts
 *
 * KIND full: connections of which the client reads a byte and the end; resumed: the same, each
 * with the ticket of the one before; bulk: one connection, by which the server sends as much as
 * it can. TLS_LANES of them at once, each in a thread or fiber of its own; first some that are
 * not measured. Both ends use TLS 1.3 and the library's own choices.
 */
#include "bench.h"
#include "tcp.h"

#include <stdbool.h>

#define TLS_HOST "localhost"

enum { TLS_LANES = 4, TLS_BLOCK = 65536 };

enum tls_kind { TLS_FULL, TLS_RESUMED, TLS_BULK };

struct tls_run {
	enum tls_kind kind;
	bool is_client;
	const char *cert, *key;
	uint16_t port;
	size_t lanes;
	int64_t begin_ns, end_ns; /* what is done in between counts */
	int64_t cpu_ns;		  /* before the first */
};

static inline bool tls_kind_parse(struct tls_run *run, const char *kind)
{
	static const char *const kinds[] = { "full", "resumed", "bulk" };
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		if (!strcmp(kind, kinds[i])) {
			run->kind = (enum tls_kind)i;
			run->lanes = run->kind == TLS_BULK ? 1 : TLS_LANES;
			return true;
		}
	}
	return false;
}

static inline bool tls_run_parse(struct tls_run *run, int argc, char **argv)
{
	memset(run, 0, sizeof *run);
	if (argc == 5 && tls_kind_parse(run, argv[2])) {
		run->cert = argv[3];
		run->is_client = !strcmp(argv[1], "client");
		if (run->is_client)
			run->port = (uint16_t)strtoul(argv[4], NULL, 10);
		else
			run->key = argv[4];
		if (run->is_client || !strcmp(argv[1], "server"))
			return true;
	}
	fprintf(stderr,
		"usage: %s server full|resumed|bulk CERT KEY\n"
		"       %s client full|resumed|bulk CERT PORT\n",
		argv[0], argv[0]);
	return false;
}

static inline int tls_run_listen(void)
{
	uint16_t port;
	int fd = tcp_listen(&port);
	printf("port %d\n", port);
	fflush(stdout);
	return fd;
}

static inline void tls_run_begin(struct tls_run *run)
{
	run->begin_ns = bench_now_ns() + 200000000;
	run->end_ns = run->begin_ns + (int64_t)bench_count(1500000000);
	run->cpu_ns = bench_cpu_ns();
}

/* counted: handshakes or bytes between begin_ns and end_ns; total: all that there were. */
static inline void tls_run_report(const struct tls_run *run, uint64_t counted, uint64_t total)
{
	bool bulk = run->kind == TLS_BULK;
	double unit = bulk ? 1 << 30 : 1, took_s = (double)(run->end_ns - run->begin_ns) / 1e9;
	double cpu_s = (double)(bench_cpu_ns() - run->cpu_ns) / 1e9;
	bench_report("rate", (double)counted / unit / took_s, bulk ? "GiB/s" : "handshakes/s");
	bench_report(
		"cpu", cpu_s * (bulk ? 1 : 1e6) / ((double)total / unit), bulk ? "s/GiB" : "us");
	bench_report("units", (double)total / unit, "units");
}
#endif
