/* SPDX-License-Identifier: MIT */
/* See mux_side.h. */
#include "bridge/mux_side.h"

#include "base/err.h"
#include "base/mem.h"
#include "bridge/backoff.h"
#include "bridge/bridge.h"
#include "bridge/endpoint_tls.h"
#include "bridge/messages.h"
#include "bridge/session.h"

#include <weft/sim.h>

#include <stdarg.h>
#include <stdio.h>

#define SECOND_NS INT64_C(1000000000)
#define KEEPALIVE_MISSED 3		/* signs of life that fail to come, until it is dead */
#define SILENCE_MIN_NS (30 * SECOND_NS) /* for peers who send them as Go's smux does */
/* Ahead of a slow reader: the least, since a peer may send so much anyway; who reads quickly gets
 * what the way needs. */
#define STREAM_BUFFER ((size_t)WEFT_MUX_INITIAL_WINDOW)
#define RECEIVE_BUFFER ((size_t)16 << 20)
#define STREAMS_SPARE 1024 /* beyond the bridge's own limit, which is told rather than met */
#define BACKLOG_MAX ((size_t)16384) /* streams of one burst, until its fiber has a turn */
#define LASTED_NS BACKOFF_MAX_NS    /* a mux session that was up so long was a good one */
#define RETRY_MS 100		    /* after lack of memory or descriptors */
#define REFUSAL_NS SECOND_NS	    /* refusals are told once in that time */
#define TEXT_MAX (ERR_TEXT_MAX + 256)

/* A mux session to be: its fiber owns it. */
struct start {
	struct mux_side *side;
	weft_conn *conn; /* NULL: to be dialled */
	bool is_dialer;
	unsigned number; /* of the dialer */
};

static void tell(const struct mux_side *side, weft_log_level level, weft_err err,
	const char *format, ...) WEFT_PRINTF(4, 5);

static void tell(
	const struct mux_side *side, weft_log_level level, weft_err err, const char *format, ...)
{
	char text[TEXT_MAX];
	weft_bridge_event event = { .level = level, .peer = "", .err = err, .text = text };
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	bridge_event(side->bridge, &event);
}

static weft_tls *tls_of(const struct mux_side *side)
{
	return side->pool ? side->bridge->to_tls : side->bridge->from_tls;
}

static bool is_cancelled(void)
{
	return weft_cancel_is_cancelled(weft_fiber_token());
}

void mux_side_options(const struct mux_side *side, weft_mux_options *out)
{
	const struct endpoint_mux *mux = &side->endpoint->mux;
	size_t streams = side->bridge->options.connections_max + STREAMS_SPARE;

	*out = (weft_mux_options)WEFT_MUX_OPTIONS_DEFAULT;
	out->version = mux->version;
	out->keepalive_disabled = mux->keepalive_s == 0;
	if (mux->keepalive_s) {
		out->keepalive_interval_ns = mux->keepalive_s * SECOND_NS;
		out->keepalive_timeout_ns = KEEPALIVE_MISSED * out->keepalive_interval_ns;
		if (out->keepalive_timeout_ns < SILENCE_MIN_NS)
			out->keepalive_timeout_ns = SILENCE_MIN_NS;
	}
	out->max_receive_buffer = RECEIVE_BUFFER;
	out->max_stream_buffer = STREAM_BUFFER;
	out->max_streams = streams;
	out->accept_backlog = streams < BACKLOG_MAX ? streams : BACKLOG_MAX;
	if (side->pool)
		out->accept_backlog = 1; /* all are refused */
}

/* ---- streams that the peer opens ---- */

/* Not one line each: whoever opens too many opens very many. */
static void tell_refusal(struct mux_side *side, weft_mux *mux)
{
	uint64_t now = (uint64_t)weft_now(), last = counter_get(&side->refused_at);

	if (last && now - last < REFUSAL_NS)
		return;
	counter_set(&side->refused_at, now);
	tell(side, WEFT_LOG_WARN, WEFT_ECAPACITY, "stream from %s: %s, %llu refused so far",
		weft_mux_peer_name(mux), weft_error_detail(),
		(unsigned long long)counter_get(&side->bridge->counters.refused));
}

static void begin_session(struct mux_side *side, weft_mux *mux, weft_stream *stream)
{
	struct weft_bridge *b = side->bridge;
	weft_conn *conn = NULL;
	weft_err err = weft_stream_conn_own(&conn, stream);

	if (!err)
		err = b->messages
			? messages_take(b, side->sessions, bridge_worker_for_session(b), conn)
			: session_start(b, side->sessions, bridge_worker_for_session(b), conn);
	if (err == WEFT_ECAPACITY)
		tell_refusal(side, mux);
	else if (err)
		tell(side, WEFT_LOG_ERROR, err, "stream from %s: %s", weft_mux_peer_name(mux),
			weft_error_detail());
	if (err)
		weft_conn_free(conn);
	else if (b->to.kind == ENDPOINT_STDIO && b->listener)
		weft_listener_close(b->listener);
}

static bool wants_stream(const struct mux_side *side)
{
	return !side->pool && !weft_cancel_is_cancelled(side->bridge->stopping);
}

/* Until the mux session can give no more: why. */
static weft_err take_streams(struct mux_side *side, weft_mux *mux)
{
	for (;;) {
		weft_stream *stream;
		weft_err err = weft_mux_accept(mux, &stream, WEFT_FOREVER);

		if (err == WEFT_ENOMEM)
			err = weft_sleep_ms(RETRY_MS);
		else if (!err && wants_stream(side))
			begin_session(side, mux, stream);
		else if (!err)
			weft_stream_free(stream);
		if (err)
			return err;
	}
}

/* ---- one mux session ---- */

/* What is probably wrong, when not one frame was understood. */
static const char *hint(const struct mux_side *side, weft_err err, const weft_mux_stats *stats)
{
	bool is_v1 = side->endpoint->mux.version == 1;

	if (stats->frames_in > 0)
		return "";
	if (err == WEFT_EPROTO)
		return is_v1 ? " (?v=2 is for version 2)" : " (?v=1 is for version 1)";
	if (err != WEFT_ERESET || stats->opened == 0)
		return "";
	return is_v1 ? " without a word (is that smux, version 1? ?v=2 is for version 2)"
		     : " without a word (is that smux, version 2? ?v=1 is for version 1)";
}

/* It is dead: a line that says why. Peers that come and go are everyday life; what their
 * end does to sessions is said by those. */
static void tell_death(struct mux_side *side, weft_mux *mux, bool is_dialer)
{
	weft_err err = weft_mux_wait(mux, WEFT_FOREVER);
	char detail[ERR_TEXT_MAX];
	weft_mux_stats stats;
	const char *advice;
	bool is_news;

	if (err == WEFT_ECANCELED)
		return;
	(void)snprintf(detail, sizeof(detail), "%s", weft_error_detail());
	weft_mux_stats_get(mux, &stats);
	advice = hint(side, err, &stats);
	is_news = err == WEFT_EPROTO || advice[0] || (is_dialer && !side->dials_once);
	tell(side, is_news ? WEFT_LOG_WARN : WEFT_LOG_INFO, err, "%s%s%s", detail, advice,
		is_dialer && !side->dials_once ? "; dialling again" : "");
	/* for those who wait for the next one */
	if (side->pool)
		mux_pool_failed(
			side->pool, err_setf(err, "%s", detail), is_dialer && side->dials_once);
}

/* The bridge is done with it. Shielded: it ends within its linger time. */
static void end(struct mux_side *side, weft_mux *mux)
{
	if (bridge_is_cutting(side->bridge))
		weft_mux_abort(mux);
	else
		weft_mux_close(mux);
	weft_shield_begin();
	(void)!weft_mux_wait(mux, WEFT_FOREVER);
	weft_shield_end();
}

static void count_end(struct mux_side *side, weft_mux *mux)
{
	struct bridge_counters *counters = &side->bridge->counters;
	weft_mux_stats stats;
	uint64_t streams;

	weft_mux_stats_get(mux, &stats);
	streams = stats.opened + stats.accepted;
	if (!side->pool)
		(void)counter_add(&counters->refused, stats.refused);
	(void)counter_sub(&counters->muxes_now, 1);
	tell(side, WEFT_LOG_DEBUG, WEFT_OK,
		"mux session with %s ended: %llu streams, %llu bytes in, %llu out",
		weft_mux_peer_name(mux), (unsigned long long)streams,
		(unsigned long long)stats.bytes_in, (unsigned long long)stats.bytes_out);
}

static void carry(struct mux_side *side, weft_mux *mux, bool is_dialer)
{
	struct bridge_counters *counters = &side->bridge->counters;

	(void)counter_add(&counters->muxes, 1);
	(void)counter_add(&counters->muxes_now, 1);
	tell(side, is_dialer ? WEFT_LOG_INFO : WEFT_LOG_DEBUG, WEFT_OK, "mux session %s %s is up",
		is_dialer ? "to" : "from", weft_mux_peer_name(mux));
	if (take_streams(side, mux) != WEFT_ECANCELED)
		tell_death(side, mux, is_dialer);
	if (is_cancelled())
		end(side, mux);
	count_end(side, mux);
}

/* From a connection to the end of the mux session over it. */
static weft_err run(struct mux_side *side, weft_conn *conn, bool is_dialer)
{
	weft_mux_options options;
	struct mux_link *link = NULL;
	weft_mux *mux = NULL;
	weft_err err;

	mux_side_options(side, &options);
	err = weft_mux_create_own(
		&mux, conn, is_dialer ? WEFT_MUX_CLIENT : WEFT_MUX_SERVER, &options);
	if (!err && side->pool)
		err = mux_pool_add_own(side->pool, mux, &link);
	if (err)
		return err;
	carry(side, mux, is_dialer);
	if (!link) {
		weft_mux_free(mux);
		return WEFT_OK;
	}
	mux_pool_remove(side->pool, link);
	mux_link_unref(link);
	return WEFT_OK;
}

/* ---- those that are accepted ---- */

/* Who can't shake hands is no error of ours; who does not even try, no news. */
static weft_log_level refusal_level(weft_err err)
{
	if (err == WEFT_ENOMEM)
		return WEFT_LOG_ERROR;
	return err == WEFT_ETLS || err == WEFT_EAUTH ? WEFT_LOG_WARN : WEFT_LOG_INFO;
}

static weft_err accepted_fiber(void *arg)
{
	struct start *start = arg;
	struct mux_side *side = start->side;
	weft_err err = endpoint_accept(&start->conn, tls_of(side),
		weft_after_ns(side->bridge->options.connect_timeout_ns));

	if (err && err != WEFT_ECANCELED)
		tell(side, refusal_level(err), err, "mux session: %s", weft_error_detail());
	if (!err) {
		err = run(side, start->conn, false);
		if (err)
			tell(side, WEFT_LOG_ERROR, err, "mux session: %s", weft_error_detail());
	}
	mem_free(start);
	return WEFT_OK;
}

static weft_err spawn(
	struct mux_side *side, weft_fiber_fn fn, const char *name, const struct start *given)
{
	struct start *start = mem_alloc(sizeof(*start));
	weft_err err;

	if (start) {
		*start = *given;
		err = weft_scope_spawn_on(side->links, weft_worker_least_loaded(), name, fn, start);
	} else {
		err = err_set(WEFT_ENOMEM);
	}
	if (err) {
		weft_conn_free(given->conn);
		mem_free(start);
	}
	return err;
}

void mux_side_take(struct mux_side *side, weft_conn *conn)
{
	const struct start start = { .side = side, .conn = conn };
	weft_err err = spawn(side, accepted_fiber, "mux accepted", &start);

	if (err)
		tell(side, WEFT_LOG_ERROR, err, "mux session: %s", weft_error_detail());
}

static weft_err listen_fiber(void *arg)
{
	struct mux_side *side = arg;
	weft_conn *conn;

	for (;;) {
		weft_err err = weft_listener_accept(side->listener, &conn, WEFT_FOREVER);

		if (!err)
			mux_side_take(side, conn);
		else if (err == WEFT_ECLOSED || weft_sleep_ms(RETRY_MS))
			return WEFT_OK;
	}
}

weft_err mux_side_listen(struct mux_side *side)
{
	return weft_scope_spawn(side->links, "mux listener", listen_fiber, side);
}

/* ---- those that are dialled ---- */

/* The first of several that fail at once is told, and each is when all is well again. */
static void dial_failed(struct mux_side *side, weft_err err, bool *is_failing)
{
	bool is_news = !*is_failing && counter_add(&side->failing, 1) == 0;

	*is_failing = true;
	if (side->pool)
		mux_pool_failed(side->pool, err, side->dials_once);
	/* its one session will tell */
	if (!side->dials_once)
		tell(side, is_news ? WEFT_LOG_WARN : WEFT_LOG_DEBUG, err, "%s; trying again",
			weft_error_detail());
}

static void dialled(struct mux_side *side, bool *is_failing)
{
	if (*is_failing)
		(void)counter_sub(&side->failing, 1);
	*is_failing = false;
}

static weft_err dial(struct mux_side *side, weft_conn **conn)
{
	int64_t timeout_ns = side->bridge->options.connect_timeout_ns;
	weft_err err = endpoint_dial(conn, side->endpoint, tls_of(side), weft_after_ns(timeout_ns));

	return err ? err_wrap(err, "open mux session") : WEFT_OK;
}

static weft_err dialer_fiber(void *arg)
{
	struct start *start = arg;
	struct mux_side *side = start->side;
	bool is_failing = false;
	struct backoff backoff;

	backoff_init(&backoff, weft_in_sim() ? weft_sim_random() : random_entropy());
	while (!is_cancelled()) {
		weft_err err = start->conn ? WEFT_OK : dial(side, &start->conn);
		weft_deadline began = weft_now();

		if (!err) {
			dialled(side, &is_failing);
			err = run(side, start->conn, true);
			start->conn = NULL;
			if (weft_now() - began >= LASTED_NS)
				backoff_reset(&backoff);
		}
		if (err && err != WEFT_ECANCELED)
			dial_failed(side, err, &is_failing);
		if (side->dials_once || weft_sleep_ns(backoff_next(&backoff)))
			break;
	}
	mem_free(start);
	return WEFT_OK;
}

weft_err mux_side_dial(struct mux_side *side, weft_conn *first)
{
	unsigned count = side->dials_once ? 1 : side->endpoint->mux.sessions;
	weft_err err = WEFT_OK;

	for (unsigned i = 0; !err && i < count; i++) {
		const struct start start = { .side = side, .conn = i == 0 ? first : NULL };
		char name[32];

		(void)snprintf(name, sizeof(name), "mux dialled %u", i + 1);
		err = spawn(side, dialer_fiber, name, &start);
	}
	return err;
}
