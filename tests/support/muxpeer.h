/* SPDX-License-Identifier: MIT */
#ifndef MUXPEER_H
#define MUXPEER_H

/*
 * A session of weft's, and the test itself as its peer: frames made and read by hand.
 *
 *	PEER_TEST(mux_duplicate_syn_is_ignored)
 *	{
 *		peer_start(p);
 *		peer_syn(p, 3);
 *		peer_flush(p);
 *		...
 *	}
 *
 *	peer_add(tc, mux_duplicate_syn_is_ignored);
 *
 * It runs for both versions over memory, memory of seven bytes, tcp and the simulator.
 * After it, the session has given everything back: streams, bytes, memory, fibers.
 */
#include "proto/smux/smux.h"
#include "support/ends.h"

#include <pthread.h>

#define PEER_KINDS 4 /* memory, small memory, tcp, simulated */
#define PEER_RUNS (PEER_KINDS * 2)
#define PEER_TCP 2
#define PEER_SIM 3
/* Streams of these ids are the harness's own: what the session sends for them is skipped. */
#define PEER_FENCE 0x70000000u
#define PEER_FENCES_MAX 0x100000u

struct peer {
	weft_mux *mux;
	weft_conn *conn; /* the peer's end */
	/* For peer_start; keepalive and autotune are off, the role is the server's. */
	weft_mux_options options;
	weft_mux_role role;
	unsigned version;
	bool upds; /* peer_next gives UPDs; else it skips them */
	bool sim;
	bool buffers_little; /* a few bytes between the two */
	/* The harness's own: */
	weft_conn *end; /* the session's, until peer_start */
	uint8_t *out;	/* frames made, not written yet */
	size_t out_len, out_room;
	uint32_t fences;
	uint8_t *payload; /* of the last frame read */
	void (*body)(struct peer *p);
	int kind;
};

#define PEER_TEST(name)                          \
	static void name##_body(struct peer *p); \
	START_TEST(name)                         \
	{                                        \
		peer_run(_i, name##_body);       \
	}                                        \
	END_TEST                                 \
	static void name##_body(struct peer *p)

/* Both versions, over everything; version 2; the same in the simulator only. */
#define peer_add(tc, name) t_add_loop(tc, name, 0, PEER_RUNS)
#define peer_add_v1(tc, name) t_add_loop(tc, name, 0, PEER_KINDS)
#define peer_add_v2(tc, name) t_add_loop(tc, name, PEER_KINDS, PEER_RUNS)
#define peer_add_sim_v1(tc, name) t_add_loop(tc, name, PEER_SIM, PEER_SIM + 1)
#define peer_add_sim_v2(tc, name) t_add_loop(tc, name, PEER_RUNS - 1, PEER_RUNS)
#define peer_add_sim(tc, name)             \
	do {                               \
		peer_add_sim_v1(tc, name); \
		peer_add_sim_v2(tc, name); \
	} while (0)

void peer_run(int i, void (*body)(struct peer *p));
void peer_start(struct peer *p);
/* The peer's end is closed; whatever the session wrote is lost. */
void peer_hang_up(struct peer *p);

/* These make frames; peer_flush writes all that were made, in one call. */
void peer_syn(struct peer *p, uint32_t id);
void peer_fin(struct peer *p, uint32_t id);
void peer_nop(struct peer *p);
void peer_psh(struct peer *p, uint32_t id, const void *data, size_t len);
/* Bytes from..from + len of the pattern, in one frame. */
void peer_pattern(struct peer *p, uint32_t id, uint64_t from, size_t len);
void peer_upd(struct peer *p, uint32_t id, uint32_t consumed, uint32_t window);
void peer_raw(struct peer *p, const void *data, size_t len);
void peer_flush(struct peer *p);
/* The same as a fiber's function, with the peer as its argument: for more than fits. */
weft_err peer_flush_fiber(void *arg);
weft_err peer_flush_until(struct peer *p, weft_deadline until);
/* What was made before is processed once this returns; no stream may wait for accept. */
void peer_fence(struct peer *p);
/* SYN and all made before; what the session makes of it. */
weft_stream *peer_accept(struct peer *p, uint32_t id);

struct peer_frame {
	enum smux_cmd cmd;
	uint32_t id;
	size_t len;
	const uint8_t *payload; /* until the next is read */
	uint32_t consumed, window;
};

/* The next frame, whatever it is; version and lengths are checked. */
weft_err peer_read(struct peer *p, struct peer_frame *frame, weft_deadline until);
/* The next that is neither NOP, nor of a fence, nor (without upds) UPD. */
struct peer_frame peer_next(struct peer *p);
struct peer_frame peer_want(struct peer *p, enum smux_cmd cmd, uint32_t id);
/* PSH of that stream only, with bytes from.. of the pattern, exactly to its end. */
void peer_want_data(struct peer *p, uint32_t id, uint64_t from, uint64_t len);
void peer_want_upd(struct peer *p, uint32_t id, uint32_t consumed, uint32_t window);
/* The session has nothing to send now. */
void peer_want_quiet(struct peer *p);
/* The session has closed the connection: nothing comes any more. */
void peer_want_gone(struct peer *p);

/* ---- the session's side ---- */

weft_mux_stats peer_stats(struct peer *p);
/* Until the condition over `stats` holds. */
#define PEER_UNTIL(p, stats, cond)                                                              \
	do {                                                                                    \
		weft_deadline peer_until = SOON;                                                \
		weft_mux_stats stats = peer_stats(p);                                           \
		while (!(cond)) {                                                               \
			ck_assert_msg(weft_now() < peer_until,                                  \
				"not: %s; streams %zu, unread %zu, memory %zu, stalls %d + %d", \
				#cond, stats.streams, stats.unread, stats.memory,               \
				(int)stats.stalls_buffer, (int)stats.stalls_memory);            \
			OK(weft_sleep_ms(1));                                                   \
			stats = peer_stats(p);                                                  \
		}                                                                               \
	} while (0)
/* Exactly that part of the pattern. */
void stream_want(weft_stream *stream, uint64_t from, size_t len);
void stream_want_end(weft_stream *stream, weft_err end);
void stream_write(weft_stream *stream, uint64_t from, size_t len);

/* A call that may wait, in a fiber of its own. */
struct stream_call {
	weft_mux *mux;
	weft_stream *stream; /* of accept: out */
	uint64_t from;	     /* of the pattern */
	size_t len;
	bool blocks; /* of zeroes */
	weft_deadline until;
	weft_fiber *fiber;
	/* Once it has ended: */
	weft_err err;
	size_t done;	/* bytes */
	char text[200]; /* the error's detail */
};

void stream_write_start(struct stream_call *call, weft_stream *stream, uint64_t from, size_t len);
/* So much that no connection takes it. */
void stream_block_start(struct stream_call *call, weft_stream *stream);
void stream_read_start(struct stream_call *call, weft_stream *stream);
void mux_accept_start(struct stream_call *call, weft_mux *mux);
/* Its error; may be asked again. */
weft_err stream_call_end(struct stream_call *call);

/* Joins a plain thread from a fiber, whose worker goes on meanwhile. */
void thread_join(pthread_t thread);

#endif
