/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/*
 * Whole bridges in bad weather: clients, one bridge or two in a row, children, on nodes of their own,
 * with every fault that the simulator knows and whatever clients and children may do wrong besides.
 * For each seed:
 *
 *   - each request is answered once, with its own answer, or has failed in a way its client was told;
 *   - nobody sees what is of another session, neither a client nor a child;
 *   - when it has cleared up, sessions work, at the same bridges;
 *   - when all clients have left, their sessions and children go; in the end nothing is left;
 *   - the run repeats exactly.
 *
 * bridgeland.h says how that is seen.
 */
#define _POSIX_C_SOURCE 200809L /* unsetenv */
#include "support/bridgeland.h"

#include <weft/bridge.h>
#include <weft/mcp_client.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS 300
#define CALM_TRIES 30
#define STEPS_MAX 5000000
#define IDLE_DEFAULT_NS (1800 * LAND_SECOND)

/* A bridge, started again each time that its node crashes. */
struct keeper {
	const char *from, *to;
	unsigned node;
	weft_bridge_options options;
	weft_bridge *bridge; /* NULL: it is not there */
	bool is_parts;	     /* in its place: */
	struct land_parts parts;
};

static struct {
	struct keeper keepers[2]; /* in the order of a request */
	unsigned keepers_len;
	unsigned children_node;
	unsigned nodes[LAND_CLIENTS_MAX + 3], nodes_len; /* all */
	bool is_lines; /* clients come with lines, not over HTTP */
} w;
static bool has_faults, lacks_memory; /* of the seed */

/* ---- bridges ---- */

static void hush(void *user, const weft_bridge_event *event)
{
	(void)user;
	if (land.tells)
		fprintf(stderr, "bridge: session %llu from %s: %s\n",
			(unsigned long long)event->session, event->peer, event->text);
}

static weft_err parts_run(struct keeper *k)
{
	weft_err err;

	do
		err = land_parts_run(&k->parts);
	while (err && err != WEFT_ECANCELED && land_nap(LAND_MS));
	return WEFT_OK;
}

static weft_err bridge_run(void *arg)
{
	struct keeper *k = arg;
	weft_bridge *bridge = NULL;
	weft_err err;

	if (k->is_parts)
		return parts_run(k);
	while ((err = weft_bridge_open(&bridge, &k->options)) && err != WEFT_ECANCELED) {
		want(err != WEFT_EINVAL && err != WEFT_EAUTH);
		if (!land_nap(LAND_MS))
			return WEFT_OK;
	}
	if (err)
		return WEFT_OK;
	k->bridge = bridge;
	if (land.is_over)
		weft_bridge_stop(bridge);
	err = weft_bridge_run(bridge);
	want(!err || err == WEFT_ECANCELED || err == WEFT_ENOMEM || err == WEFT_ECAPACITY);
	k->bridge = NULL;
	weft_bridge_free(bridge);
	return WEFT_OK;
}

static weft_err bridge_keep(void *arg)
{
	struct keeper *k = arg;

	while (!land.is_over) {
		weft_fiber *fiber;

		campaign_spawn(k->node, &fiber, "bridge", bridge_run, k);
		campaign_join(fiber);
		both_sleep_ns((int64_t)land_below(100 * LAND_MS));
	}
	return WEFT_OK;
}

static weft_err children_keep(void *arg)
{
	(void)arg;
	while (!land.is_over) {
		weft_fiber *fiber;

		campaign_spawn(w.children_node, &fiber, "children", land_children, NULL);
		campaign_join(fiber);
		both_sleep_ns((int64_t)land_below(100 * LAND_MS));
	}
	return WEFT_OK;
}

/* ---- clients ---- */

struct client {
	unsigned number, sessions;
	weft_http_client *http;
};

static weft_err mcp_make(struct client *c, const struct land_session *s, weft_outgoing **out)
{
	static const char *const urls[] = { "http://a:80/mcp", "sse+http://a:80/sse" };
	weft_mcp_client_options options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT;
	bool is_sse = !s->is_stateless && land_below(4) == 0;

	/* a bridge that is silent is none */
	options.response_timeout_ns = land.plan.is_rough ? 120 * LAND_SECOND : 0;
	options.idle_timeout_ns = land.plan.is_rough ? 60 * LAND_SECOND : 0;
	options.transport.message_size_max = LAND_MESSAGE_MAX;
	return weft_outgoing_mcp(out, c->http, urls[is_sse], &options);
}

/* By weft's own clients. False: something was not answered. */
static bool talk(struct client *c, struct land_session *s, bool is_calm)
{
	weft_outgoing *outgoing = NULL;
	weft_transport *transport;
	bool is_good;
	weft_err err;

	s->may_be_silent = s->may_be_cut;
	if (w.is_lines)
		err = weft_outgoing_dial(&outgoing, "tcp://a:80", NULL, NULL, NULL, NULL);
	else
		err = mcp_make(c, s, &outgoing);
	if (!err)
		err = weft_outgoing_connect(outgoing, &transport, weft_after_ns(20 * LAND_SECOND));
	is_good = !err && land_talk(s, transport, is_calm);
	weft_outgoing_free(outgoing);
	return is_good;
}

static bool session(struct client *c, bool is_calm)
{
	struct land_session s = { .client = c->number, .number = c->sessions++ };

	s.may_be_cut = w.is_lines && land.plan.is_rough;
	s.may_be_silent = land.plan.is_rough;
	s.is_stateless = !is_calm && !w.is_lines && land_below(4) == 0;
	if (w.is_lines || land_below(2))
		return talk(c, &s, is_calm);
	if (!s.is_stateless && land_below(4) == 0)
		return land_sse(&s, "tcp://a:80", is_calm);
	return land_web(&s, "tcp://a:80", is_calm);
}

static weft_err client_run(void *arg)
{
	struct client *c = arg;
	unsigned count = 1 + (unsigned)land_below(3);
	weft_err err;

	do
		err = weft_http_client_create(&c->http, NULL);
	while (err == WEFT_ENOMEM);
	while (!err && count-- > 0 && land_nap((int64_t)land_below(300 * LAND_MS)))
		(void)session(c, false);
	weft_http_client_unref(c->http);
	return WEFT_OK;
}

/* It has cleared up: a session that works is had before long, if memory is. */
static weft_err client_run_calm(void *arg)
{
	struct client *c = arg;
	unsigned tries = 0;

	CAMPAIGN_INSIST(weft_http_client_create(&c->http, NULL));
	while (!session(c, true) && (++tries < 4 || !lacks_memory)) {
		want(tries < CALM_TRIES);
		/* sessions of clients that could not say goodbye may have all places for so long */
		both_sleep_ns(tries * 20 * LAND_SECOND);
	}
	weft_http_client_unref(c->http);
	return WEFT_OK;
}

/* ---- the plan ---- */

static void plan(void)
{
	static const unsigned often[] = { 0, 0, 30, 200 };
	struct land_plan *p = &land.plan;

	p->is_rough = has_faults;
	p->is_exact = !lacks_memory;
	p->is_modern = land_below(2);
	p->die = often[land_below(4)] / 3;
	p->hold = often[land_below(4)] / 2;
	p->twice = often[land_below(4)];
	p->strange = often[land_below(4)];
	p->progress = often[land_below(4)] * 4;
	p->ask = often[land_below(4)] * 3;
	p->shout = often[land_below(4)];
	p->flood = often[land_below(4)] / 2;
	p->garbage = often[land_below(4)];
	p->batch = often[land_below(4)];
	p->huge = often[land_below(4)] / 2;
	p->late_ns = land_below(4) ? (int64_t)land_below(300 * LAND_MS) : 0;
}

static void plan_bridge(struct keeper *k)
{
	static const char *const hosts[] = { "a", "b", NULL };
	weft_bridge_options *o = &k->options;

	CAMPAIGN_INSIST(weft_cancel_create(&k->parts.stop, NULL));
	k->is_parts = w.keepers_len == 1 && land_below(2);
	if (k->is_parts) {
		land_parts_plan(&k->parts);
		return;
	}
	*o = (weft_bridge_options)WEFT_BRIDGE_OPTIONS_DEFAULT;
	o->from = k->from;
	o->to = k->to;
	o->on_event = hush;
	o->insecure = true;
	o->allow_hosts = w.is_lines && k == &w.keepers[0] ? NULL : hosts;
	o->message_size_max = LAND_MESSAGE_MAX;
	o->session_shared = land_below(2);
	o->connect_timeout_ns = (int64_t)(1 + land_below(10)) * LAND_SECOND;
	o->drain_timeout_ns = (int64_t)land_below(3 * LAND_SECOND);
	o->children_max = land_below(4) ? 0 : 1 + land_below(3);
	o->connections_max = land_below(6) ? 0 : 12 + land_below(8);
	o->idle_timeout_ns = land_below(3) ? 0 : (int64_t)(1 + land_below(20)) * LAND_SECOND;
	/* what nobody answers, or what a net has lost */
	if (land.plan.hold || land.plan.is_rough || land_below(2))
		o->read_timeout_ns = (int64_t)(1 + land_below(20)) * LAND_SECOND;
	land.plan.is_shared |= o->session_shared;
}

static void plan_bridges(void)
{
	struct keeper *k = w.keepers;
	bool is_chain = land_below(2);
	unsigned node;

	w.is_lines = is_chain && land_below(4) == 0;
	land.plan.is_exact &= !is_chain;
	campaign_node(&w.children_node, "srv");
	w.nodes[w.nodes_len++] = w.children_node;
	campaign_node(&node, "a");
	w.nodes[w.nodes_len++] = node;
	k[0] = (struct keeper){ .node = node,
		.from = w.is_lines ? "listen:tcp://0.0.0.0:80" : "listen:http://0.0.0.0:80/mcp",
		.to = "tcp://srv:" LAND_CHILD_PORT };
	w.keepers_len = 1;
	if (is_chain) {
		campaign_node(&node, "b");
		w.nodes[w.nodes_len++] = node;
		k[0].to = land_below(4) ? "http://b:80/mcp" : "sse+http://b:80/sse";
		k[1] = (struct keeper){ .node = node,
			.from = "listen:http://0.0.0.0:80/mcp",
			.to = "tcp://srv:" LAND_CHILD_PORT };
		w.keepers_len = 2;
	}
	for (unsigned i = 0; i < w.keepers_len; i++)
		plan_bridge(&k[i]);
}

/* ---- the world ---- */

static bool all_are_up(void)
{
	for (unsigned i = 0; i < w.keepers_len; i++) {
		if (!w.keepers[i].bridge && !w.keepers[i].parts.is_up)
			return false;
	}
	return true;
}

static weft_err make_faults(void *arg)
{
	const bool *is_done = arg;

	while (!*is_done) {
		both_sleep_ns((int64_t)land_below(800 * LAND_MS));
		campaign_fault(w.nodes, w.nodes_len, NULL);
	}
	return WEFT_OK;
}

static void clear_up(void)
{
	land.is_calm = true;
	weft_sim_heal(WEFT_SIM_ALL, WEFT_SIM_ALL);
	for (unsigned i = 0; i < w.nodes_len; i++) {
		weft_sim_descriptor_limit(w.nodes[i], SIZE_MAX);
		weft_sim_reset_all(w.nodes[i]); /* what is open to nobody, too */
	}
	while (!all_are_up())
		both_sleep_ns(10 * LAND_MS);
}

static size_t sessions_of(const struct keeper *k)
{
	weft_bridge_stats stats;

	if (k->is_parts)
		return land_parts_sessions(&k->parts);
	weft_bridge_stats_get(k->bridge, &stats);
	return stats.sessions_now;
}

static bool is_shared(const struct keeper *k)
{
	return k->is_parts ? k->parts.relay.is_shared : k->options.session_shared;
}

/* Nobody has anything to do with them any more. */
static void wait_sessions_end(void)
{
	weft_deadline until = weft_after_ns(4 * IDLE_DEFAULT_NS);
	size_t left;

	do {
		bool is_kept = false; /* a shared server, and what it is at the next bridge */

		left = 0;
		for (unsigned i = 0; i < w.keepers_len; i++) {
			size_t now = sessions_of(&w.keepers[i]);

			left += now > is_kept ? now - is_kept : 0;
			is_kept |= is_shared(&w.keepers[i]);
		}
		left += land.children_now > is_kept ? land.children_now - is_kept : 0;
		if (left && weft_now() >= until)
			weft_dump(2);
		want(!left || weft_now() < until);
		both_sleep_ns(10 * LAND_SECOND);
	} while (left);
}

static void run_clients(struct client *clients, unsigned count, weft_fiber_fn run)
{
	weft_fiber *fibers[LAND_CLIENTS_MAX];

	for (unsigned i = 0; i < count; i++)
		campaign_spawn(
			w.nodes[w.nodes_len - count + i], &fibers[i], "client", run, &clients[i]);
	for (unsigned i = 0; i < count; i++)
		campaign_join(fibers[i]);
}

static void come_and_go(void)
{
	static struct client clients[LAND_CLIENTS_MAX];
	unsigned count = 1 + (unsigned)land_below(LAND_CLIENTS_MAX);
	weft_fiber *faults = NULL;
	bool is_done = false;

	memset(clients, 0, sizeof(clients));
	for (unsigned i = 0; i < count; i++) {
		char name[16];

		snprintf(name, sizeof(name), "c%u", i);
		clients[i].number = i;
		campaign_node(&w.nodes[w.nodes_len++], name);
	}
	if (has_faults)
		CAMPAIGN_INSIST(weft_spawn(&faults, "faults", make_faults, &is_done));
	run_clients(clients, count, client_run);
	is_done = true;
	if (faults)
		campaign_join(faults);
	clear_up();
	run_clients(clients, count, client_run_calm);
}

static weft_err run_world(void *arg)
{
	weft_fiber *keepers[2], *children;

	(void)arg;
	memset(&land, 0, sizeof(land));
	memset(&w, 0, sizeof(w));
	land.tells = getenv("WEFT_SIM_TRACE") != NULL;
	plan();
	plan_bridges();
	CAMPAIGN_INSIST(weft_scope_create(&land.scope));
	campaign_spawn(0, &children, "children", children_keep, NULL);
	for (unsigned i = 0; i < w.keepers_len; i++)
		campaign_spawn(0, &keepers[i], "keeper", bridge_keep, &w.keepers[i]);
	while (!all_are_up())
		both_sleep_ns(LAND_MS);
	come_and_go();
	wait_sessions_end();
	land.is_over = true;
	for (unsigned i = 0; i < w.keepers_len; i++) {
		if (w.keepers[i].bridge)
			weft_bridge_stop(w.keepers[i].bridge);
		weft_cancel_trigger(w.keepers[i].parts.stop, WEFT_OK);
		campaign_join(keepers[i]);
		weft_cancel_unref(w.keepers[i].parts.stop);
	}
	campaign_join(children);
	want_ok(weft_scope_wait(land.scope, weft_after_ns(600 * LAND_SECOND)));
	want(land.children_now == 0);
	weft_scope_free(land.scope);
	weft_sim_note(land.answered);
	return WEFT_OK;
}

START_TEST(each_request_is_answered_once_and_nobody_sees_anothers)
{
	weft_sim_options options = campaign_options((uint64_t)_i, 100);

	unsetenv("http_proxy");
	options.steps_max = STEPS_MAX;
	has_faults = campaign_has_faults((uint64_t)_i);
	lacks_memory = options.memory_fail_permille > 0;
	campaign_run(run_world, &options);
	if (getenv("WEFT_SIM_TELL"))
		fprintf(stderr,
			"seed %d: %u asked, %u answered, %u failed, %u children, %u resumed, %u questions\n",
			_i, land.asked, land.answered, land.failed, land.children, land.resumed,
			land.questions);
}
END_TEST

static void sim_bridge_tests(TCase *tc)
{
	campaign_add(tc, each_request_is_answered_once_and_nobody_sees_anothers, SEEDS);
}
T_SUITE("sim_bridge", sim_bridge_tests)
