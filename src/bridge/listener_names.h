/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_LISTENER_NAMES_H
#define BRIDGE_LISTENER_NAMES_H

/*
 * Which Origin and Host fields a listener of http: takes: its own, as a browser on this machine would
 * name them, and those of the options.
 */
#include <weft/base.h>

#include <stdbool.h>

#define ORIGINS_OWN 4 /* by three names, and its address */
#define ORIGIN_MAX 256

/* All of 0 is none. */
struct listener_names {
	const char **origins;
	const char **hosts; /* NULL: none were given; what loopback's rule says */
	char own_origins[ORIGINS_OWN][ORIGIN_MAX], own_hosts[ORIGINS_OWN][ORIGIN_MAX];
};

/* Of a listener's name, "tcp://127.0.0.1:80"; origins and hosts end with NULL, and may be NULL, and are
 * borrowed. Errors: WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err listener_names_init(struct listener_names *names, const char *listener,
	bool is_tls, const char *const *origins, const char *const *hosts);
void listener_names_fini(struct listener_names *names);

#endif
