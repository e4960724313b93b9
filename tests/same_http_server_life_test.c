/* SPDX-License-Identifier: MIT */
/* A server's beginning and end, its limit of connections, its table of routes while requests run,
 * event streams. */
#include "base/counter.h"
#include "support/httpd.h"
#include "sync/word.h"

#include <stdio.h>
#include <string.h>

#define GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

/* ---- states ---- */

BOTH_TEST(a_server_is_created_runs_drains_and_stops)
{
	weft_http_server *server = NULL;
	weft_listener *listener = NULL;
	weft_conn *ends[2];

	want_ok(weft_http_server_create(&server, NULL));
	want(weft_http_server_state_get(server) == WEFT_HTTP_SERVER_CREATED);
	want_ok(weft_listen(&listener, "tcp://127.0.0.1:0", NULL, WEFT_FOREVER));
	want_ok(weft_http_server_start(server, listener));
	want(weft_http_server_state_get(server) == WEFT_HTTP_SERVER_RUNNING);
	want_err(WEFT_EDUPLICATE, weft_http_server_start(server, listener));
	want_err(WEFT_ETIMEDOUT, weft_http_server_wait(server, WEFT_NOW));
	weft_http_server_stop(server);
	weft_http_server_stop(server);
	want_ok(weft_http_server_wait(server, WEFT_FOREVER));
	want_ok(weft_http_server_wait(server, WEFT_FOREVER));
	want(weft_http_server_state_get(server) == WEFT_HTTP_SERVER_STOPPED);
	weft_http_server_stop(server);
	want_err(WEFT_ECLOSED, weft_http_server_serve(server, listener));
	want_ok(weft_conn_pair(ends, 0));
	want_err(WEFT_ECLOSED, weft_http_serve_conn_own(server, ends[1]));
	hear_end(ends[0]);
	weft_conn_free(ends[0]);
	weft_http_server_free(server);
	weft_listener_free(listener);
	return WEFT_OK;
}

BOTH_TEST(a_server_may_be_stopped_before_it_starts_or_freed_at_any_time)
{
	weft_http_server *server = NULL;
	weft_listener *listener = NULL;
	weft_conn *conn = NULL;
	weft_err err;
	char c[16];
	size_t got;

	want_ok(weft_listen(&listener, "tcp://127.0.0.1:0", NULL, WEFT_FOREVER));
	want_ok(weft_http_server_create(&server, NULL));
	weft_http_server_free(server);
	want_ok(weft_http_server_create(&server, NULL));
	weft_http_server_stop(server);
	want(weft_http_server_state_get(server) == WEFT_HTTP_SERVER_STOPPED);
	want_ok(weft_http_server_wait(server, WEFT_FOREVER));
	want_err(WEFT_ECLOSED, weft_http_server_start(server, listener));
	weft_http_server_free(server);
	want_ok(weft_http_server_create(&server, NULL));
	want_ok(weft_http_server_start(server, listener));
	want_ok(weft_dial(&conn, weft_listener_name(listener), NULL, WEFT_FOREVER));
	both_pause();
	weft_http_server_free(server);
	err = weft_conn_read(conn, c, sizeof(c), &got, WEFT_FOREVER);
	want(err == WEFT_ECLOSED || err == WEFT_ERESET);
	weft_conn_free(conn);
	weft_listener_free(listener);
	weft_http_server_free(NULL);
	return WEFT_OK;
}

BOTH_TEST(options_out_of_range_are_named)
{
	static const struct {
		size_t at;
		const char *name;
	} times[] = {
		{ offsetof(weft_http_server_options, header_timeout_ns), "header_timeout_ns" },
		{ offsetof(weft_http_server_options, idle_timeout_ns), "idle_timeout_ns" },
		{ offsetof(weft_http_server_options, write_timeout_ns), "write_timeout_ns" },
		{ offsetof(weft_http_server_options, body_grace_ns), "body_grace_ns" },
	};
	weft_http_server *server = NULL;
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT, bad;

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		bad = options;
		*(int64_t *)(void *)((char *)&bad + times[i].at) = -1;
		want_err(WEFT_EINVAL, weft_http_server_create(&server, &bad));
		want(strstr(weft_error_detail(), times[i].name));
	}
	bad = options;
	bad.header_size_max = 1023;
	want_err(WEFT_EINVAL, weft_http_server_create(&server, &bad));
	want(strstr(weft_error_detail(), "header_size_max 1023 is not in 1024..1048576"));
	bad = options;
	bad.header_count_max = 1001;
	want_err(WEFT_EINVAL, weft_http_server_create(&server, &bad));
	want(strstr(weft_error_detail(), "header_count_max"));
	bad = options;
	bad.connections_max = (size_t)1 << 28;
	want_err(WEFT_EINVAL, weft_http_server_create(&server, &bad));
	want(strstr(weft_error_detail(), "connections_max"));
	bad = options;
	bad.server_field = "a\r\nb: c";
	want_err(WEFT_EINVAL, weft_http_server_create(&server, &bad));
	want(strstr(weft_error_detail(), "server_field"));
	want(!server);
	return WEFT_OK;
}

static weft_err fails_later(void *arg)
{
	(void)arg;
	both_pause();
	return WEFT_EIO;
}

static weft_err leaves_a_fiber(weft_http_exchange *x, void *arg)
{
	want_ok(weft_spawn(NULL, "left", fails_later, NULL));
	return reply_hello(x, arg);
}

/* It ends the server: which is not to be half of one, that runs and lets nobody in. */
BOTH_TEST(a_fiber_that_a_handler_left_and_that_fails_stops_the_server)
{
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", leaves_a_fiber, NULL);
	conn = httpd_connect(&h);
	say(conn, GET);
	want_ok(weft_http_server_wait(h.server, WEFT_FOREVER));
	want(weft_http_server_state_get(h.server) == WEFT_HTTP_SERVER_STOPPED);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- connections ---- */

BOTH_TEST(connections_over_the_limit_get_503)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	weft_http_server_stats stats;
	struct answer answer;
	struct httpd h;
	weft_conn *conns[3];

	options.connections_max = 2;
	httpd_open(&h, &options, true);
	httpd_route(&h, "GET", "/", reply_hello, NULL);
	for (int i = 0; i < 2; i++) {
		conns[i] = httpd_connect(&h);
		ask(conns[i], GET, 200, NULL);
	}
	conns[2] = httpd_connect(&h);
	hear_answer(conns[2], &answer);
	want(answer.status == 503 && has_line(&answer, "Retry-After: 1"));
	hear_end(conns[2]);
	weft_conn_free(conns[2]);
	ask(conns[0], GET, 200, NULL);
	weft_http_server_stats_get(h.server, &stats);
	want(stats.connections_now == 2 && stats.connections_refused == 1);
	weft_conn_free(conns[0]);
	do {
		(void)weft_yield();
		weft_http_server_stats_get(h.server, &stats);
	} while (stats.connections_now == 2);
	conns[0] = httpd_connect(&h);
	ask(conns[0], GET, 200, NULL);
	weft_conn_free(conns[0]);
	weft_conn_free(conns[1]);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- stopping with many under way ---- */

struct busy {
	struct httpd h;
	struct counter answers;
};

static weft_err pauses(weft_http_exchange *x, void *arg)
{
	both_pause();
	both_pause();
	return reply_hello(x, arg);
}

/* Until there is no more: each response is whole. */
static weft_err asks_on(void *arg)
{
	struct busy *b = arg;
	weft_conn *conn = httpd_connect(&b->h);
	struct answer answer;

	for (;;) {
		char c[1];
		size_t got;
		weft_err err = weft_conn_write(conn, GET, strlen(GET), NULL, WEFT_FOREVER);

		if (!err)
			err = weft_conn_read(conn, c, 1, &got, WEFT_FOREVER);
		if (err) {
			want(err == WEFT_ECLOSED || err == WEFT_ERESET);
			break;
		}
		hear_rest(conn, c[0], &answer);
		want(answer.status == 200 && strcmp(answer.body, "hello\n") == 0);
		(void)counter_add(&b->answers, 1);
		if (has_line(&answer, "Connection: close"))
			break;
	}
	weft_conn_free(conn);
	return WEFT_OK;
}

BOTH_TEST(a_stop_cuts_no_response)
{
	enum { CLIENTS = 24 };
	struct busy b = { .answers = { 0 } };
	weft_scope *clients = NULL;

	httpd_open(&b.h, NULL, true);
	httpd_route(&b.h, "GET", "/", pauses, NULL);
	want_ok(weft_scope_create(&clients));
	for (unsigned i = 0; i < CLIENTS; i++)
		want_ok(weft_scope_spawn_on(
			clients, i % weft_worker_count(), "client", asks_on, &b));
	while (counter_get(&b.answers) < (uint64_t)4 * CLIENTS)
		both_pause();
	weft_http_server_stop(b.h.server);
	want_ok(weft_scope_wait(clients, WEFT_FOREVER));
	weft_scope_free(clients);
	httpd_close(&b.h);
	return WEFT_OK;
}

/* A transport whose read ends with a request at the moment that it is closed. */
struct crossing {
	bool closed, read;
};

static weft_err crossing_readv(
	void *user, const struct iovec *iov, unsigned iov_count, size_t *got, weft_deadline until)
{
	struct crossing *c = user;

	(void)iov_count;
	(void)until;
	if (c->read)
		return WEFT_ECLOSED;
	while (!c->closed)
		(void)weft_yield();
	c->read = true;
	memcpy(iov[0].iov_base, GET, strlen(GET));
	*got = strlen(GET);
	return WEFT_OK;
}

static weft_err crossing_writev(void *user, const struct iovec *iov, unsigned iov_count,
	size_t *written, weft_deadline until)
{
	(void)user;
	(void)iov;
	(void)iov_count;
	(void)until;
	*written = 0;
	return WEFT_ECLOSED;
}

/* It may wait, as each function of a conn's; its reader does not wait for it. */
static void crossing_close(void *user)
{
	((struct crossing *)user)->closed = true;
	for (int i = 0; i < 20; i++)
		(void)weft_yield();
}

static void crossing_free(void *user)
{
	(void)user;
}

static weft_err counts_calls(weft_http_exchange *x, void *arg)
{
	++*(int *)arg;
	return reply_hello(x, NULL);
}

static weft_err serve_crossing(void *arg)
{
	static const weft_conn_ops ops = {
		.readv = crossing_readv,
		.writev = crossing_writev,
		.close = crossing_close,
		.free = crossing_free,
	};
	struct httpd *h = arg;
	struct crossing c = { false, false };
	weft_conn *conn = NULL;

	want_ok(weft_conn_create(&conn, &ops, &c, NULL, NULL));
	want_ok(weft_http_serve_conn_own(h->server, conn));
	want(c.closed && c.read);
	return WEFT_OK;
}

/* It could not be answered any more: so it is not begun. */
BOTH_TEST(a_request_that_crosses_the_stop_is_not_begun)
{
	weft_http_server_stats stats;
	struct httpd h;

	int calls = 0;

	httpd_open(&h, NULL, false);
	httpd_route(&h, "GET", "/", counts_calls, &calls);
	for (int i = 0; i < 3; i++)
		want_ok(weft_scope_spawn(h.scope, "served", serve_crossing, &h));
	do {
		(void)weft_yield();
		weft_http_server_stats_get(h.server, &stats);
	} while (stats.connections < 3);
	both_pause();
	httpd_close(&h);
	want(calls == 0);
	return WEFT_OK;
}

/* ---- routes while requests run ---- */

struct swapping {
	weft_chan *arrived, *go;
};

static weft_err old_handler(weft_http_exchange *x, void *arg)
{
	struct swapping *s = arg;
	int message = 0;

	want_ok(weft_chan_send(s->arrived, &message, WEFT_FOREVER));
	want_ok(weft_chan_recv(s->go, &message, WEFT_FOREVER));
	/* the table that it came by is gone from the server; its parameters are not */
	want(strcmp(weft_http_exchange_param(x, "name"), "a") == 0);
	return weft_http_exchange_reply_text(x, 200, "old", WEFT_FOREVER);
}

static weft_err new_handler(weft_http_exchange *x, void *arg)
{
	(void)arg;
	return weft_http_exchange_reply_text(x, 200, "new", WEFT_FOREVER);
}

BOTH_TEST(a_request_keeps_the_table_that_it_began_with)
{
	weft_http_router *router = NULL, *now;
	struct swapping s;
	struct httpd h;
	weft_conn *a, *b;
	int message = 0;

	want_ok(weft_chan_create(&s.arrived, sizeof(int), 1, NULL));
	want_ok(weft_chan_create(&s.go, sizeof(int), 1, NULL));
	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/{name}", old_handler, &s);
	want_err(WEFT_EDUPLICATE,
		weft_http_server_route(h.server, "GET", "/{other}", new_handler, NULL));
	a = httpd_connect(&h);
	b = httpd_connect(&h);
	say(a, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	want_ok(weft_chan_recv(s.arrived, &message, WEFT_FOREVER));
	want_ok(weft_http_router_create(&router));
	want_ok(weft_http_router_add(router, "GET", "/{name}", new_handler, NULL));
	want_ok(weft_http_server_router_set(h.server, router));
	want_err(WEFT_EINVAL, weft_http_router_add(router, "GET", "/x", new_handler, NULL));
	now = weft_http_server_router(h.server);
	want(now == router);
	weft_http_router_unref(now);
	weft_http_router_unref(router);
	for (int i = 0; i < 3; i++) {
		ask(b, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", 200, "new");
		want_ok(weft_http_server_route(h.server,
			i == 0		 ? "PUT"
				: i == 1 ? "POST"
					 : "DELETE",
			"/{other}", new_handler, NULL));
	}
	want_ok(weft_chan_send(s.go, &message, WEFT_FOREVER));
	hear_answer_is(a, 200, "old");
	ask(a, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", 200, "new");
	ask(a, "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 200, "new");
	weft_conn_free(a);
	weft_conn_free(b);
	httpd_close(&h);
	weft_chan_unref(s.go);
	weft_chan_unref(s.arrived);
	return WEFT_OK;
}

/* ---- event streams ---- */

static weft_err send_text(weft_http_exchange *x, const char *text)
{
	weft_sse_event event = { .data = text, .data_len = strlen(text) };

	return weft_http_exchange_sse_send(x, &event, WEFT_FOREVER);
}

static weft_err three_events(weft_http_exchange *x, void *arg)
{
	static const weft_sse_event full = { .type = "t",
		.data = "a\nb",
		.data_len = 3,
		.id = "7",
		.retry_set = true,
		.retry_ms = 5 };
	static const weft_sse_event bad = { .type = "a\nb" };
	weft_err err;

	(void)arg;
	want_err(WEFT_EINVAL, send_text(x, "early"));
	err = weft_http_exchange_sse_begin(x, NULL, WEFT_FOREVER);
	want_err(WEFT_EINVAL, weft_http_exchange_write(x, "x", 1, WEFT_FOREVER));
	want_err(WEFT_EINVAL, weft_http_exchange_finish(x, NULL, WEFT_FOREVER));
	if (!err)
		err = send_text(x, "one");
	want_err(WEFT_EINVAL, weft_http_exchange_sse_send(x, &bad, WEFT_FOREVER));
	if (!err)
		err = weft_http_exchange_sse_send(x, &full, WEFT_FOREVER);
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

#define SSE_HEAD                                                                       \
	"Date: \x01\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n" \
	"X-Accel-Buffering: no\r\n\r\n"

BOTH_TEST(events_are_sent_one_by_one_and_the_connection_goes_on)
{
	struct httpd h;
	weft_conn *conn;
	char all[256];

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", three_events, NULL);
	httpd_route(&h, "POST", "/", three_events, NULL);
	conn = httpd_connect(&h);
	for (int i = 0; i < 2; i++) {
		say(conn, i ? "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" : GET);
		hear(conn,
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" SSE_HEAD
			"b\r\ndata: one\n\n\r\n"
			"29\r\nevent: t\nid: 7\nretry: 5\ndata: a\ndata: b\n\n\r\n0\r\n\r\n");
	}
	/* what came meanwhile is the next request */
	say(conn, GET "HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.0\r\n\r\n");
	hear(conn,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" SSE_HEAD
		"b\r\ndata: one\n\n\r\n"
		"29\r\nevent: t\nid: 7\nretry: 5\ndata: a\ndata: b\n\n\r\n0\r\n\r\n");
	hear(conn, "HTTP/1.1 200 OK\r\n" SSE_HEAD);
	hear(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n" SSE_HEAD);
	want_err(WEFT_ECLOSED, hear_all(conn, all, sizeof(all)));
	want(strcmp(all, "data: one\n\nevent: t\nid: 7\nretry: 5\ndata: a\ndata: b\n\n") == 0);
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

struct senders {
	weft_http_exchange *x;
	weft_waitgroup *left;
};

static weft_err sends_many(void *arg)
{
	struct senders *s = arg;
	weft_err err = WEFT_OK;

	for (int i = 0; i < 50 && !err; i++)
		err = send_text(s->x, "the same whole event");
	weft_waitgroup_done(s->left);
	return err;
}

static weft_err events_of_many(weft_http_exchange *x, void *arg)
{
	struct senders s = { x, NULL };
	weft_scope *scope = NULL;

	(void)arg;
	want_ok(weft_waitgroup_create(&s.left));
	weft_waitgroup_add(s.left, 4);
	want_ok(weft_http_exchange_sse_begin(x, NULL, WEFT_FOREVER));
	want_ok(weft_http_exchange_scope(x, &scope));
	for (unsigned i = 0; i < 4; i++)
		want_ok(weft_scope_spawn_on(
			scope, i % weft_worker_count(), "sends", sends_many, &s));
	want_ok(weft_waitgroup_wait(s.left, WEFT_FOREVER));
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_waitgroup_free(s.left);
	return WEFT_OK;
}

BOTH_TEST(events_of_several_fibers_are_whole)
{
	struct answer answer;
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", events_of_many, NULL);
	conn = httpd_connect(&h);
	say(conn, GET);
	hear_head(conn, &answer);
	for (int i = 0; i < 200; i++)
		hear(conn, "1c\r\ndata: the same whole event\n\n\r\n");
	hear(conn, "0\r\n\r\n");
	weft_conn_free(conn);
	httpd_close(&h);
	return WEFT_OK;
}

struct idling {
	weft_err reason, sent;
	struct word over; /* after the others */
};

static weft_err idles(weft_http_exchange *x, void *arg)
{
	struct idling *s = arg;
	weft_cancel *gone;

	want_ok(weft_http_exchange_sse_begin(x, NULL, WEFT_FOREVER));
	want_ok(weft_http_exchange_watch(x, &gone));
	want_ok(weft_cancel_wait(gone, WEFT_FOREVER));
	s->reason = weft_cancel_reason(gone);
	s->sent = send_text(x, "nobody is there");
	word_put(&s->over, 1);
	return s->sent;
}

BOTH_TEST(a_client_that_goes_is_noticed_while_nothing_is_sent)
{
	struct answer answer;
	struct idling s;
	struct httpd h;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/", idles, &s);
	for (int i = 0; i < 4; i++) {
		weft_conn *conn = httpd_connect(&h);

		memset(&s, 0, sizeof(s));
		say(conn, GET);
		hear_head(conn, &answer);
		if (i % 2)
			weft_conn_abort(conn);
		weft_conn_free(conn);
		while (!word_peek(&s.over))
			both_pause();
		want(s.reason == WEFT_ECLOSED || s.reason == WEFT_ERESET);
		want(s.sent == s.reason);
	}
	httpd_close(&h);
	return WEFT_OK;
}

static weft_err watches(weft_http_exchange *x, void *arg)
{
	struct idling *s = arg;
	weft_cancel *gone, *again;
	char c;
	size_t got;

	want_err(WEFT_EINVAL, weft_http_exchange_watch(x, &gone));
	want_err(WEFT_ECLOSED,
		weft_http_exchange_read(x, &c, 1, &got, WEFT_FOREVER) == WEFT_OK
			? weft_http_exchange_read(x, &c, 1, &got, WEFT_FOREVER)
			: WEFT_EINVAL);
	want_ok(weft_http_exchange_watch(x, &gone));
	want_ok(weft_http_exchange_watch(x, &again));
	want(gone == again);
	if (weft_http_exchange_query(x)) {
		want_ok(weft_cancel_wait(gone, WEFT_FOREVER));
		word_put(&s->over, 1);
	}
	return reply_hello(x, NULL);
}

BOTH_TEST(any_handler_may_watch_for_its_client)
{
	struct idling s = { .over = { 0 } };
	struct httpd h;
	weft_conn *conn;

	httpd_open(&h, NULL, true);
	httpd_route(&h, "POST", "/", watches, &s);
	httpd_route(&h, "GET", "/", reply_hello, NULL);
	conn = httpd_connect(&h);
	ask(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na", 200, "hello\n");
	say(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na" GET GET);
	for (int i = 0; i < 3; i++)
		hear_answer_is(conn, 200, "hello\n");
	say(conn, "POST /?wait HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na");
	both_pause();
	weft_conn_free(conn);
	while (!word_peek(&s.over))
		both_pause();
	httpd_close(&h);
	return WEFT_OK;
}

static void http_life_tests(TCase *tc)
{
	both_add(tc, a_server_is_created_runs_drains_and_stops);
	both_add(tc, a_server_may_be_stopped_before_it_starts_or_freed_at_any_time);
	both_add(tc, a_fiber_that_a_handler_left_and_that_fails_stops_the_server);
	both_add(tc, options_out_of_range_are_named);
	both_add(tc, connections_over_the_limit_get_503);
	both_add(tc, a_stop_cuts_no_response);
	both_add(tc, a_request_that_crosses_the_stop_is_not_begun);
	both_add(tc, a_request_keeps_the_table_that_it_began_with);
	both_add(tc, events_are_sent_one_by_one_and_the_connection_goes_on);
	both_add(tc, events_of_several_fibers_are_whole);
	both_add(tc, a_client_that_goes_is_noticed_while_nothing_is_sent);
	both_add(tc, any_handler_may_watch_for_its_client);
}
T_SUITE("same_http_server_life", http_life_tests)
