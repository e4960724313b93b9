/* SPDX-License-Identifier: MIT */
#ifndef WEFT_HTTP_CLIENT_H
#define WEFT_HTTP_CLIENT_H

#include <weft/buf.h>
#include <weft/conn.h>
#include <weft/http.h>
#include <weft/net.h>

WEFT_BEGIN_DECLS
/*
 * weft_http_client: HTTP/1.1 requests (RFC 9110, RFC 9112) over connections that are kept and
 * used again.
 *
 *	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
 *
 *	request.url = "http://127.0.0.1:8080/";
 *	err = weft_http_client_send(client, &request, &response, weft_after_ms(5000));
 *	... weft_http_response_read(response, ...) until WEFT_ECLOSED
 *	weft_http_response_free(response);
 *
 * A connection carries one request at a time. It is found by scheme, host and port, and what
 * else makes another connection of it: socket path, proxy, TLS settings. Of those that are
 * idle the one used last is taken, first among those that the caller's own worker serves.
 * When none is idle one is dialled, in a fiber of the client's own; whichever comes first,
 * that one or another that is given back, serves the request, and the new one is kept. Who
 * can't dial because of a limit waits in order of arrival.
 *
 * A request whose kept connection died before any byte of the response came is sent once
 * more, on a new connection, if its method is idempotent (RFC 9110, section 9.2.2: GET, HEAD,
 * OPTIONS, TRACE, PUT, DELETE) and its body can be had again. Others are never sent twice.
 *
 * Lifetime: shared by reference counts. With the last reference, or by _close, idle
 *           connections are closed and dials cancelled; responses that are out go on until
 *           they are freed. All of it before the runtime ends.
 * Threads:  a client may be used from any fiber and plain thread at once. A response is used
 *           by one at a time.
 * Blocking: send, read, read_all; cancellation points. _free of a response may wait for its
 *           body's sender, which it cancels; _close and the last _unref for dials, likewise.
 */
typedef struct weft_http_client weft_http_client;
typedef struct weft_http_response weft_http_response;
typedef struct weft_tls weft_tls;

/* --- the client --------------------------------------------------------------------------- */

#define WEFT_HTTP_CONNECTIONS_MAX ((size_t)1 << 20)
#define WEFT_HTTP_CLIENT_SHARDS_MAX 1024

/* Zero is a good value of each field. Times in nanoseconds; -1: no limit of its own. Each
 * is beside the deadline of the call: the earlier one counts. */
typedef struct weft_http_client_options {
	const char *user_agent; /* copied; NULL: "weft/VERSION"; "": no such field is sent */
	/* For https; a reference is taken. NULL: one with the system's roots, made when it is
	 * first needed. */
	weft_tls *tls;
	const weft_net_options *net; /* copied; NULL: the defaults */
	weft_buf_pool *buffers;	     /* borrowed for the client's life; NULL: one of its own */

	/* the pool of connections */
	size_t connections_max;		/* open or being dialled, exactly; 0: 1024 */
	size_t connections_per_key_max; /* of these, to one place; 0: 256 */
	size_t idle_per_key_max;	/* kept idle; more are closed; 0: no limit of its own */
	size_t waiters_max;	    /* requests that wait for a connection to one place; 0: 65536 */
	unsigned shards;	    /* of the table of places, a power of two; 0: 16 */
	int64_t idle_timeout_ns;    /* an idle connection is closed then; 0: 90 s */
	int64_t connect_timeout_ns; /* name, dial and TLS handshake together; 0: 30 s */

	/* a message */
	int64_t head_timeout_ns;   /* from the end of the request to the head; 0: no limit */
	int64_t stall_timeout_ns;  /* a body, either way, without progress, in however many
				    * reads; 0: 60 s */
	int64_t expect_timeout_ns; /* how long a body waits for 100 (Continue); 0: 1 s */
	size_t head_size_max;	   /* bytes of a response's head; 0: 64 KiB; trailers: 8 KiB */
	size_t fields_max;	   /* header fields in it; 0: 100; at most WEFT_HTTP_FIELDS_MAX */
	unsigned interim_max;	   /* 1xx responses before the final one; 0: 16 */
	uint64_t body_size_max;	   /* bytes of a response's body; 0: no limit */
	size_t drain_max; /* bytes of an unread body that _free reads away, if they have come,
			   * to keep the connection; 0: 64 KiB */
	unsigned decode_ratio_max; /* how many times larger a body may come out than it came,
				    * after its first MiB; 0: 200 */

	/* Goes through the proxies that the environment names when the client is made:
	 * http_proxy, https_proxy, HTTPS_PROXY, all_proxy, ALL_PROXY, but to what is in no_proxy
	 * or NO_PROXY (docs/http.md). */
	bool proxy_env;
} weft_http_client_options;

#define WEFT_HTTP_CLIENT_OPTIONS_DEFAULT                                                      \
	{                                                                                     \
		NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, false \
	}

/* options may be NULL. Errors: WEFT_EINVAL (names the field), WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_client_create(
	weft_http_client **out, const weft_http_client_options *options);
WEFT_API weft_http_client *weft_http_client_ref(weft_http_client *client);
/* NULL is allowed. */
WEFT_API void weft_http_client_unref(weft_http_client *client);
/* New requests, and those that wait for a connection, get WEFT_ECLOSED. Idempotent. */
WEFT_API void weft_http_client_close(weft_http_client *client);

/* --- requests ----------------------------------------------------------------------------- */

/*
 * A body from a function: fills in up to size bytes, at least one, as weft_conn_read does; may
 * wait. WEFT_ECLOSED: the end; any other error ends the request with it. Called by one fiber
 * or thread at a time, not always by the one that sends.
 */
typedef weft_err (*weft_http_body_fn)(
	void *user, void *data, size_t size, size_t *got, weft_deadline until);

/* Borrowed for the call; what a body is made of (body, body_user, trailers) until the response
 * is freed, because it may still be on its way when the response's head has come. Zero is a
 * good value of each field but url. */
typedef struct weft_http_request {
	const char *method;		 /* a token; NULL: GET */
	const char *url;		 /* absolute; userinfo in it is refused */
	const weft_http_url *url_parsed; /* instead of url */
	/*
	 * The client itself sends Host and User-Agent, unless they are here, and Connection,
	 * Content-Length, Transfer-Encoding and Expect: such fields are refused here, but
	 * "Connection: close", which is honoured, and "keep-alive".
	 */
	const weft_http_fields *fields;

	/* The body: bytes, or a function; neither: none. */
	const void *body;
	size_t body_size;
	weft_http_body_fn body_read;
	void *body_user;
	/* From the beginning again, for a request that is sent once more; NULL: it can't. */
	weft_err (*body_rewind)(void *user);
	uint64_t body_length; /* of body_read, exactly; 0: not known, sent in chunks */
	/* Sent behind chunks, as they are when the body has ended; NULL: none. */
	const weft_http_fields *trailers;

	bool expect_continue; /* the body waits for 100 (Continue), or expect_timeout_ns */
	bool idempotent;      /* may be sent twice, whatever the method */
	bool fresh;	      /* on a new connection, which is not kept */
	bool endless; /* the response may go on for ever, silent or not: neither stall_timeout_ns
		       * nor body_size_max count for it; event streams */
	bool upgrade; /* sends "Connection: upgrade"; fields has the Upgrade field */

	const char *unix_path; /* the socket to connect to, instead of the URL's host and port */
	const char *proxy;     /* its URL, "http://user:password@host:port"; NULL: as proxy_env
			    * of the client says; "": none */
	weft_tls *tls;	       /* instead of the client's; part of the key by its address */

	/*
	 * Redirects to be followed (RFC 9110, section 15.4), at most WEFT_HTTP_REDIRECTS_MAX; 0:
	 * none, and the response that redirects is the answer. A POST becomes GET at 301 and
	 * 302, all but HEAD at 303; otherwise the body is sent again, if it can be, and not over
	 * the same connection, which the server may be about to close. To another
	 * origin Authorization, Cookie and Proxy-Authorization are not sent, and from https to
	 * http none is followed, unless redirects_downgrade.
	 * Errors of send then: WEFT_ECAPACITY (more), WEFT_EPROTO (a loop, or to no http URL),
	 * WEFT_EACCESS (to http), WEFT_ENOSYS (the body can't be sent again).
	 */
	unsigned redirects_max;
	bool redirects_downgrade;
	/* Sent beside fields, but left behind by a redirect to another origin: API keys and the
	 * like. May be NULL. */
	const weft_http_fields *origin_fields;
	/*
	 * Asks for gzip and deflate by Accept-Encoding, and undoes either. Without effect when such a
	 * field is among the fields, or the library is without zlib. Content-Encoding and Content-Length are then not among the response's fields,
	 * its length is not known, and body_size_max counts what comes out. Read fails with
	 * WEFT_EMSGSIZE (decode_ratio_max) and WEFT_EPROTO (corrupt, cut short), too. A coding
	 * that was not asked for is left as it is.
	 */
	bool decode;

	/* Called, by the sender, for each 1xx response but 101. */
	void (*on_interim)(void *user, unsigned status, const weft_http_fields *fields);
	/* Called with the head that is about to be sent, each time; for logs. */
	void (*on_head)(void *user, const char *head, size_t size);
	/* Called with a response before its redirect to url is followed; its body is not for
	 * reading. An error ends the request with it. */
	weft_err (*on_redirect)(void *user, weft_http_response *response, const char *url);
	void *user;
} weft_http_request;

#define WEFT_HTTP_REDIRECTS_MAX 50

#define WEFT_HTTP_REQUEST_DEFAULT                                                                \
	{                                                                                        \
		NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 0, NULL, false, false, false, \
			false, false, NULL, NULL, NULL, 0, false, NULL, false, NULL, NULL, NULL, \
			NULL                                                                     \
	}

/*
 * Sends, and returns when the head of the final response has come. *out must be freed.
 *
 * A response that comes while the body is still being sent is delivered at once. Is it an
 * error (4xx, 5xx), the rest of the body is not sent, and the connection is closed with the
 * response; otherwise sending goes on while the response is read. A 101 is delivered when the
 * whole body has been sent.
 *
 * Errors begin with "http METHOD URL: " and say in which phase it ended: "waiting for a
 * connection", "resolve", "connect", "TLS", "sending", "waiting for the response".
 * WEFT_EINVAL (the request: says which part), WEFT_ECLOSED (the client), WEFT_ECAPACITY
 * (waiters_max), WEFT_ETIMEDOUT, WEFT_ECANCELED, those of weft_dial, WEFT_ETLS,
 * WEFT_ERESET (the connection died, or ended before the head was complete), WEFT_EPROTO (not
 * HTTP, or not allowed by it), WEFT_EMSGSIZE (a limit on the head), WEFT_ENOMEM, what
 * body_read returned.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_client_send(weft_http_client *client,
	const weft_http_request *request, weft_http_response **out, weft_deadline until);

/* --- responses ---------------------------------------------------------------------------- */

/* 200..999, or 101 for a request with upgrade. */
WEFT_API unsigned weft_http_response_status(const weft_http_response *response);
/* As it was sent, "" included; valid until free. */
WEFT_API const char *weft_http_response_reason(const weft_http_response *response);
/* The minor version of the response's HTTP/1: 0 or 1. */
WEFT_API unsigned weft_http_response_minor(const weft_http_response *response);
/* Valid until free. Not to be changed. */
WEFT_API const weft_http_fields *weft_http_response_fields(const weft_http_response *response);
/* Fields behind a body in chunks, once its end was read; before, and otherwise: empty. */
WEFT_API const weft_http_fields *weft_http_response_trailers(const weft_http_response *response);
/* Where redirects led, without fragment; NULL: none was followed, and it came from the request's
 * own URL. Valid until free. */
WEFT_API const char *weft_http_response_url(const weft_http_response *response);
/* As `endless` of the request, now that the head tells whether it may go on for ever. By its
 * owner, before the body is read. */
WEFT_API void weft_http_response_endless_set(weft_http_response *response, bool endless);
/* Bytes that the body will have, by its Content-Length; -1: not known. */
WEFT_API int64_t weft_http_response_length(const weft_http_response *response);

/*
 * The body: up to size bytes, at least one. Errors: WEFT_ECLOSED (its end), WEFT_ERESET (the
 * connection ended before it, or died), WEFT_EPROTO (its framing), WEFT_EMSGSIZE
 * (body_size_max), WEFT_ETIMEDOUT (until, after which one may read on; or stall_timeout_ns,
 * after which not), WEFT_ECANCELED and WEFT_ENOMEM (one may read on). What ended it otherwise
 * is returned again.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_response_read(
	weft_http_response *response, void *data, size_t size, size_t *got, weft_deadline until);
/* The rest of the body, at most size_max bytes (WEFT_EMSGSIZE); *out must be unref'd, and is
 * empty when there is none. Errors: as read, WEFT_ENOMEM; after any of them, also those after
 * which one may read on, what had come is lost, and reads give the same error. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_response_read_all(
	weft_http_response *response, weft_buf *out, size_t size_max, weft_deadline until);

/*
 * After status 101: the connection, the caller's own from now on; all of the request has been
 * sent, and bytes that came with the response are read from it first. Once. Errors: WEFT_EINVAL (another status, or taken
 * already), WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_response_take(
	weft_http_response *response, weft_conn **out);
/* What the response comes over, for its names and weft_tls_info_get; NULL once it was taken or
 * given back. Valid until free or take. */
WEFT_API const weft_conn *weft_http_response_conn(const weft_http_response *response);

/* Nanoseconds; 0 for what did not take place. */
typedef struct weft_http_timings {
	int64_t queue_ns;      /* waiting for a connection, less what follows */
	int64_t resolve_ns;    /* the name, for a new connection */
	int64_t connect_ns;    /* dialling it */
	int64_t tls_ns;	       /* its handshake, and a proxy's before it */
	int64_t send_ns;       /* the request, as far as it was sent before the response came */
	int64_t first_byte_ns; /* from then to the first byte of the final response's head */
	int64_t total_ns;      /* from the call to the body's end, or to now */
	bool reused;	       /* the connection had served another request before */
	unsigned retries;      /* connections that this request died on before: 0 or 1 */
} weft_http_timings;

WEFT_API void weft_http_response_timings(
	const weft_http_response *response, weft_http_timings *out);

/* After the body's end the connection is kept for others, if both sides agree; before, what has
 * come of the rest is read away (drain_max), or the connection closed. NULL is allowed. */
WEFT_API void weft_http_response_free(weft_http_response *response);

/* --- numbers ------------------------------------------------------------------------------ */

/* Counted exactly; read while others go on the fields may be a moment apart. */
typedef struct weft_http_client_stats {
	/* since the client was made */
	uint64_t dials;	       /* connections begun */
	uint64_t dials_failed; /* of these */
	uint64_t reuses;       /* requests that got a connection used before */
	uint64_t retries;      /* requests that were sent twice */
	uint64_t waits;	       /* requests that found no idle connection */
	uint64_t expired;      /* idle connections closed for their age */
	uint64_t stale;	       /* idle connections found closed by the peer */
	uint64_t evicted;      /* idle connections closed to make room for others */
	/* now */
	uint64_t connections_now; /* open or being dialled */
	uint64_t dialling_now;
	uint64_t idle_now;
	uint64_t waiting_now; /* requests that wait for a connection */
	uint64_t keys_now;    /* places that have any of these */
} weft_http_client_stats;

WEFT_API void weft_http_client_stats_get(
	const weft_http_client *client, weft_http_client_stats *out);

WEFT_END_DECLS
#endif
