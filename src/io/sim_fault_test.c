/* SPDX-License-Identifier: MIT */
/* The simulator's faults, its clock, and that a run is a function of its seed. */
#define _GNU_SOURCE /* stderr can be set, open_memstream */
#include "support/simnet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(latency_is_within_its_bounds)
{
	weft_sim_options options = { .latency_min_ns = 3 * MS, .latency_max_ns = 4 * MS };
	struct pair p;
	char c;

	net_open(&options);
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

START_TEST(partial_transfers_lose_nothing)
{
	weft_sim_options options = { .partial_permille = 1000 };
	char out[3000], in[3000];
	size_t sent = 0, got = 0, calls = 0;
	struct pair p;

	net_open(&options);
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

	net_open(&options);
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

	net_open(&options);
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

	net_open(&options);
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

	net_open(&options);
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

/* Some of everything; the hash of it. */
static uint64_t scenario(uint64_t seed, bool draw_schedule)
{
	weft_sim_options options = { .seed = seed, .partial_permille = 300 };
	struct pair p;
	char buf[100];
	uint64_t hash;

	net_open(&options);
	p = pair_open();
	for (int i = 0; i < 10; i++) {
		if (draw_schedule)
			io_sim_random_schedule(io, 10);
		wr(p.client, "a text of some length that the dice may cut");
		rd(p.server, buf, sizeof(buf));
	}
	pair_close(p);
	hash = io_sim_hash(io);
	net_teardown();
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

	net_open(&options);
	for (int i = 0; i < 3; i++)
		first[i] = io_sim_random_application(io);
	net_teardown();
	net_open(&options);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(io_sim_random_application(io), first[i]);
	net_teardown();
}
END_TEST

START_TEST(memory_fails_as_often_as_asked)
{
	weft_sim_options options = { .memory_fail_permille = 100 };
	int failed = 0;

	net_open(&options);
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
	net_open(&options);
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
	net_open(&(weft_sim_options)WEFT_SIM_OPTIONS_DEFAULT);
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

	net_teardown();
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
		net_teardown();
	}
}
END_TEST

START_TEST(a_partition_holds_the_news_of_room_too)
{
	weft_sim_options options = { .window = 4 };
	struct pair p;
	struct call c;
	char buf[4];

	net_open(&options);
	p = pair_open();
	ck_assert_int_eq(wr(p.client, "full"), 4);
	c = transfer(p.client, IO_WRITE, buf, 4);
	ck_assert_int_eq(start(&c), IO_PENDING);
	settle();
	io_sim_partition(io, 0, 1, true);
	ck_assert_int_eq(rd(p.server, buf, 4), 4);
	ck_assert_int_eq(finish(&c), -EDEADLK);
	io_sim_partition(io, 1, 0, false);
	ck_assert_int_eq(finish(&c), 4);
	pair_close(p);
}
END_TEST

START_TEST(healing_one_link_leaves_the_others_cut)
{
	struct pair p = pair_open();
	unsigned third;
	char c;

	ck_assert_int_eq(io_sim_node_add(io, &third, "third"), 0);
	io_sim_partition(io, 0, WEFT_SIM_ALL, true);
	io_sim_partition(io, 0, third, false);
	ck_assert_int_eq(wr(p.client, "x"), 1);
	ck_assert_int_eq(rd(p.server, &c, 1), -EDEADLK);
	io_sim_partition(io, WEFT_SIM_ALL, WEFT_SIM_ALL, false);
	ck_assert_int_eq(rd(p.server, &c, 1), 1);
	pair_close(p);
}
END_TEST

START_TEST(a_crashed_node_answers_an_end_with_a_reset)
{
	struct pair p = pair_open();
	char c;

	io_sim_crash(io, 1);
	ck_assert_int_eq(io->ops->shutdown(p.client, SHUT_WR), 0);
	ck_assert_int_eq(rd(p.client, &c, 1), -ECONNRESET);
	pair_close(p);
}
END_TEST

START_TEST(a_client_that_crashes_while_connecting_leaves_nothing)
{
	struct io_handle *l = listener(1, 80), *h = socket_on(0, AF_INET), *server;
	struct call c;
	char buf[1];

	ck_assert_int_eq(connect_start(&c, h, in_addr("10.0.0.2", 80)), IO_PENDING);
	io_sim_crash(io, 0); /* before the server heard of it */
	ck_assert_int_eq(c.op.result, -ECANCELED);
	settle();
	close_h(h);
	h = socket_on(0, AF_INET);
	ck_assert_int_eq(connect_start(&c, h, in_addr("10.0.0.2", 80)), IO_PENDING);
	ck_assert_int_eq(accept_from(l, &server), 0);
	io_sim_crash(io, 0); /* before the client heard of the server */
	ck_assert_int_eq(c.op.result, -ECANCELED);
	ck_assert_int_eq(rd(server, buf, 1), -ECONNRESET);
	close_h(h);
	close_h(server);
	close_h(l);
}
END_TEST

START_TEST(a_reset_reaches_a_client_that_waits_in_line)
{
	struct io_handle *l = NULL, *in = socket_on(0, AF_UNIX), *waits = socket_on(0, AF_UNIX);
	struct io_handle *server;
	struct call c;

	ck_assert_int_eq(listen_on(&l, 0, un_addr("/a", 2), 0), 0);
	ck_assert_int_eq(connect_to(in, un_addr("/a", 2)), 0);
	ck_assert_int_eq(connect_start(&c, waits, un_addr("/a", 2)), IO_PENDING);
	settle();
	io_sim_reset_all(io, 0);
	ck_assert_int_eq(finish(&c), -ECONNREFUSED);
	ck_assert_int_eq(accept_from(l, &server), 0); /* what was in: reset, but there */
	close_h(server);
	ck_assert_int_eq(accept_from(l, &server), -EDEADLK);
	close_h(in);
	close_h(waits);
	close_h(l);
}
END_TEST

START_TEST(faults_of_nodes_that_are_not_there_do_nothing)
{
	struct pair p = pair_open();
	char c;

	io_sim_crash(io, 2);
	io_sim_reset_all(io, 2);
	io_sim_descriptor_limit(io, 2, 0);
	io_sim_partition(io, 0, 2, true);
	ck_assert_int_eq(wr(p.client, "x"), 1);
	ck_assert_int_eq(rd(p.server, &c, 1), 1);
	pair_close(p);
}
END_TEST

/* Bytes that a reset overtakes are lost or not, but never torn out of the middle. */
START_TEST(whatever_the_dice_do_bytes_stay_in_order)
{
	for (uint64_t seed = 0; seed < 300; seed++) {
		weft_sim_options options = { .seed = seed, .partial_permille = 500 };
		unsigned char next_in = 0, next_out = 0, buf[64];
		struct pair p;

		options.window = 1 + seed % 100;
		net_open(&options);
		p = pair_open();
		for (int64_t sent = 0, got = 0; sent >= 0 && got >= 0;) {
			size_t n = 1 + (size_t)(io_sim_random_application(io) % sizeof(buf));

			for (size_t i = 0; i < n; i++)
				buf[i] = (unsigned char)(next_out + i);
			sent = io_run(p.client, IO_WRITE, buf, n);
			next_out = (unsigned char)(next_out + (sent > 0 ? sent : 0));
			if (sent == -EDEADLK)
				sent = 0; /* no room: read first */
			got = rd(p.server, buf, sizeof(buf));
			for (int64_t i = 0; i < got; i++)
				ck_assert_uint_eq(buf[i], next_in++);
			if (io_sim_random_application(io) % 50 == 0)
				io_sim_reset_all(io, 0);
		}
		pair_close(p);
	}
}
END_TEST

START_TEST(a_crash_gives_the_nodes_descriptors_back)
{
	struct io_handle *h = socket_on(0, AF_INET), *again;

	io_sim_descriptor_limit(io, 0, 1);
	io_sim_crash(io, 0);
	again = socket_on(0, AF_INET);
	close_h(again);
	close_h(h);
	ck_assert_uint_eq(io_sim_sockets(io), 0);
	again = socket_on(0, AF_INET);
	close_h(again);
}
END_TEST

START_TEST(connections_that_came_and_went_cost_no_memory)
{
	uint64_t calls;

	pair_close(pair_open());
	t_malloc_fail_at(0);
	pair_close(pair_open());
	calls = t_malloc_calls();
	t_malloc_fail_at(0);
	for (int i = 0; i < 1000; i++) {
		pair_close(pair_open());
		settle();
	}
	ck_assert_uint_eq(t_malloc_calls(), calls * 1000); /* no array has grown */
}
END_TEST

START_TEST(a_server_that_resets_at_once_was_connected_to)
{
	struct io_handle *l = listener(1, 80), *h = socket_on(0, AF_INET), *server;
	struct call c;
	char buf[1];

	ck_assert_int_eq(connect_start(&c, h, in_addr("10.0.0.2", 80)), IO_PENDING);
	ck_assert_int_eq(accept_from(l, &server), 0);
	io->ops->close(server, true);
	ck_assert_uint_eq(c.completed, 0);
	ck_assert_int_eq(finish(&c), 0);
	ck_assert_int_eq(rd(h, buf, 1), -ECONNRESET);
	close_h(h);
	close_h(l);
}
END_TEST

START_TEST(a_server_that_crashes_before_the_client_hears_of_it_refuses)
{
	struct io_handle *l = listener(1, 80), *h = socket_on(0, AF_INET), *server;
	struct call c;

	ck_assert_int_eq(connect_start(&c, h, in_addr("10.0.0.2", 80)), IO_PENDING);
	ck_assert_int_eq(accept_from(l, &server), 0);
	io_sim_crash(io, 1);
	ck_assert_int_eq(finish(&c), -ECONNREFUSED);
	close_h(server);
	close_h(h);
	close_h(l);
}
END_TEST

static void sim_fault_tests(TCase *tc)
{
	tcase_add_checked_fixture(tc, net_setup, net_teardown);
	t_add(tc, latency_is_within_its_bounds);
	t_add(tc, partial_transfers_lose_nothing);
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
	t_add(tc, nothing_to_come_is_a_deadlock);
	t_add(tc, time_moves_to_the_deadline_and_no_further);
	t_add(tc, a_clock_jump_makes_what_is_due_in_between_late);
	t_add(tc, the_dice_refuse_connects);
	t_add(tc, the_dice_reset_connections);
	t_add(tc, the_dice_fail_accepts_for_a_while);
	t_add(tc, equal_seeds_give_equal_hashes);
	t_add(tc, one_random_stream_leaves_the_others_alone);
	t_add(tc, a_note_changes_the_hash);
	t_add(tc, the_application_stream_repeats);
	t_add(tc, memory_fails_as_often_as_asked);
	t_add(tc, a_trace_names_who_talks_to_whom);
	t_add(tc, options_out_of_range_are_refused);
	t_add(tc, destroy_frees_what_was_not_closed);
	t_add(tc, every_allocation_may_fail);
	t_add(tc, a_partition_holds_the_news_of_room_too);
	t_add(tc, healing_one_link_leaves_the_others_cut);
	t_add(tc, a_crashed_node_answers_an_end_with_a_reset);
	t_add(tc, a_client_that_crashes_while_connecting_leaves_nothing);
	t_add(tc, a_reset_reaches_a_client_that_waits_in_line);
	t_add(tc, faults_of_nodes_that_are_not_there_do_nothing);
	t_add(tc, whatever_the_dice_do_bytes_stay_in_order);
	t_add(tc, a_crash_gives_the_nodes_descriptors_back);
	t_add(tc, connections_that_came_and_went_cost_no_memory);
	t_add(tc, a_server_that_resets_at_once_was_connected_to);
	t_add(tc, a_server_that_crashes_before_the_client_hears_of_it_refuses);
}
T_SUITE("io/sim_fault", sim_fault_tests)
