/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_PLAIN_H
#define BRIDGE_PLAIN_H

/*
 * Lines for people of bytes that nobody can trust, such as a child's stderr: without terminal
 * escapes (ECMA-48) and control characters, in UTF-8, none longer than PLAIN_LINE_MAX.
 *
 * A line ends at LF or CR, empty ones are left out; the rest of one that is too long is dropped. An
 * escape sequence that doesn't end ends with its line. One owner; no memory but its own.
 */
#include <stdbool.h>
#include <stddef.h>

#define PLAIN_LINE_MAX ((size_t)4096)
#define PLAIN_CUT " [...]" /* at the end of a line that was too long */

struct plain {
	int state;
	bool is_cut;
	size_t len;
	char line[PLAIN_LINE_MAX + sizeof(PLAIN_CUT)];
};

typedef void (*plain_fn)(void *user, const char *line);

void plain_init(struct plain *p);
/* line is valid during the call. */
void plain_feed(struct plain *p, const char *bytes, size_t len, plain_fn fn, void *user);
/* What stands there without a line end. */
void plain_end(struct plain *p, plain_fn fn, void *user);

#endif
