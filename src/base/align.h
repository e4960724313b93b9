/* SPDX-License-Identifier: MIT */
#ifndef BASE_ALIGN_H
#define BASE_ALIGN_H

/* 128 on x86-64: the adjacent-line prefetcher pairs lines of 64. */
#define CACHE_LINE 64
#define CACHE_APART 128

#define weft_likely(x) __builtin_expect(!!(x), 1)
#define weft_unlikely(x) __builtin_expect(!!(x), 0)

#endif
