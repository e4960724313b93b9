/* SPDX-License-Identifier: MIT */
/* The server between threads, when memory runs out, and what it costs. */
#define _GNU_SOURCE
#include "http/server.h"
#include "rt/reclaim.h"
#include "support/httpd.h"
#include "support/threads.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#define THREADS 6

static void run(weft_fiber_fn fn, unsigned workers)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;
	int fds = t_fds_open();

	options.workers = workers;
	ck_assert_int_eq(weft_run(fn, NULL, &options), WEFT_OK);
	ck_assert_int_eq(t_fds_open(), fds);
}

/* ---- races ---- */

/* All at once. Atomics are what the library itself has: a test counts with it, too. */
struct racers {
	weft_http_server *server;
	weft_listener *listener;
	weft_err (*fn)(struct racers *r, int number);
	pthread_barrier_t barrier;
	struct counter next, won, lost;
};

static void *racer(void *arg)
{
	struct racers *r = arg;
	int number = (int)counter_add(&r->next, 1);
	weft_err err;

	pthread_barrier_wait(&r->barrier);
	err = r->fn(r, number);
	(void)counter_add(err ? &r->lost : &r->won, 1);
	return NULL;
}

static void race(struct racers *r)
{
	pthread_t threads[THREADS];

	pthread_barrier_init(&r->barrier, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, racer, r), 0);
	for (int i = 0; i < THREADS; i++)
		thread_join(threads[i]);
	pthread_barrier_destroy(&r->barrier);
}

static weft_err starts(struct racers *r, int number)
{
	weft_err err = weft_http_server_start(r->server, r->listener);

	(void)number;
	want(err == WEFT_OK || err == WEFT_EDUPLICATE);
	want(weft_http_server_state_get(r->server) == WEFT_HTTP_SERVER_RUNNING);
	return err;
}

static weft_err start_race(void *arg)
{
	(void)arg;
	for (int round = 0; round < 30; round++) {
		struct racers r = { .fn = starts };
		weft_conn *conn;

		want_ok(weft_listen(&r.listener, "tcp://127.0.0.1:0", NULL, WEFT_FOREVER));
		want_ok(weft_http_server_create(&r.server, NULL));
		want_ok(weft_http_server_route(r.server, "GET", "/", reply_hello, NULL));
		race(&r);
		want(counter_get(&r.won) == 1 && counter_get(&r.lost) == THREADS - 1);
		want_ok(weft_dial(&conn, weft_listener_name(r.listener), NULL, WEFT_FOREVER));
		ask(conn, GET, 200, "hello\n");
		weft_conn_free(conn);
		weft_http_server_free(r.server);
		weft_listener_free(r.listener);
	}
	return WEFT_OK;
}

START_TEST(a_server_is_started_once_whoever_tries)
{
	run(start_race, 2);
}
END_TEST

static weft_err routes(struct racers *r, int number)
{
	char pattern[32];
	weft_err err;

	snprintf(pattern, sizeof(pattern), "/own/%d", number);
	want_ok(weft_http_server_route(r->server, "GET", pattern, reply_hello, NULL));
	err = weft_http_server_route(r->server, "GET", "/same/{x}", reply_hello, NULL);
	want(err == WEFT_OK || err == WEFT_EDUPLICATE);
	return err;
}

static weft_err route_race(void *arg)
{
	weft_http_router *router;

	(void)arg;
	for (int round = 0; round < 30; round++) {
		struct racers r = { .fn = routes };

		want_ok(weft_http_server_create(&r.server, NULL));
		race(&r);
		want(counter_get(&r.won) == 1 && counter_get(&r.lost) == THREADS - 1);
		router = weft_http_server_router(r.server);
		want(weft_http_router_count(router) == THREADS + 1);
		weft_http_router_unref(router);
		weft_http_server_free(r.server);
	}
	return WEFT_OK;
}

START_TEST(routes_added_at_once_are_all_there_and_each_once)
{
	run(route_race, 2);
}
END_TEST

static weft_err starts_or_stops(struct racers *r, int number)
{
	weft_err err = WEFT_OK;

	if (number % 2)
		weft_http_server_stop(r->server);
	else
		err = weft_http_server_start(r->server, r->listener);
	want(err == WEFT_OK || err == WEFT_EDUPLICATE || err == WEFT_ECLOSED);
	return err;
}

static weft_err stop_race(void *arg)
{
	(void)arg;
	for (int round = 0; round < 50; round++) {
		struct racers r = { .fn = starts_or_stops };

		want_ok(weft_listen(&r.listener, "tcp://127.0.0.1:0", NULL, WEFT_FOREVER));
		want_ok(weft_http_server_create(&r.server, NULL));
		race(&r);
		want_ok(weft_http_server_wait(r.server, WEFT_FOREVER));
		want(weft_http_server_state_get(r.server) == WEFT_HTTP_SERVER_STOPPED);
		/* nobody uses it any more */
		weft_listener_free(r.listener);
		weft_http_server_free(r.server);
	}
	return WEFT_OK;
}

START_TEST(starts_and_stops_at_once_end_in_a_stop)
{
	run(stop_race, 2);
}
END_TEST

/* ---- the limit, exactly ---- */

#define LIMIT 5
#define CLIENTS 12

struct crowd {
	struct httpd h;
	struct counter inside, most, answered, refused;
};

static weft_err count_inside(weft_http_exchange *x, void *arg)
{
	struct crowd *c = arg;
	uint64_t now = counter_add(&c->inside, 1) + 1;

	want(now <= LIMIT);
	if (now > counter_get(&c->most))
		counter_set(&c->most, now);
	(void)weft_yield();
	(void)weft_yield();
	(void)counter_sub(&c->inside, 1);
	return reply_hello(x, NULL);
}

static weft_err comes_and_goes(void *arg)
{
	struct crowd *c = arg;

	for (int i = 0; i < 30; i++) {
		weft_conn *conn = httpd_connect(&c->h);
		struct answer answer;
		weft_err err;

		/* a refusal may be there first, and the connection be gone */
		err = weft_conn_write(conn, GET, strlen(GET), NULL, WEFT_FOREVER);
		want(err == WEFT_OK || err == WEFT_ERESET);
		hear_answer(conn, &answer);
		want(answer.status == 200 || answer.status == 503);
		(void)counter_add(answer.status == 200 ? &c->answered : &c->refused, 1);
		weft_conn_free(conn);
	}
	return WEFT_OK;
}

static weft_err crowd_main(void *arg)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	struct crowd c = { .inside = { 0 } };
	weft_scope *clients = NULL;
	weft_http_server_stats stats;

	(void)arg;
	options.connections_max = LIMIT;
	httpd_open(&c.h, &options, true);
	httpd_route(&c.h, "GET", "/", count_inside, &c);
	want_ok(weft_scope_create(&clients));
	for (unsigned i = 0; i < CLIENTS; i++)
		want_ok(weft_scope_spawn_on(
			clients, i % weft_worker_count(), "client", comes_and_goes, &c));
	want_ok(weft_scope_wait(clients, WEFT_FOREVER));
	weft_scope_free(clients);
	weft_http_server_stats_get(c.h.server, &stats);
	want(counter_get(&c.answered) + counter_get(&c.refused) == CLIENTS * 30);
	want(stats.connections_refused == counter_get(&c.refused));
	want(stats.connections == counter_get(&c.answered));
	httpd_close(&c.h);
	return WEFT_OK;
}

START_TEST(no_more_connections_than_the_limit_whoever_comes)
{
	run(crowd_main, 3);
}
END_TEST

/* ---- where an exchange may be used ---- */

struct elsewhere {
	weft_http_exchange *x;
	weft_err reply, begin, read;
};

static weft_err uses_elsewhere(void *arg)
{
	struct elsewhere *e = arg;
	char c;
	size_t got;

	e->reply = weft_http_exchange_reply(e->x, 200, NULL, NULL, 0, WEFT_FOREVER);
	e->begin = weft_http_exchange_begin(e->x, 200, NULL, WEFT_FOREVER);
	e->read = weft_http_exchange_read(e->x, &c, 1, &got, WEFT_FOREVER);
	return WEFT_OK;
}

static weft_err asks_elsewhere(weft_http_exchange *x, void *arg)
{
	struct elsewhere e = { x, WEFT_OK, WEFT_OK, WEFT_OK };
	weft_fiber *fiber = NULL;
	weft_err result;

	(void)arg;
	want_ok(weft_spawn_on(!weft_worker_self(), &fiber, "elsewhere", uses_elsewhere, &e));
	want_ok(weft_fiber_join(fiber, &result, WEFT_FOREVER));
	want(e.reply == WEFT_EINVAL && e.begin == WEFT_EINVAL && e.read == WEFT_EINVAL);
	/* on the same worker it may */
	want_ok(weft_spawn(&fiber, "here", uses_elsewhere, &e));
	want_ok(weft_fiber_join(fiber, &result, WEFT_FOREVER));
	want(e.reply == WEFT_OK && e.begin == WEFT_EINVAL && e.read == WEFT_ECLOSED);
	return WEFT_OK;
}

static weft_err elsewhere_main(void *arg)
{
	struct httpd h;
	weft_conn *conn;

	(void)arg;
	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", asks_elsewhere, NULL);
	conn = httpd_connect(&h);
	ask(conn, GET, 200, "");
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

START_TEST(an_exchange_is_used_on_its_worker)
{
	run(elsewhere_main, 2);
}
END_TEST

/* ---- the scope above ---- */

static weft_err serves_for_ever(void *arg)
{
	weft_listener **listener = arg;
	weft_http_server *server = NULL;
	weft_err err;

	want_ok(weft_listen(listener, "tcp://127.0.0.1:0", NULL, WEFT_FOREVER));
	want_ok(weft_http_server_create(&server, NULL));
	want_ok(weft_http_server_route(server, "GET", "/", reply_hello, NULL));
	err = weft_http_server_serve(server, *listener);
	want(err == WEFT_ECANCELED || err == WEFT_OK);
	weft_http_server_free(server);
	weft_listener_free(*listener);
	return err;
}

static weft_err above_main(void *arg)
{
	weft_listener *listener = NULL;
	weft_scope *scope = NULL;
	weft_conn *conn = NULL;
	char c;
	size_t got;
	weft_err err;

	(void)arg;
	want_ok(weft_scope_create(&scope));
	want_ok(weft_scope_spawn(scope, "serves", serves_for_ever, &listener));
	while (!listener)
		(void)weft_yield();
	want_ok(weft_dial(&conn, weft_listener_name(listener), NULL, WEFT_FOREVER));
	ask(conn, GET, 200, "hello\n");
	weft_scope_cancel(scope);
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	err = weft_conn_read(conn, &c, 1, &got, WEFT_FOREVER);
	want(err == WEFT_ECLOSED || err == WEFT_ERESET);
	weft_conn_free(conn);
	return WEFT_OK;
}

START_TEST(a_server_ends_with_the_scope_that_it_was_made_in)
{
	run(above_main, 1);
}
END_TEST

/* ---- a table swapped under fire ---- */

static weft_err swaps(void *arg)
{
	struct httpd *h = arg;
	char pattern[32];

	for (int i = 0; i < 300; i++) {
		snprintf(pattern, sizeof(pattern), "/added/%d", i);
		want_ok(weft_http_server_route(h->server, "GET", pattern, reply_hello, NULL));
		(void)weft_yield();
	}
	return WEFT_OK;
}

static weft_err asks(void *arg)
{
	struct httpd *h = arg;
	weft_conn *conn = httpd_connect(h);

	for (int i = 0; i < 200; i++)
		ask(conn, GET, 200, "hello\n");
	weft_conn_free(conn);
	return WEFT_OK;
}

static weft_err swap_main(void *arg)
{
	weft_scope *scope = NULL;
	struct httpd h;

	(void)arg;
	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", reply_hello, NULL);
	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < 6; i++)
		want_ok(weft_scope_spawn_on(
			scope, i % weft_worker_count(), "works", i ? asks : swaps, &h));
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	httpd_close(&h);
	return WEFT_OK;
}

START_TEST(routes_are_added_while_requests_run)
{
	run(swap_main, 3);
}
END_TEST

/* ---- memory that runs out ---- */

static weft_err create_failing(void *arg)
{
	static const char *const list[] = { "a", "b", NULL };
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;

	(void)arg;
	options.hosts = options.origins = list;
	options.server_field = "weft";
	T_EACH_FAILING_MALLOC(n) {
		weft_http_server *server = NULL;
		weft_err err = weft_http_server_create(&server, &options);

		want(err == WEFT_OK || err == WEFT_ENOMEM);
		want(err == WEFT_OK || t_malloc_failed());
		want(!err || !server);
		weft_http_server_free(server);
		reclaim_synchronize(); /* of the cell's value */
	}
	return WEFT_OK;
}

START_TEST(a_server_is_made_whole_or_not_at_all)
{
	run(create_failing, 1);
}
END_TEST

/* Who was told that it has started is served. */
static void start_once_and_ask(weft_listener *listener)
{
	weft_http_server *server = NULL;
	weft_conn *conn = NULL;
	weft_err err = weft_http_server_create(&server, NULL);

	if (!err)
		err = weft_http_server_start(server, listener);
	want(err == WEFT_OK || err == WEFT_ENOMEM);
	if (server && err)
		want(weft_http_server_state_get(server) == WEFT_HTTP_SERVER_CREATED);
	for (int i = 0; i < 10; i++) /* what it has spawned runs out of memory, perhaps */
		(void)weft_yield();
	if (!err && t_malloc_failed()) {
		want_ok(weft_dial(&conn, weft_listener_name(listener), NULL, WEFT_FOREVER));
		ask(conn, GET, 404, NULL);
	}
	weft_conn_free(conn);
	weft_http_server_free(server);
}

static weft_err start_failing(void *arg)
{
	bool has_failed = true;

	(void)arg;
	for (uint64_t n = 1; has_failed; n++) {
		weft_listener *listener = NULL;
		weft_err err;

		t_malloc_fail_at(n);
		err = weft_listen(&listener, "tcp://127.0.0.1:0", NULL, WEFT_FOREVER);
		want(err == WEFT_OK || err == WEFT_ENOMEM);
		if (!err)
			start_once_and_ask(listener);
		weft_listener_free(listener);
		has_failed = t_malloc_failed();
		t_malloc_fail_off();
		want(n < 1000);
	}
	return WEFT_OK;
}

START_TEST(a_server_that_has_started_accepts)
{
	run(start_failing, 1);
}
END_TEST

static weft_err answer_all(weft_http_exchange *x, void *arg)
{
	const char *data;
	size_t len;
	weft_err err = weft_http_exchange_read_all(x, &data, &len, WEFT_FOREVER);

	(void)arg;
	if (!err &&
		(!weft_http_exchange_fields(x) || !weft_http_exchange_param(x, "p") ||
			!weft_http_exchange_trailers(x)))
		err = WEFT_ENOMEM;
	return err ? err : weft_http_exchange_reply(x, 200, NULL, data, len, WEFT_FOREVER);
}

static weft_err streams_events(weft_http_exchange *x, void *arg)
{
	const weft_sse_event event = { .data = "a\nb", .data_len = 3 };
	weft_err err = weft_http_exchange_sse_begin(x, NULL, WEFT_FOREVER);

	(void)arg;
	return err ? err : weft_http_exchange_sse_send(x, &event, WEFT_FOREVER);
}

/* Whatever fails, the client gets a whole response, an error, or the connection's end. */
static void exchange_failing(const char *request)
{
	T_EACH_FAILING_MALLOC(n) {
		char got[1024];
		size_t len = 0, more;
		weft_conn *ends[2] = { NULL, NULL };
		weft_http_server *server = NULL;
		weft_err err = weft_http_server_create(&server, NULL);

		if (!err)
			err = weft_http_server_route(server, "POST", "/{p}/x", answer_all, NULL);
		if (!err)
			err = weft_http_server_route(
				server, "GET", "/events", streams_events, NULL);
		if (!err)
			err = weft_conn_pair(ends, 0);
		if (!err)
			err = weft_conn_write(
				ends[0], request, strlen(request), NULL, WEFT_FOREVER);
		if (!err)
			err = weft_conn_shutdown(ends[0]);
		if (!err)
			err = weft_http_serve_conn_own(server, ends[1]);
		else
			weft_conn_free(ends[1]);
		want(err == WEFT_OK || err == WEFT_EPROTO || t_malloc_failed());
		while (!err &&
			weft_conn_read(ends[0], got + len, sizeof(got) - 1 - len, &more,
				WEFT_FOREVER) == WEFT_OK)
			len += more;
		got[len] = '\0';
		want(len == 0 || strncmp(got, "HTTP/1.1 ", 9) == 0);
		weft_conn_free(ends[0]);
		weft_http_server_free(server);
		reclaim_synchronize(); /* of the cell's value */
	}
}

static weft_err serve_failing(void *arg)
{
	(void)arg;
	exchange_failing("POST /q%20r/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
			 "3\r\nabc\r\n0\r\nA: b\r\n\r\n");
	exchange_failing("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
	exchange_failing("GET /none?q HTTP/1.1\r\nHost: x\r\n\r\n");
	exchange_failing("bad\r\n\r\n");
	return WEFT_OK;
}

START_TEST(exchanges_end_in_order_when_memory_runs_out)
{
	run(serve_failing, 1);
}
END_TEST

/* ---- what it costs ---- */

static weft_err cost_main(void *arg)
{
	weft_http_server_stats before, after;
	uint64_t allocations;
	struct httpd h;
	weft_conn *conn;

	(void)arg;
	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", reply_hello, NULL);
	conn = httpd_connect(&h);
	for (int i = 0; i < 10; i++)
		ask(conn, GET, 200, "hello\n");
	weft_http_server_stats_get(h.server, &before);
	allocations = t_malloc_calls();
	for (int i = 0; i < 100; i++)
		ask(conn, GET, 200, "hello\n");
	want(t_malloc_calls() == allocations);
	weft_http_server_stats_get(h.server, &after);
	want(after.requests - before.requests == 100);
	/* the last read may wait already, or not yet */
	want(after.reads - before.reads <= 101 && after.reads - before.reads >= 99);
	want(after.writes - before.writes == 100);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

START_TEST(a_small_get_costs_a_read_a_write_and_no_allocation)
{
	run(cost_main, 1);
}
END_TEST

static weft_err idle_main(void *arg)
{
	static char request[3000];
	struct http_shard *shard;
	weft_buf_pool_stats pool;
	weft_http_exchange *x;
	struct httpd h;
	weft_conn *conn;

	(void)arg;
	want(sizeof(weft_http_exchange) <= 2048);
	httpd_open(&h, NULL, false);
	httpd_route(&h, "GET", "/", reply_hello, NULL);
	conn = httpd_connect(&h);
	ask(conn, GET, 200, "hello\n");
	(void)weft_yield();
	shard = &h.server->shards[0];
	x = container_of(shard->conns.next, weft_http_exchange, link);
	want(x->phase == HTTP_IDLE);
	want(!x->hot && !x->in.block.block && !x->out.block.block);
	/* a large one makes it take a block, which goes back when it rests */
	snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: x\r\nA: %02500d\r\n\r\n", 0);
	ask(conn, request, 200, NULL);
	(void)weft_yield();
	want(x->in.block.block);
	want_ok(weft_sleep_ns(2 * HTTP_REST_NS));
	want(x->phase == HTTP_IDLE && !x->in.block.block);
	weft_buf_pool_stats_get(h.server->pool, &pool);
	want(pool.live_blocks == 2); /* the shard's spares */
	ask(conn, request, 200, NULL);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

START_TEST(an_idle_connection_has_no_buffer_but_its_own)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	weft_sim_result result;

	ck_assert_int_eq(both_run_seed(idle_main, NULL, &options, &result), WEFT_OK);
}
END_TEST

/* ---- the access log's lines ---- */

START_TEST(access_lines_are_as_others_write_them_and_can_not_be_forged)
{
	weft_http_access a = { .peer = "tcp://127.0.0.1:5",
		.method = "GET",
		.target = "/a\"b",
		.host = "h",
		.referer = "",
		.agent = "x\r\n\x1b[2J\\\x7f",
		.version = 11,
		.status = 200,
		.bytes_in = 1,
		.bytes_out = 22,
		.time_s = 784111777,
		.duration_ns = 1234567890,
		.err_text = "" };
	char line[512];
	size_t len;

	len = weft_http_access_text(&a, line, sizeof(line));
	ck_assert_str_eq(line,
		"127.0.0.1:5 - - [06/Nov/1994:08:49:37 +0000] \"GET /a\\\"b HTTP/1.1\" 200 22 \"-\" "
		"\"x\\x0d\\x0a\\x1b[2J\\\\\\x7f\" 1.234567");
	ck_assert_uint_eq(len, strlen(line));
	ck_assert_uint_eq(weft_http_access_text(&a, line, 10), len);
	ck_assert_str_eq(line, "127.0.0.1");
	ck_assert_uint_eq(weft_http_access_text(&a, NULL, 0), len);
	a.err = WEFT_ERESET;
	a.err_text = "gone \"x\"";
	len = weft_http_access_json(&a, line, sizeof(line));
	ck_assert_uint_eq(len, strlen(line));
	ck_assert_str_eq(line,
		"{\"time_s\":784111777,\"peer\":\"tcp://127.0.0.1:5\",\"method\":\"GET\","
		"\"target\":\"/a\\\"b\",\"host\":\"h\",\"referer\":\"\","
		"\"agent\":\"x\\u000d\\u000a\\u001b[2J\\\\\\u007f\",\"version\":11,\"status\":200,"
		"\"bytes_in\":1,\"bytes_out\":22,\"err\":\"WEFT_ERESET\","
		"\"err_text\":\"gone \\\"x\\\"\",\"duration_ns\":1234567890}");
	(void)weft_http_access_text(&a, line, sizeof(line));
	ck_assert_ptr_nonnull(strstr(line, " WEFT_ERESET"));
}
END_TEST

static char logged[3000];

static void note_log(void *user, weft_log_level level, const char *module, const char *text)
{
	(void)user;
	if (level == WEFT_LOG_INFO && strcmp(module, "http") == 0)
		snprintf(logged, sizeof(logged), "%s", text);
}

START_TEST(access_lines_go_to_the_log)
{
	static char target[10000];
	weft_http_access a = { .peer = "p",
		.method = "GET",
		.target = "/",
		.host = "",
		.referer = "",
		.agent = "",
		.err_text = "" };

	weft_http_access_log_text(NULL, &a);
	ck_assert_str_eq(logged, "");
	weft_log_set(note_log, NULL, WEFT_LOG_INFO);
	weft_http_access_log_text(NULL, &a);
	ck_assert_ptr_nonnull(strstr(logged, "p - - ["));
	weft_http_access_log_json(NULL, &a);
	ck_assert_ptr_nonnull(strstr(logged, "{\"time_s\":0"));
	/* what is too long for a line is cut within its strings */
	memset(target, '"', sizeof(target) - 1);
	a.target = target;
	weft_http_access_log_json(NULL, &a);
	ck_assert_uint_lt(strlen(logged), 2000);
	ck_assert_ptr_nonnull(strstr(logged, "\\\"...\",\"host\":\"\""));
	ck_assert_int_eq(logged[strlen(logged) - 1], '}');
	weft_log_set(NULL, NULL, WEFT_LOG_ERROR);
}
END_TEST

static void http_server_tests(TCase *tc)
{
	t_add(tc, a_server_is_started_once_whoever_tries);
	t_add(tc, routes_added_at_once_are_all_there_and_each_once);
	t_add(tc, starts_and_stops_at_once_end_in_a_stop);
	t_add(tc, no_more_connections_than_the_limit_whoever_comes);
	t_add(tc, an_exchange_is_used_on_its_worker);
	t_add(tc, a_server_ends_with_the_scope_that_it_was_made_in);
	t_add(tc, routes_are_added_while_requests_run);
	t_add(tc, a_server_is_made_whole_or_not_at_all);
	t_add(tc, a_server_that_has_started_accepts);
	t_add(tc, exchanges_end_in_order_when_memory_runs_out);
	t_add(tc, a_small_get_costs_a_read_a_write_and_no_allocation);
	t_add(tc, an_idle_connection_has_no_buffer_but_its_own);
	t_add(tc, access_lines_are_as_others_write_them_and_can_not_be_forged);
	t_add(tc, access_lines_go_to_the_log);
}
T_SUITE("http_server", http_server_tests)
