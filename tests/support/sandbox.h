/* SPDX-License-Identifier: MIT */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>

/* membarrier fails from now on, in every thread of the process, as on kernels that do not have
 * it. False: filters can't be had here. */
bool membarrier_forbid(void);

#endif
