/* SPDX-License-Identifier: MIT */
/* One to many, over epoll and under the simulator: broadcast and watch. */
#include "support/both.h"

#include <string.h>

#define SENDERS 3
#define SUBS 5
#define EACH 40

static unsigned worker_of(unsigned i)
{
	return i % weft_worker_count();
}

struct message {
	unsigned sender, number;
};

struct listener {
	weft_broadcast_sub *sub;
	uint64_t received, missed;
	bool in_time; /* never lags: the ring holds everything */
	unsigned next[SENDERS];
};

struct sender {
	weft_broadcast *b;
	unsigned index;
};

static weft_err send_all(void *arg)
{
	struct sender *s = arg;

	for (unsigned i = 0; i < EACH; i += 2) {
		struct message m[2] = { { s->index, i }, { s->index, i + 1 } };

		if (both_random(3) == 0)
			both_pause();
		if (both_random(2)) {
			want_ok(weft_broadcast_send_many(s->b, m, 2));
			continue;
		}
		want_ok(weft_broadcast_send(s->b, &m[0]));
		want_ok(weft_broadcast_send(s->b, &m[1]));
	}
	weft_broadcast_sender_unref(s->b);
	return WEFT_OK;
}

static weft_err listen_to_all(void *arg)
{
	struct listener *l = arg;

	for (;;) {
		struct message m;
		weft_err err = weft_broadcast_sub_recv(l->sub, &m,
			both_random(3) ? WEFT_FOREVER
				       : weft_after_ns((int64_t)both_random(4) * BOTH_TICK_NS));

		if (err == WEFT_ECLOSED)
			return WEFT_OK;
		if (err == WEFT_ELAGGED) {
			want(!l->in_time);
			l->missed += weft_broadcast_sub_missed(l->sub);
			continue;
		}
		if (err == WEFT_ETIMEDOUT)
			continue;
		want(err == WEFT_OK);
		want(m.sender < SENDERS && m.number >= l->next[m.sender]);
		want(!l->in_time || m.number == l->next[m.sender]);
		l->next[m.sender] = m.number + 1;
		l->received++;
		if (both_random(4) == 0)
			both_pause();
	}
}

static void run_broadcast(size_t capacity)
{
	struct listener listeners[SUBS];
	struct sender senders[SENDERS];
	weft_broadcast *b;
	weft_scope *scope;

	want_ok(weft_broadcast_create(&b, sizeof(struct message), capacity, NULL));
	want_ok(weft_scope_create(&scope));
	memset(listeners, 0, sizeof(listeners));
	for (unsigned i = 0; i < SUBS; i++) {
		listeners[i].in_time = capacity >= (size_t)SENDERS * EACH;
		want_ok(weft_broadcast_sub_create(&listeners[i].sub, b));
		want_ok(weft_scope_spawn_on(
			scope, worker_of(i), "listener", listen_to_all, &listeners[i]));
	}
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){ weft_broadcast_sender_ref(b), i };
		want_ok(weft_scope_spawn_on(scope, worker_of(i), "sender", send_all, &senders[i]));
	}
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	for (unsigned i = 0; i < SUBS; i++) {
		want(listeners[i].received + listeners[i].missed == (uint64_t)SENDERS * EACH);
		weft_broadcast_sub_free(listeners[i].sub);
	}
	weft_scope_free(scope);
	weft_broadcast_unref(b);
}

BOTH_TEST(a_broadcast_brings_everything_to_everybody)
{
	run_broadcast((size_t)SENDERS * EACH);
	return WEFT_OK;
}

BOTH_TEST(a_small_broadcast_accounts_for_what_is_missed)
{
	run_broadcast(1);
	run_broadcast(4);
	return WEFT_OK;
}

static weft_err listen_until_cancelled(void *arg)
{
	struct message m;
	weft_err err;

	do
		err = weft_broadcast_sub_recv(arg, &m, WEFT_FOREVER);
	while (err == WEFT_OK || err == WEFT_ELAGGED);
	return err;
}

/* Failure 1 of the field's list: whoever is cancelled leaves the others their wakes. */
BOTH_TEST(a_cancelled_subscriber_costs_the_others_nothing)
{
	struct listener staying = { .in_time = true };
	weft_broadcast_sub *subs[3];
	weft_scope *scope, *doom;
	weft_broadcast *b;

	want_ok(weft_broadcast_create(&b, sizeof(struct message), 64, NULL));
	want_ok(weft_broadcast_sub_create(&staying.sub, b));
	want_ok(weft_scope_create(&scope));
	want_ok(weft_scope_spawn_on(scope, worker_of(1), "stays", listen_to_all, &staying));
	for (unsigned i = 0; i < EACH; i++) {
		struct message m = { 0, i };

		want_ok(weft_scope_create(&doom));
		for (unsigned j = 0; j < 3; j++) {
			want_ok(weft_broadcast_sub_create(&subs[j], b));
			want_ok(weft_scope_spawn_on(
				doom, worker_of(j), "leaves", listen_until_cancelled, subs[j]));
		}
		both_pause();
		want_ok(weft_broadcast_send(b, &m));
		if (both_random(2))
			both_pause();
		weft_scope_cancel(doom);
		weft_scope_free(doom);
		for (unsigned j = 0; j < 3; j++)
			weft_broadcast_sub_free(subs[j]);
	}
	weft_broadcast_close(b);
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	want(staying.received == EACH);
	weft_scope_free(scope);
	weft_broadcast_sub_free(staying.sub);
	weft_broadcast_unref(b);
	return WEFT_OK;
}

struct counting {
	weft_watch *w;
	weft_watch_sub *sub;
};

static void one_more(void *value, void *arg)
{
	(void)arg;
	++*(uint64_t *)value;
}

static weft_err count(void *arg)
{
	struct counting *c = arg;

	for (unsigned i = 0; i < EACH; i++) {
		want_ok(weft_watch_modify(c->w, one_more, NULL));
		if (both_random(3) == 0)
			both_pause();
	}
	weft_watch_sender_unref(c->w);
	return WEFT_OK;
}

static weft_err follow(void *arg)
{
	struct counting *c = arg;
	uint64_t last = 0, value;
	weft_err err;

	for (;;) {
		err = weft_watch_sub_changed(c->sub,
			both_random(3) ? WEFT_FOREVER
				       : weft_after_ns((int64_t)both_random(4) * BOTH_TICK_NS));
		if (err == WEFT_ECLOSED)
			break;
		want(err == WEFT_OK || err == WEFT_ETIMEDOUT);
		weft_watch_sub_borrow_and_update(c->sub, &value);
		want(err == WEFT_OK ? value > last : value >= last);
		last = value;
		if (both_random(4) == 0)
			both_pause();
	}
	want(last == (uint64_t)SENDERS * EACH);
	return WEFT_OK;
}

static void run_watch(const weft_watch_options *options)
{
	struct counting sides[SENDERS + SUBS];
	uint64_t zero = 0;
	weft_scope *scope;
	weft_watch *w;

	want_ok(weft_watch_create(&w, sizeof(zero), &zero, options));
	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < SENDERS + SUBS; i++) {
		sides[i].w = i < SENDERS ? weft_watch_sender_ref(w) : NULL;
		if (i >= SENDERS)
			want_ok(weft_watch_sub_create(&sides[i].sub, w));
	}
	for (unsigned i = 0; i < SENDERS + SUBS; i++)
		want_ok(weft_scope_spawn_on(scope, worker_of(i), i < SENDERS ? "counts" : "follows",
			i < SENDERS ? count : follow, &sides[i]));
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	for (unsigned i = SENDERS; i < SENDERS + SUBS; i++)
		weft_watch_sub_free(sides[i].sub);
	weft_watch_unref(w);
}

BOTH_TEST(a_watch_shows_the_last_value_to_everybody)
{
	run_watch(NULL);
	return WEFT_OK;
}

BOTH_TEST(a_boxed_watch_does_too)
{
	weft_watch_options options = WEFT_WATCH_OPTIONS_DEFAULT;

	options.boxed = true;
	run_watch(&options);
	return WEFT_OK;
}

static bool is_at_least(const void *value, void *arg)
{
	return *(const uint64_t *)value >= *(uint64_t *)arg;
}

BOTH_TEST(a_value_is_waited_for)
{
	struct counting sides[SENDERS];
	uint64_t value = 0, wanted;
	weft_watch_sub *sub;
	weft_scope *scope;
	weft_watch *w;

	want_ok(weft_watch_create(&w, sizeof(value), &value, NULL));
	want_ok(weft_watch_sub_create(&sub, w));
	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < SENDERS; i++)
		sides[i].w = weft_watch_sender_ref(w);
	for (unsigned i = 0; i < SENDERS; i++)
		want_ok(weft_scope_spawn_on(scope, worker_of(i), "counts", count, &sides[i]));
	for (wanted = 0; wanted <= SENDERS * EACH; wanted += 17) {
		want_ok(weft_watch_sub_wait_for(sub, is_at_least, &wanted, &value, WEFT_FOREVER));
		want(value >= wanted);
	}
	wanted = SENDERS * EACH + 1;
	want_err(WEFT_ECLOSED,
		weft_watch_sub_wait_for(sub, is_at_least, &wanted, &value, WEFT_FOREVER));
	weft_scope_free(scope);
	weft_watch_sub_free(sub);
	weft_watch_unref(w);
	return WEFT_OK;
}

static void same_fanout_tests(TCase *tc)
{
	both_add(tc, a_broadcast_brings_everything_to_everybody);
	both_add(tc, a_small_broadcast_accounts_for_what_is_missed);
	both_add(tc, a_cancelled_subscriber_costs_the_others_nothing);
	both_add(tc, a_watch_shows_the_last_value_to_everybody);
	both_add(tc, a_boxed_watch_does_too);
	both_add(tc, a_value_is_waited_for);
}
T_SUITE("same/fanout", same_fanout_tests)
