/* SPDX-License-Identifier: MIT */
#ifndef MUX_SESSION_H
#define MUX_SESSION_H

/*
 * Inside of a session.
 *
 *	                 any fiber or thread                       the session's worker
 *	write --> stream.out, .big --> ready list --> sender (role) --> conn
 *	read  <-- stream.feed  <------------------------------- reader <-- conn
 *	open, close --> inbox (from other workers) ------------> table
 *
 * Two fibers on one worker. The reader reads the conn by blocks, decodes, and hands payload
 * to streams by reference; the sender gathers the frames of all streams that are in the ready
 * list into one writev. Who does the sending is a role: on the session's own worker the
 * sender's fiber, which runs once those that are runnable now have had their turn, so that
 * what they write goes together (and of many the first few before the rest, so that the peer
 * works meanwhile); elsewhere whoever finds the role free.
 *
 * Ownership: "worker" means any fiber of the session's worker, between two parks. "role": who
 * has the role. "reader", "writer": of the stream, by its gate.
 *
 * References. A session: its handle, its two fibers, each stream. A stream: its handle, the
 * table, the inbox and the ready list while it is in them.
 */
#include "base/counter.h"
#include "mux/account.h"
#include "proto/smux/smux.h"
#include "sync/feed.h"
#include "sync/gate.h"

#include <weft/chan.h>
#include <weft/mux.h>

#define TX_CHUNK_MIN ((size_t)256)  /* bytes of an allocation */
#define TX_CHUNK_MAX ((size_t)8192) /* a stream's small writes that wait to be sent */
#define TX_SMALL_MAX ((size_t)4096) /* larger writes are not copied */
#define DEATH_TEXT_MAX 256

/* What is to be sent for a stream, or for the session itself. */
enum {
	WANT_SYN = 1u << 0,
	WANT_FIN = 1u << 1,
	WANT_UPD = 1u << 2,
	WANT_NOP = 1u << 3, /* session */
};

struct tx_node {
	struct push_node node;
	struct word queued; /* it is in the ready list, or in the role's own queue */
	struct word want;
};

/* Small writes together, and room for a header before them. */
struct tx_chunk {
	struct tx_chunk *next;
	uint32_t room, len, off; /* of data; off: framed already */
	uint8_t head[SMUX_HEADER_SIZE];
	uint8_t data[];
};

/* A large write, on its writer's stack: who takes it from stream.big has it, until it is put
 * back or done. */
struct tx_request {
	const uint8_t *data;
	size_t left;
	weft_parker *parker;
	struct word done; /* the last touch */
};

enum {
	STREAM_RX_FIN = 1u << 0, /* the peer's FIN came, after all data */
	STREAM_TX_FIN = 1u << 1, /* ours is queued */
	STREAM_CLOSED = 1u << 2, /* what comes is dropped */
	STREAM_DEAD = 1u << 3,	 /* the session is: its death says how */
	STREAM_BAD = 1u << 4,	 /* the peer broke the stream's rules */
	STREAM_NOMEM = 1u << 5,	 /* data was lost for want of memory */
};
#define STREAM_FAILED ((uint32_t)(STREAM_DEAD | STREAM_BAD | STREAM_NOMEM))

struct weft_stream {
	struct refcount refs;
	uint32_t id;
	weft_mux *mux;
	struct gate gate;
	struct word state;

	/* the worker's */
	struct weft_stream *chain;	   /* in the table */
	struct push_node *newest, *oldest; /* received in this turn, not handed over yet */
	struct rx_chunk *chunk;		   /* of those, the one with room; or NULL */
	struct weft_stream *touched;	   /* the next one with such */
	uint32_t received;
	bool is_touched, in_table, is_known; /* is_known: it was in the table */
	bool is_taken_back; /* newest: with what was handed over before and not taken */

	/* any, to the worker */
	struct word inboxed;
	struct push_node inbox;

	/* the reader's; feed: filled by the worker */
	struct feed feed;
	struct push_node *unread;	  /* rx_node, oldest first */
	uint32_t consumed, told;	  /* bytes read; of those, told by the last UPD */
	bool is_told;			  /* ... of which there was one */
	struct word consumed_now, window; /* for the UPD */

	/* the writer's, taken by the role */
	struct tx_node tx;
	struct slot out;	  /* tx_chunk */
	struct slot big;	  /* tx_request */
	struct tx_chunk *framing; /* the role's: framed in part */
	uint32_t written;
	struct word64 credit; /* consumed << 32 | window, as the peer told */
	struct bell writer;
};

/* id -> stream; the worker's. */
struct table {
	struct weft_stream **heads;
	size_t cap, len; /* cap: a power of two */
	uint64_t factor; /* odd, random */
};

#define TX_IOV_MAX 128
#define TX_BYTES_MAX ((size_t)256 << 10) /* gathered at most */
#define TX_HEADS 160
#define TX_REQUESTS_MAX 64
#define TX_SLACK 8 /* a stream's own frames, beside its data */

/* A frame of a large write within a gather. */
struct tx_frame {
	struct weft_stream *stream; /* referenced by the first of its frames */
	struct tx_request *request;
	unsigned iov; /* its header; the payload follows */
	uint32_t len;
};

/* The role's. */
struct tx {
	struct push_node *queue, **queue_end; /* tx_nodes whose turn comes */
	struct iovec iov[TX_IOV_MAX + TX_SLACK];
	unsigned iov_len;
	size_t bytes, payload; /* of the gather: with headers, and without */
	unsigned frames;
	bool is_pending; /* iov: what the conn did not take; all of it is the session's own */
	uint8_t heads[(TX_HEADS + TX_SLACK) * SMUX_HEADER_SIZE];
	unsigned heads_len;
	struct tx_frame requests[TX_REQUESTS_MAX]; /* frames of large writes */
	unsigned requests_len;
	struct tx_chunk *chunks; /* in iov; to be freed once that is sent */
	uint8_t *spill;		 /* max_frame_size bytes: the rest of a large write's frame */
};

enum {
	ROLE_FREE,
	ROLE_CALLER,  /* a call's own fiber or thread */
	ROLE_FIBER,   /* the sender's fiber, which was woken and waits for its turn */
	ROLE_SENDING, /* the sender's fiber, which has its turn */
	ROLE_GONE,    /* nobody sends any more */
};

enum {
	MUX_CLOSING = 1u << 0, /* no open, no accept; what is queued is sent */
	MUX_DEAD = 1u << 1,    /* death is set */
	MUX_READER_GONE = 1u << 2,
};

/* A peer's stream that gets a FIN at once. */
struct refusal {
	struct push_node node;
	uint32_t id;
};

struct mux_counters {
	struct counter opened, accepted, refused, stalls_buffer, stalls_memory;
	struct counter reads, frames_in, bytes_in;    /* the reader's fiber writes */
	struct counter writes, frames_out, bytes_out; /* the role writes */
};

struct weft_mux {
	struct refcount refs;
	weft_conn *conn;	  /* closed when all is over */
	weft_mux_options options; /* zeros replaced */
	const void *worker;	  /* rt_worker_here of its fibers */
	unsigned worker_index;
	char *local_name, *peer_name;
	struct account *account;
	struct word state;
	weft_err death; /* fixed once MUX_DEAD is set, as is the text */
	char death_text[DEATH_TEXT_MAX];

	/* any */
	struct counter ids, alive, windows, refusals_len;
	struct pushlist inbox;	  /* streams to look at: the worker takes */
	struct pushlist refusals; /* the role takes */
	weft_chan *backlog;	  /* of weft_stream * */
	weft_chan *over;	  /* closed when nothing is left to do */
	struct mux_counters counters;

	/* the reader's fiber, or the worker's */
	struct table table;
	struct smux_decoder decoder;
	struct weft_stream *last; /* of the last frame; may be NULL */
	struct weft_stream *touched;
	weft_buf block;
	size_t block_used;
	weft_deadline nop_at, check_at;
	uint64_t headers_then; /* at the last check */
	bool is_shielded;      /* its fiber goes on though it was cancelled */
	bool is_suspect;       /* of silence: dead unless the next read finds something */

	/* sending */
	struct pushlist ready;
	struct word role;
	struct bell sender;
	unsigned
		ready_here; /* the worker's: put into the ready list since the sender's last turn */
	bool is_early_over; /* the worker's: since then some of them were sent early */
	struct tx_node self; /* in the ready list for the session's own frames */
	struct tx tx;
	weft_err send_err; /* the sender's fiber; read by the reader once that aborted the conn,
			    * by others once it is over */
	char send_text[DEATH_TEXT_MAX];
};

static inline bool mux_is_here(const weft_mux *m)
{
	return m->worker == rt_worker_here();
}

/* session.c */
void mux_unref(weft_mux *mux);
/* The worker's: every stream fails so, nothing new comes. The first call counts. */
void mux_die(weft_mux *mux, weft_err err, const char *text);
/* The error of calls after its death. */
weft_err mux_death(const weft_mux *mux);

/* stream.c */
struct weft_stream *stream_create(weft_mux *mux, uint32_t id);
static inline void stream_ref(struct weft_stream *s)
{
	refcount_hold(&s->refs);
}
void stream_unref(struct weft_stream *s);
/* Wakes its reader and its writer, so that they look at the state. */
void stream_kick(struct weft_stream *s);
/* The error of a stream whose state has one of STREAM_FAILED. */
weft_err stream_failure(const struct weft_stream *s, uint32_t state);
/* As its reader or its writer (GATE_READ, GATE_WRITE), until stream_leave. */
weft_err stream_enter(struct weft_stream *s, uint32_t side);
/* After a call's time inside: teardown or shutdown, if they are due. */
void stream_leave(struct weft_stream *s, uint32_t what);
/* Drops what was received. Nobody reads. */
void stream_drain(struct weft_stream *s);
/* Of that, what was not taken to be read yet. Anybody, once the stream is closed. */
void stream_drain_feed(struct weft_stream *s);
/* The worker is to look at it: it was opened, or may have ended. */
void stream_tell_worker(struct weft_stream *s);

/* table.c: the worker's */
struct weft_stream *table_find(const struct table *table, uint32_t id);
/* Takes a reference. False: no memory. */
bool table_insert(struct table *table, struct weft_stream *s);
/* Gives the reference up. */
void table_remove(struct table *table, struct weft_stream *s);
void table_fini(struct table *table);

/* reader.c */
weft_err mux_reader(void *arg);
/* The worker's: streams that were opened or ended elsewhere. */
void mux_inbox_drain(weft_mux *mux);
/* The same for one: into the table, or out of it. */
void mux_settle(weft_mux *mux, struct weft_stream *s);

/* options.c: zeros replaced, and checked. */
weft_err mux_options_settle(weft_mux_options *out, const weft_mux_options *given);

/* sender.c */
weft_err mux_sender(void *arg);
/* Something is to be sent for it. */
void tx_queue(weft_mux *m, struct tx_node *t, uint32_t want);
/* When so many streams stand in the ready list, what they have goes before the sender's turn, so
 * that the peer works on it while others write here. Once a turn. On the session's worker, by who
 * writes; may let other fibers run. */
#define TX_EARLY_STREAMS 16
void tx_flush_early(weft_mux *mux);
static inline bool tx_is_early(const weft_mux *m)
{
	return mux_is_here(m) && m->ready_here >= TX_EARLY_STREAMS && !m->is_early_over;
}
/* A FIN for a stream that we do not have. Errors: WEFT_ECAPACITY (too many wait),
 * WEFT_ENOMEM. */
weft_err tx_refuse(weft_mux *mux, uint32_t id);

#endif
