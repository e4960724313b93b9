/* SPDX-License-Identifier: MIT */
/* Cases of a select that are neither channels nor tokens: see select.h. */
#include "sync/select.h"

#include "sync/chan.h"
#include "sync/oneshot.h"

/* --- a oneshot's receiving end ------------------------------------------------------------ */

static const char *oneshot_flaw(const weft_select_case *c)
{
	return c->oneshot ? NULL : "no oneshot";
}

static weft_err oneshot_attempt(const weft_select_case *c)
{
	return oneshot_try_recv(c->oneshot, c->message);
}

static bool oneshot_enter(const weft_select_case *c, struct wait_node *node)
{
	wait_push(oneshot_receivers(c->oneshot), node, false);
	return oneshot_is_ready(c->oneshot);
}

static void oneshot_leave(const weft_select_case *c, struct wait_node *node)
{
	wait_remove(oneshot_receivers(c->oneshot), node);
}

const struct select_ops select_oneshot = {
	.flaw = oneshot_flaw,
	.attempt = oneshot_attempt,
	.enter = oneshot_enter,
	.leave = oneshot_leave,
};

/* --- a point in time: select.c parks no longer than until the first ------------------------- */

static const char *timer_flaw(const weft_select_case *c)
{
	(void)c;
	return NULL;
}

static weft_err timer_attempt(const weft_select_case *c)
{
	return c->at <= weft_now() ? WEFT_OK : WEFT_EAGAIN;
}

static bool timer_enter(const weft_select_case *c, struct wait_node *node)
{
	(void)c;
	(void)node;
	return false;
}

static void timer_leave(const weft_select_case *c, struct wait_node *node)
{
	(void)c;
	(void)node;
}

const struct select_ops select_timer = {
	.flaw = timer_flaw,
	.attempt = timer_attempt,
	.enter = timer_enter,
	.leave = timer_leave,
};

/* --- the close of a channel, or of a oneshot's receiver ------------------------------------ */

static const char *closed_flaw(const weft_select_case *c)
{
	return c->chan || c->oneshot ? NULL : "no channel and no oneshot";
}

static bool closed_now(const weft_select_case *c)
{
	return c->chan ? chan_is_closed(c->chan) : oneshot_is_shut(c->oneshot);
}

static struct wait_queue *closed_queue(const weft_select_case *c)
{
	return c->chan ? &c->chan->closers : oneshot_senders(c->oneshot);
}

static weft_err closed_attempt(const weft_select_case *c)
{
	return closed_now(c) ? WEFT_OK : WEFT_EAGAIN;
}

static bool closed_enter(const weft_select_case *c, struct wait_node *node)
{
	wait_push(closed_queue(c), node, false);
	return closed_now(c);
}

static void closed_leave(const weft_select_case *c, struct wait_node *node)
{
	wait_remove(closed_queue(c), node);
}

const struct select_ops select_closed = {
	.flaw = closed_flaw,
	.attempt = closed_attempt,
	.enter = closed_enter,
	.leave = closed_leave,
};
