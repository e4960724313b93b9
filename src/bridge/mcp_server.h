/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_MCP_SERVER_H
#define BRIDGE_MCP_SERVER_H

/*
 * Inside of weft_mcp_server.
 *
 *	server --+-- sessions, by id		a map; any worker
 *		 +-- tokens			a cell
 *		 +-- keeper			one fiber: times, ends
 *	session -+-- pending, by request id	a map: who waits for which answer
 *		 +-- gate			who delivers to the transport
 *		 +-- streams, events		under a mutex that no answer in JSON takes
 *	stream --+-- phase, answer		see below
 *
 * A POST with a request makes a stream, which is one client's view of one request: its answer, and
 * what comes before it.
 *
 *	WAITING --answer--> ANSWERED			sent as JSON
 *	   `--json_wait_ns, or another message--> STREAMING	sent as events
 *
 * Whoever takes a request out of `pending` (its answer, a time-out, the session's end) has it to
 * answer alone. WAITING changes by one compare-and-exchange, so an answer needs no lock.
 *
 * A POST that is answered in JSON costs, beside what a request costs the HTTP server: three
 * allocations (the body, from the pool; the stream; its entry in pending); one park and one wake;
 * no system call, no lock. The session's own counts are about ten atomic steps in its lines.
 *
 * Events. Those of all streams are in two lists of the session, the oldest first, within
 * replay_events_max and replay_bytes_max together; they are kept for clients that come back. What was
 * not sent yet to a client that is there is never dropped for room: who has more to send waits. A
 * stream whose client is gone keeps what room there is; what is dropped of it is remembered, so that
 * who comes back for an answer that is not there any more is told so by an error.
 *	One list is of answers and of the server's requests, one of notifications. Neither pushes
 * out of the other what is within half of the room: so a flood of notifications costs no answer. A
 * request of the server's that is dropped before anybody saw it is answered with an error. An answer
 * waits for no room: there is one a request, and no more of these than requests_max.
 *	STATELESS, streams are of different clients, and each has that room for itself. One that is
 * full waits for nobody: notifications are dropped, and a subscription ends.
 */
#include "base/counter.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/refcount.h"
#include "bridge/mcp_server_check.h"
#include "bridge/mcp_server_token.h"
#include "bridge/mcp_tools.h"
#include "sync/gate.h"
#include "sync/pushlist.h"
#include "sync/word.h"

#include <weft/cell.h>
#include <weft/chan.h>
#include <weft/map.h>
#include <weft/mcp_server.h>
#include <weft/mutex.h>

#define MCPS_ID_BYTES ((size_t)24) /* random: 192 bits */
#define MCPS_ID_LEN (2 * MCPS_ID_BYTES)
#define MCPS_REQUEST_ID_MAX ((size_t)1024) /* bytes of a request's id, or of its progress token */
#define MCPS_LISTENERS_MAX 16		   /* streams of GET a session, at once */
#define MCPS_RETRY_MS 1000		   /* told to clients: when to come back */
#define MCPS_LOST (-32000)		   /* JSON-RPC: a request that can't be answered any more */

#define MCPS_SESSION_FIELD "Mcp-Session-Id"
#define MCPS_VERSION_FIELD "MCP-Protocol-Version"

struct mcps_session;
struct mcps_stream;

/* A handler that sends a stream, on its stack. */
struct mcps_writer {
	struct bell bell;
	bool is_replaced; /* under the session's lock: another sends the stream now */
};

enum mcps_phase {
	MCPS_WAITING,
	MCPS_ANSWERED,
	MCPS_STREAMING,
};

/* Of what kind a session is, and so its streams. */
enum mcps_kind {
	MCPS_SESSIONS,	/* Streamable HTTP with sessions */
	MCPS_SSE,	/* HTTP+SSE: one stream, which is the session */
	MCPS_STATELESS, /* all stateless requests of a principal */
};

/* The lists of events. */
enum mcps_rank {
	MCPS_NOTE,
	MCPS_DUE, /* answers, and the server's requests */
	MCPS_RANKS,
};

struct mcps_event {
	struct list all;	    /* in session->events[rank], or session->refused */
	struct list mine;	    /* in stream->events */
	struct mcps_stream *stream; /* a reference */
	uint64_t seq;
	weft_buf text;
	bool is_sent, is_answer, is_request;
	uint32_t id_at, id_len; /* of a request: in text */
};

struct mcps_stream {
	struct refcount refs;
	struct word phase;	    /* enum mcps_phase */
	struct word is_refused;	    /* STREAMING: its answer is an error */
	struct mcps_writer *writer; /* who sends it; NULL: nobody. Under the lock, once STREAMING */
	weft_message answer;	    /* ANSWERED: the handler's; before: who moves it there. None:
				     * there was no memory for one */
	weft_deadline born_at;

	/* under the session's lock, once STREAMING */
	struct list link; /* in session->streams, with a reference; in no list: forgotten */
	struct list events;
	struct mcps_event *next; /* the first that was not sent; NULL: none */
	uint64_t number, seq;	 /* of the last event */
	uint64_t dropped_seq;	 /* of the last event that is not kept any more */
	uint64_t lost_seq;	 /* of the last of these that was an answer */
	size_t len, bytes;	 /* of events */
	unsigned unanswered;	 /* requests */
	bool is_lost;		 /* an answer could not be kept: an error in its place */
	bool is_full;		 /* STATELESS: something was dropped, and that was told */

	/* constant */
	weft_parker *parker; /* the handler's, who waits while WAITING */
	struct mcps_stream
		*batch;	    /* a reference: the stream that its answer goes to; NULL: itself */
	int64_t own_id;	    /* STATELESS: what the transport knows the request by */
	bool is_endless;    /* subscriptions/listen: no answer is due */
	bool is_tools_list; /* its answer is looked at */
	bool is_listener;   /* of a GET: for what belongs to no request */
	uint32_t id_len, token_len;
	const char *token; /* the request's progress token, as it stands; NULL: none */
	char id[];	   /* the request's, as it stands; "": of a batch, or a GET */
};

enum mcps_end {
	MCPS_END_CLOSED,  /* by the transport's owner */
	MCPS_END_DELETED, /* by the client */
	MCPS_END_IDLE,
	MCPS_END_OLD,
	MCPS_END_TOKEN,	  /* the token is gone */
	MCPS_END_UNTAKEN, /* nobody has begun to receive */
	MCPS_END_REFUSED, /* initialize was answered with an error */
	MCPS_END_GONE,	  /* HTTP+SSE: the client is */
	MCPS_END_SERVER,
};

struct mcps_session {
	struct refcount refs;	 /* the map's, the keeper's, the transport's, each exchange's */
	weft_mcp_server *server; /* a reference */
	struct mcps_principal *principal; /* a reference */
	enum mcps_kind kind;
	char id[MCPS_ID_LEN + 1]; /* "": STATELESS */
	char *address;		  /* counted in server->addresses; NULL: not */
	bool is_counted;	  /* in principal->sessions */
	uint32_t epoch;		  /* of the server, when it began */
	unsigned worker;	  /* of who made it */
	weft_deadline born_at;
	weft_transport *transport; /* its owner's; ours to use inside the gate */
	struct gate gate;	   /* deliveries are visits */
	struct word end;	   /* 1 + enum mcps_end; 0: lives */
	struct word started;	   /* 1: somebody receives */
	struct word finished;	   /* 1: the transport's end was told */
	struct bell freeing;	   /* who waits for that */
	struct counter touched;	   /* when it was last used */
	struct counter requests;   /* unanswered */
	struct counter writers;	   /* streams that are being sent */
	weft_map *pending;	   /* id -> stream */
	struct counter ids;	   /* STATELESS: the last it has given */
	struct mcp_tools *tools;   /* STATELESS: whose arguments are in fields, too */

	weft_mutex *lock;		/* over all below */
	struct list events[MCPS_RANKS]; /* the oldest first */
	size_t len[MCPS_RANKS], bytes[MCPS_RANKS];
	struct list refused;	 /* of mcps_event: requests that were dropped unseen */
	bool is_refusing;	 /* somebody answers these */
	struct word has_refused; /* 1: there are some; read without the lock */
	struct list streams;
	struct mcps_stream *held; /* what nobody was there for; made when needed */
	uint64_t streams_len;	  /* numbers given */
	size_t listeners;
	struct list room; /* struct mcps_room: who waits for it */

	/* the keeper's */
	struct push_node born_node, end_node, finish_node;
	struct heap_node check; /* when to look at it */
};

struct mcps_stats {
	struct counter sessions, sessions_refused, sessions_expired, sessions_now, streams_now;
	struct counter requests_now, requests, refused_auth, resumed, replayed, replay_bytes;
	struct counter evicted;
};

struct weft_mcp_server {
	struct refcount refs;		 /* the owner's, each session's */
	weft_mcp_server_options options; /* zeros replaced; strings its own */
	char *path, *sse_path, *messages_path, *token_file;
	weft_map *sessions;  /* id -> session */
	weft_map *stateless; /* principal -> session */
	weft_map *addresses; /* address -> how many sessions; NULL: not limited */
	weft_cell *tokens;   /* struct mcps_tokens; NULL: anybody may come */
	struct mcps_principal *anybody;
	weft_chan *accepting; /* of weft_transport *, that nobody has taken yet */
	weft_incoming *incoming;
	weft_http_fields *json; /* of an answer in JSON */
	weft_mutex *reloading;	/* one reload at a time */
	struct mcps_stats stats;

	weft_scope *scope; /* the keeper, and fibers that tell ends */
	struct bell keeper;
	struct pushlist born, ending, finishing;
	struct word stopping; /* 1: no session begins, those there are end */
	struct word reloaded; /* 1: sessions whose tokens are gone are to end */
	struct word epoch;    /* one more with each renewal */
	struct word is_shut;  /* 1: no session begins for now */
	struct word renewed;  /* 1: the keeper is to look for sessions of earlier epochs */
	struct heap checks;   /* the keeper's */
	size_t alive;	      /* the keeper's: sessions that have not finished */
};

/* ---- mcp_server.c ---- */
/* From now on sessions begin, or get a 404; and what requests without a session have used so far is not
 * used for further ones: another serves them. */
void mcps_server_renew(weft_mcp_server *server, bool is_open);
static inline const weft_transport_options *mcps_transport_options(const weft_mcp_server *server)
{
	return &server->options.transport;
}
void mcps_server_unref(weft_mcp_server *server);

/* ---- mcp_server_session.c: their lives ---- */
/*
 * A session of that principal, which somebody has to take from the incoming; *out has a reference.
 * Errors: WEFT_ECAPACITY (sessions_max), WEFT_EAGAIN (sessions_client_max), WEFT_ECLOSED (nobody
 * accepts any more), WEFT_ETIMEDOUT (nobody took it), WEFT_ECANCELED, WEFT_ENOMEM.
 */
WEFT_MUST_CHECK weft_err mcps_session_make(struct mcps_session **out, weft_mcp_server *server,
	struct mcps_principal *principal, enum mcps_kind kind, const char *peer);
struct mcps_session *mcps_session_ref(struct mcps_session *session);
void mcps_session_unref(struct mcps_session *session);
/* By its id, with a reference; NULL: none. */
struct mcps_session *mcps_session_find(weft_mcp_server *server, const char *id);
/* Ends it. Idempotent, from anywhere; the rest is the keeper's. */
void mcps_session_end(struct mcps_session *session, enum mcps_end why);
/* One that has ended is not in server->stateless any more. */
void mcps_stateless_forget(struct mcps_session *session);
const char *mcps_end_text(const struct mcps_session *session);
static inline bool mcps_session_has_ended(const struct mcps_session *session)
{
	return word_get(&session->end) != 0;
}
/* STATELESS: of an earlier epoch. */
static inline bool mcps_session_is_past(const struct mcps_session *session)
{
	return session->kind == MCPS_STATELESS &&
		session->epoch != word_get(&session->server->epoch);
}
void mcps_session_touch(struct mcps_session *session);
/* Gives a message (taken) to who receives. False: the session has ended; it was dropped. */
bool mcps_session_deliver(struct mcps_session *session, weft_message *message);
static inline void mcps_lock(struct mcps_session *session)
{
	weft_shield_begin();
	if (weft_mutex_lock(session->lock, WEFT_FOREVER))
		CHECK(false); /* shielded, without limit, and never twice */
}
static inline void mcps_unlock(struct mcps_session *session)
{
	weft_mutex_unlock(session->lock);
	weft_shield_end();
}

/* ---- mcp_server_keeper.c ---- */
weft_err mcps_keeper_start(weft_mcp_server *server);
/* Ends all sessions, and waits until their ends were told; the keeper ends. */
void mcps_keeper_stop(weft_mcp_server *server);

/* ---- mcp_server_stream.c: streams and events; `locked`: under the session's lock ---- */
/* For a request (NULL: a batch, or a GET) that the handler with this writer waits for. NULL: no
 * memory. */
struct mcps_stream *mcps_stream_make(const weft_jsonrpc *request, struct mcps_writer *writer);
void mcps_stream_ref(uint64_t stream);
void mcps_stream_unref(uint64_t stream);
/* It is to be STREAMING. False: it was answered meanwhile. */
bool mcps_stream_open(struct mcps_session *session, struct mcps_stream *stream);
/* The handler leaves it, once it is STREAMING. */
void mcps_stream_leave(
	struct mcps_session *session, struct mcps_stream *stream, const struct mcps_writer *writer);
/* The same, and no answer will come. */
void mcps_stream_give_up(
	struct mcps_session *session, struct mcps_stream *stream, const struct mcps_writer *writer);
/* An event more of a stream that is STREAMING: message is taken, also on error. Waits while there is
 * no room, if it is no answer. An answer that could not be put is lost: see is_lost. It ends its
 * stream: what comes later goes to that of a GET.
 * Errors: WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_ENOMEM; WEFT_ECAPACITY (STATELESS: there is no room),
 * WEFT_ENOTFOUND (the same, of what comes later). */
WEFT_MUST_CHECK weft_err mcps_stream_put(struct mcps_session *session, struct mcps_stream *stream,
	weft_message *message, bool is_answer, weft_deadline until);
/* STATELESS: there was no room for a notification. What is told beside an answer may be missed; a
 * subscription ends. */
void mcps_stream_overflow(struct mcps_session *session, struct mcps_stream *stream);
/* All events, if they are the answers of all its requests, as an array in a new buffer, and nobody
 * needs them any more. Errors: WEFT_EAGAIN (some have not come yet), WEFT_EINVAL (there are
 * others), those of weft_buf_alloc. */
WEFT_MUST_CHECK weft_err mcps_stream_gather(
	struct mcps_session *session, struct mcps_stream *stream, weft_buf *out);
/* No answer will come, and none is due. */
void mcps_stream_finish(struct mcps_session *session, struct mcps_stream *stream);
/* An answer of its requests can't come. */
void mcps_stream_lose(struct mcps_session *session, struct mcps_stream *stream);
/* The writer has sent stream->next. */
void mcps_event_sent(
	struct mcps_session *session, struct mcps_stream *stream, const struct mcps_writer *writer);
/* Who sends streams, and who waits for room, look again: the session has ended. */
void mcps_streams_wake(struct mcps_session *session);
/* All of it: the session is freed. */
void mcps_events_drop(struct mcps_session *session);
/* What a client that comes back is to get. */
struct mcps_resume {
	struct mcps_stream *stream; /* a reference; NULL: it is not kept any more, or: */
	bool was_there;		    /* the id is one of the session's */
};
/* The stream of this number is writer's from now on, from behind that event. */
void mcps_stream_resume(struct mcps_session *session, struct mcps_cursor cursor,
	struct mcps_writer *writer, struct mcps_resume *out);
/* A stream of a GET; what nobody was there for goes to it. Errors: WEFT_ECAPACITY, WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err mcps_listen(
	struct mcps_session *session, struct mcps_writer *writer, struct mcps_stream **out);
/* Where that waits, with a reference; NULL: no memory. */
struct mcps_stream *mcps_held_locked(struct mcps_session *session);
/* The youngest stream of a GET that is being sent; NULL: none. */
struct mcps_stream *mcps_listener_locked(const struct mcps_session *session);
/* The one of these, with a reference; NULL: no memory. */
struct mcps_stream *mcps_listening_locked(struct mcps_session *session);
/* Nothing of it is kept, nobody sends it, nothing will come: nobody can ask for it any more. Locked. */
void mcps_stream_forget_if_over(struct mcps_stream *stream);

/* ---- mcp_server_room.c: events, and room for them; all but the last two locked ---- */
enum mcps_rank mcps_rank_of(const struct mcps_event *event);
/* The stream's next; NULL: it is the last. */
struct mcps_event *mcps_event_behind(const struct mcps_event *event);
/* In no list. */
void mcps_event_free(struct mcps_event *event);
/* Out of the lists, and freed. The reference to its stream is the caller's from now on. */
void mcps_event_drop(struct mcps_session *s, struct mcps_event *event);
/* What is too much is dropped, if it may be. */
void mcps_room_make(struct mcps_session *s);
/* Who waits for room looks again. */
void mcps_room_tell(struct mcps_session *s);
/* Both: something was sent, or may be dropped. */
void mcps_room_trim(struct mcps_session *s);
/* Room for an event more of that stream; gives the lock up while it waits. Errors: WEFT_ETIMEDOUT,
 * WEFT_ECANCELED; WEFT_ECAPACITY (STATELESS: there is none). */
WEFT_MUST_CHECK weft_err mcps_room_for(struct mcps_session *s, const struct mcps_stream *stream,
	const struct mcps_event *event, weft_deadline until);
/* Waits until there is room for so much more. Errors: WEFT_ETIMEDOUT, WEFT_ECANCELED. */
WEFT_MUST_CHECK weft_err mcps_stream_await_room(struct mcps_session *session,
	const struct mcps_stream *stream, size_t len, weft_deadline until);
/* Requests of the server's that were dropped unseen are answered with an error. */
void mcps_questions_refuse(struct mcps_session *session);

/* ---- mcp_server_route.c: from the transport to streams ---- */
weft_err mcps_send_own(void *user, weft_message *message, weft_deadline until);
/* The stream's request is one of those that wait for an answer. Errors: WEFT_EDUPLICATE,
 * WEFT_ECAPACITY (requests_max), WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err mcps_request_add(struct mcps_session *session, struct mcps_stream *stream);
/* It is answered with an error. False: it has been answered. */
bool mcps_request_fail(struct mcps_session *session, struct mcps_stream *stream, const char *why);
/* It is no more: nobody is to answer it. False: it has been answered. */
bool mcps_request_drop(struct mcps_session *session, struct mcps_stream *stream);
/* The request with that id is no more, if there is one. */
void mcps_request_forget(struct mcps_session *session, weft_json id);
/* The same with a reference; NULL: there is none. */
struct mcps_stream *mcps_request_find(struct mcps_session *session, weft_json id);
/* The one there is beside subscriptions, with a reference; NULL: there is none, or are several. */
struct mcps_stream *mcps_request_only(struct mcps_session *session);
/* A notification of what has changed, which is of no request by its nature. */
bool mcps_is_of_no_request(const weft_jsonrpc *rpc);
/* All of them. */
void mcps_requests_fail(struct mcps_session *session, const char *why);
/* Those that came before then. */
void mcps_requests_expire(struct mcps_session *session, weft_deadline before);
/* An error for that id (none: null). Errors: those of weft_message_write. */
WEFT_MUST_CHECK weft_err mcps_error_make(
	weft_message *out, const weft_mcp_server *server, weft_json id, int code, const char *text);

/* ---- mcp_server_http.c: what all handlers need ---- */
/* A request as it comes. */
struct mcps_ask {
	weft_mcp_server *server;
	weft_http_exchange *x;
	const char *version_text; /* of its header field; NULL: none */
	enum mcps_version version;
	struct mcps_session *session;	  /* that it names, a reference; NULL: none, or unknown */
	struct mcps_principal *principal; /* borrowed of session, or of the server, or: */
	struct mcps_principal *owned;	  /* a reference */
	weft_message message;
	bool is_answered; /* a response was sent: nothing else is to be done */
	weft_err err;	  /* of that response */
};
/* All that return a bool: true: go on. */

/* Who asks, by which session; session_id may be NULL. */
bool mcps_ask_begin(struct mcps_ask *ask, weft_mcp_server *server, weft_http_exchange *x,
	const char *session_id);
/* What the handler is to return; err: where nothing was answered by these functions. */
weft_err mcps_ask_end(struct mcps_ask *ask, weft_err err);
/* Event streams, and json if said. */
bool mcps_ask_accepts(struct mcps_ask *ask, bool json);
bool mcps_ask_is_json(struct mcps_ask *ask);
/* Reads the body: one message, or a batch. */
bool mcps_ask_read(struct mcps_ask *ask);
/* Answers with a status and an error of JSON-RPC; false, always. id: none: null. */
bool mcps_refuse(struct mcps_ask *ask, unsigned status, int code, weft_json id, const char *format,
	...) WEFT_PRINTF(5, 6);
/* 400, with the versions that are served. */
bool mcps_refuse_version(struct mcps_ask *ask, weft_json id, const char *requested);
/* 405, with the methods that there are. */
bool mcps_refuse_method(struct mcps_ask *ask, const char *allow);
/* 404. */
bool mcps_refuse_ended(struct mcps_ask *ask);
/* The session that the request names; or the request is refused. */
bool mcps_find_session(struct mcps_ask *ask);
/* 202, without a body. */
weft_err mcps_reply_accepted(weft_http_exchange *x);

/* ---- mcp_server_serve.c: event streams ---- */
struct mcps_serving {
	struct mcps_session *session;
	struct mcps_stream *stream;	/* STREAMING */
	struct mcps_writer *writer;	/* its */
	const weft_http_fields *fields; /* of the response; may be NULL */
	const char *endpoint;		/* HTTP+SSE: the first event's data; NULL: none */
	bool primes;			/* an empty event with an id comes first */
	weft_deadline until;		/* for an answer */
};
/* Begins the response and sends events until the stream has ended, the client is gone, another has
 * taken the stream over, or the server stops. Leaves the stream. */
weft_err mcps_serve(weft_http_exchange *x, const struct mcps_serving *serving);
/* A stream of which nothing is kept any more: an error for its request. */
weft_err mcps_serve_lost(struct mcps_ask *ask, weft_json id);

/* ---- mcp_server_post.c ---- */
/* A request, and what is done with its answer. */
struct mcps_asking {
	struct mcps_ask *ask; /* with its session and its message */
	struct mcps_session *session;
	struct mcps_stream *stream;
	struct mcps_writer *writer;
	const weft_http_fields *fields; /* of the response */
	enum mcps_version version;
	weft_deadline until; /* for an answer */
	bool is_initialize;
};
/* ask, fields, version and is_initialize are set. */
weft_err mcps_post_request(struct mcps_asking *asking);
/* What a request's id may be in this protocol: not null, nor endless. True: go on. */
bool mcps_check_id(struct mcps_ask *ask, weft_json id);
/* Why it can't be among those that wait. */
bool mcps_refuse_request(struct mcps_ask *ask, weft_err err);
/* Why there is no session. */
bool mcps_refuse_session(struct mcps_ask *ask, weft_err err);

/* ---- mcp_server_stateless.c ---- */
/* In server->stateless: the session there has a reference to the principal. */
static inline weft_map_key mcps_stateless_key(const struct mcps_principal *principal)
{
	return weft_map_int((uint64_t)(uintptr_t)principal);
}
bool mcps_is_stateless(const struct mcps_ask *ask);
weft_err mcps_post_stateless(struct mcps_ask *ask);
/* The request gets an id, and a progress token, of our own. */
WEFT_MUST_CHECK weft_err mcps_stateless_adopt(
	struct mcps_session *session, struct mcps_stream *stream, weft_message *request);
/* An answer with its client's own again. */
WEFT_MUST_CHECK weft_err mcps_stateless_answer(
	struct mcps_session *session, const struct mcps_stream *stream, weft_message *message);
/* The handler leaves: a request that was not answered is cancelled. */
void mcps_stateless_leave(struct mcps_session *session, struct mcps_stream *stream);
/* What is no answer. */
weft_err mcps_stateless_route(
	struct mcps_session *session, weft_message *message, weft_deadline until);

/* ---- handlers ---- */
weft_err mcps_post(weft_http_exchange *x, void *arg);
weft_err mcps_get(weft_http_exchange *x, void *arg);
weft_err mcps_delete(weft_http_exchange *x, void *arg);
weft_err mcps_sse_get(weft_http_exchange *x, void *arg);
weft_err mcps_sse_post(weft_http_exchange *x, void *arg);

#endif
