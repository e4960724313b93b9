/* SPDX-License-Identifier: MIT */
/* Bridges with servers that have names, and with metrics, where memory runs out: whatever fails, all is
 * given back, and a reload is there as a whole or not at all. */
#define _POSIX_C_SOURCE 200809L
#include "bridge/messages.h"
#include "bridge/metrics.h"
#include "support/both.h"

#include <weft/bridge.h>
#include <weft/sim.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char before[] = "{\"mcpServers\":{\"stays\":{\"url\":\"http://127.0.0.1:1/mcp\"},"
			     "\"changes\":{\"url\":\"http://127.0.0.1:1/mcp\"},"
			     "\"goes\":{\"url\":\"http://127.0.0.1:1/mcp\"}}}";
static const char after[] = "{\"mcpServers\":{\"stays\":{\"url\":\"http://127.0.0.1:1/mcp\"},"
			    "\"changes\":{\"url\":\"http://127.0.0.1:2/mcp\"},"
			    "\"comes\":{\"url\":\"http://127.0.0.1:1/mcp\"}}}";

static struct {
	char path[64];
	unsigned opened, reloaded;
} s;

static void file_write(const char *text)
{
	FILE *file = fopen(s.path, "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

static void file_make(void)
{
	static const char form[] = "/tmp/weft-reload-XXXXXX";
	int fd;

	memcpy(s.path, form, sizeof(form));
	fd = mkstemp(s.path);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void ignore(void *user, const weft_bridge_event *event)
{
	(void)user;
	(void)event;
}

/* Servers that take sessions, by name. */
static bool has(const weft_bridge *b, const char *name)
{
	for (size_t i = 0; i < messages_count(b->messages); i++) {
		if (strcmp(b->messages->servers[i]->name, name) == 0)
			return message_server_is_open(b->messages->servers[i]);
	}
	return false;
}

static void look(const weft_bridge *b)
{
	struct exposition e = { .family = NULL };

	metrics_write(b, &e);
	if (grown_string(&e.text))
		ck_assert_ptr_nonnull(strstr(grown_string(&e.text), "{server=\"stays\""));
	grown_fini(&e.text);
}

static weft_err reload_fiber(void *arg)
{
	weft_bridge_options o = WEFT_BRIDGE_OPTIONS_DEFAULT;
	weft_bridge *b = NULL;
	weft_err err;

	(void)arg;
	o.from = "listen:http://127.0.0.1:0/mcp";
	o.servers_file = s.path;
	o.metrics = "listen:http://127.0.0.1:0";
	o.on_event = ignore;
	file_write(before);
	err = weft_bridge_open(&b, &o);
	if (err)
		return err;
	s.opened++;
	want(has(b, "stays") && has(b, "changes") && has(b, "goes") && !has(b, "comes"));
	file_write(after);
	err = weft_bridge_reload(b);
	s.reloaded += err == WEFT_OK;
	want(has(b, "stays") && has(b, "changes"));
	want(has(b, "comes") == (err == WEFT_OK) && has(b, "goes") == (err != WEFT_OK));
	look(b);
	/* again, when there is memory */
	if (err == WEFT_ENOMEM) {
		err = weft_bridge_reload(b);
		want(err == WEFT_OK && has(b, "comes") && !has(b, "goes"));
		err = WEFT_ENOMEM;
	}
	weft_bridge_free(b);
	return err;
}

START_TEST(a_reload_is_whole_or_not_at_all)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	unsigned failures = 0;

	file_make();
	T_EACH_FAILING_MALLOC(n) {
		weft_err err = weft_sim_run(reload_fiber, NULL, &options, NULL);

		ck_assert_msg(err == WEFT_OK || err == WEFT_ENOMEM, "n %llu: %s",
			(unsigned long long)n, weft_error_detail());
		failures += err == WEFT_ENOMEM;
	}
	unlink(s.path);
	ck_assert_uint_gt(failures, 100);
	ck_assert_uint_gt(s.opened - s.reloaded, 30);
}
END_TEST

static weft_err names_fiber(void *arg)
{
	char text[256];
	weft_bridge_options o = WEFT_BRIDGE_OPTIONS_DEFAULT;
	weft_bridge *b = NULL;
	weft_err err;
	unsigned n = 0;

	(void)arg;
	o.from = "listen:http://127.0.0.1:0/mcp";
	o.servers_file = s.path;
	o.on_event = ignore;
	file_write(before);
	err = weft_bridge_open(&b, &o);
	while (!err && n < 2 * MESSAGE_SERVERS_MAX) {
		(void)snprintf(text, sizeof(text),
			"{\"mcpServers\":{\"stays\":{\"url\":\"http://127.0.0.1:1/mcp\"},"
			"\"n%u\":{\"url\":\"http://127.0.0.1:1/mcp\"}}}",
			n);
		file_write(text);
		err = weft_bridge_reload(b);
		n += err == WEFT_OK;
	}
	want(err == WEFT_ECAPACITY && n == MESSAGE_SERVERS_MAX - 3);
	want(strstr(weft_error_detail(), "1024 names") != NULL);
	(void)snprintf(text, sizeof(text), "n%u", n - 1);
	want(has(b, text) && has(b, "stays"));
	/* names that were there may come back */
	file_write(before);
	want_ok(weft_bridge_reload(b));
	want(has(b, "goes") && !has(b, text));
	weft_bridge_free(b);
	return WEFT_OK;
}

START_TEST(names_have_a_bound_over_all_reloads)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;

	file_make();
	ck_assert_int_eq(weft_sim_run(names_fiber, NULL, &options, NULL), WEFT_OK);
	unlink(s.path);
}
END_TEST

static void reload_tests(TCase *tc)
{
	t_add(tc, a_reload_is_whole_or_not_at_all);
	t_add(tc, names_have_a_bound_over_all_reloads);
}

T_SUITE("message_reload", reload_tests)
