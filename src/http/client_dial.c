/* SPDX-License-Identifier: MIT */
/* A connection for a route: the dial, then TLS. In the pool's fiber. */
#include "base/mem.h"
#include "http/client.h"

#include <stdio.h>
#include <string.h>

/* A dial's phases, in pool_dial_phase. */
enum { PHASE_CONNECT, PHASE_TLS };

static const char *phase_text(unsigned phase)
{
	return phase == PHASE_TLS ? "TLS handshake" : "connect";
}

/* --- targets -------------------------------------------------------------------------------- */

static void target_free(void *context)
{
	struct client_target *target = context;

	mem_free(target->address);
	mem_free(target->host);
	mem_free(target->proxy);
	mem_free(target);
}

static char *address_make(const struct client_route *route)
{
	size_t size = route->host_len + (route->unix_path ? strlen(route->unix_path) : 0) + 32;
	bool is_v6 = memchr(route->host, ':', route->host_len) != NULL;
	char *address = mem_alloc(size);

	if (!address)
		return NULL;
	if (route->unix_path)
		(void)snprintf(address, size, "unix:%s", route->unix_path);
	else
		(void)snprintf(address, size, is_v6 ? "tcp://[%.*s]:%u" : "tcp://%.*s:%u",
			(int)route->host_len, route->host, route->port);
	return address;
}

static void *target_make(void *user, const void *from)
{
	const struct client_route *route = from;
	struct client_target *target = mem_calloc(1, sizeof(*target));

	(void)user;
	if (!target)
		return NULL;
	target->is_https = route->is_https;
	target->port = route->port;
	target->address = address_make(route);
	target->host = mem_strndup(route->host, route->host_len);
	target->proxy = route->proxy ? mem_strdup(route->proxy) : NULL;
	if (target->address && target->host && (target->proxy || !route->proxy))
		return target;
	target_free(target);
	return NULL;
}

/* --- dialling ------------------------------------------------------------------------------- */

static weft_err dial(void *user, void *context, struct pool_dial_phase *phase,
	struct pool_conn **out, weft_deadline until)
{
	weft_http_client *client = user;
	const struct client_target *target = context;
	struct client_conn *conn = mem_calloc(1, sizeof(*conn));
	struct net_dial_steps steps = { 0 };
	weft_err err;

	if (!conn)
		return err_setf(WEFT_ENOMEM, "connect %s: out of memory", target->address);
	if (target->is_https || target->proxy)
		err = err_setf(WEFT_ENOSYS, "https and proxies are not supported");
	else
		err = net_dial(&conn->conn, target->address, &client->net, &steps, until);
	(void)phase;
	if (!err) {
		refcount_hold(&client->refs);
		conn->client = client;
		conn->resolve_ns = steps.resolve_ns;
		conn->connect_ns = steps.connect_ns;
		conn->made_at = weft_now();
		*out = &conn->pool;
		return WEFT_OK;
	}
	mem_free(conn);
	return err;
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

	mem_free(conn);
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
