/* SPDX-License-Identifier: MIT */
#ifndef WEFT_NET_H
#define WEFT_NET_H

#include <weft/conn.h>
#include <weft/scope.h>

WEFT_BEGIN_DECLS
/*
 * Dialling and listening: "tcp://host:port" and "unix:/path".
 *
 * A host is a name, an IPv4 address or an IPv6 address in brackets; an empty host
 * means 127.0.0.1; port 0 means any, for listeners. "unix:@name" is Linux's abstract
 * name space. Under the simulator names and addresses are the simulated net's.
 * Threads:  any fiber or plain thread. Blocking: dial, accept; cancellation points.
 */
typedef struct weft_net_options {
	bool nodelay;		       /* TCP_NODELAY */
	bool keepalive;		       /* SO_KEEPALIVE with the three values below */
	unsigned keepalive_idle_s;     /* 0: 60 */
	unsigned keepalive_interval_s; /* 0: 10 */
	unsigned keepalive_count;      /* 0: 6 */
	unsigned send_buffer;	       /* SO_SNDBUF bytes; 0: the kernel's choice */
	unsigned receive_buffer;       /* SO_RCVBUF bytes; 0: the kernel's choice */
	unsigned attempt_delay_ms;     /* Happy Eyeballs (RFC 8305, section 5): the wait before
				     * the next address is tried beside; 0: 250; 10..2000 */
	/* listeners only */
	unsigned backlog;	/* 0: 4096 */
	size_t connections_max; /* conns of this listener alive at once; one over it is
				     * accepted, counted and reset; 0: no limit */
	bool reuse_port;	/* SO_REUSEPORT */
	unsigned unix_mode;	/* permissions of the socket file; 0: by umask */
} weft_net_options;

#define WEFT_NET_OPTIONS_DEFAULT                              \
	{                                                     \
		true, false, 0, 0, 0, 0, 0, 0, 0, 0, false, 0 \
	}

/*
 * Connects. Names are resolved in the blocking-work pool; addresses of both families
 * are tried as RFC 8305 says, the first that answers wins. options may be NULL.
 * Errors: WEFT_EINVAL (address does not parse: says where), WEFT_ERESOLVE,
 * WEFT_EREFUSED, WEFT_ERESET (accepted and reset at once), WEFT_EUNREACH,
 * WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_ENOTFOUND (no socket file), WEFT_EACCESS,
 * WEFT_ECAPACITY (no descriptors), WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_dial(
	weft_conn **out, const char *address, const weft_net_options *options, weft_deadline until);

typedef struct weft_listener weft_listener;

/*
 * Binds and listens. A unix socket file that nobody answers on is replaced; a live one
 * is WEFT_EINUSE; a file that is not a socket is never removed. The listener removes
 * its own socket file when it closes.
 * Errors: as dial for the address; WEFT_EINUSE, WEFT_EACCESS, WEFT_EUNREACH (not an
 * address of this host).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_listen(weft_listener **out, const char *address,
	const weft_net_options *options, weft_deadline until);
/*
 * The next connection; any number of fibers and threads may wait at once. Running out
 * of descriptors is not an error here: it logs, backs off and goes on.
 * Errors: WEFT_ECLOSED, WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_listener_accept(
	weft_listener *listener, weft_conn **out, weft_deadline until);
/*
 * Accepts until the listener closes or the scope is cancelled; each conn is given to
 * handler(conn, arg) in a fiber of the scope, on the worker with the fewest fibers.
 * The handler owns the conn and frees it; its error is logged, not the scope's.
 * Returns WEFT_OK once the listener is closed, else why it stopped.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_listener_serve(weft_listener *listener, weft_scope *scope,
	const char *name, weft_err (*handler)(weft_conn *conn, void *arg), void *arg);
/* What it listens on, with the real port: "tcp://127.0.0.1:41233"; until free. */
WEFT_API const char *weft_listener_name(const weft_listener *listener);

typedef struct weft_listener_stats {
	uint64_t accepted;  /* handed out */
	uint64_t refused;   /* over connections_max */
	uint64_t backoffs;  /* times descriptors ran out */
	size_t connections; /* alive now */
} weft_listener_stats;
WEFT_API void weft_listener_stats_get(const weft_listener *listener, weft_listener_stats *out);

/* Stops listening; waiting accepts get WEFT_ECLOSED. Idempotent, from anywhere. */
WEFT_API void weft_listener_close(weft_listener *listener);
/* Closes and frees; conns it gave out live on. NULL is allowed. */
WEFT_API void weft_listener_free(weft_listener *listener);

WEFT_END_DECLS
#endif
