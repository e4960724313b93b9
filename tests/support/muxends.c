/* SPDX-License-Identifier: MIT */
#include "support/muxends.h"

#include "support/ends.h"

#define SIM_SEEDS 3

static const struct round rounds[] = {
	{ make_tcp, FIBERS_1, 1 },
	{ make_tcp, FIBERS_1, 2 },
	{ make_tcp, FIBERS_2, 1 },
	{ make_tcp, FIBERS_2, 2 },
	{ make_tcp, THREADS, 1 },
	{ make_tcp, THREADS, 2 },
	{ make_unix, FIBERS_2, 1 },
	{ make_unix, MIXED, 2 },
	{ make_memory, FIBERS_1, 2 },
	{ make_memory, MIXED, 1 },
	{ make_memory, THREADS, 2 },
	{ make_sim, SIMULATED, 1 },
	{ make_sim, SIMULATED, 2 },
};
#define ROUNDS ((int)(sizeof(rounds) / sizeof(rounds[0])))

void party_init(struct party *p, const struct env *env)
{
	memset(p, 0, sizeof(*p));
	p->mode = env->round->mode;
	OK(weft_waitgroup_create(&p->busy));
}

static weft_err user_fiber(void *arg)
{
	struct user *u = arg;

	u->fn(u->arg);
	weft_waitgroup_done(u->party->busy);
	return WEFT_OK;
}

static void *user_thread(void *arg)
{
	(void)user_fiber(arg);
	return NULL;
}

void party_start(struct party *p, void (*fn)(void *arg), void *arg)
{
	struct user *u = &p->users[p->len];

	ck_assert_uint_lt(p->len, USERS_MAX);
	*u = (struct user){ .party = p, .fn = fn, .arg = arg };
	u->is_thread = p->mode == THREADS || (p->mode == MIXED && p->len % 2);
	weft_waitgroup_add(p->busy, 1);
	if (u->is_thread)
		ck_assert_int_eq(pthread_create(&u->thread, NULL, user_thread, u), 0);
	else if (p->mode == SIMULATED)
		OK(weft_spawn(&u->fiber, "user", user_fiber, u));
	else
		OK(weft_spawn_on(
			p->len / 2 % weft_worker_count(), &u->fiber, "user", user_fiber, u));
	p->len++;
}

void party_end(struct party *p)
{
	OK(weft_waitgroup_wait(p->busy, SOON));
	for (unsigned i = 0; i < p->len; i++) {
		if (p->users[i].is_thread)
			ck_assert_int_eq(pthread_join(p->users[i].thread, NULL), 0);
		else
			OK(weft_fiber_join(p->users[i].fiber, NULL, SOON));
	}
	weft_waitgroup_free(p->busy);
}

/* ---- the session ---- */

static weft_err make_server(void *arg)
{
	struct env *env = arg;

	return weft_mux_create_own(&env->server, env->conns[1], WEFT_MUX_SERVER, &env->options);
}

/* The server's fibers live on the last worker. */
void env_open(struct env *env)
{
	weft_fiber *fiber = NULL;

	OK(env->round->make(env->conns));
	OK(weft_mux_create_own(&env->client, env->conns[0], WEFT_MUX_CLIENT, &env->options));
	if (env->round->mode == SIMULATED)
		OK(weft_spawn(&fiber, "server", make_server, env));
	else
		OK(weft_spawn_on(weft_worker_count() - 1, &fiber, "server", make_server, env));
	join(fiber);
}

static void expect_empty(weft_mux *mux)
{
	weft_mux_stats stats;
	weft_err err = weft_mux_wait(mux, SOON);

	ck_assert_msg(err == WEFT_ECLOSED || err == WEFT_ERESET, "%s", weft_err_name(err));
	weft_mux_stats_get(mux, &stats);
	ck_assert_uint_eq(stats.streams, 0);
	ck_assert_uint_eq(stats.unread, 0);
	ck_assert_uint_eq(stats.memory, 0);
}

/* Streams must have been freed. */
void env_close(struct env *env)
{
	if (env->client) {
		weft_mux_close(env->client);
		expect_empty(env->client);
		weft_mux_free(env->client);
	}
	weft_mux_close(env->server);
	expect_empty(env->server);
	weft_mux_free(env->server);
}

static weft_err run_body(void *arg)
{
	struct env *env = arg;
	uint64_t fibers = weft_fiber_count();
	weft_deadline until = SOON;

	env->options = (weft_mux_options)WEFT_MUX_OPTIONS_DEFAULT;
	env->options.version = env->round->version;
	env->body(env);
	while (weft_fiber_count() > fibers && weft_now() < until)
		OK(weft_sleep_ms(1));
	ck_assert_uint_eq(weft_fiber_count(), fibers);
	return WEFT_OK;
}

static void run_simulated(struct env *env)
{
	uint64_t state = t_seed();

	for (int i = 0; i < SIM_SEEDS; i++) {
		weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
		weft_sim_result result;

		options.seed = t_random(&state);
		options.partial_permille = (unsigned)i * 200;
		OK(weft_sim_run(run_body, env, &options, &result));
		ck_assert_uint_eq(result.fibers_left, 0);
		ck_assert_uint_eq(result.sockets_left, 0);
	}
}

int mux_rounds(void)
{
	return ROUNDS;
}

void mux_run_round(int i, void (*body)(struct env *env))
{
	const struct round *round = &rounds[i];
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;
	struct env env = { .round = round, .body = body };
	int fds = t_fds_open();

	options.workers = round->mode == FIBERS_1 ? 1 : 2;
	if (round->mode == SIMULATED)
		run_simulated(&env);
	else
		OK(weft_run(run_body, &env, &options));
	ck_assert_int_eq(t_fds_open(), fds);
}

/* ---- what users do ---- */

weft_stream *open_stream(weft_mux *mux)
{
	weft_stream *stream = NULL;

	OK(weft_mux_open(mux, &stream, SOON));
	return stream;
}

weft_stream *accept_in_time(weft_mux *mux)
{
	weft_stream *stream = NULL;

	OK(weft_mux_accept(mux, &stream, SOON));
	return stream;
}

uint64_t base_of(const weft_stream *stream)
{
	return weft_stream_id(stream) * UINT64_C(1000003);
}

void write_bytes(weft_stream *stream, size_t bytes)
{
	uint8_t data[6000];
	size_t at = 0, written;

	while (at < bytes) {
		size_t n = 1 + at * 7919 % sizeof(data);

		n = n < bytes - at ? n : bytes - at;
		fill(data, n, base_of(stream) + at);
		OK(weft_stream_write(stream, data, n, &written, SOON));
		T_OUGHT(written == n);
		at += n;
	}
}

void read_bytes(weft_stream *stream, size_t bytes)
{
	uint8_t data[5000];
	size_t at = 0, got;
	weft_err err;

	while (!(err = weft_stream_read(stream, data, sizeof(data), &got, SOON))) {
		T_OUGHT(at + got <= bytes);
		T_OUGHT(matches(data, got, base_of(stream) + at));
		at += got;
	}
	FAILS(WEFT_ECLOSED, err);
	ck_assert_uint_eq(at, bytes);
}

void write_pair(void *arg)
{
	struct pair *p = arg;
	uint8_t c = 0;

	write_bytes(p->stream, p->bytes);
	OK(weft_stream_shutdown(p->stream));
	FAILS(WEFT_ECLOSED, weft_stream_write(p->stream, &c, 1, NULL, SOON));
}

void read_pair(void *arg)
{
	struct pair *p = arg;

	read_bytes(p->stream, p->bytes);
}
