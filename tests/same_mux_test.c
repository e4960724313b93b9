/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=240 */
/*
 * Streams of a mux session, whatever carries it and whoever uses them (support/muxends.h):
 * what a program sees is the same.
 */
#include "support/ends.h"
#include "support/muxends.h"

static void echo_stream(weft_stream *stream)
{
	uint8_t data[3000];
	size_t got;
	weft_err err;

	while (!(err = weft_stream_read(stream, data, sizeof(data), &got, SOON)))
		OK(weft_stream_write(stream, data, got, NULL, SOON));
	FAILS(WEFT_ECLOSED, err);
	OK(weft_stream_shutdown(stream));
}

static void echo_all(void *arg)
{
	struct env *env = arg;
	weft_stream *stream;
	weft_err err;

	while (!(err = weft_mux_accept(env->server, &stream, SOON))) {
		echo_stream(stream);
		weft_stream_free(stream);
	}
	FAILS(WEFT_ECLOSED, err);
}

#define PAIRS 8

MUX_TEST(many_streams_are_echoed_at_once)
{
	struct pair pairs[PAIRS];
	struct party servers, clients;

	env_open(env);
	party_init(&servers, env);
	party_init(&clients, env);
	for (int i = 0; i < PAIRS; i++)
		party_start(&servers, echo_all, env);
	for (int i = 0; i < PAIRS; i++) {
		pairs[i] = (struct pair){ .env = env, .stream = open_stream(env->client) };
		pairs[i].bytes = 1 + (size_t)i * 9000;
		party_start(&clients, read_pair, &pairs[i]);
		party_start(&clients, write_pair, &pairs[i]);
	}
	party_end(&clients);
	for (int i = 0; i < PAIRS; i++)
		weft_stream_free(pairs[i].stream);
	weft_mux_close(env->server);
	party_end(&servers);
	env_close(env);
}

#define ASKED 30000

/* Answers only once it has all of the question. */
static void answer(void *arg)
{
	struct env *env = arg;
	weft_stream *stream;

	OK(weft_mux_accept(env->server, &stream, SOON));
	read_bytes(stream, ASKED);
	write_bytes(stream, ASKED);
	weft_stream_close(stream);
	weft_stream_free(stream);
}

MUX_TEST(an_answer_comes_after_the_half_close)
{
	struct pair pairs[3];
	struct party users;

	env_open(env);
	party_init(&users, env);
	for (int i = 0; i < 3; i++) {
		pairs[i] = (struct pair){ .stream = open_stream(env->client), .bytes = ASKED };
		party_start(&users, read_pair, &pairs[i]);
		party_start(&users, answer, env);
		party_start(&users, write_pair, &pairs[i]);
	}
	party_end(&users);
	for (int i = 0; i < 3; i++)
		weft_stream_free(pairs[i].stream);
	env_close(env);
}

static void serve_first(void *arg)
{
	struct env *env = arg;
	weft_stream *stream = open_stream(env->server);

	ck_assert_uint_eq(weft_stream_id(stream) % 2, 0);
	write_bytes(stream, ASKED);
	OK(weft_stream_shutdown(stream));
	read_bytes(stream, 0);
	weft_stream_free(stream);
}

static void take_served(void *arg)
{
	struct env *env = arg;
	weft_stream *stream;
	weft_err err;

	while (!(err = weft_mux_accept(env->client, &stream, SOON))) {
		read_bytes(stream, ASKED);
		weft_stream_free(stream);
	}
	FAILS(WEFT_ECLOSED, err);
}

MUX_TEST(the_server_opens_streams_too)
{
	struct party servers, clients;

	env_open(env);
	party_init(&servers, env);
	party_init(&clients, env);
	for (int i = 0; i < 3; i++)
		party_start(&clients, take_served, env);
	for (int i = 0; i < 6; i++)
		party_start(&servers, serve_first, env);
	party_end(&servers);
	weft_mux_close(env->client);
	party_end(&clients);
	env_close(env);
}

/* ---- a reader that comes late ---- */

#define LATE_BYTES ((size_t)600000)
#define LATE_ID 3

struct late {
	struct env *env;
	weft_semaphore *go;
};

static void read_late_or_echo(void *arg)
{
	struct late *late = arg;
	weft_stream *stream;
	weft_err err;

	while (!(err = weft_mux_accept(late->env->server, &stream, SOON))) {
		if (weft_stream_id(stream) == LATE_ID) {
			OK(weft_semaphore_acquire(late->go, 1, SOON));
			read_bytes(stream, LATE_BYTES);
		} else {
			echo_stream(stream);
		}
		weft_stream_free(stream);
	}
	FAILS(WEFT_ECLOSED, err);
}

MUX_TEST(a_late_reader_holds_up_its_own_stream_only)
{
	struct late late = { .env = env };
	struct pair stalled = { .bytes = LATE_BYTES }, running = { .bytes = 3 * ASKED };
	struct party servers, writer, others;
	weft_mux_stats stats;

	env_open(env);
	OK(weft_semaphore_create(&late.go, 0));
	party_init(&servers, env);
	party_init(&writer, env);
	party_init(&others, env);
	stalled.stream = open_stream(env->client);
	ck_assert_uint_eq(weft_stream_id(stalled.stream), LATE_ID);
	running.stream = open_stream(env->client);
	party_start(&servers, read_late_or_echo, &late);
	party_start(&servers, read_late_or_echo, &late);
	party_start(&writer, write_pair, &stalled);
	party_start(&others, read_pair, &running);
	party_start(&others, write_pair, &running);
	party_end(&others);
	weft_mux_stats_get(env->server, &stats);
	if (env->round->version == 2) {
		FAILS(WEFT_ETIMEDOUT, weft_waitgroup_wait(writer.busy, WEFT_NOW));
		ck_assert_uint_le(stats.unread, WEFT_MUX_INITIAL_WINDOW);
	} else { /* all of the session's streams share one buffer, which is larger */
		OK(weft_waitgroup_wait(writer.busy, SOON));
	}
	weft_semaphore_release(late.go, 1);
	party_end(&writer);
	weft_stream_free(running.stream);
	read_bytes(stalled.stream, 0);
	weft_stream_free(stalled.stream);
	weft_mux_close(env->server);
	party_end(&servers);
	weft_semaphore_free(late.go);
	env_close(env);
}

/* ---- many that come and go ---- */

#define CHURNERS 6
#define CHURN_ROUNDS 20

static void churn(void *arg)
{
	struct env *env = arg;
	uint8_t data[64], back[64];
	size_t at, got;

	for (int i = 0; i < CHURN_ROUNDS; i++) {
		weft_stream *stream = open_stream(env->client);

		fill(data, sizeof(data), base_of(stream));
		OK(weft_stream_write(stream, data, sizeof(data), NULL, SOON));
		for (at = 0; at < sizeof(back); at += got)
			OK(weft_stream_read(stream, back + at, sizeof(back) - at, &got, SOON));
		T_OUGHT(memcmp(data, back, sizeof(data)) == 0);
		if (i % 2)
			weft_stream_close(stream);
		weft_stream_free(stream);
	}
}

static void expect_streams(const weft_mux *mux, size_t streams)
{
	weft_deadline until = SOON;
	weft_mux_stats stats;

	for (;;) {
		weft_mux_stats_get(mux, &stats);
		if (stats.streams == streams)
			return;
		ck_assert(weft_now() < until);
		OK(weft_sleep_ms(1));
	}
}

MUX_TEST(streams_come_and_go)
{
	struct party servers, clients;
	weft_mux_stats stats;

	env_open(env);
	party_init(&servers, env);
	party_init(&clients, env);
	for (int i = 0; i < CHURNERS; i++) {
		party_start(&servers, echo_all, env);
		party_start(&clients, churn, env);
	}
	party_end(&clients);
	expect_streams(env->client, 0);
	expect_streams(env->server, 0);
	weft_mux_stats_get(env->client, &stats);
	ck_assert_uint_eq(stats.opened, CHURNERS * CHURN_ROUNDS);
	weft_mux_stats_get(env->server, &stats);
	ck_assert_uint_eq(stats.accepted, CHURNERS * CHURN_ROUNDS);
	ck_assert_uint_eq(stats.unread, 0);
	weft_mux_close(env->server);
	party_end(&servers);
	env_close(env);
}

/* ---- many who accept ---- */

#define ACCEPTERS 10

struct accepter {
	struct env *env;
	uint32_t id;
};

static void accept_one(void *arg)
{
	struct accepter *a = arg;
	weft_stream *stream = NULL;

	OK(weft_mux_accept(a->env->server, &stream, SOON));
	a->id = weft_stream_id(stream);
	read_bytes(stream, 100);
	weft_stream_free(stream);
}

MUX_TEST(each_stream_goes_to_one_of_many_who_accept)
{
	struct accepter accepters[ACCEPTERS];
	weft_stream *streams[ACCEPTERS];
	struct party servers;
	unsigned seen = 0;

	env_open(env);
	FAILS(WEFT_ETIMEDOUT, weft_mux_accept(env->server, &streams[0], WEFT_NOW));
	party_init(&servers, env);
	for (int i = 0; i < ACCEPTERS; i++) {
		accepters[i] = (struct accepter){ env, 0 };
		party_start(&servers, accept_one, &accepters[i]);
	}
	wait_parked(); /* not needed, but then they wait more often */
	for (int i = 0; i < ACCEPTERS; i++) {
		streams[i] = open_stream(env->client);
		write_bytes(streams[i], 100);
		OK(weft_stream_shutdown(streams[i]));
	}
	party_end(&servers);
	for (int i = 0; i < ACCEPTERS; i++) {
		seen |= 1u << (accepters[i].id - 3) / 2;
		read_bytes(streams[i], 0);
		weft_stream_free(streams[i]);
	}
	ck_assert_uint_eq(seen, (1u << ACCEPTERS) - 1);
	env_close(env);
}

static void same_mux_tests(TCase *tc)
{
	mux_add(tc, many_streams_are_echoed_at_once);
	mux_add(tc, an_answer_comes_after_the_half_close);
	mux_add(tc, the_server_opens_streams_too);
	mux_add(tc, a_late_reader_holds_up_its_own_stream_only);
	mux_add(tc, streams_come_and_go);
	mux_add(tc, each_stream_goes_to_one_of_many_who_accept);
}
T_SUITE("same/mux", same_mux_tests)
