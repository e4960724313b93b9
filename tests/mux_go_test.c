/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=180 not=aarch64,tsan */
/*
 * weft's mux with Go's smux at the other end, over TCP. Each test plays its scenario in both
 * roles and both versions, four sessions at once; the digests of what each end sent and got
 * are compared, and after it no stream, memory, fiber, descriptor or child is left.
 */
#define _GNU_SOURCE
#include "support/gopeer.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MIB ((uint32_t)1 << 20)
#define MS ((int64_t)1000000)

static const weft_mux_options defaults = WEFT_MUX_OPTIONS_DEFAULT;
/* For Go: the window does not shrink with the first read. */
static const char *const whole_window[] = { "-window", "262144", NULL };

static void wait_ms(int64_t ms)
{
	want_ok(weft_sleep_ms(ms));
}

/* Polls: what is waited for is in the counters only. */
#define WAIT_UNTIL(cond)                                 \
	do {                                             \
		weft_deadline wait_end = SOON;           \
		while (!(cond) && weft_now() < wait_end) \
			wait_ms(1);                      \
		want(cond);                              \
	} while (0)

/* ---- bytes ---- */

static const struct bulk {
	uint32_t up, down; /* from weft, from Go */
	size_t frame;
	const char *const *go_flags;
} bulks[] = {
	{ 8 * MIB, 0, 32768, NULL },
	{ 0, 8 * MIB, 32768, NULL },
	{ 8 * MIB, 8 * MIB, 32768, NULL },
	{ 4 * MIB, 4 * MIB, 65535,
		(const char *const[]){ "-frame", "65535", "-window", "1048576", NULL } },
	{ MIB, MIB, 100, (const char *const[]){ "-frame", "100", NULL } },
};
#define BULKS (sizeof(bulks) / sizeof(bulks[0]))
static const struct bulk *bulk; /* the one that is tried */

static weft_err bulk_scenario(void *arg)
{
	struct duet *duet = arg;
	struct duet_part weft_opens = { duet, 'P', DUET_AT_ONCE, DUET_AT_ONCE, bulk->up, bulk->down,
		1, 1 };
	struct duet_part go_opens = weft_opens;

	go_opens.a = bulk->down;
	go_opens.b = bulk->up;
	duet_start(duet);
	duet_accept(duet);
	duet_open(&weft_opens);
	duet_match(duet, 1);
	duet_go_open(&go_opens);
	duet_match(duet, 2);
	want(duet_stats(duet).bytes_out >= 2 * (uint64_t)bulk->up);
	want(duet_stats(duet).bytes_in >= 2 * (uint64_t)bulk->down);
	duet_end(duet);
	return WEFT_OK;
}

START_TEST(bulk_goes_both_ways_whole)
{
	weft_mux_options options = defaults;

	bulk = &bulks[_i];
	options.max_frame_size = bulk->frame;
	duets_play(bulk_scenario, &options, bulk->go_flags, false);
}
END_TEST

static weft_err many_streams(void *arg)
{
	struct duet *duet = arg;
	struct duet_part part = { duet, 'P', DUET_AT_ONCE, DUET_AT_ONCE, 20000, 30000, 1, 200 };

	duet_start(duet);
	duet_accept(duet);
	duet_open(&part);
	duet_match(duet, 200);
	want(duet_stats(duet).opened == 200);
	duet_end(duet);
	return WEFT_OK;
}

START_TEST(two_hundred_streams_run_at_once)
{
	duets_play(many_streams, &defaults, NULL, false);
}
END_TEST

static weft_err many_streams_of_go(void *arg)
{
	struct duet *duet = arg;
	struct duet_part part = { duet, 'P', DUET_AT_ONCE, DUET_AT_ONCE, 20000, 30000, 1, 200 };

	duet_start(duet);
	duet_accept(duet);
	duet_go_open(&part);
	duet_match(duet, 200);
	want(duet_stats(duet).accepted == 200);
	duet_end(duet);
	return WEFT_OK;
}

START_TEST(two_hundred_streams_that_go_opened_run_at_once)
{
	duets_play(many_streams_of_go, &defaults, NULL, false);
}
END_TEST

static weft_err churn(void *arg)
{
	struct duet *duet = arg;
	struct duet_part part = { duet, 'P', DUET_AT_ONCE, DUET_AT_ONCE, 300, 500, 125, 16 };

	duet_start(duet);
	duet_accept(duet);
	duet_open(&part);
	duet_go_open(&part);
	duet_match(duet, 4000);
	duet_end(duet);
	return WEFT_OK;
}

START_TEST(both_ends_open_and_close_two_thousand_streams_each)
{
	duets_play(churn, &defaults, NULL, false);
}
END_TEST

/* ---- readers ---- */

static weft_err late_readers(void *arg)
{
	struct duet *duet = arg;
	struct duet_part part = { duet, 'P', DUET_LATE, DUET_LATE, 200000, 200000, 1, 5 };
	struct duet_part ping = { duet, 'P', DUET_AT_ONCE, DUET_AT_ONCE, 1, 1, 1, 1 };
	size_t all = 10 * 200000;

	duet_start(duet);
	duet_accept(duet);
	duet_open(&part);
	duet_go_open(&part);
	/* with headers that were read, while they share memory with what was not */
	WAIT_UNTIL(duet_stats(duet).unread >= all && duet_stats(duet).bytes_out >= all);
	/* A stream of its own goes its way meanwhile; and what Go answers to it tells that
	 * Go has received all that was sent before. */
	duet_open(&ping);
	duet_match(duet, 1);
	want(duet_stats(duet).unread - all <= (size_t)5 * DUET_HEADER_SIZE);
	duet_release(duet);
	duet_match(duet, 11);
	duet_end(duet);
	return WEFT_OK;
}

START_TEST(late_readers_get_what_came_before_them)
{
	weft_mux_options options = defaults;

	options.max_stream_buffer = WEFT_MUX_INITIAL_WINDOW;
	duets_play(late_readers, &options, whole_window, false);
}
END_TEST

static weft_err late_acceptor(void *arg)
{
	struct duet *duet = arg;
	struct duet_part part = { duet, 'P', DUET_AT_ONCE, DUET_AT_ONCE, 50000, 50000, 1, 20 };

	duet_start(duet);
	duet_go_open(&part);
	/* with their headers */
	WAIT_UNTIL(duet_stats(duet).unread == (size_t)20 * (50000 + DUET_HEADER_SIZE));
	duet_accept(duet);
	duet_match(duet, 20);
	duet_end(duet);
	return WEFT_OK;
}

START_TEST(streams_keep_what_came_before_they_were_accepted)
{
	duets_play(late_acceptor, &defaults, NULL, false);
}
END_TEST

static weft_err slow_readers(void *arg)
{
	struct duet *duet = arg;
	struct duet_part part = { duet, 'P', DUET_SLOWLY, DUET_SLOWLY, MIB, MIB, 1, 2 };

	duet_start(duet);
	duet_accept(duet);
	duet_open(&part);
	duet_go_open(&part);
	duet_match(duet, 4);
	duet_end(duet);
	return WEFT_OK;
}

START_TEST(slow_readers_slow_their_writers)
{
	duets_play(slow_readers, &defaults, NULL, false);
}
END_TEST

/* Nobody reads the stalled streams until the others are done. In version 2 they carry more
 * than a bucket; in version 1, where nothing else holds them back, less. */
static weft_err stalled(void *arg)
{
	struct duet *duet = arg;
	bool windows = duet->version == 2;
	uint32_t size = windows ? 6 * MIB : MIB;
	struct duet_part stalls = { duet, 'P', DUET_LATE, DUET_LATE, size, size, 1, 1 };
	struct duet_part runs = { duet, 'P', DUET_AT_ONCE, DUET_AT_ONCE, MIB, MIB, 1, 2 };

	duet_start(duet);
	duet_accept(duet);
	duet_open(&stalls);
	duet_go_open(&stalls);
	/* The second stream's window may be down to the options' with the header read. */
	WAIT_UNTIL(duet_stats(duet).unread >=
		(windows ? WEFT_MUX_INITIAL_WINDOW + defaults.max_stream_buffer : 2 * size));
	duet_open(&runs);
	duet_go_open(&runs);
	duet_match(duet, 4);
	want(duet_stats(duet).unread <=
		(windows ? 2 * WEFT_MUX_INITIAL_WINDOW : 2 * size + DUET_HEADER_SIZE));
	duet_release(duet);
	duet_match(duet, 6);
	duet_end(duet);
	return WEFT_OK;
}

START_TEST(streams_run_on_beside_stalled_ones)
{
	duets_play(stalled, &defaults, NULL, false);
}
END_TEST

static weft_err small_buckets(void *arg)
{
	struct duet *duet = arg;
	struct duet_part part = { duet, 'P', DUET_LATE, DUET_LATE, 300000, 300000, 1, 8 };

	duet_start(duet);
	duet_accept(duet);
	duet_open(&part);
	duet_go_open(&part);
	WAIT_UNTIL(duet_stats(duet).stalls_buffer > 0);
	duet_release(duet);
	duet_match(duet, 16);
	duet_end(duet);
	return WEFT_OK;
}

START_TEST(everything_arrives_through_small_buckets)
{
	const char *const go_flags[] = { "-receive", "65536", "-window", "32768", NULL };
	weft_mux_options options = defaults;

	options.max_receive_buffer = 65536;
	options.max_stream_buffer = 32768;
	duets_play(small_buckets, &options, go_flags, false);
}
END_TEST

/* ---- ends of streams ---- */

/* Go's release can't close half of a stream, and answers after ours within one window; or
 * not at all, which is its affair: then only the end of the stream is looked at. */
static weft_err half_closes(void *arg)
{
	struct duet *duet = arg;
	struct duet_part asks = { duet, 'H', DUET_AT_ONCE, DUET_AT_ONCE, MIB, 200000, 3, 2 };
	struct duet_part is_asked = { duet, 'R', DUET_AT_ONCE, DUET_AT_ONCE, 200000, MIB, 3, 2 };

	duet_start(duet);
	duet_say(duet, "answers");
	if (strcmp(duet_line(duet), "answers true") != 0) {
		want(strcmp(duet->line, "answers false") == 0);
		asks.b = is_asked.a = 0;
	}
	duet_accept(duet);
	duet_open(&asks);
	duet_go_open(&is_asked);
	duet_match(duet, 12);
	duet_end(duet);
	return WEFT_OK;
}

START_TEST(after_a_half_close_go_answers)
{
	weft_mux_options options = defaults;

	options.max_stream_buffer = WEFT_MUX_INITIAL_WINDOW;
	duets_play(half_closes, &options, NULL, false);
}
END_TEST

/* Streams over the backlog end at once; nothing waits for their being accepted. Go's release
 * may overhear the end of a stream that it opens just then, and keep it. */
static weft_err full_backlog(void *arg)
{
	struct duet *duet = arg;
	struct duet_part part = { duet, 'P', DUET_AT_ONCE, DUET_AT_ONCE, 1000, 1000, 1, 20 };
	struct duet_part runs = { duet, 'P', DUET_AT_ONCE, DUET_AT_ONCE, MIB, MIB, 1, 1 };

	duet_start(duet);
	duet->is_dying = true; /* Go finds the refused ones in error */
	duet_go_open(&part);
	WAIT_UNTIL(duet_stats(duet).refused == 12);
	duet_open(&runs);
	duet_match(duet, 1);
	duet_accept(duet);
	duet_match(duet, 9);
	want(duet_stats(duet).accepted == 8 && duet_stats(duet).refused == 12);
	weft_mux_close(duet->mux);
	duet_await_end(duet);
	duet_end_dead(duet, WEFT_ECLOSED);
	return WEFT_OK;
}

START_TEST(a_full_backlog_refuses_and_holds_nothing_up)
{
	weft_mux_options options = defaults;

	options.accept_backlog = 8;
	duets_play(full_backlog, &options, NULL, false);
}
END_TEST

/* ---- ends of sessions ---- */

/* Go reads only once the connection has ended. */
static weft_err written_before_close(void *arg)
{
	struct duet *duet = arg;
	struct duet_part part = { duet, 'P', DUET_AT_ONCE, DUET_LATE, 250000, 8, 1, 1 };
	weft_stream *stream;
	uint32_t id;
	uint64_t sent;
	char answer[8];
	size_t got;

	duet_start(duet);
	stream = duet_open_one(&part);
	id = weft_stream_id(stream);
	/* Go has taken the stream */
	want_ok(weft_stream_read(stream, answer, sizeof(answer), &got, SOON));
	sent = duet_write(duet, stream, part.a);
	weft_mux_close(duet->mux);
	duet_await_end(duet);
	duet_say(duet, "release");
	duet_await_streams(duet, 1);
	want(duet->there[id].received == sent);
	weft_stream_free(stream);
	duet_end_dead(duet, WEFT_ECLOSED);
	return WEFT_OK;
}

START_TEST(what_was_written_before_a_close_arrives)
{
	duets_play(written_before_close, &defaults, whole_window, false);
}
END_TEST

/* What waits in a session when its peer dies, each in a fiber of its own. */
static weft_err reads_to_death(void *arg)
{
	char data[10];
	size_t got;

	want_err(WEFT_ERESET, weft_stream_read(arg, data, sizeof(data), &got, SOON));
	want_err(WEFT_ERESET, weft_stream_read(arg, data, sizeof(data), &got, SOON));
	return WEFT_OK;
}

static weft_err writes_to_death(void *arg)
{
	static const char data[16384];
	weft_err err;

	while ((err = weft_stream_write(arg, data, sizeof(data), NULL, SOON)) == WEFT_OK)
		;
	want_err(WEFT_ERESET, err);
	want_err(WEFT_ERESET, weft_stream_shutdown(arg));
	return WEFT_OK;
}

static weft_err accepts_to_death(void *arg)
{
	weft_stream *stream;

	want_err(WEFT_ERESET, weft_mux_accept(arg, &stream, SOON));
	return WEFT_OK;
}

static weft_err waits_to_death(void *arg)
{
	want_err(WEFT_ERESET, weft_mux_wait(arg, SOON));
	return WEFT_OK;
}

/* How Go goes: "die ..." is a command, the others are signals. */
static const char *const deaths[] = { "die fin", "die close", "die rst", "die session", "die exit",
	"kill", "stop" };
#define DEATHS (sizeof(deaths) / sizeof(deaths[0]))
#define SILENCE_MS 1000
static const char *death; /* the one that is tried */

static void let_die(struct duet *duet)
{
	if (strcmp(death, "kill") == 0)
		want_ok(weft_process_kill(duet->go, SIGKILL));
	else if (strcmp(death, "stop") == 0)
		want_ok(weft_process_kill(duet->go, SIGSTOP));
	else
		duet_say(duet, "%s", death);
}

static weft_err deadly(void *arg)
{
	struct duet *duet = arg;
	/* Go never has what it waits for, and never reads the second. */
	struct duet_part part = { duet, 'P', DUET_AT_ONCE, DUET_LATE, UINT32_MAX, 0, 1, 1 };
	weft_stream *streams[3];
	weft_deadline begin;
	weft_scope *scope;

	duet_start(duet);
	for (unsigned i = 0; i < 3; i++)
		streams[i] = duet_open_one(&part);
	want_ok(weft_scope_create(&scope));
	want_ok(weft_scope_spawn(scope, duet->name, reads_to_death, streams[0]));
	want_ok(weft_scope_spawn_on(scope, 0, duet->name, writes_to_death, streams[1]));
	want_ok(weft_scope_spawn_on(scope, 1, duet->name, accepts_to_death, duet->mux));
	want_ok(weft_scope_spawn(scope, duet->name, waits_to_death, duet->mux));
	WAIT_UNTIL(duet_stats(duet).bytes_out >= 65536);
	begin = weft_now();
	let_die(duet);
	want_ok(weft_scope_wait(scope, SOON));
	weft_scope_free(scope);
	if (strcmp(death, "stop") == 0) /* ... of which Go was heard up to an interval ago */
		want(weft_now() - begin > SILENCE_MS * MS / 2);
	/* Nobody was in a call on this one. */
	(void)reads_to_death(streams[2]);
	(void)writes_to_death(streams[2]);
	for (unsigned i = 0; i < 3; i++)
		weft_stream_free(streams[i]);
	duet_end_dead(duet, WEFT_ERESET);
	return WEFT_OK;
}

START_TEST(all_calls_end_with_a_reset_when_the_peer_dies)
{
	const char *const go_flags[] = { "-interval", "100ms", "-receive", "65536", NULL };
	weft_mux_options options = defaults;

	death = deaths[_i];
	options.keepalive_interval_ns = 100 * MS;
	options.keepalive_timeout_ns = SILENCE_MS * MS;
	duets_play(deadly, &options, go_flags, false);
}
END_TEST

static weft_err foreign(void *arg)
{
	struct duet *duet = arg;
	struct duet_part part = { duet, 'P', DUET_AT_ONCE, DUET_AT_ONCE, 10, 10, 1, 1 };
	weft_stream *stream, *other;
	char data[1];
	size_t got;

	duet_start(duet);
	duet->is_dying = true;
	stream = duet_open_one(&part);
	duet_await_line(duet, "ended invalid protocol");
	duet_go_open(&part);
	want_err(WEFT_EPROTO, weft_mux_accept(duet->mux, &other, SOON));
	want_err(WEFT_EPROTO, weft_stream_read(stream, data, sizeof(data), &got, SOON));
	want_err(WEFT_EPROTO, weft_stream_write(stream, data, sizeof(data), NULL, SOON));
	weft_stream_free(stream);
	duet_end_dead(duet, WEFT_EPROTO);
	return WEFT_OK;
}

START_TEST(another_version_is_a_protocol_error)
{
	duets_play(foreign, &defaults, NULL, true);
}
END_TEST

/* ---- keepalive ---- */

static weft_err idle(void *arg)
{
	struct duet *duet = arg;
	struct duet_part part = { duet, 'P', DUET_AT_ONCE, DUET_AT_ONCE, 1000, 1000, 1, 1 };
	weft_mux_stats before, after;

	duet_start(duet);
	duet_accept(duet);
	duet_open(&part);
	duet_match(duet, 1);
	before = duet_stats(duet);
	/* Each end looks for signs of life at least twice. */
	wait_ms(5 * SILENCE_MS / 2);
	after = duet_stats(duet);
	want(after.frames_in - before.frames_in >= 5 && after.frames_out - before.frames_out >= 5);
	want(after.bytes_in == before.bytes_in && after.bytes_out == before.bytes_out);
	duet_go_open(&part);
	duet_match(duet, 2);
	duet_end(duet);
	return WEFT_OK;
}

START_TEST(keepalive_keeps_an_idle_session_alive_at_both_ends)
{
	const char *const go_flags[] = { "-interval", "100ms", "-timeout", "1s", NULL };
	weft_mux_options options = defaults;

	options.keepalive_interval_ns = 100 * MS;
	options.keepalive_timeout_ns = SILENCE_MS * MS;
	duets_play(idle, &options, go_flags, false);
}
END_TEST

/* Go's frames, those of its keepalive too, wait for longer than the time-out. */
static weft_err stall_of_its_own(void *arg)
{
	struct duet *duet = arg;
	struct duet_part part = { duet, 'P', DUET_AT_ONCE, DUET_LATE, 2 * MIB, 1000, 1, 4 };

	duet_start(duet);
	duet_accept(duet);
	duet_go_open(&part);
	WAIT_UNTIL(duet_stats(duet).stalls_buffer > 0);
	wait_ms(5 * SILENCE_MS / 2);
	duet_release(duet);
	duet_match(duet, 4);
	duet_end(duet);
	return WEFT_OK;
}

START_TEST(a_session_that_its_own_bucket_stalls_is_not_dead)
{
	const char *const go_flags[] = { "-interval", "100ms", NULL };
	weft_mux_options options = defaults;

	options.keepalive_interval_ns = 100 * MS;
	options.keepalive_timeout_ns = SILENCE_MS * MS;
	options.max_receive_buffer = 65536;
	duets_play(stall_of_its_own, &options, go_flags, false);
}
END_TEST

/* This process does not run for longer than the time-out: what Go sent meanwhile is heard. */
static weft_err busy(void *arg)
{
	struct duet *duet = arg;
	struct duet_part part = { duet, 'P', DUET_AT_ONCE, DUET_AT_ONCE, 1000, 1000, 1, 1 };
	weft_deadline end;

	duet_start(duet);
	duet_accept(duet);
	duet_open(&part);
	duet_match(duet, 1);
	for (end = weft_after_ms(5 * SILENCE_MS / 4); weft_now() < end;)
		usleep(1000);
	duet_go_open(&part);
	duet_match(duet, 2);
	duet_end(duet);
	return WEFT_OK;
}

START_TEST(a_worker_that_was_busy_takes_no_peer_for_dead)
{
	const char *const go_flags[] = { "-interval", "100ms", NULL };
	weft_mux_options options = defaults;

	options.keepalive_interval_ns = 100 * MS;
	options.keepalive_timeout_ns = SILENCE_MS * MS;
	duets_play(busy, &options, go_flags, false);
}
END_TEST

static weft_err silent(void *arg)
{
	struct duet *duet = arg;

	duet_start(duet);
	duet->is_dying = true;
	while (!duet->ended)
		(void)duet_line(duet);
	want(duet_stats(duet).frames_out == 0);
	duet_end_dead(duet, WEFT_ERESET);
	return WEFT_OK;
}

START_TEST(without_keepalive_nothing_is_sent_and_go_gives_up)
{
	const char *const go_flags[] = { "-interval", "100ms", "-timeout", "300ms", NULL };
	weft_mux_options options = defaults;

	options.keepalive_disabled = true;
	duets_play(silent, &options, go_flags, false);
}
END_TEST

static void mux_go_tests(TCase *tc)
{
	t_add_loop(tc, bulk_goes_both_ways_whole, 0, BULKS);
	t_add(tc, two_hundred_streams_run_at_once);
	t_add(tc, two_hundred_streams_that_go_opened_run_at_once);
	t_add(tc, both_ends_open_and_close_two_thousand_streams_each);
	t_add(tc, late_readers_get_what_came_before_them);
	t_add(tc, streams_keep_what_came_before_they_were_accepted);
	t_add(tc, slow_readers_slow_their_writers);
	t_add(tc, streams_run_on_beside_stalled_ones);
	t_add(tc, everything_arrives_through_small_buckets);
	t_add(tc, after_a_half_close_go_answers);
	t_add(tc, a_full_backlog_refuses_and_holds_nothing_up);
	t_add(tc, what_was_written_before_a_close_arrives);
	t_add_loop(tc, all_calls_end_with_a_reset_when_the_peer_dies, 0, DEATHS);
	t_add(tc, another_version_is_a_protocol_error);
	t_add(tc, keepalive_keeps_an_idle_session_alive_at_both_ends);
	t_add(tc, a_session_that_its_own_bucket_stalls_is_not_dead);
	t_add(tc, a_worker_that_was_busy_takes_no_peer_for_dead);
	t_add(tc, without_keepalive_nothing_is_sent_and_go_gives_up);
}
T_SUITE("mux_go", mux_go_tests)
