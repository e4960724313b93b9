/* SPDX-License-Identifier: MIT */
/*
 * What the scanner says of texts, for tests that are not in C: reads texts, each behind its length
 * (4 bytes, little-endian), writes a line for each:
 *
 *	KIND FAULT_CODE FAULT_OFFSET PART=OFFSET+LENGTH ... text=DECODED,ENCODED
 *
 * text is there when method is: its text and that as a string again, in hexadecimal. A batch has a
 * line for each element, behind "- ", and one with a dot.
 */
#include <weft/jsonrpc.h>

#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX (1 << 20)

static const char *base;

static void part(const char *name, weft_json span)
{
	if (span.text)
		printf(" %s=%zu+%zu", name, (size_t)(span.text - base), span.len);
}

static void hex(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		printf("%02x", (unsigned char)bytes[i]);
}

/* The method decoded, and that encoded again. */
static void method(weft_json string)
{
	char *text = malloc(string.len), *again = malloc(6 * string.len);
	size_t len, size;

	if (!text || !again || weft_json_string_decode(string, text, string.len, &len) ||
		weft_json_string_encode(text, len, again, 6 * string.len, &size))
		exit(1);
	printf(" text=");
	hex(text, len);
	printf(",");
	hex(again, size);
	free(text);
	free(again);
}

static void say(const weft_jsonrpc *m)
{
	static const char *const kinds[] = { "none", "request", "notification", "response", "error",
		"batch", "invalid" };

	printf("%s %d %zu", kinds[m->kind], m->fault_code, m->fault_offset);
	part("message", m->text);
	part("id", m->id);
	part("method", m->method);
	part("params", m->params);
	part("result", m->result);
	part("error", m->error);
	part("code", m->error_code);
	part("error_message", m->error_message);
	part("data", m->error_data);
	part("meta", m->meta);
	part("name", m->name);
	part("uri", m->uri);
	part("token", m->progress_token);
	part("request", m->request_id);
	part("meta_token", m->meta_progress_token);
	if (m->kind != WEFT_JSONRPC_INVALID && m->method.text)
		method(m->method);
	printf("\n");
}

static void verdict(const char *text, size_t len)
{
	weft_jsonrpc m, element;
	size_t at = 0;
	weft_json value;
	weft_err err = weft_json_check(&value, text, len, NULL);

	base = text;
	weft_jsonrpc_scan(&m, text, len, NULL);
	if ((err != WEFT_OK) != (m.fault_code == WEFT_JSONRPC_PARSE_ERROR)) {
		printf("disagree\n");
		return;
	}
	say(&m);
	if (m.kind != WEFT_JSONRPC_BATCH)
		return;
	while (weft_jsonrpc_batch_next(&m, &at, &element, NULL)) {
		printf("- ");
		say(&element);
	}
	printf(".\n");
}

int main(void)
{
	unsigned char head[4];

	while (fread(head, 1, 4, stdin) == 4) {
		size_t len = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 |
			(size_t)head[3] << 24;
		char *text = len <= TEXT_MAX ? malloc(len ? len : 1) : NULL;

		if (!text || fread(text, 1, len, stdin) != len)
			return 1;
		verdict(text, len);
		free(text);
	}
	return 0;
}
