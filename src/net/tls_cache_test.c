/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=120 */
/* A client's sessions: kept, handed out, forgotten; and handshakes that resume them. */
#include "net/tls_cache.h"

#include "net/tls.h"
#include "support/tlsends.h"

#include <pthread.h>

/* ---- the cache alone ---- */

#define NOW 1000000
#define LIFETIME 300

/* One that could be resumed, as far as can be told. */
static SSL_SESSION *session(int version, long timeout_s)
{
	SSL_SESSION *s = SSL_SESSION_new();
	static unsigned char id[32];

	id[0]++;
	ck_assert(s && SSL_SESSION_set_protocol_version(s, version) &&
		SSL_SESSION_set1_id(s, id, sizeof(id)) && SSL_SESSION_set_timeout(s, timeout_s));
	return s;
}

static struct tls_cache *cache_of(size_t max)
{
	struct tls_cache *cache = NULL;

	OK(tls_cache_create(&cache, max));
	return cache;
}

/* A session of TLS 1.2: by its id; a ticket of 1.3 can't be made by hand. */
static SSL_SESSION *put(struct tls_cache *cache, const char *key, int64_t now_s)
{
	SSL_SESSION *s = session(TLS1_2_VERSION, LIFETIME);

	tls_cache_put_own(cache, key, s, now_s);
	return s;
}

static void expect(struct tls_cache *cache, const char *key, int64_t now_s, const SSL_SESSION *s)
{
	SSL_SESSION *got = tls_cache_take(cache, key, now_s);

	ck_assert_ptr_eq(got, s);
	SSL_SESSION_free(got);
}

START_TEST(tls_cache_gives_the_newest_of_a_key)
{
	struct tls_cache *cache = cache_of(100);
	SSL_SESSION *a, *b;

	expect(cache, "x", NOW, NULL);
	put(cache, "x", NOW);
	a = put(cache, "x", NOW);
	b = put(cache, "y", NOW);
	expect(cache, "x", NOW, a);
	expect(cache, "x", NOW, a); /* again and again */
	expect(cache, "y", NOW, b);
	expect(cache, "z", NOW, NULL);
	ck_assert_uint_eq(tls_cache_len(cache), 3);
	tls_cache_drop(cache, "x");
	expect(cache, "x", NOW, NULL);
	expect(cache, "y", NOW, b);
	ck_assert_uint_eq(tls_cache_len(cache), 1);
	tls_cache_drop(cache, NULL);
	ck_assert_uint_eq(tls_cache_len(cache), 0);
	tls_cache_free(cache);
	tls_cache_free(NULL);
}
END_TEST

START_TEST(tls_cache_forgets_what_has_expired)
{
	struct tls_cache *cache = cache_of(100);
	SSL_SESSION *a, *b;

	a = put(cache, "x", NOW);
	b = put(cache, "x", NOW + 100);
	expect(cache, "x", NOW + LIFETIME - 1, b);
	expect(cache, "x", NOW + LIFETIME + 99, b);
	ck_assert_uint_eq(tls_cache_len(cache), 2);
	expect(cache, "x", NOW + LIFETIME + 100, NULL);
	ck_assert_uint_eq(tls_cache_len(cache), 0);
	a = put(cache, "x", NOW);
	expect(cache, "x", NOW + LIFETIME, NULL);
	ck_assert_ptr_nonnull(a);
	/* seven days at most, whatever it says */
	tls_cache_put_own(cache, "long", session(TLS1_2_VERSION, 10000000), NOW);
	expect(cache, "long", NOW + 604800, NULL);
	/* what can't be resumed is not kept */
	tls_cache_put_own(cache, "x", SSL_SESSION_new(), NOW);
	tls_cache_put_own(cache, "x", session(TLS1_3_VERSION, LIFETIME), NOW);
	tls_cache_put_own(NULL, "x", session(TLS1_2_VERSION, LIFETIME), NOW);
	tls_cache_put_own(cache, NULL, session(TLS1_2_VERSION, LIFETIME), NOW);
	ck_assert_uint_eq(tls_cache_len(cache), 0);
	expect(cache, NULL, NOW, NULL);
	expect(NULL, "x", NOW, NULL);
	tls_cache_free(cache);
}
END_TEST

START_TEST(tls_cache_keeps_eight_of_a_key)
{
	struct tls_cache *cache = cache_of(100);
	SSL_SESSION *last = NULL;

	for (int i = 0; i < 20; i++)
		last = put(cache, "x", NOW + i);
	ck_assert_uint_eq(tls_cache_len(cache), WEFT_TLS_SESSIONS_HOST);
	expect(cache, "x", NOW, last);
	/* the eight newest: the oldest of them is of NOW + 12 */
	expect(cache, "x", NOW + LIFETIME + 18, last);
	ck_assert_uint_eq(tls_cache_len(cache), WEFT_TLS_SESSIONS_HOST);
	tls_cache_free(cache);
}
END_TEST

START_TEST(tls_cache_is_bounded_and_keeps_what_is_used)
{
	static const size_t sizes[] = { 1, 3, 64, 1000 };
	char key[32];

	for (int i = 0; i < 4; i++) {
		struct tls_cache *cache = cache_of(sizes[i]);
		SSL_SESSION *used = put(cache, "used", NOW);

		for (int n = 0; n < 3000; n++) {
			snprintf(key, sizeof(key), "host %d", n);
			put(cache, key, NOW);
			ck_assert_uint_le(tls_cache_len(cache), sizes[i]);
			if (sizes[i] > 1)
				expect(cache, "used", NOW, used);
		}
		ck_assert_uint_ge(tls_cache_len(cache), sizes[i] - sizes[i] / 10);
		tls_cache_free(cache);
	}
}
END_TEST

#define THREADS 4
#define ROUNDS 4000

static void *churn(void *arg)
{
	struct tls_cache *cache = arg;
	uint64_t state = (uint64_t)(uintptr_t)&state;
	char key[32];

	for (int i = 0; i < ROUNDS; i++) {
		SSL_SESSION *s;

		snprintf(key, sizeof(key), "host %d", (int)(t_random(&state) % 50));
		if (i % 2) {
			s = SSL_SESSION_new();
			ck_assert(SSL_SESSION_set_protocol_version(s, TLS1_2_VERSION) &&
				SSL_SESSION_set1_id(s, (const unsigned char *)key, 4));
			tls_cache_put_own(cache, key, s, NOW);
		} else {
			SSL_SESSION_free(tls_cache_take(cache, key, NOW));
		}
		if (i % 100 == 0)
			tls_cache_drop(cache, i % 1000 ? key : NULL);
	}
	return NULL;
}

START_TEST(tls_cache_of_many_threads)
{
	struct tls_cache *cache = cache_of(200);
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, cache), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_le(tls_cache_len(cache), 200);
	tls_cache_free(cache);
}
END_TEST

START_TEST(tls_cache_under_failing_malloc)
{
	T_EACH_FAILING_MALLOC(n) {
		struct tls_cache *cache = NULL;
		weft_err err = tls_cache_create(&cache, 100);

		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		if (!err) {
			SSL_SESSION *s;

			put(cache, "x", NOW);
			s = tls_cache_take(cache, "x", NOW);
			ck_assert(s || t_malloc_failed());
			SSL_SESSION_free(s);
			tls_cache_free(cache);
		}
	}
}
END_TEST

/* ---- handshakes ---- */

static bool resumes(struct tls_pair_ends *e)
{
	weft_tls_info client, server;

	tls_open(e);
	OK(weft_tls_info_get(e->client, &client));
	OK(weft_tls_info_get(e->server, &server));
	ck_assert_int_eq(client.resumed, server.resumed);
	ck_assert(client.verified);
	ck_assert_str_eq(client.peer_subject, "CN=Test Server");
	say(e->client, e->server, "so");
	say(e->server, e->client, "tickets come before");
	tls_close(e);
	return client.resumed;
}

TLS_TEST(tls_handshakes_resume)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;
		weft_tls_stats stats;

		tls_init(&e, v);
		ck_assert(!resumes(&e));
		for (int i = 0; i < 5; i++)
			ck_assert(resumes(&e));
		weft_tls_stats_get(e.client_tls, &stats);
		ck_assert_uint_eq(stats.handshakes, 6);
		ck_assert_uint_eq(stats.resumed, 5);
		ck_assert_uint_ge(stats.sessions, 1);
		ck_assert_uint_le(stats.sessions, WEFT_TLS_SESSIONS_HOST);
		tls_fini(&e);
	}
	return WEFT_OK;
}

/* Two tickets come with a handshake of TLS 1.3; each is good for one. */
TLS_TEST(tls_tickets_are_used_once_and_sessions_again)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;
		int resumed = 0;

		tls_init(&e, v);
		ck_assert(!resumes(&e));
		for (int i = 0; i < 6; i++) {
			weft_tls_info info;

			tls_open(&e); /* and nothing read: no new tickets */
			OK(weft_tls_info_get(e.client, &info));
			resumed += info.resumed;
			weft_conn_abort(e.client);
			tls_close(&e);
		}
		ck_assert_int_eq(resumed, v == WEFT_TLS_1_3 ? 2 : 6);
		tls_fini(&e);
	}
	return WEFT_OK;
}

/* Also to two who ask before either has used it. */
TLS_TEST(tls_a_ticket_is_handed_out_once_and_a_session_to_all)
{
	BOTH_VERSIONS(v)
	{
		SSL_SESSION *got[3];
		struct tls_pair_ends e;

		tls_init(&e, v);
		e.session_key = "key";
		ck_assert(!resumes(&e));
		for (int i = 0; i < 3; i++)
			got[i] = tls_cache_take(
				e.client_tls->cache, "localhost\nkey\n0", tls_cache_now());
		ck_assert_ptr_nonnull(got[0]);
		if (v == WEFT_TLS_1_2) {
			ck_assert(got[0] == got[1] && got[1] == got[2]);
		} else { /* two came */
			ck_assert(got[1] && got[0] != got[1]);
			ck_assert_ptr_null(got[2]);
		}
		for (int i = 0; i < 3; i++)
			SSL_SESSION_free(got[i]);
		tls_fini(&e);
	}
	return WEFT_OK;
}

TLS_TEST(tls_sessions_are_of_one_host_and_key)
{
	struct tls_pair_ends e;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	e.session_key = "a";
	ck_assert(!resumes(&e));
	ck_assert(resumes(&e));
	e.session_key = "b";
	ck_assert(!resumes(&e));
	e.session_key = "a";
	ck_assert(resumes(&e));
	e.host = "127.0.0.1"; /* the key is the same, but not who it was checked for */
	ck_assert(!resumes(&e));
	e.host = NULL;
	e.session_key = NULL;
	ck_assert(!resumes(&e));
	tls_fini(&e);
	return WEFT_OK;
}

TLS_TEST(tls_sessions_can_be_off_at_either_end)
{
	for (int i = 0; i < 2; i++) {
		BOTH_VERSIONS(v)
		{
			struct tls_pair_ends e;
			weft_tls_stats stats;

			tls_init(&e, v);
			e.client_options.sessions_off = i == 0;
			e.server_options.tickets_off = i == 1;
			ck_assert(!resumes(&e));
			ck_assert(!resumes(&e));
			weft_tls_stats_get(e.client_tls, &stats);
			ck_assert_uint_eq(stats.sessions, 0);
			ck_assert_uint_eq(stats.resumed, 0);
			tls_fini(&e);
		}
	}
	return WEFT_OK;
}

/* Old tickets are of no use to a server that has made new keys: a full handshake. */
TLS_TEST(tls_a_servers_reload_ends_its_tickets)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;

		tls_init(&e, v);
		ck_assert(!resumes(&e));
		ck_assert(resumes(&e));
		OK(weft_tls_reload(e.server_tls));
		ck_assert(!resumes(&e));
		ck_assert(resumes(&e));
		tls_fini(&e);
	}
	return WEFT_OK;
}

/* A ticket that comes on a connection of before a reload vouches for the old roots. */
TLS_TEST(tls_tickets_of_before_a_reload_are_not_kept)
{
	struct tls_pair_ends e;
	weft_tls_stats stats;

	tls_init(&e, WEFT_TLS_1_3);
	tls_open(&e);
	OK(weft_tls_reload(e.client_tls));
	say(e.server, e.client, "tickets come before");
	weft_tls_stats_get(e.client_tls, &stats);
	ck_assert_uint_eq(stats.sessions, 0);
	tls_fini(&e);
	return WEFT_OK;
}

/* One that reload's sweep missed, by a race: what it was checked with is not trusted any more. */
TLS_TEST(tls_a_session_of_before_a_reload_is_not_resumed)
{
	BOTH_VERSIONS(v)
	{
		const struct tls_conn *c;
		struct tls_pair_ends e;
		SSL_SESSION *session;

		tls_init(&e, v);
		tls_open(&e);
		say(e.server, e.client, "tickets come before");
		c = (const struct tls_conn *)e.client;
		session = tls_cache_take(e.client_tls->cache, c->session_key, tls_cache_now());
		ck_assert_ptr_nonnull(session);
		OK(weft_tls_reload(e.client_tls));
		tls_cache_put_own(e.client_tls->cache, c->session_key, session, tls_cache_now());
		tls_close(&e);
		ck_assert(!resumes(&e));
		ck_assert(resumes(&e));
		tls_fini(&e);
	}
	return WEFT_OK;
}

/* ---- a server's keys ---- */

#define SECOND INT64_C(1000000000)

static bool opens(struct tls_tickets *t, const struct tls_ticket_key *sealed, int64_t now_s)
{
	struct tls_ticket_key key;
	bool is_old;

	if (!tls_tickets_open(t, &key, sealed->name, now_s * SECOND, &is_old))
		return false;
	ck_assert_mem_eq(&key, sealed, sizeof(key));
	ck_assert_int_eq(is_old, now_s * SECOND - sealed->made_ns >= TLS_TICKET_S * SECOND);
	return true;
}

START_TEST(tls_keys_of_tickets_are_renewed_and_open_what_lives)
{
	static const struct tls_ticket_key none;
	struct tls_tickets t = { .keys = { { .is_there = false } } };
	struct tls_ticket_key a, b, c;

	ck_assert(!opens(&t, &none, NOW));
	ck_assert(tls_tickets_seal(&t, &a, NOW * SECOND));
	ck_assert(tls_tickets_seal(&t, &b, (NOW + TLS_TICKET_S - 1) * SECOND));
	ck_assert_mem_eq(&a, &b, sizeof(a));
	ck_assert(tls_tickets_seal(&t, &b, (NOW + TLS_TICKET_S) * SECOND));
	ck_assert_mem_ne(a.name, b.name, sizeof(a.name));
	ck_assert_mem_ne(a.cipher, b.cipher, sizeof(a.cipher));
	ck_assert_mem_ne(a.mac, b.mac, sizeof(a.mac));
	/* the last ticket under it was made a second before b, and lives so long */
	ck_assert(opens(&t, &a, NOW + 2 * TLS_TICKET_S - 1));
	ck_assert(opens(&t, &b, NOW + 2 * TLS_TICKET_S - 1));
	ck_assert(!opens(&t, &a, NOW + 2 * TLS_TICKET_S));
	ck_assert(opens(&t, &b, NOW + 2 * TLS_TICKET_S));
	ck_assert_mem_eq(&t.keys[1], &none, sizeof(none)); /* it is nowhere any more */
	/* nobody came for long */
	ck_assert(!opens(&t, &b, NOW + 9 * TLS_TICKET_S));
	ck_assert(tls_tickets_seal(&t, &c, (NOW + 9 * TLS_TICKET_S) * SECOND));
	ck_assert(opens(&t, &c, NOW + 9 * TLS_TICKET_S));
	ck_assert(!opens(&t, &b, NOW + 9 * TLS_TICKET_S));
	tls_tickets_wipe(&t);
	ck_assert(!opens(&t, &c, NOW + 9 * TLS_TICKET_S));
}
END_TEST

/* As if so much time had gone by since the server's keys were made. */
static void keys_age(struct tls_pair_ends *e, int64_t by_s)
{
	struct tls_context *context = weft_cell_load(e->server_tls->context);

	rt_lock_acquire(&context->tickets.lock);
	context->tickets.keys[0].made_ns -= by_s * SECOND;
	context->tickets.keys[1].made_ns -= by_s * SECOND;
	rt_lock_release(&context->tickets.lock);
	tls_context_unref(context);
}

TLS_TEST(tls_handshakes_resume_across_a_change_of_keys)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;

		tls_init(&e, v);
		ck_assert(!resumes(&e));
		for (int i = 0; i < 4; i++) {
			keys_age(&e, TLS_TICKET_S); /* the next seals anew, and opens the old */
			ck_assert(resumes(&e));
			ck_assert(resumes(&e));
		}
		keys_age(&e, 2 * TLS_TICKET_S);
		ck_assert(!resumes(&e));
		ck_assert(resumes(&e));
		tls_fini(&e);
	}
	return WEFT_OK;
}

static void cache_tests(TCase *tc)
{
	t_add(tc, tls_cache_gives_the_newest_of_a_key);
	t_add(tc, tls_cache_forgets_what_has_expired);
	t_add(tc, tls_cache_keeps_eight_of_a_key);
	t_add(tc, tls_cache_is_bounded_and_keeps_what_is_used);
	t_add(tc, tls_cache_of_many_threads);
	t_add(tc, tls_cache_under_failing_malloc);
	t_add(tc, tls_handshakes_resume);
	t_add(tc, tls_tickets_are_used_once_and_sessions_again);
	t_add(tc, tls_a_ticket_is_handed_out_once_and_a_session_to_all);
	t_add(tc, tls_sessions_are_of_one_host_and_key);
	t_add(tc, tls_sessions_can_be_off_at_either_end);
	t_add(tc, tls_a_servers_reload_ends_its_tickets);
	t_add(tc, tls_tickets_of_before_a_reload_are_not_kept);
	t_add(tc, tls_a_session_of_before_a_reload_is_not_resumed);
	t_add(tc, tls_keys_of_tickets_are_renewed_and_open_what_lives);
	t_add(tc, tls_handshakes_resume_across_a_change_of_keys);
}

T_SUITE("tls_cache", cache_tests)
