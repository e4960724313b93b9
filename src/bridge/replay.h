/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_REPLAY_H
#define BRIDGE_REPLAY_H

/*
 * Inside of a replay: an entry for each message, in the order of the file.
 *
 *	replay_read.c	a line, and what stands in it
 *	replay.c	the index: who answers whom; a message when it is its turn
 *	replay_json.c	when two values are the same, and where they differ
 *	replay_play.c	as the client
 *	replay_serve.c	as the server
 *
 * Entries don't change once the file is read, but for `used`.
 */
#include "base/counter.h"
#include "base/hash.h"
#include "bridge/record_line.h"
#include "rt/lock.h"

#include <weft/map.h>
#include <weft/replay.h>
#include <weft/rpc.h>

#define REPLAY_NONE UINT32_MAX
#define REPLAY_DEPTH_MAX 80u /* of a line; its message has at most WEFT_JSON_DEPTH_DEFAULT */
#define REPLAY_TEXT_MAX 512

struct replay_entry {
	uint64_t offset; /* of its line in the file */
	int64_t time_ns;
	uint64_t key, method_key; /* of requests: of method and params, of the method */
	uint32_t len;		  /* of its line, without the end */
	uint32_t line;
	uint32_t session;
	uint32_t next;	  /* of the same session */
	uint32_t partner; /* request: its answer; answer: its request */
	/* To the client, no answer: the client's request during which it came; of a request of the
	 * client's: the one that was open before it. */
	uint32_t owner;
	uint32_t same; /* request: the next of the same key that was answered */
	uint8_t kind;  /* weft_jsonrpc_kind */
	bool is_to_server;
	bool used; /* a question that was asked; under lock */
};

struct replay_session {
	char run[RECORD_RUN_LEN + 1];
	uint64_t number;
	uint32_t first, last; /* entries */
	uint32_t open;	      /* the client's last request, while it is not answered */
};

/* Requests that are the same. */
struct replay_group {
	uint32_t next, last; /* entries; next under lock */
};

struct weft_replay {
	char *file, *session, *server; /* owned; the last two may be NULL */
	weft_replay_options options;   /* zeros replaced */
	int fd;
	struct hash_seed seed;
	struct replay_entry *entries;
	size_t count, room;
	struct replay_session *sessions;
	size_t sessions_count, sessions_room;
	weft_map *groups; /* key -> struct replay_group, owned */
	weft_map *names;  /* while reading: of sessions, of requests without answers, of tokens */
	weft_replay_info info;
	struct rt_lock lock;
	struct {
		struct counter sessions, requests, notifications, same, different, missing, unasked;
	} stats;
};

/* ---- replay_read.c ---- */

enum replay_kind { REPLAY_MESSAGE, REPLAY_INVALID, REPLAY_LOST, REPLAY_TORN };

struct replay_line {
	enum replay_kind kind;
	int64_t time_ns;
	char run[RECORD_RUN_LEN + 1];
	uint64_t session; /* MESSAGE, INVALID */
	bool is_to_server;
	weft_json server; /* in the text; may be none */
	uint64_t lost;	  /* LOST */
	weft_jsonrpc rpc; /* MESSAGE: in the text */
};

/* Errors: WEFT_EPROTO: the detail says what is wrong. */
WEFT_MUST_CHECK weft_err replay_line_parse(struct replay_line *out, const char *text, size_t len);

struct replay_reader {
	int fd;
	char *buffer; /* owned */
	size_t room, begin, end;
	size_t line_max;
	uint64_t offset; /* of buffer + begin in the file */
	size_t number;	 /* of the line */
	bool is_over;
};
/* The next line, without its end; in the buffer until the next call. *is_whole: it has an end.
 * Errors: WEFT_ENOTFOUND (no more), WEFT_EMSGSIZE, WEFT_EIO, WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err replay_reader_next(
	struct replay_reader *reader, const char **text, size_t *len, bool *is_whole);

/* ---- replay.c ---- */

/* A message, read again. */
struct replay_text {
	weft_buf buf;
	struct replay_line line; /* in buf */
};
/* Errors: WEFT_EIO, WEFT_EPROTO (the file was changed), WEFT_ENOMEM, WEFT_ECANCELED. */
WEFT_MUST_CHECK weft_err replay_text_read(
	const weft_replay *replay, const struct replay_entry *entry, struct replay_text *out);
void replay_text_fini(struct replay_text *text);
/* How long after its beginning something is to happen that took so long. */
int64_t replay_scaled(const weft_replay *replay, int64_t ns);
/* A string's text with a NUL, to be freed. NULL: out of memory. */
char *replay_string(weft_json string);
void replay_differs(weft_replay *replay, const struct replay_entry *entry, const char *method,
	const char *format, ...) WEFT_PRINTF(4, 5);

/* ---- replay_serve.c ---- */

/* A request's answer is this one. Errors: as weft_rpc_request_reply. */
weft_err replay_answer(weft_rpc_request *request, const weft_jsonrpc *recorded);

/* ---- replay_json.c ---- */

/* Values that are the same have the same. Errors: WEFT_ENOMEM, WEFT_EPROTO. */
WEFT_MUST_CHECK weft_err replay_hash(const struct hash_seed *seed, weft_json value, uint64_t *out);
/* Of what a request asks: without the member _meta. params may be none. */
WEFT_MUST_CHECK weft_err replay_key(
	const struct hash_seed *seed, weft_json method, weft_json params, uint64_t *out);
/* ... of its method alone. */
WEFT_MUST_CHECK weft_err replay_method_key(
	const struct hash_seed *seed, weft_json method, uint64_t *out);
/* Where two values that are not the same differ, and how, as far as that fits. */
void replay_differ(
	const struct hash_seed *seed, weft_json recorded, weft_json came, char *to, size_t size);

#endif
