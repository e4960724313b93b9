/* SPDX-License-Identifier: MIT */
#ifndef WEFT_RPC_H
#define WEFT_RPC_H

#include <weft/transport.h>

WEFT_BEGIN_DECLS
/*
 * weft_rpc: JSON-RPC 2.0 over a transport. Calls get their answers by id; what the other end calls is
 * handled by functions, in fibers. Both ends may do both.
 *
 * A call that is given up is cancelled as the Model Context Protocol does it, by a notification
 * "notifications/cancelled" with its requestId; one that comes cancels the handler.
 *
 * Lifetime: one owner, who frees it. _close may be called at any time before that.
 * Threads:  calls and notifications from any fiber or plain thread at once.
 * Blocking: call, notify, wait, serve; cancellation points.
 */
typedef struct weft_rpc weft_rpc;

/* A call that came, or a notification: in its handler, and only there. */
typedef struct weft_rpc_request weft_rpc_request;

/*
 * Calls are handled at once, each in a fiber of its own; notifications one after the other, in their
 * order, in one beside. A handler that returns without having answered a call answers it: WEFT_OK with null, an error with -32603 and the error's detail. A handler is
 * cancelled (as if its scope was) when the caller cancels the call, and then not answered; when the
 * transport is lost; and by weft_rpc_close.
 */
typedef weft_err (*weft_rpc_fn)(weft_rpc_request *request, void *user);

typedef struct weft_rpc_method {
	const char *name; /* NULL: any that none before it has */
	weft_rpc_fn fn;
	void *user;
} weft_rpc_method;

typedef struct weft_rpc_options {
	/* What the other end may call or notify; copied. Others get -32601, or are dropped. */
	const weft_rpc_method *methods;
	size_t method_count;
	size_t handlers_max; /* that run or wait to; a call beyond gets -32000, a notification
			      * is dropped; 0: 1000 */
	size_t calls_max;    /* of ours, unanswered: WEFT_ECAPACITY; 0: 1000; up to 65536 */
} weft_rpc_options;

#define WEFT_RPC_OPTIONS_DEFAULT \
	{                        \
		NULL, 0, 0, 0    \
	}

/* Starts the transport, which is taken, also on error. In a fiber. options may be NULL.
 * Errors: WEFT_EINVAL, WEFT_ENOMEM, those of weft_transport_start. */
WEFT_API WEFT_MUST_CHECK weft_err weft_rpc_create_own(
	weft_rpc **out, weft_transport *transport, const weft_rpc_options *options);

/*
 * Calls, and waits for the answer: WEFT_OK whatever it says, answer->rpc.kind is
 * WEFT_JSONRPC_RESPONSE or WEFT_JSONRPC_ERROR; the message is the caller's. params: an object, an
 * array, or none.
 * Errors: WEFT_ECAPACITY (calls_max), WEFT_ECLOSED, WEFT_ERESET (the session was lost: whether the
 * call was carried out isn't known), WEFT_EMSGSIZE (the call, or its answer, is over the transport's
 * limit), WEFT_ETIMEDOUT, WEFT_ECANCELED (the call was cancelled there, too), WEFT_EINVAL,
 * WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_rpc_call(weft_rpc *rpc, const char *method, weft_json params,
	weft_message *answer, weft_deadline until);
/* Errors: those of weft_transport_send_own. */
WEFT_API WEFT_MUST_CHECK weft_err weft_rpc_notify(
	weft_rpc *rpc, const char *method, weft_json params, weft_deadline until);

/* ---- in a handler ---- */

/* The message: method, params and so on; valid as long as the handler runs. */
WEFT_API const weft_jsonrpc *weft_rpc_request_message(const weft_rpc_request *request);
/* Where it came: to notify and to call the caller. */
WEFT_API weft_rpc *weft_rpc_request_rpc(const weft_rpc_request *request);
/*
 * The answer; result is any value. Of a notification: dropped, WEFT_OK.
 * Errors: WEFT_EDUPLICATE (it was answered), WEFT_EINVAL (no value), those of
 * weft_transport_send_own.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_rpc_request_reply(
	weft_rpc_request *request, weft_json result);
/* message: a text; data: any value, or none. Errors: as reply. */
WEFT_API WEFT_MUST_CHECK weft_err weft_rpc_request_reply_error(
	weft_rpc_request *request, int64_t code, const char *message, weft_json data);

/* ---- ends ---- */

/* Until the session has ended and its handlers are done: WEFT_ECLOSED (in order, or closed here),
 * otherwise why it was lost; WEFT_ETIMEDOUT, WEFT_ECANCELED. */
WEFT_API WEFT_MUST_CHECK weft_err weft_rpc_wait(weft_rpc *rpc, weft_deadline until);
/* Idempotent, does not wait; calls under way return WEFT_ECLOSED. */
WEFT_API void weft_rpc_close(weft_rpc *rpc);
/* Closes, cancels the handlers and waits for them, frees the transport, too. No call may be under way.
 * In a fiber; shielded. NULL is allowed. */
WEFT_API void weft_rpc_free(weft_rpc *rpc);

/* Serves each session that comes, in a fiber of its own, until no more come: WEFT_OK once the last has
 * ended; or WEFT_ECANCELED, WEFT_ETIMEDOUT (until, after which none is left). */
WEFT_API WEFT_MUST_CHECK weft_err weft_rpc_serve(
	weft_incoming *incoming, const weft_rpc_options *options, weft_deadline until);

WEFT_END_DECLS
#endif
