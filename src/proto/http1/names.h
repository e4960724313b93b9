/* SPDX-License-Identifier: MIT */
#ifndef PROTO_HTTP1_NAMES_H
#define PROTO_HTTP1_NAMES_H

/* Names that are told apart: one multiplication finds the only one that it may be. */
#include "proto/http1/http1.h"

#include <string.h>

#define HTTP1_KNOWN_LEN_MAX 24 /* the longest of them */
#define HTTP1_SLOT_BITS 7
/* Found by trying: no two names fall into the same slot (tested). */
#define HTTP1_SLOT_FACTOR UINT64_C(0xdfaf01abaf5ea32f)
#define HTTP1_LOWER8 UINT64_C(0x2020202020202020)

/* Its size is that of a load by AVX2. */
struct http1_known_name {
	char text[31];
	uint8_t len;
};

extern const struct http1_known_name http1_known_names[HTTP1_NAME_COUNT];
/* enum http1_name by slot; 0: none. */
extern const uint8_t http1_name_slots[1 << HTTP1_SLOT_BITS];

/* begin: the first 8 bytes of the name, its letters small; 0 behind a shorter one. */
static inline unsigned http1_name_slot(uint64_t begin, size_t len)
{
	return (unsigned)((begin ^ len) * HTTP1_SLOT_FACTOR >> (64 - HTTP1_SLOT_BITS));
}

static inline uint64_t http1_load8(const char *p)
{
	uint64_t value;

	memcpy(&value, p, 8);
	return value;
}

static inline uint32_t http1_load4(const char *p)
{
	uint32_t value;

	memcpy(&value, p, 4);
	return value;
}

/* Up to 8 bytes, and nothing behind them is touched. len is not 0. */
static inline uint64_t http1_load_begin(const char *p, size_t len)
{
	uint64_t value = 0;

	if (len >= 8)
		return http1_load8(p);
	if (len >= 4)
		return http1_load4(p) | (uint64_t)http1_load4(p + len - 4) << 8 * (len - 4);
	for (size_t i = 0; i < len; i++)
		value |= (uint64_t)(uint8_t)p[i] << 8 * i;
	return value;
}

/* The case of letters is one bit. Others that differ in that bit alone: of each two of them, one is
 * a control, or none is in `lower`, which is of small letters, digits and '-'. So text must not
 * hold controls. */
static inline bool http1_is_text(const char *text, const char *lower, size_t len)
{
	uint64_t differ;

	if (len < 8)
		return (http1_load_begin(text, len) | HTTP1_LOWER8) ==
			(http1_load_begin(lower, len) | HTTP1_LOWER8);
	differ = (http1_load8(text) | HTTP1_LOWER8) ^ http1_load8(lower);
	differ |= (http1_load8(text + (len - 8)) | HTTP1_LOWER8) ^ http1_load8(lower + (len - 8));
	if (len > 16)
		differ |= (http1_load8(text + 8) | HTTP1_LOWER8) ^ http1_load8(lower + 8);
	return differ == 0; /* 24 bytes at most */
}

/* A token. */
static inline enum http1_name http1_name_find(const char *name, size_t len)
{
	uint64_t begin;
	unsigned id;

	if (len == 0 || len > HTTP1_KNOWN_LEN_MAX)
		return HTTP1_NAME_OTHER;
	begin = http1_load_begin(name, len) |
		(len < 8 ? HTTP1_LOWER8 >> 8 * (8 - len) : HTTP1_LOWER8);
	id = http1_name_slots[http1_name_slot(begin, len)];
	if (http1_known_names[id].len != len ||
		!http1_is_text(name, http1_known_names[id].text, len))
		return HTTP1_NAME_OTHER;
	return (enum http1_name)id;
}

#endif
