/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/* The epoll backend under fibers and threads: races of completion, cancel, interrupt, close. */
#include "base/mem.h"
#include "rt/rt.h"
#include "support/t.h"
#include "support/threads.h"

#include <weft/weft.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static weft_err run(weft_fiber_fn fn, void *arg, unsigned workers)
{
	weft_run_options o = WEFT_RUN_OPTIONS_DEFAULT;

	o.workers = workers;
	return weft_run(fn, arg, &o);
}

static struct io_handle *adopt(int fd)
{
	struct io_handle *h = NULL;
	struct io *io = rt_io();

	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(io->ops->adopt(io, &h, fd), 0);
	return h;
}

static void pair(struct io_handle *h[2], bool pipes)
{
	int fds[2];

	ck_assert_int_eq(pipes ? pipe(fds) : socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	h[0] = adopt(fds[0]);
	h[1] = adopt(fds[1]);
}

static weft_err transfer(struct io_handle *h, enum io_kind kind, void *data, size_t size,
	int64_t *n, weft_deadline until)
{
	struct iovec iov = { data, size };
	struct io_op op = { .handle = h, .kind = kind, .iov = &iov, .iov_count = 1 };
	weft_err err = rt_io_run(&op, until, "test");

	*n = err ? 0 : op.result;
	return err;
}

static void drop(struct io_handle *h)
{
	h->ops->close(h, false);
}

/* --- what a single operation does ----------------------------------------------------- */

static weft_err single_main(void *arg)
{
	bool pipes = arg != NULL;
	struct io_handle *h[2];
	char text[8];
	int64_t n;

	pair(h, pipes);
	ck_assert_int_eq(transfer(h[0], IO_READ, text, 8, &n, WEFT_NOW), WEFT_ETIMEDOUT);
	ck_assert_int_eq(transfer(h[0], IO_READ, text, 8, &n, weft_after_ms(2)), WEFT_ETIMEDOUT);
	ck_assert_int_eq(transfer(h[1], IO_WRITE, text, 3, &n, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(n, 3);
	ck_assert_int_eq(transfer(h[0], IO_READ, text, 8, &n, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(n, 3);
	ck_assert_int_eq(transfer(h[0], IO_READ, text, 8, &n, weft_after_ms(2)), WEFT_ETIMEDOUT);
	/* a full read may have left something: the rest must come without a new edge */
	ck_assert_int_eq(transfer(h[1], IO_WRITE, text, 8, &n, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(transfer(h[0], IO_READ, text, 4, &n, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(n, 4);
	ck_assert_int_eq(transfer(h[0], IO_READ, text, 8, &n, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(n, 4);
	/* data and the end at once: the short read must not hide the end */
	ck_assert_int_eq(transfer(h[1], IO_WRITE, text, 2, &n, WEFT_FOREVER), WEFT_OK);
	drop(h[1]);
	ck_assert_int_eq(transfer(h[0], IO_READ, text, 8, &n, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(n, 2);
	ck_assert_int_eq(transfer(h[0], IO_READ, text, 8, &n, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(n, 0);
	drop(h[0]);
	return WEFT_OK;
}

START_TEST(reads_wait_for_edges_and_miss_none)
{
	int fds = t_fds_open();

	ck_assert_int_eq(run(single_main, NULL, 1), WEFT_OK);
	ck_assert_int_eq(run(single_main, (void *)1, 1), WEFT_OK);
	ck_assert_int_eq(t_fds_open(), fds);
}
END_TEST

static weft_err poll_reader(void *arg)
{
	struct io_op op = { .handle = arg, .kind = IO_POLL };
	weft_err err = rt_io_run(&op, weft_after_ms(20000), "poll");

	ck_assert_int_eq(op.result, 0);
	return err;
}

static weft_err poll_main(void *arg)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct io_handle *h = adopt(fd);
	struct io_op op = { .handle = h, .kind = IO_POLL };
	weft_fiber *f;
	weft_err err = WEFT_EIO;

	(void)arg;
	ck_assert_int_eq(rt_io_run(&op, weft_after_ms(1), "poll"), WEFT_ETIMEDOUT);
	ck_assert_int_eq(weft_spawn(&f, "poll", poll_reader, h), WEFT_OK);
	(void)weft_yield();
	ck_assert_int_eq(eventfd_write(fd, 1), 0);
	ck_assert_int_eq(weft_fiber_join(f, &err, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(err, WEFT_OK);
	/* still readable: no new edge is needed */
	ck_assert_int_eq(poll_reader(h), WEFT_OK);
	drop(h);
	return WEFT_OK;
}

START_TEST(poll_waits_until_readable)
{
	ck_assert_int_eq(run(poll_main, NULL, 1), WEFT_OK);
}
END_TEST

static weft_err interrupted_reader(void *arg)
{
	char text[8];
	int64_t n;

	ck_assert_int_eq(transfer(arg, IO_READ, text, 8, &n, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(n, -ECANCELED);
	ck_assert_int_eq(transfer(arg, IO_READ, text, 8, &n, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(n, -ECANCELED);
	return WEFT_OK;
}

static weft_err interrupt_main(void *arg)
{
	struct io_handle *h[2];
	weft_fiber *f;

	(void)arg;
	for (unsigned i = 0; i < 200; i++) {
		pair(h, false);
		ck_assert_int_eq(
			weft_spawn_on(i % 2, &f, "reader", interrupted_reader, h[0]), WEFT_OK);
		if (i % 3)
			(void)weft_yield();
		h[0]->ops->interrupt(h[0]);
		ck_assert_int_eq(weft_fiber_join(f, NULL, WEFT_FOREVER), WEFT_OK);
		drop(h[0]);
		drop(h[1]);
	}
	return WEFT_OK;
}

START_TEST(interrupt_ends_what_waits_and_what_comes)
{
	int fds = t_fds_open();

	ck_assert_int_eq(run(interrupt_main, NULL, 2), WEFT_OK);
	ck_assert_int_eq(t_fds_open(), fds);
}
END_TEST

/* --- stress: every byte arrives once, whatever times out ------------------------------- */

#define STREAM_BYTES 60000
#define PAIRS 4

struct stream {
	struct io_handle *h[2];
	unsigned read_worker, write_worker;
	uint64_t seed;
	bool by_thread;
};

static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8));
}

static weft_deadline soon(uint64_t *seed)
{
	switch (t_random(seed) % 4) {
	case 0:
		return WEFT_NOW;
	case 1:
		return weft_after_ns((int64_t)(t_random(seed) % 30000));
	case 2:
		return weft_after_ns((int64_t)(t_random(seed) % 1000000));
	default:
		return WEFT_FOREVER;
	}
}

static weft_err write_stream(void *arg)
{
	struct stream *s = arg;
	uint64_t seed = s->seed;
	uint8_t chunk[700];
	int64_t n;

	for (size_t done = 0; done < STREAM_BYTES; done += (size_t)n) {
		size_t size = 1 + t_random(&seed) % sizeof(chunk);

		if (size > STREAM_BYTES - done)
			size = STREAM_BYTES - done;
		for (size_t i = 0; i < size; i++)
			chunk[i] = byte_at(done + i);
		if (transfer(s->h[1], IO_WRITE, chunk, size, &n, soon(&seed)) != WEFT_OK)
			(void)weft_yield();
		ck_assert(n >= 0);
	}
	drop(s->h[1]);
	return WEFT_OK;
}

static weft_err read_stream(void *arg)
{
	struct stream *s = arg;
	uint64_t seed = s->seed + 1;
	uint8_t chunk[900];
	size_t done = 0;
	int64_t n;

	for (;;) {
		weft_err err = transfer(s->h[0], IO_READ, chunk,
			1 + t_random(&seed) % sizeof(chunk), &n, soon(&seed));

		if (err)
			continue;
		ck_assert(n >= 0);
		if (n == 0)
			break;
		for (int64_t i = 0; i < n; i++, done++)
			if (chunk[i] != byte_at(done))
				return WEFT_EPROTO;
	}
	drop(s->h[0]);
	return done == STREAM_BYTES ? WEFT_OK : WEFT_EIO;
}

static void *read_thread(void *arg)
{
	return (void *)(intptr_t)read_stream(arg);
}

static weft_err stress_main(void *arg)
{
	struct stream s[PAIRS];
	weft_fiber *readers[PAIRS], *writers[PAIRS];
	pthread_t thread;
	weft_err err;

	for (unsigned i = 0; i < PAIRS; i++) {
		pair(s[i].h, i % 2);
		s[i].seed = *(uint64_t *)arg + i * 100;
		if (i > 0)
			ck_assert_int_eq(weft_spawn_on(i / 2 % weft_worker_count(), &readers[i],
						 "reader", read_stream, &s[i]),
				WEFT_OK);
		ck_assert_int_eq(weft_spawn_on(i % weft_worker_count(), &writers[i], "writer",
					 write_stream, &s[i]),
			WEFT_OK);
	}
	/* one reader is a plain thread */
	ck_assert_int_eq(pthread_create(&thread, NULL, read_thread, &s[0]), 0);
	for (unsigned i = 0; i < PAIRS; i++) {
		if (i > 0) {
			ck_assert_int_eq(weft_fiber_join(readers[i], &err, WEFT_FOREVER), WEFT_OK);
			ck_assert_int_eq(err, WEFT_OK);
		}
		ck_assert_int_eq(weft_fiber_join(writers[i], &err, WEFT_FOREVER), WEFT_OK);
		ck_assert_int_eq(err, WEFT_OK);
	}
	ck_assert_ptr_null(thread_join(thread));
	return WEFT_OK;
}

START_TEST(no_byte_is_lost_or_doubled_by_time_outs)
{
	uint64_t seed = t_seed();
	int64_t live = t_malloc_live();
	int fds = t_fds_open();

	ck_assert_int_eq(run(stress_main, &seed, 1), WEFT_OK);
	ck_assert_int_eq(run(stress_main, &seed, 3), WEFT_OK);
	ck_assert_int_eq(t_fds_open(), fds);
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

/* --- an operation is over once it is withdrawn ----------------------------------------- */

#define EDGES 100000

struct edges {
	struct io_handle *h[2];
	_Atomic bool over;
};

static void tcp_pair(struct io_handle *h[2])
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0), from = socket(AF_INET, SOCK_STREAM, 0), to;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, len), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	ck_assert_int_eq(connect(from, (struct sockaddr *)&at, len), 0);
	to = accept(fd, NULL, NULL);
	ck_assert_int_ge(to, 0);
	close(fd);
	h[0] = adopt(to);
	h[1] = adopt(from);
}

/* Edges that the poller finds nothing behind: urgent bytes, each of which makes an ordinary
 * one of that before it. */
static void *make_edges(void *arg)
{
	struct edges *e = arg;
	int in = e->h[0]->ops->fd(e->h[0]), out = e->h[1]->ops->fd(e->h[1]);
	char c = 0;

	for (unsigned i = 0; i < EDGES; i++) {
		if (send(out, &c, 1, MSG_OOB) < 0)
			ck_assert_int_eq(errno, EAGAIN);
		while (read(in, &c, 1) > 0)
			;
	}
	/* release; pairs with the load in withdraw_often */
	atomic_store_explicit(&e->over, true, memory_order_release);
	return NULL;
}

/* The memory of each operation is another's as soon as it is withdrawn. */
static weft_err withdraw_often(void *arg)
{
	struct edges *e = arg;
	uint64_t seed = 1;

	/* acquire; pairs with the store in make_edges */
	while (!atomic_load_explicit(&e->over, memory_order_acquire)) {
		struct io_op op = { .handle = e->h[0], .kind = IO_POLL };
		weft_deadline until = weft_after_ns((int64_t)(t_random(&seed) % 3000));
		weft_err err = rt_io_run(&op, until, "test");

		ck_assert(err == WEFT_ETIMEDOUT || err == WEFT_OK);
		memset(&op, 0x55, sizeof(op));
		__asm__ volatile("" : : "r"(&op) : "memory");
	}
	return WEFT_OK;
}

static weft_err withdraw_main(void *arg)
{
	struct edges e = { .over = false };
	weft_fiber *f;
	pthread_t thread;
	char c;
	int64_t n;

	(void)arg;
	tcp_pair(e.h);
	/* attaches it to this worker, which polls while it waits for the other's fiber */
	ck_assert_int_eq(transfer(e.h[0], IO_READ, &c, 1, &n, weft_after_ms(1)), WEFT_ETIMEDOUT);
	ck_assert_int_eq(pthread_create(&thread, NULL, make_edges, &e), 0);
	ck_assert_int_eq(weft_spawn_on(1, &f, "withdraw", withdraw_often, &e), WEFT_OK);
	ck_assert_int_eq(weft_fiber_join(f, NULL, WEFT_FOREVER), WEFT_OK);
	pthread_join(thread, NULL);
	drop(e.h[0]);
	drop(e.h[1]);
	return WEFT_OK;
}

/* What reads a withdrawn one is found by the sanitizers. */
START_TEST(a_withdrawn_operation_is_not_looked_at)
{
	int fds = t_fds_open();

	ck_assert_int_eq(run(withdraw_main, NULL, 2), WEFT_OK);
	ck_assert_int_eq(t_fds_open(), fds);
}
END_TEST

/* A worker that is never idle. */
struct busy {
	struct io_handle *h[2];
	unsigned got;
	bool over;
};

static weft_err count_bytes(void *arg)
{
	struct busy *b = arg;
	char c;
	int64_t n;

	while (!transfer(b->h[0], IO_READ, &c, 1, &n, WEFT_FOREVER) && n > 0)
		b->got++;
	return WEFT_OK;
}

static weft_err stay_busy(void *arg)
{
	struct busy *b = arg;

	while (!b->over)
		ck_assert_int_eq(weft_yield(), WEFT_OK);
	return WEFT_OK;
}

static weft_err busy_main(void *arg)
{
	struct busy b = { .got = 0 };
	weft_fiber *counter, *other;
	unsigned yields = 0;
	char c = 'x';
	int64_t n;

	(void)arg;
	pair(b.h, true);
	ck_assert_int_eq(weft_spawn(&counter, "count", count_bytes, &b), WEFT_OK);
	ck_assert_int_eq(weft_spawn(&other, "busy", stay_busy, &b), WEFT_OK);
	for (unsigned i = 1; i <= 20; i++) {
		ck_assert_int_eq(weft_yield(), WEFT_OK);
		ck_assert_int_eq(transfer(b.h[1], IO_WRITE, &c, 1, &n, WEFT_FOREVER), WEFT_OK);
		for (; b.got < i; yields++) {
			rt_poll_soon();
			ck_assert_int_eq(weft_yield(), WEFT_OK);
		}
	}
	/* one to poll, one for who was woken; by itself it would poll when 64 fibers have run */
	ck_assert_uint_le(yields, 2 * 20);
	b.over = true;
	drop(b.h[1]);
	ck_assert_int_eq(weft_fiber_join(counter, NULL, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(weft_fiber_join(other, NULL, WEFT_FOREVER), WEFT_OK);
	drop(b.h[0]);
	return WEFT_OK;
}

START_TEST(a_busy_worker_that_is_to_poll_soon_polls_at_once)
{
	ck_assert_int_eq(run(busy_main, NULL, 1), WEFT_OK);
}
END_TEST

/* Who never waits: each of its operations is done at once. */
#define STREAM_OPS 2000

static weft_err stream_main(void *arg)
{
	struct busy b = { .got = 0 };
	struct io_handle *h[2];
	weft_fiber *counter;
	unsigned ops = 0;
	char c = 0;
	int64_t n;

	(void)arg;
	pair(b.h, true);
	pair(h, false);
	ck_assert_int_eq(weft_spawn(&counter, "count", count_bytes, &b), WEFT_OK);
	for (unsigned i = 1; i <= 10; i++) {
		ck_assert_int_eq(weft_yield(), WEFT_OK);
		ck_assert_int_eq(transfer(b.h[1], IO_WRITE, &c, 1, &n, WEFT_FOREVER), WEFT_OK);
		for (; b.got < i && ops < STREAM_OPS; ops++) {
			ck_assert_int_eq(
				transfer(h[0], IO_WRITE, &c, 1, &n, WEFT_FOREVER), WEFT_OK);
			ck_assert_int_eq(transfer(h[1], IO_READ, &c, 1, &n, WEFT_FOREVER), WEFT_OK);
		}
	}
	ck_assert_uint_lt(ops, STREAM_OPS);
	drop(b.h[1]);
	ck_assert_int_eq(weft_fiber_join(counter, NULL, WEFT_FOREVER), WEFT_OK);
	drop(b.h[0]);
	drop(h[0]);
	drop(h[1]);
	return WEFT_OK;
}

START_TEST(a_fiber_that_never_waits_does_not_keep_the_worker_from_polling)
{
	ck_assert_int_eq(run(stream_main, NULL, 1), WEFT_OK);
}
END_TEST

static void io_tests(TCase *tc)
{
	t_add(tc, reads_wait_for_edges_and_miss_none);
	t_add(tc, poll_waits_until_readable);
	t_add(tc, interrupt_ends_what_waits_and_what_comes);
	t_add(tc, no_byte_is_lost_or_doubled_by_time_outs);
	t_add(tc, a_withdrawn_operation_is_not_looked_at);
	t_add(tc, a_busy_worker_that_is_to_poll_soon_polls_at_once);
	t_add(tc, a_fiber_that_never_waits_does_not_keep_the_worker_from_polling);
}
T_SUITE("io", io_tests)
