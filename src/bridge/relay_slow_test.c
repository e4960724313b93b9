/* SPDX-License-Identifier: MIT */
/* Servers to which sending takes time, as to those on the web. */
#include "support/campaign.h"
#include "support/relaytalk.h"

#include <string.h>

#define MS INT64_C(1000000)

/* It takes what comes, never says anything, and is slow to hear of what was cancelled. */
static struct {
	struct relay_options options;
	struct relay *relay;
	struct counter cancels;
} s;

static weft_err slow_start(void *user, weft_transport *transport)
{
	(void)user;
	(void)transport;
	return WEFT_OK;
}

static weft_err slow_send(void *user, weft_message *message, weft_deadline until)
{
	bool is_cancel = weft_json_string_is(message->rpc.method, "notifications/cancelled");

	(void)user;
	(void)until;
	weft_message_fini(message);
	if (is_cancel) {
		(void)counter_add(&s.cancels, 1);
		both_sleep_ns(200 * MS);
	}
	return WEFT_OK;
}

static void slow_nothing(void *user)
{
	(void)user;
}

static const weft_transport_ops slow_ops = { "slow", slow_start, slow_send, slow_nothing,
	slow_nothing, NULL };

static weft_err slow_connect(void *user, weft_transport **out, weft_deadline until)
{
	(void)user;
	(void)until;
	return weft_transport_create(out, &slow_ops, NULL, "slow", NULL);
}

static const weft_outgoing_ops outgoing_ops = { slow_connect, slow_nothing };

BOTH_TEST(a_client_that_leaves_while_the_server_is_told_of_a_cancellation_is_seen_to_have_left)
{
	struct talker t;

	memset(&s, 0, sizeof(s));
	s.options.name = "slow";
	s.options.read_timeout_ns = 50 * MS;
	want_ok(weft_outgoing_create(&s.options.outgoing, &outgoing_ops, NULL, "slow"));
	want_ok(relay_create(&s.relay, &s.options));
	talker_open(&t, s.relay);
	talker_say(&t, CALL("1", "hold"));
	talker_hears_error(&t, "1", -32000, "silent for 50 ms");
	wait_count(&s.cancels, 1);
	want_ok(talker_close(&t)); /* within its patience */
	relay_free(s.relay);
	weft_outgoing_free(s.options.outgoing);
	return WEFT_OK;
}

static void relay_slow_tests(TCase *tc)
{
	both_add(tc,
		a_client_that_leaves_while_the_server_is_told_of_a_cancellation_is_seen_to_have_left);
}

T_SUITE("relay_slow", relay_slow_tests)
