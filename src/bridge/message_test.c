/* SPDX-License-Identifier: MIT */
/* Messages: their making, and changes to them, against a scan from anew. */
#include "bridge/message.h"
#include "support/t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V "\"jsonrpc\":\"2.0\""

static weft_message make(const char *text)
{
	weft_message m;

	ck_assert_int_eq(weft_message_copy(&m, NULL, text, strlen(text), NULL), WEFT_OK);
	return m;
}

static void is_text(const weft_message *m, const char *text)
{
	ck_assert_msg(m->text.len == strlen(text) && !memcmp(m->text.data, text, m->text.len),
		"%.*s", (int)m->text.len, (const char *)m->text.data);
}

static void is_span(const weft_message *m, weft_json span, const char *text)
{
	const char *begin = (const char *)m->text.data;

	ck_assert_ptr_nonnull(span.text);
	ck_assert(span.text >= begin && span.text + span.len <= begin + m->text.len);
	ck_assert_msg(span.len == strlen(text) && !memcmp(span.text, text, span.len), "%.*s",
		(int)span.len, span.text);
}

START_TEST(a_message_is_trimmed_and_on_one_line)
{
	weft_message m = make(" \r\n{" V ",\r\n\"id\":7,\n\"method\":\"m\"}\n ");

	ck_assert_int_eq(m.rpc.kind, WEFT_JSONRPC_REQUEST);
	ck_assert_int_eq(m.err, WEFT_OK);
	is_text(&m, "{" V ",  \"id\":7, \"method\":\"m\"}");
	is_span(&m, m.rpc.id, "7");
	weft_message_fini(&m);
	ck_assert(!m.text.data && m.rpc.kind == WEFT_JSONRPC_NONE);
	weft_message_fini(&m);
}
END_TEST

START_TEST(what_is_no_message_is_kept_with_its_fault)
{
	weft_message m = make("{" V ",\"id\":7,\n");

	ck_assert_int_eq(m.rpc.kind, WEFT_JSONRPC_INVALID);
	ck_assert_int_eq(m.err, WEFT_EPROTO);
	is_text(&m, "{" V ",\"id\":7, ");
	is_span(&m, m.rpc.id, "7");
	weft_message_fini(&m);
	m = make("");
	ck_assert_int_eq(m.rpc.kind, WEFT_JSONRPC_INVALID);
	ck_assert_uint_eq(m.text.len, 0);
	weft_message_fini(&m);
}
END_TEST

START_TEST(of_a_text_over_the_limit_the_id_is_known)
{
	static const struct {
		const char *begin, *end, *id;
		weft_jsonrpc_kind kind;
	} texts[] = {
		{ "{" V ",\"id\":\"a\",\"result\":\"", "\"}", "\"a\"", WEFT_JSONRPC_RESPONSE },
		{ "{" V ",\"id\":\"a\",\"method\":\"", "\"}", "\"a\"", WEFT_JSONRPC_REQUEST },
		{ "{\"result\":\"", "\"," V ",\"id\":12}", "12", WEFT_JSONRPC_RESPONSE },
		{ "{\"params\":{\"a\":[\"", "\",{\"id\":3}]},\"method\":\"m\"," V "}", NULL,
			WEFT_JSONRPC_NOTIFICATION },
		{ "[\"", "\"]", NULL, WEFT_JSONRPC_BATCH },
		{ "{\"id\":3,\"", "\"}", "3", WEFT_JSONRPC_INVALID },
	};
	weft_json_limits limits = { 100, 0 };

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		char text[20001];
		size_t begin = strlen(texts[i].begin), end = strlen(texts[i].end);
		weft_message m;

		memset(text, 'x', sizeof(text));
		memcpy(text, texts[i].begin, begin);
		memcpy(text + sizeof(text) - 1 - end, texts[i].end, end + 1);
		ck_assert_int_eq(
			weft_message_copy(&m, NULL, text, sizeof(text) - 1, &limits), WEFT_OK);
		ck_assert_int_eq(m.rpc.kind, WEFT_JSONRPC_INVALID);
		ck_assert_int_eq(m.err, WEFT_EMSGSIZE);
		ck_assert_uint_eq(m.text.len, MESSAGE_BEGINNING_MAX);
		ck_assert_int_eq(m.would_be, texts[i].kind);
		ck_assert(!m.rpc.id.text == !texts[i].id);
		if (texts[i].id)
			ck_assert(m.rpc.id.len == strlen(texts[i].id) &&
				!memcmp(m.rpc.id.text, texts[i].id, m.rpc.id.len));
		weft_message_fini(&m);
	}
}
END_TEST

START_TEST(of_a_text_that_is_too_deep_too)
{
	weft_json_limits limits = { 0, 4 };
	weft_message m;
	char text[] = "{" V ",\"method\":\"m\",\"params\":[[[[]]]],\"id\":5}";

	ck_assert_int_eq(weft_message_copy(&m, NULL, text, strlen(text), &limits), WEFT_OK);
	ck_assert_int_eq(m.err, WEFT_EMSGSIZE);
	ck_assert_int_eq(m.would_be, WEFT_JSONRPC_REQUEST);
	ck_assert(m.rpc.id.len == 1 && *m.rpc.id.text == '5');
	weft_message_fini(&m);
}
END_TEST

START_TEST(a_text_is_taken_as_it_is)
{
	static const char text[] = "{" V ",\"method\":\"m\"}\n";
	weft_buf buf, other;
	weft_message m;

	ck_assert_int_eq(weft_buf_copy(&buf, NULL, text, strlen(text)), WEFT_OK);
	other = weft_buf_ref(&buf);
	ck_assert_int_eq(weft_message_own(&m, &other, NULL), WEFT_EINVAL);
	ck_assert_ptr_null(other.data);
	ck_assert_int_eq(weft_message_own(&m, &buf, NULL), WEFT_OK);
	ck_assert_ptr_null(buf.data);
	ck_assert_int_eq(m.rpc.kind, WEFT_JSONRPC_NOTIFICATION);
	weft_message_fini(&m);
}
END_TEST

START_TEST(a_draft_becomes_a_message)
{
	weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_REQUEST,
		.id = { "17", 2 },
		.method = "tools/call",
		.params = { "{\"name\":\n\"x\"}", 13 },
	};
	weft_message m;

	ck_assert_int_eq(weft_message_write(&m, NULL, &draft), WEFT_OK);
	ck_assert_int_eq(m.rpc.kind, WEFT_JSONRPC_REQUEST);
	is_span(&m, m.rpc.name, "\"x\"");
	is_span(&m, m.rpc.params, "{\"name\": \"x\"}");
	weft_message_fini(&m);
	draft.params.len--;
	ck_assert_int_eq(weft_message_write(&m, NULL, &draft), WEFT_EINVAL);
}
END_TEST

/* ---- changes ---- */

/* All spans are where a scan would find them. */
static void is_as_scanned(const weft_message *m)
{
	const weft_json *is = &m->rpc.text, *ought;
	weft_jsonrpc scanned;

	ought = &scanned.text;
	(void)weft_jsonrpc_scan(&scanned, (const char *)m->text.data, m->text.len, NULL);
	ck_assert_int_eq(m->rpc.kind, scanned.kind);
	for (size_t i = 0;
		i < (offsetof(weft_jsonrpc, batch_count) - offsetof(weft_jsonrpc, text)) /
			sizeof(weft_json);
		i++) {
		ck_assert_ptr_eq(is[i].text, ought[i].text);
		ck_assert_uint_eq(is[i].len, ought[i].len);
	}
}

#define CALL(id, token)                                                              \
	"{" V ",\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"_meta\":{" \
	"\"progressToken\":" token "},\"arguments\":{\"text\":\"some text\"}},\"id\":" id "}"

/* Every pair of ids and tokens in the place of every other, alone and shared. */
START_TEST(changes_keep_the_envelope_right)
{
	static const char *const values[] = { "1", "\"abc\"", "123456789012", "null", "\"\"",
		"{\"a\":1}" };
	bool shared = _i & 1;
	const char *old = values[_i / 2 % 5], *id = values[_i / 10 % 5], *token = values[_i / 50];
	char before[400];
	weft_message m, other = { 0 };
	weft_json_edit edits[3];

	snprintf(before, sizeof(before), CALL("%s", "%s"), old, old);
	m = make(before);
	if (shared)
		weft_message_ref(&other, &m);
	memset(edits, 0, sizeof(edits));
	edits[0] = (weft_json_edit){ m.rpc.id, { id, strlen(id) } };
	edits[2] = (weft_json_edit){ m.rpc.meta_progress_token, { token, strlen(token) } };
	ck_assert_int_eq(weft_message_edit(&m, NULL, edits, 3), WEFT_OK);
	is_as_scanned(&m);
	is_span(&m, m.rpc.id, id);
	is_span(&m, m.rpc.meta_progress_token, token);
	if (shared)
		is_text(&other, before);
	weft_message_fini(&other);
	weft_message_fini(&m);
}
END_TEST

/* A large text stays where it is when ids at either end of it grow into the room there. */
START_TEST(a_change_near_an_end_moves_little)
{
	static const char begin[] = "{" V ",\"id\":1,\"method\":\"m\",\"params\":[\"";
	static const char end[] = "\"],\"id\":1," V ",\"method\":\"m\"}";
	size_t size = 100000, room = 50;

	for (int at_end = 0; at_end < 2; at_end++) {
		const char *head = at_end ? "{\"params\":[\"" : begin,
			   *tail = at_end ? end : "\"]}";
		weft_json_edit edit = { { NULL, 0 }, { "\"much longer\"", 13 } };
		const uint8_t *filling;
		weft_message m;
		weft_buf buf;

		ck_assert_int_eq(weft_buf_alloc(&buf, NULL, size + 2 * room), WEFT_OK);
		memset(buf.data, 'x', buf.len);
		weft_buf_advance(&buf, room);
		buf.len = size;
		memcpy(buf.data, head, strlen(head));
		memcpy(buf.data + size - strlen(tail), tail, strlen(tail));
		filling = buf.data + size / 2;
		ck_assert_int_eq(weft_message_own(&m, &buf, NULL), WEFT_OK);
		ck_assert_int_eq(m.rpc.kind, WEFT_JSONRPC_REQUEST);
		for (int i = 0; i < 3; i++) { /* 12 more, 13 more in place, 12 more */
			edit.old = m.rpc.id;
			edit.value = i == 1 ? (weft_json){ "7", 1 }
					    : (weft_json){ "\"much longer\"", 13 };
			ck_assert_int_eq(weft_message_edit(&m, NULL, &edit, 1), WEFT_OK);
			is_as_scanned(&m);
			is_span(&m, m.rpc.id, edit.value.text);
			ck_assert(filling > m.text.data && filling < m.text.data + m.text.len);
			ck_assert_uint_eq(*filling, 'x');
		}
		weft_message_fini(&m);
	}
}
END_TEST

START_TEST(a_change_that_makes_no_message_changes_nothing)
{
	weft_message m = make(CALL("1", "2"));
	weft_json_edit edit = { m.rpc.params, { "{\"_meta\":1", 10 } };

	ck_assert_int_eq(weft_message_edit(&m, NULL, &edit, 1), WEFT_EINVAL);
	is_text(&m, CALL("1", "2"));
	is_as_scanned(&m);
	edit.value = (weft_json){ "[1]", 3 };
	ck_assert_int_eq(weft_message_edit(&m, NULL, &edit, 1), WEFT_OK);
	is_as_scanned(&m);
	ck_assert_ptr_null(m.rpc.meta.text);
	weft_message_fini(&m);
}
END_TEST

START_TEST(a_batch_gives_its_elements)
{
	weft_message m = make(" [ {" V ",\"id\":1,\"method\":\"a\"} ,5, {" V ",\"method\":\"b\"}]"),
		     element;
	size_t at = 0;

	ck_assert_int_eq(m.rpc.kind, WEFT_JSONRPC_BATCH);
	ck_assert(message_batch_next(&m, &at, &element, NULL));
	is_text(&element, "{" V ",\"id\":1,\"method\":\"a\"}");
	is_as_scanned(&element);
	weft_message_fini(&element);
	ck_assert(message_batch_next(&m, &at, &element, NULL));
	ck_assert_int_eq(element.rpc.kind, WEFT_JSONRPC_INVALID);
	ck_assert_int_eq(element.err, WEFT_EPROTO);
	is_text(&element, "5");
	weft_message_fini(&element);
	ck_assert(message_batch_next(&m, &at, &element, NULL));
	weft_message_fini(&m); /* the elements live on */
	is_as_scanned(&element);
	weft_message_fini(&element);
}
END_TEST

START_TEST(messages_under_failing_malloc)
{
	T_EACH_FAILING_MALLOC(n) {
		static const weft_jsonrpc_draft draft = { .kind = WEFT_JSONRPC_NOTIFICATION,
			.method = "m" };
		weft_json_edit edit;
		weft_message m;
		weft_err err = weft_message_write(&m, NULL, &draft);

		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		if (err)
			continue;
		edit = (weft_json_edit){ m.rpc.method, { "\"longer\"", 8 } };
		err = weft_message_edit(&m, NULL, &edit, 1);
		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		is_as_scanned(&m);
		weft_message_fini(&m);
	}
}
END_TEST

START_TEST(ids_are_compared_by_value)
{
	static const struct {
		const char *a, *b;
		bool is_same, answers; /* a answers b */
	} ids[] = {
		{ "1", "1", true, true },
		{ "1", "2", false, false },
		{ "1", "1e0", false, false }, /* no integer, by its text */
		{ "-0", "0", true, true },
		{ "\"a/b\"", "\"a\\/b\"", true, true },
		{ "\"\\u0061\"", "\"a\"", true, true },
		{ "\"a\"", "\"b\"", false, false },
		{ "\"1\"", "1", false, true },
		{ "1", "\"1\"", false, false },
		{ "\"12\"", "1", false, false },
		{ "\"\"", "1", false, false },
		{ "null", "null", true, true },
		{ "null", "0", false, false },
		{ "1.5", "1.5", true, true },
	};
	const weft_json none = { NULL, 0 };

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		weft_json a = { ids[i].a, strlen(ids[i].a) }, b = { ids[i].b, strlen(ids[i].b) };

		ck_assert_msg(message_same_id(a, b) == ids[i].is_same, "%s %s", a.text, b.text);
		ck_assert(message_same_id(b, a) == ids[i].is_same);
		ck_assert_msg(message_answers_id(a, b) == ids[i].answers, "%s %s", a.text, b.text);
		ck_assert(!message_same_id(a, none) && !message_same_id(none, a));
		ck_assert(!message_answers_id(a, none) && !message_answers_id(none, a));
	}
}
END_TEST

static void message_tests(TCase *tc)
{
	t_add(tc, a_message_is_trimmed_and_on_one_line);
	t_add(tc, what_is_no_message_is_kept_with_its_fault);
	t_add(tc, of_a_text_over_the_limit_the_id_is_known);
	t_add(tc, of_a_text_that_is_too_deep_too);
	t_add(tc, a_text_is_taken_as_it_is);
	t_add(tc, a_draft_becomes_a_message);
	t_add_loop(tc, changes_keep_the_envelope_right, 0, 300);
	t_add(tc, a_change_near_an_end_moves_little);
	t_add(tc, a_change_that_makes_no_message_changes_nothing);
	t_add(tc, a_batch_gives_its_elements);
	t_add(tc, ids_are_compared_by_value);
	t_add(tc, messages_under_failing_malloc);
}

T_SUITE("message", message_tests)
