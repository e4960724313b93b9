/* SPDX-License-Identifier: MIT */
#ifndef NET_TLS_CACHE_H
#define NET_TLS_CACHE_H

/*
 * Sessions that a client may resume, by what tells servers apart (a text).
 *
 * Of one key the newest comes first, WEFT_TLS_SESSIONS_HOST are kept. A ticket of TLS 1.3 is
 * handed out once (RFC 8446, appendix C.4), a session of TLS 1.2 again and again. What has
 * expired is never handed out. When there are too many in all, those of the key that was
 * used longest ago go, of its shard.
 * Threads: any, at once. Nothing blocks.
 */
#include <weft/base.h>

#include <openssl/ssl.h>

struct tls_cache;

/* Errors: WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err tls_cache_create(struct tls_cache **out, size_t sessions_max);
/* NULL is allowed. */
void tls_cache_free(struct tls_cache *cache);
/* Takes the session; now_s: seconds since 1970. Without memory, or if it can't be resumed, it
 * is dropped. cache and key may be NULL: dropped. */
void tls_cache_put_own(
	struct tls_cache *cache, const char *key, SSL_SESSION *session, int64_t now_s);
/* A reference of the caller's own; NULL: there is none. */
SSL_SESSION *tls_cache_take(struct tls_cache *cache, const char *key, int64_t now_s);
/* All of that key; NULL: all there are. */
void tls_cache_drop(struct tls_cache *cache, const char *key);
/* How many there are, those that have expired unnoticed included. */
size_t tls_cache_len(const struct tls_cache *cache);
/* The clock of sessions: seconds since 1970. */
int64_t tls_cache_now(void);

#endif
