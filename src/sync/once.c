/* SPDX-License-Identifier: MIT */
/*
 * A value made once.
 *
 *	state		value	owner
 *	empty		NULL	0	-> busy: somebody runs its init
 *	busy		NULL	self	-> full: it succeeded; -> empty: it failed
 *	full		set	0
 *
 * owner changes under the lock of inits only. Leaving busy for empty claims the first of
 * inits, who then runs its own init; a claimed one that was cancelled claims the next.
 * So while inits are queued, one is claimed or the state is busy.
 */
#include "sync/once.h"
#include "base/err.h"
#include "base/mem.h"

void once_init(weft_once *once, void (*destroy)(void *value))
{
	atomic_init(&once->value, NULL);
	once->owner = 0;
	wait_queue_init(&once->inits);
	wait_queue_init(&once->waits);
	once->destroy = destroy;
}

weft_err weft_once_create(weft_once **out, void (*destroy)(void *value))
{
	weft_once *once = mem_alloc(sizeof(*once));

	if (!once)
		return err_set(WEFT_ENOMEM);
	once_init(once, destroy);
	*out = once;
	return WEFT_OK;
}

/* The symbols of what once.h has inline. */
extern void *weft_once_get(const weft_once *once);
extern weft_err weft_once_get_or_init(weft_once *once, void **value,
	weft_err (*init)(void *arg, void **value), void *arg, weft_deadline until);

static void value_publish_locked(weft_once *once, void *value)
{
	/* release; pairs with the acquire in weft_once_get: what the value points to */
	atomic_store_explicit(&once->value, value, memory_order_release);
}

/* Both take the locks in any case, so that wait_any's rule need not hold. */
static void wake_everybody(weft_once *once)
{
	wait_wake_all(&once->inits, &once->inits.lock, WEFT_OK);
	wait_wake_all(&once->waits, &once->waits.lock, WEFT_OK);
}

/* With the lock held: the next to run its init, if it is anybody's turn. */
static weft_parker *turn_locked(weft_once *once)
{
	if (once->owner != 0 || weft_once_get(once))
		return NULL;
	return wait_claim_one_locked(&once->inits);
}

static void turn_pass_on(weft_once *once)
{
	weft_parker *next;

	rt_lock_acquire(&once->inits.lock);
	next = turn_locked(once);
	rt_lock_release(&once->inits.lock);
	if (next)
		weft_unpark(next);
}

/* The caller is the owner. */
static weft_err init_run(
	weft_once *once, void **value, weft_err (*init)(void *arg, void **value), void *arg)
{
	weft_parker *next;
	void *made = NULL;
	weft_err err = init(arg, &made);

	if (err == WEFT_OK && !made)
		err = err_setf(WEFT_EINVAL, "initialise once: init made a NULL value");
	rt_lock_acquire(&once->inits.lock);
	once->owner = 0;
	if (err == WEFT_OK)
		value_publish_locked(once, made);
	next = turn_locked(once);
	rt_lock_release(&once->inits.lock);
	if (next)
		weft_unpark(next);
	if (err != WEFT_OK)
		return err;
	wake_everybody(once);
	*value = made;
	return WEFT_OK;
}

/* Takes the turn (WEFT_OK, owner is self or there is a value), or queues the node
 * (WEFT_EAGAIN), or fails. */
static weft_err turn_take(weft_once *once, struct wait_node *node, bool front, weft_deadline until)
{
	uintptr_t self = (uintptr_t)node->ctx->parker;
	weft_err err = WEFT_OK;

	rt_lock_acquire(&once->inits.lock);
	if (weft_once_get(once))
		goto out;
	if (once->owner == 0) {
		once->owner = self;
		goto out;
	}
	err = once->owner == self   ? WEFT_EDEADLOCK
		: until <= WEFT_NOW ? WEFT_ETIMEDOUT
				    : WEFT_EAGAIN;
	if (err == WEFT_EAGAIN) {
		/* relaxed: published by the lock */
		atomic_store_explicit(&node->ctx->state, WAIT_OPEN, memory_order_relaxed);
		wait_push_locked(&once->inits, node, front);
	}
out:
	rt_lock_release(&once->inits.lock);
	return err == WEFT_OK || err == WEFT_EAGAIN ? err : err_set(err);
}

weft_err weft_once_make(weft_once *once, void **value, weft_err (*init)(void *arg, void **value),
	void *arg, weft_deadline until)
{
	void *there = weft_once_get(once);
	struct wait_node node;
	struct wait_ctx ctx;
	bool front = false;
	uint32_t state;
	weft_err err;

	if (weft_likely(there != NULL)) {
		*value = there;
		return WEFT_OK;
	}
	if (wait_ctx_init(&ctx) != WEFT_OK)
		return WEFT_ENOMEM;
	wait_node_init(&node, &ctx, WAIT_FIRST);
	while ((err = turn_take(once, &node, front, until)) == WEFT_EAGAIN) {
		err = wait_park(&ctx, until, "once");
		if (err != WEFT_OK && wait_claim_self(&ctx, &state)) {
			wait_remove(&once->inits, &node);
			return err;
		}
		if (err != WEFT_OK && !weft_once_get(once)) {
			turn_pass_on(once);
			return err;
		}
		front = true;
	}
	if (err != WEFT_OK)
		return err;
	there = weft_once_get(once);
	if (!there)
		return init_run(once, value, init, arg);
	*value = there;
	return WEFT_OK;
}

weft_err weft_once_set(weft_once *once, void *value)
{
	bool taken;

	if (!value)
		return err_setf(WEFT_EINVAL, "set once: value is NULL");
	rt_lock_acquire(&once->inits.lock);
	taken = once->owner != 0 || weft_once_get(once);
	if (!taken)
		value_publish_locked(once, value);
	rt_lock_release(&once->inits.lock);
	if (taken)
		return err_set(WEFT_EDUPLICATE);
	wake_everybody(once);
	return WEFT_OK;
}

static bool has_value(const void *object)
{
	return weft_once_get(object);
}

weft_err weft_once_wait(weft_once *once, void **value, weft_deadline until)
{
	weft_err err = wait_until(&once->waits, has_value, once, until, "once");

	if (err == WEFT_OK)
		*value = weft_once_get(once);
	return err;
}

void weft_once_free(weft_once *once)
{
	void *value;

	if (!once)
		return;
	value = weft_once_get(once);
	if (value && once->destroy)
		once->destroy(value);
	mem_free(once);
}
