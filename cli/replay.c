/* SPDX-License-Identifier: MIT */
/* weft replay FILE: flags and a summary around weft_replay. */
#define _POSIX_C_SOURCE 200809L
#include "commands.h"
#include "flags.h"
#include "say.h"

#include <weft/weft.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIFFERENCES_MAX 20	       /* that are shown */
#define STACK_SIZE ((size_t)256 << 10) /* values within values are compared */

static const char help_text[] =
	"usage: weft replay [FLAG...] FILE TO\n"
	"       weft replay [FLAG...] FILE -- CMD [ARG...]\n"
	"       weft replay [FLAG...] --as server FILE\n"
	"\n"
	"Plays a recording that weft bridge --record has made. As the client, it sends what\n"
	"the clients sent, each session over one of its own, and compares the answers with\n"
	"those of the recording. As the server, on standard input and output, it answers\n"
	"requests as the server did then:\n"
	"\n"
	"  weft bridge listen:http://127.0.0.1:8080/mcp -- weft replay --as server FILE\n"
	"\n"
	"TO:\n"
	"  http://host:port/path, https://host:port/path, sse+http://..., sse+https://...\n"
	"  tcp://host:port, tls://host:port, unix:/path\n"
	"  exec:CMD ARG...          a child process for each session; no shell runs\n"
	"  -- CMD ARG...            the same, as words\n"
	"\n"
	"flags; durations are 500ms, 10s, 2m or off:\n"
	"  --as client|server       which side is played (client)\n"
	"  --session N              that session only; RUN/N where several runs have one\n"
	"  --server NAME            sessions with that server only\n"
	"  --speed X                how fast: 1 as it was, 10, 0.5, or max: without waiting (1)\n"
	"  --connect-timeout T      for TO (10s)\n"
	"  --read-timeout T         for each answer (30s)\n"
	"  --max-message-size N     bytes, such as 1MiB (10MiB)\n"
	"  --log-level LEVEL        error, warn, info, debug or trace (warn); info shows what\n"
	"                           children write to standard error\n"
	"\n"
	"exit status: 0 the same, 1 something differs, or failed, 2 usage, or no recording\n";

struct replay_command {
	weft_replay_options options;
	const char *as, *speed, *log_level_name;
	const char *to;
	const char *const *command;
	uint64_t message_size_max;
	weft_log_level log_level;
	bool is_server;
	weft_replay *replay;
	size_t shown; /* differences; one worker */
	int status;
};

void command_replay_help(void)
{
	(void)fputs(help_text, stdout);
}

/* ---- arguments ---- */

static int speed_flag(struct replay_command *c)
{
	char *end;

	if (strcmp(c->speed, "max") == 0) {
		c->options.speed = 0;
		return 0;
	}
	c->options.speed = strtod(c->speed, &end);
	/* digits and a point: no sign, no exponent, no words */
	if (*end || c->speed[strspn(c->speed, "0123456789.")] || !(c->options.speed >= 0.001) ||
		c->options.speed > 1e6)
		return say_usage(
			"--speed: \"%s\" is not max or a number from 0.001 to 1000000", c->speed);
	return 0;
}

static int side_flag(struct replay_command *c)
{
	if (strcmp(c->as, "server") == 0)
		c->is_server = true;
	else if (strcmp(c->as, "client") != 0)
		return say_usage("--as: \"%s\" is not client or server", c->as);
	if (!c->options.file)
		return say_usage("FILE is missing");
	if (c->is_server && (c->to || c->command))
		return say_usage("--as server: serves standard input and output: leave TO out");
	if (!c->is_server && !c->to && !c->command)
		return say_usage("TO is missing: an endpoint, or -- and a command");
	if (c->to && c->command)
		return say_usage("both TO \"%.128s\" and a command are given", c->to);
	return 0;
}

static int values(struct replay_command *c)
{
	int status = side_flag(c);

	if (!status)
		status = speed_flag(c);
	if (status)
		return status;
	if (weft_log_level_parse(c->log_level_name, &c->log_level))
		return say_usage("--log-level: \"%s\" is not error, warn, info, debug or trace",
			c->log_level_name);
	if (c->message_size_max > SIZE_MAX)
		return say_usage("--max-message-size: too large for this machine");
	c->options.message_size_max = (size_t)c->message_size_max;
	return 0;
}

static int arguments(struct replay_command *c, const char *const *argv, bool *wants_help)
{
	weft_replay_options *o = &c->options;
	const struct flag table[] = {
		{ "as", FLAG_TEXT, &c->as, 0, false },
		{ "session", FLAG_TEXT, &o->session, 0, false },
		{ "server", FLAG_TEXT, &o->server, 0, false },
		{ "speed", FLAG_TEXT, &c->speed, 0, false },
		{ "connect-timeout", FLAG_DURATION, &o->connect_timeout_ns, INT64_MAX, false },
		{ "read-timeout", FLAG_DURATION, &o->read_timeout_ns, INT64_MAX, false },
		{ "max-message-size", FLAG_SIZE, &c->message_size_max, 0, false },
		{ "log-level", FLAG_TEXT, &c->log_level_name, 0, false },
	};
	const char *args[2] = { NULL, NULL };
	struct flags flags = { .table = table,
		.table_len = sizeof(table) / sizeof(table[0]),
		.args = args,
		.args_max = 2 };
	int status = flags_parse(&flags, argv);

	*wants_help = !status && flags.wants_help;
	if (status || flags.wants_help)
		return status;
	o->file = args[0];
	c->to = args[1];
	c->command = flags.command;
	return values(c);
}

/* ---- what is said ---- */

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

/* Of the bridge behind which a server is played, this is in its log. */
static void on_difference(void *user, const weft_replay_difference *d)
{
	struct replay_command *c = user;

	c->shown++;
	if (c->shown > DIFFERENCES_MAX)
		return;
	if (d->session)
		say_line("session %s/%llu, line %zu: %s: %s", d->run,
			(unsigned long long)d->session, d->line, d->method, d->text);
	else
		say("%s: %s", d->method, d->text);
}

static void say_file(const struct replay_command *c)
{
	weft_replay_info info;
	size_t within;

	weft_replay_info_get(c->replay, &info);
	within = info.torn - (info.torn_last ? 1 : 0);
	if (info.torn_last)
		say("%s: line %zu, the last, is not whole: left out", c->options.file,
			info.torn_last);
	if (within)
		say("%s: %zu line%s not whole, where a recorder was killed: left out",
			c->options.file, within, within == 1 ? " is" : "s are");
	if (info.lost)
		say("%s: %llu message%s were lost when it was made", c->options.file,
			(unsigned long long)info.lost, plural(info.lost));
	if (info.invalid)
		say("%s: %zu that %s no message%s: left out", c->options.file, info.invalid,
			info.invalid == 1 ? "is" : "are", plural(info.invalid));
}

static void say_summary(struct replay_command *c)
{
	weft_replay_stats s;

	weft_replay_stats_get(c->replay, &s);
	if (c->shown > DIFFERENCES_MAX)
		say_line("... and %zu more", c->shown - DIFFERENCES_MAX);
	say_line("%llu session%s, %llu request%s: %llu answer%s the same, %llu different, %llu "
		 "missing; %llu not asked for",
		(unsigned long long)s.sessions, plural(s.sessions), (unsigned long long)s.requests,
		plural(s.requests), (unsigned long long)s.same, plural(s.same),
		(unsigned long long)s.different, (unsigned long long)s.missing,
		(unsigned long long)s.unasked);
	if (s.different || s.missing || s.unasked)
		c->status = EXIT_WORLD;
}

/* ---- playing ---- */

static weft_transport_options transport_options(const struct replay_command *c)
{
	weft_transport_options options = WEFT_TRANSPORT_OPTIONS_DEFAULT;

	options.message_size_max = c->options.message_size_max;
	options.connect_timeout_ns = c->options.connect_timeout_ns;
	return options;
}

static weft_err serve(struct replay_command *c)
{
	weft_transport_options options = transport_options(c);
	weft_incoming *incoming = NULL;
	weft_err err = weft_incoming_stdio(&incoming, &options);

	if (!err)
		err = weft_replay_serve(c->replay, incoming);
	weft_incoming_free(incoming);
	return err;
}

static weft_err play(struct replay_command *c)
{
	weft_transport_options options = transport_options(c);
	weft_outgoing *outgoing = NULL;
	weft_err err = weft_outgoing_endpoint(&outgoing, c->to, c->command, &options);

	if (err == WEFT_EINVAL || err == WEFT_ENOSYS)
		c->status = EXIT_USAGE;
	if (err)
		return err;
	err = weft_replay_play(c->replay, outgoing);
	weft_outgoing_free(outgoing);
	if (!err)
		say_summary(c);
	return err;
}

static weft_err main_fiber(void *arg)
{
	struct replay_command *c = arg;
	weft_err err = c->is_server ? serve(c) : play(c);

	if (err) {
		say("%s", weft_error_detail());
		c->status = c->status ? c->status : EXIT_WORLD;
	}
	return WEFT_OK;
}

static int replay_run(struct replay_command *c)
{
	weft_run_options run = WEFT_RUN_OPTIONS_DEFAULT;
	weft_err err = weft_replay_open(&c->replay, &c->options);

	if (err) {
		say("%s", weft_error_detail());
		return err == WEFT_EINVAL || err == WEFT_ECAPACITY ? EXIT_USAGE : EXIT_WORLD;
	}
	say_file(c);
	say_log_start(false, c->log_level);
	(void)weft_descriptor_limit_raise();
	(void)signal(SIGCHLD, SIG_DFL);
	run.workers = 1;
	run.stack_size = STACK_SIZE;
	run.dump_on_sigquit = true;
	err = weft_run(main_fiber, c, &run);
	weft_replay_free(c->replay);
	if (err) {
		say("%s", weft_error_detail());
		return EXIT_WORLD;
	}
	return c->status;
}

int command_replay(const char *const *argv)
{
	static struct replay_command c = { .options = WEFT_REPLAY_OPTIONS_DEFAULT,
		.as = "client",
		.speed = "1",
		.log_level_name = "warn" };
	bool wants_help = false;
	int status = arguments(&c, argv, &wants_help);

	if (!status && wants_help) {
		command_replay_help();
		return say_flush();
	}
	if (status)
		return status;
	c.options.on_difference = on_difference;
	c.options.user = &c;
	return replay_run(&c);
}
