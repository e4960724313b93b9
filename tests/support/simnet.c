/* SPDX-License-Identifier: MIT */
#include "support/simnet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

struct io *io;
unsigned node;
unsigned crashed = 99;

unsigned node_self(void *user)
{
	(void)user;
	return node;
}

static void node_crashed(void *user, unsigned which)
{
	(void)user;
	crashed = which;
}

void net_open(const weft_sim_options *public_options)
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

void net_setup(void)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;

	net_open(&options);
}

void net_teardown(void)
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

int64_t submit(struct call *c)
{
	c->op.complete = on_complete;
	c->op.user = c;
	c->completed = 0;
	return io->ops->submit(io, &c->op);
}

int64_t finish(struct call *c)
{
	while (!c->completed)
		if (io->ops->wait(io, IO_FOREVER) == -EDEADLK)
			return -EDEADLK;
	ck_assert_uint_eq(c->completed, 1);
	return c->op.result;
}

int64_t run(struct call *c)
{
	int64_t result = submit(c);

	return result == IO_PENDING ? finish(c) : result;
}

struct call transfer(struct io_handle *h, enum io_kind kind, void *data, size_t size)
{
	struct call c = { .op = { .handle = h, .kind = kind } };

	c.iov.iov_base = data;
	c.iov.iov_len = size;
	return c;
}

int64_t start(struct call *c)
{
	c->op.iov = &c->iov;
	c->op.iov_count = 1;
	return submit(c);
}

int64_t io_run(struct io_handle *h, enum io_kind kind, void *data, size_t size)
{
	struct call c = transfer(h, kind, data, size);
	int64_t result = start(&c);

	result = result == IO_PENDING ? finish(&c) : result;
	if (result == -EDEADLK)
		ck_assert(io->ops->cancel(&c.op));
	return result;
}

int64_t rd(struct io_handle *h, void *data, size_t size)
{
	return io_run(h, IO_READ, data, size);
}

int64_t wr(struct io_handle *h, const char *text)
{
	return io_run(h, IO_WRITE, (void *)(uintptr_t)text, strlen(text));
}

struct io_addr in_addr(const char *ip, unsigned port)
{
	struct io_addr a = { .len = sizeof(a.in) };

	a.in.sin_family = AF_INET;
	a.in.sin_port = htons((uint16_t)port);
	ck_assert_int_eq(inet_pton(AF_INET, ip, &a.in.sin_addr), 1);
	return a;
}

struct io_addr un_addr(const char *path, size_t len)
{
	struct io_addr a = { .len = 0 };

	a.un.sun_family = AF_UNIX;
	memcpy(a.un.sun_path, path, len);
	a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return a;
}

int listen_on(struct io_handle **out, unsigned where, struct io_addr addr, int backlog)
{
	struct io_listen_options options = { .backlog = backlog };

	node = where;
	return io->ops->listen(io, out, &addr, &options);
}

struct io_handle *listener(unsigned where, unsigned port)
{
	struct io_handle *h = NULL;

	ck_assert_int_eq(listen_on(&h, where, in_addr("0.0.0.0", port), 16), 0);
	return h;
}

struct io_handle *socket_on(unsigned where, int family)
{
	struct io_handle *h = NULL;

	node = where;
	ck_assert_int_eq(io->ops->socket(io, &h, family), 0);
	return h;
}

int64_t connect_start(struct call *c, struct io_handle *h, struct io_addr addr)
{
	*c = (struct call){ .op = { .handle = h, .kind = IO_CONNECT }, .addr = addr };
	c->op.addr = &c->addr;
	return submit(c);
}

int64_t connect_to(struct io_handle *h, struct io_addr addr)
{
	struct call c;
	int64_t result = connect_start(&c, h, addr);

	return result == IO_PENDING ? finish(&c) : result;
}

int64_t accept_from(struct io_handle *l, struct io_handle **out)
{
	struct call c = { .op = { .handle = l, .kind = IO_ACCEPT } };
	int64_t result = run(&c);

	if (result == -EDEADLK)
		ck_assert(io->ops->cancel(&c.op));
	*out = c.op.accepted;
	return result;
}

void close_h(struct io_handle *h)
{
	io->ops->close(h, false);
}

struct pair pair_open(void)
{
	struct io_handle *l = listener(1, 80);
	struct pair p = { .client = socket_on(0, AF_INET) };

	ck_assert_int_eq(connect_to(p.client, in_addr("10.0.0.2", 80)), 0);
	ck_assert_int_eq(accept_from(l, &p.server), 0);
	close_h(l);
	return p;
}

void pair_close(struct pair p)
{
	close_h(p.client);
	close_h(p.server);
}

void settle(void)
{
	io->ops->wait(io, io->ops->now(io) + 100 * (int64_t)S);
}
