/* SPDX-License-Identifier: MIT */
/*
 * The client of event streams: against weft's own server, and against one that says what no good
 * server says.
 */
#include "base/counter.h"
#include "support/httpd.h"
#include "support/ssear.h"

/* ---- weft's own server ---- */

/* A counter's values, from the one after Last-Event-ID on, three a connection. */
static weft_err counter(weft_http_exchange *x, WEFT_UNUSED void *arg)
{
	const char *last = weft_http_fields_get(weft_http_exchange_fields(x), "Last-Event-ID");
	int from = last ? atoi(last) + 1 : 1;
	weft_err err = weft_http_exchange_sse_begin(x, NULL, SOON);

	for (int i = from; !err && i < from + 3; i++) {
		weft_sse_event event = { .type = "count", .retry_set = true, .retry_ms = 1 };
		char text[16];

		snprintf(text, sizeof(text), "%d", i);
		event.id = event.data = text;
		event.data_len = strlen(text);
		err = weft_http_exchange_sse_send(x, &event, SOON);
	}
	return err;
}

BOTH_TEST(events_go_on_where_the_last_connection_ended)
{
	weft_sse_client *sse;
	weft_http_client *http;
	weft_sse_event event;
	struct httpd h;
	unsigned lost = 0;
	char url[128];

	httpd_open(&h, NULL, true);
	httpd_route(&h, "GET", "/count", counter, NULL);
	snprintf(url, sizeof(url), "http://%s/count", weft_listener_name(h.listener) + 6);
	want_ok(weft_http_client_create(&http, NULL));
	want_ok(weft_sse_client_open(&sse, http, url, NULL, SOON));
	for (int i = 1; i <= 8;) {
		weft_err err = weft_sse_client_next(sse, &event, SOON);

		if (err) {
			want(err == WEFT_ERESET && !weft_sse_client_is_open(sse));
			want(strstr(weft_error_detail(), "the server ended it"));
			lost++;
			continue;
		}
		want(strcmp(event.type, "count") == 0 && number_of(&event) == i);
		want(atoi(event.id) == i && weft_sse_client_is_open(sse));
		want(atoi(weft_sse_client_last_id(sse)) == i);
		i++;
	}
	want(lost == 2 && weft_sse_client_reconnects(sse) == 2);
	weft_sse_client_free(sse);
	weft_http_client_unref(http);
	httpd_close(&h);
	return WEFT_OK;
}

/* ---- a request and its answer ---- */

BOTH_TEST(the_request_says_what_the_standard_wants)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_fields *fields;
	struct ear e;

	want_ok(weft_http_fields_create(&fields));
	want_ok(weft_http_fields_add(fields, "X-Own", "1"));
	want_ok(weft_http_fields_add(fields, "Accept", "text/html"));
	request.fields = fields;
	ear_prepare(&e, one_event, NULL);
	e.options.request = &request;
	e.options.last_event_id = "6";
	want_ok(ear_try(&e));
	hears(&e, "x");
	want(strcmp(e.fake.last.method, "GET") == 0);
	want(strcmp(webfake_field(&e.fake.last, "Accept"), "text/event-stream") == 0);
	want(strcmp(webfake_field(&e.fake.last, "Cache-Control"), "no-cache") == 0);
	want(strcmp(webfake_field(&e.fake.last, "Last-Event-ID"), "6") == 0);
	want(strcmp(webfake_field(&e.fake.last, "X-Own"), "1") == 0);
	want(weft_http_response_status(weft_sse_client_response(e.sse)) == 200);
	fails(&e, WEFT_ERESET, "the server ended it");
	want(!weft_sse_client_response(e.sse));
	hears(&e, "x");
	want(strcmp(webfake_field(&e.fake.last, "Last-Event-ID"), "7") == 0);
	ear_close(&e);
	weft_http_fields_free(fields);
	return WEFT_OK;
}

struct bad_answer {
	const char *answer;
	weft_err err;
	const char *named;
};

static const struct bad_answer bad_answers[] = {
	{ "HTTP/1.1 204 x\r\n\r\n", WEFT_ECLOSED, "204" },
	{ "HTTP/1.1 401 x\r\nContent-Length: 0\r\n\r\n", WEFT_EAUTH, "401 (Unauthorized)" },
	{ "HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n", WEFT_EAUTH, "403" },
	{ "HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n", WEFT_ENOTFOUND, "404" },
	{ "HTTP/1.1 410 x\r\nContent-Length: 0\r\n\r\n", WEFT_ENOTFOUND, "410" },
	{ "HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n", WEFT_EREFUSED, "500" },
	{ "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", WEFT_EREFUSED, "503" },
	{ "HTTP/1.1 205 x\r\nContent-Length: 0\r\n\r\n", WEFT_EREFUSED, "205" },
	{ "HTTP/1.1 206 x\r\nContent-Type: text/event-stream\r\n\r\n", WEFT_EREFUSED, "206" },
	{ "HTTP/1.1 210 x\r\nContent-Type: text/event-stream\r\n\r\n", WEFT_EREFUSED, "210" },
	{ "HTTP/1.1 299 x\r\nContent-Type: text/event-stream\r\n\r\n", WEFT_EREFUSED, "299" },
	{ "HTTP/1.1 200 x\r\nContent-Type: text/html\r\n\r\n", WEFT_EPROTO, "text/html" },
	{ "HTTP/1.1 200 x\r\nContent-Type: text/event-streams\r\n\r\n", WEFT_EPROTO, "streams" },
	{ "HTTP/1.1 200 x\r\nContent-Type: x bogus\r\n\r\n", WEFT_EPROTO, "x bogus" },
	{ "HTTP/1.1 200 x\r\n\r\n", WEFT_EPROTO, "missing" },
	{ "HTTP/1.1 301 x\r\nContent-Length: 0\r\n\r\n", WEFT_EREFUSED, "301" },
};
#define BAD_ANSWERS (sizeof(bad_answers) / sizeof(bad_answers[0]))

/* The user's answer, to all requests from its first on. */
struct plan {
	const struct bad_answer *bad;
	unsigned from;
};

static weft_err planned(struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	const struct plan *plan = f->user;
	weft_err err;

	if (r->number < plan->from)
		return one_event(f, conn, r);
	err = webfake_say(conn, "%s", plan->bad->answer);
	return err ? err : WEFT_ECLOSED;
}

BOTH_TEST(a_wrong_answer_is_final)
{
	for (size_t i = 0; i < BAD_ANSWERS; i++) {
		struct plan plan = { &bad_answers[i], 1 };
		struct ear e;

		ear_prepare(&e, planned, &plan);
		want_err(bad_answers[i].err, ear_try(&e));
		want(strstr(weft_error_detail(), bad_answers[i].named));
		ear_close(&e);

		plan.from = 2;
		ear_open(&e, planned, &plan);
		hears(&e, "x");
		fails(&e, WEFT_ERESET, "the server ended it");
		fails(&e, bad_answers[i].err, bad_answers[i].named);
		fails(&e, bad_answers[i].err, bad_answers[i].named);
		want(weft_sse_client_is_over(e.sse) && e.fake.requests == 2);
		ear_close(&e);
	}
	return WEFT_OK;
}

static weft_err typed(
	struct webfake *f, weft_conn *conn, WEFT_UNUSED const struct webfake_request *r)
{
	weft_err err = webfake_say(conn, "HTTP/1.1 200 x\r\nContent-Type: %s\r\n\r\ndata: x\n\n",
		(const char *)f->user);

	return err ? err : WEFT_ECLOSED;
}

BOTH_TEST(the_content_type_may_have_parameters_and_any_case)
{
	static const char *const types[] = { "text/event-stream;charset=utf-8",
		"Text/Event-Stream ; x=y", "text/event-stream", "text/event-stream;",
		"text/event-stream; charset=windows-1252", "text/event-stream;x=bogus" };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		char type[64];
		struct ear e;

		snprintf(type, sizeof(type), "%s", types[i]);
		ear_open(&e, typed, type);
		hears(&e, "x");
		ear_close(&e);
	}
	return WEFT_OK;
}

static weft_err moved(struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	if (strcmp(r->target, "/there") == 0)
		return one_event(f, conn, r);
	return webfake_reply(conn, *(const unsigned *)f->user, "Location: /there\r\n", "");
}

BOTH_TEST(a_redirect_is_followed_each_time_anew)
{
	static const unsigned statuses[] = { 301, 302, 303, 307, 308 };

	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		unsigned status = statuses[i];
		struct ear e;

		ear_open(&e, moved, &status);
		hears(&e, "x");
		fails(&e, WEFT_ERESET, "");
		hears(&e, "x");
		want(e.fake.requests == 4);
		ear_close(&e);
	}
	return WEFT_OK;
}

BOTH_TEST(options_out_of_range_are_named)
{
	weft_http_request with_method = WEFT_HTTP_REQUEST_DEFAULT;
	struct ear e;

	ear_prepare(&e, one_event, NULL);
	e.options.retry_ns = -1;
	want_err(WEFT_EINVAL, ear_try(&e));
	want(strstr(weft_error_detail(), "retry_ns"));
	e.options.retry_ns = 0;
	e.options.jitter_percent = -2;
	want_err(WEFT_EINVAL, ear_try(&e));
	e.options.jitter_percent = 0;
	e.options.idle_timeout_ns = -1;
	want_err(WEFT_EINVAL, ear_try(&e));
	e.options.idle_timeout_ns = 0;
	with_method.method = "POST";
	e.options.request = &with_method;
	want_err(WEFT_EINVAL, ear_try(&e));
	e.options.request = NULL;
	e.options.last_event_id = "a\nb";
	want_err(WEFT_EINVAL, ear_try(&e));
	want(e.fake.requests == 0);
	ear_close(&e);
	return WEFT_OK;
}

static weft_err odd_id(
	WEFT_UNUSED struct webfake *f, weft_conn *conn, WEFT_UNUSED const struct webfake_request *r)
{
	weft_err err = webfake_say(conn, HEAD "id: a\x01z\ndata: x\n\n");

	return err ? err : WEFT_ECLOSED;
}

BOTH_TEST(what_no_attempt_can_change_is_final)
{
	struct ear e;

	ear_open(&e, odd_id, NULL);
	hears(&e, "x");
	fails(&e, WEFT_ERESET, "");
	fails(&e, WEFT_EINVAL, "");
	fails(&e, WEFT_EINVAL, "");
	want(weft_sse_client_is_over(e.sse) && e.fake.requests == 1);
	ear_close(&e);

	ear_open(&e, one_event, NULL);
	hears(&e, "x");
	fails(&e, WEFT_ERESET, "");
	weft_http_client_close(e.http);
	fails(&e, WEFT_ECLOSED, "");
	want(weft_sse_client_is_over(e.sse) && e.fake.requests == 1);
	ear_close(&e);
	return WEFT_OK;
}

/* ---- streams ---- */

/* An event in single bytes, then one that is not ended. */
static weft_err in_pieces(
	WEFT_UNUSED struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	static const char text[] =
		HEAD "id: 1\r\ndata: a\r\ndata: b\r\n\r\n: note\n\nid: 2\ndata: cut\n";
	weft_err err = WEFT_OK;

	if (r->number > 1)
		return webfake_say(conn, HEAD "data: %s\n\n",
			webfake_field(r, "Last-Event-ID") ? webfake_field(r, "Last-Event-ID") : "");
	for (size_t i = 0; !err && i < sizeof(text) - 1; i++) {
		err = weft_conn_write(conn, text + i, 1, NULL, SOON);
		if (!err)
			(void)weft_yield();
	}
	return err ? err : WEFT_ECLOSED;
}

BOTH_TEST(events_may_come_in_any_pieces)
{
	struct ear e;

	ear_open(&e, in_pieces, NULL);
	hears(&e, "a\nb");
	/* an event that was not ended is none, and its id does not count */
	fails(&e, WEFT_ERESET, "the server ended it");
	hears(&e, "1");
	ear_close(&e);
	return WEFT_OK;
}

static weft_err large(
	WEFT_UNUSED struct webfake *f, weft_conn *conn, WEFT_UNUSED const struct webfake_request *r)
{
	weft_err err = webfake_say(conn, HEAD "data: %01000d\n\ndata: x\n\n", 0);

	return err ? err : WEFT_ECLOSED;
}

BOTH_TEST(an_event_that_is_too_large_costs_itself_only)
{
	struct ear e;

	ear_prepare(&e, large, NULL);
	e.options.parser.event_max = 999;
	want_ok(ear_try(&e));
	fails(&e, WEFT_EMSGSIZE, "");
	hears(&e, "x");
	fails(&e, WEFT_ERESET, "");
	want(e.fake.requests == 1);
	ear_close(&e);
	return WEFT_OK;
}

/* Says its head, and nothing more. */
static weft_err silent(
	WEFT_UNUSED struct webfake *f, weft_conn *conn, WEFT_UNUSED const struct webfake_request *r)
{
	return webfake_say(conn, HEAD);
}

BOTH_TEST(a_stream_may_be_silent_for_as_long_as_it_likes_or_is_allowed)
{
	weft_http_client_options options = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
	weft_sse_event event;
	struct ear e;

	ear_prepare(&e, silent, NULL);
	/* not a matter of stalls */
	options.stall_timeout_ns = MS;
	weft_http_client_unref(e.http);
	want_ok(weft_http_client_create(&e.http, &options));
	want_ok(ear_try(&e));
	want_err(WEFT_ETIMEDOUT, weft_sse_client_next(e.sse, &event, weft_after_ms(10)));
	want(weft_sse_client_is_open(e.sse));
	weft_sse_client_free(e.sse);
	e.options.idle_timeout_ns = 5 * MS;
	want_ok(ear_try(&e));
	fails(&e, WEFT_ERESET, "no byte for 5 ms");
	ear_close(&e);
	return WEFT_OK;
}

/* Until the test has counted n more. */
static weft_err wait_for_more(const struct counter *count, uint64_t n)
{
	uint64_t from = counter_get(count);
	weft_err err = WEFT_OK;

	while (!err && counter_get(count) < from + n)
		err = weft_sleep_ns(MS);
	return err;
}

/* Answers late, and its events come late, too: by what the test counts. */
static weft_err slow(struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	weft_err err = WEFT_OK;

	if (r->number == 1)
		return one_event(f, conn, r);
	err = wait_for_more(f->user, 2);
	if (!err)
		err = webfake_say(conn, HEAD);
	if (!err)
		err = wait_for_more(f->user, 2);
	return err ? err : webfake_say(conn, "data: late\n\n");
}

BOTH_TEST(time_that_is_up_loses_nothing)
{
	struct counter timeouts = { 0 };
	weft_sse_event event;
	struct ear e;
	weft_err err;

	ear_open(&e, slow, &timeouts);
	hears(&e, "x");
	fails(&e, WEFT_ERESET, "");
	while ((err = weft_sse_client_next(e.sse, &event, weft_after_ms(3))) == WEFT_ETIMEDOUT)
		counter_add(&timeouts, 1);
	want_ok(err);
	want(memcmp(event.data, "late", 4) == 0);
	/* one attempt for all of them */
	want(counter_get(&timeouts) > 3 && e.fake.requests == 2);
	want_err(WEFT_ETIMEDOUT, weft_sse_client_next(e.sse, &event, WEFT_NOW));
	ear_close(&e);
	return WEFT_OK;
}

/* ---- its end ---- */

struct closing {
	weft_sse_client *sse;
	int64_t after_ns;
};

static weft_err close_fiber(void *arg)
{
	struct closing *c = arg;
	weft_err err = weft_sleep_ns(c->after_ns);

	weft_sse_client_close(c->sse);
	return err;
}

/* next is under way, in whatever state, when somebody closes. */
static void closes_in_time(struct ear *e, unsigned losses)
{
	struct closing c = { e->sse, 3 * MS };
	weft_fiber *fiber;

	for (unsigned i = 0; i < losses; i++)
		fails(e, WEFT_ERESET, "");
	want_ok(weft_spawn(&fiber, "close", close_fiber, &c));
	fails(e, WEFT_ECLOSED, "closed");
	fails(e, WEFT_ECLOSED, "closed");
	want(weft_sse_client_is_over(e->sse));
	want_ok(weft_fiber_join(fiber, NULL, SOON));
	ear_close(e);
}

static weft_err mute_later(
	WEFT_UNUSED struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	/* no head: whoever asked waits for it */
	return r->number == 1 ? head_only(f, conn, r) : WEFT_OK;
}

BOTH_TEST(a_close_ends_whatever_is_under_way)
{
	struct ear e;

	/* a read */
	ear_open(&e, silent, NULL);
	closes_in_time(&e, 0);
	/* a wait for the next attempt */
	ear_prepare(&e, head_only, NULL);
	e.options.retry_ns = INT64_C(3600) * 1000 * MS;
	want_ok(ear_try(&e));
	closes_in_time(&e, 1);
	/* an attempt */
	ear_open(&e, mute_later, NULL);
	want_ok(weft_sleep_ms(1));
	closes_in_time(&e, 1);
	/* nothing: before the call, and with an attempt that was left alone */
	ear_open(&e, silent, NULL);
	weft_sse_client_close(e.sse);
	weft_sse_client_close(e.sse);
	fails(&e, WEFT_ECLOSED, "closed");
	ear_close(&e);
	ear_open(&e, silent, NULL);
	{
		weft_sse_event event;

		want_err(WEFT_ETIMEDOUT, weft_sse_client_next(e.sse, &event, weft_after_ms(1)));
	}
	weft_sse_client_close(e.sse);
	fails(&e, WEFT_ECLOSED, "closed");
	ear_close(&e);
	return WEFT_OK;
}

static weft_err next_fiber(void *arg)
{
	struct ear *e = arg;
	weft_sse_event event;

	return weft_sse_client_next(e->sse, &event, WEFT_FOREVER);
}

/* Answers when the test has counted one. */
static weft_err late(struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	weft_err err;

	if (r->number == 1)
		return one_event(f, conn, r);
	do
		err = weft_sleep_ns(MS);
	while (!err && !counter_get(f->user));
	return err ? err : webfake_say(conn, HEAD "data: late\n\n");
}

BOTH_TEST(a_caller_that_is_cancelled_leaves_the_client_as_it_is)
{
	struct counter over = { 0 };
	weft_cancel *token;
	struct ear e;

	ear_open(&e, late, &over);
	hears(&e, "x");
	fails(&e, WEFT_ERESET, "");
	want_ok(weft_cancel_create_deadline(&token, NULL, weft_after_ms(5)));
	want_err(WEFT_ETIMEDOUT, weft_cancel_run(token, next_fiber, &e, SOON));
	weft_cancel_unref(token);
	counter_add(&over, 1);
	hears(&e, "late");
	want(e.fake.requests == 2);
	ear_close(&e);
	return WEFT_OK;
}

/* ---- weather ---- */

#define EVENTS 40

/* Numbered events, from the one after Last-Event-ID on, to the last. */
static weft_err numbered(
	WEFT_UNUSED struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	const char *id = webfake_field(r, "Last-Event-ID");
	int at = id ? atoi(id) : 0;
	weft_err err = webfake_say(conn, HEAD "retry: 1\n\n");

	while (!err && at < EVENTS) {
		at++;
		err = webfake_say(conn, "id: %d\ndata: %d\n\n", at, at);
	}
	return err;
}

static weft_err weather_body(WEFT_UNUSED void *arg)
{
	weft_sse_event event;
	struct ear e;
	int expected = 1;
	weft_err err;

	ear_prepare(&e, numbered, NULL);
	do
		err = ear_try(&e);
	while (err == WEFT_ERESET || err == WEFT_EREFUSED);
	while (!err && expected <= EVENTS) {
		err = weft_sse_client_next(e.sse, &event, weft_after_ms(600000));
		if (!err) {
			want(number_of(&event) == expected);
			expected++;
		} else if (err == WEFT_ERESET) {
			err = WEFT_OK;
		}
	}
	ear_close(&e);
	return err;
}

START_TEST(in_bad_weather_each_event_comes_once_and_in_order)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	weft_sim_result result;
	weft_err err;

	options.seed = (uint64_t)_i;
	options.partial_permille = 500;
	options.reset_permille = (unsigned)(_i % 4) * 250;
	options.refuse_permille = (unsigned)(_i % 3) * 200;
	options.window = _i % 2 ? 0 : 200;
	err = both_run_seed(weather_body, NULL, &options, &result);
	ck_assert_msg(err == WEFT_OK, "seed %d: %s", _i, weft_error_detail());
}
END_TEST

/* Until the second connection's event. */
static weft_err memory_body(WEFT_UNUSED void *arg)
{
	weft_sse_client *sse = NULL;
	weft_http_client *http = NULL;
	struct webfake fake = { .listener = NULL };
	weft_sse_event event;
	unsigned heard = 0, losses = 0;
	char url[128];
	weft_err err = webfake_open(&fake, one_event, NULL);

	snprintf(url, sizeof(url), "%s/", fake.url);
	if (!err)
		err = weft_http_client_create(&http, NULL);
	if (!err)
		err = weft_sse_client_open(&sse, http, url, NULL, SOON);
	while (!err && heard < 2) {
		err = weft_sse_client_next(sse, &event, weft_after_ms(600000));
		heard += !err;
		if (err == WEFT_ERESET && ++losses < 5)
			err = WEFT_OK;
	}
	weft_sse_client_free(sse);
	weft_http_client_unref(http);
	webfake_close(&fake);
	return err;
}

START_TEST(out_of_memory_is_returned)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	unsigned failures = 0;

	ck_assert_int_eq(weft_sim_run(memory_body, NULL, &options, NULL), WEFT_OK);
	T_EACH_FAILING_MALLOC(n) {
		weft_err err = weft_sim_run(memory_body, NULL, &options, NULL);

		/* a connection that ends for want of memory at the other end is a reset */
		ck_assert_msg(err == WEFT_OK || err == WEFT_ENOMEM || err == WEFT_ERESET,
			"n %llu: %s", (unsigned long long)n, weft_error_detail());
		failures += err == WEFT_ENOMEM;
	}
	ck_assert_uint_gt(failures, 10);
}
END_TEST

static void sse_client_tests(TCase *tc)
{
	both_add(tc, events_go_on_where_the_last_connection_ended);
	both_add(tc, the_request_says_what_the_standard_wants);
	both_add(tc, a_wrong_answer_is_final);
	both_add(tc, the_content_type_may_have_parameters_and_any_case);
	both_add(tc, a_redirect_is_followed_each_time_anew);
	both_add(tc, options_out_of_range_are_named);
	both_add(tc, what_no_attempt_can_change_is_final);
	both_add(tc, events_may_come_in_any_pieces);
	both_add(tc, an_event_that_is_too_large_costs_itself_only);
	both_add(tc, a_stream_may_be_silent_for_as_long_as_it_likes_or_is_allowed);
	both_add(tc, time_that_is_up_loses_nothing);
	both_add(tc, a_close_ends_whatever_is_under_way);
	both_add(tc, a_caller_that_is_cancelled_leaves_the_client_as_it_is);
	t_add_loop(tc, in_bad_weather_each_event_comes_once_and_in_order, both_seed_first(),
		(both_seed_first() + both_seed_end() + 1) / 2);
	t_add(tc, out_of_memory_is_returned);
}
T_SUITE("sse_client", sse_client_tests)
