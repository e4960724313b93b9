/* SPDX-License-Identifier: MIT */
/*
 * Scopes: a list of fibers under a short lock, a token, the first error. The lock is
 * taken when a fiber begins and when it ends, never in between.
 *
 * The last fiber to leave touches nothing of the scope after it has released the lock:
 * the owner, who looks at the count under the same lock, may then free it.
 */
#include "base/check.h"
#include "base/mem.h"
#include "rt/fiber.h"

struct weft_scope {
	struct rt_lock lock;
	struct list fibers;  /* by rt_fiber.scope_link; under lock */
	size_t count;	     /* under lock */
	weft_err first;	     /* first error; under lock */
	struct err_slot err; /* its detail; under lock */
	weft_parker *waiter; /* the owner in wait; under lock */
	weft_cancel *token;  /* held */
	struct rt_token_node on_cancel;
};

/* Runs in the canceller: every fiber's park is to return. */
static void wake_all(struct rt_token_node *node)
{
	weft_scope *scope = container_of(node, weft_scope, on_cancel);

	rt_lock_acquire(&scope->lock);
	list_for_each(it, &scope->fibers)
		weft_unpark(&container_of(it, struct rt_fiber, scope_link)->parker);
	rt_lock_release(&scope->lock);
}

weft_err rt_scope_create(weft_scope **out, struct rt_runtime *rt, weft_cancel *parent)
{
	weft_scope *scope = mem_calloc(1, sizeof(*scope));

	(void)rt;
	if (!scope)
		return err_set(WEFT_ENOMEM);
	list_init(&scope->fibers);
	if (weft_cancel_create(&scope->token, parent) != WEFT_OK) {
		mem_free(scope);
		return WEFT_ENOMEM;
	}
	scope->on_cancel.fn = wake_all;
	/* false when the parent is cancelled: then no fiber ever enters */
	(void)rt_token_add(scope->token, &scope->on_cancel);
	*out = scope;
	return WEFT_OK;
}

weft_err weft_scope_create(weft_scope **out)
{
	struct rt_runtime *rt = rt_runtime_self();
	weft_cancel *parent = weft_fiber_token();

	if (!rt)
		return err_setf(WEFT_EINVAL, "create scope: no runtime is running");
	return rt_scope_create(out, rt, parent ? parent : weft_scope_token(rt->root));
}

weft_err rt_scope_create_root(weft_scope **out)
{
	struct rt_runtime *rt = rt_runtime_self();

	if (!rt)
		return err_setf(WEFT_EINVAL, "create scope: no runtime is running");
	return rt_scope_create(out, rt, weft_scope_token(rt->root));
}

weft_err rt_scope_enter(weft_scope *scope, struct rt_fiber *fiber, bool always)
{
	weft_err err = WEFT_OK;

	fiber->scope = scope;
	fiber->token = scope->token;
	rt_lock_acquire(&scope->lock);
	/* cancelled before: refused; later: wake_all finds the fiber, or its first park
	 * finds the token */
	if (weft_cancel_is_cancelled(scope->token) && !always) {
		err = WEFT_ECANCELED;
	} else {
		list_push_back(&scope->fibers, &fiber->scope_link);
		scope->count++;
	}
	rt_lock_release(&scope->lock);
	return err ? err_set(err) : WEFT_OK;
}

void rt_scope_leave(struct rt_fiber *fiber, weft_err result)
{
	weft_scope *scope = fiber->scope;
	weft_cancel *token = NULL;
	weft_parker *waiter = NULL;

	if (result == WEFT_ECANCELED && (weft_cancel_is_cancelled(scope->token) || fiber->crashed))
		result = WEFT_OK;
	rt_lock_acquire(&scope->lock);
	if (result && !scope->first) {
		scope->first = result;
		err_slot_copy(&scope->err, &fiber->err);
		token = weft_cancel_ref(scope->token);
	}
	rt_lock_release(&scope->lock);
	/* cancels while this fiber still counts, so that the scope is alive */
	if (token) {
		weft_cancel_trigger(token, WEFT_ECANCELED);
		weft_cancel_unref(token);
	}
	rt_lock_acquire(&scope->lock);
	list_remove(&fiber->scope_link);
	if (--scope->count == 0)
		waiter = scope->waiter;
	rt_lock_release(&scope->lock);
	if (waiter)
		weft_unpark(waiter);
}

weft_err weft_scope_spawn_on(
	weft_scope *scope, unsigned worker, const char *name, weft_fiber_fn fn, void *arg)
{
	struct rt_spawn s = { scope, worker, UINT32_MAX, name, fn, arg, NULL };

	if (!scope)
		return err_setf(WEFT_EINVAL, "spawn fiber: no scope");
	return rt_spawn(&s);
}

weft_err weft_scope_spawn(weft_scope *scope, const char *name, weft_fiber_fn fn, void *arg)
{
	return weft_scope_spawn_on(scope, UINT32_MAX, name, fn, arg);
}

static bool is_empty_or_wait(weft_scope *scope, weft_parker *self)
{
	bool empty;

	rt_lock_acquire(&scope->lock);
	empty = scope->count == 0;
	scope->waiter = empty ? NULL : self;
	rt_lock_release(&scope->lock);
	return empty;
}

/* As weft_scope_wait, but for the fibers' own errors. */
weft_err rt_scope_wait_empty(weft_scope *scope, weft_deadline until)
{
	weft_parker *self = rt_parker_self();
	weft_err err = WEFT_OK;

	if (!self)
		return err_set(WEFT_ENOMEM);
	while (!is_empty_or_wait(scope, self)) {
		if (err)
			break;
		err = rt_park(until, "scope");
	}
	rt_lock_acquire(&scope->lock);
	if (scope->count == 0)
		err = WEFT_OK;
	scope->waiter = NULL;
	rt_lock_release(&scope->lock);
	return err;
}

weft_err rt_scope_error(weft_scope *scope)
{
	if (scope->first)
		err_slot_copy(err_slot_self(), &scope->err);
	return scope->first;
}

weft_err weft_scope_wait(weft_scope *scope, weft_deadline until)
{
	weft_err err = rt_scope_wait_empty(scope, until);

	return err ? err : rt_scope_error(scope);
}

void weft_scope_cancel(weft_scope *scope)
{
	if (scope)
		weft_cancel_trigger(scope->token, WEFT_ECANCELED);
}

size_t weft_scope_count(const weft_scope *scope)
{
	/* the lock is no part of what const promises */
	struct rt_lock *lock = (struct rt_lock *)(uintptr_t)&scope->lock;
	size_t count;

	rt_lock_acquire(lock);
	count = scope->count;
	rt_lock_release(lock);
	return count;
}

weft_cancel *weft_scope_token(weft_scope *scope)
{
	return scope->token;
}

bool rt_scope_is_empty(weft_scope *scope)
{
	return weft_scope_count(scope) == 0;
}

/* No fiber is left. */
void rt_scope_destroy(weft_scope *scope)
{
	rt_token_remove(scope->token, &scope->on_cancel);
	weft_cancel_unref(scope->token);
	err_slot_fini(&scope->err);
	mem_free(scope);
}

/* Cancels and joins; the errors are there still. */
void rt_scope_end(weft_scope *scope)
{
	weft_scope_cancel(scope);
	weft_shield_begin();
	while (rt_scope_wait_empty(scope, WEFT_FOREVER) != WEFT_OK)
		(void)weft_yield();
	weft_shield_end();
}

void weft_scope_free(weft_scope *scope)
{
	if (!scope)
		return;
	rt_scope_end(scope);
	rt_scope_destroy(scope);
}
