/* SPDX-License-Identifier: MIT */
/* What a session does by the clock: keepalive, idle streams, giving memory back. The worker's. */
#include "base/err.h"
#include "mux/session.h"

#include <stdio.h>

#define SUSPECT_PART 8 /* of the time-out: how long a silent peer is still listened for */
#define IDLE_TICK_NS INT64_C(10000000000) /* without keepalive: to give back what is not used */
#define TRIM_NS INT64_C(1000000000)	  /* how long memory for reading is kept that nobody uses */
#define AHEAD_MAX_MS 1000u /* a stream may be made while the sweep that finds it is under way */
#define SWEEPS 64	   /* looks at idle streams in a time-out ... */
#define SWEEP_PART 16	   /* ... each at such a part of the table ... */
#define SWEEP_MIN ((size_t)256) /* ... or so many heads of it */
#define SWEEP_MIN_NS INT64_C(1000000)
#define NS_PER_MS INT64_C(1000000)

static weft_deadline earlier(weft_deadline a, weft_deadline b)
{
	return a < b ? a : b;
}

static int64_t check_ns(const weft_mux *m)
{
	return m->options.keepalive_disabled ? IDLE_TICK_NS : m->options.keepalive_timeout_ns;
}

static int64_t sweep_ns(const weft_mux *m)
{
	int64_t ns = m->options.idle_timeout_ns / SWEEPS;

	if (m->options.idle_timeout_ns == 0)
		return IDLE_TICK_NS;
	return ns < SWEEP_MIN_NS ? SWEEP_MIN_NS : ns;
}

void clock_start(weft_mux *m)
{
	m->nop_at = weft_after_ns(m->options.keepalive_interval_ns);
	m->check_at = weft_after_ns(check_ns(m));
	m->sweep_at = weft_after_ns(sweep_ns(m));
	m->trim_at = WEFT_FOREVER;
}

void clock_trim_later(weft_mux *m)
{
	if (m->trim_at == WEFT_FOREVER)
		m->trim_at = weft_after_ns(TRIM_NS);
}

void clock_excuse(weft_mux *m)
{
	m->check_at = weft_after_ns(check_ns(m));
}

weft_deadline clock_next(const weft_mux *m)
{
	weft_deadline next = earlier(m->check_at, m->trim_at);

	if (!m->options.keepalive_disabled)
		next = earlier(next, m->nop_at);
	return word_peek(&m->idle_used) ? earlier(next, m->sweep_at) : next;
}

/* ---- idle streams ---- */

/* Changes whenever a byte moves. */
static uint32_t movement(const struct weft_stream *s)
{
	/* written: a write that is done; its frames go one by one */
	return (uint32_t)(counter_get(&s->received) + counter_get(&s->written) +
		counter_get(&s->frames_out) + word_peek(&s->consumed) +
		(word64_peek(&s->credit) >> 32));
}

static void look_at(weft_mux *m, struct weft_stream *s, uint32_t now_ms)
{
	uint32_t mark = movement(s), idle_ms = word_peek(&s->idle_ms);

	/* 0: where most streams have no time-out they are made without a look at the clock */
	if (mark != s->idle_mark || s->idle_since == 0) {
		s->idle_mark = mark;
		s->idle_since = now_ms;
	} else if (idle_ms > 0 && now_ms - s->idle_since >= idle_ms &&
		s->idle_since - now_ms >= AHEAD_MAX_MS) {
		counter_own_add(&m->counters.idled, 1);
		mux_fail_stream(m, s, STREAM_IDLE);
	}
}

/* A part of the table, so that many streams hold nobody up; all of it where it is looked at
 * seldom. A table that grew meanwhile only makes this round longer; it shrinks between two. */
static void sweep(weft_mux *m, weft_deadline now)
{
	size_t part = m->options.idle_timeout_ns ? m->table.cap / SWEEP_PART : m->table.cap;
	uint32_t now_ms = clock_idle_ms(now);

	if (part < SWEEP_MIN)
		part = SWEEP_MIN;
	for (; part > 0 && m->swept < m->table.cap; part--, m->swept++) {
		struct weft_stream *s = m->table.heads[m->swept], *next;

		for (; s; s = next) {
			next = s->chain;
			look_at(m, s, now_ms);
		}
	}
	if (m->swept < m->table.cap)
		return;
	m->swept = 0;
	table_fit(&m->table);
}

/* ---- ticks ---- */

/* False: the session is dead. */
static bool check_silence(weft_mux *m)
{
	bool is_silent = m->decoder.headers == m->headers_then;
	char text[DEATH_TEXT_MAX];

	if (is_silent && !m->is_suspect && !m->options.keepalive_disabled) {
		/* this worker may have been busy, or the machine, and what came not read yet */
		m->is_suspect = true;
		m->check_at = weft_after_ns(m->options.keepalive_timeout_ns / SUSPECT_PART);
		return true;
	}
	m->is_suspect = false;
	m->headers_then = m->decoder.headers;
	m->check_at = weft_after_ns(check_ns(m));
	if (is_silent)
		account_trim(m->account);
	if (!is_silent || m->options.keepalive_disabled)
		return true;
	snprintf(text, sizeof(text), "nothing was heard from the peer for %lld ms",
		(long long)(m->options.keepalive_timeout_ns / NS_PER_MS));
	mux_die(m, WEFT_ERESET, text);
	weft_conn_abort(m->conn);
	return false;
}

bool clock_tick(weft_mux *m)
{
	weft_deadline now = weft_now();

	if (now >= m->rtt.at)
		window_rtt_look(m, now);
	if (weft_likely(now < clock_next(m)))
		return true;
	mux_inbox_drain(m);
	if (now >= m->trim_at)
		m->trim_at = mux_trim(m) ? weft_after_ns(TRIM_NS) : WEFT_FOREVER;
	if (now >= m->sweep_at) {
		m->sweep_at = weft_after_ns(sweep_ns(m));
		if (word_peek(&m->idle_used))
			sweep(m, now);
	}
	if (!m->options.keepalive_disabled && now >= m->nop_at) {
		m->nop_at = weft_after_ns(m->options.keepalive_interval_ns);
		tx_want_self(m, WANT_NOP);
	}
	return now < m->check_at || check_silence(m);
}
