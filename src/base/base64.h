/* SPDX-License-Identifier: MIT */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

/* Base 64 with '+', '/' and padding (RFC 4648, section 4). */
#include <stdbool.h>
#include <stddef.h>

/* Characters for len bytes, without a NUL; len below a quarter of SIZE_MAX. */
#define BASE64_LEN(len) (((len) + 2) / 3 * 4)

/* Writes BASE64_LEN(len) characters and a NUL. */
void base64_encode(char *out, const void *data, size_t len);

/* Bytes that len characters stand for, at most. */
#define BASE64_DECODED_MAX(len) ((len) / 4 * 3)

/*
 * Reads len characters into at most BASE64_DECODED_MAX(len) bytes. False: that is no text that
 * base64_encode writes: padding is missing, a bit that is left over is set, or a character has no
 * value, white space included. *out_len is untouched then, what out points to is unspecified.
 */
bool base64_decode(void *out, size_t *out_len, const char *text, size_t len);

#endif
