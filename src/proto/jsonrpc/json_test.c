/* SPDX-License-Identifier: MIT */
/*
 * The scanner of JSON: what is a text and what is none, by the categories that are tried everywhere
 * (numbers, strings, structures, white space, UTF-8, nesting). Each text lies in a block of its own,
 * so that a byte over is seen.
 */
#include "support/t.h"

#include <weft/json.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
	const char *bytes;
	size_t len;
	size_t at; /* of what is wrong */
};

#define GOOD(bytes)                         \
	{                                   \
		bytes, sizeof(bytes) - 1, 0 \
	}
#define BAD(at, bytes)                         \
	{                                      \
		bytes, sizeof(bytes) - 1, (at) \
	}
#define EACH(i, list) for (size_t i = 0; i < sizeof(list) / sizeof(*(list)); i++)

static char *exactly(const char *bytes, size_t len)
{
	char *p = malloc(len ? len : 1);

	T_OUGHT(p);
	memcpy(p, bytes, len);
	return p;
}

/* The byte that the last error names. */
static size_t error_at(void)
{
	const char *byte = strstr(weft_error_detail(), "byte ");

	return byte ? (size_t)strtoul(byte + 5, NULL, 10) : SIZE_MAX;
}

static void check_good(const struct text *t, const char *before, const char *after)
{
	size_t b = strlen(before), a = strlen(after), len = b + t->len + a;
	char *whole = malloc(len + 1);
	weft_json value = { NULL, 0 };

	T_OUGHT(whole);
	whole = realloc(whole, len ? len : 1);
	memcpy(whole, before, b);
	memcpy(whole + b, t->bytes, t->len);
	memcpy(whole + b + t->len, after, a);
	if (weft_json_check(&value, whole, len, NULL))
		ck_abort_msg("%.*s: %s", (int)len, whole, weft_error_detail());
	/* it begins and ends where it does, whatever is around */
	if (*before == '\0' || strchr(" \t\r\n", *before))
		T_OUGHT(value.text == whole + b && value.len == t->len);
	free(whole);
}

static void check_bad(const struct text *t)
{
	char *whole = exactly(t->bytes, t->len);
	weft_json value = { NULL, 7 };

	if (weft_json_check(&value, whole, t->len, NULL) != WEFT_EPROTO)
		ck_abort_msg("%.*s is taken", (int)t->len, t->bytes);
	if (error_at() != t->at)
		ck_abort_msg("%.*s: %s", (int)t->len, t->bytes, weft_error_detail());
	T_OUGHT(value.len == 7);
	free(whole);
}

#define LONG                                                                                \
	"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghi" \
	"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghi"

static const struct text good[] = {
	/* literals */
	GOOD("null"),
	GOOD("true"),
	GOOD("false"),
	/* numbers */
	GOOD("0"),
	GOOD("-0"),
	GOOD("7"),
	GOOD("-1"),
	GOOD("10"),
	GOOD("1234567890"),
	GOOD("0.5"),
	GOOD("-0.0"),
	GOOD("1.000"),
	GOOD("0e0"),
	GOOD("0E+1"),
	GOOD("1e5"),
	GOOD("1E5"),
	GOOD("1e-5"),
	GOOD("1.5e+10"),
	GOOD("0.00e00"),
	GOOD("1e99999"),
	GOOD("-1e-99999"),
	GOOD("123456789012345678901234567890123456789012345678901234567890123456789012345"),
	GOOD("-237462374673276894279832749832423479823246327846"),
	GOOD("9007199254740993"),
	GOOD("-0.000000000000000000000000000000000000000000000000000000000000000000000000000001"),
	/* strings */
	GOOD("\"\""),
	GOOD("\"a\""),
	GOOD("\" \""),
	GOOD("\"\x7f\""),
	GOOD("\"/\""),
	GOOD("\"'\""),
	GOOD("\"\\\"\""),
	GOOD("\"\\\\\""),
	GOOD("\"\\/\\b\\f\\n\\r\\t\""),
	GOOD("\"\\\\n\""),
	GOOD("\"\\u0000\""),
	GOOD("\"\\u0012\""),
	GOOD("\"\\uabCD\\uFFff\""),
	GOOD("\"\\u002c\""),
	GOOD("\"\\\\u0000\""),
	GOOD("\"/*x*/ // [}{\""),
	GOOD("\"" LONG "\""),
	GOOD("\"" LONG "\\\"" LONG "\""),
	GOOD("\"\\ud83d\\ude39\\ud83d\\udc8d\""),
	/* a surrogate alone is JSON, though no character */
	GOOD("\"\\ud800\""),
	GOOD("\"\\udc00\""),
	GOOD("\"\\ud800\\ud800\\n\""),
	GOOD("\"\\udfaa\\ud888\\u1234\""),
	GOOD("\"\\uD800abc\""),
	/* UTF-8: edges, not characters, a mark within */
	GOOD("\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\""),
	GOOD("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\xef\xbb\xbf\xe2\x80\xa8\xe2\x80\xa9\""),
	GOOD("\"\xf0\x9b\xbf\xbf\xef\xb7\x90\""),
	GOOD("\"" LONG "\xe2\x82\xac" LONG "\""),
	/* arrays */
	GOOD("[]"),
	GOOD("[ ]"),
	GOOD("[\t\r\n ]"),
	GOOD("[1]"),
	GOOD("[ 1 , 2\n,\t3\r]"),
	GOOD("[[]]"),
	GOOD("[[],[[]],[]]"),
	GOOD("[null,1,\"1\",{}]"),
	GOOD("[\"\"]"),
	GOOD("[false,\ntrue]"),
	GOOD("[-0,0,1e1]"),
	/* objects */
	GOOD("{}"),
	GOOD("{ }"),
	GOOD("{\"\":0}"),
	GOOD("{\"a\":[]}"),
	GOOD("{\"a\":1,\"a\":1}"),
	GOOD("{\"a\":\"b\",\"a\":\"c\"}"),
	GOOD("{\"min\":-1.0e+28,\"max\":1.0e+28}"),
	GOOD("{ \"a\" : { \"b\" : { } } }"),
	GOOD("{\"\\u0000\":{\"\\\"\":[]}}"),
	GOOD("{\n\t\"a\"\r:\n1\n}"),
	GOOD("{\"a\":[{\"b\":[{}]},{}],\"c\":{\"d\":[]}}"),
	GOOD("{\"" LONG "\":\"" LONG "\"}"),
};

START_TEST(json_is_taken_whatever_is_around_it)
{
	static const char *const around[][2] = { { "", "" }, { " ", " " }, { "\n\t\r  ", "\r\n\n" },
		{ "                                        ",
			"\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t" },
		{ "[", "]" }, { "[ ", ",1 ]" }, { "[1,", "\n]" }, { "{\"x\":", "}" },
		{ "{ \"x\" : ", " , \"y\":[]}" } };

	EACH(i, good)
	{
		EACH(k, around)
		check_good(&good[i], around[k][0], around[k][1]);
	}
}
END_TEST

static const struct text bad[] = {
	BAD(0, ""),
	BAD(1, " "),
	BAD(4, "\n\t\r "),
	BAD(0, "\0"),
	BAD(0, "\f1"),
	BAD(0, "\v1"),
	BAD(0,
		"\xc2\xa0"
		"1"),
	BAD(0, "\xef\xbb\xbf{}"),
	BAD(0, "\xe2\x81\xa0[]"),
	BAD(0, "\xff"),
	/* literals */
	BAD(0, "nul"),
	BAD(0, "tru"),
	BAD(0, "fals"),
	BAD(0, "True"),
	BAD(0, "NULL"),
	BAD(4, "nulll"),
	BAD(4, "truet"),
	BAD(1, "[nan]"),
	BAD(1, "[NaN]"),
	BAD(1, "[Infinity]"),
	BAD(2, "[-Infinity]"),
	BAD(0, "undefined"),
	BAD(5, "null null"),
	BAD(2, "1 2"),
	BAD(4, "true\0"),
	/* numbers */
	BAD(1, "-"),
	BAD(1, "-a"),
	BAD(1, "-."),
	BAD(0, "+1"),
	BAD(0, ".5"),
	BAD(2, "1."),
	BAD(2, "1.e1"),
	BAD(2, "1e"),
	BAD(3, "1e+"),
	BAD(2, "1ea"),
	BAD(1, "01"),
	BAD(2, "-01"),
	BAD(1, "00"),
	BAD(4, "-0.0."),
	BAD(3, "1.0.0"),
	BAD(1, "1a"),
	BAD(1, "0x10"),
	BAD(1, "1\0"),
	BAD(3, "1.5f"),
	BAD(3, "1e5.5"),
	BAD(1, "1_000"),
	BAD(1, "--1"),
	BAD(1, "-\xef\xbc\x91"),
	BAD(0, "\xef\xbc\x91"),
	BAD(1, "1\xd9\xa1"),
	BAD(3, "[1 000]"),
	BAD(1, "[+1]"),
	BAD(3, "0e+"),
	BAD(2, "0e"),
	BAD(1, "[.5]"),
	/* strings */
	BAD(1, "\""),
	BAD(2, "\"a"),
	BAD(0, "'a'"),
	BAD(0, "a"),
	BAD(2, "\"\\"),
	BAD(3, "\"\\\""),
	BAD(1, "\"\\a\""),
	BAD(1, "\"\\x00\""),
	BAD(1, "\"\\'\""),
	BAD(1, "\"\\\0\""),
	BAD(1, "\"\\ \""),
	BAD(1, "\"\\U0041\""),
	BAD(1, "\"\\\xc3\xa9\""),
	BAD(1, "\"\\u\""),
	BAD(1, "\"\\u00\""),
	BAD(1, "\"\\u00A\""),
	BAD(1, "\"\\u00G0\""),
	BAD(1, "\"\\u 123\""),
	BAD(1, "\"\\u-123\""),
	BAD(3, "\"\\u"),
	BAD(5, "\"\\u00"),
	BAD(1, "\"\n\""),
	BAD(1, "\"\t\""),
	BAD(1, "\"\0\""),
	BAD(2, "\"a\x1f\""),
	BAD(1 + sizeof(LONG) - 1, "\"" LONG "\r" LONG "\""),
	BAD(2, "\"\"\""),
	BAD(3, "\"a\"b"),
	BAD(1 + sizeof(LONG) - 1, "\"" LONG),
	/* UTF-8 */
	BAD(1, "\"\x80\""),
	BAD(1, "\"\xbf\""),
	BAD(1, "\"\xc0\xaf\""),
	BAD(1, "\"\xc1\xbf\""),
	BAD(1, "\"\xc3\""),
	BAD(1, "\"\xe2\x82\""),
	BAD(1, "\"\xe0\x80\xaf\""),
	BAD(1, "\"\xed\xa0\x80\""),
	BAD(1, "\"\xed\xbf\xbf\""),
	BAD(1, "\"\xf0\x80\x80\x80\""),
	BAD(1, "\"\xf4\x90\x80\x80\""),
	BAD(1, "\"\xf5\x80\x80\x80\""),
	BAD(1, "\"\xff\""),
	BAD(1, "\"\xfc\x83\xbf\xbf\xbf\xbf\""),
	BAD(2, "[\"\xe9\"]"),
	BAD(2, "{\"\xb9\":\"0\"}"),
	BAD(1 + sizeof(LONG) - 1, "\"" LONG "\xc3" LONG LONG "\""),
	BAD(4,
		"\"\xc3\xa9"
		"a\xa9\""),
	/* the first that is wrong is told of: bytes before grammar, grammar before bytes */
	BAD(2, "[\"\xc3\",]"),
	BAD(3, "[1,]\"\xc3\""),
	BAD(6, "[\"\xc3\xa9\",,\"\xc3\"]"),
	/* arrays */
	BAD(1, "["),
	BAD(2, "[1"),
	BAD(3, "[1,"),
	BAD(1, "[,]"),
	BAD(1, "[,1]"),
	BAD(3, "[1,]"),
	BAD(3, "[1,,2]"),
	BAD(3, "[1 2]"),
	BAD(2, "[1}"),
	BAD(0, "]"),
	BAD(3, "[1]]"),
	BAD(2, "[]]"),
	BAD(2, "[][]"),
	BAD(2, "[1:2]"),
	BAD(3, "[\"\":1]"),
	BAD(3, "[[]"),
	BAD(1, "[*]"),
	BAD(4, "[ 1 "),
	BAD(3, "[\"\": 1]"),
	/* objects */
	BAD(1, "{"),
	BAD(3, "{\"\""),
	BAD(4, "{\"\":"),
	BAD(5, "{\"\":1"),
	BAD(6, "{\"\":1,"),
	BAD(1, "{,}"),
	BAD(6, "{\"\":1,}"),
	BAD(3, "{\"\"}"),
	BAD(4, "{\"\":}"),
	BAD(4, "{\"\"::1}"),
	BAD(1, "{1:1}"),
	BAD(1, "{a:1}"),
	BAD(1, "{'a':1}"),
	BAD(1, "{[]:1}"),
	BAD(1, "{null:1}"),
	BAD(4, "{\"a\",1}"),
	BAD(5, "{\"\":1]"),
	BAD(0, "}"),
	BAD(2, "{}}"),
	BAD(6, "{\"\":1,,\"\":1}"),
	BAD(7, "{\"a\":1 \"b\":2}"),
	BAD(2, "{}{}"),
	BAD(5, "{\"a\" 1}"),
	BAD(5, "{\"a\":/**/1}"),
	BAD(2, "{}#"),
	BAD(2, "{}//"),
	BAD(1, "{\xf0\x9f\x87\xa8\xf0\x9f\x87\xad}"),
};

START_TEST(what_is_no_json_is_refused_at_the_byte_that_makes_it_so)
{
	EACH(i, bad)
	check_bad(&bad[i]);
}
END_TEST

/* Every start of a text is none, unless it is a number. */
START_TEST(a_text_that_is_cut_ends_at_its_end)
{
	EACH(i, good)
	{
		for (size_t len = 0; len < good[i].len; len++) {
			char *whole = exactly(good[i].bytes, len);
			weft_json value;
			weft_err err = weft_json_check(&value, whole, len, NULL);

			if (!err)
				T_OUGHT(weft_json_type_of(value) == WEFT_JSON_NUMBER);
			/* or where a word, an escape or a character begins that is cut */
			else
				T_OUGHT(err == WEFT_EPROTO && error_at() + 6 > len);
			free(whole);
		}
	}
}
END_TEST

START_TEST(control_characters_are_refused_wherever_they_are_in_a_string)
{
	char text[202];

	for (size_t len = 3; len <= sizeof(text); len++) {
		for (char c = 0; c < 0x20; c++) {
			size_t at = 1 + (len * 7 + (size_t)c * 13) % (len - 2);
			char *whole;
			weft_json value;

			memset(text, 'x', len);
			text[0] = text[len - 1] = '"';
			whole = exactly(text, len);
			T_OUGHT(!weft_json_check(&value, whole, len, NULL));
			whole[at] = c;
			T_OUGHT(weft_json_check(&value, whole, len, NULL) == WEFT_EPROTO);
			T_OUGHT(error_at() == at);
			/* a quote and an escape there are seen, too */
			whole[at] = '"';
			T_OUGHT(weft_json_check(&value, whole, len, NULL) == WEFT_EPROTO);
			T_OUGHT(error_at() == at + 1);
			whole[at] = '\\';
			T_OUGHT(weft_json_check(&value, whole, len, NULL) == WEFT_EPROTO);
			T_OUGHT(error_at() == (at + 2 == len ? len : at));
			free(whole);
		}
	}
}
END_TEST

/* ---- limits ---- */

static weft_err check_nested(unsigned depth, unsigned max, bool objects)
{
	weft_json_limits limits = { 0, max };
	size_t len = (size_t)depth * (objects ? 6 : 2) + 1;
	char *text = malloc(len), *p = text;
	weft_json value;
	weft_err err;

	T_OUGHT(text);
	for (unsigned i = 0; i < depth; i++) {
		memcpy(p, "{\"a\":", objects ? 5 : 1);
		if (!objects)
			*p = '[';
		p += objects ? 5 : 1;
	}
	*p++ = '0';
	memset(p, objects ? '}' : ']', depth);
	err = weft_json_check(&value, text, len, &limits);
	if (err == WEFT_EMSGSIZE)
		T_OUGHT(error_at() ==
			(max > WEFT_JSON_DEPTH_MAX ? WEFT_JSON_DEPTH_MAX
					: max	   ? max
						   : 64) *
				(objects ? 5 : 1));
	free(text);
	return err;
}

START_TEST(values_are_nested_as_deep_as_allowed)
{
	static const unsigned limits[] = { 1, 2, 63, 64, 65, 127, 128, 129, 1023, 1024 };

	for (int objects = 0; objects < 2; objects++) {
		ck_assert_int_eq(check_nested(64, 0, objects), WEFT_OK);
		ck_assert_int_eq(check_nested(65, 0, objects), WEFT_EMSGSIZE);
		EACH(i, limits)
		{
			ck_assert_int_eq(check_nested(limits[i], limits[i], objects), WEFT_OK);
			ck_assert_int_eq(
				check_nested(limits[i] + 1, limits[i], objects), WEFT_EMSGSIZE);
		}
		ck_assert_int_eq(check_nested(1024, UINT32_MAX, objects), WEFT_OK);
		ck_assert_int_eq(check_nested(1025, UINT32_MAX, objects), WEFT_EMSGSIZE);
		ck_assert_int_eq(check_nested(100000, 0, objects), WEFT_EMSGSIZE);
	}
}
END_TEST

/* What is around a value is remembered at any depth, whichever kind it is. */
START_TEST(brackets_must_pair_at_every_depth)
{
	uint64_t seed = t_seed();

	for (int round = 0; round < 2000; round++) {
		unsigned depth = 1 + (unsigned)(t_random(&seed) % 200);
		weft_json_limits limits = { 0, 200 };
		char opened[200], text[200 * 6 + 201], *p = text, *exact;
		size_t len, wrong;
		weft_json value;

		for (unsigned i = 0; i < depth; i++) {
			opened[i] = t_random(&seed) % 2 ? '{' : '[';
			memcpy(p, opened[i] == '{' ? "{\"\":" : "[0,", opened[i] == '{' ? 4 : 3);
			p += opened[i] == '{' ? 4 : 3;
		}
		*p++ = '1';
		for (unsigned i = depth; i-- > 0;)
			*p++ = opened[i] == '{' ? '}' : ']';
		len = (size_t)(p - text);
		exact = exactly(text, len);
		T_OUGHT(!weft_json_check(&value, exact, len, &limits));
		wrong = len - 1 - t_random(&seed) % depth;
		exact[wrong] = exact[wrong] == ']' ? '}' : ']';
		T_OUGHT(weft_json_check(&value, exact, len, &limits) == WEFT_EPROTO);
		T_OUGHT(error_at() == wrong);
		free(exact);
	}
}
END_TEST

START_TEST(a_text_is_as_large_as_allowed)
{
	weft_json_limits limits = { 4, 0 };
	weft_json value;

	ck_assert_int_eq(weft_json_check(&value, "null", 4, &limits), WEFT_OK);
	ck_assert_int_eq(weft_json_check(&value, "false", 5, &limits), WEFT_EMSGSIZE);
	ck_assert_int_eq(weft_json_check(&value, NULL, 0, &limits), WEFT_EPROTO);
}
END_TEST

static void json_tests(TCase *tc)
{
	t_add(tc, json_is_taken_whatever_is_around_it);
	t_add(tc, what_is_no_json_is_refused_at_the_byte_that_makes_it_so);
	t_add(tc, a_text_that_is_cut_ends_at_its_end);
	t_add(tc, control_characters_are_refused_wherever_they_are_in_a_string);
	t_add(tc, values_are_nested_as_deep_as_allowed);
	t_add(tc, brackets_must_pair_at_every_depth);
	t_add(tc, a_text_is_as_large_as_allowed);
}

T_SUITE("json", json_tests)
