/* SPDX-License-Identifier: MIT */
/* See mux_pool.h. */
#include "bridge/mux_pool.h"

#include "base/err.h"
#include "base/mem.h"

#include <weft/runtime.h>

#include <limits.h>
#include <stdio.h>

weft_err mux_pool_init(struct mux_pool *pool, const char *name)
{
	list_init(&pool->links);
	pool->name = name;
	return weft_cancel_create(&pool->changed, NULL);
}

void mux_pool_fini(struct mux_pool *pool)
{
	weft_cancel_unref(pool->changed);
	mem_free(pool->detail);
}

void mux_link_unref(struct mux_link *link)
{
	if (!refcount_drop(&link->refs))
		return;
	weft_mux_free(link->mux);
	mem_free(link);
}

/* The token that those who wait hold is given to the caller, to be triggered once the lock
 * is free; fresh takes its place. */
static weft_cancel *change(struct mux_pool *pool, weft_cancel *fresh)
{
	weft_cancel *old = pool->changed;

	pool->changed = fresh;
	return old;
}

static void announce(weft_cancel *old)
{
	weft_cancel_trigger(old, WEFT_OK);
	weft_cancel_unref(old);
}

weft_err mux_pool_add_own(struct mux_pool *pool, weft_mux *mux, struct mux_link **out)
{
	struct mux_link *link = mem_calloc(1, sizeof(*link));
	weft_cancel *fresh = NULL, *old;

	if (!link || weft_cancel_create(&fresh, NULL)) {
		mem_free(link);
		weft_mux_free(mux);
		return err_set(WEFT_ENOMEM);
	}
	link->mux = mux;
	link->worker = weft_worker_self();
	refcount_init(&link->refs, 1);
	rt_lock_acquire(&pool->lock);
	list_push_front(&pool->links, &link->node);
	old = change(pool, fresh);
	rt_lock_release(&pool->lock);
	announce(old);
	*out = link;
	return WEFT_OK;
}

void mux_pool_remove(struct mux_pool *pool, struct mux_link *link)
{
	rt_lock_acquire(&pool->lock);
	list_remove(&link->node);
	rt_lock_release(&pool->lock);
}

void mux_pool_failed(struct mux_pool *pool, weft_err err, bool is_final)
{
	char *detail = mem_strdup(weft_error_detail()), *former;
	weft_cancel *fresh = NULL, *old = NULL;

	/* without memory for a new token the old one stays triggered, which is final too */
	if (is_final && weft_cancel_create(&fresh, NULL))
		fresh = NULL;
	rt_lock_acquire(&pool->lock);
	former = pool->detail;
	pool->detail = detail;
	if (is_final) {
		pool->err = err;
		old = fresh ? change(pool, fresh) : weft_cancel_ref(pool->changed);
	}
	rt_lock_release(&pool->lock);
	mem_free(former);
	if (old)
		announce(old);
}

/* With a lock held. The link with the fewest streams; among equals, the one that was
 * taken longest ago. */
static struct mux_link *pick(struct mux_pool *pool)
{
	struct mux_link *best = NULL;
	size_t fewest = 0;

	list_for_each(node, &pool->links) {
		struct mux_link *link = container_of(node, struct mux_link, node);
		weft_mux_stats stats;

		if (node->next == &pool->links && !best) {
			best = link; /* the only one */
			break;
		}
		weft_mux_stats_get(link->mux, &stats);
		if (!best || stats.streams < fewest) {
			best = link;
			fewest = stats.streams;
		}
	}
	if (!best)
		return NULL;
	list_remove(&best->node);
	list_push_back(&pool->links, &best->node);
	refcount_hold(&best->refs);
	return best;
}

/* A referenced link. NULL: none now, *changed (referenced) tells when to look again; or
 * never, which is the error returned. */
static weft_err take(struct mux_pool *pool, struct mux_link **link, weft_cancel **changed)
{
	weft_err err = WEFT_OK;

	rt_lock_acquire(&pool->lock);
	*link = pick(pool);
	if (!*link)
		err = pool->err;
	if (!*link && !err)
		*changed = weft_cancel_ref(pool->changed);
	rt_lock_release(&pool->lock);
	if (!err)
		return WEFT_OK;
	/* final: nobody changes the detail any more */
	return pool->detail ? err_setf(err, "%s", pool->detail) : err_set(err);
}

unsigned mux_pool_worker(struct mux_pool *pool)
{
	unsigned worker = UINT_MAX;

	rt_lock_acquire(&pool->lock);
	if (!list_is_empty(&pool->links))
		worker = container_of(pool->links.next, struct mux_link, node)->worker;
	rt_lock_release(&pool->lock);
	return worker;
}

static weft_err waited_in_vain(struct mux_pool *pool, weft_err err)
{
	char detail[ERR_TEXT_MAX / 2];

	if (err != WEFT_ETIMEDOUT)
		return err;
	rt_lock_acquire(&pool->lock);
	(void)snprintf(detail, sizeof(detail), "%s", pool->detail ? pool->detail : "");
	rt_lock_release(&pool->lock);
	return err_setf(err, "no mux session with %s in time%s%s", pool->name,
		detail[0] ? ": " : "", detail);
}

/* Ids that have run out are never given back: the session is ended, so that another takes
 * its place. That happens once in a billion streams; those under way are reset. */
static bool is_worn_out(weft_mux *mux, weft_err err)
{
	if (err != WEFT_ECAPACITY || weft_mux_is_alive(mux))
		return false;
	weft_mux_abort(mux);
	return true;
}

weft_err mux_pool_open(struct mux_pool *pool, weft_conn **out, weft_deadline until)
{
	for (;;) {
		struct mux_link *link;
		weft_cancel *changed = NULL;
		weft_stream *stream;
		weft_err err = take(pool, &link, &changed);

		if (err)
			return err;
		if (!link) {
			err = weft_cancel_wait(changed, until);
			weft_cancel_unref(changed);
			if (err)
				return waited_in_vain(pool, err);
			continue;
		}
		err = weft_mux_open(link->mux, &stream, until);
		if (err == WEFT_ECLOSED || err == WEFT_ERESET || err == WEFT_EPROTO ||
			is_worn_out(link->mux, err)) {
			/* dead, and its owner is about to find out */
			mux_pool_remove(pool, link);
			mux_link_unref(link);
			continue;
		}
		mux_link_unref(link);
		return err ? err : weft_stream_conn_own(out, stream);
	}
}
