/* SPDX-License-Identifier: MIT */
/*
 * A session whose peer may send anything, while its streams are opened, read, written and
 * closed by two fibers, in a simulated run. Besides memory errors: nobody waits for ever,
 * what the session sends is smux, memory stays within its cap, all is given back.
 *
 * Input: a seed (2 bytes), the options (a byte), then steps of two bytes and, for some,
 * more: who does what. Steps of one fiber are taken in order.
 */
#include "proto/smux/smux.h"

#include "base/check.h"

#include <weft/weft.h>

#include <string.h>

#define SLOTS 4 /* streams a user holds at most */
#define MEMORY_MAX 200000
/* One read of the connection may go over the cap: its block, and copies of small pieces. */
#define READ_MAX 262144
#define MEMORY_SLACK (2 * READ_MAX + 65536)
#define READ_STEP 80 /* many are worth receiving into */
#define BRIEF weft_after_ns(200000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum who { ADVERSARY, FIRST, SECOND, WHO };

struct steps {
	const uint8_t *at, *end;
};

struct user {
	struct game *game;
	enum who who;
	weft_stream *streams[SLOTS];
	weft_buf held;
};

struct game {
	struct steps steps;
	weft_mux_options options;
	weft_mux_role role;
	weft_mux *mux;
	weft_conn *peer;
};

static const uint8_t zeroes[65536 + SMUX_HEADER_SIZE];

/* The next step of that fiber: what (0..63) and a number; more points behind them. */
static bool next_step(struct steps *s, enum who who, unsigned *what, unsigned *number,
	const uint8_t **more, size_t *more_len)
{
	while (s->end - s->at >= 2) {
		unsigned first = s->at[0];
		size_t len = 0;

		*number = s->at[1];
		s->at += 2;
		*what = first >> 2;
		if ((first & 3) == 0 && *what % 8 < 3) { /* raw bytes of the adversary's */
			len = *number < (size_t)(s->end - s->at) ? *number
								 : (size_t)(s->end - s->at);
		}
		*more = s->at;
		*more_len = len;
		s->at += len;
		if ((first & 3) % WHO == who)
			return true;
	}
	return false;
}

static void check_stats(const struct game *game)
{
	weft_mux_stats stats;

	weft_mux_stats_get(game->mux, &stats);
	CHECK(stats.memory <= MEMORY_MAX + MEMORY_SLACK);
	CHECK(stats.unread <= game->options.max_receive_buffer + READ_MAX);
	CHECK(stats.streams <= game->options.max_streams);
}

/* ---- the adversary ---- */

static void send_bytes(struct game *game, const void *data, size_t len)
{
	(void)!weft_conn_write(game->peer, data, len, NULL, weft_after_ms(1));
}

static void send_frame(struct game *game, unsigned what, unsigned number)
{
	static const uint32_t ids[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x7ffffffe, 0xffffffff };
	uint32_t id = ids[number % 11];
	unsigned version = game->options.version, size = (what / 8) * 300;
	uint8_t frame[SMUX_HEADER_SIZE + 7 * 300] = { 0 };

	switch (number / 11 % 6) {
	case 0:
		smux_put_header(frame, version, SMUX_SYN, 0, id);
		send_bytes(game, frame, SMUX_HEADER_SIZE);
		break;
	case 1:
		smux_put_header(frame, version, SMUX_FIN, 0, id);
		send_bytes(game, frame, SMUX_HEADER_SIZE);
		break;
	case 2: /* the largest, cut into two writes */
		smux_put_header(frame, version, SMUX_PSH, 65535, id);
		send_bytes(game, frame, SMUX_HEADER_SIZE);
		send_bytes(game, zeroes, 65535);
		break;
	case 3: /* an UPD; in version 1 a fault */
		smux_put_upd(frame, id, what * number, number * 3000);
		send_bytes(game, frame, SMUX_UPD_SIZE);
		break;
	case 4: /* frames of a byte */
		for (unsigned i = 0; i < 200; i++)
			smux_put_header(frame + i * 9, version, SMUX_PSH, 1, id);
		send_bytes(game, frame, 1800);
		break;
	default:
		smux_put_header(frame, version, SMUX_PSH, (uint16_t)size, id);
		send_bytes(game, frame, SMUX_HEADER_SIZE + size);
		break;
	}
}

static weft_err adversary(void *arg)
{
	struct game *game = arg;
	struct steps steps = game->steps;
	unsigned what, number;
	const uint8_t *more;
	size_t len;

	while (next_step(&steps, ADVERSARY, &what, &number, &more, &len)) {
		switch (what % 8) {
		case 0:
		case 1:
		case 2:
			send_bytes(game, more, len);
			break;
		case 3:
		case 4:
		case 5:
			send_frame(game, what, number);
			break;
		case 6:
			(void)!weft_sleep_ns((int64_t)number * 1000 * (what / 8));
			break;
		default:
			if (what / 8 == 7 && number < 32)
				weft_conn_abort(game->peer);
			else if (what / 8 == 7 && number < 64)
				(void)!weft_conn_shutdown(game->peer);
			else
				(void)weft_yield();
			break;
		}
		check_stats(game);
	}
	return WEFT_OK;
}

/* Reads what the session sends, slowly or fast: it must be smux to the end. */
static weft_err drain(void *arg)
{
	struct game *game = arg;
	uint8_t data[3000];
	struct smux_decoder decoder;
	struct smux_frame frame;
	size_t got = 0;

	smux_decoder_init(&decoder, game->options.version);
	while (!weft_conn_read(game->peer, data, sizeof(data), &got, WEFT_FOREVER)) {
		const uint8_t *at = data;
		enum smux_event event;

		while ((event = smux_decoder_next(&decoder, &at, &got, &frame)) !=
			SMUX_EVENT_NONE) {
			CHECK(event != SMUX_EVENT_FAULT);
			if (event == SMUX_EVENT_SYN)
				CHECK(frame.id % 2 == (game->role == WEFT_MUX_CLIENT));
		}
		if (game->options.max_frame_size % 2)
			(void)!weft_sleep_ns(50000);
	}
	return WEFT_OK;
}

/* ---- the session's users ---- */

static void use_stream(struct user *u, weft_stream **slot, unsigned what, unsigned number)
{
	weft_stream *s = *slot;
	static uint8_t in[SECOND + 1][255 * READ_STEP];
	size_t got = 0;

	switch (what % 8) {
	case 0:
	case 1:
		if (!weft_stream_read(s, in[u->who], (size_t)number * READ_STEP, &got, BRIEF))
			CHECK(got <= (size_t)number * READ_STEP && (got > 0 || number == 0));
		break;
	case 2:
		weft_buf_unref(&u->held);
		if (!weft_stream_read_buf(s, &u->held, number, BRIEF))
			CHECK(u->held.len > 0 && (number == 0 || u->held.len <= number));
		break;
	case 3:
	case 4:
		(void)!weft_stream_write(
			s, zeroes, (size_t)number * (what / 8 + 1) * 32, &got, BRIEF);
		CHECK(got <= (size_t)number * (what / 8 + 1) * 32);
		break;
	case 5:
		(void)!weft_stream_shutdown(s);
		break;
	case 6:
		weft_stream_close(s);
		break;
	default:
		weft_stream_free(s);
		*slot = NULL;
		break;
	}
}

static weft_err use(void *arg)
{
	struct user *u = arg;
	struct steps steps = u->game->steps;
	unsigned what, number;
	const uint8_t *more;
	size_t len;

	while (next_step(&steps, u->who, &what, &number, &more, &len)) {
		weft_stream **slot = &u->streams[number % SLOTS];
		weft_stream *stream = NULL;

		if (*slot)
			use_stream(u, slot, what, number);
		else if (what % 8 == 7)
			weft_buf_unref(&u->held);
		else if (what == 6 && number > 250)
			weft_mux_close(u->game->mux);
		else if (what % 2 && !weft_mux_open(u->game->mux, &stream, BRIEF))
			*slot = stream;
		else if (what % 2 == 0 && !weft_mux_accept(u->game->mux, &stream, BRIEF))
			*slot = stream;
		check_stats(u->game);
	}
	return WEFT_OK;
}

static void user_end(struct user *u)
{
	for (int i = 0; i < SLOTS; i++)
		weft_stream_free(u->streams[i]);
	weft_buf_unref(&u->held);
}

/* ---- a run ---- */

static weft_err play(void *arg)
{
	struct game *game = arg;
	struct user users[2] = { { .game = game, .who = FIRST }, { .game = game, .who = SECOND } };
	weft_fiber *fibers[4] = { NULL };
	weft_conn *ends[2] = { NULL, NULL };
	weft_stream *stream = NULL;
	weft_mux_stats stats;
	weft_err err;

	CHECK(!weft_conn_pair(ends, 4096));
	game->peer = ends[1];
	CHECK(!weft_mux_create_own(&game->mux, ends[0], game->role, &game->options));
	CHECK(!weft_spawn(&fibers[0], "adversary", adversary, game));
	CHECK(!weft_spawn(&fibers[1], "first", use, &users[0]));
	CHECK(!weft_spawn(&fibers[2], "second", use, &users[1]));
	CHECK(!weft_spawn(&fibers[3], "drain", drain, game));
	for (int i = 0; i < 3; i++)
		CHECK(!weft_fiber_join(fibers[i], NULL, WEFT_FOREVER));
	weft_mux_close(game->mux);
	err = weft_mux_wait(game->mux, WEFT_FOREVER);
	CHECK(err == WEFT_ECLOSED || err == WEFT_ERESET || err == WEFT_EPROTO);
	for (int i = 0; i < 2; i++)
		user_end(&users[i]);
	CHECK(!weft_fiber_join(fibers[3], NULL, WEFT_FOREVER));
	/* those that nobody accepted go with the handle, and would be counted */
	while (!weft_mux_accept(game->mux, &stream, WEFT_NOW))
		weft_stream_free(stream);
	weft_mux_stats_get(game->mux, &stats);
	CHECK(stats.streams == 0 && stats.unread == 0 && stats.memory == 0);
	weft_mux_free(game->mux);
	weft_conn_free(game->peer);
	return WEFT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	weft_sim_options sim = WEFT_SIM_OPTIONS_DEFAULT;
	weft_sim_result result;
	struct game game = { .options = WEFT_MUX_OPTIONS_DEFAULT };

	if (size < 3)
		return 0;
	sim.seed = data[0] | (uint64_t)data[1] << 8;
	game.options.version = 1 + (data[2] & 1);
	game.role = data[2] & 2 ? WEFT_MUX_CLIENT : WEFT_MUX_SERVER;
	game.options.max_frame_size = data[2] & 4 ? 65535 : 1000;
	game.options.max_receive_buffer = data[2] & 8 ? 1 << 20 : 3000;
	game.options.max_stream_buffer = 2000;
	game.options.max_memory = MEMORY_MAX;
	game.options.max_streams = 6;
	game.options.accept_backlog = data[2] & 16 ? 2 : 1024;
	game.options.keepalive_interval_ns = 1000000;
	game.options.keepalive_timeout_ns = data[2] & 32 ? 3000000 : INT64_C(3000000000);
	game.options.linger_ns = data[2] & 64 ? 0 : 10000000;
	game.steps = (struct steps){ data + 3, data + size };
	CHECK(!weft_sim_run(play, &game, &sim, &result));
	CHECK(result.sockets_left == 0);
	return 0;
}
