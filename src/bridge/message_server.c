/* SPDX-License-Identifier: MIT */
/* See message_server.h. */
#include "bridge/message_server.h"

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "bridge/mcp_server.h"
#include "bridge/messages.h"
#include "bridge/record.h"

#include <weft/mcp_client.h>

#include <stdio.h>
#include <string.h>

#define IDLE_DEFAULT_NS (INT64_C(30) * 60 * 1000000000)

weft_transport_options message_transport_options(const struct weft_bridge *b)
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

/* ---- backends: where they are ---- */

weft_err message_lines_own(weft_transport **out, const struct weft_bridge *bridge, weft_conn *conn)
{
	weft_transport_options options = message_transport_options(bridge);

	return weft_transport_lines_own(out, conn, &options);
}

static weft_err mux_connect(void *user, weft_transport **out, weft_deadline until)
{
	struct weft_bridge *b = user;
	weft_conn *conn;
	weft_err err = mux_pool_open(&b->to_pool, &conn, until);

	return err ? err : message_lines_own(out, b, conn);
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
	return err ? err : message_lines_own(out, b, conn);
}

static void nothing(void *user)
{
	(void)user;
}

/* A child's line on stderr. */
static void child_said(void *user, const char *name, const char *line)
{
	struct weft_bridge *b = user;
	size_t size = strlen(name) + strlen(line) + 3;
	char *text = mem_alloc(size);
	weft_bridge_event event = { .level = WEFT_LOG_INFO, .peer = "", .text = text };

	if (!text)
		return;
	(void)snprintf(text, size, "%s: %s", name, line);
	bridge_event(b, &event);
	mem_free(text);
}

static weft_err words_append(struct words *to, const struct words *from)
{
	weft_err err = WEFT_OK;

	for (size_t i = 0; !err && i < from->count; i++)
		err = words_add(to, from->argv[i], strlen(from->argv[i]));
	return err;
}

static weft_err child_make(
	struct backend *k, const struct server_entry *entry, const struct words *argv)
{
	struct weft_bridge *b = k->server->bridge;
	const char *name = k->server->name;
	weft_transport_options options = message_transport_options(b);
	weft_process_options process = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_err err = words_append(&k->env, &b->env);

	if (!err && entry)
		err = words_append(&k->env, &entry->env);
	if (err)
		return err;
	process.argv = (const char *const *)argv->argv;
	process.directory = entry ? entry->directory : NULL;
	process.env = (const char *const *)k->env.argv;
	process.pass_env = (const char *const *)b->pass_env.argv;
	process.stop_grace_ns = b->options.child_grace_ns;
	return weft_outgoing_process(
		&k->outgoing, *name ? name : argv->argv[0], &process, &options, child_said, b);
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

static weft_err url_make(
	struct backend *k, const struct server_entry *entry, const char *url, bool is_sse)
{
	struct weft_bridge *b = k->server->bridge;
	weft_mcp_client_options options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT;
	weft_err err = client_make(b->messages, b);

	if (err)
		return err;
	options.transport = message_transport_options(b);
	options.era = is_sse ? WEFT_MCP_SSE : WEFT_MCP_AUTO;
	options.gives_back = true;
	return outgoing_url_make(&k->to_url, &k->outgoing, b->messages->client, url,
		entry ? &entry->fields : NULL, b->to.http.header_file, &options);
}

static weft_err to_make(struct backend *k)
{
	static const weft_outgoing_ops mux_ops = { mux_connect, nothing };
	static const weft_outgoing_ops stdio_ops = { stdio_connect, nothing };
	struct weft_bridge *b = k->server->bridge;
	weft_transport_options options = message_transport_options(b);
	const struct endpoint *to = &b->to;

	if (to->kind == ENDPOINT_EXEC)
		return child_make(k, NULL, &to->words);
	if (to->kind == ENDPOINT_HTTP)
		return url_make(k, NULL, to->http.url, to->http.is_sse);
	if (to->kind == ENDPOINT_STDIO)
		return weft_outgoing_create(&k->outgoing, &stdio_ops, b, "stdio:");
	if (endpoint_is_mux(to))
		return weft_outgoing_create(&k->outgoing, &mux_ops, b, b->options.to);
	return weft_outgoing_dial(&k->outgoing, to->address, &to->net, b->to_tls,
		to->tls.server_name ? to->tls.server_name : to->tls.host, &options);
}

static weft_err entry_make(struct backend *k, const struct server_entry *e)
{
	weft_err err = e->url ? url_make(k, e, e->url, e->is_sse) : child_make(k, e, &e->argv);

	return err == WEFT_EINVAL ? err_wrap(err, "server \"%s\"", e->name) : err;
}

/* ---- backends: who comes to them ---- */

static void told(void *user, const weft_bridge_event *event)
{
	bridge_event(user, event);
}

/* A child, which --max-children counts, or a connection, of which each session has one. */
static bool is_child(const struct weft_bridge *b, const struct server_entry *entry)
{
	return entry ? !entry->url : b->to.kind == ENDPOINT_EXEC;
}

/* By what a client came; NULL: over HTTP, of which there are two kinds. */
static const char *came_by(const struct endpoint *from)
{
	if (from->kind == ENDPOINT_HTTP)
		return NULL;
	if (endpoint_is_mux(from))
		return "mux";
	if (from->kind == ENDPOINT_STDIO)
		return "stdio";
	return from->tls.is_on ? "tls" : from->kind == ENDPOINT_UNIX ? "unix" : "tcp";
}

static void recorded(void *user, const struct relay_message *message)
{
	const struct weft_bridge *b = user;
	struct relay_message line = *message;
	const char *kind = came_by(&b->from);

	if (kind)
		line.transport = kind;
	recorder_message(b->recorder, &line);
}

static weft_err relay_make(struct backend *k, bool has_children)
{
	struct weft_bridge *b = k->server->bridge;
	struct relay_options options = { .name = message_server_label(k->server),
		.outgoing = k->outgoing,
		.is_shared = b->options.session_shared,
		.caller_tells = bridge_has_one_session(b),
		.sessions_max = b->options.connections_max,
		.children_max = has_children ? b->options.children_max : b->options.connections_max,
		.connect_timeout_ns = b->options.connect_timeout_ns,
		.read_timeout_ns = b->options.read_timeout_ns,
		.idle_timeout_ns = b->from.kind == ENDPOINT_HTTP ? idle_ns(b) : 0,
		.session_timeout_ns =
			b->from.kind == ENDPOINT_HTTP ? 0 : b->options.session_timeout_ns,
		.drain_timeout_ns = b->from.kind == ENDPOINT_HTTP ? 0 : b->options.drain_timeout_ns,
		.counts = &k->server->counts,
		.children = has_children ? &b->counters.children_now : NULL,
		.session_last = &b->session_last,
		.on_event = told,
		.on_message = b->recorder ? recorded : NULL,
		.user = b,
		.pool = b->pool };

	return relay_create(&k->relay, &options);
}

/* ---- backends: their life ---- */

static void backends_lock(struct messages *m)
{
	weft_shield_begin();
	CHECK(weft_mutex_lock(m->backends_lock, WEFT_FOREVER) == WEFT_OK); /* shielded */
}

static void backends_unlock(struct messages *m)
{
	weft_mutex_unlock(m->backends_lock);
	weft_shield_end();
}

static void backend_free(struct backend *k)
{
	relay_free(k->relay);
	weft_outgoing_free(k->outgoing);
	outgoing_url_fini(&k->to_url);
	words_fini(&k->env);
	mem_free(k);
}

void backend_leave(struct backend *backend)
{
	struct messages *m;

	if (!backend || !refcount_drop(&backend->refs))
		return;
	m = backend->server->bridge->messages;
	backends_lock(m);
	list_remove(&backend->node);
	backends_unlock(m);
	backend_free(backend);
}

weft_err backend_create(
	struct backend **out, struct message_server *server, const struct server_entry *entry)
{
	struct messages *m = server->bridge->messages;
	struct backend *k = mem_calloc(1, sizeof(*k));
	weft_err err;

	if (!k) {
		(void)err_set(WEFT_ENOMEM);
		return WEFT_ENOMEM;
	}
	refcount_init(&k->refs, 1);
	k->server = server;
	err = entry ? entry_make(k, entry) : to_make(k);
	if (!err)
		err = relay_make(k, is_child(server->bridge, entry));
	if (err) {
		backend_free(k);
		return err;
	}
	backends_lock(m);
	list_push_back(&m->backends, &k->node);
	backends_unlock(m);
	*out = k;
	return WEFT_OK;
}

/* ---- servers ---- */

const char *message_server_label(const struct message_server *server)
{
	return *server->name ? server->name : "server";
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
	options.transport = message_transport_options(b);
	options.sessions_max = b->options.connections_max;
	options.idle_timeout_ns = idle_ns(b) ? idle_ns(b) : INT64_MAX;
	options.sessions_client_max = b->options.client_sessions_max;
	options.session_timeout_ns = b->options.session_timeout_ns;
	options.token_file = b->options.token_file;
	options.any_revision = true;
	return weft_mcp_server_create(&s->mcp, b->messages->http, s->path, &options);
}

weft_err message_server_create(
	struct message_server **out, struct weft_bridge *bridge, const struct server_entry *entry)
{
	struct message_server *s = mem_calloc(1, sizeof(*s));
	weft_err err;

	if (!s) {
		(void)err_set(WEFT_ENOMEM);
		return WEFT_ENOMEM;
	}
	s->bridge = bridge;
	s->name = mem_strdup(entry ? entry->name : "");
	if (!s->name) {
		mem_free(s);
		(void)err_set(WEFT_ENOMEM);
		return WEFT_ENOMEM;
	}
	err = mcp_make(s);
	if (!err && s->mcp)
		mcps_server_renew(s->mcp, false);
	if (err)
		message_server_free(s);
	else
		*out = s;
	return err;
}

void message_server_free(struct message_server *server)
{
	if (!server)
		return;
	weft_mcp_server_free(server->mcp);
	backend_leave(server->current);
	mem_free(server->path);
	mem_free(server->url);
	mem_free(server->name);
	mem_free(server);
}

struct backend *message_server_use(
	struct message_server *server, struct backend *backend, bool has_children)
{
	struct backend *before;

	rt_lock_acquire(&server->lock);
	before = server->current;
	server->current = backend;
	rt_lock_release(&server->lock);
	if (backend) /* else what there was is still to be told */
		counter_set(&server->is_child, has_children);
	if (server->mcp)
		mcps_server_renew(server->mcp, backend != NULL);
	return before;
}

struct backend *message_server_enter(struct message_server *server)
{
	struct backend *current;

	rt_lock_acquire(&server->lock);
	current = server->current;
	if (current)
		refcount_hold(&current->refs);
	rt_lock_release(&server->lock);
	return current;
}

bool message_server_is_open(struct message_server *server)
{
	bool is_open;

	rt_lock_acquire(&server->lock);
	is_open = server->current != NULL;
	rt_lock_release(&server->lock);
	return is_open;
}
