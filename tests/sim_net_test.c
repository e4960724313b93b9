/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/*
 * The campaign: a random net a seed, of echo servers, proxies before them, and clients,
 * with faults that the seed chooses. Whatever happens:
 *
 *   - what a client reads back is a prefix of what it wrote, in order, and all of it when
 *     the stream ended in order;
 *   - without faults every client succeeds;
 *   - nobody waits for ever, nothing is left, and the run repeats exactly.
 */
#include "support/campaign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT 7000
#define SERVERS_MAX 3
#define PROXIES_MAX 3
#define CLIENTS_MAX 12
#define BYTES_MAX 60000
#define CLIENT_SECONDS 120
#define SESSIONS_MAX 6

struct world;

struct service {
	struct world *world;
	unsigned index; /* into world->nodes */
};

struct client {
	struct world *world;
	unsigned number, target;
	/* of the session under way */
	size_t bytes; /* to send and to get back */
	weft_conn *conn;
	weft_deadline until;
	weft_err written, result;
};

/* In the test's frame: fibers of the root scope see it until the run has ended. */
struct world {
	bool faults; /* the seed brings any */
	bool memory_fails;
	unsigned servers, proxies, clients;
	unsigned nodes[SERVERS_MAX + PROXIES_MAX]; /* of servers, then of proxies */
	unsigned next_hop[PROXIES_MAX];		   /* an index into nodes, below the proxy's */
	struct service services[SERVERS_MAX + PROXIES_MAX];
	struct client users[CLIENTS_MAX];
	weft_fiber *user_fibers[CLIENTS_MAX];
	unsigned users_node;
	unsigned succeeded, failed;
	bool over; /* the clients have ended */
};

static weft_err serve_echo(weft_conn *conn, void *arg)
{
	weft_err err = weft_conn_copy(conn, conn, NULL, NULL, NULL, WEFT_FOREVER);

	(void)arg;
	if (!err)
		err = weft_conn_shutdown(conn);
	if (err)
		weft_conn_abort(conn);
	weft_conn_free(conn);
	return err;
}

static void address_of(unsigned index, char *text, size_t size)
{
	snprintf(text, size, "tcp://n%u:%u", index, PORT + index);
}

struct way {
	weft_conn *from, *to;
};

static weft_err copy_way(void *arg)
{
	struct way *w = arg;
	weft_err err = weft_conn_copy(w->to, w->from, NULL, NULL, NULL, WEFT_FOREVER);

	if (!err)
		err = weft_conn_shutdown(w->to);
	if (err) {
		weft_conn_abort(w->to);
		weft_conn_abort(w->from);
	}
	return err;
}

/* Any error must reach both sides as a reset: an end in order would be a lie. */
static weft_err carry(weft_conn *a, weft_conn *b)
{
	struct way there = { a, b }, back = { b, a };
	weft_scope *scope = NULL;
	weft_err err;

	err = weft_scope_create(&scope);
	if (!err)
		err = weft_scope_spawn(scope, "there", copy_way, &there);
	if (!err)
		err = weft_scope_spawn(scope, "back", copy_way, &back);
	if (!err)
		err = weft_scope_wait(scope, WEFT_FOREVER);
	if (err) {
		weft_conn_abort(a);
		weft_conn_abort(b);
		if (scope)
			weft_scope_cancel(scope);
	}
	weft_scope_free(scope);
	return err;
}

static weft_err serve_proxy(weft_conn *conn, void *arg)
{
	const struct service *s = arg;
	const struct world *w = s->world;
	weft_conn *next = NULL;
	char address[64];
	weft_err err;

	address_of(w->next_hop[s->index - w->servers], address, sizeof(address));
	err = weft_dial(&next, address, NULL, weft_after_ms(20000));
	if (err)
		weft_conn_abort(conn);
	else
		err = carry(conn, next);
	weft_conn_free(conn);
	weft_conn_free(next);
	return err;
}

/* On its node; again and again when the node crashes or memory fails. */
static weft_err service_once(struct service *s)
{
	weft_listener *listener = NULL;
	weft_scope *scope = NULL;
	char address[64];
	weft_err err;

	/* names have addresses of both families: some clients must fall back */
	snprintf(address, sizeof(address), "tcp://%s:%u", s->index % 2 ? "[::]" : "0.0.0.0",
		PORT + s->index);
	err = weft_listen(&listener, address, NULL, WEFT_FOREVER);
	if (!err)
		err = weft_scope_create(&scope);
	if (!err) {
		err = weft_listener_serve(listener, scope, "handler",
			s->index < s->world->servers ? serve_echo : serve_proxy, s);
		want(err != WEFT_ECAPACITY); /* it backs off and goes on */
	}
	weft_listener_free(listener);
	weft_scope_free(scope);
	return err;
}

static weft_err run_service(void *arg)
{
	struct service *s = arg;

	while (!s->world->over) {
		weft_err err = service_once(s);

		if (weft_sleep_ms(10) == WEFT_ECANCELED)
			break;
		want(err == WEFT_ENOMEM || err == WEFT_ECAPACITY);
	}
	return WEFT_OK;
}

static unsigned char pattern(unsigned number, size_t at)
{
	return (unsigned char)(at * 31 + at / 251 + number * 77);
}

static weft_err write_all(void *arg)
{
	struct client *c = arg;
	unsigned char buf[4096];
	size_t at = 0;

	while (at < c->bytes && c->written == WEFT_OK) {
		size_t n = 1 + (size_t)weft_sim_random_below(sizeof(buf));

		if (n > c->bytes - at)
			n = c->bytes - at;
		for (size_t i = 0; i < n; i++)
			buf[i] = pattern(c->number, at + i);
		c->written = weft_conn_write(c->conn, buf, n, NULL, c->until);
		at += n;
		if (weft_sim_random_below(4) == 0)
			both_pause();
	}
	if (!c->written)
		c->written = weft_conn_shutdown(c->conn);
	return WEFT_OK;
}

static weft_err read_back(struct client *c)
{
	unsigned char buf[4096];
	size_t at = 0, got;
	weft_err err;

	for (;;) {
		if (weft_sim_random_below(100) == 0) /* a stall: the window fills */
			both_sleep_ns((int64_t)weft_sim_random_below(300000000));
		err = weft_conn_read(c->conn, buf, 1 + (size_t)weft_sim_random_below(sizeof(buf)),
			&got, c->until);
		if (err)
			break;
		want(at + got <= c->bytes);
		for (size_t i = 0; i < got; i++)
			want(buf[i] == pattern(c->number, at + i));
		at += got;
	}
	weft_sim_note(at);
	if (err != WEFT_ECLOSED)
		return err;
	want(at == c->bytes); /* an end in order is an end of everything */
	return WEFT_OK;
}

static weft_err talk(struct client *c)
{
	weft_fiber *writer = NULL;
	char address[64];
	weft_err err;

	address_of(c->target, address, sizeof(address));
	err = weft_dial(&c->conn, address, NULL, c->until);
	if (err)
		return err;
	err = weft_spawn(&writer, "writes", write_all, c);
	if (!err)
		err = read_back(c);
	if (err)
		weft_conn_close(c->conn);
	if (writer) {
		weft_shield_begin();
		want_ok(weft_fiber_join(writer, NULL, WEFT_FOREVER));
		weft_shield_end();
	}
	weft_conn_free(c->conn);
	return err ? err : c->written;
}

static weft_err run_session(void *arg)
{
	struct client *c = arg;

	c->result = talk(c);
	return WEFT_OK;
}

/* In a scope of its own, which is now and then cancelled in the middle. */
static void have_session(struct client *c, bool cancelled)
{
	weft_deadline until =
		cancelled ? weft_after_ns((int64_t)weft_sim_random_below(40000000)) : WEFT_FOREVER;
	weft_scope *scope = NULL;
	weft_err err;

	c->target = (unsigned)weft_sim_random_below(c->world->servers + c->world->proxies);
	c->bytes = (size_t)weft_sim_random_below(BYTES_MAX);
	c->written = WEFT_OK;
	c->result = WEFT_ENOMEM;
	c->until = weft_after_ms(CLIENT_SECONDS * 1000);
	err = weft_scope_create(&scope);
	if (!err)
		err = weft_scope_spawn(scope, "session", run_session, c);
	if (!err)
		err = weft_scope_wait(scope, until);
	want(err == WEFT_OK || err == WEFT_ETIMEDOUT ||
		(err == WEFT_ENOMEM && c->world->memory_fails));
	weft_scope_free(scope);
}

static weft_err run_client(void *arg)
{
	struct client *c = arg;
	struct world *w = c->world;

	for (unsigned i = (unsigned)weft_sim_random_below(SESSIONS_MAX) + 1; i > 0; i--) {
		bool cancelled = weft_sim_random_below(8) == 0;

		both_sleep_ns((int64_t)weft_sim_random_below(100000000));
		have_session(c, cancelled);
		if (c->result)
			w->failed++;
		else
			w->succeeded++;
		if (!w->faults && !cancelled)
			want_ok(c->result);
		want(c->result == WEFT_OK || c->result == WEFT_ERESET ||
			c->result == WEFT_EREFUSED || c->result == WEFT_ETIMEDOUT ||
			c->result == WEFT_ECAPACITY || (c->result == WEFT_ECANCELED && cancelled) ||
			(c->result == WEFT_ENOMEM && w->memory_fails));
	}
	return WEFT_OK;
}

/* Not to be told apart from the world's faults: memory that fails for the test itself. */
static void spawn_on(unsigned node, weft_fiber **out, const char *name, weft_fiber_fn fn, void *arg)
{
	weft_err err;

	do
		err = weft_sim_spawn(node, out, name, fn, arg);
	while (err == WEFT_ENOMEM);
	want(err == WEFT_OK || err == WEFT_ECANCELED);
}

static void one_fault(struct world *w)
{
	unsigned hop = (unsigned)weft_sim_random_below(w->servers + w->proxies);
	unsigned node = w->nodes[hop];
	int64_t pause_ns = (int64_t)weft_sim_random_below(200000000);

	switch (weft_sim_random_below(6)) {
	case 0:
		weft_sim_partition(node, weft_sim_random_below(2) ? w->users_node : WEFT_SIM_ALL);
		both_sleep_ns(pause_ns);
		weft_sim_heal(node, WEFT_SIM_ALL);
		break;
	case 1:
		weft_sim_reset_all(node);
		break;
	case 2:
		weft_sim_crash(node);
		both_sleep_ns(pause_ns);
		spawn_on(node, NULL, "service", run_service, &w->services[hop]);
		break;
	case 3:
		weft_sim_descriptor_limit(node, 1 + (size_t)weft_sim_random_below(8));
		both_sleep_ns(pause_ns);
		weft_sim_descriptor_limit(node, SIZE_MAX);
		break;
	case 4:
		weft_sim_clock_jump((int64_t)weft_sim_random_below(5000000000));
		break;
	default: /* calm */
		both_sleep_ns(pause_ns);
	}
}

static weft_err make_faults(void *arg)
{
	struct world *w = arg;

	while (!w->over) {
		if (weft_sleep_ns((int64_t)weft_sim_random_below(60000000)) == WEFT_ECANCELED)
			break;
		one_fault(w);
	}
	return WEFT_OK;
}

static void add_node(unsigned *node, const char *kind, unsigned number)
{
	char name[16];
	weft_err err;

	snprintf(name, sizeof(name), "%s%u", kind, number);
	do
		err = weft_sim_node(node, name);
	while (err == WEFT_ENOMEM);
	want_ok(err);
}

static void build(struct world *w)
{
	w->servers = 1 + (unsigned)weft_sim_random_below(SERVERS_MAX);
	w->proxies = (unsigned)weft_sim_random_below(PROXIES_MAX + 1);
	w->clients = 1 + (unsigned)weft_sim_random_below(CLIENTS_MAX);
	add_node(&w->users_node, "users", 0);
	for (unsigned i = 0; i < w->servers + w->proxies; i++) {
		w->services[i] = (struct service){ w, i };
		add_node(&w->nodes[i], "n", i);
		if (i >= w->servers)
			w->next_hop[i - w->servers] = (unsigned)weft_sim_random_below(i);
		spawn_on(w->nodes[i], NULL, "service", run_service, &w->services[i]);
	}
}

static weft_err run_world(void *arg)
{
	struct world *w = arg;

	build(w);
	while (weft_sleep_ms(100) != WEFT_OK) /* the services listen */
		;
	for (unsigned i = 0; i < w->clients; i++) {
		w->users[i] = (struct client){ .world = w, .number = i };
		spawn_on(w->users_node, &w->user_fibers[i], "client", run_client, &w->users[i]);
	}
	if (w->faults && weft_sim_random_below(4) != 0)
		spawn_on(0, NULL, "faults", make_faults, w);
	for (unsigned i = 0; i < w->clients; i++) {
		weft_err err;

		do
			err = weft_fiber_join(w->user_fibers[i], NULL, WEFT_FOREVER);
		while (err == WEFT_ENOMEM);
		want_ok(err);
	}
	w->over = true;
	weft_sim_note(w->succeeded);
	return WEFT_OK;
}

static struct world world;

static weft_err run_world_afresh(void *arg)
{
	bool faults = world.faults, memory_fails = world.memory_fails;

	(void)arg;
	memset(&world, 0, sizeof(world));
	world.faults = faults;
	world.memory_fails = memory_fails;
	return run_world(&world);
}

START_TEST(a_random_net_keeps_its_promises)
{
	weft_sim_options options = campaign_options((uint64_t)_i, 100);

	world.faults = campaign_has_faults((uint64_t)_i);
	world.memory_fails = options.memory_fail_permille > 0;
	campaign_run(run_world_afresh, &options);
}
END_TEST

static void sim_net_tests(TCase *tc)
{
	t_add_loop(tc, a_random_net_keeps_its_promises, both_seed_first(), both_seed_end());
}
T_SUITE("sim/net", sim_net_tests)
