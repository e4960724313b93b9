/* SPDX-License-Identifier: MIT */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

/* Assertions for bugs, on in release builds too: prints file, line and condition, and
 * aborts. Never for what the world may do. */
#include "base/align.h"

_Noreturn void check_failed(const char *file, int line, const char *what);

#define CHECK(cond) (weft_likely(cond) ? (void)0 : check_failed(__FILE__, __LINE__, #cond))

#endif
