/* SPDX-License-Identifier: MIT */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "net/resolve.h"

#include <weft/net.h>

/*
 * Connects to the one of the addresses that answers first, beginning with the first.
 * address: as errors name it. options: checked. Errors: as weft_dial.
 */
WEFT_MUST_CHECK weft_err net_connect(struct io_handle **out, const struct resolved *addrs,
	const char *address, const weft_net_options *options, weft_deadline until);

#endif
