/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_MCP_CLIENT_H
#define BRIDGE_MCP_CLIENT_H

/*
 * Inside of a session with an MCP server on the web.
 *
 *	mcp_client.c		the outgoing, the session's life, what is sent
 *	mcp_client_post.c	a request's fiber: POST, and its answer as JSON or as a stream
 *	mcp_client_stream.c	streams: of a GET (server's own messages; HTTP+SSE), and those resumed
 *	mcp_client_head.c	header fields of a request
 *
 * A request costs a fiber, an allocation, a POST. Notifications and answers are posted by whoever
 * sends them, so that they stay in order.
 *
 * The session's life: `posts` has the fibers of requests and streams. Whatever ends the session (the
 * owner, a 404, a stream of HTTP+SSE that broke) says so by `ending`; the life's fiber then cancels and
 * joins them, and only then tells the transport's receiver: nothing is delivered after the end.
 */
#include "base/counter.h"
#include "base/list.h"
#include "rt/lock.h"
#include "sync/word.h"

#include <weft/cancel.h>
#include <weft/http_client.h>
#include <weft/mcp_client.h>
#include <weft/scope.h>
#include <weft/sse_client.h>

#define MCP_SESSION_ID_MAX 1024 /* bytes */
#define MCP_REASON_MAX 512
#define MCP_LOST (-32000) /* JSON-RPC: what the client says in a server's place */

/* A server on the web. Never changes. */
struct mcp_remote {
	weft_http_client *http; /* held */
	weft_http_url url;
	weft_mcp_client_options options; /* zeros replaced; era as the url says, too */
	weft_http_request request;	 /* of the options, or the defaults */
	weft_buf_pool *pool;		 /* may be NULL */
};

enum mcp_mode { MCP_MODE_UNKNOWN, MCP_MODE_SESSIONS, MCP_MODE_STATELESS, MCP_MODE_SSE };

struct mcp_client {
	const struct mcp_remote *remote;
	weft_transport *transport;
	weft_scope *life;	  /* one fiber */
	weft_scope *posts;	  /* of requests and streams */
	struct word mode;	  /* enum mcp_mode */
	struct word is_listening; /* 1: the GET's stream was asked for */
	struct counter in_flight;
	weft_cancel *opened;	/* HTTP+SSE: the stream is open, or sse_err says why not */
	struct word is_opening; /* 1: its fiber has been started */

	struct rt_lock lock;
	char *session, *version; /* under lock to be set, once; owned */
	struct list in_post;	 /* of struct mcp_post: stateless; under lock */
	struct word ended_word;	 /* 1: what follows is valid */
	weft_err end_err;	 /* under lock to be set, once */
	char end_text[MCP_REASON_MAX];
	weft_cancel *ending;

	weft_http_url endpoint; /* HTTP+SSE: where messages are posted to; valid in MODE_SSE */
	weft_err sse_err;	/* once `opened` */
	char sse_text[MCP_REASON_MAX];
};

/* A request on its way. */
struct mcp_post {
	struct list node;
	struct mcp_client *client;
	weft_message message;	      /* the request */
	weft_cancel *token;	      /* stateless: its cancellation */
	bool is_answered;	      /* or somebody else will, or nobody is to */
	char last_id[MCP_REASON_MAX]; /* of the last event of its stream; "": none */
	int64_t retry_ns;	      /* that the server said; -1: none */
};

/* --- mcp_client.c --- */

/* The session is over: the first reason stays. Any fiber; does not wait. */
void mcp_end(struct mcp_client *c, weft_err err, const char *text);
/* What the server says of a session, from its answer to initialize. */
WEFT_MUST_CHECK weft_err mcp_begin_session(
	struct mcp_client *c, const weft_http_response *response);
void mcp_learn_version(struct mcp_client *c, const weft_message *answer);
/* An error in the place of an answer. */
void mcp_answer(struct mcp_client *c, weft_json id, int code, weft_json data, const char *text);
bool mcp_is_answer(const weft_message *message, const weft_message *request);
bool mcp_is_initialize(const weft_message *message);
/* A message of a request's, or any other that came, to whoever receives. */
void mcp_take(struct mcp_post *post, weft_message *message);
void mcp_deliver(struct mcp_client *c, weft_message *message);

/* --- mcp_client_post.c --- */

/* One POST; the response's head is there. Errors: as weft_http_client_send. */
WEFT_MUST_CHECK weft_err mcp_post(struct mcp_client *c, const weft_message *message,
	weft_http_response **out, weft_deadline until);
/* A request's fiber; frees arg. */
weft_err mcp_post_fiber(void *arg);
/* What a status that is no success means, in text. */
weft_err mcp_status_error(
	const struct mcp_client *c, weft_http_response *response, char *text, size_t size);
/* A notification, or an answer of the client's. */
WEFT_MUST_CHECK weft_err mcp_post_note(
	struct mcp_client *c, const weft_message *message, weft_deadline until);

/* --- mcp_client_stream.c --- */

/* The events of a request's stream, until the answer: true. */
bool mcp_stream_read(struct mcp_post *post, weft_http_response *response);
/* Goes on with a stream that broke. */
void mcp_stream_resume(struct mcp_post *post);
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
