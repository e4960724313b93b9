/* SPDX-License-Identifier: MIT */
#ifndef FLAGS_H
#define FLAGS_H

/* Command line flags: "--name value" and "--name=value", before and after the arguments; and, for
 * commands that name some by a letter, "-x value", "-xvalue" and several switches as "-xyz". */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum flag_kind {
	FLAG_SWITCH,   /* bool */
	FLAG_COUNT,    /* size_t, at least 1 */
	FLAG_SIZE,     /* uint64_t, bytes, at least 1; see flag_size */
	FLAG_DURATION, /* int64_t, ns; see flag_duration */
	FLAG_TEXT,     /* const char * */
	FLAG_LIST,     /* struct flag_list: may be given again, and appends */
};

#define FLAG_LIST_MAX 256

struct flag_list {
	const char *items[FLAG_LIST_MAX + 1]; /* NULL-terminated */
	size_t count;
};

struct flag {
	const char *name; /* without the dashes */
	enum flag_kind kind;
	void *to;	  /* what kind says */
	int64_t off_ns;	  /* FLAG_DURATION: the value of "off" */
	bool may_be_zero; /* FLAG_DURATION */
};

/* -letter is --name. */
struct flag_letter {
	char letter;
	const char *name;
};

struct flags {
	const struct flag *table;
	size_t table_len;
	const struct flag_letter *letters; /* letters_len of them; NULL: none */
	size_t letters_len;
	const char **args; /* what is no flag: args_max places */
	size_t args_max, args_count;
	const char *const *command; /* after "--"; NULL: there was no "--" */
	bool wants_help;
};

/* argv without the command's name, NULL-terminated. 0, or an exit status: the error has
 * been said. */
int flags_parse(struct flags *flags, const char *const *argv);
/* "500ms", "10s", "1.5s", "2m", "1h"; false: not a duration, or above ten years. */
bool flag_duration(int64_t *ns, const char *text);
/* "1000", "64KiB", "10MB", "1.5GiB": K, M, G, T with iB for powers of 1024, with B for those of
 * 1000; false: not a size, or 0, or above 2^62. */
bool flag_size(uint64_t *bytes, const char *text);
/* The candidate that text was probably meant to be; NULL: none is close. */
const char *flag_nearest(const char *text, const char *const *candidates, size_t count);

#endif
