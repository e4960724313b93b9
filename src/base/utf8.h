/* SPDX-License-Identifier: MIT */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

/* UTF-8 (RFC 3629; Unicode, table 3-7): no overlong forms, surrogates, or points above
 * U+10FFFF. */
#include <stdbool.h>
#include <stddef.h>

/* The longest start of data that is whole characters: len when all of it is UTF-8. */
size_t utf8_valid_len(const void *data, size_t len);
/* The same by what every processor has; for tests, too. */
size_t utf8_valid_len_base(const void *data, size_t len);

/* How long data is once each maximal part of an ill-formed sequence is replaced by one U+FFFD,
 * as the Encoding standard's decoder does: never shorter than len, at most 3 times that. */
size_t utf8_repaired_len(const void *data, size_t len);
/* Writes that; to is not within data. Returns the length. */
size_t utf8_repair(void *to, const void *data, size_t len);

#endif
