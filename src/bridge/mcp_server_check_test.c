/* SPDX-License-Identifier: MIT */
#include "bridge/mcp_server_check.h"

#include "support/ends.h"

START_TEST(versions_are_known_by_their_dates)
{
	ck_assert_int_eq(mcps_version_of(NULL, 0), MCPS_VERSION_ABSENT);
	ck_assert_int_eq(mcps_version_of("", 0), MCPS_VERSION_UNKNOWN);
	ck_assert_int_eq(mcps_version_of("2025-11-25", 10), MCPS_2025_11_25);
	ck_assert_int_eq(mcps_version_of("2026-07-28", 10), MCPS_2026_07_28);
	ck_assert_int_eq(mcps_version_of("2026-07-28x", 11), MCPS_VERSION_UNKNOWN);
	ck_assert_int_eq(mcps_version_of("2025-11-2", 9), MCPS_VERSION_UNKNOWN);
	ck_assert_int_eq(mcps_version_of("1.0", 3), MCPS_VERSION_UNKNOWN);
	ck_assert(MCPS_2025_03_26 < MCPS_2025_06_18 && MCPS_2025_11_25 < MCPS_2026_07_28);
}
END_TEST

START_TEST(accept_lists_a_type_or_a_range_of_it)
{
	static const struct {
		const char *accept;
		bool json, sse;
	} cases[] = {
		{ NULL, false, false },
		{ "", false, false },
		{ "application/json, text/event-stream", true, true },
		{ "text/event-stream,application/json", true, true },
		{ "application/json;q=0.9 , text/event-stream ; q=1", true, true },
		{ "Application/JSON; charset=\"a,b;q=0\", TEXT/Event-Stream", true, true },
		{ "*/*", true, true },
		{ "application/*, text/*;q=0.1", true, true },
		{ "application/json", true, false },
		{ "text/event-stream", false, true },
		{ "application/json;q=0, text/event-stream;q=0.000", false, false },
		{ "application/json;q=0.001", true, false },
		{ "application/jsonx, text/event-streams", false, false },
		{ "application/jso, text/html", false, false },
		{ "xapplication/json", false, false },
		{ "application/json/text/event-stream", false, false },
		{ ",,, ,application/json", true, false },
		{ ";q=0,application/json", true, false },
		{ "text/html;a=\"x\\\"y,application/json\"", false, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *accept = cases[i].accept;

		ck_assert_msg(
			mcps_accepts(accept, "application/json") == cases[i].json, "%s", accept);
		ck_assert_msg(
			mcps_accepts(accept, "text/event-stream") == cases[i].sse, "%s", accept);
	}
}
END_TEST

START_TEST(events_are_preferred_by_who_names_them_first)
{
	ck_assert(mcps_prefers_events("text/event-stream, application/json"));
	ck_assert(mcps_prefers_events("Text/Event-Stream"));
	ck_assert(!mcps_prefers_events("application/json, text/event-stream"));
	ck_assert(!mcps_prefers_events("application/json"));
	ck_assert(!mcps_prefers_events("*/*"));
	ck_assert(!mcps_prefers_events("text/event-stream;q=0.5, application/json"));
	ck_assert(!mcps_prefers_events(NULL));
}
END_TEST

START_TEST(json_is_told_by_its_content_type)
{
	ck_assert(mcps_is_json("application/json"));
	ck_assert(mcps_is_json("Application/Json; charset=utf-8"));
	ck_assert(mcps_is_json("application/json ;charset=utf-8"));
	ck_assert(!mcps_is_json(NULL));
	ck_assert(!mcps_is_json(""));
	ck_assert(!mcps_is_json("text/plain"));
	ck_assert(!mcps_is_json("application/jsonp"));
	ck_assert(!mcps_is_json("application/json, text/plain"));
	ck_assert(!mcps_is_json("application/json text/plain"));
}
END_TEST

START_TEST(event_ids_name_their_stream)
{
	static const char *const bad[] = { "", "-", "1", "1-", "-1", "1-2x", "01-2", "1-02", " 1-2",
		"1-2 ", "+1-2", "1--2", "a-b", "18446744073709551616-1", "1-18446744073709551616",
		"99999999999999999999-1", "1-2-x", "1-2-MTI", "1-2-MTI=-",
		"1-2-bnVsbA==", "1-2-e30=", "1-2-MSAx", "1-2-Ig==" };
	char id[MCPS_CURSOR_ID_MAX], text[MCPS_CURSOR_SIZE];
	struct mcps_cursor c = { UINT64_MAX, UINT64_MAX, true, { NULL, 0 } }, read;

	mcps_cursor_write(text, &c);
	ck_assert_str_eq(text, "18446744073709551615-18446744073709551615");
	ck_assert(mcps_cursor_read(&read, id, text));
	ck_assert(read.stream == c.stream && read.seq == c.seq && read.is_listener);
	ck_assert(mcps_cursor_read(&read, id, "7-0") && read.stream == 7 && read.seq == 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!mcps_cursor_read(&read, id, bad[i]), "%s", bad[i]);
}
END_TEST

START_TEST(event_ids_name_their_request)
{
	char id[MCPS_CURSOR_ID_MAX], text[MCPS_CURSOR_SIZE], name[MCPS_CURSOR_ID_MAX + 1];
	struct mcps_cursor c = { UINT64_MAX, UINT64_MAX, false, { "12", 2 } }, read;

	mcps_cursor_write(text, &c);
	ck_assert_str_eq(text, "18446744073709551615-18446744073709551615-MTI=");
	ck_assert(mcps_cursor_read(&read, id, text));
	ck_assert(!read.is_listener && read.request_id.len == 2);
	ck_assert_mem_eq(read.request_id.text, "12", 2);
	memset(name, 'x', sizeof(name));
	name[0] = name[MCPS_CURSOR_ID_MAX - 1] = '"';
	c.request_id = (weft_json){ name, MCPS_CURSOR_ID_MAX };
	mcps_cursor_write(text, &c);
	ck_assert_uint_eq(strlen(text), MCPS_CURSOR_SIZE - 1);
	ck_assert(mcps_cursor_read(&read, id, text) && read.request_id.len == MCPS_CURSOR_ID_MAX);
	/* too long, or none: it is not said */
	c.request_id.len++;
	mcps_cursor_write(text, &c);
	ck_assert(mcps_cursor_read(&read, id, text) && !read.request_id.text && !read.is_listener);
	c.request_id.len = 0;
	mcps_cursor_write(text, &c);
	ck_assert(mcps_cursor_read(&read, id, text) && !read.request_id.text && !read.is_listener);
}
END_TEST

/* ---- the stateless era ---- */

static weft_err compare(const char *value, const char *json)
{
	return mcps_value_matches(value, (weft_json){ json, strlen(json) });
}

START_TEST(values_match_as_they_read)
{
	OK(compare("us-west1", "\"us-west1\""));
	OK(compare("a b", "\"a\\u0020b\""));
	OK(compare("=?base64?SGVsbG8sIOS4lueVjA==?=", "\"Hello, \xe4\xb8\x96\xe7\x95\x8c\""));
	OK(compare("=?base64?IHBhZGRlZCA=?=", "\" padded \""));
	OK(compare("=?base64?bGluZTEKbGluZTI=?=", "\"line1\\nline2\""));
	OK(compare("=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=", "\"=?base64?literal?=\""));
	OK(compare("=?base64?"
		   "?=",
		"\"\""));
	OK(compare("=?BASE64?eA==?=", "\"=?BASE64?eA==?=\""));
	FAILS(WEFT_ENOTFOUND, compare("US-west1", "\"us-west1\""));
	FAILS(WEFT_ENOTFOUND, compare("=?base64?eA==?=", "\"y\""));
	FAILS(WEFT_ENOTFOUND, compare("1", "1"));
	FAILS(WEFT_EINVAL, compare("=?base64?literal?=", "\"=?base64?literal?=\""));
	FAILS(WEFT_EINVAL, compare("=?base64?eA=?=", "\"x\""));
	FAILS(WEFT_EINVAL, compare("=?base64?eB==?=", "\"x\""));
	FAILS(WEFT_EINVAL, compare("\xc3\xa4", "\"\xc3\xa4\""));
	FAILS(WEFT_EINVAL, compare("a\x01", "\"a\\u0001\""));
}
END_TEST

static weft_err compare_param(const char *value, const char *json)
{
	return mcps_param_matches(value, (weft_json){ json, strlen(json) });
}

START_TEST(parameters_match_by_their_type)
{
	OK(compare_param("42", "42"));
	OK(compare_param("42.0", "42"));
	OK(compare_param("42", "42.00"));
	OK(compare_param("-7", "-7"));
	OK(compare_param("true", "true"));
	OK(compare_param("=?base64?eA==?=", "\"x\""));
	FAILS(WEFT_ENOTFOUND, compare_param("42.5", "42"));
	FAILS(WEFT_ENOTFOUND, compare_param("42.", "42"));
	FAILS(WEFT_ENOTFOUND, compare_param("4", "42"));
	FAILS(WEFT_ENOTFOUND, compare_param("", "42"));
	FAILS(WEFT_ENOTFOUND, compare_param("True", "true"));
	FAILS(WEFT_ENOTFOUND, compare_param("false", "true"));
	FAILS(WEFT_EINVAL, compare_param("4\x012", "42"));
}
END_TEST

#define META                                                                     \
	"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
	"\"io.modelcontextprotocol/clientCapabilities\":{}}"
#define CALL(method, params) \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":{" params "}}"

static struct mcps_fault check(
	const char *version, const char *method, const char *name, const char *text)
{
	struct mcps_heads heads = { version, method, name, false, false };
	struct mcps_fault fault = { 0 };
	weft_jsonrpc rpc;

	ck_assert_int_eq(weft_jsonrpc_scan(&rpc, text, strlen(text), NULL), WEFT_JSONRPC_REQUEST);
	if (mcps_heads_check(&heads, &rpc, &fault))
		ck_assert_int_eq(fault.code, 0);
	else
		ck_assert(fault.code != 0 && fault.status == 400 && *fault.text);
	return fault;
}

START_TEST(fields_say_what_the_body_says)
{
	static const char v[] = "2026-07-28";

	ck_assert_int_eq(check(v, "tools/list", NULL, CALL("tools/list", META)).code, 0);
	ck_assert_int_eq(check(v, "tools/list", "extra", CALL("tools/list", META)).code, 0);
	ck_assert_int_eq(
		check(v, "tools/call", "echo", CALL("tools/call", "\"name\":\"echo\"," META)).code,
		0);
	ck_assert_int_eq(check(v, "resources/read", "file:///x",
				 CALL("resources/read", "\"uri\":\"file:///x\"," META))
				 .code,
		0);
	ck_assert_int_eq(check(v, "prompts/get", "=?base64?w6Q=?=",
				 CALL("prompts/get", "\"name\":\"\xc3\xa4\"," META))
				 .code,
		0);
}
END_TEST

START_TEST(missing_and_other_fields_are_a_mismatch)
{
	static const char v[] = "2026-07-28";
	static const char call[] = CALL("tools/call", "\"name\":\"echo\"," META);

	ck_assert_int_eq(check(NULL, "tools/call", "echo", call).code, -32020);
	ck_assert_int_eq(check("2025-11-25", "tools/call", "echo", call).code, -32020);
	ck_assert_int_eq(check(v, NULL, "echo", call).code, -32020);
	ck_assert_int_eq(check(v, "TOOLS/CALL", "echo", call).code, -32020);
	ck_assert_int_eq(check(v, "tools/list", "echo", call).code, -32020);
	ck_assert_int_eq(check(v, "tools/call", NULL, call).code, -32020);
	ck_assert_int_eq(check(v, "tools/call", "echo", CALL("tools/call", META)).code, -32020);
	ck_assert_int_eq(
		check(v, "tasks/get", "t2", CALL("tasks/get", "\"taskId\":\"t1\"," META)).code,
		-32020);
	ck_assert_int_eq(
		check(v, "tasks/get", "t1", CALL("tasks/get", "\"taskId\":\"t1\"," META)).code, 0);
	ck_assert_int_eq(
		check(v, "tasks/get", NULL, CALL("tasks/get", "\"taskId\":\"t1\"," META)).code, 0);
	ck_assert_int_eq(
		check(v, "tools/call", "echo", CALL("tools/call", "\"name\":5," META)).code,
		-32020);
	ck_assert_int_eq(check(v, "tools/call", "echo",
				 CALL("tools/call", "\"name\":\"echo\",\"Name\":\"rm\"," META))
				 .code,
		WEFT_JSONRPC_INVALID_REQUEST);
	ck_assert_int_eq(check(v, "tools/call", "Echo", call).code, -32020);
	ck_assert_int_eq(check(v, "tools/call", "=?base64?!!!!?=", call).code, -32020);
	ck_assert_ptr_nonnull(
		strstr(check(v, "tools/call", "foo", call).text, "Mcp-Name 'foo' is not what"));
}
END_TEST

START_TEST(a_field_that_is_there_twice_is_a_mismatch)
{
	struct mcps_heads heads = { "2026-07-28", "tools/list", NULL, true, false };
	static const char text[] = CALL("tools/list", META);
	struct mcps_fault fault;
	weft_jsonrpc rpc;

	(void)weft_jsonrpc_scan(&rpc, text, strlen(text), NULL);
	ck_assert(!mcps_heads_check(&heads, &rpc, &fault));
	ck_assert_int_eq(fault.code, -32020);
}
END_TEST

START_TEST(a_request_says_its_version_and_capabilities)
{
	ck_assert_int_eq(check("2026-07-28", "tools/list", NULL, CALL("tools/list", "")).code,
		WEFT_JSONRPC_INVALID_PARAMS);
	ck_assert_int_eq(check("2026-07-28", "tools/list", NULL,
				 CALL("tools/list",
					 "\"_meta\":{\"io.modelcontextprotocol/"
					 "protocolVersion\":\"2026-07-28\"}"))
				 .code,
		WEFT_JSONRPC_INVALID_PARAMS);
	ck_assert_int_eq(check("1900-01-01", "tools/list", NULL,
				 CALL("tools/list",
					 "\"_meta\":{\"io.modelcontextprotocol/"
					 "protocolVersion\":\"1900-01-01\"}"))
				 .code,
		-32022);
}
END_TEST

START_TEST(errors_have_their_status)
{
	ck_assert_uint_eq(mcps_error_status(-32601), 404);
	ck_assert_uint_eq(mcps_error_status(-32020), 400);
	ck_assert_uint_eq(mcps_error_status(-32021), 400);
	ck_assert_uint_eq(mcps_error_status(-32022), 400);
	ck_assert_uint_eq(mcps_error_status(-32602), 200);
	ck_assert_uint_eq(mcps_error_status(1), 200);
}
END_TEST

static void check_tests(TCase *tc)
{
	t_add(tc, versions_are_known_by_their_dates);
	t_add(tc, accept_lists_a_type_or_a_range_of_it);
	t_add(tc, events_are_preferred_by_who_names_them_first);
	t_add(tc, json_is_told_by_its_content_type);
	t_add(tc, event_ids_name_their_stream);
	t_add(tc, event_ids_name_their_request);
	t_add(tc, values_match_as_they_read);
	t_add(tc, parameters_match_by_their_type);
	t_add(tc, fields_say_what_the_body_says);
	t_add(tc, missing_and_other_fields_are_a_mismatch);
	t_add(tc, a_field_that_is_there_twice_is_a_mismatch);
	t_add(tc, a_request_says_its_version_and_capabilities);
	t_add(tc, errors_have_their_status);
}
T_SUITE("mcp server: checks", check_tests)
