/* SPDX-License-Identifier: MIT */
/* weft bridge FROM TO: flags, signals and exit statuses around weft_bridge. */
#define _POSIX_C_SOURCE 200809L
#include "commands.h"
#include "flags.h"
#include "say.h"

#include <weft/weft.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help_ends[] =
	"usage: weft bridge [FLAG...] FROM TO\n"
	"       weft bridge [FLAG...] FROM -- CMD [ARG...]\n"
	"       weft bridge [FLAG...] FROM --server NAME=CMD...\n"
	"\n"
	"Accepts sessions at FROM and opens TO for each: bytes are carried both ways,\n"
	"half-close included. With mux+ many sessions are streams of one connection:\n"
	"a tunnel, with weft (or any smux) at both ends. With http JSON-RPC messages\n"
	"are carried, as the Model Context Protocol (MCP) has them; the endpoint at the\n"
	"other side has a message a line.\n"
	"\n"
	"FROM:\n"
	"  stdio:                   this process's stdin and stdout: one session\n"
	"  listen:tcp://host:port   port 0: any; an empty host: 127.0.0.1\n"
	"  listen:tls://host:port   the same, encrypted; needs ?cert=FILE&key=FILE\n"
	"  listen:unix:/path        or unix:@name in the abstract name space\n"
	"  listen:mux+tcp://host:port, listen:mux+tls://host:port, listen:mux+unix:/path\n"
	"                           each stream of each connection is a session\n"
	"  mux+tcp://host:port, mux+tls://host:port, mux+unix:/path\n"
	"                           connects, and takes the streams that the other end\n"
	"                           opens: a reverse tunnel\n"
	"  listen:http://host:port/path, listen:https://host:port/path\n"
	"                           MCP: Streamable HTTP at path (/mcp), HTTP+SSE at /sse\n"
	"TO:\n"
	"  tcp://host:port, tls://host:port, unix:/path\n"
	"  mux+tcp://host:port, mux+tls://host:port, mux+unix:/path\n"
	"                           a stream for each session; the connection is kept up\n"
	"  listen:mux+tcp://host:port, listen:mux+tls://host:port, listen:mux+unix:/path\n"
	"                           the same, on connections that come: a reverse\n"
	"                           tunnel's other end\n"
	"  http://host:port/path, https://host:port/path\n"
	"                           an MCP server on the web\n"
	"  sse+http://..., sse+https://...\n"
	"                           one that has HTTP+SSE only\n"
	"  exec:CMD ARG...          a child process for each session; no shell runs\n"
	"  -- CMD ARG...            the same, as words\n"
	"  stdio:                   takes one session\n"
	"\n"
	"endpoint options: ?nodelay=0|1 (tcp, tls), keepalive=SECONDS (tcp, tls, mux),\n"
	"  of listeners: backlog=N, reuseport=0|1 (tcp, tls), mode=0660 (unix)\n"
	"  of tls: cert=FILE, key=FILE (PEM; read again on SIGHUP), alpn=NAME,NAME\n"
	"    listeners: client-ca=FILE (clients need a certificate)\n"
	"    others: ca=FILE (in place of the system's), servername=HOST,\n"
	"    fingerprint=sha256:... (that certificate only), insecure=1 (any certificate)\n"
	"  of mux: v=1|2 (smux's version, the same at both ends; 2),\n"
	"  sessions=1..64 (connections to share, where they are dialled; 1)\n"
	"  of http and https they stand behind \"#\"; also header-file=FILE (fields of each\n"
	"    request to TO, such as Authorization: Bearer ...)\n"
	"\n";
static const char help_flags[] =
	"flags; durations are 500ms, 10s, 2m or off:\n"
	"  --max-connections N      sessions at once; more are reset (10000)\n"
	"  --connect-timeout T      for opening TO (10s)\n"
	"  --read-timeout T         the longest silence while a reply is owed (off)\n"
	"  --idle-timeout T         the longest silence at all (off; sessions of http: 30m)\n"
	"  --drain-timeout T        for sessions under way when told to stop (5s)\n"
	"  --max-children N         child processes at once (64)\n"
	"  --pass-env NAME,...      variables that children see beside PATH, HOME, ...;\n"
	"                           * for all\n"
	"  --env NAME=VALUE         set for children; may be repeated\n"
	"  --insecure               let other machines reach a listener with children, or of\n"
	"                           http without a token\n"
	"  --self-signed            for trying out: a listener of tls makes a certificate,\n"
	"                           and prints its fingerprint\n"
	"  --metrics LISTENER       listen:http://host:port: /metrics for Prometheus, /healthz\n"
	"  --log-level LEVEL        error, warn, info, debug or trace (warn)\n"
	"  --log-format FORMAT      text or json (text)\n"
	"of messages:\n"
	"  --session per|shared     a server for each session, or one for all (per)\n"
	"  --session-timeout T      for a session in all, busy or not (off)\n"
	"  --max-client-sessions N  of one token, or address, over HTTP (a tenth of\n"
	"                           --max-connections)\n"
	"  --max-message-size N     bytes, such as 1MiB (10MiB)\n"
	"  --server NAME=CMD        a server at /NAME and the path; may be repeated\n"
	"  --servers FILE           such servers in JSON, in the form {\"mcpServers\": {...}}; read\n"
	"                           again on SIGHUP\n"
	"  --token-file FILE        clients need a token of it: one a line; read again on\n"
	"                           SIGHUP\n"
	"  --allow-origin ORIGIN    a web site that may come, beside this machine's own; may be\n"
	"                           repeated\n"
	"  --allow-host HOST        a name that clients may call the listener by; may be\n"
	"                           repeated\n"
	"  --record FILE            each message is appended to it, for weft replay; opened\n"
	"                           again on SIGHUP\n"
	"\n"
	"exit status: 0 done or stopped by a signal, 1 something outside failed, 2 usage\n";

struct bridge_command {
	weft_bridge_options options;
	struct flag_list env, pass_env_given, servers, origins, hosts;
	const char *session;
	uint64_t message_size_max;
	struct flag_list pass_env;
	const char *log_level_name, *log_format;
	weft_log_level log_level;
	bool is_json;
	bool has_run;	     /* main_fiber said what there was to say */
	weft_bridge *bridge; /* while main_fiber runs */
	weft_signals *signals;
};

void command_bridge_help(void)
{
	(void)fputs(help_ends, stdout);
	(void)fputs(help_flags, stdout);
}

/* ---- arguments ---- */

/* What children see in any case: weft_process_options' default list. */
static const char *const pass_always[] = { "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG",
	"LC_*", "TERM", "TMPDIR", "TZ", "XDG_RUNTIME_DIR" };

/* --pass-env A,B --pass-env C: names without commas, in memory that lives on. */
static int pass_env_split(struct bridge_command *c, char *memory, size_t size)
{
	size_t used = 0;

	if (c->pass_env_given.count == 0)
		return 0;
	for (size_t i = 0; i < sizeof(pass_always) / sizeof(pass_always[0]); i++)
		c->pass_env.items[c->pass_env.count++] = pass_always[i];
	for (size_t i = 0; i < c->pass_env_given.count; i++) {
		const char *at = c->pass_env_given.items[i];

		while (*at) {
			size_t len = strcspn(at, ",");

			if (c->pass_env.count == FLAG_LIST_MAX || used + len + 1 > size)
				return say_usage("--pass-env: too many names");
			memcpy(memory + used, at, len);
			memory[used + len] = '\0';
			c->pass_env.items[c->pass_env.count++] = memory + used;
			used += len + 1;
			at += len + (at[len] == ',');
		}
	}
	return 0;
}

static int log_flags(struct bridge_command *c)
{
	if (weft_log_level_parse(c->log_level_name, &c->log_level))
		return say_usage("--log-level: \"%s\" is not error, warn, info, debug or trace",
			c->log_level_name);
	if (strcmp(c->log_format, "json") == 0)
		c->is_json = true;
	else if (strcmp(c->log_format, "text") != 0)
		return say_usage("--log-format: \"%s\" is not text or json", c->log_format);
	return 0;
}

static int session_flags(struct bridge_command *c)
{
	if (c->session && strcmp(c->session, "shared") == 0)
		c->options.session_shared = true;
	else if (c->session && strcmp(c->session, "per") != 0)
		return say_usage("--session: \"%s\" is not per or shared", c->session);
	if (c->message_size_max > SIZE_MAX)
		return say_usage("--max-message-size: too large for this machine");
	c->options.message_size_max = (size_t)c->message_size_max;
	return 0;
}

static int arguments(struct bridge_command *c, const char *const *argv, bool *wants_help)
{
	weft_bridge_options *o = &c->options;
	const struct flag table[] = {
		{ "max-connections", FLAG_COUNT, &o->connections_max, 0, false },
		{ "connect-timeout", FLAG_DURATION, &o->connect_timeout_ns, INT64_MAX, false },
		{ "read-timeout", FLAG_DURATION, &o->read_timeout_ns, 0, false },
		{ "idle-timeout", FLAG_DURATION, &o->idle_timeout_ns, INT64_MAX, false },
		{ "drain-timeout", FLAG_DURATION, &o->drain_timeout_ns, INT64_MAX, true },
		{ "max-children", FLAG_COUNT, &o->children_max, 0, false },
		{ "pass-env", FLAG_LIST, &c->pass_env_given, 0, false },
		{ "env", FLAG_LIST, &c->env, 0, false },
		{ "insecure", FLAG_SWITCH, &o->insecure, 0, false },
		{ "self-signed", FLAG_SWITCH, &o->self_signed, 0, false },
		{ "log-level", FLAG_TEXT, &c->log_level_name, 0, false },
		{ "log-format", FLAG_TEXT, &c->log_format, 0, false },
		{ "session", FLAG_TEXT, &c->session, 0, false },
		{ "session-timeout", FLAG_DURATION, &o->session_timeout_ns, 0, false },
		{ "max-client-sessions", FLAG_COUNT, &o->client_sessions_max, 0, false },
		{ "max-message-size", FLAG_SIZE, &c->message_size_max, 0, false },
		{ "token-file", FLAG_TEXT, &o->token_file, 0, false },
		{ "allow-origin", FLAG_LIST, &c->origins, 0, false },
		{ "allow-host", FLAG_LIST, &c->hosts, 0, false },
		{ "server", FLAG_LIST, &c->servers, 0, false },
		{ "servers", FLAG_TEXT, &o->servers_file, 0, false },
		{ "record", FLAG_TEXT, &o->record, 0, false },
		{ "metrics", FLAG_TEXT, &o->metrics, 0, false },
	};
	const char *ends[2] = { NULL, NULL };
	struct flags flags = { .table = table,
		.table_len = sizeof(table) / sizeof(table[0]),
		.args = ends,
		.args_max = 2 };
	int status = flags_parse(&flags, argv);

	*wants_help = !status && flags.wants_help;
	if (status || flags.wants_help)
		return status;
	o->from = ends[0];
	o->to = ends[1];
	o->command = flags.command;
	o->servers = c->servers.items;
	o->allow_origins = c->origins.items;
	o->allow_hosts = c->hosts.items;
	status = session_flags(c);
	return status ? status : log_flags(c);
}

/* ---- running ---- */

static void reload(struct bridge_command *c)
{
	weft_bridge_event event = {
		.level = WEFT_LOG_INFO, .peer = "", .text = "files read again"
	};

	event.err = weft_bridge_reload(c->bridge);
	if (event.err) {
		event.level = WEFT_LOG_ERROR;
		event.text = weft_error_detail();
	}
	say_event(NULL, &event);
}

/* SIGHUP reads files again. Of the others the first drains, the second ends the process
 * at once. */
static weft_err signal_fiber(void *arg)
{
	struct bridge_command *c = arg;
	bool is_stopping = false;
	int number;

	while (!weft_signals_wait(c->signals, &number, WEFT_FOREVER)) {
		if (number == SIGHUP) {
			reload(c);
			continue;
		}
		if (is_stopping)
			_exit(128 + number);
		weft_bridge_stop(c->bridge);
		is_stopping = true;
	}
	return WEFT_OK;
}

/* Scripts read the first line. */
static void say_ready(const struct bridge_command *c)
{
	const char *name = weft_bridge_name(c->bridge), *to = weft_bridge_to_name(c->bridge);
	const char *server, *url;

	if (strncmp(c->options.from, "listen:", strlen("listen:")) == 0)
		say("listening on %s", name);
	else if (strcmp(name, "stdio:") != 0)
		say("connected to %s", name);
	for (size_t i = 0; (url = weft_bridge_server(c->bridge, i, &server)) != NULL; i++)
		say("server %s is at %s", server, url);
	if (to)
		say("TO is listening on %s", to);
	if (weft_bridge_fingerprint(c->bridge))
		say("self-signed certificate, for clients with %cfingerprint=%s",
			strstr(name, "https://") ? '#' : '?', weft_bridge_fingerprint(c->bridge));
}

static weft_err serve(struct bridge_command *c)
{
	weft_scope *scope = NULL;
	weft_err err;

	err = weft_scope_create(&scope);
	if (!err)
		err = weft_scope_spawn(scope, "signals", signal_fiber, c);
	if (!err)
		say_ready(c);
	say_log_start(c->is_json, c->log_level);
	if (!err)
		err = weft_bridge_run(c->bridge);
	if (err)
		say_fatal(err, weft_error_detail());
	weft_scope_free(scope);
	return err;
}

static bool is_tls(const char *endpoint)
{
	return endpoint && (strstr(endpoint, "tls://") || strstr(endpoint, "https://"));
}

static weft_err main_fiber(void *arg)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct bridge_command *c = arg;
	/* without anything to read again a hang-up ends the process, as ever */
	bool has_files = is_tls(c->options.from) || is_tls(c->options.to) ||
		c->options.token_file || c->options.servers_file || c->options.record ||
		is_tls(c->options.metrics);
	unsigned count = has_files ? 3 : 2;
	weft_err err;

	c->has_run = true;
	err = weft_signals_create(&c->signals, numbers, count);
	if (!err)
		err = weft_bridge_open(&c->bridge, &c->options);
	if (err) {
		say_log_start(c->is_json, c->log_level);
		say_fatal(err, weft_error_detail());
	} else {
		err = serve(c);
	}
	weft_bridge_free(c->bridge);
	weft_signals_free(c->signals);
	return err;
}

static bool has_stdio(const weft_bridge_options *o)
{
	return strcmp(o->from, "stdio:") == 0 || (o->to && strcmp(o->to, "stdio:") == 0);
}

int command_bridge(const char *const *argv)
{
	static char pass_env[65536];
	static struct bridge_command c = { .options = WEFT_BRIDGE_OPTIONS_DEFAULT,
		.log_level_name = "warn",
		.log_format = "text" };
	weft_run_options run = WEFT_RUN_OPTIONS_DEFAULT;
	bool wants_help = false;
	weft_err err;
	int status;

	status = arguments(&c, argv, &wants_help);
	if (!status && wants_help) {
		command_bridge_help();
		return say_flush();
	}
	if (!status)
		status = pass_env_split(&c, pass_env, sizeof(pass_env));
	if (status)
		return status;
	c.options.env = c.env.items;
	c.options.pass_env = c.pass_env.count ? c.pass_env.items : NULL;
	c.options.on_event = say_event;
	err = weft_bridge_check(&c.options);
	if (err) {
		say("%s", weft_error_detail());
		return err == WEFT_EINVAL || err == WEFT_ENOSYS ? EXIT_USAGE : EXIT_WORLD;
	}
	/* A session takes up to four descriptors; children get the limit that was. */
	(void)weft_descriptor_limit_raise();
	/* whoever started us may ignore it: then no child could be waited for */
	(void)signal(SIGCHLD, SIG_DFL);
	/* a recording that may not grow further is an error like a full disk */
	(void)signal(SIGXFSZ, SIG_IGN);
	run.dump_on_sigquit = true;
	if (has_stdio(&c.options))
		run.workers = 1; /* for its one session */
	err = weft_run(main_fiber, &c, &run);
	if (err && !c.has_run)
		say("%s", weft_error_detail());
	return err ? EXIT_WORLD : EXIT_DONE;
}
