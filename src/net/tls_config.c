/* SPDX-License-Identifier: MIT */
/*
 * Configurations: options are checked and copied here, once. What is made of them and of the
 * files they name is a context in a cell: a handshake loads it without a lock, and a reload
 * puts another in its place.
 */
#define _GNU_SOURCE
#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "net/tls.h"
#include "net/tls_cache.h"
#include "rt/rt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SESSIONS_DEFAULT 1024
#define SESSIONS_MAX 1000000
#define PROTOCOL_MAX 255 /* bytes of a protocol's name (RFC 7301) */

/* ---- small things ---- */

bool tls_fingerprint_parse(uint8_t out[TLS_DIGEST_SIZE], const char *text)
{
	if (strncmp(text, "sha256:", 7) != 0)
		return false;
	text += 7;
	for (size_t i = 0; i < TLS_DIGEST_SIZE; i++) {
		if (i && *text == ':')
			text++;
		if (hex_digit(text[0]) < 0 || hex_digit(text[1]) < 0)
			return false;
		out[i] = (uint8_t)(hex_digit(text[0]) * 16 + hex_digit(text[1]));
		text += 2;
	}
	return *text == '\0';
}

void tls_fingerprint_format(
	char out[WEFT_TLS_FINGERPRINT_LEN + 1], const uint8_t digest[TLS_DIGEST_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	size_t at = 7;

	memcpy(out, "sha256:", at);
	for (size_t i = 0; i < TLS_DIGEST_SIZE; i++) {
		out[at++] = digits[digest[i] >> 4];
		out[at++] = digits[digest[i] & 15];
	}
	out[at] = '\0';
}

static weft_err bad(const struct tls_settings *s, const char *field, const char *why)
{
	return err_setf(WEFT_EINVAL, "%s.%s: %s",
		s->is_server ? "weft_tls_server_options" : "weft_tls_client_options", field, why);
}

/* NULL stays NULL. */
static weft_err copy(char **out, const char *text)
{
	if (!text)
		return WEFT_OK;
	*out = mem_strdup(text);
	return *out ? WEFT_OK : err_set(WEFT_ENOMEM);
}

/* A path that is empty is a mistake in how it was made. */
static weft_err path(struct tls_settings *s, char **out, const char *text, const char *field)
{
	if (text && !*text)
		return bad(s, field, "is empty");
	return copy(out, text);
}

/* ---- options ---- */

static void names_fini(struct tls_cert_names *names)
{
	if (names->key_pem)
		memset(names->key_pem, 0, strlen(names->key_pem));
	mem_free(names->cert_file);
	mem_free(names->key_file);
	mem_free(names->cert_pem);
	mem_free(names->key_pem);
}

static void settings_fini(struct tls_settings *s)
{
	mem_free(s->ca_file);
	mem_free(s->ca_dir);
	mem_free(s->ca_pem);
	mem_free(s->crl_file);
	mem_free(s->server_name);
	mem_free(s->key_log_file);
	mem_free(s->alpn);
	for (size_t i = 0; s->certs && i < s->cert_count; i++)
		names_fini(&s->certs[i]);
	mem_free(s->certs);
}

static weft_err alpn_copy(struct tls_settings *s, const char *const *list)
{
	size_t count = 0, at = 0;

	while (list && list[count]) {
		size_t len = strlen(list[count]);

		if (len == 0 || len > PROTOCOL_MAX)
			return bad(s, "alpn", "a protocol's name has 1 to 255 bytes");
		if (++count > WEFT_TLS_ALPN_MAX)
			return bad(s, "alpn", "more than 32 protocols");
		s->alpn_len += 1 + len;
	}
	if (count == 0)
		return WEFT_OK;
	s->alpn = mem_alloc(s->alpn_len);
	if (!s->alpn)
		return err_set(WEFT_ENOMEM);
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(list[i]);

		s->alpn[at++] = (uint8_t)len;
		memcpy(s->alpn + at, list[i], len);
		at += len;
	}
	return WEFT_OK;
}

static weft_err cert_copy(
	struct tls_settings *s, struct tls_cert_names *out, const weft_tls_cert *cert)
{
	weft_err err;

	if (!cert->cert_file && !cert->cert_pem)
		return bad(s, "cert_file", "a key without a certificate, or neither");
	if (cert->cert_file && cert->cert_pem)
		return bad(s, "cert_pem", "given beside cert_file");
	if (cert->key_file && cert->key_pem)
		return bad(s, "key_pem", "given beside key_file");
	err = path(s, &out->cert_file, cert->cert_file, "cert_file");
	if (!err)
		err = path(s, &out->key_file, cert->key_file, "key_file");
	if (!err)
		err = copy(&out->cert_pem, cert->cert_pem);
	if (!err)
		err = copy(&out->key_pem, cert->key_pem);
	return err;
}

static weft_err certs_copy(struct tls_settings *s, const weft_tls_cert *certs, size_t count)
{
	weft_err err = WEFT_OK;

	s->certs = mem_calloc(count, sizeof(*s->certs));
	if (!s->certs)
		return err_set(WEFT_ENOMEM);
	s->cert_count = count;
	for (size_t i = 0; !err && i < count; i++)
		err = cert_copy(s, &s->certs[i], &certs[i]);
	return err;
}

static weft_err version_number(
	const struct tls_settings *s, int *out, weft_tls_version version, const char *field)
{
	switch (version) {
	case WEFT_TLS_VERSION_DEFAULT:
		return WEFT_OK;
	case WEFT_TLS_1_2:
		*out = TLS1_2_VERSION;
		return WEFT_OK;
	case WEFT_TLS_1_3:
		*out = TLS1_3_VERSION;
		return WEFT_OK;
	}
	return bad(s, field, "is none of the versions there are");
}

static weft_err versions_copy(struct tls_settings *s, weft_tls_version min, weft_tls_version max)
{
	weft_err err;

	s->version_min = TLS1_2_VERSION;
	err = version_number(s, &s->version_min, min, "version_min");
	if (!err)
		err = version_number(s, &s->version_max, max, "version_max");
	if (!err && s->version_max && s->version_max < s->version_min)
		err = bad(s, "version_max", "is below version_min");
	return err;
}

static weft_err key_log_copy(struct tls_settings *s, const char *file, bool by_env)
{
	if (!file && by_env)
		file = getenv("SSLKEYLOGFILE");
	if (!file || (by_env && !*file))
		return WEFT_OK;
	return path(s, &s->key_log_file, file, "key_log_file");
}

bool tls_is_host(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] <= ' ' || text[i] == 127)
			return false;
	}
	return len > 0 && len <= TLS_NAME_MAX;
}

static weft_err trust_copy(struct tls_settings *s, const weft_tls_client_options *o)
{
	weft_err err = path(s, &s->ca_file, o->ca_file, "ca_file");

	if (!err)
		err = path(s, &s->ca_dir, o->ca_dir, "ca_dir");
	if (!err)
		err = copy(&s->ca_pem, o->ca_pem);
	if (!err)
		err = path(s, &s->crl_file, o->crl_file, "crl_file");
	s->insecure = o->insecure;
	if (!err && o->fingerprint) {
		s->has_fingerprint = true;
		if (!tls_fingerprint_parse(s->fingerprint, o->fingerprint))
			err = bad(s, "fingerprint", "is not sha256: and 64 hexadecimal digits");
	}
	return err;
}

static weft_err client_copy(struct tls_settings *s, const weft_tls_client_options *o)
{
	bool has_cert =
		o->cert.cert_file || o->cert.cert_pem || o->cert.key_file || o->cert.key_pem;
	weft_err err = trust_copy(s, o);

	if (!err && o->server_name && !tls_is_host(o->server_name))
		err = bad(s, "server_name", "is no host name");
	if (!err)
		err = copy(&s->server_name, o->server_name);
	if (!err)
		err = alpn_copy(s, o->alpn);
	if (!err && has_cert)
		err = certs_copy(s, &o->cert, 1);
	if (!err)
		err = versions_copy(s, o->version_min, o->version_max);
	if (!err)
		err = key_log_copy(s, o->key_log_file, o->key_log_env);
	s->sessions_off = o->sessions_off;
	s->sessions_max = o->sessions_max ? o->sessions_max : SESSIONS_DEFAULT;
	if (!err && s->sessions_max > SESSIONS_MAX)
		err = bad(s, "sessions_max", "is above 1000000");
	return err;
}

static weft_err server_copy(struct tls_settings *s, const weft_tls_server_options *o)
{
	bool has_ca = o->client_ca_file || o->client_ca_pem;
	weft_err err;

	s->is_server = true;
	if (o->cert_count < 1 || o->cert_count > WEFT_TLS_CERTS_MAX || !o->certs)
		return bad(s, "certs", "a server has 1 to 64 certificates");
	if (o->client_auth > WEFT_TLS_CLIENT_REQUIRED)
		return bad(s, "client_auth", "is none of its values");
	if (has_ca != (o->client_auth != WEFT_TLS_CLIENT_NONE))
		return bad(s, has_ca ? "client_auth" : "client_ca_file",
			has_ca ? "clients are not asked, but client_ca is given"
			       : "needed with client_auth");
	s->client_auth = o->client_auth;
	s->sessions_off = o->tickets_off;
	err = certs_copy(s, o->certs, o->cert_count);
	if (!err)
		err = alpn_copy(s, o->alpn);
	if (!err)
		err = path(s, &s->ca_file, o->client_ca_file, "client_ca_file");
	if (!err)
		err = copy(&s->ca_pem, o->client_ca_pem);
	if (!err)
		err = path(s, &s->crl_file, o->crl_file, "crl_file");
	if (!err)
		err = versions_copy(s, o->version_min, o->version_max);
	if (!err)
		err = key_log_copy(s, o->key_log_file, o->key_log_env);
	return err;
}

/* ---- loading ---- */

/* What waits for files is no work for a worker. */
struct loading {
	struct weft_tls *tls;
	struct tls_context *context; /* out */
};

static weft_err load_job(void *arg)
{
	struct loading *l = arg;
	uint64_t serial = counter_add(&l->tls->loads, 1);
	weft_err err;

	if (l->tls->settings.key_log_file && l->tls->key_log_fd < 0) {
		const char *file = l->tls->settings.key_log_file;

		l->tls->key_log_fd =
			open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
		if (l->tls->key_log_fd < 0)
			return err_sys(errno, "%s.key_log_file: %s",
				l->tls->settings.is_server ? "weft_tls_server_options"
							   : "weft_tls_client_options",
				file);
	}
	err = tls_context_load(&l->context, l->tls);
	if (!err)
		l->context->serial = serial;
	return err;
}

/* The pool's thread may outlive the run by a moment, but not what OpenSSL keeps for it: that
 * would be freed at the thread's end, when the process's end may have been first. */
static weft_err load_elsewhere(void *arg)
{
	weft_err err = load_job(arg);

	OPENSSL_thread_stop();
	return err;
}

static weft_err load(struct tls_context **out, struct weft_tls *tls)
{
	struct loading l = { tls, NULL };
	weft_err err;

	if (!weft_in_fiber() || rt_is_sim()) {
		err = load_job(&l);
	} else {
		/* It is ours until it is over. */
		weft_shield_begin();
		err = weft_offload(load_elsewhere, &l, NULL, WEFT_FOREVER);
		weft_shield_end();
	}
	if (!err)
		*out = l.context;
	return err;
}

static weft_err cell_make(struct weft_tls *tls)
{
	static const weft_cell_ops ops = { tls_context_ref, tls_context_unref };
	struct tls_context *context = NULL;
	weft_err err = load(&context, tls);

	if (err)
		return err;
	err = weft_cell_create(&tls->context, context, &ops);
	tls_context_unref(context);
	return err;
}

/* err: of copying the options, so far. */
static weft_err made(weft_tls **out, weft_tls *tls, weft_err err)
{
	if (!err)
		err = cell_make(tls);
	if (!err && !tls->settings.is_server && !tls->settings.sessions_off)
		err = tls_cache_create(&tls->cache, tls->settings.sessions_max);
	if (err)
		weft_tls_unref(tls);
	else
		*out = tls;
	return err;
}

static weft_tls *tls_alloc(void)
{
	weft_tls *tls = mem_calloc(1, sizeof(*tls));

	if (!tls)
		return NULL;
	if (weft_buf_pool_create(&tls->buffers, NULL) != WEFT_OK) {
		mem_free(tls);
		return NULL;
	}
	refcount_init(&tls->refs, 1);
	tls->key_log_fd = -1;
	return tls;
}

weft_err weft_tls_client_create(weft_tls **out, const weft_tls_client_options *options)
{
	static const weft_tls_client_options defaults = WEFT_TLS_CLIENT_OPTIONS_DEFAULT;
	weft_tls *tls = tls_alloc();

	if (!tls)
		return err_set(WEFT_ENOMEM);
	return made(out, tls, client_copy(&tls->settings, options ? options : &defaults));
}

weft_err weft_tls_server_create(weft_tls **out, const weft_tls_server_options *options)
{
	static const weft_tls_server_options defaults = WEFT_TLS_SERVER_OPTIONS_DEFAULT;
	weft_tls *tls = tls_alloc();

	if (!tls)
		return err_set(WEFT_ENOMEM);
	return made(out, tls, server_copy(&tls->settings, options ? options : &defaults));
}

weft_tls *weft_tls_ref(weft_tls *tls)
{
	refcount_hold(&tls->refs);
	return tls;
}

void weft_tls_unref(weft_tls *tls)
{
	if (!tls || !refcount_drop(&tls->refs))
		return;
	weft_cell_free(tls->context);
	tls_cache_free(tls->cache);
	if (tls->key_log_fd >= 0)
		(void)close(tls->key_log_fd);
	settings_fini(&tls->settings);
	weft_buf_pool_free(tls->buffers);
	mem_free(tls);
}

/* Of two reloads at once the one that began to read later counts, whichever was quicker. */
static weft_err newer_of(void *arg, void *old, void **next)
{
	struct tls_context *context = arg, *current = old;

	*next = current->serial > context->serial ? current : context;
	tls_context_ref(*next);
	return WEFT_OK;
}

weft_err weft_tls_reload(weft_tls *tls)
{
	struct tls_context *context = NULL;
	weft_err err = load(&context, tls);

	if (err)
		return err;
	err = weft_cell_update(tls->context, newer_of, context);
	tls_context_unref(context);
	if (err)
		return err;
	tls_cache_drop(tls->cache, NULL);
	(void)counter_add(&tls->reloads, 1);
	return WEFT_OK;
}

void weft_tls_stats_get(const weft_tls *tls, weft_tls_stats *out)
{
	*out = (weft_tls_stats){
		.handshakes = counter_get(&tls->handshakes),
		.resumed = counter_get(&tls->resumed),
		.failed = counter_get(&tls->failed),
		.reloads = counter_get(&tls->reloads),
		.sessions = tls_cache_len(tls->cache),
	};
}
