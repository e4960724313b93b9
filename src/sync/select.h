/* SPDX-License-Identifier: MIT */
#ifndef SYNC_SELECT_H
#define SYNC_SELECT_H

/*
 * How an object takes part in a select, by a table of functions. Channels and tokens are
 * select.c's own, since their waiters can be claimed with a result; everything else that
 * changes, wakes its wait list and is looked at again has one of these:
 *
 *  - a kind in weft_select_kind, and a pointer to the object in weft_select_case;
 *  - a table, beside the object's own code, declared here, entered in select.c's tables.
 *
 * The rule is that of wait.h: whoever changes the object asks wait_any (or takes the list's
 * lock) after a seq_cst change, and wakes by wait_wake_one or wait_wake_all.
 */
#include "sync/wait.h"

#include <weft/select.h>

struct select_ops {
	/* What the case lacks, as "no oneshot"; NULL: nothing. */
	const char *(*flaw)(const weft_select_case *c);
	/*
	 * One attempt that never parks, without err_set. WEFT_EAGAIN: not ready. WEFT_OK,
	 * WEFT_ECLOSED and WEFT_ELAGGED: the case is done, with this as its result. Others
	 * fail the whole select.
	 */
	weft_err (*attempt)(const weft_select_case *c);
	/* Enters the object's wait list; then looks, seq_cst: true: an attempt might not end
	 * in WEFT_EAGAIN. Must be exact in the long run, or the select spins. */
	bool (*enter)(const weft_select_case *c, struct wait_node *node);
	/* Leaves the list: wait_remove, which takes its lock also when nothing is queued. */
	void (*leave)(const weft_select_case *c, struct wait_node *node);
	/* The select was claimed through this case and did another one: the wake is for the
	 * next who waits. NULL: wakes of this object go to everybody. */
	void (*pass_on)(const weft_select_case *c);
};

extern const struct select_ops select_oneshot; /* select_kinds.c */
extern const struct select_ops select_timer;
extern const struct select_ops select_closed;
extern const struct select_ops select_broadcast; /* broadcast.c */
extern const struct select_ops select_watch;	 /* watch.c */

#endif
