/* SPDX-License-Identifier: MIT */
/* Relays and eras: whose servers have sessions, and what they are asked so that it is known. */
#include "support/campaign.h"
#include "support/relaytalk.h"

#include <string.h>

#define MS INT64_C(1000000)

static struct {
	struct fake fake;
	struct relay_options options;
	struct relay *relay;
} s;

static void begin(void)
{
	s.relay = fake_relay_open(&s.fake, &s.options);
}

static void setup(void)
{
	memset(&s, 0, sizeof(s));
}

static struct relay_stats end(void)
{
	return fake_relay_close(&s.fake, &s.options, s.relay);
}

#define MODERN "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}"

BOTH_TEST(a_request_without_a_session_goes_to_a_modern_server)
{
	struct talker t;
	weft_message m;

	setup();
	s.fake.is_modern = true;
	begin();
	talker_open(&t, s.relay);
	talker_say(&t, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"who\",\"params\":{" MODERN "}}");
	talker_hears_result(&t, "1", "{\"n\":1}");
	talker_say(&t, CALL("2", "server/discover"));
	talker_hears_result(&t, "2", "{\"supportedVersions\":[\"2026-07-28\"]}");
	talker_say(&t,
		"{\"jsonrpc\":\"2.0\",\"id\":\"sub\",\"method\":\"subscriptions/listen\","
		"\"params\":{" MODERN "}}");
	talker_hear(&t, &m);
	want(weft_json_string_is(m.rpc.meta_subscription_id, "sub"));
	weft_message_fini(&m);
	/* which the server ends so */
	talker_say(&t, CALL("4", "unsubscribe"));
	talker_hears_call(&t, "notifications/cancelled", "{\"requestId\":\"sub\"}");
	talker_hears_result(&t, "4", "{}");
	talker_say(&t, CALL("3", "initialize"));
	talker_hears_error(&t, "3", -32022, "no initialize");
	want_ok(talker_close(&t));
	end();
	return WEFT_OK;
}

BOTH_TEST(a_modern_server_that_is_slow_to_start_is_modern_all_the_same)
{
	struct talker t;

	setup();
	s.fake.is_modern = true;
	s.fake.slow = 1;
	s.options.connect_timeout_ns = 500 * MS;
	begin();
	talker_open(&t, s.relay);
	talker_say(&t, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"who\",\"params\":{" MODERN "}}");
	talker_hears_result(&t, "1", "{\"n\":2}");
	want_ok(talker_close(&t));
	end();
	return WEFT_OK;
}

#define CALL_OF(id, method, revision)                                                          \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":{\"_meta\":{" \
	"\"io.modelcontextprotocol/protocolVersion\":\"" revision "\"}}}"

BOTH_TEST(a_server_that_says_nothing_is_of_no_era_until_it_speaks)
{
	struct talker t;

	setup();
	s.fake.is_silent = s.fake.is_mute = true;
	s.options.connect_timeout_ns = 200 * MS;
	begin();
	talker_open(&t, s.relay);
	for (unsigned i = 0; i < 2; i++) {
		talker_say(&t, CALL_OF("1", "who", "2026-07-28"));
		talker_hears_error(&t, "1", -32000, "answers neither");
	}
	s.fake.is_mute = false;
	talker_say(&t, CALL_OF("2", "who", "2026-07-28"));
	talker_hears_error(&t, "2", -32022, "2025-06-18");
	want_ok(talker_close(&t));
	end();
	return WEFT_OK;
}

BOTH_TEST(a_request_without_a_session_is_refused_for_an_old_server)
{
	struct talker t;

	for (unsigned silent = 0; silent < 2; silent++) {
		setup();
		s.fake.is_silent = silent;
		s.options.connect_timeout_ns = 100 * MS;
		begin();
		talker_open(&t, s.relay);
		talker_say(&t,
			"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"who\",\"params\":{" MODERN
			"}}");
		talker_hears_error(&t, "1", -32022, "2025-06-18");
		want(strcmp(s.fake.client, "\"weft\"") == 0);
		/* a session does not begin with a server that was asked such things */
		talker_initialize(&t);
		want(counter_get(&s.fake.started) == 3);
		talker_say(&t,
			"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"who\",\"params\":{" MODERN
			"}}");
		talker_hears_error(&t, "2", -32022, "2025-06-18");
		talker_say(&t, CALL_OF("3", "who", "2025-06-18"));
		talker_hears_result(&t, "3", "{\"n\":3}");
		talker_say(&t, CALL_OF("4", "who", "2099-01-01"));
		talker_hears_error(&t, "4", -32022, "2025-06-18");
		talker_say(&t, CALL_OF("5", "server/discover", "2025-06-18"));
		talker_hears_error(&t, "5", -32022, "2025-06-18");
		want_ok(talker_close(&t));
		end();
	}
	return WEFT_OK;
}

static void era_tests(TCase *tc)
{
	both_add(tc, a_request_without_a_session_goes_to_a_modern_server);
	both_add(tc, a_server_that_says_nothing_is_of_no_era_until_it_speaks);
	both_add(tc, a_modern_server_that_is_slow_to_start_is_modern_all_the_same);
	both_add(tc, a_request_without_a_session_is_refused_for_an_old_server);
}

T_SUITE("relay: eras", era_tests)
