/* SPDX-License-Identifier: MIT */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "base/counter.h"
#include "net/resolve.h"

#include <weft/net.h>

/*
 * Connects to the one of the addresses that answers first, beginning with the first.
 * address: as errors name it. options: checked. Errors: as weft_dial.
 */
WEFT_MUST_CHECK weft_err net_connect(struct io_handle **out, const struct resolved *addrs,
	const char *address, const weft_net_options *options, weft_deadline until);

/* How a dial goes: for who waits for it, and for the numbers of who made it. */
struct net_dial_steps {
	struct counter *step; /* set to 1 when the name is resolved; NULL: not wanted */
	int64_t resolve_ns;   /* what each took; valid when the dial is over */
	int64_t connect_ns;
};

/* weft_dial that tells its steps; steps may be NULL. */
WEFT_MUST_CHECK weft_err net_dial(weft_conn **out, const char *address,
	const weft_net_options *options, struct net_dial_steps *steps, weft_deadline until);

#endif
