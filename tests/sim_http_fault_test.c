/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/*
 * Requests in bad weather, one fault at a time: each call for the net that a request makes, at
 * either end, fails in turn. Whatever it was: an answer or an error, the right number of calls
 * of the handler, nothing left behind, and the next request succeeds.
 */
#include "support/both.h"
#include "support/httptalk.h"

#include "io/io.h"
#include "rt/rt.h"

#include <errno.h>
#include <string.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define FAR "http://far:80"
#define CALLS_MAX 200 /* of one request */

/* ---- the call that fails ---- */

static struct {
	struct io_ops ops;	   /* the net's, with some in between */
	const struct io_ops *real; /* NULL: not in between */
	unsigned node;		   /* whose calls are counted */
	unsigned at, seen;	   /* the one that fails, from 1; 0: none */
} faulty;

static bool is_the_one(void)
{
	return faulty.at != 0 && weft_sim_node_self() == faulty.node && ++faulty.seen == faulty.at;
}

static int64_t submit_or_fail(struct io *io, struct io_op *op)
{
	static const int errors[] = {
		[IO_READ] = ECONNRESET,
		[IO_WRITE] = EPIPE,
		[IO_ACCEPT] = EMFILE,
		[IO_CONNECT] = ECONNREFUSED,
		[IO_POLL] = EIO,
	};

	return is_the_one() ? -errors[op->kind] : faulty.real->submit(io, op);
}

static int socket_or_fail(struct io *io, struct io_handle **out, int family)
{
	return is_the_one() ? -EMFILE : faulty.real->socket(io, out, family);
}

static void faults_begin(void)
{
	struct io *io = rt_io();

	memset(&faulty, 0, sizeof(faulty));
	faulty.real = io->ops;
	faulty.ops = *io->ops;
	faulty.ops.submit = submit_or_fail;
	faulty.ops.socket = socket_or_fail;
	io->ops = &faulty.ops;
}

static void faults_end(void)
{
	rt_io()->ops = faulty.real;
}

static void fail_call(unsigned node, unsigned at)
{
	faulty.node = node;
	faulty.seen = 0;
	faulty.at = at;
}

/* ---- the ends ---- */

static struct {
	struct talks talks;
	unsigned node; /* of the server; the client is on node 0 */
	weft_http_server *server;
	weft_http_client *client;
	weft_fiber *fiber;
	bool listens;
	size_t requests_max; /* of a connection */
} e;

static weft_err serve(void *arg)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	weft_listener *listener = NULL;

	(void)arg;
	want_ok(weft_listen(&listener, "tcp://0.0.0.0:80", NULL, WEFT_FOREVER));
	options.stop_timeout_ns = 0;
	options.requests_max = e.requests_max;
	want_ok(weft_http_server_create(&e.server, &options));
	want_ok(talk_route(e.server, &e.talks));
	e.listens = true;
	want_ok(weft_http_server_serve(e.server, listener));
	want_ok(weft_http_server_wait(e.server, WEFT_FOREVER));
	weft_http_server_free(e.server);
	e.server = NULL;
	weft_listener_free(listener);
	return WEFT_OK;
}

/* On the node there is. */
static void ends_open_again(size_t requests_max)
{
	unsigned node = e.node;

	memset(&e, 0, sizeof(e));
	e.node = node;
	e.requests_max = requests_max;
	e.talks.piece_max = 700;
	e.talks.until = WEFT_FOREVER;
	want_ok(weft_sim_spawn(e.node, &e.fiber, "far", serve, NULL));
	while (!e.listens)
		want_ok(weft_yield());
	want_ok(weft_http_client_create(&e.client, NULL));
	faults_begin();
}

static void ends_open(void)
{
	want_ok(weft_sim_node(&e.node, "far"));
	ends_open_again(0);
}

static void ends_close(void)
{
	faults_end();
	weft_http_client_unref(e.client);
	if (e.server)
		weft_http_server_stop(e.server);
	want_ok(weft_fiber_join(e.fiber, NULL, WEFT_FOREVER));
}

/* A new request of that plan. */
static struct ask *plan(const struct ask *like)
{
	struct ask *ask = &e.talks.asks[e.talks.asks_len % TALK_ASKS_MAX];

	*ask = *like;
	ask->number = e.talks.asks_len++ % TALK_ASKS_MAX;
	return ask;
}

static void ask_well(const struct ask *like)
{
	unsigned whole = e.talks.whole;

	e.talks.faults = false;
	e.talks.until = WEFT_FOREVER;
	talk_ask(&e.talks, e.client, FAR, plan(like));
	want(e.talks.whole == whole + 1);
}

static void ask_badly(const struct ask *like)
{
	e.talks.faults = true;
	e.talks.until = weft_after_ns(60 * SECOND);
	talk_ask(&e.talks, e.client, FAR, plan(like));
}

/* On a new connection, and on one that was used before. */
static void fail_each_call(unsigned node, const struct ask *like, bool kept)
{
	unsigned at;

	for (at = 1; at < CALLS_MAX; at++) {
		if (kept) {
			ask_well(like);
		} else {
			weft_http_client_unref(e.client);
			want_ok(weft_http_client_create(&e.client, NULL));
			both_sleep_ns(SECOND);
		}
		fail_call(node, at);
		ask_badly(like);
		faulty.at = 0;
		if (faulty.seen < at)
			break; /* it makes no more */
		both_sleep_ns(SECOND);
		ask_well(like);
	}
	want(at > 2 && at < CALLS_MAX);
}

static void fail_each(const struct ask *like)
{
	ends_open();
	for (unsigned kept = 0; kept < 2; kept++) {
		fail_each_call(0, like, kept);
		fail_each_call(e.node, like, kept);
	}
	ends_close();
}

/* A body of a simulated run with good defaults, under 20 seeds. */
#define SIM_TEST(name)                           \
	static weft_err name##_body(void *arg);  \
	START_TEST(name)                         \
	{                                        \
		both_run_simulated(name##_body); \
	}                                        \
	END_TEST                                 \
	static weft_err name##_body(__attribute__((unused)) void *arg)

SIM_TEST(each_call_of_a_get_fails_in_turn)
{
	const struct ask like = { .method = "GET", .most = 2, .down_len = 100 };

	fail_each(&like);
	return WEFT_OK;
}

SIM_TEST(each_call_of_a_post_fails_in_turn)
{
	const struct ask like = { .method = "POST",
		.most = 1,
		.up = TALK_UP_BYTES,
		.up_len = 2500,
		.answer = TALK_LENGTH,
		.down_len = 1500 };

	fail_each(&like);
	return WEFT_OK;
}

SIM_TEST(each_call_of_streams_both_ways_fails_in_turn)
{
	const struct ask like = { .method = "PUT",
		.most = 2,
		.up = TALK_UP_CHUNKS,
		.up_len = 2000,
		.answer = TALK_ECHO,
		.down_len = 2000 };

	fail_each(&like);
	return WEFT_OK;
}

SIM_TEST(each_call_of_a_stream_of_events_fails_in_turn)
{
	const struct ask like = {
		.method = "POST",
		.most = 1,
		.up = TALK_UP_BYTES,
		.up_len = 10,
		.answer = TALK_EVENTS,
		.down_len = 6,
	};

	fail_each(&like);
	return WEFT_OK;
}

/* A kept connection has died in the meantime: seen by a reset, at once or when it is used. */
SIM_TEST(a_kept_connection_that_died_is_replaced_unseen_when_it_may_be)
{
	const struct ask get = { .method = "GET", .most = 2, .down_len = 100 };
	const struct ask post = { .method = "POST", .most = 1, .down_len = 100 };
	weft_http_client_stats stats;

	ends_open();
	for (unsigned i = 0; i < 8; i++) {
		ask_well(&get);
		weft_sim_reset_all(e.node);
		both_sleep_ns((int64_t)both_random(20 * MS) * (i % 2));
		ask_well(&get);
		weft_sim_reset_all(e.node);
		both_sleep_ns((int64_t)both_random(20 * MS) * (i % 2));
		ask_badly(&post); /* an answer, or an error: handled once at most */
	}
	weft_http_client_stats_get(e.client, &stats);
	want(stats.retries + stats.stale > 0);
	ends_close();
	return WEFT_OK;
}

SIM_TEST(a_server_without_descriptors_lets_requests_wait)
{
	const struct ask get = { .method = "GET", .most = 2, .down_len = 100 };

	ends_open();
	weft_sim_descriptor_limit(e.node, 1);
	e.talks.faults = true;
	e.talks.until = weft_after_ns(5 * SECOND);
	talk_ask(&e.talks, e.client, FAR, plan(&get));
	weft_sim_descriptor_limit(e.node, SIZE_MAX);
	both_sleep_ns(5 * SECOND);
	ask_well(&get);
	ends_close();
	return WEFT_OK;
}

SIM_TEST(a_client_without_descriptors_says_so)
{
	const struct ask get = { .method = "GET", .most = 2, .down_len = 100 };
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_response *response = NULL;

	ends_open();
	weft_sim_descriptor_limit(0, 0);
	request.url = FAR "/ask/0";
	want_err(
		WEFT_ECAPACITY, weft_http_client_send(e.client, &request, &response, WEFT_FOREVER));
	want(!response && strstr(weft_error_detail(), "GET http://far/ask/0"));
	weft_sim_descriptor_limit(0, SIZE_MAX);
	ask_well(&get);
	ends_close();
	return WEFT_OK;
}

static void pipeline_well(const struct ask *first, const struct ask *second)
{
	struct ask *asks[2] = { plan(first), plan(second) };

	e.talks.faults = false;
	talk_pipeline(&e.talks, "tcp://far:80", asks, 2);
}

/* Of the first a reply was gathered, which the keeper is to send while the second handler
 * waits; and that writes itself. */
SIM_TEST(a_reply_that_was_gathered_goes_out_before_a_stream)
{
	const struct ask small = { .method = "GET", .most = 1, .down_len = 50 };
	const struct ask stream = { .method = "GET",
		.most = 1,
		.answer = TALK_LENGTH,
		.down_len = 5000,
		.slow_handler = true };

	ends_open();
	for (unsigned i = 0; i < 4; i++)
		pipeline_well(&small, &stream);
	want(e.talks.whole == 8);
	ends_close();
	return WEFT_OK;
}

/* What the client had sent ahead would make the close a reset, which overtakes the answer. */
SIM_TEST(an_answer_that_closes_arrives_though_more_was_sent)
{
	const struct ask slow = { .method = "GET",
		.most = 1,
		.answer = TALK_LENGTH,
		.down_len = 3000,
		.slow_handler = true };
	static const char request[] = "GET /ask/0 HTTP/1.1\r\nHost: far\r\n\r\n";
	char answer[8192];
	weft_conn *conn = NULL;
	size_t got, all = 0;
	weft_err err;

	want_ok(weft_sim_node(&e.node, "far"));
	ends_open_again(1);
	plan(&slow);
	want_ok(weft_dial(&conn, "tcp://far:80", NULL, WEFT_FOREVER));
	want_ok(weft_conn_write(conn, request, strlen(request), NULL, WEFT_FOREVER));
	both_sleep_ns((int64_t)both_random(100 * MS));
	want_ok(weft_conn_write(conn, request, strlen(request), NULL, WEFT_FOREVER));
	while (!(
		err = weft_conn_read(conn, answer + all, sizeof(answer) - all, &got, WEFT_FOREVER)))
		all += got;
	want(err == WEFT_ECLOSED && all > slow.down_len && e.talks.asks[0].handled == 1);
	weft_conn_free(conn);
	ends_close();
	return WEFT_OK;
}

/* Reads once the server has been stopped, and this connection been cut. */
static weft_err read_late(weft_http_exchange *x, void *arg)
{
	char data[16];
	size_t got;

	(void)arg;
	weft_shield_begin();
	weft_http_server_stop(e.server);
	both_sleep_ns(SECOND);
	want_err(WEFT_ERESET, weft_http_exchange_read(x, data, sizeof(data), &got, WEFT_FOREVER));
	weft_shield_end();
	return WEFT_ERESET;
}

SIM_TEST(a_server_that_is_cut_gives_no_handler_the_end_of_a_body)
{
	static const char request[] = "POST /late HTTP/1.1\r\nHost: far\r\n"
				      "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n";
	weft_conn *conn = NULL;
	size_t got;
	char c;

	ends_open();
	want_ok(weft_http_server_route(e.server, "POST", "/late", read_late, NULL));
	want_ok(weft_dial(&conn, "tcp://far:80", NULL, WEFT_FOREVER));
	want_ok(weft_conn_write(conn, request, strlen(request), NULL, WEFT_FOREVER));
	want_err(WEFT_ERESET, weft_conn_read(conn, &c, 1, &got, WEFT_FOREVER));
	weft_conn_free(conn);
	ends_close();
	return WEFT_OK;
}

static void sim_http_fault_tests(TCase *tc)
{
	t_add(tc, each_call_of_a_get_fails_in_turn);
	t_add(tc, each_call_of_a_post_fails_in_turn);
	t_add(tc, each_call_of_streams_both_ways_fails_in_turn);
	t_add(tc, each_call_of_a_stream_of_events_fails_in_turn);
	t_add(tc, a_kept_connection_that_died_is_replaced_unseen_when_it_may_be);
	t_add(tc, a_server_without_descriptors_lets_requests_wait);
	t_add(tc, a_client_without_descriptors_says_so);
	t_add(tc, a_reply_that_was_gathered_goes_out_before_a_stream);
	t_add(tc, an_answer_that_closes_arrives_though_more_was_sent);
	t_add(tc, a_server_that_is_cut_gives_no_handler_the_end_of_a_body);
}
T_SUITE("sim/http_fault", sim_http_fault_tests)
