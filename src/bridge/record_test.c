/* SPDX-License-Identifier: MIT */
/* Recorders by themselves: what the command can't show, or not quickly. */
#define _DEFAULT_SOURCE
#include "support/both.h"

#include "bridge/record.h"
#include "bridge/record_line.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PING "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"
#define FILE_SIZE_MAX 4000000

static struct {
	char path[64];
	char *text; /* of the file, once read */
	size_t len;
	unsigned told;
} s;

static void path_make(void)
{
	static const char form[] = "/tmp/weft-record-XXXXXX";
	int fd;

	memcpy(s.path, form, sizeof(form));
	fd = mkstemp(s.path);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void file_read(void)
{
	FILE *file = fopen(s.path, "r");

	ck_assert_ptr_nonnull(file);
	free(s.text);
	s.text = malloc(FILE_SIZE_MAX + 1);
	ck_assert_ptr_nonnull(s.text);
	s.len = fread(s.text, 1, FILE_SIZE_MAX, file);
	s.text[s.len] = '\0';
	ck_assert_int_eq(fclose(file), 0);
}

static void done(void)
{
	free(s.text);
	(void)unlink(s.path);
}

static size_t count_of(const char *what)
{
	size_t count = 0;

	for (const char *at = s.text; (at = strstr(at, what)) != NULL; at++)
		count++;
	return count;
}

static void on_event(void *user, const weft_bridge_event *event)
{
	(void)user;
	ck_assert_ptr_null(strchr(event->text, '\n'));
	s.told++;
}

static weft_err open_one(struct recorder **out, size_t pending_max)
{
	struct recorder_options options = {
		.path = s.path, .pending_max = pending_max, .on_event = on_event
	};

	return recorder_open(out, &options);
}

static void say(
	struct recorder *r, uint64_t session, enum relay_direction direction, const char *text)
{
	weft_message m;
	struct relay_message recorded = { session, direction, "memory", "a \"name\"", &m };

	if (weft_message_copy(&m, NULL, text, strlen(text), NULL))
		return;
	recorder_message(r, &recorded);
	weft_message_fini(&m);
}

static void run_one(weft_fiber_fn fn, unsigned workers)
{
	weft_run_options run = WEFT_RUN_OPTIONS_DEFAULT;

	run.workers = workers;
	ck_assert_int_eq(weft_run(fn, NULL, &run), WEFT_OK);
}

/* ---- times ---- */

START_TEST(times_are_read_as_they_were_written)
{
	static const struct {
		const char *text;
		int64_t ns;
	} known[] = {
		{ "1970-01-01T00:00:00.000000Z", 0 },
		{ "2000-02-29T23:59:59.999999Z", INT64_C(951868799999999000) },
		{ "2100-03-01T00:00:00.000001Z", INT64_C(4107542400000001000) },
		{ "2026-11-21T22:30:00.123456Z", INT64_C(1795300200123456000) },
	};
	static const char *const wrong[] = { "2026-11-21T22:30:00.12345Z",
		"2026-13-21T22:30:00.123456Z", "2026-11-21 22:30:00.123456Z",
		"2026-11-21T22:30:00.123456z", "2026-11-21T2a:30:00.123456Z",
		"9999-11-21T22:30:00.123456Z", "" };
	char text[RECORD_TIME_LEN];
	int64_t ns;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		record_time_write(text, known[i].ns);
		ck_assert_int_eq(memcmp(text, known[i].text, RECORD_TIME_LEN), 0);
		ck_assert(record_time_read(text, RECORD_TIME_LEN, &ns));
		ck_assert_int_eq(ns, known[i].ns);
	}
	for (int64_t day = 0; day < 80000; day++) {
		record_time_write(text, day * 86400 * 1000000000);
		ck_assert(record_time_read(text, RECORD_TIME_LEN, &ns));
		T_OUGHT(ns == day * 86400 * 1000000000);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert(!record_time_read(wrong[i], strlen(wrong[i]), &ns));
}
END_TEST

/* ---- lines ---- */

static weft_err talk(void *arg)
{
	struct recorder *r = arg;

	for (int i = 0; i < 1000; i++) {
		char text[128];

		(void)snprintf(text, sizeof(text),
			"{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"ping\"}", i);
		say(r, (uint64_t)(uintptr_t)weft_fiber_name()[0], RELAY_TO_SERVER, text);
		if (i % 50 == 0)
			(void)!weft_yield();
	}
	return WEFT_OK;
}

static weft_err many_fiber(void *arg)
{
	struct recorder_stats stats;
	weft_scope *scope = NULL;
	struct recorder *r;

	(void)arg;
	want_ok(open_one(&r, 0));
	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < 4; i++) {
		char name[2] = { (char)(1 + i), '\0' };

		want_ok(weft_scope_spawn_on(scope, i % weft_worker_count(), name, talk, r));
	}
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	recorder_stats_get(r, &stats);
	want(stats.lost == 0);
	recorder_free(r);
	return WEFT_OK;
}

START_TEST(what_many_workers_say_is_whole_and_in_order)
{
	int next[5] = { 0 };
	char *rest;

	path_make();
	run_one(many_fiber, 3);
	file_read();
	for (char *line = strtok_r(s.text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		const char *session = strstr(line, "\"session\":"), *id = strstr(line, "\"id\":");
		int n, number;

		ck_assert(session && id && line[strlen(line) - 1] == '}');
		ck_assert_ptr_nonnull(strstr(line, "\"server\":\"a \\\"name\\\"\""));
		n = atoi(session + strlen("\"session\":"));
		number = atoi(id + strlen("\"id\":"));
		ck_assert_int_eq(number, next[n]++);
	}
	for (int n = 1; n <= 4; n++)
		ck_assert_int_eq(next[n], 1000);
	done();
}
END_TEST

static weft_err flood_fiber(void *arg)
{
	struct recorder_stats stats;
	struct recorder *r;

	(void)arg;
	want_ok(open_one(&r, 3000));
	/* the writer is on this worker, and has no turn before this parks */
	for (unsigned i = 0; i < 100; i++)
		say(r, 1, RELAY_TO_CLIENT, PING);
	recorder_stats_get(r, &stats);
	want(stats.pending <= 3000 && stats.pending > 2000);
	want(stats.lost > 80 && stats.lost < 98);
	while (stats.pending) {
		want_ok(weft_sleep_ms(1));
		recorder_stats_get(r, &stats);
	}
	say(r, 1, RELAY_TO_CLIENT, PING);
	recorder_free(r);
	want(s.told >= 1);
	return WEFT_OK;
}

START_TEST(what_waits_is_bounded_and_what_is_left_out_counted)
{
	unsigned lost;

	path_make();
	run_one(flood_fiber, 1);
	file_read();
	lost = (unsigned)strtoul(strstr(s.text, "\"lost\":") + strlen("\"lost\":"), NULL, 10);
	ck_assert_uint_eq(count_of("\"lost\""), 1);
	ck_assert_uint_eq(count_of("\"message\"") + lost, 101);
	done();
}
END_TEST

/* ---- disks ---- */

static void size_limit(rlim_t bytes)
{
	struct rlimit limit = { bytes, RLIM_INFINITY };

	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static weft_err full_fiber(void *arg)
{
	struct recorder_stats stats;
	struct recorder *r;

	(void)arg;
	size_limit(450); /* some lines, and a part of one */
	want_ok(open_one(&r, 0));
	for (unsigned i = 0; i < 10; i++)
		say(r, 1, RELAY_TO_CLIENT, PING);
	while (s.told == 0)
		want_ok(weft_sleep_ms(1));
	file_read();
	want(s.len > 0 && s.text[s.len - 1] == '\n');
	recorder_stats_get(r, &stats);
	want(stats.lost == 0 && stats.lines > 0 && stats.lines < 10);
	size_limit(RLIM_INFINITY);
	recorder_free(r); /* does not wait for the second to be over */
	file_read();
	want(count_of("\"message\"") == 10 && count_of("\"lost\"") == 0);
	return WEFT_OK;
}

START_TEST(a_part_of_a_line_is_cut_off_again)
{
	path_make();
	(void)signal(SIGXFSZ, SIG_IGN);
	run_one(full_fiber, 1);
	done();
}
END_TEST

static weft_err memory_fiber(void *arg)
{
	struct recorder *r = NULL;
	weft_err err = open_one(&r, 0);

	(void)arg;
	if (err)
		return err;
	say(r, 1, RELAY_TO_SERVER, PING);
	say(r, 1, RELAY_TO_CLIENT, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
	err = recorder_reopen(r);
	recorder_free(r);
	return err;
}

START_TEST(nothing_is_left_without_memory)
{
	weft_run_options run = WEFT_RUN_OPTIONS_DEFAULT;
	unsigned failures = 0;

	path_make();
	run.workers = 1;
	T_EACH_FAILING_MALLOC(n) {
		int fds = t_fds_open();
		weft_err err = weft_run(memory_fiber, NULL, &run);

		ck_assert_msg(err == WEFT_OK || err == WEFT_ENOMEM, "n %llu: %s",
			(unsigned long long)n, weft_error_detail());
		ck_assert_int_eq(t_fds_open(), fds);
		failures += err == WEFT_ENOMEM;
	}
	ck_assert_uint_gt(failures, 10);
	file_read();
	ck_assert_uint_eq(count_of("\"torn\""), 0);
	ck_assert_int_eq(s.text[s.len - 1], '\n');
	done();
}
END_TEST

static void record_tests(TCase *tc)
{
	t_add(tc, times_are_read_as_they_were_written);
	t_add(tc, what_many_workers_say_is_whole_and_in_order);
	t_add(tc, what_waits_is_bounded_and_what_is_left_out_counted);
	t_add(tc, a_part_of_a_line_is_cut_off_again);
	t_add(tc, nothing_is_left_without_memory);
}
T_SUITE("record", record_tests)
