/* SPDX-License-Identifier: MIT */
#ifndef WEFT_HTTP_SERVER_H
#define WEFT_HTTP_SERVER_H

/*
 * An HTTP/1.1 server (RFC 9110, RFC 9112), 1.0 included: a fiber a connection, handlers that
 * are plain code and may block.
 *
 *	static weft_err hello(weft_http_exchange *x, void *arg)
 *	{
 *		return weft_http_exchange_reply_text(x, 200, "hello\n", WEFT_FOREVER);
 *	}
 *
 *	weft_http_server_create(&server, NULL);
 *	weft_http_server_route(server, "GET", "/hello", hello, NULL);
 *	weft_http_server_serve(server, listener);
 */
#include <weft/cancel.h>
#include <weft/http.h>
#include <weft/net.h>
#include <weft/scope.h>
#include <weft/sse.h>
#include <weft/tls.h>

WEFT_BEGIN_DECLS

typedef struct weft_http_server weft_http_server;

/* === exchanges ============================================================================ */

/*
 * weft_http_exchange: a request and its response.
 *
 * Lifetime: the server's; from the handler's call to its return. All that is got from it is
 *           valid as long, unless it says otherwise.
 * Threads:  one fiber at a time, on the worker of the handler's fiber (weft_spawn puts new
 *           fibers there); elsewhere: WEFT_EINVAL. weft_http_exchange_sse_send: from anywhere.
 * Blocking: what takes a weft_deadline; cancellation points. Beside `until` the server's own
 *           time-outs hold, with WEFT_ETIMEDOUT too.
 */
typedef struct weft_http_exchange weft_http_exchange;

/*
 * A handler runs in the connection's fiber. It may block, and start fibers: in the scope of
 * weft_http_exchange_scope they end with the request. (Those of weft_spawn without a handle
 * belong to the server as a whole: an error of theirs stops it, all its connections cut. With
 * weft_http_serve_conn_own they belong to that connection.)
 *
 * It replies by weft_http_exchange_reply, or by _begin, _write and _finish, or upgrades. What
 * it returns:
 *   WEFT_OK  the response is whole, or, after _begin, is finished now. No response at all is a
 *            mistake: 500.
 *   error    if no byte of the response has left yet, the client gets an error: 400, 408 or 413
 *            where the request's body was at fault, else 500. Otherwise the connection is
 *            reset, so that the client sees that the response was cut. After a response that
 *            is whole, only the access log has it.
 */
typedef weft_err (*weft_http_handler)(weft_http_exchange *x, void *arg);

/* --- the request --- */

WEFT_API const char *weft_http_exchange_method(const weft_http_exchange *x);
/* As it was sent. */
WEFT_API const char *weft_http_exchange_target(const weft_http_exchange *x);
/* The target's path, still percent-encoded; begins with '/', or is "*". It has no segment "."
 * or "..", not in their encoded forms either: requests with one get 400. */
WEFT_API const char *weft_http_exchange_path(const weft_http_exchange *x);
/* Behind '?', as it was sent; NULL: there is none. */
WEFT_API const char *weft_http_exchange_query(const weft_http_exchange *x);
/*
 * A parameter of the route's pattern, percent-decoded; NULL: no such, or no memory. It may
 * hold any byte, '/' among them, but no NUL (a path with %00 gets 400).
 */
WEFT_API const char *weft_http_exchange_param(weft_http_exchange *x, const char *name);
/* The first value of that name in the query (application/x-www-form-urlencoded: decoded, '+'
 * is a space); NULL: no such, one with a NUL in it, or no memory. */
WEFT_API const char *weft_http_exchange_query_param(weft_http_exchange *x, const char *name);
/* 10 or 11. */
WEFT_API unsigned weft_http_exchange_version(const weft_http_exchange *x);
/* The first field of that name; NULL: none. */
WEFT_API const char *weft_http_exchange_field(weft_http_exchange *x, const char *name);
/* All of them. NULL: no memory. */
WEFT_API const weft_http_fields *weft_http_exchange_fields(weft_http_exchange *x);
/* The Host field, or the authority of an absolute target; "": HTTP/1.0 without one. */
WEFT_API const char *weft_http_exchange_host(weft_http_exchange *x);
/* Names of the connection's ends, as weft_conn_peer_name gives them; "" after an upgrade. */
WEFT_API const char *weft_http_exchange_peer(const weft_http_exchange *x);
WEFT_API const char *weft_http_exchange_local(const weft_http_exchange *x);
/* The connection itself, for weft_tls_info_get: not to be read, written or closed. */
WEFT_API weft_conn *weft_http_exchange_conn(const weft_http_exchange *x);
WEFT_API weft_http_server *weft_http_exchange_server(const weft_http_exchange *x);

/* Bytes of the body as the Content-Length field says; 0: no body; -1: not known yet. */
WEFT_API int64_t weft_http_exchange_body_length(const weft_http_exchange *x);
/* Another limit than body_size_max for this request. Before anything is read of the body. */
WEFT_API void weft_http_exchange_body_size_max_set(weft_http_exchange *x, uint64_t size_max);
/*
 * Up to size bytes of the body, transfer coding removed. The first call tells a client that
 * waits for it to go on ("100 Continue"), unless a response that refuses has begun. What a handler
 * leaves unread the server reads and drops, up to body_drop_max bytes, or else closes the
 * connection.
 * Errors: WEFT_ECLOSED (the body has ended), WEFT_EMSGSIZE (it is too large: 413),
 * WEFT_EPROTO (its framing is broken: 400), WEFT_ERESET (the client has gone), WEFT_ETIMEDOUT
 * (until; or slower than body_rate_min: 408), WEFT_ECANCELED, WEFT_ENOMEM, WEFT_EINVAL (the
 * connection is watched, or upgraded).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_exchange_read(
	weft_http_exchange *x, void *data, size_t size, size_t *got, weft_deadline until);
/* What was not read yet of the body, to its end, with a NUL behind it. *data belongs to the
 * exchange. Errors: as read, but WEFT_ECLOSED; after any of them what had come is lost, and reads
 * give the same error. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_exchange_read_all(
	weft_http_exchange *x, const char **data, size_t *len, weft_deadline until);
/* Fields behind a chunked body, once that has been read to its end; NULL: none, or not yet. */
WEFT_API const weft_http_fields *weft_http_exchange_trailers(weft_http_exchange *x);

/* --- the response --- */

/*
 * A whole response. status: 200..599. fields may be NULL and are borrowed for the call;
 * Content-Length, Transfer-Encoding and Connection are the server's own, and refused; Date is
 * added where it is not given. The body is left out where the status or HEAD has none.
 *
 * A small response is copied, and leaves when the handler has returned, or by _flush; with
 * others, if more requests were there already. So WEFT_OK does not mean that the client has it.
 * Errors: WEFT_EINVAL (a second response, status, fields), WEFT_ERESET (the client has gone),
 * WEFT_ETIMEDOUT (until; or write_timeout_ns without progress), WEFT_ECANCELED, WEFT_ENOMEM.
 * After ones other than WEFT_EINVAL and WEFT_ENOMEM the connection is of no use any more.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_exchange_reply(weft_http_exchange *x, unsigned status,
	const weft_http_fields *fields, const void *body, size_t len, weft_deadline until);
/* The same for text/plain. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_exchange_reply_text(
	weft_http_exchange *x, unsigned status, const char *text, weft_deadline until);
/*
 * Begins a response whose body comes by weft_http_exchange_write. Where fields has
 * Content-Length, exactly that many bytes must follow; otherwise it is sent in chunks, or, to
 * HTTP/1.0, until the connection closes. Nothing waits here. A client that waits to be told to
 * send its body is told so before a status below 300; to others, as to what reply sends, it has
 * its answer without (RFC 9110, section 10.1.1). Errors: as reply.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_exchange_begin(weft_http_exchange *x, unsigned status,
	const weft_http_fields *fields, weft_deadline until);
/* Leaves at once, the head with it. Where there is no body (HEAD, 204, 304) it is dropped.
 * Errors: as reply; WEFT_EINVAL (not begun; more than Content-Length). */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_exchange_write(
	weft_http_exchange *x, const void *data, size_t len, weft_deadline until);
/* What was not sent yet leaves now: a head, or a small response. Errors: as reply. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_exchange_flush(
	weft_http_exchange *x, weft_deadline until);
/* Ends the body. trailers may be NULL, and are only sent with chunks; fields of framing,
 * routing and authentication are refused (RFC 9110, section 6.5.1). Errors: as reply;
 * WEFT_EINVAL (not begun; less than Content-Length: the connection will be reset). */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_exchange_finish(
	weft_http_exchange *x, const weft_http_fields *trailers, weft_deadline until);
/* An interim response, 102..199 but 101 (RFC 9110, section 15.2), such as 103; none is sent to
 * HTTP/1.0. Before the response begins. Errors: as reply. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_exchange_inform(weft_http_exchange *x, unsigned status,
	const weft_http_fields *fields, weft_deadline until);
/* The connection is closed after this response, which says so unless it has begun. */
WEFT_API void weft_http_exchange_close(weft_http_exchange *x);

/* --- the request's fibers, and a client that goes --- */

/* A scope for fibers that work on this request: when the handler has returned they are
 * cancelled and joined. Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_exchange_scope(
	weft_http_exchange *x, weft_scope **scope);
/*
 * Watches for the client to go, by a fiber that reads the connection: the token, which
 * belongs to the exchange, is then cancelled, with reason WEFT_ERESET, or WEFT_ECLOSED when it
 * has ended its stream; or with WEFT_ECANCELED when the server is stopped. To be waited for,
 * selected, or given to weft_cancel_run. The body must have been read to its end. Errors:
 * WEFT_EINVAL, WEFT_ENOMEM, WEFT_ECAPACITY.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_exchange_watch(
	weft_http_exchange *x, weft_cancel **token);

/*
 * Server-Sent Events: begins a response of type text/event-stream, never to be cached or buffered
 * on the way, and watches for the client to go, as above; what is left of the body is dropped
 * first. fields as for reply. While nothing is sent the server sends a comment now and then.
 * The response ends when the handler returns. Errors: as reply, as watch.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_exchange_sse_begin(
	weft_http_exchange *x, const weft_http_fields *fields, weft_deadline until);
/*
 * An event, or a comment, which leaves at once. From any fiber or thread, several at once too,
 * until the handler returns: each is sent whole. Errors: as reply; WEFT_ECLOSED or WEFT_ERESET
 * when the client has gone, also before anything failed to be written; WEFT_EINVAL (not begun;
 * the event: as weft_sse_write).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_exchange_sse_send(
	weft_http_exchange *x, const weft_sse_event *event, weft_deadline until);

/*
 * Hands the connection over: sends 101 with these fields (Upgrade is the caller's, Connection
 * is added), and gives the connection, which is the caller's from then on; what was read ahead
 * is read from it first. When the handler returns, the server has nothing to do with it any
 * more; until then it counts as one of its connections.
 * Errors: as reply; WEFT_EINVAL (the client has not asked for it by Upgrade and Connection:
 * upgrade, in HTTP/1.1; a body that was not read; watched).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_exchange_upgrade(weft_http_exchange *x,
	const weft_http_fields *fields, weft_conn **out, weft_deadline until);

/* === routers ============================================================================== */

/*
 * weft_http_router: a table of routes.
 *
 * A pattern is a path of segments: "literal"; "{name}", any one that is not empty; at the end
 * "{name...}", all that is left, '/' included, perhaps nothing. Literals are compared after
 * percent-decoding. Of several that match, the one wins that has, from left to right, a literal
 * where the other has {name}, and that where the other has {name...}. method "*" is any method
 * that the path has no route of its own for.
 *
 * HEAD goes to GET's route where it has none. The server itself answers OPTIONS where it has no
 * route (204 with Allow), 405 with Allow where only the method has none, 404.
 *
 * Lifetime: reference counted; made with one reference.
 * Threads:  add by one fiber or thread, before a server has it; then it never changes.
 */
typedef struct weft_http_router weft_http_router;

#define WEFT_HTTP_ROUTES_MAX 65536
#define WEFT_HTTP_PATTERN_MAX 1024 /* bytes */
#define WEFT_HTTP_PARAMS_MAX 16	   /* of a pattern */

/* Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_router_create(weft_http_router **out);
/* method and pattern are copied. Errors: WEFT_EDUPLICATE (the method has a route of the same
 * pattern, whatever its parameters are called), WEFT_EINVAL (pattern or method, says where; a
 * server has the router already), WEFT_ECAPACITY (WEFT_HTTP_ROUTES_MAX), WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_router_add(weft_http_router *router, const char *method,
	const char *pattern, weft_http_handler handler, void *arg);
WEFT_API size_t weft_http_router_count(const weft_http_router *router);
WEFT_API weft_http_router *weft_http_router_ref(weft_http_router *router);
/* NULL is allowed. */
WEFT_API void weft_http_router_unref(weft_http_router *router);

/* === the access log ======================================================================= */

/* One line of the access log; strings are never NULL, and may hold whatever the client sent but
 * control characters other than tab. */
typedef struct weft_http_access {
	const char *peer;     /* "tcp://127.0.0.1:51514" */
	const char *method;   /* "" when the request could not be parsed: so the next four */
	const char *target;   /* as it was sent */
	const char *host;     /* "": none */
	const char *referer;  /* "": none */
	const char *agent;    /* User-Agent; "": none */
	unsigned version;     /* 10, 11; 0: not known */
	unsigned status;      /* 0: nothing was sent */
	uint64_t bytes_in;    /* of the request's body, as read from the client */
	uint64_t bytes_out;   /* of the response's body, likewise */
	int64_t time_s;	      /* when it came; seconds since 1970 */
	int64_t duration_ns;  /* from the head's last byte to the response's */
	weft_err err;	      /* the handler's, or what ended the exchange; WEFT_OK */
	const char *err_text; /* its detail; "" */
} weft_http_access;

/* A line without its end, as snprintf: the length it has or would have. Control characters,
 * '"' and '\\' in strings are escaped, so that nobody else's line can be made.
 * text: "PEER - - [DATE] \"METHOD TARGET HTTP/1.1\" STATUS BYTES \"REFERER\" \"AGENT\" SECONDS",
 * as Apache's and nginx's "combined" and the duration, and an error's name where there is one;
 * json: an object with the names above. */
WEFT_API size_t weft_http_access_text(const weft_http_access *access, char *out, size_t size);
WEFT_API size_t weft_http_access_json(const weft_http_access *access, char *out, size_t size);
/* For the option `access`: lines to weft_log, module "http", level info. */
WEFT_API void weft_http_access_log_text(void *user, const weft_http_access *access);
WEFT_API void weft_http_access_log_json(void *user, const weft_http_access *access);

/* === servers ============================================================================== */

/* Which Host fields a server takes beside those that are named. */
typedef enum weft_http_host_rule {
	WEFT_HTTP_HOST_ANY,	 /* all, unless `hosts` is given */
	WEFT_HTTP_HOST_LOOPBACK, /* on connections to a loopback address: localhost, 127.0.0.1
				  * and [::1], with whatever port; elsewhere as ANY */
} weft_http_host_rule;

typedef struct weft_http_server_options {
	const char *name;	  /* of its fibers, in log lines; NULL: "http" */
	weft_http_router *router; /* its first; NULL: an empty one */
	weft_tls *tls;		  /* a server's; NULL: clear */
	weft_cancel *stop;	  /* when it is cancelled: weft_http_server_stop; may be NULL */
	const char *server_field; /* the Server field of responses; NULL: none */

	/* Bounds. 0: the default. */
	size_t connections_max;	   /* at once, exactly; over it: 503 and close, or with TLS, or
				    * for many at once, a reset; 10,000 */
	size_t requests_max;	   /* of a connection, which is then closed; no limit */
	size_t header_size_max;	   /* bytes of a request's line and fields, 431 and 414; 64 KiB;
				  * 1 KiB..1 MiB */
	unsigned header_count_max; /* fields: 431; 100 */
	uint64_t body_size_max;	   /* bytes: 413; 10 MiB */
	size_t body_drop_max;	   /* bytes of a body that the handler left unread, to be read and
				  * dropped: else the connection is closed; 256 KiB */

	/* Times, ns. 0: the default. */
	int64_t header_timeout_ns; /* for TLS, and for a request's head, from its first byte, or,
				    * the first one's, from the connection's beginning: 408; 10 s */
	int64_t idle_timeout_ns;   /* between requests: closed; 60 s */
	int64_t write_timeout_ns;  /* without progress of a write: reset; 30 s */
	/* A body must come, and a response be taken, with so many bytes a second, after the
	 * first body_grace_ns, or write_timeout_ns. Only time spent waiting for the client
	 * counts. */
	unsigned body_rate_min;	 /* 500 */
	int64_t body_grace_ns;	 /* 10 s */
	int64_t stop_timeout_ns; /* for requests in flight when stopped; negative: 5 s; 0: none */
	int64_t sse_comment_ns;	 /* a comment to idle event streams; negative: none; 15 s */

	/*
	 * Against requests that other web sites make a browser send (DNS rebinding). Lists end
	 * with NULL, are copied, compared without regard to case. Either answers 403.
	 */
	weft_http_host_rule host_rule; /* WEFT_HTTP_HOST_ANY */
	const char *const *hosts;      /* allowed Host fields, without or with a port; NULL: all */
	const char *const *origins;    /* allowed Origin fields; one that is absent is fine; a
					* list without an entry: none; NULL: not looked at */

	/* Called at the end of each exchange, in its fiber: must not block for long. May be
	 * NULL. */
	void (*access)(void *user, const weft_http_access *access);
	void *user;
} weft_http_server_options;

#define WEFT_HTTP_SERVER_OPTIONS_DEFAULT                                              \
	{                                                                             \
		NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, 0, \
			WEFT_HTTP_HOST_ANY, NULL, NULL, NULL, NULL                    \
	}

/*
 * weft_http_server
 *
 *	created --start, serve, serve_conn--> running --stop--> draining --> stopped
 *	   `------------------------------stop-------------------------------^
 *
 * Draining: no connection is accepted; listeners, idle connections and those within a TLS
 * handshake are closed; a response under way says "Connection: close" if it can still; tokens of
 * weft_http_exchange_watch are cancelled. After stop_timeout_ns what is left is cut: connections
 * are reset, their fibers cancelled.
 *
 * Lifetime: one owner, who created it in a fiber, and frees it in a fiber.
 * Threads:  all but create and free from any fiber or plain thread; serve_conn from a fiber.
 * Blocking: serve, serve_conn, wait, free.
 */
typedef enum weft_http_server_state {
	WEFT_HTTP_SERVER_CREATED,
	WEFT_HTTP_SERVER_RUNNING,
	WEFT_HTTP_SERVER_DRAINING,
	WEFT_HTTP_SERVER_STOPPED,
} weft_http_server_state;

/* options may be NULL; strings are copied, router, tls and stop are held. Connections live in a
 * scope below the calling fiber's, and end with it.
 * Errors: WEFT_EINVAL (an option, named in the detail; not in a fiber), WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_server_create(
	weft_http_server **out, const weft_http_server_options *options);
/*
 * Starts it, with a fiber that serves the listener. However many call this, it is started
 * once: the others get WEFT_EDUPLICATE, as do all when it runs already by serve or serve_conn.
 * The listener is borrowed until the server has stopped, which closes it.
 * Errors: WEFT_EDUPLICATE, WEFT_ECLOSED (it was stopped), WEFT_ENOMEM, WEFT_ECAPACITY: the
 * server is as before.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_server_start(
	weft_http_server *server, weft_listener *listener);
/* Serves one more listener, in the calling fiber or thread, until the listener or the server is
 * closed: WEFT_OK then. Starts the server if need be. Any number at once. The listener is
 * borrowed for the call; the server closes it when it stops.
 * Errors: WEFT_ECLOSED (the server was stopped before), WEFT_ECANCELED, WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_server_serve(
	weft_http_server *server, weft_listener *listener);
/*
 * Serves one connection, whatever its transport, until it is over, in a fiber beside the calling
 * one, whose end it shares and the server's; frees it, also on error. TLS is spoken where the
 * option is set. Starts the server if need be. Waits, too, for what handlers have started by
 * weft_spawn without a handle.
 * Errors: WEFT_ECLOSED (the server was stopped before, or within the TLS handshake),
 * WEFT_ECAPACITY (over connections_max: see there), WEFT_ENOMEM, WEFT_ETLS; WEFT_EPROTO,
 * WEFT_ERESET, WEFT_ETIMEDOUT and so on when the connection did not end in order; WEFT_EINVAL (not
 * in a fiber).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_serve_conn_own(
	weft_http_server *server, weft_conn *conn);

/* Requests that are parsed from now on use this table; those before end with theirs. Errors:
 * WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_server_router_set(
	weft_http_server *server, weft_http_router *router);
/* The table, with a reference that is the caller's. */
WEFT_API WEFT_MUST_CHECK weft_http_router *weft_http_server_router(weft_http_server *server);
/* Adds a route: in effect, replaces the table by one that has it too. Of several that add the
 * same at once, one does. Errors: as weft_http_router_add. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_server_route(weft_http_server *server,
	const char *method, const char *pattern, weft_http_handler handler, void *arg);

/* Without a lock. */
WEFT_API weft_http_server_state weft_http_server_state_get(const weft_http_server *server);
/* Begins to drain. Idempotent, never blocks, from anywhere. */
WEFT_API void weft_http_server_stop(weft_http_server *server);
/* Until it has stopped, all its connections over. Errors: WEFT_ETIMEDOUT, WEFT_ECANCELED. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_server_wait(
	weft_http_server *server, weft_deadline until);

typedef struct weft_http_server_stats {
	uint64_t connections;	      /* taken, all told */
	uint64_t connections_refused; /* over connections_max */
	uint64_t connections_cut;     /* by the end of stop_timeout_ns */
	size_t connections_now;
	uint64_t requests;	      /* handled */
	uint64_t replies[6];	      /* by the status's first digit; [0]: none was sent */
	uint64_t timeouts;	      /* connections that ended for a client too slow */
	uint64_t malformed;	      /* requests that could not be parsed */
	uint64_t forbidden;	      /* requests refused for their Host or Origin */
	uint64_t bytes_in, bytes_out; /* read from and written to connections */
	uint64_t reads, writes;	      /* calls for it */
} weft_http_server_stats;
/* Exact when nothing goes on meanwhile. */
WEFT_API void weft_http_server_stats_get(
	const weft_http_server *server, weft_http_server_stats *out);
/* Stops at once what still runs, waits for its fibers (shielded), frees. No call of serve or
 * serve_conn may be under way: stop the server, and join who made them, before. NULL is
 * allowed. */
WEFT_API void weft_http_server_free(weft_http_server *server);

WEFT_END_DECLS
#endif
