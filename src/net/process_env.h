/* SPDX-License-Identifier: MIT */
#ifndef NET_PROCESS_ENV_H
#define NET_PROCESS_ENV_H

#include <weft/base.h>

/* The path to execute, into PATH_MAX bytes. Errors: WEFT_ESPAWN, which says why. */
weft_err process_find_program(char *out, const char *name);

/* The environment: what of ours pass lets through (NULL: the default list), then env. The
 * array is the caller's, to be freed by mem_free; the strings stay where they are, so
 * that nobody may change our environment meanwhile. Errors: WEFT_EINVAL, WEFT_ENOMEM. */
weft_err process_environment(char ***out, const char *const *env, const char *const *pass);

#endif
