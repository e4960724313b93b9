/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* What goes wrong with connections: stale ones, time-outs and cancellation in every phase. */
#include "support/clientcheck.h"

/* --- kept connections that die -------------------------------------------------------------- */

/* Answers the first request of each connection up to the number in user, then closes as soon as
 * the next one has come, without a word. */
static void dies_on_reuse(struct raw_conn *c)
{
	const struct counter *healthy = c->server->user;

	while (raw_request(c)) {
		if (c->served > counter_get(healthy))
			return;
		raw_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	}
}

static void want_hi(weft_http_client *client, const struct raw_server *server)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_response *r = send_to(client, server, &request, "/");

	want_body(r, "hi");
	weft_http_response_free(r);
}

BOTH_TEST(client_sends_idempotent_requests_once_more_when_a_kept_connection_dies)
{
	static const char *const methods[] = { "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE" };
	struct counter healthy = { 1 };

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
		weft_http_client *client = client_make(NULL);
		struct raw_server server;
		weft_http_response *r;
		weft_http_timings timings;

		raw_start(&server, dies_on_reuse, &healthy, NULL);
		want_hi(client, &server);
		request.method = methods[i];
		r = send_to(client, &server, &request, "/");
		weft_http_response_timings(r, &timings);
		want(timings.retries == 1 && !timings.reused);
		want_body(r, i == 1 ? "" : "hi");
		weft_http_response_free(r);
		want(counter_get(&server.requests) == 3 && counter_get(&server.conns) == 2);
		want(stats_of(client).retries == 1);
		client_end(client);
		raw_stop(&server);
	}
	return WEFT_OK;
}

BOTH_TEST(client_never_sends_other_requests_twice)
{
	static const char *const methods[] = { "POST", "PATCH", "X-OWN" };
	struct counter healthy = { 1 };

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		weft_http_client *client = client_make(NULL);
		struct raw_server server;

		raw_start(&server, dies_on_reuse, &healthy, NULL);
		want_hi(client, &server);
		want_send_err(client, &server, methods[i], WEFT_ERESET, "waiting for the response");
		want(counter_get(&server.requests) == 2 && counter_get(&server.conns) == 1);
		want(stats_of(client).retries == 0 && stats_of(client).connections_now == 0);
		client_end(client);
		raw_stop(&server);
	}
	return WEFT_OK;
}

BOTH_TEST(client_sends_no_request_a_third_time)
{
	weft_http_client *client = client_make(NULL);
	struct raw_server server;
	struct counter healthy = { 1 };

	raw_start(&server, dies_on_reuse, &healthy, NULL);
	want_hi(client, &server);
	counter_set(&healthy, 0); /* new ones die as well */
	want_send_err(client, &server, "GET", WEFT_ERESET, "without a response");
	want(counter_get(&server.requests) == 3);
	/* and on a new one it is not sent again */
	want_send_err(client, &server, "GET", WEFT_ERESET, "without a response");
	want(counter_get(&server.requests) == 4);
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

/* One that died tells enough of those that were idle as long. */
BOTH_TEST(client_sends_again_on_a_new_connection_though_others_are_idle)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_client *client = client_make(NULL);
	weft_http_response *held[3];
	struct raw_server server;
	struct counter healthy = { 1 };

	raw_start(&server, dies_on_reuse, &healthy, NULL);
	for (int i = 0; i < 3; i++)
		held[i] = send_to(client, &server, &request, "/");
	for (int i = 0; i < 3; i++) {
		want_body(held[i], "hi");
		weft_http_response_free(held[i]);
	}
	want(stats_of(client).idle_now == 3);
	want_hi(client, &server);
	want(counter_get(&server.conns) == 4 && stats_of(client).retries == 1);
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

/* Half a head: the server is at it, and nobody knows what it has done. */
static void dies_within_the_head(struct raw_conn *c)
{
	while (raw_request(c)) {
		if (c->served == 2) {
			raw_say(c, "HTTP/1.1 200 OK\r\nCont");
			return;
		}
		raw_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	}
}

BOTH_TEST(client_sends_nothing_again_once_a_byte_has_come)
{
	weft_http_client *client = client_make(NULL);
	struct raw_server server;

	raw_start(&server, dies_within_the_head, NULL, NULL);
	want_hi(client, &server);
	want_send_err(client, &server, "GET", WEFT_ERESET, "within the response's head");
	want(counter_get(&server.requests) == 2 && stats_of(client).retries == 0);
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

BOTH_TEST(client_sends_a_body_again_only_if_it_can_be_had_again)
{
	struct counter healthy = { 1 };

	for (int i = 0; i < 4; i++) {
		bool can_rewind = i & 1, is_post = i & 2;
		weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
		weft_http_client *client = client_make(NULL);
		struct text_body body = { .text = "some text", .piece = 4 };
		struct raw_server server;
		weft_http_response *r = NULL;

		raw_start(&server, dies_on_reuse, &healthy, NULL);
		want_hi(client, &server);
		request.method = is_post ? "POST" : "PUT";
		request.idempotent = is_post;
		request.body_read = text_read;
		request.body_rewind = can_rewind ? text_rewind : NULL;
		request.body_user = &body;
		if (can_rewind) {
			r = send_to(client, &server, &request, "/");
			want_body(r, "hi");
			weft_http_response_free(r);
		} else {
			want_err(WEFT_ERESET,
				try_send(client, &server, &request, "/", &r, WEFT_FOREVER));
		}
		want(body.rewinds == (can_rewind ? 1 : 0));
		want(counter_get(&server.requests) == (can_rewind ? 3 : 2));
		client_end(client);
		raw_stop(&server);
	}
	return WEFT_OK;
}

/* Closes, or says something, between two requests. */
struct between {
	bool closes;
	weft_chan *done; /* the client is done with the response */
	struct counter spoke;
};

static void speaks_between(struct raw_conn *c)
{
	struct between *between = c->server->user;
	int turn;

	while (raw_request(c)) {
		raw_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
		if (weft_chan_recv(between->done, &turn, WEFT_FOREVER) || between->closes)
			return;
		raw_say(c, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
		counter_add(&between->spoke, 1);
	}
}

/* It has closed, or spoken, that often, and the client could hear of it. */
static void wait_between(const struct raw_server *server, unsigned times)
{
	const struct between *between = server->user;
	int turn = 0;

	want_ok(weft_chan_send(between->done, &turn, WEFT_FOREVER));
	while (between->closes ? counter_get(&server->conns_open) > 0
			       : counter_get(&between->spoke) < times)
		want_ok(weft_sleep_ns(MS));
	want_ok(weft_sleep_ns(both_ample_ns(60 * MS)));
}

BOTH_TEST(client_finds_out_before_it_uses_a_kept_connection)
{
	for (int i = 0; i < 2; i++) {
		struct between between = { .closes = i };
		weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
		weft_http_client *client = client_make(NULL);
		struct raw_server server;

		want_ok(weft_chan_create(&between.done, sizeof(int), 1, NULL));
		raw_start(&server, speaks_between, &between, NULL);
		request.method = "POST"; /* which would not be sent again */
		for (unsigned turn = 0; turn < 3; turn++) {
			weft_http_response *r = send_to(client, &server, &request, "/");

			want_body(r, "hi");
			weft_http_response_free(r);
			wait_between(&server, turn + 1);
		}
		want(counter_get(&server.conns) == 3 && counter_get(&server.requests) == 3);
		want(stats_of(client).stale == 2 && stats_of(client).retries == 0);
		want(stats_of(client).reuses == 0);
		client_end(client);
		raw_stop(&server);
		weft_chan_unref(between.done);
	}
	return WEFT_OK;
}

static weft_err sends_cancelled(void *arg)
{
	struct raw_server *server = arg;
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_response *r = NULL;

	want_err(WEFT_ECANCELED, weft_sleep_ns(SECOND));
	want_err(WEFT_ECANCELED, try_send(server->user, server, &request, "/", &r, WEFT_FOREVER));
	return WEFT_OK;
}

static void answers_hi(struct raw_conn *c)
{
	while (raw_request(c))
		raw_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
}

BOTH_TEST(client_that_is_cancelled_before_it_sends_leaves_the_connection_to_others)
{
	weft_http_client *client = client_make(NULL);
	struct raw_server server;
	weft_scope *scope;

	raw_start(&server, answers_hi, client, NULL);
	want_hi(client, &server);
	want_ok(weft_scope_create(&scope));
	want_ok(weft_scope_spawn(scope, "is cancelled", sends_cancelled, &server));
	want_ok(weft_sleep_ns(MS));
	weft_scope_free(scope);
	/* it was in its hand, but no request went over it */
	want(stats_of(client).reuses == 0 && stats_of(client).idle_now == 1);
	want_hi(client, &server);
	want(stats_of(client).reuses == 1 && counter_get(&server.conns) == 1);
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

/* Another connection that it reads its body from is reset. */
static weft_err reset_read(void *user, void *data, size_t size, size_t *got, weft_deadline until)
{
	(void)user;
	(void)data;
	(void)size;
	(void)got;
	(void)until;
	return WEFT_ERESET;
}

static weft_err rewinds(void *user)
{
	++*(unsigned *)user;
	return WEFT_OK;
}

BOTH_TEST(client_sends_nothing_again_that_failed_for_its_bodys_sake)
{
	weft_http_client *client = client_make(NULL);
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	struct raw_server server;
	weft_http_response *r = NULL;
	unsigned count = 0;

	raw_start(&server, answers_hi, NULL, NULL);
	want_hi(client, &server);
	request.method = "PUT";
	request.body_read = reset_read;
	request.body_rewind = rewinds;
	request.body_user = &count;
	want_err(WEFT_ERESET, try_send(client, &server, &request, "/", &r, WEFT_FOREVER));
	want_in(weft_error_detail(), ": sending: ");
	want(count == 0 && stats_of(client).retries == 0);
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

/* --- phases --------------------------------------------------------------------------------- */

/* Where a request stands still. */
enum phase { POOL, TLS, SENDING, RESPONSE, HEAD, PHASES };

static const char *const phase_texts[PHASES] = {
	[POOL] = "waiting for a connection: ",
	[TLS] = "TLS handshake: ",
	[SENDING] = "sending",
	[RESPONSE] = "waiting for the response: ",
	[HEAD] = "waiting for the response: ",
};

struct stage {
	enum phase phase;
	weft_http_client *client;
	struct raw_server server;
	weft_http_response *hog; /* POOL: has the only connection */
	weft_chan *halted;	 /* POOL: lets go of it at the end */
	bool is_warm;		 /* not POOL or TLS: a request was answered before */
	struct counter reached;	 /* not POOL: it stands still now */
	weft_err err;
	char detail[300];
};

static void answers_once(struct raw_conn *c)
{
	if (raw_request(c))
		raw_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
}

static void stands_still(struct raw_conn *c)
{
	struct stage *stage = c->server->user;
	char byte;
	size_t got;
	int turn;

	if (stage->is_warm)
		answers_once(c);
	switch (stage->phase) {
	case POOL:
		while (raw_request(c))
			raw_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
		break;
	case HEAD:
		if (raw_request(c))
			raw_say(c, "HTTP/1.1 200 OK\r\nContent-Le");
		counter_add(&stage->reached, 1);
		break;
	case RESPONSE:
		(void)raw_request(c);
		counter_add(&stage->reached, 1);
		break;
	case TLS:
		if (!weft_conn_read(c->conn, &byte, 1, &got, WEFT_FOREVER))
			counter_add(&stage->reached, 1);
		break;
	case SENDING: /* see endless_read */
	case PHASES:
		break;
	}
	/* until the test is over */
	if (weft_chan_recv(stage->halted, &turn, WEFT_FOREVER) == WEFT_ECLOSED)
		return;
}

static weft_err endless_read(void *user, void *data, size_t size, size_t *got, weft_deadline until)
{
	(void)until;
	memset(data, 'x', size);
	*got = size;
	counter_add(user, 1);
	return WEFT_OK;
}

/* Made once: it takes a while. */
static weft_tls *trusting_tls(void)
{
	static weft_tls *tls;
	weft_tls_client_options options = WEFT_TLS_CLIENT_OPTIONS_DEFAULT;

	options.insecure = true;
	if (!tls)
		want_ok(weft_tls_client_create(&tls, &options));
	return tls;
}

static void stage_open(struct stage *stage, enum phase phase, bool is_warm)
{
	weft_http_client_options options = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;

	memset(stage, 0, sizeof(*stage));
	stage->phase = phase;
	stage->is_warm = is_warm && phase != POOL && phase != TLS;
	options.connections_per_key_max = 1;
	options.tls = trusting_tls();
	stage->client = client_make(&options);
	want_ok(weft_chan_create(&stage->halted, sizeof(int), 1, NULL));
	raw_start(&stage->server, stands_still, stage, NULL);
	if (phase == POOL)
		stage->hog = send_to(stage->client, &stage->server, &request, "/");
	if (stage->is_warm)
		want_hi(stage->client, &stage->server);
}

static weft_err stage_send(struct stage *stage, weft_deadline until)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_response *r = NULL;
	char url[128];
	weft_err err;

	snprintf(url, sizeof(url), "http%s%s/", stage->phase == TLS ? "s" : "",
		stage->server.url + strlen("http"));
	request.url = url;
	if (stage->phase == SENDING) {
		request.method = "POST";
		request.body_read = endless_read;
		request.body_user = &stage->reached;
	}
	err = weft_http_client_send(stage->client, &request, &r, until);
	snprintf(stage->detail, sizeof(stage->detail), "%s", weft_error_detail());
	weft_http_response_free(r);
	return err;
}

/* Nothing but the hog's connection is left, and the client is as good as new. */
static void stage_close(struct stage *stage)
{
	weft_http_client_stats stats = stats_of(stage->client);

	if (stage->phase == TLS) { /* the dial goes on, for others */
		want(stats.dialling_now == 1 && stats.waiting_now == 0);
	} else {
		want(stats.connections_now == (stage->hog ? 1 : 0));
		want(stats.dialling_now == 0 && stats.waiting_now == 0 && stats.idle_now == 0);
	}
	if (stage->hog) {
		weft_http_response_free(stage->hog);
		want(stats_of(stage->client).idle_now == 1);
		want_hi(stage->client, &stage->server);
	}
	client_end(stage->client);
	weft_chan_close(stage->halted);
	raw_stop(&stage->server);
	weft_chan_unref(stage->halted);
}

static weft_err stage_fiber(void *arg)
{
	struct stage *stage = arg;

	stage->err = stage_send(stage, WEFT_FOREVER);
	return WEFT_OK;
}

/* One that is cancelled where it stands still. */
static void stage_cancel(struct stage *stage)
{
	weft_scope *scope;

	want_ok(weft_scope_create(&scope));
	want_ok(weft_scope_spawn(scope, "sends", stage_fiber, stage));
	while (stage->phase == POOL ? !stats_of(stage->client).waiting_now
				    : !counter_get(&stage->reached))
		want_ok(weft_sleep_ns(MS));
	weft_scope_free(scope);
	want_err(WEFT_ECANCELED, stage->err);
	want_in(stage->detail,
		stage->phase == SENDING ? "waiting for the response: " : phase_texts[stage->phase]);
}

/* So that nothing has to be done in time but to wait: over a connection that is there, and in a
 * handshake that has begun. */
BOTH_TEST(client_times_out_in_each_phase_and_says_which)
{
	for (enum phase phase = 0; phase < PHASES; phase++) {
		struct stage stage;
		char text[64];

		stage_open(&stage, phase, true);
		if (phase == TLS)
			stage_cancel(&stage);
		want_err(WEFT_ETIMEDOUT, stage_send(&stage, weft_after_ns(30 * MS)));
		/* the one that sends is told by who waits for its response */
		want_in(stage.detail,
			phase == SENDING ? "waiting for the response: " : phase_texts[phase]);
		want_in(stage.detail, "timed out");
		snprintf(text, sizeof(text), "http %s http", phase == SENDING ? "POST" : "GET");
		want(strncmp(stage.detail, text, strlen(text)) == 0);
		stage_close(&stage);
	}
	return WEFT_OK;
}

BOTH_TEST(client_can_be_cancelled_in_each_phase)
{
	for (enum phase phase = 0; phase < PHASES; phase++) {
		struct stage stage;

		stage_open(&stage, phase, false);
		stage_cancel(&stage);
		stage_close(&stage);
	}
	return WEFT_OK;
}

BOTH_TEST(client_bounds_the_wait_for_a_head_and_a_stalled_body)
{
	for (int i = 0; i < 3; i++) {
		weft_http_client_options options = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
		struct stage stage;

		stage_open(&stage, i == 0 ? SENDING : i == 1 ? RESPONSE : HEAD, false);
		weft_http_client_unref(stage.client);
		options.head_timeout_ns = 40 * MS;
		options.stall_timeout_ns = 40 * MS;
		stage.client = client_make(&options);
		want_err(WEFT_ETIMEDOUT, stage_send(&stage, WEFT_FOREVER));
		want_in(stage.detail,
			i == 0 ? "sending: sending the body: timed out"
			       : "waiting for the response: timed out");
		stage_close(&stage);
	}
	return WEFT_OK;
}

/* --- the end of a client -------------------------------------------------------------------- */

BOTH_TEST(client_that_is_closed_lets_nobody_wait)
{
	struct stage stage;
	weft_fiber *fiber = NULL;
	weft_http_response *hog;

	stage_open(&stage, POOL, false);
	want_ok(weft_spawn(&fiber, "sends", stage_fiber, &stage));
	while (stats_of(stage.client).waiting_now == 0)
		want_ok(weft_sleep_ns(MS));
	weft_http_client_close(stage.client);
	weft_http_client_close(stage.client);
	want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
	want_err(WEFT_ECLOSED, stage.err);
	want_in(stage.detail, "the client is closed");
	want_err(WEFT_ECLOSED, stage_send(&stage, WEFT_FOREVER));
	/* what is out goes on, and outlives the client */
	hog = stage.hog;
	weft_http_client_unref(stage.client);
	want_body(hog, "hi");
	weft_http_response_free(hog);
	weft_chan_close(stage.halted);
	raw_stop(&stage.server);
	weft_chan_unref(stage.halted);
	return WEFT_OK;
}

static weft_err tls_fiber(void *arg)
{
	struct stage *stage = arg;

	stage->err = stage_send(stage, WEFT_FOREVER);
	return WEFT_OK;
}

BOTH_TEST(client_that_is_closed_gives_dials_up)
{
	struct stage stage;
	weft_fiber *fiber = NULL;

	stage_open(&stage, TLS, false);
	want_ok(weft_spawn(&fiber, "sends", tls_fiber, &stage));
	while (!counter_get(&stage.reached))
		want_ok(weft_sleep_ns(MS));
	client_end(stage.client);
	want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
	want_err(WEFT_ECLOSED, stage.err);
	weft_chan_close(stage.halted);
	raw_stop(&stage.server);
	weft_chan_unref(stage.halted);
	return WEFT_OK;
}

BOTH_TEST(client_reports_failed_dials)
{
	weft_http_client *client = client_make(NULL);
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_response *r = NULL;

	request.url = "http://127.0.0.1:1/x";
	want_err(WEFT_EREFUSED, weft_http_client_send(client, &request, &r, WEFT_FOREVER));
	want_text(weft_error_detail(),
		"http GET http://127.0.0.1:1/x: connect tcp://127.0.0.1:1: connection refused");
	request.url = "http://no.such.host.invalid/";
	want_err(WEFT_ERESOLVE, weft_http_client_send(client, &request, &r, WEFT_FOREVER));
	want_in(weft_error_detail(), "resolve no.such.host.invalid: ");
	request.unix_path = "/no/such/socket";
	request.url = "http://h/";
	if (!weft_in_sim())
		want_err(WEFT_ENOTFOUND, weft_http_client_send(client, &request, &r, WEFT_FOREVER));
	want(stats_of(client).dials_failed == stats_of(client).dials);
	want(stats_of(client).keys_now == 0);
	client_end(client);
	return WEFT_OK;
}

static void client_fault_tests(TCase *tc)
{
	both_add(tc, client_sends_idempotent_requests_once_more_when_a_kept_connection_dies);
	both_add(tc, client_never_sends_other_requests_twice);
	both_add(tc, client_sends_no_request_a_third_time);
	both_add(tc, client_sends_again_on_a_new_connection_though_others_are_idle);
	both_add(tc, client_sends_nothing_again_once_a_byte_has_come);
	both_add(tc, client_sends_a_body_again_only_if_it_can_be_had_again);
	both_add(tc, client_finds_out_before_it_uses_a_kept_connection);
	both_add(tc, client_that_is_cancelled_before_it_sends_leaves_the_connection_to_others);
	both_add(tc, client_sends_nothing_again_that_failed_for_its_bodys_sake);
	both_add(tc, client_times_out_in_each_phase_and_says_which);
	both_add(tc, client_can_be_cancelled_in_each_phase);
	both_add(tc, client_bounds_the_wait_for_a_head_and_a_stalled_body);
	both_add(tc, client_that_is_closed_lets_nobody_wait);
	both_add(tc, client_that_is_closed_gives_dials_up);
	both_add(tc, client_reports_failed_dials);
}

T_SUITE("http client's faults", client_fault_tests)
