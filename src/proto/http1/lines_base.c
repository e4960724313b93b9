/* SPDX-License-Identifier: MIT */
/* Lines by what every processor of the architecture has: SSE2, or NEON. Names, which are short,
 * by the table. */
#include "proto/http1/chars.h"
#include "proto/http1/names.h"

#include <string.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define LINES_FN(name) name##_base
#define LINES_TARGET

struct line_bits {
	uint64_t other; /* no token characters; of the first 32 bytes, the first of them at least */
	uint64_t ctl;	/* controls but HTAB */
};

#if defined(__x86_64__)
static inline uint64_t ctl16(const char *p)
{
	__m128i c = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i low = _mm_cmpeq_epi8(_mm_min_epu8(c, _mm_set1_epi8(0x1f)), c);
	__m128i tab = _mm_cmpeq_epi8(c, _mm_set1_epi8('\t'));
	__m128i del = _mm_cmpeq_epi8(c, _mm_set1_epi8(0x7f));

	return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));
}

static inline uint64_t ctl64(const char *p)
{
	return ctl16(p) | ctl16(p + 16) << 16 | ctl16(p + 32) << 32 | ctl16(p + 48) << 48;
}
#elif defined(__aarch64__)
static inline uint8x16_t ctl16(const char *p)
{
	uint8x16_t c = vld1q_u8((const uint8_t *)p);
	uint8x16_t low = vcltq_u8(c, vdupq_n_u8(0x20));
	uint8x16_t tab = vceqq_u8(c, vdupq_n_u8('\t'));

	return vorrq_u8(vbicq_u8(low, tab), vceqq_u8(c, vdupq_n_u8(0x7f)));
}

/* One bit a byte: each byte keeps its place's bit, and neighbours are added. */
static inline uint64_t ctl64(const char *p)
{
	static const uint8_t place[16] = { 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64,
		128 };
	uint8x16_t bit = vld1q_u8(place);
	uint8x16_t a = vpaddq_u8(vandq_u8(ctl16(p), bit), vandq_u8(ctl16(p + 16), bit));
	uint8x16_t b = vpaddq_u8(vandq_u8(ctl16(p + 32), bit), vandq_u8(ctl16(p + 48), bit));

	a = vpaddq_u8(a, b);
	return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(a, a)), 0);
}
#endif

static inline uint64_t scan_ctl(const char *p, size_t rem, size_t before)
{
	char copy[64];

	if (rem >= 64)
		return ctl64(p);
	if (rem + before >= 64)
		return rem ? ctl64(p + rem - 64) >> (64 - rem) : 0;
	memset(copy, ' ', sizeof(copy));
	memcpy(copy, p, rem);
	return ctl64(copy);
}

static inline size_t token_len(const char *p, size_t most)
{
	size_t n = 0;

	while (n < most && http1_is(p[n], HTTP1_TOKEN))
		n++;
	return n;
}

static inline struct line_bits scan_line(const char *p, size_t rem, size_t before)
{
	size_t most = rem < 32 ? rem : 32, n = token_len(p, most);

	return (struct line_bits){ n < most ? UINT64_C(1) << n : 0, scan_ctl(p, rem, before) };
}

static inline bool scan_name(const char *p, size_t rem, size_t before, struct http1_field *field)
{
	size_t most = rem < 32 ? rem : 32, n = token_len(p, most);

	(void)before;
	if (n == most || n == 0 || p[n] != ':')
		return false;
	field->name = (uint16_t)http1_name_find(p, n);
	field->name_len = (uint16_t)n;
	return true;
}

static inline uint64_t scan_target(const char *p, size_t rem, size_t before)
{
	size_t most = rem < 64 ? rem : 64, n = 0;

	(void)before;
	while (n < most && http1_is(p[n], HTTP1_URI))
		n++;
	return n < most ? UINT64_C(1) << n : 0;
}

#include "proto/http1/lines.h"
