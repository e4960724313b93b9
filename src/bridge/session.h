/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_SESSION_H
#define BRIDGE_SESSION_H

/*
 * A session: FROM's conn, TO opened for it, and two flows between them.
 *
 * Its fiber opens TO, then carries FROM to TO; a second fiber carries TO to FROM; with a
 * child process as TO, a third waits for it. All three run on one worker, so that what
 * they share needs no lock. How it ends:
 *
 *	both streams ended             closed in order
 *	a side was reset, a time-out   the other side is reset (an idle time-out closes)
 *	writing failed                 the other direction goes on to its own end, so that
 *	                               a reply which is on its way still arrives
 *	the child exited               its output is carried on to its end, but not longer
 *	                               than the grace if others hold it open
 *	cancelled                      both sides are reset: it was cut
 */
#include "bridge/bridge.h"

#include <weft/scope.h>

/*
 * Runs a session over from, which is taken, in a fiber of scope on that worker. On an
 * error nothing runs, and from is still the caller's. Errors: as weft_scope_spawn;
 * WEFT_ECAPACITY (as many sessions as there may be, where no listener counts them; or the
 * one that there may be has been).
 */
WEFT_MUST_CHECK weft_err session_start(
	struct weft_bridge *bridge, weft_scope *scope, unsigned worker, weft_conn *from);

#endif
