/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_RELAY_H
#define BRIDGE_RELAY_H

/*
 * A relay: one named server for JSON-RPC, and the sessions of clients that use it. Each session has
 * a server of its own (a child, a connection), or all share one.
 *
 * What holds, whatever breaks when (link.h says how):
 *  - A request of a client's is answered once, by the server's answer or by an error that says
 *    what became of it; or its session has ended. What the client has cancelled is not answered
 *    (MCP, cancellation: none is to follow), but over HTTP, where each request is an exchange
 *    that has to end: there it is an error.
 *  - No message reaches another session than its own.
 *  - A server that is lost is started again, and initialized as before; its clients don't notice,
 *    but for errors in answer to what was in flight.
 *
 * Lifetime: one owner, who frees it when every relay_serve has returned.
 * Threads:  relay_serve in any number of fibers at once; stop and stats from anywhere.
 * Blocking: relay_serve, relay_free; in fibers.
 */
#include "base/counter.h"
#include "bridge/relay_counts.h"

#include <weft/bridge.h>
#include <weft/transport.h>

struct relay;

enum relay_direction {
	RELAY_TO_SERVER, /* from the client, as it came */
	RELAY_TO_CLIENT, /* as it goes out to it */
};

/* For whoever records. */
struct relay_message {
	uint64_t session; /* its number, as in events */
	enum relay_direction direction;
	const char *transport; /* the client's: weft_transport_kind */
	const char *server;    /* its name, as in the relay's options */
	const weft_message *message;
};

/* Zero is a good value of each field but name and outgoing. */
struct relay_options {
	const char *name;	 /* of the server: in errors and in the log; copied */
	weft_outgoing *outgoing; /* borrowed until relay_free */
	bool is_shared;		 /* one server for all sessions */
	/* The caller tells people why a session had no server (relay_serve's error): no warning does. */
	bool caller_tells;

	size_t sessions_max; /* at once; 0: 1000 */
	size_t children_max; /* servers at once; 0: 64 */
	size_t requests_max; /* of a session, in flight, either way; 0: 1000 */
	/* In a row, in vain, before clients are told; and connect_timeout_ns must have passed of one
	 * that was there before. 0: 5. */
	unsigned starts_max;
	size_t queue_max;	    /* shared: messages that wait for one slow client; 0: 1000 */
	size_t queue_bytes_max;	    /* ... and their bytes; 0: 16 MiB */
	int64_t connect_timeout_ns; /* for a server, and for its answer to initialize; 0: 10 s */
	int64_t read_timeout_ns;    /* longest silence while an answer is owed; 0: none */
	int64_t idle_timeout_ns;    /* of a session without messages and requests; 0: none */
	int64_t session_timeout_ns; /* of a session in all; 0: none */
	/* A client that ended in order still gets what it is owed, for so long: where that can
	 * be, as over stdio. 0: no. */
	int64_t drain_timeout_ns;

	/* Counted with others; borrowed until free; NULL: its own. */
	struct relay_counts *counts;
	struct counter *children;     /* now */
	struct counter *session_last; /* number of the last session */

	/* As weft_bridge_options. */
	void (*on_event)(void *user, const weft_bridge_event *event);
	/* Each message at the client's side, in whatever fiber it moves; NULL: nobody records. */
	void (*on_message)(void *user, const struct relay_message *message);
	void *user;
	weft_buf_pool *pool; /* of messages that the relay makes; may be NULL */
};

/* In a fiber. Errors: WEFT_EINVAL (names the option), WEFT_ENOMEM; shared: as weft_spawn. */
WEFT_MUST_CHECK weft_err relay_create(struct relay **out, const struct relay_options *options);
/*
 * Runs a client's session in the calling fiber until it is over, and frees the client, which was
 * not started. WEFT_OK: the client ended it, or it was idle, or the relay was stopped; otherwise why
 * it ended: WEFT_ECANCELED (the calling fiber), WEFT_ECAPACITY (a limit), WEFT_ERESET (the client
 * was lost), or what kept the server from starting.
 */
WEFT_MUST_CHECK weft_err relay_serve(struct relay *relay, weft_transport *client_own);
/* Ends every session; those that come later end at once. Idempotent; any thread. */
void relay_stop(struct relay *relay);
/* NULL is allowed. */
void relay_free(struct relay *relay);

struct relay_stats {
	uint64_t sessions, sessions_refused, sessions_failed;
	size_t sessions_now, servers_now;
	uint64_t servers_started, servers_lost; /* lost: not stopped by the relay */
	uint64_t requests;			/* of clients, sent to servers */
	uint64_t answers;			/* of servers, sent to clients */
	uint64_t errors;			/* answers made in a server's place */
	uint64_t cancelled;
	uint64_t late;	  /* messages of servers for nobody: dropped */
	uint64_t invalid; /* what was no message, either way */
};
void relay_stats_get(const struct relay *relay, struct relay_stats *out);

#endif
