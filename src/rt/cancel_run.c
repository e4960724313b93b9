/* SPDX-License-Identifier: MIT */
/*
 * Run until cancelled: a scope with one fiber, whose token is a child of the caller's and,
 * over a link, of the token that is given. So the cancellation of either reaches it in the
 * canceller's own walk.
 */
#include "rt/fiber.h"

struct run {
	weft_err (*fn)(void *arg);
	void *arg;
	weft_err result;
};

static weft_err run_fiber(void *arg)
{
	struct run *run = arg;

	run->result = run->fn(run->arg);
	return run->result;
}

/* What fn gave way to. stop: what ended the caller's wait, WEFT_OK: nothing did. */
static weft_err gave_way(const weft_cancel *token, weft_err stop)
{
	weft_err reason = weft_cancel_reason(token);

	return err_set(reason ? reason : stop ? stop : WEFT_ECANCELED);
}

static weft_err run_in(weft_scope *scope, struct run *run, weft_cancel *token, weft_deadline until)
{
	weft_err err = weft_scope_spawn(scope, "until cancelled", run_fiber, run);
	weft_err stop;

	if (err)
		return err == WEFT_ECANCELED ? gave_way(token, err) : err;
	stop = rt_scope_wait_empty(scope, until);
	if (stop)
		rt_scope_end(scope);
	err = rt_scope_error(scope);
	if (!err && run->result == WEFT_ECANCELED)
		err = gave_way(token, stop);
	return err;
}

weft_err weft_cancel_run(
	weft_cancel *token, weft_err (*fn)(void *arg), void *arg, weft_deadline until)
{
	struct run run = { fn, arg, WEFT_OK };
	struct rt_token_link link;
	weft_scope *scope;
	weft_err err;

	if (!fn)
		return err_setf(WEFT_EINVAL, "run until cancelled: no function");
	err = weft_scope_create(&scope);
	if (err)
		return err;
	if (!token) {
		err = run_in(scope, &run, NULL, until);
	} else if (!rt_token_link_add(token, &link, weft_scope_token(scope))) {
		err = gave_way(token, WEFT_OK);
	} else {
		err = run_in(scope, &run, token, until);
		rt_token_remove(token, &link.node);
	}
	weft_scope_free(scope);
	return err;
}
