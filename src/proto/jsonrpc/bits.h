/* SPDX-License-Identifier: MIT */
#ifndef PROTO_JSONRPC_BITS_H
#define PROTO_JSONRPC_BITS_H

/*
 * What 64 bytes of a JSON text are, as masks: bit n for byte n. Each in ways that say the same: in
 * C alone; by vectors of 16 bytes, which is SSE2 or NEON; with AVX2; with AVX-512. Only that the
 * wider ones take a form feed for a comma and 0x1a for a colon; who looks at these sees that they
 * are not.
 */
#include "base/vector16.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define JSON_WIDE __attribute__((target("avx2")))
#define JSON_WIDEST __attribute__((target("avx512bw,pclmul,bmi")))
#endif

#define JSON_BLOCK 64

/* What matters in strings. */
struct json_string_bits {
	uint64_t quotes;
	uint64_t backslashes;
	uint64_t controls; /* below U+0020 */
	bool high;	   /* there is a byte above 0x7f */
};

/* What matters outside of them. */
struct json_token_bits {
	uint64_t structurals; /* {}[]:, */
	uint64_t spaces;      /* blank, tab, CR, LF */
};

/* ---- in C alone ---- */

static inline void json_string_bits_plain(const char *bytes, struct json_string_bits *out)
{
	struct json_string_bits bits = { 0, 0, 0, false };

	for (unsigned i = 0; i < JSON_BLOCK; i++) {
		unsigned char c = (unsigned char)bytes[i];

		bits.quotes |= (uint64_t)(c == '"') << i;
		bits.backslashes |= (uint64_t)(c == '\\') << i;
		bits.controls |= (uint64_t)(c < 0x20) << i;
		bits.high |= c >= 0x80;
	}
	*out = bits;
}

static inline void json_token_bits_plain(const char *bytes, struct json_token_bits *out)
{
	struct json_token_bits bits = { 0, 0 };

	for (unsigned i = 0; i < JSON_BLOCK; i++) {
		char c = bytes[i];
		bool bracket = (c | 0x20) == '{' || (c | 0x20) == '}';

		bits.structurals |= (uint64_t)(bracket || c == ':' || c == ',') << i;
		bits.spaces |= (uint64_t)(c == ' ' || c == '\n' || c == '\r' || c == '\t') << i;
	}
	*out = bits;
}

/* Of these bytes those that may stand behind a backslash; *us: those that are a 'u'. */
static inline uint64_t json_escapes_plain(const char *bytes, uint64_t which, uint64_t *us)
{
	uint64_t right = 0;

	*us = 0;
	for (; which; which &= which - 1) {
		uint64_t bit = which & (0 - which);
		char c = bytes[__builtin_ctzll(which)];

		if (c && strchr("\"\\/bfnrtu", c))
			right |= bit;
		if (c == 'u')
			*us |= bit;
	}
	return right;
}

/* ---- vectors of 16 bytes ---- */

#if defined(HAVE_VECTOR16)
/* A block, as what comparing gave: all bits of a byte, or none. */
struct json_vectors {
	vector16 at[JSON_BLOCK / 16];
};

static inline uint64_t json_mask_16(const struct json_vectors *v)
{
	return vector16_mask64(v->at[0], v->at[1], v->at[2], v->at[3]);
}

static inline void json_string_bits_16(const char *bytes, struct json_string_bits *out)
{
	struct json_vectors quotes, backslashes, controls;
	vector16 seen = vector16_of(0);

	for (unsigned i = 0; i < JSON_BLOCK / 16; i++) {
		vector16 b = vector16_load(bytes + 16 * i);

		seen |= b;
		quotes.at[i] = vector16_is(b, '"');
		backslashes.at[i] = vector16_is(b, '\\');
		controls.at[i] = vector16_below(b, 0x20);
	}
	out->quotes = json_mask_16(&quotes);
	out->backslashes = json_mask_16(&backslashes);
	out->controls = json_mask_16(&controls);
	out->high = vector16_any_high(seen);
}

/* As json_pass_plain_avx2. */
static inline const char *json_pass_plain_16(const char *p, const char *end, bool *high)
{
	vector16 seen = vector16_of(0);

	for (; end - p >= JSON_BLOCK; p += JSON_BLOCK) {
		vector16 hit = vector16_of(0);

		for (unsigned i = 0; i < JSON_BLOCK; i += 16) {
			vector16 b = vector16_load(p + i);

			seen |= b;
			hit |= vector16_is(b, '"') | vector16_is(b, '\\') | vector16_below(b, 0x20);
		}
		if (vector16_any_high(hit))
			break;
	}
	*high |= vector16_any_high(seen);
	return p;
}

static inline void json_token_bits_16(const char *bytes, struct json_token_bits *out)
{
	struct json_vectors structurals, spaces;

	for (unsigned i = 0; i < JSON_BLOCK / 16; i++) {
		vector16 b = vector16_load(bytes + 16 * i);
		vector16 joined = b | vector16_of(0x20); /* [ as {, ] as } */

		structurals.at[i] = vector16_is(joined, '{') | vector16_is(joined, '}') |
			vector16_is(b, ':') | vector16_is(b, ',');
		spaces.at[i] = vector16_is(b, ' ') | vector16_is(b, '\t') | vector16_is(b, '\n') |
			vector16_is(b, '\r');
	}
	out->structurals = json_mask_16(&structurals);
	out->spaces = json_mask_16(&spaces);
}

static inline uint64_t json_escapes_16(const char *bytes, uint64_t which, uint64_t *us)
{
	struct json_vectors u, others;

	for (unsigned i = 0; i < JSON_BLOCK / 16; i++) {
		vector16 b = vector16_load(bytes + 16 * i);

		u.at[i] = vector16_is(b, 'u');
		others.at[i] = vector16_is(b, '"') | vector16_is(b, '\\') | vector16_is(b, '/') |
			vector16_is(b, 'b') | vector16_is(b, 'f') | vector16_is(b, 'n') |
			vector16_is(b, 'r') | vector16_is(b, 't');
	}
	*us = which & json_mask_16(&u);
	return *us | (which & json_mask_16(&others));
}
#endif

/* ---- AVX2 ---- */

#if defined(__x86_64__)
/* Twice the same 16 bytes, for what is looked up by half a byte. */
#define JSON_TWICE(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)

JSON_WIDE static inline uint64_t json_mask64(__m256i low, __m256i high)
{
	return (uint32_t)_mm256_movemask_epi8(low) |
		(uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
}

JSON_WIDE static inline __m256i json_load32(const char *bytes)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)bytes);
}

JSON_WIDE static inline uint64_t json_is64(__m256i low, __m256i high, char c)
{
	__m256i all = _mm256_set1_epi8(c);

	return json_mask64(_mm256_cmpeq_epi8(low, all), _mm256_cmpeq_epi8(high, all));
}

JSON_WIDE static inline __m256i json_is_control(__m256i b)
{
	return _mm256_cmpeq_epi8(_mm256_min_epu8(b, _mm256_set1_epi8(0x1f)), b);
}

JSON_WIDE static inline void json_string_bits_avx2(const char *bytes, struct json_string_bits *out)
{
	__m256i low = json_load32(bytes), high = json_load32(bytes + 32), control;

	out->quotes = json_is64(low, high, '"');
	out->backslashes = json_is64(low, high, '\\');
	out->controls = 0;
	control = _mm256_or_si256(json_is_control(low), json_is_control(high));
	if (!_mm256_testz_si256(control, control)) /* most often: line ends, not in a string */
		out->controls = json_mask64(json_is_control(low), json_is_control(high));
	out->high = _mm256_movemask_epi8(_mm256_or_si256(low, high)) != 0;
}

/* From p past the blocks without quotes, backslashes and controls; *high is set when these, or the
 * one behind them, have a byte above 0x7f. */
JSON_WIDE static inline const char *json_pass_plain_avx2(const char *p, const char *end, bool *high)
{
	const __m256i quote = _mm256_set1_epi8('"'), backslash = _mm256_set1_epi8('\\');
	__m256i seen = _mm256_setzero_si256();

	for (; end - p >= JSON_BLOCK; p += JSON_BLOCK) {
		__m256i a = json_load32(p), b = json_load32(p + 32);
		__m256i hit = _mm256_or_si256(
			_mm256_or_si256(_mm256_cmpeq_epi8(a, quote), _mm256_cmpeq_epi8(b, quote)),
			_mm256_or_si256(
				_mm256_cmpeq_epi8(a, backslash), _mm256_cmpeq_epi8(b, backslash)));

		hit = _mm256_or_si256(hit, _mm256_or_si256(json_is_control(a), json_is_control(b)));
		seen = _mm256_or_si256(seen, _mm256_or_si256(a, b));
		if (!_mm256_testz_si256(hit, hit))
			break;
	}
	*high |= _mm256_movemask_epi8(seen) != 0;
	return p;
}

/* In the table stands the one byte with this lower half that is structural, once [ and ] are { and
 * }. */
JSON_WIDE static inline __m256i json_is_structural(__m256i b)
{
	const __m256i table = JSON_TWICE(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ':', '{', ',', '}', 0, 0);

	return _mm256_cmpeq_epi8(
		_mm256_shuffle_epi8(table, b), _mm256_or_si256(b, _mm256_set1_epi8(0x20)));
}

/* The same for white space; 1 is no byte that has such a lower half. */
JSON_WIDE static inline __m256i json_is_space(__m256i b)
{
	const __m256i table = JSON_TWICE(' ', 0, 1, 1, 1, 1, 1, 1, 1, '\t', '\n', 1, 1, '\r', 1, 1);

	return _mm256_cmpeq_epi8(_mm256_shuffle_epi8(table, b), b);
}

JSON_WIDE static inline void json_token_bits_avx2(const char *bytes, struct json_token_bits *out)
{
	__m256i low = json_load32(bytes), high = json_load32(bytes + 32);

	out->structurals = json_mask64(json_is_structural(low), json_is_structural(high));
	out->spaces = json_mask64(json_is_space(low), json_is_space(high));
}

/* Not 0 for what may stand behind a backslash: 22 2f, 5c, 62 66 6e, 72 74 75. By halves: a bit for
 * each upper one, and of these the ones that each lower one goes with. */
JSON_WIDE static inline __m256i json_escapable(__m256i b)
{
	const __m256i upper = JSON_TWICE(0, 0, 1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0);
	const __m256i lower = JSON_TWICE(0, 0, 13, 0, 8, 8, 4, 0, 0, 0, 0, 0, 2, 0, 4, 1);
	__m256i half = _mm256_and_si256(_mm256_srli_epi16(b, 4), _mm256_set1_epi8(15));

	return _mm256_and_si256(_mm256_shuffle_epi8(upper, half), _mm256_shuffle_epi8(lower, b));
}

JSON_WIDE static inline uint64_t json_escapes_avx2(const char *bytes, uint64_t which, uint64_t *us)
{
	__m256i low = json_load32(bytes), high = json_load32(bytes + 32);
	__m256i none = _mm256_setzero_si256();

	*us = which & json_is64(low, high, 'u');
	return which &
		~json_mask64(_mm256_cmpeq_epi8(json_escapable(low), none),
			_mm256_cmpeq_epi8(json_escapable(high), none));
}
#endif

/* ---- AVX-512: a compare gives the mask at once ---- */

#if defined(__x86_64__)
/* Four times the same 16 bytes. */
#define JSON_4_TIMES(...) _mm512_broadcast_i32x4(_mm_setr_epi8(__VA_ARGS__))

JSON_WIDEST static inline __m512i json_load64(const char *bytes)
{
	return _mm512_loadu_si512(bytes);
}

JSON_WIDEST static inline uint64_t json_is512(__m512i b, char c)
{
	return _mm512_cmpeq_epi8_mask(b, _mm512_set1_epi8(c));
}

JSON_WIDEST static inline void json_string_bits_avx512(
	const char *bytes, struct json_string_bits *out)
{
	__m512i b = json_load64(bytes);

	out->quotes = json_is512(b, '"');
	out->backslashes = json_is512(b, '\\');
	out->controls = _mm512_cmplt_epu8_mask(b, _mm512_set1_epi8(0x20));
	out->high = _mm512_movepi8_mask(b) != 0;
}

/* As json_pass_plain_avx2. */
JSON_WIDEST static inline const char *json_pass_plain_avx512(
	const char *p, const char *end, bool *high)
{
	uint64_t seen = 0;

	for (; end - p >= JSON_BLOCK; p += JSON_BLOCK) {
		__m512i b = json_load64(p);

		seen |= _mm512_movepi8_mask(b);
		if (json_is512(b, '"') | json_is512(b, '\\') |
			_mm512_cmplt_epu8_mask(b, _mm512_set1_epi8(0x20)))
			break;
	}
	*high |= seen != 0;
	return p;
}

/* The tables are those of AVX2. */
JSON_WIDEST static inline void json_token_bits_avx512(
	const char *bytes, struct json_token_bits *out)
{
	const __m512i marks = JSON_4_TIMES(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ':', '{', ',', '}', 0, 0);
	const __m512i spaces =
		JSON_4_TIMES(' ', 0, 1, 1, 1, 1, 1, 1, 1, '\t', '\n', 1, 1, '\r', 1, 1);
	__m512i b = json_load64(bytes);

	out->structurals = _mm512_cmpeq_epi8_mask(
		_mm512_shuffle_epi8(marks, b), _mm512_or_si512(b, _mm512_set1_epi8(0x20)));
	out->spaces = _mm512_cmpeq_epi8_mask(_mm512_shuffle_epi8(spaces, b), b);
}

JSON_WIDEST static inline uint64_t json_escapes_avx512(
	const char *bytes, uint64_t which, uint64_t *us)
{
	const __m512i upper = JSON_4_TIMES(0, 0, 1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0);
	const __m512i lower = JSON_4_TIMES(0, 0, 13, 0, 8, 8, 4, 0, 0, 0, 0, 0, 2, 0, 4, 1);
	__m512i b = json_load64(bytes);
	__m512i half = _mm512_and_si512(_mm512_srli_epi16(b, 4), _mm512_set1_epi8(15));

	*us = which & json_is512(b, 'u');
	return which &
		_mm512_test_epi8_mask(
			_mm512_shuffle_epi8(upper, half), _mm512_shuffle_epi8(lower, b));
}

/* As json_parity_bits: multiplying by all ones without carries adds up every bit below. */
JSON_WIDEST static inline uint64_t json_parity_bits_avx512(uint64_t bits)
{
	__m128i all = _mm_clmulepi64_si128(
		_mm_set_epi64x(0, (long long)bits), _mm_set1_epi8((char)0xff), 0);

	return (uint64_t)_mm_cvtsi128_si64(all);
}
#endif

/* ---- masks of masks ---- */

/*
 * Which bytes are escaped: those behind an odd run of backslashes. *first, 0 or 1: the first byte is;
 * then whether the one behind the block is.
 */
static inline uint64_t json_escaped_bits(uint64_t backslashes, uint64_t *first)
{
	const uint64_t even = UINT64_C(0x5555555555555555);
	uint64_t follow, starts, sum;

	backslashes &= ~*first;
	follow = backslashes << 1 | *first;
	/* adding where a run begins to the run itself carries to behind its end: a run that begins
	 * at an odd place has its pairs end at odd ones */
	starts = backslashes & ~even & ~follow;
	*first = __builtin_add_overflow(starts, backslashes, &sum);
	return (even ^ sum << 1) & follow;
}

/* Bit n: an odd number of bits up to n is set. */
static inline uint64_t json_parity_bits(uint64_t bits)
{
	bits ^= bits << 1;
	bits ^= bits << 2;
	bits ^= bits << 4;
	bits ^= bits << 8;
	bits ^= bits << 16;
	bits ^= bits << 32;
	return bits;
}

#endif
