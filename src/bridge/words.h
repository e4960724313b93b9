/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_WORDS_H
#define BRIDGE_WORDS_H

/*
 * A command line as words, split as a shell splits them, though no shell runs: blanks
 * separate; '...' is literal; in "..." a backslash escapes \ " $ ` and a newline;
 * elsewhere it escapes any character. Nothing is expanded: $, *, ~, | and ; are ordinary.
 */
#include <weft/base.h>

#include <stddef.h>

#define WORDS_MAX 1024 /* in one command line */

struct words {
	char **argv; /* NULL-terminated, points into text; owned */
	size_t count;
	char *text; /* owned */
};

/* At least one word. Errors: WEFT_EINVAL (says what and at which offset), WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err words_split(struct words *out, const char *line);
/* A copy of a NULL-terminated list. Errors: WEFT_EINVAL (empty, too many), WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err words_copy(struct words *out, const char *const *argv);
/* One word more, of len bytes without a NUL among them; a zeroed struct is allowed.
 * Errors: as words_copy; words is as it was then. */
WEFT_MUST_CHECK weft_err words_add(struct words *words, const char *text, size_t len);
/* A zeroed struct is allowed. */
void words_fini(struct words *words);

#endif
