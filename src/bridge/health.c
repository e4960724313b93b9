/* SPDX-License-Identifier: MIT */
/*
 * GET /healthz: whether the bridge takes sessions, and how its servers are.
 *
 *	200 ok		all is well
 *	200 degraded	some servers fail, others don't
 *	503 failing	all servers fail
 *	503 draining	it was told to stop
 *
 * A server fails for FAILING_NS after one did not start, or was lost before it answered, unless one has
 * answered since, of whatever session; then it is to be tried again, which nobody would do who was told
 * that it fails for good: servers start when somebody comes. One that is lost, and starts again, does
 * not fail: else a client that makes its own child crash would take the bridge from all others.
 *
 * Where tokens are asked for, who has none is told the first member alone: names of servers, and what
 * they say, are not for everybody.
 */
#include "base/err.h"
#include "bridge/messages.h"
#include "bridge/metrics.h"

#include <stdio.h>
#include <string.h>

#define FAILING_NS INT64_C(60000000000)
#define SECOND_NS INT64_C(1000000000)

enum health { HEALTH_OK, HEALTH_DEGRADED, HEALTH_FAILING, HEALTH_DRAINING };
static const char *const names[] = { "ok", "degraded", "failing", "draining" };

static uint64_t total(const struct counter *counters)
{
	uint64_t sum = 0;

	for (unsigned t = 0; t < COUNTS_TRANSPORTS; t++)
		sum += counter_get(&counters[t]);
	return sum;
}

static bool is_failing(const struct message_server *server)
{
	int64_t at = (int64_t)counter_get(&server->counts.failing_at);

	return at && weft_now() - at < FAILING_NS;
}

/* Of those that take sessions. */
static enum health health_of(const struct weft_bridge *b)
{
	const struct messages *m = b->messages;
	size_t open = 0, failing = 0;

	if (weft_cancel_is_cancelled(b->stopping))
		return HEALTH_DRAINING;
	for (size_t i = 0; m && i < messages_count(m); i++) {
		if (!message_server_is_open(m->servers[i]))
			continue;
		open++;
		failing += is_failing(m->servers[i]);
	}
	if (failing == 0)
		return HEALTH_OK;
	return failing < open ? HEALTH_DEGRADED : HEALTH_FAILING;
}

static void fault_write(struct grown_text *out, struct message_server *server)
{
	struct relay_counts *c = &server->counts;
	char fault[COUNTS_TEXT_MAX];
	int64_t at;

	rt_lock_acquire(&c->lock);
	memcpy(fault, c->fault, sizeof(fault));
	at = c->fault_at;
	rt_lock_release(&c->lock);
	if (!*fault) {
		grown_puts(out, "null");
		return;
	}
	grown_puts(out, "{\"message\":");
	grown_put_json(out, fault);
	grown_putf(out, ",\"seconds_ago\":%lld}", (long long)((weft_now() - at) / SECOND_NS));
}

static void server_write(struct grown_text *out, struct message_server *server, bool is_open)
{
	const struct relay_counts *c = &server->counts;

	grown_puts(out, "{\"name\":");
	grown_put_json(out, message_server_label(server));
	grown_putf(out, ",\"status\":\"%s\"",
		!is_open		     ? "removed"
			: is_failing(server) ? "failing"
					     : "ok");
	grown_putf(out, ",\"sessions\":%llu,\"%s\":%llu",
		(unsigned long long)total(c->sessions_now),
		counter_get(&server->is_child) ? "children" : "connections",
		(unsigned long long)counter_get(&c->servers_now));
	grown_putf(out, ",\"starts\":%llu,\"restarts\":%llu,\"losses\":%llu,\"last_error\":",
		(unsigned long long)counter_get(&c->servers),
		(unsigned long long)counter_get(&c->restarts),
		(unsigned long long)counter_get(&c->lost));
	fault_write(out, server);
	grown_puts(out, "}");
}

static void details(struct grown_text *out, const struct weft_bridge *b)
{
	const struct messages *m = b->messages;
	weft_bridge_stats stats;
	bool is_first = true;

	weft_bridge_stats_get(b, &stats);
	grown_putf(out, ",\"version\":\"%s\",\"uptime_seconds\":%lld", WEFT_VERSION,
		(long long)((weft_now() - b->opened_at) / SECOND_NS));
	grown_putf(out, ",\"sessions\":{\"now\":%zu,\"max\":%zu,\"total\":%llu,\"refused\":%llu}",
		stats.sessions_now, b->options.connections_max, (unsigned long long)stats.sessions,
		(unsigned long long)stats.sessions_refused);
	grown_putf(out, ",\"children\":{\"now\":%zu,\"max\":%zu}", stats.children_now,
		b->options.children_max);
	if (!m)
		return;
	grown_puts(out, ",\"servers\":[");
	for (size_t i = 0; i < messages_count(m); i++) {
		struct message_server *server = m->servers[i];
		bool is_open = message_server_is_open(server);

		if (!is_open && total(server->counts.sessions_now) == 0)
			continue;
		if (!is_first)
			grown_puts(out, ",");
		is_first = false;
		server_write(out, server, is_open);
	}
	grown_puts(out, "]");
}

weft_err health_handler(weft_http_exchange *x, void *arg)
{
	struct weft_bridge *b = arg;
	enum health health = health_of(b);
	struct grown_text text = { .text = NULL };
	weft_http_fields *fields = NULL;
	const char *json;
	weft_err err = weft_http_fields_create(&fields);

	if (!err)
		err = weft_http_fields_add(fields, "Content-Type", "application/json");
	if (!err)
		err = weft_http_fields_add(fields, "Cache-Control", "no-store");
	grown_putf(&text, "{\"status\":\"%s\"", names[health]);
	if (door_admits(&b->door, x))
		details(&text, b);
	grown_puts(&text, "}\n");
	json = grown_string(&text);
	if (!err && !json)
		err = err_set(WEFT_ENOMEM);
	if (!err)
		err = weft_http_exchange_reply(x, health >= HEALTH_FAILING ? 503 : 200, fields,
			json, text.len, WEFT_FOREVER);
	grown_fini(&text);
	weft_http_fields_free(fields);
	return err;
}
