/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/*
 * Clients, a relay and its servers, all of which do at random what they may and what they should
 * not, over memory or a net with faults. For each seed:
 *
 *   - each request has one answer, with what it asked for, or was cancelled, or its session ended;
 *   - nobody sees what is another's: answers, progress;
 *   - a server's question is answered once at most, and only while that server is there;
 *   - in the end no session, server, flight, fiber or socket is left, and nobody waits for ever.
 */
#include "support/campaign.h"

#include "base/counter.h"
#include "bridge/relay.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define CLIENTS_MAX 5
#define ASKS_MAX 40 /* of a session */
#define QUESTIONS_MAX 64
#define TEXT_MAX 512
#define SERVER_PORT "90"
#define RELAY_PORT "80"
#define PATIENCE (1200 * SECOND)

static struct {
	uint64_t seed;
	bool is_net; /* else memory */
	bool is_stopping;
	struct relay_options options;
	struct relay *relay;
	weft_outgoing *outgoing;
	weft_scope *scope;		   /* of servers, and of what the relay serves */
	weft_incoming *servers, *sessions; /* net: what listens */
	unsigned server_node, client_node;
	unsigned clients_left;
	/* permille of what a server is asked */
	unsigned die, hold, twice, progress, ask, shout;
	int64_t late_ns; /* its answers, at most */
	unsigned instances, instances_now;
} c;

static uint64_t below(uint64_t bound)
{
	return weft_sim_random_below(bound);
}

static bool chance(unsigned permille)
{
	return below(1000) < permille;
}

/* ---- sending ---- */

/* WEFT_ENOMEM: not sent. */
static weft_err send_text(weft_transport *end, const char *format, ...) WEFT_PRINTF(2, 3);

static weft_err send_text(weft_transport *end, const char *format, ...)
{
	char text[TEXT_MAX];
	weft_message message;
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	want(len > 0 && len < TEXT_MAX);
	CAMPAIGN_INSIST(weft_message_copy(&message, NULL, text, (size_t)len, NULL));
	return weft_transport_send_own(end, &message, WEFT_FOREVER);
}

/* ---- servers ---- */

struct instance {
	weft_transport *end;
	weft_scope *scope; /* of its answers */
	unsigned number, questions_len;
	bool is_dead;
	bool asked[QUESTIONS_MAX]; /* and not answered */
};

struct job {
	struct instance *instance;
	weft_message request;
};

static void instance_send(struct instance *s, weft_err err)
{
	if (err)
		weft_transport_close(s->end);
	s->is_dead = s->is_dead || err;
}

static void job_noise(struct instance *s, const weft_jsonrpc *rpc)
{
	weft_json token = rpc->meta_progress_token;

	if (token.text && chance(c.progress))
		instance_send(s,
			send_text(s->end,
				"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\","
				"\"params\":{\"progressToken\":%.*s,\"progress\":1}}",
				(int)token.len, token.text));
	if (chance(c.shout))
		instance_send(s,
			send_text(s->end,
				"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}"));
	if (chance(c.ask) && s->questions_len < QUESTIONS_MAX) {
		unsigned question = s->questions_len++;

		s->asked[question] = true;
		instance_send(s,
			send_text(s->end,
				"{\"jsonrpc\":\"2.0\",\"id\":\"%u\\/%u\",\"method\":\"roots/list\"}",
				s->number, question));
	}
	if (chance(c.twice))
		instance_send(s,
			send_text(s->end, "{\"jsonrpc\":\"2.0\",\"id\":%u,\"result\":\"stray\"}",
				1000000 + (unsigned)below(1000)));
}

static weft_err job_run(void *arg)
{
	struct job *job = arg;
	struct instance *s = job->instance;
	const weft_jsonrpc *rpc = &job->request.rpc;
	unsigned times = chance(c.twice) ? 2 : 1;

	both_sleep_ns((int64_t)below((uint64_t)c.late_ns + 1));
	job_noise(s, rpc);
	both_sleep_ns((int64_t)below((uint64_t)c.late_ns + 1));
	if (weft_json_string_is(rpc->method, "initialize"))
		instance_send(s,
			send_text(s->end,
				"{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":"
				"{\"protocolVersion\":\"2025-06-18\"}}",
				(int)rpc->id.len, rpc->id.text));
	else
		while (times-- > 0)
			instance_send(s,
				send_text(s->end,
					"{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":%.*s}",
					(int)rpc->id.len, rpc->id.text, (int)rpc->name.len,
					rpc->name.text));
	weft_message_fini(&job->request);
	free(job);
	return WEFT_OK;
}

static void instance_request(struct instance *s, weft_message *message)
{
	bool is_first = weft_json_string_is(message->rpc.method, "initialize");
	struct job *job;

	if (chance(is_first ? c.die / 3 : c.die)) {
		s->is_dead = true;
		return;
	}
	if (!is_first && chance(c.hold))
		return;
	job = malloc(sizeof(*job));
	want(job != NULL);
	job->instance = s;
	weft_message_move(&job->request, message);
	if (weft_scope_spawn(s->scope, "job", job_run, job)) {
		weft_message_fini(&job->request);
		free(job);
		s->is_dead = true;
	}
}

static void instance_answered(struct instance *s, const weft_jsonrpc *rpc)
{
	unsigned number, question;
	char text[32];
	size_t len;

	want_ok(weft_json_string_decode(rpc->id, text, sizeof(text) - 1, &len));
	text[len] = '\0';
	want(sscanf(text, "%u/%u", &number, &question) == 2);
	want(number == s->number && question < s->questions_len);
	want(s->asked[question]);
	s->asked[question] = false;
}

static weft_err instance_run(void *arg)
{
	struct instance *s = arg;
	weft_message message;

	CAMPAIGN_INSIST(weft_scope_create(&s->scope));
	while (!s->is_dead && !weft_transport_receive(s->end, &message, WEFT_FOREVER)) {
		if (message.rpc.kind == WEFT_JSONRPC_INVALID)
			want(c.is_net); /* a line that was cut */
		else if (message.rpc.kind == WEFT_JSONRPC_REQUEST)
			instance_request(s, &message);
		else if (message.rpc.kind != WEFT_JSONRPC_NOTIFICATION)
			instance_answered(s, &message.rpc);
		weft_message_fini(&message);
	}
	weft_transport_close(s->end);
	weft_scope_free(s->scope);
	weft_transport_free(s->end);
	free(s);
	c.instances_now--;
	return WEFT_OK;
}

static weft_err instance_start(weft_transport *end)
{
	struct instance *s = calloc(1, sizeof(*s));
	weft_err err;

	want(s != NULL);
	s->end = end;
	s->number = c.instances++;
	c.instances_now++;
	err = weft_scope_spawn(c.scope, "server", instance_run, s);
	if (!err)
		return WEFT_OK;
	c.instances_now--;
	weft_transport_free(end);
	free(s);
	return err;
}

static weft_err memory_connect(void *user, weft_transport **out, weft_deadline until)
{
	weft_transport *ends[2];
	weft_err err;

	(void)user;
	(void)until;
	both_sleep_ns((int64_t)below(200 * MS));
	if (chance(c.die))
		return WEFT_EREFUSED;
	err = weft_transport_pair(ends, 1 + below(64), NULL);
	if (err)
		return err;
	err = instance_start(ends[1]);
	if (err)
		weft_transport_free(ends[0]);
	else
		*out = ends[0];
	return err;
}

static void memory_free(void *user)
{
	(void)user;
}

static const weft_outgoing_ops memory_ops = { memory_connect, memory_free };

/* ---- what listens ---- */

static weft_err serve(void *arg)
{
	weft_err err = relay_serve(c.relay, arg);

	(void)err; /* what becomes of it, its client sees */
	return WEFT_OK;
}

static weft_err accept_servers(void *arg)
{
	weft_transport *end = NULL;
	weft_err err;

	(void)arg;
	while ((err = weft_incoming_accept(c.servers, &end, WEFT_FOREVER)) != WEFT_ECLOSED) {
		if (!err)
			(void)!instance_start(end);
		else
			both_sleep_ns(MS);
	}
	return WEFT_OK;
}

static weft_err accept_sessions(void *arg)
{
	weft_transport *end = NULL;
	weft_err err;

	(void)arg;
	while ((err = weft_incoming_accept(c.sessions, &end, WEFT_FOREVER)) != WEFT_ECLOSED) {
		if (err)
			both_sleep_ns(MS);
		else if (weft_scope_spawn(c.scope, "session", serve, end))
			weft_transport_free(end);
	}
	return WEFT_OK;
}

static void listen_at(weft_incoming **out, const char *address)
{
	weft_listener *listener = NULL;
	weft_err err;

	do {
		CAMPAIGN_INSIST(weft_listen(&listener, address, NULL, WEFT_FOREVER));
		err = weft_incoming_listener_own(out, listener, NULL, NULL);
	} while (err == WEFT_ENOMEM);
	want_ok(err);
}

/* ---- clients ---- */

enum ask_state { ASK_NONE, ASK_FLYING, ASK_CANCELLED, ASK_ANSWERED };

struct client {
	unsigned number, session; /* of its sessions */
	weft_transport *end;
	weft_fiber *reader;
	enum ask_state asks[ASKS_MAX];
	unsigned asks_len;
	bool is_over;	     /* nothing will come any more */
	bool is_initialized; /* and answered */
	bool reads_slowly;
};

/* Ids in several spellings, the same for all clients. */
static void id_of(unsigned ask, char *to, size_t size)
{
	(void)snprintf(to, size, ask % 3 ? "%u" : "\"%u\"", ask);
}

static bool ask_of(weft_json id, unsigned *ask)
{
	char text[24];

	for (*ask = 0; *ask < ASKS_MAX; ++*ask) {
		id_of(*ask, text, sizeof(text));
		if (strlen(text) == id.len && memcmp(text, id.text, id.len) == 0)
			return true;
	}
	return false;
}

static void client_answer(struct client *client, const weft_jsonrpc *rpc)
{
	char expected[64];
	unsigned ask;

	want(ask_of(rpc->id, &ask));
	want(client->asks[ask] == ASK_FLYING || client->asks[ask] == ASK_CANCELLED);
	client->asks[ask] = ASK_ANSWERED;
	if (rpc->kind == WEFT_JSONRPC_ERROR) {
		want(rpc->error_message.len > 2);
		return;
	}
	if (ask == 0) {
		want(rpc->result.text[0] == '{');
		client->is_initialized = true;
		return;
	}
	(void)snprintf(
		expected, sizeof(expected), "c%u-%u-%u", client->number, client->session, ask);
	want(weft_json_string_is(rpc->result, expected));
}

static void client_progress(struct client *client, const weft_jsonrpc *rpc)
{
	unsigned number, session, ask;
	char text[64];
	size_t len;

	want_ok(weft_json_string_decode(rpc->progress_token, text, sizeof(text) - 1, &len));
	text[len] = '\0';
	want(sscanf(text, "t%u-%u-%u", &number, &session, &ask) == 3);
	want(number == client->number && session == client->session && ask < client->asks_len);
}

static void client_asked(struct client *client, const weft_jsonrpc *rpc)
{
	unsigned times = (unsigned)below(3);

	while (times-- > 0)
		(void)!send_text(client->end, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{}}",
			(int)rpc->id.len, rpc->id.text);
}

static weft_err client_read(void *arg)
{
	struct client *client = arg;
	weft_message m;

	while (!weft_transport_receive(client->end, &m, WEFT_FOREVER)) {
		if (m.rpc.kind == WEFT_JSONRPC_INVALID)
			want(c.is_net); /* a line that was cut */
		else if (m.rpc.kind == WEFT_JSONRPC_REQUEST)
			client_asked(client, &m.rpc);
		else if (m.rpc.kind != WEFT_JSONRPC_NOTIFICATION)
			client_answer(client, &m.rpc);
		else if (weft_json_string_is(m.rpc.method, "notifications/progress"))
			client_progress(client, &m.rpc);
		weft_message_fini(&m);
		if (client->reads_slowly)
			both_sleep_ns((int64_t)below(2 * SECOND));
	}
	client->is_over = true;
	return WEFT_OK;
}

/* What was not sent will not be answered. */
static void client_ask(struct client *client)
{
	unsigned ask = client->asks_len++;
	char id[24];
	weft_err err;

	id_of(ask, id, sizeof(id));
	client->asks[ask] = ASK_FLYING;
	if (ask == 0)
		err = send_text(client->end,
			"{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"initialize\",\"params\":{}}",
			id);
	else
		err = send_text(client->end,
			"{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"work\",\"params\":"
			"{\"name\":\"c%u-%u-%u\",\"_meta\":{\"progressToken\":\"t%u-%u-%u\"}}}",
			id, client->number, client->session, ask, client->number, client->session,
			ask);
	if (err)
		client->asks[ask] = ASK_NONE;
}

static void client_cancel(struct client *client)
{
	unsigned ask = (unsigned)below(client->asks_len + 1);
	char id[24];

	if (ask == 0 || ask >= client->asks_len || client->asks[ask] != ASK_FLYING)
		return;
	client->asks[ask] = ASK_CANCELLED;
	id_of(ask, id, sizeof(id));
	if (send_text(client->end,
		    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":"
		    "{\"requestId\":%s}}",
		    id) &&
		client->asks[ask] == ASK_CANCELLED)
		client->asks[ask] = ASK_FLYING;
}

static unsigned flying(const struct client *client)
{
	unsigned n = 0;

	for (unsigned i = 0; i < client->asks_len; i++)
		n += client->asks[i] == ASK_FLYING;
	return n;
}

static void client_talk(struct client *client)
{
	unsigned moves = (unsigned)below(60);
	weft_deadline until;

	client_ask(client);
	while (moves-- > 0 && !client->is_over) {
		if (below(4) == 0)
			client_cancel(client);
		else if (below(3) == 0)
			both_sleep_ns((int64_t)below(300 * MS));
		else if (client->asks_len < ASKS_MAX)
			client_ask(client);
		if (client->is_initialized && below(2)) {
			(void)!send_text(client->end,
				"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
			client->is_initialized = false;
		}
	}
	if (below(3) == 0)
		return; /* goes, whatever is owed */
	until = weft_after_ns(PATIENCE);
	while (!client->is_over && flying(client) > 0) {
		want(weft_now() < until);
		both_sleep_ns(100 * MS);
	}
}

static weft_err client_connect(struct client *client)
{
	weft_transport *ends[2];
	weft_outgoing *out;
	weft_err err;

	if (c.is_net) {
		CAMPAIGN_INSIST(weft_outgoing_dial(
			&out, "tcp://node0:" RELAY_PORT, NULL, NULL, NULL, NULL));
		err = weft_outgoing_connect(out, &client->end, weft_after_ns(10 * SECOND));
		weft_outgoing_free(out);
		return err;
	}
	CAMPAIGN_INSIST(weft_transport_pair(ends, 1 + below(64), NULL));
	client->end = ends[0];
	err = weft_scope_spawn(c.scope, "session", serve, ends[1]);
	if (err) {
		weft_transport_free(ends[0]);
		weft_transport_free(ends[1]);
	}
	return err;
}

static void client_session(struct client *client)
{
	unsigned number = client->number, session = client->session + 1;

	*client = (struct client){ .number = number, .session = session };
	client->reads_slowly = below(5) == 0;
	if (client_connect(client)) {
		both_sleep_ns((int64_t)below(SECOND));
		return;
	}
	CAMPAIGN_INSIST(weft_spawn(&client->reader, "reader", client_read, client));
	client_talk(client);
	weft_transport_close(client->end);
	campaign_join(client->reader);
	weft_transport_free(client->end);
}

static weft_err client_run(void *arg)
{
	struct client *client = arg;
	unsigned sessions = 1 + (unsigned)below(4);

	while (sessions-- > 0)
		client_session(client);
	c.clients_left--;
	return WEFT_OK;
}

/* ---- all of it ---- */

static void plan(void)
{
	static const unsigned often[] = { 0, 0, 20, 150 };

	c.is_net = c.seed % 2;
	c.options.is_shared = below(2);
	c.options.name = "chaos";
	c.options.connect_timeout_ns = (int64_t)(1 + below(10)) * SECOND;
	c.options.requests_max = below(2) ? 0 : 1 + below(8);
	c.options.children_max = below(3) ? 0 : 1 + below(3);
	c.options.sessions_max = below(4) ? 0 : 1 + below(3);
	c.options.starts_max = 1 + (unsigned)below(8);
	c.options.queue_max = below(2) ? 0 : 1 + below(20);
	c.options.idle_timeout_ns = below(3) ? 0 : (int64_t)(1 + below(20)) * SECOND;
	c.options.session_timeout_ns = below(5) ? 0 : (int64_t)(1 + below(20)) * SECOND;
	c.options.drain_timeout_ns = below(2) ? 0 : (int64_t)below(3 * SECOND);
	c.die = often[below(4)] / 5;
	c.hold = often[below(4)];
	c.twice = often[below(4)];
	c.progress = often[below(4)] * 5;
	c.ask = often[below(4)];
	c.shout = often[below(4)];
	c.late_ns = below(3) ? (int64_t)below(100 * MS) : 0;
	/* on a net what is lost is lost for good, as what nobody answers */
	if (c.hold || c.is_net || below(2))
		c.options.read_timeout_ns = (int64_t)(1 + below(20)) * SECOND;
}

static void open_all(void)
{
	weft_fiber *fiber;

	CAMPAIGN_INSIST(weft_scope_create(&c.scope));
	if (c.is_net) {
		campaign_node(&c.server_node, "srv");
		campaign_node(&c.client_node, "cli");
		listen_at(&c.sessions, "tcp://0.0.0.0:" RELAY_PORT);
		CAMPAIGN_INSIST(weft_scope_spawn(c.scope, "accept", accept_sessions, NULL));
		CAMPAIGN_INSIST(weft_outgoing_dial(
			&c.outgoing, "tcp://srv:" SERVER_PORT, NULL, NULL, NULL, NULL));
	} else {
		CAMPAIGN_INSIST(weft_outgoing_create(&c.outgoing, &memory_ops, NULL, "memory"));
	}
	(void)fiber;
	c.options.outgoing = c.outgoing;
	CAMPAIGN_INSIST(relay_create(&c.relay, &c.options));
}

static weft_err servers_run(void *arg)
{
	(void)arg;
	listen_at(&c.servers, "tcp://0.0.0.0:" SERVER_PORT);
	return accept_servers(NULL);
}

static void close_all(weft_fiber *servers)
{
	struct relay_stats stats;

	if (below(2))
		relay_stop(c.relay);
	if (c.is_net) {
		weft_incoming_close(c.sessions);
		weft_incoming_close(c.servers);
		campaign_join(servers);
	}
	/* sessions end as their clients did; a shared server when the relay is freed */
	for (;;) {
		relay_stats_get(c.relay, &stats);
		if (stats.sessions_now == 0)
			break;
		both_sleep_ns(100 * MS);
	}
	while (weft_scope_count(c.scope) > c.instances_now)
		both_sleep_ns(100 * MS);
	relay_free(c.relay);
	want_ok(weft_scope_wait(c.scope, weft_after_ns(PATIENCE)));
	want(c.instances_now == 0);
	weft_scope_free(c.scope);
	weft_outgoing_free(c.outgoing);
	weft_incoming_free(c.sessions);
	weft_incoming_free(c.servers);
}

static weft_err trouble(void *arg)
{
	unsigned nodes[2] = { c.server_node, c.client_node };

	(void)arg;
	while (c.clients_left > 0) {
		both_sleep_ns((int64_t)below(2 * SECOND));
		switch (below(4)) {
		case 0:
			weft_sim_reset_all(nodes[below(2)]);
			break;
		case 1:
			weft_sim_partition(nodes[below(2)], 0);
			both_sleep_ns((int64_t)below(5 * SECOND));
			weft_sim_heal(0, WEFT_SIM_ALL);
			break;
		case 2:
			weft_sim_clock_jump((int64_t)below(3 * SECOND));
			break;
		default:
			break;
		}
		if (below(200) == 0)
			relay_stop(c.relay);
	}
	return WEFT_OK;
}

static weft_err campaign_body(void *arg)
{
	static struct client clients[CLIENTS_MAX];
	weft_fiber *fibers[CLIENTS_MAX], *servers = NULL, *faults = NULL;
	unsigned count;
	uint64_t seed = c.seed;

	(void)arg;
	memset(&c, 0, sizeof(c));
	memset(clients, 0, sizeof(clients));
	c.seed = seed;
	plan();
	count = c.clients_left = 1 + (unsigned)below(CLIENTS_MAX);
	open_all();
	if (c.is_net)
		campaign_spawn(c.server_node, &servers, "servers", servers_run, NULL);
	if (c.is_net && campaign_has_faults(seed / 2))
		CAMPAIGN_INSIST(weft_spawn(&faults, "trouble", trouble, NULL));
	for (unsigned i = 0; i < count; i++) {
		clients[i].number = i;
		campaign_spawn(c.is_net ? c.client_node : 0, &fibers[i], "client", client_run,
			&clients[i]);
	}
	for (unsigned i = 0; i < count; i++)
		campaign_join(fibers[i]);
	if (faults)
		campaign_join(faults);
	close_all(servers);
	return WEFT_OK;
}

START_TEST(each_request_is_answered_once_and_nobody_sees_anothers)
{
	weft_sim_options options = campaign_options((uint64_t)_i, 200);

	c.seed = (uint64_t)_i;
	campaign_run(campaign_body, &options);
}
END_TEST

static void sim_relay_tests(TCase *tc)
{
	campaign_add(tc, each_request_is_answered_once_and_nobody_sees_anothers, 300);
}

T_SUITE("sim_relay", sim_relay_tests)
