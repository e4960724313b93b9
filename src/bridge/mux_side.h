/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_MUX_SIDE_H
#define BRIDGE_MUX_SIDE_H

/*
 * The mux sessions of one endpoint of a bridge: those that it accepts, or those that it
 * keeps up by dialling again and again.
 *
 * Each has a fiber in the scope `links`, which takes the streams that the peer opens,
 * until the mux session is over. At FROM each of them becomes a session of the bridge;
 * once the bridge is stopping they are refused (smux can only end them). At TO all are
 * refused, and the bridge's sessions open theirs through the pool.
 *
 * Ending: cancelling `links` closes the mux sessions in order, and what was written is
 * still sent. Once the bridge is cutting they are reset instead: smux has no way to reset
 * a stream, and a stream that was cut must not look like one that ended.
 */
#include "base/counter.h"
#include "bridge/endpoint.h"
#include "bridge/mux_pool.h"

#include <weft/scope.h>

struct weft_bridge;

struct mux_side {
	struct weft_bridge *bridge;
	const struct endpoint *endpoint;
	struct mux_pool *pool;	   /* TO; NULL: FROM */
	weft_listener *listener;   /* TO, when it listens; else NULL */
	bool dials_once;	   /* there is one session: an error ends it rather than being
				   * mended */
	weft_scope *links;	   /* of all fibers here */
	weft_scope *sessions;	   /* FROM */
	struct counter failing;	   /* dialers that have no mux session, and said so */
	struct counter refused_at; /* when a refusal was last told (ns) */
};

/* What weft_mux_create_own gets for this endpoint. */
void mux_side_options(const struct mux_side *side, weft_mux_options *out);
/* Keeps as many mux sessions up as the endpoint says. first: the connection of the first
 * of them, if there is one already; taken, also on an error. Errors: as weft_scope_spawn. */
WEFT_MUST_CHECK weft_err mux_side_dial(struct mux_side *side, weft_conn *first);
/* Takes whoever connects to side->listener. Errors: as weft_scope_spawn. */
WEFT_MUST_CHECK weft_err mux_side_listen(struct mux_side *side);
/* A mux session over an accepted connection, which is taken. */
void mux_side_take(struct mux_side *side, weft_conn *conn);

#endif
