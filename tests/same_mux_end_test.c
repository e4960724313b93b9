/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=240 */
/* Ends of streams and of sessions under those who use them, whoever that is. */
#include "support/ends.h"
#include "support/muxends.h"

#define NEVER_TAKEN ((size_t)32 << 20) /* more than buffers hold, whatever the transport */

static void read_forever(void *arg)
{
	struct pair *p = arg;
	uint8_t c;
	size_t got;

	p->read = weft_stream_read(p->stream, &c, 1, &got, SOON);
}

static void write_forever(void *arg)
{
	struct pair *p = arg;
	uint8_t *data = calloc(1, NEVER_TAKEN);
	size_t written = NEVER_TAKEN;

	ck_assert_ptr_nonnull(data);
	p->write = weft_stream_write(p->stream, data, NEVER_TAKEN, &written, SOON);
	ck_assert_uint_lt(written, NEVER_TAKEN);
	free(data);
}

static void accept_forever(void *arg)
{
	struct pair *p = arg;
	weft_stream *stream = NULL;

	p->read = weft_mux_accept(p->env->client, &stream, SOON);
	ck_assert_ptr_null(stream);
}

static void close_stream(void *arg)
{
	struct pair *p = arg;

	weft_stream_close(p->stream);
}

static void close_session(void *arg)
{
	struct pair *p = arg;

	weft_mux_close(p->env->client);
}

static void abort_session(void *arg)
{
	struct pair *p = arg;

	weft_mux_abort(p->env->client);
}

static void abort_peer(void *arg)
{
	struct pair *p = arg;

	weft_mux_abort(p->env->server);
}

/* A reader, a writer and somebody who accepts, and another who ends that. */
static void end_calls(struct env *env, void (*end)(void *arg), bool of_session, weft_err expected)
{
	struct pair p = { .env = env }, a = { .env = env };
	struct party users, enders;
	weft_stream *peer;

	env->options.max_receive_buffer = 65536;
	env->options.linger_ns = 20000000; /* nobody reads what is still to be sent */
	env_open(env);
	p.stream = open_stream(env->client);
	peer = accept_in_time(env->server);
	party_init(&users, env);
	party_init(&enders, env);
	party_start(&users, read_forever, &p);
	party_start(&users, write_forever, &p);
	if (of_session)
		party_start(&users, accept_forever, &a);
	wait_parked();
	party_start(&enders, end, &p);
	party_end(&enders);
	party_end(&users);
	ck_assert_int_eq(p.read, expected);
	ck_assert_int_eq(p.write, expected);
	if (of_session)
		ck_assert_int_eq(a.read, expected);
	weft_stream_free(p.stream);
	weft_stream_free(peer);
	env_close(env);
}

MUX_TEST(closing_a_stream_ends_calls_of_others)
{
	end_calls(env, close_stream, false, WEFT_ECLOSED);
}

MUX_TEST(closing_a_session_ends_calls_of_others)
{
	end_calls(env, close_session, true, WEFT_ECLOSED);
}

MUX_TEST(aborting_a_session_ends_calls_of_others)
{
	end_calls(env, abort_session, true, WEFT_ECLOSED);
}

MUX_TEST(a_session_that_the_peer_aborts_is_reset)
{
	end_calls(env, abort_peer, true, WEFT_ERESET);
}

/* ---- closers against readers and writers ---- */

#define RACES 12

static void read_until_error(void *arg)
{
	struct pair *p = arg;
	uint8_t data[512];
	size_t got, at = 0;

	while (!(p->read = weft_stream_read(p->stream, data, sizeof(data), &got, SOON))) {
		T_OUGHT(matches(data, got, base_of(p->stream) + at));
		at += got;
	}
}

static void write_until_error(void *arg)
{
	struct pair *p = arg;
	uint8_t data[700];
	size_t at = 0, written;

	do {
		fill(data, sizeof(data), base_of(p->stream) + at);
		p->write = weft_stream_write(p->stream, data, sizeof(data), &written, SOON);
		at += written;
	} while (!p->write);
	p->bytes = at;
}

/* What the peer writes goes round and round until one end closes. */
static void close_after_a_while(void *arg)
{
	struct pair *p = arg;
	weft_err err = WEFT_OK;

	for (unsigned i = weft_stream_id(p->stream) % 7; i > 0 && !err; i--)
		err = weft_yield();
	weft_stream_close(p->stream);
}

MUX_TEST(a_stream_may_be_closed_while_others_use_it)
{
	env_open(env);
	for (int i = 0; i < RACES; i++) {
		struct pair here = { .env = env }, there = { .env = env };
		struct party users;

		here.stream = open_stream(env->client);
		there.stream = accept_in_time(env->server);
		party_init(&users, env);
		party_start(&users, read_until_error, &here);
		party_start(&users, write_until_error, &there);
		party_start(&users, write_until_error, &here);
		party_start(&users, read_until_error, &there);
		party_start(&users, close_after_a_while, i % 2 ? &here : &there);
		if (i % 3 == 0)
			party_start(&users, close_after_a_while, i % 2 ? &there : &here);
		else
			party_start(&users, close_after_a_while, i % 2 ? &here : &there);
		if (i % 3) { /* the other end is told by a FIN; its writer never is */
			OK(weft_sleep_ms(1));
			weft_stream_close(i % 2 ? there.stream : here.stream);
		}
		party_end(&users);
		FAILS(WEFT_ECLOSED, here.read);
		FAILS(WEFT_ECLOSED, there.read);
		FAILS(WEFT_ECLOSED, here.write);
		FAILS(WEFT_ECLOSED, there.write);
		weft_stream_free(here.stream);
		weft_stream_free(there.stream);
	}
	env_close(env);
}

/* ---- slices ---- */

#define SLICES_MAX 64
#define SLICED 30000

struct slices {
	weft_stream *stream;
	weft_buf bufs[SLICES_MAX];
	unsigned len;
};

static void take_slices(void *arg)
{
	struct slices *s = arg;
	weft_err err = WEFT_OK;

	while (s->len < SLICES_MAX && !err) {
		err = weft_stream_read_buf(s->stream, &s->bufs[s->len], s->len % 3 * 500, SOON);
		if (!err)
			s->len++;
	}
	ck_assert_msg(!err || err == WEFT_ECLOSED, "%s", weft_err_name(err));
}

static void look_at_slices(void *arg)
{
	struct slices *s = arg;
	uint64_t at = base_of(s->stream);

	for (unsigned i = 0; i < s->len; i++) {
		T_OUGHT(matches(s->bufs[i].data, s->bufs[i].len, at));
		at += s->bufs[i].len;
		weft_buf_unref(&s->bufs[i]);
	}
}

MUX_TEST(slices_outlive_the_session)
{
	struct slices slices = { .len = 0 };
	struct pair from = { .bytes = SLICED };
	struct party users, last;
	weft_mux_stats stats;

	env_open(env);
	from.stream = open_stream(env->server);
	slices.stream = accept_in_time(env->client);
	party_init(&users, env);
	party_init(&last, env);
	party_start(&users, write_pair, &from);
	party_start(&users, take_slices, &slices);
	party_end(&users);
	ck_assert_uint_gt(slices.len, 1);
	weft_mux_stats_get(env->client, &stats);
	ck_assert_uint_gt(stats.memory, 0);
	weft_stream_free(from.stream);
	weft_mux_close(env->client);
	FAILS(WEFT_ECLOSED, weft_mux_wait(env->client, SOON));
	weft_mux_free(env->client);
	env->client = NULL;
	party_start(&last, look_at_slices, &slices);
	party_end(&last);
	weft_stream_free(slices.stream);
	env_close(env);
}

static void same_mux_end_tests(TCase *tc)
{
	mux_add(tc, closing_a_stream_ends_calls_of_others);
	mux_add(tc, closing_a_session_ends_calls_of_others);
	mux_add(tc, aborting_a_session_ends_calls_of_others);
	mux_add(tc, a_session_that_the_peer_aborts_is_reset);
	mux_add(tc, a_stream_may_be_closed_while_others_use_it);
	mux_add(tc, slices_outlive_the_session);
}
T_SUITE("same/mux_end", same_mux_end_tests)
