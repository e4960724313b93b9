/* SPDX-License-Identifier: MIT */
/* See mux_pool.h. */
#include "bridge/mux_pool.h"

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

#include <weft/runtime.h>

#include <limits.h>
#include <stdio.h>

weft_err mux_pool_init(struct mux_pool *pool, const char *name)
{
	list_init(&pool->links);
	pool->name = name;
	return weft_watch_create(&pool->changed, sizeof(pool->err), &pool->err, NULL);
}

void mux_pool_fini(struct mux_pool *pool)
{
	weft_watch_unref(pool->changed);
	mem_free(pool->detail);
}

void mux_link_unref(struct mux_link *link)
{
	if (!refcount_drop(&link->refs))
		return;
	weft_mux_free(link->mux);
	mem_free(link);
}

/* To those who wait, once the lock is free. */
static void announce(struct mux_pool *pool, weft_err state)
{
	/* it fails only when it was closed, which nobody does */
	CHECK(weft_watch_send(pool->changed, &state) == WEFT_OK);
}

weft_err mux_pool_add_own(struct mux_pool *pool, weft_mux *mux, struct mux_link **out)
{
	struct mux_link *link = mem_calloc(1, sizeof(*link));
	weft_err state;

	if (!link) {
		weft_mux_free(mux);
		return err_set(WEFT_ENOMEM);
	}
	link->mux = mux;
	link->worker = weft_worker_self();
	refcount_init(&link->refs, 1);
	rt_lock_acquire(&pool->lock);
	list_push_front(&pool->links, &link->node);
	state = pool->err;
	rt_lock_release(&pool->lock);
	announce(pool, state);
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

	rt_lock_acquire(&pool->lock);
	former = pool->detail;
	pool->detail = detail;
	if (is_final)
		pool->err = err;
	rt_lock_release(&pool->lock);
	mem_free(former);
	if (is_final)
		announce(pool, err);
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

/* A referenced link; NULL: none now. An error: there will never be one. */
static weft_err take(struct mux_pool *pool, struct mux_link **link)
{
	weft_err err = WEFT_OK;

	rt_lock_acquire(&pool->lock);
	*link = pick(pool);
	if (!*link)
		err = pool->err;
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

/* The same, and waits for one. Who waits is told of all that comes after its first look. */
static weft_err take_soon(struct mux_pool *pool, struct mux_link **link, weft_deadline until)
{
	weft_watch_sub *changes = NULL;
	weft_err err = take(pool, link);

	if (err || *link)
		return err;
	err = weft_watch_sub_create(&changes, pool->changed);
	while (!err) {
		err = take(pool, link);
		if (err || *link)
			break;
		err = weft_watch_sub_changed(changes, until);
		if (err)
			err = waited_in_vain(pool, err);
	}
	weft_watch_sub_free(changes);
	return err;
}

weft_err mux_pool_open(struct mux_pool *pool, weft_conn **out, weft_deadline until)
{
	for (;;) {
		struct mux_link *link;
		weft_stream *stream;
		weft_err err = take_soon(pool, &link, until);

		if (err)
			return err;
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
