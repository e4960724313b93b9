/* SPDX-License-Identifier: MIT */
/* What is done with values of JSON: members, elements, strings, numbers, lines. */
#include "support/t.h"

#include <weft/json.h>

#include <stdlib.h>
#include <string.h>

#define EACH(i, list) for (size_t i = 0; i < sizeof(list) / sizeof(*(list)); i++)

static char *exactly(const char *bytes, size_t len)
{
	char *p = malloc(len ? len : 1);

	T_OUGHT(p);
	memcpy(p, bytes, len);
	return p;
}

/* ---- values ---- */

static weft_json json(const char *text)
{
	return (weft_json){ text, strlen(text) };
}

static bool same(weft_json value, const char *text)
{
	return value.len == strlen(text) && !memcmp(value.text, text, value.len);
}

START_TEST(a_value_is_known_by_its_first_byte)
{
	static const struct {
		const char *text;
		weft_json_type type;
	} types[] = { { "null", WEFT_JSON_NULL }, { "true", WEFT_JSON_BOOLEAN },
		{ "false", WEFT_JSON_BOOLEAN }, { "-1", WEFT_JSON_NUMBER },
		{ "0", WEFT_JSON_NUMBER }, { "9", WEFT_JSON_NUMBER }, { "\"\"", WEFT_JSON_STRING },
		{ "[]", WEFT_JSON_ARRAY }, { "{}", WEFT_JSON_OBJECT }, { "", WEFT_JSON_NONE },
		{ " 1", WEFT_JSON_NONE }, { "x", WEFT_JSON_NONE }, { ":", WEFT_JSON_NONE },
		{ "/", WEFT_JSON_NONE } };

	EACH(i, types)
	ck_assert_int_eq(weft_json_type_of(json(types[i].text)), types[i].type);
	ck_assert_int_eq(weft_json_type_of((weft_json){ NULL, 0 }), WEFT_JSON_NONE);
}
END_TEST

START_TEST(members_are_found_by_name)
{
	weft_json object = json(
			  "{ \"a\" : 1, \"b\\u0063\":[2 , 3] ,\"\":{\"a\":4},\"d\":5,\"\\u0064\":6,"
			  "\"e\\u0000\":7 }"),
		  found = { NULL, 0 };

	ck_assert_int_eq(weft_json_get(&found, object, "a"), WEFT_OK);
	ck_assert(same(found, "1"));
	ck_assert_int_eq(weft_json_get(&found, object, "bc"), WEFT_OK);
	ck_assert(same(found, "[2 , 3]"));
	ck_assert_int_eq(weft_json_get(&found, object, ""), WEFT_OK);
	ck_assert(same(found, "{\"a\":4}"));
	ck_assert_int_eq(weft_json_get(&found, object, "d"), WEFT_EDUPLICATE);
	ck_assert_int_eq(weft_json_get(&found, object, "e"), WEFT_ENOTFOUND);
	ck_assert_int_eq(weft_json_get(&found, object, "b\\u0063"), WEFT_ENOTFOUND);
	ck_assert_int_eq(weft_json_get(&found, object, "A"), WEFT_ENOTFOUND);
	ck_assert_int_eq(weft_json_get(&found, json("{}"), "a"), WEFT_ENOTFOUND);
	ck_assert_int_eq(weft_json_get(&found, json("[1]"), "a"), WEFT_EINVAL);
	ck_assert_int_eq(weft_json_get(&found, (weft_json){ NULL, 0 }, "a"), WEFT_EINVAL);
	ck_assert_int_eq(weft_json_get(&found, json("{\"a\":1,}"), "a"), WEFT_EPROTO);
	ck_assert_int_eq(weft_json_get(&found, json("{\"a\":1"), "a"), WEFT_EPROTO);
	ck_assert_int_eq(weft_json_get(&found, json("{"), "a"), WEFT_EPROTO);
	ck_assert_int_eq(weft_json_get(&found, json("{\"a\""), "a"), WEFT_EPROTO);
}
END_TEST

START_TEST(members_of_members_are_found_by_path)
{
	static const char *const path[] = { "params", "_meta", "io.x/y" };
	weft_json message = json("{\"params\":{\"_meta\":{\"io.x/y\":\"z\"},\"a\":[]}}"), found;

	ck_assert_int_eq(weft_json_get_path(&found, message, path, 3), WEFT_OK);
	ck_assert(same(found, "\"z\""));
	ck_assert_int_eq(weft_json_get_path(&found, message, path, 0), WEFT_OK);
	ck_assert(found.text == message.text);
	ck_assert_int_eq(weft_json_get_path(&found, message, path + 1, 1), WEFT_ENOTFOUND);
	ck_assert_int_eq(
		weft_json_get_path(&found, json("{\"params\":[]}"), path, 2), WEFT_ENOTFOUND);
	ck_assert_int_eq(weft_json_get_path(&found, json("[]"), path, 1), WEFT_EINVAL);
}
END_TEST

START_TEST(members_and_elements_are_walked)
{
	weft_json_iter iter = weft_json_iter_of(json("[ 1 ,\"]\", {\"a\":[]} ,null ]"));
	weft_json name = { NULL, 9 }, value;

	ck_assert(!weft_json_next(&iter, &name, &value) && same(value, "1") && !name.text);
	ck_assert(!weft_json_next(&iter, NULL, &value) && same(value, "\"]\""));
	ck_assert(!weft_json_next(&iter, NULL, &value) && same(value, "{\"a\":[]}"));
	ck_assert(!weft_json_next(&iter, NULL, &value) && same(value, "null"));
	ck_assert_int_eq(weft_json_next(&iter, NULL, &value), WEFT_ENOTFOUND);
	ck_assert_int_eq(weft_json_next(&iter, NULL, &value), WEFT_ENOTFOUND);
	iter = weft_json_iter_of(json("{\"a\":1,\"b\\n\" : 2}"));
	ck_assert(!weft_json_next(&iter, &name, &value) && same(value, "1") && same(name, "\"a\""));
	ck_assert(!weft_json_next(&iter, &name, &value) && same(value, "2") &&
		same(name, "\"b\\n\""));
	ck_assert_int_eq(weft_json_next(&iter, NULL, &value), WEFT_ENOTFOUND);
	iter = weft_json_iter_of(json("\"no\""));
	ck_assert_int_eq(weft_json_next(&iter, NULL, &value), WEFT_ENOTFOUND);
	iter = weft_json_iter_of(json("[1 2]"));
	ck_assert_int_eq(weft_json_next(&iter, NULL, &value), WEFT_OK);
	ck_assert_int_eq(weft_json_next(&iter, NULL, &value), WEFT_EPROTO);
	ck_assert_int_eq(weft_json_next(&iter, NULL, &value), WEFT_ENOTFOUND);
}
END_TEST

/* ---- strings ---- */

static void check_decoded(const char *string, const char *text, size_t len)
{
	size_t size = strlen(string), got = 0;
	char *exact = exactly(string, size), *to = malloc(len ? len : 1);
	weft_json value = { exact, size };

	T_OUGHT(to && !weft_json_string_decode(value, to, len, &got));
	T_OUGHT(got == len && !memcmp(to, text, len));
	T_OUGHT(weft_json_string_is_bytes(value, text, len));
	for (size_t i = 0; i < len; i++) {
		char *start = exactly(text, i);

		T_OUGHT(!weft_json_string_is_bytes(value, start, i));
		free(start);
	}
	if (len > 0) {
		T_OUGHT(weft_json_string_decode(value, to, len - 1, &got) == WEFT_EMSGSIZE);
		to[len - 1] = (char)(text[len - 1] ^ 1);
		T_OUGHT(!weft_json_string_is_bytes(value, to, len));
	}
	free(exact);
	free(to);
}

#define DECODED(string, text) check_decoded(string, text, sizeof(text) - 1)

START_TEST(strings_are_decoded)
{
	DECODED("\"\"", "");
	DECODED("\"a\xc3\xa9"
		"b\"",
		"a\xc3\xa9"
		"b");
	DECODED("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t");
	DECODED("\"\\u0000\"", "\0");
	DECODED("\"x\\u0041\\u007f\\u0080\\u07ff\\u0800\\uFFFF\"",
		"xA\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf");
	DECODED("\"\\ud800\\udc00\\uDBFF\\uDFFF\"", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
	DECODED("\"\\ud83d\\ude00!\"", "\xf0\x9f\x98\x80!");
	/* halves */
	DECODED("\"\\ud800\"", "\xef\xbf\xbd");
	DECODED("\"\\udc00\\ud800\"", "\xef\xbf\xbd\xef\xbf\xbd");
	DECODED("\"\\ud800\\ud800\\udc00\"", "\xef\xbf\xbd\xf0\x90\x80\x80");
	DECODED("\"\\ud800\\n\\ud800x\\ud800\\u0041\"",
		"\xef\xbf\xbd\n\xef\xbf\xbdx\xef\xbf\xbd"
		"A");
}
END_TEST

START_TEST(what_is_no_string_is_not_decoded)
{
	static const char *const none[] = { "", "1", "\"", "[\"a\"]", "null" };
	static const char *const wrong[] = { "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"" };
	char to[16];
	size_t len = 99;

	EACH(i, none)
	{
		ck_assert_int_eq(weft_json_string_decode(json(none[i]), to, 16, &len), WEFT_EINVAL);
		ck_assert(!weft_json_string_is(json(none[i]), ""));
	}
	EACH(i, wrong)
	ck_assert_int_eq(weft_json_string_decode(json(wrong[i]), to, 16, &len), WEFT_EPROTO);
	ck_assert_uint_eq(len, 99);
}
END_TEST

START_TEST(a_string_without_escapes_is_seen_where_it_lies)
{
	weft_json string = json("\"tools/call\"");
	const char *text = NULL;
	size_t len = 0;

	ck_assert_int_eq(weft_json_string_view(string, &text, &len), WEFT_OK);
	ck_assert(text == string.text + 1 && len == 10);
	ck_assert_int_eq(weft_json_string_view(json("\"\""), &text, &len), WEFT_OK);
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(weft_json_string_view(json("\"a\\nb\""), &text, &len), WEFT_ENOTFOUND);
	ck_assert_int_eq(weft_json_string_view(json("7"), &text, &len), WEFT_EINVAL);
	ck_assert(weft_json_string_is(string, "tools/call"));
	ck_assert(!weft_json_string_is(string, "tools/cal"));
	ck_assert(!weft_json_string_is(string, "tools/call "));
	ck_assert(!weft_json_string_is(json("\"\\u0061\""), "\\u0061"));
}
END_TEST

static void check_encoded(const char *text, size_t len, const char *want)
{
	size_t size = weft_json_string_size(text, len), written = 0;
	char *to = malloc(size);

	T_OUGHT(to && size == strlen(want) && size <= 6 * len + 2);
	T_OUGHT(weft_json_string_encode(text, len, to, size - 1, &written) == WEFT_EMSGSIZE);
	T_OUGHT(!weft_json_string_encode(text, len, to, size, &written));
	T_OUGHT(written == size && !memcmp(to, want, size));
	free(to);
}

#define ENCODED(text, want) check_encoded(text, sizeof(text) - 1, want)

START_TEST(texts_are_encoded)
{
	ENCODED("", "\"\"");
	ENCODED("plain \x7f/'", "\"plain \x7f/'\"");
	ENCODED("\"\\\b\t\n\v\f\r", "\"\\\"\\\\\\b\\t\\n\\u000b\\f\\r\"");
	ENCODED("\0\x01\x1f ", "\"\\u0000\\u0001\\u001f \"");
	ENCODED("\xc3\xa9\xf0\x9f\x98\x80", "\"\xc3\xa9\xf0\x9f\x98\x80\"");
	ENCODED("a\xff"
		"b\xe2\x82\"\xed\xa0\x80",
		"\"a\xef\xbf\xbd"
		"b\xef\xbf\xbd\\\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}
END_TEST

START_TEST(what_was_encoded_is_decoded_again)
{
	static const char *const parts[] = { "a", "\"", "\\", "\n", "\x01", "\xc3\xa9",
		"\xf0\x9f\x98\x80", "\\u0041", "/", "0123456789abcdef" };
	uint64_t seed = t_seed();

	for (int round = 0; round < 2000; round++) {
		char text[512], string[4096], again[512];
		size_t len = 0, size = 0, got = 0;
		weft_json value;

		for (uint64_t n = t_random(&seed) % 30; n > 0; n--) {
			const char *part =
				parts[t_random(&seed) % (sizeof(parts) / sizeof(*parts))];

			memcpy(text + len, part, strlen(part));
			len += strlen(part);
		}
		T_OUGHT(!weft_json_string_encode(text, len, string, sizeof(string), &size));
		T_OUGHT(!weft_json_check(&value, string, size, NULL) && value.len == size);
		T_OUGHT(!weft_json_string_decode(value, again, sizeof(again), &got));
		T_OUGHT(got == len && !memcmp(again, text, len));
	}
}
END_TEST

/* ---- numbers ---- */

START_TEST(integers_are_read_up_to_64_bits)
{
	static const struct {
		const char *text;
		int64_t number;
	} right[] = { { "0", 0 }, { "-0", 0 }, { "7", 7 }, { "-32700", -32700 },
		{ "9223372036854775807", INT64_MAX }, { "-9223372036854775808", INT64_MIN },
		{ "-9223372036854775807", -INT64_MAX } };
	static const char *const wrong[] = { "9223372036854775808", "-9223372036854775809",
		"18446744073709551616", "99999999999999999999999", "1.0", "1e2", "-", "", "null",
		"\"1\"" };
	char digits[WEFT_JSON_INTEGER_SIZE];
	int64_t number;

	EACH(i, right)
	{
		ck_assert_int_eq(weft_json_integer(json(right[i].text), &number), WEFT_OK);
		ck_assert_int_eq(number, right[i].number);
		if (number != 0)
			ck_assert(same(weft_json_of_integer(number, digits), right[i].text));
	}
	ck_assert(same(weft_json_of_integer(0, digits), "0"));
	number = 42;
	EACH(i, wrong)
	ck_assert_int_eq(weft_json_integer(json(wrong[i]), &number), WEFT_EINVAL);
	ck_assert_int_eq(weft_json_integer((weft_json){ NULL, 0 }, &number), WEFT_EINVAL);
	ck_assert_int_eq(number, 42);
}
END_TEST

/* ---- lines ---- */

START_TEST(a_text_becomes_one_line)
{
	char text[] = "{\r\n\t\"a\\n\":\n[1,\r2]\n}\n";
	weft_json value;

	ck_assert_uint_eq(weft_json_to_one_line(text, sizeof(text) - 1), 6);
	ck_assert_str_eq(text, "{  \t\"a\\n\": [1, 2] } ");
	ck_assert_int_eq(weft_json_check(&value, text, sizeof(text) - 1, NULL), WEFT_OK);
	ck_assert_uint_eq(weft_json_to_one_line(text, sizeof(text) - 1), 0);
	ck_assert_uint_eq(weft_json_to_one_line(NULL, 0), 0);
}
END_TEST

START_TEST(line_ends_are_replaced_wherever_they_are)
{
	uint64_t seed = t_seed();

	for (int round = 0; round < 2000; round++) {
		size_t len = t_random(&seed) % 300, want = 0;
		char *text = malloc(len ? len : 1), *was = malloc(len ? len : 1);

		T_OUGHT(text && was);
		for (size_t i = 0; i < len; i++) {
			text[i] = was[i] = t_random(&seed) % 8 ? (char)t_random(&seed)
							       : "\r\n"[t_random(&seed) % 2];
			want += text[i] == '\r' || text[i] == '\n';
		}
		T_OUGHT(weft_json_to_one_line(text, len) == want);
		for (size_t i = 0; i < len; i++)
			T_OUGHT(text[i] == (was[i] == '\r' || was[i] == '\n' ? ' ' : was[i]));
		free(text);
		free(was);
	}
}
END_TEST

static void value_tests(TCase *tc)
{
	t_add(tc, a_value_is_known_by_its_first_byte);
	t_add(tc, members_are_found_by_name);
	t_add(tc, members_of_members_are_found_by_path);
	t_add(tc, members_and_elements_are_walked);
	t_add(tc, strings_are_decoded);
	t_add(tc, what_is_no_string_is_not_decoded);
	t_add(tc, a_string_without_escapes_is_seen_where_it_lies);
	t_add(tc, texts_are_encoded);
	t_add(tc, what_was_encoded_is_decoded_again);
	t_add(tc, integers_are_read_up_to_64_bits);
	t_add(tc, a_text_becomes_one_line);
	t_add(tc, line_ends_are_replaced_wherever_they_are);
}

T_SUITE("json values", value_tests)
