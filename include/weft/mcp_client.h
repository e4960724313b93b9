/* SPDX-License-Identifier: MIT */
#ifndef WEFT_MCP_CLIENT_H
#define WEFT_MCP_CLIENT_H

#include <weft/http_client.h>
#include <weft/transport.h>

WEFT_BEGIN_DECLS
/*
 * JSON-RPC sessions with a server over HTTP, as the Model Context Protocol has them; see
 * mcp_server.h.
 */
typedef enum weft_mcp_era {
	WEFT_MCP_AUTO,	    /* as each message, and the server's answer to initialize, say */
	WEFT_MCP_SESSIONS,  /* 2025-03-26 to 2025-11-25 */
	WEFT_MCP_STATELESS, /* 2026-07-28 */
	WEFT_MCP_SSE,	    /* HTTP+SSE, 2024-11-05 */
} weft_mcp_era;

/* Zero is a good value of each field. Strings are copied. */
typedef struct weft_mcp_client_options {
	weft_transport_options transport;
	weft_mcp_era era;
	/* What each request is like: fields, tls, proxy, redirects_max (0 here: 10) and so on, as
	 * in weft_sse_client_options; borrowed until free. NULL: the defaults. A POST follows
	 * redirects only by 307 and 308, unless on_redirect is set. */
	const weft_http_request *request;
	/* For an answer, of whatever streams; 0: none. subscriptions/listen has none. */
	int64_t response_timeout_ns;
	/* A stream without a byte is lost; 0: never, for not every server sends comments. Of the
	 * HTTP client: whether connections are kept alive (weft_net_options), and
	 * stall_timeout_ns for answers that are no streams. */
	int64_t idle_timeout_ns;
	unsigned attempts_max; /* to open a stream again, in a row; 0: 5 */
	size_t requests_max;   /* unanswered: WEFT_ECAPACITY; 0: 1000 */
	/* A request that the server refuses since it does not know the session any more is given
	 * back, as it was sent, with err WEFT_EAGAIN, before the session's end is told: it can be
	 * sent in another. Otherwise it has no answer. */
	bool gives_back;
} weft_mcp_client_options;

#define WEFT_MCP_CLIENT_OPTIONS_DEFAULT                                                \
	{                                                                              \
		WEFT_TRANSPORT_OPTIONS_DEFAULT, WEFT_MCP_AUTO, NULL, 0, 0, 0, 0, false \
	}

/*
 * Sessions with the server at url, "sse+" in front of it or not. The HTTP client is referenced.
 *
 * What of a session can be mended by itself is: a stream that breaks is opened again, from the last
 * event on (Last-Event-ID, retry). The session is at its end, WEFT_ERESET, when the server does not
 * know it any more (404), when the answer to initialize that began it was no result or did not come
 * whole, or when the stream of its own messages or of HTTP+SSE is lost for good; who wants another
 * connects again. A request whose answer can't come any more is answered with an error
 * in its place (code -32000, or the server's own): each request that was sent gets exactly one
 * answer, or the session ends. One that was cancelled (notifications/cancelled) gets none from
 * then on, whether the server could be told or not; its response is closed.
 *
 * Connecting waits for nothing but the stream of HTTP+SSE, where the URL or the options ask for
 * that: the first message connects. With WEFT_MCP_AUTO a server that answers initialize with 400,
 * 404 or 405 is asked for HTTP+SSE, and a message is of the era without sessions if it names its
 * revision (_meta) or is server/discover.
 *
 * Errors: WEFT_EINVAL, WEFT_EMSGSIZE (the URL), WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_outgoing_mcp(weft_outgoing **out, weft_http_client *http,
	const char *url, const weft_mcp_client_options *options);

WEFT_END_DECLS
#endif
