/* SPDX-License-Identifier: MIT */
/*
 * A transport with a message a line, whose peer may send anything, in pieces of any size: what is given
 * on must be what the same bytes are when they are taken apart at once; and each message that is sent
 * back must come out whole. In a simulated run.
 *
 * Input: a seed, options, then what the peer sends; 0x01 and a byte n: the last byte 16 * n times more.
 */
#include "base/check.h"

#include <weft/weft.h>

#include <stdlib.h>
#include <string.h>

#define BYTES_MAX ((size_t)200000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct game {
	char *bytes; /* of the peer */
	size_t len;
	size_t at; /* of them, taken by the model */
	weft_json_limits limits;
	weft_message batch; /* the model's, of which elements come */
	size_t batch_at;
	weft_transport *transport;
	weft_conn *peer;
	char *back; /* what is to come back */
	size_t back_len;
	uint32_t random;
	weft_oneshot *ended;
};

static size_t below(struct game *g, size_t bound)
{
	g->random = g->random * 1664525 + 1013904223;
	return (g->random >> 8) % bound;
}

/* ---- the model ---- */

static bool is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
			return false;
	}
	return true;
}

/* The next line that is no blank one; false: there is none. */
static bool next_line(struct game *g, const char **line, size_t *len)
{
	while (g->at < g->len) {
		const char *begin = g->bytes + g->at;
		const char *end = memchr(begin, '\n', g->len - g->at);

		*line = begin;
		*len = end ? (size_t)(end - begin) : g->len - g->at;
		g->at += *len + (end != NULL);
		if (*len > 0 && begin[*len - 1] == '\r')
			--*len;
		if (!is_blank(begin, *len))
			return true;
	}
	return false;
}

static bool next_message(struct game *g, weft_message *out)
{
	weft_jsonrpc element;
	const char *line;
	size_t len;

	while (g->batch.rpc.kind == WEFT_JSONRPC_BATCH) {
		if (weft_jsonrpc_batch_next(&g->batch.rpc, &g->batch_at, &element, &g->limits)) {
			*out = (weft_message){ .rpc = element };
			out->text = weft_buf_ref(&g->batch.text);
			out->text.data = (uint8_t *)(uintptr_t)element.text.text;
			out->text.len = element.text.len;
			out->err = element.kind == WEFT_JSONRPC_INVALID ? WEFT_EPROTO : WEFT_OK;
			return true;
		}
		weft_message_fini(&g->batch);
	}
	if (!next_line(g, &line, &len))
		return false;
	CHECK(!weft_message_copy(out, NULL, line, len, &g->limits));
	if (out->rpc.kind != WEFT_JSONRPC_BATCH)
		return true;
	weft_message_move(&g->batch, out);
	g->batch_at = 0;
	return next_message(g, out);
}

static bool is_same(weft_json a, weft_json b)
{
	return a.len == b.len && (a.len == 0 || !memcmp(a.text, b.text, a.len));
}

/* ---- the game ---- */

static void got_message(void *user, weft_message *message)
{
	struct game *g = user;
	weft_message model;

	CHECK(next_message(g, &model));
	CHECK(model.rpc.kind == message->rpc.kind && model.err == message->err);
	CHECK(model.would_be == message->would_be);
	CHECK(model.text.len == message->text.len || message->err == WEFT_EMSGSIZE);
	CHECK(message->err == WEFT_EMSGSIZE || message->text.len == 0 ||
		!memcmp(model.text.data, message->text.data, message->text.len));
	CHECK(is_same(model.rpc.id, message->rpc.id));
	CHECK(is_same(model.rpc.method, message->rpc.method));
	weft_message_fini(&model);
	if (below(g, 4) == 0)
		(void)weft_yield();
	if (message->err) {
		weft_message_fini(message);
		return;
	}
	memcpy(g->back + g->back_len, message->text.data, message->text.len);
	g->back_len += message->text.len;
	g->back[g->back_len++] = '\n';
	CHECK(!weft_transport_send_own(g->transport, message, WEFT_FOREVER));
}

static void got_end(void *user, weft_err err, const char *detail)
{
	struct game *g = user;

	CHECK(err == WEFT_ECLOSED && !*detail);
	CHECK(!weft_oneshot_send(g->ended, NULL));
	weft_oneshot_close_sender(g->ended);
}

static weft_err say(void *arg)
{
	struct game *g = arg;
	size_t at = 0, most = 1 + below(g, 20000);

	while (at < g->len) {
		size_t n = 1 + below(g, most);

		n = n < g->len - at ? n : g->len - at;
		CHECK(!weft_conn_write(g->peer, g->bytes + at, n, NULL, WEFT_FOREVER));
		at += n;
	}
	CHECK(!weft_conn_shutdown(g->peer));
	return WEFT_OK;
}

static weft_err hear(void *arg)
{
	struct game *g = arg;
	char bytes[3000];
	size_t at = 0, got;
	weft_err err;

	while (!(err = weft_conn_read(
			 g->peer, bytes, 1 + below(g, sizeof(bytes)), &got, WEFT_FOREVER))) {
		CHECK(at + got <= g->back_len && !memcmp(g->back + at, bytes, got));
		at += got;
	}
	CHECK(err == WEFT_ECLOSED && at == g->back_len);
	return WEFT_OK;
}

static weft_err play(void *arg)
{
	static const weft_transport_sink sink = { got_message, got_end };
	struct game *g = arg;
	weft_transport_options options = WEFT_TRANSPORT_OPTIONS_DEFAULT;
	weft_fiber *fibers[2];
	weft_conn *ends[2];
	weft_message model;

	options.message_size_max = g->limits.size_max;
	options.depth_max = g->limits.depth_max;
	CHECK(!weft_oneshot_create(&g->ended, 0));
	CHECK(!weft_conn_pair(ends, 1 + below(g, 10000)));
	g->peer = ends[1];
	CHECK(!weft_transport_lines_own(&g->transport, ends[0], &options));
	CHECK(!weft_transport_start(g->transport, &sink, g));
	CHECK(!weft_spawn(&fibers[0], "say", say, g));
	CHECK(!weft_spawn(&fibers[1], "hear", hear, g));
	CHECK(!weft_oneshot_recv(g->ended, NULL, WEFT_FOREVER));
	weft_oneshot_close_receiver(g->ended);
	CHECK(!next_message(g, &model));
	weft_transport_free(g->transport);
	for (int i = 0; i < 2; i++)
		CHECK(!weft_fiber_join(fibers[i], NULL, WEFT_FOREVER));
	weft_conn_free(g->peer);
	return WEFT_OK;
}

static void expand(struct game *g, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size && g->len < BYTES_MAX; i++) {
		size_t n;

		if (data[i] != 1 || i + 1 == size || g->len == 0) {
			g->bytes[g->len++] = (char)data[i];
			continue;
		}
		n = (size_t)16 * data[++i];
		n = n < BYTES_MAX - g->len ? n : BYTES_MAX - g->len;
		memset(g->bytes + g->len, g->bytes[g->len - 1], n);
		g->len += n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t sizes[] = { 60, 900, 8191, 20000, 100000 };
	weft_sim_options sim = WEFT_SIM_OPTIONS_DEFAULT;
	weft_sim_result result;
	struct game g = { .at = 0 };

	if (size < 2)
		return 0;
	sim.seed = data[0];
	g.random = data[0] + 1u;
	g.limits = (weft_json_limits){ sizes[data[1] % 5], 4 + data[1] / 5 };
	g.bytes = malloc(BYTES_MAX);
	g.back = malloc(2 * BYTES_MAX);
	CHECK(g.bytes && g.back);
	expand(&g, data + 2, size - 2);
	CHECK(!weft_sim_run(play, &g, &sim, &result));
	CHECK(result.sockets_left == 0);
	free(g.bytes);
	free(g.back);
	return 0;
}
