/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=120 */
/* weft_mux_poller: which events come, and when. Its races: poller_race_test.c. */
#include "support/ends.h"

#include <poll.h>
#include <sys/resource.h>

#define EVENTS 16
#define RW (WEFT_MUX_READABLE | WEFT_MUX_WRITABLE)

struct world {
	weft_mux *client, *server;
	weft_stream *stream, *peer; /* of the client; of the server */
	weft_mux_poller *poller;
	int user; /* its address is the stream's */
};

/* version 1 has no windows: there a connection that takes nothing holds writers up */
static void world_open(struct world *w, struct ends *ends, unsigned version)
{
	weft_mux_options o = WEFT_MUX_OPTIONS_DEFAULT;
	weft_conn *a = ends->a, *b = ends->b;

	o.version = version;
	o.max_receive_buffer = 65536;
	o.max_stream_buffer = 65536;
	o.max_memory = 1 << 20; /* a byte takes 256, and many streams get one */
	ends->a = ends->b = NULL;
	OK(weft_mux_create_own(&w->client, a, WEFT_MUX_CLIENT, &o));
	OK(weft_mux_create_own(&w->server, b, WEFT_MUX_SERVER, &o));
	OK(weft_mux_open(w->client, &w->stream, SOON));
	OK(weft_mux_accept(w->server, &w->peer, SOON));
	OK(weft_mux_poller_create(&w->poller));
}

static void await_fibers(uint64_t count)
{
	while (weft_fiber_count() > count)
		OK(weft_sleep_ms(1));
}

static void world_close(struct world *w)
{
	weft_stream_free(w->stream);
	weft_stream_free(w->peer);
	weft_mux_poller_free(w->poller);
	weft_mux_abort(w->client);
	weft_mux_abort(w->server);
	weft_mux_free(w->client);
	weft_mux_free(w->server);
	await_fibers(1);
}

static bool is_readable(weft_mux_poller *p)
{
	struct pollfd poll_fd = { .fd = weft_mux_poller_fd(p), .events = POLLIN };
	int n = poll(&poll_fd, 1, 0);

	ck_assert_int_ge(n, 0);
	return n == 1;
}

/* Just one is there, or comes. Others may run meanwhile. */
static weft_mux_event next_event(struct world *w)
{
	weft_mux_event events[EVENTS];
	weft_deadline until = SOON;
	size_t n;

	while ((n = weft_mux_poller_take(w->poller, events, EVENTS)) == 0) {
		ck_assert_msg(weft_now() < until, "no event");
		OK(weft_sleep_ms(1));
	}
	ck_assert_uint_eq(n, 1);
	return events[0];
}

static void expect(struct world *w, unsigned wanted)
{
	weft_mux_event e = next_event(w);

	ck_assert_ptr_eq(e.user, &w->user);
	ck_assert_uint_eq(e.events, wanted);
}

/* What is on its way has time to come. */
static void settle(int64_t ms)
{
	OK(weft_sleep_ms(weft_in_sim() ? 200 * ms : ms));
}

/* Nothing comes. */
static void expect_none(struct world *w)
{
	weft_mux_event events[EVENTS];

	settle(10);
	ck_assert_uint_eq(weft_mux_poller_take(w->poller, events, EVENTS), 0);
	ck_assert(!is_readable(w->poller));
}

static void add(struct world *w)
{
	OK(weft_mux_poller_add_stream(w->poller, w->stream, &w->user));
}

static void say(weft_stream *stream, size_t bytes)
{
	uint8_t data[4096] = { 0 };

	ck_assert_uint_le(bytes, sizeof(data));
	OK(weft_stream_write(stream, data, bytes, NULL, SOON));
}

/* So many bytes, which may still be on their way; then it would have to wait, or is at its end. */
static void read_bytes(weft_stream *stream, size_t bytes, weft_err expected)
{
	weft_deadline until = expected == WEFT_ETIMEDOUT ? WEFT_NOW : SOON;
	uint8_t data[512];
	size_t got, sum = 0;

	while (sum < bytes) {
		OK(weft_stream_read(stream, data, sizeof(data), &got, SOON));
		sum += got;
	}
	ck_assert_uint_eq(sum, bytes);
	FAILS(expected, weft_stream_read(stream, data, sizeof(data), &got, until));
}

static size_t write_all_there(weft_stream *stream, weft_deadline until)
{
	static uint8_t data[3000];
	size_t written, sum = 0;
	weft_err err;

	while (!(err = weft_stream_write(stream, data, sizeof(data), &written, until)))
		sum += written;
	FAILS(WEFT_ETIMEDOUT, err);
	return sum + written;
}

/* ---- bodies ---- */

static void data_body(struct ends *ends)
{
	struct world w;

	world_open(&w, ends, 2);
	add(&w);
	expect_none(&w);
	for (int i = 0; i < 3; i++) {
		say(w.peer, 1000);
		expect(&w, WEFT_MUX_READABLE);
		/* no call said that it would wait since */
		say(w.peer, 1000);
		expect_none(&w);
		read_bytes(w.stream, 2000, WEFT_ETIMEDOUT);
		expect_none(&w);
	}
	say(w.peer, 1);
	OK(weft_stream_shutdown(w.peer));
	settle(10);
	expect(&w, WEFT_MUX_READABLE);
	read_bytes(w.stream, 1, WEFT_ECLOSED);
	OK(weft_stream_shutdown(w.stream));
	world_close(&w);
}

static void end_body(struct ends *ends)
{
	struct world w;

	world_open(&w, ends, 2);
	add(&w);
	OK(weft_stream_shutdown(w.peer));
	expect(&w, WEFT_MUX_READABLE);
	FAILS(WEFT_ECLOSED, weft_stream_read(w.stream, &w.user, 1, &(size_t){ 0 }, WEFT_NOW));
	expect_none(&w);
	world_close(&w);
}

/* Until there is no room, and none comes by itself: where the session's own fiber sends it takes
 * what is queued a little later. */
static size_t write_till_full(struct world *w, int64_t wait_ms)
{
	size_t sum = 0;
	weft_mux_event e;

	for (int waits = 0; waits < 20; waits++) {
		if (waits == 0)
			sum += write_all_there(w->stream, wait_ms ? MS(wait_ms) : WEFT_NOW);
		settle(1);
		if (weft_mux_poller_take(w->poller, &e, 1) > 0)
			waits = -1;
	}
	return sum;
}

/* A write that fails is followed by an event once the peer has read. */
static void room(struct ends *ends, unsigned version, int64_t wait_ms)
{
	struct world w;
	size_t sent, got = 0;

	world_open(&w, ends, version);
	add(&w);
	say(w.stream, 1000);
	expect_none(&w);
	for (int i = 0; i < 3; i++) {
		sent = write_till_full(&w, wait_ms);
		if (i == 0)
			sent += 1000;
		expect_none(&w);
		got = 0;
		while (got < sent) {
			uint8_t data[4096];
			size_t n;

			OK(weft_stream_read(w.peer, data, sizeof(data), &n, SOON));
			got += n;
		}
		ck_assert_uint_eq(got, sent);
		expect(&w, WEFT_MUX_WRITABLE);
		/* it is so, and nobody is told again */
		expect_none(&w);
	}
	world_close(&w);
}

static void window_body(struct ends *ends)
{
	room(ends, 2, 0);
}

static void window_deadline_body(struct ends *ends)
{
	room(ends, 2, 5);
}

static void conn_body(struct ends *ends)
{
	room(ends, 1, 0);
}

static void conn_deadline_body(struct ends *ends)
{
	room(ends, 1, 5);
}

/* Reads that waited in vain are followed by events as tries are. */
static void deadline_body(struct ends *ends)
{
	struct world w;
	uint8_t data[10];
	size_t got;

	world_open(&w, ends, 2);
	add(&w);
	say(w.peer, 1);
	expect(&w, WEFT_MUX_READABLE);
	OK(weft_stream_read(w.stream, data, 1, &got, SOON));
	FAILS(WEFT_ETIMEDOUT, weft_stream_read(w.stream, data, 1, &got, MS(2)));
	say(w.peer, 2);
	expect(&w, WEFT_MUX_READABLE);
	/* who waits himself needs none */
	read_bytes(w.stream, 2, WEFT_ETIMEDOUT);
	say(w.peer, 3);
	OK(weft_stream_read(w.stream, data, 3, &got, SOON));
	world_close(&w);
}

static void accept_body(struct ends *ends)
{
	weft_stream *mine[3], *theirs[3], *none = NULL;
	struct world w;

	world_open(&w, ends, 2);
	OK(weft_mux_poller_add(w.poller, w.server, &w.user));
	expect_none(&w);
	for (int i = 0; i < 3; i++) {
		OK(weft_mux_open(w.client, &mine[i], SOON));
		if (i == 0)
			expect(&w, WEFT_MUX_ACCEPTABLE);
	}
	expect_none(&w);
	for (int i = 0; i < 3; i++)
		OK(weft_mux_accept(w.server, &theirs[i], SOON));
	expect_none(&w);
	FAILS(WEFT_ETIMEDOUT, weft_mux_accept(w.server, &none, MS(2)));
	for (int i = 0; i < 3; i++) {
		weft_stream_free(mine[i]);
		weft_stream_free(theirs[i]);
	}
	OK(weft_mux_open(w.client, &mine[0], SOON));
	expect(&w, WEFT_MUX_ACCEPTABLE);
	OK(weft_mux_accept(w.server, &theirs[0], WEFT_NOW));
	FAILS(WEFT_ETIMEDOUT, weft_mux_accept(w.server, &none, WEFT_NOW));
	weft_stream_free(mine[0]);
	weft_stream_free(theirs[0]);
	/* the backlog ends as the drain begins, and the drain with the last stream */
	FAILS(WEFT_ETIMEDOUT, weft_mux_drain(w.server, WEFT_NOW));
	expect(&w, WEFT_MUX_ACCEPTABLE);
	FAILS(WEFT_ECLOSED, weft_mux_accept(w.server, &none, WEFT_NOW));
	expect_none(&w);
	weft_stream_free(w.peer);
	w.peer = NULL;
	expect(&w, WEFT_MUX_DRAINED);
	OK(weft_mux_drain(w.server, WEFT_NOW));
	weft_mux_close(w.server);
	expect(&w, WEFT_MUX_ENDED);
	FAILS(WEFT_ECLOSED, weft_mux_wait(w.server, WEFT_NOW));
	expect_none(&w);
	world_close(&w);
}

static void death_body(struct ends *ends)
{
	struct world w;
	weft_mux_event events[2];

	world_open(&w, ends, 2);
	say(w.peer, 3);
	add(&w);
	OK(weft_mux_poller_add(w.poller, w.client, NULL));
	expect(&w, WEFT_MUX_READABLE);
	settle(5);
	weft_mux_abort(w.server);
	FAILS(WEFT_ERESET, weft_mux_wait(w.client, SOON));
	/* of both, in whatever order; none is said twice */
	for (unsigned seen = 0; seen != 3;) {
		size_t n = weft_mux_poller_take(w.poller, events, 1);

		if (n == 0) {
			OK(weft_sleep_ms(1));
			continue;
		}
		if (events[0].user) {
			ck_assert_uint_eq(events[0].events, WEFT_MUX_ENDED | RW);
			seen |= 1;
		} else if (events[0].events & WEFT_MUX_ENDED) {
			seen |= 2;
		}
	}
	expect_none(&w);
	read_bytes(w.stream, 3, WEFT_ERESET);
	world_close(&w);
}

/* What happened before it was added is told as well. */
static void late_body(struct ends *ends)
{
	struct world w;

	world_open(&w, ends, 2);
	say(w.peer, 10);
	OK(weft_stream_read(w.stream, &(uint8_t){ 0 }, 1, &(size_t){ 0 }, SOON));
	add(&w);
	expect(&w, WEFT_MUX_READABLE);
	weft_mux_poller_remove_stream(w.poller, w.stream);
	settle(5);
	read_bytes(w.stream, 9, WEFT_ETIMEDOUT);
	OK(weft_stream_shutdown(w.peer));
	while (weft_stream_read(w.stream, &(uint8_t){ 0 }, 1, &(size_t){ 0 }, MS(1)) !=
		WEFT_ECLOSED)
		;
	add(&w);
	expect(&w, WEFT_MUX_READABLE);
	weft_mux_poller_remove_stream(w.poller, w.stream);
	weft_mux_abort(w.server);
	FAILS(WEFT_ERESET, weft_mux_wait(w.client, SOON));
	FAILS(WEFT_EDUPLICATE, (add(&w), weft_mux_poller_add_stream(w.poller, w.stream, NULL)));
	expect(&w, WEFT_MUX_ENDED | RW);
	OK(weft_mux_poller_add(w.poller, w.client, &w.user));
	FAILS(WEFT_EDUPLICATE, weft_mux_poller_add(w.poller, w.client, &w.user));
	expect(&w, WEFT_MUX_ENDED | WEFT_MUX_ACCEPTABLE);
	world_close(&w);
}

/* Its handle's end is the end of its events. */
static void gone_body(struct ends *ends)
{
	weft_mux_poller *other;
	weft_mux_event event;
	struct world w;

	world_open(&w, ends, 2);
	OK(weft_mux_poller_create(&other));
	add(&w);
	FAILS(WEFT_EDUPLICATE, weft_mux_poller_add_stream(other, w.stream, NULL));
	weft_mux_poller_remove_stream(other, w.stream); /* is not in it */
	say(w.peer, 1);
	expect(&w, WEFT_MUX_READABLE);
	read_bytes(w.stream, 1, WEFT_ETIMEDOUT);
	expect_none(&w);
	say(w.peer, 1);
	while (!is_readable(w.poller))
		OK(weft_sleep_ms(1));
	weft_mux_poller_remove_stream(w.poller, w.stream);
	ck_assert_uint_eq(weft_mux_poller_take(w.poller, &event, 1), 0);
	ck_assert(!is_readable(w.poller));
	/* to another one, which goes, and to that again */
	OK(weft_mux_poller_add_stream(other, w.stream, NULL));
	ck_assert(is_readable(other));
	ck_assert_uint_eq(weft_mux_poller_take(other, &event, 1), 1);
	OK(weft_mux_poller_add(other, w.client, NULL));
	weft_mux_poller_free(other);
	read_bytes(w.stream, 1, WEFT_ETIMEDOUT);
	add(&w);
	say(w.peer, 1);
	expect(&w, WEFT_MUX_READABLE);
	/* closed, it has an event; freed, none */
	weft_stream_close(w.stream);
	ck_assert(is_readable(w.poller));
	weft_stream_free(w.stream);
	w.stream = NULL;
	expect_none(&w);
	OK(weft_mux_poller_add(w.poller, w.client, &w.user));
	OK(weft_mux_open(w.server, &w.stream, SOON));
	while (!is_readable(w.poller))
		OK(weft_sleep_ms(1));
	weft_stream_free(w.stream);
	w.stream = NULL;
	weft_mux_free(w.client);
	expect_none(&w);
	w.client = w.server;
	weft_stream_free(w.peer);
	weft_mux_poller_free(w.poller);
	weft_mux_free(w.server);
	await_fibers(1);
}

struct reading {
	weft_stream *stream;
	bool writes;
	weft_err err;
};

static weft_err blocked_fiber(void *arg)
{
	struct reading *r = arg;
	static uint8_t data[1 << 20];
	size_t got;

	r->err = r->writes ? weft_stream_write(r->stream, data, sizeof(data), &got, SOON)
			   : weft_stream_read(r->stream, data, 1, &got, SOON);
	return WEFT_OK;
}

/* Calls that wait, and others' ends of the stream. */
static void busy_body(struct ends *ends)
{
	struct world w;

	world_open(&w, ends, 2);
	for (int writes = 0; writes < 2; writes++) {
		struct reading r = { w.stream, writes, WEFT_OK };
		weft_fiber *fiber = spawn(blocked_fiber, &r);

		wait_parked();
		FAILS(WEFT_EINVAL, weft_mux_poller_add_stream(w.poller, w.stream, NULL));
		if (writes)
			weft_mux_abort(w.server);
		else
			say(w.peer, 1);
		join(fiber);
		ck_assert_int_eq(r.err, writes ? WEFT_ERESET : WEFT_OK);
	}
	weft_stream_close(w.stream);
	FAILS(WEFT_ECLOSED, weft_mux_poller_add_stream(w.poller, w.stream, NULL));
	expect_none(&w);
	world_close(&w);
}

/* One who waits in a call, and the poller: both are told. */
static void both_body(struct ends *ends)
{
	struct reading r = { NULL, true, WEFT_OK };
	weft_fiber *fiber;
	struct world w;
	size_t got = 0, n;
	static uint8_t data[65536];

	world_open(&w, ends, 2);
	OK(weft_stream_shutdown(w.peer)); /* and adding one that does not write is allowed */
	OK(weft_mux_poller_add_stream(w.poller, w.peer, NULL));
	add(&w);
	r.stream = w.stream;
	fiber = spawn(blocked_fiber, &r);
	while (got < 1 << 20) {
		OK(weft_stream_read(w.peer, data, sizeof(data), &n, SOON));
		got += n;
	}
	join(fiber);
	OK(r.err);
	fiber = spawn(blocked_fiber, &r);
	wait_parked();
	weft_stream_close(w.stream);
	join(fiber);
	ck_assert_int_eq(r.err, WEFT_ECLOSED);
	world_close(&w);
}

static void idle_body(struct ends *ends)
{
	struct world w;

	world_open(&w, ends, 2);
	OK(weft_stream_idle_timeout(w.stream, 1000000));
	add(&w);
	/* which is looked at every 20 s, where the session has none */
	if (!ends->kind->sim) {
		weft_stream_close(w.stream);
		expect(&w, WEFT_MUX_ENDED | RW);
	} else {
		while (!is_readable(w.poller))
			OK(weft_sleep_ms(1000));
		expect(&w, WEFT_MUX_ENDED | RW);
		FAILS(WEFT_ERESET,
			weft_stream_read(w.stream, &(uint8_t){ 0 }, 1, &(size_t){ 0 }, WEFT_NOW));
	}
	world_close(&w);
}

/* Many at once, a few at a time: all are told once, and the descriptor knows. */
#define MANY 3000

static void many_body(struct ends *ends)
{
	/* the simulated wire takes a few bytes at a time */
	unsigned many = ends->kind->sim ? MANY / 10 : MANY;
	weft_stream **mine = calloc(many, sizeof(*mine)), **theirs = calloc(many, sizeof(*theirs));
	uint8_t *seen = calloc(many, 1);
	weft_mux_event events[EVENTS];
	weft_deadline until;
	struct world w;
	size_t sum = 0;

	world_open(&w, ends, 2);
	for (unsigned i = 0; i < many; i++) {
		OK(weft_mux_open(w.client, &mine[i], SOON));
		OK(weft_mux_accept(w.server, &theirs[i], SOON));
		OK(weft_mux_poller_add_stream(w.poller, mine[i], &seen[i]));
	}
	for (unsigned i = 0; i < many; i++)
		OK(weft_stream_write(theirs[i], &i, 1, NULL, SOON));
	until = SOON;
	while (sum < many) {
		size_t n = weft_mux_poller_take(w.poller, events, EVENTS);

		ck_assert_msg(weft_now() < until, "%zu told", sum);
		for (size_t i = 0; i < n; i++) {
			uint8_t *at = events[i].user;

			T_OUGHT(events[i].events == WEFT_MUX_READABLE && *at == 0);
			*at = 1;
		}
		sum += n;
		if (sum < many && n == 0)
			OK(weft_sleep_ms(1));
		else
			T_OUGHT(is_readable(w.poller));
	}
	expect_none(&w);
	for (unsigned i = 0; i < many; i++) {
		weft_stream_free(mine[i]);
		weft_stream_free(theirs[i]);
	}
	expect_none(&w);
	free(mine);
	free(theirs);
	free(seen);
	world_close(&w);
}

static const struct kind *const over[] = { &kinds[3], &kinds[6], &kinds[9] };
#define OVER 3

static void run(int i, void (*body)(struct ends *ends))
{
	struct ends ends = { over[i], NULL, NULL, body };

	run_fiber(ends_fiber, &ends, over[i]->sim);
}

#define POLLER_TEST(name, body) \
	START_TEST(name)        \
	{                       \
		run(_i, body);  \
	}                       \
	END_TEST

POLLER_TEST(poller_tells_of_data_once_until_a_read_fails, data_body)
POLLER_TEST(poller_tells_of_the_peers_end, end_body)
POLLER_TEST(poller_tells_of_a_window_once_a_write_failed, window_body)
POLLER_TEST(poller_tells_of_a_window_after_a_deadline, window_deadline_body)
POLLER_TEST(poller_tells_of_the_connections_room, conn_body)
POLLER_TEST(poller_tells_of_the_connections_room_after_a_deadline, conn_deadline_body)
POLLER_TEST(poller_takes_a_passed_deadline_for_a_try, deadline_body)
POLLER_TEST(poller_tells_of_streams_to_accept_and_of_the_sessions_ends, accept_body)
POLLER_TEST(poller_tells_of_a_sessions_death, death_body)
POLLER_TEST(poller_tells_of_what_was_before_it_was_added, late_body)
POLLER_TEST(poller_tells_nothing_of_what_is_gone, gone_body)
POLLER_TEST(poller_is_refused_by_a_stream_in_use, busy_body)
POLLER_TEST(poller_goes_with_calls_that_wait, both_body)
POLLER_TEST(poller_tells_of_a_stream_that_fails, idle_body)
POLLER_TEST(poller_tells_of_many, many_body)

static weft_err failing_malloc(void *arg)
{
	bool failed = true;
	unsigned n;

	(void)arg;
	/* a session and a stream keep what was allocated for them: new ones each time */
	for (n = 1; failed; n++) {
		weft_mux_poller *p = NULL;
		struct world w = { 0 };
		weft_conn *conns[2];
		weft_err err;

		OK(weft_conn_pair(conns, 0));
		world_open(&w, &(struct ends){ NULL, conns[0], conns[1], NULL }, 2);
		t_malloc_fail_at(n);
		err = weft_mux_poller_create(&p);
		if (!err)
			err = weft_mux_poller_add(p, w.client, NULL);
		if (!err)
			err = weft_mux_poller_add_stream(p, w.stream, NULL);
		if (!err)
			err = weft_stream_write(w.stream, "?", 1, NULL, WEFT_NOW);
		failed = t_malloc_failed();
		t_malloc_fail_off();
		ck_assert_int_eq(err, failed ? WEFT_ENOMEM : WEFT_OK);
		weft_mux_poller_free(p);
		world_close(&w);
	}
	ck_assert_uint_eq(n, 6);
	return WEFT_OK;
}

START_TEST(poller_survives_failing_malloc)
{
	struct rlimit limit, none;
	weft_mux_poller *p = NULL;

	run_fiber(failing_malloc, NULL, false);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	FAILS(WEFT_ECAPACITY, weft_mux_poller_create(&p));
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_ptr_null(p);
	weft_mux_poller_free(NULL);
}
END_TEST

static void poller_tests(TCase *tc)
{
	t_add_loop(tc, poller_tells_of_data_once_until_a_read_fails, 0, OVER);
	t_add_loop(tc, poller_tells_of_the_peers_end, 0, OVER);
	t_add_loop(tc, poller_tells_of_a_window_once_a_write_failed, 0, OVER);
	t_add_loop(tc, poller_tells_of_a_window_after_a_deadline, 0, OVER);
	t_add_loop(tc, poller_tells_of_the_connections_room, 0, OVER);
	t_add_loop(tc, poller_tells_of_the_connections_room_after_a_deadline, 0, OVER);
	t_add_loop(tc, poller_takes_a_passed_deadline_for_a_try, 0, OVER);
	t_add_loop(tc, poller_tells_of_streams_to_accept_and_of_the_sessions_ends, 0, OVER);
	t_add_loop(tc, poller_tells_of_a_sessions_death, 0, OVER);
	t_add_loop(tc, poller_tells_of_what_was_before_it_was_added, 0, OVER);
	t_add_loop(tc, poller_tells_nothing_of_what_is_gone, 0, OVER);
	t_add_loop(tc, poller_is_refused_by_a_stream_in_use, 0, OVER);
	t_add_loop(tc, poller_goes_with_calls_that_wait, 0, OVER);
	t_add_loop(tc, poller_tells_of_a_stream_that_fails, 0, OVER);
	t_add_loop(tc, poller_tells_of_many, 0, OVER);
	t_add(tc, poller_survives_failing_malloc);
}

T_SUITE("mux_poller", poller_tests)
