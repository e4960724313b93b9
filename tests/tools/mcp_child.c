/* SPDX-License-Identifier: MIT */
/*
 * mcp_child: a server of the Model Context Protocol on standard input and output for tests that start
 * thousands of them, or have messages of megabytes: it starts at once, and takes lines of any length.
 *
 * Its tools:
 *	echo	arguments.text
 *	tell	the same, after a notification
 *	big	a text of arguments.size bytes
 *	flood	arguments.count notifications of 100 bytes, then "done"
 *	hold	no answer; but progress, if that is asked for
 *	pid	its process id
 */
#include "../../bench/mcp_json.h"

#include <unistd.h>

static char *in;
static size_t in_len, in_size;

static void put(const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, data, len);

		if (n <= 0)
			_exit(0); /* nobody reads any more */
		data += n;
		len -= (size_t)n;
	}
}

static char *room(size_t size)
{
	char *out = malloc(size);

	if (!out)
		bench_die("out of memory");
	return out;
}

/* text: with its quotes. */
static void answer_text(struct json_span id, struct json_span text)
{
	static const char tail[] = "}]}}\n";
	char *out = room(id.len + text.len + 256);
	int len = snprintf(out, id.len + 256,
		"{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{\"content\":[{\"type\":\"text\","
		"\"text\":",
		(int)id.len, id.at);

	memcpy(out + len, text.at, text.len);
	memcpy(out + (size_t)len + text.len, tail, sizeof(tail) - 1);
	put(out, (size_t)len + text.len + sizeof(tail) - 1);
	free(out);
}

static void answer(struct json_span id, const char *what, const char *value)
{
	char out[2048];
	int len = snprintf(out, sizeof(out), "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"%s\":%s}\n",
		(int)id.len, id.at, what, value);

	if (len < (int)sizeof(out))
		put(out, (size_t)len);
}

static void tell(void)
{
	static const char note[] =
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":"
		"\"info\",\"data\":\"0123456789\"}}\n";

	put(note, sizeof(note) - 1);
}

static void report(struct json_span token)
{
	char out[256];
	int len = snprintf(out, sizeof(out),
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
		"\"progressToken\":%.*s,\"progress\":1}}\n",
		(int)token.len, token.at);

	if (token.len && len < (int)sizeof(out))
		put(out, (size_t)len);
}

static void call(struct json_span id, struct json_span params)
{
	struct json_span name = json_member(params, "name");
	struct json_span arguments = json_member(params, "arguments");
	struct json_span size = json_member(arguments, "size");
	struct json_span count = json_member(arguments, "count");
	size_t n = size.len ? strtoul(size.at, NULL, 10) : 0;
	char *text;

	if (json_is(name, "\"hold\"")) {
		report(json_member(json_member(params, "_meta"), "progressToken"));
		return;
	}
	if (json_is(name, "\"tell\""))
		tell();
	for (unsigned long i = count.len ? strtoul(count.at, NULL, 10) : 0; i > 0; i--)
		tell();
	if (json_is(name, "\"big\"")) {
		text = room(n + 2);
		memset(text, 'x', n + 2);
		text[0] = text[n + 1] = '"';
		answer_text(id, (struct json_span){ text, n + 2 });
		free(text);
	} else if (json_is(name, "\"pid\"")) {
		char digits[32];
		int len = snprintf(digits, sizeof(digits), "\"%d\"", (int)getpid());

		answer_text(id, (struct json_span){ digits, (size_t)len });
	} else if (json_is(name, "\"flood\"")) {
		answer_text(id, (struct json_span){ "\"done\"", 6 });
	} else {
		answer_text(id, json_member(arguments, "text"));
	}
}

static void take(struct json_span message)
{
	struct json_span id = json_member(message, "id"), method = json_member(message, "method");
	struct json_span params = json_member(message, "params");

	if (!id.len || !method.len)
		return;
	if (json_is(method, "\"tools/call\""))
		call(id, params);
	else if (json_is(method, "\"initialize\""))
		answer(id, "result",
			"{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"tools\":{}},"
			"\"serverInfo\":{\"name\":\"mcp_child\",\"version\":\"1\"}}");
	else if (json_is(method, "\"ping\""))
		answer(id, "result", "{}");
	else
		answer(id, "error", "{\"code\":-32601,\"message\":\"no such method\"}");
}

int main(void)
{
	size_t seen = 0;

	for (;;) {
		char *end;
		ssize_t got;

		if (in_size - in_len < 65536) {
			in_size = in_size ? 2 * in_size : 131072;
			in = realloc(in, in_size);
			if (!in)
				bench_die("out of memory");
		}
		got = read(STDIN_FILENO, in + in_len, in_size - in_len);
		if (got <= 0)
			return 0;
		in_len += (size_t)got;
		while ((end = memchr(in + seen, '\n', in_len - seen))) {
			size_t len = (size_t)(end - in) + 1;

			take((struct json_span){ in, len - 1 });
			memmove(in, in + len, in_len - len);
			in_len -= len;
			seen = 0;
		}
		seen = in_len;
	}
}
