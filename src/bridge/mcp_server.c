/* SPDX-License-Identifier: MIT */
/* A server's beginning and end, its options, its tokens. See mcp_server.h. */
#include "bridge/mcp_server.h"

#include "base/err.h"
#include "base/mem.h"
#include "bridge/transport.h"
#include "http/server.h"

#include <string.h>

#define SECONDS(n) (INT64_C(1000000000) * (n))
#define MILLISECONDS(n) (INT64_C(1000000) * (n))
#define ACCEPTING_MAX 64	/* sessions that nobody has taken yet */
#define CLIENT_SESSIONS_MIN 100 /* by default, of one client */
#define PATH_MAX_LEN ((size_t)1024)

/* ---- options ---- */

static weft_err bad_option(const char *name, const char *why)
{
	return err_setf(WEFT_EINVAL, "mcp server: %s: %s", name, why);
}

static weft_err check_path(const char *name, const char *path)
{
	if (!path || *path != '/' || strchr(path, '{') || strlen(path) > PATH_MAX_LEN)
		return bad_option(name, "is no path such as \"/mcp\"");
	return WEFT_OK;
}

static weft_err check_time(const char *name, int64_t ns)
{
	return ns < 0 ? bad_option(name, "is negative") : WEFT_OK;
}

/* path with another last segment. */
static char *sibling(const char *path, const char *segment)
{
	size_t len = (size_t)(strrchr(path, '/') - path) + 1, segment_size = strlen(segment) + 1;
	char *out = mem_alloc(len + segment_size);

	if (out) {
		memcpy(out, path, len);
		memcpy(out + len, segment, segment_size);
	}
	return out;
}

static weft_err copy_strings(
	weft_mcp_server *server, const char *path, const weft_mcp_server_options *o)
{
	server->path = mem_strdup(path);
	server->sse_path = o->sse_path ? mem_strdup(o->sse_path) : sibling(path, "sse");
	server->messages_path =
		o->messages_path ? mem_strdup(o->messages_path) : sibling(path, "messages");
	server->token_file = o->token_file ? mem_strdup(o->token_file) : NULL;
	if (!server->path || !server->sse_path || !server->messages_path ||
		(o->token_file && !server->token_file))
		return err_setf(WEFT_ENOMEM, "mcp server: out of memory");
	return WEFT_OK;
}

static size_t client_default(size_t sessions_max)
{
	return sessions_max / 10 > CLIENT_SESSIONS_MIN ? sessions_max / 10 : CLIENT_SESSIONS_MIN;
}

static void defaults(weft_mcp_server_options *o)
{
	o->sessions_max = o->sessions_max ? o->sessions_max : 1000;
	if (!o->sessions_client_max)
		o->sessions_client_max = client_default(o->sessions_max);
	o->requests_max = o->requests_max ? o->requests_max : 1000;
	o->idle_timeout_ns = o->idle_timeout_ns ? o->idle_timeout_ns : SECONDS(1800);
	o->replay_events_max = o->replay_events_max ? o->replay_events_max : 1000;
	o->replay_bytes_max = o->replay_bytes_max ? o->replay_bytes_max : (size_t)1 << 20;
	o->json_wait_ns = o->json_wait_ns ? o->json_wait_ns : MILLISECONDS(100);
}

static weft_err settle(
	weft_mcp_server *server, const char *path, const weft_mcp_server_options *options)
{
	weft_mcp_server_options *o = &server->options;
	weft_err err;

	if (options)
		*o = *options;
	err = transport_options_fill(&o->transport, &o->transport);
	if (!err)
		err = check_path("path", path);
	if (!err && o->sse_path)
		err = check_path("sse_path", o->sse_path);
	if (!err && o->messages_path)
		err = check_path("messages_path", o->messages_path);
	if (!err)
		err = check_time("idle_timeout_ns", o->idle_timeout_ns);
	if (!err)
		err = check_time("session_timeout_ns", o->session_timeout_ns);
	if (!err)
		err = check_time("response_timeout_ns", o->response_timeout_ns);
	if (!err)
		err = check_time("json_wait_ns", o->json_wait_ns);
	if (!err && o->sessions_off && o->stateless_off && o->sse_off)
		err = bad_option("sessions_off", "and all other eras: nothing is left");
	if (err)
		return err;
	defaults(o);
	err = copy_strings(server, path, o);
	/* the caller's are not looked at any more */
	o->sse_path = o->messages_path = o->token_file = NULL;
	return err;
}

/* ---- tokens ---- */

static weft_err load_tokens(weft_mcp_server *server)
{
	static const weft_cell_ops ops = { mcps_tokens_ref, mcps_tokens_unref };
	struct mcps_tokens *tokens;
	weft_err err = mcps_tokens_load(&tokens, server->token_file, NULL);

	if (err)
		return err;
	err = weft_cell_create(&server->tokens, tokens, &ops);
	mcps_tokens_unref(tokens);
	return err;
}

/* Those of before that are in the next no more. */
static void mark_gone(const struct mcps_tokens *before, const struct mcps_tokens *next)
{
	for (size_t i = 0; i < before->len; i++)
		if (!mcps_tokens_has(next, before->list[i]))
			(void)word_swap(&before->list[i]->gone, 1);
}

weft_err weft_mcp_server_reload(weft_mcp_server *server)
{
	struct mcps_tokens *before, *next = NULL;
	weft_err err;

	if (!server->tokens)
		return WEFT_OK;
	err = weft_mutex_lock(server->reloading, WEFT_FOREVER);
	if (err)
		return err;
	before = weft_cell_load(server->tokens);
	err = mcps_tokens_load(&next, server->token_file, before);
	if (!err)
		err = weft_cell_store(server->tokens, next);
	if (!err) {
		mark_gone(before, next);
		(void)word_swap(&server->reloaded, 1);
		bell_ring(&server->keeper);
	}
	weft_mutex_unlock(server->reloading);
	mcps_tokens_unref(before);
	mcps_tokens_unref(next);
	return err;
}

void mcps_server_renew(weft_mcp_server *server, bool is_open)
{
	(void)word_swap(&server->is_shut, !is_open);
	(void)word_swap(&server->epoch, word_get(&server->epoch) + 1);
	(void)word_swap(&server->renewed, 1);
	bell_ring(&server->keeper);
}

/* ---- the incoming ---- */

static weft_err incoming_accept(void *user, weft_transport **out, weft_deadline until)
{
	weft_mcp_server *server = user;

	return weft_chan_recv(server->accepting, out, until);
}

static void incoming_close(void *user)
{
	weft_mcp_server *server = user;

	weft_chan_close(server->accepting);
}

static void incoming_free(void *user)
{
	(void)user;
}

static weft_err incoming_make(weft_mcp_server *server)
{
	static const weft_incoming_ops ops = { incoming_accept, incoming_close, incoming_free };

	return weft_incoming_create(&server->incoming, &ops, server, server->path);
}

weft_incoming *weft_mcp_server_incoming(weft_mcp_server *server)
{
	return server->incoming;
}

/* ---- making ---- */

static void session_ref(uint64_t session)
{
	(void)mcps_session_ref(weft_map_pointer(session));
}

static void session_unref(uint64_t session)
{
	mcps_session_unref(weft_map_pointer(session));
}

static weft_err make_tables(weft_mcp_server *server)
{
	weft_map_options options = WEFT_MAP_OPTIONS_DEFAULT, plain = WEFT_MAP_OPTIONS_DEFAULT;
	weft_err err;

	options.keys = WEFT_MAP_BYTES;
	options.value_ref = session_ref;
	options.value_unref = session_unref;
	plain.keys = WEFT_MAP_BYTES;
	err = weft_map_create(&server->sessions, &options);
	options.keys = WEFT_MAP_INT;
	if (!err)
		err = weft_map_create(&server->stateless, &options);
	if (!err && server->options.sessions_client_max != SIZE_MAX && !server->token_file)
		err = weft_map_create(&server->addresses, &plain);
	if (!err)
		err = weft_chan_create(
			&server->accepting, sizeof(weft_transport *), ACCEPTING_MAX, NULL);
	if (!err)
		err = weft_mutex_create(&server->reloading);
	if (!err)
		err = weft_http_fields_create(&server->json);
	if (!err)
		err = weft_http_fields_add(server->json, "Content-Type", "application/json");
	return err;
}

static weft_err make_principals(weft_mcp_server *server)
{
	if (server->token_file)
		return load_tokens(server);
	server->anybody = mcps_principal_anybody();
	return server->anybody ? WEFT_OK : err_setf(WEFT_ENOMEM, "mcp server: out of memory");
}

static weft_err add_routes(weft_mcp_server *server, weft_http_server *http)
{
	const struct http_addition routes[] = {
		{ "POST", server->path, mcps_post, server },
		{ "GET", server->path, mcps_get, server },
		{ "DELETE", server->path, mcps_delete, server },
		{ "GET", server->sse_path, mcps_sse_get, server },
		{ "POST", server->messages_path, mcps_sse_post, server },
	};
	size_t count = sizeof(routes) / sizeof(routes[0]) - (server->options.sse_off ? 2 : 0);
	weft_err err = http_server_routes(http, routes, count);

	return err ? err_wrap(err, "mcp server: path %s", server->path) : WEFT_OK;
}

weft_err weft_mcp_server_create(weft_mcp_server **out, weft_http_server *http, const char *path,
	const weft_mcp_server_options *options)
{
	weft_mcp_server *server = mem_calloc(1, sizeof(*server));
	weft_err err;

	if (!server)
		return err_setf(WEFT_ENOMEM, "mcp server: out of memory");
	refcount_init(&server->refs, 1);
	heap_init(&server->checks);
	err = settle(server, path, options);
	if (!err)
		err = make_tables(server);
	if (!err)
		err = make_principals(server);
	if (!err)
		err = incoming_make(server);
	if (!err)
		err = mcps_keeper_start(server);
	if (!err)
		err = add_routes(server, http);
	if (err)
		weft_mcp_server_free(server);
	else
		*out = server;
	return err;
}

/* ---- the end ---- */

void mcps_server_unref(weft_mcp_server *server)
{
	if (!refcount_drop(&server->refs))
		return;
	weft_map_free(server->sessions);
	weft_map_free(server->stateless);
	weft_map_free(server->addresses);
	weft_cell_free(server->tokens);
	mcps_principal_unref(server->anybody);
	weft_chan_unref(server->accepting);
	weft_mutex_free(server->reloading);
	weft_http_fields_free(server->json);
	mem_free(server->path);
	mem_free(server->sse_path);
	mem_free(server->messages_path);
	mem_free(server->token_file);
	mem_free(server);
}

void weft_mcp_server_free(weft_mcp_server *server)
{
	if (!server)
		return;
	if (server->accepting)
		weft_chan_close(server->accepting);
	mcps_keeper_stop(server);
	weft_incoming_free(server->incoming);
	server->incoming = NULL;
	mcps_server_unref(server);
}

void weft_mcp_server_stats_get(const weft_mcp_server *server, weft_mcp_server_stats *out)
{
	const struct mcps_stats *s = &server->stats;

	*out = (weft_mcp_server_stats){
		.sessions = counter_get(&s->sessions),
		.sessions_refused = counter_get(&s->sessions_refused),
		.sessions_expired = counter_get(&s->sessions_expired),
		.sessions_now = counter_get(&s->sessions_now),
		.streams_now = counter_get(&s->streams_now),
		.requests_now = counter_get(&s->requests_now),
		.requests = counter_get(&s->requests),
		.refused_auth = counter_get(&s->refused_auth),
		.resumed = counter_get(&s->resumed),
		.replayed = counter_get(&s->replayed),
		.replay_bytes = counter_get(&s->replay_bytes),
		.evicted = counter_get(&s->evicted),
	};
}
