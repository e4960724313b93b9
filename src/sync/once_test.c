/* SPDX-License-Identifier: MIT */
#include "support/crew.h"
#include "support/t.h"

#include <stdatomic.h>
#include <string.h>

static int one, two;

static weft_once *once_new(void (*destroy)(void *))
{
	weft_once *once = NULL;

	ck_assert_int_eq(weft_once_create(&once, destroy), WEFT_OK);
	return once;
}

static weft_err init_one(void *arg, void **value)
{
	if (arg)
		++*(int *)arg;
	*value = &one;
	return WEFT_OK;
}

static weft_err init_fails(void *arg, void **value)
{
	(void)arg;
	(void)value;
	return WEFT_EPROTO;
}

static weft_err init_null(void *arg, void **value)
{
	(void)arg;
	*value = NULL;
	return WEFT_OK;
}

static int destroyed;

static void destroy_one(void *value)
{
	ck_assert_ptr_eq(value, &one);
	destroyed++;
}

START_TEST(once_makes_its_value_once_and_destroys_it_once)
{
	weft_once *once = once_new(destroy_one);
	void *value = NULL;
	int calls = 0;

	destroyed = 0;
	ck_assert_ptr_null(weft_once_get(once));
	ck_assert_int_eq(weft_once_wait(once, &value, WEFT_NOW), WEFT_ETIMEDOUT);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(
			weft_once_get_or_init(once, &value, init_one, &calls, WEFT_NOW), WEFT_OK);
		ck_assert_ptr_eq(value, &one);
	}
	ck_assert_int_eq(calls, 1);
	ck_assert_ptr_eq(weft_once_get(once), &one);
	ck_assert_int_eq(weft_once_wait(once, &value, WEFT_NOW), WEFT_OK);
	ck_assert_int_eq(weft_once_set(once, &two), WEFT_EDUPLICATE);
	weft_once_free(once);
	ck_assert_int_eq(destroyed, 1);
	weft_once_free(NULL);
}
END_TEST

START_TEST(once_failed_init_leaves_it_empty)
{
	weft_once *once = once_new(destroy_one);
	void *value = &two;

	destroyed = 0;
	ck_assert_int_eq(
		weft_once_get_or_init(once, &value, init_fails, NULL, WEFT_FOREVER), WEFT_EPROTO);
	ck_assert_int_eq(
		weft_once_get_or_init(once, &value, init_null, NULL, WEFT_FOREVER), WEFT_EINVAL);
	ck_assert_ptr_eq(value, &two);
	ck_assert_int_eq(weft_once_set(once, NULL), WEFT_EINVAL);
	weft_once_free(once);
	ck_assert_int_eq(destroyed, 0);
	once = once_new(NULL);
	ck_assert_int_eq(weft_once_set(once, &two), WEFT_OK);
	ck_assert_ptr_eq(weft_once_get(once), &two);
	weft_once_free(once);
}
END_TEST

static weft_err init_again(void *arg, void **value)
{
	ck_assert_int_eq(
		weft_once_get_or_init(arg, value, init_one, NULL, WEFT_FOREVER), WEFT_EDEADLOCK);
	ck_assert_int_eq(weft_once_set(arg, &two), WEFT_EDUPLICATE);
	*value = &one;
	return WEFT_OK;
}

START_TEST(once_init_that_asks_for_itself_is_told)
{
	weft_once *once = once_new(NULL);
	void *value = NULL;

	ck_assert_int_eq(
		weft_once_get_or_init(once, &value, init_again, once, WEFT_FOREVER), WEFT_OK);
	ck_assert_ptr_eq(value, &one);
	weft_once_free(once);
}
END_TEST

START_TEST(once_create_fails_cleanly)
{
	T_EACH_FAILING_MALLOC(n) {
		weft_once *once = NULL;
		weft_err err = weft_once_create(&once, NULL);

		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		weft_once_free(once);
	}
}
END_TEST

/* --- fibers of one worker ------------------------------------------------------------------ */

struct asker {
	weft_once *once;
	weft_chan *go; /* init waits for a word here: true: succeed */
	int *inits;
	void *value;
	weft_err err;
	bool returned;
};

static weft_err init_when_told(void *arg, void **value)
{
	struct asker *a = arg;
	bool succeed;
	weft_err err;

	++*a->inits;
	err = weft_chan_recv(a->go, &succeed, WEFT_FOREVER);
	if (err != WEFT_OK)
		return err;
	*value = &one;
	return succeed ? WEFT_OK : WEFT_EPROTO;
}

static weft_err ask(void *arg)
{
	struct asker *a = arg;

	a->err = weft_once_get_or_init(a->once, &a->value, init_when_told, a, WEFT_FOREVER);
	a->returned = true;
	return WEFT_OK;
}

static weft_err await(void *arg)
{
	struct asker *a = arg;

	a->err = weft_once_wait(a->once, &a->value, WEFT_FOREVER);
	a->returned = true;
	return WEFT_OK;
}

enum { ASKERS = 5 };

struct scene {
	weft_once *once;
	weft_chan *go;
	weft_scope *scopes[ASKERS];
	struct asker askers[ASKERS];
	int inits;
};

/* The last of them only waits. */
static void scene_open(struct scene *s)
{
	memset(s, 0, sizeof(*s));
	s->once = once_new(NULL);
	ck_assert_int_eq(weft_chan_create(&s->go, sizeof(bool), 0, NULL), WEFT_OK);
	for (size_t i = 0; i < ASKERS; i++) {
		s->askers[i] = (struct asker){ s->once, s->go, &s->inits, NULL, WEFT_OK, false };
		ck_assert_int_eq(weft_scope_create(&s->scopes[i]), WEFT_OK);
		ck_assert_int_eq(weft_scope_spawn(s->scopes[i], "asker",
					 i == ASKERS - 1 ? await : ask, &s->askers[i]),
			WEFT_OK);
		crew_settle();
	}
	ck_assert_int_eq(s->inits, 1);
}

static void scene_close(struct scene *s)
{
	for (size_t i = 0; i < ASKERS; i++)
		weft_scope_free(s->scopes[i]);
	weft_chan_unref(s->go);
	weft_once_free(s->once);
}

static void tell(struct scene *s, bool succeed)
{
	ck_assert_int_eq(weft_chan_try_send(s->go, &succeed), WEFT_OK);
	crew_settle();
}

static weft_err failing_hands_over(void *arg)
{
	struct scene s;

	(void)arg;
	scene_open(&s);
	tell(&s, false);
	ck_assert(s.askers[0].returned && s.askers[0].err == WEFT_EPROTO);
	ck_assert(!s.askers[1].returned && s.inits == 2);
	/* the second is cancelled inside its init: that is a failure like any other */
	weft_scope_cancel(s.scopes[1]);
	crew_settle();
	ck_assert(s.askers[1].returned && s.askers[1].err == WEFT_ECANCELED);
	ck_assert_int_eq(s.inits, 3);
	tell(&s, true);
	for (size_t i = 2; i < ASKERS; i++)
		ck_assert(s.askers[i].returned && s.askers[i].err == WEFT_OK &&
			s.askers[i].value == &one);
	ck_assert_int_eq(s.inits, 3);
	scene_close(&s);
	return WEFT_OK;
}

/* spec: failure 8 */
START_TEST(once_failed_or_cancelled_init_hands_over_to_the_next)
{
	ck_assert_int_eq(crew_main(1, failing_hands_over, NULL), WEFT_OK);
}
END_TEST

static weft_err chosen_is_cancelled(void *arg)
{
	struct scene s;
	bool fail = false;

	(void)arg;
	scene_open(&s);
	/* the first fails and chooses the second, which is cancelled in the same moment */
	ck_assert_int_eq(weft_chan_try_send(s.go, &fail), WEFT_OK);
	weft_scope_cancel(s.scopes[1]);
	crew_settle();
	ck_assert(s.askers[0].returned && s.askers[1].returned);
	ck_assert(!s.askers[2].returned && s.inits >= 2);
	tell(&s, true);
	for (size_t i = 2; i < ASKERS; i++)
		ck_assert(s.askers[i].returned && s.askers[i].value == &one);
	scene_close(&s);
	return WEFT_OK;
}

START_TEST(once_waiter_cancelled_when_its_turn_came_passes_it_on)
{
	ck_assert_int_eq(crew_main(1, chosen_is_cancelled, NULL), WEFT_OK);
}
END_TEST

static weft_err waiter_is_cancelled(void *arg)
{
	struct scene s;

	(void)arg;
	scene_open(&s);
	for (size_t i = 1; i < ASKERS; i++)
		weft_scope_cancel(s.scopes[i]);
	crew_settle();
	for (size_t i = 1; i < ASKERS; i++)
		ck_assert(s.askers[i].returned && s.askers[i].err == WEFT_ECANCELED);
	tell(&s, true);
	ck_assert(s.askers[0].returned && s.askers[0].err == WEFT_OK);
	scene_close(&s);
	return WEFT_OK;
}

START_TEST(once_waiting_is_a_cancellation_point)
{
	ck_assert_int_eq(crew_main(1, waiter_is_cancelled, NULL), WEFT_OK);
}
END_TEST

enum { MANY = 24 };

struct crowd {
	weft_once *once;
	weft_chan *begun; /* numbers of those whose init has begun */
	weft_scope *scopes[MANY];
	struct member {
		struct crowd *crowd;
		unsigned number;
		weft_err err;
	} members[MANY];
};

static weft_err init_until_cancelled(void *arg, void **value)
{
	struct member *m = arg;

	ck_assert_int_eq(weft_chan_try_send(m->crowd->begun, &m->number), WEFT_OK);
	*value = &one;
	return m->number == MANY - 1 ? WEFT_OK : weft_sleep_until(WEFT_FOREVER);
}

static weft_err ask_in_crowd(void *arg)
{
	struct member *m = arg;
	void *value = NULL;

	m->err = weft_once_get_or_init(
		m->crowd->once, &value, init_until_cancelled, m, WEFT_FOREVER);
	ck_assert(m->err == WEFT_ECANCELED || (m->err == WEFT_OK && value == &one));
	return WEFT_OK;
}

/* Whoever makes it is cancelled, and now and then others with it, who may have been woken in
 * this moment; but never the last. When nobody has a turn any more, this does not end. */
static weft_err all_but_one_are_cancelled(void *arg)
{
	uint64_t *seed = arg;
	struct crowd c = { .once = once_new(NULL) };
	unsigned number;

	ck_assert_int_eq(
		weft_chan_create(&c.begun, sizeof(unsigned), WEFT_CHAN_UNBOUNDED, NULL), WEFT_OK);
	for (unsigned i = 0; i < MANY; i++) {
		c.members[i] = (struct member){ &c, i, WEFT_OK };
		ck_assert_int_eq(weft_scope_create(&c.scopes[i]), WEFT_OK);
		ck_assert_int_eq(weft_scope_spawn_on(c.scopes[i], i % weft_worker_count(), "member",
					 ask_in_crowd, &c.members[i]),
			WEFT_OK);
	}
	do {
		unsigned others = (unsigned)(t_random(seed) % 3);

		ck_assert_int_eq(weft_chan_recv(c.begun, &number, WEFT_FOREVER), WEFT_OK);
		if (number == MANY - 1)
			break;
		weft_scope_cancel(c.scopes[number]);
		while (others-- > 0)
			weft_scope_cancel(c.scopes[t_random(seed) % (MANY - 1)]);
	} while (true);
	for (unsigned i = 0; i < MANY; i++) {
		ck_assert_int_eq(weft_scope_wait(c.scopes[i], WEFT_FOREVER), WEFT_OK);
		weft_scope_free(c.scopes[i]);
	}
	ck_assert_int_eq(c.members[MANY - 1].err, WEFT_OK);
	weft_chan_unref(c.begun);
	weft_once_free(c.once);
	return WEFT_OK;
}

/* spec: failures 1 and 8 */
START_TEST(once_4496_cancelled_initialisers_leave_nobody_asleep)
{
	uint64_t seed = t_seed();

	for (int i = 0; i < 30; i++)
		ck_assert_int_eq(
			crew_main(1 + (unsigned)_i, all_but_one_are_cancelled, &seed), WEFT_OK);
}
END_TEST

/* --- races ----------------------------------------------------------------------------------- */

enum { PARTIES = 6, ONCES = 300 };

struct race {
	weft_once *onces[ONCES];
	_Atomic int running[ONCES], made[ONCES];
	uint64_t seed;
};

struct party {
	struct race *race;
	uint64_t state;
	size_t at;
};

static weft_err init_racing(void *arg, void **value)
{
	struct party *p = arg;
	struct race *r = p->race;
	bool fails = t_random(&p->state) % 3 == 0;

	ck_assert_int_eq(atomic_fetch_add(&r->running[p->at], 1), 0);
	ck_assert_int_eq(r->made[p->at], 0);
	if (t_random(&p->state) % 2)
		(void)weft_yield();
	if (!fails)
		atomic_store(&r->made[p->at], 1);
	atomic_fetch_sub(&r->running[p->at], 1);
	*value = &r->made[p->at];
	return fails ? WEFT_EIO : WEFT_OK;
}

static weft_err race_body(void *arg)
{
	struct party *p = arg;

	for (p->at = 0; p->at < ONCES; p->at++) {
		void *value = NULL;
		weft_err err;

		do {
			weft_deadline until = t_random(&p->state) % 2
				? WEFT_FOREVER
				: weft_after_ns((int64_t)(t_random(&p->state) % 5000));

			err = weft_once_get_or_init(
				p->race->onces[p->at], &value, init_racing, p, until);
			ck_assert(err == WEFT_OK || err == WEFT_EIO || err == WEFT_ETIMEDOUT);
		} while (err != WEFT_OK);
		ck_assert_ptr_eq(value, &p->race->made[p->at]);
	}
	return WEFT_OK;
}

START_TEST(once_is_made_by_one_of_many)
{
	static struct race race;
	struct crew_member members[PARTIES];
	struct party parties[PARTIES];

	race.seed = t_seed();
	for (size_t i = 0; i < ONCES; i++)
		race.onces[i] = once_new(NULL);
	for (size_t i = 0; i < PARTIES; i++) {
		parties[i] = (struct party){ &race, race.seed + i, 0 };
		members[i] = (struct crew_member){ race_body, &parties[i] };
	}
	crew_run((enum crew_mode)_i, race.seed, members, PARTIES);
	for (size_t i = 0; i < ONCES; i++) {
		ck_assert_int_eq(race.made[i], 1);
		weft_once_free(race.onces[i]);
	}
}
END_TEST

static void once_tests(TCase *tc)
{
	t_add(tc, once_makes_its_value_once_and_destroys_it_once);
	t_add(tc, once_failed_init_leaves_it_empty);
	t_add(tc, once_init_that_asks_for_itself_is_told);
	t_add(tc, once_create_fails_cleanly);
	t_add(tc, once_failed_or_cancelled_init_hands_over_to_the_next);
	t_add(tc, once_waiter_cancelled_when_its_turn_came_passes_it_on);
	t_add(tc, once_waiting_is_a_cancellation_point);
	t_add_loop(tc, once_4496_cancelled_initialisers_leave_nobody_asleep, 0, 2);
	t_add_loop(tc, once_is_made_by_one_of_many, 0, CREW_MODES);
}
T_SUITE("once", once_tests)
