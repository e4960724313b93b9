/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_FAULTS_H
#define BRIDGE_FAULTS_H

/* Several things were tried, each for itself: what went wrong with any of them, as one error. */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

struct faults {
	weft_err err; /* the first's */
	char text[ERR_TEXT_MAX];
};

/* err with the detail that is there. WEFT_OK is none; a text that is there already is told once. */
static inline void faults_add(struct faults *faults, weft_err err)
{
	size_t len = strlen(faults->text);

	if (!err || strstr(faults->text, weft_error_detail()))
		return;
	(void)snprintf(faults->text + len, sizeof(faults->text) - len, "%s%s", len ? "; " : "",
		weft_error_detail());
	faults->err = faults->err ? faults->err : err;
}

/* As the caller's error. */
static inline weft_err faults_error(const struct faults *faults)
{
	return faults->err ? err_setf(faults->err, "%s", faults->text) : WEFT_OK;
}

#endif
