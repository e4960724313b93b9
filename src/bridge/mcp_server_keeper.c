/* SPDX-License-Identifier: MIT */
/*
 * The keeper: one fiber a server, which looks after the times of sessions, and brings them to their
 * ends.
 *
 *	born		new: into the heap, by the time at which to look at them
 *	ending		the gate is closed: requests that nobody will answer get errors, streams end
 *	finishing	nobody is inside the gate any more: the transport's owner is told
 *
 * Others put sessions into these lists, and ring. It can't be cancelled: the owners of transports
 * wait for it.
 */
#include "base/err.h"
#include "bridge/mcp_server.h"
#include "rt/rt.h"

#include <weft/log.h>
#include <weft/scope.h>

#define ANSWERS_LOOKED_AT 4 /* times within response_timeout_ns */
#define LOOK_MIN_NS INT64_C(10000000)
#define PAST_IDLE_NS INT64_C(1000000000) /* of a session that gets no more requests */

/* ---- times ---- */

static weft_deadline later(weft_deadline from, int64_t ns)
{
	return ns > 0 && from < WEFT_FOREVER - ns ? from + ns : WEFT_FOREVER;
}

static weft_deadline earlier(weft_deadline a, weft_deadline b)
{
	return a < b ? a : b;
}

static bool is_waiting(void *arg, weft_map_key key, uint64_t value)
{
	const struct mcps_stream *stream = weft_map_pointer(value);
	bool *found = arg;

	(void)key;
	*found = word_get(&stream->phase) == MCPS_WAITING;
	return !*found;
}

/* Does the client wait for something, on a connection that is open? A request alone is no sign of it:
 * its client may have gone, and the answer may never come. */
static bool has_client(const struct mcps_session *s)
{
	bool found = false;

	if (counter_get(&s->writers) > 0)
		return true;
	return counter_get(&s->requests) > 0 &&
		(weft_map_iterate(s->pending, is_waiting, &found) || found);
}

/* When its idle time is over, as far as can be told now. */
static weft_deadline idle_at(const struct mcps_session *s, weft_deadline now)
{
	int64_t idle_ns =
		mcps_session_is_past(s) ? PAST_IDLE_NS : s->server->options.idle_timeout_ns;
	weft_deadline at = later((weft_deadline)counter_get(&s->touched), idle_ns);

	return at <= now && has_client(s) ? later(now, idle_ns) : at;
}

/* Requests whose handlers have gone have nobody else to look at their time. */
static weft_deadline look_at_requests(struct mcps_session *s, weft_deadline now)
{
	int64_t timeout_ns = s->server->options.response_timeout_ns;
	int64_t step_ns = timeout_ns / ANSWERS_LOOKED_AT;

	if (timeout_ns <= 0)
		return WEFT_FOREVER;
	if (counter_get(&s->requests) > 0)
		mcps_requests_expire(s, now - timeout_ns);
	return now + (step_ns > LOOK_MIN_NS ? step_ns : LOOK_MIN_NS);
}

/* When to look at it next; it is ended if its time is over. */
static weft_deadline look_at(struct mcps_session *s, weft_deadline now)
{
	const weft_mcp_server_options *o = &s->server->options;
	weft_deadline old = later(s->born_at, o->session_timeout_ns);
	weft_deadline idle = idle_at(s, now);
	weft_deadline untaken = WEFT_FOREVER;

	if (!word_get(&s->started))
		untaken = later(s->born_at, o->transport.connect_timeout_ns);
	if (untaken <= now)
		mcps_session_end(s, MCPS_END_UNTAKEN);
	else if (old <= now)
		mcps_session_end(s, MCPS_END_OLD);
	else if (idle <= now)
		mcps_session_end(s, MCPS_END_IDLE);
	if (mcps_session_has_ended(s))
		return WEFT_FOREVER;
	return earlier(earlier(old, idle), earlier(untaken, look_at_requests(s, now)));
}

/* Returns when the next is due. */
static weft_deadline look_at_due(weft_mcp_server *server)
{
	weft_deadline now = weft_now();

	for (;;) {
		struct heap_node *node = heap_peek(&server->checks);
		struct mcps_session *s;

		if (!node || node->key > now)
			return node ? node->key : WEFT_FOREVER;
		s = container_of(node, struct mcps_session, check);
		heap_rekey(&server->checks, node, look_at(s, now), 0);
	}
}

/* ---- beginnings and ends ---- */

static void adopt(weft_mcp_server *server, struct mcps_session *s)
{
	server->alive++;
	s->check.key = weft_now();
	if (!heap_push(&server->checks, &s->check)) {
		weft_log(WEFT_LOG_ERROR, "mcp", "%s: out of memory for a session",
			weft_transport_name(s->transport));
		mcps_session_end(s, MCPS_END_CLOSED);
	}
}

/* Nobody will answer any more. */
static void wind_up(struct mcps_session *s)
{
	mcps_requests_fail(s, mcps_end_text(s));
	mcps_streams_wake(s);
}

/* In a fiber of its own: whoever is told may wait. */
static weft_err finish(void *arg)
{
	struct mcps_session *s = arg;
	weft_mcp_server *server = s->server;

	weft_shield_begin();
	weft_transport_deliver_end(s->transport, WEFT_ECLOSED, mcps_end_text(s));
	weft_shield_end();
	(void)word_swap(&s->finished, 1);
	bell_ring(&s->freeing);
	/* on the keeper's worker, as the keeper itself */
	server->alive--;
	bell_ring(&server->keeper);
	mcps_session_unref(s);
	return WEFT_OK;
}

static void begin_finish(weft_mcp_server *server, struct mcps_session *s)
{
	if (heap_contains(&s->check))
		heap_remove(&server->checks, &s->check);
	wind_up(s); /* what came in while the gate was being closed */
	if (weft_scope_spawn(server->scope, "mcp end", finish, s))
		(void)finish(s);
}

static void end_all(weft_mcp_server *server, bool all)
{
	for (size_t i = 0; i < server->checks.len; i++) {
		struct mcps_session *s =
			container_of(server->checks.slots[i].node, struct mcps_session, check);

		if (all || word_get(&s->principal->gone))
			mcps_session_end(s, all ? MCPS_END_SERVER : MCPS_END_TOKEN);
	}
}

/* Those of an earlier epoch have another idea of idleness. Who comes sooner moves towards the heap's
 * beginning, so that nobody is passed over. */
static void hasten(weft_mcp_server *server)
{
	weft_deadline now = weft_now();

	for (size_t i = 0; i < server->checks.len; i++) {
		struct heap_node *node = server->checks.slots[i].node;

		if (mcps_session_is_past(container_of(node, struct mcps_session, check)) &&
			node->key > now)
			heap_rekey(&server->checks, node, now, 0);
	}
}

/* What is in a later list was in the earlier ones before: so they are taken the other way round. */
static void take_lists(weft_mcp_server *server)
{
	struct push_node *finishing = pushlist_take(&server->finishing);
	struct push_node *ending = pushlist_take(&server->ending);
	struct push_node *born = pushlist_take(&server->born), *next;

	for (; born; born = next) {
		next = born->next;
		adopt(server, container_of(born, struct mcps_session, born_node));
	}
	if (word_swap(&server->reloaded, 0))
		end_all(server, false);
	if (word_swap(&server->renewed, 0))
		hasten(server);
	if (word_get(&server->stopping))
		end_all(server, true);
	for (; ending; ending = next) {
		next = ending->next;
		wind_up(container_of(ending, struct mcps_session, end_node));
	}
	for (; finishing; finishing = next) {
		next = finishing->next;
		begin_finish(server, container_of(finishing, struct mcps_session, finish_node));
	}
}

static bool has_work(const weft_mcp_server *server)
{
	return !pushlist_is_empty(&server->born) || !pushlist_is_empty(&server->ending) ||
		!pushlist_is_empty(&server->finishing) || word_get(&server->reloaded) ||
		word_get(&server->renewed);
}

static weft_err keeper(void *arg)
{
	weft_mcp_server *server = arg;

	weft_shield_begin();
	for (;;) {
		weft_deadline until;

		bell_set(&server->keeper, weft_parker_self());
		take_lists(server);
		until = look_at_due(server);
		if (has_work(server))
			continue;
		if (word_get(&server->stopping) && !server->alive)
			break;
		if (rt_park(until, "mcp: sessions") == WEFT_OK)
			continue;
	}
	bell_clear(&server->keeper);
	weft_shield_end();
	return WEFT_OK;
}

weft_err mcps_keeper_start(weft_mcp_server *server)
{
	/* it outlives the fiber that began it: owners of transports wait for it */
	weft_err err = rt_scope_create_root(&server->scope);

	if (!err)
		err = weft_scope_spawn(server->scope, "mcp keeper", keeper, server);
	return err;
}

void mcps_keeper_stop(weft_mcp_server *server)
{
	weft_transport *transport;

	if (!server->scope)
		return;
	weft_shield_begin();
	(void)word_swap(&server->stopping, 1);
	bell_ring(&server->keeper);
	while (weft_chan_recv(server->accepting, &transport, WEFT_NOW) == WEFT_OK)
		weft_transport_free(transport);
	if (weft_scope_wait(server->scope, WEFT_FOREVER))
		weft_log(WEFT_LOG_ERROR, "mcp", "a fiber has failed: %s", weft_error_detail());
	weft_scope_free(server->scope);
	server->scope = NULL;
	heap_fini(&server->checks);
	weft_shield_end();
}
