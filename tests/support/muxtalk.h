/* SPDX-License-Identifier: MIT */
#ifndef MUXTALK_H
#define MUXTALK_H

/*
 * Random programs over streams of a simulated mux session, and a ledger in which both ends
 * write down what they did, so that they can be held against each other:
 *
 *   - every byte is the one that the other end wrote at that place;
 *   - an end of stream is seen only when the other end has begun to end it, or never took
 *     the stream; and then all was read that writes said to have taken;
 *   - every error has its reason, an idle time-out that so long nothing moved;
 *   - no call's time runs out while what it waits for is there;
 *   - what stats say of a stream is what its program did;
 *   - nobody waits for ever, but in version 2 a writer whose peer has closed: smux has no word
 *     for that, so writes have time-outs then.
 */
#include <weft/weft.h>

#define TALKS_STREAMS_MAX 256 /* of each end, in a session */

struct mux_check;

/* What one end did with a stream. */
struct talk_end {
	bool there;	  /* open or accept has given it */
	bool ending;	  /* shut down, or closed, or about to be */
	bool closed;	  /* both halves, or about to be */
	uint64_t begun;	  /* bytes of writes, with the one under way */
	uint64_t written; /* bytes that writes said to have taken */
	uint64_t read;
	bool saw_end;
	int64_t idle_ns;  /* its idle time-out, the session's or its own; 0: none */
	int64_t moved_at; /* when this end may last have written, read or opened it */
};

enum talk_kind {
	TALK_RANDOM, /* a program of its own at each end */
	TALK_SHORT,  /* a few bytes each way, then the end, without a fiber */
	TALK_BULK,   /* one large write by who opened it, with a weight up to TALKS_WEIGHT_MAX */
};
#define TALKS_WEIGHT_MAX 8

struct talk_ledger {
	struct talk_end ends[2];
	enum talk_kind kind; /* as who opened it chose, before the peer can know it */
	size_t bulk;	     /* TALK_BULK: bytes, for each of its weight */
	unsigned weight;
};

/* A session; in the test's memory. */
struct talks {
	/* set by the caller */
	uint64_t key;		     /* of its bytes */
	bool faults;		     /* errors may come from the world */
	bool memory_fails;	     /* and for want of memory */
	bool windows;		     /* version 2 */
	unsigned odd;		     /* the end whose streams have odd ids */
	bool versions_differ;	     /* nothing gets through */
	weft_deadline until;	     /* of calls without a shorter time-out */
	size_t bytes_max;	     /* that a stream carries each way */
	size_t piece_max;	     /* of reads and writes */
	int64_t idle_ns[2];	     /* of the sessions */
	int64_t idle_late_ns[2];     /* idle streams end that much later at most; 0: not known */
	bool closing[2];	     /* the session, by that end, in whatever way */
	bool draining[2];	     /* that end has begun to drain it */
	struct mux_check *checks[2]; /* of those under way */
	/* the ledger */
	struct talk_ledger streams[2][TALKS_STREAMS_MAX]; /* by the id's parity */
};

/* Talks over a stream that open or accept gave to that end, and frees it. */
void talks_stream(struct talks *talks, unsigned end, weft_stream *stream);
/* What is to be known of a stream from the first moment, by who opened it. */
void talks_opened(struct talks *talks, weft_stream *stream, enum talk_kind kind, size_t bulk);
enum talk_kind talks_kind(const struct talks *talks, const weft_stream *stream);
/* A short one in two steps: what it writes, and the rest; the stream is freed. */
void talks_short_begin(struct talks *talks, unsigned end, weft_stream *stream);
void talks_short_end(struct talks *talks, unsigned end, weft_stream *stream);
/* How many streams that end has, and did not begin to close. */
unsigned talks_open(const struct talks *talks, unsigned end);
/* fn(arg) until *done, and now and then cancelled in the middle, and begun again. */
void talks_stints(const char *name, weft_fiber_fn fn, void *arg, const bool *done);
/* Fails the test when an end may not get that from a call, other than a stream's end. */
void talks_may_fail(const struct talks *talks, unsigned end, weft_err err);
/* A deadline for the next call: often the session's, now and then a near one. */
weft_deadline talks_until(const struct talks *talks);
/* As the library's, where memory may fail for the test too. spawn: WEFT_OK, or WEFT_ECANCELED
 * in a scope or on a node that is no more. */
weft_scope *talks_scope(void);
weft_err talks_spawn(weft_scope *scope, const char *name, weft_fiber_fn fn, void *arg);
/* After both ends have ended. */
void talks_compare(const struct talks *talks);

#endif
