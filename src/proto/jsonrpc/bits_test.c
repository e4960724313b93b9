/* SPDX-License-Identifier: MIT */
/* The masks of a block: the same in every way, and right where that is counted out. */
#include "proto/jsonrpc/scan.h"

#include "support/t.h"

#include <stdlib.h>
#include <string.h>

static void same_string(const struct json_string_bits *a, const struct json_string_bits *b)
{
	T_OUGHT(a->quotes == b->quotes && a->backslashes == b->backslashes);
	T_OUGHT(a->controls == b->controls && a->high == b->high);
}

#if defined(__x86_64__)
static void same_token(
	const char *bytes, const struct json_token_bits *plain, const struct json_token_bits *b)
{
	uint64_t known = 0; /* differences of the wider ways */

	for (unsigned i = 0; i < JSON_BLOCK; i++)
		known |= (uint64_t)(bytes[i] == 0x0c || bytes[i] == 0x1a) << i;
	T_OUGHT(plain->structurals == (b->structurals & ~known) && plain->spaces == b->spaces);
}
#endif

static void check_block(const char *bytes, uint64_t which)
{
	struct json_string_bits string, string2;
	struct json_token_bits token, token2;
	uint64_t us, us2, right = json_escapes_plain(bytes, which, &us);

	json_string_bits_plain(bytes, &string);
	json_token_bits_plain(bytes, &token);
#if defined(HAVE_VECTOR16)
	json_string_bits_16(bytes, &string2);
	same_string(&string, &string2);
	json_token_bits_16(bytes, &token2);
	T_OUGHT(token.structurals == token2.structurals && token.spaces == token2.spaces);
	T_OUGHT(json_escapes_16(bytes, which, &us2) == right && us == us2);
#endif
#if defined(__x86_64__)
	if (json_way_is_there(JSON_AVX2)) {
		json_string_bits_avx2(bytes, &string2);
		same_string(&string, &string2);
		json_token_bits_avx2(bytes, &token2);
		same_token(bytes, &token, &token2);
		T_OUGHT(json_escapes_avx2(bytes, which, &us2) == right && us == us2);
	}
	if (json_way_is_there(JSON_AVX512)) {
		json_string_bits_avx512(bytes, &string2);
		same_string(&string, &string2);
		json_token_bits_avx512(bytes, &token2);
		same_token(bytes, &token, &token2);
		T_OUGHT(json_escapes_avx512(bytes, which, &us2) == right && us == us2);
	}
#endif
	for (unsigned i = 0; i < JSON_BLOCK; i++) {
		char c = bytes[i];

		T_OUGHT((string.quotes >> i & 1) == (c == '"'));
		T_OUGHT((string.backslashes >> i & 1) == (c == '\\'));
		T_OUGHT((string.controls >> i & 1) == ((unsigned char)c < 0x20));
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
#if defined(__x86_64__)
		if (json_way_is_there(JSON_AVX512))
			T_OUGHT(json_parity_bits_avx512(bits) == want);
#endif
	}
}
END_TEST

typedef const char *pass_fn(const char *p, const char *end, bool *high);

static void check_pass(pass_fn *pass)
{
	static const char stops[] = "\"\\\x1f\n";
	uint64_t seed = t_seed();

	for (int round = 0; round < 3000; round++) {
		size_t len = t_random(&seed) % 400, at = t_random(&seed) % 400;
		char *text = malloc(len ? len : 1);
		const char *got;
		bool high = false;

		T_OUGHT(text);
		memset(text, 'x', len);
		if (at < len)
			text[at] = stops[t_random(&seed) % 4];
		got = pass(text, text + len, &high);
		T_OUGHT(!high);
		T_OUGHT((size_t)(got - text) == (at < len ? at : len) / JSON_BLOCK * JSON_BLOCK);
		if (got > text) {
			text[t_random(&seed) % (size_t)(got - text)] = '\x80';
			T_OUGHT(pass(text, text + len, &high) == got && high);
		}
		free(text);
	}
}

START_TEST(plain_blocks_are_passed_up_to_what_matters)
{
#if defined(HAVE_VECTOR16)
	check_pass(json_pass_plain_16);
#endif
#if defined(__x86_64__)
	if (json_way_is_there(JSON_AVX2))
		check_pass(json_pass_plain_avx2);
	if (json_way_is_there(JSON_AVX512))
		check_pass(json_pass_plain_avx512);
#endif
}
END_TEST

/* ---- whole texts ---- */

#define TEXT_MAX 1500

/* Every token of a text, found in that way; *s is where it ended. */
static unsigned tokens_of(struct json_scan *s, const char *text, size_t len, size_t from,
	enum json_way way, bool all, uint16_t *tokens)
{
	unsigned count = 0;

	json_scan_init(s, text, len, text + from, all, 64);
	while (json_load_by(s, way)) {
		for (const struct json_block *b = s->ahead; b <= s->last; b++) {
			uint64_t left = b->tokens;

			T_OUGHT(left && !(b->closings & ~left));
			for (; left; left &= left - 1) {
				size_t at = (size_t)(b->at - text) + (size_t)__builtin_ctzll(left);
				bool closes = b->closings >> __builtin_ctzll(left) & 1;

				T_OUGHT(at >= from && at < len && count < TEXT_MAX);
				tokens[count++] = (uint16_t)(at | (unsigned)closes << 15);
			}
		}
	}
	return count;
}

START_TEST(every_way_finds_the_same_tokens_and_faults)
{
	static const char some[] = "\"\"\"\"\\{}[]:,, \t\nuunxxxxxxxxb0123456789abcdef\xc3\xa4\x1f";
	static uint16_t tokens[2][TEXT_MAX];
	uint64_t seed = t_seed();

	for (int round = 0; round < 6000; round++) {
		size_t len = t_random(&seed) % (round % 3 ? 300 : TEXT_MAX);
		size_t kinds = sizeof(some) - (round % 4 ? 2 : 1); /* few control characters */
		size_t from = len ? t_random(&seed) % len : 0;
		char *text = malloc(len ? len : 1);
		struct json_scan a, b;
		unsigned count;

		T_OUGHT(text);
		for (size_t i = 0; i < len; i++)
			text[i] = round % 5 && t_random(&seed) % 4 ? 'x'
								   : some[t_random(&seed) % kinds];
		count = tokens_of(&a, text, len, from, JSON_PLAIN, true, tokens[0]);
		for (int way = JSON_PLAIN; way <= JSON_AVX512; way++) {
			bool all = t_random(&seed) & 1;

			if (!json_way_is_there((enum json_way)way))
				continue;
			T_OUGHT(tokens_of(&b, text, len, from, (enum json_way)way, all,
					tokens[1]) == count);
			T_OUGHT(!memcmp(tokens[0], tokens[1], count * sizeof(**tokens)));
			T_OUGHT(a.string_fault == b.string_fault);
			T_OUGHT(a.string_fault_at == b.string_fault_at);
			T_OUGHT(a.in_string == b.in_string || a.string_fault);
			T_OUGHT(a.high == b.high || a.string_fault);
			T_OUGHT(a.backslashes == b.backslashes || a.string_fault);
		}
		free(text);
	}
}
END_TEST

static void bits_tests(TCase *tc)
{
	t_add(tc, every_byte_is_known_at_every_place);
	t_add(tc, random_blocks_have_the_same_masks_by_every_way);
	t_add(tc, what_is_escaped_is_known_over_blocks);
	t_add(tc, what_is_between_quotes_is_known);
	t_add(tc, plain_blocks_are_passed_up_to_what_matters);
	t_add(tc, every_way_finds_the_same_tokens_and_faults);
}

T_SUITE("json bits", bits_tests)
