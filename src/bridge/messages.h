/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_MESSAGES_H
#define BRIDGE_MESSAGES_H

/*
 * A bridge that carries messages: FROM or TO is http:, or there are servers with names. Each server
 * is a relay; sessions come to it over HTTP (weft_mcp_server, one a server, at a path of its own), or
 * as conns, with a message a line.
 */
#include "bridge/bridge.h"
#include "bridge/faults.h"
#include "bridge/message_server.h"
#include "sync/word.h"

#include <weft/http_server.h>
#include <weft/mutex.h>
#include <weft/scope.h>

#define MESSAGE_SERVERS_MAX ((size_t)4 * SERVERS_MAX) /* names in the life of a bridge */

struct messages {
	struct message_server **servers; /* the first `count` are there, and stay */
	struct word count;
	size_t servers_max;
	weft_http_client *client; /* NULL: no server is http: */
	weft_http_server *http;	  /* NULL: FROM is not http: */
	struct counter has_stdio; /* 1: TO's stdin and stdout are taken */

	weft_mutex *backends_lock;
	struct list backends; /* alive; under it */

	weft_mutex *reloading;	 /* over the next four */
	struct server_list list; /* those with names, as configured now */
	bool is_draining;
	weft_scope *acceptors, *sessions; /* NULL: not served */
};

/* What can be said before anything is opened. Errors: WEFT_EINVAL. */
WEFT_MUST_CHECK weft_err messages_check(const struct weft_bridge *bridge);
/* After the endpoints were opened; in the bridge's fiber. Errors: WEFT_EINVAL (a file), WEFT_ENOMEM;
 * messages_fini is called then, too. */
WEFT_MUST_CHECK weft_err messages_open(struct weft_bridge *bridge);
/* Serves sessions that come over HTTP, with fibers in scope, until the bridge is stopping; then those
 * that are under way get the drain time-out. Errors: WEFT_ECANCELED, WEFT_ENOMEM, WEFT_ECAPACITY. */
WEFT_MUST_CHECK weft_err messages_serve(struct weft_bridge *bridge, weft_scope *scope);
/* The session of a conn, on that worker; taken unless there is an error. Errors: as weft_scope_spawn. */
WEFT_MUST_CHECK weft_err messages_take(
	struct weft_bridge *bridge, weft_scope *scope, unsigned worker, weft_conn *conn);
/* Reads token files again, and which servers there are. */
void messages_reload(struct weft_bridge *bridge, struct faults *faults);
/* Sessions of a server are accepted. With messages.reloading. Errors: as weft_scope_spawn. */
WEFT_MUST_CHECK weft_err messages_accept(struct messages *m, struct message_server *server);
/* Another server, as the entry says (NULL: TO), the last of the list from now on. With
 * messages.reloading, or alone. Errors: as message_server_create. */
WEFT_MUST_CHECK weft_err messages_add(
	struct weft_bridge *bridge, const struct server_entry *entry, struct message_server **out);
static inline size_t messages_count(const struct messages *m)
{
	return word_get(&m->count);
}

/* --- message_reload.c --- */

/* What --servers FILE says now: servers that are new are added, those that it has no more take no
 * sessions, of those that are changed sessions that begin get what it says now. If it is not good all
 * stays. */
void message_servers_reload(struct weft_bridge *bridge, struct faults *faults);
const char *messages_server(const struct weft_bridge *bridge, size_t n, const char **name);
void messages_stats_get(const struct weft_bridge *bridge, weft_bridge_stats *out);
/* When all sessions are over. In the bridge's fiber. */
void messages_fini(struct weft_bridge *bridge);

#endif
