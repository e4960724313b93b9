/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_BRIDGE_H
#define BRIDGE_BRIDGE_H

/* Inside of a bridge: what its sessions need of it. */
#include "base/align.h"
#include "base/counter.h"
#include "bridge/door.h"
#include "bridge/endpoint.h"
#include "bridge/mux_pool.h"
#include "bridge/mux_side.h"
#include "bridge/servers.h"

#include <weft/bridge.h>
#include <weft/cancel.h>
#include <weft/tls.h>

/* Counted with each move, so that workers must not share a line: those that share a cell are
 * more than there are cells. */
#define BRIDGE_CELLS 16

struct bridge_cell {
	struct counter bytes_in, bytes_out;
	char apart[CACHE_LINE - 2 * sizeof(struct counter)];
};

struct bridge_counters {
	struct counter sessions, failed, refused, cut;
	struct counter sessions_now, children_now;
	struct counter children;		/* started; of sessions of bytes */
	struct counter only;			/* 1: the session of stdio: has begun */
	struct counter muxes, muxes_now;	/* mux sessions */
	struct bridge_cell cells[BRIDGE_CELLS]; /* by worker */
};

struct weft_bridge {
	weft_bridge_options options;	      /* zeros replaced; its strings are not to be used */
	struct endpoint from, to, metrics_at; /* metrics_at: all of 0: none */
	weft_tls *from_tls, *to_tls, *metrics_tls;	/* of endpoints with TLS; else NULL */
	char fingerprint[WEFT_TLS_FINGERPRINT_LEN + 1]; /* of what is self-signed; "": nothing is */
	struct words env, pass_env;			/* argv NULL: not given */
	struct server_list servers;			/* with names, at the start; none: TO */
	size_t servers_given;				/* ... the first of them: not by the file */
	char *servers_path;				/* the file; owned; NULL: none */
	struct messages *messages;			/* NULL: bytes are carried */
	weft_buf_pool *pool;
	struct recorder *recorder; /* NULL: nobody records */
	struct metrics *metrics;   /* NULL: not served */
	struct door door;	   /* who is told how the bridge is */
	weft_deadline opened_at;
	char *name, *to_name;	    /* of what listens or was dialled; owned; may be NULL */
	weft_listener *listener;    /* FROM; NULL for stdio: and for what is dialled */
	weft_listener *to_listener; /* TO; NULL unless it listens */
	weft_conn *first; /* FROM: stdio:, or the first that was dialled; until it is used */
	struct mux_side from_mux, to_mux; /* of mux endpoints */
	struct mux_pool to_pool;	  /* TO's */
	weft_cancel *stopping;		  /* triggered by weft_bridge_stop */
	struct counter session_last;	  /* number */
	struct counter is_cutting;	  /* not 0: the drain is over, what is left is reset */
	struct bridge_counters counters;
	/* How the one session of stdio: ended: its fiber writes, read when that is over. */
	weft_err only_err;
	char *only_detail; /* owned; may be NULL */
};

/* With stdio: at an end, one session is all there is, and its error the bridge's. */
static inline bool bridge_has_one_session(const struct weft_bridge *bridge)
{
	return bridge->from.kind == ENDPOINT_STDIO ||
		(bridge->to.kind == ENDPOINT_STDIO && bridge->servers.count == 0);
}

/* Whether it carries messages, not bytes. */
static inline bool bridge_has_messages(const struct weft_bridge *bridge)
{
	return endpoint_is_messages(&bridge->from) || endpoint_is_messages(&bridge->to) ||
		bridge->servers.count > 0;
}

static inline bool bridge_is_cutting(const struct weft_bridge *bridge)
{
	return counter_get(&bridge->is_cutting) != 0;
}

/* Where a session should run: beside the mux session that it uses, which spares a wake of
 * another core for each move, unless that worker is crowded. */
unsigned bridge_worker_for_session(struct weft_bridge *bridge);

/* To on_event, or to the log. */
void bridge_event(const struct weft_bridge *bridge, const weft_bridge_event *event);

#endif
