/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_FLOW_H
#define BRIDGE_FLOW_H

/*
 * One direction of a session: reads from one conn and writes to the other until the
 * stream ends, one side fails, or time is up.
 *
 * A flow that waits holds next to nothing. It reads into a few bytes of its fiber's stack
 * at first; once bytes come it takes a buffer from the pool, larger ones while reads fill
 * them, and gives it back after FLOW_HOT_NS without a byte. When the pool has nothing
 * left, it goes on with the stack's bytes: slower, but memory stays bounded.
 */
#include <weft/conn.h>

#include <stdbool.h>

#define FLOW_BUFFER_MIN ((size_t)4096)
#define FLOW_BUFFER_MAX ((size_t)65536)
#define FLOW_HOT_NS INT64_C(200000000)

/* What the two flows of a session share. They run on one worker: no locks. */
struct pace {
	int64_t idle_ns;    /* time out when neither direction moves that long; 0: never */
	int64_t reply_ns;   /* time out when a reply is owed and nothing moves; 0: never */
	weft_deadline last; /* when bytes last moved, kept up when either is set */
	bool is_owed;	    /* bytes went up, none came back since */
};

enum flow_end {
	FLOW_RUNNING = 0,
	FLOW_EOF,	   /* the source ended and everything was written */
	FLOW_READ_FAILED,  /* err says how; a time-out is one too */
	FLOW_WRITE_FAILED, /* err; what was read and not written is lost */
};

struct flow {
	weft_conn *src, *dst;
	weft_buf_pool *pool;
	struct pace *pace;
	bool is_reply;	     /* TO to FROM */
	bool may_throw_away; /* when writing fails, read on and drop what comes */
	bool is_throwaway;   /* writing has failed, and the bytes are dropped */
	bool is_reading;     /* parked in a read, or about to be; its own worker only */
	size_t tail_max;     /* above 0: read only what is there, at most so much, then end */
	/* Called after each write with the bytes it moved. */
	void (*moved)(void *user, size_t bytes);
	void *user;

	enum flow_end end;
	weft_err err;	    /* valid when a side failed, or is_throwaway: of writing;
			     * WEFT_ETIMEDOUT: see is_idle */
	bool is_idle;	    /* it was the idle time-out rather than an owed reply */
	uint64_t bytes;	    /* written */
	weft_buf buf;	    /* empty while the flow is cold */
	size_t buffer_size; /* of the next buffer */
};

/* Everything up to user is set, the rest zero. Parks; sets end and err. The error's
 * detail is the calling fiber's. */
void flow_run(struct flow *flow);

#endif
