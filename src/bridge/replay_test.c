/* SPDX-License-Identifier: MIT */
/* Replays by themselves: without memory, with clients and servers in this process. */
#define _DEFAULT_SOURCE
#include "support/both.h"

#include "bridge/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE(session, direction, message)                                                     \
	"{\"time\":\"2026-11-21T00:00:00.000000Z\",\"run\":\"00000001\",\"session\":" session \
	",\"direction\":\"" direction "\",\"message\":{\"jsonrpc\":\"2.0\"," message "}}\n"
#define UP(session, message) LINE(session, "to_server", message)
#define DOWN(session, message) LINE(session, "to_client", message)

static const char talk[] = UP("1",
	"\"id\":1,\"method\":\"a\",\"params\":{\"x\":[1,{\"y\":\"\\u0041\"}],"
	"\"_meta\":{\"progressToken\":9}}") DOWN("1",
	"\"method\":\"notifications/progress\",\"params\":{\"progressToken\":9}") DOWN("1",
	"\"id\":\"q\",\"method\":\"ask\"") UP("1", "\"id\":\"q\",\"result\":{\"z\":1}") UP("2",
	"\"id\":1,\"method\":\"b\"") DOWN("1", "\"id\":1,\"result\":{\"k\":1,\"l\":[2.50,\"s\"]}")
	UP("1", "\"method\":\"notifications/said\"") DOWN(
		"2", "\"id\":1,\"error\":{\"code\":-5,\"message\":\"no \\\"b\\\"\",\"data\":[1]}");

static struct {
	char path[64];
	int64_t patience_ns; /* 0: as usual */
	unsigned differences;
	char text[256]; /* of the last */
} s;

static void file_make(const char *text)
{
	static const char form[] = "/tmp/weft-replay-XXXXXX";
	int fd;

	memcpy(s.path, form, sizeof(form));
	fd = mkstemp(s.path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void on_difference(void *user, const weft_replay_difference *d)
{
	(void)user;
	s.differences++;
	(void)snprintf(s.text, sizeof(s.text), "%s: %s", d->method, d->text);
}

static weft_err open_it(weft_replay **out)
{
	weft_replay_options options = WEFT_REPLAY_OPTIONS_DEFAULT;

	options.file = s.path;
	options.speed = 0;
	options.read_timeout_ns = s.patience_ns;
	options.on_difference = on_difference;
	return weft_replay_open(out, &options);
}

/* ---- values ---- */

static weft_json json(const char *text)
{
	return (weft_json){ text, strlen(text) };
}

static uint64_t hash_of(const char *text)
{
	struct hash_seed seed;
	uint64_t hash;

	hash_seed_from(&seed, 1);
	ck_assert_int_eq(replay_hash(&seed, json(text), &hash), WEFT_OK);
	return hash;
}

START_TEST(values_are_the_same_however_they_are_written)
{
	static const char *const same[][2] = {
		{ "{\"a\":1,\"b\":[true,null]}",
			" { \"b\" : [ true , null ] , \"\\u0061\" : 1 } " },
		{ "\"\\u00e9\"", "\"\xc3\xa9\"" },
		{ "{}", "{ }" },
		{ "10", "10" },
	};
	static const char *const other[][2] = {
		{ "{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}" },
		{ "[1,2]", "[2,1]" },
		{ "[]", "{}" },
		{ "[]", "[null]" },
		{ "[[1],2]", "[1,[2]]" },
		{ "\"1\"", "1" },
		{ "\"null\"", "null" },
		{ "{\"a\":{\"b\":1}}", "{\"b\":{\"a\":1}}" },
		{ "{\"a\":1}", "{\"a\":1,\"b\":1}" },
		{ "[{\"a\":1},{}]", "[{},{\"a\":1}]" },
		{ "true", "false" },
		{ "0", "false" },
	};

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		ck_assert_uint_eq(hash_of(same[i][0] + strspn(same[i][0], " ")),
			hash_of(same[i][1] + strspn(same[i][1], " ")));
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		ck_assert_uint_ne(hash_of(other[i][0]), hash_of(other[i][1]));
}
END_TEST

START_TEST(a_difference_is_said_as_close_as_it_can_be)
{
	static const struct {
		const char *recorded, *came, *said;
	} known[] = {
		{ "1", "2", "recorded 1, came 2" },
		{ "{\"a\":[0,{\"b\":1}]}", "{\"a\":[0,{\"b\":\"1\"}]}",
			"a[1].b: recorded 1, came \"1\"" },
		{ "[1]", "[1,2]", "[1]: is not in the recording: 2" },
		{ "[1,2]", "[1]", "[1]: did not come: 2" },
		{ "{\"a\":1}", "{}", "a: did not come: 1" },
		{ "{}", "{\"a\":1}", "a: is not in the recording: 1" },
		{ "{}", "[]", "recorded {}, came []" },
	};
	struct hash_seed seed;
	char said[256];

	hash_seed_from(&seed, 1);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		replay_differ(
			&seed, json(known[i].recorded), json(known[i].came), said, sizeof(said));
		ck_assert_str_eq(said, known[i].said);
	}
}
END_TEST

/* ---- both sides in one process ---- */

/* user: a channel of the server's ends of what was connected */
static weft_err one_accept(void *user, weft_transport **out, weft_deadline until)
{
	return weft_chan_recv(user, out, until);
}

static void chan_close(void *user)
{
	weft_chan_close(user);
}

static void nothing(void *user)
{
	(void)user;
}

static weft_err one_connect(void *user, weft_transport **out, weft_deadline until)
{
	weft_transport *ends[2];
	weft_err err = weft_transport_pair(ends, 0, NULL);

	if (err)
		return err;
	err = weft_chan_send(user, &ends[1], until);
	if (err) {
		weft_transport_free(ends[0]);
		weft_transport_free(ends[1]);
		return err;
	}
	*out = ends[0];
	return WEFT_OK;
}

struct served {
	weft_replay *replay;
	weft_incoming *incoming;
};

static weft_err serve_fiber(void *arg)
{
	struct served *served = arg;

	return weft_replay_serve(served->replay, served->incoming);
}

static weft_err both_sides(weft_replay *as_client, weft_replay *as_server, weft_chan *ends)
{
	static const weft_incoming_ops in = { one_accept, chan_close, nothing };
	static const weft_outgoing_ops out = { one_connect, nothing };
	struct served served = { as_server, NULL };
	weft_outgoing *outgoing = NULL;
	weft_transport *left;
	weft_scope *scope = NULL;
	weft_err err = weft_incoming_create(&served.incoming, &in, ends, "test"), other;

	if (!err)
		err = weft_outgoing_create(&outgoing, &out, ends, "test");
	if (!err)
		err = weft_scope_create(&scope);
	if (!err)
		err = weft_scope_spawn(scope, "server", serve_fiber, &served);
	if (!err)
		err = weft_replay_play(as_client, outgoing);
	weft_chan_close(ends);
	if (scope) {
		other = weft_scope_wait(scope, WEFT_FOREVER);
		err = err ? err : other;
	}
	weft_scope_free(scope);
	while (!weft_chan_try_recv(ends, &left))
		weft_transport_free(left);
	weft_outgoing_free(outgoing);
	weft_incoming_free(served.incoming);
	return err;
}

static weft_err play_it(weft_replay_stats *stats)
{
	weft_replay *as_client = NULL, *as_server = NULL;
	weft_chan *ends = NULL;
	weft_err err = open_it(&as_client);

	if (!err)
		err = open_it(&as_server);
	if (!err)
		err = weft_chan_create(&ends, sizeof(weft_transport *), 4, NULL);
	if (!err)
		err = both_sides(as_client, as_server, ends);
	if (!err)
		weft_replay_stats_get(as_client, stats);
	if (ends)
		weft_chan_unref(ends);
	weft_replay_free(as_client);
	weft_replay_free(as_server);
	return err;
}

static weft_err play_fiber(void *arg)
{
	weft_replay_stats stats;

	(void)arg;
	want_ok(play_it(&stats));
	want(stats.sessions == 2 && stats.requests == 2 && stats.notifications == 1);
	want(stats.same == 2 && stats.different == 0 && stats.missing == 0 && stats.unasked == 0);
	return WEFT_OK;
}

START_TEST(a_recording_played_against_itself_is_the_same)
{
	weft_run_options run = WEFT_RUN_OPTIONS_DEFAULT;

	file_make(talk);
	for (run.workers = 1; run.workers <= 3; run.workers += 2) {
		int fds = t_fds_open();

		ck_assert_int_eq(weft_run(play_fiber, NULL, &run), WEFT_OK);
		ck_assert_int_eq(t_fds_open(), fds);
	}
	ck_assert_uint_eq(s.differences, 0);
	(void)unlink(s.path);
}
END_TEST

static weft_err memory_fiber(void *arg)
{
	weft_replay_stats stats;
	weft_err err = play_it(&stats);

	(void)arg;
	return err;
}

/* Where memory ran out for one message, that answer differs or is missing: what counts is that
 * nothing hangs, and nothing is left. */
START_TEST(nothing_is_left_without_memory)
{
	weft_run_options run = WEFT_RUN_OPTIONS_DEFAULT;
	unsigned failures = 0;

	file_make(talk);
	s.patience_ns = 100000000;
	run.workers = 1;
	T_EACH_FAILING_MALLOC(n) {
		int fds = t_fds_open();
		weft_err err;

		s.differences = 0;
		err = weft_run(memory_fiber, NULL, &run);
		ck_assert_msg(err == WEFT_OK || err == WEFT_ENOMEM, "n %llu: %s",
			(unsigned long long)n, weft_error_detail());
		ck_assert_int_eq(t_fds_open(), fds);
		failures += err == WEFT_ENOMEM || s.differences > 0;
	}
	ck_assert_uint_gt(failures, 50);
	(void)unlink(s.path);
}
END_TEST

static void replay_tests(TCase *tc)
{
	t_add(tc, values_are_the_same_however_they_are_written);
	t_add(tc, a_difference_is_said_as_close_as_it_can_be);
	t_add(tc, a_recording_played_against_itself_is_the_same);
	t_add(tc, nothing_is_left_without_memory);
}
T_SUITE("replay", replay_tests)
