/* SPDX-License-Identifier: MIT */
/* UTF-8, against a decoder that knows nothing but code points. */
#include "base/utf8.h"

#include "support/t.h"

#include <stdlib.h>
#include <string.h>

/* The code point that len bytes at p are the one encoding of, or -1. */
static long point_of(const unsigned char *p, size_t len)
{
	static const long least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	long point;

	if (len == 1)
		return p[0] < 0x80 ? p[0] : -1;
	if (len > 4 || p[0] >> (7 - len) != (1 << (len + 1)) - 2)
		return -1;
	point = p[0] & (0x7f >> len);
	for (size_t i = 1; i < len; i++) {
		if (p[i] >> 6 != 2)
			return -1;
		point = point << 6 | (p[i] & 0x3f);
	}
	if (point < least[len] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
		return -1;
	return point;
}

static size_t model_valid_len(const unsigned char *p, size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t n = 1;

		while (n <= 4 && (n > len - at || point_of(p + at, n) < 0))
			n++;
		if (n > 4)
			break;
		at += n;
	}
	return at;
}

static void check_here(const unsigned char *p, size_t len)
{
	size_t want = model_valid_len(p, len);

	T_OUGHT(utf8_valid_len(p, len) == want);
	T_OUGHT(utf8_valid_len_base(p, len) == want);
}

/* In a block of its own, so that a byte over is seen. */
static void check(const unsigned char *text, size_t len)
{
	unsigned char *p = malloc(len ? len : 1);

	T_OUGHT(p);
	memcpy(p, text, len);
	check_here(p, len);
	free(p);
}

START_TEST(every_two_bytes_are_judged_right)
{
	for (unsigned i = 0; i < 0x10000; i++) {
		unsigned char text[2] = { (unsigned char)(i >> 8), (unsigned char)i };

		check_here(text, 2);
	}
}
END_TEST

START_TEST(every_lead_with_edges_behind_it_is_judged_right_wherever_it_stands)
{
	static const unsigned char edges[] = { 0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
		0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0xff };
	enum { EDGES = sizeof(edges) };
	static const size_t places[] = { 0, 1, 14, 28, 29, 30, 31, 32, 61, 62, 63, 64, 96 };
	unsigned char text[160];

	for (unsigned lead = 0x80; lead < 0x100; lead++) {
		for (unsigned i = 0; i < EDGES * EDGES * EDGES; i++) {
			size_t at = places[(lead + i) % (sizeof(places) / sizeof(*places))];

			/* among ASCII; behind one that begins the wide search; among many */
			for (size_t others = 0; others < 3; others++) {
				memset(text, 'a', sizeof(text));
				for (size_t k = at % 2; others && k + 1 < sizeof(text); k += 2) {
					memcpy(text + k, "\xc3\xa9", 2);
					if (others == 1)
						break;
				}
				text[at] = (unsigned char)lead;
				text[at + 1] = edges[i % EDGES];
				text[at + 2] = edges[i / EDGES % EDGES];
				text[at + 3] = edges[i / EDGES / EDGES];
				check_here(text, sizeof(text));
			}
		}
	}
}
END_TEST

static size_t put_random_char(uint64_t *seed, unsigned char *to)
{
	static const char *const chars[] = { "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
		"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf", "\xe6\xbc\xa2", "\xf0\x9f\x98\x80" };
	const char *c = chars[t_random(seed) % (sizeof(chars) / sizeof(*chars))];
	size_t len = strlen(c);

	memcpy(to, c, len);
	return len;
}

START_TEST(random_texts_are_judged_right_whole_cut_and_damaged)
{
	uint64_t seed = t_seed();

	for (int round = 0; round < 4000; round++) {
		unsigned char text[320];
		size_t len = 0, want = t_random(&seed) % 300;

		while (len < want)
			len += put_random_char(&seed, text + len);
		T_OUGHT(utf8_valid_len(text, len) == len);
		T_OUGHT(utf8_valid_len_base(text, len) == len);
		check(text, len - (len ? t_random(&seed) % (len < 4 ? len : 4) : 0));
		if (len > 0)
			text[t_random(&seed) % len] = (unsigned char)t_random(&seed);
		check(text, len);
	}
}
END_TEST

static void check_repair(const char *text, size_t len, const char *want)
{
	char *to = malloc(3 * len + 1);
	size_t size = utf8_repaired_len(text, len);

	T_OUGHT(to && size <= 3 * len && size == strlen(want));
	T_OUGHT(utf8_repair(to, text, len) == size && !memcmp(to, want, size));
	free(to);
}

#define FFFD "\xef\xbf\xbd"
#define REPAIR(text, want) check_repair(text, sizeof(text) - 1, want)

START_TEST(each_maximal_part_becomes_one_replacement)
{
	REPAIR("", "");
	REPAIR("abc\xe2\x82\xac", "abc\xe2\x82\xac");
	/* the example of the Unicode standard, table 3-8, and 3-9, 3-10, 3-11 */
	REPAIR("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A");
	REPAIR("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A");
	REPAIR("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", FFFD FFFD FFFD FFFD FFFD "A" FFFD FFFD "B");
	REPAIR("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", FFFD FFFD FFFD FFFD "A");
	REPAIR("\xf0\x9f\x98", FFFD);
}
END_TEST

static void utf8_tests(TCase *tc)
{
	t_add(tc, every_two_bytes_are_judged_right);
	t_add(tc, every_lead_with_edges_behind_it_is_judged_right_wherever_it_stands);
	t_add(tc, random_texts_are_judged_right_whole_cut_and_damaged);
	t_add(tc, each_maximal_part_becomes_one_replacement);
}

T_SUITE("utf8", utf8_tests)
