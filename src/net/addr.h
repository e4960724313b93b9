/* SPDX-License-Identifier: MIT */
#ifndef NET_ADDR_H
#define NET_ADDR_H

/*
 * Addresses as people write them: "tcp://host:port" and "unix:/path".
 *
 * Parsing does not resolve: a host that is a name stays one. No allocation, no system
 * call; errors say what is wrong in which address and where.
 */
#include "io/io.h"

#include <weft/base.h>

#include <stdbool.h>

#define NET_HOST_MAX 253 /* bytes of a host name (RFC 1035) */
#define NET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)
/* Room for any name that net_addr_format writes, NUL included: each byte of an abstract
 * name may take four. */
#define NET_NAME_SIZE (sizeof("unix:@") + 4 * NET_PATH_MAX)

enum net_kind {
	NET_TCP,
	NET_UNIX,
};

enum net_use {
	NET_DIAL,   /* port 1..65535 */
	NET_LISTEN, /* port 0..65535 */
};

struct net_addr {
	enum net_kind kind;
	bool numeric;		     /* tcp: addr is the address, nothing to resolve */
	uint16_t port;		     /* tcp */
	char host[NET_HOST_MAX + 1]; /* tcp; without brackets */
	struct io_addr addr;	     /* unix, and tcp when numeric */
};

/* text: len bytes. Errors: WEFT_EINVAL. */
WEFT_MUST_CHECK weft_err net_addr_parse(
	struct net_addr *out, const char *text, size_t len, enum net_use use);
/* out: NET_NAME_SIZE bytes. Any address is given some name. */
void net_addr_format(const struct io_addr *addr, char *out);
/* The path of a socket in the file system; NULL for the abstract and the unnamed. */
const char *net_addr_path(const struct io_addr *addr);
void net_addr_set_port(struct io_addr *addr, uint16_t port);
/* IPv4 or IPv6 with nothing to resolve; false: not numeric. */
bool net_addr_numeric(struct io_addr *out, const char *host, uint16_t port);
bool net_addr_equal(const struct io_addr *a, const struct io_addr *b);
/* True for 127.0.0.0/8, ::1 and unix. */
bool net_addr_is_local(const struct io_addr *addr);
/* What the system calls an error: static text, from any thread. */
const char *net_reason(int errnum);

#endif
