/* SPDX-License-Identifier: MIT */
/*
 * mcp_stdio [--delay-us N]: a server of the Model Context Protocol on standard input and output
 * that is as quick as one can be, so that what is measured is the bridge before it: what has come
 * is read by one call, answered, and written by one call; nothing is allocated. Its one tool says
 * its text again.
 *
 * With a delay each call of the tool is answered so long after it came, however many are under way.
 */
#include "../mcp_json.h"

#include <poll.h>
#include <sys/prctl.h>

enum { IN_MAX = 64 * 1024, ANSWER_MAX = 4096, OUT_MAX = 16 * ANSWER_MAX, LATE_MAX = 1024 };

#define TOOL                                                                              \
	"{\"name\":\"echo\",\"description\":\"The same text\",\"inputSchema\":{\"type\":" \
	"\"object\",\"properties\":{\"text\":{\"type\":\"string\"}}}}"
#define MODERN "2026-07-28"
#define VERSION_META "io.modelcontextprotocol/protocolVersion"

/* An answer that is not due yet. */
struct late {
	int64_t due_ns;
	size_t len;
	char text[ANSWER_MAX];
};

static char in[IN_MAX], out[OUT_MAX];
static size_t in_len, out_len;
static struct late late[LATE_MAX]; /* a ring, in the order of their times */
static size_t late_first, late_count;
static int64_t delay_ns;

static void flush_out(void)
{
	for (size_t done = 0; done < out_len;) {
		ssize_t n = write(STDOUT_FILENO, out + done, out_len - done);
		if (n < 0)
			exit(0); /* nobody reads any more */
		done += (size_t)n;
	}
	out_len = 0;
}

/* For one answer. */
static char *room(void)
{
	if (OUT_MAX - out_len < 2 * ANSWER_MAX)
		flush_out();
	return out + out_len;
}

static size_t fits(int len)
{
	if (len < 0 || len >= ANSWER_MAX)
		bench_die("an answer that is too long");
	return (size_t)len;
}

/* A call's answer, into ANSWER_MAX bytes. */
static size_t echo(char *to, struct json_span id, struct json_span params, bool modern)
{
	struct json_span text = json_member(json_member(params, "arguments"), "text");
	if (!text.len)
		text = (struct json_span){ "\"\"", 2 };
	return fits(snprintf(to, ANSWER_MAX,
		"{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{%s\"content\":[{\"type\":\"text\","
		"\"text\":%.*s}]}}\n",
		(int)id.len, id.at, modern ? "\"resultType\":\"complete\"," : "", (int)text.len,
		text.at));
}

static void call(struct json_span id, struct json_span params, bool modern)
{
	if (!delay_ns) {
		char *to = room();
		out_len += echo(to, id, params, modern);
		return;
	}
	if (late_count == LATE_MAX)
		bench_die("more calls under way than there is room for");
	struct late *l = &late[(late_first + late_count++) % LATE_MAX];
	l->due_ns = bench_now_ns() + delay_ns;
	l->len = echo(l->text, id, params, modern);
}

static void result(struct json_span id, const char *about, struct json_span version)
{
	char *to = room();
	out_len += fits(snprintf(to, ANSWER_MAX, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{",
		(int)id.len, id.at));
	if (version.len)
		out_len += fits(snprintf(out + out_len, ANSWER_MAX / 2, "\"protocolVersion\":%.*s,",
			(int)version.len, version.at));
	out_len += fits(snprintf(out + out_len, ANSWER_MAX / 2, "%s}}\n", about));
}

#define MODERN_RESULT "\"resultType\":\"complete\",\"ttlMs\":3600000,\"cacheScope\":\"public\","
#define SERVER                                             \
	"\"capabilities\":{\"tools\":{}},\"serverInfo\":{" \
	"\"name\":\"mcp_stdio\",\"version\":\"1.0\"}"

static void answer(struct json_span message)
{
	const struct json_span none = { NULL, 0 };
	struct json_span id = json_member(message, "id"), method = json_member(message, "method");
	struct json_span params = json_member(message, "params");
	struct json_span version = json_member(json_member(params, "_meta"), VERSION_META);
	const bool modern = json_is(version, "\"" MODERN "\"");
	if (!id.len || !method.len)
		return;
	if (json_is(method, "\"tools/call\""))
		call(id, params, modern);
	else if (json_is(method, "\"initialize\""))
		result(id, SERVER, json_member(params, "protocolVersion"));
	else if (json_is(method, "\"server/discover\""))
		result(id, MODERN_RESULT "\"supportedVersions\":[\"" MODERN "\"]," SERVER, none);
	else if (json_is(method, "\"tools/list\""))
		result(id, modern ? MODERN_RESULT "\"tools\":[" TOOL "]" : "\"tools\":[" TOOL "]",
			none);
	else if (json_is(method, "\"ping\""))
		result(id, "", none);
	else {
		char *to = room();
		out_len += fits(snprintf(to, ANSWER_MAX,
			"{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"error\":{\"code\":-32601,"
			"\"message\":\"no such method\"}}\n",
			(int)id.len, id.at));
	}
}

/* Reads what is there and answers it. */
static void take(void)
{
	ssize_t got = read(STDIN_FILENO, in + in_len, IN_MAX - in_len);
	if (got <= 0)
		exit(0);
	in_len += (size_t)got;
	char *from = in, *end;
	while ((end = memchr(from, '\n', (size_t)(in + in_len - from)))) {
		const char *at = json_blank_end(from, end);
		answer((struct json_span){ at, (size_t)(end - at) });
		from = end + 1;
	}
	in_len -= (size_t)(from - in);
	memmove(in, from, in_len);
	if (in_len == IN_MAX)
		bench_die("a message that is too long");
}

/* Waits for standard input until the first late answer is due, and puts out what is. */
static void wait_late(void)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	int64_t left = late[late_first].due_ns - bench_now_ns();
	if (left > 0) {
		struct timespec ts = { .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };
		if (ppoll(&input, 1, &ts, NULL) > 0)
			take();
	}
	for (; late_count && late[late_first].due_ns <= bench_now_ns(); late_count--) {
		struct late *l = &late[late_first];
		memcpy(room(), l->text, l->len);
		out_len += l->len;
		late_first = (late_first + 1) % LATE_MAX;
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--delay-us")) {
		delay_ns = (int64_t)strtoul(argv[2], NULL, 10) * 1000;
	} else if (argc != 1) {
		fprintf(stderr, "usage: mcp_stdio [--delay-us N]\n");
		return 2;
	}
	if (prctl(PR_SET_TIMERSLACK, 1))
		bench_die("prctl");
	for (;;) {
		if (late_count)
			wait_late();
		else
			take();
		if (out_len)
			flush_out();
	}
}
