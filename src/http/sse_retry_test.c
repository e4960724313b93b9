/* SPDX-License-Identifier: MIT */
/* When a client of event streams connects again: by the virtual clock. */
#include "support/ssear.h"

static weft_err hang_up(WEFT_UNUSED struct webfake *f, WEFT_UNUSED weft_conn *conn,
	WEFT_UNUSED const struct webfake_request *r)
{
	return WEFT_ECLOSED;
}

BOTH_TEST(a_first_attempt_that_fails_is_told_at_once)
{
	struct ear e;

	ear_prepare(&e, hang_up, NULL);
	want_err(WEFT_ERESET, ear_try(&e));
	ear_close(&e);
	return WEFT_OK;
}

/* An event, then nobody answers any more. */
static weft_err first_only(
	WEFT_UNUSED struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	weft_err err;

	if (r->number > 1)
		return WEFT_ECLOSED;
	err = webfake_say(conn, HEAD "retry: 50\ndata: x\n\n");
	return err ? err : WEFT_ECLOSED;
}

static int64_t wait_of(const struct ear *e)
{
	return weft_sse_client_retry_at(e->sse) - weft_now();
}

/* Over the simulator alone, where nothing takes time that need not. */
static weft_err waits_body(WEFT_UNUSED void *arg)
{
	static const int64_t waits[] = { 50, 100, 200, 400, 800, 1000, 1000 };
	struct ear e;

	ear_prepare(&e, first_only, NULL);
	e.options.retry_max_ns = 1000 * MS;
	e.options.attempts_max = 7;
	want_ok(ear_try(&e));
	hears(&e, "x");
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		fails(&e, WEFT_ERESET, i ? "connecting again" : "the server ended it");
		want(wait_of(&e) == waits[i] * MS);
	}
	fails(&e, WEFT_ECAPACITY, "given up after 7 attempts");
	fails(&e, WEFT_ECAPACITY, "given up after 7 attempts");
	want(weft_sse_client_is_over(e.sse) && e.fake.requests == 8);
	ear_close(&e);
	return WEFT_OK;
}

START_TEST(waits_begin_with_the_servers_and_double)
{
	both_run_simulated(waits_body);
}
END_TEST

/* Each connection brings an event. */
static weft_err polled_body(WEFT_UNUSED void *arg)
{
	struct ear e;

	ear_open(&e, one_event, NULL);
	for (int i = 0; i < 10; i++) {
		hears(&e, "x");
		fails(&e, WEFT_ERESET, "");
		want(wait_of(&e) == 2 * MS);
	}
	ear_close(&e);
	return WEFT_OK;
}

START_TEST(a_server_that_is_polled_is_not_waited_for_longer)
{
	both_run_simulated(polled_body);
}
END_TEST

/* An event of the first and of the fourth connection. */
static weft_err now_and_then(struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	return r->number % 3 == 1 ? one_event(f, conn, r) : WEFT_ECLOSED;
}

static weft_err recovered_body(WEFT_UNUSED void *arg)
{
	static const int64_t waits[] = { 2, 100, 200 };
	struct ear e;

	ear_open(&e, now_and_then, NULL);
	for (size_t i = 0; i < 9; i++) {
		if (i % 3 == 0)
			hears(&e, "x");
		fails(&e, WEFT_ERESET, "");
		want(wait_of(&e) == waits[i % 3] * MS);
	}
	ear_close(&e);
	return WEFT_OK;
}

START_TEST(a_byte_makes_the_waits_short_again)
{
	both_run_simulated(recovered_body);
}
END_TEST

static weft_err flapping_body(WEFT_UNUSED void *arg)
{
	int64_t last = 0;
	struct ear e;

	ear_open(&e, head_only, NULL);
	for (int i = 0; i < 6; i++) {
		fails(&e, WEFT_ERESET, "");
		want(wait_of(&e) >= 2 * last && wait_of(&e) >= 100 * MS);
		last = wait_of(&e);
	}
	ear_close(&e);
	return WEFT_OK;
}

START_TEST(a_server_that_flaps_is_not_hammered)
{
	both_run_simulated(flapping_body);
}
END_TEST

static weft_err jitter_body(WEFT_UNUSED void *arg)
{
	int64_t least = INT64_MAX, most = 0;
	struct ear e;

	ear_prepare(&e, one_event, NULL);
	e.options.retry_ns = 100 * MS;
	e.options.jitter_percent = 50;
	want_ok(ear_try(&e));
	for (int i = 0; i < 50; i++) {
		int64_t wait;

		hears(&e, "x");
		fails(&e, WEFT_ERESET, "");
		wait = wait_of(&e);
		want(wait >= 100 * MS && wait <= 150 * MS);
		least = wait < least ? wait : least;
		most = wait > most ? wait : most;
	}
	want(least < 110 * MS && most > 140 * MS);
	ear_close(&e);
	return WEFT_OK;
}

START_TEST(waits_are_spread)
{
	both_run_simulated(jitter_body);
}
END_TEST

static weft_err retry_hour(
	WEFT_UNUSED struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	weft_err err = webfake_say(conn, HEAD "retry: %s\ndata: x\n\n",
		r->number == 1		 ? "0"
			: r->number == 2 ? "120000"
					 : "99999999999999999999");

	return err ? err : WEFT_ECLOSED;
}

static weft_err retry_body(WEFT_UNUSED void *arg)
{
	struct ear e;

	ear_open(&e, retry_hour, NULL);
	hears(&e, "x");
	fails(&e, WEFT_ERESET, "");
	want(wait_of(&e) == 0);
	/* above retry_max_ns: the server's own word counts, to a point */
	hears(&e, "x");
	fails(&e, WEFT_ERESET, "");
	want(wait_of(&e) == 120000 * MS);
	want_ok(weft_sleep_until(weft_sse_client_retry_at(e.sse)));
	hears(&e, "x");
	fails(&e, WEFT_ERESET, "");
	want(wait_of(&e) == WEFT_SSE_RETRY_MAX_NS);
	ear_close(&e);
	return WEFT_OK;
}

START_TEST(the_servers_wait_is_kept_to_an_hour)
{
	both_run_simulated(retry_body);
}
END_TEST

static void sse_retry_tests(TCase *tc)
{
	both_add(tc, a_first_attempt_that_fails_is_told_at_once);
	t_add(tc, waits_begin_with_the_servers_and_double);
	t_add(tc, a_server_that_is_polled_is_not_waited_for_longer);
	t_add(tc, a_byte_makes_the_waits_short_again);
	t_add(tc, a_server_that_flaps_is_not_hammered);
	t_add(tc, waits_are_spread);
	t_add(tc, the_servers_wait_is_kept_to_an_hour);
}
T_SUITE("sse_retry", sse_retry_tests)
