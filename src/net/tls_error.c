/* SPDX-License-Identifier: MIT */
/* What went wrong in TLS, in words that say what to do about it. */
#include "base/err.h"
#include "base/mem.h"
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define ALERT(number) (SSL_AD_REASON_OFFSET + (number))
#define NAMES_SHOWN 8
#define SUBJECT_MAX 200

/* ---- what a peer sent instead of TLS ---- */

static const struct {
	const char *bytes, *what;
} beginnings[] = {
	{ "HTTP/", "an HTTP reply" },
	{ "GET ", "an HTTP request" },
	{ "POST ", "an HTTP request" },
	{ "PUT ", "an HTTP request" },
	{ "HEAD ", "an HTTP request" },
	{ "OPTIONS", "an HTTP request" },
	{ "CONNECT", "an HTTP request" },
	{ "PRI * HT", "HTTP/2 without TLS" },
	{ "SSH-", "SSH" },
	{ "220", "SMTP or FTP, which begin TLS by a command" },
	{ "* OK", "IMAP, which begins TLS by a command" },
	{ "+OK", "POP3, which begins TLS by a command" },
};

/* The content types of records (RFC 8446, section 5.1). */
static bool is_record(uint8_t first)
{
	return first >= SSL3_RT_CHANGE_CIPHER_SPEC && first <= SSL3_RT_APPLICATION_DATA;
}

static bool is_not_tls(const struct tls_conn *c)
{
	return !c->is_up && c->first_len && !is_record(c->first[0]);
}

static void not_tls(const struct tls_conn *c, char *text)
{
	size_t len = c->first_len < sizeof(c->first) ? (size_t)c->first_len : sizeof(c->first);
	int used;

	for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
		size_t n = strlen(beginnings[i].bytes);

		if (n <= len && memcmp(c->first, beginnings[i].bytes, n) == 0) {
			(void)snprintf(text, TLS_TEXT_MAX,
				"the peer does not speak TLS: its first bytes look like %s",
				beginnings[i].what);
			return;
		}
	}
	used = snprintf(text, TLS_TEXT_MAX, "the peer does not speak TLS: its first bytes are");
	for (size_t i = 0; i < len && used < TLS_TEXT_MAX; i++)
		used += snprintf(text + used, TLS_TEXT_MAX - (size_t)used, " %02x", c->first[i]);
}

/* ---- codes ---- */

static const struct {
	int reason;
	weft_err err;
	const char *text;
} reasons[] = {
	{ SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, WEFT_EAUTH,
		"the client gave no certificate, and one is required" },
	{ SSL_R_NO_SHARED_CIPHER, WEFT_ETLS,
		"no common cipher, or no certificate that the client can check" },
	{ SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, WEFT_ETLS,
		"no common way to sign: the client can't check this kind of key" },
	{ SSL_R_NO_SUITABLE_KEY_SHARE, WEFT_ETLS, "no common group to exchange keys in" },
	{ SSL_R_UNSUPPORTED_PROTOCOL, WEFT_ETLS,
		"no common version of TLS: the peer's are older, or newer, than allowed" },
	{ SSL_R_VERSION_TOO_LOW, WEFT_ETLS,
		"no common version of TLS: the peer's is older than allowed" },
	{ SSL_R_NO_APPLICATION_PROTOCOL, WEFT_ETLS, "no common application protocol (ALPN)" },
	{ SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, WEFT_ETLS, "a record is not authentic" },
	{ ALERT(SSL_AD_PROTOCOL_VERSION), WEFT_ETLS,
		"no common version of TLS: the peer wants another (alert: protocol version)" },
	{ ALERT(SSL_AD_NO_APPLICATION_PROTOCOL), WEFT_ETLS,
		"no common application protocol: the peer has none of those offered "
		"(alert: no application protocol)" },
	{ ALERT(TLS13_AD_CERTIFICATE_REQUIRED), WEFT_EAUTH,
		"the server wants a client certificate (alert: certificate required)" },
};

static bool is_about_certificate(int alert)
{
	switch (alert) {
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_EXPIRED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNKNOWN_CA:
	case SSL_AD_ACCESS_DENIED:
		return true;
	default:
		return false;
	}
}

static weft_err alert_say(const struct tls_conn *c, int alert, char *text)
{
	const char *name = SSL_alert_desc_string_long(alert);
	bool is_server = c->tls->settings.is_server;

	if (alert == SSL_AD_HANDSHAKE_FAILURE && c->cert_wanted) {
		(void)snprintf(text, TLS_TEXT_MAX,
			"the server asked for a client certificate, and refuses us without one "
			"(alert: %s)",
			name);
		return WEFT_EAUTH;
	}
	if (alert == SSL_AD_HANDSHAKE_FAILURE)
		(void)snprintf(text, TLS_TEXT_MAX,
			"the peer refuses: no common cipher, or the like (alert: %s)", name);
	else if (is_about_certificate(alert))
		(void)snprintf(text, TLS_TEXT_MAX,
			"the %s does not accept our certificate (alert: %s)",
			is_server ? "client" : "server", name);
	else
		(void)snprintf(text, TLS_TEXT_MAX, "the peer's alert: %s", name);
	return is_about_certificate(alert) && !is_server ? WEFT_EAUTH : WEFT_ETLS;
}

/* The queue's first error of the SSL library, or its first; empties it. */
static unsigned long queue_take(bool *no_memory)
{
	unsigned long first = 0, code;

	*no_memory = false;
	while ((code = ERR_get_error()) != 0) {
		if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
			*no_memory = true;
		if (!first ||
			(ERR_GET_LIB(first) != ERR_LIB_SSL && ERR_GET_LIB(code) == ERR_LIB_SSL))
			first = code;
	}
	return first;
}

static void reason_say(unsigned long code, char *text)
{
	const char *reason = ERR_reason_error_string(code);

	if (reason)
		(void)snprintf(text, TLS_TEXT_MAX, "%s", reason);
	else
		(void)snprintf(text, TLS_TEXT_MAX, "error %lx", code);
}

weft_err tls_error_take(struct tls_conn *conn, char *text)
{
	bool no_memory;
	unsigned long code = queue_take(&no_memory);
	int reason = ERR_GET_REASON(code);

	if (no_memory || conn->no_memory) {
		(void)snprintf(text, TLS_TEXT_MAX, "%s", weft_strerror(WEFT_ENOMEM));
		return WEFT_ENOMEM;
	}
	if (is_not_tls(conn)) {
		not_tls(conn, text);
		return WEFT_ETLS;
	}
	if (conn->why &&
		(reason == SSL_R_CERTIFICATE_VERIFY_FAILED ||
			reason == SSL_R_NO_APPLICATION_PROTOCOL)) {
		(void)snprintf(text, TLS_TEXT_MAX, "%s", conn->why);
		return conn->tls->settings.is_server && reason == SSL_R_CERTIFICATE_VERIFY_FAILED
			? WEFT_EAUTH
			: WEFT_ETLS;
	}
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (reasons[i].reason == reason) {
			(void)snprintf(text, TLS_TEXT_MAX, "%s", reasons[i].text);
			return reasons[i].err;
		}
	}
	if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET &&
		reason < SSL_AD_REASON_OFFSET + 256)
		return alert_say(conn, reason - SSL_AD_REASON_OFFSET, text);
	reason_say(code, text);
	return WEFT_ETLS;
}

weft_err tls_error_plain(weft_err code, char *text)
{
	bool no_memory;
	unsigned long error = queue_take(&no_memory);

	if (no_memory) {
		(void)snprintf(text, TLS_TEXT_MAX, "%s", weft_strerror(WEFT_ENOMEM));
		return WEFT_ENOMEM;
	}
	reason_say(error, text);
	return code;
}

/* ---- certificates ---- */

/* What was written to a BIO of memory, as a string; the BIO is freed. */
static char *bio_take(BIO *bio)
{
	char *data = NULL, *text = NULL;
	long len = bio ? BIO_get_mem_data(bio, &data) : 0;

	if (bio)
		text = mem_strndup(len > 0 ? data : "", len > 0 ? (size_t)len : 0);
	BIO_free(bio);
	return text;
}

char *tls_subject(X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (bio)
		(void)X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0,
			XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
	return bio_take(bio);
}

static char *time_text(const ASN1_TIME *time)
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (bio)
		(void)ASN1_TIME_print_ex(bio, time, ASN1_DTFLGS_ISO8601);
	return bio_take(bio);
}

static void name_put(BIO *bio, const GENERAL_NAME *name, int *shown)
{
	const unsigned char *data;
	char ip[INET6_ADDRSTRLEN];
	int len;

	if (name->type == GEN_DNS) {
		data = ASN1_STRING_get0_data(name->d.dNSName);
		len = ASN1_STRING_length(name->d.dNSName);
		(void)BIO_printf(bio, "%s%.*s", *shown ? ", " : "", len, (const char *)data);
		++*shown;
	} else if (name->type == GEN_IPADD) {
		data = ASN1_STRING_get0_data(name->d.iPAddress);
		len = ASN1_STRING_length(name->d.iPAddress);
		if (len != 4 && len != 16)
			return;
		(void)inet_ntop(len == 4 ? AF_INET : AF_INET6, data, ip, sizeof(ip));
		(void)BIO_printf(bio, "%s%s", *shown ? ", " : "", ip);
		++*shown;
	}
}

/* Whom a certificate is for: hosts and addresses. */
static char *names_text(X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	BIO *bio = BIO_new(BIO_s_mem());
	int shown = 0;

	for (int i = 0; bio && names && i < sk_GENERAL_NAME_num(names); i++) {
		if (shown == NAMES_SHOWN) {
			(void)BIO_puts(bio, ", ...");
			break;
		}
		name_put(bio, sk_GENERAL_NAME_value(names, i), &shown);
	}
	if (bio && shown == 0)
		(void)BIO_puts(bio, "no host at all");
	GENERAL_NAMES_free(names);
	return bio_take(bio);
}

static const char *or_unknown(const char *text)
{
	return text ? text : "?";
}

/* More names than fit are cut. */
static void host_say(const struct tls_conn *c, X509 *cert, char *text)
{
	char *names = names_text(cert);

	(void)snprintf(text, TLS_TEXT_MAX,
		"the certificate is for another host: for %.300s, not for %.128s",
		or_unknown(names), or_unknown(c->name));
	mem_free(names);
}

static void date_say(X509 *cert, bool is_end, const char *subject, char *text)
{
	char *date = time_text(is_end ? X509_get0_notAfter(cert) : X509_get0_notBefore(cert));

	(void)snprintf(text, TLS_TEXT_MAX, "the certificate %s %s (%.200s)",
		is_end ? "has expired:" : "is not yet valid: it begins", or_unknown(date), subject);
	mem_free(date);
}

static void issuer_say(X509 *cert, const char *subject, char *text)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *issuer;

	if (bio)
		(void)X509_NAME_print_ex(bio, X509_get_issuer_name(cert), 0,
			XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
	issuer = bio_take(bio);
	(void)snprintf(text, TLS_TEXT_MAX,
		"the certificate is of an unknown issuer: %.200s, of %.200s", or_unknown(issuer),
		subject);
	mem_free(issuer);
}

static void verify_say(const struct tls_conn *c, int error, X509 *cert, char *text)
{
	char *owned = cert ? tls_subject(cert) : NULL;
	const char *subject = or_unknown(owned);

	switch (error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		date_say(cert, true, subject, text);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		date_say(cert, false, subject, text);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		(void)snprintf(
			text, TLS_TEXT_MAX, "the certificate is self-signed (%.200s)", subject);
		break;
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		(void)snprintf(text, TLS_TEXT_MAX, "the certificate is of an unknown root: %.200s",
			subject);
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		issuer_say(cert, subject, text);
		break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		host_say(c, cert, text);
		break;
	case X509_V_ERR_CERT_REVOKED:
		(void)snprintf(text, TLS_TEXT_MAX, "the certificate is revoked (%.200s)", subject);
		break;
	default:
		(void)snprintf(text, TLS_TEXT_MAX, "the certificate is not good: %s (%.200s)",
			X509_verify_cert_error_string(error), subject);
	}
	mem_free(owned);
}

int tls_error_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_conn *c = ssl ? SSL_get_app_data(ssl) : NULL;
	char text[TLS_TEXT_MAX];

	if (ok || !c)
		return ok;
	verify_say(
		c, X509_STORE_CTX_get_error(store), X509_STORE_CTX_get_current_cert(store), text);
	mem_free(c->why);
	c->why = mem_strdup(text);
	return ok;
}
