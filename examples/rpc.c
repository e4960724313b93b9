/* SPDX-License-Identifier: MIT */
/*
 * A server of JSON-RPC on its stdin and stdout, and a client that runs it as its child: the same
 * program, with and without the argument "serve".
 */
#include <weft/weft.h>

#include <stdio.h>
#include <string.h>

/* ---- the server ---- */

static weft_err add(weft_rpc_request *request, void *user)
{
	const weft_jsonrpc *m = weft_rpc_request_message(request);
	weft_json_iter numbers = weft_json_iter_of(m->params);
	char digits[WEFT_JSON_INTEGER_SIZE];
	int64_t sum = 0, n;
	weft_json value;

	(void)user;
	while (!weft_json_next(&numbers, NULL, &value)) {
		if (weft_json_integer(value, &n) != WEFT_OK)
			return weft_rpc_request_reply_error(
				request, WEFT_JSONRPC_INVALID_PARAMS, "only whole numbers", value);
		sum += n;
	}
	return weft_rpc_request_reply(request, weft_json_of_integer(sum, digits));
}

/* Until the caller gives up: that cancels this fiber. */
static weft_err think(weft_rpc_request *request, void *user)
{
	weft_err err = weft_sleep_until(WEFT_FOREVER);

	(void)request;
	(void)user;
	fprintf(stderr, "thinking ended: %s\n", weft_strerror(err));
	return err;
}

static weft_err serve(void *arg)
{
	static const weft_rpc_method methods[] = { { "add", add, NULL }, { "think", think, NULL } };
	const weft_rpc_options options = { methods, 2, 0, 0 };
	weft_incoming *incoming;
	weft_err err = weft_incoming_stdio(&incoming, NULL);

	(void)arg;
	if (!err) {
		err = weft_rpc_serve(incoming, &options, WEFT_FOREVER);
		weft_incoming_free(incoming);
	}
	return err;
}

/* ---- the client ---- */

/* What the child says on stderr. */
static void child_says(void *user, const char *name, const char *line)
{
	(void)user;
	printf("%s says: %s\n", name, line);
}

static weft_err ask(weft_rpc *rpc, const char *params)
{
	weft_message answer;
	weft_err err;

	err = weft_rpc_call(
		rpc, "add", (weft_json){ params, strlen(params) }, &answer, weft_after_ms(10000));
	if (err)
		return err;
	if (answer.rpc.kind == WEFT_JSONRPC_RESPONSE)
		printf("add %s: %.*s\n", params, (int)answer.rpc.result.len,
			answer.rpc.result.text);
	else
		printf("add %s: error %.*s: %.*s\n", params, (int)answer.rpc.error_code.len,
			answer.rpc.error_code.text, (int)answer.rpc.error_data.len,
			answer.rpc.error_data.text);
	weft_message_fini(&answer);
	return WEFT_OK;
}

static weft_err talk(weft_rpc *rpc)
{
	weft_message answer;
	weft_err err = ask(rpc, "[1,2,39]");

	if (!err)
		err = ask(rpc, "[1,true]");
	if (err)
		return err;
	err = weft_rpc_call(rpc, "think", (weft_json){ NULL, 0 }, &answer, weft_after_ms(300));
	printf("think: %s\n", weft_strerror(err));
	return err == WEFT_ETIMEDOUT ? WEFT_OK : err;
}

static weft_err run(void *program)
{
	const char *const argv[] = { program, "serve", NULL };
	weft_process_options process = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_outgoing *outgoing = NULL;
	weft_transport *transport;
	weft_rpc *rpc = NULL;
	weft_err err;

	process.argv = argv;
	err = weft_outgoing_process(&outgoing, "server", &process, NULL, child_says, NULL);
	if (!err)
		err = weft_outgoing_connect(outgoing, &transport, WEFT_FOREVER);
	if (!err)
		err = weft_rpc_create_own(&rpc, transport, NULL);
	if (!err)
		err = talk(rpc);
	weft_rpc_free(rpc); /* ends the child, and waits for it */
	weft_outgoing_free(outgoing);
	return err;
}

int main(int argc, char **argv)
{
	bool is_server = argc > 1 && strcmp(argv[1], "serve") == 0;
	weft_err err = weft_run(is_server ? serve : run, argv[0], NULL);

	if (err)
		fprintf(stderr, "rpc: %s\n", weft_error_detail());
	return err ? 1 : 0;
}
