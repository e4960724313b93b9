/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_TRANSPORT_H
#define BRIDGE_TRANSPORT_H

/* What transports of this library need of each other beyond weft/transport.h. */
#include <weft/transport.h>

/* With its defaults in place of zeros. options may be NULL. Errors: WEFT_EINVAL. */
WEFT_MUST_CHECK weft_err transport_options_fill(
	weft_transport_options *out, const weft_transport_options *options);
/* What it was made with, filled in; until free. */
const weft_transport_options *transport_options(const weft_transport *transport);
weft_json_limits transport_limits(const weft_transport *transport);
/* In place of that of its ops; static. Before others know it. */
void transport_set_kind(weft_transport *transport, const char *kind);
/* What is sent may have so many bytes more than message_size_max: where ids are rewritten, what came with
 * as many as there may be goes on. Before anything is sent. */
void transport_set_grown_max(weft_transport *transport, size_t bytes);
/* Closed by its owner. */
bool transport_is_closed(const weft_transport *transport);

/* The life of what is under a conn with a message a line, such as a child. */
struct lines_owner {
	/* The stream has ended, so: what that means. In the reader's fiber, shielded; it may
	 * wait. *err and what detail has (size bytes) are changed. */
	void (*ended)(void *arg, bool closed_here, weft_err *err, char *detail, size_t size);
	/* Frees arg, and the conn, if that is its own. */
	void (*free)(void *arg);
};
/*
 * weft_transport_lines_own with more. owner NULL: the conn is the transport's; else it is the
 * owner's. kind: static. On an error neither conn nor arg was taken.
 */
WEFT_MUST_CHECK weft_err lines_create(weft_transport **out, weft_conn *conn, const char *name,
	const char *kind, const struct lines_owner *owner, void *arg,
	const weft_transport_options *options);

#endif
