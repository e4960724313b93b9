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

#include <weft/scope.h>

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
/* Reads token files again. */
void messages_reload(struct weft_bridge *bridge, struct faults *faults);
const char *messages_server(const struct weft_bridge *bridge, size_t n, const char **name);
void messages_stats_get(const struct weft_bridge *bridge, weft_bridge_stats *out);
/* When all sessions are over. In the bridge's fiber. */
void messages_fini(struct weft_bridge *bridge);

#endif
