/* SPDX-License-Identifier: MIT */
#ifndef WEFT_REPLAY_H
#define WEFT_REPLAY_H

#include <weft/transport.h>

WEFT_BEGIN_DECLS
/*
 * weft_replay: a recording that weft_bridge_options.record has made, and its sessions played again:
 * as the client, towards a server whose answers are compared, or as the server.
 *
 * The file is read through once, which finds what is wrong with it; then an index stays in memory, of
 * some 80 bytes a message, and each message is read from the file when it is its turn.
 *
 * Lifetime: one owner; the file must stay as it is until free, but may be appended to.
 * Threads:  one play or serve at a time, in a fiber; open from anywhere.
 * Blocking: open, on the file; play and serve.
 */
typedef struct weft_replay weft_replay;

#define WEFT_REPLAY_MESSAGES_MAX ((size_t)1000000) /* of the sessions that are played */
#define WEFT_REPLAY_SESSIONS_MAX ((size_t)100000)

typedef struct weft_replay_difference {
	const char *run;  /* of the recorder */
	uint64_t session; /* its number there; 0: of the server that is played: a request that
			       * is not in the recording */
	size_t line; /* of the file: of the answer, or of the request where none came; 0: none */
	const char *method; /* of the request */
	const char *text;   /* one line: what differs */
} weft_replay_difference;

typedef struct weft_replay_options {
	const char *file;
	/* "7", a number as in the recording, or "5b1f0c9a/7", of one of several runs; NULL: all */
	const char *session;
	const char *server;	 /* sessions with that one only; NULL: any */
	double speed;		 /* 1: as it was, 2: in half the time, ...; 0: without waiting */
	size_t message_size_max; /* bytes; 0: 10 MiB */
	/* Playing the client: for the server, and for each answer, 0: 10 s and 30 s. Playing the
	 * server: for the client's answers. */
	int64_t connect_timeout_ns, read_timeout_ns;
	size_t sessions_max; /* played at once; 0: 64 */
	/* What differs, in whatever fiber it is found; valid during the call. May be NULL. */
	void (*on_difference)(void *user, const weft_replay_difference *difference);
	void *user;
} weft_replay_options;

#define WEFT_REPLAY_OPTIONS_DEFAULT                         \
	{                                                   \
		NULL, NULL, NULL, 1, 0, 0, 0, 0, NULL, NULL \
	}

/* Strings are copied. Errors: WEFT_EINVAL (an option; the file can't be read; it is no recording: the
 * detail says in which line and why; no such session), WEFT_ECAPACITY (more messages or sessions than
 * the constants above), WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_replay_open(
	weft_replay **out, const weft_replay_options *options);
/* NULL is allowed. */
WEFT_API void weft_replay_free(weft_replay *replay);

/* What the file holds. */
typedef struct weft_replay_info {
	size_t sessions, messages; /* that are played */
	uint64_t lost;		   /* messages that the recorder had to leave out */
	size_t torn;		   /* lines that are not whole */
	size_t invalid;		   /* what was no message; it is not played */
	size_t torn_last;	   /* the number of the last line, if it is torn; else 0 */
} weft_replay_info;
WEFT_API void weft_replay_info_get(const weft_replay *replay, weft_replay_info *out);

typedef struct weft_replay_stats {
	uint64_t sessions;
	uint64_t requests, notifications; /* that were sent (play), or came (serve) */
	uint64_t same, different;	  /* answers; serve: requests that were found, and not */
	uint64_t missing;		  /* answers that did not come in time */
	uint64_t unasked; /* requests of the server's that are not in the recording */
} weft_replay_stats;
WEFT_API void weft_replay_stats_get(const weft_replay *replay, weft_replay_stats *out);

/*
 * As the client: each session over one of outgoing's, when it was its time. A message is sent when its
 * time has come and every answer that the client had before it is there. Answers are compared as
 * values: the order of members does not matter. What the server asks is answered as the client did
 * then. Notifications of the server's are not compared.
 * WEFT_OK: all was played; stats say whether it was the same. Errors: those of
 * weft_outgoing_connect; WEFT_EIO, WEFT_EPROTO (the file was changed), WEFT_ENOMEM, WEFT_ECANCELED.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_replay_play(weft_replay *replay, weft_outgoing *outgoing);
/*
 * As the server, of all sessions that come, until no more do: a request gets the answer that one of the
 * same method and params (but for _meta) had, after as long a time, with what the server said
 * meanwhile. Of several the first, then the second, ...; the last again and again. initialize
 * gets the recorded one's, whatever its params; ping is answered anyway; others get an error.
 * Errors: WEFT_ECANCELED, WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_replay_serve(weft_replay *replay, weft_incoming *incoming);

WEFT_END_DECLS
#endif
