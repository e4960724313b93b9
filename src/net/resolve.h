/* SPDX-License-Identifier: MIT */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

/* Names to addresses: in the blocking-work pool, or by the simulator. */
#include "net/addr.h"

#define RESOLVE_MAX 16 /* addresses kept of a name */

struct resolved {
	size_t len;
	struct io_addr addrs[RESOLVE_MAX];
};

/*
 * addr: tcp. What is numeric is answered at once. In the order of preference that the
 * resolver gives (RFC 6724), then interleaved by family (RFC 8305, section 4).
 * Errors: WEFT_ERESOLVE, WEFT_ENOMEM, WEFT_ECAPACITY, WEFT_ETIMEDOUT, WEFT_ECANCELED.
 */
WEFT_MUST_CHECK weft_err resolve(
	struct resolved *out, const struct net_addr *addr, weft_deadline until);
/* Families take turns, the first one's first; the order within each stays. */
void resolve_interleave(struct resolved *list);

#endif
