/* SPDX-License-Identifier: MIT */
/*
 * A server of the Model Context Protocol on stdin and stdout, with four tools: echo, add, slow and
 * progress. To make one of your own, write other tools into the table.
 *
 * Each message runs its handler in a fiber of its own. So a slow call holds up no other, and one
 * that the client cancels is told to stop in whatever it waits for. The server ends when stdin
 * does, once the calls under way are answered.
 */
#include <weft/weft.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEND_MS 30000 /* for a client that does not read */
#define TEXT_MAX 200  /* bytes of a text that a tool makes */
#define STEPS_MAX 1000
#define MS_MAX 60000

static const weft_json none = { NULL, 0 };

/* ---- for tools ---- */

/* JSON of parts, in memory of its own, for free(); NULL: there is no memory. */
static char *format(const char *how, ...) __attribute__((format(printf, 1, 2)));
static char *format(const char *how, ...)
{
	va_list args, again;
	char *text;
	int len;

	va_start(args, how);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, how, args);
	text = len < 0 ? NULL : malloc((size_t)len + 1);
	if (text)
		(void)vsnprintf(text, (size_t)len + 1, how, again);
	va_end(again);
	va_end(args);
	return text;
}

/* Answers with the result, which is taken. */
static weft_err reply(weft_rpc_request *request, char *result)
{
	weft_err err = WEFT_ENOMEM;

	if (result)
		err = weft_rpc_request_reply(request, (weft_json){ result, strlen(result) });
	free(result);
	return err;
}

/* What a tool says: a JSON string, which goes as it is. */
static weft_err say_json(weft_rpc_request *request, bool is_error, weft_json string)
{
	return reply(request,
		format("{\"content\":[{\"type\":\"text\",\"text\":%.*s}],\"isError\":%s}",
			(int)string.len, string.text, is_error ? "true" : "false"));
}

/* A text. */
static weft_err say(weft_rpc_request *request, bool is_error, const char *how, ...)
	__attribute__((format(printf, 3, 4)));
static weft_err say(weft_rpc_request *request, bool is_error, const char *how, ...)
{
	char text[TEXT_MAX], string[6 * TEXT_MAX + 2];
	size_t len = 0;
	weft_err err;
	va_list args;

	va_start(args, how);
	(void)vsnprintf(text, sizeof(text), how, args);
	va_end(args);
	err = weft_json_string_encode(text, strlen(text), string, sizeof(string), &len);
	return err ? err : say_json(request, is_error, (weft_json){ string, len });
}

/* No value where there is none of that name. */
static weft_json argument(weft_json arguments, const char *name)
{
	weft_json value;

	return weft_json_get(&value, arguments, name) ? none : value;
}

static bool number_of(weft_json value, double *out)
{
	char text[64];

	if (weft_json_type_of(value) != WEFT_JSON_NUMBER || value.len >= sizeof(text))
		return false;
	memcpy(text, value.text, value.len);
	text[value.len] = '\0';
	*out = strtod(text, NULL);
	return true;
}

/* No value leaves *out as it is. */
static bool integer_of(weft_json value, int64_t min, int64_t max, int64_t *out)
{
	return !value.text || (!weft_json_integer(value, out) && *out >= min && *out <= max);
}

/* To a client that asked for it, by a progressToken. */
static weft_err tell_progress(weft_rpc_request *request, int64_t done, int64_t total)
{
	weft_json token = weft_rpc_request_message(request)->meta_progress_token;
	char *params;
	weft_err err;

	if (!token.text)
		return WEFT_OK;
	params = format("{\"progressToken\":%.*s,\"progress\":%lld,\"total\":%lld}", (int)token.len,
		token.text, (long long)done, (long long)total);
	if (!params)
		return WEFT_ENOMEM;
	err = weft_rpc_notify(weft_rpc_request_rpc(request), "notifications/progress",
		(weft_json){ params, strlen(params) }, weft_after_ms(SEND_MS));
	free(params);
	return err;
}

/* ---- the tools ---- */

/*
 * A tool says one thing. Arguments that don't fit are the model's affair, who may mend them: the
 * tool says so as an error of its own. What it waits for returns WEFT_ECANCELED once its call is
 * cancelled; it returns that, and nobody is answered.
 */

static weft_err echo(weft_rpc_request *request, weft_json arguments)
{
	weft_json text = argument(arguments, "text");

	if (weft_json_type_of(text) != WEFT_JSON_STRING)
		return say(request, true, "\"text\" has to be a string");
	return say_json(request, false, text);
}

static weft_err add(weft_rpc_request *request, weft_json arguments)
{
	double a, b;

	if (!number_of(argument(arguments, "a"), &a) || !number_of(argument(arguments, "b"), &b))
		return say(request, true, "\"a\" and \"b\" have to be numbers");
	if (!isfinite(a + b))
		return say(request, true, "the sum is too large");
	return say(request, false, "%.15g", a + b);
}

static weft_err slow(weft_rpc_request *request, weft_json arguments)
{
	int64_t ms = 1000;
	weft_err err;

	if (!integer_of(argument(arguments, "ms"), 0, MS_MAX, &ms))
		return say(request, true, "\"ms\" is an integer from 0 to %d", MS_MAX);
	err = weft_sleep_ms(ms);
	if (err) {
		(void)fprintf(stderr, "slow: cancelled\n"); /* stderr is for people */
		return err;
	}
	return say(request, false, "waited %lld ms", (long long)ms);
}

static weft_err progress(weft_rpc_request *request, weft_json arguments)
{
	int64_t steps = 3, ms = 50;
	weft_err err = WEFT_OK;

	if (!integer_of(argument(arguments, "steps"), 1, STEPS_MAX, &steps))
		return say(request, true, "\"steps\" is an integer from 1 to %d", STEPS_MAX);
	if (!integer_of(argument(arguments, "ms"), 0, MS_MAX, &ms))
		return say(request, true, "\"ms\" is an integer from 0 to %d", MS_MAX);
	for (int64_t done = 1; !err && done <= steps; done++) {
		err = weft_sleep_ms(ms);
		if (!err)
			err = tell_progress(request, done, steps);
	}
	return err ? err : say(request, false, "%lld steps", (long long)steps);
}

static const struct tool {
	const char *name, *description;
	const char *properties, *required; /* of its arguments' JSON Schema */
	weft_err (*run)(weft_rpc_request *request, weft_json arguments);
} tools[] = {
	{ "echo", "Gives the text back.", "\"text\":{\"type\":\"string\"}", "\"text\"", echo },
	{ "add", "Adds two numbers.", "\"a\":{\"type\":\"number\"},\"b\":{\"type\":\"number\"}",
		"\"a\",\"b\"", add },
	{ "slow", "Waits so many milliseconds (1000).", "\"ms\":{\"type\":\"integer\"}", "", slow },
	{ "progress", "Takes so many steps (3) of so many milliseconds (50), and tells of each.",
		"\"steps\":{\"type\":\"integer\"},\"ms\":{\"type\":\"integer\"}", "", progress },
};
#define TOOLS_COUNT (sizeof(tools) / sizeof(tools[0]))

/* ---- the protocol ---- */

static weft_err refuse(weft_rpc_request *request, const char *why)
{
	return weft_rpc_request_reply_error(request, WEFT_JSONRPC_INVALID_PARAMS, why, none);
}

/* The client's version if it is known here, else the newest that is: the client may then leave. */
static weft_err initialize(weft_rpc_request *request, void *user)
{
	static const char *const versions[] = { "2025-11-25", "2025-06-18", "2025-03-26",
		"2024-11-05" };
	const char *version = versions[0];
	weft_json asked;

	(void)user;
	if (weft_json_get(&asked, weft_rpc_request_message(request)->params, "protocolVersion"))
		return refuse(request, "protocolVersion is missing");
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		if (weft_json_string_is(asked, versions[i]))
			version = versions[i];
	}
	return reply(request,
		format("{\"protocolVersion\":\"%s\",\"capabilities\":{\"tools\":{}},"
		       "\"serverInfo\":{\"name\":\"weft-example\",\"version\":\"%s\"}}",
			version, weft_version()));
}

static weft_err ping(weft_rpc_request *request, void *user)
{
	(void)user;
	return weft_rpc_request_reply(request, (weft_json){ "{}", 2 });
}

static weft_err tools_list(weft_rpc_request *request, void *user)
{
	char *list = format("{\"tools\":[");

	(void)user;
	for (size_t i = 0; list && i < TOOLS_COUNT; i++) {
		char *longer = format(
			"%s%s{\"name\":\"%s\",\"description\":\"%s\",\"inputSchema\":{\"type\":"
			"\"object\",\"properties\":{%s},\"required\":[%s]}}%s",
			list, i ? "," : "", tools[i].name, tools[i].description,
			tools[i].properties, tools[i].required, i + 1 < TOOLS_COUNT ? "" : "]}");

		free(list);
		list = longer;
	}
	return reply(request, list);
}

static weft_err tools_call(weft_rpc_request *request, void *user)
{
	const weft_jsonrpc *message = weft_rpc_request_message(request);

	(void)user;
	for (size_t i = 0; i < TOOLS_COUNT; i++) {
		if (weft_json_string_is(message->name, tools[i].name))
			return tools[i].run(request, argument(message->params, "arguments"));
	}
	return refuse(request, "there is no such tool");
}

static weft_err serve(void *arg)
{
	static const weft_rpc_method methods[] = {
		{ "initialize", initialize, NULL },
		{ "ping", ping, NULL },
		{ "tools/list", tools_list, NULL },
		{ "tools/call", tools_call, NULL },
	};
	weft_rpc_options options = WEFT_RPC_OPTIONS_DEFAULT;
	weft_transport *client;
	weft_rpc *rpc = NULL;
	weft_conn *conn;
	weft_err err = weft_conn_stdio(&conn);

	(void)arg;
	options.methods = methods;
	options.method_count = sizeof(methods) / sizeof(methods[0]);
	if (!err)
		err = weft_transport_lines_own(&client, conn, NULL);
	if (!err)
		err = weft_rpc_create_own(&rpc, client, &options);
	if (!err)
		err = weft_rpc_wait(rpc, WEFT_FOREVER);
	weft_rpc_free(rpc);
	return err == WEFT_ECLOSED ? WEFT_OK : err; /* closed: stdin has ended */
}

int main(void)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;
	weft_err err;

	options.workers = 1; /* the tools wait more than they compute */
	err = weft_run(serve, NULL, &options);
	if (err)
		(void)fprintf(stderr, "mcp_server: %s\n", weft_error_detail());
	return err ? 1 : 0;
}
