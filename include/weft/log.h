/* SPDX-License-Identifier: MIT */
#ifndef WEFT_LOG_H
#define WEFT_LOG_H

#include <weft/base.h>

#include <stdbool.h>

WEFT_BEGIN_DECLS
/*
 * Logging: the library says nothing unless a callback is set. Any fiber or thread.
 */
typedef enum weft_log_level {
	WEFT_LOG_ERROR = 0,
	WEFT_LOG_WARN = 1,
	WEFT_LOG_INFO = 2,
	WEFT_LOG_DEBUG = 3,
	WEFT_LOG_TRACE = 4,
} weft_log_level;

/* text has no newline and is valid during the call. Must not call back into weft
 * except weft_fiber_name, and must not block for long. */
typedef void (*weft_log_fn)(void *user, weft_log_level level, const char *module, const char *text);

/* fn NULL: silence. Lines above max_level are not formatted. Set before weft_run, or
 * at any time: a line that is being written may still go to the old callback. */
WEFT_API void weft_log_set(weft_log_fn fn, void *user, weft_log_level max_level);
WEFT_API bool weft_log_enabled(weft_log_level level);
WEFT_API void weft_log(weft_log_level level, const char *module, const char *format, ...)
	WEFT_PRINTF(3, 4);
/* "error", "warn", ... */
WEFT_API const char *weft_log_level_name(weft_log_level level);
/* Errors: WEFT_EINVAL. */
WEFT_API WEFT_MUST_CHECK weft_err weft_log_level_parse(const char *name, weft_log_level *out);

WEFT_END_DECLS
#endif
