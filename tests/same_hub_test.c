/* SPDX-License-Identifier: MIT */
/* Hubs, onces and tokens, over epoll and under the simulator: who waits is woken, whoever is
 * cancelled at whatever moment. A wake that is lost is a deadlock, which the simulator
 * reports. */
#include "support/both.h"

#include <string.h>

#define PARTIES 9 /* the last one of a crowd asks: 8 % 3 != 1 */

static unsigned worker_of(unsigned i)
{
	return i % weft_worker_count();
}

struct thing {
	unsigned made;
};

static void thing_end(void *object)
{
	((struct thing *)object)->made--;
}

static const weft_hub_type thing_type = { "thing", thing_end };
WEFT_HUB_TYPED(thing, struct thing, &thing_type)

/* --- one initialiser at a time, and somebody has the turn ------------------------------------ */

struct crowd {
	weft_hub *hub;
	weft_once *once; /* NULL: the hub is what is asked */
	struct thing thing;
	weft_mutex *lock;
	unsigned inside; /* initialisers now; under lock */
};

struct member {
	struct crowd *crowd;
	bool last; /* is not cancelled, does not fail */
	weft_err err;
};

static void count_inside(struct crowd *c, int change)
{
	weft_shield_begin();
	want_ok(weft_mutex_lock(c->lock, WEFT_FOREVER));
	c->inside += (unsigned)change;
	want(c->inside <= 1);
	weft_mutex_unlock(c->lock);
	weft_shield_end();
}

static weft_err init_perhaps(void *arg, void **object)
{
	struct member *m = arg;
	weft_err err = WEFT_OK;

	count_inside(m->crowd, 1);
	if (both_random(2))
		err = weft_sleep_ns((int64_t)both_random(4) * BOTH_TICK_NS);
	if (!err && !m->last && both_random(3))
		err = WEFT_EIO;
	count_inside(m->crowd, -1);
	if (err)
		return err;
	want(m->crowd->thing.made++ == 0);
	*object = &m->crowd->thing;
	return WEFT_OK;
}

static weft_err ask(void *arg)
{
	struct member *m = arg;
	struct crowd *c = m->crowd;
	thing_handle h = thing_at(c->hub, "crowd", "thing");
	weft_deadline until = m->last || both_random(2)
		? WEFT_FOREVER
		: weft_after_ns((int64_t)both_random(6) * BOTH_TICK_NS);
	struct thing *t = NULL;
	void *value = NULL;

	if (c->once)
		m->err = weft_once_get_or_init(c->once, &value, init_perhaps, m, until);
	else
		m->err = thing_get_or_init(&h, &t, init_perhaps, m, until);
	if (!m->err)
		want((c->once ? value : (void *)t) == &c->thing && c->thing.made == 1);
	thing_handle_fini(&h);
	return WEFT_OK;
}

/* Only waits: for a registration that is sure to come, or until it is told not to. */
static weft_err await(void *arg)
{
	struct member *m = arg;
	thing_handle h = thing_at(m->crowd->hub, "crowd", "thing");
	struct thing *t = NULL;
	void *value = NULL;

	if (m->crowd->once)
		m->err = weft_once_wait(m->crowd->once, &value, WEFT_FOREVER);
	else
		m->err = thing_wait(&h, &t, WEFT_FOREVER);
	if (!m->err)
		want((m->crowd->once ? value : (void *)t) == &m->crowd->thing);
	thing_handle_fini(&h);
	return WEFT_OK;
}

static void run_crowd(bool with_once)
{
	struct member members[PARTIES];
	weft_scope *scopes[PARTIES];
	struct crowd c = { 0 };

	want_ok(weft_hub_create(&c.hub));
	want_ok(weft_mutex_create(&c.lock));
	if (with_once)
		want_ok(weft_once_create(&c.once, thing_end));
	for (unsigned i = 0; i < PARTIES; i++) {
		members[i] = (struct member){ &c, i == PARTIES - 1, WEFT_OK };
		want_ok(weft_scope_create(&scopes[i]));
		want_ok(weft_scope_spawn_on(
			scopes[i], worker_of(i), "member", i % 3 == 1 ? await : ask, &members[i]));
	}
	for (unsigned i = 0; i < PARTIES; i++) {
		both_pause();
		if (both_random(2))
			weft_scope_cancel(scopes[both_random(PARTIES - 1)]);
	}
	for (unsigned i = 0; i < PARTIES; i++) {
		want_ok(weft_scope_wait(scopes[i], WEFT_FOREVER));
		want(!members[i].err || members[i].err == WEFT_ECANCELED ||
			(i % 3 != 1 &&
				(members[i].err == WEFT_EIO || members[i].err == WEFT_ETIMEDOUT)));
		weft_scope_free(scopes[i]);
	}
	want_ok(members[PARTIES - 1].err);
	want(c.thing.made == 1 && weft_hub_len(c.hub) == (with_once ? 0 : 1));
	weft_once_free(c.once);
	weft_hub_free(c.hub);
	want(c.thing.made == 0);
	weft_mutex_free(c.lock);
}

BOTH_TEST(a_cancelled_initialiser_of_a_hub_leaves_nobody_asleep)
{
	for (unsigned i = 0; i < 5; i++)
		run_crowd(false);
	return WEFT_OK;
}

BOTH_TEST(a_cancelled_initialiser_of_a_once_leaves_nobody_asleep)
{
	for (unsigned i = 0; i < 5; i++)
		run_crowd(true);
	return WEFT_OK;
}

/* --- registrations come and go ---------------------------------------------------------------- */

struct market {
	weft_hub *hub;
	struct thing things[PARTIES];
};

struct trader {
	struct market *market;
	unsigned number;
};

static weft_err wait_for_goods(void *arg)
{
	struct trader *t = arg;

	for (unsigned i = 0; i < 10; i++) {
		thing_handle h = thing_at(t->market->hub, NULL, "goods");
		struct thing *thing;
		weft_err err = thing_wait(
			&h, &thing, both_random(2) ? WEFT_FOREVER : weft_after_ns(BOTH_TICK_NS));

		want(err == WEFT_OK || err == WEFT_ETIMEDOUT);
		if (!err) {
			want(thing->made == 1);
			both_pause();
			/* removed or not, it is there as long as the handle is */
			want(thing->made == 1 && thing_object(&h) == thing);
		}
		thing_handle_fini(&h);
	}
	return WEFT_OK;
}

static weft_err bring_goods(void *arg)
{
	struct trader *t = arg;
	struct thing *thing = &t->market->things[t->number];
	weft_err err = WEFT_OK;

	while (!err) {
		if (thing->made == 0) {
			thing->made = 1;
			err = thing_set(t->market->hub, NULL, "goods", thing);
			if (err == WEFT_EDUPLICATE) {
				thing->made = 0;
				err = WEFT_OK;
			}
		}
		both_pause();
		if (!err && both_random(2))
			err = thing_remove(t->market->hub, NULL, "goods");
		if (err == WEFT_ENOTFOUND)
			err = WEFT_OK;
		if (!err)
			err = weft_sleep_ns(BOTH_TICK_NS);
	}
	return err;
}

BOTH_TEST(who_waits_at_a_hub_is_woken_by_who_registers)
{
	/* traders of one worker: made is theirs alone */
	struct trader traders[PARTIES];
	struct market market = { 0 };
	weft_scope *bringing, *waiting;

	want_ok(weft_hub_create(&market.hub));
	want_ok(weft_scope_create(&bringing));
	want_ok(weft_scope_create(&waiting));
	for (unsigned i = 0; i < PARTIES; i++) {
		traders[i] = (struct trader){ &market, i };
		want_ok(weft_scope_spawn_on(i < 2 ? bringing : waiting, 0, "trader",
			i < 2 ? bring_goods : wait_for_goods, &traders[i]));
	}
	want_ok(weft_scope_wait(waiting, WEFT_FOREVER));
	weft_scope_free(waiting);
	weft_scope_free(bringing);
	weft_hub_free(market.hub);
	for (unsigned i = 0; i < PARTIES; i++)
		want(market.things[i].made == 0);
	return WEFT_OK;
}

/* --- tokens ------------------------------------------------------------------------------------ */

struct run {
	weft_cancel *token;
	weft_cancel *seen; /* what the run's fiber spawned waits for */
	weft_err err;
	bool entered, left, own_end;
	unsigned inside;
};

static weft_err helper(void *arg)
{
	struct run *r = arg;
	weft_err err;

	r->inside++;
	err = both_random(2) ? weft_cancel_wait(r->seen, WEFT_FOREVER)
			     : weft_sleep_until(WEFT_FOREVER);
	weft_shield_begin();
	both_pause();
	weft_shield_end();
	r->inside--;
	return err;
}

static weft_err run_until(void *arg)
{
	struct run *r = arg;
	weft_err err;

	r->entered = true;
	r->inside++;
	err = weft_spawn(NULL, "helper", helper, r);
	if (!err)
		err = weft_sleep_ns((int64_t)both_random(6) * BOTH_TICK_NS);
	r->own_end = !err;
	r->left = true;
	r->inside--;
	return err ? err : WEFT_EPROTO; /* so that the helper is told to end */
}

static weft_err run_fiber(void *arg)
{
	struct run *r = arg;
	weft_deadline until = both_random(2)
		? WEFT_FOREVER
		: weft_after_ns((int64_t)both_random(8) * BOTH_TICK_NS);

	r->err = weft_cancel_run(r->token, run_until, r, until);
	want(r->inside == 0 && r->left == r->entered);
	return WEFT_OK;
}

static void run_once(weft_cancel *root)
{
	struct run r = { 0 };
	weft_scope *scope;
	unsigned what = (unsigned)both_random(3);

	want_ok(weft_cancel_create(&r.token, root));
	want_ok(weft_cancel_create(&r.seen, r.token));
	want_ok(weft_scope_create(&scope));
	want_ok(weft_scope_spawn_on(scope, worker_of(1), "runs", run_fiber, &r));
	both_pause();
	both_pause();
	if (what == 0)
		weft_cancel_trigger(r.token, WEFT_EAUTH);
	else if (what == 1)
		weft_scope_cancel(scope);
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	if (r.own_end)
		want(r.err == WEFT_EPROTO);
	else
		want(r.err == WEFT_ETIMEDOUT || (what == 0 && r.err == WEFT_EAUTH) ||
			(what == 1 && r.err == WEFT_ECANCELED));
	weft_cancel_unref(r.seen);
	weft_cancel_unref(r.token);
}

BOTH_TEST(a_run_ends_with_the_first_of_what_may_end_it)
{
	weft_cancel *root;

	want_ok(weft_cancel_create(&root, NULL));
	for (unsigned i = 0; i < 20; i++)
		run_once(root);
	weft_cancel_unref(root);
	return WEFT_OK;
}

static weft_err wait_below(void *arg)
{
	weft_cancel *token = arg, *child;
	weft_err err = weft_cancel_create(&child, token);

	want_ok(err);
	both_pause();
	while ((err = weft_cancel_wait(child, weft_after_ns(BOTH_TICK_NS))) == WEFT_ETIMEDOUT)
		both_pause();
	want_ok(err);
	want(weft_cancel_reason(child) == WEFT_EIO && weft_cancel_is_cancelled(token));
	weft_cancel_unref(child);
	return WEFT_OK;
}

BOTH_TEST(who_waits_below_a_token_is_woken)
{
	weft_cancel *tokens[PARTIES];
	weft_scope *scope;

	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < PARTIES; i++) {
		want_ok(weft_cancel_create(&tokens[i], i ? tokens[both_random(i)] : NULL));
		want_ok(weft_scope_spawn_on(scope, worker_of(i), "waits", wait_below, tokens[i]));
	}
	both_pause();
	weft_cancel_trigger(tokens[0], WEFT_EIO);
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	for (unsigned i = 0; i < PARTIES; i++)
		weft_cancel_unref(tokens[i]);
	return WEFT_OK;
}

static void same_hub_tests(TCase *tc)
{
	both_add(tc, a_cancelled_initialiser_of_a_hub_leaves_nobody_asleep);
	both_add(tc, a_cancelled_initialiser_of_a_once_leaves_nobody_asleep);
	both_add(tc, who_waits_at_a_hub_is_woken_by_who_registers);
	both_add(tc, a_run_ends_with_the_first_of_what_may_end_it);
	both_add(tc, who_waits_below_a_token_is_woken);
}
T_SUITE("same/hub", same_hub_tests)
