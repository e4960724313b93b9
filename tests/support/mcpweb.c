/* SPDX-License-Identifier: MIT */
#include "support/mcpweb.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 60000
#define MS INT64_C(1000000)

/* ---- the server ---- */

bool web_is(const struct web_call *call, const char *method)
{
	return weft_json_string_is(call->rpc.method, method);
}

bool web_is_http(const struct web_call *call, const char *method)
{
	return strcmp(weft_http_exchange_method(call->x), method) == 0;
}

const char *web_field(const struct web_call *call, const char *name)
{
	return weft_http_exchange_field(call->x, name);
}

bool web_text_is(const char *text, const char *wanted)
{
	return text && strcmp(text, wanted) == 0;
}

weft_err web_reply(struct web_call *call, unsigned status, const char *type, const char *body)
{
	weft_http_fields *fields = NULL;
	weft_err err = weft_http_fields_create(&fields);

	if (!err && type)
		err = weft_http_fields_set(fields, "Content-Type", type);
	if (!err)
		err = weft_http_exchange_reply(
			call->x, status, fields, body, strlen(body), WEFT_FOREVER);
	weft_http_fields_free(fields);
	return err;
}

static void result_format(char *out, size_t size, const struct web_call *call, const char *result)
{
	want(snprintf(out, size, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":%s}", call->id,
		     result) < (int)size);
}

weft_err web_result(struct web_call *call, const char *result)
{
	char text[2048];

	result_format(text, sizeof(text), call, result);
	return web_reply(call, 200, "Application/JSON; charset=utf-8", text);
}

weft_err web_event(struct web_call *call, const char *id, const char *data)
{
	weft_sse_event event = { .data = data, .data_len = strlen(data), .id = id };

	return weft_http_exchange_sse_send(call->x, &event, WEFT_FOREVER);
}

weft_err web_event_result(struct web_call *call, const char *id, const char *result)
{
	char text[2048];

	result_format(text, sizeof(text), call, result);
	return web_event(call, id, text);
}

weft_err web_hold(struct web_call *call)
{
	weft_cancel *gone;
	weft_err err = weft_http_exchange_watch(call->x, &gone);

	return err ? err : weft_cancel_wait(gone, WEFT_FOREVER);
}

static weft_err reply_initialize(struct web *web, struct web_call *call)
{
	weft_http_fields *fields = NULL;
	char text[256];
	weft_err err = weft_http_fields_create(&fields);

	result_format(text, sizeof(text), call, "{\"protocolVersion\":\"2025-06-18\"}");
	if (!err)
		err = weft_http_fields_set(fields, "Content-Type", "application/json");
	if (!err && !web->has_no_session)
		err = weft_http_fields_set(fields, "Mcp-Session-Id", WEB_SESSION);
	if (!err)
		err = weft_http_exchange_reply(
			call->x, 200, fields, text, strlen(text), WEFT_FOREVER);
	weft_http_fields_free(fields);
	return err;
}

static weft_err reply_params(struct web_call *call)
{
	char text[1024];

	want(call->rpc.params.len < sizeof(text));
	snprintf(text, sizeof(text), "%.*s", (int)call->rpc.params.len,
		call->rpc.params.text ? call->rpc.params.text : "");
	return web_result(call, *text ? text : "{}");
}

static weft_err reply_otherwise(struct web *web, struct web_call *call)
{
	if (web_is_http(call, "DELETE"))
		return web_reply(call, 204, NULL, "");
	if (!web_is_http(call, "POST"))
		return web_reply(call, 405, NULL, "");
	if (call->rpc.kind != WEFT_JSONRPC_REQUEST)
		return web_reply(call, 202, NULL, "");
	if (web_is(call, "initialize"))
		return reply_initialize(web, call);
	if (web_is(call, "echo"))
		return reply_params(call);
	return web_reply(call, 500, "text/plain", "what?");
}

static weft_err serve(weft_http_exchange *x, void *arg)
{
	struct web_call call = { .x = x, .id = "null" };
	struct web *web = arg;
	const char *data;
	weft_err err;
	size_t len;

	if (web_is_http(&call, "POST")) {
		err = weft_http_exchange_read_all(x, &data, &len, WEFT_FOREVER);
		if (err)
			return err;
		(void)counter_add(&web->posts, 1);
		want(weft_jsonrpc_scan(&call.rpc, data, len, NULL) != WEFT_JSONRPC_INVALID);
		want(call.rpc.id.len < sizeof(call.id_text));
		if (call.rpc.id.text) {
			snprintf(call.id_text, sizeof(call.id_text), "%.*s", (int)call.rpc.id.len,
				call.rpc.id.text);
			call.id = call.id_text;
		}
	} else {
		(void)counter_add(web_is_http(&call, "GET") ? &web->gets : &web->deletes, 1);
	}
	err = web->answer ? web->answer(web, &call) : WEFT_ENOTFOUND;
	return err == WEFT_ENOTFOUND ? reply_otherwise(web, &call) : err;
}

/* ---- its life ---- */

void web_begin(struct web *web, web_fn answer)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;

	web->answer = answer;
	options.stop_timeout_ns = 0;
	options.sse_comment_ns = -1;
	httpd_open(&web->h, &options, true);
	httpd_route(&web->h, "*", "/mcp", serve, web);
	if (web->also)
		httpd_route(&web->h, "*", web->also, serve, web);
	snprintf(web->authority, sizeof(web->authority), "%s",
		weft_listener_name(web->h.listener) + strlen("tcp://"));
	snprintf(web->url, sizeof(web->url), "%s://%s%s", web->scheme ? web->scheme : "http",
		web->authority, web->path ? web->path : "/mcp");
	want_ok(weft_http_client_create(&web->http, NULL));
	want_ok(weft_outgoing_mcp(&web->outgoing, web->http, web->url, &web->options));
}

void web_connect(struct web *web)
{
	want_ok(weft_outgoing_connect(web->outgoing, &web->t, weft_after_ms(PATIENCE_MS)));
}

void web_drop(struct web *web)
{
	weft_transport_free(web->t);
	web->t = NULL;
}

void web_end(struct web *web)
{
	weft_http_client_stats stats;

	web_drop(web);
	weft_outgoing_free(web->outgoing);
	weft_http_client_stats_get(web->http, &stats);
	want(stats.connections_now == stats.idle_now + stats.dialling_now);
	weft_http_client_unref(web->http);
	httpd_close(&web->h);
}

/* ---- the client ---- */

static void send_text(struct web *web, const char *text)
{
	weft_message m;

	want_ok(weft_message_copy(&m, NULL, text, strlen(text), NULL));
	want_ok(weft_transport_send_own(web->t, &m, weft_after_ms(PATIENCE_MS)));
}

void web_say(struct web *web, const char *format, ...)
{
	char text[2048];
	va_list args;

	va_start(args, format);
	want(vsnprintf(text, sizeof(text), format, args) < (int)sizeof(text));
	va_end(args);
	send_text(web, text);
}

void web_ask(struct web *web, int id, const char *method, const char *params)
{
	web_say(web, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\",\"params\":%s}", id, method,
		params ? params : "{}");
}

void web_initialize(struct web *web)
{
	web_ask(web, 0, "initialize", "{\"protocolVersion\":\"2025-06-18\"}");
	web_hears_result(web, 0, "{\"protocolVersion\":\"2025-06-18\"}");
	web_say(web, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
}

static void hear_message(struct web *web, weft_message *out)
{
	want_ok(weft_transport_receive(web->t, out, weft_after_ms(PATIENCE_MS)));
}

static bool is_text(weft_json value, const char *text)
{
	return value.len == strlen(text) && memcmp(value.text, text, value.len) == 0;
}

static bool is_number(weft_json value, int64_t number)
{
	int64_t n;

	return !weft_json_integer(value, &n) && n == number;
}

_Noreturn static void is_other(const weft_message *m, const char *wanted)
{
	static _Thread_local char text[2048];

	snprintf(text, sizeof(text), "%.*s came, not %s",
		(int)(m->text.len < 1024 ? m->text.len : 1024), (const char *)m->text.data, wanted);
	both_failed(__FILE__, __LINE__, text);
}

void web_hears_result(struct web *web, int id, const char *result)
{
	weft_message m;

	hear_message(web, &m);
	if (m.rpc.kind != WEFT_JSONRPC_RESPONSE || !is_number(m.rpc.id, id) ||
		!is_text(m.rpc.result, result))
		is_other(&m, result);
	weft_message_fini(&m);
}

void web_hears_error(struct web *web, int id, int code, const char *text)
{
	char message[2048];
	weft_message m;
	size_t len = 0;

	hear_message(web, &m);
	if (m.rpc.kind == WEFT_JSONRPC_ERROR)
		want_ok(weft_json_string_decode(
			m.rpc.error_message, message, sizeof(message) - 1, &len));
	message[len] = '\0';
	if (m.rpc.kind != WEFT_JSONRPC_ERROR || !is_number(m.rpc.id, id) ||
		!is_number(m.rpc.error_code, code) || !strstr(message, text))
		is_other(&m, text);
	weft_message_fini(&m);
}

void web_hears_call(struct web *web, const char *method)
{
	weft_message m;

	hear_message(web, &m);
	if (!weft_json_string_is(m.rpc.method, method))
		is_other(&m, method);
	weft_message_fini(&m);
}

void web_hears_garbage(struct web *web)
{
	weft_message m;

	hear_message(web, &m);
	if (m.rpc.kind != WEFT_JSONRPC_INVALID)
		is_other(&m, "garbage");
	weft_message_fini(&m);
}

void web_hears_end(struct web *web, weft_err err, const char *text)
{
	weft_message m;
	weft_err got = weft_transport_receive(web->t, &m, weft_after_ms(PATIENCE_MS));

	if (!got)
		is_other(&m, "the end");
	want_err(err, got);
	if (!strstr(weft_error_detail(), text))
		both_failed(__FILE__, __LINE__, weft_error_detail());
}

void web_hears_nothing(struct web *web)
{
	weft_message m;
	weft_err err = weft_transport_receive(web->t, &m, weft_after_ms(weft_in_sim() ? 5000 : 20));

	if (!err)
		is_other(&m, "nothing");
	want_err(WEFT_ETIMEDOUT, err);
}

void web_wait(const struct counter *counter, uint64_t at_least)
{
	weft_deadline until = weft_after_ms(PATIENCE_MS);

	while (counter_get(counter) < at_least) {
		want(weft_now() < until);
		both_sleep_ns(MS);
	}
}
