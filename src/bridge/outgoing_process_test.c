/* SPDX-License-Identifier: MIT */
/* Sessions by children: their life, their end, and what they say on stderr. */
#include "support/t.h"

#include <weft/weft.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHELL(script) ((const char *const[]){ "/bin/sh", "-c", (script), NULL })
#define MS INT64_C(1000000)
#define PING "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"
#define OK(call) ck_assert_msg((call) == WEFT_OK, #call ": %s", weft_error_detail())

/* Runs it, and sees that no fiber, descriptor, child or block is left. */
static void run_clean(weft_fiber_fn fn)
{
	weft_run_options o = WEFT_RUN_OPTIONS_DEFAULT;
	int fds = t_fds_open();
	int64_t live = t_malloc_live();

	o.workers = 2;
	ck_assert_int_eq(weft_run(fn, NULL, &o), WEFT_OK);
	ck_assert_int_eq(t_children(), 0);
	ck_assert_int_eq(t_fds_open(), fds);
	ck_assert_int_eq(t_malloc_live(), live);
}

/* ---- what is logged ---- */

struct lines {
	weft_mutex *lock;
	unsigned count;
	size_t longest, used;
	char text[2000]; /* the first of them, with LF between */
};

static struct lines logged;

static void log_line(void *user, const char *name, const char *line)
{
	struct lines *l = user;
	size_t len = strlen(line);

	ck_assert_str_eq(name, "child");
	ck_assert_int_eq(weft_mutex_lock(l->lock, WEFT_FOREVER), WEFT_OK);
	l->count++;
	if (len > l->longest)
		l->longest = len;
	if (l->used + len + 2 < sizeof(l->text))
		l->used += (size_t)snprintf(
			l->text + l->used, sizeof(l->text) - l->used, "%s\n", line);
	weft_mutex_unlock(l->lock);
}

static unsigned lines_logged(void)
{
	unsigned count;

	ck_assert_int_eq(weft_mutex_lock(logged.lock, WEFT_FOREVER), WEFT_OK);
	count = logged.count;
	weft_mutex_unlock(logged.lock);
	return count;
}

#define GRACE_NS (100 * MS)

static weft_outgoing *outgoing_with(const char *const *argv, int64_t grace_ns)
{
	weft_process_options o = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_outgoing *out = NULL;

	memset(&logged, 0, sizeof(logged));
	OK(weft_mutex_create(&logged.lock));
	o.argv = argv;
	o.stop_grace_ns = grace_ns;
	OK(weft_outgoing_process(&out, "child", &o, NULL, log_line, &logged));
	return out;
}

static weft_outgoing *outgoing(const char *const *argv)
{
	return outgoing_with(argv, GRACE_NS);
}

static void outgoing_free(weft_outgoing *out)
{
	weft_outgoing_free(out);
	weft_mutex_free(logged.lock);
}

static weft_transport *connect(weft_outgoing *out)
{
	weft_transport *t = NULL;

	OK(weft_outgoing_connect(out, &t, WEFT_FOREVER));
	return t;
}

static void send_text(weft_transport *t, const char *text)
{
	weft_message m;

	OK(weft_message_copy(&m, NULL, text, strlen(text), NULL));
	OK(weft_transport_send_own(t, &m, WEFT_FOREVER));
}

static void expect(weft_transport *t, const char *text)
{
	weft_message m;

	OK(weft_transport_receive(t, &m, weft_after_ms(20000)));
	ck_assert_uint_eq(m.text.len, strlen(text));
	ck_assert_int_eq(memcmp(m.text.data, text, m.text.len), 0);
	weft_message_fini(&m);
}

static void expect_end(weft_transport *t, weft_err err, const char *why)
{
	weft_message m;

	ck_assert_int_eq(weft_transport_receive(t, &m, weft_after_ms(20000)), err);
	ck_assert_msg(strstr(weft_error_detail(), why), "%s", weft_error_detail());
}

/* ---- the life of a session ---- */

static weft_err echo_main(void *arg)
{
	weft_outgoing *out = outgoing((const char *const[]){ "cat", NULL });
	weft_transport *t = connect(out), *other = connect(out);

	(void)arg;
	ck_assert_str_eq(weft_transport_name(t), "cat");
	ck_assert_str_eq(weft_transport_kind(t), "stdio");
	ck_assert_str_eq(weft_outgoing_name(out), "child");
	for (unsigned i = 0; i < 100; i++)
		send_text(t, PING);
	for (unsigned i = 0; i < 100; i++)
		expect(t, PING);
	weft_transport_free(t);
	send_text(other, PING);
	expect(other, PING);
	weft_transport_close(other);
	weft_transport_free(other);
	outgoing_free(out);
	return WEFT_OK;
}

START_TEST(a_child_is_a_session)
{
	run_clean(echo_main);
}
END_TEST

/* What the child wrote before its end comes before the end is told. */
static weft_err end_main(void *arg)
{
	static const struct {
		const char *script, *why;
		weft_err err;
		int64_t grace_ns;
	} ends[] = {
		{ "exit 0", "", WEFT_ECLOSED, 300 * GRACE_NS },
		{ "exit 3", "exited with status 3", WEFT_ECHILD, 300 * GRACE_NS },
		{ "kill -9 $$", "killed by signal 9", WEFT_ECHILD, 300 * GRACE_NS },
		{ "exec 0<&- 1>&-; sleep 100", "was stopped", WEFT_ECHILD, GRACE_NS },
		/* once it sees that nothing comes any more */
		{ "exec 1>&-; read x; exit 0", "", WEFT_ECLOSED, 300 * GRACE_NS },
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		char script[200];
		weft_outgoing *out;
		weft_transport *t;

		snprintf(script, sizeof(script), "echo '%s'; echo last words >&2; %s", PING,
			ends[i].script);
		out = outgoing_with(SHELL(script), ends[i].grace_ns);
		t = connect(out);
		expect(t, PING);
		expect_end(t, ends[i].err, ends[i].why);
		ck_assert_str_eq(logged.text, "last words\n");
		weft_transport_free(t);
		outgoing_free(out);
	}
	return WEFT_OK;
}

START_TEST(the_end_says_how_the_child_ended)
{
	run_clean(end_main);
}
END_TEST

static weft_err stubborn_main(void *arg)
{
	weft_outgoing *out = outgoing(SHELL(
		"trap '' TERM; sleep 100 & sleep 100 & echo '" PING "'; sleep 100; sleep 100"));
	weft_transport *t = connect(out);

	(void)arg;
	expect(t, PING);
	weft_transport_free(t); /* and its grandchildren hold stderr */
	outgoing_free(out);
	return WEFT_OK;
}

START_TEST(a_child_that_does_not_listen_is_killed_with_its_group)
{
	run_clean(stubborn_main);
}
END_TEST

static weft_err full_main(void *arg)
{
	weft_outgoing *out = outgoing(SHELL("while echo '" PING "'; do :; done"));
	weft_transport *t = connect(out), *unread = connect(out);

	(void)arg;
	for (unsigned i = 0; i < 3000; i++)
		expect(t, PING);
	weft_transport_free(t);
	weft_transport_free(unread);
	outgoing_free(out);
	return WEFT_OK;
}

START_TEST(a_child_that_writes_on_is_ended_too)
{
	run_clean(full_main);
}
END_TEST

static weft_err deaf_main(void *arg)
{
	weft_transport_options options = WEFT_TRANSPORT_OPTIONS_DEFAULT;
	weft_process_options o = WEFT_PROCESS_OPTIONS_DEFAULT;
	static const char head[] = "{\"jsonrpc\":\"2.0\",\"method\":\"";
	static char big[100001];
	weft_outgoing *out;
	weft_transport *t;
	weft_message m;
	weft_err err;

	(void)arg;
	o.argv = SHELL("sleep 100");
	o.stop_grace_ns = 20 * MS;
	options.send_timeout_ns = 50 * MS;
	OK(weft_outgoing_process(&out, NULL, &o, &options, NULL, NULL));
	t = connect(out);
	memset(big, 'x', sizeof(big) - 1);
	for (size_t i = 0; i < strlen(head); i++)
		big[i] = head[i];
	big[sizeof(big) - 3] = '"';
	big[sizeof(big) - 2] = '}';
	do {
		OK(weft_message_copy(&m, NULL, big, strlen(big), NULL));
		err = weft_transport_send_own(t, &m, WEFT_FOREVER);
	} while (!err);
	ck_assert_int_eq(err, WEFT_ERESET);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "takes nothing"));
	expect_end(t, WEFT_ECHILD, "stopped");
	weft_transport_free(t);
	weft_outgoing_free(out);
	return WEFT_OK;
}

START_TEST(a_child_that_does_not_read_is_given_up)
{
	run_clean(deaf_main);
}
END_TEST

static weft_err missing_main(void *arg)
{
	weft_outgoing *out = outgoing((const char *const[]){ "no-such-program", NULL });
	weft_transport *t;

	(void)arg;
	ck_assert_int_eq(weft_outgoing_connect(out, &t, WEFT_FOREVER), WEFT_ESPAWN);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "no-such-program"));
	outgoing_free(out);
	ck_assert_int_eq(weft_outgoing_process(&out, NULL, NULL, NULL, NULL, NULL), WEFT_EINVAL);
	return WEFT_OK;
}

START_TEST(a_program_that_is_missing_is_named)
{
	run_clean(missing_main);
}
END_TEST

/* ---- stderr ---- */

static weft_err stderr_main(void *arg)
{
	weft_outgoing *out = outgoing(SHELL(
		"printf '\\033[1;31mred\\033[0m\\n\\n\\033]0;title\\007plain\\r\\n' >&2;"
		"printf 'bell\\007 tab\\there \\303\\244 \\377\\n\\033]never ends\\nafter' >&2"));
	weft_transport *t = connect(out);

	(void)arg;
	expect_end(t, WEFT_ECLOSED, "");
	ck_assert_str_eq(logged.text, "red\nplain\nbell tab here \303\244 ?\nafter\n");
	weft_transport_free(t);
	outgoing_free(out);
	return WEFT_OK;
}

START_TEST(what_is_logged_has_no_escapes)
{
	run_clean(stderr_main);
}
END_TEST

static weft_err flood_main(void *arg)
{
	weft_outgoing *out = outgoing(SHELL("head -c 10000 /dev/zero | tr '\\0' x >&2; echo >&2;"
					    "yes 'a line' >&2 & cat"));
	weft_transport *t = connect(out);

	(void)arg;
	while (lines_logged() < 5000) {
		send_text(t, PING);
		expect(t, PING);
	}
	weft_transport_free(t);
	ck_assert_uint_eq(logged.longest, 4096 + strlen(" [...]"));
	outgoing_free(out);
	return WEFT_OK;
}

START_TEST(a_flood_on_stderr_is_cut_and_stops_nobody)
{
	run_clean(flood_main);
}
END_TEST

/* ---- without memory ---- */

static weft_err scarce_main(void *arg)
{
	weft_process_options o = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_transport *t = NULL;
	weft_outgoing *out;
	weft_message m;
	weft_err err;

	(void)arg;
	o.argv = (const char *const[]){ "cat", NULL };
	o.env = (const char *const[]){ "A=b", NULL };
	o.pass_env = (const char *const[]){ "PATH", NULL };
	o.directory = "/";
	err = weft_outgoing_process(&out, "cat", &o, NULL, NULL, NULL);
	if (err)
		return err;
	err = weft_outgoing_connect(out, &t, WEFT_FOREVER);
	if (!err)
		err = weft_message_copy(&m, NULL, PING, strlen(PING), NULL);
	if (!err)
		err = weft_transport_send_own(t, &m, WEFT_FOREVER);
	if (!err)
		err = weft_transport_receive(t, &m, WEFT_FOREVER);
	if (!err)
		weft_message_fini(&m);
	weft_transport_free(t);
	weft_outgoing_free(out);
	return err;
}

START_TEST(without_memory_nothing_is_left)
{
	weft_run_options o = WEFT_RUN_OPTIONS_DEFAULT;
	int fds = t_fds_open(), failures = 0;

	o.workers = 1;
	T_EACH_FAILING_MALLOC(n) {
		weft_err err = weft_run(scarce_main, NULL, &o);

		ck_assert_msg(err == WEFT_OK || t_malloc_failed(), "%s", weft_err_name(err));
		failures += err != WEFT_OK;
	}
	ck_assert_int_gt(failures, 10);
	ck_assert_int_eq(t_children(), 0);
	ck_assert_int_eq(t_fds_open(), fds);
}
END_TEST

static void process_tests(TCase *tc)
{
	t_add(tc, a_child_is_a_session);
	t_add(tc, the_end_says_how_the_child_ended);
	t_add(tc, a_child_that_does_not_listen_is_killed_with_its_group);
	t_add(tc, a_child_that_writes_on_is_ended_too);
	t_add(tc, a_child_that_does_not_read_is_given_up);
	t_add(tc, a_program_that_is_missing_is_named);
	t_add(tc, what_is_logged_has_no_escapes);
	t_add(tc, a_flood_on_stderr_is_cut_and_stops_nobody);
	t_add(tc, without_memory_nothing_is_left);
}

T_SUITE("outgoing_process", process_tests)
