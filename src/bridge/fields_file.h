/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_FIELDS_FILE_H
#define BRIDGE_FIELDS_FILE_H

#include <weft/http.h>

/* Adds the header fields of a file: "Name: value" a line; blank lines and those that begin with '#'
 * are passed over. Blocks on it. No error shows a value, which may be a secret.
 * Errors: WEFT_EINVAL (names the file, the line, why), WEFT_EMSGSIZE, WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err fields_file_read(weft_http_fields *fields, const char *path);

#endif
