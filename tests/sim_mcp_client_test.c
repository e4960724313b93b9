/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/*
 * The campaign of sessions with MCP servers on the web: a server that answers in every way there
 * is, clients on other nodes with sessions of either era, faults, all chosen by the seed. Whatever
 * happens:
 *
 *   - each request is answered once, with what it asked for or by an error, or its session has
 *     ended; what was cancelled is not answered afterwards;
 *   - no answer comes for another request, or into another session;
 *   - without faults there is no error but those that the server made;
 *   - nobody waits for ever, all is given back, and the run repeats exactly.
 */
#include "support/campaign.h"

#include <weft/http_server.h>
#include <weft/mcp_client.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define SEEDS 200
#define USERS_MAX 3
#define SESSIONS 3
#define REQUESTS_MAX 12
#define STEPS_MAX 5000000
#define META "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}"

static struct {
	bool has_faults, is_over;
	unsigned nodes[USERS_MAX + 1], nodes_len; /* the first is the server's */
	unsigned sessions;			  /* that were begun */
	weft_cancel *stop;
	unsigned calm; /* of 10 answers: those that are plain */
} world;

static uint64_t below(uint64_t bound)
{
	return weft_sim_random_below(bound);
}

/* ---- the server ---- */

static weft_err reply(weft_http_exchange *x, unsigned status, const char *session, const char *text)
{
	weft_http_fields *fields = NULL;
	weft_err err = weft_http_fields_create(&fields);

	if (!err)
		err = weft_http_fields_set(fields, "Content-Type", "application/json");
	if (!err && session)
		err = weft_http_fields_set(fields, "Mcp-Session-Id", session);
	if (!err)
		err = weft_http_exchange_reply(x, status, fields, text, strlen(text), WEFT_FOREVER);
	weft_http_fields_free(fields);
	return err;
}

static weft_err event(weft_http_exchange *x, const char *id, const char *text)
{
	weft_sse_event e = { .data = text, .data_len = strlen(text), .id = id };

	if (below(4) == 0) {
		e.retry_set = true;
		e.retry_ms = below(300);
	}
	return weft_http_exchange_sse_send(x, &e, WEFT_FOREVER);
}

/* key says whose it is: the session's number and the request's. */
static weft_err answer_event(weft_http_exchange *x, const char *id, const char *key)
{
	char text[200];

	snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":\"%s\"}", id, key);
	return event(x, key, text);
}

static void dawdle(void)
{
	if (below(2))
		both_sleep_ns((int64_t)below(300 * MS));
}

/* How a stream may go on; key NULL: nobody waits for an answer there. */
static weft_err stream(weft_http_exchange *x, const char *id, const char *key)
{
	static const char note[] = "{\"jsonrpc\":\"2.0\",\"method\":\"note\"}";
	weft_err err = weft_http_exchange_sse_begin(x, NULL, WEFT_FOREVER);

	if (!err && below(2))
		err = event(x, key ? key : "own", "");
	for (uint64_t i = below(3); i > 0 && !err; i--)
		err = event(x, below(2) ? key : NULL, note);
	dawdle();
	if (err || !key || below(10) >= world.calm)
		return err ? err : below(2) ? WEFT_OK : WEFT_ERESET;
	err = answer_event(x, id, key);
	dawdle();
	if (!err && below(8) == 0)
		err = answer_event(x, id, key);
	return err;
}

static weft_err answer_call(weft_http_exchange *x, const weft_jsonrpc *rpc)
{
	char id[32], key[64], text[200];

	snprintf(id, sizeof(id), "%.*s", (int)rpc->id.len, rpc->id.text);
	snprintf(key, sizeof(key), "%.*s-%s", (int)rpc->name.len - 2, rpc->name.text + 1, id);
	dawdle();
	if (below(10) >= world.calm) {
		static const unsigned statuses[] = { 400, 401, 500, 503, 202, 200 };

		if (below(4) == 0)
			return WEFT_ERESET;
		return reply(x, statuses[below(6)], NULL, below(2) ? "{}" : "<html>");
	}
	if (below(2))
		return stream(x, id, key);
	snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":\"%s\"}", id, key);
	return reply(x, 200, NULL, text);
}

static weft_err serve_post(weft_http_exchange *x)
{
	const char *data, *session = weft_http_exchange_field(x, "Mcp-Session-Id");
	char fresh[32], text[200];
	weft_jsonrpc rpc;
	size_t len;
	weft_err err = weft_http_exchange_read_all(x, &data, &len, WEFT_FOREVER);

	if (err)
		return err;
	want(weft_jsonrpc_scan(&rpc, data, len, NULL) != WEFT_JSONRPC_INVALID);
	if (rpc.kind != WEFT_JSONRPC_REQUEST)
		return reply(x, session && below(100) == 0 ? 404 : 202, NULL, "");
	if (!weft_json_string_is(rpc.method, "initialize"))
		return session && below(50) == 0 ? reply(x, 404, NULL, "") : answer_call(x, &rpc);
	want(!session);
	snprintf(fresh, sizeof(fresh), "s%u", ++world.sessions);
	snprintf(text, sizeof(text),
		"{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{\"protocolVersion\":\"2025-11-25\"}}",
		(int)rpc.id.len, rpc.id.text);
	return reply(x, 200, fresh, text);
}

static weft_err serve(weft_http_exchange *x, void *arg)
{
	const char *method = weft_http_exchange_method(x);
	const char *last = weft_http_exchange_field(x, "Last-Event-ID");
	const char *id = last ? strchr(last, '-') : NULL;

	(void)arg;
	if (strcmp(method, "POST") == 0)
		return serve_post(x);
	if (strcmp(method, "GET") != 0)
		return reply(x, 204, NULL, "");
	if (below(10) >= world.calm)
		return reply(x, below(2) ? 503 : 500, NULL, "");
	if (id)
		return stream(x, id + 1, last);
	return below(2) ? reply(x, 405, NULL, "") : stream(x, NULL, NULL);
}

static weft_err serve_once(void)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	weft_http_server *server = NULL;
	weft_listener *listener = NULL;
	weft_err err;

	options.stop = world.stop;
	options.stop_timeout_ns = (int64_t)below(SECOND);
	err = weft_listen(&listener, "tcp://0.0.0.0:80", NULL, WEFT_FOREVER);
	if (!err)
		err = weft_http_server_create(&server, &options);
	if (!err)
		err = weft_http_server_route(server, "*", "/mcp", serve, NULL);
	if (!err)
		err = weft_http_server_serve(server, listener);
	if (server) {
		weft_http_server_stop(server);
		(void)!weft_http_server_wait(server, WEFT_FOREVER);
	}
	weft_http_server_free(server);
	weft_listener_free(listener);
	return err;
}

/* Again each time that it crashes. */
static weft_err serve_on(void *arg)
{
	(void)arg;
	(void)!serve_once();
	return WEFT_OK;
}

static weft_err keep_server(void *arg)
{
	(void)arg;
	while (!world.is_over) {
		weft_fiber *fiber;

		campaign_spawn(world.nodes[0], &fiber, "server", serve_on, NULL);
		campaign_join(fiber);
		both_sleep_ns((int64_t)below(100 * MS));
	}
	return WEFT_OK;
}

/* ---- clients ---- */

enum fate { UNSENT, WAITS, CANCELLED, ANSWERED };

struct talk {
	weft_transport *t;
	unsigned number;
	bool is_stateless, has_ended;
	enum fate fates[REQUESTS_MAX];
};

static weft_err say(struct talk *talk, const char *text)
{
	weft_message m;
	weft_err err = weft_message_copy(&m, NULL, text, strlen(text), NULL);

	return err ? err : weft_transport_send_own(talk->t, &m, weft_after_ns(60 * SECOND));
}

static void take(struct talk *talk, const weft_message *m)
{
	char key[64];
	int64_t id = -1;

	if (m->rpc.kind == WEFT_JSONRPC_NOTIFICATION) {
		want(weft_json_string_is(m->rpc.method, "note"));
		return;
	}
	want(m->rpc.kind == WEFT_JSONRPC_RESPONSE || m->rpc.kind == WEFT_JSONRPC_ERROR);
	want_ok(weft_json_integer(m->rpc.id, &id));
	want(id >= 0 && id < REQUESTS_MAX && talk->fates[id] == WAITS);
	talk->fates[id] = ANSWERED;
	snprintf(key, sizeof(key), "k%u-%d", talk->number, (int)id);
	if (m->rpc.kind == WEFT_JSONRPC_RESPONSE && (id > 0 || talk->is_stateless))
		want(weft_json_string_is(m->rpc.result, key));
	if (m->rpc.kind == WEFT_JSONRPC_ERROR)
		want(world.has_faults || world.calm < 10);
}

/* What comes until then. */
static void hear(struct talk *talk, weft_deadline until)
{
	unsigned failures = 0;

	while (!talk->has_ended) {
		weft_message m;
		weft_err err = weft_transport_receive(talk->t, &m, until);

		/* of this call; or again and again, if the session has ended by it */
		if (err == WEFT_ENOMEM && ++failures < 50)
			continue;
		if (err == WEFT_ECANCELED) { /* the node is gone */
			talk->has_ended = true;
			return;
		}
		if (err == WEFT_ETIMEDOUT)
			return;
		if (!err) {
			take(talk, &m);
			weft_message_fini(&m);
			continue;
		}
		want(err == WEFT_ECLOSED || err == WEFT_ERESET || err == WEFT_ENOMEM);
		want(err == WEFT_ECLOSED || world.has_faults || world.calm < 10 ||
			!talk->is_stateless);
		talk->has_ended = true;
	}
}

static bool is_waiting(const struct talk *talk)
{
	for (unsigned i = 0; i < REQUESTS_MAX; i++) {
		if (talk->fates[i] == WAITS)
			return true;
	}
	return false;
}

static void ask(struct talk *talk, unsigned id)
{
	char text[300];

	snprintf(text, sizeof(text),
		"{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"%s\",\"params\":{\"name\":\"k%u\"%s}}",
		id, id || talk->is_stateless ? "call" : "initialize", talk->number,
		talk->is_stateless ? "," META : "");
	talk->fates[id] = WAITS;
	if (say(talk, text))
		talk->fates[id] = UNSENT;
}

static void cancel(struct talk *talk, unsigned id)
{
	weft_message m;
	char text[200];

	if (talk->fates[id] != WAITS || id == 0)
		return;
	snprintf(text, sizeof(text),
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
		"\"requestId\":%u}}",
		id);
	/* what is there already comes first */
	hear(talk, WEFT_NOW);
	if (talk->fates[id] != WAITS || talk->has_ended)
		return;
	talk->fates[id] = CANCELLED; /* also if the server can't be told */
	CAMPAIGN_INSIST(weft_message_copy(&m, NULL, text, strlen(text), NULL));
	(void)!weft_transport_send_own(talk->t, &m, weft_after_ns(60 * SECOND));
}

static void run_session(struct talk *talk)
{
	unsigned count = 1 + (unsigned)below(REQUESTS_MAX - 1);

	ask(talk, 0);
	while (!talk->has_ended && is_waiting(talk))
		hear(talk, weft_after_ns(SECOND));
	if (!talk->is_stateless)
		(void)!say(talk, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
	for (unsigned i = 1; i <= count && i < REQUESTS_MAX; i++) {
		ask(talk, i);
		if (below(3) == 0)
			hear(talk, weft_after_ns((int64_t)below(200 * MS)));
		if (below(6) == 0)
			cancel(talk, 1 + (unsigned)below(i));
	}
	if (below(4) == 0)
		return; /* in the middle of it */
	for (weft_deadline at_last = weft_after_ns(600 * SECOND);
		!talk->has_ended && is_waiting(talk);) {
		if (weft_now() >= at_last)
			weft_dump(2);
		want(weft_now() < at_last);
		hear(talk, weft_after_ns(SECOND));
	}
	hear(talk, weft_after_ns((int64_t)below(2 * SECOND))); /* nothing twice */
}

static weft_err run_user(void *arg)
{
	unsigned number = *(unsigned *)arg;
	weft_mcp_client_options options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT;
	weft_outgoing *outgoing = NULL;
	weft_http_client *http = NULL;
	weft_err err = weft_http_client_create(&http, NULL);

	options.response_timeout_ns = 20 * SECOND; /* a partition is silent */
	if (below(2))
		options.idle_timeout_ns = 500 * MS + (int64_t)below(5 * SECOND);
	options.attempts_max = 1 + (unsigned)below(4);
	if (!err)
		err = weft_outgoing_mcp(&outgoing, http, "http://n1:80/mcp", &options);
	for (unsigned i = 0; i < SESSIONS && !err; i++) {
		struct talk talk = { .number = number * 100 + i, .is_stateless = below(2) };

		if (weft_outgoing_connect(outgoing, &talk.t, WEFT_FOREVER))
			continue;
		run_session(&talk);
		if (below(2))
			weft_transport_close(talk.t);
		weft_transport_free(talk.t);
	}
	weft_outgoing_free(outgoing);
	weft_http_client_unref(http);
	return WEFT_OK;
}

/* ---- the world ---- */

static weft_err make_faults(void *arg)
{
	(void)arg;
	while (!world.is_over) {
		both_sleep_ns((int64_t)below(800 * MS));
		campaign_fault(world.nodes, world.nodes_len, NULL);
	}
	return WEFT_OK;
}

static weft_err run_world(void *arg)
{
	unsigned users_len = 1 + (unsigned)below(USERS_MAX), numbers[USERS_MAX];
	weft_fiber *users[USERS_MAX], *server, *faults = NULL;
	bool has_faults = world.has_faults;

	(void)arg;
	memset(&world, 0, sizeof(world));
	world.has_faults = has_faults;
	world.calm = below(2) ? 10 : 5 + (unsigned)below(5);
	CAMPAIGN_INSIST(weft_cancel_create(&world.stop, NULL));
	for (world.nodes_len = 0; world.nodes_len <= users_len; world.nodes_len++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", world.nodes_len + 1);
		campaign_node(&world.nodes[world.nodes_len], name);
	}
	campaign_spawn(0, &server, "keeper", keep_server, NULL);
	both_sleep_ns(100 * MS); /* it listens */
	for (unsigned i = 0; i < users_len; i++) {
		numbers[i] = i + 1;
		campaign_spawn(world.nodes[i + 1], &users[i], "user", run_user, &numbers[i]);
	}
	if (has_faults && below(4) != 0)
		campaign_spawn(0, &faults, "faults", make_faults, NULL);
	for (unsigned i = 0; i < users_len; i++)
		campaign_join(users[i]);
	world.is_over = true;
	weft_cancel_trigger(world.stop, WEFT_OK);
	campaign_join(server);
	if (faults)
		campaign_join(faults);
	weft_cancel_unref(world.stop);
	both_sleep_ns(60 * SECOND);
	want(weft_fiber_count() == 1);
	return WEFT_OK;
}

START_TEST(sessions_on_a_random_web_keep_their_promises)
{
	weft_sim_options options = campaign_options((uint64_t)_i, 200);

	options.steps_max = STEPS_MAX;
	world.has_faults = campaign_has_faults((uint64_t)_i);
	campaign_run(run_world, &options);
}
END_TEST

static void sim_mcp_client_tests(TCase *tc)
{
	campaign_add(tc, sessions_on_a_random_web_keep_their_promises, SEEDS);
}
T_SUITE("sim/mcp_client", sim_mcp_client_tests)
