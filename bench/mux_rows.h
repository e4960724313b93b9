/* SPDX-License-Identifier: MIT */
#ifndef MUX_ROWS_H
#define MUX_ROWS_H

/*
 * What mux.c and peers/raw_flow.c measure, in one place, so that both do the same;
 * peers/go_mux/rows.go says it again in Go.
 *
 * A program is one end, or both:   PROGRAM server ROW        prints "port N"
 *                                  PROGRAM client ROW PORT
 *                                  PROGRAM single ROW        both, over loopback TCP
 *
 * A row first sends bytes that are compared, then, for a fixed time, as many as it can,
 * which nothing looks at. In between the client waits for an answer on each stream. The
 * end that sees the work done reports the figure. Each reports its processor time
 * (ROW-cpu-client and -server, or ROW-cpu when both are one process), how often a thread of
 * its slept and was woken (ROW-wakes-...), what weft copied (ROW-copies-...), and all that it
 * did, the compared part too (ROW-units), for who counts its system calls.
 */
#include "bench.h"
#include "tcp.h"

#include <stdbool.h>

enum {
	LANES_MAX = 64,
	PATTERN_SIZE = 1 << 20,
	WRITE_SIZE_MAX = 65536,
	MESSAGE_SIZE = 64,
	LOOK_EVERY = 64,  /* messages between two looks at the clock */
	ECHO_SIZE = 4096, /* what a server's echo reads at once */
	ROUND_TRIPS_CHECKED = 1000,
	SAMPLES_MAX = 1 << 20,
	OPENERS = 16,
	OPENS_CHECKED = 64, /* by each opener */
	IDLE_STREAMS = 20000,
	IDLE_BATCH = 100, /* opened between two answers */
};

enum row_kind { ROW_FLOW, ROW_PINGPONG, ROW_OPEN, ROW_IDLE };

struct mux_row {
	const char *name;
	enum row_kind kind;
	const char *per; /* what processor time is divided by */
	double per_count;
	const char *what; /* that system calls, wakes and copies are of */
	/* of a flow: */
	size_t lanes; /* streams, or connections */
	size_t write_size, read_size;
	size_t checked; /* bytes a lane; a multiple of write_size */
	const char *unit;
	double unit_bytes;
};

static const struct mux_row mux_rows[] = {
	{ "bulk-1", ROW_FLOW, "s/GiB", 1 << 30, "write", 1, 65536, 65536, 16 << 20, "GiB/s",
		1 << 30 },
	{ "bulk-64", ROW_FLOW, "s/GiB", 1 << 30, "write", 64, 65536, 65536, 1 << 20, "GiB/s",
		1 << 30 },
	{ "messages-64", ROW_FLOW, "s/million", 1e6 * MESSAGE_SIZE, "message", 64, MESSAGE_SIZE,
		4096, 65536, "messages/s", MESSAGE_SIZE },
	{ "pingpong", ROW_PINGPONG, "s/million", 1e6, "roundtrip", 0, 0, 0, 0, NULL, 0 },
	{ "open-16", ROW_OPEN, "s/million", 1e6, "stream", 0, 0, 0, 0, NULL, 0 },
	{ "idle", ROW_IDLE, NULL, 1, NULL, 0, 0, 0, 0, NULL, 0 },
};

static inline const struct mux_row *mux_row_find(const char *name)
{
	for (size_t i = 0; i < sizeof mux_rows / sizeof mux_rows[0]; i++) {
		if (!strcmp(mux_rows[i].name, name))
			return &mux_rows[i];
	}
	return NULL;
}

/* --- the bytes that are compared ------------------------------------------------------ */

static unsigned char pattern[PATTERN_SIZE + WRITE_SIZE_MAX];

static inline void pattern_fill(void)
{
	for (size_t i = 0; i < sizeof pattern; i++)
		pattern[i] = (unsigned char)((i % PATTERN_SIZE) * 2654435761u >> 13);
}

/* WRITE_SIZE_MAX bytes of lane number's stream, from byte at on. */
static inline const unsigned char *pattern_at(size_t number, size_t at)
{
	return pattern + (number * 4099 + at) % PATTERN_SIZE;
}

static inline void pattern_compare(size_t number, size_t at, const void *data, size_t size)
{
	errno = 0;
	if (memcmp(data, pattern_at(number, at), size))
		bench_die("bytes came through changed");
}

/* --- one end's clocks ----------------------------------------------------------------- */

struct meter {
	const struct mux_row *row;
	const char *end; /* "-client", "-server"; "" when both are this process */
	bool quiet;	 /* the other end reports the process's processor time */
	int64_t began_ns, took_ns, cpu_ns, wakes;
};

static inline int64_t meter_begin(struct meter *m)
{
	m->cpu_ns = bench_cpu_ns();
	m->wakes = bench_wakes();
	m->began_ns = bench_now_ns();
	return m->began_ns + (int64_t)bench_count(1500000000);
}

static inline void meter_end(struct meter *m)
{
	m->took_ns = bench_now_ns() - m->began_ns;
	m->cpu_ns = bench_cpu_ns() - m->cpu_ns;
	m->wakes = bench_wakes() - m->wakes;
}

static inline void meter_report_as(
	const struct meter *m, const char *what, double value, const char *unit)
{
	char name[64];
	snprintf(name, sizeof name, "%s%s", m->row->name, what);
	bench_report(name, value, unit);
}

static inline double meter_unit(const struct meter *m)
{
	return m->row->kind == ROW_FLOW ? (double)m->row->write_size : 1;
}

/* "ROW-KIND-END", so much of a write, a message, ... */
static inline void meter_report_each(const struct meter *m, const char *kind, double value)
{
	char what[32], unit[32];
	snprintf(what, sizeof what, "-%s%s", kind, m->end);
	snprintf(unit, sizeof unit, "%s/%s", kind, m->row->what);
	meter_report_as(m, what, value, unit);
}

/* counted while the meter ran, total in all: bytes of a flow, else round trips. */
static inline void meter_report(const struct meter *m, uint64_t counted, uint64_t total)
{
	char what[32];
	double unit = meter_unit(m);
	if (m->quiet)
		return;
	snprintf(what, sizeof what, "-cpu%s", m->end);
	meter_report_as(m, what, (double)m->cpu_ns / 1e9 / ((double)counted / m->row->per_count),
		m->row->per);
	meter_report_each(m, "wakes", (double)m->wakes / ((double)counted / unit));
	meter_report_as(m, "-units", (double)total / unit, "units");
}

static inline void meter_report_rate(const struct meter *m, double count, const char *unit)
{
	meter_report_as(m, "", count * 1e9 / (double)m->took_ns, unit);
}

/* Round-trip times of a ping-pong; those beyond SAMPLES_MAX are not kept. */
struct round_trips {
	uint64_t count;
	int64_t ns[SAMPLES_MAX];
};

static inline void round_trips_add(struct round_trips *r, int64_t ns)
{
	if (r->count < SAMPLES_MAX)
		r->ns[r->count] = ns;
	r->count++;
}

static inline void round_trips_report(const struct meter *m, struct round_trips *r)
{
	size_t kept = r->count < SAMPLES_MAX ? (size_t)r->count : SAMPLES_MAX;
	meter_report_as(m, "", bench_median(r->ns, kept) / 1000, "us");
	meter_report_as(m, "-p99", (double)r->ns[kept * 99 / 100] / 1000, "us");
}
#endif
