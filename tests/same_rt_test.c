/* SPDX-License-Identifier: MIT */
/* The runtime's promises, over epoll and under the simulator: fibers, scopes, timers,
 * cancellation, offload. */
#include "support/both.h"

#define MS INT64_C(1000000)

struct job {
	unsigned number;
	weft_deadline until; /* 0: 30 ms from its beginning */
	weft_err result;
	unsigned *woken; /* how many have woken; all on one worker */
	weft_cancel *token;
};

static weft_err pause_and_return(void *arg)
{
	struct job *job = arg;

	for (unsigned i = 0; i < job->number; i++)
		both_pause();
	return job->result;
}

static unsigned worker_of(unsigned i)
{
	return i % weft_worker_count();
}

BOTH_TEST(a_join_brings_what_the_fiber_returned)
{
	weft_fiber *fibers[20];
	struct job jobs[20] = { 0 };

	for (unsigned i = 0; i < 20; i++) {
		jobs[i].number = i;
		jobs[i].result = i % 2 ? WEFT_EPROTO : WEFT_OK;
		want_ok(weft_spawn_on(worker_of(i), &fibers[i], "job", pause_and_return, &jobs[i]));
	}
	for (unsigned i = 0; i < 20; i++) {
		weft_err result = WEFT_EINVAL;

		want_ok(weft_fiber_join(fibers[i], &result, WEFT_FOREVER));
		want(result == jobs[i].result);
	}
	return WEFT_OK;
}

static weft_err sleep_then_tell(void *arg)
{
	struct job *job = arg;
	if (!job->until)
		job->until = weft_after_ms(30);
	want_ok(weft_sleep_until(job->until));
	want(weft_now() >= job->until);
	want((*job->woken)++ == job->number);
	return WEFT_OK;
}

BOTH_TEST(sleepers_wake_in_the_order_of_their_deadlines)
{
	struct job jobs[10] = { 0 };
	weft_deadline from = weft_now();
	unsigned woken = 0;
	weft_scope *scope;

	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < 10; i++) {
		jobs[i] = (struct job){ .number = 9 - i, .woken = &woken };
		/* from one moment: each might begin late */
		jobs[i].until = from + (int64_t)(10 - i) * 20 * MS;
		want_ok(weft_scope_spawn(scope, "sleeper", sleep_then_tell, &jobs[i]));
	}
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	want(woken == 10);
	weft_scope_free(scope);
	return WEFT_OK;
}

BOTH_TEST(a_scope_waits_for_all_and_gives_the_first_error)
{
	struct job jobs[5] = { 0 };
	weft_scope *scope;

	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < 5; i++) {
		jobs[i].number = i;
		want_ok(weft_scope_spawn_on(
			scope, worker_of(i), "job", pause_and_return, &jobs[i]));
	}
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	want(weft_scope_count(scope) == 0);
	jobs[3].result = WEFT_EAUTH;
	want_ok(weft_scope_spawn(scope, "failing", pause_and_return, &jobs[3]));
	want_err(WEFT_EAUTH, weft_scope_wait(scope, WEFT_FOREVER));
	want_err(WEFT_ECANCELED, weft_scope_spawn(scope, "late", pause_and_return, &jobs[0]));
	weft_scope_free(scope);
	return WEFT_OK;
}

static weft_err sleep_long(void *arg)
{
	(void)arg;
	return weft_sleep_ms(3600000);
}

static weft_err sleep_shielded(void *arg)
{
	struct job *job = arg;

	want_err(WEFT_ECANCELED, weft_sleep_ms(3600000));
	want_err(WEFT_ECANCELED, weft_sleep_ms(1));
	weft_shield_begin();
	want_ok(weft_sleep_ms(1));
	job->number++;
	weft_shield_end();
	want_err(WEFT_ECANCELED, weft_sleep_ms(1));
	return WEFT_ECANCELED;
}

BOTH_TEST(cancelling_a_scope_ends_sleeps_but_not_shielded_cleanup)
{
	int64_t began = weft_now();
	struct job job = { 0 };
	weft_scope *scope;

	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < 5; i++)
		want_ok(weft_scope_spawn_on(scope, worker_of(i), "long", sleep_long, NULL));
	want_ok(weft_scope_spawn(scope, "shielded", sleep_shielded, &job));
	want_err(WEFT_ETIMEDOUT, weft_scope_wait(scope, weft_after_ms(5)));
	weft_scope_cancel(scope);
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	want(job.number == 1);
	want(weft_now() - began < 3600000 * MS);
	weft_scope_free(scope);
	return WEFT_OK;
}

static weft_err make_inner_scope(void *arg)
{
	weft_scope *inner;
	weft_err err;

	want_ok(weft_scope_create(&inner));
	want_ok(weft_scope_spawn(inner, "inner", sleep_long, NULL));
	err = weft_scope_wait(inner, WEFT_FOREVER);
	weft_scope_free(inner);
	(void)arg;
	return err;
}

BOTH_TEST(cancelling_an_outer_scope_cancels_inner_ones)
{
	weft_scope *outer;

	want_ok(weft_scope_create(&outer));
	want_ok(weft_scope_spawn(outer, "outer", make_inner_scope, NULL));
	want_ok(weft_sleep_ms(2));
	weft_scope_free(outer);
	return WEFT_OK;
}

BOTH_TEST(a_join_that_times_out_can_be_tried_again)
{
	unsigned woken = 0;
	struct job job = { .woken = &woken };
	weft_fiber *fiber;

	want_ok(weft_spawn(&fiber, "slow", sleep_then_tell, &job));
	want_err(WEFT_ETIMEDOUT, weft_fiber_join(fiber, NULL, weft_after_ms(1)));
	want_err(WEFT_ETIMEDOUT, weft_fiber_join(fiber, NULL, WEFT_NOW));
	want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
	want(woken == 1);
	return WEFT_OK;
}

static weft_err wait_for_token(void *arg)
{
	struct job *job = arg;

	want_ok(weft_cancel_wait(job->token, WEFT_FOREVER));
	return weft_cancel_reason(job->token);
}

BOTH_TEST(tokens_wake_those_who_wait_and_pass_down_the_tree)
{
	struct job jobs[4] = { 0 };
	weft_fiber *fibers[4];
	weft_cancel *root, *child;

	want_ok(weft_cancel_create(&root, NULL));
	want_ok(weft_cancel_create(&child, root));
	for (unsigned i = 0; i < 4; i++) {
		jobs[i].token = i % 2 ? child : root;
		want_ok(weft_spawn_on(worker_of(i), &fibers[i], "waits", wait_for_token, &jobs[i]));
	}
	want_err(WEFT_ETIMEDOUT, weft_cancel_wait(child, weft_after_ms(2)));
	weft_cancel_trigger(root, WEFT_EAUTH);
	for (unsigned i = 0; i < 4; i++) {
		weft_err reason = WEFT_OK;

		want_ok(weft_fiber_join(fibers[i], &reason, WEFT_FOREVER));
		want(reason == WEFT_EAUTH);
	}
	weft_cancel_unref(child);
	weft_cancel_unref(root);
	return WEFT_OK;
}

BOTH_TEST(a_token_with_a_deadline_cancels_itself)
{
	weft_deadline at = weft_after_ms(10);
	weft_cancel *token;

	want_ok(weft_cancel_create_deadline(&token, NULL, at));
	want(!weft_cancel_is_cancelled(token) || weft_now() >= at);
	want_ok(weft_cancel_wait(token, WEFT_FOREVER));
	want(weft_now() >= at);
	want(weft_cancel_reason(token) == WEFT_ETIMEDOUT);
	weft_cancel_unref(token);
	return WEFT_OK;
}

static weft_err work(void *arg)
{
	struct job *job = arg;

	job->number++;
	return job->result;
}

BOTH_TEST(offloaded_work_is_waited_for)
{
	struct job good = { 0 }, bad = { .result = WEFT_EIO };

	want_ok(weft_offload(work, &good, NULL, WEFT_FOREVER));
	want_err(WEFT_EIO, weft_offload(work, &bad, NULL, WEFT_FOREVER));
	want(good.number == 1 && bad.number == 1);
	return WEFT_OK;
}

struct gate {
	weft_parker *opener;
	bool open;
};

static weft_err wait_turns(void *arg)
{
	unsigned *turns = arg;

	while (*turns < 10) {
		++*turns;
		if (weft_yield() != WEFT_OK)
			return WEFT_ECANCELED;
	}
	return WEFT_OK;
}

BOTH_TEST(a_yield_lets_others_run)
{
	unsigned turns = 0;
	weft_fiber *fiber;

	want_ok(weft_spawn(&fiber, "turns", wait_turns, &turns));
	while (turns < 10)
		(void)weft_yield();
	want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
	return WEFT_OK;
}

static weft_err open_gate(void *arg)
{
	struct gate *gate = arg;

	both_pause();
	gate->open = true;
	weft_unpark(gate->opener);
	return WEFT_OK;
}

BOTH_TEST(an_unpark_is_never_lost)
{
	for (int i = 0; i < 20; i++) {
		struct gate gate = { weft_parker_self(), false };

		want_ok(weft_spawn(NULL, "opens", open_gate, &gate));
		if (i % 2)
			both_pause();
		while (!gate.open)
			want_ok(weft_park(WEFT_FOREVER));
	}
	return WEFT_OK;
}

BOTH_TEST(a_park_times_out)
{
	weft_deadline until = weft_after_ms(3);
	weft_err err;

	do
		err = weft_park(until);
	while (err == WEFT_OK);
	want(err == WEFT_ETIMEDOUT);
	want(weft_now() >= until);
	return WEFT_OK;
}

static void same_rt_tests(TCase *tc)
{
	both_add(tc, a_join_brings_what_the_fiber_returned);
	both_add(tc, sleepers_wake_in_the_order_of_their_deadlines);
	both_add(tc, a_scope_waits_for_all_and_gives_the_first_error);
	both_add(tc, cancelling_a_scope_ends_sleeps_but_not_shielded_cleanup);
	both_add(tc, cancelling_an_outer_scope_cancels_inner_ones);
	both_add(tc, a_join_that_times_out_can_be_tried_again);
	both_add(tc, tokens_wake_those_who_wait_and_pass_down_the_tree);
	both_add(tc, a_token_with_a_deadline_cancels_itself);
	both_add(tc, offloaded_work_is_waited_for);
	both_add(tc, a_yield_lets_others_run);
	both_add(tc, an_unpark_is_never_lost);
	both_add(tc, a_park_times_out);
}
T_SUITE("same/rt", same_rt_tests)
