/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/*
 * The front for clients of the Model Context Protocol in bad weather: resets, refusals, partitions,
 * crashes of clients, memory that runs out. Each request is answered exactly once, or fails loudly; no
 * answer gets to another client; nothing is left. Once it has cleared up, all works.
 */
#include "support/campaign.h"
#include "support/roughhttp.h"

#include <weft/mcp_server.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define CLIENTS 4
#define ASKS 8
#define TRIES 6 /* to come back for an answer */

static struct {
	weft_http_server *http;
	weft_mcp_server *mcp;
	weft_scope *sessions, *accepting;
	bool listens, is_clear; /* is_clear: a run without faults */
} e;
static bool has_faults; /* of the seed */

/* ---- the server ---- */

struct served {
	weft_transport *transport;
	weft_scope *scope;
	weft_parker *waiter;
	bool has_ended;
};

struct later {
	struct served *s;
	weft_message request;
};

/* Whatever can't be sent for want of memory ends the session, so that it is no silence. */
static void send_draft(struct served *s, const weft_jsonrpc_draft *draft)
{
	weft_message message;
	weft_err err = weft_message_write(&message, NULL, draft);

	if (!err)
		err = weft_transport_send_own(s->transport, &message, weft_after_ns(60 * SECOND));
	if (err && err != WEFT_ENOTFOUND)
		weft_transport_close(s->transport);
}

static void answer(struct served *s, weft_message *request)
{
	weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_RESPONSE, .id = request->rpc.id, .result = request->rpc.params
	};

	send_draft(s, &draft);
	weft_message_fini(request);
}

static weft_err answer_later(void *arg)
{
	struct later later = *(struct later *)arg;

	free(arg);
	both_sleep_ns((int64_t)both_random(400) * MS);
	answer(later.s, &later.request);
	return WEFT_OK;
}

static void defer(struct served *s, weft_message *request)
{
	struct later *later = malloc(sizeof(*later));

	want(later != NULL);
	later->s = s;
	weft_message_move(&later->request, request);
	if (weft_scope_spawn(s->scope, "later", answer_later, later)) {
		answer(s, &later->request);
		free(later);
	}
}

static void sink_message(void *user, weft_message *message)
{
	static const weft_jsonrpc_draft note = { .kind = WEFT_JSONRPC_NOTIFICATION,
		.method = "notifications/message",
		.params = { "{}", 2 } };
	static const weft_jsonrpc_draft changed = { .kind = WEFT_JSONRPC_NOTIFICATION,
		.method = "notifications/tools/list_changed" };
	struct served *s = user;

	if (message->rpc.kind != WEFT_JSONRPC_REQUEST) {
		weft_message_fini(message);
		return;
	}
	if (weft_json_string_is(message->rpc.method, "log"))
		send_draft(s, &note);
	if (weft_json_string_is(message->rpc.method, "changed"))
		send_draft(s, &changed);
	if (weft_json_string_is(message->rpc.method, "later"))
		defer(s, message);
	else
		answer(s, message);
}

static void sink_ended(void *user, weft_err err, const char *detail)
{
	struct served *s = user;

	want(err == WEFT_ECLOSED && *detail);
	s->has_ended = true;
	weft_unpark(s->waiter);
}

static weft_err serve_session(void *arg)
{
	static const weft_transport_sink sink = { sink_message, sink_ended };
	struct served *s = arg;

	s->waiter = weft_parker_self();
	weft_shield_begin();
	CAMPAIGN_INSIST(weft_scope_create(&s->scope));
	if (!weft_transport_start(s->transport, &sink, s))
		while (!s->has_ended)
			want_ok(weft_park(WEFT_FOREVER));
	weft_scope_free(s->scope);
	weft_transport_free(s->transport);
	weft_shield_end();
	free(s);
	return WEFT_OK;
}

static weft_err accept_sessions(void *arg)
{
	weft_transport *transport;

	(void)arg;
	while (!weft_incoming_accept(weft_mcp_server_incoming(e.mcp), &transport, WEFT_FOREVER)) {
		struct served *s = calloc(1, sizeof(*s));

		want(s != NULL);
		s->transport = transport;
		if (weft_scope_spawn(e.sessions, "session", serve_session, s)) {
			weft_transport_free(transport);
			free(s);
		}
	}
	return WEFT_OK;
}

static weft_err serve(void *arg)
{
	weft_http_server_options http = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	weft_mcp_server_options mcp = WEFT_MCP_SERVER_OPTIONS_DEFAULT;
	weft_listener *listener = NULL;

	(void)arg;
	mcp.replay_events_max = 5 + both_random(20);
	mcp.idle_timeout_ns = 300 * SECOND;
	mcp.json_wait_ns = 1 + (int64_t)both_random(200) * MS;
	mcp.response_timeout_ns = both_random(2) ? 120 * SECOND : 0;
	CAMPAIGN_INSIST(weft_listen(&listener, "tcp://0.0.0.0:80", NULL, WEFT_FOREVER));
	CAMPAIGN_INSIST(weft_http_server_create(&e.http, &http));
	CAMPAIGN_INSIST(weft_scope_create(&e.sessions));
	CAMPAIGN_INSIST(weft_scope_create(&e.accepting));
	CAMPAIGN_INSIST(weft_mcp_server_create(&e.mcp, e.http, "/mcp", &mcp));
	CAMPAIGN_INSIST(weft_scope_spawn(e.accepting, "accepts", accept_sessions, NULL));
	e.listens = true;
	CAMPAIGN_INSIST(weft_http_server_serve(e.http, listener));
	want_ok(weft_http_server_wait(e.http, WEFT_FOREVER));
	weft_incoming_close(weft_mcp_server_incoming(e.mcp));
	want_ok(weft_scope_wait(e.accepting, WEFT_FOREVER));
	weft_scope_free(e.accepting);
	weft_mcp_server_free(e.mcp);
	want_ok(weft_scope_wait(e.sessions, WEFT_FOREVER));
	weft_scope_free(e.sessions);
	weft_http_server_free(e.http);
	weft_listener_free(listener);
	return WEFT_OK;
}

/* ---- clients ---- */

struct client {
	unsigned number;
	char session[ROUGH_SESSION_SIZE];   /* "": none */
	char event_id[ROUGH_EVENT_ID_SIZE]; /* the last; "": none */
	unsigned asked;
	bool is_answered; /* the request that is under way */
};

static weft_deadline soon(void)
{
	return weft_after_ns(100 * SECOND);
}

/* A message that came for the request under way. */
static void take_message(struct client *c, const char *text)
{
	char id[64], mine[64];

	snprintf(id, sizeof(id), "\"id\":%u,", c->asked);
	snprintf(mine, sizeof(mine), "\"client\":%u}", c->number);
	if (strstr(text, "\"method\""))
		return;
	want(strstr(text, id) != NULL);
	want(strstr(text, "\"error\"") || strstr(text, mine));
	want(!c->is_answered);
	c->is_answered = true;
}

/* Events until the end: WEFT_OK; or until the client leaves, or the connection is lost. */
static weft_err read_events(struct client *c, weft_conn *conn)
{
	char data[2048];
	struct rough_event event = { .data = data, .size = sizeof(data) };
	weft_err err;

	while (!(err = rough_event(conn, &event, soon()))) {
		if (*event.id)
			memcpy(c->event_id, event.id, sizeof(event.id));
		if (*data)
			take_message(c, data);
		if (both_random(10) == 0)
			return WEFT_ERESET;
	}
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

/* POST, or, without a body, GET. True: it has come to an end: answered, or refused. */
static bool exchange(struct client *c, weft_conn *conn, const char *body)
{
	struct rough_ask ask = {
		.method = body ? NULL : "GET", .session = c->session, .body = body
	};
	char text[2048];
	struct rough_head head;
	weft_err err;

	if (!body)
		ask.event_id = c->event_id;
	err = rough_send(conn, &ask, soon());
	if (!err)
		err = rough_head(conn, &head, soon());
	if (err)
		return false;
	if (*head.session)
		memcpy(c->session, head.session, sizeof(head.session));
	if (head.is_stream)
		return !read_events(c, conn) || c->is_answered;
	if (rough_body(conn, &head, text, sizeof(text), soon()))
		return false;
	if (head.status == 404)
		*c->session = '\0';
	if (head.status == 200)
		take_message(c, text);
	else
		want(head.status >= 400);
	return true;
}

/* One connection. */
static bool talk(struct client *c, const char *body)
{
	weft_conn *conn;
	bool is_over;

	if (weft_dial(&conn, "tcp://far:80", NULL, soon()))
		return false;
	is_over = exchange(c, conn, body);
	weft_conn_free(conn);
	return is_over;
}

/* True: there was an answer. It may fail, but not in silence: who comes back, while the net works and
 * the session is there, hears of it. */
static bool ask(struct client *c, const char *method)
{
	char body[512];
	bool is_over;

	c->asked++;
	c->is_answered = false;
	*c->event_id = '\0';
	snprintf(body, sizeof(body),
		"{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"%s\",\"params\":{\"protocolVersion\":"
		"\"2025-11-25\",\"client\":%u}}",
		c->asked, method, c->number);
	is_over = talk(c, body);
	for (int i = 0; i < TRIES && !is_over && *c->event_id && *c->session; i++) {
		is_over = talk(c, NULL);
		if (!is_over)
			both_sleep_ns(SECOND);
	}
	want(!e.is_clear || c->is_answered);
	return c->is_answered;
}

static void begin(struct client *c)
{
	for (int i = 0; i < TRIES && !*c->session; i++) {
		if (!ask(c, "initialize"))
			*c->session = '\0';
		if (!*c->session)
			both_sleep_ns(SECOND);
	}
}

static weft_err live(void *arg)
{
	static const char *const methods[] = { "echo", "log", "later", "changed" };
	struct client *c = arg;

	for (int i = 0; i < ASKS; i++) {
		begin(c);
		if (*c->session)
			(void)ask(c, methods[both_random(4)]);
		both_sleep_ns((int64_t)both_random(500) * MS);
	}
	return WEFT_OK;
}

/* ---- a run ---- */

static weft_err run_clients(void *arg)
{
	static struct client clients[CLIENTS];
	unsigned nodes[CLIENTS], far;
	weft_fiber *fibers[CLIENTS], *server;

	(void)arg;
	memset(&e, 0, sizeof(e));
	e.is_clear = !has_faults;
	memset(clients, 0, sizeof(clients));
	campaign_node(&far, "far");
	campaign_spawn(far, &server, "server", serve, NULL);
	while (!e.listens)
		both_sleep_ns(MS);
	for (unsigned i = 0; i < CLIENTS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "near%u", i);
		clients[i].number = i;
		campaign_node(&nodes[i], name);
		campaign_spawn(nodes[i], &fibers[i], "client", live, &clients[i]);
	}
	for (int i = 0; i < 5 && !e.is_clear; i++)
		campaign_fault(nodes, CLIENTS, NULL);
	for (unsigned i = 0; i < CLIENTS; i++)
		weft_sim_heal(nodes[i], WEFT_SIM_ALL);
	for (unsigned i = 0; i < CLIENTS; i++)
		campaign_join(fibers[i]);
	weft_http_server_stop(e.http);
	campaign_join(server);
	return WEFT_OK;
}

START_TEST(each_request_is_answered_once_or_fails_loudly)
{
	weft_sim_options options = campaign_options((uint64_t)_i, 100);

	has_faults = campaign_has_faults((uint64_t)_i);
	campaign_run(run_clients, &options);
}
END_TEST

static void sim_tests(TCase *tc)
{
	campaign_add(tc, each_request_is_answered_once_or_fails_loudly, 100);
}
T_SUITE("mcp server: simulated", sim_tests)
