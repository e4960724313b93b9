/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "support/muxpeer.h"

#include "support/crew.h"

#include <errno.h>

static const struct {
	const char *name;
	weft_err (*make)(weft_conn *ends[2]);
	bool sim, buffers_little;
} peer_kinds[PEER_KINDS] = {
	{ "memory", make_memory, false, false },
	{ "small memory", make_small_memory, false, true },
	{ "tcp", make_tcp, false, false },
	{ "simulated", make_sim, true, false },
};

/* ---- running ---- */

/* Fibers of a closed session end by themselves, soon. */
static void want_fibers(uint64_t count)
{
	weft_deadline until = SOON;

	while (weft_fiber_count() != count) {
		ck_assert_msg(weft_now() < until, "%d fibers are left",
			(int)(weft_fiber_count() - count));
		OK(weft_sleep_ms(1));
	}
}

static weft_err peer_fiber(void *arg)
{
	struct peer *p = arg;
	weft_conn *ends[2] = { NULL, NULL };
	uint64_t fibers = weft_fiber_count();

	OK(peer_kinds[p->kind].make(ends));
	p->end = ends[0];
	p->conn = ends[1];
	p->body(p);
	if (p->mux) {
		/* a stream is forgotten, its memory given back, with its handle */
		PEER_UNTIL(p, stats, stats.streams == 0);
		PEER_UNTIL(p, stats, stats.unread == 0 && stats.memory == 0);
	}
	weft_mux_free(p->mux);
	weft_conn_free(p->end);
	weft_conn_free(p->conn);
	want_fibers(fibers);
	free(p->out);
	free(p->payload);
	return WEFT_OK;
}

void peer_run(int i, void (*body)(struct peer *p))
{
	struct peer p = { .options = WEFT_MUX_OPTIONS_DEFAULT, .role = WEFT_MUX_SERVER };
	int64_t live = t_malloc_live();

	p.kind = i % PEER_KINDS;
	p.version = p.options.version = 1 + (unsigned)(i / PEER_KINDS);
	p.options.keepalive_disabled = true;
	p.options.autotune_disabled = true;
	p.sim = peer_kinds[p.kind].sim;
	p.buffers_little = peer_kinds[p.kind].buffers_little;
	p.body = body;
	p.payload = malloc(SMUX_PAYLOAD_MAX);
	ck_assert_ptr_nonnull(p.payload);
	run_fiber(peer_fiber, &p, p.sim);
	ck_assert_int_eq(t_malloc_live(), live);
}

void peer_start(struct peer *p)
{
	weft_conn *end = p->end;

	p->end = NULL;
	OK(weft_mux_create_own(&p->mux, end, p->role, &p->options));
}

void peer_hang_up(struct peer *p)
{
	weft_conn_close(p->conn);
}

/* ---- making frames ---- */

void peer_raw(struct peer *p, const void *data, size_t len)
{
	if (p->out_len + len > p->out_room) {
		p->out_room = (p->out_len + len) * 2;
		p->out = realloc(p->out, p->out_room);
		ck_assert_ptr_nonnull(p->out);
	}
	if (len > 0)
		memcpy(p->out + p->out_len, data, len);
	p->out_len += len;
}

static void put_header(struct peer *p, enum smux_cmd cmd, uint32_t id, size_t len)
{
	uint8_t header[SMUX_HEADER_SIZE];

	ck_assert_uint_le(len, SMUX_PAYLOAD_MAX);
	smux_put_header(header, p->version, cmd, (uint16_t)len, id);
	peer_raw(p, header, sizeof(header));
}

void peer_syn(struct peer *p, uint32_t id)
{
	put_header(p, SMUX_SYN, id, 0);
}

void peer_fin(struct peer *p, uint32_t id)
{
	put_header(p, SMUX_FIN, id, 0);
}

void peer_nop(struct peer *p)
{
	put_header(p, SMUX_NOP, 0, 0);
}

void peer_psh(struct peer *p, uint32_t id, const void *data, size_t len)
{
	put_header(p, SMUX_PSH, id, len);
	peer_raw(p, data, len);
}

void peer_pattern(struct peer *p, uint32_t id, uint64_t from, size_t len)
{
	uint8_t *data = malloc(len + 1);

	ck_assert_ptr_nonnull(data);
	fill(data, len, from);
	peer_psh(p, id, data, len);
	free(data);
}

void peer_upd(struct peer *p, uint32_t id, uint32_t consumed, uint32_t window)
{
	uint8_t upd[SMUX_UPD_SIZE];

	smux_put_upd(upd, id, consumed, window);
	peer_raw(p, upd, sizeof(upd));
}

weft_err peer_flush_until(struct peer *p, weft_deadline until)
{
	size_t written = 0;
	weft_err err = weft_conn_write(p->conn, p->out, p->out_len, &written, until);

	memmove(p->out, p->out + written, p->out_len - written);
	p->out_len -= written;
	return err;
}

void peer_flush(struct peer *p)
{
	OK(peer_flush_until(p, SOON));
}

weft_err peer_flush_fiber(void *arg)
{
	return peer_flush_until(arg, WEFT_FOREVER);
}

weft_stream *peer_accept(struct peer *p, uint32_t id)
{
	weft_stream *stream = NULL;

	peer_syn(p, id);
	peer_flush(p);
	OK(weft_mux_accept(p->mux, &stream, SOON));
	ck_assert_uint_eq(weft_stream_id(stream), id);
	return stream;
}

void peer_fence(struct peer *p)
{
	weft_stream_free(peer_accept(p, PEER_FENCE + p->fences++));
}

/* ---- reading frames ---- */

static uint32_t little(const uint8_t *in, unsigned bytes)
{
	uint32_t value = 0;

	for (unsigned i = bytes; i > 0; i--)
		value = value << 8 | in[i - 1];
	return value;
}

weft_err peer_read(struct peer *p, struct peer_frame *frame, weft_deadline until)
{
	uint8_t head[SMUX_HEADER_SIZE];
	weft_err err = weft_conn_read_full(p->conn, head, sizeof(head), NULL, until);

	if (err)
		return err;
	memset(frame, 0, sizeof(*frame));
	ck_assert_uint_eq(head[0], p->version);
	ck_assert_uint_le(head[1], p->version == 2 ? SMUX_UPD : SMUX_NOP);
	frame->cmd = (enum smux_cmd)head[1];
	frame->len = little(head + 2, 2);
	frame->id = little(head + 4, 4);
	frame->payload = p->payload;
	if (frame->len > 0)
		OK(weft_conn_read_full(p->conn, p->payload, frame->len, NULL, SOON));
	if (frame->cmd == SMUX_PSH) {
		ck_assert_uint_ge(frame->len, 1);
		ck_assert_uint_le(frame->len, p->options.max_frame_size);
	} else {
		ck_assert_uint_eq(frame->len, frame->cmd == SMUX_UPD ? 8 : 0);
	}
	if (frame->cmd == SMUX_UPD) {
		frame->consumed = little(p->payload, 4);
		frame->window = little(p->payload + 4, 4);
	}
	if (frame->cmd == SMUX_NOP)
		ck_assert_uint_eq(frame->id, 0);
	return WEFT_OK;
}

static bool is_fence(uint32_t id)
{
	return id - PEER_FENCE < PEER_FENCES_MAX;
}

struct peer_frame peer_next(struct peer *p)
{
	struct peer_frame frame;

	do {
		OK(peer_read(p, &frame, SOON));
	} while (
		frame.cmd == SMUX_NOP || is_fence(frame.id) || (frame.cmd == SMUX_UPD && !p->upds));
	return frame;
}

struct peer_frame peer_want(struct peer *p, enum smux_cmd cmd, uint32_t id)
{
	struct peer_frame frame = peer_next(p);

	ck_assert_msg(frame.cmd == cmd && frame.id == id,
		"command %d of stream %u, not %d of %u; %zu bytes", (int)frame.cmd, frame.id,
		(int)cmd, id, frame.len);
	return frame;
}

void peer_want_data(struct peer *p, uint32_t id, uint64_t from, uint64_t len)
{
	while (len > 0) {
		struct peer_frame frame = peer_want(p, SMUX_PSH, id);

		ck_assert_uint_le(frame.len, len);
		ck_assert(matches(frame.payload, frame.len, from));
		from += frame.len;
		len -= frame.len;
	}
}

void peer_want_upd(struct peer *p, uint32_t id, uint32_t consumed, uint32_t window)
{
	struct peer_frame frame = peer_want(p, SMUX_UPD, id);

	ck_assert_uint_eq(frame.consumed, consumed);
	ck_assert_uint_eq(frame.window, window);
}

void peer_want_quiet(struct peer *p)
{
	uint32_t id = PEER_FENCE + p->fences++;
	struct peer_frame frame;
	weft_stream *stream;

	/* what could be sent is sent before what is written last */
	if (p->sim)
		OK(weft_sleep_ms(100));
	else
		crew_settle();
	stream = peer_accept(p, id);
	stream_write(stream, 0, 1);
	do {
		OK(peer_read(p, &frame, SOON));
	} while (frame.cmd == SMUX_NOP || (is_fence(frame.id) && frame.id != id) ||
		(frame.cmd == SMUX_UPD && !p->upds));
	ck_assert_msg(frame.id == id, "command %d of stream %u; %zu bytes", (int)frame.cmd,
		frame.id, frame.len);
	weft_stream_free(stream);
}

void peer_want_gone(struct peer *p)
{
	uint8_t data[4096];
	size_t got;
	weft_err err;

	do {
		err = weft_conn_read(p->conn, data, sizeof(data), &got, SOON);
	} while (!err);
	ck_assert_msg(err == WEFT_ECLOSED || err == WEFT_ERESET, "%s", weft_err_name(err));
	weft_conn_close(p->conn); /* for which a session that ended in order waits a while */
}

/* ---- the session's side ---- */

weft_mux_stats peer_stats(struct peer *p)
{
	weft_mux_stats stats;

	weft_mux_stats_get(p->mux, &stats);
	return stats;
}

void stream_want(weft_stream *stream, uint64_t from, size_t len)
{
	uint8_t data[1500];
	size_t got = 0;

	while (len > 0) {
		size_t size = len < sizeof(data) ? len : sizeof(data);

		OK(weft_stream_read(stream, data, size, &got, SOON));
		ck_assert_uint_ge(got, 1);
		ck_assert_uint_le(got, size);
		ck_assert(matches(data, got, from));
		from += got;
		len -= got;
	}
}

void stream_want_end(weft_stream *stream, weft_err end)
{
	uint8_t byte;
	size_t got = 99;

	for (int again = 0; again < 2; again++) {
		FAILS(end, weft_stream_read(stream, &byte, 1, &got, SOON));
		ck_assert_uint_eq(got, 99);
	}
}

void stream_write(weft_stream *stream, uint64_t from, size_t len)
{
	uint8_t *data = malloc(len + 1);
	size_t written = 0;

	ck_assert_ptr_nonnull(data);
	fill(data, len, from);
	OK(weft_stream_write(stream, data, len, &written, SOON));
	ck_assert_uint_eq(written, len);
	free(data);
}

static void call_note(struct stream_call *call, weft_err err)
{
	call->err = err;
	if (err)
		snprintf(call->text, sizeof(call->text), "%s", weft_error_detail());
}

static weft_err write_call(void *arg)
{
	struct stream_call *call = arg;
	uint8_t *data = calloc(1, call->len + 1);

	ck_assert_ptr_nonnull(data);
	if (!call->blocks)
		fill(data, call->len, call->from);
	call_note(call, weft_stream_write(call->stream, data, call->len, &call->done, call->until));
	free(data);
	return WEFT_OK;
}

static weft_err read_call(void *arg)
{
	struct stream_call *call = arg;
	uint8_t data[100];

	call_note(
		call, weft_stream_read(call->stream, data, sizeof(data), &call->done, call->until));
	return WEFT_OK;
}

static weft_err accept_call(void *arg)
{
	struct stream_call *call = arg;

	call_note(call, weft_mux_accept(call->mux, &call->stream, call->until));
	return WEFT_OK;
}

static void call_start(struct stream_call *call, weft_fiber_fn fn, weft_stream *stream)
{
	memset(call, 0, sizeof(*call));
	call->stream = stream;
	call->until = SOON;
	OK(weft_spawn(&call->fiber, "call", fn, call));
}

void stream_write_start(struct stream_call *call, weft_stream *stream, uint64_t from, size_t len)
{
	call_start(call, write_call, stream);
	call->from = from;
	call->len = len;
}

void stream_block_start(struct stream_call *call, weft_stream *stream)
{
	call_start(call, write_call, stream);
	call->blocks = true;
	call->len = 64 << 20;
}

void stream_read_start(struct stream_call *call, weft_stream *stream)
{
	call_start(call, read_call, stream);
}

void mux_accept_start(struct stream_call *call, weft_mux *mux)
{
	call_start(call, accept_call, NULL);
	call->mux = mux;
}

void thread_join(pthread_t thread)
{
	weft_deadline until = SOON;
	int err;

	while ((err = pthread_tryjoin_np(thread, NULL)) == EBUSY) {
		ck_assert_msg(weft_now() < until, "a thread does not end");
		OK(weft_sleep_ms(1));
	}
	ck_assert_int_eq(err, 0);
}

weft_err stream_call_end(struct stream_call *call)
{
	if (call->fiber)
		join(call->fiber);
	call->fiber = NULL;
	return call->err;
}
