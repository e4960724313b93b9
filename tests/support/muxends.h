/* SPDX-License-Identifier: MIT */
#ifndef MUXENDS_H
#define MUXENDS_H

/*
 * Both ends of a mux session over tcp, unix sockets, memory or the simulator, and users of
 * its streams: fibers on one worker, on two, plain threads, or both. A body is written once:
 *
 *	MUX_TEST(streams_come_and_go)
 *	{
 *		env_open(env);
 *		...
 *		env_close(env);
 *	}
 *
 *	mux_add(tc, streams_come_and_go);
 *
 * After each run fibers and descriptors are back.
 */
#include "support/t.h"

#include <weft/weft.h>

#include <pthread.h>

enum mode {
	FIBERS_1, /* on one worker */
	FIBERS_2, /* on two, by turns */
	THREADS,
	MIXED, /* by turns threads, and fibers on two workers */
	SIMULATED,
};

struct round {
	weft_err (*make)(weft_conn *ends[2]);
	enum mode mode;
	unsigned version;
};

/* A session's both ends, and what a body wants of them. */
struct env {
	const struct round *round;
	void (*body)(struct env *env);
	weft_mux_options options;
	weft_conn *conns[2];
	weft_mux *client, *server;
};

#define USERS_MAX 32

struct user {
	struct party *party;
	void (*fn)(void *arg);
	void *arg;
	bool is_thread;
	pthread_t thread;
	weft_fiber *fiber;
};

struct party {
	enum mode mode;
	struct user users[USERS_MAX];
	unsigned len;
	weft_waitgroup *busy;
};

void party_init(struct party *party, const struct env *env);
void party_start(struct party *party, void (*fn)(void *arg), void *arg);
/* Waits for them all. */
void party_end(struct party *party);

/* A session with env->options, over the round's transport; the server's fibers live on
 * another worker where there is one. */
void env_open(struct env *env);
/* Streams must have been freed: nothing may be left. */
void env_close(struct env *env);

#define MUX_TEST(name)                            \
	static void name##_body(struct env *env); \
	START_TEST(name)                          \
	{                                         \
		mux_run_round(_i, name##_body);   \
	}                                         \
	END_TEST                                  \
	static void name##_body(struct env *env)
#define mux_add(tc, name) t_add_loop((tc), (name), 0, mux_rounds())

int mux_rounds(void);
void mux_run_round(int i, void (*body)(struct env *env));

weft_stream *open_stream(weft_mux *mux);
weft_stream *accept_in_time(weft_mux *mux);
/* Where the bytes of a stream begin in the pattern. */
uint64_t base_of(const weft_stream *stream);
void write_bytes(weft_stream *stream, size_t bytes);
/* To the end, which must come after so many. */
void read_bytes(weft_stream *stream, size_t bytes);

/* What users of one stream get, and what became of their calls. */
struct pair {
	struct env *env;
	weft_stream *stream;
	size_t bytes;
	weft_err read, write; /* out */
};

/* Users: all bytes, then a shutdown; all bytes, to the end. */
void write_pair(void *pair);
void read_pair(void *pair);

#endif
