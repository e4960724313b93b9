/* SPDX-License-Identifier: MIT */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void check_failed(const char *file, int line, const char *what)
{
	char text[512];
	int len = snprintf(
		text, sizeof(text), "weft: bug: %s:%d: \"%s\" does not hold\n", file, line, what);
	ssize_t rc = 0;

	if (len > 0)
		rc = write(STDERR_FILENO, text,
			(size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
	(void)rc;
	abort();
}
