/* SPDX-License-Identifier: MIT */
/*
 * See tls_cache.h. Shards by the key's hash, each a table of hosts with chains, and a list of
 * them in the order of their last use, under a short lock. What is freed is freed outside it.
 *
 * Why not a weft_map: a ticket is taken out, the order of use changes and the bound holds in one
 * step, which there would be three. What the locks cost: an operation takes 0.07 to 0.1 us (50
 * hosts, one thread; no more with four threads on two cores), a handshake that it serves at least
 * 250 us at either end.
 */
#include "net/tls_cache.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "rt/lock.h"

#include <weft/tls.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SHARDS_MAX ((size_t)16)
#define SHARD_MIN ((size_t)64) /* sessions, below which there are fewer shards */
#define LIFETIME_MAX_S 604800  /* seven days (RFC 8446, section 4.6.1) */

struct item {
	SSL_SESSION *session; /* held */
	int64_t expires_s;
	bool is_once; /* a ticket of TLS 1.3 */
};

struct host {
	struct host *next; /* in its bucket */
	struct list used;  /* in the shard's list */
	uint64_t hash;
	unsigned len;
	struct item items[WEFT_TLS_SESSIONS_HOST]; /* the newest last */
	char key[];
};

struct shard {
	struct rt_lock lock; /* over all below */
	struct list used;    /* hosts, the one used last in front */
	size_t len;	     /* sessions */
	struct host **buckets;
	char apart[CACHE_LINE];
};

struct tls_cache {
	struct hash_seed seed;
	size_t shard_count;  /* a power of two */
	size_t shard_max;    /* sessions in one */
	size_t bucket_count; /* of a shard; a power of two */
	struct shard shards[SHARDS_MAX];
};

/* What is to be freed once the lock is released. */
struct garbage {
	SSL_SESSION *sessions[WEFT_TLS_SESSIONS_HOST + 1];
	unsigned len;
	struct host *hosts; /* by next */
};

static void garbage_free(struct garbage *g)
{
	for (unsigned i = 0; i < g->len; i++)
		SSL_SESSION_free(g->sessions[i]);
	while (g->hosts) {
		struct host *host = g->hosts;

		g->hosts = host->next;
		mem_free(host);
	}
}

int64_t tls_cache_now(void)
{
	return (int64_t)time(NULL);
}

weft_err tls_cache_create(struct tls_cache **out, size_t sessions_max)
{
	struct tls_cache *cache = mem_calloc(1, sizeof(*cache));
	size_t shards = 1, buckets = 1;
	struct host **all;

	while (shards < SHARDS_MAX && sessions_max / (shards * 2) >= SHARD_MIN)
		shards *= 2;
	while (buckets < sessions_max / shards)
		buckets *= 2;
	all = cache ? mem_calloc(shards * buckets, sizeof(struct host *)) : NULL;
	if (!all) {
		mem_free(cache);
		return err_set(WEFT_ENOMEM);
	}
	hash_seed_process(&cache->seed);
	cache->shard_count = shards;
	cache->shard_max = sessions_max / shards;
	cache->bucket_count = buckets;
	for (size_t i = 0; i < shards; i++) {
		cache->shards[i].buckets = all + i * buckets;
		list_init(&cache->shards[i].used);
	}
	*out = cache;
	return WEFT_OK;
}

void tls_cache_free(struct tls_cache *cache)
{
	if (!cache)
		return;
	tls_cache_drop(cache, NULL);
	mem_free(cache->shards[0].buckets);
	mem_free(cache);
}

static struct shard *shard_of(struct tls_cache *cache, uint64_t hash)
{
	return &cache->shards[(hash >> 48) & (cache->shard_count - 1)];
}

/* Where the host is, or would be linked. */
static struct host **find(
	struct tls_cache *cache, struct shard *shard, uint64_t hash, const char *key)
{
	struct host **at = &shard->buckets[hash & (cache->bucket_count - 1)];

	while (*at && ((*at)->hash != hash || strcmp((*at)->key, key) != 0))
		at = &(*at)->next;
	return at;
}

/* Lock held, also below. */
static void unlink_host(struct host **at, struct garbage *g)
{
	struct host *host = *at;

	if (!host)
		return;
	*at = host->next;
	list_remove(&host->used);
	host->next = g->hosts;
	g->hosts = host;
}

static void remove_item(struct shard *shard, struct host *host, unsigned i, struct garbage *g)
{
	if (g)
		g->sessions[g->len++] = host->items[i].session;
	host->len--;
	memmove(&host->items[i], &host->items[i + 1], (host->len - i) * sizeof(*host->items));
	shard->len--;
}

/* One session less: the oldest of whom nobody has asked for longest. */
static void evict(struct tls_cache *cache, struct shard *shard, struct garbage *g)
{
	struct host *host = container_of(shard->used.prev, struct host, used);

	remove_item(shard, host, 0, g);
	if (host->len == 0)
		unlink_host(find(cache, shard, host->hash, host->key), g);
}

static struct host *host_make(uint64_t hash, const char *key)
{
	size_t size = strlen(key) + 1;
	struct host *host = mem_alloc(sizeof(*host) + size);

	if (!host)
		return NULL;
	host->next = NULL;
	host->hash = hash;
	host->len = 0;
	list_init(&host->used);
	memcpy(host->key, key, size);
	return host;
}

/* False: it can't be resumed. */
static bool item_make(struct item *item, SSL_SESSION *session, int64_t now_s)
{
	bool is_13 = SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION;
	int64_t lifetime = SSL_SESSION_get_timeout(session);
	unsigned long hint = SSL_SESSION_get_ticket_lifetime_hint(session);

	if (!SSL_SESSION_is_resumable(session) || (is_13 && hint == 0))
		return false;
	if (hint && lifetime > (int64_t)hint)
		lifetime = (int64_t)hint;
	if (lifetime > LIFETIME_MAX_S)
		lifetime = LIFETIME_MAX_S;
	*item = (struct item){ session, now_s + lifetime, is_13 };
	return true;
}

void tls_cache_put_own(
	struct tls_cache *cache, const char *key, SSL_SESSION *session, int64_t now_s)
{
	struct garbage g = { .len = 0 };
	struct host **at, *made, *host;
	struct shard *shard;
	struct item item;
	uint64_t hash;

	if (!cache || !key || !item_make(&item, session, now_s)) {
		SSL_SESSION_free(session);
		return;
	}
	hash = hash_bytes(&cache->seed, key, strlen(key));
	shard = shard_of(cache, hash);
	made = host_make(hash, key);
	rt_lock_acquire(&shard->lock);
	at = find(cache, shard, hash, key);
	if (!*at) {
		*at = made;
		made = NULL;
	}
	host = *at;
	if (host) {
		list_remove(&host->used);
		list_push_front(&shard->used, &host->used);
		if (host->len == WEFT_TLS_SESSIONS_HOST)
			remove_item(shard, host, 0, &g);
		host->items[host->len++] = item;
		if (++shard->len > cache->shard_max)
			evict(cache, shard, &g);
	} else {
		g.sessions[g.len++] = session;
	}
	rt_lock_release(&shard->lock);
	mem_free(made);
	garbage_free(&g);
}

SSL_SESSION *tls_cache_take(struct tls_cache *cache, const char *key, int64_t now_s)
{
	struct garbage g = { .len = 0 };
	SSL_SESSION *found = NULL;
	struct host **at, *host;
	struct shard *shard;
	uint64_t hash;

	if (!cache || !key)
		return NULL;
	hash = hash_bytes(&cache->seed, key, strlen(key));
	shard = shard_of(cache, hash);
	rt_lock_acquire(&shard->lock);
	at = find(cache, shard, hash, key);
	host = *at;
	while (host && host->len && !found) {
		struct item *item = &host->items[host->len - 1];

		/* a fault of a conn that used it may have spoiled it since */
		if (item->expires_s <= now_s || !SSL_SESSION_is_resumable(item->session)) {
			remove_item(shard, host, host->len - 1, &g);
			continue;
		}
		found = item->session;
		if (item->is_once)
			remove_item(shard, host, host->len - 1, NULL);
		else
			SSL_SESSION_up_ref(found);
	}
	if (host && host->len == 0) {
		unlink_host(at, &g);
	} else if (host) {
		list_remove(&host->used);
		list_push_front(&shard->used, &host->used);
	}
	rt_lock_release(&shard->lock);
	garbage_free(&g);
	return found;
}

/* One host of the shard, or that at the key; false: there is none. */
static bool drop_one(struct tls_cache *cache, struct shard *shard, uint64_t hash, const char *key)
{
	struct garbage g = { .len = 0 };
	struct host **at = NULL;

	rt_lock_acquire(&shard->lock);
	if (key) {
		at = find(cache, shard, hash, key);
	} else if (!list_is_empty(&shard->used)) {
		struct host *host = container_of(shard->used.next, struct host, used);

		at = find(cache, shard, host->hash, host->key);
	}
	if (at && *at) {
		while ((*at)->len)
			remove_item(shard, *at, 0, &g);
		unlink_host(at, &g);
	}
	rt_lock_release(&shard->lock);
	garbage_free(&g);
	return g.len > 0;
}

void tls_cache_drop(struct tls_cache *cache, const char *key)
{
	if (!cache)
		return;
	if (key) {
		uint64_t hash = hash_bytes(&cache->seed, key, strlen(key));

		(void)drop_one(cache, shard_of(cache, hash), hash, key);
		return;
	}
	for (size_t i = 0; i < cache->shard_count; i++) {
		while (drop_one(cache, &cache->shards[i], 0, NULL))
			;
	}
}

size_t tls_cache_len(const struct tls_cache *cache)
{
	union {
		const struct tls_cache *in;
		struct tls_cache *out;
	} self = { cache };
	size_t len = 0;

	for (size_t i = 0; cache && i < cache->shard_count; i++) {
		struct shard *shard = &self.out->shards[i];

		rt_lock_acquire(&shard->lock);
		len += shard->len;
		rt_lock_release(&shard->lock);
	}
	return len;
}
