/* SPDX-License-Identifier: MIT */
/*
 * Cancel tokens: a tree. Each token's lock guards its nodes and its list of children.
 *
 *	state: 0 -> reason, once, by compare-and-swap; the winner alone runs the nodes.
 *
 * References: a child holds its parent. The parent's list does not hold its children:
 * a child that dies takes itself out, under the parent's lock. Whoever cancels takes
 * children from the list under that lock, by a reference that is only taken while the
 * count is not zero; a taken child can't die, so its link is the canceller's own.
 *
 * The walk over descendants is a loop over a list, not a recursion: stacks are small. So is
 * that over links (struct rt_token_link), the second parents of tokens that have two: they
 * are nodes without a function, of which the walk takes the target.
 *
 * What it costs: a check one load, compiled into the caller (the state is the token's head,
 * which cancel.h shows). A child: one allocation, two exchanges of its parent's lock at
 * either end of its life. A node: the same of its token's, no allocation.
 */
#include "base/check.h"
#include "base/mem.h"
#include "rt/fiber.h"

struct weft_cancel_watch {
	struct rt_token_node node;
	weft_cancel *token; /* held */
	void (*fn)(void *arg);
	void *arg;
};

static void token_free(weft_cancel *t)
{
	mem_free(t);
}

/* A reference, unless the last one is gone. */
static bool token_try_ref(weft_cancel *t)
{
	/* relaxed: only the count matters; the lock that the caller holds keeps t alive */
	uint32_t n = atomic_load_explicit(&t->refs, memory_order_relaxed);

	while (n > 0) {
		/* relaxed both: see above */
		if (atomic_compare_exchange_weak_explicit(
			    &t->refs, &n, n + 1, memory_order_relaxed, memory_order_relaxed))
			return true;
	}
	return false;
}

weft_cancel *weft_cancel_ref(weft_cancel *token)
{
	/* relaxed: the caller has a reference already */
	atomic_fetch_add_explicit(&token->refs, 1, memory_order_relaxed);
	return token;
}

static void bury(struct rt_worker *worker, struct rt_inject *inject)
{
	weft_cancel *t = container_of(inject, weft_cancel, inject);

	rt_timer_remove(worker, &t->timer);
	token_free(t);
}

/* The last reference is gone; returns the parent, whose reference is the caller's now. */
static weft_cancel *token_destroy(weft_cancel *t)
{
	struct rt_runtime *rt = t->worker ? rt_runtime_enter() : NULL;
	weft_cancel *parent = t->parent;

	if (parent) {
		rt_lock_acquire(&parent->lock);
		list_remove(&t->link);
		rt_lock_release(&parent->lock);
	}
	CHECK(list_is_empty(&t->nodes));
	/* with its runtime gone the timer has left the heap */
	if (!t->worker || !rt || rt->generation != t->generation) {
		token_free(t);
	} else if (t->worker == rt_tls) {
		rt_timer_remove(t->worker, &t->timer);
		token_free(t);
	} else {
		t->inject.run = bury;
		rt_inject(t->worker, &t->inject);
	}
	rt_runtime_leave(rt);
	return parent;
}

void weft_cancel_unref(weft_cancel *token)
{
	/* acq_rel: the last one sees what the others did */
	while (token && atomic_fetch_sub_explicit(&token->refs, 1, memory_order_acq_rel) == 1)
		token = token_destroy(token);
}

static weft_cancel *token_make(weft_cancel *parent)
{
	weft_cancel *t = mem_calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	/* relaxed: nobody else knows it yet */
	atomic_store_explicit(&t->refs, 1, memory_order_relaxed);
	list_init(&t->nodes);
	list_init(&t->children);
	list_init(&t->link);
	list_init(&t->linked);
	t->at = WEFT_FOREVER;
	heap_node_init(&t->timer.node);
	if (!parent)
		return t;
	t->parent = weft_cancel_ref(parent);
	rt_lock_acquire(&parent->lock);
	/* relaxed: a canceller sets it before it takes the lock and the children: either
	 * it is seen here, or it finds t in the list */
	int32_t state = atomic_load_explicit(&parent->state, memory_order_relaxed);

	if (state)
		/* relaxed: nobody else knows t yet */
		atomic_store_explicit(&t->state, state, memory_order_relaxed);
	else
		list_push_back(&parent->children, &t->link);
	rt_lock_release(&parent->lock);
	return t;
}

weft_err weft_cancel_create(weft_cancel **out, weft_cancel *parent)
{
	weft_cancel *t = token_make(parent);

	if (!t)
		return err_set(WEFT_ENOMEM);
	*out = t;
	return WEFT_OK;
}

static void deadline_fire(struct rt_worker *worker, struct rt_timer *timer)
{
	weft_cancel *t = container_of(timer, weft_cancel, timer);

	(void)worker;
	/* its memory is kept until bury has run on this worker */
	if (!token_try_ref(t))
		return;
	weft_cancel_trigger(t, WEFT_ETIMEDOUT);
	weft_cancel_unref(t);
}

/* Arms the timer on a worker when the caller is a plain thread. */
struct arm_request {
	struct rt_inject inject;
	weft_cancel *token;
	weft_parker *parker;
	int64_t at;
	weft_err err;
	_Atomic uint32_t done;
};

static void arm_there(struct rt_worker *worker, struct rt_inject *inject)
{
	struct arm_request *r = container_of(inject, struct arm_request, inject);
	weft_parker *parker = r->parker;

	/* acquire; pairs with the release in rt_fiber_gone. A runtime that ends empties its
	 * heaps, and nothing may come after. */
	if (atomic_load_explicit(&worker->runtime->stopping, memory_order_acquire))
		r->err = WEFT_EINVAL;
	else
		r->err = rt_timer_arm(worker, &r->token->timer, r->at);
	/* release; pairs with the acquire in arm: r is gone after this */
	atomic_store_explicit(&r->done, 1, memory_order_release);
	weft_unpark(parker);
}

static weft_err arm(weft_cancel *t, int64_t at)
{
	struct rt_runtime *rt = rt_runtime_enter();
	struct arm_request r = { .token = t, .at = at, .parker = rt_parker_self() };

	if (!rt)
		return err_setf(WEFT_EINVAL, "token with a deadline: no runtime is running");
	t->timer.fire = deadline_fire;
	t->timer.deadline = INT64_MAX;
	t->generation = rt->generation;
	if (rt_tls) {
		t->worker = rt_tls;
		return rt_timer_arm(t->worker, &t->timer, at);
	}
	if (!r.parker) {
		rt_runtime_leave(rt);
		return err_set(WEFT_ENOMEM);
	}
	t->worker = &rt->workers[0];
	r.inject.run = arm_there;
	rt_inject(t->worker, &r.inject);
	/* what was pushed is run, by the runtime's end at the latest */
	rt_runtime_leave(rt);
	/* acquire; pairs with arm_there */
	while (!atomic_load_explicit(&r.done, memory_order_acquire))
		(void)rt_park(WEFT_FOREVER, "token deadline");
	if (r.err == WEFT_EINVAL)
		return err_setf(r.err, "token with a deadline: the runtime ends");
	return r.err ? err_set(r.err) : WEFT_OK;
}

weft_err weft_cancel_create_deadline(weft_cancel **out, weft_cancel *parent, weft_deadline at)
{
	weft_cancel *t;
	weft_err err;

	if (!rt_runtime_self())
		return err_setf(WEFT_EINVAL, "token with a deadline: no runtime is running");
	t = token_make(parent);
	if (!t)
		return err_set(WEFT_ENOMEM);
	t->at = at;
	err = at == WEFT_FOREVER ? WEFT_OK : arm(t, at);
	if (err) {
		weft_cancel_unref(t);
		return err;
	}
	*out = t;
	return WEFT_OK;
}

/* Tokens still to be cancelled, each held. */
struct work {
	struct list children; /* by link */
	struct list linked;   /* by linked */
};

/* Runs the nodes of a token that this caller has cancelled. */
static void run_nodes(weft_cancel *t, struct work *work)
{
	struct list *link;

	rt_lock_acquire(&t->lock);
	t->runner = rt_self_id();
	while ((link = list_pop_front(&t->nodes))) {
		struct rt_token_node *node = container_of(link, struct rt_token_node, link);

		if (!node->fn) {
			weft_cancel *target =
				container_of(node, struct rt_token_link, node)->target;

			/* who made the link holds it, and can't remove it before the lock is
			 * free */
			list_push_back(&work->linked, &weft_cancel_ref(target)->linked);
			continue;
		}
		t->running = node;
		rt_lock_release(&t->lock);
		node->fn(node);
		rt_lock_acquire(&t->lock);
		t->running = NULL;
	}
	t->runner = 0;
	rt_lock_release(&t->lock);
}

static void take_children(weft_cancel *t, struct work *work)
{
	struct list *link;

	rt_lock_acquire(&t->lock);
	while ((link = list_pop_front(&t->children))) {
		weft_cancel *child = container_of(link, weft_cancel, link);

		/* a dying one finds itself in no list */
		if (token_try_ref(child))
			list_push_back(&work->children, &child->link);
	}
	rt_lock_release(&t->lock);
}

static void cancel_one(weft_cancel *t, weft_err reason, struct work *work)
{
	int32_t expected = 0;

	/* acq_rel; pairs with the acquire of who sees the reason: what the canceller did
	 * before; relaxed on failure: somebody else runs the nodes */
	if (!atomic_compare_exchange_strong_explicit(&t->state, &expected, (int32_t)reason,
		    memory_order_acq_rel, memory_order_relaxed))
		return;
	run_nodes(t, work);
	take_children(t, work);
}

/* The next one, whose reference is the caller's now; NULL: none is left. */
static weft_cancel *work_next(struct work *work)
{
	struct list *link = list_pop_front(&work->children);

	if (link)
		return container_of(link, weft_cancel, link);
	link = list_pop_front(&work->linked);
	return link ? container_of(link, weft_cancel, linked) : NULL;
}

void weft_cancel_trigger(weft_cancel *token, weft_err reason)
{
	struct work work;

	if (!token)
		return;
	if (reason == WEFT_OK)
		reason = WEFT_ECANCELED;
	list_init(&work.children);
	list_init(&work.linked);
	weft_cancel_ref(token);
	do {
		cancel_one(token, reason, &work);
		weft_cancel_unref(token);
	} while ((token = work_next(&work)));
}

/* The symbols of what cancel.h has inline. */
extern bool weft_cancel_is_cancelled(const weft_cancel *token);
extern weft_err weft_cancel_reason(const weft_cancel *token);

weft_deadline weft_cancel_deadline(const weft_cancel *token)
{
	weft_deadline at = WEFT_FOREVER;

	for (; token; token = token->parent) {
		if (token->at < at)
			at = token->at;
	}
	return at;
}

bool rt_token_add(weft_cancel *token, struct rt_token_node *node)
{
	bool added = false;

	list_init(&node->link);
	rt_lock_acquire(&token->lock);
	/* relaxed: the winner sets it before it takes the lock: either it is seen here, or
	 * the winner finds the node */
	if (atomic_load_explicit(&token->state, memory_order_relaxed) == 0) {
		list_push_back(&token->nodes, &node->link);
		added = true;
	}
	rt_lock_release(&token->lock);
	return added;
}

bool rt_token_link_add(weft_cancel *token, struct rt_token_link *link, weft_cancel *target)
{
	link->node.fn = NULL;
	link->target = target;
	return rt_token_add(token, &link->node);
}

bool rt_token_remove(weft_cancel *token, struct rt_token_node *node)
{
	uintptr_t self = rt_self_id();
	unsigned spins = 0;

	rt_lock_acquire(&token->lock);
	if (!list_is_empty(&node->link)) {
		list_remove(&node->link);
		rt_lock_release(&token->lock);
		return true;
	}
	while (token->running == node && token->runner != self) {
		rt_lock_release(&token->lock);
		rt_relax(&spins, false);
		rt_lock_acquire(&token->lock);
	}
	rt_lock_release(&token->lock);
	return false;
}

static void watch_run(struct rt_token_node *node)
{
	weft_cancel_watch *watch = container_of(node, weft_cancel_watch, node);

	watch->fn(watch->arg);
}

weft_err weft_cancel_watch_create(
	weft_cancel_watch **out, weft_cancel *token, void (*fn)(void *arg), void *arg)
{
	weft_cancel_watch *watch;

	if (!token || !fn)
		return err_setf(WEFT_EINVAL, "watch token: no %s", token ? "function" : "token");
	watch = mem_calloc(1, sizeof(*watch));
	if (!watch)
		return err_set(WEFT_ENOMEM);
	watch->node.fn = watch_run;
	watch->token = weft_cancel_ref(token);
	watch->fn = fn;
	watch->arg = arg;
	*out = watch;
	if (!rt_token_add(token, &watch->node))
		fn(arg);
	return WEFT_OK;
}

bool weft_cancel_watch_free(weft_cancel_watch *watch)
{
	bool ran;

	if (!watch)
		return false;
	ran = !rt_token_remove(watch->token, &watch->node);
	weft_cancel_unref(watch->token);
	mem_free(watch);
	return ran;
}

struct wait_node {
	struct rt_token_node node;
	weft_parker *parker;
};

static void wait_fire(struct rt_token_node *node)
{
	weft_unpark(container_of(node, struct wait_node, node)->parker);
}

weft_err weft_cancel_wait(weft_cancel *token, weft_deadline until)
{
	struct wait_node wait = { .node.fn = wait_fire, .parker = rt_parker_self() };
	weft_err err = WEFT_OK;

	if (!token)
		return err_setf(WEFT_EINVAL, "wait for token: no token");
	if (!wait.parker)
		return err_set(WEFT_ENOMEM);
	if (!rt_token_add(token, &wait.node))
		return WEFT_OK;
	while (!err && !weft_cancel_is_cancelled(token))
		err = rt_park(until, "token");
	rt_token_remove(token, &wait.node);
	if (weft_cancel_is_cancelled(token))
		return WEFT_OK;
	return err;
}

weft_cancel_guard weft_cancel_guard_init(weft_cancel *token)
{
	weft_cancel_guard guard = { token ? weft_cancel_ref(token) : NULL };

	return guard;
}

void weft_cancel_guard_disarm(weft_cancel_guard *guard)
{
	weft_cancel_unref(guard->token);
	guard->token = NULL;
}

void weft_cancel_guard_fini(weft_cancel_guard *guard)
{
	weft_cancel_trigger(guard->token, WEFT_ECANCELED);
	weft_cancel_guard_disarm(guard);
}
