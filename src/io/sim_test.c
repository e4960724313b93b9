/* SPDX-License-Identifier: MIT */
/*
 * The simulator through its io_ops, without fibers: what the net does, what each fault
 * does, and that a run is a function of its seed.
 */
#define _GNU_SOURCE /* stderr can be set, open_memstream */
#include "io/sim.h"

#include "support/t.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000
#define S 1000000000

static struct io *io;
static unsigned node;	      /* new handles are made on it */
static unsigned crashed = 99; /* the last the callback named */

struct call {
	struct io_op op;
	struct iovec iov;
	struct io_addr addr;
	unsigned completed;
};

struct pair {
	struct io_handle *client, *server;
};

static unsigned node_self(void *user)
{
	(void)user;
	return node;
}

static void node_crashed(void *user, unsigned which)
{
	(void)user;
	crashed = which;
}

static void sim_open(const weft_sim_options *public_options)
{
	struct io_sim_options options = {
		.public_options = public_options,
		.node_self = node_self,
		.node_crashed = node_crashed,
	};
	unsigned other;

	if (io)
		io->ops->destroy(io);
	node = 0;
	ck_assert_int_eq(io_sim_create(&io, &options), 0);
	ck_assert_int_eq(io_sim_node_add(io, &other, "other"), 0);
	ck_assert_uint_eq(other, 1);
}

static void setup(void)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;

	sim_open(&options);
}

static void teardown(void)
{
	if (!io)
		return;
	ck_assert_uint_eq(io_sim_sockets(io), 0);
	io->ops->destroy(io);
	io = NULL;
	ck_assert_int_eq(t_malloc_live(), 0);
}

static void on_complete(struct io_op *op)
{
	struct call *c = op->user;

	c->completed++;
}

static int64_t submit(struct call *c)
{
	c->op.complete = on_complete;
	c->op.user = c;
	c->completed = 0;
	return io->ops->submit(io, &c->op);
}

/* To its end, or -EDEADLK. */
static int64_t finish(struct call *c)
{
	while (!c->completed)
		if (io->ops->wait(io, IO_FOREVER) == -EDEADLK)
			return -EDEADLK;
	ck_assert_uint_eq(c->completed, 1);
	return c->op.result;
}

static int64_t run(struct call *c)
{
	int64_t result = submit(c);

	return result == IO_PENDING ? finish(c) : result;
}

static struct call transfer(struct io_handle *h, enum io_kind kind, void *data, size_t size)
{
	struct call c = { .op = { .handle = h, .kind = kind } };

	c.iov.iov_base = data;
	c.iov.iov_len = size;
	return c;
}

static int64_t start(struct call *c)
{
	c->op.iov = &c->iov;
	c->op.iov_count = 1;
	return submit(c);
}

static int64_t io_run(struct io_handle *h, enum io_kind kind, void *data, size_t size)
{
	struct call c = transfer(h, kind, data, size);
	int64_t result = start(&c);

	result = result == IO_PENDING ? finish(&c) : result;
	if (result == -EDEADLK)
		ck_assert(io->ops->cancel(&c.op));
	return result;
}

static int64_t rd(struct io_handle *h, void *data, size_t size)
{
	return io_run(h, IO_READ, data, size);
}

static int64_t wr(struct io_handle *h, const char *text)
{
	return io_run(h, IO_WRITE, (void *)(uintptr_t)text, strlen(text));
}

static struct io_addr in_addr(const char *ip, unsigned port)
{
	struct io_addr a = { .len = sizeof(a.in) };

	a.in.sin_family = AF_INET;
	a.in.sin_port = htons((uint16_t)port);
	ck_assert_int_eq(inet_pton(AF_INET, ip, &a.in.sin_addr), 1);
	return a;
}

static struct io_addr un_addr(const char *path, size_t len)
{
	struct io_addr a = { .len = 0 };

	a.un.sun_family = AF_UNIX;
	memcpy(a.un.sun_path, path, len);
	a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return a;
}

static int listen_on(struct io_handle **out, unsigned where, struct io_addr addr, int backlog)
{
	struct io_listen_options options = { .backlog = backlog };

	node = where;
	return io->ops->listen(io, out, &addr, &options);
}

static struct io_handle *listener(unsigned where, unsigned port)
{
	struct io_handle *h = NULL;

	ck_assert_int_eq(listen_on(&h, where, in_addr("0.0.0.0", port), 16), 0);
	return h;
}

static struct io_handle *socket_on(unsigned where, int family)
{
	struct io_handle *h = NULL;

	node = where;
	ck_assert_int_eq(io->ops->socket(io, &h, family), 0);
	return h;
}

static int64_t connect_start(struct call *c, struct io_handle *h, struct io_addr addr)
{
	*c = (struct call){ .op = { .handle = h, .kind = IO_CONNECT }, .addr = addr };
	c->op.addr = &c->addr;
	return submit(c);
}

static int64_t connect_to(struct io_handle *h, struct io_addr addr)
{
	struct call c;
	int64_t result = connect_start(&c, h, addr);

	return result == IO_PENDING ? finish(&c) : result;
}

static int64_t accept_from(struct io_handle *l, struct io_handle **out)
{
	struct call c = { .op = { .handle = l, .kind = IO_ACCEPT } };
	int64_t result = run(&c);

	*out = c.op.accepted;
	return result;
}

static void close_h(struct io_handle *h)
{
	io->ops->close(h, false);
}

/* Node 0 connected to node 1. */
static struct pair pair_open(void)
{
	struct io_handle *l = listener(1, 80);
	struct pair p = { .client = socket_on(0, AF_INET) };

	ck_assert_int_eq(connect_to(p.client, in_addr("10.0.0.2", 80)), 0);
	ck_assert_int_eq(accept_from(l, &p.server), 0);
	close_h(l);
	return p;
}

static void pair_close(struct pair p)
{
	close_h(p.client);
	close_h(p.server);
}

/* Lets everything that is on its way arrive. */
static void settle(void)
{
	io->ops->wait(io, io->ops->now(io) + 100 * (int64_t)S);
}

START_TEST(bytes_arrive_in_order_and_then_the_end)
{
	struct pair p = pair_open();
	char buf[16];

	ck_assert_int_eq(wr(p.client, "hello "), 6);
	ck_assert_int_eq(wr(p.client, "world"), 5);
	settle();
	ck_assert_int_eq(rd(p.server, buf, sizeof(buf)), 11);
	ck_assert(memcmp(buf, "hello world", 11) == 0);
	ck_assert_int_eq(wr(p.server, "bye"), 3);
	close_h(p.server);
	ck_assert_int_eq(rd(p.client, buf, 2), 2);
	ck_assert_int_eq(rd(p.client, buf + 2, 14), 1);
	ck_assert(memcmp(buf, "bye", 3) == 0);
	ck_assert_int_eq(rd(p.client, buf, sizeof(buf)), 0);
	ck_assert_int_eq(rd(p.client, buf, sizeof(buf)), 0);
	close_h(p.client);
}
END_TEST

START_TEST(several_iovecs_are_gathered_and_scattered)
{
	struct pair p = pair_open();
	char a[2], b[8];
	struct iovec out[3] = { { (char[]){ "ab" }, 2 }, { NULL, 0 }, { (char[]){ "cdef" }, 4 } };
	struct iovec in[2] = { { a, 2 }, { b, 8 } };
	struct call c = { .op = { .handle = p.client, .kind = IO_WRITE } };

	c.op.iov = out;
	c.op.iov_count = 3;
	ck_assert_int_eq(run(&c), 6);
	c.op.handle = p.server;
	c.op.kind = IO_READ;
	c.op.iov = in;
	c.op.iov_count = 2;
	ck_assert_int_eq(run(&c), 6);
	ck_assert(memcmp(a, "ab", 2) == 0 && memcmp(b, "cdef", 4) == 0);
	pair_close(p);
}
END_TEST

START_TEST(latency_is_within_its_bounds)
{
	weft_sim_options options = { .latency_min_ns = 3 * MS, .latency_max_ns = 4 * MS };
	struct pair p;
	char c;

	sim_open(&options);
	p = pair_open();
	for (int i = 0; i < 50; i++) {
		int64_t sent = io->ops->now(io);

		ck_assert_int_eq(wr(p.client, "x"), 1);
		ck_assert_int_eq(rd(p.server, &c, 1), 1);
		ck_assert_int_ge(io->ops->now(io) - sent, 3 * MS);
		ck_assert_int_le(io->ops->now(io) - sent, 4 * MS);
	}
	pair_close(p);
}
END_TEST

START_TEST(both_ends_know_their_names)
{
	struct pair p = pair_open();
	struct io_addr a, b, c, d;

	ck_assert_int_eq(io->ops->names(p.client, &a, &b), 0);
	ck_assert_int_eq(io->ops->names(p.server, &c, &d), 0);
	ck_assert_uint_eq(ntohl(a.in.sin_addr.s_addr), 0x0a000001);
	ck_assert_uint_eq(ntohl(b.in.sin_addr.s_addr), 0x0a000002);
	ck_assert_uint_eq(ntohs(b.in.sin_port), 80);
	ck_assert(a.len == d.len && memcmp(&a.in, &d.in, a.len) == 0);
	ck_assert(b.len == c.len && memcmp(&b.in, &c.in, b.len) == 0);
	ck_assert_int_eq(io->ops->fd(p.client), -1);
	pair_close(p);
}
END_TEST

START_TEST(a_listener_on_port_0_gets_a_port_of_its_own)
{
	struct io_handle *a = listener(0, 0), *b = listener(0, 0);
	struct io_addr x, y;

	ck_assert_int_eq(io->ops->names(a, &x, NULL), 0);
	ck_assert_int_eq(io->ops->names(b, &y, NULL), 0);
	ck_assert_uint_ne(ntohs(x.in.sin_port), 0);
	ck_assert_uint_ne(x.in.sin_port, y.in.sin_port);
	ck_assert_int_eq(io->ops->names(a, &x, &y), -ENOTCONN);
	close_h(a);
	close_h(b);
}
END_TEST

START_TEST(an_address_is_listened_on_once)
{
	struct io_handle *a = listener(0, 80), *b = NULL;

	ck_assert_int_eq(listen_on(&b, 0, in_addr("127.0.0.1", 80), 1), -EADDRINUSE);
	ck_assert_int_eq(listen_on(&b, 0, in_addr("10.0.0.2", 81), 1), -EADDRNOTAVAIL);
	ck_assert_int_eq(listen_on(&b, 1, in_addr("10.0.0.2", 80), 1), 0);
	close_h(b);
	close_h(a);
	ck_assert_int_eq(listen_on(&a, 0, in_addr("127.0.0.1", 80), 1), 0);
	ck_assert_int_eq(listen_on(&b, 0, in_addr("10.0.0.1", 80), 1), 0);
	close_h(b);
	close_h(a);
}
END_TEST

START_TEST(reuse_port_shares_a_port)
{
	struct io_listen_options options = { .backlog = 16, .reuse_port = true };
	struct io_addr addr = in_addr("0.0.0.0", 80);
	struct io_handle *l[2], *clients[20], *server;
	struct call polls[2] = { 0 };

	node = 0;
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(io->ops->listen(io, &l[i], &addr, &options), 0);
	for (int i = 0; i < 20; i++) {
		clients[i] = socket_on(0, AF_INET);
		ck_assert_int_eq(connect_to(clients[i], in_addr("127.0.0.1", 80)), 0);
	}
	for (int i = 0; i < 2; i++) {
		polls[i].op = (struct io_op){ .handle = l[i], .kind = IO_POLL };
		ck_assert_int_eq(submit(&polls[i]), 0);
		ck_assert_int_eq(accept_from(l[i], &server), 0);
		close_h(server);
		close_h(l[i]);
	}
	for (int i = 0; i < 20; i++)
		close_h(clients[i]);
}
END_TEST

START_TEST(connects_fail_as_the_world_makes_them)
{
	struct io_handle *h = socket_on(0, AF_INET), *u = socket_on(0, AF_UNIX);
	struct io_handle *again = socket_on(0, AF_INET);

	ck_assert_int_eq(connect_to(h, in_addr("10.0.0.77", 80)), -EHOSTUNREACH);
	ck_assert_int_eq(connect_to(h, in_addr("192.0.2.1", 80)), -ENETUNREACH);
	ck_assert_int_eq(connect_to(h, un_addr("/a", 3)), -EAFNOSUPPORT);
	ck_assert_int_eq(connect_to(h, in_addr("10.0.0.2", 80)), -ECONNREFUSED);
	ck_assert_int_eq(connect_to(again, in_addr("127.0.0.1", 80)), -ECONNREFUSED);
	ck_assert_int_eq(connect_to(u, un_addr("/a", 3)), -ENOENT);
	ck_assert_int_eq(wr(u, "x"), -ENOTCONN);
	close_h(h);
	close_h(u);
	close_h(again);
}
END_TEST

START_TEST(loopback_stays_on_its_node)
{
	struct io_handle *l = NULL, *h;

	ck_assert_int_eq(listen_on(&l, 1, in_addr("127.0.0.1", 80), 1), 0);
	h = socket_on(0, AF_INET);
	ck_assert_int_eq(connect_to(h, in_addr("127.0.0.1", 80)), -ECONNREFUSED);
	close_h(h);
	h = socket_on(0, AF_INET);
	ck_assert_int_eq(connect_to(h, in_addr("10.0.0.2", 80)), -ECONNREFUSED);
	close_h(h);
	h = socket_on(1, AF_INET);
	ck_assert_int_eq(connect_to(h, in_addr("127.0.0.1", 80)), 0);
	close_h(h);
	close_h(l);
}
END_TEST

START_TEST(ipv6_reaches_the_loopback)
{
	struct io_listen_options options = { .backlog = 4 };
	struct io_addr addr = { .len = sizeof(addr.in6) }, name;
	struct io_handle *l, *h, *server;

	addr.in6.sin6_family = AF_INET6;
	addr.in6.sin6_port = htons(80);
	node = 0;
	ck_assert_int_eq(io->ops->listen(io, &l, &addr, &options), 0);
	addr.in6.sin6_addr = in6addr_loopback;
	h = socket_on(0, AF_INET6);
	ck_assert_int_eq(connect_to(h, addr), 0);
	ck_assert_int_eq(accept_from(l, &server), 0);
	ck_assert_int_eq(io->ops->names(h, NULL, &name), 0);
	ck_assert(memcmp(&name.in6, &addr.in6, sizeof(name.in6)) == 0);
	close_h(h);
	close_h(server);
	h = socket_on(0, AF_INET); /* :: takes both families */
	ck_assert_int_eq(connect_to(h, in_addr("127.0.0.1", 80)), 0);
	close_h(h);
	close_h(l);
}
END_TEST

START_TEST(unix_names_belong_to_their_node)
{
	struct io_handle *l = NULL, *abstract = NULL, *none = NULL, *h, *server;
	struct io_addr name;
	char c;

	ck_assert_int_eq(listen_on(&l, 0, un_addr("/run/a", 7), 4), 0);
	ck_assert_int_eq(listen_on(&none, 0, un_addr("/run/a", 6), 4), -EADDRINUSE);
	ck_assert_int_eq(listen_on(&abstract, 0, un_addr("\0run", 4), 4), 0);
	h = socket_on(1, AF_UNIX);
	ck_assert_int_eq(connect_to(h, un_addr("/run/a", 7)), -ENOENT);
	close_h(h);
	h = socket_on(0, AF_UNIX);
	ck_assert_int_eq(connect_to(h, un_addr("/run/a", 6)), 0);
	ck_assert_int_eq(accept_from(l, &server), 0);
	ck_assert_int_eq(io->ops->names(h, NULL, &name), 0);
	ck_assert_str_eq(name.un.sun_path, "/run/a");
	ck_assert_int_eq(wr(h, "x"), 1);
	ck_assert_int_eq(rd(server, &c, 1), 1);
	close_h(server);
	close_h(h);
	h = socket_on(0, AF_UNIX);
	ck_assert_int_eq(connect_to(h, un_addr("\0run", 4)), 0);
	close_h(h);
	close_h(l);
	close_h(abstract);
	h = socket_on(0, AF_UNIX);
	ck_assert_int_eq(connect_to(h, un_addr("/run/a", 7)), -ENOENT);
	close_h(h);
}
END_TEST

START_TEST(names_are_resolved)
{
	struct io_addr a;

	ck_assert_int_eq(io->ops->resolve(io, "other", &a, 1), 1);
	ck_assert_uint_eq(ntohl(a.in.sin_addr.s_addr), 0x0a000002);
	ck_assert_int_eq(io->ops->resolve(io, "node0", &a, 1), 1);
	ck_assert_uint_eq(ntohl(a.in.sin_addr.s_addr), 0x0a000001);
	ck_assert_int_eq(io->ops->resolve(io, "localhost", &a, 1), 1);
	ck_assert_uint_eq(ntohl(a.in.sin_addr.s_addr), INADDR_LOOPBACK);
	ck_assert_int_eq(io->ops->resolve(io, "10.0.0.9", &a, 1), 1);
	ck_assert_uint_eq(ntohl(a.in.sin_addr.s_addr), 0x0a000009);
	ck_assert_int_eq(io->ops->resolve(io, "::1", &a, 1), 1);
	ck_assert_int_eq(a.sa.sa_family, AF_INET6);
	ck_assert_int_eq(io->ops->resolve(io, "nobody", &a, 1), -ENOENT);
}
END_TEST

START_TEST(nodes_have_names_of_their_own_and_a_limit)
{
	unsigned n = 0;
	char name[80];

	ck_assert_int_eq(io_sim_node_add(io, &n, "other"), -EEXIST);
	ck_assert_int_eq(io_sim_node_add(io, &n, ""), -EINVAL);
	ck_assert_int_eq(io_sim_node_add(io, &n, "localhost"), -EINVAL);
	ck_assert_int_eq(io_sim_node_add(io, &n, "10.0.0.1"), -EINVAL);
	memset(name, 'n', sizeof(name));
	name[64] = '\0';
	ck_assert_int_eq(io_sim_node_add(io, &n, name), -EINVAL);
	for (unsigned i = 2; i < 250; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		ck_assert_int_eq(io_sim_node_add(io, &n, name), 0);
		ck_assert_uint_eq(n, i);
	}
	ck_assert_int_eq(io_sim_node_add(io, &n, "more"), -ENOSPC);
	ck_assert_uint_eq(io_sim_node_count(io), 250);
}
END_TEST

START_TEST(a_full_window_blocks_the_writer_until_the_reader_reads)
{
	weft_sim_options options = { .window = 1000 };
	struct pair p;
	struct call c;
	char buf[700] = { 0 };

	sim_open(&options);
	p = pair_open();
	ck_assert_int_eq(io_run(p.client, IO_WRITE, buf, 700), 700);
	ck_assert_int_eq(io_run(p.client, IO_WRITE, buf, 700), 300);
	c = transfer(p.client, IO_WRITE, buf, 700);
	ck_assert_int_eq(start(&c), IO_PENDING);
	settle();
	ck_assert_int_eq(c.completed, 0); /* arrived, but not read */
	ck_assert_int_eq(rd(p.server, buf, 100), 100);
	ck_assert_int_eq(c.completed, 0); /* the news takes its time */
	ck_assert_int_eq(finish(&c), 100);
	settle();
	ck_assert_int_eq(rd(p.server, buf, 700), 700);
	ck_assert_int_eq(rd(p.server, buf, 700), 300);
	pair_close(p);
}
END_TEST

START_TEST(partial_transfers_lose_nothing)
{
	weft_sim_options options = { .partial_permille = 1000 };
	char out[3000], in[3000];
	size_t sent = 0, got = 0, calls = 0;
	struct pair p;

	sim_open(&options);
	p = pair_open();
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (char)(i * 7);
	for (; sent < sizeof(out); calls++)
		sent += (size_t)io_run(p.client, IO_WRITE, out + sent, sizeof(out) - sent);
	ck_assert_uint_gt(calls, 2);
	settle();
	for (calls = 0; got < sizeof(in); calls++)
		got += (size_t)rd(p.server, in + got, sizeof(in) - got);
	ck_assert_uint_gt(calls, 2);
	ck_assert(memcmp(in, out, sizeof(in)) == 0);
	pair_close(p);
}
END_TEST

START_TEST(a_half_close_leaves_the_other_half_open)
{
	struct pair p = pair_open();
	char buf[8];

	ck_assert_int_eq(wr(p.client, "last"), 4);
	ck_assert_int_eq(io->ops->shutdown(p.client, SHUT_WR), 0);
	ck_assert_int_eq(wr(p.client, "x"), -EPIPE);
	ck_assert_int_eq(rd(p.server, buf, 8), 4);
	ck_assert_int_eq(rd(p.server, buf, 8), 0);
	ck_assert_int_eq(wr(p.server, "answer"), 6);
	ck_assert_int_eq(rd(p.client, buf, 8), 6);
	pair_close(p);
}
END_TEST

START_TEST(shutting_the_reading_half_ends_a_read_that_waits)
{
	struct pair p = pair_open();
	char buf[8];
	struct call c = transfer(p.client, IO_READ, buf, 8);

	ck_assert_int_eq(start(&c), IO_PENDING);
	ck_assert_int_eq(io->ops->shutdown(p.client, SHUT_RD), 0);
	ck_assert_int_eq(finish(&c), 0);
	ck_assert_int_eq(wr(p.client, "x"), 1);
	pair_close(p);
}
END_TEST

START_TEST(closing_with_unread_data_resets_the_peer)
{
	struct pair p = pair_open();
	char c;

	ck_assert_int_eq(wr(p.client, "unread"), 6);
	settle();
	close_h(p.server);
	ck_assert_int_eq(rd(p.client, &c, 1), -ECONNRESET);
	ck_assert_int_eq(rd(p.client, &c, 1), -ECONNRESET);
	close_h(p.client);
}
END_TEST

START_TEST(an_abort_is_a_reset_for_the_peer)
{
	struct pair p = pair_open();
	char buf[8];
	struct call c = transfer(p.client, IO_READ, buf, 8);

	ck_assert_int_eq(start(&c), IO_PENDING);
	ck_assert_int_eq(wr(p.server, "lost"), 4);
	io->ops->close(p.server, true);
	ck_assert_int_eq(finish(&c), -ECONNRESET);
	ck_assert_int_eq(wr(p.client, "x"), -ECONNRESET);
	ck_assert_int_eq(wr(p.client, "x"), -EPIPE);
	ck_assert_int_eq(io->ops->shutdown(p.client, SHUT_WR), -ENOTCONN);
	close_h(p.client);
}
END_TEST

START_TEST(writing_to_a_closed_peer_brings_a_reset)
{
	struct pair p = pair_open();
	char c;

	close_h(p.server);
	ck_assert_int_eq(rd(p.client, &c, 1), 0);
	ck_assert_int_eq(wr(p.client, "x"), 1);
	settle();
	ck_assert_int_eq(wr(p.client, "x"), -EPIPE);
	ck_assert_int_eq(rd(p.client, &c, 1), 0);
	close_h(p.client);
}
END_TEST

START_TEST(a_reset_wakes_a_writer_that_waits_for_room)
{
	weft_sim_options options = { .window = 4 };
	struct pair p;
	struct call c;

	sim_open(&options);
	p = pair_open();
	ck_assert_int_eq(wr(p.client, "full"), 4);
	c = transfer(p.client, IO_WRITE, (char[]){ "more" }, 4);
	ck_assert_int_eq(start(&c), IO_PENDING);
	settle();
	close_h(p.server);
	ck_assert_int_eq(finish(&c), -ECONNRESET);
	close_h(p.client);
}
END_TEST

START_TEST(a_partition_holds_and_healing_delivers)
{
	struct pair p = pair_open();
	char buf[8];
	struct call c = transfer(p.server, IO_READ, buf, 8);

	ck_assert_int_eq(start(&c), IO_PENDING);
	io_sim_partition(io, 0, 1, true);
	ck_assert_int_eq(wr(p.client, "ab"), 2);
	settle();
	ck_assert_int_eq(wr(p.client, "cd"), 2);
	ck_assert_int_eq(finish(&c), -EDEADLK);
	io_sim_partition(io, 0, WEFT_SIM_ALL, false);
	ck_assert_int_eq(finish(&c), 2);
	ck_assert_int_eq(rd(p.server, buf + 2, 6), 2);
	ck_assert(memcmp(buf, "abcd", 4) == 0);
	pair_close(p);
}
END_TEST

START_TEST(a_partition_delays_a_connect)
{
	struct io_handle *l = listener(1, 80), *h = socket_on(0, AF_INET);
	struct call c;

	io_sim_partition(io, WEFT_SIM_ALL, 0, true);
	ck_assert_int_eq(connect_start(&c, h, in_addr("10.0.0.2", 80)), IO_PENDING);
	ck_assert_int_eq(io->ops->wait(io, io->ops->now(io) + 60 * (int64_t)S), 0);
	ck_assert_int_eq(finish(&c), -EDEADLK);
	io_sim_partition(io, 0, 1, false);
	ck_assert_int_eq(finish(&c), 0);
	close_h(h);
	close_h(l);
}
END_TEST

START_TEST(a_crash_is_silent_until_somebody_writes)
{
	struct pair p = pair_open();
	char buf[8];
	struct call c = transfer(p.server, IO_READ, buf, 8), mine;

	ck_assert_int_eq(start(&c), IO_PENDING);
	ck_assert_int_eq(wr(p.server, "lost"), 4);
	io_sim_crash(io, 1);
	ck_assert_uint_eq(crashed, 1);
	ck_assert_uint_eq(c.completed, 1);
	ck_assert_int_eq(c.op.result, -ECANCELED);
	ck_assert_int_eq(wr(p.server, "x"), -ECANCELED);
	mine = transfer(p.client, IO_READ, buf, 8);
	ck_assert_int_eq(start(&mine), IO_PENDING);
	ck_assert_int_eq(finish(&mine), -EDEADLK); /* half-open: nothing is said */
	ck_assert_int_eq(wr(p.client, "hello?"), 6);
	ck_assert_int_eq(finish(&mine), -ECONNRESET);
	pair_close(p);
}
END_TEST

START_TEST(a_crashed_node_forgets_its_listeners_and_can_start_again)
{
	struct io_handle *l = listener(1, 80), *h = socket_on(0, AF_INET), *again;
	char c;

	ck_assert_int_eq(connect_to(h, in_addr("10.0.0.2", 80)), 0); /* in the backlog */
	io_sim_crash(io, 1);
	again = socket_on(0, AF_INET);
	ck_assert_int_eq(connect_to(again, in_addr("10.0.0.2", 80)), -ECONNREFUSED);
	close_h(again);
	close_h(l);
	l = listener(1, 80);
	again = socket_on(0, AF_INET);
	ck_assert_int_eq(connect_to(again, in_addr("10.0.0.2", 80)), 0);
	ck_assert_int_eq(wr(h, "x"), 1);
	ck_assert_int_eq(rd(h, &c, 1), -ECONNRESET);
	close_h(h);
	close_h(again);
	close_h(l);
}
END_TEST

START_TEST(reset_all_resets_every_connection_of_the_node)
{
	struct pair p = pair_open(), q = pair_open();
	char buf[8];
	struct call c = transfer(q.client, IO_READ, buf, 8);

	ck_assert_int_eq(start(&c), IO_PENDING);
	io_sim_reset_all(io, 1);
	ck_assert_uint_eq(c.completed, 0);
	ck_assert_int_eq(finish(&c), -ECONNRESET);
	ck_assert_int_eq(rd(p.client, buf, 1), -ECONNRESET);
	ck_assert_int_eq(rd(p.server, buf, 1), -ECONNRESET);
	ck_assert_int_eq(rd(q.server, buf, 1), -ECONNRESET);
	pair_close(p);
	pair_close(q);
}
END_TEST

START_TEST(what_came_before_a_reset_can_be_read)
{
	struct pair p = pair_open();
	char buf[8];

	ck_assert_int_eq(wr(p.client, "kept"), 4);
	settle();
	io_sim_reset_all(io, 0);
	settle();
	ck_assert_int_eq(rd(p.server, buf, 8), 4);
	ck_assert_int_eq(rd(p.server, buf, 8), -ECONNRESET);
	pair_close(p);
}
END_TEST

START_TEST(descriptors_run_out_and_come_back)
{
	struct io_handle *l = listener(1, 80), *h, *none = NULL, *server;

	io_sim_descriptor_limit(io, 0, 1);
	h = socket_on(0, AF_INET);
	ck_assert_int_eq(io->ops->socket(io, &none, AF_INET), -EMFILE);
	ck_assert_int_eq(listen_on(&none, 0, in_addr("0.0.0.0", 0), 1), -EMFILE);
	io_sim_descriptor_limit(io, 1, 1);
	ck_assert_int_eq(connect_to(h, in_addr("10.0.0.2", 80)), 0);
	ck_assert_int_eq(accept_from(l, &server), -EMFILE);
	ck_assert_int_eq(accept_from(l, &server), -EMFILE);
	io_sim_descriptor_limit(io, 1, 2);
	ck_assert_int_eq(accept_from(l, &server), 0);
	close_h(server);
	close_h(h);
	h = socket_on(0, AF_INET);
	close_h(h);
	close_h(l);
}
END_TEST

START_TEST(a_full_backlog_makes_tcp_clients_try_again)
{
	struct io_handle *l = NULL, *a = socket_on(0, AF_INET), *b = socket_on(0, AF_INET);
	struct io_handle *server, *late = socket_on(0, AF_INET);
	struct call c, d;
	int64_t began = io->ops->now(io);

	ck_assert_int_eq(listen_on(&l, 1, in_addr("0.0.0.0", 80), 0), 0);
	ck_assert_int_eq(connect_to(a, in_addr("10.0.0.2", 80)), 0);
	ck_assert_int_eq(connect_start(&c, b, in_addr("10.0.0.2", 80)), IO_PENDING);
	ck_assert_int_eq(io->ops->wait(io, began + S / 2), 0);
	ck_assert_int_eq(accept_from(l, &server), 0);
	close_h(server);
	ck_assert_int_eq(finish(&c), 0);
	ck_assert_int_ge(io->ops->now(io) - began, S);
	ck_assert_int_eq(connect_start(&d, late, in_addr("10.0.0.2", 80)), IO_PENDING);
	ck_assert_int_eq(finish(&d), -ETIMEDOUT);
	ck_assert_int_ge(io->ops->now(io) - began, 60 * (int64_t)S);
	close_h(a);
	close_h(b);
	close_h(late);
	close_h(l);
}
END_TEST

START_TEST(a_full_backlog_makes_unix_clients_wait)
{
	struct io_handle *l = NULL, *h[4], *server;
	struct call c[4];

	ck_assert_int_eq(listen_on(&l, 0, un_addr("/a", 2), 0), 0);
	for (int i = 0; i < 4; i++) {
		h[i] = socket_on(0, AF_UNIX);
		ck_assert_int_eq(connect_start(&c[i], h[i], un_addr("/a", 2)), IO_PENDING);
		settle();
	}
	ck_assert_int_eq(finish(&c[0]), 0);
	ck_assert_int_eq(finish(&c[1]), -EDEADLK);
	ck_assert(io->ops->cancel(&c[1].op));
	close_h(h[1]); /* gives its place up */
	ck_assert_int_eq(accept_from(l, &server), 0);
	ck_assert_int_eq(finish(&c[2]), 0);
	close_h(server);
	close_h(l);
	ck_assert_int_eq(finish(&c[3]), -ECONNREFUSED);
	close_h(h[0]);
	close_h(h[2]);
	close_h(h[3]);
}
END_TEST

START_TEST(closing_a_listener_resets_what_it_had_not_accepted)
{
	struct io_handle *l = listener(1, 80), *h = socket_on(0, AF_INET);
	char c;

	ck_assert_int_eq(connect_to(h, in_addr("10.0.0.2", 80)), 0);
	close_h(l);
	ck_assert_int_eq(rd(h, &c, 1), -ECONNRESET);
	close_h(h);
}
END_TEST

START_TEST(a_client_that_leaves_the_backlog_is_accepted_and_ends)
{
	struct io_handle *l = listener(1, 80), *h = socket_on(0, AF_INET), *server;
	char buf[8];

	ck_assert_int_eq(connect_to(h, in_addr("10.0.0.2", 80)), 0);
	ck_assert_int_eq(wr(h, "hi"), 2);
	close_h(h);
	settle();
	ck_assert_int_eq(accept_from(l, &server), 0);
	ck_assert_int_eq(rd(server, buf, 8), 2);
	ck_assert_int_eq(rd(server, buf, 8), 0);
	close_h(server);
	close_h(l);
}
END_TEST

START_TEST(closing_while_connecting_leaves_nothing)
{
	struct io_handle *l = listener(1, 80), *h = socket_on(0, AF_INET);
	struct call c;

	ck_assert_int_eq(connect_start(&c, h, in_addr("10.0.0.2", 80)), IO_PENDING);
	ck_assert(io->ops->cancel(&c.op));
	close_h(h);
	settle();
	ck_assert_int_eq(c.completed, 0);
	close_h(l);
}
END_TEST

START_TEST(cancel_withdraws_and_loses_nothing)
{
	struct pair p = pair_open();
	char buf[8];
	struct call c = transfer(p.server, IO_READ, buf, 8);

	ck_assert_int_eq(start(&c), IO_PENDING);
	ck_assert(io->ops->cancel(&c.op));
	ck_assert(!io->ops->cancel(&c.op));
	ck_assert_int_eq(wr(p.client, "data"), 4);
	settle();
	ck_assert_uint_eq(c.completed, 0);
	ck_assert_int_eq(rd(p.server, buf, 8), 4);
	ck_assert_int_eq(start(&c), IO_PENDING);
	ck_assert_int_eq(wr(p.client, "more"), 4);
	settle();
	ck_assert_uint_eq(c.completed, 1);
	ck_assert(!io->ops->cancel(&c.op));
	ck_assert_int_eq(c.op.result, 4);
	pair_close(p);
}
END_TEST

START_TEST(interrupt_completes_what_waits_and_refuses_the_rest)
{
	weft_sim_options options = { .window = 1 };
	struct pair p;
	struct call in, out;
	char c;

	sim_open(&options);
	p = pair_open();
	ck_assert_int_eq(wr(p.client, "x"), 1);
	in = transfer(p.client, IO_READ, &c, 1);
	out = transfer(p.client, IO_WRITE, (char[]){ "y" }, 1);
	ck_assert_int_eq(start(&in), IO_PENDING);
	ck_assert_int_eq(start(&out), IO_PENDING);
	io->ops->interrupt(p.client);
	io->ops->interrupt(p.client);
	ck_assert_uint_eq(in.completed, 1);
	ck_assert_uint_eq(out.completed, 1);
	ck_assert_int_eq(in.op.result, -ECANCELED);
	ck_assert_int_eq(out.op.result, -ECANCELED);
	ck_assert_int_eq(rd(p.client, &c, 1), -ECANCELED);
	pair_close(p);
}
END_TEST

START_TEST(nothing_to_come_is_a_deadlock)
{
	struct pair p;
	char c;

	ck_assert_int_eq(io->ops->wait(io, IO_FOREVER), -EDEADLK);
	p = pair_open();
	ck_assert_int_eq(rd(p.server, &c, 1), -EDEADLK);
	pair_close(p);
}
END_TEST

START_TEST(time_moves_to_the_deadline_and_no_further)
{
	int64_t began = io->ops->now(io);

	ck_assert_int_gt(began, 0);
	ck_assert_int_eq(io->ops->wait(io, 0), 0);
	ck_assert_int_eq(io->ops->now(io), began);
	ck_assert_int_eq(io->ops->wait(io, began + 5), 0);
	ck_assert_int_eq(io->ops->now(io), began + 5);
	ck_assert_int_eq(io->ops->wait(io, began), 0);
	ck_assert_int_eq(io->ops->now(io), began + 5);
	io->ops->wake(io);
	ck_assert(io->ops->has_work(io));
	ck_assert_int_eq(io->ops->wait(io, IO_FOREVER), 0);
	ck_assert_int_eq(io->ops->now(io), began + 5);
	io_sim_clock_jump(io, 100);
	ck_assert_int_eq(io->ops->now(io), began + 105);
	io_sim_clock_jump(io, -100);
	ck_assert_int_eq(io_sim_elapsed(io), 105);
	io_sim_clock_jump(io, INT64_MAX);
	ck_assert_int_gt(io->ops->now(io), began + 105);
}
END_TEST

START_TEST(a_clock_jump_makes_what_is_due_in_between_late)
{
	struct pair p = pair_open();
	char c;

	ck_assert_int_eq(wr(p.client, "x"), 1);
	io_sim_clock_jump(io, S);
	ck_assert_int_eq(io->ops->wait(io, 0), 0);
	ck_assert_int_eq(rd(p.server, &c, 1), 1);
	pair_close(p);
}
END_TEST

START_TEST(the_dice_refuse_connects)
{
	weft_sim_options options = { .refuse_permille = 1000 };
	struct io_handle *l, *h;

	sim_open(&options);
	l = listener(1, 80);
	h = socket_on(0, AF_INET);
	ck_assert_int_eq(connect_to(h, in_addr("10.0.0.2", 80)), -ECONNREFUSED);
	close_h(h);
	close_h(l);
}
END_TEST

START_TEST(the_dice_reset_connections)
{
	weft_sim_options options = { .reset_permille = 1000 };
	struct pair p;
	char c;

	sim_open(&options);
	p = pair_open();
	ck_assert_int_eq(rd(p.client, &c, 1), -ECONNRESET);
	ck_assert_int_eq(rd(p.server, &c, 1), -ECONNRESET);
	pair_close(p);
}
END_TEST

START_TEST(the_dice_fail_accepts_for_a_while)
{
	weft_sim_options options = { .accept_fail_permille = 500 };
	struct io_handle *l, *h, *server;
	int failed = 0, done = 0;

	sim_open(&options);
	l = listener(1, 80);
	for (; done < 20; done++) {
		h = socket_on(0, AF_INET);
		ck_assert_int_eq(connect_to(h, in_addr("10.0.0.2", 80)), 0);
		while (accept_from(l, &server) == -EMFILE)
			failed++;
		close_h(h);
		close_h(server);
	}
	ck_assert_int_gt(failed, 0);
	close_h(l);
}
END_TEST

START_TEST(poll_tells_when_there_is_something_to_read)
{
	struct pair p = pair_open();
	struct call c = { .op = { .handle = p.server, .kind = IO_POLL } };

	ck_assert_int_eq(submit(&c), IO_PENDING);
	ck_assert_int_eq(wr(p.client, "x"), 1);
	ck_assert_int_eq(finish(&c), 0);
	ck_assert_int_eq(submit(&c), 0);
	pair_close(p);
}
END_TEST

START_TEST(descriptors_of_the_world_are_not_adopted)
{
	struct io_handle *h = NULL;

	ck_assert_int_eq(io->ops->adopt(io, &h, 0), -ENOSYS);
	ck_assert_ptr_null(h);
}
END_TEST

/* Some of everything; the hash of it. */
static uint64_t scenario(uint64_t seed, bool draw_schedule)
{
	weft_sim_options options = { .seed = seed, .partial_permille = 300 };
	struct pair p;
	char buf[100];
	uint64_t hash;

	sim_open(&options);
	p = pair_open();
	for (int i = 0; i < 10; i++) {
		if (draw_schedule)
			io_sim_random_schedule(io, 10);
		wr(p.client, "a text of some length that the dice may cut");
		rd(p.server, buf, sizeof(buf));
	}
	pair_close(p);
	hash = io_sim_hash(io);
	teardown();
	return hash;
}

START_TEST(equal_seeds_give_equal_hashes)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		ck_assert_uint_eq(scenario(seed, false), scenario(seed, false));
		ck_assert_uint_ne(scenario(seed, false), scenario(seed + 1, false));
	}
}
END_TEST

START_TEST(one_random_stream_leaves_the_others_alone)
{
	ck_assert_uint_eq(scenario(7, false), scenario(7, true));
}
END_TEST

START_TEST(a_note_changes_the_hash)
{
	uint64_t before = io_sim_hash(io);

	io_sim_note(io, 0);
	ck_assert_uint_ne(io_sim_hash(io), before);
}
END_TEST

START_TEST(the_application_stream_repeats)
{
	weft_sim_options options = { .seed = 5 };
	uint64_t first[3];

	sim_open(&options);
	for (int i = 0; i < 3; i++)
		first[i] = io_sim_random_application(io);
	teardown();
	sim_open(&options);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(io_sim_random_application(io), first[i]);
	teardown();
}
END_TEST

START_TEST(memory_fails_as_often_as_asked)
{
	weft_sim_options options = { .memory_fail_permille = 100 };
	int failed = 0;

	sim_open(&options);
	for (int i = 0; i < 10000; i++)
		failed += io_sim_memory_fails(io);
	ck_assert_int_gt(failed, 800);
	ck_assert_int_lt(failed, 1200);
}
END_TEST

START_TEST(a_trace_names_who_talks_to_whom)
{
	weft_sim_options options = { .trace = true };
	char *text = NULL;
	size_t size = 0;
	FILE *saved = stderr;
	struct pair p;

	stderr = open_memstream(&text, &size);
	ck_assert_ptr_nonnull(stderr);
	sim_open(&options);
	p = pair_open();
	ck_assert_int_eq(wr(p.client, "abc"), 3);
	settle();
	close_h(p.client);
	close_h(p.server);
	fclose(stderr);
	stderr = saved;
	ck_assert_ptr_nonnull(strstr(text,
		"node0 #3 is the connection of #2, 10.0.0.1:32768 -> "
		"10.0.0.2:80\n"));
	ck_assert_ptr_nonnull(strstr(text, " other #3 arrived open\n"));
	ck_assert_ptr_nonnull(strstr(text, " other #3 arrived 3\n"));
	free(text);
	sim_open(&(weft_sim_options)WEFT_SIM_OPTIONS_DEFAULT);
}
END_TEST

START_TEST(options_out_of_range_are_refused)
{
	weft_sim_options bad[] = {
		{ .latency_min_ns = 2, .latency_max_ns = 1 },
		{ .latency_min_ns = -1, .latency_max_ns = 1 },
		{ .latency_max_ns = INT64_MAX },
		{ .window = SIZE_MAX },
		{ .partial_permille = 1001 },
		{ .reset_permille = 1001 },
		{ .refuse_permille = 1001 },
		{ .accept_fail_permille = 1001 },
		{ .memory_fail_permille = 1001 },
	};
	struct io_sim_options options = { .node_self = node_self };
	struct io *none = NULL;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		options.public_options = &bad[i];
		ck_assert_int_eq(io_sim_create(&none, &options), -EINVAL);
		ck_assert_ptr_null(none);
	}
}
END_TEST

START_TEST(destroy_frees_what_was_not_closed)
{
	struct pair p;
	char c;
	struct call pending;

	p = pair_open();
	pending = transfer(p.client, IO_READ, &c, 1);
	ck_assert_int_eq(start(&pending), IO_PENDING);
	ck_assert_int_eq(wr(p.client, "in flight"), 9);
	ck_assert_uint_eq(io_sim_sockets(io), 2);
	io->ops->destroy(io);
	io = NULL;
	ck_assert_int_eq(t_malloc_live(), 0);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;

	teardown();
	T_EACH_FAILING_MALLOC(n) {
		struct io_sim_options o = { .public_options = &options, .node_self = node_self };
		struct pair p = { NULL, NULL };
		struct io_handle *l = NULL;
		char buf[4];

		node = 0;
		io = NULL;
		if (io_sim_create(&io, &o) != 0) {
			ck_assert(t_malloc_failed());
			continue;
		}
		if (listen_on(&l, 0, in_addr("0.0.0.0", 80), 4) == 0 &&
			io->ops->socket(io, &p.client, AF_INET) == 0 &&
			connect_to(p.client, in_addr("127.0.0.1", 80)) == 0 &&
			accept_from(l, &p.server) == 0 && wr(p.client, "abc") == 3)
			ck_assert_int_eq(rd(p.server, buf, 4), 3);
		else
			ck_assert(t_malloc_failed());
		if (l)
			close_h(l);
		if (p.client)
			close_h(p.client);
		if (p.server)
			close_h(p.server);
		teardown();
	}
}
END_TEST

static void sim_tests(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	t_add(tc, bytes_arrive_in_order_and_then_the_end);
	t_add(tc, several_iovecs_are_gathered_and_scattered);
	t_add(tc, latency_is_within_its_bounds);
	t_add(tc, both_ends_know_their_names);
	t_add(tc, a_listener_on_port_0_gets_a_port_of_its_own);
	t_add(tc, an_address_is_listened_on_once);
	t_add(tc, reuse_port_shares_a_port);
	t_add(tc, connects_fail_as_the_world_makes_them);
	t_add(tc, loopback_stays_on_its_node);
	t_add(tc, ipv6_reaches_the_loopback);
	t_add(tc, unix_names_belong_to_their_node);
	t_add(tc, names_are_resolved);
	t_add(tc, nodes_have_names_of_their_own_and_a_limit);
	t_add(tc, a_full_window_blocks_the_writer_until_the_reader_reads);
	t_add(tc, partial_transfers_lose_nothing);
	t_add(tc, a_half_close_leaves_the_other_half_open);
	t_add(tc, shutting_the_reading_half_ends_a_read_that_waits);
	t_add(tc, closing_with_unread_data_resets_the_peer);
	t_add(tc, an_abort_is_a_reset_for_the_peer);
	t_add(tc, writing_to_a_closed_peer_brings_a_reset);
	t_add(tc, a_reset_wakes_a_writer_that_waits_for_room);
	t_add(tc, a_partition_holds_and_healing_delivers);
	t_add(tc, a_partition_delays_a_connect);
	t_add(tc, a_crash_is_silent_until_somebody_writes);
	t_add(tc, a_crashed_node_forgets_its_listeners_and_can_start_again);
	t_add(tc, reset_all_resets_every_connection_of_the_node);
	t_add(tc, what_came_before_a_reset_can_be_read);
	t_add(tc, descriptors_run_out_and_come_back);
	t_add(tc, a_full_backlog_makes_tcp_clients_try_again);
	t_add(tc, a_full_backlog_makes_unix_clients_wait);
	t_add(tc, closing_a_listener_resets_what_it_had_not_accepted);
	t_add(tc, a_client_that_leaves_the_backlog_is_accepted_and_ends);
	t_add(tc, closing_while_connecting_leaves_nothing);
	t_add(tc, cancel_withdraws_and_loses_nothing);
	t_add(tc, interrupt_completes_what_waits_and_refuses_the_rest);
	t_add(tc, nothing_to_come_is_a_deadlock);
	t_add(tc, time_moves_to_the_deadline_and_no_further);
	t_add(tc, a_clock_jump_makes_what_is_due_in_between_late);
	t_add(tc, the_dice_refuse_connects);
	t_add(tc, the_dice_reset_connections);
	t_add(tc, the_dice_fail_accepts_for_a_while);
	t_add(tc, poll_tells_when_there_is_something_to_read);
	t_add(tc, descriptors_of_the_world_are_not_adopted);
	t_add(tc, equal_seeds_give_equal_hashes);
	t_add(tc, one_random_stream_leaves_the_others_alone);
	t_add(tc, a_note_changes_the_hash);
	t_add(tc, the_application_stream_repeats);
	t_add(tc, memory_fails_as_often_as_asked);
	t_add(tc, a_trace_names_who_talks_to_whom);
	t_add(tc, options_out_of_range_are_refused);
	t_add(tc, destroy_frees_what_was_not_closed);
	t_add(tc, every_allocation_may_fail);
}
T_SUITE("io/sim", sim_tests)
