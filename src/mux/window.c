/* SPDX-License-Identifier: MIT */
/*
 * Windows of version 2: how much a peer may send, and the round trip, which decides that.
 *
 * A stream whose reader keeps up is given WEFT_MUX_INITIAL_WINDOW; and twice as much as before
 * whenever half of its window came within two round trips, for then the window, not the
 * connection, is what holds its peer up. One whose reader does not keep up gets half, down to
 * max_stream_buffer. All windows together stay within max_receive_buffer, but for an equal share of
 * it, which each stream may have at any time; who has more gives it back by the next UPDs.
 *
 * An UPD costs a look at the clock. Nothing here is done a frame, but for one load.
 */
#include "mux/session.h"

#include "net/conn.h"

#define WINDOW_MIN ((size_t)4096) /* a smaller one is not worth its UPDs */
#define RTT_PERIOD_NS INT64_C(10000000000)
#define RTT_SAMPLE_MAX_NS INT64_C(2000000000) /* longer: the peer had nothing to send */
#define RTT_LOOK_NS INT64_C(100000000)
#define NS_PER_US 1000
#define FAST_ROUND_TRIPS 2
#define KEEPS_UP_PART 4 /* of a window: less than that lies unread when the reader keeps up */

/* ---- what the peer may send ---- */

static bool is_told(const struct weft_stream *s)
{
	return s->told_at;
}

/* How much lies unread: all that came, also in the turn under way. */
static uint32_t unread(const struct weft_stream *s, uint32_t consumed)
{
	return (uint32_t)counter_get(&s->received) - consumed;
}

static bool keeps_up(const struct weft_stream *s, uint32_t consumed, size_t window)
{
	uint32_t left = unread(s, consumed);

	return left == 0 || (is_told(s) && left < window / KEEPS_UP_PART);
}

/* What its reader could use. */
static size_t wanted(const struct weft_stream *s, uint32_t consumed, uint32_t now_us)
{
	const weft_mux *m = s->mux;
	size_t window = m->options.max_stream_buffer, last = word_peek(&s->window);
	int64_t rtt = (int64_t)counter_get(&m->rtt.ns);

	if (m->options.autotune_disabled)
		return window;
	if (!keeps_up(s, consumed, last))
		return is_told(s) && last / 2 > window ? last / 2 : window;
	if (is_told(s) && last > window)
		window = last;
	if (window < WEFT_MUX_INITIAL_WINDOW)
		window = WEFT_MUX_INITIAL_WINDOW;
	if (is_told(s) && last >= window && rtt > 0 &&
		(int64_t)(now_us - s->told_at) * NS_PER_US < FAST_ROUND_TRIPS * rtt)
		window *= 2;
	return window;
}

/* As much of it as there is. */
static uint32_t granted(const struct weft_stream *s, size_t window)
{
	const weft_mux *m = s->mux;
	size_t all = m->options.max_receive_buffer, mine = is_told(s) ? word_peek(&s->window) : 0;
	size_t streams = counter_get(&m->told_len), told = counter_get(&m->told_bytes);
	size_t share = all / (streams ? streams : 1);
	size_t others = told > mine ? told - mine : 0;
	size_t left = all > others ? all - others : 0;

	if (share < WINDOW_MIN)
		share = WINDOW_MIN < all ? WINDOW_MIN : all;
	if (left < share)
		left = share;
	return (uint32_t)(window < left ? window : left);
}

static void tell(struct weft_stream *s, uint32_t consumed)
{
	weft_mux *m = s->mux;
	uint32_t now_us = (uint32_t)(weft_now() / NS_PER_US);
	uint32_t before = is_told(s) ? word_peek(&s->window) : 0, window, most;

	if (!is_told(s))
		(void)counter_add(&m->told_len, 1);
	window = granted(s, wanted(s, consumed, now_us));
	if (window != before)
		(void)counter_add(&m->told_bytes, (uint64_t)window - before);
	do
		most = word_get(&m->window_most);
	while (window > most && !word_change(&m->window_most, most, window));
	s->told = consumed;
	s->told_at = now_us ? now_us : UINT32_MAX; /* 0 says: never */
	word_put(&s->window, window);
	tx_want(s, WANT_UPD);
}

void window_took(struct weft_stream *s, size_t bytes)
{
	uint32_t consumed = word_peek(&s->consumed) + (uint32_t)bytes;

	word_put(&s->consumed, consumed);
	if (s->mux->options.version < 2 || (word_peek(&s->state) & STREAM_RX_FIN))
		return;
	if (!is_told(s) || consumed - s->told >= word_peek(&s->window) / 2)
		tell(s, consumed);
}

void window_forget(struct weft_stream *s)
{
	if (!is_told(s))
		return;
	(void)counter_sub(&s->mux->told_len, 1);
	(void)counter_sub(&s->mux->told_bytes, word_peek(&s->window));
}

/* ---- the round trip ---- */

void window_told(struct weft_stream *s, uint32_t limit)
{
	struct probe *probe = &s->mux->probe;
	uint32_t before = s->limit;

	if ((int32_t)(limit - before) <= 0)
		return;
	s->limit = limit;
	/* of one that has ended since, nothing comes any more */
	if (word_get(&s->state) & (STREAM_CLOSED | STREAM_RX_FIN | STREAM_FAILED))
		return;
	if (word_peek(&probe->armed) || word_peek(&s->mux->rtt.source) == WEFT_MUX_RTT_TCP)
		return;
	probe->id = s->id;
	probe->limit = before;
	probe->at = weft_now();
	word_put(&probe->armed, 1);
}

static void add_sample(struct rtt *rtt, weft_deadline now, int64_t ns)
{
	if (now >= rtt->period_end) {
		rtt->lately = now < rtt->period_end + RTT_PERIOD_NS ? rtt->least : INT64_MAX;
		rtt->least = INT64_MAX;
		rtt->period_end = now + RTT_PERIOD_NS;
	}
	if (ns < rtt->least)
		rtt->least = ns;
	counter_set(&rtt->ns, (uint64_t)(rtt->least < rtt->lately ? rtt->least : rtt->lately));
	word_put(&rtt->source, WEFT_MUX_RTT_WINDOW);
}

void window_came(struct weft_stream *s)
{
	struct probe *probe = &s->mux->probe;
	uint32_t received = (uint32_t)counter_get(&s->received);
	weft_deadline now;

	if (weft_likely(!word_peek(&probe->armed)) || probe->id != s->id ||
		(int32_t)(received - probe->limit) <= 0)
		return;
	now = weft_now();
	if (now - probe->at < RTT_SAMPLE_MAX_NS)
		add_sample(&s->mux->rtt, now, now > probe->at ? now - probe->at : 1);
	word_put(&probe->armed, 0);
}

void window_probe_drop(weft_mux *m, const struct weft_stream *s)
{
	if (word_peek(&m->probe.armed) && m->probe.id == s->id)
		word_put(&m->probe.armed, 0);
}

void window_rtt_look(weft_mux *m, weft_deadline now)
{
	int64_t ns = conn_rtt_ns(m->conn);

	/* what is not TCP will not be; there a measure that takes too long, since the peer had
	 * nothing to send or the stream has gone, makes room for the next one */
	m->rtt.at = now + (ns < 0 ? RTT_SAMPLE_MAX_NS : RTT_LOOK_NS);
	if (word_peek(&m->probe.armed) && now - m->probe.at >= RTT_SAMPLE_MAX_NS)
		word_put(&m->probe.armed, 0);
	if (ns <= 0)
		return;
	counter_set(&m->rtt.ns, (uint64_t)ns);
	word_put(&m->rtt.source, WEFT_MUX_RTT_TCP);
}
