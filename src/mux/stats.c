/* SPDX-License-Identifier: MIT */
/* What a session and its streams say of themselves. */
#include "mux/session.h"

#include <string.h>

static void stalls_get(const struct mux_counters *c, weft_mux_stats *out)
{
	out->stalls_window = counter_get(&c->stalls_window);
	out->stalls_conn = counter_get(&c->stalls_conn);
	out->stalls_buffer = counter_get(&c->stalls_buffer);
	out->stalls_memory = counter_get(&c->stalls_memory);
	out->stalls_reader = counter_get(&c->stalls_reader);
	out->stalled_window_ns = counter_get(&c->stalled_window_ns);
	out->stalled_conn_ns = counter_get(&c->stalled_conn_ns);
	out->stalled_buffer_ns = counter_get(&c->stalled_buffer_ns);
	out->stalled_memory_ns = counter_get(&c->stalled_memory_ns);
}

static void memory_get(const weft_mux *m, weft_mux_stats *out)
{
	const struct account *a = m->account;
	int64_t left = (int64_t)word64_peek(&a->bucket);

	out->unread = (size_t)((int64_t)m->options.max_receive_buffer - left);
	out->windows = counter_get(&m->told_bytes);
	out->memory = (size_t)word64_peek(&a->memory);
	out->memory_read = account_own_memory(a);
	out->memory_own = sizeof(*m) + sizeof(*a) +
		(slot_look(&m->spill) ? m->options.max_frame_size : 0) + strlen(m->local_name) +
		strlen(m->peer_name) + 2 +
		weft_chan_len(m->backlog) * sizeof(struct weft_stream *) +
		counter_get(&m->table.bytes) +
		(counter_get(&m->touched_cap) - TOUCHED_MIN) * sizeof(struct weft_stream *) +
		out->streams * sizeof(struct weft_stream);
}

void weft_mux_stats_get(const weft_mux *m, weft_mux_stats *out)
{
	const struct mux_counters *c = &m->counters;

	*out = (weft_mux_stats){
		.opened = counter_get(&c->opened),
		.accepted = counter_get(&c->accepted),
		.refused = counter_get(&c->refused),
		.idled = counter_get(&c->idled),
		.streams = counter_get(&m->alive),
		.bytes_in = counter_get(&c->bytes_in),
		.bytes_out = counter_get(&c->bytes_out),
		.uncopied_in = counter_get(&c->uncopied_in),
		.uncopied_out = counter_get(&c->uncopied_out),
		.frames_in = counter_get(&c->frames_in),
		.frames_out = counter_get(&c->frames_out),
		.wire_in = counter_get(&c->wire_in),
		.wire_out = counter_get(&c->wire_out),
		.reads = counter_get(&c->reads),
		.writes = counter_get(&c->writes),
		.rtt_ns = (int64_t)counter_get(&m->rtt.ns),
		.rtt_source = (weft_mux_rtt_source)word_peek(&m->rtt.source),
	};
	for (unsigned i = 0; i < WEFT_MUX_WRITE_SIZES; i++)
		out->write_sizes[i] = counter_get(&c->write_sizes[i]);
	stalls_get(c, out);
	memory_get(m, out);
}

void weft_stream_stats_get(const weft_stream *s, weft_stream_stats *out)
{
	uint64_t written = counter_get(&s->written);
	uint64_t credit = word64_peek(&s->credit);
	int32_t left = (int32_t)((uint32_t)credit - ((uint32_t)written - (uint32_t)(credit >> 32)));

	*out = (weft_stream_stats){
		.bytes_in = counter_get(&s->received),
		.bytes_out = written,
		.frames_in = counter_get(&s->frames_in),
		.frames_out = counter_get(&s->frames_out),
		.stalls_window = word_peek(&s->stalls_window),
		.stalls_conn = word_peek(&s->stalls_conn),
		.stalls_reader = word_peek(&s->stalls_reader),
		.stalled_window_ns = (uint64_t)word_peek(&s->stalled_ms) * 1000000,
	};
	if (!(word_peek(&s->state) & STREAM_CLOSED))
		out->unread = (uint32_t)out->bytes_in - word_peek(&s->consumed);
	if (s->mux->options.version < 2)
		return;
	out->window_in = word_peek(&s->window);
	out->window_out = left > 0 ? (size_t)left : 0;
}

const char *weft_mux_local_name(const weft_mux *m)
{
	return m->local_name;
}

const char *weft_mux_peer_name(const weft_mux *m)
{
	return m->peer_name;
}
