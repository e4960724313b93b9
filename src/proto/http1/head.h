/* SPDX-License-Identifier: MIT */
#ifndef PROTO_HTTP1_HEAD_H
#define PROTO_HTTP1_HEAD_H

/* Between the parts of the parser: lines are found by one of several builds of lines.h, what
 * they mean is decided once. */
#include "proto/http1/http1.h"

enum http1_stage { HTTP1_AT_START, HTTP1_AT_FIELDS, HTTP1_AT_END };

/* What lines.h makes, once for each instruction set. They look at data .. data + end from
 * parser->at on, move that behind each whole line, and set fault.
 *	start	one start line (with empty lines before it)
 *	fields	field lines to the end of the section */
typedef enum http1_step http1_lines(struct http1_parser *parser, const char *data, size_t end);

http1_lines http1_start_base, http1_fields_base;
#if defined(__x86_64__)
http1_lines http1_start_avx2, http1_fields_avx2;
#endif

/* The build for this processor. */
enum http1_step http1_start(struct http1_parser *parser, const char *data, size_t end);
enum http1_step http1_fields(struct http1_parser *parser, const char *data, size_t end);

/* The target's form, path and authority; false: fault is set. */
bool http1_judge_target(struct http1_parser *parser, const char *data);
/* The framing, from the fields; false: fault is set. */
bool http1_judge_fields(struct http1_parser *parser, const char *data);

/* What decides about a message, or about who may do what, comes too late in a trailer. */
bool http1_trailer_is_forbidden(enum http1_name name);

#endif
