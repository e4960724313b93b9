/* SPDX-License-Identifier: MIT */
#ifndef NET_OPTIONS_H
#define NET_OPTIONS_H

/* weft_net_options: checked here and nowhere else, and set on sockets. */
#include "io/io.h"

#include <weft/net.h>

/* *out is options with its zeros replaced by what they stand for; options may be NULL.
 * Errors: WEFT_EINVAL, names the field. */
WEFT_MUST_CHECK weft_err net_options_check(weft_net_options *out, const weft_net_options *options);
/* What fails is left as the kernel has it: none of these decides whether bytes arrive.
 * No effect on the simulator's handles. tcp: the TCP options too. */
void net_options_apply(const weft_net_options *options, struct io_handle *handle, bool tcp);

#endif
