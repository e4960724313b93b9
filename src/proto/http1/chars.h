/* SPDX-License-Identifier: MIT */
#ifndef PROTO_HTTP1_CHARS_H
#define PROTO_HTTP1_CHARS_H

/* Classes of bytes, by a table. */
#include "proto/http1/http1.h"

#define HTTP1_TOKEN 1u /* tchar, RFC 9110 5.6.2 */
#define HTTP1_URI 2u   /* may be in a request target: see http1.h */
#define HTTP1_CTL 4u   /* controls but HTAB */
#define HTTP1_HOST 8u  /* reg-name, RFC 3986 3.2.2 */
#define HTTP1_HEX 16u
#define HTTP1_DIGIT 32u

extern const uint8_t http1_class[256];

static inline bool http1_is(char c, unsigned classes)
{
	return http1_class[(uint8_t)c] & classes;
}

static inline bool http1_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Each byte is in all of the classes. */
bool http1_all_in(const char *text, size_t len, unsigned classes);
/* Some byte is a control, but HTAB. */
bool http1_has_ctl(const char *text, size_t len);

#endif
