/* SPDX-License-Identifier: MIT */
/* Transports in memory, and what all of them share. */
#include "support/both.h"

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

static void transport_tests(TCase *tc)
{
	both_add(tc, a_pair_carries_messages_both_ways);
	both_add(tc, a_sink_gets_what_comes_and_then_the_end);
}

T_SUITE("transport", transport_tests)
