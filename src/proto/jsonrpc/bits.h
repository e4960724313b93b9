/* SPDX-License-Identifier: MIT */
#ifndef PROTO_JSONRPC_BITS_H
#define PROTO_JSONRPC_BITS_H

/*
 * What 64 bytes of a JSON text are, as masks: bit n for byte n. Each in three ways that say the
 * same: in C alone, with SSE2, with AVX2. Only that the vectors take a form feed for a comma and
 * 0x1a for a colon; who looks at these sees that they are not.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#define JSON_WIDE __attribute__((target("avx2")))
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

/* ---- SSE2 ---- */

#if defined(__SSE2__)
static inline uint64_t json_mask16(__m128i b, unsigned at)
{
	return (uint64_t)(uint32_t)_mm_movemask_epi8(b) << at;
}

static inline __m128i json_is16(__m128i b, char c)
{
	return _mm_cmpeq_epi8(b, _mm_set1_epi8(c));
}

static inline void json_string_bits_sse2(const char *bytes, struct json_string_bits *out)
{
	struct json_string_bits bits = { 0, 0, 0, false };
	__m128i seen = _mm_setzero_si128();

	for (unsigned i = 0; i < JSON_BLOCK; i += 16) {
		__m128i b = _mm_loadu_si128((const __m128i *)(const void *)(bytes + i));

		seen = _mm_or_si128(seen, b);
		bits.quotes |= json_mask16(json_is16(b, '"'), i);
		bits.backslashes |= json_mask16(json_is16(b, '\\'), i);
		bits.controls |=
			json_mask16(_mm_cmpeq_epi8(_mm_min_epu8(b, _mm_set1_epi8(0x1f)), b), i);
	}
	bits.high = _mm_movemask_epi8(seen) != 0;
	*out = bits;
}

static inline void json_token_bits_sse2(const char *bytes, struct json_token_bits *out)
{
	struct json_token_bits bits = { 0, 0 };

	for (unsigned i = 0; i < JSON_BLOCK; i += 16) {
		__m128i b = _mm_loadu_si128((const __m128i *)(const void *)(bytes + i));
		__m128i joined = _mm_or_si128(b, _mm_set1_epi8(0x20)); /* [ as {, ] as } */
		__m128i brackets = _mm_or_si128(json_is16(joined, '{'), json_is16(joined, '}'));
		__m128i marks = _mm_or_si128(json_is16(b, ':'), json_is16(b, ','));
		__m128i blank = _mm_or_si128(json_is16(b, ' '), json_is16(b, '\t'));
		__m128i line = _mm_or_si128(json_is16(b, '\n'), json_is16(b, '\r'));

		bits.structurals |= json_mask16(_mm_or_si128(brackets, marks), i);
		bits.spaces |= json_mask16(_mm_or_si128(blank, line), i);
	}
	*out = bits;
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
