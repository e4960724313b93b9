/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/*
 * What fibers share, under the seeded scheduler, with time-outs and cancellations at any
 * moment. A wake that is lost is a deadlock, which the simulator reports; besides:
 *
 *   channels   a message is received once if its send succeeded, and never if it failed
 *   locks      never more holders than places, and all places free at the end
 *   once       one initialiser succeeds, and everybody gets its value
 */
#include "support/both.h"

#include <stdlib.h>
#include <string.h>

#define CHANS_MAX 4
#define SENDERS_MAX 6
#define RECEIVERS_MAX 6
#define EACH 40

enum fate { UNSENT, SENT, NOT_SENT, RECEIVED, DESTROYED };

struct message {
	unsigned sender, number;
};

struct world {
	unsigned chans_len, senders_len, receivers_len;
	weft_chan *chans[CHANS_MAX];
	enum fate fates[SENDERS_MAX][EACH];
	unsigned sent, received, destroyed;
};

struct party {
	struct world *world;
	unsigned number;
	/* receivers: the next number that may come from a sender over a channel */
	unsigned next[CHANS_MAX][SENDERS_MAX];
};

static struct world world;

static int64_t ticks_below(unsigned bound)
{
	return (int64_t)weft_sim_random_below(bound) * BOTH_TICK_NS;
}

static weft_deadline soon(void)
{
	switch (weft_sim_random_below(4)) {
	case 0:
		return WEFT_NOW;
	case 1:
		return weft_after_ns(ticks_below(4));
	default:
		return WEFT_FOREVER;
	}
}

static void maybe_pause(void)
{
	if (weft_sim_random_below(3) == 0)
		both_pause();
}

static void destroyed(void *message, void *user)
{
	const struct message *m = message;
	struct world *w = user;

	want(w->fates[m->sender][m->number] == SENT);
	w->fates[m->sender][m->number] = DESTROYED;
	w->destroyed++;
}

/* One case a channel, in a random order. */
static weft_err select_one(struct world *w, weft_select_kind kind, void *message, unsigned *chan)
{
	weft_select_case cases[CHANS_MAX];
	unsigned first = (unsigned)weft_sim_random_below(w->chans_len);
	size_t chosen;
	weft_err err;

	memset(cases, 0, sizeof(cases));
	for (unsigned i = 0; i < w->chans_len; i++) {
		cases[i].kind = kind;
		cases[i].chan = w->chans[(first + i) % w->chans_len];
		cases[i].message = message;
	}
	err = weft_select(cases, w->chans_len,
		weft_sim_random_below(2) ? WEFT_SELECT_FAIR : WEFT_SELECT_BIASED, &chosen, soon());
	if (err)
		return err;
	*chan = (first + (unsigned)chosen) % w->chans_len;
	return cases[chosen].result;
}

static weft_err send_somehow(struct world *w, struct message *m)
{
	unsigned chan = (unsigned)weft_sim_random_below(w->chans_len);

	switch (weft_sim_random_below(3)) {
	case 0:
		return weft_chan_try_send(w->chans[chan], m);
	case 1:
		return weft_chan_send(w->chans[chan], m, soon());
	default:
		return select_one(w, WEFT_SELECT_SEND, m, &chan);
	}
}

static weft_err send_all(void *arg)
{
	struct party *p = arg;
	struct world *w = p->world;

	for (unsigned i = 0; i < EACH; i++) {
		struct message m = { p->number, i };
		weft_err err;

		if (w->fates[p->number][i] != UNSENT)
			continue; /* an earlier life of this sender was here */
		maybe_pause();
		/* before the call: it may be received before this fiber runs again */
		w->fates[p->number][i] = SENT;
		err = send_somehow(w, &m);
		if (err == WEFT_OK) {
			w->sent++;
			continue;
		}
		want(w->fates[p->number][i] == SENT);
		w->fates[p->number][i] = NOT_SENT;
		if (err == WEFT_ECANCELED)
			return err;
		want(err == WEFT_ETIMEDOUT || err == WEFT_EAGAIN);
	}
	return WEFT_OK;
}

static void take(struct party *p, unsigned chan, const struct message *m)
{
	struct world *w = p->world;

	want(m->sender < w->senders_len && m->number < EACH);
	want(w->fates[m->sender][m->number] == SENT);
	want(m->number >= p->next[chan][m->sender]);
	w->fates[m->sender][m->number] = RECEIVED;
	p->next[chan][m->sender] = m->number + 1;
	w->received++;
}

/* Over a channel of its own, or over all: so that each has somebody who receives, and no
 * wake that is lost is made good by a time-out. */
static weft_err receive_some(void *arg)
{
	struct party *p = arg;
	struct world *w = p->world;

	for (;;) {
		unsigned chan = p->number % w->chans_len;
		struct message m;
		weft_err err;

		maybe_pause();
		if (weft_sim_random_below(2))
			err = weft_chan_recv(w->chans[chan], &m, soon());
		else
			err = select_one(w, WEFT_SELECT_RECV, &m, &chan);
		if (err == WEFT_OK) {
			take(p, chan, &m);
			continue;
		}
		if (err == WEFT_ECANCELED || err == WEFT_ECLOSED)
			return WEFT_ECANCELED;
		want(err == WEFT_ETIMEDOUT);
		both_sleep_ns(BOTH_TICK_NS);
	}
}

/* A life is cut short by cancellation, and another one begun. */
static weft_err live_again_and_again(weft_fiber_fn fn, struct party *p)
{
	for (unsigned lives = 1 + (unsigned)weft_sim_random_below(4); lives > 0; lives--) {
		weft_scope *scope;
		weft_err err;

		want_ok(weft_scope_create(&scope));
		err = weft_scope_spawn(scope, "life", fn, p);
		want(err == WEFT_OK || err == WEFT_ECANCELED);
		err = weft_scope_wait(
			scope, lives == 1 ? WEFT_FOREVER : weft_after_ns(ticks_below(30)));
		want(err == WEFT_OK || err == WEFT_ETIMEDOUT || err == WEFT_ECANCELED);
		weft_scope_free(scope);
		if (err == WEFT_ECANCELED)
			return err;
	}
	return WEFT_OK;
}

static weft_err sender_lives(void *arg)
{
	return live_again_and_again(send_all, arg);
}

static weft_err receiver_lives(void *arg)
{
	return live_again_and_again(receive_some, arg);
}

static void world_open(struct world *w)
{
	static const size_t capacities[] = { 0, 1, 2, 5, WEFT_CHAN_UNBOUNDED };
	weft_chan_options options = { destroyed, w };

	memset(w, 0, sizeof(*w));
	w->chans_len = 1 + (unsigned)weft_sim_random_below(CHANS_MAX);
	w->senders_len = 1 + (unsigned)weft_sim_random_below(SENDERS_MAX);
	w->receivers_len = w->chans_len + (unsigned)weft_sim_random_below(RECEIVERS_MAX);
	for (unsigned i = 0; i < w->chans_len; i++)
		want_ok(weft_chan_create(&w->chans[i], sizeof(struct message),
			capacities[weft_sim_random_below(5)], &options));
}

static weft_err run_channels(void *arg)
{
	static struct party parties[SENDERS_MAX + CHANS_MAX + RECEIVERS_MAX];
	struct world *w = arg;
	weft_scope *sending, *receiving;

	world_open(w);
	memset(parties, 0, sizeof(parties));
	want_ok(weft_scope_create(&sending));
	want_ok(weft_scope_create(&receiving));
	for (unsigned i = 0; i < w->senders_len + w->receivers_len; i++) {
		bool sends = i < w->senders_len;

		parties[i].world = w;
		parties[i].number = sends ? i : i - w->senders_len;
		want_ok(weft_scope_spawn(sends ? sending : receiving, sends ? "sender" : "receiver",
			sends ? sender_lives : receiver_lives, &parties[i]));
	}
	want_ok(weft_scope_wait(sending, WEFT_FOREVER));
	if (weft_sim_random_below(2)) { /* else the rest is destroyed */
		both_sleep_ns(1000000000);
		want(w->received == w->sent);
	}
	for (unsigned i = 0; i < w->chans_len; i++)
		weft_chan_close(w->chans[i]);
	if (weft_sim_random_below(2))
		weft_scope_cancel(receiving);
	(void)!weft_scope_wait(receiving, WEFT_FOREVER);
	weft_scope_free(receiving);
	weft_scope_free(sending);
	for (unsigned i = 0; i < w->chans_len; i++)
		weft_chan_unref(w->chans[i]);
	want(w->received + w->destroyed == w->sent);
	for (unsigned i = 0; i < w->senders_len; i++)
		for (unsigned j = 0; j < EACH; j++)
			want(w->fates[i][j] != SENT && w->fates[i][j] != UNSENT);
	weft_sim_note(w->received);
	return WEFT_OK;
}

START_TEST(no_message_is_lost_or_doubled)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	weft_sim_result result;

	options.seed = (uint64_t)_i;
	want_ok(both_run_seed(run_channels, &world, &options, &result));
}
END_TEST

/* --- locks ---------------------------------------------------------------------------- */

#define PLACES 4

struct locks {
	weft_mutex *mutex;
	weft_semaphore *semaphore;
	weft_waitgroup *group;
	weft_once *once;
	unsigned holders, places, entered;
	unsigned inits, made;
	int value;
};

static struct locks locks;

static weft_err hold_mutex(struct locks *l)
{
	weft_err err = weft_mutex_lock(l->mutex, soon());

	if (err)
		return err;
	want(l->holders++ == 0);
	want(!weft_mutex_try_lock(l->mutex));
	maybe_pause();
	l->holders--;
	l->entered++;
	weft_mutex_unlock(l->mutex);
	return WEFT_OK;
}

static weft_err hold_places(struct locks *l)
{
	size_t count = 1 + (size_t)weft_sim_random_below(PLACES);
	weft_err err = weft_semaphore_acquire(l->semaphore, count, soon());

	if (err)
		return err;
	l->places += (unsigned)count;
	want(l->places <= PLACES);
	maybe_pause();
	l->places -= (unsigned)count;
	l->entered++;
	weft_semaphore_release(l->semaphore, count);
	return WEFT_OK;
}

static weft_err make_value(void *arg, void **value)
{
	struct locks *l = arg;
	weft_err err;

	l->inits++;
	err = weft_sleep_ns(ticks_below(4));
	if (err)
		return err;
	if (weft_sim_random_below(3) == 0)
		return WEFT_EIO;
	want(l->made++ == 0);
	*value = &l->value;
	return WEFT_OK;
}

static weft_err get_value(struct locks *l)
{
	void *value = NULL;
	weft_err err = weft_once_get_or_init(l->once, &value, make_value, l, soon());

	want(err != WEFT_OK || (value == &l->value && l->made == 1));
	return err == WEFT_EIO ? WEFT_OK : err;
}

static weft_err use_locks(void *arg)
{
	struct party *p = arg;
	weft_err err = WEFT_OK;

	for (int i = 0; i < EACH && err != WEFT_ECANCELED; i++) {
		maybe_pause();
		switch (weft_sim_random_below(5)) {
		case 0:
			err = get_value(&locks);
			break;
		case 1:
		case 2:
			err = hold_mutex(&locks);
			break;
		default:
			err = hold_places(&locks);
		}
		want(err == WEFT_OK || err == WEFT_ETIMEDOUT || err == WEFT_ECANCELED);
	}
	(void)p;
	return err == WEFT_ECANCELED ? err : WEFT_OK;
}

static weft_err locker_lives(void *arg)
{
	weft_err err = live_again_and_again(use_locks, arg);

	weft_waitgroup_done(locks.group);
	return err;
}

static weft_err run_locks(void *arg)
{
	static struct party party;
	unsigned users = 2 + (unsigned)weft_sim_random_below(8);
	weft_scope *scope;

	(void)arg;
	memset(&locks, 0, sizeof(locks));
	want_ok(weft_mutex_create(&locks.mutex));
	want_ok(weft_semaphore_create(&locks.semaphore, PLACES));
	want_ok(weft_waitgroup_create(&locks.group));
	want_ok(weft_once_create(&locks.once, NULL));
	want_ok(weft_scope_create(&scope));
	weft_waitgroup_add(locks.group, users);
	for (unsigned i = 0; i < users; i++)
		want_ok(weft_scope_spawn(scope, "user", locker_lives, &party));
	want_ok(weft_waitgroup_wait(locks.group, WEFT_FOREVER));
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	want(weft_mutex_try_lock(locks.mutex));
	weft_mutex_unlock(locks.mutex);
	want(weft_semaphore_available(locks.semaphore) == PLACES);
	want(weft_semaphore_try_acquire(locks.semaphore, PLACES));
	weft_sim_note(locks.entered);
	weft_once_free(locks.once);
	weft_waitgroup_free(locks.group);
	weft_semaphore_free(locks.semaphore);
	weft_mutex_free(locks.mutex);
	return WEFT_OK;
}

START_TEST(no_lock_is_lost_or_doubled)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	weft_sim_result result;

	options.seed = (uint64_t)_i;
	want_ok(both_run_seed(run_locks, NULL, &options, &result));
}
END_TEST

static void sim_sync_tests(TCase *tc)
{
	t_add_loop(tc, no_message_is_lost_or_doubled, both_seed_first(), both_seed_end());
	t_add_loop(tc, no_lock_is_lost_or_doubled, both_seed_first(), both_seed_end());
}
T_SUITE("sim/sync", sim_sync_tests)
