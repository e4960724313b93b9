/* SPDX-License-Identifier: MIT */
/* Lines for people, of whatever bytes. */
#include "bridge/plain.h"

#include "base/utf8.h"
#include "support/t.h"

#include <stdio.h>
#include <string.h>

struct out {
	char text[40000];
	size_t len;
};

static void add_line(void *user, const char *line)
{
	struct out *o = user;
	size_t len = strlen(line);

	T_OUGHT(len > 0 && len <= PLAIN_LINE_MAX + strlen(PLAIN_CUT));
	T_OUGHT(utf8_valid_len(line, len) == len);
	for (size_t i = 0; i < len; i++) {
		T_OUGHT((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
		T_OUGHT((unsigned char)line[i] != 0xc2 || (unsigned char)line[i + 1] >= 0xa0);
	}
	T_OUGHT(o->len + len + 1 < sizeof(o->text));
	o->len += (size_t)sprintf(o->text + o->len, "%s|", line);
}

/* In pieces of at most that many bytes. */
static void feed(struct out *o, const char *bytes, size_t len, size_t most, uint64_t *seed)
{
	static struct plain p;

	plain_init(&p);
	o->len = 0;
	o->text[0] = '\0';
	for (size_t at = 0, n; at < len; at += n) {
		n = most == 1 ? 1 : 1 + t_random(seed) % most;
		n = n < len - at ? n : len - at;
		plain_feed(&p, bytes + at, n, add_line, o);
	}
	plain_end(&p, add_line, o);
}

static struct out whole, parts;

START_TEST(escapes_and_controls_are_left_out)
{
	static const struct {
		const char *bytes, *lines;
	} texts[] = {
		{ "a\nb\r\nc\rd", "a|b|c|d|" },
		{ "\n\n\r\r\n", "" },
		{ "\033[1;31mred\033[0m \033(Bplain\033[K", "red plain|" },
		{ "\033]0;title\007x\033]8;;http://a\033\\link\033]8;;\033\\", "xlink|" },
		{ "\033Pdevice\033\\a\033_app\033\\b\033^pm\033\\c\033Xsos\033\\d", "abcd|" },
		{ "\033]never ends\nnext", "next|" },
		{ "\033[31\nnext", "next|" },
		{ "\033\033[1mx\033[\033[1my", "xy|" },
		{ "a\tb\007c\177d\001", "a bcd|" },
		{ "\303\244\xe2\x82\xac \xff\xc3.", "\303\244\xe2\x82\xac ??.|" },
		{ "a\xc2\x9b"
		  "31mb",
			"a??31mb|" },
		{ "\x9b"
		  "31mb",
			"?31mb|" },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		feed(&whole, texts[i].bytes, strlen(texts[i].bytes), 1, NULL);
		ck_assert_str_eq(whole.text, texts[i].lines);
	}
}
END_TEST

START_TEST(a_line_that_is_too_long_is_cut_between_characters)
{
	static char text[10001];
	uint64_t seed = t_seed();

	for (size_t shift = 0; shift < 4; shift++) {
		memset(text, 'x', shift);
		for (size_t i = shift; i + 3 < sizeof(text); i += 3)
			memcpy(text + i, "\xe2\x82\xac", 4);
		feed(&whole, text, strlen(text), 1000, &seed);
		ck_assert_uint_le(whole.len, PLAIN_LINE_MAX + strlen(PLAIN_CUT) + 1);
		ck_assert_uint_gt(whole.len, PLAIN_LINE_MAX - 6);
		ck_assert_ptr_nonnull(strstr(whole.text, "\xe2\x82\xac" PLAIN_CUT "|"));
		ck_assert_ptr_null(strchr(whole.text, '?'));
	}
}
END_TEST

/* Bytes that matter, at random: the lines are good ones, however the bytes are cut. */
START_TEST(any_bytes_make_good_lines)
{
	static const char matter[] = "\033\033[]P_^X\\\007;?0m~ \t\n\r\xc2\x9b\xe2\x82\xac\xff\x7f"
				     "az";
	uint64_t seed = t_seed();
	char bytes[3000];

	for (int round = 0; round < 300; round++) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = t_random(&seed) % 8 ? matter[t_random(&seed) % sizeof(matter)]
						       : (char)t_random(&seed);
		feed(&whole, bytes, sizeof(bytes), 1, NULL);
		feed(&parts, bytes, sizeof(bytes), 500, &seed);
		ck_assert_str_eq(whole.text, parts.text);
	}
}
END_TEST

static void plain_tests(TCase *tc)
{
	t_add(tc, escapes_and_controls_are_left_out);
	t_add(tc, a_line_that_is_too_long_is_cut_between_characters);
	t_add(tc, any_bytes_make_good_lines);
}

T_SUITE("plain", plain_tests)
