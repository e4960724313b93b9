/* SPDX-License-Identifier: MIT */
#include "support/mcpd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the server behind it ---- */

struct served {
	struct mcpd *d;
	weft_transport *transport;
	weft_scope *scope;
	weft_message asking; /* the request "ask" that waits for the client */
	bool is_ended;
	weft_parker *waiter;
};

struct handling {
	struct served *s;
	weft_message request;
};

static int64_t number(weft_json params, const char *name, int64_t otherwise)
{
	weft_json value;
	int64_t n;

	if (weft_json_get(&value, params, name) || weft_json_integer(value, &n))
		return otherwise;
	return n;
}

/* How it went is the client's to see: it, or the session, may be gone. */
static void send_draft(struct served *s, const weft_jsonrpc_draft *draft)
{
	weft_message message, again = { 0 };
	weft_err err = WEFT_ETIMEDOUT;

	want_ok(weft_message_write(&message, NULL, draft));
	if (s->d->is_hasty) {
		weft_message_ref(&again, &message);
		err = weft_transport_send_own(s->transport, &message, WEFT_NOW);
		message = again;
	}
	if (err == WEFT_ETIMEDOUT)
		err = weft_transport_send_own(s->transport, &message, WEFT_FOREVER);
	else
		weft_message_fini(&message);
	want(err != WEFT_EINVAL);
}

static void answer(struct served *s, weft_json id, const char *result)
{
	weft_jsonrpc_draft draft = { .kind = WEFT_JSONRPC_RESPONSE,
		.id = id,
		.result = { result, result ? strlen(result) : 0 } };

	send_draft(s, &draft);
}

static void notify(struct served *s, const char *method, const char *params)
{
	weft_jsonrpc_draft draft = { .kind = WEFT_JSONRPC_NOTIFICATION,
		.method = method,
		.params = { params, strlen(params) } };

	send_draft(s, &draft);
}

static void do_initialize(struct served *s, const weft_jsonrpc *rpc)
{
	weft_json version, refuse;
	char result[256];
	weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_ERROR, .id = rpc->id, .code = -32602, .message = "refused"
	};

	if (!weft_json_get(&refuse, rpc->params, "refuse")) {
		send_draft(s, &draft);
		return;
	}
	want_ok(weft_json_get(&version, rpc->params, "protocolVersion"));
	snprintf(result, sizeof(result),
		"{\"protocolVersion\":%.*s,\"capabilities\":{},\"serverInfo\":{\"name\":\"t\"}}",
		(int)version.len, version.text);
	answer(s, rpc->id, result);
}

static void do_progress(struct served *s, const weft_jsonrpc *rpc)
{
	int64_t count = number(rpc->params, "count", 1);
	char params[256];

	for (int64_t i = 0; i < count; i++) {
		snprintf(params, sizeof(params), "{\"progressToken\":%.*s,\"progress\":%d}",
			(int)rpc->meta_progress_token.len, rpc->meta_progress_token.text, (int)i);
		notify(s, "notifications/progress", params);
	}
	answer(s, rpc->id, NULL);
}

static void do_big(struct served *s, const weft_jsonrpc *rpc)
{
	size_t size = (size_t)number(rpc->params, "size", 10);
	char *result = malloc(size + 3);

	memset(result, 'x', size + 2);
	result[0] = result[size + 1] = '"';
	result[size + 2] = '\0';
	answer(s, rpc->id, result);
	free(result);
}

static const weft_jsonrpc_draft roots = {
	.kind = WEFT_JSONRPC_REQUEST, .id = { "\"s-1\"", 5 }, .method = "roots/list"
};

static void do_ask(struct served *s, weft_message *request)
{
	weft_message_fini(&s->asking);
	weft_message_move(&s->asking, request);
	send_draft(s, &roots);
}

/* A notification about the subscription. */
static void notify_subscriber(struct served *s, const char *method, size_t pad)
{
	bool ends = strcmp(method, "notifications/cancelled") == 0;
	char *text = malloc(256 + pad), *spaces = malloc(pad + 1);

	memset(spaces, ' ', pad);
	spaces[pad] = '\0';
	snprintf(text, 256 + pad, "{%s%s%s%s",
		ends ? "\"requestId\":" : "\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":",
		s->d->subscription, spaces, ends ? "}" : "}}");
	notify(s, method, text);
	free(spaces);
	free(text);
}

/* False: it knows none of that name. */
static bool do_stateless(struct served *s, const weft_jsonrpc *rpc)
{
	if (weft_json_string_is(rpc->method, "subscriptions/listen")) {
		snprintf(s->d->subscription, sizeof(s->d->subscription), "%.*s", (int)rpc->id.len,
			rpc->id.text);
		notify_subscriber(s, "notifications/subscriptions/acknowledged", 0);
		return true;
	}
	if (weft_json_string_is(rpc->method, "tools/list")) {
		answer(s, rpc->id,
			"{\"tools\":[{\"name\":\"sql\",\"inputSchema\":{\"type\":\"object\","
			"\"properties\":{\"region\":{\"type\":\"string\",\"x-mcp-header\":"
			"\"Region\"},\"n\":{\"type\":\"integer\",\"x-mcp-header\":\"N\"}}}}]}");
		return true;
	}
	if (weft_json_string_is(rpc->method, "poke"))
		notify_subscriber(s, "notifications/tools/list_changed",
			(size_t)number(rpc->params, "pad", 0));
	else if (weft_json_string_is(rpc->method, "hang_up"))
		notify_subscriber(s, "notifications/cancelled", 0);
	else if (!weft_json_string_is(rpc->method, "tools/call") &&
		!weft_json_string_is(rpc->method, "server/discover"))
		return false;
	answer(s, rpc->id, NULL);
	return true;
}

static void do_request(struct served *s, weft_message *request)
{
	const weft_jsonrpc *rpc = &request->rpc;
	weft_jsonrpc_draft failed = {
		.kind = WEFT_JSONRPC_ERROR, .id = rpc->id, .code = 7, .message = "failed"
	};

	if (weft_json_string_is(rpc->method, "initialize")) {
		do_initialize(s, rpc);
	} else if (weft_json_string_is(rpc->method, "echo")) {
		weft_jsonrpc_draft draft = {
			.kind = WEFT_JSONRPC_RESPONSE, .id = rpc->id, .result = rpc->params
		};

		send_draft(s, &draft);
	} else if (weft_json_string_is(rpc->method, "slow")) {
		both_sleep_ns(number(rpc->params, "ms", 1) * 1000000);
		answer(s, rpc->id, NULL);
	} else if (weft_json_string_is(rpc->method, "held")) {
		while (counter_get(&s->d->let_go) < (uint64_t)number(rpc->params, "n", 1))
			both_sleep_ns(1000000);
		answer(s, rpc->id, NULL);
	} else if (weft_json_string_is(rpc->method, "progress")) {
		do_progress(s, rpc);
	} else if (weft_json_string_is(rpc->method, "log")) {
		notify(s, "notifications/message", "{\"level\":\"info\",\"data\":\"hello\"}");
		answer(s, rpc->id, NULL);
	} else if (weft_json_string_is(rpc->method, "changed")) {
		notify(s, "notifications/tools/list_changed", "{}");
		answer(s, rpc->id, NULL);
	} else if (weft_json_string_is(rpc->method, "ask")) {
		do_ask(s, request);
	} else if (weft_json_string_is(rpc->method, "big")) {
		do_big(s, rpc);
	} else if (weft_json_string_is(rpc->method, "fail")) {
		send_draft(s, &failed);
	} else if (weft_json_string_is(rpc->method, "bye")) {
		weft_transport_close(s->transport);
	} else if (!do_stateless(s, rpc) && !weft_json_string_is(rpc->method, "silent")) {
		failed.code = WEFT_JSONRPC_METHOD_NOT_FOUND;
		send_draft(s, &failed);
	}
	weft_message_fini(request);
}

static weft_err handle_fiber(void *arg)
{
	struct handling handling = *(struct handling *)arg;

	free(arg);
	do_request(handling.s, &handling.request);
	return WEFT_OK;
}

static void note(struct served *s, const weft_message *message)
{
	struct mcpd *d = s->d;
	size_t len = message->text.len < sizeof(d->last) ? message->text.len : sizeof(d->last) - 1;

	memcpy(d->last, message->text.data, len);
	d->last[len] = '\0';
	(void)counter_add(&d->requests, message->rpc.kind == WEFT_JSONRPC_REQUEST);
	(void)counter_add(&d->notes, message->rpc.kind == WEFT_JSONRPC_NOTIFICATION);
	(void)counter_add(&d->answers, message->rpc.kind == WEFT_JSONRPC_RESPONSE);
	(void)counter_add(&d->refusals, message->rpc.kind == WEFT_JSONRPC_ERROR);
	(void)counter_add(&d->cancelled,
		message->rpc.kind == WEFT_JSONRPC_NOTIFICATION &&
			weft_json_string_is(message->rpc.method, "notifications/cancelled"));
}

static void handle(struct served *s, weft_message *message)
{
	struct handling *handling;

	note(s, message);
	if (message->rpc.kind == WEFT_JSONRPC_RESPONSE && s->asking.text.data) {
		answer(s, s->asking.rpc.id, NULL);
		weft_message_fini(&s->asking);
	}
	if (weft_json_string_is(message->rpc.method, "ask_me"))
		send_draft(s, &roots);
	if (message->rpc.kind != WEFT_JSONRPC_REQUEST) {
		weft_message_fini(message);
		return;
	}
	if (weft_json_string_is(message->rpc.method, "initialize") ||
		weft_json_string_is(message->rpc.method, "echo")) {
		do_request(s, message);
		return;
	}
	handling = malloc(sizeof(*handling));
	handling->s = s;
	weft_message_move(&handling->request, message);
	want_ok(weft_scope_spawn(s->scope, "handles", handle_fiber, handling));
}

static void sink_message(void *user, weft_message *message)
{
	handle(user, message);
}

static void sink_ended(void *user, weft_err err, const char *detail)
{
	struct served *s = user;

	want(err == WEFT_ECLOSED && *detail);
	s->is_ended = true;
	weft_unpark(s->waiter);
}

static weft_err serve_session(void *arg)
{
	static const weft_transport_sink sink = { sink_message, sink_ended };
	struct served *s = arg;
	weft_message message;
	weft_err err;

	s->waiter = weft_parker_self();
	want_ok(weft_scope_create(&s->scope));
	if (s->d->by_sink) {
		err = weft_transport_start(s->transport, &sink, s);
		want(err == WEFT_OK || err == WEFT_ECLOSED);
		weft_shield_begin();
		while (!err && !s->is_ended)
			want_ok(weft_park(WEFT_FOREVER));
		weft_shield_end();
	} else {
		while (!(err = weft_transport_receive(s->transport, &message, WEFT_FOREVER)))
			handle(s, &message);
		want(err == WEFT_ECLOSED || err == WEFT_ECANCELED);
	}
	weft_scope_free(s->scope);
	weft_transport_free(s->transport);
	weft_message_fini(&s->asking);
	(void)counter_add(&s->d->ended, 1);
	free(s);
	return WEFT_OK;
}

static weft_err accept_sessions(void *arg)
{
	struct mcpd *d = arg;
	weft_transport *transport;
	weft_err err;

	while (!(err = weft_incoming_accept(
			 weft_mcp_server_incoming(d->mcp), &transport, WEFT_FOREVER))) {
		struct served *s = calloc(1, sizeof(*s));

		s->d = d;
		s->transport = transport;
		(void)counter_add(&d->sessions, 1);
		want_ok(weft_scope_spawn(d->scope, "session", serve_session, s));
	}
	want_err(WEFT_ECLOSED, err);
	return WEFT_OK;
}

void mcpd_open(struct mcpd *d, const struct mcpd_options *options)
{
	static const weft_http_server_options http = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	weft_mcp_server_options mcp = WEFT_MCP_SERVER_OPTIONS_DEFAULT;

	memset(d, 0, sizeof(*d));
	httpd_open(&d->h, options && options->has_http ? &options->http : &http, true);
	if (options) {
		d->by_sink = options->by_sink;
		d->accepts_not = options->accepts_not;
		d->is_hasty = options->is_hasty;
	}
	if (options)
		mcp = options->mcp;
	/* so that no load makes an event of what is to be JSON */
	if (!mcp.json_wait_ns)
		mcp.json_wait_ns = INT64_C(60000000000);
	want_ok(weft_scope_create(&d->scope));
	want_ok(weft_scope_create(&d->accepting));
	want_ok(weft_mcp_server_create(&d->mcp, d->h.server, "/mcp", &mcp));
	if (!d->accepts_not)
		want_ok(weft_scope_spawn(d->accepting, "accepts", accept_sessions, d));
}

void mcpd_close(struct mcpd *d)
{
	weft_mcp_server_stats stats;

	weft_http_server_stop(d->h.server);
	want_ok(weft_http_server_wait(d->h.server, WEFT_FOREVER));
	weft_mcp_server_stats_get(d->mcp, &stats);
	want(stats.streams_now == 0);
	weft_incoming_close(weft_mcp_server_incoming(d->mcp));
	want_ok(weft_scope_wait(d->accepting, WEFT_FOREVER));
	weft_scope_free(d->accepting);
	weft_mcp_server_free(d->mcp);
	want_ok(weft_scope_wait(d->scope, WEFT_FOREVER));
	weft_scope_free(d->scope);
	want(counter_get(&d->ended) == counter_get(&d->sessions));
	httpd_close(&d->h);
}

weft_mcp_server_stats mcpd_stats(const struct mcpd *d)
{
	weft_mcp_server_stats stats;

	weft_mcp_server_stats_get(d->mcp, &stats);
	return stats;
}

weft_conn *mcpd_connect(struct mcpd *d)
{
	return httpd_connect(&d->h);
}

/* ---- clients ---- */

static size_t put(char *out, size_t at, size_t size, const char *name, const char *value)
{
	int n;

	if (!value || !*value)
		return at;
	n = snprintf(out + at, size - at, "%s: %s\r\n", name, value);
	want(n > 0 && (size_t)n < size - at);
	return at + (size_t)n;
}

void mcp_say(weft_conn *conn, const struct mcp_say *request)
{
	char head[2048];
	bool is_post = !request->method;
	size_t len = is_post && request->body ? strlen(request->body) : 0, at;

	at = (size_t)snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: x\r\n",
		request->method ? request->method : "POST", request->path ? request->path : "/mcp");
	at = put(head, at, sizeof(head), "Accept",
		request->accept ? request->accept : "application/json, text/event-stream");
	if (is_post)
		at = put(head, at, sizeof(head), "Content-Type",
			request->type ? request->type : "application/json");
	at = put(head, at, sizeof(head), "Mcp-Session-Id", request->session);
	at = put(head, at, sizeof(head), "MCP-Protocol-Version", request->version);
	if (is_post)
		at += (size_t)snprintf(
			head + at, sizeof(head) - at, "Content-Length: %zu\r\n", len);
	at += (size_t)snprintf(
		head + at, sizeof(head) - at, "%s\r\n", request->fields ? request->fields : "");
	want(at < sizeof(head));
	say(conn, head);
	if (len)
		say(conn, request->body);
}

void mcp_ask(weft_conn *conn, const struct mcp_say *say, struct answer *answer)
{
	mcp_say(conn, say);
	hear_answer(conn, answer);
}

void mcp_status_is(weft_conn *conn, const struct mcp_say *say, unsigned status, const char *says)
{
	struct answer answer;

	mcp_ask(conn, say, &answer);
	if (answer.status != status || !strstr(answer.body, says))
		fprintf(stderr, "answered by: %s%s\n", answer.head, answer.body);
	want(answer.status == status);
	want(strstr(answer.body, says) != NULL);
}

void mcp_ask_is(
	weft_conn *conn, const char *session, const char *text, unsigned status, const char *body)
{
	struct mcp_say say = { .session = session, .version = "2025-06-18", .body = text };

	mcp_say(conn, &say);
	hear_answer_is(conn, status, body);
}

/* A chunk's length; 0: the last, with the end of the body. */
static size_t hear_chunk_size(weft_conn *conn)
{
	char line[32];
	size_t got, size;

	want_ok(weft_conn_read_line(conn, line, sizeof(line), &got, WEFT_FOREVER));
	size = strtoul(line, NULL, 16);
	if (!size) {
		want_ok(weft_conn_read_full(conn, line, 2, NULL, WEFT_FOREVER));
		want(memcmp(line, "\r\n", 2) == 0);
	}
	return size;
}

/* False: it was the last. */
static bool hear_chunk(weft_conn *conn, char *out, size_t size)
{
	size_t len = hear_chunk_size(conn);
	char end[2];

	if (!len)
		return false;
	want(len < size);
	want_ok(weft_conn_read_full(conn, out, len, NULL, WEFT_FOREVER));
	out[len] = '\0';
	want_ok(weft_conn_read_full(conn, end, 2, NULL, WEFT_FOREVER));
	return true;
}

void mcp_initialize(weft_conn *conn, const char *version, char *session)
{
	char body[512], event[1024];
	struct mcp_say say = { .body = body };
	struct answer answer;
	const char *at;
	size_t len;

	/* the answer is JSON, or, if that took longer than it may, an event */
	snprintf(body, sizeof(body),
		RPC("0", "initialize", "{\"protocolVersion\":\"%s\",\"capabilities\":{}}"),
		version);
	mcp_ask(conn, &say, &answer);
	if (answer.status != 200)
		fprintf(stderr, "answered by: %s%s\n", answer.head, answer.body);
	want(answer.status == 200);
	while (has_line(&answer, "Transfer-Encoding: chunked") &&
		hear_chunk(conn, event, sizeof(event)))
		;
	at = strstr(answer.head, "Mcp-Session-Id: ");
	want(at != NULL);
	len = strcspn(at + 16, "\r");
	want(len < MCP_SESSION_SIZE);
	memcpy(session, at + 16, len);
	session[len] = '\0';
	mcp_ask_is(conn, session, RPC_NOTE("notifications/initialized", "{}"), 202, "");
}

void hear_stream(weft_conn *conn)
{
	struct answer answer;

	hear_head(conn, &answer);
	if (answer.status != 200)
		fprintf(stderr, "answered by: %s\n", answer.head);
	want(answer.status == 200);
	want(has_line(&answer, "Content-Type: text/event-stream"));
	want(has_line(&answer, "Transfer-Encoding: chunked"));
}

void mcp_listen(weft_conn *conn, const char *version, const char *session, const char *event_id)
{
	char fields[MCP_ID_SIZE + 32] = "";
	struct mcp_say s = { .method = "GET",
		.session = session,
		.version = version,
		.accept = "text/event-stream",
		.fields = fields };

	if (event_id)
		snprintf(fields, sizeof(fields), "Last-Event-ID: %s\r\n", event_id);
	mcp_say(conn, &s);
	hear_stream(conn);
}

void hear_event(weft_conn *conn, char *out, size_t size)
{
	want(hear_chunk(conn, out, size));
}

/* The value of a line of that name; "": none. */
static void find_line(const char *event, const char *name, char *out, size_t size)
{
	const char *at = event;
	size_t len = strlen(name);

	*out = '\0';
	while (*at) {
		size_t n = strcspn(at, "\n");

		if (n > len + 1 && memcmp(at, name, len) == 0 && at[len] == ':') {
			want(n - len - 2 < size);
			memcpy(out, at + len + 2, n - len - 2);
			out[n - len - 2] = '\0';
			return;
		}
		at += n + (at[n] == '\n');
	}
}

void hear_data(weft_conn *conn, char *data, size_t size, char *id, size_t id_size)
{
	char *event = malloc(size + 1024);

	do {
		hear_event(conn, event, size + 1024);
	} while (*event == ':'); /* a comment */
	find_line(event, "data", data, size);
	if (id)
		find_line(event, "id", id, id_size);
	free(event);
}

/* But for blanks: values that are put in place of longer ones leave some. */
static bool is_same(const char *a, const char *b)
{
	for (;; a++, b++) {
		a += strspn(a, " ");
		b += strspn(b, " ");
		if (*a != *b)
			return false;
		if (!*a)
			return true;
	}
}

void hear_data_is(weft_conn *conn, const char *data, char *id, size_t id_size)
{
	char got[4096];

	hear_data(conn, got, sizeof(got), id, id_size);
	if (!is_same(got, data))
		fprintf(stderr, "heard: %s\nnot: %s\n", got, data);
	want(is_same(got, data));
}

void hear_stream_end(weft_conn *conn)
{
	size_t len = hear_chunk_size(conn);

	want(len == 0);
}
