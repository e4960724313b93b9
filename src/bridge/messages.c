/* SPDX-License-Identifier: MIT */
/* See messages.h. */
#include "bridge/messages.h"

#include "base/err.h"
#include "base/mem.h"
#include "bridge/endpoint_tls.h"
#include "bridge/fields_file.h"
#include "bridge/record.h"
#include "bridge/relay.h"

#include <weft/http_client.h>
#include <weft/http_server.h>
#include <weft/mcp_client.h>
#include <weft/mcp_server.h>

#include <stdio.h>
#include <string.h>

#define IDLE_DEFAULT_NS (INT64_C(30) * 60 * 1000000000)
#define MESSAGE_SIZE_DEFAULT ((size_t)10 << 20)
#define STOP_MARGIN_NS INT64_C(1000000000) /* beyond the drain time-out */
#define RETRY_MS 100			   /* after lack of memory or descriptors */
#define ORIGINS_OWN 4			   /* of a listener: by three names, and its address */
#define ORIGIN_MAX 256

struct message_server {
	struct weft_bridge *bridge;
	const struct server_entry *entry; /* NULL: TO */
	const char *name;		  /* "" for TO */
	char *path, *url;		  /* FROM is http: */
	struct words env;		  /* the bridge's and its own */
	weft_http_fields *fields;	  /* of requests to it */
	weft_http_request request;
	weft_outgoing *outgoing;
	struct relay *relay;
	weft_mcp_server *mcp; /* NULL: FROM is not http: */
};

struct messages {
	struct message_server *servers;
	size_t count;
	weft_http_client *client; /* NULL: no server is http: */
	weft_http_server *http;	  /* NULL: FROM is not http: */
	struct counter has_stdio; /* 1: TO's stdin and stdout are taken */
};

/* ---- options ---- */

static bool is_list(const char *const *list)
{
	return list && list[0];
}

static weft_err listener_only(const struct weft_bridge *b)
{
	const weft_bridge_options *o = &b->options;
	const struct {
		const char *name;
		bool is_given;
	} given[] = {
		{ "token_file (--token-file)", o->token_file != NULL },
		{ "allow_origins (--allow-origin)", is_list(o->allow_origins) },
		{ "allow_hosts (--allow-host)", is_list(o->allow_hosts) },
		{ "servers (--server, --servers)", b->servers.count > 0 },
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
	if (!bridge_has_messages(bridge)) {
		if (o->record)
			return err_setf(WEFT_EINVAL,
				"record (--record): goes with http: endpoints only; here bytes are carried");
		if (o->session_shared || o->message_size_max)
			return err_setf(WEFT_EINVAL,
				"%s: goes with http: endpoints only; here bytes are carried",
				o->session_shared ? "session_shared (--session shared)"
						  : "message_size_max (--max-message-size)");
		return WEFT_OK;
	}
	for (size_t i = 0; is_list(o->allow_origins) && o->allow_origins[i]; i++) {
		if (strcmp(o->allow_origins[i], "*") == 0)
			return err_setf(WEFT_EINVAL,
				"allow_origins (--allow-origin): \"*\" would let any web site in: name those that may");
	}
	if (from->kind == ENDPOINT_HTTP && !from->is_local && !o->token_file &&
		!from->tls.client_ca && !o->insecure)
		return err_setf(WEFT_EINVAL,
			"FROM \"%.128s\": other machines reach it: ask for a token (--token-file), or "
			"for certificates (https:// and client-ca=), or allow anybody with --insecure",
			o->from);
	return o->record ? recorder_check(o->record) : WEFT_OK;
}

static weft_transport_options transport_options(const struct weft_bridge *b)
{
	weft_transport_options options = WEFT_TRANSPORT_OPTIONS_DEFAULT;

	options.message_size_max = b->options.message_size_max;
	options.connect_timeout_ns = b->options.connect_timeout_ns;
	options.pool = b->pool;
	return options;
}

static int64_t idle_ns(const struct weft_bridge *b)
{
	int64_t idle = b->options.idle_timeout_ns;

	return idle == 0 ? IDLE_DEFAULT_NS : idle == INT64_MAX ? 0 : idle;
}

/* ---- servers: where they are ---- */

static weft_err lines(weft_transport **out, const struct weft_bridge *b, weft_conn *conn)
{
	weft_transport_options options = transport_options(b);

	return weft_transport_lines_own(out, conn, &options);
}

static weft_err mux_connect(void *user, weft_transport **out, weft_deadline until)
{
	struct weft_bridge *b = user;
	weft_conn *conn;
	weft_err err = mux_pool_open(&b->to_pool, &conn, until);

	return err ? err : lines(out, b, conn);
}

static weft_err stdio_connect(void *user, weft_transport **out, weft_deadline until)
{
	struct weft_bridge *b = user;
	weft_conn *conn;
	weft_err err;

	(void)until;
	if (!counter_try_add(&b->messages->has_stdio, 1, 1))
		return err_setf(WEFT_ECAPACITY, "stdio: there is one session, and it has begun");
	err = weft_conn_stdio(&conn);
	return err ? err : lines(out, b, conn);
}

static void nothing(void *user)
{
	(void)user;
}

/* A child's line on stderr. */
static void child_said(void *user, const char *name, const char *line)
{
	const struct message_server *s = user;
	size_t size = strlen(name) + strlen(line) + 3;
	char *text = mem_alloc(size);
	weft_bridge_event event = { .level = WEFT_LOG_INFO, .peer = "", .text = text };

	if (!text)
		return;
	(void)snprintf(text, size, "%s: %s", name, line);
	bridge_event(s->bridge, &event);
	mem_free(text);
}

static weft_err words_append(struct words *to, const struct words *from)
{
	weft_err err = WEFT_OK;

	for (size_t i = 0; !err && i < from->count; i++)
		err = words_add(to, from->argv[i], strlen(from->argv[i]));
	return err;
}

static weft_err child_make(struct message_server *s, const struct words *argv)
{
	const struct weft_bridge *b = s->bridge;
	weft_transport_options options = transport_options(b);
	weft_process_options process = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_err err = words_append(&s->env, &b->env);

	if (!err && s->entry)
		err = words_append(&s->env, &s->entry->env);
	if (err)
		return err;
	process.argv = (const char *const *)argv->argv;
	process.directory = s->entry ? s->entry->directory : NULL;
	process.env = (const char *const *)s->env.argv;
	process.pass_env = (const char *const *)b->pass_env.argv;
	process.stop_grace_ns = b->options.child_grace_ns;
	return weft_outgoing_process(&s->outgoing, *s->name ? s->name : argv->argv[0], &process,
		&options, child_said, s);
}

static weft_err client_make(struct messages *m, const struct weft_bridge *b)
{
	weft_http_client_options options = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
	weft_net_options net = WEFT_NET_OPTIONS_DEFAULT; /* of servers with names */

	if (m->client)
		return WEFT_OK;
	net.keepalive = true;
	options.tls = b->to_tls;
	options.net = b->servers.count ? &net : &b->to.net;
	options.connect_timeout_ns = b->options.connect_timeout_ns;
	options.connections_max = b->options.connections_max;
	options.connections_per_key_max = b->options.connections_max;
	options.proxy_env = true;
	return weft_http_client_create(&m->client, &options);
}

static weft_err url_make(struct message_server *s, const char *url, bool is_sse)
{
	struct weft_bridge *b = s->bridge;
	weft_mcp_client_options options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT;
	weft_err err = client_make(b->messages, b);

	if (!err)
		err = weft_http_fields_create(&s->fields);
	for (size_t i = 0; !err && s->entry && i < s->entry->fields.count; i++) {
		err = weft_http_fields_add_line(s->fields, s->entry->fields.argv[i]);
		if (err == WEFT_EINVAL)
			err = err_setf(
				WEFT_EINVAL, "\"headers\": the value of one can't be a field's");
	}
	if (!err && b->to.http.header_file)
		err = fields_file_read(s->fields, b->to.http.header_file);
	if (err)
		return err;
	/* what the fields say of the caller is for this server alone */
	s->request = (weft_http_request)WEFT_HTTP_REQUEST_DEFAULT;
	s->request.origin_fields = s->fields;
	options.transport = transport_options(b);
	options.era = is_sse ? WEFT_MCP_SSE : WEFT_MCP_AUTO;
	options.request = &s->request;
	return weft_outgoing_mcp(&s->outgoing, b->messages->client, url, &options);
}

static weft_err to_make(struct message_server *s)
{
	static const weft_outgoing_ops mux_ops = { mux_connect, nothing };
	static const weft_outgoing_ops stdio_ops = { stdio_connect, nothing };
	struct weft_bridge *b = s->bridge;
	weft_transport_options options = transport_options(b);
	const struct endpoint *to = &b->to;

	if (to->kind == ENDPOINT_EXEC)
		return child_make(s, &to->words);
	if (to->kind == ENDPOINT_HTTP)
		return url_make(s, to->http.url, to->http.is_sse);
	if (to->kind == ENDPOINT_STDIO)
		return weft_outgoing_create(&s->outgoing, &stdio_ops, b, "stdio:");
	if (endpoint_is_mux(to))
		return weft_outgoing_create(&s->outgoing, &mux_ops, b, b->options.to);
	return weft_outgoing_dial(&s->outgoing, to->address, &to->net, b->to_tls,
		to->tls.server_name ? to->tls.server_name : to->tls.host, &options);
}

static weft_err entry_make(struct message_server *s)
{
	const struct server_entry *e = s->entry;
	weft_err err = e->url ? url_make(s, e->url, e->is_sse) : child_make(s, &e->argv);

	return err == WEFT_EINVAL ? err_wrap(err, "server \"%s\"", e->name) : err;
}

/* ---- servers: who comes to them ---- */

static void told(void *user, const weft_bridge_event *event)
{
	bridge_event(user, event);
}

/* A child, which --max-children counts, or a connection, of which each session has one. */
static bool is_child(const struct message_server *s)
{
	return s->entry ? !s->entry->url : s->bridge->to.kind == ENDPOINT_EXEC;
}

static void recorded(void *user, const struct relay_message *message)
{
	const struct weft_bridge *b = user;

	recorder_message(b->recorder, message);
}

static weft_err relay_make(struct message_server *s)
{
	struct weft_bridge *b = s->bridge;
	struct relay_options options = { .name = *s->name ? s->name : "server",
		.outgoing = s->outgoing,
		.is_shared = b->options.session_shared,
		.caller_tells = bridge_has_one_session(b),
		.sessions_max = b->options.connections_max,
		.children_max = is_child(s) ? b->options.children_max : b->options.connections_max,
		.connect_timeout_ns = b->options.connect_timeout_ns,
		.read_timeout_ns = b->options.read_timeout_ns,
		.idle_timeout_ns = b->from.kind == ENDPOINT_HTTP ? idle_ns(b) : 0,
		.drain_timeout_ns = b->from.kind == ENDPOINT_HTTP ? 0 : b->options.drain_timeout_ns,
		.children = is_child(s) ? &b->counters.children_now : NULL,
		.session_last = &b->session_last,
		.on_event = told,
		.on_message = b->recorder ? recorded : NULL,
		.user = b,
		.pool = b->pool };

	return relay_create(&s->relay, &options);
}

static weft_err path_make(struct message_server *s)
{
	const struct weft_bridge *b = s->bridge;
	const char *slash = *s->name ? "/" : "";
	size_t size = strlen(s->name) + strlen(b->from.http.path) + 2;

	s->path = mem_alloc(size);
	if (!s->path)
		return err_set(WEFT_ENOMEM);
	(void)snprintf(s->path, size, "%s%s%s", slash, s->name, b->from.http.path);
	size = strlen(b->name) + strlen(s->path) + 1;
	s->url = mem_alloc(size);
	if (!s->url)
		return err_set(WEFT_ENOMEM);
	/* b->name ends with FROM's path */
	(void)snprintf(s->url, size, "%.*s%s", (int)(strlen(b->name) - strlen(b->from.http.path)),
		b->name, s->path);
	return WEFT_OK;
}

static weft_err mcp_make(struct message_server *s)
{
	struct weft_bridge *b = s->bridge;
	weft_mcp_server_options options = WEFT_MCP_SERVER_OPTIONS_DEFAULT;
	weft_err err;

	if (b->from.kind != ENDPOINT_HTTP)
		return WEFT_OK;
	err = path_make(s);
	if (err)
		return err;
	options.transport = transport_options(b);
	options.sessions_max = b->options.connections_max;
	options.idle_timeout_ns = idle_ns(b) ? idle_ns(b) : INT64_MAX;
	options.token_file = b->options.token_file;
	options.any_revision = true;
	return weft_mcp_server_create(&s->mcp, b->messages->http, s->path, &options);
}

static weft_err server_make(struct message_server *s, struct weft_bridge *b, size_t n)
{
	weft_err err;

	s->bridge = b;
	s->entry = b->servers.count ? &b->servers.items[n] : NULL;
	s->name = s->entry ? s->entry->name : "";
	err = s->entry ? entry_make(s) : to_make(s);
	if (!err)
		err = relay_make(s);
	return err ? err : mcp_make(s);
}

/* ---- the HTTP server ---- */

static weft_err healthz(weft_http_exchange *x, void *arg)
{
	(void)arg;
	return weft_http_exchange_reply_text(x, 200, "ok\n", WEFT_FOREVER);
}

/* The listener's own, as a browser on this machine would name them, and those of the options. */
struct names {
	const char **list;
	char own[ORIGINS_OWN][ORIGIN_MAX];
};

static weft_err names_make(struct names *names, size_t own, const char *const *more)
{
	size_t count = 0;

	while (more && more[count])
		count++;
	names->list = mem_calloc(own + count + 1, sizeof(*names->list));
	if (!names->list)
		return err_set(WEFT_ENOMEM);
	for (size_t i = 0; i < own; i++)
		names->list[i] = names->own[i];
	for (size_t i = 0; i < count; i++)
		names->list[own + i] = more[i];
	return WEFT_OK;
}

static weft_err origins_make(struct names *names, const struct weft_bridge *b)
{
	static const char *const hosts[] = { "localhost", "127.0.0.1", "[::1]" };
	const char *scheme = b->from.tls.is_on ? "https" : "http";
	const char *address = weft_listener_name(b->listener) + strlen("tcp://");
	const char *port = strrchr(address, ':');
	size_t own = 0;

	for (; own < sizeof(hosts) / sizeof(hosts[0]); own++)
		(void)snprintf(names->own[own], ORIGIN_MAX, "%s://%s%s", scheme, hosts[own], port);
	(void)snprintf(names->own[own++], ORIGIN_MAX, "%s://%s", scheme, address);
	return names_make(names, own, b->options.allow_origins);
}

static weft_err hosts_make(struct names *names, const struct weft_bridge *b)
{
	static const char *const hosts[] = { "localhost", "127.0.0.1", "[::1]" };
	size_t own = 0;

	if (!is_list(b->options.allow_hosts))
		return WEFT_OK;
	for (; own < sizeof(hosts) / sizeof(hosts[0]); own++)
		(void)snprintf(names->own[own], ORIGIN_MAX, "%s", hosts[own]);
	return names_make(names, own, b->options.allow_hosts);
}

static weft_err http_make(struct weft_bridge *b)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	size_t message = b->options.message_size_max;
	struct names *names = mem_calloc(2, sizeof(*names)); /* origins, hosts */
	weft_err err;

	if (!names)
		return err_set(WEFT_ENOMEM);
	err = origins_make(&names[0], b);
	if (!err)
		err = hosts_make(&names[1], b);
	options.tls = b->from_tls;
	options.connections_max = b->options.connections_max;
	options.body_size_max = message ? message : MESSAGE_SIZE_DEFAULT;
	options.stop_timeout_ns = b->options.drain_timeout_ns;
	options.host_rule = WEFT_HTTP_HOST_LOOPBACK;
	options.origins = names[0].list;
	options.hosts = names[1].list;
	options.access = weft_http_access_log_text;
	if (!err)
		err = weft_http_server_create(&b->messages->http, &options);
	if (!err)
		err = weft_http_server_route(b->messages->http, "GET", "/healthz", healthz, NULL);
	mem_free(names[0].list);
	mem_free(names[1].list);
	mem_free(names);
	return err;
}

/* ---- opening and freeing ---- */

weft_err messages_open(struct weft_bridge *bridge)
{
	size_t count = bridge->servers.count ? bridge->servers.count : 1;
	struct messages *m = mem_calloc(1, sizeof(*m));
	weft_err err = WEFT_OK;

	if (!m)
		return err_set(WEFT_ENOMEM);
	bridge->messages = m;
	m->servers = mem_calloc(count, sizeof(*m->servers));
	if (!m->servers)
		return err_set(WEFT_ENOMEM);
	if (bridge->from.kind == ENDPOINT_HTTP)
		err = http_make(bridge);
	while (!err && m->count < count) {
		m->count++; /* what was made of it is freed with the others */
		err = server_make(&m->servers[m->count - 1], bridge, m->count - 1);
	}
	return err;
}

static void server_free(struct message_server *s)
{
	weft_mcp_server_free(s->mcp);
	relay_free(s->relay);
	weft_outgoing_free(s->outgoing);
	weft_http_fields_free(s->fields);
	words_fini(&s->env);
	mem_free(s->path);
	mem_free(s->url);
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
	for (size_t i = 0; i < m->count; i++)
		server_free(&m->servers[i]);
	weft_http_server_free(m->http);
	weft_http_client_unref(m->client);
	mem_free(m->servers);
	mem_free(m);
	bridge->messages = NULL;
}

const char *messages_server(const struct weft_bridge *bridge, size_t n, const char **name)
{
	const struct messages *m = bridge->messages;

	if (!m || n >= m->count || !m->servers[n].entry)
		return NULL;
	*name = m->servers[n].name;
	return m->servers[n].url;
}

void messages_reload(struct weft_bridge *bridge, struct faults *faults)
{
	struct messages *m = bridge->messages;

	for (size_t i = 0; m && i < m->count; i++) {
		if (m->servers[i].mcp && bridge->options.token_file)
			faults_add(faults, weft_mcp_server_reload(m->servers[i].mcp));
	}
}

void messages_stats_get(const struct weft_bridge *bridge, weft_bridge_stats *out)
{
	const struct messages *m = bridge->messages;

	for (size_t i = 0; m && i < m->count; i++) {
		struct relay_stats stats;

		if (!m->servers[i].relay)
			continue;
		relay_stats_get(m->servers[i].relay, &stats);
		out->sessions += stats.sessions;
		out->sessions_now += stats.sessions_now;
		out->sessions_refused += stats.sessions_refused;
		out->sessions_failed += stats.sessions_failed;
	}
}

/* ---- sessions ---- */

struct message_session {
	struct message_server *server;
	weft_transport *client; /* over HTTP */
	weft_conn *conn;	/* otherwise */
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
	struct weft_bridge *b = session.server->bridge;
	weft_deadline until = weft_after_ns(b->options.connect_timeout_ns);
	weft_err err = WEFT_OK;

	mem_free(arg);
	if (session.conn && !endpoint_is_mux(&b->from))
		err = endpoint_accept(&session.conn, b->from_tls, until);
	if (!err && session.conn)
		err = lines(&session.client, b, session.conn);
	if (!err)
		err = relay_serve(session.server->relay, session.client);
	if (err == WEFT_ECANCELED)
		(void)counter_add(&b->counters.cut, 1);
	if (bridge_has_one_session(b))
		only_ended(b, err);
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
	struct message_session session = { &bridge->messages->servers[0], NULL, conn };
	weft_err err;

	if (bridge_has_one_session(bridge) && !counter_try_add(&bridge->counters.only, 1, 1))
		return err_setf(WEFT_ECAPACITY, "%s: there is one session, and it has begun",
			weft_err_name(WEFT_ECAPACITY));
	err = session_spawn(&session, scope, worker);
	if (err && bridge_has_one_session(bridge))
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
};

/* Until no more come. */
static weft_err accept_fiber(void *arg)
{
	struct acceptor a = *(struct acceptor *)arg;
	weft_incoming *incoming = weft_mcp_server_incoming(a.server->mcp);
	weft_err err;

	mem_free(arg);
	for (;;) {
		struct message_session session = { a.server, NULL, NULL };
		unsigned worker;

		err = weft_incoming_accept(incoming, &session.client, WEFT_FOREVER);
		if (err == WEFT_ECLOSED || err == WEFT_ECANCELED)
			return WEFT_OK;
		if (!err) {
			worker = weft_transport_worker(session.client);
			if (worker >= weft_worker_count())
				worker = weft_worker_least_loaded();
			err = session_spawn(&session, a.sessions, worker);
			if (!err)
				continue;
			weft_transport_free(session.client);
		}
		accept_failed(a.server->bridge, err);
		if (weft_sleep_ms(RETRY_MS))
			return WEFT_OK;
	}
}

static weft_err acceptor_spawn(
	struct message_server *server, weft_scope *acceptors, weft_scope *sessions)
{
	struct acceptor *a = mem_alloc(sizeof(*a));
	weft_err err;

	if (!a)
		return err_set(WEFT_ENOMEM);
	*a = (struct acceptor){ server, sessions };
	err = weft_scope_spawn(acceptors, "sessions", accept_fiber, a);
	if (err)
		mem_free(a);
	return err;
}

/* Requests that are in flight are answered within the drain time-out; sessions over HTTP would not
 * end by themselves. */
static void drain(struct weft_bridge *b)
{
	struct messages *m = b->messages;
	weft_deadline until = weft_after_ns(b->options.drain_timeout_ns + STOP_MARGIN_NS);

	for (size_t i = 0; i < m->count; i++)
		weft_incoming_close(weft_mcp_server_incoming(m->servers[i].mcp));
	weft_http_server_stop(m->http);
	(void)!weft_http_server_wait(m->http, until);
	for (size_t i = 0; i < m->count; i++)
		relay_stop(m->servers[i].relay);
}

weft_err messages_serve(struct weft_bridge *bridge, weft_scope *scope)
{
	struct messages *m = bridge->messages;
	weft_scope *acceptors = NULL;
	weft_err err = weft_scope_create(&acceptors);

	for (size_t i = 0; !err && i < m->count; i++)
		err = acceptor_spawn(&m->servers[i], acceptors, scope);
	if (!err)
		err = weft_http_server_start(m->http, bridge->listener);
	if (!err)
		err = weft_cancel_wait(bridge->stopping, WEFT_FOREVER);
	if (!err)
		drain(bridge);
	weft_scope_free(acceptors);
	return err;
}
