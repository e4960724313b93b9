/* SPDX-License-Identifier: MIT */
/* Lines by AVX2: 64 bytes at a time, a byte's class by two shuffles. */
#include "proto/http1/chars.h"
#include "proto/http1/head.h"
#include "proto/http1/names.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define LINES_FN(name) name##_avx2
#define LINES_TARGET __attribute__((target("avx2,bmi,bmi2")))

struct line_bits {
	uint64_t other; /* no token characters; of the first 32 bytes */
	uint64_t ctl;	/* controls but HTAB */
};

LINES_TARGET static inline __m256i load32(const char *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

LINES_TARGET static inline uint64_t ctl32(__m256i c)
{
	__m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(c, _mm256_set1_epi8(0x1f)), c);
	__m256i tab = _mm256_cmpeq_epi8(c, _mm256_set1_epi8('\t'));
	__m256i del = _mm256_cmpeq_epi8(c, _mm256_set1_epi8(0x7f));
	__m256i ctl = _mm256_or_si256(_mm256_andnot_si256(tab, low), del);

	return (uint32_t)_mm256_movemask_epi8(ctl);
}

/* Bytes that are not in a class: rows has, by a byte's low half, a bit for each high half below 8
 * with which it is. */
LINES_TARGET static inline uint64_t other32(__m256i c, __m128i rows)
{
	const __m128i bits = _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
	__m256i high = _mm256_and_si256(_mm256_srli_epi16(c, 4), _mm256_set1_epi8(0xf));
	__m256i row = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(rows), c);
	__m256i bit = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bits), high);
	__m256i in = _mm256_and_si256(row, bit);

	return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(in, _mm256_setzero_si256()));
}

LINES_TARGET static inline uint64_t no_token32(__m256i c)
{
	return other32(c,
		_mm_setr_epi8((char)0xe8, (char)0xfc, (char)0xf8, (char)0xfc, (char)0xfc,
			(char)0xfc, (char)0xfc, (char)0xfc, (char)0xf8, (char)0xf8, (char)0xf4,
			0x54, (char)0xd0, 0x54, (char)0xf4, 0x70));
}

LINES_TARGET static inline uint64_t no_target32(__m256i c)
{
	return other32(c,
		_mm_setr_epi8((char)0xf8, (char)0xfc, (char)0xf8, (char)0xf8, (char)0xfc,
			(char)0xfc, (char)0xfc, (char)0xfc, (char)0xfc, (char)0xfc, (char)0xfc,
			(char)0xfc, (char)0xf4, (char)0xfc, (char)0xf4, 0x7c));
}

/* A load that would pass the end ends there instead, and its bits are moved: bits of bytes that
 * were seen twice fall together, others fall out. */
LINES_TARGET static inline uint64_t scan_ctl(const char *p, size_t rem, size_t before)
{
	char copy[32];

	if (rem >= 64)
		return ctl32(load32(p)) | ctl32(load32(p + 32)) << 32;
	if (rem >= 32)
		return ctl32(load32(p)) | ctl32(load32(p + rem - 32)) << (rem - 32);
	if (rem + before >= 32)
		return ctl32(load32(p + rem - 32)) >> (32 - rem);
	memset(copy, ' ', sizeof(copy));
	memcpy(copy, p, rem);
	return ctl32(load32(copy));
}

LINES_TARGET static inline struct line_bits scan_line(const char *p, size_t rem, size_t before)
{
	struct line_bits bits;
	char copy[32];
	__m256i c;

	if (rem >= 32) {
		size_t second = rem < 64 ? rem - 32 : 32;

		c = load32(p);
		bits.ctl = ctl32(c) | ctl32(load32(p + second)) << second;
		bits.other = no_token32(c);
		return bits;
	}
	if (rem + before >= 32) {
		c = load32(p + rem - 32);
		bits.ctl = ctl32(c) >> (32 - rem);
		bits.other = no_token32(c) >> (32 - rem);
		return bits;
	}
	memset(copy, ' ', sizeof(copy));
	memcpy(copy, p, rem);
	c = load32(copy);
	bits.ctl = ctl32(c);
	bits.other = no_token32(c) & ((UINT64_C(1) << rem) - 1);
	return bits;
}

/* Which name the first n bytes of c are. */
LINES_TARGET static inline unsigned known_name(__m256i c, uint64_t begin, unsigned n)
{
	uint64_t lower = _bzhi_u64(begin | HTTP1_LOWER8, 8 * n);
	unsigned id = http1_name_slots[http1_name_slot(lower, n)];
	const struct http1_known_name *known = &http1_known_names[id];
	__m256i same = _mm256_cmpeq_epi8(_mm256_or_si256(c, _mm256_set1_epi8(32)),
		_mm256_loadu_si256((const __m256i *)(const void *)known));
	unsigned differ = _bzhi_u32(~(unsigned)_mm256_movemask_epi8(same), n);

	return differ | (known->len ^ n) ? 0 : id;
}

LINES_TARGET static inline bool scan_name(
	const char *p, size_t rem, size_t before, struct http1_field *field)
{
	unsigned n;

	if (rem >= 32) {
		__m256i c = load32(p);

		n = (unsigned)__builtin_ctzll(no_token32(c) | UINT64_C(1) << 32);
		if (n == 32 || n == 0 || p[n] != ':')
			return false;
		field->name = (uint16_t)known_name(c, http1_load8(p), n);
	} else {
		uint64_t other =
			rem + before >= 32 ? no_token32(load32(p + rem - 32)) >> (32 - rem) : 0;

		n = (unsigned)__builtin_ctzll(other | UINT64_C(1) << 32);
		if (n == 32 || n == 0 || p[n] != ':')
			return false;
		field->name = (uint16_t)http1_name_find(p, n);
	}
	field->name_len = (uint16_t)n;
	return true;
}

LINES_TARGET static inline uint64_t scan_target(const char *p, size_t rem, size_t before)
{
	char copy[32];

	if (rem >= 32) {
		size_t second = rem < 64 ? rem - 32 : 32;

		return no_target32(load32(p)) | no_target32(load32(p + second)) << second;
	}
	if (rem + before >= 32)
		return no_target32(load32(p + rem - 32)) >> (32 - rem);
	memset(copy, 'a', sizeof(copy));
	memcpy(copy, p, rem);
	return no_target32(load32(copy));
}

#include "proto/http1/lines.h"
#endif
