/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* Closing, aborting and making conns, over every transport. */
#define _GNU_SOURCE
#include "support/ends.h"

#include <pthread.h>

/* ---- closing ---- */

static void *close_thread(void *arg)
{
	weft_conn_close(arg);
	weft_conn_close(arg);
	return NULL;
}

static void close_from(struct ends *ends, bool thread)
{
	struct stream r = { ends->a, 0, 0, WEFT_OK, 0, false },
		      w = { ends->a, 16 << 20, 0, WEFT_OK, 0, false };
	weft_fiber *reader = spawn(read_to_error, &r), *writer = spawn(write_to_error, &w);
	weft_err result;
	pthread_t t;
	uint8_t byte;
	size_t got;

	wait_parked();
	if (thread)
		ck_assert_int_eq(pthread_create(&t, NULL, close_thread, ends->a), 0);
	else
		(void)close_thread(ends->a);
	OK(weft_fiber_join(reader, &result, SOON));
	FAILS(WEFT_ECLOSED, result);
	OK(weft_fiber_join(writer, &result, SOON));
	FAILS(WEFT_ECLOSED, result);
	if (thread)
		ck_assert_int_eq(pthread_join(t, NULL), 0);
	FAILS(WEFT_ECLOSED, weft_conn_read(ends->a, &byte, 1, &got, SOON));
	FAILS(WEFT_ECLOSED, weft_conn_write(ends->a, &byte, 1, &got, SOON));
	FAILS(WEFT_ECLOSED, weft_conn_read(ends->a, &byte, 0, &got, SOON));
	OK(weft_conn_shutdown(ends->a));
	ck_assert_int_eq(weft_conn_fd(ends->a), -1);
	/* what was written before can be read, then comes the end */
	for (;;) {
		static uint8_t data[60000];
		weft_err err = weft_conn_read(ends->b, data, sizeof(data), &got, SOON);

		if (!err)
			continue;
		FAILS(WEFT_ECLOSED, err);
		break;
	}
}

static void close_from_fiber_body(struct ends *ends)
{
	close_from(ends, false);
}

START_TEST(conn_close_wakes_reader_and_writer)
{
	run_over(_i, close_from_fiber_body);
}
END_TEST

static void close_from_thread_body(struct ends *ends)
{
	close_from(ends, true);
}

START_TEST(conn_close_from_a_plain_thread_wakes_reader_and_writer)
{
	if (!kinds[_i].sim)
		run_over(_i, close_from_thread_body);
}
END_TEST

static void abort_body(struct ends *ends)
{
	uint8_t data[100] = { 0 };
	weft_err err;
	size_t got;

	if (!ends->kind->resets)
		return;
	OK(weft_conn_write(ends->a, data, 5, NULL, SOON));
	weft_conn_abort(ends->a);
	weft_conn_abort(ends->a);
	/* what arrived before may be read or lost */
	do {
		err = weft_conn_read(ends->b, data, sizeof(data), &got, SOON);
	} while (!err);
	FAILS(WEFT_ERESET, err);
	FAILS(WEFT_ERESET, weft_conn_write(ends->b, data, sizeof(data), &got, SOON));
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "write"));
}

START_TEST(conn_abort_is_a_reset_at_the_peer)
{
	run_over(_i, abort_body);
}
END_TEST

static void gone_body(struct ends *ends)
{
	uint8_t data[4096] = { 0 };
	weft_err err = WEFT_OK;

	weft_conn_close(ends->b);
	/* a socket learns of it only when the answer to its first bytes is in */
	for (int i = 0; i < 1000 && !err; i++) {
		err = weft_conn_write(ends->a, data, sizeof(data), NULL, SOON);
		if (!err)
			OK(weft_sleep_ms(1));
	}
	FAILS(WEFT_ERESET, err);
}

START_TEST(conn_write_to_a_peer_that_has_gone_is_a_reset)
{
	run_over(_i, gone_body);
}
END_TEST

static void busy_body(struct ends *ends)
{
	struct stream r = { ends->a, 0, 0, WEFT_OK, 0, false },
		      w = { ends->a, 16 << 20, 0, WEFT_OK, 0, false };
	weft_fiber *reader = spawn(read_to_error, &r), *writer = spawn(write_to_error, &w);
	uint8_t byte = 0;
	size_t got;

	wait_parked();
	FAILS(WEFT_EINVAL, weft_conn_read(ends->a, &byte, 1, &got, SOON));
	FAILS(WEFT_EINVAL, weft_conn_write(ends->a, &byte, 1, &got, SOON));
	weft_conn_close(ends->a);
	join_any(reader);
	join_any(writer);
}

START_TEST(conn_has_one_reader_and_one_writer)
{
	run_over(_i, busy_body);
}
END_TEST

/* ---- many of everything ---- */

struct churn {
	const struct kind *kind;
	uint64_t seed;
};

static weft_err churn_reader(void *arg)
{
	uint8_t data[100];
	size_t got;

	while (!weft_conn_read(arg, data, sizeof(data), &got, SOON))
		;
	return WEFT_OK;
}

static weft_err churn_writer(void *arg)
{
	uint8_t data[3000] = { 0 };

	for (int i = 0; i < 50; i++) {
		if (weft_conn_write(arg, data, sizeof(data), NULL, SOON))
			break;
		(void)weft_yield();
	}
	if (weft_conn_shutdown(arg)) /* the other end may have gone */
		return WEFT_OK;
	return WEFT_OK;
}

static weft_err churn_closer(void *arg)
{
	for (int i = 0; i < 30; i++)
		(void)weft_yield();
	weft_conn_close(arg);
	return WEFT_OK;
}

/* Readers, writers and closers of one conn on different workers, let go at once. */
static weft_err churn_fiber(void *arg)
{
	struct churn *churn = arg;

	for (int round = 0; round < 60; round++) {
		weft_conn *ends[2] = { NULL, NULL };
		weft_fiber *fibers[6];
		static const weft_fiber_fn fns[6] = { churn_reader, churn_writer, churn_closer,
			churn_reader, churn_writer, churn_closer };

		OK(churn->kind->make(ends));
		for (unsigned i = 0; i < 6; i++) {
			unsigned worker = (unsigned)(t_random(&churn->seed) % weft_worker_count());

			OK(weft_spawn_on(worker, &fibers[i], "churn", fns[i], ends[i / 3]));
		}
		for (unsigned i = 0; i < 6; i++)
			join(fibers[i]);
		weft_conn_free(ends[0]);
		weft_conn_free(ends[1]);
	}
	return WEFT_OK;
}

START_TEST(conn_close_meets_reads_and_writes_on_other_workers)
{
	struct churn churn = { &kinds[_i], t_seed() };

	if (!kinds[_i].sim)
		run_fiber(churn_fiber, &churn, false);
}
END_TEST

static weft_err names_fiber(void *arg)
{
	weft_conn *ends[2];

	(void)arg;
	OK(make_tcp(ends));
	ck_assert_str_eq(weft_conn_local_name(ends[0]), weft_conn_peer_name(ends[1]));
	ck_assert_str_eq(weft_conn_local_name(ends[1]), weft_conn_peer_name(ends[0]));
	ck_assert_ptr_nonnull(strstr(weft_conn_peer_name(ends[0]), "tcp://127.0.0.1:"));
	ck_assert_int_ge(weft_conn_fd(ends[0]), 0);
	ck_assert_int_ne(fcntl(weft_conn_fd(ends[0]), F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_ne(fcntl(weft_conn_fd(ends[1]), F_GETFD) & FD_CLOEXEC, 0);
	weft_conn_free(ends[0]);
	weft_conn_free(ends[1]);
	OK(make_unix(ends));
	ck_assert_ptr_nonnull(strstr(weft_conn_peer_name(ends[0]), "unix:@weft-test-"));
	ck_assert_str_eq(weft_conn_local_name(ends[1]), weft_conn_peer_name(ends[0]));
	ck_assert_str_eq(weft_conn_peer_name(ends[1]), "unix:");
	weft_conn_free(ends[0]);
	weft_conn_free(ends[1]);
	OK(make_memory(ends));
	ck_assert_str_eq(weft_conn_local_name(ends[0]), "pair:0");
	ck_assert_str_eq(weft_conn_peer_name(ends[0]), "pair:1");
	ck_assert_int_eq(weft_conn_fd(ends[0]), -1);
	weft_conn_free(ends[0]);
	weft_conn_free(ends[1]);
	OK(make_user(ends));
	ck_assert_str_eq(weft_conn_local_name(ends[0]), "user:left");
	ck_assert_str_eq(weft_conn_peer_name(ends[0]), "user:right");
	weft_conn_free(ends[0]);
	weft_conn_free(ends[1]);
	weft_conn_free(NULL);
	return WEFT_OK;
}

START_TEST(conn_names_both_ends)
{
	run_fiber(names_fiber, NULL, false);
}
END_TEST

static weft_err pair_memory_fiber(void *arg)
{
	weft_conn *never = NULL;

	(void)arg;
	/* what this fiber and the other worker allocate once stays */
	FAILS(WEFT_EINVAL, weft_conn_create(&never, NULL, NULL, NULL, NULL));
	wait_begun();
	T_EACH_FAILING_MALLOC(n) {
		weft_conn *ends[2] = { NULL, NULL }, *user = NULL;
		weft_err err = weft_conn_pair(ends, 100);

		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		ck_assert(err == WEFT_OK || t_malloc_failed());
		if (!err) {
			err = weft_conn_create(&user, &user_ops, ends[0], NULL, NULL);
			ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
			if (err)
				weft_conn_free(ends[0]);
			weft_conn_free(user);
			weft_conn_free(ends[1]);
		}
	}
	return WEFT_OK;
}

START_TEST(conn_pair_and_create_survive_every_failing_malloc)
{
	run_fiber(pair_memory_fiber, NULL, false);
}
END_TEST

START_TEST(conn_create_names_what_is_missing)
{
	weft_conn_ops ops = user_ops;
	weft_conn *conn;

	ops.writev = NULL;
	FAILS(WEFT_EINVAL, weft_conn_create(&conn, &ops, NULL, NULL, NULL));
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "ops.writev"));
	FAILS(WEFT_EINVAL, weft_conn_create(&conn, NULL, NULL, NULL, NULL));
}
END_TEST

static void close_tests(TCase *tc)
{
	t_add_loop(tc, conn_close_wakes_reader_and_writer, 0, KINDS);
	t_add_loop(tc, conn_close_from_a_plain_thread_wakes_reader_and_writer, 0, KINDS);
	t_add_loop(tc, conn_abort_is_a_reset_at_the_peer, 0, KINDS);
	t_add_loop(tc, conn_write_to_a_peer_that_has_gone_is_a_reset, 0, KINDS);
	t_add_loop(tc, conn_has_one_reader_and_one_writer, 0, KINDS);
	t_add_loop(tc, conn_close_meets_reads_and_writes_on_other_workers, 0, KINDS);
	t_add(tc, conn_names_both_ends);
	t_add(tc, conn_pair_and_create_survive_every_failing_malloc);
	t_add(tc, conn_create_names_what_is_missing);
}

T_SUITE("close", close_tests)
