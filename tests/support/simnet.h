/* SPDX-License-Identifier: MIT */
#ifndef SIMNET_H
#define SIMNET_H

/*
 * The simulator's io_ops driven by hand, for its tests: a net of two nodes (node0,
 * other), operations that are run to their end by waiting.
 */
#include "io/sim.h"
#include "support/t.h"

#define MS 1000000
#define S 1000000000

struct call {
	struct io_op op;
	struct iovec iov;
	struct io_addr addr;
	unsigned completed;
};

struct pair {
	struct io_handle *client, *server;
};

extern struct io *io;
extern unsigned node;	 /* new handles are made on it */
extern unsigned crashed; /* the node that crashed last */

unsigned node_self(void *user);
/* Instead of the one there is. */
void net_open(const weft_sim_options *public_options);
void net_setup(void);
/* Everything must have been closed; nothing stays allocated. */
void net_teardown(void);
int64_t submit(struct call *c);
/* To its end, or -EDEADLK. */
int64_t finish(struct call *c);
int64_t run(struct call *c);
struct call transfer(struct io_handle *h, enum io_kind kind, void *data, size_t size);
int64_t start(struct call *c);
/* Withdraws what would wait for ever: -EDEADLK. */
int64_t io_run(struct io_handle *h, enum io_kind kind, void *data, size_t size);
int64_t rd(struct io_handle *h, void *data, size_t size);
int64_t wr(struct io_handle *h, const char *text);
struct io_addr in_addr(const char *ip, unsigned port);
struct io_addr un_addr(const char *path, size_t len);
int listen_on(struct io_handle **out, unsigned where, struct io_addr addr, int backlog);
struct io_handle *listener(unsigned where, unsigned port);
struct io_handle *socket_on(unsigned where, int family);
int64_t connect_start(struct call *c, struct io_handle *h, struct io_addr addr);
int64_t connect_to(struct io_handle *h, struct io_addr addr);
int64_t accept_from(struct io_handle *l, struct io_handle **out);
void close_h(struct io_handle *h);
/* Node 0 connected to node 1. */
struct pair pair_open(void);
void pair_close(struct pair p);
/* Lets everything that is on its way arrive. */
void settle(void);

#endif
