/* SPDX-License-Identifier: MIT */
/*
 * A relay between a client and a server that others use, too: the ids of requests become its own, so
 * that they can't meet those of others, and the answers get the client's back, byte for byte.
 */
#include <weft/jsonrpc.h>

#include <stdio.h>
#include <string.h>

#define LINE_MAX 512

/* What the relay keeps of a request that waits for its answer. */
struct waiting {
	char id[64]; /* the client's, as JSON */
	size_t len;
};

static void show(const char *to, const char *text, size_t len)
{
	printf("%s: %.*s\n", to, (int)len, text);
}

/* What is no message is answered, with its id where it has one. */
static weft_err refuse(const weft_jsonrpc *m)
{
	weft_jsonrpc_draft answer = {
		.kind = WEFT_JSONRPC_ERROR, .id = m->id, .code = m->fault_code, .message = m->fault
	};
	char line[LINE_MAX];
	size_t len = 0;
	weft_err err = weft_jsonrpc_write(&answer, line, sizeof(line), &len);

	if (!err)
		show("client", line, len);
	return err;
}

static weft_err from_client(const char *text, int64_t own_id, struct waiting *waiting)
{
	char digits[WEFT_JSON_INTEGER_SIZE], line[LINE_MAX];
	weft_json_edit edits[2];
	weft_jsonrpc m;
	size_t len = 0;
	weft_err err;

	if (weft_jsonrpc_scan(&m, text, strlen(text), NULL) == WEFT_JSONRPC_INVALID)
		return refuse(&m);
	if (m.id.len > sizeof(waiting->id))
		return WEFT_EMSGSIZE;
	memcpy(waiting->id, m.id.text, m.id.len);
	waiting->len = m.id.len;
	/* a progress token is an id, too; where there is none, nothing is done */
	edits[0] = (weft_json_edit){ m.id, weft_json_of_integer(own_id, digits) };
	edits[1] = (weft_json_edit){ m.meta_progress_token, edits[0].value };
	err = weft_json_edit_write(m.text, edits, 2, line, sizeof(line), &len);
	if (!err)
		show("server", line, len);
	return err;
}

static weft_err from_server(char *text, const struct waiting *waiting)
{
	weft_json_edit edit;
	weft_jsonrpc m;
	char line[LINE_MAX];
	size_t len = strlen(text);
	weft_err err;

	weft_jsonrpc_scan(&m, text, len, NULL);
	err = weft_jsonrpc_check(&m);
	if (err)
		return err;
	edit = (weft_json_edit){ m.id, { waiting->id, waiting->len } };
	if (!weft_json_edit_in_place(text, len, &edit, 1)) { /* it fits: nothing is copied */
		show("client", text, len);
		return WEFT_OK;
	}
	err = weft_json_edit_write(m.text, &edit, 1, line, sizeof(line), &len);
	if (!err)
		show("client", line, len);
	return err;
}

int main(void)
{
	char answer[] = "{\"jsonrpc\":\"2.0\",\"id\":1001,\"result\":{}}";
	char short_answer[] = "{\"jsonrpc\":\"2.0\",\"id\":1002,\"result\":{}}";
	struct waiting first, second, none;
	weft_err err;

	err = from_client(
		"{\"jsonrpc\":\"2.0\",\"id\":\"c-\\u0031\",\"method\":\"tools/call\",\"params\":"
		"{\"name\":\"now\",\"_meta\":{\"progressToken\":5}}}",
		1001, &first);
	if (!err)
		err = from_client(
			"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}", 1002, &second);
	if (!err)
		err = from_server(short_answer, &second);
	if (!err)
		err = from_server(answer, &first);
	if (!err)
		err = from_client(
			"{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"x\",\"Method\":\"y\"}", 0,
			&none);
	if (err)
		fprintf(stderr, "jsonrpc: %s\n", weft_error_detail());
	return err ? 1 : 0;
}
