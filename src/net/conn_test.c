/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* What holds for every conn, whatever it runs over. */
#define _GNU_SOURCE
#include "support/ends.h"

/* ---- streams ---- */

static void echo_body(struct ends *ends)
{
	struct stream s = { ends->a, 300000, 0, WEFT_OK, 0, false };
	weft_fiber *echo = spawn(echo_fiber, ends->b), *writer = spawn(write_fiber, &s);
	uint8_t *data = malloc(s.bytes);
	size_t got = 0;

	OK(weft_conn_read_full(ends->a, data, s.bytes, &got, SOON));
	ck_assert_uint_eq(got, s.bytes);
	ck_assert(matches(data, got, 0));
	join(writer);
	OK(s.err);
	ck_assert_uint_eq(s.written, s.bytes);
	/* half-close: the echo's end comes back */
	OK(weft_conn_shutdown(ends->a));
	OK(weft_conn_shutdown(ends->a));
	FAILS(WEFT_ECLOSED, weft_conn_read(ends->a, data, 1, &got, SOON));
	FAILS(WEFT_ECLOSED, weft_conn_write(ends->a, data, 1, &got, SOON));
	join(echo);
	free(data);
}

START_TEST(conn_echoes_and_half_closes)
{
	run_over(_i, echo_body);
}
END_TEST

static void one_byte_body(struct ends *ends)
{
	struct stream s = { ends->a, 3000, 0, WEFT_OK, 0, false };
	weft_fiber *writer = spawn(write_fiber, &s);
	uint8_t byte;
	size_t got;

	for (uint64_t i = 0; i < s.bytes; i++) {
		OK(weft_conn_read(ends->b, &byte, 1, &got, SOON));
		ck_assert_uint_eq(got, 1);
		ck_assert_uint_eq(byte, pattern(i));
	}
	join(writer);
	OK(s.err);
	OK(weft_conn_shutdown(ends->a));
	FAILS(WEFT_ECLOSED, weft_conn_read(ends->b, &byte, 1, &got, SOON));
}

START_TEST(conn_reads_one_byte_at_a_time)
{
	run_over(_i, one_byte_body);
}
END_TEST

static void slow_reader_body(struct ends *ends)
{
	bool small = ends->kind->make == make_small_memory;
	struct stream s = { ends->a, small ? 100000 : 4 << 20, 0, WEFT_OK, 0, false };
	weft_fiber *writer = spawn(write_fiber, &s);

	/* not before the write has begun; mostly it has nowhere left to put its bytes then */
	for (int i = 0; i < 20 || !s.begun; i++)
		(void)weft_yield();
	/* the shutdown waits for the write that is under way */
	OK(weft_conn_shutdown(ends->a));
	read_all(ends->b, s.bytes, 1000);
	join(writer);
	OK(s.err);
	ck_assert_uint_eq(s.written, s.bytes);
}

START_TEST(conn_large_write_waits_for_a_slow_reader_and_a_shutdown_for_the_write)
{
	run_over(_i, slow_reader_body);
}
END_TEST

static void scattered_body(struct ends *ends)
{
	enum { COUNT = 1024, EACH = 301 };
	static uint8_t data[COUNT * EACH];
	struct iovec iov[COUNT];
	struct iovec copy[COUNT];
	size_t total = 0, written = 0;
	weft_fiber *echo;

	for (unsigned i = 0; i < COUNT; i++) {
		iov[i].iov_base = data + total;
		iov[i].iov_len = i % 3 == 0 ? 0 : i % EACH;
		total += iov[i].iov_len;
	}
	fill(data, total, 0);
	memcpy(copy, iov, sizeof(iov));
	echo = spawn(echo_fiber, ends->b);
	OK(weft_conn_writev(ends->a, iov, COUNT, &written, SOON));
	ck_assert_uint_eq(written, total);
	ck_assert_int_eq(memcmp(copy, iov, sizeof(iov)), 0);
	OK(weft_conn_shutdown(ends->a));
	for (size_t done = 0; done < total;) {
		uint8_t x[3], y[500];
		struct iovec two[2] = { { x, sizeof(x) }, { y, sizeof(y) } };
		size_t got = 0;

		OK(weft_conn_readv(ends->a, two, 2, &got, SOON));
		ck_assert_uint_ge(got, 1);
		ck_assert(matches(x, got < 3 ? got : 3, done));
		if (got > 3)
			ck_assert(matches(y, got - 3, done + 3));
		done += got;
	}
	join(echo);
	FAILS(WEFT_EINVAL, weft_conn_writev(ends->a, iov, COUNT + 1, &written, SOON));
	ck_assert_uint_eq(written, 0);
}

static void writev_body(struct ends *ends)
{
	/* an echo needs room for all that is under way: elsewhere it would stand still */
	if (ends->kind->make != make_small_memory)
		scattered_body(ends);
}

START_TEST(conn_writev_takes_1024_pieces_and_leaves_them_alone)
{
	run_over(_i, writev_body);
}
END_TEST

/* ---- fairness ---- */

#define GREEDY_WRITES 1000000

struct greedy {
	struct ends *ends;
	bool stop;
	uint64_t writes;
};

static weft_err greedy_fiber(void *arg)
{
	struct greedy *g = arg;
	uint8_t data[5] = { 0 };

	while (!g->stop && g->writes < GREEDY_WRITES) {
		size_t got;

		OK(weft_conn_write(g->ends->a, data, sizeof(data), NULL, SOON));
		OK(weft_conn_read_full(g->ends->b, data, sizeof(data), &got, SOON));
		g->writes++;
	}
	return WEFT_OK;
}

/* A fiber that reads back what it wrote itself never finds nothing to read. */
static void fair_body(struct ends *ends)
{
	struct greedy g = { ends, false, 0 };
	weft_fiber *fiber = spawn(greedy_fiber, &g);

	OK(weft_sleep_ms(10));
	g.stop = true;
	join(fiber);
	ck_assert_uint_lt(g.writes, GREEDY_WRITES);
}

START_TEST(conn_that_is_always_ready_leaves_others_their_turn)
{
	if (!kinds[_i].sim) /* whose time passes when nobody can run */
		run_over(_i, fair_body);
}
END_TEST

/* ---- deadlines and cancellation ---- */

/* Until nothing is taken any more. On a busy machine the first try may end before all is taken that
 * there is room for, or before anything is. */
static size_t fill_up(weft_conn *conn)
{
	uint8_t *data = malloc(16 << 20);
	size_t sum = 0, written;

	fill(data, 16 << 20, 0);
	do {
		written = 0;
		FAILS(WEFT_ETIMEDOUT,
			weft_conn_write(conn, data + sum, (16 << 20) - sum, &written, MS(25)));
		sum += written;
	} while (written > 0 || sum == 0);
	free(data);
	return sum;
}

static void deadline_body(struct ends *ends)
{
	size_t got = 12345, written;
	uint8_t byte = 0;

	FAILS(WEFT_ETIMEDOUT, weft_conn_read(ends->a, &byte, 1, &got, WEFT_NOW));
	FAILS(WEFT_ETIMEDOUT, weft_conn_read(ends->a, &byte, 1, &got, MS(5)));
	ck_assert_uint_eq(got, 12345);
	written = fill_up(ends->a);
	FAILS(WEFT_ETIMEDOUT, weft_conn_write(ends->a, &byte, 1, &got, WEFT_NOW));
	ck_assert_uint_eq(got, 0);
	/* exactly what was said to be written arrives */
	OK(weft_conn_shutdown(ends->a));
	read_all(ends->b, written, 60000);
}

START_TEST(conn_deadlines_end_reads_and_writes_and_lose_nothing)
{
	run_over(_i, deadline_body);
}
END_TEST

static void cancel_body(struct ends *ends)
{
	struct stream r = { ends->a, 0, 0, WEFT_OK, 0, false },
		      w = { ends->a, 16 << 20, 0, WEFT_OK, 0, false };
	weft_scope *scope = NULL;
	uint8_t data[5];
	size_t got;

	OK(weft_scope_create(&scope));
	OK(weft_scope_spawn(scope, "reader", read_to_error, &r));
	OK(weft_scope_spawn(scope, "writer", write_to_error, &w));
	wait_parked();
	weft_scope_cancel(scope);
	OK(weft_scope_wait(scope, SOON));
	weft_scope_free(scope);
	FAILS(WEFT_ECANCELED, r.err);
	FAILS(WEFT_ECANCELED, w.err);
	ck_assert_uint_gt(w.written, 0);
	ck_assert_uint_lt(w.written, w.bytes);
	/* the conn lives on */
	OK(weft_conn_write(ends->b, "still", 5, NULL, SOON));
	OK(weft_conn_read_full(ends->a, data, 5, &got, SOON));
	ck_assert_int_eq(memcmp(data, "still", 5), 0);
	OK(weft_conn_shutdown(ends->a));
	read_all(ends->b, w.written, 60000);
}

START_TEST(conn_calls_are_cancelled_and_the_conn_lives_on)
{
	run_over(_i, cancel_body);
}
END_TEST

/* ---- read_full, read_line ---- */

static void read_full_body(struct ends *ends)
{
	uint8_t data[100];
	size_t got = 0, sum = 0;

	OK(weft_conn_write(ends->a, "12345", 5, NULL, SOON));
	OK(weft_conn_read_full(ends->b, data, 2, NULL, SOON));
	for (; sum < 3; sum += got) /* what comes while nobody runs is read by the next */
		FAILS(WEFT_ETIMEDOUT, weft_conn_read_full(ends->b, data, 100, &got, MS(30)));
	ck_assert_uint_eq(sum, 3);
	OK(weft_conn_write(ends->a, "678", 3, NULL, SOON));
	OK(weft_conn_shutdown(ends->a));
	FAILS(WEFT_ERESET, weft_conn_read_full(ends->b, data, 100, &got, SOON));
	ck_assert_uint_eq(got, 3);
	FAILS(WEFT_ECLOSED, weft_conn_read_full(ends->b, data, 100, &got, SOON));
	ck_assert_uint_eq(got, 0);
	OK(weft_conn_read_full(ends->b, data, 0, &got, SOON));
	OK(weft_conn_read(ends->b, data, 0, &got, SOON));
	ck_assert_uint_eq(got, 0);
	OK(weft_conn_write(ends->b, data, 0, &got, SOON));
}

START_TEST(conn_read_full_tells_an_end_within_from_an_end_before)
{
	run_over(_i, read_full_body);
}
END_TEST

static weft_err write_lines(void *arg)
{
	static char longer[200001];

	memset(longer, 'x', sizeof(longer));
	longer[200000] = '\n';
	OK(weft_conn_write(arg, "first\nsecond\n\nabcdefgh\nrest of", 30, NULL, SOON));
	OK(weft_sleep_ms(20));
	OK(weft_conn_write(arg, " it\n", 4, NULL, SOON));
	OK(weft_conn_write(arg, longer, sizeof(longer), NULL, SOON));
	OK(weft_conn_write(arg, "raw!last", 8, NULL, SOON));
	return weft_conn_shutdown(arg);
}

static void expect_line(weft_conn *conn, char *line, size_t size, const char *expected)
{
	size_t got = 0;

	OK(weft_conn_read_line(conn, line, size, &got, SOON));
	ck_assert_uint_eq(got, strlen(expected));
	ck_assert_str_eq(line, expected);
}

static void read_line_body(struct ends *ends)
{
	weft_fiber *writer = spawn(write_lines, ends->a);
	static char line[300000];
	size_t got = 0;
	weft_err err;

	expect_line(ends->b, line, 100, "first\n");
	expect_line(ends->b, line, sizeof(line), "second\n");
	expect_line(ends->b, line, 2, "\n");
	FAILS(WEFT_EMSGSIZE, weft_conn_read_line(ends->b, line, 4, &got, SOON));
	FAILS(WEFT_EMSGSIZE, weft_conn_read_line(ends->b, line, 5, &got, SOON));
	expect_line(ends->b, line, 3, "h\n");
	/* a line that comes in pieces is not torn by a deadline */
	do {
		err = weft_conn_read_line(ends->b, line, sizeof(line), &got, MS(3));
	} while (err == WEFT_ETIMEDOUT);
	OK(err);
	ck_assert_str_eq(line, "rest of it\n");
	OK(weft_conn_read_line(ends->b, line, sizeof(line), &got, SOON));
	ck_assert_uint_eq(got, 200001);
	ck_assert_int_eq(line[200000], '\n');
	ck_assert_uint_eq(strspn(line, "x"), 200000);
	OK(weft_conn_read_full(ends->b, line, 4, &got, SOON));
	ck_assert_int_eq(memcmp(line, "raw!", 4), 0);
	expect_line(ends->b, line, 100, "last");
	FAILS(WEFT_ECLOSED, weft_conn_read_line(ends->b, line, 100, &got, SOON));
	FAILS(WEFT_EINVAL, weft_conn_read_line(ends->b, line, 1, &got, SOON));
	FAILS(WEFT_EINVAL, weft_conn_read_line(ends->b, line, WEFT_CONN_LINE_MAX + 1, &got, SOON));
	join(writer);
}

START_TEST(conn_read_line_splits_limits_and_waits_for_whole_lines)
{
	run_over(_i, read_line_body);
}
END_TEST

static weft_err write_long_line(void *arg)
{
	static char longer[40001];

	memset(longer, 'y', sizeof(longer));
	longer[40000] = '\n';
	OK(weft_conn_write(arg, "short\n", 6, NULL, SOON));
	return weft_conn_write(arg, longer, sizeof(longer), NULL, SOON);
}

static void line_memory_body(struct ends *ends)
{
	static char line[50000];
	weft_fiber *writer;
	size_t got, failures = 0;
	weft_err err = WEFT_ENOMEM;

	if (ends->kind->sim) /* it allocates for the writer too */
		return;
	wait_begun(); /* the other worker allocates while it starts */
	writer = spawn(write_long_line, ends->a);
	expect_line(ends->b, line, 100, "short\n");
	for (uint64_t n = 1; err == WEFT_ENOMEM; n++) {
		t_malloc_fail_at(n);
		err = weft_conn_read_line(ends->b, line, sizeof(line), &got, SOON);
		t_malloc_fail_off();
		failures += err == WEFT_ENOMEM;
	}
	OK(err);
	ck_assert_uint_ge(failures, 2);
	ck_assert_uint_eq(got, 40001);
	ck_assert_uint_eq(strspn(line, "y"), 40000);
	join(writer);
}

/* ---- copy ---- */

struct copy_state {
	weft_conn *dst, *src;
	uint64_t copied;
	size_t progress;
};

static void count_progress(void *user, size_t bytes)
{
	struct copy_state *c = user;

	c->progress += bytes;
}

static weft_err copy_fiber(void *arg)
{
	struct copy_state *c = arg;
	weft_copy_options o = WEFT_COPY_OPTIONS_DEFAULT;

	o.buffer_size = 10000;
	o.progress = count_progress;
	o.user = c;
	OK(weft_conn_copy(c->dst, c->src, &c->copied, NULL, &o, SOON));
	return weft_conn_shutdown(c->dst);
}

static void copy_body(struct ends *ends)
{
	struct stream s = { ends->a, 500000, 0, WEFT_OK, 0, false };
	weft_copy_options idle = WEFT_COPY_OPTIONS_DEFAULT;
	struct copy_state c = { NULL, ends->b, 0, 0 };
	weft_conn *more[2];
	weft_fiber *writer, *copier;
	bool failed_dst = true;
	uint64_t copied = 1;

	OK(weft_conn_pair(more, 0));
	c.dst = more[0];
	idle.idle_ns = 5000000;
	FAILS(WEFT_ETIMEDOUT, weft_conn_copy(more[0], ends->b, &copied, &failed_dst, &idle, SOON));
	ck_assert_uint_eq(copied, 0);
	ck_assert(!failed_dst);
	writer = spawn(write_to_error, &s);
	copier = spawn(copy_fiber, &c);
	for (int i = 0; i < 5 || !s.begun; i++)
		(void)weft_yield();
	OK(weft_conn_shutdown(ends->a));
	read_all(more[1], s.bytes, 3333);
	join(writer);
	join(copier);
	ck_assert_uint_eq(c.copied, s.bytes);
	ck_assert_uint_eq(c.progress, s.bytes);
	weft_conn_free(more[0]);
	OK(weft_conn_write(ends->b, "x", 1, NULL, SOON));
	weft_conn_close(more[1]);
	FAILS(WEFT_ERESET,
		weft_conn_copy(more[1], ends->a, &copied, &failed_dst, NULL, SOON) == WEFT_ECLOSED
			? WEFT_ERESET
			: WEFT_OK);
	ck_assert(failed_dst);
	weft_conn_free(more[1]);
}

START_TEST(conn_copy_moves_everything_and_says_which_side_failed)
{
	run_over(_i, copy_body);
}
END_TEST

START_TEST(conn_read_line_loses_nothing_when_memory_fails)
{
	run_over(_i, line_memory_body);
}
END_TEST

static void conn_tests(TCase *tc)
{
	t_add_loop(tc, conn_echoes_and_half_closes, 0, KINDS);
	t_add_loop(tc, conn_reads_one_byte_at_a_time, 0, KINDS);
	t_add_loop(tc, conn_large_write_waits_for_a_slow_reader_and_a_shutdown_for_the_write, 0,
		KINDS);
	t_add_loop(tc, conn_writev_takes_1024_pieces_and_leaves_them_alone, 0, KINDS);
	t_add_loop(tc, conn_that_is_always_ready_leaves_others_their_turn, 0, KINDS);
	t_add_loop(tc, conn_deadlines_end_reads_and_writes_and_lose_nothing, 0, KINDS);
	t_add_loop(tc, conn_calls_are_cancelled_and_the_conn_lives_on, 0, KINDS);
	t_add_loop(tc, conn_read_full_tells_an_end_within_from_an_end_before, 0, KINDS);
	t_add_loop(tc, conn_read_line_splits_limits_and_waits_for_whole_lines, 0, KINDS);
	t_add_loop(tc, conn_copy_moves_everything_and_says_which_side_failed, 0, KINDS);
	t_add_loop(tc, conn_read_line_loses_nothing_when_memory_fails, 0, KINDS);
}

T_SUITE("conn", conn_tests)
