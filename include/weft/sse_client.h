/* SPDX-License-Identifier: MIT */
#ifndef WEFT_SSE_CLIENT_H
#define WEFT_SSE_CLIENT_H

#include <weft/http_client.h>
#include <weft/sse.h>

WEFT_BEGIN_DECLS
/*
 * weft_sse_client: receives Server-Sent Events and connects again when the stream is lost, as
 * EventSource does (html.spec.whatwg.org, 9.2 "Server-sent events").
 *
 *	err = weft_sse_client_open(&sse, client, "http://host/events", NULL, weft_after_ms(5000));
 *	while (!err || err == WEFT_ERESET) {
 *		err = weft_sse_client_next(sse, &event, WEFT_FOREVER);
 *		if (!err)
 *			use(event.type, event.data, event.data_len);
 *		else if (err == WEFT_ERESET)
 *			tell(weft_error_detail());	events may have been missed
 *	}
 *	weft_sse_client_free(sse);
 *
 * A stream that breaks, or that the server ends, is an error that _next returns: WEFT_ERESET,
 * once for each loss and for each attempt to connect again that failed, the detail saying why.
 * Who calls _next again waits until there is a connection again, and then for its events; the
 * request for it has the last event's id as Last-Event-ID. All other errors but those of
 * waiting are final: see _next.
 *
 * Before each new attempt there is a wait: what the server last said as `retry`, or
 * retry_ns, and a random part on top. It doubles with each attempt in a row that brought no
 * byte, up to retry_max_ns or the server's own, whichever is more.
 *
 * Lifetime: one owner, from _open to _free. The HTTP client is referenced meanwhile.
 * Threads:  one at a time, any fiber or plain thread; _close from anywhere, at any time
 *           before _free.
 * Blocking: open, next; cancellation points. _free waits for a fiber that it cancels.
 *           Connections are made, and waited for, by a fiber in a scope of the client's
 *           own, which is one of the fiber that opened it: its cancellation closes the client.
 * Memory:   16 KiB for reading, and what the parser needs (sse.h).
 */
typedef struct weft_sse_client weft_sse_client;

#define WEFT_SSE_RETRY_MAX_NS (INT64_C(3600) * 1000000000) /* of a server's `retry`: 1 hour */

/* Zero is a good value of each field. */
typedef struct weft_sse_client_options {
	/*
	 * What each request is like: fields, origin_fields, unix_path, proxy, tls,
	 * redirects_max (0 here: 10), redirects_downgrade, decode, the functions and user; all
	 * borrowed until free. The rest is not for setting. NULL: the defaults. Accept,
	 * Cache-Control and Last-Event-ID are set by the client itself, whatever fields has.
	 */
	const weft_http_request *request;
	const char *last_event_id;  /* for the first request; copied; NULL: none */
	int64_t retry_ns;	    /* until the server says another; 0: 3 s */
	int64_t retry_max_ns;	    /* 0: 60 s */
	int jitter_percent;	    /* of the wait, at most, on top; 0: 25; -1: none */
	unsigned attempts_max;	    /* that fail in a row; 0: no limit */
	int64_t connect_timeout_ns; /* of each attempt but the first, up to the response's head;
				     * 0: 30 s */
	int64_t idle_timeout_ns; /* a stream without a byte (a comment is some) is lost; 0: never */
	weft_sse_options parser; /* limits, and whether _next reports comments and `retry`, too */
} weft_sse_client_options;

#define WEFT_SSE_CLIENT_OPTIONS_DEFAULT                                \
	{                                                              \
		NULL, NULL, 0, 0, 0, 0, 0, 0, WEFT_SSE_OPTIONS_DEFAULT \
	}

/*
 * Connects; until counts for this first attempt. options may be NULL.
 * Errors: WEFT_EINVAL (names the field); WEFT_ECLOSED (status 204: the server has nothing
 * more to say), WEFT_EAUTH (401, 403, 407), WEFT_ENOTFOUND (404, 410), WEFT_ENOSYS (405, 501: there
 * is no stream), WEFT_EREFUSED (any other status but 200), WEFT_EPROTO (not text/event-stream), those of weft_http_client_send,
 * WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_sse_client_open(weft_sse_client **out,
	weft_http_client *http, const char *url, const weft_sse_client_options *options,
	weft_deadline until);

/*
 * The next event; what it points to is valid until the next call.
 *
 * To go on after: WEFT_ERESET (lost: see above; call again to connect again), WEFT_EMSGSIZE
 * (one event was over a limit, the stream goes on), WEFT_ETIMEDOUT (until; nothing is lost, and
 * an attempt to connect goes on), WEFT_ECANCELED (the caller), WEFT_ENOMEM.
 * Final, and returned again: WEFT_ECLOSED (closed here, by status 204, or with the HTTP client),
 * WEFT_EAUTH, WEFT_ENOTFOUND, WEFT_EREFUSED, WEFT_EPROTO (as open, now of an attempt to connect
 * again), WEFT_EINVAL (an id that no header field can carry), WEFT_ENOSYS (as open; or a redirect to https
 * in a library without TLS), WEFT_ECAPACITY (attempts_max in a row have failed).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_sse_client_next(
	weft_sse_client *client, weft_sse_event *event, weft_deadline until);

/* The id of the last event that was received: what Last-Event-ID will be; "" when there is
 * none. Valid until the next call of _next. */
WEFT_API const char *weft_sse_client_last_id(const weft_sse_client *client);
/* True from a response's head until its stream is lost; false when there is no connection now. */
WEFT_API bool weft_sse_client_is_open(const weft_sse_client *client);
/* True once _next has returned a final error. */
WEFT_API bool weft_sse_client_is_over(const weft_sse_client *client);
/* After WEFT_ERESET: when the next attempt begins. */
WEFT_API weft_deadline weft_sse_client_retry_at(const weft_sse_client *client);
/* The response whose stream this is, for its fields; NULL while there is none. Valid until the
 * next call of _next. */
WEFT_API const weft_http_response *weft_sse_client_response(const weft_sse_client *client);
/* Connections that were made after the first. */
WEFT_API uint64_t weft_sse_client_reconnects(const weft_sse_client *client);

/* Ends the connection; _next returns WEFT_ECLOSED, also one that is under way. Idempotent. */
WEFT_API void weft_sse_client_close(weft_sse_client *client);
/* Closes and frees. NULL is allowed. */
WEFT_API void weft_sse_client_free(weft_sse_client *client);

WEFT_END_DECLS
#endif
