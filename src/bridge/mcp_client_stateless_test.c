/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* MCP servers without sessions: fields, tools, cancellation, and which era it is. */
#include "bridge/mcp_tools.h"
#include "support/mcpweb.h"

#include <stdio.h>
#include <string.h>

#define MS INT64_C(1000000)
#define META "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}"
#define TOOLS "tools/list"

/* ---- fields ---- */

static weft_err check_fields(struct web *web, struct web_call *call)
{
	(void)web;
	if (web_is_http(call, "DELETE") || !web_is_http(call, "POST"))
		return WEFT_ENOTFOUND;
	want(web_text_is(web_field(call, "Accept"), "application/json, text/event-stream"));
	if (web_is(call, "initialize") || web_is(call, "notifications/initialized")) {
		want(!web_field(call, "Mcp-Method"));
		return WEFT_ENOTFOUND;
	}
	want(!web_field(call, "Mcp-Session-Id"));
	want(web_text_is(web_field(call, "MCP-Protocol-Version"), "2026-07-28"));
	if (web_is(call, "tools/call"))
		want(web_text_is(web_field(call, "Mcp-Name"), "=?base64?w6njgII=?="));
	else if (web_is(call, "prompts/get"))
		want(web_text_is(web_field(call, "Mcp-Name"), "=?base64?PT9iYXNlNjQ/YWE=?="));
	else if (web_is(call, "resources/read"))
		want(web_text_is(web_field(call, "Mcp-Name"), "file:///a b/%20c"));
	else if (web_is(call, "tasks/get"))
		want(web_text_is(web_field(call, "Mcp-Name"), "t1"));
	else
		want(!web_field(call, "Mcp-Name"));
	return web_result(call, web_field(call, "Mcp-Method")[0] == 's' ? "1" : "2");
}

BOTH_TEST(each_request_says_in_its_head_what_it_is)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };

	web_begin(&w, check_fields);
	web_connect(&w);
	web_ask(&w, 1, "server/discover", NULL);
	web_hears_result(&w, 1, "1");
	web_ask(&w, 2, "tools/call", "{\"name\":\"\\u00e9\xe3\x80\x82\"," META "}");
	web_hears_result(&w, 2, "2");
	web_ask(&w, 3, "prompts/get", "{\"name\":\"=?base64?aa\"," META "}");
	web_hears_result(&w, 3, "2");
	web_ask(&w, 4, "resources/read", "{\"uri\":\"file:///a b/%20c\"," META "}");
	web_hears_result(&w, 4, "2");
	web_ask(&w, 5, "tools/list", "{\"name\":\"x\"," META "}");
	web_hears_result(&w, 5, "2");
	web_ask(&w, 6, "tasks/get", "{\"taskId\":\"t1\"," META "}");
	web_hears_result(&w, 6, "2");
	web_ask(&w, 7, "tasks/cancel", "{" META "}");
	web_hears_result(&w, 7, "2");
	want(counter_get(&w.posts) == 7 && counter_get(&w.gets) == 0);
	/* beside a session: each message is of its own era */
	web_initialize(&w);
	web_ask(&w, 8, "server/discover", NULL);
	web_hears_result(&w, 8, "1");
	web_drop(&w);
	want(counter_get(&w.deletes) == 1);
	web_end(&w);
	return WEFT_OK;
}

static weft_err modern_errors(struct web *web, struct web_call *call)
{
	(void)web;
	if (web_is(call, "unknown"))
		return web_reply(call, 404, "application/json",
			"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32601,\"message\":"
			"\"no\"}}");
	if (web_is(call, "version"))
		return web_reply(call, 400, "application/json",
			"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32022,\"message\":"
			"\"v\",\"data\":{\"supported\":[\"2027-01-01\"]}}}");
	if (web_is(call, "old")) {
		want(web_field(call, "Mcp-Session-Id") && !web_field(call, "Mcp-Method"));
		return web_result(call, "\"old\"");
	}
	if (web_is(call, "asks")) {
		want_ok(weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER));
		want_ok(web_event(call, "1", "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ask\"}"));
		return web_event_result(call, NULL, "{}");
	}
	if (web_is(call, "breaks")) {
		want_ok(weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER));
		return web_event(call, "1", "{\"jsonrpc\":\"2.0\",\"method\":\"m\"}");
	}
	if (web_is(call, "server/discover"))
		return web_reply(call, 400, "text/html", "<html>");
	return WEFT_ENOTFOUND;
}

BOTH_TEST(errors_of_the_era_without_sessions_end_no_session)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };
	weft_message m;

	web_begin(&w, modern_errors);
	web_connect(&w);
	web_ask(&w, 1, "server/discover", NULL); /* it is an old one */
	web_hears_error(&w, 1, -32000, "400 (Bad Request): <html>");
	web_initialize(&w);
	web_ask(&w, 2, "unknown", "{" META "}");
	web_hears_error(&w, 2, -32601, "no");
	web_ask(&w, 3, "version", "{" META "}");
	want_ok(weft_transport_receive(w.t, &m, weft_after_ms(60000)));
	want(m.rpc.error_data.len == strlen("{\"supported\":[\"2027-01-01\"]}"));
	weft_message_fini(&m);
	web_ask(&w, 4, "asks", "{" META "}");
	web_hears_result(&w, 4, "{}"); /* and no question */
	web_ask(&w, 5, "breaks", "{" META "}");
	web_hears_call(&w, "m");
	web_hears_error(&w, 5, -32000, "the server ended it"); /* not resumed */
	web_ask(&w, 6, "echo", NULL);
	web_hears_result(&w, 6, "{}");
	web_ask(&w, 7, "old",
		"{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2025-06-18\"}}");
	web_hears_result(&w, 7, "\"old\"");
	want(counter_get(&w.gets) <= 1);
	web_end(&w);
	return WEFT_OK;
}

/* ---- cancellation ---- */

static weft_err listens(struct web *web, struct web_call *call)
{
	weft_err err;

	if (web_is(call, "notifications/cancelled"))
		both_failed(__FILE__, __LINE__, "the server is told otherwise");
	if (!web_is(call, "subscriptions/listen"))
		return WEFT_ENOTFOUND;
	want(web_text_is(web_field(call, "Mcp-Method"), "subscriptions/listen"));
	err = weft_http_exchange_sse_begin(call->x, NULL, WEFT_FOREVER);
	if (!err)
		err = web_event(call, NULL,
			"{\"jsonrpc\":\"2.0\",\"method\":"
			"\"notifications/subscriptions/acknowledged\"}");
	if (!err)
		err = web_event(call, NULL,
			"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
	if (err) /* the client may have gone */
		return err;
	if (strcmp(call->id, "2") == 0)
		return WEFT_OK;
	(void)web_hold(call);
	(void)counter_add(&web->seen, 1);
	return WEFT_OK;
}

BOTH_TEST(a_subscription_is_a_request_whose_cancellation_closes_its_stream)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };

	w.options.response_timeout_ns = 20 * MS; /* not for this */
	web_begin(&w, listens);
	web_connect(&w);
	web_ask(&w, 1, "subscriptions/listen", "{" META "}");
	web_hears_call(&w, "notifications/subscriptions/acknowledged");
	web_hears_call(&w, "notifications/tools/list_changed");
	web_hears_nothing(&w);
	web_hears_nothing(&w);
	web_say(&w,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":"
		"{\"requestId\":1}}");
	web_wait(&w.seen, 1);
	want(counter_get(&w.posts) == 1);
	web_hears_nothing(&w);
	/* it may be cancelled before it has begun */
	for (int i = 10; i < 14; i++) {
		web_ask(&w, i, "subscriptions/listen", "{" META "}");
		web_say(&w,
			"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
			"\"params\":{\"requestId\":%d}}",
			i);
	}
	web_ask(&w, 2, "subscriptions/listen", "{" META "}");
	for (bool is_end = false; !is_end;) { /* the server ends it: that is no error */
		weft_message m;

		want_ok(weft_transport_receive(w.t, &m, weft_after_ms(60000)));
		want(m.rpc.kind == WEFT_JSONRPC_NOTIFICATION);
		is_end = weft_json_string_is(m.rpc.method, "notifications/cancelled");
		want(!is_end || (m.rpc.request_id.len == 1 && *m.rpc.request_id.text == '2'));
		weft_message_fini(&m);
	}
	web_end(&w);
	return WEFT_OK;
}

/* ---- tools ---- */

#define PROPERTY(name, type, header) \
	"\"" name "\":{\"type\":\"" type "\",\"x-mcp-header\":\"" header "\"}"
#define TOOL(name, properties)                                                                    \
	"{\"name\":\"" name "\",\"inputSchema\":{\"type\":\"object\",\"properties\":{" properties \
	"}}}"

static const char good_tool[] = TOOL("good",
	PROPERTY("region", "string", "Region") "," PROPERTY("n", "integer", "N") "," PROPERTY("b",
		"boolean", "Flag") ",\"deep\":{\"type\":\"object\",\"properties\":{" PROPERTY("x",
		"string", "Deep-X") "}},\"plain\":{\"type\":\"number\"}");
static const char plain_tool[] = TOOL("plain", "\"a\":{\"type\":\"string\"}");

static weft_err check_call(struct web_call *call)
{
	if (web_text_is(web_field(call, "Mcp-Name"), "plain")) {
		want(!web_field(call, "Mcp-Param-Region"));
		return web_result(call, "0");
	}
	if (!web_field(call, "Mcp-Param-Region"))
		return web_reply(call, 400, "application/json",
			"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32020,\"message\":"
			"\"Mcp-Param-Region\"}}");
	want(web_text_is(web_field(call, "Mcp-Param-Region"), "=?base64?IHUK?="));
	want(web_text_is(web_field(call, "Mcp-Param-N"), "-42"));
	want(!web_field(call, "Mcp-Param-Flag"));
	want(web_text_is(web_field(call, "Mcp-Param-Deep-X"), "a b"));
	return web_result(call, "1");
}

static weft_err has_tools(struct web *web, struct web_call *call)
{
	weft_json cursor;
	char text[2048];

	if (web_is(call, "tools/call"))
		return check_call(call);
	if (!web_is(call, TOOLS))
		return WEFT_ENOTFOUND;
	(void)counter_add(&web->seen, 1);
	want(web_text_is(web_field(call, "Mcp-Method"), TOOLS));
	want(call->rpc.meta_protocol_version.text != NULL);
	if (!weft_json_get(&cursor, call->rpc.params, "cursor"))
		snprintf(text, sizeof(text), "{\"tools\":[%s]}", good_tool);
	else
		snprintf(text, sizeof(text), "{\"tools\":[%s],\"nextCursor\":\"p2\"}", plain_tool);
	return web_result(call, text);
}

#define CALL_GOOD                                                                      \
	"{\"name\":\"good\",\"arguments\":{\"region\":\" u\\n\",\"n\":-42,\"b\":null," \
	"\"deep\":{\"x\":\"a b\"},\"plain\":1.5}," META "}"

BOTH_TEST(arguments_go_into_fields_as_the_tools_say)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };
	char list[2048];

	web_begin(&w, has_tools);
	web_connect(&w);
	web_ask(&w, 1, TOOLS, "{\"cursor\":\"x\"," META "}");
	snprintf(list, sizeof(list), "{\"tools\":[%s]}", good_tool);
	web_hears_result(&w, 1, list);
	web_ask(&w, 2, "tools/call", CALL_GOOD);
	web_hears_result(&w, 2, "1");
	web_ask(&w, 3, "tools/call", "{\"name\":\"plain\",\"arguments\":{}," META "}");
	web_hears_result(&w, 3, "0");
	want(counter_get(&w.posts) == 3);
	/* another session with the same server knows it, too */
	web_drop(&w);
	web_connect(&w);
	web_ask(&w, 4, "tools/call", CALL_GOOD);
	web_hears_result(&w, 4, "1");
	want(counter_get(&w.posts) == 4);
	web_end(&w);
	return WEFT_OK;
}

BOTH_TEST(a_call_whose_fields_the_server_misses_is_sent_again_once_the_tools_are_known)
{
	struct web w = { .options = WEFT_MCP_CLIENT_OPTIONS_DEFAULT };

	web_begin(&w, has_tools);
	web_connect(&w);
	web_ask(&w, 1, "tools/call", CALL_GOOD);
	web_hears_result(&w, 1, "1");
	want(counter_get(&w.seen) == 2);  /* two pages */
	want(counter_get(&w.posts) == 4); /* the call twice */
	/* one that does not help */
	web_ask(&w, 2, "tools/call", "{\"name\":\"good\",\"arguments\":{}," META "}");
	web_hears_error(&w, 2, -32020, "Mcp-Param-Region");
	want(counter_get(&w.posts) == 8);
	web_hears_nothing(&w);
	web_end(&w);
	return WEFT_OK;
}

#define SCHEMA(properties) "{\"properties\":{" properties "}}"
static const struct {
	const char *schema;
	const char *fault; /* NULL: none */
	unsigned count;
} schemas[] = {
	{ SCHEMA(PROPERTY("a", "string", "A")), NULL, 1 },
	{ SCHEMA(PROPERTY("a", "string", "A") "," PROPERTY("b", "integer", "B!~")), NULL, 2 },
	{ SCHEMA("\"x-mcp-header\":{\"type\":\"string\"}"), NULL, 0 },
	{ SCHEMA("\"a\":{\"default\":{\"x-mcp-header\":\"\"},\"type\":\"object\"}"), NULL, 0 },
	{ "{\"$defs\":{\"x-mcp-header\":{\"type\":\"string\"}}}", NULL, 0 },
	{ "true", NULL, 0 },
	{ SCHEMA(PROPERTY("a", "string", "")), "a part of a field's name", 0 },
	{ SCHEMA(PROPERTY("a", "object", "A")), "something else than string", 0 },
	{ SCHEMA(PROPERTY("a", "array", "A")), "something else than string", 0 },
	{ SCHEMA(PROPERTY("a", "null", "A")), "something else than string", 0 },
	{ SCHEMA(PROPERTY("a", "number", "A")), "something else than string", 0 },
	{ SCHEMA("\"a\":{\"x-mcp-header\":\"A\"}"), "something else than string", 0 },
	{ SCHEMA("\"a\":{\"x-mcp-header\":7,\"type\":\"string\"}"), "no text", 0 },
	{ SCHEMA(PROPERTY("a", "string", "A") "," PROPERTY("b", "string", "a")), "twice", 1 },
	{ SCHEMA(PROPERTY("a", "string", "My Region")), "a part of a field's name", 0 },
	{ SCHEMA(PROPERTY("a", "string", "A:B")), "a part of a field's name", 0 },
	{ SCHEMA(PROPERTY("a", "string", "R\xc3\xa9gion")), "a part of a field's name", 0 },
	{ SCHEMA(PROPERTY("a", "string", "A\\t")), "a part of a field's name", 0 },
	{ SCHEMA(PROPERTY("a", "string", "A\\r\\nX: y")), "a part of a field's name", 0 },
	{ SCHEMA(PROPERTY("a", "string", "A\\u0000")), "a part of a field's name", 0 },
	{ "{\"type\":\"string\",\"x-mcp-header\":\"A\"}", "alone lead to", 0 },
	{ "{\"items\":" SCHEMA(PROPERTY("a", "string", "A")) "}", "alone lead to", 0 },
	{ "{\"anyOf\":[{}," SCHEMA(PROPERTY("a", "string", "A")) "]}", "alone lead to", 0 },
	{ "{\"$defs\":{\"d\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}", "alone lead to", 0 },
	{ SCHEMA("\"a\":{\"not\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}"), "alone lead to",
		0 },
};

START_TEST(annotations_are_checked_by_the_rules)
{
	for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
		weft_json schema = { schemas[i].schema, strlen(schemas[i].schema) };
		unsigned count;
		const char *fault = mcp_tools_fault(schema, &count);

		ck_assert_msg(
			!fault == !schemas[i].fault && (!fault || strstr(fault, schemas[i].fault)),
			"%s: %s", schemas[i].schema, fault ? fault : "none");
		ck_assert_uint_eq(count, schemas[i].count);
	}
}
END_TEST

static void learn(struct mcp_tools *tools, const char *text, const char *afterwards)
{
	weft_message m;

	ck_assert_int_eq(weft_message_copy(&m, NULL, text, strlen(text), NULL), WEFT_OK);
	ck_assert_int_eq(mcp_tools_learn(tools, &m, NULL), WEFT_OK);
	ck_assert_uint_eq(m.text.len, strlen(afterwards));
	ck_assert_int_eq(memcmp(m.text.data, afterwards, m.text.len), 0);
	weft_message_fini(&m);
}

#define BAD TOOL("bad", PROPERTY("a", "number", "A"))
#define FINE TOOL("fine", PROPERTY("a", "string", "A"))
#define LIST(tools) "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[" tools "],\"x\":1}}"

START_TEST(tools_that_break_the_rules_are_taken_out_of_the_list)
{
	struct mcp_tools *tools;

	ck_assert_int_eq(mcp_tools_create(&tools), WEFT_OK);
	learn(tools, LIST(BAD), LIST(""));
	learn(tools, LIST(BAD "," FINE), LIST(FINE));
	learn(tools, LIST(FINE ", " BAD ", {\"name\":\"n\"}"), LIST(FINE ",{\"name\":\"n\"}"));
	learn(tools, LIST(FINE ",  " FINE), LIST(FINE ",  " FINE));
	learn(tools, LIST("1,null"), LIST("1,null"));
	learn(tools, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":7}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":7}");
	mcp_tools_free(tools);
}
END_TEST

static weft_err count_field(void *user, const char *name, weft_json value)
{
	(void)name;
	(void)value;
	++*(unsigned *)user;
	return WEFT_OK;
}

static unsigned fields_of(struct mcp_tools *tools, unsigned n)
{
	char text[200];
	unsigned count = 0;
	weft_message m;

	snprintf(text, sizeof(text),
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":"
		"\"t%u\",\"arguments\":{\"a\":\"x\"}}}",
		n);
	ck_assert_int_eq(weft_message_copy(&m, NULL, text, strlen(text), NULL), WEFT_OK);
	ck_assert_int_eq(mcp_tools_fields(tools, &m, count_field, &count), WEFT_OK);
	weft_message_fini(&m);
	return count;
}

START_TEST(the_tools_that_are_remembered_are_bounded)
{
	struct mcp_tools *tools;

	ck_assert_int_eq(mcp_tools_create(&tools), WEFT_OK);
	for (unsigned i = 0; i < MCP_TOOLS_MAX + 10; i++) {
		char text[300];
		weft_message m;

		snprintf(text, sizeof(text),
			"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"t%u\","
			"\"inputSchema\":" SCHEMA(PROPERTY("a", "string", "A")) "}]}}",
			i);
		ck_assert_int_eq(weft_message_copy(&m, NULL, text, strlen(text), NULL), WEFT_OK);
		ck_assert_int_eq(mcp_tools_learn(tools, &m, NULL), WEFT_OK);
		weft_message_fini(&m);
	}
	for (unsigned i = 0; i < MCP_TOOLS_MAX + 10; i++)
		ck_assert_uint_eq(fields_of(tools, i), i >= 10);
	/* one that has none any more */
	learn(tools, LIST("{\"name\":\"t500\",\"inputSchema\":{}}"),
		LIST("{\"name\":\"t500\",\"inputSchema\":{}}"));
	ck_assert_uint_eq(fields_of(tools, 500), 0);
	mcp_tools_free(tools);
}
END_TEST

static void mcp_client_stateless_tests(TCase *tc)
{
	both_add(tc, each_request_says_in_its_head_what_it_is);
	both_add(tc, errors_of_the_era_without_sessions_end_no_session);
	both_add(tc, a_subscription_is_a_request_whose_cancellation_closes_its_stream);
	both_add(tc, arguments_go_into_fields_as_the_tools_say);
	both_add(tc, a_call_whose_fields_the_server_misses_is_sent_again_once_the_tools_are_known);
	t_add(tc, annotations_are_checked_by_the_rules);
	t_add(tc, tools_that_break_the_rules_are_taken_out_of_the_list);
	t_add(tc, the_tools_that_are_remembered_are_bounded);
}

T_SUITE("mcp_client_stateless", mcp_client_stateless_tests)
