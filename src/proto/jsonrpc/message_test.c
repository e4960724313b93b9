/* SPDX-License-Identifier: MIT */
/* The envelope of JSON-RPC: what messages are, where their parts are, and what is none. */
#include "support/t.h"

#include <weft/jsonrpc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EACH(i, list) for (size_t i = 0; i < sizeof(list) / sizeof(*(list)); i++)
#define V "\"jsonrpc\":\"2.0\""
#define META "io.modelcontextprotocol/"

/* Scans a text that lies in a block of its own; free it. */
static char *scan(weft_jsonrpc *m, const char *text, const weft_json_limits *limits)
{
	size_t len = strlen(text);
	char *exact = malloc(len ? len : 1);

	T_OUGHT(exact);
	memcpy(exact, text, len);
	memset(m, 0xee, sizeof(*m));
	T_OUGHT(weft_jsonrpc_scan(m, exact, len, limits) == m->kind);
	return exact;
}

/* "KIND NAME=SPAN ..." of all that is there. */
static void describe(const weft_jsonrpc *m, char *to, size_t size)
{
	static const char *const kinds[] = { "none", "request", "notification", "response", "error",
		"batch", "invalid" };
	const struct {
		const char *name;
		weft_json span;
	} parts[] = { { "id", m->id }, { "method", m->method }, { "params", m->params },
		{ "result", m->result }, { "error", m->error }, { "code", m->error_code },
		{ "message", m->error_message }, { "data", m->error_data }, { "meta", m->meta },
		{ "meta.token", m->meta_progress_token },
		{ "meta.version", m->meta_protocol_version },
		{ "meta.subscription", m->meta_subscription_id }, { "token", m->progress_token },
		{ "request", m->request_id }, { "name", m->name }, { "uri", m->uri },
		{ "odd", m->odd_name } };
	size_t n = (size_t)snprintf(to, size, "%s", kinds[m->kind]);

	EACH(i, parts)
	{
		T_OUGHT(n < size && (parts[i].span.text || parts[i].span.len == 0));
		if (parts[i].span.text)
			n += (size_t)snprintf(to + n, size - n, " %s=%.*s", parts[i].name,
				(int)parts[i].span.len, parts[i].span.text);
	}
}

static void check(const char *text, const char *want)
{
	char said[1024];
	weft_jsonrpc m;
	char *exact = scan(&m, text, NULL);

	describe(&m, said, sizeof(said));
	if (strcmp(said, want) != 0)
		ck_abort_msg("%s\nis     %s\nand not %s (%s)", text, said, want, m.fault);
	T_OUGHT(!m.fault && m.fault_code == 0 && !weft_jsonrpc_check(&m));
	free(exact);
}

static const char *const messages[][2] = {
	{ "{" V ",\"id\":1,\"method\":\"ping\"}", "request id=1 method=\"ping\"" },
	{ "{" V ",\"method\":\"notifications/initialized\"}",
		"notification method=\"notifications/initialized\"" },
	{ "{" V ",\"id\":1,\"result\":{}}", "response id=1 result={}" },
	{ "{" V ",\"id\":\"a\",\"result\":null}", "response id=\"a\" result=null" },
	{ "{" V ",\"id\":1,\"result\":[1,{\"_meta\":1}]}",
		"response id=1 result=[1,{\"_meta\":1}]" },
	{ "{" V ",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no\"}}",
		"error id=1 error={\"code\":-32601,\"message\":\"no\"} code=-32601 "
		"message=\"no\"" },
	{ "{" V ",\"id\":null,\"error\":{\"data\":[1],\"message\":\"\",\"code\":0}}",
		"error id=null error={\"data\":[1],\"message\":\"\",\"code\":0} code=0 "
		"message=\"\" data=[1]" },
	{ "{" V ",\"error\":{\"code\":1,\"message\":\"\"}}",
		"error error={\"code\":1,\"message\":\"\"} code=1 message=\"\"" },
	/* ids of every kind */
	{ "{" V ",\"id\":null,\"method\":\"x\"}", "request id=null method=\"x\"" },
	{ "{" V ",\"id\":-0.5e3,\"method\":\"x\"}", "request id=-0.5e3 method=\"x\"" },
	{ "{" V ",\"id\":\"\",\"method\":\"x\"}", "request id=\"\" method=\"x\"" },
	{ "{" V ",\"id\":\"\\u0000\\\"\",\"method\":\"x\"}",
		"request id=\"\\u0000\\\"\" method=\"x\"" },
	/* any order, any space, members of others */
	{ " {\r\n\t\"params\" : [ 1 , 2 ] , \"method\" : \"m\" ,\"id\":7 ,\"x\":{\"id\":8}, "
	  "\"jsonrpc\" :\"2.0\" } \n",
		"request id=7 method=\"m\" params=[ 1 , 2 ]" },
	{ "{\"\":0,\"idx\":1,\"i\":2," V ",\"methods\":[],\"method\":\"m\",\"paramsx\":3}",
		"notification method=\"m\"" },
	/* escaped names are what they read as */
	{ "{\"\\u006asonrpc\":\"2.\\u0030\",\"\\u0069\\u0064\":1,\"metho\\u0064\":\"m\"}",
		"request id=1 method=\"m\"" },
	/* what a relay looks at */
	{ "{" V ",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"n\",\"arguments\":"
	  "{\"name\":\"x\",\"_meta\":{}},\"_meta\":{\"progressToken\":5,\"a\":[]}}}",
		"request id=1 method=\"tools/call\" params={\"name\":\"n\",\"arguments\":"
		"{\"name\":\"x\",\"_meta\":{}},\"_meta\":{\"progressToken\":5,\"a\":[]}} "
		"meta={\"progressToken\":5,\"a\":[]} meta.token=5 name=\"n\"" },
	{ "{" V ",\"method\":\"m\",\"params\":{\"_meta\":{\"" META
	  "protocolVersion\":\"2026-07-28\",\"" META "subscriptionId\":7},\"uri\":\"u:\"}}",
		"notification method=\"m\" params={\"_meta\":{\"" META
		"protocolVersion\":\"2026-07-28\",\"" META
		"subscriptionId\":7},\"uri\":\"u:\"} meta={\"" META
		"protocolVersion\":\"2026-07-28\",\"" META
		"subscriptionId\":7} meta.version=\"2026-07-28\" meta.subscription=7 "
		"uri=\"u:\"" },
	{ "{" V ",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"9\","
	  "\"progressToken\":3}}",
		"notification method=\"notifications/cancelled\" "
		"params={\"requestId\":\"9\",\"progressToken\":3} token=3 request=\"9\"" },
	{ "{" V ",\"id\":1,\"result\":{\"_meta\":{\"" META
	  "subscriptionId\":1},\"name\":\"not looked at\"}}",
		"response id=1 result={\"_meta\":{\"" META
		"subscriptionId\":1},\"name\":\"not looked at\"} meta={\"" META
		"subscriptionId\":1} meta.subscription=1" },
	{ "{" V ",\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":null,\"name\":null}}",
		"request id=1 method=\"m\" params={\"_meta\":null,\"name\":null} meta=null "
		"name=null" },
	{ "{" V ",\"id\":1,\"method\":\"m\",\"params\":{}}",
		"request id=1 method=\"m\" params={}" },
	/* deeper they mean nothing, and may be there twice */
	{ "{" V ",\"id\":1,\"method\":\"m\",\"params\":{\"a\":{\"id\":1,\"id\":2},\"b\":1,\"b\":1,"
	  "\"Name\":1}}",
		"request id=1 method=\"m\" params={\"a\":{\"id\":1,\"id\":2},\"b\":1,\"b\":1,"
		"\"Name\":1} odd=\"Name\"" },
};

START_TEST(messages_are_classified_and_their_parts_found)
{
	EACH(i, messages)
	check(messages[i][0], messages[i][1]);
}
END_TEST

/* ---- what is none ---- */

struct wrong {
	const char *text;
	size_t at;
	const char *what; /* a part of it */
	const char *id;	  /* to answer with; NULL: null */
};

static void check_wrong(const struct wrong *w, int code)
{
	weft_jsonrpc m;
	char *exact = scan(&m, w->text, NULL);

	T_OUGHT(m.kind == WEFT_JSONRPC_INVALID && m.fault);
	if (m.fault_offset != w->at || !strstr(m.fault, w->what) || m.fault_code != code)
		ck_abort_msg(
			"%s: %d, byte %zu: %s", w->text, m.fault_code, m.fault_offset, m.fault);
	T_OUGHT(!w->id == !m.id.text);
	if (w->id)
		T_OUGHT(m.id.len == strlen(w->id) && !memcmp(m.id.text, w->id, m.id.len));
	T_OUGHT(weft_jsonrpc_check(&m) == WEFT_EPROTO && strstr(weft_error_detail(), w->what));
	free(exact);
}

/* text NULL or "": it is none. */
static bool span_is(weft_json span, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	return span.len == len && (len == 0 || memcmp(span.text, text, len) == 0);
}

/* Where parsers that ignore case would see another message: told, for who rewrites or checks. */
START_TEST(members_that_differ_in_case_are_told_where_a_relay_looks)
{
	static const struct {
		const char *params, *odd, *member; /* member NULL: the same */
	} cases_of_params[] = {
		{ "{\"name\":1,\"Name\":2}", "\"Name\"", "" },
		{ "{\"RequestId\":1}", "\"RequestId\"", NULL },
		{ "{\"REQUESTID\":1,\"Uri\":2}", "\"REQUESTID\"", NULL },
		{ "{\"URI\":1,\"RequestID\":2}", "\"URI\"", "\"RequestID\"" },
		{ "{\"progre\xc5\xbf\xc5\xbfTo\xe2\x84\xaa\x65n\":1}",
			"\"progre\xc5\xbf\xc5\xbfTo\xe2\x84\xaa\x65n\"", NULL },
		{ "{\"reque\\u017ftid\":1}", "\"reque\\u017ftid\"", NULL },
		{ "{\"_META\":{}}", "\"_META\"", NULL },
		{ "{\"_meta\":{\"progresstoken\":1}}", "\"progresstoken\"", NULL },
		{ "{\"_meta\":{\"" META "SubscriptionId\":1}}", "\"" META "SubscriptionId\"",
			NULL },
		{ "{\"\xc3\xa4\":1,\"URI\":2}", "\"URI\"", "" },
		/* the very names, others, and what lies deeper */
		{ "{\"requestId\":1,\"uri\":2,\"name\":3,\"_meta\":{},\"names\":4,\"nAm\":5}", NULL,
			NULL },
		{ "{\"arguments\":{\"Name\":1,\"_Meta\":2},\"_meta\":{\"Name\":3}}", NULL, NULL },
		{ "{\"n\xc3\xa4me\":1,\"n\\u0061mf\":2,\"\":3,\"\\ud800\":4}", NULL, NULL },
		{ "[{\"Name\":1}]", NULL, NULL },
	};

	EACH(i, cases_of_params)
	{
		const char *odd = cases_of_params[i].odd, *member = cases_of_params[i].member;
		char text[512];
		weft_jsonrpc m;
		char *exact;

		snprintf(text, sizeof(text), "{" V ",\"method\":\"m\",\"params\":%s}",
			cases_of_params[i].params);
		exact = scan(&m, text, NULL);
		ck_assert_int_eq(m.kind, WEFT_JSONRPC_NOTIFICATION);
		if (!span_is(m.odd_name, odd) || !span_is(m.odd_member, member ? member : odd))
			ck_abort_msg("%s: odd are %.*s and %.*s", text, (int)m.odd_name.len,
				m.odd_name.text ? m.odd_name.text : "", (int)m.odd_member.len,
				m.odd_member.text ? m.odd_member.text : "");
		free(exact);
	}
}
END_TEST

START_TEST(json_that_is_no_message_is_an_invalid_request)
{
	static const struct wrong none[] = {
		{ "1", 0, "a message is an object", NULL },
		{ " \"x\"", 1, "a message is an object", NULL },
		{ "null", 0, "a message is an object", NULL },
		{ "{}", 0, "jsonrpc is missing", NULL },
		{ "{\"id\":1,\"method\":\"m\"}", 0, "jsonrpc is missing", "1" },
		{ "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"m\"}", 11, "jsonrpc is not", "1" },
		{ "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"m\"}", 11, "jsonrpc is not", "1" },
		{ "{\"jsonrpc\":\"2.0 \",\"id\":1,\"method\":\"m\"}", 11, "jsonrpc is not", "1" },
		{ "{" V ",\"id\":4}", 0, "neither method, result nor error", "4" },
		{ "{" V ",\"params\":{}}", 0, "neither method, result nor error", NULL },
		{ "{" V ",\"id\":true,\"method\":\"m\"}", 22, "id is neither", NULL },
		{ "{" V ",\"id\":[1],\"method\":\"m\"}", 22, "id is neither", NULL },
		{ "{" V ",\"id\":{},\"result\":1}", 22, "id is neither", NULL },
		{ "{" V ",\"id\":1,\"method\":7}", 33, "method is no string", "1" },
		{ "{" V ",\"id\":1,\"method\":null}", 33, "method is no string", "1" },
		{ "{" V ",\"id\":1,\"method\":\"m\",\"params\":1}", 46, "params is neither", "1" },
		{ "{" V ",\"id\":1,\"method\":\"m\",\"params\":null}", 46, "params is neither",
			"1" },
		{ "{" V ",\"id\":1,\"method\":\"m\",\"result\":1}", 46, "result beside method",
			"1" },
		{ "{" V ",\"id\":1,\"method\":\"m\",\"error\":{}}", 45, "error beside method",
			"1" },
		{ "{" V ",\"id\":1,\"result\":1,\"error\":{}}", 43, "both result and error", "1" },
		{ "{" V ",\"id\":1,\"result\":1,\"params\":{}}", 44, "params without method", "1" },
		{ "{" V ",\"result\":1}", 26, "result without id", NULL },
		{ "{" V ",\"id\":1,\"error\":[]}", 32, "error is no object", "1" },
		{ "{" V ",\"id\":1,\"error\":{\"code\":1}}", 32, "message is no string", "1" },
		{ "{" V ",\"id\":1,\"error\":{\"message\":\"\"}}", 32, "code is no integer", "1" },
		{ "{" V ",\"id\":1,\"error\":{\"code\":1.5,\"message\":\"\"}}", 32,
			"code is no integer", "1" },
		{ "{" V ",\"id\":1,\"error\":{\"code\":\"1\",\"message\":\"\"}}", 32,
			"code is no integer", "1" },
		{ "{" V ",\"id\":1,\"error\":{\"code\":1,\"message\":2}}", 32,
			"message is no string", "1" },
		{ "[]", 0, "an empty batch", NULL },
		{ " [ ] ", 1, "an empty batch", NULL },
	};

	EACH(i, none)
	check_wrong(&none[i], WEFT_JSONRPC_INVALID_REQUEST);
}
END_TEST

START_TEST(members_that_others_may_read_differently_are_refused)
{
	static const struct wrong twice[] = {
		{ "{" V "," V ",\"id\":1,\"method\":\"m\"}", 17, "second member", "1" },
		{ "{" V ",\"id\":1,\"method\":\"m\",\"id\":1}", 37, "second member", NULL },
		{ "{" V ",\"id\":1,\"\\u0069d\":2,\"method\":\"m\"}", 24, "second member", NULL },
		{ "{" V ",\"id\":1,\"method\":\"m\",\"method\":\"n\"}", 37, "second member", "1" },
		{ "{" V ",\"id\":1,\"method\":\"m\",\"params\":{},\"params\":{}}", 49,
			"second member", "1" },
		{ "{" V ",\"id\":1,\"result\":1,\"result\":1}", 35, "second member", "1" },
		{ "{" V ",\"id\":1,\"error\":{\"code\":1,\"code\":1,\"message\":\"\"}}", 42,
			"second member", "1" },
		{ "{" V ",\"id\":1,\"method\":\"m\",\"params\":{\"name\":1,\"name\":2}}", 56,
			"second member", "1" },
		{ "{" V ",\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":{},\"_met\\u0061\":{}}}",
			58, "second member", "1" },
		{ "{" V ",\"id\":1,\"result\":{\"_meta\":{},\"_meta\":{}}}", 45, "second member",
			"1" },
		{ "{" V
		  ",\"id\":1,\"result\":{\"_meta\":{\"progressToken\":1,\"progressToken\":1}}}",
			61, "second member", "1" },
		/* parsers that ignore case, as Go's and cJSON's, take these for the others */
		{ "{" V ",\"ID\":1,\"method\":\"m\"}", 17, "in case only", NULL },
		{ "{" V ",\"id\":1,\"method\":\"m\",\"Method\":\"n\"}", 37, "in case only", "1" },
		{ "{" V ",\"id\":1,\"method\":\"m\",\"PARAMS\":{}}", 37, "in case only", "1" },
		{ "{" V ",\"id\":1,\"method\":\"m\",\"param\xc5\xbf\":{}}", 37, "in case only",
			"1" },
		{ "{" V ",\"id\":1,\"method\":\"m\",\"param\\u017F\":{}}", 37, "in case only",
			"1" },
		{ "{" V ",\"id\":1,\"method\":\"m\",\"\\u0050arams\":{}}", 37, "in case only",
			"1" },
		/* the first that is wrong is told of */
		{ "{\"Id\":1,\"x\":1,\"id\":2,\"id\":3}", 1, "in case only", NULL },
	};

	EACH(i, twice)
	check_wrong(&twice[i], WEFT_JSONRPC_INVALID_REQUEST);
}
END_TEST

START_TEST(what_is_no_json_is_a_parse_error_with_the_id_that_was_read)
{
	static const struct wrong none[] = {
		{ "", 0, "ends", NULL },
		{ "  ", 2, "ends", NULL },
		{ "{", 1, "ends", NULL },
		{ "{\"id\":1", 7, "ends", NULL }, /* 1 may be 12 */
		{ "{\"id\":1,", 8, "ends", "1" },
		{ "{\"id\":\"a\" ", 10, "ends", "\"a\"" },
		{ "{\"id\":\"a\"", 9, "ends", "\"a\"" },
		{ "{\"id\":12\n", 9, "ends", "12" },
		{ "{\"id\":\"a\" 1", 10, "',' or '}'", "\"a\"" },
		{ "{\"id\":1,\"id\":2,]", 15, "name", NULL },
		{ "{\"id\":[1],]", 10, "name", NULL },
		{ "{" V ",\"id\":9,\"method\":\"m\",\"params\":{\"a\":tru}}", 51, "no value", "9" },
		{ "{" V ",\"id\":9,\"method\":\"m\",\"params\":{\"_meta\":{\"x\":,}}}", 60,
			"no value", "9" },
		{ "{" V ",\"id\":9,\"method\":\"m\xff\"}", 35, "not UTF-8", "9" },
		{ "{" V ",\"id\":9,\"method\":\"m\"} x", 38, "behind the message", "9" },
		{ "{" V ",\"id\":9,\"method\":\"m\"}{}", 37, "behind the message", "9" },
		/* no JSON at all comes before what is wrong with the envelope */
		{ "{\"id\":9,\"METHOD\":1,\"result\":1,\"result\":1", 40, "ends", "9" },
		{ "[{" V ",\"method\":\"m\"},]", 32, "no value", NULL },
		{ "[{" V ",\"method\":\"m\"}", 31, "ends", NULL },
		{ "[1] 2", 4, "behind the message", NULL },
		{ "[", 1, "ends", NULL },
		{ "\xef\xbb\xbf{}", 0, "no value", NULL },
	};

	EACH(i, none)
	check_wrong(&none[i], WEFT_JSONRPC_PARSE_ERROR);
}
END_TEST

START_TEST(every_start_of_a_message_is_a_parse_error)
{
	static const char *const whole[] = {
		"{" V
		",\"id\":12,\"method\":\"m\\u00e9\xc3\xa9\",\"params\":{\"_meta\":{\"progressToken\":1}}}",
		"[{" V ",\"method\":\"m\"} , {" V ",\"id\":1,\"result\":{\"a\":[true]}}]",
		"{" V ",\"id\":\"x\",\"error\":{\"code\":-1,\"message\":\"\",\"data\":null}}",
	};

	EACH(i, whole)
	{
		for (size_t len = 0; len < strlen(whole[i]); len++) {
			char text[160];
			weft_jsonrpc m;
			char *exact;

			memcpy(text, whole[i], len);
			text[len] = '\0';
			exact = scan(&m, text, NULL);
			T_OUGHT(m.kind == WEFT_JSONRPC_INVALID);
			T_OUGHT(m.fault_code == WEFT_JSONRPC_PARSE_ERROR && m.fault_offset <= len);
			T_OUGHT(!m.id.text || m.id.len == (m.id.text[0] == '1' ? 2 : 3));
			free(exact);
		}
	}
}
END_TEST

/* ---- limits ---- */

START_TEST(over_a_limit_the_id_is_still_read)
{
	static const char text[] = "{" V ",\"id\":5,\"method\":\"m\",\"params\":[[[]]]}";
	weft_json_limits limits = { sizeof(text) - 1, 4 };
	weft_jsonrpc m;
	char *exact = scan(&m, text, &limits);

	ck_assert_int_eq(m.kind, WEFT_JSONRPC_REQUEST);
	free(exact);
	for (limits.size_max = 1; limits.size_max < sizeof(text) - 1; limits.size_max++) {
		exact = scan(&m, text, &limits);
		ck_assert_int_eq(m.kind, WEFT_JSONRPC_INVALID);
		ck_assert_int_eq(m.fault_code, WEFT_JSONRPC_PARSE_ERROR);
		ck_assert_uint_eq(m.fault_offset, limits.size_max);
		ck_assert_int_eq(weft_jsonrpc_check(&m), WEFT_EMSGSIZE);
		ck_assert((m.id.len == 1) == (limits.size_max > 23));
		free(exact);
	}
	limits = (weft_json_limits){ 0, 3 };
	exact = scan(&m, text, &limits);
	ck_assert_int_eq(m.fault_code, WEFT_JSONRPC_PARSE_ERROR);
	ck_assert_uint_eq(m.fault_offset, 48);
	ck_assert_int_eq(weft_jsonrpc_check(&m), WEFT_EMSGSIZE);
	ck_assert_uint_eq(m.id.len, 1);
	free(exact);
}
END_TEST

START_TEST(every_level_of_the_envelope_counts_as_depth)
{
	static const char *const nested[] = {
		"{" V ",\"id\":1,\"method\":\"m\"}",
		"{" V ",\"id\":1,\"method\":\"m\",\"params\":{\"a\":1}}",
		"{" V ",\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":{\"x\":1}}}",
		"{" V ",\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":{\"progressToken\":[1]}}}",
		"{" V ",\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":{\"x\":[{}]}}}",
	};

	EACH(i, nested)
	{
		weft_json_limits limits = { 0, (unsigned)i + 1 };
		weft_jsonrpc m;
		char *exact = scan(&m, nested[i], &limits);

		ck_assert_int_eq(m.kind, WEFT_JSONRPC_REQUEST);
		free(exact);
		if (i == 0)
			continue;
		limits.depth_max--;
		exact = scan(&m, nested[i], &limits);
		ck_assert_int_eq(weft_jsonrpc_check(&m), WEFT_EMSGSIZE);
		free(exact);
	}
}
END_TEST

/* ---- batches ---- */

START_TEST(a_batch_gives_its_messages_one_by_one)
{
	static const char text[] =
		" [ {" V ",\"id\":1,\"method\":\"a\"} ,7,\n{" V ",\"method\":\"b\"},"
		"[{" V ",\"method\":\"c\"}],{\"id\":3},{" V
		",\"id\":null,\"error\":{\"code\":1,\"message\":\"]\"}} ] ";
	static const char *const want[] = { "request id=1 method=\"a\"", "invalid",
		"notification method=\"b\"", "invalid", "invalid id=3",
		"error id=null error={\"code\":1,\"message\":\"]\"} code=1 message=\"]\"" };
	weft_jsonrpc batch, m;
	char said[512];
	size_t at = 0, count = 0;
	char *exact = scan(&batch, text, NULL);

	ck_assert_int_eq(batch.kind, WEFT_JSONRPC_BATCH);
	ck_assert_uint_eq(batch.batch_count, 6);
	while (weft_jsonrpc_batch_next(&batch, &at, &m, NULL)) {
		ck_assert_uint_lt(count, 6);
		describe(&m, said, sizeof(said));
		ck_assert_str_eq(said, want[count]);
		if (m.kind == WEFT_JSONRPC_INVALID) {
			ck_assert_int_eq(m.fault_code, WEFT_JSONRPC_INVALID_REQUEST);
			ck_assert_ptr_eq(batch.text.text + m.fault_offset, m.text.text);
		}
		ck_assert(m.text.text[m.text.len - 1] != ' ');
		count++;
	}
	ck_assert_uint_eq(count, 6);
	ck_assert_int_eq(weft_jsonrpc_batch_next(&batch, &at, &m, NULL), WEFT_JSONRPC_NONE);
	/* what is no batch has no elements */
	at = 0;
	batch.kind = WEFT_JSONRPC_REQUEST;
	ck_assert_int_eq(weft_jsonrpc_batch_next(&batch, &at, &m, NULL), WEFT_JSONRPC_NONE);
	free(exact);
}
END_TEST

START_TEST(a_batch_that_is_no_json_is_invalid_as_a_whole)
{
	weft_jsonrpc m, element;
	weft_json_limits limits = { 0, 2 };
	size_t at = 0;
	char *exact = scan(&m, "[{" V ",\"method\":\"a\"},{" V ",\"method\":}]", NULL);

	ck_assert_int_eq(m.fault_code, WEFT_JSONRPC_PARSE_ERROR);
	ck_assert_uint_eq(m.fault_offset, 58);
	free(exact);
	exact = scan(&m, "[{" V ",\"method\":\"a\"}]", &limits);
	ck_assert_int_eq(m.kind, WEFT_JSONRPC_BATCH);
	limits.depth_max = 1;
	ck_assert_int_eq(weft_jsonrpc_batch_next(&m, &at, &element, &limits), WEFT_JSONRPC_INVALID);
	ck_assert_int_eq(weft_jsonrpc_check(&element), WEFT_EMSGSIZE);
	free(exact);
	exact = scan(&m, "[{" V ",\"method\":\"a\"}]", &limits);
	ck_assert_int_eq(weft_jsonrpc_check(&m), WEFT_EMSGSIZE);
	free(exact);
}
END_TEST

static void message_tests(TCase *tc)
{
	t_add(tc, messages_are_classified_and_their_parts_found);
	t_add(tc, members_that_differ_in_case_are_told_where_a_relay_looks);
	t_add(tc, json_that_is_no_message_is_an_invalid_request);
	t_add(tc, members_that_others_may_read_differently_are_refused);
	t_add(tc, what_is_no_json_is_a_parse_error_with_the_id_that_was_read);
	t_add(tc, every_start_of_a_message_is_a_parse_error);
	t_add(tc, over_a_limit_the_id_is_still_read);
	t_add(tc, every_level_of_the_envelope_counts_as_depth);
	t_add(tc, a_batch_gives_its_messages_one_by_one);
	t_add(tc, a_batch_that_is_no_json_is_invalid_as_a_whole);
}

T_SUITE("jsonrpc message", message_tests)
