/* SPDX-License-Identifier: MIT */
#ifndef HTTP_UNDO_H
#define HTTP_UNDO_H

/* A response's body with its content coding undone: decode.h between the response and whoever
 * reads it. Two allocations, and those of decode.h. */
#include "http/decode.h"

struct client_filter;

/* For a response's filter. Errors: WEFT_ENOMEM, WEFT_ENOSYS. */
WEFT_MUST_CHECK weft_err undo_create(
	struct client_filter **out, enum decode_coding coding, const struct decode_limits *limits);

#endif
