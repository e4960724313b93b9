/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_MCP_CLIENT_H
#define BRIDGE_MCP_CLIENT_H

/*
 * Inside of a session with an MCP server on the web.
 *
 *	mcp_client.c		the outgoing, the session's life, what is sent
 *	mcp_client_take.c	what comes: whose answer it is
 *	mcp_client_post.c	a request's fiber: POST, and its answer as JSON or as a stream
 *	mcp_client_stream.c	streams: of a POST; of a GET (server's own messages; HTTP+SSE)
 *	mcp_client_head.c	header fields of a request
 *	mcp_tools.c		tools whose arguments go into fields
 *
 * A request costs two fibers (one waits, so that the other can be cancelled), two allocations, a
 * POST. Notifications and answers are posted by whoever sends them, so that they stay in order.
 *
 * Exactly one answer: a request is in `in_post` until somebody claims it, under the lock: its own
 * fiber, which has the answer or an error in its place; HTTP+SSE's stream; who cancels it. Who has
 * claimed it answers, nobody else does.
 *
 * The session's life: `posts` has the fibers of requests and streams. Whatever ends the session (the
 * owner, a 404, a beginning that was not heard, a stream that is lost for good) says so by `ending`; the
 * life's fiber then cancels and joins them, and only then tells the transport's receiver: nothing is
 * delivered after the end.
 */
#include "base/counter.h"
#include "base/list.h"
#include "bridge/mcp_tools.h"
#include "rt/lock.h"
#include "sync/word.h"

#include <weft/cancel.h>
#include <weft/http_client.h>
#include <weft/mcp_client.h>
#include <weft/mutex.h>
#include <weft/scope.h>
#include <weft/sse_client.h>

#define MCP_SESSION_ID_MAX 1024 /* bytes */
#define MCP_REASON_MAX 512
#define MCP_STATELESS_VERSION "2026-07-28"

/* Codes of errors: what the client says in a server's place; the stateless era's own. */
#define MCP_LOST (-32000)
#define MCP_HEADER_MISMATCH (-32020)
#define MCP_CAPABILITY_MISSING (-32021)
#define MCP_VERSION_UNSUPPORTED (-32022)

/* A server on the web. Never changes. */
struct mcp_remote {
	weft_http_client *http; /* held */
	weft_http_url url;
	char *url_text;			 /* without userinfo and fragment */
	weft_mcp_client_options options; /* zeros replaced; era as the url says, too */
	weft_http_request request;	 /* of the options, or the defaults */
	struct mcp_tools *tools;	 /* what its tools/list have told; has a lock of its own */
};

/* Of the sessions era; the stateless one is a matter of each message. */
enum mcp_mode { MCP_MODE_UNKNOWN, MCP_MODE_SESSIONS, MCP_MODE_SSE };

struct mcp_client {
	const struct mcp_remote *remote;
	weft_transport *transport;
	weft_scope *life;	  /* one fiber */
	weft_scope *posts;	  /* of requests and streams */
	struct word mode;	  /* enum mcp_mode */
	struct word is_listening; /* 1: the GET's stream was asked for */
	struct counter in_flight; /* requests that are not answered */
	struct word is_greeting;  /* 1: an initialize was sent */
	weft_cancel *greeted;	  /* ... and its answer has come, or never will */

	struct rt_lock lock;
	char *session, *version; /* under lock to be set, once; owned */
	struct list in_post;	 /* of struct mcp_post, unclaimed; under lock */
	struct word ended_word;	 /* 1: what follows is valid */
	weft_err end_err;	 /* under lock to be set, once */
	char end_text[MCP_REASON_MAX];
	weft_cancel *ending;
	bool said_goodbye; /* the life's fiber; then who frees */
	bool is_unheard;   /* ended, though the server knows the session; as end_err */

	/* HTTP+SSE: one opens it at a time */
	weft_mutex *opening;
	weft_cancel *opened; /* of this attempt, as the next three */
	weft_deadline open_until;
	weft_err open_err; /* once `opened`, with: */
	char open_text[MCP_REASON_MAX];
	weft_http_url endpoint; /* where messages are posted to; valid in MODE_SSE */
};

/* A request on its way. */
struct mcp_post {
	struct list node; /* of in_post, while nobody has claimed it; under lock */
	struct mcp_client *client;
	weft_message message; /* the request */
	weft_cancel *token;   /* it was cancelled; or, by HTTP+SSE, answered */
	bool is_stateless;
	bool is_own;	  /* the client's own tools/list: nobody gets the answer */
	bool was_mended;  /* sent again, with other fields */
	char *cursor;	  /* of is_own: the next page, as JSON; NULL: there is none */
	bool is_answered; /* its own fiber has claimed it */
	bool has_begun;	  /* an initialize: a session, by the head of its answer */
	bool is_welcomed; /* ... which was a result */
	weft_err why; /* WEFT_OK: what the server says of it is an answer; else why it is none */
	weft_deadline until;
	char *last_id;	  /* of a stream that broke: where to go on; NULL: it can't */
	int64_t retry_ns; /* that the server said; -1: none */
};

/* --- mcp_client.c --- */

/* The session is over: the first reason stays. Any fiber; does not wait. */
void mcp_end(struct mcp_client *c, weft_err err, const char *text);
/* The server does not know it any more. */
void mcp_session_lost(struct mcp_client *c);
bool mcp_has_session(struct mcp_client *c);
/* What the server says of a session, in its answer to initialize. *has_begun: of one more than there
 * was. */
WEFT_MUST_CHECK weft_err mcp_begin_session(
	struct mcp_client *c, const weft_http_response *response, bool *has_begun);
/* ... whose answer was no result, or never came whole: it is over before anybody can use it. */
void mcp_session_unheard(struct mcp_client *c);
void mcp_learn_version(struct mcp_client *c, const weft_message *answer);
/* Until an initialize that is under way has its answer: that says by which session, version and
 * transport what was sent behind it is to go. Errors: WEFT_ETIMEDOUT, WEFT_ECANCELED. */
WEFT_MUST_CHECK weft_err mcp_await_greeting(struct mcp_client *c, weft_deadline until);
bool mcp_is_initialize(const weft_message *message);
/* Of the era without sessions. */
bool mcp_is_stateless(const struct mcp_client *c, const weft_message *message);
weft_deadline mcp_connect_until(const struct mcp_client *c);
weft_json_limits mcp_limits(const struct mcp_client *c);

/* --- mcp_client_take.c --- */

/* True: the request is the caller's to answer. */
bool mcp_claim(struct mcp_client *c, struct mcp_post *post);
/* Likewise by its id; *token, held, is to be triggered. */
bool mcp_claim_id(struct mcp_client *c, weft_json id, weft_cancel **token, bool *is_stateless);
/* A message that came (taken): in the answer to a request, or, post NULL, over the session's own
 * stream. */
void mcp_take(struct mcp_client *c, struct mcp_post *post, weft_message *message);
/* Bytes of one, likewise. Errors: WEFT_ENOMEM; the session is at its end then. */
WEFT_MUST_CHECK weft_err mcp_take_text(
	struct mcp_client *c, struct mcp_post *post, const char *text, size_t len);
/* A message that came was too large. */
void mcp_take_oversize(struct mcp_client *c, struct mcp_post *post);
/* An error in the place of an answer, if nobody has claimed it. */
void mcp_refuse(struct mcp_post *post, const char *text);
/* A subscription's stream was ended by its server, if nobody has claimed it: over other transports that
 * is a message (2026-07-28, "Subscriptions", Cancellation). */
void mcp_unsubscribed(struct mcp_post *post);
/* The server's own error with another id, or none; also is what is to be said besides, may be
 * NULL. */
void mcp_take_error(struct mcp_post *post, const weft_jsonrpc *error, const char *also);

/* --- mcp_client_post.c --- */

/* A request's fiber; frees arg. */
weft_err mcp_post_fiber(void *arg);
void mcp_post_free(struct mcp_post *post);
/* A notification, or an answer of the client's. */
WEFT_MUST_CHECK weft_err mcp_post_note(
	struct mcp_client *c, const weft_message *message, weft_deadline until);

/* --- mcp_client_stream.c --- */

/* The events of a request's answer, up to the one that is it; goes on with a stream that breaks. */
WEFT_MUST_CHECK weft_err mcp_stream_read(struct mcp_post *post, weft_http_response *response);
/* The stream of the server's own messages, in a fiber of the session's. */
void mcp_listen(struct mcp_client *c);
/* HTTP+SSE: opens the stream, if nobody has, and waits for its endpoint. */
WEFT_MUST_CHECK weft_err mcp_sse_open(struct mcp_client *c, weft_deadline until);

/* --- mcp_client_head.c --- */

/* Fields of a request: the options' own and those of the protocol. message NULL: a GET or DELETE.
 * *out is the caller's. Errors: WEFT_ENOMEM, WEFT_EINVAL. */
WEFT_MUST_CHECK weft_err mcp_fields(
	weft_http_fields **out, struct mcp_client *c, const weft_message *message);

#endif
