/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/*
 * The campaign of HTTP: nodes, servers on some of them, clients with their pools on others,
 * and clients that pipeline by hand, with options large and tiny, requests of all kinds
 * (support/httptalk.h), and faults, all chosen by the seed. Whatever happens:
 *
 *   - bodies arrive in order and whole, or an error says that they do not;
 *   - nothing is handled more often than its method allows;
 *   - a client never has more connections than it may, nor a server;
 *   - without faults there is no error that no plan caused;
 *   - nobody waits for ever, all is given back, and the run repeats exactly.
 */
#include "support/campaign.h"
#include "support/httptalk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define LONG_NS (INT64_C(1000000) * SECOND)
#define SEEDS 300
#define PORT 8000
#define SERVICES_MAX 2
#define USERS_MAX 3
#define LANES_MAX 5
#define PIPELINED_MAX 6
#define WORLD_SECONDS 300
#define STEPS_MAX 5000000

/* A server, begun again each time that it stops. */
struct service {
	unsigned node, port;
	weft_cancel *stop;	  /* of the server there is; held while serve_service runs */
	weft_http_server *server; /* while it is served */
	size_t connections_max;
};

struct user {
	unsigned node, number;
	weft_http_client *client;
	size_t connections_max;
};

static struct world {
	struct talks talks;
	unsigned services_len, users_len, nodes_len;
	struct service services[SERVICES_MAX];
	struct user users[USERS_MAX];
	unsigned nodes[SERVICES_MAX + USERS_MAX];
	bool over;
} world;

#define CHOOSE(list) ((list)[below(sizeof(list) / sizeof((list)[0]))])

static uint64_t below(uint64_t bound)
{
	return weft_sim_random_below(bound);
}

/* ---- servers ---- */

static void choose_times(weft_http_server_options *o)
{
	o->header_timeout_ns = o->idle_timeout_ns = o->write_timeout_ns = o->body_grace_ns =
		LONG_NS;
	if (!world.talks.faults) /* a slow net is silent for long */
		return;
	o->header_timeout_ns = 500 * MS + (int64_t)below(10 * SECOND);
	o->idle_timeout_ns = 1 + (int64_t)below(below(2) ? 200 * MS : 10 * SECOND);
	o->write_timeout_ns = 500 * MS + (int64_t)below(30 * SECOND);
	o->body_grace_ns = 500 * MS + (int64_t)below(30 * SECOND);
}

static void choose_server(struct service *s, weft_http_server_options *o)
{
	*o = (weft_http_server_options)WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	choose_times(o);
	o->stop = s->stop;
	s->connections_max = world.talks.overloads ? 1 + (size_t)below(3) : 10000;
	o->connections_max = s->connections_max;
	if (below(4) == 0)
		o->requests_max = 1 + (size_t)below(4);
	if (below(4) == 0)
		o->body_drop_max = 1 + (size_t)below(20000);
	if (below(2))
		o->stop_timeout_ns = (int64_t)below(3 * SECOND) * (int64_t)below(2);
	if (below(2))
		o->sse_comment_ns = 1 + (int64_t)below(500 * MS);
}

static weft_err stop_early(void *arg)
{
	struct service *s = arg;

	both_sleep_ns((int64_t)below(2 * SECOND));
	if (below(2))
		weft_cancel_trigger(s->stop, WEFT_OK);
	else if (s->server)
		weft_http_server_stop(s->server);
	return WEFT_OK;
}

static void check_server(const struct service *s)
{
	weft_http_server_stats stats;

	weft_http_server_stats_get(s->server, &stats);
	want(stats.connections_now <= s->connections_max);
}

static weft_err serve_it(struct service *s, weft_listener *listener)
{
	weft_http_server_stats stats;
	weft_err err;

	err = weft_http_server_serve(s->server, listener);
	if (err)
		return err;
	err = weft_http_server_wait(s->server, WEFT_FOREVER);
	if (err)
		return err;
	want(weft_http_server_state_get(s->server) == WEFT_HTTP_SERVER_STOPPED);
	weft_http_server_stats_get(s->server, &stats);
	want(stats.connections_now == 0);
	want(stats.malformed == 0 || world.talks.faults);
	weft_sim_note(stats.requests);
	weft_sim_note(stats.bytes_out);
	return WEFT_OK;
}

static weft_err serve_service(void *arg)
{
	struct service *s = arg;
	weft_listener *listener = NULL;
	weft_http_server_options options;
	weft_scope *scope = NULL;
	char address[64];
	weft_err err;

	choose_server(s, &options);
	snprintf(
		address, sizeof(address), "tcp://%s:%u", s->port % 2 ? "[::]" : "0.0.0.0", s->port);
	err = weft_listen(&listener, address, NULL, WEFT_FOREVER);
	if (!err)
		err = weft_http_server_create(&s->server, &options);
	if (!err)
		err = talk_route(s->server, &world.talks);
	if (!err)
		err = weft_scope_create(&scope);
	if (!err && world.talks.stops)
		err = weft_scope_spawn(scope, "stops", stop_early, s);
	if (!err)
		err = serve_it(s, listener);
	if (err && err != WEFT_ECLOSED) /* ECLOSED: stopped before */
		want(world.talks.faults || world.talks.memory_fails);
	weft_scope_free(scope);
	weft_http_server_free(s->server);
	s->server = NULL;
	weft_listener_free(listener);
	return WEFT_OK;
}

static weft_err keep_service(void *arg)
{
	struct service *s = arg;

	while (!world.over) {
		weft_fiber *fiber = NULL;

		CAMPAIGN_INSIST(weft_cancel_create(&s->stop, NULL));
		campaign_spawn(s->node, &fiber, "serves", serve_service, s);
		campaign_join(fiber);
		weft_cancel_unref(s->stop);
		s->stop = NULL;
		both_sleep_ns((int64_t)below(300 * MS));
	}
	return WEFT_OK;
}

/* ---- clients ---- */

static void choose_client(struct user *u, weft_http_client_options *o)
{
	static const unsigned shards[] = { 0, 1, 2, 16 };

	*o = (weft_http_client_options)WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
	o->connect_timeout_ns = o->stall_timeout_ns = -1;
	if (below(2))
		o->connections_max = 1 + (size_t)below(4);
	if (below(2))
		o->connections_per_key_max = 1 + (size_t)below(3);
	if (below(3) == 0)
		o->idle_per_key_max = 1 + (size_t)below(2);
	if (below(2))
		o->idle_timeout_ns = 1 + (int64_t)below(below(2) ? 50 * MS : 5 * SECOND);
	if (below(3) == 0)
		o->drain_max = 1 + (size_t)below(20000);
	o->expect_timeout_ns = 1 + (int64_t)below(SECOND);
	o->shards = CHOOSE(shards);
	u->connections_max = o->connections_max ? o->connections_max : 1024;
	if (!world.talks.faults)
		return;
	o->connect_timeout_ns = 1 + (int64_t)below(20 * SECOND);
	o->stall_timeout_ns = 1 + (int64_t)below(60 * SECOND);
	o->head_timeout_ns = (int64_t)below(60 * SECOND) * (int64_t)below(2);
}

static void check_client(const struct user *u)
{
	weft_http_client_stats stats;

	weft_http_client_stats_get(u->client, &stats);
	want(stats.connections_now <= u->connections_max);
	want(stats.idle_now + stats.dialling_now <= stats.connections_now);
	for (unsigned i = 0; i < world.services_len; i++)
		if (world.services[i].server)
			check_server(&world.services[i]);
}

struct errand {
	const struct user *user;
	struct ask *ask;
	char base[64];
};

static weft_err run_errand(void *arg)
{
	struct errand *e = arg;

	talk_ask(&world.talks, e->user->client, e->base, e->ask);
	return WEFT_OK;
}

static const struct service *choose_service(const char *scheme, char *text, size_t size)
{
	const struct service *s = &world.services[below(world.services_len)];

	if (below(2))
		snprintf(text, size, "%s://n%u:%u", scheme, s->node, s->port);
	else if (s->port % 2)
		snprintf(text, size, "%s://[fd00::%x]:%u", scheme, s->node + 1, s->port);
	else
		snprintf(text, size, "%s://10.0.0.%u:%u", scheme, s->node + 1, s->port);
	return s;
}

/* Some are cancelled in the middle. */
static bool one_errand(const struct user *u)
{
	struct errand e = { .user = u, .ask = talk_plan(&world.talks, false) };
	weft_err err;

	if (!e.ask)
		return false;
	choose_service("http", e.base, sizeof(e.base));
	if (e.ask->loose && below(3) == 0) {
		err = weft_cancel_run(NULL, run_errand, &e, weft_after_ns((int64_t)below(SECOND)));
		want(err == WEFT_OK || err == WEFT_ETIMEDOUT || err == WEFT_ECANCELED ||
			(err == WEFT_ENOMEM && world.talks.memory_fails));
	} else {
		(void)run_errand(&e);
	}
	check_client(u);
	return true;
}

static weft_err run_lane(void *arg)
{
	const struct user *u = arg;

	for (unsigned i = 1 + (unsigned)below(4); i > 0 && one_errand(u); i--)
		if (below(2))
			both_sleep_ns((int64_t)below(below(4) ? 20 * MS : SECOND));
	return WEFT_OK;
}

static void run_lanes(struct user *u)
{
	weft_http_client_stats stats;
	weft_scope *scope = NULL;
	weft_err err;

	do
		err = weft_scope_create(&scope);
	while (err == WEFT_ENOMEM);
	for (unsigned i = 1 + (unsigned)below(LANES_MAX); !err && i > 0; i--) {
		do
			err = weft_scope_spawn(scope, "lane", run_lane, u);
		while (err == WEFT_ENOMEM);
	}
	want(!err || err == WEFT_ECANCELED);
	do
		err = weft_scope_wait(scope, WEFT_FOREVER);
	while (err == WEFT_ENOMEM);
	want(!err || err == WEFT_ECANCELED);
	weft_scope_free(scope);
	weft_http_client_stats_get(u->client, &stats);
	want(stats.waiting_now == 0);
	weft_sim_note(stats.dials);
	weft_sim_note(stats.reuses);
}

static weft_err run_user(void *arg)
{
	struct user *u = arg;
	weft_http_client_options options;
	weft_err err;

	choose_client(u, &options);
	do
		err = weft_http_client_create(&u->client, &options);
	while (err == WEFT_ENOMEM);
	want_ok(err);
	run_lanes(u);
	if (below(2))
		weft_http_client_close(u->client);
	weft_http_client_unref(u->client);
	return WEFT_OK;
}

static weft_err run_pipeline(void *arg)
{
	struct ask *asks[PIPELINED_MAX];
	unsigned count = 0;
	char address[64];

	(void)arg;
	while (count < PIPELINED_MAX && (asks[count] = talk_plan(&world.talks, true)) != NULL &&
		below(4) != 0)
		count++;
	choose_service("tcp", address, sizeof(address));
	if (count > 0)
		talk_pipeline(&world.talks, address, asks, count);
	return WEFT_OK;
}

/* ---- the world ---- */

static weft_err make_faults(void *arg)
{
	(void)arg;
	while (!world.over) {
		both_sleep_ns((int64_t)below(400 * MS));
		campaign_fault(world.nodes, world.nodes_len, NULL);
	}
	return WEFT_OK;
}

static void build(void)
{
	world.services_len = 1 + (unsigned)below(SERVICES_MAX);
	world.users_len = 1 + (unsigned)below(USERS_MAX);
	world.nodes_len = SERVICES_MAX + USERS_MAX;
	for (unsigned i = 0; i < world.nodes_len; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", i + 1); /* node 0 is there already */
		campaign_node(&world.nodes[i], name);
		want(world.nodes[i] == i + 1);
	}
	for (unsigned i = 0; i < SERVICES_MAX; i++)
		world.services[i] = (struct service){ .node = world.nodes[i], .port = PORT + i };
	for (unsigned i = 0; i < USERS_MAX; i++)
		world.users[i] = (struct user){ world.nodes[SERVICES_MAX + i], i, NULL, 0 };
	world.talks.piece_max = below(3) ? 700 : 5000;
	world.talks.strict = below(4) == 0;
	world.talks.stops = below(4) == 0;
	world.talks.overloads = below(4) == 0;
	world.talks.until =
		world.talks.faults ? weft_after_ns(WORLD_SECONDS * SECOND) : WEFT_FOREVER;
}

static void begin(weft_fiber **services)
{
	for (unsigned i = 0; i < world.services_len; i++)
		campaign_spawn(0, &services[i], "service", keep_service, &world.services[i]);
	both_sleep_ns(100 * MS); /* they listen */
}

static void end(weft_fiber **services)
{
	world.over = true;
	for (unsigned i = 0; i < world.services_len; i++) {
		if (world.services[i].stop)
			weft_cancel_trigger(world.services[i].stop, WEFT_OK);
		campaign_join(services[i]);
	}
}

static weft_err run_world(void *arg)
{
	weft_fiber *services[SERVICES_MAX], *users[USERS_MAX], *pipelines[2], *faults = NULL;
	bool with_faults = world.talks.faults, memory_fails = world.talks.memory_fails;
	unsigned pipelines_len;

	(void)arg;
	memset(&world, 0, sizeof(world));
	world.talks.faults = with_faults;
	world.talks.memory_fails = memory_fails;
	build();
	begin(services);
	pipelines_len = (unsigned)below(3);
	for (unsigned i = 0; i < world.users_len; i++)
		campaign_spawn(world.users[i].node, &users[i], "user", run_user, &world.users[i]);
	for (unsigned i = 0; i < pipelines_len; i++)
		campaign_spawn(CHOOSE(world.nodes), &pipelines[i], "pipeline", run_pipeline, NULL);
	if (world.talks.faults && below(4) != 0)
		campaign_spawn(0, &faults, "faults", make_faults, NULL);
	for (unsigned i = 0; i < world.users_len; i++)
		campaign_join(users[i]);
	for (unsigned i = 0; i < pipelines_len; i++)
		campaign_join(pipelines[i]);
	end(services);
	if (faults)
		campaign_join(faults);
	weft_sim_note(world.talks.whole);
	both_sleep_ns(60 * SECOND); /* whatever lingers is gone by itself */
	want(weft_fiber_count() == 1);
	return WEFT_OK;
}

START_TEST(a_random_web_keeps_its_promises)
{
	weft_sim_options options = campaign_options((uint64_t)_i, 200);

	options.steps_max = STEPS_MAX;
	world.talks.faults = campaign_has_faults((uint64_t)_i);
	world.talks.memory_fails = options.memory_fail_permille > 0;
	campaign_run(run_world, &options);
}
END_TEST

static void sim_http_tests(TCase *tc)
{
	campaign_add(tc, a_random_web_keeps_its_promises, SEEDS);
}
T_SUITE("sim/http", sim_http_tests)
