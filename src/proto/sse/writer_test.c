/* SPDX-License-Identifier: MIT */
/* The writer of event streams: exact bytes, refusals, and what the parser reads of it. */
#include "support/t.h"

#include <weft/sse.h>

#include <stdlib.h>
#include <string.h>

/* Into exactly as many bytes as it says, with every smaller size refused. */
static char *written(const weft_sse_event *e, size_t *len)
{
	size_t size = 0;
	weft_buf buf;
	char *to;

	ck_assert_int_eq(weft_sse_size(e, &size), WEFT_OK);
	to = malloc(size + 1);
	T_OUGHT(to);
	for (size_t i = 0; i < size; i += 1 + size / 16)
		ck_assert_int_eq(weft_sse_write(e, to, i, len), WEFT_EMSGSIZE);
	to = realloc(to, size);
	T_OUGHT(to && !weft_sse_write(e, to, size, len) && *len == size);
	ck_assert_int_eq(weft_sse_write_buf(&buf, NULL, e), WEFT_OK);
	T_OUGHT(buf.len == size && !memcmp(buf.data, to, size));
	weft_buf_unref(&buf);
	return to;
}

static void check(const weft_sse_event *e, const char *want)
{
	size_t len = 0;
	char *to = written(e, &len);

	if (len != strlen(want) || memcmp(to, want, len) != 0)
		ck_abort_msg("wrote %.*s, not %s", (int)len, to, want);
	free(to);
}

static weft_sse_event data_of(const char *text)
{
	return (weft_sse_event){ .data = text, .data_len = strlen(text) };
}

START_TEST(each_field_has_its_line)
{
	weft_sse_event e = data_of("{}");

	check(&e, "data: {}\n\n");
	e.kind = WEFT_SSE_MESSAGE;
	e.type = "message";
	check(&e, "event: message\ndata: {}\n\n");
	e.id = "17";
	check(&e, "event: message\nid: 17\ndata: {}\n\n");
	e.retry_set = true;
	check(&e, "event: message\nid: 17\nretry: 0\ndata: {}\n\n");
	e.retry_ms = UINT64_MAX;
	e.type = "";
	check(&e, "id: 17\nretry: 18446744073709551615\ndata: {}\n\n");
}
END_TEST

START_TEST(an_event_may_have_no_data_or_empty_data)
{
	weft_sse_event e = { .id = "1" };

	check(&e, "id: 1\n\n");
	e.data = "";
	check(&e, "id: 1\ndata:\n\n");
	e.id = "";
	check(&e, "id\ndata:\n\n");
	e = (weft_sse_event){ .kind = WEFT_SSE_MESSAGE };
	check(&e, "\n");
}
END_TEST

START_TEST(lengths_hold_where_they_are_given)
{
	weft_sse_event e = { .type = "messages",
		.type_len = 7,
		.id = "123",
		.id_len = 2,
		.data = "abc",
		.data_len = 1 };

	check(&e, "event: message\nid: 12\ndata: a\n\n");
}
END_TEST

START_TEST(data_is_split_at_every_kind_of_line_end)
{
	weft_sse_event e = data_of("a\nb\rc\r\nd");

	check(&e, "data: a\ndata: b\ndata: c\ndata: d\n\n");
	e = data_of("a\n");
	check(&e, "data: a\ndata: \n\n");
	e = data_of("\n\r\r\n");
	check(&e, "data: \ndata: \ndata: \ndata: \n\n");
	e = data_of(" a: b\n\n:");
	check(&e, "data:  a: b\ndata: \ndata: :\n\n");
}
END_TEST

/* Minutes, if each line's end were looked for in all of the rest. */
START_TEST(many_lines_of_one_kind_are_written_in_one_go)
{
	static const char *const ends[] = { "\r", "\n", "\r\n" };
	const size_t count = 4 << 20;
	char *text = malloc(2 * count);

	T_OUGHT(text);
	for (int i = 0; i < 3; i++) {
		size_t len = strlen(ends[i]), size = 0;
		weft_sse_event e = { .data = text, .data_len = len * count };

		for (size_t k = 0; k < count; k++)
			memcpy(text + k * len, ends[i], len);
		ck_assert_int_eq(weft_sse_size(&e, &size), WEFT_OK);
		ck_assert_uint_eq(size, 7 * (count + 1) + 1);
	}
	free(text);
}
END_TEST

START_TEST(comments_and_retries_stand_alone)
{
	weft_sse_event e = data_of("keep\nalive");

	e.kind = WEFT_SSE_COMMENT;
	check(&e, ": keep\n: alive\n\n");
	e = (weft_sse_event){ .kind = WEFT_SSE_COMMENT };
	check(&e, ":\n\n");
	e = (weft_sse_event){ .kind = WEFT_SSE_RETRY, .retry_ms = 1500 };
	check(&e, "retry: 1500\n\n");
}
END_TEST

START_TEST(nothing_is_smuggled_into_type_and_id)
{
	static const struct {
		const char *text;
		size_t len;
	} bad[] = { { "a\nb", 3 }, { "a\rb", 3 }, { "a\0b", 3 }, { "\n", 1 }, { "x\r\n", 3 } };
	weft_sse_event e;
	char to[64];
	size_t size = 99;
	weft_buf buf;
	const char *tail;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		for (int id = 0; id < 2; id++) {
			e = data_of("x");
			*(id ? &e.id : &e.type) = bad[i].text;
			*(id ? &e.id_len : &e.type_len) = bad[i].len;
			ck_assert_int_eq(weft_sse_size(&e, &size), WEFT_EINVAL);
			ck_assert_ptr_nonnull(strstr(weft_error_detail(), id ? "id" : "type"));
			ck_assert_int_eq(weft_sse_write(&e, to, 64, &size), WEFT_EINVAL);
			ck_assert_int_eq(weft_sse_write_buf(&buf, NULL, &e), WEFT_EINVAL);
			ck_assert_int_eq(
				weft_sse_write_around(&e, to, 64, &size, &tail), WEFT_EINVAL);
		}
	}
	e = (weft_sse_event){ .data_len = 3 };
	ck_assert_int_eq(weft_sse_size(&e, &size), WEFT_EINVAL);
	e = (weft_sse_event){ .kind = (weft_sse_kind)17 };
	ck_assert_int_eq(weft_sse_size(&e, &size), WEFT_EINVAL);
	ck_assert_uint_eq(size, 99);
}
END_TEST

START_TEST(data_of_one_line_need_not_be_copied)
{
	weft_sse_event e = data_of("{\"jsonrpc\":\"2.0\"}");
	char head[64], whole[128];
	size_t n, len = 0;
	const char *tail = NULL;

	e.type = "message";
	e.id = "9";
	ck_assert_int_eq(weft_sse_write_around(&e, head, sizeof(head), &n, &tail), WEFT_OK);
	memcpy(whole, head, n);
	memcpy(whole + n, e.data, e.data_len);
	memcpy(whole + n + e.data_len, tail, 2);
	n += e.data_len + 2;
	{
		char *to = written(&e, &len);

		T_OUGHT(len == n && !memcmp(to, whole, n));
		free(to);
	}
	ck_assert_int_eq(weft_sse_write_around(&e, head, 26, &n, &tail), WEFT_EMSGSIZE);
	ck_assert_int_eq(weft_sse_write_around(&e, head, 27, &n, &tail), WEFT_OK);
	e.data = "two\nlines";
	e.data_len = 9;
	ck_assert_int_eq(weft_sse_write_around(&e, head, 64, &n, &tail), WEFT_ENOTFOUND);
	e.data = "two\rlines";
	ck_assert_int_eq(weft_sse_write_around(&e, head, 64, &n, &tail), WEFT_ENOTFOUND);
	e.data_len = 0;
	ck_assert_int_eq(weft_sse_write_around(&e, head, 64, &n, &tail), WEFT_ENOTFOUND);
	e.data_len = 3;
	e.kind = WEFT_SSE_COMMENT;
	ck_assert_int_eq(weft_sse_write_around(&e, head, 64, &n, &tail), WEFT_ENOTFOUND);
}
END_TEST

START_TEST(a_buffer_that_cannot_be_had_is_said)
{
	weft_sse_event e = data_of("x");

	T_EACH_FAILING_MALLOC(n) {
		weft_buf buf = WEFT_BUF_EMPTY;
		weft_err err = weft_sse_write_buf(&buf, NULL, &e);

		ck_assert_int_eq(err, t_malloc_failed() ? WEFT_ENOMEM : WEFT_OK);
		weft_buf_unref(&buf);
	}
}
END_TEST

/* ---- and back ---- */

static size_t random_text(uint64_t *seed, const char *alphabet, size_t alphabet_len, char *to)
{
	size_t len = t_random(seed) % 40;

	for (size_t i = 0; i < len; i++)
		to[i] = alphabet[t_random(seed) % alphabet_len];
	to[len] = '\0';
	return len;
}

/* Line ends as the receiver has them. */
static size_t with_lf(char *text, size_t len)
{
	size_t out = 0;
	char before = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c != '\n' || before != '\r')
			text[out++] = c == '\r' ? '\n' : c;
		before = c;
	}
	return out;
}

START_TEST(what_was_written_is_read_again)
{
	static const char any[] = "a \n\r:\0\"d\t", plain[] = "abc :/#";
	uint64_t seed = t_seed();
	weft_sse_parser *p = NULL;

	ck_assert_int_eq(weft_sse_parser_create(&p, NULL), WEFT_OK);
	for (int i = 0; i < 3000; i++) {
		char type[64], id[64], data[64], original[64];
		size_t data_len = random_text(&seed, any, sizeof(any) - 1, data), len, size = 0;
		weft_sse_event e = { .type = type, .id = id, .data = data, .data_len = data_len },
			       got;
		const uint8_t *bytes;
		char *to;

		random_text(&seed, plain, sizeof(plain) - 1, type);
		random_text(&seed, plain, sizeof(plain) - 1, id);
		to = written(&e, &len);
		bytes = (const uint8_t *)to;
		T_OUGHT(!weft_sse_parser_next(p, &bytes, &len, &got));
		T_OUGHT(got.kind == WEFT_SSE_MESSAGE && len == 0);
		T_OUGHT(!strcmp(got.type, *type ? type : "message"));
		T_OUGHT(!strcmp(got.id, id));
		memcpy(original, data, data_len);
		size = with_lf(original, data_len);
		T_OUGHT(got.data_len == size && !memcmp(got.data, original, size));
		free(to);
	}
	weft_sse_parser_free(p);
}
END_TEST

static void writer_tests(TCase *tc)
{
	t_add(tc, each_field_has_its_line);
	t_add(tc, an_event_may_have_no_data_or_empty_data);
	t_add(tc, lengths_hold_where_they_are_given);
	t_add(tc, data_is_split_at_every_kind_of_line_end);
	t_add(tc, many_lines_of_one_kind_are_written_in_one_go);
	t_add(tc, comments_and_retries_stand_alone);
	t_add(tc, nothing_is_smuggled_into_type_and_id);
	t_add(tc, data_of_one_line_need_not_be_copied);
	t_add(tc, a_buffer_that_cannot_be_had_is_said);
	t_add(tc, what_was_written_is_read_again);
}

T_SUITE("sse writer", writer_tests)
