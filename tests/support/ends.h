/* SPDX-License-Identifier: MIT */
#ifndef ENDS_H
#define ENDS_H

/* Pairs of connected conns over every transport, for tests that must hold over all. */
#include "support/t.h"

#include <weft/weft.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))
#define MS(n) weft_after_ms(n)
/* Long enough for any machine; a test that waits for it has failed. */
#define SOON weft_after_ms(20000)

#define OK(call)                                                                             \
	do {                                                                                 \
		weft_err ok_err = (call);                                                    \
		ck_assert_msg(ok_err == WEFT_OK, "%s: %s: %s", #call, weft_err_name(ok_err), \
			weft_error_detail());                                                \
	} while (0)
#define FAILS(code, call)                                                       \
	do {                                                                    \
		weft_err got_err = (call);                                      \
		ck_assert_msg(got_err == (code), "%s: %s instead of %s", #call, \
			weft_err_name(got_err), #code);                         \
	} while (0)

struct kind {
	const char *name;
	weft_err (*make)(weft_conn *ends[2]);
	bool sim;
	bool resets;	     /* an abort is a reset at the other end */
	bool buffers_little; /* a write of 16 MiB does not fit */
};

struct dialling {
	const char *address;
	weft_conn *conn;
};

UNUSED static weft_err dial_fiber(void *arg)
{
	struct dialling *d = arg;

	return weft_dial(&d->conn, d->address, NULL, SOON);
}

UNUSED static weft_err make_listened(weft_conn *ends[2], const char *address)
{
	weft_listener *listener = NULL;
	weft_fiber *fiber = NULL;
	struct dialling d = { NULL, NULL };
	weft_err result;

	OK(weft_listen(&listener, address, NULL, SOON));
	d.address = weft_listener_name(listener);
	OK(weft_spawn(&fiber, "dial", dial_fiber, &d));
	OK(weft_listener_accept(listener, &ends[1], SOON));
	OK(weft_fiber_join(fiber, &result, SOON));
	OK(result);
	ends[0] = d.conn;
	weft_listener_free(listener);
	return WEFT_OK;
}

UNUSED static weft_err make_tcp(weft_conn *ends[2])
{
	return make_listened(ends, "tcp://127.0.0.1:0");
}

UNUSED static weft_err make_tcp6(weft_conn *ends[2])
{
	return make_listened(ends, "tcp://[::1]:0");
}

UNUSED static weft_err make_sim(weft_conn *ends[2])
{
	return make_listened(ends, "tcp://10.0.0.1:80");
}

UNUSED static weft_err make_unix(weft_conn *ends[2])
{
	char address[64];

	snprintf(address, sizeof(address), "unix:@weft-test-%d", (int)getpid());
	return make_listened(ends, address);
}

UNUSED static weft_err make_socketpair(weft_conn *ends[2])
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	OK(weft_conn_adopt_own(&ends[0], fds[0], fds[0], false, "left"));
	OK(weft_conn_adopt_own(&ends[1], fds[1], fds[1], false, "right"));
	return WEFT_OK;
}

static weft_err make_pipes_flags(weft_conn *ends[2], bool keep_flags)
{
	int a[2], b[2];

	ck_assert_int_eq(pipe(a), 0);
	ck_assert_int_eq(pipe(b), 0);
	OK(weft_conn_adopt_own(&ends[0], a[0], b[1], keep_flags, NULL));
	OK(weft_conn_adopt_own(&ends[1], b[0], a[1], keep_flags, NULL));
	return WEFT_OK;
}

UNUSED static weft_err make_pipes(weft_conn *ends[2])
{
	return make_pipes_flags(ends, false);
}

UNUSED static weft_err make_kept_pipes(weft_conn *ends[2])
{
	return make_pipes_flags(ends, true);
}

UNUSED static weft_err make_memory(weft_conn *ends[2])
{
	return weft_conn_pair(ends, 0);
}

UNUSED static weft_err make_small_memory(weft_conn *ends[2])
{
	return weft_conn_pair(ends, 7);
}

static weft_err user_readv(
	void *user, const struct iovec *iov, unsigned iov_count, size_t *got, weft_deadline until)
{
	return weft_conn_readv(user, iov, iov_count, got, until);
}

static weft_err user_writev(void *user, const struct iovec *iov, unsigned iov_count,
	size_t *written, weft_deadline until)
{
	return weft_conn_writev(user, iov, iov_count, written, until);
}

static weft_err user_shutdown(void *user)
{
	return weft_conn_shutdown(user);
}

static void user_close(void *user)
{
	weft_conn_close(user);
}

static void user_abort(void *user)
{
	weft_conn_abort(user);
}

static void user_free(void *user)
{
	weft_conn_free(user);
}

static const weft_conn_ops user_ops = { user_readv, user_writev, user_shutdown, user_close,
	user_abort, user_free, NULL };

UNUSED static weft_err make_user(weft_conn *ends[2])
{
	weft_conn *inner[2];

	OK(weft_conn_pair(inner, 0));
	OK(weft_conn_create(&ends[0], &user_ops, inner[0], "user:left", "user:right"));
	OK(weft_conn_create(&ends[1], &user_ops, inner[1], NULL, NULL));
	return WEFT_OK;
}

UNUSED static const struct kind kinds[] = {
	{ "tcp", make_tcp, false, true, true },
	{ "tcp6", make_tcp6, false, true, true },
	{ "unix", make_unix, false, false, true },
	{ "socketpair", make_socketpair, false, false, true },
	{ "pipes", make_pipes, false, false, true },
	{ "pipes with kept flags", make_kept_pipes, false, false, true },
	{ "memory", make_memory, false, true, true },
	{ "small memory", make_small_memory, false, true, true },
	{ "user", make_user, false, true, true },
	{ "simulated", make_sim, true, true, true },
};
#define KINDS ((int)(sizeof(kinds) / sizeof(kinds[0])))

/* What a test body gets. */
struct ends {
	const struct kind *kind;
	weft_conn *a, *b;
	void (*body)(struct ends *ends);
};

UNUSED static weft_err ends_fiber(void *arg)
{
	struct ends *ends = arg;
	weft_conn *pair[2] = { NULL, NULL };
	uint64_t fibers = weft_fiber_count();

	OK(ends->kind->make(pair));
	ends->a = pair[0];
	ends->b = pair[1];
	ends->body(ends);
	weft_conn_free(ends->a);
	weft_conn_free(ends->b);
	ck_assert_uint_eq(weft_fiber_count(), fibers);
	return WEFT_OK;
}

/* The fiber under weft_run, or simulated; descriptors and memory are back after it. */
UNUSED static void run_fiber(weft_fiber_fn fn, void *arg, bool sim)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;
	static uint64_t runs;
	weft_sim_options sim_options = WEFT_SIM_OPTIONS_DEFAULT;
	int fds = t_fds_open();

	options.workers = 2;
	sim_options.seed = t_seed() + runs++; /* a test's runs differ */
	sim_options.partial_permille = 300;
	if (sim)
		OK(weft_sim_run(fn, arg, &sim_options, NULL));
	else
		OK(weft_run(fn, arg, &options));
	ck_assert_int_eq(t_fds_open(), fds);
	ck_assert_int_eq(t_children(), 0);
}

UNUSED static void run_over(int i, void (*body)(struct ends *ends))
{
	struct ends ends = { &kinds[i], NULL, NULL, body };

	run_fiber(ends_fiber, &ends, kinds[i].sim);
}

/* Byte i of every test's stream. */
UNUSED static uint8_t pattern(uint64_t i)
{
	return (uint8_t)((i * 2654435761u) >> 13);
}

UNUSED static void fill(uint8_t *data, size_t size, uint64_t from)
{
	for (size_t i = 0; i < size; i++)
		data[i] = pattern(from + i);
}

UNUSED static bool matches(const uint8_t *data, size_t size, uint64_t from)
{
	for (size_t i = 0; i < size; i++) {
		if (data[i] != pattern(from + i))
			return false;
	}
	return true;
}

/* ---- peers, for test bodies ---- */

UNUSED static weft_err echo_fiber(void *arg)
{
	weft_conn *conn = arg;
	uint8_t data[5000];
	size_t got;
	weft_err err;

	while (!(err = weft_conn_read(conn, data, sizeof(data), &got, SOON)))
		OK(weft_conn_write(conn, data, got, NULL, SOON));
	FAILS(WEFT_ECLOSED, err);
	return weft_conn_shutdown(conn);
}

struct stream {
	weft_conn *conn;
	uint64_t bytes;
	size_t piece;
	weft_err err;	/* out */
	size_t written; /* out */
	bool begun;	/* out: the write is the writer's next step */
};

UNUSED static weft_err write_fiber(void *arg)
{
	struct stream *s = arg;
	uint8_t *data = malloc(s->bytes);

	fill(data, s->bytes, 0);
	s->begun = true;
	s->err = weft_conn_write(s->conn, data, s->bytes, &s->written, SOON);
	free(data);
	return WEFT_OK;
}

/* Reads to the end, checks every byte. */
UNUSED static void read_all(weft_conn *conn, uint64_t bytes, size_t piece)
{
	uint8_t *data = malloc(piece);
	uint64_t done = 0;
	size_t got = 0;
	weft_err err;

	while (!(err = weft_conn_read(conn, data, piece, &got, SOON))) {
		ck_assert_uint_ge(got, 1);
		ck_assert_uint_le(got, piece);
		ck_assert(matches(data, got, done));
		done += got;
	}
	FAILS(WEFT_ECLOSED, err);
	ck_assert_uint_eq(done, bytes);
	free(data);
}

UNUSED static weft_fiber *spawn(weft_fiber_fn fn, void *arg)
{
	weft_fiber *fiber = NULL;

	OK(weft_spawn(&fiber, "peer", fn, arg));
	return fiber;
}

UNUSED static void join(weft_fiber *fiber)
{
	weft_err result = WEFT_EPROTO;

	OK(weft_fiber_join(fiber, &result, SOON));
	OK(result);
}

UNUSED static void join_any(weft_fiber *fiber)
{
	OK(weft_fiber_join(fiber, NULL, SOON));
}

UNUSED static weft_err read_to_error(void *arg)
{
	struct stream *s = arg;
	uint8_t byte;
	size_t got;

	s->err = weft_conn_read(s->conn, &byte, 1, &got, SOON);
	return s->err;
}

UNUSED static weft_err write_to_error(void *arg)
{
	struct stream *s = arg;

	(void)write_fiber(s);
	return s->err;
}

UNUSED static void wait_parked(void)
{
	OK(weft_sleep_ms(5));
}

UNUSED static weft_err begun_fiber(UNUSED void *arg)
{
	return WEFT_OK;
}

/* For who counts allocations: each worker's thread has begun, and has what it allocates then, this
 * one what its timers need. */
UNUSED static void wait_begun(void)
{
	weft_fiber *fiber = NULL;

	for (unsigned i = 0; i < weft_worker_count(); i++) {
		OK(weft_spawn_on(i, &fiber, "begun", begun_fiber, NULL));
		join(fiber);
	}
	OK(weft_sleep_ms(1));
}

#endif
