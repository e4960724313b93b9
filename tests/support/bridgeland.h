/* SPDX-License-Identifier: MIT */
#ifndef BRIDGELAND_H
#define BRIDGELAND_H

/*
 * What campaigns over whole bridges are made of, each on a node of its own of the simulated net:
 *
 *	clients		of several kinds (land_talk: weft's own; land_web: by hand), which leave in the
 *			middle, come back, cancel, end sessions with requests under way
 *	children	that answer late, twice, for others, with noise, or die (land_children)
 *	parts		an HTTP server, a relay and so on, with bounds that are soon reached
 *
 * and an oracle between them. Every text that belongs to a session says so: it has the mark
 * "@C-S-A@" of client C, its session S, and request A. Ids are the same for all clients. So:
 *
 *   - a client that sees a mark of another session has seen what is not its own;
 *   - a child of one session that sees marks of two has, too;
 *   - a request's answer has the request's own mark, and comes once; or an error does;
 *   - where the net has no faults, nobody's patience ends before that.
 */
#include "bridge/relay.h"
#include "support/campaign.h"

#include <weft/cancel.h>
#include <weft/jsonrpc.h>
#include <weft/mcp_server.h>
#include <weft/mutex.h>
#include <weft/scope.h>
#include <weft/transport.h>

#define LAND_MS INT64_C(1000000)
#define LAND_SECOND (1000 * LAND_MS)
#define LAND_CLIENTS_MAX 3
#define LAND_SESSIONS_MAX 64		   /* of a client, one after the other */
#define LAND_ASKS_MAX 12		   /* of a session */
#define LAND_MESSAGE_MAX 4096		   /* bytes, of bridges and clients */
#define LAND_PATIENCE_S 600		   /* of a client, for an answer */
#define LAND_TIMEOUT_MIN (1 * LAND_SECOND) /* that a bridge waits for anything */
#define LAND_CHILD_PORT "90"

/* What is random in the run, but for the net; set before it begins. */
struct land_plan {
	bool is_rough;	/* the net has faults: connections may be lost, and silent */
	bool is_shared; /* somewhere on the way clients share a child */
	bool is_modern; /* children know 2026-07-28 */
	/* what becomes of requests, clients hear before children say more: one bridge, which has
	 * memory, and ends no session whose client is there */
	bool is_exact;
	/* permille of what a child is asked */
	unsigned die, hold, twice, strange, progress, ask, shout, flood, garbage, huge, batch;
	int64_t late_ns; /* its answers, at most */
};

struct land {
	struct land_plan plan;
	bool is_calm;			  /* nothing of the plan happens any more */
	bool is_over;			  /* nobody comes any more */
	bool tells;			  /* what clients hear, to stderr */
	weft_scope *scope;		  /* of children */
	unsigned children_now, children;  /* alive; all told */
	unsigned asked, answered, failed; /* requests of all clients: what became of them */
	unsigned resumed, questions;	  /* streams; questions that children have asked */
	/* those that go on, for who hears of another; see land_begin */
	struct land_session *sessions[LAND_CLIENTS_MAX][LAND_SESSIONS_MAX];
};
extern struct land land;

uint64_t land_below(uint64_t bound);
bool land_chance(unsigned permille);
/* False: the fiber was cancelled. */
bool land_nap(int64_t duration_ns);
weft_deadline land_patience(void);

/* ---- the oracle ---- */

enum land_fate {
	LAND_UNSENT,
	LAND_FLYING,
	LAND_CANCELLED,
	LAND_GONE, /* its client does not wait any more */
	LAND_ANSWERED,
	LAND_FAILED, /* loudly */
};

struct land_session {
	unsigned client, number;
	enum land_fate fates[LAND_ASKS_MAX];
	weft_deadline since[LAND_ASKS_MAX]; /* when it was asked */
	unsigned asks_len;
	bool is_stateless;
	bool is_leaving;    /* its client has ended it, or does so now */
	bool may_be_cut;    /* texts that end in the middle are the net's doing */
	bool may_be_silent; /* so is a connection from which nothing comes any more */
};

#define LAND_MARK_SIZE 48
#define LAND_TEXT_SIZE (LAND_MESSAGE_MAX + 1024)
#define LAND_STATELESS "2026-07-28"

/* It begins, and is over. */
void land_begin(struct land_session *s);
void land_end(struct land_session *s);
void land_mark(char to[LAND_MARK_SIZE], const struct land_session *s, unsigned ask);
/* Ids in several spellings. */
void land_id(char to[LAND_MARK_SIZE], unsigned ask);
/* The next ask; it is FLYING. text: the request, of LAND_TEXT_SIZE bytes. */
unsigned land_ask(struct land_session *s, char *text);
/* notifications/cancelled for it. */
void land_cancel(struct land_session *s, unsigned ask, char *text);
/* The answer to a child's question. */
void land_reply(const struct land_session *s, weft_json id, char *text);
/* A message came for that session: judged. ask: its stream's, LAND_ASKS_MAX: of any. Returns
 * whether it was that ask's answer. */
bool land_hear(struct land_session *s, const weft_jsonrpc *rpc, unsigned ask);
/* A text that came for it, of whatever kind. */
void land_overhear(const struct land_session *s, const char *text, size_t len);
/* There will be no answer, as its client was told, or has seen by the connection. */
void land_fail(struct land_session *s, unsigned ask);
/* All of them. */
bool land_is_answered(const struct land_session *s);
bool land_is_flying(const struct land_session *s);

/* ---- children: land_child.c ---- */

/* Serves what connects to LAND_CHILD_PORT of this node, until it is over, or the node crashes. */
weft_err land_children(void *arg);
/* A child at the other end of conn, which is taken. */
void land_child_own(weft_conn *conn);

/* ---- clients; one session each ---- */

/* Over a transport, which is taken. calm: nothing but a few requests, which have to be answered. False:
 * something was not. */
bool land_talk(struct land_session *s, weft_transport *transport_own, bool is_calm);
/* By hand, at an address such as "tcp://a:80". */
bool land_web(struct land_session *s, const char *address, bool is_calm);
/* The same over HTTP+SSE. */
bool land_sse(struct land_session *s, const char *address, bool is_calm);

/* ---- parts: a bridge at port 80 of this node ---- */

struct land_parts {
	struct relay_options relay;
	weft_mcp_server_options mcp;
	weft_cancel *stop;
	bool is_up;
	struct relay *now;
};
void land_parts_plan(struct land_parts *parts);
/* Until stop, or until it is cancelled: an error, as when it can't begin. */
weft_err land_parts_run(struct land_parts *parts);
size_t land_parts_sessions(const struct land_parts *parts);

#endif
