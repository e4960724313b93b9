/* SPDX-License-Identifier: MIT */
#ifndef SCAN_ROWS_H
#define SCAN_ROWS_H

/*
 * What jsonrpc_scan.c and peers/cjson_scan.c measure, in one place, so that both do the same: a
 * JSON-RPC message is checked, and its id, method, params or result are found. The program
 * defines, before it includes this,
 *
 *	scan(text, len)		returns how many of these parts the message has
 *
 * Rows, ns a message; a row's second line is the same as GB a second:
 *	scan-300-call		a request of 300 bytes, tools/call with arguments and _meta
 *	scan-300-reply		its result, with a text
 *	scan-100k-text		100 KB, nearly all one string: prose, an escape each 80 bytes
 *	scan-100k-escaped	one string that holds JSON: an escape each 7 bytes
 *	scan-100k-unicode	one string of Chinese and emoji
 *	scan-100k-objects	a list of tools with their schemas, without spaces
 *	scan-100k-indented	the same, indented by two blanks a level
 *	scan-100k-numbers	an array of floating point numbers
 */
#include "bench.h"

#include <stdarg.h>

enum { SMALL = 300, LARGE = 100 * 1024, SCAN_TEXT_MAX = LARGE + 8192 };

struct scan_text {
	char bytes[SCAN_TEXT_MAX];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void put(struct scan_text *t, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	t->len += (size_t)vsnprintf(t->bytes + t->len, sizeof(t->bytes) - t->len, format, args);
	va_end(args);
	if (t->len >= sizeof(t->bytes))
		bench_die("a text of the benchmark is too long");
}

static void repeat(struct scan_text *t, const char *what, size_t until)
{
	while (t->len < until)
		put(t, "%s", what);
}

static void make_call(struct scan_text *t)
{
	put(t,
		"{\"jsonrpc\":\"2.0\",\"id\":4711,\"method\":\"tools/call\",\"params\":{\"name\":"
		"\"search_files\",\"arguments\":{\"path\":\"/home/someone/projects/weft\","
		"\"pattern\":\"*.c\",\"limit\":100,\"recursive\":true,\"exclude\":[\"build\",\"node_"
		"modules\",\".git\"],\"query\":\"accept4\",\"context\":2},\"_meta\":{"
		"\"progressToken\":\"p-4711\",\"client\":\"");
	repeat(t, "e", SMALL - 4);
	put(t, "\"}}}");
}

static void make_reply(struct scan_text *t)
{
	put(t,
		"{\"jsonrpc\":\"2.0\",\"id\":4711,\"result\":{\"content\":[{\"type\":\"text\","
		"\"text\":\"");
	repeat(t, "The file was found in src/net. ", SMALL - 40);
	put(t, "\"}],\"isError\":false}}");
}

static void make_string(struct scan_text *t, const char *piece)
{
	put(t,
		"{\"jsonrpc\":\"2.0\",\"id\":4711,\"result\":{\"content\":[{\"type\":\"text\","
		"\"text\":\"");
	repeat(t, piece, LARGE - 40);
	put(t, "\"}],\"isError\":false}}");
}

/* A line break and a level's blanks, when it is to be indented. */
static void line(struct scan_text *t, int indent, int level)
{
	if (indent)
		put(t, "\n%*s", level * indent, "");
}

static void make_tools(struct scan_text *t, int indent)
{
	const char *colon = indent ? ": " : ":";
	put(t, "{\"jsonrpc\":\"2.0\",\"id\":4711,\"result\":{\"tools\":[");
	for (int i = 0; t->len < LARGE - 1200; i++) {
		line(t, indent, 2);
		put(t, "%s{", i ? "," : "");
		line(t, indent, 3);
		put(t, "\"name\"%s\"tool_number_%d\",", colon, i);
		line(t, indent, 3);
		put(t, "\"description\"%s\"Does what tool %d does, and says so.\",", colon, i);
		line(t, indent, 3);
		put(t, "\"inputSchema\"%s{", colon);
		line(t, indent, 4);
		put(t, "\"type\"%s\"object\",", colon);
		line(t, indent, 4);
		put(t, "\"properties\"%s{", colon);
		for (int k = 0; k < 3; k++) {
			line(t, indent, 5);
			put(t, "%s\"arg%d\"%s{\"type\"%s\"string\",\"maxLength\"%s%d}",
				k ? "," : "", k, colon, colon, colon, 100 * k);
		}
		line(t, indent, 4);
		put(t, "},\"required\"%s[\"arg0\",\"arg1\"]", colon);
		line(t, indent, 3);
		put(t, "},\"annotations\"%s{\"readOnlyHint\"%strue}}", colon, colon);
	}
	line(t, indent, 1);
	put(t, "]}}");
}

static void make_numbers(struct scan_text *t)
{
	uint64_t seed = 1;
	put(t, "{\"jsonrpc\":\"2.0\",\"id\":4711,\"result\":{\"embedding\":[0");
	while (t->len < LARGE - 40) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		put(t, ",%.10g", (double)(int64_t)seed / 9.3e18);
	}
	put(t, "]}}");
}

static void make(struct scan_text *t, const char *row)
{
	const char *shape = strrchr(row, '-') + 1;
	if (!strcmp(shape, "call"))
		make_call(t);
	else if (!strcmp(shape, "reply"))
		make_reply(t);
	else if (!strcmp(shape, "text"))
		make_string(t,
			"It was the best of times, it was the worst of times, and that at "
			"once it was.\\n");
	else if (!strcmp(shape, "escaped"))
		make_string(
			t, "{\\\"key\\\":\\\"value\\\",\\\"n\\\":12,\\\"list\\\":[\\\"x\\\"]}\\n");
	else if (!strcmp(shape, "unicode"))
		make_string(t, "\xe6\x96\x87\xe5\xad\x97\xe6\xbc\xa2\xe8\xaf\xad\xf0\x9f\x98\x80");
	else if (!strcmp(shape, "objects"))
		make_tools(t, 0);
	else if (!strcmp(shape, "indented"))
		make_tools(t, 2);
	else
		make_numbers(t);
}

static struct scan_text text;

static double scan_pass(void *arg, uint64_t n)
{
	int64_t begin = bench_now_ns();
	(void)arg;
	for (uint64_t i = 0; i < n; i++)
		bench_look_at((uint64_t)scan(text.bytes, text.len));
	return (double)(bench_now_ns() - begin);
}

static void run(const char *row)
{
	char rate[64];
	double ns;
	bench_pin(0);
	make(&text, row);
	if (scan(text.bytes, text.len) != (strstr(row, "call") ? 3 : 2))
		bench_die("the parts of a message");
	ns = bench_calibrated(scan_pass, NULL, UINT64_C(1) << 40);
	bench_report(row, ns, "ns");
	snprintf(rate, sizeof rate, "%s-rate", row);
	bench_report(rate, (double)text.len / ns, "GB/s");
}

static const struct bench_row rows[] = { { "scan-300-call", run }, { "scan-300-reply", run },
	{ "scan-100k-text", run }, { "scan-100k-escaped", run }, { "scan-100k-unicode", run },
	{ "scan-100k-objects", run }, { "scan-100k-indented", run }, { "scan-100k-numbers", run },
	{ NULL, NULL } };

#endif
