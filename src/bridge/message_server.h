/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_MESSAGE_SERVER_H
#define BRIDGE_MESSAGE_SERVER_H

/*
 * A server of messages: TO, or one of those with names. It is a place (a path, what is counted), and
 * behind it a backend: how it is started or reached, and the relay whose sessions use it. When its
 * configuration changes it gets another backend, for sessions that begin then; those before keep
 * theirs, which is freed with the last of them. Without a backend it takes no sessions. A place stays
 * until the bridge is freed, for whoever is on the way to its path.
 *
 * Threads: enter, leave, and looking at what never changes from any fiber; the rest by one at a time:
 *          who opens, who reloads (with messages.reloading), who frees.
 */
#include "base/list.h"
#include "base/refcount.h"
#include "bridge/bridge.h"
#include "bridge/outgoing_url.h"
#include "bridge/relay.h"

#include <weft/http_client.h>
#include <weft/mcp_server.h>

struct message_server;

struct backend {
	struct refcount refs; /* the server's, while it is current; each session's */
	struct list node;     /* in messages.backends */
	struct message_server *server;
	struct words env; /* the bridge's and its own */
	struct outgoing_url to_url;
	weft_outgoing *outgoing;
	struct relay *relay;
};

struct message_server {
	/* constant */
	struct weft_bridge *bridge;
	char *name;	      /* "" for TO */
	char *path, *url;     /* FROM is http: */
	weft_mcp_server *mcp; /* NULL: FROM is not http: */

	struct counter is_child; /* 1: the current backend, or the last one, starts children */
	struct rt_lock lock;
	struct backend *current; /* under lock; NULL: none */
	struct relay_counts counts;
};

/* entry NULL: TO. It has no backend yet. Errors: WEFT_EINVAL, WEFT_EDUPLICATE (its path), WEFT_ENOMEM;
 * as weft_mcp_server_create. In a fiber. */
WEFT_MUST_CHECK weft_err message_server_create(
	struct message_server **out, struct weft_bridge *bridge, const struct server_entry *entry);
/* NULL is allowed. No session is under way. */
void message_server_free(struct message_server *server);
/* Its relay is called as errors and the log shall call it. */
const char *message_server_label(const struct message_server *server);

/* As the entry says (NULL: as TO does); the entry is not needed any more then. Errors: WEFT_EINVAL
 * (names the server), WEFT_ENOMEM. In a fiber. */
WEFT_MUST_CHECK weft_err backend_create(
	struct backend **out, struct message_server *server, const struct server_entry *entry);
/* Sessions that begin from now on are its (taken), and those of requests without a session. NULL: none
 * begin. What was used before is the caller's, to let go of. */
WEFT_MUST_CHECK struct backend *message_server_use(
	struct message_server *server, struct backend *backend, bool is_child);
/* What a session that begins is to use, held; NULL: it is not to. */
struct backend *message_server_enter(struct message_server *server);
bool message_server_is_open(struct message_server *server);
/* Lets go of it: waits for its end if nobody else holds it. In a fiber. NULL is allowed. */
void backend_leave(struct backend *backend);

/* The options of transports of the bridge. */
weft_transport_options message_transport_options(const struct weft_bridge *bridge);
/* A message a line over conn, which is taken. */
WEFT_MUST_CHECK weft_err message_lines_own(
	weft_transport **out, const struct weft_bridge *bridge, weft_conn *conn);

#endif
