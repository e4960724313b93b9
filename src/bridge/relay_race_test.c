/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=180 */
/* Sessions on several workers at once, whose servers are lost while they talk. */
#include "support/relaytalk.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MS INT64_C(1000000)
#define WORKERS 3
#define CLIENTS 6
#define SESSIONS 12 /* of a client, one after the other */
#define ASKS 30	    /* of a session */
#define WINDOW 4    /* unanswered */

static struct {
	struct fake fake;
	struct relay_options options;
	struct relay *relay;
	struct counter answers, errors, ended;
} s;

struct client {
	unsigned number, session;
	uint64_t random;
	struct talker t;
	bool is_owed[ASKS]; /* by number of the request; not those that were cancelled */
	unsigned owed;
	bool is_over;
};

static unsigned below(struct client *c, unsigned bound)
{
	return (unsigned)(t_random(&c->random) % bound);
}

static void say(struct client *c, const char *format, ...) WEFT_PRINTF(2, 3);

static void say(struct client *c, const char *format, ...)
{
	weft_message message;
	char text[256];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	want_ok(weft_message_copy(&message, NULL, text, strlen(text), NULL));
	if (weft_transport_send_own(c->t.end, &message, weft_after_ms(60000)))
		c->is_over = true;
}

/* The answer to one, or the end. */
static void hear(struct client *c)
{
	char expected[64];
	weft_message m;
	int64_t id;

	if (weft_transport_receive(c->t.end, &m, weft_after_ms(60000))) {
		c->is_over = true;
		return;
	}
	if (m.rpc.kind == WEFT_JSONRPC_RESPONSE || m.rpc.kind == WEFT_JSONRPC_ERROR) {
		want(!weft_json_integer(m.rpc.id, &id) && id >= 0 && id < ASKS);
		if (c->is_owed[id])
			c->owed--;
		c->is_owed[id] = false;
		(void)counter_add(m.rpc.kind == WEFT_JSONRPC_RESPONSE ? &s.answers : &s.errors, 1);
	}
	if (m.rpc.kind == WEFT_JSONRPC_RESPONSE &&
		weft_json_type_of(m.rpc.result) == WEFT_JSON_ARRAY) {
		(void)snprintf(expected, sizeof(expected), "[%u,%u,%lld]", c->number, c->session,
			(long long)id);
		want(m.rpc.result.len == strlen(expected) &&
			memcmp(m.rpc.result.text, expected, m.rpc.result.len) == 0);
	}
	weft_message_fini(&m);
}

static void ask(struct client *c, unsigned id)
{
	static const char *const methods[] = { "die", "progress", "shout", "who", "echo" };
	unsigned n = below(c, 50);
	const char *method = methods[n < 4 ? n : 4];

	c->is_owed[id] = true;
	c->owed++;
	if (n == 1)
		say(c,
			"{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"progress\",\"params\":"
			"{\"_meta\":{\"progressToken\":\"t\"}}}",
			id);
	else
		say(c, "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"%s\",\"params\":[%u,%u,%u]}",
			id, method, c->number, c->session, id);
}

static void cancel(struct client *c, unsigned id)
{
	if (!c->is_owed[id])
		return;
	c->is_owed[id] = false;
	c->owed--;
	say(c,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":"
		"{\"requestId\":%u}}",
		id);
}

static void session(struct client *c)
{
	bool goes = below(c, 3) == 0;

	memset(c->is_owed, 0, sizeof(c->is_owed));
	c->owed = 0;
	c->is_over = false;
	talker_open_on(&c->t, s.relay, below(c, WORKERS));
	say(c, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{}}");
	c->is_owed[0] = true;
	c->owed++;
	for (unsigned id = 1; id < ASKS && !c->is_over; id++) {
		ask(c, id);
		if (below(c, 8) == 0)
			cancel(c, id - below(c, 2));
		while (c->owed >= WINDOW && !c->is_over)
			hear(c);
	}
	while (!goes && c->owed > 0 && !c->is_over)
		hear(c);
	if (c->is_over)
		(void)counter_add(&s.ended, 1);
	(void)talker_close(&c->t);
}

static weft_err client_run(void *arg)
{
	struct client *c = arg;

	for (c->session = 0; c->session < SESSIONS; c->session++)
		session(c);
	return WEFT_OK;
}

static weft_err race_body(void *arg)
{
	static struct client clients[CLIENTS];
	weft_fiber *fibers[CLIENTS];
	struct relay_stats stats;

	memset(&s, 0, sizeof(s));
	memset(clients, 0, sizeof(clients));
	s.options.is_shared = arg != NULL;
	s.options.read_timeout_ns = 10000 * MS;
	s.options.starts_max = 1000;
	fake_open(&s.fake, &s.options);
	want_ok(relay_create(&s.relay, &s.options));
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i].number = i;
		clients[i].random = t_seed() + i;
		want_ok(weft_spawn_on(i % WORKERS, &fibers[i], "client", client_run, &clients[i]));
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		want_ok(weft_fiber_join(fibers[i], NULL, WEFT_FOREVER));
	relay_stats_get(s.relay, &stats);
	want(stats.sessions_now == 0 && stats.sessions == CLIENTS * SESSIONS);
	want(counter_get(&s.answers) > 0 && stats.servers_lost > 0);
	want(counter_get(&s.ended) == 0); /* a lost server is no lost session */
	relay_free(s.relay);
	fake_close(&s.fake, &s.options);
	return WEFT_OK;
}

START_TEST(sessions_on_several_workers_do_not_mix)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;
	bool is_shared = true;

	options.workers = WORKERS;
	want_ok(weft_run(race_body, _i ? &is_shared : NULL, &options));
}
END_TEST

static void relay_race_tests(TCase *tc)
{
	t_add_loop(tc, sessions_on_several_workers_do_not_mix, 0, 2);
}

T_SUITE("relay_race", relay_race_tests)
