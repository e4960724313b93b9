/* SPDX-License-Identifier: MIT */
/*
 * A server's parts: made, counted, freed; its table of routes.
 */
#include "http/server.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>
#include <time.h>

/* ---- the table ---- */

static void table_ref(void *value)
{
	(void)weft_http_router_ref(value);
}

static void table_unref(void *value)
{
	weft_http_router_unref(value);
}

static const weft_cell_ops table_ops = { table_ref, table_unref };

static void use_free(struct http_use *use)
{
	if (!use)
		return;
	weft_http_router_unref(use->router);
	mem_free(use);
}

/* Another table than the shard has: it gets that one, or, without memory for it, this exchange
 * does. Takes the reference. */
static void use_change(weft_http_exchange *x, weft_http_router *router)
{
	struct http_shard *shard = x->shard;
	struct http_use *use = mem_alloc(sizeof(*use));

	x->router = router;
	x->use = use;
	if (!use)
		return;
	*use = (struct http_use){ router, 1 };
	if (shard->use && shard->use->users == 0)
		use_free(shard->use);
	shard->use = use;
}

void http_router_take(weft_http_exchange *x)
{
	const weft_cell *cell = x->server->router;
	weft_http_router *router = weft_cell_enter(cell);
	struct http_use *use = x->shard->use;

	/* the shard has a reference: no other table has that address */
	if (weft_likely(use && use->router == router)) {
		weft_cell_leave(cell);
		use->users++;
		x->use = use;
		x->router = router;
		return;
	}
	(void)weft_http_router_ref(router);
	weft_cell_leave(cell);
	use_change(x, router);
}

void http_router_give(weft_http_exchange *x)
{
	struct http_use *use = x->use;

	if (weft_likely(use != NULL)) {
		if (--use->users == 0 && use != x->shard->use)
			use_free(use);
	} else {
		weft_http_router_unref(x->router);
	}
	x->use = NULL;
	x->router = NULL;
}

weft_err weft_http_server_router_set(weft_http_server *server, weft_http_router *router)
{
	http_router_fix(router);
	return weft_cell_store(server->router, router);
}

weft_http_router *weft_http_server_router(weft_http_server *server)
{
	return weft_cell_load(server->router);
}

struct additions {
	const struct http_addition *list;
	size_t count;
};

static weft_err add_routes(void *arg, void *old, void **next)
{
	const struct additions *all = arg;
	weft_http_router *router = weft_http_router_ref(old);
	weft_err err = WEFT_OK;

	for (size_t i = 0; i < all->count && !err; i++) {
		const struct http_addition *a = &all->list[i];
		weft_http_router *more;

		err = http_router_with(&more, router, a->method, a->pattern, a->handler, a->arg);
		if (err)
			break;
		weft_http_router_unref(router);
		router = more;
	}
	if (err) {
		weft_http_router_unref(router);
		return err;
	}
	http_router_fix(router);
	*next = router;
	return WEFT_OK;
}

weft_err http_server_routes(
	weft_http_server *server, const struct http_addition *list, size_t count)
{
	struct additions all = { list, count };

	return weft_cell_update(server->router, add_routes, &all);
}

weft_err weft_http_server_route(weft_http_server *server, const char *method, const char *pattern,
	weft_http_handler handler, void *arg)
{
	struct http_addition addition = { method, pattern, handler, arg };

	return http_server_routes(server, &addition, 1);
}

/* ---- the date ---- */

static void date_renew(struct http_shard *shard, weft_deadline now)
{
	/* simulated: runs must repeat */
	shard->time_s = rt_is_sim() ? now / 1000000000 : (int64_t)time(NULL);
	shard->date_until = now + 1000000000;
	http1_date_format(shard->date, shard->time_s);
}

const char *http_date(struct http_shard *shard, weft_deadline now)
{
	if (weft_unlikely(now >= shard->date_until))
		date_renew(shard, now);
	return shard->date;
}

/* ---- making and freeing ---- */

static weft_err shards_make(weft_http_server *server)
{
	unsigned count = weft_worker_count();
	struct http_shard *shards = mem_aligned(CACHE_APART, count * sizeof(*shards));

	if (!shards)
		return err_setf(WEFT_ENOMEM, "%s: out of memory", server->options.name);
	memset(shards, 0, count * sizeof(*shards));
	for (unsigned i = 0; i < count; i++) {
		shards[i].server = server;
		list_init(&shards[i].conns);
		list_init(&shards[i].flushes);
	}
	server->shards = shards;
	server->shards_len = count;
	return WEFT_OK;
}

static void shards_free(weft_http_server *server)
{
	for (unsigned i = 0; i < server->shards_len; i++) {
		weft_buf_unref(&server->shards[i].spare_hot);
		weft_buf_unref(&server->shards[i].spare_out);
		use_free(server->shards[i].use);
	}
	mem_free(server->shards);
}

static weft_err table_make(weft_http_server *server, weft_http_router *given)
{
	weft_http_router *router = given;
	weft_err err;

	if (given) {
		(void)weft_http_router_ref(router);
	} else {
		err = weft_http_router_create(&router);
		if (err)
			return err;
	}
	http_router_fix(router);
	err = weft_cell_create(&server->router, router, &table_ops);
	weft_http_router_unref(router);
	return err;
}

/* All but the warden. */
static weft_err parts_make(weft_http_server *server, const weft_http_server_options *options)
{
	weft_err err = http_options_settle(server, options);

	if (!err)
		err = shards_make(server);
	if (!err)
		err = table_make(server, server->options.router);
	if (!err)
		err = weft_buf_pool_create(&server->pool, NULL);
	if (!err)
		err = weft_cancel_create(&server->stopping, server->options.stop);
	if (!err)
		err = weft_cancel_create(&server->stopped, NULL);
	if (!err)
		err = weft_once_create(&server->started, NULL);
	if (!err)
		err = weft_scope_create(&server->sessions);
	if (!err)
		err = weft_scope_create(&server->own);
	if (!err)
		err = http_tie_sessions(server);
	return err;
}

static void parts_free(weft_http_server *server)
{
	(void)weft_cancel_watch_free(server->sessions_tie);
	weft_scope_free(server->own);
	weft_scope_free(server->sessions);
	weft_once_free(server->started);
	weft_cancel_unref(server->stopping);
	weft_cancel_unref(server->stopped);
	weft_cell_free(server->router);
	shards_free(server);
	weft_buf_pool_free(server->pool);
	http_options_fini(server);
	mem_free(server);
}

weft_err weft_http_server_create(weft_http_server **out, const weft_http_server_options *options)
{
	weft_http_server *server;
	weft_err err;

	if (!weft_in_fiber())
		return err_setf(WEFT_EINVAL, "http server: it is made in a fiber");
	server = mem_calloc(1, sizeof(*server));
	if (!server)
		return err_setf(WEFT_ENOMEM, "http server: out of memory");
	err = parts_make(server, options);
	if (!err)
		err = weft_scope_spawn(server->own, "http warden", http_warden, server);
	if (err)
		parts_free(server);
	else
		*out = server;
	return err;
}

void weft_http_server_free(weft_http_server *server)
{
	if (!server)
		return;
	http_end(server);
	parts_free(server);
}

/* ---- counts ---- */

static void counts_add(weft_http_server_stats *out, const struct http_counts *counts)
{
	out->connections += counter_get(&counts->connections);
	out->connections_cut += counter_get(&counts->cut);
	out->requests += counter_get(&counts->requests);
	for (size_t i = 0; i < 6; i++)
		out->replies[i] += counter_get(&counts->replies[i]);
	out->timeouts += counter_get(&counts->timeouts);
	out->malformed += counter_get(&counts->malformed);
	out->forbidden += counter_get(&counts->forbidden);
	out->bytes_in += counter_get(&counts->bytes_in);
	out->bytes_out += counter_get(&counts->bytes_out);
	out->reads += counter_get(&counts->reads);
	out->writes += counter_get(&counts->writes);
}

void weft_http_server_stats_get(const weft_http_server *server, weft_http_server_stats *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < server->shards_len; i++)
		counts_add(out, &server->shards[i].counts);
	out->connections_refused = counter_get(&server->refused);
	out->connections_now = word_peek(&server->word) & (HTTP_COUNT_MAX - 1);
}
