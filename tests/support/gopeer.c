/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "support/gopeer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_MAX 40000 /* bytes of a write: more than a frame of 32768 */
#define READ_MAX 65536
#define SLOW_CHUNK 1000
#define SLOW_RESTS 32 /* a slow reader's reads from rest to rest */
#define FLAGS_MAX 16
#define PROGRAM_PATH_MAX 512
#define DUETS 4
#define ACCEPTORS 2

void gopeer_failed(const char *file, int line, const char *what)
{
	ck_abort_msg("%s:%d: %s: '%s' does not hold", file, line, weft_fiber_name(), what);
	abort(); /* not reached */
}

void gopeer_want(const char *file, int line, const char *call, weft_err expected, weft_err got)
{
	if (got != expected)
		ck_abort_msg("%s:%d: %s: %s: %s instead of %s (%s)", file, line, weft_fiber_name(),
			call, weft_err_name(got), weft_err_name(expected), weft_error_detail());
}

weft_mux_stats duet_stats(const struct duet *duet)
{
	weft_mux_stats stats;

	weft_mux_stats_get(duet->mux, &stats);
	return stats;
}

/* ---- Go's lines ---- */

void duet_say(struct duet *duet, const char *format, ...)
{
	char line[LINE_SIZE_MAX];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	want(len > 0 && (size_t)len < sizeof(line) - 1);
	line[len++] = '\n';
	duet->is_dying |= strncmp(line, "die ", 4) == 0;
	want_ok(weft_conn_write(weft_process_conn(duet->go), line, (size_t)len, NULL, SOON));
}

/* A line without its end; false once Go has ended. */
static bool hear(struct duet *duet)
{
	size_t len = 0;
	weft_err err = weft_conn_read_line(
		weft_process_conn(duet->go), duet->line, sizeof(duet->line), &len, SOON);

	if (err == WEFT_ECLOSED)
		return false;
	want_ok(err);
	duet->line[len - 1] = '\0';
	if (strncmp(duet->line, "error ", 6) == 0 && !duet->is_dying)
		ck_abort_msg("%s: Go says: %s", duet->name, duet->line);
	if (strncmp(duet->line, "ended ", 6) == 0)
		duet->ended = true;
	return true;
}

static bool is_tally(struct duet *duet)
{
	struct tally tally = { 0, 0, true };
	uint32_t id;

	if (sscanf(duet->line, "stream %" SCNu32 " sent %" SCNx64 " received %" SCNx64, &id,
		    &tally.sent, &tally.received) != 3)
		return false;
	want(id < DUET_STREAM_IDS && !duet->there[id].played);
	duet->there[id] = tally;
	duet->there_count++;
	return true;
}

const char *duet_line(struct duet *duet)
{
	do
		want(hear(duet));
	while (is_tally(duet));
	return duet->line;
}

void duet_await_line(struct duet *duet, const char *line)
{
	while (strcmp(duet_line(duet), line) != 0)
		;
}

void duet_await_streams(struct duet *duet, size_t count)
{
	while (duet->there_count < count) {
		want(hear(duet));
		want(is_tally(duet) || (duet->is_dying && strncmp(duet->line, "error ", 6) == 0));
	}
}

void duet_match(struct duet *duet, size_t count)
{
	duet_await_streams(duet, count);
	for (; duet->here_count < count; duet->here_count++) {
		uint32_t id;
		const struct tally *here, *there;

		want_ok(weft_chan_recv(duet->played, &id, SOON));
		here = &duet->here[id];
		there = &duet->there[id];
		want(there->played);
		if (here->sent != there->received || here->received != there->sent)
			ck_abort_msg("%s: stream %" PRIu32 ": digests sent %016" PRIx64
				     " got there %016" PRIx64 "; sent there %016" PRIx64
				     " got %016" PRIx64,
				duet->name, id, here->sent, there->received, there->sent,
				here->received);
	}
	want(duet->there_count == count);
}

/* ---- a stream, as weft plays it ---- */

struct player {
	struct duet *duet;
	weft_stream *stream;
	char op;
	enum duet_how how;
	uint32_t out, in; /* bytes */
	struct tally tally;
};

/* FNV-1a, of 64 bits. */
static uint64_t digest_of(uint64_t digest, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		digest = (digest ^ data[i]) * UINT64_C(0x100000001b3);
	return digest;
}
#define DIGEST_EMPTY UINT64_C(0xcbf29ce484222325)

static weft_err write_chunk(weft_stream *stream, uint8_t *data, size_t size, bool in_two)
{
	struct iovec iov[2] = { { data, size / 2 }, { data + size / 2, size - size / 2 } };

	return in_two ? weft_stream_writev(stream, iov, 2, NULL, SOON)
		      : weft_stream_write(stream, data, size, NULL, SOON);
}

/* Writes of many sizes. */
uint64_t duet_write(struct duet *duet, weft_stream *stream, uint32_t size)
{
	uint64_t random = t_seed() ^ (uint64_t)weft_stream_id(stream) << 32, digest = DIGEST_EMPTY;
	uint8_t *data = malloc(CHUNK_MAX + sizeof(random));
	uint32_t len;

	weft_fiber_set_name(duet->name);
	want(data);
	for (; size > 0; size -= len) {
		len = 1 + (uint32_t)(t_random(&random) % CHUNK_MAX);
		len = len < size ? len : size;
		for (uint32_t i = 0; i < len; i += sizeof(random)) {
			uint64_t word = t_random(&random);

			memcpy(data + i, &word, sizeof(word));
		}
		digest = digest_of(digest, data, len);
		want_ok(write_chunk(stream, data, len, random & 1));
	}
	free(data);
	return digest;
}

static weft_err player_send(void *arg)
{
	struct player *player = arg;

	player->tally.sent = duet_write(player->duet, player->stream, player->out);
	return WEFT_OK;
}

/* At most size bytes, in one of the ways to read. */
static weft_err read_some(struct player *player, uint8_t *data, size_t size, size_t *got)
{
	weft_buf buf = WEFT_BUF_EMPTY;
	struct iovec iov[2] = { { data, size / 3 }, { data + size / 3, size - size / 3 } };
	weft_err err;

	switch (weft_stream_id(player->stream) / 2 % 3) {
	case 0:
		return weft_stream_readv(player->stream, iov, 2, got, SOON);
	case 1:
		return weft_stream_read(player->stream, data, size, got, SOON);
	default:
		err = weft_stream_read_buf(player->stream, &buf, size, SOON);
		if (!err) {
			want(buf.len > 0 && buf.len <= size);
			memcpy(data, buf.data, buf.len);
			*got = buf.len;
			weft_buf_unref(&buf);
		}
		return err;
	}
}

/* player->in bytes, then the end of the stream. */
static void player_receive(struct player *player)
{
	size_t chunk = player->how == DUET_SLOWLY ? SLOW_CHUNK : READ_MAX;
	uint8_t *data = malloc(chunk);
	size_t total = 0, got, reads = 0;
	weft_err err;

	want(data);
	if (player->how == DUET_LATE)
		want_err(WEFT_ECLOSED, weft_chan_recv(player->duet->released, &got, SOON));
	player->tally.received = DIGEST_EMPTY;
	while ((err = read_some(player, data, chunk, &got)) == WEFT_OK) {
		want(got > 0 && got <= chunk);
		player->tally.received = digest_of(player->tally.received, data, got);
		total += got;
		if (player->how == DUET_SLOWLY && ++reads % SLOW_RESTS == 0)
			want_ok(weft_sleep_ms(1));
	}
	want_err(WEFT_ECLOSED, err);
	want(total == player->in);
	free(data);
}

/* Go closes each stream when it is done, so that each ends with its FIN. */
static void player_play(struct player *player)
{
	struct duet *duet = player->duet;
	uint32_t id = weft_stream_id(player->stream);
	weft_fiber *sender = NULL;

	if (player->op == 'P') {
		want_ok(weft_spawn_on(
			id / 4 % weft_worker_count(), &sender, duet->name, player_send, player));
		player_receive(player);
		want_ok(weft_fiber_join(sender, NULL, SOON));
	} else {
		want_ok(player_send(player));
		want_ok(weft_stream_shutdown(player->stream));
		want_err(WEFT_ECLOSED, weft_stream_write(player->stream, "x", 1, NULL, SOON));
		player_receive(player);
	}
	weft_stream_free(player->stream);
	want(id < DUET_STREAM_IDS && !duet->here[id].played);
	player->tally.played = true;
	duet->here[id] = player->tally;
	want_ok(weft_chan_send(duet->played, &id, SOON));
}

/* ---- streams that Go opens ---- */

struct accepted {
	struct duet *duet;
	weft_stream *stream;
};

static uint32_t get_u32(const uint8_t *data)
{
	return data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
}

static weft_err serve(void *arg)
{
	struct accepted *accepted = arg;
	struct player player = { .duet = accepted->duet, .stream = accepted->stream };
	uint8_t header[DUET_HEADER_SIZE];
	size_t have = 0, got;

	free(accepted);
	weft_fiber_set_name(player.duet->name);
	for (; have < DUET_HEADER_SIZE; have += got)
		want_ok(weft_stream_read(
			player.stream, header + have, DUET_HEADER_SIZE - have, &got, SOON));
	player.op = (char)header[0];
	player.how = header[1];
	player.in = get_u32(header + 4);
	player.out = get_u32(header + 8);
	player_play(&player);
	return WEFT_OK;
}

static weft_err accept_streams(void *arg)
{
	struct duet *duet = arg;
	unsigned worker = weft_worker_self();
	weft_stream *stream;
	weft_err err;

	weft_fiber_set_name(duet->name);
	while ((err = weft_mux_accept(duet->mux, &stream, WEFT_FOREVER)) == WEFT_OK) {
		struct accepted *accepted = malloc(sizeof(*accepted));

		want(accepted);
		*accepted = (struct accepted){ duet, stream };
		worker = (worker + 1) % weft_worker_count();
		want_ok(weft_scope_spawn_on(duet->scope, worker, duet->name, serve, accepted));
	}
	want_err(WEFT_ECLOSED, err);
	return WEFT_OK;
}

/* ---- streams that weft opens ---- */

static void put_u32(uint8_t *data, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		data[i] = (uint8_t)(value >> 8 * i);
}

weft_stream *duet_open_one(const struct duet_part *part)
{
	uint8_t header[DUET_HEADER_SIZE] = { (uint8_t)part->op, (uint8_t)part->theirs };
	weft_stream *stream;

	put_u32(header + 4, part->a);
	put_u32(header + 8, part->b);
	want_ok(weft_mux_open(part->duet->mux, &stream, SOON));
	want(weft_stream_id(stream) % 2 == (part->duet->client ? 1 : 0));
	want_ok(weft_stream_write(stream, header, sizeof(header), NULL, SOON));
	return stream;
}

static weft_err open_in_turn(void *arg)
{
	const struct duet_part *part = arg;

	for (unsigned i = 0; i < part->count; i++) {
		struct player player = { .duet = part->duet,
			.stream = duet_open_one(part),
			.op = part->op,
			.how = part->mine,
			.out = part->a,
			.in = part->b };

		player_play(&player);
	}
	return WEFT_OK;
}

void duet_open(const struct duet_part *part)
{
	struct duet *duet = part->duet;

	for (unsigned i = 0; i < part->at_once; i++)
		want_ok(weft_scope_spawn_on(duet->scope, i % weft_worker_count(), duet->name,
			open_in_turn, (void *)(uintptr_t)part));
}

void duet_go_open(const struct duet_part *part)
{
	duet_say(part->duet, "open %c %c %c %u %u %" PRIu32 " %" PRIu32, part->op, (char)part->mine,
		(char)part->theirs, part->count * part->at_once, part->at_once, part->a, part->b);
}

void duet_release(struct duet *duet)
{
	duet_say(duet, "release");
	weft_chan_close(duet->released);
}

/* ---- a session ---- */

/* What the build left beside the program it did not make. */
_Noreturn static void abort_without_program(const char *program)
{
	char path[PROGRAM_PATH_MAX + 8], text[1024] = "";
	FILE *log;
	size_t len;

	snprintf(path, sizeof(path), "%s.log", program);
	log = fopen(path, "re");
	len = log ? fread(text, 1, sizeof(text) - 1, log) : 0;
	text[len] = '\0';
	if (log)
		fclose(log);
	ck_abort_msg("%s was not built; make setup installs what it needs (golang-go, "
		     "golang-github-xtaci-smux-dev). The build said: %s",
		program, text);
	abort(); /* not reached */
}

/* It lies beside the test itself. */
static void find_program(char *path, size_t size)
{
	ssize_t len = readlink("/proc/self/exe", path, size);
	char *name;

	want(len > 0 && (size_t)len < size);
	path[len] = '\0';
	name = strrchr(path, '/') + 1;
	want((size_t)snprintf(name, size - (size_t)(name - path), "go_smux") <
		size - (size_t)(name - path));
	if (access(path, X_OK) != 0)
		abort_without_program(path);
}

static void spawn_go(struct duet *duet, const char *address)
{
	weft_process_options options = WEFT_PROCESS_OPTIONS_DEFAULT;
	const char *argv[FLAGS_MAX];
	char program[PROGRAM_PATH_MAX], version[2] = { (char)('0' + duet->go_version), '\0' };
	size_t count = 0;

	find_program(program, sizeof(program));
	argv[count++] = program;
	argv[count++] = "-version";
	argv[count++] = version;
	for (const char *const *flag = duet->go_flags; flag && *flag; flag++) {
		want(count < FLAGS_MAX - 3);
		argv[count++] = *flag;
	}
	argv[count++] = duet->client ? "server" : "client";
	argv[count++] = address;
	argv[count] = NULL;
	options.argv = argv;
	want_ok(weft_process_spawn(&duet->go, &options));
}

/* Go listens, and says where. */
static void dial_go(struct duet *duet, weft_conn **conn)
{
	char address[64];
	unsigned port;

	spawn_go(duet, "127.0.0.1:0");
	want(sscanf(duet_line(duet), "port %u", &port) == 1);
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%u", port);
	want_ok(weft_dial(conn, address, NULL, SOON));
}

static void accept_go(struct duet *duet, weft_conn **conn)
{
	weft_listener *listener;

	want_ok(weft_listen(&listener, "tcp://127.0.0.1:0", NULL, SOON));
	spawn_go(duet, weft_listener_name(listener) + strlen("tcp://"));
	want_ok(weft_listener_accept(listener, conn, SOON));
	weft_listener_free(listener);
}

static struct tally *tallies_make(void)
{
	struct tally *tallies = calloc(DUET_STREAM_IDS, sizeof(*tallies));

	want(tallies);
	return tallies;
}

void duet_start(struct duet *duet)
{
	weft_conn *conn = NULL;

	duet->here = tallies_make();
	duet->there = tallies_make();
	want_ok(weft_chan_create(&duet->released, 0, 1, NULL));
	want_ok(weft_chan_create(&duet->played, sizeof(uint32_t), WEFT_CHAN_UNBOUNDED, NULL));
	if (duet->client)
		dial_go(duet, &conn);
	else
		accept_go(duet, &conn);
	duet_await_line(duet, "ready");
	want_ok(weft_mux_create_own(&duet->mux, conn,
		duet->client ? WEFT_MUX_CLIENT : WEFT_MUX_SERVER, &duet->options));
	want_ok(weft_scope_create(&duet->scope));
}

void duet_accept(struct duet *duet)
{
	for (unsigned i = 0; i < ACCEPTORS; i++)
		want_ok(weft_scope_spawn_on(
			duet->scope, i % weft_worker_count(), duet->name, accept_streams, duet));
}

static bool is_empty(const struct duet *duet)
{
	weft_mux_stats stats = duet_stats(duet);

	return stats.streams == 0 && stats.unread == 0 && stats.memory == 0;
}

static void want_empty(const struct duet *duet)
{
	weft_deadline end = SOON;
	weft_mux_stats stats;

	while (!is_empty(duet) && weft_now() < end)
		want_ok(weft_sleep_ms(1));
	stats = duet_stats(duet);
	if (!is_empty(duet))
		ck_abort_msg("%s: left: %zu streams, %zu bytes unread, %zu of memory", duet->name,
			stats.streams, stats.unread, stats.memory);
}

/* The scope's fibers have ended, or do so now that the session is over. */
static void give_back(struct duet *duet)
{
	want_ok(weft_scope_wait(duet->scope, SOON));
	weft_scope_free(duet->scope);
	weft_mux_free(duet->mux);
	weft_chan_unref(duet->released);
	weft_chan_unref(duet->played);
	free(duet->here);
	free(duet->there);
	weft_process_free(duet->go);
}

/* The end of its stdin is Go's end. */
static void end_go(struct duet *duet)
{
	weft_process_status status;

	want_ok(weft_conn_shutdown(weft_process_conn(duet->go)));
	while (hear(duet))
		want(!is_tally(duet));
	want_ok(weft_process_wait(duet->go, &status, SOON));
	want(status.exited && status.code == 0);
}

/* As Go's programs do, it then closes the session; smux itself keeps the connection open. */
void duet_await_end(struct duet *duet)
{
	while (!duet->ended)
		(void)duet_line(duet);
	duet_say(duet, "die session");
}

void duet_end(struct duet *duet)
{
	want_empty(duet);
	want(weft_mux_is_alive(duet->mux));
	duet_say(duet, "streams");
	duet_await_line(duet, "streams 0");
	weft_mux_close(duet->mux);
	want(!weft_mux_is_alive(duet->mux));
	duet_await_end(duet);
	want_err(WEFT_ECLOSED, weft_mux_wait(duet->mux, SOON));
	end_go(duet);
	give_back(duet);
}

void duet_end_dead(struct duet *duet, weft_err why)
{
	weft_stream *stream;

	want_err(why, weft_mux_wait(duet->mux, SOON));
	want(!weft_mux_is_alive(duet->mux));
	want_err(why, weft_mux_open(duet->mux, &stream, SOON));
	want_err(why, weft_mux_accept(duet->mux, &stream, SOON));
	want_empty(duet);
	give_back(duet);
}

/* ---- all of them ---- */

static weft_err play_all(void *arg)
{
	struct duet *duets = arg;
	weft_deadline end;
	weft_scope *scope;

	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < DUETS; i++)
		want_ok(weft_scope_spawn_on(scope, i % weft_worker_count(), duets[i].name,
			duets[i].scenario, &duets[i]));
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	for (end = SOON; weft_fiber_count() > 1 && weft_now() < end;)
		want_ok(weft_sleep_ms(1));
	want(weft_fiber_count() == 1);
	return WEFT_OK;
}

void duets_play(weft_fiber_fn scenario, const weft_mux_options *options,
	const char *const *go_flags, bool versions_differ)
{
	static const char *const names[DUETS] = { "v1, weft is server", "v1, weft is client",
		"v2, weft is server", "v2, weft is client" };
	weft_run_options run = WEFT_RUN_OPTIONS_DEFAULT;
	struct duet duets[DUETS] = { 0 };
	int fds = t_fds_open();
	int64_t live = t_malloc_live();

	(void)t_seed(); /* made before others ask for it */
	run.workers = 2;
	for (unsigned i = 0; i < DUETS; i++) {
		struct duet *duet = &duets[i];

		duet->name = names[i];
		duet->version = 1 + i / 2;
		duet->go_version = versions_differ ? 3 - duet->version : duet->version;
		duet->client = i % 2 == 1;
		duet->options = *options;
		duet->options.version = duet->version;
		duet->go_flags = go_flags;
		duet->scenario = scenario;
	}
	ck_assert_int_eq(weft_run(play_all, duets, &run), WEFT_OK);
	ck_assert_int_eq(t_children(), 0);
	ck_assert_int_eq(t_fds_open(), fds);
	ck_assert_int_eq(t_malloc_live(), live);
}
