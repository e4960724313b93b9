/* SPDX-License-Identifier: MIT */
#ifndef BASE_VECTOR16_H
#define BASE_VECTOR16_H

/*
 * Vectors of 16 bytes in the compiler's own types: what every x86-64 (SSE2) and 64-bit ARM (NEON)
 * has, written once for both. HAVE_VECTOR16 is defined where they are there. Nothing is looked up:
 * SSE2 has no instruction for that.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#define HAVE_VECTOR16
#elif defined(__aarch64__)
#include <arm_neon.h>
#define HAVE_VECTOR16
#endif

#if defined(HAVE_VECTOR16)
typedef uint8_t vector16 __attribute__((vector_size(16)));
typedef uint64_t vector16_words __attribute__((vector_size(16)));

static inline vector16 vector16_load(const void *bytes)
{
	vector16 v;

	memcpy(&v, bytes, sizeof(v));
	return v;
}

static inline void vector16_store(void *bytes, vector16 v)
{
	memcpy(bytes, &v, sizeof(v));
}

static inline vector16 vector16_of(uint8_t c)
{
	return (vector16){ c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c };
}

/* Comparing: all bits of a byte where it holds, or none. */
static inline vector16 vector16_is(vector16 v, char c)
{
	return (vector16)(v == vector16_of((uint8_t)c));
}

static inline vector16 vector16_below(vector16 v, uint8_t c)
{
	return (vector16)(v < vector16_of(c));
}

static inline vector16 vector16_from(vector16 v, uint8_t c)
{
	return (vector16)(v >= vector16_of(c));
}

/* Some byte is above 0x7f; so of what comparing gave: it held for some. */
static inline bool vector16_any_high(vector16 v)
{
#if defined(__SSE2__)
	return _mm_movemask_epi8((__m128i)v) != 0;
#else
	vector16_words words = (vector16_words)v;

	return ((words[0] | words[1]) & UINT64_C(0x8080808080808080)) != 0;
#endif
}

/* The first byte for which comparing held; 16: none. */
static inline unsigned vector16_first(vector16 v)
{
#if defined(__SSE2__)
	return (unsigned)__builtin_ctz((unsigned)_mm_movemask_epi8((__m128i)v) | 1u << 16);
#else
	/* four bits a byte */
	uint8x8_t halves = vshrn_n_u16(vreinterpretq_u16_u8((uint8x16_t)v), 4);
	uint64_t all = vget_lane_u64(vreinterpret_u64_u8(halves), 0);

	return all ? (unsigned)__builtin_ctzll(all) / 4 : 16;
#endif
}

/* What comparing gave for 64 bytes, as a bit for each. */
static inline uint64_t vector16_mask64(vector16 a, vector16 b, vector16 c, vector16 d)
{
#if defined(__SSE2__)
	uint32_t low = (uint32_t)_mm_movemask_epi8((__m128i)a) |
		(uint32_t)_mm_movemask_epi8((__m128i)b) << 16;
	uint32_t high = (uint32_t)_mm_movemask_epi8((__m128i)c) |
		(uint32_t)_mm_movemask_epi8((__m128i)d) << 16;

	return low | (uint64_t)high << 32;
#else
	/* each byte keeps its place's bit, and neighbours are added */
	const vector16 bit = { 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128 };
	uint8x16_t low = vpaddq_u8((uint8x16_t)(a & bit), (uint8x16_t)(b & bit));
	uint8x16_t high = vpaddq_u8((uint8x16_t)(c & bit), (uint8x16_t)(d & bit));

	low = vpaddq_u8(low, high);
	return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(low, low)), 0);
#endif
}
#endif

#endif
