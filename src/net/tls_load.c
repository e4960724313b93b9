/* SPDX-License-Identifier: MIT */
/*
 * A context, by settings and the files that they name: reads each of them once, and says of
 * what is wrong which option named it. It blocks on files; nothing in it is shared.
 */
#define _GNU_SOURCE
#include "base/err.h"
#include "base/mem.h"
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)16 << 20)
#define CHAIN_MAX 32 /* certificates behind a pair's own */
#define HOST_FLAGS (X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT)

/* Text of PEM and where it comes from. */
struct source {
	const char *struct_name; /* "weft_tls_client_options" */
	const char *field;
	const char *file; /* NULL: in memory */
	const char *pem;  /* NUL-terminated */
	char *owned;
};

static weft_err source_error(const struct source *s, weft_err err, const char *why)
{
	return err_setf(err, "%s.%s: %s%s%s", s->struct_name, s->field, s->file ? s->file : "",
		s->file ? ": " : "", why);
}

/* The same of what OpenSSL said last. */
static weft_err source_refused(const struct source *s)
{
	char text[TLS_TEXT_MAX];
	weft_err err = tls_error_plain(WEFT_EINVAL, text);

	return source_error(s, err, text);
}

static weft_err file_read_fd(struct source *s, int fd)
{
	size_t size = 0, len = 0;
	struct stat st;
	ssize_t n = 1;

	if (fstat(fd, &st) != 0)
		return err_sys(errno, "%s.%s: %s", s->struct_name, s->field, s->file);
	if (S_ISDIR(st.st_mode))
		return source_error(s, WEFT_EINVAL, "is a directory");
	while (n > 0) {
		if (len == size) {
			char *more;

			size = size ? size * 2 : 16384;
			more = size <= FILE_MAX ? mem_realloc(s->owned, size + 1) : NULL;
			if (!more && size > FILE_MAX)
				return source_error(s, WEFT_EINVAL, "is larger than 16 MiB");
			if (!more)
				return err_set(WEFT_ENOMEM);
			s->owned = more;
		}
		n = read(fd, s->owned + len, size - len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			return err_sys(errno, "%s.%s: %s", s->struct_name, s->field, s->file);
		else
			len += (size_t)n;
	}
	s->owned[len] = '\0';
	s->pem = s->owned;
	return WEFT_OK;
}

/* Of file and pem one is given. */
static weft_err source_open(struct source *s, const struct tls_settings *settings,
	const char *field, const char *file, const char *pem)
{
	weft_err err;
	int fd;

	*s = (struct source){ .struct_name = settings->is_server ? "weft_tls_server_options"
								 : "weft_tls_client_options",
		.field = field,
		.file = file,
		.pem = pem };
	if (!file)
		return WEFT_OK;
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(errno, "%s.%s: %s", s->struct_name, field, file);
	err = file_read_fd(s, fd);
	(void)close(fd);
	return err;
}

static void source_close(struct source *s)
{
	if (s->owned) /* it may be a key */
		OPENSSL_cleanse(s->owned, strlen(s->owned));
	mem_free(s->owned);
	s->owned = NULL;
}

/* OpenSSL would ask on the terminal. */
static int no_passphrase(char *out, int size, int is_writing, void *user)
{
	(void)out;
	(void)size;
	(void)is_writing;
	(void)user;
	return -1;
}

static BIO *source_bio(const struct source *s)
{
	return BIO_new_mem_buf(s->pem, -1);
}

/* True when what failed only says that no further block is there. */
static bool is_pem_end(void)
{
	unsigned long code = ERR_peek_last_error();

	return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

/* ---- certificates and keys ---- */

static weft_err certs_each(
	const struct source *s, size_t count_max, bool (*fn)(void *arg, X509 *cert), void *arg)
{
	BIO *bio = source_bio(s);
	weft_err err = WEFT_OK;
	size_t count = 0;
	X509 *cert;

	ERR_clear_error();
	if (!bio)
		return source_refused(s);
	while (!err && (cert = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL)) != NULL) {
		if (++count > count_max)
			err = source_error(s, WEFT_EINVAL, "too many certificates");
		else if (!fn(arg, cert))
			err = source_refused(s);
		X509_free(cert);
	}
	if (!err && !is_pem_end())
		err = source_refused(s);
	else if (!err && count == 0)
		err = source_error(s, WEFT_EINVAL, "no certificate (PEM) in it");
	ERR_clear_error();
	BIO_free(bio);
	return err;
}

static bool pair_add(void *arg, X509 *cert)
{
	struct tls_pair *pair = arg;

	if (!pair->cert) {
		X509_up_ref(cert);
		pair->cert = cert;
		return true;
	}
	if (!pair->chain)
		pair->chain = sk_X509_new_null();
	if (!pair->chain || !sk_X509_push(pair->chain, cert)) {
		ERR_raise(ERR_LIB_X509, ERR_R_MALLOC_FAILURE);
		return false;
	}
	X509_up_ref(cert);
	return true;
}

static weft_err key_read(struct tls_pair *pair, const struct source *s)
{
	BIO *bio = source_bio(s);
	weft_err err = WEFT_OK;
	unsigned long code;

	ERR_clear_error();
	if (!bio)
		return source_refused(s);
	pair->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	code = ERR_peek_last_error();
	if (!pair->key && ERR_GET_LIB(code) == ERR_LIB_PEM &&
		ERR_GET_REASON(code) == PEM_R_BAD_PASSWORD_READ)
		err = source_error(s, WEFT_EINVAL, "the private key has a passphrase");
	else if (!pair->key && (is_pem_end() || ERR_GET_LIB(code) == ERR_LIB_OSSL_DECODER))
		err = source_error(s, WEFT_EINVAL, "no private key (PEM) in it");
	else if (!pair->key)
		err = source_refused(s);
	else if (!X509_check_private_key(pair->cert, pair->key))
		err = source_error(s, WEFT_EINVAL, "the private key is not the certificate's");
	ERR_clear_error();
	BIO_free(bio);
	return err;
}

static weft_err pair_load(struct tls_pair *pair, const struct tls_settings *settings,
	const struct tls_cert_names *names)
{
	bool has_key = names->key_file || names->key_pem;
	struct source certs = { .owned = NULL }, key = { .owned = NULL };
	weft_err err;

	err = source_open(&certs, settings, names->cert_file ? "cert_file" : "cert_pem",
		names->cert_file, names->cert_pem);
	if (!err)
		err = certs_each(&certs, CHAIN_MAX + 1, pair_add, pair);
	if (!err && has_key)
		err = source_open(&key, settings, names->key_file ? "key_file" : "key_pem",
			names->key_file, names->key_pem);
	if (!err)
		err = key_read(pair, has_key ? &key : &certs);
	source_close(&certs);
	source_close(&key);
	return err;
}

static void pair_fini(struct tls_pair *pair)
{
	X509_free(pair->cert);
	EVP_PKEY_free(pair->key);
	sk_X509_pop_free(pair->chain, X509_free);
}

/* ---- what is trusted ---- */

struct trust {
	SSL_CTX *ctx;
	bool is_server; /* tells clients which issuers will do */
};

static bool trust_add(void *arg, X509 *cert)
{
	struct trust *trust = arg;

	return X509_STORE_add_cert(SSL_CTX_get_cert_store(trust->ctx), cert) &&
		(!trust->is_server || SSL_CTX_add_client_CA(trust->ctx, cert));
}

static weft_err trust_load(
	SSL_CTX *ctx, const struct tls_settings *settings, const char *file, const char *pem)
{
	struct trust trust = { ctx, settings->is_server };
	struct source s = { .owned = NULL };
	const char *field = settings->is_server ? (file ? "client_ca_file" : "client_ca_pem")
						: (file ? "ca_file" : "ca_pem");
	weft_err err;

	if (!file && !pem)
		return WEFT_OK;
	err = source_open(&s, settings, field, file, pem);
	if (!err)
		err = certs_each(&s, SIZE_MAX, trust_add, &trust);
	source_close(&s);
	/* One that is no root, but was named, ends a chain as well. */
	(void)X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	return err;
}

static weft_err directory_load(SSL_CTX *ctx, const struct tls_settings *settings)
{
	const char *dir = settings->ca_dir;
	struct source s = { "weft_tls_client_options", "ca_dir", dir, NULL, NULL };
	struct stat st;

	if (!dir)
		return WEFT_OK;
	if (stat(dir, &st) != 0)
		return err_sys(errno, "%s.ca_dir: %s", s.struct_name, dir);
	if (!S_ISDIR(st.st_mode))
		return source_error(&s, WEFT_EINVAL, "is no directory");
	ERR_clear_error();
	return SSL_CTX_load_verify_dir(ctx, dir) ? WEFT_OK : source_refused(&s);
}

static weft_err revoked_read(X509_STORE *store, const struct source *s)
{
	BIO *bio = source_bio(s);
	weft_err err = WEFT_OK;
	size_t count = 0;
	X509_CRL *crl;

	ERR_clear_error();
	if (!bio)
		return source_refused(s);
	while (!err && (crl = PEM_read_bio_X509_CRL(bio, NULL, no_passphrase, NULL)) != NULL) {
		count++;
		if (!X509_STORE_add_crl(store, crl))
			err = source_refused(s);
		X509_CRL_free(crl);
	}
	if (!err && !is_pem_end())
		err = source_refused(s);
	else if (!err && count == 0)
		err = source_error(s, WEFT_EINVAL, "no list of revoked certificates (PEM) in it");
	ERR_clear_error();
	BIO_free(bio);
	return err;
}

static weft_err revoked_load(SSL_CTX *ctx, const struct tls_settings *settings)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	struct source s = { .owned = NULL };
	weft_err err;

	if (!settings->crl_file)
		return WEFT_OK;
	err = source_open(&s, settings, "crl_file", settings->crl_file, NULL);
	if (!err)
		err = revoked_read(store, &s);
	source_close(&s);
	(void)X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
	return err;
}

static weft_err trusts_load(SSL_CTX *ctx, const struct tls_settings *settings)
{
	bool is_named = settings->ca_file || settings->ca_pem || settings->ca_dir;
	weft_err err;

	err = trust_load(ctx, settings, settings->ca_file, NULL);
	if (!err)
		err = trust_load(ctx, settings, NULL, settings->ca_pem);
	if (!err)
		err = directory_load(ctx, settings);
	if (!err)
		err = revoked_load(ctx, settings);
	/* Where there are no roots each handshake says that the issuer is unknown. */
	if (!err && !settings->is_server && !is_named && !SSL_CTX_set_default_verify_paths(ctx))
		ERR_clear_error();
	return err;
}

/* ---- what SSL asks ---- */

bool tls_cert_digest(uint8_t out[TLS_DIGEST_SIZE], X509 *cert)
{
	unsigned len = 0;

	return X509_digest(cert, EVP_sha256(), out, &len) && len == TLS_DIGEST_SIZE;
}

/* In place of all other checks: the one certificate. */
static int fingerprint_verify(X509_STORE_CTX *store, void *arg)
{
	const struct tls_settings *settings = arg;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_conn *c = SSL_get_app_data(ssl);
	char is[WEFT_TLS_FINGERPRINT_LEN + 1], text[TLS_TEXT_MAX];
	X509 *cert = X509_STORE_CTX_get0_cert(store);
	uint8_t digest[TLS_DIGEST_SIZE];

	if (!cert || !tls_cert_digest(digest, cert))
		return 0;
	if (CRYPTO_memcmp(digest, settings->fingerprint, sizeof(digest)) == 0) {
		X509_STORE_CTX_set_error(store, X509_V_OK);
		return 1;
	}
	tls_fingerprint_format(is, digest);
	(void)snprintf(
		text, sizeof(text), "the certificate is another one than expected: it is %s", is);
	mem_free(c->why);
	c->why = mem_strdup(text);
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

static void alpn_list(char *out, size_t size, const unsigned char *wire, size_t len)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t at = 0; at < len && used + 1 < size; at += 1u + wire[at]) {
		int n = snprintf(out + used, size - used, "%s%.*s", at ? ", " : "", (int)wire[at],
			(const char *)wire + at + 1);

		used += n > 0 ? (size_t)n : 0;
	}
}

static int alpn_select(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned in_len, void *arg)
{
	const struct tls_settings *settings = arg;
	struct tls_conn *c = SSL_get_app_data(ssl);
	char ours[128], theirs[128], text[TLS_TEXT_MAX];
	unsigned char *chosen;

	if (SSL_select_next_proto(&chosen, out_len, settings->alpn, (unsigned)settings->alpn_len,
		    in, in_len) == OPENSSL_NPN_NEGOTIATED) {
		*out = chosen;
		return SSL_TLSEXT_ERR_OK;
	}
	alpn_list(ours, sizeof(ours), settings->alpn, settings->alpn_len);
	alpn_list(theirs, sizeof(theirs), in, in_len);
	(void)snprintf(text, sizeof(text),
		"no common application protocol: the client offers %s; there is %s", theirs, ours);
	mem_free(c->why);
	c->why = mem_strdup(text);
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* The certificates for the name that the client gave; without one, or if none is for it, the
 * first, which the context has. Backwards: of several with a kind of key the first stays. */
static int server_choose(SSL *ssl, void *arg)
{
	const struct tls_context *context = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	bool is_cleared = false;

	for (size_t i = context->pair_count; name && i-- > 0;) {
		struct tls_pair *pair = &context->pairs[i];

		if (X509_check_host(pair->cert, name, 0, HOST_FLAGS, NULL) != 1)
			continue;
		if (!is_cleared)
			SSL_certs_clear(ssl);
		is_cleared = true;
		if (!SSL_use_cert_and_key(ssl, pair->cert, pair->key, pair->chain, 1))
			return 0;
	}
	return 1;
}

/* Any name will do; accepted, it is kept with a TLS 1.2 session, and known when that is resumed. */
static int server_name_taken(SSL *ssl, int *alert, void *arg)
{
	(void)ssl;
	(void)alert;
	(void)arg;
	return SSL_TLSEXT_ERR_OK;
}

static int client_choose(SSL *ssl, X509 **cert, EVP_PKEY **key)
{
	struct tls_conn *c = SSL_get_app_data(ssl);

	(void)cert;
	(void)key;
	c->cert_wanted = true;
	return 0;
}

static void key_log(const SSL *ssl, const char *line)
{
	const struct tls_conn *c = SSL_get_app_data(ssl);
	char text[512];
	int len = snprintf(text, sizeof(text), "%s\n", line);

	/* one write: lines of several connections stay whole */
	if (len > 0 && (size_t)len < sizeof(text))
		(void)!write(c->tls->key_log_fd, text, (size_t)len);
	OPENSSL_cleanse(text, sizeof(text));
}

static int session_new(SSL *ssl, SSL_SESSION *session)
{
	struct tls_conn *c = SSL_get_app_data(ssl);

	if (!c->session_key)
		return 0;
	if (c->fresh_len == TLS_FRESH_MAX) {
		SSL_SESSION_free(c->fresh[0]);
		c->fresh_len--;
		for (unsigned i = 0; i < c->fresh_len; i++)
			c->fresh[i] = c->fresh[i + 1];
	}
	c->fresh[c->fresh_len++] = session; /* with the reference that it came with */
	return 1;
}

/* ---- the context ---- */

static void verify_set(SSL_CTX *ctx, const struct tls_settings *settings)
{
	union {
		const struct tls_settings *in;
		void *out;
	} arg = { settings };
	int mode = SSL_VERIFY_NONE;

	if (!settings->is_server && (!settings->insecure || settings->has_fingerprint))
		mode = SSL_VERIFY_PEER;
	if (settings->client_auth != WEFT_TLS_CLIENT_NONE)
		mode = SSL_VERIFY_PEER;
	if (settings->client_auth == WEFT_TLS_CLIENT_REQUIRED)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx, mode, tls_error_verify);
	if (settings->has_fingerprint)
		SSL_CTX_set_cert_verify_callback(ctx, fingerprint_verify, arg.out);
}

static bool client_set(SSL_CTX *ctx, const struct tls_settings *settings)
{
	SSL_CTX_set_session_cache_mode(ctx,
		settings->sessions_off ? SSL_SESS_CACHE_OFF
				       : SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, session_new);
	if (settings->cert_count == 0)
		SSL_CTX_set_client_cert_cb(ctx, client_choose);
	/* it returns 0 for success */
	return settings->alpn_len == 0 ||
		SSL_CTX_set_alpn_protos(ctx, settings->alpn, (unsigned)settings->alpn_len) == 0;
}

static bool server_set(SSL_CTX *ctx, const struct tls_settings *settings)
{
	static const unsigned char id[] = "weft";
	union {
		const struct tls_settings *in;
		void *out;
	} arg = { settings };

	/* Tickets need no memory here. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_timeout(ctx, TLS_TICKET_S);
	(void)SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, tls_ticket_callback);
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	if (settings->sessions_off) {
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		(void)SSL_CTX_set_num_tickets(ctx, 0);
	}
	SSL_CTX_set_tlsext_servername_callback(ctx, server_name_taken);
	if (settings->alpn_len)
		SSL_CTX_set_alpn_select_cb(ctx, alpn_select, arg.out);
	return SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1);
}

static weft_err context_set(SSL_CTX *ctx, const struct tls_settings *settings)
{
	char text[TLS_TEXT_MAX];
	bool ok;

	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	/* A call handles one record; and what was to be written may have moved meanwhile. */
	(void)SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
	(void)SSL_CTX_set_mode(ctx,
		SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	verify_set(ctx, settings);
	if (settings->key_log_file)
		SSL_CTX_set_keylog_callback(ctx, key_log);
	ok = SSL_CTX_set_min_proto_version(ctx, settings->version_min) &&
		SSL_CTX_set_max_proto_version(ctx, settings->version_max) &&
		(settings->is_server ? server_set(ctx, settings) : client_set(ctx, settings));
	if (ok)
		return WEFT_OK;
	return err_setf(tls_error_plain(WEFT_ETLS, text), "TLS: %s", text);
}

static weft_err pairs_load(struct tls_context *context)
{
	const struct tls_settings *settings = context->settings;
	struct tls_pair *first;
	char text[TLS_TEXT_MAX];
	weft_err err = WEFT_OK;

	if (settings->cert_count == 0)
		return WEFT_OK;
	context->pairs = mem_calloc(settings->cert_count, sizeof(*context->pairs));
	if (!context->pairs)
		return err_set(WEFT_ENOMEM);
	context->pair_count = settings->cert_count;
	for (size_t i = 0; !err && i < context->pair_count; i++)
		err = pair_load(&context->pairs[i], settings, &settings->certs[i]);
	if (err)
		return err;
	first = &context->pairs[0];
	ERR_clear_error();
	if (!SSL_CTX_use_cert_and_key(context->ctx, first->cert, first->key, first->chain, 1))
		return err_setf(tls_error_plain(WEFT_EINVAL, text), "%s.cert_file: %s",
			settings->is_server ? "weft_tls_server_options" : "weft_tls_client_options",
			text);
	if (context->pair_count > 1)
		SSL_CTX_set_cert_cb(context->ctx, server_choose, context);
	return WEFT_OK;
}

weft_err tls_context_load(struct tls_context **out, const struct weft_tls *tls)
{
	const struct tls_settings *settings = &tls->settings;
	struct tls_context *context = mem_calloc(1, sizeof(*context));
	char text[TLS_TEXT_MAX];
	weft_err err;

	if (!context)
		return err_set(WEFT_ENOMEM);
	refcount_init(&context->refs, 1);
	context->settings = settings;
	ERR_clear_error();
	context->ctx = SSL_CTX_new(settings->is_server ? TLS_server_method() : TLS_client_method());
	if (!context->ctx)
		err = err_setf(tls_error_plain(WEFT_ETLS, text), "TLS: %s", text);
	else
		err = context_set(context->ctx, settings);
	if (!err)
		err = trusts_load(context->ctx, settings);
	if (!err)
		err = pairs_load(context);
	if (err)
		tls_context_unref(context);
	else
		*out = context;
	return err;
}

void tls_context_ref(void *context)
{
	refcount_hold(&((struct tls_context *)context)->refs);
}

void tls_context_unref(void *context)
{
	struct tls_context *c = context;

	if (!c || !refcount_drop(&c->refs))
		return;
	SSL_CTX_free(c->ctx);
	for (size_t i = 0; i < c->pair_count; i++)
		pair_fini(&c->pairs[i]);
	mem_free(c->pairs);
	tls_tickets_wipe(&c->tickets);
	mem_free(c);
}
