/* SPDX-License-Identifier: MIT */
#ifndef WEFT_MCP_SERVER_H
#define WEFT_MCP_SERVER_H

#include <weft/http_server.h>
#include <weft/transport.h>

WEFT_BEGIN_DECLS
/*
 * JSON-RPC sessions that come over HTTP, as the Model Context Protocol has them: Streamable HTTP with
 * sessions (2025-03-26 to 2025-11-25), without them (2026-07-28), and HTTP+SSE (2024-11-05).
 */

/* Zero is a good value of each field. Strings are copied. */
typedef struct weft_mcp_server_options {
	weft_transport_options transport; /* of its sessions */
	/* Paths of HTTP+SSE; NULL: the last segment of path replaced by "sse" and "messages". */
	const char *sse_path, *messages_path;
	bool sessions_off, stateless_off, sse_off; /* eras not served */
	/* A request without a session that names a revision which is not known here is handed on all
	 * the same: who serves the session refuses it (-32022), and knows what it speaks. */
	bool any_revision;

	size_t sessions_max; /* at once: 503; 0: 1000 */
	/* Of a principal, or, without tokens, of an address; 0: a tenth of sessions_max, and 100 at
	 * least, so that one client leaves room for others; SIZE_MAX: no limit. */
	size_t sessions_client_max;
	size_t requests_max; /* of a session, unanswered: 429; 0: 1000 */
	/* Of a session whose client has said nothing, and waits for nothing on a connection that is
	 * open: a request whose client has gone is no use of it. 0: 30 min. */
	int64_t idle_timeout_ns;
	int64_t session_timeout_ns;  /* of a session in all; 0: none */
	int64_t response_timeout_ns; /* for an answer: the client gets an error; 0: none */
	size_t replay_events_max;    /* of a session, for Last-Event-ID; 0: 1000 */
	size_t replay_bytes_max;     /* 0: 1 MiB */
	/* An answer that comes within that time, and before any other message that belongs to its
	 * request, is sent as JSON, not as an event stream; 0: 100 ms. */
	int64_t json_wait_ns;

	/* Who may come: a file with a token a line, "TOKEN" or "TOKEN NAME", '#' begins a comment.
	 * NULL: anybody that reaches it. */
	const char *token_file;
} weft_mcp_server_options;

#define WEFT_MCP_SERVER_OPTIONS_DEFAULT                                                          \
	{                                                                                        \
		WEFT_TRANSPORT_OPTIONS_DEFAULT, NULL, NULL, false, false, false, false, 0, 0, 0, \
			0, 0, 0, 0, 0, 0, NULL                                                   \
	}

typedef struct weft_mcp_server weft_mcp_server;

/*
 * Adds the routes of path (such as "/mcp") to the server's, and makes an incoming of what comes
 * there. The HTTP server is borrowed: it is stopped before this is freed. Its options host_rule,
 * origins, body_size_max and times hold for these routes, too.
 * Errors: WEFT_EINVAL (names the option), WEFT_EDUPLICATE (a route is there), WEFT_ENOMEM; as
 * reload for the token file.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_mcp_server_create(weft_mcp_server **out,
	weft_http_server *http, const char *path, const weft_mcp_server_options *options);
/* Its sessions; the server's own, until free. */
WEFT_API weft_incoming *weft_mcp_server_incoming(weft_mcp_server *server);
/* Reads the token file again; sessions of tokens that are gone end. On an error the tokens stay.
 * Blocks on the file. Errors: WEFT_EINVAL (which line, why), WEFT_EIO. */
WEFT_API WEFT_MUST_CHECK weft_err weft_mcp_server_reload(weft_mcp_server *server);

typedef struct weft_mcp_server_stats {
	uint64_t sessions, sessions_refused, sessions_expired;
	size_t sessions_now, streams_now, requests_now;
	uint64_t requests, refused_auth, resumed,
		replayed;    /* Host, Origin: weft_http_server_stats */
	size_t replay_bytes; /* kept now */
	uint64_t evicted;    /* events that were dropped to make room for others */
} weft_mcp_server_stats;
WEFT_API void weft_mcp_server_stats_get(const weft_mcp_server *server, weft_mcp_server_stats *out);
/* Ends its sessions (their owners still free them) and waits until they know. In a fiber; no call of
 * weft_incoming_accept may be under way. NULL is allowed. */
WEFT_API void weft_mcp_server_free(weft_mcp_server *server);

WEFT_END_DECLS
#endif
