/* SPDX-License-Identifier: MIT */
/* Cancel tokens: trees, links, guards, runs. The first ones are in service_test.c. */
#include "support/t.h"
#include "base/err.h"
#include "rt/fiber.h"
#include "support/crew.h"

#include <weft/weft.h>

#include <string.h>

static weft_cancel *token_new(weft_cancel *parent)
{
	weft_cancel *token = NULL;

	T_OUGHT(weft_cancel_create(&token, parent) == WEFT_OK);
	return token;
}

/* --- trees ---------------------------------------------------------------------------------- */

enum { CHILDREN = 100000 };

/* spec: failure 8, the second half */
START_TEST(token_4639_a_living_parent_keeps_nothing_of_children_that_are_gone)
{
	weft_cancel *root = token_new(NULL), *other = token_new(root), *child, *grandchild;
	int64_t live = t_malloc_live();

	for (int i = 0; i < CHILDREN; i++) {
		child = token_new(root);
		grandchild = token_new(child);
		/* either order: the child is held by its own child */
		weft_cancel_unref(i % 2 ? child : grandchild);
		weft_cancel_unref(i % 2 ? grandchild : child);
		T_OUGHT(t_malloc_live() == live);
	}
	ck_assert_ptr_eq(root->children.next, &other->link);
	ck_assert_ptr_eq(root->children.prev, &other->link);
	/* references: this test's, and that of the other */
	ck_assert_uint_eq(root->refs, 2);
	ck_assert_uint_eq(other->refs, 1);
	weft_cancel_unref(other);
	weft_cancel_trigger(root, WEFT_OK);
	for (int i = 0; i < 100; i++)
		weft_cancel_unref(token_new(root));
	ck_assert_uint_eq(root->refs, 1);
	weft_cancel_unref(root);
}
END_TEST

enum { DEPTH = 10000 };

static weft_err cancel_deep(void *arg)
{
	weft_cancel *root = token_new(NULL), *leaf = weft_cancel_ref(root);

	(void)arg;
	for (int i = 0; i < DEPTH; i++) {
		weft_cancel *child = token_new(leaf);

		weft_cancel_unref(leaf);
		leaf = child;
	}
	weft_cancel_trigger(root, WEFT_EPROTO);
	ck_assert_int_eq(weft_cancel_reason(leaf), WEFT_EPROTO);
	/* the last one takes them all along */
	weft_cancel_unref(root);
	weft_cancel_unref(leaf);
	return WEFT_OK;
}

START_TEST(token_tree_of_any_depth_is_cancelled_on_a_small_stack)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;

	options.workers = 1;
	options.stack_size = 16384;
	ck_assert_int_eq(weft_run(cancel_deep, NULL, &options), WEFT_OK);
}
END_TEST

static weft_err cancel_linked(void *arg)
{
	static struct rt_token_link links[DEPTH];
	static weft_cancel *tokens[DEPTH + 1];

	(void)arg;
	tokens[0] = token_new(NULL);
	for (int i = 0; i < DEPTH; i++) {
		tokens[i + 1] = token_new(NULL);
		T_OUGHT(rt_token_link_add(tokens[i], &links[i], tokens[i + 1]));
	}
	/* one that was taken away ends the walk */
	ck_assert(rt_token_remove(tokens[DEPTH - 1], &links[DEPTH - 1].node));
	weft_cancel_trigger(tokens[0], WEFT_EIO);
	ck_assert_int_eq(weft_cancel_reason(tokens[DEPTH - 1]), WEFT_EIO);
	ck_assert(!weft_cancel_is_cancelled(tokens[DEPTH]));
	ck_assert(!rt_token_link_add(tokens[0], &links[0], tokens[DEPTH]));
	ck_assert(!weft_cancel_is_cancelled(tokens[DEPTH]));
	for (int i = 0; i <= DEPTH; i++) {
		T_OUGHT(tokens[i]->refs == 1);
		weft_cancel_unref(tokens[i]);
	}
	return WEFT_OK;
}

START_TEST(token_links_are_walked_on_a_small_stack)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;

	options.workers = 1;
	options.stack_size = 16384;
	ck_assert_int_eq(weft_run(cancel_linked, NULL, &options), WEFT_OK);
}
END_TEST

static weft_err tell_deadlines(void *arg)
{
	weft_cancel *plain = token_new(NULL), *far, *near, *child;
	weft_deadline soon = weft_after_ms(100000), late = weft_after_ms(200000);

	(void)arg;
	ck_assert_int_eq(weft_cancel_create_deadline(&near, plain, soon), WEFT_OK);
	ck_assert_int_eq(weft_cancel_create_deadline(&far, near, late), WEFT_OK);
	child = token_new(far);
	ck_assert_int_eq(weft_cancel_deadline(NULL), WEFT_FOREVER);
	ck_assert_int_eq(weft_cancel_deadline(plain), WEFT_FOREVER);
	ck_assert_int_eq(weft_cancel_deadline(near), soon);
	ck_assert_int_eq(weft_cancel_deadline(child), soon);
	weft_cancel_unref(child);
	weft_cancel_unref(far);
	ck_assert_int_eq(weft_cancel_create_deadline(&far, plain, late), WEFT_OK);
	ck_assert_int_eq(weft_cancel_deadline(far), late);
	weft_cancel_unref(far);
	weft_cancel_unref(near);
	weft_cancel_unref(plain);
	return WEFT_OK;
}

START_TEST(token_tells_the_earliest_deadline_above_it)
{
	ck_assert_int_eq(crew_main(1, tell_deadlines, NULL), WEFT_OK);
}
END_TEST

struct inside {
	weft_cancel_watch *watch;
	weft_cancel *token;
	bool ran;
};

static void free_inside(void *arg)
{
	struct inside *in = arg;

	in->ran = weft_cancel_watch_free(in->watch);
	weft_cancel_unref(in->token);
}

START_TEST(token_callback_may_end_its_own_watch)
{
	struct inside in = { 0 };
	weft_cancel *token = token_new(NULL);

	in.token = weft_cancel_ref(token);
	ck_assert_int_eq(weft_cancel_watch_create(&in.watch, token, free_inside, &in), WEFT_OK);
	weft_cancel_trigger(token, WEFT_OK);
	ck_assert(in.ran);
	ck_assert_uint_eq(token->refs, 1);
	weft_cancel_unref(token);
}
END_TEST

/* --- guards --------------------------------------------------------------------------------- */

static int leave_by(weft_cancel *token, int way)
{
	WEFT_CANCEL_GUARD(guard, token);

	ck_assert(!weft_cancel_is_cancelled(token));
	if (way == 0)
		return 0;
	if (way == 1) {
		WEFT_CANCEL_GUARD(inner, token);

		weft_cancel_guard_disarm(&inner);
	}
	ck_assert(!weft_cancel_is_cancelled(token));
	weft_cancel_guard_disarm(&guard);
	return 1;
}

START_TEST(token_guard_cancels_on_every_way_out_but_a_disarmed_one)
{
	weft_cancel *token = token_new(NULL);
	weft_cancel_guard guard;

	leave_by(token, 1);
	leave_by(token, 2);
	ck_assert(!weft_cancel_is_cancelled(token));
	leave_by(token, 0);
	ck_assert_int_eq(weft_cancel_reason(token), WEFT_ECANCELED);
	ck_assert_uint_eq(token->refs, 1);
	weft_cancel_unref(token);
	guard = weft_cancel_guard_init(NULL);
	weft_cancel_guard_fini(&guard);
	token = token_new(NULL);
	guard = weft_cancel_guard_init(token);
	weft_cancel_unref(token); /* the guard holds it */
	weft_cancel_guard_fini(&guard);
	weft_cancel_guard_fini(&guard);
	weft_cancel_guard_disarm(&guard);
}
END_TEST

/* --- runs ----------------------------------------------------------------------------------- */

struct job {
	weft_cancel *token;
	weft_scope *scope; /* cancels the one who runs it */
	weft_deadline until;
	unsigned calls;
	weft_err result; /* returned, unless cancelled before */
	int64_t sleep_ns;
	weft_err err;  /* what the run returned */
	bool shielded; /* does not give way */
	bool spawns;   /* a fiber that goes on, and one that fails with result */
	bool ended;    /* the spawned fiber has */
};

static weft_err go_on(void *arg)
{
	struct job *job = arg;
	weft_err err = weft_sleep_ms(1000000);

	weft_shield_begin();
	(void)weft_yield();
	weft_shield_end();
	job->ended = true;
	return err;
}

static weft_err fail_soon(void *arg)
{
	struct job *job = arg;
	weft_err err = weft_sleep_ms(1);

	return err ? err : err_setf(job->result, "spawned by a job");
}

static weft_err work(void *arg)
{
	struct job *job = arg;
	weft_err err;

	job->calls++;
	if (job->spawns) {
		ck_assert_int_eq(weft_spawn(NULL, "goes on", go_on, job), WEFT_OK);
		ck_assert_int_eq(weft_spawn(NULL, "fails", fail_soon, job), WEFT_OK);
		return WEFT_OK;
	}
	if (job->shielded)
		weft_shield_begin();
	err = weft_sleep_ns(job->sleep_ns);
	if (job->shielded)
		weft_shield_end();
	if (err)
		return err;
	return job->result ? err_setf(job->result, "told to") : WEFT_OK;
}

static weft_err run_job(void *arg)
{
	struct job *job = arg;

	job->err = weft_cancel_run(job->token, work, job, job->until);
	return WEFT_OK;
}

#define LONG INT64_C(1000000000000)

static weft_err runs_main(void *arg)
{
	struct job job = { .token = token_new(NULL), .until = WEFT_FOREVER };
	uint64_t fibers = weft_fiber_count();

	(void)arg;
	/* by itself */
	ck_assert_int_eq(weft_cancel_run(job.token, work, &job, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(weft_cancel_run(NULL, work, &job, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(weft_cancel_run(job.token, NULL, &job, WEFT_FOREVER), WEFT_EINVAL);
	ck_assert_uint_eq(job.calls, 2);
	job.result = WEFT_EPROTO;
	ck_assert_int_eq(weft_cancel_run(job.token, work, &job, WEFT_FOREVER), WEFT_EPROTO);
	ck_assert_str_eq(weft_error_detail(), "told to");
	/* ECANCELED of its own accord is an error like others */
	job.result = WEFT_ECANCELED;
	ck_assert_int_eq(weft_cancel_run(job.token, work, &job, WEFT_FOREVER), WEFT_ECANCELED);
	ck_assert_str_eq(weft_error_detail(), "told to");
	/* the time */
	job.sleep_ns = LONG;
	ck_assert_int_eq(weft_cancel_run(job.token, work, &job, weft_after_ms(2)), WEFT_ETIMEDOUT);
	ck_assert_int_eq(weft_cancel_run(job.token, work, &job, WEFT_NOW), WEFT_ETIMEDOUT);
	/* finishes all the same */
	job.sleep_ns = 5000000;
	job.shielded = true;
	job.result = WEFT_OK;
	ck_assert_int_eq(weft_cancel_run(job.token, work, &job, weft_after_ms(1)), WEFT_OK);
	job.result = WEFT_EIO;
	ck_assert_int_eq(weft_cancel_run(job.token, work, &job, weft_after_ms(1)), WEFT_EIO);
	ck_assert_uint_eq(job.token->refs, 1);
	ck_assert(list_is_empty(&job.token->nodes));
	ck_assert_uint_eq(weft_fiber_count(), fibers);
	weft_cancel_unref(job.token);
	return WEFT_OK;
}

START_TEST(token_run_returns_what_ended_it)
{
	ck_assert_int_eq(crew_main(1, runs_main, NULL), WEFT_OK);
}
END_TEST

static weft_err joins_main(void *arg)
{
	struct job job = { .token = token_new(NULL), .spawns = true, .result = WEFT_EPROTO };
	uint64_t fibers = weft_fiber_count();

	(void)arg;
	/* fn has returned; what it spawned counts */
	ck_assert_int_eq(weft_cancel_run(job.token, work, &job, WEFT_FOREVER), WEFT_EPROTO);
	ck_assert_str_eq(weft_error_detail(), "spawned by a job");
	ck_assert(job.ended);
	ck_assert_uint_eq(weft_fiber_count(), fibers);
	weft_cancel_unref(job.token);
	return WEFT_OK;
}

START_TEST(token_run_joins_what_it_spawned)
{
	ck_assert_int_eq(crew_main(2, joins_main, NULL), WEFT_OK);
}
END_TEST

/* way 0: the token, from another fiber; 1: its parent; 2: the running fiber's scope */
static void stop_job(struct job *job, int way)
{
	weft_cancel *parent = token_new(NULL);

	*job = (struct job){ .token = token_new(parent), .until = WEFT_FOREVER, .sleep_ns = LONG };
	ck_assert_int_eq(weft_scope_create(&job->scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(job->scope, "runs", run_job, job), WEFT_OK);
	while (job->calls == 0)
		(void)weft_yield();
	crew_settle();
	if (way == 2)
		weft_scope_cancel(job->scope);
	else
		weft_cancel_trigger(way == 0 ? job->token : parent, WEFT_EAUTH);
	ck_assert_int_eq(weft_scope_wait(job->scope, WEFT_FOREVER), WEFT_OK);
	weft_scope_free(job->scope);
	ck_assert_int_eq(job->err, way == 2 ? WEFT_ECANCELED : WEFT_EAUTH);
	if (way != 2) {
		/* once cancelled, nothing is run any more */
		ck_assert_int_eq(weft_cancel_run(job->token, work, job, WEFT_FOREVER), WEFT_EAUTH);
		ck_assert_uint_eq(job->calls, 1);
	}
	weft_cancel_unref(job->token);
	weft_cancel_unref(parent);
}

static weft_err stops_main(void *arg)
{
	struct job job;

	(void)arg;
	for (int way = 0; way < 3; way++)
		stop_job(&job, way);
	return WEFT_OK;
}

START_TEST(token_run_ends_with_its_token_and_with_its_caller)
{
	ck_assert_int_eq(crew_main(1, stops_main, NULL), WEFT_OK);
}
END_TEST

START_TEST(token_run_needs_a_runtime)
{
	struct job job = { 0 };

	ck_assert_int_eq(weft_cancel_run(NULL, work, &job, WEFT_FOREVER), WEFT_EINVAL);
	ck_assert_uint_eq(job.calls, 0);
}
END_TEST

static weft_err failing_main(void *arg)
{
	struct job job = { .token = token_new(NULL) };

	(void)arg;
	/* what the worker keeps: its timers' heap, fibers */
	ck_assert_int_eq(weft_cancel_run(job.token, work, &job, WEFT_FOREVER), WEFT_OK);
	T_EACH_FAILING_MALLOC(n) {
		weft_err err = weft_cancel_run(job.token, work, &job, WEFT_FOREVER);

		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
	}
	ck_assert(list_is_empty(&job.token->nodes) && list_is_empty(&job.token->children));
	weft_cancel_unref(job.token);
	return WEFT_OK;
}

START_TEST(token_run_survives_each_failing_malloc)
{
	ck_assert_int_eq(crew_main(1, failing_main, NULL), WEFT_OK);
}
END_TEST

/* --- races ---------------------------------------------------------------------------------- */

enum { PARTIES = 4, ROUNDS = 300 };

struct race {
	weft_cancel *tokens[ROUNDS];
	_Atomic unsigned called, freed_before;
	uint64_t seed;
};

struct party {
	struct race *race;
	uint64_t state;
	unsigned number;
};

static void count_called(void *arg)
{
	struct race *r = arg;

	atomic_fetch_add(&r->called, 1);
}

/* Children, watches and waits that come and go while the token above is cancelled. */
static weft_err race_body(void *arg)
{
	struct party *p = arg;
	struct race *r = p->race;

	for (size_t i = 0; i < ROUNDS; i++) {
		weft_cancel *child = token_new(r->tokens[i]), *grandchild = token_new(child);
		weft_cancel_watch *watch;
		weft_err err;

		T_OUGHT(weft_cancel_watch_create(&watch, grandchild, count_called, r) == WEFT_OK);
		if (t_random(&p->state) % 4 == 0)
			(void)weft_yield();
		if (i % PARTIES == p->number)
			weft_cancel_trigger(r->tokens[i], WEFT_EIO);
		weft_cancel_unref(child);
		if (t_random(&p->state) % 2) {
			err = weft_cancel_wait(grandchild, WEFT_FOREVER);
			T_OUGHT(err == WEFT_OK && weft_cancel_reason(grandchild) == WEFT_EIO);
		}
		if (!weft_cancel_watch_free(watch))
			atomic_fetch_add(&r->freed_before, 1);
		weft_cancel_unref(grandchild);
	}
	return WEFT_OK;
}

START_TEST(token_tree_is_cancelled_while_it_changes)
{
	struct race race = { .seed = t_seed() };
	struct crew_member members[PARTIES];
	struct party parties[PARTIES];

	for (size_t i = 0; i < ROUNDS; i++)
		race.tokens[i] = token_new(NULL);
	for (unsigned i = 0; i < PARTIES; i++) {
		parties[i] = (struct party){ &race, race.seed + i, i };
		members[i] = (struct crew_member){ race_body, &parties[i] };
	}
	crew_run((enum crew_mode)_i, race.seed, members, PARTIES);
	ck_assert_uint_eq(race.called + race.freed_before, PARTIES * ROUNDS);
	for (size_t i = 0; i < ROUNDS; i++) {
		ck_assert_uint_eq(race.tokens[i]->refs, 1);
		ck_assert(list_is_empty(&race.tokens[i]->children));
		weft_cancel_unref(race.tokens[i]);
	}
}
END_TEST

static void token_tests(TCase *tc)
{
	t_add(tc, token_4639_a_living_parent_keeps_nothing_of_children_that_are_gone);
	t_add(tc, token_tree_of_any_depth_is_cancelled_on_a_small_stack);
	t_add(tc, token_links_are_walked_on_a_small_stack);
	t_add(tc, token_tells_the_earliest_deadline_above_it);
	t_add(tc, token_callback_may_end_its_own_watch);
	t_add(tc, token_guard_cancels_on_every_way_out_but_a_disarmed_one);
	t_add(tc, token_run_returns_what_ended_it);
	t_add(tc, token_run_joins_what_it_spawned);
	t_add(tc, token_run_ends_with_its_token_and_with_its_caller);
	t_add(tc, token_run_needs_a_runtime);
	t_add(tc, token_run_survives_each_failing_malloc);
	t_add_loop(tc, token_tree_is_cancelled_while_it_changes, 0, CREW_MODES);
}
T_SUITE("rt/token", token_tests)
