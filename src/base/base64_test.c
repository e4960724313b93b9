/* SPDX-License-Identifier: MIT */
/* Base 64: the vectors of RFC 4648, section 10; every text of one group; what is refused. */
#include "base/base64.h"

#include "support/t.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char *const vectors[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
	{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
	{ "foobar", "Zm9vYmFy" }, { "\xfb\xff\xbf", "+/+/" } };

#define EACH(i, list) for (size_t i = 0; i < sizeof(list) / sizeof(*(list)); i++)

/* From and into blocks of their own, so that a byte over is seen. */
static bool decode(const char *text, size_t len, char *to, size_t *out_len)
{
	size_t max = BASE64_DECODED_MAX(len);
	char *from = malloc(len ? len : 1), *out = malloc(max ? max : 1);
	bool right;

	T_OUGHT(from && out);
	memcpy(from, text, len);
	right = base64_decode(out, out_len, from, len);
	if (right)
		memcpy(to, out, *out_len);
	free(from);
	free(out);
	return right;
}

START_TEST(the_vectors_of_the_rfc_are_written_and_read)
{
	EACH(i, vectors)
	{
		size_t len = strlen(vectors[i][0]), got = 99;
		char text[16], back[16];

		base64_encode(text, vectors[i][0], len);
		ck_assert_str_eq(text, vectors[i][1]);
		ck_assert_uint_eq(strlen(text), BASE64_LEN(len));
		T_OUGHT(decode(text, strlen(text), back, &got));
		T_OUGHT(got == len && !memcmp(back, vectors[i][0], len));
	}
}
END_TEST

START_TEST(what_was_written_is_read_again)
{
	uint64_t seed = t_seed();

	for (int round = 0; round < 5000; round++) {
		char data[64], text[BASE64_LEN(sizeof(data)) + 1], back[64];
		size_t len = t_random(&seed) % sizeof(data), got = 0;

		for (size_t i = 0; i < len; i++)
			data[i] = (char)t_random(&seed);
		base64_encode(text, data, len);
		T_OUGHT(decode(text, strlen(text), back, &got));
		T_OUGHT(got == len && !memcmp(back, data, len));
	}
}
END_TEST

/* Only one text stands for some bytes: who compares texts compares what they mean. */
START_TEST(what_is_read_is_written_the_same)
{
	static const char some[] = "AQgwZz09+/=-_ \n\0a";
	enum { SOME = sizeof(some) };
	char text[4], data[4], again[8];

	for (unsigned i = 0; i < SOME * SOME * SOME * SOME; i++) {
		size_t got = 0;

		text[0] = some[i % SOME];
		text[1] = some[i / SOME % SOME];
		text[2] = some[i / SOME / SOME % SOME];
		text[3] = some[i / SOME / SOME / SOME];
		if (!decode(text, 4, data, &got))
			continue;
		base64_encode(again, data, got);
		T_OUGHT(!memcmp(again, text, 4));
	}
}
END_TEST

START_TEST(what_is_no_base_64_is_refused)
{
	static const char *const wrong[] = { "Z", "Zg", "Zg=", "Zm8", "Zg==Zg==", "Zm9v=", "=",
		"====", "Z===", "Zg=a", "Zh==", "Zm9=", "Zm9v Zg=", "Zm9\n", "Zm-_", "Zm9\xff",
		"Zm9vZ", "Zm9vZg" };

	EACH(i, wrong)
	{
		size_t got = 77;
		char data[16];

		if (decode(wrong[i], strlen(wrong[i]), data, &got))
			ck_abort_msg("%s was read", wrong[i]);
		ck_assert_uint_eq(got, 77);
	}
}
END_TEST

static void base64_tests(TCase *tc)
{
	t_add(tc, the_vectors_of_the_rfc_are_written_and_read);
	t_add(tc, what_was_written_is_read_again);
	t_add(tc, what_is_read_is_written_the_same);
	t_add(tc, what_is_no_base_64_is_refused);
}

T_SUITE("base64", base64_tests)
