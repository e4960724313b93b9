/* SPDX-License-Identifier: MIT */
/*
 * The scanner of strings, most of what messages are made of.
 *
 * With AVX2, 64 bytes at a time as masks of 64 bits: backslashes, quotes, control characters. Which
 * bytes are escaped is computed from the mask of backslashes (Langdale and Lemire, "Parsing
 * gigabytes of JSON per second", 2019), whether these may be escaped is looked up for all at once;
 * so escapes cost no branch but for \u, whose digits are looked at. Whatever is wrong, and the
 * last bytes of the text, are left to the other way, 16 bytes at a time up to the next special
 * byte, which says what exactly is wrong.
 */
#include "base/align.h"
#include "proto/jsonrpc/scan.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- one escape after the other ---- */

/* Plain text from p on: the first special byte, or end. */
static inline const char *plain(struct json_scan *s, const char *p)
{
#if defined(__SSE2__)
	for (; s->end - p >= 16; p += 16) {
		__m128i b = _mm_loadu_si128((const __m128i *)(const void *)p);
		unsigned special = json_specials16(b);

		s->high |= (unsigned)_mm_movemask_epi8(b);
		if (special)
			return p + __builtin_ctz(special);
	}
#endif
	for (; p < s->end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20; p++)
		s->high |= (unsigned char)*p & 0x80u;
	return p;
}

static inline bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* An escape at p, its backslash. */
static const char *escape(struct json_scan *s, const char *p)
{
	if (s->end - p < 2)
		return json_fault(s, s->end, "the text ends within a string");
	switch (p[1]) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		return p + 2;
	case 'u':
		break;
	default:
		return json_fault(s, p, "no such escape in a string");
	}
	for (int i = 2; i < 6; i++) {
		if (p + i == s->end)
			return json_fault(s, s->end, "the text ends within a string");
		if (!is_hex(p[i]))
			return json_fault(s, p, "\\u without four hexadecimal digits");
	}
	return p + 6;
}

static const char *narrow(struct json_scan *s, const char *p, bool *escaped)
{
	for (p = plain(s, p);; p = plain(s, p)) {
		if (weft_unlikely(p == s->end))
			return json_fault(s, p, "the text ends within a string");
		if (*p == '"')
			return p + 1;
		if (*p != '\\')
			return json_fault(s, p, "a control character in a string");
		*escaped = true;
		p = escape(s, p);
		if (!p)
			return NULL;
	}
}

#if defined(__x86_64__)

/* ---- 64 bytes at a time ---- */

#define WIDE __attribute__((target("avx2")))
#define BLOCK 64

WIDE static inline uint64_t bits(__m256i low, __m256i high)
{
	return (uint32_t)_mm256_movemask_epi8(low) |
		(uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
}

WIDE static inline uint64_t equal(__m256i low, __m256i high, char c)
{
	__m256i all = _mm256_set1_epi8(c);

	return bits(_mm256_cmpeq_epi8(low, all), _mm256_cmpeq_epi8(high, all));
}

WIDE static inline uint64_t controls(__m256i low, __m256i high)
{
	__m256i most = _mm256_set1_epi8(0x1f);

	return bits(_mm256_cmpeq_epi8(_mm256_min_epu8(low, most), low),
		_mm256_cmpeq_epi8(_mm256_min_epu8(high, most), high));
}

/* Not 0 for bytes that may stand behind a backslash: 22 2f, 5c, 62 66 6e, 72 74 75. By their two
 * halves: a bit for each upper one, and of these the ones that each lower one goes with. */
WIDE static inline __m256i escapable(__m256i b)
{
	const __m256i upper = _mm256_setr_epi8(0, 0, 1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0);
	const __m256i lower = _mm256_setr_epi8(0, 0, 13, 0, 8, 8, 4, 0, 0, 0, 0, 0, 2, 0, 4, 1, 0,
		0, 13, 0, 8, 8, 4, 0, 0, 0, 0, 0, 2, 0, 4, 1);
	__m256i half = _mm256_and_si256(_mm256_srli_epi16(b, 4), _mm256_set1_epi8(15));

	return _mm256_and_si256(_mm256_shuffle_epi8(upper, half), _mm256_shuffle_epi8(lower, b));
}

WIDE static inline uint64_t not_escapable(__m256i low, __m256i high)
{
	__m256i none = _mm256_setzero_si256();

	return bits(
		_mm256_cmpeq_epi8(escapable(low), none), _mm256_cmpeq_epi8(escapable(high), none));
}

/*
 * Which bytes are escaped: those behind an odd run of backslashes. *first: the first byte is; then
 * whether the one behind the block is.
 */
static inline uint64_t escaped_bits(uint64_t backslashes, uint64_t *first)
{
	const uint64_t even = UINT64_C(0x5555555555555555);
	uint64_t follow, starts, sum;

	backslashes &= ~*first;
	follow = backslashes << 1 | *first;
	/* adding where a run begins to the run itself carries to behind its end: what begins at an
	 * odd place ends its pairs at odd ones */
	starts = backslashes & ~even & ~follow;
	*first = __builtin_add_overflow(starts, backslashes, &sum);
	return (even ^ sum << 1) & follow;
}

static inline bool is_hex4(const char *p, const char *end)
{
	return end - p >= 4 && is_hex(p[0]) && is_hex(p[1]) && is_hex(p[2]) && is_hex(p[3]);
}

/* Digits behind each 'u' of a block. */
static bool are_hex4(const char *p, const char *end, uint64_t us)
{
	for (; us; us &= us - 1) {
		if (!is_hex4(p + __builtin_ctzll(us) + 1, end))
			return false;
	}
	return true;
}

/* Whole blocks of a string from *p on. True: *p is behind its closing quote. False: something is
 * wrong behind *p, or less than a block is left. */
WIDE static bool wide(struct json_scan *s, const char **at, bool *escaped)
{
	const char *p = *at, *end = s->end;
	__m256i seen = _mm256_setzero_si256();
	uint64_t first = 0, stop = 0;

	for (; end - p >= BLOCK; p += BLOCK) {
		__m256i low = _mm256_loadu_si256((const __m256i *)(const void *)p);
		__m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
		uint64_t backslashes = equal(low, high, '\\'), was_first = first;
		uint64_t quotes = equal(low, high, '"');

		seen = _mm256_or_si256(seen, _mm256_or_si256(low, high));
		stop = quotes | controls(low, high);
		if (backslashes | first) {
			uint64_t behind = escaped_bits(backslashes, &first);

			*escaped = true;
			stop &= ~(behind & quotes);
			/* up to the first that ends it; that is escaped only if it is a control */
			behind &= stop ^ (stop - 1);
			if (weft_unlikely((behind & not_escapable(low, high)) ||
				    !are_hex4(p, end, behind & equal(low, high, 'u')))) {
				first = was_first;
				stop = 0;
				break;
			}
		}
		if (stop)
			break;
	}
	s->high |= (unsigned)_mm256_movemask_epi8(seen);
	if (stop)
		p += __builtin_ctzll(stop);
	*at = stop ? p : p - first;
	if (!stop || *p != '"')
		return false;
	*at = p + 1;
	return true;
}
#endif

const char *json_string_rest(struct json_scan *s, const char *p, bool *escaped)
{
#if defined(__x86_64__)
	if (s->end - p >= BLOCK && __builtin_cpu_supports("avx2") && wide(s, &p, escaped))
		return p;
#endif
	return narrow(s, p, escaped);
}
