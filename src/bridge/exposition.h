/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_EXPOSITION_H
#define BRIDGE_EXPOSITION_H

/*
 * The text format of Prometheus, version 0.0.4: pure.
 *
 *	# HELP name what it is		'\' and line ends of it escaped
 *	# TYPE name counter		counter, gauge or histogram
 *	name{label="value"} 1		'\', '"' and line ends of the value escaped
 *
 * All samples of a family stand together, behind its two lines, and each has labels that no other
 * of the family has.
 */
#include "bridge/grown_text.h"

#include <stdint.h>

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* All of 0 is an empty one. */
struct exposition {
	struct grown_text text;
	const char *family; /* the current one's name */
};

struct label {
	const char *name, *value;
};

/* name, type and help: constant. */
void exposition_family(struct exposition *e, const char *name, const char *type, const char *help);
/* suffix: "" or, of a histogram, "_bucket" and the like. */
void exposition_sample(struct exposition *e, const char *suffix, const struct label *labels,
	size_t count, uint64_t value);
/* The same in seconds. ns: not negative. */
void exposition_seconds(struct exposition *e, const char *suffix, const struct label *labels,
	size_t count, int64_t ns);

#endif
