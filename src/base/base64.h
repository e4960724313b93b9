/* SPDX-License-Identifier: MIT */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

/* Base 64 with '+', '/' and padding (RFC 4648, section 4). */
#include <stddef.h>

/* Characters for len bytes, without a NUL; len below a quarter of SIZE_MAX. */
#define BASE64_LEN(len) (((len) + 2) / 3 * 4)

/* Writes BASE64_LEN(len) characters and a NUL. */
void base64_encode(char *out, const void *data, size_t len);

#endif
