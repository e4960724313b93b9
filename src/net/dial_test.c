/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* Dialling: errors and their words, races of addresses, names, busy listeners. */
#define _GNU_SOURCE
#include "net/addr.h"
#include "net/dial.h"
#include "net/options.h"
#include "rt/rt.h"
#include "support/both.h"
#include "support/ends.h"
#include "support/threads.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>

/* A bound port that nobody listens on. */
static int dead_port(uint16_t *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	*port = ntohs(in.sin_port);
	return fd;
}

/* A listener whose queue is full: the kernel drops what asks to connect. */
struct black_hole {
	int fd, clients[4];
	uint16_t port;
};

static void black_hole_open(struct black_hole *hole)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	hole->fd = dead_port(&hole->port);
	ck_assert_int_eq(listen(hole->fd, 0), 0);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in.sin_port = htons(hole->port);
	for (int i = 0; i < 4; i++) {
		hole->clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		ck_assert(connect(hole->clients[i], (struct sockaddr *)&in, sizeof(in)) == 0 ||
			errno == EINPROGRESS);
	}
}

static void black_hole_close(struct black_hole *hole)
{
	for (int i = 0; i < 4; i++)
		close(hole->clients[i]);
	close(hole->fd);
}

static struct io_addr address(const char *host, uint16_t port)
{
	struct io_addr addr;

	ck_assert(net_addr_numeric(&addr, host, port));
	return addr;
}

static weft_err race_delayed(
	const struct resolved *addrs, unsigned attempt_delay_ms, weft_deadline until)
{
	struct io_handle *handle = NULL;
	weft_net_options options;
	weft_err err;

	OK(net_options_check(&options, NULL));
	options.attempt_delay_ms = attempt_delay_ms;
	err = net_connect(&handle, addrs, "tcp://many:1", &options, until);
	if (!err)
		handle->ops->close(handle, false);
	return err;
}

static weft_err race(const struct resolved *addrs, weft_deadline until)
{
	return race_delayed(addrs, 50, until);
}

/* ---- words ---- */

static weft_err errors_fiber(void *arg)
{
	char name[64], expected[128];
	weft_conn *conn = NULL;
	uint16_t port;
	int fd = dead_port(&port);

	(void)arg;
	snprintf(name, sizeof(name), "tcp://127.0.0.1:%u", port);
	FAILS(WEFT_EREFUSED, weft_dial(&conn, name, NULL, SOON));
	snprintf(expected, sizeof(expected), "connect %s: connection refused", name);
	ck_assert_str_eq(weft_error_detail(), expected);
	close(fd);
	snprintf(name, sizeof(name), "tcp://localhost:%u", port);
	FAILS(WEFT_EREFUSED, weft_dial(&conn, name, NULL, SOON));
	snprintf(expected, sizeof(expected), "connect %s: connection refused", name);
	ck_assert_str_eq(weft_error_detail(), expected);
	FAILS(WEFT_ERESOLVE, weft_dial(&conn, "tcp://no..such:1", NULL, SOON));
	ck_assert_ptr_nonnull(
		strstr(weft_error_detail(), "connect tcp://no..such:1: resolve no..such: "));
	FAILS(WEFT_EINVAL, weft_dial(&conn, "tcp://127.0.0.1:0", NULL, SOON));
	FAILS(WEFT_ENOTFOUND, weft_dial(&conn, "unix:/no/such/file", NULL, SOON));
	ck_assert_str_eq(
		weft_error_detail(), "connect unix:/no/such/file: No such file or directory");
	FAILS(WEFT_EREFUSED, weft_dial(&conn, "unix:@weft-nobody-there", NULL, SOON));
	return WEFT_OK;
}

START_TEST(dial_says_what_where_and_why)
{
	run_fiber(errors_fiber, NULL, false);
}
END_TEST

/* ---- deadlines and cancellation ---- */

static weft_err dial_hole(void *arg)
{
	weft_conn *conn = NULL;

	return weft_dial(&conn, arg, NULL, SOON);
}

static weft_err hole_fiber(void *arg)
{
	struct black_hole hole;
	weft_conn *conn = NULL;
	weft_scope *scope = NULL;
	char name[64], expected[128];

	(void)arg;
	black_hole_open(&hole);
	snprintf(name, sizeof(name), "tcp://127.0.0.1:%u", hole.port);
	FAILS(WEFT_ETIMEDOUT, weft_dial(&conn, name, NULL, MS(20)));
	snprintf(expected, sizeof(expected), "connect %s: timed out", name);
	ck_assert_str_eq(weft_error_detail(), expected);
	FAILS(WEFT_ETIMEDOUT, weft_dial(&conn, name, NULL, WEFT_NOW));
	OK(weft_scope_create(&scope));
	OK(weft_scope_spawn(scope, "dial", dial_hole, name));
	OK(weft_sleep_ms(5));
	weft_scope_cancel(scope);
	OK(weft_scope_wait(scope, SOON));
	weft_scope_free(scope);
	black_hole_close(&hole);
	return WEFT_OK;
}

START_TEST(dial_ends_by_deadline_and_cancel)
{
	run_fiber(hole_fiber, NULL, false);
}
END_TEST

/* ---- races ---- */

static uint16_t port_of(const weft_listener *listener)
{
	return (uint16_t)atoi(strrchr(weft_listener_name(listener), ':') + 1);
}

static weft_err race_fiber(void *arg)
{
	struct resolved addrs = { 0 };
	weft_listener *listener = NULL;
	struct black_hole hole;
	uint16_t dead;
	int fd = dead_port(&dead);
	int64_t before;

	(void)arg;
	black_hole_open(&hole);
	OK(weft_listen(&listener, "tcp://127.0.0.1:0", NULL, SOON));
	/* a refusal starts the next one at once */
	addrs.len = 3;
	addrs.addrs[0] = address("::1", dead);
	addrs.addrs[1] = address("127.0.0.1", dead);
	addrs.addrs[2] = address("127.0.0.1", port_of(listener));
	before = weft_now();
	OK(race_delayed(&addrs, 2000, SOON));
	ck_assert_int_lt(weft_now() - before, INT64_C(2000000000));
	/* silence starts it after the delay */
	addrs.addrs[0] = addrs.addrs[1] = address("127.0.0.1", hole.port);
	before = weft_now();
	OK(race(&addrs, SOON));
	ck_assert_int_ge(weft_now() - before, 100 * 1000000);
	FAILS(WEFT_ETIMEDOUT,
		race(&(struct resolved){ 2, { addrs.addrs[0], addrs.addrs[1] } }, MS(120)));
	ck_assert_str_eq(weft_error_detail(), "connect tcp://many:1: timed out");
	FAILS(WEFT_ETIMEDOUT, race(&addrs, WEFT_NOW));
	/* all alike: one reason; else each with its address */
	addrs.len = 2;
	addrs.addrs[0] = addrs.addrs[1] = address("127.0.0.1", dead);
	FAILS(WEFT_EREFUSED, race(&addrs, SOON));
	ck_assert_str_eq(weft_error_detail(), "connect tcp://many:1: connection refused");
	addrs.addrs[0] = address("255.255.255.255", 9);
	FAILS(WEFT_EREFUSED, race(&addrs, SOON));
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "255.255.255.255:9: "));
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), ": connection refused"));
	weft_listener_free(listener);
	black_hole_close(&hole);
	close(fd);
	return WEFT_OK;
}

START_TEST(dial_races_addresses_as_rfc_8305_says)
{
	run_fiber(race_fiber, NULL, false);
}
END_TEST

static weft_err race_memory_fiber(void *arg)
{
	struct resolved addrs = { 0 };
	uint16_t dead;
	int fd = dead_port(&dead);

	(void)arg;
	addrs.len = 3;
	for (int i = 0; i < 3; i++)
		addrs.addrs[i] = address("127.0.0.1", dead);
	FAILS(WEFT_EREFUSED, race(&addrs, SOON));
	wait_begun();
	T_EACH_FAILING_MALLOC(n) {
		weft_err err = race(&addrs, SOON);

		ck_assert(err == WEFT_EREFUSED || err == WEFT_ENOMEM);
		ck_assert(err == WEFT_EREFUSED || t_malloc_failed());
		OK(weft_sleep_ms(1));
	}
	close(fd);
	return WEFT_OK;
}

START_TEST(dial_races_survive_every_failing_malloc)
{
	run_fiber(race_memory_fiber, NULL, false);
}
END_TEST

static weft_err dial_memory_fiber(void *arg)
{
	weft_listener *listener = NULL;
	weft_conn *conn = NULL;
	char name[64];

	(void)arg;
	OK(weft_listen(&listener, "tcp://127.0.0.1:0", NULL, SOON));
	snprintf(name, sizeof(name), "tcp://localhost:%u", port_of(listener));
	FAILS(WEFT_EINVAL, weft_dial(&conn, "", NULL, SOON));
	wait_begun();
	T_EACH_FAILING_MALLOC(n) {
		weft_err err = weft_dial(&conn, name, NULL, SOON);

		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM || err == WEFT_ERESOLVE);
		ck_assert(err == WEFT_OK || t_malloc_failed());
		if (!err)
			weft_conn_free(conn);
		OK(weft_sleep_ms(1));
	}
	weft_listener_free(listener);
	return WEFT_OK;
}

START_TEST(dial_survives_every_failing_malloc)
{
	run_fiber(dial_memory_fiber, NULL, false);
}
END_TEST

/* ---- the simulated net ---- */

#define NODE_MS 1000000

static weft_err sim_listen(void *arg)
{
	weft_listener *listener = NULL;
	weft_conn *conn = NULL;

	want_ok(weft_listen(&listener, "tcp://0.0.0.0:80", NULL, SOON));
	(void)arg;
	while (!weft_listener_accept(listener, &conn, WEFT_FOREVER))
		weft_conn_free(conn);
	weft_listener_free(listener);
	return WEFT_OK;
}

static weft_err sim_race_fiber(void *arg)
{
	struct resolved addrs = { 0 };
	weft_fiber *fibers[2];
	weft_conn *conn = NULL;
	unsigned nodes[2];
	int64_t before;

	(void)arg;
	want_ok(weft_sim_node(&nodes[0], "silent"));
	want_ok(weft_sim_node(&nodes[1], "talking"));
	for (int i = 0; i < 2; i++)
		want_ok(weft_sim_spawn(nodes[i], &fibers[i], "listen", sim_listen, NULL));
	want_ok(weft_sleep_ms(10));
	weft_sim_partition(0, nodes[0]);
	addrs.len = 2;
	addrs.addrs[0] = address("10.0.0.2", 80);
	addrs.addrs[1] = address("10.0.0.3", 80);
	before = weft_now();
	want_ok(race(&addrs, SOON));
	/* the attempt's delay and a round trip of the net's */
	want(weft_now() - before >= 50 * NODE_MS);
	want(weft_now() - before < 80 * NODE_MS);
	want_ok(weft_dial(&conn, "tcp://talking:80", NULL, SOON));
	weft_conn_free(conn);
	want_err(WEFT_ETIMEDOUT, weft_dial(&conn, "tcp://silent:80", NULL, weft_after_ms(3000)));
	want_err(WEFT_ERESOLVE, weft_dial(&conn, "tcp://nobody:80", NULL, SOON));
	for (int i = 0; i < 2; i++)
		weft_fiber_detach(fibers[i]);
	return WEFT_OK;
}

START_TEST(dial_races_past_a_silent_node)
{
	run_fiber(sim_race_fiber, NULL, true);
}
END_TEST

/* All answers that are on their way come at once. */
static weft_err sim_jump(void *arg)
{
	(void)arg;
	want_ok(weft_sleep_ms(120));
	weft_sim_clock_jump(INT64_C(1000) * NODE_MS);
	return WEFT_OK;
}

/* All three answer, later than the next one's start: whoever wins, nothing is left. */
static weft_err sim_late_fiber(void *arg)
{
	static const char *const hosts[] = { "10.0.0.2", "10.0.0.3", "10.0.0.4" };
	struct resolved addrs = { .len = 3 };
	weft_fiber *fibers[3];
	unsigned node;

	(void)arg;
	for (int i = 0; i < 3; i++) {
		want_ok(weft_sim_node(&node, hosts[i] + 7)); /* any name */
		want_ok(weft_sim_spawn(node, &fibers[i], "listen", sim_listen, NULL));
		addrs.addrs[i] = address(hosts[i], 80);
	}
	want_ok(weft_sleep_ms(10));
	for (int i = 0; i < 5; i++) {
		weft_fiber *jump = spawn(sim_jump, NULL);

		want_ok(race(&addrs, SOON));
		join(jump);
	}
	for (int i = 0; i < 3; i++)
		weft_fiber_detach(fibers[i]);
	return WEFT_OK;
}

START_TEST(dial_races_of_late_answers_leave_no_socket)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	weft_sim_result result;

	options.latency_min_ns = 80 * NODE_MS;
	options.latency_max_ns = 90 * NODE_MS;
	for (int seed = both_seed_first(); seed < both_seed_end(); seed++) {
		options.seed = (uint64_t)seed;
		OK(both_run_seed(sim_late_fiber, NULL, &options, &result));
		ck_assert_uint_eq(result.sockets_left, 0);
		ck_assert_uint_eq(result.fibers_left, 0);
	}
}
END_TEST

/* ---- names ---- */

START_TEST(resolve_lets_families_take_turns)
{
	static const char *const in[] = { "::1", "::2", "::3", "1.1.1.1", "1.1.1.2" };
	static const char *const out[] = { "tcp://[::1]:0", "tcp://1.1.1.1:0", "tcp://[::2]:0",
		"tcp://1.1.1.2:0", "tcp://[::3]:0" };
	struct resolved list = { .len = 5 };
	char name[NET_NAME_SIZE];

	for (int i = 0; i < 5; i++)
		list.addrs[i] = address(in[i], 0);
	resolve_interleave(&list);
	ck_assert_uint_eq(list.len, 5);
	for (int i = 0; i < 5; i++) {
		net_addr_format(&list.addrs[i], name);
		ck_assert_str_eq(name, out[i]);
	}
	list.len = 0;
	resolve_interleave(&list);
	ck_assert_uint_eq(list.len, 0);
}
END_TEST

static weft_err resolve_abandoned_fiber(void *arg)
{
	weft_conn *conn = NULL;
	weft_err err;

	(void)arg;
	/* the pool may be done by then, or not: nothing of it may touch this stack */
	for (int i = 0; i < 50; i++) {
		err = weft_dial(&conn, "tcp://localhost:1", NULL, weft_after_ns(i * 2000));
		ck_assert(err == WEFT_ETIMEDOUT || err == WEFT_EREFUSED);
	}
	return WEFT_OK;
}

START_TEST(resolve_that_was_abandoned_keeps_its_own_memory)
{
	run_fiber(resolve_abandoned_fiber, NULL, false);
}
END_TEST

/* ---- a busy unix listener, and plain threads ---- */

struct busy {
	weft_listener *listener;
	weft_err err;
};

static weft_err busy_dial(void *arg)
{
	struct busy *b = arg;
	weft_conn *conn = NULL;

	b->err = weft_dial(&conn, weft_listener_name(b->listener), NULL, SOON);
	weft_conn_free(conn);
	return WEFT_OK;
}

static weft_err busy_fiber(void *arg)
{
	weft_net_options options = WEFT_NET_OPTIONS_DEFAULT;
	struct busy b = { NULL, WEFT_EPROTO };
	weft_conn *conns[2], *conn = NULL;
	weft_fiber *fiber = NULL;
	char name[64];

	(void)arg;
	options.backlog = 1;
	snprintf(name, sizeof(name), "unix:@weft-busy-%d", (int)getpid());
	OK(weft_listen(&b.listener, name, &options, SOON));
	OK(weft_dial(&conns[0], name, NULL, SOON));
	OK(weft_dial(&conns[1], name, NULL, SOON));
	FAILS(WEFT_ETIMEDOUT, weft_dial(&conn, name, NULL, MS(20)));
	FAILS(WEFT_ETIMEDOUT, weft_dial(&conn, name, NULL, WEFT_NOW));
	OK(weft_spawn(&fiber, "dial", busy_dial, &b));
	OK(weft_sleep_ms(3));
	OK(weft_listener_accept(b.listener, &conn, SOON));
	weft_conn_free(conn);
	join(fiber);
	OK(b.err);
	weft_conn_free(conns[0]);
	weft_conn_free(conns[1]);
	weft_listener_free(b.listener);
	return WEFT_OK;
}

START_TEST(dial_waits_for_a_unix_listener_whose_queue_is_full)
{
	run_fiber(busy_fiber, NULL, false);
}
END_TEST

static void *dial_thread(void *arg)
{
	(void)busy_dial(arg);
	return NULL;
}

static weft_err thread_fiber(void *arg)
{
	struct busy b = { NULL, WEFT_EPROTO };
	weft_conn *conn = NULL;
	pthread_t thread;

	(void)arg;
	OK(weft_listen(&b.listener, "tcp://127.0.0.1:0", NULL, SOON));
	ck_assert_int_eq(pthread_create(&thread, NULL, dial_thread, &b), 0);
	OK(weft_listener_accept(b.listener, &conn, SOON));
	thread_join(thread);
	OK(b.err);
	weft_conn_free(conn);
	weft_listener_free(b.listener);
	return WEFT_OK;
}

START_TEST(dial_works_from_a_plain_thread)
{
	run_fiber(thread_fiber, NULL, false);
}
END_TEST

static void dial_tests(TCase *tc)
{
	t_add(tc, dial_says_what_where_and_why);
	t_add(tc, dial_ends_by_deadline_and_cancel);
	t_add(tc, dial_races_addresses_as_rfc_8305_says);
	t_add(tc, dial_races_survive_every_failing_malloc);
	t_add(tc, dial_survives_every_failing_malloc);
	t_add(tc, dial_races_past_a_silent_node);
	t_add(tc, dial_races_of_late_answers_leave_no_socket);
	t_add(tc, resolve_lets_families_take_turns);
	t_add(tc, resolve_that_was_abandoned_keeps_its_own_memory);
	t_add(tc, dial_waits_for_a_unix_listener_whose_queue_is_full);
	t_add(tc, dial_works_from_a_plain_thread);
}

T_SUITE("dial", dial_tests)
