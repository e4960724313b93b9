/* SPDX-License-Identifier: MIT */
/*
 * What is idle for too long is closed by a fiber that is there as long as anything is idle when it
 * looks. It sleeps until the oldest one's time has come, and for a part of idle_timeout at least, so
 * that many that expire one after another cost one look, and connections that are in use nearly all
 * the time none.
 *
 * Cancelled, it closes everything idle: the runtime is about to end, and sockets with it.
 */
#include "http/pool_internal.h"
#include "rt/rt.h"

#define LOOKS_PER_TIMEOUT 32

struct search {
	int64_t before;
	int64_t next; /* when the oldest of those that stay began to be idle */
	struct pool_conn *found;
};

static bool search_place(void *arg, weft_map_key key, uint64_t value)
{
	struct search *search = arg;

	(void)key;
	search->found = place_pop_old(weft_map_pointer(value), search->before, &search->next);
	return !search->found;
}

/* Closes what is idle since then or longer; when the oldest other began, INT64_MAX: none. */
static int64_t close_idle_since(struct pool *pool, int64_t before, struct counter *count)
{
	struct search search = { .before = before };

	do {
		search.next = INT64_MAX;
		search.found = NULL;
		if (weft_map_iterate(pool->places, search_place, &search) != WEFT_OK &&
			!search.found)
			return before; /* no memory: later */
		if (search.found) {
			if (count)
				counter_add(count, 1);
			pool_drop(pool, search.found);
		}
	} while (search.found);
	return search.next;
}

void pool_sweep(struct pool *pool)
{
	(void)close_idle_since(pool, INT64_MAX, NULL);
}

static weft_err reaper(void *arg)
{
	struct pool *pool = arg;
	int64_t timeout = pool->options.idle_timeout_ns, oldest = 0;

	while (oldest != INT64_MAX) {
		weft_deadline soon = weft_after_ns(timeout / LOOKS_PER_TIMEOUT + 1);

		if (weft_sleep_until(soon > oldest + timeout ? soon : oldest + timeout)) {
			pool_sweep(pool);
			(void)word_swap(&pool->reaps, 0);
			return WEFT_OK;
		}
		oldest = close_idle_since(pool, weft_now() - timeout, &pool->expired);
		if (oldest != INT64_MAX)
			continue;
		(void)word_swap(&pool->reaps, 0);
		/* one may have been pushed by who saw this fiber still there */
		oldest = close_idle_since(pool, 0, NULL);
		if (oldest != INT64_MAX && !word_change(&pool->reaps, 0, 1))
			return WEFT_OK; /* there is another one now */
	}
	return WEFT_OK;
}

void pool_reap_start(struct pool *pool)
{
	if (pool->options.idle_timeout_ns == INT64_MAX || !word_change(&pool->reaps, 0, 1))
		return;
	/* without memory: the next one that becomes idle tries again */
	if (pool_spawn(pool, "http reaper", reaper, pool) != WEFT_OK)
		(void)word_swap(&pool->reaps, 0);
}
