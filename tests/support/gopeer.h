/* SPDX-License-Identifier: MIT */
#ifndef GOPEER_H
#define GOPEER_H

/*
 * A session of weft's mux with Go's smux at its other end: tests/peers/go_smux, a child
 * process that is told what to do by lines (see its head). Streams are played by both ends in
 * the same way; each end reckons a digest of what it sent and of what it got, and duet_match
 * compares them.
 *
 * Fibers that fail say their names, which are those of their sessions: "v2, weft is client".
 */
#include "support/t.h"

#include <weft/weft.h>

/* Long enough for any machine; a test that waits for it has failed. */
#define SOON weft_after_ms(30000)

#define want(cond)                                                \
	do {                                                      \
		if (!(cond))                                      \
			gopeer_failed(__FILE__, __LINE__, #cond); \
	} while (0)
#define want_err(expected, call) gopeer_want(__FILE__, __LINE__, #call, (expected), (call))
#define want_ok(call) want_err(WEFT_OK, call)

_Noreturn void gopeer_failed(const char *file, int line, const char *what);
void gopeer_want(const char *file, int line, const char *call, weft_err expected, weft_err got);

#define DUET_HEADER_SIZE 12 /* bytes that the opener of a stream sends first */
#define LINE_SIZE_MAX 256
#define DUET_STREAM_IDS 5000 /* streams are kept by their ids, which count up by two */

/* What went over a stream, by an end's reckoning. */
struct tally {
	uint64_t sent, received;
	bool played;
};

struct duet {
	const char *name;
	unsigned version, go_version;
	bool client; /* weft is; Go is the server */
	weft_mux_options options;
	const char *const *go_flags; /* beside -version; ends with NULL; may be NULL */
	weft_fiber_fn scenario;	     /* with the duet as its argument */
	/* between duet_start and duet_end */
	weft_mux *mux;
	weft_process *go;
	weft_scope *scope;   /* of all fibers that play streams here */
	weft_chan *released; /* closed once the late readers here may begin */
	weft_chan *played;   /* ids of streams that were played here */
	struct tally *here;  /* by id; written before the id goes into played */
	/* The scenario's fiber only: */
	struct tally *there;	  /* by id, as Go says */
	size_t here_count;	  /* taken from played */
	size_t there_count;	  /* that Go has said */
	bool ended;		  /* Go has said that its session is over */
	bool is_dying;		  /* Go's errors are expected */
	char line[LINE_SIZE_MAX]; /* that Go said last */
};

/* The scenario for both roles and both versions, all at once; then sees that nothing is left
 * behind: fibers, descriptors, children, blocks. */
void duets_play(weft_fiber_fn scenario, const weft_mux_options *options,
	const char *const *go_flags, bool versions_differ);

/* The child, connected with a session here. Nobody accepts yet. */
void duet_start(struct duet *duet);
/* Fibers that take Go's streams and play them, until the session is over. */
void duet_accept(struct duet *duet);
/* The session's streams and memory must be gone; closes it in order, and the child. */
void duet_end(struct duet *duet);
/* When it is dead already: only that nothing is left, and why it died. */
void duet_end_dead(struct duet *duet, weft_err why);

void duet_say(struct duet *duet, const char *format, ...) WEFT_PRINTF(2, 3);
/* Go's next line that is none of a stream's; valid until the next call. */
const char *duet_line(struct duet *duet);
/* Until Go has said this. */
void duet_await_line(struct duet *duet, const char *line);

/* Until Go has found the session over; closes it there too. */
void duet_await_end(struct duet *duet);

/* How a reader begins: at once, not before it is released, little by little. */
enum duet_how { DUET_AT_ONCE = 'P', DUET_LATE = 'L', DUET_SLOWLY = 'S' };

/* What to do on streams, as in go_smux: op is P, H or R. */
struct duet_part {
	struct duet *duet;
	char op;
	enum duet_how mine, theirs; /* the opener's, the acceptor's */
	uint32_t a, b;		    /* bytes from the opener; from the acceptor */
	unsigned count;		    /* streams, one after the other */
	unsigned at_once;	    /* ... by so many fibers, each */
};

/* Opens and plays in fibers of the duet's scope; part must live on. */
void duet_open(const struct duet_part *part);
/* Go opens, weft plays along. */
void duet_go_open(const struct duet_part *part);
/* A stream that weft opened, and sent its header; the rest is left to the caller. */
weft_stream *duet_open_one(const struct duet_part *part);
/* Writes size bytes; their digest. */
uint64_t duet_write(struct duet *duet, weft_stream *stream, uint32_t size);
/* Lets the late readers of both ends begin. */
void duet_release(struct duet *duet);
/* Until so many streams were played by both ends, with the same digests at both. */
void duet_match(struct duet *duet, size_t count);
/* Until Go has played so many streams. */
void duet_await_streams(struct duet *duet, size_t count);

weft_mux_stats duet_stats(const struct duet *duet);

#endif
