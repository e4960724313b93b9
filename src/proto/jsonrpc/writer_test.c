/* SPDX-License-Identifier: MIT */
/* Messages composed of parts: exact bytes, what is refused, and what the scanner reads of them. */
#include "support/t.h"

#include <weft/jsonrpc.h>

#include <stdlib.h>
#include <string.h>

static weft_json json(const char *text)
{
	return (weft_json){ text, strlen(text) };
}

/* By every way: all the same. Free it. */
static char *written(const weft_jsonrpc_draft *d, size_t *len)
{
	struct iovec iov[WEFT_JSONRPC_IOV_MAX];
	size_t size = 0, scratch_size = 0, at = 0;
	unsigned iov_count = 0;
	char *to, *scratch;
	weft_buf buf;

	ck_assert_int_eq(weft_jsonrpc_size(d, &size), WEFT_OK);
	ck_assert_int_eq(weft_jsonrpc_scratch_size(d, &scratch_size), WEFT_OK);
	to = malloc(size);
	scratch = malloc(scratch_size);
	T_OUGHT(to && scratch);
	T_OUGHT(weft_jsonrpc_write(d, to, size - 1, len) == WEFT_EMSGSIZE);
	T_OUGHT(!weft_jsonrpc_write(d, to, size, len) && *len == size);
	T_OUGHT(!weft_jsonrpc_write_buf(&buf, NULL, d));
	T_OUGHT(buf.len == size && !memcmp(buf.data, to, size));
	weft_buf_unref(&buf);
	T_OUGHT(weft_jsonrpc_write_iov(d, scratch, scratch_size - 1, iov, &iov_count) ==
		WEFT_EMSGSIZE);
	T_OUGHT(!weft_jsonrpc_write_iov(d, scratch, scratch_size, iov, &iov_count));
	T_OUGHT(iov_count <= WEFT_JSONRPC_IOV_MAX);
	for (unsigned i = 0; i < iov_count; i++) {
		T_OUGHT(iov[i].iov_len > 0 && at + iov[i].iov_len <= size);
		T_OUGHT(!memcmp(to + at, iov[i].iov_base, iov[i].iov_len));
		at += iov[i].iov_len;
	}
	T_OUGHT(at == size);
	free(scratch);
	return to;
}

static void check(const weft_jsonrpc_draft *d, const char *want)
{
	size_t len = 0;
	char *to = written(d, &len);
	weft_jsonrpc m;

	if (len != strlen(want) || memcmp(to, want, len) != 0)
		ck_abort_msg("%.*s, and not %s", (int)len, to, want);
	ck_assert_int_eq(weft_jsonrpc_scan(&m, to, len, NULL), d->kind);
	free(to);
}

START_TEST(each_kind_of_message_is_written)
{
	weft_jsonrpc_draft d = { .kind = WEFT_JSONRPC_REQUEST, .id = json("1"), .method = "ping" };

	check(&d, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
	d.params = json("{\"a\":[]}");
	d.id = json("\"x\"");
	check(&d, "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"ping\",\"params\":{\"a\":[]}}");
	d = (weft_jsonrpc_draft){ .kind = WEFT_JSONRPC_NOTIFICATION,
		.method = "notifications/progress",
		.method_len = 13,
		.params = json("[]") };
	check(&d, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications\",\"params\":[]}");
	d = (weft_jsonrpc_draft){ .kind = WEFT_JSONRPC_RESPONSE, .id = json("null") };
	check(&d, "{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":null}");
	d.result = json("\"done\"");
	check(&d, "{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":\"done\"}");
	d = (weft_jsonrpc_draft){ .kind = WEFT_JSONRPC_ERROR, .message = "" };
	check(&d, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":0,\"message\":\"\"}}");
	d.id = json("-7");
	d.code = INT64_MIN;
	d.message = "no \"such\"\nmethod";
	d.data = json("{\"supported\":[]}");
	check(&d,
		"{\"jsonrpc\":\"2.0\",\"id\":-7,\"error\":{\"code\":-9223372036854775808,"
		"\"message\":\"no \\\"such\\\"\\nmethod\",\"data\":{\"supported\":[]}}}");
	d.message_len = 2;
	d.data = (weft_json){ NULL, 0 };
	d.code = WEFT_JSONRPC_INTERNAL_ERROR;
	check(&d, "{\"jsonrpc\":\"2.0\",\"id\":-7,\"error\":{\"code\":-32603,\"message\":\"no\"}}");
}
END_TEST

START_TEST(texts_cannot_break_out_of_their_strings)
{
	weft_jsonrpc_draft d = { .kind = WEFT_JSONRPC_NOTIFICATION,
		.method = "a\",\"id\":1,\"x\":\"\\" };

	check(&d, "{\"jsonrpc\":\"2.0\",\"method\":\"a\\\",\\\"id\\\":1,\\\"x\\\":\\\"\\\\\"}");
	d.method = "a\0\xff\n";
	d.method_len = 4;
	check(&d, "{\"jsonrpc\":\"2.0\",\"method\":\"a\\u0000\xef\xbf\xbd\\n\"}");
}
END_TEST

START_TEST(large_parts_are_not_copied_into_pieces)
{
	weft_jsonrpc_draft d = { .kind = WEFT_JSONRPC_REQUEST,
		.id = json("1"),
		.method = "m",
		.params = json("{\"large\":1}") };
	struct iovec iov[WEFT_JSONRPC_IOV_MAX];
	unsigned count = 0;
	char scratch[64];

	ck_assert_int_eq(
		weft_jsonrpc_write_iov(&d, scratch, sizeof(scratch), iov, &count), WEFT_OK);
	ck_assert_uint_eq(count, 3);
	ck_assert_ptr_eq(iov[1].iov_base, d.params.text);
	ck_assert_uint_eq(iov[2].iov_len, 1);
}
END_TEST

START_TEST(a_draft_that_is_no_message_is_refused)
{
	const weft_json one = json("1"), object = json("{}"), none = { NULL, 0 }, word = json("x");
	const weft_jsonrpc_draft wrong[] = {
		{ .kind = WEFT_JSONRPC_NONE, .id = one, .method = "m" },
		{ .kind = WEFT_JSONRPC_BATCH, .id = one, .method = "m" },
		{ .kind = WEFT_JSONRPC_INVALID, .id = one, .method = "m" },
		{ .kind = (weft_jsonrpc_kind)99, .id = one, .method = "m" },
		{ .kind = WEFT_JSONRPC_REQUEST, .id = none, .method = "m" },
		{ .kind = WEFT_JSONRPC_REQUEST, .id = object, .method = "m" },
		{ .kind = WEFT_JSONRPC_REQUEST, .id = json("true"), .method = "m" },
		{ .kind = WEFT_JSONRPC_REQUEST, .id = word, .method = "m" },
		{ .kind = WEFT_JSONRPC_REQUEST, .id = one },
		{ .kind = WEFT_JSONRPC_REQUEST, .id = one, .method = "m", .params = one },
		{ .kind = WEFT_JSONRPC_REQUEST, .id = one, .method = "m", .result = one },
		{ .kind = WEFT_JSONRPC_REQUEST, .id = one, .method = "m", .data = one },
		{ .kind = WEFT_JSONRPC_REQUEST, .id = one, .method = "m", .message = "x" },
		{ .kind = WEFT_JSONRPC_NOTIFICATION, .id = one, .method = "m" },
		{ .kind = WEFT_JSONRPC_NOTIFICATION },
		{ .kind = WEFT_JSONRPC_RESPONSE, .result = one },
		{ .kind = WEFT_JSONRPC_RESPONSE, .id = one, .result = word },
		{ .kind = WEFT_JSONRPC_RESPONSE, .id = one, .result = one, .method = "m" },
		{ .kind = WEFT_JSONRPC_RESPONSE, .id = one, .result = one, .params = object },
		{ .kind = WEFT_JSONRPC_RESPONSE, .id = one, .result = one, .message = "x" },
		{ .kind = WEFT_JSONRPC_ERROR, .id = one },
		{ .kind = WEFT_JSONRPC_ERROR, .id = word, .message = "x" },
		{ .kind = WEFT_JSONRPC_ERROR, .id = one, .message = "x", .result = one },
		{ .kind = WEFT_JSONRPC_ERROR, .id = one, .message = "x", .data = word },
		{ .kind = WEFT_JSONRPC_ERROR, .id = one, .message = "x", .method = "m" },
	};
	struct iovec iov[WEFT_JSONRPC_IOV_MAX];
	unsigned count;
	char to[256];
	size_t size = 7;
	weft_buf buf;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		if (weft_jsonrpc_size(&wrong[i], &size) != WEFT_EINVAL)
			ck_abort_msg("draft %zu is written", i);
		ck_assert_int_eq(weft_jsonrpc_write(&wrong[i], to, 256, &size), WEFT_EINVAL);
		ck_assert_int_eq(weft_jsonrpc_write_buf(&buf, NULL, &wrong[i]), WEFT_EINVAL);
		ck_assert_int_eq(weft_jsonrpc_scratch_size(&wrong[i], &size), WEFT_EINVAL);
		ck_assert_int_eq(
			weft_jsonrpc_write_iov(&wrong[i], to, 256, iov, &count), WEFT_EINVAL);
	}
	ck_assert_uint_eq(size, 7);
}
END_TEST

START_TEST(the_answer_to_what_is_invalid_is_written_from_its_fault)
{
	static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":1}";
	weft_jsonrpc m;
	weft_jsonrpc_draft d = { .kind = WEFT_JSONRPC_ERROR };

	ck_assert_int_eq(weft_jsonrpc_scan(&m, text, sizeof(text) - 1, NULL), WEFT_JSONRPC_INVALID);
	d.id = m.id;
	d.code = m.fault_code;
	d.message = m.fault;
	check(&d,
		"{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"error\":{\"code\":-32600,\"message\":\"method is no "
		"string\"}}");
}
END_TEST

START_TEST(a_message_that_has_no_memory_is_said)
{
	weft_jsonrpc_draft d = { .kind = WEFT_JSONRPC_RESPONSE, .id = json("1") };

	T_EACH_FAILING_MALLOC(n) {
		weft_buf buf = WEFT_BUF_EMPTY;
		weft_err err = weft_jsonrpc_write_buf(&buf, NULL, &d);

		ck_assert_int_eq(err, t_malloc_failed() ? WEFT_ENOMEM : WEFT_OK);
		weft_buf_unref(&buf);
	}
}
END_TEST

static void writer_tests(TCase *tc)
{
	t_add(tc, each_kind_of_message_is_written);
	t_add(tc, texts_cannot_break_out_of_their_strings);
	t_add(tc, large_parts_are_not_copied_into_pieces);
	t_add(tc, a_draft_that_is_no_message_is_refused);
	t_add(tc, the_answer_to_what_is_invalid_is_written_from_its_fault);
	t_add(tc, a_message_that_has_no_memory_is_said);
}

T_SUITE("jsonrpc writer", writer_tests)
