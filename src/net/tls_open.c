/* SPDX-License-Identifier: MIT */
/* A TLS connection comes to be: its SSL, the handshake, what is known after it. */
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "net/tls.h"
#include "net/tls_cache.h"
#include "rt/rt.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME_SIZE 512
#define SERIAL_DIGITS 20
#define LINGER_NS INT64_C(1000000000)
#define LINGER_BYTES ((size_t)1 << 20)

/* ---- the handshake ---- */

/*
 * A client of TLS 1.3 begins to send when its handshake is over, before the server has looked at
 * its certificate. Closed with that unread, the server's kernel resets the connection, and the
 * reset overtakes the alert that says why. So what comes is read, until the client has ended, too;
 * but neither much nor for long.
 */
static void linger(struct tls_conn *c, weft_deadline until)
{
	weft_deadline soon = weft_after_ns(LINGER_NS);
	size_t got, all = 0;

	if (until > soon)
		until = soon;
	if (weft_conn_shutdown(c->lower) == WEFT_ERESET)
		return;
	while (all < LINGER_BYTES && !weft_conn_read(c->lower, c->in.data, c->in.cap, &got, until))
		all += got;
}

/* Of the failure the peer is told, if it takes that at once. */
static weft_err refuse(struct tls_conn *c, weft_deadline until)
{
	bool is_told;

	rt_lock_acquire(&c->lock);
	is_told = c->out.len > 0;
	tls_send_soon(c);
	is_told = is_told && !c->out.len && !c->flight.len;
	rt_lock_release(&c->lock);
	if (is_told && SSL_is_server(c->ssl) && c->in.cap)
		linger(c, until);
	return err_setf(c->fault, "%s", c->fault_text ? c->fault_text : weft_strerror(c->fault));
}

/* Lock held, released meanwhile. What SSL has made goes out, and what it wants comes in. */
static weft_err handshake_move(struct tls_conn *c, enum tls_step step, weft_deadline until)
{
	weft_err err = WEFT_OK;

	if (step == TLS_STEP_DONE && SSL_is_server(c->ssl) &&
		SSL_version(c->ssl) >= TLS1_3_VERSION) {
		/* tickets: the client may do without, and need not be reading now */
		tls_send_soon(c);
	} else if (c->out.len) {
		c->sending.taken = true;
		err = tls_send_all(c, until);
		tls_role_give_up(&c->sending);
		if (err == WEFT_ERESET)
			tls_last_words(c);
	}
	if (!err && step == TLS_STEP_FILL)
		err = tls_fill(c, until);
	return err;
}

/*
 * A step of a handshake computes for 0.1 to 1 ms. Of all that go on at a worker one does its step,
 * then what else is runnable runs, then the next one: so that a thousand clients that come at
 * once keep other fibers waiting for one step at a time, and not for a thousand.
 *
 * Fibers are pinned and no step waits within: a worker's own memory needs no lock. A plain thread
 * has its own, and nobody to wait for.
 */
struct turn {
	struct list waiters; /* of turn_waiter; next NULL: not used yet */
	bool taken;
};

struct turn_waiter {
	struct list node;
	weft_parker *parker;
	bool has_it; /* it was handed over */
};

static _Thread_local struct turn turn;

static weft_err turn_take(weft_deadline until)
{
	struct turn_waiter w = { .parker = weft_parker_self() };
	weft_err err = WEFT_OK;

	if (!turn.waiters.next)
		list_init(&turn.waiters);
	if (!turn.taken) {
		turn.taken = true;
		return WEFT_OK;
	}
	list_push_back(&turn.waiters, &w.node);
	while (!err && !w.has_it)
		err = rt_park(until, "tls handshake");
	if (w.has_it)
		return WEFT_OK;
	list_remove(&w.node);
	return err;
}

static void turn_give(void)
{
	struct list *next;

	(void)weft_yield(); /* cancelled: the next wait says so */
	next = list_pop_front(&turn.waiters);
	turn.taken = next != NULL;
	if (next) {
		struct turn_waiter *w = container_of(next, struct turn_waiter, node);

		w->has_it = true;
		weft_unpark(w->parker);
	}
}

/* Nobody else knows the conn: the lock, which is held through SSL's work, is nobody's to wait
 * for. */
static weft_err handshake_step(struct tls_conn *c, enum tls_step *step, weft_deadline until)
{
	weft_err err = turn_take(until);

	if (err)
		return err;
	rt_lock_acquire(&c->lock);
	ERR_clear_error();
	*step = tls_judge(c, SSL_do_handshake(c->ssl));
	rt_lock_release(&c->lock);
	turn_give();
	return WEFT_OK;
}

static weft_err handshake(struct tls_conn *c, weft_deadline until)
{
	enum tls_step step = TLS_STEP_AGAIN;
	weft_err err;

	do {
		err = handshake_step(c, &step, until);
		rt_lock_acquire(&c->lock);
		if (!err && step != TLS_STEP_FAULT && step != TLS_STEP_END)
			err = handshake_move(c, step, until);
		rt_lock_release(&c->lock);
	} while (!err && (step == TLS_STEP_FILL || step == TLS_STEP_AGAIN));
	if (c->fault)
		err = refuse(c, until);
	else if (!err && step == TLS_STEP_END)
		err = err_setf(WEFT_ERESET, "the peer closed the connection within the handshake");
	rt_lock_acquire(&c->lock);
	tls_blocks_trim(c);
	rt_lock_release(&c->lock);
	return err;
}

/* ---- what is known after it ---- */

static weft_err copy_text(const char **out, char **owned, const void *text, size_t len)
{
	*out = "";
	if (len == 0)
		return WEFT_OK;
	*owned = mem_strndup(text, len);
	if (!*owned)
		return err_set(WEFT_ENOMEM);
	*out = *owned;
	return WEFT_OK;
}

static weft_err peer_note(struct tls_conn *c)
{
	X509 *cert = SSL_get0_peer_certificate(c->ssl);
	uint8_t digest[TLS_DIGEST_SIZE];

	c->info.peer_subject = c->info.peer_fingerprint = "";
	if (!cert)
		return WEFT_OK;
	c->info.verified = SSL_get_verify_mode(c->ssl) != SSL_VERIFY_NONE &&
		SSL_get_verify_result(c->ssl) == X509_V_OK;
	c->peer_subject = tls_subject(cert);
	if (!c->peer_subject || !tls_cert_digest(digest, cert))
		return err_set(WEFT_ENOMEM);
	tls_fingerprint_format(c->fingerprint, digest);
	c->info.peer_subject = c->peer_subject;
	c->info.peer_fingerprint = c->fingerprint;
	return WEFT_OK;
}

static weft_err info_note(struct tls_conn *c)
{
	const char *name = SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);
	const unsigned char *alpn = NULL;
	unsigned alpn_len = 0;
	weft_err err;

	SSL_get0_alpn_selected(c->ssl, &alpn, &alpn_len);
	c->info.version = SSL_get_version(c->ssl);
	c->info.cipher = SSL_get_cipher_name(c->ssl);
	c->info.resumed = SSL_session_reused(c->ssl);
	err = copy_text(&c->info.alpn, &c->alpn, alpn, alpn_len);
	if (!err)
		err = copy_text(
			&c->info.server_name, &c->server_name, name, name ? strlen(name) : 0);
	return err ? err : peer_note(c);
}

weft_err weft_tls_info_get(const weft_conn *conn, weft_tls_info *out)
{
	if (conn->type != &tls_conn_type)
		return err_setf(WEFT_EINVAL, "%s: is no TLS connection", conn->peer_name);
	*out = ((const struct tls_conn *)conn)->info;
	return WEFT_OK;
}

/* ---- making ---- */

/* "tls" for "tcp", else "tls+" in front. */
static void name_make(char out[NAME_SIZE], const char *lower)
{
	if (strncmp(lower, "tcp:", 4) == 0)
		(void)snprintf(out, NAME_SIZE, "tls%s", lower + 3);
	else
		(void)snprintf(out, NAME_SIZE, "tls+%s", lower);
}

/* Without brackets, the root's dot, and an address's scope, which is of this machine only (RFC
 * 6874, section 3). NULL: no memory. */
static char *host_make(const char *host)
{
	size_t len = strlen(host), scope;

	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	scope = strcspn(host, "%");
	if (memchr(host, ':', len))
		return mem_strndup(host, scope < len ? scope : len);
	if (len > 1 && host[len - 1] == '.')
		len--;
	return mem_strndup(host, len);
}

/* What the peer's certificate must say. */
static weft_err host_set(struct tls_conn *c, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(c->ssl);
	const struct tls_settings *s = &c->tls->settings;
	size_t len;

	if (s->server_name)
		host = s->server_name;
	if (!host && !s->insecure && !s->has_fingerprint)
		return err_setf(WEFT_EINVAL, "no host that the certificate is to be for");
	if (!host)
		return WEFT_OK;
	c->name = host_make(host);
	if (!c->name)
		return err_set(WEFT_ENOMEM);
	len = strlen(c->name);
	if (!tls_is_host(c->name))
		return err_setf(WEFT_EINVAL, "\"%.64s\" is no host name", host);
	X509_VERIFY_PARAM_set_hostflags(
		param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	ERR_clear_error();
	if (X509_VERIFY_PARAM_set1_ip_asc(param, c->name))
		return WEFT_OK;
	/* not an address, which would have no place in SNI (RFC 6066, section 3) */
	if (X509_VERIFY_PARAM_set1_host(param, c->name, len) &&
		SSL_set_tlsext_host_name(c->ssl, c->name))
		return WEFT_OK;
	return err_set(WEFT_ENOMEM);
}

/* Host, key, and the context: a session is resumed only where its certificate was good, and would
 * be by what is trusted now. */
static weft_err session_offer(struct tls_conn *c, const char *key)
{
	const char *name = c->name ? c->name : "";
	const char *port = strrchr(c->lower->peer_name, ':');
	SSL_SESSION *session;
	size_t size;

	if (!c->tls->cache)
		return WEFT_OK;
	if (!key)
		key = port ? port : "";
	size = strlen(name) + strlen(key) + sizeof("\n\n") + SERIAL_DIGITS;
	c->session_key = mem_alloc(size);
	if (!c->session_key)
		return err_set(WEFT_ENOMEM);
	(void)snprintf(c->session_key, size, "%s\n%s\n%" PRIu64, name, key, c->context->serial);
	session = tls_cache_take(c->tls->cache, c->session_key, tls_cache_now());
	if (session)
		(void)SSL_set_session(c->ssl, session);
	c->offered = session;
	SSL_SESSION_free(session);
	return WEFT_OK;
}

static weft_err client_begin(struct tls_conn *c, const weft_tls_connect_options *options)
{
	weft_err err;

	SSL_set_connect_state(c->ssl);
	err = host_set(c, options->host);
	return err ? err : session_offer(c, options->session_key);
}

static weft_err conn_make(struct tls_conn **out, weft_tls *tls, weft_conn *lower)
{
	char local[NAME_SIZE], peer[NAME_SIZE];
	struct tls_conn *c;

	name_make(local, lower->local_name);
	name_make(peer, lower->peer_name);
	c = (struct tls_conn *)conn_alloc(&tls_conn_type, sizeof(*c), local, peer);
	if (!c)
		return err_set(WEFT_ENOMEM);
	c->tls = weft_tls_ref(tls);
	c->context = weft_cell_load(tls->context);
	ERR_clear_error();
	c->ssl = SSL_new(c->context->ctx);
	if (!c->ssl || !tls_bio_attach(c)) {
		tls_conn_clear(c);
		conn_discard(&c->base);
		return err_set(WEFT_ENOMEM);
	}
	SSL_set_app_data(c->ssl, c);
	c->lower = lower;
	*out = c;
	return WEFT_OK;
}

/* It failed: whoever made conn learns no more of it. */
static void conn_drop(struct tls_conn *c)
{
	weft_conn_free(c->lower);
	tls_conn_clear(c);
	conn_discard(&c->base);
}

/* A server of TLS 1.2 that resumes a session may give a new ticket for it, under new keys; SSL makes
 * the old one useless then, and does not tell of the new one as of others. */
static void renewed_keep(struct tls_conn *c)
{
	if (c->info.resumed && c->session_key && SSL_version(c->ssl) < TLS1_3_VERSION &&
		SSL_get0_session(c->ssl) != c->offered)
		tls_cache_put_own(
			c->tls->cache, c->session_key, SSL_get1_session(c->ssl), tls_cache_now());
}

static weft_err conn_start(struct tls_conn *c, weft_deadline until)
{
	struct weft_tls *tls = c->tls;
	weft_err err;

	(void)counter_add(&tls->handshakes, 1);
	err = handshake(c, until);
	if (!err)
		err = info_note(c);
	if (err) {
		(void)counter_add(&tls->failed, 1);
		/* what was offered may be what the peer does not like */
		if (c->session_key && err == WEFT_ETLS)
			tls_cache_drop(tls->cache, c->session_key);
		return err_wrap(err, "TLS handshake with %s", c->base.peer_name);
	}
	if (c->info.resumed)
		(void)counter_add(&tls->resumed, 1);
	c->is_up = true;
	renewed_keep(c);
	tls_fresh_keep(c);
	return WEFT_OK;
}

/* options: NULL: a server's. */
static weft_err start(weft_conn **out, weft_tls *tls, weft_conn *lower,
	const weft_tls_connect_options *options, weft_deadline until)
{
	struct tls_conn *c = NULL;
	weft_err err;

	if (tls->settings.is_server == (options != NULL))
		err = err_setf(WEFT_EINVAL, "%s: the configuration is a %s's",
			options ? "weft_tls_connect" : "weft_tls_accept",
			options ? "server" : "client");
	else
		err = conn_make(&c, tls, lower);
	if (!c) {
		weft_conn_free(lower);
		return err;
	}
	if (options)
		err = client_begin(c, options);
	else
		SSL_set_accept_state(c->ssl);
	if (!err)
		err = conn_start(c, until);
	if (err)
		conn_drop(c);
	else
		*out = &c->base;
	return err;
}

weft_err weft_tls_connect_with_own(weft_conn **out, weft_tls *tls, weft_conn *conn,
	const weft_tls_connect_options *options, weft_deadline until)
{
	static const weft_tls_connect_options none = { NULL, NULL };

	return start(out, tls, conn, options ? options : &none, until);
}

weft_err weft_tls_connect_own(
	weft_conn **out, weft_tls *tls, weft_conn *conn, const char *host, weft_deadline until)
{
	weft_tls_connect_options options = { host, NULL };

	return start(out, tls, conn, &options, until);
}

weft_err weft_tls_accept_own(weft_conn **out, weft_tls *tls, weft_conn *conn, weft_deadline until)
{
	return start(out, tls, conn, NULL, until);
}
