/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_TEXT_FILE_H
#define BRIDGE_TEXT_FILE_H

#include <weft/base.h>

#include <stddef.h>

/* A whole file of at most max bytes, with a NUL behind it; *out is the caller's (mem_free). Blocks.
 * Errors: WEFT_EINVAL (why it can't be read, or that it is larger; without its name),
 * WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err text_file_read(char **out, size_t *len, const char *path, size_t max);

#endif
