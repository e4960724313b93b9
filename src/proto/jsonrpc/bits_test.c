/* SPDX-License-Identifier: MIT */
/* The masks of a block: the same in C, with SSE2 and with AVX2, and right where that is counted out. */
#include "proto/jsonrpc/bits.h"

#include "support/t.h"

#include <stdlib.h>
#include <string.h>

static void same_string(const struct json_string_bits *a, const struct json_string_bits *b)
{
	T_OUGHT(a->quotes == b->quotes && a->backslashes == b->backslashes);
	T_OUGHT(a->controls == b->controls && a->high == b->high);
}

static void same_token(
	const char *bytes, const struct json_token_bits *plain, const struct json_token_bits *b)
{
	uint64_t known = 0;

	for (unsigned i = 0; i < JSON_BLOCK; i++)
		known |= (uint64_t)(bytes[i] == 0x0c || bytes[i] == 0x1a) << i;
	T_OUGHT(plain->structurals == (b->structurals & ~known) && plain->spaces == b->spaces);
}

static void check_block(const char *bytes, uint64_t which)
{
	struct json_string_bits string, string2;
	struct json_token_bits token, token2;
	uint64_t us, right = json_escapes_plain(bytes, which, &us);

	json_string_bits_plain(bytes, &string);
	json_token_bits_plain(bytes, &token);
#if defined(__SSE2__)
	json_string_bits_sse2(bytes, &string2);
	same_string(&string, &string2);
	json_token_bits_sse2(bytes, &token2);
	same_token(bytes, &token, &token2);
#endif
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2")) {
		uint64_t us2;

		json_string_bits_avx2(bytes, &string2);
		same_string(&string, &string2);
		json_token_bits_avx2(bytes, &token2);
		same_token(bytes, &token, &token2);
		T_OUGHT(json_escapes_avx2(bytes, which, &us2) == right && us == us2);
	}
#endif
	for (unsigned i = 0; i < JSON_BLOCK; i++) {
		char c = bytes[i];

		T_OUGHT((string.quotes >> i & 1) == (c == '"'));
		T_OUGHT((string.backslashes >> i & 1) == (c == '\\'));
		T_OUGHT((string.controls >> i & 1) == (c >= 0 && c < 0x20));
		T_OUGHT((token.structurals >> i & 1) == (c && strchr("{}[]:,", c)));
		T_OUGHT((token.spaces >> i & 1) == (c && strchr(" \t\r\n", c)));
		T_OUGHT((right >> i & 1) == ((which >> i & 1) && c && strchr("\"\\/bfnrtu", c)));
		T_OUGHT((us >> i & 1) == ((which >> i & 1) && c == 'u'));
	}
}

START_TEST(every_byte_is_known_at_every_place)
{
	for (unsigned c = 0; c < 256; c++) {
		char block[JSON_BLOCK];

		memset(block, (int)c, sizeof(block));
		check_block(block, UINT64_MAX);
		for (unsigned i = 0; i < JSON_BLOCK; i++) {
			memset(block, 'x', sizeof(block));
			block[i] = (char)c;
			check_block(block, UINT64_C(3) << i);
		}
	}
}
END_TEST

START_TEST(random_blocks_have_the_same_masks_by_every_way)
{
	static const char some[] = "\"\\{}[]:, \t\r\nuxbft/0\x1f\x20\x7f\x80\xff\x0c\x1a;:<|~@`";
	uint64_t seed = t_seed();

	for (int round = 0; round < 20000; round++) {
		char *block = malloc(JSON_BLOCK); /* exact, so that a byte over is seen */

		T_OUGHT(block);
		for (unsigned i = 0; i < JSON_BLOCK; i++)
			block[i] = round % 2 ? (char)t_random(&seed)
					     : some[t_random(&seed) % (sizeof(some) - 1)];
		check_block(block, t_random(&seed));
		free(block);
	}
}
END_TEST

START_TEST(what_is_escaped_is_known_over_blocks)
{
	uint64_t seed = t_seed();

	for (int round = 0; round < 20000; round++) {
		uint64_t first = t_random(&seed) & 1, carry = first, want = 0;
		uint64_t backslashes = t_random(&seed) & t_random(&seed);
		bool escaped = first;

		if (round % 2)
			backslashes = ~backslashes;
		if (round % 64 == 0)
			backslashes = UINT64_MAX << round / 64 % 64;
		for (unsigned i = 0; i < JSON_BLOCK; i++) {
			want |= (uint64_t)escaped << i;
			escaped = !escaped && (backslashes >> i & 1);
		}
		T_OUGHT(json_escaped_bits(backslashes, &carry) == want);
		T_OUGHT(carry == escaped);
	}
}
END_TEST

START_TEST(what_is_between_quotes_is_known)
{
	uint64_t seed = t_seed();

	for (int round = 0; round < 10000; round++) {
		uint64_t bits = t_random(&seed), want = 0, odd = 0;

		for (unsigned i = 0; i < JSON_BLOCK; i++) {
			odd ^= bits >> i & 1;
			want |= odd << i;
		}
		T_OUGHT(json_parity_bits(bits) == want);
	}
}
END_TEST

#if defined(__x86_64__)
START_TEST(plain_blocks_are_passed_up_to_what_matters)
{
	static const char stops[] = "\"\\\x1f\n";
	uint64_t seed = t_seed();

	if (!__builtin_cpu_supports("avx2"))
		return;
	for (int round = 0; round < 3000; round++) {
		size_t len = t_random(&seed) % 400, at = t_random(&seed) % 400;
		char *text = malloc(len ? len : 1);
		const char *got;
		bool high = false;

		T_OUGHT(text);
		memset(text, 'x', len);
		if (at < len)
			text[at] = stops[t_random(&seed) % 4];
		got = json_pass_plain_avx2(text, text + len, &high);
		T_OUGHT(!high);
		T_OUGHT((size_t)(got - text) == (at < len ? at : len) / JSON_BLOCK * JSON_BLOCK);
		if (got > text) {
			text[t_random(&seed) % (size_t)(got - text)] = '\x80';
			T_OUGHT(json_pass_plain_avx2(text, text + len, &high) == got && high);
		}
		free(text);
	}
}
END_TEST
#endif

static void bits_tests(TCase *tc)
{
	t_add(tc, every_byte_is_known_at_every_place);
	t_add(tc, random_blocks_have_the_same_masks_by_every_way);
	t_add(tc, what_is_escaped_is_known_over_blocks);
	t_add(tc, what_is_between_quotes_is_known);
#if defined(__x86_64__)
	t_add(tc, plain_blocks_are_passed_up_to_what_matters);
#endif
}

T_SUITE("json bits", bits_tests)
