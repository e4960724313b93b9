/* SPDX-License-Identifier: MIT */
/*
 * UTF-8. Valid text, nearly all there is, is looked at a vector at a time: with AVX2 if the
 * processor has it, by the method of Keiser and Lemire ("Validating UTF-8 in less than one
 * instruction per byte", 2021), else by comparing vectors of 16 bytes. What that finds wrong, and
 * the last bytes, are looked at a character at a time, which says where exactly.
 */
#include "base/utf8.h"

#include "base/align.h"
#include "base/vector16.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static const uint8_t replacement[] = { 0xef, 0xbf, 0xbd }; /* U+FFFD */

/* Bytes of ASCII from p on, whole blocks only. */
static size_t ascii_len(const uint8_t *p, size_t len)
{
	size_t n = 0;

#if defined(HAVE_VECTOR16)
	for (; len - n >= 16; n += 16) {
		if (vector16_any_high(vector16_load(p + n)))
			break;
	}
#else
	for (; len - n >= 8; n += 8) {
		uint64_t word;

		memcpy(&word, p + n, 8);
		if (word & UINT64_C(0x8080808080808080))
			break;
	}
#endif
	return n;
}

/*
 * The character at p, of which there are left bytes, at least one. Returns its length; or, *valid
 * false, that of the maximal part of one that is ill-formed or cut.
 */
static size_t step(const uint8_t *p, size_t left, bool *valid)
{
	uint8_t lead = p[0], low = 0x80, high = 0xbf;
	size_t need;

	*valid = true;
	if (lead < 0x80)
		return 1;
	*valid = false;
	if (lead < 0xc2 || lead > 0xf4)
		return 1;
	need = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	switch (lead) {
	case 0xe0: /* overlong below */
		low = 0xa0;
		break;
	case 0xed: /* surrogates above */
		high = 0x9f;
		break;
	case 0xf0: /* overlong below */
		low = 0x90;
		break;
	case 0xf4: /* beyond U+10FFFF above */
		high = 0x8f;
		break;
	default:
		break;
	}
	if (left < 2 || p[1] < low || p[1] > high)
		return 1;
	for (size_t i = 2; i < need; i++) {
		if (i >= left || (p[i] & 0xc0) != 0x80)
			return i;
	}
	*valid = true;
	return need;
}

#define WIDE_MIN 64 /* bytes for which vectors are worth their beginning */

/* ---- AVX2 ---- */

#if defined(__x86_64__)

/* What is wrong with two bytes that follow one another; each is a bit. */
enum {
	TOO_SHORT = 1 << 0,	 /* a lead, and no continuation */
	TOO_LONG = 1 << 1,	 /* ASCII, and a continuation */
	OVERLONG_3 = 1 << 2,	 /* e0 80..9f */
	TOO_LARGE = 1 << 3,	 /* f4 90..bf, f5..ff 90..bf */
	SURROGATE = 1 << 4,	 /* ed a0..bf */
	OVERLONG_2 = 1 << 5,	 /* c0..c1 */
	TOO_LARGE_1000 = 1 << 6, /* f5..ff 80..8f */
	OVERLONG_4 = 1 << 6,	 /* f0 80..8f */
	TWO_CONTS = 1 << 7,	 /* continuations: right for a third or fourth byte */
	CARRY = TOO_SHORT | TOO_LONG | TWO_CONTS,
	LARGE = CARRY | TOO_LARGE | TOO_LARGE_1000,
	CONT = TOO_LONG | OVERLONG_2 | TWO_CONTS,
};

#define WIDE __attribute__((target("avx2")))
#define TWICE(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)                                \
	_mm256_setr_epi8((char)(a), (char)(b), (char)(c), (char)(d), (char)(e), (char)(f),   \
		(char)(g), (char)(h), (char)(i), (char)(j), (char)(k), (char)(l), (char)(m), \
		(char)(n), (char)(o), (char)(p), (char)(a), (char)(b), (char)(c), (char)(d), \
		(char)(e), (char)(f), (char)(g), (char)(h), (char)(i), (char)(j), (char)(k), \
		(char)(l), (char)(m), (char)(n), (char)(o), (char)(p))

/* Not 0 where the bytes of block, which come behind before, are no UTF-8. A character that is cut at
 * the end is not seen. */
WIDE static inline __m256i wrong(__m256i block, __m256i before)
{
	const __m256i low = _mm256_set1_epi8(15);
	__m256i across = _mm256_permute2x128_si256(before, block, 0x21);
	__m256i prev1 = _mm256_alignr_epi8(block, across, 15);
	__m256i prev2 = _mm256_alignr_epi8(block, across, 14);
	__m256i prev3 = _mm256_alignr_epi8(block, across, 13);
	__m256i first_high = _mm256_shuffle_epi8(
		TWICE(TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
			TOO_LONG, TWO_CONTS, TWO_CONTS, TWO_CONTS, TWO_CONTS,
			TOO_SHORT | OVERLONG_2, TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE,
			TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4),
		_mm256_and_si256(_mm256_srli_epi16(prev1, 4), low));
	__m256i first_low = _mm256_shuffle_epi8(
		TWICE(CARRY | OVERLONG_2 | OVERLONG_3 | OVERLONG_4, CARRY | OVERLONG_2, CARRY,
			CARRY, CARRY | TOO_LARGE, LARGE, LARGE, LARGE, LARGE, LARGE, LARGE, LARGE,
			LARGE, LARGE | SURROGATE, LARGE, LARGE),
		_mm256_and_si256(prev1, low));
	__m256i second_high = _mm256_shuffle_epi8(
		TWICE(TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
			TOO_SHORT, CONT | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4,
			CONT | OVERLONG_3 | TOO_LARGE, CONT | SURROGATE | TOO_LARGE,
			CONT | SURROGATE | TOO_LARGE, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT),
		_mm256_and_si256(_mm256_srli_epi16(block, 4), low));
	__m256i pair = _mm256_and_si256(_mm256_and_si256(first_high, first_low), second_high);
	/* the highest bit: a third or fourth byte, where two continuations must be */
	__m256i third = _mm256_subs_epu8(prev2, _mm256_set1_epi8((char)(0xe0 - 0x80)));
	__m256i fourth = _mm256_subs_epu8(prev3, _mm256_set1_epi8((char)(0xf0 - 0x80)));
	__m256i must =
		_mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)0x80));

	return _mm256_xor_si256(must, pair);
}

/* From p, where a character begins: a number of bytes that are UTF-8 but perhaps for the last 3,
 * where a character may be cut or wrong. */
WIDE static size_t wide_len(const uint8_t *p, size_t len)
{
	__m256i before = _mm256_setzero_si256();
	bool was_ascii = true;
	size_t n = 0;

	for (; len - n >= 32; n += 32) {
		__m256i block = _mm256_loadu_si256((const __m256i *)(const void *)(p + n));
		bool ascii = _mm256_movemask_epi8(block) == 0;

		if (!ascii || !was_ascii) {
			__m256i bad = wrong(block, before);

			if (!_mm256_testz_si256(bad, bad))
				break;
		}
		before = block;
		was_ascii = ascii;
	}
	return n;
}

#endif

/* ---- vectors of 16 bytes ---- */

#if defined(HAVE_VECTOR16)
/* All bits of the bytes of b that can't stand behind those before them. */
static inline vector16 wrong_16(vector16 b, vector16 prev1, vector16 prev2, vector16 prev3)
{
	vector16 continues = vector16_below(b, 0xc0) & vector16_from(b, 0x80);
	vector16 must = vector16_from(prev1, 0xc0) | vector16_from(prev2, 0xe0) |
		vector16_from(prev3, 0xf0);
	vector16 never =
		vector16_from(b, 0xf5) | (vector16)((b & vector16_of(0xfe)) == vector16_of(0xc0));
	vector16 early = (vector16_is(prev1, (char)0xe0) & vector16_below(b, 0xa0)) |
		(vector16_is(prev1, (char)0xf0) & vector16_below(b, 0x90));
	vector16 late = (vector16_is(prev1, (char)0xed) & vector16_from(b, 0xa0)) |
		(vector16_is(prev1, (char)0xf4) & vector16_from(b, 0x90));

	return (continues ^ must) | never | early | late;
}

/* As wide_len, of two bytes or more; what is before p + from is UTF-8, and from 3 at least. */
static size_t len_16(const uint8_t *p, size_t from, size_t len)
{
	size_t n = from;

	for (; len - n >= 16; n += 16) {
		vector16 b = vector16_load(p + n), prev3 = vector16_load(p + n - 3);

		if (vector16_any_high(b | prev3) &&
			vector16_any_high(wrong_16(
				b, vector16_load(p + n - 1), vector16_load(p + n - 2), prev3)))
			break;
	}
	return n;
}
#endif

/* Of n bytes that are UTF-8 but perhaps for the last 3: up to where a character begins. */
static size_t whole_len(const uint8_t *p, size_t n)
{
	for (size_t back = 1; back <= 3 && back <= n; back++) {
		uint8_t byte = p[n - back];

		if (byte < 0x80)
			break;
		if (byte >= 0xc0) {
			size_t need = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;

			return need > back ? n - back : n;
		}
	}
	return n;
}

/* ---- any text ---- */

/* From p + at on, where a character begins, a character at a time. */
static size_t valid_from(const uint8_t *p, size_t at, size_t len)
{
	while (at < len) {
		for (size_t i = 0; i < 16 && at < len; i++) {
			bool valid;
			size_t n = step(p + at, len - at, &valid);

			if (weft_unlikely(!valid))
				return at;
			at += n;
		}
		at += ascii_len(p + at, len - at);
	}
	return len;
}

size_t utf8_valid_len_base(const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t at = ascii_len(p, len);

#if defined(HAVE_VECTOR16)
	bool valid = true;

	if (len - at >= WIDE_MIN) {
		while (at < 3 && valid)
			at += step(p + at, len - at, &valid);
		if (valid)
			at = whole_len(p, len_16(p, at, len));
		else
			at = 0;
	}
#endif
	return valid_from(p, at, len);
}

size_t utf8_valid_len(const void *data, size_t len)
{
#if defined(__x86_64__)
	const uint8_t *p = data;
	size_t at;

	if (__builtin_cpu_supports("avx2")) {
		at = ascii_len(p, len);
		if (len - at >= WIDE_MIN)
			at += whole_len(p + at, wide_len(p + at, len - at));
		return valid_from(p, at, len);
	}
#endif
	return utf8_valid_len_base(data, len);
}

/* to NULL: only counts. */
static size_t repair(uint8_t *to, const uint8_t *p, size_t len)
{
	size_t out = 0;

	while (len > 0) {
		size_t n = utf8_valid_len(p, len);
		bool valid = false;

		if (to && n > 0)
			memcpy(to + out, p, n);
		out += n;
		p += n;
		len -= n;
		/* where one is wrong the next may be, too: no search for it */
		while (len > 0 && !valid) {
			n = step(p, len, &valid);
			if (valid)
				break;
			if (to)
				memcpy(to + out, replacement, sizeof(replacement));
			out += sizeof(replacement);
			p += n;
			len -= n;
		}
	}
	return out;
}

size_t utf8_repaired_len(const void *data, size_t len)
{
	return repair(NULL, data, len);
}

size_t utf8_repair(void *to, const void *data, size_t len)
{
	return repair(to, data, len);
}
