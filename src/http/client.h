/* SPDX-License-Identifier: MIT */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

/*
 * Inside of the client.
 *
 *	client.c	  options, life, numbers
 *	client_route.c	  where a request goes: the URL's parts, the pool's key
 *	client_dial.c	  a connection for a route
 *	client_head.c	  the request's head, written
 *	client_send.c	  a request: the phases, the retry
 *	client_body.c	  its body, when that does not fit into one write
 *	client_read.c	  the response's head
 *	client_response.c its body, and what the caller asks of it
 *	follow.c, undo.c  redirects and codings, where a request asks for them
 *	pool*.c		  connections
 *
 * A response is a part of its connection, and its bytes are in one block of the client's pool of
 * buffers: [the head's fields, parsed][the same as views][bytes]. So a request on a kept
 * connection allocates one block, which the worker has at hand, and nothing else; an idle
 * connection has none.
 *
 * Cost of a GET on a kept connection: pool.h's; one block; one send and one recv (and a share of
 * an epoll_wait); the head is written once and parsed once where it lies. No other copy but a
 * body's, from the block to the caller's memory, where it came with the head or in chunks.
 */
#include "http/fields.h"
#include "http/pool.h"
#include "net/dial.h"
#include "proto/http1/http1.h"

#include <weft/http_client.h>

#define CLIENT_BLOCK_SIZE ((size_t)16 << 10) /* bytes of a connection's block, at first */
#define CLIENT_BODY_ROOM ((size_t)HTTP1_TRAILERS_MAX + 512) /* bytes that a body needs of it */
#define CLIENT_DIRECT_MIN ((size_t)4 << 10) /* reads of at least that go past the block */

struct weft_http_client {
	struct refcount users; /* ref and unref; with the last the pool closes */
	struct refcount refs;  /* of the memory: one for the users, one a connection */
	struct pool *pool;
	weft_buf_pool *buffers;
	bool owns_buffers, tls_held;
	weft_http_client_options options; /* zeros replaced; user_agent, net, tls are our own */
	weft_net_options net;
	char *user_agent;	      /* NULL: none */
	struct rt_lock lock;	      /* over the making of */
	struct published default_tls; /* a weft_tls; made at the first need */
	struct counter retries, stale;
	struct proxies *proxies; /* NULL: without proxy_env */
};

/* A connection's reference of the client's memory is dropped. */
void client_memory_unref(weft_http_client *client);

/* --- routes -------------------------------------------------------------------------------- */

/* Where a request goes. Views of the request's own text where that is in plain form. */
struct client_route {
	bool is_https;
	uint16_t port;
	const char *host; /* host_len bytes; an IPv6 address without brackets */
	size_t host_len;
	const char *authority; /* for Host */
	size_t authority_len;
	const char *target;
	size_t target_len;
	const char *unix_path, *proxy; /* the request's; NULL: none */
	weft_tls *tls;		       /* the request's; NULL: the client's */
	struct pool_key key;
	weft_http_url parsed; /* what the views are of, unless they are of the request's */
	char *key_memory;
};

/* Errors: WEFT_EINVAL, WEFT_EMSGSIZE, WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err client_route_init(
	struct client_route *route, const weft_http_request *request);
void client_route_fini(struct client_route *route);
/* "http://h/x", cut where it is long; NUL added. */
void client_route_format(const struct client_route *route, char *out, size_t size);

extern const struct pool_ops client_pool_ops;

/* --- connections and responses ---------------------------------------------------------------- */

enum client_state {
	CLIENT_HEAD,  /* not yet whole */
	CLIENT_BODY,  /* being read */
	CLIENT_ENDED, /* whole */
	CLIENT_FAILED,
};

/* A body on its way in a fiber of its own; see client_body.c. */
struct client_sender;

/* What stands between a body as it comes and its reader: a content coding that is undone. */
struct client_filter {
	/* As weft_http_response_read; takes what it needs by client_body_read. */
	weft_err (*read)(struct client_filter *filter, weft_http_response *r, void *data,
		size_t size, size_t *got, weft_deadline until);
	void (*free)(struct client_filter *filter);
};

struct weft_http_response {
	struct client_conn *conn;
	weft_http_client *client; /* a reference's, the connection's */
	enum client_state state;
	weft_err failed;	 /* valid when FAILED, */
	struct err_slot failure; /* with its detail */
	bool keep;	/* nothing has come up yet that keeps the connection from being kept */
	bool got_bytes; /* any byte of any response has come */
	bool at_once;	/* by one read, all that did */

	weft_buf block;
	struct http1_field *raw;   /* at the block's beginning */
	struct http_field *views;  /* behind it */
	char *data;		   /* behind that: the message */
	size_t cap, len;	   /* bytes of data; of these read */
	enum http1_method answers; /* the request's */
	struct http1_parser parser;
	struct weft_http_fields fields, trailers; /* of views; filled in when asked for */
	bool indexed;

	weft_buf body_block; /* where data has no room for the body */
	char *body_data;     /* bytes that were read for the body and not used: */
	size_t body_cap, body_at, body_end;
	struct http1_body body;
	struct http1_piece piece;     /* content found in them, and not yet handed out */
	bool endless;		      /* the request's */
	weft_deadline silent_since;   /* of the body: the last read found nothing; 0: it did */
	int64_t length;		      /* what the caller is told */
	struct client_filter *filter; /* owned; NULL: none */
	char *url;		      /* where redirects led; owned; NULL: there were none */

	struct client_sender *sender; /* NULL: the request is on its way as a whole */
	weft_deadline begun, got_conn, sent, first_byte, ended; /* 0: not yet */
	bool reused;
	unsigned retries;
};

struct client_conn {
	struct pool_conn pool;			/* first */
	weft_http_client *client;		/* a reference of its memory */
	weft_conn *conn;			/* NULL once it was taken */
	bool absolute;				/* to a proxy: targets are whole URLs, and */
	char *proxy_authorization;		/* requests have this; NULL: none; owned */
	int64_t resolve_ns, connect_ns, tls_ns; /* of its dial */
	struct weft_http_response response;	/* of the request that it serves */
};

static inline struct client_conn *client_conn_of(struct pool_conn *conn)
{
	return (struct client_conn *)conn;
}

/* A request under way; on the sender's stack. */
struct client_call {
	weft_http_client *client;
	const weft_http_request *request;
	const char *method;
	size_t method_len;
	enum http1_method known;
	struct client_route route;
	weft_deadline begun, until;
	bool has_host, has_agent; /* among the request's fields */
	bool closes;		  /* the connection is not kept */
	struct http1_framing framing;
	const char *phase;		     /* for errors; NULL: they say it themselves */
	struct weft_http_response *response; /* of the attempt under way; its connection's */
	bool awaits_continue;		     /* the body has not been begun */
};

/* client_head.c */
/* Checks what does not change from attempt to attempt. Errors: WEFT_EINVAL. */
WEFT_MUST_CHECK weft_err client_head_check(struct client_call *call);
/* Into the response's block, which it is to overwrite; *size: bytes. Errors: WEFT_EINVAL,
 * WEFT_EMSGSIZE, WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err client_head_write(struct client_call *call, size_t *size);

/* client_body.c */
/* The body that was held back. Errors: as client_sender_start. */
WEFT_MUST_CHECK weft_err client_body_begin(struct client_call *call);
/* Sends the body from its byte `from` on, in a fiber of its own. Errors: WEFT_ENOMEM,
 * WEFT_ECAPACITY. */
WEFT_MUST_CHECK weft_err client_sender_start(
	struct weft_http_response *r, const weft_http_request *request, size_t from);
/* When it ended; 0: not yet. */
weft_deadline client_sender_ended(const struct client_sender *sender);
/* It has ended for a reason of its own, and with it the connection; if it is about to, this waits. */
bool client_sender_gave_up(const struct client_sender *sender);
/* Once it has ended, how; the detail is set. */
weft_err client_sender_result(const struct client_sender *sender);
/* Until it has ended: how. Errors: WEFT_ETIMEDOUT and WEFT_ECANCELED, too. */
WEFT_MUST_CHECK weft_err client_sender_wait(struct client_sender *sender, weft_deadline until);
/* Cancels and joins. NULL is allowed. */
void client_sender_free(struct client_sender *sender);

/* client_read.c */
/* Ready for a new message in an empty block. Errors: WEFT_ENOMEM, WEFT_ECAPACITY. */
WEFT_MUST_CHECK weft_err client_response_init(struct client_conn *conn);
void client_response_fini(struct weft_http_response *r);
/* More room for the head; what is there stays. Errors: WEFT_EMSGSIZE, WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err client_block_grow(struct weft_http_response *r, size_t cap);
/* Until the head of the final response is whole; begins the body when that is due. */
WEFT_MUST_CHECK weft_err client_read_head(struct client_call *call);

/* client_response.c */
/* The head is whole: how to read what follows. */
void client_body_read_begin(struct weft_http_response *r);
/* weft_http_response_read of the body as it comes. */
WEFT_MUST_CHECK weft_err client_body_read(
	struct weft_http_response *r, void *data, size_t size, size_t *got, weft_deadline until);
/* Ends the body with err, which later reads repeat with the caller's detail of now. */
weft_err client_body_fail(struct weft_http_response *r, weft_err err);

/* client_send.c: weft_http_client_send without what is built of several exchanges (follow.h):
 * blind to redirects_max, origin_fields and decode; no proxy means none. */
WEFT_MUST_CHECK weft_err http_client_exchange(weft_http_client *client,
	const weft_http_request *request, weft_http_response **out, weft_deadline until);

static inline weft_deadline client_earlier(weft_deadline a, weft_deadline b)
{
	return a < b ? a : b;
}

/* timeout_ns from a moment that is known, since looking at the clock is not free; INT64_MAX: never. */
static inline weft_deadline client_since(int64_t from, int64_t timeout_ns)
{
	return timeout_ns > INT64_MAX - from ? WEFT_FOREVER : from + timeout_ns;
}

/* From now. */

static inline weft_deadline client_after(int64_t timeout_ns)
{
	return timeout_ns == INT64_MAX ? WEFT_FOREVER : weft_after_ns(timeout_ns);
}

#endif
