/* SPDX-License-Identifier: MIT */
/* Options, life and numbers of a client. */
#include "http/client.h"
#include "http/proxy.h"

#include "base/mem.h"

#include <weft/tls.h>

#include <stdlib.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)
#define TIME_MAX_NS (INT64_MAX / 2) /* more is no limit */
#define CONNECTIONS_DEFAULT 1024
#define CONNECTIONS_PER_KEY_DEFAULT 256
#define WAITERS_DEFAULT 65536
#define SHARDS_DEFAULT 16
#define INTERIM_DEFAULT 16
#define DRAIN_DEFAULT ((size_t)64 << 10)
#define USER_AGENT_SIZE_MAX 1024

/* --- options -------------------------------------------------------------------------------- */

/* 0: otherwise; -1: INT64_MAX. */
static weft_err settle_time(const char *name, int64_t *value, int64_t otherwise)
{
	if (*value < -1)
		return err_setf(WEFT_EINVAL,
			"weft_http_client_options.%s is %lld: it must be -1 or more", name,
			(long long)*value);
	if (*value == 0)
		*value = otherwise;
	else if (*value == -1 || *value > TIME_MAX_NS)
		*value = INT64_MAX;
	return WEFT_OK;
}

static weft_err settle_size(const char *name, size_t *value, size_t otherwise, size_t max)
{
	if (*value == 0)
		*value = otherwise;
	if (*value > max)
		return err_setf(WEFT_EINVAL,
			"weft_http_client_options.%s is %zu: allowed is up to %zu", name, *value,
			max);
	return WEFT_OK;
}

static weft_err settle_times(weft_http_client_options *o)
{
	weft_err err = settle_time("idle_timeout_ns", &o->idle_timeout_ns, 90 * SECOND_NS);

	if (!err)
		err = settle_time("connect_timeout_ns", &o->connect_timeout_ns, 30 * SECOND_NS);
	if (!err)
		err = settle_time("head_timeout_ns", &o->head_timeout_ns, INT64_MAX);
	if (!err)
		err = settle_time("stall_timeout_ns", &o->stall_timeout_ns, 60 * SECOND_NS);
	if (!err)
		err = settle_time("expect_timeout_ns", &o->expect_timeout_ns, SECOND_NS);
	return err;
}

static weft_err settle_sizes(weft_http_client_options *o)
{
	size_t shards = o->shards, interim = o->interim_max;
	weft_err err = settle_size("connections_max", &o->connections_max, CONNECTIONS_DEFAULT,
		WEFT_HTTP_CONNECTIONS_MAX);

	if (!err)
		err = settle_size("connections_per_key_max", &o->connections_per_key_max,
			CONNECTIONS_PER_KEY_DEFAULT, WEFT_HTTP_CONNECTIONS_MAX);
	if (!err)
		err = settle_size("waiters_max", &o->waiters_max, WAITERS_DEFAULT, SIZE_MAX);
	if (!err)
		err = settle_size("shards", &shards, SHARDS_DEFAULT, WEFT_HTTP_CLIENT_SHARDS_MAX);
	if (!err && (shards & (shards - 1)) != 0)
		err = err_setf(WEFT_EINVAL,
			"weft_http_client_options.shards is %zu: it must be a power of two",
			shards);
	if (!err)
		err = settle_size(
			"head_size_max", &o->head_size_max, HTTP1_HEAD_MAX, HTTP1_HEAD_MAX_MAX);
	if (!err)
		err = settle_size(
			"fields_max", &o->fields_max, HTTP1_FIELDS_MAX, WEFT_HTTP_FIELDS_MAX);
	if (!err)
		err = settle_size("interim_max", &interim, INTERIM_DEFAULT, UINT32_MAX);
	if (!err)
		err = settle_size("drain_max", &o->drain_max, DRAIN_DEFAULT, SIZE_MAX);
	if (o->idle_per_key_max == 0)
		o->idle_per_key_max = SIZE_MAX;
	if (o->body_size_max == 0)
		o->body_size_max = UINT64_MAX;
	o->shards = (unsigned)shards;
	o->interim_max = (unsigned)interim;
	return err;
}

static const char *environment_get(void *user, const char *name)
{
	(void)user;
	return getenv(name);
}

/* Our own copies of what the options point to. */
static weft_err take_options(weft_http_client *client, const weft_http_client_options *options)
{
	static const weft_net_options net = WEFT_NET_OPTIONS_DEFAULT;
	static const weft_http_client_options defaults = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
	weft_http_client_options *o = &client->options;
	const char *agent;
	weft_err err;

	*o = options ? *options : defaults;
	client->net = o->net ? *o->net : net;
	agent = o->user_agent ? o->user_agent : "weft/" WEFT_VERSION;
	err = settle_times(o);
	if (!err)
		err = settle_sizes(o);
	if (!err && (strlen(agent) > USER_AGENT_SIZE_MAX || !http1_is_value(agent, strlen(agent))))
		err = err_setf(WEFT_EINVAL,
			"weft_http_client_options.user_agent: no value for a header field");
	if (err)
		return err;
	if (*agent) {
		client->user_agent = mem_strdup(agent);
		if (!client->user_agent)
			return err_set(WEFT_ENOMEM);
	}
	client->tls_held = o->tls != NULL;
	if (o->tls)
		(void)weft_tls_ref(o->tls);
	if (o->proxy_env) {
		err = proxies_create(&client->proxies, environment_get, NULL);
		if (err)
			return err;
	}
	o->user_agent = client->user_agent;
	o->net = &client->net;
	return WEFT_OK;
}

/* --- life ----------------------------------------------------------------------------------- */

static weft_err make_parts(weft_http_client *client)
{
	const weft_http_client_options *o = &client->options;
	struct pool_options pool = {
		.ops = &client_pool_ops,
		.user = client,
		.conns_max = o->connections_max,
		.conns_per_place_max = o->connections_per_key_max,
		.idle_per_place_max = o->idle_per_key_max,
		.waiters_max = o->waiters_max,
		.shards = o->shards,
		.idle_timeout_ns = o->idle_timeout_ns,
		.dial_timeout_ns = o->connect_timeout_ns,
	};
	weft_err err;

	client->buffers = o->buffers;
	if (!client->buffers) {
		err = weft_buf_pool_create(&client->buffers, NULL);
		if (err)
			return err;
		client->owns_buffers = true;
	}
	return pool_create(&client->pool, &pool);
}

static void client_free(weft_http_client *client)
{
	pool_free(client->pool);
	weft_tls_unref(published_get(&client->default_tls));
	if (client->tls_held)
		weft_tls_unref(client->options.tls);
	if (client->owns_buffers)
		weft_buf_pool_free(client->buffers);
	proxies_free(client->proxies);
	mem_free(client->user_agent);
	mem_free(client);
}

weft_err weft_http_client_create(weft_http_client **out, const weft_http_client_options *options)
{
	weft_http_client *client = mem_calloc(1, sizeof(*client));
	weft_err err;

	if (!client)
		return err_set(WEFT_ENOMEM);
	refcount_init(&client->users, 1);
	refcount_init(&client->refs, 1);
	err = take_options(client, options);
	if (!err)
		err = make_parts(client);
	if (err)
		client_free(client);
	else
		*out = client;
	return err;
}

weft_http_client *weft_http_client_ref(weft_http_client *client)
{
	refcount_hold(&client->users);
	return client;
}

void client_memory_unref(weft_http_client *client)
{
	if (refcount_drop(&client->refs))
		client_free(client);
}

void weft_http_client_close(weft_http_client *client)
{
	pool_close(client->pool);
}

void weft_http_client_unref(weft_http_client *client)
{
	if (!client || !refcount_drop(&client->users))
		return;
	weft_http_client_close(client);
	client_memory_unref(client);
}

/* --- numbers -------------------------------------------------------------------------------- */

void weft_http_client_stats_get(const weft_http_client *client, weft_http_client_stats *out)
{
	struct pool_stats pool;

	pool_stats_get(client->pool, &pool);
	*out = (weft_http_client_stats){
		.dials = pool.dials,
		.dials_failed = pool.dials_failed,
		.reuses = pool.reuses,
		.retries = counter_get(&client->retries),
		.waits = pool.waits,
		.expired = pool.expired,
		.stale = counter_get(&client->stale),
		.evicted = pool.evicted,
		.connections_now = pool.conns,
		.dialling_now = pool.dialling,
		.idle_now = pool.idle,
		.waiting_now = pool.waiting,
		.keys_now = pool.places,
	};
}
