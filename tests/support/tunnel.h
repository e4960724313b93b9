/* SPDX-License-Identifier: MIT */
#ifndef TUNNEL_H
#define TUNNEL_H

/* Tunnels inside one process, for tests: bridges that run, what they told, servers and
 * clients; over epoll and under the simulator. */
#include "support/both.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define UNUSED __attribute__((unused))
#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define ANYWHERE "tcp://127.0.0.1:0"

/* ---- what a bridge tells ---- */

struct told {
	pthread_mutex_t lock;
	unsigned warnings, errors; /* of the bridge as a whole */
	unsigned hints;		   /* of these, with "?v=" */
	unsigned sessions_failed;
	weft_err last_err; /* of sessions */
	char last[512];	   /* warning or error */
	char hint[512];	   /* the last of these */
};

UNUSED static void on_event(void *user, const weft_bridge_event *event)
{
	struct told *told = user;

	pthread_mutex_lock(&told->lock);
	if (event->session) {
		told->sessions_failed += event->err != WEFT_OK;
		told->last_err = event->err ? event->err : told->last_err;
	} else if (event->level <= WEFT_LOG_WARN) {
		told->warnings += event->level == WEFT_LOG_WARN;
		told->errors += event->level == WEFT_LOG_ERROR;
		told->hints += strstr(event->text, "?v=") != NULL;
		snprintf(told->last, sizeof(told->last), "%s", event->text);
		if (strstr(event->text, "?v="))
			snprintf(told->hint, sizeof(told->hint), "%s", event->text);
	}
	pthread_mutex_unlock(&told->lock);
}

UNUSED static unsigned told_hints(struct told *told)
{
	unsigned hints;

	pthread_mutex_lock(&told->lock);
	hints = told->hints;
	pthread_mutex_unlock(&told->lock);
	return hints;
}

UNUSED static void await_hint(struct told *told)
{
	while (told_hints(told) == 0)
		want_ok(weft_sleep_ns(MS));
}

/* ---- a bridge that runs ---- */

struct running {
	weft_bridge *bridge;
	weft_fiber *fiber;
	weft_bridge_options options;
	struct told told;
	char from[128], to[128];
};

UNUSED static weft_err run_fiber(void *arg)
{
	return weft_bridge_run(arg);
}

UNUSED static void set(struct running *r, const char *from, const char *to)
{
	memset(r, 0, sizeof(*r));
	want(pthread_mutex_init(&r->told.lock, NULL) == 0);
	snprintf(r->from, sizeof(r->from), "%s", from);
	snprintf(r->to, sizeof(r->to), "%s", to);
	r->options = (weft_bridge_options)WEFT_BRIDGE_OPTIONS_DEFAULT;
	r->options.from = r->from;
	r->options.to = r->to;
	r->options.on_event = on_event;
	r->options.user = &r->told;
}

UNUSED static void start(struct running *r)
{
	want_ok(weft_bridge_open(&r->bridge, &r->options));
	want_ok(weft_spawn(&r->fiber, "bridge", run_fiber, r->bridge));
}

UNUSED static weft_bridge_stats stop(struct running *r)
{
	weft_bridge_stats stats;
	weft_err result;

	weft_bridge_stop(r->bridge);
	want_ok(weft_fiber_join(r->fiber, &result, WEFT_FOREVER));
	want_err(WEFT_OK, result);
	weft_bridge_stats_get(r->bridge, &stats);
	want(stats.sessions_now == 0 && stats.mux_sessions_now == 0);
	weft_bridge_free(r->bridge);
	want(pthread_mutex_destroy(&r->told.lock) == 0);
	return stats;
}

UNUSED static weft_bridge_stats stats_of(const struct running *r)
{
	weft_bridge_stats stats;

	weft_bridge_stats_get(r->bridge, &stats);
	return stats;
}

UNUSED static void await_muxes(const struct running *r, size_t count)
{
	while (stats_of(r).mux_sessions_now != count)
		want_ok(weft_sleep_ns(MS));
}

UNUSED static void await_sessions(const struct running *r, size_t count)
{
	while (stats_of(r).sessions_now != count)
		want_ok(weft_sleep_ns(MS));
}

/* The address that a bridge listens at, without what it speaks there. */
UNUSED static const char *bare(const char *name)
{
	return strncmp(name, "mux+", 4) == 0 ? name + 4 : name;
}

/* ---- server, far end, near end ---- */

struct tunnel {
	weft_listener *server;
	weft_scope *scope;
	weft_err (*handler)(weft_conn *conn, void *arg);
	struct running far, near;
};

UNUSED static weft_err serve_fiber(void *arg)
{
	struct tunnel *t = arg;

	return weft_listener_serve(t->server, t->scope, "handler", t->handler, t);
}

UNUSED static weft_err echo(weft_conn *conn, void *arg)
{
	weft_err err = weft_conn_copy(conn, conn, NULL, NULL, NULL, WEFT_FOREVER);

	(void)arg;
	if (!err)
		err = weft_conn_shutdown(conn);
	weft_conn_free(conn);
	return err;
}

UNUSED static void serve(struct tunnel *t, weft_err (*handler)(weft_conn *conn, void *arg))
{
	t->handler = handler;
	want_ok(weft_listen(&t->server, ANYWHERE, NULL, WEFT_FOREVER));
	want_ok(weft_scope_create(&t->scope));
	want_ok(weft_scope_spawn(t->scope, "server", serve_fiber, t));
}

UNUSED static void serve_end(struct tunnel *t)
{
	weft_listener_close(t->server);
	want_ok(weft_scope_wait(t->scope, WEFT_FOREVER));
	weft_scope_free(t->scope);
	weft_listener_free(t->server);
}

UNUSED static void near_to(struct tunnel *t, const char *options)
{
	char to[128];

	snprintf(to, sizeof(to), "%s%s", weft_bridge_name(t->far.bridge), options);
	set(&t->near, "listen:" ANYWHERE, to);
}

/* What a test asks of both ends; zeroed: nothing. */
struct asked {
	const char *options;	/* of the mux endpoint at the near end; v= at the far end too */
	size_t connections_max; /* the far end's */
	bool cuts;		/* no time to drain */
};

UNUSED static void tunnel_start(
	struct tunnel *t, weft_err (*handler)(weft_conn *conn, void *arg), struct asked asked)
{
	const char *options = asked.options ? asked.options : "";

	serve(t, handler);
	set(&t->far,
		strstr(options, "v=1") ? "listen:mux+" ANYWHERE "?v=1" : "listen:mux+" ANYWHERE,
		weft_listener_name(t->server));
	t->far.options.connections_max = asked.connections_max;
	t->far.options.drain_timeout_ns = asked.cuts ? 0 : -1;
	start(&t->far);
	near_to(t, options);
	t->near.options.drain_timeout_ns = t->far.options.drain_timeout_ns;
	start(&t->near);
}

UNUSED static weft_conn *dial(const struct running *r)
{
	weft_conn *conn;

	want_ok(weft_dial(&conn, bare(weft_bridge_name(r->bridge)), NULL, WEFT_FOREVER));
	return conn;
}

UNUSED static void say(weft_conn *conn, const char *text)
{
	want_ok(weft_conn_write(conn, text, strlen(text), NULL, WEFT_FOREVER));
}

UNUSED static void hear(weft_conn *conn, const char *text)
{
	char buf[64];

	want_ok(weft_conn_read_full(conn, buf, strlen(text), NULL, WEFT_FOREVER));
	want(memcmp(buf, text, strlen(text)) == 0);
}

/* How the stream ends after whatever else comes. */
UNUSED static weft_err ending(weft_conn *conn)
{
	char buf[256];
	weft_err err;
	size_t got;

	do {
		err = weft_conn_read(conn, buf, sizeof(buf), &got, WEFT_FOREVER);
	} while (!err);
	return err;
}

/* As a session that is reset at once: the dial may hear of it, or the first read. */
UNUSED static weft_err session_ending(const struct running *r)
{
	weft_conn *conn = NULL;
	weft_err err = weft_dial(&conn, weft_bridge_name(r->bridge), NULL, WEFT_FOREVER);

	if (!err)
		err = ending(conn);
	weft_conn_free(conn);
	return err;
}

#endif
