/* SPDX-License-Identifier: MIT */
/* Names, methods, classes of bytes, lists, faults. */
#include "proto/http1/names.h"

#include "proto/http1/chars.h"

#include "support/t.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *text;
	enum http1_name name;
} names[] = {
#define NAME(name, text) { text, HTTP1_NAME_##name },
	HTTP1_NAME_LIST(NAME)
#undef NAME
};
#define NAMES (sizeof(names) / sizeof(names[0]))

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

START_TEST(http1_names_are_known_in_any_case)
{
	ck_assert_uint_lt(HTTP1_NAME_COUNT, 64);
	for (size_t i = 0; i < NAMES; i++) {
		size_t len = strlen(names[i].text);
		char text[32];

		T_OUGHT(len <= HTTP1_KNOWN_LEN_MAX);
		for (unsigned pattern = 0; pattern < 256; pattern++) {
			for (size_t j = 0; j < len; j++)
				text[j] = pattern >> j % 8 & 1 ? upper(names[i].text[j])
							       : names[i].text[j];
			/* at the end of the block, so that a byte over is seen */
			memmove(text + sizeof(text) - len, text, len);
			if (http1_name_of(text + sizeof(text) - len, len) != names[i].name)
				ck_abort_msg(
					"%s is not known: new slots are needed?", names[i].text);
		}
	}
}
END_TEST

START_TEST(http1_other_names_are_not_known)
{
	static const char token[] = "!#$%&'*+-.^_`|~09azAZ";

	ck_assert_int_eq(http1_name_of("", 0), HTTP1_NAME_OTHER);
	for (size_t i = 0; i < NAMES; i++) {
		size_t len = strlen(names[i].text);
		char text[32];

		memcpy(text, names[i].text, len + 1);
		text[len] = 's';
		T_OUGHT(http1_name_of(text, len + 1) == HTTP1_NAME_OTHER);
		T_OUGHT(http1_name_of(text, len - 1) == HTTP1_NAME_OTHER);
		for (size_t j = 0; j < len; j++) {
			for (const char *c = token; *c; c++) {
				bool same = upper(*c) == upper(names[i].text[j]);
				enum http1_name name;

				text[j] = *c;
				name = http1_name_of(text, len);
				T_OUGHT((name == names[i].name) == same);
			}
			text[j] = names[i].text[j];
		}
	}
}
END_TEST

START_TEST(http1_methods_are_known_in_their_case)
{
	ck_assert_int_eq(http1_method_of("GET", 3), HTTP1_METHOD_GET);
	ck_assert_int_eq(http1_method_of("HEAD", 4), HTTP1_METHOD_HEAD);
	ck_assert_int_eq(http1_method_of("POST", 4), HTTP1_METHOD_POST);
	ck_assert_int_eq(http1_method_of("PUT", 3), HTTP1_METHOD_PUT);
	ck_assert_int_eq(http1_method_of("DELETE", 6), HTTP1_METHOD_DELETE);
	ck_assert_int_eq(http1_method_of("CONNECT", 7), HTTP1_METHOD_CONNECT);
	ck_assert_int_eq(http1_method_of("OPTIONS", 7), HTTP1_METHOD_OPTIONS);
	ck_assert_int_eq(http1_method_of("TRACE", 5), HTTP1_METHOD_TRACE);
	ck_assert_int_eq(http1_method_of("PATCH", 5), HTTP1_METHOD_PATCH);
	ck_assert_int_eq(http1_method_of("get", 3), HTTP1_METHOD_OTHER);
	ck_assert_int_eq(http1_method_of("GETS", 4), HTTP1_METHOD_OTHER);
	ck_assert_int_eq(http1_method_of("GE", 2), HTTP1_METHOD_OTHER);
	ck_assert_int_eq(http1_method_of("", 0), HTTP1_METHOD_OTHER);
}
END_TEST

/* By the lists in the RFCs. */
START_TEST(http1_bytes_are_in_their_classes)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const char digits[] = "0123456789", hex[] = "0123456789abcdefABCDEF";
	static const char token[] = "!#$%&'*+-.^_`|~", host[] = "-._~%!$&'()*+,;=";

	for (int i = 0; i < 256; i++) {
		char c = (char)i;
		bool letter = i && strchr(letters, c), digit = i && strchr(digits, c);
		unsigned want = 0;

		want |= letter || digit || (i && strchr(token, c)) ? HTTP1_TOKEN : 0;
		want |= i > 0x20 && i < 0x7f && !strchr("\"<>#", c) ? HTTP1_URI : 0;
		want |= (i < 0x20 && i != '\t') || i == 0x7f ? HTTP1_CTL : 0;
		want |= letter || digit || (i && strchr(host, c)) ? HTTP1_HOST : 0;
		want |= i && strchr(hex, c) ? HTTP1_HEX : 0;
		want |= digit ? HTTP1_DIGIT : 0;
		T_OUGHT(http1_class[i] == want);
	}
}
END_TEST

START_TEST(http1_values_hold_no_controls_at_any_place)
{
	for (size_t len = 1; len < 40; len++) {
		char text[40];

		for (size_t at = 0; at < len; at++) {
			for (int c = 0; c < 256; c++) {
				bool blank = c == ' ' || c == '\t';
				bool right = (c >= ' ' && c != 0x7f) || c == '\t';

				memset(text, at % 2 ? 0xff : 'a', sizeof(text));
				text[at] = (char)c;
				if (blank && (at == 0 || at == len - 1))
					right = false;
				T_OUGHT(http1_is_value(text, len) == right);
			}
		}
	}
	ck_assert(http1_is_value("", 0));
	ck_assert(!http1_is_token("", 0));
	ck_assert(!http1_is_target("", 0));
}
END_TEST

START_TEST(http1_lists_are_taken_apart)
{
	static const struct {
		const char *text, *elements;
	} list[] = {
		{ "", "" },
		{ "a", "<a>" },
		{ "a,b", "<a><b>" },
		{ " \ta \t,\t b ", "<a><b>" },
		{ ",, ,a,,b,", "<a><b>" },
		{ " ,\t, ", "" },
		{ "a b, c;q=1", "<a b><c;q=1>" },
		{ "\"a,b\",c", "<\"a,b\"><c>" },
		{ "x=\"a\\\",b\",c", "<x=\"a\\\",b\"><c>" },
		{ "\"a,b", "<\"a,b>" },
		{ "\"a\\", "<\"a\\>" },
		{ "a\"b,c\"d, e", "<a\"b,c\"d><e>" },
	};

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		struct http1_piece rest = { list[i].text, strlen(list[i].text) }, element;
		char got[100] = "";

		while (http1_list_next(&rest, &element)) {
			size_t len = strlen(got);

			snprintf(got + len, sizeof(got) - len, "<%.*s>", (int)element.len,
				element.data);
		}
		ck_assert_str_eq(got, list[i].elements);
	}
}
END_TEST

START_TEST(http1_text_is_compared_without_case)
{
	ck_assert(http1_same_text("aBc-1", 5, "AbC-1", 5));
	ck_assert(!http1_same_text("abc", 3, "abd", 3));
	ck_assert(!http1_same_text("abc", 3, "abcd", 4));
	ck_assert(!http1_same_text("[", 1, "{", 1));
	ck_assert(!http1_same_text("@", 1, "`", 1));
	ck_assert(!http1_same_text("\xc4", 1, "\xe4", 1));
	ck_assert(http1_same_text("", 0, "", 0));
}
END_TEST

START_TEST(http1_faults_have_a_status_and_a_text)
{
	static const unsigned known[] = { 400, 413, 414, 431, 501, 505 };

	for (unsigned fault = HTTP1_FAULT_NONE + 1; fault <= HTTP1_FAULT_CUT; fault++) {
		unsigned status = http1_fault_status((enum http1_fault)fault);
		bool is = false;

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			is |= known[i] == status;
		ck_assert(is);
		ck_assert_uint_gt(strlen(http1_fault_text((enum http1_fault)fault)), 4);
	}
}
END_TEST

static void names_tests(TCase *tc)
{
	t_add(tc, http1_names_are_known_in_any_case);
	t_add(tc, http1_other_names_are_not_known);
	t_add(tc, http1_methods_are_known_in_their_case);
	t_add(tc, http1_bytes_are_in_their_classes);
	t_add(tc, http1_values_hold_no_controls_at_any_place);
	t_add(tc, http1_lists_are_taken_apart);
	t_add(tc, http1_text_is_compared_without_case);
	t_add(tc, http1_faults_have_a_status_and_a_text);
}
T_SUITE("http1_names", names_tests)
