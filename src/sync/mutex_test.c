/* SPDX-License-Identifier: MIT */
/* Mutex, semaphore and wait group. weft-test: timeout=300 */
#include "support/crew.h"
#include "support/t.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PARTIES = 6, ROUNDS = 1500 };

static weft_mutex *mutex_new(void)
{
	weft_mutex *mutex = NULL;

	ck_assert_int_eq(weft_mutex_create(&mutex), WEFT_OK);
	return mutex;
}

static weft_semaphore *semaphore_of(size_t permits)
{
	weft_semaphore *semaphore = NULL;

	ck_assert_int_eq(weft_semaphore_create(&semaphore, permits), WEFT_OK);
	return semaphore;
}

static weft_scope *scope_new(void)
{
	weft_scope *scope = NULL;

	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	return scope;
}

static void must_abort(void (*fn)(void *arg), void *arg)
{
	pid_t child = fork();
	int status = 0;

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		close(STDERR_FILENO);
		fn(arg);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

START_TEST(locks_are_created_or_fail_cleanly)
{
	weft_semaphore *semaphore = NULL;

	ck_assert_int_eq(weft_semaphore_create(&semaphore, WEFT_SEMAPHORE_MAX + 1), WEFT_EINVAL);
	T_EACH_FAILING_MALLOC(n) {
		weft_mutex *mutex = NULL;
		weft_waitgroup *group = NULL;
		weft_err err = weft_mutex_create(&mutex);

		semaphore = NULL;
		if (err == WEFT_OK)
			err = weft_semaphore_create(&semaphore, 1);
		if (err == WEFT_OK)
			err = weft_waitgroup_create(&group);
		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		weft_mutex_free(mutex);
		weft_semaphore_free(semaphore);
		weft_waitgroup_free(group);
	}
}
END_TEST

/* --- mutex ------------------------------------------------------------------------------- */

struct locker {
	weft_mutex *mutex;
	weft_deadline until;
	weft_err err;
	int *turns;
	int turn;
	bool returned;
};

static weft_err lock_once(void *arg)
{
	struct locker *l = arg;

	l->err = weft_mutex_lock(l->mutex, l->until);
	if (l->err == WEFT_OK) {
		l->turn = ++*l->turns;
		weft_mutex_unlock(l->mutex);
	}
	l->returned = true;
	return WEFT_OK;
}

static weft_err mutex_alone(void *arg)
{
	weft_mutex *mutex = arg;

	ck_assert_int_eq(weft_mutex_lock(mutex, WEFT_NOW), WEFT_OK);
	ck_assert_int_eq(weft_mutex_lock(mutex, WEFT_FOREVER), WEFT_EDEADLOCK);
	ck_assert(!weft_mutex_try_lock(mutex));
	weft_mutex_unlock(mutex);
	ck_assert(weft_mutex_try_lock(mutex));
	weft_mutex_unlock(mutex);
	return WEFT_OK;
}

START_TEST(mutex_knows_its_owner)
{
	weft_mutex *mutex = mutex_new();

	mutex_alone(mutex);
	ck_assert_int_eq(crew_main(1, mutex_alone, mutex), WEFT_OK);
	weft_mutex_free(mutex);
}
END_TEST

static void unlock(void *arg)
{
	weft_mutex_unlock(arg);
}

START_TEST(mutex_unlock_of_what_is_not_held_aborts)
{
	weft_mutex *mutex = mutex_new();

	must_abort(unlock, mutex);
	weft_mutex_free(mutex);
}
END_TEST

static weft_err mutex_waits(void *arg)
{
	weft_mutex *mutex = mutex_new();
	weft_scope *scope = scope_new(), *doomed = scope_new();
	int turns = 0;
	struct locker l[4];

	(void)arg;
	ck_assert_int_eq(weft_mutex_lock(mutex, WEFT_FOREVER), WEFT_OK);
	for (int i = 0; i < 4; i++) {
		l[i] = (struct locker){ mutex, i == 3 ? weft_after_ms(2) : WEFT_FOREVER, WEFT_OK,
			&turns, 0, false };
		ck_assert_int_eq(
			weft_scope_spawn(i == 1 ? doomed : scope, "locker", lock_once, &l[i]),
			WEFT_OK);
		crew_settle();
	}
	ck_assert_int_eq(weft_sleep_ms(4), WEFT_OK);
	ck_assert(l[3].returned && l[3].err == WEFT_ETIMEDOUT);
	weft_scope_cancel(doomed);
	crew_settle();
	ck_assert(l[1].returned && l[1].err == WEFT_ECANCELED);
	ck_assert_int_eq(turns, 0);
	weft_mutex_unlock(mutex);
	crew_settle();
	ck_assert(l[0].turn == 1 && l[2].turn == 2);
	weft_scope_free(scope);
	weft_scope_free(doomed);
	weft_mutex_free(mutex);
	return WEFT_OK;
}

START_TEST(mutex_is_had_in_turn_and_waits_end_early)
{
	ck_assert_int_eq(crew_main(1, mutex_waits, NULL), WEFT_OK);
}
END_TEST

static weft_err cancelled_after_wake(void *arg)
{
	weft_mutex *mutex = mutex_new();
	weft_scope *scope = scope_new(), *doomed = scope_new();
	int turns = 0;
	struct locker a = { mutex, WEFT_FOREVER, WEFT_OK, &turns, 0, false }, b = a;

	(void)arg;
	ck_assert_int_eq(weft_mutex_lock(mutex, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(doomed, "a", lock_once, &a), WEFT_OK);
	crew_settle();
	ck_assert_int_eq(weft_scope_spawn(scope, "b", lock_once, &b), WEFT_OK);
	crew_settle();
	weft_mutex_unlock(mutex);
	weft_scope_cancel(doomed);
	crew_settle();
	ck_assert(a.returned && b.returned && b.err == WEFT_OK);
	weft_scope_free(scope);
	weft_scope_free(doomed);
	weft_mutex_free(mutex);
	return WEFT_OK;
}

START_TEST(mutex_waiter_cancelled_after_its_wake_does_not_lose_it)
{
	ck_assert_int_eq(crew_main(1, cancelled_after_wake, NULL), WEFT_OK);
}
END_TEST

static weft_err hogged(void *arg)
{
	weft_mutex *mutex = mutex_new();
	weft_scope *scope = scope_new();
	int turns = 0, rounds = 0;
	struct locker l = { mutex, WEFT_FOREVER, WEFT_OK, &turns, 0, false };

	(void)arg;
	ck_assert_int_eq(weft_mutex_lock(mutex, WEFT_FOREVER), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(scope, "locker", lock_once, &l), WEFT_OK);
	while (!l.returned) {
		crew_settle();
		weft_mutex_unlock(mutex);
		/* before the woken one can run */
		if (weft_mutex_try_lock(mutex))
			rounds++;
		else
			ck_assert_int_eq(weft_mutex_lock(mutex, WEFT_FOREVER), WEFT_OK);
		ck_assert_int_lt(rounds, 4);
	}
	weft_mutex_unlock(mutex);
	ck_assert_int_eq(rounds, 2);
	weft_scope_free(scope);
	weft_mutex_free(mutex);
	return WEFT_OK;
}

START_TEST(mutex_is_handed_to_a_waiter_woken_twice_in_vain)
{
	ck_assert_int_eq(crew_main(1, hogged, NULL), WEFT_OK);
}
END_TEST

struct shared {
	weft_mutex *mutex;
	weft_semaphore *semaphore;
	uint64_t counter; /* under the mutex */
	_Atomic uint64_t done;
	_Atomic int64_t inside;
	uint64_t seed;
};

struct party {
	struct shared *shared;
	uint64_t state;
};

static weft_deadline random_deadline(uint64_t *state)
{
	return t_random(state) % 2 ? WEFT_FOREVER
				   : weft_after_ns((int64_t)(t_random(state) % 20000));
}

static weft_err mutex_body(void *arg)
{
	struct party *p = arg;
	struct shared *s = p->shared;

	for (int i = 0; i < ROUNDS; i++) {
		weft_err err = weft_mutex_lock(s->mutex, random_deadline(&p->state));

		T_OUGHT(err == WEFT_OK || err == WEFT_ETIMEDOUT);
		if (err != WEFT_OK)
			continue;
		s->counter++;
		if (t_random(&p->state) % 16 == 0)
			(void)weft_yield();
		atomic_fetch_add(&s->done, 1);
		weft_mutex_unlock(s->mutex);
	}
	return WEFT_OK;
}

static void crew_of(struct shared *s, weft_err (*body)(void *), enum crew_mode mode)
{
	struct crew_member members[PARTIES];
	struct party parties[PARTIES];

	s->seed = t_seed();
	for (size_t i = 0; i < PARTIES; i++) {
		parties[i] = (struct party){ s, s->seed + i };
		members[i] = (struct crew_member){ body, &parties[i] };
	}
	crew_run(mode, s->seed, members, PARTIES);
}

START_TEST(mutex_excludes)
{
	struct shared s = { .mutex = mutex_new() };

	crew_of(&s, mutex_body, (enum crew_mode)_i);
	ck_assert_uint_eq(s.counter, s.done);
	ck_assert(weft_mutex_try_lock(s.mutex));
	weft_mutex_unlock(s.mutex);
	weft_mutex_free(s.mutex);
}
END_TEST

/* --- semaphore ------------------------------------------------------------------------------ */

START_TEST(semaphore_counts_its_permits)
{
	weft_semaphore *s = semaphore_of(3);

	ck_assert(weft_semaphore_try_acquire(s, 2));
	ck_assert_uint_eq(weft_semaphore_available(s), 1);
	ck_assert(!weft_semaphore_try_acquire(s, 2));
	ck_assert(weft_semaphore_try_acquire(s, 0));
	ck_assert_int_eq(weft_semaphore_acquire(s, 2, WEFT_NOW), WEFT_ETIMEDOUT);
	ck_assert_int_eq(weft_semaphore_acquire(s, 2, weft_after_ms(1)), WEFT_ETIMEDOUT);
	ck_assert_int_eq(
		weft_semaphore_acquire(s, WEFT_SEMAPHORE_MAX + 1, WEFT_FOREVER), WEFT_EINVAL);
	weft_semaphore_release(s, 1);
	ck_assert_int_eq(weft_semaphore_acquire(s, 2, WEFT_FOREVER), WEFT_OK);
	ck_assert_uint_eq(weft_semaphore_available(s), 0);
	weft_semaphore_close(s);
	weft_semaphore_release(s, 1);
	ck_assert_int_eq(weft_semaphore_acquire(s, 1, WEFT_FOREVER), WEFT_ECLOSED);
	ck_assert(!weft_semaphore_try_acquire(s, 1));
	weft_semaphore_free(s);
}
END_TEST

struct acquirer {
	weft_semaphore *semaphore;
	size_t count;
	weft_err err;
	bool returned;
};

static weft_err acquire_once(void *arg)
{
	struct acquirer *a = arg;

	a->err = weft_semaphore_acquire(a->semaphore, a->count, WEFT_FOREVER);
	a->returned = true;
	return WEFT_OK;
}

static void acquirer_start(weft_scope *scope, struct acquirer *a, weft_semaphore *s, size_t count)
{
	*a = (struct acquirer){ s, count, WEFT_OK, false };
	ck_assert_int_eq(weft_scope_spawn(scope, "acquirer", acquire_once, a), WEFT_OK);
	crew_settle();
}

static weft_err semaphore_in_order(void *arg)
{
	weft_semaphore *s = semaphore_of(2);
	weft_scope *scope = scope_new(), *doomed = scope_new();
	struct acquirer large, small, last;

	(void)arg;
	acquirer_start(scope, &large, s, 5);
	acquirer_start(scope, &small, s, 1);
	/* the large one is first, though the small one would fit */
	ck_assert(!large.returned && !small.returned);
	ck_assert(!weft_semaphore_try_acquire(s, 1));
	weft_semaphore_release(s, 2);
	crew_settle();
	ck_assert(!large.returned && !small.returned);
	weft_semaphore_release(s, 1);
	crew_settle();
	ck_assert(large.returned && large.err == WEFT_OK && !small.returned);
	weft_semaphore_release(s, 1);
	crew_settle();
	ck_assert(small.returned && small.err == WEFT_OK);

	/* who gives up makes room for those behind */
	weft_semaphore_release(s, 1);
	acquirer_start(doomed, &large, s, 5);
	acquirer_start(scope, &small, s, 1);
	acquirer_start(scope, &last, s, 1);
	weft_scope_cancel(doomed);
	crew_settle();
	ck_assert(large.returned && large.err == WEFT_ECANCELED);
	ck_assert(small.returned && small.err == WEFT_OK && !last.returned);
	weft_semaphore_close(s);
	crew_settle();
	ck_assert(last.returned && last.err == WEFT_ECLOSED);
	weft_scope_free(scope);
	weft_scope_free(doomed);
	weft_semaphore_free(s);
	return WEFT_OK;
}

START_TEST(semaphore_serves_in_order_and_starves_no_large_request)
{
	ck_assert_int_eq(crew_main(1, semaphore_in_order, NULL), WEFT_OK);
}
END_TEST

enum { PERMITS = 5 };

static weft_err semaphore_body(void *arg)
{
	struct party *p = arg;
	struct shared *s = p->shared;

	for (int i = 0; i < ROUNDS; i++) {
		size_t count = t_random(&p->state) % (PERMITS + 1);
		weft_err err =
			weft_semaphore_acquire(s->semaphore, count, random_deadline(&p->state));

		T_OUGHT(err == WEFT_OK || err == WEFT_ETIMEDOUT);
		if (err != WEFT_OK)
			continue;
		T_OUGHT(atomic_fetch_add(&s->inside, (int64_t)count) + (int64_t)count <= PERMITS);
		if (t_random(&p->state) % 16 == 0)
			(void)weft_yield();
		atomic_fetch_sub(&s->inside, (int64_t)count);
		weft_semaphore_release(s->semaphore, count);
	}
	return WEFT_OK;
}

START_TEST(semaphore_never_gives_more_than_it_has)
{
	struct shared s = { .semaphore = semaphore_of(PERMITS) };

	crew_of(&s, semaphore_body, (enum crew_mode)_i);
	ck_assert_uint_eq(weft_semaphore_available(s.semaphore), PERMITS);
	weft_semaphore_free(s.semaphore);
}
END_TEST

/* --- wait group ---------------------------------------------------------------------------- */

START_TEST(waitgroup_waits_for_zero)
{
	weft_waitgroup *group;

	ck_assert_int_eq(weft_waitgroup_create(&group), WEFT_OK);
	for (int use = 0; use < 3; use++) {
		ck_assert_int_eq(weft_waitgroup_wait(group, WEFT_NOW), WEFT_OK);
		weft_waitgroup_add(group, 2);
		ck_assert_int_eq(weft_waitgroup_wait(group, WEFT_NOW), WEFT_ETIMEDOUT);
		weft_waitgroup_done(group);
		ck_assert_int_eq(weft_waitgroup_wait(group, weft_after_ms(1)), WEFT_ETIMEDOUT);
		weft_waitgroup_done(group);
		ck_assert_int_eq(weft_waitgroup_wait(group, WEFT_FOREVER), WEFT_OK);
	}
	weft_waitgroup_free(group);
}
END_TEST

static void done(void *arg)
{
	weft_waitgroup_done(arg);
}

START_TEST(waitgroup_below_zero_aborts)
{
	weft_waitgroup *group;

	ck_assert_int_eq(weft_waitgroup_create(&group), WEFT_OK);
	must_abort(done, group);
	weft_waitgroup_free(group);
}
END_TEST

struct group_waiter {
	weft_waitgroup *group;
	weft_err err;
	bool returned;
};

static weft_err group_wait_once(void *arg)
{
	struct group_waiter *w = arg;

	w->err = weft_waitgroup_wait(w->group, WEFT_FOREVER);
	w->returned = true;
	return WEFT_OK;
}

static weft_err group_wakes_all(void *arg)
{
	weft_waitgroup *group;
	weft_scope *scope = scope_new(), *doomed = scope_new();
	struct group_waiter w[40];

	(void)arg;
	ck_assert_int_eq(weft_waitgroup_create(&group), WEFT_OK);
	weft_waitgroup_add(group, 1);
	for (size_t i = 0; i < 40; i++) {
		w[i] = (struct group_waiter){ group, WEFT_OK, false };
		ck_assert_int_eq(weft_scope_spawn(i % 4 == 3 ? doomed : scope, "waiter",
					 group_wait_once, &w[i]),
			WEFT_OK);
	}
	crew_settle();
	weft_scope_cancel(doomed);
	crew_settle();
	for (size_t i = 0; i < 40; i++)
		ck_assert(w[i].returned == (i % 4 == 3) &&
			(i % 4 != 3 || w[i].err == WEFT_ECANCELED));
	weft_waitgroup_done(group);
	ck_assert_int_eq(weft_scope_wait(scope, WEFT_FOREVER), WEFT_OK);
	for (size_t i = 0; i < 40; i++)
		ck_assert(w[i].returned && (i % 4 == 3 || w[i].err == WEFT_OK));
	weft_scope_free(scope);
	weft_scope_free(doomed);
	weft_waitgroup_free(group);
	return WEFT_OK;
}

START_TEST(waitgroup_wakes_everybody_who_waits)
{
	ck_assert_int_eq(crew_main(1, group_wakes_all, NULL), WEFT_OK);
}
END_TEST

enum { GROUPS = 1500 };

struct groups {
	weft_waitgroup *groups[GROUPS];
	uint64_t made[GROUPS]; /* written before the first done, read after wait */
};

static weft_err groups_done(void *arg)
{
	struct groups *g = arg;

	for (size_t i = 0; i < GROUPS; i++) {
		g->made[i] = i;
		weft_waitgroup_done(g->groups[i]);
	}
	return WEFT_OK;
}

static weft_err groups_wait_and_free(void *arg)
{
	struct groups *g = arg;

	for (size_t i = 0; i < GROUPS; i++) {
		while (weft_waitgroup_wait(g->groups[i], weft_after_ns((int64_t)(i % 7) * 1000)))
			(void)weft_yield();
		T_OUGHT(g->made[i] == i);
		weft_waitgroup_free(g->groups[i]);
	}
	return WEFT_OK;
}

START_TEST(waitgroup_may_be_freed_as_soon_as_wait_returns)
{
	static struct groups g;
	struct crew_member members[] = { { groups_done, &g }, { groups_wait_and_free, &g } };
	int64_t live = t_malloc_live();

	for (size_t i = 0; i < GROUPS; i++) {
		ck_assert_int_eq(weft_waitgroup_create(&g.groups[i]), WEFT_OK);
		weft_waitgroup_add(g.groups[i], 1);
	}
	crew_run((enum crew_mode)_i, t_seed(), members, 2);
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

static void mutex_tests(TCase *tc)
{
	t_add(tc, locks_are_created_or_fail_cleanly);
	t_add(tc, mutex_knows_its_owner);
	t_add(tc, mutex_unlock_of_what_is_not_held_aborts);
	t_add(tc, mutex_is_had_in_turn_and_waits_end_early);
	t_add(tc, mutex_waiter_cancelled_after_its_wake_does_not_lose_it);
	t_add(tc, mutex_is_handed_to_a_waiter_woken_twice_in_vain);
	t_add_loop(tc, mutex_excludes, 0, CREW_MODES);
	t_add(tc, semaphore_counts_its_permits);
	t_add(tc, semaphore_serves_in_order_and_starves_no_large_request);
	t_add_loop(tc, semaphore_never_gives_more_than_it_has, 0, CREW_MODES);
	t_add(tc, waitgroup_waits_for_zero);
	t_add(tc, waitgroup_below_zero_aborts);
	t_add(tc, waitgroup_wakes_everybody_who_waits);
	t_add_loop(tc, waitgroup_may_be_freed_as_soon_as_wait_returns, 0, CREW_MODES);
}
T_SUITE("mutex", mutex_tests)
