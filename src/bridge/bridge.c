/* SPDX-License-Identifier: MIT */
/* A bridge: its options, its listener, the loop that accepts, and the drain. */
#define _POSIX_C_SOURCE 200809L
#include "bridge/bridge.h"

#include "base/err.h"
#include "base/mem.h"
#include "bridge/endpoint_tls.h"
#include "bridge/faults.h"
#include "bridge/messages.h"
#include "bridge/metrics.h"
#include "bridge/record.h"
#include "bridge/session.h"
#include "net/process_env.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define CONNECTIONS_DEFAULT ((size_t)10000)
#define CONNECTIONS_MAX ((size_t)1 << 20)
#define CHILDREN_DEFAULT ((size_t)64)
#define CHILDREN_MAX ((size_t)65536)
#define SECOND_NS INT64_C(1000000000)
#define CONNECT_TIMEOUT_DEFAULT_NS (10 * SECOND_NS)
#define DRAIN_TIMEOUT_DEFAULT_NS (5 * SECOND_NS)
#define CHILD_GRACE_DEFAULT_NS (2 * SECOND_NS)
#define LISTEN_TIMEOUT_NS (30 * SECOND_NS) /* for the resolver, mostly */
#define POOL_LIVE_MAX ((size_t)256 << 20)  /* buffers of all flows together */
#define POOL_HELD_MAX ((size_t)16 << 20)
#define RETRY_MS 100
#define TEXT_MAX 512 /* an event's line */
#define CROWD 64     /* fibers more than elsewhere: then sessions go there */

void bridge_event(const struct weft_bridge *bridge, const weft_bridge_event *event)
{
	if (bridge->options.on_event)
		bridge->options.on_event(bridge->options.user, event);
	else if (event->session)
		weft_log(event->level, "bridge", "session %llu from %s: %s",
			(unsigned long long)event->session, event->peer, event->text);
	else
		weft_log(event->level, "bridge", "%s", event->text);
}

static void tell(const struct weft_bridge *b, weft_log_level level, weft_err err, const char *text)
{
	weft_bridge_event event = { .level = level, .peer = "", .err = err, .text = text };

	bridge_event(b, &event);
}

/* ---- options ---- */

static weft_err limit(size_t *value, const char *name, size_t fallback, size_t max)
{
	if (*value == 0)
		*value = fallback;
	if (*value > max)
		return err_setf(WEFT_EINVAL, "%s: %zu is above %zu", name, *value, max);
	return WEFT_OK;
}

static weft_err duration(int64_t *value, const char *name, int64_t fallback)
{
	if (*value < 0)
		return err_setf(WEFT_EINVAL, "%s: negative", name);
	if (*value == 0)
		*value = fallback;
	return WEFT_OK;
}

static weft_err numbers_check(weft_bridge_options *o)
{
	weft_err err =
		limit(&o->connections_max, "connections_max", CONNECTIONS_DEFAULT, CONNECTIONS_MAX);

	if (!err)
		err = limit(&o->children_max, "children_max", CHILDREN_DEFAULT, CHILDREN_MAX);
	if (!err)
		err = duration(
			&o->connect_timeout_ns, "connect_timeout_ns", CONNECT_TIMEOUT_DEFAULT_NS);
	if (!err)
		err = duration(&o->read_timeout_ns, "read_timeout_ns", 0);
	if (!err)
		err = duration(&o->idle_timeout_ns, "idle_timeout_ns", 0);
	if (!err)
		err = duration(&o->session_timeout_ns, "session_timeout_ns", 0);
	if (!err)
		err = duration(&o->child_grace_ns, "child_grace_ns", CHILD_GRACE_DEFAULT_NS);
	if (o->drain_timeout_ns < 0)
		o->drain_timeout_ns = DRAIN_TIMEOUT_DEFAULT_NS;
	return err;
}

/* A list of strings, none empty; each with a name and '=' or without any. */
static weft_err names_copy(
	struct words *out, const char *const *list, const char *what, bool values)
{
	if (!list || !list[0])
		return WEFT_OK;
	for (size_t i = 0; list[i]; i++) {
		const char *equals = strchr(list[i], '=');

		if (list[i][0] == '\0' || equals == list[i] || !equals == values)
			return err_setf(WEFT_EINVAL, "%s: \"%.64s\" is not %s", what, list[i],
				values ? "NAME=value" : "a name");
	}
	return words_copy(out, list);
}

static weft_err env_check(struct weft_bridge *b)
{
	const weft_bridge_options *o = &b->options;
	bool is_given = (o->env && o->env[0]) || (o->pass_env && o->pass_env[0]);
	weft_err err;

	if (is_given && b->to.kind != ENDPOINT_EXEC && b->servers.count == 0)
		return err_setf(
			WEFT_EINVAL, "an environment is for a child process, and TO is none");
	err = names_copy(&b->env, o->env, "env", true);
	if (!err)
		err = names_copy(&b->pass_env, o->pass_env, "pass_env", false);
	return err;
}

static weft_err endpoint_check(struct endpoint *out, const char *text, const char *role)
{
	weft_err err = endpoint_parse(out, text);

	return err == WEFT_EINVAL ? err_wrap(err, "%s \"%.128s\"", role, text) : err;
}

static weft_err endpoints_check(struct weft_bridge *b)
{
	const weft_bridge_options *o = &b->options;
	weft_err err;

	if (!o->from)
		return err_setf(WEFT_EINVAL, "FROM is missing");
	if (b->servers.count && (o->to || o->command))
		return err_setf(WEFT_EINVAL,
			"servers with names are in the place of TO: leave %s out",
			o->to ? "TO" : "-- and the command");
	if (!o->to && !o->command && !b->servers.count)
		return err_setf(WEFT_EINVAL, "TO is missing: an endpoint, or -- and a command");
	if (o->to && o->command)
		return err_setf(WEFT_EINVAL, "both TO \"%.128s\" and a command are given", o->to);
	err = endpoint_check(&b->from, o->from, "FROM");
	if (!err && o->metrics)
		err = endpoint_check(&b->metrics_at, o->metrics, "metrics (--metrics)");
	if (err)
		return err;
	if (b->servers.count)
		return WEFT_OK;
	if (o->to)
		return endpoint_check(&b->to, o->to, "TO");
	err = endpoint_command(&b->to, o->command);
	return err == WEFT_EINVAL ? err_wrap(err, "command after --") : err;
}

static weft_err pairing_check(const struct weft_bridge *b)
{
	const struct endpoint *from = &b->from, *to = &b->to;
	const weft_bridge_options *o = &b->options;

	if (from->kind == ENDPOINT_EXEC)
		return err_setf(WEFT_EINVAL,
			"FROM \"%.128s\": a child process accepts no sessions: it can only be TO",
			o->from);
	if (from->kind != ENDPOINT_STDIO && !from->is_listener && !endpoint_is_mux(from))
		return err_setf(WEFT_EINVAL,
			"FROM \"%.128s\": sessions are accepted with listen: in front: listen:%.128s",
			o->from, o->from);
	if (to->is_listener && !endpoint_is_mux(to))
		return err_setf(WEFT_EINVAL,
			"TO \"%.128s\": TO is dialled, one connection a session: leave listen: out",
			o->to);
	if (from->kind == ENDPOINT_STDIO && to->kind == ENDPOINT_STDIO && !b->servers.count)
		return err_setf(WEFT_EINVAL, "stdio: can't be both FROM and TO");
	if (to->kind == ENDPOINT_EXEC && from->is_listener && !from->is_local && !o->insecure &&
		!from->tls.client_ca && from->kind != ENDPOINT_HTTP)
		return err_setf(WEFT_EINVAL,
			"FROM \"%.128s\": anybody who reaches it could run %.128s; listen on "
			"127.0.0.1, [::1] or localhost, ask for certificates with tls:// and "
			"client-ca=, or allow it with --insecure",
			o->from, to->words.argv[0]);
	return WEFT_OK;
}

static weft_err servers_check(struct weft_bridge *b)
{
	const weft_bridge_options *o = &b->options;
	weft_err err = WEFT_OK;

	for (size_t i = 0; !err && o->servers && o->servers[i]; i++)
		err = servers_add(&b->servers, o->servers[i]);
	b->servers_given = b->servers.count;
	if (err || !o->servers_file)
		return err;
	b->servers_path = mem_strdup(o->servers_file);
	if (!b->servers_path)
		return err_set(WEFT_ENOMEM);
	return servers_load(&b->servers, o->servers_file);
}

/* One certificate for both ends, if both need one. */
static weft_err self_sign(struct weft_bridge *b, weft_tls_pem *pem)
{
	const struct endpoint *from = &b->from, *to = &b->to;
	const struct endpoint *e =
		from->tls.is_on && from->is_listener && !from->tls.cert ? from : to;
	weft_err err;

	if (!b->options.self_signed)
		return WEFT_OK;
	if (!e->tls.is_on || !e->is_listener || e->tls.cert)
		return err_setf(WEFT_EINVAL,
			"--self-signed: no listener of TLS is there that has no certificate");
	err = weft_tls_self_signed(pem, e->tls.host);
	if (!err)
		memcpy(b->fingerprint, pem->fingerprint, sizeof(b->fingerprint));
	return err;
}

static weft_err tls_make(weft_tls **out, const struct endpoint *e, const char *role,
	const char *text, const weft_tls_pem *pem)
{
	weft_err err;

	if (!e->tls.is_on)
		return WEFT_OK;
	err = endpoint_tls_create(out, e, pem->cert_pem ? pem : NULL);
	return err == WEFT_EINVAL ? err_wrap(err, "%s \"%.128s\"", role, text) : err;
}

static weft_err tls_check(struct weft_bridge *b)
{
	weft_tls_pem pem = { .cert_pem = NULL };
	weft_err err = self_sign(b, &pem);

	if (!err)
		err = tls_make(&b->from_tls, &b->from, "FROM", b->options.from, &pem);
	if (!err)
		err = tls_make(&b->to_tls, &b->to, "TO", b->options.to, &pem);
	weft_tls_pem_fini(&pem);
	pem = (weft_tls_pem){ .cert_pem = NULL };
	if (!err)
		err = tls_make(&b->metrics_tls, &b->metrics_at, "metrics (--metrics)",
			b->options.metrics, &pem);
	return err;
}

/* ---- making ---- */

static weft_err configured(struct weft_bridge **out, const weft_bridge_options *options)
{
	struct weft_bridge *b;
	weft_err err;

	if (!options)
		return err_setf(WEFT_EINVAL, "bridge: no options");
	b = mem_calloc(1, sizeof(*b));
	if (!b)
		return err_set(WEFT_ENOMEM);
	b->options = *options;
	err = numbers_check(&b->options);
	if (!err)
		err = servers_check(b);
	if (!err)
		err = endpoints_check(b);
	if (!err)
		err = pairing_check(b);
	if (!err)
		err = messages_check(b);
	if (!err)
		err = metrics_check(b);
	if (!bridge_has_messages(b) && b->options.idle_timeout_ns == INT64_MAX)
		b->options.idle_timeout_ns = 0;
	if (!err)
		err = env_check(b);
	if (!err)
		err = tls_check(b);
	if (err)
		weft_bridge_free(b);
	else
		*out = b;
	return err;
}

weft_err weft_bridge_check(const weft_bridge_options *options)
{
	weft_bridge *b = NULL;
	weft_err err = configured(&b, options);

	weft_bridge_free(b);
	return err;
}

/* A missing program is found now rather than at the first session. */
static weft_err program_check(const char *name)
{
	char *path = mem_alloc(PATH_MAX);
	weft_err err = path ? process_find_program(path, name) : err_set(WEFT_ENOMEM);

	mem_free(path);
	return err;
}

/* As the user would write it: with the real port and the path. */
static char *http_name_of(const struct endpoint *e, const char *address)
{
	const char *scheme = e->tls.is_on ? "https" : "http";
	size_t size = strlen(scheme) + strlen(address) + strlen(e->http.path) + 1;
	char *name = mem_alloc(size);

	if (name)
		(void)snprintf(name, size, "%s%s%s", scheme, address + strlen("tcp"), e->http.path);
	return name;
}

/* As the user would write it: with the real port, and the scheme it is of. */
static char *name_of(const struct endpoint *e, const char *address)
{
	const char *mux = endpoint_is_mux(e) ? "mux+" : "";
	size_t size = strlen(mux) + strlen(address) + 1;
	char *name;

	if (e->kind == ENDPOINT_HTTP)
		return http_name_of(e, address);
	name = mem_alloc(size);
	if (!name)
		return NULL;
	(void)snprintf(name, size, "%s%s", mux, address);
	if (e->tls.is_on) { /* "tls:" or "tcp:" */
		name[strlen(mux) + 1] = 'l';
		name[strlen(mux) + 2] = 's';
	}
	return name;
}

static weft_err listen_at(
	weft_listener **out, char **name, struct endpoint *e, size_t connections_max)
{
	weft_err err;

	e->net.connections_max = connections_max;
	err = weft_listen(out, e->address, &e->net, weft_after_ns(LISTEN_TIMEOUT_NS));
	if (err)
		return err;
	*name = name_of(e, weft_listener_name(*out));
	return *name ? WEFT_OK : err_set(WEFT_ENOMEM);
}

/* A reverse tunnel's first connection: when that fails, the rest is not worth waiting for.
 * One that is lost later is dialled again. */
static weft_err from_dial(struct weft_bridge *b)
{
	weft_err err = endpoint_dial(
		&b->first, &b->from, b->from_tls, weft_after_ns(b->options.connect_timeout_ns));

	if (err)
		return err_wrap(err, "open mux session");
	b->name = name_of(&b->from, weft_conn_peer_name(b->first));
	return b->name ? WEFT_OK : err_set(WEFT_ENOMEM);
}

static weft_err from_open(struct weft_bridge *b)
{
	size_t connections_max = b->options.connections_max;
	weft_err err;

	if (b->from.kind == ENDPOINT_STDIO)
		return weft_conn_stdio(&b->first);
	if (!b->from.is_listener)
		return from_dial(b);
	if (b->from.kind == ENDPOINT_HTTP) /* its server counts, and says 503 */
		connections_max = 0;
	/* the streams are counted; a mux session that was lost may be found out late */
	if (endpoint_is_mux(&b->from))
		connections_max += ENDPOINT_MUX_SESSIONS_MAX;
	err = listen_at(&b->listener, &b->name, &b->from, connections_max);
	if (err)
		return err;
	/* A name may stand for another address than it seems. */
	if ((b->to.kind == ENDPOINT_EXEC || b->from.kind == ENDPOINT_HTTP) &&
		!b->options.insecure && !b->from.tls.client_ca &&
		(b->from.kind != ENDPOINT_HTTP || !b->options.token_file) &&
		!endpoint_address_is_local(weft_listener_name(b->listener)))
		return err_setf(WEFT_EAUTH,
			"listen on %s: not a loopback address, and %s: --insecure would allow it",
			b->name,
			b->from.kind == ENDPOINT_HTTP ? "anybody would be let in"
						      : "TO is a child process");
	return WEFT_OK;
}

static weft_err to_open(struct weft_bridge *b)
{
	weft_err err = WEFT_OK;

	if (b->to.kind == ENDPOINT_EXEC)
		return program_check(b->to.words.argv[0]);
	if (b->to.is_listener)
		err = listen_at(&b->to_listener, &b->to_name, &b->to, ENDPOINT_MUX_SESSIONS_MAX);
	if (!err && endpoint_is_mux(&b->to))
		err = mux_pool_init(&b->to_pool, b->to_name ? b->to_name : b->to.address);
	return err;
}

static void told(void *user, const weft_bridge_event *event)
{
	bridge_event(user, event);
}

static weft_err record_open(struct weft_bridge *b)
{
	struct recorder_options options = {
		.path = b->options.record, .pool = b->pool, .on_event = told, .user = b
	};

	/* room for the largest message, twice */
	if (b->options.message_size_max > RECORD_PENDING_MAX / 2)
		options.pending_max = 2 * b->options.message_size_max;
	return b->options.record ? recorder_open(&b->recorder, &options) : WEFT_OK;
}

weft_err weft_bridge_open(weft_bridge **out, const weft_bridge_options *options)
{
	weft_buf_pool_options pool = { .held_max = POOL_HELD_MAX, .live_max = POOL_LIVE_MAX };
	weft_bridge *b = NULL;
	weft_err err;

	err = configured(&b, options);
	if (!b)
		return err;
	err = weft_buf_pool_create(&b->pool, &pool);
	if (!err)
		err = weft_cancel_create(&b->stopping, NULL);
	if (!err)
		err = record_open(b);
	if (!err && !b->servers.count)
		err = to_open(b);
	if (!err)
		err = from_open(b);
	if (!err)
		err = door_init(&b->door, b->options.token_file);
	if (!err)
		err = metrics_open(b);
	if (!err && bridge_has_messages(b))
		err = messages_open(b);
	b->opened_at = weft_now();
	if (err)
		weft_bridge_free(b);
	else
		*out = b;
	return err;
}

const char *weft_bridge_name(const weft_bridge *bridge)
{
	return bridge->name ? bridge->name : "stdio:";
}

const char *weft_bridge_fingerprint(const weft_bridge *bridge)
{
	return bridge->fingerprint[0] ? bridge->fingerprint : NULL;
}

weft_err weft_bridge_reload(weft_bridge *bridge)
{
	struct faults faults = { .err = WEFT_OK };

	/* each for itself: what is wrong with one says nothing of the others */
	if (bridge->from_tls)
		faults_add(&faults, endpoint_tls_error(weft_tls_reload(bridge->from_tls)));
	if (bridge->to_tls)
		faults_add(&faults, endpoint_tls_error(weft_tls_reload(bridge->to_tls)));
	messages_reload(bridge, &faults);
	metrics_reload(bridge, &faults);
	if (bridge->recorder)
		faults_add(&faults, recorder_reopen(bridge->recorder));
	return faults_error(&faults);
}

const char *weft_bridge_server(const weft_bridge *bridge, size_t n, const char **name)
{
	return messages_server(bridge, n, name);
}

const char *weft_bridge_to_name(const weft_bridge *bridge)
{
	return bridge->to_name;
}

void weft_bridge_free(weft_bridge *bridge)
{
	if (!bridge)
		return;
	metrics_fini(bridge);
	messages_fini(bridge);
	door_fini(&bridge->door);
	recorder_free(bridge->recorder);
	weft_listener_free(bridge->listener);
	weft_listener_free(bridge->to_listener);
	weft_conn_free(bridge->first);
	weft_tls_unref(bridge->from_tls);
	weft_tls_unref(bridge->to_tls);
	weft_tls_unref(bridge->metrics_tls);
	mux_pool_fini(&bridge->to_pool);
	weft_cancel_unref(bridge->stopping);
	weft_buf_pool_free(bridge->pool);
	servers_fini(&bridge->servers);
	mem_free(bridge->servers_path);
	words_fini(&bridge->env);
	words_fini(&bridge->pass_env);
	endpoint_fini(&bridge->from);
	endpoint_fini(&bridge->to);
	endpoint_fini(&bridge->metrics_at);
	mem_free(bridge->name);
	mem_free(bridge->to_name);
	mem_free(bridge->only_detail);
	mem_free(bridge);
}

/* ---- running ---- */

/* The listener failed to give a connection: a moment later it may. */
static weft_err accept_failed(struct weft_bridge *b, weft_err err)
{
	char text[ERR_TEXT_MAX];

	if (err == WEFT_ECLOSED || err == WEFT_ECANCELED)
		return err;
	(void)snprintf(text, sizeof(text), "%s", weft_error_detail());
	tell(b, WEFT_LOG_WARN, err, text);
	return weft_sleep_ms(RETRY_MS);
}

static void start_failed(struct weft_bridge *b, weft_conn *conn, weft_err err)
{
	char text[ERR_TEXT_MAX];

	(void)snprintf(text, sizeof(text), "session from %s: %s", weft_conn_peer_name(conn),
		weft_error_detail());
	tell(b, WEFT_LOG_ERROR, err, text);
	weft_conn_abort(conn);
	weft_conn_free(conn);
}

unsigned bridge_worker_for_session(struct weft_bridge *bridge)
{
	unsigned least = weft_worker_least_loaded(), beside = least;
	weft_worker_stats fewest, stats;

	if (endpoint_is_mux(&bridge->from))
		beside = weft_worker_self();
	else if (endpoint_is_mux(&bridge->to))
		beside = mux_pool_worker(&bridge->to_pool);
	if (beside == least || weft_worker_stats_get(beside, &stats) ||
		weft_worker_stats_get(least, &fewest))
		return least;
	return stats.fibers > fewest.fibers + CROWD ? least : beside;
}

static weft_err start(struct weft_bridge *b, weft_scope *sessions, unsigned worker, weft_conn *conn)
{
	return b->messages ? messages_take(b, sessions, worker, conn)
			   : session_start(b, sessions, worker, conn);
}

/* What was accepted: a session, or a mux session that brings them. */
static void take(struct weft_bridge *b, weft_scope *sessions, weft_conn *conn)
{
	weft_err err;

	if (endpoint_is_mux(&b->from)) {
		mux_side_take(&b->from_mux, conn);
		return;
	}
	err = start(b, sessions, bridge_worker_for_session(b), conn);
	if (err)
		start_failed(b, conn, err);
	else if (b->to.kind == ENDPOINT_STDIO)
		weft_listener_close(b->listener);
}

/* Until the bridge is stopping (WEFT_OK), or by cancellation. */
static weft_err serve_listener(struct weft_bridge *b, weft_scope *sessions)
{
	weft_conn *conn;
	weft_err err;

	for (;;) {
		err = weft_listener_accept(b->listener, &conn, WEFT_FOREVER);
		if (!err)
			take(b, sessions, conn);
		else
			err = accept_failed(b, err);
		if (err == WEFT_ECLOSED)
			return weft_cancel_wait(b->stopping, WEFT_FOREVER);
		if (err)
			return err;
	}
}

static weft_err serve(struct weft_bridge *b, weft_scope *sessions)
{
	weft_conn *first = b->first;
	weft_err err;

	if (b->from.kind == ENDPOINT_HTTP)
		return messages_serve(b, sessions);
	if (b->listener)
		return serve_listener(b, sessions);
	if (endpoint_is_mux(&b->from)) {
		b->first = NULL;
		err = mux_side_dial(&b->from_mux, first);
	} else {
		err = start(b, sessions, weft_worker_self(), first);
		if (!err)
			b->first = NULL;
	}
	return err ? err : weft_cancel_wait(b->stopping, WEFT_FOREVER);
}

/* Said once for each end: what whoever is on the way, or whoever comes, may do. */
static void warn_end(const struct weft_bridge *b, const struct endpoint *e, const char *name)
{
	const char *mux = endpoint_is_mux(e) ? "mux+" : "";
	char text[TEXT_MAX];

	if (endpoint_is_messages(e) && !e->tls.insecure)
		return;
	if (e->tls.insecure)
		(void)snprintf(text, sizeof(text),
			"%s%s://%s: any certificate is taken (insecure=1): whoever is on the way may "
			"read and change all of it",
			mux, endpoint_is_messages(e) ? "https" : "tls", e->tls.host);
	else if (!*mux || endpoint_address_is_local(name ? name + strlen(mux) : e->address))
		return;
	else if (!e->tls.is_on)
		(void)snprintf(text, sizeof(text),
			"mux+%s is no loopback address: mux+tcp is neither encrypted nor authenticated",
			name ? name + strlen(mux) : e->address);
	else if (e->is_listener && !e->tls.client_ca)
		(void)snprintf(text, sizeof(text),
			"%s is no loopback address: anybody may connect (client-ca= asks for "
			"certificates)",
			name);
	else
		return;
	tell(b, WEFT_LOG_WARN, WEFT_OK, text);
}

/* The mux sessions of TO come up while FROM is served already. */
static weft_err mux_start(struct weft_bridge *b, weft_scope *links, weft_scope *sessions)
{
	b->from_mux = (struct mux_side){
		.bridge = b, .endpoint = &b->from, .links = links, .sessions = sessions
	};
	b->to_mux = (struct mux_side){ .bridge = b,
		.endpoint = &b->to,
		.pool = &b->to_pool,
		.listener = b->to_listener,
		.links = links,
		.dials_once = b->from.kind == ENDPOINT_STDIO };
	if (!endpoint_is_mux(&b->to))
		return WEFT_OK;
	return b->to_listener ? mux_side_listen(&b->to_mux) : mux_side_dial(&b->to_mux, NULL);
}

/* What is alive of sessions and mux sessions comes to its end: in order, or by a reset. */
static void finish(struct weft_bridge *b, weft_scope *links, weft_scope *sessions, bool is_cut)
{
	counter_set(&b->is_cutting, is_cut);
	/* before the sessions: else the streams of those that are cut would end in order */
	weft_scope_free(links);
	weft_scope_free(sessions);
}

static void drain(struct weft_bridge *b, weft_scope *links, weft_scope *sessions)
{
	weft_err err = weft_scope_wait(sessions, weft_after_ns(b->options.drain_timeout_ns));
	uint64_t cut;
	char text[64];

	finish(b, links, sessions, err != WEFT_OK);
	cut = counter_get(&b->counters.cut);
	if (cut == 0)
		return;
	(void)snprintf(text, sizeof(text), "drained, %llu session%s cut", (unsigned long long)cut,
		cut == 1 ? " was" : "s were");
	tell(b, WEFT_LOG_WARN, WEFT_ECANCELED, text);
}

weft_err weft_bridge_run(weft_bridge *bridge)
{
	weft_scope *sessions = NULL, *links = NULL;
	weft_err err;

	warn_end(bridge, &bridge->from, bridge->name);
	warn_end(bridge, &bridge->to, bridge->to_name);
	err = weft_scope_create(&sessions);
	if (!err)
		err = weft_scope_create(&links);
	if (!err)
		err = metrics_start(bridge);
	if (!err)
		err = mux_start(bridge, links, sessions);
	if (!err)
		err = serve(bridge, sessions);
	if (err) {
		finish(bridge, links, sessions, true);
		return err;
	}
	drain(bridge, links, sessions);
	if (!bridge->only_err)
		return WEFT_OK;
	return err_setf(bridge->only_err, "%s",
		bridge->only_detail ? bridge->only_detail : weft_strerror(bridge->only_err));
}

void weft_bridge_stop(weft_bridge *bridge)
{
	weft_cancel_trigger(bridge->stopping, WEFT_OK);
	/* a server of HTTP closes its own */
	if (bridge->listener && bridge->from.kind != ENDPOINT_HTTP)
		weft_listener_close(bridge->listener);
}

void weft_bridge_stats_get(const weft_bridge *bridge, weft_bridge_stats *out)
{
	const struct bridge_counters *c = &bridge->counters;
	uint64_t refused = counter_get(&c->refused);

	if (bridge->listener) {
		weft_listener_stats listener;

		weft_listener_stats_get(bridge->listener, &listener);
		refused += listener.refused;
	}
	*out = (weft_bridge_stats){
		.mux_sessions = counter_get(&c->muxes),
		.mux_sessions_now = (size_t)counter_get(&c->muxes_now),
		.sessions = counter_get(&c->sessions),
		.sessions_failed = counter_get(&c->failed),
		.sessions_refused = refused,
		.sessions_cut = counter_get(&c->cut),
		.sessions_now = (size_t)counter_get(&c->sessions_now),
		.children_now = (size_t)counter_get(&c->children_now),
	};
	messages_stats_get(bridge, out);
	for (unsigned i = 0; i < BRIDGE_CELLS; i++) {
		out->bytes_in += counter_get(&c->cells[i].bytes_in);
		out->bytes_out += counter_get(&c->cells[i].bytes_out);
	}
}
