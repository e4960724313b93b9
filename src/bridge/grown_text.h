/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_GROWN_TEXT_H
#define BRIDGE_GROWN_TEXT_H

/* A text that grows at its end, up to a bound. Out of memory is kept, and told at the end. */
#include <weft/base.h>

#include <stdbool.h>
#include <stddef.h>

#define GROWN_TEXT_MAX ((size_t)64 << 20) /* bytes */

/* All of 0 is an empty one. */
struct grown_text {
	char *text; /* with a NUL behind it; NULL: empty */
	size_t len, room;
	bool has_failed;
};

void grown_put(struct grown_text *text, const char *bytes, size_t len);
void grown_puts(struct grown_text *text, const char *string);
/* At most 256 bytes. */
void grown_putf(struct grown_text *text, const char *format, ...) WEFT_PRINTF(2, 3);
/* As a string of JSON. */
void grown_put_json(struct grown_text *text, const char *string);
/* NULL: out of memory, or over the bound. */
const char *grown_string(const struct grown_text *text);
void grown_fini(struct grown_text *text);

#endif
