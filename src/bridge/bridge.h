/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_BRIDGE_H
#define BRIDGE_BRIDGE_H

/* Inside of a bridge: what its sessions need of it. */
#include "base/counter.h"
#include "bridge/endpoint.h"

#include <weft/bridge.h>
#include <weft/cancel.h>

struct bridge_counters {
	struct counter sessions, failed, refused, cut, bytes_in, bytes_out;
	struct counter sessions_now, children_now;
};

struct weft_bridge {
	weft_bridge_options options; /* zeros replaced; its strings are not to be used */
	struct endpoint from, to;
	struct words env, pass_env; /* argv NULL: not given */
	weft_buf_pool *pool;
	weft_listener *listener; /* NULL for stdio: */
	weft_conn *stdio;	 /* FROM; until its session begins */
	weft_cancel *stopping;	 /* triggered by weft_bridge_stop */
	uint64_t session_last;	 /* number; the accepting fiber only */
	struct bridge_counters counters;
	/* How the one session of stdio: ended: its fiber writes, read when that is over. */
	weft_err only_err;
	char *only_detail; /* owned; may be NULL */
};

/* With stdio: at an end, one session is all there is, and its error the bridge's. */
static inline bool bridge_has_one_session(const struct weft_bridge *bridge)
{
	return bridge->from.kind == ENDPOINT_STDIO || bridge->to.kind == ENDPOINT_STDIO;
}

/* To on_event, or to the log. */
void bridge_event(const struct weft_bridge *bridge, const weft_bridge_event *event);

#endif
