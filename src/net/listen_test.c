/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* Listeners: accepting, limits, running out of descriptors, serving. */
#define _GNU_SOURCE
#include "support/both.h"
#include "support/ends.h"
#include "support/threads.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#define ANY_PORT "tcp://127.0.0.1:0"

static weft_listener *listen_any(const weft_net_options *options)
{
	weft_listener *listener = NULL;

	OK(weft_listen(&listener, ANY_PORT, options, SOON));
	return listener;
}

/* ---- names and errors ---- */

static weft_err names_fiber(void *arg)
{
	weft_net_options options = WEFT_NET_OPTIONS_DEFAULT;
	weft_listener *listener = NULL, *second = NULL;

	(void)arg;
	OK(weft_listen(&listener, "tcp://:0", NULL, SOON));
	ck_assert_int_eq(strncmp(weft_listener_name(listener), "tcp://127.0.0.1:", 16), 0);
	ck_assert_int_gt(atoi(weft_listener_name(listener) + 16), 0);
	FAILS(WEFT_EINUSE, weft_listen(&second, weft_listener_name(listener), NULL, SOON));
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), weft_listener_name(listener)));
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "listens there already"));
	weft_listener_free(listener);
	OK(weft_listen(&listener, "tcp://localhost:0", NULL, SOON));
	weft_listener_free(listener);
	FAILS(WEFT_EUNREACH, weft_listen(&listener, "tcp://192.0.2.1:0", NULL, SOON));
	ck_assert_str_eq(
		weft_error_detail(), "listen on tcp://192.0.2.1:0: not an address of this host");
	FAILS(WEFT_EINVAL, weft_listen(&listener, "tcp://127.0.0.1", NULL, SOON));
	FAILS(WEFT_EINVAL, weft_listen(&listener, "gopher://127.0.0.1:1", NULL, SOON));
	options.attempt_delay_ms = 9;
	FAILS(WEFT_EINVAL, weft_listen(&listener, ANY_PORT, &options, SOON));
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "attempt_delay_ms"));
	return WEFT_OK;
}

START_TEST(listen_says_the_real_port_and_names_what_is_wrong)
{
	run_fiber(names_fiber, NULL, false);
}
END_TEST

START_TEST(listen_without_a_runtime_is_an_error)
{
	weft_listener *listener = NULL;
	weft_conn *conn = NULL;

	FAILS(WEFT_EINVAL, weft_listen(&listener, ANY_PORT, NULL, SOON));
	FAILS(WEFT_EINVAL, weft_dial(&conn, "tcp://127.0.0.1:1", NULL, SOON));
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "no runtime"));
}
END_TEST

/* ---- many who accept ---- */

#define ACCEPTERS 8
#define DIALLERS 120

struct crowd {
	weft_listener *listener;
	_Atomic int accepted;
	_Atomic int closed;
};

static weft_err accept_until_closed(void *arg)
{
	struct crowd *crowd = arg;
	weft_conn *conn = NULL;
	weft_err err;

	while (!(err = weft_listener_accept(crowd->listener, &conn, SOON))) {
		crowd->accepted++;
		OK(weft_conn_write(conn, "!", 1, NULL, SOON));
		weft_conn_free(conn);
	}
	FAILS(WEFT_ECLOSED, err);
	crowd->closed++;
	return WEFT_OK;
}

static weft_err accept_until_cancelled(void *arg)
{
	weft_conn *conn = NULL;

	FAILS(WEFT_ECANCELED, weft_listener_accept(arg, &conn, SOON));
	return WEFT_OK;
}

static void *accept_thread(void *arg)
{
	(void)accept_until_closed(arg);
	return NULL;
}

static weft_err dial_and_read(void *arg)
{
	struct crowd *crowd = arg;
	weft_conn *conn = NULL;
	char byte;
	size_t got;

	OK(weft_dial(&conn, weft_listener_name(crowd->listener), NULL, SOON));
	OK(weft_conn_read(conn, &byte, 1, &got, SOON));
	FAILS(WEFT_ECLOSED, weft_conn_read(conn, &byte, 1, &got, SOON));
	weft_conn_free(conn);
	return WEFT_OK;
}

static weft_err crowd_fiber(void *arg)
{
	struct crowd crowd = { .listener = listen_any(NULL) };
	weft_fiber *accepters[ACCEPTERS], *diallers[DIALLERS];
	pthread_t threads[2];

	(void)arg;
	for (unsigned i = 0; i < ACCEPTERS; i++)
		OK(weft_spawn_on(i % 2, &accepters[i], "accept", accept_until_closed, &crowd));
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, accept_thread, &crowd), 0);
	for (unsigned i = 0; i < DIALLERS; i++)
		OK(weft_spawn_on(i % 2, &diallers[i], "dial", dial_and_read, &crowd));
	for (int i = 0; i < DIALLERS; i++)
		join(diallers[i]);
	ck_assert_int_eq(crowd.accepted, DIALLERS);
	weft_listener_close(crowd.listener);
	weft_listener_close(crowd.listener);
	for (int i = 0; i < ACCEPTERS; i++)
		join(accepters[i]);
	for (int i = 0; i < 2; i++)
		thread_join(threads[i]);
	ck_assert_int_eq(crowd.closed, ACCEPTERS + 2);
	weft_listener_free(crowd.listener);
	return WEFT_OK;
}

START_TEST(accept_by_many_fibers_and_threads_and_close_wakes_them_all)
{
	run_fiber(crowd_fiber, NULL, false);
}
END_TEST

BOTH_TEST(accept_ends_by_deadline_cancel_and_close)
{
	struct crowd crowd = { .listener = NULL };
	weft_conn *conn = NULL;
	weft_scope *scope = NULL;
	weft_fiber *fiber = NULL;
	weft_err result = WEFT_OK;

	want_ok(weft_listen(&crowd.listener, "tcp://127.0.0.1:0", NULL, SOON));
	want_err(WEFT_ETIMEDOUT, weft_listener_accept(crowd.listener, &conn, WEFT_NOW));
	want_err(WEFT_ETIMEDOUT, weft_listener_accept(crowd.listener, &conn, MS(3)));
	want_ok(weft_scope_create(&scope));
	want_ok(weft_scope_spawn(scope, "cancelled", accept_until_cancelled, crowd.listener));
	weft_scope_cancel(scope);
	weft_scope_free(scope);
	want_ok(weft_spawn(&fiber, "closed", accept_until_closed, &crowd));
	want_err(WEFT_ETIMEDOUT, weft_fiber_join(fiber, &result, MS(3)));
	weft_listener_close(crowd.listener);
	want_ok(weft_fiber_join(fiber, &result, SOON));
	want_ok(result);
	want_err(WEFT_ECLOSED, weft_listener_accept(crowd.listener, &conn, SOON));
	weft_listener_free(crowd.listener);
	return WEFT_OK;
}

/* ---- the limit ---- */

#define LIMIT 10
#define LIMIT_DIALLERS 200

struct limited {
	weft_listener *listener;
	weft_conn *held[LIMIT_DIALLERS];
	_Atomic int held_len;
	_Atomic int refused;
};

static weft_err hold_fiber(void *arg)
{
	struct limited *l = arg;
	weft_conn *conn = NULL;

	while (!weft_listener_accept(l->listener, &conn, SOON)) {
		OK(weft_conn_write(conn, "!", 1, NULL, SOON));
		l->held[l->held_len++] = conn;
	}
	return WEFT_OK;
}

static weft_err dial_limited(void *arg)
{
	struct limited *l = arg;
	weft_conn *conn = NULL;
	char byte;
	size_t got;
	weft_err err;

	err = weft_dial(&conn, weft_listener_name(l->listener), NULL, SOON);
	if (!err)
		err = weft_conn_read(conn, &byte, 1, &got, SOON);
	if (err) {
		FAILS(WEFT_ERESET, err);
		l->refused++;
	}
	/* Until the listener's end is closed, so that the places stay taken. */
	if (!err)
		FAILS(WEFT_ECLOSED, weft_conn_read(conn, &byte, 1, &got, SOON));
	weft_conn_free(conn);
	return WEFT_OK;
}

static weft_err limit_fiber(void *arg)
{
	weft_net_options options = WEFT_NET_OPTIONS_DEFAULT;
	static struct limited l;
	weft_fiber *diallers[LIMIT_DIALLERS], *holders[2];
	weft_listener_stats stats;

	(void)arg;
	options.connections_max = LIMIT;
	l.listener = listen_any(&options);
	for (unsigned i = 0; i < LIMIT_DIALLERS; i++)
		OK(weft_spawn_on(i % 2, &diallers[i], "dial", dial_limited, &l));
	for (unsigned i = 0; i < 2; i++)
		OK(weft_spawn_on(i, &holders[i], "hold", hold_fiber, &l));
	while (l.refused < LIMIT_DIALLERS - LIMIT)
		OK(weft_sleep_ms(1));
	weft_listener_stats_get(l.listener, &stats);
	ck_assert_int_eq(l.held_len, LIMIT);
	ck_assert_uint_eq(stats.accepted, LIMIT);
	ck_assert_uint_eq(stats.connections, LIMIT);
	ck_assert_uint_eq(stats.refused, LIMIT_DIALLERS - LIMIT);
	for (int i = 0; i < LIMIT; i++)
		weft_conn_close(l.held[i]);
	weft_listener_stats_get(l.listener, &stats);
	ck_assert_uint_eq(stats.connections, 0);
	for (int i = 0; i < LIMIT_DIALLERS; i++)
		join(diallers[i]);
	/* a place that was given back is taken again; the listener goes before its conns */
	l.refused = 0;
	OK(weft_spawn(&diallers[0], "dial", dial_limited, &l));
	while (l.held_len == LIMIT)
		OK(weft_sleep_ms(1));
	weft_listener_close(l.listener);
	join(holders[0]);
	join(holders[1]);
	weft_listener_free(l.listener);
	for (int i = 0; i < l.held_len; i++)
		weft_conn_free(l.held[i]);
	join(diallers[0]);
	ck_assert_int_eq(l.refused, 0);
	return WEFT_OK;
}

START_TEST(accept_limit_is_exact_under_200_diallers)
{
	run_fiber(limit_fiber, NULL, false);
}
END_TEST

/* ---- running out of descriptors ---- */

static int log_lines;

static void count_lines(void *user, weft_log_level level, const char *module, const char *text)
{
	(void)user;
	(void)level;
	(void)module;
	if (strstr(text, "next try in"))
		log_lines++;
}

static int connect_plainly(const char *name)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to.sin_port = htons((uint16_t)atoi(strrchr(name, ':') + 1));
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static weft_err close_later(void *arg)
{
	OK(weft_sleep_ms(20));
	weft_listener_close(arg);
	return WEFT_OK;
}

static weft_err exhausted_fiber(void *arg)
{
	weft_listener *listener = listen_any(NULL);
	struct rlimit limit, none;
	weft_listener_stats stats;
	weft_conn *conns[3], *conn = NULL;
	int fds[3], next;
	weft_fiber *closer;
	unsigned tries;

	(void)arg;
	for (int i = 0; i < 3; i++)
		fds[i] = connect_plainly(weft_listener_name(listener));
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	next = dup(0);
	close(next);
	none = limit;
	none.rlim_cur = (rlim_t)next;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	/* 5, 10, 20, 40 ms: it did not spin. A busy machine may let only the first begin in time. */
	for (tries = 0; tries == 0 || stats.backoffs < 2; tries++) {
		FAILS(WEFT_ETIMEDOUT, weft_listener_accept(listener, &conn, MS(40)));
		weft_listener_stats_get(listener, &stats);
		ck_assert_uint_ge(stats.backoffs, tries + 1);
		ck_assert_uint_le(stats.backoffs, tries + 5);
	}
	ck_assert_int_eq(log_lines, (int)stats.backoffs);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int i = 0; i < 3; i++)
		OK(weft_listener_accept(listener, &conns[i], SOON));
	/* once more, ended by the close */
	for (int i = 0; i < 3; i++) {
		close(fds[i]);
		weft_conn_free(conns[i]);
	}
	fds[0] = connect_plainly(weft_listener_name(listener));
	next = dup(0);
	close(next);
	none.rlim_cur = (rlim_t)next;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	OK(weft_spawn(&closer, "close", close_later, listener));
	FAILS(WEFT_ECLOSED, weft_listener_accept(listener, &conn, SOON));
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	join(closer);
	close(fds[0]);
	weft_listener_free(listener);
	return WEFT_OK;
}

START_TEST(accept_without_descriptors_backs_off_and_recovers)
{
	weft_log_set(count_lines, NULL, WEFT_LOG_WARN);
	run_fiber(exhausted_fiber, NULL, false);
}
END_TEST

#define SIM_LISTENER "tcp://10.0.0.1:80"

static weft_err dial_and_wait(void *arg)
{
	weft_conn *conn = NULL;
	uint8_t byte;
	size_t got;

	(void)arg;
	OK(weft_dial(&conn, SIM_LISTENER, NULL, SOON));
	FAILS(WEFT_ECLOSED, weft_conn_read(conn, &byte, 1, &got, SOON));
	weft_conn_free(conn);
	return WEFT_OK;
}

/* By the simulator's clock, which moves when nobody can run. */
static weft_err back_off_fiber(void *arg)
{
	weft_listener *listener = NULL;
	weft_listener_stats stats;
	weft_scope *scope = NULL;
	weft_fiber *dialler;
	weft_conn *conn = NULL;
	unsigned node;
	int64_t before;

	(void)arg;
	OK(weft_listen(&listener, SIM_LISTENER, NULL, SOON));
	OK(weft_sim_node(&node, "client"));
	OK(weft_sim_spawn(node, &dialler, "dial", dial_and_wait, NULL));
	weft_sim_descriptor_limit(0, 1);
	OK(weft_scope_create(&scope));
	OK(weft_scope_spawn(scope, "accept", accept_until_cancelled, listener));
	OK(weft_sleep_ms(1000));
	weft_listener_stats_get(listener, &stats);
	ck_assert_uint_ge(stats.backoffs, 5);
	ck_assert_uint_le(stats.backoffs, 10);
	before = weft_now();
	weft_scope_cancel(scope);
	weft_scope_free(scope);
	ck_assert_int_eq(weft_now(), before);
	weft_sim_descriptor_limit(0, 2);
	OK(weft_listener_accept(listener, &conn, SOON));
	weft_conn_free(conn);
	join(dialler);
	weft_listener_free(listener);
	return WEFT_OK;
}

START_TEST(accept_that_backs_off_is_cancelled_at_once)
{
	run_fiber(back_off_fiber, NULL, true);
}
END_TEST

/* ---- serving ---- */

struct service {
	weft_listener *listener;
	weft_scope *scope;
	weft_err served;
	_Atomic int sessions;
	_Atomic unsigned workers; /* a bit each */
	bool outside;
};

static weft_err session(weft_conn *conn, void *arg)
{
	struct service *s = arg;
	char line[20];
	size_t got;
	weft_err err;

	s->sessions++;
	s->workers |= 1u << weft_worker_self();
	while (!(err = weft_conn_read_line(conn, line, sizeof(line), &got, WEFT_FOREVER))) {
		if (!strcmp(line, "fail\n"))
			break;
		OK(weft_conn_write(conn, line, got, NULL, SOON));
	}
	weft_conn_free(conn);
	return err == WEFT_ECLOSED ? WEFT_OK : err ? err : WEFT_EPROTO;
}

static weft_err serve_fiber(void *arg)
{
	struct service *s = arg;

	s->served = weft_listener_serve(s->listener, s->scope, "session", session, s);
	return WEFT_OK;
}

static void ask(weft_conn *conn, const char *line)
{
	char answer[20];
	size_t got;

	OK(weft_conn_write(conn, line, strlen(line), NULL, SOON));
	OK(weft_conn_read_line(conn, answer, sizeof(answer), &got, SOON));
	ck_assert_str_eq(answer, line);
}

static int failures_logged;

static void note_failure(void *user, weft_log_level level, const char *module, const char *text)
{
	(void)user;
	(void)level;
	(void)module;
	if (strstr(text, "protocol error") && strstr(text, "127.0.0.1"))
		failures_logged++;
}

static void serve_start(struct service *s, weft_fiber **fiber)
{
	s->listener = listen_any(NULL);
	OK(weft_scope_create(&s->scope));
	if (s->outside) {
		OK(weft_spawn(fiber, "serve", serve_fiber, s));
		return;
	}
	*fiber = NULL;
	OK(weft_scope_spawn(s->scope, "serve", serve_fiber, s));
}

static weft_err service_fiber(void *arg)
{
	struct service *s = arg;
	weft_conn *conns[40];
	weft_fiber *fiber;
	char byte;
	size_t got;

	serve_start(s, &fiber);
	for (int i = 0; i < 40; i++) {
		OK(weft_dial(&conns[i], weft_listener_name(s->listener), NULL, SOON));
		ask(conns[i], "hello\n");
	}
	ck_assert_int_eq(s->sessions, 40);
	ck_assert_uint_eq(s->workers, 3);
	OK(weft_conn_write(conns[0], "fail\n", 5, NULL, SOON));
	FAILS(WEFT_ECLOSED, weft_conn_read(conns[0], &byte, 1, &got, SOON));
	ask(conns[1], "still\n");
	weft_listener_close(s->listener);
	if (fiber)
		join(fiber);
	/* sessions outlive the listener */
	ask(conns[2], "there\n");
	for (int i = 0; i < 40; i++)
		weft_conn_free(conns[i]);
	OK(weft_scope_wait(s->scope, SOON));
	OK(s->served);
	weft_scope_free(s->scope);
	weft_listener_free(s->listener);
	ck_assert_int_eq(failures_logged, 1);
	return WEFT_OK;
}

START_TEST(serve_gives_each_conn_a_fiber_until_the_listener_closes)
{
	struct service s = { .outside = _i };

	weft_log_set(note_failure, NULL, WEFT_LOG_WARN);
	run_fiber(service_fiber, &s, false);
}
END_TEST

static weft_err cancelled_service_fiber(void *arg)
{
	struct service *s = arg;
	weft_conn *conn = NULL;
	weft_fiber *fiber;

	serve_start(s, &fiber);
	OK(weft_dial(&conn, weft_listener_name(s->listener), NULL, SOON));
	ask(conn, "hello\n");
	weft_scope_cancel(s->scope);
	if (fiber)
		join(fiber);
	OK(weft_scope_wait(s->scope, SOON));
	FAILS(WEFT_ECANCELED, s->served);
	weft_scope_free(s->scope);
	weft_conn_free(conn);
	weft_listener_free(s->listener);
	return WEFT_OK;
}

START_TEST(serve_stops_when_its_scope_is_cancelled)
{
	struct service s = { .outside = _i };

	run_fiber(cancelled_service_fiber, &s, false);
}
END_TEST

static int dropped_logged;

static void note_dropped(void *user, weft_log_level level, const char *module, const char *text)
{
	(void)user;
	(void)level;
	(void)module;
	if (strstr(text, "dropped: "))
		dropped_logged++;
}

/* There is room for so few fibers that most sessions get none. */
static weft_err crowded_fiber(void *arg)
{
	struct service s = { .outside = false };
	int fds[20], reset = 0, served = 0;
	weft_fiber *fiber;
	char byte;

	(void)arg;
	serve_start(&s, &fiber);
	for (int i = 0; i < 20; i++)
		fds[i] = connect_plainly(weft_listener_name(s.listener));
	while (s.sessions + dropped_logged < 20)
		OK(weft_sleep_ms(1));
	for (int i = 0; i < 20; i++) {
		ssize_t n = recv(fds[i], &byte, 1, MSG_DONTWAIT);

		reset += n < 0 && errno == ECONNRESET;
		served += n < 0 && errno == EAGAIN;
		close(fds[i]);
	}
	ck_assert_int_gt(reset, 0);
	ck_assert_int_gt(served, 0);
	ck_assert_int_eq(reset + served, 20);
	ck_assert_int_eq(reset, dropped_logged);
	weft_listener_close(s.listener);
	OK(weft_scope_wait(s.scope, SOON));
	OK(s.served);
	weft_scope_free(s.scope);
	weft_listener_free(s.listener);
	return WEFT_OK;
}

START_TEST(serve_drops_what_it_has_no_fiber_for_and_goes_on)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;

	weft_log_set(note_dropped, NULL, WEFT_LOG_WARN);
	options.fibers_max = 8;
	OK(weft_run(crowded_fiber, NULL, &options));
}
END_TEST

/* ---- options ---- */

static int option_of(const weft_conn *conn, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	ck_assert_int_eq(getsockopt(weft_conn_fd(conn), level, name, &value, &len), 0);
	return value;
}

static weft_err options_fiber(void *arg)
{
	weft_net_options options = WEFT_NET_OPTIONS_DEFAULT;
	weft_listener *listener = NULL;
	weft_conn *ends[2];

	(void)arg;
	options.keepalive = true;
	options.keepalive_idle_s = 33;
	options.send_buffer = 20000;
	OK(weft_listen(&listener, ANY_PORT, &options, SOON));
	for (int round = 0; round < 2; round++) {
		OK(weft_dial(&ends[0], weft_listener_name(listener), &options, SOON));
		OK(weft_listener_accept(listener, &ends[1], SOON));
		for (int i = 0; i < 2; i++) {
			ck_assert_int_eq(option_of(ends[i], SOL_SOCKET, SO_KEEPALIVE), 1);
			ck_assert_int_eq(option_of(ends[i], IPPROTO_TCP, TCP_KEEPIDLE), 33);
			ck_assert_int_eq(option_of(ends[i], IPPROTO_TCP, TCP_KEEPINTVL), 10);
			ck_assert_int_eq(option_of(ends[i], IPPROTO_TCP, TCP_KEEPCNT), 6);
			ck_assert_int_eq(option_of(ends[i], SOL_SOCKET, SO_SNDBUF), 40000);
			/* on unless it was switched off, on the dialling end here */
			ck_assert_int_eq(!!option_of(ends[i], IPPROTO_TCP, TCP_NODELAY),
				round == 0 || i == 1);
			weft_conn_free(ends[i]);
		}
		options.nodelay = false;
	}
	weft_listener_free(listener);
	return WEFT_OK;
}

START_TEST(options_hold_for_dialled_and_accepted_conns)
{
	run_fiber(options_fiber, NULL, false);
}
END_TEST

/* ---- memory ---- */

static weft_err memory_fiber(void *arg)
{
	weft_listener *never = NULL;

	(void)arg;
	/* this fiber's place for error texts and the worker's for timers, which stay */
	FAILS(WEFT_EINVAL, weft_listen(&never, "", NULL, SOON));
	wait_begun();
	T_EACH_FAILING_MALLOC(n) {
		weft_listener *listener = NULL;
		weft_conn *conn = NULL;
		weft_err err = weft_listen(&listener, ANY_PORT, NULL, SOON);
		int fd = -1;

		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		ck_assert(err == WEFT_OK || t_malloc_failed());
		if (!err) {
			fd = connect_plainly(weft_listener_name(listener));
			/* without memory for its handle the connection is dropped */
			err = weft_listener_accept(
				listener, &conn, MS(t_malloc_failed() ? 20000 : 100));
			ck_assert(err == WEFT_OK || err == WEFT_ENOMEM || err == WEFT_ETIMEDOUT);
			ck_assert(err == WEFT_OK || t_malloc_failed());
			weft_conn_free(conn);
			close(fd);
		}
		weft_listener_free(listener);
		/* what a worker still had to free is freed at its next turn */
		OK(weft_sleep_ms(1));
	}
	return WEFT_OK;
}

START_TEST(listen_and_accept_survive_every_failing_malloc)
{
	run_fiber(memory_fiber, NULL, false);
}
END_TEST

static void listen_tests(TCase *tc)
{
	t_add(tc, listen_says_the_real_port_and_names_what_is_wrong);
	t_add(tc, listen_without_a_runtime_is_an_error);
	t_add(tc, accept_by_many_fibers_and_threads_and_close_wakes_them_all);
	both_add(tc, accept_ends_by_deadline_cancel_and_close);
	t_add(tc, accept_limit_is_exact_under_200_diallers);
	t_add(tc, accept_without_descriptors_backs_off_and_recovers);
	t_add(tc, accept_that_backs_off_is_cancelled_at_once);
	t_add_loop(tc, serve_gives_each_conn_a_fiber_until_the_listener_closes, 0, 2);
	t_add_loop(tc, serve_stops_when_its_scope_is_cancelled, 0, 2);
	t_add(tc, serve_drops_what_it_has_no_fiber_for_and_goes_on);
	t_add(tc, options_hold_for_dialled_and_accepted_conns);
	t_add(tc, listen_and_accept_survive_every_failing_malloc);
}

T_SUITE("listen", listen_tests)
