/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_LINK_H
#define BRIDGE_LINK_H

/*
 * Inside of a relay: a link is a server, one after the other as they are lost, and the sessions that
 * use it: one, or all.
 *
 *	client's fibers			server's fiber		the link's fiber (link_run)
 *	  link_up.c			  link_down.c		  link_life.c, link_call.c
 *	    enter the gate		    take the flight	    start, initialize again,
 *	    flights: insert		    out of flights	    probe; when lost: gate
 *	    server: send		    client: send	    down, flights swept
 *	    leave
 *
 * Flights. A request that is in flight has an entry in the map `flights`, under the number that it
 * goes by on the server's side: never used twice in the life of a link, so that a late answer,
 * of a server that is gone too, is that of nobody. Whoever takes the entry out of the map, alone,
 * answers: the server's answer, the client's cancellation (nobody answers), the loss of the server,
 * a time-out, the end of the session, a send that failed. So each request is answered once.
 * A request that waits for the server to be there has its entry, too, under its number and LINK_WAITING,
 * so that a cancellation finds it; its own fiber takes it out when it need not wait any more, and has
 * lost it if it is not there. Nobody else looks at those.
 * What else looks at a flight (progress, a cancellation) holds it by `users`; the last user lets
 * go of the session (session.flights), and then of the memory, by reclaim: others may be looking.
 *
 * The gate counts who is in between of looking whether there is a server and having sent to it. When
 * it is lost, the link's fiber takes LINK_UP away, closes the transport, and waits until nobody is
 * inside: from then on no flight is added, and none is added unseen: the sweep finds all. Only then
 * the transport is freed and the next server begins.
 *
 * A session is freed when its client has ended (no fiber of its is in link_up.c), it is in no list,
 * and its flights have landed.
 *
 * Who may wait: fibers of clients, for a server, for `changed`, a connect time-out at most; the link's
 * fiber, for its bell. The server's fiber waits for a client that does not read only where it is
 * the only one; a shared server's never does (session_send).
 */
#include "base/list.h"
#include "base/random.h"
#include "base/refcount.h"
#include "bridge/backoff.h"
#include "bridge/relay.h"
#include "rt/lock.h"
#include "rt/reclaim.h"
#include "sync/word.h"

#include <weft/map.h>
#include <weft/mutex.h>
#include <weft/scope.h>
#include <weft/watch.h>

#include <string.h>

#define LINK_TEXT_MAX 512		    /* bytes of a reason that is kept, NUL included */
#define LINK_ID_MAX ((size_t)1024)	    /* bytes of a request's id, of its progress token */
#define LINK_GROWN_MAX (2 * LINK_ID_MAX)    /* bytes that a message grows by: two such values */
#define LINK_INITIALIZE_MAX ((size_t)65536) /* bytes of what a client says of itself: it is kept */
#define LINK_VERSION_MAX 64	 /* bytes of a revision's name, quotes and NUL included */
#define LINK_MODERN "2026-07-28" /* the first revision without sessions */
#define LINK_OLD "2025-11-25"	 /* the last one with them */

#define LINK_SERVER_LOST (-32000) /* JSON-RPC: what the relay says where a server should */
#define LINK_CANCELLED (-32800)	  /* ... and of what the client has cancelled */
#define LINK_VERSION_UNSUPPORTED (-32022)
#define LINK_HEADER_MISMATCH (-32020)
#define LINK_CAPABILITY_MISSING (-32021)

/* Beside a count, in the words gate and session.flights. */
#define LINK_UP (INT64_C(1) << 32)	  /* there is a server */
#define SESSION_WAITED (INT64_C(1) << 32) /* its fiber waits for the last flight */

#define LINK_WAITING (UINT64_C(1) << 62) /* in the key of a flight that was not sent yet */

struct relay {
	struct relay_options options; /* zeros replaced; its name is the relay's */
	char *name;		      /* owned */
	weft_scope *scope;	      /* of the shared link's fiber, and of what is sent again */
	struct link *shared;	      /* NULL: a link a session */
	struct word stopping;
	struct rt_lock lock;
	struct list sessions;			  /* of relay_session.in_relay; under lock */
	struct counter sessions_now, refused_now; /* limits that hold exactly */
	struct counter children, session_last;	  /* unless options point elsewhere */
	struct relay_counts *counts, *own_counts; /* own_counts: NULL if options point elsewhere */
};

/* Messages for a client that does not read as fast as others. */
struct session_queue {
	struct rt_lock lock;
	struct list messages; /* of struct queued; under lock, as the next two */
	size_t len, bytes;
	struct word is_used; /* 1: what comes goes to the end of it */
};

struct relay_session {
	struct relay *relay;
	struct link *link;
	uint64_t number;
	weft_transport *client;
	weft_parker *owner;	   /* relay_serve's fiber */
	bool answers_all;	   /* a request of its client's is an exchange that has to end */
	struct list in_relay;	   /* in relay->sessions */
	struct list in_link;	   /* shared: in link->sessions, under link->sessions_lock */
	struct word64 flights;	   /* how many requests are in flight, SESSION_WAITED */
	struct word is_ready;	   /* its initialize was answered: it gets what is for all */
	struct counter active_at;  /* when a message came or went; kept if idleness is timed */
	weft_deadline over_at;	   /* by session_timeout_ns */
	weft_deadline drain_until; /* 0: not draining; its fiber only */
	bool is_cancelled;	   /* its fiber only */
	struct word is_over;	   /* its fiber is ending it */
	/* the client's end: valid once is_ended */
	struct word is_ended;
	weft_err end_err;
	char end_text[LINK_TEXT_MAX];
	/* why it has to end: valid once is_failed */
	struct claim failing;
	struct word is_failed;
	weft_err fail_err;
	char fail_text[LINK_TEXT_MAX];
	struct session_queue queue; /* shared */
};

enum flight_kind {
	FLIGHT_REQUEST,
	FLIGHT_INITIALIZE,
	FLIGHT_LISTEN, /* a subscription: no answer is owed */
	FLIGHT_OWN,    /* the link's: see struct link_call */
};

struct flight {
	struct reclaim_node node; /* once the last user is gone */
	struct refcount users;	  /* one for being in the map */
	uint8_t kind;		  /* enum flight_kind */
	bool was_given_back;	  /* by a server that did not take it: once */
	bool is_landed_well; /* INITIALIZE: answered with a result; who took it out of the map */
	bool is_settled; /* its end was counted; who took it out of the map, then the last user */
	struct relay_session *session; /* NULL: OWN */
	struct link_call *call;	       /* OWN */
	uint64_t number;	       /* the id on the server's side */
	int64_t since;		       /* when it was sent, if silence is timed */
	int64_t came_at;	       /* weft_now's */
	char *params;		       /* INITIALIZE: of the request; owned */
	size_t params_len;
	weft_json id, token; /* as the client has them, in text; token may be none */
	char text[];
};

/* A request of the link's own. In its fiber's memory. */
struct link_call {
	weft_message reply; /* valid once done */
	struct word done;
};

/* A request of the server's, which a client is to answer. */
struct question {
	struct list node; /* in link->questions, under link->lock */
	struct relay_session *session;
	weft_json id; /* as the server has it, in text */
	char text[];
};

enum link_era { LINK_ERA_UNKNOWN = 0, LINK_ERA_MODERN, LINK_ERA_OLD };

enum link_want {
	LINK_WANT_SERVER = 1u << 0,  /* shared: somebody needs it */
	LINK_WANT_ERA = 1u << 1,     /* to know whether it is modern */
	LINK_WANT_RESTART = 1u << 2, /* a new one, that has seen no initialize */
};

/* Shared: whose initialize is the server's. */
enum link_init { LINK_INIT_NONE = 0, LINK_INIT_PENDING, LINK_INIT_DONE };

struct link {
	struct relay *relay;	    /* constant, as the next two */
	struct relay_session *only; /* NULL: shared */
	struct bell bell;	    /* the link's fiber */
	struct word64 gate;	    /* LINK_UP, and who is inside */
	weft_transport *server;	    /* owned; valid in the gate, and for the link's fiber */
	struct counter id_next;
	weft_map *flights;	  /* number -> struct flight */
	weft_watch *changed;	  /* uint32_t: told when anything of what follows changes */
	struct word wants;	  /* enum link_want */
	struct word closing;	  /* its sessions are over */
	struct word rounds;	  /* how often starting was given up: why is valid */
	struct word is_dead;	  /* ... for good: its one session is to be told, and to end */
	struct word told;	  /* a request was answered with why */
	struct word era;	  /* enum link_era */
	struct word init;	  /* enum link_init; shared */
	struct word initialized;  /* notifications/initialized was sent */
	struct word is_tainted;	  /* the server was initialized, or puzzled, by the link itself */
	struct word has_answered; /* the server, since it was started */
	struct word is_stale;	  /* the server gave something back: it is about to be lost */
	struct word was_reached;  /* a server has answered, at any time */
	struct counter heard_at;  /* when the server said something; kept if silence is timed */
	struct word is_timed;	  /* the link's fiber has a timer for silence */
	/* the server's end: valid once is_lost */
	struct word is_lost;
	weft_err lost_err;
	char lost_text[LINK_TEXT_MAX];

	struct rt_lock lock;
	weft_err why_err;	 /* the last failure to start; under lock */
	char why[LINK_TEXT_MAX]; /* under lock */
	struct list questions;	 /* under lock */
	size_t questions_len;	 /* under lock */
	char *params;		 /* of the client's initialize, once answered; owned; under lock */
	size_t params_len;	 /* under lock */
	char version[LINK_VERSION_MAX]; /* JSON: what the server chose then; "": none; under lock */
	weft_message welcome; /* shared: the first answer to initialize; constant once DONE */

	weft_mutex *sessions_lock; /* shared; may be held across a park */
	struct list sessions;	   /* shared; under it */

	/* the link's fiber only */
	struct backoff backoff;
	unsigned failures;	     /* in a row */
	weft_deadline failing_since; /* the first of them */
	weft_deadline started_at;
	bool is_up;	   /* LINK_UP is in the gate */
	bool was_started;  /* a server was, at any time */
	bool is_probed;	   /* server/discover was sent, by this link, once */
	bool is_cancelled; /* the fiber is */
	char *speaks;	   /* JSON: revisions of an old server; set before era is OLD; owned */
};

/* --- link.c: what all share ------------------------------------------------------------------ */

/* Errors: WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err link_init(
	struct link *link, struct relay *relay, struct relay_session *only);
void link_fini(struct link *link);
/* Tells all who wait to look again. */
void link_announce(struct link *link);
void link_want(struct link *link, uint32_t wants);
void link_unwant(struct link *link, uint32_t wants); /* the link's fiber */
/* The reason why there is no server. text NULL: the fiber's error detail. */
void link_why_set(struct link *link, weft_err err, const char *text);

/* False: there is no server; not entered. */
bool link_enter(struct link *link);
void link_leave(struct link *link);
/* Waits, in a client's fiber, until the link can be entered, and does so. Errors: why not. */
WEFT_MUST_CHECK weft_err link_enter_soon(struct link *link, const struct relay_session *session);
/* The same for other things, of which is_so says whether they are; wants: what the link's fiber is
 * to do for it. */
WEFT_MUST_CHECK weft_err link_await(struct link *link, const struct relay_session *session,
	bool (*is_so)(struct link *link), uint32_t wants, weft_deadline until);
/* Takes a flight out of the map: true for one caller, who lands it. */
bool link_take(struct link *link, uint64_t number, struct flight **out);
/* A flight that is in the map, held: to be let go by flight_drop. NULL: there is none. */
struct flight *link_look(struct link *link, uint64_t number);
/* The key of a session's request of that id. False: none is in flight, or waits to be. */
bool link_find(
	struct link *link, const struct relay_session *session, weft_json id, uint64_t *number);
/* Takes out all of a session (NULL: all) that were sent, and hands each to fn, which lets go of it. */
void link_sweep(struct link *link, const struct relay_session *session,
	bool (*is_due)(const struct flight *flight, void *arg),
	void (*fn)(struct link *link, struct flight *flight, void *arg), void *arg);
/* The one session with requests in flight: a flight of its, held. NULL: none, or several. */
struct flight *link_only_flight(struct link *link);

void flight_drop(struct link *link, struct flight *flight);
/* Counts its end, once; before its client sees it, so that who asks then finds it counted. */
void flight_settle(struct flight *flight, bool is_answered);
/* Without having been in the map. */
void flight_free(struct link *link, struct flight *flight);
/* They are written alike; two that are none, too. */
static inline bool link_same_text(weft_json a, weft_json b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.text, b.text, a.len) == 0);
}
/* Sends to the server; the caller is in the gate, in the server's sink, or is the link's fiber. */
WEFT_MUST_CHECK weft_err link_send_own(struct link *link, weft_message *message);

/* --- link_say.c: what the relay says itself ---------------------------------------------------- */

/* Errors of all: WEFT_ENOMEM, WEFT_ECAPACITY. */
WEFT_MUST_CHECK weft_err say_error(const struct relay *relay, weft_message *out, weft_json id,
	int code, weft_json data, const char *text);
WEFT_MUST_CHECK weft_err say_result(
	const struct relay *relay, weft_message *out, weft_json id, weft_json result);
WEFT_MUST_CHECK weft_err say_cancelled(
	const struct relay *relay, weft_message *out, weft_json id, const char *reason);
/* What is wrong with what came from there, of kind INVALID. */
void say_invalid(char *to, size_t size, const weft_transport *from, const weft_message *message);
/* Answers a client's request with an error. */
void session_refuse(struct relay_session *session, weft_json id, int code, weft_json data,
	const char *format, ...) WEFT_PRINTF(5, 6);
/* The same for a flight. */
void flight_refuse(struct flight *flight, int code, weft_json data, const char *text);
void relay_tell(const struct relay *relay, const struct relay_session *session,
	weft_log_level level, weft_err err, const char *format, ...) WEFT_PRINTF(5, 6);

/* --- link_session.c ---------------------------------------------------------------------------- */

/* To the client, who may be slow: see the top. Taken. WEFT_OK: sent, or queued. An error that is
 * the session's end has ended it; others (WEFT_EMSGSIZE, WEFT_ENOTFOUND) are of the message. */
weft_err session_send_own(struct relay_session *session, weft_message *message);
/* Sends what is queued, until there is no more or the session is over. In its own fiber. */
void session_queue_run(struct relay_session *session);
void session_queue_init(struct session_queue *queue);
void session_queue_fini(struct session_queue *queue);
/* It has to end; the first reason stays. Any fiber that knows it to be there. */
void session_fail(struct relay_session *session, weft_err err, const char *text);
/* False: too many are in flight. */
bool session_enter(struct relay_session *session);
void session_leave(struct relay_session *session);
/* Whether it is over, in its own fiber; if not, *next becomes no later than the next look. */
bool session_is_due(struct relay_session *session, weft_deadline *next);

/* --- link_up.c, link_down.c ---------------------------------------------------------------------- */

extern const weft_transport_sink link_client_sink; /* user: struct relay_session */
extern const weft_transport_sink link_server_sink; /* user: struct link */
/* Shared: nobody's initialize is pending any more. */
void link_init_settle(struct link *link, enum link_init init);
/* A request that the server has not taken: another will get it, once. Server's sink. */
void link_given_back(struct link *link, weft_message *message);
/* Takes the session's question of that id out. False: there is none. */
bool link_question_take(struct link *link, const struct relay_session *session, weft_json id);
/* A session is over: its questions are answered with an error. */
void link_questions_refuse(struct link *link, const struct relay_session *session);
/* The server is gone: nobody waits for the answers; tell: to the clients. */
void link_questions_forget(struct link *link, bool tell);

/* --- link_life.c, link_call.c: the link's fiber ----------------------------------------------- */

/* Until the session is over (shared: the relay). The server is left as it is. */
void link_run(struct link *link);
/* The gate goes down; senders return with an error. */
void link_shut(struct link *link);
/* After it: waits until nobody is inside, sweeps, and frees the server. reason NULL: those whose
 * requests are in flight are gone. */
void link_drop(struct link *link, const char *reason);
bool link_is_over(struct link *link, weft_deadline *next);
/* Parks until then at the latest, or something happened. */
void link_wait(struct link *link, weft_deadline until);
/* A request of the link's own to the server that it has started. *reply is the caller's.
 * Errors: WEFT_ETIMEDOUT, WEFT_ERESET (lost), WEFT_ECANCELED (over); those of sending. */
WEFT_MUST_CHECK weft_err link_call(struct link *link, const char *method, weft_json params,
	weft_message *reply, weft_deadline until);
/* initialize and notifications/initialized, as the client did. */
WEFT_MUST_CHECK weft_err link_initialize_again(struct link *link, weft_deadline until);
/* Finds out the era; of an old server, what it speaks. */
void link_probe(struct link *link);
/* Those who were owed an answer too long get an error. *next as in session_is_due. It sends, so it
 * may wait, and take a wake that was meant for link_wait. */
void link_silence(struct link *link, weft_deadline *next);

#endif
