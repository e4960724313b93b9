/* SPDX-License-Identifier: MIT */
#ifndef MUST_H
#define MUST_H

/* For the programs that measure weft: any error ends the program, so that a row is
 * either had as described or not at all. */
#include "bench.h"

#include <weft/weft.h>

static inline void must(weft_err err, const char *what)
{
	if (err == WEFT_OK)
		return;
	fprintf(stderr, "bench: %s: %s (%s)\n", what, weft_strerror(err), weft_error_detail());
	exit(1);
}

static inline void must_run(weft_fiber_fn fn, void *arg, unsigned workers)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;
	options.workers = workers;
	options.pin_workers = true;
	must(weft_run(fn, arg, &options), "weft_run");
}
#endif
