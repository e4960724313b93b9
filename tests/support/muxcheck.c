/* SPDX-License-Identifier: MIT */
#include "support/muxcheck.h"

#include "mux/session.h"
#include "support/both.h"

#include <stdlib.h>
#include <string.h>

#define STREAMS_MAX 256 /* of each end, in a session */
/* What a block of memory takes beside the bytes that are read into it, and the next piece of memory
 * of each stream that gets a part of them: twice as large as the one before, which is full. */
#define BLOCK_OVERHEAD 8192
#define STREAM_OVERHEAD 32768
#define QUEUED_MAX ((size_t)32768) /* small writes of a stream that wait to be sent */
#define WRITE_MAX ((size_t)16384)  /* bytes handed on at once */
#define WRITE_IOV_MAX 64
#define TURNS_AHEAD_MAX 3
#define IDLE_ROUNDED_NS INT64_C(2000000) /* times of idle streams are in whole ms */
/* Twice as long as a measure of the round trip may take, for it is looked at now and then. */
#define PROBE_MAX_NS INT64_C(4000000000)

/* What one end of a session may do with a stream, from what passed. */
struct seen {
	bool known;	   /* a SYN passed */
	bool ended;	   /* this end's FIN passed */
	uint32_t sent;	   /* payload, by this end */
	uint32_t limit;	   /* of sent: the peer's window, version 2 */
	uint32_t received; /* payload */
	uint32_t told;	   /* consumed, as this end's last UPD had it */
	struct mux_check_came came;
	int64_t idle_ns; /* 0: there is none, or the program has ended it */
};

/* A stream with a large write. */
struct rival {
	uint32_t id; /* 0: none */
	unsigned weight;
	uint64_t left; /* bytes that did not pass yet */
	bool has_begun;
	uint64_t sent[MUX_CHECK_RIVALS_MAX]; /* since both it and that one have begun */
};

static int64_t latency_ns;

struct mux_check {
	unsigned owners;
	weft_conn *conn;
	const weft_mux *mux;
	weft_mux_options options;
	bool sane_peer;
	weft_deadline stalled_until;
	struct smux_decoder out, in;
	uint64_t out_frames; /* of those with events */
	uint32_t last_id;    /* that this end opened */
	size_t read_max;     /* bytes that a read could take */
	size_t taken_max;    /* of a stream: bytes that writes gave and that did not pass yet */
	uint64_t wire_in, wire_out, bytes_in, bytes_out;
	int64_t latency_ns;
	weft_mux_stats before;
	struct rival rivals[MUX_CHECK_RIVALS_MAX];
	uint64_t idled;
	int64_t idled_at;		     /* when that last grew */
	struct seen streams[2][STREAMS_MAX]; /* by the id's parity */
};

static struct seen *seen_of(struct mux_check *c, uint32_t id)
{
	want(id / 2 < STREAMS_MAX);
	return &c->streams[id % 2][id / 2];
}

/* ---- numbers ---- */

static void look_forward(const weft_mux_stats *was, const weft_mux_stats *is)
{
	want(is->opened >= was->opened && is->accepted >= was->accepted);
	want(is->refused >= was->refused && is->idled >= was->idled);
	want(is->bytes_in >= was->bytes_in && is->frames_in >= was->frames_in);
	want(is->bytes_out >= was->bytes_out && is->frames_out >= was->frames_out);
	want(is->stalls_window >= was->stalls_window && is->stalls_conn >= was->stalls_conn);
	want(is->stalls_buffer >= was->stalls_buffer && is->stalls_memory >= was->stalls_memory);
	want(is->stalls_reader >= was->stalls_reader);
	want(is->stalled_window_ns >= was->stalled_window_ns);
	want(is->stalled_conn_ns >= was->stalled_conn_ns);
	want(is->stalled_buffer_ns >= was->stalled_buffer_ns);
	want(is->stalled_memory_ns >= was->stalled_memory_ns);
}

static void look_whole(const struct mux_check *c, const weft_mux_stats *stats)
{
	uint64_t writes = 0;

	for (unsigned i = 0; i < WEFT_MUX_WRITE_SIZES; i++)
		writes += stats->write_sizes[i];
	want(stats->writes == writes);
	want(stats->wire_in == c->wire_in);
	want(stats->wire_out <= c->wire_out); /* while a write is under way */
	want(stats->bytes_in <= c->bytes_in);
	want(stats->bytes_out >= c->bytes_out || stats->wire_out < c->wire_out);
	want(stats->bytes_in + SMUX_HEADER_SIZE * stats->frames_in <= stats->wire_in);
	want(stats->streams <= stats->opened + stats->accepted + 1);
	if (c->options.max_streams)
		want(stats->streams <= c->options.max_streams + 1); /* one that drain passes */
	if (c->options.version < 2)
		want(stats->windows == 0 && stats->stalls_window == 0);
}

static void look_round_trip(const struct mux_check *c, const weft_mux_stats *stats)
{
	want((stats->rtt_ns > 0) == (stats->rtt_source != WEFT_MUX_RTT_NONE));
	if (stats->rtt_ns > 0)
		want(stats->rtt_ns >= 2 * c->latency_ns && c->options.version == 2);
}

void mux_check_counters(struct mux_check *c)
{
	size_t memory_max =
		c->options.max_memory ? c->options.max_memory : 4 * c->options.max_receive_buffer;
	weft_mux_stats stats;

	if (!c->mux)
		return;
	weft_mux_stats_get(c->mux, &stats);
	want(stats.unread <= c->options.max_receive_buffer + c->read_max);
	want(memory_max > SIZE_MAX / 2 ||
		stats.memory <= memory_max + 2 * c->read_max + BLOCK_OVERHEAD +
				stats.streams * STREAM_OVERHEAD);
	look_forward(&c->before, &stats);
	look_whole(c, &stats);
	look_round_trip(c, &stats);
	c->before = stats;
}

void mux_check_sent_all(struct mux_check *c)
{
	weft_mux_stats stats;

	weft_mux_stats_get(c->mux, &stats);
	want(stats.wire_out == c->wire_out);
	want(stats.bytes_out == c->bytes_out);
	want(stats.frames_out >= c->out.headers); /* ends of streams may be lost with the conn */
}

void mux_check_latency(int64_t latency_min_ns)
{
	latency_ns = latency_min_ns;
}

void mux_check_moved(struct mux_check *c, uint32_t id, int64_t at)
{
	struct mux_check_came *came = &c->streams[id % 2][id / 2].came;

	if (at <= came->moved)
		return;
	came->moved_before = came->moved;
	came->moved = at;
}

struct mux_check_came mux_check_came(const struct mux_check *c, uint32_t id)
{
	return c->streams[id % 2][id / 2].came;
}

/* ---- turns ---- */

static struct rival *rival_of(struct mux_check *c, uint32_t id)
{
	for (unsigned i = 0; i < MUX_CHECK_RIVALS_MAX; i++)
		if (c->rivals[i].id == id)
			return &c->rivals[i];
	return NULL;
}

void mux_check_busy(struct mux_check *c, uint32_t id, unsigned weight, size_t bytes)
{
	struct rival *r = rival_of(c, 0);

	want(r);
	*r = (struct rival){ .id = id, .weight = weight, .left = bytes };
}

void mux_check_calm(struct mux_check *c, uint32_t id)
{
	struct rival *r = rival_of(c, id);

	if (r)
		r->id = 0;
}

/* So many of its bytes pass. What others have sent since counts from its first on. */
static void take_turn(struct mux_check *c, struct rival *r, size_t len)
{
	unsigned me = (unsigned)(r - c->rivals);

	for (unsigned i = 0; i < MUX_CHECK_RIVALS_MAX; i++) {
		struct rival *other = &c->rivals[i];
		uint64_t mine, theirs;

		if (!r->has_begun)
			r->sent[i] = other->sent[me] = 0;
		if (i == me || other->id == 0 || !other->has_begun || other->left == 0)
			continue;
		r->sent[i] += len;
		mine = r->sent[i] * other->weight;
		theirs = other->sent[me] * r->weight;
		want(mine <= theirs +
				TURNS_AHEAD_MAX * c->options.max_frame_size * r->weight *
					other->weight);
	}
	r->has_begun = true;
	r->left -= len < r->left ? len : r->left;
}

/* ---- what passes ---- */

static void open_stream(struct mux_check *c, uint32_t id)
{
	struct seen *s = seen_of(c, id);

	s->known = true;
	s->limit = WEFT_MUX_INITIAL_WINDOW;
}

static void out_syn(struct mux_check *c, uint32_t id)
{
	want(id % 2 == c->last_id % 2);
	want(id > c->last_id);
	want(!seen_of(c, id)->known);
	c->last_id = id;
	open_stream(c, id);
}

static void out_data(struct mux_check *c, const struct smux_frame *frame)
{
	struct seen *s = seen_of(c, frame->id);
	uint32_t size = c->out.head[2] | (uint32_t)c->out.head[3] << 8;
	struct rival *rival;

	want(s->known);
	want(!s->ended);
	if (frame->len + c->out.left == size) { /* its first piece */
		c->out_frames++;
		want(size <= c->options.max_frame_size);
		want(c->options.version < 2 || s->sent + size <= s->limit);
	}
	s->sent += (uint32_t)frame->len;
	c->bytes_out += frame->len;
	rival = rival_of(c, frame->id);
	if (rival)
		take_turn(c, rival, frame->len);
}

/* Those who read fast may get more. */
static size_t window_max(const struct mux_check *c)
{
	return c->options.autotune_disabled ? c->options.max_stream_buffer
					    : c->options.max_receive_buffer;
}

/* Of max_stream_buffer, a stream's equal share of max_receive_buffer is always there. */
static size_t window_min(const struct mux_check *c)
{
	weft_mux_stats stats;
	size_t share;

	if (!c->mux)
		return 0;
	weft_mux_stats_get(c->mux, &stats);
	share = c->options.max_receive_buffer / (stats.opened + stats.accepted + 1);
	return share < c->options.max_stream_buffer ? share : c->options.max_stream_buffer;
}

static void out_upd(struct mux_check *c, const struct smux_frame *frame)
{
	struct seen *s = seen_of(c, frame->id);

	want(s->known);
	want(frame->window <= window_max(c));
	want(frame->window >= window_min(c));
	want(frame->consumed >= s->told);
	want(frame->consumed <= s->received);
	s->told = frame->consumed;
}

/* Of a stream that its program goes on with it says that it was idle: so long nothing had moved.
 * What moves in the same moment may do so after. */
static void out_fin(struct mux_check *c, uint32_t id)
{
	struct seen *s = seen_of(c, id);
	int64_t now = weft_now(),
		moved = s->came.moved < now ? s->came.moved : s->came.moved_before;

	want(s->known);
	want(!s->ended);
	s->ended = true;
	if (s->idle_ns > 0 && c->idled_at == now && c->mux && !mux_is_ending(c->mux))
		want(now - moved >= s->idle_ns - IDLE_ROUNDED_NS);
}

void mux_check_idle(struct mux_check *c, uint32_t id, int64_t idle_ns)
{
	seen_of(c, id)->idle_ns = idle_ns;
}

/* What the session sends. */
static void look_out(struct mux_check *c, const uint8_t *data, size_t len)
{
	struct smux_frame frame;
	enum smux_event event;

	while ((event = smux_decoder_next(&c->out, &data, &len, &frame)) != SMUX_EVENT_NONE) {
		want(event != SMUX_EVENT_FAULT);
		if (event != SMUX_EVENT_DATA)
			c->out_frames++;
		if (event == SMUX_EVENT_SYN) {
			out_syn(c, frame.id);
		} else if (event == SMUX_EVENT_DATA) {
			out_data(c, &frame);
		} else if (event == SMUX_EVENT_UPD) {
			out_upd(c, &frame);
		} else {
			out_fin(c, frame.id);
		}
	}
	/* all others are NOPs, or data of no byte; one of data has perhaps only its header */
	if (c->options.keepalive_disabled)
		want(c->out.headers <= c->out_frames + (c->out.left > 0));
}

/* A smaller window than before does not take back what writes have given already. */
static void in_upd(struct mux_check *c, const struct smux_frame *frame)
{
	struct seen *s = seen_of(c, frame->id);
	uint32_t limit = frame->consumed + frame->window;
	uint32_t given = s->sent + (uint32_t)c->taken_max;

	if (!s->known)
		return;
	s->came.upd = weft_now();
	mux_check_moved(c, frame->id, s->came.upd);
	if (limit < s->limit && limit < given)
		limit = given < s->limit ? given : s->limit;
	s->limit = limit;
}

static void in_syn(struct mux_check *c, uint32_t id)
{
	open_stream(c, id);
	mux_check_moved(c, id, weft_now());
}

static void in_data(struct mux_check *c, const struct smux_frame *frame)
{
	struct seen *s = seen_of(c, frame->id);

	s->received += (uint32_t)frame->len;
	s->came.data = weft_now();
	mux_check_moved(c, frame->id, s->came.data);
	c->bytes_in += frame->len;
}

/* What the session gets. The other end has a check of its own, which judges it. */
static void look_in(struct mux_check *c, const uint8_t *data, size_t len)
{
	struct smux_frame frame;
	enum smux_event event;

	while ((event = smux_decoder_next(&c->in, &data, &len, &frame)) != SMUX_EVENT_NONE) {
		if (event == SMUX_EVENT_FAULT) {
			want(!c->sane_peer);
			break;
		}
		if (event == SMUX_EVENT_SYN)
			in_syn(c, frame.id);
		else if (event == SMUX_EVENT_DATA)
			in_data(c, &frame);
		else if (event == SMUX_EVENT_UPD)
			in_upd(c, &frame);
		else
			seen_of(c, frame.id)->came.fin = weft_now();
	}
}

static void look_at(struct mux_check *c, void (*look)(struct mux_check *, const uint8_t *, size_t),
	const struct iovec *iov, size_t bytes)
{
	for (; bytes > 0; iov++) {
		size_t n = iov->iov_len < bytes ? iov->iov_len : bytes;

		look(c, iov->iov_base, n);
		bytes -= n;
	}
}

static weft_err wait_stalled(const struct mux_check *c, weft_deadline until)
{
	weft_err err = WEFT_OK;

	while (!err && weft_now() < c->stalled_until)
		err = until <= c->stalled_until
			? (weft_sleep_until(until) == WEFT_OK ? WEFT_ETIMEDOUT : WEFT_ECANCELED)
			: weft_sleep_until(c->stalled_until);
	return err;
}

/* The session's reader has just looked at the clock. */
static void look_probe(const struct mux_check *c)
{
	const struct probe *probe = c->mux ? &c->mux->probe : NULL;

	if (!probe || !word_peek(&probe->armed))
		return;
	want(weft_now() - probe->at < PROBE_MAX_NS);
	want((int32_t)(c->streams[probe->id % 2][probe->id / 2].received - probe->limit) <= 0);
}

/* Streams that it has just ended. */
static void look_idled(struct mux_check *c)
{
	if (c->mux && c->before.idled > c->idled)
		c->idled_at = weft_now();
	c->idled = c->before.idled;
}

static weft_err check_readv(
	void *user, const struct iovec *iov, unsigned iov_count, size_t *got, weft_deadline until)
{
	struct mux_check *c = user;
	size_t size = 0;
	weft_err err;

	for (unsigned i = 0; i < iov_count; i++)
		size += iov[i].iov_len;
	if (size > c->read_max)
		c->read_max = size;
	mux_check_counters(c);
	look_probe(c);
	look_idled(c);
	err = wait_stalled(c, until);
	if (!err)
		err = weft_conn_readv(c->conn, iov, iov_count, got, until);
	if (!err) {
		c->wire_in += *got;
		look_at(c, look_in, iov, *got);
	}
	return err;
}

/* The first bytes only, so that what was sent is known before the peer can have answered. */
static unsigned cut_short(struct iovec *out, const struct iovec *iov, unsigned iov_count)
{
	size_t room = WRITE_MAX;
	unsigned n = 0;

	for (; n < iov_count && n < WRITE_IOV_MAX && room > 0; n++) {
		out[n] = iov[n];
		if (out[n].iov_len > room)
			out[n].iov_len = room;
		room -= out[n].iov_len;
	}
	return n;
}

static weft_err check_writev(void *user, const struct iovec *iov, unsigned iov_count,
	size_t *written, weft_deadline until)
{
	struct mux_check *c = user;
	struct iovec part[WRITE_IOV_MAX];
	size_t taken = 0;
	weft_err err;

	mux_check_counters(c);
	iov_count = cut_short(part, iov, iov_count);
	err = wait_stalled(c, until);
	if (!err)
		err = weft_conn_writev(c->conn, part, iov_count, &taken, until);
	c->wire_out += taken;
	look_at(c, look_out, part, taken);
	*written = taken;
	return err;
}

static weft_err check_shutdown(void *user)
{
	struct mux_check *c = user;

	return weft_conn_shutdown(c->conn);
}

static void check_close(void *user)
{
	struct mux_check *c = user;

	weft_conn_close(c->conn);
}

static void check_abort(void *user)
{
	struct mux_check *c = user;

	weft_conn_abort(c->conn);
}

void mux_check_unref(struct mux_check *c)
{
	if (c && --c->owners == 0)
		free(c);
}

static void check_free(void *user)
{
	struct mux_check *c = user;

	weft_conn_free(c->conn);
	c->conn = NULL;
	mux_check_unref(c);
}

static const weft_conn_ops check_ops = { check_readv, check_writev, check_shutdown, check_close,
	check_abort, check_free, NULL };

weft_err mux_check_wrap(weft_conn **out, struct mux_check **check, weft_conn *conn,
	weft_mux_role role, const weft_mux_options *options, bool sane_peer, size_t write_max)
{
	struct mux_check *c = calloc(1, sizeof(*c));
	weft_err err;

	want(c);
	c->owners = 2;
	c->conn = conn;
	c->options = *options;
	c->sane_peer = sane_peer;
	c->taken_max = write_max + QUEUED_MAX + WRITE_MAX;
	c->latency_ns = latency_ns;
	c->last_id = role == WEFT_MUX_CLIENT ? 1 : 0;
	smux_decoder_init(&c->out, options->version);
	smux_decoder_init(&c->in, options->version);
	err = weft_conn_create(
		out, &check_ops, c, weft_conn_local_name(conn), weft_conn_peer_name(conn));
	if (err) {
		weft_conn_free(conn);
		free(c);
		return err;
	}
	*check = c;
	return WEFT_OK;
}

void mux_check_watch(struct mux_check *c, const weft_mux *mux)
{
	c->mux = mux;
}

void mux_check_stall(struct mux_check *c, weft_deadline until)
{
	c->stalled_until = until;
}
