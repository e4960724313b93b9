/* SPDX-License-Identifier: MIT */
/* Requests that a server gives back untaken, since it has forgotten the session: the next one's. */
#include "support/relaytalk.h"

#include <string.h>

static struct {
	struct fake fake;
	struct relay_options options;
	struct relay *relay;
	struct talker talker;
} s;

static void begin(unsigned forgets, bool is_shared)
{
	memset(&s, 0, sizeof(s));
	s.fake.version = "2025-06-18";
	s.fake.forgets = forgets;
	s.options.is_shared = is_shared;
	s.options.starts_max = UINT32_MAX;
	s.relay = fake_relay_open(&s.fake, &s.options);
	talker_open(&s.talker, s.relay);
	talker_initialize(&s.talker);
	wait_count(&s.fake.initialized, 1);
}

static struct relay_stats end(void)
{
	want_ok(talker_close(&s.talker));
	return fake_relay_close(&s.fake, &s.options, s.relay);
}

static void is_taken_by_the_next(bool is_shared)
{
	struct relay_stats stats;

	begin(1, is_shared);
	talker_say(&s.talker, CALL("1", "who"));
	talker_hears_result(&s.talker, "1", "{\"n\":2}");
	want(counter_get(&s.fake.initializes) == 2);
	stats = end();
	want(stats.requests == 3); /* that were sent */
	want(stats.answers == 2);
}

BOTH_TEST(what_a_server_has_not_taken_the_next_one_answers)
{
	is_taken_by_the_next(false);
	return WEFT_OK;
}

BOTH_TEST(the_same_for_one_shared_server)
{
	is_taken_by_the_next(true);
	return WEFT_OK;
}

BOTH_TEST(what_two_servers_have_not_taken_is_an_error)
{
	begin(2, false);
	talker_say(&s.talker, CALL("1", "who"));
	talker_hears_error(&s.talker, "1", -32000, "again and again");
	wait_count(&s.fake.initialized, 3);
	talker_say(&s.talker, CALL("2", "who"));
	talker_hears_result(&s.talker, "2", "{\"n\":3}");
	(void)end();
	return WEFT_OK;
}

/* It waits for a server that does not come. */
static void wait_for_none(bool is_shared)
{
	begin(1, is_shared);
	s.fake.refuses = UINT32_MAX;
	s.fake.refusal = WEFT_EREFUSED;
	talker_say(&s.talker, CALL("1", "who"));
	wait_count(&s.fake.connects, 3);
}

BOTH_TEST(a_session_may_end_while_what_was_given_back_waits)
{
	wait_for_none(false);
	(void)end();
	wait_for_none(true);
	(void)end();
	return WEFT_OK;
}

BOTH_TEST(what_was_given_back_may_be_cancelled)
{
	wait_for_none(false);
	talker_say(&s.talker, CANCEL("1"));
	want(end().cancelled == 1);
	return WEFT_OK;
}

static void relay_again_tests(TCase *tc)
{
	both_add(tc, what_a_server_has_not_taken_the_next_one_answers);
	both_add(tc, the_same_for_one_shared_server);
	both_add(tc, what_two_servers_have_not_taken_is_an_error);
	both_add(tc, a_session_may_end_while_what_was_given_back_waits);
	both_add(tc, what_was_given_back_may_be_cancelled);
}

T_SUITE("relay_again", relay_again_tests)
