/* SPDX-License-Identifier: MIT */
#include "support/relaytalk.h"
#include "support/campaign.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096
#define PATIENCE_MS 60000

/* ---- servers ---- */

struct instance {
	struct fake *fake;
	weft_transport *end;
	unsigned number;
	char held[FAKE_HELD_MAX][40];
	unsigned held_len;
	char asked[40]; /* id of the request that waits for the client's answer */
	bool is_dead;
};

static weft_err send_text(weft_transport *end, const char *text)
{
	weft_message message;

	CAMPAIGN_INSIST(weft_message_copy(&message, NULL, text, strlen(text), NULL));
	return weft_transport_send_own(end, &message, WEFT_FOREVER);
}

static void say(struct instance *s, const char *format, ...) WEFT_PRINTF(2, 3);

static void say(struct instance *s, const char *format, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (send_text(s->end, text))
		s->is_dead = true;
}

static void answer(struct instance *s, weft_json id, const char *result, size_t len)
{
	(void)counter_add(&s->fake->answers, 1);
	say(s, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":%.*s}", (int)id.len, id.text, (int)len,
		result);
}

static void refuse(struct instance *s, weft_json id, int code)
{
	say(s, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"error\":{\"code\":%d,\"message\":\"no\"}}",
		(int)id.len, id.text, code);
}

static void greet(struct instance *s, const weft_jsonrpc *rpc)
{
	struct fake *fake = s->fake;
	char result[128];
	weft_json name;
	static const char *const path[] = { "clientInfo", "name" };

	(void)counter_add(&fake->initializes, 1);
	if (fake->is_mute)
		return;
	if (!weft_json_get_path(&name, rpc->params, path, 2))
		(void)snprintf(
			fake->client, sizeof(fake->client), "%.*s", (int)name.len, name.text);
	if (!fake->version) {
		refuse(s, rpc->id, WEFT_JSONRPC_METHOD_NOT_FOUND);
		return;
	}
	(void)snprintf(result, sizeof(result), "{\"protocolVersion\":\"%s\",\"capabilities\":{}}",
		fake->version);
	answer(s, rpc->id, result, strlen(result));
}

static void hold(struct instance *s, weft_json id)
{
	want(s->held_len < FAKE_HELD_MAX && id.len < sizeof(s->held[0]));
	(void)snprintf(s->held[s->held_len++], sizeof(s->held[0]), "%.*s", (int)id.len, id.text);
}

static void release(struct instance *s)
{
	for (unsigned i = 0; i < s->held_len; i++)
		answer(s, (weft_json){ s->held[i], strlen(s->held[i]) }, "{}", 2);
	s->held_len = 0;
}

static void cancelled(struct instance *s, weft_json id)
{
	for (unsigned i = 0; i < s->held_len; i++) {
		if (strlen(s->held[i]) != id.len || memcmp(s->held[i], id.text, id.len) != 0)
			continue;
		memmove(s->held[i], s->held[--s->held_len], sizeof(s->held[0]));
		(void)counter_add(&s->fake->cancels, 1);
		return;
	}
}

static void progress(struct instance *s, const weft_jsonrpc *rpc)
{
	weft_json token = rpc->meta_progress_token;

	for (unsigned i = 1; i <= 2 && token.text; i++)
		say(s,
			"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":"
			"{\"progressToken\":%.*s,\"progress\":%u}}",
			(int)token.len, token.text, i);
	answer(s, rpc->id, "{}", 2);
}

static void ask(struct instance *s, const weft_jsonrpc *rpc)
{
	(void)snprintf(s->asked, sizeof(s->asked), "%.*s", (int)rpc->id.len, rpc->id.text);
	say(s, "{\"jsonrpc\":\"2.0\",\"id\":\"q\\/1\",\"method\":\"roots/list\"}");
}

static void subscribe(struct instance *s, const weft_jsonrpc *rpc)
{
	say(s,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\","
		"\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":%.*s}}}",
		(int)rpc->id.len, rpc->id.text);
	hold(s, rpc->id);
}

static void unsubscribe(struct instance *s)
{
	for (unsigned i = 0; i < s->held_len; i++)
		say(s,
			"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":"
			"{\"requestId\":%s}}",
			s->held[i]);
	s->held_len = 0;
}

static void quote(struct instance *s, weft_json id)
{
	say(s, "{\"jsonrpc\":\"2.0\",\"id\":\"%.*s\",\"result\":{}}", (int)id.len, id.text);
}

static void do_request(struct instance *s, const weft_jsonrpc *rpc)
{
	char text[TEXT_MAX];

	if (weft_json_string_is(rpc->method, "initialize")) {
		greet(s, rpc);
	} else if (weft_json_string_is(rpc->method, "server/discover")) {
		if (s->number <= s->fake->slow)
			return;
		if (s->fake->is_modern)
			answer(s, rpc->id, "{\"supportedVersions\":[\"2026-07-28\"]}", 38);
		else if (!s->fake->is_silent)
			refuse(s, rpc->id, WEFT_JSONRPC_METHOD_NOT_FOUND);
	} else if (weft_json_string_is(rpc->method, "echo")) {
		answer(s, rpc->id, rpc->params.text ? rpc->params.text : "{}",
			rpc->params.text ? rpc->params.len : 2);
	} else if (weft_json_string_is(rpc->method, "who")) {
		(void)snprintf(text, sizeof(text), "{\"n\":%u}", s->number);
		answer(s, rpc->id, text, strlen(text));
	} else if (weft_json_string_is(rpc->method, "progress")) {
		progress(s, rpc);
	} else if (weft_json_string_is(rpc->method, "ask")) {
		ask(s, rpc);
	} else if (weft_json_string_is(rpc->method, "shout")) {
		say(s, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}");
		answer(s, rpc->id, "{}", 2);
	} else if (weft_json_string_is(rpc->method, "twice")) {
		answer(s, (weft_json){ "999999", 6 }, "{}", 2);
		answer(s, (weft_json){ "\"x\"", 3 }, "{}", 2);
		answer(s, rpc->id, "{}", 2);
		answer(s, rpc->id, "{}", 2);
	} else if (weft_json_string_is(rpc->method, "hold")) {
		hold(s, rpc->id);
	} else if (weft_json_string_is(rpc->method, "subscriptions/listen")) {
		subscribe(s, rpc);
	} else if (weft_json_string_is(rpc->method, "quote")) {
		quote(s, rpc->id);
	} else if (weft_json_string_is(rpc->method, "unsubscribe")) {
		unsubscribe(s);
		answer(s, rpc->id, "{}", 2);
	} else if (weft_json_string_is(rpc->method, "release")) {
		release(s);
		answer(s, rpc->id, "{}", 2);
	} else if (weft_json_string_is(rpc->method, "die")) {
		s->is_dead = true;
	} else {
		refuse(s, rpc->id, WEFT_JSONRPC_METHOD_NOT_FOUND);
	}
}

static void do_message(struct instance *s, const weft_jsonrpc *rpc)
{
	switch (rpc->kind) {
	case WEFT_JSONRPC_REQUEST:
		do_request(s, rpc);
		break;
	case WEFT_JSONRPC_NOTIFICATION:
		if (weft_json_string_is(rpc->method, "notifications/initialized"))
			(void)counter_add(&s->fake->initialized, 1);
		else if (weft_json_string_is(rpc->method, "notifications/cancelled"))
			cancelled(s, rpc->request_id);
		break;
	case WEFT_JSONRPC_RESPONSE:
		want(weft_json_string_is(rpc->id, "q/1") && s->asked[0]);
		answer(s, (weft_json){ s->asked, strlen(s->asked) }, rpc->result.text,
			rpc->result.len);
		break;
	case WEFT_JSONRPC_ERROR:
		if (!s->asked[0])
			break;
		answer(s, (weft_json){ s->asked, strlen(s->asked) }, rpc->error.text,
			rpc->error.len);
		break;
	case WEFT_JSONRPC_NONE:
	case WEFT_JSONRPC_BATCH:
	case WEFT_JSONRPC_INVALID:
	default:
		want(false);
	}
}

static weft_err instance_run(void *arg)
{
	struct instance *s = arg;
	struct fake *fake = s->fake;
	weft_message message;

	s->is_dead = s->number <= fake->dies_early;
	while (!s->is_dead && !weft_transport_receive(s->end, &message, WEFT_FOREVER)) {
		if (s->number <= fake->forgets && weft_json_string_is(message.rpc.method, "who")) {
			message.err = WEFT_EAGAIN;
			(void)!weft_transport_send_own(s->end, &message, WEFT_FOREVER);
			break;
		}
		do_message(s, &message.rpc);
		weft_message_fini(&message);
	}
	weft_transport_free(s->end);
	free(s);
	(void)counter_sub(&fake->now, 1);
	return WEFT_OK;
}

static weft_err fake_connect(void *user, weft_transport **out, weft_deadline until)
{
	struct fake *fake = user;
	weft_transport *ends[2];
	struct instance *s;
	weft_err err;

	(void)until;
	if (counter_add(&fake->connects, 1) < fake->refuses)
		return fake->refusal;
	err = weft_transport_pair(ends, fake->room, NULL);
	if (err)
		return err;
	s = calloc(1, sizeof(*s));
	want(s != NULL);
	s->fake = fake;
	s->end = ends[1];
	s->number = (unsigned)counter_add(&fake->started, 1) + 1;
	(void)counter_add(&fake->now, 1);
	err = weft_scope_spawn(fake->scope, "server", instance_run, s);
	if (err) {
		(void)counter_sub(&fake->now, 1);
		weft_transport_free(ends[0]);
		weft_transport_free(ends[1]);
		free(s);
		return err;
	}
	*out = ends[0];
	return WEFT_OK;
}

static void fake_free(void *user)
{
	(void)user;
}

static const weft_outgoing_ops fake_ops = { fake_connect, fake_free };

void fake_open(struct fake *fake, struct relay_options *options)
{
	CAMPAIGN_INSIST(weft_scope_create(&fake->scope));
	CAMPAIGN_INSIST(weft_outgoing_create(&options->outgoing, &fake_ops, fake, "fake"));
	if (!options->name)
		options->name = "fake";
	if (!fake->version && !fake->is_modern)
		fake->version = "2025-06-18";
}

void fake_close(struct fake *fake, struct relay_options *options)
{
	want_ok(weft_scope_wait(fake->scope, weft_after_ms(PATIENCE_MS)));
	want(counter_get(&fake->now) == 0);
	weft_scope_free(fake->scope);
	weft_outgoing_free(options->outgoing);
}

struct relay *fake_relay_open(struct fake *fake, struct relay_options *options)
{
	struct relay *relay = NULL;

	fake_open(fake, options);
	want_ok(relay_create(&relay, options));
	return relay;
}

struct relay_stats fake_relay_close(
	struct fake *fake, struct relay_options *options, struct relay *relay)
{
	struct relay_stats stats;

	relay_stats_get(relay, &stats);
	want(stats.sessions_now == 0);
	relay_free(relay);
	fake_close(fake, options);
	return stats;
}

/* ---- clients ---- */

static weft_err serve(void *arg)
{
	struct talker *talker = arg;

	talker->verdict = relay_serve(talker->relay, talker->relays);
	(void)snprintf(talker->detail, sizeof(talker->detail), "%s", weft_error_detail());
	return WEFT_OK;
}

void talker_serve(struct talker *talker)
{
	CAMPAIGN_INSIST(weft_spawn(&talker->fiber, "session", serve, talker));
}

void talker_open(struct talker *talker, struct relay *relay)
{
	talker_open_on(talker, relay, weft_worker_self());
}

void talker_open_on(struct talker *talker, struct relay *relay, unsigned worker)
{
	weft_transport_options options = WEFT_TRANSPORT_OPTIONS_DEFAULT;
	weft_transport *ends[2];

	memset(talker, 0, sizeof(*talker));
	options.inbox_max = 1; /* who does not receive, does not */
	CAMPAIGN_INSIST(weft_transport_pair(ends, TALKER_ROOM, &options));
	talker->relay = relay;
	talker->end = ends[0];
	talker->relays = ends[1];
	CAMPAIGN_INSIST(weft_spawn_on(worker, &talker->fiber, "session", serve, talker));
}

void talker_say(struct talker *talker, const char *format, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	want_ok(send_text(talker->end, text));
}

void talker_hear(struct talker *talker, weft_message *out)
{
	want_ok(weft_transport_receive(talker->end, out, weft_after_ms(PATIENCE_MS)));
}

static bool is_text(weft_json value, const char *text)
{
	return value.len == strlen(text) && memcmp(value.text, text, value.len) == 0;
}

void talker_hears_result(struct talker *talker, const char *id, const char *result)
{
	weft_message m;

	talker_hear(talker, &m);
	if (m.rpc.kind != WEFT_JSONRPC_RESPONSE || !is_text(m.rpc.id, id) ||
		!is_text(m.rpc.result, result))
		ck_abort_msg(
			"%.*s is not %s: %s", (int)m.text.len, (char *)m.text.data, id, result);
	weft_message_fini(&m);
}

void talker_hears_error(struct talker *talker, const char *id, int code, const char *text)
{
	char message[TEXT_MAX];
	int64_t number = 0;
	weft_message m;
	size_t len = 0;

	talker_hear(talker, &m);
	if (m.rpc.kind == WEFT_JSONRPC_ERROR) {
		want_ok(weft_json_integer(m.rpc.error_code, &number));
		want_ok(weft_json_string_decode(
			m.rpc.error_message, message, sizeof(message) - 1, &len));
	}
	message[len] = '\0';
	if (m.rpc.kind != WEFT_JSONRPC_ERROR || !is_text(m.rpc.id, id) || number != code ||
		!strstr(message, text))
		ck_abort_msg("%.*s is not %s: %d %s", (int)m.text.len, (char *)m.text.data, id,
			code, text);
	weft_message_fini(&m);
}

void talker_hears_call(struct talker *talker, const char *method, const char *params)
{
	weft_message m;

	talker_hear(talker, &m);
	if (!weft_json_string_is(m.rpc.method, method) ||
		(params && !is_text(m.rpc.params, params)))
		ck_abort_msg("%.*s is not %s %s", (int)m.text.len, (char *)m.text.data, method,
			params ? params : "");
	weft_message_fini(&m);
}

void talker_hears_end(struct talker *talker)
{
	weft_message m;
	weft_err err = weft_transport_receive(talker->end, &m, weft_after_ms(PATIENCE_MS));

	if (!err)
		ck_abort_msg("%.*s is no end", (int)m.text.len, (char *)m.text.data);
	want(err == WEFT_ECLOSED || err == WEFT_ERESET);
}

weft_err talker_close(struct talker *talker)
{
	weft_transport_free(talker->end);
	want_ok(weft_fiber_join(talker->fiber, NULL, weft_after_ms(PATIENCE_MS)));
	return talker->verdict;
}

void talker_initialize(struct talker *talker)
{
	talker_say(talker,
		"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":"
		"{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{},"
		"\"clientInfo\":{\"name\":\"talker\"}}}");
	talker_hears_result(
		talker, "0", "{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{}}");
	talker_say(talker, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
}

void wait_count(const struct counter *counter, uint64_t at_least)
{
	weft_deadline until = weft_after_ms(PATIENCE_MS);

	while (counter_get(counter) < at_least) {
		want(weft_now() < until);
		both_sleep_ns(1000000);
	}
}
