/* SPDX-License-Identifier: MIT */
/* Transports in memory, and what all of them share. */
#include "support/both.h"

#include <limits.h>
#include <string.h>

#define PING "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"

static void make(weft_message *m, const char *text)
{
	want_ok(weft_message_copy(m, NULL, text, strlen(text), NULL));
}

BOTH_TEST(a_pair_carries_messages_both_ways)
{
	weft_transport *ends[2];
	weft_message m;

	want_ok(weft_transport_pair(ends, 2, NULL));
	for (unsigned i = 0; i < 20; i++) {
		make(&m, PING);
		want_ok(weft_transport_send_own(ends[i & 1], &m, WEFT_FOREVER));
		want_ok(weft_transport_receive(ends[!(i & 1)], &m, WEFT_FOREVER));
		want(m.rpc.kind == WEFT_JSONRPC_REQUEST);
		weft_message_fini(&m);
	}
	make(&m, PING);
	want_ok(weft_transport_send_own(ends[0], &m, WEFT_FOREVER));
	weft_transport_close(ends[0]);
	want_ok(weft_transport_receive(ends[1], &m, WEFT_FOREVER));
	weft_message_fini(&m);
	want_err(WEFT_ECLOSED, weft_transport_receive(ends[1], &m, WEFT_FOREVER));
	want_err(WEFT_ECLOSED, weft_transport_receive(ends[0], &m, WEFT_FOREVER));
	weft_transport_free(ends[0]);
	weft_transport_free(ends[1]);
	return WEFT_OK;
}

struct counts {
	unsigned messages;
	weft_oneshot *end;
};

static void count_message(void *user, weft_message *message)
{
	struct counts *c = user;

	c->messages++;
	weft_message_fini(message);
}

static void count_end(void *user, weft_err err, const char *detail)
{
	struct counts *c = user;

	(void)detail;
	want_ok(weft_oneshot_send(c->end, &err));
	weft_oneshot_close_sender(c->end);
}

static const weft_transport_sink counting = { count_message, count_end };

BOTH_TEST(a_sink_gets_what_comes_and_then_the_end)
{
	struct counts c = { 0, NULL };
	weft_transport *ends[2];
	weft_message m;
	weft_err end;

	want_ok(weft_oneshot_create(&c.end, sizeof(weft_err)));
	want_ok(weft_transport_pair(ends, 0, NULL));
	for (unsigned i = 0; i < 20; i++) {
		make(&m, PING);
		want_ok(weft_transport_send_own(ends[0], &m, WEFT_FOREVER));
	}
	want_ok(weft_transport_start(ends[1], &counting, &c));
	want_err(WEFT_EINVAL, weft_transport_start(ends[1], &counting, &c));
	want_err(WEFT_EINVAL, weft_transport_receive(ends[1], &m, WEFT_FOREVER));
	weft_transport_free(ends[0]);
	want_ok(weft_oneshot_recv(c.end, &end, WEFT_FOREVER));
	weft_oneshot_close_receiver(c.end);
	want(end == WEFT_ECLOSED && c.messages == 20);
	weft_transport_free(ends[1]);
	return WEFT_OK;
}

/* ---- what all transports share ---- */

struct own {
	weft_transport *transport;
	weft_chan *calls; /* of char: what was called */
	weft_err start_err;
};

static void call(struct own *o, char what)
{
	want_ok(weft_chan_send(o->calls, &what, WEFT_NOW));
}

static weft_err own_start(void *user, weft_transport *transport)
{
	struct own *o = user;

	want(transport == o->transport);
	call(o, 's');
	return o->start_err;
}

static weft_err own_send(void *user, weft_message *message, weft_deadline until)
{
	(void)until;
	call(user, 'm');
	weft_message_fini(message);
	return WEFT_OK;
}

static void own_close(void *user)
{
	call(user, 'c');
}

static void own_free(void *user)
{
	call(user, 'f');
}

static const weft_transport_ops own_ops = { "own", own_start, own_send, own_close, own_free, NULL };

static void own_open(struct own *o, const weft_transport_options *options)
{
	memset(o, 0, sizeof(*o));
	want_ok(weft_chan_create(&o->calls, 1, 100, NULL));
	want_ok(weft_transport_create(&o->transport, &own_ops, o, "own:1", options));
	want(!strcmp(weft_transport_name(o->transport), "own:1"));
	want(!strcmp(weft_transport_kind(o->transport), "own"));
	want(weft_transport_worker(o->transport) == UINT_MAX);
}

static void own_end(struct own *o, const char *calls)
{
	char c;

	weft_transport_free(o->transport);
	for (; *calls; calls++) {
		want_ok(weft_chan_try_recv(o->calls, &c));
		want(c == *calls);
	}
	want_err(WEFT_EAGAIN, weft_chan_try_recv(o->calls, &c));
	weft_chan_unref(o->calls);
}

static weft_err deliver_fiber(void *arg)
{
	weft_message m;

	for (int i = 0; i < 10; i++) {
		make(&m, PING);
		weft_transport_deliver_own(arg, &m);
	}
	weft_transport_deliver_end(arg, WEFT_ERESET, "it broke");
	return WEFT_OK;
}

/* Before anybody receives, and with an inbox that is full. */
BOTH_TEST(who_delivers_waits_for_who_receives)
{
	weft_transport_options options = WEFT_TRANSPORT_OPTIONS_DEFAULT;
	struct counts counts = { 0, NULL };
	weft_transport_stats stats;
	weft_err end = WEFT_OK;
	weft_fiber *fiber;
	weft_message m;
	struct own o;

	options.inbox_max = 2;
	for (int i = 0; i < 2; i++) {
		own_open(&o, &options);
		want_ok(weft_spawn(&fiber, "delivers", deliver_fiber, o.transport));
		both_pause();
		if (i) {
			want_ok(weft_oneshot_create(&counts.end, sizeof(weft_err)));
			want_ok(weft_transport_start(o.transport, &counting, &counts));
			want_ok(weft_oneshot_recv(counts.end, &end, WEFT_FOREVER));
			weft_oneshot_close_receiver(counts.end);
			want(end == WEFT_ERESET);
		}
		for (int k = 0; !i && k < 10; k++) {
			want_ok(weft_transport_receive(o.transport, &m, WEFT_FOREVER));
			weft_message_fini(&m);
			both_pause();
		}
		if (!i)
			want_err(
				WEFT_ERESET, weft_transport_receive(o.transport, &m, WEFT_FOREVER));
		want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
		want(!i || counts.messages == 10);
		weft_transport_stats_get(o.transport, &stats);
		want(stats.received == 10 && stats.bytes_received == 10 * strlen(PING));
		want_err(WEFT_EINVAL,
			i ? weft_transport_receive(o.transport, &m, WEFT_NOW)
			  : weft_transport_start(o.transport, &counting, &counts));
		make(&m, PING);
		want_ok(weft_transport_send_own(o.transport, &m, WEFT_FOREVER));
		own_end(&o, "smcf");
	}
	return WEFT_OK;
}

/* Closing lets those go on who wait to deliver, though nobody has received. */
BOTH_TEST(closing_lets_those_go_who_deliver)
{
	weft_fiber *fiber;
	struct own o;

	own_open(&o, NULL);
	want_ok(weft_spawn(&fiber, "delivers", deliver_fiber, o.transport));
	both_pause();
	weft_transport_close(o.transport);
	weft_transport_close(o.transport);
	want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
	want_err(WEFT_ECLOSED, weft_transport_start(o.transport, &counting, NULL));
	own_end(&o, "cf");
	return WEFT_OK;
}

BOTH_TEST(a_start_that_fails_is_told)
{
	struct counts counts = { 0, NULL };
	weft_message m;
	struct own o;

	for (int i = 0; i < 2; i++) {
		own_open(&o, NULL);
		o.start_err = WEFT_EIO;
		want_err(WEFT_EIO,
			i ? weft_transport_start(o.transport, &counting, &counts)
			  : weft_transport_receive(o.transport, &m, WEFT_FOREVER));
		own_end(&o, "scf");
	}
	return WEFT_OK;
}

BOTH_TEST(what_has_ended_before_is_not_started)
{
	weft_message m;
	struct own o;

	own_open(&o, NULL);
	weft_transport_deliver_end(o.transport, WEFT_ERESET, "early");
	want_err(WEFT_ECLOSED, weft_transport_start(o.transport, &counting, NULL));
	own_end(&o, "cf");
	own_open(&o, NULL);
	weft_transport_deliver_end(o.transport, WEFT_ERESET, "early");
	weft_transport_deliver_end(o.transport, WEFT_EIO, "twice");
	want_err(WEFT_ERESET, weft_transport_receive(o.transport, &m, WEFT_FOREVER));
	want(strstr(weft_error_detail(), "own:1: early"));
	own_end(&o, "cf");
	return WEFT_OK;
}

/* The end comes to a sink even where the transport does not tell it. */
BOTH_TEST(a_sink_gets_its_end_at_the_latest_by_free)
{
	struct counts counts = { 0, NULL };
	weft_err end = WEFT_OK;
	struct own o;

	own_open(&o, NULL);
	want_ok(weft_oneshot_create(&counts.end, sizeof(weft_err)));
	want_ok(weft_transport_start(o.transport, &counting, &counts));
	own_end(&o, "scf");
	want_ok(weft_oneshot_recv(counts.end, &end, WEFT_NOW));
	weft_oneshot_close_receiver(counts.end);
	want(end == WEFT_ECLOSED);
	return WEFT_OK;
}

static weft_err receive_until_end(void *arg)
{
	weft_message m;
	weft_err err;

	while (!(err = weft_transport_receive(arg, &m, WEFT_FOREVER)))
		weft_message_fini(&m);
	want(err == WEFT_ECLOSED);
	return WEFT_OK;
}

static weft_err send_until_end(void *arg)
{
	weft_message m;
	weft_err err;

	do {
		make(&m, PING);
		err = weft_transport_send_own(arg, &m, WEFT_FOREVER);
	} while (!err);
	want(err == WEFT_ECLOSED);
	return WEFT_OK;
}

/* Several inside both ends, when one of them is closed somewhere. */
BOTH_TEST(closing_ends_all_who_are_inside)
{
	weft_transport *ends[2];
	weft_scope *scope;

	want_ok(weft_transport_pair(ends, 3, NULL));
	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < 8; i++)
		want_ok(weft_scope_spawn_on(scope, i % weft_worker_count(), "inside",
			i & 2 ? receive_until_end : send_until_end, ends[i & 1]));
	for (int i = 0; i < 10; i++)
		both_pause();
	weft_transport_close(ends[both_random(2)]);
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_transport_free(ends[0]);
	weft_transport_free(ends[1]);
	weft_scope_free(scope);
	return WEFT_OK;
}

/* A send that takes its time to return after the close. */
struct slow {
	weft_transport *transport;
	weft_chan *inside, *closed;
	bool has_left;
};

static weft_err slow_send(void *user, weft_message *message, weft_deadline until)
{
	struct slow *s = user;

	(void)until;
	weft_message_fini(message);
	weft_chan_close(s->inside);
	want_ok(weft_chan_wait_closed(s->closed, WEFT_FOREVER));
	both_sleep_ns(1000000);
	s->has_left = true;
	return WEFT_ECLOSED;
}

static weft_err slow_start(void *user, weft_transport *transport)
{
	(void)user;
	(void)transport;
	return WEFT_OK;
}

static void slow_close(void *user)
{
	struct slow *s = user;

	weft_chan_close(s->closed);
}

static void slow_free(void *user)
{
	struct slow *s = user;

	want(s->has_left);
}

static weft_err slow_sender(void *arg)
{
	weft_message m;

	make(&m, PING);
	want_err(WEFT_ECLOSED, weft_transport_send_own(arg, &m, WEFT_FOREVER));
	return WEFT_OK;
}

BOTH_TEST(free_waits_for_who_is_inside)
{
	static const weft_transport_ops ops = { "slow", slow_start, slow_send, slow_close,
		slow_free, NULL };
	struct slow s = { NULL, NULL, NULL, false };
	weft_fiber *fiber;

	want_ok(weft_chan_create(&s.inside, 0, 1, NULL));
	want_ok(weft_chan_create(&s.closed, 0, 1, NULL));
	want_ok(weft_transport_create(&s.transport, &ops, &s, NULL, NULL));
	want_ok(weft_spawn_on(weft_worker_count() - 1, &fiber, "slow", slow_sender, s.transport));
	want_ok(weft_chan_wait_closed(s.inside, WEFT_FOREVER));
	weft_transport_free(s.transport);
	want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
	weft_chan_unref(s.inside);
	weft_chan_unref(s.closed);
	return WEFT_OK;
}

START_TEST(options_are_checked)
{
	weft_transport_options o = WEFT_TRANSPORT_OPTIONS_DEFAULT;
	weft_transport *t;

	o.depth_max = 5000;
	ck_assert_int_eq(weft_transport_create(&t, &own_ops, NULL, "x", &o), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "depth_max"));
	o = (weft_transport_options)WEFT_TRANSPORT_OPTIONS_DEFAULT;
	o.message_size_max = WEFT_BUF_SIZE_MAX;
	ck_assert_int_eq(weft_transport_create(&t, &own_ops, NULL, "x", &o), WEFT_EINVAL);
	o = (weft_transport_options)WEFT_TRANSPORT_OPTIONS_DEFAULT;
	o.send_timeout_ns = -1;
	ck_assert_int_eq(weft_transport_create(&t, &own_ops, NULL, "x", &o), WEFT_EINVAL);
	ck_assert_int_eq(weft_transport_create(&t, NULL, NULL, "x", NULL), WEFT_EINVAL);
}
END_TEST

static void transport_tests(TCase *tc)
{
	both_add(tc, a_pair_carries_messages_both_ways);
	both_add(tc, a_sink_gets_what_comes_and_then_the_end);
	both_add(tc, who_delivers_waits_for_who_receives);
	both_add(tc, closing_lets_those_go_who_deliver);
	both_add(tc, a_start_that_fails_is_told);
	both_add(tc, what_has_ended_before_is_not_started);
	both_add(tc, a_sink_gets_its_end_at_the_latest_by_free);
	both_add(tc, closing_ends_all_who_are_inside);
	both_add(tc, free_waits_for_who_is_inside);
	t_add(tc, options_are_checked);
}

T_SUITE("transport", transport_tests)
