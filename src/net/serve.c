/* SPDX-License-Identifier: MIT */
/* A fiber for each connection that a listener accepts. */
#define _GNU_SOURCE
#include <weft/log.h>
#include <weft/net.h>

#include "base/err.h"
#include "base/mem.h"
#include "rt/rt.h"

#include <limits.h>
#include <stdio.h>

#define PEER_SIZE 64 /* bytes of the peer's name that a log line repeats */
#define RETRY_MS 5   /* after memory ran out */

struct serve {
	weft_listener *listener;
	weft_scope *scope;
	const char *name;
	weft_err (*handler)(weft_conn *conn, void *arg);
	void *arg;
};

/* Of one connection; owned by its fiber, which may outlive the serve. */
struct session {
	weft_conn *conn;
	weft_err (*handler)(weft_conn *conn, void *arg);
	void *arg;
	char peer[PEER_SIZE];
};

/* The handler's error need not have come through this library. */
static const char *why(weft_err err)
{
	return err_slot_self()->err == err ? weft_error_detail() : weft_strerror(err);
}

static weft_err session_fiber(void *arg)
{
	struct session session = *(struct session *)arg;
	weft_err err;

	mem_free(arg);
	err = session.handler(session.conn, session.arg);
	if (err)
		weft_log(WEFT_LOG_WARN, "net", "%s: connection from %s: %s", weft_fiber_name(),
			session.peer, why(err));
	return WEFT_OK;
}

static weft_err session_spawn(const struct serve *serve, weft_conn *conn)
{
	struct session *session = mem_alloc(sizeof(*session));
	struct rt_spawn spawn = {
		.scope = serve->scope,
		.worker = weft_worker_least_loaded(),
		.node = UINT_MAX,
		.name = serve->name,
		.fn = session_fiber,
		.arg = session,
	};
	weft_err err;

	if (!session)
		return err_set(WEFT_ENOMEM);
	session->conn = conn;
	session->handler = serve->handler;
	session->arg = serve->arg;
	(void)snprintf(session->peer, sizeof(session->peer), "%s", weft_conn_peer_name(conn));
	err = rt_spawn(&spawn);
	if (err)
		mem_free(session);
	return err;
}

/* The next connection. Errors that pass are logged and waited out: WEFT_OK. */
static weft_err serve_one(const struct serve *serve)
{
	weft_conn *conn = NULL;
	weft_err err;

	err = weft_listener_accept(serve->listener, &conn, WEFT_FOREVER);
	if (!err)
		err = session_spawn(serve, conn);
	if (!err)
		return WEFT_OK;
	if (conn && err != WEFT_ECANCELED)
		weft_log(WEFT_LOG_ERROR, "net", "%s: connection from %s dropped: %s",
			serve->name ? serve->name : "serve", weft_conn_peer_name(conn),
			weft_error_detail());
	if (conn)
		weft_conn_abort(conn);
	weft_conn_free(conn);
	if (!conn && err == WEFT_ENOMEM)
		weft_log(WEFT_LOG_ERROR, "net", "%s: %s", serve->name ? serve->name : "serve",
			weft_error_detail());
	if (err == WEFT_ENOMEM || err == WEFT_ECAPACITY)
		return weft_sleep_ms(RETRY_MS);
	return err;
}

static weft_err serve_loop(void *arg)
{
	weft_err err;

	do {
		err = serve_one(arg);
	} while (!err);
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

static void stop_loop(void *arg)
{
	weft_scope_cancel(arg);
}

/*
 * The accepting fiber gets a scope of its own, below the caller's, and is cancelled
 * with the caller or with the scope that its sessions belong to.
 */
static weft_err serve_below(struct serve *serve)
{
	weft_cancel_watch *watch = NULL;
	weft_scope *own = NULL;
	weft_err err;

	err = weft_scope_create(&own);
	if (err)
		return err;
	err = weft_cancel_watch_create(&watch, weft_scope_token(serve->scope), stop_loop, own);
	if (err)
		goto out;
	err = weft_scope_spawn(own, serve->name, serve_loop, serve);
	if (!err)
		err = weft_scope_wait(own, WEFT_FOREVER);
	if (!err && weft_cancel_is_cancelled(weft_scope_token(serve->scope)))
		err = err_set(WEFT_ECANCELED);
out:
	if (watch)
		(void)weft_cancel_watch_free(watch);
	weft_scope_free(own);
	return err;
}

weft_err weft_listener_serve(weft_listener *listener, weft_scope *scope, const char *name,
	weft_err (*handler)(weft_conn *conn, void *arg), void *arg)
{
	struct serve serve = { listener, scope, name, handler, arg };

	/* In a fiber of that very scope no other is needed. */
	if (weft_fiber_token() == weft_scope_token(scope))
		return serve_loop(&serve);
	return serve_below(&serve);
}
