/* SPDX-License-Identifier: MIT */
#ifndef MUX_SESSION_H
#define MUX_SESSION_H

/*
 * Inside of a session.
 *
 *	                 any fiber or thread                       the session's worker
 *	write --> stream.out, .big --> ready list --> sender (role) --> conn
 *	read  <-- stream.feed, or the reader's memory (.offer) <- reader <-- conn
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
#include "mux/poll.h"
#include "proto/smux/smux.h"
#include "sync/feed.h"
#include "sync/gate.h"

#include <weft/chan.h>
#include <weft/mux.h>

#include <limits.h>

#define TX_CHUNK_MIN ((size_t)256)   /* bytes of an allocation */
#define TX_CHUNK_MAX ((size_t)8192)  /* a stream's small writes that wait to be sent */
#define TX_SMALL_MAX ((size_t)4096)  /* larger writes are not copied */
#define RX_DIRECT_MIN ((size_t)8192) /* of a frame, and of a reader's memory: see direct.c */
#define DEATH_TEXT_MAX 256
#define TOUCHED_MIN 16 /* streams that get something in a turn: for more there is an allocation */

/* What is to be sent for a stream, or for the session itself. */
enum {
	WANT_SYN = 1u << 0,
	WANT_FIN = 1u << 1,
	WANT_UPD = 1u << 2,
	WANT_NOP = 1u << 3,	 /* session */
	WANT_REFUSALS = 1u << 4, /* session */
	WANT_LOOK = 1u << 5,	 /* session: nothing, but somebody is to have the role */
};

/* Small writes together, and room for a header before them. */
struct tx_chunk {
	struct tx_chunk *next;
	uint32_t room, len, off; /* of data; off: framed already */
	bool is_awaited;	 /* its writer found it full, and is to be told that it was taken */
	uint8_t head[SMUX_HEADER_SIZE];
	uint8_t data[];
};

/* Memory of a reader that waits, on its stack: who takes it from mux.offer has it, until it is put
 * back or done. */
struct rx_request {
	struct weft_stream *stream;
	uint8_t *data;
	size_t room, got;
	weft_parker *parker;
	struct word done; /* the last touch */
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
	STREAM_RX_FIN = 1u << 0,  /* the peer's FIN came, after all data */
	STREAM_TX_FIN = 1u << 1,  /* ours is queued */
	STREAM_CLOSED = 1u << 2,  /* what comes is dropped */
	STREAM_DEAD = 1u << 3,	  /* the session is: its death says how */
	STREAM_BAD = 1u << 4,	  /* the peer broke the stream's rules */
	STREAM_NOMEM = 1u << 5,	  /* data was lost for want of memory */
	STREAM_IDLE = 1u << 6,	  /* its time is up */
	STREAM_INBOXED = 1u << 7, /* it stands in the inbox */
				  /* above: its weight */
};
#define STREAM_WEIGHT_SHIFT 8
#define STREAM_BITS ((1u << STREAM_WEIGHT_SHIFT) - 1)
#define STREAM_FAILED ((uint32_t)(STREAM_DEAD | STREAM_BAD | STREAM_NOMEM | STREAM_IDLE))

enum stream_fin {
	FIN_NOT_YET,
	FIN_DUE,  /* once its data has gone */
	FIN_SENT, /* nothing of it is sent any more */
};

/* Its frame was gathered and not sent: it is to have its turn again. */
enum stream_again {
	AGAIN_NOT,
	AGAIN_WANTED,
	AGAIN_FOUND, /* and was waiting for the next one meanwhile */
};

/*
 * 100,000 of them may lie idle: STREAM_SIZE_MAX. Numbers of stats have one writer each, so that
 * they cost no atomic read-modify-write.
 */
struct weft_stream {
	struct refcount refs;
	uint32_t id;
	weft_mux *mux;
	struct gate gate;
	struct word state;

	/* any, to the role */
	struct word queued; /* it is in the ready list, or in one of the role's */
	struct word want;

	/* the writer's, taken by the role; what a small write needs lies together with the above */
	struct slot out; /* tx_chunk */
	struct counter written;
	struct word64 credit; /* consumed << 32 | window, as the peer told */
	struct slot big;      /* tx_request */
	struct bell writer;   /* or a poll_entry, for good */
	struct word stalled_ms, stalls_window;

	/* any, to the role */
	struct push_node ready, control; /* it has data to send; want is not 0 */

	/* the role's */
	union {
		struct tx_chunk *framing; /* framed in part; or NULL */
		struct tx_request *held;  /* with frames in the gather */
	};
	struct counter frames_out;
	uint8_t is_held : 1; /* held is valid, not framing */
	uint8_t fin : 2;     /* enum stream_fin */
	uint8_t again : 2;   /* enum stream_again */
	uint8_t : 0;
	/* the worker's, here where there is room */
	uint8_t in_table : 1, is_known : 1; /* is_known: it was in the table */
	uint8_t is_touched : 1;		    /* it is among those that got something in this turn */
	uint8_t is_taken_back : 1;	    /* turn: see reader.c */
	/* the role's */
	uint16_t round;	 /* of turns, modulo 65,536, of which deficit is */
	int32_t deficit; /* bytes that it may send in it */
	uint32_t limit;	 /* bytes that UPDs allow the peer to send, the highest */
	struct word stalls_conn;

	/* the reader's; feed: filled by the worker */
	struct feed feed;
	struct push_node *unread; /* rx_node, oldest first */
	struct word consumed;	  /* bytes read */
	struct word window;	  /* told by the last UPD, or as the protocol begins */
	uint32_t told;		  /* of the bytes read, those that the last UPD told */
	uint32_t told_at;	  /* when that was, in us; 0: there was none */

	/* the worker's */
	struct counter received, frames_in;
	struct push_node *turn;	   /* received in this one, not handed over yet: see reader.c */
	struct weft_stream *chain; /* in the table */
	struct word stalls_reader;
	uint32_t idle_mark, idle_since; /* what had moved, and when that was first seen, in ms */

	/* any, to the worker */
	struct word idle_ms; /* its time-out; 0: none */
	struct push_node inbox;
};
#define STREAM_SIZE_MAX 216 /* what malloc makes 224 of */
_Static_assert(sizeof(struct weft_stream) <= STREAM_SIZE_MAX, "a stream is small");

/* id -> stream; the worker's. */
struct table {
	struct weft_stream **heads;
	size_t cap, len; /* cap: heads, a power of two */
	uint64_t factor; /* odd, random */
	struct counter bytes;
};

#define TX_IOV_MAX 128
#define TX_BYTES_MAX ((size_t)256 << 10) /* gathered at most */
#define TX_HEADS 160
#define TX_NO_IOV UINT_MAX
#define TX_REQUESTS_MAX 64
#define TX_SLACK 8 /* a stream's own frames, beside its data */

/* A frame of a large write within a gather. */
struct tx_frame {
	struct weft_stream *stream; /* referenced by the first of its frames */
	struct tx_request *request;
	unsigned iov; /* its header; the payload follows */
	uint32_t len;
};

/* First in, first out; zeroed, then tx_list_init. */
struct tx_list {
	struct push_node *first, **end;
};

/* The role's. */
struct tx {
	struct tx_list control;		   /* nodes of control frames that there was no room for */
	struct tx_list fresh, turn, later; /* ready nodes: see gather.c */
	uint32_t round;
	struct weft_stream *sole; /* whose data alone is in iov; NULL: none, or of several */
	unsigned fresh_run;	  /* of fresh, one after the other */
	unsigned fresh_overtook;  /* of fresh, since the connection took one of turn */
	unsigned turn_iov;	  /* the first of turn in iov; or TX_NO_IOV */
	bool has_woken;		  /* somebody whose write is done */
	struct iovec iov[TX_IOV_MAX + TX_SLACK];
	unsigned iov_len;
	size_t bytes, payload; /* of the gather: with headers, and without */
	size_t uncopied;       /* of payload, from writers' own memory */
	unsigned frames;
	bool is_pending; /* iov: what the conn did not take; all of it is the session's own */
	uint8_t heads[(TX_HEADS + TX_SLACK) * SMUX_HEADER_SIZE];
	unsigned heads_len;
	struct tx_frame requests[TX_REQUESTS_MAX]; /* frames of large writes */
	unsigned requests_len;
	struct tx_chunk *chunks; /* in iov; to be freed once that is sent */
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
	MUX_DRAINING = 1u << 3, /* no open, and what the peer opens is refused */
};
#define MUX_ENDING ((uint32_t)(MUX_CLOSING | MUX_DEAD | MUX_READER_GONE))

/* A peer's stream that gets a FIN at once. */
struct refusal {
	struct push_node node;
	uint32_t id;
};

struct mux_counters {
	struct counter opened, accepted, refused;
	struct counter stalls_window, stalled_window_ns; /* writers add */
	struct counter uncopied_in;			 /* readers add */
	/* the reader's fiber, or the worker, writes */
	struct counter reads, frames_in, bytes_in, wire_in, idled;
	struct counter stalls_buffer, stalls_memory, stalls_reader;
	struct counter stalled_buffer_ns, stalled_memory_ns;
	/* the role writes */
	struct counter writes, frames_out, bytes_out, wire_out, stalls_conn, stalled_conn_ns;
	struct counter uncopied_out;
	struct counter write_sizes[WEFT_MUX_WRITE_SIZES];
};

/* A measure of the round trip under way: a window that was told, and what the peer may only have
 * sent once it had it. */
struct probe {
	struct word armed; /* 0: the role's; else the worker's, until it has its sample */
	uint32_t id, limit;
	int64_t at;
};

/* The worker's. */
struct rtt {
	struct counter ns;     /* 0: not known; any may look */
	struct word source;    /* weft_mux_rtt_source */
	weft_deadline at;      /* when to ask the kernel next */
	int64_t least, lately; /* samples by windows: of this period, and the one before */
	weft_deadline period_end;
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
	struct counter ids, alive, refusals_len;
	struct counter told_len, told_bytes; /* streams with a window that was told; all windows */
	struct word window_most;	     /* the largest that was told */
	struct word idle_used;		     /* a stream has an idle time-out */
	struct pushlist inbox;		     /* streams to look at: the worker takes */
	struct pushlist refusals;	     /* the role takes */
	weft_chan *backlog;		     /* of weft_stream *, accept_backlog at most */
	weft_chan *drained;		     /* closed when it drains and no stream is left */
	weft_chan *over;		     /* closed when nothing is left to do */
	struct slot poll;		     /* poll_entry; for good */
	struct mux_counters counters;

	/* the reader's fiber, or the worker's */
	struct table table;
	struct smux_decoder decoder;
	struct weft_stream *last;     /* of the last frame; may be NULL */
	struct weft_stream **touched; /* got something in this turn; each referenced */
	struct weft_stream *touched_few[TOUCHED_MIN];
	unsigned touched_len;
	struct counter touched_cap; /* any may look */
	weft_buf block;
	size_t block_used;
	size_t got_most;       /* of the reads since the last trim */
	weft_deadline trim_at; /* WEFT_FOREVER: there is nothing to give back */
	weft_deadline nop_at, check_at, sweep_at;
	size_t swept; /* heads of the table, in this round */
	struct rtt rtt;
	uint64_t headers_then; /* at the last check */
	uint64_t last_head;    /* of the last large frame */
	unsigned same_heads;   /* large ones before it, one after the other, that had the same */
	bool is_shielded;      /* its fiber goes on though it was cancelled */
	bool is_suspect;       /* of silence: dead unless the next read finds something */

	struct slot offer;	 /* rx_request: any reader's, taken by the worker */
	struct word takes_turns; /* the worker's: large frames are of one stream, then of another */

	/* sending */
	struct pushlist ready, control; /* streams' nodes of these names; and self, in control */
	struct word role;
	struct bell sender;
	unsigned ready_here; /* the worker's: with data to send since the sender's last turn */
	bool is_early_over;  /* the worker's: since then some of them were sent early */
	struct push_node self;
	struct word self_want;
	size_t chunk_max; /* bytes of an allocation: holds a frame of the session's, at most */
	struct probe probe;
	struct tx tx;
	struct slot
		spill; /* max_frame_size bytes: the rest of a large write's frame. Writers make it,
			    * for good; its contents are the role's */
	weft_err send_err; /* the sender's fiber; read by the reader once that aborted the conn,
			    * by others once it is over */
	char send_text[DEATH_TEXT_MAX];
};

/* It is closed, or dead. */
static inline bool mux_is_ending(const weft_mux *m)
{
	return word_get(&m->state) & MUX_ENDING;
}

static inline bool mux_is_here(const weft_mux *m)
{
	return m->worker == rt_worker_here();
}

/* session.c */
void mux_unref(weft_mux *mux);
/* What a poller has of it; NULL: it was never in one. */
static inline struct poll_entry *mux_poll(const weft_mux *m)
{
	return slot_look(&m->poll);
}
/* The worker's: every stream fails so, nothing new comes. The first call counts. */
void mux_die(weft_mux *mux, weft_err err, const char *text);
/* The error of calls after its death. */
weft_err mux_death(const weft_mux *mux);
/* A stream's place. False: there is none. */
bool mux_enter(weft_mux *mux);
void mux_leave(weft_mux *mux);

/* stream.c */
struct weft_stream *stream_create(weft_mux *mux, uint32_t id);
static inline void stream_ref(struct weft_stream *s)
{
	refcount_hold(&s->refs);
}
void stream_unref(struct weft_stream *s);
/* Wakes its reader and its writer, so that they look at the state. */
void stream_kick(struct weft_stream *s);
/* What a poller has of it; NULL: it was never in one. Constant within a call that writes. */
static inline struct poll_entry *stream_poll(const struct weft_stream *s)
{
	return poll_entry_of(bell_waiter(&s->writer));
}
/* Its writer may go on: it looks at the state. */
static inline void stream_ring(struct weft_stream *s)
{
	weft_parker *waiter = bell_waiter(&s->writer);
	struct poll_entry *e = poll_entry_of(waiter);

	if (weft_unlikely(e))
		poll_look_stream(s, e);
	else if (waiter)
		weft_unpark(waiter);
}
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

/* write.c: false: it would have to wait for the peer's window. */
bool stream_is_writable(const struct weft_stream *s);

/* table.c: the worker's */
struct weft_stream *table_find(const struct table *table, uint32_t id);
/* Takes a reference. False: no memory. */
bool table_insert(struct table *table, struct weft_stream *s);
/* Gives the reference up. */
void table_remove(struct table *table, struct weft_stream *s);
/* After many have gone: as few heads as are needed, if there is memory for that. Not while somebody
 * goes through them. */
void table_fit(struct table *table);
void table_fini(struct table *table);

/* reader.c */
weft_err mux_reader(void *arg);
/* Its fiber's: gives back memory that it did not need lately. True: later perhaps more. */
bool mux_trim(weft_mux *mux);
/* The worker's: streams that were opened or ended elsewhere. */
void mux_inbox_drain(weft_mux *mux);
/* The same for one: into the table, or out of it. */
void mux_settle(weft_mux *mux, struct weft_stream *s);

struct weft_stream *mux_find(weft_mux *mux, uint32_t id);
/* So much of its payload came, of the frame that the decoder is at. False: that was more than it may,
 * and it has failed. */
bool mux_came(weft_mux *mux, struct weft_stream *s, size_t len);

/* direct.c: by a reader that has nothing unread; until withdrawn its memory is not its own. Then
 * r->got: so much was received into it, and comes before all that it is handed. */
void direct_offer(weft_mux *mux, struct rx_request *r);
void direct_withdraw(weft_mux *mux, struct rx_request *r);
struct rx_came {
	struct iovec block; /* room; then what came into it */
	size_t direct;	    /* and what went to a reader */
	size_t bytes;	    /* of all */
	bool is_full;	    /* there was no room for more */
};
/* Worker: one read of the conn. Errors: as of a read. */
weft_err direct_receive(weft_mux *mux, struct rx_came *came);
/* Worker: a frame has come to its end. */
void direct_note_frame(weft_mux *mux);

/* The worker's: the stream alone fails, and what still comes is dropped. */
void mux_fail_stream(weft_mux *mux, struct weft_stream *s, uint32_t how);

/* clock.c: the worker's */
void clock_start(weft_mux *mux);
weft_deadline clock_next(const weft_mux *mux);
/* What is due. False: the session is dead. */
bool clock_tick(weft_mux *mux);
/* There is something that an idle session need not have. */
void clock_trim_later(weft_mux *mux);
/* For idle_since: never 0, which is not yet; and never in the future. */
static inline uint32_t clock_idle_ms(weft_deadline now)
{
	uint32_t ms = (uint32_t)(now / 1000000);

	return ms ? ms : UINT32_MAX;
}
/* Not dead while it is us who do not read: the silence begins anew after. */
void clock_excuse(weft_mux *mux);

/* window.c */
/* The reader took so many bytes: tells the peer at first, then by half windows. */
void window_took(struct weft_stream *s, size_t bytes);
/* It has gone. */
void window_forget(struct weft_stream *s);
/* Role: an UPD of that stream is about to be sent, which allows so much. */
void window_told(struct weft_stream *s, uint32_t limit);
/* Worker: data of it came; the stream has gone from the table. */
void window_came(struct weft_stream *s);
void window_probe_drop(weft_mux *mux, const struct weft_stream *s);
/* Worker: now and then. */
void window_rtt_look(weft_mux *mux, weft_deadline now);

/* options.c; settle: zeros replaced, and checked. */
bool mux_is_idle_timeout(int64_t ns);
weft_err mux_options_settle(weft_mux_options *out, const weft_mux_options *given);

/* sender.c */
weft_err mux_sender(void *arg);
/* It has data to send. */
void tx_data(struct weft_stream *s);
/* Frames of these kinds are to be sent for it, before all data; a FIN after its own. */
void tx_want(struct weft_stream *s, uint32_t want);
/* The same for the session itself. */
void tx_want_self(weft_mux *mux, uint32_t want);
/* When so many streams stand in the ready list, what they have goes before the sender's turn, so
 * that the peer works on it while others write here. Once a turn. On the session's worker, by who
 * writes; may let other fibers run. */
#define TX_EARLY_STREAMS 8
void tx_flush_early(weft_mux *mux);
static inline bool tx_is_early(const weft_mux *m)
{
	return mux_is_here(m) && m->ready_here >= TX_EARLY_STREAMS && !m->is_early_over;
}
/* A FIN for a stream that we do not have. Errors: WEFT_ECAPACITY (too many wait),
 * WEFT_ENOMEM. */
weft_err tx_refuse(weft_mux *mux, uint32_t id);

/* gather.c: the role's */
void tx_init(struct tx *tx);
/* Frames of what waits, as much as there is room for, into iov. */
void tx_gather(weft_mux *mux);
/* So much of what it sent in its turn was not sent. */
void tx_give_turn_back(weft_mux *mux, struct weft_stream *s, size_t len);
/* Of iov what is behind cut was not sent, so none of tx.requests from first on: their streams
 * come first again. */
void tx_turn_back(weft_mux *mux, unsigned first, unsigned cut);
/* The gather left something. */
static inline bool tx_has_queue(const struct tx *tx)
{
	return tx->control.first || tx->fresh.first || tx->turn.first || tx->later.first;
}
/* Gives up what waits, and all that would come. */
void tx_close_lists(weft_mux *mux);

#endif
