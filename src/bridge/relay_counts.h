/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_RELAY_COUNTS_H
#define BRIDGE_RELAY_COUNTS_H

/*
 * What relays count, for people who look on: it never decides anything. It may outlive a relay, so
 * that a server that is replaced by another of its name goes on counting.
 *
 * What is counted with each message is in cells, one a worker, so that workers share no line: a
 * request costs about ten additions to lines that this core has. Everything else is once a session or
 * a server.
 *
 * Threads: everything from anywhere; sums are exact when nothing goes on meanwhile.
 */
#include "base/align.h"
#include "base/counter.h"
#include "rt/lock.h"

#include <weft/runtime.h>

#include <stddef.h>

#define RELAY_CELLS 16	    /* workers beyond share them */
#define COUNTS_TEXT_MAX 512 /* bytes of the last fault, NUL included */
#define COUNTS_BUCKETS 15   /* bounds of the histogram; above the last there is one bucket more */

/* Of clients. */
enum counts_transport {
	COUNTS_HTTP, /* Streamable HTTP, with and without sessions */
	COUNTS_SSE,
	COUNTS_STDIO,
	COUNTS_TCP,
	COUNTS_TLS,
	COUNTS_UNIX,
	COUNTS_MUX,
	COUNTS_OTHER,
	COUNTS_TRANSPORTS,
};
extern const char *const counts_transport_names[COUNTS_TRANSPORTS];
/* Of a weft_transport_kind. */
enum counts_transport counts_transport_of(const char *kind);

/* Classes of JSON-RPC error codes. */
enum counts_error {
	COUNTS_PARSE,		 /* -32700 */
	COUNTS_INVALID_REQUEST,	 /* -32600 */
	COUNTS_METHOD_NOT_FOUND, /* -32601 */
	COUNTS_INVALID_PARAMS,	 /* -32602 */
	COUNTS_INTERNAL,	 /* -32603 */
	COUNTS_SERVER,		 /* -32000..-32099 */
	COUNTS_CANCELLED,	 /* -32800 */
	COUNTS_OTHER_ERROR,
	COUNTS_ERRORS,
};
extern const char *const counts_error_names[COUNTS_ERRORS];
enum counts_error counts_error_of(int64_t code);

/* Who said so: the server, or weft in its place. */
enum counts_by { COUNTS_BY_SERVER, COUNTS_BY_BRIDGE, COUNTS_BYS };

enum counts_direction { COUNTS_TO_SERVER, COUNTS_TO_CLIENT, COUNTS_DIRECTIONS };

extern const int64_t counts_bounds_ns[COUNTS_BUCKETS];

struct counts_cell {
	struct counter requests;      /* of clients: came */
	struct counter done;	      /* ... and are owed nothing any more */
	struct counter sent, answers; /* to servers, from servers */
	struct counter errors[COUNTS_BYS][COUNTS_ERRORS];
	struct counter latency[COUNTS_BUCKETS + 1], latency_ns; /* of those that were answered */
	struct counter messages[COUNTS_DIRECTIONS], bytes[COUNTS_DIRECTIONS];
	char apart[CACHE_LINE];
};

struct relay_counts {
	struct counter sessions[COUNTS_TRANSPORTS], sessions_now[COUNTS_TRANSPORTS];
	struct counter sessions_refused[COUNTS_TRANSPORTS], sessions_failed;
	struct counter servers, servers_now; /* started; alive */
	struct counter restarts, lost;	     /* ... in the place of one that was lost; lost */
	struct counter cancelled, late, invalid;
	struct rt_lock lock;
	char fault[COUNTS_TEXT_MAX]; /* the last; "": none yet; under lock, as the next */
	int64_t fault_at;	     /* weft_now's */
	struct counter failing_at;   /* when none could be had, unless one has answered since; 0 */
	struct counts_cell cells[RELAY_CELLS];
};

static inline struct counts_cell *counts_cell(struct relay_counts *counts)
{
	return &counts->cells[weft_worker_self() % RELAY_CELLS];
}

static inline void counts_message(
	struct relay_counts *counts, enum counts_direction direction, size_t bytes)
{
	struct counts_cell *cell = counts_cell(counts);

	(void)counter_add(&cell->messages[direction], 1);
	(void)counter_add(&cell->bytes[direction], bytes);
}

/* A request of a client's has come. */
static inline void counts_request(struct relay_counts *counts)
{
	(void)counter_add(&counts_cell(counts)->requests, 1);
}

/* It was answered, so long after it came. */
void counts_answered(struct relay_counts *counts, int64_t took_ns);
/* It needs no answer any more. */
static inline void counts_dropped(struct relay_counts *counts)
{
	(void)counter_add(&counts_cell(counts)->done, 1);
}
void counts_error(struct relay_counts *counts, enum counts_by by, int64_t code);
/* A server was lost, or can't be had: why. */
void counts_fault(struct relay_counts *counts, const char *text);
/* ... none can be had now. */
void counts_failing(struct relay_counts *counts);
/* One has answered. */
static inline void counts_reached(struct relay_counts *counts)
{
	if (weft_unlikely(counter_get(&counts->failing_at)))
		counter_set(&counts->failing_at, 0);
}

/* All cells together. apart is of no use. */
void counts_sum(const struct relay_counts *counts, struct counts_cell *out);

#endif
