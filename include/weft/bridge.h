/* SPDX-License-Identifier: MIT */
#ifndef WEFT_BRIDGE_H
#define WEFT_BRIDGE_H

#include <weft/log.h>
#include <weft/net.h>
#include <weft/process.h>

WEFT_BEGIN_DECLS
/*
 * weft_bridge: accepts sessions at one endpoint and opens another for each.
 *
 * Endpoints are URIs as the manual of weft-bridge(1) describes: stdio:, exec:CMD, tcp://, tls://,
 * unix:, mux+tcp://, mux+tls://, mux+unix:, http://, https://, sse+http://, with "listen:" in
 * front for listeners. Between two that carry bytes, bytes are carried. http:, https: and sse+http:
 * carry JSON-RPC messages, as the Model Context Protocol has them; the endpoint beside one of
 * these carries a message a line.
 * Lifetime: one owner.  Threads: stop, reload and stats from anywhere, also from a plain
 * thread; run once, from a fiber.  Blocking: open, run.
 */
typedef struct weft_bridge weft_bridge;

/* Something that a person or a program may want to know of. */
typedef struct weft_bridge_event {
	weft_log_level level;
	uint64_t session; /* from 1; 0: of the bridge as a whole */
	const char *peer; /* FROM's end of the session, such as "tcp://127.0.0.1:51514" */
	weft_err err;	  /* WEFT_OK when nothing went wrong */
	const char *text; /* one line, without what stands in session and peer */
	uint64_t bytes_in, bytes_out; /* of the session so far */
} weft_bridge_event;

typedef struct weft_bridge_options {
	const char *from;	    /* endpoint */
	const char *to;		    /* endpoint; NULL when command is given */
	const char *const *command; /* argv of a child in place of to; NULL-terminated */
	size_t connections_max;	    /* 0: 10,000 */
	size_t children_max;	    /* 0: 64 */
	int64_t connect_timeout_ns; /* 0: 10 s */
	int64_t read_timeout_ns;    /* longest silence while a reply is owed; 0: off */
	int64_t idle_timeout_ns;    /* 0: off for bytes, 30 min for messages; INT64_MAX: off */
	int64_t drain_timeout_ns;   /* negative: 5 s; 0: at once */
	int64_t child_grace_ns;	    /* 0: 2 s */
	const char *const *env;	    /* for children, as in weft_process_options */
	const char *const *pass_env;
	bool insecure;	  /* allow a child behind a listener that leaves loopback */
	bool self_signed; /* listeners of TLS that name no certificate make one for themselves */

	/* Where messages are carried. */
	bool session_shared;	    /* one server for all sessions, in place of one each */
	size_t message_size_max;    /* bytes; 0: 10 MiB */
	int64_t session_timeout_ns; /* of a session in all; 0: off */
	/* Sessions at once of one token, or, without tokens, of one address, over HTTP; 0: a tenth of
	 * connections_max, and 100 at least. */
	size_t client_sessions_max;
	/* Servers with names behind a listener of http:, in place of to and command, each at
	 * /NAME and FROM's path: "NAME=CMD ARG..." */
	const char *const *servers;
	/* more of them: JSON with a member "mcpServers"; weft_bridge_reload reads it again */
	const char *servers_file;
	const char *token_file;		  /* who may come: a token a line; NULL: anybody */
	const char *const *allow_origins; /* Origin fields beside the listener's own */
	const char *const *allow_hosts;	  /* Host fields beside those of loopback */
	/* A file to which each message is appended as a line of JSON, in the form that the manual of
	 * weft-replay(1) describes; made with mode 0600. NULL: none. While it can't be written the
	 * bridge goes on, and messages are left out, which later lines count. Where files have a
	 * largest size (RLIMIT_FSIZE) the program has to ignore SIGXFSZ. */
	const char *record;
	/* Beside any endpoints: a listener, such as "listen:http://127.0.0.1:9100", with /metrics in
	 * Prometheus' text format, and /healthz. token_file, allow_origins and allow_hosts hold for it,
	 * too. NULL: none. */
	const char *metrics;

	/* Called in whatever fiber it happens; strings are valid during the call. Must not
	 * call the bridge but for weft_bridge_stop. NULL: events go to weft_log. */
	void (*on_event)(void *user, const weft_bridge_event *event);
	void *user;
} weft_bridge_options;

#define WEFT_BRIDGE_OPTIONS_DEFAULT                                                               \
	{                                                                                         \
		NULL, NULL, NULL, 0, 0, 0, 0, 0, -1, 0, NULL, NULL, false, false, false, 0, 0, 0, \
			NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL                      \
	}

/* Checks every option and both endpoints, and reads the files that endpoints of TLS name; opens
 * no socket, so that it may be called outside a runtime. Errors: WEFT_EINVAL with a detail that
 * names what, where, why; WEFT_ENOSYS (TLS, where the library has none). */
WEFT_API WEFT_MUST_CHECK weft_err weft_bridge_check(const weft_bridge_options *options);
/* In a fiber, whose scope its sessions' fibers end with. Checks, then opens FROM: binds its listener, or connects to the mux peer whose streams
 * it is to accept. Binds TO's listener, if it has one. Strings are copied.
 * Errors: as check; as weft_listen; as weft_dial. */
WEFT_API WEFT_MUST_CHECK weft_err weft_bridge_open(
	weft_bridge **out, const weft_bridge_options *options);
/* The address of the n-th server of those that have names, from 0, at a listener of http:, and its
 * name; NULL: there is none. Those that a reload took out are among them. Until free. */
WEFT_API const char *weft_bridge_server(const weft_bridge *bridge, size_t n, const char **name);
/* What FROM listens on, with the real port, or has connected to; "stdio:" for stdio.
 * Until free. */
WEFT_API const char *weft_bridge_name(const weft_bridge *bridge);
/* What TO listens on (a mux endpoint with listen: in front); NULL when it does not. */
WEFT_API const char *weft_bridge_to_name(const weft_bridge *bridge);
/* The fingerprint of the certificate that was made for options.self_signed, as
 * weft_tls_client_options.fingerprint and "?fingerprint=" take it; NULL: none was. */
WEFT_API const char *weft_bridge_fingerprint(const weft_bridge *bridge);
/* Reads the files of TLS, of tokens and of servers again: what is accepted or dialled later uses what
 * they hold now. Sessions of servers that are not there any more, or are changed, go on as they are;
 * children of those that are not changed do, too. Each file is tried; where one is not good, what was
 * read of it before stays in use, and the error tells of all of these. Records to the file that has
 * options.record's name now. Blocks on files; with servers_file in a fiber. Errors: WEFT_EINVAL, as
 * check; WEFT_ENOMEM; as open of options.record. */
WEFT_API WEFT_MUST_CHECK weft_err weft_bridge_reload(weft_bridge *bridge);
/*
 * Serves until weft_bridge_stop, or until the one session of stdio: is over. Then
 * drains: sessions under way get drain_timeout_ns, then are cut (their peers see a
 * reset). WEFT_OK: drained or stopped. For stdio:, as FROM or as TO: the error of its
 * session (WEFT_ECHILD when the child exited non-zero).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_bridge_run(weft_bridge *bridge);
/* Stops accepting and begins to drain. Idempotent. */
WEFT_API void weft_bridge_stop(weft_bridge *bridge);

typedef struct weft_bridge_stats {
	uint64_t sessions;	      /* accepted, all told */
	uint64_t sessions_failed;     /* TO did not open, or a side was reset */
	uint64_t sessions_refused;    /* over a limit */
	uint64_t sessions_cut;	      /* by the drain's end */
	uint64_t bytes_in, bytes_out; /* FROM to TO, TO to FROM */
	size_t sessions_now, children_now;
	uint64_t mux_sessions;	 /* accepted and dialled, all told */
	size_t mux_sessions_now; /* alive */
} weft_bridge_stats;
WEFT_API void weft_bridge_stats_get(const weft_bridge *bridge, weft_bridge_stats *out);
/* NULL is allowed. */
WEFT_API void weft_bridge_free(weft_bridge *bridge);

WEFT_END_DECLS
#endif
