/* SPDX-License-Identifier: MIT */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

/*
 * Inside of weft_http_server.
 *
 * A connection is a fiber. What connections of one worker share (buffers at hand, the date, the
 * table of routes in use, counts) is in that worker's shard, which only fibers of the worker
 * touch: so it needs neither atomics nor locks. What all share is the server: a word with state
 * and count of connections, changed at a connection's two ends; a cell with the table, looked at
 * once a request.
 *
 *	server --+-- state word, cell, scopes          any fiber or thread
 *		 +-- shard of each worker              fibers of that worker
 *		       +-- exchange of each connection its fiber; the keeper, while that waits
 *
 * Fibers beside those of connections: a warden, which drains the server when it is to stop; a
 * keeper for each worker that has connections, which does what must be done to connections
 * that wait for something else: closes idle ones, resets them at the deadline, sends replies that
 * were gathered.
 *
 * A small GET on a connection that stays, expected: one recv, one send, a share of an epoll_wait;
 * no allocation, no lock, no read-modify-write on shared memory, no copy but of the reply into
 * the buffer that is sent, which the worker's other connections use in turn.
 * A connection that waits for a request has no buffer but its own of HTTP_IN_INLINE bytes.
 */
#include "base/counter.h"
#include "base/list.h"
#include "http/fields.h"
#include "http/router.h"
#include "proto/http1/http1.h"
#include "rt/rt.h"
#include "sync/word.h"

#include <weft/buf.h>
#include <weft/cell.h>
#include <weft/http_server.h>
#include <weft/mutex.h>
#include <weft/once.h>

#define HTTP_IN_INLINE ((size_t)1024)
#define HTTP_IN_BLOCK ((size_t)16 << 10)
#define HTTP_OUT_BLOCK ((size_t)8 << 10)
#define HTTP_COPY_MAX ((size_t)4096) /* larger bodies are sent from where they lie */
#define HTTP_TRAILER_FIELDS_MAX 32
#define HTTP_SCRATCH ((size_t)512)

/* A connection that has not sent for so long gives its block back, and keeps the inline one. */
#define HTTP_REST_NS INT64_C(1000000000)
/* After our end, for what the peer sends still: else its reset might overtake the reply. */
#define HTTP_LINGER_NS INT64_C(2000000000)
#define HTTP_LINGER_MAX ((size_t)1 << 20)

/* Connections over connections_max that are told so at once; more are reset. */
#define HTTP_REFUSALS_MAX 64
#define HTTP_REFUSE_NS INT64_C(1000000000)

/* The server's word: connections, state, and whether what is left is being cut. */
#define HTTP_COUNT_MAX ((uint32_t)1 << 28)
#define HTTP_STATE_SHIFT 28
#define HTTP_CUT ((uint32_t)1 << 30)
#define HTTP_ACCEPTING ((uint32_t)1 << 31) /* start's fiber is there */

struct http_shard;

/* What is needed from a request's first byte to its end; at hand in the shard. */
struct http_hot {
	struct http1_parser parser;
	struct http_match match;
	char scratch[HTTP_SCRATCH]; /* the path, where it can't have its NUL in the head */
	struct http1_field fields[];
};

/* Memory that is freed at the exchange's end. */
struct http_note {
	struct http_note *next;
	char text[];
};

/* Bytes that were read and not used: in the exchange's own memory, or in a block. */
struct http_window {
	char *base;
	size_t cap;
	size_t at, len; /* the bytes are base[at .. at + len) */
	weft_buf block; /* empty: base is exchange.inline_in */
};

/* Bytes to be sent; block empty: none. */
struct http_gather {
	weft_buf block;
	size_t cap, len;
};

/* How fast the peer is: time spent waiting for it, and what that brought. */
struct http_pace {
	int64_t waited_ns;
	uint64_t moved;
};

enum http_phase {
	HTTP_BUSY,	/* reads a head, or runs a handler */
	HTTP_IDLE,	/* waits for a request's first byte: may be closed */
	HTTP_CLOSING,	/* and has been, by the keeper */
	HTTP_HANDED_ON, /* the connection is not ours any more */
};

enum http_response_state {
	HTTP_RESPONSE_NONE,
	HTTP_RESPONSE_BEGUN,
	HTTP_RESPONSE_WHOLE,
};

struct http_response {
	enum http_response_state state;
	uint16_t status; /* 0: none yet */
	bool keep_alive;
	bool has_left; /* a byte of it was sent, or tried */
	bool is_chunked;
	bool is_counted;   /* left is to become 0 */
	bool has_no_body;  /* what is written is dropped */
	size_t mark;	   /* where it begins in the gather, unless has_left */
	uint64_t left;	   /* bytes of the body to come; if is_counted */
	uint64_t body_len; /* bytes of the body so far */
};

/* The table a shard's connections use: current, or one that was. */
struct http_use {
	weft_http_router *router; /* a reference */
	size_t users;		  /* exchanges */
};

/* What a send did. */
struct http_sent {
	uint64_t writes, bytes;
	bool timed_out; /* the peer was too slow */
};

/* Events and comments of several fibers; exists from sse_begin to the exchange's end. */
struct http_sse {
	weft_mutex *lock; /* over all below, and over writing */
	weft_deadline sent_at;
	struct http_pace pace;
	struct http_sent sent; /* all told */
	uint64_t body_len;
	weft_err broken; /* no more can be sent */
};

/* A connection, and the exchange it is at. Its fiber's own, but where it says otherwise. */
struct weft_http_exchange {
	/* of the connection */
	weft_http_server *server;
	struct http_shard *shard;
	weft_conn *conn;
	struct list link;	/* in shard->conns */
	struct list flush_link; /* in shard->flushes */
	enum http_phase phase;
	bool is_flushing; /* the keeper sends what is gathered */
	weft_err broken;  /* writing has failed */
	uint64_t requests;
	weft_deadline began_at;
	struct http_window in;
	struct http_gather out;

	/* of the exchange: cleared before each, from here ... */
	struct http_response response;
	struct http_hot *hot; /* NULL: no byte of a request */
	weft_buf hot_block;   /* where it lies */
	struct http_use *use; /* NULL: router is a reference of its own */
	weft_http_router *router;
	char *head;	     /* hot->parser.head's bytes, NULL: none was parsed */
	bool head_moved;     /* the window went on without it */
	weft_buf head_block; /* of head then, unless that is in inline_in */
	const char *path, *query;
	size_t path_len;
	struct http1_body body;
	struct http1_piece piece; /* of the body, in the window: not read by the handler yet */
	uint64_t body_max;
	struct http_pace in_pace, out_pace;
	bool body_ended, body_begun; /* begun: the handler has asked for it */
	bool must_continue;	     /* the client waits for 100 */
	bool close_asked;
	bool upgraded, timed_out;
	uint16_t fault_status; /* what is wrong with the request's body; 0: nothing */
	weft_err fault;	       /* likewise */
	struct weft_http_fields *fields, *trailers; /* made when asked for */
	struct http_note *notes;
	weft_scope *scope; /* the handler's fibers */
	weft_scope *watch; /* the fiber that watches */
	weft_cancel *gone; /* the client has; NULL: not watched */
	struct http_sse *sse;
	weft_deadline head_at; /* for the access log */
	uint64_t body_in;
	/* ... to here */

	char inline_in[HTTP_IN_INLINE];
};

struct http_counts {
	struct counter connections, requests, replies[6], timeouts, malformed, forbidden, cut;
	struct counter bytes_in, bytes_out, reads, writes;
};

struct http_shard {
	_Alignas(CACHE_APART) weft_http_server *server;
	const void *worker; /* rt_worker_here of its fibers */
	struct list conns;
	struct list flushes;  /* with replies that wait while a handler runs */
	weft_buf spare_hot;   /* of an http_hot: one at hand, or empty */
	weft_buf spare_out;   /* the same of a gather */
	struct http_use *use; /* the current table, or NULL */
	bool keeper_lives;
	weft_deadline date_until; /* when date and time_s are of no use any more */
	int64_t time_s;
	char date[HTTP1_DATE_LEN];
	struct http_counts counts;
	_Alignas(CACHE_APART) struct bell keeper; /* any */
};

struct weft_http_server {
	struct word word; /* HTTP_COUNT_MAX, HTTP_STATE_SHIFT, HTTP_CUT */
	struct bell warden;
	weft_http_server_options options; /* zeros replaced; lists and strings its own */
	struct http1_limits limits;
	weft_cell *router;
	weft_buf_pool *pool;
	weft_scope *own;		 /* the warden */
	weft_scope *sessions;		 /* connections, keepers, the fiber of start */
	weft_cancel_watch *sessions_tie; /* stops the server when they are cancelled */
	weft_cancel *stopping, *stopped;
	weft_once *started;
	weft_listener *listener; /* of start; set before its fiber is there, as the next is */
	weft_cancel_watch *listener_tie;
	struct counter refused, refusing;
	unsigned shards_len;
	struct http_shard *shards;
	char *strings;	    /* of options */
	const char **lists; /* likewise */
};

/* ---- server_options.c ---- */
/* Checks; zeros replaced, strings copied into the server's memory. */
weft_err http_options_settle(weft_http_server *server, const weft_http_server_options *given);
void http_options_fini(weft_http_server *server);
/* 0, or the status that the request's Host or Origin earns it. */
unsigned http_guard(weft_http_exchange *x);

/* ---- server_life.c ---- */
static inline weft_http_server_state http_state(const weft_http_server *server)
{
	return (weft_http_server_state)(word_peek(&server->word) >> HTTP_STATE_SHIFT & 3);
}
weft_err http_warden(void *arg);
/* One connection more. Errors: WEFT_ECLOSED, WEFT_ECAPACITY. */
weft_err http_enter(weft_http_server *server);
void http_leave(weft_http_server *server);
/* Whoever's fiber fails there ends them all, and so the server. */
weft_err http_tie_sessions(weft_http_server *server);
/* Cuts what is left, and waits for all to end; shielded. */
void http_end(weft_http_server *server);
/* In the shard's worker: there is a keeper. */
weft_err http_keeper_start(struct http_shard *shard);

/* ---- server.c ---- */
static inline bool http_is_here(const weft_http_exchange *x)
{
	return rt_worker_here() == x->shard->worker;
}
/* The current table, until http_router_give. */
void http_router_take(weft_http_exchange *x);
void http_router_give(weft_http_exchange *x);
/* The Date field's value, and *time_s, as of now. */
const char *http_date(struct http_shard *shard, weft_deadline now);

struct http_addition {
	const char *method, *pattern;
	weft_http_handler handler;
	void *arg;
};
/* weft_http_server_route for several: all of them, or none. */
weft_err http_server_routes(
	weft_http_server *server, const struct http_addition *list, size_t count);

/* ---- server_conn.c ---- */
weft_err http_conn_serve(weft_http_server *server, weft_conn *conn);

/* ---- server_io.c: a connection's bytes ---- */
void http_in_init(weft_http_exchange *x);
/* Nothing of the window is needed: back to its own memory, or to the block's beginning. */
void http_in_rewind(weft_http_exchange *x, bool keep_block);
/* Room for at least want bytes behind those there are, in a block if need be. What the head
 * lies in is kept. Errors: WEFT_ENOMEM. */
weft_err http_in_reserve(weft_http_exchange *x, size_t want);
/* Reads into the window's room, at least a byte. */
weft_err http_in_fill(weft_http_exchange *x, weft_deadline until);
/* The same, with room for so many bytes at least. */
weft_err http_in_more(weft_http_exchange *x, size_t room, weft_deadline until);
/* The same into memory of somebody else's, then into the window's room, if iov_count is 2. */
weft_err http_in_readv(weft_http_exchange *x, struct iovec *iov, unsigned iov_count, size_t *got,
	weft_deadline until);
/* Room for size bytes in the gather, which is flushed if it is too full for them. */
weft_err http_out_reserve(weft_http_exchange *x, size_t size, weft_deadline until);
static inline size_t http_out_room(const weft_http_exchange *x)
{
	return x->out.cap - x->out.len;
}
void http_out_put(weft_http_exchange *x, const void *data, size_t len);
/* The gather, and after it the caller's bytes (may be NULL). */
weft_err http_out_send(
	weft_http_exchange *x, const struct iovec *more, unsigned more_count, weft_deadline until);
weft_err http_out_flush(weft_http_exchange *x, weft_deadline until);
/* The same; what has not gone by then stays, to be sent later. */
weft_err http_out_push(weft_http_exchange *x, weft_deadline until);
/* By the keeper: what goes without waiting. True: nothing is left. */
bool http_out_try(weft_http_exchange *x);
/* A handler is about to run: replies from before must not wait for it. */
void http_out_entrust(weft_http_exchange *x);
void http_out_drop(weft_http_exchange *x);
/* All of it; iov is changed. until NOW: what goes without waiting. */
weft_err http_send(const weft_http_server *server, weft_conn *conn, struct http_pace *pace,
	struct iovec *iov, unsigned count, weft_deadline until, struct http_sent *sent);
/* Time until a peer of that pace is too slow, from now. */
weft_deadline http_pace_limit(
	const weft_http_server *server, const struct http_pace *pace, int64_t grace_ns);

/* ---- exchange.c ---- */
/* For the handler's call that `what` names: may it be used here? */
weft_err http_exchange_check(const weft_http_exchange *x, const char *what);
/* A copy with a NUL that lives as long as the exchange, room for len bytes; NULL: no memory. */
char *http_note(weft_http_exchange *x, size_t len);
/* Copies the trailers of the body that has ended, whose spans' base is data. False: no memory. */
bool http_trailers_make(weft_http_exchange *x, const char *data);
/* The query was read, and has a secret: the access log shows asterisks. */
void http_exchange_hide_query(weft_http_exchange *x);
/* The handler has returned: frees what the exchange made. */
void http_exchange_fini(weft_http_exchange *x);
/* Fibers of the exchange are over after this. */
void http_exchange_join(weft_http_exchange *x);

/* ---- exchange_body.c ---- */
/* The body is wanted: "100 Continue" into the gather, if the client waits for it. */
weft_err http_put_continue(weft_http_exchange *x, weft_deadline until);
/* The rest of the body is read and dropped. Errors: WEFT_EMSGSIZE (more than body_drop_max). */
weft_err http_body_drop(weft_http_exchange *x);

/* ---- exchange_reply.c ---- */
/* A short response of the server's own. name, value: a field more, or NULL. */
weft_err http_reply_status(
	weft_http_exchange *x, unsigned status, const char *name, const char *value);
/* Whether another request may follow. */
bool http_may_keep(const weft_http_exchange *x);
/* A head, and as in weft_http_exchange_begin; without Content-Length in fields. */
weft_err http_response_open(weft_http_exchange *x, const char *what, unsigned status,
	const weft_http_fields *fields, weft_deadline until);
/* The last chunk, where there are chunks; the response is whole then. */
weft_err http_response_shut(
	weft_http_exchange *x, const weft_http_fields *trailers, weft_deadline until);
/* 101, into the gather. */
weft_err http_put_upgrade(
	weft_http_exchange *x, const weft_http_fields *fields, weft_deadline until);
/* Forgets a response of which nothing has left; false: something has. */
bool http_response_undo(weft_http_exchange *x);

/* ---- exchange_sse.c ---- */
/* As seen by the fiber that watches. */
static inline bool http_client_is_gone(const weft_http_exchange *x)
{
	weft_err reason = weft_cancel_reason(x->gone);

	return reason && reason != WEFT_ECANCELED;
}
/* The watching fiber is over after this; what events cost is counted. */
void http_watch_end(weft_http_exchange *x);
/* The response's end, after the last event. */
weft_err http_sse_finish(weft_http_exchange *x);
void http_sse_free(struct http_sse *sse);

/* ---- server_access.c ---- */
void http_access(weft_http_exchange *x, weft_err err);

#endif
