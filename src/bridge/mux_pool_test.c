/* SPDX-License-Identifier: MIT */
/* Waits between tries; and the pool of mux sessions: who gets which, who waits for how long,
 * and what they are told. */
#include "bridge/backoff.h"
#include "bridge/mux_pool.h"
#include "support/both.h"

#include <string.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)

/* ---- waits ---- */

START_TEST(waits_are_random_below_a_bound_that_doubles)
{
	int64_t bound = BACKOFF_MIN_NS, longest = 0;
	struct backoff backoff;

	backoff_init(&backoff, t_seed());
	for (int i = 0; i < 2000; i++) {
		int64_t wait = backoff_next(&backoff);

		ck_assert_int_ge(wait, 0);
		ck_assert_int_le(wait, bound);
		longest = wait > longest ? wait : longest;
		bound = bound * 2 < BACKOFF_MAX_NS ? bound * 2 : BACKOFF_MAX_NS;
	}
	/* the bound is reached, not a fraction of it */
	ck_assert_int_gt(longest, BACKOFF_MAX_NS / 100 * 95);
	backoff_reset(&backoff);
	ck_assert_int_le(backoff_next(&backoff), BACKOFF_MIN_NS);
	ck_assert_int_le(backoff_next(&backoff), 2 * BACKOFF_MIN_NS);
}
END_TEST

START_TEST(two_who_lost_a_server_together_do_not_come_back_together)
{
	struct backoff a, b;
	unsigned same = 0;

	backoff_init(&a, 1);
	backoff_init(&b, 2);
	for (int i = 0; i < 100; i++)
		same += backoff_next(&a) == backoff_next(&b);
	ck_assert_uint_eq(same, 0);
}
END_TEST

/* ---- the pool ---- */

/* A mux session over memory, and its peer. */
struct pair {
	struct mux_link *link;
	weft_mux *peer;
};

static void pair_add(struct mux_pool *pool, struct pair *pair)
{
	weft_conn *ends[2];
	weft_mux *mux;

	want_ok(weft_conn_pair(ends, 0));
	want_ok(weft_mux_create_own(&mux, ends[0], WEFT_MUX_CLIENT, NULL));
	want_ok(weft_mux_create_own(&pair->peer, ends[1], WEFT_MUX_SERVER, NULL));
	want_ok(mux_pool_add_own(pool, mux, &pair->link));
}

static void pair_free(struct mux_pool *pool, struct pair *pair)
{
	mux_pool_remove(pool, pair->link);
	mux_pool_remove(pool, pair->link);
	weft_mux_close(pair->peer);
	(void)!weft_mux_wait(pair->peer, WEFT_FOREVER);
	weft_mux_free(pair->peer);
	weft_mux_close(pair->link->mux);
	(void)!weft_mux_wait(pair->link->mux, WEFT_FOREVER);
	mux_link_unref(pair->link);
}

static size_t opened(const struct pair *pair)
{
	weft_mux_stats stats;

	weft_mux_stats_get(pair->link->mux, &stats);
	return (size_t)stats.opened;
}

BOTH_TEST(streams_go_to_the_session_with_the_fewest)
{
	struct mux_pool pool = { .err = WEFT_OK };
	struct pair pairs[3];
	weft_conn *conns[12];

	want_ok(mux_pool_init(&pool, "nobody"));
	for (int i = 0; i < 2; i++)
		pair_add(&pool, &pairs[i]);
	for (int i = 0; i < 6; i++)
		want_ok(mux_pool_open(&pool, &conns[i], WEFT_FOREVER));
	want(opened(&pairs[0]) == 3 && opened(&pairs[1]) == 3);
	/* the third takes those that make it equal, then each a turn */
	pair_add(&pool, &pairs[2]);
	for (int i = 6; i < 9; i++)
		want_ok(mux_pool_open(&pool, &conns[i], WEFT_FOREVER));
	want(opened(&pairs[2]) == 3);
	for (int i = 9; i < 12; i++)
		want_ok(mux_pool_open(&pool, &conns[i], WEFT_FOREVER));
	for (int i = 0; i < 3; i++)
		want(opened(&pairs[i]) == 4);
	for (int i = 0; i < 12; i++)
		weft_conn_free(conns[i]);
	for (int i = 0; i < 3; i++)
		pair_free(&pool, &pairs[i]);
	mux_pool_fini(&pool);
	return WEFT_OK;
}

BOTH_TEST(a_dead_session_is_passed_over)
{
	struct mux_pool pool = { .err = WEFT_OK };
	struct pair pairs[2];
	weft_conn *conns[4];

	want_ok(mux_pool_init(&pool, "nobody"));
	for (int i = 0; i < 2; i++)
		pair_add(&pool, &pairs[i]);
	weft_mux_abort(pairs[0].peer);
	(void)!weft_mux_wait(pairs[0].link->mux, WEFT_FOREVER);
	for (int i = 0; i < 4; i++)
		want_ok(mux_pool_open(&pool, &conns[i], WEFT_NOW));
	want(opened(&pairs[0]) == 0 && opened(&pairs[1]) == 4);
	for (int i = 0; i < 4; i++)
		weft_conn_free(conns[i]);
	for (int i = 0; i < 2; i++)
		pair_free(&pool, &pairs[i]);
	mux_pool_fini(&pool);
	return WEFT_OK;
}

struct waiting {
	struct mux_pool *pool;
	weft_deadline until;
	weft_conn *conn;
	weft_err err;
	char detail[256];
};

static weft_err open_fiber(void *arg)
{
	struct waiting *w = arg;

	w->err = mux_pool_open(w->pool, &w->conn, w->until);
	if (w->err)
		strncpy(w->detail, weft_error_detail(), sizeof(w->detail) - 1);
	return WEFT_OK;
}

BOTH_TEST(those_who_wait_get_a_stream_when_a_session_comes)
{
	struct mux_pool pool = { .err = WEFT_OK };
	struct waiting waiting[20];
	weft_scope *scope;
	struct pair pair;

	want_ok(mux_pool_init(&pool, "nobody"));
	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < 20; i++) {
		waiting[i] = (struct waiting){ .pool = &pool, .until = WEFT_FOREVER };
		want_ok(weft_scope_spawn_on(
			scope, i % weft_worker_count(), "waits", open_fiber, &waiting[i]));
		both_pause();
	}
	pair_add(&pool, &pair);
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	want(opened(&pair) == 20);
	for (unsigned i = 0; i < 20; i++) {
		want_err(WEFT_OK, waiting[i].err);
		weft_conn_free(waiting[i].conn);
	}
	weft_scope_free(scope);
	pair_free(&pool, &pair);
	mux_pool_fini(&pool);
	return WEFT_OK;
}

BOTH_TEST(those_who_wait_in_vain_are_told_why_there_is_none)
{
	struct mux_pool pool = { .err = WEFT_OK };
	struct waiting w = { .pool = &pool };
	weft_deadline began = weft_now();
	weft_conn *conn;

	want_ok(mux_pool_init(&pool, "tcp://far:9"));
	w.until = weft_after_ns(20 * MS);
	(void)open_fiber(&w);
	want_err(WEFT_ETIMEDOUT, w.err);
	want(weft_now() - began >= 20 * MS);
	want(strstr(w.detail, "no mux session with tcp://far:9"));
	want_err(WEFT_EREFUSED,
		weft_dial(&conn, "tcp://127.0.0.1:1", NULL, weft_after_ns(20 * SECOND)));
	mux_pool_failed(&pool, WEFT_EREFUSED, false);
	w.until = WEFT_NOW;
	(void)open_fiber(&w);
	want_err(WEFT_ETIMEDOUT, w.err);
	want(strstr(w.detail, "no mux session with tcp://far:9") && strstr(w.detail, "refused"));
	mux_pool_fini(&pool);
	return WEFT_OK;
}

BOTH_TEST(a_final_failure_reaches_those_who_wait_and_those_who_come)
{
	struct mux_pool pool = { .err = WEFT_OK };
	struct waiting w = { .pool = &pool, .until = WEFT_FOREVER };
	weft_fiber *fiber;
	weft_conn *conn;

	want_ok(mux_pool_init(&pool, "nobody"));
	want_ok(weft_spawn(&fiber, "waits", open_fiber, &w));
	both_pause();
	want_err(WEFT_EREFUSED,
		weft_dial(&conn, "tcp://127.0.0.1:1", NULL, weft_after_ns(20 * SECOND)));
	mux_pool_failed(&pool, WEFT_EREFUSED, true);
	want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
	want_err(WEFT_EREFUSED, w.err);
	want(strstr(w.detail, "refused"));
	want_err(WEFT_EREFUSED, mux_pool_open(&pool, &conn, WEFT_FOREVER));
	mux_pool_fini(&pool);
	return WEFT_OK;
}

BOTH_TEST(waiting_is_a_cancellation_point)
{
	struct mux_pool pool = { .err = WEFT_OK };
	struct waiting w = { .pool = &pool, .until = WEFT_FOREVER };
	weft_scope *scope;

	want_ok(mux_pool_init(&pool, "nobody"));
	want_ok(weft_scope_create(&scope));
	want_ok(weft_scope_spawn(scope, "waits", open_fiber, &w));
	both_pause();
	weft_scope_free(scope);
	want_err(WEFT_ECANCELED, w.err);
	mux_pool_fini(&pool);
	return WEFT_OK;
}

static weft_err churn_opener(void *arg)
{
	for (int i = 0; i < 50; i++) {
		weft_conn *conn;

		want_ok(mux_pool_open(arg, &conn, WEFT_FOREVER));
		weft_conn_free(conn);
		both_pause();
	}
	return WEFT_OK;
}

BOTH_TEST(sessions_come_and_go_under_those_who_open)
{
	struct mux_pool pool = { .err = WEFT_OK };
	weft_scope *openers;
	struct pair pair;

	want_ok(mux_pool_init(&pool, "nobody"));
	want_ok(weft_scope_create(&openers));
	for (unsigned i = 0; i < 6; i++)
		want_ok(weft_scope_spawn_on(
			openers, i % weft_worker_count(), "opens", churn_opener, &pool));
	do {
		pair_add(&pool, &pair);
		both_pause();
		both_pause();
		weft_mux_abort(both_random(2) ? pair.peer : pair.link->mux);
		pair_free(&pool, &pair);
	} while (weft_scope_count(openers) > 0);
	want_ok(weft_scope_wait(openers, WEFT_FOREVER));
	weft_scope_free(openers);
	mux_pool_fini(&pool);
	return WEFT_OK;
}

static void pool_tests(TCase *tc)
{
	t_add(tc, waits_are_random_below_a_bound_that_doubles);
	t_add(tc, two_who_lost_a_server_together_do_not_come_back_together);
	both_add(tc, streams_go_to_the_session_with_the_fewest);
	both_add(tc, a_dead_session_is_passed_over);
	both_add(tc, those_who_wait_get_a_stream_when_a_session_comes);
	both_add(tc, those_who_wait_in_vain_are_told_why_there_is_none);
	both_add(tc, a_final_failure_reaches_those_who_wait_and_those_who_come);
	both_add(tc, waiting_is_a_cancellation_point);
	both_add(tc, sessions_come_and_go_under_those_who_open);
}
T_SUITE("mux_pool", pool_tests)
