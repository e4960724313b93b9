/* SPDX-License-Identifier: MIT */
#ifndef WEFT_TRANSPORT_H
#define WEFT_TRANSPORT_H

#include <weft/conn.h>
#include <weft/jsonrpc.h>
#include <weft/net.h>
#include <weft/process.h>
#include <weft/tls.h>

WEFT_BEGIN_DECLS
/*
 * JSON-RPC messages over anything, in three layers, each of which can be replaced:
 *
 *	protocol	weft_rpc (rpc.h): calls, and the handlers of a server
 *	direction	weft_incoming accepts sessions, weft_outgoing connects them
 *	raw		weft_transport: a session's messages, both ways
 *
 * A session is one client's conversation with one server. Over stdio and sockets it is a
 * connection; over HTTP (mcp_http.h) it is many requests that name it.
 *
 * Threads:  everything from any fiber or plain thread at once, unless it says otherwise.
 * Blocking: what takes a weft_deadline; cancellation points.
 */

/* === messages ============================================================================= */

/*
 * A message: one JSON value in UTF-8, without white space around it and without CR and LF, so that
 * it can stand on a line. All of 0 is none.
 * Lifetime: one owner, from what made it to _fini or to a function that takes it (_own).
 */
typedef struct weft_message {
	weft_buf text;	  /* its own, or shared and then not to be changed: weft_buf_is_unique */
	weft_jsonrpc rpc; /* its envelope, pointing into text */
	/*
	 * Of kind INVALID: WEFT_EPROTO, or WEFT_EMSGSIZE: over a limit; text is then its
	 * beginning, rpc.id its id, wherever that was, if it can be told (it does not lie in text),
	 * and would_be its kind, if that can be told, or INVALID.
	 * Of kind ERROR: why the transport itself answers, in the place of a server that did not.
	 * Of kind REQUEST: WEFT_EAGAIN: it is one that was sent, and comes back untaken (see
	 * gives_back of weft_mcp_client_options).
	 * Otherwise WEFT_OK.
	 */
	weft_err err;
	weft_jsonrpc_kind would_be;
} weft_message;

/* Copies a text and scans it; that it is no message is no error: see weft_message.
 * Errors: those of weft_buf_alloc. limits and pool may be NULL. */
WEFT_API WEFT_MUST_CHECK weft_err weft_message_copy(weft_message *out, weft_buf_pool *pool,
	const char *text, size_t len, const weft_json_limits *limits);
/* The same without a copy: text is taken, also on error, and written to (line ends become blanks).
 * Errors: WEFT_EINVAL (it is shared). */
WEFT_API WEFT_MUST_CHECK weft_err weft_message_own(
	weft_message *out, weft_buf *text, const weft_json_limits *limits);
/* Errors: those of weft_jsonrpc_write_buf. */
WEFT_API WEFT_MUST_CHECK weft_err weft_message_write(
	weft_message *out, weft_buf_pool *pool, const weft_jsonrpc_draft *draft);
/* Another owner of the same text. */
WEFT_API void weft_message_ref(weft_message *out, const weft_message *message);
/* Other values in the place of some (weft_json_edit: spans of message->text): where they lie if they
 * fit and nobody shares the text, else in a new buffer. The envelope follows.
 * Errors: as weft_json_edit_buf; message is then as it was. */
WEFT_API WEFT_MUST_CHECK weft_err weft_message_edit(
	weft_message *message, weft_buf_pool *pool, const weft_json_edit *edits, unsigned count);
/* What message was moved to owns it; message is none. */
WEFT_API void weft_message_move(weft_message *to, weft_message *message);
/* None is allowed, and is what message is afterwards. */
WEFT_API void weft_message_fini(weft_message *message);

/* === transports =========================================================================== */

/*
 * weft_transport: the messages of one session.
 *
 * Receiving is either by _receive, or by functions that get what comes (_start), for the whole of
 * its life. Batches (JSON-RPC 2.0, section 6) come as their elements.
 *
 * Lifetime: one owner, who frees it. _close may be called at any time before that.
 */
typedef struct weft_transport weft_transport;

typedef struct weft_transport_sink {
	/*
	 * A message came, and is the sink's. Called in a fiber of the transport's, or in the one
	 * that has it from the net; several at once where the transport has no order, as over
	 * HTTP. It may park: meanwhile no more is read from where it came.
	 */
	void (*message)(void *user, weft_message *message);
	/*
	 * The last call, once, when no other is under way: no more will come. WEFT_ECLOSED: in
	 * order, or closed here; otherwise why it was lost. In a fiber, which must not free the
	 * transport.
	 */
	void (*ended)(void *user, weft_err err, const char *detail);
} weft_transport_sink;

typedef struct weft_transport_options {
	size_t message_size_max;    /* bytes of a message, either way; 0: 10 MiB */
	unsigned depth_max;	    /* of its JSON; 0: WEFT_JSON_DEPTH_DEFAULT */
	int64_t connect_timeout_ns; /* 0: 10 s */
	int64_t send_timeout_ns; /* without progress of a send: the transport is reset; 0: 30 s */
	size_t inbox_max;	 /* messages that wait for _receive; 0: 1000 */
	weft_buf_pool *pool;	 /* of messages; borrowed; NULL: plain memory */
} weft_transport_options;

#define WEFT_TRANSPORT_OPTIONS_DEFAULT \
	{                              \
		0, 0, 0, 0, 0, NULL    \
	}

/* From now on what comes is given to the sink. Once, in a fiber; sink is copied. Fibers that it
 * needs are in a scope of the transport's own.
 * Errors: WEFT_EINVAL (started already, or _receive was called), WEFT_ECLOSED, WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_transport_start(
	weft_transport *transport, const weft_transport_sink *sink, void *user);
/* The next message. Errors: WEFT_ECLOSED (ended in order, or closed here), WEFT_ERESET (lost; the
 * detail says why), WEFT_ECHILD, WEFT_ETIMEDOUT (until), WEFT_ECANCELED, WEFT_ENOMEM, WEFT_EINVAL. */
WEFT_API WEFT_MUST_CHECK weft_err weft_transport_receive(
	weft_transport *transport, weft_message *out, weft_deadline until);
/*
 * Sends a message, which is taken, also on error. WEFT_OK: it has left, or waits in a bounded queue
 * of the transport; those of one fiber stay in order where the transport has one.
 * Errors: WEFT_EMSGSIZE (over message_size_max: nothing of it was sent), WEFT_EINVAL (kind INVALID),
 * WEFT_ECLOSED, WEFT_ERESET, WEFT_ETIMEDOUT (until, before any of it was sent), WEFT_ECANCELED
 * (likewise), WEFT_ECAPACITY, WEFT_ENOMEM; WEFT_ENOTFOUND (a response that nobody waits for).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_transport_send_own(
	weft_transport *transport, weft_message *message, weft_deadline until);
/* Ends the session: in order where that is known to the transport (a child is told to end by the
 * end of its stdin). Idempotent, does not wait; a receive under way returns WEFT_ECLOSED. */
WEFT_API void weft_transport_close(weft_transport *transport);
/* Closes, waits for what it has running (a child: until it is reaped; weft_process_stop), frees. In a
 * fiber; shielded. NULL is allowed. */
WEFT_API void weft_transport_free(weft_transport *transport);
/* The other end, such as "tcp://127.0.0.1:51514" or "node server.mjs"; until free. */
WEFT_API const char *weft_transport_name(const weft_transport *transport);
/* What kind of transport it is: "stdio", "tcp", "http", "sse", ...; static. */
WEFT_API const char *weft_transport_kind(const weft_transport *transport);
/* The worker on which it lives: fibers beside it are cheap to wake. UINT_MAX: any. */
WEFT_API unsigned weft_transport_worker(const weft_transport *transport);

typedef struct weft_transport_stats {
	uint64_t received, sent;	     /* messages */
	uint64_t bytes_received, bytes_sent; /* of messages */
	uint64_t invalid;		     /* received: no message, or too large */
} weft_transport_stats;
WEFT_API void weft_transport_stats_get(const weft_transport *transport, weft_transport_stats *out);

/* A transport of the caller's own functions; free comes last, once. What they get is what the
 * functions above promise; start is called at most once, close any number of times. worker may be
 * NULL. */
typedef struct weft_transport_ops {
	const char *kind;
	weft_err (*start)(void *user, weft_transport *transport);
	weft_err (*send_own)(void *user, weft_message *message, weft_deadline until);
	void (*close)(void *user);
	void (*free)(void *user);
	unsigned (*worker)(void *user);
} weft_transport_ops;
/* ops is borrowed for its life; name is copied. On an error user is still the caller's.
 * Errors: WEFT_EINVAL, WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_transport_create(weft_transport **out,
	const weft_transport_ops *ops, void *user, const char *name,
	const weft_transport_options *options);
/* For those functions: gives a message (taken) to whoever receives, parking while there is no room;
 * and the end, once, after the last of these has returned. */
WEFT_API void weft_transport_deliver_own(weft_transport *transport, weft_message *message);
WEFT_API void weft_transport_deliver_end(
	weft_transport *transport, weft_err err, const char *detail);

/*
 * A message a line over any conn, which is taken, also on error: writes LF, accepts CRLF, skips
 * blank lines. A line that is no message is given on as one of kind INVALID; one that is over the
 * limit likewise, and what follows it is read as usual.
 * Sends of several at once go out together, by one of them. Errors: WEFT_EINVAL, WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_transport_lines_own(
	weft_transport **out, weft_conn *conn, const weft_transport_options *options);
/* Two ends in memory, each with room for that many messages towards the other (0: 64). */
WEFT_API WEFT_MUST_CHECK weft_err weft_transport_pair(
	weft_transport *ends[2], size_t messages_max, const weft_transport_options *options);

/* === directions =========================================================================== */

/* weft_incoming: where sessions come from. Lifetime: one owner. */
typedef struct weft_incoming weft_incoming;
/* The next session, which is the caller's. Errors: WEFT_ECLOSED (no more will come), WEFT_ETIMEDOUT,
 * WEFT_ECANCELED; others are of one session: another call may succeed. */
WEFT_API WEFT_MUST_CHECK weft_err weft_incoming_accept(
	weft_incoming *incoming, weft_transport **out, weft_deadline until);
/* Accepts no more. Idempotent, from anywhere; sessions go on. */
WEFT_API void weft_incoming_close(weft_incoming *incoming);
/* NULL is allowed. */
WEFT_API void weft_incoming_free(weft_incoming *incoming);
WEFT_API const char *weft_incoming_name(const weft_incoming *incoming);

typedef struct weft_incoming_ops {
	weft_err (*accept)(void *user, weft_transport **out, weft_deadline until);
	void (*close)(void *user);
	void (*free)(void *user);
} weft_incoming_ops;
WEFT_API WEFT_MUST_CHECK weft_err weft_incoming_create(
	weft_incoming **out, const weft_incoming_ops *ops, void *user, const char *name);
/* This process's stdin and stdout: one session. Errors: as weft_conn_stdio. */
WEFT_API WEFT_MUST_CHECK weft_err weft_incoming_stdio(
	weft_incoming **out, const weft_transport_options *options);
/* A session a connection, a message a line. The listener is taken, also on error; tls (a server's)
 * is held, NULL: clear. */
WEFT_API WEFT_MUST_CHECK weft_err weft_incoming_listener_own(weft_incoming **out,
	weft_listener *listener, weft_tls *tls, const weft_transport_options *options);

/* weft_outgoing: how a session is had. Lifetime: one owner, who frees it after what it
 * connected. */
typedef struct weft_outgoing weft_outgoing;
/* A new session, which is the caller's. Errors: those of the transport: WEFT_ESPAWN, WEFT_EREFUSED,
 * WEFT_ERESOLVE, WEFT_ETIMEDOUT, WEFT_ETLS, WEFT_EAUTH, WEFT_ECAPACITY, WEFT_ECANCELED, ... */
WEFT_API WEFT_MUST_CHECK weft_err weft_outgoing_connect(
	weft_outgoing *outgoing, weft_transport **out, weft_deadline until);
/* NULL is allowed. */
WEFT_API void weft_outgoing_free(weft_outgoing *outgoing);
WEFT_API const char *weft_outgoing_name(const weft_outgoing *outgoing);

typedef struct weft_outgoing_ops {
	weft_err (*connect)(void *user, weft_transport **out, weft_deadline until);
	void (*free)(void *user);
} weft_outgoing_ops;
WEFT_API WEFT_MUST_CHECK weft_err weft_outgoing_create(
	weft_outgoing **out, const weft_outgoing_ops *ops, void *user, const char *name);
/*
 * A child a session: its stdin and stdout, a message a line. What it writes to stderr goes to log,
 * line by line, without escape sequences and control characters, in a fiber of the transport's;
 * NULL: to weft_log, module name. process is copied; its stdio modes are not looked at.
 * The session ends with the child: WEFT_ECLOSED (exited with 0), WEFT_ECHILD (the detail says how).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_outgoing_process(weft_outgoing **out, const char *name,
	const weft_process_options *process, const weft_transport_options *options,
	void (*log)(void *user, const char *name, const char *line), void *user);
/* A connection a session, to an address as weft_dial takes it; tls (a client's) is held. net may be
 * NULL. */
WEFT_API WEFT_MUST_CHECK weft_err weft_outgoing_dial(weft_outgoing **out, const char *address,
	const weft_net_options *net, weft_tls *tls, const char *tls_host,
	const weft_transport_options *options);

/*
 * Where an endpoint leads, as TO of the command: exec:, tcp://, tls://, unix:, http://, https://,
 * sse+http://, with its options; or a child process, command, in place of to. Reads the files that
 * the options name. In a fiber.
 * Errors: WEFT_EINVAL (the detail says what is wrong with it), WEFT_ENOSYS (TLS, where the library has
 * none), WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_outgoing_endpoint(weft_outgoing **out, const char *to,
	const char *const *command, const weft_transport_options *options);

WEFT_END_DECLS
#endif
