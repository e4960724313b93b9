/* SPDX-License-Identifier: MIT */
/* See messages.h. */
#include "bridge/messages.h"

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "bridge/endpoint_tls.h"
#include "bridge/listener_names.h"
#include "bridge/metrics.h"
#include "bridge/record.h"

#include <stdio.h>
#include <string.h>

#define MESSAGE_SIZE_DEFAULT ((size_t)10 << 20)
#define BODIES 3			   /* times the limit of messages: that of bodies */
#define STOP_MARGIN_NS INT64_C(1000000000) /* beyond the drain time-out */
#define RETRY_MS 100			   /* after lack of memory or descriptors */
#define REST_MS 1000 /* without a session that begins, before memory is given back */

/* ---- options ---- */

static bool is_list(const char *const *list)
{
	return list && list[0];
}

static weft_err listener_only(const struct weft_bridge *b)
{
	const weft_bridge_options *o = &b->options;
	bool has_metrics = o->metrics != NULL; /* a listener of http:, too */
	const struct {
		const char *name;
		bool is_given;
	} given[] = {
		{ "token_file (--token-file)", o->token_file && !has_metrics },
		{ "allow_origins (--allow-origin)", is_list(o->allow_origins) && !has_metrics },
		{ "allow_hosts (--allow-host)", is_list(o->allow_hosts) && !has_metrics },
		{ "servers (--server, --servers)", b->servers.count > 0 },
		{ "client_sessions_max (--max-client-sessions)", o->client_sessions_max != 0 },
	};

	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		if (given[i].is_given && b->from.kind != ENDPOINT_HTTP)
			return err_setf(WEFT_EINVAL,
				"%s: goes with FROM listen:http:// or listen:https:// only",
				given[i].name);
	}
	return WEFT_OK;
}

weft_err messages_check(const struct weft_bridge *bridge)
{
	const weft_bridge_options *o = &bridge->options;
	const struct endpoint *from = &bridge->from;
	weft_err err = listener_only(bridge);

	if (err)
		return err;
	for (size_t i = 0; is_list(o->allow_origins) && o->allow_origins[i]; i++) {
		if (strcmp(o->allow_origins[i], "*") == 0)
			return err_setf(WEFT_EINVAL,
				"allow_origins (--allow-origin): \"*\" would let any web site in: name those that may");
	}
	if (!bridge_has_messages(bridge)) {
		if (o->record)
			return err_setf(WEFT_EINVAL,
				"record (--record): goes with http: endpoints only; here bytes are carried");
		if (o->session_shared || o->message_size_max || o->session_timeout_ns)
			return err_setf(WEFT_EINVAL,
				"%s: goes with http: endpoints only; here bytes are carried",
				o->session_shared ? "session_shared (--session shared)"
					: o->message_size_max
					? "message_size_max (--max-message-size)"
					: "session_timeout_ns (--session-timeout)");
		return WEFT_OK;
	}
	if (from->kind == ENDPOINT_HTTP && !from->is_local && !o->token_file &&
		!from->tls.client_ca && !o->insecure)
		return err_setf(WEFT_EINVAL,
			"FROM \"%.128s\": other machines reach it: ask for a token (--token-file), or "
			"for certificates (https:// and client-ca=), or allow anybody with --insecure",
			o->from);
	return o->record ? recorder_check(o->record) : WEFT_OK;
}

/* ---- the HTTP server ---- */

static weft_err http_make(struct weft_bridge *b)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	size_t message = b->options.message_size_max;
	struct listener_names *names = mem_calloc(1, sizeof(*names));
	weft_err err;

	if (!names)
		return err_set(WEFT_ENOMEM);
	err = listener_names_init(names, weft_listener_name(b->listener), b->from.tls.is_on,
		b->options.allow_origins, b->options.allow_hosts);
	options.tls = b->from_tls;
	options.connections_max = b->options.connections_max;
	/* what is over the limit is read, to say whose it was: see mcp_server_http.c */
	options.body_size_max = BODIES * (message ? message : MESSAGE_SIZE_DEFAULT);
	options.stop_timeout_ns = b->options.drain_timeout_ns;
	options.host_rule = WEFT_HTTP_HOST_LOOPBACK;
	options.origins = names->origins;
	options.hosts = names->hosts;
	options.access = weft_http_access_log_text;
	if (!err)
		err = weft_http_server_create(&b->messages->http, &options);
	if (!err)
		err = weft_http_server_route(
			b->messages->http, "GET", "/healthz", health_handler, b);
	listener_names_fini(names);
	mem_free(names);
	return err;
}

/* ---- opening and freeing ---- */

weft_err messages_add(
	struct weft_bridge *bridge, const struct server_entry *entry, struct message_server **out)
{
	struct messages *m = bridge->messages;
	size_t count = messages_count(m);
	weft_err err;

	if (count == m->servers_max) {
		(void)err_setf(WEFT_ECAPACITY,
			"%zu names of servers were there since the start: no more", count);
		return WEFT_ECAPACITY;
	}
	err = message_server_create(&m->servers[count], bridge, entry);
	if (err)
		return err;
	*out = m->servers[count];
	(void)word_swap(&m->count, (uint32_t)count + 1);
	return WEFT_OK;
}

static weft_err server_open(struct weft_bridge *b, const struct server_entry *entry)
{
	struct message_server *server;
	struct backend *backend;
	weft_err err = messages_add(b, entry, &server);

	if (!err)
		err = backend_create(&backend, server, entry);
	if (!err)
		backend_leave(message_server_use(
			server, backend, entry ? !entry->url : b->to.kind == ENDPOINT_EXEC));
	return err;
}

static weft_err messages_create(struct weft_bridge *b)
{
	struct messages *m = mem_calloc(1, sizeof(*m));
	weft_err err;

	if (!m)
		return err_set(WEFT_ENOMEM);
	b->messages = m;
	list_init(&m->backends);
	m->servers_max = b->servers_path ? MESSAGE_SERVERS_MAX
		: b->servers.count	 ? b->servers.count
					 : 1;
	m->servers = mem_calloc(m->servers_max, sizeof(void *));
	if (!m->servers)
		return err_set(WEFT_ENOMEM);
	err = weft_mutex_create(&m->backends_lock);
	if (!err)
		err = weft_mutex_create(&m->reloading);
	return err ? err : servers_copy(&m->list, &b->servers, b->servers.count);
}

weft_err messages_open(struct weft_bridge *bridge)
{
	weft_err err = messages_create(bridge);

	if (!err && bridge->from.kind == ENDPOINT_HTTP)
		err = http_make(bridge);
	if (!err && !bridge->servers.count)
		err = server_open(bridge, NULL);
	for (size_t i = 0; !err && i < bridge->servers.count; i++)
		err = server_open(bridge, &bridge->servers.items[i]);
	return err;
}

void messages_fini(struct weft_bridge *bridge)
{
	struct messages *m = bridge->messages;

	if (!m)
		return;
	if (m->http) {
		weft_http_server_stop(m->http);
		(void)!weft_http_server_wait(m->http, WEFT_FOREVER);
	}
	for (size_t i = 0; i < messages_count(m); i++)
		message_server_free(m->servers[i]);
	weft_http_server_free(m->http);
	weft_http_client_unref(m->client);
	servers_fini(&m->list);
	weft_mutex_free(m->backends_lock);
	weft_mutex_free(m->reloading);
	mem_free(m->servers);
	mem_free(m);
	bridge->messages = NULL;
}

const char *messages_server(const struct weft_bridge *bridge, size_t n, const char **name)
{
	const struct messages *m = bridge->messages;

	if (!m || n >= messages_count(m) || !*m->servers[n]->name)
		return NULL;
	*name = m->servers[n]->name;
	return m->servers[n]->url;
}

void messages_reload(struct weft_bridge *bridge, struct faults *faults)
{
	struct messages *m = bridge->messages;

	for (size_t i = 0; m && i < messages_count(m); i++) {
		if (m->servers[i]->mcp && bridge->options.token_file)
			faults_add(faults, weft_mcp_server_reload(m->servers[i]->mcp));
	}
	if (bridge->servers_path)
		message_servers_reload(bridge, faults);
}

void messages_stats_get(const struct weft_bridge *bridge, weft_bridge_stats *out)
{
	const struct messages *m = bridge->messages;

	for (size_t i = 0; m && i < messages_count(m); i++) {
		const struct relay_counts *c = &m->servers[i]->counts;

		for (unsigned t = 0; t < COUNTS_TRANSPORTS; t++) {
			out->sessions += counter_get(&c->sessions[t]);
			out->sessions_now += counter_get(&c->sessions_now[t]);
			out->sessions_refused += counter_get(&c->sessions_refused[t]);
		}
		out->sessions_failed += counter_get(&c->sessions_failed);
	}
}

/* ---- sessions ---- */

struct message_session {
	struct weft_bridge *bridge;
	struct backend *backend; /* held */
	weft_transport *client;	 /* over HTTP */
	weft_conn *conn;	 /* otherwise */
};

/* The only one there may be says how it ended. */
static void only_ended(struct weft_bridge *b, weft_err err)
{
	if (err && err != WEFT_ECANCELED) {
		b->only_err = err;
		b->only_detail = mem_strdup(weft_error_detail());
	}
	weft_bridge_stop(b);
}

static weft_err session_fiber(void *arg)
{
	struct message_session session = *(struct message_session *)arg;
	struct weft_bridge *b = session.bridge;
	weft_deadline until = weft_after_ns(b->options.connect_timeout_ns);
	weft_err err = WEFT_OK;

	mem_free(arg);
	if (session.conn && !endpoint_is_mux(&b->from))
		err = endpoint_accept(&session.conn, b->from_tls, until);
	if (!err && session.conn)
		err = message_lines_own(&session.client, b, session.conn);
	if (!err)
		err = relay_serve(session.backend->relay, session.client);
	if (err == WEFT_ECANCELED)
		(void)counter_add(&b->counters.cut, 1);
	if (bridge_has_one_session(b))
		only_ended(b, err);
	backend_leave(session.backend);
	return WEFT_OK;
}

static weft_err session_spawn(
	const struct message_session *session, weft_scope *scope, unsigned worker)
{
	struct message_session *arg = mem_alloc(sizeof(*arg));
	weft_err err;

	if (!arg)
		return err_set(WEFT_ENOMEM);
	*arg = *session;
	err = weft_scope_spawn_on(scope, worker, "session", session_fiber, arg);
	if (err)
		mem_free(arg);
	return err;
}

weft_err messages_take(
	struct weft_bridge *bridge, weft_scope *scope, unsigned worker, weft_conn *conn)
{
	struct message_server *server = bridge->messages->servers[0];
	struct message_session session = { bridge, NULL, NULL, conn };
	weft_err err;

	if (bridge_has_one_session(bridge) && !counter_try_add(&bridge->counters.only, 1, 1))
		return err_setf(WEFT_ECAPACITY, "%s: there is one session, and it has begun",
			weft_err_name(WEFT_ECAPACITY));
	session.backend = message_server_enter(server);
	err = session_spawn(&session, scope, worker);
	if (!err)
		return WEFT_OK;
	backend_leave(session.backend);
	if (bridge_has_one_session(bridge))
		(void)counter_sub(&bridge->counters.only, 1);
	return err;
}

static void accept_failed(const struct weft_bridge *b, weft_err err)
{
	char text[ERR_TEXT_MAX];
	weft_bridge_event event = { .level = WEFT_LOG_WARN, .peer = "", .err = err, .text = text };

	(void)snprintf(text, sizeof(text), "accept session: %s", weft_error_detail());
	bridge_event(b, &event);
}

struct acceptor {
	struct message_server *server;
	weft_scope *sessions;
	uint64_t most; /* sessions at once, since memory was last given back */
};

static uint64_t sessions_now(const struct message_server *server)
{
	uint64_t now = 0;

	for (unsigned t = 0; t < COUNTS_TRANSPORTS; t++)
		now += counter_get(&server->counts.sessions_now[t]);
	return now;
}

/* What sessions had is free when they have ended, and libc would keep it. A look each REST_MS while
 * there are any, and milliseconds when half of them have gone. */
static void rest(struct acceptor *a)
{
	uint64_t now = sessions_now(a->server);

	if (now > a->most / 2)
		return;
	weft_buf_pool_trim(a->server->bridge->pool);
	a->most = now;
}

static weft_err accept_patiently(struct acceptor *a, weft_incoming *incoming, weft_transport **out)
{
	weft_err err;

	do {
		err = weft_incoming_accept(
			incoming, out, a->most ? weft_after_ms(REST_MS) : WEFT_FOREVER);
		if (err == WEFT_ETIMEDOUT)
			rest(a);
	} while (err == WEFT_ETIMEDOUT);
	return err;
}

static weft_err accept_one(struct acceptor *a, weft_incoming *incoming)
{
	struct message_session session = { .bridge = a->server->bridge };
	weft_err err = accept_patiently(a, incoming, &session.client);
	uint64_t now = sessions_now(a->server) + 1;
	unsigned worker;

	if (err)
		return err;
	a->most = now > a->most ? now : a->most;
	session.backend = message_server_enter(a->server);
	worker = weft_transport_worker(session.client);
	if (worker >= weft_worker_count())
		worker = weft_worker_least_loaded();
	/* it began just when the server was taken out */
	if (!session.backend)
		weft_transport_free(session.client);
	else
		err = session_spawn(&session, a->sessions, worker);
	if (!err)
		return WEFT_OK;
	weft_transport_free(session.client);
	backend_leave(session.backend);
	return err;
}

/* Until no more come. */
static weft_err accept_fiber(void *arg)
{
	struct acceptor a = *(struct acceptor *)arg;
	weft_incoming *incoming = weft_mcp_server_incoming(a.server->mcp);
	weft_err err;

	mem_free(arg);
	for (;;) {
		err = accept_one(&a, incoming);
		if (!err)
			continue;
		if (err == WEFT_ECLOSED || err == WEFT_ECANCELED)
			return WEFT_OK;
		accept_failed(a.server->bridge, err);
		if (weft_sleep_ms(RETRY_MS))
			return WEFT_OK;
	}
}

weft_err messages_accept(struct messages *m, struct message_server *server)
{
	struct acceptor *a;
	weft_err err;

	if (!m->acceptors)
		return WEFT_OK; /* all are, once they are served */
	a = mem_alloc(sizeof(*a));
	if (!a)
		return err_set(WEFT_ENOMEM);
	*a = (struct acceptor){ .server = server, .sessions = m->sessions };
	err = weft_scope_spawn(m->acceptors, "sessions", accept_fiber, a);
	if (err)
		mem_free(a);
	return err;
}

static void stop_all(struct messages *m)
{
	if (weft_mutex_lock(m->backends_lock, WEFT_FOREVER))
		return; /* the bridge's fiber is cancelled, and with it its sessions */
	list_for_each(node, &m->backends)
		relay_stop(container_of(node, struct backend, node)->relay);
	weft_mutex_unlock(m->backends_lock);
}

/* Requests that are in flight are answered within the drain time-out; sessions over HTTP would not
 * end by themselves. */
static void drain(struct weft_bridge *b)
{
	struct messages *m = b->messages;
	weft_deadline until = weft_after_ns(b->options.drain_timeout_ns + STOP_MARGIN_NS);

	for (size_t i = 0; i < messages_count(m); i++)
		weft_incoming_close(weft_mcp_server_incoming(m->servers[i]->mcp));
	weft_http_server_stop(m->http);
	(void)!weft_http_server_wait(m->http, until);
	stop_all(m);
}

/* From now on, or no more. */
static weft_err serving(struct messages *m, weft_scope *acceptors, weft_scope *sessions)
{
	weft_err err = WEFT_OK;

	weft_shield_begin();
	CHECK(weft_mutex_lock(m->reloading, WEFT_FOREVER) == WEFT_OK); /* shielded */
	m->acceptors = acceptors;
	m->sessions = sessions;
	m->is_draining = !acceptors;
	for (size_t i = 0; !err && acceptors && i < messages_count(m); i++)
		err = messages_accept(m, m->servers[i]);
	weft_mutex_unlock(m->reloading);
	weft_shield_end();
	return err;
}

weft_err messages_serve(struct weft_bridge *bridge, weft_scope *scope)
{
	struct messages *m = bridge->messages;
	weft_scope *acceptors = NULL;
	weft_err err = weft_scope_create(&acceptors);

	if (err)
		return err;
	err = serving(m, acceptors, scope);
	if (!err)
		err = weft_http_server_start(m->http, bridge->listener);
	if (!err)
		err = weft_cancel_wait(bridge->stopping, WEFT_FOREVER);
	if (serving(m, NULL, NULL))
		CHECK(false); /* nothing is begun */
	if (!err)
		drain(bridge);
	weft_scope_free(acceptors);
	return err;
}
