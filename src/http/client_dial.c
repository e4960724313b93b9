/* SPDX-License-Identifier: MIT */
/*
 * A connection for a route, in the pool's fiber:
 *
 *	dial the origin, its socket, or the proxy
 *	  -> TLS to the proxy, if its URL is https
 *	  -> CONNECT, if there is a proxy and the origin's URL is https
 *	  -> TLS to the origin, if its URL is https
 */
#include "base/mem.h"
#include "http/client.h"
#include "http/proxy.h"

#include <weft/tls.h>

#include <stdio.h>
#include <string.h>

/* A dial's phases, in pool_dial_phase. */
enum { PHASE_RESOLVE, PHASE_CONNECT, PHASE_PROXY, PHASE_TLS };

static const char *phase_text(unsigned phase)
{
	static const char *const texts[] = { "resolve", "connect", "proxy", "TLS handshake" };

	return texts[phase];
}

/* --- targets -------------------------------------------------------------------------------- */

/* What a place of the pool keeps of a route. */
struct target {
	weft_http_url origin;
	weft_tls *tls;	    /* held; NULL: the client's */
	struct proxy proxy; /* used if there is a host in its URL */
	char *unix_path;    /* NULL: none */
	char *bad_proxy;    /* its URL does not parse; NULL: it does, or there is none */
};

static void target_free(void *context)
{
	struct target *target = context;

	weft_tls_unref(target->tls);
	weft_http_url_fini(&target->origin);
	proxy_fini(&target->proxy);
	mem_free(target->bad_proxy);
	mem_free(target->unix_path);
	mem_free(target);
}

static void *target_make(void *user, const void *from)
{
	const struct client_route *route = from;
	struct target *target = mem_calloc(1, sizeof(*target));
	char url[sizeof("https://[]:65535/") + NET_HOST_MAX];
	bool is_v6 = memchr(route->host, ':', route->host_len) != NULL;
	weft_err err;

	(void)user;
	if (!target)
		return NULL;
	target->tls = route->tls ? weft_tls_ref(route->tls) : NULL;
	(void)snprintf(url, sizeof(url), is_v6 ? "%s://[%.*s]:%u/" : "%s://%.*s:%u/",
		route->is_https ? "https" : "http", (int)route->host_len, route->host, route->port);
	err = weft_http_url_parse(&target->origin, url);
	if (!err && route->unix_path) {
		target->unix_path = mem_strdup(route->unix_path);
		err = target->unix_path ? WEFT_OK : WEFT_ENOMEM;
	}
	if (!err && route->proxy)
		err = proxy_parse(&target->proxy, route->proxy);
	if (route->proxy && (err == WEFT_EINVAL || err == WEFT_ENOSYS)) {
		target->bad_proxy = mem_strdup(route->proxy);
		err = target->bad_proxy ? WEFT_OK : WEFT_ENOMEM;
	}
	if (!err)
		return target;
	target_free(target);
	return NULL;
}

/* --- TLS ------------------------------------------------------------------------------------ */

/* The one with the system's roots, made once. */
static weft_err default_tls(weft_tls **out, weft_http_client *client)
{
	static const char *const protocols[] = { "http/1.1", NULL };
	weft_tls_client_options options = WEFT_TLS_CLIENT_OPTIONS_DEFAULT;
	weft_tls *made = NULL;
	weft_err err;

	*out = published_get(&client->default_tls);
	if (*out)
		return WEFT_OK;
	options.alpn = protocols;
	err = weft_tls_client_create(&made, &options);
	if (err)
		return err;
	rt_lock_acquire(&client->lock);
	*out = published_get(&client->default_tls);
	if (!*out) {
		published_set(&client->default_tls, made);
		*out = made;
		made = NULL;
	}
	rt_lock_release(&client->lock);
	weft_tls_unref(made);
	return WEFT_OK;
}

/* What was agreed on must be what is going to be spoken. */
static weft_err check_protocol(const weft_conn *conn)
{
	weft_tls_info info;
	weft_err err = weft_tls_info_get(conn, &info);

	if (err || !*info.alpn || strncmp(info.alpn, "http/1.", 7) == 0)
		return err;
	return err_setf(WEFT_EPROTO, "the TLS handshake chose the protocol '%.32s'", info.alpn);
}

static weft_err wrap(weft_http_client *client, weft_conn **conn, weft_tls *tls,
	const weft_http_url *url, weft_deadline until)
{
	weft_tls_connect_options options = { url->host, url->authority };
	weft_conn *raw = *conn;
	weft_err err = WEFT_OK;

	if (!tls)
		tls = client->options.tls;
	if (!tls)
		err = default_tls(&tls, client);
	if (err)
		return err;
	*conn = NULL;
	err = weft_tls_connect_with_own(conn, tls, raw, &options, until);
	return err ? err : check_protocol(*conn);
}

/* --- dialling ------------------------------------------------------------------------------- */

struct dialling {
	weft_http_client *client;
	const struct target *target;
	struct pool_dial_phase *phase;
	struct client_conn *conn;
	weft_deadline until;
};

static weft_err dial_socket(struct dialling *d)
{
	const struct target *target = d->target;
	const weft_http_url *url = target->proxy.url.host ? &target->proxy.url : &target->origin;
	bool is_v6 = strchr(url->host, ':') != NULL;
	struct net_dial_steps steps = { .step = &d->phase->value };
	char address[sizeof("tcp://[]:65535") + NET_HOST_MAX + NET_PATH_MAX];
	weft_err err;

	if (target->unix_path)
		(void)snprintf(address, sizeof(address), "unix:%.*s", (int)NET_PATH_MAX + 1,
			target->unix_path);
	else
		(void)snprintf(address, sizeof(address), is_v6 ? "tcp://[%s]:%u" : "tcp://%s:%u",
			url->host, url->port);
	err = net_dial(&d->conn->conn, address, &d->client->net, &steps, d->until);
	d->conn->resolve_ns = steps.resolve_ns;
	d->conn->connect_ns = steps.connect_ns;
	return err;
}

static weft_err pass_proxy(struct dialling *d)
{
	const struct target *target = d->target;
	const struct proxy *proxy = &target->proxy;
	weft_err err = WEFT_OK;

	if (!proxy->url.host)
		return WEFT_OK;
	counter_set(&d->phase->value, PHASE_PROXY);
	if (proxy->url.is_https)
		err = wrap(d->client, &d->conn->conn, NULL, &proxy->url, d->until);
	if (!err && target->origin.is_https)
		return proxy_connect(
			d->conn->conn, proxy, &target->origin, d->client->user_agent, d->until);
	d->conn->absolute = true;
	if (!err && proxy->authorization) {
		d->conn->proxy_authorization = mem_strdup(proxy->authorization);
		if (!d->conn->proxy_authorization)
			err = err_set(WEFT_ENOMEM);
	}
	return err;
}

static weft_err dial_all(struct dialling *d)
{
	weft_deadline connected;
	struct proxy none;
	weft_err err;

	if (d->target->bad_proxy) /* the same error again, now for who is told */
		return proxy_parse(&none, d->target->bad_proxy);
	err = dial_socket(d);
	if (err)
		return err;
	connected = weft_now();
	err = pass_proxy(d);
	if (!err && d->target->origin.is_https) {
		counter_set(&d->phase->value, PHASE_TLS);
		err = wrap(d->client, &d->conn->conn, d->target->tls, &d->target->origin, d->until);
	}
	if (d->target->origin.is_https || d->target->proxy.url.host)
		d->conn->tls_ns = weft_now() - connected;
	return err;
}

static void conn_free(struct client_conn *conn)
{
	weft_conn_free(conn->conn);
	mem_free(conn->proxy_authorization);
	mem_free(conn);
}

static weft_err dial(void *user, void *context, struct pool_dial_phase *phase,
	struct pool_conn **out, weft_deadline until)
{
	struct dialling d = { user, context, phase, mem_calloc(1, sizeof(*d.conn)), until };
	weft_err err;

	if (!d.conn)
		return err_setf(WEFT_ENOMEM, "connect: out of memory");
	err = dial_all(&d);
	if (err) {
		conn_free(d.conn);
		return err;
	}
	refcount_hold(&d.client->refs);
	d.conn->client = d.client;
	*out = &d.conn->pool;
	return WEFT_OK;
}

static void close_conn(struct pool_conn *pool_conn)
{
	struct client_conn *conn = client_conn_of(pool_conn);

	weft_conn_free(conn->conn);
	conn->conn = NULL;
}

static void destroy(struct pool_conn *pool_conn)
{
	struct client_conn *conn = client_conn_of(pool_conn);
	weft_http_client *client = conn->client;

	conn_free(conn);
	client_memory_unref(client);
}

const struct pool_ops client_pool_ops = {
	.dial = dial,
	.context_make = target_make,
	.context_free = target_free,
	.close = close_conn,
	.destroy = destroy,
	.phase_text = phase_text,
};
