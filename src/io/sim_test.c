/* SPDX-License-Identifier: MIT */
/* The simulator through its io_ops, without fibers: what the net does in good weather. */
#include "support/simnet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

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

START_TEST(ipv6_reaches_loopback_and_nodes)
{
	struct io_listen_options options = { .backlog = 4 };
	struct io_addr found[2], addr = { .len = sizeof(addr.in6) }, name;
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
	ck_assert_int_eq(io->ops->resolve(io, "node0", found, 2), 2);
	addr = found[0];
	addr.in6.sin6_port = htons(80);
	h = socket_on(1, AF_INET6);
	ck_assert_int_eq(connect_to(h, addr), 0);
	ck_assert_int_eq(io->ops->names(h, NULL, &name), 0);
	ck_assert(memcmp(&name.in6, &addr.in6, sizeof(name.in6)) == 0);
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
	struct io_addr a[2];
	struct in6_addr v6;

	ck_assert_int_eq(io->ops->resolve(io, "other", a, 1), 1);
	ck_assert_uint_eq(ntohl(a[0].in.sin_addr.s_addr), 0x0a000002);
	ck_assert_int_eq(io->ops->resolve(io, "node0", a, 2), 2);
	ck_assert_int_eq(inet_pton(AF_INET6, "fd00::1", &v6), 1);
	ck_assert(memcmp(&a[0].in6.sin6_addr, &v6, sizeof(v6)) == 0);
	ck_assert_uint_eq(ntohl(a[1].in.sin_addr.s_addr), 0x0a000001);
	ck_assert_int_eq(io->ops->resolve(io, "localhost", a, 2), 2);
	ck_assert(IN6_IS_ADDR_LOOPBACK(&a[0].in6.sin6_addr));
	ck_assert_uint_eq(ntohl(a[1].in.sin_addr.s_addr), INADDR_LOOPBACK);
	ck_assert_int_eq(io->ops->resolve(io, "10.0.0.9", a, 2), 1);
	ck_assert_uint_eq(ntohl(a[0].in.sin_addr.s_addr), 0x0a000009);
	ck_assert_int_eq(io->ops->resolve(io, "::1", a, 2), 1);
	ck_assert_int_eq(a[0].sa.sa_family, AF_INET6);
	ck_assert_int_eq(io->ops->resolve(io, "nobody", a, 2), -ENOENT);
	ck_assert_int_eq(io->ops->resolve(io, "other", a, 0), -EINVAL);
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

	net_open(&options);
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

	net_open(&options);
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

START_TEST(a_listener_that_is_shut_down_accepts_no_more)
{
	struct io_handle *l = listener(1, 80), *h = socket_on(0, AF_INET);
	struct call c = { .op = { .handle = l, .kind = IO_ACCEPT } };

	ck_assert_int_eq(submit(&c), IO_PENDING);
	ck_assert_int_eq(io->ops->shutdown(l, SHUT_RDWR), 0);
	ck_assert_int_eq(finish(&c), -EINVAL);
	ck_assert_int_eq(connect_to(h, in_addr("10.0.0.2", 80)), -ECONNREFUSED);
	ck_assert_int_eq(io->ops->shutdown(h, SHUT_WR), -ENOTCONN);
	close_h(h);
	close_h(l);
}
END_TEST

START_TEST(an_accept_names_the_peer)
{
	struct io_handle *l = listener(1, 80), *h = socket_on(0, AF_INET);
	struct io_addr local, peer;
	struct call c = { .op = { .handle = l, .kind = IO_ACCEPT, .addr = &peer } };

	ck_assert_int_eq(connect_to(h, in_addr("10.0.0.2", 80)), 0);
	ck_assert_int_eq(run(&c), 0);
	ck_assert_int_eq(io->ops->names(h, &local, NULL), 0);
	ck_assert(peer.len == local.len && memcmp(&peer.in, &local.in, peer.len) == 0);
	close_h(c.op.accepted);
	close_h(h);
	close_h(l);
}
END_TEST

START_TEST(addresses_that_no_node_has_are_refused)
{
	struct io_addr v6 = { .len = sizeof(v6.in6) }, odd = { .len = sizeof(odd.in) };
	struct io_handle *l = NULL, *h = socket_on(0, AF_INET6), *server = listener(1, 80);

	v6.in6.sin6_family = AF_INET6;
	v6.in6.sin6_port = htons(80);
	v6.in6.sin6_addr.s6_addr[0] = 0x20;
	ck_assert_int_eq(connect_to(h, v6), -ENETUNREACH);
	ck_assert_int_eq(listen_on(&l, 0, v6, 1), -EADDRNOTAVAIL);
	odd.sa.sa_family = AF_UNSPEC;
	ck_assert_int_eq(listen_on(&l, 0, odd, 1), -EAFNOSUPPORT);
	ck_assert_int_eq(listen_on(&l, 0, un_addr("", 0), 1), -EINVAL);
	ck_assert_int_eq(io->ops->socket(io, &l, AF_UNSPEC), -EAFNOSUPPORT);
	ck_assert_int_eq(connect_to(h, in_addr("10.0.0.2", 0)), -EAFNOSUPPORT);
	ck_assert_int_eq(connect_to(server, v6), -EINVAL);
	close_h(h);
	close_h(server);
}
END_TEST

START_TEST(nothing_is_moved_when_nothing_is_asked_for)
{
	struct pair p = pair_open();
	char c;

	ck_assert_int_eq(rd(p.server, &c, 0), 0);
	ck_assert_int_eq(wr(p.client, ""), 0);
	ck_assert_int_eq(rd(p.server, &c, 1), -EDEADLK);
	pair_close(p);
}
END_TEST

static void sim_tests(TCase *tc)
{
	tcase_add_checked_fixture(tc, net_setup, net_teardown);
	t_add(tc, bytes_arrive_in_order_and_then_the_end);
	t_add(tc, several_iovecs_are_gathered_and_scattered);
	t_add(tc, both_ends_know_their_names);
	t_add(tc, a_listener_on_port_0_gets_a_port_of_its_own);
	t_add(tc, an_address_is_listened_on_once);
	t_add(tc, reuse_port_shares_a_port);
	t_add(tc, connects_fail_as_the_world_makes_them);
	t_add(tc, loopback_stays_on_its_node);
	t_add(tc, ipv6_reaches_loopback_and_nodes);
	t_add(tc, unix_names_belong_to_their_node);
	t_add(tc, names_are_resolved);
	t_add(tc, nodes_have_names_of_their_own_and_a_limit);
	t_add(tc, a_full_window_blocks_the_writer_until_the_reader_reads);
	t_add(tc, a_half_close_leaves_the_other_half_open);
	t_add(tc, shutting_the_reading_half_ends_a_read_that_waits);
	t_add(tc, a_full_backlog_makes_tcp_clients_try_again);
	t_add(tc, a_full_backlog_makes_unix_clients_wait);
	t_add(tc, closing_a_listener_resets_what_it_had_not_accepted);
	t_add(tc, a_client_that_leaves_the_backlog_is_accepted_and_ends);
	t_add(tc, closing_while_connecting_leaves_nothing);
	t_add(tc, cancel_withdraws_and_loses_nothing);
	t_add(tc, interrupt_completes_what_waits_and_refuses_the_rest);
	t_add(tc, poll_tells_when_there_is_something_to_read);
	t_add(tc, descriptors_of_the_world_are_not_adopted);
	t_add(tc, a_listener_that_is_shut_down_accepts_no_more);
	t_add(tc, an_accept_names_the_peer);
	t_add(tc, addresses_that_no_node_has_are_refused);
	t_add(tc, nothing_is_moved_when_nothing_is_asked_for);
}
T_SUITE("io/sim", sim_tests)
