/* SPDX-License-Identifier: MIT */
/* What fibers share, over epoll and under the simulator: channels, select, oneshot, once,
 * locks. */
#include "support/both.h"

#include <string.h>

#define SENDERS 4
#define RECEIVERS 3
#define EACH 60

struct message {
	unsigned sender, number;
};

struct traffic {
	weft_chan *chan;
	weft_mutex *lock; /* over the rest: receivers may be on several workers */
	unsigned received;
	unsigned next[SENDERS]; /* one receiver only: the order is a sender's own */
	bool seen[SENDERS][EACH];
	bool in_order;
};

struct sender {
	struct traffic *traffic;
	unsigned index;
};

static unsigned worker_of(unsigned i)
{
	return i % weft_worker_count();
}

static weft_err send_all(void *arg)
{
	struct sender *s = arg;

	for (unsigned i = 0; i < EACH; i++) {
		struct message m = { s->index, i };

		if (both_random(4) == 0)
			both_pause();
		/* a try that times out has not sent */
		while (weft_chan_send(s->traffic->chan, &m, weft_after_ns(1000)) != WEFT_OK)
			both_pause();
	}
	return WEFT_OK;
}

static weft_err receive_all(void *arg)
{
	struct traffic *t = arg;
	struct message m;
	weft_err err;

	for (;;) {
		if (both_random(4) == 0)
			both_pause();
		err = weft_chan_recv(t->chan, &m, both_random(2) ? WEFT_FOREVER : WEFT_NOW);
		if (err == WEFT_ETIMEDOUT) {
			both_pause();
			continue;
		}
		if (err == WEFT_ECLOSED)
			return WEFT_OK;
		want(err == WEFT_OK);
		want(m.sender < SENDERS && m.number < EACH);
		want_ok(weft_mutex_lock(t->lock, WEFT_FOREVER));
		want(!t->seen[m.sender][m.number]);
		t->seen[m.sender][m.number] = true;
		if (t->in_order)
			want(m.number == t->next[m.sender]++);
		t->received++;
		weft_mutex_unlock(t->lock);
	}
}

static void run_traffic(size_t capacity, unsigned receivers)
{
	struct traffic t = { .in_order = receivers == 1 };
	struct sender senders[SENDERS];
	weft_scope *scope, *receiving;

	want_ok(weft_chan_create(&t.chan, sizeof(struct message), capacity, NULL));
	want_ok(weft_mutex_create(&t.lock));
	want_ok(weft_scope_create(&scope));
	want_ok(weft_scope_create(&receiving));
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){ &t, i };
		want_ok(weft_scope_spawn_on(scope, worker_of(i), "sender", send_all, &senders[i]));
	}
	for (unsigned i = 0; i < receivers; i++)
		want_ok(weft_scope_spawn_on(
			receiving, worker_of(i + 1), "receiver", receive_all, &t));
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_chan_close(t.chan);
	want_ok(weft_scope_wait(receiving, WEFT_FOREVER));
	want(t.received == SENDERS * EACH);
	weft_scope_free(receiving);
	weft_scope_free(scope);
	weft_mutex_free(t.lock);
	weft_chan_unref(t.chan);
}

BOTH_TEST(a_rendezvous_channel_loses_nothing)
{
	run_traffic(0, RECEIVERS);
	return WEFT_OK;
}

BOTH_TEST(a_bounded_channel_loses_nothing)
{
	run_traffic(1, RECEIVERS);
	run_traffic(7, RECEIVERS);
	return WEFT_OK;
}

BOTH_TEST(an_unbounded_channel_loses_nothing)
{
	run_traffic(WEFT_CHAN_UNBOUNDED, RECEIVERS);
	return WEFT_OK;
}

BOTH_TEST(one_receiver_sees_each_senders_order)
{
	run_traffic(0, 1);
	run_traffic(3, 1);
	run_traffic(WEFT_CHAN_UNBOUNDED, 1);
	return WEFT_OK;
}

static weft_err receive_until_cancelled(void *arg)
{
	struct traffic *t = arg;
	struct message m;
	weft_err err;

	while ((err = weft_chan_recv(t->chan, &m, WEFT_FOREVER)) == WEFT_OK) {
		weft_shield_begin();
		want_ok(weft_mutex_lock(t->lock, WEFT_FOREVER));
		t->received++;
		weft_mutex_unlock(t->lock);
		weft_shield_end();
	}
	return err;
}

/* Failure 1 of the field's list: the wake of a receiver that is cancelled is passed on. */
BOTH_TEST(a_cancelled_receiver_takes_no_message_with_it)
{
	struct traffic t = { 0 };
	weft_scope *cancelled, *staying;
	struct message m = { 0 };

	want_ok(weft_chan_create(&t.chan, sizeof(struct message), 2, NULL));
	want_ok(weft_mutex_create(&t.lock));
	want_ok(weft_scope_create(&staying));
	want_ok(weft_scope_spawn_on(staying, worker_of(1), "stays", receive_until_cancelled, &t));
	for (unsigned i = 0; i < 20; i++) {
		want_ok(weft_scope_create(&cancelled));
		for (unsigned j = 0; j < 3; j++)
			want_ok(weft_scope_spawn_on(
				cancelled, worker_of(j), "leaves", receive_until_cancelled, &t));
		both_pause();
		want_ok(weft_chan_send(t.chan, &m, WEFT_FOREVER));
		if (both_random(2))
			both_pause();
		weft_scope_cancel(cancelled);
		want_ok(weft_chan_send(t.chan, &m, WEFT_FOREVER));
		weft_scope_free(cancelled);
	}
	weft_chan_close(t.chan);
	want_err(WEFT_ECLOSED, weft_scope_wait(staying, WEFT_FOREVER));
	want(t.received == 40);
	weft_scope_free(staying);
	weft_mutex_free(t.lock);
	weft_chan_unref(t.chan);
	return WEFT_OK;
}

BOTH_TEST(a_closed_channel_is_drained_and_refuses)
{
	weft_chan *chan;
	int value = 1;

	want_ok(weft_chan_create(&chan, sizeof(int), 3, NULL));
	for (value = 1; value <= 3; value++)
		want_ok(weft_chan_send(chan, &value, WEFT_NOW));
	want_err(WEFT_EAGAIN, weft_chan_try_send(chan, &value));
	want_err(WEFT_ETIMEDOUT, weft_chan_send(chan, &value, weft_after_ms(2)));
	weft_chan_close(chan);
	want_err(WEFT_ECLOSED, weft_chan_send(chan, &value, WEFT_FOREVER));
	for (int i = 1; i <= 3; i++) {
		want_ok(weft_chan_recv(chan, &value, WEFT_FOREVER));
		want(value == i);
	}
	want_err(WEFT_ECLOSED, weft_chan_recv(chan, &value, WEFT_FOREVER));
	weft_chan_unref(chan);
	return WEFT_OK;
}

struct ticker {
	weft_chan *chan;
	unsigned ticks;
};

static weft_err tick(void *arg)
{
	struct ticker *t = arg;

	for (unsigned i = 0; i < t->ticks; i++) {
		both_pause();
		want_ok(weft_chan_send(t->chan, &i, WEFT_FOREVER));
	}
	weft_chan_close(t->chan);
	weft_chan_unref(t->chan);
	return WEFT_OK;
}

BOTH_TEST(a_select_takes_everything_from_several_channels)
{
	struct ticker tickers[3];
	weft_select_case cases[3];
	unsigned next[3] = { 0 }, open = 3, value;
	weft_cancel *token;
	weft_scope *scope;
	size_t chosen;

	memset(cases, 0, sizeof(cases));
	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < 3; i++) {
		tickers[i].ticks = 10 + i;
		want_ok(weft_chan_create(&tickers[i].chan, sizeof(unsigned), i, NULL));
		cases[i].kind = WEFT_SELECT_RECV;
		cases[i].chan = tickers[i].chan;
		cases[i].message = &value;
		want(weft_chan_ref(tickers[i].chan) == tickers[i].chan);
		want_ok(weft_scope_spawn_on(scope, worker_of(i), "ticker", tick, &tickers[i]));
	}
	while (open > 0) {
		want_ok(weft_select(cases, 3, WEFT_SELECT_FAIR, &chosen, WEFT_FOREVER));
		want(chosen < 3 && cases[chosen].kind == WEFT_SELECT_RECV);
		if (cases[chosen].result == WEFT_ECLOSED) {
			want(next[chosen] == tickers[chosen].ticks);
			cases[chosen].kind = WEFT_SELECT_NONE;
			open--;
		} else {
			want(value == next[chosen]++);
		}
	}
	want_err(
		WEFT_ETIMEDOUT, weft_select(cases, 3, WEFT_SELECT_FAIR, &chosen, weft_after_ms(2)));
	want_ok(weft_cancel_create(&token, NULL));
	cases[1] = (weft_select_case){ .kind = WEFT_SELECT_CANCELLED, .token = token };
	weft_cancel_trigger(token, WEFT_OK);
	want_ok(weft_select(cases, 3, WEFT_SELECT_BIASED, &chosen, WEFT_FOREVER));
	want(chosen == 1);
	weft_cancel_unref(token);
	weft_scope_free(scope);
	for (unsigned i = 0; i < 3; i++)
		weft_chan_unref(tickers[i].chan);
	return WEFT_OK;
}

static weft_err exchange(void *arg)
{
	weft_chan **chans = arg;
	unsigned sent = 0, received = 0, value;

	while (sent < EACH || received < EACH) {
		weft_select_case cases[2];
		size_t chosen;

		memset(cases, 0, sizeof(cases));
		if (sent < EACH)
			cases[0] = (weft_select_case){
				.kind = WEFT_SELECT_SEND, .chan = chans[0], .message = &sent
			};
		if (received < EACH)
			cases[1] = (weft_select_case){
				.kind = WEFT_SELECT_RECV, .chan = chans[1], .message = &value
			};
		want_ok(weft_select(cases, 2, WEFT_SELECT_FAIR, &chosen, WEFT_FOREVER));
		want(cases[chosen].result == WEFT_OK);
		if (chosen == 0)
			sent++;
		else
			want(value == received++);
		if (both_random(8) == 0)
			both_pause();
	}
	return WEFT_OK;
}

/* Both sides offer to send and to receive on rendezvous channels at once. */
BOTH_TEST(two_selects_meet_each_other)
{
	weft_chan *a, *b;
	weft_chan *left[2], *right[2];
	weft_scope *scope;

	want_ok(weft_chan_create(&a, sizeof(unsigned), 0, NULL));
	want_ok(weft_chan_create(&b, sizeof(unsigned), 0, NULL));
	left[0] = right[1] = a;
	left[1] = right[0] = b;
	want_ok(weft_scope_create(&scope));
	want_ok(weft_scope_spawn_on(scope, worker_of(0), "left", exchange, left));
	want_ok(weft_scope_spawn_on(scope, worker_of(1), "right", exchange, right));
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	weft_chan_unref(a);
	weft_chan_unref(b);
	return WEFT_OK;
}

static weft_err send_one(void *arg)
{
	int value = 42;

	both_pause();
	want_ok(weft_oneshot_send(arg, &value));
	both_pause();
	weft_oneshot_close_sender(arg);
	return WEFT_OK;
}

static weft_err close_only(void *arg)
{
	both_pause();
	weft_oneshot_close_sender(arg);
	return WEFT_OK;
}

BOTH_TEST(a_oneshot_brings_one_value_or_the_end)
{
	weft_oneshot *o;
	int value = 0;

	for (unsigned i = 0; i < 10; i++) {
		want_ok(weft_oneshot_create(&o, sizeof(int)));
		want_ok(weft_spawn_on(worker_of(i), NULL, "sends", send_one, o));
		while (weft_oneshot_recv(o, &value, weft_after_ns(500)) == WEFT_ETIMEDOUT)
			both_pause();
		want(value == 42);
		want_err(WEFT_ECLOSED, weft_oneshot_recv(o, &value, WEFT_FOREVER));
		weft_oneshot_close_receiver(o);
		want_ok(weft_oneshot_create(&o, sizeof(int)));
		want_ok(weft_spawn_on(worker_of(i), NULL, "closes", close_only, o));
		want_err(WEFT_ECLOSED, weft_oneshot_recv(o, &value, WEFT_FOREVER));
		weft_oneshot_close_receiver(o);
	}
	return WEFT_OK;
}

struct making {
	weft_once *once;
	weft_mutex *lock;
	unsigned begun, made;
	int value;
};

/* The first two fail: the next waiter takes over. */
static weft_err make_value(void *arg, void **value)
{
	struct making *m = arg;
	unsigned turn;

	want_ok(weft_mutex_lock(m->lock, WEFT_FOREVER));
	turn = m->begun++;
	weft_mutex_unlock(m->lock);
	both_pause();
	if (turn < 2)
		return WEFT_EIO;
	m->made++;
	m->value = 7;
	*value = &m->value;
	return WEFT_OK;
}

static weft_err get_value(void *arg)
{
	struct making *m = arg;
	void *value = NULL;
	weft_err err;

	both_pause();
	while ((err = weft_once_get_or_init(m->once, &value, make_value, m, WEFT_FOREVER)) != 0)
		want(err == WEFT_EIO);
	want(value == &m->value && m->value == 7);
	want(weft_once_get(m->once) == value);
	return WEFT_OK;
}

BOTH_TEST(a_once_is_made_once_whoever_fails)
{
	struct making m = { 0 };
	weft_scope *scope;

	want_ok(weft_once_create(&m.once, NULL));
	want_ok(weft_mutex_create(&m.lock));
	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < 8; i++)
		want_ok(weft_scope_spawn_on(scope, worker_of(i), "gets", get_value, &m));
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	want(m.begun == 3 && m.made == 1);
	weft_scope_free(scope);
	weft_mutex_free(m.lock);
	weft_once_free(m.once);
	return WEFT_OK;
}

struct guarded {
	weft_mutex *mutex;
	weft_semaphore *semaphore;
	weft_waitgroup *group;
	unsigned inside, total;
	weft_scope *scope;
};

static weft_err enter_mutex(void *arg)
{
	struct guarded *g = arg;

	for (int i = 0; i < 10; i++) {
		while (weft_mutex_lock(g->mutex, weft_after_ns((int64_t)both_random(5000))) !=
			WEFT_OK)
			both_pause();
		want(g->inside++ == 0);
		both_pause(); /* held across a park */
		g->inside--;
		g->total++;
		weft_mutex_unlock(g->mutex);
	}
	weft_waitgroup_done(g->group);
	return WEFT_OK;
}

static void guarded_run(struct guarded *g, weft_fiber_fn fn)
{
	want_ok(weft_waitgroup_create(&g->group));
	want_ok(weft_scope_create(&g->scope));
	weft_waitgroup_add(g->group, 6);
	for (unsigned i = 0; i < 6; i++)
		want_ok(weft_scope_spawn_on(g->scope, worker_of(i), "enters", fn, g));
	want_ok(weft_waitgroup_wait(g->group, WEFT_FOREVER));
	want_ok(weft_scope_wait(g->scope, WEFT_FOREVER));
	weft_scope_free(g->scope);
	weft_waitgroup_free(g->group);
}

BOTH_TEST(a_mutex_lets_one_in_at_a_time)
{
	struct guarded g = { 0 };

	want_ok(weft_mutex_create(&g.mutex));
	guarded_run(&g, enter_mutex);
	want(g.total == 60);
	want_ok(weft_mutex_lock(g.mutex, WEFT_NOW));
	want_err(WEFT_EDEADLOCK, weft_mutex_lock(g.mutex, WEFT_FOREVER));
	weft_mutex_unlock(g.mutex);
	weft_mutex_free(g.mutex);
	return WEFT_OK;
}

static weft_err enter_semaphore(void *arg)
{
	struct guarded *g = arg;
	size_t count = 1 + both_random(3);

	for (int i = 0; i < 10; i++) {
		want_ok(weft_semaphore_acquire(g->semaphore, count, WEFT_FOREVER));
		want_ok(weft_mutex_lock(g->mutex, WEFT_FOREVER));
		g->inside += (unsigned)count;
		want(g->inside <= 4);
		weft_mutex_unlock(g->mutex);
		both_pause();
		want_ok(weft_mutex_lock(g->mutex, WEFT_FOREVER));
		g->inside -= (unsigned)count;
		weft_mutex_unlock(g->mutex);
		weft_semaphore_release(g->semaphore, count);
	}
	weft_waitgroup_done(g->group);
	return WEFT_OK;
}

BOTH_TEST(a_semaphore_never_gives_more_than_it_has)
{
	struct guarded g = { 0 };

	want_ok(weft_mutex_create(&g.mutex));
	want_ok(weft_semaphore_create(&g.semaphore, 4));
	guarded_run(&g, enter_semaphore);
	want(weft_semaphore_available(g.semaphore) == 4);
	weft_semaphore_free(g.semaphore);
	weft_mutex_free(g.mutex);
	return WEFT_OK;
}

static void same_sync_tests(TCase *tc)
{
	both_add(tc, a_rendezvous_channel_loses_nothing);
	both_add(tc, a_bounded_channel_loses_nothing);
	both_add(tc, an_unbounded_channel_loses_nothing);
	both_add(tc, one_receiver_sees_each_senders_order);
	both_add(tc, a_cancelled_receiver_takes_no_message_with_it);
	both_add(tc, a_closed_channel_is_drained_and_refuses);
	both_add(tc, a_select_takes_everything_from_several_channels);
	both_add(tc, two_selects_meet_each_other);
	both_add(tc, a_oneshot_brings_one_value_or_the_end);
	both_add(tc, a_once_is_made_once_whoever_fails);
	both_add(tc, a_mutex_lets_one_in_at_a_time);
	both_add(tc, a_semaphore_never_gives_more_than_it_has);
}
T_SUITE("same/sync", same_sync_tests)
