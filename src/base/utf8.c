/* SPDX-License-Identifier: MIT */
/*
 * UTF-8. Valid text, nearly all there is, is looked at a vector at a time while it is ASCII, and
 * by characters where it is not.
 */
#include "base/utf8.h"

#include "base/align.h"

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define REPLACEMENT "\xef\xbf\xbd"
#define REPLACEMENT_LEN 3

/* Bytes of ASCII from p on, whole blocks only. */
static size_t ascii_len(const uint8_t *p, size_t len)
{
	size_t n = 0;

#if defined(__SSE2__)
	for (; len - n >= 16; n += 16) {
		if (_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + n))))
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

size_t utf8_valid_len(const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t at = 0;

	while (at < len) {
		bool valid;
		size_t n;

		at += ascii_len(p + at, len - at);
		for (size_t i = 0; i < 16 && at < len; i++) {
			n = step(p + at, len - at, &valid);
			if (weft_unlikely(!valid))
				return at;
			at += n;
		}
	}
	return len;
}

/* to NULL: only counts. */
static size_t repair(uint8_t *to, const uint8_t *p, size_t len)
{
	size_t out = 0;

	while (len > 0) {
		size_t good = utf8_valid_len(p, len);
		bool valid;

		if (to && good > 0)
			memcpy(to + out, p, good);
		out += good;
		p += good;
		len -= good;
		if (len == 0)
			break;
		good = step(p, len, &valid);
		if (to)
			memcpy(to + out, REPLACEMENT, REPLACEMENT_LEN);
		out += REPLACEMENT_LEN;
		p += good;
		len -= good;
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
