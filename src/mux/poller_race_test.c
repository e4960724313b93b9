/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=240 */
/*
 * weft_mux_poller under load: plain epoll loops, which serve streams of several sessions, while
 * others talk to them, close them, and abort their sessions. A wake that is lost shows as a call
 * that times out.
 */
#include "rt/san.h"
#include "support/plain.h"

#include <sched.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#ifdef RT_TSAN
#define LESS 4
#else
#define LESS 1
#endif
#define SESSIONS 3
#define STREAMS (1200 / LESS) /* of a session */
#define EVENTS 64
#define TALKERS 4
#define ALIVE 0x5eed5eedu

/* One stream at the loop: echoes. */
struct served {
	struct served *next; /* of the loop's */
	weft_stream *stream;
	uint32_t magic;
	bool is_shut;
	size_t len, at;
	uint8_t data[2048];
};

/* A thread with an epoll of its own. */
struct loop {
	pthread_t thread;
	weft_mux_poller *poller;
	weft_mux *sessions[SESSIONS]; /* that it accepts of */
	unsigned sessions_len;
	int stop_fd;
	struct served *all;
	_Atomic unsigned served, over;
	unsigned events;
};

static void drop(struct loop *l, struct served *s)
{
	struct served **at = &l->all;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	weft_stream_free(s->stream);
	s->magic = 0;
	free(s);
	atomic_fetch_add(&l->over, 1);
}

/* Until it would have to wait. False: it is over. */
static bool pump(struct served *s)
{
	for (;;) {
		size_t n = 0;
		weft_err err;

		if (s->at == s->len) {
			s->at = s->len = 0;
			err = weft_stream_read(
				s->stream, s->data, sizeof(s->data), &s->len, WEFT_NOW);
			if (err == WEFT_ETIMEDOUT)
				return true;
			if (err)
				return false;
		}
		err = weft_stream_write(s->stream, s->data + s->at, s->len - s->at, &n, WEFT_NOW);
		s->at += n;
		if (err == WEFT_ETIMEDOUT)
			return true;
		if (err)
			return false;
	}
}

static void accept_all(struct loop *l, weft_mux *mux)
{
	weft_stream *stream;

	while (!weft_mux_accept(mux, &stream, WEFT_NOW)) {
		struct served *s = calloc(1, sizeof(*s));

		s->stream = stream;
		s->magic = ALIVE;
		s->next = l->all;
		l->all = s;
		OK(weft_mux_poller_add_stream(l->poller, stream, s));
		atomic_fetch_add(&l->served, 1);
	}
}

static void handle(struct loop *l, const weft_mux_event *e)
{
	struct served *s = e->user;

	for (unsigned i = 0; i < l->sessions_len; i++) {
		if (e->user == &l->sessions[i]) {
			accept_all(l, l->sessions[i]);
			return;
		}
	}
	T_OUGHT(s->magic == ALIVE);
	T_OUGHT(!(e->events & ~(unsigned)(WEFT_MUX_READABLE | WEFT_MUX_WRITABLE | WEFT_MUX_ENDED)));
	if (!pump(s))
		drop(l, s);
}

static void *loop_thread(void *arg)
{
	struct loop *l = arg;
	struct epoll_event ev = { .events = EPOLLIN };
	weft_mux_event events[EVENTS];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	bool is_on = true;

	ev.data.fd = weft_mux_poller_fd(l->poller);
	ck_assert_int_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, ev.data.fd, &ev), 0);
	ev.data.fd = l->stop_fd;
	ck_assert_int_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, ev.data.fd, &ev), 0);
	while (is_on) {
		struct epoll_event got[2];
		int n = epoll_wait(epoll, got, 2, 20000);
		size_t len;

		ck_assert_int_ge(n, 0);
		for (int i = 0; i < n; i++)
			is_on = is_on && got[i].data.fd != l->stop_fd;
		/* one take a turn, or as many as there are */
		while ((len = weft_mux_poller_take(l->poller, events, EVENTS)) > 0) {
			for (size_t i = 0; i < len; i++)
				handle(l, &events[i]);
			l->events += (unsigned)len;
			if (l->events % 2)
				break;
		}
	}
	while (l->all)
		drop(l, l->all);
	close(epoll);
	return NULL;
}

static void loop_start(struct loop *l)
{
	OK(weft_mux_poller_create(&l->poller));
	l->stop_fd = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_ge(l->stop_fd, 0);
	for (unsigned i = 0; i < l->sessions_len; i++)
		OK(weft_mux_poller_add(l->poller, l->sessions[i], &l->sessions[i]));
	ck_assert_int_eq(pthread_create(&l->thread, NULL, loop_thread, l), 0);
}

static void loop_end(struct loop *l)
{
	uint64_t one = 1;

	ck_assert_int_eq(write(l->stop_fd, &one, sizeof(one)), sizeof(one));
	ck_assert_int_eq(pthread_join(l->thread, NULL), 0);
	weft_mux_poller_free(l->poller);
	close(l->stop_fd);
}

static void open_sessions(weft_mux *clients[], struct loop *l, unsigned version, unsigned n)
{
	weft_mux_options o = WEFT_MUX_OPTIONS_DEFAULT;

	o.version = version;
	o.accept_backlog = 2 * STREAMS;
	for (unsigned i = 0; i < n; i++) {
		weft_conn *conns[2];

		OK(i % 2 ? make_unix(conns) : make_tcp(conns));
		OK(weft_mux_create_own(&clients[i], conns[0], WEFT_MUX_CLIENT, &o));
		OK(weft_mux_create_own(&l->sessions[i], conns[1], WEFT_MUX_SERVER, &o));
	}
	l->sessions_len = n;
}

static void free_sessions(weft_mux *clients[], struct loop *l)
{
	for (unsigned i = 0; i < l->sessions_len; i++) {
		weft_mux_free(clients[i]);
		weft_mux_free(l->sessions[i]);
	}
}

/* ---- those who talk to it ---- */

struct talker {
	weft_mux *mux;
	unsigned streams, bytes;
	bool may_fail;
	_Atomic unsigned done;
};

struct say {
	weft_stream *stream;
	size_t bytes;
	uint64_t from;
	bool may_fail;
};

static weft_err say_fiber(void *arg)
{
	struct say *s = arg;
	uint8_t data[1000];

	for (size_t at = 0; at < s->bytes;) {
		size_t n = s->bytes - at < sizeof(data) ? s->bytes - at : sizeof(data);
		weft_err err;

		fill(data, n, s->from + at);
		err = weft_stream_write(s->stream, data, n, NULL, SOON);
		T_OUGHT(!err || s->may_fail);
		if (err)
			break;
		at += n;
	}
	return WEFT_OK;
}

/* A window may be as small as 4 KiB: who says more than that has somebody else read. */
static bool talk(struct talker *t, weft_stream *stream, size_t bytes, uint64_t from)
{
	struct say say = { stream, bytes, from, t->may_fail };
	weft_fiber *fiber = NULL;
	uint8_t data[1500];
	size_t at = 0, got;
	weft_err err = WEFT_OK;

	if (bytes > 1000)
		fiber = spawn(say_fiber, &say);
	else
		OK(say_fiber(&say));
	while (at < bytes && !err) {
		err = weft_stream_read(stream, data,
			sizeof(data) < bytes - at ? sizeof(data) : bytes - at, &got, SOON);
		if (err)
			break;
		T_OUGHT(matches(data, got, from + at));
		at += got;
	}
	if (t->may_fail)
		T_OUGHT(!err || err == WEFT_ERESET || err == WEFT_ECLOSED);
	else
		OK(err);
	if (fiber)
		join(fiber);
	return !err;
}

/* All streams at once, one after the other has something to say. */
static weft_err talk_fiber(void *arg)
{
	struct talker *t = arg;
	weft_stream **streams = calloc(t->streams, sizeof(*streams));

	for (unsigned i = 0; i < t->streams; i++) {
		if (weft_mux_open(t->mux, &streams[i], SOON))
			T_OUGHT(t->may_fail);
	}
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < t->streams; i++) {
			size_t bytes = i % 50 == round ? t->bytes : 1 + i % 97;

			if (streams[i] && !talk(t, streams[i], bytes, i)) {
				weft_stream_free(streams[i]);
				streams[i] = NULL;
			}
		}
	}
	for (unsigned i = 0; i < t->streams; i++)
		weft_stream_free(streams[i]);
	free(streams);
	atomic_fetch_add(&t->done, 1);
	return WEFT_OK;
}

static void wait_for(_Atomic unsigned *number, unsigned wanted)
{
	weft_deadline until = weft_after_ms(100000);

	while (atomic_load(number) < wanted) {
		ck_assert_msg(weft_now() < until, "%u of %u", atomic_load(number), wanted);
		(void)sched_yield();
	}
}

START_TEST(poller_loop_serves_thousands_of_streams_of_three_sessions)
{
	struct talker talkers[SESSIONS];
	weft_mux *clients[SESSIONS];
	static struct loop l;
	struct plain p;

	plain_start(&p);
	open_sessions(clients, &l, (unsigned)_i, SESSIONS);
	loop_start(&l);
	for (unsigned i = 0; i < SESSIONS; i++) {
		talkers[i] = (struct talker){ clients[i], STREAMS / TALKERS, 50000, false, 0 };
		for (unsigned n = 0; n < TALKERS; n++)
			OK(weft_spawn(NULL, "talker", talk_fiber, &talkers[i]));
	}
	for (unsigned i = 0; i < SESSIONS; i++)
		wait_for(&talkers[i].done, TALKERS);
	/* each saw the end of its stream */
	wait_for(&l.over, SESSIONS * STREAMS);
	loop_end(&l);
	free_sessions(clients, &l);
	plain_end(&p);
}
END_TEST

/* ---- ends ---- */

struct ender {
	pthread_t thread;
	weft_mux *mux;
	int delay_ms;
};

static void *abort_thread(void *arg)
{
	struct ender *e = arg;

	OK(weft_sleep_ms(e->delay_ms));
	weft_mux_abort(e->mux);
	return NULL;
}

START_TEST(poller_loop_outlives_sessions_that_die_under_it)
{
	for (int round = 0; round < 12 / LESS; round++) {
		struct talker talkers[SESSIONS];
		struct ender enders[SESSIONS];
		weft_mux *clients[SESSIONS];
		struct loop l = { 0 };
		struct plain p;

		plain_start(&p);
		open_sessions(clients, &l, 2, SESSIONS);
		loop_start(&l);
		for (unsigned i = 0; i < SESSIONS; i++) {
			talkers[i] = (struct talker){ clients[i], 100, 50000, true, 0 };
			OK(weft_spawn(NULL, "talker", talk_fiber, &talkers[i]));
			enders[i] = (struct ender){ 0, i % 2 ? clients[i] : l.sessions[i], round };
			ck_assert_int_eq(
				pthread_create(&enders[i].thread, NULL, abort_thread, &enders[i]),
				0);
		}
		for (unsigned i = 0; i < SESSIONS; i++) {
			ck_assert_int_eq(pthread_join(enders[i].thread, NULL), 0);
			wait_for(&talkers[i].done, 1);
			ck_assert_int_ne(weft_mux_wait(l.sessions[i], SOON), WEFT_ETIMEDOUT);
		}
		/* of all of which it is told */
		wait_for(&l.over, atomic_load(&l.served));
		loop_end(&l);
		free_sessions(clients, &l);
		plain_end(&p);
	}
}
END_TEST

/* ---- a stream that goes from one loop to another, closed by a third ---- */

struct game {
	weft_stream *stream;
	weft_mux_poller *pollers[2];
	_Atomic bool is_over;
	_Atomic unsigned seen;
};

static void *take_thread(void *arg)
{
	struct game *g = arg;
	weft_mux_event e;

	while (!atomic_load(&g->is_over)) {
		for (int i = 0; i < 2; i++) {
			while (weft_mux_poller_take(g->pollers[i], &e, 1)) {
				T_OUGHT(e.user == g && e.events);
				atomic_fetch_add(&g->seen, 1);
			}
		}
		(void)weft_yield();
	}
	return NULL;
}

static void *move_thread(void *arg)
{
	struct game *g = arg;

	for (unsigned i = 0; !atomic_load(&g->is_over); i++) {
		weft_err err = weft_mux_poller_add_stream(g->pollers[i % 2], g->stream, g);

		T_OUGHT(err == WEFT_OK || err == WEFT_EINVAL || err == WEFT_ECLOSED);
		weft_mux_poller_remove_stream(g->pollers[i % 2], g->stream);
	}
	return NULL;
}

static void *try_thread(void *arg)
{
	struct game *g = arg;
	uint8_t data[100];
	weft_err err;
	size_t got;

	do
		err = weft_stream_read(g->stream, data, sizeof(data), &got, WEFT_NOW);
	while (err != WEFT_ECLOSED);
	do
		err = weft_stream_write(g->stream, data, 1, &got, WEFT_NOW);
	while (err != WEFT_ECLOSED);
	return NULL;
}

START_TEST(poller_moves_a_stream_while_it_is_used_and_closed)
{
	void *(*const fns[])(void *) = { take_thread, move_thread, try_thread };
	weft_mux *clients[1];
	struct loop l = { 0 };
	struct plain p;

	plain_start(&p);
	open_sessions(clients, &l, 2, 1);
	for (int round = 0; round < 40 / LESS; round++) {
		pthread_t threads[3];
		struct game g = { 0 };
		weft_stream *peer;

		for (int i = 0; i < 2; i++)
			OK(weft_mux_poller_create(&g.pollers[i]));
		OK(weft_mux_open(clients[0], &g.stream, SOON));
		OK(weft_mux_accept(l.sessions[0], &peer, SOON));
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(pthread_create(&threads[i], NULL, fns[i], &g), 0);
		for (int i = 0; i < 50; i++)
			OK(weft_stream_write(peer, "x", 1, NULL, SOON));
		weft_stream_close(g.stream);
		ck_assert_int_eq(pthread_join(threads[2], NULL), 0);
		atomic_store(&g.is_over, true);
		ck_assert_int_eq(pthread_join(threads[0], NULL), 0);
		ck_assert_int_eq(pthread_join(threads[1], NULL), 0);
		for (int i = 0; i < 2; i++) {
			if (round % 2)
				weft_mux_poller_free(g.pollers[i]);
		}
		weft_stream_free(g.stream);
		for (int i = 0; i < 2; i++) {
			if (round % 2 == 0)
				weft_mux_poller_free(g.pollers[i]);
		}
		weft_stream_free(peer);
	}
	free_sessions(clients, &l);
	plain_end(&p);
}
END_TEST

/* ---- what comes just when a call found nothing ---- */

#define BURSTS (800 / LESS)

/* Some microseconds, as the seed has it. */
static void gap(uint64_t *seed)
{
	int64_t until = t_now_ns() + (int64_t)(t_random(seed) % 40000);

	while (t_now_ns() < until)
		;
}

START_TEST(poller_loses_nothing_between_a_try_and_its_arming)
{
	uint64_t seed = t_seed();
	weft_mux *clients[1];
	struct loop l = { 0 };
	struct plain p;

	plain_start(&p);
	open_sessions(clients, &l, 2, 1);
	loop_start(&l);
	for (unsigned i = 0; i < BURSTS; i++) {
		weft_stream *streams[2];
		uint8_t data[2];
		size_t got = 0, n;

		OK(weft_mux_open(clients[0], &streams[0], SOON));
		gap(&seed);
		OK(weft_mux_open(clients[0], &streams[1], SOON));
		wait_for(&l.served, 2 * i + 2);
		OK(weft_stream_write(streams[0], "a", 1, NULL, SOON));
		gap(&seed);
		OK(weft_stream_write(streams[0], "b", 1, NULL, SOON));
		for (; got < 2; got += n)
			OK(weft_stream_read(streams[0], data, 2 - got, &n, SOON));
		weft_stream_free(streams[0]);
		gap(&seed);
		weft_stream_free(streams[1]);
	}
	wait_for(&l.over, 2 * BURSTS);
	loop_end(&l);
	free_sessions(clients, &l);
	plain_end(&p);
}
END_TEST

/* Streams that are opened while the session dies find it out. */
struct opener {
	pthread_t thread;
	weft_mux *mux;
	_Atomic bool *is_dying;
};

static void *open_thread(void *arg)
{
	struct opener *o = arg;
	weft_stream *stream;
	uint8_t c;
	size_t got;

	while (!weft_mux_open(o->mux, &stream, SOON)) {
		/* or refused: so many are not accepted */
		if (atomic_load(o->is_dying))
			ck_assert_int_ne(
				weft_stream_read(stream, &c, 1, &got, SOON), WEFT_ETIMEDOUT);
		weft_stream_free(stream);
	}
	return NULL;
}

START_TEST(mux_tells_streams_that_are_opened_while_it_dies)
{
	struct plain p;

	plain_start(&p);
	for (int round = 0; round < 100 / LESS; round++) {
		_Atomic bool is_dying = false;
		weft_mux *clients[1];
		struct opener o[3];
		struct loop l = { 0 };

		open_sessions(clients, &l, 2, 1);
		for (int i = 0; i < 3; i++) {
			o[i] = (struct opener){ 0, clients[0], &is_dying };
			ck_assert_int_eq(pthread_create(&o[i].thread, NULL, open_thread, &o[i]), 0);
		}
		weft_mux_abort(l.sessions[0]);
		OK(weft_sleep_ms(round % 2));
		atomic_store(&is_dying, true);
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(pthread_join(o[i].thread, NULL), 0);
		free_sessions(clients, &l);
	}
	plain_end(&p);
}
END_TEST

static void poller_race_tests(TCase *tc)
{
	t_add_loop(tc, poller_loop_serves_thousands_of_streams_of_three_sessions, 1, 3);
	t_add(tc, poller_loop_outlives_sessions_that_die_under_it);
	t_add(tc, poller_moves_a_stream_while_it_is_used_and_closed);
	t_add(tc, poller_loses_nothing_between_a_try_and_its_arming);
	t_add(tc, mux_tells_streams_that_are_opened_while_it_dies);
}

T_SUITE("mux_poller_race", poller_race_tests)
