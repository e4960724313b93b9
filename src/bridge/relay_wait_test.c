/* SPDX-License-Identifier: MIT */
/* Requests that wait for their server, of clients that say more meanwhile, as those over HTTP do. */
#include "support/campaign.h"
#include "support/relaytalk.h"

#include <string.h>

#define MODERN(id, method)                                                                      \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method                               \
	"\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
	"\"io.modelcontextprotocol/clientCapabilities\":{}}}}"
#define HEARD_MAX 8

/* A client whose messages come in fibers of their own. */
static struct {
	struct fake fake;
	struct relay_options options;
	struct relay *relay;
	struct talker talker;
	weft_transport *web;
	bool is_gone;	       /* the relay has let go of it */
	struct counter inside; /* fibers that deliver */
	weft_message heard[HEARD_MAX];
	struct counter heard_len;
} s;

static weft_err web_start(void *user, weft_transport *transport)
{
	(void)user;
	(void)transport;
	return WEFT_OK;
}

static weft_err web_send(void *user, weft_message *message, weft_deadline until)
{
	(void)user;
	(void)until;
	want(counter_get(&s.heard_len) < HEARD_MAX);
	weft_message_move(&s.heard[counter_get(&s.heard_len)], message);
	(void)counter_add(&s.heard_len, 1);
	return WEFT_OK;
}

static void web_close(void *user)
{
	(void)user;
}

static void web_free(void *user)
{
	(void)user;
	while (counter_get(&s.inside))
		both_sleep_ns(1000000);
	s.is_gone = true;
}

static const weft_transport_ops web_ops = { "http", web_start, web_send, web_close, web_free,
	NULL };

static void begin(void)
{
	s.relay = fake_relay_open(&s.fake, &s.options);
	want_ok(weft_transport_create(&s.web, &web_ops, NULL, "web", NULL));
	s.talker.relay = s.relay;
	s.talker.relays = s.web;
	talker_serve(&s.talker);
}

static struct relay_stats end(void)
{
	struct relay_stats stats;

	if (!s.is_gone)
		weft_transport_deliver_end(s.web, WEFT_ECLOSED, "");
	if (s.talker.fiber)
		want_ok(talker_close(&s.talker));
	stats = fake_relay_close(&s.fake, &s.options, s.relay);
	for (unsigned i = 0; i < counter_get(&s.heard_len); i++)
		weft_message_fini(&s.heard[i]);
	return stats;
}

static weft_err deliver(void *arg)
{
	const char *text = arg;
	weft_message message;

	want_ok(weft_message_copy(&message, NULL, text, strlen(text), NULL));
	weft_transport_deliver_own(s.web, &message);
	(void)counter_sub(&s.inside, 1);
	return WEFT_OK;
}

static weft_fiber *say_in_fiber(const char *text)
{
	weft_fiber *fiber = NULL;

	(void)counter_add(&s.inside, 1);
	want_ok(weft_spawn(&fiber, "post", deliver, (void *)(uintptr_t)text));
	return fiber;
}

static void joined(weft_fiber *fiber)
{
	want_ok(weft_fiber_join(fiber, NULL, weft_after_ms(60000)));
}

static void say(const char *text)
{
	joined(say_in_fiber(text));
}

/* The nth message that the client got. */
static void heard(unsigned n, weft_jsonrpc_kind kind, const char *id)
{
	wait_count(&s.heard_len, n + 1);
	want(s.heard[n].rpc.kind == kind);
	want(weft_json_string_is(s.heard[n].rpc.id, id) ||
		(s.heard[n].rpc.id.len == strlen(id) &&
			memcmp(s.heard[n].rpc.id.text, id, strlen(id)) == 0));
}

/* What was cancelled while the server was not there was never said to it. */
static void cancelled_before(const char *request, const char *cancel, bool is_modern)
{
	weft_fiber *waiting;

	s.fake.refuses = UINT32_MAX; /* not there yet */
	s.fake.refusal = WEFT_EREFUSED;
	s.fake.is_modern = is_modern;
	s.options.starts_max = UINT32_MAX;
	begin();
	waiting = say_in_fiber(request);
	wait_count(&s.fake.connects, 2);
	say(cancel);
	heard(0, WEFT_JSONRPC_ERROR, "1");
	s.fake.refuses = 0;
	joined(waiting);
	say(is_modern ? MODERN("2", "release") : CALL("2", "release"));
	heard(1, WEFT_JSONRPC_RESPONSE, "2");
	want(counter_get(&s.fake.answers) == 1 + (is_modern ? 1 : 0)); /* of server/discover */
	want(counter_get(&s.fake.cancels) == 0);
	want(end().cancelled == 1);
}

BOTH_TEST(a_request_that_is_cancelled_while_it_waits_for_its_server_is_not_sent)
{
	memset(&s, 0, sizeof(s));
	cancelled_before(CALL("1", "hold"), CANCEL("1"), false);
	return WEFT_OK;
}

BOTH_TEST(the_same_for_one_shared_server)
{
	memset(&s, 0, sizeof(s));
	s.options.is_shared = true;
	cancelled_before(CALL("\"1\"", "hold"), CANCEL("\"1\""), false);
	return WEFT_OK;
}

BOTH_TEST(a_subscription_that_is_cancelled_before_its_server_is_known_is_not_begun)
{
	memset(&s, 0, sizeof(s));
	cancelled_before(MODERN("1", "subscriptions/listen"), CANCEL("1"), true);
	return WEFT_OK;
}

BOTH_TEST(an_initialize_that_is_cancelled_while_it_waits_lets_the_next_go)
{
	weft_fiber *first, *second;

	memset(&s, 0, sizeof(s));
	s.fake.refuses = UINT32_MAX;
	s.fake.refusal = WEFT_EREFUSED;
	s.options.starts_max = UINT32_MAX;
	s.options.is_shared = true;
	begin();
	first = say_in_fiber(CALL("1", "initialize"));
	wait_count(&s.fake.connects, 2);
	second = say_in_fiber(CALL("2", "initialize"));
	say(CANCEL("1"));
	heard(0, WEFT_JSONRPC_ERROR, "1");
	s.fake.refuses = 0;
	joined(first);
	joined(second);
	heard(1, WEFT_JSONRPC_RESPONSE, "2");
	want(counter_get(&s.fake.initializes) == 1);
	want(end().cancelled == 1);
	return WEFT_OK;
}

BOTH_TEST(a_session_that_ends_while_its_request_waits_leaves_nothing)
{
	weft_fiber *waiting;

	memset(&s, 0, sizeof(s));
	s.fake.refuses = UINT32_MAX;
	s.fake.refusal = WEFT_EREFUSED;
	s.options.starts_max = UINT32_MAX;
	begin();
	waiting = say_in_fiber(CALL("1", "hold"));
	wait_count(&s.fake.connects, 2);
	relay_stop(s.relay);
	joined(waiting);
	joined(s.talker.fiber);
	s.talker.fiber = NULL;
	want(s.is_gone);
	want(end().requests == 0);
	return WEFT_OK;
}

static void relay_wait_tests(TCase *tc)
{
	both_add(tc, a_request_that_is_cancelled_while_it_waits_for_its_server_is_not_sent);
	both_add(tc, the_same_for_one_shared_server);
	both_add(tc, a_subscription_that_is_cancelled_before_its_server_is_known_is_not_begun);
	both_add(tc, an_initialize_that_is_cancelled_while_it_waits_lets_the_next_go);
	both_add(tc, a_session_that_ends_while_its_request_waits_leaves_nothing);
}

T_SUITE("relay_wait", relay_wait_tests)
