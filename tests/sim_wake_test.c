/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/*
 * Wakes, where they can be lost: several wait, and in the same tick things happen to them:
 * what they wait for, their time-outs, their cancellation, in every order that a seed
 * makes. Once all is quiet nobody may wait for what is there:
 *
 *   a message in a channel and somebody who waits to receive from it
 *   room in a channel and somebody who waits to send to it
 *   permits and somebody who waits for no more than those
 *   a free mutex, or a once that nobody initialises, and somebody who waits for it
 */
#include "support/both.h"

#include <string.h>

#define CHANS 3
#define WAITERS_MAX 6
#define ROUNDS 12
#define ACTIONS_MAX 8
#define PERMITS_MAX 4
#define QUIET_NS (1000 * (int64_t)BOTH_TICK_NS)

enum what { RECV, SEND, PERMITS, MUTEX, ONCE, WHATS };

struct waiter {
	enum what what;
	unsigned chans; /* a bit a channel; more than one: a select */
	bool biased;
	size_t count; /* of permits */
	bool waiting;
	weft_deadline until;
	weft_scope *scope;
};

static struct {
	weft_chan *chans[CHANS];
	weft_semaphore *semaphore;
	weft_mutex *mutex;
	weft_once *once;
	bool held;	   /* the mutex */
	bool initialising; /* the once */
	bool main_holds;
	size_t permits; /* that main has taken */
	struct waiter waiters[WAITERS_MAX];
	unsigned waiters_len;
} all;

static unsigned below(unsigned bound)
{
	return (unsigned)weft_sim_random_below(bound);
}

static weft_err use_chans(struct waiter *w)
{
	weft_select_case cases[CHANS];
	size_t chosen, len = 0;
	int message = 1;

	memset(cases, 0, sizeof(cases));
	for (unsigned i = 0; i < CHANS; i++) {
		if (!(w->chans >> i & 1))
			continue;
		cases[len].kind = w->what == RECV ? WEFT_SELECT_RECV : WEFT_SELECT_SEND;
		cases[len].chan = all.chans[i];
		cases[len++].message = &message;
	}
	if (len > 1)
		return weft_select(cases, len, w->biased ? WEFT_SELECT_BIASED : WEFT_SELECT_FAIR,
			&chosen, w->until);
	return w->what == RECV ? weft_chan_recv(cases[0].chan, &message, w->until)
			       : weft_chan_send(cases[0].chan, &message, w->until);
}

static weft_err use_permits(struct waiter *w)
{
	weft_err err = weft_semaphore_acquire(all.semaphore, w->count, w->until);

	w->waiting = false;
	if (err)
		return err;
	both_sleep_ns(below(3) * BOTH_TICK_NS);
	weft_semaphore_release(all.semaphore, w->count);
	return WEFT_OK;
}

static weft_err use_mutex(struct waiter *w)
{
	weft_err err = weft_mutex_lock(all.mutex, w->until);

	w->waiting = false;
	if (err)
		return err;
	want(!all.held);
	all.held = true;
	both_sleep_ns(below(3) * BOTH_TICK_NS);
	all.held = false;
	weft_mutex_unlock(all.mutex);
	return WEFT_OK;
}

static weft_err fail_to_make(void *arg, void **value)
{
	(void)arg;
	(void)value;
	want(!all.initialising);
	all.initialising = true;
	both_sleep_ns(below(4) * BOTH_TICK_NS);
	all.initialising = false;
	return WEFT_EIO;
}

static weft_err use_once(struct waiter *w)
{
	void *value;
	weft_err err = weft_once_get_or_init(all.once, &value, fail_to_make, NULL, w->until);

	return err == WEFT_EIO ? WEFT_OK : err;
}

static weft_err wait_for_it(void *arg)
{
	struct waiter *w = arg;
	weft_err err;

	w->waiting = true;
	switch (w->what) {
	case RECV:
	case SEND:
		err = use_chans(w);
		break;
	case PERMITS:
		err = use_permits(w);
		break;
	case MUTEX:
		err = use_mutex(w);
		break;
	case ONCE:
	case WHATS:
	default:
		err = use_once(w);
	}
	w->waiting = false;
	want(err == WEFT_OK || err == WEFT_ETIMEDOUT || err == WEFT_ECANCELED);
	return WEFT_OK;
}

/* Something that lets one of them go on, or takes it away. */
static void act(enum what what, unsigned capacity)
{
	struct waiter *w = &all.waiters[below(all.waiters_len)];
	weft_chan *chan = all.chans[below(CHANS)];
	int message = 2;
	weft_err err = WEFT_OK;

	if (below(3) == 0) {
		weft_scope_cancel(w->scope);
		return;
	}
	if (what == RECV) {
		err = weft_chan_try_send(chan, &message);
	} else if (what == SEND) {
		err = weft_chan_try_recv(chan, &message);
	} else if (what == PERMITS && all.permits > 0) {
		size_t count = 1 + below((unsigned)all.permits);

		all.permits -= count;
		weft_semaphore_release(all.semaphore, count);
	} else if (what == MUTEX && all.main_holds) {
		all.main_holds = false;
		all.held = false;
		weft_mutex_unlock(all.mutex);
	}
	want(err == WEFT_OK || err == WEFT_EAGAIN);
	want(err == WEFT_OK || what != RECV || capacity < ACTIONS_MAX);
	if (below(4) == 0)
		(void)weft_yield();
}

static void check_quiet(void)
{
	size_t available = weft_semaphore_available(all.semaphore), most = 0;

	want(available == PERMITS_MAX - all.permits);
	for (unsigned i = 0; i < all.waiters_len; i++) {
		const struct waiter *w = &all.waiters[i];

		if (!w->waiting)
			continue;
		for (unsigned c = 0; c < CHANS; c++) {
			bool on = w->chans >> c & 1;

			want(w->what != RECV || !on || weft_chan_is_empty(all.chans[c]));
			want(w->what != SEND || !on || weft_chan_is_full(all.chans[c]));
		}
		if (w->what == PERMITS && w->count > most)
			most = w->count;
		want(w->what != MUTEX || all.main_holds);
		want(w->what != ONCE);
	}
	want(most == 0 || most > available); /* the first in line may hold up the others */
}

static void open_round(enum what what, unsigned capacity)
{
	int message = 0;

	memset(&all, 0, sizeof(all));
	for (unsigned i = 0; i < CHANS; i++) {
		want_ok(weft_chan_create(&all.chans[i], sizeof(int), capacity, NULL));
		while (what == SEND && weft_chan_try_send(all.chans[i], &message) == WEFT_OK)
			;
	}
	want_ok(weft_semaphore_create(&all.semaphore, PERMITS_MAX));
	want_ok(weft_mutex_create(&all.mutex));
	want_ok(weft_once_create(&all.once, NULL));
	if (what == PERMITS) {
		all.permits = PERMITS_MAX;
		want_ok(weft_semaphore_acquire(all.semaphore, PERMITS_MAX, WEFT_NOW));
	}
	if (what == MUTEX) {
		want_ok(weft_mutex_lock(all.mutex, WEFT_NOW));
		all.main_holds = true;
		all.held = true;
	}
}

static void close_round(void)
{
	for (unsigned i = 0; i < all.waiters_len; i++)
		weft_scope_free(all.waiters[i].scope);
	if (all.main_holds)
		weft_mutex_unlock(all.mutex);
	weft_semaphore_release(all.semaphore, all.permits);
	want(weft_semaphore_available(all.semaphore) == PERMITS_MAX);
	for (unsigned i = 0; i < CHANS; i++)
		weft_chan_unref(all.chans[i]);
	weft_semaphore_free(all.semaphore);
	weft_mutex_free(all.mutex);
	weft_once_free(all.once);
}

static void run_round(enum what what)
{
	unsigned capacity = what == SEND ? 1 + below(2) : below(3) ? 1 + below(ACTIONS_MAX) : 0;
	weft_deadline at;

	open_round(what, capacity);
	at = weft_now() + 2 * BOTH_TICK_NS;
	all.waiters_len = 2 + below(WAITERS_MAX - 1);
	for (unsigned i = 0; i < all.waiters_len; i++) {
		struct waiter *w = &all.waiters[i];

		w->what = what;
		if (what == RECV || what == SEND)
			w->chans = 1 + below((1u << CHANS) - 1);
		w->biased = below(2);
		w->count = 1 + below(PERMITS_MAX);
		w->until = below(4) ? WEFT_FOREVER : at;
		want_ok(weft_scope_create(&w->scope));
		want_ok(weft_scope_spawn(w->scope, "waits", wait_for_it, w));
	}
	want_ok(weft_sleep_until(at));
	for (unsigned i = 1 + below(ACTIONS_MAX); i > 0; i--)
		act(what, capacity);
	want_ok(weft_sleep_ns(QUIET_NS));
	check_quiet();
	close_round();
}

static weft_err run_rounds(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < ROUNDS; i++)
		run_round((enum what)below(WHATS));
	return WEFT_OK;
}

START_TEST(nobody_waits_for_what_is_there)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	weft_sim_result result;

	options.seed = (uint64_t)_i;
	want_ok(both_run_seed(run_rounds, NULL, &options, &result));
}
END_TEST

static void sim_wake_tests(TCase *tc)
{
	t_add_loop(tc, nobody_waits_for_what_is_there, both_seed_first(), both_seed_end());
}
T_SUITE("sim/wake", sim_wake_tests)
