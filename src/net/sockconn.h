/* SPDX-License-Identifier: MIT */
#ifndef NET_SOCKCONN_H
#define NET_SOCKCONN_H

#include "net/addr.h"
#include "net/conn.h"

/*
 * A conn over a connected handle, which is taken, also on error. Names as
 * net_addr_format writes them. quota may be NULL; the conn takes its place in it, and a
 * reference, on success only.
 */
WEFT_MUST_CHECK weft_err conn_from_handle(weft_conn **out, struct io_handle *handle,
	const char *local_name, const char *peer_name, struct conn_quota *quota);
/* The same, names made of the addresses; local NULL: the handle's own is asked for. */
WEFT_MUST_CHECK weft_err conn_from_handle_named(weft_conn **out, struct io_handle *handle,
	const struct io_addr *local, const struct io_addr *peer, struct conn_quota *quota);

#endif
