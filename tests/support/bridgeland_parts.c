/* SPDX-License-Identifier: MIT */
/* See bridgeland.h: what a bridge is made of, put together with bounds that are soon reached; its children
 * are at the other end of pairs in memory. */
#include "support/bridgeland.h"

#include "bridge/relay.h"

#include <weft/http_server.h>
#include <weft/mcp_server.h>

#include <stdlib.h>

struct parts {
	struct land_parts *outside;
	weft_listener *listener;
	weft_outgoing *outgoing;
	weft_http_server *http;
	weft_mcp_server *mcp;
	struct relay *relay;
	weft_scope *accepting, *sessions;
};

/* ---- its children ---- */

static weft_err child_connect(void *user, weft_transport **out, weft_deadline until)
{
	weft_transport_options options = WEFT_TRANSPORT_OPTIONS_DEFAULT;
	weft_conn *ends[2];
	weft_err err;

	(void)user;
	(void)until;
	if (!land_nap((int64_t)land_below(50 * LAND_MS)))
		return WEFT_ECANCELED;
	if (land_chance(land.plan.die))
		return WEFT_EREFUSED;
	err = weft_conn_pair(ends, 500 + land_below(5000));
	if (err)
		return err;
	options.message_size_max = LAND_MESSAGE_MAX;
	land_child_own(ends[1]);
	return weft_transport_lines_own(out, ends[0], &options);
}

static void nothing(void *user)
{
	(void)user;
}

static const weft_outgoing_ops child_ops = { child_connect, nothing };

/* ---- its sessions ---- */

struct served {
	struct parts *p;
	weft_transport *client;
};

static weft_err serve(void *arg)
{
	struct served served = *(struct served *)arg;
	weft_err err;

	free(arg);
	err = relay_serve(served.p->relay, served.client);
	(void)err; /* what becomes of it, its client sees */
	return WEFT_OK;
}

static weft_err accept_sessions(void *arg)
{
	struct parts *p = arg;
	weft_transport *client;
	weft_err err;

	while ((err = weft_incoming_accept(
			weft_mcp_server_incoming(p->mcp), &client, WEFT_FOREVER)) != WEFT_ECLOSED &&
		err != WEFT_ECANCELED) {
		struct served *served = err ? NULL : malloc(sizeof(*served));

		if (err) {
			both_sleep_ns(LAND_MS);
			continue;
		}
		want(served != NULL);
		*served = (struct served){ p, client };
		if (weft_scope_spawn(p->sessions, "session", serve, served)) {
			weft_transport_free(client);
			free(served);
		}
	}
	return WEFT_OK;
}

/* ---- life ---- */

static weft_err open_all(struct parts *p)
{
	weft_http_server_options http = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	weft_err err;

	http.stop_timeout_ns = (int64_t)land_below(LAND_SECOND);
	err = weft_listen(&p->listener, "tcp://0.0.0.0:80", NULL, WEFT_FOREVER);
	if (!err)
		err = weft_outgoing_create(&p->outgoing, &child_ops, p, "children");
	p->outside->relay.outgoing = p->outgoing;
	if (!err)
		err = relay_create(&p->relay, &p->outside->relay);
	if (!err)
		err = weft_http_server_create(&p->http, &http);
	if (!err)
		err = weft_mcp_server_create(&p->mcp, p->http, "/mcp", &p->outside->mcp);
	if (!err)
		err = weft_scope_create(&p->sessions);
	if (!err)
		err = weft_scope_create(&p->accepting);
	if (!err)
		err = weft_scope_spawn(p->accepting, "accepts", accept_sessions, p);
	return err ? err : weft_http_server_start(p->http, p->listener);
}

static void close_all(struct parts *p)
{
	weft_shield_begin();
	if (p->mcp)
		weft_incoming_close(weft_mcp_server_incoming(p->mcp));
	if (p->http)
		weft_http_server_stop(p->http);
	if (p->relay && land_below(2))
		relay_stop(p->relay);
	if (p->http)
		want_ok(weft_http_server_wait(p->http, land_patience()));
	if (p->relay)
		relay_stop(p->relay);
	weft_scope_free(p->accepting);
	weft_mcp_server_free(p->mcp);
	weft_scope_free(p->sessions);
	relay_free(p->relay);
	weft_http_server_free(p->http);
	weft_outgoing_free(p->outgoing);
	weft_listener_free(p->listener);
	weft_shield_end();
}

weft_err land_parts_run(struct land_parts *parts)
{
	struct parts p = { .outside = parts };
	weft_err err = open_all(&p);

	if (!err) {
		parts->is_up = true;
		parts->now = p.relay;
		err = weft_cancel_wait(parts->stop, WEFT_FOREVER);
		parts->is_up = false;
		parts->now = NULL;
	}
	close_all(&p);
	return err;
}

size_t land_parts_sessions(const struct land_parts *parts)
{
	struct relay_stats stats;

	if (!parts->now)
		return 0;
	relay_stats_get(parts->now, &stats);
	return stats.sessions_now;
}

void land_parts_plan(struct land_parts *parts)
{
	weft_mcp_server_options *m = &parts->mcp;
	struct relay_options *r = &parts->relay;

	*m = (weft_mcp_server_options)WEFT_MCP_SERVER_OPTIONS_DEFAULT;
	m->transport.message_size_max = LAND_MESSAGE_MAX;
	m->sessions_max = land_below(3) ? 0 : 3 + land_below(4);
	m->requests_max = land_below(3) ? 0 : 1 + land_below(6);
	m->idle_timeout_ns = (int64_t)(1 + land_below(60)) * LAND_SECOND;
	m->session_timeout_ns = land_below(4) ? 0 : (int64_t)(2 + land_below(20)) * LAND_SECOND;
	m->response_timeout_ns = land_below(3) ? 0 : (int64_t)(1 + land_below(20)) * LAND_SECOND;
	m->replay_events_max = 2 + land_below(20);
	m->replay_bytes_max = 1000 + land_below(20000);
	m->json_wait_ns = 1 + (int64_t)land_below(200 * LAND_MS);

	*r = (struct relay_options){ .name = "parts", .is_shared = land_below(2) };
	r->connect_timeout_ns = (int64_t)(1 + land_below(10)) * LAND_SECOND;
	r->requests_max = land_below(2) ? 0 : 1 + land_below(8);
	r->children_max = land_below(3) ? 0 : 2 + land_below(3);
	r->sessions_max = land_below(4) ? 0 : 3 + land_below(3);
	r->starts_max = 1 + (unsigned)land_below(8);
	r->queue_max = land_below(2) ? 0 : 1 + land_below(20);
	r->queue_bytes_max = land_below(2) ? 0 : LAND_MESSAGE_MAX + land_below(20000);
	r->idle_timeout_ns = land_below(3) ? 0 : (int64_t)(1 + land_below(20)) * LAND_SECOND;
	r->session_timeout_ns = land_below(5) ? 0 : (int64_t)(2 + land_below(20)) * LAND_SECOND;
	if (land.plan.hold || land.plan.is_rough || land_below(2))
		r->read_timeout_ns = (int64_t)(1 + land_below(20)) * LAND_SECOND;
	land.plan.is_shared |= r->is_shared;
	land.plan.is_exact &= !r->session_timeout_ns && !m->session_timeout_ns;
}
